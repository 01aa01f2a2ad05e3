"""What the web process watches on the fabric: the plant in force, the last values, the health of every process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import nats.errors
import nats.js.errors
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from anlan.core import log
from anlan.core.actor import SYSTEM, Actor
from anlan.core.batch import SampleBatch, decode, from_arrow
from anlan.core.errors import AnlanError, NotFoundError, UnavailableError
from anlan.core.health import Health, HealthReport
from anlan.core.time import SECOND, now_us
from anlan.plant.model import AlarmDefinition, Plant, Point, decode_plant
from anlan.store.fabric.client import Fabric

if TYPE_CHECKING:
    from nats.aio.msg import Msg

logger = logging.getLogger(__name__)

_FABRIC_ERRORS = (AnlanError, nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


class PlantWatch:
    """The compiled plant in force; ``on_change`` callbacks run after each new revision."""

    def __init__(self, fabric: Fabric, health: Health) -> None:
        self._fabric = fabric
        self._health = health
        self._wake = asyncio.Event()
        self.plant: Plant | None = None
        self.revision = ""
        self.by_path: dict[str, Point] = {}
        self.by_number: dict[int, Point] = {}
        self.alarms: dict[str, AlarmDefinition] = {}
        self.on_change: list[Callable[[Plant], None]] = []

    async def run(self) -> None:
        """Follow the configuration until cancelled; looks again now and then in case a message was missed."""

        async def wake(_message: Msg) -> None:
            self._wake.set()

        await self._fabric.client.subscribe(log.CONFIG, cb=wake)
        while True:
            self._wake.clear()
            try:
                await self.load()
                self._health.problems.pop("plant", None)
            except _FABRIC_ERRORS as error:
                self._health.problems["plant"] = f"the plant's configuration cannot be read: {error}"
            try:
                await asyncio.wait_for(self._wake.wait(), 10 if self.plant is not None else 1)
            except TimeoutError:
                continue

    async def load(self) -> None:
        """Read the configuration in force, if it is another than before."""
        revision, document = await self._fabric.current_config()
        if revision != self.revision:
            self.put(await asyncio.to_thread(decode_plant, document), revision)

    def put(self, plant: Plant, revision: str) -> None:
        """Take ``plant`` as the one in force."""
        self.plant, self.revision = plant, revision
        self.by_path = plant.point_by_path()
        self.by_number = plant.point_by_number()
        self.alarms = {alarm.id: alarm for alarm in plant.alarms}
        for callback in self.on_change:
            callback(plant)

    def require(self) -> Plant:
        """Return the plant in force.

        Raises:
            UnavailableError: none is yet.
        """
        if self.plant is None:
            raise UnavailableError("no configuration is in force yet", fix="start 'anlan works' with a site")
        return self.plant

    def point(self, path: str, actor: Actor) -> Point:
        """Return a point the actor may see.

        Raises:
            NotFoundError: there is none, or outside the actor's scope.
        """
        point = self.by_path.get(path)
        if point is None or not actor.sees(path):
            raise NotFoundError(f"there is no point {path!r}", where=path)
        return point

    def path_of_alarm(self, alarm: str, point: int = 0) -> str:
        """Return the path of the point an alarm is about."""
        definition = self.alarms.get(alarm)
        found = self.by_number.get(definition.point if definition is not None else point)
        if found is not None:
            return found.path
        head, slash, last = alarm.rpartition("/")
        return head + slash + last.partition(".")[0]


class LastValues:
    """The last value of every point as arrays in point-number order, from a snapshot and then ``live.values``.

    ``on_batch`` callbacks get the rows that changed.
    """

    def __init__(self, fabric: Fabric, health: Health, plant: PlantWatch) -> None:
        self._fabric = fabric
        self._health = health
        self._snapshot_due = asyncio.Event()
        self.received = 0
        self.point: NDArray[np.int32] = np.empty(0, np.int32)
        self.time: NDArray[np.int64] = np.empty(0, np.int64)
        self.value: NDArray[np.float64] = np.empty(0, np.float64)
        self.quality: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.on_batch: list[Callable[[NDArray[np.intp]], None]] = []
        plant.on_change.append(self._resize)

    async def run(self) -> None:
        """Follow ``live.values`` until cancelled; ask for a snapshot at start, at a new plant and after a lost link."""
        await self._fabric.client.subscribe(log.LIVE, cb=self._receive)
        self._snapshot_due.set()
        while True:
            await self._snapshot_due.wait()
            self._snapshot_due.clear()
            try:
                await self._take_snapshot()
                self._health.problems.pop("values", None)
            except _FABRIC_ERRORS as error:
                self._health.problems["values"] = f"last values cannot be read: {error}"
                await asyncio.sleep(1)
                self._snapshot_due.set()

    async def _take_snapshot(self) -> None:
        pieces = [piece async for piece in self._fabric.call_pieces("monitor.snapshot", {}, SYSTEM, timeout=5)]
        with pa.ipc.open_stream(pa.py_buffer(b"".join(pieces))) as reader:
            self.take(from_arrow(reader.read_all()))

    async def _receive(self, message: Msg) -> None:
        try:
            batch, _ = decode(message.data)
        except AnlanError:
            self._health.count("live_undecodable")
            return
        now = now_us()
        if now - self.received > 3 * SECOND:
            # Frames come once a second: some were missed, or nothing had changed for a while. Either way this is cheap.
            self._snapshot_due.set()
        self.received = now
        self.take(batch)

    def take(self, batch: SampleBatch) -> None:
        """Put the rows of a batch in place; older source times than what is there, and unknown points, are left out."""
        if not len(self.point) or not len(batch):
            return
        rows = np.searchsorted(self.point, batch.point)
        rows[rows == len(self.point)] = 0
        good = (self.point[rows] == batch.point) & (batch.time >= self.time[rows])
        rows = rows[good]
        self.time[rows] = batch.time[good]
        self.value[rows] = batch.value[good]
        self.quality[rows] = batch.quality[good]
        changed = np.unique(rows)
        if len(changed):
            for callback in self.on_batch:
                callback(changed)

    def row_of(self, number: int) -> int:
        """Return the row of a point, -1 when it has none."""
        row = int(np.searchsorted(self.point, number))
        return row if row < len(self.point) and self.point[row] == number else -1

    def _resize(self, plant: Plant) -> None:
        numbers = np.array(sorted(point.number for point in plant.points), np.int32)
        old = SampleBatch(self.point, self.time, self.value, self.quality)
        self.point = numbers
        self.time = np.zeros(len(numbers), np.int64)
        self.value = np.full(len(numbers), np.nan)
        self.quality = np.full(len(numbers), 0x83, np.uint8)  # not connected: nothing was heard of it yet
        self.take(old)
        self._snapshot_due.set()


class PartsWatch:
    """The last health report of every process; one that is silent for ``SILENT_S`` is shown as not answering."""

    SILENT_S = 5.0

    def __init__(self, fabric: Fabric, own: Health) -> None:
        self._fabric = fabric
        self._own = own
        self._reports: dict[str, HealthReport] = {}

    async def run(self) -> None:
        """Follow ``health.*`` until cancelled."""
        await self._fabric.client.subscribe(f"{log.HEALTH}.>", cb=self._receive)
        await asyncio.Event().wait()

    async def _receive(self, message: Msg) -> None:
        try:
            report = msgspec.json.decode(message.data, type=HealthReport)
        except msgspec.MsgspecError:
            return
        self._reports[report.process] = report

    def reports(self, now: int | None = None) -> list[HealthReport]:
        """Return the reports by process name; a silent one says so among its problems."""
        moment = now_us() if now is None else now
        return [self._judge(self._reports[name], moment) for name in sorted(self._reports)]

    def _judge(self, report: HealthReport, now: int) -> HealthReport:
        silent = (now - report.time) / SECOND
        if silent <= self.SILENT_S:
            return report
        words = f"has not been heard of for {silent:.0f} s"
        return msgspec.structs.replace(report, ready=False, problems=(words, *report.problems))

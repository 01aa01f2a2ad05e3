"""The last values of the few points that registers read (barriers' points, people), kept from the alarm service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nats.errors
import pyarrow as pa

from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.batch import SampleBatch, decode, from_arrow
from anlan.core.errors import AnlanError, DecodeError
from anlan.core.health import Health
from anlan.core.quality import CLASS_MASK
from anlan.core.time import SECOND, now_us
from anlan.plant.model import Plant
from anlan.store.fabric.client import Fabric

if TYPE_CHECKING:
    from nats.aio.msg import Msg

PEOPLE = "people"
LOOK_S = 2.0
SILENT_US = 5 * SECOND
_BAD = 0x80


@dataclass(frozen=True, slots=True)
class Last:
    """Last value of a point: source time µs UTC, value in its unit, quality code."""

    time: int
    value: float
    quality: int

    @property
    def bad(self) -> bool:
        """Whether its quality is of class bad (stale included)."""
        return (self.quality & CLASS_MASK) >= _BAD


class LastValues:
    """Last values by point number; ``known`` while the alarm service answers, ``since`` (µs UTC) from when on."""

    def __init__(self) -> None:
        self.values: dict[int, Last] = {}
        self.known = False
        self.since = 0
        self.heard = 0
        self._wanted: frozenset[int] = frozenset()
        self._plant: Plant | None = None

    def watch(self, plant: Plant) -> bool:
        """Take the points that registers read in this plant; return whether they are others than before."""
        if plant is self._plant:
            return False
        self._plant = plant
        numbers = frozenset(wanted(plant))
        changed = numbers != self._wanted
        self._wanted = numbers
        self.values = {number: last for number, last in self.values.items() if number in numbers}
        return changed

    def take(self, batch: SampleBatch) -> None:
        """Take the wanted rows of a batch; an older source time than the last is left out."""
        columns = (batch.point.tolist(), batch.time.tolist(), batch.value.tolist(), batch.quality.tolist())
        for number, time, value, quality in zip(*columns, strict=True):
            before = self.values.get(number)
            if number in self._wanted and (before is None or time >= before.time):
                self.values[number] = Last(time, value, quality)

    def heard_now(self, now: int) -> None:
        """Note that the alarm service answered."""
        self.heard = now
        if not self.known:
            self.known, self.since = True, now

    def lost(self) -> None:
        """Note that the alarm service does not answer: what is known is no longer the present."""
        self.known = False


def wanted(plant: Plant) -> Iterable[int]:
    """Yield the numbers of the points that registers read: of kind people, and those that barriers depend on."""
    from anlan.plant.expressions import point_names

    by_path = {point.path: point.number for point in plant.points}
    yield from (point.number for point in plant.points if point.kind == PEOPLE)
    for barrier in plant.barriers:
        names = (*barrier.points, *point_names(barrier.condition))
        yield from (by_path[name] for name in names if name in by_path)


class Follower:
    """Keeps ``LastValues`` up to date over the fabric: a snapshot at first and after silence, then what changed."""

    def __init__(self, fabric: Fabric, health: Health, values: LastValues) -> None:
        self._fabric = fabric
        self._health = health
        self._values = values

    async def run(self, stop: asyncio.Event, plant: Callable[[], Plant | None]) -> None:
        """Follow until ``stop``; ``plant()`` is the plant in force, or null."""
        await self._fabric.client.subscribe(log.LIVE, cb=self._receive)
        while not stop.is_set():
            found = plant()
            if found is not None:
                changed = self._values.watch(found)
                # Frames come once a second while anything changes at all.
                if changed or not self._values.known or now_us() - self._values.heard > SILENT_US:
                    await self._ask()
            try:
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _ask(self) -> None:
        try:
            pieces = [
                piece
                async for piece in self._fabric.call_pieces("monitor.snapshot", {}, SYSTEM, timeout=SILENT_US / SECOND)
            ]
            with pa.ipc.open_stream(pa.py_buffer(b"".join(pieces))) as reader:
                self._values.take(from_arrow(reader.read_all()))
        except (AnlanError, nats.errors.Error, OSError, TimeoutError, pa.ArrowException):
            # Not a problem of this process: the alarm service's own silence is shown where its health is.
            self._values.lost()
            self._health.count("values_unknown")
        else:
            self._values.heard_now(now_us())

    async def _receive(self, message: Msg) -> None:
        try:
            batch, _ = decode(message.data)
        except DecodeError:
            self._health.count("live_undecodable")
            return
        self._values.take(batch)
        if self._values.known:
            self._values.heard_now(now_us())

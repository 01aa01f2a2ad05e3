"""A node that a command starts for a purpose of its own: the demo, a replay, a benchmark, a kill test."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
import nats.js.errors
import pyarrow as pa

from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.batch import decode
from anlan.core.errors import AnlanError, UnavailableError
from anlan.core.events import AlarmTransition, Event, EventType, decode_event
from anlan.core.time import now_us
from anlan.monitor.model import MonitorStatus, Status
from anlan.plant.model import Plant, decode_plant, encode_plant, revision_of
from anlan.runtime import Supervisor, check_ports
from anlan.settings import Settings
from anlan.store.fabric.client import EVENTS, LOG, Fabric
from anlan.store.fabric.log import LogReader
from anlan.store.historian.client import HistorianClient
from anlan.store.historian.requests import SeriesKind, SeriesQuery

_ERROR_LINE = re.compile(r" (ERROR|CRITICAL) |^Traceback ")
_SETTLE_S = 1.0


class TrialNode:
    """Starts a supervised node, and tells when everything that was sent has gone all the way through.

    Args:
        settings: the node; its data directory is used as it is.
        parts: which parts to run.
        announce: called with lines for people.
        plant: put this in force instead of the site files (then ``works`` is not among the parts).
        devices: awaited when all but the gateway are ready, to start the devices it will connect to.
    """

    def __init__(
        self,
        settings: Settings,
        parts: tuple[str, ...],
        announce: Callable[[str], None],
        plant: Plant | None = None,
        devices: Callable[[TrialNode], Awaitable[None]] | None = None,
    ) -> None:
        self.settings = settings
        self.supervisor = Supervisor(settings, parts, announce)
        self.password: str | None = None
        self._plant = plant
        self._devices = devices

    async def __aenter__(self) -> TrialNode:
        from anlan.cli.node import prepare

        await asyncio.to_thread(check_ports, self.settings, self.supervisor.parts)
        self.password = await asyncio.to_thread(prepare, self.settings)
        try:
            await self.supervisor.start_fabric()
            if self._plant is not None:
                await put_in_force(self.fabric, self._plant)
            if self._devices is not None:
                first = [name for name in self.supervisor.parts if name != "gateway"]
                self.supervisor.start_parts(first)
                await self.supervisor.wait_ready(names=first)
                await self._devices(self)
                self.supervisor.start_parts(["gateway"])
            else:
                self.supervisor.start_parts()
            await self.supervisor.wait_ready()
        except BaseException:
            await self.supervisor.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.supervisor.stop()

    @property
    def fabric(self) -> Fabric:
        """The supervisor's connection."""
        return self.supervisor.fabric

    @property
    def historian(self) -> HistorianClient:
        """A client of the node's historian with the node's own rights."""
        return HistorianClient(self.fabric, SYSTEM)

    async def plant(self) -> Plant:
        """Return the plant in force."""
        if self._plant is None:
            _, document = await self.fabric.current_config()
            self._plant = decode_plant(document)
        return self._plant

    async def monitor_status(self) -> MonitorStatus:
        """Return how far the alarm service is."""
        return await self.fabric.call("monitor.status", Status(), SYSTEM, MonitorStatus)

    async def last_samples(self) -> int:
        """Return the sequence of the newest sample batch on the log, 0 when there is none."""
        try:
            message = await self.fabric.jetstream.get_last_msg(LOG, log.SAMPLES, direct=True)
        except nats.js.errors.NotFoundError:
            return 0
        return int(message.seq or 0)

    async def drained(self, timeout: float = 60.0) -> None:
        """Return once no more batches arrive and alarms and historian have taken the last one.

        Args:
            timeout: seconds.

        Raises:
            UnavailableError: it did not happen in time; says who is behind.
        """
        deadline = time.monotonic() + timeout
        last, since, behind = -1, time.monotonic(), "the log does not come to rest"
        while time.monotonic() < deadline:
            try:
                newest = await self.last_samples()
                if newest != last:
                    last, since = newest, time.monotonic()
                elif time.monotonic() - since > _SETTLE_S:
                    evaluated, stored = (await self.monitor_status()).sequence, (await self.historian.status()).mark
                    if evaluated >= last and stored >= last:
                        return
                    behind = f"log {last}, alarms {evaluated}, historian {stored}"
            except (AnlanError, nats.errors.Error, nats.js.errors.Error) as error:
                behind = str(error)
            await asyncio.sleep(0.1)
        raise UnavailableError(f"not all went through in {timeout:.0f} s: {behind}")

    async def series(self, points: tuple[int, ...], start: int, end: int) -> pa.Table:
        """Return every stored sample of ``points`` in [start, end) µs UTC: point, time, value, quality."""
        tables = []
        for first in range(0, len(points), 500):
            query = SeriesQuery(SeriesKind.RAW, points[first : first + 500], start, end, limit=50_000_000)
            tables.append(await self.historian.series(query))
        return pa.concat_tables(tables)

    async def fetcher(self) -> Callable[[list[str], int, int], pa.Table]:
        """Return a blocking function from point paths and a period to all stored samples, for use in a thread."""
        loop = asyncio.get_running_loop()
        numbers = {point.path: point.number for point in (await self.plant()).points}

        def fetch(paths: list[str], start: int, end: int) -> pa.Table:
            wanted = {numbers[path]: path for path in paths}
            future = asyncio.run_coroutine_threadsafe(self.series(tuple(wanted), start, end), loop)
            table = future.result(600)
            names = pa.array([wanted[number] for number in table["point"].to_pylist()], pa.string())
            return table.append_column("path", names)

        return fetch

    def errors(self) -> list[str]:
        """Return the error lines of all parts' logs, each with its part, and the parts that had to be restarted."""
        lines = [f"{child.name}: restarted" for child in self.supervisor.children.values() if child.restarts]
        for path in sorted((self.settings.data / "logs").glob("*.log")):
            lines += [f"{path.stem}: {line}" for line in _error_lines(path)]
        return lines


async def put_in_force(fabric: Fabric, plant: Plant) -> str:
    """Put a compiled plant in force and return its revision."""
    document = encode_plant(plant)
    revision = revision_of(document)
    await fabric.put_config(revision, document)
    record = log.encode(log.ConfigRecord(now_us(), revision))
    await fabric.jetstream.publish(log.CONFIG, record, timeout=10)
    return revision


def _error_lines(path: Path) -> list[str]:
    with path.open(errors="replace") as file:
        return [line.rstrip() for line in file if _ERROR_LINE.search(line)][:20]


class AlarmObserver:
    """Takes down every alarm transition as a subscriber sees it, with the moment it arrived."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.arrivals: list[tuple[int, Event]] = []

    async def start(self) -> None:
        """Subscribe."""
        await self._fabric.client.subscribe(f"events.{EventType.ALARM}", cb=self._take)

    async def _take(self, message: Any) -> None:
        self.arrivals.append((now_us(), decode_event(message.data)))

    async def latencies_ms(self) -> list[float]:
        """Return, per transition fired by a sample batch, ms from its receipt at the gateway to this subscriber."""
        received: dict[int, int | None] = {}
        latencies = []
        for arrived, event in self.arrivals:
            sequence = int(event.data.get("sequence", 0))
            if sequence not in received:
                received[sequence] = await self._received(sequence)
            moment = received[sequence]
            if moment is not None:
                latencies.append((arrived - moment) / 1e3)
        return latencies

    async def _received(self, sequence: int) -> int | None:
        message = await self._fabric.jetstream.get_msg(LOG, seq=sequence, direct=True)
        if message.subject != log.SAMPLES:
            return None
        _, header = decode(message.data or b"")
        return header.received


async def stored_events(fabric: Fabric) -> list[Event]:
    """Return every event of the stream EVENTS, in order."""
    reader = LogReader(fabric, start=1, stream=EVENTS)
    last = await reader.last_sequence()
    events: list[Event] = []
    async for messages in reader.batches(1000):
        events += [decode_event(message.data) for message in messages]
        if not last or (messages and messages[-1].sequence >= last):
            return events
    return events


async def rung_by_kind(node: TrialNode) -> dict[str, int]:
    """Return how many alarms rang, by kind of their definition; those Anlan makes itself count as system."""
    kinds = {alarm.id: alarm.kind for alarm in (await node.plant()).alarms}
    counts: dict[str, int] = {}
    for event in await stored_events(node.fabric):
        if event.type != EventType.ALARM:
            continue
        data = msgspec.convert(event.data, AlarmTransition)
        if data.arrow in ("raise", "re-alarm") and data.rung:
            kind = kinds.get(data.alarm, "system")
            counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def percentiles(values: list[float]) -> dict[str, float | int | None]:
    """Return p50, p99 and max of ``values`` with their number."""
    import numpy as np

    if not values:
        return {"p50": None, "p99": None, "max": None, "n": 0}
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(max(values), 2), "n": len(values)}

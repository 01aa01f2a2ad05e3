"""Runs the park: steps the plant on the wall clock, lets every device sample and send, keeps the journal.

Plant time runs ``speed`` times as fast as the wall clock; sampling periods and source timestamps are wall-clock, so
that data are never in the future and a faster plant is a plant on which more happens between two samples.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from anlan.sim import catalogue
from anlan.sim.edge import SparkplugFeed
from anlan.sim.gas import SenmlFeed
from anlan.sim.hj212 import Hj212Feed
from anlan.sim.journal import Journal
from anlan.sim.modbus import ModbusFeed
from anlan.sim.opcua import OpcUaFeed
from anlan.sim.park import Park
from anlan.sim.ports import Ports
from anlan.sim.secrets import device_password, station_password
from anlan.sim.upsets import Scenario

logger = logging.getLogger(__name__)

TICK = 0.1
FLUSH = 5.0
LONGEST_FLUSH = 60.0
DRAIN = 10.0
BEHIND = 5.0


class Feed(Protocol):
    """One device or server of the park."""

    async def start(self) -> None:
        """Listen, if it is a server."""

    async def sample(self, now: int) -> None:
        """Sample and send what is due at ``now`` (ms UTC)."""

    async def close(self) -> None:
        """Stop cleanly."""


class Devices:
    """All feeds of a park, or those of the connectors in ``only``, and the tasks that keep their connections."""

    def __init__(
        self, park: Park, ports: Ports, seed: int, journal: Journal, start: int, only: frozenset[str] = frozenset()
    ) -> None:
        points = [point for point in park.points if not only or point.connector in only]
        devices: dict[str, list[str]] = {}
        for point in points:
            name = point.device.partition("/")[0] if point.connector == catalogue.EDGE else point.device
            if name not in devices.setdefault(point.connector, []):
                devices[point.connector].append(name)
        plcs = {catalogue.TANKS: ports.tank_plc, catalogue.UTILITY: ports.utility_plc, catalogue.ASU: ports.asu_plc}
        self.servers: list[Feed] = [
            ModbusFeed(park, name, port, journal, start=start) for name, port in plcs.items() if name in devices
        ]
        if catalogue.DCS in devices:
            # First, since it takes seconds to build its address space while the others would stand still.
            self.servers.insert(0, OpcUaFeed(park, ports.opcua, journal, start=start))
        self.panels = [
            SenmlFeed(park, name, ports.mqtt_gas, device_password(seed, name), journal, start=start)
            for name in devices.get(catalogue.GAS, ())
        ]
        self.nodes = [
            SparkplugFeed(
                park, name, ports.mqtt_edge, device_password(seed, f"edge-{name}"), journal, _now_ms, start=start
            )
            for name in devices.get(catalogue.EDGE, ())
        ]
        self.stations = [
            Hj212Feed(park, name, ports.hj212, station_password(seed), journal, start=start)
            for name in devices.get(catalogue.ENVIRONMENT, ())
        ]
        self.feeds: list[Feed] = [*self.servers, *self.panels, *self.nodes, *self.stations]

    def connections(self) -> list[Coroutine[Any, Any, None]]:
        """Return the loops that keep the devices connected to Anlan's listeners."""
        lines = [*(panel.mqtt.run() for panel in self.panels), *(node.mqtt.run() for node in self.nodes)]
        return [*lines, *(station.run() for station in self.stations)]

    def unacknowledged(self) -> dict[str, int]:
        """Return, per connector, messages that wait for an acknowledgement."""
        return {
            catalogue.GAS: sum(panel.mqtt.unacknowledged for panel in self.panels),
            catalogue.ENVIRONMENT: sum(station.unacknowledged for station in self.stations),
        }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def run_park(
    ports: Ports,
    seed: int = 1,
    speed: float = 1.0,
    journal_dir: Path = Path("journal"),
    stop: asyncio.Event | None = None,
    ready: asyncio.Event | None = None,
    *,
    scenario: Scenario | None = None,
    drain: float = DRAIN,
    only: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Run the park until ``stop``; then stop sampling, wait for outstanding acknowledgements, close.

    Args:
        ports: loopback ports. seed: same seed, same plant. speed: plant seconds a wall second, 1…60.
        journal_dir: where the account of what was sent goes.
        stop: ends the run. ready: set once every server listens.
        scenario: what goes wrong; default is the demonstration.
        drain: longest wait for outstanding acknowledgements at the end, s.
        only: connectors whose devices run; all when empty.

    Returns:
        The journal's totals and what is still unacknowledged.
    """
    stop = stop or asyncio.Event()
    park = Park(seed, speed=speed, scenario=scenario)
    journal = Journal(Path(journal_dir), park.points)
    devices = Devices(park, ports, seed, journal, _now_ms(), only)
    for feed in devices.feeds:
        await feed.start()
    tasks = [asyncio.ensure_future(loop) for loop in devices.connections()]
    if ready is not None:
        ready.set()
    logger.info("park of %d points runs, seed %d, speed %g", len(park.points), seed, speed)
    try:
        await _live(park, devices, journal, stop)
        await _drain(devices, drain)
    finally:
        for feed in devices.feeds:
            with suppress(OSError):
                await feed.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        journal.pending = devices.unacknowledged()
        journal.flush()
    return {"connectors": journal.totals, "pending": journal.pending}


async def _live(park: Park, devices: Devices, journal: Journal, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    plant_zero, flushed, started = park.time, began, began
    while not stop.is_set():
        moment = loop.time()
        target = plant_zero + (moment - began) * park.speed
        if target - park.time > BEHIND * park.speed:
            logger.warning("the plant is %.1f s behind; skipping ahead", (target - park.time) / park.speed)
            plant_zero, began = park.time, moment
            target = park.time
        while park.time + park.dt <= target + 1e-9:
            park.step()
        now = _now_ms()
        for feed in devices.feeds:
            await feed.sample(now)
        if moment - flushed >= min(max(FLUSH, (moment - started) / 20), LONGEST_FLUSH):
            flushed = moment
            journal.pending = devices.unacknowledged()
            await asyncio.to_thread(journal.write, *journal.take())
        pause = TICK - (loop.time() - moment)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(pause, 0.001))


async def _drain(devices: Devices, longest: float) -> None:
    for _ in range(round(longest / 0.05)):
        if not any(devices.unacknowledged().values()):
            return
        await asyncio.sleep(0.05)

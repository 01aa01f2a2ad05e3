"""The gateway against a real nats-server, with connectors that a test drives by hand."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import numpy as np
import pytest
from msgspec import structs

from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.quality import Quality
from anlan.perceive import runner
from anlan.perceive.connector import Arrival, Grade, Manifest
from anlan.perceive.model import ConnectorStatus, ListConnectors
from anlan.plant.model import AlarmDefinition, Calibration, ConnectorSpec, Point
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from tests.conftest import FabricProcess
from tests.perceive.conftest import make_plant, put_in_force, read_log, running_gateway, samples, stored, until

PATHS = {f"e/a/u/p{n}": f"t{n}" for n in range(1, 6)}


class HandConnector:
    """Registers itself so that the test can speak for its device."""

    MANIFEST = Manifest("hand", "hand", "手动", Arrival.POLL, Grade.BRONZE)
    running: ClassVar[dict[str, Any]] = {}
    started: ClassVar[list[str]] = []

    def __init__(self, spec: ConnectorSpec, context: Any) -> None:
        self.context = context

    async def run(self) -> None:
        self.running[self.context.spec.id] = self.context
        self.started.append(self.context.spec.id)
        try:
            await asyncio.Event().wait()
        finally:
            del self.running[self.context.spec.id]

    async def run_again(self, raw: bytes, source: str) -> int:
        value = float(raw)
        await self.context.emit(samples([1], [value]))
        return 1


@pytest.fixture(autouse=True)
def _hand_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    HandConnector.running.clear()
    HandConnector.started.clear()
    monkeypatch.setattr(runner, "load", lambda kind: (HandConnector.MANIFEST, HandConnector))


async def test_samples_are_on_the_log_when_the_future_is_done(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),))
    async with running_gateway(settings, plant):
        await until(lambda: HandConnector.running)
        context = HandConnector.running["one"]
        sent = samples([1, 2, 3], [1.5, float("nan"), 3.5])
        await context.emit(sent)
        batch, headers = await stored(settings)
    assert batch.point.tolist() == [1, 2, 3]
    assert batch.time.tolist() == sent.time.tolist()
    assert batch.quality.tolist() == [0, Quality.BAD_NOT_A_NUMBER, 0]
    assert [(run.connector, run.rows) for run in headers[0].runs] == [("one", 3)]


async def test_what_arrives_while_appends_are_in_flight_goes_together(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS), ConnectorSpec("two", "hand", map=PATHS)))
    async with running_gateway(settings, plant):
        await until(lambda: len(HandConnector.running) == 2)
        contexts = [HandConnector.running["one"], HandConnector.running["two"]]
        futures = [contexts[n % 2].emit(samples([1, 2], [n, n + 0.5])) for n in range(400)]
        await asyncio.gather(*futures)
        batch, headers = await stored(settings)
    assert sorted(batch.value.tolist()) == sorted([n + half for n in range(400) for half in (0, 0.5)])
    assert len(headers) <= 6
    rows = {"one": 0, "two": 0}
    for header in headers:
        for run in header.runs:
            rows[run.connector] += run.rows
    assert rows == {"one": 400, "two": 400}


async def test_a_killed_log_costs_no_sample_and_alarmed_points_come_first(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    alarms = (AlarmDefinition("e/a/u/p2.H", point=2, kind="H", priority=1, limit=5.0),)
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),), alarms=alarms)
    async with running_gateway(settings, plant) as (_, health):
        await until(lambda: HandConnector.running)
        context = HandConnector.running["one"]
        await context.emit(samples([1, 2], [0.0, 0.0]))
        fabric_process.kill()
        futures = []
        for n in range(1, 60):
            futures.append(context.emit(samples([1, 2], [n, n])))
            await asyncio.sleep(0.01)
        await until(lambda: "log" in health.problems)
        await until(lambda: health.counters.get("buffer_bytes", 0) > 0)
        assert not all(future.done() for future in futures)
        await fabric_process.start_async()
        await asyncio.wait_for(asyncio.gather(*futures), 20)
        await until(lambda: "log" not in health.problems)
        batch, _ = await stored(settings)
        reported = [log.decode(log.CONNECTOR, message.data) for message in await read_log(settings, log.CONNECTOR)]
    for point in (1, 2):
        assert sorted(batch.value[batch.point == point].tolist()) == list(range(60))
    half = np.flatnonzero(batch.point == 2)[-1]
    assert np.count_nonzero(batch.point[half:] == 1) > 10
    assert reported == []


async def test_what_rests_on_disk_is_sent_by_the_next_gateway(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),))
    async with running_gateway(settings, plant) as (_, health):
        await until(lambda: HandConnector.running)
        context = HandConnector.running["one"]
        fabric_process.kill()
        for n in range(30):
            context.emit(samples([1], [n]))
            await asyncio.sleep(0.01)
        await until(lambda: health.counters.get("buffer_bytes", 0) > 0)
    await fabric_process.start_async()
    async with running_gateway(settings) as (_, health):
        await until(lambda: health.counters.get("buffer_bytes") == 0)
    batch, _ = await stored(settings)
    assert sorted(batch.value.tolist()) == list(range(30))


async def test_lost_and_back_are_told_once_each(settings: Settings, fabric_process: FabricProcess) -> None:
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),))
    async with running_gateway(settings, plant):
        await until(lambda: HandConnector.running)
        context = HandConnector.running["one"]
        for _ in range(3):
            context.up()
        for _ in range(3):
            context.down("cut")
        context.up()
        await asyncio.sleep(0.2)
        records = [log.decode(log.CONNECTOR, message.data) for message in await read_log(settings, log.CONNECTOR)]
        async with await Fabric.connect(settings, "runtime") as fabric:
            events = (await fabric.jetstream.stream_info("EVENTS", subjects_filter=">")).state.subjects
    assert [(record.up, record.reason) for record in records] == [(True, ""), (False, "cut"), (True, "")]
    assert events == {"events.connector.state": 3}


async def test_a_reload_restarts_only_what_changed_and_swaps_the_calibration(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    specs = (ConnectorSpec("one", "hand", map=PATHS), ConnectorSpec("two", "hand", map=PATHS))
    plant = make_plant(specs)
    async with running_gateway(settings, plant) as (_, health), await Fabric.connect(settings, "runtime") as fabric:
        await until(lambda: len(HandConnector.running) == 2)
        context = HandConnector.running["one"]
        await context.emit(samples([1], [2.0]))
        calibrated = Point(1, "e/a/u/p1", "other", "", calibration=Calibration(gain=10.0, offset=1.0))
        connectors = (specs[0], ConnectorSpec("two", "hand", options={"x": 1}, map=PATHS))
        document = structs.replace(plant, connectors=connectors, points=(calibrated, *plant.points[1:]))
        revision = await put_in_force(fabric, document)
        await until(lambda: health.details.get("revision") == revision)
        await context.emit(samples([1], [2.0]))
        await until(lambda: HandConnector.started == ["one", "two", "two"])
        batch, headers = await stored(settings)
    assert batch.value.tolist() == [2.0, 21.0]
    assert headers[1].revision == revision != headers[0].revision


async def test_connectors_are_listed_with_their_counters(settings: Settings, fabric_process: FabricProcess) -> None:
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),))
    async with running_gateway(settings, plant) as (_, health), await Fabric.connect(settings, "runtime") as fabric:
        await until(lambda: HandConnector.running)
        context = HandConnector.running["one"]
        await context.emit(samples([1, 2, 99], [1.0, float("inf"), 3.0]))
        context.unmapped("t9", 2)
        (status,) = await fabric.call("perceive.connectors", ListConnectors(), SYSTEM, tuple[ConnectorStatus, ...])
        await until(lambda: health.details["connectors"]["one"]["good"] == 1)  # type: ignore[index]  # builtins
    assert (status.good, status.bad, status.unmapped, status.unmapped_tags) == (1, 1, 3, {"t9": 2})
    assert status.points == 5

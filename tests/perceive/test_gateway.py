"""The gateway against a real nats-server, with connectors that a test drives by hand."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import numpy as np
import pytest
from msgspec import structs

from anlan.core import log
from anlan.core.actor import SYSTEM, Actor, Grant, Role
from anlan.core.batch import SampleBatch, decode
from anlan.core.errors import ConflictError, DecodeError, InvalidInputError, NotFoundError, PermissionDeniedError
from anlan.core.events import decode_event
from anlan.core.health import Health
from anlan.core.quality import Quality
from anlan.core.time import now_us
from anlan.perceive import gateway, runner, service
from anlan.perceive.client import PerceiveClient
from anlan.perceive.connector import Arrival, Grade, Manifest
from anlan.perceive.model import ConnectorStatus, ListConnectors
from anlan.perceive.service import GatewayService
from anlan.plant.model import AlarmDefinition, Calibration, ConnectorSpec, Point
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.log import LogMessage, LogReader
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


async def test_while_the_log_refuses_batches_ring_unlogged_and_none_is_lost(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),))
    async with running_gateway(settings, plant) as (_, health), await Fabric.connect(settings, "runtime") as fabric:
        await until(lambda: HandConnector.running)
        context = HandConnector.running["one"]
        unlogged: list[float] = []

        async def take(message: Any) -> None:
            unlogged.extend(decode(message.data)[0].value.tolist())

        await fabric.client.subscribe(log.UNLOGGED, cb=take)
        await context.emit(samples([1], [0.0]))
        full = (await fabric.jetstream.stream_info("LOG")).config
        await fabric.jetstream.update_stream(full.evolve(max_bytes=1, max_msgs=1))
        futures = [context.emit(samples([1], [float(n)])) for n in range(1, 20)]
        await until(lambda: set(unlogged) == set(range(1, 20)))
        assert "refuses" in health.problems["log"]
        assert not any(future.done() for future in futures)
        await fabric.jetstream.update_stream(full)
        await asyncio.wait_for(asyncio.gather(*futures), 20)
        await until(lambda: "log" not in health.problems)
        batch, _ = await stored(settings)
        system = [decode_event(message.data) for message in await read_events(settings, "events.system.state")]
    assert sorted(batch.value.tolist()) == [float(n) for n in range(20)]
    assert [event.data["state"] for event in system] == ["refusing", "up"]


async def test_at_the_edge_it_starts_without_the_fabric_and_delivers_later(
    settings: Settings, fabric_process: FabricProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),))
    async with running_gateway(settings, plant):
        await until(lambda: HandConnector.running)
    fabric_process.kill()
    monkeypatch.setattr(service, "FIRST_WAIT_S", 0.1)
    health, stop = Health("gateway"), asyncio.Event()
    async with await Fabric.connect(settings, "gateway", wait=False) as fabric:
        task = asyncio.create_task(GatewayService(fabric, health).run(stop))
        await until(lambda: HandConnector.running)
        context = HandConnector.running["one"]
        futures = [context.emit(samples([2], [float(n)])) for n in range(20)]
        context.up()
        await until(lambda: health.counters.get("buffer_bytes", 0) > 0)
        await fabric_process.start_async()
        await asyncio.wait_for(asyncio.gather(*futures), 20)
        await until(lambda: health.counters.get("buffer_bytes") == 0)
        stop.set()
        await task
    batch, _ = await stored(settings)
    assert sorted(batch.value.tolist()) == [float(n) for n in range(20)]
    records = [log.decode(log.CONNECTOR, message.data) for message in await read_log(settings, log.CONNECTOR)]
    assert [record.up for record in records] == [True]


async def test_the_byte_budget_holds_sources_back_and_lets_them_go_on(
    settings: Settings, fabric_process: FabricProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "BUDGET", 100_000)
    monkeypatch.setattr(gateway, "RESUME", 50_000)
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),))
    async with running_gateway(settings, plant):
        await until(lambda: HandConnector.running)
        context = HandConnector.running["one"]
        big = samples([1] * 6_000, list(range(6_000)))
        future = context.emit(big)
        waiting = asyncio.create_task(context.writable())
        await asyncio.sleep(0)
        assert not waiting.done()
        await future
        await asyncio.wait_for(waiting, 5)
        batch, _ = await stored(settings)
    assert batch.value.tolist() == list(range(6_000))


async def test_a_batch_larger_than_a_message_is_split_and_done_as_a_whole(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),))
    count = 450_000
    async with running_gateway(settings, plant):
        await until(lambda: HandConnector.running)
        context = HandConnector.running["one"]
        with pytest.raises(InvalidInputError, match="differ in length"):
            context.emit(SampleBatch(np.ones(2, np.int32), np.ones(1, np.int64), np.ones(2), np.zeros(2, np.uint8)))
        await context.emit(samples([1] * count, list(range(count)), start=now_us() - 500_000_000))
        batch, headers = await stored(settings)
    assert np.array_equal(np.sort(batch.value), np.arange(count))
    assert len(headers) >= 3


async def test_a_misconfigured_connector_is_named_and_does_not_stop_the_others(
    settings: Settings, fabric_process: FabricProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(kind: str) -> Any:
        if kind == "nonsense":
            raise InvalidInputError("no connector of kind 'nonsense'", fix="hand")
        return HandConnector.MANIFEST, HandConnector

    monkeypatch.setattr(runner, "load", load)
    plant = make_plant((ConnectorSpec("bad", "nonsense"), ConnectorSpec("one", "hand", map=PATHS)))
    async with running_gateway(settings, plant) as (_, health):
        await until(lambda: HandConnector.running)
        await until(lambda: "connector:bad" in health.problems)
        await HandConnector.running["one"].emit(samples([1], [1.0]))
        assert "nonsense" in health.problems["connector:bad"]


async def test_garbage_cannot_fill_the_dead_letters(settings: Settings, fabric_process: FabricProcess) -> None:
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),))
    async with running_gateway(settings, plant) as (_, health), await Fabric.connect(settings, "runtime") as fabric:
        await until(lambda: HandConnector.running)
        context = HandConnector.running["one"]
        for n in range(500):
            context.dead_letter(b"\xff" * 100_000, DecodeError(f"broken {n}"), source="noisy")
        context.dead_letter(b"12.5", DecodeError("quiet", where="line 1", fix="a number"), source="quiet")
        await until(lambda: health.counters.get("dead_letters") == 501)
        client = PerceiveClient(fabric, SYSTEM)
        page = await client.dead_letters(limit=500)
        first = await client.dead_letters(limit=10)
        second = await client.dead_letters(limit=500, before=first.next)
        quiet = page.letters[0]
        whole = await client.dead_letter(page.letters[1].sequence)
        with pytest.raises(ConflictError, match="bytes were kept"):
            await client.mend(whole.sequence)
        viewer = Actor("guest", grants=(Grant(Role.OPERATOR),))
        with pytest.raises(PermissionDeniedError):
            await PerceiveClient(fabric, viewer).mend(quiet.sequence)
        result = await client.mend(quiet.sequence)
        with pytest.raises(NotFoundError):
            await client.dead_letter(quiet.sequence)
        audit = [decode_event(message.data) for message in await read_events(settings, "events.audit.change")]
    assert page.kept == len(page.letters) == 21
    assert [letter.sequence for letter in (*first.letters, *second.letters)] == [n.sequence for n in page.letters]
    assert (quiet.source, quiet.where, quiet.fix) == ("quiet", "line 1", "a number")
    assert (whole.size, len(whole.raw)) == (100_000, 65_536)
    assert result.samples == 1
    assert audit[0].data["action"] == "mend-dead-letter"


async def read_events(settings: Settings, subject: str) -> list[LogMessage]:
    async with await Fabric.connect(settings, "runtime") as fabric:
        reader = LogReader(fabric, start=1, stream="EVENTS", subjects=[subject])
        async for batch in reader.batches(wait=0.3):
            return batch
    return []

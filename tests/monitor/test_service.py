"""The alarm service as a real process against a real nats-server: killed under load, no alarm twice, none missing."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anlan.core import log
from anlan.core.actor import SYSTEM, Actor, Grant, Role
from anlan.core.batch import BatchHeader, SampleBatch, decode, encode
from anlan.core.errors import InvalidInputError
from anlan.core.events import Event, decode_event
from anlan.core.health import Health
from anlan.core.time import SECOND, now_us
from anlan.monitor import snapshots
from anlan.monitor.engine import Engine
from anlan.monitor.model import (
    ActResult,
    AlarmList,
    ListAlarms,
    MonitorStatus,
    PerformanceQuery,
    Snapshot,
    Status,
)
from anlan.monitor.performance import Performance
from anlan.monitor.service import EMPTY_PLANT, AlarmService, run
from anlan.plant.model import AlarmDefinition, Plant, Point, SiteInfo, decode_plant, encode_plant, revision_of
from anlan.settings import Settings
from anlan.store.fabric.client import EVENTS, Fabric
from anlan.store.fabric.log import LogMessage, LogReader, LogWriter
from tests.conftest import FabricProcess

POINTS = 40

CHILD = """
import asyncio
from anlan.core.health import Health
from anlan.monitor.service import run
from anlan.settings import from_environment
from anlan.store.fabric.client import Fabric

async def main():
    settings = from_environment()
    fabric = await Fabric.connect(settings, "alarms")
    await run(fabric, Health("alarms"), asyncio.Event())

asyncio.run(main())
"""


def busy_plant() -> Plant:
    points = tuple(Point(n, f"e/a/u/p{n}", "level", "m", stale_after=SECOND) for n in range(1, POINTS + 1))
    alarms = []
    for n in range(1, POINTS + 1):
        path = f"e/a/u/p{n}"
        high = AlarmDefinition(f"{path}.HH", n, "HH", 1, limit=20.0)
        delayed = AlarmDefinition(
            f"{path}.H", n, "H", 2, limit=10.0, deadband=1.0, on_delay=150_000, covered_by=(f"{path}.HH",)
        )
        alarms += [high, delayed, AlarmDefinition(f"{path}.stale", n, "stale", 3)]
    return Plant(SiteInfo("s", "s"), points=points, alarms=tuple(alarms))


async def put_in_force(fabric: Fabric, plant: Plant) -> str:
    document = encode_plant(plant)
    revision = revision_of(document)
    await fabric.put_config(revision, document)
    record = log.encode(log.ConfigRecord(now_us(), revision))
    await fabric.jetstream.publish(log.CONFIG, record, timeout=10)
    return revision


async def read_all(fabric: Fabric, stream: str) -> list[LogMessage]:
    last = int((await fabric.jetstream.stream_info(stream)).state.last_seq)
    messages: list[LogMessage] = []
    if not last:
        return messages
    async for batch in LogReader(fabric, start=1, stream=stream).batches(256, wait=1.0):
        messages += batch
        if messages and messages[-1].sequence >= last:
            return messages
    return messages


async def replay(fabric: Fabric, messages: list[LogMessage], node: str) -> list[Event]:
    """The undisturbed run: the engine over the recorded log."""
    engine = Engine(EMPTY_PLANT, node)
    events: list[Event] = []
    for message in messages:
        if message.subject == log.SAMPLES:
            batch, header = decode(message.data)
            events += engine.samples(batch, header, message.sequence)
            continue
        record = log.decode(message.subject, message.data)
        if isinstance(record, log.Tick):
            events += engine.tick(record, message.sequence)
        elif isinstance(record, log.Command):
            events += engine.command(record, message.sequence).events
        elif isinstance(record, log.ConnectorRecord):
            events += engine.connector(record, message.sequence)
        else:
            plant = decode_plant(await fabric.get_config(record.revision))
            events += engine.config(plant, record.revision, record.time, message.sequence)
    return events


async def load(writer: LogWriter, stop: asyncio.Event) -> None:
    """Noise around the limits on every point, some of it bad."""
    generator = np.random.default_rng(7)
    number = 0
    while not stop.is_set():
        number += 1
        now = now_us()
        point = generator.integers(1, POINTS + 1, 60).astype(np.int32)
        value = generator.normal(12, 6, 60)
        quality = np.where(generator.random(60) < 0.02, 0x80, 0).astype(np.uint8)
        batch = SampleBatch(point, now + np.arange(60), value, quality)
        await writer.append(log.SAMPLES, encode(batch, BatchHeader("gw", now)), f"g{number}")
        await asyncio.sleep(0.01)


def start_alarms(settings: Settings) -> subprocess.Popen[bytes]:
    out = (settings.directory("logs") / "alarms.log").open("ab")
    environment = {**os.environ, **settings.environment()}
    return subprocess.Popen([sys.executable, "-c", CHILD], env=environment, stdout=out, stderr=out)


async def evaluated_to_the_end(fabric: Fabric, at_least: int) -> None:
    for _ in range(400):
        try:
            status = await fabric.call("monitor.status", Status(), SYSTEM, MonitorStatus, timeout=1)
        except Exception:
            await asyncio.sleep(0.1)
            continue
        if status.sequence >= at_least:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the alarms never came to the end of the log")


async def stands_still(fabric: Fabric, stream: str, quiet: float = 2.0, timeout: float = 40.0) -> None:
    """Wait until nothing has been added to a stream for ``quiet`` seconds: publishing follows evaluating."""
    loop = asyncio.get_running_loop()
    deadline, last, since = loop.time() + timeout, -1, loop.time()
    while loop.time() - since < quiet:
        assert loop.time() < deadline, f"{stream} still grows after {timeout} s"
        await asyncio.sleep(0.1)
        length = int((await fabric.jetstream.stream_info(stream)).state.last_seq)
        if length != last:
            last, since = length, loop.time()


@pytest.mark.timeout(120)
async def test_killed_under_load_no_event_is_twice_or_missing(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    chance = random.Random(3)
    async with await Fabric.connect(settings, "runtime") as fabric:
        await fabric.ensure_streams()
        await put_in_force(fabric, busy_plant())
        stop = asyncio.Event()
        loading = asyncio.ensure_future(load(LogWriter(fabric), stop))
        alarms = start_alarms(settings)
        try:
            for _ in range(5):
                await evaluated_to_the_end(fabric, 1)
                await asyncio.sleep(chance.uniform(0.2, 1.8))
                alarms.kill()
                alarms.wait()
                alarms = start_alarms(settings)
            await evaluated_to_the_end(fabric, 1)
            stop.set()
            await loading
            sequence = int((await fabric.jetstream.stream_info("LOG")).state.last_seq)
            await evaluated_to_the_end(fabric, sequence)
            await stands_still(fabric, EVENTS)
        finally:
            alarms.kill()
            alarms.wait()
        recorded = await read_all(fabric, "LOG")
        expected = await replay(fabric, recorded, "test")
        published = [decode_event(message.data) for message in await read_all(fabric, EVENTS)]
    assert len(expected) > 500
    times_published = Counter(event.id for event in published)
    assert [id_ for id_, count in times_published.items() if count > 1] == []
    ids = [event.id for event in published]
    # What the last process had not yet evaluated when it was killed is not in the stream.
    assert ids == [event.id for event in expected][: len(ids)]
    told = {event.id: event for event in published}
    assert all(told[event.id] == event for event in expected[: len(ids)])
    after = [event for event in expected[len(ids) :] if event.data.get("sequence", 0) <= sequence]
    assert after == []


class Running:
    """The service in this process, for tests of what it answers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.health = Health("alarms")
        self.stop = asyncio.Event()

    async def __aenter__(self) -> Running:
        self.own = await Fabric.connect(self.settings, "alarms")
        self.fabric = await Fabric.connect(self.settings, "runtime")
        await self.fabric.ensure_streams()
        await put_in_force(self.fabric, busy_plant())
        self.writer = LogWriter(self.fabric)
        self.number = 0
        self.task = asyncio.ensure_future(run(self.own, self.health, self.stop))
        await evaluated_to_the_end(self.fabric, 1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 10)
        await self.own.close()
        await self.fabric.close()

    async def sample(self, number: int, value: float) -> None:
        self.number += 1
        now = now_us()
        batch = SampleBatch(np.array([number], np.int32), np.array([now]), np.array([value]), np.zeros(1, np.uint8))
        message = encode(batch, BatchHeader("gw", now))
        sequence = await self.writer.append(log.SAMPLES, message, f"s{self.number}")
        await evaluated_to_the_end(self.fabric, sequence)

    async def alarms(self, view: str = "standing", actor: Actor = SYSTEM, scope: str = "") -> AlarmList:
        return await self.fabric.call("monitor.alarms", ListAlarms(view, scope), actor, AlarmList)

    async def act(self, actor: Actor = SYSTEM, **act: object) -> ActResult:
        return await self.fabric.call("monitor.act", act, actor, ActResult)


async def test_an_operator_acknowledges_shelves_and_sees_only_his_place(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    operator = Actor("li", grants=(Grant(Role.OPERATOR, "e/a"),))
    stranger = Actor("wang", grants=(Grant(Role.OPERATOR, "e/b"),))
    auditor = Actor("zhao", grants=(Grant(Role.AUDITOR),))
    async with Running(settings) as running:
        await running.sample(1, 25.0)
        await running.sample(2, 25.0)
        rows = [row for row in (await running.alarms()).rows if row.kind == "HH"]
        assert [row.alarm for row in rows] == ["e/a/u/p2.HH", "e/a/u/p1.HH"]
        assert (await running.alarms(actor=stranger)).rows == ()
        first = next(row for row in rows if row.alarm == "e/a/u/p1.HH")
        acknowledge = {"verb": "acknowledge", "alarms": [first.alarm]}

        denied = await running.act(auditor, **acknowledge, instances=[first.instance])
        assert "may not acknowledge" in denied.refused[first.alarm]
        hidden = await running.act(stranger, **acknowledge, instances=[first.instance])
        assert "no such alarm" in hidden.refused[first.alarm]
        old = await running.act(operator, **acknowledge, instances=["01OLD"])
        assert "newer instance" in old.refused[first.alarm]
        assert (await running.act(operator, **acknowledge, instances=[first.instance])).done == (first.alarm,)
        row = next(row for row in (await running.alarms()).rows if row.alarm == first.alarm)
        assert (row.state, row.who, row.acknowledged) == ("acknowledged", "li", True)

        shelve = {"verb": "shelve", "alarms": ["e/a/u/p2.HH"]}
        with pytest.raises(InvalidInputError, match="reason"):
            await running.act(operator, **shelve, until=now_us() + 60 * SECOND)
        too_long = await running.act(operator, **shelve, comment="test", until=now_us() + 9 * 3600 * SECOND)
        assert "longer" in too_long.refused["e/a/u/p2.HH"]
        done = await running.act(operator, **shelve, comment="test", until=now_us() + 1 * SECOND)
        assert done.done == ("e/a/u/p2.HH",)
        assert [row.alarm for row in (await running.alarms("shelved")).rows] == ["e/a/u/p2.HH"]
        for _ in range(60):
            if not (await running.alarms("shelved")).rows:
                break
            await asyncio.sleep(0.05)
        again = next(row for row in (await running.alarms()).rows if row.alarm == "e/a/u/p2.HH")
        assert again.state == "unacknowledged"
        assert again.instance != rows[0].instance


async def test_last_values_come_live_and_on_request(settings: Settings, fabric_process: FabricProcess) -> None:
    async with Running(settings) as running:
        live = await running.fabric.client.subscribe(log.LIVE)
        await running.sample(3, 5.5)
        seen: dict[int, float] = {}
        while 3 not in seen:
            batch, _ = decode((await live.next_msg(timeout=5)).data)
            seen |= dict(zip(batch.point.tolist(), batch.value.tolist(), strict=True))
        assert seen[3] == 5.5
        pieces = [p async for p in running.fabric.call_pieces("monitor.snapshot", Snapshot(), SYSTEM)]
        batch, header = decode(b"".join(pieces))
        assert batch.point.tolist() == [3]
        assert header.revision


async def test_what_the_log_refuses_rings_provisionally_and_is_never_stored(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with Running(settings) as running:
        heard = await running.fabric.client.subscribe("live.alarm")
        now = now_us()
        batch = SampleBatch(np.array([5], np.int32), np.array([now]), np.array([25.0]), np.zeros(1, np.uint8))
        await running.fabric.client.publish(log.UNLOGGED, encode(batch, BatchHeader("gw", now)))
        alarms = [decode_event((await heard.next_msg(timeout=5)).data).subject for _ in range(2)]
        assert alarms == ["system/log.lost", "e/a/u/p5.HH"]
        assert [row.alarm for row in (await running.alarms()).rows] == ["e/a/u/p5.HH"]
        await running.sample(6, 1.0)
        back = decode_event((await heard.next_msg(timeout=5)).data)
        while back.subject != "system/log.lost":
            back = decode_event((await heard.next_msg(timeout=5)).data)
        assert back.data["arrow"] == "clear"
        assert (await running.alarms()).rows == ()
        journal = [decode_event(m.data).subject for m in await read_all(running.fabric, EVENTS)]
        assert "e/a/u/p5.HH" not in journal


async def test_performance_is_answered_from_the_newest_events(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with Running(settings) as running:
        begin = now_us()
        for value in (25.0, 1.0, 25.0):
            await running.sample(7, value)
        await asyncio.sleep(1.0)
        query = PerformanceQuery(begin - SECOND, now_us() + SECOND)
        performance = await running.fabric.call("monitor.performance", query, SYSTEM, Performance)
        assert dict(performance.top)["e/a/u/p7.HH"] == 2
        assert dict(performance.fleeting)["e/a/u/p7.HH"] == 1


async def test_an_unreadable_record_is_skipped_and_the_rest_goes_on(
    settings: Settings, fabric_process: FabricProcess, tmp_path: Path
) -> None:
    async with Running(settings) as running:
        await running.writer.append(log.SAMPLES, b"garbage", "bad1")
        await running.writer.append(log.COMMAND, b"{}", "bad2")
        await running.sample(1, 25.0)
        assert {row.alarm for row in (await running.alarms()).rows} >= {"e/a/u/p1.HH"}
        assert running.health.counters["undecodable"] == 2


async def test_a_snapshot_never_holds_a_record_whose_events_are_still_being_published(
    settings: Settings, fabric_process: FabricProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await Fabric.connect(settings, "runtime") as fabric:
        await fabric.ensure_streams()
        await put_in_force(fabric, busy_plant())
        service = AlarmService(fabric, Health("alarms"), asyncio.Event())
        await service.start()
        now = now_us()
        batch = SampleBatch(
            np.array([1, 2], np.int32), np.array([now, now]), np.array([25.0, 25.0]), np.zeros(2, np.uint8)
        )
        writer = LogWriter(fabric)
        await writer.append(log.SAMPLES, encode(batch, BatchHeader("gw", now)), "s1")
        config, samples = await read_all(fabric, "LOG")
        await service.step(config)
        publish = service.publisher.publish
        half_way, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(events: list[Event]) -> None:
            await publish(events[:1])
            half_way.set()
            await go_on.wait()
            await publish(events[1:])

        monkeypatch.setattr(service.publisher, "publish", slowly)
        stepping = asyncio.ensure_future(service.step(samples))
        await half_way.wait()
        storing = asyncio.ensure_future(service.store())
        await asyncio.sleep(0.3)
        assert not storing.done()
        go_on.set()
        await stepping
        await storing
        stored = snapshots.load(service.directory)
        assert stored is not None
        assert stored.sequence == samples.sequence
        assert stored.events == len(await read_all(fabric, EVENTS)) == 2


async def test_events_of_the_last_record_before_a_crash_are_not_published_again(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    short = replace(settings, duplicate_window_s=0.5)
    async with await Fabric.connect(short, "runtime") as fabric:
        await fabric.ensure_streams()
        await put_in_force(fabric, busy_plant())
        now = now_us()
        batch = SampleBatch(np.array([1], np.int32), np.array([now]), np.array([25.0]), np.zeros(1, np.uint8))
        await LogWriter(fabric).append(log.SAMPLES, encode(batch, BatchHeader("gw", now)), "s1")
        for _ in range(2):  # the second start stands for the one after a crash that left no snapshot
            service = AlarmService(fabric, Health("alarms"), asyncio.Event())
            await service.start()
            for message in await read_all(fabric, "LOG"):
                await service.step(message)
            await service.publisher.drain()
            await asyncio.sleep(1.0)  # longer than the log's duplicate window
        ids = [decode_event(message.data).id for message in await read_all(fabric, EVENTS)]
    assert len(ids) == len(set(ids)) == 1


async def test_it_starts_anew_from_its_snapshot_and_from_a_broken_one(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with Running(settings) as running:
        await running.sample(1, 25.0)
    path = settings.directory("alarms") / snapshots.NAME
    assert path.exists()
    for document in (path.read_bytes(), b"\x00broken", None):
        if document is None:
            path.unlink()
        else:
            path.write_bytes(document)
        async with Running(settings) as running:
            standing = {row.alarm for row in (await running.alarms()).rows}
            assert "e/a/u/p1.HH" in standing
            events = [decode_event(m.data) for m in await read_all(running.fabric, EVENTS)]
        assert len({event.id for event in events}) == len(events)
        raised = [e for e in events if e.subject == "e/a/u/p1.HH" and e.data["arrow"] == "raise"]
        assert len(raised) == 1

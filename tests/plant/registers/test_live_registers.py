"""Barriers, work and presence over a real fabric, with a stand-in for the alarm service's last values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import numpy as np
import pyarrow as pa
import pytest

from anlan.core import log
from anlan.core.actor import Actor
from anlan.core.batch import SCHEMA, BatchHeader, SampleBatch, encode, to_arrow
from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from anlan.core.time import HOUR, SECOND, now_us
from anlan.plant.registers import barrier_facts, live
from anlan.plant.registers.model import (
    ActOnWork,
    BarrierHealth,
    CountPeople,
    ListWork,
    PlanWork,
    PresenceHistory,
    RecordTest,
    ReportBarrier,
    RequestBypass,
)
from tests.plant.registers import conftest
from tests.plant.registers.conftest import ANN, BOB, OPAL, RITA, SUE, WEST, Works

BARRIERS = """\
barriers:
  - {id: detect, path: e/a/u, kind: gas-detection, name: 气体检测, points: [gas], test_interval: 90 d}
  - {id: trip, path: e/a/u, kind: interlock, points: [p], condition: "'p' < 1.5", tested: 2026-01-01}
  - {id: dike, path: w/a, kind: dike}
"""
SITE = conftest.SITE.replace(
    "              - {id: gas,", "              - {id: people, kind: people}\n              - {id: gas,"
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "SITE", SITE + BARRIERS)
    monkeypatch.setattr(barrier_facts, "SETTLE_US", 0)
    monkeypatch.setattr(live, "SWEEP_S", 0.1)


class Values:
    """Answers ``monitor.snapshot`` and publishes what is put."""

    def __init__(self, works: Works) -> None:
        self.works = works
        self.numbers: dict[str, int] = {}
        self.batch = SampleBatch.empty()

    async def start(self) -> None:
        _, plant = await self.works.plant.current()
        self.numbers = {point.path: point.number for point in plant.points}
        await self.put(("e/a/u/p", 1.0, 0), ("e/a/u/gas", 0.0, 0), ("e/a/u/people", 4.0, 0))
        await self.works.fabric.serve_pieces("monitor.snapshot", dict, self.snapshot)

    async def snapshot(self, _request: dict[str, object], _actor: Actor) -> AsyncIterator[bytes]:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, SCHEMA) as writer:
            writer.write_batch(to_arrow(self.batch))
        yield bytes(sink.getvalue())

    async def put(self, *rows: tuple[str, float, int]) -> None:
        now = now_us()
        batch = SampleBatch(
            np.array([self.numbers[path] for path, _, _ in rows], np.int32),
            np.full(len(rows), now, np.int64),
            np.array([value for _, value, _ in rows], np.float64),
            np.array([quality for _, _, quality in rows], np.uint8),
        )
        kept = ~np.isin(self.batch.point, batch.point)
        self.batch = SampleBatch.concatenate([self.batch.take(kept), batch])
        await self.works.fabric.client.publish(log.LIVE, encode(batch, BatchHeader("n", now)))


@pytest.fixture
async def values(works: Works) -> Values:
    found = Values(works)
    await found.start()
    return found


async def _until(works: Works, barrier: str, holds: Callable[[BarrierHealth], bool]) -> BarrierHealth:
    async with asyncio.timeout(20):
        while True:
            (found,) = [item for item in await works.registers.barriers(ANN) if item.id == barrier]
            if holds(found):
                return found
            await asyncio.sleep(0.05)


async def test_a_barrier_follows_its_points_and_tells_why(works: Works, values: Values) -> None:
    await _until(works, "trip", lambda item: item.available == 1 and item.state == "healthy")
    await values.put(("e/a/u/gas", float("nan"), 0x81))
    failed = await _until(works, "detect", lambda item: item.state == "failed")
    assert [(reason.kind, reason.ref, reason.text) for reason in failed.reasons] == [
        ("point", "e/a/u/gas", "bad-sensor")
    ]
    await values.put(("e/a/u/gas", 0.0, 0), ("e/a/u/p", 1.6, 0))
    await _until(works, "detect", lambda item: item.state == "healthy")
    unmet = await _until(works, "trip", lambda item: item.state == "failed")
    assert unmet.reasons[0].text == "p = 1.6"
    events = [event for event in await works.events("barrier.change", 3) if event.data["id"] == "detect"]
    assert [(event.data["before"], event.data["state"]) for event in events[:2]] == [
        ("healthy", "failed"),
        ("failed", "healthy"),
    ]
    assert events[0].causes[0].startswith(f"samples:{works.fabric.settings.node}/{values.numbers['e/a/u/gas']}/")
    assert events[1].causes == (events[0].id,)


async def test_a_bypassed_point_bypasses_its_barrier(works: Works, values: Values) -> None:
    await _until(works, "detect", lambda item: item.available == 1)
    bypass = await works.registers.request_bypass(ANN, RequestBypass("e/a/u/gas", "标定", now_us() + HOUR))
    await works.registers.act_on_bypass(SUE, bypass.id, "approve")
    found = await _until(works, "detect", lambda item: item.state == "bypassed")
    assert (found.reasons[0].ref, found.reasons[0].text) == (bypass.id, "标定")
    told = {event.id: event.data["action"] for event in await works.events("bypass.change", 2)}
    assert told[found.reasons[0].cause] == "bypass.approve"
    await works.registers.act_on_bypass(ANN, bypass.id, "restore")
    await _until(works, "detect", lambda item: item.state == "healthy")


async def test_a_failed_test_stands_until_one_passes(works: Works, values: Values) -> None:
    registers = works.registers
    with pytest.raises(InvalidInputError, match="comment"):
        await registers.record_test(OPAL, RecordTest("detect", "failed"))
    failed = await registers.record_test(OPAL, RecordTest("detect", "failed", "标准气无响应"))
    assert (failed.state, failed.by_test, failed.result, failed.tested_by) == ("failed", True, "failed", "opal")
    with pytest.raises(ConflictError, match="a test found it so"):
        await registers.act_on_barrier(ANN, "detect", "restore", "好了")
    with pytest.raises(PermissionDeniedError):
        await registers.record_test(OPAL, RecordTest("detect", "passed"))
    passed = await registers.record_test(ANN, RecordTest("detect", "passed"))
    assert (passed.state, passed.report, passed.result) == ("healthy", "", "passed")
    assert passed.due == passed.last_test + 90 * 24 * HOUR
    entries = await registers.barrier_history(RITA, "detect")
    assert sorted((entry.kind, entry.state) for entry in entries) == [
        ("report", "restored"),
        ("test", "failed"),
        ("test", "passed"),
    ]
    events = await works.events("barrier.change", 2)
    assert [event.data["action"] for event in events] == ["barrier.test", "barrier.test"]
    assert events[0].id in events[1].causes
    older = await registers.record_test(ANN, RecordTest("detect", "failed", "补录", passed.last_test - HOUR))
    assert (older.state, older.result) == ("healthy", "passed")


async def test_a_report_is_worsened_eased_and_restored(works: Works, values: Values) -> None:
    registers = works.registers
    report = await registers.report_barrier(OPAL, ReportBarrier("trip", "degraded", "动作迟缓", "加密巡检", ("01X",)))
    assert (report.state, report.report_state, report.by_test) == ("degraded", "degraded", False)
    with pytest.raises(ConflictError, match="already"):
        await registers.report_barrier(OPAL, ReportBarrier("trip", "failed", "x"))
    assert (await registers.act_on_barrier(OPAL, "trip", "worsen", "不动作")).state == "failed"
    with pytest.raises(PermissionDeniedError):
        await registers.act_on_barrier(OPAL, "trip", "restore", "好了")
    with pytest.raises(ConflictError, match="needs a reason"):
        await registers.act_on_barrier(ANN, "trip", "restore")
    assert (await registers.record_test(ANN, RecordTest("trip", "passed"))).state == "failed"
    assert (await registers.act_on_barrier(ANN, "trip", "restore", "更换电磁阀")).state == "healthy"
    events = await works.events("barrier.change", 4)
    assert events[0].causes[0] == "01X"
    assert events[0].id in events[1].causes
    audit = [event.data["action"] for event in await works.events("audit.change", 4)]
    assert audit == ["barrier.report", "barrier.worsen", "barrier.test", "barrier.restore"]


async def test_barriers_are_for_those_of_the_place(works: Works, values: Values) -> None:
    registers = works.registers
    assert [item.id for item in await registers.barriers(WEST)] == ["dike"]
    assert [item.id for item in await registers.barriers(RITA, "w", impaired=True)] == []
    with pytest.raises(NotFoundError):
        await registers.report_barrier(WEST, ReportBarrier("trip", "failed", "x"))
    with pytest.raises(NotFoundError):
        await registers.barrier_history(WEST, "trip")
    with pytest.raises(PermissionDeniedError):
        await registers.record_test(RITA, RecordTest("trip", "passed"))
    with pytest.raises(InvalidInputError, match="passed, degraded, failed"):
        await registers.record_test(ANN, RecordTest("trip", "ok"))
    with pytest.raises(InvalidInputError, match="past"):
        await registers.record_test(ANN, RecordTest("trip", "passed", time=now_us() + HOUR))


async def test_work_is_planned_begun_overrun_and_finished(works: Works) -> None:
    registers = works.registers
    request = PlanWork("hot-work", "e/a/u", now_us() + 2 * SECOND, 3, text="焊接", permit="DH-12", begin=True)
    work = await registers.plan_work(OPAL, request)
    assert (work.state, work.began_by, work.persons) == ("active", "opal", 3)
    overdue = [event for event in await works.events("work.change", 2) if event.data["action"] == "work.run-over"]
    assert overdue[0].data["state"] == "overdue"
    with pytest.raises(ConflictError, match="needs a reason"):
        await registers.act_on_work(OPAL, ActOnWork(work.id, "extend", end=now_us() + HOUR))
    longer = await registers.act_on_work(OPAL, ActOnWork(work.id, "extend", "等备件", now_us() + HOUR, 5))
    assert (longer.state, longer.persons) == ("active", 5)
    (area,) = await registers.presence(OPAL)
    assert area.working == 5
    done = await registers.act_on_work(ANN, ActOnWork(work.id, "finish"))
    assert (done.state, done.finished_by) == ("finished", "ann")
    assert await registers.works(RITA) == ()
    assert len(await registers.works(RITA, ListWork(standing=False))) == 1
    with pytest.raises(ConflictError, match="over"):
        await registers.act_on_work(ANN, ActOnWork(work.id, "begin"))


async def test_work_that_is_wrong_is_refused(works: Works) -> None:
    end = now_us() + HOUR
    for actor, request, error in [
        (ANN, PlanWork("welding", "e/a", end, 1), InvalidInputError),
        (ANN, PlanWork("hot-work", "e/x", end, 1), NotFoundError),
        (ANN, PlanWork("hot-work", "e/a", end - 2 * HOUR, 1), InvalidInputError),
        (ANN, PlanWork("hot-work", "e/a", end + 1000 * HOUR, 1), InvalidInputError),
        (ANN, PlanWork("hot-work", "e/a", end, -1), InvalidInputError),
        (WEST, PlanWork("hot-work", "e/a", end, 1), NotFoundError),
        (RITA, PlanWork("hot-work", "e/a", end, 1), PermissionDeniedError),
    ]:
        with pytest.raises(error):
            await works.registers.plan_work(actor, request)
    plan = await works.registers.plan_work(OPAL, PlanWork("loading", "e/a", now_us() + SECOND, 1))
    lapsed = await works.events("work.change", 2)
    assert (lapsed[1].data["id"], lapsed[1].data["state"]) == (plan.id, "lapsed")


async def test_people_are_counted_by_gates_and_by_hand(works: Works, values: Values) -> None:
    registers = works.registers
    async with asyncio.timeout(20):
        while (await registers.presence(RITA, "e"))[0].stale:
            await asyncio.sleep(0.05)
    (gate,) = await registers.presence(RITA, "e")
    assert (gate.count, gate.stale, gate.points) == (4.0, False, ("e/a/u/people",))
    (west,) = await registers.presence(WEST)
    assert (west.path, west.count, west.stale) == ("w/a", None, True)
    counted = await registers.count_people(OPAL, CountPeople("e/a", 6, comment="班前会"))
    assert (counted.count, counted.source, counted.live) == (6.0, "hand", 4.0)
    for who, request, error in [
        (OPAL, CountPeople("e/a/u", 1), NotFoundError),
        (OPAL, CountPeople("e/a", -1), InvalidInputError),
        (OPAL, CountPeople("e/a", 1, holds=0), InvalidInputError),
        (RITA, CountPeople("e/a", 1), PermissionDeniedError),
        (WEST, CountPeople("e/a", 1), NotFoundError),
    ]:
        with pytest.raises(error):
            await registers.count_people(who, request)
    await registers.count_people(BOB, CountPeople("e/a", 5))
    history = await registers.presence_history(RITA, PresenceHistory("e/a"))
    assert [(row.count, row.who) for row in history] == [(5, "bob"), (6, "opal")]
    (first, second) = await works.events("presence.change", 2)
    assert (first.data["count"], second.data["count"], first.subject) == (6, 5, "e/a")

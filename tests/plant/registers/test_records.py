"""The registers on SQLite and PostgreSQL: schema, transactions, recovery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, update

from anlan.core.errors import ConflictError
from anlan.core.events import decode_event
from anlan.core.time import HOUR
from anlan.plant import tables as plant_tables
from anlan.plant.compiler import compile_site, numbers_in_file_order
from anlan.plant.model import Plant
from anlan.plant.registers import tables
from anlan.plant.registers.barrier_facts import PointFacts
from anlan.plant.registers.barriers import BarrierRegister
from anlan.plant.registers.bypasses import BypassRegister
from anlan.plant.registers.changes import ChangeRegister
from anlan.plant.registers.desk import Desk
from anlan.plant.registers.last_values import LastValues
from anlan.plant.registers.model import (
    Act,
    AddEntry,
    BeginShift,
    CountPeople,
    Edit,
    ListBarriers,
    ListChanges,
    ListEntries,
    ListPresence,
    ListWork,
    PlanWork,
    PresenceHistory,
    ProposeChange,
    RecordTest,
    RequestBypass,
)
from anlan.plant.registers.presence import PresenceRegister
from anlan.plant.registers.shifts import ShiftLog
from anlan.plant.registers.work import WorkRegister
from anlan.plant.registry import PointKey, assign
from anlan.plant.site_file import load
from anlan.settings import Settings
from anlan.store.records.base import Base, Records, open_engine, upgrade
from tests.plant.registers.conftest import ANN, BOB, OPAL, OTTO, SITE, SUE
from tests.web.postgres import Postgres, binaries

MINE = {row.__tablename__ for row in (plant_tables.PointRow, tables.ShiftRow, tables.EntryRow, tables.BypassRow)}
MINE |= {row.__tablename__ for row in (tables.ChangeRow, tables.RevisionRow, tables.RegisterOutboxRow)}
MINE |= {row.__tablename__ for row in (tables.BarrierRow, tables.BarrierTestRow, tables.BarrierReportRow)}
MINE |= {row.__tablename__ for row in (tables.WorkRow, tables.HeadCountRow)}


@dataclass
class Book:
    plant: Plant | None
    revision: str
    path: Path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    server = Postgres(programs)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Records]:
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        settings = replace(settings, records=server.database())
    engine = open_engine(settings)
    upgrade(engine)
    yield Records(engine)
    engine.dispose()


@pytest.fixture
def desk(records: Records, tmp_path: Path) -> Desk:
    path = tmp_path / "site.yaml"
    path.write_text(SITE, encoding="utf-8")
    document = load(path)
    plant = compile_site(document, numbers_in_file_order(document))
    clock = iter(range(10**15, 2 * 10**15, 10**6))
    return Desk("n", records, Book(plant, "r1", path), clock=lambda: next(clock))


def test_the_migrations_make_what_the_tables_say(records: Records) -> None:
    with records.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = [
            difference
            for difference in compare_metadata(context, Base.metadata)
            if isinstance(difference, tuple) and MINE & set(str(difference).replace("'", " ").replace(",", " ").split())
        ]
    assert found == []


def test_numbers_are_given_once(records: Records) -> None:
    keys = [PointKey(f"p{n}", "level", "%") for n in range(200)]
    first = assign(records, keys, 5)
    assert assign(records, [*keys, PointKey("q", "level", "m")], 6) == {**first, "q": 201}


async def test_shifts_and_bypasses(desk: Desk) -> None:
    shifts, bypasses = ShiftLog(desk), BypassRegister(desk)
    shift = await shifts.begin(BeginShift("desk-e"), OPAL)
    await shifts.add(AddEntry("desk-e", "泵待检", open_item=True, causes=("01J",)), OPAL)
    await shifts.act(Act(shift.id, "offer"), OPAL)
    assert (await shifts.act(Act(shift.id, "accept"), OTTO)).open_items == 1
    (entry,) = await shifts.list_entries(ListEntries(open_items=True), OTTO)
    assert entry.causes == ("01J",)
    bypass = await bypasses.request(RequestBypass("e/a/u/gas", "标定", 10**15 + 7 * 10**6), ANN)
    await bypasses.act(Act(bypass.id, "approve"), SUE)
    assert await bypasses.run_out() == 1
    assert await bypasses.run_out() == 0
    with desk.records.session() as session:
        waiting = [decode_event(row.event) for row in session.scalars(select(tables.RegisterOutboxRow))]
    assert sum(event.type == "audit.change" for event in waiting) == 7
    assert len({event.id for event in waiting}) == len(waiting) == 14


BARRIERS = """\
barriers:
  - {id: trip, path: e/a/u, kind: interlock, points: [p], test_interval: 2 s}
"""


async def test_barriers_work_and_counts(desk: Desk) -> None:
    desk.book.path.write_text(SITE + BARRIERS + "policy: {counts_kept: 60 s}\n", encoding="utf-8")
    document = load(desk.book.path)
    desk.book.plant = compile_site(document, numbers_in_file_order(document))
    values = LastValues()
    barriers = BarrierRegister(desk, PointFacts("n", values))
    assert [item.state for item in await barriers.list(ListBarriers(), ANN)] == ["healthy"]
    # The clock of these tests goes on a second at every look: the first test is due two after the first sight.
    assert [await barriers.sweep() for _ in range(3)] == [0, 1, 0]
    tested = await barriers.test(RecordTest("trip", "passed"), ANN)
    assert (tested.state, tested.due) == ("healthy", tested.last_test + 2 * 10**6)
    work = WorkRegister(desk)
    done = await work.plan(PlanWork("loading", "e/a/u", 10**15 + 7 * 10**6, 4, begin=True), OPAL)
    presence = PresenceRegister(desk, values)
    counted = await presence.count(CountPeople("e/a", 2, holds=60 * 10**6), OPAL)
    assert (counted.count, counted.working, counted.stale) == (2.0, 4, False)
    assert await work.run_over() == 1
    (row,) = await work.list(ListWork("e"), ANN)
    assert (row.id, row.state) == (done.id, "overdue")
    assert await presence.forget() == 0
    desk.clock = lambda: 10**15 + 100 * 10**6
    assert (await presence.list(ListPresence("e"), ANN))[0].stale
    assert await presence.forget() == 1
    assert await presence.history(PresenceHistory("e/a"), ANN) == ()


async def test_a_refused_act_leaves_no_trace(desk: Desk) -> None:
    bypasses = BypassRegister(desk)
    bypass = await bypasses.request(RequestBypass("e/a/u/p", "x", 10**15 + HOUR), ANN)
    with desk.records.session() as session:
        before = len(session.scalars(select(tables.RegisterOutboxRow.id)).all())
    with pytest.raises(ConflictError):
        await bypasses.act(Act(bypass.id, "restore"), ANN)
    with desk.records.session() as session:
        assert len(session.scalars(select(tables.RegisterOutboxRow.id)).all()) == before


@pytest.mark.parametrize("written", [False, True])
async def test_a_change_approved_before_a_crash_is_finished_after_it(desk: Desk, written: bool) -> None:
    reloads: list[str] = []

    async def reload(who: str, change_id: str) -> str:
        reloads.append(change_id)
        return "r2"

    changes = ChangeRegister(desk, reload)
    edits = (Edit("set", "e/a/u/p", "limits.HH", value=1.8), Edit("add", "e/a/u", value={"id": "t", "kind": "level"}))
    change = await changes.propose(ProposeChange(edits, "x"), ANN)
    if written:
        await changes.act(Act(change.id, "approve"), BOB)
    with desk.records.session() as session:
        session.execute(update(tables.ChangeRow).values(state="approved", decided_by="bob"))
    await ChangeRegister(desk, reload).finish()
    (after,) = await changes.list(ListChanges(), ANN)
    assert (after.state, after.revision) == ("applied", "r2")
    assert reloads[-1] == change.id
    assert "HH: 1.8" in desk.book.path.read_text()
    assert desk.book.path.read_text().count("{id: t, kind: level}") == 1

"""The registers over a real fabric: shift log, bypasses, calibrations, proposed changes."""

from __future__ import annotations

import pytest

from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from anlan.core.time import HOUR, SECOND, now_us
from anlan.plant.registers.model import AddEntry, Edit, ListBypasses, ListEntries, ListShifts, RequestBypass
from tests.plant.registers.conftest import ANN, BOB, OPAL, OTTO, RITA, SUE, WEST, Works

LOWER = (Edit("set", "e/a/u/p", "limits.HH", value=1.8),)


async def test_open_items_go_over_a_hand_over_that_the_next_person_accepts(works: Works) -> None:
    registers = works.registers
    shift = await registers.begin_shift(OPAL, "desk-e")
    await registers.add_entry(OPAL, AddEntry("desk-e", "正常"))
    item = await registers.add_entry(OPAL, AddEntry("desk-e", "泵 P-1 待检", path="e/a/u/p", open_item=True))
    with pytest.raises(ConflictError, match="handed over"):
        await registers.begin_shift(OTTO, "desk-e")
    with pytest.raises(ConflictError, match="offer"):
        await registers.act_on_shift(OTTO, shift.id, "accept")
    await registers.act_on_shift(OPAL, shift.id, "offer", "一切正常")
    with pytest.raises(PermissionDeniedError):
        await registers.act_on_shift(OPAL, shift.id, "accept")
    following = await registers.act_on_shift(OTTO, shift.id, "accept")
    assert (following.person, following.state, following.open_items) == ("otto", "open", 1)
    (old,) = [row for row in await registers.shifts(OTTO) if row.id == shift.id]
    assert (old.state, old.accepted_by) == ("closed", "otto")
    assert [row.id for row in await registers.shifts(OTTO, ListShifts(current=True))] == [following.id]
    closed = await registers.close_item(OTTO, item.id, "已检")
    assert (closed.closed_by, closed.closing) == ("otto", "已检")
    assert await registers.entries(OTTO, ListEntries(open_items=True)) == ()
    with pytest.raises(ConflictError):
        await registers.close_item(OTTO, item.id, "again")
    assert [event.data["action"] for event in await works.events("shift.entry", 6)] == [
        "shift.begin",
        "shift.entry",
        "shift.entry",
        "shift.offer",
        "shift.accept",
        "shift.close-item",
    ]


async def test_a_shift_log_is_for_those_of_the_place(works: Works) -> None:
    shift = await works.registers.begin_shift(OPAL, "desk-e")
    with pytest.raises(NotFoundError):
        await works.registers.begin_shift(WEST, "desk-e")
    with pytest.raises(NotFoundError):
        await works.registers.act_on_shift(WEST, shift.id, "offer")
    with pytest.raises(PermissionDeniedError):
        await works.registers.begin_shift(RITA, "desk-w")
    assert await works.registers.shifts(WEST) == ()
    assert len(await works.registers.shifts(RITA)) == 1
    with pytest.raises(NotFoundError, match="desk-e, desk-w"):
        await works.registers.begin_shift(ANN, "desk-x")
    with pytest.raises(ConflictError, match="begin one"):
        await works.registers.add_entry(ANN, AddEntry("desk-w", "x"))


async def test_a_bypass_needs_a_second_person_and_runs_out(works: Works) -> None:
    registers = works.registers
    bypass = await registers.request_bypass(
        ANN, RequestBypass("e/a/u/p", "检修", now_us() + 2 * SECOND, measures="巡检")
    )
    with pytest.raises(PermissionDeniedError, match="second person"):
        await registers.act_on_bypass(ANN, bypass.id, "approve")
    with pytest.raises(ConflictError, match="already"):
        await registers.request_bypass(BOB, RequestBypass("e/a/u/p", "again", now_us() + HOUR))
    active = await registers.act_on_bypass(BOB, bypass.id, "approve")
    assert (active.state, active.approved_by) == ("active", "bob")
    actions = [event.data["action"] for event in await works.events("bypass.change", 3)]
    assert actions == ["bypass.request", "bypass.approve", "bypass.expire"]
    (standing,) = await registers.bypasses(RITA)
    assert standing.state == "expired"
    restored = await registers.act_on_bypass(ANN, bypass.id, "restore")
    assert (restored.state, restored.ended_by) == ("restored", "ann")
    assert await registers.bypasses(RITA) == ()
    assert len(await registers.bypasses(RITA, ListBypasses(standing=False))) == 1
    audit = await works.events("audit.change", 4)
    assert [event.data["who"] for event in audit] == ["ann", "bob", "system", "ann"]
    assert audit[1].data["before"] == {"state": "requested"}


async def test_a_safety_point_is_bypassed_by_a_safety_manager_only(works: Works) -> None:
    alarm = "e/a/u/gas.H"
    bypass = await works.registers.request_bypass(ANN, RequestBypass("e/a/u/gas", "标定", now_us() + HOUR, alarm=alarm))
    assert bypass.safety
    with pytest.raises(PermissionDeniedError):
        await works.registers.act_on_bypass(BOB, bypass.id, "approve")
    assert (await works.registers.act_on_bypass(SUE, bypass.id, "approve")).state == "active"


async def test_a_bad_bypass_is_refused(works: Works) -> None:
    for request, error in [
        (RequestBypass("e/a/u/p", "", now_us() + HOUR), InvalidInputError),
        (RequestBypass("e/a/u/p", "x", now_us() - 1), InvalidInputError),
        (RequestBypass("e/a/u/p", "x", now_us() + 1000 * HOUR), InvalidInputError),
        (RequestBypass("e/a/u/q", "x", now_us() + HOUR), NotFoundError),
        (RequestBypass("e/a/u/p", "x", now_us() + HOUR, alarm="e/a/u/gas.H"), NotFoundError),
    ]:
        with pytest.raises(error):
            await works.registers.request_bypass(ANN, request)
    with pytest.raises(PermissionDeniedError):
        await works.registers.request_bypass(OPAL, RequestBypass("e/a/u/p", "x", now_us() + HOUR))
    with pytest.raises(NotFoundError):
        await works.registers.request_bypass(WEST, RequestBypass("e/a/u/p", "x", now_us() + HOUR))


async def test_calibrations_due_are_listed_by_scope(works: Works) -> None:
    (due,) = await works.registers.calibrations(RITA)
    assert (due.path, due.state, due.safety) == ("e/a/u/gas", "expired", True)
    assert await works.registers.calibrations(WEST) == ()


async def test_a_reviewed_change_is_written_and_in_force(works: Works) -> None:
    before = (await works.plant.status(ANN)).revision
    change = await works.registers.propose_change(ANN, LOWER, "HAZOP 2026-3")
    assert (change.state, change.safety, change.edits[0].before) == ("proposed", False, 1.9)
    assert "+              - {id: p, kind: pressure, limits: {HH: 1.8, H: 1.7}}" in change.diff
    assert "HH: 1.9" in works.site.read_text()
    with pytest.raises(PermissionDeniedError, match="second person"):
        await works.registers.act_on_change(ANN, change.id, "approve")
    applied = await works.registers.act_on_change(BOB, change.id, "approve", "ok")
    assert (applied.state, applied.decided_by) == ("applied", "bob")
    assert "HH: 1.8, H: 1.7}}" in works.site.read_text()
    assert "# the vessel" in works.site.read_text()
    revision, plant = await works.plant.current()
    assert revision == applied.revision != before
    assert {alarm.id: alarm.limit for alarm in plant.alarms}["e/a/u/p.HH"] == 1.8
    newest, oldest = await works.plant.revisions(RITA)
    assert (newest.revision, newest.who, newest.change_id) == (revision, "bob", change.id)
    assert newest.summary == {"alarms_changed": 1}
    assert oldest.revision == before
    audit = await works.events("audit.change", 3)
    assert [event.data["action"] for event in audit] == ["change.propose", "change.approve", "change.apply"]


async def test_a_limit_of_a_safety_point_needs_a_safety_manager(works: Works) -> None:
    change = await works.registers.propose_change(SUE, (Edit("set", "e/a/u/gas", "limits.H", value=8),), "GBZ 2.1")
    assert change.safety
    for who in (SUE, BOB):
        with pytest.raises(PermissionDeniedError):
            await works.registers.act_on_change(who, change.id, "approve")
    with pytest.raises(PermissionDeniedError):
        await works.registers.act_on_change(BOB, change.id, "reject", "no")
    assert "limits: {H: 10}" in works.site.read_text()


async def test_a_change_overtaken_by_the_files_fails_and_says_why(works: Works) -> None:
    change = await works.registers.propose_change(ANN, LOWER, "x")
    works.site.write_text(works.site.read_text().replace("HH: 1.9", "HH: 1.95"))
    with pytest.raises(ConflictError, match=r"1\.95"):
        await works.registers.act_on_change(BOB, change.id, "approve")
    (failed,) = await works.registers.changes(ANN)
    assert failed.state == "failed"
    assert "1.95" in failed.comment
    assert "HH: 1.95" in works.site.read_text()


async def test_changes_that_are_wrong_or_out_of_scope_are_refused(works: Works) -> None:
    propose = works.registers.propose_change
    with pytest.raises(InvalidInputError, match="wrong order"):
        await propose(ANN, (Edit("set", "e/a/u/p", "limits.HH", value=1.0),), "x")
    with pytest.raises(InvalidInputError, match="nothing would change"):
        await propose(ANN, (Edit("set", "e/a/u/p", "limits.HH", value=1.9),), "x")
    with pytest.raises(InvalidInputError, match="reason"):
        await propose(ANN, LOWER, " ")
    with pytest.raises(NotFoundError):
        await propose(WEST, LOWER, "x")
    with pytest.raises(PermissionDeniedError):
        await propose(OPAL, LOWER, "x")
    change = await propose(ANN, LOWER, "x")
    assert await works.registers.changes(WEST) == ()
    with pytest.raises(NotFoundError):
        await works.registers.act_on_change(WEST, change.id, "approve")
    with pytest.raises(PermissionDeniedError):
        await works.registers.act_on_change(BOB, change.id, "withdraw")
    assert (await works.registers.act_on_change(ANN, change.id, "withdraw")).state == "withdrawn"
    with pytest.raises(ConflictError):
        await works.registers.act_on_change(BOB, change.id, "approve")

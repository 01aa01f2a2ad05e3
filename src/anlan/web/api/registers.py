"""Registers: shift log, bypasses, barriers, work, presence, calibration due, proposed changes with their approvals."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from anlan.plant.registers.barrier_engine import GRAVITY
from anlan.plant.registers.client import RegistersClient
from anlan.plant.registers.model import (
    ActOnWork,
    AddEntry,
    BarrierEntry,
    BarrierHealth,
    BeginShift,
    Bypass,
    Calibration,
    Change,
    CountPeople,
    Entry,
    HeadCount,
    ListBypasses,
    ListEntries,
    ListShifts,
    ListWork,
    PlanWork,
    Presence,
    PresenceHistory,
    ProposeChange,
    RecordTest,
    ReportBarrier,
    RequestBypass,
    Shift,
    Work,
)
from anlan.web.api.plant import Cursor, require_place
from anlan.web.contract import body, decode_cursor, documented, encode_cursor, page_of, reply
from anlan.web.security import Context, CurrentActor

router = APIRouter(tags=["registers"])

MOST_ROWS = 2000

PageLimit = Annotated[int, Query(ge=1, le=500)]
ScopeQuery = Annotated[str, Query(alias="under", max_length=400, description="a place of the hierarchy")]
NewestKey = tuple[int, str]


class Verb(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What to do with a row of a register, and why."""

    verb: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    comment: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an open item was closed."""

    closing: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class ShiftPage(msgspec.Struct, frozen=True):
    """A page of shifts, newest first, and the cursor of the next, empty at the end."""

    items: tuple[Shift, ...]
    next: str = ""


class EntryPage(msgspec.Struct, frozen=True):
    """A page of entries of the shift log, newest first, and the cursor of the next, empty at the end."""

    items: tuple[Entry, ...]
    next: str = ""


class BypassPage(msgspec.Struct, frozen=True):
    """A page of bypasses, newest first, and the cursor of the next, empty at the end."""

    items: tuple[Bypass, ...]
    next: str = ""


class ChangePage(msgspec.Struct, frozen=True):
    """A page of proposed changes, newest first, and the cursor of the next, empty at the end."""

    items: tuple[Change, ...]
    next: str = ""


class BarrierPage(msgspec.Struct, frozen=True):
    """A page of barriers, gravest first, and the cursor of the next, empty at the end."""

    items: tuple[BarrierHealth, ...]
    next: str = ""


class WorkPage(msgspec.Struct, frozen=True):
    """A page of work, newest start first, and the cursor of the next, empty at the end."""

    items: tuple[Work, ...]
    next: str = ""


class BarrierTest(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A test of a barrier: ``result`` is passed, degraded or failed; ``time`` µs UTC, 0 = now."""

    result: Literal["passed", "degraded", "failed"]
    comment: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    time: int = 0


class BarrierReport(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A barrier is degraded or failed: why, what stands in meanwhile, from which events one knows."""

    state: Literal["degraded", "failed"]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    measures: Annotated[str, msgspec.Meta(max_length=4000)] = ""
    causes: tuple[str, ...] = ()


class WorkVerb(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Begin, finish, extend (to ``end``, µs UTC) or cancel work; ``persons`` corrects the number, -1 leaves it."""

    verb: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    comment: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    end: int = 0
    persons: int = -1


def _client(context: Context) -> RegistersClient:
    return context.client(RegistersClient)


Registers = Annotated[RegistersClient, Depends(_client)]


# --- shift log --------------------------------------------------------------------------------------------------------


@router.get("/shifts", **documented(answer=ShiftPage))
async def list_shifts(
    registers: Registers,
    actor: CurrentActor,
    position: Annotated[str, Query(max_length=100)] = "",
    current: bool = False,
    cursor: Cursor = "",
    limit: PageLimit = 100,
) -> Response:
    """Shifts of operator positions; ``current`` shows only those that are not closed."""
    rows = sorted(await registers.shifts(actor, ListShifts(position, current, MOST_ROWS)), key=_started)
    return reply(ShiftPage(*page_of(rows, _started, NewestKey, cursor, limit)))


def _started(shift: Shift) -> NewestKey:
    return (-shift.started, shift.id)


@router.post("/shifts", **documented(BeginShift, Shift, status=201))
async def begin_shift(
    registers: Registers, actor: CurrentActor, wanted: Annotated[BeginShift, body(BeginShift)]
) -> Response:
    """Begin the first shift at a position."""
    return reply(await registers.begin_shift(actor, wanted.position, wanted.comment), 201)


@router.post("/shifts/{shift_id}/act", **documented(Verb, Shift))
async def act_on_shift(
    registers: Registers, actor: CurrentActor, shift_id: str, wanted: Annotated[Verb, body(Verb)]
) -> Response:
    """Hand a shift over, take the hand-over back, or accept it."""
    return reply(await registers.act_on_shift(actor, shift_id, wanted.verb, wanted.comment))


@router.get("/shift-entries", **documented(answer=EntryPage))
async def list_shift_entries(
    registers: Registers,
    actor: CurrentActor,
    shift: Annotated[str, Query(max_length=40)] = "",
    position: Annotated[str, Query(max_length=100)] = "",
    open_items: bool = False,
    cursor: Cursor = "",
    limit: PageLimit = 200,
) -> Response:
    """Entries of the shift log, of one shift, of a position, or only open items."""
    before = decode_cursor(cursor, int) if cursor else 0
    request = ListEntries(shift, position, open_items, before, limit)
    rows = await registers.entries(actor, request)
    return reply(EntryPage(rows, encode_cursor(rows[-1].time) if len(rows) == limit else ""))


@router.post("/shift-entries", **documented(AddEntry, Entry, status=201))
async def add_shift_entry(
    registers: Registers, actor: CurrentActor, wanted: Annotated[AddEntry, body(AddEntry)]
) -> Response:
    """Write into the current shift of a position."""
    return reply(await registers.add_entry(actor, wanted), 201)


@router.post("/shift-entries/{entry_id}/close", **documented(Closing, Entry))
async def close_open_item(
    registers: Registers, actor: CurrentActor, entry_id: str, wanted: Annotated[Closing, body(Closing)]
) -> Response:
    """Close an open item, saying how."""
    return reply(await registers.close_item(actor, entry_id, wanted.closing))


# --- bypasses and calibration -----------------------------------------------------------------------------------------


@router.get("/bypasses", **documented(answer=BypassPage))
async def list_bypasses(
    context: Context,
    registers: Registers,
    actor: CurrentActor,
    under: ScopeQuery = "",
    standing: bool = True,
    cursor: Cursor = "",
    limit: PageLimit = 200,
) -> Response:
    """Points and alarms out of action on purpose; ``standing`` only what is asked for, active or not restored."""
    require_place(context.plant, actor, under)
    rows = sorted(await registers.bypasses(actor, ListBypasses(under, standing, MOST_ROWS)), key=_requested)
    return reply(BypassPage(*page_of(rows, _requested, NewestKey, cursor, limit)))


def _requested(bypass: Bypass) -> NewestKey:
    return (-bypass.requested, bypass.id)


@router.post("/bypasses", **documented(RequestBypass, Bypass, status=201))
async def request_bypass(
    registers: Registers, actor: CurrentActor, wanted: Annotated[RequestBypass, body(RequestBypass)]
) -> Response:
    """Ask for a bypass; another person must approve it."""
    return reply(await registers.request_bypass(actor, wanted), 201)


@router.post("/bypasses/{bypass_id}/act", **documented(Verb, Bypass))
async def act_on_bypass(
    registers: Registers, actor: CurrentActor, bypass_id: str, wanted: Annotated[Verb, body(Verb)]
) -> Response:
    """Approve, reject, withdraw or restore a bypass."""
    return reply(await registers.act_on_bypass(actor, bypass_id, wanted.verb, wanted.comment))


@router.get("/calibration-due", **documented(answer=tuple[Calibration, ...]))
async def list_calibration_due(
    context: Context,
    registers: Registers,
    actor: CurrentActor,
    under: ScopeQuery = "",
    days: Annotated[float, Query(ge=0, le=3650)] = 30.0,
) -> Response:
    """Points whose calibration has expired or will within ``days``, soonest first."""
    require_place(context.plant, actor, under)
    return reply(await registers.calibrations(actor, under, days))


# --- barriers ---------------------------------------------------------------------------------------------------------

BarrierKey = tuple[int, str, str]


@router.get("/barriers", **documented(answer=BarrierPage))
async def list_barriers(
    context: Context,
    registers: Registers,
    actor: CurrentActor,
    under: ScopeQuery = "",
    impaired: bool = False,
    cursor: Cursor = "",
    limit: PageLimit = 200,
) -> Response:
    """Barriers with their health and why; ``impaired`` only those that are not healthy."""
    require_place(context.plant, actor, under)
    rows = await registers.barriers(actor, under, impaired=impaired)
    return reply(BarrierPage(*page_of(rows, _gravity, BarrierKey, cursor, limit)))


def _gravity(barrier: BarrierHealth) -> BarrierKey:
    return (-GRAVITY[barrier.state], barrier.path, barrier.id)


@router.get("/barriers/{barrier_id}/history", **documented(answer=tuple[BarrierEntry, ...]))
async def barrier_history(
    registers: Registers, actor: CurrentActor, barrier_id: str, limit: PageLimit = 100
) -> Response:
    """Tests and reports of a barrier, newest first."""
    return reply(await registers.barrier_history(actor, barrier_id, limit))


@router.post("/barriers/{barrier_id}/tests", **documented(BarrierTest, BarrierHealth, status=201))
async def record_barrier_test(
    registers: Registers, actor: CurrentActor, barrier_id: str, wanted: Annotated[BarrierTest, body(BarrierTest)]
) -> Response:
    """Record a test; one that does not pass stands as a degradation until one passes."""
    request = RecordTest(barrier_id, wanted.result, wanted.comment, wanted.time)
    return reply(await registers.record_test(actor, request), 201)


@router.post("/barriers/{barrier_id}/reports", **documented(BarrierReport, BarrierHealth, status=201))
async def report_barrier(
    registers: Registers, actor: CurrentActor, barrier_id: str, wanted: Annotated[BarrierReport, body(BarrierReport)]
) -> Response:
    """Say that a barrier is degraded or failed."""
    request = ReportBarrier(barrier_id, wanted.state, wanted.reason, wanted.measures, wanted.causes)
    return reply(await registers.report_barrier(actor, request), 201)


@router.post("/barriers/{barrier_id}/act", **documented(Verb, BarrierHealth))
async def act_on_barrier(
    registers: Registers, actor: CurrentActor, barrier_id: str, wanted: Annotated[Verb, body(Verb)]
) -> Response:
    """Worsen, ease or restore what is reported of a barrier."""
    return reply(await registers.act_on_barrier(actor, barrier_id, wanted.verb, wanted.comment))


# --- work in progress -------------------------------------------------------------------------------------------------


@router.get("/work", **documented(answer=WorkPage))
async def list_work(
    context: Context,
    registers: Registers,
    actor: CurrentActor,
    under: ScopeQuery = "",
    standing: bool = True,
    cursor: Cursor = "",
    limit: PageLimit = 200,
) -> Response:
    """Work at places; ``standing`` only what is planned, active or overdue."""
    require_place(context.plant, actor, under)
    rows = sorted(await registers.works(actor, ListWork(under, standing, MOST_ROWS)), key=_start)
    return reply(WorkPage(*page_of(rows, _start, NewestKey, cursor, limit)))


def _start(work: Work) -> NewestKey:
    return (-work.start, work.id)


@router.post("/work", **documented(PlanWork, Work, status=201))
async def plan_work(registers: Registers, actor: CurrentActor, wanted: Annotated[PlanWork, body(PlanWork)]) -> Response:
    """Enter work at a place, and begin it at once where so asked; it is no permit."""
    return reply(await registers.plan_work(actor, wanted), 201)


@router.post("/work/{work_id}/act", **documented(WorkVerb, Work))
async def act_on_work(
    registers: Registers, actor: CurrentActor, work_id: str, wanted: Annotated[WorkVerb, body(WorkVerb)]
) -> Response:
    """Begin, finish, extend or cancel work."""
    request = ActOnWork(work_id, wanted.verb, wanted.comment, wanted.end, wanted.persons)
    return reply(await registers.act_on_work(actor, request))


# --- presence ---------------------------------------------------------------------------------------------------------


@router.get("/presence", **documented(answer=tuple[Presence, ...]))
async def list_presence(
    context: Context, registers: Registers, actor: CurrentActor, under: ScopeQuery = ""
) -> Response:
    """How many people are in each area, from which source, and whether that still holds."""
    require_place(context.plant, actor, under)
    return reply(await registers.presence(actor, under))


@router.post("/presence", **documented(CountPeople, Presence, status=201))
async def count_people(
    registers: Registers, actor: CurrentActor, wanted: Annotated[CountPeople, body(CountPeople)]
) -> Response:
    """Enter a head count by hand: a number, no names."""
    return reply(await registers.count_people(actor, wanted), 201)


@router.get("/presence/history", **documented(answer=tuple[HeadCount, ...]))
async def presence_history(
    context: Context,
    registers: Registers,
    actor: CurrentActor,
    area: Annotated[str, Query(max_length=400, description="path of the area")],
    start: Annotated[int, Query(ge=0, description="µs UTC")] = 0,
    limit: PageLimit = 200,
) -> Response:
    """Head counts by hand of an area, newest first; what gates count is a point's history."""
    require_place(context.plant, actor, area)
    return reply(await registers.presence_history(actor, PresenceHistory(area, start, limit)))


# --- proposed changes -------------------------------------------------------------------------------------------------


@router.get("/changes", **documented(answer=ChangePage))
async def list_changes(
    registers: Registers, actor: CurrentActor, pending: bool = False, cursor: Cursor = "", limit: PageLimit = 100
) -> Response:
    """Proposed changes of the site's files; ``pending`` only those not yet decided or applied."""
    rows = sorted(await registers.changes(actor, pending=pending, limit=MOST_ROWS), key=_proposed)
    return reply(ChangePage(*page_of(rows, _proposed, NewestKey, cursor, limit)))


def _proposed(change: Change) -> NewestKey:
    return (-change.proposed, change.id)


@router.post("/changes", **documented(ProposeChange, Change, status=201))
async def propose_change(
    registers: Registers, actor: CurrentActor, wanted: Annotated[ProposeChange, body(ProposeChange)]
) -> Response:
    """Propose edits of the site's files; another person reviews them, for safety points a safety manager."""
    return reply(await registers.propose_change(actor, wanted.edits, wanted.reason), 201)


@router.post("/changes/{change_id}/act", **documented(Verb, Change))
async def act_on_change(
    registers: Registers, actor: CurrentActor, change_id: str, wanted: Annotated[Verb, body(Verb)]
) -> Response:
    """Approve (and write the files), reject or withdraw a change."""
    return reply(await registers.act_on_change(actor, change_id, wanted.verb, wanted.comment))

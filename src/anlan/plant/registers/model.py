"""What one may ask the registers, and what they answer. Requests go to ``svc.registers.*``; times are µs UTC.

==========================  =======================  =========================
subject                     request                  answer
==========================  =======================  =========================
registers.shifts            ListShifts               tuple of Shift
registers.shift.begin       BeginShift               Shift
registers.shift.entries     ListEntries              tuple of Entry
registers.shift.add         AddEntry                 Entry
registers.shift.close       CloseItem                Entry
registers.shift.act         Act                      Shift
registers.bypasses          ListBypasses             tuple of Bypass
registers.bypass.request    RequestBypass            Bypass
registers.bypass.act        Act                      Bypass
registers.calibrations      ListCalibrations         tuple of Calibration
registers.changes           ListChanges              tuple of Change
registers.change.propose    ProposeChange            Change
registers.change.act        Act                      Change
registers.barriers          ListBarriers             tuple of BarrierHealth
registers.barrier.history   BarrierHistory           tuple of BarrierEntry
registers.barrier.test      RecordTest               BarrierHealth
registers.barrier.report    ReportBarrier            BarrierHealth
registers.barrier.act       Act (id of the barrier)  BarrierHealth
registers.works             ListWork                 tuple of Work
registers.work.plan         PlanWork                 Work
registers.work.act          ActOnWork                Work
registers.presence          ListPresence             tuple of Presence
registers.presence.count    CountPeople              Presence
registers.presence.history  PresenceHistory          tuple of HeadCount
==========================  =======================  =========================
"""

from __future__ import annotations

from typing import Any

import msgspec


class Act(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person fires an arrow of a register's state machine (``registers.machine``) on one row."""

    id: str
    verb: str
    comment: str = ""


# --- shift log ------------------------------------------------------------------------------------------------------


class Shift(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shift: ``state`` is open, offered (handed over, not yet accepted) or closed."""

    id: str
    position: str
    person: str
    state: str
    started: int
    offered: int = 0
    offered_by: str = ""
    ended: int = 0
    accepted_by: str = ""
    comment: str = ""
    open_items: int = 0


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry of the shift log; an open item stays until closed, over all hand-overs."""

    id: str
    shift_id: str
    position: str
    time: int
    who: str
    text: str
    path: str = ""
    open_item: bool = False
    closed: int = 0
    closed_by: str = ""
    closing: str = ""
    causes: tuple[str, ...] = ()


class ListShifts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Shifts newest first; ``current`` only those that are not closed."""

    position: str = ""
    current: bool = False
    limit: int = 100


class BeginShift(msgspec.Struct, frozen=True, omit_defaults=True):
    """Begin the first shift at a position; later ones begin by accepting a hand-over."""

    position: str
    comment: str = ""


class ListEntries(msgspec.Struct, frozen=True, omit_defaults=True):
    """Entries newest first, of one shift, of a position, or only open items."""

    shift_id: str = ""
    position: str = ""
    open_items: bool = False
    before: int = 0
    limit: int = 200


class AddEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Write into the current shift of a position; ``path`` and ``causes`` say what it is about."""

    position: str
    text: str
    path: str = ""
    open_item: bool = False
    causes: tuple[str, ...] = ()


class CloseItem(msgspec.Struct, frozen=True):
    """Close an open item, saying how."""

    id: str
    closing: str


# --- bypasses -------------------------------------------------------------------------------------------------------


class Bypass(msgspec.Struct, frozen=True, omit_defaults=True):
    """A point or alarm out of action on purpose, with an end."""

    id: str
    path: str
    state: str
    reason: str
    requested_by: str
    requested: int
    expires: int
    alarm: str = ""
    safety: bool = False
    measures: str = ""
    approved_by: str = ""
    approved: int = 0
    ended_by: str = ""
    ended: int = 0
    comment: str = ""


class ListBypasses(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bypasses newest first; ``standing`` only what is requested, active or expired and not restored."""

    scope: str = ""
    standing: bool = True
    limit: int = 500


class RequestBypass(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask to bypass a point (``path``) or one of its alarms until ``expires``; ``measures`` stand in meanwhile."""

    path: str
    reason: str
    expires: int
    alarm: str = ""
    measures: str = ""


# --- calibration ----------------------------------------------------------------------------------------------------


class Calibration(msgspec.Struct, frozen=True, omit_defaults=True):
    """A point whose calibration has a date; ``state`` is expired, due or valid."""

    path: str
    number: int
    expires: int
    state: str
    days_left: float
    name: str = ""
    name_en: str = ""
    safety: bool = False
    certificate: str = ""


class ListCalibrations(msgspec.Struct, frozen=True, omit_defaults=True):
    """Calibrations that expire within ``days``, soonest first; expired ones always."""

    scope: str = ""
    days: float = 30.0


# --- proposed changes -----------------------------------------------------------------------------------------------


class Edit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One edit of a site file.

    Attributes:
        op: set, add (a point to the unit ``path``) or remove (the point ``path``).
        path: full path of the point; of the unit for add.
        alarm: the alarm of the point it is about, ``KIND`` or ``KIND.NAME``; empty is the point itself. An alarm that
            is not there in the long form is added to it.
        field: key to set, dotted into mappings (``limits.HH``).
        value: what to set; null takes the key away.
        before: what the proposer saw there; filled in by the service when the change is proposed.
    """

    op: str
    path: str
    field: str = ""
    alarm: str = ""
    value: Any = None
    before: Any = None


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """A proposed change: ``state`` is proposed, approved, rejected, withdrawn, applied or failed."""

    id: str
    state: str
    edits: tuple[Edit, ...]
    paths: tuple[str, ...]
    reason: str
    proposed_by: str
    proposed: int
    safety: bool = False
    diff: str = ""
    base_revision: str = ""
    decided_by: str = ""
    decided: int = 0
    comment: str = ""
    applied: int = 0
    revision: str = ""


class ListChanges(msgspec.Struct, frozen=True, omit_defaults=True):
    """Changes newest first; ``pending`` only those not yet decided or applied."""

    pending: bool = False
    limit: int = 200


class ProposeChange(msgspec.Struct, frozen=True):
    """Propose edits, with the reason for them."""

    edits: tuple[Edit, ...]
    reason: str


# --- barriers -------------------------------------------------------------------------------------------------------


class BarrierReason(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reason why a barrier is not healthy.

    Attributes:
        state: degraded, failed, bypassed or overdue.
        kind: report, test, bypass, point, condition or due.
        ref: id of the report, test or bypass; path of the point; the condition.
        since: µs UTC.
        text: what a person wrote, or the quality of the point.
        cause: event id or sample range it follows from, empty when there is none.
    """

    state: str
    kind: str
    ref: str = ""
    since: int = 0
    text: str = ""
    cause: str = ""


class BarrierHealth(msgspec.Struct, frozen=True, omit_defaults=True):
    """A barrier of the plant in force and how it is now.

    Attributes:
        state: healthy, overdue, degraded, bypassed or failed: the gravest of its ``reasons``.
        since: when it came into this state; ``event`` the id of the event that told so.
        points, available, needed: how many points it depends on, how many are there, how many it needs.
        last_test, result, tested_by: newest test; result is passed, degraded or failed, empty when none is recorded
            (``last_test`` is then the site file's ``tested``, or 0).
        due: when the next test is due, 0 when none is set.
        report: id of the standing report of a degradation; ``report_state`` degraded or failed.
        by_test: the standing report came from a test: only a test that passes restores it.
    """

    id: str
    path: str
    kind: str
    state: str
    since: int
    name: str = ""
    name_en: str = ""
    demand: str = ""
    demand_en: str = ""
    role: str = "prevent"
    reasons: tuple[BarrierReason, ...] = ()
    event: str = ""
    points: int = 0
    available: int = 0
    needed: int = 0
    test_interval: int = 0
    last_test: int = 0
    result: str = ""
    tested_by: str = ""
    due: int = 0
    report: str = ""
    report_state: str = ""
    by_test: bool = False
    source: str = ""


class ListBarriers(msgspec.Struct, frozen=True, omit_defaults=True):
    """Barriers, gravest first; ``impaired`` only those that are not healthy."""

    scope: str = ""
    impaired: bool = False


class BarrierEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a barrier's history: a test (``kind`` test) or a report (``kind`` report) with how it ended."""

    id: str
    barrier: str
    kind: str
    state: str
    time: int
    who: str
    text: str = ""
    measures: str = ""
    ended: int = 0
    ended_by: str = ""
    closing: str = ""


class BarrierHistory(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tests and reports of one barrier, newest first."""

    id: str
    limit: int = 100


class RecordTest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Record a test of a barrier: ``result`` is passed, degraded or failed; ``time`` when it was done, 0 = now."""

    id: str
    result: str
    comment: str = ""
    time: int = 0


class ReportBarrier(msgspec.Struct, frozen=True, omit_defaults=True):
    """Say that a barrier is degraded or failed, why, what stands in meanwhile, and from which events one knows."""

    id: str
    state: str
    reason: str
    measures: str = ""
    causes: tuple[str, ...] = ()


# --- work in progress -----------------------------------------------------------------------------------------------


class Work(msgspec.Struct, frozen=True, omit_defaults=True):
    """Work at a place: ``state`` is planned, active, overdue, finished, cancelled or lapsed.

    ``start`` and ``end`` are the planned times, ``began`` and ``finished`` the true ones, µs UTC.
    """

    id: str
    kind: str
    path: str
    state: str
    start: int
    end: int
    persons: int
    who: str
    created: int
    text: str = ""
    permit: str = ""
    began: int = 0
    began_by: str = ""
    finished: int = 0
    finished_by: str = ""
    comment: str = ""
    causes: tuple[str, ...] = ()


class ListWork(msgspec.Struct, frozen=True, omit_defaults=True):
    """Work, soonest start first; ``standing`` only planned, active and overdue; otherwise newest first."""

    scope: str = ""
    standing: bool = True
    limit: int = 500


class PlanWork(msgspec.Struct, frozen=True, omit_defaults=True):
    """Enter work at a place; ``begin`` it at once. ``start`` 0 is now."""

    kind: str
    path: str
    end: int
    persons: int
    start: int = 0
    text: str = ""
    permit: str = ""
    begin: bool = False
    causes: tuple[str, ...] = ()


class ActOnWork(msgspec.Struct, frozen=True, omit_defaults=True):
    """Begin, finish, extend (to ``end``) or cancel work; ``persons`` corrects the number, -1 leaves it."""

    id: str
    verb: str
    comment: str = ""
    end: int = 0
    persons: int = -1


# --- presence -------------------------------------------------------------------------------------------------------


class HeadCount(msgspec.Struct, frozen=True, omit_defaults=True):
    """A count of people in an area by hand; it holds until ``until`` or the next one. No names are kept."""

    id: str
    path: str
    count: int
    time: int
    until: int
    who: str
    comment: str = ""


class Presence(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many people are in an area now.

    Attributes:
        count: of the sources that hold now the larger, so that exposure is not understated; when none holds, the
            newest known; null when nothing is known.
        source: point, hand, or empty.
        time: when it was counted, µs UTC. stale: no source holds any more.
        live, live_time, live_stale: what gates or positioning say: the sum of the area's points of kind people; live is
            null while one of them is bad.
        points: their paths.
        hand: the newest count by hand.
        working: persons of active work below the area, by the work register.
    """

    path: str
    count: float | None = None
    source: str = ""
    time: int = 0
    stale: bool = True
    live: float | None = None
    live_time: int = 0
    live_stale: bool = True
    points: tuple[str, ...] = ()
    hand: HeadCount | None = None
    working: int = 0


class ListPresence(msgspec.Struct, frozen=True, omit_defaults=True):
    """Areas at or below ``scope``, all that the actor sees when empty."""

    scope: str = ""


class CountPeople(msgspec.Struct, frozen=True, omit_defaults=True):
    """Enter a count by hand for an area; it holds for ``holds`` µs (8 h when left out)."""

    path: str
    count: int
    holds: int = 28_800_000_000
    comment: str = ""


class PresenceHistory(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counts by hand of an area, newest first."""

    path: str
    start: int = 0
    limit: int = 200

"""What one may ask the registers, and what they answer. Requests go to ``svc.registers.*``; times are µs UTC.

==========================  =======================  =====================
subject                     request                  answer
==========================  =======================  =====================
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
==========================  =======================  =====================
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

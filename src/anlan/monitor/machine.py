"""The alarm state machine of ISA-18.2 / IEC 62682 (GB/T 41261) as a table.

What an operator sees of an alarm is one of the six states of ``core.events.AlarmState``. Orthogonal to it an alarm may
be held back (``HOLDS``): shelved, suppressed by a person, suppressed by design, out of service. The condition goes on
being watched meanwhile; when nothing holds an alarm back any longer and it still stands, it alarms anew.

``python -m anlan.monitor.machine docs/alarm-states.md`` writes the page with the diagram, ``--check`` compares it.
"""

from __future__ import annotations

import sys
from enum import IntEnum, IntFlag, StrEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anlan.core.actor import Permission
from anlan.core.events import AlarmState


class Arrow(StrEnum):
    """Arrows of the machine; the names stand in ``AlarmTransition.arrow`` and ``Command.verb``."""

    RAISE = "raise"
    CLEAR = "clear"
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    REALARM = "re-alarm"
    ANNOUNCE = "announce"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    EXPIRE = "expire"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    SUPPRESS_BY_DESIGN = "suppress-by-design"
    UNSUPPRESS_BY_DESIGN = "unsuppress-by-design"
    REMOVE_FROM_SERVICE = "remove-from-service"
    RETURN_TO_SERVICE = "return-to-service"
    COVER = "cover"
    UNCOVER = "uncover"
    REMOVE = "remove"


class Guard(StrEnum):
    """What must hold besides the state; ``rang`` is said of the current instance."""

    NONE = ""
    LATCHED = "latched"
    RANG = "not latched, rang"
    NEVER_RANG = "not latched, never rang"


class Who(StrEnum):
    """Who may fire an arrow."""

    PROCESS = "the process"
    CLOCK = "the clock"
    PERSON = "a person"
    CONFIGURATION = "the configuration"


class Hold(IntFlag):
    """What holds an alarm back, as bits; ENABLE (enabling condition) and CONNECTOR are both "by design"."""

    SHELVED = 1
    SUPPRESSED = 2
    ENABLE = 4
    CONNECTOR = 8
    OUT_OF_SERVICE = 16


class Row(NamedTuple):
    """One arrow of the table."""

    arrow: Arrow
    before: AlarmState
    after: AlarmState
    guard: Guard
    who: Who


_NORMAL, _UNACK, _ACK = AlarmState.NORMAL, AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED
_RETURNED = AlarmState.RETURNED
_LATCHED_UNACK, _LATCHED_ACK = AlarmState.LATCHED_UNACKNOWLEDGED, AlarmState.LATCHED_ACKNOWLEDGED

STATES: tuple[AlarmState, ...] = tuple(AlarmState)
ARROWS: tuple[Arrow, ...] = tuple(Arrow)

TABLE: tuple[Row, ...] = (
    # A condition that comes (back) makes a new instance.
    Row(Arrow.RAISE, _NORMAL, _UNACK, Guard.NONE, Who.PROCESS),
    Row(Arrow.RAISE, _RETURNED, _UNACK, Guard.NONE, Who.PROCESS),
    Row(Arrow.RAISE, _LATCHED_UNACK, _UNACK, Guard.NONE, Who.PROCESS),
    Row(Arrow.RAISE, _LATCHED_ACK, _UNACK, Guard.NONE, Who.PROCESS),
    # What never rang (held back, covered, data too old) asks nobody for an acknowledgement.
    Row(Arrow.CLEAR, _UNACK, _LATCHED_UNACK, Guard.LATCHED, Who.PROCESS),
    Row(Arrow.CLEAR, _UNACK, _RETURNED, Guard.RANG, Who.PROCESS),
    Row(Arrow.CLEAR, _UNACK, _NORMAL, Guard.NEVER_RANG, Who.PROCESS),
    Row(Arrow.CLEAR, _ACK, _LATCHED_ACK, Guard.LATCHED, Who.PROCESS),
    Row(Arrow.CLEAR, _ACK, _NORMAL, Guard.RANG, Who.PROCESS),
    Row(Arrow.CLEAR, _ACK, _NORMAL, Guard.NEVER_RANG, Who.PROCESS),
    Row(Arrow.ACKNOWLEDGE, _UNACK, _ACK, Guard.NONE, Who.PERSON),
    Row(Arrow.ACKNOWLEDGE, _RETURNED, _NORMAL, Guard.NONE, Who.PERSON),
    Row(Arrow.ACKNOWLEDGE, _LATCHED_UNACK, _LATCHED_ACK, Guard.NONE, Who.PERSON),
    Row(Arrow.RESET, _LATCHED_ACK, _NORMAL, Guard.NONE, Who.PERSON),
    # Nothing holds it back any longer and it still stands: a new instance.
    Row(Arrow.REALARM, _UNACK, _UNACK, Guard.NONE, Who.PROCESS),
    Row(Arrow.REALARM, _ACK, _UNACK, Guard.NONE, Who.PROCESS),
    Row(Arrow.REALARM, _LATCHED_UNACK, _LATCHED_UNACK, Guard.NONE, Who.PROCESS),
    Row(Arrow.REALARM, _LATCHED_ACK, _LATCHED_UNACK, Guard.NONE, Who.PROCESS),
    # It stood without having rung (covered, data too old) and now may: the same instance rings.
    Row(Arrow.ANNOUNCE, _UNACK, _UNACK, Guard.NONE, Who.PROCESS),
    Row(Arrow.COVER, _UNACK, _UNACK, Guard.NONE, Who.PROCESS),
    Row(Arrow.COVER, _ACK, _ACK, Guard.NONE, Who.PROCESS),
    Row(Arrow.UNCOVER, _UNACK, _UNACK, Guard.NONE, Who.PROCESS),
    Row(Arrow.UNCOVER, _ACK, _ACK, Guard.NONE, Who.PROCESS),
    *(Row(Arrow.REMOVE, state, _NORMAL, Guard.NONE, Who.CONFIGURATION) for state in STATES),
)


class HoldRow(NamedTuple):
    """An arrow that sets or lifts a hold; it leaves the state alone and may be fired in every state."""

    arrow: Arrow
    hold: Hold
    sets: bool
    who: Who


HOLDS: tuple[HoldRow, ...] = (
    HoldRow(Arrow.SHELVE, Hold.SHELVED, True, Who.PERSON),
    HoldRow(Arrow.UNSHELVE, Hold.SHELVED, False, Who.PERSON),
    HoldRow(Arrow.EXPIRE, Hold.SHELVED, False, Who.CLOCK),
    HoldRow(Arrow.SUPPRESS, Hold.SUPPRESSED, True, Who.PERSON),
    HoldRow(Arrow.UNSUPPRESS, Hold.SUPPRESSED, False, Who.PERSON),
    HoldRow(Arrow.SUPPRESS_BY_DESIGN, Hold.ENABLE, True, Who.PROCESS),
    HoldRow(Arrow.UNSUPPRESS_BY_DESIGN, Hold.ENABLE, False, Who.PROCESS),
    HoldRow(Arrow.SUPPRESS_BY_DESIGN, Hold.CONNECTOR, True, Who.PROCESS),
    HoldRow(Arrow.UNSUPPRESS_BY_DESIGN, Hold.CONNECTOR, False, Who.PROCESS),
    HoldRow(Arrow.REMOVE_FROM_SERVICE, Hold.OUT_OF_SERVICE, True, Who.PERSON),
    HoldRow(Arrow.RETURN_TO_SERVICE, Hold.OUT_OF_SERVICE, False, Who.PERSON),
)

VERBS: dict[str, Permission] = {
    Arrow.ACKNOWLEDGE: Permission.ACKNOWLEDGE,
    Arrow.RESET: Permission.RESET,
    Arrow.SHELVE: Permission.SHELVE,
    Arrow.UNSHELVE: Permission.SHELVE,
    Arrow.SUPPRESS: Permission.SUPPRESS,
    Arrow.UNSUPPRESS: Permission.SUPPRESS,
    Arrow.REMOVE_FROM_SERVICE: Permission.OUT_OF_SERVICE,
    Arrow.RETURN_TO_SERVICE: Permission.OUT_OF_SERVICE,
}
"""Arrows a person may fire, with the permission they take."""

NEEDS_REASON = frozenset({Arrow.SHELVE, Arrow.SUPPRESS, Arrow.REMOVE_FROM_SERVICE})


class GuardIndex(IntEnum):
    """Second index of ``transitions()``."""

    RANG = 0
    NEVER_RANG = 1
    LATCHED = 2


def transitions() -> NDArray[np.int8]:
    """Return the table for evaluators: state after by (arrow, ``GuardIndex``, state before), -1 where there is none."""
    table = np.full((len(ARROWS), len(GuardIndex), len(STATES)), -1, np.int8)
    columns = {Guard.RANG: (0,), Guard.NEVER_RANG: (1,), Guard.LATCHED: (2,), Guard.NONE: (0, 1, 2)}
    for row in TABLE:
        for guard in columns[row.guard]:
            table[ARROWS.index(row.arrow), guard, STATES.index(row.before)] = STATES.index(row.after)
    for hold in HOLDS:
        table[ARROWS.index(hold.arrow)] = np.arange(len(STATES), dtype=np.int8)
    return table


def diagram() -> str:
    """Return the documentation page: a Mermaid state diagram and both tables."""
    shown = [row for row in TABLE if row.arrow not in (Arrow.REMOVE, Arrow.COVER, Arrow.UNCOVER, Arrow.ANNOUNCE)]
    edges = {(row.before, row.after, _label(row)): None for row in shown}
    lines = [
        "# Alarm states",
        "",
        "Written by `python -m anlan.monitor.machine`; change the table in `src/anlan/monitor/machine.py` instead.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {_name(_NORMAL)}",
        *(f"    {_name(before)} --> {_name(after)}: {label}" for before, after, label in edges),
        "```",
        "",
        "| arrow | from | to | guard | fired by |",
        "|---|---|---|---|---|",
        *(f"| {row.arrow} | {row.before} | {row.after} | {row.guard} | {row.who} |" for row in TABLE),
        "",
        "Orthogonal to the states, an alarm may be held back. These arrows may be fired in every state and leave it",
        "alone; when the last hold is lifted and the alarm stands or is latched, `re-alarm` follows.",
        "",
        "| arrow | hold | | fired by |",
        "|---|---|---|---|",
        *(_hold_line(row) for row in HOLDS),
        "",
    ]
    return "\n".join(lines)


def _hold_line(row: HoldRow) -> str:
    name = (row.hold.name or "").lower().replace("_", " ")
    return f"| {row.arrow} | {name} | {'sets' if row.sets else 'lifts'} | {row.who} |"


def _name(state: AlarmState) -> str:
    return state.value.replace("-", "_")


def _label(row: Row) -> str:
    return f"{row.arrow} [{row.guard}]" if row.guard else str(row.arrow)


def main(arguments: list[str]) -> int:
    """Write the page to the path given, or with ``--check`` return 1 when it is not up to date."""
    check = "--check" in arguments
    path = Path(next((argument for argument in arguments if not argument.startswith("-")), "docs/alarm-states.md"))
    page = diagram()
    if check:
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        return 0 if current == page else 1
    path.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

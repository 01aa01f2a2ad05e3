"""The life of a warning as a table: states, arrows, who may fire them, under which guard.

Whether its condition still holds (``active``) is orthogonal to the state. Every arrow that fires becomes an event.

``python -m anlan.warn.warnings.machine docs/warning-states.md`` writes the page with the diagram, ``--check`` compares.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from anlan.core.errors import ConflictError
from anlan.core.events import WarningState


class Arrow(StrEnum):
    """Arrows of the machine; the names stand in ``WarningTransition.arrow``."""

    RAISE = "raise"
    REGRADE = "regrade"
    END = "end"
    RESUME = "resume"
    ESCALATE = "escalate"
    ANSWER = "answer"
    CONFIRM = "confirm"
    DISMISS = "dismiss"
    CLOSE = "close"
    SCORE = "score"


class Guard(StrEnum):
    """What must hold besides the state."""

    NONE = ""
    ACTIVE = "condition holds"
    OVER = "condition is over"
    GRAVER = "graver than when dismissed"
    REASON = "says why"
    NEW_ANSWER = "has not answered yet"
    TOO_FEW = "too few have answered"
    LAPSED = "condition is over and its time has passed"
    DECIDED = "its worth is known"


class Who(StrEnum):
    """Who may fire an arrow."""

    MODEL = "a model"
    CLOCK = "the clock"
    PERSON = "a person"


class Row(NamedTuple):
    """One arrow of the table; ``before`` None: there was no warning yet."""

    arrow: Arrow
    before: WarningState | None
    after: WarningState
    guard: Guard
    who: Who


@dataclass(frozen=True, slots=True)
class Facts:
    """What the guards look at."""

    active: bool = False
    graver: bool = False
    reason: bool = False
    answered: bool = False
    enough: bool = True
    lapsed: bool = False
    decided: bool = False


_RAISED, _CONFIRMED, _DISMISSED = WarningState.RAISED, WarningState.CONFIRMED, WarningState.DISMISSED
_CLOSED, _SCORED = WarningState.CLOSED, WarningState.SCORED
_OPEN = (_RAISED, _CONFIRMED)
STATES: tuple[WarningState, ...] = tuple(WarningState)

TABLE: tuple[Row, ...] = (
    Row(Arrow.RAISE, None, _RAISED, Guard.NONE, Who.MODEL),
    # A dismissed warning rings again only when it gets worse; once it has been off it closes and a new one is raised.
    Row(Arrow.RAISE, _DISMISSED, _RAISED, Guard.GRAVER, Who.MODEL),
    *(Row(Arrow.REGRADE, state, state, Guard.ACTIVE, Who.MODEL) for state in _OPEN),
    *(Row(Arrow.END, state, state, Guard.ACTIVE, Who.MODEL) for state in (*_OPEN, _DISMISSED)),
    *(Row(Arrow.RESUME, state, state, Guard.OVER, Who.MODEL) for state in (*_OPEN, _DISMISSED)),
    *(Row(Arrow.ESCALATE, state, state, Guard.TOO_FEW, Who.CLOCK) for state in _OPEN),
    *(Row(Arrow.ANSWER, state, state, Guard.NEW_ANSWER, Who.PERSON) for state in _OPEN),
    Row(Arrow.CONFIRM, _RAISED, _CONFIRMED, Guard.NONE, Who.PERSON),
    Row(Arrow.CONFIRM, _DISMISSED, _CONFIRMED, Guard.NONE, Who.PERSON),
    *(Row(Arrow.DISMISS, state, _DISMISSED, Guard.REASON, Who.PERSON) for state in _OPEN),
    Row(Arrow.CLOSE, _CONFIRMED, _CLOSED, Guard.REASON, Who.PERSON),
    *(Row(Arrow.CLOSE, state, _CLOSED, Guard.LAPSED, Who.CLOCK) for state in _OPEN),
    Row(Arrow.CLOSE, _DISMISSED, _CLOSED, Guard.OVER, Who.CLOCK),
    Row(Arrow.SCORE, _CLOSED, _SCORED, Guard.DECIDED, Who.CLOCK),
)

VERBS = tuple(dict.fromkeys(row.arrow for row in TABLE if row.who is Who.PERSON))
"""Arrows a person may fire."""


def holds(guard: Guard, facts: Facts) -> bool:
    """Return whether a guard holds."""
    return {
        Guard.NONE: True,
        Guard.ACTIVE: facts.active,
        Guard.OVER: not facts.active,
        Guard.GRAVER: facts.graver,
        Guard.REASON: facts.reason,
        Guard.NEW_ANSWER: not facts.answered,
        Guard.TOO_FEW: not facts.enough,
        Guard.LAPSED: not facts.active and facts.lapsed,
        Guard.DECIDED: facts.decided,
    }[guard]


def may(arrow: Arrow, state: WarningState | None, who: Who, facts: Facts) -> bool:
    """Return whether an arrow can fire."""
    return any(_fits(row, arrow, state, who) and holds(row.guard, facts) for row in TABLE)


def fire(arrow: Arrow, state: WarningState | None, who: Who, facts: Facts) -> WarningState:
    """Return the state after an arrow.

    Raises:
        ConflictError: there is no such arrow from here, or its guard does not hold; names what is possible.
    """
    rows = [row for row in TABLE if _fits(row, arrow, state, who)]
    for row in rows:
        if holds(row.guard, facts):
            return row.after
    if rows:
        wanted = " / ".join(row.guard for row in rows)
        fix = "write a reason 请写明理由" if rows[0].guard is Guard.REASON else ""
        raise ConflictError(f"{arrow.value!r} takes that: {wanted}", where="verb", fix=fix)
    possible = ", ".join(row.arrow for row in TABLE if row.before == state and row.who is who)
    raise ConflictError(
        f"a warning that is {state.value if state else 'not there'} takes no {arrow.value!r}",
        where="verb",
        fix=f"possible now: {possible}" if possible else "it is over",
    )


def _fits(row: Row, arrow: Arrow, state: WarningState | None, who: Who) -> bool:
    return row.arrow is arrow and row.before == state and row.who is who


def diagram() -> str:
    """Return the documentation page: a Mermaid state diagram and the table."""
    moves = [row for row in TABLE if row.before != row.after]
    lines = [
        "# Warning states 预警状态",
        "",
        "Written by `python -m anlan.warn.warnings.machine`; change the table in `src/anlan/warn/warnings/machine.py`",
        "instead.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        *(f"    {row.before or '[*]'} --> {row.after}: {_label(row)}" for row in moves),
        f"    {_SCORED} --> [*]",
        "```",
        "",
        "| arrow | from | to | guard | fired by |",
        "|---|---|---|---|---|",
        *(f"| {row.arrow} | {row.before or '–'} | {row.after} | {row.guard} | {row.who} |" for row in TABLE),
        "",
    ]
    return "\n".join(lines)


def _label(row: Row) -> str:
    return f"{row.arrow} [{row.guard}]" if row.guard else str(row.arrow)


def main(arguments: list[str]) -> int:
    """Write the page to the path given, or with ``--check`` return 1 when it is not up to date."""
    path = Path(next((argument for argument in arguments if not argument.startswith("-")), "docs/warning-states.md"))
    page = diagram()
    if "--check" in arguments:
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        return 0 if current == page else 1
    path.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

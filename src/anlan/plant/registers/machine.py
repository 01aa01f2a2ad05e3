"""The registers' state machines as tables: states, arrows, who may fire them, under which guard.

Pure: no clock and no storage. Every arrow that fires becomes an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from anlan.core.actor import Permission
from anlan.core.errors import ConflictError, PermissionDeniedError


class Guard(StrEnum):
    """Conditions on who fires an arrow, beside the permission."""

    ANYONE = "anyone with the permission"
    ANOTHER_PERSON = "not the person who asked for it"
    SAME_PERSON = "only the person who asked for it"
    SYSTEM = "only the service itself"


@dataclass(frozen=True, slots=True)
class Arrow:
    """One arrow: from a state to a state, fired by somebody with ``permission`` who meets ``guard``."""

    verb: str
    before: str
    after: str
    permission: Permission
    guard: Guard = Guard.ANYONE
    needs_comment: bool = False


class Machine:
    """A table of arrows with a first state."""

    def __init__(self, name: str, first: str, arrows: tuple[Arrow, ...]) -> None:
        self.name = name
        self.first = first
        self.arrows = arrows
        self.states = tuple(
            dict.fromkeys([first, *(state for arrow in arrows for state in (arrow.before, arrow.after))])
        )

    def arrow(self, state: str, verb: str) -> Arrow:
        """Return the arrow ``verb`` out of ``state``.

        Raises:
            ConflictError: there is none; names the verbs that there are.
        """
        for arrow in self.arrows:
            if arrow.before == state and arrow.verb == verb:
                return arrow
        verbs = ", ".join(
            arrow.verb for arrow in self.arrows if arrow.before == state and arrow.guard is not Guard.SYSTEM
        )
        raise ConflictError(
            f"a {self.name} that is {state} takes no {verb!r}", fix=f"possible now: {verbs}" if verbs else "it is over"
        )

    def fire(self, state: str, verb: str, *, who: str, asked_by: str, comment: str = "", system: bool = False) -> Arrow:
        """Return the arrow after judging its guard; the permission is the service's to check.

        Args:
            state: state before.
            verb: name of the arrow.
            who: user who fires it.
            asked_by: user who began the thing.
            system: the service itself fires it.

        Raises:
            ConflictError: no such arrow from here, or a comment is missing.
            PermissionDeniedError: the wrong person.
        """
        arrow = self.arrow(state, verb)
        if arrow.guard is Guard.SYSTEM and not system:
            raise PermissionDeniedError(f"{verb!r} is fired by the service itself", where=self.name)
        if arrow.guard is Guard.ANOTHER_PERSON and who == asked_by:
            raise PermissionDeniedError(
                f"{who} asked for this {self.name} and may not {verb} it", where=self.name, fix="a second person must"
            )
        if arrow.guard is Guard.SAME_PERSON and who != asked_by:
            raise PermissionDeniedError(f"only {asked_by} may {verb} this {self.name}", where=self.name)
        if arrow.needs_comment and not comment.strip():
            raise ConflictError(f"{verb!r} needs a reason", where="comment", fix="say why")
        return arrow

    def over(self, state: str) -> bool:
        """Return whether no arrow leaves ``state``."""
        return not any(arrow.before == state for arrow in self.arrows)


_P, _G = Permission, Guard

SHIFT = Machine(
    "shift",
    "open",
    (
        Arrow("offer", "open", "offered", _P.LOG_SHIFT),
        Arrow("take-back", "offered", "open", _P.LOG_SHIFT),
        Arrow("accept", "offered", "closed", _P.LOG_SHIFT, _G.ANOTHER_PERSON),
    ),
)

BYPASS = Machine(
    "bypass",
    "requested",
    (
        Arrow("approve", "requested", "active", _P.BYPASS, _G.ANOTHER_PERSON),
        Arrow("reject", "requested", "rejected", _P.BYPASS, _G.ANOTHER_PERSON, needs_comment=True),
        Arrow("withdraw", "requested", "withdrawn", _P.BYPASS, _G.SAME_PERSON),
        Arrow("lapse", "requested", "lapsed", _P.ADMINISTER, _G.SYSTEM),
        Arrow("restore", "active", "restored", _P.BYPASS),
        Arrow("expire", "active", "expired", _P.ADMINISTER, _G.SYSTEM),
        Arrow("restore", "expired", "restored", _P.BYPASS),
    ),
)

CHANGE = Machine(
    "change",
    "proposed",
    (
        Arrow("approve", "proposed", "approved", _P.APPROVE_CHANGE, _G.ANOTHER_PERSON),
        Arrow("reject", "proposed", "rejected", _P.APPROVE_CHANGE, _G.ANOTHER_PERSON, needs_comment=True),
        Arrow("withdraw", "proposed", "withdrawn", _P.PROPOSE_CHANGE, _G.SAME_PERSON),
        Arrow("apply", "approved", "applied", _P.ADMINISTER, _G.SYSTEM),
        Arrow("fail", "approved", "failed", _P.ADMINISTER, _G.SYSTEM, needs_comment=True),
    ),
)

DEGRADATION = Machine(
    "degradation",
    "degraded",
    (
        Arrow("worsen", "degraded", "failed", _P.LOG_SHIFT, needs_comment=True),
        Arrow("ease", "failed", "degraded", _P.BYPASS, needs_comment=True),
        Arrow("restore", "degraded", "restored", _P.BYPASS, needs_comment=True),
        Arrow("restore", "failed", "restored", _P.BYPASS, needs_comment=True),
    ),
)

WORK = Machine(
    "work",
    "planned",
    (
        Arrow("begin", "planned", "active", _P.LOG_SHIFT),
        Arrow("cancel", "planned", "cancelled", _P.LOG_SHIFT, needs_comment=True),
        Arrow("lapse", "planned", "lapsed", _P.ADMINISTER, _G.SYSTEM),
        Arrow("finish", "active", "finished", _P.LOG_SHIFT),
        Arrow("extend", "active", "active", _P.LOG_SHIFT, needs_comment=True),
        Arrow("run-over", "active", "overdue", _P.ADMINISTER, _G.SYSTEM),
        Arrow("finish", "overdue", "finished", _P.LOG_SHIFT),
        Arrow("extend", "overdue", "active", _P.LOG_SHIFT, needs_comment=True),
    ),
)

MACHINES = (SHIFT, BYPASS, CHANGE, DEGRADATION, WORK)


def diagram(machine: Machine) -> str:
    """Return a machine as a Mermaid state diagram for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {machine.first}"]
    lines += [f"    {arrow.before} --> {arrow.after}: {arrow.verb} ({arrow.guard.value})" for arrow in machine.arrows]
    lines += [f"    {state} --> [*]" for state in machine.states if machine.over(state)]
    return "\n".join(lines) + "\n"

"""What the book keeps of each warning, and what one step of it changes."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from anlan.core.events import Event, WarningOutcome
from anlan.core.ids import ulid_of
from anlan.core.severity import WarningGrade
from anlan.warn.model import Finding, Missed, ModelMode, WarningModel, WarningRow, WarningStep


class Member(msgspec.Struct, omit_defaults=True):
    """One model's part in a warning: since when, what it says now, and what its claim was worth.

    Attributes:
        joined: when it first said so, µs UTC; lead times count from here.
        grade: grade it asks for now, 0 when its condition is over.
        finding: the newest finding that asked for a grade.
        outcome, event, lead: once decided: worth, deciding event, µs from ``joined`` to it.
    """

    model: str
    version: int
    path: str
    joined: int
    grade: int
    finding: Finding
    horizon: int = 0
    least_lead: int = 0
    outcome: WarningOutcome | None = None
    event: str = ""
    lead: int = 0

    @property
    def key(self) -> str:
        """Name of the member in every warning."""
        return member_key(self.model, self.version, self.path)

    @property
    def deadline(self) -> int:
        """End of the time in which its target must come, µs UTC."""
        return self.joined + self.horizon


class Kept(msgspec.Struct, omit_defaults=True):
    """A warning with all that people do not see of it; times µs UTC, 0 when there is none.

    Attributes:
        dismissed: grade it had when it was dismissed.
        lower: since when a less grave grade has held.
        over: since when its condition has been over.
        told: when its escalation began.
        averted: a person states that an inspection found what it foresaw.
        exercise: part of a drill: reaches no real recipient.
    """

    row: WarningRow
    members: dict[str, Member] = {}
    samples: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    dismissed: int = 0
    lower: int = 0
    over: int = 0
    told: int = 0
    averted: bool = False
    exercise: bool = False

    @property
    def asked(self) -> int:
        """Gravest grade that a member asks for now, 0 when the condition is over."""
        return min((member.grade for member in self.members.values() if member.grade), default=0)

    @property
    def deadline(self) -> int:
        """When the last of its claims runs out, µs UTC."""
        return max((member.deadline for member in self.members.values()), default=0)

    def gravest(self) -> Member:
        """Return the member that speaks for the warning: the gravest, then the first to say so."""
        return min(self.members.values(), key=lambda member: (member.grade or 9, member.joined, member.key))


def member_key(model: str, version: int, path: str) -> str:
    """Return the name of a model's claim at a place."""
    return f"{model}/{version}@{path}"


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message to be sent; ``id`` is its idempotency mark and stands in what is sent."""

    id: str
    warning: str
    step: int
    channel: str
    to: tuple[str, ...]
    title: str
    body: str
    grade: WarningGrade
    time: int
    exercise: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """A version of a model that runs, how, and where.

    Attributes:
        bound: places it judges.
        inputs: paths of the points it looks at.
    """

    model: WarningModel
    mode: ModelMode
    bound: tuple[str, ...] = ()
    inputs: frozenset[str] = frozenset()


class Mint:
    """Makes the event ids of one cause: the same cause makes the same ids.

    Args:
        node: id of the node.
        stream: what kind of cause: ``warn`` for a record of the log.
        sequence: its position.
    """

    def __init__(self, node: str, stream: str, sequence: int) -> None:
        self.node = node
        self._stream = stream
        self._sequence = sequence
        self._ordinal = 0

    def next(self, time: int) -> str:
        """Return the next id, for something that happened at ``time`` (µs UTC)."""
        self._ordinal += 1
        return ulid_of(time, self.node, self._stream, self._sequence, self._ordinal)


@dataclass
class Changes:
    """What must be kept and told after a step of the book, all in one transaction."""

    kept: dict[str, Kept] = field(default_factory=dict)
    steps: list[tuple[str, WarningStep]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.kept or self.steps or self.events or self.messages or self.missed)


def merged(one: Changes, other: Changes) -> Changes:
    """Return two steps of the book as one."""
    return Changes(
        {**one.kept, **other.kept},
        one.steps + other.steps,
        one.events + other.events,
        one.messages + other.messages,
        one.missed + other.missed,
    )

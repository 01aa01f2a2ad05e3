"""What one may ask the gateway, and what it answers. Requests go to ``svc.perceive.*``.

==========================  =====================  =========================
subject                     request                answer
==========================  =====================  =========================
perceive.connectors         ListConnectors         tuple[ConnectorStatus]
perceive.dead-letters       ListDeadLetters        DeadLetterPage
perceive.dead-letter        GetDeadLetter          DeadLetter
perceive.mend               Mend                   MendResult
==========================  =====================  =========================
"""

from __future__ import annotations

import msgspec


class ListConnectors(msgspec.Struct, frozen=True):
    """Ask for the state and counters of all connectors."""


class ConnectorStatus(msgspec.Struct, frozen=True):
    """How one connector fares. Counters are since the gateway's start.

    Attributes:
        state: starting, up, down or misconfigured.
        reason: why it is not up.
        since: when the state began, µs UTC.
        good, uncertain, bad, late, future: samples; late and future ones are in the first three as well.
        unmapped: samples of tags no point is mapped to; ``unmapped_tags`` holds up to 50 of those tags with counts.
        dead: frames that could not be used.
        messages: batches or packs taken.
        clock_offset_us: device clock minus the gateway's, µs.
        last_seen: when the last sample arrived, µs UTC, 0 for never.
        details: what the connector itself tells (clients, sessions, …).
    """

    id: str
    kind: str
    name: str = ""
    state: str = "starting"
    reason: str = ""
    since: int = 0
    points: int = 0
    good: int = 0
    uncertain: int = 0
    bad: int = 0
    late: int = 0
    future: int = 0
    unmapped: int = 0
    dead: int = 0
    messages: int = 0
    clock_offset_us: int = 0
    last_seen: int = 0
    unmapped_tags: dict[str, int] = {}
    details: dict[str, object] = {}


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A frame, payload or row that could not be used.

    Attributes:
        sequence: its place in the stream DEAD; names it in requests.
        time: when it came, µs UTC.
        connector: id of the connector.
        source: topic, address or file it came from.
        reason, where, fix: the error's text, place and remedy.
        size: bytes of the original.
        raw: the bytes (base64 in JSON), cut off after ``RAW_LIMIT``.
    """

    time: int
    connector: str
    source: str
    reason: str
    where: str = ""
    fix: str = ""
    size: int = 0
    raw: bytes = b""
    sequence: int = 0


RAW_LIMIT = 64 << 10


class ListDeadLetters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Newest first, optionally of one connector; ``before`` is the ``next`` of the page before."""

    connector: str = ""
    limit: int = 50
    before: int = 0


class DeadLetterPage(msgspec.Struct, frozen=True):
    """A page of dead letters (raw bytes cut to 256), how many the stream holds, and the cursor of the next page."""

    letters: tuple[DeadLetter, ...]
    kept: int
    next: int = 0


class GetDeadLetter(msgspec.Struct, frozen=True):
    """Ask for one dead letter with all bytes that were kept."""

    sequence: int


class Mend(msgspec.Struct, frozen=True, omit_defaults=True):
    """Run a dead letter again through its connector, with ``raw`` in place of its bytes when given."""

    sequence: int
    raw: bytes | None = None
    comment: str = ""


class MendResult(msgspec.Struct, frozen=True):
    """How many samples the mended letter gave; it is removed from the stream then."""

    sequence: int
    samples: int


class RunAgain(msgspec.Struct, frozen=True):
    """Run a dead letter's bytes again at the gateway that runs its connector."""

    connector: str
    raw: bytes
    source: str

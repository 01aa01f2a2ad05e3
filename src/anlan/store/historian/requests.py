"""What one may ask the historian: typed requests on ``svc.historian.*``; columns come back as Arrow in pieces.

=======================  =====================  ==============================================
subject                  request                answer
=======================  =====================  ==============================================
historian.series         SeriesQuery            Arrow IPC stream in pieces
historian.export         ExportQuery            a Parquet or CSV file in pieces
historian.journal        JournalQuery           JournalPage
historian.transitions    TransitionQuery        Arrow IPC stream of alarm transitions in pieces
historian.hold           Hold                   Hold
historian.release        ReleaseHold            Hold
historian.holds          ListHolds              Holds
historian.status         StatusQuery            HistorianStatus
=======================  =====================  ==============================================
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from anlan.core.events import Event


class SeriesKind(StrEnum):
    """Ways to read a series.

    RAW: every stored sample. BUCKET: min, max, mean, last, count per bucket. M4: first, last, min, max per pixel
    column, for plotting without visible error. AS_OF: the last sample at or before ``end``. WIND: vector mean of speed
    and direction points per bucket.
    """

    RAW = "raw"
    BUCKET = "bucket"
    M4 = "m4"
    AS_OF = "as-of"
    WIND = "wind"


class SeriesQuery(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for series on ``svc.historian.series`` (Arrow IPC stream in pieces).

    Attributes:
        points: point numbers; for WIND exactly (speed, direction).
        start, end: µs UTC, start inclusive, end exclusive.
        bucket: µs, for BUCKET and WIND.
        width: pixel columns, for M4.
        limit: most rows; a longer answer ends early and says so in its schema metadata (``truncated``).

    Columns: RAW and AS_OF point, time, value, quality. BUCKET point, time, min, max, mean, last, count, bad. M4 point,
    time, value, quality. WIND time, speed, direction, count.
    """

    kind: SeriesKind
    points: tuple[int, ...]
    start: int
    end: int
    bucket: int = 0
    width: int = 0
    limit: int = 5_000_000


class JournalQuery(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for events on ``svc.historian.journal``, newest first.

    Attributes:
        types: event types, all when empty.
        subject: prefix of the subject (a path of the hierarchy).
        start, end: µs UTC.
        text: appears in subject or payload.
        cursor: ``next`` of the page before.
    """

    types: tuple[str, ...] = ()
    subject: str = ""
    start: int = 0
    end: int = 0
    text: str = ""
    who: str = ""
    limit: int = 200
    cursor: str = ""


class JournalPage(msgspec.Struct, frozen=True):
    """A page of events and the cursor of the next one, empty at the end."""

    events: tuple[Event, ...]
    next: str = ""


class HistorianStatus(msgspec.Struct, frozen=True):
    """Answer of ``svc.historian.status``: rows and bytes are of active parts, all columns, after merges so far."""

    rows: int
    bytes: int
    events: int
    mark: int
    behind: int
    engine: str


class StatusQuery(msgspec.Struct, frozen=True):
    """Ask how full and how far behind the historian is."""


class ExportFormat(StrEnum):
    """File formats of an export."""

    PARQUET = "parquet"
    CSV = "csv"


class ExportQuery(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for a series as a file on ``svc.historian.export`` (the file's bytes in pieces).

    Columns are those of ``series`` with the point's path and unit beside its number; CSV writes times as ISO 8601 UTC
    and values so that reading them back gives the same 64 bits (NaN and infinities by name).
    """

    series: SeriesQuery
    format: ExportFormat = ExportFormat.PARQUET


class TransitionQuery(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for alarm transitions of [start, end) (µs UTC), oldest first, on ``svc.historian.transitions``.

    Columns: id, time, alarm, instance, arrow, state, before, priority, rung, who, subject. ``alarm`` narrows to one
    definition, ``subject`` to a place of the hierarchy.
    """

    start: int
    end: int
    alarm: str = ""
    subject: str = ""
    limit: int = 2_000_000


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """Keep samples of ``points`` (all when empty) from ``start`` to ``end`` (µs UTC, 0 = open) past their retention.

    ``who`` and ``time`` are filled in by the service.
    """

    id: str
    start: int
    reason: str
    points: tuple[int, ...] = ()
    end: int = 0
    who: str = ""
    time: int = 0
    released: bool = False


class ReleaseHold(msgspec.Struct, frozen=True):
    """Let a hold go: its samples expire by their class again."""

    id: str


class ListHolds(msgspec.Struct, frozen=True):
    """Ask for the holds in force."""


class Holds(msgspec.Struct, frozen=True):
    """Holds in force, oldest first."""

    holds: tuple[Hold, ...]

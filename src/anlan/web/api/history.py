"""Series and journal from the historian, and exports in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from anlan.core.actor import Actor, Permission
from anlan.core.errors import InvalidInputError
from anlan.core.events import Event, EventType
from anlan.core.time import duration_us, from_iso, to_iso
from anlan.plant.model import Point
from anlan.store.historian.query import MAX_ROWS
from anlan.store.historian.requests import (
    ExportFormat,
    ExportQuery,
    JournalPage,
    JournalQuery,
    SeriesKind,
    SeriesQuery,
)
from anlan.web import columns
from anlan.web.contract import documented, reply
from anlan.web.security import Context, CurrentActor, require_permission
from anlan.web.watch import PlantWatch

router = APIRouter(tags=["history"])

ARROW = "application/vnd.apache.arrow.stream"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
_MOST_JSON = 500_000
_MOST_EXPORT = MAX_ROWS
_EXPORT_TIMEOUT_S = 120.0

Moment = Annotated[str, Query(max_length=40, description="µs UTC, or ISO 8601 (without offset: the site's zone)")]
Paths = Annotated[list[str], Query(min_length=1, max_length=200, description="paths of points")]


class Series(msgspec.Struct, frozen=True):
    """A series by columns of one length; ``points`` names the numbers of the column ``point``."""

    kind: SeriesKind
    points: dict[str, str]
    columns: dict[str, list[float | int | None]]
    rows: int
    truncated: bool


def moment(text: str, name: str, plant: PlantWatch, default: int = 0) -> int:
    """Return the µs UTC of a query parameter.

    Raises:
        InvalidInputError: it is no moment.
    """
    if not text:
        return default
    number = text.removeprefix("-")
    if number.isascii() and number.isdigit() and len(number) < 18:
        return int(text)
    try:
        zone = plant.plant.site.timezone if plant.plant is not None else "UTC"
        # A plus in a query arrives as a blank unless it was escaped.
        return from_iso(text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text, zone)
    except (InvalidInputError, OverflowError, ValueError) as error:
        raise InvalidInputError(
            f"{text!r} is not a moment", where=name, fix="µs UTC, or like 2026-11-24T08:00:00+08:00"
        ) from error


def _query(
    plant: PlantWatch, actor: Actor, path: list[str], kind: SeriesKind, start: str, end: str, bucket: str, width: int
) -> tuple[SeriesQuery, list[Point]]:
    points = [plant.point(name, actor) for name in path]
    if kind is SeriesKind.WIND and len(points) != 2:
        raise InvalidInputError("wind takes a speed and a direction point", where="path", fix="give exactly two")
    span = duration_us(bucket) if bucket else 0
    if kind in (SeriesKind.BUCKET, SeriesKind.WIND) and span < 1:
        raise InvalidInputError("buckets need a length", where="bucket", fix="write it like '1 min'")
    first, last = moment(start, "start", plant), moment(end, "end", plant)
    if kind is not SeriesKind.AS_OF and not first < last:
        raise InvalidInputError("the end is not after the start", where="end", fix="start < end")
    numbers = tuple(point.number for point in points)
    return SeriesQuery(kind=kind, points=numbers, start=first, end=last, bucket=span, width=width), points


@router.get("/series", **documented(answer=Series, media=(ARROW, CSV)))
async def read_series(
    request: Request,
    context: Context,
    actor: CurrentActor,
    path: Paths,
    end: Moment,
    start: Moment = "",
    kind: SeriesKind = SeriesKind.RAW,
    bucket: Annotated[str, Query(max_length=20, description="length of a bucket, like 1 min")] = "",
    width: Annotated[int, Query(ge=0, le=10_000, description="pixel columns of m4")] = 0,
    limit: Annotated[int, Query(ge=1, le=_MOST_JSON)] = 100_000,
) -> Response:
    """Stored samples of points: raw, per bucket, for plotting (m4), as of a moment, or the wind's vector mean.

    JSON by columns, or with ``Accept`` Arrow or CSV.
    """
    query, points = _query(context.plant, actor, path, kind, start, end, bucket, width or 1000)
    query = msgspec.structs.replace(query, limit=limit)
    accept = request.headers.get("accept", "")
    if CSV in accept:
        return StreamingResponse(await _started(_file(context, actor, query, ExportFormat.CSV)), media_type=CSV)
    pieces = context.fabric.call_pieces("historian.series", query, actor)
    if ARROW in accept:
        return StreamingResponse(await _started(pieces), media_type=ARROW)
    table, truncated = await columns.to_columns(pieces)
    names = {point.number: point.path for point in points}
    rows = len(next(iter(table.values()), []))
    return reply(Series(kind, {str(number): name for number, name in names.items()}, table, rows, truncated))


@router.get("/export", **documented(media=(CSV, PARQUET, ARROW)))
async def export_series(
    context: Context,
    actor: CurrentActor,
    path: Paths,
    start: Moment,
    end: Moment,
    format_: Annotated[Literal["csv", "parquet", "arrow"], Query(alias="format")] = "csv",
) -> Response:
    """Raw samples of points as a file, streamed."""
    query, _ = _query(context.plant, actor, path, SeriesKind.RAW, start, end, "", 0)
    query = msgspec.structs.replace(query, limit=_MOST_EXPORT)
    media = {"csv": CSV, "parquet": PARQUET, "arrow": ARROW}[format_]
    made = (
        context.fabric.call_pieces("historian.series", query, actor, timeout=_EXPORT_TIMEOUT_S)
        if format_ == "arrow"
        else _file(context, actor, query, ExportFormat(format_))
    )
    stamp = to_iso(query.start)[:19].replace(":", "")
    disposition = f'attachment; filename="anlan-{stamp}.{format_}"'
    return StreamingResponse(await _started(made), media_type=media, headers={"Content-Disposition": disposition})


def _file(context: Context, actor: Actor, query: SeriesQuery, kind: ExportFormat) -> AsyncIterator[bytes]:
    request = ExportQuery(query, kind)
    return context.fabric.call_pieces("historian.export", request, actor, timeout=_EXPORT_TIMEOUT_S)


async def _started(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Wait for the first piece, so that an error before it still becomes a problem document."""
    first = await anext(pieces, b"")

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return rest()


# --- journal ----------------------------------------------------------------------------------------------------------


class Journal(msgspec.Struct, frozen=True):
    """A page of events, newest first, and the cursor of the next, empty at the end."""

    items: tuple[Event, ...]
    next: str = ""


def sees_event(plant: PlantWatch, actor: Actor, event: Event) -> bool:
    """Return whether an actor may see an event: by the place it is about; audit events by right."""
    if event.type == EventType.AUDIT:
        place = event.subject if "/" in event.subject and event.subject in plant.by_path else ""
        return actor.may(Permission.VIEW_AUDIT, place)
    if event.type == EventType.ALARM:
        data: dict[str, Any] = event.data
        return actor.sees(plant.path_of_alarm(str(data.get("alarm", event.subject)), int(data.get("point", 0))))
    if event.type == EventType.CONNECTOR:
        return sees_connector(plant, actor, str(event.data.get("connector", event.subject)))
    if event.type in (EventType.SYSTEM, EventType.CONFIG, EventType.FLOOD):
        return True
    return actor.sees(event.subject)


def sees_connector(plant: PlantWatch, actor: Actor, connector: str) -> bool:
    """Return whether an actor sees the whole node or a point that this connector brings."""
    if actor.sees(""):
        return True
    compiled = plant.require()
    return any(actor.sees(path) for spec in compiled.connectors if spec.id == connector for path in spec.map)


@router.get("/journal", **documented(answer=Journal))
async def read_journal(
    context: Context,
    actor: CurrentActor,
    type_: Annotated[list[EventType] | None, Query(alias="type", max_length=20)] = None,
    subject: Annotated[str, Query(max_length=400, description="a place, or the beginning of a subject")] = "",
    start: Moment = "",
    end: Moment = "",
    text: Annotated[str, Query(max_length=100)] = "",
    who: Annotated[str, Query(max_length=80)] = "",
    cursor: Annotated[str, Query(max_length=400)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """Events, newest first. A page may hold fewer than ``limit`` where some lie outside one's places."""
    query = JournalQuery(
        types=tuple(item.value for item in type_ or ()),
        subject=subject,
        start=moment(start, "start", context.plant),
        end=moment(end, "end", context.plant),
        text=text,
        who=who,
        cursor=cursor,
        limit=limit,
    )
    return reply(await _journal(context, actor, query))


@router.get("/audit", **documented(answer=Journal))
async def read_audit(
    context: Context,
    actor: Annotated[Actor, Depends(require_permission(Permission.VIEW_AUDIT))],
    subject: Annotated[str, Query(max_length=400, description="beginning of a subject, like users/")] = "",
    start: Moment = "",
    end: Moment = "",
    text: Annotated[str, Query(max_length=100)] = "",
    who: Annotated[str, Query(max_length=80)] = "",
    cursor: Annotated[str, Query(max_length=400)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """Who changed what, newest first."""
    query = JournalQuery(
        types=(EventType.AUDIT.value,),
        subject=subject,
        start=moment(start, "start", context.plant),
        end=moment(end, "end", context.plant),
        text=text,
        who=who,
        cursor=cursor,
        limit=limit,
    )
    return reply(await _journal(context, actor, query))


async def _journal(context: Context, actor: Actor, query: JournalQuery) -> Journal:
    page = await context.fabric.call("historian.journal", query, actor, JournalPage, timeout=15)
    seen = tuple(event for event in page.events if sees_event(context.plant, actor, event))
    return Journal(seen, page.next)

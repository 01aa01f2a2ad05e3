"""What pages fetch besides the live frame: the plant, texts, series, marks, an alarm's history, exports.

Every route finds out anew who asks and lets nothing through that lies outside their places.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from anlan.core.actor import Actor
from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.core.events import EventType
from anlan.core.quality import describe
from anlan.core.time import DAY, MINUTE, now_us, to_iso
from anlan.plant.model import Plant, Point
from anlan.store.historian.requests import JournalPage, JournalQuery, SeriesKind, SeriesQuery
from anlan.web import i18n
from anlan.web.contract import reply
from anlan.web.live import plant_view
from anlan.web.live.frame import covers
from anlan.web.live.model import StandingList
from anlan.web.security import current_actor
from anlan.web.sse import Places

if TYPE_CHECKING:
    from anlan.web.context import WebContext
    from anlan.web.live.hub import Hub

MOST_POINTS = 24
RAW_BELOW = 10 * MINUTE
RAW_LIMIT = 20_000
EXPORT_LIMIT = 5_000_000
LONGEST_EXPORT = 400 * DAY

Numbers = Annotated[str, Query(max_length=400)]
Micros = Annotated[int, Query(ge=0)]


class Data:
    """The routes' work, with the context at hand."""

    def __init__(self, context: WebContext, hub: Hub) -> None:
        self.context = context
        self.hub = hub
        self._plants: dict[tuple[str, ...], tuple[bytes, bytes]] = {}
        context.plant.on_change.append(lambda _plant: self._plants.clear())

    def points(self, text: str, actor: Actor) -> list[Point]:
        """Return the points a query names.

        Raises:
            InvalidInputError: not numbers, none, or too many.
            NotFoundError: one is not there or outside the actor's places.
        """
        numbers = [part for part in text.split(",") if part]
        if not all(part.isdigit() for part in numbers) or not 0 < len(numbers) <= MOST_POINTS:
            raise InvalidInputError("points are 1 to 24 numbers", where="points", fix="points=3,17")
        found = []
        for number in numbers:
            point = self.context.plant.by_number.get(int(number))
            if point is None or not actor.sees(point.path):
                raise NotFoundError(f"there is no point {number}", where=number)
            found.append(point)
        return found

    async def plant(self, actor: Actor) -> tuple[bytes, bytes]:
        """Return the plant as the browser needs it, plain and gzipped, kept per set of places."""
        key = Places.key(actor)
        if key not in self._plants:
            self._plants[key] = await asyncio.to_thread(_packed_plant, self.context.plant.require(), key)
        return self._plants[key]

    async def table(self, query: SeriesQuery, actor: Actor) -> pa.Table:
        """Return the historian's answer to a series query."""
        pieces = [piece async for piece in self.context.fabric.call_pieces("historian.series", query, actor)]
        return await asyncio.to_thread(_read_arrow, b"".join(pieces))

    async def series(self, points: list[Point], start: int, end: int, width: int, actor: Actor) -> dict[str, Any]:
        """Return series for drawing: every sample of a short window, M4 per pixel column of a long one."""
        raw = end - start <= RAW_BELOW
        query = SeriesQuery(
            kind=SeriesKind.RAW if raw else SeriesKind.M4,
            points=tuple(point.number for point in points),
            start=start,
            end=end,
            width=0 if raw else width,
            limit=RAW_LIMIT * len(points) if raw else 8 * width * len(points),
        )
        table = await self.table(query, actor)
        return {"kind": "raw" if raw else "m4", "series": await asyncio.to_thread(_split, table)}

    async def marks(self, points: list[Point], start: int, end: int, actor: Actor) -> list[dict[str, Any]]:
        """Return the alarms raised on some points in a window."""
        marks: list[dict[str, Any]] = []
        numbers = {point.number for point in points}
        for point in points:
            query = JournalQuery(types=(EventType.ALARM,), subject=point.path, start=start, end=end, limit=500)
            page = await self.context.fabric.call("historian.journal", query, actor, JournalPage, timeout=10)
            for event in page.events:
                if event.data.get("arrow") == "raise" and event.data.get("point") in numbers:
                    mark = {name: event.data.get(name) for name in ("alarm", "point", "priority")}
                    marks.append(mark | {"t": event.time, "v": event.data.get("value")})
        return marks

    async def history(self, alarm: str, actor: Actor) -> list[dict[str, Any]]:
        """Return the last transitions of one alarm, newest first."""
        path = self.context.plant.path_of_alarm(alarm)
        if not actor.sees(path):
            raise NotFoundError(f"there is no alarm {alarm!r}", where=alarm)
        query = JournalQuery(types=(EventType.ALARM,), subject=alarm, start=0, end=now_us() + MINUTE, limit=60)
        page = await self.context.fabric.call("historian.journal", query, actor, JournalPage, timeout=10)
        return [
            {"t": event.time} | {name: event.data.get(name) for name in ("arrow", "value", "who", "comment")}
            for event in page.events
            if event.data.get("alarm") == alarm
        ]


def _packed_plant(plant: Plant, key: tuple[str, ...]) -> tuple[bytes, bytes]:
    body = plant_view.view(plant, key)
    return body, gzip.compress(body, 6)


def _read_arrow(message: bytes) -> pa.Table:
    with pa.ipc.open_stream(pa.py_buffer(message)) as reader:
        return reader.read_all()


def _split(table: pa.Table) -> dict[int, dict[str, list[Any]]]:
    """Return ``{number: {t: ms, v, q}}`` of a table with point, time, value, quality."""
    numbers, times, values, quality = (
        table.column(name).to_numpy(zero_copy_only=False) for name in ("point", "time", "value", "quality")
    )
    series: dict[int, dict[str, list[Any]]] = {}
    for number in np.unique(numbers).tolist():
        rows = np.flatnonzero(numbers == number)
        rows = rows[np.argsort(times[rows], kind="stable")]
        series[number] = {
            "t": (times[rows] / 1000).tolist(),
            "v": [float(f"{v:.8g}") if np.isfinite(v) else None for v in values[rows].tolist()],
            "q": quality[rows].tolist(),
        }
    return series


def _export_csv(table: pa.Table, points: list[Point], zone: str) -> bytes:
    """Return samples as CSV with a byte order mark, so that office programs read the Chinese in it."""
    by_number = {point.number: point for point in points}
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("time", "time_us", "path", "tag", "value", "unit", "quality"))
    columns = (table.column(name).to_pylist() for name in ("point", "time", "value", "quality"))
    for number, time, value, quality in zip(*columns, strict=True):
        point = by_number[number]
        writer.writerow((to_iso(time, zone), time, point.path, point.tag, repr(value), point.unit, describe(quality)))
    return "\ufeff".encode() + out.getvalue().encode()


def _export_parquet(table: pa.Table, points: list[Point]) -> bytes:
    about = {str(point.number): {"path": point.path, "tag": point.tag, "unit": point.unit} for point in points}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({b"anlan.points": msgspec.json.encode(about)}), sink)
    return bytes(sink.getvalue())


def alarms_csv(rows: Iterable[Any], language: str, zone: str) -> bytes:
    """Return standing alarms as CSV."""
    t = i18n.translator(language)
    out = io.StringIO()
    writer = csv.writer(out)
    keys = ("priority", "state", "raised", "kind", "name", "value", "limit", "eu", "who", "comment")
    writer.writerow([t("col.point"), *(t(f"col.{key}") for key in keys)])
    for row in rows:
        name = row.name if language == "zh" else row.name_en or row.name
        raised = to_iso(row.raised, zone) if row.raised else ""
        writer.writerow(
            (
                *(
                    row.path,
                    t(f"priority.{row.priority}"),
                    t(f"state.{row.state}"),
                    raised,
                    t(f"kind.{row.kind}"),
                    name,
                ),
                *(row.value, row.limit, row.unit, row.who, row.comment),
            )
        )
    return "\ufeff".encode() + out.getvalue().encode()


def router(context: WebContext, hub: Hub) -> APIRouter:
    """Return the routes under ``/console``."""
    data = Data(context, hub)
    routes = APIRouter(prefix="/console", include_in_schema=False)

    @routes.get("/texts/{language}.js")
    async def _texts(language: str) -> Response:
        if language not in i18n.LANGUAGES:
            raise NotFoundError(f"there is no language {language!r}", where=language)
        headers = {"Cache-Control": "private, max-age=604800"}
        return Response(i18n.script(language), headers=headers, media_type="text/javascript")

    @routes.get("/plant")
    async def _plant(request: Request) -> Response:
        body, packed = await data.plant(current_actor(request))
        # The address names revision and places, so a browser may keep it; another person's address differs.
        headers = {"Cache-Control": "private, max-age=86400", "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, media_type="application/json", headers=headers | {"Content-Encoding": "gzip"})
        return Response(body, media_type="application/json", headers=headers)

    @routes.get("/series")
    async def _series(
        request: Request,
        points: Numbers,
        start: Micros,
        end: Micros,
        width: Annotated[int, Query(ge=10, le=8000)] = 800,
    ) -> Response:
        actor = current_actor(request)
        return reply(await data.series(data.points(points, actor), start, end, width, actor))

    @routes.get("/marks")
    async def _marks(request: Request, points: Numbers, start: Micros, end: Micros) -> Response:
        actor = current_actor(request)
        return reply({"marks": await data.marks(data.points(points, actor), start, end, actor)})

    @routes.get("/alarm")
    async def _alarm(request: Request, id: Annotated[str, Query(max_length=400)]) -> Response:  # noqa: A002  # its name in the address
        return reply({"history": await data.history(id, current_actor(request))})

    @routes.get("/alarms.csv")
    async def _alarms_csv(request: Request, view: str = "standing") -> Response:
        actor = current_actor(request)
        found = await context.fabric.call("monitor.alarms", {"view": view}, actor, StandingList)
        rows = [row for row in found.rows if covers(Places.key(actor), row.path)]
        language = request.cookies.get("anlan_lang", context.settings.language)
        body = alarms_csv(rows, language if language in i18n.LANGUAGES else "zh", _zone(context))
        return _download(body, "text/csv; charset=utf-8", f"alarms-{view}.csv")

    @routes.get("/export")
    async def _export(
        request: Request,
        points: Numbers,
        start: Micros,
        end: Micros,
        format: str = "csv",  # noqa: A002  # its name in the address
    ) -> Response:
        actor = current_actor(request)
        chosen = data.points(points, actor)
        if not start < end <= start + LONGEST_EXPORT:
            raise InvalidInputError("the window is not one", where="end", fix="start < end, at most 400 days")
        numbers = tuple(point.number for point in chosen)
        table = await data.table(SeriesQuery(SeriesKind.RAW, numbers, start, end, limit=EXPORT_LIMIT), actor)
        name = f"anlan-{to_iso(start, _zone(context))[:16].replace(':', '')}"
        if format == "parquet":
            body = await asyncio.to_thread(_export_parquet, table, chosen)
            return _download(body, "application/vnd.apache.parquet", f"{name}.parquet")
        return StreamingResponse(
            _csv_pieces(table, chosen, _zone(context)),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
        )

    return routes


async def _csv_pieces(table: pa.Table, points: list[Point], zone: str) -> AsyncIterator[bytes]:
    step = 50_000
    for start in range(0, max(1, table.num_rows), step):
        piece = await asyncio.to_thread(_export_csv, table.slice(start, step), points, zone)
        yield piece if start == 0 else piece.partition(b"\n")[2]


def _zone(context: WebContext) -> str:
    plant = context.plant.plant
    return plant.site.timezone if plant is not None else "UTC"


def _download(body: bytes, media: str, name: str) -> Response:
    return Response(body, media_type=media, headers={"Content-Disposition": f'attachment; filename="{name}"'})


__all__ = ["Data", "router"]

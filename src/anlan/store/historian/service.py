"""The historian process: reads the log and the events into ClickHouse and answers for them over the fabric.

Permission is checked here: a point outside the asker's scope is not found, and of the journal one sees the events of
one's own places only.
"""

# ruff: noqa: S608  # statements are made of integers and our own names; texts from outside are bound parameters

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import ParamSpec, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from anlan.core.actor import Actor, Permission
from anlan.core.batch import BatchHeader, SampleBatch, decode, encode
from anlan.core.errors import AnlanError, InvalidInputError, NotFoundError
from anlan.core.events import Event
from anlan.core.health import Health
from anlan.core.time import now_us
from anlan.store.fabric.client import Fabric
from anlan.store.historian import export, m4, query, retention
from anlan.store.historian.engine import Engine, open_engine, prepare
from anlan.store.historian.points import PointTable
from anlan.store.historian.readers import Readers
from anlan.store.historian.requests import (
    ExportQuery,
    HistorianStatus,
    Hold,
    Holds,
    JournalPage,
    JournalQuery,
    ListHolds,
    ReleaseHold,
    SeriesKind,
    SeriesQuery,
    StatusQuery,
    TransitionQuery,
)
from anlan.store.historian.upkeep import Upkeep
from anlan.store.historian.writer import EventWriter, SampleWriter

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

UPKEEP_SECONDS = 1.0
EXPIRE_SECONDS = 3600.0
UPKEEP_PATIENCE_S = 1800.0
STALLED_EXIT = 75
BUFFERED_ROWS = 200_000
PAGE_BYTES = 4 << 20

_SAMPLE = pa.schema([("point", pa.int32()), ("time", pa.int64()), ("value", pa.float64()), ("quality", pa.uint8())])
SCHEMAS: dict[SeriesKind, pa.Schema] = {
    SeriesKind.RAW: _SAMPLE,
    SeriesKind.M4: _SAMPLE,
    SeriesKind.AS_OF: _SAMPLE,
    SeriesKind.BUCKET: pa.schema(
        [("point", pa.int32()), ("time", pa.int64())]
        + [(name, pa.float64()) for name in ("min", "max", "mean", "last")]
        + [("count", pa.uint64()), ("bad", pa.uint64())]
    ),
    SeriesKind.WIND: pa.schema(
        [("time", pa.int64()), ("speed", pa.float64()), ("direction", pa.float64()), ("count", pa.uint64())]
    ),
}
TRANSITIONS = pa.schema(
    [("id", pa.string()), ("time", pa.int64())]
    + [(name, pa.string()) for name in ("alarm", "instance", "arrow", "state", "before")]
    + [("priority", pa.uint8()), ("rung", pa.uint8()), ("who", pa.string()), ("subject", pa.string())]
)


class HistorianService:
    """Writers, upkeep and answers on one engine."""

    def __init__(self, fabric: Fabric, health: Health, engine: Engine) -> None:
        self._fabric = fabric
        self._health = health
        self._engine = engine
        folder = fabric.settings.directory("historian")
        writing = engine.session()
        prepare(writing)
        self.samples = SampleWriter(fabric, writing, folder / "samples.mark", health, self._on_config)
        self.events = EventWriter(fabric, engine.session(), folder / "events.mark", health)
        self._upkeep = Upkeep(engine.session(patience=UPKEEP_PATIENCE_S))
        self._upkeep_lock = asyncio.Lock()
        self._readers = Readers(engine)
        # Of its own: a query that holds a reader must not wait for another one.
        self._counter = Readers(engine, 1)
        self._points = PointTable()
        self._config_changed = asyncio.Event()
        self._config_changed.set()

    # --- life ---------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Warm up, answer, write, until ``stop`` is set; what was read by then is stored."""
        await self._refresh_points()
        await self._warm_up()
        await self.samples.start()
        await self.events.start()
        await self._serve()
        self._health.details["engine"] = self._engine.name
        self._health.ready = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self.samples.run(stop))
            group.create_task(self.events.run(stop))
            group.create_task(self._keep_up(stop))
            group.create_task(watch(self._engine, stop))
        await self._readers.drain()
        await self._counter.drain()

    async def _warm_up(self) -> None:
        """Run decoder, kernel, insert path and reader once: cold code would stall the first second of real work."""
        zeros = SampleBatch(np.zeros(8, np.int32), np.arange(8), np.full(8, 0.1), np.zeros(8, np.uint8))
        batch, _ = decode(encode(zeros, BatchHeader(node="warm-up", received=0)))
        rows = self.samples.rows([batch], 0)
        self.samples.dirty.touched.clear()
        await asyncio.to_thread(self._upkeep.warm_up, rows)
        await self._readers.query(query.raw_sql((0,), 0, 1))
        gc.collect()
        gc.freeze()

    def _on_config(self, _revision: str) -> None:
        self._config_changed.set()

    async def _refresh_points(self) -> None:
        self._config_changed.clear()
        try:
            revision, document = await self._fabric.current_config()
        except NotFoundError:
            return
        if revision == self._points.revision:
            return
        self._points = PointTable.of(revision, document)
        classes = {
            number: (retention.class_of(point.retention), point.path)
            for number, point in self._points.by_number.items()
        }
        await self._alone(self._upkeep.set_classes, classes, now_us())
        logger.info("configuration %s with %d points", revision, len(classes))

    async def _alone(self, act: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
        async with self._upkeep_lock:
            return await asyncio.to_thread(act, *arguments, **options)

    async def _keep_up(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        expire_at = loop.time() + 60
        while not stop.is_set():
            try:
                if self._config_changed.is_set():
                    await self._refresh_points()
                await self._roll_up(stop)
                if loop.time() >= expire_at:
                    expire_at = loop.time() + EXPIRE_SECONDS
                    for name, amount in (await self._alone(self._upkeep.expire, now_us())).items():
                        self._health.count(f"partitions_{name}", amount)
                self._health.problems.pop("upkeep", None)
            except AnlanError as error:
                if "upkeep" not in self._health.problems:
                    logger.error("upkeep: %s", error)
                self._health.problems["upkeep"] = f"汇总或保留期处理受阻 roll-ups or retention are held up: {error}"
            try:
                await asyncio.wait_for(stop.wait(), UPKEEP_SECONDS)
            except TimeoutError:
                continue

    async def _roll_up(self, stop: asyncio.Event) -> None:
        dirty = self.samples.dirty
        for hour in dirty.due(now_us()):
            if stop.is_set():
                return
            stamp = dirty.stamp(hour)
            await self._alone(self._upkeep.rebuild, hour, now_us())
            dirty.clean(hour, stamp)
            self._health.count("hours_rolled_up")

    # --- answers ------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        fabric = self._fabric
        await fabric.serve_pieces("historian.series", SeriesQuery, self.series)
        await fabric.serve_pieces("historian.export", ExportQuery, self.export)
        await fabric.serve_pieces("historian.transitions", TransitionQuery, self.transitions)
        await fabric.serve("historian.journal", JournalQuery, self.journal)
        await fabric.serve("historian.status", StatusQuery, self.status)
        await fabric.serve("historian.hold", Hold, self.hold)
        await fabric.serve("historian.release", ReleaseHold, self.release)
        await fabric.serve("historian.holds", ListHolds, self.holds)

    async def series(self, request: SeriesQuery, actor: Actor) -> AsyncIterator[bytes]:
        """Yield a series as an Arrow stream."""
        self._allow(request, actor)
        head, rest, truncated = await self._begin(request)
        metadata = {"truncated": "true" if truncated else "false", "revision": self._points.revision}
        limited = _limited(head, rest, request.limit)
        async with aclosing(export.arrow_stream(limited, SCHEMAS[request.kind], metadata)) as pieces:
            async for piece in pieces:
                yield piece

    async def export(self, request: ExportQuery, actor: Actor) -> AsyncIterator[bytes]:
        """Yield a series as a file."""
        self._allow(request.series, actor)
        head, rest, truncated = await self._begin(request.series)
        if truncated:
            await _close(rest)
            raise InvalidInputError(
                f"more than {request.series.limit} rows", where="limit", fix="a shorter period, or a higher limit"
            )
        limited = _limited(head, rest, request.series.limit)
        names = self._points.names(request.series.points)
        async with aclosing(export.file_stream(limited, SCHEMAS[request.series.kind], names, request.format)) as pieces:
            async for piece in pieces:
                yield piece

    def _allow(self, request: SeriesQuery, actor: Actor) -> None:
        query.check(request)
        for number in request.points:
            self._points.require(number, actor)

    async def _begin(
        self, request: SeriesQuery
    ) -> tuple[list[pa.RecordBatch], AsyncIterator[pa.RecordBatch] | None, bool]:
        """Return the first batches, the iterator of the rest, and whether there is more than the limit.

        The schema comes first in an Arrow stream and says whether the answer is cut, so a long answer is counted.
        """
        if request.kind is SeriesKind.AS_OF:
            table = await self._as_of(request)
            return table.to_batches(), None, table.num_rows > request.limit
        sql = query.series_sql(request, self.samples.dirty.all())
        batches = self._rows(request, sql)
        head: list[pa.RecordBatch] = []
        rows = 0
        async for batch in batches:
            head.append(batch)
            rows += batch.num_rows
            if rows >= BUFFERED_ROWS:
                counted = await self._counter.query(f"SELECT count() AS n FROM ({sql})")
                return head, batches, counted["n"][0].as_py() > request.limit
        return head, None, rows > request.limit

    def _rows(self, request: SeriesQuery, sql: str) -> AsyncIterator[pa.RecordBatch]:
        if request.kind is SeriesKind.M4 and self._engine.local:
            # Reading the samples and picking here takes a third of the time of the same in SQL.
            raw = self._readers.stream(query.raw_sql(request.points, request.start, request.end))
            return m4.thin(raw, _SAMPLE, request.start, request.end, request.width)
        return self._readers.stream(f"{sql} LIMIT {request.limit + 1}")

    async def _as_of(self, request: SeriesQuery) -> pa.Table:
        missing = list(request.points)
        tables = [SCHEMAS[SeriesKind.AS_OF].empty_table()]
        for start, end in query.look_back(request.start, request.end):
            if not missing:
                break
            table = await self._readers.query(query.as_of_sql(tuple(missing), start, end))
            if table.num_rows:
                tables.append(table.cast(SCHEMAS[SeriesKind.AS_OF]))
                found = set(table["point"].to_pylist())
                missing = [point for point in missing if point not in found]
        return pa.concat_tables(tables).combine_chunks()

    async def transitions(self, request: TransitionQuery, actor: Actor) -> AsyncIterator[bytes]:
        """Yield alarm transitions as an Arrow stream."""
        sql, parameters = query.transitions_sql(request, actor)
        table = (await self._readers.query(sql, parameters)).cast(TRANSITIONS)
        metadata = {"truncated": "true" if table.num_rows > request.limit else "false"}
        head = table.slice(0, request.limit).combine_chunks().to_batches(max_chunksize=65_536)
        async for piece in export.arrow_stream(_limited(head, None, request.limit), TRANSITIONS, metadata):
            yield piece

    async def journal(self, request: JournalQuery, actor: Actor) -> JournalPage:
        """Return one page of events, newest first."""
        sql, parameters = query.journal_sql(request, actor)
        rows = (await self._readers.query(sql, parameters)).to_pylist()
        events: list[Event] = []
        size = 0
        for row in rows[: request.limit]:
            size += len(row["data"]) + len(row["subject"]) + 200
            if events and size > PAGE_BYTES:
                break
            data = msgspec.json.decode(row["data"] or "{}")
            events.append(Event(**{**row, "causes": tuple(row["causes"]), "data": data}))
        more = len(events) < len(rows)
        return JournalPage(tuple(events), query.write_cursor(events[-1].time, events[-1].id) if more else "")

    async def status(self, _request: StatusQuery, actor: Actor) -> HistorianStatus:
        """Return how full and how far behind the historian is."""
        if not actor.grants:
            actor.require(Permission.VIEW)
        parts = await self._readers.query(
            "SELECT table, sum(rows) AS rows, sum(data_compressed_bytes) AS bytes FROM system.parts "
            "WHERE active AND database = currentDatabase() GROUP BY table"
        )
        found = {row["table"]: row for row in parts.to_pylist()}
        empty = {"rows": 0, "bytes": 0}
        info = await self._fabric.jetstream.stream_info(self.samples.stream)
        mark = self.samples.mark.sequence
        return HistorianStatus(
            rows=found.get("samples", empty)["rows"],
            bytes=found.get("samples", empty)["bytes"],
            events=found.get("events", empty)["rows"],
            mark=mark,
            behind=max(0, int(info.state.last_seq) - mark),
            engine=self._engine.name,
        )

    # --- holds --------------------------------------------------------------------------------------------------

    async def hold(self, request: Hold, actor: Actor) -> Hold:
        """Keep samples past their retention."""
        if not request.id or not request.reason.strip():
            raise InvalidInputError("a hold has an id and a reason", where="reason", fix="say why the data must stay")
        if request.end and request.end <= request.start:
            raise InvalidInputError("the period is empty", where="end", fix="end must lie after start, or 0 for open")
        if not request.points:
            actor.require(Permission.APPROVE_CHANGE)
        for number in request.points:
            self._points.require(number, actor, Permission.APPROVE_CHANGE)
        stored = msgspec.structs.replace(request, who=actor.user, time=now_us(), released=False)
        await self._alone(self._upkeep.put_hold, stored)
        return stored

    async def release(self, request: ReleaseHold, actor: Actor) -> Hold:
        """Let a hold go."""
        actor.require(Permission.APPROVE_CHANGE)
        found = [hold for hold in await self._alone(self._upkeep.holds) if hold.id == request.id]
        if not found:
            raise NotFoundError(f"no hold {request.id!r} is in force", where="id")
        released = msgspec.structs.replace(found[0], who=actor.user, time=now_us(), released=True)
        await self._alone(self._upkeep.put_hold, released)
        return released

    async def holds(self, _request: ListHolds, actor: Actor) -> Holds:
        """Return the holds in force that touch what the actor sees."""
        everything = await self._alone(self._upkeep.holds)
        return Holds(
            tuple(
                hold
                for hold in everything
                if (not hold.points and actor.sees("")) or any(self._points.sees(n, actor) for n in hold.points)
            )
        )


async def watch(engine: Engine, stop: asyncio.Event, leave: Callable[[int], object] = os._exit) -> None:
    """End the process at once if the engine never comes back from a call: no thread can be freed from that.

    The supervisor starts it again and the log still has what was not stored.
    """
    while not stop.is_set():
        what = engine.stalled()
        if what:
            logger.critical("the engine does not come back from: %s; this process ends to be started again", what)
            leave(STALLED_EXIT)
            return
        try:
            await asyncio.wait_for(stop.wait(), 1.0)
        except TimeoutError:
            continue


async def _limited(
    head: list[pa.RecordBatch], rest: AsyncIterator[pa.RecordBatch] | None, limit: int
) -> AsyncIterator[pa.RecordBatch]:
    left = limit
    try:
        for batch in head:
            if left > 0:
                yield batch.slice(0, left)
                left -= batch.num_rows
        if rest is not None:
            async for batch in rest:
                if left <= 0:
                    return
                yield batch.slice(0, left)
                left -= batch.num_rows
    finally:
        await _close(rest)


async def _close(iterator: AsyncIterator[pa.RecordBatch] | None) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


async def run(fabric: Fabric, health: Health, stop: asyncio.Event) -> None:
    """Run the historian until ``stop``; every session of the engine is closed before this returns."""
    await fabric.ensure_streams()
    engine = await asyncio.to_thread(open_engine, fabric.settings)
    try:
        service = await asyncio.to_thread(HistorianService, fabric, health, engine)
        await service.run(stop)
    finally:
        await asyncio.to_thread(engine.close)

"""From the log into the tables: insert, then mark. What a crash makes us insert again the tables drop as a repeat.

Samples are gathered to 200 000 rows or half a second an insert; the next group is read and decoded while the last is
inserted, up to a million rows (fewer, larger parts while catching up), and no further: memory is bounded, the log
waits. An insert that fails (disk full, server away) is held and tried again under back-off; it is never skipped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from anlan.core import batch as batches
from anlan.core import log
from anlan.core.batch import SampleBatch
from anlan.core.errors import DecodeError
from anlan.core.events import Event, decode_event
from anlan.core.health import Health
from anlan.core.time import now_us
from anlan.store.fabric.client import EVENTS, LOG, Fabric
from anlan.store.fabric.log import LogMessage, LogReader
from anlan.store.historian import mark as marks
from anlan.store.historian import schema
from anlan.store.historian.engine import Session, StoreError
from anlan.store.historian.hours import DirtyHours, hours_of
from anlan.store.historian.mark import Mark
from anlan.store.historian.values import SplitState, split

logger = logging.getLogger(__name__)

GROUP_ROWS = 200_000
MOST_ROWS = 1_000_000
GROUP_SECONDS = 0.5
IDLE_MARK_SECONDS = 5.0


def sample_rows(batch: SampleBatch, version: int, state: SplitState) -> pa.Table:
    """Return the rows of the table ``samples`` for a batch whose last record has ``version``."""
    mantissa, scale = split(batch.point, batch.value, state)
    return pa.table(
        {
            "point": batch.point,
            "time": batch.time,
            "mantissa": mantissa,
            "scale": scale,
            "quality": batch.quality,
            "version": np.full(len(batch), version, np.uint64),
        }
    )


def event_rows(events: list[Event], version: int) -> pa.Table:
    """Return the rows of the table ``events``, with what alarm performance asks for in columns of its own."""

    def text(key: str) -> pa.Array:
        return pa.array([str(event.data.get(key) or "") for event in events], pa.string())

    def number(key: str, default: int) -> pa.Array:
        return pa.array([_small(event.data.get(key, default)) for event in events], pa.uint8())

    columns: dict[str, Any] = {
        "id": pa.array([event.id for event in events], pa.string()),
        "type": pa.array([event.type for event in events], pa.string()),
        "time": pa.array([event.time for event in events], pa.int64()),
        "source": pa.array([event.source for event in events], pa.string()),
        "subject": pa.array([event.subject for event in events], pa.string()),
        "causes": pa.array([list(event.causes) for event in events], pa.list_(pa.string())),
        "data": pa.array([msgspec.json.encode(event.data).decode() for event in events], pa.string()),
        **{key: text(key) for key in ("who", "alarm", "instance", "arrow", "state", "before")},
        "priority": number("priority", 0),
        "rung": number("rung", 1),
        "version": np.full(len(events), version, np.uint64),
    }
    return pa.table(columns)


def _small(value: object) -> int:
    return int(value) & 0xFF if isinstance(value, bool | int) else 0


@dataclass
class _Group:
    """Rows gathered for the next insert; ``sequence`` is the last record they hold."""

    parts: list[Any] = field(default_factory=list)
    rows: int = 0
    sequence: int = 0
    since: float = 0.0


class StreamWriter:
    """Reads one stream into one table. Subclasses say what of a message is kept and how it becomes rows."""

    stream = LOG
    table = schema.SAMPLES
    counter = "samples"

    def __init__(self, fabric: Fabric, session: Session, mark_path: Path, health: Health) -> None:
        self._fabric = fabric
        self._session = session
        self._path = mark_path
        self._health = health
        self.mark = Mark()
        self.dirty = DirtyHours()
        self._inserting: asyncio.Task[None] | None = None
        self._marked_at = 0.0
        self._stop = asyncio.Event()

    async def start(self) -> None:
        """Find out where to read on, also when the stream was made anew."""
        info = await self._fabric.jetstream.stream_info(self.stream)
        stored = marks.load(self._path)
        created = str(getattr(info, "created", "") or "")
        self.mark = stored.on(created, int(info.state.last_seq))
        self.dirty.touch(list(stored.dirty), now_us())
        if self.mark.epoch != stored.epoch:
            logger.warning("%s was made anew: reading it from its beginning", self.stream)

    async def run(self, stop: asyncio.Event) -> None:
        """Read and insert until ``stop`` is set, then insert what was gathered."""
        self._stop = stop
        reader = LogReader(self._fabric, start=self.mark.sequence + 1, stream=self.stream)
        group = _Group()
        loop = asyncio.get_running_loop()
        reading = reader.batches(limit=256, wait=GROUP_SECONDS / 2)
        try:
            async for messages in reading:
                for message in messages:
                    self._take(message, group)
                    group.since = group.since or loop.time()
                if reader.lost:
                    self._health.problems[f"{self.stream} lost"] = (
                        f"{reader.lost} 条记录未及写入即被日志清除 "
                        f"{reader.lost} records of {self.stream} were removed by its limits before they were stored"
                    )
                if self._due(group) or (stop.is_set() and group.sequence):
                    await self._flush(group)
                    group = _Group()
                if stop.is_set():
                    break
        finally:
            await reading.aclose()  # type: ignore[attr-defined]  # LogReader.batches is an async generator
        if self._inserting is not None:
            await self._inserting

    def _due(self, group: _Group) -> bool:
        if group.rows >= MOST_ROWS:
            return True
        busy = self._inserting is not None and not self._inserting.done()
        now = asyncio.get_running_loop().time()
        return not busy and (group.rows >= GROUP_ROWS or bool(group.since and now - group.since >= GROUP_SECONDS))

    def _take(self, message: LogMessage, group: _Group) -> None:
        try:
            rows = self.keep(message)
        except (DecodeError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._health.count(f"{self.counter}_undecodable")
            logger.error("%s %d cannot be used: %s", self.stream, message.sequence, error)
            rows = None
        if rows is not None:
            group.parts.append(rows)
            group.rows += len(rows)
        group.sequence = message.sequence

    async def _flush(self, group: _Group) -> None:
        if self._inserting is not None:
            await self._inserting
        self._inserting = asyncio.ensure_future(self._store(group))

    async def _store(self, group: _Group) -> None:
        mark = msgspec.structs.replace(self.mark, sequence=group.sequence)
        if group.parts:
            rows = await asyncio.to_thread(self.rows, group.parts, mark.version)
            if not await self._retry(lambda: asyncio.to_thread(self._session.insert, self.table, rows)):
                return
            self.inserted()
            self._health.count(f"{self.counter}_stored", rows.num_rows)
            self._health.count(f"{self.counter}_inserts")
        self.mark = mark
        now = asyncio.get_running_loop().time()
        if group.parts or now - self._marked_at > IDLE_MARK_SECONDS:
            self._marked_at = now
            await self._retry(self.save_mark)

    async def _retry(self, act: Callable[[], Awaitable[object]]) -> bool:
        """Do ``act`` until it succeeds, waiting longer each time (≤ 5 s); give up only when told to stop."""
        delay = 0.2
        while True:
            try:
                await act()
            except (StoreError, OSError) as error:
                if self.counter not in self._health.problems:
                    logger.error("%s cannot be stored: %s", self.counter, error)
                self._health.problems[self.counter] = (
                    f"数据暂存于日志, 尚未写入历史库 {self.counter} cannot be stored and wait in the log: {error}"
                )
                self._health.count("inserts_failed")
                if self._stop.is_set():
                    return False
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)
            else:
                if self._health.problems.pop(self.counter, None) is not None:
                    logger.warning("%s are stored again", self.counter)
                return True

    async def save_mark(self) -> None:
        """Write the mark with the hours that are dirty now."""
        self.mark = msgspec.structs.replace(self.mark, dirty=self.dirty.all())
        await asyncio.to_thread(marks.save, self._path, self.mark)

    def keep(self, message: LogMessage) -> Any | None:
        """Return what of a message is stored (something with a length), or None."""
        raise NotImplementedError

    def rows(self, parts: list[Any], version: int) -> pa.Table:
        """Return the rows of a group (called in a thread)."""
        raise NotImplementedError

    def inserted(self) -> None:
        """Note that the last rows are in the table now."""


class SampleWriter(StreamWriter):
    """Sample batches of the log, and word of each new configuration on the way."""

    def __init__(
        self,
        fabric: Fabric,
        session: Session,
        mark_path: Path,
        health: Health,
        on_config: Callable[[str], None] = lambda _revision: None,
    ) -> None:
        super().__init__(fabric, session, mark_path, health)
        self._on_config = on_config
        self._state = SplitState()
        self._hours: list[int] = []

    def keep(self, message: LogMessage) -> SampleBatch | None:
        """Return the batch of a sample record."""
        if message.subject == log.SAMPLES:
            return batches.decode(message.data)[0]
        if message.subject == log.CONFIG:
            record = log.decode(message.subject, message.data)
            self._on_config(getattr(record, "revision", ""))
        return None

    def rows(self, parts: list[SampleBatch], version: int) -> pa.Table:
        """Return the rows and note the hours they touch."""
        batch = SampleBatch.concatenate(parts)
        self._hours = hours_of(batch.time)
        self.dirty.touch(self._hours, now_us())
        return sample_rows(batch, version, self._state)

    def inserted(self) -> None:
        """Touch the hours again: a rebuild that ran while the insert was held has not seen these rows."""
        self.dirty.touch(self._hours, now_us())


class EventWriter(StreamWriter):
    """Events into the journal."""

    stream = EVENTS
    table = schema.EVENTS
    counter = "events"

    def keep(self, message: LogMessage) -> list[Event]:
        """Return the event of a record."""
        return [decode_event(message.data)]

    def rows(self, parts: list[list[Event]], version: int) -> pa.Table:
        """Return the rows of the journal."""
        return event_rows([event for part in parts for event in part], version)

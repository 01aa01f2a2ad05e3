"""Several reader sessions, each used by one query at a time in threads, so that a long scan holds up no short one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pyarrow as pa

from anlan.store.historian.engine import Engine, Parameters, Session

READERS = 3


class Readers:
    """A pool of reader sessions."""

    def __init__(self, engine: Engine, count: int = READERS) -> None:
        self._free: asyncio.Queue[Session] = asyncio.Queue()
        self._count = count
        for _ in range(count):
            self._free.put_nowait(engine.session())

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        session = await self._free.get()
        try:
            yield session
        finally:
            self._free.put_nowait(session)

    async def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Return a whole result."""
        async with self._session() as session:
            # Shielded: a cancelled request must not hand the session on while its thread still uses it.
            task = asyncio.ensure_future(asyncio.to_thread(session.query, sql, parameters))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                await asyncio.wait([task])
                raise

    async def stream(self, sql: str, parameters: Parameters | None = None) -> AsyncIterator[pa.RecordBatch]:
        """Yield a result in batches; the session is free again when the iterator is closed."""
        async with self._session() as session:
            batches = session.stream(sql, parameters)
            try:
                while (batch := await _next(batches)) is not None:
                    yield batch
            finally:
                await asyncio.to_thread(_close, batches)

    async def drain(self) -> None:
        """Return when no query is under way and take the sessions out of use."""
        for _ in range(self._count):
            await self._free.get()


async def _next(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    task = asyncio.ensure_future(asyncio.to_thread(next, batches, None))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _close(batches: Iterator[pa.RecordBatch]) -> None:
    close = getattr(batches, "close", None)
    if close is not None:
        close()

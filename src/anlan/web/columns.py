"""Arrow answers that arrive in pieces, read batch by batch and given as JSON columns."""

from __future__ import annotations

import asyncio
import io
import queue
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from anlan.core.errors import UnavailableError

_WAITING = 8


class _Pieces(io.RawIOBase):
    """A file that a thread reads while the loop puts pieces in; the end is None, an error is raised at the reader."""

    def __init__(self, taken: Callable[[], object]) -> None:
        self.waiting: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        self._taken = taken
        self._left = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left and not self._ended:
            piece = self.waiting.get()
            if piece is None:
                self._ended = True
            elif isinstance(piece, BaseException):
                self._ended = True
                raise piece
            else:
                self._left = memoryview(piece)
                self._taken()
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


@asynccontextmanager
async def _reading(pieces: AsyncIterator[bytes]) -> AsyncIterator[Callable[[], Any]]:
    """Yield a function for a thread that returns the schema, then batch after batch, then None."""
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(_WAITING)
    file = _Pieces(lambda: loop.call_soon_threadsafe(room.release))

    async def feed() -> None:
        try:
            async for piece in pieces:
                await room.acquire()
                file.waiting.put(piece)
            file.waiting.put(None)
        except asyncio.CancelledError:
            file.waiting.put(None)
            raise
        except BaseException as error:
            file.waiting.put(error)

    feeding = asyncio.ensure_future(feed())
    reader: Any = None

    def following() -> Any:
        nonlocal reader
        try:
            if reader is None:
                reader = pa.ipc.open_stream(io.BufferedReader(file, 1 << 20))
                return reader.schema
            return reader.read_next_batch()
        except StopIteration:
            return None
        except pa.ArrowInvalid as error:
            raise UnavailableError("the historian's answer ends early", where="historian.series") from error

    try:
        yield following
    finally:
        feeding.cancel()
        file.waiting.put(None)
        await asyncio.gather(feeding, return_exceptions=True)


def truncated(schema: Any) -> bool:
    """Return whether the historian ended the answer early because of the limit."""
    return (schema.metadata or {}).get(b"truncated", b"") in (b"1", b"true", b"True")


async def to_columns(pieces: AsyncIterator[bytes]) -> tuple[dict[str, list[Any]], bool]:
    """Return the columns as lists (NaN and infinities as None), and whether the answer was cut at its limit."""
    async with _reading(pieces) as following:
        schema = await asyncio.to_thread(following)
        table: dict[str, list[Any]] = {name: [] for name in schema.names}
        while (batch := await asyncio.to_thread(following)) is not None:
            for name, column in zip(schema.names, batch.columns, strict=True):
                table[name] += _finite(column).to_pylist()
        return table, truncated(schema)


def _finite(column: Any) -> Any:
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64())
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))

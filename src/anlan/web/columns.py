"""Arrow answers that arrive in pieces, read batch by batch and written as JSON columns, CSV or Parquet."""

from __future__ import annotations

import asyncio
import io
import queue
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from anlan.core.errors import UnavailableError

_WAITING = 8
BOM = "\ufeff".encode()
"""Spreadsheets take a CSV for UTF-8 only with it."""


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


def _named(batch: Any, names: Mapping[int, str]) -> Any:
    """Return a batch with paths for point numbers and ISO times (UTC) for µs."""
    arrays, labels = [], []
    for label, column in zip(batch.schema.names, batch.columns, strict=True):
        if label == "point":
            coded = column.dictionary_encode()
            lookup = pa.array([names.get(number, str(number)) for number in coded.dictionary.to_pylist()], pa.string())
            arrays.append(lookup.take(coded.indices))
            labels.append("path")
        elif label == "time":
            moments = column.cast(pa.int64()).cast(pa.timestamp("us", "UTC"))
            arrays.append(moments)
            labels.append("time")
        else:
            arrays.append(column)
            labels.append(label)
    return pa.RecordBatch.from_arrays(arrays, labels)


async def to_csv(pieces: AsyncIterator[bytes], names: Mapping[int, str]) -> AsyncIterator[bytes]:
    """Yield the answer as CSV (UTF-8 with a byte-order mark), with paths and ISO times."""

    def lines(batch: Any) -> bytes:
        named = _named(batch, names)
        place = named.schema.names.index("time")
        text = pc.strftime(named.column(place), format="%Y-%m-%dT%H:%M:%SZ")
        named = named.set_column(place, "time", text)
        sink = io.BytesIO()
        pa.csv.write_csv(named, sink, pa.csv.WriteOptions(include_header=False, quoting_style="needed"))
        return sink.getvalue()

    async with _reading(pieces) as following:
        schema = await asyncio.to_thread(following)
        head = ",".join("path" if name == "point" else name for name in schema.names)
        yield BOM + f"{head}\n".encode()
        while (batch := await asyncio.to_thread(following)) is not None:
            yield await asyncio.to_thread(lines, batch)


async def to_parquet(pieces: AsyncIterator[bytes], names: Mapping[int, str]) -> AsyncIterator[bytes]:
    """Yield the answer as one Parquet file, with paths and times in UTC."""
    sink = _Drain()
    async with _reading(pieces) as following:
        schema = await asyncio.to_thread(following)
        empty = pa.RecordBatch.from_arrays([pa.array([], item.type) for item in schema], schema.names)
        writer = pa.parquet.ParquetWriter(sink, _named(empty, names).schema, compression="zstd")
        while (batch := await asyncio.to_thread(following)) is not None:
            await asyncio.to_thread(writer.write_batch, _named(batch, names))
            yield sink.take()
        await asyncio.to_thread(writer.close)
        yield sink.take()


class _Drain(io.RawIOBase):
    """A file that only grows and gives away what it holds."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._held += view
        self._position += len(view)
        return len(view)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        held = bytes(self._held)
        self._held.clear()
        return held

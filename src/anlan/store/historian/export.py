"""Answers as bytes: an Arrow stream for programs, a Parquet or CSV file for people, each made piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from anlan.store.historian.requests import ExportFormat

PIECE = 512 << 10

Names = Mapping[int, tuple[str, str]]
"""Path and unit by point number."""


class _Sink:
    """A writable file that hands out what was written since the last look."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0
        self._position = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        chunk = bytes(data)
        self._parts.append(chunk)
        self.size += len(chunk)
        self._position += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return data


async def arrow_stream(
    batches: AsyncIterator[pa.RecordBatch], schema: pa.Schema, metadata: dict[str, str]
) -> AsyncGenerator[bytes, None]:
    """Yield an Arrow IPC stream whose schema carries ``metadata``, in pieces."""
    sink = _Sink()
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), schema.with_metadata(metadata)) as writer:
        async for batch in batches:
            writer.write_batch(batch.cast(schema).replace_schema_metadata(metadata))
            if sink.size >= PIECE:
                yield sink.take()
    yield sink.take()


def described(table: pa.Table, names: Names) -> pa.Table:
    """Return the table with the columns ``path`` and ``unit`` after ``point``."""
    if "point" not in table.column_names:
        return table
    numbers = table.column("point").combine_chunks().dictionary_encode()
    if isinstance(numbers, pa.ChunkedArray):
        numbers = numbers.combine_chunks()
    for position, index in ((1, 0), (2, 1)):
        texts = pa.array([names.get(number, ("", ""))[index] for number in numbers.dictionary.to_pylist()], pa.string())
        column = pa.DictionaryArray.from_arrays(numbers.indices, texts).cast(pa.string())
        table = table.add_column(position, ("path", "unit")[index], column)
    return table


def readable(table: pa.Table) -> pa.Table:
    """Return the table with ``time`` as ISO 8601 UTC text, for CSV."""
    position = table.column_names.index("time")
    stamps = table.column("time").cast(pa.timestamp("us", "UTC"))
    return table.set_column(position, "time", pc.strftime(stamps, format="%Y-%m-%dT%H:%M:%SZ"))


async def file_stream(
    batches: AsyncIterator[pa.RecordBatch], schema: pa.Schema, names: Names, kind: ExportFormat
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a Parquet or CSV file of the batches."""
    sink = _Sink()
    file = pa.PythonFile(sink, "w")
    dress = readable if kind is ExportFormat.CSV else _with_timestamps
    shape = dress(described(schema.empty_table(), names)).schema
    writer: pa.csv.CSVWriter | pa.parquet.ParquetWriter
    if kind is ExportFormat.CSV:
        writer = pa.csv.CSVWriter(file, shape)
    else:
        writer = pa.parquet.ParquetWriter(file, shape, compression="zstd")
    with writer:
        async for batch in batches:
            table = pa.Table.from_batches([batch.cast(schema)])
            writer.write_table(dress(described(table, names)))
            if sink.size >= PIECE:
                yield sink.take()
    file.flush()
    yield sink.take()


def _with_timestamps(table: pa.Table) -> pa.Table:
    position = table.column_names.index("time")
    return table.set_column(position, "time", table.column("time").cast(pa.timestamp("us", "UTC")))

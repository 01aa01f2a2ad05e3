"""Sample batches: parallel arrays, never one object a sample, and their Arrow form on the log.

One log message is one Arrow IPC stream with one record batch ``point:int32, time:int64, value:float64, quality:uint8``.
Its schema metadata hold the header: node, time received, configuration revision, and ``runs``: which connector the
next *n* rows came from, so that what many devices sent meanwhile becomes one message (group commit).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from anlan.core.errors import DecodeError

SCHEMA = pa.schema(
    [
        pa.field("point", pa.int32(), nullable=False),
        pa.field("time", pa.int64(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("quality", pa.uint8(), nullable=False),
    ]
)


class Run(msgspec.Struct, frozen=True, array_like=True):
    """``rows`` consecutive rows of a batch that came from ``connector``."""

    connector: str
    rows: int


class BatchHeader(msgspec.Struct, frozen=True):
    """What stands once per batch instead of once per sample.

    ``received`` is µs UTC at the gateway; ``revision`` the configuration the tags were mapped with.
    """

    node: str
    received: int
    revision: str = ""
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Samples as parallel arrays of one length.

    Attributes:
        point: point numbers of the node's registry, int32.
        time: source time, µs UTC, int64.
        value: value in the point's declared unit, float64.
        quality: quality code of ``core.quality``, uint8.
    """

    point: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.point)

    @staticmethod
    def empty() -> SampleBatch:
        """Return a batch without samples."""
        return SampleBatch(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.uint8))

    @staticmethod
    def concatenate(batches: list[SampleBatch]) -> SampleBatch:
        """Return the rows of ``batches`` one after the other."""
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return SampleBatch.empty()
        return SampleBatch(
            np.concatenate([batch.point for batch in batches]),
            np.concatenate([batch.time for batch in batches]),
            np.concatenate([batch.value for batch in batches]),
            np.concatenate([batch.quality for batch in batches]),
        )

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> SampleBatch:
        """Return the rows that an index or a mask picks."""
        return SampleBatch(self.point[rows], self.time[rows], self.value[rows], self.quality[rows])


_HEADER_KEY = b"anlan"
_encode_header = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(BatchHeader).decode


def to_arrow(batch: SampleBatch, schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    """Return the batch as an Arrow record batch without copying."""
    return pa.RecordBatch.from_arrays(
        [pa.array(batch.point), pa.array(batch.time), pa.array(batch.value), pa.array(batch.quality)], schema=schema
    )


def from_arrow(arrow: pa.RecordBatch | pa.Table) -> SampleBatch:
    """Return the columns of an Arrow batch or table; zero-copy for a single-chunk input without nulls."""
    if isinstance(arrow, pa.Table):
        arrow = arrow.combine_chunks()
    columns = [arrow.column(name) for name in ("point", "time", "value", "quality")]
    arrays = [column.to_numpy() for column in columns]
    return SampleBatch(
        arrays[0].astype(np.int32, copy=False),
        arrays[1].astype(np.int64, copy=False),
        arrays[2].astype(np.float64, copy=False),
        arrays[3].astype(np.uint8, copy=False),
    )


def encode(batch: SampleBatch, header: BatchHeader) -> bytes:
    """Return the log message of a batch: an Arrow IPC stream whose schema metadata carry the header."""
    schema = SCHEMA.with_metadata({_HEADER_KEY: _encode_header(header)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(to_arrow(batch, schema))
    return bytes(sink.getvalue())


def decode(message: bytes | memoryview) -> tuple[SampleBatch, BatchHeader]:
    """Return the batch and header of a log message; the arrays are views into ``message``.

    Raises:
        DecodeError: not an Arrow stream of this schema, or its header is missing.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(message)) as reader:
            metadata = reader.schema.metadata or {}
            header = _decode_header(metadata[_HEADER_KEY])
            table = reader.read_all()
        return from_arrow(table), header
    except (pa.ArrowException, KeyError, msgspec.MsgspecError, ValueError, OSError) as error:
        raise DecodeError(f"not a sample batch: {error}", fix="an Arrow IPC stream written by anlan") from error

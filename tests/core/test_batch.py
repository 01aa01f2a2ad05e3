"""Sample batches keep every bit on their way through the log."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anlan.core.batch import BatchHeader, Run, SampleBatch, decode, encode, from_arrow, to_arrow
from anlan.core.errors import DecodeError


@st.composite
def batches(draw: st.DrawFn, largest: int = 40) -> SampleBatch:
    rows = draw(st.integers(0, largest))
    return SampleBatch(
        draw(hnp.arrays(np.int32, rows)),
        draw(hnp.arrays(np.int64, rows)),
        draw(hnp.arrays(np.float64, rows)),
        draw(hnp.arrays(np.uint8, rows)),
    )


headers = st.builds(
    BatchHeader,
    node=st.text(max_size=20),
    received=st.integers(-(1 << 63), (1 << 63) - 1),
    revision=st.text(max_size=20),
    runs=st.lists(st.builds(Run, connector=st.text(max_size=20), rows=st.integers(0, 1 << 31)), max_size=5).map(tuple),
)


def bits(batch: SampleBatch) -> list[bytes]:
    """Return the columns as bytes: NaN payloads and signed zeros count."""
    return [column.tobytes() for column in (batch.point, batch.time, batch.value, batch.quality)]


@given(batches(), headers)
def test_what_is_encoded_is_decoded_bit_for_bit(batch: SampleBatch, header: BatchHeader) -> None:
    again, told = decode(encode(batch, header))
    assert bits(again) == bits(batch)
    assert told == header


@given(batches(), headers)
def test_a_message_in_a_foreign_buffer_is_read_in_place(batch: SampleBatch, header: BatchHeader) -> None:
    assert bits(decode(memoryview(encode(batch, header)))[0]) == bits(batch)


@given(st.lists(batches(10), max_size=5))
def test_concatenating_keeps_all_rows_in_order(parts: list[SampleBatch]) -> None:
    whole = SampleBatch.concatenate(parts)
    assert len(whole) == sum(len(part) for part in parts)
    assert bits(whole) == [b"".join(columns) for columns in zip(*map(bits, parts), strict=True)] or not parts


@given(batches(), st.data())
def test_taking_by_mask_and_by_index_agree(batch: SampleBatch, data: st.DataObject) -> None:
    mask = data.draw(hnp.arrays(np.bool_, len(batch)))
    assert bits(batch.take(mask)) == bits(batch.take(np.flatnonzero(mask)))


@given(batches())
def test_a_table_of_many_chunks_is_one_batch(batch: SampleBatch) -> None:
    half = len(batch) // 2
    rows = np.arange(len(batch))
    table = pa.Table.from_batches([to_arrow(batch.take(rows[:half])), to_arrow(batch.take(rows[half:]))])
    assert bits(from_arrow(table)) == bits(batch)


@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(DecodeError, match="not a sample batch"):
        decode(garbage)


@given(batches(5), headers, st.data())
def test_a_torn_message_is_refused_or_whole(batch: SampleBatch, header: BatchHeader, data: st.DataObject) -> None:
    message = encode(batch, header)
    torn = message[: data.draw(st.integers(0, len(message) - 1))]
    try:
        again, _ = decode(torn)
    except DecodeError:
        return
    assert bits(again) in (bits(batch), bits(SampleBatch.empty()))


def test_a_stream_without_our_header_is_refused() -> None:
    sink = pa.BufferOutputStream()
    arrow = to_arrow(SampleBatch.empty())
    with pa.ipc.new_stream(sink, arrow.schema) as writer:
        writer.write_batch(arrow)
    with pytest.raises(DecodeError):
        decode(bytes(sink.getvalue()))


@pytest.mark.parametrize("missing", ["point", "time", "value", "quality"])
def test_a_stream_without_a_column_is_refused(missing: str) -> None:
    arrow = to_arrow(SampleBatch.empty()).drop_columns([missing])
    schema = arrow.schema.with_metadata({b"anlan": b'{"node":"n","received":1}'})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(arrow.replace_schema_metadata(schema.metadata))
    with pytest.raises(DecodeError):
        decode(bytes(sink.getvalue()))

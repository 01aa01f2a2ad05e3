"""M4 over rows in order of point and time: first, last, lowest and highest sample of each pixel column.

Drawn as a line these give the same picture as all samples (Jugel, Jerzak, Hackenbroich, Markl: M4: A
Visualization-Oriented Time Series Data Aggregation, VLDB 2014). Of equal extremes the earliest is taken; bad, NaN and
infinite samples count as first and last only, so that gaps show. ``query.m4_sql`` asks a server for the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]  # numba has no types of its own
def pick(
    point: NDArray[np.int32],
    time: NDArray[np.int64],
    value: NDArray[np.float64],
    quality: NDArray[np.uint8],
    start: int,
    length: int,
    width: int,
    picked: NDArray[np.bool_],
) -> int:
    """Mark the rows M4 picks and return where the last pixel column begins (it may go on in the next batch).

    Args:
        point, time, value, quality: rows in order of point and time.
        start, length: period, µs UTC and µs.
        width: pixel columns.
        picked: filled with which rows are picked, the last column included.
    """
    begin = 0
    low, high = -1, -1
    for row in range(len(point)):
        column = (time[row] - start) * width // length
        if row > begin and (point[row] != point[begin] or column != (time[begin] - start) * width // length):
            picked[row - 1] = True
            begin, low, high = row, -1, -1
        if row == begin:
            picked[row] = True
        if quality[row] < 128 and np.isfinite(value[row]):
            if low < 0 or value[row] < value[low]:
                if low >= 0:
                    picked[low] = low in (begin, high)
                low = row
                picked[row] = True
            if high < 0 or value[row] > value[high]:
                if high >= 0:
                    picked[high] = high in (begin, low)
                high = row
                picked[row] = True
    if len(point):
        picked[len(point) - 1] = True
    return begin


def picks(rows: pa.RecordBatch, start: int, end: int, width: int) -> tuple[NDArray[np.bool_], int]:
    """Return which rows M4 picks and where the last pixel column begins."""
    mask = np.zeros(rows.num_rows, np.bool_)
    columns = [rows.column(name).to_numpy(zero_copy_only=False) for name in ("point", "time", "value", "quality")]
    return mask, int(pick(*columns, start, end - start, width, mask))


async def thin(
    batches: AsyncIterator[pa.RecordBatch], schema: pa.Schema, start: int, end: int, width: int
) -> AsyncIterator[pa.RecordBatch]:
    """Yield of ordered batches only what M4 picks; a column that crosses batches is judged as a whole."""
    rest = schema.empty_table()
    try:
        async for batch in batches:
            table = pa.concat_tables([rest, pa.Table.from_batches([batch]).cast(schema)])
            rows = table.combine_chunks().to_batches()
            if not rows:
                continue
            mask, begin = picks(rows[0], start, end, width)
            rest = pa.Table.from_batches([rows[0].slice(begin)])
            yield rows[0].slice(0, begin).filter(pa.array(mask[:begin]))
        for last in rest.to_batches():
            mask, _ = picks(last, start, end, width)
            yield last.filter(pa.array(mask))
    finally:
        close = getattr(batches, "aclose", None)
        if close is not None:
            await close()

"""The M4 kernel against the oracle, however the rows are cut into batches."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.batch import SampleBatch, to_arrow
from anlan.core.time import HOUR
from anlan.store.historian import m4
from tests.store.historian.test_query import T0, m4_oracle, random_batch

SCHEMA = pa.schema([("point", pa.int32()), ("time", pa.int64()), ("value", pa.float64()), ("quality", pa.uint8())])


async def thinned(samples: SampleBatch, cuts: list[int], start: int, end: int, width: int) -> list[tuple[int, int]]:
    async def cut() -> AsyncIterator[pa.RecordBatch]:
        edges = [0, *sorted(cuts), len(samples)]
        for first, last in itertools.pairwise(edges):
            yield to_arrow(samples.take(slice(first, last)), SCHEMA)  # type: ignore[arg-type]  # NumPy takes slices too

    keys: list[tuple[int, int]] = []
    async for batch in m4.thin(cut(), SCHEMA, start, end, width):
        keys += zip(batch["point"].to_pylist(), batch["time"].to_pylist(), strict=True)
    return keys


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1000), st.integers(1, 400), st.integers(1, 300), st.lists(st.integers(0, 400), max_size=6))
async def test_any_cut_picks_what_the_oracle_picks(seed: int, rows: int, width: int, cuts: list[int]) -> None:
    samples = random_batch(3, rows, 3_600_000, seed)
    samples = samples.take(np.lexsort((samples.time, samples.point)))
    picked = await thinned(samples, [min(cut, rows) for cut in cuts], T0, T0 + HOUR, width)
    assert picked == m4_oracle(samples, T0, T0 + HOUR, width)


async def test_equal_values_pick_the_earliest() -> None:
    samples = SampleBatch(
        np.ones(6, np.int32), T0 + np.arange(6), np.array([2.0, 1.0, 3.0, 1.0, 3.0, 2.0]), np.zeros(6, np.uint8)
    )
    assert await thinned(samples, [], T0, T0 + 6, 1) == [(1, T0), (1, T0 + 1), (1, T0 + 2), (1, T0 + 5)]


async def test_nothing_gives_nothing() -> None:
    assert await thinned(SampleBatch.empty(), [], T0, T0 + 6, 1) == []

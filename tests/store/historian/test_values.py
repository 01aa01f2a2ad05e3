"""Values as decimals come back bit for bit, in NumPy and in SQL."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.batch import SampleBatch
from anlan.store.historian import schema, values
from anlan.store.historian.engine import Session
from anlan.store.historian.values import SplitState, join, split
from tests.store.historian.conftest import put

BITS = [
    0x0000000000000000,  # 0.0
    0x8000000000000000,  # -0.0
    0x7FF0000000000000,  # inf
    0xFFF0000000000000,  # -inf
    0x7FF8000000000000,  # NaN
    0x7FF8DEADBEEF0001,  # NaN with a payload
    0xFFF8000000000042,  # negative NaN with a payload
    0x7FF0000000000001,  # signalling NaN
    0x0000000000000001,  # smallest denormal
    0x7FEFFFFFFFFFFFFF,  # largest double
    0x4340000000000000,  # 2^53
    0x4340000000000001,
    0xC340000000000000,
]
SPECIAL = np.array(BITS, np.uint64).view(np.float64)


def bits(array: np.ndarray) -> list[int]:
    return np.ascontiguousarray(array).view(np.uint64).tolist()


def round_trip(array: np.ndarray, point: int = 7) -> np.ndarray:
    mantissa, scale = split(np.full(len(array), point, np.int32), array, SplitState())
    return join(mantissa, scale)


@settings(deadline=None)
@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=60))
def test_any_64_bits_come_back(patterns: list[int]) -> None:
    array = np.array(patterns, np.uint64).view(np.float64)
    assert bits(round_trip(array)) == patterns


@settings(deadline=None)
@given(st.lists(st.floats(width=32), max_size=60), st.lists(st.decimals(-(10**9), 10**9, places=6), max_size=60))
def test_decimals_and_32_bit_floats_mixed_come_back(singles: list[float], decimals: list[object]) -> None:
    array = np.array(singles + [float(str(number)) for number in decimals], np.float64)
    assert bits(round_trip(array)) == bits(array)


@pytest.mark.parametrize(
    ("array", "low", "high"),
    [
        (np.round(np.linspace(0, 300, 5000), 4), 0, 15),
        (np.round(np.linspace(0, 300, 5000), 3).astype(np.float32).astype(np.float64), 0, 79),
    ],
)
def test_readings_of_instruments_are_kept_as_decimals(array: np.ndarray, low: int, high: int) -> None:
    mantissa, scale = split(np.full(len(array), 3, np.int32), array, SplitState())
    assert low <= scale.min() <= scale.max() <= high
    assert np.abs(mantissa).max() < 10_000_000
    assert bits(join(mantissa, scale)) == bits(array)


def test_a_point_that_is_no_decimal_falls_back_to_its_bits_and_tries_again_later() -> None:
    odd = np.random.default_rng(1).normal(size=2000)
    even = np.round(odd, 2) + 0.0  # no -0.0 among them
    state = SplitState()
    point = np.full(2000, 9, np.int32)
    _, scale_odd = split(point, odd, state)
    mantissa, scale_even = split(point, even, state)
    assert (scale_odd == values.BITS).mean() > 0.99
    assert (scale_even[-500:] < values.FLOAT32).all()
    assert bits(join(mantissa, scale_even)) == bits(even)


def test_sql_gives_back_the_same_bits(session: Session) -> None:
    rng = np.random.default_rng(3)
    array = np.concatenate(
        [
            SPECIAL,
            np.round(rng.normal(scale=1000, size=3000), 3),
            np.round(rng.normal(scale=10, size=3000), 5).astype(np.float32).astype(np.float64),
            rng.integers(0, 1 << 63, 3000, dtype=np.uint64).view(np.float64),
        ]
    )
    samples = SampleBatch(
        np.repeat(np.arange(4, dtype=np.int32), [13, 3000, 3000, 3000]),
        np.arange(len(array)),
        array,
        np.zeros(len(array), np.uint8),
    )
    put(session, samples)
    stored = session.query(f"SELECT value FROM {schema.SAMPLES} FINAL ORDER BY point, time")["value"]
    assert bits(stored.to_numpy()) == bits(array)
    assert struct.pack("<d", stored[5].as_py()) == BITS[5].to_bytes(8, "little")

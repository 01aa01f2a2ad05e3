"""The gateway's rules: the compiled kernel against its NumPy reference, and each rule by example."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.batch import SampleBatch
from anlan.core.quality import Quality
from anlan.perceive import engine
from anlan.perceive.engine import COUNTS, compile_points, judge, judge_reference, raw_value
from anlan.plant.model import AlarmDefinition, AlarmPolicy, Calibration, Plant, Point, SiteInfo

NOW = 1_800_000_000_000_000
PLANT = Plant(
    SiteInfo("t", "t"),
    points=(
        Point(1, "a/b/c/plain", "other", ""),
        Point(2, "a/b/c/ranged", "other", "", low=0.0, high=100.0),
        Point(
            4,
            "a/b/c/calibrated",
            "other",
            "",
            low=-50.0,
            high=50.0,
            calibration=Calibration(gain=2.0, offset=1.0, low=-60.0, high=60.0, expires=NOW - 1_000_000),
        ),
    ),
    alarms=(AlarmDefinition("a/b/c/plain.H", point=1, kind="H", priority=1, limit=3.0),),
    policy=AlarmPolicy(max_age=600_000_000, max_ahead=60_000_000),
)
TABLE = compile_points(PLANT, "r1")

numbers = st.sampled_from([-5, -1, 0, 1, 2, 3, 4, 5, 2**31 - 1])
moments = st.one_of(
    st.sampled_from([0, -1, NOW, NOW + 60_000_000, NOW + 60_000_001, NOW - 600_000_000, NOW - 600_000_001]),
    st.integers(-(2**63), 2**63 - 1),
)
values = st.one_of(st.sampled_from([0.0, -0.0, 100.0, 100.5, 29.5, -31.0, 1e308, math.nan, math.inf]), st.floats())
rows = st.lists(st.tuples(numbers, moments, values, st.integers(0, 255)), max_size=40)


def batch_of(samples: list[tuple[int, int, float, int]]) -> SampleBatch:
    point, time, value, quality = zip(*samples, strict=True) if samples else ((), (), (), ())
    return SampleBatch(
        np.array(point, np.int32), np.array(time, np.int64), np.array(value, np.float64), np.array(quality, np.uint8)
    )


@given(rows, st.lists(st.integers(0, 40), max_size=4))
@settings(max_examples=300, deadline=None)
def test_kernel_equals_reference(samples: list[tuple[int, int, float, int]], cuts: list[int]) -> None:
    edges = sorted({0, len(samples), *(min(cut, len(samples)) for cut in cuts)})
    if len(edges) == 1:
        edges = [0, 0]
    starts = np.array(edges, np.int64)
    received = np.full(len(edges) - 1, NOW, np.int64)
    compiled, plain = batch_of(samples), batch_of(samples)
    found, expected = judge(compiled, starts, received, TABLE), judge_reference(plain, starts, received, TABLE)
    assert compiled.value.tobytes() == plain.value.tobytes()
    assert compiled.quality.tolist() == plain.quality.tolist()
    assert found.counts.tolist() == expected.counts.tolist()
    assert found.newest.tolist() == expected.newest.tolist()


@pytest.mark.parametrize(
    ("number", "time", "value", "quality", "stored", "judged"),
    [
        (1, NOW, 1.5, 0, 1.5, Quality.GOOD),
        (1, NOW, math.nan, 0, math.nan, Quality.BAD_NOT_A_NUMBER),
        (1, NOW, math.inf, Quality.BAD_SENSOR, math.inf, Quality.BAD_SENSOR),
        (2, NOW, 101.0, 0, 101.0, Quality.UNCERTAIN_RANGE),
        (2, NOW, 101.0, Quality.BAD_SENSOR, 101.0, Quality.BAD_SENSOR),
        (2, NOW, 101.0, Quality.UNCERTAIN_SUBSTITUTE, 101.0, Quality.UNCERTAIN_SUBSTITUTE),
        (4, NOW - 2_000_000, 10.0, 0, 21.0, Quality.GOOD),
        (4, NOW, 10.0, 0, 21.0, Quality.UNCERTAIN_CALIBRATION_EXPIRED),
        (4, NOW, 27.0, 0, 55.0, Quality.UNCERTAIN_RANGE),
        (4, NOW, 30.0, 0, 61.0, Quality.BAD_RANGE),
        (4, NOW, 1.7e308, 0, math.inf, Quality.BAD_NOT_A_NUMBER),
        (1, NOW + 61_000_000, 1.0, 0, 1.0, Quality.BAD_CLOCK),
        (1, -1, 1.0, 0, 1.0, Quality.BAD_CLOCK),
        (3, NOW, 1.0, 0, 1.0, Quality.BAD_CONFIGURATION),
    ],
)
def test_each_rule(number: int, time: int, value: float, quality: int, stored: float, judged: int) -> None:
    batch = batch_of([(number, time, value, quality)])
    judge(batch, np.array([0, 1]), np.array([NOW]), TABLE)
    assert batch.value.tolist() == pytest.approx([stored], nan_ok=True)
    assert batch.quality.tolist() == [judged]


def test_counts_and_clock_offset() -> None:
    batch = batch_of(
        [
            (1, NOW - 5, 1.0, 0),
            (1, NOW - 700_000_000, 1.0, 0),
            (1, NOW + 10**9, 1.0, 0),
            (2, NOW, -1.0, 0),
            (9, 0, 1, 0),
        ]
    )
    found = judge(batch, np.array([0, 5]), np.array([NOW]), TABLE)
    counts = dict(zip(COUNTS, found.counts[0].tolist(), strict=True))
    assert counts == {"good": 2, "uncertain": 1, "bad": 1, "late": 1, "future": 1, "not_a_number": 0, "unknown": 1}
    assert found.newest.tolist() == [NOW]


@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e3), st.floats(-1e3, 1e3))
def test_the_raw_value_can_be_recovered(raw: float, gain: float, offset: float) -> None:
    assert raw_value(raw * gain + offset, gain, offset) == pytest.approx(raw, rel=1e-6, abs=1e-6)
    assert raw_value(raw, 1.0, 0.0) == raw


def test_alarmed_points_are_known() -> None:
    assert np.flatnonzero(TABLE.alarmed).tolist() == [1]
    assert engine.compile_points(Plant(SiteInfo("e", "e")), "").known.tolist() == [False]

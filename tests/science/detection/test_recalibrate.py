"""Recalibration: a slow drift goes, a fault stays, nothing moves further or faster than allowed, and it is told."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Notes
from anlan.science.detection.recalibrate import Recalibration

GENERATOR = np.random.default_rng(3)
TRAIN = 50 + 2 * GENERATOR.normal(size=(1000, 3))
FITTED = Recalibration().fit(TRAIN, Notes())
CALM = 50 + 2 * GENERATOR.normal(size=(3000, 3))


def test_a_slow_drift_is_taken_out_and_told() -> None:
    drift = CALM.copy()
    drift[:, 1] += np.linspace(0, 2.4, len(drift))
    state, adapted = FITTED.update(FITTED.start(), drift)
    assert abs(adapted[-500:, 1].mean() - 50) < 0.8
    assert abs(drift[-500:, 1].mean() - 50) > 2
    level, spread = FITTED.moved(state)
    assert level[1] == pytest.approx(1.1, abs=0.35)
    assert abs(level[0]) < 0.35
    assert spread == pytest.approx([1, 1, 1], abs=0.15)
    assert FITTED.exhausted(state) == []


def test_a_step_of_a_fault_is_not_followed() -> None:
    fault = CALM.copy()
    fault[100:, 2] += 20
    state, adapted = FITTED.update(FITTED.start(), fault)
    assert adapted[-100:, 2].mean() == pytest.approx(70, abs=1)
    assert abs(FITTED.moved(state)[0][2]) < 0.3


def test_nothing_moves_while_p_values_are_small() -> None:
    drift = CALM + 2
    state, _ = FITTED.update(FITTED.start(), drift, np.full(len(drift), 1e-3))
    assert FITTED.moved(state)[0].tolist() == [0, 0, 0]
    state, _ = FITTED.update(FITTED.start(), drift, np.full(len(drift), 0.5))
    assert (FITTED.moved(state)[0] > 0.5).all()


def test_the_way_is_bounded_in_all_and_a_row() -> None:
    # 3.4 standard deviations off: near enough not to freeze every row, further than the level may go.
    state, _ = FITTED.update(FITTED.start(), np.full((20_000, 3), 50 + 2 * 3.4))
    assert (np.abs(FITTED.moved(state)[0]) <= FITTED.reach + 1e-12).all()
    assert FITTED.exhausted(state) == [0, 1, 2]
    assert (FITTED.moved(state)[1] <= 1.5 + 1e-12).all()
    first, _ = FITTED.update(FITTED.start(), np.full((10, 3), 56.0))
    assert (np.abs(FITTED.moved(first)[0]) <= 10 * FITTED.rate + 1e-12).all()


@given(st.lists(st.integers(0, 400), max_size=6), st.sets(st.integers(0, 399), max_size=5))
@settings(max_examples=25, deadline=None)
def test_parts_are_adapted_as_the_whole(cuts: list[int], gaps: set[int]) -> None:
    rows = CALM[:400].copy()
    rows[sorted(gaps), 1] = np.nan
    p = np.where(np.arange(400) % 97 == 0, 1e-4, 0.5)
    end, whole = FITTED.update(FITTED.start(), rows, p)
    state, parts = FITTED.start(), []
    for start, stop in pairwise(sorted([0, *cuts, 400])):
        state, part = FITTED.update(state, rows[start:stop], p[start:stop])
        parts.append(part)
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert all(state[name].tobytes() == end[name].tobytes() for name in end)


def test_it_is_read_back() -> None:
    again = Recalibration.load(FITTED.save())
    assert again.update(again.start(), CALM)[1].tobytes() == FITTED.update(FITTED.start(), CALM)[1].tobytes()
    with pytest.raises(DecodeError):
        Recalibration.load({"settings": np.zeros(2)})


def test_constants_are_left_alone_and_told() -> None:
    train = TRAIN.copy()
    train[:, 0] = 7.0
    notes = Notes()
    fitted = Recalibration().fit(train, notes)
    rows = CALM.copy()
    rows[:, 0] = 8.0
    assert (fitted.update(fitted.start(), rows)[1][:, 0] == 8.0).all()
    assert "1 constant" in notes.lines[0]


def test_too_few_rows_and_unbounded_settings_are_told() -> None:
    with pytest.raises(InvalidInputError, match="29 training rows"):
        Recalibration().fit(TRAIN[:29], Notes())
    with pytest.raises(InvalidInputError, match="no bounded drift"):
        Recalibration(rate=0.5).fit(TRAIN, Notes())

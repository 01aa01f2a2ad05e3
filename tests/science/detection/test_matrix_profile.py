"""The matrix profile: equal to stumpy's, the same in batch and stream, blind to gaps only where they are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import stumpy
from hypothesis import given, settings
from hypothesis import strategies as st
from stumpy.core import mass_absolute

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.matrix_profile import MatrixProfile
from anlan.science.detection.protocol import Floats, Notes

WINDOW = 16
GENERATOR = np.random.default_rng(5)
WAVE = 500 + np.sin(np.arange(900) / 5) + 0.1 * GENERATOR.normal(size=900)
TRAIN, TEST = WAVE[:300, None], WAVE[300:, None].copy()
TEST[400:420, 0] += np.linspace(0, 2, 20)
SHAPE = MatrixProfile(WINDOW).fit(TRAIN, Notes())
VALUE = MatrixProfile(WINDOW, normalise=False).fit(TRAIN, Notes())


def nearest(distance: Callable[[Floats, Floats], Floats], test: Floats, train: Floats) -> list[float]:
    """Return the smallest of stumpy's distances of each window of the test series to those of training."""
    windows = np.lib.stride_tricks.sliding_window_view(test[:, 0], WINDOW)
    return [float(np.min(distance(np.ascontiguousarray(window), train[:, 0]))) for window in windows]


def test_shapes_are_as_far_apart_as_stumpy_says() -> None:
    _, scores = SHAPE.update(SHAPE.start(), TEST)
    assert np.isnan(scores.score[: WINDOW - 1]).all()
    np.testing.assert_allclose(scores.score[WINDOW - 1 :], nearest(stumpy.mass, TEST, TRAIN), atol=1e-6)


def test_values_are_as_far_apart_as_stumpy_says() -> None:
    _, scores = VALUE.update(VALUE.start(), TEST)
    np.testing.assert_allclose(scores.score[WINDOW - 1 :], nearest(mass_absolute, TEST, TRAIN), atol=1e-6)


def test_flat_windows_are_as_far_apart_as_stumpy_says() -> None:
    train, test = TRAIN.copy(), TEST[:100].copy()
    train[50:80], test[20:60] = 500.0, 501.0
    fitted = MatrixProfile(WINDOW).fit(train, Notes())
    _, scores = fitted.update(fitted.start(), test)
    # Two windows have a twin of the very same shape: the distance is the root of what rounding leaves of nothing.
    np.testing.assert_allclose(scores.score[WINDOW - 1 :], nearest(stumpy.mass, test, train), atol=1e-3)


@given(st.lists(st.integers(0, len(TEST)), max_size=6), st.sets(st.integers(0, len(TEST) - 1), max_size=5))
@settings(max_examples=20, deadline=None)
def test_parts_score_as_the_whole(cuts: list[int], gaps: set[int]) -> None:
    rows = TEST.copy()
    rows[sorted(gaps), 0] = np.nan
    for detector in (SHAPE, VALUE):
        end, whole = detector.update(detector.start(), rows)
        state, scores = detector.start(), []
        for start, stop in pairwise(sorted([0, *cuts, len(rows)])):
            state, part = detector.update(state, rows[start:stop])
            scores.append(part.score)
        assert np.concatenate(scores).tobytes() == whole.score.tobytes()
        assert all(state[name].tobytes() == end[name].tobytes() for name in end)


def test_only_windows_over_a_gap_have_no_score() -> None:
    rows = TEST.copy()
    rows[100] = np.nan
    _, clean = SHAPE.update(SHAPE.start(), TEST)
    _, scores = SHAPE.update(SHAPE.start(), rows)
    silent = np.flatnonzero(np.isnan(scores.score))
    assert silent.tolist() == [*range(WINDOW - 1), *range(100, 100 + WINDOW)]
    heard = np.isfinite(scores.score)
    np.testing.assert_allclose(scores.score[heard], clean.score[heard], atol=1e-6)


def test_the_odd_one_of_two_series_gets_the_blame() -> None:
    train, test = np.repeat(TRAIN, 2, axis=1), np.repeat(WAVE[300:, None], 2, axis=1)
    test[300:310, 1] += GENERATOR.normal(size=10)
    fitted = MatrixProfile(WINDOW).fit(train, Notes())
    _, scores = fitted.update(fitted.start(), test)
    worst = int(np.nanargmax(scores.score))
    assert 300 <= worst < 310 + WINDOW
    assert scores.contribution[worst, 1] > scores.contribution[worst, 0]
    assert scores.contribution[worst].sum() == pytest.approx(scores.score[worst])


def test_what_is_saved_scores_the_same() -> None:
    again = MatrixProfile.load(VALUE.save())
    assert again.update(again.start(), TEST)[1].score.tobytes() == VALUE.update(VALUE.start(), TEST)[1].score.tobytes()
    with pytest.raises(DecodeError):
        MatrixProfile.load({"settings": VALUE.save()["settings"]})


def test_a_training_series_too_short_or_full_of_gaps_is_told() -> None:
    with pytest.raises(InvalidInputError, match="too few for windows of 16"):
        MatrixProfile(WINDOW).fit(TRAIN[:63], Notes())
    gaps = TRAIN.copy()
    gaps[::10] = np.nan
    with pytest.raises(InvalidInputError, match="without a gap"):
        MatrixProfile(WINDOW).fit(gaps, Notes())

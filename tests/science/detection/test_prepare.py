"""Preparation: compiled rows equal plain ones, gaps add no evidence, levels move only where they did in training."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.science.detection.covariance import fit_gaussian
from anlan.science.detection.prepare import (
    Preparation,
    fill_missing,
    fit_preparation,
    level_test,
    prepare_rows_reference,
)
from anlan.science.detection.protocol import Floats, Notes, Table

START = np.zeros(1, np.int64)


def fitted(values: Floats) -> tuple[Preparation, Notes]:
    notes = Notes()
    names = tuple(f"v{j}" for j in range(values.shape[1]))
    return fit_preparation(Table(names, np.arange(len(values)), values), START, notes), notes


def test_scaled_by_median_and_mad_so_that_wild_readings_do_not_count() -> None:
    values = np.random.default_rng(1).normal(10, 2, (1000, 2))
    values[:50, 0] = 1e6
    preparation, _ = fitted(values)
    assert abs(preparation.center[0] - 10) < 0.3
    assert abs(preparation.scale[0] - 2) < 0.3


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_compiled_rows_equal_the_plain_form(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.cumsum(generator.standard_normal((300, 3)), axis=0) * 0.2 + generator.standard_normal((300, 3))
    preparation, _ = fitted(values)
    new = np.round(generator.standard_normal((120, 3)) * 2)
    new[generator.random((120, 3)) < 0.2] = np.nan
    new[40:90, 0] = 1.0
    state = preparation.start()
    _, prepared = preparation.update(state, np.arange(120), new)
    scaled, stuck = prepare_rows_reference(preparation, state, new)
    assert np.array_equal(stuck, prepared.stuck)
    assert np.array_equal(np.isfinite(scaled), prepared.observed)
    kept = prepared.observed[prepared.usable]
    np.testing.assert_allclose(prepared.values[kept], scaled[prepared.usable][kept], rtol=1e-12)


def test_a_filled_row_has_the_t2_of_its_observed_part() -> None:
    generator = np.random.default_rng(2)
    rows = generator.standard_normal((500, 4)) @ generator.standard_normal((4, 4))
    gaussian = fit_gaussian(rows)
    gaps = rows[:5].copy()
    gaps[:, 1] = np.nan
    filled = fill_missing(gaps, gaussian)
    whole = gaussian.whitening
    covariance = np.linalg.inv(whole.T @ whole)
    keep = [0, 2, 3]
    away = (rows[:5] - gaussian.mean)[:, keep]
    part = np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance[np.ix_(keep, keep)]), away)
    np.testing.assert_allclose((((filled - gaussian.mean) @ whole.T) ** 2).sum(axis=1), part, rtol=1e-8)


def test_a_steady_plant_keeps_its_levels_and_a_wandering_one_is_followed_and_told() -> None:
    generator = np.random.default_rng(3)
    steady, _ = fitted(generator.standard_normal((600, 3)))
    assert not steady.gain.any()
    wandering, notes = fitted(np.cumsum(generator.standard_normal((600, 3)), axis=0))
    assert wandering.gain.all()
    assert any("not steady" in line for line in notes.lines)


def test_a_followed_level_moves_no_faster_and_no_further_than_its_bounds() -> None:
    wandering, _ = fitted(np.cumsum(np.random.default_rng(8).standard_normal((600, 2)), axis=0))
    new = np.full((20_000, 2), 1000.0) + np.random.default_rng(9).standard_normal((20_000, 2))
    state, _ = wandering.update(wandering.start(), np.arange(10), new[:10])
    assert (np.abs(state["level"]) <= 10 * wandering.rate * (1 + 1e-9)).all()
    state, prepared = wandering.update(wandering.start(), np.arange(20_000), new)
    np.testing.assert_allclose(state["level"], wandering.reach)
    assert (prepared.values[-1] > 5).all()


def test_the_level_test_is_the_published_one() -> None:
    generator = np.random.default_rng(4)
    statistic = level_test(generator.standard_normal((400, 2000)))
    assert 0.3 < np.quantile(statistic, 0.95) < 0.6


def test_a_valve_that_rests_for_long_in_training_is_not_stuck() -> None:
    generator = np.random.default_rng(5)
    values = generator.standard_normal((400, 2))
    values[:, 1] = np.repeat([0.0, 1.0, 0.0, 1.0], 100)
    preparation, _ = fitted(values)
    new = np.column_stack((generator.standard_normal(90), np.zeros(90)))
    _, prepared = preparation.update(preparation.start(), np.arange(90), new)
    assert not prepared.stuck.any()


def test_a_reading_pinned_far_from_normal_stays_evidence() -> None:
    preparation, _ = fitted(np.random.default_rng(6).standard_normal((400, 2)))
    new = np.column_stack((np.random.default_rng(7).standard_normal(90), np.full(90, 20.0)))
    _, prepared = preparation.update(preparation.start(), np.arange(90), new)
    assert not prepared.stuck.any()
    assert (prepared.values[:, 1] > 10).all()

"""Wiener and exponential degradation against closed forms and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from anlan.core.errors import InvalidInputError
from anlan.science.prognosis.degradation import FirstPassage, first_passage, fit_exponential, fit_wiener

DISTANCE, DRIFT, DIFFUSION = 10.0, 0.5, 0.8


def path(steps: int, drift: float, diffusion: float, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    time = np.cumsum(generator.uniform(0.5, 1.5, steps))
    moves = drift * np.diff(time) + diffusion * np.sqrt(np.diff(time)) * generator.normal(size=steps - 1)
    return time, np.concatenate([[0.0], np.cumsum(moves)]) + noise * generator.normal(size=steps)


def test_first_passage_is_the_inverse_gaussian_distribution() -> None:
    after = np.linspace(0.1, 100, 200)
    mean, shape = DISTANCE / DRIFT, DISTANCE**2 / DIFFUSION**2
    expected = scipy.stats.invgauss.cdf(after, mean / shape, scale=shape)
    assert np.allclose(first_passage(after, DISTANCE, DRIFT, DIFFUSION), expected, atol=1e-9)


def test_first_passage_agrees_with_simulated_paths() -> None:
    generator = np.random.default_rng(0)
    step = 0.02
    moves = DRIFT * step + DIFFUSION * np.sqrt(step) * generator.normal(size=(1000, 2500))
    reached = (np.maximum.accumulate(np.cumsum(moves, axis=1), axis=1) >= DISTANCE)[:, [999, 1499, 2499]].mean(axis=0)
    assert first_passage(np.array([20.0, 30.0, 50.0]), DISTANCE, DRIFT, DIFFUSION) == pytest.approx(reached, abs=0.05)


def test_quantiles_invert_the_distribution_and_the_mean_is_distance_over_drift() -> None:
    passage = FirstPassage(DISTANCE, DRIFT, 0.05, DIFFUSION)
    for share in (0.05, 0.5, 0.95):
        assert passage.probability(np.array([passage.quantile(share)]))[0] == pytest.approx(share, abs=1e-6)
    assert passage.mean() == pytest.approx(20.0)
    assert FirstPassage(DISTANCE, -1.0, 0.01, 0.1).quantile(0.5) == np.inf
    assert FirstPassage(-1.0, 1.0, 0.0, 0.1).quantile(0.9) == 0.0


def test_a_steady_decline_without_chance_is_exact() -> None:
    time = np.arange(30.0)
    until = fit_wiener(time, 100 - 2 * time).until(20.0)
    assert until.quantile(0.5) == pytest.approx(11.0, rel=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_band_holds_the_true_time(noise: float) -> None:
    held = []
    for seed in range(60):
        time, seen = path(80, 0.5, 0.4, noise, seed)
        now = path(80, 0.5, 0.4, 0.0, seed)[1][-1]
        passage = fit_wiener(time, seen).until(now + 20)
        low, high = passage.quantile(0.05), passage.quantile(0.95)
        steps = np.random.default_rng(1000 + seed).normal(0.5 * 0.1, 0.4 * np.sqrt(0.1), 3000)
        true = 0.1 * (1 + int(np.argmax(np.cumsum(steps) >= 20)))
        held.append(low <= true <= high)
    assert np.mean(held) >= 0.8


def test_drift_diffusion_and_noise_are_found() -> None:
    time, seen = path(4000, 0.5, 0.4, 0.5, 0)
    found = fit_wiener(time, seen)
    assert found.drift == pytest.approx(0.5, abs=3 * found.drift_error)
    assert found.diffusion == pytest.approx(0.4, rel=0.15)
    assert found.noise == pytest.approx(0.5, rel=0.1)


def test_exponential_growth_reaches_the_threshold_when_it_should() -> None:
    time = np.arange(60.0)
    generator = np.random.default_rng(1)
    value = 5 + 0.1 * np.exp(0.05 * time + 0.01 * generator.normal(size=60))
    found = fit_exponential(time, value, base=5.0)
    true = np.log(20.0 / 0.1) / 0.05 - 59
    assert found.until(25.0).quantile(0.5) == pytest.approx(true, rel=0.05)
    with pytest.raises(InvalidInputError, match="other side"):
        found.until(4.0)


def test_what_is_past_the_threshold_has_reached_it() -> None:
    time = np.arange(30.0)
    assert fit_wiener(time, 100 - 2 * time).until(90.0).quantile(0.5) == 0.0


def test_too_few_values_and_falling_times_are_named() -> None:
    with pytest.raises(InvalidInputError, match="too few"):
        fit_wiener(np.arange(3.0), np.arange(3.0))
    with pytest.raises(InvalidInputError, match="do not rise"):
        fit_wiener(np.array([0.0, 1, 1, 2, 3]), np.arange(5.0))

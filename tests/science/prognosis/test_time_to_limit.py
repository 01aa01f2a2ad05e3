"""Time to limit: calibrated on ramps, silent on noise and settled steps, the same in one go and in pieces."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.core.errors import InvalidInputError
from anlan.science.prognosis import time_to_limit as ttl
from anlan.science.prognosis.time_to_limit import Outlook

POINTS = 400


def simulate(
    steps: int, slope: float = 0.0, sigma: float = 1.0, correlation: float = 0.0, seed: int = 0, points: int = POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Return irregular times (µs) and values of many points, shape (steps,) and (steps, points)."""
    generator = np.random.default_rng(seed)
    time = np.cumsum(generator.uniform(3, 17, steps))
    noise = np.zeros((steps, points))
    noise[0] = generator.normal(size=points)
    for i in range(1, steps):
        noise[i] = correlation * noise[i - 1] + np.sqrt(1 - correlation**2) * generator.normal(size=points)
    return np.round(time * 1e6).astype(np.int64), 100 + slope * time[:, None] + sigma * noise


def feed(time: np.ndarray, values: np.ndarray, state: ttl.State | None = None) -> ttl.State:
    points = values.shape[1]
    state = state if state is not None else ttl.start(points)
    index = np.tile(np.arange(points), len(time))
    return ttl.update(state, index, np.repeat(time, points), values.ravel(), np.ones(values.size, dtype=bool))


def ask(state: ttl.State, limit: float, now: int, direction: int = 1, within_s: float = 86_400.0) -> ttl.Forecast:
    points = len(state["last"])
    index = np.arange(points)
    return ttl.forecast(state, index, np.full(points, limit), np.full(points, direction), now, within_s)


@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize("direction", [1, -1])
def test_the_band_holds_the_true_time_on_ramps(correlation: float, direction: int) -> None:
    slope = 0.005 * direction
    time, values = simulate(400, slope, 1.0, correlation, seed=3)
    now = int(time[-1])
    limit = 100 + slope * now / 1e6 + 30 * direction
    said = ask(feed(time, values), limit, now, direction)
    towards = said.outlook == Outlook.TOWARDS
    assert towards.mean() > 0.98
    held = (said.low <= 6000) & (said.high >= 6000)
    assert 0.85 <= held[towards].mean() <= 0.95
    assert np.nanmedian(said.median) == pytest.approx(6000, rel=0.03)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_noise_is_no_trend(correlation: float) -> None:
    time, values = simulate(600, 0.0, 1.0, correlation, seed=5)
    said = ask(feed(time, values), 103.0, int(time[-1]))
    assert said.trending.mean() <= 0.005
    assert (said.outlook == Outlook.STEADY).mean() > 0.97


def test_a_settled_step_is_no_trend() -> None:
    time, values = simulate(400, 0.0, 1.0, seed=7)
    values[200:] += 25.0
    said = ask(feed(time, values), 140.0, int(time[-1]))
    assert (said.outlook == Outlook.TOWARDS).mean() <= 0.01
    assert np.median(said.level) == pytest.approx(125, abs=0.5)


def test_single_outliers_do_not_bend_the_line() -> None:
    time, values = simulate(400, 0.005, 0.5, seed=8)
    values[np.arange(50, 400, 37)] += 40.0
    limit = 100 + 0.005 * time[-1] / 1e6 + 30
    said = ask(feed(time, values), float(limit), int(time[-1]))
    assert np.nanmedian(said.median) == pytest.approx(6000, rel=0.1)


def test_stream_equals_batch_and_a_restart_resumes_exactly() -> None:
    time, values = simulate(200, 0.004, 1.0, seed=2, points=7)
    whole = feed(time, values)
    pieces = ttl.start(7)
    for i in range(0, 200, 23):
        pieces = {name: array.copy() for name, array in feed(time[i : i + 23], values[i : i + 23], pieces).items()}
    assert all(np.array_equal(whole[name], pieces[name]) for name in whole)


def test_bad_late_and_missing_samples_are_left_out_and_counted() -> None:
    time, values = simulate(100, 0.01, 0.1, seed=1, points=1)
    clean = feed(time, values)
    state = ttl.start(1)
    for i in range(100):
        moment, value = time[i : i + 1], values[i]
        zero = np.zeros(1, np.int64)
        ttl.update(state, zero, moment, value, np.ones(1, bool))
        ttl.update(state, zero, moment - 1, value + 99, np.ones(1, bool))
        ttl.update(state, zero, moment + 1, value + 99, np.zeros(1, bool))
        ttl.update(state, zero, moment + 1, np.array([np.nan]), np.ones(1, bool))
    assert state["skipped"][0] == 300
    assert np.array_equal(state["sums"], clean["sums"])


def test_says_unknown_stale_beyond_and_away() -> None:
    time, values = simulate(200, 0.01, 0.1, seed=1, points=1)
    now = int(time[-1])
    state = feed(time, values)
    assert ask(ttl.start(1), 1.0, 0).outlook[0] == Outlook.UNKNOWN
    assert np.isnan(ask(ttl.start(1), 1.0, 0).probability[0])
    assert ask(state, 500.0, now + 3_600_000_000).outlook[0] == Outlook.STALE
    beyond = ask(state, 90.0, now)
    assert (beyond.outlook[0], beyond.median[0], beyond.probability[0]) == (Outlook.BEYOND, 0.0, 1.0)
    away = ask(state, 50.0, now, direction=-1)
    assert away.outlook[0] == Outlook.AWAY
    assert np.isnan(away.median[0])
    assert away.probability[0] < 1e-6


def test_probability_rises_with_the_horizon_and_is_one_half_at_the_median() -> None:
    time, values = simulate(300, 0.01, 1.0, seed=1, points=1)
    state, now = feed(time, values), int(time[-1])
    limit = 100 + 0.01 * now / 1e6 + 20
    median = float(ask(state, limit, now).median[0])
    chances = [float(ask(state, limit, now, within_s=median * share).probability[0]) for share in (0.5, 1.0, 2.0)]
    assert chances[0] < chances[1] < chances[2]
    assert chances[1] == pytest.approx(0.5, abs=1e-6)


def test_the_cone_meets_the_limit_where_the_forecast_says() -> None:
    time, values = simulate(300, 0.01, 1.0, seed=4, points=1)
    state, now = feed(time, values), int(time[-1])
    limit = 100 + 0.01 * now / 1e6 + 20
    said = ask(state, limit, now)
    cone = ttl.cone(state, 0, now, 2 * float(said.high[0]), 400)
    after = (cone.time - now) / 1e6
    assert np.interp(limit, cone.median, after) == pytest.approx(said.median[0], rel=1e-3)
    assert np.interp(limit, cone.high, after) == pytest.approx(said.low[0], rel=2e-2)
    assert np.interp(limit, cone.low, after) == pytest.approx(said.high[0], rel=2e-2)
    with pytest.raises(InvalidInputError, match="too few"):
        ttl.cone(ttl.start(1), 0, 0, 60.0)


def test_a_faster_trend_is_seen_soon_with_the_short_memory() -> None:
    time, values = simulate(900, 0.0, 0.5, seed=6, points=50)
    bent = np.maximum(0, time / 1e6 - time[600] / 1e6)
    values += 0.02 * bent[:, None]
    said = ask(feed(time, values), 200.0, int(time[-1]))
    assert np.median(said.slope) == pytest.approx(0.02, rel=0.1)


def test_time_constants_must_rise() -> None:
    with pytest.raises(InvalidInputError, match="rise"):
        ttl.start(1, (600.0, 60.0))

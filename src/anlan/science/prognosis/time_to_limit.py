"""Time to reach a limit, for thousands of points at once, from samples at irregular times.

Each point carries exponentially weighted straight-line fits at several time constants, updated in O(1) a sample. Each
fit keeps the spread and the lag-one correlation of its own one-step errors, so that slow wander widens its band. A
forecast uses the longest time constant whose slope agrees with all shorter ones (after Lepski 1990): long memory on a
steady ramp, short memory after a bend. Samples far off the line count less (Huber 1964); several in a row on one side
are a step and restart the fits, so that a step that has settled is no trend.

The limit counts as reached when the level under the noise reaches it. Probability and quantiles are those of a straight
line with Gaussian level and slope (Fieller 1954).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from anlan.core.errors import InvalidInputError
from anlan.science.model_file import Arrays

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
State = Arrays

SECOND = 1_000_000
HORIZONS_S = (600.0, 3_600.0, 21_600.0)
"""Time constants of the fits, s: minutes for a tank that overflows, hours for fouling."""

BAND = 0.9
"""Share of the times to limit between ``low`` and ``high``."""

SIGNIFICANT = 4.5
"""Slope over its standard error that makes a trend; ``tests/validation/prognosis`` holds the rate of false ones."""

_LEAST_SAMPLES = 12.0
_AGREE = 2.5
_HUBER = 3.0
_STEP_ERROR = 5.0
_STEP_SAMPLES = 3
_STALE_INTERVALS = 10.0
_MOST_CORRELATION = 0.98

# Columns of the sums of a fit: weights w, squared weights, values; x is time before the last sample over the constant.
_W, _WX, _WXX, _Q, _QX, _QXX, _Y, _XY, _VAR, _COV, _LAST, _SEEN = range(12)


class Outlook(IntEnum):
    """What a forecast says of a point."""

    UNKNOWN = 0
    """Too few good samples."""
    STALE = 1
    """No sample for much longer than usual."""
    STEADY = 2
    """No trend beyond the noise."""
    AWAY = 3
    """A trend, but not towards the limit."""
    BEYOND = 4
    """The limit is reached already."""
    TOWARDS = 5
    """A trend towards the limit."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecasts of several points, each of shape (points,).

    Attributes:
        outlook: ``Outlook`` of each.
        probability: chance that the level reaches the limit within the horizon asked for; NaN where unknown or stale.
        median, low, high: s from ``now`` until the limit; NaN unless ``TOWARDS`` (0 where ``BEYOND``); ``high`` may be
            infinite.
        slope: units of the point per s; level: at ``now``; noise: standard deviation around the line.
        significance: slope over its standard error.
        memory_s: time constant of the fit used, s.
    """

    outlook: NDArray[np.int8]
    probability: Floats
    median: Floats
    low: Floats
    high: Floats
    slope: Floats
    level: Floats
    noise: Floats
    significance: Floats
    memory_s: Floats

    @property
    def trending(self) -> Flags:
        """Which points have a trend beyond the noise, shape (points,)."""
        return np.asarray(np.abs(self.significance) >= SIGNIFICANT, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Cone:
    """A forecast to draw: time (µs UTC) and median, low and high level at each, shape (steps,)."""

    time: Ints
    median: Floats
    low: Floats
    high: Floats


def start(points: int, horizons_s: tuple[float, ...] = HORIZONS_S) -> State:
    """Return the state of points that have seen nothing yet.

    Args:
        points: how many.
        horizons_s: time constants of the fits, s, from short to long.

    Raises:
        InvalidInputError: the time constants are not positive and rising.
    """
    constants = np.array(horizons_s, dtype=np.float64)
    if not len(constants) or constants[0] <= 0 or (np.diff(constants) <= 0).any():
        raise InvalidInputError("time constants must be positive and rise", where="horizons_s", fix="e.g. 600, 3600")
    return {
        "constants": constants,
        "last": np.full(points, np.iinfo(np.int64).min, dtype=np.int64),
        "reference": np.zeros(points),
        "interval": np.zeros(points),
        "off": np.zeros(points, dtype=np.int64),
        "skipped": np.zeros(points, dtype=np.int64),
        "sums": np.zeros((points, len(constants), 12)),
    }


def update(state: State, point: Ints, time_us: Ints, value: Floats, quality_ok: Flags) -> State:
    """Take in samples, in order of time for each point; updates the arrays of ``state`` in place and returns it.

    Args:
        state: from ``start`` or an earlier ``update``.
        point: index of each sample's point, shape (samples,).
        time_us: µs, any epoch, shape (samples,); a sample not later than its point's last one is left out.
        value: shape (samples,); NaN is left out.
        quality_ok: False leaves a sample out, shape (samples,).

    Returns:
        ``state``; its ``skipped`` counts the samples left out of each point.
    """
    _update(
        state["constants"], state["last"], state["reference"], state["interval"], state["off"], state["skipped"],
        state["sums"], np.asarray(point, np.int64), np.asarray(time_us, np.int64), np.asarray(value, np.float64),
        np.asarray(quality_ok, np.bool_),
    )  # fmt: skip
    return state


def forecast(
    state: State, index: Ints, limit: Floats, direction: Ints, now_us: int, within_s: float = 86_400.0
) -> Forecast:
    """Return when points reach limits.

    Args:
        state: from ``update``.
        index: points asked for, shape (n,); one may be asked for more than once, with other limits.
        limit: in the unit of each point, shape (n,).
        direction: +1 where the limit is reached from below, -1 from above, shape (n,).
        now_us: moment the times count from, µs in the epoch of the samples.
        within_s: horizon of ``probability``, s.
    """
    index = np.asarray(index, np.int64)
    sign = np.where(np.asarray(direction) >= 0, 1.0, -1.0)
    line = _line(state, index, now_us)
    level, slope, var_level, var_slope, cov, noise, memory, enough = line
    distance = sign * (np.asarray(limit, np.float64) - level)
    rise = sign * slope
    with np.errstate(divide="ignore", invalid="ignore"):
        significance = np.where(var_slope > 0, slope / np.sqrt(var_slope), np.where(slope == 0, 0.0, np.inf * slope))
    outlook = _outlook(state, index, now_us, enough, distance, rise, significance)
    low, median, high = _crossing(distance, rise, var_level, var_slope, cov * np.ones_like(sign))
    towards, beyond = outlook == Outlook.TOWARDS, outlook == Outlook.BEYOND
    low, median, high = (np.where(towards, each, np.where(beyond, 0.0, np.nan)) for each in (low, median, high))
    probability = _reached(distance, rise, var_level, var_slope, cov, within_s)
    probability = np.where(beyond, 1.0, np.where(outlook <= Outlook.STALE, np.nan, probability))
    return Forecast(outlook, probability, median, low, high, slope, level, noise, significance, memory)


def cone(state: State, index: int, now_us: int, ahead_s: float, steps: int = 60) -> Cone:
    """Return where the level of one point is heading, with the band that holds it with probability ``BAND``.

    Args:
        state: from ``update``.
        index: the point.
        now_us: start, µs.
        ahead_s: how far, s.
        steps: number of moments, at least 2.

    Raises:
        InvalidInputError: the point has too few samples for a line.
    """
    line = _line(state, np.array([index]), now_us)
    level, slope, var_level, var_slope, cov, _, _, enough = (each[0] for each in line)
    if not enough:
        raise InvalidInputError("too few good samples for a forecast", where=f"point {index}", fix="wait for more")
    after = np.linspace(0.0, ahead_s, max(2, steps))
    middle = level + slope * after
    half = -ndtri((1 - BAND) / 2) * np.sqrt(np.maximum(var_level + 2 * after * cov + after**2 * var_slope, 0.0))
    return Cone(now_us + np.round(after * SECOND).astype(np.int64), middle, middle - half, middle + half)


def _outlook(
    state: State, index: Ints, now_us: int, enough: Flags, distance: Floats, rise: Floats, significance: Floats
) -> NDArray[np.int8]:
    age = (now_us - state["last"][index]) / SECOND
    stale = age > np.maximum(_STALE_INTERVALS * state["interval"][index], 1.0)
    trend = np.abs(significance) >= SIGNIFICANT
    choices = [~enough, stale, distance <= 0, ~trend, rise < 0]
    said = [Outlook.UNKNOWN, Outlook.STALE, Outlook.BEYOND, Outlook.STEADY, Outlook.AWAY]
    return np.select(choices, [np.int8(one) for one in said], np.int8(Outlook.TOWARDS)).astype(np.int8)


def _crossing(
    distance: Floats, rise: Floats, var_level: Floats, var_slope: Floats, cov: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return low, median and high time at which a line with uncertain level and slope crosses (Fieller 1954)."""
    z = -ndtri((1 - BAND) / 2)
    a = rise**2 - z**2 * var_slope
    half_b = rise * distance + z**2 * cov
    c = distance**2 - z**2 * var_level
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(np.maximum(half_b**2 - a * c, 0.0))
        low = np.where(c > 0, c / (half_b + root), 0.0)
        high = np.where(a > 0, (half_b + root) / a, np.inf)
        median = distance / rise
    return np.maximum(low, 0.0), median, np.maximum(high, median)


def _reached(distance: Floats, rise: Floats, var_level: Floats, var_slope: Floats, cov: Floats, after: float) -> Floats:
    spread = np.sqrt(np.maximum(var_level + 2 * after * cov + after**2 * var_slope, 0.0))
    margin = rise * after - distance
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(spread > 0, ndtr(margin / spread), (margin >= 0) * 1.0), dtype=np.float64)


def _line(
    state: State, index: Ints, now_us: int
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats, Flags]:
    """Return level and slope at ``now``, their variances and covariance, noise, time constant, and whether known."""
    out = np.zeros((len(index), 8))
    _choose(state["constants"], state["last"], state["reference"], state["sums"], index, now_us, out)
    level, slope, var_level, var_slope, cov, noise, memory = out[:, :7].T
    return level, slope, var_level, var_slope, cov, noise, memory, out[:, 7] > 0


@numba.njit(cache=True)
def _solve(s, x):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Return level at ``x`` (in time constants after the last sample), slope, and the shape of their covariance."""
    det = s[_W] * s[_WXX] - s[_WX] * s[_WX]
    if det <= 1e-9 * s[_W] * s[_W]:
        return s[_Y] / max(s[_W], 1e-300), 0.0, 1.0, 1e300, 0.0
    slope = (s[_W] * s[_XY] - s[_WX] * s[_Y]) / det
    level = (s[_WXX] * s[_Y] - s[_WX] * s[_XY]) / det
    # Sandwich: inverse(X'WX) X'W²X inverse(X'WX) for unit white noise.
    p, q, r = s[_WXX] / det, -s[_WX] / det, s[_W] / det
    level_level = p * p * s[_Q] + 2 * p * q * s[_QX] + q * q * s[_QXX]
    slope_slope = q * q * s[_Q] + 2 * q * r * s[_QX] + r * r * s[_QXX]
    level_slope = p * q * s[_Q] + (p * r + q * q) * s[_QX] + q * r * s[_QXX]
    at = level_level + 2 * x * level_slope + x * x * slope_slope
    return level + slope * x, slope, at, slope_slope, level_slope + x * slope_slope


@numba.njit(cache=True)
def _inflation(s):  # type: ignore[no-untyped-def]  # compiled, as above
    """Return what correlated errors multiply the variance of a fit by: (1+r)/(1-r), r the lag-one correlation."""
    if s[_VAR] <= 0:
        return 1.0
    r = min(max(s[_COV] / s[_VAR], 0.0), _MOST_CORRELATION)
    return (1 + r) / (1 - r)


@numba.njit(cache=True)
def _update(constants, last, reference, interval, off, skipped, sums, point, time_us, value, ok):  # type: ignore[no-untyped-def]  # compiled, as above
    for i in range(len(point)):
        p = point[i]
        first = last[p] == np.iinfo(np.int64).min
        if not ok[i] or not np.isfinite(value[i]) or (not first and time_us[i] <= last[p]):
            skipped[p] += 1
            continue
        if first:
            reference[p] = value[i]
        else:
            gap = (time_us[i] - last[p]) / SECOND
            interval[p] = gap if interval[p] == 0 else interval[p] + 0.1 * (gap - interval[p])
            _step(sums[p], constants, gap, value[i] - reference[p], off, p)
        last[p] = time_us[i]
        for h in range(len(constants)):
            s = sums[p, h]
            s[_W] += 1.0
            s[_Q] += 1.0
            s[_Y] += value[i] - reference[p]


@numba.njit(cache=True)
def _step(sums, constants, gap, y, off, p):  # type: ignore[no-untyped-def]  # compiled, as above
    """Move the fits of one point to the new sample and learn from their errors there; it is added by the caller."""
    side = 0
    for h in range(len(constants)):
        s = sums[h]
        x = gap / constants[h]
        level, _, lever, _, _ = _solve(s, x)
        error = (y - level) / np.sqrt(1 + min(lever, 10.0))
        if s[_SEEN] >= _LEAST_SAMPLES and h == 0 and s[_VAR] > 0 and abs(error) > _STEP_ERROR * np.sqrt(s[_VAR]):
            side = 1 if error > 0 else -1
        _learn(s, error, x)
        _age(s, x)
    if side == 0 or (off[p] != 0 and (off[p] > 0) != (side > 0)):
        off[p] = side
    else:
        off[p] += side
    if abs(off[p]) >= _STEP_SAMPLES:
        off[p] = 0
        for h in range(len(constants)):
            sums[h, :_VAR] = 0.0
            sums[h, _SEEN] = 0.0


@numba.njit(cache=True)
def _learn(s, error, x):  # type: ignore[no-untyped-def]  # compiled, as above
    """Take a one-step error into the spread and lag-one covariance of a fit."""
    s[_SEEN] += 1.0
    if s[_SEEN] <= 2.0:
        return
    rate = max(1.0 - np.exp(-x), 1.0 / (s[_SEEN] - 2.0)) if s[_VAR] == 0 or s[_SEEN] < 200 else 1.0 - np.exp(-x)
    if s[_VAR] > 0 and s[_SEEN] > _LEAST_SAMPLES:
        bound = _HUBER * np.sqrt(s[_VAR])
        error = min(max(error, -bound), bound)
    s[_VAR] += rate * (error * error - s[_VAR])
    s[_COV] += rate * (error * s[_LAST] - s[_COV])
    s[_LAST] = error


@numba.njit(cache=True)
def _age(s, x):  # type: ignore[no-untyped-def]  # compiled, as above
    """Move the origin of a fit by ``x`` time constants and fade its weights."""
    d = np.exp(-x)
    s[_WXX] = d * (s[_WXX] - 2 * x * s[_WX] + x * x * s[_W])
    s[_WX] = d * (s[_WX] - x * s[_W])
    s[_W] *= d
    s[_QXX] = d * d * (s[_QXX] - 2 * x * s[_QX] + x * x * s[_Q])
    s[_QX] = d * d * (s[_QX] - x * s[_Q])
    s[_Q] *= d * d
    s[_XY] = d * (s[_XY] - x * s[_Y])
    s[_Y] *= d


@numba.njit(cache=True)
def _choose(constants, last, reference, sums, index, now_us, out):  # type: ignore[no-untyped-def]  # compiled, as above
    slopes = np.zeros(len(constants))
    errors = np.zeros(len(constants))
    for i in range(len(index)):
        p = index[i]
        taken = 0
        for h in range(len(constants)):
            s = sums[p, h]
            if s[_Q] <= 0 or s[_SEEN] < _LEAST_SAMPLES or s[_W] * s[_W] / s[_Q] < _LEAST_SAMPLES / 2:
                continue
            x = (now_us - last[p]) / SECOND / constants[h]
            level, slope, at, slope_slope, level_slope = _solve(s, x)
            variance = s[_VAR] * _inflation(s)
            slopes[taken] = slope / constants[h]
            errors[taken] = variance * slope_slope / constants[h] ** 2
            agrees = True
            for k in range(taken):
                if abs(slopes[k] - slopes[taken]) > _AGREE * np.sqrt(errors[k] + errors[taken]):
                    agrees = False
            if not agrees:
                break
            taken += 1
            out[i, 0] = level + reference[p]
            out[i, 1] = slope / constants[h]
            out[i, 2] = variance * at
            out[i, 3] = variance * slope_slope / constants[h] ** 2
            out[i, 4] = variance * level_slope / constants[h]
            out[i, 5] = np.sqrt(s[_VAR])
            out[i, 6] = constants[h]
            out[i, 7] = 1.0

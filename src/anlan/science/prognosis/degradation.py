"""Degradation of one quantity towards a threshold: Wiener process with drift, and exponential growth as its logarithm.

A Wiener process x(t) = x0 + drift t + diffusion B(t) first reaches a distance d after an inverse-Gaussian time (Folks &
Chhikara 1978). The uncertainty of the estimated drift is carried into the forecast by integrating over its normal
distribution, as in Si, Wang, Hu & Zhou (2011). Times are in any unit, the same throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba
import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, roots_hermitenorm

from anlan.core.errors import InvalidInputError
from anlan.science.detection.protocol import Floats

LEAST = 5
"""Fewest values to estimate from."""

_NODES = 31
_INNER_NODES = 5
_SHARES = np.linspace(0.0, 1.0, 41)
_SHARE_STEP = 1 / 40
_NEVER = 1e6
_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class Wiener:
    """An estimated process, in the quantity itself or in the logarithm of its excess over a base.

    Attributes:
        level: denoised value at ``time``, the last time seen (of the logarithm where ``base`` is given).
        time: last time.
        drift: change per unit of time; drift_error: its standard error.
        diffusion: standard deviation per root of time.
        noise: standard deviation of the measurement about the process.
        level_error: standard error of the level; shared: correlation of the errors of level and drift.
        base: value whose excess grows exponentially; ``None`` for the quantity itself.
        sign: +1 where the excess is above the base, -1 below; 1 without a base.
    """

    level: float
    time: float
    drift: float
    drift_error: float
    diffusion: float
    noise: float
    level_error: float = 0.0
    shared: float = 0.0
    base: float | None = None
    sign: int = 1

    def value(self, level: float) -> float:
        """Return the quantity at a level of the process."""
        return level if self.base is None else self.base + self.sign * float(np.exp(level))

    def until(self, threshold: float) -> FirstPassage:
        """Return the distribution of the time from the last value until the threshold.

        Raises:
            InvalidInputError: an exponential excess never takes this threshold's sign.
        """
        wanted = threshold
        if self.base is not None:
            excess = self.sign * (threshold - self.base)
            if excess <= 0:
                raise InvalidInputError(
                    f"a threshold of {threshold:g} lies on the other side of the base {self.base:g}",
                    fix="give a threshold that the excess grows towards",
                )
            wanted = float(np.log(excess))
        side = 1.0 if wanted > self.level else -1.0
        # Towards the threshold the drift counts as positive, wherever the threshold lies.
        if self.drift * (wanted - self.level) < 0 and self._beyond(wanted):
            side = -side
        distance = side * (wanted - self.level)
        return FirstPassage(
            distance, side * self.drift, self.drift_error, self.diffusion, self.level_error, -self.shared
        )

    def _beyond(self, wanted: float) -> bool:
        """Return whether the level has passed the threshold in the direction of its drift."""
        return abs(self.drift) > 2 * self.drift_error and (self.level - wanted) * self.drift > 0


@dataclass(frozen=True, slots=True)
class FirstPassage:
    """Time until a process with uncertain drift has covered a distance (0 or less: it has already).

    Attributes:
        distance: to the threshold, in the direction of the threshold.
        drift, drift_error: towards it, per unit of time.
        diffusion: per root of time.
        distance_error: standard error of the distance; shared: its correlation with the error of the drift.
    """

    distance: float
    drift: float
    drift_error: float
    diffusion: float
    distance_error: float = 0.0
    shared: float = 0.0

    def probability(self, after: Floats) -> Floats:
        """Return the chance to have reached the threshold after some time, shape of ``after``."""
        after = np.asarray(after, dtype=np.float64)
        if self.distance <= 0:
            return np.ones_like(after)
        drift, distance, weight = self._nodes()
        chance = first_passage(after.reshape(-1, 1), distance, drift, self.diffusion)
        return np.asarray((chance @ weight).reshape(after.shape), dtype=np.float64)

    def _nodes(self) -> tuple[Floats, Floats, Floats]:
        """Return drifts, distances and weights that stand for their joint normal distribution."""
        outer, outer_weights = roots_hermitenorm(_NODES)
        inner, inner_weights = roots_hermitenorm(_INNER_NODES)
        off = self.shared * outer[:, None] + np.sqrt(max(0.0, 1 - self.shared**2)) * inner
        weight = (outer_weights[:, None] * inner_weights).ravel()
        drift = np.repeat(self.drift + self.drift_error * outer, _INNER_NODES)
        return drift, (self.distance + self.distance_error * off).ravel(), weight / weight.sum()

    def quantile(self, share: float) -> float:
        """Return the time by which the threshold is reached with probability ``share``; infinite where it may never."""
        if self.distance <= 0:
            return 0.0
        scale = self.distance / max(abs(self.drift), self.drift_error, _SMALLEST)
        low, high = 0.0, scale
        while self.probability(np.array([high]))[0] < share:
            low, high = high, 2 * high
            if high > _NEVER * scale:
                return float("inf")
        found = brentq(
            lambda after: float(self.probability(np.array([after]))[0]) - share, low, high, xtol=1e-9 * scale
        )
        return float(found)

    def mean(self) -> float:
        """Return the mean time for the estimated drift (distance over drift), infinite where it leads away."""
        if self.distance <= 0:
            return 0.0
        return self.distance / self.drift if self.drift > 0 else float("inf")


def first_passage(after: Floats, distance: Floats | float, drift: Floats | float, diffusion: float) -> Floats:
    """Return the inverse-Gaussian probability to have covered a distance.

    F(t) = Φ((vt - d) / (s√t)) + exp(2vd / s²) Φ(-(vt + d) / (s√t)); valid for drift of either sign.

    Args:
        after: times, not negative.
        distance: d; 0 or less is covered already.
        drift: v, per unit of time.
        diffusion: s, per root of time; 0 for a process without chance.

    Returns:
        the broadcast shape of ``after``, ``distance`` and ``drift``.
    """
    after = np.asarray(after, dtype=np.float64)
    distance, drift = np.asarray(distance, dtype=np.float64), np.asarray(drift, dtype=np.float64)
    if diffusion <= 0:
        return np.asarray(((drift * after >= distance) | (distance <= 0)) * 1.0, dtype=np.float64)
    root = diffusion * np.sqrt(np.maximum(after, _SMALLEST))
    # The product of a huge and a tiny factor is formed in logarithms.
    log_second = 2 * drift * distance / diffusion**2 + log_ndtr(-(drift * after + distance) / root)
    chance = ndtr((drift * after - distance) / root) + np.exp(np.minimum(log_second, 0.0))
    chance = np.where(after > 0, np.clip(chance, 0.0, 1.0), 0.0)
    return np.asarray(np.where(distance > 0, chance, 1.0), dtype=np.float64)


def fit_wiener(time: Floats, value: Floats) -> Wiener:
    """Return the process of a recorded quantity, measured with noise.

    Level and drift come from a Kalman filter started without knowledge of either; the ratio of diffusion to noise is
    the one of greatest likelihood (Harvey 1989, §3.4, §4.2).

    Args:
        time: rising, shape (values,).
        value: shape (values,); NaN is left out.

    Raises:
        InvalidInputError: fewer than ``LEAST`` values, or times that do not rise.
    """
    time, value = _checked(time, value)
    span = float(time[-1] - time[0])
    steps = np.diff(time) / span
    start = value - value[0]
    if not start.any():
        return Wiener(float(value[-1]), float(time[-1]), 0.0, 0.0, 0.0, 0.0)
    best = (-np.inf, 0.0)
    for share in _SHARES:
        best = max(best, (_filter(steps, start, share)[0], float(share)))
    fine = np.clip(best[1] + np.linspace(-1, 1, 9) * _SHARE_STEP, 0.0, 1.0)
    best = max((_filter(steps, start, share)[0], float(share)) for share in fine)
    _, scale, level, drift, level_level, level_drift, drift_drift = _filter(steps, start, best[1])
    return Wiener(
        level=float(level + value[0]),
        time=float(time[-1]),
        drift=drift / span,
        drift_error=float(np.sqrt(scale * drift_drift)) / span,
        diffusion=float(np.sqrt(scale * best[1] * len(steps) / span)),
        noise=float(np.sqrt(scale * (1 - best[1]))),
        level_error=float(np.sqrt(scale * max(level_level, 0.0))),
        shared=float(level_drift / np.sqrt(max(level_level * drift_drift, 1e-300))) if level_level > 0 else 0.0,
    )


@numba.njit(cache=True)
def _filter(steps, value, share):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Return log likelihood, variance scale, last level and drift, and their covariance in units of the scale.

    ``share`` of the variance of a mean step is diffusion, the rest noise. The first two values start the filter.
    """
    noise = 1.0 - share
    diffusion = share * len(steps)
    # Exact start from two values: level at the second, drift their difference over the step.
    drift = (value[1] - value[0]) / steps[0]
    level = value[1]
    a = noise
    b = noise / steps[0]
    c = (2 * noise + diffusion * steps[0]) / steps[0] ** 2
    logs, squares = 0.0, 0.0
    for k in range(1, len(steps)):
        step = steps[k]
        level += drift * step
        a += 2 * b * step + c * step * step + diffusion * step
        b += c * step
        variance = a + noise
        error = value[k + 1] - level
        logs += np.log(variance)
        squares += error * error / variance
        level += a / variance * error
        drift += b / variance * error
        c -= b * b / variance
        b -= a * b / variance
        a -= a * a / variance
    count = len(steps) - 1
    scale = max(squares / max(count, 1), 1e-300)
    return -0.5 * (logs + count * np.log(scale)), scale, level, drift, a, b, c


def fit_exponential(time: Floats, value: Floats, base: float) -> Wiener:
    """Return the process of the logarithm of the excess over a base: growth that speeds up with its size.

    Args:
        time: rising, shape (values,).
        value: shape (values,); values on the other side of the base than most are left out.
        base: level of the healthy quantity.

    Raises:
        InvalidInputError: too few values lie on one side of the base.
    """
    excess = np.asarray(value, dtype=np.float64) - base
    sign = 1 if np.nanmedian(excess) >= 0 else -1
    there = np.isfinite(excess) & (sign * excess > 0)
    found = fit_wiener(np.asarray(time, dtype=np.float64)[there], np.log(sign * excess[there]))
    return replace(found, base=float(base), sign=sign)


def _checked(time: Floats, value: Floats) -> tuple[Floats, Floats]:
    time, value = np.asarray(time, dtype=np.float64), np.asarray(value, dtype=np.float64)
    there = np.isfinite(time) & np.isfinite(value)
    time, value = time[there], value[there]
    if len(time) < LEAST:
        raise InvalidInputError(f"{len(time)} values are too few for a degradation", fix=f"at least {LEAST}")
    if (np.diff(time) <= 0).any():
        at = int(np.flatnonzero(np.diff(time) <= 0)[0]) + 1
        raise InvalidInputError("the times do not rise", where=f"value {at + 1}", fix="sort the values by time")
    return time, value

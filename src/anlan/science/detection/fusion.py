"""Charts over the members' scores: each at several memories, the most unusual one counts.

How unusual a chart is, is read from Student's distribution with as many degrees of freedom as the held-out rows hold
independent stretches of its memory, and told as a normal quantile (Wallace, Ann. Math. Statistics 30, 1959):
so a long memory counts for little after a short training, and fully after a long one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba
import numpy as np

from anlan.science.detection.covariance import take
from anlan.science.detection.protocol import Floats, State
from anlan.science.model_file import Arrays

WEIGHTS = (1.0, 0.3, 0.1, 0.03)
"""Weight of the newest row in each EWMA: memories of about 1, 5, 20 and 65 rows."""
LOWEST, HIGHEST = -3.0, 12.0
"""Bounds of a member's standardised score, so that an alarm ends soon after its cause."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """Fitted charts.

    Attributes:
        mean, spread: of the cube roots of each member's held-out scores, shape (members,): the cube root of a sum of
            squares is nearly normal (Wilson & Hilferty, PNAS 17, 1931).
        unit: a typical score of each member, shape (members,).
        weights: of the EWMAs, shape (scales,).
        chart_mean, chart_spread: of each EWMA over the held-out scores, shape (members, scales).
        freedom: degrees of freedom of that spread: independent stretches of held-out rows less one, same shape.
    """

    mean: Floats
    spread: Floats
    unit: Floats
    weights: Floats
    chart_mean: Floats
    chart_spread: Floats
    freedom: Floats

    @classmethod
    def fit(cls, held_out: Floats, fresh: np.ndarray, weights: tuple[float, ...] = WEIGHTS) -> Fusion:
        """Return charts fitted on held-out scores of the members, shape (rows, members)."""
        roots = np.cbrt(held_out)
        mean, spread = np.nanmean(roots, axis=0), np.maximum(np.nanstd(roots, axis=0), 1e-9)
        size = (held_out.shape[1], len(weights))
        unit = np.maximum(np.abs(np.nanmean(held_out, axis=0)), 1e-9)
        plain = cls(mean, spread, unit, np.array(weights), np.zeros(size), np.ones(size), np.ones(size))
        levels = plain.charts(held_out, fresh)
        independent = independent_rows(levels.reshape(len(levels), -1)).reshape(size)
        # A new level scatters by the spread and by the error of the mean, which few independent stretches leave large.
        wide = levels.std(axis=0) * np.sqrt(1 + 2 / independent)
        return replace(
            plain, chart_mean=levels.mean(axis=0), chart_spread=np.maximum(wide, 1e-9), freedom=independent - 1
        )

    def standard(self, scores: Floats) -> Floats:
        """Return the members' scores as nearly standard normal ones."""
        return np.clip((np.cbrt(scores) - self.mean) / self.spread, LOWEST, HIGHEST)

    def charts(self, scores: Floats, fresh: np.ndarray) -> Floats:
        """Return every EWMA, shape (rows, members, scales)."""
        state = self.start(0)
        out = np.empty((*scores.shape, len(self.weights)))
        _charts(self.standard(scores), fresh, self.weights, state["level"], out)
        return out

    def start(self, variables: int) -> State:
        """Return the state before the first row."""
        members, scales = len(self.mean), len(self.weights)
        return {"level": np.zeros((members, scales)), "blame": np.zeros((members, variables, scales))}

    def update(
        self, state: State, scores: Floats, contribution: Floats, fresh: np.ndarray
    ) -> tuple[State, Floats, Floats]:
        """Return the new state, the fused score and each variable's share of it.

        Args:
            state: from ``start``.
            scores: shape (rows, members), NaN where a member cannot say.
            contribution: shape (rows, members, variables).
            fresh: rows at which earlier rows are void.
        """
        state = {name: array.copy() for name, array in state.items()}
        rows = len(scores)
        fused, share = np.full(rows, np.nan), np.zeros((rows, contribution.shape[2]))
        _fuse(
            self.standard(scores), np.nan_to_num(contribution / self.unit[:, None]), fresh, self.weights,
            self.chart_mean, self.chart_spread, self.freedom, state["level"], state["blame"], fused, share,
        )  # fmt: skip
        return state, fused, share

    def save(self) -> Arrays:
        """Return the numbers as arrays."""
        return {
            "mean": self.mean, "spread": self.spread, "unit": self.unit, "weights": self.weights,
            "chart_mean": self.chart_mean, "chart_spread": self.chart_spread,
            "freedom": self.freedom,
        }  # fmt: skip

    @classmethod
    def load(cls, arrays: Arrays) -> Fusion:
        """Return what ``save`` wrote."""
        names = ("mean", "spread", "unit", "weights", "chart_mean", "chart_spread", "freedom")
        return cls(*(take(arrays, name) for name in names))


def independent_rows(series: Floats) -> Floats:
    """Return how many independent rows each series is worth: rows over the integrated autocorrelation time, at least 3.

    The sum of autocorrelations ends at the first one below 0.05 (initial positive sequence: Geyer, Stat. Science 7,
    1992).

    Args:
        series: shape (rows, series).
    """
    rows = len(series)
    away = np.nan_to_num(series - np.nanmean(series, axis=0))
    power = np.maximum((away**2).sum(axis=0), 1e-12)
    time, going = np.ones(series.shape[1]), np.ones(series.shape[1], np.bool_)
    for lag in range(1, rows // 4):
        correlation = (away[lag:] * away[:-lag]).sum(axis=0) / power
        going &= correlation > 0.05
        if not going.any():
            break
        time += np.where(going, 2 * correlation, 0.0)
    result: Floats = np.maximum(rows / time, 3.0)
    return result


@numba.njit(cache=True)
def _charts(standard, fresh, weights, level, out):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    for row in range(standard.shape[0]):
        if fresh[row]:
            level[:] = 0.0
        for m in range(standard.shape[1]):
            value = standard[row, m]
            for k in range(weights.shape[0]):
                if np.isfinite(value):
                    level[m, k] += weights[k] * (value - level[m, k])
                out[row, m, k] = level[m, k]


@numba.njit(cache=True)
def _student_to_normal(height, freedom):  # type: ignore[no-untyped-def]  # compiled: types follow from the arguments
    if height <= 0.0:
        return height
    correction = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)
    return np.sqrt(freedom * np.log1p(height * height / freedom)) * correction


@numba.njit(cache=True)
def _fuse(  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    standard, contribution, fresh, weights, chart_mean, chart_spread, freedom, level, blame, fused, share
):
    members, scales, variables = standard.shape[1], weights.shape[0], contribution.shape[2]
    for row in range(standard.shape[0]):
        if fresh[row]:
            level[:] = 0.0
            blame[:] = 0.0
        best, who, scale = -np.inf, -1, 0
        for m in range(members):
            value = standard[row, m]
            if not np.isfinite(value):
                continue
            for k in range(scales):
                level[m, k] += weights[k] * (value - level[m, k])
                height = (level[m, k] - chart_mean[m, k]) / chart_spread[m, k]
                height = _student_to_normal(height, freedom[m, k])
                if height > best:
                    best, who, scale = height, m, k
                for j in range(variables):
                    blame[m, j, k] += weights[k] * (contribution[row, m, j] - blame[m, j, k])
        if who < 0:
            continue
        fused[row] = best
        parts = np.maximum(blame[who, :, scale], 0.0)
        total = parts.sum()
        if total > 0.0:
            share[row] = parts / total

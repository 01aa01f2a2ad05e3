"""Charts over the members' scores: each at several memories, the most unusual one counts."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    mean: Floats
    spread: Floats
    unit: Floats
    weights: Floats
    chart_mean: Floats
    chart_spread: Floats

    @classmethod
    def fit(cls, held_out: Floats, fresh: np.ndarray, weights: tuple[float, ...] = WEIGHTS) -> Fusion:
        """Return charts fitted on held-out scores of the members, shape (rows, members)."""
        roots = np.cbrt(held_out)
        mean, spread = np.nanmean(roots, axis=0), np.maximum(np.nanstd(roots, axis=0), 1e-9)
        size = (held_out.shape[1], len(weights))
        plain = cls(mean, spread, np.nanmean(held_out, axis=0), np.array(weights), np.zeros(size), np.ones(size))
        levels = plain.charts(held_out, fresh)
        return cls(mean, spread, plain.unit, plain.weights, levels.mean(axis=0), np.maximum(levels.std(axis=0), 1e-9))

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
            self.chart_mean, self.chart_spread, state["level"], state["blame"], fused, share,
        )  # fmt: skip
        return state, fused, share

    def save(self) -> Arrays:
        """Return the numbers as arrays."""
        return {
            "mean": self.mean, "spread": self.spread, "unit": self.unit, "weights": self.weights,
            "chart_mean": self.chart_mean, "chart_spread": self.chart_spread,
        }  # fmt: skip

    @classmethod
    def load(cls, arrays: Arrays) -> Fusion:
        """Return what ``save`` wrote."""
        names = ("mean", "spread", "unit", "weights", "chart_mean", "chart_spread")
        return cls(*(take(arrays, name) for name in names))


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
def _fuse(  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    standard, contribution, fresh, weights, chart_mean, chart_spread, level, blame, fused, share
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
                if height > best:
                    best, who, scale = height, m, k
                for j in range(variables):
                    blame[m, j, k] += weights[k] * (contribution[row, m, j] - blame[m, j, k])
        if who < 0:
            continue
        fused[row] = best
        total = 0.0
        for j in range(variables):
            total += max(blame[who, j, scale], 0.0)
        if total > 0.0:
            for j in range(variables):
                share[row, j] = max(blame[who, j, scale], 0.0) / total

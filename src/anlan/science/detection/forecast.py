"""Members that forecast: ridge vector autoregression, its residuals and what is charted on them; CVA.

Sources: Hoerl & Kennard, Technometrics 12 (1970) for ridge; Larimore, Proc. American Control Conference (1983) and
Odiowei & Cao, IEEE Trans. Industrial Informatics 6 (2010) for canonical variates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from anlan.science.detection.covariance import BLOCKS, Gaussian, blocks_of, fit_gaussian, take
from anlan.science.detection.kernels import cusum, ewma
from anlan.science.detection.linear import (
    complete_rows,
    lead_with_nan,
    need_rows,
    quadratic_scores,
    stack_lags,
    with_memory,
)
from anlan.science.detection.protocol import Floats, Notes, Scores, State
from anlan.science.model_file import Arrays

Bools = NDArray[np.bool_]

RIDGES = np.array([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
"""Candidates for the ridge penalty, as shares of the number of rows."""


@dataclass(frozen=True, slots=True)
class Autoregression:
    """Each variable forecast from the last rows of all variables, penalty chosen by held-out blocks.

    Attributes:
        weights: shape (variables * order, variables).
        mean: shape (variables,).
        scale: spread of the held-out residuals, shape (variables,).
        penalty: which of ``RIDGES`` each variable takes, shape (variables,).
    """

    weights: Floats
    mean: Floats
    scale: Floats
    penalty: NDArray[np.int64]

    @property
    def order(self) -> int:
        """Rows that it looks back."""
        return len(self.weights) // len(self.mean)

    @classmethod
    def fit(cls, train: Floats, order: int, before: Autoregression | None) -> tuple[Autoregression, Floats]:
        """Return the model and its residuals of rows that it had not seen, in units of their spread.

        Args:
            train: shape (rows, variables), NaN between runs.
            order: rows to look back.
            before: an earlier fit whose penalties are kept.
        """
        mean = np.nanmean(train, axis=0)
        rows = complete_rows(stack_lags(train - mean, tuple(range(order + 1))))
        target, past = rows[:, : train.shape[1]], rows[:, train.shape[1] :]
        held = np.zeros((len(RIDGES), *target.shape))
        for start, end in blocks_of(len(rows), BLOCKS):
            keep = np.ones(len(rows), np.bool_)
            keep[start:end] = False
            held[:, start:end] = target[start:end] - past[start:end] @ _ridge(past[keep], target[keep], RIDGES)
        best = np.argmin((held**2).mean(axis=1), axis=0) if before is None else before.penalty
        weights = _ridge(past, target, RIDGES)
        columns = np.arange(target.shape[1])
        residual = held[best, :, columns].T
        scale = np.maximum(residual.std(axis=0), 1e-9)
        return cls(np.ascontiguousarray(weights[best, :, columns].T), mean, scale, best), residual / scale

    def residuals(self, joined: Floats) -> Floats:
        """Return the residuals, in units of their spread, of the rows from ``order`` on."""
        stacked = stack_lags(joined - self.mean, tuple(range(self.order + 1)))
        width = len(self.mean)
        return (stacked[:, :width] - stacked[:, width:] @ self.weights) / self.scale

    def save(self) -> Arrays:
        """Return the fitted numbers."""
        return {"ar.weights": self.weights, "ar.mean": self.mean, "ar.scale": self.scale, "ar.penalty": self.penalty}

    @classmethod
    def load(cls, arrays: Arrays) -> Autoregression:
        """Return what ``save`` wrote."""
        penalty = take(arrays, "ar.penalty").astype(np.int64)
        return cls(take(arrays, "ar.weights"), take(arrays, "ar.mean"), take(arrays, "ar.scale"), penalty)


def only_observed(residual: Floats, observed: Bools | None, lacking: int) -> Floats:
    """Return the residuals with NaN where the reading itself was missing and a stand-in was used."""
    return residual if observed is None else np.where(observed[lacking:], residual, np.nan)


def _ridge(past: Floats, target: Floats, penalties: Floats) -> Floats:
    """Return ridge weights for each penalty, shape (penalties, inputs, outputs)."""
    values, vectors = np.linalg.eigh(past.T @ past)
    projected = vectors.T @ (past.T @ target)
    return np.array([vectors @ (projected / (values + share * len(past))[:, None]) for share in penalties])


@dataclass(frozen=True, slots=True)
class ForecastResidual:
    """T² of the residuals of a ridge autoregression: what the last rows do not lead to expect."""

    kind: ClassVar[str] = "forecast"
    order: int = 2
    model: Autoregression | None = None
    gaussian: Gaussian | None = None

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return it fitted; see ``Detector``."""
        need_rows(train, 30 + self.order, "forecasts")
        model, residual = Autoregression.fit(train, self.order, self.model)
        return replace(self, model=model, gaussian=fit_gaussian(residual, self.gaussian))

    def start(self) -> State:
        """Return the state before the first row."""
        assert self.model is not None
        return {"memory": np.zeros((0, len(self.model.mean)))}

    def update(self, state: State, values: Floats) -> tuple[State, Scores]:
        """Return the new state and T² of the residuals."""
        assert self.model is not None
        assert self.gaussian is not None
        state, joined, lacking = with_memory(state, values, self.order)
        residual = self.model.residuals(joined) - self.gaussian.mean
        whitening = self.gaussian.whitening
        said = quadratic_scores(residual, whitening, (whitening**2).sum(axis=0), values.shape[1])
        return state, lead_with_nan(said, lacking)

    def save(self) -> Arrays:
        """Return the fitted numbers."""
        assert self.model is not None
        assert self.gaussian is not None
        return self.model.save() | self.gaussian.save("gaussian.")

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return what ``save`` wrote."""
        model = Autoregression.load(arrays)
        return cls(model.order, model, Gaussian.load(arrays, "gaussian."))


@dataclass(frozen=True, slots=True)
class ResidualChart:
    """Largest chart over variables of EWMAs of the residuals: one sensor or loop that shifts, whatever the others do.

    The score is the largest squared standardised EWMA over variables and weights; contributions are the squares of each
    variable, scaled to sum to it.
    """

    kind: ClassVar[str] = "residual_chart"
    wants_observed: ClassVar[bool] = True
    order: int = 2
    weights: tuple[float, ...] = (0.3, 0.1, 0.03)
    model: Autoregression | None = None
    spread: Floats | None = None

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return it fitted; see ``Detector``."""
        need_rows(train, 30 + self.order, "charts of residuals")
        model, residual = Autoregression.fit(train, self.order, self.model)
        smooth, _ = ewma(residual, np.array(self.weights), np.zeros((train.shape[1], len(self.weights))))
        # Residuals that are white have spread w / (2 - w); what they really have counts where it is more.
        white = np.sqrt(np.array(self.weights) / (2 - np.array(self.weights)))
        return replace(self, model=model, spread=np.maximum(smooth.std(axis=0), white))

    def start(self) -> State:
        """Return the state before the first row."""
        assert self.model is not None
        size = len(self.model.mean)
        return {"memory": np.zeros((0, size)), "level": np.zeros((size, len(self.weights)))}

    def update(self, state: State, values: Floats, observed: Bools | None = None) -> tuple[State, Scores]:
        """Return the new state and the largest chart; a variable that was filled in leaves its charts as they are."""
        assert self.model is not None
        assert self.spread is not None
        memory, joined, lacking = with_memory({"memory": state["memory"]}, values, self.order)
        residual = only_observed(self.model.residuals(joined), observed, lacking)
        smooth, level = ewma(residual, np.array(self.weights), state["level"])
        squares = ((smooth / self.spread) ** 2).max(axis=2)
        score = squares.max(axis=1, initial=0.0)
        score[~np.isfinite(residual).any(axis=1)] = np.nan
        total = squares.sum(axis=1)
        said = Scores(score, squares * (score / np.where(total > 0, total, 1.0))[:, None])
        return memory | {"level": level}, lead_with_nan(said, lacking)

    def save(self) -> Arrays:
        """Return the fitted numbers."""
        assert self.model is not None
        assert self.spread is not None
        return self.model.save() | {"spread": self.spread, "weights": np.array(self.weights)}

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return what ``save`` wrote."""
        model = Autoregression.load(arrays)
        weights = tuple(float(weight) for weight in take(arrays, "weights"))
        return cls(model.order, weights, model, take(arrays, "spread"))


@dataclass(frozen=True, slots=True)
class ResidualCusum:
    """Two-sided CUSUMs of each variable's residual at several allowances; the largest counts.

    The score is the largest squared ratio of a sum to its largest value in training, over variables and allowances;
    contributions are each variable's largest squared ratio, scaled to sum to it.
    """

    kind: ClassVar[str] = "cusum"
    wants_observed: ClassVar[bool] = True
    order: int = 2
    allowances: tuple[float, ...] = (0.125, 0.25, 0.5)
    model: Autoregression | None = None
    reach: Floats | None = None

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return it fitted; see ``Detector``."""
        need_rows(train, 30 + self.order, "CUSUMs of residuals")
        model, residual = Autoregression.fit(train, self.order, self.model)
        sums, _ = self._sums(residual, np.zeros((2 * train.shape[1], len(self.allowances))))
        return replace(self, model=model, reach=np.maximum(sums.max(axis=0), 1.0))

    def _sums(self, residual: Floats, before: Floats) -> tuple[Floats, Floats]:
        return cusum(np.hstack((residual, -residual)), np.array(self.allowances), before)

    def start(self) -> State:
        """Return the state before the first row."""
        assert self.model is not None
        size = len(self.model.mean)
        return {"memory": np.zeros((0, size)), "sums": np.zeros((2 * size, len(self.allowances)))}

    def update(self, state: State, values: Floats, observed: Bools | None = None) -> tuple[State, Scores]:
        """Return the new state and the largest sum; a variable that was filled in leaves its sums as they are."""
        assert self.model is not None
        assert self.reach is not None
        memory, joined, lacking = with_memory({"memory": state["memory"]}, values, self.order)
        residual = only_observed(self.model.residuals(joined), observed, lacking)
        sums, after = self._sums(residual, state["sums"])
        ratios = ((sums / self.reach) ** 2).max(axis=2)
        squares = np.maximum(ratios[:, : values.shape[1]], ratios[:, values.shape[1] :])
        score = squares.max(axis=1, initial=0.0)
        score[~np.isfinite(residual).any(axis=1)] = np.nan
        total = squares.sum(axis=1)
        said = Scores(score, squares * (score / np.where(total > 0, total, 1.0))[:, None])
        return memory | {"sums": after}, lead_with_nan(said, lacking)

    def save(self) -> Arrays:
        """Return the fitted numbers."""
        assert self.model is not None
        assert self.reach is not None
        return self.model.save() | {"reach": self.reach, "allowances": np.array(self.allowances)}

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return what ``save`` wrote."""
        model = Autoregression.load(arrays)
        allowances = tuple(float(one) for one in take(arrays, "allowances"))
        return cls(model.order, allowances, model, take(arrays, "reach"))


@dataclass(frozen=True, slots=True)
class VarianceRatio:
    """EWMAs of the squared residuals against their usual value: a variable that trembles, hunts or falls still.

    The score is the sum over variables of the squared, standardised log ratio; contributions are its terms.
    """

    kind: ClassVar[str] = "variance"
    wants_observed: ClassVar[bool] = True
    order: int = 2
    weight: float = 0.05
    model: Autoregression | None = None
    mean: Floats | None = None
    spread: Floats | None = None

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return it fitted; see ``Detector``."""
        need_rows(train, int(3 / self.weight) + self.order, "variance ratios")
        model, residual = Autoregression.fit(train, self.order, self.model)
        logs, _ = self._logs(residual, np.ones((train.shape[1], 1)))
        logs = logs[int(1 / self.weight) :]
        return replace(self, model=model, mean=logs.mean(axis=0), spread=np.maximum(logs.std(axis=0), 0.05))

    def _logs(self, residual: Floats, level: Floats) -> tuple[Floats, Floats]:
        # A residual counts up to 4 spreads: one wild reading is no change of variance.
        smooth, level = ewma(np.minimum(residual**2, 16.0), np.array([self.weight]), level)
        return np.log(np.maximum(smooth[:, :, 0], 1e-3)), level

    def start(self) -> State:
        """Return the state before the first row."""
        assert self.model is not None
        size = len(self.model.mean)
        return {"memory": np.zeros((0, size)), "level": np.ones((size, 1))}

    def update(self, state: State, values: Floats, observed: Bools | None = None) -> tuple[State, Scores]:
        """Return the new state and the sum of squared log ratios; filled-in variables leave theirs as they are."""
        assert self.model is not None
        assert self.mean is not None
        assert self.spread is not None
        memory, joined, lacking = with_memory({"memory": state["memory"]}, values, self.order)
        residual = only_observed(self.model.residuals(joined), observed, lacking)
        logs, level = self._logs(residual, state["level"])
        terms = ((logs - self.mean) / self.spread) ** 2
        score = terms.sum(axis=1)
        score[~np.isfinite(residual).any(axis=1)] = np.nan
        return memory | {"level": level}, lead_with_nan(Scores(score, terms), lacking)

    def save(self) -> Arrays:
        """Return the fitted numbers."""
        assert self.model is not None
        assert self.mean is not None
        assert self.spread is not None
        numbers = {"mean": self.mean, "spread": self.spread, "weight": np.array([self.weight])}
        return self.model.save() | numbers

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return what ``save`` wrote."""
        model = Autoregression.load(arrays)
        weight = float(take(arrays, "weight")[0])
        return cls(model.order, weight, model, take(arrays, "mean"), take(arrays, "spread"))


@dataclass(frozen=True, slots=True)
class CvaResidual:
    """Canonical variates between past and future: T² of the part of the past that says nothing of the future.

    Attributes:
        order: rows of past and of future.
        states: canonical variates kept as the state; those with a correlation above 0.5 where 0.
    """

    kind: ClassVar[str] = "cva"
    order: int = 2
    states: int = 0
    gaussian: Gaussian | None = None
    whitening: Floats | None = None
    future: Gaussian | None = None

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return it fitted; see ``Detector``."""
        need_rows(train, 30 + 2 * self.order, "canonical variates")
        rows = complete_rows(stack_lags(train, tuple(range(2 * self.order))))
        width = train.shape[1] * self.order
        future, past = fit_gaussian(rows[:, :width], self.future), fit_gaussian(rows[:, width:], self.gaussian)
        white_future = (rows[:, :width] - future.mean) @ future.whitening.T
        white_past = (rows[:, width:] - past.mean) @ past.whitening.T
        _, correlation, across = np.linalg.svd(white_future.T @ white_past / len(rows))
        states = self.states or max(int((correlation > 0.5).sum()), 1)
        rest = across[states:] if states < width else across[-1:]
        return replace(
            self, states=states, future=future, gaussian=past, whitening=np.ascontiguousarray(rest @ past.whitening)
        )

    def start(self) -> State:
        """Return the state before the first row."""
        assert self.gaussian is not None
        return {"memory": np.zeros((0, len(self.gaussian.mean) // self.order))}

    def update(self, state: State, values: Floats) -> tuple[State, Scores]:
        """Return the new state and the residual T²."""
        assert self.gaussian is not None
        assert self.whitening is not None
        state, joined, lacking = with_memory(state, values, self.order - 1)
        stacked = stack_lags(joined, tuple(range(self.order))) - self.gaussian.mean
        diagonal = np.maximum((self.whitening**2).sum(axis=0), 1e-12)
        return state, lead_with_nan(quadratic_scores(stacked, self.whitening, diagonal, values.shape[1]), lacking)

    def save(self) -> Arrays:
        """Return the fitted numbers."""
        assert self.gaussian is not None
        assert self.whitening is not None
        numbers = np.array([self.order, self.states], np.int64)
        return {"numbers": numbers, "whitening": self.whitening} | self.gaussian.save("gaussian.")

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return what ``save`` wrote."""
        order, states = (int(number) for number in take(arrays, "numbers"))
        return cls(order, states, Gaussian.load(arrays, "gaussian."), take(arrays, "whitening"))

"""Linear members: lagged full-rank T², PCA T²/SPE, CVA residual and forecasting residuals, all with shrunk covariance.

Sources: Hotelling (1931); Ku, Storer & Georgakis, Chemometrics and Intelligent Laboratory Systems 30 (1995) for lags;
Jackson & Mudholkar, Technometrics 21 (1979) for SPE; Odiowei & Cao, IEEE Trans. Ind. Informatics 6 (2010) for CVA;
Alcala & Qin, Automatica 45 (2009) for reconstruction-based contributions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from anlan.core.errors import InvalidInputError
from anlan.science.detection.covariance import Gaussian, fit_gaussian, take
from anlan.science.detection.kernels import ewma
from anlan.science.detection.protocol import Floats, Notes, Scores, State
from anlan.science.model_file import Arrays


def stack_lags(rows: Floats, lags: tuple[int, ...]) -> Floats:
    """Return the rows from ``max(lags)`` on, each beside the earlier rows that ``lags`` names.

    Args:
        rows: shape (n, variables).
        lags: such as (0, 1, 2); 0 is the row itself.

    Returns:
        Shape (n - max(lags), variables * len(lags)); the variables of the first lag come first.
    """
    depth = max(lags)
    if len(rows) <= depth:
        return np.zeros((0, rows.shape[1] * len(lags)))
    return np.ascontiguousarray(np.hstack([rows[depth - lag : len(rows) - lag] for lag in lags]))


def with_memory(state: State, values: Floats, depth: int) -> tuple[State, Floats, int]:
    """Return the state after ``values``, the rows behind them put before, and how many rows still lack ``depth`` rows.

    Args:
        state: has ``memory``, the last rows, at most ``depth`` of them.
        values: new rows, complete.
        depth: rows of memory wanted.
    """
    joined = np.concatenate((state["memory"], values))
    lacking = min(max(depth - len(state["memory"]), 0), len(values))
    return {"memory": joined[max(len(joined) - depth, 0) :].copy()}, joined, lacking


def lead_with_nan(part: Scores, lacking: int) -> Scores:
    """Return the scores with ``lacking`` rows before them that say nothing."""
    if lacking == 0:
        return part
    width = part.contribution.shape[1]
    return Scores(
        np.concatenate((np.full(lacking, np.nan), part.score)),
        np.concatenate((np.full((lacking, width), np.nan), part.contribution)),
    )


def quadratic_scores(centered: Floats, whitening: Floats, diagonal: Floats, variables: int) -> Scores:
    """Return T² and its reconstruction-based contributions, scaled so that each row sums to T².

    Args:
        centered: rows minus the mean, shape (rows, variables * lags).
        whitening: W with T² = |W x|².
        diagonal: of WᵀW.
        variables: variables of one lag.
    """
    white = centered @ whitening.T
    score = np.einsum("ij,ij->i", white, white)
    pull = white @ whitening
    raw = (pull * pull / diagonal).reshape(len(centered), len(diagonal) // variables, variables).sum(axis=1)
    total = raw.sum(axis=1)
    return Scores(score, raw * (score / np.where(total > 0, total, 1.0))[:, None])


def complete_rows(rows: Floats) -> Floats:
    """Return the rows without NaN: rows of NaN stand between runs."""
    return rows[np.isfinite(rows).all(axis=1)]


def need_rows(train: Floats, least: int, what: str) -> None:
    """Raise unless there are ``least`` training rows for ``what``."""
    if len(train) < least:
        raise InvalidInputError(f"{len(train)} training rows are too few for {what}", fix=f"give at least {least}")


@dataclass(frozen=True, slots=True)
class LaggedT2:
    """Full-rank T² of a row and the rows before it; (0,) is the plain T²."""

    kind: ClassVar[str] = "lagged_t2"
    lags: tuple[int, ...] = (0, 1, 2)
    gaussian: Gaussian | None = None
    whitening: Floats | None = None
    diagonal: Floats | None = None

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return it fitted; see ``Detector``."""
        need_rows(train, 20 + max(self.lags), "T²")
        return self._with(fit_gaussian(complete_rows(stack_lags(train, self.lags)), self.gaussian))

    def _with(self, gaussian: Gaussian) -> Self:
        whitening = gaussian.whitening
        return replace(self, gaussian=gaussian, whitening=whitening, diagonal=(whitening**2).sum(axis=0))

    def start(self) -> State:
        """Return the state before the first row."""
        assert self.gaussian is not None
        return {"memory": np.zeros((0, len(self.gaussian.mean) // len(self.lags)))}

    def update(self, state: State, values: Floats) -> tuple[State, Scores]:
        """Return the new state and T² with its contributions."""
        assert self.gaussian is not None
        assert self.whitening is not None
        assert self.diagonal is not None
        state, joined, lacking = with_memory(state, values, max(self.lags))
        stacked = stack_lags(joined, self.lags) - self.gaussian.mean
        return state, lead_with_nan(quadratic_scores(stacked, self.whitening, self.diagonal, values.shape[1]), lacking)

    def save(self) -> Arrays:
        """Return the fitted numbers."""
        assert self.gaussian is not None
        return {"lags": np.array(self.lags, np.int64)} | self.gaussian.save("gaussian.")

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return what ``save`` wrote."""
        lags = tuple(int(lag) for lag in take(arrays, "lags"))
        return cls(lags)._with(Gaussian.load(arrays, "gaussian."))


@dataclass(frozen=True, slots=True)
class SmoothedT2:
    """Full-rank T² of exponentially weighted rows (MEWMA: Lowry et al., Technometrics 34, 1992): small lasting shifts.

    The covariance is that of the weighted training rows themselves, so that autocorrelation is in it.
    """

    kind: ClassVar[str] = "smoothed_t2"
    weight: float = 0.1
    gaussian: Gaussian | None = None
    whitening: Floats | None = None
    diagonal: Floats | None = None

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return it fitted; see ``Detector``."""
        need_rows(train, int(4 / self.weight), "T² of weighted means")
        smooth, _ = ewma(train, np.array([self.weight]), np.zeros((train.shape[1], 1)))
        lead = int(1 / self.weight)
        rows = smooth[lead:, :, 0][np.isfinite(train[lead:]).all(axis=1)]
        return self._with(fit_gaussian(np.ascontiguousarray(rows), self.gaussian))

    def _with(self, gaussian: Gaussian) -> Self:
        whitening = gaussian.whitening
        return replace(self, gaussian=gaussian, whitening=whitening, diagonal=(whitening**2).sum(axis=0))

    def start(self) -> State:
        """Return the state before the first row."""
        assert self.gaussian is not None
        return {"level": np.zeros((len(self.gaussian.mean), 1)), "rows": np.zeros(1, np.int64)}

    def update(self, state: State, values: Floats) -> tuple[State, Scores]:
        """Return the new state and T² with its contributions; NaN until the memory is filled."""
        assert self.gaussian is not None
        assert self.whitening is not None
        assert self.diagonal is not None
        smooth, level = ewma(values, np.array([self.weight]), state["level"])
        said = quadratic_scores(smooth[:, :, 0] - self.gaussian.mean, self.whitening, self.diagonal, values.shape[1])
        count = state["rows"][0] + 1 + np.arange(len(values))
        said.score[(count < 1 / self.weight) | ~np.isfinite(values).all(axis=1)] = np.nan
        return {"level": level, "rows": state["rows"] + len(values)}, said

    def save(self) -> Arrays:
        """Return the fitted numbers."""
        assert self.gaussian is not None
        return {"weight": np.array([self.weight])} | self.gaussian.save("gaussian.")

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return what ``save`` wrote."""
        return cls(float(take(arrays, "weight")[0]))._with(Gaussian.load(arrays, "gaussian."))


@dataclass(frozen=True, slots=True)
class Pca:
    """Principal components that hold ``share`` of the variance: T² within them and SPE beside them, each by its mean.

    The score is T²/components + SPE/mean SPE; contributions are the squares of the part of each variable.
    """

    kind: ClassVar[str] = "pca"
    share: float = 0.9
    mean: Floats | None = None
    loadings: Floats | None = None
    variances: Floats | None = None
    rest: float = 1.0

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return it fitted; see ``Detector``."""
        rows = complete_rows(train)
        need_rows(rows, 20, "principal components")
        mean = rows.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov((rows - mean).T).reshape(rows.shape[1], rows.shape[1]))
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        count = int(np.searchsorted(np.cumsum(values) / max(values.sum(), 1e-12), self.share) + 1)
        count = min(count, len(values))
        rest = max(float(values[count:].sum()), 1e-6 * float(values.sum()))
        return replace(
            self, mean=mean, loadings=np.ascontiguousarray(vectors[:, :count]), variances=values[:count], rest=rest
        )

    def start(self) -> State:
        """Return the state before the first row: it has none."""
        return {}

    def update(self, state: State, values: Floats) -> tuple[State, Scores]:
        """Return the scores; a row by itself."""
        t2, spe, parts = self.statistics(values)
        score = t2 / self._count + spe / self.rest
        total = parts.sum(axis=1)
        return state, Scores(score, parts * (score / np.where(total > 0, total, 1.0))[:, None])

    @property
    def _count(self) -> int:
        assert self.variances is not None
        return len(self.variances)

    def statistics(self, values: Floats) -> tuple[Floats, Floats, Floats]:
        """Return T², SPE and each variable's part of both (not scaled)."""
        assert self.mean is not None
        assert self.loadings is not None
        assert self.variances is not None
        away = values - self.mean
        scores = away @ self.loadings
        residual = away - scores @ self.loadings.T
        spread = (scores / self.variances) @ self.loadings.T
        parts = np.abs(spread * away) / self._count + residual**2 / self.rest
        return (scores**2 / self.variances).sum(axis=1), (residual**2).sum(axis=1), parts

    def save(self) -> Arrays:
        """Return the fitted numbers."""
        assert self.mean is not None
        assert self.loadings is not None
        assert self.variances is not None
        numbers = np.array([self.share, self.rest])
        return {"mean": self.mean, "loadings": self.loadings, "variances": self.variances, "numbers": numbers}

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return what ``save`` wrote."""
        share, rest = (float(x) for x in take(arrays, "numbers"))
        return cls(share, take(arrays, "mean"), take(arrays, "loadings"), take(arrays, "variances"), rest)

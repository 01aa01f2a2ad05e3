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
    raw = (pull * pull / diagonal).reshape(len(centered), -1, variables).sum(axis=1)
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
        return self._with(fit_gaussian(complete_rows(stack_lags(train, self.lags))))

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

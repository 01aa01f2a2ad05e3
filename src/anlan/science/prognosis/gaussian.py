"""Gaussian-process regression with one length scale a feature, kept as inducing rows and weights.

Length scales come from the marginal likelihood of a sample of the rows (Rasmussen & Williams 2006, §5.4), with a pull
to a common scale; the weights from all rows by the subset of regressors (§8.3.1). The process is about a ridge
regression's line (§2.7), and features are held to the range of the training data, so that a unit that wears like none
before is judged by the line and not by the mean of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import scipy.linalg
import scipy.optimize
import threadpoolctl

from anlan.core.errors import DecodeError
from anlan.science.detection.protocol import Floats
from anlan.science.model_file import Arrays

_PULL = 5.0
_LINE_RIDGE = 0.1
_JITTER = 1e-6


@dataclass(frozen=True, slots=True)
class Effort:
    """How many rows the length scales, the inducing rows and the weights come from, and how many steps of search."""

    sample: int = 800
    inducing: int = 1_000
    rows: int = 7_000
    iterations: int = 20


USUAL = Effort()


@dataclass(frozen=True, slots=True)
class Process:
    """A fitted process.

    Attributes:
        mean, scale: of the features, shape (features,); scale holds the length scale too.
        lowest, highest: range of the reduced features in training, shape (features,).
        inducing: reduced rows, shape (rows, features).
        weights: of each, shape (rows,).
        line: slope in each reduced feature, shape (features,).
        offset: what is added.
    """

    mean: Floats
    scale: Floats
    lowest: Floats
    highest: Floats
    inducing: Floats
    weights: Floats
    line: Floats
    offset: float

    def predict(self, rows: Floats) -> Floats:
        """Return the mean of the process at each row, shape (rows,)."""
        reduced = self.reduce(rows)
        return np.asarray(self.offset + reduced @ self.line + _sum(reduced, self.inducing, self.weights), np.float64)

    def reduce(self, rows: Floats) -> Floats:
        """Return rows in units of the length scales, held to the range of the training data, shape of ``rows``."""
        return np.ascontiguousarray(np.clip((rows - self.mean) / self.scale, self.lowest, self.highest))

    def save(self) -> Arrays:
        """Return the process as plain arrays."""
        names = ("mean", "scale", "lowest", "highest", "inducing", "weights", "line")
        return {name: getattr(self, name) for name in names} | {"offset": np.array([self.offset])}

    @classmethod
    def load(cls, arrays: Arrays) -> Process:
        """Return the process that ``save`` wrote.

        Raises:
            DecodeError: an array is missing or they do not fit together.
        """
        names = ("mean", "scale", "lowest", "highest")
        try:
            rows = [arrays[name] for name in names]
            offset = float(arrays["offset"][0])
            mean, scale, lowest, highest = rows
            made = cls(mean, scale, lowest, highest, arrays["inducing"], arrays["weights"], arrays["line"], offset)
        except (KeyError, IndexError) as error:
            raise DecodeError(f"the process lacks {error}", fix="use the original model file") from None
        if any(row.shape != rows[0].shape for row in (*rows, made.line)) or made.inducing.shape != (
            len(made.weights),
            len(rows[0]),
        ):
            raise DecodeError("the arrays of the process do not fit together", fix="use the original model file")
        return made


def fit_process(rows: Floats, target: Floats, weight: Floats, seed: int, effort: Effort) -> Process:
    """Return a process fitted to rows.

    Args:
        rows: features, shape (rows, features).
        target, weight: shape (rows,).
        seed: chooses the rows of the sample and the inducing rows.
        effort: how many of them.
    """
    generator = np.random.default_rng(seed)
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-12
    offset, size = float(np.average(target, weights=weight)), float(target.std()) + 1e-12
    reduced, wanted = (rows - mean) / spread, (target - offset) / size
    ridge = _LINE_RIDGE * len(rows) * np.eye(rows.shape[1])
    line = np.linalg.solve(reduced.T @ reduced + ridge, reduced.T @ wanted)
    wanted = wanted - reduced @ line
    share = weight / weight.sum()
    sample = generator.choice(len(rows), min(effort.sample, len(rows)), replace=False, p=share)
    lengths, amplitude, noise = _hyperparameters(reduced[sample], wanted[sample], effort.iterations)
    reduced = reduced / lengths
    inducing = np.ascontiguousarray(
        reduced[generator.choice(len(rows), min(effort.inducing, len(rows)), replace=False, p=share)]
    )
    used = generator.choice(len(rows), min(effort.rows, len(rows)), replace=False, p=share)
    among = _kernel(inducing, inducing)
    among[np.diag_indices_from(among)] += _JITTER
    across = _kernel(inducing, reduced[used])
    weights = scipy.linalg.solve(
        (noise / amplitude) ** 2 * among + across @ across.T, across @ wanted[used], assume_a="pos"
    )
    return Process(
        mean, spread * lengths, reduced.min(axis=0), reduced.max(axis=0), inducing, size * weights,
        size * line * lengths, offset,
    )  # fmt: skip


def _kernel(a: Floats, b: Floats) -> Floats:
    squared = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.asarray(np.exp(-0.5 * np.maximum(squared, 0.0)), dtype=np.float64)


def _hyperparameters(rows: Floats, target: Floats, iterations: int) -> tuple[Floats, float, float]:
    """Return length scales, amplitude and noise of greatest marginal likelihood."""
    count = rows.shape[1]
    start = np.concatenate([np.full(count, 0.5 * np.log(count) + 0.3), [0.0, np.log(0.25)]])
    bounds = [(np.log(0.3), np.log(100.0))] * count + [(-2.0, 3.0), (np.log(0.02), 1.0)]
    # On small matrices threads wait for each other more than they help, the more so on a busy machine.
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        found = scipy.optimize.minimize(
            _likelihood, start, args=(rows, target, start[:count]), jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": iterations},
        )  # fmt: skip
    best = found.x
    return np.exp(best[:count]), float(np.exp(best[count])), float(np.exp(best[count + 1]))


def _likelihood(log: Floats, rows: Floats, target: Floats, pull_to: Floats) -> tuple[float, Floats]:
    """Return the negative log marginal likelihood, with the pull on the length scales, and its gradient."""
    count = rows.shape[1]
    scaled = rows * np.exp(-log[:count])
    signal = np.exp(2 * log[count]) * _kernel(scaled, scaled)
    noise = float(np.exp(2 * log[count + 1]))
    covariance = signal.copy()
    covariance[np.diag_indices_from(covariance)] += noise
    lower = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
    inverse = scipy.linalg.cho_solve((lower, True), np.eye(len(rows)), check_finite=False)
    alpha = inverse @ target
    off = log[:count] - pull_to
    value = 0.5 * float(target @ alpha) + float(np.log(np.diag(lower)).sum()) + 0.5 * _PULL * float(off @ off)
    outer = np.outer(alpha, alpha) - inverse
    weighted = outer * signal
    lengths = -(weighted.sum(axis=1) @ (scaled * scaled) - (scaled * (weighted @ scaled)).sum(axis=0)) + _PULL * off
    return value, np.concatenate([lengths, [-weighted.sum(), -noise * np.trace(outer)]])


@numba.njit(cache=True)
def _sum(rows, inducing, weights):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    out = np.empty(len(rows))
    for i in range(len(rows)):
        total = 0.0
        for k in range(len(inducing)):
            squared = 0.0
            for j in range(rows.shape[1]):
                squared += (rows[i, j] - inducing[k, j]) ** 2
            total += weights[k] * np.exp(-0.5 * squared)
        out[i] = total
    return out

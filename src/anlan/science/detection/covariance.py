"""Covariance of many variables from few, correlated rows: shrunk to the diagonal as far as held-out blocks want."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Floats
from anlan.science.model_file import Arrays

SHRINKAGES = np.array([0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.65, 0.9])
"""Candidates for the share of the diagonal; never 0, so that exactly related variables do no harm."""

BLOCKS = 5

WANDER = 16.0
"""The covariance of the means of ``BLOCKS`` blocks of training rows is added this many times: levels that moved within
the training data will move on, and four standard deviations of that movement are no evidence. Where nothing moves, the
means hardly differ and nothing is lost."""


def blocks_of(rows: int, count: int) -> list[tuple[int, int]]:
    """Return ``count`` contiguous blocks of ``rows`` rows as (start, end)."""
    edges = np.linspace(0, rows, count + 1).astype(int)
    return [(int(a), int(b)) for a, b in itertools.pairwise(edges) if b > a]


@dataclass(frozen=True, slots=True)
class Gaussian:
    """A fitted normal distribution as a whitening map.

    Attributes:
        mean, scale: shape (variables,).
        vectors: eigenvectors of the correlation, shape (variables, variables).
        values: shrunk eigenvalues, shape (variables,).
        shrinkage: share of the diagonal.
        block: rows over which means were taken to see how far levels move.
    """

    mean: Floats
    scale: Floats
    vectors: Floats
    values: Floats
    shrinkage: float
    block: int

    @property
    def whitening(self) -> Floats:
        """Matrix W with T² = |W (x - mean)|², shape (variables, variables)."""
        return np.ascontiguousarray((self.vectors / np.sqrt(self.values)).T / self.scale)

    def save(self, prefix: str) -> Arrays:
        """Return the numbers as arrays whose names start with ``prefix``."""
        return {
            f"{prefix}mean": self.mean,
            f"{prefix}scale": self.scale,
            f"{prefix}vectors": self.vectors,
            f"{prefix}values": self.values,
            f"{prefix}shrinkage": np.array([self.shrinkage, self.block]),
        }

    @classmethod
    def load(cls, arrays: Arrays, prefix: str) -> Gaussian:
        """Return what ``save`` wrote.

        Raises:
            DecodeError: an array is missing or of the wrong shape.
        """
        parts = [take(arrays, f"{prefix}{name}") for name in ("mean", "scale", "vectors", "values", "shrinkage")]
        size = len(parts[0])
        if parts[1].shape != (size,) or parts[2].shape != (size, size) or parts[3].shape != (size,):
            raise DecodeError(f"the arrays {prefix}* do not fit each other", where="model file", fix="fit it again")
        return cls(parts[0], parts[1], parts[2], parts[3], float(parts[4][0]), int(parts[4][1]))


def take(arrays: Arrays, name: str) -> Floats:
    """Return the float array ``name`` of a model file.

    Raises:
        DecodeError: it is not there.
    """
    if name not in arrays:
        raise DecodeError(f"the model has no array {name}", where="model file", fix="fit it again")
    return np.ascontiguousarray(arrays[name], dtype=np.float64)


def fit_gaussian(rows: Floats, before: Gaussian | None = None) -> Gaussian:
    """Return the normal distribution of ``rows``, its shrinkage chosen by the likelihood of held-out blocks.

    Blocks, not rows, are held out: neighbouring rows of a process are alike, and a row whose neighbours are known is
    no test (Bergmeir & Benitez, Information Sciences 191, 2012).

    Args:
        rows: complete rows in time order, shape (rows, variables).
        before: an earlier fit, on more rows, whose shrinkage and length of blocks are kept, so that the two compare.

    Raises:
        InvalidInputError: fewer than 10 rows.
    """
    if len(rows) < 2 * BLOCKS:
        raise InvalidInputError(f"{len(rows)} complete rows carry no covariance", fix=f"at least {2 * BLOCKS}")
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    standard = (rows - mean) / scale
    shrinkage = before.shrinkage if before else _choose_shrinkage(standard)
    block = before.block if before else max(len(rows) // BLOCKS, 1)
    count = max(len(rows) // block, 2)
    means = np.array([standard[start:end].mean(axis=0) for start, end in blocks_of(len(rows), count)])
    values, vectors = np.linalg.eigh(standard.T @ standard / len(rows))
    values = (1 - shrinkage) * np.maximum(values, 0) + shrinkage
    wide = (vectors * values) @ vectors.T + WANDER * np.atleast_2d(np.cov(means.T))
    values, vectors = np.linalg.eigh(wide)
    return Gaussian(mean, scale, vectors, np.maximum(values, 1e-9), shrinkage, block)


def _choose_shrinkage(standard: Floats) -> float:
    loss = np.zeros(len(SHRINKAGES))
    for start, end in blocks_of(len(standard), BLOCKS):
        loss += _held_out_loss(np.concatenate((standard[:start], standard[end:])), standard[start:end])
    return float(SHRINKAGES[int(np.argmin(loss))])


def _held_out_loss(kept: Floats, held: Floats) -> Floats:
    """Return minus twice the Gaussian log likelihood of ``held`` per candidate shrinkage, up to a constant."""
    centre = kept.mean(axis=0)
    values, vectors = np.linalg.eigh((kept - centre).T @ (kept - centre) / len(kept))
    power = ((held - centre) @ vectors) ** 2
    shrunk = (1 - SHRINKAGES[:, None]) * np.maximum(values, 0)[None, :] + SHRINKAGES[:, None]
    result: Floats = (power.sum(axis=0)[None, :] / shrunk).sum(axis=1) + len(held) * np.log(shrunk).sum(axis=1)
    return result

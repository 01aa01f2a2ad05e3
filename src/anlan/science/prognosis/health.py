"""Health index of a unit: 1 as new, 0 at the end of its life.

A quadratic of the denoised signals is fitted to the share of life left (held at 1 while more than a cap is left) over
units that ran to failure. Over time the index only falls, as far as its noise allows: each value is the lowest of a
slow mean so far and what a fast mean allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from anlan.core.errors import DecodeError
from anlan.science.detection.protocol import Floats
from anlan.science.model_file import Arrays
from anlan.science.prognosis.features import Ints
from anlan.science.prognosis.normalise import moving_mean

_SMOOTH = 10
_RIDGE = 1e-3
_SQUEEZE = 3.0
_REBOUND = 0.15


@dataclass(frozen=True, slots=True)
class HealthIndex:
    """A fitted index.

    Attributes:
        centre, scale: of the signals, shape (signals,).
        weights: of the constant, the signals and their products, shape (1 + s + s(s+1)/2,).
        smooth: rows of the moving mean.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    smooth: int

    def raw(self, signals: Floats, starts: Ints) -> Floats:
        """Return the index of each row before it is made to fall, within 0 and 1, shape (rows,)."""
        reduced = _squeezed(moving_mean(signals, starts, self.smooth), self.centre, self.scale)
        return np.clip(_terms(reduced) @ self.weights, 0.0, 1.0)

    def of(self, signals: Floats, starts: Ints) -> Floats:
        """Return the index of each row, within 0 and 1: it falls with age, and rises only by a lasting improvement.

        Args:
            signals: denoised signals, shape (rows, signals).
            starts: first row of each unit and the number of rows, shape (units + 1,).
        """
        slow = moving_mean(self.raw(signals, starts)[:, None], starts, self.smooth)[:, 0]
        out = np.empty_like(slow)
        for first, end in pairwise(starts):
            part = slow[first:end]
            lowest = np.minimum.accumulate(part)
            out[first:end] = np.where(part > lowest + _REBOUND, part, lowest)
        return out

    def save(self) -> Arrays:
        """Return the index as plain arrays."""
        return {
            "centre": self.centre, "scale": self.scale, "weights": self.weights, "smooth": np.array([self.smooth])
        }  # fmt: skip

    @classmethod
    def load(cls, arrays: Arrays) -> HealthIndex:
        """Return the index that ``save`` wrote.

        Raises:
            DecodeError: an array is missing or they do not fit together.
        """
        try:
            made = cls(arrays["centre"], arrays["scale"], arrays["weights"], int(arrays["smooth"][0]))
        except (KeyError, IndexError) as error:
            raise DecodeError(f"the health index lacks {error}", fix="use the original model file") from None
        count = len(made.centre)
        if len(made.scale) != count or len(made.weights) != 1 + count + count * (count + 1) // 2:
            raise DecodeError("the arrays of the health index do not fit together", fix="use the original model file")
        return made


def fit_health(signals: Floats, starts: Ints, remaining: Floats, cap: float, stretch: float = 1.0) -> HealthIndex:
    """Return the index of units that ran to failure.

    Args:
        signals: denoised signals, shape (rows, signals).
        starts: first row of each unit and the number of rows, shape (units + 1,).
        remaining: life left at each row, shape (rows,).
        cap: life left above which a unit counts as new.
        stretch: multiplies the moving mean's length.
    """
    smooth = max(2, round(_SMOOTH * stretch))
    means = moving_mean(signals, starts, smooth)
    centre = means.mean(axis=0)
    scale = np.asarray(means.std(axis=0) + 1e-12, dtype=np.float64)
    terms = _terms(_squeezed(means, centre, scale))
    wanted = np.minimum(remaining / cap, 1.0)
    ridge = _RIDGE * len(terms) * np.eye(terms.shape[1])
    ridge[0, 0] = 0.0
    weights = np.asarray(np.linalg.solve(terms.T @ terms + ridge, terms.T @ wanted), dtype=np.float64)
    return HealthIndex(centre, scale, weights, smooth)


def _squeezed(means: Floats, centre: Floats, scale: Floats) -> Floats:
    # Beyond three spreads the quadratic would turn upwards again.
    return np.asarray(_SQUEEZE * np.tanh((means - centre) / scale / _SQUEEZE), dtype=np.float64)


def _terms(reduced: Floats) -> Floats:
    count = reduced.shape[1]
    products = [reduced[:, a] * reduced[:, b] for a in range(count) for b in range(a, count)]
    return np.column_stack([np.ones(len(reduced)), reduced, *products])

"""Prediction intervals from out-of-fold errors: conformal, by stage of health (Mondrian), units counted as groups.

The errors come from predictions of units that a model had not seen. They are sorted into stages by the prediction
itself (Mondrian conformal prediction, Vovk et al. 2005); each stage takes the range between the quantiles of its errors
that leaves the same share out at either end. A row weighs by the inverse root of how many rows its unit has in the
stage: between counting rows, which lets long stays rule, and counting units, which lets a passing visit rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import DecodeError
from anlan.science.detection.protocol import Floats
from anlan.science.model_file import Arrays

Ints = NDArray[np.int64]

STAGES = 10
_LEAST_UNITS = 8


@dataclass(frozen=True, slots=True)
class Intervals:
    """Ranges of the error by stage.

    Attributes:
        edges: predictions that part the stages, rising, shape (stages - 1,).
        below, above: what is added to the prediction for the ends of the interval, shape (stages,).
    """

    edges: Floats
    below: Floats
    above: Floats

    def apply(self, predicted: Floats, most: float) -> tuple[Floats, Floats]:
        """Return low and high of each prediction, within 0 and ``most``."""
        stage = np.searchsorted(self.edges, predicted, side="right")
        low = np.clip(predicted + self.below[stage], 0.0, most)
        high = np.clip(predicted + self.above[stage], 0.0, most)
        return np.minimum(low, predicted), np.maximum(high, predicted)

    def save(self) -> Arrays:
        """Return the ranges as plain arrays."""
        return {"edges": self.edges, "below": self.below, "above": self.above}

    @classmethod
    def load(cls, arrays: Arrays) -> Intervals:
        """Return the ranges that ``save`` wrote.

        Raises:
            DecodeError: an array is missing or they do not fit together.
        """
        try:
            ranges = cls(arrays["edges"], arrays["below"], arrays["above"])
        except KeyError as error:
            raise DecodeError(f"the intervals lack {error}", fix="use the original model file") from None
        if not len(ranges.edges) + 1 == len(ranges.below) == len(ranges.above):
            raise DecodeError("the arrays of the intervals do not fit together", fix="use the original model file")
        return ranges


def calibrate(predicted: Floats, truth: Floats, unit: Ints, share: float = 0.9, stages: int = STAGES) -> Intervals:
    """Return intervals that hold ``share`` of the truths.

    Args:
        predicted: out-of-fold predictions, shape (rows,).
        truth: shape (rows,).
        unit: number of the unit of each row, shape (rows,).
        share: share of truths to hold.
        stages: most stages; fewer where units are few.
    """
    stages = max(1, min(stages, len(np.unique(unit)) // _LEAST_UNITS))
    edges = np.unique(np.quantile(predicted, np.arange(1, stages) / stages))
    # An edge at either end, as where many predictions are capped, would leave a stage empty.
    edges = edges[(edges > predicted.min()) & (edges <= predicted.max())]
    stage = np.searchsorted(edges, predicted, side="right")
    below, above = np.empty(len(edges) + 1), np.empty(len(edges) + 1)
    for number in range(len(edges) + 1):
        mine = stage == number
        below[number], above[number] = _middle(truth[mine] - predicted[mine], unit[mine], share)
    return Intervals(edges, below, above)


def _middle(error: Floats, unit: Ints, share: float) -> tuple[float, float]:
    """Return the range that leaves the same weight of errors out at either end."""
    order = np.argsort(error, kind="stable")
    error = error[order]
    _, group, sizes = np.unique(unit[order], return_inverse=True, return_counts=True)
    total = np.cumsum(1.0 / np.sqrt(sizes[group]))
    total /= total[-1]
    last = len(error) - 1
    below = int(np.searchsorted(total, (1 - share) / 2))
    above = int(np.searchsorted(total, (1 + share) / 2))
    return float(error[min(below, last)]), float(error[min(above, last)])

"""From scores to false-alarm rates: blocked cross-fitting, p-values, the threshold for the rate the user chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anlan.science.detection.covariance import take
from anlan.science.detection.protocol import Floats
from anlan.science.model_file import Arrays

TAIL = 0.9
"""Quantile of the held-out scores above which the p-value follows a fitted exponential tail (Pickands, Annals of
Statistics 3, 1975, with shape 0), since few rows lie there."""


@dataclass(frozen=True, slots=True)
class PValues:
    """Map from a score to the share of normal rows with a score as large.

    Attributes:
        reference: sorted scores of training rows by models that had not seen them.
        knee: score from which the tail is exponential.
        decay: mean excess over the knee.
    """

    reference: Floats
    knee: float
    decay: float

    @classmethod
    def fit(cls, held_out: Floats) -> PValues:
        """Return the map of held-out scores; NaN is left out."""
        reference = np.sort(held_out[np.isfinite(held_out)])
        knee = float(np.quantile(reference, TAIL))
        excess = reference[reference > knee] - knee
        return cls(reference, knee, max(float(excess.mean()) if len(excess) else 0.0, 1e-9))

    def __call__(self, score: Floats) -> Floats:
        """Return p-values, between 1 / (rows + 1) or the tail's value and 1; NaN stays NaN."""
        count = len(self.reference)
        above = count - np.searchsorted(self.reference, score, side="left")
        body = (1.0 + above) / (count + 1.0)
        tail = (1.0 - TAIL) * np.exp(-(np.maximum(score, self.knee) - self.knee) / self.decay)
        p = np.where(score > self.knee, np.minimum(tail, 1.0), np.maximum(body, 1.0 - TAIL))
        return np.where(np.isfinite(score), np.maximum(p, 1e-300), np.nan)

    def threshold(self, share: float) -> float:
        """Return the score whose p-value is ``share``."""
        if share < 1.0 - TAIL:
            return self.knee + self.decay * float(np.log((1.0 - TAIL) / share))
        return float(np.quantile(self.reference, 1.0 - share))

    def save(self, prefix: str) -> Arrays:
        """Return the numbers as arrays."""
        return {f"{prefix}reference": self.reference, f"{prefix}tail": np.array([self.knee, self.decay])}

    @classmethod
    def load(cls, arrays: Arrays, prefix: str) -> PValues:
        """Return what ``save`` wrote."""
        tail = take(arrays, f"{prefix}tail")
        return cls(take(arrays, f"{prefix}reference"), float(tail[0]), float(tail[1]))

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
        runs: separate runs of rows above the knee: what the decay was learnt from. The tail is the exponential one
            averaged over what the decay may be after so few (predictive distribution, flat prior on its logarithm).
    """

    reference: Floats
    knee: float
    decay: float
    runs: float

    @classmethod
    def fit(cls, held_out: Floats) -> PValues:
        """Return the map of held-out scores in time order; NaN is left out."""
        there = held_out[np.isfinite(held_out)]
        reference = np.sort(there)
        knee = float(np.quantile(reference, TAIL))
        excess = reference[reference > knee] - knee
        runs = int(np.count_nonzero(np.diff((there > knee).astype(np.int8)) == 1)) + int(there[0] > knee)
        decay = max(float(excess.mean()) if len(excess) else 0.0, 1e-9)
        return cls(reference, knee, decay, float(max(runs, 1)))

    def __call__(self, score: Floats) -> Floats:
        """Return p-values, between the tail's value and 1; NaN stays NaN."""
        count = len(self.reference)
        above = count - np.searchsorted(self.reference, score, side="left")
        body = (1.0 + above) / (count + 1.0)
        excess = np.maximum(score, self.knee) - self.knee
        tail = (1.0 - TAIL) * (1.0 + excess / (self.decay * self.runs)) ** -self.runs
        p = np.where(score > self.knee, tail, np.maximum(body, 1.0 - TAIL))
        return np.where(np.isfinite(score), np.maximum(p, 1e-300), np.nan)

    def threshold(self, share: float) -> float:
        """Return the score whose p-value is ``share``."""
        if share < 1.0 - TAIL:
            factor = ((1.0 - TAIL) / share) ** (1.0 / self.runs)
            return float(self.knee + self.decay * self.runs * (factor - 1.0))
        return float(np.quantile(self.reference, 1.0 - share))

    def save(self, prefix: str) -> Arrays:
        """Return the numbers as arrays."""
        return {f"{prefix}reference": self.reference, f"{prefix}tail": np.array([self.knee, self.decay, self.runs])}

    @classmethod
    def load(cls, arrays: Arrays, prefix: str) -> PValues:
        """Return what ``save`` wrote."""
        tail = take(arrays, f"{prefix}tail")
        return cls(take(arrays, f"{prefix}reference"), float(tail[0]), float(tail[1]), float(tail[2]))

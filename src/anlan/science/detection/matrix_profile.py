"""Matrix profile of a series against its training: how far each window is from its nearest neighbour there.

Yeh et al., Matrix Profile I, ICDM 2016 (AB-join); the sliding dot products go on from row to row as in STOMP (Zhu et
al., ICDM 2016). Batch and stream are the same kernel; ``stumpy`` computes the same numbers and is the yardstick in the
tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numba
import numpy as np

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Floats, Notes, Scores, State
from anlan.science.model_file import Arrays

_REFERENCE_VALUES = 50_000
_REFRESH_ROWS = 512
"""Rows after which the running dot products are computed anew: rounding must not pile up over years of streaming."""


@dataclass(frozen=True, slots=True)
class MatrixProfile:
    """Distance of the last ``window`` rows to the nearest window of the training series.

    For one variable the score is the distance itself; for several the root of the mean of the squared distances of each
    by itself, shared out in proportion to them. The first ``window`` - 1 rows, and windows with a gap, have no score of
    that variable.

    Attributes:
        window: rows of a window, at least 4.
        normalise: compare shapes (each window less its mean, by its standard deviation); else compare values, where a
            shift of level is seen too.
        reference: training series, shape (rows, variables), NaN is missing.
    """

    kind: ClassVar[str] = "matrix_profile"

    window: int = 48
    normalise: bool = True
    reference: Floats | None = None

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return the detector with the training series as reference, shape (rows, variables).

        Raises:
            InvalidInputError: fewer than 4 windows of rows, or a variable without a window free of gaps.
        """
        if self.window < 4:
            raise InvalidInputError(f"a window of {self.window} rows has no shape", fix="4 rows or more")
        if len(train) < 4 * self.window:
            raise InvalidInputError(
                f"{len(train)} training rows are too few for windows of {self.window}",
                fix=f"give at least {4 * self.window} rows, or a shorter window",
            )
        most = max(_REFERENCE_VALUES // train.shape[1], 4 * self.window)
        if len(train) > most:
            notes.add(f"matrix profile: only the last {most} training rows are the reference")
        reference = np.where(np.isfinite(train), train, np.nan)[-most:].astype(np.float64)
        for number, column in enumerate(reference.T):
            if not np.isfinite(_statistics(column, self.window)[1]).any():
                raise InvalidInputError(
                    f"variable {number + 1} has no {self.window} training rows in a row without a gap",
                    fix="a shorter window, or training data with fewer gaps",
                )
        return type(self)(self.window, self.normalise, reference)

    def _fitted(self) -> Floats:
        if self.reference is None:
            raise InvalidInputError("the matrix profile is not fitted yet", fix="call fit first")
        return self.reference

    def start(self) -> State:
        """Return the state before the first row."""
        rows, variables = self._fitted().shape
        return {
            "dots": np.zeros((variables, rows - self.window + 1)),
            "recent": np.full((variables, self.window), np.nan),
            "count": np.zeros(1, np.int64),
        }

    def update(self, state: State, values: Floats) -> tuple[State, Scores]:
        """Return the new state and the scores of the next rows."""
        reference = self._fitted()
        if values.shape[1] != reference.shape[1]:
            raise InvalidInputError(
                f"{values.shape[1]} variables instead of {reference.shape[1]}", fix="the trained variables"
            )
        state = {name: array.copy() for name, array in state.items()}
        squared = np.full(values.shape, np.nan)
        before = int(state["count"][0])
        for number, column in enumerate(reference.T):
            series = np.ascontiguousarray(column)
            # About the mean the dot products lose the fewest digits.
            middle = float(np.nanmean(series))
            known = np.nan_to_num(series - middle, nan=0.0)
            mean, deviation, flat = _statistics(series - middle, self.window)
            _join(
                np.ascontiguousarray(values[:, number]) - middle, known, mean, deviation, flat, self.window,
                self.normalise, before, state["dots"][number], state["recent"][number], squared[:, number],
            )  # fmt: skip
        state["count"][0] = before + len(values)
        seen = np.isfinite(squared)
        share = np.where(seen, squared, 0.0)
        count = seen.sum(axis=1)
        total = share.sum(axis=1)
        score = np.sqrt(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))
        weight = np.divide(
            share, total[:, None], out=np.full_like(share, 1.0 / share.shape[1]), where=total[:, None] > 0
        )
        return state, Scores(score, np.where(np.isnan(score)[:, None], np.nan, weight * np.nan_to_num(score)[:, None]))

    def save(self) -> Arrays:
        """Return the reference and settings as plain arrays."""
        return {"settings": np.array([self.window, self.normalise], np.int64), "reference": self._fitted()}

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return the detector that ``save`` wrote.

        Raises:
            DecodeError: an array is missing or of the wrong shape.
        """
        if "settings" not in arrays or "reference" not in arrays or arrays["settings"].shape != (2,):
            raise DecodeError("the matrix profile lacks its numbers", fix="use the original model file")
        window, normalise = (int(number) for number in arrays["settings"])
        reference = arrays["reference"]
        if reference.ndim != 2 or window < 4 or len(reference) < window:
            raise DecodeError("the reference of the matrix profile is too short", fix="use the original model file")
        return cls(window, bool(normalise), reference.astype(np.float64))


@numba.njit(cache=True)
def _statistics(series, window):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Return mean, standard deviation (NaN with a gap) and flatness of each window."""
    count = series.shape[0] - window + 1
    mean, deviation, flat = np.empty(count), np.empty(count), np.zeros(count, np.bool_)
    for start in range(count):
        mean[start], deviation[start], flat[start] = _moments(series[start : start + window])
    return mean, deviation, flat


@numba.njit(cache=True)
def _moments(part):  # type: ignore[no-untyped-def]  # compiled, as above
    total, least, most = 0.0, part[0], part[0]
    for value in part:
        total += value
        least, most = min(least, value), max(most, value)
    mean = total / len(part)
    squares = 0.0
    for value in part:
        squares += (value - mean) ** 2
    return mean, np.sqrt(squares / len(part)), least == most


@numba.njit(cache=True)
def _nearest(dots, mean, deviation, flat, window, normalise, own_mean, own_deviation, own_flat):  # type: ignore[no-untyped-def]  # compiled, as above
    best = np.inf
    for j in range(dots.shape[0]):
        if not np.isfinite(deviation[j]):
            continue
        covariance = dots[j] / window - mean[j] * own_mean
        if not normalise:
            spread = deviation[j] ** 2 + own_deviation**2 + (mean[j] - own_mean) ** 2
            squared = window * (spread - 2.0 * covariance)
        elif own_flat or flat[j]:
            squared = 0.0 if own_flat and flat[j] else float(window)
        else:
            squared = 2.0 * window * (1.0 - covariance / (deviation[j] * own_deviation))
        best = min(best, squared)
    return max(best, 0.0)


@numba.njit(cache=True)
def _join(values, known, mean, deviation, flat, window, normalise, before, dots, recent, squared):  # type: ignore[no-untyped-def]  # compiled, as above
    count = dots.shape[0]
    for i in range(values.shape[0]):
        gone = recent[0] if np.isfinite(recent[0]) else 0.0
        recent[:-1] = recent[1:]
        recent[-1] = values[i] if np.isfinite(values[i]) else np.nan
        come = recent[-1] if np.isfinite(recent[-1]) else 0.0
        anew = (before + i) % _REFRESH_ROWS == 0
        for j in range(count - 1, 0, -1):
            if not anew:
                dots[j] = dots[j - 1] - gone * known[j - 1] + come * known[j + window - 1]
        for j in range(count if anew else 1):
            total = 0.0
            for k in range(window):
                if np.isfinite(recent[k]):
                    total += recent[k] * known[j + k]
            dots[j] = total
        own_mean, own_deviation, own_flat = _moments(recent)
        if np.isfinite(own_deviation):
            squared[i] = _nearest(dots, mean, deviation, flat, window, normalise, own_mean, own_deviation, own_flat)

"""Slow drift of level and spread taken out of readings, bounded in rate and in total so that it cannot hide a fault.

It stands before the ensemble: raw rows in, adapted rows out, in the same units, as if the plant still ran where it was
trained. A variable's level follows it only while the variable looks normal and the caller's p-value says so, never
faster than ``rate`` a row and never further than ``reach`` from training; how far it has moved is told
(``Recalibration.moved``) and is itself a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numba
import numpy as np

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Floats, Notes, State
from anlan.science.model_file import Arrays

_LEAST_ROWS = 30
_SETTINGS = ("rate", "reach", "spread_reach", "freeze_p", "freeze_z", "hold")


@dataclass(frozen=True, slots=True)
class Recalibration:
    """Drift-aware recalibration of each variable by itself.

    Attributes:
        rate: most a level may move in a row, in training standard deviations; it takes 10 × rate of its distance.
        reach: most a level may move in all, in training standard deviations.
        spread_reach: most the spread may grow or shrink in all, as a factor.
        freeze_p: p-values below this freeze every variable.
        freeze_z: a variable this many spreads away from its level is frozen by itself.
        hold: rows for which a freeze lasts on.
        center, scale: median and robust spread of each variable in the training data, shape (variables,).
    """

    rate: float = 0.002
    reach: float = 1.5
    spread_reach: float = 1.5
    freeze_p: float = 0.01
    freeze_z: float = 4.0
    hold: int = 30
    center: Floats | None = None
    scale: Floats | None = None

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return the recalibration fitted on normal data, shape (rows, variables), NaN is missing.

        Raises:
            InvalidInputError: fewer than 30 rows, or a setting out of its range.
        """
        if len(train) < _LEAST_ROWS:
            raise InvalidInputError(
                f"{len(train)} training rows are too few to know a level", fix=f"at least {_LEAST_ROWS}"
            )
        if not (0 <= self.rate <= 0.1 and self.reach >= 0 and self.spread_reach >= 1):
            raise InvalidInputError(
                f"rate {self.rate}, reach {self.reach}, spread_reach {self.spread_reach} is no bounded drift",
                fix="rate from 0 to 0.1, reach 0 or more, spread_reach 1 or more",
            )
        center = np.zeros(train.shape[1])
        scale = np.zeros(train.shape[1])
        for number, column in enumerate(train.T):
            there = column[np.isfinite(column)]
            if len(there):
                center[number] = np.median(there)
                scale[number] = 1.4826 * np.median(np.abs(there - center[number])) or there.std()
        if (scale == 0).any():
            notes.add(f"{int((scale == 0).sum())} constant variables are not recalibrated")
        return type(self)(
            self.rate, self.reach, self.spread_reach, self.freeze_p, self.freeze_z, self.hold, center, scale
        )

    def _fitted(self) -> tuple[Floats, Floats]:
        if self.center is None or self.scale is None:
            raise InvalidInputError("the recalibration is not fitted yet", fix="call fit first")
        return self.center, self.scale

    def start(self) -> State:
        """Return the state before the first row: nothing has moved."""
        count = len(self._fitted()[0])
        return {"level": np.zeros(count), "spread": np.zeros(count), "frozen": np.zeros(count, np.int64)}

    def update(self, state: State, values: Floats, p_values: Floats | None = None) -> tuple[State, Floats]:
        """Return the state after the next rows and the rows as they would read without the drift.

        Args:
            state: from ``start`` or the last ``update``.
            values: raw rows, shape (rows, variables), NaN is missing.
            p_values: what the ensemble said, one a row, shape (rows,); NaN or ``None`` leaves only the variables' own
                guard. A row's p-value decides how the *next* row is read; a caller whose p-values come later passes
                those of as many rows ago, the same in batch and in stream.
        """
        center, scale = self._fitted()
        if values.ndim != 2 or values.shape[1] != len(center):
            raise InvalidInputError(f"{values.shape} values for {len(center)} variables", fix="the trained variables")
        p = np.full(len(values), np.nan) if p_values is None else np.asarray(p_values, dtype=np.float64)
        if p.shape != (len(values),):
            raise InvalidInputError(f"{p.shape} p-values for {len(values)} rows", fix="one p-value a row")
        level, spread, frozen = (state[name].copy() for name in ("level", "spread", "frozen"))
        adapted = np.empty(values.shape)
        _adapt(
            np.ascontiguousarray(values, dtype=np.float64), p, center, scale, self.rate, self.reach,
            float(np.log(self.spread_reach)), self.freeze_p, self.freeze_z, self.hold, level, spread, frozen, adapted,
        )  # fmt: skip
        return {"level": level, "spread": spread, "frozen": frozen}, adapted

    def moved(self, state: State) -> tuple[Floats, Floats]:
        """Return how far each level has moved (training standard deviations, signed) and each spread (as a factor)."""
        return state["level"].copy(), np.exp(state["spread"])

    def exhausted(self, state: State) -> list[int]:
        """Return the variables whose drift has used up its bound: from here on it counts as a deviation."""
        used = np.abs(state["level"]) >= self.reach * (1 - 1e-9)
        return [int(number) for number in np.flatnonzero(used & (self._fitted()[1] > 0) & (self.reach > 0))]

    def save(self) -> Arrays:
        """Return the fitted numbers and settings as plain arrays."""
        center, scale = self._fitted()
        return {
            "settings": np.array([float(getattr(self, name)) for name in _SETTINGS]), "center": center, "scale": scale
        }  # fmt: skip

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return what ``save`` wrote.

        Raises:
            DecodeError: an array is missing or of the wrong shape.
        """
        try:
            settings, center, scale = arrays["settings"], arrays["center"], arrays["scale"]
            rate, reach, spread_reach, freeze_p, freeze_z, hold = (float(number) for number in settings)
        except (KeyError, ValueError, TypeError):
            raise DecodeError("the recalibration lacks numbers", fix="use the original model file") from None
        if center.ndim != 1 or center.shape != scale.shape:
            raise DecodeError("the arrays of the recalibration do not fit together", fix="use the original model file")
        return cls(rate, reach, spread_reach, freeze_p, freeze_z, int(hold), center, scale)


@numba.njit(cache=True)
def _adapt(  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    values, p, center, scale, rate, reach, spread_reach, freeze_p, freeze_z, hold, level, spread, frozen, adapted
):
    # What would be one standard deviation of an absolute deviation, for a normal variable: mean |z| is sqrt(2/pi).
    mean_absolute = np.sqrt(2.0 / np.pi)
    for i in range(values.shape[0]):
        doubtful = p[i] < freeze_p
        for j in range(values.shape[1]):
            value = values[i, j]
            if not np.isfinite(value):
                adapted[i, j] = np.nan
                continue
            if scale[j] == 0.0:
                adapted[i, j] = value
                continue
            away = (value - center[j]) / scale[j] - level[j]
            standard = away / np.exp(spread[j])
            adapted[i, j] = center[j] + scale[j] * standard
            if doubtful or abs(standard) > freeze_z:
                frozen[j] = hold
                continue
            if frozen[j] > 0:
                frozen[j] -= 1
                continue
            step = min(max(10.0 * rate * away, -rate), rate)
            level[j] = min(max(level[j] + step, -reach), reach)
            wider = abs(standard) / mean_absolute - 1.0
            step = min(max(rate * wider, -rate), rate)
            spread[j] = min(max(spread[j] + step, -spread_reach), spread_reach)

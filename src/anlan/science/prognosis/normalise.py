"""From raw sensors to a few denoised signals: operating regimes, normalisation in each, and the directions that change.

Sensors are reduced in each operating regime by its own mean and spread. What drifts over a life, measured against what
merely flickers from cycle to cycle, is found by a generalised eigenproblem: signals are the directions of greatest
variance of the smoothed sensors in units of the variance of their differences (maximum autocorrelation factors, Switzer
& Green 1984).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
import scipy.linalg

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Floats, Notes
from anlan.science.detection.regimes import Regimes, fit_regimes
from anlan.science.model_file import Arrays
from anlan.science.prognosis.features import Ints
from anlan.science.prognosis.runs import Runs

_ALIKE = 1.0
_CONSTANT = 1e-6
_FAR = 8.0
_TELLING = 4.0
_SIGNALS = 6
_SIGNAL_VARIANCE = 0.5
_SMOOTH = 20
_FEW_RUNS = 15


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Fitted normalisation.

    Attributes:
        regimes: from the settings; ``None`` without settings.
        group: regime of the normalisation for each regime of the settings, shape (regimes,): those whose sensors look
            alike share one.
        chosen: positions of the sensors used.
        mean, inverse: of each group and used sensor, shape (groups, used); inverse of the spread, 0
            where it is constant.
        directions: from normalised sensors to signals in units of their noise, shape (used, signals).
    """

    regimes: Regimes | None
    group: Ints
    chosen: Ints
    mean: Floats
    inverse: Floats
    directions: Floats

    def groups_of(self, settings: Floats) -> Ints:
        """Return the group of each row, -1 where all settings are missing, shape (rows,)."""
        if self.regimes is None:
            return np.zeros(len(settings), dtype=np.int64)
        label = self.regimes.assign(settings)
        return np.where(label >= 0, self.group[np.maximum(label, 0)], -1)

    def normalised(self, runs: Runs) -> tuple[Floats, int]:
        """Return the used sensors normalised, gaps filled with the last value of the unit, and how many were filled."""
        group = self.groups_of(runs.settings)
        at = np.maximum(group, 0)
        values = (runs.sensors[:, self.chosen] - self.mean[at]) * self.inverse[at]
        values[group < 0] = np.nan
        values = np.clip(values, -_FAR, _FAR)
        gaps = int(np.isnan(values).sum())
        if gaps:
            _fill(values, np.asarray(runs.starts))
        return values, gaps

    def save(self) -> Arrays:
        """Return the normalisation as plain arrays."""
        mine = {
            "group": self.group, "chosen": self.chosen, "mean": self.mean, "inverse": self.inverse,
            "directions": self.directions,
        }  # fmt: skip
        regimes = self.regimes.save() if self.regimes is not None else {}
        return mine | {f"regimes.{name}": array for name, array in regimes.items()}

    @classmethod
    def load(cls, arrays: Arrays) -> Normaliser:
        """Return the normalisation that ``save`` wrote.

        Raises:
            DecodeError: an array is missing or they do not fit together.
        """
        kept = {name.removeprefix("regimes."): array for name, array in arrays.items() if name.startswith("regimes.")}
        regimes = Regimes.load(kept) if kept else None
        try:
            group, chosen, mean = arrays["group"], arrays["chosen"], arrays["mean"]
            made = cls(regimes, group, chosen, mean, arrays["inverse"], arrays["directions"])
        except KeyError as error:
            raise DecodeError(f"the normalisation lacks {error}", fix="use the original model file") from None
        used, count = len(chosen), len(regimes) if regimes is not None else 1
        sound = len(group) == count and mean.shape == made.inverse.shape == (int(group.max()) + 1, used)
        if not sound or made.directions.ndim != 2 or len(made.directions) != used or not made.directions.shape[1]:
            raise DecodeError("the arrays of the normalisation do not fit together", fix="use the original model file")
        return made


def fit_normaliser(runs: Runs, notes: Notes, regimes: Regimes | None = None) -> Normaliser:
    """Return the normalisation of run-to-failure data.

    Args:
        runs: training units.
        notes: takes the sensors left out and the regimes found.
        regimes: of the settings, where they are known already.

    Raises:
        InvalidInputError: no sensor changes over the lives.
    """
    regimes, label = _regimes(runs, notes, regimes)
    group = _alike(runs.sensors, label, len(regimes) if regimes is not None else 1)
    if int(group.max()) > 0:
        notes.add(f"{int(group.max()) + 1} operating regimes were found in {', '.join(runs.setting_names)}")
    at = group[label]
    mean, spread = _by_group(runs.sensors, at)
    inverse = np.where(spread > _CONSTANT * np.maximum(np.abs(mean), 1e-9), 1.0 / np.maximum(spread, 1e-300), 0.0)
    varies = np.flatnonzero((inverse > 0).any(axis=0))
    constant = [name for number, name in enumerate(runs.sensor_names) if number not in varies]
    if constant:
        notes.add(f"left out as constant: {', '.join(constant)}")
    whole = Normaliser(regimes, group, varies, mean[:, varies], inverse[:, varies], np.eye(len(varies)))
    values = whole.normalised(runs)[0]
    tells = _telling(values, runs.starts) if len(varies) else np.zeros(0, dtype=np.bool_)
    silent = [runs.sensor_names[one] for one in varies[~tells]]
    if silent:
        notes.add(f"left out, as nothing in them changes over a life: {', '.join(silent)}")
    if not tells.any():
        raise InvalidInputError(
            "no sensor changes over the lives of the units",
            fix="give sensors that wear with the machine, and units that ran to failure",
        )
    chosen = varies[tells]
    directions = _directions(values[:, tells], runs.starts)
    return Normaliser(regimes, group, chosen, mean[:, chosen], inverse[:, chosen], directions)


def _regimes(runs: Runs, notes: Notes, known: Regimes | None) -> tuple[Regimes | None, Ints]:
    if not runs.settings.shape[1]:
        return None, np.zeros(len(runs), dtype=np.int64)
    regimes = known if known is not None else fit_regimes(runs.settings)
    label = regimes.assign(runs.settings)
    missing = int((label < 0).sum())
    if missing:
        notes.add(f"{missing} rows have no settings: their sensors count as missing")
    return regimes, np.maximum(label, 0)


def _by_group(sensors: Floats, group: Ints) -> tuple[Floats, Floats]:
    count = int(group.max()) + 1
    mean, spread = np.zeros((count, sensors.shape[1])), np.zeros((count, sensors.shape[1]))
    for number in range(count):
        rows = sensors[group == number]
        there = np.isfinite(rows).any(axis=0)
        mean[number, there] = np.nanmean(rows[:, there], axis=0)
        spread[number, there] = np.nanstd(rows[:, there], axis=0)
    return mean, spread


def _alike(sensors: Floats, label: Ints, count: int) -> Ints:
    """Return the group of each regime: regimes are joined while no sensor's mean differs by more than its spread."""
    group = np.arange(count)
    while int(group.max()) > 0:
        mean, spread = _by_group(sensors, group[label])
        best, pair = _ALIKE, (0, 0)
        for a in range(len(mean)):
            for b in range(a + 1, len(mean)):
                pooled = np.sqrt((spread[a] ** 2 + spread[b] ** 2) / 2) + 1e-9 * np.abs(mean[a]) + 1e-300
                apart = float((np.abs(mean[a] - mean[b]) / pooled).max(initial=0.0))
                if apart < best:
                    best, pair = apart, (a, b)
        if pair == (0, 0):
            break
        group[group == pair[1]] = pair[0]
        group = np.unique(group, return_inverse=True)[1].astype(np.int64)
    return group.astype(np.int64)


def _telling(values: Floats, starts: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which sensors shift from the start to the end of a life by more than their flicker explains."""
    shift, flicker = [], []
    for first, end in pairwise(starts):
        w = min(_FEW_RUNS, (end - first) // 3)
        if w < 2:
            continue
        shift.append((values[end - w : end].mean(axis=0) - values[first : first + w].mean(axis=0)) ** 2)
        flicker.append(np.diff(values[first:end], axis=0).var(axis=0) / w)
    if not shift:
        return np.zeros(values.shape[1], dtype=np.bool_)
    return np.asarray(np.mean(shift, axis=0) > _TELLING * np.mean(flicker, axis=0) + 1e-12, dtype=np.bool_)


def _directions(values: Floats, starts: Ints) -> Floats:
    differences = np.concatenate([np.diff(values[a:b], axis=0) for a, b in pairwise(starts)])
    used = values.shape[1]
    noise = np.cov(differences.T).reshape(used, used) / 2
    noise += (1e-6 + 1e-3 * np.trace(noise) / used) * np.eye(used)
    signal = np.cov(moving_mean(values, starts, _SMOOTH).T).reshape(used, used)
    size, vectors = scipy.linalg.eigh(signal, noise)
    kept = max(1, min(_SIGNALS, int((size > _SIGNAL_VARIANCE).sum())))
    vectors = vectors[:, ::-1][:, :kept]
    # The sign of an eigenvector is arbitrary: fix it, so that the same data give the same model everywhere.
    return np.ascontiguousarray(vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0))


def moving_mean(values: Floats, starts: Ints, window: int) -> Floats:
    """Return the mean over the last ``window`` rows of the same unit, shape of ``values``."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    row = np.arange(len(values))
    low = np.maximum(row + 1 - window, np.repeat(starts[:-1], np.diff(starts)))
    return np.asarray((total[row + 1] - total[low]) / (row + 1 - low)[:, None], dtype=np.float64)


@numba.njit(cache=True)
def _fill(values, starts):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    for unit in range(len(starts) - 1):
        for j in range(values.shape[1]):
            # Before the first value of a unit stands 0: the mean of its regime.
            last = 0.0
            for i in range(starts[unit], starts[unit + 1]):
                if np.isnan(values[i, j]):
                    values[i, j] = last
                else:
                    last = values[i, j]

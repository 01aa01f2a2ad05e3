"""Operating regimes from set-points or other slow variables, so that a change of set-point is not taken for a fault.

Two regimes are told apart only where the rows leave a gap between them: along the line that joins their centres, the
middle third is all but empty. A slow drift, a single cloud and a tail have no such gap and stay one regime. The number
of regimes is the largest one for which every pair passes (no user's guess, no test data). A reading that takes only a
few values is told apart by them: give set-points and slow variables, such as ``find_settings`` finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Floats, Notes, Scores, State
from anlan.science.model_file import Arrays

Labels = NDArray[np.int64]

UNKNOWN = -1
"""Regime of a row whose settings are all missing."""

KNOWN, PASSING, NEW = 0, 1, 2
"""What ``RegimeWatch`` says of a row: a trained regime; on the way between regimes; settled in one never trained on."""

_GAP_SHARE = 0.02
_LEAST_SHARE = 0.005
_LEAST_ROWS = 5
_MARGIN = 0.5
_SETPOINT_CHANGES = 0.05
_ROWS_FOR_SEARCH = 20_000
_STARTS = 6
_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Regimes:
    """Fitted regimes.

    Attributes:
        offset, scale: what a setting is reduced and divided by, shape (settings,); scale 0 leaves a constant one out.
        centers: reduced centre of each regime, shape (regimes, settings); regimes are in rising order of their centres.
        reach: how far (reduced) a row of the regime may lie from its centre in each setting, shape (regimes, settings).
        share: share of the training rows in each regime, shape (regimes,).
    """

    offset: Floats
    scale: Floats
    centers: Floats
    reach: Floats
    share: Floats

    def __len__(self) -> int:
        return len(self.centers)

    def assign(self, values: Floats) -> Labels:
        """Return the nearest regime of each row.

        Args:
            values: settings in their own units, shape (rows, settings); a missing one does not count.

        Returns:
            int64, shape (rows,), from 0; ``UNKNOWN`` where all settings are missing.
        """
        return self._compare(values)[0]

    def outside(self, values: Floats) -> Floats:
        """Return how far each setting lies from the nearest regime in units of what training saw, shape of ``values``.

        Up to 1 is inside the regime; 0 where the setting is missing or was constant in training and still is; a setting
        that was constant and has changed counts its change in units of its own size.
        """
        return self._compare(values)[1]

    def known(self, values: Floats) -> NDArray[np.bool_]:
        """Return which rows lie in a regime of the training data, bool, shape (rows,)."""
        return np.asarray((self.outside(values) <= 1.0).all(axis=1), dtype=np.bool_)

    def _compare(self, values: Floats) -> tuple[Labels, Floats]:
        if values.ndim != 2 or values.shape[1] != len(self.offset):
            raise InvalidInputError(
                f"{values.shape} values for {len(self.offset)} settings",
                fix="give the settings the regimes were fitted on",
            )
        rows = np.ascontiguousarray(values, dtype=np.float64)
        label, outside = _assign(rows, self.offset, self.scale, self.centers, self.reach)
        return label, outside

    def save(self) -> Arrays:
        """Return the regimes as plain arrays."""
        return {
            "offset": self.offset,
            "scale": self.scale,
            "centers": self.centers,
            "reach": self.reach,
            "share": self.share,
        }

    @classmethod
    def load(cls, arrays: Arrays) -> Regimes:
        """Return the regimes that ``save`` wrote.

        Raises:
            DecodeError: an array is missing or of the wrong shape.
        """
        names = ("offset", "scale", "centers", "reach", "share")
        missing = [name for name in names if name not in arrays]
        if missing:
            raise DecodeError(f"the regimes lack {', '.join(missing)}", fix="use the original model file")
        offset, scale, centers, reach, share = (np.asarray(arrays[name], dtype=np.float64) for name in names)
        wanted = (len(share), len(offset))
        if offset.shape != scale.shape or centers.shape != wanted or reach.shape != wanted or not len(share):
            raise DecodeError("the arrays of the regimes do not fit together", fix="use the original model file")
        return cls(offset, scale, centers, reach, share)


def find_settings(values: Floats) -> Labels:
    """Return the columns that look like set-points: they stand still nearly always, and still take several values.

    Args:
        values: shape (rows, variables), NaN is missing.
    """
    found = []
    for number, column in enumerate(values.T):
        there = column[np.isfinite(column)]
        if len(there) < _LEAST_ROWS * 4 or there.min() == there.max():
            continue
        if float(np.mean(np.diff(there) != 0)) <= _SETPOINT_CHANGES:
            found.append(number)
    return np.array(found, dtype=np.int64)


def fit_regimes(values: Floats, most: int = 12) -> Regimes:
    """Return the operating regimes of training rows; the same rows give the same regimes.

    k-means (Lloyd 1982) from several farthest-point starts for each number of regimes up to ``most``; the largest
    number whose regimes all are apart from each other wins.

    Args:
        values: settings in their own units, shape (rows, settings); rows with a missing one are left out.
        most: highest number of regimes looked for.

    Raises:
        InvalidInputError: there is no row with all settings.
    """
    values = np.ascontiguousarray(values, dtype=np.float64)
    complete = values[np.isfinite(values).all(axis=1)]
    if not len(complete):
        raise InvalidInputError("no row has all settings", fix="give settings without gaps, or fewer of them")
    offset, scale = complete.mean(axis=0), complete.std(axis=0)
    scale = np.where(scale > 1e-9 * np.maximum(np.abs(offset), 1e-300), scale, 0.0)
    reduced = np.where(scale > 0, (complete - offset) / np.where(scale > 0, scale, 1.0), 0.0)
    search = reduced[:: max(1, len(reduced) // _ROWS_FOR_SEARCH)]
    best = np.zeros((1, reduced.shape[1]))
    for count in range(2, min(most, len(np.unique(search, axis=0))) + 1):
        found = _apart(search, count)
        if found is not None:
            best = found
    best = best[np.lexsort(best.T[::-1])]
    label = _nearest(reduced, best)
    centers = np.array([np.median(reduced[label == number], axis=0) for number in range(len(best))])
    distance = np.abs(reduced - centers[label])
    # The median distance guards a regime that training saw at one exact value: its reach must not be nothing.
    floor = np.where(scale > 0, np.maximum(0.02, 3 * np.median(distance, axis=0)), 0.0)
    reach = np.array([distance[label == number].max(axis=0) for number in range(len(best))]) * (1 + _MARGIN)
    share = np.bincount(label, minlength=len(best)) / len(label)
    return Regimes(offset, scale, centers, np.maximum(reach, floor), share)


def _apart(rows: Floats, count: int) -> Floats | None:
    """Return centres of ``count`` regimes that all lie apart, or ``None``."""
    best, lowest = None, np.inf
    for start in range(_STARTS):
        centers, label, cost = _k_means(rows, count, start)
        if cost < lowest:
            best, lowest = (centers, label), cost
    if best is None:
        return None
    centers, label = best
    sizes = np.bincount(label, minlength=count)
    if sizes.min() < max(_LEAST_ROWS, _LEAST_SHARE * len(rows)):
        return None
    for a in range(count):
        for b in range(a + 1, count):
            axis = centers[b] - centers[a]
            both = rows[(label == a) | (label == b)]
            along = (both - centers[a]) @ axis / (axis @ axis)
            between = int(((along > 1 / 3) & (along < 2 / 3)).sum())
            if between > _GAP_SHARE * min(sizes[a], sizes[b]):
                return None
    return centers


def _k_means(rows: Floats, count: int, start: int) -> tuple[Floats, Labels, float]:
    """Return centres, labels and cost of Lloyd's iteration from a seeded k-means++ start (Arthur 2007)."""
    generator = np.random.default_rng(start)
    centers = np.empty((count, rows.shape[1]))
    centers[0] = rows[generator.integers(len(rows))]
    squared = ((rows - centers[0]) ** 2).sum(axis=1)
    for number in range(1, count):
        total = squared.sum()
        chosen = generator.choice(len(rows), p=squared / total) if total > 0 else generator.integers(len(rows))
        centers[number] = rows[chosen]
        squared = np.minimum(squared, ((rows - centers[number]) ** 2).sum(axis=1))
    label = _nearest(rows, centers)
    for _ in range(_ROUNDS):
        for number in range(count):
            mine = rows[label == number]
            if len(mine):
                centers[number] = mine.mean(axis=0)
        moved = _nearest(rows, centers)
        if np.array_equal(moved, label):
            break
        label = moved
    return centers, label, float(((rows - centers[label]) ** 2).sum())


@numba.njit(cache=True)
def _nearest(rows, centers):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    label = np.empty(rows.shape[0], np.int64)
    for i in range(rows.shape[0]):
        best = np.inf
        for k in range(centers.shape[0]):
            squared = 0.0
            for j in range(rows.shape[1]):
                squared += (rows[i, j] - centers[k, j]) ** 2
            if squared < best:
                best, label[i] = squared, k
    return label


@numba.njit(cache=True)
def _assign(values, offset, scale, centers, reach):  # type: ignore[no-untyped-def]  # compiled, as above
    rows, settings = values.shape
    label = np.full(rows, UNKNOWN, np.int64)
    outside = np.zeros((rows, settings))
    for i in range(rows):
        best = np.inf
        for k in range(centers.shape[0]):
            squared, seen = 0.0, 0
            for j in range(settings):
                if np.isfinite(values[i, j]):
                    seen += 1
                    if scale[j] > 0:
                        squared += ((values[i, j] - offset[j]) / scale[j] - centers[k, j]) ** 2
            if seen > 0 and squared < best:
                best, label[i] = squared, k
        k = label[i]
        for j in range(settings):
            if k == UNKNOWN or not np.isfinite(values[i, j]):
                continue
            if scale[j] > 0:
                outside[i, j] = abs((values[i, j] - offset[j]) / scale[j] - centers[k, j]) / reach[k, j]
            else:
                size = max(abs(offset[j]), 1e-12)
                change = abs(values[i, j] - offset[j]) / size
                # A setting that never moved has no spread: a thousandth of its size is rounding, more is a change.
                outside[i, j] = change / 1e-3 if change > 1e-9 else 0.0
    return label, outside


@dataclass(frozen=True, slots=True)
class RegimeWatch:
    """Detector of regimes never trained on: to be reported as such, not as a fault of the plant.

    The score is how far the row lies outside every trained regime (1 is the edge of what training saw); contributions
    are each setting's share of it. ``update`` keeps what it said of each row in ``state["said"]`` (``KNOWN``,
    ``PASSING``, ``NEW``): a row is ``NEW`` only after ``settle`` rows outside that stay together, within the widest
    reach of a trained regime around their first: a ramp or a fault that runs away does not settle.

    Attributes:
        settle: rows that make a new regime.
        most: highest number of regimes looked for.
        regimes: the fitted ones.
    """

    kind: ClassVar[str] = "regime"

    settle: int = 20
    most: int = 12
    regimes: Regimes | None = None

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return the watch fitted on the settings of normal data, shape (rows, settings)."""
        regimes = fit_regimes(train, self.most)
        if len(regimes) > 1:
            shares = ", ".join(f"{share:.0%}" for share in regimes.share)
            notes.add(f"{len(regimes)} operating regimes in the training data, with {shares} of the rows")
        return type(self)(self.settle, self.most, regimes)

    def _fitted(self) -> Regimes:
        if self.regimes is None:
            raise InvalidInputError("the regimes are not fitted yet", fix="call fit first")
        return self.regimes

    def start(self) -> State:
        """Return the state before the first row."""
        return {
            "anchor": np.full(len(self._fitted().offset), np.nan),
            "count": np.zeros(1, np.int64),
            "said": np.empty(0, np.int8),
        }

    def update(self, state: State, values: Floats) -> tuple[State, Scores]:
        """Return the new state and scores of the next rows; ``said`` of the state is about these rows."""
        regimes = self._fitted()
        outside = regimes.outside(values)
        score = outside.max(axis=1) if outside.shape[1] else np.zeros(len(values))
        anchor, count = state["anchor"].copy(), state["count"].copy()
        said = np.empty(len(values), np.int8)
        widest = np.where(regimes.scale > 0, regimes.reach.max(axis=0) * regimes.scale, np.abs(regimes.offset) * 1e-3)
        _settle(np.ascontiguousarray(values), score, np.maximum(widest, 1e-12), self.settle, anchor, count, said)
        missing = ~np.isfinite(values).any(axis=1)
        score = np.where(missing, np.nan, score)
        total = outside.sum(axis=1)
        share = np.divide(outside, total[:, None], out=np.zeros_like(outside), where=total[:, None] > 0)
        return {"anchor": anchor, "count": count, "said": said}, Scores(score, share * score[:, None])

    def save(self) -> Arrays:
        """Return the fitted numbers and settings as plain arrays."""
        return {"settings": np.array([self.settle, self.most], np.int64)} | self._fitted().save()

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return the watch that ``save`` wrote."""
        regimes = Regimes.load(arrays)
        if "settings" not in arrays or arrays["settings"].shape != (2,):
            raise DecodeError("the watch of regimes lacks its settings", fix="use the original model file")
        settle, most = (int(number) for number in arrays["settings"])
        return cls(settle, most, regimes)


@numba.njit(cache=True)
def _settle(values, score, widest, settle, anchor, count, said):  # type: ignore[no-untyped-def]  # compiled, as above
    for i in range(values.shape[0]):
        if not score[i] > 1.0:
            count[0] = 0
            said[i] = KNOWN
            continue
        together = count[0] > 0
        for j in range(values.shape[1]):
            if np.isfinite(values[i, j]) and not abs(values[i, j] - anchor[j]) <= widest[j]:
                together = False
        if together:
            count[0] += 1
        else:
            count[0] = 1
            anchor[:] = values[i]
        said[i] = NEW if count[0] >= settle else PASSING

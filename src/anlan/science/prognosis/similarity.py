"""Remaining life by similar trajectories: where on the recorded lives did signals run like this one's?

A position is described by the recent course of the denoised signals (level, slope and growth over several spans, change
since new), each in the length scale that the Gaussian process has learnt for it. For each recorded unit the closest
position counts, weighted by its distance (after Wang, Yu, Siegel & Lee 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from anlan.core.errors import DecodeError
from anlan.science.detection.protocol import Floats
from anlan.science.model_file import Arrays
from anlan.science.prognosis.features import Ints

_LIBRARY_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Library:
    """Recorded lives.

    Attributes:
        places: description of each position, shape (positions, numbers).
        remaining: life left there, shape (positions,).
        starts: first position of each unit and the number of positions, shape (units + 1,).
        width: distance at which a unit's weight has fallen to exp(-1/2).
    """

    places: Floats
    remaining: Floats
    starts: Ints
    width: float

    def predict(self, places: Floats) -> Floats:
        """Return the remaining life at each place, shape (rows,)."""
        return np.asarray(
            _predict(np.ascontiguousarray(places), self.places, self.remaining, self.starts, self.width), np.float64
        )

    def save(self) -> Arrays:
        """Return the library as plain arrays."""
        return {
            "places": self.places, "remaining": self.remaining, "starts": self.starts, "width": np.array([self.width])
        }  # fmt: skip

    @classmethod
    def load(cls, arrays: Arrays) -> Library:
        """Return the library that ``save`` wrote.

        Raises:
            DecodeError: an array is missing or they do not fit together.
        """
        try:
            library = cls(arrays["places"], arrays["remaining"], arrays["starts"], float(arrays["width"][0]))
        except (KeyError, IndexError) as error:
            raise DecodeError(f"the library of lives lacks {error}", fix="use the original model file") from None
        starts = library.starts
        sound = library.places.ndim == 2 and len(library.places) == len(library.remaining) and len(starts) > 1
        if not sound or starts[0] != 0 or starts[-1] != len(library.remaining) or (np.diff(starts) <= 0).any():
            raise DecodeError("the library of lives does not fit together", fix="use the original model file")
        return library


def build(places: Floats, remaining: Floats, starts: Ints) -> Library:
    """Return the library of recorded lives, thinned evenly where they are long.

    The width is the median distance from a position to the closest one of another unit: about what two units at the
    same stage differ by.
    """
    step = max(1, round(len(places) / _LIBRARY_ROWS))
    kept, counts = [], []
    for unit in range(len(starts) - 1):
        rows = np.arange(starts[unit + 1] - 1, starts[unit] - 1, -step)[::-1]
        kept.append(rows)
        counts.append(len(rows))
    rows = np.concatenate(kept)
    thinned = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    library = Library(np.ascontiguousarray(places[rows]), remaining[rows], thinned, 1.0)
    probe = np.arange(0, len(rows), max(1, len(rows) // 300))
    own = np.searchsorted(thinned, probe, side="right") - 1
    apart = _closest_other(library.places[probe], own, library.places, thinned)
    return Library(library.places, library.remaining, thinned, max(float(np.median(apart)), 1e-9))


@numba.njit(cache=True)
def _distance(a, b):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    total = 0.0
    for j in range(len(a)):
        total += (a[j] - b[j]) ** 2
    return total


@numba.njit(cache=True)
def _closest_other(probe, own, places, starts):  # type: ignore[no-untyped-def]  # compiled, as above
    out = np.full(len(probe), np.inf)
    for i in range(len(probe)):
        for unit in range(len(starts) - 1):
            if unit == own[i]:
                continue
            for k in range(starts[unit], starts[unit + 1]):
                out[i] = min(out[i], _distance(probe[i], places[k]))
    return np.sqrt(out)


@numba.njit(cache=True)
def _predict(rows, places, remaining, starts, width):  # type: ignore[no-untyped-def]  # compiled, as above
    out = np.empty(len(rows))
    units = len(starts) - 1
    best, life = np.empty(units), np.empty(units)
    for i in range(len(rows)):
        for unit in range(units):
            best[unit] = np.inf
            for k in range(starts[unit], starts[unit + 1]):
                distance = _distance(rows[i], places[k])
                if distance < best[unit]:
                    best[unit], life[unit] = distance, remaining[k]
        closest = best.min()
        weight, total = 0.0, 0.0
        for unit in range(units):
            # Relative to the closest: far from all records the closest one still speaks.
            w = np.exp(-0.5 * (best[unit] - closest) / (width * width))
            weight += w
            total += w * life[unit]
        out[i] = total / weight
    return out

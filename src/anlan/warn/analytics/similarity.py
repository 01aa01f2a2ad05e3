"""How alike two alarm floods are: local alignment of their alarm sequences with time weights.

Modified Smith-Waterman of Cheng, Izadi and Chen (Pattern matching of alarm flood sequences by a modified
Smith-Waterman algorithm, Chem. Eng. Res. Des. 91 (2013) 1085): an alarm matches what rings near it in time too.
Candidates are found by the cosine of rarity-weighted alarm sets first, so that a flood meets only its likes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.core.time import SECOND

SIGMA_S = 10.0
"""Spread of the time weight, s: alarms this close may change places at little cost."""

MISMATCH = -0.6
GAP = -0.4

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Flood:
    """A flood's alarms in the order they rang.

    Attributes:
        kinds: number of each alarm, int32, shape (alarms,).
        times: µs UTC, ascending, int64.
    """

    kinds: NDArray[np.int32]
    times: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kinds)


def time_weights(flood: Flood, alphabet: NDArray[np.int32], sigma_s: float = SIGMA_S) -> Floats:
    """Return exp(−d²/2σ²), d the time from each alarm to the nearest of each kind of ``alphabet``.

    Returns:
        float64, shape (alarms, kinds); 0 where the flood has none of the kind.
    """
    distance = np.abs(flood.times[:, None] - flood.times[None, :]) / SECOND
    weights = np.zeros((len(flood), len(alphabet)))
    for column, kind in enumerate(alphabet):
        of_kind = flood.kinds == kind
        if of_kind.any():
            nearest = distance[:, of_kind].min(axis=1)
            weights[:, column] = np.exp(-(nearest**2) / (2 * sigma_s**2))
    return weights


@numba.njit(cache=True, nogil=True)  # the two loops of an alignment cannot be vectorised
def _align(first: Floats, second: Floats, mismatch: float, gap: float) -> float:
    rows, columns, kinds = first.shape[0], second.shape[0], first.shape[1]
    above = np.zeros(columns + 1)
    here = np.zeros(columns + 1)
    best = 0.0
    for i in range(rows):
        for j in range(columns):
            match = 0.0
            for k in range(kinds):
                product = first[i, k] * second[j, k]
                if product > match:
                    match = product
            score = match * (1.0 - mismatch) + mismatch
            value = max(0.0, above[j] + score, above[j + 1] + gap, here[j] + gap)
            here[j + 1] = value
            if value > best:
                best = value
        above, here = here, above
        here[0] = 0.0
    return best


def align_reference(first: Floats, second: Floats, mismatch: float = MISMATCH, gap: float = GAP) -> float:
    """Return what ``_align`` returns, written as the paper has it; for tests."""
    table = np.zeros((len(first) + 1, len(second) + 1))
    for i in range(len(first)):
        for j in range(len(second)):
            score = float((first[i] * second[j]).max(initial=0.0)) * (1 - mismatch) + mismatch
            table[i + 1, j + 1] = max(0.0, table[i, j] + score, table[i, j + 1] + gap, table[i + 1, j] + gap)
    return float(table.max())


def likeness(first: Flood, second: Flood, sigma_s: float = SIGMA_S) -> float:
    """Return how alike two floods are, 0 (nothing in common) to 1 (one holds the other).

    The best local alignment over the smaller of the two alignments with themselves; 0 for an empty flood.
    """
    if not len(first) or not len(second):
        return 0.0
    alphabet = np.intersect1d(first.kinds, second.kinds).astype(np.int32)
    if not len(alphabet):
        return 0.0
    score = _align(time_weights(first, alphabet, sigma_s), time_weights(second, alphabet, sigma_s), MISMATCH, GAP)
    # An alarm matches itself fully, so the best alignment of a flood with itself is its length.
    return min(1.0, float(score) / min(len(first), len(second)))


class FloodIndex:
    """Past floods by the alarms in them: finds the likes of one without aligning it with all.

    Args:
        floods: past floods by id, at least one alarm each.
    """

    def __init__(self, floods: Sequence[tuple[str, Flood]]) -> None:
        self.floods = list(floods)
        self._having: dict[int, list[int]] = {}
        for at, (_, flood) in enumerate(self.floods):
            for kind in np.unique(flood.kinds):
                self._having.setdefault(int(kind), []).append(at)
        self._lengths = [self._length(flood) for _, flood in self.floods]

    def _rarity(self, kind: int) -> float:
        return math.log(1.0 + (1 + len(self.floods)) / (1 + len(self._having.get(kind, ()))))

    def _vector(self, flood: Flood) -> dict[int, float]:
        return {
            kind: (1 + math.log(count)) * self._rarity(kind) for kind, count in Counter(flood.kinds.tolist()).items()
        }

    def _length(self, flood: Flood) -> float:
        return math.sqrt(sum(weight**2 for weight in self._vector(flood).values()))

    def candidates(self, flood: Flood, most: int = 50) -> list[int]:
        """Return the places of the floods most alike by the alarms in them, whatever their order."""
        dots: Counter[int] = Counter()
        for kind, weight in self._vector(flood).items():
            for at in self._having.get(kind, ()):
                other = self.floods[at][1]
                count = int(np.count_nonzero(other.kinds == kind))
                dots[at] += weight * (1 + math.log(count)) * self._rarity(kind)  # type: ignore[assignment]  # a float
        mine = self._length(flood) or 1.0
        ranked = sorted(dots, key=lambda at: (-dots[at] / (mine * self._lengths[at]), at))
        return ranked[:most]

    def similar(self, flood: Flood, most: int = 5, without: str = "") -> list[tuple[str, float]]:
        """Return (id, likeness) of the most alike past floods, most alike first; ``without`` is left out."""
        found = [
            (self.floods[at][0], likeness(flood, self.floods[at][1]))
            for at in self.candidates(flood)
            if self.floods[at][0] != without
        ]
        return sorted((item for item in found if item[1] > 0), key=lambda item: (-item[1], item[0]))[:most]


def what_followed(flood: Flood, past: Sequence[tuple[float, Flood]], most: int = 5) -> list[tuple[int, float]]:
    """Return (kind, share) of the alarms that rang next in like floods and have not rung in this one.

    Args:
        flood: the flood so far.
        past: (likeness, flood) of past ones; each counts by its likeness.
    """
    rung = set(flood.kinds.tolist())
    votes: Counter[int] = Counter()
    total = sum(weight for weight, _ in past)
    for weight, other in past:
        shared = np.flatnonzero(np.isin(other.kinds, flood.kinds))
        if not len(shared):
            continue
        # What follows begins where the last alarm they share first rang.
        after = other.kinds[int(shared[-1]) + 1 :] if len(flood) >= len(other) else other.kinds[int(shared[0]) + 1 :]
        for kind in dict.fromkeys(after.tolist()):
            if kind not in rung:
                votes[kind] += weight  # type: ignore[assignment]  # a float
    return [(kind, float(vote) / total) for kind, vote in votes.most_common(most)] if total else []

"""When each point is sampled: points of one period are dealt over phases so that the load is even."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anlan.sim.signals import PointSpec

Rows = NDArray[np.intp]


class Schedule:
    """Due times of a set of points on the wall clock.

    Args:
        points: the points, by park index.
        phases: over how many phases the points of one period are dealt (1: all at once).
        start: wall clock, ms UTC; nothing is due before it.
    """

    def __init__(self, points: list[PointSpec], *, phases: int = 1, start: int = 0) -> None:
        groups: dict[tuple[int, int], list[int]] = {}
        units = {path: number for number, path in enumerate(dict.fromkeys(point.unit_path for point in points))}
        for point in points:
            period = round(point.period * 1000)
            phase = units[point.unit_path] % phases * (period // phases)
            groups.setdefault((period, phase), []).append(point.index)
        self._groups = [(period, phase, np.array(rows, dtype=np.intp)) for (period, phase), rows in groups.items()]
        self._next = [_at_or_after(start, period, phase) for period, phase, _ in self._groups]

    def due(self, now: int) -> list[Rows]:
        """Return the groups of points that are due at ``now`` (ms UTC); each group once, however late the call."""
        found = []
        for number, (period, phase, rows) in enumerate(self._groups):
            if now >= self._next[number]:
                self._next[number] = _at_or_after(now + 1, period, phase)
                found.append(rows)
        return found


def _at_or_after(moment: int, period: int, phase: int) -> int:
    return moment + (phase - moment) % period

"""Which hours the roll-ups do not hold yet: touched by an insert and not rebuilt since."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anlan.core.time import HOUR, MINUTE, SECOND

GRACE = MINUTE
QUIET = 20 * SECOND
EAGER = 5 * MINUTE


def hours_of(time: NDArray[np.int64]) -> list[int]:
    """Return the starts (µs UTC) of the hours that ``time`` touches."""
    if not len(time):
        return []
    first, last = int(time.min()) // HOUR, int(time.max()) // HOUR
    if first == last:
        return [first * HOUR]
    return [int(hour) * HOUR for hour in np.unique(time // HOUR)]


@dataclass
class DirtyHours:
    """The dirty hours, with when (µs UTC) each was touched first and last since its last rebuild."""

    touched: dict[int, tuple[int, int]] = field(default_factory=dict)

    def touch(self, hours: list[int], now: int) -> None:
        """Mark hours as dirty at ``now``."""
        for hour in hours:
            first, _ = self.touched.get(hour, (now, now))
            self.touched[hour] = (first, now)

    def all(self) -> tuple[int, ...]:
        """Return every dirty hour in order."""
        return tuple(sorted(self.touched))

    def due(self, now: int) -> list[int]:
        """Return the hours to rebuild at ``now``.

        Closed (ended a minute ago), and quiet for 20 s or, under a steady trickle of late rows, dirty for 5 minutes.
        """
        return [
            hour
            for hour, (first, last) in sorted(self.touched.items())
            if hour + HOUR + GRACE <= now and (now - last >= QUIET or now - first >= EAGER)
        ]

    def stamp(self, hour: int) -> tuple[int, int]:
        """Return what ``clean`` must be handed: the touches known when the rebuild began."""
        return self.touched[hour]

    def clean(self, hour: int, stamp: tuple[int, int]) -> bool:
        """Forget an hour that was rebuilt, unless it was touched meanwhile."""
        if self.touched.get(hour) != stamp:
            return False
        del self.touched[hour]
        return True


def split_interval(start: int, end: int, unit: int, dirty: tuple[int, ...]) -> tuple[list[tuple[int, int]], int, int]:
    """Return what must be read raw of [start, end) and the span that roll-ups of ``unit`` µs may serve.

    Args:
        start, end: µs UTC.
        unit: length of a roll-up's bucket, µs.
        dirty: hours that the roll-ups do not hold yet.

    Returns:
        Raw intervals in order, without overlap; first and last µs of the span (equal when there is none). Inside the
        span the raw intervals are exactly the dirty hours.
    """
    first, last = -(-start // unit) * unit, end // unit * unit
    if first >= last:
        return [(start, end)], start, start
    raw = [(start, first), (last, end)]
    raw += [(max(hour, first), min(hour + HOUR, last)) for hour in dirty if hour < last and hour + HOUR > first]
    merged: list[tuple[int, int]] = []
    for begin, stop in sorted(interval for interval in raw if interval[0] < interval[1]):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((begin, stop))
    return merged, first, last

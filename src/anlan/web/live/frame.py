"""Making frames: pure functions from what changed to the JSON that one set of places sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from anlan.web.live.model import Counts, Standing

Key = tuple[str, ...]
CLASS_MASK = 0xC0
STALE = 0x89

_encode = msgspec.json.Encoder().encode


def covers(key: Key, path: str) -> bool:
    """Return whether ``path`` lies in one of the places of ``key``; the empty place is the whole node."""
    return any(not place or path == place or path.startswith(place + "/") for place in key)


@dataclass
class AlarmBook:
    """Standing alarms as last read, and what the newest reading changed.

    ``rows`` is by alarm id; ``changed`` and ``gone`` are relative to the reading before.
    """

    rows: dict[str, Standing] = field(default_factory=dict)
    changed: list[Standing] = field(default_factory=list)
    gone: list[Standing] = field(default_factory=list)

    def read(self, rows: Iterable[Standing]) -> None:
        """Take a new reading of the standing alarms."""
        new = {row.alarm: row for row in rows}
        self.changed = [row for alarm, row in new.items() if self.rows.get(alarm) != row]
        self.gone = [row for alarm, row in self.rows.items() if alarm not in new]
        self.rows = new

    def settle(self) -> None:
        """Forget the changes once they are in a frame."""
        self.changed, self.gone = [], []


def count(rows: Iterable[Standing], aside: dict[str, Sequence[Standing]] | None) -> Counts:
    """Return the counts of standing alarms; one that a more urgent limit of its point covers is not counted again.

    Args:
        rows: standing alarms one set of places sees.
        aside: shelved, suppressed and out-of-service alarms by view, None while unknown.
    """
    active, unack = [0] * 4, [0] * 4
    standing = oldest = 0
    for row in rows:
        if row.covered:
            continue
        place = min(4, max(1, row.priority)) - 1
        standing += 1
        if row.active:
            active[place] += 1
            if row.raised and (not oldest or row.raised < oldest):
                oldest = row.raised
        if not row.acknowledged:
            unack[place] += 1
    views = {view: len(found) for view, found in aside.items()} if aside is not None else {}
    return Counts(
        active,
        unack,
        sum(unack),
        standing,
        views.get("shelved"),
        views.get("suppressed"),
        views.get("out-of-service"),
        oldest,
    )


def tally(quality: NDArray[np.uint8], time: NDArray[np.int64]) -> dict[str, int]:
    """Return how many points are good, bad (stale among them) and silent, by quality code and source time (µs UTC)."""
    silent = time == 0
    bad = (quality & CLASS_MASK) >= 0x80
    return {
        "total": len(quality),
        "good": int(np.count_nonzero(~bad & ~silent)),
        "bad": int(np.count_nonzero(bad | silent)),
        "stale": int(np.count_nonzero((quality == STALE) & ~silent)),
    }


def values_json(
    point: NDArray[np.int32],
    value: NDArray[np.float64],
    quality: NDArray[np.uint8],
    time: NDArray[np.int64],
    rows: NDArray[np.intp],
) -> bytes:
    """Return ``[[number, value, quality, time], …]`` of some rows; NaN and infinities become null."""
    numbers = value[rows]
    rounded = [float(f"{v:.7g}") if np.isfinite(v) else None for v in numbers.tolist()]
    return _encode(list(zip(point[rows].tolist(), rounded, quality[rows].tolist(), time[rows].tolist(), strict=True)))


def join(shared: bytes, values: bytes) -> str:
    """Return the frame of one client: the part it shares with others, and the values it asked for."""
    return (shared[:-1] + b',"v":' + values + b"}").decode()

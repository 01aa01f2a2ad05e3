"""Live alarm floods per operator position: begun by more than ten alarms in ten minutes, over below five (ISA-18.2)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from anlan.core.time import MINUTE

WINDOW = 10 * MINUTE
BEGIN_ABOVE = 10
END_BELOW = 5
_KEPT = BEGIN_ABOVE + 1


class FloodChange(NamedTuple):
    """A flood that begins or ends at ``time``; ``causes`` are ids of the alarm events that made it."""

    position: str
    begins: bool
    time: int
    began: int
    alarms: int
    causes: tuple[str, ...]


class _Position(msgspec.Struct):
    """Newest rung alarms of a position, oldest first; ``began`` is 0 outside a flood."""

    times: list[int] = []
    ids: list[str] = []
    began: int = 0
    alarms: int = 0


class Floods:
    """The floods of all positions; a pure function of the alarms rung and the ticks, in order."""

    def __init__(self) -> None:
        self._positions: dict[str, _Position] = {}

    def rang(self, position: str, time: int, event: str) -> FloodChange | None:
        """Take one rung alarm; times before the newest count as the newest."""
        entry = self._positions.setdefault(position, _Position())
        if entry.times and time < entry.times[-1]:
            time = entry.times[-1]
        entry.times.append(time)
        entry.ids.append(event)
        del entry.times[:-_KEPT], entry.ids[:-_KEPT]
        if entry.began:
            entry.alarms += 1
            return None
        if len(entry.times) < _KEPT or entry.times[0] <= time - WINDOW:
            return None
        entry.began, entry.alarms = time, _KEPT
        return FloodChange(position, True, time, time, _KEPT, tuple(entry.ids))

    def tick(self, time: int) -> list[FloodChange]:
        """Return the floods that are over at ``time`` (µs UTC)."""
        over: list[FloodChange] = []
        for position, entry in self._positions.items():
            if not entry.began:
                continue
            recent = sum(moment > time - WINDOW for moment in entry.times)
            if recent < END_BELOW:
                over.append(FloodChange(position, False, time, entry.began, entry.alarms, ()))
                entry.began = entry.alarms = 0
        return over

    def in_flood(self) -> dict[str, int]:
        """Return by position since when its flood lasts (µs UTC)."""
        return {position: entry.began for position, entry in self._positions.items() if entry.began}

    def dump(self) -> bytes:
        """Return the state for a snapshot."""
        return msgspec.msgpack.encode(self._positions)

    def load(self, state: bytes) -> None:
        """Take the state of a snapshot."""
        self._positions = msgspec.msgpack.decode(state, type=dict[str, _Position])


def flood_intervals(times: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[tuple[int, int, int]]:
    """Return (begin, end, alarms) of the floods in ascending alarm ``times`` (µs), by the rule of the live ones.

    A flood ends when fewer than five alarms lie in the ten minutes past; the last one's end is where that would be so.
    """
    floods: list[tuple[int, int, int]] = []
    count = len(times)
    at = 0
    # Candidates: alarms with ten before them inside the window.
    begins = np.flatnonzero(times[_KEPT - 1 :] - times[: max(count - _KEPT + 1, 0)] < WINDOW) + _KEPT - 1
    # The flood is over once the fifth newest alarm leaves the window before another one comes.
    fifth_leaves = times[: max(count - END_BELOW + 1, 0)] + WINDOW
    following = np.append(times[END_BELOW:], np.iinfo(np.int64).max)[: len(fifth_leaves)]
    ends = np.flatnonzero(following > fifth_leaves) + END_BELOW - 1
    while True:
        place = int(np.searchsorted(begins, at))
        if place >= len(begins):
            return floods
        begin = int(begins[place])
        end = int(ends[int(np.searchsorted(ends, begin))])
        leave = int(times[end - END_BELOW + 1]) + WINDOW
        floods.append((int(times[begin]), leave, end - begin + _KEPT))
        at = end + 1

"""Times of a replay: runs laid one after the other, repeats told apart, and a fingerprint of what was sent."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.batch import SampleBatch

REMEMBERED = 1_000_000


class Repeats:
    """Moves a sample whose time was already used by its point on by 1 µs, again and again until it is alone.

    The log keeps one sample for a point and time; a file that holds a moment twice (a clock set back) would lose one.
    Within the last million rows of a point nothing is missed.
    """

    def __init__(self) -> None:
        self._latest = -(2**62)
        self._seen: deque[NDArray[np.int64]] = deque()
        self._size = 0
        self.moved = 0

    def separate(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the times of a point's next samples, in file order, each used once."""
        if not len(times):
            return times
        rising = bool(times[0] > self._latest) and bool(np.all(np.diff(times) > 0))
        result = times if rising else self._search(times)
        self._latest = max(self._latest, int(result.max()))
        self._seen.append(result)
        self._size += len(result)
        while self._size - len(self._seen[0]) > REMEMBERED:
            self._size -= len(self._seen.popleft())
        return result

    def _search(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        low = int(times.min())
        near = [part[part >= low] for part in self._seen]
        used = set(np.concatenate(near).tolist()) if near else set()
        result = times.copy()
        for index, time in enumerate(times.tolist()):
            moved = time
            while moved in used:
                moved += 1
            self.moved += moved != time
            used.add(moved)
            result[index] = moved
        return result


@dataclass(slots=True)
class Group:
    """One run of a file: rows that follow each other and share the group columns; times µs UTC as sent."""

    name: str
    rows: int = 0
    first: int = 0
    last: int = 0
    offset_us: int = 0


class Groups:
    """Lays runs one after the other: one that would begin before the end of those before it is shifted as a whole."""

    def __init__(self, gap_us: int, *, shift: bool) -> None:
        self._gap = gap_us
        self._shift = shift
        self._latest: int | None = None
        self.groups: list[Group] = []

    def place(self, name: str, times: NDArray[np.int64], *, new: bool) -> NDArray[np.int64]:
        """Return the times of some rows of a run; ``new`` begins one."""
        if new or not self.groups:
            first = int(times[0])
            late = self._shift and self._latest is not None and first <= self._latest
            offset = (self._latest or 0) + self._gap - first if late else 0
            self.groups.append(Group(name, first=first + offset, last=first + offset, offset_us=offset))
        group = self.groups[-1]
        placed = times + group.offset_us if group.offset_us else times
        group.rows += len(times)
        group.last = max(group.last, int(placed.max()))
        self._latest = group.last if self._latest is None else max(self._latest, group.last)
        return placed


def fingerprint(time: NDArray[np.int64], value: NDArray[np.float64]) -> int:
    """Return a sum over (time, bits of value) of samples that does not depend on their order; sums of parts add up.

    Each pair is mixed to 64 bits by splitmix64 (Steele, Lea, Flood 2014); the sum is modulo 2^64.
    """
    return int(mixed(time, value).sum(dtype=np.uint64))


def mixed(time: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return the term of each sample in ``fingerprint``."""
    word = _mix(np.ascontiguousarray(time).view(np.uint64))
    return _mix(word ^ np.ascontiguousarray(value).view(np.uint64))


def _mix(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    word = word + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


class Pace:
    """Hands over samples when they are due: source time runs ``speed`` times as fast as the clock.

    Args:
        speed: infinite hands over at once.
        pause: longest wait, seconds; a longer gap in the file is cut to it, a step back in time waits for nothing.
    """

    TICK_S = 0.05

    def __init__(self, speed: float, pause: float) -> None:
        self._speed = speed
        self._pause = pause
        self._time: int | None = None
        self._wall = 0.0

    async def parts(self, batch: SampleBatch) -> AsyncIterator[SampleBatch]:
        """Yield the batch in pieces, each when it is due."""
        if math.isinf(self._speed):
            yield batch
            return
        loop = asyncio.get_running_loop()
        times = batch.time
        at = 0
        while at < len(times):
            await self._wait_for(int(times[at]), loop)
            assert self._time is not None
            ahead = (loop.time() - self._wall + self.TICK_S) * self._speed * 1e6
            rest = times[at:]
            stop = rest > self._time + ahead
            stop[1:] |= np.diff(rest) < 0
            stop[0] = False
            end = at + int(np.argmax(stop)) if stop.any() else len(times)
            yield batch.take(np.arange(at, end))
            at = end

    async def _wait_for(self, time: int, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        wait = 0.0 if self._time is None else self._wall + (time - self._time) / 1e6 / self._speed - now
        if self._time is None or time < self._time or wait > self._pause:
            wait = min(max(wait, 0.0), self._pause)
            self._time, self._wall = time, now + wait
        if wait > 0:
            await asyncio.sleep(wait)

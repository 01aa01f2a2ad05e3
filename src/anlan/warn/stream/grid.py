"""The log as one-second steps in source time, closed by ticks of the log and by nothing else.

A step that ends at T is closed by the first tick at or after T + ``LATENESS``. Samples that come later are counted and
left out of every step; if one is newer than what its point has, its value is held from then on, so that a device whose
data always come late is not unseen. Where neither ticks nor samples came for more than ``GAP`` the node was off: no
steps are made up, the next step is simply later (``jumped`` says how often).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.errors import DecodeError
from anlan.core.events import AlarmState, Event, EventType
from anlan.core.time import SECOND
from anlan.plant.model import Plant
from anlan.science.model_file import Arrays
from anlan.warn.step import STEP_US, Step
from anlan.warn.stream.kernels import NEVER, Count, close_step, first_after, take_samples

LATENESS = 2 * SECOND
"""How long a step waits for its samples."""

GAP = 10 * SECOND
"""A silence longer than this, of ticks and of samples, is a node that was off."""

MOST_WAITING = 20_000_000
"""Samples that may wait for a tick; beyond it the oldest are left out and counted."""

_MARK = 10 * SECOND
_MARKS = 8_640
_MOST_NUMBERS = 50_000_000
_ACTIVE = (AlarmState.UNACKNOWLEDGED.value, AlarmState.ACKNOWLEDGED.value)
_RINGS = ("raise", "re-alarm", "announce")


class Marks:
    """Which log sequences the samples of the last day came in, by ten seconds: a range that surely holds them."""

    def __init__(self) -> None:
        self.slot = np.full(_MARKS, -1, np.int64)
        self.first = np.zeros(_MARKS, np.int64)
        self.last = np.zeros(_MARKS, np.int64)

    def add(self, start: int, end: int, sequence: int) -> None:
        """Take note that samples from ``start`` to ``end`` (µs UTC) came in ``sequence``."""
        newest = end // _MARK
        for slot in range(max(start // _MARK, newest - _MARKS + 1), newest + 1):
            cell = slot % _MARKS
            if self.slot[cell] < slot:
                self.slot[cell], self.first[cell] = slot, sequence
                self.last[cell] = sequence
            elif self.slot[cell] == slot:
                self.last[cell] = sequence

    def between(self, start: int, end: int) -> tuple[int, int] | None:
        """Return first and last sequence that hold the samples from ``start`` to ``end``, None where none is known."""
        slots = np.arange(start // _MARK, end // _MARK + 1)[-_MARKS:]
        cells = slots[self.slot[slots % _MARKS] == slots] % _MARKS
        if not len(cells):
            return None
        return int(self.first[cells].min()), int(self.last[cells].max())


class Grid:
    """Steps of one plant.

    Args:
        plant: its points, in whose order every array of a step is.
    """

    def __init__(self, plant: Plant) -> None:
        self.marks = Marks()
        self.closed = NEVER
        self.clock = NEVER
        self.jumped = 0
        self.counts = np.zeros(len(Count), np.int64)
        self._active: dict[str, tuple[int, int]] = {}
        self._alarms: list[tuple[int, str, int, int, bool, bool]] = []
        self._full = 0
        self._rows, self._times = np.empty(0, np.int32), np.empty(0, np.int64)
        self._values, self._bads = np.empty(0, np.float64), np.empty(0, np.bool_)
        self._points(plant)

    def _points(self, plant: Plant) -> None:
        self.plant = plant
        count = len(plant.points)
        self.numbers = np.array([point.number for point in plant.points], np.int64)
        self._row = {point.number: row for row, point in enumerate(plant.points)}
        top = int(self.numbers.max(initial=0))
        if top > _MOST_NUMBERS:
            raise DecodeError(f"point number {top} is out of range", fix=f"up to {_MOST_NUMBERS}")
        self._lookup = np.full(top + 1, -1, np.int32)
        self._lookup[self.numbers] = np.arange(count, dtype=np.int32)
        self._stale_after = np.array([point.stale_after for point in plant.points], np.int64)
        self._held = np.full(count, np.nan)
        self._changed = np.full(count, NEVER, np.int64)
        self._newest = np.full(count, NEVER, np.int64)
        self._bad = np.zeros(count, np.bool_)

    def _room(self, size: int) -> None:
        """Make the waiting room ``size`` samples large, keeping what is in it."""
        rows, times = np.empty(size, np.int32), np.empty(size, np.int64)
        values, bads = np.empty(size, np.float64), np.empty(size, np.bool_)
        if self._full:
            rows[: self._full], times[: self._full] = self._rows[: self._full], self._times[: self._full]
            values[: self._full], bads[: self._full] = self._values[: self._full], self._bads[: self._full]
        self._rows, self._times, self._values, self._bads = rows, times, values, bads

    @property
    def counters(self) -> dict[str, int]:
        """What became of the samples, by the names of ``Count``, and how often time jumped."""
        return {cell.name.lower(): int(self.counts[cell]) for cell in Count} | {"jumped": self.jumped}

    def last(self, number: int) -> float | None:
        """Return the good value that is held for a point, None when there is none or the newest is bad."""
        row = self._row.get(number, -1)
        if row < 0 or self._bad[row] or np.isnan(self._held[row]):
            return None
        return float(self._held[row])

    # --- records of the log -------------------------------------------------------------------------------------

    def take(self, batch: SampleBatch, header: BatchHeader, sequence: int) -> None:
        """Take a batch: any order, late ones, repeats and bad quality included."""
        if not len(batch):
            return
        if self._full + len(batch) > MOST_WAITING:
            self._drop(len(batch))
        if self._full + len(batch) > len(self._rows):
            self._room(2 * (self._full + len(batch)))
        newest = header.received + self.plant.policy.max_ahead
        self.marks.add(min(int(batch.time.min()), newest), min(int(batch.time.max()), newest), sequence)
        self._full = take_samples(
            _plain(batch.point), _plain(batch.time), _plain(batch.value), _plain(batch.quality),
            self._lookup, header.received, self.plant.policy.max_ahead, self.closed,
            self._held, self._changed, self._newest, self._bad,
            self._rows, self._times, self._values, self._bads, self._full, self.counts,
        )  # fmt: skip

    def _drop(self, coming: int) -> None:
        drop = min(self._full, max(coming, MOST_WAITING // 4))
        keep = np.sort(np.argsort(self._times[: self._full], kind="stable")[drop:])
        for column in (self._rows, self._times, self._values, self._bads):
            column[: len(keep)] = column[keep]
        self._full = len(keep)
        self.counts[Count.DROPPED] += drop

    def alarm(self, event: Event, sequence: int = 0) -> None:
        """Take a transition of an alarm; it counts in the step of its time, or in the next one if that is closed.

        Args:
            event: an ``alarm.transition``; others are left alone.
            sequence: of the event; not used by the grid.
        """
        if event.type != EventType.ALARM.value:
            return
        data = event.data
        rings = data["arrow"] in _RINGS and bool(data.get("rung", True))
        held_back = bool(data.get("suppressed", False)) or bool(data.get("out_of_service", False))
        active = data["state"] in _ACTIVE and not held_back and data["arrow"] != "remove"
        self._alarms.append((event.time, str(data["alarm"]), int(data["point"]), int(data["priority"]), rings, active))

    def tick(self, time: int, sequence: int = 0) -> list[Step]:
        """Let the log's clock reach ``time`` (µs UTC) and return the steps that closes, in order."""
        target = (time - LATENESS) // STEP_US * STEP_US
        if self.closed == NEVER or time < self.clock - GAP:
            self._begin(target)
        silent = time - self.clock > GAP
        quiet_from = (self.clock // STEP_US) * STEP_US
        self.clock = time
        steps = []
        while self.closed < target:
            if silent and self.closed >= quiet_from - LATENESS:
                self._jump(target)
            if self.closed < target:
                steps.append(self._close(self.closed + STEP_US))
        return steps

    def _begin(self, target: int) -> None:
        """Start at ``target``: at the first tick, and when the clock was set back."""
        if self.closed != NEVER:
            self.jumped += 1
            ahead = self._newest > target
            self._changed[self._changed > target] = NEVER
            self._newest[ahead], self._bad[ahead] = NEVER, False
        self.closed = target
        if self._full:
            # What waits from before the start is held, as if it had come late.
            _, full = self._arrays(target)
            self.counts[Count.LATE] += self._full - full
            self._full = full

    def _jump(self, target: int) -> None:
        """Pass over a silence to the second of the next sample, at most to ``target``."""
        coming = first_after(self._times, self._full, self.closed)
        until = target if coming == NEVER else min(target, (coming - 1) // STEP_US * STEP_US)
        if until - self.closed > GAP:
            self.closed = until
            self.jumped += 1

    def _arrays(self, end: int) -> tuple[Step, int]:
        count = len(self.numbers)
        step = Step(
            time=end,
            last=np.empty(count), mean=np.empty(count), low=np.empty(count), high=np.empty(count),
            count=np.empty(count, np.int32), bad=np.empty(count, np.bool_), changed=np.empty(count, np.int64),
            raised=np.zeros(count, np.int32), active=np.zeros(count, np.int8),
        )  # fmt: skip
        full = close_step(
            end, self._stale_after, self._held, self._changed, self._newest, self._bad,
            self._rows, self._times, self._values, self._bads, self._full, self.counts,
            step.last, step.mean, step.low, step.high, step.count, step.bad, step.changed,
        )  # fmt: skip
        return step, full

    def _close(self, end: int) -> Step:
        step, self._full = self._arrays(end)
        self.closed = end
        self._close_alarms(step)
        return step

    def _close_alarms(self, step: Step) -> None:
        if self._alarms:
            now = [alarm for alarm in self._alarms if alarm[0] <= step.time]
            self._alarms = [alarm for alarm in self._alarms if alarm[0] > step.time]
            for _, alarm, point, priority, rings, active in sorted(now, key=lambda entry: entry[0]):
                row = self._row.get(point, -1)
                if rings and row >= 0:
                    step.raised[row] += 1
                self._active.pop(alarm, None)
                if active:
                    self._active[alarm] = (point, priority)
        for point, priority in self._active.values():
            row = self._row.get(point, -1)
            if row >= 0 and (step.active[row] == 0 or priority < step.active[row]):
                step.active[row] = priority

    # --- configuration and state --------------------------------------------------------------------------------

    def configure(self, plant: Plant) -> NDArray[np.int64]:
        """Put another plant in force; points keep their state by number.

        Returns:
            For each point of the new plant its row in the old one, -1 where it is new, int64.
        """
        old = (self.numbers, self._held, self._changed, self._newest, self._bad)
        waiting = self.numbers[self._rows[: self._full]]
        before = dict(self._row)
        self._points(plant)
        origin = np.array([before.get(int(number), -1) for number in self.numbers], np.int64)
        self._carry(origin, *old[1:])
        known = waiting < len(self._lookup)
        rows = np.where(known, self._lookup[np.where(known, waiting, 0)], -1)
        stays = rows >= 0
        self._rows[: self._full] = rows
        for column in (self._rows, self._times, self._values, self._bads):
            column[: stays.sum()] = column[: self._full][stays]
        self._full = int(stays.sum())
        alarms = {definition.id for definition in plant.alarms}
        self._active = {alarm: entry for alarm, entry in self._active.items() if alarm in alarms}
        return origin

    def _carry(
        self,
        origin: NDArray[np.int64],
        held: NDArray[np.float64],
        changed: NDArray[np.int64],
        newest: NDArray[np.int64],
        bad: NDArray[np.bool_],
    ) -> None:
        kept = origin >= 0
        rows = origin[kept]
        self._held[kept], self._changed[kept] = held[rows], changed[rows]
        self._newest[kept], self._bad[kept] = newest[rows], bad[rows]

    def save(self) -> tuple[Arrays, dict[str, object]]:
        """Return the state as plain arrays and as what is not numbers."""
        arrays: Arrays = {
            "numbers": self.numbers, "held": self._held, "changed": self._changed, "newest": self._newest,
            "bad": self._bad, "counts": self.counts,
            "clock": np.array([self.closed, self.clock, self.jumped], np.int64),
            "waiting.row": self._rows[: self._full], "waiting.time": self._times[: self._full],
            "waiting.value": self._values[: self._full], "waiting.bad": self._bads[: self._full],
            "marks.slot": self.marks.slot, "marks.first": self.marks.first, "marks.last": self.marks.last,
        }  # fmt: skip
        words: dict[str, object] = {
            "active": [[k, *v] for k, v in self._active.items()],
            "alarms": [list(row) for row in self._alarms],
        }
        return {name: array.copy() for name, array in arrays.items()}, words

    def load(self, arrays: Arrays, words: dict[str, object]) -> None:
        """Take the state that ``save`` gave; points are matched by number.

        Raises:
            DecodeError: an array is missing.
        """
        try:
            self._load(arrays, words)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DecodeError(f"the grid's state cannot be used: {error!r}", fix="start afresh") from error

    def _load(self, arrays: Arrays, words: dict[str, object]) -> None:
        numbers = arrays["numbers"]
        before = {int(number): row for row, number in enumerate(numbers)}
        origin = np.array([before.get(int(number), -1) for number in self.numbers], np.int64)
        self._carry(origin, arrays["held"], arrays["changed"], arrays["newest"], arrays["bad"])
        self.counts[:] = arrays["counts"]
        self.closed, self.clock, self.jumped = (int(number) for number in arrays["clock"])
        self.marks.slot[:], self.marks.first[:] = arrays["marks.slot"], arrays["marks.first"]
        self.marks.last[:] = arrays["marks.last"]
        rows = np.array([self._row.get(int(numbers[row]), -1) for row in arrays["waiting.row"]], np.int32)
        stays = rows >= 0
        self._full = 0
        self._room(int(stays.sum()))
        self._full = int(stays.sum())
        self._rows[:], self._times[:] = rows[stays], arrays["waiting.time"][stays]
        self._values[:], self._bads[:] = arrays["waiting.value"][stays], arrays["waiting.bad"][stays]
        active, alarms = words["active"], words["alarms"]
        if not isinstance(active, list) or not isinstance(alarms, list):
            raise TypeError("alarms are not lists")
        self._active = {str(alarm): (int(point), int(priority)) for alarm, point, priority in active}
        self._alarms = [
            (int(time), str(alarm), int(point), int(priority), bool(rings), bool(on))
            for time, alarm, point, priority, rings, on in alarms
        ]


def _plain(column: NDArray[np.generic]) -> NDArray[np.generic]:
    """One type of array for the kernel, whether it came zero-copy out of a message or not."""
    view = column.view() if column.flags.c_contiguous and column.flags.aligned else column.copy()
    view.flags.writeable = False
    return view

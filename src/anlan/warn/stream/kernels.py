"""Compiled parts of the grid: samples into the waiting room, and one second of it into a step."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

NEVER = -(1 << 62)
"""Time of something that has not happened yet."""

_BAD_CLASS = 0x80
_LONG_RUN = 32


class Count(IntEnum):
    """Cells of the counter array: what became of every sample."""

    SAMPLES = 0
    """Samples taken from batches."""
    UNMAPPED = 1
    """Of a point that the plant does not have."""
    AHEAD = 2
    """Source time further ahead of the receipt than the plant allows: bad quality at the time of receipt."""
    LATE = 3
    """Their step was closed already; a value newer than its point's newest is held from then on, nothing more."""
    REPEATED = 4
    """Same point and source time as another one of its step; the later in the log counts."""
    DROPPED = 5
    """The waiting room was full: no tick came for too long."""


@numba.njit(cache=True, nogil=True)
def take_samples(  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    point, time, value, quality, lookup, received, max_ahead, closed,
    held, changed, newest, bad, row_out, time_out, value_out, bad_out, at, counts,
):  # fmt: skip
    """Put a batch's samples behind ``at`` in the waiting room; return how full it is then.

    Args:
        point, time, value, quality: the batch.
        lookup: row of each point number, -1 where the plant has none.
        received: µs UTC at the gateway.
        max_ahead: µs that a source time may be ahead of it.
        closed: end of the last closed step, µs UTC.
        held, changed, newest, bad: state of the points: last good value, its time, time of the newest sample, whether
            that one was bad.
        row_out, time_out, value_out, bad_out: the waiting room, with space for the batch.
        at: how full it is.
        counts: cells of ``Count``.
    """
    most = len(lookup)
    for i in range(len(point)):
        counts[0] += 1
        number = point[i]
        row = lookup[number] if 0 <= number < most else -1
        if row < 0:
            counts[1] += 1
            continue
        when, is_bad = time[i], quality[i] >= _BAD_CLASS or not np.isfinite(value[i])
        if when > received + max_ahead:
            counts[2] += 1
            when, is_bad = received, True
        if when <= closed:
            counts[3] += 1
            if when >= newest[row]:
                newest[row] = when
                bad[row] = is_bad
                if not is_bad:
                    held[row] = value[i]
                    changed[row] = when
            continue
        row_out[at] = row
        time_out[at] = when
        value_out[at] = value[i]
        bad_out[at] = is_bad
        at += 1
    return at


@numba.njit(cache=True, nogil=True)
def close_step(  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    end, stale_after, held, changed, newest, bad,
    row_in, time_in, value_in, bad_in, full, counts,
    last, mean, low, high, count, bad_out, changed_out,
):  # fmt: skip
    """Make the step that ends at ``end`` of the waiting samples up to it; return how many still wait.

    The result depends on which samples there are, not on the order they came in, but for repeats of one point and
    source time, of which the last that came counts.

    Args:
        end: µs UTC.
        stale_after: µs, 0 never, by row.
        held, changed, newest, bad: state of the points, updated.
        row_in, time_in, value_in, bad_in: the waiting room; what stays moves to its front, in order.
        full: how many wait.
        counts: cells of ``Count``.
        last, mean, low, high, count, bad_out, changed_out: arrays of the step, filled.
    """
    first, order = _by_row(len(held), row_in, time_in, full, end)
    for row in range(len(held)):
        total, lowest, highest, good = 0.0, np.inf, -np.inf, 0
        for k in range(first[row], first[row + 1]):
            i = order[k]
            if k + 1 < first[row + 1] and time_in[order[k + 1]] == time_in[i]:
                counts[4] += 1
                continue
            if time_in[i] >= newest[row]:
                newest[row], bad[row] = time_in[i], bad_in[i]
            if bad_in[i]:
                continue
            good += 1
            total += value_in[i]
            lowest, highest = min(lowest, value_in[i]), max(highest, value_in[i])
            changed[row], held[row] = time_in[i], value_in[i]
        stale = stale_after[row] > 0 and newest[row] > NEVER and end - newest[row] > stale_after[row]
        known = changed[row] > NEVER and not bad[row] and not stale
        last[row] = held[row] if known else np.nan
        count[row] = good
        mean[row], low[row], high[row] = last[row], last[row], last[row]
        if good:
            mean[row], low[row], high[row] = total / good, lowest, highest
        bad_out[row] = bad[row] or stale
        changed_out[row] = max(changed[row], 0)
    return _compact(row_in, time_in, value_in, bad_in, full, end)


@numba.njit(cache=True, nogil=True)
def _by_row(points, row_in, time_in, full, end):  # type: ignore[no-untyped-def]  # compiled, as above
    """Return where each row's samples up to ``end`` begin in the order also returned: by row, then by time."""
    first = np.zeros(points + 1, np.int64)
    for i in range(full):
        if time_in[i] <= end:
            first[row_in[i] + 1] += 1
    for row in range(points):
        first[row + 1] += first[row]
    at = first[:points].copy()
    order = np.empty(first[points], np.int64)
    for i in range(full):
        if time_in[i] <= end:
            order[at[row_in[i]]] = i
            at[row_in[i]] += 1
    for row in range(points):
        if first[row + 1] > first[row] + 1:
            _in_time_order(order, time_in, first[row], first[row + 1])
    return first, order


@numba.njit(cache=True, nogil=True)
def _compact(row_in, time_in, value_in, bad_in, full, end):  # type: ignore[no-untyped-def]  # compiled, as above
    kept = 0
    for i in range(full):
        if time_in[i] > end:
            row_in[kept], time_in[kept] = row_in[i], time_in[i]
            value_in[kept], bad_in[kept] = value_in[i], bad_in[i]
            kept += 1
    return kept


@numba.njit(cache=True, nogil=True)
def _in_time_order(order, time, a, b):  # type: ignore[no-untyped-def]  # compiled, as above
    """Sort ``order[a:b]`` by time, equal times in their order; nearly always it is sorted already."""
    for k in range(a + 1, b):
        if time[order[k]] < time[order[k - 1]]:
            break
    else:
        return
    if b - a > _LONG_RUN:
        part = order[a:b].copy()
        times = np.empty(b - a, np.int64)
        for k in range(b - a):
            times[k] = time[part[k]]
        ranks = np.argsort(times, kind="mergesort")
        for k in range(b - a):
            order[a + k] = part[ranks[k]]
        return
    for k in range(a + 1, b):
        moving, j = order[k], k - 1
        while j >= a and time[order[j]] > time[moving]:
            order[j + 1] = order[j]
            j -= 1
        order[j + 1] = moving


def first_after(time: NDArray[np.int64], full: int, moment: int) -> int:
    """Return the earliest waiting source time after ``moment``, or ``NEVER``."""
    waiting: Any = time[:full]
    later = waiting[waiting > moment]
    return int(later.min()) if len(later) else NEVER

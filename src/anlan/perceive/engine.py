"""Pure rules of the gateway over arrays: calibration, valid range, clock, and the counts of each connector.

What each sample goes through, in this order; the first reason that makes a sample bad is kept:

1. a number the plant does not know is marked for removal (``unknown``);
2. NaN and infinities keep their value and become BAD_NOT_A_NUMBER;
3. ``value = raw × gain + offset``; identity leaves the bits untouched, so the raw value can always be recovered with
   the calibration of the revision that stands in the batch header;
4. outside the calibration's usable range: BAD_RANGE; outside the point's own range: UNCERTAIN_RANGE (still evaluated,
   so that an over-ranging gas detector rings); calibration expired at the source time: UNCERTAIN_CALIBRATION_EXPIRED;
5. source time before 1970 or further ahead of the receipt than the policy allows: BAD_CLOCK.

One compiled kernel does it; ``judge_reference`` is the same in plain NumPy and the tests hold the two together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.core.batch import SampleBatch
from anlan.core.quality import Quality
from anlan.plant.model import Plant

NEVER = np.iinfo(np.int64).max

GOOD, UNCERTAIN, BAD, LATE, FUTURE, NOT_A_NUMBER, UNKNOWN = range(7)
COUNTS = ("good", "uncertain", "bad", "late", "future", "not_a_number", "unknown")

_UNCERTAIN_CLASS = np.uint8(0x40)
_BAD_CLASS = np.uint8(0x80)
_Q_NAN = np.uint8(Quality.BAD_NOT_A_NUMBER)
_Q_BAD_RANGE = np.uint8(Quality.BAD_RANGE)
_Q_RANGE = np.uint8(Quality.UNCERTAIN_RANGE)
_Q_EXPIRED = np.uint8(Quality.UNCERTAIN_CALIBRATION_EXPIRED)
_Q_CLOCK = np.uint8(Quality.BAD_CLOCK)
_Q_CONFIG = np.uint8(Quality.BAD_CONFIGURATION)


@dataclass(frozen=True, slots=True)
class PointTable:
    """Calibration and ranges of all points as vectors indexed by point number.

    Attributes:
        revision: configuration revision they come from.
        known: whether the number is a point of the plant.
        gain, offset: of the calibration; 1 and 0 without one.
        usable_low, usable_high: usable range of the calibration, in the point's unit; infinite without one.
        low, high: the point's own range, in its unit; infinite without one.
        expires: µs UTC; ``NEVER`` without one.
        alarmed: whether an enabled alarm reads the point.
        max_ahead, max_age: µs, of the policy.
    """

    revision: str
    known: NDArray[np.bool_]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    usable_low: NDArray[np.float64]
    usable_high: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    expires: NDArray[np.int64]
    alarmed: NDArray[np.bool_]
    max_ahead: int
    max_age: int


def compile_points(plant: Plant, revision: str) -> PointTable:
    """Return the vectors of a plant's points."""
    size = max((point.number for point in plant.points), default=0) + 1
    table = PointTable(
        revision=revision,
        known=np.zeros(size, np.bool_),
        gain=np.ones(size),
        offset=np.zeros(size),
        usable_low=np.full(size, -math.inf),
        usable_high=np.full(size, math.inf),
        low=np.full(size, -math.inf),
        high=np.full(size, math.inf),
        expires=np.full(size, NEVER, np.int64),
        alarmed=np.zeros(size, np.bool_),
        max_ahead=plant.policy.max_ahead,
        max_age=plant.policy.max_age,
    )
    for point in plant.points:
        number = point.number
        table.known[number] = True
        table.low[number] = -math.inf if point.low is None else point.low
        table.high[number] = math.inf if point.high is None else point.high
        calibration = point.calibration
        if calibration is not None:
            table.gain[number] = calibration.gain
            table.offset[number] = calibration.offset
            table.usable_low[number] = -math.inf if calibration.low is None else calibration.low
            table.usable_high[number] = math.inf if calibration.high is None else calibration.high
            table.expires[number] = calibration.expires or NEVER
    for alarm in plant.alarms:
        if alarm.enabled:
            for number in (alarm.point, alarm.other, *alarm.inputs):
                if 0 < number < size:
                    table.alarmed[number] = True
    return table


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a group of samples.

    Attributes:
        counts: samples by run and by ``COUNTS``.
        newest: the newest source time of each run that lies not beyond the clock bound, µs UTC; 0 when there is none.
    """

    counts: NDArray[np.int64]
    newest: NDArray[np.int64]


def judge(batch: SampleBatch, starts: NDArray[np.int64], received: NDArray[np.int64], table: PointTable) -> Judgement:
    """Calibrate and judge ``batch`` in place.

    Args:
        batch: raw values; ``value`` and ``quality`` are overwritten. Unknown points become BAD_CONFIGURATION.
        starts: first row of each run and, last, the number of rows (runs + 1 entries).
        received: receipt of each run, µs UTC.
        table: the plant's vectors.
    """
    runs = len(received)
    counts = np.zeros((runs, len(COUNTS)), np.int64)
    newest = np.zeros(runs, np.int64)
    _judge(
        batch.point,
        batch.time,
        batch.value,
        batch.quality,
        starts,
        received,
        table.known,
        table.gain,
        table.offset,
        table.usable_low,
        table.usable_high,
        table.low,
        table.high,
        table.expires,
        table.max_ahead,
        table.max_age,
        counts,
        newest,
    )
    return Judgement(counts, newest)


@numba.njit(cache=True, nogil=True, inline="always")
def _sample_quality(quality, value, time, usable_low, usable_high, low, high, expires):  # type: ignore[no-untyped-def]  # compiled; scalars
    if quality >= _BAD_CLASS:
        return quality
    if not math.isfinite(value):
        return _Q_NAN
    if value < usable_low or value > usable_high:
        return _Q_BAD_RANGE
    if quality < _UNCERTAIN_CLASS:
        if value < low or value > high:
            return _Q_RANGE
        if time > expires:
            return _Q_EXPIRED
    return quality


@numba.njit(cache=True, nogil=True)
def _judge(  # type: ignore[no-untyped-def]  # compiled; the arrays' types stand in PointTable
    point,
    time,
    value,
    quality,
    starts,
    received,
    known,
    gain,
    offset,
    usable_low,
    usable_high,
    low,
    high,
    expires,
    max_ahead,
    max_age,
    counts,
    newest,
):
    size = len(known)
    for run in range(len(received)):
        latest = received[run] + max_ahead
        oldest = received[run] - max_age
        for row in range(starts[run], starts[run + 1]):
            number = point[row]
            if number < 0 or number >= size or not known[number]:
                quality[row] = _Q_CONFIG
                counts[run, UNKNOWN] += 1
                continue
            raw = value[row]
            moment = time[row]
            if math.isfinite(raw):
                if gain[number] != 1.0 or offset[number] != 0.0:
                    raw = raw * gain[number] + offset[number]
                    value[row] = raw
            else:
                counts[run, NOT_A_NUMBER] += 1
            judged = _sample_quality(
                quality[row],
                raw,
                moment,
                usable_low[number],
                usable_high[number],
                low[number],
                high[number],
                expires[number],
            )
            if moment > latest:
                counts[run, FUTURE] += 1
            elif moment > newest[run]:
                newest[run] = moment
            if (moment > latest or moment < 0) and judged < _BAD_CLASS:
                judged = _Q_CLOCK
            if moment < oldest:
                counts[run, LATE] += 1
            quality[row] = judged
            if judged >= _BAD_CLASS:
                counts[run, BAD] += 1
            elif judged >= _UNCERTAIN_CLASS:
                counts[run, UNCERTAIN] += 1
            else:
                counts[run, GOOD] += 1


def judge_reference(
    batch: SampleBatch, starts: NDArray[np.int64], received: NDArray[np.int64], table: PointTable
) -> Judgement:
    """The same as ``judge`` in plain NumPy: the oracle of the tests."""
    counts = np.zeros((len(received), len(COUNTS)), np.int64)
    newest = np.zeros(len(received), np.int64)
    for run, moment in enumerate(received):
        rows = slice(int(starts[run]), int(starts[run + 1]))
        counts[run], newest[run] = _judge_run(batch, rows, int(moment), table)
    return Judgement(counts, newest)


def _judge_run(batch: SampleBatch, rows: slice, received: int, table: PointTable) -> tuple[NDArray[np.int64], int]:
    point, time, value, quality = batch.point[rows], batch.time[rows], batch.value[rows], batch.quality[rows]
    inside = (point >= 0) & (point < len(table.known))
    number = np.where(inside, point, 0)
    known = inside & table.known[number]
    finite = np.isfinite(value)
    scaled = known & finite & ((table.gain[number] != 1.0) | (table.offset[number] != 0.0))
    with np.errstate(over="ignore", invalid="ignore"):
        calibrated = np.where(scaled, value * table.gain[number] + table.offset[number], value)
    value[scaled] = calibrated[scaled]
    good = quality < _UNCERTAIN_CLASS
    usable = quality < _BAD_CLASS
    not_number = usable & ~np.isfinite(calibrated)
    unusable = (
        usable & ~not_number & ((calibrated < table.usable_low[number]) | (calibrated > table.usable_high[number]))
    )
    ranged = good & ~not_number & ~unusable & ((calibrated < table.low[number]) | (calibrated > table.high[number]))
    expired = good & ~not_number & ~unusable & ~ranged & (time > table.expires[number])
    judged = np.select([not_number, unusable, ranged, expired], [_Q_NAN, _Q_BAD_RANGE, _Q_RANGE, _Q_EXPIRED], quality)
    ahead = time > received + table.max_ahead
    judged = np.where((ahead | (time < 0)) & (judged < _BAD_CLASS), _Q_CLOCK, judged)
    quality[:] = np.where(known, judged, _Q_CONFIG)
    bad = known & (judged >= _BAD_CLASS)
    uncertain = known & ~bad & (judged >= _UNCERTAIN_CLASS)
    masks = [
        known & ~bad & ~uncertain,
        uncertain,
        bad,
        known & (time < received - table.max_age),
        known & ahead,
        known & ~finite,
        ~known,
    ]
    inside_bound = time[known & ~ahead]
    return np.array([np.count_nonzero(mask) for mask in masks]), max(0, int(inside_bound.max(initial=0)))


def raw_value(value: float, gain: float, offset: float) -> float:
    """Return the device's raw value of a calibrated one; exact where the calibration is the identity."""
    if gain == 1.0 and offset == 0.0:
        return value
    return (value - offset) / gain

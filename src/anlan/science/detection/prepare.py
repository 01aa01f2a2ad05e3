"""From raw readings to rows that detectors can use: scale, missing values, stuck sensors, gaps in time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.detection.covariance import BLOCKS, Gaussian, blocks_of, fit_gaussian, take
from anlan.science.detection.protocol import Floats, Notes, State, Table, Times
from anlan.science.model_file import Arrays

Bools = NDArray[np.bool_]

LEAST_ROWS = 60
CLIP = 30.0
"""Robust standard deviations beyond which a reading counts no further: one wild reading may not dwarf all else."""
GAP_INTERVALS = 5.0
"""A pause longer than this many sampling intervals clears the memory of earlier rows."""
UNIT_FACTOR = 5.0
"""A lasting change of level or spread by more than this factor between parts of the training data is no process."""
STUCK_LEAST = 10
STUCK_TIMES = 3.0
STUCK_NORMAL = 4.0
"""A value that stands still this many standard deviations from normal is evidence of a fault, not a dead sensor."""
LEAST_OBSERVED = 0.5
FOLLOW_GAIN = 8.0
"""A level that moves is followed with a memory of an eighth of the training rows."""
FOLLOW_RATE = 2.0
FOLLOW_REACH = 4.0
"""A level may move four times as far as it lay from its centre in any fifth of the training data, then no further."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows ready for detectors.

    Attributes:
        values: robust standard deviations from normal, no NaN, shape (usable rows, kept variables).
        usable: which of the rows given these are, bool, shape (rows,).
        fresh: bool, shape (usable rows,): the memory of earlier rows is void at this row.
        observed: bool, shape (rows, kept variables): the reading itself was used, not a stand-in.
        stuck: bool, shape (rows, kept variables): the sensor stands still as it never did in the training data.
    """

    values: Floats
    usable: Bools
    fresh: Bools
    observed: Bools
    stuck: Bools


@dataclass(frozen=True, slots=True)
class Preparation:
    """Fitted preparation.

    Attributes:
        names: all variables in order.
        kept: numbers of those that are used.
        center, scale: robust location and spread of the kept, in their own units.
        gain: share of its distance from a reading that a variable's level follows each row; 0 where the level stands.
        rate: most that a level may move in a row, in units of ``scale``.
        reach: most that a level may move in all, so that following cannot hide a fault; same unit.
        stuck_after: rows of one and the same value after which a sensor is stuck; 0 never.
        interval: usual time between rows (µs, or whatever ``time`` counts).
        gaussian: distribution of prepared rows, from which a missing value is filled as expected from the others.
        least_observed: share of the kept variables that must be there for a score.
    """

    names: tuple[str, ...]
    kept: NDArray[np.int64]
    center: Floats
    scale: Floats
    gain: Floats
    rate: Floats
    reach: Floats
    stuck_after: NDArray[np.int64]
    interval: float
    gaussian: Gaussian
    least_observed: float = LEAST_OBSERVED

    def start(self) -> State:
        """Return the state before the first row."""
        count = len(self.kept)
        return {
            "level": np.zeros(count),
            "last": np.full(count, np.nan),
            "same": np.zeros(count, np.int64),
            "time": np.array([np.iinfo(np.int64).min], np.int64),
            "late": np.zeros(1, np.int64),
            "missing": np.zeros(1, np.int64),
        }

    def update(self, state: State, time: Times, values: Floats) -> tuple[State, Prepared]:
        """Return the state after the rows and the prepared rows.

        Rows not later than the one before are kept out and counted in ``late``; rows with too few readings in
        ``missing``.
        """
        state = {name: array.copy() for name, array in state.items()}
        in_time, dated, fresh = self._order(state, time)
        chosen = np.ascontiguousarray(values[:, self.kept])
        scaled = np.full(chosen.shape, np.nan)
        stuck = np.zeros(chosen.shape, np.bool_)
        _prepare_rows(
            chosen, in_time, self.center, self.scale, self.gain, self.rate, self.reach,
            self.stuck_after,
            state["level"], state["last"], state["same"], scaled, stuck,
        )  # fmt: skip
        observed = np.isfinite(scaled)
        usable = in_time & (observed.mean(axis=1) >= self.least_observed) & observed.any(axis=1)
        state["missing"][0] += int((in_time & ~usable).sum())
        fresh = self._after_gaps(state, dated, usable, fresh)
        filled = fill_missing(scaled[usable], self.gaussian)
        return state, Prepared(filled, usable, fresh[usable], observed, stuck)

    def _order(self, state: State, time: Times) -> tuple[Bools, Times, Bools]:
        before = state["time"][0]
        highest = np.maximum.accumulate(np.concatenate(([before], time)))
        in_time = time > highest[:-1]
        state["late"][0] += int((~in_time).sum())
        return in_time, np.asarray(time, np.int64), np.zeros(len(time), np.bool_)

    def _after_gaps(self, state: State, time: Times, usable: Bools, fresh: Bools) -> Bools:
        at = np.flatnonzero(usable)
        if len(at) == 0:
            return fresh
        lowest = np.iinfo(np.int64).min
        first_ever = state["time"][0] == lowest
        previous = np.concatenate((state["time"], time[at[:-1]]))
        step = time[at].astype(np.float64) - previous.astype(np.float64)
        fresh[at] = step > GAP_INTERVALS * self.interval
        if first_ever:
            fresh[at[0]] = True
        state["time"][0] = time[at[-1]]
        return fresh

    def save(self) -> Arrays:
        """Return the fitted numbers as arrays (the names stand in the model's header)."""
        arrays: Arrays = {
            "kept": self.kept, "center": self.center, "scale": self.scale, "gain": self.gain, "rate": self.rate,
            "reach": self.reach,
            "stuck_after": self.stuck_after, "interval": np.array([self.interval, self.least_observed]),
        }  # fmt: skip
        return arrays | self.gaussian.save("gaussian.")

    @classmethod
    def load(cls, names: tuple[str, ...], arrays: Arrays) -> Preparation:
        """Return what ``save`` wrote.

        Raises:
            DecodeError: an array is missing or of the wrong shape.
        """
        interval = take(arrays, "interval")
        return cls(
            names,
            take(arrays, "kept").astype(np.int64),
            take(arrays, "center"),
            take(arrays, "scale"),
            take(arrays, "gain"),
            take(arrays, "rate"),
            take(arrays, "reach"),
            take(arrays, "stuck_after").astype(np.int64),
            float(interval[0]),
            Gaussian.load(arrays, "gaussian."),
            float(interval[1]),
        )


@numba.njit(cache=True)
def _prepare_rows(  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    values, in_time, center, scale, gain, rate, reach, stuck_after, level, last, same, scaled, stuck
):
    for row in range(values.shape[0]):
        if not in_time[row]:
            continue
        for j in range(values.shape[1]):
            value = values[row, j]
            if not np.isfinite(value):
                continue
            if value == last[j]:
                same[j] += 1
            else:
                same[j] = 0
                last[j] = value
            standard = (value - center[j]) / scale[j]
            distance = standard - level[j]
            if stuck_after[j] > 0 and same[j] >= stuck_after[j] and abs(distance) < STUCK_NORMAL:
                stuck[row, j] = True
                continue
            scaled[row, j] = min(max(distance, -CLIP), CLIP)
            moved = level[j] + min(max(gain[j] * distance, -rate[j]), rate[j])
            level[j] = min(max(moved, -reach[j]), reach[j])


def prepare_rows_reference(preparation: Preparation, state: State, values: Floats) -> tuple[Floats, Bools]:
    """Return scaled readings and stuck flags as ``update`` does before filling; plain NumPy, a row at a time."""
    level, last, same = state["level"].copy(), state["last"].copy(), state["same"].copy()
    scaled, stuck = np.full((len(values), len(level)), np.nan), np.zeros((len(values), len(level)), np.bool_)
    for row, reading in enumerate(values[:, preparation.kept]):
        there = np.isfinite(reading)
        same = np.where(there, np.where(reading == last, same + 1, 0), same)
        last = np.where(there, reading, last)
        distance = (reading - preparation.center) / preparation.scale - level
        still = (preparation.stuck_after > 0) & (same >= preparation.stuck_after)
        stuck[row] = there & still & (np.abs(np.nan_to_num(distance)) < STUCK_NORMAL)
        used = there & ~stuck[row]
        scaled[row, used] = np.clip(distance[used], -CLIP, CLIP)
        moved = level + np.clip(preparation.gain * distance, -preparation.rate, preparation.rate)
        level[used] = np.clip(moved, -preparation.reach, preparation.reach)[used]
    return scaled, stuck


def fill_missing(rows: Floats, gaussian: Gaussian) -> Floats:
    """Return the rows with each NaN replaced by what the other variables lead to expect.

    For a normal distribution T² of the filled row equals T² of the observed part alone (Anderson, An Introduction to
    Multivariate Statistical Analysis, 2003, section 2.5): a missing reading adds no evidence.
    """
    gaps = ~np.isfinite(rows)
    if not gaps.any():
        return np.ascontiguousarray(rows)
    filled = rows.copy()
    whitening = gaussian.whitening
    precision = whitening.T @ whitening
    patterns, which = np.unique(gaps[gaps.any(axis=1)], axis=0, return_inverse=True)
    numbers = np.flatnonzero(gaps.any(axis=1))
    for index, pattern in enumerate(patterns):
        at = numbers[which.reshape(-1) == index]
        seen = filled[np.ix_(at, ~pattern)] - gaussian.mean[~pattern]
        weights = np.linalg.solve(precision[np.ix_(pattern, pattern)], precision[np.ix_(pattern, ~pattern)])
        filled[np.ix_(at, pattern)] = gaussian.mean[pattern] - seen @ weights.T
    return filled


def fit_preparation(table: Table, starts: NDArray[np.int64], notes: Notes) -> Preparation:
    """Return the preparation fitted on normal data.

    Args:
        table: training rows.
        starts: first row of each run, beginning with 0.
        notes: takes what was left out.

    Raises:
        InvalidInputError: too few rows; nothing varies; a variable whose unit seems to change half-way.
    """
    if len(table) < LEAST_ROWS:
        raise InvalidInputError(f"{len(table)} training rows are too few", fix=f"give at least {LEAST_ROWS}")
    kept = _varying(table, notes)
    values = table.values[:, kept]
    center, scale = robust_scale(values)
    _check_units(tuple(table.names[j] for j in kept), (values - center) / scale, values, starts)
    stuck_after = _stuck_after(values)
    zero = np.zeros(len(kept))
    gaussian = Gaussian(zero, np.ones(len(kept)), np.eye(len(kept)), np.ones(len(kept)), 1.0, 1)
    plain = Preparation(
        table.names, kept, center, scale, zero, zero, zero, stuck_after, _interval(table.time, starts), gaussian
    )
    gain, rate, reach = follow_levels(np.clip((values - center) / scale, -CLIP, CLIP))
    if gain.any():
        notes.add(
            "levels were not steady in the training data and are followed, slowly: lasting slow shifts count less"
        )
    plain = replace(plain, gain=gain, rate=rate, reach=reach)
    scaled = _scale_runs(plain, table, starts)
    complete = scaled[np.isfinite(scaled).all(axis=1)]
    if len(complete) < LEAST_ROWS // 2:
        complete = np.where(np.isfinite(scaled), scaled, 0.0)
        notes.add("few training rows are complete; missing values count as the variable's median there")
    return replace(plain, gaussian=fit_gaussian(complete))


def _scale_runs(preparation: Preparation, table: Table, starts: NDArray[np.int64]) -> Floats:
    parts = []
    for start, end in zip(starts, [*starts[1:], len(table)], strict=True):
        state, values = preparation.start(), np.ascontiguousarray(table.values[start:end, preparation.kept])
        scaled, stuck = np.full(values.shape, np.nan), np.zeros(values.shape, np.bool_)
        _prepare_rows(
            values, np.ones(len(values), np.bool_), preparation.center, preparation.scale, preparation.gain,
            preparation.rate, preparation.reach, preparation.stuck_after,
            state["level"], state["last"], state["same"], scaled, stuck,
        )  # fmt: skip
        parts.append(scaled)
    return np.concatenate(parts)


def follow_levels(standard: Floats) -> tuple[Floats, Floats, Floats]:
    """Return how the level of each variable is followed: share of the distance a row, most a row, most in all.

    Levels stand unless the KPSS test (Kwiatkowski et al., J. Econometrics 54, 1992, bandwidth l12) rejects a steady
    level of some variable, 5 % for all variables together. Then the plant was not at rest and all levels are followed.
    The most that a level may move is twice as fast as it moved between fifths of the training data, so that what is
    faster remains evidence for a long time.

    Args:
        standard: scaled training rows, shape (rows, variables), NaN is missing.

    Returns:
        Gain, rate and reach, shape (variables,); 0 where the level stands.
    """
    rows = len(standard)
    moving = bool((level_test(standard) > kpss_limit(0.05 / standard.shape[1])).any())
    if not moving:
        stands = np.zeros(standard.shape[1])
        return stands, stands, stands
    with np.errstate(all="ignore"):
        means = np.array([np.nanmean(standard[a:b], axis=0) for a, b in blocks_of(rows, BLOCKS)])
    means = np.nan_to_num(means)
    steps = np.abs(np.diff(means, axis=0)).max(axis=0)
    gain = float(np.clip(FOLLOW_GAIN / rows, 1e-4, 0.05))
    reach = FOLLOW_REACH * np.maximum(np.abs(means).max(axis=0), 0.5)
    return np.full(len(steps), gain), FOLLOW_RATE * steps / (rows / BLOCKS), reach


def kpss_limit(p: float) -> float:
    """Return the value of the KPSS statistic that a steady level exceeds with probability ``p``.

    The published quantiles are 0.739 at 1 % and 1.167 at 0.1 %; between and beyond, the tail is exponential.
    """
    return float(0.739 + (1.167 - 0.739) * np.log10(0.01 / p)) if p < 0.05 else 0.463


def level_test(standard: Floats) -> Floats:
    """Return the KPSS statistic of a steady level for each variable; NaN counts as the mean."""
    away = np.nan_to_num(standard - np.nanmean(standard, axis=0))
    rows = len(away)
    bandwidth = int(12 * (rows / 100) ** 0.25)
    long_run = (away**2).mean(axis=0)
    for lag in range(1, bandwidth + 1):
        long_run = long_run + 2 * (1 - lag / (bandwidth + 1)) * (away[lag:] * away[:-lag]).sum(axis=0) / rows
    sums = np.cumsum(away, axis=0)
    statistic: Floats = (sums**2).sum(axis=0) / rows**2 / np.maximum(long_run, 1e-12)
    return statistic


def robust_scale(values: Floats) -> tuple[Floats, Floats]:
    """Return median and spread of each variable; NaN is left out.

    The spread is 1.4826 times the median absolute deviation. Where that says nothing, as with a variable that rests
    most of the time (it is below a tenth of what the range of the middle 80 % suggests), it is the standard deviation.
    """
    center = np.nanmedian(values, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(values - center), axis=0)
    low, high = np.nanquantile(values, (0.1, 0.9), axis=0)
    return center, np.where((spread > 0) & (spread > 0.1 * (high - low) / 2.563), spread, np.nanstd(values, axis=0))


def _varying(table: Table, notes: Notes) -> NDArray[np.int64]:
    kept = []
    for j, name in enumerate(table.names):
        column = table.values[:, j]
        there = column[np.isfinite(column)]
        if len(there) < LEAST_ROWS:
            notes.add(f"{name} is left out: only {len(there)} readings in the training data")
        elif np.ptp(there) <= 1e-9 * max(1e-12, float(np.abs(there).max())):
            notes.add(f"{name} is left out: it is constant in the training data")
        else:
            kept.append(j)
    if not kept:
        raise InvalidInputError("nothing varies in the training data", fix="give a table with readings that change")
    return np.array(kept, np.int64)


def _check_units(names: tuple[str, ...], standard: Floats, values: Floats, starts: NDArray[np.int64]) -> None:
    """Refuse a variable whose level and spread both change by one factor within a run, as a change of unit does."""
    rows = len(values)
    quarter = max(rows // 4, 1)
    first, last = values[:quarter], values[-quarter:]
    with np.errstate(all="ignore"):
        level = np.nanmedian(last, axis=0) / np.nanmedian(first, axis=0)
        spread = np.nanstd(last, axis=0) / np.nanstd(first, axis=0)
    for j, name in enumerate(names):
        factor = level[j]
        if not (np.isfinite(factor) and np.isfinite(spread[j]) and factor > 0 and spread[j] > 0):
            continue
        if abs(np.log(factor)) > np.log(UNIT_FACTOR) and abs(np.log(spread[j] / factor)) < np.log(2.0):
            raise InvalidInputError(
                f"level and spread of {name} both change by a factor of about {factor:.3g} within the training data",
                where=name,
                fix="was its unit changed? give all rows in one unit, or train on the part after the change",
            )


def _stuck_after(values: Floats) -> NDArray[np.int64]:
    limits = []
    for column in values.T:
        there = column[np.isfinite(column)]
        changes = np.flatnonzero(np.diff(there) != 0)
        longest = int(np.diff(np.concatenate(([-1], changes, [len(there) - 1]))).max())
        usual = longest <= max(len(there) // 20, STUCK_LEAST)
        limits.append(int(max(STUCK_LEAST, STUCK_TIMES * longest)) if usual else 0)
    return np.array(limits, np.int64)


def _interval(time: Times, starts: NDArray[np.int64]) -> float:
    steps = np.diff(time)
    inside = np.ones(len(steps), np.bool_)
    inside[starts[starts > 0] - 1] = False
    rising = steps[inside & (steps > 0)]
    return float(np.median(rising)) if len(rising) else 1.0

"""The alarm kernel beside a NumPy evaluator and the plain reference; transitions/s; figures of ten million."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anlan.core import log
from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.events import encode_event
from anlan.core.time import DAY, SECOND
from anlan.monitor.compiled import compile_plant
from anlan.monitor.engine import Engine
from anlan.monitor.machine import ARROWS, Arrow
from anlan.monitor.performance import Transitions, compute
from anlan.monitor.reference import Reference
from anlan.plant.model import AlarmDefinition, Plant, Point, SiteInfo

POINTS = 10_000
LIMITS = (("HH", 100.0), ("H", 90.0), ("L", 10.0), ("LL", 0.0))
START = 1_700_000_000 * SECOND
GOAL_NS = 15.0


def limits_plant(points: int) -> Plant:
    """Return a plant whose points have four limits each, with deadband and delays."""
    alarms = []
    for number in range(1, points + 1):
        path = f"b/a/u/p{number}"
        for kind, limit in LIMITS:
            covered = (f"{path}.{kind * 2}",) if len(kind) == 1 else ()
            delay = 2 * SECOND if covered else 0
            alarms.append(
                AlarmDefinition(f"{path}.{kind}", number, kind, 2, limit, 1.0, delay, SECOND, covered_by=covered)
            )
    return Plant(SiteInfo("b", "b"), points=_points(points), alarms=tuple(alarms))


def dear_plant(points: int) -> Plant:
    """Return a plant whose points have a rate and an expression each: no sample is quiet."""
    alarms = []
    for number in range(1, points + 1):
        path = f"b/a/u/p{number}"
        expression = f"'{path}' > 95 and abs('{path}') < 200 or '{path}' < -5"
        alarms.append(AlarmDefinition(f"{path}.rate", number, "rate", 2, 1e9))
        alarms.append(AlarmDefinition(f"{path}.expression", number, "expression", 2, expression=expression))
    return Plant(SiteInfo("b", "b"), points=_points(points), alarms=tuple(alarms))


def _points(count: int) -> tuple[Point, ...]:
    return tuple(Point(number, f"b/a/u/p{number}", "level", "m") for number in range(1, count + 1))


class Source:
    """Batches of random points; ``spread`` decides how often a limit is crossed."""

    def __init__(self, points: int, spread: float) -> None:
        self._points, self._spread = points, spread
        self._random = np.random.default_rng(1)
        self.time = START

    def batch(self, size: int) -> SampleBatch:
        """Return the next batch."""
        self.time += SECOND
        return SampleBatch(
            self._random.integers(1, self._points + 1, size).astype(np.int32),
            self.time + np.arange(size),
            50 + self._spread * self._random.standard_normal(size),
            np.zeros(size, np.uint8),
        )


def _rate(engine: Engine, source: Source, size: int, samples: int) -> tuple[float, float]:
    """Return (median ns a sample over rounds, events a sample)."""
    rounds = max(5, samples // size)
    spent = []
    events = 0
    for number in range(rounds):
        batch = source.batch(size)
        header = BatchHeader("b", int(batch.time[-1]))
        begin = time.perf_counter()
        events += len(engine.samples(batch, header, number + 1))
        spent.append((time.perf_counter() - begin) / size * 1e9)
    return statistics.median(spent), events / (rounds * size)


class NumPyLimits:
    """What a vectorised evaluator without compiled code does for the four limits: mask, deadband, delays by onset time.

    One sample a point and batch only; of several of a point in one batch it takes the last.
    """

    def __init__(self, points: int) -> None:
        self._limit = np.array([limit for _, limit in LIMITS])
        self._sign = np.array([1.0, 1.0, -1.0, -1.0])
        self._delay = np.array([0, 2 * SECOND, 2 * SECOND, 0])
        self.active = np.zeros((points + 1, 4), bool)
        self._onset = np.full((points + 1, 4), np.iinfo(np.int64).max)

    def samples(self, batch: SampleBatch) -> int:
        """Evaluate a batch; return the number of changes."""
        point, time_, value = batch.point, batch.time[:, None], batch.value[:, None]
        beyond = (value - self._limit + np.where(self.active[point], 1.0, 0.0) * self._sign) * self._sign >= 0
        onset = np.where(beyond != self.active[point], np.minimum(self._onset[point], time_), np.iinfo(np.int64).max)
        delay = np.where(beyond, self._delay, SECOND)
        due = (beyond != self.active[point]) & (time_ - onset >= delay)
        self._onset[point] = np.where(due, np.iinfo(np.int64).max, onset)
        self.active[point] ^= due
        return int(due.sum())


def _per_sample(run: Callable[[SampleBatch], object], source: Source, size: int, rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        batch = source.batch(size)
        begin = time.perf_counter()
        run(batch)
        spent.append((time.perf_counter() - begin) / size * 1e9)
    return statistics.median(spent)


def _reference_ns(points: int) -> float:
    reference = Reference(compile_plant(limits_plant(points), "b"))
    source = Source(points, 5.0)
    return _per_sample(lambda batch: reference.samples(batch, int(batch.time[-1])), source, 200, 3)


def _transitions(points: int, seconds: float) -> dict[str, float]:
    """Return events/s made and encoded when nearly every sample crosses a limit, and the bytes of one."""
    engine = Engine(limits_plant(points), "b")
    source = Source(points, 60.0)
    made = encoded = 0
    begin = time.perf_counter()
    number = 0
    while time.perf_counter() - begin < seconds:
        number += 1
        batch = source.batch(1000)
        events = engine.samples(batch, BatchHeader("b", int(batch.time[-1])), number)
        made += len(events)
        encoded += sum(len(encode_event(event)) for event in events)
    return {"per_s": made / (time.perf_counter() - begin), "bytes": encoded / max(made, 1)}


def _tick_us(points: int) -> float:
    engine = Engine(limits_plant(points), "b")
    spent = []
    for number in range(200):
        begin = time.perf_counter()
        engine.tick(log.Tick(START + number * 100_000), number + 1)
        spent.append((time.perf_counter() - begin) * 1e6)
    return statistics.median(spent)


def _performance_s(rows: int) -> float:
    random = np.random.default_rng(2)
    alarms = 20_000
    arrows = np.array([ARROWS.index(arrow) for arrow in (Arrow.RAISE, Arrow.CLEAR, Arrow.ACKNOWLEDGE)], np.uint8)
    times: NDArray[np.int64] = np.sort(START + random.integers(0, 365 * DAY, rows))
    transitions = Transitions(
        times,
        random.integers(0, alarms, rows).astype(np.int32),
        arrows[random.integers(0, 3, rows)],
        random.random(rows) < 0.9,
        random.integers(1, 5, rows).astype(np.uint8),
        tuple(f"b/a/u/p{n}.H" for n in range(alarms)),
        ("board",) * alarms,
    )
    begin = time.perf_counter()
    compute(transitions, START, START + 365 * DAY)
    return time.perf_counter() - begin


def run(*, quick: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return ns a sample by batch size with NumPy and the plain reference beside, transitions/s, tick, performance."""
    samples = 400_000 if quick else 4_000_000
    engine = Engine(limits_plant(POINTS), "b")
    quiet, busy, flood = Source(POINTS, 5.0), Source(POINTS, 15.0), Source(POINTS, 30.0)
    flood.time = busy.time = START + 100_000 * SECOND
    _rate(engine, quiet, 1000, 20_000)
    result: dict[str, Any] = {"points": POINTS, "definitions": POINTS * len(LIMITS), "kernel_ns": {}}
    for size in (100, 1_000, 10_000):
        progress(f"kernel, batches of {size}")
        result["kernel_ns"][str(size)] = _rate(engine, quiet, size, samples)[0]
    progress("NumPy and the plain reference")
    numpy_limits = NumPyLimits(POINTS)
    result["numpy_ns"] = {
        str(size): _per_sample(numpy_limits.samples, Source(POINTS, 5.0), size, 20) for size in (100, 1_000, 10_000)
    }
    result["reference_ns"] = _reference_ns(100)
    result["numpy_ratio"] = {size: result["numpy_ns"][size] / ns for size, ns in result["kernel_ns"].items()}
    progress("rates and expressions, where no sample is quiet")
    dear = Engine(dear_plant(POINTS), "b")
    _rate(dear, Source(POINTS, 5.0), 1000, 20_000)
    late = Source(POINTS, 5.0)
    late.time = START + 100_000 * SECOND
    result["rate_and_expression_ns"] = _rate(dear, late, 1_000, samples // 4)[0]
    progress("crossings")
    busy_ns, busy_events = _rate(engine, busy, 1_000, samples // 4)
    result["busy"] = {"ns": busy_ns, "events_per_sample": busy_events}
    result["transitions"] = _transitions(POINTS, 2.0 if quick else 8.0)
    result["tick_us"] = _tick_us(POINTS)
    rows = 1_000_000 if quick else 10_000_000
    progress(f"alarm performance of {rows} transitions")
    result["performance"] = {"rows": rows, "seconds": _performance_s(rows)}
    result["goal_ns"] = GOAL_NS
    result["ok"] = all(result["kernel_ns"][size] <= GOAL_NS for size in ("1000", "10000"))
    return result

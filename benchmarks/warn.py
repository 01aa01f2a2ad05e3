"""The stream of early warning: samples/s of the grid, steps/s of the engine, cost of each member, size of the state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.time import SECOND
from anlan.plant.compiler import compile_site, numbers_in_file_order
from anlan.plant.model import AlarmDefinition, Plant, Point, SiteInfo
from anlan.plant.site_file import load
from anlan.science.detection.ensemble import Settings, fit
from anlan.science.detection.protocol import Table
from anlan.sim.site import HOME
from anlan.warn.features.library import Library, library
from anlan.warn.library import load_models
from anlan.warn.model import ModelKind, WarningModel
from anlan.warn.stream.engine import NO_FEATURES, WarnEngine
from anlan.warn.stream.grid import Grid

START = 1_764_000_000 * SECOND
GOAL_SAMPLES = 5e6
POINTS = 100_000
VARIABLES = 50


def many_points(count: int) -> Plant:
    """Return a plant of ``count`` points, each with a high and a highest limit."""
    points = tuple(Point(n, f"b/a{n % 50}/u{n % 1000}/p{n}", "level", "m") for n in range(1, count + 1))
    alarms = tuple(
        AlarmDefinition(f"{point.path}.{kind}", point.number, kind, priority, limit)
        for point in points
        for kind, priority, limit in (("H", 3, 90.0), ("HH", 1, 100.0))
    )
    return Plant(SiteInfo("b", "b"), points=points, alarms=alarms)


def park() -> Plant:
    """Return the packaged virtual park, compiled."""
    document = load(HOME)
    return compile_site(document, numbers_in_file_order(document))


def seconds(plant: Plant, count: int, per_point: int = 1) -> Iterator[tuple[int, SampleBatch]]:
    """Yield seconds of a plant: every point ``per_point`` times, in mixed order, around half of its range."""
    random = np.random.default_rng(1)
    numbers = np.repeat(np.array([point.number for point in plant.points], np.int32), per_point)
    middle = np.array([((point.low or 0.0) + (point.high or 100.0)) / 2 for point in plant.points]).repeat(per_point)
    for second in range(1, count + 1):
        order = random.permutation(len(numbers))
        now = START + second * SECOND
        ages = random.integers(0, SECOND, len(numbers))
        value = middle[order] * (1 + 0.001 * random.standard_normal(len(numbers)))
        yield now, SampleBatch(numbers[order], now - ages, value, np.zeros(len(numbers), np.uint8))


def grid_rate(plant: Plant, count: int, per_point: int) -> dict[str, float]:
    """Return samples/s of the grid alone, batch in to step out."""
    grid, spent, samples = Grid(plant), 0.0, 0
    grid.tick(START)
    for number, (now, batch) in enumerate(seconds(plant, count + 3, per_point)):
        begin = time.perf_counter()
        grid.take(batch, BatchHeader("b", now), number)
        grid.tick(now)
        if number >= 3:
            spent += time.perf_counter() - begin
            samples += len(batch)
    return {"samples_per_s": samples / spent, "ms_per_step": 1e3 * spent / count}


def detector(plant: Plant) -> tuple[WarningModel, bytes]:
    """Return the default ensemble over the first points of a plant, fitted on noise."""
    points = plant.points[:VARIABLES]
    names = tuple(point.path for point in points)
    middle = np.array([((point.low or 0.0) + (point.high or 100.0)) / 2 for point in points])
    values = middle * (1 + 0.001 * np.random.default_rng(2).standard_normal((600, len(points))))
    fitted = fit(Table(names, START + np.arange(600) * 10 * SECOND, values), Settings(0.001))
    return WarningModel("bench", ModelKind.DETECTOR, step=SECOND), fitted.encode(model_id="bench")


def engine_cost(plant: Plant, features: Library, models: tuple[WarningModel, ...], count: int) -> dict[str, Any]:
    """Return steps/s and samples/s of the whole engine, ms a step of each part, and the size of a snapshot."""
    model, file = detector(plant)
    engine = WarnEngine(plant, (*models, model), features, {("bench", 1): file}, "b")
    spent = dict.fromkeys(("grid", *engine.members), 0.0)
    samples = 0
    engine.grid.tick(START)
    for number, (now, batch) in enumerate(seconds(plant, count + 15)):
        if number == 15:
            spent, samples = dict.fromkeys(spent, 0.0), 0
        begin = time.perf_counter()
        engine.take(batch, BatchHeader("b", now), number)
        steps = engine.grid.tick(now)
        spent["grid"] += time.perf_counter() - begin
        samples += len(batch)
        for step in steps:
            for name, member in engine.members.items():
                begin = time.perf_counter()
                member.step(step)
                spent[name] += time.perf_counter() - begin
    whole = sum(spent.values())
    begin = time.perf_counter()
    state = engine.snapshot()
    return {
        "points": len(plant.points),
        "bound_features": len(engine.features.bound),
        "steps_per_s": count / whole,
        "samples_per_s": samples / whole,
        "ms_per_step": {name: 1e3 * one / count for name, one in spent.items()},
        "snapshot_mb": len(state) / 1e6,
        "snapshot_ms": 1e3 * (time.perf_counter() - begin),
        "state_kb_per_unit": len(state) / 1e3 / max(len({point.path.rpartition("/")[0] for point in plant.points}), 1),
    }


def run(quick: bool = False, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Return the figures; ``ok`` says whether the grid takes the samples it must."""
    large, site = many_points(POINTS // (10 if quick else 1)), park()
    trend = tuple(model for model in load_models() if model.kind is ModelKind.TREND)
    progress("the grid alone")
    grid = {"one_a_point_and_second": grid_rate(large, 10, 1), "ten": grid_rate(large, 5, 10)}
    progress("the virtual park: every built-in model, all features, a detector")
    count = 60 if quick else 300
    of_park = engine_cost(site, library(), load_models(), count)
    progress("many points: trends and a detector")
    of_many = engine_cost(large, NO_FEATURES, trend, 30 if quick else 60)
    return {
        "grid": grid,
        "park": of_park,
        "many_points": of_many,
        "goal_samples_per_s": GOAL_SAMPLES,
        "detector_variables": VARIABLES,
        "ok": grid["ten"]["samples_per_s"] >= GOAL_SAMPLES,
    }

"""Runs the test vectors of a feature through the engine itself, on a little plant made for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from anlan.core.severity import WarningGrade
from anlan.core.time import SECOND
from anlan.plant.model import AlarmDefinition, FeatureBinding, Plant, Point, SiteInfo, Unit, WarnPlan
from anlan.warn.features import kernels
from anlan.warn.features.engine import FeatureEngine
from anlan.warn.features.library import FeatureFileError, Library, number, read_file
from anlan.warn.features.specs import Expectation, FeatureSpec, Vector
from anlan.warn.step import Step

_START = 1_700_000_040 * SECOND
_UNIT = "site/area/unit"
_LONGEST = 100_000
_NAMES = {
    value: name.lower() for name, value in vars(kernels).items() if name.isupper() and type(value) is int
}  # one comprehension


def series(entries: list[Any]) -> list[float]:
    """Return the numbers of a series as written in a test vector (see ``Vector``)."""
    found: list[float] = []
    for entry in entries:
        if entry is None:
            found.append(math.nan)
        elif isinstance(entry, dict):
            if entry["period"] <= 0 or not 0 < entry["steps"] <= _LONGEST:
                raise ValueError(f"a wave needs a period and 1 to {_LONGEST} steps")
            steps = np.arange(entry["steps"])
            found += list(entry.get("about", 0.0) + entry["wave"] * np.sin(2 * np.pi * steps / entry["period"]))
        elif isinstance(entry, list) and len(entry) == 2:
            found += [math.nan if entry[0] is None else float(entry[0])] * min(int(entry[1]), _LONGEST + 1)
        elif isinstance(entry, list):
            found += list(np.linspace(entry[0], entry[1], min(int(entry[2]), _LONGEST + 1)))
        else:
            found.append(float(entry))
    return found


def check_vectors(spec: FeatureSpec) -> list[str]:
    """Return what the test vectors of ``spec`` find wrong, each as a sentence."""
    found = []
    for n, vector in enumerate(spec.tests):
        try:
            found += [f"feature {spec.id}, tests[{n}]: {text}" for text in _mismatches(spec, vector)]
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            found.append(f"feature {spec.id}, tests[{n}]: cannot be read: {error}")
    return found


def check_file(path: Path, pack: str = "") -> tuple[tuple[FeatureSpec, ...], list[str]]:
    """Check a feature file: its form, and every test vector in it.

    Returns:
        The features (empty when the form is wrong) and the problems found, each with file, line and field or vector.
    """
    try:
        specs = read_file(path, pack)
    except FeatureFileError as error:
        return (), error.problems
    return specs, [f"{path}: {problem}" for spec in specs for problem in check_vectors(spec)]


def _mismatches(spec: FeatureSpec, vector: Vector) -> Iterator[str]:
    columns = {name: series(entries) for name, entries in vector.series.items()}
    length = max(len(column) for column in columns.values())
    if length > _LONGEST:
        yield f"has {length} steps, at most {_LONGEST} are run"
        return
    spec = alone(spec)
    plant = _plant(spec, vector)
    engine = FeatureEngine(plant, Library([spec]))
    if len(engine.bound) != 1:
        reasons = "; ".join(en for _, en in engine.unbound.get(spec.id, {}).values())
        yield f"binds {len(engine.bound)} times on its own test plant: {reasons or 'too few inputs in series'}"
        return
    state = engine.start()
    values, codes = np.empty(length), np.empty(length, np.int64)
    for n in range(length):
        engine.step(state, _step(spec, plant, columns, n))
        values[n], codes[n] = state.values[0], state.codes[0]
    for expected in vector.expect:
        at = range(length)[expected.at]
        yield from _compare(engine, expected, at, values[at], int(codes[at]))


def _compare(engine: FeatureEngine, expected: Expectation, at: int, value: float, code: int) -> Iterator[str]:
    if expected.value is not None and not abs(value - expected.value) <= expected.within:
        yield f"step {at}: {expected.value:g} ± {expected.within:g} expected, {value:.6g} ({_NAMES[code]}) computed"
    if expected.grade is not None:
        grade = int(engine.grade(np.array([value]))[0])
        name = WarningGrade(grade).name.lower() if grade else "none"
        if name != expected.grade:
            yield f"step {at}: grade {expected.grade} expected, {name} at {value:.6g} ({_NAMES[code]}) computed"
    if expected.reason is not None and _NAMES[code] != expected.reason:
        yield f"step {at}: reason {expected.reason} expected, {_NAMES[code]} ({value:.6g}) computed"


def alone(spec: FeatureSpec) -> FeatureSpec:
    """Return the feature as one unit can hold it: inputs told apart by their own names, other features as points."""
    kinds = {name: (item.kind or "other").split("|")[0] for name, item in spec.inputs.items()}
    inputs = {
        name: msgspec.structs.replace(
            item,
            kind=kinds[item.like or name],
            match=f"{name}-*",
            many=item.many or bool(item.feature),
            **_EVERYWHERE,
        )
        for name, item in spec.inputs.items()
    }
    scope = "point" if spec.scope == "point" else "unit"
    return msgspec.structs.replace(spec, inputs=inputs, of="", pack="", scope=scope)


_EVERYWHERE: dict[str, Any] = {
    "where": "unit",
    "of": "",
    "like": "",
    "exclude": "",
    "feature": "",
    "same": "",
    "least": 1,
}


def _plant(spec: FeatureSpec, vector: Vector) -> Plant:
    points = []
    for n, key in enumerate(vector.series):
        name = key.split("#")[0]
        item = spec.inputs[name]
        ends = {ref.range: vector.limits.get(end) for end, ref in spec.inputs.items() if ref.range and ref.at == name}
        path = f"{_UNIT}/{name}-{n}"
        points.append(Point(n + 1, path, item.kind, item.unit, low=ends.get("low"), high=ends.get("high")))
    alarms = []
    for name, item in spec.inputs.items():
        if item.limit and name in vector.limits:
            kind = item.limit.split("|")[0]
            point = list(vector.series).index(item.at) + 1
            alarms.append(AlarmDefinition(f"{name}.{kind}", point, kind, 2, limit=vector.limits[name]))
    parameters = {key: number(value) for key, value in vector.parameters.items()}
    warn = WarnPlan((FeatureBinding(spec.id, _UNIT, {}, parameters),))
    return Plant(SiteInfo("site", "site"), units=(Unit(_UNIT),), points=tuple(points), alarms=tuple(alarms), warn=warn)


def _step(spec: FeatureSpec, plant: Plant, columns: dict[str, list[float]], n: int) -> Step:
    time = _START - _START % (spec.step * SECOND) + (n + 1) * spec.step * SECOND
    now = np.array([column[min(n, len(column) - 1)] for column in columns.values()])
    takes = [spec.inputs[name.split("#")[0]].take for name in columns]
    good = np.isfinite(now)
    plain = np.array([take in ("mean", "last", "low", "high") for take in takes])
    value = np.where(plain, now, 0.0)
    counted = {
        take: np.nan_to_num(np.where([t == take for t in takes], now, 0.0)) for take in ("raised", "active", "bad")
    }
    ages = np.array([now[k] if takes[k] == "age" else 0.0 for k in range(len(now))])
    count = np.where([take == "count" for take in takes], np.nan_to_num(now), good * 1.0)
    return Step(
        time,
        value,
        value,
        value,
        value,
        count.astype(np.int32),
        (counted["bad"] > 0) | (plain & ~good),
        (time - ages * SECOND).astype(np.int64),
        counted["raised"].astype(np.int32),
        counted["active"].astype(np.int8),
    )

"""A changed plant leaves what a feature has learnt where it was."""

from __future__ import annotations

import numpy as np

from anlan.core.time import SECOND
from anlan.plant.model import Plant, Point, SiteInfo, Unit
from anlan.warn.features.engine import FeatureEngine
from anlan.warn.features.library import library
from anlan.warn.step import Step
from anlan.warn.stream.feature_state import carry, keys_of

START = 1_764_000_000 * SECOND


def plant(*units: str) -> Plant:
    points = []
    for unit in units:
        for kind, unit_of, name in (("pressure", "MPa", "seal-pressure"), ("vibration", "mm/s", "vibration-1")):
            number = 100 * int(unit[-1]) + len(name)
            points.append(Point(number, f"e/a/{unit}/{name}", kind, unit_of, low=0.0, high=100.0))
    places = tuple(Unit(f"e/a/{unit}", kind="pump") for unit in units)
    return Plant(SiteInfo("s", "s"), points=tuple(points), units=places)


def step(the_plant: Plant, second: int) -> Step:
    numbers = np.array([point.number for point in the_plant.points], float)
    value = numbers / 100 + 0.01 * np.sin(second / 7 + numbers)
    count, time = len(numbers), START + second * SECOND
    return Step(
        time, value, value, value, value, np.ones(count, np.int32), np.zeros(count, np.bool_),
        np.full(count, time, np.int64), np.zeros(count, np.int32), np.zeros(count, np.int8),
    )  # fmt: skip


def test_bindings_that_stay_go_on_as_if_nothing_had_been() -> None:
    small, large = plant("pump-2"), plant("pump-1", "pump-2", "pump-3")
    old, new = FeatureEngine(small, library()), FeatureEngine(large, library())
    kept = old.start()
    for second in range(1, 2401):
        kept, _ = old.step(kept, step(small, second))
    state = carry(new, keys_of(old), kept.snapshot())
    for second in range(2401, 3001):
        kept, before = old.step(kept, step(small, second))
        state, after = new.step(state, step(large, second))
    row = {key: index for index, key in enumerate(keys_of(new))}
    shared = [(index, row[key]) for index, key in enumerate(keys_of(old)) if key in row]
    per_machine = [(a, b) for a, b in shared if old.bound[a].feature.id.startswith(("pump.", "vibration."))]
    assert len(per_machine) >= 2
    finite = [pair for pair in per_machine if np.isfinite(before[pair[0]])]
    assert finite
    for one, other in per_machine:
        np.testing.assert_allclose(after[other], before[one], rtol=1e-9)


def test_new_bindings_begin_anew() -> None:
    small, large = plant("pump-2"), plant("pump-1", "pump-2")
    old, new = FeatureEngine(small, library()), FeatureEngine(large, library())
    kept = old.start()
    for second in range(1, 1201):
        kept, _ = old.step(kept, step(small, second))
    state = carry(new, keys_of(old), kept.snapshot())
    fresh = [index for index, bound in enumerate(new.bound) if bound.path.startswith("e/a/pump-1")]
    assert fresh
    assert not np.isfinite(state.values[fresh]).any()
    assert state.time == START + 1200 * SECOND

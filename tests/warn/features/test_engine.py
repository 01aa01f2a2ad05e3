"""The engine: same result in one go and after a restart, honest where it has none, explained."""

from __future__ import annotations

import math
import time

import msgspec
import numpy as np
import pytest

from anlan.core.severity import WarningGrade
from anlan.core.time import SECOND
from anlan.plant.model import Plant, Point, SiteInfo, Unit
from anlan.sim.park import Park
from anlan.sim.upsets import Scenario
from anlan.warn.features import kernels
from anlan.warn.features.engine import FeatureEngine
from anlan.warn.features.library import Library, library
from anlan.warn.features.rows import feature_rows
from anlan.warn.step import Step
from tests.sim.judge import plant as park_plant
from tests.warn.features.feed import Feed

UNIT = "e/a/e-1"
NAMES = ("hot-inlet", "hot-outlet", "cold-inlet", "cold-outlet", "hot-flow", "cold-flow")
CALM = np.array([110.0, 70.0, 26.0, 36.0, 50.0, 120.0])
START = 1_700_000_040 * SECOND


PARK = FeatureEngine(park_plant())


def exchanger() -> FeatureEngine:
    points = tuple(
        Point(n + 1, f"{UNIT}/{name}", "flow" if "flow" in name else "temperature", "t/h" if "flow" in name else "°C")
        for n, name in enumerate(NAMES)
    )
    plant = Plant(SiteInfo("s", "s"), units=(Unit(UNIT, kind="exchanger"),), points=points)
    return FeatureEngine(plant, Library([library().features["exchanger.heat-balance-residual"]]))


def step(n: int, values: np.ndarray) -> Step:
    count = len(values)
    changed = np.full(count, START + n * SECOND)
    return Step(
        START + n * SECOND, values, values, values, values, np.ones(count, np.int32), ~np.isfinite(values), changed,
        np.zeros(count, np.int32), np.zeros(count, np.int8),
    )  # fmt: skip


@pytest.fixture
def calm() -> tuple[FeatureEngine, object, int]:
    engine = exchanger()
    state = engine.start()
    for n in range(1, 2401):
        engine.step(state, step(n, CALM))
    return engine, state, 2400


def test_values_grades_and_top_contribution(calm) -> None:  # type: ignore[no-untyped-def]  # fixture
    engine, state, n = calm
    assert state.values[0] == pytest.approx(0.0, abs=1e-9)
    assert list(engine.grade(state.values)) == [0]
    lost = CALM.copy()
    lost[5] = 60.0  # half the cooling water is gone
    for k in range(n + 1, n + 1200):
        engine.step(state, step(k, lost))
    assert WarningGrade(int(engine.grade(state.values)[0])) in (WarningGrade.YELLOW, WarningGrade.ORANGE)
    first = engine.explain(0)[0]
    assert first.name == f"{UNIT}/cold-flow"
    assert first.share > 0.9
    assert first.value == 60.0
    assert first.expected == pytest.approx(110, abs=15)
    assert sum(item.share for item in engine.explain(0)) == pytest.approx(1.0)


def test_a_lost_input_gives_no_value_and_a_reason(calm) -> None:  # type: ignore[no-untyped-def]  # fixture
    engine, state, n = calm
    lost = CALM.copy()
    lost[0] = math.nan
    for k in range(n + 1, n + 21):
        engine.step(state, step(k, lost))
    (row,) = feature_rows(engine, state)
    assert math.isnan(state.values[0])
    assert engine.grade(state.values)[0] == 0
    assert row.values[0].value is None
    assert row.values[0].reason == "an input is missing, bad or stale"
    assert row.values[0].reason_zh
    assert row.values[0].inputs["cold_flow"] == f"{UNIT}/cold-flow"


def test_while_learning_it_says_so() -> None:
    engine = exchanger()
    state = engine.start()
    for n in range(1, 61):
        engine.step(state, step(n, CALM))
    assert state.codes[0] == kernels.LEARNING
    assert feature_rows(engine, state)[0].values[0].reason == "is learning what is normal here"


def test_outside_its_validity_range_there_is_no_value(calm) -> None:  # type: ignore[no-untyped-def]  # fixture
    engine, state, n = calm
    spec = msgspec.structs.replace(engine.bound[0].feature, low=-0.5, high=0.5)
    narrow = FeatureEngine(engine.plant, Library([spec]))
    restored = narrow.restore(state.snapshot())
    hot = CALM.copy()
    hot[5] = 60.0
    for k in range(n + 1, n + 601):
        narrow.step(restored, step(k, hot))
    assert math.isnan(restored.values[0])
    assert restored.codes[0] == kernels.RANGE


def test_rows_carry_the_library_and_what_cannot_run() -> None:
    engine = PARK
    rows = {row.id: row for row in feature_rows(engine, engine.start(), path="donglan/eo")}
    assert set(rows) == {spec.id for spec in library().of(park_plant().packs)}
    assert {value.path.split("/")[1] for value in rows["exchanger.fouling"].values} == {"eo"}
    assert rows["pump.npsh-margin"].unbound["donglan/eo/p-201a"]
    assert rows["exchanger.fouling"].grades == {"blue": -5.0, "yellow": -8.0, "orange": -16.0}
    assert len(feature_rows(engine, engine.start(), id="exchanger.fouling")) == 1


def test_a_gap_empties_windows_but_not_what_was_learned() -> None:
    engine = FeatureEngine(
        Plant(
            SiteInfo("s", "s"),
            units=(Unit("e/a/t", kind="tank"),),
            points=(Point(1, "e/a/t/pressure", "pressure", "kPa"),),
        ),
        Library([library().features["tank.pressure-rise-rate"]]),
    )
    state = engine.start()
    for n in range(1, 601):
        engine.step(state, step(n, np.array([700.0])))
    assert state.codes[0] == kernels.OK
    for n in range(4201, 4301):
        engine.step(state, step(n, np.array([900.0])))
    assert state.codes[0] == kernels.FILLING, "a jump over an hour's gap is no rise within minutes"


@pytest.fixture(scope="module")
def recorded() -> list[Step]:
    park = Park(3, speed=5, scenario=Scenario.quiet())
    return list(Feed(park_plant(), park).steps(180))


def test_a_restart_goes_on_exactly(recorded: list[Step]) -> None:
    engine = PARK
    whole = engine.start()
    for taken in recorded:
        engine.step(whole, taken)
    first = engine.start()
    for taken in recorded[:95]:
        engine.step(first, taken)
    second = FeatureEngine(park_plant())
    state = second.restore(first.snapshot())
    for taken in recorded[95:]:
        second.step(state, taken)
    assert np.isfinite(whole.values).sum() > 5000
    np.testing.assert_array_equal(whole.values, state.values)
    np.testing.assert_array_equal(whole.codes, state.codes)


def test_a_snapshot_of_other_bindings_is_not_taken(recorded: list[Step]) -> None:
    state = PARK.start()
    for taken in recorded[:30]:
        PARK.step(state, taken)
    points = park_plant().points
    swapped = msgspec.structs.replace(park_plant(), points=(points[1], points[0], *points[2:]))
    other = FeatureEngine(swapped).restore(state.snapshot())
    assert other.time == 0
    assert np.isnan(other.values).all()
    assert PARK.restore(state.snapshot()).time == state.time


def test_steps_are_not_changed_and_every_nan_has_a_reason(recorded: list[Step]) -> None:
    engine = PARK
    state = engine.start()
    before = recorded[0].last.copy()
    for taken in recorded[:60]:
        engine.step(state, taken)
    np.testing.assert_array_equal(recorded[0].last, before)
    np.testing.assert_array_equal(np.isnan(state.values), state.codes != kernels.OK)


def test_state_of_a_unit_is_small(recorded: list[Step]) -> None:
    engine = PARK
    size = sum(array.nbytes for array in engine.start().snapshot().values())
    assert size / len(park_plant().units) < 300_000


def test_a_start_up_in_the_learning_period_is_not_taken_for_normal() -> None:
    engine = exchanger()
    state = engine.start()
    rough = CALM.copy()
    for n in range(1, 2401):
        rough[5] = 120.0 - max(0.0, 60.0 - n / 5)  # the first five minutes are the start of the unit
        engine.step(state, step(n, rough))
    assert abs(state.values[0]) < 1.0
    for n in range(2401, 3001):
        rough[5] = 80.0
        engine.step(state, step(n, rough))
    assert engine.grade(state.values)[0] in (1, 2, 3)


def test_a_slow_fault_is_not_learned_as_normal(calm) -> None:  # type: ignore[no-untyped-def]  # fixture
    engine, state, n = calm
    slow = CALM.copy()
    grades = []
    for k in range(1, 7201):
        slow[5] = 120.0 * (1.0 - 0.3 * k / 7200)
        engine.step(state, step(n + k, slow))
        grades.append(int(engine.grade(state.values)[0]))
    assert grades[-1] in (1, 2, 3)
    assert all(grade <= 3 for grade in grades[grades.index(3) :]), "once seen it does not fade"


def test_what_a_step_costs(recorded: list[Step], capsys: pytest.CaptureFixture[str]) -> None:
    state = PARK.start()
    PARK.step(state, recorded[0])
    began = time.process_time()
    for taken in recorded[1:61]:
        PARK.step(state, taken)
    spent = (time.process_time() - began) / 60
    with capsys.disabled():
        count = len(PARK.plant.points)
        print(f"\n{count} points, {len(PARK.bound)} features: {count / spent / 1e6:.1f} M point-steps/s a core")

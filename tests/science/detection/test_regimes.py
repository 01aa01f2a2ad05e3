"""Operating regimes: as many as the plant has, found by their gaps; what was never trained on is said to be new."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Floats, Notes
from anlan.science.detection.regimes import (
    KNOWN,
    NEW,
    PASSING,
    UNKNOWN,
    Regimes,
    RegimeWatch,
    find_settings,
    fit_regimes,
)

# Flight conditions of the turbofan simulator (altitude kft, Mach, throttle %), Saxena et al., PHM 2008.
CONDITIONS = np.array([[0, 0, 100], [10, 0.25, 100], [20, 0.7, 100], [25, 0.62, 60], [35, 0.84, 100], [42, 0.84, 100]])


def flights(rows: int, seed: int) -> tuple[Floats, np.ndarray]:
    generator = np.random.default_rng(seed)
    which = generator.integers(len(CONDITIONS), size=rows)
    spread = generator.uniform(0, 1, size=(rows, 3)) * [0.008, 0.002, 0.0]
    return CONDITIONS[which] + spread, which


@pytest.mark.parametrize("seed", range(5))
def test_six_flight_conditions_are_six_regimes(seed: int) -> None:
    values, which = flights(1500, seed)
    regimes = fit_regimes(values)
    assert len(regimes) == 6
    # The conditions rise in altitude, and so do the regimes' numbers.
    assert regimes.assign(values).tolist() == which.tolist()
    later, among = flights(300, seed + 100)
    assert regimes.assign(later).tolist() == among.tolist()
    assert regimes.known(later).all()


@pytest.mark.parametrize(
    "shape",
    [
        lambda g: g.normal(size=(2000, 3)),
        lambda g: g.uniform(size=(2000, 1)),
        lambda g: g.exponential(size=(2000, 2)),
        lambda g: np.cumsum(g.normal(size=(2000, 1)), axis=0),
        lambda g: g.standard_t(2, size=(2000, 2)),
        lambda g: np.full((50, 2), 7.0),
    ],
    ids=["cloud", "even", "skewed", "drift", "tails", "constant"],
)
def test_what_has_no_gap_is_one_regime(shape: Callable[[np.random.Generator], Floats]) -> None:
    for seed in range(2):
        assert len(fit_regimes(shape(np.random.default_rng(seed)))) == 1


def test_the_same_rows_give_the_same_regimes() -> None:
    values, _ = flights(800, 1)
    first, second = fit_regimes(values), fit_regimes(values.copy())
    assert all(first.save()[name].tobytes() == second.save()[name].tobytes() for name in first.save())


def test_missing_settings_do_not_count_and_no_setting_is_unknown() -> None:
    values, which = flights(900, 2)
    regimes = fit_regimes(values)
    rows = values[:50].copy()
    rows[:, 2] = np.nan
    assert regimes.assign(rows).tolist() == which[:50].tolist()
    assert regimes.assign(np.full((2, 3), np.nan)).tolist() == [UNKNOWN, UNKNOWN]


def test_set_points_are_the_columns_that_mostly_stand_still() -> None:
    generator = np.random.default_rng(0)
    steps = np.repeat([50.0, 55.0, 50.0, 60.0], 250)
    table = np.column_stack([generator.normal(size=1000), steps, np.ones(1000), np.round(generator.normal(size=1000))])
    assert find_settings(table).tolist() == [1]


def test_a_constant_setting_that_changes_is_outside() -> None:
    values, _ = flights(600, 3)
    values[:, 2] = 100.0
    regimes = fit_regimes(values)
    moved = values[:5].copy()
    assert regimes.known(moved).all()
    moved[:, 2] = 60.0
    assert not regimes.known(moved).any()


def settled(values: Floats, settle: int = 20) -> np.ndarray:
    watch = RegimeWatch(settle).fit(flights(900, 4)[0], Notes())
    return np.asarray(watch.update(watch.start(), values)[0]["said"])


def test_a_new_regime_is_new_only_after_it_has_settled() -> None:
    there = np.tile([15.0, 0.5, 100.0], (60, 1))
    said = settled(np.concatenate([flights(30, 5)[0], there]))
    assert said[:30].tolist() == [KNOWN] * 30
    assert said[30:49].tolist() == [PASSING] * 19
    assert said[49:].tolist() == [NEW] * 41


def test_a_ramp_does_not_settle() -> None:
    ramp = np.column_stack([np.linspace(11, 19, 200), np.linspace(0.3, 0.65, 200), np.full(200, 100.0)])
    assert NEW not in settled(ramp)


MIXED = np.concatenate([flights(60, 6)[0], np.tile([15.0, 0.5, 100.0], (40, 1)), flights(60, 7)[0]])
WATCH = RegimeWatch().fit(flights(900, 4)[0], Notes())


@given(st.lists(st.integers(0, len(MIXED)), max_size=6))
@settings(max_examples=25, deadline=None)
def test_parts_are_judged_as_the_whole(cuts: list[int]) -> None:
    state, whole = WATCH.update(WATCH.start(), MIXED)
    told = state["said"]
    state, scores, said = WATCH.start(), [], []
    for start, stop in pairwise(sorted([0, *cuts, len(MIXED)])):
        state, part = WATCH.update(state, MIXED[start:stop])
        scores.append(part.score)
        said.append(state["said"])
    assert np.concatenate(scores).tobytes() == whole.score.tobytes()
    assert np.concatenate(said).tolist() == told.tolist()


def test_the_watch_is_read_back_and_names_the_setting() -> None:
    again = RegimeWatch.load(WATCH.save())
    _, scores = again.update(again.start(), np.array([[20.0, 0.7, 80.0]]))
    assert scores.score[0] > 1
    assert int(scores.contribution[0].argmax()) == 2
    with pytest.raises(DecodeError):
        Regimes.load({name: array for name, array in WATCH.save().items() if name != "reach"})


def test_settings_of_another_shape_or_all_missing_are_told() -> None:
    with pytest.raises(InvalidInputError, match="for 3 settings"):
        fit_regimes(flights(100, 1)[0]).assign(np.zeros((4, 2)))
    with pytest.raises(InvalidInputError, match="no row has all settings"):
        fit_regimes(np.array([[1.0, np.nan], [np.nan, 2.0]]))

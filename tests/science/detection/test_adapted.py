"""Regimes and recalibration before the ensemble: a new set-point is no fault, a fault is one in every regime."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.adapted import CLOCK, Adapted, _without_unjudged, fit_adapted
from anlan.science.detection.ensemble import Ensemble, Settings
from anlan.science.detection.protocol import Floats, Table
from anlan.science.detection.regimes import KNOWN, NEW, PASSING

NAMES = ("set_point", "level", "flow", "power")
LAG = 6.0


def plant(set_points: Floats, seed: int) -> Table:
    """Return a tank that follows its set-point with a lag of six rows; spread and gains differ from load to load."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(len(set_points), 3))
    followed = np.empty(len(set_points))
    level = set_points[0]
    for row, wanted in enumerate(set_points):
        level += (wanted - level) / LAG
        followed[row] = level
    flow = 0.4 * followed + 0.002 * followed**2 + 0.02 * followed * noise[:, 1]
    power = 5 + 0.1 * flow + 0.2 * noise[:, 2] + 0.3 * noise[:, 1]
    values = np.column_stack([set_points, followed + 0.3 * noise[:, 0], flow, power])
    return Table(NAMES, np.arange(len(set_points), dtype=np.int64), values)


LOADS = np.repeat(np.tile([20.0, 60.0, 40.0], 4), 100)
TRAIN = plant(LOADS, 1)
RARE = Settings(false_alarm_share=0.001)
FITTED = fit_adapted(TRAIN, RARE, set_points=("set_point",), recalibrate=True)
PLAIN = fit_adapted(TRAIN, RARE)
TEST = plant(np.repeat([40.0, 20.0, 50.0, 60.0], 100), 2)


def judge(fitted: Adapted, table: Table) -> tuple[Floats, Floats, Floats]:
    _, scores, said = fitted.update(fitted.start(), table.time, table.values)
    return scores.score, scores.alarm, said


def test_a_change_of_set_point_is_no_alarm_and_a_new_one_is_said_to_be_new() -> None:
    score, alarm, said = judge(FITTED, TEST)
    assert set(said[:100]) == {KNOWN}
    # 40 to 20: not judged until settled, then judged.
    assert said[100] == PASSING
    assert set(said[150:200]) == {KNOWN}
    # 50 was never trained on.
    assert set(said[230:300]) == {NEW}
    assert np.isnan(score[200:300]).all()
    assert set(said[350:]) == {KNOWN}
    assert alarm.mean() < 0.05


def test_a_fault_is_found_in_every_regime() -> None:
    for load in (20.0, 40.0, 60.0):
        table = plant(np.full(300, load), 3)
        table.values[150:, 3] += 2.5
        _, alarm, _ = judge(FITTED, table)
        assert alarm[:150].mean() < 0.1
        assert alarm[160:].mean() > 0.9


def test_a_spread_too_wide_for_its_regime_is_seen_only_with_regimes() -> None:
    table = plant(np.full(300, 20.0), 4)
    table.values[:, 2] += 1.8  # usual at a load of 60, far off at 20
    assert judge(FITTED, table)[1].mean() > 0.9
    assert judge(PLAIN, table)[1].mean() < judge(FITTED, table)[1].mean()


@given(st.lists(st.integers(0, len(TEST)), max_size=6))
@settings(max_examples=15, deadline=None)
def test_parts_are_judged_as_the_whole(cuts: list[int]) -> None:
    end, whole, told = FITTED.update(FITTED.start(), TEST.time, TEST.values)
    state, scores, said = FITTED.start(), [], []
    for start, stop in pairwise(sorted([0, *cuts, len(TEST)])):
        piece = TEST.rows(start, stop)
        state, part, regime = FITTED.update(state, piece.time, piece.values)
        scores.append(part.score)
        said.append(regime)
    np.testing.assert_allclose(np.concatenate(scores), whole.score, rtol=1e-9, atol=1e-9)
    assert np.concatenate(said).tolist() == told.tolist()
    assert state.keys() == end.keys()


def test_it_is_read_back_and_no_plain_ensemble_reads_it() -> None:
    raw = FITTED.encode(owner="shift A", created=7)
    again = Adapted.decode(raw)
    np.testing.assert_array_equal(judge(again, TEST)[0], judge(FITTED, TEST)[0])
    assert again.ensemble.info.owner == "shift A"
    assert again.ensemble.info.validity["flow"][1] == TRAIN.values[:, 2].max()
    with pytest.raises(DecodeError):
        Ensemble.decode(raw)
    plain = Adapted.decode(PLAIN.encode())
    assert plain.scaling is None
    np.testing.assert_array_equal(judge(plain, TEST)[0], judge(PLAIN, TEST)[0])


def test_a_set_point_lost_for_a_while_counts_as_unchanged() -> None:
    table = plant(np.full(200, 40.0), 5)
    table.values[50:60, 0] = np.nan
    _, _, said = judge(FITTED, table)
    assert set(said) == {KNOWN}


def test_a_change_of_regime_does_not_clear_the_memory_but_a_pause_does() -> None:
    """The ensemble's rows run on over unjudged ones: their time is taken out."""
    judged = np.array([True, True, False, False, True, True])
    clock, running = _without_unjudged(CLOCK, np.array([10, 11, 12, 13, 14, 90]), judged)
    assert running[judged].tolist() == [10, 11, 12, 88]
    _, later = _without_unjudged(clock, np.array([91, 92]), np.array([False, True]))
    assert later[1] == 89


def test_drift_is_told() -> None:
    table = plant(np.full(2500, 40.0), 6)
    table.values[:, 1] += np.linspace(0, 0.4, 2500)
    state, _, _ = FITTED.update(FITTED.start(), table.time, table.values)
    assert FITTED.drift(state)["level"] > 0.5
    assert PLAIN.drift(PLAIN.start()) == {}


def test_a_set_point_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInputError, match="speed are not in the table"):
        fit_adapted(TRAIN, set_points=("speed",))

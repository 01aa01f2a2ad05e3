"""p-values and what the benchmark counts: small cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.science.detection.bench import episodes, judge_fault, judge_rows, judge_window, nab_sigmoid
from anlan.science.detection.calibrate import PValues
from anlan.science.detection.fusion import independent_rows


def test_p_values_of_fresh_rows_are_uniform() -> None:
    generator = np.random.default_rng(1)
    p_values = PValues.fit(generator.standard_normal(5000))
    p = p_values(generator.standard_normal(50_000))
    for share in (0.5, 0.05, 0.01, 0.002):  # the exponential tail is the cautious side of a normal one
        assert 0.4 * share < (p <= share).mean() < 1.3 * share


def test_p_values_fall_with_the_score_and_stay_unknown_for_nan() -> None:
    p_values = PValues.fit(np.random.default_rng(2).standard_normal(300))
    p = p_values(np.linspace(-5, 50, 400))
    assert (np.diff(p) <= 1e-12).all()
    assert (p > 0).all()
    assert np.isnan(p_values(np.array([np.nan]))[0])


@pytest.mark.parametrize("share", [0.2, 0.01, 1e-4])
def test_the_threshold_has_the_p_value_asked_for(share: float) -> None:
    p_values = PValues.fit(np.random.default_rng(3).standard_normal(2000))
    assert p_values(np.array([p_values.threshold(share)]))[0] == pytest.approx(share, rel=0.02)


def test_few_separate_excursions_make_the_tail_wider() -> None:
    scattered = np.random.default_rng(4).standard_normal(1000)
    together = np.sort(scattered)
    assert PValues.fit(together).threshold(0.001) > PValues.fit(scattered).threshold(0.001)


def test_rows_with_memory_are_worth_fewer() -> None:
    generator = np.random.default_rng(5)
    white = generator.standard_normal((4000, 1))
    slow = white.copy()
    for row in range(1, 4000):
        slow[row] += 0.9 * slow[row - 1]
    assert independent_rows(white)[0] > 3000
    assert 120 < independent_rows(slow)[0] < 420  # 4000 (1 - 0.9) / (1 + 0.9) = 210


def test_a_fault_is_judged_row_by_row() -> None:
    fault = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1], bool)
    alarm = np.array([0, 1, 0, 0, 0, 1, 0, 1, 1, 1], bool)
    judged = judge_fault(alarm, fault)
    assert (judged.detection, judged.delay, judged.delay_three, judged.false_alarm) == (4 / 6, 1, 3, 0.25)
    silent = judge_fault(np.zeros(10, bool), fault)
    assert (silent.found, silent.delay, silent.delay_three) == (False, 6, 6)


def test_pooled_rates() -> None:
    judged = judge_rows(np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 1], bool))
    assert (judged.f1, judged.false_alarm, judged.missed) == (2 * 2 / (4 + 1 + 1), 0.5, 1 / 3)


def test_a_window_gives_the_lead_to_its_label() -> None:
    time = np.arange(10)
    alarm = np.isin(time, (1, 4, 5))
    judged = judge_window(time, alarm, (3, 8), 7)
    assert judged is not None
    assert (judged.found, judged.lead) == (True, 3.0)
    assert judge_window(time, alarm, (20, 30), 25) is None


def test_nab_reward_runs_from_near_one_to_zero() -> None:
    assert nab_sigmoid(-1.0) == pytest.approx(0.98661, abs=1e-5)
    assert nab_sigmoid(0.0) == 0.0


def test_episodes_count_runs() -> None:
    assert episodes(np.array([1, 1, 0, 1, 0, 0, 1], bool)) == 3

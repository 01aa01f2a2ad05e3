"""Isolation forest and half-space trees: equal to their yardstick, the same in batch and stream, readable back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest as Yardstick

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Notes
from anlan.science.detection.trees import HalfSpaceTrees, IsolationForest, average_path_length

GENERATOR = np.random.default_rng(7)
TRAIN = GENERATOR.normal(size=(400, 5)) @ GENERATOR.normal(size=(5, 5))
TEST = np.concatenate([TRAIN[:100] + 0.1, GENERATOR.normal(size=(200, 5)) * 8])
FOREST = IsolationForest(trees=40, seed=3).fit(TRAIN, Notes())
HALVES = HalfSpaceTrees(window=40, seed=3).fit(TRAIN, Notes())


@pytest.mark.parametrize(("trees", "sample", "seed"), [(1, 16, 0), (40, 256, 3), (7, 400, 11)])
def test_the_forest_scores_as_scikit_learn_does(trees: int, sample: int, seed: int) -> None:
    forest = IsolationForest(trees, sample, seed).fit(TRAIN, Notes())
    yardstick = Yardstick(n_estimators=trees, max_samples=sample, random_state=seed).fit(TRAIN)
    _, scores = forest.update(forest.start(), TEST)
    np.testing.assert_allclose(scores.score, -yardstick.score_samples(TEST), rtol=0, atol=1e-9)


def test_path_length_of_small_nodes() -> None:
    # c(3) = 2 H(2) - 4/3 with the approximation H(i) = ln(i) + 0.5772156649 of the paper
    assert average_path_length(np.array([0.0, 1.0, 2.0, 3.0])) == pytest.approx(
        [0.0, 0.0, 1.0, 2 * (np.log(2) + 0.5772156649015329) - 4 / 3]
    )


@pytest.mark.parametrize("detector", [FOREST, HALVES])
def test_one_odd_variable_gets_most_of_the_blame(detector: IsolationForest | HalfSpaceTrees) -> None:
    plain = GENERATOR.normal(size=(2000, 6))
    odd = np.zeros((1, 6))
    odd[0, 4] = 9.0
    fitted = type(detector)(seed=1).fit(plain, Notes())
    _, scores = fitted.update(fitted.start(), odd)
    assert int(scores.contribution[0].argmax()) == 4
    assert scores.contribution[0].sum() == pytest.approx(scores.score[0])
    _, normal = fitted.update(fitted.start(), np.zeros((1, 6)))
    assert normal.score[0] < scores.score[0]


@given(st.lists(st.integers(0, len(TEST)), max_size=6))
@settings(max_examples=20, deadline=None)
def test_parts_score_as_the_whole(cuts: list[int]) -> None:
    for detector in (FOREST, HALVES):
        end, whole = detector.update(detector.start(), TEST)
        state, scores, blame = detector.start(), [], []
        for start, stop in pairwise(sorted([0, *cuts, len(TEST)])):
            state, part = detector.update(state, TEST[start:stop])
            scores.append(part.score)
            blame.append(part.contribution)
        assert np.concatenate(scores).tobytes() == whole.score.tobytes()
        assert np.concatenate(blame).tobytes() == whole.contribution.tobytes()
        assert state.keys() == end.keys()
        assert all(state[name].tobytes() == end[name].tobytes() for name in end)


@pytest.mark.parametrize("detector", [FOREST, HALVES])
def test_what_is_saved_scores_the_same(detector: IsolationForest | HalfSpaceTrees) -> None:
    again = type(detector).load(detector.save())
    assert again.update(again.start(), TEST)[1].score.tobytes() == (
        detector.update(detector.start(), TEST)[1].score.tobytes()
    )


@pytest.mark.parametrize("detector", [FOREST, HALVES])
def test_gaps_are_bridged_and_a_row_of_nothing_has_no_score(detector: IsolationForest | HalfSpaceTrees) -> None:
    rows = TEST[:3].copy()
    rows[0, 2] = np.nan
    rows[1] = np.nan
    _, scores = detector.update(detector.start(), rows)
    assert np.isfinite(scores.score).tolist() == [True, False, True]


@pytest.mark.parametrize("detector", [FOREST, HALVES])
def test_altered_trees_are_refused(detector: IsolationForest | HalfSpaceTrees) -> None:
    saved = detector.save()
    for name in saved:
        with pytest.raises(DecodeError):
            type(detector).load({key: array for key, array in saved.items() if key != name})
    with pytest.raises(DecodeError):
        type(detector).load(saved | {"feature": saved["feature"] + 5})


def test_a_walk_over_a_forest_that_bites_its_tail_is_refused() -> None:
    saved = FOREST.save()
    left = saved["left"].copy()
    left[0] = 0
    with pytest.raises(DecodeError):
        IsolationForest.load(saved | {"left": left})


def test_too_few_rows_are_told() -> None:
    with pytest.raises(InvalidInputError, match="59 complete training rows"):
        IsolationForest().fit(TRAIN[:59], Notes())
    notes = Notes()
    gaps = TRAIN.copy()
    gaps[:5, 0] = np.nan
    HalfSpaceTrees().fit(gaps, notes)
    assert "5 training rows with gaps" in notes.lines[0]


def test_half_space_trees_follow_a_drift_but_do_not_learn_a_fault() -> None:
    trees = HalfSpaceTrees(window=50, seed=2, forget=0.5).fit(TRAIN, Notes())
    fault = np.full((600, 5), TRAIN.max() * 3)
    _, scores = trees.update(trees.start(), fault)
    assert scores.score[-1] == scores.score[0]
    lean = TRAIN[np.argsort(TRAIN[:, 0])[200:]]
    state, scores = trees.update(trees.start(), np.tile(lean, (10, 1)))
    assert not np.array_equal(state["mass"], trees.start()["mass"])
    assert scores.score[-200:].mean() < scores.score[:200].mean()


def test_the_state_of_fifty_variables_stays_small() -> None:
    trees = HalfSpaceTrees().fit(np.random.default_rng(0).normal(size=(300, 50)), Notes())
    assert sum(array.nbytes for array in trees.start().values()) < 1 << 20

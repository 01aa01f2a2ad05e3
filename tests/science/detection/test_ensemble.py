"""The default ensemble: one way to run it, honest about what it cannot say, and named errors for bad training data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.ensemble import Ensemble, EnsembleScores, Settings, fit
from anlan.science.detection.protocol import Floats, State, Table, Times
from anlan.science.model_file import decode_model

SECOND = 1_000_000
NAMES = ("flow", "level", "pressure", "temperature", "valve")


def plant(rows: int, seed: int) -> Floats:
    """Five related variables with memory, as a small plant has."""
    generator = np.random.default_rng(seed)
    mixing = np.array([[1, 0.4, 0, 0, 0.6], [0, 1, 0.5, 0, 0], [0, 0, 1, 0.3, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0.5]])
    state, out = np.zeros(5), np.empty((rows, 5))
    for row in range(rows):
        state = 0.7 * state + generator.standard_normal(5)
        out[row] = state @ mixing + 0.2 * generator.standard_normal(5)
    return out * np.array([2.0, 10.0, 0.1, 5.0, 1.0]) + np.array([50.0, 200.0, 3.0, 90.0, 40.0])


def table(values: Floats, names: tuple[str, ...] = NAMES, start: int = 0) -> Table:
    return Table(names, (start + np.arange(len(values), dtype=np.int64)) * SECOND, values)


@pytest.fixture(scope="module")
def model() -> Ensemble:
    return fit(table(plant(1500, 1)))


def run(model: Ensemble, time: Times, values: Floats) -> EnsembleScores:
    return model.update(model.start(), time, values)[1]


def test_alarms_on_a_shift_and_names_the_variable(model: Ensemble) -> None:
    test = table(plant(600, 2), start=10_000)
    test.values[300:, 2] += 0.5
    scores = run(model, test.time, test.values)
    assert scores.alarm[:300].mean() < 0.1
    assert scores.alarm[330:].mean() > 0.9
    assert model.explain(scores, 500)[0][0] == "pressure"
    assert np.allclose(scores.contribution[500].sum(), scores.score[500])


def test_the_share_of_false_alarms_is_near_the_one_chosen() -> None:
    shares = []
    for seed in range(3):
        fitted = fit(table(plant(3000, 30 + seed)), Settings(false_alarm_share=0.05))
        test = table(plant(6000, 40 + seed))
        shares.append(run(fitted, test.time, test.values).alarm.mean())
    assert 0.025 < np.mean(shares) < 0.1


def test_alarms_a_month_become_a_share_of_rows() -> None:
    rare = fit(table(plant(800, 1)), Settings(false_alarms_per_month=1.0))
    often = fit(table(plant(800, 1)), Settings(false_alarms_per_month=1000.0))
    assert 0 < rare.share < often.share < 0.01


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 240), max_size=6), hole=st.integers(0, 200))
def test_parts_and_whole_score_alike(model: Ensemble, cuts: list[int], hole: int) -> None:
    test = table(plant(240, 5))
    test.values[hole : hole + 7, 1] = np.nan
    test.values[hole + 20 : hole + 23] = np.nan
    test.time[120:] += 100 * SECOND
    whole = run(model, test.time, test.values)
    state: State = model.start()
    parts = []
    edges = [0, *sorted(cuts), 240]
    for start, end in itertools.pairwise(edges):
        state, part = model.update(state, test.time[start:end], test.values[start:end])
        parts.append(part)
    for field in ("score", "p_value", "contribution", "members"):
        joined = np.concatenate([getattr(part, field) for part in parts])
        np.testing.assert_allclose(joined, getattr(whole, field), rtol=1e-7, atol=1e-9)
    assert np.array_equal(np.concatenate([part.alarm for part in parts]), whole.alarm)


def test_a_restart_from_the_file_and_the_kept_state_goes_on_exactly(model: Ensemble) -> None:
    test = table(plant(200, 6))
    state, _ = model.update(model.start(), test.time[:100], test.values[:100])
    _, through = model.update(state, test.time[100:], test.values[100:])
    kept = {name: np.array(array.tolist(), array.dtype).reshape(array.shape) for name, array in state.items()}
    again = Ensemble.decode(model.encode())
    _, resumed = again.update(kept, test.time[100:], test.values[100:])
    assert np.array_equal(through.score, resumed.score)
    assert np.array_equal(through.contribution, resumed.contribution)
    assert sum(array.nbytes for array in state.values()) < 1 << 20


def test_the_file_says_what_it_learnt_from_and_who_signed_it(model: Ensemble) -> None:
    key = Ed25519PrivateKey.generate()
    file = decode_model(model.encode(model_id="pump", version=3, owner="Li", created=7, key=key), "detection.")
    assert (file.info.id, file.info.version, file.info.owner, file.info.training_rows) == ("pump", 3, "Li", 1500)
    assert file.info.inputs == NAMES
    assert set(file.info.validity) == set(NAMES)
    assert file.signed_by


def test_a_file_altered_by_one_byte_is_refused(model: Ensemble) -> None:
    data = bytearray(model.encode())
    data[len(data) // 2] ^= 1
    with pytest.raises(DecodeError):
        Ensemble.decode(bytes(data))


def test_rows_without_readings_get_no_score_and_are_counted(model: Ensemble) -> None:
    test = table(plant(50, 7))
    test.values[20:23] = np.nan
    state, scores = model.update(model.start(), test.time, test.values)
    assert np.isnan(scores.score[20:23]).all()
    assert not scores.alarm[20:23].any()
    assert np.isfinite(scores.score[23:]).all()
    assert state["prepare.missing"][0] == 3


def test_one_missing_reading_adds_no_evidence(model: Ensemble) -> None:
    test = table(plant(300, 8))
    test.values[:, 3] = np.nan
    scores = run(model, test.time, test.values)
    assert np.isfinite(scores.score[10:]).all()
    assert scores.alarm.mean() < 0.05


def test_a_stuck_sensor_is_named_and_does_not_alarm_by_itself(model: Ensemble) -> None:
    test = table(plant(300, 9))
    test.values[100:, 1] = test.values[99, 1]
    scores = run(model, test.time, test.values)
    assert scores.stuck[150:, 1].all()
    assert not scores.stuck[:, [0, 2, 3, 4]].any()


def test_a_long_gap_clears_the_memory(model: Ensemble) -> None:
    test = table(plant(100, 10))
    test.time[50:] += 1000 * SECOND
    scores = run(model, test.time, test.values)
    alone = run(model, test.time[50:], test.values[50:])
    np.testing.assert_allclose(scores.score[50:], alone.score, rtol=1e-7)


def test_rows_that_come_late_or_twice_are_kept_out_and_counted(model: Ensemble) -> None:
    test = table(plant(60, 11))
    times = np.concatenate((test.time[:30], test.time[25:]))
    values = np.concatenate((test.values[:30], test.values[25:]))
    state, scores = model.update(model.start(), times, values)
    assert state["prepare.late"][0] == 5
    assert np.isnan(scores.score[30:35]).all()
    once = run(model, test.time, test.values)
    np.testing.assert_allclose(scores.score[35:], once.score[30:], rtol=1e-9)


def test_a_wrong_number_of_columns_is_refused(model: Ensemble) -> None:
    with pytest.raises(InvalidInputError, match="shape"):
        model.update(model.start(), np.arange(3), np.zeros((3, 4)))


def test_a_constant_column_is_left_out_with_a_note() -> None:
    values = np.column_stack((plant(300, 12), np.full(300, 7.0)))
    fitted = fit(table(values, (*NAMES, "switch")))
    assert any("switch" in note and "constant" in note for note in fitted.notes)
    scores = run(fitted, np.arange(10) * SECOND, values[:10])
    assert scores.contribution.shape == (10, 6)
    assert (scores.contribution[:, 5] == 0).all()


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(InvalidInputError, match="at least 60"):
        fit(table(plant(40, 13)))


def test_nothing_that_varies_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="nothing varies"):
        fit(table(np.ones((100, 5))))


def test_a_unit_changed_half_way_is_named() -> None:
    values = plant(600, 14)
    values[300:, 1] *= 1000.0
    with pytest.raises(InvalidInputError, match=r"level.*factor"):
        fit(table(values))


def test_training_rows_with_a_fault_are_left_out_and_told() -> None:
    values = plant(800, 15)
    values[400:440, 3] += 120.0
    fitted = fit(table(values))
    assert any("look like a fault" in note for note in fitted.notes)
    test = table(plant(300, 16))
    test.values[150:, 3] += 40.0
    scores = run(fitted, test.time, test.values)
    assert scores.alarm[160:].all()


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="share"):
        fit(table(plant(100, 17)), Settings(false_alarm_share=0.9))


def test_runs_do_not_remember_one_another() -> None:
    first, second = plant(300, 18), plant(300, 19)
    joined = Table(
        NAMES, np.concatenate((np.arange(300), np.arange(300))).astype(np.int64) * SECOND, np.vstack((first, second))
    )
    fitted = fit(joined, runs=np.repeat([1, 2], 300))
    assert fitted.info.training_rows == 600
    scores = run(fitted, joined.time[300:], second)
    assert scores.alarm.mean() < 0.05

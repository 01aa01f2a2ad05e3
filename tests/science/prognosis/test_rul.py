"""Remaining life: pieces against plain references, the whole on made-up machines of one and of six regimes."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.science.detection.protocol import Notes
from anlan.science.model_file import decode_model, encode_model
from anlan.science.prognosis import rul, trees
from anlan.science.prognosis.conformal import calibrate
from anlan.science.prognosis.features import (
    CHANGE,
    GROWTH,
    NEW,
    PER_CHANNEL,
    WINDOWS,
    Windows,
    growth_of,
    mean_of,
    slope_of,
)
from anlan.science.prognosis.normalise import fit_normaliser
from anlan.science.prognosis.runs import Runs, make_runs
from tests.science.prognosis.worn import worn


@pytest.fixture(scope="module")
def six() -> tuple[rul.RulModel, rul.CrossValidation, Runs]:
    runs, _ = worn(units=20, regimes=6)
    model, checked = rul.fit(runs, seed=1, effort=rul.QUICK)
    return model, checked, runs


def test_the_tree_kernel_equals_lightgbm() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(600, 8))
    target = rows[:, 0] * 3 + np.sin(4 * rows[:, 1])
    made, models = trees.train(rows, target, np.ones(600), 40, (0, 1))
    asked = generator.normal(size=(300, 8)) * 2
    expected = np.mean([model.predict(asked) for model in models], axis=0)
    assert np.abs(trees.Trees.load(made.save()).predict(asked) - expected).max() < 1e-9


def test_trees_that_point_in_circles_are_refused() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 2))
    arrays = trees.train(rows, rows[:, 0], np.ones(300), 3, (0,))[0].save()
    arrays["left"] = np.zeros_like(arrays["left"])
    with pytest.raises(DecodeError, match="outside"):
        trees.Trees.load(arrays)


def test_features_are_what_their_names_say_and_use_only_the_past() -> None:
    y = np.random.default_rng(1).normal(size=(150, 1)).cumsum(axis=0)
    starts = np.array([0, 150])
    made = Windows().features(y, starts)
    assert made.shape == (150, PER_CHANNEL + 1)
    t, w = 120, WINDOWS[3]
    part = y[t + 1 - w : t + 1, 0]
    assert made[t, mean_of(3)] == pytest.approx(part.mean())
    x = np.arange(w) - (w - 1) / 2
    assert made[t, slope_of(3)] == pytest.approx((x @ part) / (x @ x + 50))
    e = np.exp((np.arange(t + 1) - t) / GROWTH[1])
    centred = e - e.mean()
    assert made[t, growth_of(1)] == pytest.approx((centred @ y[: t + 1, 0]) / (centred @ centred + 0.5))
    assert made[t, CHANGE] == pytest.approx(made[t, CHANGE - 1] - y[:NEW, 0].mean())
    assert np.array_equal(made[:100], Windows().features(y[:100], np.array([0, 100])))


def test_one_regime_or_six_are_found_and_sensors_brought_together() -> None:
    notes = Notes()
    single = fit_normaliser(worn(units=10)[0], notes)
    assert int(single.group.max()) == 0
    assert any("constant: flat" in line for line in notes.lines)
    assert any("over a life: noise" in line for line in notes.lines)
    runs, _ = worn(units=10, regimes=6)
    several = fit_normaliser(runs, Notes())
    assert int(several.group.max()) == 5
    values, _ = several.normalised(runs)
    group = several.groups_of(runs.settings)
    means = np.array([values[group == number].mean(axis=0) for number in range(6)])
    assert np.abs(means).max() < 0.1


def test_six_regimes_are_predicted_nearly_as_well_as_one(six: tuple[rul.RulModel, rul.CrossValidation, Runs]) -> None:
    model, checked, _ = six
    asked, left = worn(units=20, regimes=6, seed=5, cut=True)
    said, _ = model.predict(asked)
    error = said.rul - np.minimum(left, model.cap)
    assert np.sqrt(np.mean(error**2)) < 12
    assert np.sqrt(np.mean((left - left.mean()) ** 2)) > 15
    assert checked.figures()["rmse"] < 14
    assert ((said.low <= left) & (left <= said.high)).mean() >= 0.7
    assert ((said.low <= said.rul) & (said.rul <= said.high)).all()


def test_cross_validated_intervals_hold_their_share(six: tuple[rul.RulModel, rul.CrossValidation, Runs]) -> None:
    assert 0.85 <= six[1].figures()["coverage"] <= 0.97


def test_health_falls_from_one_to_nothing(six: tuple[rul.RulModel, rul.CrossValidation, Runs]) -> None:
    model, _, runs = six
    health = model.health(runs)
    assert ((health >= 0) & (health <= 1)).all()
    firsts, lasts = health[runs.starts[:-1] + 15], health[runs.starts[1:] - 1]
    assert np.median(firsts) > 0.7
    assert lasts.max() < 0.35
    rises = np.diff(health)
    rises[runs.starts[1:-1] - 1] = 0
    assert (rises > 0).mean() < 0.05


def test_a_model_read_back_says_the_same(six: tuple[rul.RulModel, rul.CrossValidation, Runs]) -> None:
    model, _, runs = six
    again = rul.load(decode_model(encode_model(*rul.save(model)), rul.KIND))
    first, _ = model.predict(runs, every_cycle=True)
    second, _ = again.predict(runs, every_cycle=True)
    assert np.array_equal(first.rul, second.rul)
    assert np.array_equal(first.high, second.high)
    info, arrays = rul.save(model)
    del arrays["process/weights"]
    with pytest.raises(DecodeError, match="lacks"):
        rul.load(decode_model(encode_model(info, arrays), rul.KIND))


def test_one_cycle_more_changes_nothing_before_it(six: tuple[rul.RulModel, rul.CrossValidation, Runs]) -> None:
    model, _, runs = six
    one = runs.take(np.array([3]))
    whole, _ = model.predict(one, every_cycle=True)
    short = Runs(
        one.units, np.array([0, 60]), one.cycle[:60], one.setting_names, one.sensor_names, one.settings[:60],
        one.sensors[:60],
    )  # fmt: skip
    last, _ = model.predict(short)
    assert last.rul[0] == pytest.approx(whole.rul[59])


def test_gaps_and_unknown_settings_are_noted(six: tuple[rul.RulModel, rul.CrossValidation, Runs]) -> None:
    model, _, runs = six
    one = runs.take(np.array([3]))
    sensors, settings = one.sensors.copy(), one.settings.copy()
    sensors[10:20, 0] = np.nan
    sensors[:, 1] = np.nan
    settings[30] = [80, 3, 20]
    notes = Notes()
    said, _ = model.predict(
        Runs(one.units, one.starts, one.cycle, one.setting_names, one.sensor_names, settings, sensors), notes=notes
    )
    assert np.isfinite(said.rul).all()
    text = " ".join(notes.lines)
    assert "sensor values are missing" in text
    assert "s_2 is missing throughout" in text
    assert "1 rows run at settings unlike all of training" in text


def test_a_unit_changed_half_way_counts_from_the_change(six: tuple[rul.RulModel, rul.CrossValidation, Runs]) -> None:
    model, _, runs = six
    old, new = runs.take(np.array([0])), runs.take(np.array([1]))
    joined = Runs(
        ("pump",), np.array([0, len(old) + 50]), np.arange(1.0, len(old) + 51), old.setting_names, old.sensor_names,
        np.vstack([old.settings, new.settings[:50]]), np.vstack([old.sensors, new.sensors[:50]]),
    )  # fmt: skip
    notes = Notes()
    said, row = model.predict(joined, every_cycle=True, notes=notes)
    changed = [line for line in notes.lines if "unit pump was changed half-way" in line]
    assert len(changed) == 1
    assert abs(len(row) - 50) <= 4
    assert said.rul[-1] > 40
    quiet = Notes()
    model.predict(runs, notes=quiet)
    assert not any("changed half-way" in line for line in quiet.lines)


def test_too_few_units_and_sensors_that_tell_nothing_are_named() -> None:
    few, _ = worn(units=3)
    with pytest.raises(InvalidInputError, match=r"3 units with .* too few"):
        rul.fit(few)
    runs, _ = worn(units=12)
    blind = Runs(
        runs.units, runs.starts, runs.cycle, runs.setting_names, runs.sensor_names[-2:], runs.settings,
        runs.sensors[:, -2:],
    )  # fmt: skip
    with pytest.raises(InvalidInputError, match="no sensor changes"):
        rul.fit(blind)


def test_scattered_units_and_falling_cycles_are_named_with_their_row() -> None:
    one = np.ones(4)
    with pytest.raises(InvalidInputError, match="row 4: unit a stands there a second time"):
        make_runs(np.array(["a", "a", "b", "a"]), np.array([1.0, 2, 1, 3]), {}, {"s": one})
    with pytest.raises(InvalidInputError, match="row 3: the cycle of unit a goes from 2 to 1"):
        make_runs(np.array(["a", "a", "a", "b"]), np.array([1.0, 2, 1, 1]), {}, {"s": one})
    runs, notes = make_runs(np.array(["a", "a", "", "b"]), np.array([1.0, np.nan, 1, 1]), {}, {"s": one})
    assert runs.units == ("a", "b")
    assert notes == ["2 rows were left out: the unit or cycle is missing (row 2, 3)"]


def test_intervals_follow_the_stage_and_count_units() -> None:
    generator = np.random.default_rng(0)
    unit = np.repeat(np.arange(200), 50)
    truth = np.tile(np.linspace(120, 0, 50), 200)
    predicted = truth + generator.normal(size=truth.size) * (2 + truth / 10)
    ranges = calibrate(predicted[:5000], truth[:5000], unit[:5000])
    low, high = ranges.apply(predicted[5000:], 1000.0)
    held = (low <= truth[5000:]) & (truth[5000:] <= high)
    assert 0.87 <= held.mean() <= 0.94
    width = high - low
    assert width[truth[5000:] < 20].mean() < 0.6 * width[truth[5000:] > 100].mean()

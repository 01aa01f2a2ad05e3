"""``anlan detect``: fit on files with more than measurements, score, explain; bad input is a named error or a note."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from anlan import cli

APP = cli.build()
NAMES = ("feed", "level", "pressure", "temperature")
MIXING = np.array([[1, 0.8, 0.3, 0], [0, 0.6, 0.2, 0.5], [0, 0, 0.9, 0.4], [0, 0, 0, 0.7]])


def rows_of(count: int, seed: int) -> np.ndarray:
    return np.asarray([20, 50, 3, 80] + np.random.default_rng(seed).normal(size=(count, 4)) @ MIXING)


def write(path: Path, values: np.ndarray, **more: Any) -> Path:
    columns: dict[str, Any] = {"datetime": pa.array(np.arange(len(values)) * 60_000_000, pa.timestamp("us"))}
    columns |= {name: values[:, number] for number, name in enumerate(NAMES)} | more
    pq.write_table(pa.table(columns), path)
    return path


def run(*arguments: object) -> tuple[int, dict[str, Any], str]:
    result = CliRunner().invoke(APP, ["detect", *map(str, arguments), "--json"])
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout), result.output


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("detect")


@pytest.fixture(scope="module")
def model(home: Path) -> Path:
    train = write(home / "train.parquet", rows_of(600, 1), fault=np.zeros(600, np.int64), part=["normal"] * 600)
    code, fitted, _ = run("fit", train, "--model", home / "plant.model", "--owner", "shift A")
    assert code == 0
    assert fitted["inputs"] == list(NAMES)
    assert {note.partition(":")[0] for note in fitted["notes"]} >= {"fault", "part"}
    return home / "plant.model"


@pytest.fixture(scope="module")
def test_file(home: Path) -> Path:
    values = rows_of(300, 2)
    values[200:, 3] += 6
    return write(home / "test.parquet", values, fault=(np.arange(300) >= 200).astype(np.int64))


def test_scores_say_when_and_why(home: Path, model: Path, test_file: Path) -> None:
    code, told, _ = run("score", model, test_file, "--out", home / "scores.parquet")
    assert code == 0
    scores = pq.read_table(home / "scores.parquet")
    assert {"datetime", "row", "score", "p_value", "alarm", "top_1", "share_1", "top_2", "top_3"} <= set(
        scores.column_names
    )
    assert scores["datetime"].type == pa.timestamp("us")
    alarm = scores["alarm"].to_numpy()
    assert alarm[200:].mean() > 0.95
    assert alarm[:200].mean() < 0.06
    assert set(scores["top_1"].to_pylist()[205:]) == {"temperature"}
    p_value = np.array(scores["p_value"].to_pylist(), dtype=float)
    assert np.nanmax(p_value[205:]) < 1e-3
    assert told["runs"][0]["top"] == "temperature"
    assert told["alarms"] == alarm.sum()


def test_csv_and_parquet_give_the_same_scores(home: Path, model: Path, test_file: Path) -> None:
    pyarrow.csv.write_csv(pq.read_table(test_file), home / "test.csv")
    assert run("score", model, home / "test.csv", "--out", home / "again.csv")[0] == 0
    assert run("score", model, test_file, "--out", home / "first.csv")[0] == 0
    again, first = (pyarrow.csv.read_csv(home / name) for name in ("again.csv", "first.csv"))
    np.testing.assert_allclose(
        np.array(again["score"].to_pylist(), dtype=float), np.array(first["score"].to_pylist(), dtype=float)
    )


def test_groups_are_scored_from_a_fresh_start_each(home: Path, model: Path) -> None:
    values = rows_of(120, 3)
    both = write(home / "both.parquet", np.concatenate([values, values]), unit=["a"] * 120 + ["b"] * 120)
    assert run("score", model, both, "--out", home / "both.csv", "--group", "unit")[0] == 0
    scores = pyarrow.csv.read_csv(home / "both.csv")
    score = np.array(scores["score"].to_pylist(), dtype=float)
    np.testing.assert_array_equal(score[:120], score[120:])
    assert scores["run"].to_pylist() == ["a"] * 120 + ["b"] * 120


def test_a_row_is_explained(model: Path, test_file: Path) -> None:
    code, told, _ = run("explain", model, test_file, "--row", 250)
    assert code == 0
    assert told["alarm"]
    assert told["contributions"][0]["name"] == "temperature"
    assert told["members"]
    assert run("explain", model, test_file, "--at", "1970-01-01 04:09:00")[1]["row"] == 250
    text = CliRunner().invoke(APP, ["detect", "explain", str(model), str(test_file)]).output
    assert "ALARM" in text
    assert "█" in text
    code, told, _ = run("explain", model, test_file, "--row", 301)
    assert code == 1
    assert "there is no row 301" in told["error"]["detail"]


def test_a_missing_column_is_named(home: Path, model: Path) -> None:
    pq.write_table(pa.table({"feed": np.ones(5), "level": np.ones(5)}), home / "narrow.parquet")
    code, told, _ = run("score", model, home / "narrow.parquet", "--out", home / "x.csv")
    assert code == 1
    assert "pressure, temperature" in told["error"]["detail"]
    assert "narrow.parquet" in told["error"]["where"]


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.999])
def test_a_model_altered_by_one_byte_is_refused(home: Path, model: Path, test_file: Path, place: float) -> None:
    raw = bytearray(model.read_bytes())
    raw[int(place * len(raw))] ^= 1
    (home / "altered.model").write_bytes(raw)
    code, told, _ = run("score", home / "altered.model", test_file, "--out", home / "never.csv")
    assert code == 1
    assert "altered.model" in told["error"]["where"]
    assert not (home / "never.csv").exists()


def test_too_few_rows_are_refused(home: Path) -> None:
    code, told, _ = run("fit", write(home / "short.parquet", rows_of(30, 4)), "--model", home / "short.model")
    assert code == 1
    assert "too few" in told["error"]["detail"]
    assert not (home / "short.model").exists()


def test_constant_columns_are_left_out_and_nothing_else_is_refused(home: Path) -> None:
    values = rows_of(200, 5)
    values[:, 1] = 50.0
    code, told, _ = run("fit", write(home / "constant.parquet", values), "--model", home / "constant.model")
    assert code == 0
    assert told["inputs"] == ["feed", "pressure", "temperature"]
    assert any(note.startswith("level: left out, it is constant") for note in told["notes"])
    code, told, _ = run("fit", write(home / "still.parquet", np.ones((200, 4))), "--model", home / "still.model")
    assert code == 1
    assert "no variable is left" in told["error"]["detail"]


def test_a_unit_that_changes_half_way_is_told(home: Path, model: Path) -> None:
    values = rows_of(600, 6)
    values[300:, 2] *= 1000  # MPa to kPa
    code, told, _ = run("fit", write(home / "units.parquet", values), "--model", home / "units.model")
    assert code == 1
    assert "pressure" in told["error"]["detail"]
    code, told, _ = run("score", model, home / "units.parquet", "--out", home / "units.csv")
    assert code == 0
    late = rows_of(300, 7)
    late[:, 2] *= 1000
    code, told, _ = run("score", model, write(home / "late.parquet", late), "--out", home / "late.csv")
    assert any(note.startswith("pressure: 100% of the readings") for note in told["notes"])


def test_training_rows_with_the_fault_in_them_are_told_and_kept_in_the_model(home: Path) -> None:
    values = rows_of(800, 8)
    values[500:600, 3] += 6
    train = write(home / "faulty.parquet", values, anomaly=((np.arange(800) >= 500) & (np.arange(800) < 600)) * 1)
    code, told, _ = run("fit", train, "--model", home / "faulty.model")
    assert code == 0
    notes = " ".join(told["notes"])
    assert "100 of these rows are NOT normal: add --where 'anomaly==0'" in notes
    assert "unlike the rest (temperature" in notes
    assert "training rows 497 to 608" in notes or "training rows 501 to 600" in notes or "training rows 4" in notes
    code, told, _ = run("fit", train, "--model", home / "clean.model", "--where", "anomaly==0")
    assert not any("unlike the rest" in note for note in told["notes"])


def test_too_much_missing_is_no_score_and_said(home: Path, model: Path) -> None:
    values = rows_of(100, 9)
    values[40:50] = np.nan
    code, told, _ = run("score", model, write(home / "gaps.parquet", values), "--out", home / "gaps.csv")
    assert code == 0
    assert told["unscored"] >= 10
    assert any("rows have no score" in note for note in told["notes"])
    scores = pyarrow.csv.read_csv(home / "gaps.csv")
    assert scores["score"].to_pylist()[40:50] == [None] * 10
    assert scores["alarm"].to_pylist()[40:50] == [False] * 10


def test_false_alarms_a_month_need_dates(home: Path) -> None:
    pq.write_table(pa.table({name: rows_of(200, 10)[:, n] for n, name in enumerate(NAMES)}), home / "dateless.parquet")
    code, told, _ = run("fit", home / "dateless.parquet", "--model", home / "x.model", "--per-month", 1)
    assert code == 1
    assert "need a time column" in told["error"]["detail"]
    code, told, _ = run("fit", home / "train.parquet", "--model", home / "month.model", "--per-month", 10)
    assert code == 0
    assert told["share"] < 0.01


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("fit", "gone.parquet", "--model", "x"), "there is no such file"),
        (("score", "gone.model", "gone.csv", "--out", "x.csv"), "there is no such model"),
        (("bench", "--set", "moon"), "there is no set moon"),
        (("bench", "--data", "gone", "--set", "tep"), "the data set tep is not there"),
    ],
)
def test_what_is_not_there_is_named(arguments: tuple[str, ...], text: str) -> None:
    code, told, _ = run(*arguments)
    assert code == 1
    assert text in told["error"]["detail"]


def test_scores_of_an_unknown_kind_are_refused_before_the_work(home: Path, model: Path, test_file: Path) -> None:
    code, told, _ = run("score", model, test_file, "--out", home / "scores.doc")
    assert code == 1
    assert ".parquet or .csv" in told["error"]["detail"]

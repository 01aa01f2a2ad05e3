"""``anlan rul``: fit, predict and bench from files, and what is said of bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from anlan import cli
from anlan.science.prognosis.runs import Runs
from tests.science.prognosis.worn import worn

APP = cli.build()
RUNNER = CliRunner()


def table(runs: Runs, **changes: Any) -> pa.Table:
    columns: dict[str, Any] = {
        "unit": np.array(runs.units)[runs.unit_of_row].astype(int), "cycle": runs.cycle.astype(int)
    }  # fmt: skip
    for names, values in ((runs.setting_names, runs.settings), (runs.sensor_names, runs.sensors)):
        columns |= {name: values[:, j] for j, name in enumerate(names)}
    return pa.table({name: column for name, column in (columns | changes).items() if column is not None})


def run(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    result = RUNNER.invoke(APP, ["rul", *(str(one) for one in arguments), "--json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with training table, test table and a model of them."""
    made = tmp_path_factory.mktemp("rul")
    pyarrow.parquet.write_table(table(worn(units=14, sensors=3)[0]), made / "train.parquet")
    pyarrow.csv.write_csv(table(worn(units=9, sensors=3, seed=4, cut=True)[0]), made / "test.csv")
    code, said = run("fit", made / "train.parquet", "--model", made / "pump.model", "--quick")
    assert code == 0, said
    assert said["regimes"] == 1
    assert said["sensors"] == ["s_1", "s_2", "s_3"]
    assert any("constant: flat" in note for note in said["notes"])
    return made


def test_predict_writes_one_row_a_unit(folder: Path) -> None:
    code, said = run("predict", folder / "pump.model", folder / "test.csv", "--out", folder / "out.csv")
    assert (code, said["units"]) == (0, 9)
    written = pyarrow.csv.read_csv(folder / "out.csv")
    assert written.column_names == ["unit", "rul", "low", "high"]
    assert written["unit"].to_pylist() == list(range(1, 10))
    low, rul, high = (written[name].to_numpy() for name in ("low", "rul", "high"))
    assert ((low >= 0) & (low <= rul) & (rul <= high) & (high <= said["cap"])).all()
    left = worn(units=9, sensors=3, seed=4, cut=True)[1]
    assert np.corrcoef(rul, left)[0, 1] > 0.7


def test_every_cycle_and_the_words_for_people(folder: Path) -> None:
    result = RUNNER.invoke(
        APP,
        ["rul", "predict", str(folder / "pump.model"), str(folder / "test.csv"), "--out", str(folder / "all.parquet"),
         "--every-cycle"],
    )  # fmt: skip
    assert result.exit_code == 0
    assert "剩余寿命" in result.stdout
    written = pyarrow.parquet.read_table(folder / "all.parquet")
    assert written.column_names == ["unit", "cycle", "rul", "low", "high", "health"]
    assert len(written) == len(pyarrow.csv.read_csv(folder / "test.csv"))


def test_other_column_names_and_text_columns(folder: Path, tmp_path: Path) -> None:
    raw = pyarrow.parquet.read_table(folder / "train.parquet")
    renamed = {"unit": "engine", "cycle": "flight", "setting_1": "altitude", "setting_2": "mach", "setting_3": "tra"}
    raw = raw.rename_columns([renamed.get(name, name) for name in raw.column_names])
    raw = raw.append_column("remark", pa.array(["ok"] * len(raw)))
    pyarrow.parquet.write_table(raw, tmp_path / "train.parquet")
    code, said = run(
        "fit", tmp_path / "train.parquet", "--model", tmp_path / "m", "--unit", "engine", "--cycle", "flight",
        "--settings", "altitude,mach,tra", "--quick",
    )  # fmt: skip
    assert code == 0
    assert said["sensors"] == ["s_1", "s_2", "s_3"]
    assert any("no numbers: remark" in note for note in said["notes"])


def test_an_altered_model_file_is_refused(folder: Path, tmp_path: Path) -> None:
    data = bytearray((folder / "pump.model").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.model").write_bytes(data)
    code, said = run("predict", tmp_path / "bad.model", folder / "test.csv", "--out", tmp_path / "out.csv")
    assert code == 1
    assert "altered" in said["error"]["title"]
    assert not (tmp_path / "out.csv").exists()


def test_a_missing_sensor_is_named_and_one_that_was_left_out_is_not_needed(folder: Path, tmp_path: Path) -> None:
    raw = pyarrow.csv.read_csv(folder / "test.csv")
    pyarrow.csv.write_csv(raw.drop_columns(["flat", "noise"]), tmp_path / "fewer.csv")
    assert run("predict", folder / "pump.model", tmp_path / "fewer.csv", "--out", tmp_path / "out.csv")[0] == 0
    pyarrow.csv.write_csv(raw.drop_columns(["s_2"]), tmp_path / "less.csv")
    code, said = run("predict", folder / "pump.model", tmp_path / "less.csv", "--out", tmp_path / "out2.csv")
    assert code == 1
    assert "s_2 is missing" in said["error"]["title"]


def test_cells_that_are_no_numbers_are_noted(folder: Path, tmp_path: Path) -> None:
    raw = pyarrow.csv.read_csv(folder / "test.csv")
    cells = [str(one) for one in raw["s_1"].to_pylist()]
    cells[3] = "broken"
    at = raw.column_names.index("s_1")
    pyarrow.csv.write_csv(raw.set_column(at, "s_1", pa.array(cells)), tmp_path / "test.csv")
    code, said = run("predict", folder / "pump.model", tmp_path / "test.csv", "--out", tmp_path / "out.csv")
    assert code == 0
    assert any("row 4: 'broken'" in note for note in said["notes"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw.slice(0, 150), "too few"),
        (lambda raw: raw.drop_columns(["cycle"]), "cycle is missing"),
        (lambda raw: pa.concat_tables([raw, raw.slice(0, 5)]), "second time"),
        (lambda raw: pa.concat_tables([raw.slice(0, 50), raw.slice(20)]), "goes from 50 to 21"),
        (lambda raw: raw.slice(0, 0), "no row"),
        (lambda raw: raw.select(["unit", "cycle", "setting_1", "flat"]), "no sensor changes"),
    ],
)
def test_bad_training_tables_are_named_errors(folder: Path, tmp_path: Path, change: Any, words: str) -> None:
    pyarrow.parquet.write_table(
        change(pyarrow.parquet.read_table(folder / "train.parquet")), tmp_path / "train.parquet"
    )
    code, said = run("fit", tmp_path / "train.parquet", "--model", tmp_path / "m", "--quick")
    assert code == 1
    assert words in said["error"]["title"]
    assert "train.parquet" in said["error"]["where"] or words in ("too few", "no sensor changes")
    assert said["error"]["fix"]
    assert not (tmp_path / "m").exists()


def test_bench_needs_its_files(tmp_path: Path) -> None:
    code, said = run("bench", "--data", tmp_path)
    assert code == 1
    assert "no training file" in said["error"]["title"]

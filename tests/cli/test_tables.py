"""Tables from files: what is a variable, what is the time, what is left out and said; errors name file, row, column."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anlan.cli.table_files import write_file
from anlan.cli.tables import Selection, read_sheet
from anlan.core.errors import InvalidInputError

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 40
LEVEL = np.round(50 + np.sin(np.arange(ROWS)), 3)
FLOW = np.round(10 + np.cos(np.arange(ROWS)), 3)


def csv(path: Path, header: str, rows: list[str], encoding: str = "utf8") -> Path:
    path.write_bytes(("\n".join([header, *rows]) + "\n").encode(encoding))
    return path


def plain_rows(separator: str = ",", form: str = "%Y-%m-%d %H:%M:%S") -> list[str]:
    return [
        separator.join([(START + timedelta(minutes=n)).strftime(form), str(LEVEL[n]), str(FLOW[n])])
        for n in range(ROWS)
    ]


def test_a_parquet_with_labels_texts_and_counters_gives_its_measurements(tmp_path: Path) -> None:
    times = pa.array([START + timedelta(minutes=n) for n in range(ROWS)], pa.timestamp("ms", tz="Asia/Shanghai"))
    columns = {
        "part": pa.array(["train"] * ROWS), "sample": np.arange(1, ROWS + 1), "level": LEVEL, "when": times,
        "flow": FLOW.astype(np.float32), "fixed": np.full(ROWS, 3.0), "anomaly": np.arange(ROWS) % 8 // 7,
        "pump on": np.arange(ROWS) % 2 == 0, "empty": np.full(ROWS, np.nan),
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    sheet = read_sheet(tmp_path / "t.parquet", Selection())
    assert sheet.table.names == ("level", "flow")
    assert sheet.table.time[0] == START.timestamp() * 1e6
    assert np.unique(np.diff(sheet.table.time)).tolist() == [60_000_000]
    assert sheet.stamp_name == "when"
    noted = {note.partition(":")[0]: note for note in sheet.notes}
    assert set(noted) == {"part", "sample", "fixed", "anomaly", "pump on", "empty"}
    assert "5 of these rows are NOT normal: add --where 'anomaly==0'" in noted["anomaly"]
    assert "only counts the rows" in noted["sample"]
    assert "constant (3)" in noted["fixed"]


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y/%m/%d %H:%M", "%d/%m/%Y %H:%M", "%Y-%m-%dT%H:%M:%S.000"]
)
def test_times_are_read_in_many_forms(tmp_path: Path, form: str) -> None:
    sheet = read_sheet(csv(tmp_path / "t.csv", "Time,level,flow", plain_rows(form=form)), Selection())
    assert sheet.table.time[0] == START.timestamp() * 1e6
    assert np.unique(np.diff(sheet.table.time)).tolist() == [60_000_000]
    assert sheet.table.values[:, 0].tolist() == LEVEL.tolist()


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)])
def test_a_count_since_1970_tells_its_unit_by_its_size(tmp_path: Path, unit: str, factor: float) -> None:
    counts = [int((START + timedelta(minutes=n)).timestamp() * factor) for n in range(ROWS)]
    pq.write_table(pa.table({"time": counts, "level": LEVEL}), tmp_path / "t.parquet")
    sheet = read_sheet(tmp_path / "t.parquet", Selection())
    assert sheet.table.time[0] == START.timestamp() * 1e6
    assert sheet.stamp[0].as_py() == counts[0], unit


def test_separators_decimal_commas_compression_and_chinese_encoding(tmp_path: Path) -> None:
    rows = [f"{n * 2};{str(value).replace('.', ',')}" for n, value in enumerate(LEVEL)]
    semicolons = read_sheet(csv(tmp_path / "a.csv", "time;反应釜液位", rows, "gb18030"), Selection())
    assert semicolons.table.names == ("反应釜液位",)
    assert semicolons.table.values[:, 0].tolist() == LEVEL.tolist()
    assert "gb18030" in semicolons.notes[0]
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(("level\n" + "\n".join(map(str, LEVEL)) + "\n").encode()))
    assert read_sheet(tmp_path / "b.csv.gz", Selection()).table.values[:, 0].tolist() == LEVEL.tolist()


def test_cells_that_are_no_numbers_are_counted_and_named(tmp_path: Path) -> None:
    rows = plain_rows()
    rows[4] = rows[4].rpartition(",")[0] + ",Bad Input"
    rows[5] = rows[5].rpartition(",")[0] + ",I/O Timeout"
    rows[6] = rows[6].rpartition(",")[0] + ",inf"
    rows[7] = rows[7].rpartition(",")[0] + ",1e300"
    rows[8] = rows[8].rpartition(",")[0] + ","
    sheet = read_sheet(csv(tmp_path / "t.csv", "time,level,flow", rows), Selection())
    assert np.flatnonzero(np.isnan(sheet.table.values[:, 1])).tolist() == [4, 5, 6, 7, 8]
    notes = " ".join(sheet.notes)
    assert "flow: 2 cells are no numbers" in notes or "flow: 3 cells are no numbers" in notes
    assert "row 5: 'Bad Input', row 6: 'I/O Timeout'" in notes
    assert "infinite or overflowing" in notes


def test_lines_with_another_number_of_fields_are_kept_aside(tmp_path: Path) -> None:
    rows = plain_rows()
    rows[9] += ",7,8"
    sheet = read_sheet(csv(tmp_path / "t.csv", "time,level,flow", rows), Selection())
    assert len(sheet.table) == ROWS - 1
    assert "1 lines were left out" in sheet.notes[0]
    assert "line 11: 5 instead of 3" in sheet.notes[0]


def test_rows_can_be_chosen_by_a_condition(tmp_path: Path) -> None:
    columns = {"fault": np.arange(ROWS) // 20, "kind": ["a", "b"] * (ROWS // 2), "level": LEVEL, "flow": FLOW}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    chosen = read_sheet(tmp_path / "t.parquet", Selection(where=("fault==1", "kind==b")))
    assert chosen.row.tolist() == list(range(22, 41, 2))
    assert read_sheet(tmp_path / "t.parquet", Selection(where=("kind != 'a'",))).row[0] == 2
    for wrong, text in (("fault=1", "cannot be read"), ("gone==1", "cannot be read"), ("fault==9", "no row is left")):
        with pytest.raises(InvalidInputError, match=text):
            read_sheet(tmp_path / "t.parquet", Selection(where=(wrong,)))


def test_groups_are_runs_and_go_back_to_the_rows_of_the_file(tmp_path: Path) -> None:
    columns = {"unit": ["x", "y"] * (ROWS // 2), "level": LEVEL}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    sheet = read_sheet(tmp_path / "t.parquet", Selection(group="unit"))
    assert [(name, len(table)) for name, _, table in sheet.parts()] == [("x", 20), ("y", 20)]
    assert sheet.row[:3].tolist() == [1, 3, 5]
    assert sheet.table.names == ("level",)


def test_time_or_counter_that_starts_again_makes_runs(tmp_path: Path) -> None:
    counter = np.tile(np.arange(1, 201), 2)
    level = np.random.default_rng(0).normal(size=400)
    pq.write_table(pa.table({"sample": counter, "level": level}), tmp_path / "t.parquet")
    sheet = read_sheet(tmp_path / "t.parquet", Selection())
    assert [len(table) for _, _, table in sheet.parts()] == [200, 200]
    assert any("starts again 1 times (row 201)" in note for note in sheet.notes)
    scored = read_sheet(tmp_path / "t.parquet", Selection(), ("level",))
    assert len(scored.runs) == 2


def test_rows_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    time = np.random.default_rng(0).permutation(ROWS)
    pq.write_table(pa.table({"time": time, "level": LEVEL}), tmp_path / "t.parquet")
    sheet = read_sheet(tmp_path / "t.parquet", Selection())
    assert sheet.table.time.tolist() == list(range(ROWS))
    assert sheet.table.values[:, 0].tolist() == LEVEL[np.argsort(time)].tolist()
    assert "put in order" in sheet.notes[0]


def test_scoring_finds_columns_by_name_and_names_those_missing(tmp_path: Path) -> None:
    path = csv(tmp_path / "t.csv", "time,level,flow", plain_rows())
    sheet = read_sheet(path, Selection(), ("flow", "level"))
    assert sheet.table.names == ("flow", "level")
    with pytest.raises(InvalidInputError, match="needs the columns pressure, speed, which the file lacks") as error:
        read_sheet(path, Selection(), ("flow", "pressure", "speed"))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "1,2\n3,4\n", "holds numbers, not names"),
        ("a.csv", "x,x\n1,2\n", "the column x stands there twice"),
        ("a.csv", "time,x\n2026-01-01,1\nsoon,2\n2026-01-03,4\n", "row 2, column time"),
        ("a.csv", "name\nfoo\nbar\n", "no variable is left"),
        ("a.parquet", "no parquet", "cannot be read"),
        ("a.xls", "?", "kind of this file is not known"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, name: str, text: str, wanted: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInputError, match=wanted) as error:
        read_sheet(tmp_path / name, Selection())
    assert name in str(error.value)


def test_columns_named_by_the_user_are_taken_or_told(tmp_path: Path) -> None:
    path = csv(tmp_path / "t.csv", "time,level,flow", plain_rows())
    assert read_sheet(path, Selection(columns=("flow",))).table.names == ("flow",)
    assert read_sheet(path, Selection(ignore=("flow",))).table.names == ("level",)
    with pytest.raises(InvalidInputError, match="there is no column speed"):
        read_sheet(path, Selection(columns=("speed",)))
    with pytest.raises(InvalidInputError, match="there is no such file"):
        read_sheet(tmp_path / "gone.csv", Selection())


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    for name in ("out.csv", "out.parquet"):
        write_file(tmp_path / name, {"time": pa.array([START] * 2), "x": np.array([1.5, np.nan])})
        assert read_sheet(tmp_path / name, Selection(columns=("x",))).table.values[0, 0] == 1.5
    with pytest.raises(InvalidInputError, match="kind of this file"):
        write_file(tmp_path / "out.doc", {"x": [1]})

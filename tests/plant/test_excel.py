"""Point and alarm lists: out to Excel and in again without a change, and changes as edits."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from anlan.core.errors import InvalidInputError
from anlan.core.time import duration_us
from anlan.plant.editor import SiteEditor
from anlan.plant.excel import SheetError, export_alarms, export_points, import_alarms, import_points
from anlan.plant.excel_cells import duration_text
from anlan.plant.registers.model import Edit
from anlan.plant.site_file import SiteDocument, load
from tests.plant.test_compiler import SITE, UNIT


def site(folder: Path, text: str = SITE) -> SiteDocument:
    path = folder / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, now_us=0)


def put(book: Path, row_of: str, values: dict[str, Any]) -> None:
    """Write cells of the first row that begins with ``row_of`` (a new row when there is none)."""
    workbook = load_workbook(book)
    sheet = workbook.worksheets[0]
    keys = {str(cell.value).split("\n")[-1]: cell.column for cell in sheet[1]}
    number = next((row[0].row for row in sheet.iter_rows(min_row=2) if row[0].value == row_of), sheet.max_row + 1)
    for key, value in {"path": row_of, **values}.items():
        sheet.cell(number, keys[key]).value = value
    workbook.save(book)


def test_out_and_in_again_changes_nothing(tmp_path: Path) -> None:
    document = site(tmp_path)
    assert export_points(document, tmp_path / "p.xlsx") == 4
    assert import_points(document, tmp_path / "p.xlsx") == ()
    assert export_alarms(document, tmp_path / "a.xlsx") > 8
    assert import_alarms(document, tmp_path / "a.xlsx") == ()


def test_changed_cells_of_points_become_edits(tmp_path: Path) -> None:
    document, book = site(tmp_path), tmp_path / "p.xlsx"
    export_points(document, book)
    put(
        book,
        f"{UNIT}/pressure",
        {"HH": 1.8, "L": None, "on_delay": "3 s", "name": "压力", "range_low": 0, "range_high": 2.5},
    )
    put(book, f"{UNIT}/gas-1", {"expires": "2030-06-30", "offset": 0, "stale": 45})
    put(book, f"{UNIT}/pump", {"states": "0=停;1=运行;2=跳闸"})
    put(book, f"{UNIT}/level", {"kind": "level", "HH": 90, "safety": "是", "range_low": 0, "range_high": 100})
    edits = import_points(document, book)
    assert set(map(repr, edits)) == set(
        map(
            repr,
            [
                Edit("set", f"{UNIT}/pressure", "name", value="压力"),
                Edit("set", f"{UNIT}/pressure", "limits.L"),
                Edit("set", f"{UNIT}/pressure", "limits.HH", value=1.8),
                Edit("set", f"{UNIT}/pressure", "on_delay", value="3 s"),
                Edit("set", f"{UNIT}/pressure", "range", value=[0, 2.5]),
                Edit("set", f"{UNIT}/gas-1", "stale", value="45 s"),
                Edit("set", f"{UNIT}/gas-1", "calibration.offset", value=0),
                Edit("set", f"{UNIT}/gas-1", "calibration.expires", value="2030-06-30"),
                Edit("set", f"{UNIT}/pump", "states", value={"0": "停", "1": "运行", "2": "跳闸"}),
                Edit(
                    "add",
                    UNIT,
                    value={"id": "level", "kind": "level", "safety": True, "limits": {"HH": 90}, "range": [0, 100]},
                ),
            ],
        )
    )
    # The pump's alarm names the state that is gone: the check says so and nothing could be written.
    put(book, f"{UNIT}/pump", {"states": "0=停;1=运行;2=故障"})
    editor = SiteEditor(document)
    editor.apply(import_points(document, book))
    editor.verify()
    editor.write()
    changed = load(tmp_path / "site.yaml", now_us=0)
    assert import_points(changed, book) == ()
    assert editor.safety


def test_changed_cells_of_alarms_become_edits(tmp_path: Path) -> None:
    document, book = site(tmp_path), tmp_path / "a.xlsx"
    export_alarms(document, book)
    workbook = load_workbook(book)
    sheet = workbook.worksheets[0]
    keys = {str(cell.value).split("\n")[-1]: cell.column for cell in sheet[1]}
    rows = {(row[0].value, row[1].value): row[0].row for row in sheet.iter_rows(min_row=2)}
    high, gas = rows[(f"{UNIT}/pressure", "HH")], rows[(f"{UNIT}/gas-1", "HH")]
    for number, key, value in [
        (high, "limit", 1.8),
        (high, "priority", "critical"),
        (high, "grade", "major"),
        (high, "consequence", "超压"),
        (gas, "action", "撤离"),
        (gas, "deadband", None),
        (rows[(f"{UNIT}/gas-1", "rate")], "limit", 30),
    ]:
        sheet.cell(number, keys[key]).value = value
    workbook.save(book)
    edits = import_alarms(document, book)
    assert set(map(repr, edits)) == set(
        map(
            repr,
            [
                Edit("set", f"{UNIT}/pressure", "limits.HH", value=1.8),
                Edit("set", f"{UNIT}/pressure", "priority", "HH", "critical"),
                Edit("set", f"{UNIT}/pressure", "consequence.grade", "HH", "major"),
                Edit("set", f"{UNIT}/pressure", "consequence.text", "HH", "超压"),
                Edit("set", f"{UNIT}/gas-1", "action", "HH", "撤离"),
                Edit("set", f"{UNIT}/gas-1", "limit", "rate", 30),
            ],
        )
    )
    editor = SiteEditor(document)
    editor.apply(edits)
    editor.verify()
    editor.write()
    assert import_alarms(load(tmp_path / "site.yaml", now_us=0), book) == ()


def test_every_wrong_cell_is_named(tmp_path: Path) -> None:
    document, book = site(tmp_path), tmp_path / "p.xlsx"
    export_points(document, book)
    put(book, f"{UNIT}/pressure", {"HH": "high", "on_delay": "soon", "safety": "perhaps", "states": "run"})
    put(book, f"{UNIT}/gas-1", {"calibrated_low": None})
    put(book, "nowhere/a/u/p", {})
    with pytest.raises(SheetError) as caught:
        import_points(document, book)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["H2", "L2", "M2", "T2", "W3", "A6"]
    assert "a number is expected" in caught.value.problems[1]


def test_missing_points_are_removed_only_when_asked(tmp_path: Path) -> None:
    document, book = site(tmp_path), tmp_path / "p.xlsx"
    export_points(document, book)
    workbook = load_workbook(book)
    workbook.worksheets[0].delete_rows(2)
    workbook.save(book)
    assert import_points(document, book) == ()
    assert import_points(document, book, remove_missing=True) == (Edit("remove", f"{UNIT}/pressure"),)


def test_columns_may_be_left_out_but_not_made_up(tmp_path: Path) -> None:
    document, book = site(tmp_path), tmp_path / "p.xlsx"
    export_points(document, book)
    workbook = load_workbook(book)
    sheet = workbook.worksheets[0]
    sheet.delete_cols(3, 5)
    workbook.save(book)
    assert import_points(document, book) == ()
    sheet.cell(1, 2).value = "x\nnamme"
    workbook.save(book)
    with pytest.raises(SheetError, match="B1: no column 'namme'"):
        import_points(document, book)


@pytest.mark.parametrize("content", [b"", b"no workbook", b"PK\x03\x04broken"])
def test_what_is_no_workbook_is_named(tmp_path: Path, content: bytes) -> None:
    document, book = site(tmp_path), tmp_path / "p.xlsx"
    book.write_bytes(content)
    with pytest.raises(InvalidInputError, match="Excel"):
        import_points(document, book)


def test_a_text_is_never_a_formula(tmp_path: Path) -> None:
    document = site(tmp_path, SITE.replace("{id: gas-2,", '{id: gas-2, name: "=1+1",'))
    book = tmp_path / "p.xlsx"
    export_points(document, book)
    cells = [cell for row in load_workbook(book).worksheets[0].iter_rows() for cell in row if cell.value == "=1+1"]
    assert [cell.data_type for cell in cells] == ["s"]
    assert import_points(document, book) == ()


@given(st.integers(0, 10**14) | st.integers(0, 10**11).map(lambda value: value * 1000))
def test_durations_come_back_as_they_were(time_us: int) -> None:
    assert duration_us(duration_text(time_us) or "") == time_us


_finite = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 6))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limits=st.lists(_finite, min_size=4, max_size=4, unique=True).map(sorted),
    name=st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12),
    deadband=st.none() | st.integers(0, 10**6).map(lambda value: value / 10**7),
    delay=st.integers(0, 10**7),
    safety=st.booleans(),
)
def test_any_point_goes_out_and_in_again(
    tmp_path: Path, limits: list[float], name: str, deadband: float | None, delay: int, safety: bool
) -> None:
    import yaml

    point: dict[str, Any] = {"id": "p", "name": name, "safety": safety, "on_delay": f"{delay} us"}
    point["limits"] = dict(zip(("LL", "L", "H", "HH"), limits, strict=True))
    if deadband is not None and min(high - low for low, high in itertools.pairwise(limits)) > deadband:
        point["deadband"] = deadband
    unit = {"id": "u", "points": [point]}
    tree = {"site": {"id": "s"}, "enterprises": [{"id": "e", "areas": [{"id": "a", "units": [unit]}]}]}
    document = site(tmp_path, yaml.safe_dump(tree, allow_unicode=True))
    export_points(document, tmp_path / "p.xlsx")
    assert import_points(document, tmp_path / "p.xlsx") == ()
    export_alarms(document, tmp_path / "a.xlsx")
    assert import_alarms(document, tmp_path / "a.xlsx") == ()

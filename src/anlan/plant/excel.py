"""Point and alarm lists as Excel workbooks, and back as edits of the site's files.

A sheet has one row a point (or alarm) and one column a field; a column's header ends with the field's name after a line
break, so that columns may be moved, left out or renamed in front of it. Cells left as they were make no edit.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.cell import Cell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from anlan.core.errors import InvalidInputError
from anlan.plant.compiler import compile_site, numbers_in_file_order, unit_of
from anlan.plant.definitions import DraftedAlarm, drafted_alarms
from anlan.plant.excel_cells import (
    DURATION,
    FLAG,
    NUMBER,
    PRIORITY,
    STALE,
    STATES,
    TEXT,
    CellKind,
    plain_number,
    text_of,
)
from anlan.plant.model import AlarmDefinition
from anlan.plant.registers.model import Edit
from anlan.plant.schema import LIMIT_KINDS, PointPart
from anlan.plant.site_file import PlacedPoint, SiteDocument

MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``field`` of the site file, ``get`` its value in a row's object; without ``kind`` it is read only."""

    key: str
    zh: str
    get: Callable[[Any], Any]
    kind: CellKind | None = None
    field: str = ""
    width: int = 14


def _attribute(name: str) -> Callable[[PlacedPoint], Any]:
    return lambda placed: getattr(placed.part, name)


def _calibration(name: str) -> Callable[[PlacedPoint], Any]:
    return lambda placed: getattr(placed.part.calibration, name) if placed.part.calibration else None


def _end(of: Callable[[PlacedPoint], Any], index: int) -> Callable[[PlacedPoint], Any]:
    def get(placed: PlacedPoint) -> Any:
        pair = of(placed)
        return pair[index] if pair else None

    return get


def _limit(kind: str) -> Callable[[PlacedPoint], Any]:
    return lambda placed: dict(placed.part.limits).get(kind)  # type: ignore[call-overload]  # literals are texts


_range, _calibration_range = _attribute("range"), _calibration("range")

POINT_COLUMNS: tuple[Column, ...] = (
    Column("path", "路径", lambda placed: placed.path, width=40),
    Column("name", "名称", _attribute("name"), TEXT, "name", 22),
    Column("name_en", "英文名", _attribute("name_en"), TEXT, "name_en", 22),
    Column("kind", "类型", _attribute("kind"), TEXT, "kind", 18),
    Column("unit", "单位", lambda placed: unit_of(placed.part), TEXT, "unit", 10),
    Column("tag", "位号", _attribute("tag"), TEXT, "tag"),
    Column("equipment", "设备", _attribute("equipment"), TEXT, "equipment"),
    Column("safety", "安全测点", _attribute("safety"), FLAG, "safety", 9),
    *(Column(kind, f"限值 {kind}", _limit(kind), NUMBER, f"limits.{kind}", 10) for kind in LIMIT_KINDS),
    Column("on_delay", "报警延时", _attribute("on_delay"), DURATION, "on_delay", 10),
    Column("off_delay", "恢复延时", _attribute("off_delay"), DURATION, "off_delay", 10),
    Column("deadband", "回差", _attribute("deadband"), NUMBER, "deadband", 10),
    Column("range_low", "量程下限", _end(_range, 0), NUMBER, "range.0", 10),
    Column("range_high", "量程上限", _end(_range, 1), NUMBER, "range.1", 10),
    Column("stale", "失联时长", _attribute("stale"), STALE, "stale", 10),
    Column("retention", "保存等级", _attribute("retention"), TEXT, "retention", 10),
    Column("states", "状态", _attribute("states"), STATES, "states", 24),
    Column("gain", "校准增益", _calibration("gain"), NUMBER, "calibration.gain", 10),
    Column("offset", "校准偏移", _calibration("offset"), NUMBER, "calibration.offset", 10),
    Column("calibrated_low", "有效下限", _end(_calibration_range, 0), NUMBER, "calibration.range.0", 10),
    Column("calibrated_high", "有效上限", _end(_calibration_range, 1), NUMBER, "calibration.range.1", 10),
    Column("expires", "校准到期", _calibration("expires"), TEXT, "calibration.expires", 14),
    Column("certificate", "校准证书", _calibration("certificate"), TEXT, "calibration.certificate", 18),
)


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """An alarm as a row shows it: what is in force, and what the file says of it."""

    definition: AlarmDefinition
    drafted: DraftedAlarm
    of_unit: bool


def _defined(name: str) -> Callable[[AlarmRow], Any]:
    return lambda row: getattr(row.definition, name)


def _said(name: str) -> Callable[[AlarmRow], Any]:
    return lambda row: getattr(row.drafted.part, name)


ALARM_COLUMNS: tuple[Column, ...] = (
    Column("path", "测点路径", lambda row: row.drafted.point, width=40),
    Column("kind", "报警类型", lambda row: row.drafted.kind, width=12),
    Column("alarm_name", "区分名", _said("name"), width=12),
    Column("limit", "限值", lambda row: row.drafted.limit, NUMBER, "limit", 10),
    Column("deadband", "回差", _defined("deadband"), NUMBER, "deadband", 10),
    Column("on_delay", "报警延时", _defined("on_delay"), DURATION, "on_delay", 10),
    Column("off_delay", "恢复延时", _defined("off_delay"), DURATION, "off_delay", 10),
    Column("priority", "优先级", _defined("priority"), PRIORITY, "priority", 10),
    Column("grade", "后果等级", lambda row: row.drafted.part.consequence.grade, TEXT, "consequence.grade", 12),
    Column("consequence", "后果", lambda row: row.drafted.part.consequence.text, TEXT, "consequence.text", 30),
    Column("cause", "原因", _said("cause"), TEXT, "cause", 30),
    Column("action", "操作员动作", _said("action"), TEXT, "action", 30),
    Column("time_to_act", "可用时间", _said("time_to_act"), DURATION, "time_to_act", 10),
    Column("group", "报警组", _said("group"), TEXT, "group", 12),
    Column("latched", "锁存", _said("latched"), FLAG, "latched", 8),
    Column("enabled", "启用", _said("enabled"), FLAG, "enabled", 8),
    Column("operator_position", "操作岗位", _said("operator_position"), TEXT, "operator_position", 14),
    Column("enable", "使能条件", _said("enable"), TEXT, "enable", 24),
    Column("expression", "表达式", _said("expression"), TEXT, "expression", 24),
    Column("source", "依据", _said("source"), TEXT, "source", 24),
)

# --- out ------------------------------------------------------------------------------------------------------------


def alarm_rows(document: SiteDocument) -> list[AlarmRow]:
    """Return every alarm of a site, in file order."""
    plant = compile_site(document, numbers_in_file_order(document))
    drafted = drafted_alarms(document)
    # Alarms of a unit stand in its own list, which is one step less deep than a point's.
    return [
        AlarmRow(definition, draft, "points" not in draft.loc)
        for definition, draft in zip(plant.alarms, drafted, strict=True)
    ]


def export_points(document: SiteDocument, file: Path) -> int:
    """Write the point list and return the number of points."""
    rows = list(document.points())
    _write(file, "测点 points", POINT_COLUMNS, rows)
    return len(rows)


def export_alarms(document: SiteDocument, file: Path) -> int:
    """Write the alarm list and return the number of alarms."""
    rows = alarm_rows(document)
    _write(file, "报警 alarms", ALARM_COLUMNS, rows)
    return len(rows)


def _write(file: Path, title: str, columns: tuple[Column, ...], rows: list[Any]) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    sheet.append([f"{column.zh}\n{column.key}" for column in columns])
    for row in rows:
        sheet.append([_shown(column, row) for column in columns])
    for cells in sheet.iter_rows(min_row=2):
        for cell in cells:
            if isinstance(cell.value, str):
                cell.data_type = "s"  # a text that begins with = must not become a formula
    for index, column in enumerate(columns, start=1):
        head = sheet.cell(1, index)
        head.font = Font(bold=True)
        head.alignment = Alignment(wrap_text=True, vertical="top")
        if column.kind is None:
            head.fill = PatternFill("solid", start_color="DDDDDD")
        sheet.column_dimensions[get_column_letter(index)].width = column.width
    sheet.freeze_panes = "B2"
    sheet.auto_filter.ref = sheet.dimensions
    book.save(file)


def _shown(column: Column, row: Any) -> Any:
    value = column.get(row)
    if value is None or value == "":
        return None
    return column.kind.show(value) if column.kind is not None else value


# --- in -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    cells: dict[str, Cell]

    def value(self, key: str) -> Any:
        return self.cells[key].value if key in self.cells else None


class SheetError(InvalidInputError):
    """A workbook that cannot be taken; ``problems`` holds every cell that is wrong."""

    def __init__(self, file: Path, problems: list[str]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(problems[0] + more, where=file.name, fix="correct the cells and import again")
        self.problems = problems

    def problem(self) -> dict[str, Any]:
        """Return the problem document with all cells."""
        return {**super().problem(), "problems": self.problems}


def import_points(document: SiteDocument, file: Path, *, remove_missing: bool = False) -> tuple[Edit, ...]:
    """Return the edits that make the site say what a point list says.

    Args:
        document: the site as it is.
        file: the workbook.
        remove_missing: also remove the points that the list does not have.

    Raises:
        SheetError: with every cell that is wrong.
    """
    known = {placed.path: placed for placed in document.points()}
    units = {unit.path for unit in document.units()}
    problems: list[str] = []
    edits: list[Edit] = []
    seen: set[str] = set()
    for row in _rows(file, POINT_COLUMNS, problems):
        path = text_of(row.value("path")) or ""
        unit_path, _, identity = path.rpartition("/")
        if path in seen:
            problems.append(f"{_at(row, 'path')}: {path} stands twice")
        elif path in known:
            edits += _point_edits(row, known[path], problems)
        elif unit_path in units:
            edits.append(Edit("add", unit_path, value={"id": identity, **_new_point(row, problems)}))
        else:
            problems.append(f"{_at(row, 'path')}: there is no unit {unit_path or path}")
        seen.add(path)
    if remove_missing:
        edits += [Edit("remove", path) for path in known if path not in seen]
    if problems:
        raise SheetError(file, problems)
    return tuple(edits)


def _point_edits(row: _Row, placed: PlacedPoint, problems: list[str]) -> Iterator[Edit]:
    pairs: set[str] = set()
    for column, wanted in _given(row, POINT_COLUMNS, problems):
        assert column.kind is not None
        if _same(wanted, column.get(placed)):
            continue
        if wanted is None and column.field.partition(".")[0] not in placed.part.model_fields_set:
            continue  # the cell showed a default; emptying it changes nothing in the file
        pair, _, end = column.field.rpartition(".")
        if not end.isdigit():
            yield Edit("set", placed.path, column.field, value=None if wanted is None else column.kind.write(wanted))
        elif pair not in pairs:
            pairs.add(pair)
            yield Edit("set", placed.path, pair, value=_pair(row, pair, problems, placed))


def _pair(row: _Row, pair: str, problems: list[str], placed: PlacedPoint | None = None) -> list[float | int] | None:
    """Return [low, high] from the two columns of ``pair``; a column the sheet lacks keeps what the file says."""
    ends: list[float | None] = []
    columns = [column for column in POINT_COLUMNS if column.field in (f"{pair}.0", f"{pair}.1")]
    for column in columns:
        if column.key in row.cells:
            found = dict(_given(row, (column,), []))
            ends.append(found.get(column))
        else:
            ends.append(column.get(placed) if placed is not None else None)
    low, high = ends
    if low is None and high is None:
        return None
    if low is None or high is None:
        problems.append(f"{_at(row, columns[0].key)}: low and high end belong together")
        return None
    return [plain_number(low), plain_number(high)]


def _new_point(row: _Row, problems: list[str]) -> dict[str, Any]:
    point: dict[str, Any] = {}
    for column, wanted in _given(row, POINT_COLUMNS, problems):
        if wanted is None:
            continue
        assert column.kind is not None
        node = point
        *outer, last = column.field.split(".")
        if last.isdigit():
            *outer, last = outer
            value: Any = _pair(row, column.field.rpartition(".")[0], problems)
        else:
            value = column.kind.write(wanted)
        for key in outer:
            node = node.setdefault(key, {})
        node[last] = value
    return point


def import_alarms(document: SiteDocument, file: Path) -> tuple[Edit, ...]:
    """Return the edits that make the site say what an alarm list says; rows that are missing change nothing.

    Raises:
        SheetError: with every cell that is wrong.
    """
    points = {placed.path: placed.part for placed in document.points()}
    known = {row.definition.id: row for row in alarm_rows(document)}
    problems: list[str] = []
    edits: list[Edit] = []
    for row in _rows(file, ALARM_COLUMNS, problems):
        path, kind, name = (text_of(row.value(key)) or "" for key in ("path", "kind", "alarm_name"))
        alarm = f"{kind}.{name}" if name else kind
        if path not in points:
            problems.append(f"{_at(row, 'path')}: there is no point {path}")
            continue
        found = known.get(f"{path}.{alarm}")
        changes = _alarm_edits(row, path, alarm, points[path], found, problems)
        if changes and found is not None and found.of_unit:
            problems.append(f"{_at(row, 'kind')}: {alarm} is an alarm of the unit, change it in the file")
        else:
            edits += changes
    if problems:
        raise SheetError(file, problems)
    return tuple(edits)


def _alarm_edits(
    row: _Row, path: str, alarm: str, point: PointPart, found: AlarmRow | None, problems: list[str]
) -> list[Edit]:
    edits = []
    for column, wanted in _given(row, ALARM_COLUMNS, problems):
        assert column.kind is not None
        if _same(wanted, column.get(found) if found is not None else None):
            continue
        short = column.key == "limit" and alarm in LIMIT_KINDS and (found is None or alarm in dict(point.limits))
        said = found is not None and column.field.partition(".")[0] in found.drafted.part.model_fields_set
        if wanted is None and not (said or short):
            continue  # the cell showed what the point or the defaults say; emptying it changes nothing in the file
        value = None if wanted is None else column.kind.write(wanted)
        if short:
            edits.append(Edit("set", path, f"limits.{alarm}", value=value))
        else:
            edits.append(Edit("set", path, column.field, alarm, value))
    return edits


def _same(wanted: Any, current: Any) -> bool:
    if isinstance(current, dict):
        current = {str(key): value for key, value in current.items()}
    empty: tuple[Any, ...] = (None, "", {}, [])
    return bool(wanted == current) or (wanted in empty and current in empty)


def _given(row: _Row, columns: tuple[Column, ...], problems: list[str]) -> Iterator[tuple[Column, Any]]:
    """Yield the columns the sheet has that may be changed, with the value of each cell."""
    for column in columns:
        if column.kind is None or column.key not in row.cells:
            continue
        try:
            yield column, column.kind.parse(row.value(column.key))
        except ValueError as error:
            problems.append(f"{_at(row, column.key)}: {row.value(column.key)!r}: {error}")


def _at(row: _Row, key: str) -> str:
    cell = row.cells.get(key)
    return cell.coordinate if cell is not None else f"row {row.number}"


def _rows(file: Path, columns: tuple[Column, ...], problems: list[str]) -> Iterator[_Row]:
    sheet = _open(file)
    keys: dict[int, str] = {}
    known = {column.key for column in columns}
    for cell in sheet[1]:
        key = (text_of(cell.value) or "").split("\n")[-1].strip()
        if key in known:
            keys[cell.column] = key
        elif key:
            problems.append(f"{cell.coordinate}: no column {key!r}; the last line of a header names the field")
    if "path" not in keys.values():
        raise SheetError(file, ["A1: a column path is needed"])
    for cells in sheet.iter_rows(min_row=2):
        found = {keys[cell.column]: cell for cell in cells if cell.column in keys}
        if any(cell.value is not None for cell in found.values()):
            yield _Row(cells[0].row, found)


def _open(file: Path) -> Any:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InvalidInputError(f"larger than {MAX_BYTES >> 20} MB", where=str(file), fix="a smaller list")
        return load_workbook(file, data_only=True).worksheets[0]
    except OSError as error:
        raise InvalidInputError(f"cannot be read: {error.strerror or error}", where=str(file)) from error
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, IndexError, TypeError) as error:
        raise InvalidInputError(
            "is no Excel workbook", where=str(file), fix="an .xlsx file that anlan wrote"
        ) from error

"""Point and alarm lists as Excel workbooks, and back as edits of the site's files.

A sheet has one row a point (or alarm) and one column a field; a column's header ends with the field's name after a line
break, so that columns may be moved, left out or renamed in front of it. Cells left as they were make no edit.
"""

from __future__ import annotations

import math
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
from anlan.core.time import DAY, HOUR, MINUTE, SECOND, duration_us
from anlan.plant.compiler import compile_site, numbers_in_file_order, unit_of
from anlan.plant.definitions import DraftedAlarm, drafted_alarms
from anlan.plant.model import AlarmDefinition
from anlan.plant.registers.model import Edit
from anlan.plant.schema import LIMIT_KINDS, PRIORITIES, PointPart
from anlan.plant.site_file import PlacedPoint, SiteDocument

MAX_BYTES = 64 << 20
_PRIORITY_NAMES = {number: name for name, number in PRIORITIES.items()}


def duration_text(time_us: int | None) -> str | None:
    """Return a duration (µs) as site files write it, in the largest unit that keeps it whole."""
    if time_us is None:
        return None
    for unit, size in (("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", SECOND), ("ms", 1_000)):
        if time_us % size == 0 and (time_us or unit == "s"):
            return f"{time_us // size} {unit}"
    return f"{time_us / SECOND:.6f} s"


# --- cells ----------------------------------------------------------------------------------------------------------

Parse = Callable[[Any], Any]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def _number(value: Any) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError("a number is expected") from error
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError("a number is expected")
    return number


def _duration(value: Any) -> int | None:
    text = _text(value)
    if text is None:
        return None
    try:
        return duration_us(float(text) if _is_number(text) else text)
    except (InvalidInputError, OverflowError) as error:
        raise ValueError("a duration is expected, like 2 s or 5 min") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _stale(value: Any) -> int | None:
    return 0 if value is False or _text(value) in ("off", "never", "no") else _duration(value)


def _flag(value: Any) -> bool | None:
    text = _text(value)
    if text is None:
        return None
    flags = {"true": True, "yes": True, "是": True, "1": True, "false": False, "no": False, "否": False, "0": False}
    if text.lower() not in flags:
        raise ValueError("是/否 or yes/no is expected")
    return flags[text.lower()]


def _states(value: Any) -> dict[str, str] | None:
    text = _text(value)
    if text is None:
        return None
    states: dict[str, str] = {}
    for part in text.replace(";", ";").split(";"):
        number, equals, name = part.partition("=")
        if part.strip():
            if not equals or not number.strip().lstrip("-").isdigit():
                raise ValueError("states are written like 0=停; 1=运行")
            states[number.strip()] = name.strip()
    return states


def _priority(value: Any) -> int | None:
    text = _text(value)
    if text is None:
        return None
    if text.lower() in PRIORITIES:
        return PRIORITIES[text.lower()]
    if text not in ("1", "2", "3", "4"):
        raise ValueError("critical, high, medium, low or 1 to 4")
    return int(text)


# Kinds of cell: how it is read, how a value is shown, how it is written into a site file.
@dataclass(frozen=True, slots=True)
class _CellKind:
    parse: Parse
    show: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value


def _plain_number(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


_TEXT = _CellKind(_text)
_NUMBER = _CellKind(_number, write=_plain_number)
_DURATION = _CellKind(_duration, duration_text, duration_text)
_STALE = _CellKind(
    _stale,
    lambda value: "off" if value == 0 else duration_text(value),
    lambda value: duration_text(value) if value else "off",
)
_FLAG = _CellKind(_flag, lambda value: None if value is None else "是" if value else "否")
_STATES = _CellKind(_states, lambda value: "; ".join(f"{number}={name}" for number, name in value.items()) or None)
_PRIORITY = _CellKind(_priority, _PRIORITY_NAMES.get, _PRIORITY_NAMES.get)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``field`` of the site file, ``get`` its value in a row's object; without ``kind`` it is read only."""

    key: str
    zh: str
    get: Callable[[Any], Any]
    kind: _CellKind | None = None
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
    Column("name", "名称", _attribute("name"), _TEXT, "name", 22),
    Column("name_en", "英文名", _attribute("name_en"), _TEXT, "name_en", 22),
    Column("kind", "类型", _attribute("kind"), _TEXT, "kind", 18),
    Column("unit", "单位", lambda placed: unit_of(placed.part), _TEXT, "unit", 10),
    Column("tag", "位号", _attribute("tag"), _TEXT, "tag"),
    Column("equipment", "设备", _attribute("equipment"), _TEXT, "equipment"),
    Column("safety", "安全测点", _attribute("safety"), _FLAG, "safety", 9),
    *(Column(kind, f"限值 {kind}", _limit(kind), _NUMBER, f"limits.{kind}", 10) for kind in LIMIT_KINDS),
    Column("on_delay", "报警延时", _attribute("on_delay"), _DURATION, "on_delay", 10),
    Column("off_delay", "恢复延时", _attribute("off_delay"), _DURATION, "off_delay", 10),
    Column("deadband", "回差", _attribute("deadband"), _NUMBER, "deadband", 10),
    Column("range_low", "量程下限", _end(_range, 0), _NUMBER, "range.0", 10),
    Column("range_high", "量程上限", _end(_range, 1), _NUMBER, "range.1", 10),
    Column("stale", "失联时长", _attribute("stale"), _STALE, "stale", 10),
    Column("retention", "保存等级", _attribute("retention"), _TEXT, "retention", 10),
    Column("states", "状态", _attribute("states"), _STATES, "states", 24),
    Column("gain", "校准增益", _calibration("gain"), _NUMBER, "calibration.gain", 10),
    Column("offset", "校准偏移", _calibration("offset"), _NUMBER, "calibration.offset", 10),
    Column("calibrated_low", "有效下限", _end(_calibration_range, 0), _NUMBER, "calibration.range.0", 10),
    Column("calibrated_high", "有效上限", _end(_calibration_range, 1), _NUMBER, "calibration.range.1", 10),
    Column("expires", "校准到期", _calibration("expires"), _TEXT, "calibration.expires", 14),
    Column("certificate", "校准证书", _calibration("certificate"), _TEXT, "calibration.certificate", 18),
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
    Column("limit", "限值", lambda row: row.drafted.limit, _NUMBER, "limit", 10),
    Column("deadband", "回差", _defined("deadband"), _NUMBER, "deadband", 10),
    Column("on_delay", "报警延时", _defined("on_delay"), _DURATION, "on_delay", 10),
    Column("off_delay", "恢复延时", _defined("off_delay"), _DURATION, "off_delay", 10),
    Column("priority", "优先级", _defined("priority"), _PRIORITY, "priority", 10),
    Column("grade", "后果等级", lambda row: row.drafted.part.consequence.grade, _TEXT, "consequence.grade", 12),
    Column("consequence", "后果", lambda row: row.drafted.part.consequence.text, _TEXT, "consequence.text", 30),
    Column("cause", "原因", _said("cause"), _TEXT, "cause", 30),
    Column("action", "操作员动作", _said("action"), _TEXT, "action", 30),
    Column("time_to_act", "可用时间", _said("time_to_act"), _DURATION, "time_to_act", 10),
    Column("group", "报警组", _said("group"), _TEXT, "group", 12),
    Column("latched", "锁存", _said("latched"), _FLAG, "latched", 8),
    Column("enabled", "启用", _said("enabled"), _FLAG, "enabled", 8),
    Column("operator_position", "操作岗位", _said("operator_position"), _TEXT, "operator_position", 14),
    Column("enable", "使能条件", _said("enable"), _TEXT, "enable", 24),
    Column("expression", "表达式", _said("expression"), _TEXT, "expression", 24),
    Column("source", "依据", _said("source"), _TEXT, "source", 24),
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
        path = _text(row.value("path")) or ""
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
    return [_plain_number(low), _plain_number(high)]


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
        path, kind, name = (_text(row.value(key)) or "" for key in ("path", "kind", "alarm_name"))
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
        key = (_text(cell.value) or "").split("\n")[-1].strip()
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

"""Tables of variables over time from Parquet and CSV: what is a variable, the time, and what is left out.

A numeric column is a variable. A date column, or one named ``time``, ``timestamp``, ``datetime`` or ``date``, is the
time; without one the rows count 0, 1, 2, … Text, switches, constants, counters that rise by the same step each row
and label columns (``fault``, ``anomaly``, …) are left out, and a note says so. A cell that is no finite number is
missing; it is counted and the first ones are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from anlan.cli.table_cells import microseconds_of, numbers_of
from anlan.cli.table_files import read_file
from anlan.core.errors import InvalidInputError
from anlan.science.detection.protocol import Floats, Table, Times

TIME_NAMES = ("time", "timestamp", "datetime", "date", "date_time", "时间", "日期", "日期时间")
LABEL = re.compile(r"label|anomal|fault|attack|att_flag|outlier|changepoint|标签|故障|异常", re.IGNORECASE)
WHERE = re.compile(r"^\s*(?P<column>.+?)\s*(?P<sign>==|!=|>=|<=|>|<)\s*(?P<value>.*?)\s*$")

_COUNTER_SHARE = 0.99
_DISORDER_SHARE = 0.01
_MOST_LABELS = 60
_NAMED_CELLS = 3


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user says of a file.

    Attributes:
        columns: variables to take, nothing else; empty takes all numeric ones.
        ignore: columns to leave out.
        time: name of the time column; empty finds it.
        group: column whose value names the run a row belongs to; runs are judged each from a fresh start.
        where: conditions ``column==value`` that rows must meet, all of them.
    """

    columns: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    time: str = ""
    group: str = ""
    where: tuple[str, ...] = ()


@dataclass(slots=True)
class Sheet:
    """A file read as a table.

    Attributes:
        path: the file.
        table: its variables.
        run: number of the run of each row, shape (rows,), from 0; rows of a run stand together.
        runs: name of each run; one empty name where there is a single run.
        row: number of each row in the file, from 1.
        stamp: what stands in the time column, or the row number; one a row, to be written back.
        stamp_name: its name.
        notes: what was left out or changed, for people.
    """

    path: Path
    table: Table
    run: NDArray[np.int64]
    runs: tuple[str, ...]
    row: NDArray[np.int64]
    stamp: Any
    stamp_name: str
    notes: list[str] = field(default_factory=list)

    def parts(self) -> Iterator[tuple[str, slice, Table]]:
        """Yield name, rows and table of each run."""
        edges = np.searchsorted(self.run, np.arange(len(self.runs) + 1))
        for number, name in enumerate(self.runs):
            start, end = int(edges[number]), int(edges[number + 1])
            yield name, slice(start, end), self.table.rows(start, end)


def read_sheet(path: Path, wanted: Selection, names: Iterable[str] | None = None) -> Sheet:
    """Return the variables of a file.

    Args:
        path: Parquet (``.parquet``, ``.pq``) or CSV (``.csv``, ``.tsv``, ``.txt``, each also ``.gz``).
        wanted: columns and rows asked for.
        names: variables a model needs, in order; ``None`` takes all that are there.

    Raises:
        InvalidInputError: the file cannot be read, a column is missing or twice there, a condition is wrong, or
            nothing is left.
    """
    notes: list[str] = []
    raw = read_file(path, notes)
    _check_known(path, raw, wanted)
    row = np.arange(1, len(raw) + 1, dtype=np.int64)
    for condition in wanted.where:
        keep = _meets(path, raw, condition)
        raw, row = raw.filter(pa.array(keep)), row[keep]
    if not len(raw):
        raise InvalidInputError(
            "no row is left", where=str(path), fix="give a file with rows, and a --where that some meet"
        )
    time_name, time, stamp = _time(path, raw, row, wanted.time, notes)
    reserved = {time_name, wanted.group}
    if names is None:
        columns, cuts = _choose(path, raw, row, wanted, reserved, notes)
    else:
        columns, cuts = _match(path, raw, row, tuple(names), notes), None
        if not wanted.group and not time_name:
            cuts = _restarts(raw, reserved, notes)
    run, runs = _runs(raw, row, wanted, time, time_name, cuts, notes)
    order = np.lexsort((time, run)) if wanted.group or not _rising(time, run) else np.arange(len(time))
    values = np.column_stack(list(columns.values())) if columns else np.empty((len(time), 0))
    return Sheet(
        path, Table(tuple(columns), time[order], np.ascontiguousarray(values[order])), run[order], runs, row[order],
        stamp.take(pa.array(order)), time_name or "row", notes,
    )  # fmt: skip


def _check_known(path: Path, raw: pa.Table, wanted: Selection) -> None:
    asked = (*wanted.columns, *wanted.ignore, *filter(None, (wanted.time, wanted.group)))
    for name in asked:
        if name not in raw.column_names:
            shown = ", ".join(raw.column_names[:12]) + (", …" if len(raw.column_names) > 12 else "")
            raise InvalidInputError(f"there is no column {name}", where=str(path), fix=f"one of {shown}")


def _meets(path: Path, raw: pa.Table, condition: str) -> NDArray[np.bool_]:
    """Return which rows meet ``column==value``; a missing cell meets nothing but ``!=``."""
    parsed = WHERE.match(condition)
    if parsed is None or parsed["column"] not in raw.column_names:
        raise InvalidInputError(
            f"the condition {condition!r} cannot be read",
            where=str(path),
            fix=f"COLUMN==VALUE with a column of the file ({', '.join(raw.column_names[:8])}, …)",
        )
    column, sign, value = raw[parsed["column"]], parsed["sign"], parsed["value"].strip("'\"")
    numbers, _ = numbers_of(column)
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if numbers is not None and np.isfinite(number):
        compare = {"==": np.equal, "!=": np.not_equal, ">=": np.greater_equal, "<=": np.less_equal}
        compare |= {">": np.greater, "<": np.less}
        return np.asarray(compare[sign](numbers, number), dtype=np.bool_)
    if sign not in ("==", "!="):
        raise InvalidInputError(
            f"{parsed['column']} and {value} cannot be compared with {sign}", where=str(path), fix="== or !="
        )
    same = np.array([str(item).lower() == value.lower() for item in column.to_pylist()], dtype=np.bool_)
    return same if sign == "==" else ~same


def _variable(name: str, column: Any, row: NDArray[np.int64], notes: list[str]) -> Floats | None:
    """Return a column's numbers with what is not finite made missing and noted; ``None`` if it is text."""
    values, bad = numbers_of(column)
    if values is None:
        return None
    if bad.any():
        cells = ", ".join(f"row {row[at]}: {column[int(at)].as_py()!r}" for at in np.flatnonzero(bad)[:_NAMED_CELLS])
        notes.append(f"{name}: {bad.sum()} cells are no numbers and count as missing ({cells})")
    # Beyond the range of single precision no instrument reports; such a number is an overflow or a fill value.
    wild = np.isinf(values) | (np.abs(values) > np.finfo(np.float32).max)
    if wild.any():
        notes.append(
            f"{name}: {wild.sum()} infinite or overflowing values count as missing (first in row {row[wild.argmax()]})"
        )
        values[wild] = np.nan
    return values


def _choose(
    path: Path, raw: pa.Table, row: NDArray[np.int64], wanted: Selection, reserved: set[str], notes: list[str]
) -> tuple[dict[str, Floats], NDArray[np.bool_] | None]:
    """Return the variables of a file nobody has named columns of yet, and where a counter starts again."""
    columns: dict[str, Floats] = {}
    cuts = None
    for name in wanted.columns or raw.column_names:
        if name in reserved or name in wanted.ignore:
            continue
        kind = raw[name].type
        values = _variable(name, raw[name], row, notes)
        if values is None:
            if wanted.columns:
                raise InvalidInputError(f"the column {name} holds no numbers", where=str(path), fix="a numeric column")
            notes.append(f"{name}: left out, it is text or a date")
        elif wanted.columns:
            columns[name] = values
        elif pa.types.is_boolean(kind):
            notes.append(f"{name}: left out, it is a yes/no column (name it with --columns to use it)")
        elif (reason := _no_measurement(name, values)) is not None:
            notes.append(f"{name}: left out, {reason}")
            if reason == COUNTER and not reserved - {""}:
                cuts = _steps_back(values) if cuts is None else cuts | _steps_back(values)
        else:
            columns[name] = values
    if not columns:
        raise InvalidInputError(
            "no variable is left: " + "; ".join(notes[-3:]),
            where=str(path),
            fix="a file with numeric columns that vary",
        )
    return columns, cuts


COUNTER = "it only counts the rows"


def _no_measurement(name: str, values: Floats) -> str | None:
    """Return why a numeric column is no measurement, or ``None``."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "all its cells are missing"
    if known.min() == known.max():
        return f"it is constant ({known[0]:g})"
    if _is_counter(values):
        return COUNTER
    whole = np.array_equal(known, np.round(known))
    if LABEL.search(name) and whole and len(np.unique(known)) <= _MOST_LABELS:
        marked = int((known != 0).sum())
        text = "it looks like a label (name it with --columns to use it)"
        warning = (
            f"; by it {marked} of these rows are NOT normal: add --where '{name}==0'" if (known == 0).any() else ""
        )
        return text + warning
    return None


def _is_counter(values: Floats) -> bool:
    if len(values) < 3 or np.isnan(values).any():
        return False
    steps = np.diff(values)
    step = float(np.median(steps))
    return step > 0 and float(np.isclose(steps, step, rtol=1e-6, atol=0).mean()) >= _COUNTER_SHARE


def _steps_back(values: Floats) -> NDArray[np.bool_]:
    return np.concatenate([[False], np.diff(values) < 0])


def _restarts(raw: pa.Table, reserved: set[str], notes: list[str]) -> NDArray[np.bool_] | None:
    """Return where a row counter of a file without time starts again."""
    cuts = None
    for name in raw.column_names:
        if name in reserved or not pa.types.is_integer(raw[name].type):
            continue
        values, _ = numbers_of(raw[name])
        if values is not None and _is_counter(values):
            cuts = _steps_back(values) if cuts is None else cuts | _steps_back(values)
    return cuts


def _match(
    path: Path, raw: pa.Table, row: NDArray[np.int64], names: tuple[str, ...], notes: list[str]
) -> dict[str, Floats]:
    """Return the variables a model needs, by name."""
    missing = [name for name in names if name not in raw.column_names]
    if missing:
        shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise InvalidInputError(
            f"the model needs the column{'s' if len(missing) > 1 else ''} {shown}, which the file lacks",
            where=str(path),
            fix="a file with the columns the model was fitted on, under the same names",
        )
    columns = {}
    for name in names:
        values = _variable(name, raw[name], row, notes)
        if values is None:
            raise InvalidInputError(f"the column {name} holds no numbers", where=str(path), fix="a numeric column")
        columns[name] = values
    return columns


def _time(path: Path, raw: pa.Table, row: NDArray[np.int64], asked: str, notes: list[str]) -> tuple[str, Times, Any]:
    """Return name, µs (or count) and original cells of the time column; the row count where there is none."""
    for name in (asked,) if asked else _time_candidates(raw):
        time = microseconds_of(raw[name])
        if time is not None and np.isfinite(time).all():
            return name, time.astype(np.int64), raw[name].combine_chunks()
        if time is not None and np.isfinite(time).any():
            at = int(np.flatnonzero(~np.isfinite(time))[0])
            raise InvalidInputError(
                f"{(~np.isfinite(time)).sum()} cells of the time column {name} hold no time",
                where=f"{path}, row {row[at]}, column {name}",
                fix="ISO 8601 such as 2026-01-31 08:00:00, or a number; or name another column with --time",
            )
        if asked:
            raise InvalidInputError(
                f"the column {name} holds no times", where=str(path), fix="dates (ISO 8601) or numbers"
            )
    notes.append("no time column: rows are counted")
    return "", np.arange(len(raw), dtype=np.int64), pa.array(row)


def _time_candidates(raw: pa.Table) -> list[str]:
    dates = [n for n in raw.column_names if pa.types.is_temporal(raw[n].type) and not pa.types.is_duration(raw[n].type)]
    named = [name for name in raw.column_names if name.strip().lower() in TIME_NAMES]
    return [*(name for name in dates if name in named), *(name for name in named if name not in dates), *dates]


def _rising(time: Times, run: NDArray[np.int64]) -> bool:
    return bool(((np.diff(time) >= 0) | (np.diff(run) != 0)).all())


def _runs(
    raw: pa.Table, row: NDArray[np.int64], wanted: Selection, time: Times, time_name: str,
    cuts: NDArray[np.bool_] | None, notes: list[str],
) -> tuple[NDArray[np.int64], tuple[str, ...]]:  # fmt: skip
    """Return the run of each row and the runs' names: by the group column or where time or a counter starts again."""
    if wanted.group:
        encoded = raw[wanted.group].combine_chunks().dictionary_encode(null_encoding="encode")
        names = tuple(str(name) for name in encoded.dictionary.to_pylist())
        return np.asarray(encoded.indices.to_numpy(), dtype=np.int64), names
    what = f"the time {time_name}"
    back = _steps_back(time.astype(np.float64))
    if not time_name and cuts is not None:
        what, back = "the row counter", cuts
    if not back.any():
        return np.zeros(len(time), dtype=np.int64), ("",)
    if back.mean() > _DISORDER_SHARE:
        notes.append(f"{what} goes back {back.sum()} times: the rows were put in order of time")
        return np.zeros(len(time), dtype=np.int64), ("",)
    first = ", ".join(str(row[at]) for at in np.flatnonzero(back)[:_NAMED_CELLS])
    notes.append(
        f"{what} starts again {back.sum()} times (row {first}{', …' if back.sum() > _NAMED_CELLS else ''}): each is "
        "taken as a run of its own; --group COLUMN says otherwise"
    )
    return np.cumsum(back).astype(np.int64), tuple(str(number + 1) for number in range(int(back.sum()) + 1))

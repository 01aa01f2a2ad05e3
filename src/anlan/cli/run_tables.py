"""Run-to-failure tables from Parquet and CSV: which column is unit, cycle, setting and sensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from anlan.cli.table_cells import numbers_of
from anlan.cli.table_files import read_file
from anlan.core.errors import InvalidInputError
from anlan.science.detection.protocol import Floats
from anlan.science.prognosis.runs import Runs, make_runs

SETTING_PREFIXES = ("setting", "op")
"""Columns that start so are operating settings, unless the user names them."""

_NAMED = 5


def read_runs(
    path: Path,
    unit: str,
    cycle: str,
    settings: tuple[str, ...] = (),
    sensors: tuple[str, ...] | None = None,
    needed: tuple[str, ...] = (),
) -> tuple[Runs, list[str]]:
    """Return the runs of a file and notes of what was left out.

    Args:
        path: Parquet or CSV.
        unit, cycle: columns.
        settings: columns of settings; empty takes those named setting… or op… (unless ``sensors`` are given).
        sensors: columns of sensors, in order; ``None`` takes all other numeric ones.
        needed: sensors that must be there; others of ``sensors`` may be missing.

    Raises:
        InvalidInputError: the file cannot be read, a column is missing, or its rows break the rules of ``make_runs``.
    """
    notes: list[str] = []
    raw = read_file(path, notes)
    if not len(raw):
        raise InvalidInputError("there is no row", where=str(path), fix="give one row a cycle of each unit")
    _require(path, raw, (unit, cycle), "name them with --unit and --cycle")
    known = {name: _numbers(path, raw, name, notes) for name in raw.column_names if name not in (unit, cycle)}
    if sensors is None:
        _require(path, raw, settings, "check --settings")
        chosen = settings or tuple(name for name in known if name.lower().startswith(SETTING_PREFIXES))
        sensors = tuple(name for name in known if name not in chosen and known[name] is not None)
        text = [name for name in known if name not in chosen and known[name] is None]
        if text:
            notes.append(f"left out, as they hold no numbers: {', '.join(text)}")
    else:
        _require(path, raw, (*settings, *needed), "give the columns the model was fitted on")
        chosen = settings
    count = _numbers(path, raw, cycle, notes)
    if count is None:
        raise InvalidInputError(
            "the cycle is no number", where=f"{path}, column {cycle}", fix="a count that rises, or --cycle COLUMN"
        )
    runs, lines = make_runs(
        _names(raw[unit]),
        count,
        _columns(path, known, chosen, len(raw)),
        _columns(path, known, sensors, len(raw)),
        str(path),
    )
    return runs, notes + lines


def _require(path: Path, raw: pa.Table, names: tuple[str, ...], fix: str) -> None:
    missing = [name for name in names if name not in raw.column_names]
    if missing:
        there = ", ".join(raw.column_names[:8])
        raise InvalidInputError(
            f"the column {', '.join(missing[:_NAMED])} is missing", where=str(path), fix=f"{fix}; there are {there}, …"
        )


def _numbers(path: Path, raw: pa.Table, name: str, notes: list[str]) -> Floats | None:
    values, bad = numbers_of(raw[name])
    if values is None:
        return None
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        notes.append(
            f"{int(bad.sum())} cells of {name} are no numbers and count as missing "
            f"(row {first + 1}: {raw[name][first].as_py()!r})"
        )
    values = np.array(values)
    values[~np.isfinite(values)] = np.nan
    return values


def _columns(path: Path, known: dict[str, Floats | None], names: tuple[str, ...], rows: int) -> dict[str, Floats]:
    columns = {}
    for name in names:
        # A sensor the model left out need not be there.
        values = known.get(name, np.full(rows, np.nan))
        if values is None:
            raise InvalidInputError("the column holds no numbers", where=f"{path}, column {name}", fix="numbers")
        columns[name] = values
    return columns


def _names(column: Any) -> NDArray[np.str_]:
    """Return unit names as text; a number loses a decimal point that only the file's type gave it."""
    values, _ = numbers_of(column)
    if values is not None and np.array_equal(values, np.round(values), equal_nan=True):
        return np.array(["" if np.isnan(one) else str(int(one)) for one in values], dtype=np.str_)
    return np.array([("" if one is None else str(one).strip()) for one in column.to_pylist()], dtype=np.str_)

"""Cells of table files as numbers and times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from anlan.science.detection.protocol import Floats

MISSING = ("", "na", "n/a", "nan", "null", "none", "nil", "-", "--", "#n/a", "bad")

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_YEAR_FIRST = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_DAY_FIRST = ("%d/%m/%y %H", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M")
# A count since 1970 tells its unit by its size: what stands for today differs by a thousand from unit to unit.
_EPOCH_UNITS = ((1e17, 1e-3), (1e14, 1.0), (1e11, 1e3), (1e8, 1e6))


def numbers_of(column: Any) -> tuple[Floats | None, NDArray[np.bool_]]:
    """Return the column as float64 and which filled cells are no numbers; ``None`` where it is no column of numbers."""
    kind = column.type
    none = np.zeros(len(column), dtype=np.bool_)
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    ):
        as_number = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
        return as_number.cast(pa.float64(), safe=False).to_numpy().astype(np.float64), none
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None, none
    text = pc.utf8_trim_whitespace(column)
    text = pc.if_else(pc.is_in(pc.utf8_lower(text), pa.array(MISSING)), pa.scalar(None, text.type), text)
    try:
        return text.cast(pa.float64()).to_numpy().astype(np.float64), none
    except pa.ArrowInvalid:
        pass
    good = pc.fill_null(pc.match_substring_regex(text, _NUMBER), False)
    filled = pc.is_valid(text)
    bad = np.asarray(pc.and_(filled, pc.invert(good)).to_numpy(), dtype=np.bool_)
    if 2 * int(bad.sum()) > pc.sum(filled).as_py():
        return None, bad
    cleaned = pc.replace_substring_regex(pc.if_else(good, text, pa.scalar(None, text.type)), r"^\+", "")
    return cleaned.cast(pa.float64()).to_numpy().astype(np.float64), bad


def microseconds_of(column: Any) -> Floats | None:
    """Return times as whole µs in float64 (exact for centuries), NaN where a cell holds none; ``None`` if no times."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        stamps = column.cast(pa.timestamp("us", tz="UTC" if getattr(kind, "tz", None) else None), safe=False)
        return np.asarray(stamps.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    numbers, bad = numbers_of(column)
    if numbers is None or (bad.any() and pa.types.is_string(kind)):
        return _parsed(column) if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None
    size = float(np.nanmedian(np.abs(numbers))) if np.isfinite(numbers).any() else 0.0
    factor = next((unit for least, unit in _EPOCH_UNITS if size >= least), None)
    if factor is None:
        known = numbers[np.isfinite(numbers)]
        factor = 1.0 if np.array_equal(known, np.round(known)) else 1e6
    return np.asarray(np.round(numbers * factor), dtype=np.float64)


def _parsed(column: Any) -> Floats | None:
    """Return the µs of times written as text, NaN where a cell is none; the form that reads most cells counts."""
    text = pc.utf8_trim_whitespace(column)
    iso = pc.replace_substring_regex(text, r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})", r"\1-\2-\3")
    iso = pc.replace_substring_regex(iso, r"-(\d)([-T ]|$)", r"-0\1\2")
    iso = pc.replace_substring_regex(iso, r"-(\d)([-T ]|$)", r"-0\1\2")
    iso = pc.replace_substring_regex(iso, r" (\d):", r" 0\1:")
    best: Floats | None = None
    for zone in (None, "UTC"):
        try:
            stamps = iso.cast(pa.timestamp("us", tz=zone))
        except pa.ArrowInvalid:
            continue
        return np.asarray(stamps.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    for source, form in (*((iso, form) for form in _YEAR_FIRST), *((text, form) for form in _DAY_FIRST)):
        stamps = pc.strptime(source, format=form, unit="us", error_is_null=True)
        times = np.asarray(stamps.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
        if np.isfinite(times).any() and (best is None or np.isfinite(times).sum() > np.isfinite(best).sum()):
            best = times
    return best

"""Samples of a CSV or Parquet file for a trial of definitions.

Long form: columns ``time``, ``point`` (path or number), ``value`` and perhaps ``quality``. Wide form: ``time`` and a
column for each point, named by its path, its tag, its connector's tag, or the last part of its path where unique. Times
are ISO 8601, timestamps, seconds (fractions allowed) or microseconds since 1970.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from anlan.core.batch import SampleBatch
from anlan.core.errors import AnlanError, InvalidInputError
from anlan.core.quality import Quality
from anlan.core.time import from_iso
from anlan.monitor.trial import sorted_by_time
from anlan.plant.model import Plant

TIME_NAMES = ("time", "timestamp", "datetime", "date")
_SECONDS_BELOW = 1e11


def read(path: Path, plant: Plant) -> SampleBatch:
    """Return the file's samples of the plant's points in time order.

    Raises:
        InvalidInputError: the file cannot be read or names none of the plant's points.
    """
    table = _table(path)
    names = {name.strip().lower(): name for name in table.column_names}
    time_name = next((names[name] for name in TIME_NAMES if name in names), None)
    if time_name is None:
        raise InvalidInputError("no column of times", where=str(path), fix=f"name one of {', '.join(TIME_NAMES)}")
    times = _times(table[time_name], plant.site.timezone, str(path))
    if "point" in names and "value" in names:
        batch = _long(table, names, times, plant, path)
    else:
        batch = _wide(table, time_name, times, plant, path)
    return sorted_by_time(batch)


def _table(path: Path) -> Any:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            return pq.read_table(path)
        from pyarrow import csv

        first = path.open(encoding="utf-8-sig").readline()
        delimiter = max(",;\t", key=first.count)
        return csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=delimiter))
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise InvalidInputError(f"cannot be read: {error}", where=str(path), fix="a CSV or Parquet file") from error


def _times(column: Any, zone: str, where: str) -> NDArray[np.int64]:
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            column = pc.assume_timezone(column, zone)
        whole = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        return np.asarray(whole.to_numpy(), np.int64)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        numbers: NDArray[np.float64] = column.to_numpy().astype(np.float64)
        scale = 1e6 if len(numbers) and float(np.nanmax(numbers)) < _SECONDS_BELOW else 1.0
        return np.rint(numbers * scale).astype(np.int64)
    texts = column.to_pylist()
    times = np.zeros(len(texts), np.int64)
    for row, text in enumerate(texts):
        try:
            times[row] = from_iso(str(text), zone)
        except AnlanError as error:
            raise InvalidInputError(error.message, where=f"{where}, row {row + 1}", fix=error.fix) from error
    return times


def _values(column: Any, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    try:
        values = column.cast(pa.float64())
    except pa.ArrowException as error:
        raise InvalidInputError(f"not all are numbers: {error}", where=f"column {name}") from error
    given = np.asarray(values.is_valid().to_numpy(), bool)
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64), given


def _long(table: Any, names: dict[str, str], times: NDArray[np.int64], plant: Plant, path: Path) -> SampleBatch:
    by_name: dict[str, int] = {point.path: point.number for point in plant.points}
    by_name |= {str(point.number): point.number for point in plant.points}
    encoded = table[names["point"]].cast(pa.string()).combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    numbers = np.array([by_name.get(str(name), -1) for name in encoded.dictionary.to_pylist()], np.int32)
    if not np.any(numbers >= 0):
        raise InvalidInputError("names none of the site's points", where=str(path), fix="full paths in 'point'")
    point = numbers[encoded.indices.to_numpy()]
    values, given = _values(table[names["value"]], names["value"])
    quality = np.zeros(len(values), np.uint8)
    if "quality" in names:
        quality = table[names["quality"]].cast(pa.uint8()).to_numpy().astype(np.uint8)
    quality = np.where(given, quality, np.uint8(Quality.BAD_NOT_A_NUMBER)).astype(np.uint8)
    return SampleBatch(point, times, values, quality).take(point >= 0)


def _wide(table: Any, time_name: str, times: NDArray[np.int64], plant: Plant, path: Path) -> SampleBatch:
    columns = _columns(plant)
    found = [(name, columns[name.strip()]) for name in table.column_names if name.strip() in columns]
    found = [(name, number) for name, number in found if name != time_name]
    if not found:
        raise InvalidInputError(
            "no column is named like a point of the site", where=str(path), fix="use full paths or tags as names"
        )
    batches = []
    for name, number in found:
        values, given = _values(table[name], name)
        batch = SampleBatch(np.full(len(values), number, np.int32), times, values, np.zeros(len(values), np.uint8))
        batches.append(batch.take(given))
    return SampleBatch.concatenate(batches)


def _columns(plant: Plant) -> dict[str, int]:
    """Point number by every name a column may have."""
    last = Counter(point.path.rpartition("/")[2] for point in plant.points)
    columns = {
        point.path.rpartition("/")[2]: point.number
        for point in plant.points
        if last[point.path.rpartition("/")[2]] == 1
    }
    by_path = {point.path: point.number for point in plant.points}
    for spec in plant.connectors:
        columns |= {tag: by_path[path] for path, tag in spec.map.items() if isinstance(tag, str) and path in by_path}
    columns |= {point.tag: point.number for point in plant.points if point.tag}
    return columns | by_path

"""Reads CSV and Parquet files in pieces as columns; what cannot be read is an error with row and column."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.perceive.decoders.rows import number_of, time_us

Reject = Callable[[bytes, DecodeError], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a file, all columns of one length; ``numbers`` are row numbers as an editor shows them."""

    numbers: NDArray[np.int64]
    columns: dict[str, Any]

    def __len__(self) -> int:
        return len(self.numbers)

    def row(self, index: int) -> bytes:
        """Return one row as JSON."""
        values = {name: column[index].as_py() for name, column in self.columns.items()}
        return json.dumps(values, ensure_ascii=False, default=str).encode()


def columns_of(path: Path) -> list[str]:
    """Return the names of a file's columns.

    Raises:
        InvalidInputError: it is no CSV or Parquet file, or cannot be read.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return list(pa.parquet.read_schema(path).names)
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [name.strip() for name in next(csv.reader(file))]
    except (OSError, StopIteration, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise InvalidInputError(
            f"cannot be read: {error or 'it is empty'}", where=str(path), fix="a CSV file with a header, or Parquet"
        ) from error


def pieces(path: Path, wanted: list[str], rows: int, reject: Reject) -> Iterator[Piece]:
    """Yield the file's ``wanted`` columns, ``rows`` rows at a time.

    Args:
        path: the file.
        wanted: column names.
        rows: rows of a piece (Parquet; a CSV's pieces follow its blocks).
        reject: takes a row that has the wrong number of cells.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        at = 1
        with pa.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows, columns=wanted):
                numbers = np.arange(at, at + len(batch), dtype=np.int64)
                at += len(batch)
                yield Piece(numbers, {name: batch.column(name) for name in wanted})
        return
    yield from _csv_pieces(path, wanted, reject)


def _csv_pieces(path: Path, wanted: list[str], reject: Reject) -> Iterator[Piece]:
    skipped: list[int] = []

    def bad_row(row: Any) -> str:
        skipped.append(row.number)
        message = f"{row.actual_columns} cells, the header has {row.expected_columns}"
        error = DecodeError(message, where=f"{path.name}, row {row.number}", fix="a cell for every column")
        reject(row.text.encode(), error)
        return "skip"

    header = columns_of(path)
    reader = pa.csv.open_csv(
        path,
        read_options=pa.csv.ReadOptions(use_threads=False, column_names=header, skip_rows=1, block_size=4 << 20),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=bad_row),
        convert_options=pa.csv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=True,
            null_values=[""],
        ),
    )  # fmt: skip
    at = 2
    used = 0
    for batch in reader:
        # Rows that were left out in this block are between its rows; the numbers of the others jump over them.
        gone = set(skipped[used:])
        used = len(skipped)
        numbers = np.arange(at, at + len(batch) + len(gone), dtype=np.int64)
        kept = numbers[~np.isin(numbers, list(gone))][: len(batch)] if gone else numbers
        at = int(numbers[-1]) + 1 if len(numbers) else at
        yield Piece(kept, {name: batch.column(name) for name in wanted})


def times_of(column: Any, zone: ZoneInfo) -> tuple[NDArray[np.int64], dict[int, DecodeError]]:
    """Return µs UTC of a column of times (Arrow timestamps, ISO texts, numbers), and an error for each that is none.

    Args:
        column: Arrow array.
        zone: zone of times without offset.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        quick = _quick_times(column, zone)
        if quick is not None:
            return quick, {}
    if pa.types.is_date(kind):
        return times_of(column.cast(pa.timestamp("us")), zone)
    times = np.zeros(len(column), np.int64)
    errors: dict[int, DecodeError] = {}
    for index, value in enumerate(column.to_pylist()):
        try:
            times[index] = time_us(value.isoformat() if hasattr(value, "isoformat") else value, zone)
        except DecodeError as error:
            errors[index] = error
    return times, errors


def _quick_times(column: Any, zone: ZoneInfo) -> NDArray[np.int64] | None:
    """Return the times when every one of them can be read at once, else None."""
    if column.null_count:
        return None
    try:
        if pa.types.is_timestamp(column.type) and column.type.tz:
            exact = column.cast(pa.timestamp("us", "UTC"))
        else:
            naive = column.cast(pa.timestamp("us"))
            exact = pc.assume_timezone(naive, zone.key, ambiguous="earliest", nonexistent="latest")
    except pa.ArrowException:
        try:
            exact = column.cast(pa.timestamp("us", "UTC"))
        except pa.ArrowException:
            return None
    times: NDArray[np.int64] = exact.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return times


def values_of(column: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_], dict[int, DecodeError]]:
    """Return the values of a column, where there is one (an empty cell is none), and an error for each that is none.

    A NaN that the file holds is a value and stays as it is.
    """
    present: NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    kind = column.type
    try:
        if pa.types.is_boolean(kind):
            column = column.cast(pa.uint8())
        floats = column.cast(pa.float64(), safe=False) if not pa.types.is_float64(kind) else column
    except pa.ArrowException:
        return _slow_values(column, present)
    if floats.null_count:
        floats = floats.fill_null(math.nan)
    return floats.to_numpy(zero_copy_only=False), present, {}


def _slow_values(
    column: Any, present: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], dict[int, DecodeError]]:
    values = np.full(len(column), math.nan)
    errors: dict[int, DecodeError] = {}
    for index, value in enumerate(column.to_pylist()):
        try:
            values[index] = number_of(value)
        except DecodeError as error:
            errors[index] = error
            present[index] = False
    return values, present, errors

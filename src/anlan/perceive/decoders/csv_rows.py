"""CSV with a header line: one column a quantity (wide), or name, time and value columns (long)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from anlan.core.errors import DecodeError
from anlan.perceive.decoders.rows import Rows, number_of, quality_of, time_us

TIME_COLUMNS = ("time", "timestamp", "datetime", "ts", "时间")
NAME_COLUMNS = ("name", "tag", "point", "测点")
VALUE_COLUMNS = ("value", "值")
QUALITY_COLUMNS = ("quality", "质量")


def decode(text: str, zone: ZoneInfo, received: int) -> Rows:
    """Return the samples of a CSV text; an empty cell is no sample, a cell or row that cannot be read is an error.

    Args:
        text: the file; row 1 is the header.
        zone: zone of times without offset.
        received: µs UTC for files without a time column.

    Raises:
        DecodeError: there is no header.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    rows = Rows()
    try:
        table = _table([name.strip() for name in next(reader)], zone, received)
    except (StopIteration, csv.Error) as error:
        raise DecodeError("the CSV is empty", where="row 1", fix="a header line, then rows") from error
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return rows
        except csv.Error as error:
            rows.reject(number, "row", str(error), "a row of the same columns", b"")
            continue
        if cells:
            table.read(rows, number, cells)


@dataclass(frozen=True, slots=True)
class _Table:
    """Which column means what; ``columns`` hold values, ``name_at`` their names in the long layout."""

    header: list[str]
    zone: ZoneInfo
    received: int
    time_at: int | None
    name_at: int | None
    quality_at: int | None
    columns: list[int]

    def read(self, rows: Rows, number: int, cells: Sequence[str]) -> None:
        """Add the samples of one row."""
        if len(cells) != len(self.header):
            message = f"{len(cells)} cells, the header has {len(self.header)}"
            rows.reject(number, "row", message, "a cell for every column", self._alone(cells))
            return
        column = 0
        try:
            column = self.time_at or 0
            time = self.received if self.time_at is None else time_us(cells[column], self.zone)
            column = self.quality_at or 0
            quality = 0 if self.quality_at is None else quality_of(cells[column])
        except DecodeError as error:
            rows.reject(number, self.header[column], error.message, error.fix, self._alone(cells))
            return
        for column in self.columns:
            if not cells[column].strip():
                continue
            name = self.header[column] if self.name_at is None else cells[self.name_at].strip()
            try:
                rows.add(name, time, number_of(cells[column]), quality)
            except DecodeError as error:
                rows.reject(number, self.header[column], error.message, error.fix, self._alone(cells))

    def _alone(self, cells: Sequence[str]) -> bytes:
        """Return the header and one row as CSV."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows([self.header, cells])
        return text.getvalue().encode()


def _table(header: list[str], zone: ZoneInfo, received: int) -> _Table:
    lower = [name.lower() for name in header]

    def find(names: tuple[str, ...]) -> int | None:
        return next((lower.index(name) for name in names if name in lower), None)

    time_at, quality_at = find(TIME_COLUMNS), find(QUALITY_COLUMNS)
    name_at, value_at = find(NAME_COLUMNS), find(VALUE_COLUMNS)
    if name_at is None or value_at is None:
        columns = [index for index, name in enumerate(header) if name and index not in (time_at, quality_at)]
        return _Table(header, zone, received, time_at, None, quality_at, columns)
    return _Table(header, zone, received, time_at, name_at, quality_at, [value_at])

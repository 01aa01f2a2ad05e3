"""Replays a CSV or Parquet file as a connector: the file's samples take the same way as a device's.

A wide file has a column a point; a long one names the point in each row. ``group_columns`` mark runs (experiments) of
one file: a run that would begin before the end of those before it is shifted as a whole to begin ``group_gap`` after
them, so that no two samples of a point share a time. A moment that a run holds twice is told apart by microseconds.
"""

from __future__ import annotations

import asyncio
import csv
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from anlan.core.batch import SampleBatch
from anlan.core.errors import AnlanError, DecodeError, InvalidInputError
from anlan.core.quality import Quality
from anlan.perceive.connector import Arrival, Context, Grade, Manifest, Option
from anlan.perceive.connectors import _replay_options
from anlan.perceive.connectors._replay_reader import Piece, columns_of, pieces, times_of, values_of
from anlan.perceive.connectors._replay_times import Group, Groups, Pace, Repeats, fingerprint, mixed
from anlan.perceive.decoders.rows import quality_of
from anlan.plant.model import ConnectorSpec

__all__ = ["MANIFEST", "ReplayConnector", "fingerprint"]

MANIFEST = Manifest(
    kind="replay",
    name="File replay",
    name_zh="文件回放",
    arrival=Arrival.FILE,
    grade=Grade.SILVER,
    options=(
        Option("file", "text", "CSV or Parquet file; relative to the site file.", required=True),
        Option("speed", "text", "Times real time, or max.", default="max"),
        Option("layout", "text", "One column a point, or a row a sample.", default="wide", choices=("wide", "long")),
        Option("time_column", "text", "Column of source times."),
        Option("timezone", "text", "Zone of times without offset.", default="Asia/Shanghai"),
        Option("start", "text", "Time of the first row: a date-time, or now. Needed without time_column."),
        Option("interval", "duration", "Time from row to row of a file without times."),
        Option("point_column", "text", "Long layout: column that names the point."),
        Option("value_column", "text", "Long layout: column of values.", default="value"),
        Option("quality_column", "text", "Column of qualities: good, uncertain, bad … or 0 to 255."),
        Option("group_columns", "list", "Columns that mark runs."),
        Option("group_times", "text", "Shift runs that overlap.", default="sequence", choices=("sequence", "keep")),
        Option("group_gap", "duration", "Time between two runs laid one after the other.", default="1 min"),
        Option("repeats", "text", "A time held twice.", default="separate", choices=("separate", "keep")),
        Option("longest_pause", "duration", "A longer pause of the file is cut to this (real time).", default="10 s"),
    ),
    gaps="One file a connector; compressed CSV is not read.",
    limits="Repeats are told apart within the last million rows of a point; whole numbers beyond 2^53 lose digits.",
)

_SAMPLES = 131_072
_PACED_ROWS = 4_096
_IN_FLIGHT = 8
_NAN = np.uint8(Quality.BAD_NOT_A_NUMBER)

_Values = dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]


class ReplayConnector:
    """Replays one file.

    Attributes:
        finished: set once the log has acknowledged everything, or the file could not be read on.
        failed: the error that ended the replay early, else None.
        rows_read, rows_bad: rows of the file, and those of them with anything unusable.
        samples_emitted, empty_cells: samples handed over; cells without a value.
    """

    MANIFEST = MANIFEST

    def __init__(self, spec: ConnectorSpec, context: Context) -> None:
        self._context = context
        self._options = _replay_options.read(spec, context)
        self._points = {str(tag): context.numbers[path] for path, tag in spec.map.items() if path in context.numbers}
        self._paths = {context.numbers[path]: path for path in spec.map if path in context.numbers}
        self._numbers = np.array(sorted(self._paths), np.int32)
        self._sums = np.zeros(len(self._numbers), np.uint64)
        self._counts = np.zeros(len(self._numbers), np.int64)
        self._groups = Groups(self._options.gap, shift=self._options.sequence)
        self._group: tuple[str, ...] | None = None
        self._group_rows = 0
        self._repeats: dict[int, Repeats] = {}
        self._shift: int | None = None
        self._begun = False
        self.finished = asyncio.Event()
        self.failed: AnlanError | None = None
        self.rows_read = 0
        self.rows_bad = 0
        self.samples_emitted = 0
        self.empty_cells = 0

    @property
    def groups(self) -> list[Group]:
        """The runs so far, with how far each was shifted."""
        return self._groups.groups

    @property
    def repeats_moved(self) -> int:
        """Samples moved by microseconds because their time was taken."""
        return sum(repeats.moved for repeats in self._repeats.values())

    def fingerprints(self) -> dict[str, tuple[int, int]]:
        """Return samples emitted and their ``fingerprint`` by point path, to compare with what is read back."""
        rows = zip(self._numbers.tolist(), self._counts.tolist(), self._sums.tolist(), strict=True)
        return {self._paths[number]: (count, total) for number, count, total in rows}

    async def run(self) -> None:
        """Send the file once, then wait to be cancelled."""
        if not self._begun:
            self._begun = True
            self._context.up()
            try:
                await self._send_all()
            except AnlanError as error:
                self.failed = error
                self._context.down(str(error))
            self._tell()
            self.finished.set()
        await asyncio.Event().wait()

    async def run_again(self, raw: bytes, source: str) -> int:
        """Send a mended row: the JSON object or CSV line of its dead letter."""
        errors: list[DecodeError] = []
        sent = 0
        for batch in self._batches(self._one(raw), errors):
            self._account(batch)
            await self._context.emit(batch)
            sent += len(batch)
        if errors:
            raise errors[0]
        return sent

    # --- from rows to samples -----------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        options = self._options
        rows = max(1, _SAMPLES // max(1, len(options.columns.values)))
        rows = rows if math.isinf(options.speed) else min(rows, _PACED_ROWS)
        iterator = pieces(options.path, options.columns.wanted, rows, self._reject_row)
        pace = Pace(options.speed, options.pause)
        in_flight: list[asyncio.Future[None]] = []
        while (piece := await asyncio.to_thread(self._next, iterator)) is not None:
            for batch in self._batches(piece, None):
                async for part in pace.parts(batch):
                    await self._context.writable()
                    self._account(part)
                    in_flight.append(self._context.emit(part))
                    if len(in_flight) > _IN_FLIGHT:
                        await in_flight.pop(0)
        await asyncio.gather(*in_flight)

    def _next(self, iterator: Iterator[Piece]) -> Piece | None:
        try:
            return next(iterator, None)
        except (pa.ArrowException, OSError, ValueError) as error:
            where = str(self._options.path)
            raise InvalidInputError(f"cannot be read on: {error}", where=where, fix="an undamaged file") from error

    def _one(self, raw: bytes) -> Piece:
        columns = self._options.columns
        try:
            text = raw.decode()
            if text.lstrip().startswith("{"):
                row: dict[str, Any] = json.loads(text)
            else:
                header = columns_of(self._options.path)
                row = dict(zip(header, next(csv.reader([text])), strict=True))
            found = {name: pa.array([None if row[name] == "" else row[name]]) for name in columns.wanted}
        except (ValueError, KeyError, StopIteration, csv.Error, pa.ArrowException) as error:
            raise DecodeError(
                f"no row of this file: {error}", fix="a JSON object or a CSV line of its columns"
            ) from error
        return Piece(np.zeros(1, np.int64), found)

    def _reject_row(self, raw: bytes, error: DecodeError) -> None:
        self.rows_read += 1
        self.rows_bad += 1
        self._context.dead_letter(raw, error, source=self._options.path.name)

    def _reject(
        self, piece: Piece, column: str, errors: dict[int, DecodeError], kept: list[DecodeError] | None
    ) -> None:
        name = self._options.path.name
        for index, error in errors.items():
            where = f"{name}, row {piece.numbers[index]}, column {column}"
            named = DecodeError(error.message, where=where, fix=error.fix)
            if kept is None:
                self._context.dead_letter(piece.row(index), named, source=name)
            else:
                kept.append(named)

    def _batches(self, piece: Piece, kept: list[DecodeError] | None) -> Iterator[SampleBatch]:
        """Yield the samples of a piece, run by run; errors become dead letters, or go to ``kept``."""
        columns = self._options.columns
        unusable = np.zeros(len(piece), bool)
        times, errors = self._times(piece)
        unusable[list(errors)] = True
        self._reject(piece, columns.time, errors, kept)
        quality, errors = self._qualities(piece)
        self._reject(piece, columns.quality, {at: error for at, error in errors.items() if not unusable[at]}, kept)
        unusable[list(errors)] = True
        flawed = unusable.copy()
        values: _Values = {}
        for name in columns.values:
            value, present, errors = values_of(piece.columns[name])
            self._reject(piece, name, {at: error for at, error in errors.items() if not unusable[at]}, kept)
            self.empty_cells += int(np.count_nonzero(~present & ~unusable)) - sum(not unusable[at] for at in errors)
            flawed[list(errors)] = True
            values[name] = value, present
        for name in columns.unmapped:
            self._context.unmapped(name, len(piece))
        self.rows_read += len(piece)
        self.rows_bad += int(np.count_nonzero(flawed))
        for rows in self._runs(piece, ~unusable):
            placed = self._place(times[rows])
            yield (self._long_batch if self._options.long else self._wide_batch)(piece, rows, placed, quality, values)

    def _times(self, piece: Piece) -> tuple[NDArray[np.int64], dict[int, DecodeError]]:
        options = self._options
        if not options.columns.time:
            return np.zeros(len(piece), np.int64), {}
        times, errors = times_of(piece.columns[options.columns.time], options.zone)
        if options.start is not None and len(times) > len(errors):
            if self._shift is None:
                first = next(time for at, time in enumerate(times.tolist()) if at not in errors)
                self._shift = options.start - first
            times = times + self._shift
        return times, errors

    def _qualities(self, piece: Piece) -> tuple[NDArray[np.uint8], dict[int, DecodeError]]:
        quality = np.zeros(len(piece), np.uint8)
        errors: dict[int, DecodeError] = {}
        if self._options.columns.quality:
            for index, value in enumerate(piece.columns[self._options.columns.quality].to_pylist()):
                try:
                    quality[index] = quality_of(value)
                except DecodeError as error:
                    errors[index] = error
        return quality, errors

    def _runs(self, piece: Piece, usable: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
        """Yield the usable rows of each run of the piece; a change in a group column begins a new run."""
        begins = np.zeros(len(piece), bool)
        if len(piece):
            begins[0] = True
        columns = [piece.columns[name] for name in self._options.columns.groups]
        for column in columns:
            differs = pc.not_equal(column.slice(1), column.slice(0, max(0, len(column) - 1)))
            begins[1:] |= differs.fill_null(True).to_numpy(zero_copy_only=False)
        starts = np.flatnonzero(begins)
        for start, end in zip(starts, [*starts[1:], len(piece)], strict=True):
            group = tuple(str(column[int(start)].as_py()) for column in columns)
            rows = np.flatnonzero(usable[start:end]) + start
            if len(rows):
                if group != self._group:
                    self._group, self._group_rows = group, 0
                yield rows

    def _place(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        options = self._options
        if not options.columns.time:
            times = (options.start or 0) + (self._group_rows + np.arange(len(times), dtype=np.int64)) * options.interval
        placed = self._groups.place("/".join(self._group or ()), times, new=self._group_rows == 0)
        self._group_rows += len(times)
        return placed

    def _apart(self, key: int, times: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self._options.separate:
            return times
        return self._repeats.setdefault(key, Repeats()).separate(times)

    def _wide_batch(
        self,
        _piece: Piece,
        rows: NDArray[np.intp],
        times: NDArray[np.int64],
        quality: NDArray[np.uint8],
        values: _Values,
    ) -> SampleBatch:
        times = self._apart(0, times)
        points = np.array([self._points[name] for name in values], np.int32)
        value = np.stack([column[rows] for column, _ in values.values()], axis=1)
        present = np.stack([mask[rows] for _, mask in values.values()], axis=1).ravel()
        batch = SampleBatch(
            np.tile(points, len(rows)),
            np.repeat(times, len(points)),
            value.ravel(),
            np.repeat(quality[rows], len(points)),
        )
        return _marked(batch if present.all() else batch.take(present))

    def _long_batch(
        self,
        piece: Piece,
        rows: NDArray[np.intp],
        times: NDArray[np.int64],
        quality: NDArray[np.uint8],
        values: _Values,
    ) -> SampleBatch:
        names = piece.columns[self._options.columns.point].cast(pa.string()).fill_null("").take(pa.array(rows))
        encoded = names.dictionary_encode()
        known = [self._points.get(name, -1) for name in encoded.dictionary.to_pylist()]
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        point = np.array(known, np.int32)[codes]
        (value, present) = next(iter(values.values()))
        for code in np.flatnonzero(np.array(known) < 0).tolist():
            self._context.unmapped(str(encoded.dictionary[code]), int(np.count_nonzero(codes == code)))
        times = times.copy()
        for number in set(point.tolist()) - {-1}:
            mine = np.flatnonzero(point == number)
            times[mine] = self._apart(number, times[mine])
        batch = SampleBatch(point, times, value[rows], quality[rows])
        return _marked(batch.take(present[rows] & (point >= 0)))

    def _tell(self) -> None:
        self._context.details.update(
            finished=True,
            failed=str(self.failed or ""),
            rows_read=self.rows_read,
            rows_bad=self.rows_bad,
            samples_emitted=self.samples_emitted,
            repeats_moved=self.repeats_moved,
        )

    def _account(self, batch: SampleBatch) -> None:
        self.samples_emitted += len(batch)
        self._context.details["samples_emitted"] = self.samples_emitted
        at = np.searchsorted(self._numbers, batch.point)
        np.add.at(self._sums, at, mixed(batch.time, batch.value))
        self._counts += np.bincount(at, minlength=len(self._counts))


def _marked(batch: SampleBatch) -> SampleBatch:
    """Mark what is no finite number as bad; the value stays as it is."""
    strange = ~np.isfinite(batch.value) & (batch.quality < 0x80)
    if not strange.any():
        return batch
    return SampleBatch(batch.point, batch.time, batch.value, np.where(strange, _NAN, batch.quality))

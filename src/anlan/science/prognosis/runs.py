"""Run-to-failure tables: units that each run from new to failure, cycle by cycle, with settings and sensors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.detection.protocol import Floats

Ints = NDArray[np.int64]

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Runs:
    """Rows of several units, the rows of each unit together and in order of cycle.

    Attributes:
        units: name of each unit, in order.
        starts: first row of each unit and the number of rows at the end, shape (units + 1,).
        cycle: shape (rows,).
        setting_names, sensor_names: columns.
        settings: shape (rows, settings).
        sensors: shape (rows, sensors); NaN is missing.
    """

    units: tuple[str, ...]
    starts: Ints
    cycle: Floats
    setting_names: tuple[str, ...]
    sensor_names: tuple[str, ...]
    settings: Floats
    sensors: Floats

    def __len__(self) -> int:
        return len(self.cycle)

    @property
    def unit_of_row(self) -> Ints:
        """Return the number of the unit of each row, shape (rows,)."""
        return np.repeat(np.arange(len(self.units)), np.diff(self.starts))

    @property
    def remaining(self) -> Floats:
        """Return the cycles left until each unit's last row, shape (rows,)."""
        return np.asarray(np.repeat(self.cycle[self.starts[1:] - 1], np.diff(self.starts)) - self.cycle, np.float64)

    @property
    def lives(self) -> Floats:
        """Return the number of rows of each unit, shape (units,)."""
        return np.diff(self.starts).astype(np.float64)

    def take(self, chosen: Ints) -> Runs:
        """Return the units of these numbers, in that order."""
        rows = np.concatenate([np.arange(self.starts[one], self.starts[one + 1]) for one in chosen])
        starts = np.concatenate([[0], np.cumsum(np.diff(self.starts)[chosen])]).astype(np.int64)
        return Runs(
            tuple(self.units[one] for one in chosen), starts, self.cycle[rows], self.setting_names, self.sensor_names,
            self.settings[rows], self.sensors[rows],
        )  # fmt: skip


@dataclass(slots=True)
class Dropped:
    """Rows of a table that could not be used: their numbers in the file (from 1) and why."""

    reasons: dict[str, list[int]] = field(default_factory=dict)

    def add(self, reason: str, rows: Ints) -> None:
        """Note rows, numbered from 0, if there are any."""
        if len(rows):
            self.reasons.setdefault(reason, []).extend(int(row) + 1 for row in rows)

    def lines(self) -> list[str]:
        """Return a sentence for each reason."""
        return [
            f"{len(rows)} rows were left out: {reason} (row {', '.join(str(row) for row in rows[:_NAMED])}"
            f"{', …' if len(rows) > _NAMED else ''})"
            for reason, rows in self.reasons.items()
        ]


def make_runs(
    unit: NDArray[np.str_], cycle: Floats, settings: dict[str, Floats], sensors: dict[str, Floats], where: str = "table"
) -> tuple[Runs, list[str]]:
    """Return the runs of a table and notes of what was left out.

    Args:
        unit: name of each row's unit, shape (rows,); rows of a unit must stand together.
        cycle: shape (rows,); must rise within a unit.
        settings, sensors: columns by name, each of shape (rows,).
        where: file name for errors.

    Raises:
        InvalidInputError: no row is left, a unit's rows are scattered over the table, or its cycle falls or repeats
            (the unit was changed half-way, or two units share a name); names the row.
    """
    dropped = Dropped()
    keep = np.isfinite(cycle) & (unit != "")
    dropped.add("the unit or cycle is missing", np.flatnonzero(~keep))
    row = np.flatnonzero(keep)
    if not len(row):
        raise InvalidInputError("no row has a unit and a cycle", where=where, fix="give one row a cycle of each unit")
    unit, cycle = unit[keep], cycle[keep]
    starts = np.concatenate([[0], np.flatnonzero(unit[1:] != unit[:-1]) + 1, [len(unit)]]).astype(np.int64)
    names = unit[starts[:-1]]
    _check_together(names, starts, row, where)
    _check_rising(unit, cycle, starts, row, where)
    rows = len(unit)
    runs = Runs(
        tuple(str(name) for name in names),
        starts,
        np.asarray(cycle, dtype=np.float64),
        tuple(settings),
        tuple(sensors),
        np.column_stack([column[keep] for column in settings.values()]) if settings else np.empty((rows, 0)),
        np.column_stack([column[keep] for column in sensors.values()]) if sensors else np.empty((rows, 0)),
    )
    return runs, dropped.lines()


def _check_together(names: NDArray[np.str_], starts: Ints, row: Ints, where: str) -> None:
    seen: set[str] = set()
    for number, name in enumerate(names):
        if name in seen:
            raise InvalidInputError(
                f"unit {name} stands there a second time",
                where=f"{where}, row {row[starts[number]] + 1}",
                fix="put all rows of a unit together, and give a replaced unit a name of its own",
            )
        seen.add(str(name))


def _check_rising(unit: NDArray[np.str_], cycle: Floats, starts: Ints, row: Ints, where: str) -> None:
    steps = np.diff(cycle)
    steps[starts[1:-1] - 1] = 1.0
    wrong = np.flatnonzero(steps <= 0)
    if len(wrong):
        at = int(wrong[0]) + 1
        raise InvalidInputError(
            f"the cycle of unit {unit[at]} goes from {cycle[at - 1]:g} to {cycle[at]:g}",
            where=f"{where}, row {row[at] + 1}",
            fix="sort each unit by cycle; a unit that was changed half-way is a new unit with a name of its own",
        )

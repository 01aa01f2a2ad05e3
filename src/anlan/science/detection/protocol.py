"""What every detector speaks: a table of variables over time in, one score a row out, batch and stream alike.

There is one way to run a detector: ``update``. It takes the next rows, however many, and a state that it carries on;
scoring a whole table is one ``update`` from a fresh state, so that batch and stream cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.model_file import Arrays

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of variables over time.

    Attributes:
        names: variables, one a column.
        time: µs UTC (or any rising count), int64, shape (rows,).
        values: float64, shape (rows, variables); NaN is missing: absent, or of bad quality.
    """

    names: tuple[str, ...]
    time: Times
    values: Floats

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.time), len(self.names)):
            raise ValueError(f"{self.values.shape} values for {len(self.time)} rows of {len(self.names)} variables")

    def __len__(self) -> int:
        return len(self.time)

    def rows(self, start: int, end: int) -> Table:
        """Return rows ``start`` to ``end`` (exclusive)."""
        return Table(self.names, self.time[start:end], self.values[start:end])

    def select(self, names: Iterable[str]) -> Table:
        """Return the columns of ``names`` in that order.

        Raises:
            InvalidInputError: one of them is not here; names it.
        """
        wanted = tuple(names)
        missing = [name for name in wanted if name not in self.names]
        if missing:
            raise InvalidInputError(
                f"the variables {', '.join(missing[:5])} are not in the table",
                fix="give the columns the model was fitted on",
            )
        return Table(wanted, self.time, self.values[:, [self.names.index(name) for name in wanted]])


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector says of rows.

    Attributes:
        score: float64, shape (rows,); larger is more unusual; NaN where it cannot say (not enough history, all
            inputs missing): never a silent zero.
        contribution: float64, shape (rows, variables): how much each variable adds to the score; each row sums to the
            score where the detector's sum is additive, else to a share of it stated in its docstring.
    """

    score: Floats
    contribution: Floats


State = Arrays
"""What a running detector carries from row to row: plain arrays, so that a restart resumes exactly."""


@dataclass(slots=True)
class Notes:
    """Visible downgrades of a fit, for people, such as a constant column that was left out."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Add a sentence once."""
        if line not in self.lines:
            self.lines.append(line)


class Detector(Protocol):
    """One detector. Settings are constructor arguments; ``fit`` returns a fitted copy; a fitted one is immutable.

    Attributes:
        kind: name under which it is saved.
    """

    kind: ClassVar[str]

    def fit(self, train: Floats, notes: Notes) -> Self:
        """Return this detector fitted on normal data.

        Args:
            train: prepared values (scaled, gaps filled or NaN), shape (rows, variables).
            notes: takes visible downgrades.

        Raises:
            InvalidInputError: the data cannot carry a fit (too few rows, nothing varies); says how many are needed.
        """
        ...

    def start(self) -> State:
        """Return the state before the first row."""
        ...

    def update(self, state: State, values: Floats) -> tuple[State, Scores]:
        """Return the new state and the scores of the next rows; ``update`` of parts equals ``update`` of the whole."""
        ...

    def save(self) -> Arrays:
        """Return the fitted numbers and settings as plain arrays."""
        ...

    @classmethod
    def load(cls, arrays: Arrays) -> Self:
        """Return the detector that ``save`` wrote.

        Raises:
            DecodeError: an array is missing or of the wrong shape.
        """
        ...

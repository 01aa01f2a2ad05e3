"""What a model watches: one subject a place, its grade with hysteresis, and when its finding must travel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.severity import WarningGrade
from anlan.core.time import MINUTE
from anlan.science.model_file import Arrays

Grades = NDArray[np.int8]

NONE = 0
REFRESH = 5 * MINUTE
"""Least time between two findings of one subject whose grade stays."""
_CHANGE = 0.2
"""Relative change of score or lead that is worth telling again."""

_PER_SUBJECT = ("grade", "runs", "off", "worst", "told", "told_score", "told_lead")


@dataclass(frozen=True, slots=True)
class Ended:
    """A subject that is no longer watched while its finding held."""

    key: str
    grade: int


class Subjects:
    """Hysteresis of many subjects of one model, as arrays.

    A grade begins after ``on`` steps in a row at least as grave, and ends after ``off`` steps in a row below it; it
    then falls to the gravest grade seen in those. A step in which the model cannot say counts neither way: what is
    unknown never ends a warning.

    Args:
        keys: one a subject, unique.
        on, off: steps.
    """

    def __init__(self, keys: tuple[str, ...], on: int, off: int) -> None:
        count = len(keys)
        self.keys = keys
        self.on, self.off_steps = max(on, 1), max(off, 1)
        self.grade = np.zeros(count, np.int8)
        self.runs = np.zeros((count, 4), np.int32)
        self.off = np.zeros(count, np.int32)
        self.worst = np.zeros(count, np.int8)
        self.told = np.zeros(count, np.int64)
        self.told_score = np.zeros(count)
        self.told_lead = np.zeros(count, np.int64)

    def judge(
        self,
        now: Grades,
        blind: NDArray[np.bool_],
        time: int,
        score: NDArray[np.float64],
        lead: NDArray[np.int64],
    ) -> NDArray[np.intp]:
        """Take one step of the model; return the subjects whose finding must travel, in order.

        Args:
            now: grade the step asks for, 0 none, 1 red … 4 blue.
            blind: the model cannot say.
            time: of the step, µs UTC.
            score, lead: of the step; they decide whether standing evidence is told again.
        """
        if not blind.any() and not now.any() and not self.grade.any() and not self.runs.any():
            return np.empty(0, np.intp)
        before = self.grade.copy()
        sees = ~blind
        self._rise(now, sees)
        self._fall(now, sees)
        changed = self.grade != before
        standing = (self.grade > NONE) & ~changed & sees & (time - self.told >= REFRESH)
        moved = np.abs(score - self.told_score) > _CHANGE * np.abs(self.told_score)
        moved |= np.abs(lead - self.told_lead) > _CHANGE * np.abs(self.told_lead)
        tell = np.flatnonzero(changed | (standing & moved))
        self.told[tell], self.told_score[tell], self.told_lead[tell] = time, score[tell], lead[tell]
        return tell

    def _rise(self, now: Grades, sees: NDArray[np.bool_]) -> None:
        for grade in (1, 2, 3, 4):
            run = self.runs[:, grade - 1]
            reached = (now > NONE) & (now <= grade)
            run[sees] = np.where(reached, np.minimum(run + 1, self.on), 0)[sees]
        for grade in (4, 3, 2, 1):
            graver = (self.runs[:, grade - 1] >= self.on) & ((self.grade == NONE) | (self.grade > grade)) & sees
            self.grade[graver] = grade

    def _fall(self, now: Grades, sees: NDArray[np.bool_]) -> None:
        below = (self.grade > NONE) & ((now == NONE) | (now > self.grade)) & sees
        graver = below & (now > NONE) & ((self.worst == NONE) | (now < self.worst) | (self.off == 0))
        self.worst[below & (self.off == 0)] = NONE
        self.worst[graver] = now[graver]
        self.off[sees] = np.where(below, self.off + 1, 0)[sees]
        ends = below & (self.off >= self.off_steps)
        self.grade[ends] = self.worst[ends]
        self.off[ends] = 0

    def save(self) -> Arrays:
        """Return copies of the state."""
        return {name: getattr(self, name).copy() for name in _PER_SUBJECT}

    def load(self, keys: list[str], arrays: Arrays) -> list[Ended]:
        """Take the state saved with ``keys``; return what stood for subjects that are no longer there."""
        row = {key: index for index, key in enumerate(self.keys)}
        pairs = [(index, row[key]) for index, key in enumerate(keys) if key in row]
        source, target = (np.array([pair[side] for pair in pairs], np.intp) for side in (0, 1))
        for name in _PER_SUBJECT:
            getattr(self, name)[target] = arrays[name][source]
        grade = arrays["grade"]
        return [Ended(key, int(grade[i])) for i, key in enumerate(keys) if key not in row and grade[i] > NONE]


def grade_of(number: int) -> WarningGrade | None:
    """Return the grade of a number of a ``Subjects`` array, None for none."""
    return WarningGrade(number) if number > NONE else None


_GRADES = {"red": 1, "orange": 2, "yellow": 3, "blue": 4}


def grades_above(score: NDArray[np.float64], grades: dict[str, float]) -> Grades:
    """Return the gravest grade whose smallest score is reached, 0 none; NaN reaches none."""
    out = np.zeros(len(score), np.int8)
    for name, number in sorted(_GRADES.items(), key=lambda entry: -entry[1]):
        if name in grades:
            out[score >= grades[name]] = number
    return out


def grade_below(p_value: float, grades: dict[str, float]) -> int:
    """Return the gravest grade whose largest p-value is kept, 0 none; NaN keeps none."""
    for name, number in _GRADES.items():
        if name in grades and p_value <= grades[name]:
            return number
    return NONE


def within(path: str, scopes: tuple[str, ...]) -> bool:
    """Return whether ``path`` is one of the places or below one; everywhere where none is named."""
    return not scopes or any(not scope or path == scope or path.startswith(f"{scope}/") for scope in scopes)

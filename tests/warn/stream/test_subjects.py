"""Hysteresis: the arrays do what a plain loop over one subject does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.time import SECOND
from anlan.warn.stream.subjects import REFRESH, Subjects, grade_below, grades_above, within

BLIND = -1


class Plain:
    """One subject, as the docstring of ``Subjects`` says it."""

    def __init__(self, on: int, off: int) -> None:
        self.on, self.off = on, off
        self.grade = 0
        self.history: list[int] = []
        self.below: list[int] = []

    def take(self, now: int) -> None:
        if now == BLIND:
            return
        self.history = [*self.history, now][-self.on :]
        full = len(self.history) == self.on and all(self.history)
        reached = max(self.history) if full else 0
        if reached and (not self.grade or reached < self.grade):
            self.grade = reached
        if self.grade and (now == 0 or now > self.grade):
            self.below.append(now)
        else:
            self.below = []
        if len(self.below) >= self.off:
            self.grade = min((grade for grade in self.below if grade), default=0)
            self.below = []


@settings(max_examples=150)
@given(
    st.lists(st.lists(st.integers(BLIND, 4), min_size=3, max_size=3), max_size=40), st.integers(1, 4), st.integers(1, 4)
)
def test_arrays_and_plain_loop_agree(steps: list[list[int]], on: int, off: int) -> None:
    subjects, plain = Subjects(("a", "b", "c"), on, off), [Plain(on, off) for _ in range(3)]
    for number, now in enumerate(steps):
        grades = np.maximum(np.array(now, np.int8), 0)
        blind = np.array(now) == BLIND
        before = [each.grade for each in plain]
        for each, grade in zip(plain, now, strict=True):
            each.take(grade)
        after = [each.grade for each in plain]
        tell = subjects.judge(grades, blind, number * SECOND, np.zeros(3), np.zeros(3, np.int64))
        assert subjects.grade.tolist() == after
        assert tell.tolist() == [index for index in range(3) if before[index] != after[index]]


def run(subjects: Subjects, now: int, time: int, score: float) -> list[int]:
    grades, lead = np.array([now], np.int8), np.zeros(1, np.int64)
    return [int(i) for i in subjects.judge(grades, np.zeros(1, np.bool_), time, np.array([score]), lead)]


def test_standing_evidence_travels_again_only_when_it_changed_and_not_too_often() -> None:
    subjects = Subjects(("a",), 1, 1)
    assert run(subjects, 3, 1, 10.0) == [0]
    assert run(subjects, 3, REFRESH // 2, 20.0) == []
    assert run(subjects, 3, REFRESH + 1, 11.0) == []
    assert run(subjects, 3, REFRESH + 2, 20.0) == [0]
    assert run(subjects, 3, REFRESH + 3, 40.0) == []


def test_what_stood_for_a_subject_that_is_gone_is_told() -> None:
    old = Subjects(("a", "b"), 1, 1)
    old.judge(np.array([2, 2], np.int8), np.zeros(2, np.bool_), 1, np.zeros(2), np.zeros(2, np.int64))
    new = Subjects(("c", "b"), 1, 1)
    ended = new.load(["a", "b"], old.save())
    assert [(end.key, end.grade) for end in ended] == [("a", 2)]
    assert new.grade.tolist() == [0, 2]


@pytest.mark.parametrize(("score", "grade"), [(0.5, 0), (1.0, 4), (2.5, 2), (9.0, 2), (np.nan, 0)])
def test_grade_is_the_gravest_whose_score_is_reached(score: float, grade: int) -> None:
    assert grades_above(np.array([score]), {"blue": 1.0, "orange": 2.0})[0] == grade


@pytest.mark.parametrize(("p_value", "grade"), [(0.5, 0), (0.01, 4), (1e-5, 1), (np.nan, 0)])
def test_grade_is_the_gravest_whose_p_value_is_kept(p_value: float, grade: int) -> None:
    assert grade_below(p_value, {"blue": 0.01, "red": 1e-4}) == grade


@pytest.mark.parametrize(
    ("path", "scopes", "inside"),
    [("a/b", (), True), ("a/b", ("a",), True), ("ab/c", ("a",), False), ("a", ("a/b",), False), ("a", ("",), True)],
)
def test_place_is_within_itself_and_what_holds_it(path: str, scopes: Any, inside: bool) -> None:
    assert within(path, scopes) is inside

"""Marks survive crashes and a log that was made anew; dirty hours say what the roll-ups miss."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import InvalidInputError
from anlan.core.time import HOUR, MINUTE, SECOND
from anlan.store.historian import mark as marks
from anlan.store.historian.hours import DirtyHours, hours_of, split_interval
from anlan.store.historian.mark import Mark


def test_a_saved_mark_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "samples.mark"
    assert marks.load(path) == Mark()
    mark = Mark(17, "2026-11-24", 2, (0, HOUR))
    marks.save(path, mark)
    assert marks.load(path) == mark
    assert [file.name for file in tmp_path.iterdir()] == ["samples.mark"]


def test_a_broken_mark_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples.mark"
    path.write_text("{")
    with pytest.raises(InvalidInputError, match=r"samples\.mark"):
        marks.load(path)


def test_a_log_made_anew_is_read_from_its_beginning_and_its_rows_win() -> None:
    before = Mark(1_000_000, "old")
    same = before.on("old", 1_000_050)
    assert same.sequence == 1_000_000
    anew = before.on("new", 3)
    assert (anew.sequence, anew.epoch) == (0, 1)
    assert Mark(1, "new", anew.epoch).version > before.version
    assert before.on("old", 5).epoch == 1  # the same name but shorter than what we have read


def test_hours_of() -> None:
    assert hours_of(np.array([], np.int64)) == []
    assert hours_of(np.array([5, HOUR - 1], np.int64)) == [0]
    assert hours_of(np.array([5, 3 * HOUR, HOUR], np.int64)) == [0, HOUR, 3 * HOUR]


def test_an_hour_is_due_when_closed_and_quiet_or_long_dirty() -> None:
    dirty = DirtyHours()
    dirty.touch([0], HOUR)
    assert dirty.due(HOUR + 30 * SECOND) == []
    assert dirty.due(HOUR + MINUTE) == [0]
    dirty.touch([0], HOUR + MINUTE)
    assert dirty.due(HOUR + MINUTE + SECOND) == []
    dirty.touch([0], HOUR + 5 * MINUTE)
    assert dirty.due(HOUR + 5 * MINUTE + SECOND) == [0]


def test_an_hour_touched_during_its_rebuild_stays_dirty() -> None:
    dirty = DirtyHours()
    dirty.touch([0], 1)
    stamp = dirty.stamp(0)
    dirty.touch([0], 2)
    assert not dirty.clean(0, stamp)
    assert dirty.all() == (0,)
    assert dirty.clean(0, dirty.stamp(0))
    assert dirty.all() == ()


@given(
    st.integers(0, 20 * HOUR),
    st.integers(1, 10 * HOUR),
    st.sampled_from([MINUTE, HOUR]),
    st.sets(st.integers(0, 30).map(lambda n: n * HOUR)),
)
def test_raw_and_rolled_parts_cover_every_moment_once(start: int, length: int, unit: int, dirty: set[int]) -> None:
    end = start + length
    raw, first, last = split_interval(start, end, unit, tuple(sorted(dirty)))
    assert all(a < b for a, b in raw)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(raw))
    edges = {start, end - 1, first, last, last - 1, *dirty, *(hour - 1 for hour in dirty)}
    for moment in (edge for edge in edges if start <= edge < end):
        in_raw = any(a <= moment < b for a, b in raw)
        in_rolled = first <= moment < last and moment // HOUR * HOUR not in dirty
        assert in_raw != in_rolled

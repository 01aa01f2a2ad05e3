"""Ids: the same for the same cause, else never the same; sorted by time."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from anlan.core.ids import new_ulid, ulid_of

FORM = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
TIMES = st.integers(0, (1 << 48) * 1000 - 1)
CAUSES = st.tuples(TIMES, st.text(max_size=8), st.text(max_size=8), st.integers(0, 1 << 53), st.integers(0, 1 << 20))


@given(CAUSES)
def test_the_same_cause_has_the_same_id(cause: tuple[int, str, str, int, int]) -> None:
    assert ulid_of(*cause) == ulid_of(*cause)
    assert FORM.fullmatch(ulid_of(*cause))


@given(CAUSES, st.integers(1, 1000))
def test_another_sequence_or_ordinal_has_another_id(cause: tuple[int, str, str, int, int], more: int) -> None:
    time, node, stream, sequence, ordinal = cause
    ids = {ulid_of(*cause), ulid_of(time, node, stream, sequence + more, ordinal)}
    ids |= {ulid_of(time, node, stream, sequence, ordinal + more), ulid_of(time, node + "x", stream, sequence, ordinal)}
    assert len(ids) == 4


@given(st.lists(TIMES, min_size=2, max_size=10))
def test_ids_sort_by_millisecond(times: list[int]) -> None:
    ids = [ulid_of(time, "n", "s", 1, 1)[:10] for time in times]
    assert sorted(ids) == [id_ for _, id_ in sorted(zip([time // 1000 for time in times], ids, strict=True))]


@given(st.integers(max_value=-1))
def test_a_time_before_1970_still_has_an_id(time: int) -> None:
    assert ulid_of(time, "n", "s", 1, 1).startswith("0" * 10)
    assert FORM.fullmatch(new_ulid(time))


def test_fresh_ids_differ() -> None:
    assert len({new_ulid(1_795_478_400_000_000) for _ in range(1000)}) == 1000

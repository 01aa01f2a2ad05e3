"""Alignment of floods against the paper's recurrence, and the index against aligning with all."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.time import SECOND
from anlan.warn.analytics.similarity import (
    GAP,
    MISMATCH,
    Flood,
    FloodIndex,
    _align,
    align_reference,
    likeness,
    time_weights,
    what_followed,
)


def flood(*alarms: tuple[int, float]) -> Flood:
    return Flood(np.array([k for k, _ in alarms], np.int32), np.array([round(t * SECOND) for _, t in alarms], np.int64))


floods = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 300)), min_size=1, max_size=12).map(
    lambda alarms: flood(*sorted(alarms, key=lambda alarm: alarm[1]))
)


@given(floods, floods)
@settings(max_examples=60, deadline=None)
def test_the_kernel_is_the_papers_recurrence(first: Flood, second: Flood) -> None:
    alphabet = np.arange(7, dtype=np.int32)
    weights = time_weights(first, alphabet), time_weights(second, alphabet)
    assert np.isclose(_align(*weights, MISMATCH, GAP), align_reference(*weights), rtol=0, atol=1e-12)


@given(floods, floods)
@settings(max_examples=60, deadline=None)
def test_likeness_is_a_symmetric_share(first: Flood, second: Flood) -> None:
    assert np.isclose(likeness(first, first), 1.0)
    assert np.isclose(likeness(first, second), likeness(second, first))
    assert 0.0 <= likeness(first, second) <= 1.0


def test_alarms_that_change_places_cost_little_and_far_ones_much() -> None:
    first = flood((0, 0), (1, 30), (2, 60), (3, 90))
    swapped = flood((0, 0), (2, 58), (1, 60), (3, 90))
    late = flood((3, 0), (2, 200), (1, 400), (0, 600))
    assert likeness(first, swapped) > 0.9
    assert likeness(first, late) < 0.5
    assert likeness(first, flood((9, 0))) == 0.0


def test_the_index_finds_what_aligning_with_all_finds() -> None:
    chance = np.random.default_rng(5)
    kinds = [chance.integers(0, 60, 12) for _ in range(30)]
    past = []
    for at in range(300):
        pattern = kinds[at % 30].copy()
        pattern[chance.integers(0, 12)] = chance.integers(0, 60)
        past.append(
            (str(at), flood(*zip(pattern.tolist(), np.cumsum(chance.exponential(8, 12)).tolist(), strict=True)))
        )
    index = FloodIndex(past)
    for at in (3, 77, 200):
        asked = past[at][1]
        everything = sorted(((likeness(asked, other), name) for name, other in past if name != str(at)), reverse=True)
        found = index.similar(asked, 3, without=str(at))
        assert np.allclose([score for _, score in found], [score for score, _ in everything[:3]])
        assert all(int(name) % 30 == at % 30 for name, _ in found)


def test_what_followed_names_what_has_not_rung_yet() -> None:
    past = flood((0, 0), (1, 10), (2, 20), (3, 30))
    followed = what_followed(flood((0, 0), (1, 12)), [(0.9, past), (0.1, flood((0, 0), (5, 5)))])
    assert [kind for kind, _ in followed[:2]] == [2, 3]
    assert followed[0][1] == 0.9

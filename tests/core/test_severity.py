"""Priority from consequence and time to act."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.severity import AlarmPriority, Consequence, priority_of

GRADES = list(Consequence)
SECONDS = st.floats(0, 1e6, allow_nan=False)


@given(st.sampled_from(GRADES), SECONDS, SECONDS)
def test_less_time_is_never_less_urgent(grade: Consequence, one: float, other: float) -> None:
    assert priority_of(grade, min(one, other)) <= priority_of(grade, max(one, other))


@given(SECONDS)
def test_a_worse_consequence_is_never_less_urgent(seconds: float) -> None:
    priorities = [priority_of(grade, seconds) for grade in GRADES]
    assert priorities == sorted(priorities, reverse=True)


@pytest.mark.parametrize(
    ("grade", "seconds", "priority"),
    [
        (Consequence.CATASTROPHIC, 0, AlarmPriority.CRITICAL),
        (Consequence.MAJOR, 179.9, AlarmPriority.CRITICAL),
        (Consequence.MAJOR, 180, AlarmPriority.HIGH),
        (Consequence.SERIOUS, 600, AlarmPriority.MEDIUM),
        (Consequence.MINOR, 1800, AlarmPriority.LOW),
    ],
)
def test_the_grid(grade: Consequence, seconds: float, priority: AlarmPriority) -> None:
    assert priority_of(grade, seconds) is priority

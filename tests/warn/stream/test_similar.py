"""Likeness of evidence: the same picture elsewhere in the plant is alike, another one is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anlan.core.events import WarningOutcome
from anlan.warn.model import Contribution
from anlan.warn.stream.similar import PastCase, Pattern, likeness, pattern_of, similar_cases

KINDS = {
    "e/a/p1/seal-pressure": "pressure", "e/a/p2/seal-pressure": "pressure", "e/a/p2/vibration-1": "vibration",
    "e/a/t1/level-1": "level", "e/a/t2/level-2": "level",
}  # fmt: skip


def seal(unit: str, share: float = 0.8) -> Pattern:
    path = f"e/a/{unit}/seal-pressure"
    return pattern_of("pump", [Contribution("pump.seal", 1.0), Contribution(path, share, 0.7, 0.9)], KINDS)


def level(unit: str, value: float) -> Pattern:
    return pattern_of("predicted-alarm", [Contribution(f"e/a/{unit}/level-{unit[1:]}", 1.0, value, 80.0)], KINDS)


def test_same_evidence_is_wholly_alike() -> None:
    assert likeness(seal("p1"), seal("p1")) == 1.0


def test_same_cause_at_another_machine_is_nearly_as_like() -> None:
    assert likeness(seal("p1"), seal("p2")) > 0.9
    assert likeness(level("t1", 90.0), level("t2", 91.0)) > 0.9


def test_other_direction_is_less_alike() -> None:
    assert likeness(level("t1", 90.0), level("t2", 70.0)) < likeness(level("t1", 90.0), level("t2", 90.0)) - 0.3


def test_other_cause_is_not_alike() -> None:
    other = pattern_of("pump", [Contribution("pump.cavitation", 1.0), Contribution("e/a/p2/vibration-1", 1.0)], KINDS)
    assert likeness(seal("p1"), other) < 0.5


def test_empty_evidence_is_like_nothing() -> None:
    empty = pattern_of("pump", [], KINDS)
    assert likeness(empty, empty) == 0.0


def test_nearest_cases_come_first_and_unlike_ones_not_at_all() -> None:
    cases = [
        PastCase("w1", "e/a/p1", 1, seal("p1"), WarningOutcome.HIT, "changed seal"),
        PastCase("w2", "e/a/t1", 2, level("t1", 90.0)),
        PastCase("w3", "e/a/p2", 3, seal("p2"), WarningOutcome.FALSE),
    ]
    found = similar_cases(seal("p1"), cases)
    assert {case.warning for case in found} == {"w1", "w3"}
    assert found[0].likeness >= found[1].likeness
    assert next(case for case in found if case.warning == "w1").comment == "changed seal"
    assert len(similar_cases(seal("p1"), cases, most=1)) == 1


SHARES = st.lists(
    st.tuples(st.sampled_from([*KINDS, "f.one", "f.two"]), st.floats(0, 1), st.floats(-1, 1), st.floats(-1, 1)),
    max_size=8,
)


@given(SHARES, SHARES)
def test_likeness_is_symmetric_and_within_bounds(
    one: list[tuple[str, float, float, float]], other: list[tuple[str, float, float, float]]
) -> None:
    left, right = (pattern_of("m", [Contribution(*row) for row in rows], KINDS) for rows in (one, other))
    alike = likeness(left, right)
    assert 0.0 <= alike <= 1.0 + 1e-12
    assert abs(alike - likeness(right, left)) < 1e-12

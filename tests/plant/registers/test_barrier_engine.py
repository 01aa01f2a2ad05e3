"""Barriers judged on facts alone: who wins, when a test is due, what a condition says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.batch import SampleBatch
from anlan.core.time import DAY, SECOND
from anlan.plant.model import Barrier, Plant, Point, SiteInfo
from anlan.plant.registers.barrier_engine import (
    GRAVITY,
    BypassOf,
    Facts,
    Loss,
    Report,
    available,
    condition_holds,
    due_at,
    reasons_of,
    state_of,
)
from anlan.plant.registers.barrier_facts import PointFacts
from anlan.plant.registers.last_values import Last, LastValues
from anlan.plant.registers.model import HeadCount
from anlan.plant.registers.presence import presence_of

PATHS = ("e/a/u/g1", "e/a/u/g2", "e/a/u/g3")
GAS = Barrier("b", "e/a", "gas-detection", points=PATHS, needed=2, test_interval=90 * DAY)
NOW = 1_000 * DAY


def _facts(lost: tuple[str, ...] = (), bypassed: tuple[str, ...] = ()) -> Facts:
    return Facts({path: Loss(5) for path in lost}, {path: BypassOf("by", 6, cause="01E") for path in bypassed})


@pytest.mark.parametrize(
    ("lost", "bypassed", "state"),
    [
        ((), (), "healthy"),
        (PATHS[:1], (), "degraded"),
        (PATHS[:2], (), "failed"),
        ((), PATHS[:1], "degraded"),
        ((), PATHS[:2], "bypassed"),
        (PATHS[:1], PATHS[1:2], "failed"),
        (PATHS[:1], PATHS[:1], "degraded"),
    ],
)
def test_points_are_counted_against_what_is_needed(
    lost: tuple[str, ...], bypassed: tuple[str, ...], state: str
) -> None:
    facts = _facts(lost, bypassed)
    assert state_of(reasons_of(GAS, facts, None, 0, NOW)) == state
    assert available(GAS, facts) == 3 - len({*lost, *bypassed})


@given(
    lost=st.sets(st.sampled_from(PATHS)),
    bypassed=st.sets(st.sampled_from(PATHS)),
    more=st.sampled_from(PATHS),
    report=st.sampled_from([None, Report("r", "degraded", 1), Report("r", "failed", 1)]),
    due=st.sampled_from([0, NOW - 1, NOW + 1]),
)
def test_losing_more_never_makes_a_barrier_better(
    lost: set[str], bypassed: set[str], more: str, report: Report | None, due: int
) -> None:
    before = state_of(reasons_of(GAS, _facts(tuple(lost), tuple(bypassed)), report, due, NOW))
    for facts in (_facts((*lost, more), tuple(bypassed)), _facts(tuple(lost), (*bypassed, more))):
        after = state_of(reasons_of(GAS, facts, report, due, NOW))
        # Somebody's bypass of a point that is bad anyhow is told as a bypass, of the same few points.
        assert GRAVITY[after] >= GRAVITY[before] or (before == "failed" and after == "bypassed")
    if report is not None:
        assert GRAVITY[before] >= GRAVITY[report.state]


def test_reasons_come_gravest_first_with_their_causes() -> None:
    report = Report("r", "failed", 7, "卡涩", "01R")
    reasons = reasons_of(GAS, _facts(bypassed=PATHS[:1]), report, NOW - DAY, NOW)
    assert [(item.state, item.kind, item.cause) for item in reasons] == [
        ("failed", "report", "01R"),
        ("degraded", "bypass", "01E"),
        ("overdue", "due", ""),
    ]


def test_a_test_is_due_from_the_last_one_or_from_the_first_sight() -> None:
    assert due_at(GAS, NOW, 0) == NOW + 90 * DAY
    assert due_at(GAS, NOW, NOW + DAY) == NOW + 91 * DAY
    assert due_at(Barrier("b", "e", "dike", test_interval=DAY, tested=5), NOW, 0) == 5 + DAY
    assert due_at(Barrier("b", "e", "dike"), NOW, NOW) == 0


@pytest.mark.parametrize(("value", "holds"), [(0.9, True), (0.3, False), (None, None)])
def test_a_condition_holds_or_not_or_cannot_be_told(value: float | None, holds: bool | None) -> None:
    assert condition_holds("'e/a/u/p' > 0.6", {"e/a/u/p": value}) is holds


def _plant() -> Plant:
    barrier = Barrier("w", "e/a", "fire-water", points=("e/a/u/p",), needed=1, condition="'e/a/u/p' > 0.6")
    return Plant(SiteInfo("s", "s"), points=(Point(1, "e/a/u/p", "pressure", "MPa"),), barriers=(barrier,))


def test_a_short_loss_does_not_count_and_an_unknown_present_keeps_the_past() -> None:
    values, plant = LastValues(), _plant()
    values.watch(plant)
    facts = PointFacts("n", values, settle_us=30 * SECOND)
    values.heard_now(NOW)
    values.values[1] = Last(NOW, 0.3, 0)
    later = NOW + 60 * SECOND
    assert facts.of(plant, later, {}).conditions == {}
    lost = facts.of(plant, later + 30 * SECOND, {})
    assert lost.conditions["w"].text == "p = 0.3"
    assert lost.conditions["w"].cause == f"samples:n/1/{NOW}..{NOW}#0-0"
    reasons = reasons_of(plant.barriers[0], Facts(conditions=lost.conditions), None, 0, later)
    values.values[1] = Last(later, float("nan"), 0x81)
    values.lost()
    kept = facts.of(plant, later + 40 * SECOND, {"w": reasons})
    assert kept.conditions == lost.conditions
    assert kept.points == {}
    values.heard_now(later + 50 * SECOND)
    lost = facts.of(plant, later + 90 * SECOND, {})
    assert lost.points["e/a/u/p"].text == "bad-sensor"
    assert lost.unknown["w"].text == "p = ?"


def test_only_wanted_points_are_kept_and_the_newest_stands() -> None:
    values = LastValues()
    assert values.watch(_plant())
    for time, value in ((10, 1.0), (9, 2.0)):
        batch = SampleBatch(
            np.array([1, 2], np.int32), np.array([time] * 2), np.array([value] * 2), np.zeros(2, np.uint8)
        )
        values.take(batch)
    assert values.values == {1: Last(10, 1.0, 0)}


GATES = (Point(1, "e/a/u/n1", "people", "1"), Point(2, "e/a/v/n2", "people", "1"))


@pytest.mark.parametrize(
    ("last", "hand", "expected"),
    [
        ({1: Last(5, 3.0, 0), 2: Last(6, 4.0, 0)}, None, (7.0, "point", 5, False)),
        ({1: Last(5, 3.0, 0), 2: Last(6, 4.0, 0x89)}, None, (None, "", 0, True)),
        ({1: Last(5, 3.0, 0), 2: Last(6, 4.0, 0)}, (9, 20), (9.0, "hand", 8, False)),
        ({1: Last(5, 3.0, 0), 2: Last(6, 4.0, 0)}, (2, 20), (7.0, "point", 5, False)),
        ({}, (9, 20), (9.0, "hand", 8, False)),
        ({}, (9, 10), (9.0, "hand", 8, True)),
        ({1: Last(15, 3.0, 0), 2: Last(16, 4.0, 0)}, (9, 10), (7.0, "point", 15, False)),
    ],
)
def test_the_larger_source_that_holds_stands(
    last: dict[int, Last], hand: tuple[int, int] | None, expected: tuple[float | None, str, int, bool]
) -> None:
    values = LastValues()
    values.values, values.known = last, True
    counted = HeadCount("1", "e/a", hand[0], 8, hand[1], "ann") if hand else None
    found = presence_of("e/a", GATES, values, counted, 2, 12)
    assert (found.count, found.source, found.time, found.stale) == expected
    assert (found.working, found.hand) == (2, counted)
    values.known = False
    assert presence_of("e/a", GATES, values, None, 0, 12).stale

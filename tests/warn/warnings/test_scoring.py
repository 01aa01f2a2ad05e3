"""What a warning and a model are worth: decided by what came after, and by nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.events import WarningOutcome, WarningState
from anlan.core.time import HOUR
from anlan.warn.model import ActOnWarning, Budget, Missed, Target
from anlan.warn.warnings.engine import Book
from anlan.warn.warnings.record import Kept
from anlan.warn.warnings.scoring import WEEK, ClaimRow, Occurrence, fits, sheet
from tests.warn.warnings.plants import (
    FAR,
    LEVEL,
    ORANGE,
    PRESSURE,
    START,
    A,
    B,
    S,
    book,
    finding,
    mint,
    model,
    ring,
    rung,
)

HIT, AVERTED, LATE, FALSE = WarningOutcome.HIT, WarningOutcome.AVERTED, WarningOutcome.LATE, WarningOutcome.FALSE


def occurrence(path: str = LEVEL, kind: str = "HH", priority: int = 1, point_kind: str = "level") -> Occurrence:
    return Occurrence("E1", START, path, f"{path}.{kind}", kind, priority, point_kind)


@pytest.mark.parametrize(
    ("target", "there", "found"),
    [
        (Target(priority=2), occurrence(priority=2), True),
        (Target(priority=2), occurrence(priority=3), False),
        (Target(kinds=("HH", "H")), occurrence(kind="H"), True),
        (Target(kinds=("HH", "H")), occurrence(kind="LL"), False),
        (Target(point_kinds=("pressure",)), occurrence(), False),
        (Target(), occurrence(f"{B}/flow"), False),
        (Target(scope="area"), occurrence(f"{B}/flow"), True),
        (Target(scope="area"), occurrence(f"{FAR}/temperature"), False),
        (Target(contributors=True), occurrence(PRESSURE), True),
        (Target(contributors=True), occurrence(f"{A}/other"), False),
    ],
)
def test_a_target_says_which_alarms_count(target: Target, there: Occurrence, found: bool) -> None:
    assert fits(target, there, A, {LEVEL, PRESSURE}) == found


def closed(of: Book, at: float, verb: str = "close") -> Kept:
    """Confirm and close the only warning."""
    (kept,) = of.kept.values()
    for name in ("confirm", verb):
        of.act(ActOnWarning(kept.row.id, name, "seen to"), "li", START + round(at * S), mint(500))
    return kept


@pytest.mark.parametrize(
    ("alarm_at", "outcome"), [(30, LATE), (60, HIT), (3600, HIT), (3601, None)], ids=["soon", "least", "last", "after"]
)
def test_the_target_within_the_horizon_decides(alarm_at: float, outcome: WarningOutcome | None) -> None:
    it = book()
    it.findings([finding(0)], mint(1))
    ring(it, rung(alarm_at, name="ALARM1"))
    (kept,) = it.kept.values()
    (member,) = kept.members.values()
    assert member.outcome == outcome
    assert kept.row.state is WarningState.RAISED
    changes = it.tick(START + 5000 * S, mint(9)) if outcome is None else None
    closed(it, 5001)
    assert kept.row.outcome == (outcome or FALSE)
    assert kept.row.event == ("ALARM1" if outcome else "")
    if outcome:
        assert member.lead == alarm_at * S
    assert changes is None or not changes.events


def test_a_score_names_the_alarm_that_decided_it() -> None:
    it = book()
    it.findings([finding(0)], mint(1))
    ring(it, rung(100, name="ALARM1"))
    (kept,) = it.kept.values()
    it.act(ActOnWarning(kept.row.id, "confirm"), "li", START + 200 * S, mint(2))
    changes = it.act(ActOnWarning(kept.row.id, "close", "done"), "li", START + 300 * S, mint(3))
    score = changes.events[-1]
    assert (score.data["arrow"], score.data["outcome"], score.causes) == ("score", "hit", (kept.row.id, "ALARM1"))


def test_closed_early_waits_for_its_horizon_and_is_false_only_then() -> None:
    it = book()
    it.findings([finding(0)], mint(1))
    it.findings([finding(50, None)], mint(2))
    kept = closed(it, 60)
    assert kept.row.state is WarningState.CLOSED
    it.tick(START + 3500 * S, mint(3))
    assert kept.row.outcome is None
    it.tick(START + 3611 * S, mint(4))
    assert (kept.row.state, kept.row.outcome) == (WarningState.SCORED, FALSE)


def test_an_inspection_that_found_it_makes_it_averted_unless_it_came_first() -> None:
    it = book()
    it.findings([finding(0)], mint(1))
    assert closed(it, 60, "averted").row.outcome == AVERTED
    other = book()
    other.findings([finding(0)], mint(1))
    ring(other, rung(70))
    assert closed(other, 80, "averted").row.outcome == HIT


def test_said_only_when_the_alarm_stood_already_is_late() -> None:
    it = book()
    ring(it, rung(-10, name="ALARM1"))
    it.findings([finding(0)], mint(1))
    (kept,) = it.kept.values()
    assert next(iter(kept.members.values())).outcome == LATE
    cleared = book()
    ring(cleared, rung(-10, name="ALARM1"))
    ring(cleared, rung(-5, name="ALARM2", arrow="clear", state="normal"))
    cleared.findings([finding(0)], mint(1))
    (kept,) = cleared.kept.values()
    assert next(iter(kept.members.values())).outcome is None


def test_an_alarm_that_names_itself_decides_no_other() -> None:
    it = book()
    it.findings([finding(0, target=f"{PRESSURE}.HH", path=PRESSURE)], mint(1))
    ring(it, rung(100, LEVEL))
    (kept,) = it.kept.values()
    (member,) = kept.members.values()
    assert member.outcome is None
    ring(it, rung(200, PRESSURE), PRESSURE)
    assert member.outcome == HIT


@pytest.mark.parametrize("held", [{"rung": False}, {"arrow": "acknowledge"}, {"arrow": "cover"}])
def test_what_did_not_ring_decides_nothing(held: dict[str, object]) -> None:
    it = book()
    it.findings([finding(0)], mint(1))
    assert not ring(it, rung(100, **held))
    assert not ring(book(), rung(100, **held))


def test_each_model_of_a_warning_is_scored_by_its_own_claim() -> None:
    it = book(model(), model("drift", target=Target(kinds=("LL",))))
    it.findings([finding(0), finding(100, name="drift")], mint(1))
    ring(it, rung(200))
    (kept,) = it.kept.values()
    worth = {m.model: (m.outcome, m.lead) for m in kept.members.values()}
    assert worth == {"seal": (HIT, 200 * S), "drift": (None, 0)}
    closed(it, 4000)
    it.tick(START + 4001 * S, mint(8))
    assert {m.model: m.outcome for m in kept.members.values()} == {"seal": HIT, "drift": FALSE}
    assert kept.row.outcome == HIT


# --- misses ---------------------------------------------------------------------------------------------------------


def test_a_top_priority_alarm_without_a_warning_is_missed_by_the_models_that_should_have_seen_it() -> None:
    it = book(model(), model("far", scope=(FAR,)))
    changes = ring(it, rung(0, name="ALARM1"))
    (missed,) = changes.missed
    assert (missed.event, missed.path, missed.target, missed.models) == (
        "ALARM1",
        LEVEL,
        f"{LEVEL}.HH",
        ("seal", "far"),
    )
    (event,) = changes.events
    assert (event.type, event.causes) == ("warning.missed", ("ALARM1",))
    assert ring(book(), rung(0, name="ALARM1")).events[0].id == event.id


def test_one_that_no_model_claims_to_foresee_is_a_miss_only_at_top_priority() -> None:
    narrow = model(target=Target(kinds=("LL",)))
    assert ring(book(narrow), rung(0, priority=2)).missed == []
    (missed,) = ring(book(narrow), rung(0, priority=1)).missed
    assert missed.models == ()


def test_a_warning_before_it_in_its_unit_is_no_miss_but_a_shadow_or_far_one_is() -> None:
    it = book(model(), model("ghost"), shadow=["ghost"])
    it.findings([finding(0, name="ghost")], mint(1))
    it.findings([finding(0, path=FAR, contributions=())], mint(2))
    assert len(ring(it, rung(10, name="ALARM1")).missed) == 1
    other = book()
    other.findings([finding(0)], mint(1))
    assert ring(other, rung(10)).missed == []


def test_an_alarm_that_comes_and_goes_is_one_miss_an_hour() -> None:
    it = book()
    counted = [len(ring(it, rung(at, name=f"ALARM{at}")).missed) for at in (0, 60, 3599, 3600, 3700)]
    assert counted == [1, 0, 0, 1, 0]


# --- score sheets ---------------------------------------------------------------------------------------------------


def claims(**counts: int) -> list[ClaimRow]:
    outcomes = {"hit": HIT, "averted": AVERTED, "late": LATE, "false": FALSE, "open": None}
    rows = []
    for name, count in counts.items():
        for n in range(count):
            event = f"{name}{n}" if name in ("hit", "late") else ""
            rows.append(ClaimRow(f"w{name}{n}", "seal", 1, START, ORANGE, outcomes[name], event, (n + 1) * S))
    return rows


def missed(event: str) -> Missed:
    return Missed(event, START, LEVEL, f"{LEVEL}.HH", 1, ("seal",))


def test_a_score_sheet_counts_and_divides() -> None:
    found = sheet(claims(hit=6, averted=2, late=1, false=1, open=3), [missed("m1")], START, START + 2 * WEEK)
    assert (found.raised, found.hit, found.averted, found.late, found.false, found.open) == (13, 6, 2, 1, 1, 3)
    assert (found.precision, found.recall, found.false_a_week) == (0.8, 0.8, 0.5)
    assert found.leads == tuple(n * S for n in range(1, 7))


def test_an_event_that_was_told_late_is_not_counted_as_missed_too() -> None:
    found = sheet(claims(hit=1, late=1), [missed("late0"), missed("m1")], START, START + WEEK)
    assert (found.missed, found.recall) == (1, 1 / 3)


def test_nothing_scored_gives_no_rates() -> None:
    found = sheet(claims(open=2), [], START, START + WEEK, Budget(least=1))
    assert (found.precision, found.recall, found.false_a_week, found.within_budget) == (None, None, None, None)


@pytest.mark.parametrize(
    ("counts", "within"),
    [
        ({"hit": 5, "false": 4}, None),
        ({"hit": 6, "false": 4}, True),
        ({"hit": 4, "false": 6}, False),
        ({"hit": 90, "false": 10}, False),
    ],
    ids=["too few", "good", "imprecise", "too many false"],
)
def test_a_budget_is_judged_once_enough_are_scored(counts: dict[str, int], within: bool | None) -> None:
    budget = Budget(precision=0.5, false_a_week=4.0, least=10)
    assert sheet(claims(**counts), [], START, START + WEEK, budget).within_budget is within


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_rates_are_shares_and_a_further_false_warning_never_helps(
    hit: int, averted: int, late: int, false: int, unseen: int
) -> None:
    lost = [missed(f"m{n}") for n in range(unseen)]
    one = sheet(claims(hit=hit, averted=averted, late=late, false=false), lost, START, START + HOUR)
    more = sheet(claims(hit=hit, averted=averted, late=late, false=false + 1), lost, START, START + HOUR)
    for rate in (one.precision, one.recall):
        assert rate is None or 0 <= rate <= 1
    assert one.recall == more.recall
    assert (more.precision or 0) <= (one.precision if one.precision is not None else 1)

"""The book: one cause rings once, grades follow with hysteresis, dismissed stays quiet, shadows reach nobody."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError
from anlan.core.events import WarningOutcome, WarningState
from anlan.core.time import DAY, HOUR, MINUTE
from anlan.warn.model import ActOnWarning, Contribution, ModelKind
from anlan.warn.warnings.engine import DOWN_HOLD, IDLE_RAISED, Book
from anlan.warn.warnings.machine import TABLE
from anlan.warn.warnings.record import Changes, Kept
from tests.warn.warnings.plants import (
    BLUE,
    FAR,
    LEVEL,
    ORANGE,
    PRESSURE,
    RED,
    START,
    STEAM,
    YELLOW,
    A,
    B,
    S,
    book,
    finding,
    mint,
    model,
    ring,
    rung,
    running,
)

FLOW = f"{B}/flow"


def arrows(changes: Changes) -> list[str]:
    return [event.data["arrow"] for event in changes.events if event.type == "warning.transition"]


def only(of: Book) -> Kept:
    (kept,) = of.kept.values()
    return kept


def act(of: Book, kept: Kept, verb: str, comment: str = "", user: str = "li", at: float = 60) -> Changes:
    return of.act(ActOnWarning(kept.row.id, verb, comment), user, START + round(at * S), mint(1_000 + round(at)))


def tick(of: Book, at: float) -> Changes:
    return of.tick(START + round(at * S), mint(2_000 + round(at)))


# --- raising and grouping -------------------------------------------------------------------------------------------


def test_a_finding_raises_a_warning_with_its_evidence() -> None:
    it = book()
    changes = it.findings([finding(0)], mint(7))
    (event,) = changes.events
    row = only(it).row
    assert (row.path, row.grade, row.state, row.model, row.horizon) == (A, ORANGE, WarningState.RAISED, "seal", HOUR)
    assert (row.zh, row.action_zh, row.id) == ("液位异常", "检查密封", event.id)
    assert (event.type, event.subject, event.causes) == ("warning.transition", A, finding(0).samples)
    assert event.data["arrow"] == "raise"
    assert only(it).points == (LEVEL, PRESSURE)


def test_the_same_position_in_the_log_gives_the_same_ids_and_another_gives_others() -> None:
    first, again, other = (book().findings([finding(0)], mint(n)).events[0].id for n in (7, 7, 8))
    assert first == again != other


def test_two_models_at_one_path_ring_once() -> None:
    it = book(model(), model("drift"))
    it.findings([finding(0)], mint(1))
    changes = it.findings([finding(5, name="drift", contributions=(Contribution(STEAM, 1.0),))], mint(2))
    assert arrows(changes) == []
    assert [step.arrow for _, step in changes.steps] == ["join"]
    assert (only(it).row.models, only(it).row.findings) == (("seal", "drift"), 2)


@pytest.mark.parametrize(
    ("path", "shares", "together"),
    [
        (LEVEL, {LEVEL: 1.0}, True),
        (LEVEL, {PRESSURE: 0.1, "x": 0.9}, False),
        (LEVEL, {FLOW: 1.0}, False),
        (B, {LEVEL: 0.6, FLOW: 0.4}, True),
        (B, {LEVEL: 0.1, FLOW: 0.9}, False),
        (FAR, {LEVEL: 0.9}, False),
    ],
)
def test_common_points_make_one_cause_in_a_unit_and_in_an_area(
    path: str, shares: dict[str, float], together: bool
) -> None:
    it = book(model(), model("drift"))
    it.findings([finding(0)], mint(1))
    parts = tuple(Contribution(name, share) for name, share in shares.items())
    it.findings([finding(5, path=path, name="drift", contributions=parts)], mint(2))
    assert len(it.kept) == (1 if together else 2)


def test_a_shared_point_long_after_is_a_cause_of_its_own() -> None:
    it = book(model(), model("drift"))
    it.findings([finding(0)], mint(1))
    it.findings([finding(10, None)], mint(2))
    late = finding(10 + 3700, path=LEVEL, name="drift", contributions=(Contribution(LEVEL, 1.0),))
    it.findings([late], mint(3))
    assert len(it.kept) == 2


def test_features_and_points_of_explanations_are_compared_each_on_its_own() -> None:
    it = book(model(), model("drift"))
    it.findings([finding(0, contributions=(Contribution("seal-leak", 1.0), Contribution(LEVEL, 1.0)))], mint(1))
    parts = (Contribution("seal-leak", 1.0), Contribution(STEAM, 1.0))
    it.findings([finding(1, path=LEVEL, name="drift", contributions=parts)], mint(2))
    assert len(it.kept) == 1


def terms(**shares: float) -> tuple[Contribution, ...]:
    return tuple(Contribution(name, share) for name, share in shares.items())


def test_a_risk_index_that_rises_belongs_to_what_raised_it() -> None:
    it = book(model(), model("risk", kind=ModelKind.RISK))
    it.findings([finding(0, path=LEVEL)], mint(1))
    it.findings([finding(5, RED, path=A, name="risk", contributions=terms(warning=1.0))], mint(2))
    assert only(it).row.grade == RED
    area = book(model(), model("risk", kind=ModelKind.RISK))
    area.findings([finding(0, path="haian/tank-farm", contributions=())], mint(1))
    area.findings([finding(5, path=path, name="risk", contributions=terms(warning=1.0)) for path in (A, B)], mint(2))
    assert only(area).row.findings == 3


def test_risk_indices_of_an_area_that_rise_for_one_reason_ring_once() -> None:
    it = book(model("risk", kind=ModelKind.RISK))
    shares = {A: terms(gas=0.7, people=0.3), B: terms(gas=0.6, people=0.4), FAR: terms(gas=1.0)}
    it.findings([finding(n, path=p, name="risk", contributions=c) for n, (p, c) in enumerate(shares.items())], mint(1))
    assert sorted(kept.row.path for kept in it.kept.values()) == [FAR, A]
    it.findings([finding(9, path=f"{B}-2", name="risk", contributions=terms(bypass=1.0))], mint(2))
    assert len(it.kept) == 3


def test_what_is_told_after_a_risk_index_rose_is_told_on_its_own() -> None:
    it = book(model(), model("risk", kind=ModelKind.RISK))
    it.findings([finding(0, path=A, name="risk", contributions=terms(bypass=1.0))], mint(1))
    it.findings([finding(5, path=LEVEL)], mint(2))
    assert len(it.kept) == 2


def test_findings_of_a_model_that_does_not_run_are_counted_and_raise_nothing() -> None:
    it = book()
    assert not it.findings([finding(0, name="unknown"), finding(0, version=9)], mint(1))
    assert it.unknown == 2


# --- grade and condition --------------------------------------------------------------------------------------------


def test_it_gets_graver_at_once_and_less_grave_only_after_a_while() -> None:
    it = book()
    it.findings([finding(0, YELLOW)], mint(1))
    assert arrows(it.findings([finding(1, RED)], mint(2))) == ["regrade"]
    assert arrows(it.findings([finding(2, BLUE)], mint(3))) == []
    assert only(it).row.grade == RED
    hold = DOWN_HOLD / S
    assert arrows(tick(it, 1 + hold)) == []
    assert arrows(tick(it, 2 + hold)) == ["regrade"]
    assert (only(it).row.grade, only(it).row.worst) == (BLUE, RED)


def test_a_short_dip_does_not_make_it_less_grave() -> None:
    it = book()
    it.findings([finding(0, ORANGE)], mint(1))
    it.findings([finding(10, BLUE)], mint(2))
    it.findings([finding(20, ORANGE)], mint(3))
    assert not tick(it, 20 + DOWN_HOLD / S)
    assert only(it).row.grade == ORANGE


def test_the_condition_goes_and_comes_in_one_warning() -> None:
    it = book()
    it.findings([finding(0)], mint(1))
    assert arrows(it.findings([finding(10, None)], mint(2))) == ["end"]
    assert not only(it).row.active
    assert arrows(it.findings([finding(20)], mint(3))) == ["resume"]
    assert only(it).row.active
    assert len(it.kept) == 1


def test_it_goes_on_while_one_of_its_models_says_so() -> None:
    it = book(model(), model("drift"))
    it.findings([finding(0), finding(0, RED, name="drift")], mint(1))
    assert arrows(it.findings([finding(9, None, name="drift")], mint(2))) == []
    assert only(it).row.active
    assert only(it).asked == ORANGE
    assert arrows(it.findings([finding(10, None)], mint(3))) == ["end"]


# --- people ---------------------------------------------------------------------------------------------------------


def test_a_person_answers_confirms_and_closes() -> None:
    it = book()
    it.findings([finding(0)], mint(1))
    kept = only(it)
    assert arrows(act(it, kept, "answer")) == ["answer"]
    with pytest.raises(ConflictError, match="not answered yet"):
        act(it, kept, "answer")
    assert arrows(act(it, kept, "confirm", "现场有滴漏", "wang")) == ["confirm"]
    assert kept.row.answers == ("li", "wang")
    with pytest.raises(ConflictError, match="says why"):
        act(it, kept, "close")
    changes = act(it, kept, "close", "已更换密封", "wang")
    assert arrows(changes) == ["close"]
    assert (kept.row.state, kept.row.comment, kept.row.who) == (WarningState.CLOSED, "已更换密封", "wang")
    assert changes.events[0].causes == (kept.row.id,)


def test_what_is_wrong_with_an_act_is_named() -> None:
    it = book(model(), model("ghost"), shadow=["ghost"])
    it.findings([finding(0), finding(0, path=FAR, name="ghost")], mint(1))
    live, hidden = it.kept.values()
    with pytest.raises(InvalidInputError, match="is no act"):
        act(it, live, "raise")
    with pytest.raises(NotFoundError):
        it.act(ActOnWarning("nobody", "confirm"), "li", START, mint(9))
    with pytest.raises(ConflictError, match="shadow"):
        act(it, hidden, "confirm")
    with pytest.raises(ConflictError, match="possible now"):
        act(it, live, "close", "done")


def test_a_dismissed_warning_is_quiet_until_it_gets_worse() -> None:
    it = book(model(), model("drift"))
    it.findings([finding(0, YELLOW)], mint(1))
    kept = only(it)
    act(it, kept, "dismiss", "仪表校验")
    assert arrows(it.findings([finding(70, YELLOW, name="drift")], mint(2))) == []
    changes = it.findings([finding(80, ORANGE, name="drift")], mint(3))
    assert arrows(changes) == ["raise"]
    assert (kept.row.state, kept.row.grade, kept.row.answers) == (WarningState.RAISED, ORANGE, ())
    assert changes.events[0].data["warning"] == kept.row.id
    assert len(it.kept) == 1


def test_a_dismissed_warning_that_was_off_is_closed_and_the_next_is_a_new_one() -> None:
    it = book()
    it.findings([finding(0)], mint(1))
    kept = only(it)
    act(it, kept, "dismiss", "仪表校验")
    it.findings([finding(70, None)], mint(2))
    assert arrows(it.findings([finding(80)], mint(3))) == ["resume"]
    it.findings([finding(90, None)], mint(4))
    assert arrows(tick(it, 90 + DOWN_HOLD / S)) == ["close"]
    assert arrows(it.findings([finding(400)], mint(5))) == ["raise"]
    assert kept.row.state is WarningState.CLOSED
    assert len(it.kept) == 2


def test_what_was_closed_while_it_went_on_is_quiet_until_worse_or_off() -> None:
    it = book()
    it.findings([finding(0, YELLOW)], mint(1))
    kept = only(it)
    act(it, kept, "confirm")
    act(it, kept, "close", "备件已订")
    assert arrows(it.findings([finding(70, YELLOW, score=4.0)], mint(2))) == []
    assert arrows(it.findings([finding(80, RED)], mint(3))) == ["raise"]
    assert len({item.row.id for item in it.kept.values()}) == 2


def test_what_nobody_judges_closes_itself_when_its_time_has_passed() -> None:
    it = book()
    it.findings([finding(0)], mint(1))
    it.findings([finding(10, None)], mint(2))
    assert arrows(tick(it, 9 + IDLE_RAISED / S)) == []
    assert arrows(tick(it, 3700)) == ["close", "score"]
    assert only_scored(it, 3701) == WarningOutcome.FALSE


def only_scored(it: Book, at: float) -> WarningOutcome | None:
    outcomes = [kept.row.outcome for kept in it.kept.values()]
    tick(it, at)
    assert it.kept == {}
    return outcomes[0] if outcomes else WarningOutcome.FALSE


# --- shadow, configuration, restart ---------------------------------------------------------------------------------


def test_shadow_findings_make_warnings_that_tell_nobody() -> None:
    it = book(model(), model("ghost"), shadow=["ghost"])
    it.findings([finding(0)], mint(1))
    changes = it.findings([finding(1, RED, name="ghost")], mint(2))
    assert changes.events == []
    assert len(it.kept) == 2
    hidden = next(kept for kept in it.kept.values() if kept.row.shadow)
    assert [step.event for _, step in changes.steps] == [""]
    assert it.findings([finding(2, None, name="ghost")], mint(3)).events == []
    assert not hidden.row.active


def test_two_versions_of_a_model_run_side_by_side() -> None:
    it = book(model(), model(version=2), shadow=["seal/2"])
    it.findings([finding(0), finding(0, version=2)], mint(1))
    assert sorted(kept.row.shadow for kept in it.kept.values()) == [False, True]


def test_what_a_model_says_is_over_when_it_no_longer_runs() -> None:
    it = book(model(), model("drift"))
    it.findings([finding(0), finding(0, path=FAR, name="drift")], mint(1))
    changes = it.configure(running(model()), it.plant, mint(2), START + 5 * S)
    assert [(event.subject, event.data["arrow"]) for event in changes.events] == [(FAR, "end")]


def test_a_restarted_book_goes_on_and_agrees_with_the_models() -> None:
    it = book(model(), model("drift"))
    it.findings([finding(0), finding(0, path=FAR, name="drift")], mint(1))
    stored = [msgspec.json.decode(msgspec.json.encode(kept), type=Kept) for kept in it.kept.values()]
    again = Book("test", it.running, it.plant, stored)
    assert again.standing() == it.standing()
    same = {"seal/1@" + A: finding(0), "drift/1@" + FAR: finding(0, path=FAR, name="drift")}
    assert not again.reconcile(same, mint(2), START + 5 * S)
    other = {"seal/1@" + A: finding(0, RED), "seal/1@" + B: finding(1, path=B, contributions=())}
    changes = again.reconcile(other, mint(3), START + 6 * S)
    assert [(e.subject, e.data["arrow"]) for e in changes.events] == [(A, "regrade"), (B, "raise"), (FAR, "end")]


# --- properties -----------------------------------------------------------------------------------------------------

ROWS = {(row.arrow.value, row.before, row.after) for row in TABLE}


class Life(RuleBasedStateMachine):
    """Anything may happen in any order; what must always hold, holds."""

    def __init__(self) -> None:
        super().__init__()
        self.it = book(model(), model("drift"), model("ghost"), shadow=["ghost"])
        self.at = 0.0
        self.number = 0
        self.events: list[object] = []
        self.ids: set[str] = set()

    def see(self, changes: Changes) -> None:
        for event in changes.events:
            assert event.id not in self.ids
            self.ids.add(event.id)
            if event.type == "warning.transition":
                data = event.data
                before = None if data["warning"] == event.id else WarningState(data["before"])
                assert (data["arrow"], before, WarningState(data["state"])) in ROWS
        for identity, _ in changes.steps:
            assert identity in changes.kept or identity in self.it.kept

    def next(self) -> int:
        self.number += 1
        return self.number

    @rule(
        name=st.sampled_from(["seal", "drift", "ghost"]),
        path=st.sampled_from([A, LEVEL, B, FAR]),
        grade=st.sampled_from([None, RED, ORANGE, YELLOW, BLUE]),
        share=st.sampled_from([LEVEL, STEAM, FLOW]),
    )
    def says(self, name: str, path: str, grade: object, share: str) -> None:
        parts = (Contribution(share, 1.0),)
        told = finding(self.at, grade, path, name, contributions=parts)  # type: ignore[arg-type]  # sampled grades
        before = self.it.standing()
        self.see(self.it.findings([told], mint(self.next())))
        key = f"{name}/1@{path}"
        after = self.it.standing()
        assert after.get(key) == (int(told.grade) if told.grade else None)
        assert {k: v for k, v in after.items() if k != key} == {k: v for k, v in before.items() if k != key}

    @rule(minutes=st.sampled_from([0.1, 6.0, 70.0, 1500.0]))
    def waits(self, minutes: float) -> None:
        self.at += minutes * 60
        self.see(self.it.tick(START + round(self.at * S), mint(self.next())))

    @rule(path=st.sampled_from([LEVEL, PRESSURE, f"{FAR}/temperature"]), priority=st.integers(1, 4))
    def rings(self, path: str, priority: int) -> None:
        self.see(ring(self.it, rung(self.at, path, priority=priority, name=f"EVENT{self.next():06d}"), path))

    @precondition(lambda self: any(not kept.row.shadow for kept in self.it.kept.values()))
    @rule(data=st.data(), verb=st.sampled_from(["answer", "confirm", "dismiss", "close", "averted"]))
    def acts(self, data: st.DataObject, verb: str) -> None:
        identity = data.draw(st.sampled_from([k for k, kept in self.it.kept.items() if not kept.row.shadow]))
        request = ActOnWarning(identity, verb, data.draw(st.sampled_from(["", "why"])))
        try:
            self.see(self.it.act(request, "li", START + round(self.at * S), mint(self.next())))
        except ConflictError:
            return

    @invariant()
    def one_cause_rings_once(self) -> None:
        open_ = [k for k in self.it.kept.values() if k.row.state in (WarningState.RAISED, WarningState.CONFIRMED)]
        claims = [(k.row.shadow, key) for k in open_ for key in k.members]
        assert len(claims) == len(set(claims))

    @invariant()
    def the_row_agrees_with_its_members(self) -> None:
        for kept in self.it.kept.values():
            assert kept.row.active == bool(kept.asked)
            assert bool(kept.over) == (not kept.row.active)
            assert kept.row.worst <= kept.row.grade
            if kept.row.state in (WarningState.RAISED, WarningState.CONFIRMED) and kept.asked:
                assert kept.row.grade <= kept.asked
            assert (kept.row.outcome is not None) == (kept.row.state is WarningState.SCORED)
            if kept.row.shadow:
                assert kept.row.answers == ()
                assert kept.row.step == 0


Life.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLife = Life.TestCase


def test_times_of_holding_are_what_the_tests_say() -> None:
    assert DOWN_HOLD == 5 * MINUTE < HOUR < DAY

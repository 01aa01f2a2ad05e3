"""Whom to tell next: chains by grade and place, answers that stop them, words for people."""

from __future__ import annotations

import msgspec
import pytest

from anlan.core.time import MINUTE
from anlan.plant.model import EscalationChain, EscalationStep
from anlan.warn.model import ActOnWarning
from anlan.warn.warnings.engine import Book
from anlan.warn.warnings.escalation import chain_for
from anlan.warn.warnings.record import Changes, Kept
from tests.warn.warnings.plants import BLUE, ORANGE, RED, START, YELLOW, A, S, book, finding, mint, model

SHIFT = EscalationStep(0, ("role:operator",), ("duty",))
MANAGER = EscalationStep(5 * MINUTE, ("wang",), ("duty", "phone"))
BOSS = EscalationStep(15 * MINUTE, ("chen",), ("phone",), need=2)
CHAINS = (
    EscalationChain(2, (SHIFT, MANAGER, BOSS)),
    EscalationChain(1, (EscalationStep(0, ("chen", "zhao"), ("phone",), need=2), BOSS)),
    EscalationChain(2, (SHIFT,), scope="haian/tank-farm"),
    EscalationChain(2, (MANAGER,), scope=A),
)


def at(book_: Book, seconds: float) -> Changes:
    return book_.escalate(START + round(seconds * S))


def act(of: Book, verb: str, user: str, comment: str = "") -> Changes:
    (kept,) = of.kept.values()
    return of.act(
        ActOnWarning(kept.row.id, verb, comment), user, START + 50 * S, mint(100 + len(verb) * 10 + len(user))
    )


def raised(*chains: EscalationChain, grade: object = ORANGE) -> Book:
    it = book(chains=chains or CHAINS[:2])
    it.findings([finding(0, grade)], mint(1))  # type: ignore[arg-type]  # a grade
    return it


def test_the_longest_fitting_scope_of_the_grade_is_taken() -> None:
    assert chain_for(CHAINS, "other/u", 2) is CHAINS[0]
    assert chain_for(CHAINS, "haian/tank-farm/p-402", 2) is CHAINS[2]
    assert chain_for(CHAINS, f"{A}/level", 2) is CHAINS[3]
    assert chain_for(CHAINS, "haian/tank-farm-b/u", 2) is CHAINS[0]
    assert chain_for(CHAINS, A, 1) is CHAINS[1]


def test_blue_warnings_are_told_to_nobody_unless_the_site_says_so() -> None:
    assert not at(raised(grade=BLUE), 0)
    assert at(raised(EscalationChain(4, (SHIFT,)), grade=BLUE), 0).messages


def test_step_after_step_until_somebody_answers() -> None:
    it = raised()
    (first,) = at(it, 0).messages
    assert (first.channel, first.to, first.step) == ("duty", ("role:operator",), 1)
    assert not at(it, 299)
    second = at(it, 300)
    assert [(m.channel, m.step) for m in second.messages] == [("duty", 2), ("phone", 2)]
    (event,) = second.events
    assert (event.data["arrow"], event.data["step"], event.data["comment"]) == ("escalate", 2, "wang")
    (kept,) = it.kept.values()
    assert (kept.row.step, kept.row.need, kept.row.next_step) == (2, 1, START + 900 * S)
    act(it, "answer", "wang")
    assert not at(it, 900).messages
    assert kept.row.next_step == 0


def test_several_must_answer_where_so_set() -> None:
    it = raised(grade=RED)
    assert at(it, 0).messages[0].to == ("chen", "zhao")
    act(it, "confirm", "chen")
    assert at(it, 15 * 60).messages != []
    other = raised(grade=RED)
    at(other, 0)
    act(other, "confirm", "chen")
    act(other, "answer", "zhao")
    assert not at(other, 15 * 60).messages


def test_who_answers_before_anybody_was_told_spares_the_others() -> None:
    it = raised(EscalationChain(2, (MANAGER,)))
    assert not at(it, 0)
    act(it, "answer", "li")
    assert not at(it, 400)


@pytest.mark.parametrize("verbs", [("dismiss",), ("confirm", "close")])
def test_a_judged_warning_escalates_no_further(verbs: tuple[str, ...]) -> None:
    it = raised(grade=RED)
    at(it, 0)
    for verb in verbs:
        act(it, verb, "li", "seen to")
    assert not at(it, 15 * 60)


def test_graver_begins_anew_with_the_chain_of_its_grade() -> None:
    it = raised()
    at(it, 0)
    act(it, "answer", "li")
    it.findings([finding(60, RED)], mint(2))
    (kept,) = it.kept.values()
    assert (kept.row.answers, kept.row.step) == ((), 0)
    assert [m.to for m in at(it, 61).messages] == [("chen", "zhao")]


def test_shadows_escalate_nothing() -> None:
    it = book(model(), chains=CHAINS, shadow=["seal"])
    it.findings([finding(0)], mint(1))
    assert not at(it, 0)


def test_the_same_step_tried_again_after_a_crash_is_the_same_message() -> None:
    it = raised()
    it.escalate(START - 1)
    (kept,) = it.kept.values()
    kept.row = msgspec.structs.replace(kept.row, step=0)
    stored = msgspec.json.encode(kept)
    one = at(it, 0)
    again = Book("test", it.running, it.plant, [msgspec.json.decode(stored, type=Kept)])
    two = at(again, 0)
    assert [m.id for m in one.messages] == [m.id for m in two.messages]
    assert [e.id for e in one.events] == [e.id for e in two.events]


def test_messages_say_what_where_and_what_to_do_chinese_first() -> None:
    it = raised(EscalationChain(3, (BOSS,)), grade=YELLOW)
    assert not at(it, 0)
    message = at(it, 900).messages[0]
    assert message.title == "【黄色预警】罐区 四〇一罐"
    assert message.body.startswith("液位异常\nlevel is odd\n建议措施:检查密封\nAction: check the seal\n")
    (kept,) = it.kept.values()
    for part in (A, kept.row.id, "chen", "需 2 人答复 / 2 must answer", "黄色 yellow"):
        assert part in message.body


def test_an_exercise_is_marked() -> None:
    it = book(chains=CHAINS)
    it.exercise = True
    it.findings([finding(0, RED)], mint(1))
    changes = at(it, 0)
    assert changes.messages[0].exercise
    assert changes.messages[0].title.startswith("【演练 EXERCISE】")
    assert changes.events[0].data["exercise"] is True

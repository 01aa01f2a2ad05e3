"""The life of a warning: the table is whole, guards bind, and the documentation shows it as it is."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import ConflictError
from anlan.core.events import WarningState
from anlan.warn.warnings.machine import (
    STATES,
    TABLE,
    VERBS,
    Arrow,
    Facts,
    Guard,
    Row,
    Who,
    diagram,
    fire,
    holds,
    main,
    may,
)

OPEN = (WarningState.RAISED, WarningState.CONFIRMED)
FACTS = st.builds(
    Facts, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans()
)


def test_no_arrow_has_two_ends_for_one_who_fires_it() -> None:
    keys = [(row.arrow, row.before, row.who) for row in TABLE]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_left_for_scored_in_the_end(state: WarningState) -> None:
    reached = {state}
    for _ in STATES:
        reached |= {row.after for row in TABLE if row.before in reached}
    assert WarningState.SCORED in reached


def test_a_warning_reaches_every_state_from_its_raising() -> None:
    reached = {row.after for row in TABLE if row.before is None}
    for _ in STATES:
        reached |= {row.after for row in TABLE if row.before in reached}
    assert reached == set(STATES)


@pytest.mark.parametrize(("arrow", "state"), list(itertools.product((Arrow.END, Arrow.RESUME), STATES)))
def test_a_condition_may_go_and_come_in_every_state_that_is_open(arrow: Arrow, state: WarningState) -> None:
    there = [row for row in TABLE if (row.arrow, row.before) == (arrow, state)]
    assert bool(there) == (state in (*OPEN, WarningState.DISMISSED))
    assert all(row.after == state for row in there)


def test_what_is_scored_stays_so() -> None:
    assert [row for row in TABLE if row.before is WarningState.SCORED] == []


def test_people_fire_exactly_the_verbs() -> None:
    assert set(VERBS) == {Arrow.ANSWER, Arrow.CONFIRM, Arrow.DISMISS, Arrow.CLOSE}


@given(st.sampled_from(TABLE), FACTS)
def test_an_arrow_fires_exactly_when_its_guard_holds(row: Row, facts: Facts) -> None:
    assert may(row.arrow, row.before, row.who, facts) == holds(row.guard, facts)
    if holds(row.guard, facts):
        assert fire(row.arrow, row.before, row.who, facts) == row.after
    else:
        with pytest.raises(ConflictError):
            fire(row.arrow, row.before, row.who, facts)


@given(st.sampled_from(list(Arrow)), st.sampled_from([None, *STATES]), st.sampled_from(list(Who)), FACTS)
def test_what_the_table_does_not_have_is_refused(
    arrow: Arrow, state: WarningState | None, who: Who, facts: Facts
) -> None:
    there = any((row.arrow, row.before, row.who) == (arrow, state, who) for row in TABLE)
    if not there:
        with pytest.raises(ConflictError):
            fire(arrow, state, who, facts)


def test_a_refusal_says_what_is_possible_and_what_is_wanted() -> None:
    with pytest.raises(ConflictError, match="possible now: answer, confirm, dismiss"):
        fire(Arrow.CLOSE, WarningState.RAISED, Who.PERSON, Facts(reason=True))
    with pytest.raises(ConflictError, match="says why"):
        fire(Arrow.DISMISS, WarningState.RAISED, Who.PERSON, Facts())
    with pytest.raises(ConflictError, match="it is over"):
        fire(Arrow.ANSWER, WarningState.SCORED, Who.PERSON, Facts())


def test_a_dismissed_warning_rings_again_only_when_it_got_worse() -> None:
    assert [row.guard for row in TABLE if row.before is WarningState.DISMISSED and row.arrow is Arrow.RAISE] == [
        Guard.GRAVER
    ]


def test_the_documentation_is_current(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "warning-states.md"
    assert main([str(page), "--check"]) == 0
    stale = tmp_path / "page.md"
    stale.write_text("old")
    assert main([str(stale), "--check"]) == 1
    assert main([str(stale)]) == 0
    assert stale.read_text() == diagram()

"""The state machine's table covers every state and event, and the documentation shows it as it is."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.events import AlarmState
from anlan.core.time import SECOND
from anlan.monitor.engine import Engine
from anlan.monitor.machine import (
    ARROWS,
    HOLDS,
    STATES,
    TABLE,
    VERBS,
    Arrow,
    Guard,
    GuardIndex,
    Row,
    Who,
    diagram,
    main,
    transitions,
)
from tests.monitor.plants import PATHS, START, A, batch, definition, header, plant

S = SECOND
ALARM = f"{PATHS[A]}.H"
ACTIVE = (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED)


def test_no_arrow_has_two_ends() -> None:
    overlapping = [
        (one, other)
        for one, other in itertools.combinations(TABLE, 2)
        if (one.arrow, one.before) == (other.arrow, other.before)
        and (one.guard == other.guard or Guard.NONE in (one.guard, other.guard))
    ]
    assert overlapping == []


@pytest.mark.parametrize(("arrow", "state"), list(itertools.product((Arrow.RAISE, Arrow.CLEAR), STATES)))
def test_the_condition_may_change_in_every_state_it_can_change_in(arrow: Arrow, state: AlarmState) -> None:
    """Raise from all that are not active, clear from all that are, under every guard; nothing else."""
    ends = transitions()[ARROWS.index(arrow), :, STATES.index(state)]
    possible = (state in ACTIVE) == (arrow == Arrow.CLEAR)
    assert [end >= 0 for end in ends] == [possible] * len(GuardIndex)


def test_holds_may_change_in_every_state_and_leave_it_alone() -> None:
    table = transitions()
    for row in HOLDS:
        assert table[ARROWS.index(row.arrow)].tolist() == [list(range(len(STATES)))] * len(GuardIndex)


def test_people_fire_exactly_the_arrows_that_take_a_permission() -> None:
    fired = {row.arrow for row in TABLE if row.who == Who.PERSON} | {
        row.arrow for row in HOLDS if row.who == Who.PERSON
    }
    assert fired == set(VERBS)


@pytest.mark.parametrize("state", STATES)
def test_every_state_leads_back_to_normal(state: AlarmState) -> None:
    reached = {state}
    for _ in STATES:
        reached |= {row.after for row in TABLE if row.before in reached and row.arrow != Arrow.REMOVE}
    assert AlarmState.NORMAL in reached


class Driver:
    """Brings one alarm into any state and fires one arrow, by records of the log alone."""

    def __init__(self, latched: bool) -> None:
        self.engine = Engine(plant(definition(A, "H", limit=10.0, latched=latched)), "test", "r")
        self.at = 0

    def sample(self, value: float, age: int = 0) -> None:
        self.at += 1
        self.engine.samples(batch([(A, self.at * S, value, 0)]), header((self.at + age) * S), self.at)

    def act(self, verb: str) -> str:
        self.at += 1
        d = self.engine.compiled.index[ALARM]
        until = START + (self.at + 60) * S if verb == "shelve" else 0
        instance = self.engine.instances[d]
        command = log.Command("c", START + self.at * S, verb, ALARM, SYSTEM, instance, "why", until)
        return self.engine.command(command, self.at).refused

    @property
    def state(self) -> AlarmState:
        return STATES[int(self.engine.state.alarms[self.engine.compiled.index[ALARM]]["state"])]

    def reach(self, state: AlarmState, rang: bool) -> None:
        age = 0 if rang else 3600
        if state != AlarmState.NORMAL:
            self.sample(12, age)
        if state in (AlarmState.RETURNED, AlarmState.LATCHED_UNACKNOWLEDGED):
            self.sample(1, age)
        if state == AlarmState.ACKNOWLEDGED:
            self.act("acknowledge")
        if state == AlarmState.LATCHED_ACKNOWLEDGED:
            self.sample(1, age)
            self.act("acknowledge")

    def fire(self, row: Row) -> None:
        if row.arrow == Arrow.RAISE:
            self.sample(12)
        elif row.arrow == Arrow.CLEAR:
            self.sample(1, 0 if row.guard == Guard.RANG else 3600)
        elif row.arrow == Arrow.REALARM:
            self.act("suppress")
            self.act("unsuppress")
        elif row.arrow == Arrow.ANNOUNCE:
            self.sample(12)
        elif row.arrow == Arrow.REMOVE:
            self.engine.config(plant(definition(A, "H", limit=10.0, enabled=False)), "r2", START, 99)
        else:
            self.act(row.arrow)


DRIVEN = [row for row in TABLE if row.arrow not in (Arrow.COVER, Arrow.UNCOVER, Arrow.REMOVE)]


@pytest.mark.parametrize("row", DRIVEN, ids=lambda row: f"{row.arrow}-{row.before}-{row.guard or 'any'}")
def test_every_arrow_leads_where_the_table_says(row: Row) -> None:
    latched = row.guard == Guard.LATCHED or row.before.value.startswith("latched")
    driver = Driver(latched)
    driver.reach(row.before, rang=row.guard != Guard.NEVER_RANG and row.arrow != Arrow.ANNOUNCE)
    assert driver.state == row.before
    driver.fire(row)
    assert driver.state == row.after


@pytest.mark.parametrize(("state", "verb"), list(itertools.product(STATES, ("acknowledge", "reset"))))
def test_what_the_table_does_not_have_is_refused_and_changes_nothing(state: AlarmState, verb: str) -> None:
    rows = [row for row in TABLE if row.arrow == verb and row.before == state]
    driver = Driver(state.value.startswith("latched"))
    driver.reach(state, rang=True)
    refused = driver.act(verb)
    assert bool(refused) == (not rows)
    assert driver.state == (rows[0].after if rows else state)


def test_the_documentation_is_current(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "alarm-states.md"
    assert main([str(page), "--check"]) == 0
    stale = tmp_path / "page.md"
    stale.write_text("old")
    assert main([str(stale), "--check"]) == 1
    assert main([str(stale)]) == 0
    assert stale.read_text() == diagram()

"""The registers' state machines: every path obeys the table and the two-person rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import AnlanError, ConflictError, PermissionDeniedError
from anlan.plant.registers.machine import BYPASS, CHANGE, MACHINES, SHIFT, Guard, Machine, diagram


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_tables_are_sound(machine: Machine) -> None:
    fired = [(arrow.before, arrow.verb) for arrow in machine.arrows]
    assert len(fired) == len(set(fired))
    reachable = {machine.first}
    for _ in machine.arrows:
        reachable |= {arrow.after for arrow in machine.arrows if arrow.before in reachable}
    assert reachable == set(machine.states)
    assert any(machine.over(state) for state in machine.states)
    assert all(f"{arrow.before} --> {arrow.after}: {arrow.verb}" in diagram(machine) for arrow in machine.arrows)


_walk = st.lists(
    st.tuples(
        st.sampled_from(sorted({arrow.verb for machine in MACHINES for arrow in machine.arrows})),
        st.sampled_from(["ann", "bob", "eve"]),
        st.booleans(),
        st.sampled_from(["", "because"]),
    ),
    max_size=12,
)


_TWO_PEOPLE = [m for m in MACHINES if any(arrow.guard is Guard.ANOTHER_PERSON for arrow in m.arrows)]


@given(walk=_walk, machine=st.sampled_from(_TWO_PEOPLE))
def test_no_walk_lets_one_person_approve_what_they_asked_for(
    walk: list[tuple[str, str, bool, str]], machine: Machine
) -> None:
    state = machine.first
    approved_by = ""
    for verb, who, system, comment in walk:
        before = state
        try:
            arrow = machine.fire(state, verb, who=who, asked_by="ann", comment=comment, system=system)
        except AnlanError:
            assert state == before
            continue
        assert (arrow.before, arrow.verb) == (state, verb)
        state = arrow.after
        if verb in ("approve", "accept"):
            approved_by = who
        assert not machine.over(before)
    assert approved_by != "ann"
    if state in ("active", "expired", "restored", "approved", "applied", "closed"):
        assert approved_by


def test_a_person_cannot_fire_what_only_the_service_may() -> None:
    for machine, verb, state in ((BYPASS, "expire", "active"), (CHANGE, "apply", "approved")):
        with pytest.raises(PermissionDeniedError):
            machine.fire(state, verb, who="bob", asked_by="ann")
        assert machine.arrow(state, verb).guard is Guard.SYSTEM


def test_a_refusal_says_what_is_possible() -> None:
    with pytest.raises(ConflictError, match="possible now: approve, reject, withdraw"):
        BYPASS.arrow("requested", "restore")
    with pytest.raises(ConflictError, match="it is over"):
        SHIFT.arrow("closed", "offer")
    with pytest.raises(ConflictError, match="needs a reason"):
        CHANGE.fire("proposed", "reject", who="bob", asked_by="ann")


def test_the_diagrams_in_the_docs_are_these_tables() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "register-states.md").read_text(encoding="utf-8")
    for machine in MACHINES:
        assert diagram(machine) in text

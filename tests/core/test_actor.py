"""What roles allow where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.actor import ALLOWED, SYSTEM, Actor, Grant, Permission, Role
from anlan.core.errors import NotFoundError, PermissionDeniedError

PATHS = st.lists(st.sampled_from(["haian", "haian2", "tank", "t-401"]), max_size=4).map("/".join)
GRANTS = st.builds(Grant, role=st.sampled_from(Role), scope=PATHS)
ACTORS = st.builds(Actor, user=st.just("wang"), grants=st.lists(GRANTS, max_size=4).map(tuple))

CHANGES = frozenset(Permission) - {Permission.VIEW, Permission.VIEW_AUDIT}


def test_every_role_sees_and_the_administrator_may_all() -> None:
    assert set(ALLOWED) == set(Role)
    assert all(Permission.VIEW in allowed for allowed in ALLOWED.values())
    assert ALLOWED[Role.ADMINISTRATOR] == frozenset(Permission)


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.REGULATOR])
def test_auditor_and_regulator_only_read(role: Role) -> None:
    assert not ALLOWED[role] & CHANGES


def test_only_a_safety_manager_approves_changes_of_safety_points() -> None:
    allowing = {role for role, allowed in ALLOWED.items() if Permission.APPROVE_SAFETY_CHANGE in allowed}
    assert allowing == {Role.SAFETY_MANAGER, Role.ADMINISTRATOR}


@pytest.mark.parametrize(
    ("path", "covered"),
    [("haian", True), ("haian/tank", True), ("haian2", False), ("haian2/tank", False), ("", False), ("hai", False)],
)
def test_a_grant_covers_its_place_and_what_lies_in_it(path: str, covered: bool) -> None:
    assert Grant(Role.OPERATOR, "haian").covers(path) is covered


@given(ACTORS, st.sampled_from(Permission), PATHS)
def test_require_agrees_with_may_and_hides_what_is_out_of_scope(actor: Actor, wanted: Permission, path: str) -> None:
    expected = None
    if not actor.may(wanted, path):
        expected = PermissionDeniedError if actor.sees(path) else NotFoundError
    raised = None
    try:
        actor.require(wanted, path)
    except (PermissionDeniedError, NotFoundError) as error:
        raised = type(error)
    assert raised is expected


@given(ACTORS, st.sampled_from(Permission), PATHS, PATHS)
def test_what_is_allowed_at_a_place_is_allowed_in_all_of_it(
    actor: Actor, wanted: Permission, path: str, below: str
) -> None:
    deeper = "/".join(part for part in (path, below) if part)
    assert not (path and actor.may(wanted, path)) or actor.may(wanted, deeper)


@given(ACTORS, GRANTS, st.sampled_from(Permission), PATHS)
def test_one_grant_more_never_takes_anything_away(actor: Actor, more: Grant, wanted: Permission, path: str) -> None:
    richer = Actor(actor.user, grants=(*actor.grants, more))
    assert not actor.may(wanted, path) or richer.may(wanted, path)


@given(st.sampled_from(Permission), PATHS)
def test_nobody_may_nothing_and_the_system_may_all(wanted: Permission, path: str) -> None:
    assert not Actor("nobody").may(wanted, path)
    assert SYSTEM.may(wanted, path)

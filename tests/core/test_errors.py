"""Errors say where, what and what would be right, on both sides of the fabric."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import BY_CODE, AnlanError, DecodeError, from_problem

TEXTS = st.text(max_size=30)


@given(st.sampled_from(sorted(BY_CODE)), TEXTS, TEXTS, TEXTS)
def test_an_error_is_the_same_on_the_other_side(code: str, message: str, where: str, fix: str) -> None:
    error = BY_CODE[code](message, where=where, fix=fix)
    again = from_problem(error.problem())
    assert (type(again), again.message, again.where, again.fix) == (type(error), message, where, fix)
    assert again.problem() == error.problem()


@pytest.mark.parametrize(
    ("where", "fix", "text"),
    [("", "", "wrong"), ("a.yaml:3", "", "a.yaml:3: wrong"), ("", "right", "wrong (right)"),
     ("a.yaml:3", "right", "a.yaml:3: wrong (right)")],
)  # fmt: skip
def test_its_text_has_what_is_known(where: str, fix: str, text: str) -> None:
    assert str(AnlanError("wrong", where=where, fix=fix)) == text


@pytest.mark.parametrize("problem", [{}, {"type": "urn:other:thing"}, {"type": "urn:anlan:problem:of-a-newer-version"}])
def test_a_problem_of_an_unknown_kind_is_still_an_error(problem: dict[str, str]) -> None:
    assert type(from_problem(problem)) is AnlanError


def test_statuses_are_those_of_http() -> None:
    assert {kind.status for kind in BY_CODE.values()} <= set(range(400, 600))
    assert DecodeError("x").problem()["status"] == 422

"""The expression language: what it accepts, its three-valued logic, and errors that name the column."""

from __future__ import annotations

import math

import pytest

from anlan.core.errors import InvalidInputError
from anlan.core.expression import MAX_DEPTH, depth, evaluate, parse

NAN = math.nan


def value(text: str, *values: float) -> float:
    return float(evaluate(parse(text), values))


def test_names_are_in_order_of_appearance_and_once() -> None:
    expression = parse("'haian/tank-farm-a/t-401/pressure' > 1.5 and abs('a/b/c/x' - 'a/b/c/y') < 3 and 'a/b/c/x' > 0")
    assert expression.names == ("haian/tank-farm-a/t-401/pressure", "a/b/c/x", "a/b/c/y")


def test_bare_paths_take_their_hyphens_and_slashes() -> None:
    assert parse("haian/tank-farm-a/t-401/pressure - a/b/c/x > 2").names == (
        "haian/tank-farm-a/t-401/pressure",
        "a/b/c/x",
    )


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("a/b > 1", (2.0,), 1),
        ("a/b >= 2 and a/b <= 2 and a/b == 2", (2.0,), 1),
        ("a/b != 2", (2.0,), 0),
        ("2 + 3 * 4 == 14", (), 1),
        ("(2 + 3) * 4 == 20", (), 1),
        ("10 - 4 - 3 == 3 and 24 / 4 / 2 == 3", (), 1),
        ("-a/b < 0", (1.0,), 1),
        ("- -1 > 0", (), 1),
        ("not a/b > 1", (2.0,), 0),
        ("not not a/b > 1", (2.0,), 1),
        ("min(a/b, c/d, 7) == 3 and max(a/b, c/d) == 5", (3.0, 5.0), 1),
        ("abs(a/b - c/d) < 3", (1.0, 9.0), 0),
        ("a/b > 1 or c/d > 1 and c/d < 0", (2.0, 0.0), 1),
        ("1e3 == 1000 and .5 == 0.5", (), 1),
        ('"a b/c#1" > 1', (2.0,), 1),
    ],
)
def test_evaluates(text: str, values: tuple[float, ...], expected: float) -> None:
    assert value(text, *values) == expected


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("a/b > 1", (NAN,), NAN),
        ("a/b != a/b", (NAN,), NAN),
        ("not a/b > 1", (NAN,), NAN),
        ("a/b > 1 and c/d > 1", (NAN, 0.0), 0),
        ("a/b > 1 and c/d > 1", (NAN, 2.0), NAN),
        ("a/b > 1 or c/d > 1", (NAN, 2.0), 1),
        ("a/b > 1 or c/d > 1", (NAN, 0.0), NAN),
        ("c/d > 1 or a/b > 1", (0.0, NAN), NAN),
        ("max(a/b, c/d) > 1", (NAN, 5.0), NAN),
        ("a/b / c/d > 1", (5.0, 0.0), NAN),
        ("a/b > 1", (math.inf,), NAN),
        ("a/b * 10 > 1", (1e308,), NAN),
    ],
)
def test_unknown_is_contagious_unless_the_other_side_decides(
    text: str, values: tuple[float, ...], expected: float
) -> None:
    assert value(text, *values) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "column", "fix"),
    [
        ("", 1, "write a condition"),
        ("   ", 1, "write a condition"),
        ("a/b", 1, "compare it"),
        ("a/b > 1 and c/d", 13, "compare it"),
        ("a/b = 1", 5, "=="),
        ("a/b > 1 && c/d > 1", 9, "'and'"),
        ("pressure > 1", 1, "full path"),
        ("a/b > ", 6, "belongs here"),
        ("(a/b > 1", 9, "')'"),
        ("a/b > 1 c/d > 1", 9, "join"),
        ("1 < a/b < 3", 9, "a < b and b < c"),
        ("a/b > 'c/d", 7, "close the quote"),
        ("abs(a/b, c/d) > 1", 1, "abs(x)"),
        ("min(a/b) > 1", 1, "min(x, y)"),
        ("(a/b > 1) + 2 > 1", 1, "between conditions"),
        ("a/b > '' ", 7, "enterprise/area/unit/point"),
        ("a/b > 1 and and", 13, "belongs here"),
        ("#a > 1", 1, "quotes"),
        ("a/b > 3abc", 7, "quotes"),
    ],
)
def test_an_error_names_the_column_and_the_fix(text: str, column: int, fix: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(text)
    assert caught.value.where == f"column {column}"
    assert fix in caught.value.fix


def test_bounds_are_kept() -> None:
    with pytest.raises(InvalidInputError, match="parentheses"):
        parse("(" * 200 + "a/b > 1" + ")" * 200)
    with pytest.raises(InvalidInputError, match="parentheses"):
        parse("not " * 200 + "a/b > 1")
    with pytest.raises(InvalidInputError, match="too long"):
        parse(" and ".join(["a/b > 1"] * 1000))
    assert depth(parse("a/b > 1 and c/d > 1").code) <= MAX_DEPTH

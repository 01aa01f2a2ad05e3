"""Formulas: three-valued logic and arithmetic as in ``core.expression``, held against plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anlan.core.errors import InvalidInputError
from anlan.core.expression import Op
from anlan.warn.features import gather
from anlan.warn.features.formula import compile_formula

NAN = math.nan


def run(text: str, **values: float) -> float:
    formula = compile_formula(text)
    slots = np.array([values[name] for name in formula.names] or [0.0])
    code = np.array(formula.code, np.int64)
    constants = np.array(formula.constants or (0.0,))
    return float(gather.single(code, constants, 0, len(code), slots))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * 2 - a / b", 3 + 8 - 0.75),
        ("-a ** 2", -9.0),
        ("(a + 1) ** 0.5", 2.0),
        ("min(a, b, 1)", 1.0),
        ("max(a, b) + abs(-a)", 7.0),
        ("exp(log(b)) + sqrt(b)", 6.0),
        ("a < b and b <= 4", 1.0),
        ("a > b or not (a == 3)", 0.0),
        ("100 * (a != 3)", 0.0),
        ("a / (b - 4)", NAN),
        ("log(-a)", NAN),
        ("sqrt(-a)", NAN),
        ("exp(1e4)", NAN),
        ("(a > b) and (n > 1)", 0.0),
        ("(a < b) or (n > 1)", 1.0),
        ("(a < b) and (n > 1)", NAN),
        ("max(a, n)", NAN),
        ("n + a", NAN),
    ],
)  # fmt: skip
def test_value(text: str, expected: float) -> None:
    assert run(text, a=3.0, b=4.0, n=NAN) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    "text",
    ["", "a b", "a < b < c", "f(a)", "a.b", "a[0]", "lambda: 1", "'a'", "min(a)", "abs(a, b)", "True", "a if b else c"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        compile_formula(text)


def test_deep_or_endless_formulas_are_refused() -> None:
    with pytest.raises(InvalidInputError):
        compile_formula("(" * 5000 + "a" + ")" * 5000)
    with pytest.raises(InvalidInputError):
        compile_formula(" + ".join(["a"] * 1000))


def test_names_come_in_order_of_first_use() -> None:
    formula = compile_formula("b * a + b")
    assert formula.names == ("b", "a")
    assert formula.code[0] == Op.POINT

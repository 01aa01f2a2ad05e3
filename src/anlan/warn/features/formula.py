"""Formulas of features: inputs and parameters by name, compiled to a postfix program.

The grammar is that of ``core.expression`` (arithmetic, ``min max abs``, comparisons, ``and or not`` with three values:
true, false, unknown) plus ``exp log sqrt``, the power ``**`` and conditions used as numbers (1, 0).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TypeVar

from anlan.core.errors import InvalidInputError
from anlan.core.expression import MAX_DEPTH, Op, depth

EXP, LOG, SQRT, POWER = 32, 33, 34, 35
"""Instructions beside ``core.expression.Op``; the first three take one value."""

UNARY_EXTRA = (EXP, LOG, SQRT)

_BINARY: dict[type[ast.operator], int] = {
    ast.Add: Op.ADD,
    ast.Sub: Op.SUBTRACT,
    ast.Mult: Op.MULTIPLY,
    ast.Div: Op.DIVIDE,
    ast.Pow: POWER,
}
_COMPARE: dict[type[ast.cmpop], int] = {
    ast.Lt: Op.LESS,
    ast.LtE: Op.LESS_EQUAL,
    ast.Gt: Op.GREATER,
    ast.GtE: Op.GREATER_EQUAL,
    ast.Eq: Op.EQUAL,
    ast.NotEq: Op.NOT_EQUAL,
}
_CALLS = {"abs": Op.ABS, "exp": EXP, "log": LOG, "sqrt": SQRT}
_FOLDS = {"min": Op.MINIMUM, "max": Op.MAXIMUM}
_LONGEST = 600
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Formula:
    """A compiled formula: ``names`` in order of first use; POINT indexes them, CONSTANT indexes ``constants``."""

    text: str
    names: tuple[str, ...]
    code: tuple[int, ...]
    constants: tuple[float, ...]


class _Compiler:
    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[str] = []
        self.constants: list[float] = []
        self.code: list[int] = []

    def error(self, node: ast.AST, message: str, fix: str) -> InvalidInputError:
        column = getattr(node, "col_offset", 0) + 1
        return InvalidInputError(f"{self.text!r}: {message}", where=f"column {column}", fix=fix)

    def visit(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            self._emit(Op.CONSTANT, _slot(self.constants, float(node.value)))
        elif isinstance(node, ast.Name):
            self._emit(Op.POINT, _slot(self.names, node.id))
        elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            self._both(node.left, node.right, _BINARY[type(node.op)])
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
            self.visit(node.operand)
            self._emit(Op.NEGATE if isinstance(node.op, ast.USub) else Op.NOT)
        elif isinstance(node, ast.BoolOp):
            self._fold(node.values, Op.AND if isinstance(node.op, ast.And) else Op.OR)
        elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
            self._both(node.left, node.comparators[0], _COMPARE[type(node.ops[0])])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            self._call(node, node.func.id)
        else:
            raise self.error(node, "not part of a formula", "numbers, names, + - * / **, min max abs exp log sqrt, …")

    def _call(self, node: ast.Call, name: str) -> None:
        if name in _CALLS and len(node.args) == 1:
            self.visit(node.args[0])
            self._emit(_CALLS[name])
        elif name in _FOLDS and len(node.args) > 1:
            self._fold(node.args, _FOLDS[name])
        else:
            raise self.error(
                node, f"no function {name} of {len(node.args)} values", "min max of two or more; others one"
            )

    def _both(self, left: ast.expr, right: ast.expr, op: int) -> None:
        self.visit(left)
        self.visit(right)
        self._emit(op)

    def _fold(self, values: list[ast.expr], op: int) -> None:
        self.visit(values[0])
        for value in values[1:]:
            self.visit(value)
            self._emit(op)

    def _emit(self, op: int, argument: int = 0) -> None:
        self.code += (int(op), argument)


def _slot(items: list[_T], item: _T) -> int:
    if item not in items:
        items.append(item)
    return items.index(item)


def compile_formula(text: str) -> Formula:
    """Return the compiled formula of ``text``.

    Raises:
        InvalidInputError: not a formula; names the column (from 1) and what would be right.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        column = getattr(error, "offset", 1) or 1
        raise InvalidInputError(
            f"{text!r} is not a formula", where=f"column {column}", fix="such as (a - b) / c"
        ) from error
    compiler = _Compiler(text)
    try:
        compiler.visit(tree.body)
    except RecursionError as error:
        raise InvalidInputError(f"{text[:60]!r}… is nested too deeply", fix="split it into two features") from error
    code = tuple(compiler.code)
    if len(code) > _LONGEST or program_depth(code) > MAX_DEPTH:
        raise InvalidInputError(f"{text!r} is too long or nested too deeply", fix="split it into two features")
    return Formula(text, tuple(compiler.names), code, tuple(compiler.constants))


def program_depth(code: tuple[int, ...]) -> int:
    """Return the most values that a program holds at a time."""
    plain = [int(Op.ABS) if op in UNARY_EXTRA else int(Op.ADD) if op == POWER else op for op in code[::2]]
    return depth([word for op in plain for word in (op, 0)])

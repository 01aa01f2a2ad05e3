"""Conditions over points, as alarm definitions and enabling conditions write them.

Syntax: points as full paths, bare (``haian/tank-farm-a/t-401/pressure``) or in quotes; numbers; ``+ - * /``; ``min``,
``max``, ``abs``; ``< <= > >= == !=``; ``and``, ``or``, ``not``; parentheses. A bare path takes every letter, digit,
``_ - . /`` it meets, so a minus or a division after one needs a space before it.

An expression is compiled to a postfix program. Its logic has three values: a bad or missing input is unknown (NaN), and
unknown is contagious except where the other side decides (``false and x``, ``true or x``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anlan.core.errors import InvalidInputError

MAX_DEPTH = 32
"""Deepest stack a program may need; evaluators hold a stack of this size."""

MAX_LENGTH = 512
"""Most instructions of a program."""

_T = TypeVar("_T")


class Op(IntEnum):
    """Instructions of the postfix program; POINT and CONSTANT push, ABS, NEGATE, NOT take one, the others two."""

    POINT = 0
    CONSTANT = 1
    ADD = 2
    SUBTRACT = 3
    MULTIPLY = 4
    DIVIDE = 5
    MINIMUM = 6
    MAXIMUM = 7
    ABS = 8
    NEGATE = 9
    LESS = 10
    LESS_EQUAL = 11
    GREATER = 12
    GREATER_EQUAL = 13
    EQUAL = 14
    NOT_EQUAL = 15
    AND = 16
    OR = 17
    NOT = 18


_COMPARISONS = {
    "<": Op.LESS,
    "<=": Op.LESS_EQUAL,
    ">": Op.GREATER,
    ">=": Op.GREATER_EQUAL,
    "==": Op.EQUAL,
    "!=": Op.NOT_EQUAL,
}
_FUNCTIONS = {"min": Op.MINIMUM, "max": Op.MAXIMUM, "abs": Op.ABS}
_WORDS = {"and", "or", "not", *_FUNCTIONS}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w/]))
    | (?P<quoted>'[^']*'|"[^"]*")
    | (?P<word>[^\W\d][\w.\-]*(?:/[\w.\-]+)*)
    | (?P<sign><=|>=|==|!=|[-+*/<>(),])
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled condition.

    Attributes:
        text: as written.
        names: point paths in order of first appearance.
        code: pairs (instruction, argument), flattened; the argument of POINT indexes ``names``, of CONSTANT
            ``constants``, and is 0 otherwise.
        constants: numbers of the text.
    """

    text: str
    names: tuple[str, ...]
    code: tuple[int, ...]
    constants: tuple[float, ...]


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    column: int


@dataclass
class _Parser:
    text: str
    tokens: list[_Token]
    at: int = 0
    names: list[str] = field(default_factory=list)
    constants: list[float] = field(default_factory=list)
    code: list[int] = field(default_factory=list)
    nesting: int = 0

    def error(self, message: str, column: int, fix: str) -> InvalidInputError:
        return InvalidInputError(message, where=f"column {column}", fix=fix)

    @property
    def here(self) -> _Token:
        return self.tokens[self.at]

    def take(self, text: str) -> bool:
        if self.here.kind in ("sign", "word") and self.here.text == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise self.error(f"{self._shown()} stands where {text!r} belongs", self.here.column, f"add {text!r}")

    def _shown(self) -> str:
        return "the end" if self.here.kind == "end" else repr(self.here.text)

    def emit(self, op: Op, argument: int = 0) -> None:
        self.code += (int(op), argument)
        if len(self.code) > 2 * MAX_LENGTH:
            raise self.error("the expression is too long", self.here.column, f"at most {MAX_LENGTH} operations")

    # Each level returns whether what it parsed is a condition (true, false, unknown) rather than a number.

    def disjunction(self) -> bool:
        return self._logic("or", Op.OR, self.conjunction)

    def conjunction(self) -> bool:
        return self._logic("and", Op.AND, self.negation)

    def _logic(self, word: str, op: Op, operand: Callable[[], bool]) -> bool:
        column = self.here.column
        kind = operand()
        while self.take(word):
            self._need(kind, True, column)
            column = self.here.column
            self._need(operand(), True, column)
            self.emit(op)
        return kind

    def negation(self) -> bool:
        if self.take("not"):
            column = self.here.column
            self._deeper()
            self._need(self.negation(), True, column)
            self.nesting -= 1
            self.emit(Op.NOT)
            return True
        return self.comparison()

    def comparison(self) -> bool:
        column = self.here.column
        kind = self.sum()
        token = self.here
        if token.kind != "sign" or token.text not in _COMPARISONS:
            return kind
        self._need(kind, False, column)
        self.at += 1
        column = self.here.column
        self._need(self.sum(), False, column)
        self.emit(_COMPARISONS[token.text])
        if self.here.kind == "sign" and self.here.text in _COMPARISONS:
            raise self.error("two comparisons in a row", self.here.column, "write 'a < b and b < c'")
        return True

    def sum(self) -> bool:
        return self._arithmetic({"+": Op.ADD, "-": Op.SUBTRACT}, self.product)

    def product(self) -> bool:
        return self._arithmetic({"*": Op.MULTIPLY, "/": Op.DIVIDE}, self.factor)

    def _arithmetic(self, signs: dict[str, Op], operand: Callable[[], bool]) -> bool:
        column = self.here.column
        kind = operand()
        while self.here.kind == "sign" and self.here.text in signs:
            self._need(kind, False, column)
            op = signs[self.here.text]
            self.at += 1
            column = self.here.column
            self._need(operand(), False, column)
            self.emit(op)
        return kind

    def factor(self) -> bool:
        token = self.here
        if self.take("-"):
            self._deeper()
            self._need(self.factor(), False, self.here.column)
            self.nesting -= 1
            self.emit(Op.NEGATE)
            return False
        if self.take("("):
            self._deeper()
            kind = self.disjunction()
            self.nesting -= 1
            self.expect(")")
            return kind
        return self._leaf(token)

    def _leaf(self, token: _Token) -> bool:
        self.at += 1
        if token.kind == "number":
            self.emit(Op.CONSTANT, _index(self.constants, float(token.text)))
        elif token.kind == "quoted":
            name = token.text[1:-1].strip()
            if not name:
                raise self.error("the quotes hold no point path", token.column, "write 'enterprise/area/unit/point'")
            self.emit(Op.POINT, _index(self.names, name))
        elif token.kind == "word" and token.text in _FUNCTIONS:
            self._call(token)
        elif token.kind == "word" and "/" in token.text:
            self.emit(Op.POINT, _index(self.names, token.text))
        else:
            self.at -= 1
            raise self._misplaced(token)
        return False

    def _misplaced(self, token: _Token) -> InvalidInputError:
        if token.kind == "word" and token.text not in _WORDS:
            fix = "a point is a full path enterprise/area/unit/point; words are and, or, not, min, max, abs"
            return self.error(f"{token.text!r} is neither a point path nor a known word", token.column, fix)
        fix = "a number, a point path, min(…), max(…), abs(…) or a parenthesis belongs here"
        return self.error(f"{self._shown()} stands where a value belongs", token.column, fix)

    def _call(self, token: _Token) -> None:
        self.expect("(")
        self._deeper()
        count = 0
        while True:
            column = self.here.column
            self._need(self.sum(), False, column)
            count += 1
            if count > 1:
                if token.text == "abs":
                    raise self.error("abs takes one value", token.column, "write abs(x)")
                self.emit(_FUNCTIONS[token.text])
            if not self.take(","):
                break
        self.expect(")")
        self.nesting -= 1
        if token.text == "abs":
            self.emit(Op.ABS)
        elif count < 2:
            raise self.error(f"{token.text} takes two or more values", token.column, f"write {token.text}(x, y)")

    def _need(self, is_condition: bool, wanted: bool, column: int) -> None:
        if is_condition == wanted:
            return
        if wanted:
            raise self.error("a number stands where a condition belongs", column, "compare it, such as 'x' > 0")
        raise self.error("a condition stands where a number belongs", column, "use 'and', 'or' between conditions")

    def _deeper(self) -> None:
        self.nesting += 1
        if self.nesting > MAX_DEPTH:
            raise self.error("too many parentheses inside each other", self.here.column, f"at most {MAX_DEPTH}")


def _index(items: list[_T], item: _T) -> int:
    if item not in items:
        items.append(item)
    return items.index(item)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            column = at + len(text[at:]) - len(text[at:].lstrip()) + 1
            raise _unreadable(text, column)
        kind = match.lastgroup
        tokens.append(_Token(kind, match.group(kind), match.start(kind) + 1))
        at = match.end()
    tokens.append(_Token("end", "", end + 1))
    return tokens


def _unreadable(text: str, column: int) -> InvalidInputError:
    character = text[column - 1]
    fix = {
        "=": "write == to compare",
        "&": "write 'and'",
        "|": "write 'or'",
        "!": "write 'not', or != to compare",
        "'": "close the quote",
        '"': "close the quote",
    }.get(character, "put a point path with such characters in quotes")
    return InvalidInputError(f"{character!r} cannot be read here", where=f"column {column}", fix=fix)


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """Return the compiled condition of ``text``.

    Raises:
        InvalidInputError: not a condition; names the column (from 1) and what would be right.
    """
    parser = _Parser(text, _tokens(text))
    if parser.here.kind == "end":
        raise parser.error("the expression is empty", 1, "write a condition such as 'enterprise/area/unit/point' > 5")
    kind = parser.disjunction()
    if parser.here.kind != "end":
        raise parser.error(f"{parser._shown()} is left over", parser.here.column, "join conditions with 'and' or 'or'")
    parser._need(kind, True, 1)
    code = tuple(parser.code)
    if depth(code) > MAX_DEPTH:
        raise parser.error("the expression is nested too deeply", 1, f"at most {MAX_DEPTH} values at a time")
    return Expression(text, tuple(parser.names), code, tuple(parser.constants))


def depth(code: Sequence[int]) -> int:
    """Return the most values that the program ``code`` holds at a time."""
    held = most = 0
    for op in code[::2]:
        if op in (Op.POINT, Op.CONSTANT):
            held += 1
        elif op not in (Op.ABS, Op.NEGATE, Op.NOT):
            held -= 1
        most = max(most, held)
    return most


def evaluate(expression: Expression, values: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Return 1 (true), 0 (false) or NaN (unknown): the NumPy reference of the compiled evaluators.

    Args:
        values: one number or array per name of the expression, NaN where bad or missing.
    """
    stack: list[NDArray[np.float64]] = []
    code = expression.code
    with np.errstate(all="ignore"):
        for op, argument in zip(code[::2], code[1::2], strict=True):
            if op == Op.POINT:
                stack.append(_finite(np.asarray(values[argument], np.float64)))
            elif op == Op.CONSTANT:
                stack.append(_finite(np.asarray(expression.constants[argument], np.float64)))
            elif op in _UNARY:
                stack.append(_finite(_UNARY[op](stack.pop())))
            else:
                right, left = stack.pop(), stack.pop()
                stack.append(_finite(_BINARY[op](left, right)))
    return stack[0]


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(values, np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _compared(compare: np.ufunc) -> Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]:
    def apply(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.isnan(left) | np.isnan(right), np.nan, compare(left, right).astype(np.float64))

    return apply


def _and(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where((left == 0) | (right == 0), 0.0, left * right)


def _or(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where((left == 1) | (right == 1), 1.0, left + right)


_Unary = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_Binary = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
_UNARY: dict[int, _Unary] = {Op.ABS: np.abs, Op.NEGATE: np.negative, Op.NOT: lambda value: 1.0 - value}
_BINARY: dict[int, _Binary] = {
    Op.ADD: np.add,
    Op.SUBTRACT: np.subtract,
    Op.MULTIPLY: np.multiply,
    Op.DIVIDE: np.divide,
    Op.MINIMUM: np.minimum,
    Op.MAXIMUM: np.maximum,
    Op.LESS: _compared(np.less),
    Op.LESS_EQUAL: _compared(np.less_equal),
    Op.GREATER: _compared(np.greater),
    Op.GREATER_EQUAL: _compared(np.greater_equal),
    Op.EQUAL: _compared(np.equal),
    Op.NOT_EQUAL: _compared(np.not_equal),
    Op.AND: _and,
    Op.OR: _or,
}

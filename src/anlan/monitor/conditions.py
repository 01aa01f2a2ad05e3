"""Conditions of alarm definitions, compiled: expressions, limits, rates, deviations, states, votes.

The truth of a condition is 1, 0 or -1 for unknown. Changing this file takes a new ``kernel.LAYOUT``.
"""

from __future__ import annotations

import math

from anlan.core.events import AlarmState
from anlan.core.expression import Op
from anlan.monitor.layout import NEVER, Kind, State, Tables
from anlan.monitor.machine import STATES
from anlan.monitor.machine_code import compiled, inlined

_UNACK = STATES.index(AlarmState.UNACKNOWLEDGED)
_ACK = STATES.index(AlarmState.ACKNOWLEDGED)

_UP, _DOWN, _RATE, _DEVIATION = int(Kind.UP), int(Kind.DOWN), int(Kind.RATE), int(Kind.DEVIATION)
_STATE, _BAD, _VOTE, _EXPRESSION = int(Kind.STATE), int(Kind.BAD), int(Kind.VOTE), int(Kind.EXPRESSION)

(
    _OP_POINT,
    _OP_CONSTANT,
    _OP_ADD,
    _OP_SUBTRACT,
    _OP_MULTIPLY,
    _OP_DIVIDE,
    _OP_MINIMUM,
    _OP_MAXIMUM,
    _OP_ABS,
    _OP_NEGATE,
    _OP_LESS,
    _OP_LESS_EQUAL,
    _OP_GREATER,
    _OP_GREATER_EQUAL,
    _OP_EQUAL,
    _OP_NOT_EQUAL,
    _OP_AND,
    _OP_OR,
    _OP_NOT,
) = (int(op) for op in Op)


@compiled
def _compare(op: int, left: float, right: float) -> float:
    if op == _OP_LESS:
        result = left < right
    elif op == _OP_LESS_EQUAL:
        result = left <= right
    elif op == _OP_GREATER:
        result = left > right
    elif op == _OP_GREATER_EQUAL:
        result = left >= right
    elif op == _OP_EQUAL:
        result = left == right
    else:
        result = left != right
    return 1.0 if result else 0.0


@compiled
def _binary(op: int, left: float, right: float) -> float:
    if op == _OP_AND:
        return 0.0 if left == 0.0 or right == 0.0 else left * right
    if op == _OP_OR:
        return 1.0 if left == 1.0 or right == 1.0 else left + right
    if math.isnan(left) or math.isnan(right):
        return math.nan
    if op == _OP_ADD:
        return left + right
    if op == _OP_SUBTRACT:
        return left - right
    if op == _OP_MULTIPLY:
        return left * right
    if op == _OP_DIVIDE:
        return left / right if right != 0.0 else math.nan
    if op == _OP_MINIMUM:
        return min(left, right)
    if op == _OP_MAXIMUM:
        return max(left, right)
    return _compare(op, left, right)


@inlined
def _known_value(state: State, row: int) -> float:
    if row < 0 or state.points[row].quality >= 0x80:
        return math.nan
    return float(state.points[row].value)


@compiled
def run(tables: Tables, state: State, first: int, end: int) -> float:
    """Run a postfix program; 1 true, 0 false, NaN unknown."""
    stack = state.stack
    top = -1
    for at in range(first, end):
        op = tables.code[at, 0]
        argument = tables.code[at, 1]
        if op == _OP_POINT:
            top += 1
            stack[top] = _known_value(state, argument)
        elif op == _OP_CONSTANT:
            top += 1
            stack[top] = tables.constants[argument]
        elif op == _OP_ABS:
            stack[top] = abs(stack[top])
        elif op == _OP_NEGATE:
            stack[top] = -stack[top]
        elif op == _OP_NOT:
            stack[top] = 1.0 - stack[top]
        else:
            top -= 1
            stack[top] = _binary(op, stack[top], stack[top + 1])
        if not math.isfinite(stack[top]):
            stack[top] = math.nan
    return float(stack[top])


@inlined
def truth_of(value: float) -> int:
    """Return 1, 0, or -1 for NaN."""
    if math.isnan(value):
        return -1
    return 1 if value != 0.0 else 0


@inlined
def is_active(state: State, d: int) -> bool:
    """Return whether the condition of definition ``d`` holds as far as its state says."""
    code = state.alarms[d].state
    return bool(code in (_UNACK, _ACK))


@compiled
def _vote(tables: Tables, state: State, d: int) -> tuple[int, float]:
    rule = tables.rules[d]
    threshold = rule.limit
    if is_active(state, d):
        threshold -= rule.direction * rule.deadband
    votes = 0
    unknown = 0
    for at in range(rule.input_first, rule.input_end):
        value = _known_value(state, tables.pool[at])
        if math.isnan(value):
            unknown += 1
        elif (value >= threshold) if rule.direction > 0 else (value <= threshold):
            votes += 1
    if votes >= rule.needed:
        return 1, float(votes)
    return (0 if votes + unknown < rule.needed else -1), float(votes)


@inlined
def _beyond(state: State, d: int, value: float, limit: float, deadband: float) -> int:
    if not math.isfinite(value):
        return -1
    return 1 if value >= (limit - deadband if is_active(state, d) else limit) else 0


@inlined
def _is_abnormal(tables: Tables, d: int, value: float) -> int:
    rule = tables.rules[d]
    for at in range(rule.state_first, rule.state_end):
        if value == float(tables.pool[at]):
            return 1
    return 0


@inlined
def condition(tables: Tables, state: State, d: int, time: int, known: bool) -> tuple[int, float]:
    """Return the truth of a definition's condition on the points' newest values, and the value it went by."""
    rule = tables.rules[d]
    kind = rule.kind
    if kind == _VOTE:
        return _vote(tables, state, d)
    if kind == _EXPRESSION:
        result = run(tables, state, rule.code_first, rule.code_end)
        return truth_of(result), math.nan
    point = state.points[rule.point]
    value = float(point.value)
    if kind == _BAD:
        return (0 if known else 1), math.nan
    if kind == _DEVIATION:
        value = abs(_known_value(state, rule.point) - _known_value(state, rule.other))
        return _beyond(state, d, value, rule.limit, rule.deadband), value
    if not known:
        return -1, math.nan
    if kind == _UP:
        return _beyond(state, d, value, rule.limit, rule.deadband), value
    if kind == _DOWN:
        return _beyond(state, d, -value, -rule.limit, rule.deadband), value
    if kind == _STATE:
        return _is_abnormal(tables, d, value), value
    if kind == _RATE and point.good_time > NEVER and time > point.good_time:
        rate = (value - point.good_value) / ((time - point.good_time) * 1e-6)
        return _beyond(state, d, abs(rate), rule.limit, rule.deadband), rate
    return -1, math.nan

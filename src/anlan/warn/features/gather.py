"""Gathers the steps of a cadence, and evaluates the formulas of every binding in one compiled pass."""

from __future__ import annotations

import math

import numpy as np

from anlan.core.expression import MAX_DEPTH, Op
from anlan.warn.features.formula import EXP, LOG, POWER, SQRT
from anlan.warn.features.kernels import IDLE, MISSING, OK, SETTLING, jit
from anlan.warn.features.specs import COMBINES, TAKES

MEAN, LAST, LOW, HIGH, COUNT, RAISED, ACTIVE, BAD, AGE = range(len(TAKES))
FEATURE = len(TAKES)
STEPS = FEATURE + 1
ROWS = STEPS + 1
ONE, C_MEAN, SUM, MAX, MIN, MEDIAN, SPREAD, NUMBER, ABOVE, EQUAL = range(len(COMBINES))

_POINT, _CONSTANT, _ADD, _SUBTRACT = int(Op.POINT), int(Op.CONSTANT), int(Op.ADD), int(Op.SUBTRACT)
_MULTIPLY, _DIVIDE, _MINIMUM, _MAXIMUM = int(Op.MULTIPLY), int(Op.DIVIDE), int(Op.MINIMUM), int(Op.MAXIMUM)
_ABS, _NEGATE, _NOT, _AND, _OR = int(Op.ABS), int(Op.NEGATE), int(Op.NOT), int(Op.AND), int(Op.OR)
_LESS, _LESS_EQUAL, _GREATER = int(Op.LESS), int(Op.LESS_EQUAL), int(Op.GREATER)
_GREATER_EQUAL, _EQUAL, _NOT_EQUAL = int(Op.GREATER_EQUAL), int(Op.EQUAL), int(Op.NOT_EQUAL)
_EXP, _LOG, _SQRT, _POWER = EXP, LOG, SQRT, POWER
_DEPTH = MAX_DEPTH
_THREE_DAYS = 259_200.0


@jit
def accumulate(seen, step, fresh, last, mean, low, high, count, bad, changed, raised, active):  # type: ignore[no-untyped-def]  # compiled
    """Add one base step to what was seen since the cadence began (rows in the order of ``TAKES``; BAD is a share)."""
    for i in range(len(last)):
        if fresh:
            seen[MEAN, i] = 0.0
            seen[COUNT, i] = seen[RAISED, i] = seen[BAD, i] = 0.0
            seen[LOW, i], seen[HIGH, i] = math.inf, -math.inf
            seen[FEATURE, i] = seen[STEPS, i] = 0.0  # steps with a mean, and all steps
        if not math.isnan(mean[i]):
            seen[FEATURE, i] += 1.0
            seen[MEAN, i] += (mean[i] - seen[MEAN, i]) / seen[FEATURE, i]
            seen[LOW, i] = min(seen[LOW, i], low[i])
            seen[HIGH, i] = max(seen[HIGH, i], high[i])
        seen[LAST, i] = last[i]
        seen[COUNT, i] += count[i]
        seen[RAISED, i] += raised[i]
        seen[ACTIVE, i] = active[i]
        seen[STEPS, i] += 1.0
        seen[BAD, i] += ((1.0 if bad[i] else 0.0) - seen[BAD, i]) / seen[STEPS, i]
        seen[AGE, i] = (step - changed[i]) * 1e-6 if changed[i] > 0 else math.nan


@jit
def _taken(seen, values, take, reference, gain, offset):  # type: ignore[no-untyped-def]  # compiled
    if take == FEATURE:
        return values[reference]
    v = seen[take, reference]
    if take <= HIGH and seen[FEATURE, reference] == 0.0:
        return math.nan
    return v * gain + offset


@jit
def _combined(kind, level, many):  # type: ignore[no-untyped-def]  # compiled
    """Combine the members that say something; of none of them nothing follows."""
    known = many[np.isfinite(many)]
    if len(known) == 0:
        return math.nan
    if kind == SUM:
        return known.sum() if len(known) == len(many) else math.nan
    if kind == MAX:
        return known.max()
    if kind == MIN:
        return known.min()
    if kind == MEDIAN:
        return np.median(known)
    if kind == SPREAD:
        return known.max() - known.min()
    if kind == NUMBER:
        return float(len(known))
    if kind == ABOVE:
        return float((known >= level).sum())
    if kind == EQUAL:
        return float((known == level).sum())
    return known.mean()


@jit
def fill(seen, values, slots, slot_take, slot_combine, slot_level, slot_from, reference, gain, offset):  # type: ignore[no-untyped-def]  # compiled
    """Put what every input says now into ``slots``; constants (inputs without references) stay."""
    for k in range(len(slots)):
        start, end = slot_from[k], slot_from[k + 1]
        if end == start:
            continue
        if slot_combine[k] == ONE:
            slots[k] = _taken(seen, values, slot_take[k], reference[start], gain[start], offset[start])
            continue
        many = np.empty(end - start)
        for r in range(start, end):
            many[r - start] = _taken(seen, values, slot_take[k], reference[r], gain[r], offset[r])
        slots[k] = _combined(slot_combine[k], slot_level[k], many)


@jit
def learn(slots, usual, dt):  # type: ignore[no-untyped-def]  # compiled
    """Keep what every input usually says (row 0; running mean of three days) and for how many seconds (row 1)."""
    for k in range(len(slots)):
        if math.isfinite(slots[k]):
            usual[1, k] += dt
            usual[0, k] += (slots[k] - usual[0, k]) * dt / min(usual[1, k], _THREE_DAYS)


@jit
def _unary(op, a):  # type: ignore[no-untyped-def]  # compiled
    if op == _ABS:
        return abs(a)
    if op == _NEGATE:
        return -a
    if op == _NOT:
        return 1.0 - a
    if op == _EXP:
        return math.exp(a) if a < 700.0 else math.nan
    if op == _LOG:
        return math.log(a) if a > 0.0 else math.nan
    return math.sqrt(a) if a >= 0.0 else math.nan


@jit
def _compared(op, a, b):  # type: ignore[no-untyped-def]  # compiled
    if math.isnan(a) or math.isnan(b):
        return math.nan
    if op == _LESS:
        return 1.0 if a < b else 0.0
    if op == _LESS_EQUAL:
        return 1.0 if a <= b else 0.0
    if op == _GREATER:
        return 1.0 if a > b else 0.0
    if op == _GREATER_EQUAL:
        return 1.0 if a >= b else 0.0
    return 1.0 if (a == b) == (op == _EQUAL) else 0.0


@jit
def _binary(op, a, b):  # type: ignore[no-untyped-def]  # compiled
    if op == _ADD:
        return a + b
    if op == _SUBTRACT:
        return a - b
    if op == _MULTIPLY:
        return a * b
    if op == _DIVIDE:
        return a / b if b != 0.0 else math.nan
    if op == _POWER:
        return a**b if a >= 0.0 else math.nan
    if op == _AND:
        return 0.0 if a == 0.0 or b == 0.0 else a * b
    if op == _OR:
        return 1.0 if a == 1.0 or b == 1.0 else a + b
    if op in (_MINIMUM, _MAXIMUM):
        if math.isnan(a) or math.isnan(b):
            return math.nan
        return min(a, b) if op == _MINIMUM else max(a, b)
    return _compared(op, a, b)


@jit
def _run(code, constants, start, end, slots, base, stack):  # type: ignore[no-untyped-def]  # compiled
    top = -1
    for at in range(start, end, 2):
        op, argument = code[at], code[at + 1]
        if op == _POINT:
            top += 1
            stack[top] = slots[base + argument]
        elif op == _CONSTANT:
            top += 1
            stack[top] = constants[argument]
        elif op in (_ABS, _NEGATE, _NOT, _EXP, _LOG, _SQRT):
            stack[top] = _unary(op, stack[top])
        else:
            top -= 1
            stack[top] = _binary(op, stack[top], stack[top + 1])
        if not math.isfinite(stack[top]):
            stack[top] = math.nan
    return stack[0]


@jit
def single(code, constants, start, end, slots):  # type: ignore[no-untyped-def]  # compiled
    """Run one formula over the slots of one binding."""
    return _run(code, constants, start, end, slots, 0, np.empty(_DEPTH))


@jit
def evaluate(code, constants, programs, slots, base, since, settle, dt, x, y, out):  # type: ignore[no-untyped-def]  # compiled
    """Run the formulas of every binding: condition, expression, other expression (columns of ``programs``)."""
    stack = np.empty(_DEPTH)
    for i in range(len(base)):
        out[i] = OK
        x[i] = y[i] = math.nan
        if programs[i, 1] > programs[i, 0]:
            on = _run(code, constants, programs[i, 0], programs[i, 1], slots, base[i], stack)
            if math.isnan(on):
                out[i] = MISSING
                continue
            if on != 1.0:
                out[i] = IDLE
                since[i] = 0.0
                continue
        since[i] += dt
        if since[i] <= settle[i]:
            out[i] = SETTLING
            continue
        x[i] = _run(code, constants, programs[i, 2], programs[i, 3], slots, base[i], stack)
        y[i] = 0.0
        if programs[i, 5] > programs[i, 4]:
            y[i] = _run(code, constants, programs[i, 4], programs[i, 5], slots, base[i], stack)
        if math.isnan(x[i]) or math.isnan(y[i]):
            out[i] = MISSING

"""Memory layout shared by the kernel, its reference and the engine: record types and the codes in them.

Compiled code holds these numbers as constants and is cached beside ``kernel.py``: ``kernel.LAYOUT`` must change with
them (a test compares).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NEVER = -(1 << 62)
"""Time of something that has not happened yet."""

FOREVER = (1 << 62) - 1
"""A deadline that never comes."""

LONGEST_TICK = 1_000_000
"""Most observed time one tick adds, µs."""


class Kind(IntEnum):
    """Kinds of conditions; HH and H are UP, L and LL are DOWN."""

    UP = 0
    DOWN = 1
    RATE = 2
    DEVIATION = 3
    STATE = 4
    STALE = 5
    BAD = 6
    VOTE = 7
    EXPRESSION = 8
    CONNECTOR = 9


KINDS = {
    "HH": Kind.UP,
    "H": Kind.UP,
    "L": Kind.DOWN,
    "LL": Kind.DOWN,
    "rate": Kind.RATE,
    "deviation": Kind.DEVIATION,
    "state": Kind.STATE,
    "stale": Kind.STALE,
    "bad-quality": Kind.BAD,
    "vote": Kind.VOTE,
    "expression": Kind.EXPRESSION,
    "connector": Kind.CONNECTOR,
}

ROLE_CONDITION = 1
ROLE_ENABLE = 2

PENDING_ON = 1
PENDING_OFF = 2


class Clock(IntEnum):
    """Cells of the clock array: times, counters, and how full the two work lists are."""

    OBSERVED = 0
    TICK = 1
    OUT = 2
    TOUCHED = 3
    SAMPLES = 4
    LATE = 5
    REPEATED = 6
    FUTURE = 7
    UNMAPPED = 8
    AGED = 9


COUNTERS = {
    "samples": Clock.SAMPLES,
    "late": Clock.LATE,
    "repeated": Clock.REPEATED,
    "future": Clock.FUTURE,
    "unmapped": Clock.UNMAPPED,
    "aged": Clock.AGED,
}

POINT = np.dtype(
    [
        ("time", "i8"),  # newest source time, µs UTC
        ("value", "f8"),
        ("low", "f8"),  # a good value in [low, high] changes nothing: the quiet band
        ("high", "f8"),
        ("seen", "i8"),  # observed time of the newest sample
        ("good_time", "i8"),  # last good sample before this one, kept where a rate needs it
        ("good_value", "f8"),
        ("quality", "u1"),
        ("quiet", "u1"),  # whether the point's definitions allow a quiet band at all
    ],
    align=True,
)

RULE = np.dtype(
    [
        ("kind", "u1"),
        ("latched", "u1"),
        ("multi", "u1"),  # its clock does not run backwards: several points, or node time
        ("direction", "i1"),
        ("point", "i4"),
        ("other", "i4"),
        ("needed", "i4"),
        ("input_first", "i4"),
        ("input_end", "i4"),
        ("state_first", "i4"),
        ("state_end", "i4"),
        ("by_first", "i4"),  # definitions that cover this one
        ("by_end", "i4"),
        ("over_first", "i4"),  # definitions this one covers
        ("over_end", "i4"),
        ("code_first", "i4"),
        ("code_end", "i4"),
        ("enable_first", "i4"),
        ("enable_end", "i4"),
        ("limit", "f8"),
        ("deadband", "f8"),
        ("on_delay", "i8"),
        ("off_delay", "i8"),
        ("stale_after", "i8"),
    ],
    align=True,
)

ALARM = np.dtype(
    [
        ("state", "u1"),
        ("holds", "u1"),
        ("rang", "u1"),
        ("covered", "u1"),
        ("pending", "u1"),
        ("paused", "u1"),  # the pending delay waits: its input is unknown
        ("aged", "u1"),  # the newest evaluation was of data too old to ring
        ("release", "u1"),  # lift the CONNECTOR hold at the next sample
        ("touched", "u1"),
        ("quality", "u1"),
        ("onset", "i8"),  # source time the pending change began
        ("received", "i8"),  # receipt time of that sample
        ("first_sequence", "i8"),
        ("last", "i8"),  # source time of the newest known evaluation
        ("last_sequence", "i8"),
        ("clock", "i8"),
        ("raised", "i8"),
        ("changed", "i8"),
        ("value", "f8"),  # at the newest known evaluation
    ],
    align=True,
)

OUT = np.dtype(
    [
        ("definition", "i4"),
        ("arrow", "u1"),
        ("before", "u1"),
        ("after", "u1"),
        ("holds", "u1"),
        ("covered", "u1"),
        ("rung", "u1"),
        ("quality", "u1"),
        ("time", "i8"),
        ("value", "f8"),
        ("onset", "i8"),
        ("last", "i8"),
        ("first_sequence", "i8"),
        ("last_sequence", "i8"),
    ],
    align=True,
)


class Tables(NamedTuple):
    """Compiled definitions, read-only.

    Attributes:
        rules: ``RULE`` records; a definition's index is its number here, covering ones before covered ones.
        entry_first: int32, by point row: where its entries begin (one more than rows).
        entries: int32 pairs (definition, roles).
        pool: int32 lists that the rules' ``*_first``/``*_end`` cut out.
        code: int32 pairs (instruction, argument) of all expressions; points are rows, constants index ``constants``.
        constants: float64.
        stale: int32, definitions of kind STALE.
        row_of: int32, point row by point number, -1 where there is none.
        worst: int32, by point row: most transitions one sample can make.
        machine: int8, ``machine.transitions()``.
    """

    rules: NDArray[np.void]
    entry_first: NDArray[np.int32]
    entries: NDArray[np.int32]
    pool: NDArray[np.int32]
    code: NDArray[np.int32]
    constants: NDArray[np.float64]
    stale: NDArray[np.int32]
    row_of: NDArray[np.int32]
    worst: NDArray[np.int32]
    machine: NDArray[np.int8]


class State(NamedTuple):
    """What changes while running.

    Attributes:
        points: ``POINT`` records by row.
        alarms: ``ALARM`` records by definition.
        timers: int64 by definition: tick time at which its pending delay ends.
        until: int64 by definition: when its shelving ends.
        clock: int64 cells named by ``Clock``.
        stack, touched: scratch of the evaluator.
    """

    points: NDArray[np.void]
    alarms: NDArray[np.void]
    timers: NDArray[np.int64]
    until: NDArray[np.int64]
    clock: NDArray[np.int64]
    stack: NDArray[np.float64]
    touched: NDArray[np.int32]

    def copy(self) -> State:
        """Return a state of its own with the same content."""
        arrays: list[NDArray[Any]] = [array.copy() for array in self]
        return State(*arrays)


def fresh_state(points: int, definitions: int) -> State:
    """Return the state in which no sample was seen and every alarm is normal."""
    from anlan.core.expression import MAX_DEPTH
    from anlan.core.quality import Quality

    rows = np.zeros(points, POINT)
    rows["time"] = rows["good_time"] = NEVER
    rows["value"] = np.nan
    rows["quality"] = Quality.BAD_NOT_CONNECTED
    alarms = np.zeros(definitions, ALARM)
    alarms["value"] = np.nan
    alarms["clock"] = NEVER
    clock = np.zeros(16, np.int64)
    clock[Clock.TICK] = NEVER
    return State(
        rows,
        alarms,
        np.full(definitions, FOREVER, np.int64),
        np.full(definitions, FOREVER, np.int64),
        clock,
        np.zeros(MAX_DEPTH + 1, np.float64),
        np.zeros(2 * definitions + 1, np.int32),
    )

"""Cells of point and alarm lists: text, numbers, durations, flags; each read, shown and written in its own way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from anlan.core.errors import InvalidInputError
from anlan.core.time import DAY, HOUR, MINUTE, SECOND, duration_us
from anlan.plant.schema import PRIORITIES

_PRIORITY_NAMES = {number: name for name, number in PRIORITIES.items()}


def duration_text(time_us: int | None) -> str | None:
    """Return a duration (µs) as site files write it, in the largest unit that keeps it whole."""
    if time_us is None:
        return None
    for unit, size in (("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", SECOND), ("ms", 1_000)):
        if time_us % size == 0 and time_us // size < 1_000_000_000 and (time_us or unit == "s"):
            return f"{time_us // size} {unit}"
    return f"{time_us / SECOND:.6f} s"


Parse = Callable[[Any], Any]


def text_of(value: Any) -> str | None:
    """Return a cell's text without blanks around it; None when it is empty."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def _number(value: Any) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError("a number is expected") from error
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError("a number is expected")
    return number


def _duration(value: Any) -> int | None:
    text = text_of(value)
    if text is None:
        return None
    try:
        return duration_us(float(text) if _is_number(text) else text)
    except (InvalidInputError, OverflowError) as error:
        raise ValueError("a duration is expected, like 2 s or 5 min") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _stale(value: Any) -> int | None:
    return 0 if value is False or text_of(value) in ("off", "never", "no") else _duration(value)


def _flag(value: Any) -> bool | None:
    text = text_of(value)
    if text is None:
        return None
    flags = {"true": True, "yes": True, "是": True, "1": True, "false": False, "no": False, "否": False, "0": False}
    if text.lower() not in flags:
        raise ValueError("是/否 or yes/no is expected")
    return flags[text.lower()]


def _states(value: Any) -> dict[str, str] | None:
    text = text_of(value)
    if text is None:
        return None
    states: dict[str, str] = {}
    for part in text.replace(";", ";").split(";"):
        number, equals, name = part.partition("=")
        if part.strip():
            if not equals or not number.strip().lstrip("-").isdigit():
                raise ValueError("states are written like 0=停; 1=运行")
            states[number.strip()] = name.strip()
    return states


def _priority(value: Any) -> int | None:
    text = text_of(value)
    if text is None:
        return None
    if text.lower() in PRIORITIES:
        return PRIORITIES[text.lower()]
    if text not in ("1", "2", "3", "4"):
        raise ValueError("critical, high, medium, low or 1 to 4")
    return int(text)


@dataclass(frozen=True, slots=True)
class CellKind:
    """How a cell is read, how a value is shown in one, how it is written into a site file."""

    parse: Parse
    show: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] = lambda value: value


def plain_number(value: float) -> float | int:
    """Return a whole number as one, so that files say 7 and not 7.0."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


TEXT = CellKind(text_of)
NUMBER = CellKind(_number, write=plain_number)
DURATION = CellKind(_duration, duration_text, duration_text)
STALE = CellKind(
    _stale,
    lambda value: "off" if value == 0 else duration_text(value),
    lambda value: duration_text(value) if value else "off",
)
FLAG = CellKind(_flag, lambda value: None if value is None else "是" if value else "否")
STATES = CellKind(_states, lambda value: "; ".join(f"{number}={name}" for number, name in value.items()) or None)
PRIORITY = CellKind(_priority, _PRIORITY_NAMES.get, _PRIORITY_NAMES.get)

"""Time is UTC microseconds since 1970 inside; engines are handed it and never read the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from anlan.core.errors import InvalidInputError

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_DURATION_UNITS = {"us": 1, "ms": 1_000, "s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}


def now_us() -> int:
    """Return the wall clock in µs UTC."""
    return time.time_ns() // 1_000


def steady_us() -> int:
    """Return µs of a clock that nobody sets and that runs on while the machine sleeps; only differences count."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000


def to_iso(time_us: int, zone: str = "UTC") -> str:
    """Return ``time_us`` (µs UTC) as ISO 8601 with offset and microseconds in ``zone``."""
    seconds, micros = divmod(time_us, SECOND)
    moment = datetime.fromtimestamp(seconds, tz=ZoneInfo(zone)).replace(microsecond=micros)
    return moment.isoformat(timespec="microseconds")


def from_iso(text: str, zone: str = "UTC") -> int:
    """Return the µs UTC of an ISO 8601 text; without an offset it is taken to be in ``zone``.

    Raises:
        InvalidInputError: the text is no ISO 8601 date-time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(
            f"{text!r} is not a date and time", fix="write it like 2026-11-24T08:00:00+08:00"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def duration_us(text: str | float | int) -> int:
    """Return the µs of a duration such as ``2 s``, ``500 ms``, ``5 min``, ``8 h``; a bare number is seconds.

    Raises:
        InvalidInputError: not a duration, or a negative one.
    """
    if isinstance(text, int | float):
        number, unit = float(text), "s"
    else:
        digits = text.strip()
        unit = digits.lstrip("0123456789.+-eE ").strip() or "s"
        number_text = digits[: len(digits) - len(unit)] if digits.endswith(unit) else digits
        try:
            number = float(number_text)
        except ValueError as error:
            raise InvalidInputError(f"{text!r} is not a duration", fix="write it like '2 s' or '5 min'") from error
    if unit not in _DURATION_UNITS or not 0 <= number < 1e9:
        raise InvalidInputError(
            f"{text!r} is not a duration", fix=f"use a number ≥ 0 and one of {', '.join(_DURATION_UNITS)}"
        )
    return round(number * _DURATION_UNITS[unit])


def moment_us(text: str, now: int, *, where: str = "") -> int:
    """Return the µs UTC of an ISO 8601 text, or of a time back from ``now`` (µs UTC) such as ``24 h``.

    Args:
        where: what the text was given as, for the error.

    Raises:
        InvalidInputError: it is neither.
    """
    for read in (from_iso, lambda text: now - duration_us(text)):
        try:
            return read(text)
        except InvalidInputError:
            continue
    raise InvalidInputError(
        f"{text!r} is no moment", where=where, fix="2026-11-24T08:00:00+08:00, or back from now such as '24 h'"
    )

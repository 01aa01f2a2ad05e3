"""Named samples decoded from text formats, with an error for each row and field that could not be used."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.quality import Quality
from anlan.core.time import from_iso

_BY_NAME = {code.name.lower().replace("_", "-"): int(code) for code in Quality}
# A bare number is seconds, milliseconds, microseconds or nanoseconds by its size: seconds reach the year 5138.
_SCALES = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0), (math.inf, 0.001))
PRECISIONS = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "u": 1.0, "µs": 1.0, "ns": 0.001, "n": 0.001}


@dataclass(slots=True)
class Rows:
    """Samples as parallel lists (times µs UTC), texts that are no samples, and errors that name row and field.

    ``raws`` holds, for each error, the row alone in the same format, so that it can be mended and sent again.
    """

    names: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    qualities: list[int] = field(default_factory=list)
    texts: list[tuple[str, int, str]] = field(default_factory=list)
    errors: list[DecodeError] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)

    def add(self, name: str, time: int, value: float, quality: int = 0) -> None:
        """Add one sample."""
        self.names.append(name)
        self.times.append(time)
        self.values.append(value)
        self.qualities.append(quality)

    def reject(self, row: int, field_name: str, message: str, fix: str, raw: bytes) -> None:
        """Note that ``field_name`` of ``row`` (from 1) cannot be used."""
        self.raws.append(raw)
        self.errors.append(DecodeError(message, where=f"row {row}, {field_name}", fix=fix))


def time_us(value: object, zone: ZoneInfo, *, scale: float | None = None) -> int:
    """Return the µs UTC of an ISO 8601 text or a number of seconds, ms, µs or ns since 1970.

    Args:
        value: what stands in the row.
        zone: zone of a text without offset.
        scale: µs per unit of a number; None tells the unit by the number's size.

    Raises:
        DecodeError: it is no time.
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            number = float(text)
        except ValueError:
            try:
                return from_iso(text, zone.key)
            except (InvalidInputError, OverflowError, ValueError) as error:
                raise DecodeError(f"{value!r} is no time", fix="ISO 8601, or a number since 1970") from error
        if scale in (None, 0.001) and text.isdigit() and number >= 1e17:
            return int(text) // 1_000  # nanoseconds do not fit a float exactly
        value = number
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DecodeError(f"{value!r} is no time", fix="ISO 8601, or a number since 1970")
    if scale is None:
        scale = next(factor for bound, factor in _SCALES if abs(value) < bound)
    if scale == 0.001 and isinstance(value, int):
        return value // 1_000
    if abs(value * scale) > 2**62:
        raise DecodeError(f"{value!r} is beyond all times", fix="a number since 1970")
    return round(value * scale)


def quality_of(value: object) -> int:
    """Return the quality code of a name such as ``good`` or ``bad-sensor``, or of a code 0 to 255.

    Raises:
        DecodeError: it is neither.
    """
    if value is None or value == "":
        return 0
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
        return value
    if isinstance(value, str) and value.strip().lower() in _BY_NAME:
        return _BY_NAME[value.strip().lower()]
    raise DecodeError(f"{value!r} is no quality", fix="good, uncertain, bad, bad-sensor … or 0 to 255")


def number_of(value: object) -> float:
    """Return a sample's value; true and false are 1 and 0, nothing is NaN.

    Raises:
        DecodeError: it is no number.
    """
    if value is None:
        return math.nan
    if isinstance(value, bool):
        return float(value)
    try:
        if isinstance(value, int | float | str):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise DecodeError(f"{value!r} is no number", fix="a decimal number")

"""Quality of a sample: one byte, after OPC UA Part 8: class in the two top bits, reason in the six below.

Bad or NaN never clears an alarm; uncertain is evaluated and shown as such.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

CLASS_MASK = 0xC0


class Quality(IntEnum):
    """Quality codes; ``code & CLASS_MASK`` is the class."""

    GOOD = 0x00
    GOOD_OVERRIDDEN = 0x01
    UNCERTAIN = 0x40
    UNCERTAIN_LAST_USABLE = 0x41
    UNCERTAIN_RANGE = 0x42
    UNCERTAIN_CALIBRATION_EXPIRED = 0x43
    UNCERTAIN_SUBSTITUTE = 0x44
    BAD = 0x80
    BAD_SENSOR = 0x81
    BAD_COMMUNICATION = 0x82
    BAD_NOT_CONNECTED = 0x83
    BAD_RANGE = 0x84
    BAD_NOT_A_NUMBER = 0x85
    BAD_CLOCK = 0x86
    BAD_CONFIGURATION = 0x87
    BAD_OUT_OF_SERVICE = 0x88
    BAD_STALE = 0x89
    BAD_CALIBRATING = 0x8A


def is_bad(quality: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where ``quality`` is of class bad."""
    return (quality & CLASS_MASK) >= 0x80


def describe(code: int) -> str:
    """Return a stable lower-case name of a quality code, such as ``bad-sensor``; unknown codes name their class."""
    try:
        return Quality(code).name.lower().replace("_", "-")
    except ValueError:
        return {0x00: "good", 0x40: "uncertain"}.get(code & CLASS_MASK, "bad")

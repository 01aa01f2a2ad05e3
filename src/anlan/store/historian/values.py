"""Values as decimals: what a 5-digit instrument says takes 5 digits to store, and comes back bit for bit.

A binary double of a decimal reading looks random in its low bits, so no general codec packs it well. Each value is
kept as an integer ``mantissa`` and a ``scale`` code if that gives back exactly the same 64 bits, and as the bits
themselves if not:

==============  ===========================================  ===============================
scale           value                                        for
==============  ===========================================  ===============================
0 … 15          mantissa / 10^scale                          decimal readings
64 … 79         float32(mantissa / 10^(scale - 64))          decimals that came as 32-bit floats
255             the bits of mantissa                         anything else, NaN, ±inf, -0.0
==============  ===========================================  ===============================

The idea is that of ALP (Afroozeh, Kuffó, Boncz: ALP: Adaptive Lossless floating-Point Compression, SIGMOD 2024),
done in plain columns so that any ClickHouse reads it without an experimental codec. ``VALUE_SQL`` is the way back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np
from numpy.typing import NDArray

DIGITS = 16
FLOAT32 = 64
BITS = 255
_LARGEST = float(1 << 53)
_NINE_DIGITS = 1_000_000_000
_WINDOW = 1024
_MISSES = 8
_SLOTS = 1 << 16
_POWERS = np.array([10.0**exponent for exponent in range(DIGITS)])

_powers_sql = "[" + ",".join(f"{power:.1f}" for power in _POWERS) + "]"
VALUE_SQL = (
    f"multiIf(scale < {FLOAT32}, mantissa / {_powers_sql}[scale + 1], "
    f"scale < {BITS}, toFloat64(toFloat32(mantissa / {_powers_sql}[scale - {FLOAT32 - 1}])), "
    "reinterpretAsFloat64(mantissa))"
)


@dataclass(frozen=True)
class SplitState:
    """What a writer remembers per point (by number modulo the slots): first code to try, samples and misses so far.

    A wrong memory costs bytes, never correctness.
    """

    code: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(_SLOTS, np.uint8))
    seen: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(_SLOTS, np.uint16))
    misses: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(_SLOTS, np.uint8))


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]  # numba has no types of its own
def _decimal(value: float, first: int, powers: NDArray[np.float64]) -> tuple[int, int]:
    for exponent in range(first, len(powers)):
        scaled = value * powers[exponent]
        if not abs(scaled) <= _LARGEST:
            break
        rounded = np.rint(scaled)
        if rounded / powers[exponent] == value:
            return int(rounded), exponent
    return 0, BITS


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]  # numba has no types of its own
def _decimal32(value: float, first: int, powers: NDArray[np.float64]) -> tuple[int, int]:
    if np.float64(np.float32(value)) != value:
        return 0, BITS
    for exponent in range(first, len(powers)):
        scaled = value * powers[exponent]
        if not abs(scaled) <= _LARGEST:
            break
        rounded = np.rint(scaled)
        if np.float64(np.float32(rounded / powers[exponent])) == value:
            return int(rounded), exponent + FLOAT32
    return 0, BITS


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]  # numba has no types of its own
def _code(value: float, known: int, powers: NDArray[np.float64]) -> tuple[int, int]:
    if known >= FLOAT32:
        mantissa, scale = _decimal32(value, known - FLOAT32, powers)
        if scale != BITS:
            return mantissa, scale
        mantissa, scale = _decimal(value, 0, powers)
        return mantissa, scale
    mantissa, scale = _decimal(value, known, powers)
    if scale != BITS and abs(mantissa) < _NINE_DIGITS:
        return mantissa, scale
    # Nine digits tell any 32-bit float; as a double the same number may need twice as many.
    single, single_scale = _decimal32(value, 0, powers)
    if single_scale != BITS:
        return single, single_scale
    return mantissa, scale


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore]  # numba has no types of its own
def _split(
    point: NDArray[np.int32],
    value: NDArray[np.float64],
    bits: NDArray[np.int64],
    powers: NDArray[np.float64],
    codes: NDArray[np.uint8],
    seen: NDArray[np.uint16],
    misses: NDArray[np.uint8],
    mantissa: NDArray[np.int64],
    scale: NDArray[np.uint8],
) -> None:
    for row in range(len(value)):
        slot = point[row] & (_SLOTS - 1)
        seen[slot] += 1
        if seen[slot] >= _WINDOW:
            seen[slot], misses[slot], codes[slot] = 0, 0, 0
        mantissa[row], scale[row] = bits[row], BITS
        number = value[row]
        # The sign of -0.0 is in no integer; NaN and ±inf have no digits.
        if codes[slot] == BITS or not np.isfinite(number) or (number == 0.0 and bits[row] != 0):
            continue
        found, code = _code(number, codes[slot], powers)
        if code != BITS:
            mantissa[row], scale[row], codes[slot] = found, code, code
            continue
        misses[slot] += 1
        if misses[slot] >= _MISSES:
            codes[slot] = BITS


def split(
    point: NDArray[np.int32], value: NDArray[np.float64], state: SplitState
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return mantissa and scale code of each value; ``join`` and ``VALUE_SQL`` give back the same 64 bits."""
    value = np.ascontiguousarray(value)
    mantissa = np.empty(len(value), np.int64)
    scale = np.empty(len(value), np.uint8)
    bits = value.view(np.int64)
    _split(point, value, bits, _POWERS, state.code, state.seen, state.misses, mantissa, scale)
    return mantissa, scale


def join(mantissa: NDArray[np.int64], scale: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the values of mantissas and scale codes (the NumPy reference of ``VALUE_SQL``)."""
    as_float = mantissa.astype(np.float64)
    decimal = as_float / _POWERS[np.minimum(scale, DIGITS - 1)]
    single = (as_float / _POWERS[np.clip(scale.astype(np.int64) - FLOAT32, 0, DIGITS - 1)]).astype(np.float32)
    return np.select(
        [scale < FLOAT32, scale < BITS], [decimal, single.astype(np.float64)], default=mantissa.view(np.float64)
    )

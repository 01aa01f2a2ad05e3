"""Exposure over time: concentration indoors, dose and toxic load, sheltering. Times in s."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.conventions import OutOfRangeError

Floats = NDArray[np.float64]


def _times(time: Floats, concentration: Floats) -> tuple[Floats, Floats]:
    t, c = np.asarray(time, dtype=np.float64), np.asarray(concentration, dtype=np.float64)
    if t.ndim != 1 or len(t) < 2 or c.shape[-1] != len(t) or np.any(~(np.diff(t) > 0.0)):
        raise OutOfRangeError("times that do not rise, or do not fit the concentrations", where="time",
                              fix="rising times, one a concentration along the last axis")  # fmt: skip
    if np.any(~(c >= 0.0)):
        raise OutOfRangeError("a concentration that is negative or no number", where="concentration", fix="0 or more")
    return t, c


def indoor(time: Floats, outdoor: Floats, air_changes: float, start: float = 0.0, filtered: float = 0.0) -> Floats:
    """Return the concentration indoors of dC/dt = λ(C_out − C), exact for outdoor values linear between the times.

    Args:
        time: s, (n,). outdoor: (…, n). air_changes: λ, 1/h. start: concentration indoors at the first time.
        filtered: share of the pollutant that the envelope holds back, 0…1.

    Raises:
        OutOfRangeError: times that do not rise, negative concentrations or air changes.
    """
    t, c = _times(time, outdoor)
    if not (air_changes >= 0.0 and 0.0 <= filtered <= 1.0):
        raise OutOfRangeError("air changes below 0 or a filter outside 0…1", where="air_changes", fix="0 or more per h")
    rate, inside = air_changes / 3600.0, np.empty_like(c)
    inside[..., 0] = start
    c = c * (1.0 - filtered)
    for i in range(1, len(t)):
        step = rate * (t[i] - t[i - 1])
        keep = np.exp(-step)
        # Mean of the decaying kernel; its series where the step is short.
        first = -np.expm1(-step) / step if step > 1e-6 else 1.0 - 0.5 * step
        inside[..., i] = inside[..., i - 1] * keep + c[..., i] * (1.0 - first) + c[..., i - 1] * (first - keep)
    return inside


def toxic_load(time: Floats, concentration: Floats, exponent: float = 1.0) -> Floats:
    """Return ∫Cⁿ dt from the first time to each time, in concentrationⁿ·s; trapezoid rule on Cⁿ.

    Raises:
        OutOfRangeError: times that do not rise, negative concentrations, or an exponent that is not above 0.
    """
    t, c = _times(time, concentration)
    if not 0.0 < exponent < 10.0:
        raise OutOfRangeError(f"a toxic exponent of {exponent:g}", where="exponent", fix="above 0, below 10")
    power = c**exponent
    parts = 0.5 * (power[..., 1:] + power[..., :-1]) * np.diff(t)
    return np.concatenate([np.zeros((*c.shape[:-1], 1)), np.cumsum(parts, axis=-1)], axis=-1)


def shelter_gain(
    time: Floats, outdoor: Floats, air_changes: float, exponent: float = 1.0, leave: float | None = None
) -> Floats:
    """Return the toxic load indoors over that outdoors: sheltering from the first time, in the open after ``leave``, s.

    1 where there is no load outdoors.
    """
    t, c = _times(time, outdoor)
    inside = indoor(t, c, air_changes)
    exposed = inside if leave is None else np.where(t >= leave, c, inside)
    load, free = toxic_load(t, exposed, exponent)[..., -1], toxic_load(t, c, exponent)[..., -1]
    return np.where(free > 0.0, load / np.maximum(free, 1e-300), 1.0)

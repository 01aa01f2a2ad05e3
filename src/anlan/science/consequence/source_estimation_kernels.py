"""The likelihood of a source, compiled: a steady plume seen from each detector, with errors of wind and model.

A plume's concentration depends only on where the detector lies from the source, so the field of one detector over all
candidate sources is a plume that runs upwind (reciprocity); for every candidate the best rate then follows directly.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from anlan.science.consequence.source_estimation_prepare import _PER_LOG, ABOVE, BELOW, LOW_LOG, MEASURED, STEPS

EAST, NORTH, EXCESS, TURN, SPEED, CLASS, WIDTH, START, ERROR = range(9)
PARAMETERS = 9
SMALLEST = -60.0
STRAY = 0.02
_STRAY_DENSITY = 1.0 / 7.0
_FREEDOM = 6.0
_STUDENT = math.lgamma((_FREEDOM + 1) / 2) - math.lgamma(_FREEDOM / 2) - 0.5 * math.log(_FREEDOM * math.pi)


@numba.njit(cache=True, nogil=True)
def _unit_plume(
    one: Any, place: Any, wind: Any, begin: float, end: float, height: float, log_y: Any, log_z: Any, log_u: Any,
    swing: float,
) -> Any:  # fmt: skip
    """Return ln of concentration by 1 kg/s at a detector in a stretch, and what the wind's swing makes of it (ln)."""
    cos, sin = math.cos(one[TURN]), math.sin(one[TURN])
    ahead_e, ahead_n = wind[1] * cos - wind[2] * sin, wind[1] * sin + wind[2] * cos
    de, dn = place[0] - one[EAST], place[1] - one[NORTH]
    x, y = de * ahead_e + dn * ahead_n, dn * ahead_e - de * ahead_n
    if x <= 1.0:
        return SMALLEST, 0.0
    kind = min(max(one[CLASS], 0.0), 4.999999)
    c = int(kind)
    fc = kind - c
    at = min((math.log(x) - LOW_LOG) * _PER_LOG, STEPS - 1.001)
    k = int(at)
    fk = at - k
    ly = (1.0 - fc) * (log_y[c, k] + fk * (log_y[c, k + 1] - log_y[c, k]))
    ly += fc * (log_y[c + 1, k] + fk * (log_y[c + 1, k + 1] - log_y[c + 1, k])) + one[WIDTH]
    lz = (1.0 - fc) * (log_z[c, k] + fk * (log_z[c, k + 1] - log_z[c, k]))
    lz += fc * (log_z[c + 1, k] + fk * (log_z[c + 1, k + 1] - log_z[c + 1, k]))
    lu = math.log(wind[0]) + one[SPEED] + log_u[c] + fc * (log_u[c + 1] - log_u[c])
    share = (end - one[START] - x * math.exp(-lu)) / (end - begin)
    if share <= 0.0:
        return SMALLEST, 0.0
    tight_y, tight_z = math.exp(-2.0 * ly), math.exp(-2.0 * lz)
    low, high = (place[2] - height) ** 2 * tight_z, (place[2] + height) ** 2 * tight_z
    up = math.log(math.exp(-0.5 * low) + math.exp(-0.5 * high) + 1e-26)
    value = up - 0.5 * y * y * tight_y - ly - lz - lu - math.log(2.0 * math.pi) + math.log(min(share, 1.0))
    return max(value, SMALLEST), min(x * abs(y) * tight_y * swing, 3.0)


@numba.njit(cache=True, nogil=True)
def _term(state: int, value: float, predicted: float, spread: float) -> float:
    """Return ln likelihood of one detector in one stretch: Student errors of the logarithm, a few strays anywhere."""
    z = (value - predicted) / spread
    if state == MEASURED:
        density = math.exp(_STUDENT - 0.5 * (_FREEDOM + 1.0) * math.log1p(z * z / _FREEDOM)) / spread
        return math.log((1.0 - STRAY) * density + STRAY * _STRAY_DENSITY)
    below = 1.0 / (1.0 + math.exp(-1.702 * z))
    return math.log((1.0 - STRAY) * (below if state == BELOW else 1.0 - below) + 0.5 * STRAY)


@numba.njit(cache=True, nogil=True, parallel=True)
def likelihoods(
    particles: Any, places: Any, state: Any, value: Any, limit: Any, begin: Any, end: Any, wind: Any, weight: Any,
    height: float, log_y: Any, log_z: Any, log_u: Any, swing: float, out: Any, best: Any,
) -> None:  # fmt: skip
    """Put ln likelihood of each particle in ``out``, and in ``best`` ln kg/s that its readings ask for.

    A particle's rate is best·exp(its excess): so rate and place are nearly independent.
    """
    detectors, stretches = state.shape
    for n in numba.prange(particles.shape[0]):
        one = particles[n]
        unit, unsure = np.empty((detectors, stretches)), np.empty((detectors, stretches))
        error = math.exp(one[ERROR])
        total, sum_ = 1e-9, 0.0
        for d in range(detectors):
            for b in range(stretches):
                if state[d, b] < 0:
                    continue
                unit[d, b], unsure[d, b] = _unit_plume(
                    one, places[d], wind[b], begin[b], end[b], height, log_y, log_z, log_u, swing
                )
                if (state[d, b] == MEASURED or state[d, b] == ABOVE) and unit[d, b] > SMALLEST:
                    w = weight[b] / (error * error + unsure[d, b] ** 2)
                    total += w
                    sum_ += w * (value[d, b] - unit[d, b])
        best[n] = sum_ / total
        rate, result = best[n] + one[EXCESS], 0.0
        for d in range(detectors):
            floor = 0.1 * limit[d]
            for b in range(stretches):
                if state[d, b] < 0:
                    continue
                plain = math.exp(min(rate + unit[d, b], 50.0))
                spread = math.sqrt(error * error + (unsure[d, b] * plain / (plain + floor)) ** 2)
                result += weight[b] * _term(state[d, b], value[d, b], math.log(plain + floor), spread)
        out[n] = result

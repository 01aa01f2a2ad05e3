"""Passive dispersion after Gauss: plume, puff, finite release, plume rise, and the compiled field of a plume.

C = Q/(2π u σy σz)·exp(−y²/2σy²)·[exp(−(z−H)²/2σz²) + exp(−(z+H)²/2σz²)] with images of the lid. Sources: Turner 1970;
EPA ISC3 User's Guide vol. II (EPA-454/B-95-003b); TNO Yellow Book (CPR 14E) 1997.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from anlan.science.consequence.conventions import GRAVITY, OutOfRangeError, Stability

Floats = NDArray[np.float64]

_IMAGES = 4
# Beyond 5 σ, 4e-6 of the axis, the compiled field is 0.
_CUT = 12.5
_NEAREST = 0.125
_FIRST_BITS = int(np.float32(_NEAREST).view(np.int32))
# 256 steps of the table to each doubling of the distance.
_SHIFT = 15


def vertical(z: Floats, height: float | Floats, sigma_z: Floats, lid: float = math.inf) -> Floats:
    """Return the vertical share, 1/m, of a source at ``height`` above reflecting ground under a ``lid`` (all m).

    ∫ from ground to lid is 1. The images of the lid are summed while σz is below 1.6 lids; above it the share is 1/lid
    (EPA ISC3 vol. II eq. 1-49 ff.).

    Raises:
        OutOfRangeError: the source is above the lid.
    """
    z, sigma = np.asarray(z, dtype=np.float64), np.asarray(sigma_z, dtype=np.float64)
    if np.any(np.asarray(height) > lid):
        raise OutOfRangeError("the source is above the lid", where="height", fix=f"at most {lid:g} m")
    images = range(-_IMAGES, _IMAGES + 1) if math.isfinite(lid) else range(1)
    total = np.zeros(np.broadcast_shapes(z.shape, sigma.shape, np.shape(height)))
    for n in images:
        shift = 2.0 * n * lid if n else 0.0
        total += np.exp(-(((z - height + shift) / sigma) ** 2) / 2.0)
        total += np.exp(-(((z + height + shift) / sigma) ** 2) / 2.0)
    share = total / (math.sqrt(2.0 * math.pi) * sigma)
    if not math.isfinite(lid):
        return share
    return np.where(z > lid, 0.0, np.where(sigma > 1.6 * lid, 1.0 / lid, share))


def plume(
    y: Floats,
    z: Floats,
    rate: float,
    wind: float,
    height: float,
    sigma_y: Floats,
    sigma_z: Floats,
    lid: float = math.inf,
) -> Floats:
    """Return the concentration, kg/m³, of a steady plume where its widths are ``sigma_y`` and ``sigma_z``, m.

    Args:
        y, z: crosswind distance and height of the receptors, m.
        rate: kg/s. wind: m/s at the height of release. height: m. lid: m.

    Raises:
        OutOfRangeError: a rate that is negative, a wind or width that is not above 0.
    """
    _check(rate, wind, sigma_y, sigma_z)
    y = np.asarray(y, dtype=np.float64)
    across = np.exp(-((y / sigma_y) ** 2) / 2.0) / (math.sqrt(2.0 * math.pi) * np.asarray(sigma_y))
    return rate / wind * across * vertical(z, height, sigma_z, lid)


def puff(
    along: Floats, y: Floats, z: Floats, mass: float, height: float, sigmas: tuple[Floats, Floats, Floats],
    lid: float = math.inf,
) -> Floats:  # fmt: skip
    """Return the concentration, kg/m³, of a puff of ``mass``, kg, with ``sigmas`` (σx, σy, σz), m.

    Args:
        along: distance of the receptors downwind of the puff's centre, m; ``y``, ``z`` crosswind and height.
        height: of the release, m. lid: m.

    Raises:
        OutOfRangeError: a mass that is negative or a width that is not above 0.
    """
    sigma_x, sigma_y, sigma_z = (np.asarray(one, dtype=np.float64) for one in sigmas)
    _check(mass, 1.0, np.minimum(sigma_x, sigma_y), sigma_z)
    flat = np.exp(-((np.asarray(along) / sigma_x) ** 2 + (np.asarray(y) / sigma_y) ** 2) / 2.0)
    return mass * flat / (2.0 * math.pi * sigma_x * sigma_y) * vertical(z, height, sigma_z, lid)


def passing(x: Floats, time: float | Floats, duration: float, wind: float, sigma_x: Floats) -> Floats:
    """Return the share of the steady concentration at ``x``, m, and ``time``, s, after the start of a finite release.

    Integral of puffs of constant width over the release: ½[erf((ut−x)/√2σx) − erf((u(t−T)−x)/√2σx)].
    """
    t, root = np.asarray(time, dtype=np.float64), math.sqrt(2.0) * np.asarray(sigma_x, dtype=np.float64)
    last = np.maximum(t - duration, 0.0) if math.isfinite(duration) else 0.0
    share = 0.5 * (erf((wind * t - x) / root) - erf((wind * last - x) / root))
    return np.where(t <= 0.0, 0.0, share)


def _check(amount: float, wind: float, sigma_y: Floats, sigma_z: Floats) -> None:
    if not (0.0 <= amount < math.inf):
        raise OutOfRangeError(f"a release of {amount:g} kg or kg/s", where="rate", fix="0 or more, finite")
    if not wind > 0.0:
        raise OutOfRangeError(f"a plume in wind of {wind:g} m/s", where="wind", fix="above 0 m/s")
    if np.any(~(np.asarray(sigma_y) > 0.0)) or np.any(~(np.asarray(sigma_z) > 0.0)):
        raise OutOfRangeError("a receptor at the source: the plume has no width there", where="x", fix="x above 0 m")


def plume_rise(
    x: Floats, exit_velocity: float, diameter: float, gas_temperature: float, air_temperature: float, wind: float,
    stability: Stability,
) -> Floats:  # fmt: skip
    """Return the rise, m, of a hot stack plume at ``x``, m, after Briggs as in EPA ISC3 vol. II section 1.1.4.

    Args:
        exit_velocity: m/s; diameter: m; temperatures: K; wind: m/s at the stack's top.

    Raises:
        OutOfRangeError: gas colder than the air (a dense plume does not rise), or no wind.
    """
    if gas_temperature < air_temperature or not wind > 0.0:
        raise OutOfRangeError("plume rise of gas colder than the air, or without wind", where="temperature",
                              fix="gas at least as warm as the air, wind above 0 m/s")  # fmt: skip
    difference = gas_temperature - air_temperature
    flux = GRAVITY * exit_velocity * diameter**2 * difference / (4.0 * gas_temperature)
    momentum = exit_velocity**2 * diameter**2 * air_temperature / (4.0 * gas_temperature)
    gradient = {Stability.E: 0.02, Stability.F: 0.035}.get(stability)
    if gradient is None:
        final, reach = _neutral_rise(flux, difference, gas_temperature, exit_velocity, diameter, wind)
    else:
        s = GRAVITY / air_temperature * gradient
        crossover = 0.019582 * gas_temperature * exit_velocity * math.sqrt(s)
        by_momentum = min(3.0 * diameter * exit_velocity / wind, 1.5 * (momentum / (wind * math.sqrt(s))) ** (1 / 3))
        by_heat = min(2.6 * (flux / (wind * s)) ** (1 / 3), 4.0 * flux**0.25 * s**-0.375)
        final = by_heat if difference >= crossover else by_momentum
        reach = 2.0715 * wind / math.sqrt(s)
    rising = 1.6 * flux ** (1 / 3) * np.maximum(np.asarray(x, dtype=np.float64), 0.0) ** (2 / 3) / wind
    return np.where((np.asarray(x) < reach) & (flux > 0.0), np.minimum(rising, final), final)


def _neutral_rise(
    flux: float, difference: float, temperature: float, velocity: float, diameter: float, wind: float
) -> tuple[float, float]:
    low = flux < 55.0
    if low:
        crossover = 0.0297 * temperature * velocity ** (1 / 3) / diameter ** (2 / 3)
    else:
        crossover = 0.00575 * temperature * velocity ** (2 / 3) / diameter ** (1 / 3)
    if difference < crossover:
        return 3.0 * diameter * velocity / wind, 0.0
    if low:
        return 21.425 * flux**0.75 / wind, 49.0 * flux**0.625
    return 38.71 * flux**0.6 / wind, 119.0 * flux**0.4


def final_rise(flux: float, wind: float) -> float:
    """Return the final rise, m, of buoyancy flux ``flux``, m⁴/s³, in neutral or unstable air (Briggs, as ISC3)."""
    return float((21.425 * flux**0.75 if flux < 55.0 else 38.71 * flux**0.6) / wind)


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _field_kernel(  # pragma: no cover - compiled
    east: Any, north: Any, x0: float, y0: float, cos: float, sin: float, widest: float, peak: Any, tight: Any, out: Any
) -> None:
    """Look the distance up by the leading bits of its own float32: linear between, with no logarithm a receptor."""
    last = len(peak) - 2
    for i in numba.prange(len(east)):
        dx = east[i] - x0
        dy = north[i] - y0
        x = dx * cos + dy * sin
        across = dy * cos - dx * sin
        value = numba.float32(0.0)
        if x > numba.float32(_NEAREST) and abs(across) < widest * x:
            bits = np.float32(x).view(np.int32) - np.int32(_FIRST_BITS)
            k: Any = min(bits >> _SHIFT, last)
            f = numba.float32(bits & ((1 << _SHIFT) - 1)) * numba.float32(1.0 / (1 << _SHIFT))
            depth = across * across * (tight[k] + f * (tight[k + 1] - tight[k]))
            if depth < numba.float32(_CUT):
                value = (peak[k] + f * (peak[k + 1] - peak[k])) * math.exp(-depth)
        out[i] = value


class PlumeTable:
    """The centreline of a plume and its width, by distance, for fields over very many receptors at one height.

    Args:
        centre: function of downwind distances (m) to concentrations on the axis at the wanted height, kg/m³.
        width: function of downwind distances (m) to σy, m.
        reach: m, up to where the table goes; beyond it the last value holds.
    """

    def __init__(self, centre: Any, width: Any, reach: float = 1e5) -> None:
        count = ((int(np.float32(reach).view(np.int32)) - _FIRST_BITS) >> _SHIFT) + 2
        bits = (_FIRST_BITS + (np.arange(count, dtype=np.int64) << _SHIFT)).astype(np.int32)
        x = bits.view(np.float32).astype(np.float64)
        sigma = np.asarray(width(x), dtype=np.float64)
        self._peak = np.asarray(centre(x), dtype=np.float32)
        self._tight = (0.5 / sigma**2).astype(np.float32)
        self._widest = np.float32(math.sqrt(2.0 * _CUT) * float(np.max(sigma / x)))

    def field(self, east: Any, north: Any, origin: tuple[float, float], towards: float, out: Any = None) -> Any:
        """Return float32 concentrations, kg/m³, at places ``east``, ``north`` (float32 arrays, m).

        Args:
            origin: of the release, m east and north.
            towards: angle of travel, radians counterclockwise from east.
            out: array to write to.
        """
        east, north = np.ascontiguousarray(east, np.float32), np.ascontiguousarray(north, np.float32)
        result = np.empty(east.shape, np.float32) if out is None else out
        one = np.float32
        _field_kernel(
            east.ravel(), north.ravel(), one(origin[0]), one(origin[1]), one(math.cos(towards)), one(math.sin(towards)),
            self._widest, self._peak, self._tight, result.reshape(-1),
        )  # fmt: skip
        return result

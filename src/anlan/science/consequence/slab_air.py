"""The air of the slab model: Ermak's profile of wind and turbulence (SLAB manual UCRL-MA-105607, 1990), compiled.

Units SI. ``Air`` is a tuple of plain numbers, so that compiled functions take it as it is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba

from anlan.science.consequence.conventions import OutOfRangeError

KARMAN = 0.41
GRAVITY = 9.80665
GAS_CONSTANT = 8.31431
AIR_MASS = 0.02896
WATER_MASS = 0.01802
CP_AIR = 1005.87
CP_STEAM = 1846.0
_STRONGEST = 3.5
_STANDARD = 101_325.0


class Air(NamedTuple):
    """Ambient state.

    ``s`` stability class minus 4; ``inverse_la`` 1/La, ``inverse_l0`` 1/L0, 1/m; ``zl``, ``depth`` (H), ``z0`` m;
    ``friction`` u*a, m/s; ``temperature`` K; ``pressure`` Pa; ``density`` kg/m³; ``water`` mass fraction;
    ``molar_mass`` kg/mol; ``phi_far``, ``gamma`` of the unstable profile; ``slope``, ``bend`` of the
    parabola below ``bottom``, m; ``spread`` A, 1: rate of spread over 10 s; ``at4``, ``at2`` F at 4 m and U at 2 m.
    """

    s: float
    inverse_la: float
    inverse_l0: float
    zl: float
    depth: float
    z0: float
    friction: float
    temperature: float
    pressure: float
    density: float
    water: float
    molar_mass: float
    phi_far: float
    gamma: float
    slope: float
    bend: float
    bottom: float
    spread: float
    at4: float
    at2: float


def make_air(
    wind: float, height: float, roughness: float, temperature: float, humidity: float,
    stability: float, inverse_length: float | None = None, pressure: float = _STANDARD,
) -> Air:  # fmt: skip
    """Return the air of the slab model.

    Args:
        wind: m/s at ``height``, m. roughness: z0, m. temperature: K. humidity: relative, 0…1.
        stability: 1 (A) … 6 (F), may be broken; ignored where ``inverse_length``, 1/La in 1/m, is given.

    Raises:
        OutOfRangeError: wind or roughness that is not above 0.
    """
    if not (wind > 0.0 and roughness > 0.0):
        raise OutOfRangeError("the slab model needs wind and roughness above 0", where="wind", fix="above 0")
    s, inverse_la = _stability(stability, inverse_length, roughness)
    zl = math.exp(-0.8 * s) if s < 0.0 else 1.0 + 0.8 * s
    inverse_l0 = inverse_la * (1.0 + max(height, 3.0) / zl)
    depth = 130.0 * 2.0 ** (3.0 - s)
    phi_far = (1.0 - 16.0 * zl * inverse_l0) ** -0.25 if inverse_l0 < 0.0 else 1.0
    gamma = -8.0 * inverse_l0 / (1.0 - phi_far) if inverse_l0 < 0.0 else 0.0
    fraction = min(humidity * math.exp(15.08 - 5514.0 / temperature) * _STANDARD / pressure, 0.9)
    molar = AIR_MASS + fraction * (WATER_MASS - AIR_MASS)
    air = Air(
        s=s, inverse_la=inverse_la, inverse_l0=inverse_l0, zl=zl, depth=depth, z0=roughness, friction=0.0,
        temperature=temperature, pressure=pressure, density=pressure * molar / (GAS_CONSTANT * temperature),
        water=WATER_MASS * fraction / molar, molar_mass=molar, phi_far=phi_far, gamma=gamma, slope=0.0, bend=0.0,
        bottom=math.e * roughness, spread=0.0, at4=0.0, at2=0.0,
    )  # fmt: skip
    z1 = air.bottom
    f1, slope1 = _upper(z1, air), _gradient(z1, air)
    air = air._replace(slope=2.0 * f1 / z1 - slope1, bend=(slope1 * z1 - f1) / z1**2)
    friction = KARMAN * wind / profile(height, air)
    at2 = friction / KARMAN * profile(2.0, air)
    rough = math.sqrt(friction / at2 / 0.086)
    damp = 1.0 / (1.0 + 10.0 * rough * inverse_la) if inverse_la >= 0.0 else 1.0 - 10.0 * rough * inverse_la
    return air._replace(
        friction=friction, at2=at2, at4=profile(4.0, air), spread=0.08 * (10.0 / 900.0) ** 0.2 * damp
    )  # fmt: skip


def _stability(stability: float, inverse_length: float | None, z0: float) -> tuple[float, float]:
    """Return s and 1/La, either from the other."""
    a1 = 0.0081 * z0**-0.3044
    if z0 <= 0.0111:
        a2 = a1 + 0.0137 * z0**-0.1715 + 0.0218
        a3 = a2 + 0.0557
    else:
        a2, a3 = 0.0385 * z0**-0.1715, 0.0875 * z0**-0.1028
    n2, n3 = math.log2(a2 / a1), math.log(a3 / a1) / math.log(3.0)
    far = 2.0 * n3 - n2

    def strength(size: float) -> float:
        power = n2 if size < 2.0 else far + (n2 - far) / (1.0 + (size - 2.0) ** 2)
        return float(a1 * size**power)

    if inverse_length is None:
        s = min(max(stability - 4.0, -_STRONGEST), _STRONGEST)
        return s, math.copysign(strength(abs(s)), s) if s else 0.0
    low, high, wanted = 0.0, _STRONGEST, abs(inverse_length)
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if strength(middle) < wanted else (low, middle)
    size = 0.5 * (low + high)
    return math.copysign(size, inverse_length), math.copysign(min(wanted, strength(_STRONGEST)), inverse_length)


@numba.njit(cache=True, nogil=True)
def _upper(z: float, air: Air) -> float:  # pragma: no cover - compiled
    """F above the parabola."""
    z0, depth = air.z0, air.depth
    base = math.log(z / z0)
    if air.inverse_l0 >= 0.0:
        zl = air.zl
        bent = (1.0 + zl / depth) * math.log((z + zl) / (z0 + zl)) - (z - z0) / depth
        return base - (z - z0) / depth + 5.0 * zl * air.inverse_l0 * bent
    x, x0 = math.sqrt(1.0 + air.gamma * z), math.sqrt(1.0 + air.gamma * z0)
    bent = math.log((1.0 + x) / (1.0 + x0)) + (x - x0) / (air.gamma * depth)
    return base - air.phi_far * (z - z0) / depth - 2.0 * (1.0 - air.phi_far) * bent


@numba.njit(cache=True, nogil=True)
def phi_wind(z: float, air: Air) -> float:  # pragma: no cover - compiled
    """Return the dimensionless gradient of the wind at ``z``, m."""
    if air.inverse_l0 >= 0.0:
        return 1.0 + 5.0 * z * air.inverse_l0 / (1.0 + z / air.zl)
    return air.phi_far + (1.0 - air.phi_far) / math.sqrt(1.0 + air.gamma * z)


@numba.njit(cache=True, nogil=True)
def _gradient(z: float, air: Air) -> float:  # pragma: no cover - compiled
    return float(phi_wind(z, air) * (1.0 - z / air.depth) / z)


@numba.njit(cache=True, nogil=True)
def profile(z: float, air: Air) -> float:  # pragma: no cover - compiled
    """Return F(z): the wind over u*a/k at ``z``, m; above the layer's depth that of its top."""
    if z < air.bottom:
        return air.slope * z + air.bend * z * z
    return float(_upper(min(z, air.depth), air))


@numba.njit(cache=True, nogil=True)
def _primitive(z: float, air: Air) -> float:  # pragma: no cover - compiled
    """∫F dz above the parabola."""
    z0, depth = air.z0, air.depth
    base = z * math.log(z / z0) - z
    square = (0.5 * z * z - z0 * z) / depth
    if air.inverse_l0 >= 0.0:
        zl = air.zl
        bent = (1.0 + zl / depth) * ((z + zl) * math.log((z + zl) / (z0 + zl)) - z) - square
        return base - square + 5.0 * zl * air.inverse_l0 * bent
    x, x0 = math.sqrt(1.0 + air.gamma * z), math.sqrt(1.0 + air.gamma * z0)
    logs = z * math.log((1.0 + x) / (1.0 + x0)) - (0.5 * x * x - x) / air.gamma
    roots = 2.0 * x * x * x / (3.0 * air.gamma) - x0 * z
    return base - air.phi_far * square - 2.0 * (1.0 - air.phi_far) * (logs + roots / (air.gamma * depth))


@numba.njit(cache=True, nogil=True)
def mean_wind(height: float, air: Air) -> float:  # pragma: no cover - compiled
    """Return the mean wind, m/s, from ground to ``height``, m: never above that at ``height``."""
    z = max(height, 1e-6)
    low = min(z, air.bottom)
    total = 0.5 * air.slope * low * low + air.bend * low * low * low / 3.0
    if z > air.bottom:
        top = min(z, air.depth)
        total += _primitive(top, air) - _primitive(air.bottom, air)
        total += max(z - air.depth, 0.0) * _upper(air.depth, air)
    return float(air.friction / KARMAN * min(total / z, profile(z, air)))

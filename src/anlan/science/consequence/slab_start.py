"""How the slab model starts: horizontal jet, vertical jet (Hoot, Meroney & Peterka 1973), evaporating pool.

As Ermak, User's Manual for SLAB, UCRL-MA-105607 (1990), describes them, in our own words and code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence import slab_plume as p
from anlan.science.consequence.conventions import GRAVITY, OutOfRangeError
from anlan.science.consequence.gas import Gas
from anlan.science.consequence.slab_air import KARMAN, Air, mean_wind, profile
from anlan.science.consequence.slab_plume import FLYING, GROUNDED, Source
from anlan.science.consequence.slab_state import CF, Matter, ambient_enthalpy, equilibrium, source_enthalpy

Floats = NDArray[np.float64]


def jet_start(release: Any, gas: Gas, air: Air, matter: Matter) -> tuple[Floats, float, float, Floats, float, float]:
    """Return state, x, flying, last state, excess momentum and first x of a horizontal jet of expanded area."""
    rho = gas.density(release.temperature, 1.0 - release.liquid, air.pressure)
    u = release.rate / (rho * release.area)
    half = 0.5 * math.sqrt(release.area)
    h, flying = 2.0 * half, FLYING
    if release.height <= 0.5 * h:
        half = 0.5 * (math.sqrt(release.height**2 + 2.0 * release.area) - release.height)
        h, flying = half + release.height, GROUNDED
    y = np.zeros(p.INTEGRATED)
    y[p.R] = 0.5 * release.rate
    y[p.B], y[p.CORE], y[p.CENTRE] = half, 0.9 * half, release.height
    y[p.HEAT] = y[p.R] * source_enthalpy(matter, release.temperature, release.liquid)
    excess = float(y[p.R]) * u
    if flying == GROUNDED and rho > air.density:
        excess += 0.125 * GRAVITY * (rho - air.density) * half * h * h
    return y, 1.0, flying, np.array([0.0, rho, release.temperature, u, h, half, flying]), excess, 1.0


def pool_start(
    release: Any, gas: Gas, air: Air, matter: Matter, half: float, far: float, steps: int
) -> tuple[Floats, float, Floats, Source, float, float]:
    """Return state, x, last state, source, first step and growth of a pool with half length ``half``, m."""
    rho = gas.vapour_density(release.temperature, air.pressure)
    source = Source(
        release.rate, -half, half, release.rate / (rho * release.area),
        source_enthalpy(matter, release.temperature, 0.0), 1.0,
    )  # fmt: skip
    step = 2e-3 * half
    reach = max(far + half, 2.0 * half)
    growth = _growth(reach / step, steps)
    h = 1e-2 * step
    for _ in range(60):
        u = mean_wind(h, air)
        lift = math.sqrt(3.0) * 1.5 * KARMAN * air.friction * air.at4 / max(profile(h, air), 1e-6)
        # The height grows from nothing as its root: entrainment is fastest where the layer is thin.
        h = max(0.5 * (h + min(lift / max(u, 1e-3), 1.0) * 0.5 * step), 0.2 * air.z0)
    u = mean_wind(h, air)
    y = np.zeros(p.INTEGRATED)
    y[p.R] = air.density * u * half * h
    y[p.B], y[p.CORE] = half, 0.9 * half
    y[p.HEAT] = y[p.R] * ambient_enthalpy(air)
    return y, -half, np.array([0.0, air.density, air.temperature, u, h, half, GROUNDED]), source, step, growth


def _growth(total: float, steps: int) -> float:
    """Return the ratio of steps whose sum is ``total`` first steps."""
    low, high = 1.0 + 1e-9, 1.5
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (middle**steps - 1.0) / (middle - 1.0) < total else (low, middle)
    return 0.5 * (low + high)


def vertical_start(
    release: Any, gas: Gas, air: Air, matter: Matter
) -> tuple[Floats, float, float, Floats, float, float]:
    """Return the start of a dense vertical jet: where its rise ends, bent over and diluted.

    Raises:
        OutOfRangeError: the gas is not denser than the air: it rises, which this model does not describe.
    """
    rho = gas.density(release.temperature, 1.0 - release.liquid, air.pressure)
    if rho <= air.density:
        raise OutOfRangeError(
            "a vertical jet lighter than the air", where="kind", fix="plume rise and a Gaussian plume"
        )
    ws, bs, hs = release.rate / (rho * release.area), 0.5 * math.sqrt(release.area), release.height
    ds = 4.0 * bs / math.sqrt(math.pi)
    wind = mean_wind(max(hs, 1.0), air)
    k, s = ws / wind, rho / air.density
    froude2 = ws * ws / (GRAVITY * ds * (s - 1.0))
    momentum = 1.0363 * ws * bs / ((0.4 + 1.2 * wind / ws) * math.sqrt(wind * air.friction))
    hm = momentum
    for _ in range(60):
        hm = (momentum**6 * (hs + hm)) ** (1.0 / 7.0)
    hd = 1.32 * ds * (k * s * froude2) ** (1.0 / 3.0)
    rise = hm * hd / math.hypot(hm, hd)
    along = 0.435 * rise**3 / (s * (ds * k) ** 2)
    peak = min(0.99, 1.69 * k / (rise / ds) ** 1.85)
    c = (0.5236 * (1.0 - peak) + peak) * peak
    m = c * gas.molar_mass / (air.molar_mass + c * (gas.molar_mass - air.molar_mass))
    heat = m * source_enthalpy(matter, release.temperature, release.liquid) + (1.0 - m) * ambient_enthalpy(air)
    t, density, *_ = equilibrium(m, heat, 0.5 * (release.temperature + air.temperature), air, matter)
    ua = mean_wind(hs + rise, air)
    drag = min(3.0 * (2.0 + along / bs) * CF, 0.45)
    root = math.sqrt((1.0 - m) ** 2 + 4.0 * m * drag)
    u = max(ua / 2.0 / (1.0 - drag) * (1.0 - m - 2.0 * drag + root), 0.2 * ua)
    aspect = 2.4 + 1.6 / (1.0 + along**2 / (100.0 * bs * bs))
    half = math.sqrt(release.rate / (density * u * m * aspect))
    core = 0.9 * math.sqrt(release.rate / (density * u * aspect))
    h = release.rate / (2.0 * half * density * u * m)
    y = np.zeros(p.INTEGRATED)
    y[p.R] = density * u * half * h
    y[p.B], y[p.CORE], y[p.CENTRE] = half, min(core, 0.9 * half), hs + rise
    y[p.HEAT] = y[p.R] * heat
    flying = FLYING if y[p.CENTRE] > 0.5 * h else GROUNDED
    excess = float(y[p.R]) * (u - (1.0 - m) * mean_wind(hs + rise + 0.5 * h, air))
    x = 1.0 + along
    return y, x, flying, np.array([0.0, density, t, u, h, half, flying]), excess, x

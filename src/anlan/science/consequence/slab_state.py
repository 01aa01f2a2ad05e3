"""Thermodynamics and turbulence of the slab model: droplets in equilibrium, entrainment, friction; compiled.

Equations: Ermak, User's Manual for SLAB, UCRL-MA-105607 (1990), in our own words and code. Units SI.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba

from anlan.science.consequence.gas import Gas
from anlan.science.consequence.slab_air import AIR_MASS, CP_AIR, CP_STEAM, GRAVITY, KARMAN, WATER_MASS, Air

CF = 0.02
CT = 0.14
CP_WATER = 4178.0
LATENT_WATER = 2.441e6
WATER_REFERENCE = 298.2
WATER_DENSITY = 1000.0


class Matter(NamedTuple):
    """What is released: properties of the gas (``Gas``), with saturation p/p_air = exp(a − b/(T + c))."""

    molar_mass: float
    cp_vapour: float
    boiling: float
    latent: float
    cp_liquid: float
    liquid_density: float
    a: float
    b: float
    c: float


def make_matter(gas: Gas, air: Air) -> Matter:
    """Return a gas as the compiled functions take it; its boiling point stays that at 101 325 Pa."""
    a, b, c = gas.saturation
    return Matter(
        gas.molar_mass, gas.cp_vapour, gas.boiling_point, gas.latent_heat, gas.cp_liquid, gas.liquid_density,
        a + math.log(101_325.0 / air.pressure), b, c,
    )  # fmt: skip


def ambient_enthalpy(air: Air) -> float:
    """Return the enthalpy of the air, J/kg above 0 K of its vapour state."""
    return ((1.0 - air.water) * CP_AIR + air.water * CP_STEAM) * air.temperature


def source_enthalpy(matter: Matter, temperature: float, liquid: float) -> float:
    """Return the enthalpy, J/kg, of the released matter with a mass share ``liquid`` of droplets."""
    m = matter
    drop = m.cp_liquid * temperature - m.latent - m.boiling * (m.cp_liquid - m.cp_vapour)
    return (1.0 - liquid) * m.cp_vapour * temperature + liquid * drop


@numba.njit(cache=True, nogil=True)
def vapours(t: float, m: float, air: Air, gas: Any) -> Any:  # pragma: no cover - compiled
    """Return the mass shares that are vapour at ``t``, K, of the species (total ``m``) and of water."""
    dry = (1.0 - m) * (1.0 - air.water) / AIR_MASS
    water = (1.0 - m) * air.water
    fe = math.exp(min(gas.a - gas.b / max(t + gas.c, 1.0), 1.0))
    fw = math.exp(min(15.08 - 5514.0 / t, 1.0)) * 101325.0 / air.pressure
    e, w = m, water
    for _ in range(3):
        if fe < 1.0:
            e = min(m, gas.molar_mass * fe / (1.0 - fe) * (dry + w / WATER_MASS))
        w_old = w
        if fw < 1.0:
            w = min(water, WATER_MASS * fw / (1.0 - fw) * (dry + e / gas.molar_mass))
        if abs(w - w_old) <= 1e-9:
            break
    return e, w


@numba.njit(cache=True, nogil=True)
def enthalpy(t: float, m: float, air: Air, gas: Any) -> Any:  # pragma: no cover - compiled
    """Return the mixture's enthalpy, J/kg, with the vapour shares of species and water."""
    e, w = vapours(t, m, air, gas)
    total = (1.0 - m) * (1.0 - air.water) * CP_AIR * t + w * CP_STEAM * t + e * gas.cp_vapour * t
    total += ((1.0 - m) * air.water - w) * (CP_WATER * t - LATENT_WATER - WATER_REFERENCE * (CP_WATER - CP_STEAM))
    total += (m - e) * (gas.cp_liquid * t - gas.latent - gas.boiling * (gas.cp_liquid - gas.cp_vapour))
    return total, e, w


@numba.njit(cache=True, nogil=True)
def equilibrium(m: float, h: float, guess: float, air: Air, gas: Any) -> Any:  # pragma: no cover - compiled
    """Return temperature, density, cp and vapour shares (species, water) of a mixture of enthalpy ``h``, J/kg.

    Regula falsi (Illinois) around ``guess``: the enthalpy grows with the temperature.
    """
    low, high = guess - 0.5, guess + 0.5
    at_low, at_high = enthalpy(low, m, air, gas)[0] - h, enthalpy(high, m, air, gas)[0] - h
    width = 1.0
    while at_low > 0.0 and low > 30.0:
        high, at_high = low, at_low
        width *= 2.0
        low = max(low - width, 30.0)
        at_low = enthalpy(low, m, air, gas)[0] - h
    while at_high < 0.0 and high < 3000.0:
        low, at_low = high, at_high
        width *= 2.0
        high += width
        at_high = enthalpy(high, m, air, gas)[0] - h
    t, side = 0.5 * (low + high), 0
    for _ in range(60):
        if at_high == at_low:
            break
        t = high - at_high * (high - low) / (at_high - at_low)
        at = enthalpy(t, m, air, gas)[0] - h
        if abs(at) < 1e-6 * CP_AIR * 300.0 or high - low < 1e-9:
            break
        if at > 0.0:
            high, at_high = t, at
            at_low = 0.5 * at_low if side == 1 else at_low
            side = 1
        else:
            low, at_low = t, at
            at_high = 0.5 * at_high if side == -1 else at_high
            side = -1
    at, e, w = enthalpy(t, m, air, gas)
    if m > 0.0 and abs(h - at) > 1.0:
        # Nearly pure and boiling: the temperature stands still, the share of vapour follows from the enthalpy.
        latent = gas.latent + (gas.cp_vapour - gas.cp_liquid) * (t - gas.boiling)
        e = min(max(e + (h - at) / latent, 0.0), m)
    return properties(t, m, e, w, air, gas)


@numba.njit(cache=True, nogil=True)
def properties(t: float, m: float, e: float, w: float, air: Air, gas: Any) -> Any:  # pragma: no cover - compiled
    """Return temperature, density, cp and vapour shares of a mixture at ``t``, K."""
    dry, water = (1.0 - m) * (1.0 - air.water), (1.0 - m) * air.water
    alpha = air.molar_mass * (dry / AIR_MASS + w / WATER_MASS + e / gas.molar_mass)
    beta = air.density * ((water - w) / WATER_DENSITY + (m - e) / gas.liquid_density)
    density = air.density * air.temperature / (alpha * t + beta * air.temperature)
    cp = dry * CP_AIR + w * CP_STEAM + (water - w) * CP_WATER + e * gas.cp_vapour + (m - e) * gas.cp_liquid
    return t, density, cp, e, w


@numba.njit(cache=True, nogil=True)
def _phi(y: float) -> float:  # pragma: no cover - compiled
    return 1.0 + 5.0 * y if y >= 0.0 else 1.0 / math.sqrt(1.0 - 16.0 * y)


@numba.njit(cache=True, nogil=True)
def friction_velocity(  # pragma: no cover - compiled
    rho: float, t: float, u: float, ua: float, vg: float, ug: float, h: float, lofted: bool, source: float, air: Air
) -> Any:
    """Return u*², ub² and V_H of a cloud that spreads at ``vg``, ``ug``; ``source`` is what a pool adds to ub²."""
    shear = air.density / rho * (ua - u)
    side = 0.5 * air.density / rho * vg
    mixing = CF * (shear * shear + side * side)
    ratio = air.friction / ua
    if lofted:
        return air.friction * air.friction + 2.0 * mixing, air.friction * air.friction + mixing, 0.0
    ub2 = ratio * ratio * (u * u + 0.25 * (vg * vg + ug * ug)) + source
    heat = ratio * math.sqrt(ub2)
    ut2 = 0.0
    if air.temperature > t:
        mean = 0.5 * (air.temperature + t)
        ut2 = (CT * GRAVITY * (air.temperature - t) * heat * h / mean) ** (2.0 / 3.0)
    return ub2 + mixing + ut2, ub2, heat


@numba.njit(cache=True, nogil=True)
def entrainment(  # pragma: no cover - compiled
    rho: float, star2: float, h: float, top: float, f_top: float, air: Air
) -> float:
    """Return the velocity, m/s, at which air comes in through top (and underside) of the cloud, without the √3."""
    star = math.sqrt(star2)
    dense = max(0.0, 0.025 * GRAVITY * (rho - air.density) / rho)
    inverse = (air.inverse_l0 / (1.0 + top / air.zl) * air.friction**2 + dense) / star2
    share = max(1.0 - top / air.depth, 0.0) / _phi(top * inverse)
    if top > 1.01 * h:
        share += max(1.0 - (top - h) / air.depth, 0.0) / _phi((top - h) * inverse)
    return float(1.5 * KARMAN * star * air.at4 / f_top * share)


@numba.njit(cache=True, nogil=True)
def side_entrainment(  # pragma: no cover - compiled
    rho: float, u: float, ua: float, half_width: float, air: Air
) -> float:
    """Return the velocity, m/s, at which air comes in through a side ``half_width`` from the axis, without the √3."""
    shear = air.density / rho * (ua - u)
    ambient = air.spread * ua / (1.0 + 2e-4 / air.spread * half_width / math.sqrt(3.0))
    return math.sqrt(ambient * ambient + CF * (1.5 * KARMAN * shear) ** 2)


@numba.njit(cache=True, nogil=True)
def slowed(flux0: float, distance: float, change: float) -> float:  # pragma: no cover - compiled
    """Return the change of flux·quantity by friction: towards equilibrium, and never past it."""
    away = flux0 * abs(distance)
    if away <= 0.0 or change == 0.0:
        return 0.0
    return -math.copysign(away, distance) * abs(change) / (abs(change) + away)


@numba.njit(cache=True, nogil=True)
def kept(flux0: float, speed: float, change: float) -> float:  # pragma: no cover - compiled
    """Return what share of a speed friction leaves."""
    away = flux0 * abs(speed)
    return away / (away + abs(change)) if away > 0.0 else 1.0

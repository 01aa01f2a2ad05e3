"""The steady plume of the slab model, marched downwind by Runge-Kutta steps; compiled.

Half a plume (y > 0): B half width, b half width of its core, h height, m mass fraction of the species, R = ρ U B h mass
flux. Equations: Ermak, User's Manual for SLAB, UCRL-MA-105607 (1990), in our own words and code. Units SI.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from anlan.science.consequence.slab_air import GRAVITY, Air, mean_wind, profile
from anlan.science.consequence.slab_state import (
    CF,
    entrainment,
    equilibrium,
    friction_velocity,
    kept,
    side_entrainment,
    slowed,
)

ROOT3 = math.sqrt(3.0)
# What a step integrates: mass flux, half width, core, R·Vg, R·Wc, height of centre, R·H, ∫ρBhm dx, time, and friction
# on speed, spread, heat, lift.
R, B, CORE, SPREAD, LIFT, CENTRE, HEAT, HELD, TIME, F_SPEED, F_SPREAD, F_HEAT, F_LIFT = range(13)
INTEGRATED = 13
# What a station records.
COLUMNS = (
    "x", "zc", "h", "bb", "b", "bbx", "bx", "cv", "rho", "t", "u", "uab", "cm", "cmev", "cmwv", "wc", "vg", "ug", "w",
    "v", "vx", "time", "held", "lofted",
)  # fmt: skip
RECORDED = len(COLUMNS)
FLYING, GROUNDED = 1.0, 0.0


class Source(NamedTuple):
    """Source: rate kg/s, ``start`` and ``end`` x of a pool, m, ``speed`` Ws, m/s, enthalpy, J/kg, 1 for a pool."""

    rate: float
    start: float
    end: float
    speed: float
    enthalpy: float
    pool: float


@numba.njit(cache=True, nogil=True)
def species(x: float, source: Source) -> float:  # pragma: no cover - compiled
    """Return the species' flux of the half plume at ``x``, kg/s."""
    if source.pool == 0.0 or x >= source.end:
        return 0.5 * source.rate
    return 0.5 * source.rate * max(x - source.start, 0.0) / (source.end - source.start)


@numba.njit(cache=True, nogil=True)
def speed_of(u0: float, g: float, before: float) -> Any:  # pragma: no cover - compiled
    """Return U of U³ − U0 U² + G = 0, and whether the flow is choked (no root: the pressure stops the wind)."""
    if abs(g) < 1e-12 * abs(u0) ** 3:
        return u0, False
    limit = 4.0 * u0**3 / 27.0
    if g > limit or u0 <= 0.0:
        return min(2.0 / 3.0 * max(u0, 0.05), before), True
    angle = math.acos(min(max(1.0 - 27.0 * g / (2.0 * u0**3), -1.0), 1.0))
    return u0 / 3.0 * (1.0 + 2.0 * math.cos(angle / 3.0)), False


@numba.njit(cache=True, nogil=True)
def _closure(
    y: Any, x: float, last: Any, excess: float, ua: float, source: Source, air: Air, gas: Any
) -> Any:  # pragma: no cover
    """Return (m, ρ, T, cp, e, w, U, B, b, h, choked) of the integrated state; ``last`` is the step's start."""
    flux = y[R]
    m = min(max(species(x, source) / flux, 0.0), 1.0)
    t, rho, cp, e, w = equilibrium(m, y[HEAT] / flux, last[2], air, gas)
    u, h, half = last[3], last[4], y[B]
    grounded = last[6] == GROUNDED
    u0 = (1.0 - m) * ua + excess / flux
    choked, factor = False, 1.0
    for _ in range(40):
        ratio = last[1] * last[3] / (rho * u) if last[3] > ua else last[1] / rho
        factor = ratio ** (h / (h + 2.0 * half))
        half = y[B] * factor
        g = 0.0
        if grounded and rho > air.density:
            g = 0.125 * GRAVITY * (rho - air.density) * flux / (half * rho * rho)
        new, choked = speed_of(u0, g, last[3])
        change = abs(new - u)
        u = (u * new * new) ** (1.0 / 3.0) if new > 0.0 and u > 0.0 else max(new, 0.01)
        h = flux / (rho * u * half)
        if h > 2.0 * half:
            half = math.sqrt(0.5 * flux / (rho * u))
            h = 2.0 * half
        if change < 1e-5 * u:
            break
    return m, rho, t, cp, e, w, u, half, y[CORE] * factor, min(h, air.depth), choked


@numba.njit(cache=True, nogil=True)
def _live(x: float, h: float, ua: float, memory: Any, source: Source, air: Air) -> float:  # pragma: no cover - compiled
    """Return what the pool adds to ub²: .05 Ws Ua over it, dying out behind it."""
    if source.pool == 0.0:
        return 0.0
    if x <= source.end:
        return 0.05 * source.speed * ua
    return float(memory * math.exp(-(x - source.end) * air.friction / (air.at2 * h)))


@numba.njit(cache=True, nogil=True)
def _rates(
    y: Any, x: float, last: Any, excess: float, ua: float, memory: float, source: Source, air: Air, gas: Any, out: Any
) -> Any:  # pragma: no cover
    """Write d/dx of the integrated state to ``out``; return the closure with We/√3 and Ve/√3."""
    m, rho, t, cp, e, w, u, half, core, h, choked = _closure(y, x, last, excess, ua, source, air, gas)
    flying = last[6] == FLYING
    vg = y[SPREAD] / y[R]
    top = y[CENTRE] + 0.5 * h if flying else h
    f_top = profile(top, air)
    extra = _live(x, h, ua, memory, source, air)
    star2, _, heat = friction_velocity(rho, t, u, ua, vg, 0.0, h, flying, extra, air)
    we = entrainment(rho, star2, h, top, f_top, air)
    ve = side_entrainment(rho, u, ua, half, air)
    gain = air.density * ROOT3 * (ve * h + we * half)
    feed = 0.0
    if source.pool != 0.0 and x < source.end:
        feed = 0.5 * source.rate / (source.end - source.start)
    ambient = ((1.0 - air.water) * 1005.87 + air.water * 1846.0) * air.temperature
    heavier = GRAVITY * (rho - air.density)
    dense = not flying and rho > air.density
    out[R] = gain + feed
    out[B] = (air.density / rho * ROOT3 * ve + vg) / u
    out[CORE] = vg * core / (u * half)
    out[SPREAD] = 0.75 * heavier * h * h if dense else 0.0
    out[LIFT] = 0.0 if dense else -heavier * half * h
    out[CENTRE] = (-vg * y[CENTRE] / half if dense else y[LIFT] / y[R]) / u
    out[HEAT] = gain * ambient + feed * source.enthalpy
    out[HELD] = rho * half * h * m
    out[TIME] = 1.0 / u
    _friction(rho, t, cp, u, ua, vg, half, h, y[LIFT] / y[R], flying, heat, air, out)
    return m, rho, t, cp, e, w, u, half, core, h, choked, we, ve


@numba.njit(cache=True, nogil=True)
def _friction(
    rho: float,
    t: float,
    cp: float,
    u: float,
    ua: float,
    vg: float,
    half: float,
    h: float,
    wc: float,
    flying: bool,
    heat: float,
    air: Air,
    out: Any,
) -> None:  # pragma: no cover
    shear = air.density / rho * (ua - u)
    if flying:
        out[F_SPEED] = rho * (2.0 * half + h) * CF * abs(shear) * shear
        out[F_LIFT] = -rho * h * CF * abs(wc) * wc
        out[F_SPREAD] = out[F_HEAT] = 0.0
        return
    drag = (air.friction / ua) ** 2
    side = 0.5 * air.density / rho * vg
    out[F_SPEED] = -rho * (half * (drag * u * u - air.friction**2) - (half + h) * CF * abs(shear) * shear)
    out[F_SPREAD] = -rho * half * (0.25 * drag * vg * vg + CF * side * side)
    out[F_HEAT] = rho * half * heat * cp * (air.temperature - t)
    out[F_LIFT] = 0.0


@numba.njit(cache=True, nogil=True)
def _rk4(
    y: Any,
    x: float,
    dx: float,
    last: Any,
    excess: float,
    ua: float,
    memory: float,
    source: Source,
    air: Air,
    gas: Any,
    k: Any,
) -> Any:  # pragma: no cover
    """Return the state after ``dx`` and the closure at its start."""
    first = _rates(y, x, last, excess, ua, memory, source, air, gas, k[0])
    _rates(y + 0.5 * dx * k[0], x + 0.5 * dx, last, excess, ua, memory, source, air, gas, k[1])
    _rates(y + 0.5 * dx * k[1], x + 0.5 * dx, last, excess, ua, memory, source, air, gas, k[2])
    _rates(y + dx * k[2], x + dx, last, excess, ua, memory, source, air, gas, k[3])
    return y + dx / 6.0 * (k[0] + 2.0 * k[1] + 2.0 * k[2] + k[3]), first


@numba.njit(cache=True, nogil=True)
def _settle(
    y: Any, flux0: float, vg0: float, wc0: float, heat0: float, u: float, ua: float
) -> float:  # pragma: no cover
    """Let friction act implicitly on spread, lift and heat; return what it adds to the excess momentum."""
    y[SPREAD] *= kept(flux0, vg0, y[F_SPREAD])
    y[LIFT] *= kept(flux0, wc0, y[F_LIFT])
    y[HEAT] += slowed(flux0, heat0, y[F_HEAT])
    push = slowed(flux0, u - ua, y[F_SPEED])
    y[F_SPEED] = y[F_SPREAD] = y[F_HEAT] = y[F_LIFT] = 0.0
    return float(push)


@numba.njit(cache=True, nogil=True)
def _land(y: Any, rho: float, half: float, h: float, flying: float, air: Air) -> float:  # pragma: no cover - compiled
    """Return whether the cloud flies or lies after a step, turning its fall into spread where it lands."""
    dense = rho > air.density
    y[CENTRE] = min(max(y[CENTRE], 0.0), max(air.depth - 0.5 * h, 0.0))
    if flying == FLYING:
        if y[CENTRE] > 0.5 * h or not dense:
            return FLYING if y[CENTRE] > 0.5 * h else GROUNDED
        y[SPREAD] = max(-2.0 * y[LIFT] * half / h, 0.0)
        y[LIFT] = 0.0
        return GROUNDED
    if not dense:
        y[SPREAD] = 0.0
        return FLYING if y[CENTRE] > 0.5 * h else GROUNDED
    y[CENTRE] = min(y[CENTRE], 0.5 * h)
    return GROUNDED


@numba.njit(cache=True, nogil=True)
def _record(
    row: Any, x: float, y: Any, c: Any, ua: float, flying: float, air: Air, gas: Any
) -> None:  # pragma: no cover
    m, rho, t, _, e, w, u, half, core, h = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9]
    row[0], row[1], row[2], row[3], row[4] = x, y[CENTRE], h, half, core
    row[7] = air.molar_mass * m / (gas.molar_mass + (air.molar_mass - gas.molar_mass) * m)
    row[8], row[9], row[10], row[11], row[12], row[13], row[14] = rho, t, u, ua, m, e, w
    dense = flying == GROUNDED and rho > air.density
    vg = y[SPREAD] / y[R]
    row[15], row[16] = (-vg * y[CENTRE] / half if dense else y[LIFT] / y[R]), vg
    row[18], row[19], row[21], row[22], row[23] = c[11], c[12], y[TIME], y[HELD], flying


@numba.njit(cache=True, nogil=True)
def march(
    y: Any,
    x: float,
    flying: float,
    start: Any,
    excess: float,
    ua: float,
    step: float,
    growth: float,
    far: float,
    enough: float,
    source: Source,
    air: Air,
    gas: Any,
    rows: Any,
) -> Any:  # pragma: no cover
    """March a plume from ``x`` to ``far``, or until ∫ρBhm dx reaches ``enough``; write a row a station.

    Returns the number of stations, the state at the last, its x, excess momentum, air speed, next step, and whether the
    flow choked over the source.
    """
    k = np.zeros((4, INTEGRATED))
    last = start.copy()
    last[6] = flying
    memory, choked, n = 0.0, False, 0
    dx = step
    while n < len(rows) - 1 and x < far:
        if source.pool != 0.0 and x < source.end < x + dx:
            dx = source.end - x
        y1, c = _rk4(y, x, dx, last, excess, ua, memory, source, air, gas, k)
        _record(rows[n], x, y, c, ua, last[6], air, gas)
        if y1[HELD] >= enough:
            part = (enough - y[HELD]) / (y1[HELD] - y[HELD])
            y1, c = _rk4(y, x, dx * part, last, excess, ua, memory, source, air, gas, k)
            y1[HELD] = enough
            dx *= part
        n += 1
        flux0 = y[R]
        vg0, wc0 = y[SPREAD] / flux0, y[LIFT] / flux0
        excess += _settle(y1, flux0, vg0, wc0, c[3] * (c[2] - air.temperature), c[6], ua)
        x += dx
        y = y1
        c = _closure(y, x, last, excess, ua, source, air, gas)
        choked = choked or (c[10] and x <= source.end)
        y[B], y[CORE] = c[7], c[8]
        last[6] = _land(y, c[1], c[7], c[9], last[6], air)
        last[1], last[2], last[3], last[4], last[5] = c[1], c[2], c[6], c[9], c[7]
        # The excess over the wind's momentum changes by friction alone: air that is in takes on the wind of its height.
        ua = mean_wind(y[CENTRE] + 0.5 * c[9] if last[6] == FLYING else c[9], air)
        if source.pool != 0.0 and x == source.end:
            memory = 0.05 * source.speed * ua
        if y[HELD] >= enough:
            break
        dx *= growth
    _, c = _rk4(y, x, 0.0, last, excess, ua, memory, source, air, gas, k)
    _record(rows[n], x, y, c, ua, last[6], air, gas)
    return n + 1, y, x, excess, ua, dx, choked, last

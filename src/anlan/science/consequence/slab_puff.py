"""The puff of the slab model, marched in time by Runge-Kutta steps; compiled.

Quarter of a puff: B and Bx half width and half length, b and bx those of its core, R = ρ B Bx h mass. Equations: Ermak,
User's Manual for SLAB, UCRL-MA-105607 (1990), in our own words and code. Units SI.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from anlan.science.consequence.slab_air import GRAVITY, KARMAN, Air, mean_wind, phi_wind, profile
from anlan.science.consequence.slab_plume import FLYING, GROUNDED, ROOT3
from anlan.science.consequence.slab_state import (
    CF,
    entrainment,
    equilibrium,
    friction_velocity,
    kept,
    side_entrainment,
    slowed,
)

# What a step integrates: mass, half width and length, cores, R·Vg, R·Ug, R·Wc, height of centre, R·H, x, and friction.
R, B, BX, CORE, CORE_X, SPREAD, SPREAD_X, LIFT, CENTRE, HEAT, X = range(11)
F_SPEED, F_SPREAD, F_SPREAD_X, F_HEAT, F_LIFT = range(11, 16)
INTEGRATED = 16
_SMALLEST = 1e-9


@numba.njit(cache=True, nogil=True)
def _held(time: float, mass: float, rate: float, duration: float) -> float:  # pragma: no cover - compiled
    """Return the species' mass in the quarter puff, kg."""
    return 0.25 * (mass + rate * min(time, duration))


@numba.njit(cache=True, nogil=True)
def _closure(y: Any, m: float, last: Any, excess: float, ua: float, air: Air, gas: Any) -> Any:  # pragma: no cover
    """Return (m, ρ, T, cp, e, w, U, B, Bx, b, bx, h); ``last`` is the step's start."""
    t, rho, cp, e, w = equilibrium(m, y[HEAT] / y[R], last[2], air, gas)
    ratio = last[1] / rho
    half, long, h = y[B], y[BX], last[4]
    across, along = 1.0, 1.0
    for _ in range(30):
        share = 1.0 / (h * (long + half) + 2.0 * half * long)
        across, along = ratio ** (long * h * share), ratio ** (half * h * share)
        half, long = y[B] * across, y[BX] * along
        new = y[R] / (rho * half * long)
        settled = abs(new - h) < 1e-6 * h
        h = new
        if settled:
            break
    u = (1.0 - m) * ua + excess / y[R]
    return m, rho, t, cp, e, w, u, half, long, y[CORE] * across, y[CORE_X] * along, min(h, air.depth)


@numba.njit(cache=True, nogil=True)
def _end_entrainment(ua: float, long: float, centre: float, sigma: float, air: Air) -> float:  # pragma: no cover
    """Return the velocity at which air comes in at front and back, with the wind's shear, without the √3."""
    ambient = air.spread * ua / (1.0 + 2e-4 / air.spread * long / ROOT3)
    z = centre + 0.5 * sigma
    shear = 0.6 * air.friction / KARMAN * z / (z + air.z0) * phi_wind(z, air) * max(1.0 - z / air.depth, 0.0)
    return math.sqrt(ambient * ambient + shear * shear)


@numba.njit(cache=True, nogil=True)
def _rates(
    y: Any, time: float, last: Any, excess: float, ua: float, source: Any, air: Air, gas: Any, out: Any
) -> Any:  # pragma: no cover
    """Write d/dt of the integrated state to ``out``; ``source`` is (mass, rate, duration, Ws, enthalpy)."""
    m = min(_held(time, source[0], source[1], source[2]) / y[R], 1.0)
    c = _closure(y, m, last, excess, ua, air, gas)
    rho, t, cp, u, half, long, h = c[1], c[2], c[3], c[6], c[7], c[8], c[11]
    flying = last[6] == FLYING
    vg, ug = y[SPREAD] / y[R], y[SPREAD_X] / y[R]
    top = y[CENTRE] + 0.5 * h if flying else h
    live = time < source[2]
    extra = 0.05 * source[3] * ua if live else 0.0
    star2, _, heat = friction_velocity(rho, t, u, ua, vg, ug, h, flying, extra, air)
    we = entrainment(rho, star2, h, top, profile(top, air), air)
    ve = side_entrainment(rho, u, ua, half, air)
    sigma = h / math.sqrt(12.0) if flying else max(h - y[CENTRE], 0.0) / ROOT3
    vx = _end_entrainment(ua, long, y[CENTRE], sigma, air)
    gain = air.density * ROOT3 * ((vx * half + ve * long) * h + we * half * long)
    feed = 0.25 * source[1] if live else 0.0
    ambient = ((1.0 - air.water) * 1005.87 + air.water * 1846.0) * air.temperature
    heavier = GRAVITY * (rho - air.density)
    dense = not flying and rho > air.density
    out[R] = gain + feed
    out[B], out[BX] = ROOT3 * air.density / rho * ve + vg, ROOT3 * air.density / rho * vx + ug
    out[CORE], out[CORE_X] = vg * c[9] / half, ug * c[10] / long
    out[SPREAD] = 0.75 * heavier * h * h * long if dense else 0.0
    out[SPREAD_X] = 0.75 * heavier * h * h * half if dense else 0.0
    out[LIFT] = 0.0 if dense else -heavier * half * long * h
    out[CENTRE] = -(vg / half + ug / long) * y[CENTRE] if dense else y[LIFT] / y[R]
    out[HEAT] = gain * ambient + feed * source[4]
    out[X] = u - y[X] * feed / y[R]
    _friction(rho, t, cp, u, ua, vg, ug, half, long, h, y[LIFT] / y[R], flying, heat, air, out)
    return c, we, ve, vx


@numba.njit(cache=True, nogil=True)
def _friction(
    rho: float,
    t: float,
    cp: float,
    u: float,
    ua: float,
    vg: float,
    ug: float,
    half: float,
    long: float,
    h: float,
    wc: float,
    flying: bool,
    heat: float,
    air: Air,
    out: Any,
) -> None:  # pragma: no cover
    shear = air.density / rho * (ua - u)
    if flying:
        out[F_SPEED] = rho * long * (2.0 * half + h) * CF * abs(shear) * shear
        out[F_LIFT] = -rho * long * h * CF * abs(wc) * wc
        out[F_SPREAD] = out[F_SPREAD_X] = out[F_HEAT] = 0.0
        return
    drag = (air.friction / ua) ** 2
    side, end = 0.5 * air.density / rho * vg, 0.5 * air.density / rho * ug
    out[F_SPEED] = -rho * long * (half * (drag * u * u - air.friction**2) - (half + h) * CF * abs(shear) * shear)
    out[F_SPREAD] = -rho * half * long * (0.25 * drag * vg * vg + CF * side * side)
    out[F_SPREAD_X] = -rho * half * long * (0.25 * drag * ug * ug + CF * end * end)
    out[F_HEAT] = rho * half * long * heat * cp * (air.temperature - t)
    out[F_LIFT] = 0.0


@numba.njit(cache=True, nogil=True)
def _rk4(
    y: Any, time: float, dt: float, last: Any, excess: float, ua: float, source: Any, air: Air, gas: Any, k: Any
) -> Any:  # pragma: no cover
    first = _rates(y, time, last, excess, ua, source, air, gas, k[0])
    _rates(y + 0.5 * dt * k[0], time + 0.5 * dt, last, excess, ua, source, air, gas, k[1])
    _rates(y + 0.5 * dt * k[1], time + 0.5 * dt, last, excess, ua, source, air, gas, k[2])
    _rates(y + dt * k[2], time + dt, last, excess, ua, source, air, gas, k[3])
    return y + dt / 6.0 * (k[0] + 2.0 * k[1] + 2.0 * k[2] + k[3]), first


@numba.njit(cache=True, nogil=True)
def _land(y: Any, c: Any, flying: float, air: Air) -> float:  # pragma: no cover - compiled
    """Return whether the cloud flies or lies after a step, turning its fall into spread where it lands."""
    half, long, h = c[7], c[8], c[11]
    dense = c[1] > air.density
    y[CENTRE] = min(max(y[CENTRE], 0.0), max(air.depth - 0.5 * h, 0.0))
    if not dense:
        y[SPREAD] = y[SPREAD_X] = 0.0
        return FLYING if y[CENTRE] > 0.5 * h else GROUNDED
    if flying == FLYING:
        if y[CENTRE] > 0.5 * h:
            return FLYING
        r = half * long / (half * half + long * long)
        y[SPREAD] = max(-2.0 * r * long * y[LIFT] / h, 0.0)
        y[SPREAD_X] = max(-2.0 * r * half * y[LIFT] / h, 0.0)
        y[LIFT] = 0.0
    y[CENTRE] = min(y[CENTRE], 0.5 * h)
    return GROUNDED


@numba.njit(cache=True, nogil=True)
def _record(
    row: Any, time: float, y: Any, first: Any, ua: float, flying: float, air: Air, gas: Any
) -> None:  # pragma: no cover
    c = first[0]
    m, rho, h, half, long = c[0], c[1], c[11], c[7], c[8]
    row[0], row[1], row[2], row[3], row[4], row[5], row[6] = y[X], y[CENTRE], h, half, c[9], long, c[10]
    row[7] = air.molar_mass * m / (gas.molar_mass + (air.molar_mass - gas.molar_mass) * m)
    row[8], row[9], row[10], row[11], row[12], row[13], row[14] = rho, c[2], c[6], ua, m, c[4], c[5]
    vg, ug = y[SPREAD] / y[R], y[SPREAD_X] / y[R]
    dense = flying == GROUNDED and rho > air.density
    row[15] = -(vg / half + ug / long) * y[CENTRE] if dense else y[LIFT] / y[R]
    row[16], row[17], row[18], row[19], row[20] = vg, ug, first[1], first[2], first[3]
    row[21], row[22], row[23] = time, rho * half * long * h * m, flying


@numba.njit(cache=True, nogil=True)
def march_puff(
    y: Any,
    time: float,
    start: Any,
    excess: float,
    step: float,
    growth: float,
    far: float,
    source: Any,
    air: Air,
    gas: Any,
    rows: Any,
) -> int:  # pragma: no cover
    """March a puff from ``time`` until it is ``far`` downwind; write a row a station; return their number."""
    k = np.zeros((4, INTEGRATED))
    last = start.copy()
    dt, n = step, 0
    ua = mean_wind(y[CENTRE] + 0.5 * last[4] if last[6] == FLYING else last[4], air)
    while n < len(rows) - 1 and y[X] < far:
        if time < source[2] < time + dt:
            dt = source[2] - time
        y1, first = _rk4(y, time, dt, last, excess, ua, source, air, gas, k)
        _record(rows[n], time, y, first, ua, last[6], air, gas)
        n += 1
        flux0, c = y[R], first[0]
        y1[SPREAD] *= kept(flux0, y[SPREAD] / flux0, y1[F_SPREAD])
        y1[SPREAD_X] *= kept(flux0, y[SPREAD_X] / flux0, y1[F_SPREAD_X])
        y1[LIFT] *= kept(flux0, y[LIFT] / flux0, y1[F_LIFT])
        y1[HEAT] += slowed(flux0, c[3] * (c[2] - air.temperature), y1[F_HEAT])
        excess += slowed(flux0, c[6] - ua, y1[F_SPEED])
        y1[F_SPEED] = y1[F_SPREAD] = y1[F_SPREAD_X] = y1[F_HEAT] = y1[F_LIFT] = 0.0
        time += dt
        y = y1
        m = min(_held(time, source[0], source[1], source[2]) / y[R], 1.0)
        c = _closure(y, m, last, excess, ua, air, gas)
        y[B], y[BX], y[CORE], y[CORE_X] = c[7], c[8], c[9], c[10]
        last[6] = _land(y, c, last[6], air)
        last[1], last[2], last[3], last[4], last[5] = c[1], c[2], c[6], c[11], c[7]
        ua = mean_wind(y[CENTRE] + 0.5 * c[11] if last[6] == FLYING else c[11], air)
        dt *= growth
    first = _rk4(y, time, 0.0, last, excess, ua, source, air, gas, k)[1]
    _record(rows[n], time, y, first, ua, last[6], air, gas)
    return n + 1

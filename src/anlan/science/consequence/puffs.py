"""Passive fields in changing wind as a chain of puffs, and ensembles over uncertain wind and source, compiled.

Each puff of a release carries what left in its step and goes with the wind of the moment; its widths grow with its way.
An ensemble is counted without an exponential: a place is over the level where its crosswind distance in σy is
less than the logarithm of the axis over the level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence import gaussian
from anlan.science.consequence.conventions import OutOfRangeError, Stability
from anlan.science.consequence.meteorology import CALM
from anlan.science.consequence.sigma import Scheme, scheme

Floats = NDArray[np.float64]

_TABLE = 1024
_LOW_LOG, _HIGH_LOG = -1.0, 5.0
_NEVER = -1e30


@dataclass(frozen=True, slots=True)
class Wind:
    """Wind over time at the release's height: rising times, s; speeds, m/s; directions it comes from, degrees."""

    time: Floats
    speed: Floats
    direction: Floats

    def components(self, time: Floats) -> tuple[Floats, Floats]:
        """Return the wind to east and to north at ``time``, m/s; the last value holds on."""
        angle = np.radians(self.direction)
        east, north = -self.speed * np.sin(angle), -self.speed * np.cos(angle)
        return np.interp(time, self.time, east), np.interp(time, self.time, north)


def chain(
    east: Floats, north: Floats, height: float, times: Floats, rate: Floats, step: float, wind: Wind,
    stability: Stability, release_height: float = 0.0, lid: float = math.inf, puff: Scheme | None = None,
    origin: tuple[float, float] = (0.0, 0.0),
) -> Floats:  # fmt: skip
    """Return concentrations, kg/m³, (time, place), of a release of changing rate in changing wind.

    Args:
        east, north: places, m, (n,). height: of the places, m. times: when, s, rising from 0.
        rate: kg/s in each ``step`` s from time 0 on. wind: at the release. origin: of the release, m east and north.

    Raises:
        OutOfRangeError: a step that is not above 0, negative rates, times that do not rise.
    """
    amount = np.asarray(rate, dtype=np.float64)
    when = np.asarray(times, dtype=np.float64)
    if not step > 0.0 or np.any(~(amount >= 0.0)) or np.any(np.diff(when) < 0.0):
        raise OutOfRangeError("a chain of puffs with a step, rate or times out of range", where="rate",
                              fix="step above 0, rates 0 or more, times rising")  # fmt: skip
    chosen = puff if puff is not None else scheme("ccps-puff")
    fine = step / 4.0
    clock = np.arange(0.0, float(when[-1]) + fine, fine)
    u, v = wind.components(clock)
    way = np.stack([np.concatenate([[0.0], np.cumsum(one[:-1] * fine)]) for one in (u, v, np.hypot(u, v))])
    out = np.zeros((len(when), len(east)))
    starts = (np.arange(len(amount)) + 0.5) * step
    for i, now in enumerate(when):
        live = np.flatnonzero((starts <= now) & (amount > 0.0))
        if len(live) == 0:
            continue
        here = [np.interp(now, clock, one) for one in way]
        gone = [np.interp(starts[live], clock, one) for one in way]
        length = np.maximum(here[2] - gone[2], 0.5 * step * CALM)
        along, across, up = (
            chosen.sigma_x(stability, length), chosen.sigma_y(stability, length), chosen.sigma_z(stability, length)
        )  # fmt: skip
        # A puff stands for a stretch of plume: its length along the wind is at least what left in its step.
        stretch = float(np.hypot(*wind.components(np.array([now]))).item()) * step / math.sqrt(12.0)
        wide = np.sqrt(np.maximum(along * across, 1e-6)) if stretch < 1e-9 else np.hypot(across, 0.3 * stretch)
        mass = amount[live] * step * gaussian.vertical(np.array(height), release_height, up, lid)
        _chain_kernel(
            east, north, origin[0] + here[0] - gone[0], origin[1] + here[1] - gone[1],
            mass / (2.0 * math.pi * wide * wide), 0.5 / wide**2, out[i],
        )  # fmt: skip
    return out


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _chain_kernel(east: Any, north: Any, x: Any, y: Any, peak: Any, tight: Any, out: Any) -> None:  # pragma: no cover
    for i in numba.prange(len(east)):
        total = 0.0
        for j in range(len(x)):
            depth = ((east[i] - x[j]) ** 2 + (north[i] - y[j]) ** 2) * tight[j]
            if depth < 20.0:
                total += peak[j] * math.exp(-depth)
        out[i] = total


@dataclass(frozen=True, slots=True)
class Members:
    """An ensemble: one value a member, (m,).

    Attributes:
        rate: kg/s. wind: m/s. direction: degrees it comes from. stability: number of the class, 0 (A) … 5 (F).
        east, north: of the release, m.
    """

    rate: Floats
    wind: Floats
    direction: Floats
    stability: NDArray[np.int64]
    east: Floats
    north: Floats


def spread_of(
    rate: float, wind: float, direction: float, stability: Stability, members: int, seed: int,
    rate_factor: float = 2.0, wind_share: float = 0.2, direction_spread: float = 10.0,
) -> Members:  # fmt: skip
    """Return members around one release: rate log-normal (``rate_factor`` is one σ), wind and direction normal.

    Args:
        wind_share: σ of the wind over the wind. direction_spread: σ, degrees.
    """
    random = np.random.default_rng(seed)
    speed = np.maximum(wind * (1.0 + wind_share * random.standard_normal(members)), CALM)
    return Members(
        rate * rate_factor ** random.standard_normal(members),
        speed,
        direction + direction_spread * random.standard_normal(members),
        np.full(members, list(Stability).index(stability)),
        np.zeros(members),
        np.zeros(members),
    )


def exceedance(
    members: Members, level: float, east: Floats, north: Floats, height: float = 1.5, release_height: float = 0.0,
    plume: Scheme | None = None, averaging: float = 600.0, lid: float = math.inf,
) -> Floats:  # fmt: skip
    """Return the share of members over ``level``, kg/m³, at ``height``, on the grid (north, east) of axes in m.

    Raises:
        OutOfRangeError: a level that is not above 0, or members with negative rate or no wind.
    """
    if not level > 0.0 or np.any(~(members.rate >= 0.0)) or np.any(~(members.wind > 0.0)):
        raise OutOfRangeError("an ensemble without level, or with members out of range", where="level",
                              fix="level and winds above 0, rates 0 or more")  # fmt: skip
    chosen = plume if plume is not None else scheme("briggs-rural")
    x = np.logspace(_LOW_LOG, _HIGH_LOG, _TABLE)
    log_peak, tight = np.empty((6, _TABLE), np.float32), np.empty((6, _TABLE), np.float32)
    for number, stability in enumerate(Stability):
        across = chosen.sigma_y(stability, x, averaging)
        up = gaussian.vertical(np.array(height), release_height, chosen.sigma_z(stability, x), lid)
        with np.errstate(divide="ignore"):
            log_peak[number] = np.maximum(np.log(up / (math.sqrt(2.0 * math.pi) * across)), _NEVER)
        tight[number] = 0.5 / across**2
    angle = np.radians(270.0 - members.direction)
    with np.errstate(divide="ignore"):
        gain = np.maximum(np.log(members.rate / members.wind / level), _NEVER)
    one = np.float32
    out = np.empty((len(north), len(east)), np.float32)
    _count(
        east.astype(one), north.astype(one), members.east.astype(one), members.north.astype(one),
        np.cos(angle).astype(one), np.sin(angle).astype(one), gain.astype(one),
        members.stability.astype(np.int64), log_peak, tight, out,
    )  # fmt: skip
    return out.astype(np.float64) / len(members.rate)


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _count(
    east: Any,
    north: Any,
    x0: Any,
    y0: Any,
    cos: Any,
    sin: Any,
    gain: Any,
    kind: Any,
    log_peak: Any,
    tight: Any,
    out: Any,
) -> None:  # pragma: no cover
    per_decade = numba.float32((log_peak.shape[1] - 1) / 6.0)
    last = log_peak.shape[1] - 2
    for j in numba.prange(len(north)):
        count = np.zeros(len(east), np.float32)
        for k in range(len(gain)):
            dy = north[j] - y0[k]
            a, b, c, s = log_peak[kind[k]], tight[kind[k]], cos[k], sin[k]
            for i in range(len(east)):
                dx = east[i] - x0[k]
                x = dx * c + dy * s
                if x > numba.float32(0.1):
                    place = (math.log(x) * numba.float32(0.4342944819) + numba.float32(1.0)) * per_decade
                    n = min(int(place), last)
                    f = place - n
                    across = dy * c - dx * s
                    depth = across * across * (b[n] + f * (b[n + 1] - b[n]))
                    if depth <= a[n] + f * (a[n + 1] - a[n]) + gain[k]:
                        count[i] += numba.float32(1.0)
        out[j] = count

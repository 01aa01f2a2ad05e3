"""Slab model of dense, cold or two-phase clouds: steady plume, finite and instantaneous release.

Our own program of Ermak's equations (User's Manual for SLAB, UCRL-MA-105607, 1990). It differs from the original where
that does not keep mass: half widths in the output, and droplets follow from the
balance of enthalpy where the cloud boils.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence import slab_plume, slab_puff
from anlan.science.consequence.conventions import OutOfRangeError
from anlan.science.consequence.gas import Gas
from anlan.science.consequence.slab_air import Air, mean_wind
from anlan.science.consequence.slab_plume import COLUMNS, FLYING, GROUNDED, RECORDED, Source
from anlan.science.consequence.slab_start import jet_start, pool_start, vertical_start
from anlan.science.consequence.slab_state import Matter, ambient_enthalpy, make_matter, source_enthalpy

Floats = NDArray[np.float64]

STEPS = 180
_ROOM = 1200
_PUFF_GROWTH = 1.03


@dataclass(frozen=True, slots=True)
class SlabRelease:
    """What the slab model takes as source.

    Attributes:
        kind: ``jet`` (horizontal), ``vertical``, ``pool`` or ``cloud`` (instantaneous).
        rate: kg/s. duration: s, inf is steady. mass: kg, of a cloud. area: m², of expanded jet, pool or cloud's ground.
        height: m. temperature: K. liquid: mass share of droplets.
    """

    kind: str
    area: float
    temperature: float
    rate: float = 0.0
    duration: float = math.inf
    mass: float = 0.0
    height: float = 0.0
    liquid: float = 0.0


@dataclass(frozen=True, slots=True)
class SlabRun:
    """Stations of a run, each a row of ``COLUMNS``.

    Attributes:
        rows: (station, column), plume then puff. plume: number of stations of the plume. air, matter: as used.
        source: of the plume; ``source.start`` and ``end`` bound a pool. choked: the wind could not carry the pool's gas
            off, so that the effective source grew. release: as given.
    """

    rows: Floats
    plume: int
    air: Air
    matter: Matter
    source: Source
    release: SlabRelease
    first: float
    choked: bool = False
    extra: dict[str, float] = field(default_factory=dict)

    def column(self, name: str) -> Floats:
        """Return one column by its name in ``COLUMNS``."""
        return self.rows[:, COLUMNS.index(name)]


def run_slab(release: SlabRelease, gas: Gas, air: Air, far: float = 5000.0) -> SlabRun:
    """Return the run of the slab model up to ``far`` metres downwind.

    Raises:
        OutOfRangeError: a source that the model cannot start from.
    """
    _check(release, gas)
    matter = make_matter(gas, air)
    if release.kind == "cloud":
        return _cloud(release, gas, air, matter, far)
    if release.kind == "pool":
        return _pool(release, gas, air, matter, far)
    start = vertical_start if release.kind == "vertical" else jet_start
    y, x, flying, state, excess, first = start(release, gas, air, matter)
    source = Source(release.rate, 0.0, 0.0, 0.0, 0.0, 0.0)
    growth = 10.0 ** ((math.log10(max(far / max(x, 1.0), 1.5)) + 1.0) / STEPS)
    step = (growth - 1.0) * (max(far, 1.5 * x) - x) / (growth**STEPS - 1.0)
    return _march(y, x, flying, state, excess, step, growth, far, source, release, air, matter, first)


def _check(release: SlabRelease, gas: Gas) -> None:
    amount = release.mass if release.kind == "cloud" else release.rate
    if release.kind not in ("jet", "vertical", "pool", "cloud"):
        raise OutOfRangeError(f"no slab source {release.kind!r}", where="kind", fix="jet, vertical, pool or cloud")
    for name, value in (("amount", amount), ("area", release.area), ("temperature", release.temperature)):
        if not (0.0 < value < math.inf):
            raise OutOfRangeError(f"a slab source with {name} of {value:g}", where=name, fix="above 0, finite")
    if not 0.0 <= release.liquid <= 1.0 or not release.height >= 0.0 or not release.duration > 0.0:
        raise OutOfRangeError("a slab source with liquid share, height or duration out of range", where="release",
                              fix="share 0 to 1, height 0 or more, duration above 0")  # fmt: skip
    if release.liquid > 0.0 and release.temperature > 1.5 * gas.boiling_point:
        raise OutOfRangeError("droplets far above their boiling point", where="temperature", fix="the boiling point, K")


def _march(
    y: Floats, x: float, flying: float, state: Floats, excess: float, step: float, growth: float, far: float,
    source: Source, release: SlabRelease, air: Air, matter: Matter, first: float,
) -> SlabRun:  # fmt: skip
    rows = np.zeros((_ROOM, RECORDED))
    enough = 0.25 * release.rate * release.duration
    h = float(state[4])
    ua = mean_wind(float(y[slab_plume.CENTRE]) + 0.5 * h if flying == FLYING else h, air)
    n, y1, x1, excess1, _, dx, choked, last = slab_plume.march(
        y, x, flying, state, excess, ua, step, growth, far, enough, source, air, matter, rows
    )
    if math.isfinite(enough) and y1[slab_plume.HELD] >= enough * (1 - 1e-9):
        if source.pool and x1 < source.end:
            return _short_pool(release, source, air, matter, far, choked)
        total = _switch(y1, x1, excess1, dx, growth, far, last, release, air, matter, rows[n:])
        return SlabRun(rows[: n + total], n, air, matter, source, release, first, choked)
    return SlabRun(rows[:n], n, air, matter, source, release, first, choked)


def _switch(
    y: Floats, x: float, excess: float, dx: float, growth: float, far: float, last: Floats, release: SlabRelease,
    air: Air, matter: Matter, rows: Floats,
) -> int:  # fmt: skip
    """Go on as a puff from where half of what is released lies upstream."""
    p, q = slab_plume, slab_puff
    rho, u, h, half = (float(last[i]) for i in (1, 3, 4, 5))
    m = min(0.5 * release.rate / float(y[p.R]), 1.0)
    mass = 0.25 * release.rate * release.duration / m
    long = mass / (rho * half * h)
    vg = float(y[p.SPREAD] / y[p.R])
    z = np.zeros(q.INTEGRATED)
    z[q.R], z[q.B], z[q.BX], z[q.CORE], z[q.CORE_X] = mass, half, long, y[p.CORE], 0.9999 * long
    z[q.SPREAD], z[q.SPREAD_X], z[q.LIFT] = mass * vg, mass * vg * half / long, mass * y[p.LIFT] / y[p.R]
    z[q.CENTRE], z[q.HEAT], z[q.X] = y[p.CENTRE], mass * y[p.HEAT] / y[p.R], x
    excess_puff = mass * (u - (1.0 - m) * mean_wind(_top(float(z[q.CENTRE]), h, float(last[6])), air))
    source = (release.rate * release.duration, 0.0, 0.0, 0.0, 0.0)
    return int(
        q.march_puff(z, release.duration, last, excess_puff, dx / u, growth, far, source, air, matter, rows)
    )  # fmt: skip


def _top(centre: float, h: float, flying: float) -> float:
    return centre + 0.5 * h if flying == FLYING else h


def _cloud(release: SlabRelease, gas: Gas, air: Air, matter: Matter, far: float) -> SlabRun:
    """Start from a cloud at rest that stands on its ground."""
    q = slab_puff
    rho = gas.density(release.temperature, 1.0 - release.liquid, air.pressure)
    h, half = release.mass / (rho * release.area), 0.5 * math.sqrt(release.area)
    y = np.zeros(q.INTEGRATED)
    y[q.R] = 0.25 * release.mass
    y[q.B] = y[q.BX] = half
    y[q.CORE] = y[q.CORE_X] = 0.9 * half
    y[q.CENTRE] = release.height
    y[q.HEAT] = y[q.R] * source_enthalpy(matter, release.temperature, release.liquid)
    flying = FLYING if release.height > 0.5 * h else GROUNDED
    state = np.array([0.0, rho, release.temperature, 0.0, h, half, flying])
    rows = np.zeros((_ROOM, RECORDED))
    step = 2e-3 * half / max(mean_wind(h, air), 0.1)
    source = (release.mass, 0.0, 0.0, 0.0, 0.0)
    n = int(q.march_puff(y, 0.0, state, 0.0, step, _PUFF_GROWTH, far, source, air, matter, rows))
    return SlabRun(rows[:n], 0, air, matter, Source(0.0, 0.0, 0.0, 0.0, 0.0, 0.0), release, 0.0)


def _pool(release: SlabRelease, gas: Gas, air: Air, matter: Matter, far: float) -> SlabRun:
    """Run from a pool; where the wind cannot carry the gas off (choked), enlarge the source until it just can."""
    half = 0.5 * math.sqrt(release.area)

    def attempt(size: float, reach: float) -> SlabRun:
        y, x, state, source, step, growth = pool_start(release, gas, air, matter, size, reach, STEPS)
        return _march(y, x, GROUNDED, state, 0.0, step, growth, reach, source, release, air, matter, x)

    found = attempt(half, far)
    if not found.choked:
        return found
    low, high = half, 2.0 * half
    while attempt(high, high).choked and high < 64.0 * half:
        low, high = high, 2.0 * high
    for _ in range(10):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if attempt(middle, middle).choked else (low, middle)
    found = attempt(high, far)
    return SlabRun(found.rows, found.plume, air, matter, found.source, release, found.first, choked=True)


def _short_pool(release: SlabRelease, source: Source, air: Air, matter: Matter, far: float, choked: bool) -> SlabRun:
    """Run a release that ends before its gas has left the pool as a growing puff."""
    q = slab_puff
    half = source.end
    h = 1e-3 * half
    y = np.zeros(q.INTEGRATED)
    y[q.R] = air.density * half * half * h
    y[q.B] = y[q.BX] = half
    y[q.CORE] = y[q.CORE_X] = 0.9 * half
    y[q.HEAT] = y[q.R] * ambient_enthalpy(air)
    ua = mean_wind(h, air)
    state = np.array([0.0, air.density, air.temperature, ua, h, half, GROUNDED])
    rows = np.zeros((_ROOM, RECORDED))
    feed = (0.0, release.rate, release.duration, source.speed, source.enthalpy)
    n = int(q.march_puff(y, 0.0, state, 0.0, 2e-3 * release.duration, _PUFF_GROWTH, far, feed, air, matter, rows))
    return SlabRun(rows[:n], 0, air, matter, source, release, 0.0, choked)


def describe(run: SlabRun) -> dict[str, Any]:
    """Return the run's columns by name."""
    return {name: run.column(name) for name in COLUMNS}

"""Dispersion: compiled forms beside plain NumPy ones in the same run, and the slab model's time.

`python -m benchmarks.dispersion` prints the table; `run()` returns it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from anlan.science.consequence import puffs
from anlan.science.consequence.conventions import Release, Stability, Weather
from anlan.science.consequence.dispersion import disperse
from anlan.science.consequence.gas import Gas
from anlan.science.consequence.gaussian import PlumeTable, plume
from anlan.science.consequence.sigma import scheme
from anlan.science.consequence.slab import SlabRelease, run_slab
from anlan.science.consequence.slab_air import make_air

AMMONIA = Gas(0.017031, 2045.9, 239.57, 1.17e6, 4611.8, 603.0, 2976.01, 0.0)
LNG = Gas(0.016043, 2238.0, 111.7, 509_900.0, 3348.5, 424.1)
AIMS_MS = {"plume on 1e6 receptors": 5.0, "slab run, jet": 5.0, "exceedance, 1000 members, 200x200": 2000.0}
_REPEATS = 15


def best(work: Callable[[], Any], repeats: int = _REPEATS) -> float:
    """Return the shortest and so least disturbed of some runs, ms; the first, which compiles, does not count."""
    work()
    spent = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return 1e3 * min(spent)


def plumes(size: int = 1000) -> dict[str, float]:
    """Return times, ms, of a plume on ``size``² receptors in any wind: compiled, plain, their difference."""
    chosen, kind, angle = scheme("briggs-rural"), Stability.D, math.radians(33.0)
    axis = np.linspace(-2000.0, 8000.0, size, dtype=np.float32)
    east, north = (one.ravel() for one in np.meshgrid(axis, axis))
    zero, height = np.array(0.0), np.array(1.5)
    table = PlumeTable(
        lambda x: plume(zero, height, 1.0, 4.0, 2.0, chosen.sigma_y(kind, x), chosen.sigma_z(kind, x)),
        lambda x: chosen.sigma_y(kind, x),
    )
    out = np.empty(east.shape, np.float32)

    def plain() -> Any:
        x = east * math.cos(angle) + north * math.sin(angle)
        y = north * math.cos(angle) - east * math.sin(angle)
        at = np.maximum(x, 0.1)
        said = plume(y, height, 1.0, 4.0, 2.0, chosen.sigma_y(kind, at), chosen.sigma_z(kind, at))
        return np.where(x > 0.1, said, 0.0)

    reference, said = plain(), table.field(east, north, (0.0, 0.0), angle)
    real = reference > 1e-4 * reference.max()
    return {
        "plume on 1e6 receptors": best(lambda: table.field(east, north, (0.0, 0.0), angle, out)),
        "plume on 1e6 receptors, plain NumPy": best(plain, 3),
        "largest relative difference": float(np.max(np.abs(said[real] / reference[real] - 1.0))),
    }


def slabs() -> dict[str, float]:
    """Return times, ms, of runs of the slab model and of the whole call with its field."""
    tortoise = make_air(4.5, 2.0, 0.003, 306.2, 0.213, 4.0, 0.0221)
    burro = make_air(1.92, 2.88, 0.0002, 306.0, 0.046, 4.0, 0.0665)
    jet = SlabRelease("jet", 0.93, 239.57, rate=107.87, duration=381.0, height=1.0, liquid=0.81)
    pool = SlabRelease("pool", 657.0, 111.7, rate=117.0, duration=107.0)
    cloud = SlabRelease("cloud", 900.0, 111.7, mass=6000.0)
    release = Release("ammonia", 107.87, 381.0, temperature=239.57, vapour=0.19, velocity=25.6, height=1.0)
    weather = Weather(wind=4.5, wind_height=2.0, roughness=0.003, temperature=306.2, obukhov=45.2)
    x = np.geomspace(10, 3000, 200)
    return {
        "slab run, jet": best(lambda: run_slab(jet, AMMONIA, tortoise, 2800.0)),
        "slab run, choked pool": best(lambda: run_slab(pool, LNG, burro, 1000.0)),
        "slab run, instantaneous": best(lambda: run_slab(cloud, LNG, burro, 1000.0)),
        "release to 200 maxima": best(lambda: disperse(release, weather, gas=AMMONIA).maximum(x, 1.0)),
    }


def ensembles(members: int = 1000, size: int = 200) -> dict[str, float]:
    """Return times, ms, of the probability of exceedance on a grid: compiled and plain (a tenth of the members)."""
    chosen = puffs.spread_of(1.0, 4.0, 225.0, Stability.D, members, seed=1)
    axis = np.linspace(-500.0, 3500.0, size)
    plain_members = members // 10

    def plain() -> Any:
        count = np.zeros((size, size))
        for i in range(plain_members):
            angle = math.radians(270.0 - chosen.direction[i])
            x = axis[None, :] * math.cos(angle) + axis[:, None] * math.sin(angle)
            y = axis[:, None] * math.cos(angle) - axis[None, :] * math.sin(angle)
            at = np.maximum(x, 0.1)
            rural = scheme("briggs-rural")
            widths = rural.sigma_y(Stability.D, at), rural.sigma_z(Stability.D, at)
            said = plume(y, np.array(1.5), float(chosen.rate[i]), float(chosen.wind[i]), 0.0, *widths)
            count += np.where(x > 0.1, said, 0.0) >= 2e-5
        return count

    return {
        "exceedance, 1000 members, 200x200": best(lambda: puffs.exceedance(chosen, 2e-5, axis, axis), 5),
        "exceedance, plain NumPy (scaled)": 10.0 * best(plain, 1),
    }


def run() -> dict[str, Any]:
    """Return all figures with their aims."""
    figures = plumes() | slabs() | ensembles()
    return {"ms": {name: round(value, 4) for name, value in figures.items()}, "aims_ms": AIMS_MS}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

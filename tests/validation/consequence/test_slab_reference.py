"""The slab model beside listings of the SLAB manual's cases by an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.science.consequence.gas import Gas
from anlan.science.consequence.slab import SlabRelease, SlabRun, run_slab
from anlan.science.consequence.slab_air import make_air
from tests.validation.consequence.scores import LIMITS, rows

LNG = Gas(0.016043, 2238.0, 111.7, 509_900.0, 3348.5, 424.1)
AMMONIA = Gas(0.017031, 2045.9, 239.57, 1.17e6, 4611.8, 603.0, 2976.01, 0.0)
BURRO = make_air(1.92, 2.88, 0.0002, 306.0, 0.046, 4.0, 0.0665)


def test_desert_tortoise_4_station_by_station() -> None:
    air = make_air(4.5, 2.0, 0.003, 306.2, 0.213, 4.0, 0.0221)
    assert (air.friction, air.s, air.density) == pytest.approx((0.26632, 0.51847, 1.14765), rel=1e-4)
    release = SlabRelease("jet", 0.93, 239.57, rate=107.87, duration=381.0, height=1.0, liquid=0.81)
    run = run_slab(release, AMMONIA, air, 4000.0)
    listing = {name: np.array([float(row[name]) for row in rows("farrell-slab-desert-tortoise-4.csv")]) for name in
               ("x", "h", "bb", "cm", "t", "rho", "u", "uab", "w", "v")}  # fmt: skip
    # The first stations carry the listing's own rounding; the switch to a puff falls on a station there.
    chosen = (listing["x"] > 3.0) & ((listing["x"] < 840.0) | (listing["x"] > 1100.0))
    for name in ("h", "bb", "cm", "t", "rho", "u", "uab"):
        ours = np.interp(listing["x"][chosen], run.column("x"), run.column(name))
        error = np.abs(ours / listing[name][chosen] - 1.0)
        print(f"Desert Tortoise 4, {name:4s}: mean {error.mean():.2%}, largest {error.max():.2%}")
        assert error.max() <= LIMITS["slab_reference"]["largest"]
        assert error.mean() <= LIMITS["slab_reference"]["mean"]


def at(run: SlabRun, x: float, *names: str) -> list[float]:
    return [float(np.interp(x, run.column("x"), run.column(name))) for name in names]


def test_burro_8_pool() -> None:
    run = run_slab(SlabRelease("pool", 657.0, 111.7, rate=117.0, duration=107.0), LNG, BURRO, 1000.0)
    print(f"Burro 8: effective half length {run.source.end:.2f} m (listing 31.5)")
    assert run.choked
    assert run.source.end == pytest.approx(31.5, rel=LIMITS["slab_reference"]["listing"])
    names = ("h", "bb", "u", "cm", "t")
    for x, listing in ((0.0, (1.90, 46.1, 0.817, 0.313, 216.0)), (run.source.end, (2.09, 78.2, 1.00, 0.279, 226.0))):
        said = at(run, x, *names)
        print(f"Burro 8, x {x:6.1f} m:", {n: f"{a:.3g} ({b:g})" for n, a, b in zip(names, said, listing, strict=True)})
        assert said == pytest.approx(listing, rel=LIMITS["slab_reference"]["listing"])


def test_instantaneous_lng() -> None:
    run = run_slab(SlabRelease("cloud", 900.0, 111.7, mass=6000.0), LNG, BURRO, 1000.0)
    names = ("h", "bb", "bbx", "t")
    listings = (
        (0.328, (2.43, 19.7, 20.0, 119.0)),
        (39.8, (1.16, 82.8, 89.1, 262.0)),
        (279.0, (4.73, 124.0, 164.0, 302.0)),
    )
    for x, listing in listings:
        said = at(run, x, *names)
        print(
            f"LNG cloud, x {x:6.1f} m:", {n: f"{a:.3g} ({b:g})" for n, a, b in zip(names, said, listing, strict=True)}
        )
        assert said == pytest.approx(listing, rel=LIMITS["slab_reference"]["listing"])

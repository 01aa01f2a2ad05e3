"""The slab model: mass, limits, order; what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.science.consequence.conventions import OutOfRangeError
from anlan.science.consequence.gas import Gas
from anlan.science.consequence.slab import SlabRelease, run_slab
from anlan.science.consequence.slab_air import make_air, mean_wind, profile
from anlan.science.consequence.slab_field import SlabField

CHLORINE = Gas(0.070906, 498.0, 239.1, 288_000.0, 926.0, 1574.0)
AIR = make_air(3.0, 10.0, 0.05, 293.0, 0.5, 4.0)


@pytest.mark.parametrize("stability", [1.0, 2.5, 4.0, 5.0, 6.0])
def test_mean_wind_is_the_mean_of_the_profile(stability: float) -> None:
    air = make_air(4.0, 10.0, 0.1, 293.0, 0.5, stability)
    z = np.linspace(1e-9, 25.0, 20_001)
    speed = np.array([profile(float(one), air) for one in z]) * air.friction / 0.41
    assert mean_wind(25.0, air) == pytest.approx(np.trapezoid(speed, z) / 25.0, rel=1e-4)
    assert profile(10.0, air) * air.friction / 0.41 == pytest.approx(4.0)


def test_every_section_of_a_plume_carries_the_rate() -> None:
    field = SlabField(run_slab(SlabRelease("jet", 0.5, 239.1, rate=10.0, height=1.0, liquid=0.8), CHLORINE, AIR), 600.0)
    y, z = np.linspace(-400.0, 400.0, 1601), np.linspace(0.0, 120.0, 1201)
    for x in (20.0, 200.0, 1000.0):
        section = field.peak(np.array(x), y[:, None], z[None, :])
        speed = float(np.interp(x, field.run.column("x"), field.run.column("u")))
        assert np.trapezoid(np.trapezoid(section, z), y) * speed == pytest.approx(10.0, rel=0.02)


def test_a_cloud_keeps_its_mass() -> None:
    field = SlabField(run_slab(SlabRelease("cloud", 50.0, 239.1, mass=1000.0), CHLORINE, AIR), 10.0)
    x, y, z = np.linspace(-200, 400, 301), np.linspace(-200, 200, 201), np.linspace(0, 40, 201)
    for time in (5.0, 60.0):
        cloud = field.at(x[:, None, None], y[None, :, None], z[None, None, :], time)
        mass = np.trapezoid(np.trapezoid(np.trapezoid(cloud, z), y), x)
        assert mass == pytest.approx(1000.0, rel=0.02)


def test_more_gas_reaches_further() -> None:
    x = np.geomspace(5.0, 3000.0, 60)
    axes = []
    for rate in (1.0, 3.0, 10.0):
        run = run_slab(SlabRelease("jet", rate * 0.05, 239.1, rate=rate, height=0.5, liquid=0.8), CHLORINE, AIR)
        axes.append(SlabField(run, 600.0).peak(x, np.zeros_like(x), np.zeros_like(x)))
    assert np.all(axes[0] < axes[1])
    assert np.all(axes[1] < axes[2])


@pytest.mark.parametrize("kind", ["jet", "vertical", "pool", "cloud"])
def test_every_source_gives_finite_falling_concentrations(kind: str) -> None:
    source = SlabRelease(kind, 4.0, 239.1, rate=5.0, duration=300.0, mass=500.0, height=1.0)
    x = np.geomspace(30.0, 4000.0, 80)
    axis = SlabField(run_slab(source, CHLORINE, AIR), 60.0).peak(x, np.zeros_like(x), np.full_like(x, 1.0))
    assert np.all(np.isfinite(axis))
    assert np.all(axis > 0.0)
    assert axis[-1] < 0.05 * axis.max()


def test_a_short_release_from_a_pool_becomes_a_puff() -> None:
    source = SlabRelease("pool", 2000.0, 239.1, rate=50.0, duration=5.0)
    run = run_slab(source, CHLORINE, AIR)
    assert run.plume == 0
    final = run.rows[-1]
    mass = 4.0 * final[22]
    assert mass == pytest.approx(250.0, rel=1e-6)


@pytest.mark.parametrize(
    "release",
    [
        SlabRelease("wall", 1.0, 240.0, rate=1.0),
        SlabRelease("jet", 0.0, 240.0, rate=1.0),
        SlabRelease("jet", 1.0, 240.0, rate=0.0),
        SlabRelease("jet", 1.0, 240.0, rate=1.0, liquid=1.5),
        SlabRelease("jet", 1.0, 400.0, rate=1.0, liquid=0.5),
    ],
)
def test_impossible_sources_are_named(release: SlabRelease) -> None:
    with pytest.raises(OutOfRangeError):
        run_slab(release, CHLORINE, AIR)

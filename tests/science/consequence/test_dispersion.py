"""The public face: choice with reason, frames, distances, contours, ensembles, exposure."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from anlan.science.consequence import exposure, puffs
from anlan.science.consequence.conventions import OutOfRangeError, Release, Stability, Weather
from anlan.science.consequence.dispersion import disperse
from anlan.science.consequence.gas import Gas

CHLORINE = Gas(0.070906, 498.0, 239.1, 288_000.0, 926.0, 1574.0)
TRACER = Gas(0.0280, 1040.0, 77.0, 199_000.0, 2040.0, 806.0)
WEATHER = Weather(wind=4.0, stability=Stability.D)
LEAK = Release("carbon monoxide", 1.0, height=2.0)
DENSE = Release("chlorine", 5.0, temperature=239.1, vapour=0.2, velocity=30.0, height=1.0)


def test_the_choice_says_why() -> None:
    passive, dense = disperse(LEAK, WEATHER, gas=TRACER), disperse(DENSE, WEATHER, gas=CHLORINE)
    near = disperse(LEAK, replace(WEATHER, obukhov=-50.0), gas=TRACER)
    assert [one.model for one in (passive, dense, near)] == ["gaussian", "slab", "surface-layer"]
    for one in (passive, dense, near):
        assert "density number" in one.reason
        assert "密度数" in one.reason_zh


@pytest.mark.parametrize("model", ["gaussian", "surface-layer", "slab", "britter-mcquaid", "gaussian:turner"])
def test_turning_the_wind_turns_the_cloud(model: str) -> None:
    turned = replace(WEATHER, direction=37.0)
    places = np.array([[60.0, 3.0], [200.0, -10.0], [900.0, 25.0]])
    angle = math.radians(270.0 - 37.0)
    east = places[:, 0] * math.cos(angle) - places[:, 1] * math.sin(angle) + 100.0
    north = places[:, 0] * math.sin(angle) + places[:, 1] * math.cos(angle) - 50.0
    straight = disperse(DENSE, WEATHER, model, gas=CHLORINE).concentration(places[:, 0], places[:, 1], 1.0)
    moved = disperse(DENSE.moved(100.0, -50.0), turned, model, gas=CHLORINE)
    assert moved.concentration(east, north, 1.0, frame="map") == pytest.approx(straight, rel=1e-6)
    assert np.all(straight > 0.0)


@pytest.mark.parametrize("model", ["gaussian", "slab", "britter-mcquaid"])
def test_distance_and_contour_agree(model: str) -> None:
    cloud = disperse(DENSE, WEATHER, model, gas=CHLORINE)
    level = 3e-4
    far = cloud.distance_to(level)
    assert float(cloud.maximum(far, 1.5)) == pytest.approx(level, rel=0.05)
    ring = max(cloud.contour(level, frame="wind"), key=len)
    assert ring[:, 0].max() == pytest.approx(far, rel=0.03)
    assert ring[0] == pytest.approx(ring[-1])
    assert cloud.concentration(ring[:, 0], ring[:, 1], 1.5).max() < 2.0 * level or model == "britter-mcquaid"


def test_no_distance_where_the_level_is_never_reached() -> None:
    cloud = disperse(replace(LEAK, rate=1e-9), WEATHER, gas=TRACER)
    assert cloud.distance_to(1.0) == 0.0
    assert cloud.contour(1.0) == []


def test_time_comes_and_goes_with_a_finite_release() -> None:
    cloud = disperse(replace(LEAK, duration=120.0, mass=120.0, start=50.0), WEATHER, "gaussian", gas=TRACER)
    x = 400.0
    seen = [float(cloud.concentration(x, 0.0, 1.0, t)) for t in (40.0, 100.0, 265.0, 2000.0)]
    assert seen[0] == 0.0
    assert seen[2] == pytest.approx(float(cloud.concentration(x, 0.0, 1.0)), rel=0.05)
    assert seen[3] < 1e-6 * seen[2]


@pytest.mark.parametrize("model", ["gaussian", "slab", "britter-mcquaid"])
def test_instantaneous_releases_pass(model: str) -> None:
    cloud = disperse(Release("chlorine", 0.0, 0.0, 500.0, temperature=239.1), WEATHER, model, gas=CHLORINE)
    times = np.linspace(0.0, 400.0, 401)
    seen = np.array([float(cloud.concentration(300.0, 0.0, 0.5, float(t))) for t in times])
    assert seen[0] < 1e-3 * seen.max()
    assert seen[-1] < 0.2 * seen.max()
    assert seen.max() == pytest.approx(float(cloud.concentration(300.0, 0.0, 0.5)), rel=0.35)


def test_places_at_the_source_and_calm_wind_are_said() -> None:
    cloud = disperse(LEAK, replace(WEATHER, wind=0.0), gas=TRACER)
    said = float(cloud.concentration(0.2, 0.0, 2.0))
    assert 0.0 < said <= TRACER.vapour_density(293.15) * 1.001
    assert {"calm", "at-source"} <= {item[0] for item in cloud.remarks.items}


@pytest.mark.parametrize(
    ("release", "weather", "model"),
    [
        (replace(LEAK, rate=-1.0), WEATHER, "auto"),
        (replace(LEAK, rate=float("nan")), WEATHER, "auto"),
        (replace(LEAK, rate=1e12), WEATHER, "auto"),
        (replace(LEAK, rate=0.0), WEATHER, "auto"),
        (replace(LEAK, vapour=2.0), WEATHER, "auto"),
        (LEAK, replace(WEATHER, wind=-2.0), "auto"),
        (LEAK, WEATHER, "best"),
        (LEAK, WEATHER, "gaussian:mine"),
    ],
)
def test_bad_input_is_named(release: Release, weather: Weather, model: str) -> None:
    with pytest.raises(OutOfRangeError) as caught:
        disperse(release, weather, model, gas=TRACER)
    assert caught.value.where
    assert caught.value.fix


def test_places_under_the_ground_are_refused() -> None:
    with pytest.raises(OutOfRangeError):
        disperse(LEAK, WEATHER, gas=TRACER).concentration(10.0, 0.0, -1.0)


def test_a_chain_of_puffs_in_steady_wind_is_the_plume_of_its_puffs() -> None:
    wind = puffs.Wind(np.array([0.0]), np.array([4.0]), np.array([270.0]))
    east, north = np.array([200.0, 400.0, 400.0]), np.array([0.0, 0.0, 5.0])
    said = puffs.chain(east, north, 1.5, np.array([600.0]), np.full(300, 2.0), 2.0, wind, Stability.D)[0]
    chosen = puffs.scheme("ccps-puff")
    y, z = chosen.sigma_y(Stability.D, east), chosen.sigma_z(Stability.D, east)
    plain = puffs.gaussian.plume(north, np.array(1.5), 2.0, 4.0, 0.0, y, z)
    assert said == pytest.approx(plain, rel=0.1)


def test_a_chain_keeps_mass_and_follows_the_wind() -> None:
    wind = puffs.Wind(np.array([0.0, 60.0]), np.array([3.0, 3.0]), np.array([270.0, 180.0]))
    east, north = np.meshgrid(np.linspace(-100, 500, 301), np.linspace(-100, 900, 501))
    field = puffs.chain(
        east.ravel(), north.ravel(), 0.0, np.array([200.0]), np.array([5.0]), 4.0, wind, Stability.D
    )[0].reshape(east.shape)  # fmt: skip
    centre = (float((field * east).sum() / field.sum()), float((field * north).sum() / field.sum()))
    assert centre[1] > 300.0
    assert 60.0 < centre[0] < 200.0


def test_exceedance_is_the_count_of_members() -> None:
    members = puffs.spread_of(1.0, 4.0, 250.0, Stability.D, 60, seed=1)
    east, north = np.linspace(-200, 2000, 45), np.linspace(-800, 900, 35)
    level = 2e-5
    said = puffs.exceedance(members, level, east, north, height=1.5)
    plain = np.zeros((35, 45))
    for i in range(60):
        release = Release("x", float(members.rate[i]))
        weather = Weather(wind=float(members.wind[i]), wind_height=2.0, direction=float(members.direction[i]))
        cloud = disperse(release, weather, "gaussian", gas=TRACER)
        plain += cloud.concentration(east[None, :], north[:, None], 1.5, frame="map") >= level
    assert np.abs(said - plain / 60).max() <= 1.5 / 60
    assert said.max() > 0.5


def test_indoors_follows_outdoors_late_and_keeps_the_integral() -> None:
    time = np.linspace(0.0, 40_000.0, 4001)
    outdoor = np.where(time <= 1800.0, 1.0, 0.0)
    inside = exposure.indoor(time, outdoor, 1.0)
    assert inside[180] == pytest.approx(1.0 - math.exp(-0.5), rel=1e-3)
    assert np.trapezoid(inside, time) == pytest.approx(np.trapezoid(outdoor, time), rel=1e-3)
    assert exposure.toxic_load(time, outdoor, 2.0)[-1] == pytest.approx(1805.0)
    assert float(exposure.shelter_gain(time, outdoor, 1.0, 2.0)) < 0.4


def test_exposure_refuses_times_that_fall() -> None:
    with pytest.raises(OutOfRangeError):
        exposure.toxic_load(np.array([0.0, 2.0, 1.0]), np.ones(3))

"""The park's physics: repeatable, conserving, in bounds, quiet when all is well, loud when it is not."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from anlan.sim.park import Park
from anlan.sim.signals import layout
from anlan.sim.upsets import KINDS, OPENING, Scenario, Upset, random_upsets
from tests.sim.judge import Judge


def test_has_three_enterprises_and_two_thousand_points() -> None:
    points = layout().points
    assert len({point.path for point in points}) == len(points) >= 2000
    assert len({(point.connector, point.tag) for point in points}) == len(points)
    assert {point.path.split("/")[0] for point in points} == {"haian", "donglan", "gangneng"}


def test_same_seed_same_values() -> None:
    first, second, other = Park(7), Park(7), Park(8)
    for park in (first, second, other):
        park.advance(40)
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.quality, second.quality)
    assert (first.values != other.values).sum() > 1000


def test_mass_balance_closes() -> None:
    park = Park(3, scenario=Scenario.quiet())
    before = park.tanks.mass.copy()
    park.advance(900)
    change = park.tanks.received - park.tanks.delivered
    np.testing.assert_allclose(park.tanks.mass - before, change, rtol=0, atol=1e-3)
    assert park.tanks.received.min() > 0


def test_stays_in_bounds_for_an_hour_of_upsets() -> None:
    park = Park(5, speed=5, scenario=Scenario.running(5))
    levels = np.array([point.index for point in park.points if point.kind == "level" and point.unit == "%"])
    low, high = (np.array([getattr(point, name) for point in park.points]) for name in ("low", "high"))
    for _ in range(60):
        park.advance(60)
        assert np.isfinite(park.values).all()
        assert (park.values >= low).all()
        assert (park.values <= high).all()
        assert (park.values[levels] > 5).all()
        assert (park.values[levels] < 98).all()


def test_pressure_of_a_full_ammonia_sphere_is_its_vapour_pressure() -> None:
    # Ammonia at 20 °C: 0.857 MPa absolute (NIST Chemistry WebBook).
    from anlan.sim.units.tanks import vapour_pressure

    pressure = vapour_pressure(np.array([293.15]), np.array([239.8]), np.array([23350.0]))
    assert pressure[0] == pytest.approx(0.857, rel=0.03)


def test_normal_running_is_quiet() -> None:
    park = Park(11, scenario=Scenario.quiet())
    judge = Judge(park)
    for _ in range(300):
        park.advance(2)
        judge.look()
    assert len(judge.raised) <= 2, judge.raised


def test_a_normal_day_has_a_few_nuisance_alarms_an_hour() -> None:
    park = Park(2, speed=5, scenario=Scenario.running(2))
    judge = Judge(park)
    for _ in range(1800):
        park.advance(2)
        judge.look()
    assert 1 <= len(judge.raised) <= 40, judge.raised


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_opening_rings_all_kinds_within_thirty_seconds(seed: int) -> None:
    park = Park(seed)
    judge = Judge(park)
    quality: set[str] = set()
    for _ in range(30):
        park.advance(1)
        judge.look()
        quality |= {park.points[row].path for row in np.flatnonzero(park.quality)}
    kinds = Counter(kind for _, _, kind in judge.raised.values())
    priorities = {priority for _, priority, _ in judge.raised.values()}
    assert kinds["HH"] >= 1
    assert kinds["H"] + kinds["L"] >= 1
    assert kinds["rate"] + kinds["deviation"] >= 1
    assert kinds["state"] >= 1
    assert len(priorities) >= 3
    assert "donglan/eo/r-201/temperature-2" in quality
    assert "weather-2" in park.silent
    assert kinds["expression"] >= 1
    assert len(judge.raised) < 60, kinds


def test_a_lost_coolant_brings_two_of_three_temperatures_up() -> None:
    park = Park(1)
    judge = Judge(park)
    for _ in range(150):
        park.advance(1)
        judge.look()
    assert any(kind == "vote" for _, _, kind in judge.raised.values())


def test_gas_reaches_the_detectors_down_wind_first() -> None:
    leak = Upset("leak", "haian/ammonia-farm/t-402", 0.2, 40, 0.2, "ammonia")
    park = Park(4, scenario=Scenario((leak,)))
    park.world.wind_direction = park.weather._home = 270.0
    unit = "haian/ammonia-farm/t-402"
    around = {p.id: p.index for p in park.points if p.unit_path == unit and p.kind == "toxic-gas"}
    park.advance(12)
    east, west = park.values[around["nh3-1"]], park.values[around["nh3-3"]]
    assert east > 5 * max(west, 1.0)


def test_every_upset_ends_as_it_began() -> None:
    targets = {upset.kind: upset for upset in OPENING}
    targets |= {"stiction": Upset("stiction", "donglan/eo/e-206", 0, 1, 8.0)}
    targets |= {"seal-wear": Upset("seal-wear", "haian/pump-station/p-402a", 0, 1, 0.1, "ammonia")}
    targets |= {"drift": targets["drift"], "spike": Upset("spike", "donglan/chlorine/v-113/cl2-1", 0, 1, 2.0)}
    assert set(targets) == set(KINDS)
    upsets = tuple(Upset(u.kind, u.target, 1.0, 5.0, u.size, u.gas) for u in targets.values())
    park, calm = Park(6, scenario=Scenario(upsets)), Park(6, scenario=Scenario.quiet())
    park.advance(60)
    calm.advance(60)
    assert not park.silent | park.cut
    assert not (park.frozen | (park.quality > 0) | (park.bias != 0)).any()
    np.testing.assert_array_equal(park.pumps.state, calm.pumps.state)
    np.testing.assert_array_equal(park.feeders.closed, calm.feeders.closed)
    np.testing.assert_array_equal(park.reactors.cooling, calm.reactors.cooling)
    np.testing.assert_array_equal(park.exchangers.loop.setpoint, calm.exchangers.loop.setpoint)
    np.testing.assert_array_equal(park.exchangers.valve.band, calm.exchangers.valve.band)
    np.testing.assert_array_equal(park.tanks.surplus, calm.tanks.surplus)
    np.testing.assert_array_equal(park.pumps.seal, calm.pumps.seal)
    assert park.leaks == calm.leaks


def test_a_worn_seal_loses_its_barrier_fluid_before_gas_escapes() -> None:
    unit = "haian/pump-station/p-402a"
    park = Park(6, speed=5, scenario=Scenario((Upset("seal-wear", unit, 10.0, 400.0, 0.1, "ammonia"),)))
    seal = park.index_of(f"{unit}/seal-pressure")
    park.advance(60)
    early = park.values[seal]
    park.advance(200)
    assert park.values[seal] < early - 0.2
    assert not park.leaks
    park.advance(100)
    assert 0 < park.leaks[0].rate < 0.1
    park.advance(100)
    assert not park.leaks


def test_random_upsets_follow_the_seed() -> None:
    assert random_upsets(1, 10) == random_upsets(1, 10)
    assert random_upsets(1, 10) != random_upsets(2, 10)
    assert 30 <= len(random_upsets(1, 10)) <= 90


def test_says_what_a_step_costs(capsys: pytest.CaptureFixture[str]) -> None:
    park = Park(1)
    began = time.process_time()
    park.advance(20)
    spent = (time.process_time() - began) / (20 / park.dt)
    with capsys.disabled():
        print(
            f"\n{len(park.points)} points: {spent * 1e3:.2f} ms CPU a step, {spent / park.dt:.2%} of a core at speed 1"
        )

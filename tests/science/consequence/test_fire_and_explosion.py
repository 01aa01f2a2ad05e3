"""Fires, explosions and harm: printed worked values, limits, continuity, honest errors."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import InvalidInputError
from anlan.science.consequence import harm
from anlan.science.consequence.conventions import OutOfRangeError, Remarks, Weather
from anlan.science.consequence.fireball import fireball, radiant_fraction
from anlan.science.consequence.flash_fire import flammable_density, flammable_mass, flash_fire
from anlan.science.consequence.harm import Equipment
from anlan.science.consequence.jet_fire import (
    JetSource,
    flame_length,
    gas_source,
    jet_fire,
    lift_off,
    source_diameter,
    still_length,
    surface,
    tilt_angle,
    widths,
)
from anlan.science.consequence.jet_fire import radiant_fraction as jet_fraction
from anlan.science.consequence.pool_fire import burning_rate, flame_tilt, mudan_emissive_power, pool_fire
from anlan.science.consequence.radiation import (
    cylinder_factors,
    numeric_factors,
    tilted_factors,
    transmissivity,
    water_vapour_pressure,
)
from anlan.science.consequence.substances import MissingDataError, Reactivity, substance
from anlan.science.consequence.vapour_cloud import (
    baker_strehlow_tang,
    cloud_energy,
    flame_mach,
    gbt37243_overpressure,
    kinney_graham,
    multi_energy,
    reflected,
    stoichiometric_fraction,
    strength,
    tnt,
    tnt_mass,
)
from anlan.science.consequence.vessel_burst import flashing_energy, vessel_burst

AIR = Weather(5.0, temperature=288.15, humidity=0.6)


# -- radiation


@pytest.mark.parametrize(
    ("length", "distance", "vertical", "horizontal"),
    [
        (2, 3, 0.132237, 0.050105),
        (6, 2, 0.249292, 0.160839),
        (10, 1.1, 0.454545, 0.363131),
        (3, 10, 0.019426, 0.003069),
    ],
)
def test_view_factors_of_an_upright_cylinder(
    length: float, distance: float, vertical: float, horizontal: float
) -> None:
    assert cylinder_factors(length, distance) == pytest.approx((vertical, horizontal), abs=2e-6)
    assert numeric_factors(length, distance, 0.0) == pytest.approx((vertical, horizontal), rel=0.03)


def test_view_factors_of_the_yellow_books_tilted_flames() -> None:
    assert tilted_factors(11.18, 14.43166, math.radians(2.00843)) == pytest.approx((0.02665, 0.00934), abs=1e-5)
    length, reach, tilt = 1.1020 * 2, 100 / 21.223, math.radians(50.829)
    assert tilted_factors(length, reach, tilt) == pytest.approx((0.09192, 0.02915), abs=2e-5)
    assert numeric_factors(length, reach, tilt) == pytest.approx((0.09192, 0.02915), rel=0.01)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.2, 20), st.floats(1.05, 50), st.floats(-1.2, 1.2))
def test_view_factors_are_shares(length: float, distance: float, tilt: float) -> None:
    vertical, horizontal = tilted_factors(length, distance, tilt)
    assert 0 <= vertical <= 1
    assert 0 <= horizontal <= 1


def test_air_takes_its_share() -> None:
    assert float(transmissivity(1193.5, 50)) == pytest.approx(0.7508, abs=1e-4)
    assert float(transmissivity(100.0, 1.0)) == 1.0
    assert water_vapour_pressure(293.15, 1.0) == pytest.approx(2339, rel=0.01)


# -- pool fire


def test_tilt_and_burning_of_the_yellow_books_benzene_pool() -> None:
    assert math.degrees(flame_tilt(5, 42.446, 7.5133e-6)) == pytest.approx(50.829, abs=0.02)
    assert burning_rate("benzene", 42.446) == pytest.approx(0.085, rel=1e-3)


@pytest.mark.parametrize(("diameter", "power"), [(1, 126.43), (10, 56.14), (20, 30.89), (50, 20.30)])
def test_emissive_power_of_mudan(diameter: float, power: float) -> None:
    assert mudan_emissive_power(diameter) / 1e3 == pytest.approx(power, abs=0.01)


def test_burning_without_constants_is_burgess() -> None:
    hexane = substance("n_hexane")
    rate = burning_rate(replace(hexane, pool=None), 10.0)
    assert rate == pytest.approx(0.1004, rel=0.03)


def test_a_pool_fire_is_hotter_near_and_downwind() -> None:
    fire = pool_fire("gasoline", 10.0, AIR)
    fluxes = [fire.flux(x) for x in np.geomspace(6, 300, 40)]
    assert all(a > b for a, b in itertools.pairwise(fluxes))
    assert fire.flux(20.0) > fire.flux(20.0, bearing=math.pi)
    near, far = fire.distance_to(12.5e3), fire.distance_to(1.58e3)
    assert 5 < near < far
    assert fire.flux(far) == pytest.approx(1.58e3, rel=1e-6)


def test_a_burning_mass_lasts() -> None:
    fire = pool_fire("methanol", 5.0, AIR, mass=1000.0)
    assert fire.duration == pytest.approx(1000.0 / fire.rate)


@pytest.mark.parametrize("diameter", [-1.0, 0.0, math.nan, 1e6])
def test_pools_have_a_size(diameter: float) -> None:
    with pytest.raises(OutOfRangeError, match="diameter"):
        pool_fire("gasoline", diameter, AIR)


def test_what_does_not_burn_says_so() -> None:
    with pytest.raises(MissingDataError, match="heat of combustion"):
        pool_fire("chlorine", 5.0, AIR)


# -- jet fire


def _methane() -> JetSource:
    """Worked flame: 10 kg/s of methane from 50 bar, 283 K, γ 1.306, in air of 288 K."""
    return JetSource(substance("methane"), 10.0, 866.0, 101_325 * 0.01604 / (8.314 * 113.5))


def test_chamberlains_worked_flame() -> None:
    source, air = _methane(), 101_325 * 0.028964 / (8.314 * 288)
    length = flame_length(source, air, 5, 90)
    alpha = 8000 * (5 / 866.0) / ((9.80665 / (0.10954**2 * 866.0**2)) ** (1 / 3) * length)
    base, tip = widths(source, length, 5, air)
    assert source_diameter(source, air) == pytest.approx(0.10954, rel=2e-3)
    assert still_length(source, air) == pytest.approx(36.51, rel=2e-3)
    assert length == pytest.approx(20.41, rel=2e-3)
    assert tilt_angle(source, length, 5, 90, air) == pytest.approx(alpha, rel=2e-3)
    assert lift_off(length, 5, 866.0, 12.29) == pytest.approx(3.697, rel=2e-3)
    assert (base, tip) == pytest.approx((1.477, 5.913), rel=2e-3)
    assert surface(base, tip, 16.78) == pytest.approx(225.6, rel=2e-3)
    assert jet_fraction(source, length) == pytest.approx(0.1228, rel=2e-3)
    assert flame_length(source, air, 5, 0) == pytest.approx(31.56, rel=2e-3)


def test_tilt_is_continuous_where_its_branches_meet() -> None:
    source = _methane()
    below = tilt_angle(source, 20.0, 0.05 * source.velocity * (1 - 1e-9), 90, 1.2)
    above = tilt_angle(source, 20.0, 0.05 * source.velocity * (1 + 1e-9), 90, 1.2)
    assert below == pytest.approx(above, rel=5e-3)


def test_base_grows_to_the_jet_as_wind_dies() -> None:
    source = _methane()
    diameter = source_diameter(source, 1.2)
    calm, _ = widths(source, 20.0, 1e-9, 1.2)
    assert calm == pytest.approx(diameter * math.sqrt(1.2 / source.density), rel=0.05)


def test_jet_flames_lean_with_the_wind_and_rotate_with_it() -> None:
    source = gas_source("methane", 5.0, 40e5, 288.0)
    east = jet_fire(source, replace(AIR, direction=270.0), math.pi / 2)
    north = jet_fire(source, replace(AIR, direction=180.0), math.pi / 2)
    assert east.points[0, -1] > 0.5
    target = np.array([30.0, 0.0, 1.5])
    turned = np.array([0.0, 30.0, 1.5])
    assert float(east.flux(target)[0]) == pytest.approx(float(north.flux(turned)[0]), rel=1e-9)
    assert float(east.flux(target)[0]) > float(east.flux(-target * [1, 1, -1])[0])
    assert float(east.weights.sum()) == pytest.approx(1.0)


def test_a_slow_jet_rises_more_than_a_fast_one() -> None:
    slow = jet_fire(JetSource(substance("methane"), 5.0, 150.0, 0.7), replace(AIR, wind=0.5))
    fast = jet_fire(JetSource(substance("methane"), 5.0, 900.0, 1.4), replace(AIR, wind=0.5))
    assert slow.points[2, -1] / slow.length > 1.5 * fast.points[2, -1] / fast.length


@pytest.mark.parametrize(("rate", "velocity"), [(0.0, 300.0), (-1.0, 300.0), (1.0, math.nan), (1e9, 300.0)])
def test_senseless_jets_are_refused(rate: float, velocity: float) -> None:
    with pytest.raises(OutOfRangeError):
        jet_fire(JetSource(substance("methane"), rate, velocity, 1.0), AIR)


# -- fireball and flash fire


def test_ccps_fireball_of_100_t_of_propane() -> None:
    ball = fireball("propane", 1e5, AIR, radiant=0.3)
    assert ball.diameter == pytest.approx(269.21, abs=0.01)
    assert ball.duration == pytest.approx(17.71, abs=0.01)
    assert ball.emissive_power == pytest.approx(344.8e3, rel=2e-3)
    assert radiant_fraction(1.5e6) == pytest.approx(0.27 * 1.5**0.32, rel=0.005)


def test_a_huge_fireball_is_no_brighter_than_measured() -> None:
    remarks = Remarks()
    ball = fireball("propane", 5e6, AIR, pressure=2e7, remarks=remarks)
    assert ball.emissive_power == pytest.approx(400e3)
    assert remarks.items[0][0] == "brightest-flame"


@pytest.mark.parametrize("mass", [0.0, -5.0, math.nan, 1e12])
def test_fireballs_have_a_mass(mass: float) -> None:
    with pytest.raises(OutOfRangeError, match="mass"):
        fireball("propane", mass, AIR)


def test_a_flash_fire_reaches_to_the_flammable_limit() -> None:
    limit = flammable_density("propane", 293.15, 101_325)
    fire = flash_fire("propane", lambda c: 50 * (limit / c) ** 0.5)
    assert fire.distance == pytest.approx(50.0)
    assert fire.margin == pytest.approx(50 * math.sqrt(2))
    assert (fire.lethal(49.0), fire.lethal(51.0)) == (1.0, 0.0)
    with pytest.raises(MissingDataError, match="no flammable limit"):
        flash_fire("chlorine", lambda c: 1 / c)
    with pytest.raises(InvalidInputError, match="half of it"):
        flash_fire("propane", lambda c: 50 * c)


# -- explosions


@pytest.mark.parametrize(("level", "pressure"), [(3, 1070), (5, 3960), (7, 9257), (10, 9257)])
def test_multi_energy_at_100_m_of_1000_m3(level: int, pressure: float) -> None:
    assert multi_energy(cloud_energy(1000.0), level).overpressure(100.0) == pytest.approx(pressure, rel=1e-3)


def test_multi_energy_phase_and_impulse() -> None:
    blast = multi_energy(3.5e9, 7)
    assert blast.duration(100.0) == pytest.approx(36.2e-3, rel=5e-3)
    assert blast.impulse(100.0) == pytest.approx(0.5 * 9257 * 36.2e-3, rel=6e-3)


@pytest.mark.parametrize("level", range(1, 11))
def test_multi_energy_falls_without_jumps_and_orders(level: int) -> None:
    distances = np.geomspace(8, 3000, 600)
    pressures = np.array([multi_energy(3.5e9, level).overpressure(x) for x in distances])
    ratio = pressures[1:] / pressures[:-1]
    step = distances[1] / distances[0]
    assert np.all(ratio <= 1.016)
    assert np.all(ratio >= step**-2.6 * 0.98)
    if level > 1:
        weaker = np.array([multi_energy(3.5e9, level - 1).overpressure(x) for x in distances])
        assert np.all(pressures >= weaker * 0.985)


@pytest.mark.parametrize("level", [0, 11, -1])
def test_blast_strengths_are_one_to_ten(level: int) -> None:
    with pytest.raises(OutOfRangeError, match="blast strength"):
        multi_energy(3.5e9, level)


def test_baker_strehlow_tang_detonation() -> None:
    assert baker_strehlow_tang(3.5e9, 5.2).overpressure(100.0) == pytest.approx(13_850, rel=0.01)


@pytest.mark.parametrize("mach", [0.1, 0.35, 0.5, 1.0, 2.0, 5.2])
def test_baker_strehlow_tang_falls_with_distance(mach: float) -> None:
    blast = baker_strehlow_tang(3.5e9, mach)
    pressures = [blast.overpressure(x) for x in np.geomspace(3, 3000, 120)]
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(pressures))
    assert blast.distance_to(pressures[60]) == pytest.approx(np.geomspace(3, 3000, 120)[60], rel=0.01)


def test_flame_speeds_and_strengths_come_from_their_tables() -> None:
    assert flame_mach(Reactivity.MEDIUM, "medium", "2.5-D") == 0.55
    assert flame_mach(Reactivity.HIGH, "high", "3-D") == 5.2
    assert strength("strong", "high", True) == (7, 10)
    with pytest.raises(InvalidInputError, match="congestion"):
        flame_mach(Reactivity.LOW, "some")
    with pytest.raises(InvalidInputError, match="blast strength"):
        strength("mild", "none", False)


@pytest.mark.parametrize(
    ("scaled", "kilopascal"), [(1, 1353.7), (2, 283.75), (5, 43.23), (10, 14.889), (20, 6.102), (40, 2.375)]
)
def test_tnt_of_swisdak(scaled: float, kilopascal: float) -> None:
    assert tnt(1.0).overpressure(scaled) / 1e3 == pytest.approx(kilopascal, rel=1e-3)


@pytest.mark.parametrize(("scaled", "kilopascal"), [(1, 1008.8), (5, 29.238), (10, 9.985), (40, 2.121)])
def test_tnt_of_kinney_and_graham(scaled: float, kilopascal: float) -> None:
    assert kinney_graham(scaled) * 101.325 == pytest.approx(kilopascal, rel=1e-3)


def test_chinese_formula_and_equivalents() -> None:
    assert gbt37243_overpressure(1000, 500) == pytest.approx(2383, abs=1)
    assert tnt_mass("propane", 1000.0) == pytest.approx(0.04 * 1000 * 46.34 / 4.52, rel=1e-6)
    assert reflected(1e3) == pytest.approx(2e3, rel=0.02)
    with pytest.raises(OutOfRangeError, match="yield"):
        tnt_mass("propane", 1000.0, 1.5)


@pytest.mark.parametrize(("name", "share"), [("methane", 0.0948), ("propane", 0.0402), ("hydrogen", 0.2953)])
def test_stoichiometric_mixtures(name: str, share: float) -> None:
    assert stoichiometric_fraction(name) == pytest.approx(share, rel=2e-3)


@pytest.mark.parametrize("energy", [0.0, -1.0, math.nan, 1e30])
def test_energies_are_of_this_world(energy: float) -> None:
    with pytest.raises(OutOfRangeError, match="energy"):
        multi_energy(energy, 5)


def test_a_vessel_bursts_with_its_gas_and_its_flash() -> None:
    gas = vessel_burst("nitrogen", 10.0, 2e6, 293.0)
    assert gas.energy == pytest.approx(10 * 2e6 / 0.4 * (1 - (101_325 / 2e6) ** (0.4 / 1.4)), rel=0.01)
    with_liquid = vessel_burst("propane", 10.0, 2e6, 330.0, fill=0.8, shell=5000.0)
    assert with_liquid.energy > vessel_burst("propane", 10.0, 2e6, 330.0).energy
    assert with_liquid.fragment_velocity == pytest.approx(math.sqrt(2 * 0.04 * with_liquid.energy / 5000))
    assert flashing_energy("benzene", 100.0, 300.0) == 0.0
    with pytest.raises(OutOfRangeError):
        vessel_burst("methane", 10.0, 2e6, 293.0, fill=0.5)
    with pytest.raises(OutOfRangeError, match="pressure"):
        vessel_burst("nitrogen", 10.0, 9e4, 293.0)


# -- harm


def test_probits_and_probabilities() -> None:
    assert harm.probability([2.67, 5, 7.33]) == pytest.approx([0.01, 0.5, 0.99], abs=2e-4)
    assert harm.probit_of(harm.probability(4.2)) == pytest.approx(4.2)


@pytest.mark.parametrize(
    ("flux", "seconds", "which", "probit"),
    [
        (1e4, 30, "eisenberg", 1.665),
        (1e4, 30, "aqt3046", 3.765),
        (1e4, 30, "tno", 2.915),
        (3.5e4, 20, "eisenberg", 4.903),
        (3.5e4, 20, "aqt3046", 7.003),
        (3.5e4, 20, "tno", 6.153),
        (1.25e4, 60, "lees-clothed", 2.779),
    ],
)
def test_thermal_probits(flux: float, seconds: float, which: str, probit: float) -> None:
    assert float(harm.thermal_probit(harm.thermal_dose(flux, seconds), which)) == pytest.approx(probit, abs=2e-3)


def test_heat_kills_surely_in_the_flame_and_never_without() -> None:
    assert harm.thermal_lethality([0.0, 4e4], 60.0) == pytest.approx([0.0, 1.0])
    assert harm.thermal_lethality(1e4, 20.0) == harm.thermal_lethality(1e4, 2000.0)


def test_overpressure_probits() -> None:
    assert float(harm.overpressure_probit(1e5, "lung-eisenberg")) == pytest.approx(2.454, abs=2e-3)
    assert float(harm.overpressure_probit(1e5)) == pytest.approx(5.13)
    assert float(harm.overpressure_probit(5 * 6894.76)) == pytest.approx(3.671, abs=2e-3)
    assert float(harm.collapse_probit(3e4, 500)) == pytest.approx(4.522, abs=2e-3)
    assert harm.overpressure_lethality([5e3, 2e4, 4e4], indoors=True) == pytest.approx([0, 0.025, 1])
    assert harm.overpressure_lethality([5e3, 2e4, 4e4]) == pytest.approx([0, 0, 1])


@pytest.mark.parametrize(
    ("name", "milligrams"), [("chlorine", 1116), ("ammonia", 5428), ("hydrogen_sulfide", 986), ("phosgene", 81.35)]
)
def test_lethal_concentrations(name: str, milligrams: float) -> None:
    assert harm.lethal_concentration(name) * 1e6 == pytest.approx(milligrams, rel=1e-3)
    assert harm.toxic_lethality(name, milligrams * 1e-6, 1800.0) == pytest.approx(0.5, abs=1e-3)


def test_carbon_monoxide_of_the_purple_book() -> None:
    assert float(harm.toxic_probit("carbon_monoxide", 0.0213, 1800.0)) == pytest.approx(5.968, abs=1e-3)
    assert float(harm.toxic_lethality("carbon_monoxide", 0.0213, 1800.0)) == pytest.approx(0.833, abs=1e-3)


def test_sets_of_probits_are_never_mixed() -> None:
    milligrams = harm.lethal_concentration("hydrogen_fluoride")
    parts = harm.lethal_concentration("hydrogen_fluoride", which="probit_ppm")
    assert parts / milligrams == pytest.approx(6531 / 943, rel=0.02)


def test_a_varying_exposure_counts_its_load() -> None:
    varying = np.array([[0.0, 0.001], [0.002, 0.001]])
    load = harm.toxic_load(varying * 1e6, 600.0, 2.0)
    assert load == pytest.approx([(0 + 2000**2) / 2 * 10, 1000**2 * 10])


def test_effects_read_worst_first_in_both_languages() -> None:
    found = harm.effects("thermal", 13e3)
    assert found[0].threshold == 12_500
    assert "木材" in found[0].zh
    assert harm.effects("overpressure", 500.0) == []
    with pytest.raises(InvalidInputError, match="no table"):
        harm.effects("noise", 1.0)


def test_equipment_fails_later_when_larger_or_cooler() -> None:
    small = harm.time_to_failure(Equipment.PRESSURISED, 60e3, 10.0)
    large = harm.time_to_failure(Equipment.PRESSURISED, 60e3, 200.0)
    cool = harm.time_to_failure(Equipment.PRESSURISED, 40e3, 10.0)
    assert small < large
    assert small < cool
    assert harm.time_to_failure(Equipment.PRESSURISED, 0.0, 10.0) == math.inf
    assert harm.damage_by_fire(Equipment.PRESSURISED, 60e3, 60.0, 10.0) == 0.0
    assert 0.3 < harm.damage_by_fire(Equipment.PRESSURISED, 60e3, 3600.0, 10.0) < 1.0


def test_domino_thresholds() -> None:
    assert harm.escalates(Equipment.ATMOSPHERIC, flux=16e3, duration=700.0)
    assert not harm.escalates(Equipment.ATMOSPHERIC, flux=16e3, duration=60.0)
    assert not harm.escalates(Equipment.PRESSURISED, flux=16e3, duration=700.0)
    assert harm.escalates(Equipment.PRESSURISED, overpressure=17e3)
    assert harm.damage_by_overpressure(Equipment.ATMOSPHERIC, 0.0) == 0.0


@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_negative_effects_are_refused(value: float) -> None:
    with pytest.raises(InvalidInputError, match="below 0"):
        harm.thermal_lethality(value, 10.0)
    with pytest.raises(InvalidInputError, match="below 0"):
        harm.toxic_probit("chlorine", value, 60.0)
    with pytest.raises(InvalidInputError, match="below 0"):
        harm.overpressure_lethality(value)


def test_fires_have_no_jump_at_the_borders_of_their_formulas() -> None:
    masses = np.geomspace(2e4, 6e4, 400)
    durations = np.array([fireball("propane", float(m), AIR).duration for m in masses])
    assert np.max(np.diff(durations) / durations[:-1]) < 2e-3
    lengths = np.array(
        [pool_fire("gasoline", 10.0, replace(AIR, wind=float(u))).length for u in np.linspace(0, 10, 800)]
    )
    assert np.max(np.abs(np.diff(lengths)) / lengths[:-1]) < 5e-3


def test_flammable_mass_of_a_gaussian_plume_is_that_of_its_sections() -> None:
    """A plume of constant width: in each section the mass above the limit follows from the ring it fills."""
    low, high = flammable_density("propane", 293.15, 101_325), 0.095 * substance("propane").gas_density(293.15)

    def plume(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.where(x < 10.0, 0.15 * np.exp(-(y**2 + z**2) / (2 * 0.8**2)), 0.0)

    mass, centre = flammable_mass("propane", plume, 10.0)
    # half of the round section is above the ground: π σ² (high - low) each
    assert mass == pytest.approx(math.pi * 0.8**2 * (min(high, 0.15) - low) * 10.0, rel=0.05)
    assert centre == pytest.approx(5.0, rel=0.03)
    assert flammable_mass("propane", plume, 0.0) == (0.0, 0.0)

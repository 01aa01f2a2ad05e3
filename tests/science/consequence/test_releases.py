"""Discharge, expansion, blow-down and pools: worked values, limits, conservation, impossible states."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.blowdown import Shape, Tank, gas_pipe, gas_vessel, liquid_tank
from anlan.science.consequence.conventions import OutOfRangeError, Remarks, Weather
from anlan.science.consequence.discharge import (
    Contents,
    Hole,
    Phase,
    critical_ratio,
    discharge,
    fauske_flux,
    ideal_gas_flux,
    liquid_flux,
    omega_of,
    saturated_flux,
    subcooled_flux,
)
from anlan.science.consequence.jets import airborne_fraction, expand, flash_fraction, release_of, rupture
from anlan.science.consequence.pools import (
    Spill,
    boiling_flux,
    continuous_radius,
    evaporation_flux,
    instantaneous_radius,
    pool,
    transfer_velocity,
)
from anlan.science.consequence.real_gas import RealGas
from anlan.science.consequence.substances import substance

AREA_10MM = math.pi * 0.01**2 / 4
AIR = Weather(5.0)


def saturated(name: str, temperature: float, head: float = 0.0) -> Contents:
    return Contents(name, temperature, substance(name).vapour_pressure(temperature), Phase.LIQUID, head)


# -- discharge


def test_liquid_jet_of_ccps_page_40() -> None:
    assert 0.63 * AREA_10MM * liquid_flux(490, 19610.0368) == pytest.approx(0.2169115, rel=1e-5)


def test_liquid_tank_of_the_yellow_book() -> None:
    assert 0.62 * math.pi * 0.1**2 / 4 * liquid_flux(812.5, 0, 11.12) == pytest.approx(58.44, rel=1e-3)


def test_choked_hydrogen_of_the_yellow_book() -> None:
    flux = ideal_gas_flux(50e5, 288.15, 2.0159e-3, 1.405, 101_325)
    assert 0.62 * math.pi * 0.1**2 / 4 * flux == pytest.approx(15.31, rel=2e-3)


def test_choked_and_subsonic_meet() -> None:
    gamma = 1.3
    border = ((gamma + 1) / 2) ** (gamma / (gamma - 1)) * 101_325
    below = ideal_gas_flux(border * (1 - 1e-9), 300, 0.03, gamma, 101_325)
    above = ideal_gas_flux(border * (1 + 1e-9), 300, 0.03, gamma, 101_325)
    assert below == pytest.approx(above, rel=1e-8)


@pytest.mark.parametrize(
    ("omega", "ratio"), [(0.8, 0.57744), (1, 0.60653), (2, 0.69250), (5, 0.79006), (10, 0.84857), (20, 0.89377)]
)
def test_critical_ratio_of_leung(omega: float, ratio: float) -> None:
    assert critical_ratio(omega) == pytest.approx(ratio, abs=2e-5)


def test_fauske_at_no_length_is_the_cold_orifice() -> None:
    chosen = substance("propane")
    saturation = chosen.vapour_pressure(293.15)
    cold = 0.61 * liquid_flux(chosen.liquid_density(293.15), saturation - 101_325)
    assert fauske_flux(chosen, 293.15, saturation, 101_325, 0.0) == pytest.approx(cold, rel=1e-6)


@pytest.mark.parametrize("name", ["ammonia", "propane", "n_butane", "chlorine"])
@pytest.mark.parametrize("quality", [0.0, 0.1, 0.3])
def test_omega_is_near_exact_homogeneous_equilibrium(name: str, quality: float) -> None:
    chosen = substance(name)
    start = 293.15
    pressure = chosen.vapour_pressure(start)

    begin = chosen.liquid_entropy(start) + quality * chosen.latent_heat(start) / start
    temperatures = np.linspace(start, max(chosen.boiling_point, chosen.lowest), 400)
    vapour = [(begin - chosen.liquid_entropy(float(t))) * float(t) / chosen.latent_heat(float(t)) for t in temperatures]
    volumes = np.array(
        [
            x / chosen.saturated_vapour_density(float(t)) + (1 - x) / chosen.liquid_density(float(t))
            for x, t in zip(vapour, temperatures, strict=True)
        ]
    )
    pressures = np.array([chosen.vapour_pressure(float(t)) for t in temperatures])
    # the enthalpy set free along an isentrope is the integral of the volume over pressure
    drop = np.concatenate([[0.0], np.cumsum(-np.diff(pressures) * 0.5 * (volumes[1:] + volumes[:-1]))])
    exact = float(np.max(np.sqrt(2 * drop) / volumes))
    mixture = 1 / volumes[0]
    flux, _ = saturated_flux(omega_of(chosen, start, pressure, quality), pressure, mixture, 101_325)
    assert flux == pytest.approx(exact, rel=0.05)


def test_subcooled_flow_meets_saturated_flow() -> None:
    chosen = substance("propane")
    saturation = chosen.vapour_pressure(293.15)
    omega, density = omega_of(chosen, 293.15, saturation), chosen.liquid_density(293.15)
    low = subcooled_flux(omega, saturation, saturation * 1.000001, density, 101_325)[0]
    assert low == pytest.approx(saturated_flux(omega, saturation, density, 101_325)[0], rel=2e-3)


@settings(max_examples=40, deadline=None)
@given(st.floats(1.1e5, 3e7), st.floats(1.01, 3.0))
def test_more_pressure_more_gas(pressure: float, factor: float) -> None:
    hole = Hole(0.02)
    less = discharge(Contents("methane", 290.0, pressure, Phase.VAPOUR), hole)
    more = discharge(Contents("methane", 290.0, pressure * factor, Phase.VAPOUR), hole)
    assert 0 < less.rate < more.rate


def test_no_pressure_no_flow() -> None:
    assert discharge(Contents("methane", 290.0, 101_325.0, Phase.VAPOUR), Hole(0.02)).rate == 0.0
    assert discharge(Contents("benzene", 290.0, 101_325.0, Phase.LIQUID), Hole(0.02)).rate == 0.0


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        (Contents("methane", 293.0, 5e6, Phase.LIQUID), "critical temperature"),
        (Contents("propane", 293.0, 2e5, Phase.LIQUID), "boils at"),
        (Contents("propane", 293.0, 2e6, Phase.VAPOUR), "is liquid at"),
        (Contents("propane", 293.0, -5.0, Phase.VAPOUR), "pressure"),
        (Contents("propane", math.nan, 2e5, Phase.VAPOUR), "nan"),
        (Contents("propane", 293.0, 1e12, Phase.VAPOUR), "pressure"),
        (Contents("propane", 293.0, 9e5, Phase.LIQUID, head=-3.0), "head"),
    ],
)
def test_impossible_states_are_named(contents: Contents, told: str) -> None:
    with pytest.raises(OutOfRangeError, match=told):
        discharge(contents, Hole(0.02))


@pytest.mark.parametrize("diameter", [0.0, -0.1, math.nan, 1e9])
def test_holes_have_a_size(diameter: float) -> None:
    with pytest.raises(OutOfRangeError, match=r"hole\.diameter"):
        discharge(saturated("propane", 290.0), Hole(diameter))


@pytest.mark.parametrize(
    ("name", "temperature", "pressure", "factor"),
    [("hydrogen", 300.0, 1e7, 1.063), ("methane", 300.0, 5e6, 0.9102), ("nitrogen", 300.0, 1e7, 1.0033)],
)
def test_compressibility_is_near_the_reference_equations(
    name: str, temperature: float, pressure: float, factor: float
) -> None:
    assert float(RealGas(name).factor(temperature, pressure)) == pytest.approx(factor, rel=0.035)


# -- jets


def test_a_flashing_jet_cools_to_its_boiling_point_and_keeps_its_mass() -> None:
    outflow = discharge(saturated("ammonia", 293.15), Hole(0.05))
    jet = expand(outflow, rule="ccps")
    assert jet.temperature == pytest.approx(239.83, abs=0.1)
    assert jet.flash == pytest.approx(flash_fraction("ammonia", 293.15), abs=0.015)
    assert jet.rate + jet.rained == pytest.approx(outflow.rate)
    assert jet.area * jet.density * jet.velocity == pytest.approx(jet.rate)
    assert jet.area > 20 * outflow.area


def test_a_cold_liquid_rains_out() -> None:
    remarks = Remarks()
    jet = expand(discharge(Contents("benzene", 293.0, 2e5, Phase.LIQUID), Hole(0.05)), remarks=remarks)
    assert jet.rained > 0.9 * (jet.rate + jet.rained)
    assert remarks.items[0][0] == "rain-out"


def test_an_expanded_gas_jet_is_faster_and_colder_than_its_throat() -> None:
    outflow = discharge(Contents("methane", 300.0, 5e6, Phase.VAPOUR), Hole(0.05))
    jet = expand(outflow)
    assert jet.velocity > outflow.velocity
    assert jet.temperature < outflow.temperature
    release = release_of(jet, 600.0, 2.0)
    assert release.mass == pytest.approx(600 * outflow.rate)
    assert release.area == jet.area


def test_rules_of_thumb_of_what_stays_airborne() -> None:
    assert airborne_fraction(0.1) == pytest.approx(0.5)
    assert airborne_fraction(0.1, "ccps") == pytest.approx(0.2)
    assert airborne_fraction(0.3) == 1.0


def test_a_rupture_divides_its_mass_between_cloud_and_pool() -> None:
    cloud, left = rupture("chlorine", 1000.0, 293.15, 7e5)
    assert cloud.mass + left == pytest.approx(1000.0)
    assert 0.2 < cloud.mass / 1000 < 0.6
    gas, none = rupture("hydrogen", 10.0, 293.15, 7e6)
    assert none == 0.0
    assert gas.vapour == 1.0


# -- blow-down


@pytest.mark.parametrize("heat", ["adiabatic", "isothermal", "wall"])
def test_a_vessel_gives_what_it_held(heat: str) -> None:
    blow = gas_vessel("nitrogen", 1.0, 293.0, 5e6, Hole(0.02), heat=heat)
    assert np.all(np.diff(blow.mass) < 0)
    assert np.all(np.diff(blow.time) > 0)
    total = np.trapezoid(blow.rate, blow.time)
    assert total == pytest.approx(blow.mass[0] - blow.mass[-1], rel=0.02)
    pieces = blow.stretches(6)
    assert sum(duration * rate for _, duration, rate in pieces) == pytest.approx(blow.released[-1], rel=1e-6)


def test_a_warm_wall_lies_between_adiabatic_and_isothermal() -> None:
    cold, warm, middle = (
        gas_vessel("hydrogen", 0.1, 300.0, 1e7, Hole(0.003), heat=heat).temperature[-1]
        for heat in ("adiabatic", "isothermal", "wall")
    )
    assert cold < middle < warm


def test_a_tank_empties_to_its_hole_like_torricelli() -> None:
    tank = Tank(Shape.VERTICAL, 2.0, 3.0, 1.0)
    blow = liquid_tank("water", tank, 293.15, 0.0, Hole(0.05))
    exact = (2.0 / 0.05) ** 2 / 0.61 * math.sqrt(2 * 3.0 / 9.80665)
    assert blow.time[-1] == pytest.approx(exact, rel=0.01)
    assert blow.mass[-1] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("shape", list(Shape))
def test_levels_and_volumes_agree(shape: Shape) -> None:
    tank = Tank(shape, 2.0, 5.0, 0.37)
    assert float(tank.liquid(tank.height)) == pytest.approx(tank.volume)
    assert float(tank.liquid(tank.level())) == pytest.approx(0.37 * tank.volume, rel=1e-3)


def test_a_boiling_tank_goes_on_with_vapour() -> None:
    remarks = Remarks()
    blow = liquid_tank("propane", Tank(Shape.HORIZONTAL, 2.5, 8.0, 0.8), 288.15, 0.0, Hole(0.05), 1.0, remarks=remarks)
    assert any(item[0] == "vapour-after-liquid" for item in remarks.items)
    assert np.all(np.diff(blow.mass) <= 1e-9)
    assert np.all(np.diff(blow.time) > 0)
    assert blow.temperature[-1] < 240
    releases, rained = blow.releases(6, air_temperature=288.15)
    released = sum(item.mass for item in releases) + rained
    assert released == pytest.approx(np.interp(3600.0, blow.time, blow.released), rel=1e-3)


def test_a_pipe_gives_all_its_gas() -> None:
    blow = gas_pipe("methane", 0.5, 10_000.0, 288.0, 5e6)
    held = (
        math.pi
        / 4
        * 0.25
        * 10_000
        * float(RealGas("methane").density(288.0, 5e6) - RealGas("methane").density(288.0, 101_325.0))
    )
    assert blow.released[-1] == pytest.approx(held, rel=2e-3)
    assert np.all(np.diff(blow.rate) < 0)


# -- pools


def test_spread_of_the_front_law() -> None:
    assert instantaneous_radius(10, 10) == pytest.approx(12.572, rel=2e-3)
    assert continuous_radius(0.1, 60) == pytest.approx(22.129, rel=2e-3)


def test_mackay_matsugu_and_boiling_on_concrete() -> None:
    velocity = transfer_velocity(5, 10)
    assert velocity == pytest.approx(1.5139e-2, rel=1e-4)
    thin = evaporation_flux(velocity, 0.08618, 16.0, 293.15, 101_325)
    assert thin == pytest.approx(8.5645e-6, rel=2e-3)
    assert boiling_flux(0.92, 4.2e-7, 50, 60) == pytest.approx(5170, rel=1e-3)


@pytest.mark.parametrize("ground", ["concrete", "soil", "sandy", "moist-sand", "water"])
@pytest.mark.parametrize("name", ["lng", "acetone"])
def test_pools_keep_their_mass(name: str, ground: str) -> None:
    temperature = min(288.0, substance(name).boiling_point)
    spill = Spill(mass=500.0, rate=2.0, duration=300.0, temperature=temperature, ground=ground)
    made = pool(name, spill, AIR, horizon=1200.0, steps=160)
    total = made.mass + made.evaporated
    assert total[-1] == pytest.approx(500.0 + 2.0 * 300.0, rel=1e-3)
    assert np.all(made.evaporation >= 0)
    assert np.all(made.temperature <= substance(name).saturation_temperature(101_325) + 1e-6)
    releases = made.releases(4)
    assert sum(item.mass for item in releases) == pytest.approx(made.evaporated[-1], rel=1e-6)
    assert all(item.pool for item in releases)


def test_a_bund_holds_the_pool() -> None:
    made = pool("benzene", Spill(mass=20_000.0, temperature=293.0, area=50.0), AIR, steps=100)
    assert math.pi * made.radius[-1] ** 2 == pytest.approx(50.0)


def test_wind_and_sun_dry_a_pool() -> None:
    spill = Spill(mass=2000.0, temperature=288.0, area=30.0, fixed=True)
    still = pool("acetone", spill, replace(AIR, wind=1.0), steps=80).evaporated[-1]
    windy = pool("acetone", spill, replace(AIR, wind=8.0), steps=80).evaporated[-1]
    sunny = pool("acetone", spill, replace(AIR, wind=1.0, solar=800.0), steps=80).evaporated[-1]
    assert windy > 2 * still
    assert sunny > still


def test_calm_air_evaporates_with_a_remark() -> None:
    remarks = Remarks()
    made = pool("acetone", Spill(mass=10.0, area=5.0, fixed=True), replace(AIR, wind=0.0), steps=40, remarks=remarks)
    assert made.evaporated[-1] > 0
    assert remarks.items[0][0] == "calm-pool"


@pytest.mark.parametrize(
    "spill",
    [
        Spill(),
        Spill(mass=-1.0),
        Spill(mass=10.0, area=-3.0),
        Spill(mass=10.0, fixed=True),
        Spill(mass=10.0, ground="lava"),
        Spill(mass=10.0, temperature=math.nan),
        Spill(mass=1e15),
    ],
)
def test_senseless_spills_are_refused(spill: Spill) -> None:
    with pytest.raises(InvalidInputError):
        pool("acetone", spill, AIR)


@pytest.mark.parametrize("length", [0.0, 0.1])
def test_flow_of_flashing_liquid_has_no_jump_over_the_length_of_the_way(length: float) -> None:
    contents = saturated("propane", 293.15, 2.0)
    below = discharge(contents, Hole(0.05, length=max(length - 1e-9, 0.0)))
    above = discharge(contents, Hole(0.05, length=length + 1e-9))
    assert below.rate == pytest.approx(above.rate, rel=1e-6)


def test_longer_ways_pass_less_flashing_liquid() -> None:
    rates = [discharge(saturated("ammonia", 293.15), Hole(0.05, length=x)).rate for x in (0.0, 0.02, 0.05, 0.1, 1.0)]
    assert rates[0] > rates[1] > rates[2] > rates[3] == rates[4]


def test_flow_has_no_jump_where_liquid_begins_to_flash() -> None:
    boiling = substance("n_butane").boiling_point
    below, above = (
        discharge(Contents("n_butane", boiling + step, 3e5, Phase.LIQUID), Hole(0.05, length=0.2)).rate
        for step in (-1e-3, 1e-3)
    )
    assert below == pytest.approx(above, rel=1e-3)

"""Substances: names, figures with their source, properties against the library, mixtures, honest errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.science.consequence import property_tables
from anlan.science.consequence.conventions import GAS_CONSTANT, OutOfRangeError
from anlan.science.consequence.mixtures import mixture
from anlan.science.consequence.substances import (
    MissingDataError,
    density_from_ppm,
    entries,
    gas_of,
    ppm_from_density,
    sources,
    substance,
    substances,
)

ALL = substances()


@pytest.mark.parametrize("name", ["ammonia", "7664-41-7", "氨", "Ammonia", "液氨", "nh3"])
def test_is_found_by_id_cas_formula_and_both_languages(name: str) -> None:
    assert substance(name).id == "ammonia"


def test_there_are_the_substances_of_the_trade() -> None:
    assert len(ALL) >= 120
    assert len({substance(name).name_zh for name in ALL}) == len(ALL)


@pytest.mark.parametrize("name", ALL)
def test_properties_are_physical(name: str) -> None:
    chosen = substance(name)
    line = chosen.saturation
    gas = gas_of(name)
    assert np.all(np.diff(line.temperature) > 0)
    assert np.all(np.diff(line.pressure) > 0)
    assert np.all(np.diff(line.liquid_density) <= 0)
    assert np.all(line.latent_heat > 0)
    gammas = [chosen.gamma(t) for t in (150.0, 300.0, 800.0, 1500.0)]
    assert all(1.0 < g < 1.68 for g in gammas)
    assert 0.002 < gas.molar_mass < 0.25
    assert gas.saturation[1] > 0


@pytest.mark.parametrize("name", ALL)
def test_every_figure_has_unit_source_and_confidence(name: str) -> None:
    known = set(sources()) | {"surrogate", "Le Chatelier", "by components", "mole mean of components"}
    for figure in substance(name).figures.values():
        assert figure.unit
        assert figure.source in known
        assert figure.confidence in {"high", "medium", "low"}
        assert math.isfinite(figure.value)


def test_flammable_limits_and_guidance_rise() -> None:
    for name in ALL:
        chosen = substance(name)
        if {"lfl", "ufl"} <= set(chosen.figures):
            assert 0 < chosen.figure("lfl") < chosen.figure("ufl") <= 1
        for levels in chosen.guidance.values():
            known = [level for level in levels if level is not None]
            assert known == sorted(known), name


def test_the_boiling_point_is_where_the_vapour_pressure_is_one_atmosphere() -> None:
    for name in ("ammonia", "chlorine", "propane", "benzene", "water", "hydrogen_cyanide", "lpg", "phosgene"):
        chosen = substance(name)
        assert chosen.saturation_temperature(101_325) == pytest.approx(chosen.boiling_point, abs=0.6)
        assert chosen.vapour_pressure(chosen.boiling_point) == pytest.approx(101_325, rel=0.02)


def test_tables_repeat_what_the_library_says() -> None:
    blocks = {entry["id"]: entry for entry in entries()}
    made = property_tables.from_chemicals(blocks["phosgene"]["cas"], blocks["phosgene"].get("anchors"))
    line = substance("phosgene").saturation
    assert line.pressure == pytest.approx(made.rows[:, 1], rel=1e-4)
    assert line.liquid_density == pytest.approx(made.rows[:, 2], rel=1e-4)


def test_gas_of_ammonia_is_near_the_published_slab_deck() -> None:
    gas = gas_of("ammonia")
    assert gas.boiling_point == pytest.approx(239.72, abs=0.3)
    assert gas.latent_heat == pytest.approx(1.3708e6, rel=0.01)
    assert gas.liquid_density == pytest.approx(682.8, rel=0.01)
    assert gas.cp_liquid == pytest.approx(4294, rel=0.05)
    a, b, c = gas.saturation
    assert math.exp(a - b / (213.15 + c)) == pytest.approx(
        substance("ammonia").vapour_pressure(213.15) / 101_325, rel=0.03
    )


def test_dry_ice_stands_for_liquid_carbon_dioxide() -> None:
    gas = gas_of("carbon_dioxide")
    assert gas.boiling_point == pytest.approx(194.69)
    assert gas.latent_heat == pytest.approx(571e3)


def test_ppm_and_density_convert_both_ways() -> None:
    assert ppm_from_density("chlorine", 1e-6 * 70.906 / 24.055 * 100, 293.15, 101_325) == pytest.approx(100, rel=1e-3)
    back = ppm_from_density("h2s", density_from_ppm("h2s", 123.0, 280.0, 9e4), 280.0, 9e4)
    assert back == pytest.approx(123.0)


def test_aegl_by_duration() -> None:
    assert substance("chlorine").guidance["aegl-10"] == (0.5, 2.8, 50)
    assert substance("chlorine").guidance["aegl-60"] == (0.5, 2, 20)


def test_unknown_names_point_to_near_ones() -> None:
    with pytest.raises(NotFoundError, match="chlorine"):
        substance("chlorin")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(MissingDataError, match="toxic probit"):
        substance("methane").probit()
    with pytest.raises(MissingDataError, match="heat of combustion"):
        substance("chlorine").figure("heat_of_combustion")


@pytest.mark.parametrize("temperature", [293.0, float("nan"), -10.0])
def test_liquid_methane_does_not_exist_warm(temperature: float) -> None:
    with pytest.raises(OutOfRangeError):
        substance("methane").liquid_density(temperature)


def test_a_mixture_of_one_is_that_one() -> None:
    alone, pure = mixture({"propane": 1.0}), substance("propane")
    assert alone.molar_mass == pytest.approx(pure.molar_mass)
    assert alone.vapour_pressure(280) == pytest.approx(pure.vapour_pressure(280), rel=5e-3)
    assert alone.figure("lfl") == pytest.approx(pure.figure("lfl"))


@settings(max_examples=25, deadline=None)
@given(st.floats(0.02, 0.98))
def test_mixtures_lie_between_their_components(share: float) -> None:
    made = mixture({"propane": share, "n_butane": 1 - share})
    heavy, light = substance("n_butane"), substance("propane")
    assert light.molar_mass < made.molar_mass < heavy.molar_mass
    assert heavy.vapour_pressure(290) < made.vapour_pressure(290) < light.vapour_pressure(290)
    assert heavy.figure("lfl") < made.figure("lfl") < light.figure("lfl") + 1e-12
    assert made.gas_density(290) == pytest.approx(101_325 * made.molar_mass / (GAS_CONSTANT * 290))


@pytest.mark.parametrize("shares", [{"propane": 0.5}, {"propane": 1.5, "n_butane": -0.5}, {}])
def test_mole_fractions_must_add_to_one(shares: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="mole fractions"):
        mixture(shares)

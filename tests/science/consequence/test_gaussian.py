"""Gaussian plume and puff: worked examples, conservation, symmetry, continuity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.science.consequence import gaussian
from anlan.science.consequence.conventions import OutOfRangeError, Stability
from anlan.science.consequence.meteorology import SurfaceLayer
from anlan.science.consequence.sigma import scheme, schemes
from anlan.science.consequence.surface_layer import vertical_table

HALF_KILOMETRE = np.array(500.0)


def axis(name: str, stability: str, rate: float, wind: float, averaging: float | None = None) -> float:
    chosen, kind = scheme(name), Stability(stability)
    y, z = chosen.sigma_y(kind, HALF_KILOMETRE, averaging), chosen.sigma_z(kind, HALF_KILOMETRE)
    return float(gaussian.plume(np.array(0.0), np.array(0.0), rate, wind, 0.0, y, z))


def test_worked_examples_of_plumes() -> None:
    assert axis("briggs-rural", "F", 0.1, 2.0) == pytest.approx(1.1722e-4, rel=1e-4)
    assert axis("ccps-plume", "F", 0.1, 2.0) == pytest.approx(1.034673e-4, rel=1e-4)
    said = gaussian.plume(np.array(0.0), np.array(1.0), 100.0, 5.0, 1.0, np.array(28.8), np.array(10.3))
    assert float(said) == pytest.approx(21.26e-3, rel=1e-3)


def test_worked_example_of_a_puff() -> None:
    chosen = scheme("ccps-puff")
    y, z = chosen.sigma_y(Stability.F, HALF_KILOMETRE), chosen.sigma_z(Stability.F, HALF_KILOMETRE)
    said = gaussian.puff(np.array(0.0), np.array(0.0), np.array(0.0), 1.0, 0.0, (y, y, z))
    assert float(said) == pytest.approx(2.25005e-3, rel=1e-4)


def test_worked_example_of_a_finite_release() -> None:
    assert float(gaussian.passing(np.array(250.0), 90.0, 60.0, 3.0, np.array(20.0))) == pytest.approx(0.84136, rel=1e-4)


def test_final_rise_of_hot_plumes() -> None:
    assert [gaussian.final_rise(30.0, 5.0), gaussian.final_rise(100.0, 5.0)] == pytest.approx([54.93, 122.70], rel=1e-3)


@pytest.mark.parametrize("lid", [np.inf, 60.0, 120.0])
@pytest.mark.parametrize("sigma_z", [3.0, 40.0, 80.0, 300.0])
def test_a_section_carries_the_rate(sigma_z: float, lid: float) -> None:
    z = np.linspace(0.0, min(lid, 2500.0), 200_001)
    share = gaussian.vertical(z, 30.0, np.array(sigma_z), lid)
    assert float(np.trapezoid(share, z)) == pytest.approx(1.0, rel=2e-3)


@given(x=st.floats(50, 5000), y=st.floats(-200, 200), rate=st.floats(0.01, 100), wind=st.floats(0.5, 20))
def test_rate_and_wind_scale_exactly(x: float, y: float, rate: float, wind: float) -> None:
    chosen = scheme("briggs-rural")
    widths = chosen.sigma_y(Stability.D, np.array(x)), chosen.sigma_z(Stability.D, np.array(x))
    one = gaussian.plume(np.array(y), np.array(1.0), rate, wind, 2.0, *widths)
    assert float(gaussian.plume(np.array(-y), np.array(1.0), 2 * rate, wind, 2.0, *widths)) == pytest.approx(2 * one)
    assert float(gaussian.plume(np.array(y), np.array(1.0), rate, 2 * wind, 2.0, *widths)) == pytest.approx(one / 2)


@pytest.mark.parametrize("name", list(schemes()))
@pytest.mark.parametrize("stability", list(Stability))
def test_coefficients_rise_without_jumps(name: str, stability: Stability) -> None:
    x = np.geomspace(1.0, 2e4, 4000)
    for sigma in (scheme(name).sigma_y(stability, x), scheme(name).sigma_z(stability, x)):
        assert np.all(sigma > 0.0)
        step = np.diff(np.log(sigma))
        # Published joints leave up to 3 % (Turner, Martin); a step of the grid itself is at most 0.6 %.
        assert step.min() > -0.03
        assert step.max() < 0.05


def test_the_compiled_field_is_the_plain_one() -> None:
    chosen, kind = scheme("briggs-rural"), Stability.D
    table = gaussian.PlumeTable(
        lambda x: gaussian.plume(
            np.array(0.0), np.array(1.5), 2.0, 4.0, 3.0, chosen.sigma_y(kind, x), chosen.sigma_z(kind, x)
        ),
        lambda x: chosen.sigma_y(kind, x),
    )
    random = np.random.default_rng(3)
    east, north = random.uniform(-500, 3000, 4000), random.uniform(-800, 800, 4000)
    angle = 0.3
    said = table.field(east, north, (10.0, -20.0), angle)
    dx, dy = east - 10.0, north + 20.0
    x, y = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    at = np.maximum(x, 0.1)
    plain = gaussian.plume(y, np.array(1.5), 2.0, 4.0, 3.0, chosen.sigma_y(kind, at), chosen.sigma_z(kind, at))
    plain = np.where(x > 0.1, plain, 0.0)
    assert said == pytest.approx(plain, rel=5e-3, abs=plain.max() * 1e-5)


@pytest.mark.parametrize("inverse", [-0.05, 0.0, 0.05])
def test_the_surface_layer_keeps_the_flux(inverse: float) -> None:
    layer = SurfaceLayer(0.3, inverse, 0.01, 400.0)
    table = vertical_table(layer, 1.0, 5000.0)
    edges = np.concatenate([[0.0], np.geomspace(0.03, 400.0, len(table.z))])
    flux = (table.share * layer.wind(table.z) * np.diff(edges)).sum(axis=1)
    assert flux == pytest.approx(np.ones(len(table.x)), rel=1e-9)
    assert np.all(table.share >= 0.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gaussian.plume(np.array(0.0), np.array(0.0), 1.0, 0.0, 0.0, np.array(1.0), np.array(1.0)),
        lambda: gaussian.plume(np.array(0.0), np.array(0.0), -1.0, 1.0, 0.0, np.array(1.0), np.array(1.0)),
        lambda: gaussian.plume(np.array(0.0), np.array(0.0), 1.0, 1.0, 0.0, np.array(0.0), np.array(1.0)),
        lambda: gaussian.vertical(np.array(0.0), 100.0, np.array(1.0), 50.0),
        lambda: scheme("no such"),
        lambda: scheme("turner").sigma_y(Stability.D, np.array(-1.0)),
    ],
)
def test_what_has_no_answer_is_named(call: object) -> None:
    with pytest.raises(OutOfRangeError) as caught:
        call()  # type: ignore[operator] # a lambda
    assert caught.value.where
    assert caught.value.fix

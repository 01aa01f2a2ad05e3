"""Britter-McQuaid: worked examples and joints."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.science.consequence.britter_mcquaid import DensePlume, DensePuff, beta
from anlan.science.consequence.conventions import OutOfRangeError


def test_ccps_example_of_lng() -> None:
    plume = DensePlume(97.888 / 1.76, 1.76, 111.15, 10.9, 1.1844, 298.0)
    assert plume.alpha == pytest.approx(-0.4171, rel=2e-3)
    assert 367.0 / plume.diameter == pytest.approx(162.47, rel=1e-3)
    assert float(plume.fraction(np.array(367.0))) == pytest.approx(0.05072, rel=5e-3)


def test_values_in_the_middle_of_the_curves() -> None:
    assert beta("plume", 0.0)[1] == pytest.approx([1.78, 1.96, 2.16, 2.35, 2.56, 2.71])
    assert beta("puff", 0.0)[1] == pytest.approx([0.81, 1.00, 1.19, 1.39, 1.62, 1.83, 2.05])


def test_potchefstroom() -> None:
    puff = DensePuff(72_500.0, 1.434, 293.0, 2.0, 1.204, 293.0, fraction_at_source=1 / 16.4)
    assert puff.alpha == pytest.approx(0.6454, abs=0.002)
    assert float(puff.fraction(puff.front(np.array(123.6)))) == pytest.approx(0.0060976, rel=0.02)
    assert float(puff.front(np.array(123.6))) == pytest.approx(334.8, rel=0.02)


@pytest.mark.parametrize("kind", ["plume", "puff"])
def test_curves_join(kind: str) -> None:
    alpha = np.linspace(-1.0, 1.2, 2201)
    places = np.array([beta(kind, float(one))[1] for one in alpha])
    assert np.abs(np.diff(places, axis=0)).max() < 0.012


def test_concentration_falls_with_distance() -> None:
    plume = DensePlume(20.0, 1.76, 111.15, 3.0, 1.2, 298.0)
    assert np.all(np.diff(plume.fraction(np.geomspace(1.0, 1e5, 500))) <= 1e-12)


def test_a_light_gas_is_refused() -> None:
    with pytest.raises(OutOfRangeError):
        DensePlume(1.0, 1.0, 300.0, 3.0, 1.2, 300.0)

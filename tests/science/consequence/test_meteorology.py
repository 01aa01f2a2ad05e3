"""Surface layer: published vectors, continuity, calm and impossible weather."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.science.consequence import meteorology as met
from anlan.science.consequence.conventions import OutOfRangeError, Remarks, Stability, Weather


def test_obukhov_lengths_of_the_yellow_book() -> None:
    lengths = [met.obukhov_length(one, 0.1) for one in Stability]
    assert lengths[:3] + lengths[4:] == pytest.approx([-8.19, -15.66, -46.2, 43.89, 13.70], rel=5e-3)
    assert np.isinf(lengths[3])


@pytest.mark.parametrize("stability", list(Stability))
def test_class_and_length_are_inverse(stability: Stability) -> None:
    assert met.stability_of_obukhov(met.obukhov_length(stability, 0.1), 0.1) is stability


@pytest.mark.parametrize("length", [-5.0, -50.0, np.inf, 50.0, 5.0])
def test_wind_rises_with_height_and_meets_the_measurement(length: float) -> None:
    layer = met.surface_layer(Weather(wind=4.0, wind_height=10.0, obukhov=length))
    speed = layer.wind(np.geomspace(0.2, 300.0, 200))
    assert float(layer.wind(10.0)) == pytest.approx(4.0)
    assert np.all(np.diff(speed) > 0.0)


def test_stability_correction_has_no_jump() -> None:
    zeta = np.linspace(-2.0, 3.0, 5001)
    assert np.abs(np.diff(met.psi(zeta))).max() < 0.02


@pytest.mark.parametrize(
    ("wind", "solar", "cloud", "expected"),
    [
        (1.5, 950, 0, "A"),
        (4.0, 500, 0, "C"),
        (7.0, 900, 0, "D"),
        (2.5, 0, 0.2, "F"),
        (2.5, 0, 0.9, "E"),
        (8, 0, 0, "D"),
    ],
)
def test_class_from_sun_cloud_and_wind(wind: float, solar: float, cloud: float, expected: str) -> None:
    assert met.stability_of(wind, solar, cloud) == expected


def test_calm_wind_is_computed_with_a_remark() -> None:
    remarks = Remarks()
    assert met.checked_wind(Weather(wind=0.0), remarks) == met.CALM
    assert remarks.items[0][0] == "calm"


@pytest.mark.parametrize(
    "weather",
    [Weather(wind=-1.0), Weather(wind=float("nan")), Weather(wind=3.0, roughness=0.0), Weather(wind=3.0, obukhov=0.0),
     Weather(wind=3.0, roughness=2.0, wind_height=3.0), Weather(wind=3.0, humidity=1.4)],
)  # fmt: skip
def test_impossible_weather_is_named(weather: Weather) -> None:
    with pytest.raises(OutOfRangeError) as caught:
        met.checked_wind(weather, Remarks())
    assert caught.value.where

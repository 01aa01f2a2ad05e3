"""Dense gas trials: what the automatic choice says beside what was measured; the fenced trial only printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anlan.science.consequence.conventions import Release, Stability, Weather
from anlan.science.consequence.dispersion import Cloud, disperse
from tests.validation.consequence.originals import AMMONIA, LNG, gas, rows
from tests.validation.consequence.scores import LIMITS, line, scores, within

# Boiling flux of LNG on water, kg/m²s: the pool's area follows from the rate (Yellow Book, CPR 14E, section 3.5).
LNG_FLUX = 0.17
AVERAGING = 10.0


def trial(folder: Path, name: str) -> tuple[Cloud, np.ndarray, np.ndarray]:
    """Return the cloud of a trial, distances and maxima as measured, in kg/m³ or mass fraction."""
    chosen = [row for row in rows(folder / "dispersion" / "dense_gas" / "arc_maxima.csv") if row["trial"] == name]
    first = chosen[0]
    weather = Weather(
        wind=float(first["wind_m_s"]), wind_height=float(first["wind_height_m"]),
        stability=Stability(first["stability"]), temperature=float(first["ambient_K"]),
        pressure=float(first["pressure_Pa"]), roughness=float(first["roughness_m"]), humidity=0.3,
    )  # fmt: skip
    rate, duration = float(first["release_rate_kg_s"]), float(first["duration_s"])
    common: dict[str, Any] = {"rate": rate, "duration": duration, "mass": rate * duration}
    if first["gas"] == "NH3":
        # Flash of ammonia at 20 °C to 91.5 kPa; velocity after expansion from the liquid's and the pressure's momentum.
        release = Release("ammonia", temperature=237.3, vapour=0.18, velocity=60.0, height=0.79, **common)
        case = AMMONIA
    else:
        release, case = Release("methane", temperature=111.7, pool=True, area=rate / LNG_FLUX, **common), LNG
    cloud = disperse(release, weather, averaging=AVERAGING, gas=gas(folder, case))
    return cloud, np.array([float(row["arc_m"]) for row in chosen]), np.array([float(row["value"]) for row in chosen])


def mass_fraction(cloud: Cloud, concentration: np.ndarray) -> np.ndarray:
    moles = cloud.to_fraction(concentration)
    mass = cloud.gas.molar_mass * moles
    return mass / (mass + 0.02896 * (1.0 - moles))


def test_maplin_27(shared_data: Path) -> None:
    cloud, x, observed = trial(shared_data, "27")
    said = mass_fraction(cloud, cloud.maximum(x, 1.0))
    for row in zip(x, observed, said, strict=True):
        print("Maplin Sands 27: {:5.0f} m  measured {:.4f}  said {:.4f}".format(*row))
    total = scores(observed, said)
    print(line(f"Maplin Sands 27, {cloud.model}", total))
    assert cloud.model == "slab"
    assert within(total, LIMITS["maplin_27"]) == []


@pytest.mark.parametrize("name", ["DT4", "F4"])
def test_trials_that_are_only_printed(name: str, shared_data: Path) -> None:
    cloud, x, observed = trial(shared_data, name)
    said = cloud.maximum(x, 1.0)
    said = said if name == "DT4" else mass_fraction(cloud, said)
    for row in zip(x, observed, said, strict=True):
        print("{}: {:5.0f} m  measured {:.4f}  said {:.4f}".format(name, *row))
    assert np.all(said > 0.0)
    assert np.all(np.diff(said) < 0.0)

"""Prairie Grass: arc maxima at the samplers' height from wind, roughness, Obukhov length alone; nothing is fitted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from anlan.science.consequence.conventions import Release, Weather
from anlan.science.consequence.dispersion import disperse
from anlan.science.consequence.gas import Gas
from anlan.science.consequence.meteorology import stability_of_obukhov
from tests.validation.consequence.originals import rows
from tests.validation.consequence.scores import LIMITS, line, scores, within

SO2 = Gas(0.064066, 622.0, 263.1, 389_000.0, 1360.0, 1460.0)
ROUGHNESS = 0.006
EDGE = 0.1


def predicted(folder: Path, model: str, measured_direction: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observed and predicted maxima, kg/m³, and the distances, of arcs that the plume did not overrun."""
    found = []
    releases = {row["run"]: row for row in rows(folder / "dispersion" / "prairie_grass" / "releases.csv")}
    for arc in rows(folder / "dispersion" / "prairie_grass" / "arc_summary.csv"):
        row = releases[arc["run"]]
        # runs whose Obukhov length was not analysed are no test of the surface layer
        if float(arc["edge_fraction"]) > EDGE or not row["monin_obukhov_L_m"]:
            continue
        length = float(row["monin_obukhov_L_m"])
        deviation = math.radians(float(row["sigma_azimuth_deg"])) if measured_direction else None
        weather = Weather(
            wind=float(row["wind_speed_m_s"]), wind_height=2.0, roughness=ROUGHNESS, obukhov=length,
            stability=stability_of_obukhov(length, ROUGHNESS), mixing_height=float(row["mixing_height_m"] or 0.0),
            direction_deviation=deviation,
        )  # fmt: skip
        release = Release("sulphur dioxide", float(row["q_so2_g_s"]) * 1e-3, height=float(row["source_height_m"]))
        cloud = disperse(release, weather, model, averaging=600.0, gas=SO2)
        x = float(arc["distance_m"])
        found.append((float(arc["conc_max_mg_m3"]) * 1e-6, cloud.maximum(x, float(row["receptor_height_m"])), x))
    return tuple(np.array(found, dtype=float).T)


@pytest.mark.parametrize("measured", [True, False], ids=["with the wind's deviation", "without"])
def test_the_surface_layer_holds_the_limits(measured: bool, shared_data: Path) -> None:
    observed, said, distance = predicted(shared_data, "surface-layer", measured)
    total = scores(observed, said)
    print(line(f"Prairie Grass, surface layer, {'with' if measured else 'without'} σθ", total))
    for x in np.unique(distance):
        print(line(f"  {x:.0f} m", scores(observed[distance == x], said[distance == x])))
    assert total["n"] > 150
    assert within(total, LIMITS["prairie_grass"]) == []


def test_schemes_by_class_are_printed_beside(shared_data: Path) -> None:
    for name in ("briggs-rural", "pasquill-gifford", "yellow-book"):
        observed, said, _ = predicted(shared_data, f"gaussian:{name}", False)
        total = scores(observed, said)
        print(line(f"Prairie Grass, {name}", total))
        assert total["fac2"] > LIMITS["prairie_grass"]["fac2"]["lowest"]

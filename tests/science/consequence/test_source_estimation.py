"""A source found again from what detectors read, and what is said where it cannot be."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.source_estimation import run

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.conventions import Remarks, Stability, Weather
from anlan.science.consequence.gaussian import plume
from anlan.science.consequence.meteorology import transport_wind
from anlan.science.consequence.sigma import scheme
from anlan.science.consequence.source_estimation import estimate_source
from anlan.science.consequence.source_estimation_kernels import PARAMETERS, likelihoods
from anlan.science.consequence.source_estimation_model import Detector, Equipment, Reading, Settings, WindReading
from anlan.science.consequence.source_estimation_prepare import ABOVE, BELOW, MEASURED, MISSING, prepare, tables
from anlan.science.consequence.source_estimation_report import credible_region, geometric_median

LIMIT = 1e-6
SOURCE, RATE = (180.0, 240.0), 0.3
WIND = tuple(WindReading(60.0 * n + 30.0, 3.0, 270.0 + 12.0 * math.sin(1.3 * n)) for n in range(10))
DETECTORS = tuple(Detector(f"d{n}", 60.0 + 110.0 * (n % 5), 60.0 + 110.0 * (n // 5), LIMIT, 1e-2) for n in range(20))


def clean(rate=RATE, source=SOURCE, detectors=DETECTORS, wind=WIND):
    """Return readings of the estimator's own model without noise."""
    briggs, readings = scheme("briggs-rural"), []
    for blow in wind:
        air = Weather(wind=blow.speed, direction=blow.direction)
        towards, carried = math.radians(270.0 - blow.direction), transport_wind(air, 1.0)
        for one in detectors:
            east, north = one.x - source[0], one.y - source[1]
            x = east * math.cos(towards) + north * math.sin(towards)
            y = north * math.cos(towards) - east * math.sin(towards)
            value = 0.0
            if x > 1.0:
                away = np.array([x])
                sigmas = briggs.sigma_y(Stability.D, away), briggs.sigma_z(Stability.D, away)
                value = float(plume(np.array([y]), np.array([one.height]), rate, carried, 1.0, *sigmas)[0])
            readings.append(Reading(one.id, blow.time, min(value, one.saturation)))
    return readings


@pytest.fixture(scope="module")
def found():
    places = (Equipment("pump", 185.0, 235.0), Equipment("tank", 400.0, 400.0))
    settings = Settings(stability=Stability.D, equipment=places)
    return estimate_source(DETECTORS, clean(), WIND, settings, origin=(120.0, 30.0))


def test_finds_place_and_rate(found):
    assert found.found
    assert math.hypot(found.x - SOURCE[0], found.y - SOURCE[1]) < 25.0
    assert RATE / 2 < found.rate.median < RATE * 2
    assert found.rate.low90 < RATE < found.rate.high90
    assert found.east.low90 < SOURCE[0] < found.east.high90
    assert found.north.low90 < SOURCE[1] < found.north.high90


def test_the_region_holds_the_source_and_not_far_places(found):
    region = found.region
    assert region.density_at(*SOURCE) > region.level90
    assert region.density_at(450.0, 60.0) < region.level90
    assert region.level50 > region.level90
    step = region.east[1] - region.east[0]
    inside = region.density >= region.level90
    assert 0.8 < region.density[inside].sum() * step**2 < 0.99


def test_names_the_likely_equipment(found):
    (first, share), (second, rest) = found.equipment
    assert (first, second) == ("pump", "tank")
    assert share > 0.9
    assert share + rest == pytest.approx(1.0)


def test_geojson_has_both_regions_and_the_point(found):
    features = json.loads(json.dumps(found.geojson))["features"]
    assert [one["properties"].get("probability") for one in features] == [0.5, 0.9, None]
    east, north = features[-1]["geometry"]["coordinates"]
    assert (east - 120.0) * math.cos(math.radians(30.0)) * 111_319.49 == pytest.approx(found.x, abs=1e-6)
    assert (north - 30.0) * 111_319.49 == pytest.approx(found.y, abs=1e-6)


def test_the_same_readings_give_the_same_estimate(found):
    settings = Settings(stability=Stability.D, particles=200, seed=5)
    one, two = (estimate_source(DETECTORS, clean(), WIND, settings) for _ in range(2))
    assert (one.x, one.y, one.rate) == (two.x, two.y, two.rate)


def test_nobody_smelled_it_is_said_and_no_point_given():
    readings = [replace(one, value=0.4 * LIMIT) for one in clean()]
    result = estimate_source(DETECTORS, readings, WIND)
    assert not result.found
    assert (result.x, result.y, result.rate, result.region) == (None, None, None, None)
    assert result.geojson["features"] == []
    assert [code for code, _, _ in result.remarks] == ["nothing-smelled"]
    assert "检出限" in result.remarks[0][2]


def test_few_that_smelled_it_widen_the_region(found):
    most = max(clean(), key=lambda one: one.value).detector
    readings = [one if one.detector == most else replace(one, value=0.0) for one in clean()]
    result = estimate_source(DETECTORS, readings, WIND, Settings(particles=400))
    assert result.smelled == 1
    assert "few-smelled" in [code for code, _, _ in result.remarks]
    assert result.east.high90 - result.east.low90 > 3 * (found.east.high90 - found.east.low90)


def test_bad_readings_are_counted_and_left_out():
    good = clean()
    junk = [
        Reading("d0", 100.0, 5.0, good=False),
        Reading("d1", 100.0, float("nan")),
        Reading("d2", 100.0, -1.0),
        Reading("d3", float("inf"), 1e-5),
    ]
    settings = Settings(stability=Stability.D, particles=200)
    with_junk = estimate_source(DETECTORS, good + junk, WIND, settings)
    without = estimate_source(DETECTORS, good, WIND, settings)
    assert with_junk.left_out == 4
    assert (with_junk.x, with_junk.rate) == (without.x, without.rate)
    assert "readings-left-out" in [code for code, _, _ in with_junk.remarks]


def test_saturated_detectors_say_only_more():
    low = tuple(replace(one, saturation=3e-5) for one in DETECTORS)
    result = estimate_source(low, clean(detectors=low, rate=3.0), WIND, Settings(stability=Stability.D, particles=800))
    assert "saturated" in [code for code, _, _ in result.remarks]
    assert result.rate.high90 > 3.0
    assert math.hypot(result.x - SOURCE[0], result.y - SOURCE[1]) < 80.0


def test_one_broken_detector_does_not_move_the_source_far(found):
    readings = [replace(one, value=5e-3) if one.detector == "d19" else one for one in clean()]
    result = estimate_source(DETECTORS, readings, WIND, Settings(stability=Stability.D, particles=800))
    assert math.hypot(result.x - SOURCE[0], result.y - SOURCE[1]) < 60.0


def test_stretches_hold_values_less_more_or_nothing():
    detectors = tuple(Detector(f"d{n}", 0.0, 0.0, 1.0, 10.0) for n in range(4))
    readings = [Reading("d0", 5.0, 0.2), Reading("d1", 5.0, 3.0), Reading("d1", 25.0, 5.0), Reading("d2", 5.0, 12.0)]
    readings.append(Reading("d2", 25.0, 4.0))
    evidence = prepare(detectors, readings, [WindReading(0.0, 2.0, 270.0)], Settings(), Remarks())
    assert evidence.state[:, 0].tolist() == [BELOW, MEASURED, ABOVE, MISSING]
    assert np.exp(evidence.value[:3, 0]).tolist() == pytest.approx([1.0, 4.0, 7.0])
    assert evidence.wind[0].tolist() == pytest.approx([2.0, 1.0, 0.0])
    assert evidence.smelled == 2


def test_stretches_of_like_wind_count_less_than_different_ones():
    def weights(*directions):
        wind = [WindReading(60.0 * n + 30.0, 3.0, one) for n, one in enumerate(directions)]
        readings = [Reading("d", one.time, 2.0) for one in wind]
        return prepare([Detector("d", 0, 0, 1.0)], readings, wind, Settings(), Remarks()).weight

    assert np.allclose(weights(270.0, 90.0, 180.0), 1.0)
    assert np.all(weights(270.0, 270.0, 270.0) < 0.7)


def test_wind_is_a_mean_of_vectors_across_north():
    wind = [WindReading(10.0, 3.0, 350.0), WindReading(20.0, 3.0, 10.0)]
    evidence = prepare(
        [Detector("d", 0, 0, 1.0)], [Reading("d", t, 2.0) for t in (5.0, 25.0)], wind, Settings(), Remarks()
    )
    assert evidence.wind[0].tolist() == pytest.approx([3.0, 0.0, -1.0], abs=1e-9)


def test_the_likelihood_is_highest_where_the_readings_come_from():
    settings = Settings(stability=Stability.D)
    evidence = prepare(DETECTORS, clean(), WIND, settings, Remarks())
    offsets = np.array([(0, 0), (60, 0), (-60, 0), (0, 60), (0, -60)], dtype=float)
    particles = np.zeros((5, PARAMETERS))
    particles[:, :2] = np.array(SOURCE) + offsets
    particles[:, 5], particles[:, 7], particles[:, 8] = 3.0, -600.0, math.log(0.5)
    out, best = np.empty(5), np.empty(5)
    likelihoods(
        particles, evidence.places, evidence.state, evidence.value, evidence.limit, evidence.begin, evidence.end,
        evidence.wind, evidence.weight, settings.height, *tables(settings), math.radians(4.0), out, best,
    )  # fmt: skip
    assert np.argmax(out) == 0
    assert math.exp(best[0]) == pytest.approx(RATE, rel=0.05)


def test_density_of_a_known_cloud_of_places():
    rng = np.random.default_rng(1)
    east, north = 300.0 + 20.0 * rng.normal(size=4000), 100.0 + 10.0 * rng.normal(size=4000)
    region = credible_region(east, north)
    cell = (region.east[1] - region.east[0]) ** 2
    area = float((region.density >= region.level90).sum()) * cell
    assert area == pytest.approx(math.pi * 20.0 * 10.0 * 2.0 * math.log(10.0), rel=0.2)
    assert region.density.sum() * cell == pytest.approx(1.0, abs=0.02)
    assert geometric_median(np.column_stack([east, north])) == pytest.approx((300.0, 100.0), abs=1.5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"detectors": ()}, "no detectors"),
        ({"wind": ()}, "no wind"),
        ({"wind": (WindReading(0.0, -1.0, 0.0),)}, "no wind"),
        ({"readings": ()}, "no good reading"),
        ({"readings": (Reading("x", 0.0, 1.0),)}, "reading 1: no detector 'x'"),
        ({"detectors": (replace(DETECTORS[0], limit=0.0),)}, "detector d0"),
        ({"detectors": (DETECTORS[0], DETECTORS[0])}, "two detectors"),
        ({"settings": Settings(area=(1.0, 0.0, 0.0, 1.0))}, "an area"),
    ],
)
def test_impossible_input_is_named(change, named):
    given = {"detectors": DETECTORS, "readings": tuple(clean()), "wind": WIND, "settings": None} | change
    with pytest.raises(InvalidInputError, match=named):
        estimate_source(given["detectors"], given["readings"], given["wind"], given["settings"])


def test_a_slice_of_the_twins_whose_truth_is_another_model():
    figures = run(8, seed=11, particles=600)
    assert figures["90 % region holds"] >= 0.5
    assert figures["median error m"] < 80.0
    assert figures["median factor of rate"] < 4.0

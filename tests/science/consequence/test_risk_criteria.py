"""Baselines, F-N lines, methods and contours."""

import json

import numpy as np
import pytest

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.conventions import Remarks
from anlan.science.consequence.risk import fn_curve
from anlan.science.consequence.risk_contours import contours
from anlan.science.consequence.risk_criteria import (
    Method,
    Place,
    Region,
    Target,
    criteria,
    explosive_distance,
    explosive_overpressure,
    general_class,
    individual_limit,
    judge_curve,
    judge_place,
    judge_places,
    protection,
    siting_method,
)
from anlan.science.consequence.risk_model import Area, Protection


def test_every_row_has_a_source_and_says_how_sure_it_is():
    for topic, rows in criteria().items():
        for row in rows:
            assert row["source"], topic
            assert row["confidence"] in ("verified", "high", "low"), topic


@pytest.mark.parametrize(
    ("target", "planned", "in_service"),
    [
        (Target.HIGH_SENSITIVE, 3e-7, 3e-6),
        (Target.IMPORTANT, 3e-7, 3e-6),
        (Target.GENERAL_1, 3e-7, 3e-6),
        (Target.GENERAL_2, 3e-6, 1e-5),
        (Target.GENERAL_3, 1e-5, 3e-5),
    ],
)
def test_baselines_of_gb_36894(target, planned, in_service):
    assert individual_limit(target, True)[0] == planned
    assert individual_limit(target, False)[0] == in_service


def test_a_place_at_its_baseline_is_within_and_above_it_is_not():
    school = Place("school", 0.0, 0.0, Target.HIGH_SENSITIVE)
    assert judge_place(school, 3e-6).ok
    verdict = judge_place(school, 3.1e-6)
    assert not verdict.ok
    assert "高敏感防护目标" in verdict.zh
    assert "above the baseline" in verdict.en
    worst_first = judge_places([Place("works", 0, 0, Target.GENERAL_3), school], [2e-5, 1e-5])
    assert [one.place.id for one in worst_first] == ["school", "works"]


@pytest.mark.parametrize(
    ("kind", "sizes", "expected"),
    [
        ("dwelling", {"households": 30}, Target.GENERAL_1),
        ("dwelling", {"households": 29, "people": 30}, Target.GENERAL_2),
        ("dwelling", {"households": 12, "people": 100}, Target.GENERAL_1),
        ("dwelling", {"people": 29}, Target.GENERAL_3),
        ("other-industry", {"people": 5000}, Target.GENERAL_2),
        ("filling-station", {}, Target.GENERAL_3),
        ("hotel", {"beds": 99}, Target.GENERAL_2),
    ],
)
def test_class_of_a_general_target_by_its_size(kind, sizes, expected):
    assert general_class(kind, **sizes) is expected


def test_a_general_target_without_size_or_kind_is_refused():
    with pytest.raises(InvalidInputError, match="households or people"):
        general_class("dwelling")
    with pytest.raises(InvalidInputError, match="castle"):
        general_class("castle", people=3)


@pytest.mark.parametrize(
    ("deaths", "frequency", "region"),
    [
        (10.0, 1.01e-4, Region.UNACCEPTABLE),
        (10.0, 0.99e-4, Region.AS_LOW_AS_PRACTICABLE),
        (10.0, 1.01e-6, Region.AS_LOW_AS_PRACTICABLE),
        (10.0, 0.99e-6, Region.ACCEPTABLE),
        (2000.0, 1e-6, Region.UNACCEPTABLE),
        (0.5, 1.0, Region.ACCEPTABLE),
    ],
)
def test_regions_of_the_curve(deaths, frequency, region):
    verdict = judge_curve(fn_curve(np.array([deaths]), np.array([frequency]), 0.0))
    assert verdict.region is region
    assert verdict.zh


def test_a_steeper_line_judges_large_accidents_harder():
    curve = fn_curve(np.array([100.0]), np.array([5e-7]), 0.0)
    assert judge_curve(curve).region is Region.AS_LOW_AS_PRACTICABLE
    assert judge_curve(curve, "netherlands").region is Region.UNACCEPTABLE


def test_methods_of_gbt_37243():
    assert siting_method(True, 0.0) is Method.CONSEQUENCE
    assert siting_method(True, 1.0) is Method.BOTH
    assert siting_method(False, 1.0) is Method.QRA
    assert siting_method(False, 0.99) is Method.STANDARD


def test_overpressure_of_explosives():
    assert explosive_overpressure(1000.0, 500.0) == pytest.approx(2383.0, abs=1.0)
    distance = explosive_distance(1000.0, Target.IMPORTANT)
    assert distance == pytest.approx(589.0, abs=1.0)
    assert explosive_distance(1000.0, Target.GENERAL_3) < explosive_distance(1000.0, Target.GENERAL_2) < distance
    with pytest.raises(InvalidInputError):
        explosive_overpressure(0.0, 10.0)


def test_protection_by_effect():
    assert protection("toxic") == Protection(1.0, 1.0, 0.1)
    assert protection("blast-10-to-30kPa") == Protection(0.0, 0.0, 0.025)
    with pytest.raises(InvalidInputError, match="fright"):
        protection("fright")


AREA = Area(-500.0, -500.0, 10.0, 101, 101)
EAST, NORTH = np.meshgrid(AREA.east, AREA.north)
DISTANCE = np.hypot(EAST, NORTH)


def ring_area(ring):
    x, y = np.array(ring).T
    return 0.5 * float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def test_contours_are_closed_polygons_around_the_risk():
    remarks = Remarks()
    found = contours(AREA, 4e-5 * np.exp(-DISTANCE / 80.0), remarks=remarks)
    json.dumps(found)
    levels = [one["properties"]["level"] for one in found["features"]]
    assert levels == [3e-5, 1e-5, 3e-6, 3e-7]
    for feature, level in zip(found["features"], levels, strict=True):
        ((outer, *holes),) = feature["geometry"]["coordinates"]
        assert outer[0] == outer[-1]
        assert not holes
        radius = 80.0 * np.log(4e-5 / level)
        assert ring_area(outer) == pytest.approx(np.pi * radius**2, rel=0.05)
    assert remarks.items == []


def test_a_hole_is_a_hole():
    found = contours(AREA, np.where((DISTANCE > 100) & (DISTANCE < 300), 1e-5, 0.0), levels=(1e-6,))
    ((outer, hole),) = found["features"][0]["geometry"]["coordinates"]
    assert ring_area(outer) > 0.0 > ring_area(hole)


def test_levels_not_reached_and_contours_that_leave_are_said():
    remarks = Remarks()
    found = contours(AREA, np.full((101, 101), 5e-6), remarks=remarks)
    assert [one["properties"]["level"] for one in found["features"]] == [3e-6, 3e-7]
    assert {code for code, _, _ in remarks.items} == {"level-3e-05", "level-1e-05", "edge-3e-06", "edge-3e-07"}


def test_degrees_around_an_origin():
    found = contours(AREA, np.where(DISTANCE < 111.0, 1e-5, 0.0), levels=(5e-6,), origin=(120.0, 30.0))
    ring = np.array(found["features"][0]["geometry"]["coordinates"][0][0])
    assert ring[:, 1].max() - 30.0 == pytest.approx(0.001, rel=0.1)
    assert (ring[:, 0].max() - 120.0) * np.cos(np.pi / 6) == pytest.approx(0.001, rel=0.1)

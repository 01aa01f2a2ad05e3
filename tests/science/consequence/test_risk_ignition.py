"""Ignition at once and later, and what it depends on."""

import numpy as np
import pytest

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.risk_ignition import (
    IgnitionSource,
    branches,
    delayed_by_direction,
    delayed_ignition,
    immediate_ignition,
)
from anlan.science.consequence.risk_model import Ellipse, Gridded, Rose


@pytest.mark.parametrize(
    ("category", "size", "expected"),
    [
        ("0", {"rate": 9.9}, 0.2),
        ("0", {"rate": 50.0}, 0.5),
        ("0", {"mass": 2e4}, 0.7),
        ("0-low", {"mass": 999.0}, 0.02),
        ("1", {"rate": 1e3}, 0.065),
        ("4", {"rate": 1e3}, 0.0),
    ],
)
def test_immediate_ignition_of_the_table(category, size, expected):
    assert immediate_ignition(category, **size) == expected


def test_immediate_ignition_asks_for_one_size_and_a_known_category():
    with pytest.raises(InvalidInputError, match="neither"):
        immediate_ignition("0")
    with pytest.raises(InvalidInputError, match="'9'"):
        immediate_ignition("9", rate=1.0)
    with pytest.raises(InvalidInputError, match="-1"):
        immediate_ignition("0", rate=-1.0)


def test_a_minute_in_a_cloud_is_the_tables_figure_and_time_goes_on():
    car = IgnitionSource.of_kind("vehicle", 0.0, 0.0)
    assert delayed_ignition([car], 60.0) == pytest.approx(0.4)
    assert delayed_ignition([car], 120.0) == pytest.approx(1 - 0.6**2)
    assert delayed_ignition([car], 0.0) == 0.0
    half = IgnitionSource.of_kind("vehicle", 0.0, 0.0, present=0.5)
    assert delayed_ignition([half], 60.0) == pytest.approx(0.2)
    assert delayed_ignition([car, half], 60.0) == pytest.approx(1 - 0.6 * 0.8)
    crowd = IgnitionSource.of_kind("resident", 0.0, 0.0, number=10)
    assert delayed_ignition([crowd], 60.0) == pytest.approx(1 - 0.99**10)
    assert delayed_ignition([IgnitionSource.of_kind("flare", 0.0, 0.0)], 1.0) == 1.0


def test_only_the_wind_towards_a_source_ignites_there():
    rose = Rose(np.full((1, 2, 8), 1 / 16), ("D5", "F2"))
    flare = IgnitionSource.of_kind("flare", 150.0, 0.0)
    grid = np.ones((21, 3), dtype=np.float32)
    clouds = [(Ellipse(along=100, across=20, centre=100),), (Gridded(death=grid, step_along=5.0, step_across=10.0),)]
    p = delayed_by_direction([flare], clouds, 0.0, 0.0, 60.0, rose)
    expected = np.zeros((2, 8))
    # From the west towards the source in the east; the second cloud ends at 100 m.
    expected[0, 6] = 1.0
    assert np.array_equal(p, expected)
    nearer = delayed_by_direction([flare], clouds, 80.0, 0.0, 60.0, rose)
    assert nearer[1, 6] == 1.0


def test_the_tree_has_all_of_it():
    tree = branches(0.3, 0.5)
    assert tree.flash_fire == pytest.approx(0.7 * 0.5 * 0.6)
    assert tree.immediate + tree.flash_fire + tree.explosion + tree.unignited == pytest.approx(1.0)
    spread = branches(0.3, np.array([[0.0, 1.0]]))
    assert np.allclose(spread.unignited, [[0.7, 0.0]])
    assert np.allclose(spread.immediate + spread.flash_fire + spread.explosion + spread.unignited, 1.0)

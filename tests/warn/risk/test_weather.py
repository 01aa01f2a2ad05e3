"""Weather as facts: by enterprise, from stations, in the usual unit, never made up."""

from __future__ import annotations

from math import nan

import pytest

from anlan.plant.model import Place, Plant, Point, SiteInfo, Unit
from anlan.warn.risk.weather import weather_of

PLANT = Plant(
    SiteInfo("s", "S"),
    places=(Place("a"), Place("a/x"), Place("b"), Place("b/y")),
    units=(
        Unit("a/x/ws-1", kind="weather-station"),
        Unit("a/x/ws-2", kind="weather-station"),
        Unit("a/x/t", kind="tank"),
    ),
    points=(
        Point(1, "a/x/ws-1/wind-speed", "wind-speed", "m/s"),
        Point(2, "a/x/ws-2/wind-speed", "wind-speed", "m/s"),
        Point(3, "a/x/ws-1/temperature", "temperature", "K"),
        Point(4, "a/x/t/temperature", "temperature", "°C"),
        Point(5, "a/x/ws-2/temperature", "temperature", "°F"),
    ),
)


def test_an_enterprise_without_a_station_takes_the_weather_of_the_site() -> None:
    values = {1: 3.0, 2: 14.0, 3: 311.15, 4: 80.0, 5: 104.0}
    found = {(item.path, item.quantity): [] for item in weather_of(PLANT, values.get, 7)}
    for item in weather_of(PLANT, values.get, 7):
        assert item.since == 7
        found[item.path, item.quantity].append(item.value)
    for enterprise in ("a", "b"):
        assert found[enterprise, "wind-speed"] == [3.0, 14.0]
        assert found[enterprise, "temperature"] == pytest.approx([38.0, 40.0])


def test_a_station_that_is_silent_says_nothing() -> None:
    assert weather_of(PLANT, {1: nan}.get, 7) == ()

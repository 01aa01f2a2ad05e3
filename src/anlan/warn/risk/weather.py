"""The weather over each enterprise from the points of weather stations."""

from __future__ import annotations

from collections.abc import Callable

from anlan.plant.model import Plant, Point
from anlan.warn.risk.model import Weather

STATION = "weather-station"
_KINDS = ("wind-speed", "wind-direction", "humidity", "air-pressure")
_AT_STATIONS = ("temperature",)
"""Kinds that are weather only where they stand at a weather station."""


def weather_points(plant: Plant) -> dict[str, dict[str, tuple[Point, ...]]]:
    """Return the points of each quantity of the weather by enterprise.

    An enterprise that measures a quantity nowhere takes all that the site has of it: every one counts, the worst leads.
    """
    kinds = {unit.path: unit.kind for unit in plant.units}
    own: dict[str, dict[str, list[Point]]] = {}
    for point in plant.points:
        station = kinds.get(point.path.rpartition("/")[0]) == STATION
        if point.kind in _KINDS or (station and point.kind in _AT_STATIONS):
            own.setdefault(point.kind, {}).setdefault(point.path.partition("/")[0], []).append(point)
    enterprises = [place.path for place in plant.places if "/" not in place.path]
    found: dict[str, dict[str, tuple[Point, ...]]] = {name: {} for name in enterprises}
    for quantity, places in own.items():
        everywhere = [point for points in places.values() for point in points]
        for name in enterprises:
            found[name][quantity] = tuple(places.get(name, everywhere))
    return found


def weather_of(plant: Plant, last: Callable[[int], float | None], time: int) -> tuple[Weather, ...]:
    """Return the weather as facts.

    Args:
        plant: the compiled plant.
        last: last good value of a point by its number, in the point's unit; None or NaN when there is none.
        time: µs UTC.
    """
    found = []
    for enterprise, quantities in weather_points(plant).items():
        for quantity, points in quantities.items():
            for point in points:
                value = last(point.number)
                if value is not None and value == value:
                    found.append(Weather(quantity, _usual(point, value), time, enterprise))
    return tuple(found)


def _usual(point: Point, value: float) -> float:
    """Return a temperature in °C: the levels of risk models are in the usual unit of a quantity."""
    if point.kind == "temperature" and point.unit == "K":
        return value - 273.15
    if point.kind == "temperature" and point.unit == "°F":
        return (value - 32.0) / 1.8
    return value

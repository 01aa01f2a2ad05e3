"""Where things stand: local metres (x east, y north, from the park's south-west corner) to longitude and latitude."""

from __future__ import annotations

import math

WIDTH, HEIGHT = 1600.0, 1000.0
CENTRE = (121.62, 29.95)
_METRES_PER_DEGREE = 111_320.0

Ring = list[tuple[float, float]]


def lon_lat(x: float, y: float) -> tuple[float, float]:
    """Return longitude and latitude (WGS84, 7 digits) of a place in local metres (equirectangular, < 1 m off here)."""
    lat = CENTRE[1] + (y - HEIGHT / 2) / 110_850.0
    lon = CENTRE[0] + (x - WIDTH / 2) / (_METRES_PER_DEGREE * math.cos(math.radians(CENTRE[1])))
    return round(lon, 7), round(lat, 7)


def rectangle(x: float, y: float, width: float, height: float) -> Ring:
    """Return the closed outline of a rectangle around its centre."""
    a, b = width / 2, height / 2
    return [(x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b), (x - a, y - b)]


def circle(x: float, y: float, radius: float, corners: int = 24) -> Ring:
    """Return the closed outline of a circle as a polygon."""
    ring = [
        (x + radius * math.cos(2 * math.pi * k / corners), y + radius * math.sin(2 * math.pi * k / corners))
        for k in range(corners)
    ]
    return [*ring, ring[0]]


def polygon(ring: Ring) -> dict[str, object]:
    """Return a GeoJSON polygon of a ring in local metres."""
    return {"type": "Polygon", "coordinates": [[list(lon_lat(x, y)) for x, y in ring]]}

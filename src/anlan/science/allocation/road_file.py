"""Roads from GeoJSON: lines with nodes, length, speed, direction; each faulty one is set aside with its reason."""

from __future__ import annotations

import math
import re
from typing import Any

from anlan.science.allocation.roads import Remark, Road, RoadGraph, RoadsError, build, line_length
from anlan.science.allocation.traffic import traffic

_SPEED = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(km/h|kmh|mph)?\s*\Z")
_MILE = 1.609344
_CHORD_SLACK = 0.95
"""A stated length below this share of the line's own is a fault of units or of the line."""


class _FaultyError(Exception):
    def __init__(self, code: str, en: str, zh: str, fix: str) -> None:
        super().__init__(en)
        self.parts = code, en, zh, fix


def read_roads(data: Any, mode: str = "drive") -> RoadGraph:
    """Return the graph of a GeoJSON FeatureCollection of LineStrings.

    Properties of a feature: ``u``, ``v`` (node ids; without any in the file, lines that share an end are joined),
    ``length_m`` (else measured), ``maxspeed`` (km/h or "30 mph") or ``highway``, ``direction`` (0, 1, -1) or ``oneway``
    (yes, no, -1), ``lanes`` (each way), ``width`` (m), ``capacity`` (persons/h each way), ``closed``, ``name``.

    Args:
        data: the decoded GeoJSON.
        mode: ``drive`` or ``walk``.

    Raises:
        RoadsError: no FeatureCollection, or no usable road in it.
    """
    features = data.get("features") if isinstance(data, dict) else None
    if not isinstance(features, list):
        raise RoadsError(
            "no GeoJSON FeatureCollection", where="roads", fix='{"type": "FeatureCollection", "features": […]}'
        )
    named = any(_has_node(feature) for feature in features)
    roads: list[Road] = []
    remarks: list[Remark] = []
    for number, feature in enumerate(features):
        try:
            roads.append(_road(feature, named))
        except _FaultyError as fault:
            code, en, zh, fix = fault.parts
            remarks.append(Remark(code, f"features[{number}]", f"{en}: set aside", f"{zh}，该路段未采用", fix))
    if not roads:
        first = f": {remarks[0].where}: {remarks[0].en}" if remarks else ""
        raise RoadsError(
            f"no usable road{first}", where="roads", fix=remarks[0].fix if remarks else "at least one LineString"
        )
    return build(roads, remarks, mode)


def _has_node(feature: Any) -> bool:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    return isinstance(properties, dict) and (properties.get("u") is not None or properties.get("v") is not None)


def _road(feature: Any, named: bool) -> Road:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    properties = properties if isinstance(properties, dict) else {}
    lon, lat = _line(feature)
    u, v = (_node(properties, key, lon[at], lat[at], named) for key, at in (("u", 0), ("v", -1)))
    highway = str(properties.get("highway") or "other")
    speed, lanes = traffic().usual(highway)
    return Road(
        u, v, lon, lat, _length(properties, lon, lat), _speed(properties.get("maxspeed"), speed),
        _direction(properties),
        _number(properties, "lanes", lanes), _number(properties, "width", 0.0),
        _number(properties, "capacity", math.nan) / 3600.0, properties.get("closed") in (True, "yes", "true"),
        str(properties.get("name") or ""),
    )  # fmt: skip


def _line(feature: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    points = (
        geometry.get("coordinates") if isinstance(geometry, dict) and geometry.get("type") == "LineString" else None
    )
    if not isinstance(points, list) or len(points) < 2:
        raise _FaultyError(
            "no-line", "no LineString of two or more points", "不是至少两点的LineString", "geometry of a LineString"
        )
    try:
        lon = tuple(float(point[0]) for point in points)
        lat = tuple(float(point[1]) for point in points)
    except (TypeError, ValueError, IndexError):
        raise _FaultyError(
            "coordinates", "a point without two numbers", "坐标不是两个数", "[longitude, latitude]"
        ) from None
    if not all(abs(a) <= 180.0 and abs(b) <= 90.0 for a, b in zip(lon, lat, strict=True)):
        raise _FaultyError(
            "coordinates",
            "coordinates outside WGS84",
            "坐标超出WGS84范围",
            "[longitude, latitude] in degrees, longitude first",
        )
    return lon, lat


def _node(properties: dict[str, Any], key: str, lon: float, lat: float, named: bool) -> str:
    value = properties.get(key)
    if value is not None and str(value) != "":
        return str(value)
    if named:
        raise _FaultyError(
            "edge-without-node", f"an edge without node {key}", f"路段缺少节点{key}", f"property {key}: the node's id"
        )
    return f"{lon:.6f},{lat:.6f}"


def _length(properties: dict[str, Any], lon: tuple[float, ...], lat: tuple[float, ...]) -> float:
    measured = line_length(lon, lat)
    value = properties.get("length_m", properties.get("length"))
    if value is None:
        return measured
    try:
        length = float(value)
    except (TypeError, ValueError):
        length = math.nan
    if length < 0.0:
        raise _FaultyError(
            "negative-length", f"a length of {length:g} m", f"长度为{length:g}米", "a length in metres, 0 or more"
        )
    if not math.isfinite(length):
        raise _FaultyError("length", f"a length of {value!r}", f"长度{value!r}无效", "a length in metres, 0 or more")
    if length < _CHORD_SLACK * measured - 1.0:
        raise _FaultyError(
            "length-below-line", f"a length of {length:g} m on a line of {measured:.1f} m",
            f"长度{length:g}米短于线长{measured:.1f}米", "metres along the line; or leave it out to have it measured",
        )  # fmt: skip
    return length


def _speed(value: Any, usual: float) -> float:
    if value is None or value == "":
        return usual
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        speed, unit = float(value), "km/h"
    else:
        match = _SPEED.match(str(value))
        if match is None:
            return usual  # such as "walk" or "CN:urban": the class says it
        speed, unit = float(match[1]), match[2] or "km/h"
    if not 0.0 < speed <= 300.0:
        raise _FaultyError("speed", f"a speed of {value} km/h", f"速度为{value}公里/小时", "km/h above 0 and up to 300")
    return speed * (_MILE if unit == "mph" else 1.0) / 3.6


def _direction(properties: dict[str, Any]) -> int:
    value = properties.get("direction")
    if value is None:
        oneway = str(properties.get("oneway", "no")).lower()
        value = {"yes": 1, "true": 1, "1": 1, "-1": -1, "reverse": -1}.get(oneway, 0)
    if str(value) not in {"0", "1", "-1"}:
        raise _FaultyError(
            "direction", f"a direction of {value!r}", f"方向{value!r}无效", "0 both ways, 1 only u to v, -1 only v to u"
        )
    return int(value)


def _number(properties: dict[str, Any], key: str, usual: float) -> float:
    value = properties.get(key)
    if value is None or value == "":
        return usual
    try:
        number = float(value)
    except (TypeError, ValueError):
        return usual
    if not (math.isfinite(number) and number >= 0.0):
        raise _FaultyError(key, f"{key} of {value}", f"{key}为{value}", "a number, 0 or more")
    return number

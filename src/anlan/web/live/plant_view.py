"""The plant as the browser needs it: names, numbers and outlines in local metres, only what the actor may see."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import msgspec

from anlan.plant.model import Plant, Point, SiteInfo, Zone
from anlan.web.live.frame import Key, covers

EARTH_M = 6_371_008.8  # mean radius, IUGG
PITCH_M = 60.0

Ring = list[tuple[float, float]]


class Projector:
    """From the site's coordinates to metres east and north of its origin.

    Geographic coordinates are projected equirectangularly about the origin: at the size of a plant (10 km) the error
    is below a metre.
    """

    def __init__(self, site: SiteInfo, zones: tuple[Zone, ...]) -> None:
        self.local = site.crs.lower() in ("local", "metres", "m")
        origin = site.location
        if origin is None and not self.local:
            first = next((pair for zone in zones for ring in _rings(zone.geometry) for pair in ring), (0.0, 0.0))
            origin = first
        self.origin = origin or (0.0, 0.0)
        self._east = math.radians(1) * EARTH_M * math.cos(math.radians(self.origin[1]))
        self._north = math.radians(1) * EARTH_M

    def __call__(self, x: float, y: float) -> tuple[float, float]:
        """Return metres (east, north) of a position."""
        if self.local:
            return round(x, 2), round(y, 2)
        return round((x - self.origin[0]) * self._east, 2), round((y - self.origin[1]) * self._north, 2)


def _rings(geometry: dict[str, Any]) -> list[Ring]:
    kind, coordinates = geometry.get("type"), geometry.get("coordinates") or []
    if kind == "Polygon":
        return [[(float(pair[0]), float(pair[1])) for pair in ring] for ring in coordinates]
    if kind == "MultiPolygon":
        return [[(float(pair[0]), float(pair[1])) for pair in ring] for part in coordinates for ring in part]
    return []


def _line(geometry: dict[str, Any]) -> Ring:
    if geometry.get("type") != "LineString":
        return []
    return [(float(pair[0]), float(pair[1])) for pair in geometry.get("coordinates") or []]


def _box(points: Ring) -> list[float]:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return [min(xs), min(ys), max(xs), max(ys)]


def _zones(plant: Plant, key: Key, project: Projector) -> list[dict[str, Any]]:
    found = []
    for zone in plant.zones:
        if zone.path and not covers(key, zone.path) and not any(place.startswith(zone.path + "/") for place in key):
            continue
        rings = [[project(x, y) for x, y in ring] for ring in _rings(zone.geometry)]
        line = [project(x, y) for x, y in _line(zone.geometry)]
        points = [pair for ring in rings for pair in ring] + line
        if points:
            found.append(
                {"id": zone.id, "path": zone.path, "name": zone.name, "name_en": zone.name_en, "kind": zone.kind}
                | {"rings": rings, "line": line or None, "box": _box(points)}
            )
    return sorted(found, key=lambda zone: -(zone["box"][2] - zone["box"][0]) * (zone["box"][3] - zone["box"][1]))


def _schematic(plant: Plant, key: Key) -> list[dict[str, Any]]:
    """Return a plain arrangement of the units by area, for a site whose files give no outlines."""
    areas: dict[str, list[str]] = defaultdict(list)
    for unit in plant.units:
        if covers(key, unit.path):
            areas[unit.path.rpartition("/")[0]].append(unit.path)
    zones, top = [], 0.0
    for paths in areas.values():
        columns = min(6, max(1, math.ceil(math.sqrt(len(paths) * 2))))
        for place, path in enumerate(paths):
            x = (place % columns) * PITCH_M * 1.5
            y = top - (place // columns) * PITCH_M
            ring = [(x, y - 42), (x + 78, y - 42), (x + 78, y), (x, y)]
            zones.append({"id": path, "path": path, "kind": "unit", "rings": [ring], "line": None, "box": _box(ring)})
        top -= math.ceil(len(paths) / columns) * PITCH_M + 24
    return zones


def _inside(rings: list[Ring], x: float, y: float) -> bool:
    hit = False
    for ring in rings:
        previous = ring[-1]
        for current in ring:
            crosses = (current[1] > y) != (previous[1] > y)
            if crosses:
                at = (previous[0] - current[0]) * (y - current[1]) / (previous[1] - current[1]) + current[0]
                hit ^= x < at
            previous = current
    return hit


def _spread(rings: list[Ring], box: list[float], count: int) -> list[tuple[float, float]]:
    """Return ``count`` evenly spread places inside an outline."""
    x0, y0, x1, y1 = box
    for cells in range(max(2, math.ceil(math.sqrt(count))), 60):
        across = max(1, round(cells * math.sqrt(max(0.1, (x1 - x0) / max(1e-9, y1 - y0)))))
        places = [
            (x0 + (x1 - x0) * (column + 0.5) / across, y1 - (y1 - y0) * (row + 0.5) / cells)
            for row in range(cells)
            for column in range(across)
        ]
        inner = [place for place in places if _inside(rings, *place)]
        if len(inner) >= count:
            step = len(inner) / count
            return [inner[int(k * step)] for k in range(count)]
    return [((x0 + x1) / 2, (y0 + y1) / 2)] * count


def _positions(plant: Plant, key: Key, zones: list[dict[str, Any]], project: Projector) -> dict[int, list[float]]:
    placed: dict[int, list[float]] = {}
    waiting: dict[str, list[int]] = defaultdict(list)
    for point in plant.points:
        if not covers(key, point.path):
            continue
        if point.position is not None:
            placed[point.number] = list(project(*point.position))
        else:
            waiting[point.path.rpartition("/")[0]].append(point.number)
    by_path = {zone["path"]: zone for zone in zones if zone["rings"]}
    for path, numbers in waiting.items():
        zone = by_path.get(path)
        if zone is not None:
            spots = _spread(zone["rings"], zone["box"], len(numbers))
            placed |= {number: [round(x, 1), round(y, 1)] for number, (x, y) in zip(numbers, spots, strict=True)}
    return placed


def _wind(points: list[Point]) -> dict[str, int] | None:
    directions = {point.path.rpartition("/")[0]: point.number for point in points if point.kind == "wind-direction"}
    for point in points:
        parent = point.path.rpartition("/")[0]
        if point.kind == "wind-speed" and parent in directions:
            return {"speed": point.number, "direction": directions[parent]}
    return None


def _key_points(plant: Plant, visible: list[Point]) -> list[int]:
    """Return up to eight points worth a trend: with limits, safety first, of different kinds and units."""
    limits = {alarm.point for alarm in plant.alarms if alarm.limit is not None and alarm.kind in ("HH", "LL", "H", "L")}
    chosen: list[int] = []
    kinds: set[str] = set()
    for again in (False, True):
        for point in sorted(visible, key=lambda point: not point.safety):
            if point.number in limits and point.number not in chosen and (again or point.kind not in kinds):
                chosen.append(point.number)
                kinds.add(point.kind)
            if len(chosen) == 8:
                return chosen
    return chosen


def view(plant: Plant, key: Key) -> bytes:
    """Return the plant as JSON for the pages of people who see the places of ``key``."""
    project = Projector(plant.site, plant.zones)
    zones = _zones(plant, key, project)
    schematic = not any(zone["rings"] for zone in zones)
    if schematic:
        zones = _schematic(plant, key)
    visible = [point for point in plant.points if covers(key, point.path)]
    positions = _positions(plant, key, zones, project)
    numbers = {point.number for point in visible}
    sources = {path: _tag(tag) for spec in plant.connectors for path, tag in spec.map.items()}
    boxes = [zone["box"] for zone in zones] + [[*xy, *xy] for xy in positions.values()]
    columns = list(zip(*boxes, strict=True)) if boxes else [(0,), (0,), (1,), (1,)]
    document = {
        "site": plant.site,
        "places": [p for p in plant.places if covers(key, p.path) or any(k.startswith(p.path + "/") for k in key)],
        "units": [unit for unit in plant.units if covers(key, unit.path)],
        "points": [_point(point, positions, sources) for point in visible],
        "alarms": [alarm for alarm in plant.alarms if alarm.point in numbers],
        "positions": plant.positions,
        "map": {
            "zones": zones,
            "schematic": schematic,
            "metres": not schematic,
            "bounds": [min(columns[0]), min(columns[1]), max(columns[2]), max(columns[3])],
        },
        "wind": _wind(visible),
        "key": _key_points(plant, visible),
    }
    return msgspec.json.encode(document)


def _point(point: Point, positions: dict[int, list[float]], sources: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(point)
    fields.pop("position", None)
    return fields | {
        "tag": point.tag,
        "unit": point.unit,
        "xy": positions.get(point.number),
        "source": sources.get(point.path, ""),
    }


def _tag(tag: Any) -> str:
    if isinstance(tag, dict):
        return ", ".join(f"{name}={value}" for name, value in tag.items())
    return str(tag)

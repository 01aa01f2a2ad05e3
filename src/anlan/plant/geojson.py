"""Zones of a site: GeoJSON (RFC 7946) inline or in files beside the site file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from anlan.plant.findings import guess
from anlan.plant.report import Report
from anlan.plant.schema import ZonePart
from anlan.plant.site_file import Loc, locate

Geometries = dict[int, list[tuple[dict[str, Any], dict[str, Any]]]]
MAX_BYTES = 16 << 20


class GeoJsonError(ValueError):
    """Why a piece of GeoJSON is no outline; the text is shown to people."""


def check_zones(report: Report) -> tuple[Geometries, list[Path]]:
    """Return the outlines of each zone entry (by its index) and the files read for them."""
    geometries: Geometries = {}
    files: list[Path] = []
    seen: dict[str, Loc] = {}
    for index, zone in enumerate(report.document.site.zones):
        loc: Loc = ("zones", index)
        if (zone.geojson is None) == (zone.geometry is None):
            report.add("zone-shape", loc)
            continue
        found = _file_features(report, zone, loc, files) if zone.geojson is not None else _inline(report, zone, loc)
        geometries[index] = found
        for properties, _ in found:
            _check_zone(report, zone, properties, loc, seen)
    return geometries, files


def _check_zone(report: Report, zone: ZonePart, properties: dict[str, Any], loc: Loc, seen: dict[str, Loc]) -> None:
    identity = zone.id or str(properties.get("id", ""))
    if not identity:
        report.add("missing-key", loc, key="id")
    elif identity in seen:
        report.add("duplicate-id", loc, what="zone", id=identity, first=report.line_of(seen[identity]))
    else:
        seen[identity] = loc
    path = zone.path or str(properties.get("path", ""))
    if path and path not in report.places:
        report.add("unknown-place", (*loc, "path"), value=path, **guess(path, report.places))


def _inline(report: Report, zone: ZonePart, loc: Loc) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    assert zone.geometry is not None
    try:
        return features(zone.geometry, local=report.document.site.site.crs == "local")
    except GeoJsonError as error:
        report.add("geojson", (*loc, "geometry"), reason=error)
        return []


def _file_features(
    report: Report, zone: ZonePart, loc: Loc, files: list[Path]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    assert zone.geojson is not None
    base = report.document.path if report.document.path.is_dir() else report.document.path.parent
    # A path is meant beside the YAML file that names it, which in a folder may lie deeper.
    named_in, _, _ = locate(report.document.raw, loc)
    folder = (base / named_in).parent
    file = folder / zone.geojson
    try:
        if not file.resolve().is_relative_to(base.resolve()):
            report.add("geojson-outside", loc)
            return []
        files.append(file)
        if file.stat().st_size > MAX_BYTES:
            report.add("geojson", loc, reason=f"{zone.geojson} is larger than {MAX_BYTES >> 20} MB")
            return []
        return features(json.loads(file.read_bytes()), local=report.document.site.site.crs == "local")
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            report.add_at("geojson", zone.geojson, error.lineno, "", reason=error.msg)
        elif isinstance(error, GeoJsonError):
            report.add_at("geojson", zone.geojson, 1, "", reason=error)
        else:
            reason = getattr(error, "strerror", None) or str(error) or "nested too deeply"
            report.add("unreadable", loc, reason=f"{zone.geojson}: {reason}")
        return []


def features(document: Any, *, local: bool = False) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return (properties, geometry) of every outline of a GeoJSON document.

    Args:
        document: a FeatureCollection, a Feature or a geometry.
        local: coordinates are local metres instead of longitude and latitude.

    Raises:
        GeoJsonError: something is no outline; names which.
    """
    if not isinstance(document, dict):
        raise GeoJsonError("an object is expected")
    kind = document.get("type")
    if kind == "FeatureCollection":
        items = document.get("features")
        if not isinstance(items, list) or not items:
            raise GeoJsonError("features is empty or no list")
        return [_feature(item, f"features[{index}]", local) for index, item in enumerate(items)]
    if kind == "Feature":
        return [_feature(document, "feature", local)]
    _check_geometry(document, "geometry", local)
    return [({}, document)]


def _feature(item: Any, name: str, local: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(item, dict) or item.get("type") != "Feature":
        raise GeoJsonError(f"{name} is no Feature")
    properties = item.get("properties") or {}
    if not isinstance(properties, dict):
        raise GeoJsonError(f"{name}.properties is no object")
    geometry = item.get("geometry")
    _check_geometry(geometry, f"{name}.geometry", local)
    assert isinstance(geometry, dict)
    if "id" in item and "id" not in properties:
        properties = {**properties, "id": item["id"]}
    return properties, geometry


def _check_geometry(geometry: Any, name: str, local: bool) -> None:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise GeoJsonError(f"{name} is {kind or 'nothing'}, not a Polygon or MultiPolygon")
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not polygons:
        raise GeoJsonError(f"{name} has no coordinates")
    for polygon in polygons:
        if not isinstance(polygon, list) or not polygon:
            raise GeoJsonError(f"{name} has a polygon without rings")
        for ring in polygon:
            _check_ring(ring, name, local)


def _check_ring(ring: Any, name: str, local: bool) -> None:
    if not isinstance(ring, list) or len(ring) < 4:
        raise GeoJsonError(f"{name} has a ring of fewer than four positions")
    for position in ring:
        if not isinstance(position, list) or len(position) < 2 or not all(_finite(item) for item in position):
            raise GeoJsonError(f"{name} has a position that is not two numbers: {str(position)[:60]}")
        if not local and not (-180 <= position[0] <= 180 and -90 <= position[1] <= 90):
            raise GeoJsonError(f"{name} has {position[:2]}, which is no longitude, latitude")
    if ring[0] != ring[-1]:
        raise GeoJsonError(f"{name} has an open ring: the last position must repeat the first")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

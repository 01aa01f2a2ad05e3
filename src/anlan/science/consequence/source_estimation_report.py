"""The posterior of a source as people use it: point, region, marginals, remarks, GeoJSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from anlan.science.consequence.conventions import Remarks
from anlan.science.consequence.risk_contours import contours, to_degrees
from anlan.science.consequence.risk_model import Area
from anlan.science.consequence.source_estimation_kernels import CLASS, EAST, ERROR, EXCESS, NORTH, START, TURN
from anlan.science.consequence.source_estimation_model import Estimate, Floats, Marginal, Region, Settings
from anlan.science.consequence.source_estimation_prepare import Evidence

_CELLS = 128
_FEW = 3
_EDGE = 0.03


def report(
    posterior: Floats, evidence: Evidence, settings: Settings, box: tuple[float, float, float, float],
    origin: tuple[float, float] | None, remarks: Remarks,
) -> Estimate:  # fmt: skip
    """Return the estimate of a posterior (particles, parameters) that has ln kg/s in the place of the excess."""
    x, y = geometric_median(posterior[:, (EAST, NORTH)])
    region = credible_region(posterior[:, EAST], posterior[:, NORTH])
    _say(posterior, evidence, box, remarks)
    rate = Marginal.of(np.exp(posterior[:, EXCESS]))
    equipment = _equipment(posterior, settings)
    return Estimate(
        True, evidence.smelled, evidence.used, evidence.left_out, tuple(remarks.items), x=x, y=y, rate=rate,
        east=Marginal.of(posterior[:, EAST]), north=Marginal.of(posterior[:, NORTH]),
        direction_offset=Marginal.of(-np.degrees(posterior[:, TURN])), start=Marginal.of(posterior[:, START]),
        stability=Marginal.of(posterior[:, CLASS]), error=Marginal.of(np.exp(posterior[:, ERROR])), region=region,
        equipment=equipment, particles=posterior, geojson=_geojson(x, y, rate, region, origin),
    )  # fmt: skip


def geometric_median(points: Floats) -> tuple[float, float]:
    """Return the place with the least mean distance to ``points`` (n, 2) (Weiszfeld's iteration)."""
    place = np.median(points, axis=0)
    for _ in range(30):
        weight = 1.0 / np.maximum(np.hypot(*(points - place).T), 1e-3)
        place = (points * weight[:, None]).sum(axis=0) / weight.sum()
    return float(place[0]), float(place[1])


def credible_region(east: Floats, north: Floats) -> Region:
    """Return the smoothed density of places (Scott's rule) and the levels that enclose 50 and 90 % of the places.

    Levels are quantiles of the density at the places themselves (Hyndman 1996, Am. Stat. 50:120).
    """
    points = np.column_stack([east, north])
    low, high = np.quantile(points, 0.002, axis=0), np.quantile(points, 0.998, axis=0)
    side = float(np.max(high - low)) * 1.3 + 10.0
    middle = 0.5 * (low + high)
    edges = [middle[k] + side * (np.arange(_CELLS + 1) / _CELLS - 0.5) for k in range(2)]
    count, _, _ = np.histogram2d(north, east, bins=(edges[1], edges[0]))
    cell = side / _CELLS
    spread = np.minimum(points.std(axis=0), np.subtract(*np.quantile(points, (0.75, 0.25), axis=0)) / 1.349 + 1e-6)
    width = np.maximum(spread * len(points) ** (-1.0 / 6.0) / cell, 0.7)
    density = gaussian_filter(count, sigma=(width[1], width[0]), mode="constant") / (len(points) * cell * cell)
    east_axis, north_axis = 0.5 * (edges[0][1:] + edges[0][:-1]), 0.5 * (edges[1][1:] + edges[1][:-1])
    column = np.clip(((east - edges[0][0]) / cell).astype(np.int64), 0, _CELLS - 1)
    row = np.clip(((north - edges[1][0]) / cell).astype(np.int64), 0, _CELLS - 1)
    level90, level50 = np.quantile(density[row, column], (0.1, 0.5)).tolist()
    return Region(east_axis, north_axis, density, level50, level90)


def _equipment(posterior: Floats, settings: Settings) -> tuple[tuple[str, float], ...]:
    if not settings.equipment:
        return ()
    places = np.array([(one.x, one.y) for one in settings.equipment])
    apart = np.hypot(posterior[:, EAST, None] - places[:, 0], posterior[:, NORTH, None] - places[:, 1])
    share = np.bincount(np.argmin(apart, axis=1), minlength=len(places)) / len(posterior)
    ranked = sorted(zip((one.id for one in settings.equipment), share.tolist(), strict=True), key=lambda one: -one[1])
    return tuple(ranked)


def _say(posterior: Floats, evidence: Evidence, box: tuple[float, float, float, float], remarks: Remarks) -> None:
    if evidence.smelled < _FEW:
        remarks.add(
            "few-smelled",
            f"Only {evidence.smelled} detector(s) smelled it: the place is known poorly, above all along the wind.",
            f"仅有 {evidence.smelled} 个探测器检出气体：位置（尤其是沿风向）不确定性大。",
        )
    west, south, east, north = box
    margin_x, margin_y = _EDGE * (east - west), _EDGE * (north - south)
    out = (posterior[:, EAST] < west + margin_x) | (posterior[:, EAST] > east - margin_x)
    out |= (posterior[:, NORTH] < south + margin_y) | (posterior[:, NORTH] > north - margin_y)
    if np.mean(out) > 0.1:
        remarks.add("at-the-edge", "The source may well lie outside the area that was searched.",
                    "泄漏源很可能位于搜索区域之外。")  # fmt: skip
    if np.median(np.exp(posterior[:, ERROR])) > 1.0:
        remarks.add(
            "poor-fit",
            "Readings fit a single steady source poorly: there may be several, or one that changes.",
            "读数与单一稳定泄漏源吻合较差：可能存在多个泄漏源或泄漏量在变化。",
        )


def _geojson(x: float, y: float, rate: Marginal, region: Region, origin: tuple[float, float] | None) -> dict[str, Any]:
    east, north = (float(one) for one in to_degrees(np.array([[x, y]]), origin)[0])
    step = float(region.east[1] - region.east[0])
    area = Area(float(region.east[0]), float(region.north[0]), step, region.east.size, region.north.size)
    found = contours(area, region.density, (region.level90, region.level50), origin, quantity="source-region",
                     unit="1/m²")  # fmt: skip
    for feature in found["features"]:
        level = feature["properties"]["level"]
        feature["properties"]["probability"] = 0.9 if level == region.level90 else 0.5
    properties = {"quantity": "source", "rate": rate.median, "rate_low": rate.low90, "rate_high": rate.high90,
                  "unit": "kg/s"}  # fmt: skip
    point = {"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": [east, north]}}
    return {"type": "FeatureCollection", "features": [*found["features"], point]}

"""Contours of individual risk, the F-N curve and verdicts as GeoJSON and plain records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import contourpy
import numpy as np

from anlan.science.consequence.conventions import Remarks
from anlan.science.consequence.risk_criteria import CONTOURS
from anlan.science.consequence.risk_model import Area, Floats

_DEGREE = 111_319.49
"""m of one degree of longitude on the equator of WGS 84; of latitude within 0.6 %."""


def contours(
    area: Area, values: Floats, levels: Sequence[float] = CONTOURS, origin: tuple[float, float] | None = None,
    remarks: Remarks | None = None, quantity: str = "individual-risk", unit: str = "1/a",
) -> dict[str, Any]:  # fmt: skip
    """Return a GeoJSON FeatureCollection: one MultiPolygon for each level, of where ``values`` reach it or more.

    Between cells values count as linear, which puts a contour a little outside of that of a quantity that falls off
    ever more slowly: the safe side.

    Args:
        area: the grid. values: (rows, columns).
        levels: such as 3e-5. Those nowhere reached have no feature, but a remark.
        origin: longitude and latitude of (0, 0); None leaves metres east and north.
        remarks: takes what is to be said, such as a contour that leaves the grid.
    """
    said = remarks if remarks is not None else Remarks()
    generator = contourpy.contour_generator(
        area.east, area.north, values, name="serial", fill_type=contourpy.FillType.OuterOffset
    )
    features = []
    for level in sorted(levels, reverse=True):
        if not np.any(values >= level):
            said.add(f"level-{level:g}", f"{level:g} {unit} is nowhere reached.", f"未达到 {level:g} {unit}。")
            continue
        edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
        if np.any(edge >= level):
            said.add(f"edge-{level:g}", f"The contour of {level:g} {unit} leaves the grid.",
                     f"{level:g} {unit} 等值线超出计算网格。")  # fmt: skip
        filled: Any = generator.filled(level, math.inf)
        points, offsets = filled
        polygons = [_polygon(place, offset, origin) for place, offset in zip(points, offsets, strict=True)]
        features.append({
            "type": "Feature",
            "properties": {"quantity": quantity, "level": level, "unit": unit},
            "geometry": {"type": "MultiPolygon", "coordinates": polygons},
        })  # fmt: skip
    return {"type": "FeatureCollection", "features": features}


def _polygon(points: Any, offsets: Any, origin: tuple[float, float] | None) -> list[list[list[float]]]:
    """Return rings: the outer one counterclockwise, holes clockwise (RFC 7946)."""
    places = to_degrees(points, origin)
    return [
        [[round(float(x), 7), round(float(y), 7)] for x, y in places[first:last]] for first, last in pairwise(offsets)
    ]


def to_degrees(points: Floats, origin: tuple[float, float] | None) -> Floats:
    """Return places (n, 2), m east and north, as longitude and latitude around ``origin``; without it as they are.

    Local plane on the sphere of WGS 84's equator; within 0.6 % of distances over a few kilometres.
    """
    if origin is None:
        return points
    longitude, latitude = origin
    scale = np.array([_DEGREE * math.cos(math.radians(latitude)), _DEGREE])
    return np.asarray(points / scale + np.array([longitude, latitude]))

"""Heat radiation from flames: view factors, what the air takes away, where a flux falls to a threshold."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FARTHEST = 5e4


def water_vapour_pressure(temperature: float, humidity: float) -> float:
    """Return the partial pressure of water in air, Pa: RH·exp(25.897 − 5319.4/T) (CPR 14E 6.15), ±0.7 % at 0-30 °C."""
    return humidity * math.exp(25.897 - 5319.4 / temperature)


def transmissivity(water_pressure: float, distance: Floats | float) -> Floats:
    """Return the share of radiation that passes air: 2.02 (pw x)^−0.09 (CPR 14E 6.29), never above 1.

    Fitted for pw·x of 10⁴…10⁵ N/m; below about 2.5·10³ it would exceed 1.

    Args:
        water_pressure: Pa.
        distance: from the flame's surface, m.
    """
    product = np.maximum(water_pressure * np.asarray(distance, dtype=np.float64), 1e-9)
    result: Floats = np.minimum(2.02 * product**-0.09, 1.0)
    return result


def cylinder_factors(length: float, distance: float) -> tuple[float, float]:
    """Return (vertical, horizontal) view factors of an upright cylinder standing on the ground (CPR 14E app. 6.A).

    Args:
        length: flame length over its radius.
        distance: from the axis to the target over the radius, above 1.
    """
    h, s = length, distance
    a, b = (h * h + s * s + 1.0) / (2.0 * s), (1.0 + s * s) / (2.0 * s)
    root_a, root_b = math.sqrt(a * a - 1.0), math.sqrt(b * b - 1.0)
    slope = math.sqrt((s - 1.0) / (s + 1.0))
    steep = math.atan(math.sqrt((a + 1.0) * (s - 1.0) / ((a - 1.0) * (s + 1.0))))
    vertical = math.atan(h / math.sqrt(s * s - 1.0)) / s - h / s * math.atan(slope) + a * h / (s * root_a) * steep
    horizontal = (b - 1.0 / s) / root_b * math.atan(math.sqrt((b + 1.0) * (s - 1.0) / ((b - 1.0) * (s + 1.0))))
    horizontal -= (a - 1.0 / s) / root_a * steep
    return vertical / math.pi, horizontal / math.pi


def tilted_factors(length: float, distance: float, tilt: float) -> tuple[float, float]:
    """Return (vertical, horizontal) view factors of a cylinder tilted towards the target (Mudan; CPR 14E 6.A.14-15).

    Where the flame hangs over the target (1 + a sin θ ≥ b) the closed form has no answer; the numeric one is taken.

    Args:
        length: flame length along its axis over its radius.
        distance: from the foot's centre to the target over the radius, above 1.
        tilt: from the vertical towards the target, radians; below 0 leans away.
    """
    if abs(tilt) < 1e-6:
        return cylinder_factors(length, distance)
    a, b, sine, cosine = length, distance, math.sin(tilt), math.cos(tilt)
    if 1.0 + a * sine >= 0.98 * b:
        return numeric_factors(length, distance, tilt)
    big_a = math.sqrt(a * a + (b + 1.0) ** 2 - 2.0 * a * (b + 1.0) * sine)
    big_b = math.sqrt(a * a + (b - 1.0) ** 2 - 2.0 * a * (b - 1.0) * sine)
    c = math.sqrt(1.0 + (b * b - 1.0) * cosine**2)
    d = math.sqrt((b - 1.0) / (b + 1.0))
    e = a * cosine / (b - a * sine)
    f = math.sqrt(b * b - 1.0)
    w = math.atan((a * b - f * f * sine) / (f * c)) + math.atan(f * sine / c)
    ratio = math.atan(big_a * d / big_b)
    vertical = -e * math.atan(d) + cosine / c * w
    vertical += e * (a * a + (b + 1.0) ** 2 - 2.0 * b * (1.0 + a * sine)) / (big_a * big_b) * ratio
    horizontal = math.atan(1.0 / d) + sine / c * w
    horizontal -= (a * a + (b + 1.0) ** 2 - 2.0 * (b + 1.0 + a * b * sine)) / (big_a * big_b) * ratio
    return max(vertical, 0.0) / math.pi, max(horizontal, 0.0) / math.pi


def numeric_factors(length: float, distance: float, tilt: float) -> tuple[float, float]:
    """Return (vertical, horizontal) view factors of a tilted cylinder by summing 96 × 64 panels of its mantle."""
    # finer near the ground and on the side that faces the target, where a near one sees most
    up, around = (np.arange(96) + 0.5) / 96, (np.arange(64) + 0.5) / 32 - 1.0
    share, side = (x.ravel() for x in np.meshgrid(up, around, indexing="ij"))
    height, angle = length * share**2, math.pi * side * np.abs(side)
    panel = 2.0 * length * share / 96 * 2.0 * math.pi * np.abs(side) / 32
    # horizontal slices, shifted along the axis, as the pool's rim is: an oblique cylinder
    centre = height * math.sin(tilt)
    points = np.stack([centre + np.cos(angle), np.sin(angle), height * math.cos(tilt)])
    normals = np.stack(
        [np.cos(angle) * math.cos(tilt), np.sin(angle) * math.cos(tilt), -np.cos(angle) * math.sin(tilt)]
    )
    size = np.linalg.norm(normals, axis=0)
    normals = normals / size
    area = panel * size
    target = np.array([distance, 0.0, 0.0])
    return _summed(points, normals, area, target)


def _summed(points: Floats, normals: Floats, area: Floats, target: Floats) -> tuple[float, float]:
    way = target[:, None] - points
    squared = np.sum(way**2, axis=0)
    emitted = np.maximum(np.sum(way * normals, axis=0), 0.0)
    facing = emitted * area / (math.pi * squared**2)
    vertical = float(np.sum(facing * np.maximum(way[0], 0.0)))
    horizontal = float(np.sum(facing * np.maximum(-way[2], 0.0)))
    return min(vertical, 1.0), min(horizontal, 1.0)


def surface_factors(points: Floats, normals: Floats, area: Floats, targets: Floats) -> Floats:
    """Return the greatest view factor at each target of a surface of panels, the receiver turned as is worst.

    Args:
        points, normals: of the panels, m, shape (3, n); normals outward, of length 1.
        area: m², shape (n,).
        targets: shape (3, m).
    """
    result = np.empty(targets.shape[1])
    for k in range(targets.shape[1]):
        way = targets[:, k : k + 1] - points
        squared = np.maximum(np.sum(way**2, axis=0), 1e-6)
        emitted = np.maximum(np.sum(way * normals, axis=0), 0.0)
        vector = (emitted * area / (math.pi * squared**2) * way).sum(axis=1)
        result[k] = min(1.0, float(np.linalg.norm(vector)))
    return result


def distance_to(flux: Callable[[float], float], threshold: float, nearest: float) -> float:
    """Return where ``flux(x)`` falls to ``threshold`` for good, m; 0 where it never reaches it beyond ``nearest``."""
    grid = np.geomspace(max(nearest, 0.1), _FARTHEST, 200)
    above = [k for k, x in enumerate(grid) if flux(float(x)) >= threshold]
    if not above:
        return 0.0
    last = above[-1]
    if last == len(grid) - 1:
        return float(_FARTHEST)
    low, high = float(grid[last]), float(grid[last + 1])
    for _ in range(60):
        middle = 0.5 * (low + high)
        if flux(middle) >= threshold:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)

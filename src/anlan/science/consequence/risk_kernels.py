"""Compiled parts of the risk of a park: footprints laid on rings, turned by moving an index, and brought to the map.

A ring i has distance R·(i/n)², an angle j is 2π·j/angles. Directions of the wind are whole numbers of angles, so
turning a footprint is exact; the same bilinear weights bring rings to cells and people to rings, so that sums over people equal
sums over cells.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

KIND, CX, AX, BY, TOP, NX, NY, FIRST, MIRROR = range(9)
FIELDS = 9
CHUNKS = 8


@numba.njit(cache=True, nogil=True)
def _value(zone: Any, values: Any, x: float, y: float, cos: float, sin: float, along: float, around: float) -> Any:
    """Return probability of death and coverage of a zone at (x, y) downwind; an ellipse's edge is one node wide."""
    if zone[KIND] == 0.0:
        a, b = zone[AX], zone[BY]
        u, v = (x - zone[CX]) / a, y / b
        s = math.sqrt(u * u + v * v)
        gx, gy = u / a, v / b
        g = math.sqrt(gx * gx + gy * gy)
        thin = min(a, b)
        if s < 1e-9 or g < 1e-12:
            depth, width = thin, max(along, around)
        else:
            depth = (1.0 - s) * s / g
            nx, ny = gx / g, gy / g
            width = along * abs(nx * cos + ny * sin) + around * abs(ny * cos - nx * sin)
        width = max(width, 1e-9)
        cover = min(max(0.5 + depth / width, 0.0), 1.0, 2.0 * thin / width)
        return zone[TOP] * cover, cover
    fx = (x - zone[CX]) / zone[AX]
    if zone[MIRROR] > 0.0:
        y = abs(y)
    fy = (y - zone[TOP]) / zone[BY]
    nx1, ny1 = int(zone[NX]), int(zone[NY])
    if fx < 0.0 or fy < 0.0 or fx > nx1 - 1 or fy > ny1 - 1:
        return 0.0, 0.0
    i, j = min(int(fx), nx1 - 2), min(int(fy), ny1 - 2)
    fx -= i
    fy -= j
    at = int(zone[FIRST]) + i * ny1 + j
    low = values[at] + fy * (values[at + 1] - values[at])
    high = values[at + ny1] + fy * (values[at + ny1 + 1] - values[at + ny1])
    p = low + fx * (high - low)
    return p, 1.0 if p > 0.0 else 0.0


@numba.njit(cache=True, nogil=True)
def _point(
    zones: Any, betas: Any, values: Any, first: int, last: int, place: Any, along: float, around: float, out: Any
) -> None:
    """Put what a footprint does at ``place`` (x, y, cos, sin) in ``out``: individual, outdoors, indoors."""
    out[0] = out[1] = out[2] = 0.0
    left = 1.0
    for k in range(first, last):
        p, cover = _value(zones[k], values, place[0], place[1], place[2], place[3], along, around)
        if p > 0.0:
            for part in range(3):
                out[part] += left * p * betas[k, part]
        left *= 1.0 - cover
        if left <= 0.0:
            break


@numba.njit(cache=True, nogil=True)
def _extent(zones: Any, first: int, last: int) -> Any:
    """Return the box of a footprint (least x, greatest x, greatest |y|)."""
    low, high, side = 1e300, -1e300, 0.0
    for k in range(first, last):
        zone = zones[k]
        if zone[KIND] == 0.0:
            low, high = min(low, zone[CX] - zone[AX]), max(high, zone[CX] + zone[AX])
            side = max(side, zone[BY])
        else:
            low, high = min(low, zone[CX]), max(high, zone[CX] + (zone[NX] - 1) * zone[AX])
            side = max(side, abs(zone[TOP]), abs(zone[TOP] + (zone[NY] - 1) * zone[BY]))
    return low, high, side


@numba.njit(cache=True, nogil=True)
def _half(low: float, high: float, side: float, r: float, step: float) -> float:
    """Return the greatest angle from downwind at which ring ``r`` meets the box; negative where it does not."""
    low, high, side = low - step, high + step, side + step
    if r > math.sqrt(max(abs(low), abs(high)) ** 2 + side * side) or low > r:
        return -1.0
    wide = math.pi if low <= -r else math.acos(low / r) if r > 0.0 else math.pi
    if r > side and (low >= 0.0 or r * r > low * low + side * side):
        wide = min(wide, math.asin(side / r))
    return wide


@numba.njit(cache=True, nogil=True)
def _turned(ring: Any, at: int, each: int, weight: Any, death: float) -> None:
    for d in range(weight.shape[0]):
        ring[(at + d * each) % ring.shape[0]] += weight[d] * death


@numba.njit(cache=True, nogil=True)
def _count(people: Any, at: int, each: int, outdoors: float, indoors: float, total: Any) -> None:
    """Add to ``total`` (periods, directions) who dies at angle ``at`` of a ring, for all directions at once."""
    periods, directions = total.shape
    sub, first = at % each, at // each
    for p in range(periods):
        outside, inside = people[p, sub, first:], people[periods + p, sub, first:]
        for d in range(directions):
            total[p, d] += outdoors * outside[d] + indoors * inside[d]


@numba.njit(cache=True, nogil=True, parallel=True)
def sweep(
    zones: Any, betas: Any, values: Any, outer: Any, inner: Any, weight: Any, turning: Any, counted: Any,
    reach: float, angles: int, people: Any, kernel: Any, half: Any, direct: Any, deaths: Any,
) -> None:  # fmt: skip
    """Lay all footprints of one place on its rings: sums for individual risk, deaths by direction for societal risk.

    Args:
        zones, betas, values: as compiled. outer, inner: (events, weathers, 2) first and last zone; inner −1: outer.
        weight: (events, weathers, directions) frequency. turning: events whose weight varies with direction.
        counted: events whose deaths are wanted.
        people: (2·periods, rings, angles/directions, 2·directions): outdoors then indoors by period.
        kernel: out (weathers, rings, angles); half: out (weathers, rings) greatest angle index used.
        direct: out (weathers, rings, angles), of the turning events.
        deaths: out (events, weathers, periods, directions).
    """
    weathers, rings = kernel.shape[0], kernel.shape[1]
    directions = weight.shape[2]
    each = angles // directions
    periods = people.shape[0] // 2
    for w in numba.prange(weathers):
        out, inside, place = np.empty(3), np.empty(3), np.empty(4)
        total = np.empty((periods, directions))
        for e in range(outer.shape[0]):
            first, last = outer[e, w, 0], outer[e, w, 1]
            first_in, last_in = inner[e, w, 0], inner[e, w, 1]
            low, high, side = _extent(zones, first, last)
            if first_in >= 0:
                low_in, high_in, side_in = _extent(zones, first_in, last_in)
                low, high, side = min(low, low_in), max(high, high_in), max(side, side_in)
            total[:] = 0.0
            for i in range(rings if high >= low else 0):
                r = reach * (i / (rings - 1)) ** 2
                along = reach * (2 * i + 1) / (rings - 1) ** 2
                around = 2.0 * math.pi * r / angles
                wide = _half(low, high, side, r, along + around)
                if wide < 0.0:
                    continue
                most = min(int(wide * angles / (2.0 * math.pi)) + 1, angles // 2)
                half[w, i] = max(half[w, i], most)
                for j in range(-most, most + 1 if 2 * most < angles else most):
                    place[2], place[3] = math.cos(2.0 * math.pi * j / angles), math.sin(2.0 * math.pi * j / angles)
                    place[0], place[1] = r * place[2], r * place[3]
                    _point(zones, betas, values, first, last, place, along, around, out)
                    if first_in >= 0:
                        _point(zones, betas, values, first_in, last_in, place, along, around, inside)
                        out[2] = inside[2]
                    at = j % angles
                    if out[0] > 0.0 and turning[e]:
                        _turned(direct[w, i], at, each, weight[e, w], out[0])
                    elif out[0] > 0.0:
                        kernel[w, i, at] += weight[e, w, 0] * out[0]
                    if counted[e] and (out[1] > 0.0 or out[2] > 0.0):
                        _count(people[:, i], at, each, out[1], out[2], total)
            if counted[e]:
                deaths[e, w] = total


@numba.njit(cache=True, nogil=True, parallel=True)
def turn(kernel: Any, half: Any, direct: Any, rose: Any, out: Any) -> None:
    """Sum the rings of a place over weathers and directions of ``rose`` (weathers, directions) into ``out``."""
    weathers, rings, angles = kernel.shape
    directions = rose.shape[1]
    each = angles // directions
    for i in numba.prange(rings):
        line = np.zeros(2 * angles)
        for w in range(weathers):
            most = half[w, i]
            if most < 0:
                continue
            count = min(2 * most + 1, angles)
            row = np.empty(count)
            for j in range(count):
                row[j] = kernel[w, i, (j - most) % angles]
            for d in range(directions):
                p = rose[w, d]
                at = (d * each - most) % angles
                for j in range(count):
                    line[at + j] += p * row[j]
            for j in range(angles):
                line[j] += direct[w, i, j]
        for j in range(angles):
            out[i, j] = line[j] + line[j + angles]


@numba.njit(cache=True, nogil=True, inline="always")
def _corner(dx: float, dy: float, reach: float, rings: int, angles: int) -> Any:
    r = math.sqrt(dx * dx + dy * dy)
    t = (rings - 1) * math.sqrt(r / reach)
    i = min(int(t), rings - 2)
    a = math.atan2(dy, dx) * (angles / (2.0 * math.pi))
    if a < 0.0:
        a += angles
    j = min(int(a), angles - 1)
    return i, j, t - i, a - j


@numba.njit(cache=True, nogil=True, parallel=True)
def to_map(polar: Any, reach: float, x: float, y: float, west: float, south: float, step: float, out: Any) -> None:
    """Add the rings of a place at (x, y) to the map ``out`` (rows, columns)."""
    rings, angles = polar.shape
    rows, columns = out.shape
    low = max(math.ceil((y - reach - south) / step), 0)
    high = min(math.floor((y + reach - south) / step), rows - 1)
    for row in numba.prange(low, high + 1):
        dy = south + row * step - y
        across = math.sqrt(max(reach * reach - dy * dy, 0.0))
        left = max(math.ceil((x - across - west) / step), 0)
        right = min(math.floor((x + across - west) / step), columns - 1)
        for column in range(left, right + 1):
            i, j, fi, fj = _corner(west + column * step - x, dy, reach, rings, angles)
            k = j + 1 if j + 1 < angles else 0
            near = polar[i, j] + fj * (polar[i, k] - polar[i, j])
            far = polar[i + 1, j] + fj * (polar[i + 1, k] - polar[i + 1, j])
            out[row, column] += near + fi * (far - near)


@numba.njit(cache=True, nogil=True, parallel=True)
def to_rings(px: Any, py: Any, amount: Any, x: float, y: float, reach: float, chunk: Any) -> None:
    """Spread ``amount`` (n, kinds) of people at (px, py) over the rings of (x, y).

    Args:
        chunk: out (chunks, rings, angles, kinds), one for each part of the people.
    """
    parts, rings, angles, kinds = chunk.shape
    n = len(px)
    for c in numba.prange(parts):
        for k in range(c * n // parts, (c + 1) * n // parts):
            dx, dy = px[k] - x, py[k] - y
            if dx * dx + dy * dy > reach * reach:
                continue
            i, j, fi, fj = _corner(dx, dy, reach, rings, angles)
            j1 = j + 1 if j + 1 < angles else 0
            for q in range(kinds):
                near, far = amount[k, q] * (1.0 - fi), amount[k, q] * fi
                chunk[c, i, j, q] += near * (1.0 - fj)
                chunk[c, i, j1, q] += near * fj
                chunk[c, i + 1, j, q] += far * (1.0 - fj)
                chunk[c, i + 1, j1, q] += far * fj


@numba.njit(cache=True, nogil=True)
def at_point(
    zones: Any, betas: Any, values: Any, outer: Any, weight: Any, turning: Any, rose: Any, dx: float, dy: float,
    reach: float, rings: int, angles: int,
) -> Any:  # fmt: skip
    """Return the individual risk, 1/a, that each event adds at (dx, dy) from its place, by the rings of the map."""
    events, weathers = outer.shape[0], outer.shape[1]
    directions = rose.shape[1]
    each = angles // directions
    result = np.zeros(events)
    if dx * dx + dy * dy > reach * reach:
        return result
    out, place = np.empty(3), np.empty(4)
    i, j, fi, fj = _corner(dx, dy, reach, rings, angles)
    for e in range(events):
        for w in range(weathers):
            first, last = outer[e, w, 0], outer[e, w, 1]
            low, high, side = _extent(zones, first, last)
            if high < low:
                continue
            for node in range(4):
                ring, angle = i + node // 2, j + node % 2
                share = (fi if node // 2 else 1.0 - fi) * (fj if node % 2 else 1.0 - fj)
                r = reach * (ring / (rings - 1)) ** 2
                along = reach * (2 * ring + 1) / (rings - 1) ** 2
                around = 2.0 * math.pi * r / angles
                wide = _half(low, high, side, r, along + around)
                most = min(int(wide * angles / (2.0 * math.pi)) + 1, angles // 2) if wide >= 0.0 else -1
                for d in range(directions):
                    turned = (angle - d * each + angles // 2) % angles - angles // 2
                    if abs(turned) > most:
                        continue
                    theta = 2.0 * math.pi * turned / angles
                    place[2], place[3] = math.cos(theta), math.sin(theta)
                    place[0], place[1] = r * place[2], r * place[3]
                    _point(zones, betas, values, first, last, place, along, around, out)
                    w_d = weight[e, w, d] if turning[e] else weight[e, w, 0] * rose[w, d]
                    result[e] += share * w_d * out[0]
    return result

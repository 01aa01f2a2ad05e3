"""Compiled parts of the risk of a park: footprints laid on rings, turned by moving an index, and brought to the map.

A ring i has distance R·(i/n)², an angle j is 2π·j/angles. Directions of the wind are whole numbers of angles, so
turning a footprint is exact; the same bilinear weights bring rings to cells and people to rings, so that sums over
people equal sums over cells.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

KIND, CX, AX, BY, TOP, NX, NY, FIRST, MIRROR = range(9)
FIELDS = 9
CHUNKS = 4
_ATAN = (
    -0.00068049715501077414,
    0.0048272271111300825,
    -0.016055159019795037,
    0.034133420735835418,
    -0.054215306474933424,
    0.072422840351555898,
    -0.089790510111853322,
    0.11092984779110021,
    -0.14283948420130643,
    0.19999909956942485,
    -0.33333331518195886,
    0.9999999999390119,
)


@numba.njit(cache=True, nogil=True, inline="always")
def _ellipse(
    cx: float, a: float, b: float, x: float, y: float, cos: float, sin: float, along: float, around: float
) -> float:
    """Return how far an ellipse covers the node at (x, y): its edge is one node wide; a thin one covers its share."""
    u, v = (x - cx) / a, y / b
    gx, gy = u / a, v / b
    s, g = math.sqrt(u * u + v * v), math.sqrt(gx * gx + gy * gy)
    thin = min(a, b)
    if s < 1e-9:
        depth, width = thin, max(along, around)
    else:
        depth = (1.0 - s) * s / g
        width = (along * abs(gx * cos + gy * sin) + around * abs(gy * cos - gx * sin)) / g
    width = max(width, 1e-9)
    return min(max(0.5 + depth / width, 0.0), 1.0, 2.0 * thin / width)


@numba.njit(cache=True, nogil=True, inline="always")
def _grid(
    x0: float, dx: float, y0: float, dy: float, nx: int, ny: int, first: int, mirror: bool, values: Any, x: float,
    y: float,
) -> float:  # fmt: skip
    """Return the probability on a grid at (x, y), linear between nodes; 0 outside. ``dx``, ``dy``: nodes by metre."""
    u = (x - x0) * dx
    v = ((abs(y) if mirror else y) - y0) * dy
    if u < 0.0 or v < 0.0 or u > nx - 1 or v > ny - 1:
        return 0.0
    i, j = min(int(u), nx - 2), min(int(v), ny - 2)
    u -= i
    v -= j
    at = first + i * ny + j
    low = values[at] + v * (values[at + 1] - values[at])
    high = values[at + ny] + v * (values[at + ny + 1] - values[at + ny])
    result: float = low + u * (high - low)
    return result


@numba.njit(cache=True, nogil=True)
def _line(
    zones: Any, betas: Any, values: Any, first: int, last: int, ring: Any, turns: Any, start: int, count: int,
    out: Any, left: Any,
) -> None:  # fmt: skip
    """Put what a footprint does at ``count`` angles of a ring from index ``start`` on in ``out`` (4, count).

    Args:
        ring: distance, step along and step around, m. turns: (2, angles) cosine and sine.
        out: individual, outdoors, indoors, unprotected. left: (count,) work space.
    """
    r, along, around = ring
    angles = turns.shape[1]
    out[:, :count] = 0.0
    left[:count] = 1.0
    for k in range(first, last):
        round_one, mirror = zones[k, KIND] == 0.0, zones[k, MIRROR] > 0.0
        cx, a, b, top = zones[k, CX], zones[k, AX], zones[k, BY], zones[k, TOP]
        nx, ny, at = int(zones[k, NX]), int(zones[k, NY]), int(zones[k, FIRST])
        beta0, beta1, beta2 = betas[k, 0], betas[k, 1], betas[k, 2]
        for j in range(count):
            if left[j] <= 0.0:
                continue
            turn_ = start + j if start + j >= 0 else start + j + angles
            cos, sin = turns[0, turn_], turns[1, turn_]
            if round_one:
                cover = _ellipse(cx, a, b, r * cos, r * sin, cos, sin, along, around)
                p = top * cover
            else:
                p = _grid(cx, 1.0 / a, top, 1.0 / b, nx, ny, at, mirror, values, r * cos, r * sin)
                cover = 1.0 if p > 0.0 else 0.0
            if p > 0.0:
                p *= left[j]
                out[0, j] += p * beta0
                out[1, j] += p * beta1
                out[2, j] += p * beta2
                out[3, j] += p
            left[j] *= 1.0 - cover


@numba.njit(cache=True, nogil=True)
def _extent(zones: Any, first: int, last: int, first_in: int, last_in: int) -> Any:
    """Return the box of a footprint, indoors included: least x, greatest x, greatest |y|."""
    low, high, side = 1e300, -1e300, 0.0
    for n in range(last - first + max(last_in - first_in, 0)):
        k = first + n if n < last - first else first_in + n - (last - first)
        cx, a, b = zones[k, CX], zones[k, AX], zones[k, BY]
        if zones[k, KIND] == 0.0:
            low, high, side = min(low, cx - a), max(high, cx + a), max(side, b)
        else:
            low, high = min(low, cx), max(high, cx + (zones[k, NX] - 1) * a)
            side = max(side, abs(zones[k, TOP]), abs(zones[k, TOP] + (zones[k, NY] - 1) * b))
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


@numba.njit(cache=True, nogil=True, inline="always")
def _span(low: float, high: float, side: float, ring: Any, angles: int) -> Any:
    """Return index of the first angle of a ring that a box may reach, and how many."""
    wide = _half(low, high, side, ring[0], ring[1] + ring[2])
    if wide < 0.0:
        return 0, 0
    most = int(wide * angles / (2.0 * math.pi)) + 1
    return (-most, 2 * most + 1) if 2 * most + 1 < angles else (-(angles // 2), angles)


@numba.njit(cache=True, nogil=True, inline="always")
def _ring(i: int, reach: float, rings: int, angles: int) -> Any:
    r = reach * (i / (rings - 1)) ** 2
    return r, reach * (2 * i + 1) / (rings - 1) ** 2, 2.0 * math.pi * r / angles


@numba.njit(cache=True, nogil=True)
def _add_risk(
    line: Any, start: int, count: int, weight: Any, turning: bool, each: int, kernel: Any, direct: Any
) -> None:
    angles = kernel.shape[0]
    for j in range(count):
        if line[j] > 0.0:
            at = (start + j) % angles
            if turning:
                for d in range(weight.shape[0]):
                    direct[(at + d * each) % angles] += weight[d] * line[j]
            else:
                kernel[at] += weight[0] * line[j]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_deaths(line: Any, start: int, count: int, people: Any, kind: int, periods: int, total: Any) -> None:
    """Add to ``total`` (directions·periods) who of the people of ``kind`` die on a ring, in all directions at once.

    Two angles at a time in one flat loop: four times as fast as a loop over periods and directions.
    """
    each, size = people.shape[0], total.shape[0]
    angles = each * (size // periods)
    for j in range(0, count, 2):
        one = line[j]
        two = line[j + 1] if j + 1 < count else 0.0
        if one <= 0.0 and two <= 0.0:
            continue
        at, at2 = (start + j) % angles, (start + j + 1) % angles
        first, second = (
            people[at % each, kind, at // each * periods :],
            people[at2 % each, kind, at2 // each * periods :],
        )
        for d in range(size):
            total[d] += one * first[d] + two * second[d]


@numba.njit(cache=True, nogil=True, parallel=True)
def sweep(
    zones: Any, betas: Any, values: Any, outer: Any, inner: Any, weight: Any, turning: Any, alike: Any, counted: Any,
    reach: float, turns: Any, people: Any, kernel: Any, half: Any, direct: Any, deaths: Any,
) -> None:  # fmt: skip
    """Lay all footprints of one place on its rings: sums for individual risk, deaths by direction for societal risk.

    Args:
        zones, betas, values: as compiled. outer, inner: (events, weathers, 2) first and last zone; inner −1: outer.
        weight: (events, weathers, directions) frequency. turning: events whose weight varies with direction.
        counted: events whose deaths are wanted. turns: (2, angles) cosine and sine.
        people: (rings, angles/directions, kinds, 2·directions·periods): kinds are outdoors, indoors, then as they
            count with each protection, for events that have the one of index ``alike`` only (−1: the others).
        kernel: out (weathers, rings, angles); half: out (weathers, rings) greatest angle index used.
        direct: out (weathers, rings, angles), of the turning events.
        deaths: out (events, weathers, directions·periods).
    """
    weathers, rings, angles = kernel.shape
    each, periods = angles // weight.shape[2], deaths.shape[2] // weight.shape[2]
    for w in numba.prange(weathers):
        lines, inside, left = np.empty((4, angles)), np.empty((4, angles)), np.empty(angles)
        for e in range(outer.shape[0]):
            first, last = outer[e, w, 0], outer[e, w, 1]
            first_in, last_in = inner[e, w, 0], inner[e, w, 1]
            low, high, side = _extent(zones, first, last, first_in, last_in)
            for i in range(rings if high >= low else 0):
                ring = _ring(i, reach, rings, angles)
                start, count = _span(low, high, side, ring, angles)
                if count == 0:
                    continue
                half[w, i] = max(half[w, i], count // 2)
                _line(zones, betas, values, first, last, ring, turns, start, count, lines, left)
                if first_in >= 0:
                    _line(zones, betas, values, first_in, last_in, ring, turns, start, count, inside, left)
                    lines[2, :count] = inside[2, :count]
                _add_risk(lines[0], start, count, weight[e, w], turning[e], each, kernel[w, i], direct[w, i])
                if counted[e] and alike[e] >= 0:
                    _add_deaths(lines[3], start, count, people[i], alike[e], periods, deaths[e, w])
                elif counted[e]:
                    _add_deaths(lines[1], start, count, people[i], 0, periods, deaths[e, w])
                    _add_deaths(lines[2], start, count, people[i], 1, periods, deaths[e, w])


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
    """Return ring and angle below a place, and how far it is towards the next ones.

    atan is a Chebyshev fit on 0…1 (greatest error 4e-11 rad): branch-free, several times faster than the library's.
    """
    big, small = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    a = small / max(big, 1e-300)
    q = a * a
    value = 0.0
    for n in range(len(_ATAN)):
        value = value * q + _ATAN[n]
    value *= a
    value = value if abs(dx) >= abs(dy) else 0.5 * math.pi - value
    value = value if dx >= 0.0 else math.pi - value
    value = value if dy >= 0.0 else 2.0 * math.pi - value
    t = (rings - 1) * math.sqrt(math.sqrt(dx * dx + dy * dy) / reach)
    s = value * (angles / (2.0 * math.pi))
    i, j = min(int(t), rings - 2), min(int(s), angles - 1)
    return i, j, t - i, s - j


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


@numba.njit(cache=True, nogil=True, parallel=True)
def fold(chunk: Any, betas: Any, directions: int, out: Any) -> None:
    """Sum the parts of ``to_rings`` into ``out``: an angle is direction·each + sub; directions twice, never to wrap.

    ``betas`` (protections, 2): of outdoors and indoors; each makes one more kind, the people as they count with it.
    """
    parts, rings, angles, kinds = chunk.shape
    each, periods = angles // directions, kinds // 2
    for i in numba.prange(rings):
        amount = np.empty(kinds)
        for j in range(angles):
            sub, d = j % each, j // each
            for q in range(kinds):
                amount[q] = 0.0
                for c in range(parts):
                    amount[q] += chunk[c, i, j, q]
                at, kind = d * periods + q % periods, q // periods
                out[i, sub, kind, at] = out[i, sub, kind, at + directions * periods] = amount[q]
            for b in range(betas.shape[0]):
                for p in range(periods):
                    value = betas[b, 0] * amount[p] + betas[b, 1] * amount[periods + p]
                    at = d * periods + p
                    out[i, sub, 2 + b, at] = out[i, sub, 2 + b, at + directions * periods] = value


@numba.njit(cache=True, nogil=True)
def at_point(
    zones: Any, betas: Any, values: Any, outer: Any, weight: Any, turning: Any, rose: Any, dx: float, dy: float,
    reach: float, rings: int, turns: Any,
) -> Any:  # fmt: skip
    """Return the individual risk, 1/a, that each event adds at (dx, dy) from its place, by the rings of the map."""
    events, weathers = outer.shape[0], outer.shape[1]
    directions, angles = rose.shape[1], turns.shape[1]
    each = angles // directions
    result = np.zeros(events)
    if dx * dx + dy * dy > reach * reach:
        return result
    lines, left = np.empty((4, angles)), np.empty(angles)
    i, j, fi, fj = _corner(dx, dy, reach, rings, angles)
    for e in range(events):
        for w in range(weathers):
            low, high, side = _extent(zones, outer[e, w, 0], outer[e, w, 1], 0, 0)
            for near in range(2 if high >= low else 0):
                ring = _ring(i + near, reach, rings, angles)
                start, count = _span(low, high, side, ring, angles)
                if count == 0:
                    continue
                _line(zones, betas, values, outer[e, w, 0], outer[e, w, 1], ring, turns, start, count, lines, left)
                for d in range(directions):
                    for next_ in range(2):
                        at = (j + next_ - d * each - start) % angles
                        if at < count:
                            share = (fi if near else 1.0 - fi) * (fj if next_ else 1.0 - fj)
                            often = weight[e, w, d] if turning[e] else weight[e, w, 0] * rose[w, d]
                            result[e] += share * often * lines[0, at]
    return result

"""A cloud over roads and time: toxic load on arcs and at nodes, tabulated once and then read by the path search.

A cloud is any callable ``cloud(x, y, t)`` of metres east and north of the graph's origin and seconds that returns
concentrations for broadcast arrays. Toxic load is ∫ Cⁿ dt in (unit of C)ⁿ·s (ten Berge, Zwart & Appelman,
J. Hazard. Mater. 13, 1986). Between tabulated times Cⁿ is linear; after the last it stays as it was, never silently
zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.allocation.roads import RoadGraph

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Cloud = Callable[[Floats, Floats, Floats], Floats]

SPACING = 25.0
"""Largest distance between points of the midpoint quadrature along an arc, m."""


@dataclass(frozen=True, slots=True)
class Toxicity:
    """When a load is too much.

    Attributes:
        exponent: n of Cⁿ·t.
        limit: load, (unit of C)ⁿ·s.
        name: such as AEGL-2.
    """

    exponent: float
    limit: float
    name: str = ""

    @classmethod
    def of(cls, concentration: float, minutes: float, exponent: float, name: str = "") -> Toxicity:
        """Return the limit that ``concentration`` over ``minutes`` reaches exactly.

        Raises:
            InvalidInputError: a number is not above zero.
        """
        for key, value in (("concentration", concentration), ("minutes", minutes), ("exponent", exponent)):
            if not 0.0 < value < np.inf:
                raise InvalidInputError(f"a {key} of {value:g}", where=f"toxic.{key}", fix="a number above 0")
        return cls(exponent, concentration**exponent * 60.0 * minutes, name)


@dataclass(frozen=True, slots=True)
class GridCloud:
    """Concentrations on a grid over time, linear between its points, zero outside the grid and before its first time.

    Attributes:
        x, y: metres, increasing, shapes (nx,) and (ny,).
        times: s, increasing, shape (nt,); after the last the field stays.
        values: concentration, shape (nt, ny, nx).
    """

    x: Floats
    y: Floats
    times: Floats
    values: Floats

    def __post_init__(self) -> None:
        """Check shapes and order."""
        shape = (len(self.times), len(self.y), len(self.x))
        if self.values.shape != shape:
            raise InvalidInputError(
                f"a field of shape {self.values.shape}", where="plume.values", fix=f"{shape}: times, y, x"
            )
        for key, axis in (("x", self.x), ("y", self.y), ("times", self.times)):
            if not np.isfinite(axis).all() or (len(axis) > 1 and (np.diff(axis) <= 0.0).any()):
                raise InvalidInputError(
                    "an axis that does not increase", where=f"plume.{key}", fix="increasing numbers"
                )
        if not np.isfinite(self.values).all() or (self.values < 0.0).any():
            raise InvalidInputError(
                "a negative or missing concentration", where="plume.values", fix="numbers, 0 or more"
            )

    def __call__(self, x: Floats, y: Floats, t: Floats) -> Floats:
        """Return concentrations at places and times."""
        column, right, inside_x = _cell(self.x, x)
        row, up, inside_y = _cell(self.y, y)
        frame, later, _ = _cell(self.times, t)
        total = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(t)))
        for k, wk in ((frame, 1.0 - later), (np.minimum(frame + 1, len(self.times) - 1), later)):
            for j, wj in ((row, 1.0 - up), (np.minimum(row + 1, len(self.y) - 1), up)):
                for i, wi in ((column, 1.0 - right), (np.minimum(column + 1, len(self.x) - 1), right)):
                    total = total + wk * wj * wi * self.values[k, j, i]
        return np.where(inside_x & inside_y & (t >= self.times[0]), total, 0.0)

    def at_edge(self) -> float:
        """Return the greatest concentration on the rim of the grid: what the grid may have cut off."""
        rim = (self.values[:, 0], self.values[:, -1], self.values[:, :, 0], self.values[:, :, -1])
        return float(max(part.max() for part in rim))


def _cell(axis: Floats, at: Floats) -> tuple[Integers, Floats, NDArray[np.bool_]]:
    if len(axis) == 1:
        zero = np.zeros(np.shape(at))
        return zero.astype(np.int64), zero, np.asarray(at) == axis[0]
    index = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, len(axis) - 2)
    share = np.clip((at - axis[index]) / (axis[index + 1] - axis[index]), 0.0, 1.0)
    return index, share, (at >= axis[0]) & (at <= axis[-1])


@dataclass(frozen=True, slots=True)
class DriftingCloud:
    """A cloud known by its track: a round Gaussian whose centre, spread and greatest concentration are linear in time.

    Attributes:
        times: s, increasing; x, y: centre, m; spread: standard deviation, m; peak: concentration; all of one shape.
    """

    times: Floats
    x: Floats
    y: Floats
    spread: Floats
    peak: Floats

    def __call__(self, x: Floats, y: Floats, t: Floats) -> Floats:
        """Return concentrations at places and times; zero before the first time."""
        east, north, spread, peak = (
            np.interp(t, self.times, values) for values in (self.x, self.y, self.spread, self.peak)
        )
        far = ((x - east) ** 2 + (y - north) ** 2) / (2.0 * spread**2)
        value: Floats = np.where(t >= self.times[0], peak * np.exp(-far), 0.0)
        return value


@dataclass(frozen=True, slots=True)
class Exposure:
    """Cⁿ along arcs and at nodes over time.

    Attributes:
        times: s, shape (K,).
        first: points of arc ``a`` are ``first[a]`` to ``first[a + 1]``, in the order that it is passed.
        along: Cⁿ at those points, shape (points, K).
        node: Cⁿ at nodes, shape (nodes, K); spent: its integral since the first time.
        spacing: largest distance between points, m.
    """

    times: Floats
    first: Integers
    along: Floats
    node: Floats
    spent: Floats
    spacing: float


def no_exposure(graph: RoadGraph) -> Exposure:
    """Return the exposure where there is no cloud."""
    arcs, nodes = len(graph.head), len(graph.nodes)
    zero = np.zeros((nodes, 1))
    return Exposure(np.zeros(1), np.arange(arcs + 1), np.zeros((arcs, 1)), zero, zero, np.inf)


def tabulate(
    graph: RoadGraph, cloud: Cloud, times: Floats, exponent: float, spacing: float = SPACING, factor: float = 1.0
) -> Exposure:
    """Return what a cloud does along every arc and at every node.

    Args:
        graph: the roads.
        cloud: concentration at (x, y, t) in metres of the graph and seconds.
        times: s, increasing, shape (K,): when it is asked; Cⁿ is linear between.
        exponent: n.
        spacing: of the points along an arc at most, m (midpoint rule).
        factor: share of the concentration outside that a traveller breathes (1 on foot).

    Raises:
        InvalidInputError: the cloud gives a negative concentration or none.
    """
    if spacing <= 0.0:
        raise InvalidInputError(f"a spacing of {spacing:g} m", where="spacing", fix="metres above 0")
    x, y, first = _points(graph, spacing)
    nodes = graph.xy
    at = np.concatenate([x, nodes[:, 0]])[:, None], np.concatenate([y, nodes[:, 1]])[:, None]
    value = np.asarray(cloud(*at, times[None, :]), dtype=np.float64)
    if not np.isfinite(value).all() or (value < 0.0).any():
        raise InvalidInputError(
            "a cloud with a negative or missing concentration", where="plume", fix="finite numbers, 0 or more"
        )
    rate = (factor * value) ** exponent
    node = np.ascontiguousarray(rate[len(x) :])
    return Exposure(times, first, np.ascontiguousarray(rate[: len(x)]), node, cumulated(times, node), spacing)


def cumulated(times: Floats, rate: Floats) -> Floats:
    """Return the integral of ``rate`` (linear between times, shape (…, K)) since the first time."""
    steps = 0.5 * (rate[..., 1:] + rate[..., :-1]) * np.diff(times)
    return np.concatenate([np.zeros((*rate.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)


def _points(graph: RoadGraph, spacing: float) -> tuple[Floats, Floats, Integers]:
    """Return the midpoints of equal stretches of every arc, in metres, and where each arc's begin."""
    per_road = []
    for one in graph.roads:
        x, y = graph.metres(one.lon, one.lat)
        run = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        count = max(1, int(np.ceil(one.length / spacing)))
        middle = (np.arange(count) + 0.5) / count * run[-1]
        per_road.append((np.interp(middle, run, x), np.interp(middle, run, y)))
    counts = np.array([len(per_road[road][0]) for road in graph.road])
    first = np.concatenate([[0], np.cumsum(counts)])
    both = [
        per_road[road] if ahead else _turned(per_road[road])
        for road, ahead in zip(graph.road, graph.forward, strict=True)
    ]
    return np.concatenate([one[0] for one in both]), np.concatenate([one[1] for one in both]), first


def _turned(line: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return line[0][::-1], line[1][::-1]


@numba.njit(cache=True)
def rate_at(times, rate, t):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Return ``rate`` (K,) at ``t``: linear between times, held outside them."""
    last = times.shape[0] - 1
    if last == 0 or t <= times[0]:
        return rate[0]
    if t >= times[last]:
        return rate[last]
    k = np.searchsorted(times, t) - 1
    share = (t - times[k]) / (times[k + 1] - times[k])
    return rate[k] + share * (rate[k + 1] - rate[k])


@numba.njit(cache=True)
def spent_at(times, rate, spent, t):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Return the integral of ``rate`` from the first time to ``t``, exact for a rate linear between times."""
    last = times.shape[0] - 1
    if t <= times[0]:
        return rate[0] * (t - times[0])
    if t >= times[last]:
        return spent[last] + rate[last] * (t - times[last])
    k = np.searchsorted(times, t) - 1
    return spent[k] + 0.5 * (rate[k] + rate_at(times, rate, t)) * (t - times[k])


@numba.njit(cache=True)
def arc_load(times, first, along, arc, t, duration):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Return the load of passing ``arc`` from ``t`` over ``duration``: midpoint rule in place and time."""
    count = first[arc + 1] - first[arc]
    step = duration / count
    total = 0.0
    for s in range(count):
        total += rate_at(times, along[first[arc] + s], t + (s + 0.5) * step)
    return total * step


def arc_load_reference(exposure: Exposure, arc: int, t: float, duration: float) -> float:
    """Return what ``arc_load`` returns, in NumPy."""
    rows = exposure.along[exposure.first[arc] : exposure.first[arc + 1]]
    at = t + (np.arange(len(rows)) + 0.5) * duration / len(rows)
    rates = [np.interp(when, exposure.times, row) for when, row in zip(at, rows, strict=True)]
    return float(np.sum(rates) * duration / len(rows))


def indoor(times: Floats, outside: Floats, air_changes: float) -> Floats:
    """Return the concentration in a room: dC/dt = λ (outside − C), outside linear between times, clean at first.

    Args:
        times: s, shape (K,).
        outside: concentration, shape (…, K).
        air_changes: λ, 1/h; a closed building has 0.2 to 1.

    Returns:
        Concentration at the times, exact for the ramp between them (single well-mixed zone).
    """
    rate = air_changes / 3600.0
    inside = np.zeros_like(outside)
    for k in range(1, len(times)):
        step = times[k] - times[k - 1]
        decay = np.exp(-rate * step)
        slope = (outside[..., k] - outside[..., k - 1]) / step
        steady = outside[..., k] - slope / rate if rate > 0.0 else inside[..., k - 1]
        start = outside[..., k - 1] - slope / rate if rate > 0.0 else inside[..., k - 1]
        inside[..., k] = steady + (inside[..., k - 1] - start) * decay
    return np.maximum(inside, 0.0)

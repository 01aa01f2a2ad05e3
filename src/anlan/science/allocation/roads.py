"""Roads as a graph: read from GeoJSON with every fault named, snapped to, closed, in arrays of arcs.

Lengths are metres on the WGS84 ellipsoid; ``x`` and ``y`` are metres east and north of the graph's origin. A faulty
edge is set aside with its reason and the rest is kept; a graph without any edge is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from anlan.core.errors import InvalidInputError
from anlan.science.allocation.traffic import traffic

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

_AXIS = 6378137.0
_ECCENTRICITY_2 = 0.00669437999014
"""WGS84: equatorial axis, m, and squared first eccentricity (NIMA TR8350.2)."""

_SAME_PLACE = 1.0
"""A place this near, m, to the end of a road is that end."""


class RoadsError(InvalidInputError):
    """Roads that cannot be used at all."""

    code = "roads"


class NoRouteError(InvalidInputError):
    """No road leads there: the graph is disconnected, or what would connect it is closed or above the limit."""

    code = "no-route"
    least = float("nan")
    """Share of the limit of load that the safest way has; NaN when there is no way at all."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What was set aside or done in another way, and why.

    Attributes:
        code: name of the kind, such as ``negative-length``.
        where: what it is about.
        en, zh: the sentence.
        fix: what would be right.
    """

    code: str
    where: str
    en: str
    zh: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Road:
    """One road between two nodes.

    Attributes:
        u, v: node ids.
        lon, lat: its line, degrees.
        length: m; speed: m/s.
        direction: 0 both ways, 1 only u to v, -1 only v to u.
        lanes: each way; width: m, for people on foot (0 unknown).
        capacity: persons/s each way; NaN takes the usual one of its lanes.
        closed: whether nobody may use it.
        name: of the road.
    """

    u: str
    v: str
    lon: tuple[float, ...]
    lat: tuple[float, ...]
    length: float
    speed: float
    direction: int = 0
    lanes: float = 1.0
    width: float = 0.0
    capacity: float = float("nan")
    closed: bool = False
    name: str = ""


def radii(latitude: float | Floats) -> tuple[Any, Any]:
    """Return metres a degree of longitude and of latitude on WGS84 at ``latitude``, degrees."""
    phi = np.radians(latitude)
    inner = 1.0 - _ECCENTRICITY_2 * np.sin(phi) ** 2
    east = _AXIS / np.sqrt(inner) * np.cos(phi)
    north = _AXIS * (1.0 - _ECCENTRICITY_2) / inner**1.5
    return np.radians(east), np.radians(north)


def line_length(lon: Sequence[float], lat: Sequence[float]) -> float:
    """Return the length of a line of degrees, m; right to 1e-6 for pieces up to some kilometres."""
    longitude, latitude = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
    east, north = radii(0.5 * (latitude[1:] + latitude[:-1]))
    return float(np.hypot(np.diff(longitude) * east, np.diff(latitude) * north).sum())


@dataclass(frozen=True)
class RoadGraph:
    """Roads as arcs in compressed rows: arcs of node ``i`` are ``start[i]`` to ``start[i + 1]``.

    Attributes:
        roads: the roads; both directions of one share its index.
        nodes: ids; lon, lat: degrees; x, y: metres from ``origin`` (longitude, latitude).
        start: shape (nodes + 1,); tail, head: node of each arc; road: its road; forward: whether u to v.
        length: m; speed: m/s; capacity: persons/s; closed: one an arc.
        remarks: what was set aside, and what to know about the graph.
    """

    roads: tuple[Road, ...]
    nodes: tuple[str, ...]
    lon: Floats
    lat: Floats
    origin: tuple[float, float]
    start: Integers
    tail: Integers
    head: Integers
    road: Integers
    forward: Bools
    length: Floats
    speed: Floats
    capacity: Floats
    closed: Bools
    remarks: tuple[Remark, ...] = ()
    index: dict[str, int] = field(default_factory=dict)

    def metres(self, lon: Any, lat: Any) -> tuple[Any, Any]:
        """Return metres east and north of the origin of places in degrees."""
        east, north = radii(self.origin[1])
        return (np.asarray(lon) - self.origin[0]) * east, (np.asarray(lat) - self.origin[1]) * north

    @cached_property
    def xy(self) -> Floats:
        """Metres east and north of each node, shape (nodes, 2)."""
        return np.column_stack(self.metres(self.lon, self.lat))

    @cached_property
    def time(self) -> Floats:
        """Travel time of each arc on a free road, s."""
        return self.length / self.speed

    @cached_property
    def part(self) -> Integers:
        """Number of the strongly connected part of each node over open arcs; 0 is the largest."""
        open_arc = ~self.closed
        shape = (len(self.nodes), len(self.nodes))
        matrix = csr_array((np.ones(open_arc.sum()), (self.tail[open_arc], self.head[open_arc])), shape=shape)
        _, label = connected_components(matrix, connection="strong")
        order = np.argsort(-np.bincount(label), kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        found: Integers = rank[label]
        return found

    def node(self, name: str) -> int:
        """Return the number of a node.

        Raises:
            RoadsError: there is none of this id.
        """
        try:
            return self.index[name]
        except KeyError:
            raise RoadsError(f"no node {name}", where="node", fix=f"one of {len(self.nodes)} node ids") from None

    def with_closed(self, roads: Iterable[int], closed: bool = True) -> RoadGraph:
        """Return the same graph with roads (by their index) closed or opened; arcs keep their numbers."""
        wanted = set(roads)
        chosen = np.isin(self.road, np.array(sorted(wanted), dtype=np.int64))
        changed = tuple(
            replace(one, closed=closed) if number in wanted else one for number, one in enumerate(self.roads)
        )
        return replace(self, roads=changed, closed=np.where(chosen, closed, self.closed))

    def arc_line(self, arc: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return longitudes and latitudes of an arc in its direction."""
        one = self.roads[self.road[arc]]
        return (one.lon, one.lat) if self.forward[arc] else (one.lon[::-1], one.lat[::-1])


def build(roads: Sequence[Road], remarks: Iterable[Remark] = (), mode: str = "drive") -> RoadGraph:
    """Return the graph of roads.

    Args:
        roads: at least one.
        remarks: what reading them had to say.
        mode: ``drive``; ``walk`` uses every road both ways at walking speed with the flow of people on foot.

    Raises:
        RoadsError: no road is left.
    """
    if not roads:
        raise RoadsError("no usable road", where="roads", fix="LineString features with u, v and length_m")
    index: dict[str, int] = {}
    lon: list[float] = []
    lat: list[float] = []
    for one in roads:
        for name, at in ((one.u, 0), (one.v, -1)):
            if name not in index:
                index[name] = len(index)
                lon.append(one.lon[at])
                lat.append(one.lat[at])
    arcs = _arcs(roads, index, mode)
    longitude, latitude = np.array(lon), np.array(lat)
    origin = (float(longitude.mean()), float(latitude.mean()))
    graph = RoadGraph(tuple(roads), tuple(index), longitude, latitude, origin, *arcs)
    return replace(graph, index=index, remarks=(*remarks, *_parts_remark(graph)))


def _arcs(roads: Sequence[Road], index: dict[str, int], mode: str) -> tuple[Any, ...]:
    road, forward = [], []
    for number, one in enumerate(roads):
        if one.direction >= 0 or mode == "walk":
            road.append(number)
            forward.append(True)
        if one.direction <= 0 or mode == "walk":
            road.append(number)
            forward.append(False)
    which, ahead = np.array(road), np.array(forward)
    ends = np.array([(index[one.u], index[one.v]) for one in roads])
    tail = np.where(ahead, ends[which, 0], ends[which, 1])
    head = np.where(ahead, ends[which, 1], ends[which, 0])
    order = np.argsort(tail, kind="stable")
    start = np.zeros(len(index) + 1, dtype=np.int64)
    np.cumsum(np.bincount(tail, minlength=len(index)), out=start[1:])
    which, ahead, tail, head = which[order], ahead[order], tail[order], head[order]
    length = np.array([one.length for one in roads])[which]
    speed, capacity = (np.array(values)[which] for values in _carried(roads, mode))
    closed = np.array([one.closed for one in roads])[which]
    return start, tail, head, which, ahead, length, speed, capacity, closed


def _carried(roads: Sequence[Road], mode: str) -> tuple[list[float], list[float]]:
    """Return speed, m/s, and capacity, persons/s, of each road."""
    usual = traffic()
    if mode == "walk":
        widths = [one.width or usual.footway_width for one in roads]
        return [usual.walking_speed] * len(roads), [usual.walking_flow * width for width in widths]
    speeds = [one.speed for one in roads]
    flows = [
        usual.drivers(one.speed, one.lanes) if math.isnan(one.capacity) else one.capacity
        for one in roads
    ]  # fmt: skip
    return speeds, flows


def _parts_remark(graph: RoadGraph) -> list[Remark]:
    sizes = np.bincount(graph.part)
    if len(sizes) == 1:
        return []
    outside = int(sizes[1:].sum())
    return [
        Remark(
            "disconnected", "roads",
            f"the roads fall into {len(sizes)} parts: {outside} of {len(graph.nodes)} nodes lie outside the largest",
            f"路网分为{len(sizes)}个互不连通的部分: {len(graph.nodes)}个节点中有{outside}个不在最大部分内",
            "check one-way and closed roads and missing links; places there get the next best answer",
        )
    ]  # fmt: skip


def snap(graph: RoadGraph, lon: float, lat: float, usable: Bools | None = None) -> tuple[int, float, float]:
    """Return the nearest road, how far along its line (share of 1), and how far away the place is, m.

    Args:
        graph: the roads.
        lon, lat: the place, degrees.
        usable: whether each road may be taken, shape (roads,); all if None.

    Raises:
        RoadsError: the place has no coordinates of WGS84, or no road is usable.
    """
    if not (abs(lon) <= 180.0 and abs(lat) <= 90.0):
        raise RoadsError(f"{lon}, {lat} is no place", where="at", fix="[longitude, latitude] in degrees of WGS84")
    x, y = graph.metres(lon, lat)
    segments = _segments(graph)
    x0, y0, dx, dy = segments.x, segments.y, segments.dx, segments.dy
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / np.maximum(dx**2 + dy**2, 1e-12), 0.0, 1.0)
    distance = np.hypot(x - x0 - along * dx, y - y0 - along * dy)
    if usable is not None:
        distance = np.where(usable[segments.road], distance, np.inf)
    best = int(np.argmin(distance))
    if not math.isfinite(distance[best]):
        raise RoadsError("no road can be used here", where="at", fix="open a road, or another place")
    share = segments.before[best] + along[best] * segments.share[best]
    return int(segments.road[best]), float(min(share, 1.0)), float(distance[best])


@dataclass(frozen=True, slots=True)
class _Segments:
    x: Floats
    y: Floats
    dx: Floats
    dy: Floats
    road: Integers
    before: Floats
    share: Floats


def _segments(graph: RoadGraph) -> _Segments:
    cached: _Segments | None = graph.__dict__.get("_segments")
    if cached is not None:
        return cached
    counts = np.array([len(one.lon) for one in graph.roads])
    x, y = graph.metres(
        np.concatenate([one.lon for one in graph.roads]), np.concatenate([one.lat for one in graph.roads])
    )
    road = np.repeat(np.arange(len(counts)), counts)
    first = np.flatnonzero(road[1:] == road[:-1])
    dx, dy = x[first + 1] - x[first], y[first + 1] - y[first]
    pieces = np.hypot(dx, dy)
    which = road[first]
    total = np.maximum(np.bincount(which, pieces, len(counts)), 1e-12)
    ends = np.cumsum(pieces)
    before = ends - pieces - np.concatenate([[0.0], np.cumsum(np.bincount(which, pieces, len(counts)))])[which]
    found = _Segments(x[first], y[first], dx, dy, which, before / total[which], pieces / total[which])
    graph.__dict__["_segments"] = found
    return found


@dataclass(frozen=True, slots=True)
class Snapped:
    """A place on the roads.

    Attributes:
        node: number in the graph; road: index in the graph it was snapped to; away: m from the place to the road.
    """

    node: int
    road: int
    away: float


def with_places(
    graph: RoadGraph, places: Sequence[tuple[float, float]], mode: str = "drive",
    usable: Sequence[Bools | None] | None = None,
) -> tuple[RoadGraph, tuple[Snapped, ...]]:  # fmt: skip
    """Return the graph with a node at the nearest point of a road to each place, and those nodes.

    Roads are split there, so distances from a place are right to the metre. Nodes of the given graph keep their
    numbers; roads do not.

    Args:
        graph: the roads.
        places: (longitude, latitude), degrees.
        mode: as of ``build``.
        usable: for each place, as of ``snap``.
    """
    allowed = usable or [None] * len(places)
    found = [snap(graph, lon, lat, mask) for (lon, lat), mask in zip(places, allowed, strict=True)]
    names = [""] * len(places)
    cuts: dict[int, list[tuple[float, int]]] = {}
    for number, (road, share, _) in enumerate(found):
        one = graph.roads[road]
        if share * one.length <= _SAME_PLACE:
            names[number] = one.u
        elif (1.0 - share) * one.length <= _SAME_PLACE:
            names[number] = one.v
        else:
            cuts.setdefault(road, []).append((share, number))
    roads: list[Road] = []
    for number, one in enumerate(graph.roads):
        roads.extend(_split(one, cuts[number], names) if number in cuts else [one])
    new = build(roads, [one for one in graph.remarks if one.code != "disconnected"], mode)
    new = _renumbered(new, graph.nodes) if new.nodes[: len(graph.nodes)] != graph.nodes else new
    return new, tuple(Snapped(new.index[name], road, away) for name, (road, _, away) in zip(names, found, strict=True))


def _renumbered(graph: RoadGraph, first: Sequence[str]) -> RoadGraph:
    """Return the graph with the nodes ``first`` in front, in their order."""
    known = set(first)
    nodes = [*first, *(name for name in graph.nodes if name not in known)]
    index = {name: number for number, name in enumerate(nodes)}
    moved = np.array([index[name] for name in graph.nodes])
    back = np.argsort(moved)
    tail = moved[graph.tail]
    order = np.argsort(tail, kind="stable")
    start = np.zeros(len(nodes) + 1, dtype=np.int64)
    np.cumsum(np.bincount(tail, minlength=len(nodes)), out=start[1:])
    return replace(
        graph, nodes=tuple(nodes), index=index, lon=graph.lon[back], lat=graph.lat[back], start=start,
        tail=tail[order], head=moved[graph.head][order], road=graph.road[order], forward=graph.forward[order],
        length=graph.length[order], speed=graph.speed[order],
        capacity=graph.capacity[order], closed=graph.closed[order],
    )  # fmt: skip


def _split(road: Road, cuts: list[tuple[float, int]], names: list[str]) -> list[Road]:
    """Return the pieces of a road cut at shares of its length; ``names`` gets the node of each cut's place."""
    lon, lat = np.array(road.lon), np.array(road.lat)
    east, north = radii(float(lat.mean()))
    run = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(lon) * east, np.diff(lat) * north))])
    run = run / run[-1] if run[-1] > 0.0 else np.linspace(0.0, 1.0, len(run))
    pieces, at, before = [], 0.0, road.u
    for share, number in sorted(cuts):
        if (share - at) * road.length <= _SAME_PLACE and at > 0.0:
            names[number] = before
            continue
        names[number] = f"{road.u}>{road.v}@{share:.6f}"
        pieces.append(_piece(road, lon, lat, run, at, share, before, names[number]))
        at, before = share, names[number]
    return [*pieces, _piece(road, lon, lat, run, at, 1.0, before, road.v)]


def _piece(
    road: Road, lon: Floats, lat: Floats, run: Floats, low: float, high: float, u: str, v: str
) -> Road:  # fmt: skip
    inner = (run > low) & (run < high)
    shares = [low, *run[inner], high]
    return replace(
        road, u=u, v=v, lon=tuple(np.interp(shares, run, lon).tolist()),
        lat=tuple(np.interp(shares, run, lat).tolist()), length=road.length * (high - low),
    )  # fmt: skip

"""The shortest and the safest way on roads that close, fill up and lie under a moving cloud.

Every way handed out keeps the limit of toxic load; where there is none the error says what stands in the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.allocation import labels
from anlan.science.allocation.plume import Exposure, no_exposure
from anlan.science.allocation.roads import NoRouteError, RoadGraph, RoadsError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Waiting(StrEnum):
    """Where a traveller may wait for the cloud to pass or a road to open."""

    NOWHERE = "nowhere"
    ORIGIN = "origin"
    ANYWHERE = "anywhere"


_MODES = {
    Waiting.NOWHERE: labels.WAIT_NOWHERE, Waiting.ORIGIN: labels.WAIT_AT_ORIGIN, Waiting.ANYWHERE: labels.WAIT_ANYWHERE
}  # fmt: skip


class FifoError(InvalidInputError):
    """Travel times by which somebody who leaves later arrives earlier."""

    code = "not-first-in-first-out"


@dataclass(frozen=True, slots=True)
class Network:
    """Roads with what changes over time; made once by ``network``, changed by ``closed``.

    Attributes:
        graph: the roads.
        exposure: of the cloud on them.
        profile: times of ``travel``, s, shape (P,); travel: travel time of each arc when entered then, s, (arcs, P).
        closed_from, closed_until: when each arc may not be used, s; from inf is open.
    """

    graph: RoadGraph
    exposure: Exposure
    profile: Floats
    travel: Floats
    closed_from: Floats
    closed_until: Floats

    def closed(self, roads: Sequence[int], since: float = -np.inf, until: float = np.inf) -> Network:
        """Return the network with roads (by index) closed between two times, s; the cloud is not computed again."""
        chosen = np.isin(self.graph.road, np.asarray(roads, dtype=np.int64))
        both = [np.where(chosen, value, old) for value, old in ((since, self.closed_from), (until, self.closed_until))]
        return replace(self, closed_from=both[0], closed_until=both[1])

    @property
    def settled_at(self) -> float:
        """The time after which neither cloud nor closures nor travel times change, s."""
        openings = self.closed_until[np.isfinite(self.closed_until)]
        ends = [self.exposure.times[-1], self.profile[-1], *([float(openings.max())] if len(openings) else [])]
        return float(max(ends))

    @property
    def quickest(self) -> Floats:
        """Least travel time of each arc at any time, s."""
        least: Floats = self.travel.min(axis=1)
        return least

    @property
    def ever_open(self) -> Bools:
        """Whether an arc is open at any time."""
        always: Bools = (self.closed_from == -np.inf) & (self.closed_until == np.inf)
        return ~always


def network(
    graph: RoadGraph, exposure: Exposure | None = None, profile: Floats | None = None, travel: Floats | None = None
) -> Network:
    """Return roads ready for searching.

    Args:
        graph: the roads.
        exposure: of a cloud; None is clean air.
        profile, travel: travel times over the time of entering, linear between; the free roads' if None.

    Raises:
        FifoError: leaving later would mean arriving earlier.
        InvalidInputError: a travel time is negative or missing, or shapes do not match.
    """
    profile = np.zeros(1) if profile is None else np.asarray(profile, dtype=np.float64)
    travel = graph.time[:, None] if travel is None else np.asarray(travel, dtype=np.float64)
    if travel.shape != (len(graph.head), len(profile)):
        raise InvalidInputError(
            f"travel times of shape {travel.shape}",
            where="travel",
            fix=f"({len(graph.head)}, {len(profile)}): arcs, times",
        )
    if not (np.isfinite(travel).all() and (travel >= 0.0).all()):
        raise InvalidInputError("a negative or missing travel time", where="travel", fix="seconds, 0 or more")
    late = np.argwhere(np.diff(travel, axis=1) < -np.diff(profile) - 1e-9)
    if len(late):
        arc, k = late[0]
        raise FifoError(
            f"arc {arc}: who enters at {profile[k]:g} s arrives after who enters at {profile[k + 1]:g} s",
            where="travel", fix="travel times that fall no faster than time passes",
        )  # fmt: skip
    never = np.where(graph.closed, -np.inf, np.inf)
    always = np.where(graph.closed, np.inf, -np.inf)
    return Network(graph, exposure or no_exposure(graph), profile, np.ascontiguousarray(travel), never, always)


@dataclass(frozen=True, slots=True)
class Route:
    """A way.

    Attributes:
        nodes: passed, in order; arcs: between them.
        arrive, leave: s at each node.
        length: m; load: toxic load from the first moment to arrival.
    """

    nodes: tuple[int, ...]
    arcs: tuple[int, ...]
    arrive: tuple[float, ...]
    leave: tuple[float, ...]
    length: float
    load: float

    @property
    def waits(self) -> float:
        """Time stood waiting, s."""
        return float(sum(b - a for a, b in zip(self.arrive, self.leave, strict=True)))


@dataclass(frozen=True, slots=True)
class Wish:
    """What a search is asked.

    Attributes:
        depart: first moment to leave, s; horizon: last moment to arrive, s.
        limit: greatest load, in the exposure's (unit)ⁿ·s.
        waiting: where; wait_step: s between moments of leaving that are tried.
        tick: s within which two labels are compared where one may not wait; exact if travel times are multiples of it.
        home: load rate while waiting at the origin at the exposure's times (such as indoors); the node's own if None.
    """

    depart: float = 0.0
    horizon: float = np.inf
    limit: float = np.inf
    waiting: Waiting = Waiting.ANYWHERE
    wait_step: float = 30.0
    tick: float = 5.0
    home: Floats | None = None


_ANY = Wish()


def fastest(roads: Network, origin: int, targets: Sequence[int], wish: Wish = _ANY) -> Route:
    """Return the way that arrives first at any target within the limit of load.

    Raises:
        NoRouteError: there is none; says whether roads, closures, or the limit stand in the way.
    """
    return _searched(roads, origin, targets, wish, first_only=True)[0]


def safest(roads: Network, origin: int, targets: Sequence[int], wish: Wish = _ANY) -> Route:
    """Return the way of least load within limit and horizon, the fastest of those alike.

    Raises:
        NoRouteError: as of ``fastest``.
    """
    return trade_offs(roads, origin, targets, wish)[-1]


def trade_offs(roads: Network, origin: int, targets: Sequence[int], wish: Wish = _ANY) -> list[Route]:
    """Return all ways that no other beats in both time of arrival and load, the fastest first.

    Raises:
        NoRouteError: as of ``fastest``.
    """
    return _searched(roads, origin, targets, wish, first_only=False)


def _searched(roads: Network, origin: int, targets: Sequence[int], wish: Wish, first_only: bool) -> list[Route]:
    graph, field = roads.graph, roads.exposure
    wanted = np.unique(np.asarray(targets, dtype=np.int64))
    if not len(wanted):
        raise RoadsError("no target", where="targets", fix="at least one node")
    bound = time_to(graph, wanted, roads.quickest, roads.ever_open)
    if not np.isfinite(bound[origin]):
        raise _no_way(roads, origin, wanted)
    flags = np.zeros(len(graph.nodes), dtype=np.bool_)
    flags[wanted] = True
    settled = max(roads.settled_at, wish.depart)
    rate = field.node[origin] if wish.home is None else wish.home
    home = np.vstack([rate, np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(field.times))])])
    found = labels.search(
        (graph.start, graph.head, roads.closed_from, roads.closed_until), (roads.profile, roads.travel),
        (field.times, field.first, field.along, field.node, field.spent), home,
        (_MODES[wish.waiting], float(wish.wait_step), float(wish.tick), settled), origin, flags, bound,
        float(wish.depart), float(wish.horizon), float(wish.limit), first_only,
    )  # fmt: skip
    if not len(found[5]):
        raise _blocked(roads, origin, wanted, wish, bound)
    return [_route(graph, found, label) for label in _unbeaten(found)]


def _unbeaten(found: tuple[NDArray[np.float64], ...]) -> list[int]:
    """Return labels at targets in order of time, each with less load than any before."""
    _, time, load, _, _, reached = found
    order = sorted((float(time[one]), float(load[one]), int(one)) for one in reached)
    kept: list[int] = []
    least = np.inf
    for _, amount, one in order:
        if amount < least:
            kept.append(one)
            least = amount
    return kept


def _route(graph: RoadGraph, found: tuple[NDArray[np.float64], ...], label: int) -> Route:
    of_node, time, load, parent, by_arc, _ = found
    chain = [label]
    while parent[chain[-1]] >= 0:
        chain.append(int(parent[chain[-1]]))
    chain.reverse()
    nodes, arcs, arrive, leave = [int(of_node[chain[0]])], [], [float(time[chain[0]])], [float(time[chain[0]])]
    for one in chain[1:]:
        if by_arc[one] < 0:
            leave[-1] = float(time[one])
            continue
        nodes.append(int(of_node[one]))
        arcs.append(int(by_arc[one]))
        arrive.append(float(time[one]))
        leave.append(float(time[one]))
    length = float(graph.length[arcs].sum()) if arcs else 0.0
    return Route(tuple(nodes), tuple(arcs), tuple(arrive), tuple(leave), length, float(load[label]))


def _no_way(roads: Network, origin: int, wanted: Integers) -> NoRouteError:
    graph = roads.graph
    everything = time_to(graph, wanted, roads.quickest, np.ones(len(graph.head), dtype=np.bool_))
    closed = np.isfinite(everything[origin])
    return NoRouteError(
        "every way to the targets is closed" if closed else "the roads are disconnected: none leads to any target",
        where=f"node {graph.nodes[origin]}",
        fix="open a road, or another target" if closed else "check one-way roads and missing links, or another target",
    )


def _blocked(roads: Network, origin: int, wanted: Integers, wish: Wish, bound: Floats) -> NoRouteError:
    where = f"node {roads.graph.nodes[origin]}"
    if wish.depart + bound[origin] > wish.horizon:
        return NoRouteError(
            f"the nearest target is {bound[origin]:.0f} s away, after the horizon", where=where, fix="a later horizon"
        )
    if not np.isfinite(wish.limit):
        return NoRouteError("no way is open in time", where=where, fix="open a road, or a later horizon")
    try:
        least = safest(roads, origin, wanted.tolist(), replace(wish, limit=np.inf)).load
    except NoRouteError as error:
        return error
    share = least / wish.limit if wish.limit > 0.0 else np.inf
    found = NoRouteError(
        f"every way is above the limit: the safest has {share:.2f} of it",
        where=where,
        fix="stay indoors, or wait until the cloud has passed",
    )
    found.least = share
    return found


def time_to(graph: RoadGraph, targets: Integers, weight: Floats, usable: Bools) -> Floats:
    """Return the least sum of ``weight`` from each node to the nearest target; inf where no usable arc leads there."""
    order = np.argsort(graph.head, kind="stable")
    start = np.zeros(len(graph.nodes) + 1, dtype=np.int64)
    np.cumsum(np.bincount(graph.head, minlength=len(graph.nodes)), out=start[1:])
    return np.asarray(
        labels.dijkstra(
            start,
            graph.tail[order],
            np.ascontiguousarray(weight[order]),
            usable[order],
            targets,
            np.zeros(len(targets)),
        )[0]
    )


def shortest(graph: RoadGraph, origin: int, target: int) -> tuple[float, tuple[int, ...]]:
    """Return the shortest distance over open roads, m, and its arcs.

    Raises:
        NoRouteError: there is none.
    """
    distance, via = labels.dijkstra(
        graph.start, graph.head, graph.length, ~graph.closed, np.array([origin]), np.zeros(1)
    )
    if not np.isfinite(distance[target]):
        raise NoRouteError(
            f"no open road leads to node {graph.nodes[target]}", where=f"node {graph.nodes[origin]}",
            fix="open a road, check one-way roads, or another target",
        )  # fmt: skip
    arcs, length = [], distance[target]
    while target != origin:
        arcs.append(int(via[target]))
        target = int(graph.tail[via[target]])
    return float(length), tuple(reversed(arcs))


def travel_times(graph: RoadGraph, origins: Sequence[int], targets: Sequence[int]) -> Floats:
    """Return travel times between nodes on free open roads, s, shape (origins, targets); inf where no road leads."""
    out = np.empty((len(origins), len(targets)))
    labels.many_dijkstra(
        graph.start, graph.head, graph.time, ~graph.closed, np.asarray(origins, dtype=np.int64),
        np.asarray(targets, dtype=np.int64), out,
    )  # fmt: skip
    return out

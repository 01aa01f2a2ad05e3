"""The quickest flow of people over roads with capacities: earliest arrival at every moment (see ``timeflow``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.science.allocation import labels, timeflow
from anlan.science.allocation.paths import Network
from anlan.science.allocation.plume import arc_load, rate_at

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

_STEPS = 100
"""Steps that an evacuation should have about: one step is a percent of its time."""
_COARSE = 4
"""Steps this many times as long are tried first, to know about how many the fine ones are."""
_ROUGH = 0.08
"""Share that their number may be off."""
_MOST_STEPS = 2000


@dataclass(frozen=True, slots=True)
class Group:
    """People who go together.

    Attributes:
        area, shelter: numbers; people: how many.
        leave: s when the first of them leaves; arrive: s when the last of them arrives, with true travel times.
        arcs: of the graph, in order; stops: (index of the arc before which they queue, s).
        load: share of the limit of toxic load.
    """

    area: int
    shelter: int
    people: int
    leave: float
    arrive: float
    arcs: tuple[int, ...]
    stops: tuple[tuple[int, float], ...] = ()
    load: float = 0.0


@dataclass(frozen=True, slots=True)
class Flow:
    """Groups and the steps they took.

    Attributes:
        groups: who goes together; steps: number until the last arrives; step: s; left: people not brought out, by area.
    """

    groups: tuple[Group, ...]
    steps: int
    step: float
    left: Integers


@dataclass(frozen=True, slots=True)
class Links:
    """The roads with a node of its own for each area and shelter, joined to its place by a link of no time.

    Attributes:
        roads: the roads.
        start, tail, head: arcs by tail; arc: of the graph, -1 for a link; time: s; rate: people/s (inf for a link).
        areas, shelters: their nodes.
    """

    roads: Network
    start: Integers
    tail: Integers
    head: Integers
    arc: Integers
    time: Floats
    rate: Floats
    areas: Integers
    shelters: Integers

    @classmethod
    def of(cls, roads: Network, areas: Sequence[int], shelters: Sequence[int]) -> Links:
        """Return the links of areas and shelters at nodes of the graph."""
        graph = roads.graph
        count = len(graph.nodes)
        area_nodes = count + np.arange(len(areas))
        shelter_nodes = count + len(areas) + np.arange(len(shelters))
        tail = np.concatenate([graph.tail, area_nodes, np.asarray(shelters, dtype=np.int64)])
        head = np.concatenate([graph.head, np.asarray(areas, dtype=np.int64), shelter_nodes])
        extra = len(areas) + len(shelters)
        arc = np.concatenate([np.arange(len(graph.head)), np.full(extra, -1)])
        time = np.concatenate([roads.quickest, np.zeros(extra)])
        rate = np.concatenate([np.where(roads.ever_open, graph.capacity, 0.0), np.full(extra, np.inf)])
        order = np.argsort(tail, kind="stable")
        start = np.zeros(count + extra + 1, dtype=np.int64)
        np.cumsum(np.bincount(tail, minlength=count + extra), out=start[1:])
        return cls(
            roads, start, tail[order], head[order], arc[order], time[order], rate[order], area_nodes, shelter_nodes
        )

    def from_areas(self, weight: Floats, offsets: Floats) -> Floats:
        """Return the least sum of ``weight`` to each node from the areas begun at ``offsets``."""
        return np.asarray(labels.dijkstra(self.start, self.head, weight, self.rate > 0.0, self.areas, offsets)[0])

    def to_shelters(self, weight: Floats) -> Floats:
        """Return the least sum of ``weight`` from each node to a shelter."""
        order = np.argsort(self.head, kind="stable")
        start = self.entering(order)
        usable = (self.rate > 0.0)[order]
        ones = np.zeros(len(self.shelters))
        return np.asarray(labels.dijkstra(start, self.tail[order], weight[order], usable, self.shelters, ones)[0])

    def entering(self, order: Integers) -> Integers:
        """Return where the arcs into each node begin in ``order`` (arcs by head)."""
        start: Integers = np.zeros(len(self.start), dtype=np.int64)
        np.cumsum(np.bincount(self.head[order], minlength=len(start) - 1), out=start[1:])
        return start


def steps_of(links: Links, step: float) -> Integers:
    """Return the steps each arc takes, rounded so that whole ways come out right, not single arcs.

    With p the time from a node to the nearest shelter, an arc from u to v of time τ takes round(p_u) - round(p_v) +
    ceil(τ - p_u + p_v) steps: on a quickest way the roundings cancel but for one step, off it they are up.
    """
    ahead = links.to_shelters(links.time) / step
    ahead = np.where(np.isfinite(ahead), ahead, 0.0)
    slack = links.time / step - ahead[links.tail] + ahead[links.head]
    whole = np.rint(ahead[links.tail]) - np.rint(ahead[links.head]) + np.ceil(slack - 1e-9)
    found: Integers = np.maximum(whole, 0.0).astype(np.int64)
    return found


def usual_step(links: Links, people: Sequence[int], notice: float) -> float:
    """Return a step, s, that cuts the time an evacuation should take into about 100."""
    graph = links.roads.graph
    ahead = links.to_shelters(links.time)[links.areas]
    slowest = float(ahead[np.isfinite(ahead)].max(initial=0.0))
    doors = np.isin(graph.head, links.tail[np.isin(links.head, links.shelters)])
    into = float(links.roads.graph.capacity[doors & links.roads.ever_open].sum())
    queue = sum(people) / into if into > 0.0 else 0.0
    step = (notice + slowest + queue) / _STEPS
    return float(max(1.0, round(step, 1 if step < 10.0 else 0)))


def quickest(
    links: Links,
    people: Sequence[int],
    windows: Sequence[tuple[float, float]],
    places: Sequence[float],
    horizon: float,
    step: float | None = None,
    most_load: float = np.inf,
    slack: float = 0.0,
    seen: dict[float, Floats] | None = None,
    guess: int = 0,
) -> Flow:
    """Return the flow that at every moment has brought out as many as can be.

    Args:
        links: roads with areas and shelters.
        people: of each area; windows: first and last moment to leave, s.
        places: people each shelter takes.
        horizon: s; who has not arrived by then is left.
        step: s; None takes the usual one.
        most_load: toxic load above which an arc is not entered.
        slack: share that the number of steps may be above the least one.
        seen: keeps loads of arcs by step for other calls on the same links.
        guess: of the number of steps; 0 tries longer steps first.
    """
    step = max(step or usual_step(links, people, min(window[0] for window in windows)), horizon / _MOST_STEPS)
    most = max(1, int(horizon / step))
    if not guess:
        guess = _STEPS // _COARSE
        coarse = step * _COARSE
        rough = expanded(links, people, windows, places, horizon, coarse, most_load, seen)
        steps = timeflow.quickest_flow(rough, max(1, int(horizon / coarse)), guess, _ROUGH).steps
        guess = guess_from(steps)
    net = expanded(links, people, windows, places, horizon, step, most_load, seen)
    found = timeflow.quickest_flow(net, most, guess, slack)
    groups, hops = timeflow.unravel(
        links.start, links.head, links.tail, net.takes, found.flow.copy(), found.left, found.came, links.areas,
        links.shelters,
    )  # fmt: skip
    timeflow.compact(links.tail, links.head, net.takes, net.room(found.steps), net.first, groups, hops, found.flow)
    out = np.bincount(groups[:-1, 0], groups[:-1, 2], len(people)).astype(np.int64)
    return Flow(
        _ways(links, net.takes, step, groups[:-1], hops),
        int(groups[:-1, 4].max(initial=-1)) + 1,
        step,
        net.people - out,
    )


def guess_from(steps: int) -> int:
    """Return where to begin to seek the number of steps when ``_COARSE`` times longer ones are about ``steps``."""
    return max(1, int((steps - 1) * _COARSE * (1.0 - _ROUGH)))


def expanded(
    links: Links,
    people: Sequence[int],
    windows: Sequence[tuple[float, float]],
    places: Sequence[float],
    horizon: float,
    step: float,
    most_load: float = np.inf,
    seen: dict[float, Floats] | None = None,
) -> timeflow.Expanded:
    """Return the network ready to be expanded over steps of ``step`` s; arguments as of ``quickest``."""
    takes = steps_of(links, step)
    first = np.array([int(np.ceil(low / step - 1e-9)) for low, _ in windows])
    last = np.array([int(min(high, horizon) / step) for _, high in windows])
    weight = takes.astype(np.float64)
    blocked = _blocked(links, step, max(1, int(horizon / step)), most_load, seen)
    return timeflow.Expanded(
        links.tail,
        links.head,
        takes,
        np.where(np.isfinite(links.rate), links.rate * step, 1e6),
        blocked,
        links.from_areas(weight, first.astype(np.float64)),
        links.to_shelters(weight),
        links.areas,
        links.shelters,
        first,
        last,
        np.array(people, dtype=np.int64),
        np.array([min(one, 1e12) for one in places]).astype(np.int64),
    )


def _ways(links: Links, takes: Integers, step: float, groups: Integers, hops: Integers) -> tuple[Group, ...]:
    """Return the groups; those of an area that take the same way in the same steps are one."""
    people: dict[tuple[int, int, int, tuple[int, ...], tuple[tuple[int, int], ...]], int] = {}
    arcs = links.arc[hops[:, 0]].tolist()
    idle = np.zeros(len(hops), dtype=np.int64)
    idle[1:] = hops[1:, 1] - hops[:-1, 1] - takes[hops[:-1, 0]]
    for area, shelter, count, leave, _, begin, end in groups.tolist():
        waits = tuple((int(k), int(idle[begin + 1 + k])) for k in np.flatnonzero(idle[begin + 1 : end]))
        way = (leave, area, shelter, tuple(arcs[begin + 1 : end - 1]), waits)
        people[way] = people.get(way, 0) + count
    found = []
    for (leave, area, shelter, along, queues), count in sorted(people.items()):
        stops = tuple((k, n * step) for k, n in queues)
        moments = enter_times(links.roads, along, leave * step, stops)
        found.append(Group(area, shelter, count, leave * step, moments[-1] + step, along, stops))
    return tuple(found)


def enter_times(
    roads: Network, arcs: Sequence[int], leave: float, stops: Sequence[tuple[int, float]] = ()
) -> list[float]:
    """Return when each arc of a way is entered, and at the end when the way is done, s.

    Args:
        roads: the roads; arcs: the way; leave: s.
        stops: (index of the arc before which to wait, s).
    """
    waits = dict(stops)
    fixed = len(roads.profile) == 1
    moments, now = [], leave
    for k, arc in enumerate(arcs):
        now += waits.get(k, 0.0)
        moments.append(now)
        now += roads.travel.item(arc, 0) if fixed else float(np.interp(now, roads.profile, roads.travel[arc]))
    return [*moments, now + waits.get(len(arcs), 0.0)]


def _blocked(links: Links, step: float, steps: int, most_load: float, seen: dict[float, Floats] | None) -> Bools:
    """Return when each arc may not be entered, shape (arcs, steps); the last column holds for ever after."""
    roads = links.roads
    openings = np.isfinite(roads.closed_from) | np.isfinite(roads.closed_until)
    if not (np.isfinite(most_load) or openings.any()):
        return np.zeros((len(links.head), 1), dtype=np.bool_)
    columns = min(steps, max(1, int(np.ceil(roads.settled_at / step)) + 1))
    loads = None if seen is None else seen.get(step)
    if loads is None:
        field = roads.exposure
        loads = np.zeros((len(links.head), columns))
        _loads(
            links.arc,
            (roads.profile, roads.travel),
            (field.times, field.first, field.along),
            (roads.closed_from, roads.closed_until),
            step,
            loads,
        )
        if seen is not None:
            seen[step] = loads
    return np.asarray((loads > most_load) | np.isinf(loads))


@numba.njit(cache=True)
def _loads(arcs, travel, field, closed, step, out):  # type: ignore[no-untyped-def]  # compiled: types follow
    """Fill ``out`` (arcs, steps) with the load of entering each arc in each step, inf while it is closed."""
    for i in range(out.shape[0]):
        arc = arcs[i]
        if arc < 0:
            continue
        for k in range(out.shape[1]):
            t = k * step
            ride = rate_at(travel[0], travel[1][arc], t)
            if t < closed[1][arc] and t + step + ride > closed[0][arc]:
                out[i, k] = np.inf
            else:
                out[i, k] = arc_load(field[0], field[1], field[2], arc, t, ride)

"""Greatest flow over time on the time-expanded network, and taking it apart into groups.

Time is cut into steps; people who enter an arc in a step leave it a whole number of steps later (Ford & Fulkerson,
Oper. Res. 6, 1958). The greatest flow within a number of steps is found by push-relabel (OR-Tools); the least number of
steps in which it brings out everybody is the quickest flow. Both are exact on the expanded network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_PLENTY = 1 << 40


@dataclass(frozen=True, slots=True)
class Expanded:
    """A network to be expanded over time.

    Attributes:
        tail, head: of arcs, shape (arcs,); takes: steps of each; rate: people a step.
        blocked: whether each arc may not be entered in a step, shape (arcs, columns); the last column holds ever after.
        soonest, ahead: least steps from an area to each node and from it to a shelter, inf where there is no way.
        areas, shelters: nodes, none twice; first, last: steps in which each area may leave.
        people: of each area; places: of each shelter.
    """

    tail: Integers
    head: Integers
    takes: Integers
    rate: Floats
    blocked: Bools
    soonest: Floats
    ahead: Floats
    areas: Integers
    shelters: Integers
    first: Integers
    last: Integers
    people: Integers
    places: Integers

    def room(self, steps: int) -> Integers:
        """Return how many may enter each arc in each step, (steps, arcs): whole people, right on average."""
        at = np.arange(steps)[:, None]
        rate = np.minimum(self.rate, 1e9)
        whole = np.floor((at + 1) * rate + 1e-9) - np.floor(at * rate + 1e-9)
        column = np.minimum(at[:, 0], self.blocked.shape[1] - 1)
        useful = (at >= self.soonest[self.tail]) & (at + self.takes + self.ahead[self.head] < steps)
        return np.where(useful & ~self.blocked.T[column], whole, 0.0).astype(np.int64)

    @property
    def moments(self) -> tuple[Integers, Integers]:
        """Area and step of every moment of leaving."""
        counts = np.maximum(self.last - self.first + 1, 0)
        which = np.repeat(np.arange(len(counts)), counts)
        return which, np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + self.first[which]


@dataclass(frozen=True, slots=True)
class Greatest:
    """The greatest flow within a number of steps.

    Attributes:
        steps: number; people: brought out.
        flow: (steps, arcs); left: (steps, areas) who leave; came: (steps, shelters) who arrive.
    """

    steps: int
    people: int
    flow: Integers
    left: Integers
    came: Integers


def greatest(net: Expanded, steps: int) -> Greatest:
    """Return the greatest flow within ``steps`` steps."""
    from ortools.graph.python import max_flow

    tails, heads, room, keys = _arcs(net, steps)
    solver: Any = max_flow.SimpleMaxFlow()
    index = solver.add_arcs_with_capacity(tails, heads, room)
    hubs = steps * _nodes(net)
    over = hubs + len(net.people)
    source, sink = over + len(net.places), over + len(net.places) + 1
    for i, n in enumerate(net.people):
        solver.add_arc_with_capacity(source, hubs + i, int(n))
    for i, n in enumerate(net.places):
        solver.add_arc_with_capacity(over + i, sink, int(min(n, net.people.sum())))
    if solver.solve(source, sink) != solver.OPTIMAL:
        raise ArithmeticError("the greatest flow was not found")  # sums of people are far below what overflows
    values = np.asarray(solver.flows(index), dtype=np.int64)
    out = Greatest(
        steps, int(solver.optimal_flow()), np.zeros((steps, len(net.tail)), dtype=np.int64),
        np.zeros((steps, len(net.areas)), dtype=np.int64), np.zeros((steps, len(net.shelters)), dtype=np.int64),
    )  # fmt: skip
    begin = 0
    for target, (at, which) in zip((out.flow, out.left, out.came), keys, strict=True):
        target[at, which] = values[begin : begin + len(at)]
        begin += len(at)
    return out


def _nodes(net: Expanded) -> int:
    return max(int(net.tail.max()), int(net.head.max())) + 1


def _arcs(net: Expanded, steps: int) -> tuple[Integers, Integers, Integers, list[tuple[Integers, Integers]]]:
    """Return tails, heads and room of the expanded arcs, and (step, number) of roads, leavings and arrivals."""
    nodes = _nodes(net)
    hubs = steps * nodes
    room = net.room(steps)
    at, arc = np.nonzero(room)
    area, leave = net.moments
    area, leave = area[leave < steps], leave[leave < steps]
    shelter, come = (part.ravel() for part in np.indices((len(net.shelters), steps)))
    tails = np.concatenate([at * nodes + net.tail[arc], hubs + area, come * nodes + net.shelters[shelter]])
    heads = np.concatenate([
        (at + net.takes[arc]) * nodes + net.head[arc], leave * nodes + net.areas[area], hubs + len(net.areas) + shelter,
    ])  # fmt: skip
    plenty = np.full(len(area) + len(shelter), int(net.people.sum()) + 1)
    keys = [(at, arc), (leave, area), (come, shelter)]
    return tails, heads, np.concatenate([room[at, arc], plenty]), keys


def quickest_flow(net: Expanded, most: int, guess: int, slack: float = 0.0) -> Greatest:
    """Return the greatest flow within the least number of steps that brings out all who can be.

    Args:
        net: the network.
        most: steps at most; who is not out then stays.
        guess: of the number of steps.
        slack: share that the number may be above the least one; 0 proves that one step less is too few.
    """
    wanted = min(int(net.people.sum()), int(np.minimum(net.places, _PLENTY).sum()))
    soon = float(net.soonest[net.shelters].min())
    low, below, slope = int(min(soon, most - 1)), 0, 0.0
    steps = min(max(guess, low + 1), most)
    high = greatest(net, steps)
    while high.people < wanted and high.steps < most:
        slope = (high.people - below) / (high.steps - low)
        if high.people == below and _settled(net, low):
            break
        low, below = high.steps, high.people
        steps = low + _ahead(wanted - below, slope, low)
        high = greatest(net, min(most, steps))
    if high.people < wanted:
        wanted, low, below = high.people, int(min(soon, most - 1)), 0
    turn = 0
    while high.steps - low > max(1, int(slack * low)) and wanted > 0:
        gap = high.steps - low
        step = (
            _ahead(wanted - below, slope or wanted / gap, gap)
            if turn % 2 == 0
            else gap // 2
            if slack or turn > 4
            else gap - 1
        )
        tried = greatest(net, low + min(max(step, 1), gap - 1))
        if tried.people >= wanted:
            high = tried
        else:
            slope = (tried.people - below) / (tried.steps - low)
            low, below = tried.steps, tried.people
        turn += 1
    return high


def _ahead(missing: int, slope: float, most: int) -> int:
    """Return the steps that bring out the ``missing`` at ``slope`` people a step; 1 to ``most``."""
    return max(1, min(int(np.ceil(missing / slope)) if slope > 0.0 else most, max(1, most)))


def _settled(net: Expanded, steps: int) -> bool:
    """Whether nothing changes any more after ``steps``: nobody may begin to leave, no block ends."""
    reach = net.soonest[np.isfinite(net.soonest)].max() + net.ahead[np.isfinite(net.ahead)].max()
    return bool(steps > net.blocked.shape[1] + reach and steps > int(net.first.max()) + reach)


@numba.njit(cache=True)
def compact(tail, head, takes, room, first, groups, hops, flow):  # type: ignore[no-untyped-def]  # noqa: C901 - compiled: one pass over groups
    """Let each group leave as early as its way has room for all of it, and take loops out of ways, in place.

    Args:
        tail, head, takes: of arcs; room: (steps, arcs); first: step in which each area may leave.
        groups, hops: from ``unravel``; hops of a group end at column 5 of the next one, after this at column 6 of
            its own.
        flow: (steps, arcs) of all groups.
    """
    path = np.empty(hops.shape[0] + 1, dtype=np.int64)
    step = np.empty(hops.shape[0] + 1, dtype=np.int64)
    seen = np.full(max(tail.max(), head.max()) + 1, -1, dtype=np.int64)
    for g in range(groups.shape[0] - 1):
        area, people, come, begin, end = groups[g, 0], groups[g, 2], groups[g, 4], groups[g, 5], groups[g + 1, 5]
        groups[g, 6] = end
        count = 0
        for i in range(begin, end):
            arc = hops[i, 0]
            flow[hops[i, 1], arc] -= people
            if count == 0 and i == begin:
                seen[tail[arc]] = 0
            if seen[head[arc]] >= 0:
                keep = seen[head[arc]]
                for j in range(keep, count):
                    seen[head[path[j]]] = -1
                seen[head[arc]] = keep
                count = keep
                continue
            path[count], step[count] = arc, hops[i, 1]
            count += 1
            seen[head[arc]] = count
        if end > begin:
            seen[tail[hops[begin, 0]]] = -1
        total = 0
        for j in range(count):
            seen[head[path[j]]] = -1
            total += takes[path[j]]
        chosen = -1
        for t in range(first[area], come - total + 1):
            now, fits = t, True
            for j in range(count):
                if room[now, path[j]] - flow[now, path[j]] < people:
                    fits = False
                    break
                now += takes[path[j]]
            if fits:
                chosen = t
                break
        # Without such a moment a loop becomes a wait in the queue at its node: hops keep their steps.
        now = chosen
        for j in range(count):
            if chosen >= 0:
                step[j] = now
                now += takes[path[j]]
            hops[begin + j, 0], hops[begin + j, 1] = path[j], step[j]
        if chosen >= 0:
            groups[g, 3], groups[g, 4] = chosen, now
        groups[g, 6] = begin + count
        for i in range(begin, groups[g, 6]):
            flow[hops[i, 1], hops[i, 0]] += people


@numba.njit(cache=True)
def _at(nodes, places):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    found = np.full(nodes, -1, dtype=np.int64)
    for i in range(places.shape[0]):
        found[places[i]] = i
    return found


@numba.njit(cache=True)
def unravel(start, head, tail, lasts, flow, left, came, area_node, shelter_node):  # type: ignore[no-untyped-def]  # compiled
    """Take the flow apart into groups that go together; the arrays of flows are used up.

    Returns:
        Area, shelter, people, step of leaving, step of arrival and first hop of each group, shape (groups + 1, 7), and
        hops (arc, step of entering it), shape (hops, 2).
    """
    nodes = start.shape[0] - 1
    hub_at = _at(nodes, shelter_node)
    groups = np.empty((1024, 7), dtype=np.int64)
    hops = np.empty((8192, 2), dtype=np.int64)
    count = used = 0
    for t in range(left.shape[0]):
        for area in range(left.shape[1]):
            while left[t, area] > 0:
                place, now, begin, amount = area_node[area], t, used, left[t, area]
                while not (hub_at[place] >= 0 and came[now, hub_at[place]] > 0):
                    for arc in range(start[place], start[place + 1]):
                        if flow[now, arc] > 0:
                            break
                    if used == hops.shape[0]:
                        hops = np.concatenate((hops, np.empty_like(hops)))
                    hops[used, 0], hops[used, 1] = arc, now
                    used += 1
                    now += lasts[arc]
                    place = head[arc]
                    used = _without_loop(tail, flow, hops, begin, used, place, now)
                shelter = hub_at[place]
                amount = min(amount, came[now, shelter])
                for i in range(begin, used):
                    amount = min(amount, flow[hops[i, 1], hops[i, 0]])
                for i in range(begin, used):
                    flow[hops[i, 1], hops[i, 0]] -= amount
                left[t, area] -= amount
                came[now, shelter] -= amount
                if count + 1 == groups.shape[0]:
                    groups = np.concatenate((groups, np.empty_like(groups)))
                groups[count] = np.array((area, shelter, amount, t, now, begin, used))
                count += 1
    groups[count] = np.array((0, 0, 0, 0, 0, used, used))
    return groups[: count + 1], hops[:used]


@numba.njit(cache=True)
def _without_loop(tail, flow, hops, begin, used, place, now):  # type: ignore[no-untyped-def]  # compiled
    """Cancel a loop within one moment (arcs of no step) that the hops just closed; return the hops left."""
    for i in range(used - 1, begin - 1, -1):
        if hops[i, 1] != now:
            return used
        if tail[hops[i, 0]] == place:
            least = flow[now, hops[i, 0]]
            for j in range(i, used):
                least = min(least, flow[now, hops[j, 0]])
            for j in range(i, used):
                flow[now, hops[j, 0]] -= least
            return i
    return used

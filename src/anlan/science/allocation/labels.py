"""Label-setting search over (time, toxic load), compiled.

Earliest arrival with first-in-first-out travel times is Dijkstra's algorithm (Dreyfus, Oper. Res. 17, 1969); with the
load beside it labels are kept by dominance. Where one may wait anywhere, a label is judged by its load less what
waiting at its node costs since the field began: a label that is earlier and less in that measure can wait until the
other's time and be better off, so dropping the other is exact but for the step of waiting. Where one may not wait,
only labels of the same stretch of time (``tick``) are compared while the cloud or a closure still changes.
"""

from __future__ import annotations

import numba
import numpy as np

from anlan.science.allocation.heap import drop_first, push
from anlan.science.allocation.plume import arc_load, rate_at, spent_at

WAIT_NOWHERE, WAIT_AT_ORIGIN, WAIT_ANYWHERE = 0, 1, 2


@numba.njit(cache=True)
def dijkstra(start, head, weight, usable, origins, offsets):  # type: ignore[no-untyped-def]  # compiled: types follow
    """Return the least sum of weights from ``origins`` (begun at ``offsets``) to every node and the arc it came by."""
    nodes = start.shape[0] - 1
    distance = np.full(nodes, np.inf)
    via = np.full(nodes, -1, dtype=np.int64)
    keys = np.empty(nodes + 16)
    items = np.empty(nodes + 16, dtype=np.int64)
    size = 0
    for i in range(origins.shape[0]):
        if offsets[i] < distance[origins[i]]:
            distance[origins[i]] = offsets[i]
            keys, items = push(keys, items, size, offsets[i], origins[i])
            size += 1
    while size > 0:
        key, node = keys[0], items[0]
        drop_first(keys, items, size)
        size -= 1
        if key > distance[node]:
            continue
        for arc in range(start[node], start[node + 1]):
            if not usable[arc]:
                continue
            new = key + weight[arc]
            other = head[arc]
            if new < distance[other]:
                distance[other] = new
                via[other] = arc
                keys, items = push(keys, items, size, new, other)
                size += 1
    return distance, via


@numba.njit(cache=True)
def many_dijkstra(start, head, weight, usable, origins, wanted, out):  # type: ignore[no-untyped-def]  # compiled
    """Fill ``out`` (origins, wanted) with the least sums of weights between nodes."""
    one = np.empty(1, dtype=np.int64)
    zero = np.zeros(1)
    for i in range(origins.shape[0]):
        one[0] = origins[i]
        distance, _ = dijkstra(start, head, weight, usable, one, zero)
        for j in range(wanted.shape[0]):
            out[i, j] = distance[wanted[j]]


@numba.njit(cache=True)
def _grown(values):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    return np.concatenate((values, np.empty_like(values)))


@numba.njit(cache=True)
def _waited(field, node, origin, home, t):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Return the load of standing at ``node`` since the field began, until ``t``."""
    times, _, _, rate, spent = field
    if node == origin:
        return spent_at(times, home[0], home[1], t)
    return spent_at(times, rate[node], spent[node], t)


@numba.njit(cache=True)
def search(graph, travel, field, home, rules, origin, target, bound, depart, horizon, limit, first_only):  # type: ignore[no-untyped-def]  # noqa: C901 - compiled: one loop over labels
    """Return labels (node, time, load, parent, arc) and those that reached a target, in order of time.

    Args:
        graph: (start, head, closed_from, closed_until).
        travel: (profile times, travel times of arcs at them).
        field: (times, first, along, node, spent) of an exposure.
        home: rate and spent of waiting at the origin, shape (2, K).
        rules: (mode of waiting, step of waiting, tick, time after which nothing changes).
        origin, target: node; flags of nodes.
        bound: least travel time from each node to a target, inf where there is none.
        depart, horizon: first moment to leave and last to arrive, s.
        limit: greatest load.
        first_only: end at the first arrival (the fastest); else all that no other beats.
    """
    start, head, closed_from, closed_until = graph
    profile, duration = travel
    times, first, along, _, _ = field
    mode, step, tick, settled_at = rules
    nodes = start.shape[0] - 1
    buckets = 1 if mode == WAIT_ANYWHERE else int((min(settled_at, horizon) - depart) / tick) + 2
    buckets = max(buckets, 1)
    seen = np.full((nodes, buckets), np.inf)
    least = np.full(nodes, np.inf)
    owner = np.full(nodes, -1, dtype=np.int64)
    room = 4096
    of_node = np.empty(room, dtype=np.int64)
    of_time = np.empty(room)
    of_load = np.empty(room)
    parent = np.empty(room, dtype=np.int64)
    by_arc = np.empty(room, dtype=np.int64)
    chain = np.empty(room, dtype=np.int64)
    count = 0
    keys = np.empty(4096)
    items = np.empty(4096, dtype=np.int64)
    size = 0
    reached = np.empty(64, dtype=np.int64)
    arrivals = 0
    best = np.inf
    of_node[0], of_time[0], of_load[0], parent[0], by_arc[0], chain[0] = origin, depart, 0.0, -1, -1, -1
    count = 1
    keys, items = push(keys, items, size, depart + bound[origin], 0)
    size = 1
    while size > 0:
        label = items[0]
        drop_first(keys, items, size)
        size -= 1
        node, t, load = of_node[label], of_time[label], of_load[label]
        slack = 1e-12 * (1.0 + load)
        if load >= best:
            continue
        waiting = chain[label] >= 0
        if mode == WAIT_ANYWHERE:
            measure = load - _waited(field, node, origin, home, t)
            if waiting:
                if owner[node] != chain[label]:
                    continue
            else:
                if measure >= least[node] - slack:
                    continue
                least[node] = measure
                owner[node] = label
        elif t >= settled_at:
            if load >= least[node] - slack:
                continue
            least[node] = load
        else:
            bucket = int((t - depart) / tick)
            if load >= seen[node, bucket] - slack and not (waiting and load <= seen[node, bucket]):
                continue
            seen[node, bucket] = load
        if target[node]:
            if arrivals == reached.shape[0]:
                reached = _grown(reached)
            reached[arrivals] = label
            arrivals += 1
            best = load
            if first_only or load <= 0.0:
                break
            continue
        for k in range(start[node], start[node + 1] + 1):
            if k < start[node + 1]:
                other, arc = head[k], k
                ride = rate_at(profile, duration[k], t)
                when = t + ride
                if (t < closed_until[k] and when > closed_from[k]) or not np.isfinite(bound[other]):
                    continue
                new = load + arc_load(times, first, along, k, t, ride)
                link = -1
            else:
                may = mode == WAIT_ANYWHERE or (mode == WAIT_AT_ORIGIN and node == origin and parent[label] == -1)
                may = may or (mode == WAIT_AT_ORIGIN and waiting)
                if not may or t >= settled_at:
                    continue
                other, arc = node, -1
                when = depart + (np.floor((t - depart) / step + 1e-9) + 1.0) * step
                new = load + _waited(field, node, origin, home, when) - _waited(field, node, origin, home, t)
                link = chain[label] if waiting else label
            if new > limit or new >= best or when + bound[other] > horizon:
                continue
            if mode == WAIT_ANYWHERE and arc >= 0:
                if new - _waited(field, other, origin, home, when) >= least[other] - slack:
                    continue
            elif arc >= 0 and when < settled_at and new >= seen[other, int((when - depart) / tick)]:
                continue
            if count == of_node.shape[0]:
                of_node, of_time, of_load = _grown(of_node), _grown(of_time), _grown(of_load)
                parent, by_arc, chain = _grown(parent), _grown(by_arc), _grown(chain)
            of_node[count], of_time[count], of_load[count] = other, when, new
            parent[count], by_arc[count], chain[count] = label, arc, link
            keys, items = push(keys, items, size, when + bound[other], count)
            size += 1
            count += 1
    return of_node[:count], of_time[:count], of_load[:count], parent[:count], by_arc[:count], reached[:arrivals]

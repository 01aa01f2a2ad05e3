"""Ways on changing roads under a moving cloud, beside brute force over all moments and scipy."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from anlan.science.allocation.paths import (
    FifoError,
    NoRouteError,
    Waiting,
    Wish,
    fastest,
    network,
    safest,
    shortest,
    trade_offs,
    travel_times,
)
from anlan.science.allocation.plume import (
    DriftingCloud,
    GridCloud,
    Toxicity,
    arc_load,
    arc_load_reference,
    indoor,
    tabulate,
)
from anlan.science.allocation.roads import InvalidInputError
from tests.science.allocation.towns import exposure_of, grid, random_roads

HORIZON = 14


@st.composite
def cases(draw):
    """A small network of whole travel times under random load rates that change every second."""
    nodes = draw(st.integers(3, 5))
    pairs = draw(
        st.lists(st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)), min_size=3, max_size=9, unique=True)
    )
    pairs = [(u, v) for u, v in pairs if u != v] + [(0, 1), (1, nodes - 1)]
    pairs = list(dict.fromkeys(pairs))
    times = [draw(st.integers(1, 3)) for _ in pairs]
    graph = random_roads(pairs, times)
    rate = st.sampled_from([0.0, 0.0, 1.0, 3.0])
    moments = np.arange(HORIZON + 1.0)
    along = [[draw(rate) for _ in moments] for _ in graph.head]
    node = [[draw(rate) for _ in moments] for _ in graph.nodes]
    return network(graph, exposure_of(along, node, moments)), graph.node("0"), graph.node(str(nodes - 1))


def by_brute_force(ways, origin, target, waiting):
    """Return the least load of being at the target at each second."""
    graph, field = ways.graph, ways.exposure
    load = np.full((HORIZON + 1, len(graph.nodes), 2), np.inf)  # the last axis: has moved (1) or not (0)
    load[0, origin, 0] = 0.0
    for t in range(HORIZON + 1):
        for node in range(len(graph.nodes)):
            for moved in (0, 1):
                if not np.isfinite(load[t, node, moved]):
                    continue
                may = waiting is Waiting.ANYWHERE or (waiting is Waiting.ORIGIN and not moved)
                if may and t < HORIZON:
                    cost = field.spent[node, t + 1] - field.spent[node, t]
                    load[t + 1, node, moved] = min(load[t + 1, node, moved], load[t, node, moved] + cost)
                if node == target:
                    continue
                for arc in range(graph.start[node], graph.start[node + 1]):
                    ride = int(graph.length[arc])
                    if t + ride <= HORIZON:
                        cost = arc_load_reference(field, arc, float(t), float(ride))
                        other = graph.head[arc]
                        load[t + ride, other, 1] = min(load[t + ride, other, 1], load[t, node, moved] + cost)
    return load[:, target].min(axis=1)


@given(cases(), st.sampled_from(list(Waiting)), st.sampled_from([np.inf, 4.0, 1.5]))
@settings(max_examples=120)
def test_trade_offs_are_those_of_brute_force_over_all_moments(case, waiting, limit):
    ways, origin, target = case
    every = by_brute_force(ways, origin, target, waiting)
    wanted, least = [], np.inf
    for t, load in enumerate(every):
        if load <= limit and load < least - 1e-9:
            wanted.append((t, load))
            least = load
    wish = Wish(horizon=HORIZON, limit=limit, waiting=waiting, wait_step=1.0, tick=1.0)
    if not wanted:
        with pytest.raises(NoRouteError):
            trade_offs(ways, origin, [target], wish)
        return
    found = trade_offs(ways, origin, [target], wish)
    assert [(way.arrive[-1], way.load) for way in found] == [(t, pytest.approx(load, abs=1e-9)) for t, load in wanted]
    assert fastest(ways, origin, [target], wish).arrive[-1] == wanted[0][0]
    assert safest(ways, origin, [target], wish).load == pytest.approx(wanted[-1][1], abs=1e-9)
    for way in found:
        assert way.load <= limit
        assert all(b >= a for a, b in zip(way.arrive, way.leave, strict=True))
        assert [ways.graph.head[arc] for arc in way.arcs] == list(way.nodes[1:])


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_static_ways_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    pairs = [(int(u), int(v)) for u, v in rng.integers(0, 12, (40, 2)) if u != v]
    graph = random_roads(list(dict.fromkeys(pairs)), rng.integers(1, 50, len(set(pairs))))
    count = len(graph.nodes)
    theirs = dijkstra(csr_array((graph.length, (graph.tail, graph.head)), shape=(count, count)))
    assert travel_times(graph, range(count), range(count)) == pytest.approx(theirs)
    reachable = np.argwhere(np.isfinite(theirs))
    for origin, target in reachable[:20]:
        assert shortest(graph, int(origin), int(target))[0] == pytest.approx(theirs[origin, target])


def test_slower_traffic_later_is_met_and_travel_times_that_overtake_are_refused():
    graph = random_roads([(0, 1), (1, 2)], [10, 10])
    profile, travel = np.array([0.0, 10.0]), np.array([[10.0, 10.0], [10.0, 25.0]])
    assert fastest(network(graph, None, profile, travel), 0, [2]).arrive[-1] == pytest.approx(35.0)
    with pytest.raises(FifoError, match="arrives after"):
        network(graph, None, profile, travel[:, ::-1])
    with pytest.raises(InvalidInputError, match="negative"):
        network(graph, None, profile, -travel)


def test_a_closed_road_is_waited_for_or_driven_around():
    graph = random_roads([(0, 1), (1, 3), (0, 2), (2, 3)], [10, 10, 30, 30])
    ways, target = network(graph), graph.node("3")
    assert fastest(ways, 0, [target]).arrive[-1] == 20.0
    closed = ways.closed([int(graph.road[graph.start[graph.node("1")]])], since=0.0, until=60.0)
    assert fastest(closed, 0, [target]).arrive[-1] == 60.0
    waits = fastest(
        closed.closed([graph.road[k] for k in range(len(graph.head)) if graph.tail[k] == graph.node("2")]), 0, [target]
    )
    assert waits.arrive[-1] == pytest.approx(70.0)
    assert waits.waits == pytest.approx(50.0)
    with pytest.raises(NoRouteError, match="every way to the targets is closed"):
        fastest(ways.closed(range(4)), 0, [target])


def test_no_way_within_the_limit_says_how_far_above_the_safest_is():
    graph = random_roads([(0, 1)], [10])
    ways = network(graph, exposure_of([[2.0]], [[2.0], [2.0]], [0.0]))
    with pytest.raises(NoRouteError, match=r"the safest has 2\.00 of it"):
        fastest(ways, 0, [1], Wish(limit=10.0))
    with pytest.raises(NoRouteError, match="after the horizon"):
        fastest(ways, 0, [1], Wish(horizon=5.0))
    with pytest.raises(NoRouteError, match="disconnected"):
        fastest(ways, 1, [0])


def cloud_over(graph, peak):
    west, east = graph.xy[:, 0].min() - 400.0, graph.xy[:, 0].max() + 400.0
    return DriftingCloud(
        np.array([0.0, 900.0]), np.array([west, east]), np.zeros(2), np.array([80.0, 150.0]), np.array([peak, peak])
    )


def test_a_stricter_limit_never_arrives_earlier_and_is_kept_by_quadrature_of_the_cloud_itself():
    graph = grid(5)
    toxicity = Toxicity.of(2.0, 60.0, 2.0)
    cloud = cloud_over(graph, 400.0)
    ways = network(graph, tabulate(graph, cloud, np.arange(0.0, 1201.0, 3.0), 2.0, spacing=5.0))
    origin, target = graph.node("2,4"), graph.node("2,0")
    arrivals = []
    for share in (np.inf, 1.0, 0.3, 0.1):
        way = fastest(ways, origin, [target], Wish(depart=200.0, limit=share * toxicity.limit, wait_step=10.0))
        arrivals.append(way.arrive[-1])
        assert along_the_cloud(graph, cloud, way) == pytest.approx(way.load, rel=0.02, abs=1e-3 * toxicity.limit)
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] > arrivals[0]


def along_the_cloud(graph, cloud, way):
    """Integrate C² along a way in steps of a tenth of a second, without any table."""
    total = 0.0
    for k, node in enumerate(way.nodes):
        stood = np.arange(way.arrive[k] + 0.05, way.leave[k], 0.1)
        total += 0.1 * (cloud(*graph.xy[node], stood) ** 2).sum()
        if k < len(way.arcs):
            a, b, ride = graph.xy[node], graph.xy[way.nodes[k + 1]], way.arrive[k + 1] - way.leave[k]
            share = (np.arange(1000) + 0.5) / 1000
            x, y = (a[i] + share * (b[i] - a[i]) for i in (0, 1))
            total += ride / 1000 * (cloud(x, y, way.leave[k] + share * ride) ** 2).sum()
    return total


def test_the_compiled_load_of_an_arc_is_that_of_the_plain_form():
    graph = grid(3)
    field = tabulate(graph, cloud_over(graph, 10.0), np.arange(0.0, 901.0, 30.0), 2.5)
    for arc in range(len(graph.head)):
        for t in (-20.0, 0.0, 333.0, 2000.0):
            found = arc_load(field.times, field.first, field.along, arc, t, 31.0)
            assert found == pytest.approx(arc_load_reference(field, arc, t, 31.0))


def test_a_room_fills_and_empties_as_one_well_mixed_zone():
    times = np.arange(0.0, 7201.0, 60.0)
    inside = indoor(times, np.ones_like(times), 2.0)
    assert inside == pytest.approx(1.0 - np.exp(-2.0 * times / 3600.0))
    ramp = indoor(times, times / 3600.0, 1.0)
    hours = times / 3600.0
    assert ramp == pytest.approx(hours - 1.0 + np.exp(-hours))
    assert indoor(times, np.ones_like(times), 0.0).max() == 0.0


def test_a_grid_of_concentrations_is_linear_between_its_points_and_its_faults_are_named():
    axes = np.array([0.0, 100.0]), np.array([0.0, 50.0]), np.array([0.0, 60.0])
    values = np.arange(8.0).reshape(2, 2, 2)
    field = GridCloud(*axes, values)
    assert field(np.array(50.0), np.array(25.0), np.array(30.0)) == pytest.approx(values.mean())
    assert field(np.array(50.0), np.array(25.0), np.array(600.0)) == pytest.approx(values[1].mean())
    assert field(np.array(-1.0), np.array(25.0), np.array(30.0)) == 0.0
    assert field.at_edge() == 7.0
    with pytest.raises(InvalidInputError, match="shape"):
        replace(field, values=values[:1])
    with pytest.raises(InvalidInputError, match="negative"):
        replace(field, values=-values)
    with pytest.raises(InvalidInputError, match="increase"):
        replace(field, x=axes[0][::-1])


def test_a_cloud_without_numbers_is_refused():
    graph = grid(2)
    with pytest.raises(InvalidInputError, match="negative or missing"):
        tabulate(graph, lambda x, y, t: np.full(np.broadcast_shapes(x.shape, t.shape), np.nan), np.zeros(1), 1.0)
    with pytest.raises(InvalidInputError, match="above 0"):
        Toxicity.of(0.0, 60.0, 1.0)

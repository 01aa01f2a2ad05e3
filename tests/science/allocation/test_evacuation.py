"""Evacuation: the quickest flow beside the linear program, the limit of load, and a reason for everybody who stays."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from anlan.science.allocation.evacuation import Area, Decision, Hazard, Shelter, plan, prepare, route_loads
from anlan.science.allocation.paths import network
from anlan.science.allocation.plume import DriftingCloud, Toxicity
from anlan.science.allocation.quickest import Links, expanded, quickest
from anlan.science.allocation.roads import InvalidInputError, Road, RoadsError, build
from tests.science.allocation.towns import grid, random_roads

INFINITE = float("inf")


def at(graph, name):
    node = graph.node(name)
    return float(graph.lon[node]), float(graph.lat[node])


@st.composite
def flows(draw):
    nodes = draw(st.integers(3, 6))
    pairs = draw(
        st.lists(st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)), min_size=3, max_size=12, unique=True)
    )
    pairs = list(dict.fromkeys([(u, v) for u, v in pairs if u != v] + [(0, 2), (1, 2)]))
    graph = random_roads(pairs, [draw(st.integers(0, 3)) for _ in pairs])
    rates = np.array([float(draw(st.integers(1, 4))) for _ in graph.head])
    people = [draw(st.integers(0, 12)), draw(st.integers(1, 12))]
    places = [draw(st.sampled_from([INFINITE, 5.0]))] + ([draw(st.sampled_from([INFINITE, 7.0]))] if nodes > 3 else [])
    return replace(graph, capacity=rates), people, places


def by_linear_program(graph, people, places, shelters, steps):
    """Return the most people that reach shelters within ``steps`` steps of 1 s, by an LP written from scratch."""
    arcs = [(a, t) for a in range(len(graph.head)) for t in range(steps) if t + int(graph.length[a]) < steps]
    index = {name: number for number, name in enumerate(arcs)}
    leave = {(i, t): len(arcs) + k for k, (i, t) in enumerate((i, t) for i in range(len(people)) for t in range(steps))}
    base = len(arcs) + len(leave)
    come = {(j, t): base + k for k, (j, t) in enumerate((j, t) for j in range(len(places)) for t in range(steps))}
    count = base + len(come)
    balance = np.zeros((len(graph.nodes) * steps, count))
    for (a, t), k in index.items():
        balance[graph.tail[a] * steps + t, k] -= 1.0
        balance[graph.head[a] * steps + t + int(graph.length[a]), k] += 1.0
    limits, bounds = [], []
    sources = [graph.node("0"), graph.node("1")]
    for (i, t), k in leave.items():
        balance[sources[i] * steps + t, k] += 1.0
    for (j, t), k in come.items():
        balance[shelters[j] * steps + t, k] -= 1.0
    for chosen, amounts in ((leave, people), (come, places)):
        for i, amount in enumerate(amounts):
            if np.isfinite(amount):
                row = np.zeros(count)
                row[[k for (j, _), k in chosen.items() if j == i]] = 1.0
                limits.append(row)
                bounds.append(amount)
    cost = np.zeros(count)
    cost[list(come.values())] = -1.0
    most = [(0.0, float(graph.capacity[a])) for a, _ in arcs] + [(0.0, None)] * (len(leave) + len(come))
    found = linprog(cost, np.array(limits), bounds, balance, np.zeros(len(balance)), bounds=most, method="highs")
    return -found.fun


@given(flows())
@settings(max_examples=25)
def test_the_quickest_flow_is_the_optimum_of_the_linear_program_and_keeps_capacities(case):
    graph, people, places = case
    shelters = [graph.node("2"), len(graph.nodes) - 1][: len(places)]
    if len(set(shelters)) < len(shelters) or graph.nodes[shelters[-1]] in ("0", "1"):
        shelters, places = shelters[:1], places[:1]
    links = Links.of(network(graph), [graph.node("0"), graph.node("1")], shelters)
    horizon = 60.0
    windows = [(0.0, horizon)] * 2
    net = expanded(links, people, windows, places, horizon, 1.0)
    whole = np.array([int(graph.length[arc]) if arc >= 0 else 0 for arc in links.arc])
    if (net.takes != whole).any():  # whole seconds on quickest ways stay; detours may be rounded up
        assert (net.takes >= whole - 1).all()
    flow = quickest(links, people, windows, places, horizon, 1.0)
    out = sum(group.people for group in flow.groups)
    assert out == pytest.approx(by_linear_program(graph, people, places, shelters, 40))
    assert Counter(dict(enumerate(people))) == Counter(
        {k: sum(g.people for g in flow.groups if g.area == k) + int(flow.left[k]) for k in range(2)}
    )
    for shelter, place in enumerate(places):
        assert sum(group.people for group in flow.groups if group.shelter == shelter) <= place
    entered = Counter()
    for group in flow.groups:
        now, waits = group.leave, dict(group.stops)
        for k, arc in enumerate(group.arcs):
            now += waits.get(k, 0.0)
            entered[arc, now] += group.people
            now += graph.length[arc]
        assert now + waits.get(len(group.arcs), 0.0) + 1.0 == pytest.approx(group.arrive)
    assert all(count <= graph.capacity[arc] for (arc, _), count in entered.items())
    assert flow.steps <= 1 or by_linear_program(graph, people, places, shelters, flow.steps - 1) < out - 1e-6
    assert by_linear_program(graph, people, places, shelters, flow.steps) >= out - 1e-6


def test_an_evacuation_without_a_cloud_brings_everybody_out_by_the_bottleneck():
    graph = grid(4, capacity=0.5)
    scene = prepare(graph, [Area("a", at(graph, "0,0"), 120)], [Shelter("s", at(graph, "3,3"))])
    found = plan(scene, step=4.0)
    assert [one.decision for one in found.areas] == [Decision.LEAVE]
    assert found.areas[0].leaving == 120
    # Two streets leave the corner: 1 person/s; the way takes 6 blocks at 30 km/h.
    way = 3 * (graph.length.max() + graph.length.min()) / (30 / 3.6)
    assert found.cleared == pytest.approx(120.0 + way, abs=2 * found.step)


def hazard_at(graph, name, peak, minutes=30.0, spread=120.0):
    x, y = graph.xy[graph.node(name)]
    until = 60.0 * minutes
    cloud = DriftingCloud(
        np.array([0.0, until, until + 60.0]),
        np.full(3, x),
        np.full(3, y),
        np.full(3, spread),
        np.array([peak, peak, 0.0]),
    )
    return Hazard(cloud, np.arange(0.0, until + 1801.0, 30.0), Toxicity.of(2.0, 60.0, 2.0, "AEGL-2"))


def test_by_dose_the_tight_house_stays_the_open_one_leaves_and_the_far_one_is_not_touched():
    graph = grid(6)
    hazard = hazard_at(graph, "2,2", 5.0)
    areas = [
        Area("tight", at(graph, "2,2"), 50, notice=600.0, air_changes=0.05),
        Area("open", at(graph, "2,2"), 50, notice=60.0, air_changes=20.0),
        Area("far", at(graph, "5,5"), 50),
        Area("far-but-must", at(graph, "5,5"), 50, must_leave=True),
    ]
    found = plan(prepare(graph, areas, [Shelter("s", at(graph, "0,5"))], hazard))
    assert [one.decision.value for one in found.areas] == ["shelter", "leave", "stay", "leave"]
    assert [one.reason.code for one in found.areas][:3] == ["indoors-better", "leaving-better", "untouched"]
    assert found.areas[0].indoors < found.areas[0].outdoors
    assert 0.0 < found.areas[1].leaving_load <= 1.0
    assert found.areas[0].air_out >= 1800.0
    assert all(one.leaving + one.staying == 50 for one in found.areas)


@given(st.floats(1.0, 2000.0), st.integers(0, 35), st.integers(0, 35), st.floats(0.1, 10.0))
@settings(max_examples=15)
def test_nobody_is_sent_above_the_limit_and_nobody_is_lost(peak, centre, home, changes):
    graph = grid(6, capacity=0.5)
    hazard = hazard_at(graph, graph.nodes[centre], peak, minutes=10.0, spread=200.0)
    areas = [
        Area(f"a{k}", at(graph, graph.nodes[(home + 7 * k) % 36]), 40, notice=60.0, air_changes=changes)
        for k in range(3)
    ]
    scene = prepare(graph, areas, [Shelter("s", at(graph, "0,0"), 100.0), Shelter("t", at(graph, "5,5"))], hazard)
    found = plan(scene, horizon=3600.0)
    for one in found.areas:
        assert one.leaving + one.staying == 40
        assert one.reason.en
        assert one.reason.zh
        assert one.above_limit == (one.staying > 0 and one.indoors > 1.0)
    for group in found.groups:
        assert group.load <= 1.0
        alone = route_loads(scene.roads, [(group.arcs, group.stops)], np.array([group.leave]))[0]
        assert alone <= scene.limit * (1.0 + 1e-9)


def test_when_every_way_is_above_the_limit_people_stay_and_are_named_for_rescue():
    graph = grid(4)
    hazard = hazard_at(graph, "0,0", 1e5, spread=3000.0)
    found = plan(
        prepare(graph, [Area("a", at(graph, "0,0"), 9, air_changes=5.0)], [Shelter("s", at(graph, "3,3"))], hazard)
    )
    assert found.groups == ()
    assert found.areas[0].decision is Decision.SHELTER
    assert found.areas[0].above_limit
    assert "rescue first" in found.areas[0].reason.en
    assert "above the limit" in found.areas[0].reason.en


def test_closing_a_road_changes_the_ways_and_closing_all_leaves_a_reason():
    graph = grid(3, capacity=0.5)
    scene = prepare(graph, [Area("a", at(graph, "0,0"), 30)], [Shelter("s", at(graph, "2,2"))])
    before = plan(scene)
    used = scene.roads.graph.road[before.groups[0].arcs[0]]
    after = plan(scene.closed([int(used)]))
    assert after.cleared > before.cleared
    assert all(used not in scene.roads.graph.road[list(group.arcs)] for group in after.groups)
    shut = plan(scene.closed(range(len(scene.roads.graph.roads))))
    assert shut.areas[0].staying == 30
    assert shut.areas[0].reason.code == "no-way-out"
    assert "closed" in shut.areas[0].reason.en


def test_full_shelters_and_short_horizons_leave_people_with_a_reason():
    graph = grid(3, capacity=0.5)
    areas = [Area("a", at(graph, "0,0"), 30), Area("b", at(graph, "0,2"), 10)]
    small = plan(prepare(graph, areas, [Shelter("s", at(graph, "2,2"), 25.0)]))
    assert sum(one.leaving for one in small.areas) == 25
    assert [remark.code for remark in small.remarks] == ["shelters-full"]
    assert "left-behind" in {one.reason.code for one in small.areas}
    late = plan(prepare(graph, areas, [Shelter("s", at(graph, "2,2"))]), horizon=115.0)
    assert 0 < sum(one.leaving for one in late.areas) < 40
    assert late.cleared <= 115.0 + late.step


def test_a_place_whose_road_leads_nowhere_gets_the_next_road_and_is_told():
    graph = grid(3)
    island = Road("x", "y", (121.6001, 121.6003), (29.8995, 29.8995), 20.0, 8.0)
    found = plan(
        prepare(build([*graph.roads, island]), [Area("a", (121.6002, 29.8995), 5)], [Shelter("s", at(graph, "2,2"))])
    )
    assert found.areas[0].leaving == 5
    remarks = {remark.code: remark for remark in found.remarks}
    assert "disconnected" in remarks
    assert any(remark.where == "areas.a" for remark in found.remarks)


def test_faults_of_areas_and_shelters_are_named():
    graph = grid(3)
    shelter = Shelter("s", at(graph, "2,2"))
    area = Area("a", at(graph, "0,0"), 5)
    for areas, shelters, said in [
        ([], [shelter], "no areas"),
        ([area], [], "no shelters"),
        ([area, area], [shelter], "twice"),
        ([replace(area, people=-1)], [shelter], "-1 people"),
        ([area], [replace(shelter, capacity=float("nan"))], "capacity"),
    ]:
        with pytest.raises(InvalidInputError, match=said):
            prepare(graph, areas, shelters)
    with pytest.raises(RoadsError, match="km from the nearest road"):
        prepare(graph, [replace(area, at=(29.9, 30.0))], [shelter])

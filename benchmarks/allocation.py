"""Ways, evacuation and dispatch beside exact solvers: the linear program by HiGHS and CP-SAT, in the same run.

``python -m benchmarks.allocation [--quick]`` prints one JSON object.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from anlan.science.allocation import dispatch, quickest, timeflow
from anlan.science.allocation.dispatch_exact import solve_exact
from anlan.science.allocation.evacuation import Area, Hazard, Scene, Shelter, plan, prepare
from anlan.science.allocation.paths import NoRouteError, Wish, fastest, network, shortest, trade_offs
from anlan.science.allocation.plume import DriftingCloud, Toxicity, tabulate
from anlan.science.allocation.road_file import read_roads
from anlan.science.allocation.roads import Road, RoadGraph, build, line_length, radii

ROOT = Path(__file__).resolve().parents[1]


def run(quick: bool = False, progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Return the figures of roads, paths, evacuation and dispatch; ``quick`` has a smaller LP and CP-SAT at 10 s."""
    progress("roads")
    result: dict[str, Any] = {"roads": roads()}
    progress("paths")
    result["paths"] = paths()
    progress("evacuation")
    result["evacuation"] = evacuation(quick)
    progress("dispatch")
    result["dispatch"] = dispatching(10.0 if quick else 60.0)
    return result


def roads() -> dict[str, Any]:
    """Return the worst difference, m, from the checked shortest distances of the shared road graphs."""
    folder = Path(os.environ.get("ANLAN_SHARED_DATA", ROOT.parent / "shared" / "data")) / "roads"
    out: dict[str, Any] = {}
    for name in ("monaco", "krems"):
        if not (folder / f"{name}_edges.geojson.gz").exists():
            continue
        graph = read_roads(json.loads(gzip.decompress((folder / f"{name}_edges.geojson.gz").read_bytes())))
        worst, wrong = 0.0, 0
        pairs = json.loads((folder / f"{name}_shortest_paths.json").read_text())
        for pair in pairs:
            try:
                found = shortest(graph, graph.node(pair["origin"]), graph.node(pair["destination"]))[0]
            except NoRouteError:
                wrong += pair["shortest_m"] is not None
                continue
            wrong += pair["shortest_m"] is None
            worst = max(worst, abs(found - (pair["shortest_m"] or found)))
        out[name] = {"pairs": len(pairs), "worst_difference_m": worst, "wrong_reachability": wrong}
    return out


def city(side: int = 45, seed: int = 1, spacing: float = 150.0) -> RoadGraph:
    """Return a town of ``side``² junctions with some links missing, one-way streets and arterials."""
    rng = np.random.default_rng(seed)
    east, north = radii(29.95)
    rows, columns = np.indices((side, side))
    lon = (columns * spacing + rng.uniform(-40, 40, (side, side))) / east + 121.6
    lat = (rows * spacing + rng.uniform(-40, 40, (side, side))) / north + 29.95
    found = []
    for i in range(side):
        for j in range(side):
            for a, b in ((i + 1, j), (i, j + 1)):
                if a >= side or b >= side or rng.random() < 0.12:
                    continue
                arterial = (i % 9 == 4 and b != j) or (j % 9 == 4 and a != i)
                line = (float(lon[i, j]), float(lon[a, b])), (float(lat[i, j]), float(lat[a, b]))
                found.append(
                    Road(
                        f"{i},{j}", f"{a},{b}", *line, line_length(*line), (50 if arterial else 30) / 3.6,
                        0 if arterial else int(rng.choice([0, 0, 0, 1])), 2.0 if arterial else 1.0,
                    )
                )  # fmt: skip
    return build(found)


def scene(side: int = 45, people: int = 10_000, hazard: Hazard | None = None, seed: int = 3) -> Scene:
    """Return 20 areas in the middle of a town and eight ways out at its border."""
    graph = city(side)
    rng = np.random.default_rng(seed)

    def at(i: int, j: int) -> tuple[float, float]:
        node = graph.node(f"{i},{j}")
        return float(graph.lon[node]), float(graph.lat[node])

    inner = rng.integers(side // 4, side * 3 // 4, (20, 2)).tolist()
    areas = [Area(f"area-{k}", at(i, j), people // 20) for k, (i, j) in enumerate(inner)]
    last, half = side - 1, side // 2
    outer = [
        (4, 0),
        (last, 4),
        (0, half),
        (half, 0),
        (last, half + side // 5),
        (half + side // 5, last),
        (0, last - 4),
        (last - 4, last),
    ]
    return prepare(graph, areas, [Shelter(f"exit-{k}", at(i, j)) for k, (i, j) in enumerate(outer)], hazard)


def drifting(graph: RoadGraph, peak: float = 60.0) -> Hazard:
    """Return a cloud that drifts over the town."""
    west, east = graph.xy[:, 0].min(), graph.xy[:, 0].max()
    cloud = DriftingCloud(
        np.array([0.0, 2400.0]), np.array([west, east]), np.array([0.0, 400.0]), np.array([150.0, 500.0]),
        np.array([peak, peak / 4]),
    )  # fmt: skip
    return Hazard(cloud, np.arange(0.0, 3601.0, 60.0), Toxicity.of(2.0, 60.0, 2.75, "AEGL-2"))


def paths() -> dict[str, Any]:
    """Return milliseconds of ways through a drifting cloud, first and after closures."""
    graph = city()
    hazard = drifting(graph)
    limit = hazard.toxicity.limit
    begun = time.perf_counter()
    exposure = tabulate(graph, hazard.cloud, hazard.times, hazard.toxicity.exponent)
    tabulated = time.perf_counter() - begun
    ways = network(graph, exposure)
    origin, target = graph.node("22,2"), graph.node("20,42")
    wish = Wish(limit=limit, horizon=7200.0)
    fastest(ways, origin, [target], wish)
    begun = time.perf_counter()
    first = fastest(ways, origin, [target], wish)
    searched = time.perf_counter() - begun
    spent = []
    for k in range(10):
        blocked = int(graph.road[first.arcs[k * len(first.arcs) // 10]])
        begun = time.perf_counter()
        again = fastest(ways.closed([blocked]), origin, [target], wish)
        spent.append(time.perf_counter() - begun)
        assert again.load <= limit
    begun = time.perf_counter()
    every = trade_offs(ways, origin, [target], wish)
    return {
        "nodes": len(graph.nodes),
        "arcs": len(graph.head),
        "tabulate_ms": 1e3 * tabulated,
        "fastest_ms": 1e3 * searched,
        "replan_on_closure_ms_worst": 1e3 * max(spent),
        "trade_offs": len(every),
        "trade_offs_ms": 1e3 * (time.perf_counter() - begun),
        "load_of_limit": first.load / limit,
    }


def lp_flow(net: timeflow.Expanded, steps: int) -> float:
    """Return the greatest flow within ``steps`` by the linear program on the expanded network (HiGHS).

    Capacities are the plain rates, not whole people.
    """
    tails, heads, room, keys = timeflow._arcs(net, steps)
    (_, arc), (_, area), (_, shelter) = keys
    rate = np.concatenate([np.minimum(net.rate, 1e6)[arc], np.full(len(area) + len(shelter), np.inf)])
    del room
    names, index = np.unique(np.concatenate([tails, heads]), return_inverse=True)
    count = len(tails)
    hubs = steps * timeflow._nodes(net)
    areas, shelters = np.arange(len(net.areas)), np.arange(len(net.shelters))
    spots = np.searchsorted(names, np.concatenate([hubs + areas, hubs + len(areas) + shelters]))
    extra = len(spots)
    rows = np.concatenate([index[:count], index[count:], spots])
    columns = np.concatenate([np.arange(count), np.arange(count), count + np.arange(extra)])
    signs = np.where(np.arange(extra) < len(areas), 1.0, -1.0)
    values = np.concatenate([np.full(count, -1.0), np.ones(count), signs])
    matrix = coo_array((values, (rows, columns)), shape=(len(names), count + extra)).tocsr()
    ends = np.concatenate([net.people, np.minimum(net.places, net.people.sum())]).astype(np.float64)
    bounds = np.column_stack([np.zeros(count + extra), np.concatenate([rate, ends])])
    cost = np.zeros(count + extra)
    cost[count : count + len(areas)] = -1.0
    found = linprog(cost, A_eq=matrix, b_eq=np.zeros(len(names)), bounds=bounds, method="highs")
    return float(-found.fun)


def lp_optimum(net: timeflow.Expanded, steps: int) -> int:
    """Return the least number of steps in which the linear program brings out everybody, from ``steps`` down."""
    wanted = float(net.people.sum())
    while steps > 1 and lp_flow(net, steps - 1) >= wanted - 1e-6:
        steps -= 1
    return steps


def fractional_optimum(net: timeflow.Expanded, steps: int) -> int:
    """Return the same for people of a thousandth, by push-relabel: the LP optimum of networks too large for HiGHS."""
    finer = replace(net, people=net.people * 1000, places=net.places * 1000, rate=np.minimum(net.rate, 1e3) * 1000.0)
    while steps > 1 and timeflow.greatest(finer, steps - 1).people >= finer.people.sum():
        steps -= 1
    return steps


def evacuation(quick: bool) -> dict[str, Any]:
    """Return seconds and length of evacuations, with and without a cloud, beside the LP optimum."""
    towns = {"clear": scene(), "cloud": scene(hazard=drifting(city()))}
    out: dict[str, Any] = {}
    for name, one in towns.items():
        plan(one)
        begun, worked = time.perf_counter(), time.process_time()
        found = plan(one)
        spent, worked = time.perf_counter() - begun, time.process_time() - worked
        begun = time.perf_counter()
        again = plan(
            one.closed([int(one.roads.graph.road[found.groups[0].arcs[0]])]), step=3.0 * found.step, slack=0.05
        )
        out[name] = {
            "people": sum(area.area.people for area in found.areas),
            "leaving": sum(area.leaving for area in found.areas),
            "plan_s": spent,
            "plan_processor_s": worked,
            "cleared_s": found.cleared,
            "steps": found.steps,
            "step_s": found.step,
            "groups": len(found.groups),
            "worst_load_of_limit": max((group.load for group in found.groups), default=0.0),
            "replan_on_closure_s": time.perf_counter() - begun,
            "replan_cleared_s": again.cleared,
        }
    out["beside_highs"] = beside_lp(scene(side=14 if quick else 20, people=3000), lp_optimum)
    out["beside_fractional_flow"] = beside_lp(towns["clear"], fractional_optimum)
    return out


def beside_lp(one: Scene, best: Callable[[timeflow.Expanded, int], int]) -> dict[str, Any]:
    """Return the plan of a scene without a cloud beside the optimum with the same steps and fractions of people."""
    found = plan(one)
    links = quickest.Links.of(one.roads, one.area_nodes, one.shelter_nodes)
    net = quickest.expanded(
        links,
        [area.people for area in one.areas],
        [(0.0, 14400.0)] * len(one.areas),
        [shelter.capacity for shelter in one.shelters],
        14400.0,
        found.step,
    )
    begun = time.perf_counter()
    optimum = best(net, found.steps)
    return {
        "nodes": len(one.roads.graph.nodes),
        "people": sum(area.people for area in one.areas),
        "steps": found.steps,
        "optimal_steps": optimum,
        "optimum_found_in_s": time.perf_counter() - begun,
        "cleared_over_optimum": found.cleared / (optimum * found.step),
        "steps_over_optimum": found.steps / optimum,
    }


def instance(teams: int, tasks: int, seed: int) -> dispatch.Problem:
    """Return a random problem of dispatch on a plane of 10 km: skills, foam, windows, three weights."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.0, 10_000.0, (teams + tasks, 2))
    travel = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) / 12.0
    skills = ["fire", "rescue", "medic", "hazmat", "police"]
    who = [
        dispatch.Team(
            f"team-{k}", frozenset(rng.choice(skills, rng.integers(1, 4), replace=False).tolist()),
            (("foam", float(rng.integers(0, 8))),), float(rng.uniform(0.0, 600.0)),
        )
        for k in range(teams)
    ]  # fmt: skip
    what = []
    for j in range(tasks):
        earliest = float(rng.uniform(0.0, 1800.0))
        what.append(
            dispatch.Task(
                f"task-{j}", frozenset([str(rng.choice(skills))]), (("foam", float(rng.integers(0, 3))),),
                float(rng.uniform(300.0, 1200.0)), earliest, earliest + float(rng.uniform(1200.0, 5400.0)),
                float(rng.choice([1.0, 2.0, 5.0])),
            )
        )  # fmt: skip
    return dispatch.problem(who, what, travel)


def dispatching(seconds: float) -> dict[str, Any]:
    """Return seconds and cost of 200 teams and 500 tasks beside CP-SAT, which starts from our insertion."""
    asked = instance(200, 500, 1)
    dispatch.solve(instance(3, 5, 1))
    begun, worked = time.perf_counter(), time.process_time()
    found = dispatch.solve(asked)
    spent, worked = time.perf_counter() - begun, time.process_time() - worked
    begin = dispatch.solve(asked, turns=0)
    theirs = {}
    for name, one in (("from_our_insertion", begin), ("from_our_answer", found)):
        hint = [[visit.task for visit in visits] for visits in one.rounds]
        other = solve_exact(asked, seconds, nearest=15, hint=hint).dispatch
        theirs[f"cp_sat_cost_{name}"] = other.cost if other else float("inf")
    return {
        "teams": 200,
        "tasks": 500,
        "ours_s": spent,
        "ours_processor_s": worked,
        "ours_cost": found.cost,
        "ours_unserved": len(found.unserved),
        "insertion_cost": begin.cost,
        "cp_sat_s": seconds,
        **theirs,
        "ours_over_cp_sat": found.cost / min(theirs.values()),
        "small_cases": small_cases(),
    }


def small_cases() -> dict[str, Any]:
    """Return how far above the proven optimum of CP-SAT we are on cases of 3 teams and 7 tasks."""
    above, proven = 0.0, 0
    for seed in range(10):
        asked = instance(3, 7, seed)
        exact = solve_exact(asked, 20.0)
        if exact.optimal and exact.dispatch is not None:
            proven += 1
            above = max(above, dispatch.solve(asked, turns=2000).cost / exact.dispatch.cost - 1.0)
    return {"proven": proven, "worst_above_optimum": above}


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv, lambda line: print(line, file=sys.stderr)), indent=1))

"""Dispatch by constraint programming (OR-Tools CP-SAT): exact for small cases, a yardstick for large ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from anlan.science.allocation.dispatch import Dispatch, Problem, from_rounds

_SCALE = 10
"""Tenths of seconds: CP-SAT reckons in whole numbers."""


@dataclass(frozen=True, slots=True)
class Exact:
    """What CP-SAT found: a dispatch (None when none was found in time), its proven bound, and whether it is optimal."""

    dispatch: Dispatch | None
    bound: float
    optimal: bool


def solve_exact(
    asked: Problem, seconds: float, nearest: int | None = None, hint: Sequence[Sequence[int]] = (), workers: int = 2
) -> Exact:
    """Return the best rounds that CP-SAT finds: one circuit through all teams and tasks, with times along it.

    Args:
        asked: the problem.
        seconds: to search at most.
        nearest: arcs only to so many nearest tasks (None: all, exact).
        hint: rounds to start from.
        workers: threads.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    variables = _variables(model, asked)
    arcs = _circuit(model, asked, variables, nearest, hint)
    _objective(model, asked, variables, arcs)
    _hint(model, asked, variables, arcs, hint)
    solver: Any = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = workers
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Exact(None, float("-inf"), False)
    follow = {arc.tail: arc.head for arc in arcs if arc.tail and solver.boolean_value(arc.literal)}
    count, tours = len(asked.teams), []
    for team in range(count):
        tour, at = [], follow.get(1 + team, 0)
        while at > count:
            tour.append(at - count - 1)
            at = follow[at]
        tours.append(tour)
    bound = solver.best_objective_bound / (_SCALE * 1000.0)
    return Exact(from_rounds(asked, tours), bound, status == cp_model.OPTIMAL)


@dataclass(frozen=True, slots=True)
class _Arc:
    """An arc between nodes (0 the depot, then teams, then tasks), taken when ``literal`` holds; ride: s."""

    tail: int
    head: int
    literal: Any
    ride: float


def _variables(model: Any, asked: Problem) -> dict[str, Any]:
    from ortools.sat.python import cp_model

    horizon = _horizon(asked)
    start, team, served = [], [], []
    for number, task in enumerate(asked.tasks):
        high = int(min(task.latest, horizon) * _SCALE)
        low = int(np.ceil(task.earliest * _SCALE))
        able = [int(one) for one in np.flatnonzero(asked.able[:, number])]
        served.append(model.new_bool_var(""))
        if not able or low > high:
            model.add(served[-1] == 0)
        start.append(model.new_int_var(low, max(low, high), ""))
        team.append(model.new_int_var_from_domain(cp_model.Domain.from_values(able or [0]), ""))
    return {"start": start, "team": team, "served": served}


def _horizon(asked: Problem) -> float:
    finite = asked.travel[np.isfinite(asked.travel)]
    longest = float(finite.max(initial=0.0))
    latest = max((task.earliest for task in asked.tasks), default=0.0)
    ready = max(team.ready for team in asked.teams)
    return max(latest, ready) + sum(task.duration for task in asked.tasks) + longest * (len(asked.tasks) + 1)


def _circuit(
    model: Any, asked: Problem, variables: dict[str, Any], nearest: int | None, hint: Sequence[Sequence[int]]
) -> list[_Arc]:
    """Add rounds depot → team → its tasks → depot with times, teams and goods along them; return their arcs."""
    count, tasks = len(asked.teams), len(asked.tasks)
    served = variables["served"]
    goods = _goods(model, asked)
    firsts = {(team, tour[0]) for team, tour in enumerate(hint) if tour}
    nexts = {pair for tour in hint for pair in pairwise(tour)}
    arcs = [_Arc(0, 1 + k, model.new_bool_var(""), 0.0) for k in range(count)]
    for j in range(tasks):
        arcs += _first(model, asked, variables, goods, j, nearest, firsts)
        last = _Arc(1 + count + j, 0, model.new_bool_var(""), 0.0)
        arcs.append(last)
        _in_time(model, asked, variables, j, last.literal)
    for i in range(tasks):
        arcs += _next(model, asked, variables, goods, i, nearest, nexts)
    loops = [(1 + k, 1 + k, ~arcs[k].literal) for k in range(count)]
    loops += [(1 + count + j, 1 + count + j, ~served[j]) for j in range(tasks)]
    # A depot without any round is not allowed: one to a node of nothing always is.
    nothing, always_true = 1 + count + tasks, model.new_constant(1)
    loops += [(0, nothing, always_true), (nothing, 0, always_true)]
    model.add_multiple_circuit([*((arc.tail, arc.head, arc.literal) for arc in arcs), *loops])
    return arcs


def _goods(model: Any, asked: Problem) -> list[list[Any]]:
    """Return of each task what its team still has after it, by kind of goods, thousandths."""
    most = (asked.capacity.max(axis=0) * 1000.0).astype(int) if asked.capacity.size else []
    return [[model.new_int_var(0, int(top), "") for top in most] for _ in asked.tasks]


def _first(
    model: Any, asked: Problem, variables: dict[str, Any], goods: list[list[Any]], j: int, nearest: int | None,
    always: set[tuple[int, int]],
) -> list[_Arc]:  # fmt: skip
    """Return the arcs from teams to task ``j``, from the ``2 · nearest`` soonest teams only if that is given."""
    count, task = len(asked.teams), asked.tasks[j]
    able = np.flatnonzero(asked.able[:, j])
    there = np.array([asked.teams[k].ready for k in able]) + asked.travel[able, count + j]
    kept = able[np.argsort(there, kind="stable")[: None if nearest is None else 2 * nearest]]
    out = []
    for k in sorted({*kept.tolist(), *(team for team, first in always if first == j)}):
        ride = float(asked.travel[k, count + j])
        if asked.teams[k].ready + ride > task.latest:
            continue
        literal = model.new_bool_var("")
        out.append(_Arc(1 + k, 1 + count + j, literal, ride))
        model.add(variables["start"][j] >= _tenths(asked.teams[k].ready + ride)).only_enforce_if(literal)
        model.add(variables["team"][j] == k).only_enforce_if(literal)
        for g, left in enumerate(goods[j]):
            have = int(asked.capacity[k, g] * 1000.0) - _thousandths(asked.demand[j, g])
            model.add(left <= have).only_enforce_if(literal)
    return out


def _next(
    model: Any, asked: Problem, variables: dict[str, Any], goods: list[list[Any]], i: int, nearest: int | None,
    always: set[tuple[int, int]],
) -> list[_Arc]:  # fmt: skip
    """Return the arcs from task ``i`` to others, to the ``nearest`` only if that is given."""
    count, tasks = len(asked.teams), len(asked.tasks)
    order = np.argsort(asked.travel[count + i, count:], kind="stable")
    kept = set(order[: nearest + 1].tolist()) if nearest is not None else set(range(tasks))
    start, team = variables["start"], variables["team"]
    out = []
    for j in sorted(kept | {b for a, b in always if a == i}):
        ride = float(asked.travel[count + i, count + j])
        too_late = asked.tasks[i].earliest + asked.tasks[i].duration + ride > asked.tasks[j].latest
        if i == j or not np.isfinite(ride) or too_late or not (asked.able[:, i] & asked.able[:, j]).any():
            continue
        literal = model.new_bool_var("")
        out.append(_Arc(1 + count + i, 1 + count + j, literal, ride))
        model.add(start[j] >= start[i] + _tenths(asked.tasks[i].duration + ride)).only_enforce_if(literal)
        model.add(team[i] == team[j]).only_enforce_if(literal)
        for g, left in enumerate(goods[j]):
            model.add(left <= goods[i][g] - _thousandths(asked.demand[j, g])).only_enforce_if(literal)
    return out


def _in_time(model: Any, asked: Problem, variables: dict[str, Any], j: int, literal: Any) -> None:
    """Let a round that ends with task ``j`` end before its team has to."""
    ends = [one.end for one in asked.teams]
    if not np.isfinite(ends).any():
        return
    horizon = int(2.0 * _horizon(asked) * _SCALE)
    until = model.new_int_var(0, horizon, "")
    model.add_element(variables["team"][j], [int(min(end * _SCALE, horizon)) for end in ends], until)
    done = variables["start"][j] + _tenths(asked.tasks[j].duration)
    model.add(done <= until).only_enforce_if(literal)


def _thousandths(amount: float) -> int:
    return int(np.ceil(float(amount) * 1000.0 - 1e-6))


def _tenths(seconds: float) -> int:
    return int(np.ceil(seconds * _SCALE - 1e-6))


def _objective(model: Any, asked: Problem, variables: dict[str, Any], arcs: list[_Arc]) -> None:
    terms = []
    for j, task in enumerate(asked.tasks):
        early = int(np.ceil(task.earliest * _SCALE))
        high = int(min(task.latest, _horizon(asked)) * _SCALE) - early
        counted = model.new_int_var(0, max(0, high), "")
        model.add(counted >= variables["start"][j] - early).only_enforce_if(variables["served"][j])
        variables.setdefault("late", []).append(counted)
        terms.append(round(task.weight * 1000) * counted)
        terms.append(round(float(asked.penalty[j]) * _SCALE * 1000) * ~variables["served"][j])
    cost = round(asked.per_second * 1000)
    terms.extend(cost * _tenths(arc.ride) * arc.literal for arc in arcs if arc.ride > 0.0)
    model.minimize(sum(terms))


def _hint(
    model: Any, asked: Problem, variables: dict[str, Any], arcs: list[_Arc], hint: Sequence[Sequence[int]]
) -> None:
    """Start the search from rounds, every variable of them told."""
    if not hint:
        return
    count = len(asked.teams)
    taken = set()
    for k, tour in enumerate(hint):
        nodes = [1 + count + j for j in tour]
        taken |= set(pairwise([0, 1 + k, *nodes, 0])) if nodes else set()
        now, at = _tenths(asked.teams[k].ready), k
        for j in tour:
            begin = max(
                now + _tenths(float(asked.travel[at, count + j])), int(np.ceil(asked.tasks[j].earliest * _SCALE))
            )
            model.add_hint(variables["team"][j], k)
            model.add_hint(variables["start"][j], begin)
            model.add_hint(variables["late"][j], begin - int(np.ceil(asked.tasks[j].earliest * _SCALE)))
            now, at = begin + _tenths(asked.tasks[j].duration), count + j
    for arc in arcs:
        model.add_hint(arc.literal, (arc.tail, arc.head) in taken)
    done = {j for tour in hint for j in tour}
    for j, one in enumerate(variables["served"]):
        model.add_hint(one, j in done)

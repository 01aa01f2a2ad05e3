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
    arcs = _circuit(model, asked, variables, nearest, {(a, b) for tour in hint for a, b in pairwise(tour)})
    _goods(model, asked, variables)
    _objective(model, asked, variables, arcs)
    _hint(model, asked, variables, hint)
    solver: Any = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = workers
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Exact(None, float("-inf"), False)
    follow = {tail: head for tail, head, literal, _ in arcs if solver.value(literal)}
    count, tours = len(asked.teams), []
    for team in range(count):
        tour, at = [], follow.get(team, -1)
        while at >= count:
            tour.append(at - count)
            at = follow[at]
        tours.append(tour)
    bound = solver.best_objective_bound / (_SCALE * 1000.0)
    return Exact(from_rounds(asked, tours), bound, status == cp_model.OPTIMAL)


def _variables(model: Any, asked: Problem) -> dict[str, Any]:
    horizon = _horizon(asked)
    start, team, served = [], [], []
    for number, task in enumerate(asked.tasks):
        high = int(min(task.latest, horizon) * _SCALE)
        low = int(np.ceil(task.earliest * _SCALE))
        able = [int(one) for one in np.flatnonzero(asked.able[:, number])]
        possible = bool(able) and low <= high
        served.append(model.new_bool_var(""))
        if not possible:
            model.add(served[-1] == 0)
        start.append(model.new_int_var(low, max(low, high), ""))
        from ortools.sat.python import cp_model

        team.append(model.new_int_var_from_domain(cp_model.Domain.from_values(able or [0]), ""))
    return {"start": start, "team": team, "served": served}


def _horizon(asked: Problem) -> float:
    finite = asked.travel[np.isfinite(asked.travel)]
    longest = float(finite.max(initial=0.0))
    latest = max((task.earliest for task in asked.tasks), default=0.0)
    ready = max(team.ready for team in asked.teams)
    return max(latest, ready) + sum(task.duration for task in asked.tasks) + longest * (len(asked.tasks) + 1)


def _circuit(
    model: Any, asked: Problem, variables: dict[str, Any], nearest: int | None, always: set[tuple[int, int]]
) -> list[tuple[int, int, Any, float]]:
    """Add the circuit team → its tasks → next team, and the times along it; return arcs with travel times."""
    count, tasks = len(asked.teams), len(asked.tasks)
    start, team, served = variables["start"], variables["team"], variables["served"]
    arcs: list[tuple[int, int, Any, float]] = []
    for k in range(count):
        arcs.append((k, (k + 1) % count, model.new_bool_var(""), 0.0))
    for j, task in enumerate(asked.tasks):
        for k in np.flatnonzero(asked.able[:, j]).tolist():
            ride = float(asked.travel[k, count + j])
            if asked.teams[k].ready + ride > task.latest:
                continue
            literal = model.new_bool_var("")
            arcs.append((k, count + j, literal, ride))
            model.add(start[j] >= _tenths(asked.teams[k].ready + ride)).only_enforce_if(literal)
            model.add(team[j] == k).only_enforce_if(literal)
        for k in range(count):
            literal = model.new_bool_var("")
            arcs.append((count + j, (k + 1) % count, literal, 0.0))
            model.add(team[j] == k).only_enforce_if(literal)
            if np.isfinite(asked.teams[k].end):
                end = int((asked.teams[k].end - task.duration) * _SCALE)
                model.add(start[j] <= end).only_enforce_if(literal)
    for i in range(tasks):
        order = np.argsort(asked.travel[count + i, count:], kind="stable")
        kept = set(order[: nearest + 1].tolist()) if nearest is not None else set(range(tasks))
        for j in range(tasks):
            ride = float(asked.travel[count + i, count + j])
            too_late = asked.tasks[i].earliest + asked.tasks[i].duration + ride > asked.tasks[j].latest
            shared = bool((asked.able[:, i] & asked.able[:, j]).any())
            if i == j or not np.isfinite(ride) or too_late or not shared or (j not in kept and (i, j) not in always):
                continue
            literal = model.new_bool_var("")
            arcs.append((count + i, count + j, literal, ride))
            model.add(start[j] >= start[i] + _tenths(asked.tasks[i].duration + ride)).only_enforce_if(literal)
            model.add(team[i] == team[j]).only_enforce_if(literal)
    loops = [(count + j, count + j, ~served[j]) for j in range(tasks)]
    model.add_circuit([*((tail, head, literal) for tail, head, literal, _ in arcs), *loops])
    return arcs


def _tenths(seconds: float) -> int:
    return int(np.ceil(seconds * _SCALE - 1e-6))


def _goods(model: Any, asked: Problem, variables: dict[str, Any]) -> None:
    if not asked.demand.shape[1] or not asked.demand.any():
        return
    for k in range(len(asked.teams)):
        able = np.flatnonzero(asked.able[k]).tolist()
        takes = {}
        for j in able:
            takes[j] = model.new_bool_var("")
            model.add(variables["team"][j] != k).only_enforce_if(~takes[j], variables["served"][j])
        for g in range(asked.demand.shape[1]):
            load = sum(int(np.ceil(asked.demand[j, g] * 1000)) * takes[j] for j in able if asked.demand[j, g] > 0.0)
            if not isinstance(load, int):
                model.add(load <= int(asked.capacity[k, g] * 1000 + 1e-6))


def _objective(model: Any, asked: Problem, variables: dict[str, Any], arcs: list[tuple[int, int, Any, float]]) -> None:
    terms = []
    for j, task in enumerate(asked.tasks):
        weight = round(task.weight * 1000)
        late = variables["start"][j] - int(np.ceil(task.earliest * _SCALE))
        high = int(min(task.latest, _horizon(asked)) * _SCALE) - int(np.ceil(task.earliest * _SCALE))
        counted = model.new_int_var(0, max(0, high), "")
        model.add(counted >= late).only_enforce_if(variables["served"][j])
        terms.append(weight * counted)
        terms.append(round(float(asked.penalty[j]) * _SCALE * 1000) * ~variables["served"][j])
    cost = round(asked.per_second * 1000)
    terms.extend(cost * _tenths(ride) * literal for _, _, literal, ride in arcs if ride > 0.0)
    model.minimize(sum(terms))


def _hint(model: Any, asked: Problem, variables: dict[str, Any], hint: Sequence[Sequence[int]]) -> None:
    count = len(asked.teams)
    for k, tour in enumerate(hint):
        now, at = asked.teams[k].ready, k
        for j in tour:
            begin = max(now + float(asked.travel[at, count + j]), asked.tasks[j].earliest)
            model.add_hint(variables["served"][j], 1)
            model.add_hint(variables["team"][j], k)
            model.add_hint(variables["start"][j], _tenths(begin))
            now, at = begin + asked.tasks[j].duration, count + j

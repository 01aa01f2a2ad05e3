"""Insertion and ruin-and-recreate over rounds of teams, compiled.

Ruin and recreate after Christiaens & Vanden Berghe, "Slack induction by string removals for vehicle routing problems",
Transp. Sci. 54, 2020: tasks near each other are taken out of their rounds and put back where they cost least, now and
then blind to the best place, and the result is kept by simulated annealing.
"""

from __future__ import annotations

import numba
import numpy as np

_STRING = 8
"""Tasks taken out of a round at most."""
_TAKEN = 10
"""Tasks taken out in one turn on average."""
_BLINK = 0.02
"""How often the best place is not seen."""


@numba.njit(cache=True)
def cost_of(problem, team, tour, size, extra, place):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Return the cost of a team's round with task ``extra`` put in at ``place`` (-1: none), inf when it cannot be."""
    travel, ready, end, duration, earliest, latest, weight, per_second = problem
    teams = ready.shape[0]
    at, now, cost = team, ready[team], 0.0
    count = size + 1 if extra >= 0 else size
    for k in range(count):
        task = tour[k]
        if extra >= 0 and k >= place:
            task = extra if k == place else tour[k - 1]
        ride = travel[at, teams + task]
        start = max(now + ride, earliest[task])
        if start > latest[task]:
            return np.inf
        cost += weight[task] * (start - earliest[task]) + per_second * ride
        now = start + duration[task]
        at = teams + task
    return cost if now <= end[team] else np.inf


@numba.njit(cache=True)
def _fits(free, demand, team, task):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    fits = True
    for g in range(demand.shape[1]):
        fits = fits and demand[task, g] <= free[team, g] + 1e-9
    return fits


@numba.njit(cache=True)
def _best_place(problem, able, demand, solution, task, blink):  # type: ignore[no-untyped-def]  # compiled
    """Return the team and place that cost least more, and by how much (inf: none)."""
    tours, sizes, costs, free = solution
    travel, ready, _, _, earliest, latest, weight, _ = problem
    best, best_team, best_place = np.inf, -1, -1
    teams = ready.shape[0]
    for team in range(teams):
        if not able[team, task] or sizes[team] == tours.shape[1] or not _fits(free, demand, team, task):
            continue
        soonest = max(ready[team], 0.0)
        if sizes[team] == 0:
            soonest += travel[team, teams + task]
        if soonest > latest[task] or weight[task] * max(soonest - earliest[task], 0.0) >= best:
            continue
        for place in range(sizes[team] + 1):
            if blink > 0.0 and np.random.random() < blink:
                continue
            more = cost_of(problem, team, tours[team], sizes[team], task, place) - costs[team]
            if more < best:
                best, best_team, best_place = more, team, place
    return best, best_team, best_place


@numba.njit(cache=True)
def _put(problem, demand, solution, where, task, team, place):  # type: ignore[no-untyped-def]  # compiled
    tours, sizes, costs, free = solution
    for k in range(sizes[team], place, -1):
        tours[team, k] = tours[team, k - 1]
    tours[team, place] = task
    sizes[team] += 1
    where[task] = team
    free[team] -= demand[task]
    costs[team] = cost_of(problem, team, tours[team], sizes[team], -1, 0)


@numba.njit(cache=True)
def _take(problem, demand, solution, where, task):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    tours, sizes, costs, free = solution
    team = where[task]
    place = 0
    while tours[team, place] != task:
        place += 1
    for k in range(place, sizes[team] - 1):
        tours[team, k] = tours[team, k + 1]
    sizes[team] -= 1
    where[task] = -1
    free[team] += demand[task]
    costs[team] = cost_of(problem, team, tours[team], sizes[team], -1, 0)


@numba.njit(cache=True)
def _fill(problem, able, demand, solution, where, order, blink):  # type: ignore[no-untyped-def]  # compiled
    for task in order:
        if where[task] < 0:
            _, team, place = _best_place(problem, able, demand, solution, task, blink)
            if team >= 0:
                _put(problem, demand, solution, where, task, team, place)


@numba.njit(cache=True)
def _ruin(problem, demand, solution, where, near):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Take strings of tasks near a random one out of their rounds; return those now without a team."""
    tours, sizes = solution[0], solution[1]
    tasks = where.shape[0]
    seed = np.random.randint(tasks)
    strings = 1 + np.random.randint(max(1, _TAKEN // 2))
    touched = np.full(strings, -1, dtype=np.int64)
    used = 0
    for j in range(near.shape[1]):
        task = near[seed, j]
        team = where[task]
        if team < 0 or (touched == team).any():
            continue
        length = min(1 + np.random.randint(_STRING), sizes[team])
        place = 0
        while tours[team, place] != task:
            place += 1
        begin = max(0, min(place - np.random.randint(length), sizes[team] - length))
        for _ in range(length):
            _take(problem, demand, solution, where, tours[team, begin])
        touched[used] = team
        used += 1
        if used == strings:
            break
    return np.flatnonzero(where < 0)


@numba.njit(cache=True)
def _ordered(problem, able, missing, how):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Return tasks in an order to put back: at random, heaviest first, tightest first, or those few can do first."""
    earliest, latest, weight = problem[4], problem[5], problem[6]
    key = np.random.random(missing.shape[0])
    for i in range(missing.shape[0]):
        if how == 1:
            key[i] = -weight[missing[i]]
        elif how == 2:
            key[i] = latest[missing[i]]
        elif how == 3:
            key[i] = earliest[missing[i]]
        elif how == 4:
            key[i] = able[:, missing[i]].sum()
    return missing[np.argsort(key)]


@numba.njit(cache=True)
def improve(problem, able, demand, capacity, penalty, near, most, turns, seed):  # type: ignore[no-untyped-def]  # compiled
    """Return the best rounds found: tours (teams, most), sizes, team of each task (-1: none), and the total cost.

    Args:
        problem: (travel (teams + tasks)², ready, end, duration, earliest, latest, weight, cost a second of travel).
        able: (teams, tasks) who may do what; demand: (tasks, goods); capacity: (teams, goods).
        penalty: cost of a task that nobody does, (tasks,).
        near: tasks by distance from each, (tasks, k).
        most: tasks of a team at most; turns: of ruin and recreate; seed: of the random numbers.
    """
    np.random.seed(seed)
    teams, tasks = able.shape
    tours, sizes, costs = np.zeros((teams, most), dtype=np.int64), np.zeros(teams, dtype=np.int64), np.zeros(teams)
    solution = (tours, sizes, costs, capacity.copy())
    where = np.full(tasks, -1, dtype=np.int64)
    _fill(problem, able, demand, solution, where, _ordered(problem, able, np.arange(tasks), 2), 0.0)
    now = costs.sum() + penalty[where < 0].sum()
    best = now
    best_tours, best_sizes, best_where = tours.copy(), sizes.copy(), where.copy()
    kept = (tours.copy(), sizes.copy(), costs.copy(), solution[3].copy(), where.copy())
    served = max(1, (where >= 0).sum())
    heat = 0.5 * costs.sum() / served
    for turn in range(turns):
        temperature = heat * 0.002 ** (turn / turns)
        missing = _ruin(problem, demand, solution, where, near)
        _fill(problem, able, demand, solution, where, _ordered(problem, able, missing, np.random.randint(5)), _BLINK)
        new = costs.sum() + penalty[where < 0].sum()
        if new < now - temperature * np.log(np.random.random()):
            now = new
            kept[0][:], kept[1][:], kept[2][:], kept[3][:], kept[4][:] = tours, sizes, costs, solution[3], where
            if new < best - 1e-9:
                best = new
                best_tours[:], best_sizes[:], best_where[:] = tours, sizes, where
        else:
            tours[:], sizes[:], costs[:], solution[3][:], where[:] = kept[0], kept[1], kept[2], kept[3], kept[4]
    return best_tours, best_sizes, best_where, best

"""Which team does which task when: skills, goods, travel times, windows; no task is dropped without its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.allocation import rounds
from anlan.science.allocation.roads import Remark

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TURNS = 20_000
"""Turns of ruin and recreate: about 0.7 s for 200 teams and 500 tasks."""
_MOST = 24
_NEAR = 60


@dataclass(frozen=True, slots=True)
class Team:
    """People or vehicles that go together.

    Attributes:
        id: of the team; skills: what it can do.
        carries: units by kind of goods.
        ready, end: first moment to start and last to be done, s.
    """

    id: str
    skills: frozenset[str] = frozenset()
    carries: tuple[tuple[str, float], ...] = ()
    ready: float = 0.0
    end: float = float("inf")


@dataclass(frozen=True, slots=True)
class Task:
    """Something to be done at a place.

    Attributes:
        id: of the task; skills: all of which its team must have.
        needs: units by kind of goods.
        duration: s; earliest, latest: first and last moment to begin, s.
        weight: importance: cost of a second that it begins after ``earliest``.
    """

    id: str
    skills: frozenset[str] = frozenset()
    needs: tuple[tuple[str, float], ...] = ()
    duration: float = 0.0
    earliest: float = 0.0
    latest: float = float("inf")
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Problem:
    """Teams, tasks and the travel times between them; made by ``problem``.

    Attributes:
        teams, tasks: they.
        travel: s between places, teams first, then tasks, shape (teams + tasks, teams + tasks); inf: no road.
        able: (teams, tasks) who may do what; demand: (tasks, goods); capacity: (teams, goods).
        per_second: cost of a second of travel; penalty: cost of each task that nobody does.
    """

    teams: tuple[Team, ...]
    tasks: tuple[Task, ...]
    travel: Floats
    able: Bools
    demand: Floats
    capacity: Floats
    per_second: float
    penalty: Floats

    @property
    def arrays(self) -> tuple[Floats | float, ...]:
        """What the compiled search takes."""
        teams, tasks = self.teams, self.tasks
        return (
            self.travel, np.array([one.ready for one in teams]), np.array([one.end for one in teams]),
            np.array([one.duration for one in tasks]), np.array([one.earliest for one in tasks]),
            np.array([one.latest for one in tasks]), np.array([one.weight for one in tasks]), float(self.per_second),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Visit:
    """One task of a round: number of the task, s of arriving, of beginning and of being done."""

    task: int
    arrive: float
    begin: float
    done: float


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Who does what.

    Attributes:
        problem: it; rounds: visits of each team, in order.
        unserved: a remark for each task that nobody does, with the next best.
        cost: weighted lateness, travel and penalties.
    """

    problem: Problem
    rounds: tuple[tuple[Visit, ...], ...]
    unserved: tuple[Remark, ...]
    cost: float


def problem(
    teams: Sequence[Team], tasks: Sequence[Task], travel: Floats, per_second: float = 0.1, unserved: float | None = None
) -> Problem:
    """Return a problem of dispatch.

    Args:
        teams, tasks: at least one team.
        travel: s between places, teams first, then tasks; inf: no road.
        per_second: cost of a second of travel.
        unserved: cost of a task of weight 1 that nobody does; None takes ten times the longest time of the problem.

    Raises:
        InvalidInputError: no team, an id twice, a number that cannot be, or a travel time missing.
    """
    count = len(teams) + len(tasks)
    if not teams:
        raise InvalidInputError("no team", where="teams", fix="at least one")
    if travel.shape != (count, count) or np.isnan(travel).any() or (travel < 0.0).any():
        raise InvalidInputError(
            f"travel times of shape {travel.shape}, or negative or missing ones", where="travel",
            fix=f"({count}, {count}), seconds, inf where no road leads",
        )  # fmt: skip
    _check(teams, tasks)
    goods = sorted(
        {name for one in teams for name, _ in one.carries} | {name for one in tasks for name, _ in one.needs}
    )
    demand, capacity = _goods([one.needs for one in tasks], goods), _goods([one.carries for one in teams], goods)
    able = np.array([[task.skills <= team.skills for task in tasks] for team in teams], dtype=np.bool_)
    able = able.reshape(len(teams), len(tasks))
    able &= np.isfinite(travel[: len(teams), len(teams) :])
    if unserved is None:
        finite = travel[np.isfinite(travel)]
        spans = [one.latest - one.earliest for one in tasks if np.isfinite(one.latest)]
        unserved = 10.0 * (
            float(finite.max(initial=0.0)) + max(spans, default=0.0) + sum(one.duration for one in tasks) + 60.0
        )
    return Problem(
        tuple(teams), tuple(tasks), np.ascontiguousarray(travel, dtype=np.float64), able, demand, capacity, per_second,
        unserved * np.array([max(one.weight, 1e-3) for one in tasks]),
    )  # fmt: skip


def _goods(amounts: Sequence[tuple[tuple[str, float], ...]], goods: list[str]) -> Floats:
    out = np.zeros((len(amounts), len(goods)))
    for row, pairs in enumerate(amounts):
        for name, amount in pairs:
            out[row, goods.index(name)] += amount
    return out


def _check(teams: Sequence[Team], tasks: Sequence[Task]) -> None:
    for what, found in (("teams", teams), ("tasks", tasks)):
        names = [one.id for one in found]
        twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
        if twice:
            raise InvalidInputError(f"{min(twice)} stands there twice", where=what, fix="an id of its own for each")
    for team in teams:
        if not (0.0 <= team.ready < np.inf and all(amount >= 0.0 for _, amount in team.carries)):
            raise InvalidInputError("ready or goods below 0", where=f"teams.{team.id}", fix="0 or more")
    for task in tasks:
        numbers = (task.duration, task.earliest, task.weight, *(amount for _, amount in task.needs))
        if not all(0.0 <= number < np.inf for number in numbers) or np.isnan(task.latest):
            raise InvalidInputError("a number below 0 or missing", where=f"tasks.{task.id}", fix="0 or more")


def solve(asked: Problem, turns: int = TURNS, seed: int = 0) -> Dispatch:
    """Return good rounds, fast: insertion, then ruin and recreate; the same seed gives the same rounds.

    Args:
        asked: the problem.
        turns: of ruin and recreate.
        seed: of the random numbers.
    """
    if not asked.tasks:
        return Dispatch(asked, tuple(() for _ in asked.teams), (), 0.0)
    count = len(asked.teams)
    between = asked.travel[count:, count:] + asked.travel[count:, count:].T
    near = np.argsort(between, axis=1, kind="stable")[:, : min(_NEAR, len(asked.tasks))]
    tours, sizes, _, _ = rounds.improve(
        asked.arrays, asked.able, asked.demand, asked.capacity, asked.penalty, np.ascontiguousarray(near),
        min(_MOST, len(asked.tasks)), turns, seed,
    )  # fmt: skip
    return from_rounds(asked, [tours[team, : sizes[team]].tolist() for team in range(count)])


def from_rounds(asked: Problem, tours: Sequence[Sequence[int]]) -> Dispatch:
    """Return the dispatch of rounds (task numbers of each team, in order), every rule checked.

    Raises:
        InvalidInputError: a round breaks a rule.
    """
    count, cost, visits = len(asked.teams), 0.0, []
    served: set[int] = set()
    for number, tour in enumerate(tours):
        team, now, at, visit = asked.teams[number], asked.teams[number].ready, number, []
        used = asked.demand[list(tour)].sum(axis=0)
        for task in tour:
            one = asked.tasks[task]
            ride = float(asked.travel[at, count + task])
            begin = max(now + ride, one.earliest)
            if not asked.able[number, task] or begin > one.latest + 1e-6 or task in served:
                raise InvalidInputError(
                    f"team {team.id} cannot do {one.id} so", where="rounds", fix="a round within all rules"
                )
            served.add(task)
            visit.append(Visit(task, now + ride, begin, begin + one.duration))
            cost += one.weight * (begin - one.earliest) + asked.per_second * ride
            now, at = begin + one.duration, count + task
        if (used > asked.capacity[number] + 1e-6).any() or (tour and now > team.end + 1e-6):
            raise InvalidInputError(
                f"team {team.id} carries or works too much", where="rounds", fix="a round within all rules"
            )
        visits.append(tuple(visit))
    missing = [task for task in range(len(asked.tasks)) if task not in served]
    cost += float(asked.penalty[missing].sum())
    ends = [visit[-1].done if visit else asked.teams[number].ready for number, visit in enumerate(visits)]
    return Dispatch(asked, tuple(visits), tuple(_why(asked, task, visits, ends) for task in missing), cost)


def _why(asked: Problem, task: int, visits: Sequence[tuple[Visit, ...]], ends: Sequence[float]) -> Remark:
    """Say why nobody does a task, and what the next best would be."""
    one, count = asked.tasks[task], len(asked.teams)
    where = f"tasks.{one.id}"
    if one.latest < one.earliest:
        return Remark(
            "impossible-window",
            where,
            f"its latest beginning, {one.latest:.0f} s, is before its earliest, {one.earliest:.0f} s",
            f"最晚开始{one.latest:.0f}秒早于最早开始{one.earliest:.0f}秒",
            "latest after earliest",
        )
    skilled = [number for number, team in enumerate(asked.teams) if one.skills <= team.skills]
    if not skilled:
        return _no_skill(asked, one, where)
    roads = [number for number in skilled if asked.able[number, task]]
    if not roads:
        return Remark(
            "disconnected", where, "no road leads there from any team with its skills",
            "具备技能的队伍均无道路可达", "open a road, or send a team from elsewhere",
        )  # fmt: skip
    loaded = [number for number in roads if (asked.demand[task] <= asked.capacity[number] + 1e-9).all()]
    if not loaded:
        return Remark(
            "no-goods", where, "no able team carries so much at once", "没有队伍能一次携带所需物资",
            "split the task, or load a team with more",
        )  # fmt: skip
    first = min(loaded, key=lambda number: asked.teams[number].ready + asked.travel[number, count + task])
    there = asked.teams[first].ready + float(asked.travel[first, count + task])
    name = asked.teams[first].id
    if there > one.latest or max(there, one.earliest) + one.duration > asked.teams[first].end:
        return Remark(
            "too-far",
            where,
            f"no able team can do it in time: the first, {name}, is there at {there:.0f} s",
            f"没有队伍能按时完成: 最快的{name}在{there:.0f}秒到达",
            f"a latest beginning of {there:.0f} s, or a nearer team",
        )
    return _busy(asked, task, loaded, visits, ends)


def _no_skill(asked: Problem, one: Task, where: str) -> Remark:
    nearest = max(asked.teams, key=lambda team: len(one.skills & team.skills))
    lacks = "、".join(sorted(one.skills - nearest.skills))
    return Remark(
        "no-skill", where, f"no team has all its skills; {nearest.id} comes nearest and lacks {lacks}",
        f"没有具备全部技能的队伍，{nearest.id}最接近，缺少{lacks}", f"a team with {', '.join(sorted(one.skills))}",
    )  # fmt: skip


def _busy(
    asked: Problem, task: int, able: Sequence[int], visits: Sequence[tuple[Visit, ...]], ends: Sequence[float]
) -> Remark:
    count = len(asked.teams)

    def free(number: int) -> float:
        at = count + visits[number][-1].task if visits[number] else number
        return ends[number] + float(asked.travel[at, count + task])

    best = min(able, key=free)
    name, when = asked.teams[best].id, free(best)
    return Remark(
        "all-busy",
        f"tasks.{asked.tasks[task].id}",
        f"all able teams are busy or out of goods; {name} could be there at {when:.0f} s at the earliest",
        f"有能力的队伍都在执行任务或物资用尽，{name}完成后最早{when:.0f}秒到达",
        "more teams or goods, or a later window",
    )

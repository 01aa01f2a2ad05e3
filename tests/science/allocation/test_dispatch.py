"""Dispatch: beside all orders by brute force and CP-SAT; every task not done has its reason."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.science.allocation.dispatch import Task, Team, from_rounds, problem, solve
from anlan.science.allocation.dispatch_exact import solve_exact
from anlan.science.allocation.roads import InvalidInputError

SKILLS = ("fire", "medic")


@st.composite
def problems(draw):
    who, what = draw(st.integers(1, 2)), draw(st.integers(1, 4))
    places = np.array([[draw(st.integers(0, 30)), draw(st.integers(0, 30))] for _ in range(who + what)], dtype=float)
    travel = np.abs(places[:, None] - places[None]).sum(axis=2)
    skills = st.sets(st.sampled_from(SKILLS), max_size=2).map(frozenset)
    teams = [
        Team(f"t{k}", draw(skills), (("foam", float(draw(st.integers(0, 3)))),), float(draw(st.integers(0, 9))), 150.0)
        for k in range(who)
    ]
    tasks = []
    for j in range(what):
        early = draw(st.integers(0, 30))
        tasks.append(
            Task(
                f"j{j}", draw(skills), (("foam", float(draw(st.integers(0, 2)))),), float(draw(st.integers(0, 20))),
                float(early), float(early + draw(st.integers(-5, 90))), float(draw(st.sampled_from([1, 3]))),
            )
        )  # fmt: skip
    return problem(teams, tasks, travel)


def by_brute_force(asked):
    """Return the least cost over all teams for each task and all orders."""
    teams, tasks = len(asked.teams), len(asked.tasks)
    best = np.inf
    for who in product(range(-1, teams), repeat=tasks):
        orders = [permutations([j for j in range(tasks) if who[j] == team]) for team in range(teams)]
        for tours in product(*(list(order) for order in orders)):
            try:
                best = min(best, from_rounds(asked, tours).cost)
            except InvalidInputError:
                continue
    return best


@given(problems())
@settings(max_examples=60)
def test_small_cases_are_solved_as_well_as_by_brute_force(asked):
    found = solve(asked, turns=400)
    assert found.cost == pytest.approx(by_brute_force(asked))
    done = [visit.task for visits in found.rounds for visit in visits]
    assert sorted([*(asked.tasks[task].id for task in done), *(one.where[6:] for one in found.unserved)]) == [
        task.id for task in asked.tasks
    ]
    assert all(one.en and one.zh and one.fix for one in found.unserved)
    for visit in (visit for visits in found.rounds for visit in visits):
        task = asked.tasks[visit.task]
        assert task.earliest <= visit.begin <= task.latest
        assert visit.begin >= visit.arrive


@given(problems())
@settings(max_examples=5)
def test_constraint_programming_agrees(asked):
    exact = solve_exact(asked, 60.0, workers=1)
    assert exact.optimal
    assert exact.dispatch.cost == pytest.approx(solve(asked, turns=400).cost, abs=0.3)


def medium(seed):
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.0, 5000.0, (20 + 50, 2))
    travel = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) / 12.0
    teams = [Team(f"t{k}", frozenset(rng.choice(["a", "b", "c"], 2, replace=False).tolist())) for k in range(20)]
    tasks = [
        Task(f"j{j}", frozenset([str(rng.choice(["a", "b", "c"]))]), duration=600.0, latest=7200.0) for j in range(50)
    ]
    return problem(teams, tasks, travel)


def test_search_betters_insertion_and_a_seed_gives_the_same_again():
    asked = medium(1)
    first, more, again = solve(asked, turns=0), solve(asked, turns=3000, seed=4), solve(asked, turns=3000, seed=4)
    assert more.cost < 0.95 * first.cost
    assert more == again
    assert more.unserved == ()


def test_each_reason_for_a_task_not_done_is_told_with_the_next_best():
    team = Team("t", frozenset(["fire"]), (("foam", 5.0),), 100.0)
    fire = frozenset(["fire"])
    tasks = [
        Task("skill", frozenset(["fire", "crane"])),
        Task("window", fire, earliest=50.0, latest=40.0),
        Task("goods", fire, (("foam", 9.0),)),
        Task("far", fire, latest=120.0),
        Task("island", fire),
        Task("long", fire, duration=500.0, latest=2000.0, weight=9.0),
        Task("busy", fire, latest=200.0, duration=500.0, weight=9.0),
    ]
    travel = np.full((8, 8), 60.0)
    travel[:, 5] = travel[5, :] = np.inf
    found = solve(problem([team], tasks, travel))
    reasons = {one.where: one for one in found.unserved}
    assert {where: one.code for where, one in reasons.items()} == {
        "tasks.skill": "no-skill",
        "tasks.window": "impossible-window",
        "tasks.goods": "no-goods",
        "tasks.far": "too-far",
        "tasks.island": "disconnected",
    }
    assert "lacks crane" in reasons["tasks.skill"].en
    assert "t, is there at 160 s" in reasons["tasks.far"].en
    assert [visit.task for visit in found.rounds[0]] == [6, 5]
    tight = solve(problem([team], [tasks[6], Task("other", fire, latest=200.0, duration=500.0)], np.full((3, 3), 60.0)))
    assert tight.unserved[0].code == "all-busy"
    assert "720 s" in tight.unserved[0].en


def test_faults_are_named():
    good = Team("t"), Task("j")
    for teams, tasks, travel, said in [
        ([], [good[1]], np.zeros((1, 1)), "no team"),
        ([good[0]], [good[1]], np.zeros((3, 3)), "shape"),
        ([good[0]], [good[1]], np.full((2, 2), np.nan), "missing"),
        ([good[0]] * 2, [], np.zeros((2, 2)), "twice"),
        ([good[0]], [Task("j", duration=-1.0)], np.zeros((2, 2)), "below 0"),
        ([Team("t", ready=-1.0)], [], np.zeros((1, 1)), "below 0"),
    ]:
        with pytest.raises(InvalidInputError, match=said):
            problem(teams, tasks, travel)
    with pytest.raises(InvalidInputError, match="cannot do"):
        from_rounds(problem([good[0]], [good[1]], np.zeros((2, 2))), [[0, 0]])
    assert solve(problem([good[0]], [], np.zeros((1, 1)))).rounds == ((),)

"""The root of a flood: found in simulated cascades whose true causes are known."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.core.time import SECOND
from anlan.warn.analytics.roots import fit_roots, rank_roots

LAW = {(0, 1): 0.9, (0, 2): 0.8, (1, 3): 0.9, (3, 4): 0.8}
KINDS = 8


def cascades(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return kinds, times (µs) and the true parent's row of every ringing of ``count`` cascades and of lone alarms."""
    chance = np.random.default_rng(seed)
    events: list[tuple[float, int, int]] = []  # time, kind, index of the parent in this list
    for at in range(count):
        events.append((at * 3000.0 + chance.uniform(0, 500), 0, -1))
        stack = [len(events) - 1]
        while stack:
            parent = stack.pop()
            for (source, target), share in LAW.items():
                if source == events[parent][1] and chance.random() < share:
                    events.append((events[parent][0] + chance.exponential(60), target, parent))
                    stack.append(len(events) - 1)
    events += [(chance.uniform(0, count * 3000.0), int(chance.integers(5, KINDS)), -1) for _ in range(count * 2)]
    order = np.argsort([time for time, _, _ in events], kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    parents = np.array([place[events[at][2]] if events[at][2] >= 0 else -1 for at in order])
    kinds = np.array([events[at][1] for at in order], np.int32)
    times = np.array([round(events[at][0] * SECOND) for at in order], np.int64)
    return kinds, times, parents


def test_the_causes_of_simulated_cascades_are_found() -> None:
    kinds, times, parents = cascades(60, 3)
    roots = fit_roots(kinds, times, KINDS)
    right = np.mean((roots.parent >= 0) == (parents >= 0))
    assert right > 0.9
    strongest = sorted(roots.alpha, key=lambda pair: -roots.alpha[pair])[:4]
    assert set(strongest) <= {*LAW, (0, 3), (1, 4), (0, 4)}
    assert roots.alpha[0, 1] == pytest.approx(0.9, abs=0.3)


def test_the_root_of_a_flood_ranks_first() -> None:
    kinds, times, parents = cascades(60, 4)
    roots = fit_roots(kinds, times, KINDS)
    hits = 0
    for row in np.flatnonzero((kinds == 0) & (parents < 0)):
        inside = np.flatnonzero((times >= times[row]) & (times < times[row] + 900 * SECOND)).astype(np.int64)
        ranked = rank_roots(roots, inside, kinds, np.full(KINDS, 3))
        assert sum(share for _, share in ranked) == pytest.approx(1.0)
        hits += ranked[0][0] == 0
    assert hits >= 54  # of 60: some cascades are the root alone, beside as many lone alarms


def test_what_the_hierarchy_forbids_is_no_cause() -> None:
    kinds, times, _ = cascades(30, 5)
    roots = fit_roots(kinds, times, KINDS, allowed=lambda source, target: (source, target) != (0, 1))
    assert (0, 1) not in roots.alpha


def test_nothing_rang() -> None:
    roots = fit_roots(np.empty(0, np.int32), np.empty(0, np.int64), 3)
    assert rank_roots(roots, np.empty(0, np.int64), np.empty(0, np.int32), np.full(3, 4)) == []

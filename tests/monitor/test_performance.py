"""Alarm performance equals a brute-force count."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import InvalidInputError
from anlan.core.time import HOUR, MINUTE, SECOND
from anlan.monitor.machine import ARROWS, Arrow
from anlan.monitor.performance import Performance, Transitions, compute, targets

Row = tuple[int, int, Arrow, bool, int]
START = 1_764_000_000 * SECOND
SPAN = 60 * HOUR
RINGING = (Arrow.RAISE, Arrow.REALARM, Arrow.ANNOUNCE)


def columns(rows: list[Row], alarms: int = 4) -> Transitions:
    rows = sorted(rows, key=lambda row: row[0])
    names = tuple(f"e/a/u/p.{n}" for n in range(alarms))
    return Transitions(
        np.array([START + row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int32),
        np.array([ARROWS.index(row[2]) for row in rows], np.uint8),
        np.array([row[3] for row in rows], bool),
        np.array([row[4] for row in rows], np.uint8),
        names,
        tuple("board-a" if n % 2 == 0 else "" for n in range(alarms)),
    )


def brute_floods(times: list[int]) -> list[tuple[int, int]]:
    """Walk alarm by alarm with a ten-minute window."""
    floods: list[tuple[int, int]] = []
    began: int | None = None
    window: list[int] = []
    for time in [*times, 1 << 62]:
        while (began is not None and len(window) < 5) or (window and window[0] <= time - 10 * MINUTE):
            if began is not None and len(window) >= 5 and len(window) - 1 < 5:
                floods.append((began, window[0] + 10 * MINUTE))
                began = None
            window.pop(0)
        window.append(time)
        if began is None and len(window) > 10:
            began = time
    return floods


def brute_chattering(per_alarm: dict[int, list[int]]) -> set[str]:
    found = set()
    for alarm, times in per_alarm.items():
        runs = [1 / max((b - a) / SECOND, 1) for a, b in itertools.pairwise(times)]
        close = any(c - a <= MINUTE for a, c in zip(times, times[2:], strict=False))
        if close or (len(times) >= 3 and statistics.fmean(runs) >= 0.05):
            found.add(f"e/a/u/p.{alarm}")
    return found


def brute_standing(rows: list[Row], end: int) -> dict[str, float]:
    standing: dict[int, int] = {}
    open_: list[tuple[int, int]] = []
    for time, alarm, arrow, _, _ in rows:
        if arrow == Arrow.RAISE:
            open_.append((alarm, time))
        if arrow in (Arrow.CLEAR, Arrow.REMOVE):
            for item in [item for item in open_ if item[0] == alarm]:
                standing[alarm] = max(standing.get(alarm, 0), time - item[1])
                open_.remove(item)
    for alarm, begin in open_:
        standing[alarm] = max(standing.get(alarm, 0), end - begin)
    return {f"e/a/u/p.{n}": span / SECOND for n, span in standing.items() if span > 24 * HOUR}


def brute_answers(rows: list[Row]) -> tuple[dict[str, int], list[int]]:
    """Fleeting alarms and waits for an acknowledgement, walking through the rows alarm by alarm."""
    fleeting: Counter[str] = Counter()
    waits: list[int] = []
    for alarm in {row[1] for row in rows}:
        rang = raised = acknowledged = -1
        mine = [row for row in rows if row[1] == alarm]
        for at, (time, _, arrow, rung, _) in enumerate(mine):
            if arrow == Arrow.RAISE:
                raised = at
            if arrow in RINGING and rung:
                rang = at
            if arrow == Arrow.ACKNOWLEDGE:
                acknowledged = at
                waits += [time - mine[rang][0]] if rang >= 0 else []
            short = arrow == Arrow.CLEAR and rang >= raised >= 0 and time - mine[rang][0] <= 10 * SECOND
            if short and acknowledged < rang:
                fleeting[f"e/a/u/p.{alarm}"] += 1
    return dict(fleeting), waits


def brute(rows: list[Row], end: int) -> dict[str, object]:
    rows = sorted(rows, key=lambda row: row[0])
    rings = [row for row in rows if row[2] in RINGING and row[3]]
    per_alarm: dict[int, list[int]] = defaultdict(list)
    for row in rings:
        per_alarm[row[1]].append(row[0])
    fleeting, waits = brute_answers(rows)
    windows = Counter(row[0] // (10 * MINUTE) for row in rings)
    return {
        "total": len(rings),
        "top": sorted(((f"e/a/u/p.{n}", len(times)) for n, times in per_alarm.items()), key=lambda i: (-i[1], i[0])),
        "rate": [windows.get(at, 0) for at in range(-(-end // (10 * MINUTE)))],
        "chattering": brute_chattering(per_alarm),
        "fleeting": fleeting,
        "stale": brute_standing(rows, end),
        "split": tuple(Counter(row[4] for row in rings)[n] for n in (1, 2, 3, 4)),
        "acknowledged": len(waits),
        "ack_median": statistics.median(waits) / SECOND if waits else None,
        "floods": brute_floods([row[0] for row in rings]),
    }


def same(performance: Performance, expected: dict[str, object]) -> None:
    assert performance.total == expected["total"]
    assert list(performance.top) == expected["top"]
    assert [count for _, count in performance.rate] == expected["rate"]
    assert {alarm for alarm, _ in performance.chattering} == expected["chattering"]
    assert dict(performance.fleeting) == expected["fleeting"]
    assert dict(performance.stale) == pytest.approx(expected["stale"])
    assert performance.split == expected["split"]
    assert performance.acknowledged == expected["acknowledged"]
    assert performance.ack_median == pytest.approx(expected["ack_median"])
    floods = [(begin - START, (end or START + SPAN) - START) for begin, end, _, _ in performance.floods]
    assert floods == [(begin, min(end, SPAN)) for begin, end in expected["floods"]]  # type: ignore[attr-defined]  # the oracle's own list


arrows = st.sampled_from(
    [Arrow.RAISE, Arrow.RAISE, Arrow.CLEAR, Arrow.ACKNOWLEDGE, Arrow.REALARM, Arrow.ANNOUNCE, Arrow.REMOVE]
)
gaps = st.sampled_from([0, 1, 3, 15, 25, 50, 119, 120, 500, 3600, 50_000])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(gaps, st.integers(0, 3), arrows, st.booleans(), st.integers(1, 4)), max_size=80))
def test_all_figures_equal_a_brute_force_count(drawn: list[tuple[int, int, Arrow, bool, int]]) -> None:
    clock = 0
    rows: list[Row] = []
    for gap, alarm, arrow, rung, priority in drawn:
        clock += gap * SECOND
        rows.append((clock, alarm, arrow, rung, priority))
    rows = [row for row in rows if row[0] < SPAN]
    same(compute(columns(rows), START, START + SPAN), brute(rows, SPAN))


def test_a_position_counts_its_own_alarms_only() -> None:
    rows: list[Row] = [(n * SECOND, n % 4, Arrow.RAISE, True, 2) for n in range(20)]
    performance = compute(columns(rows), START, START + HOUR, "board-a")
    assert performance.total == 10
    assert performance.positions == ("", "board-a")
    assert {alarm for alarm, _ in performance.top} == {"e/a/u/p.0", "e/a/u/p.2"}


def test_what_stood_before_the_period_is_stale_but_not_counted() -> None:
    rows: list[Row] = [(0, 0, Arrow.RAISE, True, 1)]
    performance = compute(columns(rows), START + HOUR, START + 40 * HOUR)
    assert performance.total == 0
    assert performance.stale == (("e/a/u/p.0", 40 * 3600.0),)


def test_a_quiet_and_an_empty_period_have_figures() -> None:
    performance = compute(columns([]), START, START + HOUR)
    assert (performance.total, performance.grade, performance.ack_median) == (0, "predictive", None)
    assert all(figure.good for figure in performance.figures.values())
    with pytest.raises(InvalidInputError, match="ends before"):
        compute(columns([]), START, START)


def test_a_flood_is_told_with_its_peak() -> None:
    rows: list[Row] = [(n * 10 * SECOND, n % 4, Arrow.RAISE, True, 3) for n in range(100)]
    performance = compute(columns(rows), START, START + HOUR)
    begin, end, alarms, peak = performance.floods[0]
    assert (begin - START, alarms, peak) == (100 * SECOND, 100, 60)
    assert end == START + 950 * SECOND + 10 * MINUTE
    assert not performance.figures["flood_share"].tolerable
    assert performance.grade == "reactive"


def test_every_target_has_a_source() -> None:
    document = targets()
    entries = [*document["rules"].values(), *document["targets"].values(), document["priority_split"]]
    assert all(entry["source"] and entry["unit"] for entry in entries)

"""Floods from transitions, and proposals judged by the alarm engine on a noisy signal."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.core.batch import SampleBatch
from anlan.core.errors import NotFoundError
from anlan.core.time import MINUTE, SECOND
from anlan.monitor.machine import ARROWS, Arrow
from anlan.monitor.performance import Transitions
from anlan.monitor.trial import Trial
from anlan.plant.model import AlarmDefinition, Plant, Point, SiteInfo
from anlan.warn.analytics.engine import FloodHistory, noisiest
from anlan.warn.analytics.proposals import Record, candidates, judge, noise_of, standings
from anlan.warn.model import Proposal

BEGIN = 1_790_000_000_000_000
RAISE = ARROWS.index(Arrow.RAISE)


def transitions(rows: list[tuple[int, str]]) -> Transitions:
    rows = sorted(rows)
    alarms = tuple(sorted({alarm for _, alarm in rows}))
    return Transitions(
        np.array([time for time, _ in rows], np.int64),
        np.array([alarms.index(alarm) for _, alarm in rows], np.int32),
        np.full(len(rows), RAISE, np.uint8),
        np.ones(len(rows), bool),
        np.full(len(rows), 2, np.uint8),
        alarms,
        tuple("east" for _ in alarms),
    )


def cascade(start: int, order: list[int], area: str = "e/a") -> list[tuple[int, str]]:
    return [(start + at * 20 * SECOND, f"{area}/u{number}/p.H") for at, number in enumerate(order)]


def test_a_flood_is_found_with_its_likes_and_its_root() -> None:
    day = 86_400 * SECOND
    rows = [row for at in range(6) for row in cascade(BEGIN + at * day, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])]
    rows += cascade(BEGIN + 10 * day, [20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31])
    history = FloodHistory(transitions(rows))
    found = history.rows(10)
    assert [row.start for row in found] == sorted((row.start for row in found), reverse=True)
    assert len(found) == 7
    assert {row.alarms for row in found} == {12}
    lone, *likes = found
    assert lone.likeness == 0.0
    assert all(row.likeness == pytest.approx(1.0) for row in likes)
    detail = history.detail(likes[0].id)
    assert detail.row.root == "e/a/u0/p.H"
    assert [alarm for alarm, _ in detail.sequence][:2] == ["e/a/u0/p.H", "e/a/u1/p.H"]
    assert len(detail.similar) == 5
    with pytest.raises(NotFoundError, match="no flood"):
        history.detail("east@1")


def test_no_alarms_no_floods() -> None:
    assert FloodHistory(transitions([])).rows(5) == ()


def plant(definition: AlarmDefinition) -> Plant:
    return Plant(SiteInfo("s", "s"), points=(Point(1, "e/a/u/p", "pressure", "MPa"),), alarms=(definition,))


def signal(seed: int) -> SampleBatch:
    """Return three hours at 1 Hz: an hour of noise just below the limit, ten minutes truly above it, then noise."""
    chance = np.random.default_rng(seed)
    level = np.full(10_800, 1.66)
    level[3600:4200] = 1.9
    value = level + chance.normal(0, 0.02, len(level))
    time = BEGIN + np.arange(len(level), dtype=np.int64) * SECOND
    return SampleBatch(np.ones(len(level), np.int32), time, value, np.zeros(len(level), np.uint8))


def propose(definition: AlarmDefinition, batch: SampleBatch) -> Proposal | None:
    end = int(batch.time[-1]) + MINUTE
    tried = candidates(definition, noise_of(batch.value))
    trial = Trial(plant(definition), (definition, *(item.definition for item in tried)), BEGIN - MINUTE, end)
    trial.feed(batch)
    result = trial.result()
    after = {id_: standings(times, result.cleared[id_], end) for id_, times in result.times.items()}
    return judge(definition, after[definition.id], tried, after, "MPa")


def test_a_chattering_alarm_gets_the_smallest_change_that_misses_nothing() -> None:
    definition = AlarmDefinition("e/a/u/p.H", 1, "H", 2, limit=1.7, time_to_act=10 * MINUTE)
    proposal = propose(definition, signal(1))
    assert proposal is not None
    assert proposal.raised > 50
    assert proposal.would_raise < 0.7 * proposal.raised
    assert proposal.missed == 0
    assert proposal.new > (proposal.old or 0.0)
    assert str(proposal.would_raise) in proposal.reason_zh
    assert str(proposal.would_raise) in proposal.reason


def test_a_quiet_alarm_gets_no_proposal() -> None:
    definition = AlarmDefinition("e/a/u/p.H", 1, "H", 2, limit=1.8, deadband=0.1)
    assert propose(definition, signal(2)) is None


def test_the_noise_of_a_signal_is_its_spread_not_its_drift() -> None:
    batch = signal(3)
    assert noise_of(batch.value) == pytest.approx(0.02, rel=0.1)
    assert np.isnan(noise_of(batch.value[:5]))


def test_the_noisiest_come_first() -> None:
    rows = [(BEGIN + at * SECOND, "e/a/u/p.H") for at in range(5)] + [(BEGIN + at, "e/a/u/q.H") for at in range(9)]
    assert noisiest(transitions([*rows, (BEGIN, "e/a/u/r.H")]), 5) == ["e/a/u/q.H", "e/a/u/p.H"]


def test_a_true_alarm_that_would_be_missed_forbids_the_change() -> None:
    definition = AlarmDefinition("e/a/u/p.H", 1, "H", 2, limit=1.7)
    tried = candidates(definition, float("nan"))
    begin = np.arange(6, dtype=np.int64) * 10 * MINUTE
    before = Record(begin, begin + np.array([1, 1, 1, 1, 1, 90]) * SECOND)
    deaf = {item.definition.id: Record(begin[:1], begin[:1] + SECOND) for item in tried}
    assert judge(definition, before, tried, deaf, "MPa") is None
    late = {item.definition.id: Record(begin[5:] + 5 * SECOND, begin[5:] + 90 * SECOND) for item in tried}
    proposal = judge(definition, before, tried, late, "MPa")
    assert proposal is not None
    assert (proposal.field, proposal.missed, proposal.delay, proposal.would_raise) == ("on_delay", 0, 5 * SECOND, 1)

"""Faults that are no kills, on a whole node: nothing acknowledged is lost, alarms go on, health says what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import faults

from anlan.core import log
from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.errors import UnavailableError
from anlan.core.events import Event
from anlan.core.time import HOUR, SECOND
from anlan.monitor.engine import Engine
from anlan.plant.model import AlarmDefinition, Plant, Point, SiteInfo

START = 1_764_000_000 * SECOND


def nothing_lost(result: dict[str, Any]) -> None:
    assert result["ok"], result
    assert result["acked"] > 0
    assert (result["lost"], result["lost_of_load"], result["duplicated"], result["altered"]) == (0, 0, 0, 0)
    assert (result["events_missing"], result["events_extra"], result["events_twice"]) == (0, 0, 0)


@pytest.fixture
def small_disks_allowed(tmp_path: Path) -> None:
    try:
        with faults.small_disk(tmp_path / "probe", "1m"):
            pass
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("small_disks_allowed")
def test_a_full_disk_rings_provisionally_and_heals_by_itself(tmp_path: Path) -> None:
    result = asyncio.run(faults.disk_full(tmp_path, print, seconds=6))
    nothing_lost(result)
    assert result["provisional"] > 0
    assert result["provisional_after_kill_s"] > 0
    assert "the log refuses" in result["health"]["gateway"]
    assert "provisional" in result["health"]["alarms"]
    assert result["restarts"]["fabric"] == 1


def test_garbage_on_every_listener_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    result = asyncio.run(faults.garbage(tmp_path, print, rounds=1))
    nothing_lost(result)
    assert result["acked_meanwhile"] > 0
    assert result["dead"]["chaos-load"] >= 10
    assert result["dead"]["station"] > 0
    assert result["deaf"] == []
    assert result["restarts"] == {}


def test_cut_lines_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    result = asyncio.run(faults.cut_lines(tmp_path, print, cuts=7))
    nothing_lost(result)
    assert result["park"]["stored"] > 0
    assert (result["park"]["lost"], result["park"]["duplicated"], result["park"]["altered"]) == (0, 0, 0)
    assert result["connectors_lost"] >= 4


# --- a clock that jumps ----------------------------------------------------------------------------------------------

POINT = Point(1, "e/a/u/p", "level", "m", stale_after=20 * SECOND)
ALARMS = (
    AlarmDefinition("e/a/u/p.H", 1, "H", 1, limit=10.0, on_delay=5 * SECOND),
    AlarmDefinition("e/a/u/p.stale", 1, "stale", 3),
)


class Run:
    """An engine fed with samples and ticks; ``real`` is the time that passes, whatever the node's clock says."""

    def __init__(self) -> None:
        self.engine = Engine(Plant(SiteInfo("s", "s"), points=(POINT,), alarms=ALARMS), "test")
        self.sequence = 0
        self.real = 0.0
        self.shift = 0

    def sample(self, value: float) -> list[Event]:
        self.sequence += 1
        now = START + round(self.real * SECOND)
        batch = SampleBatch(np.array([1], np.int32), np.array([now]), np.array([value]), np.zeros(1, np.uint8))
        return self.engine.samples(batch, BatchHeader("test", now + self.shift), self.sequence)

    def ticks(self, seconds: float) -> list[tuple[str, float]]:
        """Let time pass in ticks of 100 ms; return what was told with the real time at which it was."""
        told = []
        for _ in range(round(seconds * 10)):
            self.sequence += 1
            self.real = round(self.real + 0.1, 1)
            tick = log.Tick(START + round(self.real * SECOND) + self.shift, SECOND // 10)
            told += [(event.subject, self.real) for event in self.engine.tick(tick, self.sequence)]
        return told


@pytest.mark.parametrize("jump", [[HOUR], [-HOUR], [HOUR, 0], [-HOUR, 0], [HOUR, -HOUR, 0]])
def test_a_jump_of_the_clock_fires_no_delay_early_and_no_stale_alarm(jump: list[int]) -> None:
    run = Run()
    run.ticks(1)
    assert run.sample(12.0) == []
    told = run.ticks(1)
    for shift in jump:
        run.shift = shift
        told += run.ticks(1)
    told += run.ticks(7)
    assert [subject for subject, _ in told] == ["e/a/u/p.H"]
    assert told[0][1] == pytest.approx(6.0, abs=0.11 * (len(jump) + 1))


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_after_a_jump_a_silent_point_still_goes_stale_in_its_time(jump: int) -> None:
    run = Run()
    run.ticks(1)
    run.sample(1.0)
    run.ticks(1)
    run.shift = jump
    told = run.ticks(25)
    assert [subject for subject, _ in told] == ["e/a/u/p.stale"]
    assert told[0][1] == pytest.approx(21.0, abs=1.1)


def test_a_pause_of_the_writer_is_time_that_passed() -> None:
    run = Run()
    run.ticks(1)
    run.sample(12.0)
    run.ticks(1)
    late = log.Tick(START + 60 * SECOND)
    assert [event.time for event in run.engine.tick(late, run.sequence + 1)] == [START + 6 * SECOND]


def test_on_a_live_node_ticks_of_a_jumping_clock_change_nothing_but_themselves(tmp_path: Path) -> None:
    result = asyncio.run(faults.clock_jump(tmp_path, print))
    nothing_lost(result)
    assert result["jumps"] > 0
    assert (result["stale"], result["early"]) == ([], [])

"""A loaded node loses nothing it acknowledged and rings nothing twice while its parts are killed."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.chaos import Chaos, _is_well
from benchmarks.chaos_account import compare_acked, read_log

from anlan.core import log
from anlan.core.batch import BatchHeader, SampleBatch, encode
from anlan.store.fabric.client import Fabric
from tests.conftest import FabricProcess


def test_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    lines: list[str] = []
    chaos = Chaos(tmp_path, kills=3, seed=5, quick=True, progress=lines.append, park=False)
    result = asyncio.run(chaos.run())
    assert result["ok"], result
    assert result["kills"]["total"] == 3
    assert result["long_downtimes"] == 1
    assert result["acked"]["load"] > 1000
    assert result["stored"] >= result["acked"]["load"]
    assert result["commands"] > 0
    assert set(result["recovery_s"]) == {part for part, count in result["kills"].items() if count and part != "total"}


# --- the account itself can tell -------------------------------------------------------------------------------------

WELL: dict[str, Any] = {
    "lost": {"of_log": 0, "of_load": 0},
    "duplicated": {"of_log": 0},
    "altered": {"of_log": 0},
    "journal": {"missing": 0, "extra": 0, "twice": 0},
    **{f"events_{what}": 0 for what in ("missing", "extra", "twice", "changed", "by_repeats")},
    "extra": 0,
    "unacknowledged_at_end": 0,
    "supervisor_exits": [],
    "stored": 10,
    "events": 2,
    "acked": {"load": 10},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("lost", "of_log"), 1),
        (("lost", "of_load"), 1),
        (("duplicated", "of_log"), 1),
        (("altered", "of_log"), 1),
        (("journal", "twice"), 1),
        (("events_missing",), 1),
        (("events_extra",), 1),
        (("events_twice",), 1),
        (("events_by_repeats",), 1),
        (("unacknowledged_at_end",), 1),
        (("supervisor_exits",), [1]),
        (("stored",), 0),
        (("acked", "load"), 0),
    ],
)
def test_one_thing_wrong_is_not_well(path: tuple[str, ...], value: object) -> None:
    account = copy.deepcopy(WELL)
    assert _is_well(account)
    place: Any = account
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not _is_well(account)


async def test_the_log_tells_repeats_and_what_it_does_not_hold(fabric_process: FabricProcess) -> None:
    first = SampleBatch(np.array([1, 2], np.int32), np.array([10, 10]), np.array([0.1, 0.2]), np.zeros(2, np.uint8))
    second = SampleBatch(np.array([2, 1], np.int32), np.array([10, 11]), np.array([0.2, 0.3]), np.zeros(2, np.uint8))
    async with await Fabric.connect(fabric_process.settings, "runtime") as fabric:
        await fabric.ensure_streams()
        for received, batch in enumerate((first, second)):
            await fabric.jetstream.publish(log.SAMPLES, encode(batch, BatchHeader("test", received)))
        whole = await read_log(fabric)
    assert whole.copies.tolist() == [False, False, True, False]
    points, times = np.array([1, 2, 1, 1]), np.array([10, 10, 11, 12])
    assert compare_acked(whole, points, times, np.array([0.1, 0.2, 0.3, 0.4])) == 1
    assert compare_acked(whole, points[:2], times[:2], np.array([0.1, np.nextafter(0.2, 1)])) == 1

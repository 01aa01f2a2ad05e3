"""Group commit with a log in memory whose acknowledgements come late and in any order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from anlan.core.batch import SampleBatch, decode
from anlan.core.health import Health
from anlan.perceive import gateway as module
from anlan.perceive.appender import LogState
from anlan.perceive.buffer import Buffer
from anlan.perceive.engine import compile_points
from anlan.perceive.gateway import Gateway
from anlan.perceive.groups import Portion, Tally
from anlan.plant.model import Plant, Point, SiteInfo

PLANT = Plant(SiteInfo("t", "t"), points=tuple(Point(n, f"a/b/c/p{n}", "other", "") for n in range(1, 4)))
NOW = 1_800_000_000_000_000


class MemoryLog:
    """Takes appends, at most two at a time; acknowledges after as many turns of the loop as it is told."""

    def __init__(self, delays: list[int]) -> None:
        self.state = LogState.UP
        self.messages: list[bytes] = []
        self.ids: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.appended = self.refused = 0
        self._delays = delays

    async def append(self, _subject: str, payload: bytes, identity: str) -> int:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        number = len(self.messages)
        self.messages.append(payload)
        self.ids.append(identity)
        for _ in range(self._delays[number % len(self._delays)]):
            await asyncio.sleep(0)
        self.in_flight -= 1
        return number + 1


def samples(first: int, numbers: list[int]) -> SampleBatch:
    count = len(numbers)
    values = np.arange(first, first + count, dtype=np.float64)
    return SampleBatch(np.array(numbers, np.int32), np.full(count, NOW), values, np.zeros(count, np.uint8))


steps = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.sampled_from([1, 2, 3, 9]), max_size=4), st.integers(0, 3)), max_size=40
)


@given(steps, st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 5))
@rules(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_sample_is_appended_once_and_settled_in_order(
    tmp_path: Path, sent: list[tuple[int, list[int], int]], delays: list[int], packs: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PACKS", packs)
        asyncio.run(check(tmp_path, sent, delays))


async def check(folder: Path, sent: list[tuple[int, list[int], int]], delays: list[int]) -> None:
    fabric: Any = SimpleNamespace(settings=SimpleNamespace(node="n"), client=None)
    gateway = Gateway(fabric, Health("gateway"), compile_points(PLANT, "r"), Buffer(folder / "buffer"))
    memory = MemoryLog(delays)
    gateway.appender = memory  # type: ignore[assignment]  # the part under test stands before it
    tallies = [Tally(f"c{n}") for n in range(3)]
    settled: list[int] = []
    running = asyncio.create_task(gateway.run())
    serial, expected = 0, []
    for index, (connector, numbers, turns) in enumerate(sent):
        batch = samples(serial, numbers)
        expected += [
            value for value, number in zip(range(serial, serial + len(numbers)), numbers, strict=True) if number != 9
        ]
        serial += len(numbers)
        gateway.reserve(100)
        gateway._queue.append(
            Portion(tallies[connector], batch, NOW, 100, lambda _problem, index=index: settled.append(index))
        )
        gateway.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while len(settled) < len(sent):
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    decoded = [decode(message) for message in memory.messages]
    assert [value for batch, _ in decoded for value in batch.value.tolist()] == expected
    assert settled == list(range(len(sent)))
    assert all(sum(run.rows for run in header.runs) == len(batch) for batch, header in decoded)
    assert len(set(memory.ids)) == len(memory.ids)
    assert memory.most_in_flight <= 2
    assert gateway.held_bytes == 0
    rows = {tally.connector: 0 for tally in tallies}
    for _, header in decoded:
        for run in header.runs:
            rows[run.connector] += run.rows
    assert rows == {tally.connector: int(tally.counts[:3].sum()) for tally in tallies}

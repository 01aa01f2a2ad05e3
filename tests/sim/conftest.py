"""A park running on free loopback ports, and small peers for its devices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from anlan.sim.ports import Ports
from anlan.sim.service import run_park
from anlan.sim.upsets import Scenario


@dataclass
class Running:
    """A running park: its ports, its journal, and how to end it."""

    ports: Ports
    journal: Path
    finish: Callable[[], Awaitable[dict[str, Any]]]


@asynccontextmanager
async def running(folder: Path, *, ports: Ports | None = None, **more: Any) -> AsyncIterator[Running]:
    """Run a park without upsets until the block ends."""
    ports = ports or Ports.free()
    stop, ready = asyncio.Event(), asyncio.Event()
    more = {"scenario": Scenario.quiet(), "drain": 0.0} | more
    task = asyncio.ensure_future(run_park(ports, 1, 1.0, folder, stop, ready, **more))
    waiting = asyncio.ensure_future(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()

    async def finish() -> dict[str, Any]:
        stop.set()
        return await task

    try:
        yield Running(ports, folder, finish)
    finally:
        stop.set()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def journal_folder(tmp_path: Path) -> Path:
    """Where a test's park keeps its journal."""
    return tmp_path / "journal"

"""A full disk: inserts wait and are told, reads go on, and once there is room the same process stores everything."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.batch import BatchHeader, SampleBatch, encode
from anlan.core.time import now_us
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.log import LogWriter
from anlan.store.historian.client import HistorianClient
from anlan.store.historian.requests import SeriesKind, SeriesQuery
from tests.conftest import FabricProcess
from tests.store.historian.node import HistorianProcess
from tests.store.historian.test_service import T0, until

SIZE_MB = 80


@pytest.fixture
def small_disk(settings: Settings) -> Iterator[Path]:
    """A small tmpfs under the historian's directory."""
    folder = settings.directory("historian")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
async def client(settings: Settings, fabric_process: FabricProcess) -> AsyncIterator[Fabric]:
    fabric = await Fabric.connect(settings, "runtime")
    await fabric.ensure_streams()
    yield fabric
    await fabric.close()


def noise(part: int, rows: int = 50_000) -> SampleBatch:
    """Return rows that no codec packs."""
    rng = np.random.default_rng(part)
    time = T0 + (np.arange(rows) + part * rows) * 1000
    return SampleBatch(np.full(rows, 1, np.int32), time, rng.normal(size=rows), np.zeros(rows, np.uint8))


async def test_a_full_disk_holds_inserts_back_and_loses_nothing(
    settings: Settings, small_disk: Path, client: Fabric
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(os.urandom(56 << 20))
    process = HistorianProcess(settings)
    await process.ready()
    writer = LogWriter(client)
    parts = 80
    for part in range(parts):
        payload = encode(noise(part), BatchHeader("test", now_us()))
        sequence = await writer.append(log.SAMPLES, payload, f"n{part}")
    await process.wait_for("cannot be stored and wait in the log")
    historian = HistorianClient(client, SYSTEM)
    early = await historian.series(SeriesQuery(SeriesKind.RAW, (1,), T0, T0 + 1_000_000))
    assert early.num_rows == 1000
    assert (await historian.status()).behind > 0
    ballast.unlink()

    async def caught_up() -> bool:
        return (await historian.status()).mark >= sequence

    await until(caught_up)
    table = await historian.series(SeriesQuery(SeriesKind.RAW, (1,), T0, T0 + parts * 50_000_000))
    expected = np.concatenate([noise(part).value for part in range(parts)])
    assert np.array_equal(table["value"].to_numpy(), expected)
    assert process.process.poll() is None
    assert process.stop() == 0

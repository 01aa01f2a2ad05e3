"""A gateway that runs in the test's own loop against a real nats-server, and connectors made for tests."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

from anlan.core import log
from anlan.core.batch import BatchHeader, SampleBatch, decode
from anlan.core.health import Health
from anlan.core.time import now_us
from anlan.perceive import connector, service
from anlan.perceive.connectors import _mqtt_connection, mqtt
from anlan.perceive.service import GatewayService
from anlan.plant.model import ConnectorSpec, Plant, Point, SiteInfo, encode_plant, revision_of
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.log import LogMessage, LogReader
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _connectors_of_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the connectors in pyproject.toml, so that the tests need no installed metadata."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["entry-points"][connector.ENTRY_POINTS]
    found = tuple(EntryPoint(name, value, connector.ENTRY_POINTS) for name, value in declared.items())
    monkeypatch.setattr(connector, "entry_points", lambda group: found)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than in service, so that tests need not wait for the next second."""
    monkeypatch.setattr(service, "REPORT_S", 0.05)
    monkeypatch.setattr(mqtt, "LOOK_S", 0.05)
    monkeypatch.setattr(_mqtt_connection, "REFUSAL_DELAY_S", 0.05)


def make_plant(connectors: tuple[ConnectorSpec, ...], points: int = 10, **changes: Any) -> Plant:
    """Return a plant with points ``e/a/u/p1`` … numbered from 1."""
    numbered = tuple(Point(n, f"e/a/u/p{n}", "other", "") for n in range(1, points + 1))
    return Plant(site=SiteInfo("test", "试验"), points=numbered, connectors=connectors, **changes)


async def put_in_force(fabric: Fabric, plant: Plant) -> str:
    """Do what the works process does: store the plant and name its revision on the log."""
    document = encode_plant(plant)
    revision = revision_of(document)
    await fabric.put_config(revision, document)
    await fabric.jetstream.publish(log.CONFIG, log.encode(log.ConfigRecord(now_us(), revision)))
    return revision


@asynccontextmanager
async def running_gateway(
    settings: Settings, plant: Plant | None = None
) -> AsyncIterator[tuple[GatewayService, Health]]:
    """Run the gateway's service until the block ends."""
    async with await Fabric.connect(settings, "runtime") as fabric:
        await fabric.ensure_streams()
        if plant is not None:
            await put_in_force(fabric, plant)
    health = Health("gateway")
    stop = asyncio.Event()
    async with await Fabric.connect(settings, "gateway") as fabric:
        service = GatewayService(fabric, health)
        task = asyncio.create_task(service.run(stop))
        await until(lambda: health.ready or task.done())
        try:
            yield service, health
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)


async def until(condition: Callable[[], object], timeout: float = 20.0) -> None:
    """Return once ``condition`` holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)


async def read_log(settings: Settings, subject: str = log.SAMPLES) -> list[LogMessage]:
    """Return all records of a subject that the log holds."""
    async with await Fabric.connect(settings, "runtime") as fabric:
        reader = LogReader(fabric, start=1, subjects=[subject])
        messages: list[LogMessage] = []
        async with asyncio.timeout(30):
            async for batch in reader.batches(wait=0.3):
                messages += batch
                if not batch:
                    return messages
    return messages


async def stored(settings: Settings) -> tuple[SampleBatch, list[BatchHeader]]:
    """Return every sample of the log, in order, with the headers of the messages."""
    decoded = [decode(message.data) for message in await read_log(settings)]
    return SampleBatch.concatenate([batch for batch, _ in decoded]), [header for _, header in decoded]


def samples(points: list[int], values: list[float], start: int | None = None, quality: int = 0) -> SampleBatch:
    """Return samples one millisecond apart."""
    first = now_us() if start is None else start
    count = len(points)
    return SampleBatch(
        np.array(points, np.int32),
        first + 1_000 * np.arange(count, dtype=np.int64),
        np.array(values, np.float64),
        np.full(count, quality, np.uint8),
    )

"""A gateway at the edge beside the site's own, on one real fabric."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from anlan.core import log
from anlan.core.actor import SYSTEM, Actor
from anlan.core.errors import DecodeError, NotFoundError, UnavailableError
from anlan.core.health import Health
from anlan.core.time import now_us
from anlan.perceive import gateways, runner
from anlan.perceive.client import PerceiveClient
from anlan.perceive.model import RunAgain
from anlan.perceive.service import GatewayService
from anlan.plant.model import ConnectorSpec
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.log import LogReader
from tests.conftest import FabricProcess
from tests.perceive.conftest import make_plant, put_in_force, running_gateway, samples, stored, until
from tests.perceive.test_gateway import HandConnector


class PlacedConnector(HandConnector):
    """Registers itself with the node it runs at: while it moves it may run at both."""

    async def run(self) -> None:
        place = f"{self.context.spec.id}@{self.context.node}"
        self.running[place] = self.context
        self.started.append(place)
        try:
            await asyncio.Event().wait()
        finally:
            del self.running[place]


RUNNING = PlacedConnector.running

OWN = ConnectorSpec("own", "hand", map={"e/a/u/p1": "t1"})
EDGE = ConnectorSpec("far", "hand", map={"e/a/u/p2": "t2"}, gateway="edge-1")
PLANT = make_plant((OWN, EDGE))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    RUNNING.clear()
    PlacedConnector.started.clear()
    monkeypatch.setattr(runner, "load", lambda kind: (PlacedConnector.MANIFEST, PlacedConnector))
    monkeypatch.setattr(gateways, "SILENT_S", 0.5)
    monkeypatch.setattr(gateways, "LOOK_S", 0.05)


@asynccontextmanager
async def edge_gateway(settings: Settings, tmp_path: Path, password: str) -> AsyncIterator[Health]:
    """Run a gateway at the edge that reports its health as the runtime does."""
    url = f"nats://gateway:{password}@127.0.0.1:{settings.fabric_port}"
    there = replace(settings, data=tmp_path / "edge", node="edge-1", fabric=url, extra={"edge": "1"})
    health, stop = Health(there.process_name("gateway")), asyncio.Event()
    async with await Fabric.connect(there, "gateway") as fabric:

        async def report() -> None:
            while True:
                told = msgspec.json.encode(health.report(1, now_us()))
                await fabric.client.publish(f"{log.HEALTH}.{health.process}", told)
                await asyncio.sleep(0.05)

        reporting = asyncio.create_task(report())
        task = asyncio.create_task(GatewayService(fabric, health).run(stop))
        await until(lambda: health.ready or task.done())
        try:
            yield health
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)
            reporting.cancel()


async def connector_records(settings: Settings) -> list[tuple[str, bool]]:
    """Return what the log says of connectors lost and back."""
    async with await Fabric.connect(settings, "runtime") as fabric:
        reader = LogReader(fabric, start=1, subjects=[log.CONNECTOR])
        found: list[tuple[str, bool]] = []
        async for messages in reader.batches(wait=0.3):
            for message in messages:
                record = log.decode(message.subject, message.data)
                assert isinstance(record, log.ConnectorRecord)
                found.append((record.connector, record.up))
            if not messages:
                return found
    raise AssertionError


async def test_each_gateway_runs_its_own_connectors_and_one_answers_for_all(
    settings: Settings, fabric_process: FabricProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = settings.fabric_password("gateway")
    monkeypatch.setenv("ANLAN_FABRIC_PASSWORD_GATEWAY", password)
    async with running_gateway(settings, PLANT), edge_gateway(settings, tmp_path, password) as health:
        await until(lambda: set(RUNNING) == {"own@test", "far@edge-1"})
        assert sorted(PlacedConnector.started) == ["far@edge-1", "own@test"]
        assert set(health.details["connectors"]) == {"far"}  # type: ignore[call-overload]  # a mapping by connector
        for place, point in (("own@test", 1), ("far@edge-1", 2)):
            RUNNING[place].up()
            await RUNNING[place].emit(samples([point], [float(point)]))
        async with await Fabric.connect(settings, "runtime") as fabric:
            asked = PerceiveClient(fabric, SYSTEM)
            await until(lambda: health.counters.get("good") == 1)
            for _ in range(10):
                assert [status.id for status in await asked.connectors()] == ["own", "far"]
        batch, headers = await stored(settings)
    assert sorted(batch.point.tolist()) == [1, 2]
    assert sorted(header.node for header in headers) == ["edge-1", "test"]


async def test_connectors_of_a_silent_gateway_are_lost_once_and_back_once(
    settings: Settings, fabric_process: FabricProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = settings.fabric_password("gateway")
    monkeypatch.setenv("ANLAN_FABRIC_PASSWORD_GATEWAY", password)
    async with running_gateway(settings, PLANT), await Fabric.connect(settings, "runtime") as fabric:
        asked = PerceiveClient(fabric, SYSTEM)

        async def state() -> tuple[str, str]:
            far = next(status for status in await asked.connectors() if status.id == "far")
            return far.state, far.reason

        while (await state())[0] != "down":
            await asyncio.sleep(0.05)
        assert "edge-1 is silent" in (await state())[1]
        await asyncio.sleep(0.3)
        async with edge_gateway(settings, tmp_path, password):
            await until(lambda: "far@edge-1" in RUNNING)
            RUNNING["far@edge-1"].up()
            while (await state())[0] != "up":
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
        await asyncio.sleep(1.0)
        while (await state())[0] != "down":
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
    told = [up for name, up in await connector_records(settings) if name == "far"]
    # Its own gateway says that it is up as well: what counts is that every change is there, in order.
    assert [told[0], told[-1]] == [False, False]
    assert True in told
    assert told.count(False) == 2


async def test_a_dead_letter_of_the_edge_runs_again_at_the_edge(
    settings: Settings, fabric_process: FabricProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = settings.fabric_password("gateway")
    monkeypatch.setenv("ANLAN_FABRIC_PASSWORD_GATEWAY", password)
    async with running_gateway(settings, PLANT), await Fabric.connect(settings, "runtime") as fabric:
        asked = PerceiveClient(fabric, SYSTEM)
        async with edge_gateway(settings, tmp_path, password) as health:
            await until(lambda: "far@edge-1" in RUNNING)
            RUNNING["far@edge-1"].dead_letter(b"seven", DecodeError("no number"), source="press")
            RUNNING["far@edge-1"].dead_letter(b"eight", DecodeError("no number"), source="press")
            await until(lambda: health.counters.get("dead_letters") == 2)
            while (await asked.dead_letters()).kept < 2:
                await asyncio.sleep(0.05)
            assert (await asked.mend(1, b"7")).samples == 1
            request = RunAgain("far", b"9", "press")
            with pytest.raises(NotFoundError):
                await fabric.call("perceive.run-again.edge-1", request, Actor("nobody"), int)
        with pytest.raises(UnavailableError, match="does not answer"):
            await asked.mend(2, b"8")
        batch, headers = await stored(settings)
    assert batch.value.tolist() == [7.0]
    assert [header.node for header in headers] == ["edge-1"]


async def test_a_connector_may_change_its_gateway_while_both_run(
    settings: Settings, fabric_process: FabricProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = settings.fabric_password("gateway")
    monkeypatch.setenv("ANLAN_FABRIC_PASSWORD_GATEWAY", password)
    async with running_gateway(settings, PLANT), edge_gateway(settings, tmp_path, password):
        await until(lambda: set(RUNNING) == {"own@test", "far@edge-1"})
        moved = msgspec.structs.replace(EDGE, gateway="")
        async with await Fabric.connect(settings, "runtime") as fabric:
            await put_in_force(fabric, make_plant((OWN, moved)))
        await until(lambda: set(RUNNING) == {"own@test", "far@test"})

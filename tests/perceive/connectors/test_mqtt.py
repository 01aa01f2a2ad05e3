"""The MQTT listener with paho-mqtt as a peer, on real sockets against a real log."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from anlan.core.quality import Quality
from anlan.core.time import now_us
from anlan.plant.model import ConnectorSpec
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from tests.conftest import FabricProcess, free_port
from tests.perceive.conftest import make_plant, running_gateway, stored, until
from tests.perceive.peers import PahoDevice

SENML = {f"e/a/u/p{n}": f"senml:dev/m{n}" for n in range(1, 6)}


def listener(port: int, map_: dict[str, Any] | None = None, **options: Any) -> ConnectorSpec:
    return ConnectorSpec("edge", "mqtt", {"port": port, **options}, SENML if map_ is None else map_)


def senml(values: dict[str, float], time_s: float) -> bytes:
    records: list[dict[str, Any]] = [{"n": name, "v": value} for name, value in values.items()]
    records[0] |= {"bn": "dev/", "bt": time_s}
    return json.dumps(records).encode()


def status(health: Any) -> dict[str, Any]:
    found: dict[str, Any] = health.details.get("connectors", {}).get("edge", {})
    return found


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.mark.parametrize("version", [4, 5])
async def test_a_puback_means_that_the_log_has_the_samples(
    settings: Settings, fabric_process: FabricProcess, port: int, version: int
) -> None:
    start = now_us() // 1_000_000 - 1_000
    async with running_gateway(settings, make_plant((listener(port),))) as (_, health):
        await until(lambda: status(health).get("state") == "up")
        device = await PahoDevice(port, "d1", version=version).start()
        for n in range(300):
            device.send("plant/dev", senml({"m1": n, "m2": n + 0.5}, start + n))
        await until(lambda: device.acked == 300)
        batch, headers = await stored(settings)
        await device.stop()
    assert sorted(batch.value[batch.point == 1].tolist()) == list(range(300))
    assert sorted(batch.time[batch.point == 2].tolist()) == [(start + n) * 1_000_000 for n in range(300)]
    assert {run.connector for header in headers for run in header.runs} == {"edge"}

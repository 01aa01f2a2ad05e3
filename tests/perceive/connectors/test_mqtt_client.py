"""The MQTT client at a broker that is not ours (nats-server's MQTT) and at our own listener."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from anlan.core.time import now_us
from anlan.plant.model import ConnectorSpec
from anlan.settings import Settings
from anlan.store.fabric.server import binary
from tests.conftest import FabricProcess, free_port
from tests.perceive.conftest import make_plant, running_gateway, stored, until
from tests.perceive.peers import PahoDevice, make_certificate

START_S = now_us() // 1_000_000 - 500


class Broker:
    """A foreign broker: nats-server with an MQTT listener; may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "broker.conf"
        self._config.write_text(
            f'server_name: foreign\nlisten: "127.0.0.1:{free_port()}"\n'
            f'jetstream {{ store_dir: "{folder}/js" }}\nmqtt {{ listen: "127.0.0.1:{self.port}", ack_wait: "1s" }}\n'
            'authorization { user: "anlan", password: "sesame" }\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = subprocess.Popen([str(binary()), "--config", str(self._config)], stderr=subprocess.DEVNULL)
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[Broker]:
    folder.mkdir()
    running = Broker(folder)
    await running.start()
    try:
        yield running
    finally:
        running.kill()


def spec(port: int, **options: Any) -> ConnectorSpec:
    map_ = {"e/a/u/p1": "json:plant/a#v", "e/a/u/p2": {"topic": "plant/b", "field": "v"}}
    login = {"user": "anlan", "password": "broker"}
    return ConnectorSpec("cloud", "mqtt-client", {"url": f"mqtt://127.0.0.1:{port}", **login, **options}, map_)


@asynccontextmanager
async def taking(settings: Settings, folder: Path) -> AsyncIterator[tuple[Broker, Any]]:
    async with broker(folder / "b") as foreign:
        plant = make_plant((spec(foreign.port),))
        async with running_gateway(settings, plant) as (_, health):
            yield foreign, health


async def device(port: int) -> PahoDevice:
    peer = PahoDevice(port, "device")
    peer.client.username_pw_set("anlan", "sesame")
    return await peer.start()


def state(health: Any) -> str:
    found: str = health.details.get("connectors", {}).get("cloud", {}).get("state", "")
    return found


def payload(value: float) -> bytes:
    return json.dumps({"v": value, "ts": START_S + value}).encode()


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANLAN_SECRET_BROKER", "sesame")


async def test_takes_what_a_foreign_broker_has(
    settings: Settings, fabric_process: FabricProcess, tmp_path: Path
) -> None:
    async with taking(settings, tmp_path) as (foreign, health):
        await until(lambda: state(health) == "up")
        peer = await device(foreign.port)
        for n in range(50):
            peer.send("plant/a", payload(n))
            peer.send("plant/b", payload(n + 0.5), qos=0)
        await until(lambda: health.counters.get("samples", 0) >= 100)
        await peer.stop()
        batch, _ = await stored(settings)
    assert set(batch.value[batch.point == 1].tolist()) == set(range(50))
    assert sorted(batch.value[batch.point == 2].tolist()) == [n + 0.5 for n in range(50)]


async def test_the_broker_keeps_what_the_log_has_not_acknowledged(
    settings: Settings, fabric_process: FabricProcess, tmp_path: Path
) -> None:
    async with broker(tmp_path / "b") as foreign:
        plant = make_plant((spec(foreign.port),))
        async with running_gateway(settings, plant) as (_, health):
            await until(lambda: state(health) == "up")
            peer = await device(foreign.port)
            fabric_process.kill()
            for n in range(30):
                peer.send("plant/a", payload(n))
            await until(lambda: peer.acked == 30)
            await until(lambda: "log" in health.problems)
        await fabric_process.start_async()
        async with running_gateway(settings) as (_, health):
            await until(lambda: health.counters.get("samples", 0) >= 30)
            batch, _ = await stored(settings)
        await peer.stop()
    assert set(batch.value.tolist()) == set(range(30))


async def test_a_lost_broker_is_told_once_and_found_again(
    settings: Settings, fabric_process: FabricProcess, tmp_path: Path
) -> None:
    async with taking(settings, tmp_path) as (foreign, health):
        await until(lambda: state(health) == "up")
        foreign.kill()
        await until(lambda: state(health) == "down")
        await foreign.start()
        await until(lambda: state(health) == "up")
        peer = await device(foreign.port)
        peer.send("plant/a", payload(1))
        await until(lambda: health.counters.get("samples") == 1)
        await peer.stop()


async def test_a_wrong_password_is_named(settings: Settings, fabric_process: FabricProcess, tmp_path: Path) -> None:
    async with broker(tmp_path / "b") as foreign:
        plant = make_plant((spec(foreign.port, user="nobody"),))
        async with running_gateway(settings, plant) as (_, health):
            await until(lambda: state(health) == "down")
            assert "refuses with code" in health.details["connectors"]["cloud"]["reason"]  # type: ignore[index]  # builtins


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_listener_and_client_understand_each_other(
    settings: Settings, fabric_process: FabricProcess, version: str
) -> None:
    port = free_port()
    listener = ConnectorSpec("edge", "mqtt", {"port": port}, {"e/a/u/p3": "json:own/c#v"})
    client = ConnectorSpec(
        "cloud", "mqtt-client", {"url": f"127.0.0.1:{port}", "version": version}, {"e/a/u/p1": "json:plant/a#v"}
    )
    async with running_gateway(settings, make_plant((listener, client))) as (_, health):
        await until(lambda: state(health) == "up")
        peer = await PahoDevice(port, "device", version=5).start()
        peer.send("plant/a", payload(4))
        await until(lambda: health.counters.get("samples") == 1)
        await peer.stop()
        batch, headers = await stored(settings)
    assert batch.value.tolist() == [4.0]
    assert headers[0].runs[0].connector == "cloud"


async def test_it_connects_with_tls(settings: Settings, fabric_process: FabricProcess, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    port = free_port()
    tls = {"certificate": str(certificate), "key": str(key)}
    listener = ConnectorSpec("edge", "mqtt", {"port": port, "tls": tls}, {"e/a/u/p3": "json:c#v"})
    options = {"url": f"mqtts://127.0.0.1:{port}", "tls": {"ca": str(certificate)}}
    client = ConnectorSpec("cloud", "mqtt-client", options, {"e/a/u/p1": "json:plant/a#v"})
    strict = ConnectorSpec("strict", "mqtt-client", {**options, "tls": {}}, {"e/a/u/p1": "json:plant/a#v"})
    async with running_gateway(settings, make_plant((listener, client, strict))) as (_, health):
        await until(lambda: state(health) == "up")
        connectors: Any = health.details
        await until(lambda: "CERTIFICATE_VERIFY_FAILED" in connectors["connectors"]["strict"]["reason"])


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://x:99999"])
async def test_a_url_that_is_no_broker_is_named(settings: Settings, fabric_process: FabricProcess, url: str) -> None:
    client = ConnectorSpec("cloud", "mqtt-client", {"url": url}, {"e/a/u/p1": "json:plant/a#v"})
    async with running_gateway(settings, make_plant((client,))) as (_, health):
        await until(lambda: state(health) == "misconfigured")
        assert "is no broker" in health.problems["connector:cloud"]

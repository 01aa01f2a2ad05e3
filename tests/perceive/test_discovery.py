"""Discovery: guesses, scans of real servers and a real broker, and drafts that the site checker accepts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.publish as publish
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from typer.testing import CliRunner

from anlan.core.errors import AnlanError
from anlan.perceive import _discover_mqtt, discovery_cli
from anlan.perceive.discovery import guess, unit_of
from anlan.plant import site_file
from anlan.store.fabric.server import binary
from tests.conftest import free_port
from tests.perceive.connectors.opcua_plant import Plant


@pytest.mark.parametrize(
    ("name", "unit", "kind", "wanted_unit"),
    [
        ("PT-401", "", "pressure", "MPa"),
        ("PT401", "kPa", "pressure", "kPa"),
        ("PDT_12", "", "differential-pressure", "kPa"),
        ("TI401A", "degC", "temperature", "°C"),
        ("LIC_102", "mm", "level", "mm"),
        ("FT-3", "m3/h", "flow", "m³/h"),
        ("GT-0007", "", "combustible-gas", "%LEL"),
        ("AT-5", "ppm", "concentration", "ppm"),
        ("ZSO-3", "", "state", ""),
        ("LSHH-9", "", "state", ""),
        ("储罐液位", "", "level", "%"),
        ("H2S detector", "ppm", "toxic-gas", "ppm"),
        ("x17", "%RH", "humidity", "%RH"),
        ("BEFORE 3", "", "other", ""),
        ("something", "furlong", "other", "furlong"),
    ],
)
def test_kind_and_unit_are_guessed(name: str, unit: str, kind: str, wanted_unit: str) -> None:
    found = guess(name, unit=unit)
    assert (found.kind, found.unit) == (kind, wanted_unit)
    assert 0 < found.confidence < 1
    assert (found.confidence > 0.3) == (kind != "other")


@given(st.text(max_size=40), st.text(max_size=10))
def test_any_name_gets_a_guess(name: str, unit: str) -> None:
    assert 0 < guess(name, unit=unit).confidence <= 1
    assert unit_of("℃") == "°C"


def run(*arguments: str) -> tuple[int, Any]:
    app = typer.Typer()
    discovery_cli.register(app)
    result = CliRunner().invoke(app, ["discover", *arguments, "--json"])
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


def points_of(path: Path) -> dict[str, str]:
    """Check a draft and return the kind and unit of its points by path."""
    document, findings = site_file.check(path)
    assert [finding for finding in findings if finding.severity == "error"] == []
    assert document is not None
    return {placed.path: f"{placed.part.kind} {placed.part.unit or ''}".strip() for placed in document.points()}


@pytest.fixture(scope="module")
def opcua() -> Iterator[Plant]:
    made = Plant()
    made.start()
    yield made
    made.stop()


def test_opcua(opcua: Plant, tmp_path: Path) -> None:
    out = tmp_path / "draft.yaml"
    code, found = run("opcua", f"opc.tcp://127.0.0.1:{opcua.port}", "--out", str(out))
    assert code == 0
    tags = {tag["tag"]: tag for tag in found["tags"]}
    assert set(tags) == {"ns=2;s=PT401", "ns=2;s=TT401", "ns=2;s=XV401"}
    assert tags["ns=2;s=PT401"]["unit"] == "MPa"
    assert points_of(out) == {
        "draft/area/unit/pt401": "pressure MPa",
        "draft/area/unit/tt401": "temperature °C",
        "draft/area/unit/xv401": "state",
    }
    again, problem = run("opcua", f"opc.tcp://127.0.0.1:{opcua.port}", "--out", str(out))
    assert (again, problem["error"]["where"]) == (1, str(out))


class ModbusThread:
    """A Modbus server in a thread of its own."""

    def __init__(self, devices: list[SimDevice]) -> None:
        self.port = free_port()
        self.functions: set[int] = set()
        self._devices = devices
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: Any = None

    def __enter__(self) -> ModbusThread:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _start(self) -> None:
        def trace(sending: bool, data: bytes) -> bytes:
            self.functions.update([] if sending else [data[7]])
            return data

        self._server = ModbusTcpServer(self._devices, address=("127.0.0.1", self.port), trace_packet=trace)
        await self._server.serve_forever(background=True)


def test_modbus(tmp_path: Path) -> None:
    bits = [SimData(0, values=[False, True] + [False] * 14, datatype=DataType.BITS)]
    inputs = [SimData(300, values=[7, 0, 9], datatype=DataType.REGISTERS)]
    holding = [SimData(100, values=[0x4148, 0, 0, 0x42C8, 5], datatype=DataType.REGISTERS)]
    device = SimDevice(3, simdata=(bits, bits, holding, inputs))
    out = tmp_path / "draft.yaml"
    with ModbusThread([device]) as served:
        code, found = run(
            "modbus",
            f"127.0.0.1:{served.port}",
            "--units",
            "2-3",
            "--last",
            "400",
            "--timeout",
            "0.2",
            "--out",
            str(out),
        )
    assert code == 0
    assert found["complete"]
    assert found["units"] == [3]
    assert {tag["tag"]: tag["value"] for tag in found["tags"]} == {
        "input:300:uint16@3": 7.0,
        "input:302:uint16@3": 9.0,
        "holding:100:float32@3": 12.5,
        "holding:102:float32:little@3": 100.0,
        "holding:104:uint16@3": 5.0,
        "discrete:1:bool@3": 1.0,
        "coil:1:bool@3": 1.0,
    }
    assert {(entry["table"], entry["first"], entry["last"]) for entry in found["ranges"]} >= {
        ("input", 300, 302), ("holding", 100, 104),
    }  # fmt: skip
    assert served.functions <= {1, 2, 3, 4}
    assert len(points_of(out)) == 7


def test_modbus_stops_at_its_budget() -> None:
    device = SimDevice(1, simdata=[SimData(0, values=[1] * 500, datatype=DataType.REGISTERS)])
    with ModbusThread([device]) as served:
        code, found = run("modbus", f"127.0.0.1:{served.port}", "--units", "1", "--requests", "5")
    assert (code, found["complete"], found["requests"]) == (0, False, 5)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real broker: the MQTT listener of nats-server."""
    folder = tmp_path_factory.mktemp("broker")
    port, mqtt_port = free_port(), free_port()
    config = folder / "nats.conf"
    config.write_text(
        f'server_name: "test"\nlisten: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{mqtt_port}" }}\n'
    )
    process = subprocess.Popen([str(binary()), "--config", str(config)], stderr=subprocess.DEVNULL)
    for _ in range(100):
        with contextlib.suppress(OSError):
            publish.single("ready", b"", hostname="127.0.0.1", port=mqtt_port)
            break
        threading.Event().wait(0.05)
    yield mqtt_port
    process.kill()
    process.wait()


def test_mqtt(broker: int, shared_data: Path, tmp_path: Path) -> None:
    vectors = json.loads((shared_data / "protocols" / "sparkplug_b" / "payloads.json").read_text())
    messages = [
        ("plant/json", b'{"ts": 1, "PT401": 1.5, "inner": {"TT-1": 20}}', 0, True),
        ("plant/senml", b'[{"bn":"tank/","n":"temp","u":"Cel","v":20},{"n":"level","v":3}]', 0, True),
        ("plant/garbage", b"\xff\x00", 0, True),
        *((vector["topic"], bytes.fromhex(vector["hex"]), 0, True) for vector in vectors),
    ]
    publish.multiple(messages, hostname="127.0.0.1", port=broker)
    out = tmp_path / "draft.yaml"
    code, found = run("mqtt", f"mqtt://127.0.0.1:{broker}", "--seconds", "1", "--out", str(out))
    assert code == 0
    tags = {tag["tag"]: tag for tag in found["tags"]}
    assert tags["json:plant/json#PT401"]["kind"] == "pressure"
    assert tags["json:plant/json#inner.TT-1"]["value"] == 20.0
    assert (tags["senml:tank/temp"]["kind"], tags["senml:tank/temp"]["unit"]) == ("temperature", "°C")
    assert any(tag.startswith("spB:") for tag in tags)
    assert list(found["unreadable"]) == ["plant/garbage"]
    assert len(points_of(out)) == len(tags)


def test_sparkplug_units_are_read_from_the_metrics_properties() -> None:
    def sized(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    properties = sized(1, b"engUnit") + sized(2, b"\x08\x0c" + sized(8, b"degC"))
    payload = sized(2, sized(1, b"Tank/TT") + b"\x20\x0a" + sized(9, properties)) + sized(2, sized(1, b"plain"))
    assert _discover_mqtt.metric_units(payload) == {"Tank/TT": "degC"}


@given(st.sampled_from(["a/b", "spBv1.0/g/DBIRTH/n/d", "spBv1.0/g/NDATA/n"]), st.binary(max_size=200))
def test_any_message_gives_tags_or_a_named_error(topic: str, payload: bytes) -> None:
    _discover_mqtt.metric_units(payload)
    with contextlib.suppress(AnlanError):
        list(_discover_mqtt.read_message(topic, payload))


@pytest.mark.parametrize(
    "arguments",
    [
        ("opcua", "opc.tcp://127.0.0.1:1", "--timeout", "1"),
        ("opcua", "http://127.0.0.1"),
        ("modbus", "127.0.0.1:1"),
        ("modbus", "127.0.0.1:x"),
        ("modbus", "127.0.0.1", "--units", "1-999"),
        ("modbus", "127.0.0.1", "--tables", "attic"),
        ("mqtt", "mqtt://127.0.0.1:1"),
        ("mqtt", "ftp://127.0.0.1"),
        ("mqtt", "mqtt://127.0.0.1", "--password", "absent"),
    ],
)
def test_what_cannot_be_reached_is_named(arguments: tuple[str, ...]) -> None:
    code, answer = run(*arguments)
    assert code == 1
    assert answer["error"]["where"]
    assert answer["error"]["fix"]

"""The OPC UA connector against a real asyncua server: security, quality, cuts with history, refusals, alarms."""

from __future__ import annotations

import asyncio
import datetime
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.validator import CertificateValidator
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import InvalidInputError
from anlan.core.quality import Quality
from anlan.perceive.connectors import opcua
from anlan.perceive.connectors._opcua_values import parse_tag, quality_of, time_of
from anlan.perceive.connectors.opcua import OpcUaConnector
from anlan.plant.model import ConnectorSpec
from tests.perceive.connectors.harness import MemoryContext, line, running
from tests.perceive.connectors.opcua_plant import START, Plant

TAGS = {"p": "ns=2;s=PT401", "t": "ns=2;s=TT401", "state": "ns=2;s=XV401", "second": {"node": "ns=2;s=ARR", "index": 1}}


@pytest.fixture(scope="module")
def running_plant() -> Iterator[Plant]:
    made = Plant()
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcua, "_WATCH_S", 0.1)


@pytest.fixture
async def served(running_plant: Plant) -> Plant:
    """The plant with its first values."""
    for name, value in START.items():
        await running_plant.write(name, value)
    return running_plant


def context_for(port: int, tags: dict[str, Any] | None = None, **options: Any) -> MemoryContext:
    chosen = {"endpoint": f"opc.tcp://127.0.0.1:{port}/", "publishing_interval": "50 ms", "timeout": "2 s"} | options
    spec = ConnectorSpec("dcs", "opcua", chosen, tags or TAGS)
    return MemoryContext(spec, secrets={"dcs-password": "letmein"})


async def test_values_source_times_and_status_codes_arrive(served: Plant) -> None:
    context = context_for(served.port)
    async with running(OpcUaConnector(context.spec, context)):
        await context.until(lambda: len(context.last()) == 4)
        assert context.last() == {"p": (1.5, 0), "t": (20.0, 0), "state": (1.0, 0), "second": (2.0, 0)}
        moment = datetime.datetime(2026, 11, 24, 8, 0, 0, 123456, datetime.UTC)
        await served.write("PT401", 1.75, source=moment)
        await context.until(lambda: context.last()["p"] == (1.75, 0))
        batch = context.all
        assert int(batch.time[batch.point == context.numbers["p"]][-1]) == round(moment.timestamp() * 1e6)
        await served.write("PT401", 1.75, source=moment + datetime.timedelta(seconds=1))
        await context.until(lambda: len(context.values("p")) == 3)
        await served.write("PT401", 9.0, ua.StatusCodes.BadSensorFailure)
        await context.until(lambda: context.last()["p"][1] == Quality.BAD_SENSOR)
        await served.write("TT401", float("nan"))
        await context.until(lambda: context.last()["t"][1] == Quality.BAD_NOT_A_NUMBER)
    assert context.states == ["up"]
    assert abs(context.offsets[0]) < 5_000_000


async def test_a_node_the_server_does_not_have_spoils_only_its_own_point(served: Plant) -> None:
    tags = TAGS | {"gone": "ns=2;s=GONE", "text": "ns=2;s=TXT"}
    context = context_for(served.port, tags, chunk=2)
    async with running(OpcUaConnector(context.spec, context)):
        await context.until(lambda: len(context.last()) == 5 and bool(context.events))
    assert context.last()["gone"][1] == Quality.BAD_CONFIGURATION
    assert math.isnan(context.last()["gone"][0])
    assert context.last()["p"] == (1.5, 0)
    assert ["GONE" in str(reason) for _, reason, _ in context.dead] == [True]
    assert [(type_, data["text"]) for type_, _, _, data, _ in context.events] == [("device.text", "hello")]


async def test_after_a_cut_nothing_is_lost_where_the_server_keeps_history(served: Plant) -> None:
    async with line(served.port) as wire:
        context = context_for(wire.port)
        async with running(OpcUaConnector(context.spec, context)):
            await context.until(lambda: len(context.last()) == 4)
            sent = [float(number) for number in range(100, 160)]
            for number in sent:
                if number == 120.0:
                    await wire.cut()
                    await context.until(lambda: bool(context.reasons))
                if number == 140.0:
                    await wire.mend()
                    await context.until(lambda: context.states[-1] == "up")
                await served.write("PT401", number)
                await asyncio.sleep(0.005)
            await context.until(lambda: set(sent) <= set(context.values("p").tolist()))
            await asyncio.sleep(0.1)
    batch = context.all
    mine = batch.take(batch.point == context.numbers["p"])
    got = [
        value
        for value in dict(sorted(zip(mine.time.tolist(), mine.value.tolist(), strict=True))).values()
        if value >= 100
    ]
    assert got == sent
    assert context.states == ["up", "down", "up"]
    # Filled gap before live values: each point's samples came in order.
    assert mine.time.tolist() == sorted(mine.time.tolist())


async def test_reconnects_with_back_off_when_the_server_comes_late(served: Plant) -> None:
    async with line(served.port) as wire:
        await wire.cut()
        context = context_for(wire.port)
        async with running(OpcUaConnector(context.spec, context)):
            await context.until(lambda: len(context.reasons) >= 2)
            await wire.mend()
            await context.until(lambda: len(context.last()) == 4)
    assert context.states == ["down", "up"]


async def test_a_constant_value_is_read_again_so_that_it_does_not_look_stale(served: Plant) -> None:
    old = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    await served.write("PT401", 3.0, source=old)
    context = context_for(served.port, {"p": "ns=2;s=PT401"}, refresh="500 ms")
    async with running(OpcUaConnector(context.spec, context)):
        await context.until(lambda: len(context.values("p")) >= 4)
    times = context.all.time.tolist()
    assert times[0] == round(old.timestamp() * 1e6)
    assert set(context.values("p").tolist()) == {3.0}
    assert times == sorted(set(times))


async def test_the_servers_own_alarms_become_events(served: Plant) -> None:
    generator = await served.call(served.server.get_event_generator(ua.ObjectIds.ExclusiveLevelAlarmType))
    context = context_for(served.port, alarms=True)
    async with running(OpcUaConnector(context.spec, context)):
        await context.until(lambda: len(context.last()) == 4)
        event = generator.event
        event.Severity = 800
        event.ConditionName = "LevelHigh"
        event.SourceName = "T-401"
        event.add_property("ActiveState/Id", True, ua.VariantType.Boolean)
        event.add_property("AckedState/Id", False, ua.VariantType.Boolean)
        event.Retain = True
        await served.call(generator.trigger(message="level high"))
        await context.until(lambda: bool(context.events))
    type_, subject, moment, data, key = context.events[0]
    assert (type_, subject) == ("device.alarm", "dcs/T-401")
    assert {name: data[name] for name in ("severity", "condition", "active", "acknowledged", "message")} == {
        "severity": 800, "condition": "LevelHigh", "active": True, "acknowledged": False, "message": "level high",
    }  # fmt: skip
    assert moment > 0
    assert data["event_id"] in key


async def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.der", folder / f"{name}.pem"
    usage = ExtendedKeyUsageOID.SERVER_AUTH if name == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
    await setup_self_signed_certificate(key, cert, f"urn:test:{name}", "127.0.0.1", [usage], {"commonName": name})
    return cert, key


async def test_a_secured_session_needs_a_trusted_server(tmp_path: Path) -> None:
    server_cert, server_key = await certificate(tmp_path, "server")
    own_cert, own_key = await certificate(tmp_path, "client")

    async def secure(server: Server) -> None:
        await server.set_application_uri("urn:test:server")
        server.set_security_policy(
            [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt, ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign]
        )
        await server.load_certificate(str(server_cert))
        await server.load_private_key(str(server_key))
        server.set_certificate_validator(CertificateValidator())

    options = {"security_policy": "Basic256Sha256", "certificate": str(own_cert), "private_key": str(own_key)}
    served = Plant(secure)
    await asyncio.to_thread(served.start)
    try:
        stranger = context_for(served.port, **options, server_certificate=str(own_cert))
        async with running(OpcUaConnector(stranger.spec, stranger)):
            await stranger.until(lambda: bool(stranger.reasons))
        assert "is not trusted" in stranger.reasons[0]
        assert not stranger.batches
        for change in ({}, {"security_policy": "Aes256Sha256RsaPss", "mode": "Sign"}):
            context = context_for(served.port, **(options | change), server_certificate=[str(server_cert)])
            async with running(OpcUaConnector(context.spec, context)):
                await context.until(lambda context=context: len(context.last()) == 4)
            assert context.states == ["up"]
    finally:
        await asyncio.to_thread(served.stop)


async def test_only_reading_services_are_used(served: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()
    from asyncua.server.uaprocessor import UaProcessor

    original = UaProcessor._process_message

    async def watch(self: Any, typeid: ua.NodeId, *rest: Any) -> Any:
        used.add(ua.ObjectIdNames[typeid.Identifier].split("Request")[0])
        return await original(self, typeid, *rest)

    monkeypatch.setattr(UaProcessor, "_process_message", watch)
    context = context_for(served.port, alarms=True, refresh="100 ms")
    async with running(OpcUaConnector(context.spec, context)):
        await context.until(lambda: len(context.values("p")) > 2)
    assert {"CreateSession", "Read", "CreateMonitoredItems"} <= used
    assert not used & {"Write", "HistoryUpdate", "AddNodes", "DeleteNodes", "AddReferences"}


async def test_garbage_instead_of_a_server_is_survived(shared_data: Path) -> None:
    capture = (shared_data / "protocols" / "pcap" / "opcua_read_service.pcap").read_bytes()

    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(300):
            writer.write(capture)
        writer.close()

    server = await asyncio.start_server(garble, "127.0.0.1", 0)
    context = context_for(server.sockets[0].getsockname()[1], timeout="300 ms")
    async with running(OpcUaConnector(context.spec, context)):
        await context.until(lambda: len(context.reasons) >= 2)
    server.close()
    assert context.states == ["down"]
    assert not context.batches


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoint": "http://x"}, "no endpoint"),
        ({"security_policy": "Basic128"}, "not known"),
        ({"security_policy": "Basic256Sha256"}, "needs a certificate file"),
        ({"server_certificate": "absent.der"}, "cannot be read"),
        ({"password": "absent"}, "no secret"),
        ({"queue_size": 0}, "does not fit"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    context = context_for(4840, **options)
    with pytest.raises(InvalidInputError, match=message):
        OpcUaConnector(context.spec, context)


@pytest.mark.parametrize("tag", ["PT401", "", "ns=x;s=1", {"nod": "i=1"}, {"node": "i=1", "index": -1}, 4, None])
def test_a_wrong_tag_is_named(tag: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_tag(tag, 1, "connectors/dcs/map/p")
    assert caught.value.where == "connectors/dcs/map/p"


@given(st.integers(0, 2**32 - 1))
def test_a_status_keeps_its_class_and_ignores_its_info_bits(status: int) -> None:
    assert quality_of(status) & 0xC0 == {0: 0, 1: 0x40, 2: 0x80, 3: 0x80}[status >> 30]
    assert quality_of(status) == quality_of(status & 0xFFFF0000)


def test_a_value_without_source_time_takes_the_servers_or_ours() -> None:
    at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    assert time_of(ua.DataValue(ServerTimestamp=at), 7) == round(at.timestamp() * 1e6)
    assert time_of(ua.DataValue(SourceTimestamp=datetime.datetime(1601, 1, 1)), 7) == 7
    assert time_of(ua.DataValue(), 7) == 7

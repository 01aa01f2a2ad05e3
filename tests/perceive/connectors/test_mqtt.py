"""The MQTT listener with paho-mqtt as a peer, on real sockets against a real log."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from anlan.core.actor import SYSTEM
from anlan.core.quality import Quality
from anlan.core.time import now_us
from anlan.perceive.connectors import _mqtt_packets as mqtt
from anlan.perceive.decoders.senml import SenmlDecoder
from anlan.perceive.model import DeadLetterPage, ListDeadLetters, Mend, MendResult
from anlan.plant.model import ConnectorSpec
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from tests.conftest import FabricProcess, free_port
from tests.perceive.conftest import make_plant, running_gateway, stored, until
from tests.perceive.peers import BareClient, PahoDevice, make_certificate

SENML = {f"e/a/u/p{n}": f"senml:dev/m{n}" for n in range(1, 6)}
START_S = now_us() // 1_000_000 - 500


def senml(values: dict[str, float], time_s: float = START_S) -> bytes:
    records: list[dict[str, Any]] = [{"n": name, "v": value} for name, value in values.items()]
    records[0] |= {"bn": "dev/", "bt": time_s}
    return json.dumps(records).encode()


class Edge:
    """A running gateway with one MQTT listener."""

    def __init__(self, port: int, health: Any, settings: Settings) -> None:
        self.port = port
        self.health = health
        self.settings = settings

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.health.details.get("connectors", {}).get("edge", {})
        return found

    async def letters(self) -> DeadLetterPage:
        async with await Fabric.connect(self.settings, "runtime") as fabric:
            return await fabric.call("perceive.dead-letters", ListDeadLetters(), SYSTEM, DeadLetterPage)


@asynccontextmanager
async def edge(settings: Settings, map_: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Edge]:
    port = free_port()
    spec = ConnectorSpec("edge", "mqtt", {"port": port, **options}, SENML if map_ is None else map_)
    async with running_gateway(settings, make_plant((spec,))) as (_, health):
        running = Edge(port, health, settings)
        await until(lambda: running.status.get("state") == "up")
        yield running


# --- acknowledging ---


@pytest.mark.parametrize("version", [4, 5])
async def test_a_puback_means_that_the_log_has_the_samples(
    settings: Settings, fabric_process: FabricProcess, version: int
) -> None:
    async with edge(settings) as running:
        device = await PahoDevice(running.port, "d1", version=version).start()
        for n in range(300):
            device.send("plant/dev", senml({"m1": n, "m2": n + 0.5}, START_S + n))
        await until(lambda: device.acked == 300)
        batch, headers = await stored(settings)
        await device.stop()
    assert sorted(batch.value[batch.point == 1].tolist()) == list(range(300))
    assert sorted(batch.time[batch.point == 2].tolist()) == [(START_S + n) * 1_000_000 for n in range(300)]
    assert {run.connector for header in headers for run in header.runs} == {"edge"}


async def test_no_puback_while_the_log_is_away_and_nothing_acknowledged_is_lost(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with edge(settings) as running:
        device = await PahoDevice(running.port, "d1").start()
        for n in range(20):
            device.send("plant/dev", senml({"m1": n}, START_S + n))
        await until(lambda: device.acked == 20)
        fabric_process.kill()
        for n in range(20, 60):
            device.send("plant/dev", senml({"m1": n}, START_S + n))
        await until(lambda: "log" in running.health.problems)
        await asyncio.sleep(0.5)
        assert device.acked == 20
        await fabric_process.start_async()
        await until(lambda: device.acked == 60)
        batch, _ = await stored(settings)
        await device.stop()
    assert sorted(set(batch.value.tolist())) == list(range(60))
    assert running.health.counters["buffer_bytes"] == 0


async def test_kills_of_the_log_under_load_lose_no_acknowledged_pack(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with edge(settings) as running:
        devices = [await PahoDevice(running.port, f"d{n}").start() for n in range(3)]
        sent = 0

        async def load() -> None:
            nonlocal sent
            for number in range(200):
                for index, device in enumerate(devices):
                    device.send(f"plant/{index}", senml({f"m{index + 1}": number}, START_S + number))
                sent += 1
                await asyncio.sleep(0.004)

        task = asyncio.create_task(load())
        for _ in range(2):
            await asyncio.sleep(0.25)
            fabric_process.kill()
            await asyncio.sleep(0.1)
            await fabric_process.start_async()
        await task
        await until(lambda: all(device.acked == sent for device in devices), 40)
        batch, _ = await stored(settings)
        for device in devices:
            await device.stop()
    for point in (1, 2, 3):
        assert set(batch.value[batch.point == point].tolist()) == set(range(200))


async def test_cut_and_restore_counts_no_lost_sample(settings: Settings, fabric_process: FabricProcess) -> None:
    async with edge(settings) as running:
        device = await PahoDevice(running.port, "d1", clean=False).start()
        for n in range(100):
            device.send("plant/dev", senml({"m1": n}, START_S + n))
            if n == 50:
                device.client.socket().shutdown(socket.SHUT_RDWR)  # the line is cut; paho reconnects and redelivers
        await until(lambda: device.acked == 100)
        batch, _ = await stored(settings)
        await device.stop()
    assert set(batch.value.tolist()) == set(range(100))


async def test_pubacks_come_in_the_order_of_the_messages(settings: Settings, fabric_process: FabricProcess) -> None:
    async with edge(settings) as running:
        client = await BareClient.connect(running.port, "bare", version=5)
        for n in range(1, 40):
            payload = b"garbage" if n % 7 == 0 else senml({"m1": n}, START_S + n)
            topic = b"plant/dev" if n % 5 else b"nobody/listens"
            client.write(mqtt.publish(5, topic, payload, 1, False, n))
        acks = [await client.packet() for _ in range(39)]
        client.close()
    assert [struct.unpack(">H", body[:2])[0] for _, body in acks] == list(range(1, 40))
    codes = {struct.unpack(">H", body[:2])[0]: body[2] if len(body) > 2 else 0 for _, body in acks}
    assert codes[7] == mqtt.PAYLOAD_INVALID
    assert codes[1] == 0


# --- signing in ---


DEVICES = [
    {"user": "tank", "password": "tank_pw", "topics": ["plant/tank/#"]},
    {"user": "pump", "password": "pump_pw", "topics": ["plant/pump/#"], "subscribe": ["shared/#"]},
]


@pytest.fixture
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    from argon2 import PasswordHasher

    monkeypatch.setenv("ANLAN_SECRET_TANK_PW", "sesame")
    monkeypatch.setenv("ANLAN_SECRET_PUMP_PW", PasswordHasher(time_cost=1, memory_cost=1024).hash("open"))


@pytest.mark.usefixtures("_secrets")
@pytest.mark.parametrize("version", [4, 5])
async def test_only_the_right_password_signs_in(
    settings: Settings, fabric_process: FabricProcess, version: int
) -> None:
    async with edge(settings, devices=DEVICES) as running:
        codes = []
        for user, password in (("tank", "sesame"), ("pump", "open"), ("tank", "open"), ("x", "sesame"), (None, None)):
            client = await BareClient.open(running.port)
            code = await client.sign_in("c", version=version, user=user, password=password)
            codes.append(code)
            client.close()
        await until(lambda: running.status["details"].get("refused") == 3)
    refused = mqtt.BAD_CREDENTIALS if version == 5 else 4
    assert codes == [0, 0, refused, refused, refused]


@pytest.mark.usefixtures("_secrets")
async def test_a_topic_that_is_not_its_own_is_refused_with_a_reason(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with edge(settings, devices=DEVICES) as running:
        five = await BareClient.connect(running.port, "five", version=5, user="tank", password="sesame")
        five.write(mqtt.publish(5, b"plant/pump/x", senml({"m1": 1}), 1, False, 1))
        five.write(mqtt.publish(5, b"plant/tank/x", senml({"m1": 2}), 1, False, 2))
        first, second = await five.packet(), await five.packet()
        four = await BareClient.connect(running.port, "four", version=4, user="tank", password="sesame")
        four.write(mqtt.publish(4, b"plant/pump/x", senml({"m1": 3}), 1, False, 1))
        assert await four.packet() is None
        batch, _ = await stored(settings)
        letters = await running.letters()
    assert first == (mqtt.PUBACK, b"\x00\x01\x87")
    assert second == (mqtt.PUBACK, b"\x00\x02")
    assert batch.value.tolist() == [2.0]
    assert "may not publish there" in letters.letters[0].reason


@pytest.mark.usefixtures("_secrets")
async def test_rights_hold_for_subscriptions_wills_and_client_ids(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with edge(settings, devices=DEVICES) as running:
        pump = await BareClient.connect(running.port, "p", version=5, user="pump", password="open")
        for number, name in enumerate(("shared/a", "plant/pump/+", "#", "$SYS/#", "a/#/b", "$share/g/shared/a")):
            pump.write(mqtt.subscribe(5, number + 1, [(name, 1)]))
        codes = [(await pump.packet())[1][3] for _ in range(6)]
        thief = await BareClient.open(running.port)
        taken = await thief.sign_in("p", version=5, user="tank", password="sesame")
        foreign = await BareClient.open(running.port)
        will = mqtt.Will("plant/pump/gone", b"x", 0, False, 0)
        refused = await foreign.sign_in("w", version=5, user="tank", password="sesame", will=will)
    assert codes == [1, 1, mqtt.NOT_AUTHORIZED, mqtt.NOT_AUTHORIZED, mqtt.FILTER_INVALID, mqtt.SHARED_UNSUPPORTED]
    assert taken == mqtt.CLIENT_ID_INVALID
    assert refused == mqtt.NOT_AUTHORIZED


async def test_nothing_listens_beyond_loopback_without_tls_or_listed_peers(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    spec = ConnectorSpec("edge", "mqtt", {"host": "0.0.0.0", "port": free_port()}, SENML)
    async with running_gateway(settings, make_plant((spec,))) as (_, health):
        await until(lambda: health.details.get("connectors", {}).get("edge", {}).get("state") == "misconfigured")
        assert "without TLS" in health.problems["connector:edge"]


async def test_a_peer_that_is_not_listed_is_dropped(settings: Settings, fabric_process: FabricProcess) -> None:
    async with edge(settings, peers=["10.0.0.0/8"]) as running:
        client = await BareClient.open(running.port)
        assert await client.packet() is None
        await until(lambda: running.status["details"].get("refused") == 1)


@pytest.mark.usefixtures("_secrets")
async def test_tls_protects_the_listener(settings: Settings, fabric_process: FabricProcess, tmp_path: Any) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = {"certificate": str(certificate), "key": str(key)}
    async with edge(settings, tls=tls, devices=DEVICES) as running:
        device = PahoDevice(running.port, "d1", version=5)
        device.client.tls_set(ca_certs=str(certificate))
        device.client.username_pw_set("tank", "sesame")
        await device.start()
        device.send("plant/tank/1", senml({"m1": 4.0}))
        await until(lambda: device.acked == 1)
        await device.stop()
        batch, _ = await stored(settings)
    assert batch.value.tolist() == [4.0]


# --- what a broker must do ---


@pytest.mark.parametrize("version", [4, 5])
async def test_retained_messages_reach_later_subscribers(
    settings: Settings, fabric_process: FabricProcess, version: int
) -> None:
    async with edge(settings) as running:
        sender = await PahoDevice(running.port, "s", version=version).start()
        sender.send("state/a", b"one", retain=True)
        sender.send("state/a", b"two", retain=True)
        sender.send("state/b", b"gone", retain=True)
        sender.send("state/b", b"", retain=True)
        await until(lambda: sender.acked == 4)
        receiver = await PahoDevice(running.port, "r", version=version).start()
        receiver.client.subscribe([("state/+", 1), ("spBv1.0/STATE/#", 1)])
        await until(lambda: len(receiver.messages) == 2)
        await sender.stop()
        await receiver.stop()
    (topic, payload, retain), (state_topic, state, _) = receiver.messages
    assert (topic, payload, retain) == ("state/a", b"two", True)
    assert state_topic == "spBv1.0/STATE/test"
    assert json.loads(state)["online"] is True


async def test_a_persistent_session_keeps_what_comes_while_its_client_is_away(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with edge(settings) as running:
        first = await PahoDevice(running.port, "keeper", clean=False).start()
        first.client.subscribe("news/#", 1)
        await asyncio.sleep(0.2)
        await first.stop()
        sender = await PahoDevice(running.port, "s").start()
        for n in range(5):
            sender.send("news/x", b"%d" % n)
        sender.send("news/x", b"not kept", qos=0)
        await until(lambda: sender.acked == 6)
        again = await PahoDevice(running.port, "keeper", clean=False).start()
        assert again.session_present
        await until(lambda: len(again.messages) == 5)
        fresh = await PahoDevice(running.port, "keeper", clean=True).start()
        assert not fresh.session_present
        await until(lambda: again.disconnects)
        for device in (again, sender, fresh):
            await device.stop()
    assert [payload for _, payload, _ in again.messages] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_will_is_published_when_the_line_is_cut_and_not_after_a_goodbye(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with edge(settings) as running:
        receiver = await PahoDevice(running.port, "r").start()
        receiver.client.subscribe("wills/#", 1)
        polite, rude = PahoDevice(running.port, "polite"), PahoDevice(running.port, "rude")
        polite.client.will_set("wills/polite", b"gone", 1)
        rude.client.will_set("wills/rude", b"gone", 1)
        await polite.start()
        await rude.start()
        await polite.stop()
        await rude.cut()
        await until(lambda: receiver.messages)
        await asyncio.sleep(0.2)
        await receiver.stop()
    assert [topic for topic, _, _ in receiver.messages] == ["wills/rude"]


async def test_topic_aliases_and_receive_maximum_of_version_5(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with edge(settings, receive_maximum=10) as running:
        client = await BareClient.connect(running.port, "alias", version=5)
        alias = mqtt.properties_of({mqtt.TOPIC_ALIAS: 7})
        for number, topic in enumerate((b"plant/dev", b"", b"")):
            body = mqtt.text(topic) + struct.pack(">H", number + 1) + alias + senml({"m1": number}, START_S + number)
            client.write(mqtt.packet(mqtt.PUBLISH << 4 | 2, body))
        assert [(await client.packet())[0] for _ in range(3)] == [mqtt.PUBACK] * 3
        fabric_process.kill()
        for number in range(11):
            client.write(mqtt.publish(5, b"plant/dev", senml({"m1": 1}), 1, False, number + 1))
        assert await client.packet() == (mqtt.DISCONNECT, client.last_body)
        assert client.last_body[0] == mqtt.RECEIVE_MAXIMUM
        await fabric_process.start_async()
        await until(lambda: "log" not in running.health.problems)
        batch, _ = await stored(settings)
    assert {0.0, 1.0, 2.0} <= set(batch.value.tolist())


# --- Sparkplug ---


async def test_sparkplug_births_data_and_deaths(settings: Settings, fabric_process: FabricProcess) -> None:
    from benchmarks.loadgen import sparkplug_payload

    map_ = {"e/a/u/p1": "spB:g/n:temp", "e/a/u/p2": "spB:g/n/d:flow"}
    stamp = START_S * 1000
    async with edge(settings, map_) as running:
        node = PahoDevice(running.port, "node")
        node.client.will_set("spBv1.0/g/NDEATH/n", sparkplug_payload(stamp, None, [("bdSeq", None, 4, 0)]), 1)
        await node.start()
        node.client.subscribe("spBv1.0/g/NCMD/n", 0)
        node.send("spBv1.0/g/DDATA/n/d", sparkplug_payload(stamp, 5, [("", 2, 0, 9.0)]), qos=0)
        await until(lambda: node.messages)
        birth = [("bdSeq", None, 4, 0), ("temp", 1, 10, 20.5)]
        node.send("spBv1.0/g/NBIRTH/n", sparkplug_payload(stamp + 1, 0, birth))
        node.send("spBv1.0/g/DBIRTH/n/d", sparkplug_payload(stamp + 2, 1, [("flow", 2, 9, 1.25)]))
        node.send("spBv1.0/g/DDATA/n/d", sparkplug_payload(stamp + 3, 2, [("", 2, 0, 2.5)]))
        node.send("spBv1.0/g/NDATA/n", sparkplug_payload(stamp + 4, 3, [("", 1, 0, 21.5)]))
        await until(lambda: node.acked == 5)
        await node.cut()
        await until(lambda: running.status["details"].get("sparkplug_nodes") == {"g/n": False})
        await until(lambda: running.status["bad"] == 2)
        batch, _ = await stored(settings)
    topic, command, _ = node.messages[0]
    assert topic == "spBv1.0/g/NCMD/n"
    assert b"Node Control/Rebirth" in command
    good = batch.take(batch.quality == 0)
    assert list(zip(good.point.tolist(), good.value.tolist(), strict=True)) == [
        (1, 20.5),
        (2, 1.25),
        (2, 2.5),
        (1, 21.5),
    ]
    dead = batch.take(batch.quality == Quality.BAD_NOT_CONNECTED)
    assert sorted(dead.point.tolist()) == [1, 2]


async def test_no_client_can_command_a_device(settings: Settings, fabric_process: FabricProcess) -> None:
    async with edge(settings, {"e/a/u/p1": "spB:g/n:temp"}) as running:
        client = await BareClient.connect(running.port, "c", version=5)
        client.write(mqtt.publish(5, b"spBv1.0/g/DCMD/n/d", b"\x08\x01", 1, False, 1))
        assert await client.packet() == (mqtt.PUBACK, b"\x00\x01\x87")


# --- misbehaviour ---


async def test_a_payload_of_100_mb_is_refused_by_its_length(settings: Settings, fabric_process: FabricProcess) -> None:
    async with edge(settings) as running:
        client = await BareClient.connect(running.port, "big", version=5)
        client.write(bytes([0x32]) + mqtt.varint(100 << 20) + mqtt.text("plant/dev") + b"\0\1\0" + bytes(100_000))
        kind, body = await client.packet()
        assert (kind, body[0]) == (mqtt.DISCONNECT, mqtt.TOO_LARGE)
        assert running.health.counters["held_bytes"] < 1_000_000
        letters = await running.letters()
    assert "104857600 bytes" in letters.letters[0].reason


async def test_garbage_and_silence_harm_nobody_else(settings: Settings, fabric_process: FabricProcess) -> None:
    rng = np.random.default_rng(7)
    async with edge(settings, connect_timeout=0.5) as running:
        device = await PahoDevice(running.port, "good").start()
        silent = await BareClient.open(running.port)
        trickle = await BareClient.open(running.port)
        trickle.write(b"\x10")
        for _ in range(30):
            noise = await BareClient.open(running.port)
            noise.write(rng.integers(0, 256, 400, np.uint8).tobytes())
            noise.write_eof()
        device.send("plant/dev", b"{not senml")
        device.send("plant/dev", senml({"m1": 1.0}))
        await until(lambda: device.acked == 2)
        assert await silent.packet() is None
        assert await trickle.packet() is None
        await until(lambda: running.status["details"].get("slow", 0) >= 2)
        await device.stop()
        batch, _ = await stored(settings)
        letters = await running.letters()
    assert batch.value.tolist() == [1.0]
    assert any(letter.source == "plant/dev" for letter in letters.letters)


async def test_a_client_that_goes_silent_is_closed_after_its_keep_alive(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with edge(settings) as running:
        client = await BareClient.connect(running.port, "quiet", version=5, keep_alive=1)
        kind, body = await client.packet()
    assert (kind, body[0]) == (mqtt.DISCONNECT, mqtt.KEEP_ALIVE)


WRONG = [
    (mqtt.publish(5, b"a", b"", 2, False, 1), mqtt.QOS_UNSUPPORTED),
    (mqtt.publish(5, b"a/#", b"", 1, False, 1), mqtt.TOPIC_INVALID),
    (mqtt.publish(5, b"\xff", b"", 1, False, 1), mqtt.TOPIC_INVALID),
    (mqtt.publish(5, b"a", b"", 1, False, 0), mqtt.PROTOCOL_ERROR),
    (mqtt.packet(mqtt.PUBREL << 4 | 2, b"\0\1"), mqtt.PROTOCOL_ERROR),
    (mqtt.packet(mqtt.AUTH << 4, b"\x18\0"), mqtt.BAD_METHOD),
    (mqtt.packet(mqtt.SUBSCRIBE << 4 | 2, b"\0\1\0"), mqtt.PROTOCOL_ERROR),
    (mqtt.packet(mqtt.PUBLISH << 4, b"\0\x09a"), mqtt.MALFORMED),
    (b"\x30\xff\xff\xff\xff\x01", mqtt.MALFORMED),
    (mqtt.connect(mqtt.Connect(5, "x", True, 0, {}, None, None, None)), mqtt.PROTOCOL_ERROR),
]


async def test_a_wrong_packet_ends_its_connection_with_the_reason(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with edge(settings) as running:
        answers = []
        for number, (data, _) in enumerate(WRONG):
            client = await BareClient.connect(running.port, f"wrong{number}", version=5)
            client.write(data)
            kind, body = await client.packet()
            answers.append((kind, body[0]))
    assert answers == [(mqtt.DISCONNECT, reason) for _, reason in WRONG]


async def test_an_old_protocol_is_answered_before_it_is_closed(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with edge(settings) as running:
        client = await BareClient.open(running.port)
        client.write(mqtt.packet(0x10, mqtt.text("MQIsdp") + b"\x03\x02\x00\x3c" + mqtt.text("old")))
        assert await client.packet() == (mqtt.CONNACK, b"\x00\x01")


# --- dead letters ---


async def test_a_dead_letter_is_mended_and_run_again(settings: Settings, fabric_process: FabricProcess) -> None:
    async with edge(settings) as running, await Fabric.connect(settings, "runtime") as fabric:
        device = await PahoDevice(running.port, "d1").start()
        device.send("plant/dev", b'[{"bn":"dev/","n":"m1","v":1.2.3}]')
        await until(lambda: device.acked == 1)
        await device.stop()
        await until(lambda: running.health.counters.get("dead_letters"))
        (letter,) = (await running.letters()).letters
        with pytest.raises(Exception, match="no SenML"):
            await fabric.call("perceive.mend", Mend(letter.sequence), SYSTEM, MendResult)
        mended = Mend(letter.sequence, senml({"m1": 1.2}), "a typing error")
        result = await fabric.call("perceive.mend", mended, SYSTEM, MendResult)
        batch, _ = await stored(settings)
        left = (await running.letters()).letters
    assert letter.connector == "edge"
    assert letter.source == "plant/dev"
    assert result.samples == 1
    assert batch.value.tolist() == [1.2]
    assert left == ()


async def test_a_pack_that_breaks_its_decoder_is_a_dead_letter_and_spoils_no_other(
    settings: Settings, fabric_process: FabricProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = SenmlDecoder.decode

    def breaking(self: SenmlDecoder, packs: list[Any]) -> Any:
        if any(b"poison" in pack.payload for pack in packs):
            raise ZeroDivisionError("a fault nobody thought of")
        return plain(self, packs)

    monkeypatch.setattr(SenmlDecoder, "decode", breaking)
    async with edge(settings) as running:
        device = await PahoDevice(running.port, "d1").start()
        for n in range(10):
            device.send("plant/dev", b"poison" if n == 4 else senml({"m1": n}, START_S + n))
        await until(lambda: device.acked == 10)
        await device.stop()
        batch, _ = await stored(settings)
        letters = (await running.letters()).letters
    assert set(batch.value.tolist()) == set(range(10)) - {4}
    assert [letter.raw for letter in letters] == [b"poison"]
    assert "ZeroDivisionError" in letters[0].reason

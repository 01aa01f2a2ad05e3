"""Sparkplug: payloads byte for byte as Eclipse Tahu writes them, and an edge node's life on a broker."""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from pathlib import Path

import pytest

from anlan.sim import catalogue
from anlan.sim.journal import read
from anlan.sim.ports import Ports
from anlan.sim.signals import layout
from anlan.sim.sparkplug import DataType, Metric, asks_rebirth, encode_payload, fields
from tests.sim.conftest import running
from tests.sim.peers import Subscriber, broker, until

FIELDS = ("int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value")


def _metric(document: dict[str, object]) -> Metric:
    raw = next((document[name] for name in FIELDS if name in document), None)
    datatype = DataType(int(str(document["datatype"])))
    value = int(raw) if isinstance(raw, str) and datatype != DataType.STRING else raw
    alias, time = document.get("alias"), document.get("timestamp")
    return Metric(
        value,  # type: ignore[arg-type]  # what JSON holds
        datatype,
        str(document.get("name", "")),
        int(str(alias)) if alias is not None else None,
        int(str(time)) if time is not None else None,
    )


def test_encodes_as_the_official_schema_does(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "protocols" / "sparkplug_b" / "payloads.json").read_text())
    known = {"name", "alias", "timestamp", "datatype", *FIELDS}
    plain = [
        vector
        for vector in vectors
        if all(set(metric) <= known and "datatype" in metric for metric in vector["payload"]["metrics"])
    ]
    assert len(plain) >= 3
    for vector in plain:
        payload = vector["payload"]
        seq = payload.get("seq")
        time = payload.get("timestamp")
        encoded = encode_payload(
            [_metric(metric) for metric in payload["metrics"]],
            timestamp=int(time) if time else None,
            seq=int(seq) if seq is not None else None,
        )
        assert encoded.hex() == vector["hex"], vector["topic"]


def read_payload(payload: bytes) -> tuple[dict[int, tuple[int, float]], dict[str, int], int]:
    """Return values by alias as (ms, value), aliases by name, and the sequence number (-1 without)."""
    values: dict[int, tuple[int, float]] = {}
    names: dict[str, int] = {}
    seq = -1
    for key, field in fields(payload):
        if key == 0x18 and isinstance(field, int):
            seq = field
        if key == 0x12 and isinstance(field, bytes):
            metric = dict(fields(field))
            alias = metric.get(0x10)
            if not isinstance(alias, int):
                continue
            raw, count = metric.get(0x65), metric.get(0x50)
            value = struct.unpack("<f", raw)[0] if isinstance(raw, bytes) else float(count)  # type: ignore[arg-type]  # an int then
            values[alias] = (int(metric[0x18]), value)
            if 0x0A in metric:
                names[bytes(metric[0x0A]).decode()] = alias
    return values, names, seq


async def test_births_data_rebirth_and_death(tmp_path: Path, journal_folder: Path) -> None:
    ports = Ports.free()
    with broker(tmp_path / "broker", ports.mqtt_edge):
        observer = await asyncio.to_thread(Subscriber, ports.mqtt_edge, "spBv1.0/#")
        async with running(journal_folder, ports=ports, only=frozenset({catalogue.EDGE})) as park:
            await until(lambda: observer.verbs("/haian").count("DDATA") > 1, "data after the births")
            request = encode_payload(
                [Metric(True, DataType.BOOLEAN, "Node Control/Rebirth", timestamp=1)], timestamp=1, seq=None
            )
            assert asks_rebirth(request)
            observer.client.publish("spBv1.0/donggang/NCMD/haian", request, qos=1)
            await until(lambda: observer.verbs("/haian").count("DBIRTH") == 4, "the second births")
            await asyncio.sleep(1.0)
            await park.finish()
        await asyncio.sleep(0.4)
        observer.close()
    mine = [
        (topic.split("/"), payload)
        for topic, payload, _ in observer.messages
        if "/haian" in topic and "NCMD" not in topic
    ]
    verbs = [topic[2] for topic, _ in mine]
    assert verbs.count("NBIRTH") == 2
    assert verbs.count("DBIRTH") == 4
    assert verbs[-1] == "NDEATH"
    sequence = [(topic[2], read_payload(payload)[2]) for topic, payload in mine if topic[2] != "NDEATH"]
    for (_, before), (verb, after) in itertools.pairwise(sequence):
        assert after == (0 if verb == "NBIRTH" else (before + 1) % 256)
    _check_values(mine, journal_folder)


def _check_values(mine: list[tuple[list[str], bytes]], folder: Path) -> None:
    points = {p.tag.removeprefix("spB:donggang/"): p.index for p in layout().points if p.connector == catalogue.EDGE}
    aliases: dict[int, int] = {}
    got: dict[tuple[int, int], float] = {}
    for topic, payload in mine:
        values, names, _ = read_payload(payload)
        device = "/".join(topic[3:])
        aliases |= {alias: points[f"{device}:{name}"] for name, alias in names.items() if name[0].isupper()}
        got |= {(aliases[alias], time * 1000): value for alias, (time, value) in values.items()}
    table = read(folder, catalogue.EDGE, "sent")
    node = {index for tag, index in points.items() if tag.startswith("haian/")}
    sent = {
        (point, time): value
        for point, time, value in zip(*(table[name].to_pylist() for name in ("point", "time", "value")), strict=True)
        if point in node
    }
    assert len(sent) > 500
    assert got == pytest.approx(sent, abs=0)


async def test_a_broken_line_brings_the_will(tmp_path: Path, journal_folder: Path) -> None:
    from anlan.sim.edge import SparkplugFeed
    from anlan.sim.journal import Journal
    from anlan.sim.park import Park
    from anlan.sim.upsets import Scenario

    ports = Ports.free()
    park = Park(1, scenario=Scenario.quiet())
    feed = SparkplugFeed(park, "gangneng", ports.mqtt_edge, "x", Journal(journal_folder, park.points), lambda: 1)
    with broker(tmp_path / "broker", ports.mqtt_edge):
        observer = await asyncio.to_thread(Subscriber, ports.mqtt_edge, "spBv1.0/#")
        running_line = asyncio.ensure_future(feed.mqtt.run())
        await until(lambda: observer.verbs("gangneng").count("NBIRTH") == 1, "the first birth")
        feed.mqtt.drop()
        await until(lambda: observer.verbs("gangneng").count("NBIRTH") == 2, "the second birth")
        await until(lambda: observer.verbs("gangneng").count("NDEATH") == 1, "the will of the broken line")
        running_line.cancel()
        await asyncio.gather(running_line, return_exceptions=True)
        observer.close()
    verbs = [topic.split("/")[2] for topic, _, _ in observer.messages]
    assert verbs[:3] == ["NBIRTH", "NDEATH", "NBIRTH"]


def test_the_will_carries_the_bd_seq_of_its_session(journal_folder: Path) -> None:
    # Read from the CONNECT itself: nats-server's listener hands wills on whose last bytes later packets overwrote.
    from anlan.sim.edge import SparkplugFeed
    from anlan.sim.journal import Journal
    from anlan.sim.park import Park
    from anlan.sim.upsets import Scenario

    park = Park(1, scenario=Scenario.quiet())
    feed = SparkplugFeed(park, "gangneng", 1, "x", Journal(journal_folder, park.points), lambda: 1)
    for session in (0, 1):
        death = encode_payload([Metric(session, DataType.INT64, "bdSeq")], timestamp=None, seq=None)
        will = struct.pack(">H", len(death)) + death
        assert b"spBv1.0/donggang/NDEATH/gangneng" + will in feed.mqtt._connect_packet()


async def test_samples_without_a_line_are_counted(tmp_path: Path, journal_folder: Path) -> None:
    from anlan.sim.edge import SparkplugFeed
    from anlan.sim.journal import Journal
    from anlan.sim.park import Park
    from anlan.sim.upsets import Scenario

    ports = Ports.free()
    park = Park(1, scenario=Scenario.quiet())
    journal = Journal(journal_folder, park.points)
    feed = SparkplugFeed(park, "gangneng", ports.mqtt_edge, "x", journal, lambda: 1)
    await feed.sample(1000)
    assert journal.totals == {}, "before the first birth nothing is missed"
    with broker(tmp_path / "broker", ports.mqtt_edge):
        line = asyncio.ensure_future(feed.mqtt.run())
        while not feed.mqtt.connected:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        await feed.sample(2000)
    while feed.mqtt.connected:
        await asyncio.sleep(0.02)
    await feed.sample(3000)
    line.cancel()
    await asyncio.gather(line, return_exceptions=True)
    totals = journal.totals[catalogue.EDGE]
    assert totals["sent"] > len(feed.points)
    assert 0 < totals["unsent"] <= len(feed.points)

"""MQTT on the wire: any split of the bytes gives the same packets, anything at all gives packets or an error."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.perceive.connectors import _mqtt_packets as mqtt
from anlan.perceive.connectors._mqtt_broker import Retained, Session, Subscriptions, inside, networks


class Recorder(mqtt.PacketProtocol):
    """Notes every packet."""

    def __init__(self, version: int) -> None:
        super().__init__(1 << 20)
        self.version = version
        self.found: list[Any] = []

    def on_publish(self, flags: int, topic: bytes, identifier: int, payload: bytes, properties: Any) -> None:
        self.found.append(("publish", flags, topic, identifier, payload, properties or {}))

    def on_packet(self, kind: int, flags: int, data: bytes, start: int, end: int) -> None:
        self.found.append((kind, flags, data[start:end]))

    def on_error(self, error: mqtt.MqttError, data: bytes) -> None:
        self.found.append(("error", error.reason))


def feed(version: int, pieces: list[bytes]) -> list[Any]:
    async def run() -> list[Any]:
        recorder = Recorder(version)
        for piece in pieces:
            recorder.data_received(piece)
            if recorder.found and recorder.found[-1][0] == "error":
                break
        return recorder.found

    return asyncio.run(run())


publishes = st.builds(
    lambda topic, payload, qos, retain, dup: (topic.encode(), payload, qos, retain, dup and qos > 0),
    st.text(min_size=1, max_size=20),
    st.one_of(st.binary(max_size=30), st.binary(min_size=200, max_size=20_000)),
    st.integers(0, 1),
    st.booleans(),
    st.booleans(),
)


@given(st.sampled_from([4, 5]), st.lists(st.one_of(publishes, st.just("ping")), max_size=8), st.data())
@settings(max_examples=150, deadline=None)
def test_any_split_gives_the_same_packets(version: int, sent: list[Any], data: st.DataObject) -> None:
    stream, expected = b"", []
    for number, entry in enumerate(sent, start=1):
        if entry == "ping":
            stream += b"\xc0\x00"
            expected.append((mqtt.PINGREQ, 0, b""))
            continue
        topic, payload, qos, retain, dup = entry
        stream += mqtt.publish(version, topic, payload, qos, retain, number, dup)
        flags = 0x30 | dup << 3 | qos << 1 | retain
        expected.append(("publish", flags, topic, number if qos else 0, payload, {}))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert feed(version, pieces) == expected


@given(st.sampled_from([4, 5]), st.lists(st.binary(max_size=50), max_size=6))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_packets_or_one_error(version: int, pieces: list[bytes]) -> None:
    found = feed(version, pieces)
    assert [entry[0] for entry in found[:-1]].count("error") == 0
    assert found == feed(version, [b"".join(pieces)])


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_connect_is_taken_or_refused(body: bytes) -> None:
    for raw in (body, mqtt.text("MQTT") + body, mqtt.text("MQTT") + b"\x05" + body):
        with contextlib.suppress(mqtt.MqttError):
            assert mqtt.parse_connect(raw, 0, len(raw)).version in (4, 5)


@given(
    st.sampled_from([4, 5]),
    st.text(max_size=10).filter(lambda text: "\0" not in text),
    st.one_of(st.none(), st.binary(max_size=10)),
    st.integers(0, 65535),
    st.booleans(),
)
def test_connect_reads_what_was_written(
    version: int, user: str, password: bytes | None, keep_alive: int, clean: bool
) -> None:
    will = mqtt.Will("w/t", b"gone", 1, True, 5 if version == 5 else 0)
    properties: mqtt.Properties = {mqtt.SESSION_EXPIRY: 77} if version == 5 else {}
    sent = mqtt.Connect(version, "client", clean, keep_alive, properties, will, user, password)
    (found,) = feed(version, [mqtt.connect(sent)])
    assert mqtt.parse_connect(found[2], 0, len(found[2])) == sent


LEVELS = st.lists(st.sampled_from(["a", "b", "+", "", "$x"]), min_size=1, max_size=4)
FILTERS = st.builds(lambda levels, tail: "/".join([*levels, *tail]), LEVELS, st.sampled_from([[], ["#"]]))
TOPICS = st.lists(st.sampled_from(["a", "b", "", "$x", "c"]), min_size=1, max_size=5).map("/".join)


@given(st.lists(FILTERS, max_size=6), TOPICS)
def test_the_tree_finds_what_single_filters_match(names: list[str], topic: str) -> None:
    tree = Subscriptions()
    sessions = [Session(str(number), "") for number in range(len(names))]
    for name, session in zip(names, sessions, strict=True):
        tree.add(name, session, 1)
    expected = {session.client_id for name, session in zip(names, sessions, strict=True) if mqtt.matches(name, topic)}
    assert {session.client_id for session in tree.matching(topic)} == expected
    for session in sessions:
        tree.forget(session)
    assert tree.matching(topic) == {}
    assert (tree.count, tree._root.children) == (0, {})


@given(FILTERS, FILTERS, TOPICS)
def test_covering_means_matching_every_topic(allowed: str, name: str, topic: str) -> None:
    if mqtt.covers(allowed, name) and mqtt.matches(name, topic):
        assert mqtt.matches(allowed, topic)


@pytest.mark.parametrize(
    ("name", "topic", "expected"),
    [
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/+/c", "a//c", True),
        ("+", "a/b", False),
    ],
)
def test_wildcards(name: str, topic: str, expected: bool) -> None:
    assert mqtt.matches(name, topic) is expected


def test_retained_messages_are_bounded() -> None:
    kept = Retained()
    for number in range(10_050):
        kept.put(f"t/{number}", b"x", 0)
    assert (len(kept), kept.refused) == (10_000, 50)
    kept.put("t/1", b"", 0)
    assert len(list(kept.matching("t/1"))) == 0


def test_peers() -> None:
    allowed = networks(["10.1.0.0/16", "::1"], "")
    assert inside("10.1.2.3", allowed)
    assert inside("::ffff:10.1.2.3", allowed)
    assert not inside("10.2.0.1", allowed)
    assert not inside("", allowed)
    assert inside("10.2.0.1", ())

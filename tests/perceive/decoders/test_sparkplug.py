"""Sparkplug B: vectors of the official schema, state of edge nodes, and any bytes at all."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.loadgen import sparkplug_payload, varint
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.quality import Quality
from anlan.perceive.decoders import _sparkplug_wire as wire
from anlan.perceive.decoders import sparkplug
from anlan.perceive.decoders.columns import Decoded, Pack
from anlan.perceive.decoders.sparkplug import SparkplugDecoder, parse, rebirth_request, split_tag
from tests.conftest import ROOT

NOW = 1_767_225_600_000_000
TAGS = {
    ("g", "n", "", "temp"): 1,
    ("g", "n", "", "count"): 2,
    ("g", "n", "d", "flow"): 3,
    ("g", "n", "d", "state"): 4,
    ("g", "other", "", "temp"): 5,
}


class Peer:
    """A decoder and a clock; each pack comes a millisecond after the one before."""

    def __init__(self) -> None:
        self.decoder = SparkplugDecoder(TAGS)
        self.now = NOW

    def pack(self, topic: str, payload: bytes, repeated: bool = False) -> Pack:
        self.now += 1_000
        return Pack(self.decoder.route(f"spBv1.0/g/{topic}"), payload, self.now, repeated)

    def send(self, topic: str, *payload: Any, repeated: bool = False) -> Decoded:
        body = payload[0] if isinstance(payload[0], bytes) else sparkplug_payload(*payload)
        return self.decoder.decode([self.pack(topic, body, repeated)])

    def born(self) -> Peer:
        self.send("NBIRTH/n", 1, 0, [("bdSeq", None, 4, 7), ("temp", 1, 10, 1.0), ("count", 2, 3, 5)])
        self.send("DBIRTH/n/d", 2, 1, [("flow", 10, 9, 0.5), ("state", 11, 11, 1), ("extra", 12, 10, 1.0)])
        return self


def values(decoded: Decoded) -> list[tuple[int, float]]:
    return list(zip(decoded.batch.point.tolist(), decoded.batch.value.tolist(), strict=True))


def vectors(shared_data: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((shared_data / "protocols/sparkplug_b/payloads.json").read_text())
    return found


def test_vectors_of_the_official_schema(shared_data: Path) -> None:
    for vector in vectors(shared_data):
        payload, expected = parse(bytes.fromhex(vector["hex"])), vector["payload"]
        assert payload.time == int(expected["timestamp"])
        assert payload.seq == int(expected.get("seq", -1))
        assert [metric.name for metric in payload.metrics] == [metric["name"] for metric in expected["metrics"]]
        for metric, told in zip(payload.metrics, expected["metrics"], strict=True):
            assert (metric.time, metric.datatype) == (int(told.get("timestamp", -1)), told["datatype"])
            assert metric.alias == (int(told["alias"]) if "alias" in told else None)
            assert metric.historical == told.get("is_historical", False)
            plain = next(
                (told[key] for key in told if key.endswith("_value") and key[:4] not in ("data", "temp")), None
            )
            signed = vector["signed_values"].get(metric.name, plain)
            expected_value = float(signed) if signed is not None and told["datatype"] != 12 else signed
            assert metric.value == (pytest.approx(expected_value) if expected_value is not None else None)


def test_the_kernel_decodes_the_vectors_as_columns(shared_data: Path) -> None:
    chosen = {vector["topic"]: bytes.fromhex(vector["hex"]) for vector in vectors(shared_data)[:5]}
    names = ["T101", "P101", "Level", "Count", "Big", "Neg", "Byte", "When"]
    tags = {("plant1", "edge1", "tank1", f"Inputs/{name}"): number for number, name in enumerate(names, start=1)}
    tags[("plant1", "edge1", "", "Inputs/P101")] = 9
    decoder = SparkplugDecoder(tags)
    topics = ["spBv1.0/plant1/NBIRTH/edge1", "spBv1.0/plant1/DBIRTH/edge1/tank1", "spBv1.0/plant1/NDATA/edge1"]
    decoded = decoder.decode([Pack(decoder.route(topic), chosen[topic], NOW) for topic in topics])
    assert values(decoded) == [
        (1, 23.5),
        (2, -0.1013),
        (3, -120.0),
        (4, 4294967295.0),
        (5, 18446744073709551615.0),
        (6, -9223372036854775808.0),
        (7, -1.0),
        (8, 1767225599123.0),
        (9, 1.5),
    ]
    assert decoded.batch.time.tolist() == [1_767_225_600_000_000] * 9


def test_aliases_mean_what_the_birth_said() -> None:
    peer = Peer().born()
    decoded = peer.send("DDATA/n/d", 3, 2, [("", 10, 0, 2.5), ("", 11, 11, 0), ("", 12, 0, 9.0)])
    assert values(decoded) == [(3, 2.5), (4, 0.0)]
    assert decoded.unmapped == {"spB:g/n/d:*": 1}
    minus = 2**32 - 3
    assert values(peer.send("NDATA/n", b"\x08\x05\x12\x0a\x10\x02\x18\x06\x50" + varint(minus))) == [(2, -3.0)]


def test_an_alias_before_the_birth_is_a_dead_letter_and_asks_for_rebirth_once() -> None:
    peer = Peer()
    first = peer.send("NDATA/n", 1, 4, [("", 1, 0, 2.0)])
    second = peer.send("NDATA/n", 2, 5, [("", 1, 0, 2.0)])
    peer.now += sparkplug.REBIRTH_EVERY
    third = peer.send("NDATA/n", 3, 6, [("", 1, 0, 2.0)])
    assert [len(decoded.answers) for decoded in (first, second, third)] == [1, 0, 1]
    topic, command = first.answers[0]
    assert topic == "spBv1.0/g/NCMD/n"
    (metric,) = parse(command).metrics
    assert (metric.name, metric.datatype, metric.value) == ("Node Control/Rebirth", 11, 1.0)
    assert first.problems[0][0] == 0
    assert len(first.batch) == 0


def test_a_named_metric_needs_no_alias() -> None:
    decoded = Peer().send("NDATA/n", 1, 4, [("temp", None, 10, 2.0), ("unknown", None, 10, 1.0)])
    assert values(decoded) == [(1, 2.0)]
    assert decoded.unmapped == {"spB:g/n:*": 1}


def test_a_gap_in_seq_asks_for_rebirth_but_keeps_the_data() -> None:
    peer = Peer().born()
    good = peer.send("NDATA/n", 3, 2, [("", 1, 0, 3.0)])
    repeated = peer.send("NDATA/n", 3, 2, [("", 1, 0, 3.0)], repeated=True)
    gap = peer.send("NDATA/n", 4, 9, [("", 1, 0, 4.0)])
    assert [len(decoded.answers) for decoded in (good, repeated, gap)] == [0, 0, 1]
    assert values(gap) == [(1, 4.0)]


def test_seq_wraps_after_255() -> None:
    peer = Peer().born()
    asked = [peer.send("NDATA/n", n, n % 256, [("", 1, 0, float(n))]).answers for n in range(2, 700)]
    assert not any(asked)


def test_a_death_marks_the_points_and_an_old_will_does_not() -> None:
    peer = Peer().born()
    old = peer.send("NDEATH/n", 1, None, [("bdSeq", None, 4, 6)])
    device = peer.send("DDEATH/n/d", 5, 2, [])
    node = peer.send("NDEATH/n", 1, None, [("bdSeq", None, 4, 7)])
    after = peer.send("NDATA/n", 9, 3, [("", 1, 0, 1.0)])
    assert len(old.batch) == 0
    assert device.batch.point.tolist() == [3, 4]
    assert sorted(node.batch.point.tolist()) == [1, 2, 3, 4]
    assert set(node.batch.quality.tolist()) == {Quality.BAD_NOT_CONNECTED}
    assert set(node.batch.time.tolist()) == {peer.now - 1_000}
    assert after.problems
    assert peer.decoder.online() == {"g/n": False, "g/other": False}


def test_births_and_deaths_take_effect_in_their_place() -> None:
    peer = Peer()
    packs = [
        peer.pack("NDATA/n", sparkplug_payload(1, 1, [("", 1, 0, 1.0)])),
        peer.pack("NBIRTH/n", sparkplug_payload(2, 0, [("temp", 1, 10, 2.0)])),
        peer.pack("NDATA/n", sparkplug_payload(3, 1, [("", 1, 0, 3.0)])),
        peer.pack("NDATA/n", b"\x12\x05"),
        peer.pack("NDATA/n", sparkplug_payload(4, 2, [("", 1, 0, 4.0)])),
        peer.pack("NDEATH/n", sparkplug_payload(5, None, [])),
        peer.pack("NDATA/n", sparkplug_payload(6, 3, [("", 1, 0, 6.0)])),
        peer.pack("NBIRTH/n", sparkplug_payload(7, 0, [("temp", 3, 10, 7.0)])),
        peer.pack("NDATA/n", sparkplug_payload(8, 1, [("", 3, 0, 8.0)])),
    ]
    together = peer.decoder.decode(packs)
    alone = SparkplugDecoder(TAGS)
    parts = [alone.decode([pack._replace(route=alone.route(_topic(pack))) for pack in [pack]]) for pack in packs]
    good = together.batch.take(together.batch.quality == 0)
    assert good.value.tolist() == [2.0, 3.0, 4.0, 7.0, 8.0]
    assert [index for index, _ in together.problems] == [0, 3, 6]
    singly = [value for part in parts for value in part.batch.value.tolist()]
    assert np.array_equal(together.batch.value, np.array(singly), equal_nan=True)


def _topic(pack: Pack) -> str:
    return f"spBv1.0/g/{pack.route.kind}/n"


def test_null_quality_and_texts() -> None:
    peer = Peer().born()
    null = b"\x08\x05\x12\x06\x10\x01\x18\x06\x38\x01"
    properties = b"\x0a\x07Quality" + b"\x12\x05\x08\x03\x18" + varint(500)
    stale_metric = b"\x10\x01\x18\x07\x4a" + varint(len(properties)) + properties + b"\x69" + bytes(8)
    stale = b"\x12" + varint(len(stale_metric)) + stale_metric
    text_metric = b"\x10\x01\x18\x08\x7a\x06" + "泵".encode() + b"on!"
    text = b"\x12" + varint(len(text_metric)) + text_metric
    decoded = peer.send("NDATA/n", null + stale + text)
    assert decoded.batch.quality.tolist() == [Quality.BAD, Quality.BAD_STALE]
    assert np.isnan(decoded.batch.value[0])
    assert [(text.point, text.time, text.text) for text in decoded.texts] == [(1, 8_000, "泵on!")]


def test_many_births_do_not_fill_the_alias_table() -> None:
    peer = Peer()
    for number in range(60):
        listed = [("temp", 10_000 + number, 10, 1.0)] + [(f"x{n}", n, 10, 0.0) for n in range(100)]
        peer.send("NBIRTH/n", number, 0, listed)
    assert values(peer.send("NDATA/n", 99, 1, [("", 10_059, 0, 5.0)])) == [(1, 5.0)]
    assert len(peer.decoder._aliases.keys) <= 4096


@pytest.mark.parametrize(
    "topic", ["spBv1.0", "spBv1.0/g", "spAv1.0/g/NDATA/n", "spBv1.0/g/NDATA/n/d", "spBv1.0/g/DDATA/n"]
)
def test_topics_that_are_not_sparkplug(topic: str) -> None:
    with pytest.raises(DecodeError, match="no Sparkplug topic"):
        SparkplugDecoder(TAGS).route(topic)


def test_tags() -> None:
    assert split_tag("spB:G/N:a/b:c") == ("G", "N", "", "a/b:c")
    assert split_tag("spB:G/N/D:m") == ("G", "N", "D", "m")
    assert split_tag({"group": "G", "node": "N", "device": "D", "metric": "m"}) == ("G", "N", "D", "m")
    for wrong in ("spB:G:m", "spB:G/N", "spB:G//D:m", {"group": "G"}):
        with pytest.raises(InvalidInputError):
            split_tag(wrong)


def test_errors_name_the_byte() -> None:
    for payload, reason in (
        (b"\x08", "cut off"),
        (b"\x12\x7f\x0a", "past the end"),
        (b"\x12\x02\x0a\x05", "past the end"),
        (b"\x08" + b"\xff" * 11, "more than ten bytes"),
        (b"\x0b", "wire type"),
        (b"\x00\x00", "field number of zero"),
        (b"\x12\x03\x69\x00\x00", "cut off"),
    ):
        with pytest.raises(DecodeError, match=reason) as caught:
            parse(payload)
        assert caught.value.where.startswith("byte ")


def test_the_rebirth_request_is_a_payload() -> None:
    payload = parse(rebirth_request(1_767_225_600_000))
    assert payload.time == payload.metrics[0].time == 1_767_225_600_000


def check_any_bytes(payloads: list[bytes]) -> None:
    """Decode ``payloads`` after a birth; every pack gives rows or a problem, alone as together."""
    peer = Peer().born()
    packs = [peer.pack("NDATA/n", payload) for payload in payloads]
    decoded = peer.decoder.decode(packs)
    assert len(decoded.batch.point) == len(decoded.batch.quality)
    assert set(decoded.batch.point.tolist()) <= set(TAGS.values())
    for payload in payloads:
        try:
            parse(payload)
        except DecodeError:
            continue
        for topic in ("NBIRTH/n", "DBIRTH/n/d", "DDATA/n/d", "DDEATH/n/d", "NDEATH/n"):
            peer.send(topic, payload)


def mutations(rng: np.random.Generator, count: int) -> list[bytes]:
    """Return real payloads with bytes changed, cut and doubled, and plain noise."""
    seeds = [
        sparkplug_payload(1_767_225_600_000, 3, [("", 1, 0, 2.5), ("temp", None, 10, 1.0), ("count", 2, 3, 4)]),
        rebirth_request(5),
        b"\x12\x18\x10\x01\x4a\x12\x0a\x07Quality\x12\x07\x08\x03\x18\xc0\x01\x20\x05\x7a\x00",
    ]
    found = []
    for number in range(count):
        raw = bytearray(
            seeds[number % 3] if number % 4 else rng.integers(0, 256, rng.integers(0, 80), np.uint8).tobytes()
        )
        for _ in range(int(rng.integers(0, 4))):
            if raw:
                raw[int(rng.integers(len(raw)))] = int(rng.integers(256))
        found.append(bytes(raw[: int(rng.integers(len(raw) + 1))]) if number % 3 == 0 else bytes(raw))
    return found


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_rows_or_a_problem(payloads: list[bytes]) -> None:
    check_any_bytes(payloads)


def test_mutated_payloads_give_rows_or_a_problem() -> None:
    rng = np.random.default_rng(11)
    for _ in range(40):
        check_any_bytes(mutations(rng, 25))


def guard_buffers() -> None:
    """Let every buffer the kernels see end where the next page may not be read: a read beyond it is a crash."""
    page = mmap.PAGESIZE
    area = mmap.mmap(-1, 33 * page)
    whole = np.frombuffer(area, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(whole.ctypes.data + 32 * page), ctypes.c_size_t(page), 0) == 0
    plain = wire.join

    def join(payloads: list[bytes]) -> Any:
        joined, buffer, starts = plain(payloads)
        guarded = whole[32 * page - len(buffer) : 32 * page]
        guarded[:] = buffer
        return joined, guarded, starts

    wire.join = join


def test_no_read_leaves_the_buffer(tmp_path: Path) -> None:
    """Numba's own bounds checks compiled in, and a forbidden page behind every buffer, in a process of its own."""
    code = (
        "import numpy as np\n"
        "from tests.perceive.decoders.test_sparkplug import check_any_bytes, guard_buffers, mutations\n"
        "guard_buffers()\n"
        "rng = np.random.default_rng(5)\n"
        "for _ in range(60): check_any_bytes(mutations(rng, 25))\n"
    )
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, timeout=110)
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]

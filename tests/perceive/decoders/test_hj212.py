"""HJ 212 frames: the vectors, any split of the stream, and streams with anything in them."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import DecodeError
from anlan.core.quality import Quality
from anlan.core.time import from_iso
from anlan.perceive.decoders import hj212

SHANGHAI = ZoneInfo("Asia/Shanghai")
EXAMPLE = (
    b"##0101QN=20160801085857223;"
    b"ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80\r\n"
)
DATA = (
    "QN=20261123080000123;ST=31;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&DataTime=20261123080000;"
    "a21026-Rtd=1.1,a21026-Flag=N;a21002-Rtd=112.5,a21002-Flag=N;a34013-Rtd=8.3,a34013-Flag=N;a19001-Rtd=6.5,"
    "a19001-Flag=N;a01012-Rtd=85.2,a01012-Flag=N&&"
)


def read_all(stream: bytes, sizes: list[int] | None = None) -> list[bytes | hj212.Bad]:
    """Feed the stream in pieces of these sizes, then the rest."""
    reader = hj212.FrameReader()
    found: list[bytes | hj212.Bad] = []
    for size in sizes or []:
        found += reader.feed(stream[:size])
        stream = stream[size:]
    return found + reader.feed(stream)


def good(found: list[bytes | hj212.Bad]) -> list[bytes]:
    return [item for item in found if isinstance(item, bytes)]


def attempt(segment: bytes) -> None:
    """Decode a segment; nothing but a named error may come of one that cannot be."""
    with contextlib.suppress(DecodeError):
        samples = hj212.samples_of(hj212.parse(segment), SHANGHAI)
        assert len(samples.names) == len(samples.values) == len(samples.times) == len(samples.qualities)


def test_the_standards_own_example() -> None:
    [segment] = good(read_all(EXAMPLE))
    message = hj212.parse(segment)
    assert (message.cn, message.st, message.pw, message.edition) == ("1062", "32", "100000", "2017")
    assert message.wants_answer
    assert message.groups == ({"RtdInterval": "30"},)


def test_published_frames_are_taken_or_refused_as_their_crc_says(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "protocols" / "hj212" / "frames.json").read_text())
    framed = [vector for vector in vectors if vector["frame"]]
    assert len(framed) >= 17
    for vector in framed:
        found = good(read_all(vector["frame"].encode() + b"\r\n" + EXAMPLE))
        usable = bool(vector["crc_ok"] and vector["length_ok"])
        assert len(found) == (2 if usable else 1), vector["frame"]
        if usable:
            message = hj212.parse(found[0])
            flat = [item for group in vector["cp"] for item in group.items()]
            assert [item for group in message.groups for item in group.items()] == flat
            assert (message.cn, message.mn) == (vector["header"]["CN"], vector["header"]["MN"])


def test_an_answer_is_the_published_frame() -> None:
    message = hj212.parse(DATA.encode())
    wanted = b"##0087QN=20261123080000123;ST=91;CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&&&3E80\r\n"
    assert hj212.answer(message, "9014") == wanted


@pytest.mark.parametrize(("flag", "edition"), [(0, "2005"), (3, "2005"), (5, "2017"), (8, "2025"), (252, "unknown")])
def test_the_edition_is_told_by_the_version_bits(flag: int, edition: str) -> None:
    assert hj212.parse(f"CN=2011;MN=A;Flag={flag};CP=&&&&".encode()).edition == edition


def test_samples_carry_device_time_and_quality_by_flag() -> None:
    text = "CN=2011;MN=A;CP=&&DataTime=20261123080000;" + ";".join(
        f"f{flag}-Rtd=1.5,f{flag}-Flag={flag}" for flag in "NFMSDCTBX"
    )
    samples = hj212.samples_of(hj212.parse(f"{text};e-Rtd=---,e-Flag=B&&".encode()), SHANGHAI)
    wanted = [
        Quality.GOOD, Quality.BAD_OUT_OF_SERVICE, Quality.BAD_OUT_OF_SERVICE, Quality.GOOD_OVERRIDDEN,
        Quality.BAD_SENSOR, Quality.BAD_CALIBRATING, Quality.UNCERTAIN_RANGE, Quality.BAD_COMMUNICATION,
        Quality.UNCERTAIN, Quality.BAD_COMMUNICATION,
    ]  # fmt: skip
    assert samples.qualities == wanted
    assert set(samples.times) == {from_iso("2026-11-23T08:00:00+08:00")}
    assert math.isnan(samples.values[-1])


def test_an_item_that_is_no_number_is_named_and_the_rest_is_kept() -> None:
    samples = hj212.samples_of(
        hj212.parse(b"CN=2011;MN=A;CP=&&DataTime=20261123080000;a-Rtd=1.x,a-Flag=N;b-Rtd=2;c-Rtd=3,c-SampleTime=1&&"),
        SHANGHAI,
    )
    assert (samples.names, samples.values) == (["b-Rtd"], [2.0])
    assert [error.where for error in samples.errors] == ["a-Rtd", "c-SampleTime"]


@pytest.mark.parametrize(
    "segment",
    [b"", b"CN=2011;CP=&&&&", b"MN=1;CP=&&&&", b"CN=1;MN=1;Flag=x;CP=&&&&", b"CN=1;MN=1;Flag=999;CP=", b"\xff\xfe\0"],
)
def test_a_segment_without_what_it_needs_is_named(segment: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        hj212.parse(segment)
    assert caught.value.where.startswith("HJ 212 header")


def test_a_frame_with_a_wrong_length_does_not_swallow_the_next() -> None:
    frame = hj212.encode_frame(DATA)
    for wrong in (b"0001", b"0300", b"9999", b"00x1"):
        found = read_all(frame[:2] + wrong + frame[6:] + frame)
        assert good(found) == [DATA.encode()]
        assert any(isinstance(item, hj212.Bad) for item in found)


_segments = st.lists(
    st.builds(
        "QN=20261123080000123;ST=31;CN=2011;MN={};Flag=4;CP=&&a-Rtd={}&&".format,
        st.text("0123456789ABCDEF", min_size=1, max_size=24),
        st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    min_size=1,
    max_size=8,
    unique=True,
)


@given(_segments, st.lists(st.integers(1, 40), max_size=60))
def test_any_split_of_the_stream_gives_the_same_frames(segments: list[str], sizes: list[int]) -> None:
    stream = b"".join(hj212.encode_frame(segment) for segment in segments)
    assert read_all(stream, sizes) == [segment.encode() for segment in segments]


@given(_segments, st.data())
def test_a_damaged_byte_costs_at_most_its_own_frame(segments: list[str], data: st.DataObject) -> None:
    frames = [hj212.encode_frame(segment) for segment in segments]
    victim = data.draw(st.integers(0, len(frames) - 1))
    at = data.draw(st.integers(0, len(frames[victim]) - 3))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value not in (frames[victim][at], 0x23)))
    damaged = bytearray(frames[victim])
    damaged[at] = byte
    # The length digits of the last frame could ask for more than ever comes; a following frame ends that wait.
    stream = b"".join([*frames[:victim], bytes(damaged), *frames[victim + 1 :], EXAMPLE])
    found = good(read_all(stream, data.draw(st.lists(st.integers(1, 50), max_size=40))))
    others = [frame for index, frame in enumerate(segments) if index != victim]
    wanted = [*(frame.encode() for frame in others), *good(read_all(EXAMPLE))]
    assert [item for item in found if item != segments[victim].encode()] == wanted


@given(st.lists(st.one_of(st.binary(max_size=60), st.just(b"##"), st.just(b"##9999"), st.just(EXAMPLE)), max_size=30))
def test_anything_at_all_is_survived_and_bounded(pieces: list[bytes]) -> None:
    reader = hj212.FrameReader()
    for piece in pieces:
        for item in reader.feed(piece):
            if isinstance(item, hj212.Bad):
                assert item.reason.fix
            else:
                attempt(item)
    assert len(reader._buffer) < hj212.MAX_LENGTH + 80


@given(st.binary(max_size=300))
def test_any_segment_gives_samples_or_a_named_error(body: bytes) -> None:
    attempt(b"CN=2011;MN=A;CP=&&DataTime=20261123080000;" + body)

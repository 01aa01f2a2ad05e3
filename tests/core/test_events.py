"""Event envelopes."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.events import Event, EventType, decode_event, encode_event, sample_range

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
EVENTS = st.builds(
    Event,
    id=st.text(max_size=26),
    type=st.sampled_from(EventType).map(str),
    source=st.text(max_size=10),
    time=st.integers(0, 4_102_444_800_000_000),
    subject=st.text(max_size=20),
    causes=st.lists(st.text(max_size=20), max_size=4).map(tuple),
    data=st.dictionaries(st.text(max_size=8), JSON, max_size=4),
)


@given(EVENTS)
def test_an_event_survives_the_fabric(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


@given(EVENTS)
def test_its_cloud_event_has_what_the_standard_requires(event: Event) -> None:
    told = json.loads(json.dumps(event.cloud_event()))
    assert {"specversion", "id", "source", "type"} <= set(told)
    assert (told["specversion"], told["id"], told["type"]) == ("1.0", event.id, f"org.anlan.{event.type}")
    assert told["data"] == event.data


@pytest.mark.parametrize("message", [b"", b"{}", b"[1]", b'{"id": 1}', b"\xff\xfe"])
def test_anything_else_is_refused(message: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_event(message)


def test_types_are_the_last_tokens_of_subjects() -> None:
    assert all(kind.value.count(".") == 1 and kind.value.islower() for kind in EventType)


def test_a_range_of_samples_names_node_point_times_and_records() -> None:
    assert sample_range("local", 7, 10, 20, 3, 4) == "samples:local/7/10..20#3-4"

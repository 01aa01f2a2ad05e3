"""JSON on MQTT topics: fields by path, times, qualities, errors that name the field."""

from __future__ import annotations

import math
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import InvalidInputError
from anlan.core.quality import Quality
from anlan.perceive.decoders.columns import Decoded, Pack
from anlan.perceive.decoders.json import Field, JsonDecoder, JsonOptions, options_of, split_path, split_tag

NOW = 1_800_000_000_000_000
FIELDS = {"t": [Field(("a",), 1), Field(("deep", "list", "1"), 2), Field((), 3)], "plain": [Field((), 4)]}


def decode(payload: bytes, topic: str = "t", options: JsonOptions | None = None) -> Decoded:
    decoder = JsonDecoder(FIELDS)
    return decoder.decode([Pack(decoder.route(topic, options), payload, NOW)])


def rows(decoded: Decoded) -> list[tuple[int, int, float, int]]:
    batch = decoded.batch
    columns = (batch.point.tolist(), batch.time.tolist(), batch.value.tolist(), batch.quality.tolist())
    return list(zip(*columns, strict=True))


def test_fields_by_path() -> None:
    decoder = JsonDecoder({"t": FIELDS["t"][:2]})
    payload = b'{"a": 1.5, "deep": {"list": [0, true]}, "ts": 1767225600}'
    decoded = decoder.decode([Pack(decoder.route("t"), payload, NOW)])
    assert rows(decoded) == [(1, 1_767_225_600_000_000, 1.5, 0), (2, 1_767_225_600_000_000, 1.0, 0)]
    assert decoder.route("other") is None


def test_a_bare_number_is_a_document() -> None:
    assert rows(decode(b"21.5", "plain")) == [(4, NOW, 21.5, 0)]
    assert rows(decode(b'"21.5"', "plain")) == [(4, NOW, 21.5, 0)]


def test_a_list_of_documents_and_null() -> None:
    decoder = JsonDecoder({"t": FIELDS["t"][:1]})
    payload = b'[{"a": 1, "time": "2026-01-01T08:00:00+08:00"}, {"a": null, "time": 1767225601000}]'
    found = rows(decoder.decode([Pack(decoder.route("t"), payload, NOW)]))
    assert found[0] == (1, 1_767_225_600_000_000, 1.0, 0)
    assert math.isnan(found[1][2])
    assert (found[1][1], found[1][3]) == (1_767_225_601_000_000, Quality.BAD)


def test_time_zone_precision_and_quality_are_options() -> None:
    options = options_of({"time": "meta.at", "quality": "q"}, ZoneInfo("Asia/Shanghai"))
    decoder = JsonDecoder({"t": FIELDS["t"][:1]})
    payload = b'{"a": 1, "meta": {"at": "2026-01-01 08:00:00"}, "q": "bad-sensor"}'
    found = rows(decoder.decode([Pack(decoder.route("t", options), payload, NOW)]))
    assert found == [(1, 1_767_225_600_000_000, 1.0, Quality.BAD_SENSOR)]
    with pytest.raises(InvalidInputError, match="no precision"):
        options_of({"precision": "hours"}, ZoneInfo("UTC"))


def test_texts_are_events() -> None:
    decoder = JsonDecoder({"t": FIELDS["t"][:1]})
    decoded = decoder.decode([Pack(decoder.route("t"), b'{"a": "door open"}', NOW)])
    assert [(text.point, text.time, text.text) for text in decoded.texts] == [(1, NOW, "door open")]


@pytest.mark.parametrize(
    ("payload", "where", "reason"),
    [
        (b"{", "t", "no JSON"),
        (b'{"a": {"x": 1}}', "t#a", "no number"),
        (b'{"a": 1, "time": "yesterday"}', "t#time", "no time"),
        (b'{"a": 1, "time": 1e300}', "t#time", "beyond all times"),
    ],
)
def test_errors_name_topic_and_field(payload: bytes, where: str, reason: str) -> None:
    decoder = JsonDecoder({"t": FIELDS["t"][:1]})
    good = b'{"a": 7}'
    decoded = decoder.decode([Pack(decoder.route("t"), body, NOW) for body in (good, payload, good)])
    ((index, problem),) = decoded.problems
    assert (index, problem.where) == (1, where)
    assert reason in problem.message
    assert [value for _, _, value, _ in rows(decoded)] == [7.0, 7.0]


def test_tags_and_paths() -> None:
    assert split_tag("json:a/b#c.d") == ("a/b", ("c", "d"))
    assert split_tag({"topic": "a", "field": r"x\.y.z"}) == ("a", ("x.y", "z"))
    assert split_path("") == ()
    with pytest.raises(InvalidInputError):
        split_tag("json:#a")


@given(st.binary(max_size=60))
def test_any_bytes_give_rows_or_a_problem(payload: bytes) -> None:
    decoded = decode(payload)
    assert len(decoded.problems) <= 1

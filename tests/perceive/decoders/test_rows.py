"""JSON, CSV and line protocol: what is said is read, what is wrong is named by row and field, anything is survived."""

from __future__ import annotations

import contextlib
import math
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import DecodeError
from anlan.core.quality import Quality
from anlan.core.time import from_iso
from anlan.perceive.decoders import csv_rows, json_rows, line_protocol
from anlan.perceive.decoders.rows import Rows, time_us

UTC = ZoneInfo("UTC")
SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = from_iso("2026-11-24T00:00:00+00:00")


def triples(rows: Rows) -> list[tuple[str, int, float]]:
    return list(zip(rows.names, rows.times, rows.values, strict=True))


@pytest.mark.parametrize(
    "value",
    [
        *(1_795_478_400 * 1_000**power for power in range(4)),
        *("1795478400", "1795478400000000000", "2026-11-24T00:00:00+00:00", "2026-11-24 08:00:00"),
    ],
)
def test_every_form_of_a_time_is_the_same_moment(value: object) -> None:
    assert time_us(value, SHANGHAI) == NOW


@pytest.mark.parametrize("value", ["yesterday", True, None, [], math.inf, math.nan, "1e400"])
def test_what_is_no_time_is_named(value: object) -> None:
    with pytest.raises(DecodeError, match="time"):
        time_us(value, UTC)


@pytest.mark.parametrize(
    "body",
    [
        b'[{"name":"a","time":1795478400,"value":1.5},{"name":"b","time":1795478400,"value":true}]',
        b'{"time":1795478400,"values":{"a":1.5,"b":1}}',
        b'[{"time":1795478400,"values":{"a":1.5,"b":1}}]',
        b'{"name":["a","b"],"time":[1795478400,1795478400],"value":[1.5,1]}',
        b'{"name":["a","b"],"time":1795478400,"value":[1.5,1],"quality":"good"}',
        b'{"time":[1795478400],"values":{"a":[1.5],"b":[1]}}',
    ],
)
def test_json_in_every_shape_says_the_same(body: bytes) -> None:
    assert triples(json_rows.decode(body, UTC, 0)) == [("a", NOW, 1.5), ("b", NOW, 1.0)]


def test_json_rows_that_are_wrong_are_named_and_the_rest_is_kept() -> None:
    body = (
        b'[{"name":"a","value":1},{"name":"a"},{"name":"a","value":"x"},{"name":"a","value":1,"time":"x"},7,'
        b'{"name":"a","value":2,"quality":"superb"},{"name":"a","value":null,"quality":"bad-sensor"}]'
    )
    rows = json_rows.decode(body, UTC, NOW)
    assert rows.values[0] == 1
    assert (math.isnan(rows.values[1]), rows.qualities[1]) == (True, Quality.BAD_SENSOR)
    assert [error.where for error in rows.errors] == [
        "row 2, name", "row 3, a", "row 4, time", "row 5, row", "row 6, quality",
    ]  # fmt: skip
    assert rows.raws[1] == b'{"name":"a","value":"x"}'


@pytest.mark.parametrize("body", [b"", b"{", b"7", b'"x"', b'{"name":["a"],"time":[1,2]}', b"\xff", b"[" * 5000])
def test_json_that_is_none_is_refused_whole(body: bytes) -> None:
    with pytest.raises(DecodeError, match="body"):
        json_rows.decode(body, UTC, 0)


def test_csv_wide_and_long_say_the_same() -> None:
    wide = csv_rows.decode("time,a,b\n2026-11-24T08:00:00,1.5,\n2026-11-24T08:00:00,,2\n", SHANGHAI, 0)
    long = csv_rows.decode("\ufeffName,Time,Value,Quality\na,1795478400,1.5,good\nb,1795478400,2,\n", UTC, 0)
    assert triples(wide) == triples(long) == [("a", NOW, 1.5), ("b", NOW, 2.0)]


def test_csv_cells_and_rows_that_are_wrong_are_named() -> None:
    rows = csv_rows.decode("time,a,b\n1795478400,x,2\nnever,1,2\n1795478400,1\n1795478400,5,6\n", UTC, 0)
    assert triples(rows) == [("b", NOW, 2.0), ("a", NOW, 5.0), ("b", NOW, 6.0)]
    assert [error.where for error in rows.errors] == ["row 2, a", "row 3, time", "row 4, row"]
    assert rows.raws[0] == b"time,a,b\r\n1795478400,x,2\r\n"


def test_line_protocol_reads_tags_types_and_escapes() -> None:
    names = line_protocol.Names(["tank.level", "tank,site=north.level", "my tank.a,b"])
    text = (
        "# a comment\n"
        'tank,site=south,host=x level=1.5,count=2i,ok=t,note="x, y" 1795478400000000000\n'
        "tank,site=north,host=x level=2.5\n"
        "my\\ tank a\\,b=3u\n"
    )
    rows = line_protocol.decode(text, names, NOW)
    assert triples(rows) == [
        ("tank.level", NOW, 1.5),
        ("tank,host=x,site=south.count", NOW, 2.0),
        ("tank,host=x,site=south.ok", NOW, 1.0),
        ("tank,site=north.level", NOW, 2.5),
        ("my tank.a,b", NOW, 3.0),
    ]
    assert rows.texts == [("tank,host=x,site=south.note", NOW, "x, y")]
    assert rows.errors == []


def test_line_protocol_names_what_is_wrong() -> None:
    text = (
        'tank level=1.5.2,ok=1 1\ntank\ntank level="x\n,a=b level=1\ntank,x level=1\ntank level=1 noon\ntank good=1 1'
    )
    rows = line_protocol.decode(text, line_protocol.Names([]), NOW, precision="s")
    assert rows.names == ["tank.ok", "tank.good"]
    assert [error.where for error in rows.errors] == [
        "row 1, level", "row 2, line", "row 3, line", "row 4, measurement", "row 5, tag", "row 6, line",
    ]  # fmt: skip
    assert rows.raws[0] == b"tank level=1.5.2 1"


_bodies = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
    st.text('{}[]":,0123456789eE.-+ namtivlueqy\n=\\"#', max_size=200).map(str.encode),
)


@given(_bodies)
def test_anything_at_all_gives_rows_or_a_named_error(body: bytes) -> None:
    text = body.decode("utf-8", "replace")
    names = line_protocol.Names(["a.b"])
    for decode in (
        lambda: json_rows.decode(body, UTC, NOW),
        lambda: csv_rows.decode(text, UTC, NOW),
        lambda: csv_rows.decode("time,a\n" + text, UTC, NOW),
        lambda: csv_rows.decode("name,value,quality\n" + text, UTC, NOW),
        lambda: line_protocol.decode(text, names, NOW),
        lambda: line_protocol.decode("m,t=v " + text, names, NOW),
    ):
        with contextlib.suppress(DecodeError):
            rows = decode()
            assert len(rows.names) == len(rows.times) == len(rows.values) == len(rows.qualities)
            assert len(rows.errors) == len(rows.raws)
            assert all(abs(time) < 2**63 for time in rows.times)

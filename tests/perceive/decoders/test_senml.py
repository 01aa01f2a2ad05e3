"""SenML: the RFC's own examples, the plain way against the careful way, anything at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.perceive.decoders import senml
from anlan.perceive.decoders.columns import Decoded, Pack
from anlan.perceive.decoders.senml import SenmlDecoder

NOW = 1_800_000_000_000_000


def decode(payloads: list[bytes], names: dict[str, int]) -> Decoded:
    decoder = SenmlDecoder(names)
    return decoder.decode([Pack(decoder.route("t"), payload, NOW) for payload in payloads])


def rows(decoded: Decoded) -> list[tuple[int, int, float]]:
    batch = decoded.batch
    return list(zip(batch.point.tolist(), batch.time.tolist(), batch.value.tolist(), strict=True))


def test_examples_of_rfc_8428() -> None:
    single = b'[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]'
    two = b'[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]'
    times = (
        b'[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},'
        b'{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","v":1.7}]'
    )
    boolean = (
        b'[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},{"t":60,"v":20.3},{"vb":true}]'
    )
    names = {
        "urn:dev:ow:10e2073a01080063": 1,
        "urn:dev:ow:10e2073a01080063:voltage": 2,
        "urn:dev:ow:10e2073a01080063:current": 3,
        "urn:dev:ow:10e2073a0108006:voltage": 4,
        "urn:dev:ow:10e2073a0108006:current": 5,
    }
    base = 1_276_020_076_001_000
    assert rows(decode([single, two, times, boolean], names)) == [
        (1, NOW, 23.1),
        (2, NOW, 120.1),
        (3, NOW, 1.2),
        (4, base, 120.1),
        (5, base - 5_000_000, 1.2),
        (5, base - 4_000_000, 1.3),
        (5, base, 1.7),
        (1, 1_320_067_464_000_000, 20.0),
        (1, 1_320_067_524_000_000, 20.3),
        (1, 1_320_067_464_000_000, 1.0),
    ]


def test_relative_times_count_from_the_receipt() -> None:
    decoded = decode([b'[{"n":"a","v":1,"t":-10},{"n":"a","v":2},{"bt":-100,"n":"a","v":3,"t":2}]'], {"a": 1})
    assert rows(decoded) == [(1, NOW - 10_000_000, 1.0), (1, NOW, 2.0), (1, NOW - 98_000_000, 3.0)]


def test_base_values_texts_sums_and_unmapped_names() -> None:
    pack = b'[{"bv":20,"bn":"a","v":1.5},{"n":"x","v":1},{"vs":"open"},{"s":5},{"vd":"aGk"}]'
    decoded = decode([pack], {"a": 1})
    assert rows(decoded) == [(1, NOW, 21.5)]
    assert [(text.point, text.text) for text in decoded.texts] == [(1, "open")]
    assert decoded.unmapped == {"senml:ax": 1, "senml:a": 2}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "no SenML"),
        (b"{}", "no SenML"),
        (b'[{"n":"a","v":"1"}]', "no SenML"),
        (b'[{"n":"a","v":1.2.3}]', "no SenML"),
        (b'[{"n":"a"}]', "neither a value nor a sum"),
        (b'[{"bn":"a","bt":1767225600,"v":1},{"n":"x"}]', "neither a value nor a sum"),
        (b'[{"v":1}]', "neither a name nor a base name"),
        (b'[{"bver":11,"n":"a","v":1}]', "newer than"),
        (b'[{"n":"a","v":1,"calib_":2}]', "must be understood"),
        (b'[{"n":"a","v":1,"t":1e300}]', "beyond all times"),
        (b"[" * 100_000, "no SenML"),
    ],
)
def test_a_bad_pack_names_its_fault_and_spoils_no_other(payload: bytes, reason: str) -> None:
    good = b'[{"bn":"a","bt":1767225600,"v":1}]'
    decoded = decode([good, payload, good], {"a": 1})
    ((index, problem),) = decoded.problems
    assert index == 1
    assert reason in str(problem)
    assert [value for _, _, value in rows(decoded)] == [1.0, 1.0]


records = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.sampled_from(["", "a", "b", "bn", "t", 'q"t"', "\\"]),
            "v": st.floats(-1e9, 1e9),
            "t": st.sampled_from([0, 1.5, -3, 1_767_225_600]),
            "bn": st.sampled_from(["", "a", "dev/"]),
            "bt": st.sampled_from([1_767_225_600, 1_767_225_600.25, -5, 0]),
            "bv": st.sampled_from([0, 2.5]),
            "u": st.just("V"),
            "vb": st.booleans(),
            "vs": st.just("text"),
            "x_": st.just(1),
        },
    ),
    max_size=5,
)


@given(st.lists(records, max_size=5))
@settings(max_examples=600, deadline=None)
def test_the_plain_way_gives_what_the_careful_way_gives(packs: list[list[dict[str, Any]]]) -> None:
    payloads = [json.dumps(pack).encode() for pack in packs]
    names = {prefix + name: 1 + 10 * p + n for p, prefix in enumerate(["", "a", "dev/"]) for n, name in enumerate("ab")}
    found = decode(payloads, names)
    expected = []
    failed = []
    for index, payload in enumerate(payloads):
        try:
            senml._must_understand(payload)
            resolved = senml._resolve(senml._full.decode(payload), NOW)
        except senml.DecodeError:
            failed.append(index)
            continue
        expected += [
            (names[name], time, value) for name, time, value in resolved if name in names and isinstance(value, float)
        ]
    assert sorted(rows(found)) == sorted(expected)
    assert [index for index, _ in found.problems] == failed


@given(st.lists(st.binary(max_size=40), max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_rows_or_a_problem(payloads: list[bytes]) -> None:
    decoded = decode(payloads, {"a": 1})
    assert len(decoded.problems) <= len(payloads)

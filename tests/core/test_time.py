"""Moments and durations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import InvalidInputError
from anlan.core.time import DAY, HOUR, MINUTE, SECOND, duration_us, from_iso, moment_us, now_us, to_iso

ZONES = st.sampled_from(["UTC", "Asia/Shanghai", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati"])
# ISO 8601 as Python reads it goes from year 1 to 9999; a day at both ends leaves room for the zone.
MOMENTS = st.integers(-62_135_510_400 * SECOND, 253_402_214_400 * SECOND - 1)


@given(MOMENTS, ZONES)
def test_a_moment_survives_its_text_in_any_zone(moment: int, zone: str) -> None:
    assert from_iso(to_iso(moment, zone)) == moment


@given(MOMENTS)
def test_the_text_tells_the_same_moment_as_the_standard_library(moment: int) -> None:
    assert datetime.fromisoformat(to_iso(moment)) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-11-24T08:00:00+08:00", "UTC", 1_795_478_400 * SECOND),
        ("2026-11-24T08:00:00", "Asia/Shanghai", 1_795_478_400 * SECOND),
        ("2026-11-24T00:00:00Z", "Asia/Shanghai", 1_795_478_400 * SECOND),
        ("1969-12-31T23:59:59.999999Z", "UTC", -1),
        ("2026-11-24", "UTC", 1_795_478_400 * SECOND),
    ],
)
def test_texts_of_moments(text: str, zone: str, expected: int) -> None:
    assert from_iso(text, zone) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "24.11.2026", "2026-11-24T25:00"])
def test_other_texts_are_no_moments(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a date and time"):
        from_iso(text)


def test_now_is_the_wall_clock() -> None:
    before = datetime.now(UTC)
    now = datetime.fromisoformat(to_iso(now_us()))
    assert before - timedelta(milliseconds=1) <= now <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 s", 2 * SECOND),
        ("2s", 2 * SECOND),
        (" 500 ms ", 500_000),
        ("5 min", 5 * MINUTE),
        ("8 h", 8 * HOUR),
        ("1.5 d", DAY + 12 * HOUR),
        ("7 us", 7),
        ("1e3 ms", SECOND),
        ("60", MINUTE),
        (0, 0),
        (0.25, 250_000),
    ],
)
def test_durations(text: str | float, expected: int) -> None:
    assert duration_us(text) == expected


@given(st.integers(0, 10_000), st.sampled_from(["us", "ms", "s", "min", "h", "d"]), st.sampled_from(["", " ", "  "]))
def test_every_unit_with_any_space(number: int, unit: str, space: str) -> None:
    factor = {"us": 1, "ms": 1000, "s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}[unit]
    assert duration_us(f"{number}{space}{unit}") == number * factor


@pytest.mark.parametrize("text", ["", "s", "-1 s", "2 parsec", "2 S", "1 2 s", "nan s", "inf", "1e99 s", -1, "s 2"])
def test_other_texts_are_no_durations(text: str | float) -> None:
    with pytest.raises(InvalidInputError, match="is not a duration"):
        duration_us(text)


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert duration_us(text) >= 0
    except InvalidInputError:
        return


def test_a_moment_is_a_date_or_a_time_back_from_now() -> None:
    now = 1_795_478_400 * SECOND
    assert moment_us("24 h", now) == now - DAY
    assert moment_us("2026-11-24T00:00:00Z", 0) == now
    with pytest.raises(InvalidInputError, match=r"^--from: 'soon' is no moment \(.*24 h"):
        moment_us("soon", now, where="--from")

"""Retention classes and holds: pure rules, and what they leave on the real engine."""

from __future__ import annotations

import pytest

from anlan.core.time import DAY, HOUR, MINUTE, SECOND
from anlan.store.historian import retention, schema
from anlan.store.historian.engine import Session
from anlan.store.historian.requests import Hold
from anlan.store.historian.retention import HeldRange, plan, rules
from anlan.store.historian.upkeep import Upkeep, partition_span
from tests.store.historian.conftest import batch, put

NOW = 1_790_000_000 * SECOND // DAY * DAY


def ago(days: int) -> int:
    return NOW - days * DAY


def test_every_class_has_a_source_and_keeps_what_the_law_wants() -> None:
    known = rules()
    assert known.default in known.classes
    assert all(rule.source for rule in known.classes.values())
    assert all(
        rule.samples_days is None or rule.samples_days >= known.floor_days.value for rule in known.classes.values()
    )
    assert known.classes["keep"].samples_days is None


def test_an_unknown_class_forgets_nothing() -> None:
    assert retention.class_of("") == "standard"
    assert retention.class_of("short") == "short"
    assert retention.class_of("shrot") == "keep"


@pytest.mark.parametrize(
    ("days", "present", "holds", "verdict"),
    [
        (29, {"short", "standard"}, [], "keep"),
        (32, {"short", "standard"}, [], "delete"),
        (32, {"standard"}, [], "keep"),
        (32, {"short"}, [], "drop"),
        (402, {"short", "standard"}, [], "drop"),
        (402, {"short", "standard", "keep"}, [], "delete"),
        (402, {"standard"}, [HeldRange((1,), ago(402), ago(401))], "delete"),
        (402, {"standard"}, [HeldRange((1,), ago(300), ago(299))], "drop"),
    ],
)
def test_plan(days: int, present: set[str], holds: list[HeldRange], verdict: str) -> None:
    start = ago(days)
    assert plan(schema.SAMPLES, start, start + DAY, NOW, frozenset(present), holds)[0] == verdict


@pytest.mark.parametrize(
    ("name", "start", "length"), [("20000", 20_000 * DAY, DAY), ("202402", 1_706_745_600 * SECOND, 29 * DAY)]
)
def test_partition_span(name: str, start: int, length: int) -> None:
    assert partition_span(name) == (start, start + length)


def left(session: Session, table: str = schema.SAMPLES) -> set[tuple[int, int]]:
    rows = session.query(f"SELECT point, time FROM {table} FINAL").to_pylist()
    return {(row["point"], (NOW - row["time"]) // DAY) for row in rows}


def test_classes_and_holds_decide_what_stays(session: Session) -> None:
    upkeep = Upkeep(session)
    upkeep.set_classes({1: ("short", "a"), 2: ("standard", "b"), 3: ("keep", "c")}, NOW)
    days = (5, 40, 410, 500)
    put(session, batch([(point, ago(day) + HOUR, 1.0) for point in (1, 2, 3, 4) for day in days]))
    upkeep.put_hold(Hold("i-1", start=ago(410), end=ago(409), points=(1,), reason="incident", time=NOW))
    upkeep.put_hold(Hold("i-2", start=ago(500), end=ago(499), reason="supervision order", time=NOW))
    upkeep.expire(NOW)
    everyone_held = {(point, 499) for point in (1, 2, 3, 4)}
    recent = {(point, 4) for point in (1, 2, 3, 4)}
    assert left(session) == recent | everyone_held | {(2, 39), (3, 39), (4, 39), (1, 409), (3, 409)}
    upkeep.put_hold(Hold("i-2", start=ago(500), end=ago(499), reason="over", time=NOW + 1, released=True))
    assert [hold.id for hold in upkeep.holds()] == ["i-1"]
    upkeep.expire(NOW)
    assert left(session) == recent | {(2, 39), (3, 39), (4, 39), (1, 409), (3, 409), (3, 499)}
    assert upkeep.expire(NOW) == {"dropped": 0, "thinned": 0}


def test_a_partition_nobody_needs_is_dropped_whole(session: Session) -> None:
    upkeep = Upkeep(session)
    put(session, batch([(1, ago(410), 1.0), (2, ago(1), 1.0)]))
    assert upkeep.expire(NOW) == {"dropped": 1, "thinned": 0}
    assert left(session) == {(2, 1)}


def test_roll_ups_outlive_samples_and_a_late_row_does_not_ruin_them(session: Session) -> None:
    upkeep = Upkeep(session)
    hour = ago(410)
    put(session, batch([(1, hour + n * MINUTE, float(n)) for n in range(60)]))
    upkeep.rebuild(hour, hour + 2 * HOUR)
    upkeep.expire(NOW)
    put(session, batch([(1, hour + 5, 99.0)]), version=2)
    upkeep.rebuild(hour, NOW)
    row = session.query(f"SELECT count, max FROM {schema.HOURS} FINAL").to_pylist()[0]
    assert row == {"count": 60, "max": 59.0}


def test_classes_are_written_only_where_they_changed(session: Session) -> None:
    upkeep = Upkeep(session)
    assert upkeep.set_classes({1: ("short", "a"), 2: ("keep", "b")}, NOW) == 2
    assert upkeep.set_classes({1: ("short", "a"), 2: ("short", "b")}, NOW + 1) == 1
    assert upkeep.set_classes({1: ("short", "a"), 2: ("short", "b")}, NOW + 2) == 0

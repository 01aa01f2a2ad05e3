"""Series against NumPy oracles, the journal's pages and scopes, on the real engine."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from anlan.core.actor import SYSTEM, Actor, Grant, Role
from anlan.core.batch import SampleBatch
from anlan.core.errors import InvalidInputError
from anlan.core.events import Event
from anlan.core.time import HOUR, MINUTE, SECOND
from anlan.store.historian import query, schema
from anlan.store.historian.engine import Session
from anlan.store.historian.requests import JournalQuery, SeriesKind, SeriesQuery, TransitionQuery
from anlan.store.historian.upkeep import Upkeep
from anlan.store.historian.writer import event_rows
from tests.store.historian.conftest import batch, put

T0 = 1_790_000_000 * SECOND // HOUR * HOUR


def ask(session: Session, kind: SeriesKind, points: tuple[int, ...], start: int, end: int, **more: Any) -> pa.Table:
    request = SeriesQuery(kind, points, start, end, **more)
    query.check(request)
    return session.query(query.series_sql(request))


def random_batch(points: int, rows: int, span: int, seed: int = 1) -> SampleBatch:
    """Return distinct (point, time) rows in random order with NaN, infinities and bad ones among them."""
    rng = np.random.default_rng(seed)
    keys = rng.choice(points * span, rows, replace=False)
    value = np.round(rng.normal(size=rows), 3)
    value[rng.random(rows) < 0.02] = np.nan
    value[rng.random(rows) < 0.01] = np.inf
    quality = np.where(rng.random(rows) < 0.05, 0x81, 0).astype(np.uint8)
    return SampleBatch((keys // span).astype(np.int32) + 1, (keys % span).astype(np.int64) * 1000 + T0, value, quality)


def bits(column: Any) -> list[int]:
    return np.asarray(column, np.float64).view(np.uint64).tolist()


def test_out_of_order_rows_come_back_in_order_and_whole(session: Session) -> None:
    samples = random_batch(5, 4000, 3_600_000)
    for part in np.array_split(np.arange(4000), 7):
        put(session, samples.take(part), version=int(part[0]) + 1)
    table = ask(session, SeriesKind.RAW, (1, 2, 3, 4, 5), T0, T0 + HOUR)
    order = np.lexsort((samples.time, samples.point))
    assert table["point"].to_pylist() == samples.point[order].tolist()
    assert table["time"].to_pylist() == samples.time[order].tolist()
    assert bits(table["value"].to_numpy()) == bits(samples.value[order])
    assert table["quality"].to_pylist() == samples.quality[order].tolist()


def test_of_repeats_the_later_in_the_log_wins_whatever_is_inserted_last(session: Session) -> None:
    put(session, batch([(1, T0, 1.0), (1, T0 + 1, 5.0)]), version=10)
    put(session, batch([(1, T0, 3.0)]), version=30)
    put(session, batch([(1, T0, 2.0), (1, T0 + 1, 6.0)]), version=20)
    put(session, batch([(1, T0, 1.0), (1, T0 + 1, 5.0)]), version=10)
    table = ask(session, SeriesKind.RAW, (1,), T0, T0 + 10)
    assert table["value"].to_pylist() == [3.0, 6.0]
    session.execute(f"OPTIMIZE TABLE {schema.SAMPLES} FINAL")
    assert session.query(f"SELECT count() AS n FROM {schema.SAMPLES}")["n"].to_pylist() == [2]
    assert ask(session, SeriesKind.RAW, (1,), T0, T0 + 10)["value"].to_pylist() == [3.0, 6.0]


def test_within_one_group_the_later_row_wins(session: Session) -> None:
    put(session, batch([(1, T0, 1.0), (2, T0, 7.0), (1, T0, 2.0)]), version=10)
    assert ask(session, SeriesKind.RAW, (1,), T0, T0 + 1)["value"].to_pylist() == [2.0]


@pytest.mark.parametrize("seed", range(8))
def test_replays_in_any_grouping_end_with_the_last_of_the_log(session: Session, seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = [(int(rng.integers(1, 4)), T0 + int(rng.integers(0, 6)), float(n)) for n in range(60)]
    runs = [(0, int(rng.integers(5, 40)))] + [(int(rng.integers(0, 5)), int(rng.integers(20, 60))) for _ in range(3)]
    for begin, end in [*runs, (0, 60)][-1 if seed == 0 else 0 :]:
        cuts = sorted({begin, end, *rng.integers(begin, end, 4).tolist()})
        for first, last in itertools.pairwise(cuts):
            put(session, batch(log[first:last]), version=last)
    expected = {(point, time): value for point, time, value in log}
    table = ask(session, SeriesKind.RAW, (1, 2, 3), T0, T0 + 10)
    found = zip(table["point"].to_pylist(), table["time"].to_pylist(), table["value"].to_pylist(), strict=True)
    assert {(point, time): value for point, time, value in found} == expected


def bucket_oracle(samples: SampleBatch, start: int, end: int, length: int) -> dict[tuple[int, int], dict[str, float]]:
    """Return what brute force says of every bucket."""
    inside = samples.take((samples.time >= start) & (samples.time < end))
    result = {}
    for point, bucket in sorted(
        set(zip(inside.point.tolist(), (inside.time // length * length).tolist(), strict=True))
    ):
        rows = inside.take((inside.point == point) & (inside.time // length * length == bucket))
        usable = rows.take((rows.quality < 128) & np.isfinite(rows.value))
        some = len(usable) > 0
        result[(point, bucket)] = {
            "min": float(usable.value.min()) if some else math.nan,
            "max": float(usable.value.max()) if some else math.nan,
            "mean": float(usable.value.sum() / len(usable)) if some else math.nan,
            "last": float(usable.value[usable.time.argmax()]) if some else math.nan,
            "count": len(usable),
            "bad": len(rows) - len(usable),
        }
    return result


def assert_buckets(table: pa.Table, expected: dict[tuple[int, int], dict[str, float]]) -> None:
    keys = list(zip(table["point"].to_pylist(), table["time"].to_pylist(), strict=True))
    assert keys == list(expected)
    for name in ("min", "max", "last", "count", "bad"):
        assert np.array_equal(table[name].to_numpy(), [row[name] for row in expected.values()], equal_nan=True), name
    assert np.allclose(table["mean"].to_numpy(), [row["mean"] for row in expected.values()], equal_nan=True, rtol=1e-12)


@pytest.mark.parametrize("length", [10 * SECOND, MINUTE, 7 * MINUTE, HOUR])
@pytest.mark.parametrize("rolled", [False, True])
def test_buckets_equal_brute_force_with_and_without_roll_ups(session: Session, length: int, rolled: bool) -> None:
    samples = random_batch(3, 6000, 4 * 3_600_000)
    put(session, samples)
    put(session, samples.take(slice(0, 500)), version=1)  # a redelivered group must not count twice
    hours = [T0 + n * HOUR for n in range(4)]
    dirty = tuple(hours)
    if rolled:
        upkeep = Upkeep(session)
        for hour in (hours[0], hours[1], hours[3]):
            upkeep.rebuild(hour, T0 + 10 * HOUR)
        dirty = (hours[2],)
    start, end = T0 + 17 * SECOND, T0 + 4 * HOUR - 90 * SECOND
    request = SeriesQuery(SeriesKind.BUCKET, (1, 2, 3), start, end, bucket=length)
    table = session.query(query.series_sql(request, dirty))
    assert_buckets(table, bucket_oracle(samples, start, end, length))


def test_rebuilt_roll_ups_take_late_rows_and_corrections(session: Session) -> None:
    upkeep = Upkeep(session)
    put(session, batch([(1, T0, 1.0), (1, T0 + 1, 2.0)]), version=1)
    upkeep.rebuild(T0, T0 + 2 * HOUR)
    put(session, batch([(1, T0 + 1, 4.0), (1, T0 + 2, 6.0)]), version=2)
    upkeep.rebuild(T0, T0 + 3 * HOUR)
    request = SeriesQuery(SeriesKind.BUCKET, (1,), T0, T0 + HOUR, bucket=HOUR)
    row = session.query(query.series_sql(request, ())).to_pylist()[0]
    assert (row["min"], row["max"], row["last"], row["count"]) == (1.0, 6.0, 6.0, 3)
    assert row["mean"] == pytest.approx(11 / 3)


def m4_oracle(samples: SampleBatch, start: int, end: int, width: int) -> list[tuple[int, int]]:
    """Return the (point, time) keys M4 picks: first, last, lowest and highest per pixel column."""
    keys = set()
    inside = samples.take((samples.time >= start) & (samples.time < end))
    column = (inside.time - start) * width // (end - start)
    for point, pixel in set(zip(inside.point.tolist(), column.tolist(), strict=True)):
        rows = inside.take((inside.point == point) & (column == pixel))
        rows = rows.take(np.argsort(rows.time))
        keys |= {(point, int(rows.time[0])), (point, int(rows.time[-1]))}
        usable = rows.take((rows.quality < 128) & np.isfinite(rows.value))
        if len(usable):
            keys |= {(point, int(usable.time[usable.value.argmin()])), (point, int(usable.time[usable.value.argmax()]))}
    return sorted(keys)


@pytest.mark.parametrize(("width", "rows"), [(1, 300), (37, 5000), (400, 5000), (4000, 50)])
def test_m4_picks_what_the_oracle_picks(session: Session, width: int, rows: int) -> None:
    samples = random_batch(2, rows, 3_600_000)
    put(session, samples)
    start, end = T0 + 12_345, T0 + HOUR - 54_321
    table = ask(session, SeriesKind.M4, (1, 2), start, end, width=width)
    picked = list(zip(table["point"].to_pylist(), table["time"].to_pylist(), strict=True))
    assert picked == m4_oracle(samples, start, end, width)
    by_key = {
        (point, time): (value, quality)
        for point, time, value, quality in zip(
            samples.point.tolist(), samples.time.tolist(), bits(samples.value), samples.quality.tolist(), strict=True
        )
    }
    stored = zip(bits(table["value"].to_numpy()), table["quality"].to_pylist(), strict=True)
    assert [by_key[key] for key in picked] == list(stored)


def test_as_of_is_the_last_at_or_before(session: Session) -> None:
    put(session, batch([(1, T0, 1.0), (1, T0 + 100, 2.0, 0x81), (2, T0 - 90 * HOUR, 9.0), (3, T0 + 500, 3.0)]))
    found: dict[int, tuple[int, float, int]] = {}
    for start, end in query.look_back(0, T0 + 100):
        for row in session.query(query.as_of_sql((1, 2, 3), start, end)).to_pylist():
            found.setdefault(row["point"], (row["time"], row["value"], row["quality"]))
    assert found == {1: (T0 + 100, 2.0, 0x81), 2: (T0 - 90 * HOUR, 9.0, 0)}


def test_look_back_covers_everything_once() -> None:
    spans = query.look_back(1000, T0)
    assert spans[0][1] == T0
    assert spans[-1][0] == 1000
    assert all(newer[0] == older[1] + 1 for newer, older in itertools.pairwise(spans))
    assert query.look_back(T0 - 5, T0) == [(T0 - 5, T0)]


def test_wind_is_a_vector_mean_across_north(session: Session) -> None:
    rng = np.random.default_rng(5)
    rows = 600
    time = T0 + np.sort(rng.choice(600_000, rows, replace=False)) * 1000
    speed = np.round(rng.uniform(1, 9, rows), 2)
    direction = np.round((rng.normal(0, 25, rows)) % 360, 1)  # swings between about 335 and 25 degrees
    late = time + 2_500_000  # the vane speaks 2.5 s after the anemometer: pair with the one before
    put(session, SampleBatch(np.full(rows, 1, np.int32), late, speed, np.zeros(rows, np.uint8)))
    put(session, SampleBatch(np.full(rows, 2, np.int32), time, direction, np.zeros(rows, np.uint8)))
    put(session, batch([(1, T0 + 1, 99.0, 0x81), (2, T0 + 2, math.nan)]))
    table = ask(session, SeriesKind.WIND, (1, 2), T0, T0 + HOUR, bucket=5 * MINUTE)
    partner = np.searchsorted(time, late, side="right") - 1
    angle = np.radians(direction[partner])
    buckets = late // (5 * MINUTE) * (5 * MINUTE)
    for position, bucket in enumerate(np.unique(buckets).tolist()):
        rows_of = buckets == bucket
        east, north = np.mean((speed * np.sin(angle))[rows_of]), np.mean((speed * np.cos(angle))[rows_of])
        row = table.slice(position, 1).to_pylist()[0]
        assert row["time"] == bucket
        assert row["count"] == rows_of.sum()
        assert row["speed"] == pytest.approx(math.hypot(east, north), rel=1e-9)
        assert row["direction"] == pytest.approx(math.degrees(math.atan2(east, north)) % 360, abs=1e-6)
        assert min(row["direction"], 360 - row["direction"]) < 30  # an arithmetic mean would say about 180


def test_wind_needs_a_direction_not_older_than_ten_seconds(session: Session) -> None:
    put(session, batch([(2, T0, 90.0), (1, T0 + 9 * SECOND, 4.0), (1, T0 + 11 * SECOND, 8.0)]))
    table = ask(session, SeriesKind.WIND, (1, 2), T0, T0 + MINUTE, bucket=MINUTE)
    row = table.to_pylist()[0]
    assert (row["count"], row["speed"], row["direction"]) == (1, pytest.approx(4.0), pytest.approx(90.0))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (SeriesQuery(SeriesKind.RAW, (), 0, 1), "points"),
        (SeriesQuery(SeriesKind.RAW, (1,), 5, 5), "end"),
        (SeriesQuery(SeriesKind.BUCKET, (1,), 0, 5), "bucket"),
        (SeriesQuery(SeriesKind.WIND, (1,), 0, 5, bucket=1), "points"),
        (SeriesQuery(SeriesKind.M4, (1,), 0, 5), "width"),
        (SeriesQuery(SeriesKind.M4, (1,), 0, 1 << 62, width=1000), "end"),
        (SeriesQuery(SeriesKind.RAW, (1,), 0, 5, limit=0), "limit"),
        (SeriesQuery(SeriesKind.RAW, tuple(range(20_000)), 0, 5), "points"),
    ],
)
def test_senseless_queries_name_their_field(request_: SeriesQuery, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        query.check(request_)
    assert caught.value.where == field
    assert caught.value.fix


def test_a_device_with_a_random_clock_is_stored(session: Session) -> None:
    rng = np.random.default_rng(2)
    time = rng.integers(-(1 << 62), 1 << 62, 300)
    time[:200] = T0 + rng.integers(-400, 400, 200) * 24 * HOUR
    rows = SampleBatch(np.full(300, 1, np.int32), time, np.zeros(300), np.zeros(300, np.uint8))
    put(session, rows)
    stored = session.query(f"SELECT time FROM {schema.SAMPLES} FINAL")["time"].to_pylist()
    assert sorted(stored) == np.unique(time).tolist()


# --- the journal ------------------------------------------------------------------------------------------------


def event(number: int, subject: str, type_: str = "alarm.transition", **data: Any) -> Event:
    return Event(f"01J{number:023d}", type_, "test", T0 + number // 3, subject, ("cause",), data)


EVENTS = [
    event(n, f"haian/{'north' if n % 2 else 'south'}/u/p{n}.HH", alarm=f"a{n % 3}", who="li" if n % 5 == 0 else "")
    for n in range(40)
] + [
    event(40, "haian/north", "audit.change", who="wang", comment="限值 limit raised"),
    event(41, "gateway", "system.state", part="gateway"),
]


def pages(session: Session, request: JournalQuery, actor: Actor = SYSTEM) -> list[str]:
    ids: list[str] = []
    while True:
        sql, parameters = query.journal_sql(request, actor)
        rows = session.query(sql, parameters).to_pylist()
        ids += [row["id"] for row in rows[: request.limit]]
        if len(rows) <= request.limit:
            return ids
        last = rows[request.limit - 1]
        request = msgspec.structs.replace(request, cursor=query.write_cursor(last["time"], last["id"]))


@pytest.fixture
def journal(session: Session) -> Session:
    session.insert(schema.EVENTS, event_rows(EVENTS, 50))
    session.insert(schema.EVENTS, event_rows(EVENTS[:20], 50))  # redelivered
    return session


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_hold_every_event_once_newest_first(journal: Session, limit: int) -> None:
    assert pages(journal, JournalQuery(limit=limit)) == [item.id for item in reversed(EVENTS)]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (JournalQuery(subject="haian/north"), lambda e: e.subject.startswith("haian/north")),
        (JournalQuery(subject="haian/nor"), lambda e: False),
        (JournalQuery(subject="haian/south/u/p4"), lambda e: e.subject == "haian/south/u/p4.HH"),
        (JournalQuery(types=("audit.change", "system.state")), lambda e: e.type != "alarm.transition"),
        (JournalQuery(who="li"), lambda e: e.data.get("who") == "li"),
        (JournalQuery(text="限值"), lambda e: "限值" in e.data.get("comment", "")),
        (JournalQuery(text="GATEWAY"), lambda e: e.subject == "gateway"),
        (JournalQuery(text="' OR 1=1 --"), lambda e: False),
        (JournalQuery(start=T0 + 3, end=T0 + 5), lambda e: T0 + 3 <= e.time < T0 + 5),
    ],
)
def test_filters(journal: Session, request_: JournalQuery, expected: Any) -> None:
    assert pages(journal, request_) == [item.id for item in reversed(EVENTS) if expected(item)]


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        ((), lambda e: False),
        ((Grant(Role.OPERATOR, "haian/north"),), lambda e: "north" in e.subject and e.type != "audit.change"),
        ((Grant(Role.AUDITOR, "haian/north"),), lambda e: "north" in e.subject),
        ((Grant(Role.OPERATOR),), lambda e: e.type != "audit.change"),
        (
            (Grant(Role.OPERATOR, "haian/south"), Grant(Role.AUDITOR, "haian/north")),
            lambda e: "south" in e.subject or "north" in e.subject,
        ),
    ],
)
def test_an_actor_sees_events_of_its_places_only(journal: Session, grants: tuple[Grant, ...], expected: Any) -> None:
    actor = Actor("li", grants=grants)
    assert pages(journal, JournalQuery(limit=9), actor) == [item.id for item in reversed(EVENTS) if expected(item)]


def test_transitions_are_alarms_only_oldest_first(journal: Session) -> None:
    sql, parameters = query.transitions_sql(TransitionQuery(T0, T0 + HOUR, alarm="a1"), SYSTEM)
    rows = journal.query(sql, parameters).to_pylist()
    assert [row["id"] for row in rows] == [item.id for item in EVENTS if item.data.get("alarm") == "a1"]


def test_a_wrong_cursor_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="cursor"):
        query.journal_sql(JournalQuery(cursor="x; DROP TABLE samples"), SYSTEM)

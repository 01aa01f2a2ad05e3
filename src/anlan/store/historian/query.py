"""From requests to SQL: pure, no engine needed. All reads are of deduplicated rows (FINAL within each day)."""

# ruff: noqa: S608  # statements are made of integers and our own names; texts from outside are bound parameters

from __future__ import annotations

import msgspec

from anlan.core.actor import Actor, Permission
from anlan.core.errors import InvalidInputError
from anlan.core.events import EventType
from anlan.core.time import DAY, HOUR, MINUTE, SECOND
from anlan.store.historian import schema
from anlan.store.historian.hours import split_interval
from anlan.store.historian.requests import JournalQuery, SeriesKind, SeriesQuery, TransitionQuery
from anlan.store.historian.upkeep import USABLE

MAX_POINTS = 10_000
MAX_WIDTH = 20_000
MAX_ROWS = 50_000_000
MAX_PAGE = 1_000
MAX_RAW_INTERVALS = 200
PAIR_AGE = 10 * SECOND
LOOK_BACK = (HOUR, DAY, 31 * DAY)


def check(query: SeriesQuery) -> None:
    """Raise unless the query makes sense.

    Raises:
        InvalidInputError: naming the field and what would be right.
    """

    def wrong(field: str, message: str, fix: str) -> InvalidInputError:
        return InvalidInputError(message, where=field, fix=fix)

    if not query.points:
        raise wrong("points", "no point is named", "give at least one point number")
    if len(query.points) > MAX_POINTS:
        raise wrong("points", f"{len(query.points)} points are too many", f"at most {MAX_POINTS}")
    if query.kind is not SeriesKind.AS_OF and query.start >= query.end:
        raise wrong("end", "the period is empty", "end must lie after start")
    if query.kind is SeriesKind.WIND and len(set(query.points)) != 2:
        raise wrong("points", "a wind mean takes two points", "give the speed's number, then the direction's")
    if query.kind in (SeriesKind.BUCKET, SeriesKind.WIND) and query.bucket <= 0:
        raise wrong("bucket", "no bucket length", "give µs > 0, such as 60000000 for a minute")
    if query.kind is SeriesKind.M4:
        if not 0 < query.width <= MAX_WIDTH:
            raise wrong("width", f"{query.width} pixel columns", f"between 1 and {MAX_WIDTH}")
        if (query.end - query.start) * query.width >= 1 << 63:
            raise wrong("end", "the period is too long to plot", "fewer pixel columns or a shorter period")
    if not 0 < query.limit <= MAX_ROWS:
        raise wrong("limit", f"{query.limit} rows", f"between 1 and {MAX_ROWS}")


def series_sql(query: SeriesQuery, dirty: tuple[int, ...] = ()) -> str:
    """Return the SQL of a checked query (not AS_OF, whose look-back is ``as_of_sql``).

    Args:
        query: what is asked.
        dirty: hours (µs UTC) that the roll-ups do not hold yet.
    """
    if query.kind is SeriesKind.RAW:
        return raw_sql(query.points, query.start, query.end)
    if query.kind is SeriesKind.M4:
        return m4_sql(query)
    if query.kind is SeriesKind.WIND:
        return wind_sql(query)
    return bucket_sql(query, dirty)


def _points(points: tuple[int, ...]) -> str:
    if len(points) == 1:
        return f"point = {points[0]}"
    return f"point IN ({','.join(str(point) for point in points)})"


def _within(points: tuple[int, ...], start: int, end: int) -> str:
    return f"{_points(points)} AND time >= {start} AND time < {end}"


def raw_sql(points: tuple[int, ...], start: int, end: int) -> str:
    """Return every sample, by point and time."""
    where = _within(points, start, end)
    return f"SELECT point, time, value, quality FROM {schema.SAMPLES} FINAL WHERE {where} ORDER BY point, time"


def as_of_sql(points: tuple[int, ...], start: int, end: int) -> str:
    """Return the last sample of each point in [start, end], both ends included."""
    return (
        "SELECT point, newest.1 AS time, newest.2 AS value, newest.3 AS quality FROM ("
        f"SELECT point, argMax(tuple(time, value, quality), time) AS newest FROM {schema.SAMPLES} FINAL "
        f"WHERE {_points(points)} AND time >= {start} AND time <= {end} GROUP BY point) ORDER BY point"
    )


def look_back(start: int, end: int) -> list[tuple[int, int]]:
    """Return ever older periods [from, to] (both included) to look for a last sample in, the newest first."""
    spans: list[tuple[int, int]] = []
    upper = end
    for length in LOOK_BACK:
        lower = max(start, end - length)
        if lower > upper:
            return spans
        spans.append((lower, upper))
        upper = lower - 1
    if start <= upper:
        spans.append((start, upper))
    return spans


def m4_sql(query: SeriesQuery) -> str:
    """Return first, last, lowest and highest sample per pixel column.

    Drawn as a line these give the same picture as all samples (Jugel, Jerzak, Hackenbroich, Markl: M4: A
    Visualization-Oriented Time Series Data Aggregation, VLDB 2014). Of equal extremes the earliest is taken; bad
    samples count as first and last only, so that gaps show.
    """
    column = f"intDiv((time - {query.start}) * {query.width}, {query.end - query.start})"
    row = "tuple(time, value, quality)"
    return f"""SELECT point, picked.1 AS time, picked.2 AS value, picked.3 AS quality FROM (
    SELECT point, arrayJoin(arrayConcat(
        [argMin({row}, time), argMax({row}, time)],
        if(countIf({USABLE}) = 0, [],
            [argMinIf({row}, tuple(value, time), {USABLE}), argMaxIf({row}, tuple(value, -time), {USABLE})])
    )) AS picked
    FROM {schema.SAMPLES} FINAL WHERE {_within(query.points, query.start, query.end)}
    GROUP BY point, {column}
) ORDER BY point, time LIMIT 1 BY point, time"""


def bucket_sql(query: SeriesQuery, dirty: tuple[int, ...]) -> str:
    """Return min, max, mean, last, count and bad per bucket, from roll-ups where they serve and raw samples elsewhere.

    Buckets are aligned to 1970; only samples of [start, end) count.
    """
    unit = next((unit for unit in (HOUR, MINUTE) if query.bucket % unit == 0), 0)
    raw, first, last = [(query.start, query.end)], query.start, query.start
    if unit:
        raw, first, last = split_interval(query.start, query.end, unit, dirty)
        if len(raw) > MAX_RAW_INTERVALS:
            raw, first, last = [(query.start, query.end)], query.start, query.start
    sources = []
    if raw:
        sources.append(_raw_buckets(query, raw))
    if first < last:
        table = schema.HOURS if unit == HOUR else schema.MINUTES
        sources.append(_rolled_buckets(query, table, first, last, dirty))
    if len(sources) == 1 and raw:
        # Nothing to merge: a second level of aggregation would double the work.
        return f"""SELECT point, bucket AS time, if(n = 0, nan, lo) AS min, if(n = 0, nan, hi) AS max,
    if(n = 0, nan, total / n) AS mean, if(n = 0, nan, final) AS last, n AS count, unusable AS bad
FROM ({sources[0]}) ORDER BY point, bucket"""
    return f"""SELECT point, bucket AS time,
    if(sum(n) = 0, nan, minIf(lo, n > 0)) AS min, if(sum(n) = 0, nan, maxIf(hi, n > 0)) AS max,
    if(sum(n) = 0, nan, sum(total) / sum(n)) AS mean, if(sum(n) = 0, nan, argMaxIf(final, final_time, n > 0)) AS last,
    toUInt64(sum(n)) AS count, toUInt64(sum(unusable)) AS bad
FROM ({" UNION ALL ".join(sources)}) GROUP BY point, bucket ORDER BY point, bucket"""


def _raw_buckets(query: SeriesQuery, intervals: list[tuple[int, int]]) -> str:
    spans = " OR ".join(f"(time >= {begin} AND time < {end})" for begin, end in intervals)
    bucket = f"intDiv(time, {query.bucket}) * {query.bucket}"
    return f"""SELECT point, {bucket} AS bucket, minIf(value, {USABLE}) AS lo, maxIf(value, {USABLE}) AS hi,
    sumIf(value, {USABLE}) AS total, argMaxIf(value, time, {USABLE}) AS final, maxIf(time, {USABLE}) AS final_time,
    toUInt64(countIf({USABLE})) AS n, toUInt64(count() - n) AS unusable
    FROM {schema.SAMPLES} FINAL WHERE {_points(query.points)} AND ({spans}) GROUP BY point, bucket"""


def _rolled_buckets(query: SeriesQuery, table: str, first: int, last: int, dirty: tuple[int, ...]) -> str:
    where = _within(query.points, first, last)
    stale = [hour for hour in dirty if hour < last and hour + HOUR > first]
    if stale:
        where += f" AND intDiv(time, {HOUR}) * {HOUR} NOT IN ({','.join(str(hour) for hour in stale)})"
    bucket = f"intDiv(time, {query.bucket}) * {query.bucket}"
    return f"""SELECT point, {bucket} AS bucket, min AS lo, max AS hi, sum AS total, last AS final,
    last_time AS final_time, toUInt64(count) AS n, toUInt64(bad) AS unusable
    FROM {table} FINAL WHERE {where}"""


def wind_sql(query: SeriesQuery) -> str:
    """Return the vector mean of wind per bucket.

    Each usable speed is paired with the newest usable direction not older than 10 s. Direction is where the wind comes
    from, degrees clockwise from north; speed is the length of the mean vector, in the speed point's unit (WMO-No. 8,
    Guide to Instruments and Methods of Observation, Part I ch. 5: averaging of the wind vector).
    """
    speed, direction = query.points
    where = f"time >= {query.start - PAIR_AGE} AND time < {query.end} AND {USABLE}"
    so_far = "OVER (ORDER BY time, role ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    # Role 0 sorts a direction before a speed of the same time. (ASOF JOIN is refused by the embedded engine.)
    return f"""SELECT bucket AS time, sqrt(east * east + north * north) AS speed,
    if(speed = 0, nan, positiveModulo(degrees(atan2(east, north)) + 360, 360)) AS direction, count FROM (
    SELECT intDiv(time, {query.bucket}) * {query.bucket} AS bucket, avg(value * sin(radians(angle))) AS east,
        avg(value * cos(radians(angle))) AS north, toUInt64(count()) AS count FROM (
        SELECT time, role, value, argMaxIf(value, time, role = 0) {so_far} AS angle,
            maxIf(time, role = 0) {so_far} AS spoken, countIf(role = 0) {so_far} AS angles
        FROM (SELECT time, toUInt8(point = {speed}) AS role, value FROM {schema.SAMPLES} FINAL
              WHERE point IN ({speed}, {direction}) AND {where})
    ) WHERE role = 1 AND time >= {query.start} AND angles > 0 AND time - spoken <= {PAIR_AGE} GROUP BY bucket
) ORDER BY bucket"""


# --- the journal ------------------------------------------------------------------------------------------------


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where the next page begins: before this time and id."""

    time: int
    id: str


def read_cursor(text: str) -> Cursor | None:
    """Return the cursor of a page's ``next``; None for the first page.

    Raises:
        InvalidInputError: not a cursor of ours.
    """
    if not text:
        return None
    time, separator, identity = text.partition(".")
    if not separator or not time.lstrip("-").isdigit():
        raise InvalidInputError("not a cursor", where="cursor", fix="use 'next' of the page before")
    return Cursor(int(time), identity)


def write_cursor(time: int, identity: str) -> str:
    """Return the text of a cursor."""
    return f"{time}.{identity}"


def _below(parameter: str) -> str:
    name = f"{{{parameter}:String}}"
    return f"(subject = {name} OR startsWith(subject, concat({name}, '/')) OR startsWith(subject, concat({name}, '.')))"


def scope_sql(actor: Actor, parameters: dict[str, object]) -> str:
    """Return the condition of events this actor may see, filling ``parameters``.

    Outside one's places nothing shows; audit records show only where one may view the audit.
    """
    parts: list[str] = []
    for number, grant in enumerate(actor.grants):
        single = Actor(actor.user, grants=(grant,))
        if not single.may(Permission.VIEW, grant.scope):
            continue
        place = "1"
        if grant.scope:
            parameters[f"scope{number}"] = grant.scope
            place = _below(f"scope{number}")
        if not single.may(Permission.VIEW_AUDIT, grant.scope):
            place = f"({place} AND type != '{EventType.AUDIT.value}')"
        parts.append(place)
    return "(" + " OR ".join(parts or ["0"]) + ")"


def journal_sql(query: JournalQuery, actor: Actor) -> tuple[str, dict[str, object]]:
    """Return SQL and parameters of one page, newest first, one row more than asked to know whether there is a next.

    Raises:
        InvalidInputError: the cursor or the limit is wrong.
    """
    if not 0 < query.limit <= MAX_PAGE:
        raise InvalidInputError(f"{query.limit} events a page", where="limit", fix=f"between 1 and {MAX_PAGE}")
    parameters: dict[str, object] = {}
    conditions = [scope_sql(actor, parameters)]
    if query.types:
        parameters |= {f"type{number}": name for number, name in enumerate(query.types)}
        conditions.append(f"type IN ({', '.join(f'{{type{number}:String}}' for number in range(len(query.types)))})")
    if query.subject:
        parameters["subject"] = query.subject.rstrip("/")
        conditions.append(_below("subject"))
    if query.start:
        conditions.append(f"time >= {query.start}")
    if query.end:
        conditions.append(f"time < {query.end}")
    if query.who:
        parameters["who"] = query.who
        conditions.append("who = {who:String}")
    if query.text:
        parameters["text"] = query.text
        conditions.append(
            "(positionCaseInsensitiveUTF8(subject, {text:String}) > 0 "
            "OR positionCaseInsensitiveUTF8(data, {text:String}) > 0)"
        )
    cursor = read_cursor(query.cursor)
    if cursor is not None:
        parameters["cursor"] = cursor.id
        conditions.append(f"(time < {cursor.time} OR (time = {cursor.time} AND id < {{cursor:String}}))")
    sql = (
        f"SELECT id, type, time, source, subject, causes, data FROM {schema.EVENTS} FINAL "
        f"WHERE {' AND '.join(conditions)} ORDER BY time DESC, id DESC LIMIT {query.limit + 1}"
    )
    return sql, parameters


def transitions_sql(query: TransitionQuery, actor: Actor) -> tuple[str, dict[str, object]]:
    """Return SQL and parameters of the alarm transitions of a period, oldest first."""
    if query.start >= query.end:
        raise InvalidInputError("the period is empty", where="end", fix="end must lie after start")
    parameters: dict[str, object] = {"type": EventType.ALARM.value}
    conditions = [scope_sql(actor, parameters), "type = {type:String}"]
    conditions.append(f"time >= {query.start} AND time < {query.end}")
    if query.alarm:
        parameters["alarm"] = query.alarm
        conditions.append("alarm = {alarm:String}")
    if query.subject:
        parameters["subject"] = query.subject.rstrip("/")
        conditions.append(_below("subject"))
    sql = (
        "SELECT id, time, alarm, instance, arrow, state, before, priority, rung, who, subject "
        f"FROM {schema.EVENTS} FINAL WHERE {' AND '.join(conditions)} ORDER BY time, id LIMIT {query.limit + 1}"
    )
    return sql, parameters

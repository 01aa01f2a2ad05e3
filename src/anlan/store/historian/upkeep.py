"""Work beside the writing: roll-ups rebuilt from deduplicated closed hours, retention, holds, the classes of points.

Roll-ups are not insert views: a view would count a redelivered batch twice. An hour that gets a late row is rebuilt.
"""

# ruff: noqa: S608  # statements are made of integers and our own names; texts from outside are bound parameters

from __future__ import annotations

import logging
from calendar import monthrange
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from anlan.core.time import DAY, HOUR, MINUTE, SECOND
from anlan.store.historian import retention, schema
from anlan.store.historian.engine import Session
from anlan.store.historian.requests import Hold
from anlan.store.historian.retention import HeldRange

logger = logging.getLogger(__name__)

# What statistics are made of; bad, NaN and infinite samples are only counted.
USABLE = "(quality < 128 AND isFinite(value))"
_MAX = 1 << 62


def _aggregates(unit: int, built: int) -> str:
    return f"""SELECT point, intDiv(time, {unit}) * {unit} AS bucket,
    if(count = 0, nan, minIf(value, {USABLE})) AS min,
    if(count = 0, nan, maxIf(value, {USABLE})) AS max,
    sumIf(value, {USABLE}) AS sum,
    if(count = 0, nan, argMaxIf(value, time, {USABLE})) AS last,
    maxIf(time, {USABLE}) AS last_time,
    toUInt32(countIf({USABLE})) AS count,
    toUInt32(count() - count) AS bad,
    toUInt64({built}) AS built"""


_COLUMNS = "(point, time, min, max, sum, last, last_time, count, bad, built)"


class Upkeep:
    """Keeps roll-ups, classes, holds and retention; used by one thread at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def warm_up(self, rows: pa.Table) -> None:
        """Insert rows of the samples' columns into nowhere: the first insert of a process takes a second."""
        self._session.execute(f"CREATE TABLE IF NOT EXISTS {schema.NOWHERE}")
        self._session.insert("nowhere", rows)

    # --- roll-ups -----------------------------------------------------------------------------------------------

    def rebuild(self, hour: int, now: int) -> None:
        """Rebuild the minutes and the hour that begin at ``hour`` from deduplicated samples (µs UTC).

        Points whose samples of that hour have expired keep the roll-up they have.
        """
        source = f"FROM {schema.SAMPLES} FINAL WHERE time >= {hour} AND time < {hour + HOUR}"
        expired = retention.rules().expired(schema.SAMPLES, hour + HOUR, now)
        if expired:
            source += f" AND NOT ({retention.points_of(expired, retention.rules())})"
        for table, unit in ((schema.MINUTES, MINUTE), (schema.HOURS, HOUR)):
            self._session.execute(
                f"INSERT INTO {table} {_COLUMNS} {_aggregates(unit, now)} {source} GROUP BY point, bucket"
            )

    # --- classes of points --------------------------------------------------------------------------------------

    def set_classes(self, classes: dict[int, tuple[str, str]], now: int) -> int:
        """Store class and path of each point number where they changed; return how many did."""
        table = self._session.query(f"SELECT point, class, path FROM {schema.CLASSES} FINAL")
        known = {row["point"]: (row["class"], row["path"]) for row in table.to_pylist()}
        changed = {point: value for point, value in classes.items() if known.get(point) != value}
        if changed:
            self._session.insert(
                schema.CLASSES,
                pa.table(
                    {
                        "point": pa.array(list(changed), pa.int32()),
                        "class": pa.array([value[0] for value in changed.values()], pa.string()),
                        "path": pa.array([value[1] for value in changed.values()], pa.string()),
                        "since": np.full(len(changed), now, np.uint64),
                    }
                ),
            )
        return len(changed)

    # --- holds --------------------------------------------------------------------------------------------------

    def put_hold(self, hold: Hold) -> None:
        """Store a hold, or the word that it is released."""
        self._session.insert(
            schema.HOLDS,
            pa.table(
                {
                    "id": pa.array([hold.id], pa.string()),
                    "points": pa.array([list(hold.points)], pa.list_(pa.int32())),
                    "start": pa.array([hold.start], pa.int64()),
                    "end": pa.array([hold.end], pa.int64()),
                    "reason": pa.array([hold.reason], pa.string()),
                    "who": pa.array([hold.who], pa.string()),
                    "time": pa.array([hold.time], pa.uint64()),
                    "released": pa.array([int(hold.released)], pa.uint8()),
                }
            ),
        )

    def holds(self) -> list[Hold]:
        """Return every hold that was not released."""
        table = self._session.query(f"SELECT * FROM {schema.HOLDS} FINAL WHERE released = 0 ORDER BY time")
        return [
            Hold(
                id=row["id"],
                points=tuple(row["points"]),
                start=row["start"],
                end=row["end"],
                reason=row["reason"],
                who=row["who"],
                time=row["time"],
            )
            for row in table.to_pylist()
        ]

    # --- retention ----------------------------------------------------------------------------------------------

    def expire(self, now: int) -> dict[str, int]:
        """Forget what no class and no hold keeps at ``now`` (µs UTC); return partitions dropped and thinned."""
        done = {"dropped": 0, "thinned": 0}
        holds = [HeldRange(hold.points, hold.start, hold.end or _MAX) for hold in self.holds()]
        present = self._present()
        for table in (schema.SAMPLES, schema.MINUTES):
            for partition, start, end in self._partitions(table):
                verdict, condition = retention.plan(table, start, end, now, present, holds)
                if verdict == "drop":
                    self._session.execute(f"ALTER TABLE {table} DROP PARTITION {partition}")
                    done["dropped"] += 1
                elif verdict == "delete" and self._any(table, condition):
                    self._session.execute(f"ALTER TABLE {table} DELETE WHERE {condition}")
                    done["thinned"] += 1
        return done

    def _present(self) -> frozenset[str]:
        table = self._session.query(f"SELECT DISTINCT class FROM {schema.CLASSES} FINAL")
        return frozenset(row["class"] for row in table.to_pylist()) | {retention.rules().default}

    def _any(self, table: str, condition: str) -> bool:
        found = self._session.query(f"SELECT 1 AS one FROM {table} WHERE {condition} LIMIT 1")
        return bool(found.num_rows)

    def _partitions(self, table: str) -> list[tuple[str, int, int]]:
        rows = self._session.query(
            "SELECT DISTINCT partition FROM system.parts WHERE active AND database = currentDatabase() "
            "AND table = {table:String} ORDER BY partition",
            {"table": table},
        ).to_pylist()
        return [(row["partition"], *partition_span(row["partition"])) for row in rows]


def partition_span(name: str) -> tuple[int, int]:
    """Return start and end (µs UTC) of a partition: a month as YYYYMM or a day since 1970."""
    number = int(name)
    if number < 100_000:
        return number * DAY, (number + 1) * DAY
    year, month = divmod(number, 100)
    start = int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * SECOND
    return start, start + monthrange(year, month)[1] * DAY

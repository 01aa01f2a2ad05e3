"""Tables of the historian: the same SQL for the embedded engine and for a server.

Codecs were chosen by measurement on 5 M rows of Tennessee Eastman and SKAB data (bytes a row): time 0.05 (1.12 with
50 ms of jitter; Delta+ZSTD 1.92), value as decimals 1.43 (plain double + ZSTD 2.98, ALP+ZSTD 1.53, Gorilla 4.88; the
order-0 entropy of these data is 1.42), version 0.01 to 0.4, point, scale and quality together below 0.01.
"""

from __future__ import annotations

from anlan.store.historian.values import VALUE_SQL

SAMPLES = "samples"
MINUTES = "minutes"
HOURS = "hours"
EVENTS = "events"
CLASSES = "point_classes"
HOLDS = "holds"

# Source times outside 2000 … 2100 are a device's wrong clock: they share the first and the last partition.
_DAY = "intDiv(greatest(least(time, 4102444799999999), 946684800000000), 86400000000)"
_MONTH = "toYYYYMM(toDateTime(intDiv(greatest(least(time, 4102444799999999), 946684800000000), 1000000), 'UTC'))"
# A power cut may not take what the mark says is stored.
_DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1"

_ROLLUP = f"""(
    point Int32 CODEC(ZSTD(1)),
    time Int64 CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    min Float64 CODEC(ZSTD(1)),
    max Float64 CODEC(ZSTD(1)),
    sum Float64 CODEC(ZSTD(1)),
    last Float64 CODEC(ZSTD(1)),
    last_time Int64 CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    count UInt32 CODEC(T64, ZSTD(1)),
    bad UInt32 CODEC(T64, ZSTD(1)),
    built UInt64 CODEC(Delta, ZSTD(3))
) ENGINE = ReplacingMergeTree(built) PARTITION BY {_MONTH} ORDER BY (point, time) SETTINGS {_DURABLE}"""

TABLES: dict[str, str] = {
    # ``version`` is the log sequence that the insert ended with (the log's epoch in the high bits). Whatever groups a
    # replay makes, the row of the group that ends latest is the latest in the log, so the later in the log wins.
    SAMPLES: f"""(
    point Int32 CODEC(ZSTD(1)),
    time Int64 CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    mantissa Int64 CODEC(T64('bit'), ZSTD(1)),
    scale UInt8 CODEC(ZSTD(1)),
    quality UInt8 CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(3)),
    value Float64 ALIAS {VALUE_SQL}
) ENGINE = ReplacingMergeTree(version) PARTITION BY {_DAY} ORDER BY (point, time) SETTINGS {_DURABLE}""",
    MINUTES: _ROLLUP,
    HOURS: _ROLLUP,
    EVENTS: f"""(
    id String CODEC(ZSTD(1)),
    type LowCardinality(String),
    time Int64 CODEC(Delta, ZSTD(1)),
    source LowCardinality(String),
    subject String CODEC(ZSTD(1)),
    causes Array(String) CODEC(ZSTD(1)),
    data String CODEC(ZSTD(3)),
    who String CODEC(ZSTD(1)),
    alarm String CODEC(ZSTD(1)),
    instance String CODEC(ZSTD(1)),
    arrow LowCardinality(String),
    state LowCardinality(String),
    before LowCardinality(String),
    priority UInt8,
    rung UInt8,
    version UInt64
) ENGINE = ReplacingMergeTree(version) PARTITION BY {_MONTH} ORDER BY (time, id) SETTINGS {_DURABLE}""",
    CLASSES: f"""(point Int32, class LowCardinality(String), path String, since UInt64)
ENGINE = ReplacingMergeTree(since) ORDER BY point SETTINGS {_DURABLE}""",
    HOLDS: f"""(id String, points Array(Int32), start Int64, end Int64, reason String, who String, time UInt64,
released UInt8) ENGINE = ReplacingMergeTree(time) ORDER BY id SETTINGS {_DURABLE}""",
}

NOWHERE = "nowhere (point Int32, time Int64, mantissa Int64, scale UInt8, quality UInt8, version UInt64) ENGINE = Null"

# Applied to every session. Random source times of a broken clock may touch many days in one insert; reading final per
# partition is right since a repeat has the same time, hence the same partition.
SESSION: dict[str, int | str] = {
    "max_partitions_per_insert_block": 0,
    "do_not_merge_across_partitions_select_final": 1,
    "mutations_sync": 1,
}
# Of embedded sessions only. With two or more pipeline threads in one query the embedded engine stops for ever now and
# then (measured on glibc 2.36: after 9 to 550 queries beside other load, the workers all waiting on their condition
# variables, as in glibc's lost wake-up, bug 25847; with one thread: none in 5 500). Sessions still run side by side.
EMBEDDED: dict[str, int | str] = {"max_threads": 1, "max_insert_threads": 1}


def create_statements() -> list[str]:
    """Return the statements that make every table that is missing."""
    return [f"CREATE TABLE IF NOT EXISTS {name} {body}" for name, body in TABLES.items()]

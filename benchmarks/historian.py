"""``anlan bench historian``: what the historian stores and answers, on Tennessee Eastman and SKAB data.

Every row goes the way of the real thing: decimals split, ``INSERT`` from an Arrow table, fsync; every question is the
SQL the service asks. Points get 24 h of 1 Hz each, joined from different variables so that no codec sees the same
stretch twice in one block. Sizes are of active parts over all columns (``system.columns``), never of the directory.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
from numpy.typing import NDArray

from anlan.core.batch import SampleBatch
from anlan.core.errors import InvalidInputError
from anlan.core.time import DAY, HOUR, MINUTE, SECOND
from anlan.store.historian import m4, query, schema
from anlan.store.historian.engine import EmbeddedEngine, Session, prepare
from anlan.store.historian.requests import SeriesKind, SeriesQuery
from anlan.store.historian.values import SplitState
from anlan.store.historian.writer import GROUP_ROWS, sample_rows

START = 1_790_000_000 * SECOND // DAY * DAY
SECONDS = DAY // SECOND
LIVE_POINTS = 10_000
LIVE_RATE = 100_000
SCAN_POINTS = 60


def _shared_data() -> Path:
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("ANLAN_SHARED_DATA", default)).resolve()
    if not folder.is_dir():
        raise InvalidInputError("the shared data are not there", where=str(folder), fix="set ANLAN_SHARED_DATA")
    return folder


def series(folder: Path) -> list[NDArray[np.float64]]:
    """Return the 52 variables of Tennessee Eastman and the 8 of SKAB, each as one array over all its runs."""
    tep = [pq.read_table(folder / "process" / "tep" / f"tep_{part}.parquet") for part in ("train", "test")]
    skab = [
        pq.read_table(folder / "process" / "skab" / f"skab_{part}.parquet") for part in ("anomaly_free", "experiments")
    ]
    names = [name for name in tep[0].column_names if name.startswith("xm")]
    columns = [(tep, name) for name in names] + [(skab, name) for name in skab[0].column_names[2:10]]
    return [np.concatenate([table[name].to_numpy() for table in tables]).astype(float) for tables, name in columns]


def point_days(variables: list[NDArray[np.float64]], points: int) -> NDArray[np.float64]:
    """Return 24 h of 1 Hz for each point, shape (points, 86 400); a stride of 7 variables keeps repeats far apart."""
    days = np.empty((points, SECONDS))
    position = 0
    for day in days:
        filled = 0
        while filled < SECONDS:
            part = variables[position % len(variables)][: SECONDS - filled]
            day[filled : filled + len(part)] = part
            filled += len(part)
            position += 7
    return days


def groups(days: NDArray[np.float64], jitter_ms: int) -> Iterator[tuple[SampleBatch, int]]:
    """Yield the samples in time order as the writer's groups, with the log sequence each ends at (11 records a second).

    Points of one scan group share a timestamp; ``jitter_ms`` spreads the scans.
    """
    rng = np.random.default_rng(1)
    points = len(days)
    scans = -(-points // SCAN_POINTS)
    offset = rng.integers(0, jitter_ms + 1, (SECONDS, scans)) * 1000
    per_group = max(1, GROUP_ROWS // points)
    numbers = np.arange(1, points + 1, dtype=np.int32)
    for first in range(0, SECONDS, per_group):
        last = min(first + per_group, SECONDS)
        times = START + np.arange(first, last) * SECOND
        spread = times[:, None] + np.repeat(offset[first:last], SCAN_POINTS, axis=1)[:, :points]
        rows = spread.size
        batch = SampleBatch(
            np.tile(numbers, last - first), spread.ravel(), days[:, first:last].T.ravel(), np.zeros(rows, np.uint8)
        )
        yield batch, last * 11


def load(
    session: Session, days: NDArray[np.float64], jitter_ms: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Insert everything and return rate and latency of the inserts (generation is not counted)."""
    state = SplitState()
    spent: list[float] = []
    rows = 0
    process = psutil.Process()
    used = -sum(process.cpu_times()[:2])
    making = 0.0
    before = time.thread_time()
    for batch, sequence in groups(days, jitter_ms):
        making += time.thread_time() - before
        began = time.perf_counter()
        session.insert(schema.SAMPLES, sample_rows(batch, sequence, state))
        spent.append(time.perf_counter() - began)
        rows += len(batch)
        if len(spent) % 50 == 0:
            progress(f"{rows / 1e6:.0f} M rows, {rows / sum(spent) / 1e6:.2f} M rows/s")
        before = time.thread_time()
    used += sum(process.cpu_times()[:2]) - making
    return {
        "rows": rows,
        "samples_per_s": round(rows / sum(spent)),
        # Merges included; unlike the rate it does not depend on what else the machine does.
        "cpu_us_per_sample": round(used / rows * 1e6, 3),
        "insert_ms": percentiles(spent),
    }


def bytes_a_sample(session: Session) -> dict[str, float]:
    """Return compressed bytes a stored sample by column, merged."""
    session.execute(f"OPTIMIZE TABLE {schema.SAMPLES} FINAL")
    rows = session.query(f"SELECT count() AS n FROM {schema.SAMPLES}")["n"][0].as_py()
    columns = session.query(
        "SELECT name, data_compressed_bytes AS bytes FROM system.columns WHERE database = currentDatabase() "
        "AND table = {table:String} AND data_compressed_bytes > 0",
        {"table": schema.SAMPLES},
    ).to_pylist()
    sizes = {row["name"]: round(row["bytes"] / rows, 4) for row in columns}
    return {"total": round(sum(row["bytes"] for row in columns) / rows, 4), **sizes}


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return p50 and p95 in ms."""
    ordered = sorted(seconds)
    at = min(len(ordered) - 1, int(len(ordered) * 0.95))
    return {"p50": round(statistics.median(ordered) * 1e3, 2), "p95": round(ordered[at] * 1e3, 2)}


class LiveLoad(threading.Thread):
    """Inserts 100 000 samples/s of other points for the next day while questions are timed."""

    def __init__(self, session: Session, values: NDArray[np.float64]) -> None:
        super().__init__(daemon=True)
        self._session = session
        self._values = values
        self.halt = threading.Event()
        self.rows = 0
        self.elapsed = 0.0

    def run(self) -> None:
        """Insert half a second of samples every half second."""
        state = SplitState()
        points = np.tile(np.arange(100_000, 100_000 + LIVE_POINTS, dtype=np.int32), LIVE_RATE // LIVE_POINTS // 2)
        began = time.perf_counter()
        count = 0
        while not self.halt.is_set():
            scans = len(points) // LIVE_POINTS
            offsets = np.repeat(np.arange(scans), LIVE_POINTS) * (SECOND // (2 * scans))
            now = START + DAY + count * SECOND // 2 + offsets
            value = np.resize(self._values[count % 1000 :], len(points))
            batch = SampleBatch(points, now, value, np.zeros(len(points), np.uint8))
            self._session.insert(schema.SAMPLES, sample_rows(batch, 10_000_000 + count, state))
            count += 1
            self.rows += len(points)
            self.halt.wait(max(0.0, began + count / 2 - time.perf_counter()))
        self.elapsed = time.perf_counter() - began


def ask(session: Session, points: int, rounds: int) -> dict[str, Any]:
    """Time the questions, each round on another point."""
    rng = np.random.default_rng(2)
    end = START + DAY

    def pick(count: int) -> tuple[int, ...]:
        return tuple(int(number) for number in rng.choice(points, min(count, points), replace=False) + 1)

    def question(kind: SeriesKind, count: int, span: int, **more: int) -> str:
        # Not on round hours: real windows end now.
        start = end - span - 1234 * SECOND if span < DAY else START
        return query.series_sql(SeriesQuery(kind, pick(count), start, start + span, **more))

    questions: dict[str, Callable[[], str]] = {
        "one_point_24h_raw": lambda: question(SeriesKind.RAW, 1, DAY),
        "one_point_24h_m4_1000px": lambda: question(SeriesKind.RAW, 1, DAY),
        "one_point_24h_per_minute": lambda: question(SeriesKind.BUCKET, 1, DAY, bucket=MINUTE),
        "one_point_24h_per_10s": lambda: question(SeriesKind.BUCKET, 1, DAY, bucket=10 * SECOND),
        "one_point_1h_raw": lambda: question(SeriesKind.RAW, 1, HOUR),
        "100_points_1h_per_10s": lambda: question(SeriesKind.BUCKET, 100, HOUR, bucket=10 * SECOND),
        "100_points_1h_raw": lambda: question(SeriesKind.RAW, 100, HOUR),
    }
    result: dict[str, Any] = {}
    for name, sql_of in questions.items():
        spent = []
        for number in range(rounds + 2):
            sql = sql_of()
            began = time.perf_counter()
            table = session.query(sql)
            rows = table.num_rows
            if "m4" in name:
                # As the service does it with the embedded engine.
                mask, _ = m4.picks(table.combine_chunks().to_batches()[0], START, end, 1000)
                rows = int(mask.sum())
            if number >= 2:
                spent.append(time.perf_counter() - began)
        result[name] = {"rows": rows, **percentiles(spent)}
    return result


def _roll_up(session: Session, progress: Callable[[str], None]) -> float:
    from anlan.store.historian.upkeep import Upkeep

    began = time.perf_counter()
    for hour in range(24):
        Upkeep(session).rebuild(START + hour * HOUR, START + 2 * DAY)
    progress("rolled up")
    return time.perf_counter() - began


def _memory() -> dict[str, int]:
    """Return resident memory of this process, MB; ``own`` leaves out what is shared with files."""
    info = psutil.Process().memory_info()
    return {"resident": info.rss >> 20, "own": (info.rss - info.shared) >> 20}


def run(*, quick: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run the benchmark and return its figures.

    Args:
        quick: 3 M rows instead of 50 M.
        progress: is told what is going on.
    """
    points = 35 if quick else 579
    variables = series(_shared_data())
    days = point_days(variables, points)
    result: dict[str, Any] = {"points": points, "load_average": os.getloadavg()[0], "memory_mb": {"before": _memory()}}
    with tempfile.TemporaryDirectory(prefix="anlan-bench-") as folder:
        engine = EmbeddedEngine(Path(folder) / "clickhouse")
        try:
            writing, reading = engine.session(), engine.session()
            prepare(writing)
            progress(f"{engine.name}: {points * SECONDS / 1e6:.0f} M rows")
            result["engine"] = engine.name
            result["ingest"] = load(writing, days, 0, progress)
            result["memory_mb"]["after_ingest"] = _memory()
            result["bytes_per_sample"] = bytes_a_sample(writing)
            result["roll_up_24h_s"] = round(_roll_up(writing, progress), 2)
            live = LiveLoad(writing, variables[0])
            live.start()
            progress("questions while 100 000 samples/s arrive")
            try:
                result["queries_ms"] = ask(reading, points, 5 if quick else 40)
            finally:
                live.halt.set()
                live.join()
            result["arriving_per_s"] = round(live.rows / live.elapsed)
            result["memory_mb"]["after_queries"] = _memory()
            for table in (schema.SAMPLES, schema.MINUTES, schema.HOURS):
                writing.execute(f"DROP TABLE {table}")
            prepare(writing)
            progress("the same with 50 ms of jitter")
            load(writing, days[: max(1, points // 5)], 50, progress)
            result["bytes_per_sample_50ms_jitter"] = bytes_a_sample(writing)
        finally:
            engine.close()
    return result

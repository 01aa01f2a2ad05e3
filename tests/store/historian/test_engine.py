"""Both engines take the same tables and SQL; what was measured of the embedded one is kept to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from anlan.core.actor import SYSTEM
from anlan.core.errors import UnavailableError
from anlan.core.events import Event
from anlan.core.time import HOUR
from anlan.store.historian import query, schema
from anlan.store.historian.engine import EmbeddedEngine, Engine, ServerEngine, StoreError, prepare
from anlan.store.historian.requests import JournalQuery, SeriesKind, SeriesQuery
from anlan.store.historian.upkeep import Upkeep
from anlan.store.historian.writer import event_rows
from tests.conftest import free_port
from tests.store.historian.conftest import SharedEngine, batch, put

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a ClickHouse server's database: a real one by environment, or the engine behind the HTTP interface."""
    given = os.environ.get("ANLAN_TEST_CLICKHOUSE", "")
    if given:
        yield given
        return
    port = free_port()
    door = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.store.historian.http_door",
            str(tmp_path_factory.mktemp("door") / "d"),
            str(port),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert door.stdout is not None
    assert door.stdout.readline() == b"open\n"
    yield f"http://127.0.0.1:{port}/plant"
    door.kill()
    door.wait()


@pytest.fixture(params=["embedded", "server"])
def either(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "embedded":
        yield request.getfixturevalue("engine")
        return
    opened = ServerEngine(request.getfixturevalue("server"))
    yield opened
    session = opened.session()
    for table in schema.TABLES:
        session.execute(f"DROP TABLE IF EXISTS {table}")
    opened.close()


def test_the_same_tables_rows_and_questions(either: Engine) -> None:
    session = either.session()
    prepare(session)
    prepare(session)
    value = [0.1, -0.0, float("inf"), float("nan"), 3702.3]
    put(session, batch([(1, n, value[n]) for n in range(5)]), version=1)
    put(session, batch([(1, 4, 7.5)]), version=2)
    Upkeep(session).rebuild(0, HOUR)
    reader = either.session()
    rows = reader.query(query.raw_sql((1,), 0, 10))
    expected = np.array([*value[:4], 7.5])
    assert rows["value"].to_numpy().view(np.uint64).tolist() == expected.view(np.uint64).tolist()
    streamed = pa.Table.from_batches(list(reader.stream(query.raw_sql((1,), 0, 10))))
    assert streamed.cast(rows.schema)["time"].to_pylist() == [0, 1, 2, 3, 4]
    bucket = SeriesQuery(SeriesKind.BUCKET, (1,), 0, HOUR, bucket=HOUR)
    row = reader.query(query.bucket_sql(bucket, ())).to_pylist()[0]
    assert (row["count"], row["bad"], row["max"], row["last"]) == (3, 2, 7.5, 7.5)
    event = Event("01J00000000000000000000001", "alarm.transition", "test", 5, "a/b.HH", ("c",), {"who": "李'\\"})
    session.insert(schema.EVENTS, event_rows([event], 1))
    sql, parameters = query.journal_sql(JournalQuery(who="李'\\", types=("alarm.transition",)), SYSTEM)
    assert reader.query(sql, parameters)["subject"].to_pylist() == ["a/b.HH"]


def test_an_error_says_its_number_and_the_session_goes_on(either: Engine) -> None:
    session = either.session()
    with pytest.raises(StoreError) as caught:
        session.query("SELECT nothing FROM nowhere")
    assert caught.value.number == 60
    with pytest.raises(StoreError):
        list(session.stream("SELECT throwIf(number = 3) FROM numbers(10)"))
    assert session.query("SELECT 1 AS one")["one"].to_pylist() == [1]


def test_a_full_disk_is_told_apart() -> None:
    assert StoreError("x", number=243).full
    assert StoreError("write: No space left on device").full
    assert not StoreError("x", number=60).full


def test_a_server_that_is_away_is_named() -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1"):
        ServerEngine(f"http://127.0.0.1:{free_port()}/anlan")


def test_readers_do_not_wait_for_a_long_scan(engine: SharedEngine) -> None:
    slow, quick = engine.session(), engine.session()
    began = threading.Event()
    ended: list[float] = []

    def scan() -> None:
        began.set()
        slow.query("SELECT sum(sipHash64(number)) AS s FROM numbers(60000000)")
        ended.append(time.monotonic())

    thread = threading.Thread(target=scan)
    thread.start()
    began.wait()
    quick.query("SELECT 1 AS one")
    answered = time.monotonic()
    thread.join()
    assert answered < ended[0]


def test_a_call_that_does_not_come_back_is_told(shared_engine: SharedEngine) -> None:
    session = shared_engine.engine.session(patience=0.05)
    seen: list[str] = []
    thread = threading.Thread(target=lambda: session.query("SELECT sum(sipHash64(number)) AS s FROM numbers(30000000)"))
    thread.start()
    while thread.is_alive():
        seen.append(shared_engine.engine.stalled())
        time.sleep(0.02)
    assert any("sipHash64" in what for what in seen)
    assert shared_engine.engine.stalled() == ""


def test_a_closed_stream_frees_its_session(engine: SharedEngine) -> None:
    session = engine.session()
    batches = session.stream("SELECT number FROM numbers(10000000)")
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # a generator
    assert session.query("SELECT 2 AS two")["two"].to_pylist() == [2]


_WORK = """
import sys, threading
from pathlib import Path
from anlan.store.historian.engine import EmbeddedEngine, prepare
from tests.store.historian.conftest import batch, put
engine = EmbeddedEngine(Path(sys.argv[1]))
try:
    sessions = [engine.session() for _ in range(4)]
    prepare(sessions[0])
    put(sessions[0], batch([(1, n, n / 10) for n in range(1000)]))
    ask = lambda s: [s.query("SELECT count() AS n FROM samples FINAL") for _ in range(20)]
    threads = [threading.Thread(target=ask, args=(session,)) for session in sessions]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if len(sys.argv) > 2: raise SystemExit(int(sys.argv[2]))
finally:
    engine.close()
"""


@pytest.mark.parametrize("code", [0, 3])
def test_threads_and_sessions_end_with_a_clean_exit(tmp_path: Path, code: int) -> None:
    arguments = [str(code)] if code else []
    done = subprocess.run(
        [sys.executable, "-c", _WORK, str(tmp_path / "d"), *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr


_SPAWN = """
import multiprocessing, sys
from pathlib import Path
def child(path):
    from anlan.store.historian.engine import EmbeddedEngine, prepare
    engine = EmbeddedEngine(Path(path))
    try:
        prepare(engine.session())
    finally:
        engine.close()
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=child, args=(sys.argv[1],))
    process.start(); process.join(60)
    sys.exit(process.exitcode)
"""


def test_the_engine_starts_under_spawn(tmp_path: Path) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(_SPAWN)
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "d")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_one_path_a_process(shared_engine: SharedEngine, tmp_path: Path) -> None:
    other = EmbeddedEngine(tmp_path / "other")
    with pytest.raises(UnavailableError, match="other"):
        other.session()

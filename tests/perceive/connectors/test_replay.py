"""File replay: every layout, times that collide, cells that are wrong, and the real data sets bit for bit."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.quality import Quality
from anlan.core.time import MINUTE, SECOND, from_iso
from anlan.perceive.connectors._replay_times import Repeats
from anlan.perceive.connectors.replay import ReplayConnector, fingerprint
from anlan.plant.model import ConnectorSpec
from tests.perceive.connectors.harness import MemoryContext, running

START = from_iso("2026-11-24T08:00:00+08:00")


def replaying(path: Path, tags: dict[str, str], **options: Any) -> MemoryContext:
    return MemoryContext(ConnectorSpec("file", "replay", {"file": str(path)} | options, tags))


async def replay(path: Path, tags: dict[str, str], **options: Any) -> tuple[MemoryContext, ReplayConnector]:
    context = replaying(path, tags, **options)
    connector = ReplayConnector(context.spec, context)
    async with running(connector), asyncio.timeout(60):
        await connector.finished.wait()
    return context, connector


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


async def test_wide_csv_with_naive_times_in_the_stated_zone(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.csv", "datetime,P 1,T,other\n2026-11-24 08:00:00,1.5,20,x\n2026-11-24 08:00:01,1.25,,y\n"
    )
    context, connector = await replay(file, {"p": "P 1", "t": "T"}, time_column="datetime")
    assert context.values("p").tolist() == [1.5, 1.25]
    assert context.values("t").tolist() == [20.0]
    assert context.all.time.tolist() == [START, START, START + SECOND]
    assert (connector.rows_read, connector.samples_emitted, connector.empty_cells, connector.rows_bad) == (2, 3, 1, 0)
    assert context.unknown == {"other": 2}
    assert context.states == ["up"]


async def test_cells_and_rows_that_are_wrong_are_named_and_the_rest_is_sent(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.csv",
        "t,a,b\n1795478400,1,2\n1795478401,x,3\n1795478402,4\nnever,5,6\n1795478404,7,nan\n1795478405,8,1e400\n",
    )
    context, connector = await replay(file, {"a": "a", "b": "b"}, time_column="t")
    assert context.values("a").tolist() == [1.0, 7.0, 8.0]
    np.testing.assert_array_equal(context.values("b"), [2.0, 3.0, math.nan, math.inf])
    assert sorted(str(error) for _, error, _ in context.dead) == sorted(
        [
            "a.csv, row 4: 2 cells, the header has 3 (a cell for every column)",
            "a.csv, row 3, column a: 'x' is no number (a decimal number)",
            "a.csv, row 5, column t: 'never' is no time (ISO 8601, or a number since 1970)",
        ]
    )
    assert (connector.rows_read, connector.rows_bad) == (6, 3)
    assert context.last()["b"][1] == Quality.BAD_NOT_A_NUMBER


async def test_a_mended_row_is_sent_again(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "t,a,b\n1795478400,1,2\n1795478401,x,3\n1795478402,4\n")
    context = replaying(file, {"a": "a", "b": "b"}, time_column="t")
    connector = ReplayConnector(context.spec, context)
    async with running(connector):
        await connector.finished.wait()
    letters = sorted(raw for raw, _, _ in context.dead)
    assert letters == [b"1795478402,4", b'{"t": "1795478401", "a": "x", "b": "3"}']
    with pytest.raises(DecodeError, match="'x' is no number"):
        await connector.run_again(letters[1], "a.csv")
    assert await connector.run_again(letters[0] + b",5", "a.csv") == 2
    assert context.last() == {"a": (4.0, 0), "b": (5.0, 0)}


async def test_long_layout_with_qualities(tmp_path: Path) -> None:
    table = {
        "series": ["x", "y", "x", "z"], "ts": [START, START, START + SECOND, START],
        "value": [1.0, None, 3.0, 4.0], "q": ["good", "good", "bad-sensor", None],
    }  # fmt: skip
    file = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table(table), file)
    context, connector = await replay(
        file, {"x": "x", "y": "y"}, layout="long", point_column="series", time_column="ts", quality_column="q"
    )
    assert context.last() == {"x": (3.0, Quality.BAD_SENSOR)}
    assert context.values("x").tolist() == [1.0, 3.0]
    assert context.unknown == {"z": 1}
    assert connector.empty_cells == 1


async def test_runs_that_overlap_are_laid_one_after_the_other(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "run,t,a\n1,100,1\n1,110,2\n2,105,3\n2,115,4\n3,900,5\n1,900,6\n")
    tags, options = {"a": "a"}, {"time_column": "t", "group_columns": "run", "group_gap": "1 min"}
    context, connector = await replay(file, tags, **options)
    assert (context.all.time // SECOND).tolist() == [100, 110, 170, 180, 900, 960]
    assert [(group.name, group.rows, group.offset_us) for group in connector.groups] == [
        ("1", 2, 0), ("2", 2, 65 * SECOND), ("3", 1, 0), ("1", 1, 60 * SECOND),
    ]  # fmt: skip
    kept, _ = await replay(file, tags, **options, group_times="keep")
    assert (kept.all.time // SECOND).tolist() == [100, 110, 105, 115, 900, 900]


async def test_a_file_without_times_gets_them_from_start_and_interval(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "fault,a\n0,1\n0,2\n1,3\n1,4\n")
    context, _ = await replay(
        file, {"a": "a"}, start="2026-11-24T08:00:00", interval="3 min", group_columns=["fault"], group_gap="1 h"
    )
    offsets = ((context.all.time - START) // MINUTE).tolist()
    assert offsets == [0, 3, 63, 66]


async def test_a_moment_held_twice_is_told_apart_unless_it_should_be_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "t,a\n100,1\n101,2\n100,3\n100,4\n102,5\n")
    context, connector = await replay(file, {"a": "a"}, time_column="t")
    assert (context.all.time - 100 * SECOND).tolist() == [0, SECOND, 1, 2, 2 * SECOND]
    assert connector.repeats_moved == 2
    kept, _ = await replay(file, {"a": "a"}, time_column="t", repeats="keep")
    assert len(set(kept.all.time.tolist())) == 3


async def test_speed_follows_source_time_and_cuts_long_pauses(tmp_path: Path) -> None:
    rows = "".join(f"{100 + second},{second}\n" for second in range(6))
    file = write(tmp_path / "a.csv", f"t,a\n{rows}999999,6\n50,7\n")
    loop = asyncio.get_running_loop()
    began = loop.time()
    context, _ = await replay(file, {"a": "a"}, time_column="t", speed="20", longest_pause="100 ms")
    assert loop.time() - began >= 0.3
    assert context.values("a").tolist() == list(range(8))
    assert len(context.batches) > 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file": "absent.csv"}, "there is no file absent.csv"),
        ({"time_column": "when"}, "has no column 'when'"),
        ({}, "has no times"),
        ({"interval": "1 s"}, "needs a start"),
        ({"time_column": "t", "speed": "-1"}, "no speed"),
        ({"time_column": "t", "group_columns": ["g"]}, "has no column 'g'"),
        ({"time_column": "t", "layout": "long"}, "option 'point_column' is missing"),
        ({"time_column": "t", "start": "soon"}, "not a date"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    file = write(tmp_path / "a.csv", "t,a\n1,1\n")
    context = replaying(file, {"a": "a"}, **options)
    with pytest.raises(InvalidInputError, match=message):
        ReplayConnector(context.spec, context)


@pytest.mark.parametrize("content", [b"", b"PAR1garbage", b"\xff\xfe\x00\x01"])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).write_bytes(content)
        context = replaying(tmp_path / name, {"a": "a"}, time_column="t")
        with pytest.raises(InvalidInputError, match=r"a\.(csv|parquet)"):
            ReplayConnector(context.spec, context)


async def test_a_damaged_file_sends_what_it_can_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    table = pa.table({"t": np.arange(100_000) * SECOND, "a": np.random.default_rng(1).random(100_000)})
    pa.parquet.write_table(table, file, row_group_size=1_000, compression="none")
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = b"\xff" * 2000
    file.write_bytes(bytes(data))
    context, connector = await replay(file, {"a": "a"}, time_column="t")
    assert connector.failed is None or "cannot be read on" in str(connector.failed)
    assert context.states in (["up"], ["up", "down"])


def sums(context: MemoryContext) -> dict[str, tuple[int, int]]:
    batch = context.all
    found = {}
    for path, number in context.numbers.items():
        mine = batch.take(batch.point == number)
        found[path] = len(mine), fingerprint(mine.time, mine.value)
    return found


async def test_skab_is_bit_exact_and_no_two_samples_share_a_time(shared_data: Path) -> None:
    file = shared_data / "process" / "skab" / "skab_experiments.parquet"
    names = ["Pressure", "Temperature", "Volume Flow RateRMS"]
    tags = {name.lower(): name for name in names}
    context, connector = await replay(file, tags, time_column="datetime", group_columns=["experiment"])
    table = pa.parquet.read_table(file)
    for path, name in tags.items():
        assert context.values(path).tobytes() == table[name].to_numpy().tobytes()
    times = context.all.time[:: len(names)]
    assert len(set(times.tolist())) == len(table) == connector.rows_read
    assert connector.groups[0].offset_us == 0
    assert len(connector.groups) == 21
    assert sums(context) == connector.fingerprints()


async def test_tep_and_nab_are_bit_exact(shared_data: Path) -> None:
    file = shared_data / "process" / "tep" / "tep_test.parquet"
    names = [f"xmeas_{index}" for index in range(1, 42)] + [f"xmv_{index}" for index in range(1, 12)]
    context, connector = await replay(
        file, {name: name for name in names}, start="2026-01-01", interval="3 min", group_columns=["part", "fault"]
    )
    table = pa.parquet.read_table(file)
    for name in names:
        assert context.values(name).tobytes() == table[name].to_numpy().tobytes()
    assert connector.samples_emitted == len(table) * 52
    assert max(len(batch) for batch in context.batches) >= 45_000

    file = shared_data / "process" / "nab" / "nab_series.parquet"
    table = pa.parquet.read_table(file)
    series = sorted(set(table["series"].to_pylist()))
    context, connector = await replay(
        file, {name: name for name in series}, layout="long", point_column="series", time_column="timestamp",
        timezone="UTC",
    )  # fmt: skip
    assert connector.samples_emitted == len(table) == len(set(zip(context.all.point, context.all.time, strict=True)))
    assert connector.repeats_moved == 12
    assert context.all.value.tobytes() == table["value"].to_numpy().tobytes()


@given(st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=6))
def test_repeats_are_always_told_apart_by_the_least_move(pieces: list[list[int]]) -> None:
    repeats = Repeats()
    sent = [repeats.separate(np.array(piece, np.int64)) for piece in pieces]
    flat = [int(time) for part in sent for time in part]
    assert len(set(flat)) == len(flat)
    used: set[int] = set()
    for original, moved in zip([time for piece in pieces for time in piece], flat, strict=True):
        assert moved == next(time for time in range(original, original + 200) if time not in used)
        used.add(moved)


@given(st.lists(st.tuples(st.integers(-(2**62), 2**62), st.floats()), max_size=30), st.randoms())
def test_a_fingerprint_does_not_depend_on_order_but_on_every_bit(rows: list[tuple[int, float]], random: Any) -> None:
    def of(pairs: list[tuple[int, float]]) -> int:
        return fingerprint(np.array([t for t, _ in pairs], np.int64), np.array([v for _, v in pairs], np.float64))

    shuffled = list(rows)
    random.shuffle(shuffled)
    assert of(shuffled) == of(rows)
    assert (of(rows[:3]) + of(rows[3:])) % 2**64 == of(rows)
    if rows:
        assert of([(rows[0][0] ^ 1, rows[0][1]), *rows[1:]]) != of(rows)

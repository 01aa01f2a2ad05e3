"""The historian process on a real fabric: every row once after kill -9, scopes, export, events, holds, exit code."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import typer
from typer.testing import CliRunner

from anlan.core import log
from anlan.core.actor import SYSTEM, Actor, Grant, Role
from anlan.core.batch import BatchHeader, SampleBatch, encode
from anlan.core.errors import InvalidInputError, NotFoundError, PermissionDeniedError
from anlan.core.events import Event
from anlan.core.time import HOUR, SECOND, now_us, to_iso
from anlan.plant.model import Plant, Point, SiteInfo, encode_plant, revision_of
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.log import LogWriter
from anlan.store.historian import cli
from anlan.store.historian.client import HistorianClient, truncated
from anlan.store.historian.requests import ExportFormat, Hold, JournalQuery, SeriesKind, SeriesQuery, TransitionQuery
from anlan.store.historian.service import watch
from tests.conftest import FabricProcess, free_port
from tests.store.historian.node import HistorianProcess

T0 = 1_790_000_000 * SECOND // HOUR * HOUR
PLANT = Plant(
    SiteInfo("s", "s"),
    points=(
        Point(1, "haian/north/u1/pressure", "pressure", "MPa"),
        Point(2, "haian/south/u2/level", "level", "m", retention="short"),
    ),
)


@dataclass
class Node:
    settings: Settings
    fabric: Fabric
    writer: LogWriter
    client: HistorianClient
    process: HistorianProcess
    t0: int

    def sine(self, rows: int, first: int = 0, points: int = 2) -> SampleBatch:
        """Return ``rows`` samples per point from row ``first`` on, one a millisecond."""
        n = np.arange(first, first + rows, dtype=np.int64)
        return SampleBatch(
            np.tile(np.arange(1, points + 1, dtype=np.int32), rows),
            np.repeat(self.t0 + n * 1000, points),
            np.round(np.sin(np.arange(first * points, (first + rows) * points) / 50), 4),
            np.zeros(rows * points, np.uint8),
        )

    def raw(self, points: tuple[int, ...] = (1, 2), rows: int = 10_000_000, **more: int) -> SeriesQuery:
        return SeriesQuery(SeriesKind.RAW, points, self.t0, self.t0 + rows * 1000, **more)

    def start(self) -> None:
        self.process = HistorianProcess(self.settings)

    async def append(self, batch: SampleBatch, name: str) -> int:
        payload = encode(batch, BatchHeader("test", now_us()))
        return await self.writer.append(log.SAMPLES, payload, f"{self.t0}-{name}")

    async def caught_up(self, sequence: int) -> None:
        async def there() -> bool:
            return (await self.client.status()).mark >= sequence

        await until(there)

    def asks(self, *grants: Grant) -> HistorianClient:
        return HistorianClient(self.fabric, Actor("li", grants=grants))


async def until(there: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(400):
        if await there():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("did not come about")


async def prepare(settings: Settings) -> None:
    """Lay the streams and put a configuration in force."""
    async with await Fabric.connect(settings, "runtime") as fabric:
        await fabric.ensure_streams()
        document = encode_plant(PLANT)
        await fabric.put_config(revision_of(document), document)
        record = log.ConfigRecord(now_us(), revision_of(document))
        await LogWriter(fabric).append(log.CONFIG, log.encode(record), "config-1")


@asynccontextmanager
async def node_of(settings: Settings, process: HistorianProcess) -> AsyncIterator[Node]:
    async with await Fabric.connect(settings, "runtime") as fabric:
        # Tests that share a process have days of their own.
        t0 = T0 + next(_DAYS) * 24 * HOUR
        yield Node(settings, fabric, LogWriter(fabric), HistorianClient(fabric, SYSTEM), process, t0)


_DAYS = itertools.count()


@pytest.fixture
async def own(settings: Settings, fabric_process: FabricProcess) -> AsyncIterator[Node]:
    """A historian that the test may kill."""
    await prepare(settings)
    async with node_of(settings, HistorianProcess(settings)) as node:
        await node.process.ready()
        yield node
        if node.process.process.poll() is None:
            node.process.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, HistorianProcess]]:
    """A historian for all tests of this file that leave it running."""
    settings = Settings(data=tmp_path_factory.mktemp("node") / "data", fabric_port=free_port(), node="test")
    fabric = FabricProcess(settings)
    fabric.start()
    asyncio.run(prepare(settings))
    process = HistorianProcess(settings)
    yield settings, process
    assert process.stop() == 0
    fabric.kill()


@pytest.fixture
async def node(shared: tuple[Settings, HistorianProcess]) -> AsyncIterator[Node]:
    async with node_of(*shared) as node:
        await node.process.ready()
        yield node


async def test_kill_9_in_the_middle_loses_nothing_and_doubles_nothing(own: Node) -> None:
    parts = 150
    sending = [own.append(own.sine(40, part * 40), f"s{part}") for part in range(parts)]
    for number, append in enumerate(sending):
        sequence = await append
        if number in (50, 100):
            await asyncio.sleep(0.15 if number == 50 else 0.7)  # inside the first group, then after a mark
            own.process.kill()
            own.start()
            await own.process.ready()
    await own.caught_up(sequence)
    table = await own.client.series(own.raw())
    expected = own.sine(parts * 40)
    order = np.lexsort((expected.time, expected.point))
    assert table["time"].to_numpy().tolist() == expected.time[order].tolist()
    assert table["point"].to_numpy().tolist() == expected.point[order].tolist()
    assert table["value"].to_numpy().view(np.uint64).tolist() == expected.value[order].view(np.uint64).tolist()
    assert own.process.stop() == 0


async def test_a_repeat_in_the_log_is_stored_once_and_the_later_wins(node: Node) -> None:
    batch = node.sine(10)
    await node.append(batch, "a")
    corrected = SampleBatch(batch.point, batch.time, batch.value + 1, batch.quality)
    await node.append(corrected, "b")
    sequence = await node.append(node.sine(5, 100), "c")
    await node.caught_up(sequence)
    table = await node.client.series(node.raw((1,), 50))
    assert table["value"].to_pylist() == (batch.value[::2] + 1).tolist()


async def test_garbage_in_the_log_is_counted_and_the_rest_goes_on(node: Node) -> None:
    await node.writer.append(log.SAMPLES, b"not arrow", "bad")
    await node.fabric.jetstream.publish("events.alarm.transition", b"{", timeout=5)
    sequence = await node.append(node.sine(3), "good")
    await node.caught_up(sequence)
    assert (await node.client.series(node.raw((1,)))).num_rows == 3


async def test_sigterm_stores_what_was_read_and_exits_with_0(own: Node) -> None:
    sequence = await own.append(own.sine(1000), "last")
    await asyncio.sleep(0.1)
    assert own.process.stop() == 0
    own.start()
    await own.process.ready()
    await own.caught_up(sequence)
    assert (await own.client.series(own.raw())).num_rows == 2000
    assert own.process.stop() == 0


async def test_a_second_process_on_the_same_directory_says_what_is_wrong(node: Node) -> None:
    second = HistorianProcess(node.settings)
    code = await asyncio.to_thread(second.process.wait, 30)
    assert code not in (0, -6, -11)
    assert "cannot be opened" in second.said
    assert (await node.client.status()).engine.startswith("chDB")


async def test_long_answers_come_in_pieces_and_a_cut_one_says_so(node: Node) -> None:
    for part in range(6):
        sequence = await node.append(node.sine(50_000, part * 50_000), f"p{part}")
    await node.caught_up(sequence)
    table = await node.client.series(node.raw())
    assert table.num_rows == 600_000
    assert not truncated(table)
    cut = await node.client.series(node.raw(limit=250_000))
    assert (cut.num_rows, truncated(cut)) == (250_000, True)
    exact = await node.client.series(node.raw(limit=600_000))
    assert (exact.num_rows, truncated(exact)) == (600_000, False)
    pieces = 0
    async for piece in node.fabric.call_pieces("historian.series", node.raw(), SYSTEM):
        assert len(piece) <= 512 << 10
        pieces += 1
        await asyncio.sleep(0.01 if pieces % 8 else 0.2)  # a slow taker
    assert pieces > 24


async def test_an_answer_nobody_takes_frees_its_reader(node: Node) -> None:
    for part in range(8):
        sequence = await node.append(node.sine(100_000, part * 100_000), f"p{part}")
    await node.caught_up(sequence)
    for _ in range(8):
        pieces = node.fabric.call_pieces("historian.series", node.raw(), SYSTEM)
        await anext(pieces)
        await pieces.aclose()  # type: ignore[attr-defined]  # an async generator
    table = await asyncio.wait_for(node.client.series(node.raw((1,), 100)), 20)
    assert table.num_rows == 100


async def test_only_points_in_scope_exist(node: Node) -> None:
    await node.caught_up(await node.append(node.sine(5), "a"))
    north = node.asks(Grant(Role.OPERATOR, "haian/north"))
    assert (await north.series(node.raw((1,)))).num_rows == 5
    for points in ((2,), (1, 2), (77,)):
        with pytest.raises(NotFoundError):
            await north.series(node.raw(points))
    with pytest.raises(NotFoundError):
        async for _ in north.export(node.raw((2,))):
            pass
    with pytest.raises(NotFoundError):
        await node.asks().series(node.raw((1,)))


async def test_exports_hold_the_same_bits(node: Node, tmp_path: Path) -> None:
    value = np.array([0.1, -0.0, np.inf, np.nan, 1e-300, 3702.3])
    batch = SampleBatch(np.full(6, 1, np.int32), node.t0 + np.arange(6) * 1000, value, np.arange(6, dtype=np.uint8))
    await node.caught_up(await node.append(batch, "a"))
    data = b"".join([piece async for piece in node.client.export(node.raw((1,)))])
    table = pa.parquet.read_table(io.BytesIO(data))
    assert table["value"].to_numpy().view(np.uint64).tolist() == value.view(np.uint64).tolist()
    assert set(table["path"].to_pylist()) == {"haian/north/u1/pressure"}
    assert table["time"].cast(pa.int64()).to_pylist() == batch.time.tolist()
    text = b"".join([piece async for piece in node.client.export(node.raw((1,)), ExportFormat.CSV)])
    csv = pa.csv.read_csv(io.BytesIO(text), convert_options=pa.csv.ConvertOptions(column_types={"value": pa.float64()}))
    assert csv["value"].to_numpy().view(np.uint64).tolist() == value.view(np.uint64).tolist()
    assert csv["unit"].to_pylist() == ["MPa"] * 6
    assert text.decode().splitlines()[1].split(",")[3].strip('"').endswith("Z")
    with pytest.raises(InvalidInputError, match="limit"):
        async for _ in node.client.export(node.raw((1,), limit=2)):
            pass


async def test_other_kinds_over_the_fabric(node: Node) -> None:
    await node.caught_up(await node.append(node.sine(2000), "a"))
    end = node.t0 + 2000 * 1000
    latest = await node.client.series(SeriesQuery(SeriesKind.AS_OF, (1, 2), 0, end))
    assert latest["time"].to_pylist() == [node.t0 + 1999 * 1000] * 2
    bucket = await node.client.series(SeriesQuery(SeriesKind.BUCKET, (1,), node.t0, end, bucket=SECOND))
    assert bucket["count"].to_pylist() == [1000, 1000]
    plot = await node.client.series(SeriesQuery(SeriesKind.M4, (1,), node.t0, end, width=100))
    assert 100 < plot.num_rows <= 400
    wind = await node.client.series(SeriesQuery(SeriesKind.WIND, (1, 2), node.t0, end, bucket=SECOND))
    assert wind["count"].to_pylist() == [1000, 1000]
    with pytest.raises(InvalidInputError, match="width"):
        await node.client.series(SeriesQuery(SeriesKind.M4, (1,), node.t0, end))


async def test_events_reach_the_journal_once(node: Node) -> None:
    events = [
        Event(f"01J{n:023d}", "alarm.transition", "test", node.t0 + n, "haian/north/u1/pressure.HH", (), {"alarm": "a"})
        for n in range(30)
    ]
    for event in [*events, *events[:5]]:
        await node.fabric.publish_event(event)
    await node.fabric.jetstream.publish(  # beyond the stream's own memory of ids
        "events.alarm.transition", b'{"id":"01J00000000000000000000003","type":"alarm.transition","source":"test",'
        b'"time":%d,"subject":"haian/north/u1/pressure.HH","data":{"alarm":"a"}}' % (node.t0 + 3), timeout=5
    )  # fmt: skip

    async def there() -> bool:
        return len((await node.client.journal(JournalQuery(limit=100))).events) == 30

    await until(there)
    page = await node.client.journal(JournalQuery(limit=20))
    rest = await node.client.journal(JournalQuery(limit=20, cursor=page.next))
    assert [event.id for event in page.events + rest.events] == [event.id for event in reversed(events)]
    assert rest.next == ""
    table = await node.client.transitions(TransitionQuery(node.t0, node.t0 + 10))
    assert table["id"].to_pylist() == [event.id for event in events[:10]]
    assert (await node.asks(Grant(Role.OPERATOR, "haian/south")).journal(JournalQuery())).events == ()


async def test_holds_need_permission_and_are_listed(node: Node) -> None:
    engineer = node.asks(Grant(Role.ENGINEER, "haian/north"))
    hold = await engineer.hold(Hold("i-1", start=node.t0, reason="incident 7", points=(1,)))
    assert (hold.who, hold.released) == ("li", False)
    with pytest.raises(PermissionDeniedError):
        await node.asks(Grant(Role.OPERATOR)).hold(Hold("i-2", start=node.t0, reason="x", points=(1,)))
    with pytest.raises(NotFoundError):
        await engineer.hold(Hold("i-3", start=node.t0, reason="x", points=(2,)))
    with pytest.raises(InvalidInputError, match="reason"):
        await engineer.hold(Hold("i-4", start=node.t0, reason=" ", points=(1,)))
    assert [item.id for item in (await engineer.holds()).holds] == ["i-1"]
    assert (await node.asks(Grant(Role.OPERATOR, "haian/south")).holds()).holds == ()
    await node.client.release("i-1")
    assert (await node.client.holds()).holds == ()


async def test_a_new_configuration_is_taken_up(node: Node) -> None:
    plant = Plant(PLANT.site, points=(*PLANT.points, Point(3, "haian/north/u1/new", "level", "m")))
    document = encode_plant(plant)
    north = node.asks(Grant(Role.OPERATOR, "haian/north"))
    with pytest.raises(NotFoundError):
        await north.series(node.raw((3,)))
    await node.fabric.put_config(revision_of(document), document)
    await node.writer.append(log.CONFIG, log.encode(log.ConfigRecord(now_us(), revision_of(document))), "config-2")

    async def there() -> bool:
        try:
            return (await north.series(node.raw((3,)))).num_rows == 0
        except NotFoundError:
            return False

    await until(there)


async def test_a_new_log_is_read_from_its_beginning(own: Node) -> None:
    for part in range(5):
        sequence = await own.append(own.sine(10, part * 10), f"a{part}")
    await own.caught_up(sequence)
    assert own.process.stop() == 0
    await own.fabric.jetstream.delete_stream("LOG")
    await own.fabric.ensure_streams()
    first = own.sine(10)
    sequence = await own.append(SampleBatch(first.point, first.time, first.value + 5, first.quality), "b")
    own.start()
    await own.process.ready()
    await own.caught_up(sequence)
    table = await own.client.series(own.raw((1,)))
    assert table.num_rows == 50
    assert table["value"].to_pylist()[:10] == (first.value[::2] + 5).tolist()


async def test_a_stalled_engine_ends_the_process() -> None:
    class Stuck:
        def stalled(self) -> str:
            return "SELECT 1 for 130 s"

    left: list[int] = []
    await watch(Stuck(), asyncio.Event(), left.append)  # type: ignore[arg-type]  # the part of an engine it asks
    assert left == [75]


def anlan(node: Node, *arguments: str) -> dict[str, Any]:
    """Run a history command as the program would and return its JSON."""
    app = typer.Typer()
    cli.register(app)
    result = CliRunner().invoke(app, ["history", *arguments, "--json"], env=node.settings.environment())
    answer: dict[str, Any] = json.loads(result.stdout)
    answer["exit"] = result.exit_code
    return answer


async def test_the_commands_query_export_and_tell(node: Node, tmp_path: Path) -> None:
    await node.caught_up(await node.append(node.sine(100), "a"))
    span = ("--from", to_iso(node.t0), "--to", to_iso(node.t0 + SECOND))
    path = "haian/north/u1/pressure"
    answer = await asyncio.to_thread(anlan, node, "query", path, *span)
    assert (answer["rows"], answer["exit"], answer["truncated"]) == (100, 0, False)
    assert answer["columns"]["value"] == node.sine(100).value[::2].tolist()
    output = tmp_path / "out.parquet"
    written = await asyncio.to_thread(anlan, node, "export", "1", path, *span, "-o", str(output))
    assert written["bytes"] == output.stat().st_size
    assert pa.parquet.read_table(output).num_rows == 100
    assert (await asyncio.to_thread(anlan, node, "status"))["behind"] >= 0
    missing = await asyncio.to_thread(anlan, node, "query", "no/such/point", *span)
    assert (missing["exit"], missing["error"]["where"]) == (1, "no/such/point")
    wrong = await asyncio.to_thread(anlan, node, "export", path, *span, "-o", str(tmp_path / "x.doc"))
    assert wrong["exit"] == 1
    assert ".parquet or .csv" in wrong["error"]["fix"]


async def test_what_one_process_takes(node: Node) -> None:
    resident = psutil.Process(node.process.process.pid).memory_info()
    assert resident.rss < 1 << 30

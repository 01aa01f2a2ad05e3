"""The HJ 212 server against real sockets: answers after the log, splits, packets, wrong frames, slow clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.time import from_iso
from anlan.perceive.connectors.hj212 import Hj212Connector
from anlan.perceive.decoders import hj212 as protocol
from anlan.plant.model import ConnectorSpec
from tests.perceive.connectors.harness import MemoryContext, is_closed, line, running

MN = "010000A8900016F000169DC0"
TAGS = {
    "so2": f"{MN}/a21026-Rtd",
    "nox": f"{MN}/a21002-Rtd",
    "minute": f"{MN}/a21026-Avg",
    "hour": f"{MN}/a21026-Avg@2061",
}


def data(second: int, *items: str, flag: int = 5, cn: str = "2011", extra: str = "", pw: str = "123456") -> bytes:
    stamp = f"202611230800{second:02d}"
    content = ";".join([f"DataTime={stamp}", *items])
    return protocol.encode_frame(f"QN={stamp}123;ST=31;CN={cn};PW={pw};MN={MN};Flag={flag};{extra}CP=&&{content}&&")


@asynccontextmanager
async def listening(context: MemoryContext) -> AsyncIterator[Hj212Connector]:
    connector = Hj212Connector(context.spec, context)
    async with running(connector):
        await context.until(lambda: connector.port > 0)
        yield connector


def station(*, hold: bool = False, **options: Any) -> MemoryContext:
    chosen = {"port": 0, "devices": [{"mn": MN, "password": "mep"}]} | options
    return MemoryContext(ConnectorSpec("mep", "hj212", chosen, TAGS), secrets={"mep": "123456"}, hold=hold)


async def answers(reader: asyncio.StreamReader, count: int) -> list[protocol.Message]:
    frames = protocol.FrameReader()
    found: list[protocol.Message] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            received = await reader.read(4096)
            assert received, "the server closed the connection"
            found += [protocol.parse(item) for item in frames.feed(received) if isinstance(item, bytes)]
    return found


async def test_takes_data_and_answers_with_9014() -> None:
    context = station()
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        writer.write(data(1, "a21026-Rtd=1.1,a21026-Flag=N", "a21002-Rtd=112.5,a21002-Flag=D", "a99999-Rtd=3"))
        [answer] = await answers(reader, 1)
        writer.close()
    assert (answer.cn, answer.qn, answer.flag) == ("9014", "20261123080001123", 4)
    assert context.last() == {"so2": (1.1, 0), "nox": (112.5, 0x81)}
    assert set(context.all.time.tolist()) == {from_iso("2026-11-23T08:00:01+08:00")}
    assert context.unknown == {f"{MN}/a99999-Rtd": 1}
    assert context.states == ["up"]


async def test_minutes_and_hours_are_different_points() -> None:
    context = station()
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        writer.write(data(0, "a21026-Avg=10", cn="2051") + data(0, "a21026-Avg=20", cn="2061"))
        await answers(reader, 2)
        writer.close()
    assert context.last() == {"minute": (10.0, 0), "hour": (20.0, 0)}


async def test_the_answer_waits_for_the_log() -> None:
    context = station(hold=True)
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        writer.write(data(1, "a21026-Rtd=1") + data(2, "a21026-Rtd=2"))
        await context.until(lambda: len(context.batches) == 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        context.acknowledge()
        assert [answer.cn for answer in await answers(reader, 2)] == ["9014", "9014"]
        writer.close()


async def test_a_mended_letter_is_sent_again_and_shows_no_password() -> None:
    context = station()
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        writer.write(data(1, "a21026-Rtd=1.x", "a21002-Rtd=2") + data(2, "a21026-Rtd=3")[:-6] + b"0000\r\n")
        await answers(reader, 1)
        await context.until(lambda: len(context.dead) == 2)
        writer.close()
        (item, _, _), (frame, _, _) = context.dead
        assert b"123456" not in frame
        with pytest.raises(DecodeError, match="no number"):
            await connector.run_again(item, MN)
        assert await connector.run_again(item.replace(b"1.x", b"1.5"), MN) == 1
        assert await connector.run_again(frame, "127.0.0.1") == 1
    assert context.values("so2").tolist() == [1.5, 3.0]


async def test_split_and_merged_reads_and_a_wrong_crc_between() -> None:
    context = station()
    stream = (
        data(1, "a21026-Rtd=1") + data(2, "a21026-Rtd=2")[:-6] + b"0000\r\n" + data(3, "a21026-Rtd=3") + b"garbage\r\n"
    )
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        for start in range(0, len(stream), 7):
            writer.write(stream[start : start + 7])
            await writer.drain()
            await asyncio.sleep(0)
        await answers(reader, 2)
        await context.until(lambda: len(context.dead) == 2)
        writer.close()
    assert context.values("so2").tolist() == [1.0, 3.0]
    assert "CRC" in str(context.dead[0][1])
    assert "begin no frame" in str(context.dead[1][1])


async def test_packets_are_joined_in_any_order_and_each_is_answered() -> None:
    def packet(number: int, content: str) -> bytes:
        head = f"QN=20261123080001123;ST=31;CN=2011;PW=123456;MN={MN};Flag=7;PNUM=2;PNO={number};"
        return protocol.encode_frame(f"{head}CP=&&{content}&&")

    context = station()
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        writer.write(packet(2, "a21002-Rtd=5"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        writer.write(packet(1, "DataTime=20261123080001;a21026-Rtd=4"))
        assert len(await answers(reader, 2)) == 2
        writer.close()
    assert context.last() == {"so2": (4.0, 0), "nox": (5.0, 0)}
    assert set(context.all.time.tolist()) == {from_iso("2026-11-23T08:00:01+08:00")}


@pytest.mark.parametrize(
    ("segment", "content"),
    [
        (f"QN=1;CN=2011;PW=wrong;MN={MN};Flag=5;CP=&&&&", {"QnRtn": "3"}),
        ("QN=1;CN=2011;PW=123456;MN=STRANGER;Flag=5;CP=&&&&", {"QnRtn": "4"}),
        (f"QN=1;CN=2011;PW=123456;MN={MN};Flag=253;CP=&&&&", {"QnRtn": "6"}),
        (f"QN=1;CN=7777;PW=123456;MN={MN};Flag=5;CP=&&&&", {"QnRtn": "8"}),
    ],
    ids=["password", "device", "flag", "command"],
)
async def test_a_refusal_names_its_reason_and_is_kept(segment: str, content: dict[str, str]) -> None:
    context = station()
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        writer.write(protocol.encode_frame(segment))
        [answer] = await answers(reader, 1)
        writer.close()
    assert (answer.cn, answer.groups) == ("9011", (content,))
    assert len(context.dead) == 1
    assert not context.batches


async def test_heartbeats_notices_and_answers() -> None:
    context = station()
    frames = [
        f"QN=20261123080200500;ST=91;CN=9015;PW=123456;MN={MN};Flag=5;CP=&&&&",
        f"QN=20261123080201500;ST=91;CN=9014;PW=123456;MN={MN};Flag=5;CP=&&&&",
        f"QN=20261123080202500;ST=31;CN=1013;PW=123456;MN={MN};Flag=9;CP=&&PolId=a21026&&",
    ]
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        writer.write(b"".join(protocol.encode_frame(frame) for frame in frames))
        found = await answers(reader, 2)
        writer.close()
    assert [(answer.cn, answer.flag) for answer in found] == [("9013", 4), ("9013", 8)]
    assert [(type_, data["cn"]) for type_, _, _, data, _ in context.events] == [("device.text", "1013")]


async def test_a_cut_line_loses_nothing_that_was_answered() -> None:
    """A device that repeats what was not answered, over a line that is cut at random moments."""
    context = station()
    async with listening(context) as connector, line(connector.port) as wire:
        confirmed = 0
        while confirmed < 40:
            if confirmed in (10, 25):
                await wire.cut()
                await wire.mend()
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
                while confirmed < 40:
                    writer.write(data(confirmed, f"a21026-Rtd={confirmed}"))
                    if confirmed in (10, 25) and wire.connections < 3:
                        break
                    async with asyncio.timeout(2):
                        await answers(reader, 1)
                    confirmed += 1
                writer.close()
            except (OSError, AssertionError, TimeoutError):
                continue
    stored = context.values("so2")
    assert set(stored.tolist()) == {float(value) for value in range(40)}


async def test_a_slow_client_is_closed_and_others_are_served() -> None:
    context = station(idle_timeout="300 ms")
    async with listening(context) as connector:
        slow_reader, slow_writer = await asyncio.open_connection("127.0.0.1", connector.port)
        slow_writer.write(b"##01")
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        writer.write(data(1, "a21026-Rtd=1"))
        await answers(reader, 1)
        assert await is_closed(slow_reader)
        slow_writer.close()
        writer.close()


async def test_captures_of_other_protocols_do_no_harm(shared_data: Path) -> None:
    context = station()
    async with listening(context) as connector:
        for capture in sorted((shared_data / "protocols" / "pcap").glob("*.pcap")):
            reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
            writer.write(capture.read_bytes() + data(1, "a21026-Rtd=1"))
            assert (await answers(reader, 1))[0].cn == "9014"
            writer.close()
    assert set(context.values("so2").tolist()) == {1.0}
    assert context.dead


async def test_connections_are_bounded() -> None:
    context = station(max_connections=1)
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        writer.write(data(1, "a21026-Rtd=1"))
        await answers(reader, 1)
        second, closing = await asyncio.open_connection("127.0.0.1", connector.port)
        assert await is_closed(second)
        closing.close()
        writer.close()


async def test_silence_of_all_devices_is_said_once_and_so_is_the_return() -> None:
    context = station(offline_after="200 ms")
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        writer.write(data(1, "a21026-Rtd=1"))
        await answers(reader, 1)
        await context.until(lambda: context.states[-1] == "down")
        writer.write(data(2, "a21026-Rtd=2"))
        await answers(reader, 1)
        writer.close()
    assert context.states[:3] == ["up", "down", "up"]
    assert abs(context.offsets[0]) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "0.0.0.0"}, "no encryption"),
        ({"host": "10.1.2.3"}, "may come from anywhere"),
        ({"timezone": "Mars/Base"}, "no time zone"),
        ({"devices": [{"password": "x"}]}, "names no mn"),
        ({"devices": [{"mn": "A", "password": "absent"}]}, "no secret"),
        ({"port": "x"}, "does not fit"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    context = station(**options)
    with pytest.raises(InvalidInputError, match=message):
        Hj212Connector(context.spec, context)


async def test_a_peer_that_is_not_listed_is_not_served() -> None:
    context = station(devices=[{"mn": MN, "password": "mep", "peers": "192.0.2.0/24"}])
    async with listening(context) as connector:
        reader, writer = await asyncio.open_connection("127.0.0.1", connector.port)
        assert await is_closed(reader)
        writer.close()
    assert not context.batches

"""The log's writer and reader against a real nats-server."""

from __future__ import annotations

import asyncio

import pytest

from anlan.core import log
from anlan.core.actor import SYSTEM, Actor
from anlan.core.errors import ConflictError, UnavailableError
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.log import LogMessage, LogReader, LogWriter
from tests.conftest import FabricProcess


async def read(fabric: Fabric, start: int, count: int) -> list[LogMessage]:
    messages: list[LogMessage] = []
    async for batch in LogReader(fabric, start=start).batches():
        messages += batch
        if len(messages) >= count:
            return messages
    return messages


async def test_reads_from_its_own_mark_in_order(settings: Settings, fabric_process: FabricProcess) -> None:
    async with await Fabric.connect(settings, "runtime") as fabric:
        await fabric.ensure_streams()
        writer = LogWriter(fabric)
        sequences = [await writer.append(log.TICK, f"{n}".encode(), f"m{n}") for n in range(600)]
        messages = await asyncio.wait_for(read(fabric, 101, 500), 20)
    assert [message.sequence for message in messages] == sequences[100:]
    assert [message.data for message in messages] == [f"{n}".encode() for n in range(100, 600)]


async def test_append_survives_a_killed_server_and_reader_goes_on(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async with await Fabric.connect(settings, "runtime") as fabric:
        await fabric.ensure_streams()
        states: list[bool] = []
        writer = LogWriter(fabric, on_state=lambda up, _reason: states.append(up))
        reader = asyncio.ensure_future(read(fabric, 1, 60))
        for n in range(30):
            await writer.append(log.TICK, f"{n}".encode(), f"m{n}")
        fabric_process.kill()
        held = asyncio.ensure_future(writer.append(log.TICK, b"30", "m30"))
        await asyncio.sleep(0.5)
        await fabric_process.start_async()
        await asyncio.wait_for(held, 20)
        for n in range(31, 60):
            await writer.append(log.TICK, f"{n}".encode(), f"m{n}")
        messages = await asyncio.wait_for(reader, 30)
    assert [message.data for message in messages] == [f"{n}".encode() for n in range(60)]
    assert states == [False, True]


async def test_repeat_with_the_same_id_is_dropped(settings: Settings, fabric_process: FabricProcess) -> None:
    async with await Fabric.connect(settings, "runtime") as fabric:
        await fabric.ensure_streams()
        writer = LogWriter(fabric)
        first = await writer.append(log.TICK, b"x", "same")
        second = await writer.append(log.TICK, b"x", "same")
    assert first == second == 1


async def test_a_service_answers_typed_and_its_error_reaches_the_caller(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    async def double(number: int, actor: Actor) -> int:
        if number > 9:
            raise ConflictError("too big", where="number", fix="≤ 9")
        return number * 2

    async with await Fabric.connect(settings, "runtime") as fabric:
        await fabric.serve("test.double", int, double)
        assert await fabric.call("test.double", 4, SYSTEM, int) == 8
        with pytest.raises(ConflictError, match="number: too big"):
            await fabric.call("test.double", 10, SYSTEM, int)
        with pytest.raises(UnavailableError):
            await fabric.call("test.nobody", 1, SYSTEM, int, timeout=0.5)


async def test_pieces_arrive_whole_and_in_order(settings: Settings, fabric_process: FabricProcess) -> None:
    payload = bytes(range(256)) * 8192

    async def stream(_request: int, _actor: Actor):  # type: ignore[no-untyped-def]  # an async generator in a test
        yield payload
        yield b"tail"

    async with await Fabric.connect(settings, "runtime") as fabric:
        await fabric.serve_pieces("test.stream", int, stream)
        received = b"".join([piece async for piece in fabric.call_pieces("test.stream", 1, SYSTEM)])
    assert received == payload + b"tail"


async def test_a_role_cannot_publish_what_is_not_its_own(settings: Settings, fabric_process: FabricProcess) -> None:
    async with await Fabric.connect(settings, "runtime") as runtime:
        await runtime.ensure_streams()
        async with await Fabric.connect(settings, "web") as web:
            with pytest.raises(Exception, match=r"(?i)timeout|no responders"):
                await web.jetstream.publish(log.COMMAND, b"{}", timeout=1)
        assert (await runtime.jetstream.stream_info("LOG")).state.messages == 0

"""The Modbus connector against a real pymodbus server, over a line that can be cut."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from anlan.core.errors import InvalidInputError
from anlan.core.quality import Quality
from anlan.perceive.connectors import _modbus_map as register_map
from anlan.perceive.connectors.modbus import ModbusConnector
from anlan.plant.model import ConnectorSpec
from tests.conftest import free_port
from tests.perceive.connectors.harness import MemoryContext, line, running

HOLDING = [0x4148, 0x0000, 7, 0xFFF9, 0x0000, 0x4148, 0b1010, 0x1234]  # 12.5, 7, -7, 12.5 word-swapped, bits, 0x1234


def device(unit: int = 1, **kwargs: Any) -> SimDevice:
    registers = [SimData(0, values=HOLDING, datatype=DataType.REGISTERS)]
    registers += [SimData(20, values=[900, 901], datatype=DataType.REGISTERS)]
    inputs = [SimData(100, values=list(range(300)), datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[True, False, True, True] + [False] * 12, datatype=DataType.BITS)]
    return SimDevice(unit, simdata=(bits, bits, registers, inputs), **kwargs)


@asynccontextmanager
async def serving(
    devices: SimDevice | list[SimDevice], *, rtu: bool = False, trace: Callable[[bool, bytes], bytes] | None = None
) -> AsyncIterator[int]:
    port = free_port()
    framer = FramerType.RTU if rtu else FramerType.SOCKET
    server = ModbusTcpServer(devices, framer=framer, address=("127.0.0.1", port), trace_packet=trace)
    await server.serve_forever(background=True)
    try:
        yield port
    finally:
        await server.shutdown()


def spec(port: int, tags: dict[str, Any], **options: Any) -> ConnectorSpec:
    chosen = {"host": "127.0.0.1", "port": port, "interval": "50 ms", "timeout": "300 ms", "retries": 0} | options
    return ConnectorSpec("plc", "modbus", chosen, tags)


async def poll_once(port: int, tags: dict[str, Any], **options: Any) -> MemoryContext:
    context = MemoryContext(spec(port, tags, **options))
    async with running(ModbusConnector(context.spec, context)):
        await context.until(lambda: bool(context.batches))
    return context


TAGS: dict[str, Any] = {
    "float": "holding:0:float32",
    "unsigned": "holding:2:uint16",
    "signed": {"table": "holding", "address": 3, "type": "int16", "scale": 0.1, "offset": 2.0},
    "swapped": "holding:4:float32:little",
    "bit": "holding:6:bit.3",
    "no-bit": "holding:6:bit.2",
    "bytes": {"address": 7, "byte_order": "little"},
    "reference": "40003",
    "input": "input:150:uint16",
    "coil": "coil:0:bool",
    "discrete": "discrete:1:bool",
}
VALUES = {
    "float": 12.5,
    "unsigned": 7.0,
    "signed": -0.7 + 2.0,
    "swapped": 12.5,
    "bit": 1.0,
    "no-bit": 0.0,
    "bytes": float(0x3412),
    "reference": 7.0,
    "input": 50.0,
    "coil": 1.0,
    "discrete": 0.0,
}


@pytest.mark.parametrize("rtu", [False, True], ids=["tcp", "rtu-over-tcp"])
async def test_reads_every_type_and_order(rtu: bool) -> None:
    async with serving(device(), rtu=rtu) as port:
        context = await poll_once(port, TAGS, framing="rtu-over-tcp" if rtu else "tcp")
    assert {path: value for path, (value, _) in context.last().items()} == pytest.approx(VALUES)
    assert {quality for _, quality in context.last().values()} == {0}


async def test_merged_reads_equal_unmerged_and_are_fewer() -> None:
    tags = {f"p{n}": f"input:{100 + n * 2}:uint16" for n in range(140)}
    counts: list[int] = []
    results: list[dict[str, tuple[float, int]]] = []
    for gap in (-1, 8):
        requests: list[bytes] = []

        def trace(sending: bool, data: bytes, requests: list[bytes] = requests) -> bytes:
            requests.extend([] if sending else [data])
            return data

        async with serving(device(), trace=trace) as port:
            context = await poll_once(port, tags, merge_gap=gap, interval="20 s")
        counts.append(len(requests))
        results.append(context.last())
    assert results[0] == results[1] == {f"p{n}": (n * 2.0, 0) for n in range(140)}
    assert counts == [140, 3]


async def test_an_illegal_address_spoils_only_its_own_point() -> None:
    tags = {"a": "holding:6:uint16", "gone": "holding:12:uint16", "b": "holding:20:uint16", "c": "holding:21:uint16"}
    async with serving(device()) as port:
        context = await poll_once(port, tags, merge_gap=20)
    last = context.last()
    assert {path: last[path][0] for path in "abc"} == {"a": 10.0, "b": 900.0, "c": 901.0}
    assert last["gone"][1] == Quality.BAD_CONFIGURATION
    assert math.isnan(last["gone"][0])
    assert [last[path][1] for path in "abc"] == [0, 0, 0]


async def test_a_bridged_gap_that_the_device_refuses_is_split() -> None:
    async with serving(device()) as port:
        context = await poll_once(port, {"a": "holding:7:uint16", "b": "holding:20:uint16"}, merge_gap=20)
    assert context.last() == {"a": (float(0x1234), 0), "b": (900.0, 0)}


async def test_a_silent_unit_is_bad_and_the_others_go_on() -> None:
    async with serving(device(1)) as port:
        context = await poll_once(port, {"here": "holding:2:uint16@1", "away": "holding:2:uint16@9"}, framing="tcp")
    assert context.last()["here"] == (7.0, 0)
    assert context.last()["away"][1] in (Quality.BAD_COMMUNICATION, Quality.BAD_CONFIGURATION)
    assert context.states == ["up"]


async def test_reconnects_with_back_off_and_says_so_once() -> None:
    async with serving(device()) as port, line(port) as wire:
        context = MemoryContext(spec(wire.port, {"a": "holding:2:uint16"}))
        async with running(ModbusConnector(context.spec, context)):
            await context.until(lambda: len(context.batches) >= 3)
            await wire.cut()
            await context.until(lambda: len(context.reasons) >= 2)
            before = len(context.batches)
            await wire.mend()
            await context.until(lambda: len(context.batches) >= before + 3)
    assert context.states == ["up", "down", "up"]
    assert {quality for _, quality in context.last().values()} == {0}


async def test_polls_at_a_fixed_rate_without_drift() -> None:
    async with serving(device()) as port:
        context = MemoryContext(spec(port, {"a": "holding:2:uint16"}, interval="10 ms"))
        connector = ModbusConnector(context.spec, context)
        async with running(connector):
            await context.until(lambda: len(context.batches) >= 60)
            polls, overruns = len(context.batches), connector.overruns
    times = context.all.time
    slots = (times[polls - 1] - times[0]) / 10_000
    assert abs(slots - (polls - 1 + overruns)) <= 2  # a sleep between polls would have drifted by more


@pytest.mark.parametrize("capture", ["", "modbus_fuzz_72", "modbus_small", "modbus_test_data_part1"])
async def test_garbage_instead_of_answers_is_survived(capture: str, shared_data: Path) -> None:
    pcap = shared_data / "protocols" / "pcap" / f"{capture}.pcap"
    garbage = pcap.read_bytes() if capture else bytes(range(256))

    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(300):
            writer.write(garbage)
        writer.close()

    server = await asyncio.start_server(garble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    context = MemoryContext(spec(port, {"a": "holding:2:uint16"}, timeout="100 ms"))
    async with running(ModbusConnector(context.spec, context)):
        await context.until(lambda: len(context.reasons) >= 1)
    server.close()
    assert not any(quality == 0 for _, quality in context.last().values())


async def test_only_read_functions_are_ever_sent() -> None:
    functions: set[int] = set()

    def trace(sending: bool, data: bytes) -> bytes:
        functions.update([] if sending else [data[7]])
        return data

    async with serving(device(), trace=trace) as port:
        await poll_once(port, TAGS)
    assert functions == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("holding:70000:uint16", "address"),
        ("holding:65535:float32", "beyond the table"),
        ("attic:1:uint16", "table 'attic'"),
        ("holding:1:float16", "type 'float16'"),
        ("holding:1:bit.16", "type 'bit.16'"),
        ("coil:1:uint16", "coil has no type"),
        ("holding:1:float32:middle", "word_order"),
        ("holding:1:uint16@300", "unit"),
        ("holding", "no Modbus tag"),
        ({"address": 1, "adress": 2}, "unknown key 'adress'"),
        ({"address": 1, "scale": "2"}, "scale"),
        (3.5, "no Modbus tag"),
    ],
)
def test_a_wrong_tag_is_named(tag: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        register_map.parse_tag(tag, 1, register_map.Defaults(), "connectors/plc/map/x")
    assert caught.value.where == "connectors/plc/map/x"
    assert caught.value.fix


_FORMATS = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "float32": "f", "int64": "q", "float64": "d"}


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(_FORMATS)), st.booleans(), st.booleans(), st.binary(min_size=8, max_size=8))
    )
)
def test_vectorised_decoding_equals_struct(rows: list[tuple[str, bool, bool, bytes]]) -> None:
    items: list[register_map.Item] = []
    registers: list[int] = []
    wanted: list[float] = []
    for number, (type_, little_words, little_bytes, raw) in enumerate(rows):
        size = struct.calcsize(">" + _FORMATS[type_])
        network = raw[:size]
        wanted.append(float(struct.unpack(">" + _FORMATS[type_], network)[0]))
        words = list(struct.unpack(f">{size // 2}H", network))
        words = words[::-1] if little_words else words
        words = [(word >> 8) | ((word & 0xFF) << 8) for word in words] if little_bytes else words
        items.append(
            register_map.Item(
                number, 1, "holding", len(registers), type_,
                "little" if little_words else "big", "little" if little_bytes else "big",
            )
        )  # fmt: skip
        registers += words
    for block in register_map.plan(items, merge_gap=4):
        read = np.array(registers[block.address : block.address + block.count], np.uint16)
        expected = [wanted[item.number] for item in block.items]
        np.testing.assert_array_equal(register_map.decode(block, read), expected)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.sampled_from(["coil", "holding", "input"]), st.integers(0, 2000),
            st.sampled_from(["uint16", "float32", "float64"]),
        ),
        max_size=60,
    ),
    st.integers(-1, 30),
)  # fmt: skip
def test_a_plan_serves_every_item_within_the_limits(rows: list[tuple[int, str, int, str]], gap: int) -> None:
    items = [
        register_map.Item(number, unit, table, address, "bool" if table == "coil" else type_)
        for number, (unit, table, address, type_) in enumerate(rows)
    ]
    blocks = register_map.plan(items, merge_gap=gap)
    assert sorted(item.number for block in blocks for item in block.items) == [item.number for item in items]
    for block in blocks:
        assert block.count <= (2000 if block.table == "coil" else 125)
        for item in block.items:
            assert (item.unit, item.table) == (block.unit, block.table)
            assert block.address <= item.address
            assert item.address + item.width <= block.address + block.count

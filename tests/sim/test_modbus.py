"""The Modbus servers against a client."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

from pymodbus.client import AsyncModbusTcpClient

from anlan.sim import catalogue
from anlan.sim.journal import read
from anlan.sim.modbus import INT16_STEP, UNIT
from anlan.sim.signals import layout
from anlan.sim.upsets import Scenario, Upset
from tests.sim.conftest import running

PLCS = frozenset({catalogue.TANKS, catalogue.UTILITY, catalogue.ASU})


async def _registers(client: AsyncModbusTcpClient, table: str, address: int, count: int) -> list[int]:
    reader = client.read_holding_registers if table == "holding" else client.read_input_registers
    answer = await reader(address, count=count, device_id=UNIT)
    assert not answer.isError()
    return list(answer.registers)


async def test_registers_and_bits_show_what_the_journal_says(journal_folder: Path) -> None:
    points = [point for point in layout().points if point.connector == catalogue.TANKS]
    read_values: dict[int, float] = {}
    async with running(journal_folder, only=PLCS) as park:
        await asyncio.sleep(1.5)
        client = AsyncModbusTcpClient("127.0.0.1", port=park.ports.tank_plc)
        assert await client.connect()
        for point in points:
            table, address, kind = point.tag.split(":")
            at = int(address)
            if kind == "float32":
                words = await _registers(client, table, at, 2)
                read_values[point.index] = struct.unpack(">f", struct.pack(">HH", *words))[0]
            elif kind == "bool":
                answer = await client.read_discrete_inputs(at, count=1, device_id=UNIT)
                read_values[point.index] = float(answer.bits[0])
            else:
                (word,) = await _registers(client, table, at, 1)
                read_values[point.index] = (word - 0x10000 * (word > 0x7FFF)) * (INT16_STEP if kind == "int16" else 1)
        client.close()
        await park.finish()
    offered = read(journal_folder, catalogue.TANKS, "offered")
    shown: dict[int, set[float]] = {}
    for index, value in zip(offered["point"].to_pylist(), offered["value"].to_pylist(), strict=True):
        shown.setdefault(index, set()).add(round(value, 6))
    assert len(read_values) == len(points) > 200
    wrong = [points[0].path for index, value in read_values.items() if round(value, 6) not in shown[index]]
    assert not wrong


async def test_a_register_that_is_not_there_and_a_write_are_refused(journal_folder: Path) -> None:
    async with running(journal_folder, only=PLCS) as park:
        client = AsyncModbusTcpClient("127.0.0.1", port=park.ports.asu_plc)
        assert await client.connect()
        assert (await client.read_holding_registers(60000, count=2, device_id=UNIT)).isError()
        assert (await client.write_register(0, 1, device_id=UNIT)).isError()
        client.close()
        await park.finish()


async def test_a_cut_controller_refuses_and_comes_back(journal_folder: Path) -> None:
    scenario = Scenario((Upset("cut", catalogue.ASU, 0.5, 1.5),))
    async with running(journal_folder, only=PLCS, scenario=scenario) as park:
        await asyncio.sleep(1.2)
        client = AsyncModbusTcpClient("127.0.0.1", port=park.ports.asu_plc, timeout=0.5, retries=0, reconnect_delay=0)
        assert not await client.connect()
        for _ in range(40):
            await asyncio.sleep(0.25)
            if await client.connect():
                break
        assert len(await _registers(client, "holding", 0, 4)) == 4
        client.close()
        await park.finish()

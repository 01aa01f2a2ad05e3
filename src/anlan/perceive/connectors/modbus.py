"""Modbus TCP and RTU-over-TCP client: merged reads at a fixed rate, one exception spoils only the points it is about.

MODBUS Application Protocol V1.1b3 and MODBUS Messaging on TCP/IP V1.0b. Only function codes 1 to 4 (reads) are ever
sent.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.framer import FramerType

from anlan.core.batch import SampleBatch
from anlan.core.errors import DecodeError
from anlan.core.quality import Quality
from anlan.core.time import now_us
from anlan.perceive.connector import Arrival, Context, Grade, Manifest, Option, keep_connected
from anlan.perceive.connectors import _modbus_map as register_map
from anlan.perceive.connectors._options import Options
from anlan.plant.model import ConnectorSpec

# The library logs every failed try; the gateway says once that the device is lost and once that it is back.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

MANIFEST = Manifest(
    kind="modbus",
    name="Modbus TCP / RTU over TCP",
    name_zh="Modbus TCP / RTU over TCP 客户端",
    arrival=Arrival.POLL,
    grade=Grade.SILVER,
    options=(
        Option("host", "text", "Address of the device or gateway.", required=True),
        Option("port", "integer", "TCP port.", default=502),
        Option("framing", "text", "Frames on the line.", default="tcp", choices=("tcp", "rtu-over-tcp")),
        Option("unit", "integer", "Unit (slave) id of tags that name none.", default=1),
        Option("interval", "duration", "Time between polls; the rate does not drift.", default="1 s"),
        Option("timeout", "duration", "Longest wait for an answer.", default="2 s"),
        Option("retries", "integer", "Repeats of an unanswered request.", default=1),
        Option("byte_order", "text", "Order of bytes in a register.", default="big", choices=("big", "little")),
        Option("word_order", "text", "Order of registers in a value.", default="big", choices=("big", "little")),
        Option("merge_gap", "integer", "Unused registers a read may bridge; -1 merges nothing.", default=8),
        Option("max_registers", "integer", "Longest read of registers.", default=register_map.MAX_REGISTERS),
    ),
    tag=(
        Option("table", "text", "Table.", default="holding", choices=register_map.TABLES),
        Option("address", "integer", "Protocol address from 0.", required=True),
        Option("type", "text", "bool, bit.N, int16/32/64, uint16/32/64, float32/64.", default="uint16"),
        Option("word_order", "text", "Order of registers.", choices=("big", "little")),
        Option("byte_order", "text", "Order of bytes.", choices=("big", "little")),
        Option("unit", "integer", "Unit (slave) id."),
        Option("scale", "number", "Multiplies the register value.", default=1.0),
        Option("offset", "number", "Added after the scale.", default=0.0),
    ),
    gaps="Modbus/TCP Security (TLS), file records and FIFO queues are not read; texts in registers are not read.",
    limits="64-bit integers beyond 2^53 lose their last digits; what happened between two polls is not seen.",
)

_READ = {"coil": "read_coils", "discrete": "read_discrete_inputs", "input": "read_input_registers"}
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_FRAMERS = {"tcp": FramerType.SOCKET, "rtu-over-tcp": FramerType.RTU}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one read brought: registers or bits, or none with the reason as quality; µs UTC of its arrival."""

    block: register_map.Block
    words: NDArray[np.uint16] | None
    quality: Quality
    time: int


class _UnitSilentError(Exception):
    """A unit behind the connection did not answer."""


class ModbusConnector:
    """Polls one Modbus device or gateway."""

    MANIFEST = MANIFEST

    def __init__(self, spec: ConnectorSpec, context: Context) -> None:
        options = Options(spec)
        self._context = context
        self._host = options.text("host")
        self._port = options.integer("port", 502, 1, 65535)
        self._framer = _FRAMERS[options.choice("framing", ("tcp", "rtu-over-tcp"), "tcp")]
        self._timeout = options.seconds("timeout", "2 s")
        self._retries = options.integer("retries", 1, 0, 10)
        self._interval = options.seconds("interval", "1 s")
        if self._interval < 0.01:
            raise options.wrong("interval", "polling faster than 10 ms is not possible", "10 ms or more")
        defaults = register_map.Defaults(
            unit=options.integer("unit", 1, 0, 255),
            word_order=options.choice("word_order", register_map.ORDERS, "big"),
            byte_order=options.choice("byte_order", register_map.ORDERS, "big"),
        )
        items = [
            register_map.parse_tag(tag, context.numbers[path], defaults, f"connectors/{spec.id}/map/{path}")
            for path, tag in spec.map.items()
            if path in context.numbers
        ]
        self._plan = register_map.plan(
            items,
            merge_gap=options.integer("merge_gap", 8, -1, 124),
            max_registers=options.integer("max_registers", register_map.MAX_REGISTERS, 1, register_map.MAX_REGISTERS),
        )
        self._blocks = self._plan
        self.overruns = 0
        """Polls left out because the one before took longer than the interval."""

    async def run(self) -> None:
        """Poll for ever; a lost device is said once, then tried again with back-off."""
        await keep_connected(self._context, self._session)

    async def _session(self) -> None:
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            framer=self._framer,
            timeout=self._timeout,
            retries=self._retries,
            reconnect_delay=0,
            name=self._context.spec.id,
        )
        try:
            if not await client.connect():
                raise ConnectionError(f"no connection to {self._host}:{self._port}")
            self._blocks = self._plan
            await self._poll(client)
        finally:
            client.close()

    async def _poll(self, client: Any) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        turn = 0
        while True:
            await self._context.writable()
            await self._poll_once(client)
            turn += 1
            missed = max(0, math.floor((loop.time() - started) / self._interval) - turn)
            self.overruns += missed
            turn += missed
            await asyncio.sleep(max(0.0, started + turn * self._interval - loop.time()))

    async def _poll_once(self, client: Any) -> None:
        answers: list[_Answer] = []
        silent: set[int] = set()
        for block in self._blocks:
            if block.unit in silent:
                answers.append(_Answer(block, None, Quality.BAD_COMMUNICATION, now_us()))
                continue
            try:
                answers += await self._read(client, block)
            except _UnitSilentError:
                silent.add(block.unit)
                answers.append(_Answer(block, None, Quality.BAD_COMMUNICATION, now_us()))
        if silent and silent == {block.unit for block in self._blocks}:
            raise TimeoutError(f"no answer within {self._timeout:g} s")
        self._context.up()
        self._blocks = [answer.block for answer in answers]
        if answers:
            self._context.emit(_to_batch(answers))

    async def _read(self, client: Any, block: register_map.Block) -> list[_Answer]:
        """Read a block; one that the device refuses is split until the bad point is alone."""
        response = await self._request(client, block)
        received = now_us()
        if response.isError():
            code = response.exception_code
            if code in (_ILLEGAL_ADDRESS, _ILLEGAL_VALUE) and len(block.items) > 1:
                first, second = block.halves()
                return [*await self._read(client, first), *await self._read(client, second)]
            wrong = code in (_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE)
            quality = Quality.BAD_CONFIGURATION if wrong else Quality.BAD_COMMUNICATION
            return [_Answer(block, None, quality, received)]
        words = response.bits if block.table in register_map.BIT_TABLES else response.registers
        if len(words) < block.count:
            reason = DecodeError(
                f"{len(words)} values came where {block.count} were asked for",
                where=f"{block.table}:{block.address}@{block.unit}",
                fix="a complete answer",
            )
            self._context.dead_letter(repr(list(words)).encode(), reason, source=self._host)
            return [_Answer(block, None, Quality.BAD_COMMUNICATION, received)]
        return [_Answer(block, np.array(words[: block.count], np.uint16), Quality.GOOD, received)]

    async def _request(self, client: Any, block: register_map.Block) -> Any:
        read = getattr(client, _READ.get(block.table, "read_holding_registers"))
        try:
            return await read(block.address, count=block.count, device_id=block.unit)
        except ConnectionException as error:
            raise ConnectionError("the device closed the connection") from error
        except ModbusException as error:
            if not client.connected:
                raise ConnectionError("the device closed the connection") from error
            raise _UnitSilentError(str(error)) from error


def _to_batch(answers: list[_Answer]) -> SampleBatch:
    points: list[int] = []
    sizes = [len(answer.block.items) for answer in answers]
    values: list[NDArray[np.float64]] = []
    for answer in answers:
        points += [item.number for item in answer.block.items]
        if answer.words is None:
            values.append(np.full(len(answer.block.items), math.nan))
        else:
            values.append(register_map.decode(answer.block, answer.words))
    value = np.concatenate(values)
    quality = np.repeat(np.array([answer.quality for answer in answers], np.uint8), sizes)
    quality[(quality < 0x80) & ~np.isfinite(value)] = Quality.BAD_NOT_A_NUMBER
    time = np.repeat(np.array([answer.time for answer in answers], np.int64), sizes)
    return SampleBatch(np.array(points, np.int32), time, value, quality)

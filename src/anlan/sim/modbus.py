"""Programmable controllers as Modbus TCP servers: float32 in holding, int16 and states in input registers, bits."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from anlan.sim.journal import Journal
from anlan.sim.park import Park
from anlan.sim.schedule import Schedule

UNIT = 1
INT16_STEP = 0.1
"""One count of an int16 register, in the point's unit; the site file gives it as calibration gain."""


class ModbusFeed:
    """One controller.

    Args:
        park: where the values come from. connector: which points. port: loopback port.
        journal: takes every change as ``offered``, as the receiver will read it.
    """

    def __init__(self, park: Park, connector: str, port: int, journal: Journal, *, start: int = 0) -> None:
        self.park = park
        self.connector = connector
        self.port = port
        self.journal = journal
        points = [point for point in park.points if point.connector == connector]
        self.schedule = Schedule(points, start=start)
        parsed = [(point.index, point.tag.split(":")) for point in points]
        self._floats = _table(parsed, "float32")
        self._shorts = _table(parsed, "int16")
        self._states = _table(parsed, "uint16")
        self._bits = _table(parsed, "bool")
        self.holding = [0] * max(2, 2 * len(self._floats[0]))
        self.input = [0] * max(1, len(self._shorts[0]) + len(self._states[0]))
        self.discrete = [0] * max(1, -(-len(self._bits[0]) // 16))
        self._shown = np.full(len(park.points), np.nan)
        self._server: ModbusTcpServer | None = None

    async def start(self) -> None:
        """Fill the registers and listen: what they hold is offered from here on, before the first sample is due."""
        self._fill()
        rows = np.concatenate([table[0] for table in (self._floats, self._shorts, self._states, self._bits)])
        shown = self.read_values(rows)
        self._shown[rows] = shown
        quality = np.zeros(len(rows), dtype=np.uint8)
        self.journal.record(self.connector, "offered", rows, time.time_ns() // 1_000, shown, quality)
        await self._listen()

    async def _listen(self) -> None:
        def block(registers: list[int]) -> list[SimData]:
            return [SimData(0, values=list(registers), datatype=DataType.REGISTERS, readonly=True)]

        bits = [SimData(0, values=[False] * 16 * len(self.discrete), datatype=DataType.BITS, readonly=True)]
        blocks = (
            [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
            bits,
            block(self.holding),
            block(self.input),
        )
        device = SimDevice(UNIT, simdata=blocks, action=self._answer)
        self._server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
        await self._server.serve_forever(background=True)

    async def _answer(
        self, function: int, _start: int, _address: int, _count: int, registers: list[int], _values: Any
    ) -> ExcCodes | None:
        """Put the registers of this moment under the request."""
        current = {2: self.discrete, 3: self.holding, 4: self.input}.get(function)
        if current is None:
            return ExcCodes.ILLEGAL_FUNCTION
        registers[:] = current
        return None

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.shutdown()

    async def sample(self, now: int) -> None:
        """Set the registers of what is due at ``now`` (ms UTC); a cut line closes the server meanwhile."""
        if (self.connector in self.park.cut) == (self._server is not None):
            await (self.close() if self._server is not None else self._listen())
        for rows in self.schedule.due(now):
            self._fill()
            shown = self.read_values(rows)
            changed = shown != self._shown[rows]
            self._shown[rows] = shown
            quality = np.zeros(int(changed.sum()), dtype=np.uint8)
            self.journal.record(self.connector, "offered", rows[changed], now * 1000, shown[changed], quality)

    def read_values(self, rows: Any) -> Any:
        """Return what a reader makes of the registers of these points: float32 widened, the rest exact."""
        values = self.park.values.copy()
        floats, shorts = self._floats[0], self._shorts[0]
        values[floats] = values[floats].astype(np.float32)
        values[shorts] = np.rint(values[shorts] / INT16_STEP) * INT16_STEP
        return values[rows]

    def _fill(self) -> None:
        values = self.park.values
        rows, at = self._floats
        words = np.frombuffer(values[rows].astype(">f4").tobytes(), dtype=">u2").tolist()
        for place, (high, low) in zip(at.tolist(), zip(words[::2], words[1::2], strict=True), strict=True):
            self.holding[place : place + 2] = (high, low)
        for (rows, at), scale in ((self._shorts, INT16_STEP), (self._states, 1.0)):
            counts = np.rint(values[rows] / scale).astype(np.int64) & 0xFFFF
            for place, count in zip(at.tolist(), counts.tolist(), strict=True):
                self.input[place] = count
        words_of_bits = [0] * len(self.discrete)
        for place, value in zip(self._bits[1].tolist(), values[self._bits[0]].tolist(), strict=True):
            words_of_bits[place // 16] |= (value > 0) << (place % 16)
        self.discrete = words_of_bits


def _table(parsed: list[tuple[int, list[str]]], kind: str) -> tuple[Any, Any]:
    """Return park indices and addresses of the points with one register type."""
    picked = [(index, int(address)) for index, (_, address, type_) in parsed if type_ == kind]
    return np.array([row for row, _ in picked], dtype=np.intp), np.array([at for _, at in picked], dtype=np.intp)

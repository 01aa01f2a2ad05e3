"""What a Modbus device answers: unit ids and readable ranges within bounds, and what the registers look like."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.framer import FramerType

from anlan.core.errors import UnavailableError
from anlan.perceive.connector import DiscoveredTag
from anlan.perceive.discovery import make_tag

_READS = {
    "coil": "read_coils", "discrete": "read_discrete_inputs", "input": "read_input_registers",
    "holding": "read_holding_registers",
}  # fmt: skip
_BITS = ("coil", "discrete")
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Scan:
    """Where to look: bounds of a scan, so that a device on a slow line is not kept busy for hours."""

    host: str
    port: int = 502
    rtu: bool = False
    units: tuple[int, ...] = (1,)
    tables: tuple[str, ...] = ("input", "holding", "discrete", "coil")
    first: int = 0
    last: int = 999
    requests: int = 2_000
    timeout: float = 1.0


@dataclass(slots=True)
class Found:
    """What a scan found: ``ranges`` are readable (unit, table, first, last); ``complete`` means it got through."""

    tags: list[DiscoveredTag] = field(default_factory=list)
    units: list[int] = field(default_factory=list)
    ranges: list[tuple[int, str, int, int]] = field(default_factory=list)
    requests: int = 0
    complete: bool = True


class _SpentError(Exception):
    """The budget of requests is used up."""


async def discover(scan: Scan) -> Found:
    """Scan a device; only function codes 1 to 4 are sent.

    Raises:
        UnavailableError: nobody listens there.
    """
    framer = FramerType.RTU if scan.rtu else FramerType.SOCKET
    client = AsyncModbusTcpClient(
        scan.host, port=scan.port, framer=framer, timeout=scan.timeout, retries=0, reconnect_delay=0
    )
    if not await client.connect():
        raise UnavailableError("nobody listens there", where=f"{scan.host}:{scan.port}", fix="check address and port")
    found = Found()
    try:
        for unit in scan.units:
            if await _read(client, scan, found, unit, scan.tables[-1], scan.first, 1) is None:
                continue
            found.units.append(unit)
            for table in scan.tables:
                values: dict[int, int] = {}
                for first, words in await _ranges(client, scan, found, unit, table):
                    values |= {first + index: int(word) for index, word in enumerate(words)}
                _note(found, unit, table, values)
    except _SpentError:
        found.complete = False
    finally:
        client.close()
    return found


async def _read(
    client: Any, scan: Scan, found: Found, unit: int, table: str, first: int, count: int
) -> list[int] | None:
    """Return what was read, an empty list for an exception of the device, None for silence."""
    if found.requests >= scan.requests:
        raise _SpentError
    found.requests += 1
    try:
        answer = await getattr(client, _READS[table])(first, count=count, device_id=unit)
    except ConnectionException as error:
        raise UnavailableError("the device closed the connection", where=f"{scan.host}:{scan.port}") from error
    except ModbusException as error:
        if not client.connected and not await client.connect():
            raise UnavailableError("the device closed the connection", where=f"{scan.host}:{scan.port}") from error
        return None
    if answer.isError():
        # Gateways and simulators answer for units that are not there with 04, 0A or 0B.
        return [] if answer.exception_code in (0x01, 0x02, 0x03) else None
    words: list[int] = [int(word) for word in (answer.bits if table in _BITS else answer.registers)][:count]
    return words if len(words) == count else []


async def _ranges(client: Any, scan: Scan, found: Found, unit: int, table: str) -> list[tuple[int, list[int]]]:
    """Return what can be read of a table, in blocks.

    A refused block is taken apart only when a probe inside it answers or what stood before it was readable: halving
    tables that are not there would cost thousands of requests. An island that holds no round address is missed.
    """
    result: list[tuple[int, list[int]]] = []
    readable_to = -1
    for first in range(scan.first, scan.last + 1, _BLOCK):
        count = min(_BLOCK, scan.last + 1 - first)
        words = await _read(client, scan, found, unit, table, first, count)
        parts = [(first, words)] if words else []
        if not words and (
            readable_to == first - 1 >= scan.first or await _answers(client, scan, found, unit, table, first)
        ):
            parts = await _halve(client, scan, found, unit, table, first, count)
        result += parts
        readable_to = parts[-1][0] + len(parts[-1][1]) - 1 if parts else -1
    return result


async def _answers(client: Any, scan: Scan, found: Found, unit: int, table: str, first: int) -> bool:
    for at in range(first, min(first + _BLOCK, scan.last + 1)):
        # Register maps begin at round addresses, decimal or binary.
        if (at % 10 == 0 or at % 16 == 0) and await _read(client, scan, found, unit, table, at, 1):
            return True
    return False


async def _halve(
    client: Any, scan: Scan, found: Found, unit: int, table: str, first: int, count: int
) -> list[tuple[int, list[int]]]:
    if count == 1:
        return []
    result = []
    half = count // 2
    for start, size in ((first, half), (first + half, count - half)):
        words = await _read(client, scan, found, unit, table, start, size)
        result += [(start, words)] if words else await _halve(client, scan, found, unit, table, start, size)
    return result


def _note(found: Found, unit: int, table: str, values: dict[int, int]) -> None:
    for first, last in _runs(sorted(values)):
        found.ranges.append((unit, table, first, last))
    found.tags += [_bit(unit, table, at) for at, word in values.items() if word] if table in _BITS else []
    if table not in _BITS:
        found.tags += list(_registers(unit, table, values))


def _runs(addresses: list[int]) -> Iterator[tuple[int, int]]:
    start = previous = None
    for address in addresses:
        if start is None or previous is None or address != previous + 1:
            if start is not None and previous is not None:
                yield start, previous
            start = address
        previous = address
    if start is not None and previous is not None:
        yield start, previous


def _bit(unit: int, table: str, address: int) -> DiscoveredTag:
    return make_tag(f"{table}:{address}:bool@{unit}", f"unit-{unit}/{table}-{address}", value=True)


def _registers(unit: int, table: str, values: dict[int, int]) -> Iterator[DiscoveredTag]:
    """Yield a tag for each register that is not zero; two that together look like a float are one."""
    skip = -1
    for address in sorted(values):
        word, following = values[address], values.get(address + 1)
        if address <= skip or (word == 0 and not following):
            continue
        for order in ("big", "little"):
            number = _float(word, following, order)
            if number is not None:
                suffix = "" if order == "big" else ":little"
                tag = f"{table}:{address}:float32{suffix}@{unit}"
                yield make_tag(tag, f"unit-{unit}/{table}-{address}", value=number)
                skip = address + 1
                break
        else:
            if word:
                tag = f"{table}:{address}:uint16@{unit}"
                yield make_tag(tag, f"unit-{unit}/{table}-{address}", value=float(word))


def _float(word: int, following: int | None, order: str) -> float | None:
    if following is None:
        return None
    high, low = (word, following) if order == "big" else (following, word)
    # Small integers beside each other are no float: its exponent would be tiny.
    number = float(np.array([high, low], ">u2").view(">f4")[0])
    return number if math.isfinite(number) and 1e-3 < abs(number) < 1e6 else None

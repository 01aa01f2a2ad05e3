"""Modbus register maps: tags to items, items to merged reads, registers to values (pure, vectorised).

Tags are ``TABLE:ADDRESS:TYPE[:WORD_ORDER][@UNIT]`` with protocol addresses from 0 (``holding:100:float32@2``), the
reference notation of register lists (``40101:float32``, counted from 1), or a mapping with the keys of ``TAG``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError

TABLES = ("coil", "discrete", "input", "holding")
BIT_TABLES = ("coil", "discrete")
ORDERS = ("big", "little")
MAX_REGISTERS = 125  # MODBUS Application Protocol V1.1b3, 6.3 and 6.4
MAX_BITS = 2000  # MODBUS Application Protocol V1.1b3, 6.1 and 6.2

# Registers taken and the NumPy type of the bytes in network order.
_TYPES: dict[str, tuple[int, str]] = {
    "int16": (1, ">i2"),
    "uint16": (1, ">u2"),
    "int32": (2, ">i4"),
    "uint32": (2, ">u4"),
    "float32": (2, ">f4"),
    "int64": (4, ">i8"),
    "uint64": (4, ">u8"),
    "float64": (4, ">f8"),
}
_BIT = re.compile(r"bit\.(\d{1,2})\Z")
_REFERENCE = re.compile(r"([0134])(\d{4,5})\Z")
_REFERENCE_TABLES = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}


@dataclass(frozen=True, slots=True)
class Item:
    """One mapped quantity: where it lies and how it is read. ``number`` is the point's number."""

    number: int
    unit: int
    table: str
    address: int
    type: str
    word_order: str = "big"
    byte_order: str = "big"
    scale: float = 1.0
    offset: float = 0.0

    @property
    def width(self) -> int:
        """Registers (or bits of a bit table) it takes."""
        return _TYPES[self.type][0] if self.type in _TYPES else 1


@dataclass(frozen=True, slots=True)
class Block:
    """One read request: ``count`` registers or bits from ``address``, serving ``items``."""

    unit: int
    table: str
    address: int
    count: int
    items: tuple[Item, ...]

    def halves(self) -> tuple[Block, Block]:
        """Return two reads that serve the first and the second half of the items."""
        middle = len(self.items) // 2
        return _block(self.items[:middle]), _block(self.items[middle:])


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a tag need not say."""

    unit: int = 1
    word_order: str = "big"
    byte_order: str = "big"


def parse_tag(tag: Any, number: int, defaults: Defaults, where: str) -> Item:
    """Return the item of a tag.

    Raises:
        InvalidInputError: the tag breaks its syntax; ``where`` names it.
    """
    if isinstance(tag, Mapping):
        fields: dict[str, Any] = dict(tag)
    elif isinstance(tag, str | int) and not isinstance(tag, bool):
        fields = _split(str(tag), where)
    else:
        raise InvalidInputError(f"{tag!r} is no Modbus tag", where=where, fix="write it like holding:100:float32")
    return _item(fields, number, defaults, where)


def _split(text: str, where: str) -> dict[str, Any]:
    body, at, unit = text.strip().partition("@")
    parts = body.split(":")
    reference = _REFERENCE.match(parts[0])
    if reference:
        parts = [_REFERENCE_TABLES[reference[1]], str(int(reference[2]) - 1), *parts[1:]]
    if not 2 <= len(parts) <= 4:
        raise InvalidInputError(
            f"{text!r} is no Modbus tag", where=where, fix="TABLE:ADDRESS:TYPE[:WORD_ORDER][@UNIT], holding:100:float32"
        )
    fields: dict[str, Any] = dict(zip(("table", "address", "type", "word_order"), parts, strict=False))
    if at:
        fields["unit"] = unit
    return fields


def _whole(value: Any, low: int, high: int, name: str, where: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise InvalidInputError(f"{name} {value!r} does not fit", where=where, fix=f"{low} to {high}")
    return number


def _order(value: Any, name: str, where: str) -> str:
    if value not in ORDERS:
        raise InvalidInputError(f"{name} {value!r} is not known", where=where, fix="big or little")
    return str(value)


def _item(fields: dict[str, Any], number: int, defaults: Defaults, where: str) -> Item:
    unknown = set(fields) - {"table", "address", "type", "word_order", "byte_order", "unit", "scale", "offset"}
    if unknown:
        raise InvalidInputError(f"unknown key {sorted(unknown)[0]!r}", where=where, fix="see the connector's tag keys")
    table = fields.get("table", "holding")
    if table not in TABLES:
        raise InvalidInputError(f"table {table!r} is not known", where=where, fix=f"one of {', '.join(TABLES)}")
    type_ = str(fields.get("type", "bool" if table in BIT_TABLES else "uint16"))
    bit = _BIT.match(type_)
    if table in BIT_TABLES and type_ != "bool":
        raise InvalidInputError(f"a {table} has no type {type_!r}", where=where, fix="bool")
    if type_ != "bool" and type_ not in _TYPES and (bit is None or int(bit[1]) > 15):
        raise InvalidInputError(
            f"type {type_!r} is not known", where=where, fix=f"bool, bit.0 to bit.15, {', '.join(_TYPES)}"
        )
    item = Item(
        number=number,
        unit=_whole(fields.get("unit", defaults.unit), 0, 255, "unit", where),
        table=table,
        address=_whole(fields.get("address"), 0, 65535, "address", where),
        type=type_,
        word_order=_order(fields.get("word_order", defaults.word_order), "word_order", where),
        byte_order=_order(fields.get("byte_order", defaults.byte_order), "byte_order", where),
        scale=_float(fields.get("scale", 1.0), "scale", where),
        offset=_float(fields.get("offset", 0.0), "offset", where),
    )
    if item.address + item.width > 65536:
        raise InvalidInputError(f"{type_} at {item.address} ends beyond the table", where=where, fix="address ≤ 65535")
    return item


def _float(value: Any, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInputError(f"{name} {value!r} is no number", where=where, fix="a number")
    return float(value)


def _block(items: tuple[Item, ...]) -> Block:
    first = items[0]
    end = max(item.address + item.width for item in items)
    return Block(first.unit, first.table, first.address, end - first.address, items)


def plan(
    items: Iterable[Item], *, merge_gap: int, max_registers: int = MAX_REGISTERS, max_bits: int = MAX_BITS
) -> list[Block]:
    """Return the fewest-ish reads that serve ``items``.

    Args:
        merge_gap: unused registers (or bits ÷ 16) a read may bridge; -1 merges nothing.
        max_registers, max_bits: longest read.
    """
    blocks: list[Block] = []
    run: list[Item] = []
    end = 0
    for item in sorted(items, key=lambda item: (item.unit, TABLES.index(item.table), item.address)):
        bits = item.table in BIT_TABLES
        gap = merge_gap * 16 if bits and merge_gap > 0 else merge_gap
        fits = (
            bool(run)
            and (run[0].unit, run[0].table) == (item.unit, item.table)
            and item.address - end <= gap
            and merge_gap >= 0
            and item.address + item.width - run[0].address <= (max_bits if bits else max_registers)
        )
        if run and not fits:
            blocks.append(_block(tuple(run)))
            run = []
        end = max(end, item.address + item.width) if run else item.address + item.width
        run.append(item)
    if run:
        blocks.append(_block(tuple(run)))
    return blocks


def decode(block: Block, words: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return the values of a block's items, in their order.

    Args:
        block: what was read.
        words: its registers (or bits as 0 and 1), shape (count,).
    """
    values = np.empty(len(block.items), np.float64)
    groups: dict[tuple[str, str, str], list[int]] = {}
    for index, item in enumerate(block.items):
        groups.setdefault((item.type, item.word_order, item.byte_order), []).append(index)
    starts = np.array([item.address - block.address for item in block.items], np.intp)
    for (type_, word_order, byte_order), members in groups.items():
        at = starts[members]
        values[members] = _decode_group(words, at, type_, word_order, byte_order)
    scale = np.array([item.scale for item in block.items])
    offset = np.array([item.offset for item in block.items])
    return np.where((scale == 1.0) & (offset == 0.0), values, values * scale + offset)


def _decode_group(
    words: NDArray[np.uint16], at: NDArray[np.intp], type_: str, word_order: str, byte_order: str
) -> NDArray[np.float64]:
    values: NDArray[np.float64]
    if type_ == "bool":
        values = (words[at] != 0).astype(np.float64)
        return values
    width, layout = _TYPES.get(type_, (1, ">u2"))
    raw = words[at[:, None] + np.arange(width)]
    if byte_order == "little":
        raw = raw.byteswap()
    if type_ not in _TYPES:
        values = ((raw[:, 0] >> int(type_[4:])) & 1).astype(np.float64)
        return values
    if word_order == "little":
        raw = raw[:, ::-1]
    network: NDArray[Any] = np.ascontiguousarray(raw.astype(">u2")).view(layout)[:, 0]
    with np.errstate(invalid="ignore"):  # a signalling NaN in the device's registers stays NaN
        values = network.astype(np.float64)
    return values

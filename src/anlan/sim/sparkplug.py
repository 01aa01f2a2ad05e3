"""Sparkplug B payloads and an edge node: births, deaths, sequence numbers, aliases, the answer to a rebirth request.

The encoder writes the protobuf of Eclipse Tahu's ``sparkplug_b.proto`` by hand; field numbers are named after it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class DataType(IntEnum):
    """Metric data types used here (Sparkplug 3.0, 6.4.16)."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13


_INT_FIELD = {*range(DataType.INT8, DataType.INT64), DataType.UINT8, DataType.UINT16, DataType.UINT32}
_LONG_FIELD = {DataType.INT64, DataType.UINT64, DataType.DATETIME}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; ``name`` in births, ``alias`` alone in data; ``value`` None is null."""

    value: float | int | bool | str | None
    datatype: DataType
    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    with_type: bool = True


def varint(number: int) -> bytes:
    """Return a protobuf base-128 varint of a non-negative number."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(key: int, data: bytes) -> bytes:
    return bytes([key]) + varint(len(data)) + data


def encode_metric(metric: Metric) -> bytes:
    """Return a metric as a length-delimited field of the payload."""
    parts = []
    if metric.name:
        parts.append(_bytes(0x0A, metric.name.encode()))
    if metric.alias is not None:
        parts.append(b"\x10" + varint(metric.alias))
    if metric.timestamp is not None:
        parts.append(b"\x18" + varint(metric.timestamp))
    if metric.with_type:
        parts.append(b"\x20" + varint(metric.datatype))
    parts.append(_value(metric))
    return _bytes(0x12, b"".join(parts))


def _value(metric: Metric) -> bytes:
    value, datatype = metric.value, metric.datatype
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return b"\x38\x01"
    if datatype in _INT_FIELD:
        return b"\x50" + varint(int(value) & 0xFFFFFFFF)
    if datatype in _LONG_FIELD:
        return b"\x58" + varint(int(value) & 0xFFFFFFFFFFFFFFFF)
    if datatype == DataType.FLOAT:
        return b"\x65" + struct.pack("<f", value)
    if datatype == DataType.DOUBLE:
        return b"\x69" + struct.pack("<d", value)
    if datatype == DataType.BOOLEAN:
        return b"\x70" + (b"\x01" if value else b"\x00")
    return _bytes(0x7A, str(value).encode())


def encode_payload(metrics: Iterable[Metric], *, timestamp: int | None, seq: int | None) -> bytes:
    """Return a payload.

    Args:
        metrics: in the order they are sent.
        timestamp: ms UTC of sending.
        seq: 0…255; a death has none.
    """
    parts = [] if timestamp is None else [b"\x08" + varint(timestamp)]
    parts += [encode_metric(metric) for metric in metrics]
    if seq is not None:
        parts.append(b"\x18" + varint(seq))
    return b"".join(parts)


def asks_rebirth(payload: bytes) -> bool:
    """Return whether an NCMD payload sets ``Node Control/Rebirth`` to true (bounds-checked walk of the fields)."""
    for key, field in fields(payload):
        if key == 0x12 and isinstance(field, bytes):
            metric = dict(fields(field))
            if metric.get(0x0A) == b"Node Control/Rebirth" and metric.get(0x70) == 1:
                return True
    return False


def fields(data: bytes) -> Iterable[tuple[int, bytes | int]]:
    """Yield the fields of a protobuf message as (key byte, value); stops at the first thing that is not one."""
    at = 0
    while at < len(data):
        key, at = data[at], at + 1
        if key & 7 == 0 or key & 7 == 2:
            number, at = _read_varint(data, at)
            if key & 7 == 0:
                yield key, number
                continue
            if number > len(data) - at:
                return
            yield key, data[at : at + number]
            at += number
        elif key & 7 in (1, 5):
            size = 8 if key & 7 == 1 else 4
            yield key, data[at : at + size]
            at += size
        else:
            return


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < 64:
        number |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return number, at
        shift += 7
    return 1 << 62, at

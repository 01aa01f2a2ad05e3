"""The wire of Sparkplug B payloads: a bounds-checked protobuf reader compiled by numba.

Fields after the Eclipse Tahu schema ``sparkplug_b.proto``: payload timestamp 1, metrics 2, seq 3; metric name 1, alias
2, timestamp 3, datatype 4, is_historical 5, is_transient 6, is_null 7, metadata 8, properties 9, int 10, long 11, float
12, double 13, boolean 14, string 15, bytes 16, dataset 17, template 18. Unknown fields and fields of another wire type
are skipped, as protobuf wants.

Numbers are read eight bytes at a time, so every buffer ends with ``PADDING`` zero bytes that belong to no payload; what
was read is then checked against the end of what holds it. Any bytes give rows or an error code, never a read beyond the
buffer. The kernels take arrays only at their top: handing an array to a helper costs more than the helper does.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # no stubs; only numba's own code generator speaks it
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

PADDING = 32

# Error codes; ``ERRORS`` says them in words.
OK, TRUNCATED, LONG_VARINT, BEYOND_END, BAD_WIRE_TYPE, FIELD_ZERO = range(6)
ERRORS = (
    "",
    "a number is cut off",
    "a number has more than ten bytes",
    "a length runs past the end",
    "a wire type that protobuf does not have",
    "a field number of zero",
)

# Columns of a metric row; RAW holds the bits of the value, ALIAS those of an unsigned number.
PACK, FLAGS, NAME, NAME_LENGTH, ALIAS, TIME, DATATYPE, FIELD, RAW, TEXT, TEXT_LENGTH, QUALITY = range(12)
DROPPED = 12
COLUMNS = 13
# Columns of a pack row.
ERROR, POSITION, STAMP, SEQ, FIRST, RESULT, UNMAPPED, UNSUPPORTED = range(8)
PACK_COLUMNS = 8

NULL, HISTORICAL, HAS_ALIAS, HAS_NAME = 1, 2, 4, 8
INT, LONG, FLOAT, DOUBLE, BOOLEAN, STRING, BYTES, DATASET, TEMPLATE = range(10, 19)
NEEDS_BIRTH, SEQUENCE_GAP = 1, 2

_U = np.uint64
_TOPS = _U(0x8080808080808080)
_FNV_OFFSET = _U(0xCBF29CE484222325)
_FNV_PRIME = _U(0x100000001B3)
_MIX = _U(0x9E3779B97F4A7C15)
_LONGEST_MS = 9_223_372_036_854_775

# Of a metric's number fields 0 … 18: the column it goes to, its largest value, the flag it sets.
_COLUMN = np.full(TEMPLATE + 1, DROPPED)
_COLUMN[[2, 3, 4, INT, LONG, BOOLEAN]] = ALIAS, TIME, DATATYPE, RAW, RAW, RAW
_MOST = np.full(TEMPLATE + 1, 0xFFFFFFFFFFFFFFFF, np.uint64)
_MOST[3], _MOST[4] = _LONGEST_MS, 255
_FLAG = np.zeros(TEMPLATE + 1, np.int64)
_FLAG[[2, 5, 7]] = HAS_ALIAS, HISTORICAL, NULL

_jit = numba.njit(cache=True, nogil=True)


@intrinsic
def _load(_context: Any, array: Any, index: Any) -> Any:
    """Return the eight bytes at ``index`` as a little-endian number, unaligned; the caller keeps inside the padding."""
    signature = types.uint64(array, types.int64)

    def generate(context: Any, builder: Any, chosen: Any, arguments: Any) -> Any:
        data = context.make_array(chosen.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        loaded = builder.load(pointer)
        loaded.align = 1
        return loaded

    return signature, generate


@intrinsic
def _trailing_zeros(_context: Any, value: Any) -> Any:
    signature = types.int64(types.uint64)

    def generate(_context: Any, builder: Any, _chosen: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return signature, generate


@_jit
def _varint(word, following):  # type: ignore[no-untyped-def]  # compiled: uint64, uint64 (the sixteen bytes there)
    """Return (value, bytes it took; 11 when it has more than ten)."""
    width = (_trailing_zeros(~word & _TOPS) >> 3) + 1
    if width < 8:
        word &= (_U(1) << _U(8 * width)) - _U(1)
    value = word & _U(0x7F7F7F7F7F7F7F7F)
    value = (value & _U(0x007F007F007F007F)) | ((value & _U(0x7F007F007F007F00)) >> _U(1))
    value = (value & _U(0x00003FFF00003FFF)) | ((value & _U(0x3FFF00003FFF0000)) >> _U(2))
    value = (value & _U(0x000000000FFFFFFF)) | ((value & _U(0x0FFFFFFF00000000)) >> _U(4))
    if width > 8:
        value |= (following & _U(0x7F)) << _U(56)
        if following & _U(0x80):
            value |= ((following >> _U(8)) & _U(1)) << _U(63)
            width = 11 if following & _U(0x8000) else 10
    return value, width


@_jit
def count_metrics(buffer, starts):  # type: ignore[no-untyped-def]  # compiled: uint8[:], int64[:]
    """Return an upper bound of the metrics in all packs; a broken pack counts up to where it breaks."""
    total = 0
    for pack in range(len(starts) - 1):
        position, end = starts[pack], starts[pack + 1]
        while position < end:
            key, width = _varint(_load(buffer, position), _load(buffer, position + 8))
            position += width
            wire = key & _U(7)
            if position >= end:
                break
            if wire == _U(0):
                _, width = _varint(_load(buffer, position), _load(buffer, position + 8))
                position += width
            elif wire == _U(1):
                position += 8
            elif wire == _U(5):
                position += 4
            elif wire == _U(2):
                length, width = _varint(_load(buffer, position), _load(buffer, position + 8))
                position += width
                if position > end or length > _U(end - position):
                    break
                position += np.int64(length)
                if key == _U(18):
                    total += 1
            else:
                break
    return total


@_jit
def scan(buffer, starts, rows, packs):  # type: ignore[no-untyped-def]  # noqa: C901  # compiled; helpers cost more than they do
    """Read all metrics of all packs and return the number of rows.

    Args:
        buffer, starts: of ``join``.
        rows: int64[metrics, COLUMNS], filled; a pack with an error leaves none.
        packs: int64[packs, PACK_COLUMNS]; ERROR, POSITION, STAMP, SEQ and FIRST are filled.
    """
    row = 0
    for pack in range(len(starts) - 1):
        position, end = starts[pack], starts[pack + 1]
        packs[pack, STAMP], packs[pack, SEQ], packs[pack, FIRST] = -1, -1, row
        inside, stop, error = False, end, OK
        while True:
            if position >= stop and not inside:
                break
            if position >= stop:
                row, inside, stop = row + 1, False, end
                continue
            key, width = _varint(_load(buffer, position), _load(buffer, position + 8))
            position += width
            field, wire = np.int64(key >> _U(3)), np.int64(key & _U(7))
            if width > 10 or position > stop or field == 0:
                error = LONG_VARINT if width > 10 else TRUNCATED if position > stop else FIELD_ZERO
                break
            if wire == 1 or wire == 5:
                if position + (8 if wire == 1 else 4) > stop:
                    error = TRUNCATED
                    break
                if inside and wire == 1 and field == DOUBLE:
                    rows[row, RAW], rows[row, FIELD] = np.int64(_load(buffer, position)), field
                elif inside and wire == 5 and field == FLOAT:
                    rows[row, RAW], rows[row, FIELD] = np.int64(_load(buffer, position) & _U(0xFFFFFFFF)), field
                position += 8 if wire == 1 else 4
                continue
            if wire != 0 and wire != 2:
                error = BAD_WIRE_TYPE
                break
            value, width = _varint(_load(buffer, position), _load(buffer, position + 8))
            position += width
            if width > 10 or position > stop:
                error = LONG_VARINT if width > 10 else TRUNCATED
                break
            if wire == 0:
                if inside:
                    known = field if field < TEMPLATE else TEMPLATE
                    rows[row, _COLUMN[known]] = np.int64(min(value, _MOST[known]))
                    rows[row, FLAGS] |= _FLAG[known] if value or field == 2 else 0
                    rows[row, FIELD] = field if _COLUMN[known] == RAW else rows[row, FIELD]
                elif field == 1 or field == 3:
                    packs[pack, STAMP if field == 1 else SEQ] = np.int64(min(value, _MOST[3]))
                continue
            if value > _U(stop - position):
                error = BEYOND_END
                break
            length = np.int64(value)
            if not inside:
                if field == 2:
                    inside, stop = True, position + length
                    rows[row, PACK], rows[row, FLAGS], rows[row, NAME], rows[row, NAME_LENGTH] = pack, 0, 0, 0
                    rows[row, ALIAS], rows[row, TIME], rows[row, DATATYPE], rows[row, FIELD] = 0, -1, 0, 0
                    rows[row, RAW], rows[row, TEXT], rows[row, TEXT_LENGTH], rows[row, QUALITY] = 0, 0, 0, -1
                    continue
            elif field == 1:
                rows[row, NAME], rows[row, NAME_LENGTH] = position, length
                rows[row, FLAGS] |= HAS_NAME
            elif field >= STRING and field <= TEMPLATE:
                rows[row, TEXT], rows[row, TEXT_LENGTH], rows[row, FIELD] = position, length, field
            elif field == 9:
                rows[row, QUALITY] = _quality_property(buffer, position, position + length)
            position += length
        packs[pack, ERROR], packs[pack, POSITION] = error, position - starts[pack]
        if error != OK:
            row = packs[pack, FIRST]
    return row


@_jit
def _quality_property(buffer, position, end):  # type: ignore[no-untyped-def]  # compiled; rare
    """Return the number of the property "Quality" of a PropertySet (keys field 1, values field 2), -1 without one.

    The property that common edge nodes use: OPC codes 0 and 192, 500 for stale. What cannot be read is taken as absent.
    """
    wanted, keys, values = -1, 0, 0
    begin = position
    for sweep in range(2):
        position = begin
        while position < end:
            key, width = _varint(_load(buffer, position), _load(buffer, position + 8))
            length, width_2 = _varint(_load(buffer, position + width), _load(buffer, position + width + 8))
            position += width + width_2
            if key & _U(7) != _U(2) or position > end or length > _U(end - position):
                return -1
            if sweep == 0 and key == _U(10):
                # The seven letters of "Quality", little-endian.
                if length == _U(7) and _load(buffer, position) & _U(0xFFFFFFFFFFFFFF) == _U(0x7974696C617551):
                    wanted = keys
                keys += 1
            elif sweep == 1 and key == _U(18):
                if values == wanted:
                    return _property_value(buffer, position, position + np.int64(length))
                values += 1
            position += np.int64(length)
        if wanted < 0:
            return -1
    return -1


@_jit
def _property_value(buffer, position, end):  # type: ignore[no-untyped-def]  # compiled; rare
    """Return int_value (3) or long_value (4) of a PropertyValue, -1 without one."""
    while position < end:
        key, width = _varint(_load(buffer, position), _load(buffer, position + 8))
        if key & _U(7) != _U(0):
            return -1
        value, width_2 = _varint(_load(buffer, position + width), _load(buffer, position + width + 8))
        position += width + width_2
        if position > end:
            return -1
        if key == _U(24) or key == _U(32):
            return np.int64(value & _U(0x7FFFFFFF))
    return -1


@_jit
def check_sequence(packs, nodes, checked, last_seq):  # type: ignore[no-untyped-def]  # compiled
    """Mark gaps in each edge node's ``seq`` and remember the last one; packs that may be repeats are left out."""
    for pack in range(len(nodes)):
        seq, node = packs[pack, SEQ], nodes[pack]
        if packs[pack, ERROR] != OK or seq < 0:
            continue
        seq &= 0xFF
        last = last_seq[node]
        if checked[pack] and last >= 0 and seq != ((last + 1) & 0xFF):
            packs[pack, RESULT] |= SEQUENCE_GAP
        if checked[pack] or last < 0:
            last_seq[node] = seq


@_jit
def resolve(  # type: ignore[no-untyped-def]  # noqa: C901  # compiled; helpers cost more than they do
    buffer, rows, doubles, floats, packs, received, routes, owners, alias_table, name_table, arena, out, texts
):
    """Turn metric rows into samples; return how many samples and texts there are.

    Args:
        rows: of ``scan``; ``doubles`` and ``floats`` are views of the same bytes.
        packs: RESULT, UNMAPPED and UNSUPPORTED are filled.
        received: µs UTC by pack; routes: owner of names by pack; owners: of aliases, -1 before a birth.
        alias_table: (keys, owners, points, types); name_table: also (name start, name length) in ``arena``.
        out: (point, time µs, value, quality) for all rows; texts: int64[rows, 4] (point, time, start, length).
    """
    alias_keys, alias_owners, alias_points, alias_types = alias_table
    name_keys, name_owners, name_points, name_types, name_starts, name_lengths = name_table
    point, time, value, quality = out
    count, text_count = 0, 0
    for row in range(len(rows)):
        pack, flags, length = rows[row, PACK], rows[row, FLAGS], rows[row, NAME_LENGTH]
        slot, datatype, target = -1, rows[row, DATATYPE], -1
        if length > 0:
            start = rows[row, NAME]
            key = _FNV_OFFSET
            for index in range(start, start + length):
                key = (key ^ _U(buffer[index])) * _FNV_PRIME
            slot, mask = slot_of(key, routes[pack], len(name_keys) - 1), len(name_keys) - 1
            while name_owners[slot] >= 0 and (name_owners[slot] != routes[pack] or name_keys[slot] != key):
                slot = (slot + 1) & mask
            same = name_owners[slot] >= 0 and name_lengths[slot] == length
            index = 0
            while same and index < length:
                same = arena[name_starts[slot] + index] == buffer[start + index]
                index += 1
            if same:
                target = name_points[slot]
                datatype = datatype if datatype else np.int64(name_types[slot])
        else:
            key, owner, mask = _U(rows[row, ALIAS]), owners[pack], len(alias_keys) - 1
            slot = slot_of(key, owner, mask)
            while alias_owners[slot] >= 0 and (alias_owners[slot] != owner or alias_keys[slot] != key):
                slot = (slot + 1) & mask
            if not flags & HAS_ALIAS or owner < 0 or alias_owners[slot] < 0:
                packs[pack, RESULT] |= NEEDS_BIRTH
                continue
            target = alias_points[slot]
            datatype = datatype if datatype else np.int64(alias_types[slot])
        if target < 0:
            packs[pack, UNMAPPED] += 1
            continue
        field, milliseconds = rows[row, FIELD], rows[row, TIME]
        if milliseconds < 0:
            milliseconds = packs[pack, STAMP]
        moment = received[pack] if milliseconds < 0 else milliseconds * 1000
        null = flags & NULL != 0 or field == 0
        if field >= STRING and not null:
            if field == STRING:
                entry = texts[text_count]
                entry[0], entry[1], entry[2], entry[3] = target, moment, rows[row, TEXT], rows[row, TEXT_LENGTH]
                text_count += 1
            else:
                packs[pack, UNSUPPORTED] += 1
            continue
        if datatype == 0 and INT <= field <= LONG and not null:
            # Signed or not? Only the birth tells; a wrong guess would turn -1 into 4 294 967 295.
            packs[pack, RESULT] |= NEEDS_BIRTH
            continue
        if null:
            value[count] = np.nan
        elif field == DOUBLE:
            value[count] = doubles[row, RAW]
        elif field == FLOAT:
            value[count] = floats[row, 2 * RAW]
        else:
            value[count] = _whole(rows[row, RAW], datatype, field)
        point[count], time[count] = target, moment
        quality[count] = _quality_code(null, rows[row, QUALITY])
        count += 1
    return count, text_count


@_jit
def _whole(raw, datatype, field):  # type: ignore[no-untyped-def]  # compiled: int64 bits
    """Return the number that bits mean; signed integers travel as two's complement in unsigned fields."""
    if field == BOOLEAN or datatype == 11:
        return 1.0 if raw else 0.0
    if datatype == 1:
        return np.float64(np.int8(raw))
    if datatype == 2:
        return np.float64(np.int16(raw))
    if datatype == 3:
        return np.float64(np.int32(raw))
    if datatype == 4:
        return np.float64(raw)
    return np.float64(_U(raw))


@_jit
def _quality_code(null, told):  # type: ignore[no-untyped-def]  # compiled
    if null:
        return 0x80
    if told < 0 or (told >= 192 and told < 256):
        return 0x00
    if told == 500:
        return 0x89
    if told >= 64 and told < 192:
        return 0x40
    return 0x80


@_jit
def slot_of(key, owner, mask):  # type: ignore[no-untyped-def]  # compiled
    """Return the first slot of an open-addressed table for ``key`` of ``owner``."""
    mixed = (key ^ (_U(owner) * _MIX)) * _MIX
    return np.int64(mixed >> _U(32)) & mask


@_jit
def insert(keys, owners, points, types_, key, owner, point, datatype):  # type: ignore[no-untyped-def]  # compiled
    """Put (or replace) an entry; return (its slot, 1 when it took an empty one). A table always has an empty slot."""
    mask = len(keys) - 1
    slot = slot_of(key, owner, mask)
    while owners[slot] >= 0:
        if owners[slot] == owner and keys[slot] == key:
            points[slot], types_[slot] = point, datatype
            return slot, 0
        slot = (slot + 1) & mask
    keys[slot], owners[slot], points[slot], types_[slot] = key, owner, point, datatype
    return slot, 1


def name_hash(name: bytes) -> int:
    """Return the 64-bit FNV-1a hash of a name, the one ``resolve`` computes."""
    value = 0xCBF29CE484222325
    for byte in name:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def join(payloads: list[bytes]) -> tuple[bytes, NDArray[np.uint8], NDArray[np.int64]]:
    """Return payloads one after the other with the padding, the same as an array, and where each begins."""
    joined = b"".join([*payloads, bytes(PADDING)])
    starts = np.zeros(len(payloads) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, payloads), np.int64, len(payloads)), out=starts[1:])
    return joined, np.frombuffer(joined, np.uint8), starts

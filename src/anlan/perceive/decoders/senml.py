"""SenML (RFC 8428) in JSON: records with base fields, resolved to columns.

Tags are ``senml:NAME`` with the resolved name (base name + name). Base name, time, value and version hold for the
records that follow; a time below 2**28 is relative to the receipt; ``vb`` is 0 or 1, ``vs`` a text (an event), a field
ending in ``_`` that is not understood refuses the pack, as the RFC wants.

Almost every pack is plain: base name and time in the first record, a name, a number and perhaps a time in the others.
Those are taken apart column by column; the rest goes record by record.
"""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple

import msgspec
import numba
import numpy as np
from numpy.typing import NDArray

from anlan.core.batch import SampleBatch
from anlan.core.errors import DecodeError
from anlan.perceive.decoders.columns import Decoded, Pack, Text, batch_of

VERSION = 10
RELATIVE = float(1 << 28)
_MISSING = math.nan  # JSON has no NaN: a value that is NaN was not there
_LATEST_S = 9.2e12
_EXPECTED = 'a SenML pack (RFC 8428), such as [{"bn":"tank/","bt":1767225600,"n":"level","v":3.2}]'


class _Record(msgspec.Struct, gc=False):
    n: str = ""
    v: float = _MISSING
    t: float = 0.0
    bn: str | None = None
    bt: float | None = None
    bv: float | None = None
    vb: bool | None = None
    vs: str | None = None
    vd: str | None = None
    s: float | None = None
    bver: int | None = None


class _Plain(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    n: str = ""
    v: float = _MISSING
    t: float = 0.0
    u: str = ""
    bn: str | None = None
    bt: float | None = None
    bu: str = ""


_full = msgspec.json.Decoder(list[_Record])
_plain = msgspec.json.Decoder(list[_Plain])
_plains = msgspec.json.Decoder(list[list[_Plain]])
_any = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

# What ``_look`` finds in a pack.
_LATER_BASE, _TIMES = 1, 2


@numba.njit(cache=True, nogil=True)
def _look(buffer, starts, found):  # type: ignore[no-untyped-def]  # compiled: uint8[:], int64[:], uint8[:]
    """Tell which packs have a base field after their first record, an escape (it could hide one), or a time."""
    for pack in range(len(starts) - 1):
        flags, first = 0, True
        for at in range(starts[pack] + 1, starts[pack + 1] - 2):
            byte = buffer[at]
            if byte == 125:  # }
                first = False
            elif byte == 92:  # backslash
                flags |= _LATER_BASE
            elif buffer[at - 1] == 34:  # a quote before
                if byte == 98 and not first and buffer[at + 2] == 34:  # "b?"
                    flags |= _LATER_BASE
                elif byte == 116 and buffer[at + 1] == 34:  # "t"
                    flags |= _TIMES
        found[pack] = flags


class Route(NamedTuple):
    """A topic that carries SenML."""

    topic: str


class SenmlDecoder:
    """Decodes SenML of one connector.

    Args:
        numbers: point number by resolved name.
    """

    def __init__(self, numbers: dict[str, int]) -> None:
        self._numbers = numbers
        self._by_prefix: dict[str, dict[str, int]] = {}
        # A device sends the same names in the same order each time: comparing them is cheaper than looking them up.
        self._known: dict[str, tuple[list[str], NDArray[np.int32]]] = {}

    def route(self, topic: str) -> Route:
        """Return the route: SenML names stand in the payload, so every topic will do."""
        return Route(topic)

    def decode(self, packs: list[Pack]) -> Decoded:
        """Return the columns of all packs."""
        decoded = Decoded()
        columns = _Columns()
        found = _flags(packs)
        for index, records in enumerate(_parse(packs)):
            flags = found[index]
            if records and not flags & _LATER_BASE and self._take_plain(records, flags, columns):
                continue
            columns.cut()
            self._take_each(index, packs[index], columns, decoded)
        decoded.batch = columns.batch()
        unmapped = decoded.batch.point < 0
        if unmapped.any():
            for (prefix, name), count in columns.unmapped.items():
                decoded.count_unmapped(f"senml:{prefix}{name}", count)
            decoded.batch = decoded.batch.take(~unmapped)
        return decoded

    def _take_plain(self, records: list[_Plain], flags: int, columns: _Columns) -> bool:
        """Take a pack whose base fields all stand in its first record; False when it is not of that kind."""
        first = records[0]
        prefix = first.bn or ""
        lookup = self._by_prefix.get(prefix)
        if lookup is None:
            lookup = self._lookup(prefix)
        values = [record.v for record in records]
        if values[0] != values[0]:
            if first.n or first.bn is None:
                return False
            # The first record holds bases only.
            records = records[1:]
            del values[0]
        total = sum(values)
        if not values or total != total:
            return False
        base_time = first.bt or 0.0
        offsets = [record.t for record in records] if flags & _TIMES else None
        earliest, latest = (min(offsets), max(offsets)) if offsets else (0.0, 0.0)
        if base_time + earliest < RELATIVE or base_time + latest > _LATEST_S:
            return False
        names = [record.n for record in records]
        if not prefix and "" in names:
            return False
        known = self._known.get(prefix)
        if known is None or known[0] != names:
            known = names, np.array([lookup.get(name, -1) for name in names], np.int32)
            self._known[prefix] = known
        numbers = known[1]
        if numbers.min() < 0:
            for name in names:
                if name not in lookup:
                    columns.unmapped[prefix, name] = columns.unmapped.get((prefix, name), 0) + 1
        columns.add(numbers, offsets, values, base_time)
        return True

    def _take_each(self, index: int, pack: Pack, columns: _Columns, decoded: Decoded) -> None:
        """Take any pack, record by record; a record in error spoils its pack, as the RFC resolves packs as a whole."""
        try:
            records = _full.decode(pack.payload)
            _must_understand(pack.payload)
            rows = _resolve(records, pack.received)
        except DecodeError as error:
            decoded.problems.append((index, DecodeError(error.message, where=error.where, fix=_EXPECTED)))
            return
        except _NOT_JSON as error:
            decoded.problems.append((index, DecodeError(f"no SenML: {error}", where="payload", fix=_EXPECTED)))
            return
        for name, time, value in rows:
            number = self._numbers.get(name)
            if number is None or value is None:
                decoded.count_unmapped(f"senml:{name}")
            elif isinstance(value, str):
                decoded.texts.append(Text(number, time, value))
            else:
                columns.add_one(number, time, value)

    def _lookup(self, prefix: str) -> dict[str, int]:
        if len(self._by_prefix) > 10_000:
            self._by_prefix.clear()
            self._known.clear()
        lookup = {name[len(prefix) :]: number for name, number in self._numbers.items() if name.startswith(prefix)}
        self._by_prefix[prefix] = lookup
        return lookup


class _Columns:
    """Columns of plain packs gathered as machine numbers, and of single records, in the order they came."""

    def __init__(self) -> None:
        self.unmapped: dict[tuple[str, str], int] = {}
        self._parts: list[SampleBatch] = []
        self._begin()
        self._single: tuple[list[int], list[int], list[float]] = ([], [], [])

    def _begin(self) -> None:
        self._numbers: list[NDArray[np.int32]] = []
        self._offsets: list[tuple[int, list[float]]] = []
        self._rows = 0
        self._values: list[float] = []
        self._lengths: list[int] = []
        self._bases: list[float] = []

    def add(self, numbers: NDArray[np.int32], offsets: list[float] | None, values: list[float], time: float) -> None:
        if self._single[0]:
            self._cut_single()
        self._numbers.append(numbers)
        if offsets is not None:
            self._offsets.append((self._rows, offsets))
        self._rows += len(numbers)
        self._values += values
        self._lengths.append(len(numbers))
        self._bases.append(time)

    def add_one(self, number: int, time: int, value: float) -> None:
        points, times, values = self._single
        points.append(number)
        times.append(time)
        values.append(value)

    def cut(self) -> None:
        if not self._lengths:
            return
        times = np.repeat(np.rint(np.array(self._bases) * 1e6), self._lengths)
        for start, offsets in self._offsets:
            times[start : start + len(offsets)] += np.rint(np.array(offsets) * 1e6)
        point = np.concatenate(self._numbers)
        value = np.frombuffer(array("d", self._values), np.float64)
        self._parts.append(SampleBatch(point, times.astype(np.int64), value, np.zeros(len(point), np.uint8)))
        self._begin()

    def _cut_single(self) -> None:
        points, times, values = self._single
        self._parts.append(batch_of(points, times, values, [0] * len(points)))
        self._single = ([], [], [])

    def batch(self) -> SampleBatch:
        self.cut()
        if self._single[0]:
            self._cut_single()
        return SampleBatch.concatenate(self._parts)


def _flags(packs: list[Pack]) -> list[int]:
    payloads = [pack.payload for pack in packs]
    buffer = np.frombuffer(b"".join(payloads), np.uint8)
    starts = np.zeros(len(packs) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, payloads), np.int64, len(packs)), out=starts[1:])
    found = np.zeros(len(packs), np.uint8)
    _look(buffer, starts, found)
    flags: list[int] = found.tolist()
    return flags


def _parse(packs: list[Pack]) -> list[list[_Plain] | None]:
    """Return the records of each plain pack; one call for all packs, one by one only when that fails."""
    try:
        if not all(pack.payload[:1] == b"[" and pack.payload[-1:] == b"]" for pack in packs):
            raise msgspec.ValidationError("joined, they would not stay apart")
        together = _plains.decode(b"[" + b",".join([pack.payload for pack in packs]) + b"]")
        if len(together) == len(packs):
            return list(together)
    except _NOT_JSON:
        pass
    parsed: list[list[_Plain] | None] = []
    for pack in packs:
        try:
            parsed.append(_plain.decode(pack.payload))
        except _NOT_JSON:
            parsed.append(None)
    return parsed


def _must_understand(payload: bytes) -> None:
    if b"_" not in payload:
        return
    for number, record in enumerate(_any.decode(payload), start=1):
        for key in record:
            if key.endswith("_"):
                raise DecodeError(f"field {key!r} must be understood and is not", where=f"record {number}")


def _resolve(records: list[_Record], received: int) -> list[tuple[str, int, float | str | None]]:
    """Return (name, time µs, value) of each record; the value is None for sums and data, which are no samples."""
    rows: list[tuple[str, int, float | str | None]] = []
    prefix, base_time, base_value = "", 0.0, 0.0
    for number, record in enumerate(records, start=1):
        if record.bver is not None and record.bver > VERSION:
            raise DecodeError(f"version {record.bver} is newer than {VERSION}", where=f"record {number}, bver")
        prefix = prefix if record.bn is None else record.bn
        base_time = base_time if record.bt is None else record.bt
        base_value = base_value if record.bv is None else record.bv
        value: float | str | None
        if record.v == record.v:
            value = record.v + base_value
        elif record.vb is not None:
            value = float(record.vb)
        elif record.vs is not None:
            value = record.vs
        elif record.vd is not None or record.s is not None:
            value = None
        elif record.bn is not None or record.bt is not None or record.bv is not None or record.bver is not None:
            continue
        else:
            raise DecodeError("neither a value nor a sum", where=f"record {number}")
        name = prefix + record.n
        if not name:
            raise DecodeError("neither a name nor a base name", where=f"record {number}, n")
        seconds = base_time + record.t
        if abs(seconds) > _LATEST_S:
            raise DecodeError(f"{seconds} is beyond all times", where=f"record {number}, t")
        since = round(base_time * 1e6) + round(record.t * 1e6)
        rows.append((name, since if seconds >= RELATIVE else received + since, value))
    return rows


def warm_up() -> None:
    """Run both ways once."""
    decoder = SenmlDecoder({"a": 1})
    plain = b'[{"bn":"a","bt":1767225600,"v":1.5}]'
    decoder.decode([Pack(Route("t"), plain, 1), Pack(Route("t"), b'[{"n":"a","vb":true}]', 1)])

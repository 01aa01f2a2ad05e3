"""Sparkplug B: births, deaths, sequence numbers and aliases of edge nodes; the wire is read by a compiled kernel.

Tags are ``spB:GROUP/NODE:METRIC`` and ``spB:GROUP/NODE/DEVICE:METRIC``. Rules after the Sparkplug 3.0 specification: an
alias means something only after the birth that named it; a gap in ``seq`` or an unknown alias asks the node for a
rebirth (at most once in ``REBIRTH_EVERY``); a death marks every point of the node, or of the device, BAD_NOT_CONNECTED;
an NDEATH whose bdSeq is not the one of the last birth is an old will and is ignored.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anlan.core.batch import SampleBatch
from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.quality import Quality
from anlan.core.time import SECOND
from anlan.perceive.decoders import _sparkplug_wire as wire
from anlan.perceive.decoders.columns import Decoded, Pack, Text, batch_of

NAMESPACE = "spBv1.0"
REBIRTH_EVERY = 10 * SECOND
DATATYPES = {1: "Int8", 2: "Int16", 3: "Int32", 4: "Int64", 5: "UInt8", 6: "UInt16", 7: "UInt32", 8: "UInt64"} | {
    9: "Float",
    10: "Double",
    11: "Boolean",
    12: "String",
    13: "DateTime",
    14: "Text",
    15: "UUID",
    16: "DataSet",
    17: "Bytes",
    18: "File",
    19: "Template",
}
_OWN_METRICS = ("bdSeq", "Node Control/", "Device Control/", "_types_/", "Node Info/")
_EXPECTED = "a Sparkplug B payload (protobuf, namespace spBv1.0)"


class Metric(NamedTuple):
    """One metric as sent. ``time`` in ms or -1; ``value`` is None for null, a number, or a text."""

    name: str
    alias: int | None
    time: int
    datatype: int
    value: float | str | None
    historical: bool = False


class Payload(NamedTuple):
    """A whole payload as sent, for births, tests and discovery. ``time`` in ms or -1; ``seq`` -1 when absent."""

    time: int
    seq: int
    metrics: list[Metric]


def parse(payload: bytes) -> Payload:
    """Return everything a payload says.

    Raises:
        DecodeError: not protobuf; names the byte.
    """
    _, buffer, starts = wire.join([payload])
    rows = np.empty((wire.count_metrics(buffer, starts), wire.COLUMNS), np.int64)
    packs = np.zeros((1, wire.PACK_COLUMNS), np.int64)
    count = wire.scan(buffer, starts, rows, packs)
    error, position, time, seq = packs[0, :4].tolist()
    if error:
        raise _wire_error(error, position)
    return Payload(time, seq, [_metric(payload, row) for row in rows[:count].tolist()])


def _metric(payload: bytes, row: list[int]) -> Metric:
    _, flags, name, name_length, alias, time, datatype, kind, raw, text, text_length = row[:11]
    value: float | str | None = None
    if kind == wire.STRING and not flags & wire.NULL:
        value = payload[text : text + text_length].decode("utf-8", "replace")
    elif 0 < kind < wire.STRING and not flags & wire.NULL:
        value = _number(kind, raw & 0xFFFFFFFFFFFFFFFF, datatype)
    return Metric(
        payload[name : name + name_length].decode("utf-8", "replace"),
        alias & 0xFFFFFFFFFFFFFFFF if flags & wire.HAS_ALIAS else None,
        time,
        datatype,
        value,
        bool(flags & wire.HISTORICAL),
    )


def _number(kind: int, raw: int, datatype: int) -> float:
    if kind == wire.DOUBLE:
        return float(struct.unpack("<d", struct.pack("<Q", raw))[0])
    if kind == wire.FLOAT:
        return float(struct.unpack("<f", struct.pack("<I", raw))[0])
    if kind == wire.BOOLEAN or datatype == 11:
        return float(raw != 0)
    bits = {1: 8, 2: 16, 3: 32, 4: 64}.get(datatype)
    if bits is None:
        return float(raw)
    low = raw & ((1 << bits) - 1)
    return float(low - (1 << bits) if low >> (bits - 1) else low)


def rebirth_request(time_ms: int) -> bytes:
    """Return the NCMD payload that asks an edge node to send its births again: the only command Anlan ever sends."""
    name = b"Node Control/Rebirth"
    body = b"\x0a" + bytes([len(name)]) + name + b"\x18" + _varint(time_ms) + b"\x20\x0b\x70\x01"
    return b"\x08" + _varint(time_ms) + b"\x12" + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _wire_error(code: int, position: int) -> DecodeError:
    return DecodeError(f"Sparkplug payload: {wire.ERRORS[code]}", where=f"byte {position}", fix=_EXPECTED)


@dataclass(slots=True)
class _Node:
    """An edge node that the map names."""

    index: int
    group: str
    name: str
    owner: int = -1
    born: bool = False
    bd_seq: int | None = None
    asked: int = -(1 << 62)
    points: list[int] = field(default_factory=list)


class Route(NamedTuple):
    """A topic: its message type, its edge node, the number of its (node, device), their names."""

    kind: str
    node: _Node
    place: int
    label: str


@dataclass(slots=True)
class _Table:
    """An open-addressed table that the kernel reads; rebuilt at twice the size when half full."""

    keys: NDArray[np.uint64]
    owners: NDArray[np.int32]
    points: NDArray[np.int32]
    types: NDArray[np.uint8]
    used: int = 0

    @staticmethod
    def of(size: int) -> _Table:
        return _Table(
            np.zeros(size, np.uint64),
            np.full(size, -1, np.int32),
            np.full(size, -1, np.int32),
            np.zeros(size, np.uint8),
        )

    def put(self, key: int, owner: int, point: int, datatype: int) -> int:
        """Put an entry and return its slot."""
        slot, new = wire.insert(
            self.keys, self.owners, self.points, self.types, np.uint64(key), owner, point, np.uint8(datatype)
        )
        self.used += new
        return int(slot)


def split_tag(tag: Any) -> tuple[str, str, str, str]:
    """Return (group, node, device or "", metric) of a mapped tag.

    Raises:
        InvalidInputError: the tag does not have that form.
    """
    if isinstance(tag, dict):
        parts = {key: str(tag.get(key, "")) for key in ("group", "node", "device", "metric")}
        if parts["group"] and parts["node"] and parts["metric"]:
            return parts["group"], parts["node"], parts["device"], parts["metric"]
    else:
        place, _, metric = str(tag).removeprefix("spB:").partition(":")
        names = place.split("/")
        if metric and len(names) in (2, 3) and all(names):
            return names[0], names[1], names[2] if len(names) == 3 else "", metric
    raise InvalidInputError(
        f"{tag!r} is no Sparkplug tag", where="map", fix="spB:GROUP/NODE:METRIC or spB:GROUP/NODE/DEVICE:METRIC"
    )


class SparkplugDecoder:
    """Decodes the payloads of all edge nodes of one connector.

    Args:
        tags: point number by (group, node, device or "", metric).
    """

    def __init__(self, tags: dict[tuple[str, str, str, str], int]) -> None:
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._routes: dict[tuple[str, str, str], int] = {}
        self._device_points: dict[int, list[int]] = {}
        self._names: dict[tuple[int, bytes], int] = {}
        self._name_slots: dict[tuple[int, bytes], int] = {}
        for (group, node_name, device, metric), number in tags.items():
            node = self._nodes.setdefault((group, node_name), _Node(len(self._nodes), group, node_name))
            node.points.append(number)
            route = self._routes.setdefault((group, node_name, device), len(self._routes))
            self._device_points.setdefault(route, []).append(number)
            self._names[route, metric.encode()] = number
        self._name_table, self._arena = self._build_names()
        self._aliases = _Table.of(1024)
        self._next_owner = 0
        self._last_seq = np.full(max(1, len(self._nodes)), -1, np.int64)

    # --- topics ---------------------------------------------------------------------------------------------------

    def route(self, topic: str) -> Route | None:
        """Return the route of a topic; None for commands, host state and nodes that no point is mapped to.

        Raises:
            DecodeError: not a Sparkplug topic.
        """
        parts = topic.split("/")
        if parts[0] != NAMESPACE or len(parts) < 3:
            raise DecodeError(
                f"{topic!r} is no Sparkplug topic", where=topic, fix=f"{NAMESPACE}/GROUP/TYPE/NODE[/DEVICE]"
            )
        if parts[1] == "STATE" or parts[2] in ("NCMD", "DCMD", "STATE"):
            return None
        if parts[2] in ("NBIRTH", "NDEATH", "NDATA") and len(parts) == 4:
            device = ""
        elif parts[2] in ("DBIRTH", "DDEATH", "DDATA") and len(parts) == 5:
            device = parts[4]
        else:
            raise DecodeError(
                f"{topic!r} is no Sparkplug topic", where=topic, fix=f"{NAMESPACE}/GROUP/TYPE/NODE[/DEVICE]"
            )
        node = self._nodes.get((parts[1], parts[3]))
        if node is None:
            return None
        label = "/".join([parts[1], parts[3], *parts[4:]])
        return Route(parts[2], node, self._routes.get((parts[1], parts[3], device), -2), label)

    def online(self) -> dict[str, bool]:
        """Return whether each mapped edge node is born and not dead."""
        return {f"{node.group}/{node.name}": node.born for node in self._nodes.values()}

    # --- packs ----------------------------------------------------------------------------------------------------

    def decode(self, packs: list[Pack]) -> Decoded:
        """Return the columns of all packs; births and deaths take effect in their place among them."""
        decoded = Decoded()
        parts: list[SampleBatch] = []
        begin = 0
        for index, pack in enumerate(packs):
            kind = pack.route.kind
            if kind in ("NDATA", "DDATA"):
                continue
            self._decode_data(packs, begin, index, decoded, parts)
            begin = index
            try:
                if kind in ("NBIRTH", "DBIRTH"):
                    self._birth(pack, decoded)
                else:
                    self._death(pack, parts)
                    begin = index + 1
            except DecodeError as error:
                decoded.problems.append((index, error))
                begin = index + 1
        self._decode_data(packs, begin, len(packs), decoded, parts)
        decoded.batch = SampleBatch.concatenate(parts)
        return decoded

    def _decode_data(self, packs: list[Pack], begin: int, end: int, decoded: Decoded, parts: list[SampleBatch]) -> None:
        if begin == end:
            return
        chosen = packs[begin:end] if begin or end < len(packs) else packs
        count = len(chosen)
        joined, buffer, starts = wire.join([pack.payload for pack in chosen])
        rows = np.empty((wire.count_metrics(buffer, starts), wire.COLUMNS), np.int64)
        results = np.zeros((count, wire.PACK_COLUMNS), np.int64)
        rows = rows[: wire.scan(buffer, starts, rows, results)]
        columns, owners = self._who(chosen)
        wire.check_sequence(results, columns[2], columns[3], self._last_seq)
        most = len(rows)
        out = (np.empty(most, np.int32), np.empty(most, np.int64), np.empty(most), np.empty(most, np.uint8))
        texts = np.empty((most, 4), np.int64)
        aliases = self._aliases
        samples, text_count = wire.resolve(
            buffer,
            rows,
            rows.view(np.float64),
            rows.view(np.float32),
            results,
            columns[0],
            columns[1],
            owners,
            (aliases.keys, aliases.owners, aliases.points, aliases.types),
            self._name_table,
            self._arena,
            out,
            texts,
        )
        point, time, value, quality = out
        parts.append(SampleBatch(point[:samples], time[:samples], value[:samples], quality[:samples]))
        for number, moment, start, length in texts[:text_count].tolist():
            text = joined[start : start + length].decode("utf-8", "replace")
            decoded.texts.append(Text(number, moment, text))
        if results[:, [wire.ERROR, wire.RESULT, wire.UNMAPPED, wire.UNSUPPORTED]].any():
            self._results(chosen, begin, results, decoded)

    def _who(self, packs: list[Pack]) -> tuple[tuple[NDArray[Any], ...], NDArray[np.int64]]:
        count = len(packs)
        routes = [pack.route for pack in packs]
        return (
            np.fromiter((pack.received for pack in packs), np.int64, count),
            np.fromiter((route.place for route in routes), np.int64, count),
            np.fromiter((route.node.index for route in routes), np.int64, count),
            np.fromiter((not pack.repeated and pack.route.kind != "NBIRTH" for pack in packs), np.bool_, count),
        ), np.fromiter((route.node.owner for route in routes), np.int64, count)

    def _results(self, packs: list[Pack], begin: int, results: NDArray[np.int64], decoded: Decoded) -> None:
        told = results[:, [wire.ERROR, wire.POSITION, wire.RESULT, wire.UNMAPPED, wire.UNSUPPORTED]]
        for index in np.flatnonzero(told[:, [0, 2, 3, 4]].any(axis=1)).tolist():
            error, position, flags, unmapped, unsupported = told[index].tolist()
            pack = packs[index]
            if error:
                decoded.problems.append((begin + index, _wire_error(error, position)))
                continue
            if unmapped:
                decoded.count_unmapped(f"spB:{pack.route.label}:*", unmapped)
            if unsupported:
                decoded.count_unmapped(f"spB:{pack.route.label}: DataSet, Template, Bytes, File", unsupported)
            if flags:
                self._ask_rebirth(pack, decoded)
            if flags & wire.NEEDS_BIRTH:
                error_text = "a metric uses an alias or leaves out a datatype that no birth has told"
                problem = DecodeError(error_text, where=pack.route.label, fix="NBIRTH/DBIRTH first")
                decoded.problems.append((begin + index, problem))

    def _ask_rebirth(self, pack: Pack, decoded: Decoded) -> None:
        node = pack.route.node
        if pack.received - node.asked < REBIRTH_EVERY:
            return
        node.asked = pack.received
        topic = f"{NAMESPACE}/{node.group}/NCMD/{node.name}"
        decoded.answers.append((topic, rebirth_request(pack.received // 1_000)))

    # --- births and deaths ----------------------------------------------------------------------------------------

    def _birth(self, pack: Pack, decoded: Decoded) -> None:
        payload = parse(pack.payload)
        route: Route = pack.route
        node = route.node
        if route.kind == "NBIRTH":
            node.owner = self._next_owner
            self._next_owner += 1
            node.born = True
            node.bd_seq = _bd_seq(payload)
            self._last_seq[node.index] = -1
        elif not node.born:
            self._ask_rebirth(pack, decoded)
        for metric in payload.metrics:
            if metric.name and not metric.name.startswith(_OWN_METRICS):
                self._learn(route, metric, decoded)

    def _learn(self, route: Route, metric: Metric, decoded: Decoded) -> None:
        key = (route.place, metric.name.encode())
        number = self._names.get(key, -1)
        if number >= 0:
            self._name_table[3][self._name_slots[key]] = min(metric.datatype, 255)
        else:
            decoded.count_unmapped(f"spB:{route.label}:{metric.name}")
        if metric.alias is not None and route.node.born:
            if self._aliases.used * 2 >= len(self._aliases.keys):
                self._rebuild_aliases()
            self._aliases.put(metric.alias, route.node.owner, number, metric.datatype)

    def _death(self, pack: Pack, parts: list[SampleBatch]) -> None:
        payload = parse(pack.payload)
        route: Route = pack.route
        node = route.node
        if route.kind == "NDEATH":
            told = _bd_seq(payload)
            if told is not None and node.bd_seq is not None and told != node.bd_seq:
                return
            node.born, node.owner = False, -1
            self._last_seq[node.index] = -1
            numbers = node.points
        else:
            numbers = self._device_points.get(route.place, [])
            if payload.seq >= 0 and self._last_seq[node.index] >= 0:
                self._last_seq[node.index] = payload.seq
        # An NDEATH's own timestamp is that of the connection it was registered with: the death is now.
        count = len(numbers)
        bad = [int(Quality.BAD_NOT_CONNECTED)] * count
        parts.append(batch_of(numbers, [pack.received] * count, [float("nan")] * count, bad))

    # --- tables ---------------------------------------------------------------------------------------------------

    def _build_names(self) -> tuple[tuple[NDArray[Any], ...], NDArray[np.uint8]]:
        size = 64
        while size < 2 * len(self._names) + 2:
            size *= 2
        table = _Table.of(size)
        starts, lengths = np.zeros(size, np.int64), np.zeros(size, np.int64)
        arena = np.frombuffer(b"".join(name for _, name in self._names) or b"\0", np.uint8)
        position = 0
        for (route, name), number in self._names.items():
            slot = table.put(wire.name_hash(name), route, number, 0)
            starts[slot], lengths[slot] = position, len(name)
            self._name_slots[route, name] = slot
            position += len(name)
        return (table.keys, table.owners, table.points, table.types, starts, lengths), arena

    def _rebuild_aliases(self) -> None:
        """Double the table; entries of births that are over are left behind."""
        alive = {node.owner for node in self._nodes.values() if node.owner >= 0}
        old = self._aliases
        keep = np.flatnonzero(np.isin(old.owners, np.array(sorted(alive), np.int32)))
        size = len(old.keys)
        while size < 4 * len(keep) + 4:
            size *= 2
        table = _Table.of(size)
        for slot in keep.tolist():
            table.put(int(old.keys[slot]), int(old.owners[slot]), int(old.points[slot]), int(old.types[slot]))
        self._aliases = table


def _bd_seq(payload: Payload) -> int | None:
    for metric in payload.metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, float):
            return int(metric.value)
    return None


def warm_up() -> None:
    """Compile and run the kernels once."""
    decoder = SparkplugDecoder({("g", "n", "", "m"): 1})
    birth = b"\x08\x01\x12" + bytes([13]) + b"\x0a\x01m\x10\x07\x18\x01\x20\x07\x50\x05\x38\x00" + b"\x18\x00"
    data = b"\x08\x01\x12\x06\x10\x07\x18\x01\x50\x05\x18\x01"
    routes = [decoder.route(f"spBv1.0/g/{kind}/n") for kind in ("NBIRTH", "NDATA", "NDEATH")]
    decoder.decode([Pack(route, body, 1) for route, body in zip(routes, (birth, data, data), strict=True)])

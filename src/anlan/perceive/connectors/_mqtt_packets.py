"""MQTT 3.1.1 and 5.0 on the wire: a protocol that takes packets apart, and the packets both sides send.

``PacketProtocol`` is fed bytes in any pieces. PUBLISH has a path of its own, the one that must be fast; all else is
rare. A packet longer than allowed is refused by its length, before its body is held.
"""

from __future__ import annotations

import asyncio
import struct
from typing import NamedTuple

from anlan.core.errors import DecodeError

V311, V5 = 4, 5

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15

# Reason codes of version 5 that are used here.
SUCCESS, WITH_WILL, NO_SUBSCRIBERS, NO_SUBSCRIPTION = 0x00, 0x04, 0x10, 0x11
MALFORMED, PROTOCOL_ERROR, UNSUPPORTED_VERSION, CLIENT_ID_INVALID = 0x81, 0x82, 0x84, 0x85
BAD_CREDENTIALS, NOT_AUTHORIZED, SERVER_BUSY, SHUTTING_DOWN, BAD_METHOD, KEEP_ALIVE = 0x86, 0x87, 0x89, 0x8B, 0x8C, 0x8D
TAKEN_OVER, FILTER_INVALID, TOPIC_INVALID, RECEIVE_MAXIMUM, ALIAS_INVALID = 0x8E, 0x8F, 0x90, 0x93, 0x94
TOO_LARGE, QUOTA, PAYLOAD_INVALID, QOS_UNSUPPORTED, SHARED_UNSUPPORTED = 0x95, 0x97, 0x99, 0x9B, 0x9E

# Properties of version 5: type by identifier; b byte, w two bytes, d four bytes, v varint, s text, x binary, p pair.
_PROPERTIES = {
    0x01: "b", 0x02: "d", 0x03: "s", 0x08: "s", 0x09: "x", 0x0B: "v", 0x11: "d", 0x12: "s", 0x13: "w", 0x15: "s",
    0x16: "x", 0x17: "b", 0x18: "d", 0x19: "b", 0x1A: "s", 0x1C: "s", 0x1F: "s", 0x21: "w", 0x22: "w", 0x23: "w",
    0x24: "b", 0x25: "b", 0x26: "p", 0x27: "d", 0x28: "b", 0x29: "b", 0x2A: "b",
}  # fmt: skip
SESSION_EXPIRY, ASSIGNED_ID, SERVER_KEEP_ALIVE, REASON, TOPIC_ALIAS = 0x11, 0x12, 0x13, 0x1F, 0x23
RECEIVE_MAXIMUM_PROPERTY, ALIAS_MAXIMUM, MAXIMUM_QOS, MAXIMUM_PACKET = 0x21, 0x22, 0x24, 0x27
SUBSCRIPTION_IDS_AVAILABLE, SHARED_AVAILABLE, WILL_DELAY = 0x29, 0x2A, 0x18

Properties = dict[int, int | str | bytes]


class MqttError(DecodeError):
    """What is wrong with a packet, with the version 5 reason code for it."""

    def __init__(self, code: int, message: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(message, where=where, fix=fix)
        self.reason = code


class Will(NamedTuple):
    """The message to publish when a client goes without saying so; ``delay`` in seconds."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    delay: int


class Connect(NamedTuple):
    """A CONNECT packet."""

    version: int
    client_id: str
    clean: bool
    keep_alive: int
    properties: Properties
    will: Will | None
    user: str | None
    password: bytes | None


class Reader:
    """Reads the fields of one packet's body, checking every length."""

    def __init__(self, data: bytes, position: int, end: int, what: str) -> None:
        self._data = data
        self.position = position
        self.end = end
        self._what = what

    def _need(self, count: int) -> int:
        start = self.position
        if start + count > self.end:
            raise MqttError(MALFORMED, f"{self._what} is cut off", where=f"byte {start}")
        self.position = start + count
        return start

    def byte(self) -> int:
        """Return one byte."""
        return self._data[self._need(1)]

    def word(self) -> int:
        """Return a two-byte number."""
        start = self._need(2)
        return self._data[start] << 8 | self._data[start + 1]

    def double(self) -> int:
        """Return a four-byte number."""
        return int.from_bytes(self.take(4), "big")

    def take(self, count: int) -> bytes:
        """Return ``count`` bytes."""
        start = self._need(count)
        return self._data[start : start + count]

    def binary(self) -> bytes:
        """Return bytes with a length before them."""
        return self.take(self.word())

    def text(self) -> str:
        """Return a UTF-8 text with a length before it."""
        raw = self.binary()
        try:
            value = raw.decode()
        except UnicodeDecodeError as error:
            raise MqttError(MALFORMED, f"{self._what}: no UTF-8: {raw[:40]!r}") from error
        if "\0" in value:
            raise MqttError(MALFORMED, f"{self._what}: a text with a zero in it")
        return value

    def varint(self) -> int:
        """Return a variable byte integer."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise MqttError(MALFORMED, f"{self._what}: a length of more than four bytes")

    def properties(self) -> Properties:
        """Return the properties of version 5; user properties and repeats of others are read and left out."""
        end = self.varint() + self.position
        if end > self.end:
            raise MqttError(MALFORMED, f"{self._what}: properties run past the end")
        outer, self.end = self.end, end
        found: Properties = {}
        while self.position < end:
            identity = self.varint()
            kind = _PROPERTIES.get(identity)
            if kind is None:
                raise MqttError(MALFORMED, f"{self._what}: no property has the number {identity}")
            value = self._property(kind)
            if value is not None:
                if identity in found:
                    raise MqttError(PROTOCOL_ERROR, f"{self._what}: property {identity} twice")
                found[identity] = value
        self.end = outer
        return found

    def _property(self, kind: str) -> int | str | bytes | None:
        if kind == "p":
            self.text()
            self.text()
            return None
        if kind in ("s", "x"):
            return self.text() if kind == "s" else self.binary()
        readers = {"b": self.byte, "w": self.word, "d": self.double, "v": self.varint}
        return readers[kind]()


class PacketProtocol(asyncio.Protocol):
    """Takes a byte stream apart into packets.

    Attributes:
        version: 4 or 5; tells whether packets have properties.
        largest: bytes a packet may have after its fixed header.
        partial_since: loop time since when an unfinished packet has been waiting for its rest; 0 when none does.
    """

    def __init__(self, largest: int) -> None:
        self.version = V311
        self.largest = largest
        self.partial_since = 0.0
        self.holding = False
        self._rest = bytearray()
        self._need = 0

    def on_publish(
        self, flags: int, topic: bytes, identifier: int, payload: bytes, properties: Properties | None
    ) -> None:
        """Take a PUBLISH: ``flags`` is its first byte, ``identifier`` 0 with QoS 0."""
        raise NotImplementedError

    def on_packet(self, kind: int, flags: int, data: bytes, start: int, end: int) -> None:
        """Take any other packet, whose body is ``data[start:end]``."""
        raise NotImplementedError

    def on_error(self, error: MqttError, data: bytes) -> None:
        """The stream cannot be read on."""
        raise NotImplementedError

    def hold(self) -> None:
        """Take no packets apart until ``resume``; what comes is kept."""
        self.holding = True

    def resume(self) -> None:
        """Go on with what was kept."""
        self.holding = False
        if self._rest:
            data = bytes(self._rest)
            self._rest.clear()
            self._feed(data)

    def data_received(self, data: bytes) -> None:
        """Take bytes as they come."""
        rest = self._rest
        if rest or self.holding:
            rest += data
            if self.holding or len(rest) < self._need:
                return
            data = bytes(rest)
            rest.clear()
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        position, size = 0, len(data)
        self._need = 0
        try:
            while size - position >= 2 and not self.holding:
                length = data[position + 1]
                start = position + 2
                if length >= 0x80:
                    length, start = self._length(data, position)
                    if not start:
                        break
                if length > self.largest:
                    raise MqttError(
                        TOO_LARGE, f"a packet of {length} bytes", fix=f"at most {self.largest} (option max_packet)"
                    )
                end = start + length
                if end > size:
                    self._need = end - position
                    break
                first = data[position]
                position = end
                if first & 0xF0 == 0x30:
                    self._take_publish(first, data, start, end)
                else:
                    self.on_packet(first >> 4, first & 0x0F, data, start, end)
        except MqttError as error:
            self._rest.clear()
            self.partial_since = 0.0
            self.on_error(error, data)
            return
        if position < size:
            if not self.partial_since or position:
                self.partial_since = asyncio.get_running_loop().time()
            # Bytes that came meanwhile (a packet handler that feeds) stand behind these.
            self._rest[:0] = data[position:] if position else data
        else:
            self.partial_since = 0.0

    def _length(self, data: bytes, position: int) -> tuple[int, int]:
        """Return (remaining length, where the body starts); (0, 0) when its bytes have not all come."""
        length = 0
        for index in range(4):
            at = position + 1 + index
            if at >= len(data):
                return 0, 0
            length |= (data[at] & 0x7F) << (7 * index)
            if data[at] < 0x80:
                return length, at + 1
        raise MqttError(MALFORMED, "a length of more than four bytes")

    def _take_publish(self, first: int, data: bytes, start: int, end: int) -> None:
        body = start + 2
        if body > end:
            raise MqttError(MALFORMED, "PUBLISH is cut off")
        stop = body + (data[start] << 8 | data[start + 1])
        topic = data[body:stop]
        identifier = 0
        if first & 0x06:
            if stop + 2 > end:
                raise MqttError(MALFORMED, "PUBLISH is cut off")
            identifier = data[stop] << 8 | data[stop + 1]
            stop += 2
            if not identifier:
                raise MqttError(PROTOCOL_ERROR, "a PUBLISH with packet identifier 0")
        elif stop > end:
            raise MqttError(MALFORMED, "the topic runs past the end of its PUBLISH")
        properties: Properties | None = None
        if self.version == V5:
            if stop < end and data[stop] == 0:
                stop += 1
            else:
                reader = Reader(data, stop, end, "PUBLISH")
                properties = reader.properties()
                stop = reader.position
        self.on_publish(first, topic, identifier, data[stop:end], properties)


def parse_connect(data: bytes, start: int, end: int) -> Connect:
    """Return a CONNECT packet.

    Raises:
        MqttError: not MQTT, another version, or malformed.
    """
    reader = Reader(data, start, end, "CONNECT")
    name, version = reader.text(), reader.byte()
    if name != "MQTT" or version not in (V311, V5):
        raise MqttError(
            UNSUPPORTED_VERSION, f"protocol {name[:20]!r} version {version}", fix="MQTT 3.1.1 (4) or 5.0 (5)"
        )
    flags, keep_alive = reader.byte(), reader.word()
    if flags & 0x01:
        raise MqttError(MALFORMED, "CONNECT: the reserved flag is set")
    properties = reader.properties() if version == V5 else {}
    client_id = reader.text()
    will = _parse_will(reader, flags, version)
    user = reader.text() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    if reader.position != end:
        raise MqttError(MALFORMED, "CONNECT has bytes left over")
    return Connect(version, client_id, bool(flags & 0x02), keep_alive, properties, will, user, password)


def _parse_will(reader: Reader, flags: int, version: int) -> Will | None:
    qos, retain = flags >> 3 & 3, bool(flags & 0x20)
    if not flags & 0x04:
        if qos or retain:
            raise MqttError(MALFORMED, "CONNECT: will flags without a will")
        return None
    if qos == 3:
        raise MqttError(MALFORMED, "CONNECT: a will of QoS 3")
    properties = reader.properties() if version == V5 else {}
    topic, payload = reader.text(), reader.binary()
    return Will(topic, payload, qos, retain, int(properties.get(WILL_DELAY, 0)))


# --- packets to send --------------------------------------------------------------------------------------------------


def packet(first: int, body: bytes) -> bytes:
    """Return a packet: first byte, length, body."""
    return bytes([first]) + varint(len(body)) + body


def varint(number: int) -> bytes:
    """Return a variable byte integer."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def text(value: str | bytes) -> bytes:
    """Return a text or bytes with the length before them."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(raw)) + raw


def properties_of(values: Properties) -> bytes:
    """Return properties with their length before them."""
    out = bytearray()
    for identity, value in values.items():
        kind = _PROPERTIES[identity]
        out.append(identity)
        if kind in ("s", "x"):
            out += text(value if isinstance(value, str | bytes) else str(value))
        elif kind == "v":
            out += varint(int(value))
        else:
            out += int(value).to_bytes({"b": 1, "w": 2, "d": 4}[kind], "big")
    return varint(len(out)) + bytes(out)


def connack(version: int, present: bool, code: int, properties: Properties) -> bytes:
    """Return a CONNACK; for 3.1.1 the reason code is turned into a return code."""
    if version == V5:
        return packet(CONNACK << 4, bytes([present and code == SUCCESS, code]) + properties_of(properties))
    old = {SUCCESS: 0, UNSUPPORTED_VERSION: 1, CLIENT_ID_INVALID: 2, SERVER_BUSY: 3, BAD_CREDENTIALS: 4}.get(code, 5)
    return packet(CONNACK << 4, bytes([present and old == 0, old]))


def publish(
    version: int, topic: bytes, payload: bytes, qos: int, retain: bool, identifier: int, dup: bool = False
) -> bytes:
    """Return a PUBLISH without properties."""
    body = text(topic)
    if qos:
        body += struct.pack(">H", identifier)
    if version == V5:
        body += b"\0"
    return packet(PUBLISH << 4 | dup << 3 | qos << 1 | retain, body + payload)


def puback(version: int, identifier: int, code: int) -> bytes:
    """Return a PUBACK; a reason code goes only to version 5."""
    if version == V5 and code:
        return struct.pack(">BBHB", PUBACK << 4, 3, identifier, code)
    return struct.pack(">BBH", PUBACK << 4, 2, identifier)


def disconnect(code: int, reason: str) -> bytes:
    """Return a version 5 DISCONNECT with a reason people can read."""
    return packet(DISCONNECT << 4, bytes([code]) + properties_of({REASON: reason[:1000]} if reason else {}))


def subscribe(version: int, identifier: int, filters: list[tuple[str, int]]) -> bytes:
    """Return a SUBSCRIBE."""
    body = struct.pack(">H", identifier) + (b"\0" if version == V5 else b"")
    for name, qos in filters:
        body += text(name) + bytes([qos])
    return packet(SUBSCRIBE << 4 | 2, body)


def connect(request: Connect) -> bytes:
    """Return a CONNECT."""
    flags = request.clean << 1 | (request.user is not None) << 7 | (request.password is not None) << 6
    if request.will is not None:
        flags |= 0x04 | request.will.qos << 3 | request.will.retain << 5
    body = text("MQTT") + bytes([request.version, flags]) + struct.pack(">H", request.keep_alive)
    if request.version == V5:
        body += properties_of(request.properties)
    body += text(request.client_id)
    if request.will is not None:
        if request.version == V5:
            body += properties_of({WILL_DELAY: request.will.delay} if request.will.delay else {})
        body += text(request.will.topic) + text(request.will.payload)
    if request.user is not None:
        body += text(request.user)
    if request.password is not None:
        body += text(request.password)
    return packet(CONNECT << 4, body)


# --- topics -----------------------------------------------------------------------------------------------------------


def check_filter(name: str) -> None:
    """Raise MqttError unless ``name`` is a topic filter."""
    levels = name.split("/")
    for index, level in enumerate(levels):
        if ("#" in level and (level != "#" or index != len(levels) - 1)) or ("+" in level and level != "+"):
            raise MqttError(FILTER_INVALID, f"{name[:100]!r} is no topic filter", fix="+ and # stand alone in a level")
    if not name:
        raise MqttError(FILTER_INVALID, "an empty topic filter")


def matches(name: str, topic: str) -> bool:
    """Return whether topic filter ``name`` matches ``topic``; wildcards do not reach topics that begin with $."""
    wanted, levels = name.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


def covers(allowed: str, name: str) -> bool:
    """Return whether every topic that filter ``name`` matches is matched by filter ``allowed`` too."""
    wide, narrow = allowed.split("/"), name.split("/")
    if name.startswith("$") and wide[0] in ("+", "#"):
        return False
    for index, level in enumerate(wide):
        if level == "#":
            return True
        if index >= len(narrow) or narrow[index] == "#":
            return False
        if level != "+" and level != narrow[index]:
            return False
    return len(wide) == len(narrow)

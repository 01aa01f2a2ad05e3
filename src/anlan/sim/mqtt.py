"""A field device's MQTT 3.1.1 client: persistent session, QoS 0 and 1, everything unacknowledged sent again.

Written for the simulator on a plain socket, so that what a device does to the gateway's listener is in plain sight.
"""

from __future__ import annotations

import asyncio
import logging
import random
import struct
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 2, 3, 4, 9, 13
WINDOW = 64
BACKLOG = 20_000

OnMessage = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class Will:
    """The message the listener publishes for us when the line breaks."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


@dataclass(slots=True)
class _Message:
    topic: str
    payload: bytes
    acknowledged: Callable[[], None] | None = None
    sent: bool = False


@dataclass
class Counts:
    """What happened on a device's line so far."""

    connects: int = 0
    sent: int = 0
    resent: int = 0
    acknowledged: int = 0
    overflow: int = 0
    refused: int = 0
    details: dict[str, int] = field(default_factory=dict)


class MqttDevice:
    """One device's connection to a listener.

    Args:
        port: loopback port of the listener.
        client_id, user, password: as the site file's connector names them.
        will: called before each connect, for a will that changes (Sparkplug's bdSeq).
        on_connect: awaited after each CONNACK, before anything waiting is sent.
        on_message: called with topic and payload of what arrives on ``subscriptions``.
    """

    def __init__(
        self,
        port: int,
        client_id: str,
        user: str,
        password: str,
        *,
        subscriptions: tuple[str, ...] = (),
        will: Callable[[], Will] | None = None,
        on_connect: Callable[[], Awaitable[None]] | None = None,
        on_message: OnMessage | None = None,
        clean: bool = False,
        keep_alive: int = 30,
    ) -> None:
        self.port = port
        self.client_id = client_id
        self.counts = Counts()
        self.connected = False
        self._user, self._password = user, password
        self._subscriptions = subscriptions
        self._will, self._on_connect, self._on_message = will, on_connect, on_message
        self._clean = clean
        self._keep_alive = keep_alive
        self._writer: asyncio.StreamWriter | None = None
        self._inflight: OrderedDict[int, _Message] = OrderedDict()
        self._waiting: deque[_Message] = deque()
        self._packet = 0

    @property
    def unacknowledged(self) -> int:
        """Messages of QoS 1 not acknowledged yet."""
        return len(self._inflight) + len(self._waiting)

    def publish(self, topic: str, payload: bytes, *, acknowledged: Callable[[], None] | None = None) -> bool:
        """Send with QoS 1 when ``acknowledged`` is given (called once, at the PUBACK), otherwise with QoS 0.

        Returns:
            False if a QoS 0 message was dropped for want of a connection.
        """
        if acknowledged is None:
            if not self.connected or self._writer is None:
                return False
            self._writer.write(publish_packet(topic, payload, 0, 0))
            self.counts.sent += 1
            return True
        if len(self._waiting) >= BACKLOG:
            self._waiting.popleft()
            self.counts.overflow += 1
        self._waiting.append(_Message(topic, payload, acknowledged))
        self._push()
        return True

    def _push(self) -> None:
        while self.connected and self._waiting and len(self._inflight) < WINDOW:
            self._packet = self._packet % 65535 + 1
            while self._packet in self._inflight:
                self._packet = self._packet % 65535 + 1
            message = self._waiting.popleft()
            self._inflight[self._packet] = message
            self._write(self._packet, message)

    def _write(self, packet: int, message: _Message) -> None:
        assert self._writer is not None
        self._writer.write(publish_packet(message.topic, message.payload, 1, packet, duplicate=message.sent))
        self.counts.resent += message.sent
        self.counts.sent += not message.sent
        message.sent = True

    async def run(self) -> None:
        """Stay connected until cancelled: back off 0.2 … 5 s with jitter."""
        delay = 0.2
        try:
            while True:
                try:
                    await self._session()
                except (OSError, asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
                    logger.debug("%s: %s", self.client_id, error)
                delay = 0.2 if self.counts.connects and self.connected else min(delay * 2, 5.0)
                self._lose()
                await asyncio.sleep(delay * random.uniform(0.7, 1.3))
        finally:
            self._lose()

    def _lose(self) -> None:
        self.connected = False
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def drop(self) -> None:
        """Break the line without saying goodbye, as a power failure does."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def close(self) -> None:
        """Say goodbye (no will is published) and close."""
        if self._writer is not None and self.connected:
            with suppress(OSError):
                self._writer.write(b"\xe0\x00")
                await self._writer.drain()
        self._lose()

    async def _session(self) -> None:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), 5)
        self._writer = writer
        writer.write(self._connect_packet())
        kind, _flags, body = await asyncio.wait_for(read_packet(reader), 10)
        if kind != CONNACK or len(body) != 2 or body[1] != 0:
            self.counts.refused += 1
            raise ConnectionRefusedError(f"CONNECT refused: packet {kind}, code {body[1:].hex()}")
        self.connected = True
        self.counts.connects += 1
        if self._subscriptions:
            filters = b"".join(_text(name) + b"\x01" for name in self._subscriptions)
            writer.write(packet_bytes(0x82, struct.pack(">H", 65535) + filters))
        if self._on_connect is not None:
            await self._on_connect()
        for number, message in self._inflight.items():
            self._write(number, message)
        self._push()
        pinging = asyncio.ensure_future(self._ping(writer))
        try:
            while True:
                self._take(*await read_packet(reader))
        finally:
            pinging.cancel()

    async def _ping(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(self._keep_alive / 2)
            writer.write(b"\xc0\x00")

    def _take(self, kind: int, flags: int, body: bytes) -> None:
        if kind == PUBACK:
            message = self._inflight.pop(struct.unpack(">H", body[:2])[0], None)
            if message is not None:
                self.counts.acknowledged += 1
                if message.acknowledged is not None:
                    message.acknowledged()
            self._push()
        elif kind == PUBLISH:
            length = struct.unpack(">H", body[:2])[0]
            topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
            if flags & 0x06:
                assert self._writer is not None
                self._writer.write(packet_bytes(0x40, rest[:2]))
                rest = rest[2:]
            if self._on_message is not None:
                self._on_message(topic, rest)

    def _connect_packet(self) -> bytes:
        flags = 0xC0 | (0x02 if self._clean else 0)
        payload = _text(self.client_id)
        if self._will is not None:
            will = self._will()
            flags |= 0x04 | will.qos << 3 | will.retain << 5
            payload += _text(will.topic) + struct.pack(">H", len(will.payload)) + will.payload
        payload += _text(self._user) + _text(self._password)
        head = _text("MQTT") + bytes([4, flags]) + struct.pack(">H", self._keep_alive)
        return packet_bytes(0x10, head + payload)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def packet_bytes(first: int, body: bytes) -> bytes:
    """Return an MQTT packet: first byte, remaining length, body."""
    length, digits = len(body), bytearray([first])
    while True:
        length, low = divmod(length, 128)
        digits.append(low | (0x80 if length else 0))
        if not length:
            return bytes(digits) + body


def publish_packet(topic: str, payload: bytes, qos: int, packet: int, *, duplicate: bool = False) -> bytes:
    """Return a PUBLISH packet."""
    body = _text(topic) + (struct.pack(">H", packet) if qos else b"") + payload
    return packet_bytes(0x30 | qos << 1 | duplicate << 3, body)


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Return kind, flags and body of the next packet.

    Raises:
        ValueError: the remaining length has more than four bytes.
    """
    first = (await reader.readexactly(1))[0]
    length = 0
    for shift in range(0, 28, 7):
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        if not digit & 0x80:
            break
    else:
        raise ValueError("remaining length too long")
    return first >> 4, first & 0x0F, await reader.readexactly(length)

"""One device's connection to the MQTT listener: signing in, publishing, subscribing, and every way to misbehave."""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
from typing import TYPE_CHECKING, cast

from anlan.core.errors import DecodeError
from anlan.core.time import now_us
from anlan.perceive.connectors import _mqtt_packets as mqtt
from anlan.perceive.connectors._mqtt_broker import Device, Session
from anlan.perceive.connectors._mqtt_packets import MqttError, PacketProtocol, Properties, Reader, Will
from anlan.perceive.connectors._mqtt_packs import Sink, Token

if TYPE_CHECKING:
    from anlan.perceive.connectors.mqtt import MqttConnector

logger = logging.getLogger(__name__)

FIRST_PACKET = 64 << 10
MOST_TOPICS = 5_000
MOST_ALIASES = 64
REFUSAL_DELAY_S = 0.5
STALL_S = 30.0
SLOWEST_BYTES_PER_S = 1_000
WRITE_HIGH = 256 << 10
FOR_EVER = 0xFFFFFFFF


class _Topic:
    """What this connection knows of a topic it publishes to."""

    __slots__ = ("allowed", "name", "sink")

    def __init__(self, name: str, allowed: bool, sink: Sink | None) -> None:
        self.name = name
        self.allowed = allowed
        self.sink = sink


class Connection(PacketProtocol):
    """Serves one client. State: waiting for CONNECT, signing in, open, closed."""

    def __init__(self, listener: MqttConnector) -> None:
        super().__init__(FIRST_PACKET)
        self._listener = listener
        self._queue = listener.queue
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._last_seen = self._began
        self._peer = ""
        self._state = "new"
        self._device: Device | None = None
        self._session: Session | None = None
        self._will: Will | None = None
        self._keep_alive = 0.0
        self._topics: dict[bytes, _Topic] = {}
        self._aliases: dict[int, bytes] = {}
        self._out = bytearray()
        self._waiting = 0
        self._most_waiting = 1 << 30
        self._send_quota = 0xFFFF
        self._largest_out = 0
        self._writable = True
        self._reading = True
        self._tasks: set[asyncio.Task[None]] = set()

    # --- transport ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or drop it at once when its peer may not connect."""
        # uvloop's transports are not of asyncio's class, they only act like it.
        transport = cast(asyncio.Transport, transport)
        self._transport = transport
        name = transport.get_extra_info("peername")
        self._peer = str(name[0]) if name else ""
        if not self._listener.admits(self._peer):
            self._listener.counts["refused"] += 1
            self._state = "closed"
            transport.abort()
            return
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._listener.connections.add(self)
        if not self._listener.context.gateway.has_room:
            self.set_reading(False)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self._last_seen = self._loop.time()
        if self._state != "closed":
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: keep or end the session, publish the will."""
        self._state = "closed"
        self._listener.connections.discard(self)
        session, self._session = self._session, None
        if session is None or session.connection is not self:
            return
        session.connection = None
        now = self._loop.time()
        will, self._will = self._will, None
        if will is not None:
            delay = min(will.delay, session.expiry)
            self._loop.call_later(delay, self._publish_will, session, will)
        if session.expiry == 0:
            self._listener.broker.end(session)
            return
        for message in session.unacked.values():
            session.offline.appendleft(message)
        session.unacked.clear()
        session.ends = 0.0 if session.expiry == FOR_EVER else now + session.expiry

    def pause_writing(self) -> None:
        """The client does not read: take nothing more from it, and drop what it may lose."""
        self._writable = False
        self._apply_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._writable = True
        self._apply_reading()

    def set_reading(self, has_room: bool) -> None:
        """Read or not, as the gateway's byte budget allows."""
        self._reading = has_room
        self._apply_reading()

    def _apply_reading(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        wanted = self._reading and self._writable and not self.holding
        if wanted and not transport.is_reading():
            transport.resume_reading()
        elif not wanted and transport.is_reading():
            transport.pause_reading()

    def look_after(self, now: float) -> None:
        """Close what has gone silent, does not sign in, or trickles."""
        if self._state == "new" and now - self._began > self._listener.connect_timeout:
            self._slow("did not sign in in time")
        elif self.partial_since and not self.holding and self._reading and self._writable:
            allowed = STALL_S + len(self._rest) / SLOWEST_BYTES_PER_S
            if now - self.partial_since > min(allowed, self._patience):
                self._slow("an unfinished packet for too long")
        elif self._keep_alive and self._reading and self._writable and now - self._last_seen > self._keep_alive:
            self._close(mqtt.KEEP_ALIVE, "nothing heard for one and a half times the keep-alive")

    @property
    def _patience(self) -> float:
        return self._listener.connect_timeout if self._state == "new" else float("inf")

    def shut_down(self) -> None:
        """Close because the listener stops; the will is not published, the device is not at fault."""
        self._will = None
        self._close(mqtt.SHUTTING_DOWN, "the gateway stops or is set up anew")

    def _slow(self, reason: str) -> None:
        self._listener.counts["slow"] += 1
        self._close(mqtt.KEEP_ALIVE, reason)

    def _close(self, code: int, reason: str) -> None:
        transport = self._transport
        if transport is None or self._state == "closed":
            return
        logger.debug("%s: closing %s: %s", self._listener.context.spec.id, self._peer, reason)
        if self._state == "open" and self.version == mqtt.V5 and self._writable:
            transport.write(mqtt.disconnect(code, reason))
        self._state = "closed"
        transport.close()
        # A client that does not read would keep the socket for ever.
        self._loop.call_later(2.0, transport.abort)

    def on_error(self, error: MqttError, data: bytes) -> None:
        """A packet cannot be read: say why if the version can, close."""
        if self._state == "new":
            if error.reason == mqtt.UNSUPPORTED_VERSION and self._transport is not None:
                self._transport.write(mqtt.connack(mqtt.V311, False, error.reason, {}))
            self._listener.counts["refused"] += 1
        self._listener.malformed(data, error, self._peer)
        self._close(error.reason, str(error))

    # --- publishing -----------------------------------------------------------------------------------------------

    def on_publish(
        self, flags: int, topic: bytes, identifier: int, payload: bytes, properties: Properties | None
    ) -> None:
        """Queue a message; it is acknowledged when the log has it."""
        if self._state != "open":
            raise MqttError(mqtt.PROTOCOL_ERROR, "PUBLISH before CONNECT")
        if properties is not None:
            topic = self._resolve_alias(topic, properties)
        known = self._topics.get(topic)
        if known is None:
            known = self._learn_topic(topic)
        token = None
        if flags & 0x06:
            if flags & 0x04:
                raise MqttError(mqtt.QOS_UNSUPPORTED, "QoS 2 is not offered", where=known.name, fix="QoS 0 or 1")
            self._waiting += 1
            if self._waiting > self._most_waiting:
                raise MqttError(mqtt.RECEIVE_MAXIMUM, f"more than {self._most_waiting} unacknowledged messages")
            token = Token(self, identifier)
        if not known.allowed:
            self._not_authorized(known, token)
            return
        wanted = False
        if flags & 0x01 or self._listener.broker.subscriptions.count:
            wanted = self._listener.publish(known.name, payload, flags >> 1 & 3, bool(flags & 0x01))
        if known.sink is None:
            if not wanted and not flags & 0x01:
                self._listener.context.unmapped(known.name)
            if token is not None:
                code = mqtt.SUCCESS if wanted else mqtt.NO_SUBSCRIBERS
                self._queue.put(None, b"", now_us(), False, token._replace(code=code))
            return
        self._queue.put(known.sink, payload, now_us(), bool(flags & 0x08), token)

    def _not_authorized(self, known: _Topic, token: Token | None) -> None:
        self._listener.counts["not_authorized"] += 1
        user = self._device.user if self._device is not None else ""
        error = MqttError(
            mqtt.NOT_AUTHORIZED, f"{user} may not publish there", where=known.name, fix="its topics in the site file"
        )
        if self.version != mqtt.V5:
            raise error  # 3.1.1 has no other way to say no
        self._listener.context.dead_letter(known.name.encode(), error, source=self._peer)
        if token is not None:
            self._queue.put(None, b"", now_us(), False, token._replace(code=mqtt.NOT_AUTHORIZED))

    def _learn_topic(self, topic: bytes) -> _Topic:
        try:
            name = topic.decode()
        except UnicodeDecodeError as error:
            raise MqttError(mqtt.TOPIC_INVALID, f"the topic is no UTF-8: {topic[:40]!r}") from error
        if not name or "\0" in name or "+" in name or "#" in name:
            raise MqttError(mqtt.TOPIC_INVALID, f"{name[:100]!r} is no topic to publish to")
        allowed = self._device is not None and self._device.may_publish(name)
        sink = None
        if allowed:
            try:
                sink = self._listener.payloads.sink(name)
            except DecodeError as error:
                self._listener.context.dead_letter(topic, error, source=name)
        if len(self._topics) >= MOST_TOPICS:
            self._topics.clear()
        known = self._topics[topic] = _Topic(name, allowed, sink)
        return known

    def _resolve_alias(self, topic: bytes, properties: Properties) -> bytes:
        alias = properties.get(mqtt.TOPIC_ALIAS)
        if alias is None:
            if not topic:
                raise MqttError(mqtt.PROTOCOL_ERROR, "a PUBLISH with neither topic nor alias")
            return topic
        number = int(alias)
        if not 1 <= number <= MOST_ALIASES:
            raise MqttError(mqtt.ALIAS_INVALID, f"topic alias {number}", fix=f"1 to {MOST_ALIASES}")
        if topic:
            self._aliases[number] = topic
            return topic
        if number not in self._aliases:
            raise MqttError(mqtt.PROTOCOL_ERROR, f"topic alias {number} was never set")
        return self._aliases[number]

    def acknowledge(self, identifier: int, code: int) -> None:
        """Gather a PUBACK."""
        self._waiting -= 1
        if code and self.version == mqtt.V5:
            self._out += mqtt.puback(self.version, identifier, code)
        else:
            self._out += _PUBACK.pack(0x40, 2, identifier)

    def flush(self) -> None:
        """Write what was gathered."""
        out = bytes(self._out)
        self._out.clear()
        if self._transport is not None and self._state == "open":
            self._transport.write(out)

    # --- other packets --------------------------------------------------------------------------------------------

    def on_packet(self, kind: int, flags: int, data: bytes, start: int, end: int) -> None:
        """Take any packet but PUBLISH."""
        if self._state == "new":
            if kind != mqtt.CONNECT or flags:
                raise MqttError(mqtt.PROTOCOL_ERROR, "the first packet is no CONNECT")
            self._connect(mqtt.parse_connect(data, start, end))
            return
        if kind == mqtt.PINGREQ:
            self._write(b"\xd0\x00")
        elif kind == mqtt.PUBACK:
            self._delivered(Reader(data, start, end, "PUBACK").word())
        elif kind == mqtt.SUBSCRIBE and flags == 2:
            self._subscribe(Reader(data, start, end, "SUBSCRIBE"))
        elif kind == mqtt.UNSUBSCRIBE and flags == 2:
            self._unsubscribe(Reader(data, start, end, "UNSUBSCRIBE"))
        elif kind == mqtt.DISCONNECT:
            self._disconnect(Reader(data, start, end, "DISCONNECT"))
        elif kind == mqtt.AUTH:
            raise MqttError(mqtt.BAD_METHOD, "enhanced authentication is not offered")
        else:
            raise MqttError(mqtt.PROTOCOL_ERROR, f"packet type {kind} with flags {flags} has no place here")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and self._state != "closed":
            self._transport.write(data)

    def _connect(self, request: mqtt.Connect) -> None:
        self.version = request.version
        self._state = "signing-in"
        self.hold()
        self._apply_reading()
        task = asyncio.ensure_future(self._sign_in(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sign_in(self, request: mqtt.Connect) -> None:
        device = await self._listener.credentials.check(request.user, request.password, self._peer)
        if self._state == "closed":
            return
        try:
            if device is None:
                await asyncio.sleep(REFUSAL_DELAY_S)  # slows down guessing
                raise MqttError(mqtt.BAD_CREDENTIALS, "wrong user or password", where=request.user or "no user")
            if request.will is not None and not device.may_publish(request.will.topic):
                raise MqttError(mqtt.NOT_AUTHORIZED, "the will's topic is not this device's", where=request.will.topic)
            if request.will is not None and request.will.qos == 2 and self.version == mqtt.V5:
                raise MqttError(mqtt.QOS_UNSUPPORTED, "a will of QoS 2", where=request.will.topic)
            self._open(request, device)
        except MqttError as error:
            self._listener.counts["refused"] += 1
            self._listener.context.dead_letter(request.client_id.encode()[:256], error, source=self._peer)
            self._write(mqtt.connack(self.version, False, error.reason, {}))
            self._close(error.reason, str(error))

    def _open(self, request: mqtt.Connect, device: Device) -> None:
        listener = self._listener
        client_id, answer = request.client_id, self._offer()
        if not client_id:
            if self.version != mqtt.V5 and not request.clean:
                raise MqttError(mqtt.CLIENT_ID_INVALID, "no client id, yet a session to be kept")
            client_id = f"anlan-{secrets.token_hex(8)}"
            answer[mqtt.ASSIGNED_ID] = client_id
        expiry = 0 if request.clean else listener.session_expiry
        if self.version == mqtt.V5:
            asked = int(request.properties.get(mqtt.SESSION_EXPIRY, 0))
            expiry = min(asked, listener.session_expiry)
            if expiry != asked:
                answer[mqtt.SESSION_EXPIRY] = expiry
        before = listener.broker.sessions.get(client_id)
        if before is not None and before.user == device.user and isinstance(before.connection, Connection):
            before.connection.taken_over()
        session, present = listener.broker.session(client_id, device.user, request.clean, expiry)
        session.connection = self
        self._session, self._device, self._will = session, device, request.will
        self._keep_alive = request.keep_alive * 1.5
        self._send_quota = int(request.properties.get(mqtt.RECEIVE_MAXIMUM_PROPERTY, 0xFFFF))
        self._largest_out = int(request.properties.get(mqtt.MAXIMUM_PACKET, 0))
        if self.version == mqtt.V5:
            self._most_waiting = listener.receive_maximum
        self.largest = listener.largest
        self._state = "open"
        listener.counts["connected"] += 1
        self._write(mqtt.connack(self.version, present, mqtt.SUCCESS, answer))
        self._send_waiting(session)
        self.resume()
        self._apply_reading()

    def _offer(self) -> Properties:
        listener = self._listener
        return {
            mqtt.RECEIVE_MAXIMUM_PROPERTY: listener.receive_maximum,
            mqtt.MAXIMUM_QOS: 1,
            mqtt.MAXIMUM_PACKET: listener.largest,
            mqtt.ALIAS_MAXIMUM: MOST_ALIASES,
            mqtt.SUBSCRIPTION_IDS_AVAILABLE: 0,
            mqtt.SHARED_AVAILABLE: 0,
        }

    def taken_over(self) -> None:
        """The same client has connected anew: this connection ends now, its will is published."""
        session, self._session = self._session, None
        will, self._will = self._will, None
        if session is not None:
            session.connection = None
            if will is not None:
                self._publish_will(session, will)
        self._close(mqtt.TAKEN_OVER, "the client has connected anew")

    def _publish_will(self, session: Session, will: Will) -> None:
        if will.delay and session.connection is not None:
            return  # it came back within the delay
        self._listener.will(session, will.topic, will.payload, min(will.qos, 1), will.retain)

    def _disconnect(self, reader: Reader) -> None:
        code = reader.byte() if self.version == mqtt.V5 and reader.position < reader.end else 0
        if self.version == mqtt.V5 and reader.position < reader.end and self._session is not None:
            expiry = reader.properties().get(mqtt.SESSION_EXPIRY)
            if expiry is not None and self._session.expiry:
                self._session.expiry = min(int(expiry), self._listener.session_expiry)
        if code != mqtt.WITH_WILL:
            self._will = None
        self._state = "closed"
        if self._transport is not None:
            self._transport.close()

    # --- subscribing ----------------------------------------------------------------------------------------------

    def _subscribe(self, reader: Reader) -> None:
        identifier = reader.word()
        if self.version == mqtt.V5:
            reader.properties()
        codes = bytearray()
        granted: list[tuple[str, int, bool, int]] = []
        session = self._session
        assert session is not None
        while reader.position < reader.end:
            name, options = reader.text(), reader.byte()
            code = self._grant(session, name, options)
            if code < 0x80:
                granted.append((name, code, name in session.subscriptions, options >> 4 & 3))
                self._listener.broker.subscriptions.add(name, session, code)
            codes.append(code if self.version == mqtt.V5 or code < 0x80 else 0x80)
        if not codes:
            raise MqttError(mqtt.PROTOCOL_ERROR, "a SUBSCRIBE without a filter")
        properties = b"\0" if self.version == mqtt.V5 else b""
        self._write(mqtt.packet(mqtt.SUBACK << 4, struct.pack(">H", identifier) + properties + bytes(codes)))
        for name, qos, existed, handling in granted:
            if self.version == mqtt.V5 and (handling == 2 or (handling == 1 and existed)):
                continue
            for topic, payload, level in self._listener.broker.retained.matching(name):
                self.deliver(session, topic.encode(), payload, min(level, qos), retain=True)

    def _grant(self, session: Session, name: str, options: int) -> int:
        assert self._device is not None
        if name.startswith("$share/"):
            return mqtt.SHARED_UNSUPPORTED
        try:
            mqtt.check_filter(name)
        except MqttError:
            return mqtt.FILTER_INVALID
        if len(session.subscriptions) >= 1_000:
            return mqtt.QUOTA
        if not self._device.may_subscribe(name):
            self._listener.counts["not_authorized"] += 1
            return mqtt.NOT_AUTHORIZED
        return min(options & 3, 1)

    def _unsubscribe(self, reader: Reader) -> None:
        identifier = reader.word()
        if self.version == mqtt.V5:
            reader.properties()
        assert self._session is not None
        codes = bytearray()
        while reader.position < reader.end:
            found = self._listener.broker.subscriptions.remove(reader.text(), self._session)
            codes.append(mqtt.SUCCESS if found else mqtt.NO_SUBSCRIPTION)
        tail = b"\0" + bytes(codes) if self.version == mqtt.V5 else b""
        self._write(mqtt.packet(mqtt.UNSUBACK << 4, struct.pack(">H", identifier) + tail))

    def deliver(self, session: Session, topic: bytes, payload: bytes, qos: int, retain: bool) -> None:
        """Send a message to this client; QoS 0 is dropped when it does not read, QoS 1 waits for its quota."""
        if self._largest_out and len(topic) + len(payload) + 16 > self._largest_out:
            return
        if not qos:
            if self._writable:
                self._write(mqtt.publish(self.version, topic, payload, 0, retain, 0))
            return
        if len(session.unacked) >= min(self._send_quota, 1_000) or not self._writable:
            session.offline.append((topic, payload, retain))
            return
        identifier = session.identifier()
        session.unacked[identifier] = (topic, payload, retain)
        self._write(mqtt.publish(self.version, topic, payload, 1, retain, identifier))

    def _send_waiting(self, session: Session) -> None:
        for _ in range(len(session.offline)):
            topic, payload, retain = session.offline.popleft()
            self.deliver(session, topic, payload, 1, retain)

    def _delivered(self, identifier: int) -> None:
        session = self._session
        if session is None:
            return
        session.unacked.pop(identifier, None)
        if session.offline and self._writable:
            topic, payload, retain = session.offline.popleft()
            self.deliver(session, topic, payload, 1, retain)


_PUBACK = struct.Struct(">BBH")

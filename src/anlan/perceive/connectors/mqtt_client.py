"""MQTT client of somebody else's broker: the same formats as the listener, acknowledged after the log has the samples.

Messages of QoS 1 are acknowledged to the broker by hand when the log has them, so with a persistent session the broker
keeps what it sent while the gateway or the log was away.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.time import now_us
from anlan.perceive.connector import Arrival, Context, Grade, Manifest, Option, keep_connected
from anlan.perceive.connectors import _mqtt_packets as mqtt
from anlan.perceive.connectors._mqtt_packets import MqttError, PacketProtocol, Properties
from anlan.perceive.connectors._mqtt_packs import PackQueue, Payloads, Sink, Token
from anlan.perceive.connectors._options import Options
from anlan.perceive.context import GatewayContext
from anlan.plant.model import ConnectorSpec

logger = logging.getLogger(__name__)

MANIFEST = Manifest(
    kind="mqtt-client",
    name="MQTT client",
    name_zh="MQTT 客户端",
    arrival=Arrival.PUSH,
    grade=Grade.GOLD,
    options=(
        Option("url", "text", "The broker: mqtt://HOST[:PORT], or mqtts:// with TLS.", required=True),
        Option("version", "text", "Protocol version.", default="3.1.1", choices=("3.1.1", "5")),
        Option(
            "client_id", "text", "Client id; the broker keeps the session under it. anlan-NODE-CONNECTOR by default."
        ),
        Option("user", "text", "User name."),
        Option("password", "text", "Name of the secret that holds the password.", secret=True),
        Option("tls", "mapping", "ca, certificate and key: PEM files; without ca the system's authorities count."),
        Option("topics", "list", "Filters to subscribe to; those of the payloads and mapped topics by default."),
        Option("qos", "integer", "QoS to subscribe with.", default=1, choices=("0", "1")),
        Option("keep_alive", "duration", "Longest silence towards the broker.", default="30 s"),
        Option("payloads", "list", "topic pattern and format (json, senml, sparkplug) with the format's options."),
        Option("max_packet", "integer", "Longest packet taken, bytes.", default=4 << 20),
        Option("timezone", "text", "Zone of JSON times without offset.", default="UTC"),
    ),
    tag=(
        Option("topic", "text", "JSON: topic."),
        Option("field", "text", "JSON: dotted path of the field."),
        Option("name", "text", "SenML: resolved name."),
        Option("group", "text", "Sparkplug: group id."),
        Option("node", "text", "Sparkplug: edge node id."),
        Option("device", "text", "Sparkplug: device id, empty for the node's own metrics."),
        Option("metric", "text", "Sparkplug: metric name."),
    ),
    gaps="No QoS 2 subscriptions. The same of Sparkplug and SenML as with the listener.",
    limits="One broker a connector.",
)

SESSION_EXPIRY_S = 7 * 86_400
CONNECT_TIMEOUT_S = 10.0


class MqttClientConnector:
    """Subscribes at a broker."""

    MANIFEST = MANIFEST

    def __init__(self, spec: ConnectorSpec, context: Context) -> None:
        if not isinstance(context, GatewayContext):
            raise InvalidInputError("an MQTT client needs the gateway's own context", where=spec.id)
        self.context = context
        options = Options(spec)
        self.host, self.port, secure = _address(options.text("url"), spec.id)
        self.version = mqtt.V5 if options.choice("version", ("3.1.1", "5"), "3.1.1") == "5" else mqtt.V311
        self.client_id = options.text("client_id", f"anlan-{context.node}-{spec.id}")
        self.user = options.text("user", "")
        self.password = context.secret(options.text("password")) if options.raw("password") else ""
        self.keep_alive = max(1, int(options.seconds("keep_alive", "30 s")))
        self.largest = options.integer("max_packet", 4 << 20, 1 << 10, 64 << 20)
        self.qos = options.integer("qos", 1, 0, 1)
        self._tls = _tls(options.raw("tls", {}), context, spec.id) if secure else None
        zone = ZoneInfo(options.text("timezone", "UTC"))
        self.payloads = Payloads(spec.map, context.numbers, options.raw("payloads", []), zone)
        self.filters = _filters(options.raw("topics", []), self.payloads, spec.id)
        self.session: _Session | None = None
        self.queue = PackQueue(context, self.payloads, self._answer)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        release = self.context.gateway.on_room(self._room)
        try:
            await keep_connected(self.context, self._serve)
        finally:
            release()
            self.queue.close()

    async def run_again(self, raw: bytes, source: str) -> int:
        """Take a mended message."""
        return await self.queue.run_again(raw, source)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, session = await loop.create_connection(
                lambda: _Session(self),
                self.host,
                self.port,
                ssl=self._tls,
                server_hostname=self.host if self._tls else None,
            )
        self.session = session
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await session.subscribed
            self.context.up()
            await session.serve(self.keep_alive / 2)
        finally:
            self.session = None
            session.close()

    def _room(self, has_room: bool) -> None:
        if self.session is not None:
            self.session.set_reading(has_room)

    def _answer(self, topic: str, payload: bytes) -> None:
        if self.session is not None:
            self.session.publish(topic, payload)


class _Session(PacketProtocol):
    """One connection to the broker."""

    def __init__(self, connector: MqttClientConnector) -> None:
        super().__init__(connector.largest)
        self.version = connector.version
        self._connector = connector
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self.subscribed: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._sinks: dict[bytes, Sink | None] = {}
        self._aliases: dict[int, bytes] = {}
        self._out = bytearray()
        self._pinged = False

    async def serve(self, interval: float) -> None:
        """Ping and return or raise when the broker is gone.

        Args:
            interval: seconds between pings.
        """
        while True:
            done, _ = await asyncio.wait({self._ended}, timeout=interval)
            if done:
                self._ended.result()
                return
            if self._pinged and self._connector.context.gateway.has_room:
                raise ConnectionError("the broker does not answer pings")
            self._pinged = True
            self._write(b"\xc0\x00")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sign in."""
        self._transport = cast(asyncio.Transport, transport)
        connector = self._connector
        properties: Properties = {mqtt.SESSION_EXPIRY: SESSION_EXPIRY_S} if self.version == mqtt.V5 else {}
        self._write(
            mqtt.connect(
                mqtt.Connect(
                    self.version,
                    connector.client_id,
                    False,
                    connector.keep_alive,
                    properties,
                    None,
                    connector.user or None,
                    connector.password.encode() if connector.user else None,
                )
            )
        )
        if not connector.context.gateway.has_room:
            self.set_reading(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        self._end(exc or ConnectionError("the broker closed the connection"))

    def _end(self, reason: Exception) -> None:
        for future in (self.subscribed, self._ended):
            if not future.done():
                future.set_exception(reason)
                future.exception()

    def close(self) -> None:
        """Say goodbye; the broker keeps the session."""
        if self._transport is not None and not self._transport.is_closing():
            self._write(b"\xe0\x00")
            self._transport.close()
        self._transport = None

    def set_reading(self, has_room: bool) -> None:
        """Read or not, as the byte budget allows."""
        if self._transport is None or self._transport.is_closing():
            return
        if has_room and not self._transport.is_reading():
            self._transport.resume_reading()
        elif not has_room and self._transport.is_reading():
            self._transport.pause_reading()

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message of QoS 0."""
        self._write(mqtt.publish(self.version, topic.encode(), payload, 0, False, 0))

    def acknowledge(self, identifier: int, code: int) -> None:
        """Gather a PUBACK."""
        self._out += mqtt.puback(self.version, identifier, code)

    def flush(self) -> None:
        """Write what was gathered."""
        out = bytes(self._out)
        self._out.clear()
        self._write(out)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def on_error(self, error: MqttError, data: bytes) -> None:
        """The broker's stream cannot be read."""
        self._connector.context.dead_letter(data[:4096], error, source=self._connector.host)
        self._end(error)

    def on_publish(
        self, flags: int, topic: bytes, identifier: int, payload: bytes, properties: Properties | None
    ) -> None:
        """Queue a message."""
        if properties is not None and (alias := properties.get(mqtt.TOPIC_ALIAS)) is not None:
            if topic:
                self._aliases[int(alias)] = topic
            elif (topic := self._aliases.get(int(alias), b"")) == b"":
                raise MqttError(mqtt.PROTOCOL_ERROR, f"topic alias {int(alias)} was never set")
        if flags & 0x04:
            raise MqttError(mqtt.QOS_UNSUPPORTED, "the broker sent QoS 2, which was not asked for")
        if topic not in self._sinks:
            self._learn(topic)
        sink = self._sinks[topic]
        token = Token(self, identifier) if flags & 0x06 else None
        repeated = bool(flags & 0x08)
        if sink is None:
            self._connector.context.unmapped(topic.decode("utf-8", "replace"))
            if token is not None:
                self._connector.queue.put(None, b"", now_us(), repeated, token)
            return
        self._connector.queue.put(sink, payload, now_us(), repeated, token)

    def _learn(self, topic: bytes) -> None:
        if len(self._sinks) > 100_000:
            self._sinks.clear()
        name = topic.decode("utf-8", "replace")
        try:
            self._sinks[topic] = self._connector.payloads.sink(name)
        except DecodeError as error:
            self._sinks[topic] = None
            self._connector.context.dead_letter(topic, error, source=name)

    def on_packet(self, kind: int, flags: int, data: bytes, start: int, end: int) -> None:
        """Take CONNACK, SUBACK, PINGRESP, DISCONNECT."""
        reader = mqtt.Reader(data, start, end, "the broker's packet")
        if kind == mqtt.CONNACK:
            reader.byte()
            code = reader.byte()
            if code:
                self._end(ConnectionRefusedError(f"the broker refuses with code {code}"))
                return
            filters = [(name, self._connector.qos) for name in self._connector.filters]
            self._write(mqtt.subscribe(self.version, 1, filters))
        elif kind == mqtt.SUBACK:
            reader.word()
            if self.version == mqtt.V5:
                reader.properties()
            self._check_granted(reader.take(end - reader.position))
        elif kind == mqtt.PINGRESP:
            self._pinged = False
        elif kind == mqtt.DISCONNECT:
            code = reader.byte() if start < end else 0
            self._end(ConnectionError(f"the broker ends the connection with code {code:#x}"))

    def _check_granted(self, codes: bytes) -> None:
        refused = [name for name, code in zip(self._connector.filters, codes, strict=False) if code >= 0x80]
        if refused:
            self._end(PermissionError(f"the broker refuses to let us subscribe to {', '.join(refused)}"))
        elif not self.subscribed.done():
            self.subscribed.set_result(None)


def _filters(declared: Any, payloads: Payloads, identity: str) -> list[str]:
    where = f"connectors/{identity}/topics"
    if not isinstance(declared, list):
        raise InvalidInputError("topics is no list", where=where, fix="- plant/#")
    names = [str(name) for name in declared] or payloads.topics()
    if not names:
        raise InvalidInputError("nothing to subscribe to", where=where, fix="map points, or list topics")
    for name in names:
        try:
            mqtt.check_filter(name)
        except DecodeError as error:
            raise InvalidInputError(error.message, where=where, fix=error.fix) from error
    return names


def _address(url: str, identity: str) -> tuple[str, int, bool]:
    """Return host, port and whether TLS is wanted."""
    parts = urlsplit(url if "://" in url else f"mqtt://{url}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == 0:
        where = f"connectors/{identity}/url"
        raise InvalidInputError(f"{url!r} is no broker", where=where, fix="mqtt://HOST:PORT or mqtts://HOST:PORT")
    secure = parts.scheme == "mqtts"
    return parts.hostname, port or (8883 if secure else 1883), secure


def _tls(values: Any, context: GatewayContext, identity: str) -> ssl.SSLContext:
    base = context.site.parent if context.site.suffix else context.site
    try:
        made = ssl.create_default_context(cafile=base / str(values["ca"]) if values.get("ca") else None)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if values.get("certificate"):
            made.load_cert_chain(base / Path(str(values["certificate"])), base / Path(str(values["key"])))
    except (KeyError, AttributeError, TypeError, OSError, ssl.SSLError) as error:
        where = f"connectors/{identity}/tls"
        raise InvalidInputError(
            f"TLS cannot be set up: {error}", where=where, fix="ca, certificate, key: PEM"
        ) from error
    return made

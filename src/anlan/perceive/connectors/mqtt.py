"""MQTT listener: devices publish straight to the gateway, and are acknowledged only after the log has acknowledged.

MQTT 3.1.1 and 5.0, QoS 0 and 1, retained messages, last will, persistent sessions, topic aliases, TLS, credentials and
topics for each device. What devices subscribe to is served too (host state, a rebirth request), but no client can send
a command to another through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import ssl
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.time import now_us
from anlan.perceive.connector import Arrival, Context, Grade, Manifest, Option, keep_connected
from anlan.perceive.connectors._mqtt_broker import Broker, Credentials, Device, Session, inside, networks
from anlan.perceive.connectors._mqtt_connection import Connection
from anlan.perceive.connectors._mqtt_packets import check_filter
from anlan.perceive.connectors._mqtt_packs import PackQueue, Payloads
from anlan.perceive.connectors._options import Options
from anlan.perceive.context import GatewayContext
from anlan.perceive.decoders.sparkplug import NAMESPACE
from anlan.plant.model import ConnectorSpec

logger = logging.getLogger(__name__)

LOOK_S = 1.0

MANIFEST = Manifest(
    kind="mqtt",
    name="MQTT listener",
    name_zh="MQTT 接入",
    arrival=Arrival.PUSH,
    grade=Grade.GOLD,
    options=(
        Option("host", "text", "Address to listen on.", default="127.0.0.1"),
        Option("port", "integer", "Port to listen on.", default=1883),
        Option("tls", "mapping", "certificate, key and optionally client_ca: PEM files."),
        Option("devices", "list", "user, password (name of a secret), topics, subscribe, peers of each device."),
        Option("peers", "list", "Networks that may connect at all; needed beyond loopback without TLS."),
        Option("payloads", "list", "topic pattern and format (json, senml, sparkplug) with the format's options."),
        Option("max_packet", "integer", "Longest packet taken, bytes.", default=4 << 20),
        Option("max_connections", "integer", "Most connections at a time.", default=5000),
        Option(
            "receive_maximum", "integer", "Unacknowledged QoS 1 messages a version 5 client may have.", default=1000
        ),
        Option("session_expiry", "duration", "Longest a session outlives its connection.", default="1 d"),
        Option("connect_timeout", "duration", "Time a client has to sign in.", default="10 s"),
        Option("sparkplug_host", "text", "Id announced as Sparkplug host application; the node's own by default."),
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
    gaps="No QoS 2 (refused), no shared subscriptions, no subscription identifiers, no enhanced authentication. "
    "Sessions and retained messages do not outlive the gateway. Sparkplug DataSet, Template, Bytes and File count as "
    "unmapped; 64-bit integers beyond 2^53 lose their last digits. SenML units are not checked against the point's.",
    limits="Packets up to max_packet, 1 000 messages waiting for an absent client, 10 000 retained topics.",
)


class MqttConnector:
    """Listens for devices."""

    MANIFEST = MANIFEST

    def __init__(self, spec: ConnectorSpec, context: Context) -> None:
        if not isinstance(context, GatewayContext):
            raise InvalidInputError("an MQTT listener needs the gateway's own context", where=spec.id)
        self._context = context
        options = Options(spec)
        self.host, self.port = options.text("host", "127.0.0.1"), options.integer("port", 1883, 0, 65535)
        self.largest = options.integer("max_packet", 4 << 20, 1 << 10, 64 << 20)
        self.most_connections = options.integer("max_connections", 5000, 1, 100_000)
        self.receive_maximum = options.integer("receive_maximum", 1000, 1, 65535)
        self.session_expiry = int(options.seconds("session_expiry", "1 d"))
        self.connect_timeout = options.seconds("connect_timeout", "10 s")
        self.host_id = options.text("sparkplug_host", context.node)
        self.peers = networks(options.raw("peers", []), f"connectors/{spec.id}/peers")
        self._tls = _tls(options.raw("tls"), context, spec.id)
        devices = _devices(options.raw("devices", []), context, spec.id)
        self._check_exposure(devices, spec.id)
        self.credentials = Credentials(devices)
        zone = ZoneInfo(options.text("timezone", "UTC"))
        self.payloads = Payloads(spec.map, context.numbers, options.raw("payloads", []), zone)
        self.broker = Broker()
        self.connections: set[Connection] = set()
        self.counts = {"connected": 0, "refused": 0, "malformed": 0, "not_authorized": 0, "slow": 0}
        self.queue = PackQueue(context, self.payloads, self.answer)

    @property
    def context(self) -> GatewayContext:
        """The connector's context."""
        return self._context

    async def run(self) -> None:
        """Listen until cancelled."""
        release = self._context.gateway.on_room(self._room)
        try:
            await keep_connected(self._context, self._listen, first_delay=0.5, longest_delay=10.0)
        finally:
            release()
            self.queue.close()

    async def run_again(self, raw: bytes, source: str) -> int:
        """Take a mended message."""
        return await self.queue.run_again(raw, source)

    # --- what connections use -------------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> bool:
        """Give a message to who subscribed, keep it when retained; True when somebody wanted it."""
        if retain:
            self.broker.retained.put(topic, payload, qos)
        if not self.broker.subscriptions.count:
            return False
        targets = self.broker.subscriptions.matching(topic)
        self.broker.distribute(topic, payload, qos, targets)
        return bool(targets)

    def answer(self, topic: str, payload: bytes) -> None:
        """Send a message of the gateway's own: a request for rebirth."""
        self.publish(topic, payload, 0, retain=False)

    def will(self, session: Session, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Publish a client's will; a Sparkplug NDEATH also goes the way of samples."""
        self.publish(topic, payload, qos, retain)
        with contextlib.suppress(DecodeError):
            sink = self.payloads.sink(topic)
            if sink is not None:
                self.queue.put(sink, payload, now_us(), repeated=True, token=None)

    def malformed(self, raw: bytes, error: Exception, peer: str) -> None:
        """Count and keep what cannot be read as MQTT."""
        self.counts["malformed"] += 1
        self._context.dead_letter(raw[:4096], error, source=peer)

    # --- listening ------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(self),
            self.host,
            self.port,
            ssl=self._tls,
            ssl_handshake_timeout=self.connect_timeout if self._tls else None,
            backlog=1024,
        )
        self.port = server.sockets[0].getsockname()[1]
        state = msgspec.json.encode({"online": True, "timestamp": now_us() // 1_000})
        self.broker.retained.put(f"{NAMESPACE}/STATE/{self.host_id}", state, 1)
        self._context.details["port"] = self.port
        self._context.up()
        try:
            while True:
                self._look_after()
                await asyncio.sleep(LOOK_S)
        finally:
            server.close()
            for connection in list(self.connections):
                connection.shut_down()

    def _look_after(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self.connections):
            connection.look_after(now)
        self.broker.expire(now)
        self._context.details.update(self.counts)
        self._context.details.update(
            connections=len(self.connections),
            sessions=len(self.broker.sessions),
            retained=len(self.broker.retained),
            sparkplug_nodes=self.payloads.sparkplug.online(),
        )

    def _room(self, has_room: bool) -> None:
        for connection in self.connections:
            connection.set_reading(has_room)

    def _check_exposure(self, devices: list[Device], identity: str) -> None:
        """A listener without TLS or sign-in stays on loopback or with listed peers."""
        where = f"connectors/{identity}/host"
        try:
            loopback = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            loopback = self.host == "localhost"
        if loopback:
            return
        anonymous = any(not device.user for device in devices)
        if (self._tls is None or anonymous) and not self.peers:
            raise InvalidInputError(
                f"listening on {self.host} without {'sign-in' if self._tls else 'TLS'}",
                where=where,
                fix="set tls and devices, or list the peers that may connect, or listen on 127.0.0.1",
            )
        if self._tls is None and self.host in ("0.0.0.0", "::"):  # noqa: S104  # this is where that is refused
            raise InvalidInputError(
                f"listening on every interface ({self.host}) without TLS",
                where=where,
                fix="name one interface's address",
            )

    def admits(self, peer: str) -> bool:
        """Return whether a connection from ``peer`` is taken at all."""
        return len(self.connections) < self.most_connections and inside(peer, self.peers)


def _devices(entries: Any, context: GatewayContext, identity: str) -> list[Device]:
    where = f"connectors/{identity}/devices"
    if not isinstance(entries, list):
        raise InvalidInputError("devices is no list", where=where, fix="- {user: …, password: SECRET, topics: […]}")
    if not entries:
        return [Device("", "", ("#",), ("#",))]
    devices = []
    for number, entry in enumerate(entries):
        place = f"{where}/{number}"
        if not isinstance(entry, dict) or not entry.get("user") or not entry.get("password"):
            raise InvalidInputError(
                "a device without user or password", where=place, fix="both; password names a secret"
            )
        topics = tuple(str(topic) for topic in entry.get("topics", ()))
        subscribe = tuple(str(topic) for topic in entry.get("subscribe", ()))
        try:
            for name in (*topics, *subscribe):
                check_filter(name)
        except DecodeError as error:
            raise InvalidInputError(error.message, where=place, fix=error.fix) from error
        allowed = (*subscribe, *topics, *_commands_for(topics), f"{NAMESPACE}/STATE/#")
        secret = context.secret(str(entry["password"]))
        peers = networks(entry.get("peers", ()), f"{place}/peers")
        devices.append(Device(str(entry["user"]), secret, topics, allowed, peers))
    return devices


def _commands_for(topics: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command topics of the edge nodes a device publishes for: it must hear a request for rebirth."""
    found = []
    for name in topics:
        levels = name.split("/")
        if levels[0] == NAMESPACE and len(levels) >= 4 and levels[1] not in ("+", "#"):
            found += [f"{NAMESPACE}/{levels[1]}/NCMD/{levels[3]}", f"{NAMESPACE}/{levels[1]}/DCMD/{levels[3]}/#"]
    return tuple(found)


def _tls(values: Any, context: GatewayContext, identity: str) -> ssl.SSLContext | None:
    if not values:
        return None
    where = f"connectors/{identity}/tls"
    base = context.site.parent if context.site.suffix else context.site
    try:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.load_cert_chain(base / Path(str(values["certificate"])), base / Path(str(values["key"])))
        if values.get("client_ca"):
            made.load_verify_locations(base / Path(str(values["client_ca"])))
            made.verify_mode = ssl.CERT_REQUIRED
    except (KeyError, TypeError, OSError, ssl.SSLError) as error:
        raise InvalidInputError(
            f"TLS cannot be set up: {error}", where=where, fix="certificate and key: PEM files"
        ) from error
    return made

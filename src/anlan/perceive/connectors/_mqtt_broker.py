"""What an MQTT listener keeps between packets: devices and their rights, sessions, subscriptions, retained messages."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from anlan.core.errors import InvalidInputError
from anlan.perceive.connectors import _mqtt_packets as mqtt

MOST_RETAINED = 10_000
MOST_RETAINED_BYTES = 64 << 20
MOST_OFFLINE = 1_000
MOST_SESSIONS = 20_000
MOST_FILTERS = 1_000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Device:
    """Who may sign in, and what for.

    Attributes:
        user: name it signs in with; empty is the anonymous device of a listener without sign-in.
        secret: password, or its argon2 hash.
        topics: filters it may publish to, also in its will.
        subscribe: filters it may subscribe to.
        peers: networks it may come from; empty is any.
    """

    user: str
    secret: str
    topics: tuple[str, ...]
    subscribe: tuple[str, ...]
    peers: tuple[Network, ...] = ()

    def may_publish(self, topic: str) -> bool:
        """Return whether it may publish to ``topic``; commands to devices are nobody's."""
        levels = topic.split("/", 3)
        if levels[0] == "spBv1.0" and len(levels) > 2 and levels[2] in ("NCMD", "DCMD"):
            return False
        return any(mqtt.matches(allowed, topic) for allowed in self.topics)

    def may_subscribe(self, name: str) -> bool:
        """Return whether every topic that filter ``name`` matches is open to it."""
        return any(mqtt.covers(allowed, name) for allowed in self.subscribe)


def networks(values: Iterable[Any], where: str) -> tuple[Network, ...]:
    """Return the networks of a list of addresses.

    Raises:
        InvalidInputError: one of them is no address.
    """
    found = []
    for value in values:
        try:
            found.append(ipaddress.ip_network(str(value), strict=False))
        except ValueError as error:
            raise InvalidInputError(f"{value!r} is no network", where=where, fix="such as 10.1.2.0/24") from error
    return tuple(found)


def inside(peer: str, allowed: tuple[Network, ...]) -> bool:
    """Return whether an address lies in one of the networks; an empty list allows all."""
    if not allowed:
        return True
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in allowed)


class Credentials:
    """Checks who signs in. Argon2 hashes are verified in a thread, two at a time, and remembered while we run."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self._devices = {device.user: device for device in devices}
        self._verified: dict[str, bytes] = {}
        self._turn = asyncio.Semaphore(2)

    async def check(self, user: str | None, password: bytes | None, peer: str) -> Device | None:
        """Return the device that signs in, None when it may not."""
        if user is None:
            device = self._devices.get("")
            return device if device is not None and inside(peer, device.peers) else None
        device = self._devices.get(user)
        if not user or device is None or not inside(peer, device.peers):
            # The same work as for a known user, so that names cannot be told apart by time.
            hmac.compare_digest(b"no such user", password or b"")
            return None
        return device if await self._fits(device, password or b"") else None

    async def _fits(self, device: Device, password: bytes) -> bool:
        if not device.secret.startswith("$argon2"):
            return hmac.compare_digest(device.secret.encode(), password)
        digest = hashlib.sha256(password).digest()
        if hmac.compare_digest(self._verified.get(device.user, b""), digest):
            return True
        async with self._turn:
            fits = await asyncio.to_thread(_verify, device.secret, password)
        if fits:
            self._verified[device.user] = digest
        return fits


def _verify(secret: str, password: bytes) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return PasswordHasher().verify(secret, password)
    except (Argon2Error, InvalidHashError):
        return False


class Outlet(Protocol):
    """A connection that messages are delivered to."""

    def deliver(self, session: Session, topic: bytes, payload: bytes, qos: int, retain: bool) -> None:
        """Send a message."""
        ...


@dataclass(eq=False, slots=True)
class Session:
    """State of one client across its connections.

    Attributes:
        expiry: seconds it outlives its connection; 0xFFFFFFFF is for ever.
        ends: loop time when it ends, 0 while connected.
        subscriptions: granted QoS by filter.
        offline: (topic, payload, retain) of QoS 1 waiting for the client to come back.
        unacked: messages of QoS 1 sent and not yet acknowledged, by packet identifier.
    """

    client_id: str
    user: str
    expiry: int = 0
    ends: float = 0.0
    connection: Outlet | None = None
    subscriptions: dict[str, int] = field(default_factory=dict)
    offline: deque[tuple[bytes, bytes, bool]] = field(default_factory=lambda: deque(maxlen=MOST_OFFLINE))
    unacked: dict[int, tuple[bytes, bytes, bool]] = field(default_factory=dict)
    next_identifier: int = 0

    def identifier(self) -> int:
        """Return the next free packet identifier."""
        while True:
            self.next_identifier = self.next_identifier % 0xFFFF + 1
            if self.next_identifier not in self.unacked:
                return self.next_identifier


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    sessions: dict[Session, int] = field(default_factory=dict)


class Subscriptions:
    """Which sessions want a topic: a tree by level.

    Attributes:
        generation: changes whenever the answer to any question may have changed.
        count: filters subscribed.
    """

    def __init__(self) -> None:
        self._root = _Node()
        self.generation = 0
        self.count = 0

    def add(self, name: str, session: Session, qos: int) -> None:
        """Subscribe, or replace the QoS."""
        node = self._root
        for level in name.split("/"):
            node = node.children.setdefault(level, _Node())
        self.count += session not in node.sessions
        node.sessions[session] = qos
        session.subscriptions[name] = qos
        self.generation += 1

    def remove(self, name: str, session: Session) -> bool:
        """Unsubscribe; False when it was not subscribed. Branches nobody needs any more are cut."""
        if session.subscriptions.pop(name, None) is None:
            return False
        trail: list[tuple[_Node, str]] = []
        node = self._root
        for level in name.split("/"):
            trail.append((node, level))
            node = node.children[level]
        del node.sessions[session]
        self.count -= 1
        self.generation += 1
        for parent, level in reversed(trail):
            child = parent.children[level]
            if child.sessions or child.children:
                break
            del parent.children[level]
        return True

    def forget(self, session: Session) -> None:
        """Remove all subscriptions of a session."""
        for name in list(session.subscriptions):
            self.remove(name, session)

    def matching(self, topic: str) -> dict[Session, int]:
        """Return the sessions that want ``topic`` with the highest QoS of their matching filters."""
        found: dict[Session, int] = {}
        levels = topic.split("/")
        stack = [(self._root, 0)]
        while stack:
            node, depth = stack.pop()
            wild = depth > 0 or not topic.startswith("$")
            if wild and (rest := node.children.get("#")) is not None:
                _merge(found, rest)
            if depth == len(levels):
                _merge(found, node)
                continue
            if (child := node.children.get(levels[depth])) is not None:
                stack.append((child, depth + 1))
            if wild and (child := node.children.get("+")) is not None:
                stack.append((child, depth + 1))
        return found


def _merge(found: dict[Session, int], node: _Node) -> None:
    for session, qos in node.sessions.items():
        found[session] = max(found.get(session, 0), qos)


class Retained:
    """The last retained message of each topic, bounded in number and bytes; a new topic beyond that is not kept."""

    def __init__(self) -> None:
        self._messages: dict[str, tuple[bytes, int]] = {}
        self._bytes = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, topic: str, payload: bytes, qos: int) -> None:
        """Keep a message; an empty one removes the topic's."""
        before = self._messages.pop(topic, None)
        if before is not None:
            self._bytes -= len(before[0])
        if not payload:
            return
        if len(self._messages) >= MOST_RETAINED or self._bytes + len(payload) > MOST_RETAINED_BYTES:
            self.refused += 1
            return
        self._messages[topic] = (payload, qos)
        self._bytes += len(payload)

    def matching(self, name: str) -> Iterator[tuple[str, bytes, int]]:
        """Yield (topic, payload, QoS) of the topics that filter ``name`` matches."""
        for topic, (payload, qos) in list(self._messages.items()):
            if mqtt.matches(name, topic):
                yield topic, payload, qos


class Broker:
    """Sessions, subscriptions and retained messages of one listener."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.subscriptions = Subscriptions()
        self.retained = Retained()

    def session(self, client_id: str, user: str, clean: bool, expiry: int) -> tuple[Session, bool]:
        """Return the session of a client that connects, and whether it was there before.

        Raises:
            MqttError: the client id belongs to another user, or there are too many sessions.
        """
        before = self.sessions.get(client_id)
        if before is not None and before.user != user:
            raise mqtt.MqttError(mqtt.CLIENT_ID_INVALID, "the client id belongs to another user", where=client_id)
        if before is not None and not clean:
            before.expiry, before.ends = expiry, 0.0
            return before, True
        if before is not None:
            self.end(before)
        if len(self.sessions) >= MOST_SESSIONS:
            raise mqtt.MqttError(mqtt.SERVER_BUSY, "too many sessions")
        session = self.sessions[client_id] = Session(client_id, user, expiry)
        return session, False

    def end(self, session: Session) -> None:
        """Forget a session."""
        self.subscriptions.forget(session)
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]

    def expire(self, now: float) -> None:
        """End the sessions whose time has come (loop time)."""
        for session in [session for session in self.sessions.values() if session.ends and session.ends <= now]:
            self.end(session)

    def distribute(self, topic: str, payload: bytes, qos: int, targets: dict[Session, int]) -> None:
        """Deliver to sessions: at once when connected, later (QoS 1) when the session waits for its client."""
        raw = topic.encode()
        for session, granted in targets.items():
            level = min(qos, granted)
            if session.connection is not None:
                session.connection.deliver(session, raw, payload, level, False)
            elif level:
                session.offline.append((raw, payload, False))

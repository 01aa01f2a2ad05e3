"""MQTT devices for tests: paho-mqtt in its own thread, and a bare socket that can say anything."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from anlan.perceive.connectors import _mqtt_packets as mqtt


class PahoDevice:
    """A real MQTT client: blocking calls run in threads."""

    def __init__(self, port: int, client_id: str, *, version: int = 4, clean: bool = True, **connect: Any) -> None:
        self.port = port
        self.acked = 0
        self.codes: list[int] = []
        self.messages: list[tuple[str, bytes, bool]] = []
        self.connected = threading.Event()
        self.code: Any = None
        self.disconnects: list[Any] = []
        self._connect = connect
        extra = {"clean_session": clean} if version == 4 else {}
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version, **extra)
        self.client.max_inflight_messages_set(200)
        self.client.on_connect = self._on_connect
        self.client.on_publish = self._on_publish
        self.client.on_message = self._on_message
        self.client.on_disconnect = lambda _c, _u, _f, code, _p: self.disconnects.append(code)

    def _on_connect(self, _client: Any, _data: Any, flags: Any, code: Any, _properties: Any) -> None:
        self.code = code
        self.session_present = flags.session_present
        self.connected.set()

    def _on_publish(self, _client: Any, _data: Any, _identifier: int, code: Any, _properties: Any) -> None:
        self.acked += 1
        self.codes.append(getattr(code, "value", code))

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        self.messages.append((message.topic, message.payload, message.retain))

    async def start(self) -> PahoDevice:
        """Connect and return once the CONNACK is there."""
        self.client.connect_async("127.0.0.1", self.port, **self._connect)
        self.client.loop_start()
        assert await asyncio.to_thread(self.connected.wait, 10)
        return self

    async def stop(self) -> None:
        """Disconnect politely."""
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)

    async def cut(self) -> None:
        """Lose the connection without a word."""
        self.client.loop_stop()
        sock = self.client.socket()
        if sock is not None:
            sock.close()

    def send(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> Any:
        """Publish."""
        return self.client.publish(topic, payload, qos, retain)


class BareClient:
    """A socket that speaks MQTT packets a test writes by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.last_body = b""

    @staticmethod
    async def open(port: int) -> BareClient:
        """Return a connection that has not signed in."""
        return BareClient(*await asyncio.open_connection("127.0.0.1", port))

    @staticmethod
    async def connect(port: int, client_id: str, *, version: int, **request: Any) -> BareClient:
        """Return a connection that has signed in."""
        client = await BareClient.open(port)
        assert await client.sign_in(client_id, version=version, **request) == 0
        return client

    async def sign_in(
        self,
        client_id: str,
        *,
        version: int,
        user: str | None = None,
        password: str | None = None,
        keep_alive: int = 0,
        will: mqtt.Will | None = None,
    ) -> int:
        """Send CONNECT and return the code of the CONNACK."""
        secret = None if password is None else password.encode()
        request = mqtt.Connect(version, client_id, True, keep_alive, {}, will, user, secret)
        self.write(mqtt.connect(request))
        received = await self.packet()
        assert received is not None
        assert received[0] == mqtt.CONNACK
        return received[1][1]

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    def write_eof(self) -> None:
        """Say that nothing more comes."""
        self._writer.write_eof()

    async def packet(self) -> Any:
        """Return (packet type, body) of the next packet; None when the listener has closed."""
        async with asyncio.timeout(10):
            try:
                first = (await self._reader.readexactly(1))[0]
                length, shift = 0, 0
                while True:
                    byte = (await self._reader.readexactly(1))[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                self.last_body = await self._reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            return first >> 4, self.last_body

    def close(self) -> None:
        """Close without a word."""
        self._writer.close()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths

"""MQTT devices for tests: paho-mqtt in its own thread, and a bare socket that can say anything."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


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

"""Peers that are not ours for the park's devices: an MQTT broker (nats-server's) and a bare HJ 212 platform."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import paho.mqtt.client as paho

from anlan.sim.hj212 import crc212, frame, header_of
from anlan.store.fabric.server import binary as find_nats_server


async def until(condition: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
    """Wait until ``condition`` holds, however slow the machine; ``what`` names it when it never does."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while not condition():
        assert loop.time() < deadline, f"not within {timeout} s: {what}"
        await asyncio.sleep(0.02)


@contextmanager
def broker(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run nats-server with its MQTT 3.1.1 listener on ``port``."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        client_port = probe.getsockname()[1]
    config = folder / "nats.conf"
    config.write_text(
        f'server_name: peer\nlisten: "127.0.0.1:{client_port}"\njetstream {{ store_dir: "{folder}/js" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{port}" }}\n'
    )
    process = subprocess.Popen([str(find_nats_server()), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    import time

    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}")


class Subscriber:
    """A paho client that keeps every message of a topic filter."""

    def __init__(self, port: int, topic: str, name: str = "observer") -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._ready: Queue[None] = Queue()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self.client.on_message = self._take
        self.client.on_subscribe = lambda *_: self._ready.put(None)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe(topic, qos=1)
        self._ready.get(timeout=10)

    def _take(self, _client: Any, _user: Any, message: paho.MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload), message.dup))

    def verbs(self, name: str) -> list[str]:
        """Return the verbs of the Sparkplug messages so far whose topic holds ``name``."""
        return [topic.split("/")[2] for topic, _, _ in list(self.messages) if name in topic]

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()


class Platform:
    """A bare HJ 212 platform: checks each frame, answers 9014 unless told not to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.segments: list[str] = []
        self.broken: list[bytes] = []
        self.answering = True
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Platform:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                line = (await reader.readuntil(b"\r\n"))[:-2]
                data = line[6:-4]
                if not header_of(line) or crc212(data) != line[-4:].decode():
                    self.broken.append(line)
                    continue
                self.segments.append(data.decode())
                if self.answering:
                    header = header_of(line)
                    answer = f"QN={header['QN']};ST=91;CN=9014;PW={header['PW']};MN={header['MN']};Flag=4;CP=&&&&"
                    writer.write(frame(answer))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

"""Load generator: a raw-socket MQTT publisher in a process of its own.

Packets are encoded once as rows of one array; time stamps, packet identifiers and sequence numbers are patched into
many rows at a time, so that the generator costs little of the cores it shares with what is measured. With a rate each
pack has a scheduled time (its time stamp), and latency counts from there; without one each connection keeps ``window``
packs unacknowledged.

    python -m benchmarks.loadgen --port 1883 --format sparkplug --connections 20 --window 100 --seconds 5
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from anlan.plant.model import ConnectorSpec, Plant, Point, SiteInfo

ROWS = 128
GROUP = "bench"
TICK_S = 0.001
FORMATS = ("senml", "sparkplug")


class LoadReport(msgspec.Struct):
    """What one run did. Latency is from scheduled publish (or sending) to PUBACK, ms.

    ``late_ms`` is how far sending fell behind the schedule at worst.
    """

    format: str
    connections: int
    metrics: int
    seconds: float
    sent: int
    acked: int
    bytes: int
    samples_per_s: float
    packs_per_s: float
    latency_p50_ms: float
    latency_p99_ms: float
    latency_max_ms: float
    late_ms: float
    cpu_s: float


def bench_plant(
    format_: str, connections: int, metrics: int, port: int, *, base: int = 0, connector: str = "load", **changes: Any
) -> Plant:
    """Return the plant that takes this load: point ``base + connection × metrics + metric + 1``."""
    points, map_ = [], {}
    for connection in range(connections):
        for metric in range(metrics):
            path = f"bench/load/n{connection:02d}/m{metric:02d}"
            points.append(Point(base + connection * metrics + metric + 1, path, "other", ""))
            if format_ == "sparkplug":
                map_[path] = f"spB:{GROUP}/n{connection:02d}:m{metric:02d}"
            else:
                map_[path] = f"senml:n{connection:02d}/m{metric:02d}"
    spec = ConnectorSpec(connector, "mqtt", {"host": "127.0.0.1", "port": port}, map_)
    return Plant(SiteInfo("bench", "基准"), points=tuple(points), connectors=(spec,), **changes)


# --- encoding ---


def varint(number: int, width: int = 0) -> bytes:
    """Return a protobuf varint, padded to ``width`` bytes (allowed by the wire format)."""
    out = bytearray()
    while number > 0x7F or len(out) + 1 < width:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def sparkplug_metric(name: str, alias: int | None, datatype: int, value: float, stamp: int) -> bytes:
    """Return one Sparkplug metric: Float (9) and unknown (0) as float and double, Double (10), else an integer."""
    body = b""
    if name:
        body += b"\x0a" + varint(len(name)) + name.encode()
    if alias is not None:
        body += b"\x10" + varint(alias, 2)
    body += b"\x18" + varint(stamp, 6)
    if datatype:
        body += b"\x20" + varint(datatype)
    if datatype in (0, 10):
        body += b"\x69" + struct.pack("<d", value)
    elif datatype == 9:
        body += b"\x65" + struct.pack("<f", value)
    else:
        body += b"\x58" + varint(int(value))
    return b"\x12" + varint(len(body)) + body


def sparkplug_payload(stamp: int, seq: int | None, metrics: list[tuple[str, int | None, int, float]]) -> bytes:
    """Return a payload of (name, alias, datatype, value) at ``stamp`` (ms)."""
    body = b"\x08" + varint(stamp, 6) + b"".join(sparkplug_metric(*metric, stamp) for metric in metrics)
    return body if seq is None else body + b"\x18" + varint(seq, 2)


def senml_payload(node: str, stamp: int, values: list[float]) -> bytes:
    """Return a SenML pack of metrics m00 … at ``stamp`` (ms)."""
    records = [f'{{"bn":"{node}/","bt":{stamp / 1000:.3f},"n":"m00","v":{values[0]:.2f}}}']
    records += [f'{{"n":"m{index:02d}","v":{value:.2f}}}' for index, value in enumerate(values[1:], start=1)]
    return ("[" + ",".join(records) + "]").encode()


def mqtt_publish(topic: str, payload: bytes) -> tuple[bytes, int]:
    """Return a PUBLISH of QoS 1 (MQTT 3.1.1) and where its packet identifier stands."""
    head = struct.pack(">H", len(topic)) + topic.encode()
    length = varint(len(head) + 2 + len(payload))
    return b"\x32" + length + head + b"\0\0" + payload, 1 + len(length) + len(head)


class Rows:
    """``ROWS`` packets of one connection, patched together; ``take`` hands out the next ones as bytes."""

    def __init__(self, format_: str, connection: int, metrics: int) -> None:
        node = f"n{connection:02d}"
        values = [20.0 + connection + 0.25 * metric for metric in range(metrics)]
        self._sparkplug = format_ == "sparkplug"
        stamp = 1_700_000_000_000
        if self._sparkplug:
            listed = [("", metric, 10, value) for metric, value in enumerate(values)]
            packet, self._identifier = mqtt_publish(
                f"spBv1.0/{GROUP}/NDATA/{node}", sparkplug_payload(stamp, 1, listed)
            )
            self._stamps = _positions(packet, varint(stamp, 6))
            self._seq = len(packet) - 2
        else:
            packet, self._identifier = mqtt_publish(f"bench/{node}", senml_payload(node, stamp, values))
            self._stamps = _positions(packet, b"1700000000.000")
        self._base = np.frombuffer(packet, np.uint8)
        self._rows = np.repeat(self._base[None, :], ROWS, axis=0)
        self.packet_bytes = len(packet)
        self._next = 0

    def take(self, stamps: NDArray[np.int64]) -> tuple[bytes, NDArray[np.int64]]:
        """Return as many packets as ``stamps`` (ms), at most ``ROWS``, and their packet identifiers."""
        count = len(stamps)
        rows = self._rows[:count]
        numbers = np.arange(self._next, self._next + count)
        self._next += count
        identifiers = numbers % 65_534 + 1  # the last one is the birth's
        rows[:, self._identifier] = identifiers >> 8
        rows[:, self._identifier + 1] = identifiers & 0xFF
        if self._sparkplug:
            for index in range(6):
                bits = (stamps >> (7 * index)) & 0x7F
                rows[:, self._stamps + index] = (bits | (0x80 if index < 5 else 0))[:, None]
            seq = (numbers + 1) & 0xFF
            rows[:, self._seq] = seq & 0x7F | 0x80
            rows[:, self._seq + 1] = seq >> 7
        else:
            digits = 10 ** np.arange(12, -1, -1)
            text = (stamps[:, None] // digits) % 10 + 48
            at = int(self._stamps[0])
            rows[:, at : at + 10] = text[:, :10]
            rows[:, at + 11 : at + 14] = text[:, 10:]
        return rows.tobytes(), identifiers


def _positions(packet: bytes, pattern: bytes) -> NDArray[np.int64]:
    found, at = [], packet.find(pattern)
    while at >= 0:
        found.append(at)
        at = packet.find(pattern, at + len(pattern))
    return np.array(found)


# --- publishing ---


class Publisher(asyncio.Protocol):
    """One connection: signs in, sends births, then packs; matches PUBACKs to sending times."""

    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._number = number
        self._rest = b""
        self._rows = Rows(load.format, number, load.metrics)
        self.transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = 0
        self.acked = 0
        self._due = np.zeros(65_536)
        self._latencies: deque[NDArray[np.float64]] = deque()
        self._stamp = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sign in; a Sparkplug node also sends its birth."""
        transport = cast(asyncio.Transport, transport)  # uvloop's transports are none by class
        self.transport = transport
        name = f"load{self._load.instance}-{self._number}"
        body = b"\0\4MQTT\4\2\0\0" + struct.pack(">H", len(name)) + name.encode()
        transport.write(b"\x10" + varint(len(body)) + body)
        if self._load.format == "sparkplug":
            now = time.time_ns() // 1_000_000
            metrics: list[tuple[str, int | None, int, float]] = [
                (f"m{metric:02d}", metric, 10, 0.0) for metric in range(self._load.metrics)
            ]
            topic = f"spBv1.0/{GROUP}/NBIRTH/n{self._number:02d}"
            packet, at = mqtt_publish(topic, sparkplug_payload(now - 3_600_000, 0, metrics))
            transport.write(packet[:at] + b"\xff\xff" + packet[at + 2 :])

    def data_received(self, data: bytes) -> None:
        """Take CONNACK and PUBACKs."""
        if self._rest:
            data = self._rest + data
        whole = len(data) & ~3
        self._rest = data[whole:]
        packets = np.frombuffer(data[:whole], np.uint8).reshape(-1, 4)
        if not self.ready.done():
            if packets[0, 0] != 0x20 or packets[0, 3]:
                self.ready.set_exception(ConnectionError(f"refused with code {packets[0, 3]}"))
                return
            self.ready.set_result(None)
            packets = packets[1:]
        identifiers = packets[:, 2].astype(np.int64) << 8 | packets[:, 3]
        identifiers = identifiers[identifiers != 0xFFFF]
        self.acked += len(identifiers)
        self._latencies.append(time.perf_counter() - self._due[identifiers])
        if self._load.running and not self._load.rate:
            self.fill()

    def connection_lost(self, exc: Exception | None) -> None:
        """A lost connection ends the run."""
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the listener closed the connection"))
        if self._load.running:
            self._load.lost += 1

    def fill(self) -> None:
        """Send until the window is full, each pack a millisecond after the one before in its own time."""
        now = time.perf_counter()
        if not self._stamp:
            self._stamp = time.time_ns() // 1_000_000 - 300_000
        while (room := min(self._load.window - (self.sent - self.acked), ROWS)) > 0:
            self._send(self._stamp + np.arange(room), np.full(room, now))
            self._stamp += room

    def send_due(self, number: int) -> float:
        """Send the packs up to the ``number``-th of the schedule that the window allows; return how late (s)."""
        late = 0.0
        while (room := min(number - self.sent, self._load.window - (self.sent - self.acked), ROWS)) > 0:
            # Connections take turns inside one interval, as many devices would.
            offset = self._number / self._load.connections
            due = (self.sent + np.arange(room) + offset) / self._load.rate_each
            stamps = self._load.began_ms + (due * 1000).astype(np.int64)
            scheduled = self._load.began + due
            late = max(late, time.perf_counter() - float(scheduled[0]))
            self._send(stamps, scheduled)
        return late

    def _send(self, stamps: NDArray[np.int64], due: NDArray[np.float64]) -> None:
        data, identifiers = self._rows.take(stamps)
        self._due[identifiers] = due
        self.sent += len(stamps)
        assert self.transport is not None
        self.transport.write(data)

    def latencies(self) -> NDArray[np.float64]:
        """Return all latencies in s."""
        return np.concatenate(list(self._latencies)) if self._latencies else np.empty(0)

    @property
    def bytes(self) -> int:
        """Bytes sent in packs."""
        return self.sent * self._rows.packet_bytes


class Load:
    """A run.

    Args:
        port: of the listener.
        rate: packs/s of all connections together; 0 sends as fast as the window allows.
        window: unacknowledged packs per connection.
    """

    def __init__(
        self,
        port: int,
        format_: str,
        *,
        connections: int = 20,
        metrics: int = 100,
        window: int = 100,
        rate: float = 0.0,
        instance: str = "",
    ) -> None:
        self.port = port
        self.format = format_
        self.connections = connections
        self.metrics = metrics
        self.window = window
        self.rate = rate
        self.rate_each = rate / connections
        self.instance = instance
        self.running = False
        self.lost = 0
        self.began = 0.0
        self.began_ms = 0

    async def run(self, seconds: float) -> LoadReport:
        """Publish for ``seconds``, wait for the last acknowledgements (at most 30 s more), report."""
        loop = asyncio.get_running_loop()
        publishers = []
        for number in range(self.connections):
            _, publisher = await loop.create_connection(
                lambda number=number: Publisher(self, number), "127.0.0.1", self.port
            )
            publishers.append(publisher)
        async with asyncio.timeout(30):
            await asyncio.gather(*(publisher.ready for publisher in publishers))
        self.running = True
        cpu = time.process_time()
        self.began, self.began_ms = time.perf_counter(), time.time_ns() // 1_000_000
        late = await self._send(publishers, seconds)
        self.running = False
        acked = sum(publisher.acked for publisher in publishers)
        took = time.perf_counter() - self.began
        await self._drain(publishers)
        report = self._report(publishers, acked, took, late, time.process_time() - cpu)
        for publisher in publishers:
            assert publisher.transport is not None
            publisher.transport.write(b"\xe0\0")
            publisher.transport.close()
        return report

    async def _send(self, publishers: list[Publisher], seconds: float) -> float:
        end = self.began + seconds
        late = 0.0
        if not self.rate:
            for publisher in publishers:
                publisher.fill()
            await asyncio.sleep(seconds)
            return 0.0
        while (now := time.perf_counter()) < end:
            due = (now - self.began) * self.rate_each
            for number, publisher in enumerate(publishers):
                late = max(late, publisher.send_due(int(due - number / self.connections) + 1))
            await asyncio.sleep(TICK_S)
        return late

    async def _drain(self, publishers: list[Publisher]) -> None:
        deadline = time.perf_counter() + 30
        while any(publisher.acked < publisher.sent for publisher in publishers) and time.perf_counter() < deadline:
            await asyncio.sleep(0.01)

    def _report(self, publishers: list[Publisher], acked: int, took: float, late: float, cpu: float) -> LoadReport:
        latencies = np.concatenate([publisher.latencies() for publisher in publishers]) * 1e3
        p50, p99 = np.percentile(latencies, [50, 99]) if len(latencies) else (0.0, 0.0)
        return LoadReport(
            format=self.format,
            connections=self.connections,
            metrics=self.metrics,
            seconds=took,
            sent=sum(publisher.sent for publisher in publishers),
            acked=sum(publisher.acked for publisher in publishers),
            bytes=sum(publisher.bytes for publisher in publishers),
            samples_per_s=acked * self.metrics / took,
            packs_per_s=acked / took,
            latency_p50_ms=float(p50),
            latency_p99_ms=float(p99),
            latency_max_ms=float(latencies.max(initial=0.0)),
            late_ms=late * 1e3,
            cpu_s=cpu,
        )


async def in_process(
    port: int, format_: str, seconds: float, *, connections: int = 20, window: int = 100, rate: float = 0.0
) -> LoadReport:
    """Run a load in a process of its own and return its report.

    Raises:
        RuntimeError: the generator failed; its output is the text.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.loadgen", "--port", str(port), "--format", format_),
        *("--seconds", str(seconds), "--connections", str(connections), "--window", str(window), "--rate", str(rate)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).resolve().parent.parent,
    )
    out, error = await process.communicate()
    if process.returncode:
        raise RuntimeError(error.decode())
    return msgspec.json.decode(out, type=LoadReport)


def main() -> None:
    """Run from the command line and print one JSON object."""
    parser = argparse.ArgumentParser(description="Publish MQTT packs to a listener and count acknowledgements.")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--format", choices=FORMATS, default="sparkplug")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--metrics", type=int, default=100)
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument(
        "--rate", type=float, default=0.0, help="packs/s of all connections together; 0 is as fast as it goes"
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    load = Load(
        options.port,
        options.format,
        connections=options.connections,
        metrics=options.metrics,
        window=options.window,
        rate=options.rate,
    )
    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:
        runner = asyncio.Runner()
    with runner:
        report = runner.run(load.run(options.seconds))
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main()

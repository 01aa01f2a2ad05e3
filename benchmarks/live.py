"""The live path whole: durable, stored and evaluated samples/s beside the bare log; alarm latency; flood; overload.

All processes are the real ones (nats-server with ``sync_interval: always``, gateway, alarms, historian, web), the
devices are processes of their own. Every load point has four limits. Rates count from the first pack in the log to the
moment when alarms and historian have all of them. Latency is from a pack's scheduled publish, which is its source time,
to a subscriber holding the alarm event.

    python -m benchmarks.live --quick
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
from nats.js.api import StorageType, StreamConfig

from anlan.cli.options import free_port
from anlan.cli.trial_node import TrialNode, percentiles
from anlan.core import log
from anlan.core.batch import BatchHeader, Run, SampleBatch, encode
from anlan.core.events import EventType, decode_event
from anlan.core.time import now_us
from anlan.plant.model import AlarmDefinition, ConnectorSpec, Plant, Point
from anlan.settings import Settings
from anlan.store.fabric.log import LogReader
from benchmarks.gateway import _bare as bare_log
from benchmarks.loadgen import bench_plant, in_process, varint

PARTS = ("alarms", "gateway", "historian", "web")
CONNECTIONS = 20
METRICS = 100
PROBES = 100
PROBE_BASE = 100_000
ARROW_ROWS = 1_000
IN_FLIGHT = 64


def _limits(points: tuple[Point, ...]) -> tuple[AlarmDefinition, ...]:
    rows = [("HH", 1e6, 1), ("H", 9e5, 2), ("L", -9e5, 3), ("LL", -1e6, 3)]
    return tuple(
        AlarmDefinition(f"{point.path}.{kind}", point.number, kind, priority, limit=limit, deadband=1.0)
        for point in points
        for kind, limit, priority in rows
    )


def plant_for(format_: str, load_port: int, probe_port: int) -> Plant:
    """Return the plant of the load (2 000 points, 8 000 limits) and of 100 probe points with one limit each."""
    load = bench_plant(format_, CONNECTIONS, METRICS, load_port)
    probes = tuple(Point(PROBE_BASE + index, f"bench/probe/p/x{index:03d}", "other", "") for index in range(PROBES))
    spec = ConnectorSpec(
        "probe",
        "mqtt",
        {"host": "127.0.0.1", "port": probe_port},
        {point.path: f"senml:probe/x{index:03d}" for index, point in enumerate(probes)},
    )
    alarms = tuple(AlarmDefinition(f"{point.path}.H", point.number, "H", 2, limit=50.0) for point in probes)
    return replace_plant(load, probes, spec, alarms)


def replace_plant(load: Plant, probes: tuple[Point, ...], spec: ConnectorSpec, alarms: tuple[Any, ...]) -> Plant:
    """Return the load's plant with the probes added."""
    return msgspec.structs.replace(
        load,
        points=load.points + probes,
        connectors=(*load.connectors, spec),
        alarms=_limits(load.points) + alarms,
    )


class Trial:
    """A node under load in a temporary folder."""

    def __init__(self, format_: str, progress: Callable[[str], None]) -> None:
        self.format = format_
        self.load_port, self.probe_port = free_port(), free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="anlan-bench-")
        settings = Settings(data=Path(self._folder.name), fabric_port=free_port(), web_port=free_port(), node="bench")
        plant = plant_for(format_, self.load_port, self.probe_port)
        self.node = TrialNode(replace(settings, log_bytes=8 << 30), PARTS, progress, plant)

    async def __aenter__(self) -> Trial:
        await self.node.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.node.__aexit__(*error)
        self._folder.cleanup()

    def processes(self) -> dict[str, psutil.Process]:
        """Return the running processes by part."""
        return {name: psutil.Process(child.pid) for name, child in self.node.supervisor.children.items() if child.pid}


async def _first_use(trial: Trial) -> None:
    # On a schedule, so that its time stamps are of now; those of a run without one begin five minutes ago.
    await in_process(trial.load_port, trial.format, 1.0, connections=2, rate=500)


async def _drained_at(node: TrialNode, deadline_s: float = 180) -> int:
    """Return the µs UTC at which alarms and historian had the newest batch, found by asking often."""
    end = time.perf_counter() + deadline_s
    last = await node.last_samples()
    while time.perf_counter() < end:
        evaluated, stored = (await node.monitor_status()).sequence, (await node.historian.status()).mark
        if evaluated >= last and stored >= last:
            return now_us()
        await asyncio.sleep(0.02)
    raise RuntimeError("the chain did not drain")


async def _first_stored(node: TrialNode, after: int) -> int:
    """Return when the log took the first sample batch after sequence ``after``, µs UTC."""
    async for messages in LogReader(node.fabric, start=after + 1, subjects=[log.SAMPLES]).batches(limit=1):
        if messages:
            return messages[0].stored
    raise RuntimeError("nothing was logged")


async def _rows(node: TrialNode) -> int:
    return (await node.historian.status()).rows


class Usage:
    """CPU and peak memory of a trial's processes from its making to ``stop``."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._cpu = {name: sum(process.cpu_times()[:2]) for name, process in trial.processes().items()}
        self.peak_mb: dict[str, int] = {}
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while True:
            for name, process in self._trial.processes().items():
                self.peak_mb[name] = max(self.peak_mb.get(name, 0), process.memory_info().rss >> 20)
            await asyncio.sleep(0.1)

    def stop(self, seconds: float) -> dict[str, int]:
        """Return each process's CPU in % of one core over ``seconds``."""
        self._task.cancel()
        now = {name: sum(process.cpu_times()[:2]) for name, process in self._trial.processes().items()}
        return {name: round(100 * (value - self._cpu.get(name, 0.0)) / seconds) for name, value in now.items()}


async def chain(
    format_: str, seconds: float, progress: Callable[[str], None], *, window: int = 100, connections: int = CONNECTIONS
) -> dict[str, Any]:
    """Return what the whole chain takes of packs from MQTT devices that keep ``window`` packs in flight each."""
    async with Trial(format_, progress) as trial:
        node = trial.node
        await _first_use(trial)
        await node.drained()
        rows, first = await _rows(node), await node.last_samples()
        usage = Usage(trial)
        report = await in_process(trial.load_port, format_, seconds, connections=connections, window=window)
        ended = await _drained_at(node)
        took = (ended - await _first_stored(node, first)) / 1e6
        cpu = usage.stop(took)
        await node.drained(120)
        births = connections * METRICS if format_ == "sparkplug" else 0
        samples = report.acked * METRICS + births
        stored = await _rows(node) - rows
        bare = await bare_log(node.fabric, format_, first + 1, min(seconds, 4.0))
        return {
            "samples_per_s": samples / took,
            "acked_samples_per_s": report.samples_per_s,
            "of_bare_log_in_groups": samples / took / bare["group_samples_per_s"],
            "of_bare_log_in_packs": samples / took / bare["single_samples_per_s"],
            "bare_log": bare,
            "acked": samples,
            "stored": stored,
            "lost": samples - stored,
            "puback_ms": {"p50": report.latency_p50_ms, "p99": report.latency_p99_ms},
            "cpu_pct": {**cpu, "generator": round(100 * report.cpu_s / took)},
            "peak_rss_mb": usage.peak_mb,
            "errors": node.errors(),
        }


# --- Arrow batches straight into the log ------------------------------------------------------------------------------


def _arrow_messages(count: int) -> list[bytes]:
    points = np.arange(1, ARROW_ROWS + 1, dtype=np.int32)
    start, messages = now_us() - count * 1_000, []
    for number in range(count):
        values = 20.0 + (points % 97) * 0.25 + number % 7
        times = np.full(ARROW_ROWS, start + number * 1_000, np.int64)
        batch = SampleBatch(points, times, values, np.zeros(ARROW_ROWS, np.uint8))
        header = BatchHeader("bench", now_us(), "", (Run("load", ARROW_ROWS),))
        messages.append(encode(batch, header))
    return messages


async def _publish_all(node: TrialNode, subject: str, messages: list[bytes]) -> float:
    """Return the seconds it took until the log had acknowledged all."""
    began, pending = time.perf_counter(), set()
    for message in messages:
        pending.add(await node.fabric.jetstream.publish_async(subject, message, wait_stall=30))
        if len(pending) >= IN_FLIGHT:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*pending)
    return time.perf_counter() - began


async def arrow(seconds: float, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return the rate of Arrow batches of 1 000 samples put straight into the log, beside the bare log."""
    async with Trial("senml", progress) as trial:
        node = trial.node
        messages = _arrow_messages(int(1_500 * seconds))
        stream = StreamConfig(name="BARE", subjects=["bare.>"], storage=StorageType.FILE, max_bytes=1 << 30)
        await node.fabric.jetstream.add_stream(stream)
        bare = len(messages) * ARROW_ROWS / await _publish_all(node, "bare.x", messages)
        await node.fabric.jetstream.delete_stream("BARE")
        rows, first = await _rows(node), await node.last_samples()
        usage = Usage(trial)
        acked = await _publish_all(node, log.SAMPLES, messages)
        ended = await _drained_at(node)
        took = (ended - await _first_stored(node, first)) / 1e6
        cpu = usage.stop(took)
        await node.drained(120)
        samples = len(messages) * ARROW_ROWS
        stored = await _rows(node) - rows
        return {
            "samples_per_s": samples / took,
            "acked_samples_per_s": samples / acked,
            "bare_log_samples_per_s": bare,
            "of_bare_log": samples / took / bare,
            "lost": samples - stored,
            "cpu_pct": cpu,
            "errors": node.errors(),
        }


# --- alarm latency ----------------------------------------------------------------------------------------------------


class Prober:
    """A device whose packs make alarms come and go at scheduled times, and the subscriber that waits for the events."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self.latencies: list[float] = []

    async def run(self, seconds: float, per_s: float, width: int) -> list[float]:
        """Return latencies in ms of ``per_s`` packs a second that flip ``width`` alarms each."""
        nats = self._trial.node.fabric.client
        subscription = await nats.subscribe(f"events.{EventType.ALARM}", cb=self._take)
        _, writer = await asyncio.open_connection("127.0.0.1", self._trial.probe_port)
        body = b"\0\4MQTT\4\2\0\0" + struct.pack(">H", 5) + b"probe"
        writer.write(b"\x10" + varint(len(body)) + body)
        begin = time.time() + 0.5
        for number in range(int(seconds * per_s)):
            due = begin + number / per_s
            await asyncio.sleep(max(0.0, due - time.time()))
            writer.write(_probe_pack(number, due, width))
        await asyncio.sleep(1.0)
        writer.close()
        await subscription.unsubscribe()
        return self.latencies

    async def _take(self, message: Any) -> None:
        arrived = now_us()
        event = decode_event(message.data)
        if event.subject.startswith("bench/probe/") and event.data["arrow"] in ("raise", "clear"):
            self.latencies.append((arrived - event.time) / 1e3)


def _probe_pack(number: int, due: float, width: int) -> bytes:
    first = number * width % PROBES
    value = 99.0 if number * width // PROBES % 2 == 0 else 1.0
    rows = [{"n": f"x{(first + index) % PROBES:03d}", "v": value} for index in range(width)]
    rows[0] |= {"bn": "probe/", "bt": round(due, 6)}  # type: ignore[dict-item]  # base fields stand in the first record
    payload = json.dumps(rows).encode()
    head = struct.pack(">H", 11) + b"bench/probe" + struct.pack(">H", number % 65_535 + 1)
    return b"\x32" + varint(len(head) + len(payload)) + head + payload


async def latency(
    rate: int, seconds: float, per_s: float, width: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Return alarm latency while ``rate`` samples/s of Sparkplug packs go through the whole platform."""
    async with Trial("sparkplug", progress) as trial:
        await _first_use(trial)
        await trial.node.drained()
        usage = Usage(trial)
        load = asyncio.ensure_future(
            in_process(trial.load_port, "sparkplug", seconds + 2, connections=CONNECTIONS, rate=rate / METRICS)
        )
        await asyncio.sleep(1.5)
        latencies = await Prober(trial).run(seconds - 1, per_s, width)
        report = await load
        cpu = usage.stop(seconds + 2)
        return {
            "samples_per_s": report.samples_per_s,
            "transitions_per_s": per_s * width,
            "latency_ms": percentiles(latencies),
            "expected_transitions": int((seconds - 1) * per_s) * width,
            "generator_late_ms": report.late_ms,
            "cpu_pct": cpu,
            "errors": trial.node.errors(),
        }


def chain_rate(format_: str, seconds: float, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return rate and latency of the whole chain, for comparison with peers."""
    rate = asyncio.run(chain(format_, seconds, progress))["samples_per_s"]
    waited = asyncio.run(latency(10_000, seconds, 20, 1, progress))["latency_ms"]
    return {"samples_per_s": rate, "latency_ms": waited, "durable": True}


def run(*, quick: bool = False, progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure everything the README says of the live path."""
    seconds = 4.0 if quick else 8.0
    rates: dict[str, Any] = {}
    for format_ in ("senml", "sparkplug"):
        progress(f"rate, {format_}: {CONNECTIONS} devices × 100 packs of {METRICS} samples in flight")
        rates[format_] = asyncio.run(chain(format_, seconds, progress))
    progress(f"rate, Arrow batches of {ARROW_ROWS} samples straight into the log")
    rates["arrow"] = asyncio.run(arrow(seconds, progress))
    latencies = {}
    for rate in (10_000, 100_000, 600_000):
        progress(f"alarm latency at {rate:,} samples/s")
        latencies[str(rate)] = asyncio.run(latency(rate, seconds, 50, 1, progress))
    progress("alarm latency in a flood of 1 900 transitions/s at 100,000 samples/s")
    flood = asyncio.run(latency(100_000, seconds, 19, 100, progress))
    progress("overload: 20 devices × 1 000 packs in flight, sent as fast as the connections take them")
    overload = asyncio.run(chain("sparkplug", seconds, progress, window=1_000))
    lost = sum(row["lost"] for row in rates.values()) + overload["lost"]
    return {"ok": lost == 0, "rates": rates, "latency": latencies, "flood": flood, "overload": overload}


def main() -> None:
    """Run from the command line and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    result = run(quick=parser.parse_args().quick, progress=lambda line: print(line, file=sys.stderr))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")


if __name__ == "__main__":
    main()

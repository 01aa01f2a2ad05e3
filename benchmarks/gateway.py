"""What the gateway takes through its MQTT listener: packs of 100 samples, acknowledged after the log has them on disk.

The generator is a process of its own (``benchmarks.loadgen``), the gateway and nats-server are the real processes with
``sync_interval: always``. In the same run the same bytes go into the bare log, once as the gateway's group messages and
once as single packs, so that the result can be read as a ratio.

    python -m benchmarks.gateway --quick
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
from nats.js.api import StorageType, StreamConfig

from anlan.cli.options import free_port
from anlan.core import log
from anlan.core.health import HealthReport
from anlan.core.time import now_us
from anlan.plant.model import Plant, encode_plant, revision_of
from anlan.settings import Settings
from anlan.store.fabric import server
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.log import LogReader
from benchmarks.loadgen import bench_plant, in_process, mqtt_publish, senml_payload, sparkplug_payload

CONNECTIONS = 20
WINDOW = 100
METRICS = 100
BARE_BYTES = 64 << 20


@asynccontextmanager
async def node(plant: Callable[[int], Plant]) -> AsyncIterator[tuple[Settings, Fabric, dict[str, psutil.Process], int]]:
    """Run a fabric and a gateway in a temporary folder; yields settings, a connection, the processes, the MQTT port."""
    with tempfile.TemporaryDirectory(prefix="anlan-bench-") as folder:
        settings = Settings(data=Path(folder), fabric_port=free_port(), node="bench", log_bytes=8 << 30)
        port = free_port()
        settings.directory("logs")
        processes: list[subprocess.Popen[bytes]] = []
        try:
            processes.append(_start(settings, "nats", server.command(settings)))
            await server.wait_ready(settings)
            async with await Fabric.connect(settings, "runtime") as fabric:
                await fabric.ensure_streams()
                await _put_in_force(fabric, plant(port))
                command = [sys.executable, "-m", "anlan", "part", "gateway"]
                processes.append(_start(settings, "gateway", command))
                await _ready(fabric, processes[1])
                found = {"nats": psutil.Process(processes[0].pid), "gateway": psutil.Process(processes[1].pid)}
                yield settings, fabric, found, port
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
                process.kill()


def _start(settings: Settings, name: str, command: list[str]) -> subprocess.Popen[bytes]:
    with (settings.data / "logs" / f"{name}.log").open("ab") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, **settings.environment()})


async def _put_in_force(fabric: Fabric, plant: Plant) -> None:
    document = encode_plant(plant)
    revision = revision_of(document)
    await fabric.put_config(revision, document)
    await fabric.jetstream.publish(log.CONFIG, log.encode(log.ConfigRecord(now_us(), revision)))


async def _ready(fabric: Fabric, process: subprocess.Popen[bytes]) -> None:
    subscription = await fabric.client.subscribe(f"{log.HEALTH}.gateway")
    async with asyncio.timeout(60):
        while True:
            report = msgspec.json.decode((await subscription.next_msg(timeout=60)).data, type=HealthReport)
            connectors: Any = report.details.get("connectors", {})
            if report.ready and connectors and all(entry["state"] == "up" for entry in connectors.values()):
                break
            if process.poll() is not None:
                raise RuntimeError("the gateway ended; see its log")
    await subscription.unsubscribe()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(format_: str, seconds: float) -> dict[str, Any]:
    """Return rates, CPU and memory of one format."""
    async with node(lambda port: bench_plant(format_, CONNECTIONS, METRICS, port)) as (_, fabric, processes, port):
        await in_process(port, format_, 1.0, connections=CONNECTIONS, window=WINDOW)
        before = {name: _cpu(process) for name, process in processes.items()}
        first = await LogReader(fabric, start=1).last_sequence() + 1
        began = time.perf_counter()
        report = await in_process(port, format_, seconds, connections=CONNECTIONS, window=WINDOW)
        took = time.perf_counter() - began
        last = await LogReader(fabric, start=1).last_sequence()
        cpu = {name: (_cpu(process) - before[name]) for name, process in processes.items()}
        memory = {name: process.memory_info().rss >> 20 for name, process in processes.items()}
        samples = report.acked * METRICS
        return {
            "samples_per_s": report.samples_per_s,
            "packs_per_s": report.packs_per_s,
            "acked": report.acked,
            "lost": report.sent - report.acked,
            "packs_per_append": report.acked / max(1, last - first + 1),
            "puback_p50_ms": report.latency_p50_ms,
            "puback_p99_ms": report.latency_p99_ms,
            "seconds": took,
            "cores_per_million": {name: value / samples * 1e6 for name, value in cpu.items()},
            "cpu_s": {**cpu, "generator": report.cpu_s},
            "rss_mb": memory,
            "bare": await _bare(fabric, format_, first, seconds),
        }


async def _bare(fabric: Fabric, format_: str, first: int, seconds: float) -> dict[str, float]:
    """Append the gateway's own messages, and single packs, to a stream of the same server."""
    await fabric.jetstream.add_stream(
        StreamConfig(name="BARE", subjects=["bare.>"], storage=StorageType.FILE, max_bytes=1 << 30)
    )
    groups: list[bytes] = []
    size = 0
    async for batch in LogReader(fabric, start=first, subjects=[log.SAMPLES]).batches(wait=0.5):
        groups += [message.data for message in batch]
        size = sum(map(len, groups))
        if size > BARE_BYTES or not batch:
            break
    stamp = 1_700_000_000_000
    values = [20.0 + 0.25 * metric for metric in range(METRICS)]
    if format_ == "sparkplug":
        pack = sparkplug_payload(stamp, 1, [("", metric, 10, value) for metric, value in enumerate(values)])
    else:
        pack = senml_payload("n00", stamp, values)
    in_groups = await _append(fabric, groups, seconds, in_flight=2)
    singly = await _append(fabric, [mqtt_publish("t", pack)[0]], seconds, in_flight=64)
    return {
        "group_bytes_per_s": in_groups,
        "group_samples_per_s": in_groups / (size / max(1, _samples(groups))),
        "single_packs_per_s": singly / len(pack),
        "single_samples_per_s": singly / len(pack) * METRICS,
    }


def _samples(groups: list[bytes]) -> int:
    from anlan.core.batch import decode

    return sum(len(decode(group)[0]) for group in groups)


async def _append(fabric: Fabric, messages: list[bytes], seconds: float, in_flight: int) -> float:
    """Return bytes/s appended to the bare log with ``in_flight`` appends under way."""
    slots = asyncio.Semaphore(in_flight)
    done = 0
    end = time.perf_counter() + seconds
    tasks: set[asyncio.Task[None]] = set()

    async def one(message: bytes) -> None:
        nonlocal done
        try:
            await fabric.jetstream.publish("bare.x", message, timeout=10)
            done += len(message)
        finally:
            slots.release()

    began = time.perf_counter()
    number = 0
    while time.perf_counter() < end:
        await slots.acquire()
        task = asyncio.create_task(one(messages[number % len(messages)]))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
    await asyncio.gather(*tasks)
    return done / (time.perf_counter() - began)


def run(*, quick: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure SenML and Sparkplug B; ``quick`` takes two seconds each instead of six."""
    seconds = 2.0 if quick else 6.0
    result: dict[str, Any] = {"connections": CONNECTIONS, "window": WINDOW, "pack_samples": METRICS}
    for format_ in ("senml", "sparkplug"):
        progress(f"gateway, {format_}: {CONNECTIONS} connections × {WINDOW} packs in flight")
        found = asyncio.run(measure(format_, seconds))
        found["of_bare_groups"] = found["samples_per_s"] / found["bare"]["group_samples_per_s"]
        found["of_bare_singles"] = found["samples_per_s"] / found["bare"]["single_samples_per_s"]
        result[format_] = found
    return result


def main() -> None:
    """Run from the command line and print one JSON object."""
    parser = argparse.ArgumentParser(description="Acknowledged samples/s through the gateway's MQTT listener.")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    result = run(quick=options.quick, progress=lambda line: print(line, file=sys.stderr))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")


if __name__ == "__main__":
    main()

"""Faults that are no kills: cut lines, garbage on every listener, a full disk under the log, a clock that jumps.

Each function has a node of its own and returns what it saw with ``ok``. The disk fault needs the right to mount.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil
import yaml

from anlan.cli.options import free_port
from anlan.cli.trial_node import TrialNode
from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.errors import UnavailableError
from anlan.core.events import decode_event
from anlan.core.time import now_us
from anlan.monitor.provisional import LIVE_ALARM
from anlan.perceive.model import ConnectorStatus, ListConnectors
from anlan.settings import Settings
from anlan.sim.account import compare
from anlan.sim.mqtt import MqttDevice
from anlan.sim.ports import Ports
from anlan.sim.secrets import write_secrets
from anlan.sim.site import render
from benchmarks.chaos_account import Log, Told, compare_acked, compare_events, compare_samples, read_events, read_log
from benchmarks.chaos_load import PASSWORD, SECRET, AlarmLoad, point_numbers, write_head, write_site

Progress = Callable[[str], None]
PARTS = ("works", "alarms", "gateway", "historian", "web")
CUT_PORTS = ("opcua", "tank_plc", "utility_plc", "asu_plc", "mqtt_gas", "mqtt_edge", "hj212")
SERVERS = ("opcua", "tank_plc", "utility_plc", "asu_plc")
DISK = "48m"
STATION = "330206000000000000000001"


class Line:
    """A TCP line to ``target`` that can be cut: open connections die, new ones are refused."""

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._pipe, "127.0.0.1", self._port)

    async def cut(self) -> None:
        """Break what is open and refuse what comes."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        self._writers.clear()
        await asyncio.sleep(0)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        both = {writer, far_writer}
        self._writers |= both
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        self._writers -= both


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


class Bench:
    """A node with the load of ``chaos_load`` in a folder of its own.

    Args:
        park: also the virtual park's connectors, at these ports as the node sees them.
        listeners: also an HTTP, an HJ 212 and an MQTT listener that no device connects to.
    """

    def __init__(self, folder: Path, progress: Progress, park: Ports | None = None, *, listeners: bool = False) -> None:
        self.folder, self.progress = folder, progress
        data = folder / "data"
        settings = Settings(
            data=data, site=folder / "site", node="faults", fabric_port=free_port(), web_port=free_port()
        )
        self.settings = replace(settings, log_bytes=2 << 30)
        self.load_port = free_port()
        self.open_ports = {kind: free_port() for kind in ("http", "hj212", "mqtt")} if listeners else {}
        self._write_site(park)
        self.load = AlarmLoad(self.load_port, rate=4)
        self.node = TrialNode(self.settings, PARTS, progress)

    def _write_site(self, park: Ports | None) -> None:
        site, secrets = self.settings.site, self.settings.directory("secrets")
        if park is not None:
            render(park, site)
            write_secrets(secrets)
        else:
            write_head(site)
        write_site(site, secrets, self.load_port)
        if self.open_ports:
            own: dict[str, dict[str, Any]] = {
                "http": {"id": "push", "name": "推送"},
                "mqtt": {"id": "edge", "name": "边缘", "payloads": [{"topic": "spBv1.0/#", "format": "sparkplug"}]},
                "hj212": {"id": "station", "name": "站房", "devices": [{"mn": STATION, "password": SECRET}]},
            }
            listed = [{"kind": kind, "port": port, "map": {}, **own[kind]} for kind, port in self.open_ports.items()]
            (site / "open.yaml").write_text(yaml.safe_dump({"connectors": listed}, allow_unicode=True))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        """The node, all parts ready."""
        async with self.node:
            yield self

    async def connectors(self) -> dict[str, ConnectorStatus]:
        """Return every connector's state."""
        listed = await self.node.fabric.call(
            "perceive.connectors", ListConnectors(), SYSTEM, tuple[ConnectorStatus, ...], timeout=10
        )
        return {status.id: status for status in listed}

    async def connected(self, timeout: float = 60.0) -> None:
        """Return once every connector is up."""
        await until(self._all_up, "every connector up", timeout)

    async def _all_up(self) -> bool:
        return all(status.state == "up" for status in (await self.connectors()).values())

    def problems(self, part: str) -> str:
        """Return what a part says is wrong."""
        report = self.node.supervisor.reports.get(part)
        return "; ".join(report.problems) if report else ""

    def counter(self, part: str, name: str) -> float:
        """Return a counter of a part."""
        report = self.node.supervisor.reports.get(part)
        return report.counters.get(name, 0) if report else 0

    def restarts(self) -> dict[str, int]:
        """Return how often each part was started again."""
        return {child.name: child.restarts for child in self.node.supervisor.children.values() if child.restarts}

    async def account(self) -> dict[str, Any]:
        """Stop the load, drain, compare; the node still runs."""
        await self.load.stop()
        await self.node.drained(120)
        told = await read_events(self.node)
        whole = await read_log(self.node.fabric)
        samples = await compare_samples(self.node, whole)
        events = await compare_events(self.node, whole, told)
        device, times, values = self.load.account()
        numbers = point_numbers({point.path: point.number for point in (await self.node.plant()).points})
        lost = compare_acked(whole, numbers[device], times, values)
        wrong = (lost, self.load.unacknowledged, *(samples[key] for key in ("lost", "duplicated", "altered", "extra")))
        keys = ("events_missing", "events_extra", "events_twice", "events_changed", "events_by_repeats")
        right = not any(wrong) and not any(events[key] for key in keys)
        return {
            "ok": right and self.load.acked > 0 and events["events"] > 0,
            "acked": self.load.acked,
            "lost_of_load": lost,
            "unacknowledged": self.load.unacknowledged,
            "stale": [event.subject for event in told.events if event.subject.endswith(".stale")],
            "connectors_lost": sum(
                event.subject.startswith("connectors/") and event.data.get("arrow") == "raise" for event in told.events
            ),
            "early": early_events(whole, told),
            **samples,
            **{key: events[key] for key in ("events", *keys, "first_differences")},
        }


def early_events(whole: Log, told: Told) -> list[str]:
    """Return the alarms that were told over a second before the time their event bears."""
    stored = {message.sequence: message.stored for message in whole.messages}
    return [
        event.subject
        for event in told.events
        if event.time > stored.get(int(event.data.get("sequence", 0)), event.time) + 1_000_000
    ]


async def until(condition: Callable[[], Any], what: str, timeout: float) -> None:
    """Return once ``condition`` (may be a coroutine function) holds.

    Raises:
        UnavailableError: not within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(UnavailableError):
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
        if time.monotonic() > deadline:
            raise UnavailableError(f"{what}: not within {timeout:.0f} s")
        await asyncio.sleep(0.1)


# --- cut lines --------------------------------------------------------------------------------------------------------


async def cut_lines(folder: Path, progress: Progress, *, cuts: int = 8, seed: int = 1) -> dict[str, Any]:
    """Cut every kind of device's line at random and mend it; nothing acknowledged may be missing."""
    seen, park = Ports.free(), Ports.free()
    # A server stands behind its line as the node sees it; a device reaches the node's listener through one.
    node_side = {name: getattr(seen if name in SERVERS else park, name) for name in CUT_PORTS}
    park_side = {name: getattr(park if name in SERVERS else seen, name) for name in CUT_PORTS}
    lines = {name: Line(getattr(seen, name), getattr(park, name)) for name in CUT_PORTS}
    bench = Bench(folder, progress, Ports(**node_side))
    rng = random.Random(seed)
    for line in lines.values():
        await line.mend()
    command = [sys.executable, "-m", "anlan.sim", "--ports", Ports(**park_side).to_json(), "--drain", "30"]
    async with bench.running():
        with (folder / "park.log").open("wb") as file:
            arguments = [*command, "--speed", "10", "--journal", str(folder / "journal")]
            process = subprocess.Popen(arguments, stdout=file, stderr=file)
        try:
            bench.load.start()
            await bench.connected()
            for number in range(cuts):
                name = CUT_PORTS[number % len(CUT_PORTS)]
                await lines[name].cut()
                progress(f"cut {name}")
                await asyncio.sleep(rng.uniform(0.3, 3))
                await lines[name].mend()
                await asyncio.sleep(rng.uniform(0, 1))
            await bench.connected()
            await asyncio.sleep(2)
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 60)
        result = await bench.account()
        journal = await asyncio.to_thread(compare, folder / "journal", await bench.node.fetcher())
        for line in lines.values():
            await line.cut()
    right = not any(journal[key] for key in ("lost", "duplicated", "altered")) and not bench.restarts()
    gaps = {name: row["gaps"] for name, row in journal["connectors"].items() if row["gaps"]}
    park_account = {key: journal[key] for key in ("stored", "lost", "duplicated", "altered")}
    return {**result, "ok": result["ok"] and right, "cuts": cuts, "gaps": gaps, "park": park_account} | {
        "restarts": bench.restarts()
    }


# --- garbage ----------------------------------------------------------------------------------------------------------


def _garbage(rng: random.Random) -> list[bytes]:
    noise = rng.randbytes(2000)
    return [
        noise,
        rng.randbytes(400_000),
        b"\x10\xff\xff\xff\x7f" + noise,
        b"\x10\x0c\0\4MQTT\4\2\0\x3c\0\0" + noise,
        b"\x30" + noise,
        b"##0123QN=20260101000000000;ST=22;CN=2011;PW=123456;MN=" + noise + b"\r\n",
        b"##9999" + noise,
        b"GET /" + noise[:200] + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2000\r\n\r\n" + noise,
        b"POST /write HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + noise,
        b"CONNECT {" + noise + b"\r\nPUB log.samples 5\r\nhello\r\n",
        b"\x16\x03\x01" + noise,
        b"",
    ]


def listeners(supervisor_pid: int) -> dict[int, str]:
    """Return every port a process of the node listens on, with the command of that process."""
    found: dict[int, str] = {}
    for process in psutil.Process(supervisor_pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr:
                    found[connection.laddr.port] = " ".join(process.cmdline()[-2:])
    return found


async def _throw(port: int, data: bytes) -> None:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1000), 0.3)
            writer.close()


async def garbage(folder: Path, progress: Progress, *, rounds: int = 3, seed: int = 1) -> dict[str, Any]:
    """Throw garbage at every port the node listens on, also from a signed-in device, while the load goes on."""
    bench = Bench(folder, progress, listeners=True)
    rng = random.Random(seed)
    async with bench.running():
        bench.load.start()
        expected = {bench.load_port, *bench.open_ports.values(), bench.settings.fabric_port, bench.settings.web_port}
        await until(lambda: expected <= set(listeners(os.getpid())), "every listener", 60)
        heard = listeners(os.getpid())
        progress(f"garbage on {len(heard)} ports")
        slow = [asyncio.open_connection("127.0.0.1", port) for port in heard for _ in range(20)]
        held = [pair for pair in await asyncio.gather(*slow, return_exceptions=True) if isinstance(pair, tuple)]
        device = MqttDevice(bench.load_port, "garbage", "d0", PASSWORD)
        signed_in = asyncio.ensure_future(device.run())
        answered: list[int] = []
        before = bench.load.acked
        for _ in range(rounds):
            for number in range(10):
                device.publish("load/d0", rng.randbytes(300), acknowledged=partial(answered.append, number))
            await asyncio.gather(*(_throw(port, data) for port in heard for data in _garbage(rng)))
        await until(lambda: len(answered) >= rounds * 10, "garbage packs answered", 20)
        signed_in.cancel()
        for _, writer in held:
            writer.close()
        during = bench.load.acked - before
        await asyncio.sleep(1.5)
        statuses = await bench.connectors()
        dead = {name: status.dead for name, status in statuses.items() if status.dead}
        letters = bench.counter("gateway", "dead_letters")
        result = await bench.account()
        deaf = sorted(expected - set(listeners(os.getpid())))
    counted = dead.get("chaos-load", 0) >= rounds * 10 and dead.get("station", 0) > 0
    right = counted and during > 0 and not deaf and not bench.restarts()
    return {**result, "ok": result["ok"] and right, "ports": heard, "dead": dead, "dead_letters": letters} | {
        "acked_meanwhile": during,
        "deaf": deaf,
        "restarts": bench.restarts(),
    }


# --- a full disk ------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(path: Path, size: str = DISK) -> Iterator[Path]:
    """Mount a small tmpfs at ``path``.

    Raises:
        UnavailableError: this process may not mount.
    """
    path.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True
    )
    if done.returncode:
        raise UnavailableError(
            f"a small disk cannot be mounted: {done.stderr.strip()}", where=str(path), fix="run as root"
        )
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte and return the file that does."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass
    return filler


class ProvisionalEar:
    """Takes down what ``live.alarm`` tells, as a console does."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    async def listen(self, node: TrialNode) -> ProvisionalEar:
        """Subscribe."""
        await node.fabric.client.subscribe(LIVE_ALARM, cb=self._take)
        return self

    async def _take(self, message: Any) -> None:
        event = decode_event(message.data)
        if event.data.get("arrow") == "raise":
            self.rung.append(event.subject)


async def disk_full(folder: Path, progress: Progress, *, seconds: float = 12.0) -> dict[str, Any]:
    """Fill the log's disk under load; alarms must ring provisionally, and all be stored once there is room again."""
    bench = Bench(folder, progress)
    with small_disk(bench.settings.directory("fabric")) as disk:
        async with bench.running():
            ear = await ProvisionalEar().listen(bench.node)
            bench.load.start()
            await bench.connected()
            await asyncio.sleep(2)
            filler = fill(disk)
            progress("the log's disk is full")
            full = time.monotonic()
            await until(lambda: any(name.startswith("chaos/") for name in ear.rung), "a provisional alarm", 40)
            rang = time.monotonic() - full
            alarms = bench.node.supervisor.children["alarms"].pid
            os.kill(alarms, signal.SIGKILL)
            progress("killed the alarms while the disk is full")
            killed = time.monotonic()
            await until(lambda: _again(bench, alarms), "the alarms ready on a full disk", 60)
            before = len(ear.rung)
            await until(lambda: len(ear.rung) > before, "a provisional alarm after a restart", 40)
            rang_again = time.monotonic() - killed
            await asyncio.sleep(max(0.0, seconds - rang))
            # Health is told once a second: the restarted alarms' word may still be on its way.
            await until(lambda: "provisional" in bench.problems("alarms"), "the alarms' word of it", 20)
            said = {part: bench.problems(part) for part in ("gateway", "alarms")}
            rung = len(ear.rung)
            refused_from = bench.load.acked
            filler.unlink()
            progress("there is room again")
            freed = time.monotonic()
            await until(lambda: bench.load.acked > refused_from, "acknowledgements after the disk has room", 60)
            back = time.monotonic() - freed
            await asyncio.sleep(3)
            result = await bench.account()
            await until(lambda: not bench.problems("gateway"), "health clear again", 20)
    told = "log" in said["gateway"] and "log.lost" not in said["gateway"]
    return {**result, "ok": result["ok"] and told and rung > 0, "first_provisional_s": round(rang, 1)} | {
        "provisional_after_kill_s": round(rang_again, 1),
        "provisional": rung,
        "back_s": round(back, 1),
        "health": said,
        "restarts": bench.restarts(),
    }


def _again(bench: Bench, pid: int) -> bool:
    supervisor = bench.node.supervisor
    return supervisor.children["alarms"].pid != pid and supervisor.is_ready("alarms")


# --- a clock that jumps -----------------------------------------------------------------------------------------------


async def clock_jump(folder: Path, progress: Progress, *, hours: float = 1.0) -> dict[str, Any]:
    """Put ticks of a clock that is an hour ahead, then behind, on a live node's log: no alarm may come of it."""
    bench = Bench(folder, progress)
    hour = int(hours * 3_600_000_000)
    async with bench.running():
        bench.load.start()
        await bench.connected()
        await asyncio.sleep(2)
        jumps: list[int] = []
        for shift in (hour, -hour, hour):
            for _ in range(5):
                tick = log.encode(log.Tick(now_us() + shift, 1))
                jumps.append((await bench.node.fabric.jetstream.publish(log.TICK, tick)).seq)
                await asyncio.sleep(0.25)
            progress(f"the clock was {shift / hour:+.0f} h off")
            await asyncio.sleep(1)
        result = await bench.account()
    right = result["ok"] and not result["stale"] and not result["early"] and not bench.restarts()
    return {**result, "ok": right, "jumps": len(jumps)}


# --- all --------------------------------------------------------------------------------------------------------------

FAULTS: dict[str, Callable[..., Any]] = {
    "cut_lines": cut_lines,
    "garbage": garbage,
    "disk_full": disk_full,
    "clock_jump": clock_jump,
}


def run_fault(name: str, progress: Progress, **options: Any) -> dict[str, Any]:
    """Run one fault in a folder of its own; one that this machine does not allow says so under ``skipped``."""
    folder = Path(tempfile.mkdtemp(prefix=f"anlan-{name.replace('_', '-')}-"))
    try:
        result: dict[str, Any] = asyncio.run(FAULTS[name](folder, progress, **options))
        return result
    except UnavailableError as error:
        if "mounted" not in str(error):
            raise
        return {"ok": True, "skipped": str(error)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run from the command line and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fault", choices=FAULTS, nargs="*")
    options = parser.parse_args()
    results = {
        name: run_fault(name, lambda line: print(line, file=sys.stderr)) for name in options.fault or list(FAULTS)
    }
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(results)).decode() + "\n")


if __name__ == "__main__":
    main()

"""The same alarm work in peers, measured in the same run: Node-RED (npm) and vmalert on VictoriaMetrics (Debian).

Work: 1 000 points with HH, H, L and LL limits and a deadband, packs of 100 samples as JSON. What each of them does with
it differs in its favour where it must: Node-RED stores nothing and acknowledges nothing, vmalert evaluates at its
smallest interval of one second. Anlan's figure is the whole chain: durable, stored and evaluated.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import httpx

from anlan.cli.options import free_port

POINTS = 1_000
PACK = 100
LIMITS = {"HH": 95.0, "H": 90.0, "L": 10.0, "LL": 5.0}
DEADBAND = 1.0
NODE_RED = "node-red@4.1.8"

_FUNCTION = """
const limits = {HH: [95, 1], H: [90, 1], L: [10, -1], LL: [5, -1]}, deadband = 1;
const state = context.get('state') || {};
const out = [];
for (const s of msg.payload) {
  for (const kind in limits) {
    const [limit, sign] = limits[kind], key = s.n + kind, active = state[key] === true;
    if (!active && sign * (s.v - limit) > 0) { state[key] = true; out.push([s.n, kind, 'raise', s.t]); }
    else if (active && sign * (s.v - limit) < -deadband) { state[key] = false; out.push([s.n, kind, 'clear', s.t]); }
  }
}
context.set('state', state);
if (!out.length) return null;
msg.payload = JSON.stringify(out) + '\\n';
return msg;
"""


def packs(count: int) -> list[bytes]:
    """Return ``count`` JSON packs of 100 samples; one sample in a thousand crosses a limit, and the last pack."""
    made = []
    for number in range(count):
        rows = []
        for index in range(PACK):
            serial = number * PACK + index
            value = 50 + (serial * 7919 % 3000) / 100  # 50 … 80, inside all limits
            if serial % 1000 == 0:
                value = 97.0
            rows.append({"n": f"p{serial % POINTS}", "v": value, "t": serial})
        made.append(json.dumps(rows).encode() + b"\n")
    made[-1] = json.dumps([{"n": "last", "v": 99.0, "t": -1}]).encode() + b"\n"
    return made


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a peer in a process group of its own and end it afterwards."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _connect(port: int, seconds: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


def _node_red_folder(folder: Path, port: int) -> None:
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", NODE_RED], cwd=folder, check=True)
    (folder / "settings.js").write_text(
        "module.exports = {httpAdminRoot: false, httpNodeRoot: false, logging: {console: {level: 'off'}}}\n"
    )
    common = {"z": "f"}
    flow: list[dict[str, Any]] = [
        {"id": "f", "type": "tab", "label": "alarms"},
        {
            "id": "n1", "type": "tcp in", "server": "server", "host": "", "port": str(port), "datamode": "stream",
            "datatype": "utf8", "newline": "\\n", "topic": "", "trim": False, "base64": False, "wires": [["n2"]],
        } | common,
        {"id": "n2", "type": "json", "property": "payload", "action": "obj", "pretty": False, "wires": [["n3"]]}
        | common,
        {"id": "n3", "type": "function", "func": _FUNCTION, "outputs": 1, "noerr": 0, "wires": [["n4"]]} | common,
        {"id": "n4", "type": "tcp out", "host": "", "port": "", "beserver": "reply", "base64": False, "end": False}
        | common,
    ]  # fmt: skip
    (folder / "flows.json").write_text(json.dumps(flow))


async def _drive_node_red(port: int, count: int) -> dict[str, Any]:
    reader, writer = await _connect(port, 60)
    for warm in packs(50)[:-1]:
        writer.write(warm)
    await writer.drain()
    await asyncio.sleep(1.0)
    payload = packs(count)
    began = time.perf_counter()
    transitions = 0

    async def send() -> None:
        for pack in payload:
            writer.write(pack)
            await writer.drain()

    sender = asyncio.ensure_future(send())
    while True:
        line = await asyncio.wait_for(reader.readline(), 120)
        events = json.loads(line)
        transitions += len(events)
        if any(event[0] == "last" and event[2] == "raise" for event in events):
            break
    seconds = time.perf_counter() - began
    await sender
    latencies = []
    for number in range(200):
        sent = time.perf_counter()
        pack = [{"n": f"probe{number}", "v": 99.0, "t": number}]
        writer.write(json.dumps(pack).encode() + b"\n")
        await asyncio.wait_for(reader.readline(), 10)
        latencies.append((time.perf_counter() - sent) * 1e3)
        await asyncio.sleep(0.005)
    writer.close()
    return {
        "samples_per_s": (count - 1) * PACK / seconds,
        "transitions": transitions,
        "latency_idle_ms_p50": statistics.median(latencies),
        "durable": False,
    }


def node_red(count: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return Node-RED's rate from a TCP socket through JSON and the limits to the transition coming back."""
    if shutil.which("npm") is None:
        return {"skipped": "npm is not installed"}
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        progress(f"installing {NODE_RED}")
        _node_red_folder(folder, port)
        command = ["node", "node_modules/node-red/red.js", "--userDir", str(folder), "--port", str(free_port())]
        with running([*command, "flows.json"], cwd=folder):
            return asyncio.run(_drive_node_red(port, count))


class _Notified(BaseHTTPRequestHandler):
    """Stands in for Alertmanager: takes down when each alert first arrived."""

    first: ClassVar[dict[str, float]] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for alert in json.loads(body):
            point = alert["labels"].get("point", "")
            self.first.setdefault(point, time.perf_counter())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def _vmalert_rules(folder: Path) -> Path:
    rules = [
        {"alert": kind, "expr": f"plant_value {'>' if kind[0] == 'H' else '<'} {limit}"}
        for kind, limit in LIMITS.items()
    ]
    path = folder / "rules.yaml"
    path.write_text(json.dumps({"groups": [{"name": "limits", "interval": "1s", "rules": rules}]}))
    return path


def vmalert(count: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return VictoriaMetrics' ingest rate of the samples and vmalert's latency from push to notification."""
    if shutil.which("victoria-metrics") is None or shutil.which("vmalert") is None:
        return {"skipped": "Debian's victoria-metrics is not installed"}
    progress("VictoriaMetrics and vmalert")
    with tempfile.TemporaryDirectory() as name:
        folder, port, web_port = Path(name), free_port(), free_port()
        _Notified.first = {}
        receiver = ThreadingHTTPServer(("127.0.0.1", 0), _Notified)
        Thread(target=receiver.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{port}"
        store = ["victoria-metrics", f"-storageDataPath={folder / 'vm'}", f"-httpListenAddr=127.0.0.1:{port}"]
        alerts = [
            "vmalert", f"-rule={_vmalert_rules(folder)}", f"-datasource.url={address}", "-evaluationInterval=1s",
            f"-notifier.url=http://127.0.0.1:{receiver.server_port}", f"-httpListenAddr=127.0.0.1:{web_port}",
        ]  # fmt: skip
        try:
            with running([*store, "-search.latencyOffset=0s"]), httpx.Client(base_url=address, timeout=30) as client:
                _wait_http(client)
                rate = _vm_ingest(client, count)
                with running(alerts):
                    time.sleep(3)
                    latencies = _vm_latency(client)
        finally:
            receiver.shutdown()
    return {
        "samples_per_s_ingest_only": rate,
        "latency_ms_p50": statistics.median(latencies) if latencies else None,
        "latency_ms_max": max(latencies) if latencies else None,
        "evaluation_interval_s": 1,
        "durable": "flushed to disk every 5 s, acknowledged before",
    }


def _wait_http(client: httpx.Client) -> None:
    for _ in range(100):
        try:
            client.get("/health")
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError("victoria-metrics does not start")


def _vm_ingest(client: httpx.Client, count: int) -> float:
    start = int(time.time() * 1000) - 3_600_000
    began = time.perf_counter()
    for number in range(0, count, 20):
        lines = []
        for serial in range(number * PACK, (number + 20) * PACK):
            value = 50 + (serial * 7919 % 3000) / 100
            lines.append(f'plant_value{{point="p{serial % POINTS}"}} {value} {start + serial // POINTS * 100}')
        client.post("/api/v1/import/prometheus", content="\n".join(lines)).raise_for_status()
    return count * PACK / (time.perf_counter() - began)


def _vm_latency(client: httpx.Client) -> list[float]:
    latencies = []
    # The series exist before they alarm, as a plant's do: a new one takes this store seconds to index.
    calm = "\n".join(f'plant_value{{point="probe{number}"}} 50' for number in range(8))
    client.post("/api/v1/import/prometheus", content=calm).raise_for_status()
    time.sleep(12)
    for number in range(8):
        point = f"probe{number}"
        sent = time.perf_counter()
        client.post("/api/v1/import/prometheus", content=f'plant_value{{point="{point}"}} 99').raise_for_status()
        while point not in _Notified.first and time.perf_counter() - sent < 15:
            time.sleep(0.01)
        if point in _Notified.first:
            latencies.append((_Notified.first[point] - sent) * 1e3)
    return latencies


def run(*, quick: bool = False, progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure the peers and Anlan's whole chain with the same packs, and return the ratios."""
    from benchmarks.live import chain_rate

    count = 2_000 if quick else 10_000
    red = node_red(count, progress)
    metrics = vmalert(count, progress)
    progress("Anlan, whole chain")
    ours = chain_rate("senml", seconds=5 if quick else 10, progress=progress)
    latency = ours["latency_ms"]["p50"]
    ratios: dict[str, Any] = {}
    if "samples_per_s" in red:
        ratios["rate_to_node_red"] = ours["samples_per_s"] / red["samples_per_s"]
    if metrics.get("latency_ms_p50"):
        ratios["vmalert_latency_to_ours"] = metrics["latency_ms_p50"] / latency
        ratios["rate_to_victoriametrics_ingest"] = ours["samples_per_s"] / metrics["samples_per_s_ingest_only"]
    return {"points": POINTS, "limits": LIMITS, "node_red": red, "vmalert": metrics, "anlan": ours, "ratios": ratios}

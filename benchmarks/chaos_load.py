"""Load of a kill test: devices of QoS 1 whose samples cross alarm limits, with an account of what was acknowledged."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from anlan.sim.mqtt import MqttDevice

DEVICES = 4
METRICS = 100
ALARMED = 12
STALE = range(12, 16)
SLOW = 16
SLOW_S = 45
SECRET = "chaos-load"
PASSWORD = "load under test"
LIMIT = 50.0
DEADBAND = 1.0


def write_head(folder: Path) -> None:
    """Write the head of a site that holds the load alone."""
    folder.mkdir(parents=True, exist_ok=True)
    head = {"id": "load", "name": "负载", "tier": "enterprise", "timezone": "UTC"}
    (folder / "site.yaml").write_text(yaml.safe_dump({"site": head}, allow_unicode=True))


def write_site(folder: Path, secrets: Path, port: int) -> None:
    """Add the load's enterprise and listener to a site folder, and its password to the secrets."""
    units, tags = [], {}
    for device in range(DEVICES):
        points = []
        for metric in range(METRICS):
            point: dict[str, object] = {"id": f"m{metric:02d}", "kind": "other", "name": f"负载 {device}-{metric}"}
            if metric < ALARMED:
                point["alarms"] = [_alarm(metric)]
            elif metric in STALE:
                point |= {"stale": "15 s", "alarms": [{"kind": "stale", **_GUIDANCE}]}
            elif metric == SLOW:
                point["alarms"] = [{"kind": "H", "limit": 0, "on_delay": f"{SLOW_S} s", **_GUIDANCE}]
            points.append(point)
            tags[f"chaos/load/d{device}/m{metric:02d}"] = f"senml:d{device}/m{metric:02d}"
        units.append({"id": f"d{device}", "name": f"负载 {device}", "kind": "other", "points": points})
    area = {"id": "load", "name": "负载", "units": units}
    connector = {
        "id": "chaos-load",
        "kind": "mqtt",
        "name": "负载",
        "host": "127.0.0.1",
        "port": port,
        "devices": [{"user": f"d{device}", "password": SECRET, "topics": ["load/#"]} for device in range(DEVICES)],
        "payloads": [{"topic": "load/+", "format": "senml"}],
        "map": tags,
    }
    document = {"enterprises": [{"id": "chaos", "name": "负载", "areas": [area]}], "connectors": [connector]}
    (folder / "chaos.yaml").write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
    secrets.mkdir(parents=True, exist_ok=True)
    path = secrets / SECRET
    path.touch(mode=0o600)
    path.write_text(PASSWORD)


_GUIDANCE = {
    "cause": "负载",
    "consequence": {"grade": "minor", "text": "无"},
    "action": "无",
    "time_to_act": "10 min",
}


def _alarm(metric: int) -> dict[str, object]:
    entry: dict[str, object] = {
        "kind": "H",
        "limit": LIMIT,
        "deadband": DEADBAND,
        **_GUIDANCE,
    }
    # Every third one waits, so that kills fall into pending delays too; every fourth one latches.
    if metric % 3 == 0:
        entry["on_delay"] = "700 ms"
    if metric % 4 == 0:
        entry["latched"] = True
    return entry


class AlarmLoad:
    """Publishes ``rate`` packs a second of ``METRICS`` samples from each device until stopped.

    The points ``ALARMED`` swing across their limit with periods of 2 … 8 s; those in ``STALE`` ring when their samples
    stay away, and ``SLOW`` rings once, ``SLOW_S`` s after the first sample.

    Args:
        port: of the listener. rate: packs/s of each device.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._rate = rate
        self._devices = [MqttDevice(port, f"d{n}", f"d{n}", PASSWORD) for n in range(DEVICES)]
        self._tasks: list[asyncio.Task[None]] = []
        self._acked: list[tuple[int, int, NDArray[np.float64]]] = []
        self._rng = np.random.default_rng(7)
        self._swing = self._rng.uniform(2, 8, (DEVICES, METRICS))
        self.sent = 0

    @property
    def acked(self) -> int:
        """Samples acknowledged so far."""
        return len(self._acked) * METRICS

    @property
    def unacknowledged(self) -> int:
        """Packs handed over or waiting, not acknowledged."""
        return sum(device.unacknowledged for device in self._devices)

    @property
    def overflow(self) -> int:
        """Packs given up by devices whose memory was full."""
        return sum(device.counts.overflow for device in self._devices)

    def start(self) -> None:
        """Connect and publish."""
        self._tasks = [asyncio.ensure_future(device.run()) for device in self._devices]
        self._tasks.append(asyncio.ensure_future(self._publish()))

    async def stop(self, patience: float = 60.0) -> None:
        """Stop sampling, wait up to ``patience`` seconds for what is unacknowledged, disconnect."""
        self._tasks.pop().cancel()
        deadline = time.monotonic() + patience
        while self.unacknowledged and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        for device in self._devices:
            await device.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _publish(self) -> None:
        due = time.monotonic()
        last = 0
        while True:
            now = max(time.time_ns() // 1_000_000, last + 1)
            last = now
            for number, device in enumerate(self._devices):
                self._send(number, device, now)
            due = max(due + 1 / self._rate, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _send(self, number: int, device: MqttDevice, now: int) -> None:
        phase = 2 * np.pi * (now % 1_000_000) / 1000 / self._swing[number]
        values = LIMIT + 10 * np.sin(phase) + self._rng.normal(0, 0.3, METRICS)
        rows = [f'{{"n":"m{metric:02d}","v":{value!r}}}' for metric, value in enumerate(values.tolist())]
        rows[0] = f'{{"bn":"d{number}/","bt":{now // 1000}.{now % 1000:03d},' + rows[0][1:]
        device.publish(
            f"load/d{number}",
            ("[" + ",".join(rows) + "]").encode(),
            acknowledged=lambda: self._acked.append((number, now * 1000, values)),
        )
        self.sent += METRICS

    def account(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return what was acknowledged as columns: device × ``METRICS`` + metric, time µs UTC, value."""
        if not self._acked:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        device = np.array([row[0] for row in self._acked], np.int64)
        times = np.array([row[1] for row in self._acked], np.int64)
        values = np.concatenate([row[2] for row in self._acked])
        points = (device[:, None] * METRICS + np.arange(METRICS)).ravel()
        return points, np.repeat(times, METRICS), values


def point_numbers(numbers: dict[str, int]) -> NDArray[np.int64]:
    """Return the node's number of each point of the load, from numbers by path."""
    return np.array([numbers[f"chaos/load/d{d}/m{m:02d}"] for d in range(DEVICES) for m in range(METRICS)], np.int64)

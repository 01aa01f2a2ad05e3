"""Kill parts of a loaded node at random, then prove that nothing acknowledged is lost and no alarm is wrong.

The node is ``anlan serve`` in a process of its own on a rendered park site, so that its supervisor can be killed too;
the virtual park and devices of QoS 1 are the load. Among the kills some keep a part down for longer than the fabric
remembers message ids. Afterwards the log is read from its first record: the historian must hold every sample of it once
and bit for bit, and the alarm events must be those of one undisturbed evaluation of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
import nats.js.errors
import psutil

from anlan.cli.options import free_port
from anlan.cli.trial_node import TrialNode
from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.errors import AnlanError, UnavailableError
from anlan.core.health import HealthReport
from anlan.core.time import now_us
from anlan.monitor.model import Act, ActResult, AlarmList, ListAlarms
from anlan.perceive.model import ConnectorStatus, ListConnectors
from anlan.runtime import PARTS
from anlan.settings import Settings
from anlan.sim.account import compare
from anlan.sim.ports import Ports
from anlan.sim.secrets import write_secrets
from anlan.sim.site import render
from anlan.store.fabric import server
from anlan.store.fabric.client import Fabric
from benchmarks.chaos_account import compare_acked, compare_events, compare_samples, read_events, read_log
from benchmarks.chaos_load import AlarmLoad, point_numbers, write_head, write_site

ROOT = Path(__file__).resolve().parent.parent
WINDOW_S = 3.0
TARGETS = ("fabric", *PARTS, "supervisor")
LONG_EVERY = 7
READY_S = 180.0
LOOK_S = 0.05


_NO_PARK: dict[str, Any] = {"connectors": {}, "lost": 0, "duplicated": 0, "altered": 0}


class ServedNode(TrialNode):
    """A node whose supervisor runs in a process of its own, and what is seen of it from outside."""

    def __init__(self, settings: Settings, announce: Callable[[str], None]) -> None:
        super().__init__(settings, tuple(PARTS), announce)
        self._announce = announce
        self._connection: Fabric | None = None
        self._serve: subprocess.Popen[bytes] | None = None
        self.reports: dict[str, HealthReport] = {}
        self.exits: list[int] = []

    async def __aenter__(self) -> ServedNode:
        self.start()
        try:
            await server.wait_ready(self.settings, timeout=60)
            self._connection = await Fabric.connect(self.settings, "runtime", name="chaos")
            await self._connection.client.subscribe(f"{log.HEALTH}.>", cb=self._take_report)
            await self.ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._serve is not None and self._serve.poll() is None:
            self._serve.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self._serve.wait, 60)
            except subprocess.TimeoutExpired:
                self._serve.kill()
        if self._connection is not None:
            await self._connection.close()

    @property
    def fabric(self) -> Fabric:
        """The connection of whoever watches the node."""
        if self._connection is None:
            raise UnavailableError("the node has not started")
        return self._connection

    def start(self) -> None:
        """Start the supervisor on the data directory."""
        settings = self.settings
        command = [sys.executable, "-m", "anlan", "serve", "--site", str(settings.site), "--data", str(settings.data)]
        with (settings.directory("logs") / "supervisor.log").open("ab") as file:
            self._serve = subprocess.Popen(
                [*command, "--port", str(settings.web_port), "--node", settings.node],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **settings.environment()},
                cwd=ROOT,
            )

    @property
    def supervised(self) -> bool:
        """Whether the supervisor runs."""
        return self._serve is not None and self._serve.poll() is None

    def pid(self, part: str) -> int:
        """Return the process id of a running part, 0 when it is down."""
        if self._serve is None or self._serve.poll() is not None:
            return 0
        if part == "supervisor":
            return self._serve.pid
        try:
            found = int(json.loads((self.settings.data / "pids.json").read_text()).get(part, 0))
            process = psutil.Process(found) if found else None
            # The file may be that of an earlier supervisor, and the number somebody else's by now.
            ours = process is not None and process.ppid() == self._serve.pid
            return found if ours and process is not None and process.status() != psutil.STATUS_ZOMBIE else 0
        except (OSError, ValueError, psutil.Error):
            return 0

    def kill(self, part: str) -> int:
        """Kill -9 a part and return its process id, 0 when it was not running."""
        pid = self.pid(part)
        if pid:
            os.kill(pid, signal.SIGKILL)
            if part == "supervisor" and self._serve is not None:
                self._serve.wait()
            # It dies a little later, and would pass for ready until then.
            while self.pid(part) == pid:
                time.sleep(0.001)
        return pid

    def is_ready(self, part: str, other_than: int = 0) -> bool:
        """Return whether the present process of a part, not ``other_than``, has said that it is ready."""
        pid = self.pid(part)
        report = self.reports.get(part)
        return bool(pid and pid != other_than and report and report.ready and report.pid == pid)

    async def fabric_answers(self) -> bool:
        """Return whether the log can be asked."""
        try:
            await asyncio.wait_for(self.fabric.jetstream.account_info(), 0.5)
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
            return False
        return True

    async def all_ready(self) -> bool:
        """Return whether the fabric answers and every part is ready."""
        return all(self.is_ready(part) for part in PARTS) and await self.fabric_answers()

    async def ready(self, timeout: float = READY_S) -> None:
        """Return once all parts are ready; a supervisor that ended by itself is noted and started again.

        Raises:
            UnavailableError: not within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while not await self.all_ready():
            self.revive()
            if time.monotonic() > deadline:
                waiting = [part for part in PARTS if not self.is_ready(part)] or ["fabric"]
                raise UnavailableError(f"not ready after {timeout:.0f} s: {', '.join(waiting)}")
            await asyncio.sleep(LOOK_S)

    def revive(self) -> None:
        """Start the supervisor again if it ended by itself."""
        if self._serve is not None and self._serve.poll() is not None:
            self.exits.append(self._serve.returncode)
            self._announce(f"the supervisor ended by itself with {self._serve.returncode}")
            self.start()

    async def _take_report(self, message: Any) -> None:
        with contextlib.suppress(msgspec.MsgspecError):
            report = msgspec.json.decode(message.data, type=HealthReport)
            self.reports[report.process] = report


@dataclass
class Watch:
    """What is noted of a node while it is being killed: recoveries, memory, how many processes each part used up."""

    node: ServedNode
    down: dict[str, tuple[float, int]] = field(default_factory=dict)
    recovery: dict[str, list[float]] = field(default_factory=dict)
    pids: dict[str, set[int]] = field(default_factory=dict)
    peak_mb: dict[str, int] = field(default_factory=dict)

    def killed(self, part: str, pid: int) -> None:
        """Note a kill; a second one before the recovery starts the clock anew."""
        self.down[part] = (time.monotonic(), pid)

    async def run(self) -> None:
        """Watch until cancelled."""
        looked = 0.0
        while True:
            for part, (since, pid) in list(self.down.items()):
                if await self._is_back(part, pid):
                    self.recovery.setdefault(part, []).append(time.monotonic() - since)
                    self.down.pop(part, None)
            if time.monotonic() - looked > 1:
                looked = time.monotonic()
                self._look()
            await asyncio.sleep(LOOK_S)

    async def _is_back(self, part: str, pid: int) -> bool:
        if part == "supervisor":
            return self.node.pid(part) not in (0, pid) and await self.node.all_ready()
        if part == "fabric":
            return self.node.pid(part) not in (0, pid) and await self.node.fabric_answers()
        return self.node.is_ready(part, pid)

    def _look(self) -> None:
        for part in TARGETS:
            pid = self.node.pid(part)
            if not pid:
                continue
            self.pids.setdefault(part, set()).add(pid)
            with contextlib.suppress(psutil.Error):
                self.peak_mb[part] = max(self.peak_mb.get(part, 0), psutil.Process(pid).memory_info().rss >> 20)

    def recovery_s(self) -> dict[str, dict[str, float]]:
        """Return median and longest time from a kill to ready again by part, s."""
        return {
            part: {"n": len(rows), "p50": round(sorted(rows)[len(rows) // 2], 2), "max": round(max(rows), 2)}
            for part, rows in sorted(self.recovery.items())
        }


class Killer:
    """Kills ``kills`` times, each target in turn of a shuffled round, half of the time without waiting for a recovery.

    Args:
        pause: longest random wait before a kill, s.
    """

    def __init__(
        self, node: ServedNode, watch: Watch, seed: int, pause: float, progress: Callable[[str], None]
    ) -> None:
        self._node, self._watch, self._pause, self._progress = node, watch, pause, progress
        self._random = random.Random(seed)
        self._round: list[str] = []
        self.kills: Counter[str] = Counter()
        self.again = 0
        self.long_downtimes = 0

    async def run(self, kills: int) -> None:
        """Do all kills; return when the node is whole again."""
        for number in range(1, kills + 1):
            if self._random.random() < 0.5:
                await self._node.ready()
            await asyncio.sleep(self._random.uniform(0.1, self._pause))
            part = self._next()
            long = number % LONG_EVERY == min(kills, LONG_EVERY) - 1
            await self._kill(part, long)
            self._progress(f"{number}/{kills}: killed {part}" + (f", down for over {WINDOW_S:.0f} s" if long else ""))
        await self._node.ready()

    def _next(self) -> str:
        if not self._round:
            self._round = list(TARGETS)
            self._random.shuffle(self._round)
        return self._round.pop()

    async def _kill(self, part: str, long: bool) -> None:
        pid = 0
        deadline = time.monotonic() + READY_S
        while not (pid := self._node.kill(part)):
            self._node.revive()
            if time.monotonic() > deadline:
                raise UnavailableError(f"{part} does not come back to be killed")
            await asyncio.sleep(LOOK_S)
        self.kills[part] += 1
        self._watch.killed(part, pid)
        if long:
            self.long_downtimes += 1
            await self._keep_down(part, WINDOW_S + self._random.uniform(1, 3))
        if part == "supervisor":
            self._node.start()

    async def _keep_down(self, part: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if part != "supervisor" and (pid := self._node.kill(part)):
                self.again += 1
                self._watch.killed(part, pid)
            await asyncio.sleep(0.01)


class Operator:
    """Somebody who acknowledges and shelves while all this goes on, and sees acts refused or unanswered."""

    def __init__(self, node: ServedNode, seed: int) -> None:
        self._node = node
        self._random = random.Random(seed)
        self.done = 0
        self.refused = 0
        self.unanswered = 0

    async def run(self) -> None:
        """Act until cancelled."""
        while True:
            await asyncio.sleep(self._random.uniform(0.2, 1.0))
            try:
                await self._act()
            except (AnlanError, nats.errors.Error, OSError):
                self.unanswered += 1

    async def _act(self) -> None:
        fabric = self._node.fabric
        listed = await fabric.call("monitor.alarms", ListAlarms(), SYSTEM, AlarmList, timeout=2)
        waiting = [row for row in listed.rows if not row.acknowledged]
        picked = self._random.sample(waiting, min(3, len(waiting)))
        if not picked:
            return
        alarms = tuple(row.alarm for row in picked)
        if self._random.random() < 0.3:
            until = now_us() + int(self._random.uniform(2, 20) * 1e6)
            act = Act("shelve", alarms[:1], comment="试验 on trial", until=until)
        else:
            act = Act("acknowledge", alarms, tuple(row.instance for row in picked), comment="知道了 seen")
        result = await fabric.call("monitor.act", act, SYSTEM, ActResult, timeout=10)
        self.done += len(result.done)
        self.refused += len(result.refused)


class Chaos:
    """One kill test in a folder of its own; ``park`` False leaves the load only."""

    def __init__(
        self, folder: Path, *, kills: int, seed: int, quick: bool, progress: Callable[[str], None], park: bool = True
    ) -> None:
        self._kills, self._seed, self._quick, self._progress, self._park = kills, seed, quick, progress, park
        data = folder / "data"
        settings = Settings(
            data=data, site=folder / "site", node="chaos", fabric_port=free_port(), web_port=free_port()
        )
        self.settings = replace(settings, duplicate_window_s=WINDOW_S, log_bytes=4 << 30)
        self.ports = Ports.free()
        self.journal = folder / "journal"
        load_port = free_port()
        if park:
            render(self.ports, self.settings.site)
            write_secrets(data / "secrets", seed)
        else:
            write_head(self.settings.site)
        write_site(self.settings.site, data / "secrets", load_port)
        self.load = AlarmLoad(load_port, rate=4 if quick else 10)

    async def run(self) -> dict[str, Any]:
        """Start, load, kill, drain, account."""
        began = time.monotonic()
        async with ServedNode(self.settings, self._progress) as node:
            park = self._start_park() if self._park else None
            self.load.start()
            try:
                await _connected(node)
                watch = Watch(node)
                killer = Killer(node, watch, self._seed, 1.5 if self._quick else 4.0, self._progress)
                operator = Operator(node, self._seed)
                aside = [asyncio.ensure_future(watch.run()), asyncio.ensure_future(operator.run())]
                await killer.run(self._kills)
                await asyncio.sleep(2)
                await _end(aside)
                self._progress("stopping the load")
                await self.load.stop()
            finally:
                if park is not None:
                    park.send_signal(signal.SIGTERM)
                    await asyncio.to_thread(park.wait, 60)
            self._progress("waiting for the last samples")
            await node.drained(300)
            account = await self._account(node)
        account |= {
            "kills": {"total": killer.kills.total(), **{part: killer.kills[part] for part in TARGETS}},
            "kills_while_kept_down": killer.again,
            "long_downtimes": killer.long_downtimes,
            "acts": {"done": operator.done, "refused": operator.refused, "unanswered": operator.unanswered},
            "recovery_s": watch.recovery_s(),
            "processes": {part: len(pids) for part, pids in sorted(watch.pids.items())},
            "peak_rss_mb": dict(sorted(watch.peak_mb.items())),
            "supervisor_exits": node.exits,
            "duplicate_window_s": WINDOW_S,
            "seed": self._seed,
            "seconds": round(time.monotonic() - began, 1),
        }
        return {"ok": _is_well(account), **account}

    def _start_park(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "anlan.sim", "--ports", self.ports.to_json(), "--seed", str(self._seed)]
        with (self.settings.directory("logs") / "park.log").open("ab") as file:
            return subprocess.Popen(
                [*command, "--speed", "10", "--drain", "60", "--journal", str(self.journal)], stdout=file, stderr=file
            )

    async def _account(self, node: ServedNode) -> dict[str, Any]:
        self._progress("reading the log back")
        told = await read_events(node)
        whole = await read_log(node.fabric)
        samples = await compare_samples(node, whole)
        self._progress(f"{samples['on_log']:,} samples on the log; comparing events")
        events = await compare_events(node, whole, told)
        self._progress("comparing with the park's journal")
        park = await asyncio.to_thread(compare, self.journal, await node.fetcher()) if self._park else _NO_PARK
        device, times, values = self.load.account()
        numbers = point_numbers({point.path: point.number for point in (await node.plant()).points})
        acked = sum(row["acked"] for row in park["connectors"].values())
        return {
            "acked": {"load": self.load.acked, "park": acked},
            "unacknowledged_at_end": self.load.unacknowledged,
            "stored": samples["stored"],
            "lost": {
                "of_log": samples["lost"],
                "of_load": compare_acked(whole, numbers[device], times, values),
                "of_park": park["lost"],
            },
            "duplicated": {"of_log": samples["duplicated"], "of_park": park["duplicated"]},
            "altered": {"of_log": samples["altered"], "of_park": park["altered"]},
            "extra": samples["extra"],
            "repeats_on_log": samples["repeats_on_log"],
            **events,
            "gaps": {name: row["gaps"] for name, row in park["connectors"].items() if row["gaps"]},
            "park": park["connectors"],
        }


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


def _is_well(account: dict[str, Any]) -> bool:
    wrong = (
        *account["lost"].values(),
        *account["duplicated"].values(),
        *account["altered"].values(),
        *account["journal"].values(),
        *(account[f"events_{what}"] for what in ("missing", "extra", "twice", "changed", "by_repeats")),
        account["extra"],
        account["unacknowledged_at_end"],
        len(account["supervisor_exits"]),
    )
    return not any(wrong) and account["stored"] > 0 and account["events"] > 0 and account["acked"]["load"] > 0


async def _connected(node: ServedNode, timeout: float = 60.0) -> None:
    """Return once every connector has met its device."""
    deadline = time.monotonic() + timeout
    waiting = ["all"]
    while waiting:
        listed = await node.fabric.call(
            "perceive.connectors", ListConnectors(), SYSTEM, tuple[ConnectorStatus, ...], timeout=30
        )
        waiting = [status.id for status in listed if status.state != "up"]
        if waiting and time.monotonic() > deadline:
            raise UnavailableError(f"not connected after {timeout:.0f} s: {', '.join(waiting)}")
        await asyncio.sleep(0.25)


def run(
    *, quick: bool = False, progress: Callable[[str], None] = print, kills: int = 100, seed: int = 1
) -> dict[str, Any]:
    """Kill and account, then show the faults that are no kills; ``quick`` takes at most 10 kills and no faults."""
    from benchmarks.faults import FAULTS, run_fault

    kills = min(kills, 10) if quick else kills
    with tempfile.TemporaryDirectory(prefix="anlan-chaos-", ignore_cleanup_errors=True) as folder:
        chaos = Chaos(Path(folder), kills=kills, seed=seed, quick=quick, progress=progress)
        result = asyncio.run(chaos.run())
    if quick:
        return result
    faults = {}
    for name in FAULTS:
        progress(f"fault: {name}")
        faults[name] = run_fault(name, progress)
    return {**result, "ok": result["ok"] and all(fault["ok"] for fault in faults.values()), "faults": faults}


def main() -> None:
    """Run from the command line and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    result = run(
        quick=options.quick,
        progress=lambda line: print(line, file=sys.stderr),
        kills=options.kills,
        seed=options.seed,
    )
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")
    sys.exit(not result["ok"])


if __name__ == "__main__":
    main()

"""Processes of a node: the skeleton each part runs in, and the supervisor that starts, watches and stops them.

A part is ready only when it says so, after warm-up. A part that dies is started again with back-off and the others go
on; the parts of a killed supervisor are ended by the kernel, so that a new one starts clean.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any

import msgspec

from anlan.core import log
from anlan.core.errors import AnlanError, UnavailableError
from anlan.core.events import Event, EventType, SystemState
from anlan.core.health import Health, HealthReport
from anlan.core.ids import new_ulid
from anlan.core.time import now_us
from anlan.settings import Settings, remember
from anlan.store.fabric import server
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.disk import DiskWatch

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
STOP_TIMEOUT_S = 15.0
PORT_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of process: the module whose ``run`` it executes, its fabric role and its niceness."""

    name: str
    module: str
    role: str
    nice: int = 0


# The historian yields to the alarms: at nice 15 its merges cost the alarm path nothing measurable at p99.
PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Part("works", "anlan.plant.service", "works"),
        Part("alarms", "anlan.monitor.service", "alarms"),
        Part("gateway", "anlan.perceive.service", "gateway"),
        Part("historian", "anlan.store.historian.service", "historian", nice=15),
        Part("warn", "anlan.warn.service", "warn", nice=5),
        Part("web", "anlan.web.service", "web"),
    )
}


# Rooms above the web floor whose routes and pages the console shows; plug-ins add theirs by the entry-point group.
WEB_ROOMS = ("anlan.monitor", "anlan.perceive", "anlan.warn")
ROOM_ENTRY_POINTS = "anlan.rooms"


def register_rooms() -> None:
    """Register the API routes and console pages of all rooms with the web floor."""
    from anlan.web import registry

    plugins = [point.value for point in entry_points(group=ROOM_ENTRY_POINTS)]
    for room in (*WEB_ROOMS, *plugins):
        registry.register_router(importlib.import_module(f"{room}.api").router)
        importlib.import_module(f"{room}.page").register()


# --- inside a part ----------------------------------------------------------------------------------------------------


def run_part(name: str, settings: Settings) -> int:
    """Run one part in this process until it is told to stop; return its exit code."""
    part = PARTS[name]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    if part.nice:
        os.nice(part.nice)
    try:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_part_main(part, settings))
    except AnlanError as error:
        logger.error("%s stops: %s", name, error)
        return 1


async def _part_main(part: Part, settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = Health(process=settings.process_name(part.name), started=now_us())
    edge = part.name == "gateway" and bool(settings.fabric)
    fabric = await Fabric.connect(settings, part.role, name=part.name, wait=not edge)
    reporter = asyncio.ensure_future(_report_health(fabric, health))
    try:
        module = importlib.import_module(part.module)
        if part.name == "web":
            register_rooms()
        await module.run(fabric, health, stop)
        return 0
    except Exception:
        logger.exception("%s failed", part.name)
        return 1
    finally:
        reporter.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reporter
        await fabric.close()


async def _report_health(fabric: Fabric, health: Health) -> None:
    subject = f"{log.HEALTH}.{health.process}"
    while True:
        with contextlib.suppress(Exception):
            await fabric.client.publish(subject, msgspec.json.encode(health.report(os.getpid(), now_us())))
        await asyncio.sleep(1.0 if health.ready else 0.2)


# --- the supervisor ---------------------------------------------------------------------------------------------------


def _die_with_parent() -> None:
    # A killed supervisor must not leave parts behind that a new one would start a second time.
    ctypes.CDLL("libc.so.6", use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Child:
    """A supervised process: how to start it, and how it has fared."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started: float = 0.0
    wanted: bool = True
    next_start: float = 0.0
    delay: float = 0.0

    @property
    def pid(self) -> int:
        """Process id, 0 when it is not running."""
        return self.process.pid if self.process is not None and self.process.poll() is None else 0


class Supervisor:
    """Starts the parts of one node, restarts what dies, stops all in order.

    Args:
        settings: the node.
        parts: names of ``PARTS`` to run besides the embedded fabric.
        on_change: called with a line for people when a part starts, is ready or dies.
    """

    def __init__(
        self, settings: Settings, parts: tuple[str, ...] = tuple(PARTS), on_change: Callable[[str], None] | None = None
    ) -> None:
        self.settings = settings
        self.children: dict[str, Child] = {}
        self.reports: dict[str, HealthReport] = {}
        self.parts = parts
        self._on_change = on_change or (lambda line: logger.info("%s", line))
        self._watch: asyncio.Task[None] | None = None
        self._fabric: Fabric | None = None
        self._logs: dict[str, IO[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._disk: DiskWatch | None = None
        self._disk_looked = 0.0

    def add(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Child:
        """Register a process to supervise; it starts with ``start_child``."""
        child = Child(name, command, environment or {})
        self.children[name] = child
        return child

    async def start(self) -> None:
        """Start the fabric, then the parts.

        Raises:
            UnavailableError: the fabric does not come up.
        """
        await self.start_fabric()
        self.start_parts()

    async def start_fabric(self) -> None:
        """Start the fabric, make its streams, and watch all processes from now on."""
        remember(self.settings)
        self._watch = asyncio.ensure_future(self._watch_children())
        if self.settings.fabric:
            # Another machine's fabric may be away: a gateway at the edge starts all the same, with its own buffer.
            # At the edge it has no right to more than its gateway has.
            role = "gateway" if self.settings.edge else "runtime"
            self._fabric = await Fabric.connect(self.settings, role, name="supervisor", wait=False)
            self._keep(self._meet_fabric(self._fabric))
            return
        self._disk = DiskWatch(self.settings, self.settings.directory("logs") / "fabric.log")
        self.start_child(self.add("fabric", server.command(self.settings), server.ENVIRONMENT))
        await server.wait_ready(self.settings)
        self._fabric = await Fabric.connect(self.settings, "runtime", name="supervisor")
        await self._meet_fabric(self._fabric)

    async def _meet_fabric(self, fabric: Fabric) -> None:
        while not fabric.client.is_connected:  # noqa: ASYNC110 - the client tells it only by its state
            await asyncio.sleep(0.2)
        if not self.settings.edge:
            await fabric.ensure_streams()
        await fabric.client.subscribe(f"{log.HEALTH}.>", cb=self._take_report)

    def start_parts(self, names: Sequence[str] | None = None) -> None:
        """Start the parts, or those of ``names``."""
        for name in self.parts if names is None else names:
            command = [sys.executable, "-m", "anlan", "part", name]
            self.start_child(self.add(name, command, self.settings.environment()))

    @property
    def fabric(self) -> Fabric:
        """The supervisor's own connection."""
        if self._fabric is None:
            raise UnavailableError("the supervisor has not started")
        return self._fabric

    async def wait_ready(self, timeout: float = 180.0, names: Sequence[str] | None = None) -> None:
        """Return once every part, or those of ``names``, has said that it is ready.

        Args:
            timeout: seconds; the first start of all compiles the kernels.

        Raises:
            UnavailableError: one of them is not ready in time; names it and its log.
        """
        deadline = time.monotonic() + timeout
        while True:
            waiting = [name for name in self.parts if names is None or name in names]
            waiting = [name for name in waiting if not self.is_ready(name)]
            if not waiting:
                return
            if time.monotonic() > deadline:
                logs = ", ".join(str(self.settings.data / "logs" / f"{name}.log") for name in waiting)
                raise UnavailableError(f"not ready: {', '.join(waiting)}", fix=f"see {logs}")
            await asyncio.sleep(0.05)

    def is_ready(self, name: str) -> bool:
        """Return whether the part's present process has reported ready."""
        report = self.reports.get(self.settings.process_name(name))
        child = self.children.get(name)
        return bool(child and report and report.ready and report.pid == child.pid)

    def start_child(self, child: Child) -> None:
        """Start (or start again) one process; its output goes to ``data/logs/NAME.log``."""
        file = self._logs.get(child.name)
        if file is None:
            file = (self.settings.directory("logs") / f"{child.name}.log").open("ab")
            self._logs[child.name] = file
        child.process = subprocess.Popen(
            child.command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **child.environment},
            preexec_fn=_die_with_parent,
            start_new_session=True,
        )
        child.started = time.monotonic()
        child.wanted = True
        self._write_pids()

    async def stop(self) -> None:
        """Stop all: devices first, then what reads the log, the fabric last."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        order = sorted(self.children.values(), key=lambda child: _STOP_ORDER.get(child.name, 0))
        for stage in sorted({_STOP_ORDER.get(child.name, 0) for child in order}):
            await self._stop_children([child for child in order if _STOP_ORDER.get(child.name, 0) == stage])
            if stage == _STOP_ORDER["web"] and self._fabric is not None:
                await self._fabric.close()
        for file in self._logs.values():
            file.close()

    async def _stop_children(self, children: list[Child]) -> None:
        running = [child for child in children if child.pid]
        for child in running:
            child.wanted = False
            os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in running:
            await _ended(child, deadline)
            if child.pid and child.process is not None:
                logger.warning("%s did not stop in %.0f s and is killed", child.name, STOP_TIMEOUT_S)
                child.process.kill()
                child.process.wait()

    async def _take_report(self, message: Any) -> None:
        with contextlib.suppress(msgspec.MsgspecError):
            report = msgspec.json.decode(message.data, type=HealthReport)
            if self.settings.edge and report.process not in map(self.settings.process_name, self.parts):
                return  # of the node whose fabric it is
            before = self.reports.get(report.process)
            self.reports[report.process] = report
            if report.ready and (before is None or not before.ready or before.pid != report.pid):
                self._on_change(f"{report.process} is ready (pid {report.pid})")
            self._tell_problems(report, before)

    def _tell_problems(self, report: HealthReport, before: HealthReport | None) -> None:
        """Say once when a part begins to have a problem, and once when it has none any more."""
        had = bool(before and before.problems)
        if report.problems and not had:
            self._on_change(f"{report.process}: {'; '.join(report.problems)}")
        elif had and not report.problems:
            self._on_change(f"{report.process}: 已恢复 all well again")

    async def _watch_children(self) -> None:
        while True:
            now = time.monotonic()
            for child in list(self.children.values()):
                try:
                    self._look_after(child, now)
                except OSError as error:
                    # A full disk or process table must not end the watch over the other parts.
                    logger.error("%s cannot be started: %s", child.name, error)
                    child.next_start = now + 1.0
            if now - self._disk_looked >= 1.0:
                self._disk_looked = now
                self._mend_fabric()
            await asyncio.sleep(0.05)

    def _look_after(self, child: Child, now: float) -> None:
        if not child.wanted or child.pid or child.process is None:
            return
        if not child.next_start:
            child.delay = 0.1 if now - child.started > 30 else min(max(child.delay * 2, 0.1), 10.0)
            child.next_start = now + child.delay
            self._on_change(f"{child.name} ended with {child.process.returncode}; starting again")
        elif now >= child.next_start:
            self.start_child(child)
            child.next_start = 0.0
            child.restarts += 1
            self._tell(child.name, child.restarts)

    def _mend_fabric(self) -> None:
        child = self.children.get("fabric")
        with contextlib.suppress(OSError):
            if self._disk is not None and child is not None and child.pid and self._disk.restart_due():
                self._on_change("the fabric could not write and there is room now; starting it again")
                os.kill(child.pid, signal.SIGTERM)

    def _tell(self, name: str, restarts: int) -> None:
        self._keep(self._tell_restart(name, restarts))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_restart(self, name: str, restarts: int) -> None:
        state = SystemState(part=name, state="restarted", reason=f"restart {restarts}")
        now = now_us()
        event = Event(
            id=new_ulid(now),
            type=EventType.SYSTEM,
            source=self.settings.node,
            time=now,
            subject=name,
            data=msgspec.to_builtins(state),
        )
        with contextlib.suppress(Exception):
            await self.fabric.publish_event(event)

    def _write_pids(self) -> None:
        path = self.settings.data / "pids.json"
        partial = path.with_suffix(".partial")
        # Only for those who look from outside: a full disk must not keep a part from starting.
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps({child.name: child.pid for child in self.children.values()}))
            partial.replace(path)


async def _ended(child: Child, deadline: float) -> None:
    # Popen has no event to wait on without a thread each; a stop is rare and short.
    while child.pid and time.monotonic() < deadline:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.02)


_STOP_ORDER = {"web": 2, "gateway": 1, "works": 2, "alarms": 2, "historian": 2, "warn": 2, "fabric": 3}


async def serve(settings: Settings, parts: tuple[str, ...], announce: Callable[[str], None]) -> None:
    """Run a node until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(settings, parts, announce)
    try:
        await supervisor.start()
        while not stop.is_set() and not await _ready_or_stopped(supervisor, stop, announce):
            pass
        if not stop.is_set():
            announce("all parts are ready")
        await stop.wait()
    finally:
        announce("stopping")
        await supervisor.stop()


async def _ready_or_stopped(supervisor: Supervisor, stop: asyncio.Event, announce: Callable[[str], None]) -> bool:
    """Return whether all parts are ready; one that is not must not end the others, so that is only said."""
    ready = asyncio.ensure_future(supervisor.wait_ready())
    stopped = asyncio.ensure_future(stop.wait())
    done, pending = await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    if ready not in done:
        return False
    try:
        ready.result()
    except UnavailableError as error:
        announce(str(error))
        return False
    return True


def check_ports(settings: Settings, parts: Sequence[str], wait: float = PORT_WAIT_S) -> None:
    """Return when the ports this node will listen on are free.

    Args:
        parts: names of the parts that will run.
        wait: seconds; what a killed supervisor left behind may still be ending.

    Raises:
        UnavailableError: one is not free, or not to be had; says whose it is.
    """
    wanted = [] if settings.fabric else [("127.0.0.1", settings.fabric_port, "fabric", "--fabric-port")]
    if "web" in parts:
        wanted.append((settings.web_host, settings.web_port, "console", "--port"))
    deadline = time.monotonic() + wait
    for host, port, what, option in wanted:
        while (refused := _bind_error(host, port)) is not None:
            if refused.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                reason = f"in use{_holder(port)}" if refused.errno == errno.EADDRINUSE else str(refused.strerror)
                raise UnavailableError(
                    f"the {what} cannot listen here: {reason}",
                    where=f"{host}:{port}",
                    fix=f"stop that program, or choose another {option}",
                )
            time.sleep(0.1)


def _bind_error(host: str, port: int) -> OSError | None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return error
    return None


def _holder(port: int) -> str:
    import psutil

    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()}, process {connection.pid}"
    return " by another program"


def data_lock(data: Path) -> IO[str]:
    """Take the data directory for this supervisor; two on one directory would ring twice.

    Raises:
        UnavailableError: another one holds it.
    """
    import fcntl

    data.mkdir(parents=True, exist_ok=True)
    file = (data / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise UnavailableError(
            "this data directory is in use by another anlan", where=str(data), fix="stop it or choose --data"
        ) from error
    return file

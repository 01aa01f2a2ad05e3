"""The supervisor: what it starts again, in which order it stops, and what its own end means for its children."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from anlan import runtime
from anlan.core import log
from anlan.core.errors import UnavailableError
from anlan.core.events import EventType
from anlan.core.health import HealthReport
from anlan.core.time import now_us
from anlan.runtime import Supervisor, data_lock
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from tests.conftest import ROOT

PATIENCE_S = 30.0


async def until(condition: Callable[[], object]) -> None:
    """Return once ``condition`` holds; fail when it does not for long."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


def script(text: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text)]


def lasting(file: Path) -> list[str]:
    """Return a command that writes a line when it starts and one when it is told to stop."""
    return script(f"""
        import signal, sys, time
        def note(word):
            with open({str(file)!r}, "a") as out:
                out.write(word + "\\n")
        def stop(*_):
            note("stop")
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        note("start")
        time.sleep(600)
    """)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
async def supervisor(settings: Settings) -> AsyncIterator[Supervisor]:
    said: list[str] = []
    node = Supervisor(settings, (), said.append)
    await node.start_fabric()
    yield node
    await node.stop()


async def test_a_killed_part_is_started_again_and_that_is_an_event(supervisor: Supervisor, tmp_path: Path) -> None:
    child = supervisor.add("gateway", lasting(tmp_path / "notes"))
    events: list[dict[str, object]] = []

    async def take(message: object) -> None:
        events.append(msgspec.json.decode(message.data))  # type: ignore[attr-defined]  # nats Msg

    await supervisor.fabric.client.subscribe(f"events.{EventType.SYSTEM}", cb=take)
    supervisor.start_child(child)
    await until(lambda: lines(tmp_path / "notes") == ["start"])
    first = child.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: lines(tmp_path / "notes") == ["start", "start"])
    await until(lambda: events)
    assert child.pid not in (0, first)
    assert child.restarts == 1
    assert (events[0]["subject"], events[0]["data"]) == (
        "gateway",
        {"part": "gateway", "state": "restarted", "reason": "restart 1"},
    )


async def test_a_killed_fabric_is_started_again_and_takes_records_again(supervisor: Supervisor) -> None:
    fabric = supervisor.children["fabric"]
    os.kill(fabric.pid, signal.SIGKILL)
    await until(lambda: fabric.restarts == 1 and fabric.pid)
    await until(lambda: supervisor.fabric.client.is_connected)
    ack = await supervisor.fabric.jetstream.publish(log.TICK, log.encode(log.Tick(now_us())), timeout=20)
    assert ack.stream == "LOG"


async def test_a_part_that_ends_at_once_is_never_given_up_but_ever_less_often(settings: Settings) -> None:
    delays: list[float] = []
    node = Supervisor(settings, (), lambda _: delays.append(child.delay))
    child = node.add("web", script("raise SystemExit(3)"))
    node.start_child(child)
    moment = child.started
    for _ in range(12):
        assert child.process is not None
        await asyncio.to_thread(child.process.wait, PATIENCE_S)
        node._look_after(child, moment)  # its end is noticed
        moment += child.delay
        node._look_after(child, moment - 1e-3)  # too early
        before = child.restarts
        node._look_after(child, moment + 1e-3)
        assert child.restarts == before + 1
        moment = child.started
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0, 10.0, 10.0]
    assert child.process is not None
    await asyncio.to_thread(child.process.wait, PATIENCE_S)


async def test_one_part_that_keeps_dying_does_not_touch_the_others(supervisor: Supervisor, tmp_path: Path) -> None:
    steady = supervisor.add("alarms", lasting(tmp_path / "notes"))
    dying = supervisor.add("web", script("raise SystemExit(1)"))
    supervisor.start_child(steady)
    await until(lambda: lines(tmp_path / "notes"))
    supervisor.start_child(dying)
    await until(lambda: dying.restarts >= 3)
    assert steady.restarts == 0
    assert lines(tmp_path / "notes") == ["start"]


async def test_a_command_that_cannot_be_started_does_not_end_the_watch(supervisor: Supervisor, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    vanished = supervisor.add("web", [str(program)])
    supervisor.start_child(vanished)
    program.unlink()
    steady = supervisor.add("alarms", lasting(tmp_path / "notes"))
    supervisor.start_child(steady)
    await until(lambda: lines(tmp_path / "notes"))
    await until(lambda: vanished.next_start > vanished.started + 1)
    os.kill(steady.pid, signal.SIGKILL)
    await until(lambda: steady.restarts == 1)


async def test_devices_stop_first_and_the_fabric_last(settings: Settings, tmp_path: Path) -> None:
    node = Supervisor(settings, (), lambda _: None)
    await node.start_fabric()
    notes = tmp_path / "notes"
    for name in ("web", "gateway", "park"):
        # Each says its name, and whether the fabric is still there, when it is told to stop.
        note = script(f"""
            import signal, socket, sys, time
            def stop(*_):
                there = socket.socket().connect_ex(("127.0.0.1", {settings.fabric_port})) == 0
                with open({str(notes)!r}, "a") as out:
                    out.write(f"{name} {{there}}\\n")
                sys.exit(0)
            signal.signal(signal.SIGTERM, stop)
            open({str(tmp_path / name)!r}, "w").close()
            time.sleep(600)
        """)
        node.start_child(node.add(name, note))
    await until(lambda: all((tmp_path / name).exists() for name in ("web", "gateway", "park")))
    await node.stop()
    assert lines(notes) == ["park True", "gateway True", "web True"]
    assert [child.pid for child in node.children.values()] == [0, 0, 0, 0]
    assert [child.restarts for child in node.children.values()] == [0, 0, 0, 0]


async def test_a_part_that_does_not_stop_is_killed(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "STOP_TIMEOUT_S", 0.3)
    deaf = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(tmp_path / 'up')!r}, 'w')"
    child = supervisor.add("web", script(f"{deaf}; time.sleep(600)"))
    supervisor.start_child(child)
    await until((tmp_path / "up").exists)
    await supervisor.stop()
    assert child.process is not None
    assert child.process.returncode == -signal.SIGKILL


async def test_ready_means_the_present_process_said_so(supervisor: Supervisor, tmp_path: Path) -> None:
    child = supervisor.add("alarms", lasting(tmp_path / "notes"))
    supervisor.parts = ("alarms",)
    supervisor.start_child(child)
    with pytest.raises(UnavailableError, match=r"not ready: alarms .*alarms\.log"):
        await supervisor.wait_ready(timeout=0.2)

    async def report(pid: int) -> None:
        said = HealthReport("alarms", pid, now_us(), True, now_us())
        await supervisor.fabric.client.publish("health.alarms", msgspec.json.encode(said))
        await supervisor.fabric.client.flush()

    await report(child.pid + 1)
    await until(lambda: supervisor.reports)
    assert not supervisor.is_ready("alarms")
    await report(child.pid)
    await supervisor.wait_ready(timeout=PATIENCE_S)


async def test_a_problem_is_said_once_when_it_begins_and_once_when_it_ends(settings: Settings) -> None:
    said: list[str] = []
    node = Supervisor(settings, (), said.append)
    await node.start_fabric()
    async with await Fabric.connect(settings, "works") as fabric:
        for problems in ((), ("site.yaml:3: wrong",), ("site.yaml:3: wrong",), (), ()):
            report = HealthReport("works", 7, now_us(), True, now_us(), problems=problems)
            await fabric.client.publish("health.works", msgspec.json.encode(report))
        await fabric.client.flush()
        await until(lambda: len(said) >= 3)
    await node.stop()
    assert said == ["works is ready (pid 7)", "works: site.yaml:3: wrong", "works: 已恢复 all well again"]


async def test_a_killed_supervisor_takes_its_children_along_and_frees_its_data(settings: Settings) -> None:
    program = f"""
        import asyncio, sys
        from dataclasses import replace
        from pathlib import Path
        from anlan.runtime import Supervisor, data_lock
        from anlan.settings import Settings
        settings = Settings(data=Path({str(settings.data)!r}), fabric_port={settings.fabric_port})
        async def main():
            lock = data_lock(settings.data)
            node = Supervisor(settings, (), print)
            await node.start_fabric()
            node.start_child(node.add("park", [sys.executable, "-c", "import time; time.sleep(600)"]))
            print(*(child.pid for child in node.children.values()), flush=True)
            await asyncio.sleep(600)
        asyncio.run(main())
    """
    process = subprocess.Popen(script(program), stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    pids = [int(pid) for pid in (await asyncio.to_thread(process.stdout.readline)).split()]
    assert len(pids) == 2
    with pytest.raises(UnavailableError, match="in use by another anlan"):
        data_lock(settings.data)
    process.kill()
    await asyncio.to_thread(process.wait)
    await until(lambda: not any(_runs(pid) for pid in pids))
    data_lock(settings.data).close()
    process.stdout.close()


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

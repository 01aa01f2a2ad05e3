"""The watchdog beside a real fabric and a screen of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from anlan.cli import watchdog
from anlan.cli.watchdog import Verdict, Watchdog
from anlan.core import log
from anlan.core.health import HealthReport
from anlan.core.time import now_us
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from tests.conftest import FabricProcess

PATIENCE_S = 30.0


@dataclass
class Node:
    """What a watchdog sees of a node: ticks, the alarm service's word, the console's answer."""

    fabric: Fabric
    ticks: bool = True
    words: bool = True
    problems: tuple[str, ...] = ()
    status: int = 200
    posted: list[dict[str, object]] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            if self.ticks:
                await self.fabric.client.publish(log.TICK, log.encode(log.Tick(now_us())))
            if self.words:
                report = HealthReport("alarms", 1, now_us(), True, 0, problems=self.problems)
                await self.fabric.client.publish("health.alarms", msgspec.json.encode(report))
            await asyncio.sleep(0.05)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("POST"):
            length = next(int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-l"))
            self.posted.append(json.loads(await reader.readexactly(length)))
        writer.write(f"HTTP/1.1 {self.status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LIMIT_S", 1.0)
    monkeypatch.setattr(watchdog, "LOOK_S", 0.1)
    monkeypatch.setattr(watchdog, "COMMAND_TIMEOUT_S", 0.5)


@pytest.fixture
async def node(fabric_process: FabricProcess) -> AsyncIterator[Node]:
    settings = fabric_process.settings
    async with await Fabric.connect(settings, "runtime") as fabric:
        shown = Node(fabric)
        running = asyncio.ensure_future(shown.run())
        async with await asyncio.start_server(shown.answer, "127.0.0.1", settings.web_port):
            yield shown
        running.cancel()


@asynccontextmanager
async def watching(settings: Settings, **options: str) -> AsyncIterator[list[str]]:
    said: list[str] = []
    stop = asyncio.Event()
    dog = Watchdog(settings, announce=said.append, **options)
    task = asyncio.ensure_future(dog.run(stop))
    await until(lambda: "screen" in dog._seen and "log" in dog._seen and "alarms" in dog._seen)
    yield said
    assert not task.done()
    stop.set()
    assert isinstance(await task, Verdict)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"ticks": False}, "log: no tick has come through the log"),
        ({"words": False}, "alarms: no word from the alarm service"),
        ({"problems": ("2.5 s behind the log",)}, "alarms: 2.5 s behind the log"),
        ({"status": 500}, "screen: the console does not answer: answers 500"),
    ],
)
async def test_what_stops_is_told_once_and_told_again_when_it_is_back(
    node: Node, settings: Settings, change: dict[str, object], part: str
) -> None:
    async with watching(settings) as said:
        before = {name: getattr(node, name) for name in change}
        for name, value in change.items():
            setattr(node, name, value)
        await until(lambda: said)
        await asyncio.sleep(0.5)
        assert [line.startswith(f"lost: {part}") for line in said] == [True]
        for name, value in before.items():
            setattr(node, name, value)
        await until(lambda: len(said) == 2)
        assert said[1].startswith("back: ")


async def test_a_dead_fabric_is_a_dead_log(node: Node, fabric_process: FabricProcess) -> None:
    async with watching(fabric_process.settings) as said:
        fabric_process.kill()
        await until(lambda: any("log: no tick" in line for line in said))


async def test_the_relay_and_the_address_are_told(node: Node, settings: Settings, tmp_path: Path) -> None:
    relay = tmp_path / "relay"
    relay.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/told\n')
    relay.chmod(0o755)
    url = f"http://127.0.0.1:{settings.web_port}/news"
    async with watching(settings, command=str(relay), url=url):
        node.ticks = False
        await until(lambda: node.posted)
        node.ticks = True
        await until(lambda: len(node.posted) == 2)
    assert (tmp_path / "told").read_text().split() == ["lost", "back"]
    assert [news["state"] for news in node.posted] == ["lost", "back"]
    assert list(node.posted[0]["out"]) == ["log"]  # type: ignore[call-overload]  # JSON of the test's own post


@pytest.mark.parametrize(("relay", "mode"), [("exit 1", 0o755), ("exec sleep 5", 0o755), ("exit 0", 0o600)])
async def test_a_relay_that_fails_does_not_end_the_watch(
    node: Node, settings: Settings, tmp_path: Path, relay: str, mode: int
) -> None:
    program = tmp_path / "relay"
    program.write_text(f"#!/bin/sh\n{relay}\n")
    program.chmod(mode)
    async with watching(settings, command=str(program), url="http://[no-address/") as said:
        node.ticks = False
        await until(lambda: any(line.startswith("--command: ") for line in said))
        await until(lambda: any(line.startswith("--url: ") for line in said))
        node.ticks = True
        await until(lambda: any(line.startswith("back: ") for line in said))

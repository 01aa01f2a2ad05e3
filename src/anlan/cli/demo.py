"""``anlan demo``: the virtual park and the whole platform on one machine, with one command."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anlan.cli.options import PortOption, free_port, node_settings, until_signal
from anlan.core.actor import SYSTEM
from anlan.core.errors import InvalidInputError, UnavailableError
from anlan.core.output import JsonOption, emit, failing
from anlan.perceive.model import ConnectorStatus, ListConnectors
from anlan.settings import Settings

if TYPE_CHECKING:
    from anlan.cli.trial_node import AlarmObserver, TrialNode

_MARK = ".anlan-demo"
CONNECT_S = 60.0
_DEFAULTS = Settings()


def _fresh(data: Path) -> Path:
    """Empty the demo's data directory, but only one that an earlier demo marked as its own."""
    data = data.absolute()
    if data.exists() and any(data.iterdir()) and not (data / _MARK).exists():
        raise InvalidInputError("this directory is not a demo's", where=str(data), fix="choose another --data")
    if data.exists():
        shutil.rmtree(data)
    data.mkdir(parents=True)
    (data / _MARK).touch()
    return data


class Demo:
    """One run of the demo.

    Args:
        settings: the node.
        seed, speed: of the virtual park.
        say: prints a line for people.
    """

    def __init__(self, settings: Settings, seed: int, speed: float, say: Any) -> None:
        from anlan.sim.ports import Ports

        self.settings = settings
        self.seed = seed
        self.speed = speed
        self.say = say
        self.ports = Ports.free()
        self.journal = settings.data / "journal"

    def write_site(self) -> None:
        """Write the park's site files and its devices' secrets where the node looks for them."""
        from anlan.sim.secrets import write_secrets
        from anlan.sim.site import render

        render(self.ports, self.settings.site)
        write_secrets(self.settings.directory("secrets"), self.seed)

    async def start_park(self, node: TrialNode) -> None:
        """Start the park's devices in a process of their own under the node's supervisor; return once they listen."""
        command = [sys.executable, "-m", "anlan.sim", "--ports", self.ports.to_json(), "--seed", str(self.seed)]
        command += ["--speed", str(self.speed), "--journal", str(self.journal)]
        node.supervisor.start_child(node.supervisor.add("park", command))
        deadline = time.monotonic() + CONNECT_S
        for port in (self.ports.opcua, self.ports.tank_plc, self.ports.utility_plc, self.ports.asu_plc):
            while not await _listens(port):
                if time.monotonic() > deadline:
                    raise UnavailableError("the virtual park does not start", fix="see logs/park.log of the demo")
                await asyncio.sleep(0.1)

    async def stop_park(self, node: TrialNode) -> None:
        """Let the park finish its journal and end."""
        child = node.supervisor.children["park"]
        child.wanted = False
        if child.process is not None:
            child.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(child.process.wait, 30)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop``, for people with a browser."""
        from anlan.cli.node import greeting
        from anlan.cli.trial_node import TrialNode
        from anlan.runtime import PARTS

        async with TrialNode(self.settings, tuple(PARTS), self.say, devices=self.start_park) as node:
            self.say(greeting(self.settings, node.password))
            self.say("按 Ctrl-C 停止  press Ctrl-C to stop")
            await stop.wait()
            self.say("正在停止 stopping")
            await self.stop_park(node)

    async def run_headless(self, seconds: float, stop: asyncio.Event) -> dict[str, Any]:
        """Run for ``seconds``, then account for every sample and alarm."""
        from anlan.cli.trial_node import AlarmObserver, TrialNode
        from anlan.runtime import PARTS

        async with TrialNode(self.settings, tuple(PARTS), self.say, devices=self.start_park) as node:
            observer = AlarmObserver(node.fabric)
            await observer.start()
            await self._connected(node)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), seconds)
            await self.stop_park(node)
            await node.drained()
            return await self._account(node, observer)

    async def _connected(self, node: TrialNode) -> None:
        """Wait until every connector has met its device: the run's seconds count from there."""
        deadline = time.monotonic() + CONNECT_S
        while time.monotonic() < deadline:
            listed = await node.fabric.call(
                "perceive.connectors", ListConnectors(), SYSTEM, tuple[ConnectorStatus, ...], timeout=30
            )
            waiting = [status.id for status in listed if status.state != "up"]
            if not waiting:
                return
            await asyncio.sleep(0.25)
        raise UnavailableError(f"not connected after {CONNECT_S:.0f} s: {', '.join(waiting)}")

    async def _account(self, node: TrialNode, observer: AlarmObserver) -> dict[str, Any]:
        from anlan.cli.trial_node import percentiles, rung_by_kind
        from anlan.sim.account import compare

        account = await asyncio.to_thread(compare, self.journal, await node.fetcher())
        alarms = await rung_by_kind(node)
        errors = node.errors()
        samples = {name: row["stored"] for name, row in account["connectors"].items()}
        ok = not errors and not account["lost"] and not account["duplicated"] and not account["altered"]
        return {
            "ok": ok and bool(alarms) and all(samples.values()),
            "samples": samples,
            "alarms": alarms,
            "lost": account["lost"],
            "duplicated": account["duplicated"],
            "altered": account["altered"],
            "latency_ms": percentiles(await observer.latencies_ms())
            | {"what": "receipt at the gateway to a subscriber holding the alarm event"},
            "errors": errors,
            "connectors": account["connectors"],
            "points": len((await node.plant()).points),
            "seed": self.seed,
        }


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _print_account(result: dict[str, Any]) -> None:
    for name, row in result["connectors"].items():
        typer.echo(f"{name:12} stored {row['stored']:>8,}  lost {row['lost']}  duplicated {row['duplicated']}")
    typer.echo(f"alarms: {result['alarms']}")
    latency = result["latency_ms"]
    typer.echo(f"latency p50 {latency['p50']} ms, p99 {latency['p99']} ms; errors: {len(result['errors'])}")
    for line in result["errors"]:
        typer.echo(f"  {line}")
    typer.echo("all is well" if result["ok"] else "NOT all is well")


def demo(
    headless: Annotated[bool, typer.Option("--headless", help="No console for people: run, account, exit.")] = False,
    seconds: Annotated[float, typer.Option(min=5, help="How long a headless run lasts.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the virtual park.")] = 1,
    speed: Annotated[float, typer.Option(min=0.1, max=60, help="Plant seconds per second.")] = 1.0,
    data: Annotated[Path, typer.Option("--data", help="Directory of the demo, emptied at start.")] = Path("data/demo"),
    port: PortOption = _DEFAULTS.web_port,
    as_json: JsonOption = False,
) -> None:
    """Start the virtual park and the whole platform; open the printed address in a browser.

    Example: anlan demo            Example: anlan demo --headless --seconds 30 --json
    """
    with failing(as_json):
        if headless and data == Path("data/demo"):
            data = Path(tempfile.mkdtemp(prefix="anlan-demo-")) / "data"
        folder = _fresh(data)
        web_port = free_port() if headless else port
        settings = node_settings(data=folder, site=folder / "site", web_port=web_port, node="donggang")
        settings = replace(settings, fabric_port=free_port())
        say = typer.echo if not as_json else lambda line: typer.echo(line, err=True)
        run = Demo(settings, seed, speed, say)
        run.write_site()
        if not headless:
            asyncio.run(until_signal(run.run))
            return
        result = asyncio.run(until_signal(lambda stop: run.run_headless(seconds, stop)))
        emit(result, as_json, lambda: _print_account(result))
        if not result["ok"]:
            raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)

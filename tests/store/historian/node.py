"""The historian as a process of its own, as the supervisor starts it; spawn-safe and killable."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from anlan.core.health import Health
from anlan.settings import Settings, from_environment

READY = "ready"


async def serve() -> None:
    """Run the historian until SIGTERM."""
    from anlan.store.fabric.client import Fabric
    from anlan.store.historian import service

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    health = Health("historian")

    async def tell() -> None:
        while not health.ready:
            await asyncio.sleep(0.02)
        sys.stdout.write(READY + "\n")
        sys.stdout.flush()
        while True:
            await asyncio.sleep(0.1)
            for problem in health.problems.values():
                sys.stdout.write(problem + "\n")
            sys.stdout.flush()

    telling = asyncio.ensure_future(tell())
    async with await Fabric.connect(from_environment(), "historian") as fabric:
        await service.run(fabric, health, stop)
    telling.cancel()


class HistorianProcess:
    """A running historian process."""

    def __init__(self, settings: Settings) -> None:
        import os

        self.log = settings.directory("logs") / "historian.out"
        self._output = self.log.open("ab")
        self._begin = self.log.stat().st_size
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.historian.node"],
            env={**os.environ, **settings.environment()},
            cwd=Path(__file__).resolve().parents[3],
            stdout=self._output,
            stderr=self._output,
        )

    @property
    def said(self) -> str:
        """What this process has printed so far."""
        return self.log.read_bytes()[self._begin :].decode(errors="replace")

    async def ready(self) -> None:
        """Return when the process has said that it is ready."""
        await self.wait_for(READY)

    async def wait_for(self, text: str) -> None:
        """Return when the process's output holds ``text``."""
        for _ in range(800):
            if text in self.said:
                return
            if self.process.poll() is not None:
                raise AssertionError(f"historian ended: {self.said[-3000:]}")
            await asyncio.sleep(0.05)
        raise AssertionError(f"{text!r} never came: {self.said[-3000:]}")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self._output.close()

    def stop(self) -> int:
        """Ask to stop and return the exit code."""
        self.process.terminate()
        code = self.process.wait(30)
        self._output.close()
        return code


if __name__ == "__main__":
    asyncio.run(serve())

"""The process of early warning as a process of its own that a test may kill, started from one that has all imported."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from multiprocessing.process import BaseProcess

from anlan.settings import Settings

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["anlan.warn.service", "anlan.warn.desk"])


def start(settings: Settings) -> BaseProcess:
    """Start it with only the models that the test put in force."""
    log = settings.directory("logs") / "warn.log"
    process = _CONTEXT.Process(target=_run, args=(settings, str(log)), daemon=True)
    process.start()
    return process


def _run(settings: Settings, log: str) -> None:
    from anlan.core.health import Health
    from anlan.store.fabric.client import Fabric
    from anlan.warn import service

    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    service.built_in = lambda: ()  # type: ignore[assignment]  # as the test's own fixture does

    async def main() -> None:
        fabric = await Fabric.connect(settings, "warn")
        await service.run(fabric, Health("warn"), asyncio.Event())

    asyncio.run(main())

"""The gateway process: loads the plant from the fabric, runs its connectors, appends what they emit to the log."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import nats.errors
import nats.js.errors
import numpy as np
from nats.aio.msg import Msg

from anlan.core import log
from anlan.core.actor import Actor, Permission
from anlan.core.batch import BatchHeader, Run, SampleBatch, decode, encode
from anlan.core.errors import NotFoundError
from anlan.core.health import Health
from anlan.perceive.appender import LogState
from anlan.perceive.buffer import Buffer
from anlan.perceive.dead_letters import DeadLetterDesk, DeadLetters
from anlan.perceive.engine import compile_points, judge
from anlan.perceive.gateway import Gateway
from anlan.perceive.gateways import OtherGateways
from anlan.perceive.model import ConnectorStatus, ListConnectors
from anlan.perceive.records import Records
from anlan.perceive.runner import Runner
from anlan.plant.model import Plant, Point, SiteInfo, decode_plant, revision_of
from anlan.store.fabric.client import Fabric

logger = logging.getLogger(__name__)

POLL_S = 10.0
FIRST_WAIT_S = 5.0
FLUSH_S = 5.0
REPORT_S = 1.0


async def run(fabric: Fabric, health: Health, stop: asyncio.Event) -> None:
    """Run the gateway until ``stop`` is set.

    Args:
        fabric: a connection as role ``gateway``; it may still be connecting (an edge machine without its centre).
        health: this process's health.
        stop: set to finish cleanly.
    """
    warm_up()
    service = GatewayService(fabric, health)
    await service.run(stop)


def warm_up() -> None:
    """Run every decoder, the kernel and the Arrow writer once: cold code would stall the first second of samples."""
    from anlan.perceive import decoders

    plant = Plant(SiteInfo("warm", "warm"), points=(Point(1, "a/b/c/d", "other", ""),))
    batch = SampleBatch(np.ones(2, np.int32), np.ones(2, np.int64), np.ones(2), np.zeros(2, np.uint8))
    judge(batch, np.array([0, 1, 2]), np.array([1, 1]), compile_points(plant, "warm"))
    decode(encode(batch, BatchHeader("warm", 1, "warm", (Run("warm", 2),))))
    decoders.warm_up()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


class GatewayService:
    """Puts the parts of the gateway together."""

    def __init__(self, fabric: Fabric, health: Health) -> None:
        self._fabric = fabric
        self._health = health
        settings = fabric.settings
        self._cache = settings.directory("gateway") / "plant.json"
        self._dead_letters = DeadLetters(fabric)
        buffer = Buffer(settings.directory("gateway") / "buffer")
        empty = compile_points(Plant(SiteInfo(settings.node, settings.node)), "")
        self._gateway = Gateway(fabric, health, empty, buffer, self._log_state)
        self._records = Records(fabric, self._gateway.appender)
        self._runner = Runner(self._gateway, self._records, self._dead_letters, settings, health)
        self._others = OtherGateways(fabric, self._records)
        self._news = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, then put what is under way to rest and return."""
        await self._load_first(stop)
        settings = self._fabric.settings
        tasks = [
            asyncio.create_task(work(), name=work.__qualname__)
            for work in (
                self._gateway.run,
                self._records.run,
                self._dead_letters.run,
                self._follow_configuration,
                self._serve,
                self._report,
                *(() if settings.edge else (self._watch_others,)),
            )
        ]
        stopped = asyncio.create_task(stop.wait())
        self._health.ready = True
        try:
            done, _ = await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()
        finally:
            stopped.cancel()
            await self._shut_down(tasks)

    async def _shut_down(self, tasks: list[asyncio.Task[None]]) -> None:
        self._health.ready = False
        await self._runner.stop()
        await self._gateway.flush(FLUSH_S)
        await self._records.flush(1.0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
        await self._gateway.close()

    # --- configuration --------------------------------------------------------------------------------------------

    async def _load_first(self, stop: asyncio.Event) -> None:
        """Put the first plant in force: from the fabric, or, without it, the one of the last run."""
        deadline = asyncio.get_running_loop().time() + FIRST_WAIT_S
        while not stop.is_set():
            if await self._load():
                return
            if asyncio.get_running_loop().time() > deadline and await self._load_cached():
                return
            self._health.problems["configuration"] = "等待配置 waiting for a configuration on the fabric"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.25)

    async def _load(self) -> bool:
        if not self._fabric.client.is_connected:
            return False
        try:
            revision, document = await asyncio.wait_for(self._fabric.current_config(), 5)
        except (NotFoundError, nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
            logger.debug("no configuration yet: %s", error)
            return False
        if revision == self._runner.revision:
            return True
        if not await self._use(document, revision):
            return False
        await asyncio.to_thread(_write_whole, self._cache, document)
        return True

    async def _load_cached(self) -> bool:
        if not self._cache.exists():
            return False
        document = self._cache.read_bytes()
        logger.warning("the fabric does not answer: starting with the plant of the last run")
        return await self._use(document, revision_of(document))

    async def _use(self, document: bytes, revision: str) -> bool:
        try:
            plant = decode_plant(document)
        except msgspec.MsgspecError as error:
            self._health.problems["configuration"] = f"配置 {revision} 无法读取 cannot be read: {error}"
            return False
        await self._runner.use(plant, revision)
        self._health.problems.pop("configuration", None)
        self._health.details["revision"] = revision
        return True

    async def _follow_configuration(self) -> None:
        async def told(_: Msg) -> None:
            self._news.set()

        await self._when_connected(lambda: self._fabric.client.subscribe(log.CONFIG, cb=told))
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), POLL_S)
            self._news.clear()
            await self._load()

    # --- what people see ------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        desk = DeadLetterDesk(self._fabric, self._run_again)

        async def register() -> None:
            if self._fabric.settings.edge:
                await self._others.serve(self._runner.run_again)
                return
            await self._fabric.serve("perceive.connectors", ListConnectors, self._list_connectors)
            await desk.serve()

        await self._when_connected(register)
        await asyncio.Event().wait()

    async def _run_again(self, connector: str, raw: bytes, source: str) -> int:
        there = next((spec.gateway for spec in self._runner.elsewhere if spec.id == connector), "")
        if there:
            return await self._others.run_again(there, connector, raw, source)
        return await self._runner.run_again(connector, raw, source)

    async def _watch_others(self) -> None:
        await self._when_connected(self._others.listen)
        await self._others.watch(lambda: self._runner.elsewhere)

    async def _when_connected(self, register: Callable[[], Awaitable[object]]) -> None:
        while not self._fabric.client.is_connected:  # noqa: ASYNC110  # the client tells it only by its state
            await asyncio.sleep(0.25)
        await register()

    async def _list_connectors(self, _: ListConnectors, actor: Actor) -> tuple[ConnectorStatus, ...]:
        if not any(actor.may(Permission.VIEW, grant.scope) for grant in actor.grants):
            actor.require(Permission.VIEW)
        return (*self._runner.status(), *self._others.statuses(self._runner.elsewhere))

    async def _report(self) -> None:
        while True:
            statuses = self._runner.status()
            self._health.details["connectors"] = {status.id: msgspec.to_builtins(status) for status in statuses}
            counters = self._health.counters
            counters.update(self._gateway.counters())
            counters["dead_letters"] = self._dead_letters.total
            for name in ("good", "uncertain", "bad", "late", "future", "unmapped", "messages"):
                counters[name] = sum(getattr(status, name) for status in statuses)
            await asyncio.sleep(REPORT_S)

    def _log_state(self, state: LogState, reason: str) -> None:
        self._records.system("log", state.value, reason)


def _write_whole(path: Path, document: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(document)
    partial.replace(path)

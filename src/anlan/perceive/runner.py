"""Runs the connectors of a plant: starts them, restarts what fails, and on a new revision only what changed."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass

from anlan.core.errors import AnlanError, ConflictError, InvalidInputError, NotFoundError
from anlan.core.health import Health
from anlan.core.time import now_us
from anlan.perceive.connector import Connector, Mendable, load
from anlan.perceive.context import GatewayContext
from anlan.perceive.dead_letters import DeadLetters
from anlan.perceive.engine import BAD, FUTURE, GOOD, LATE, UNCERTAIN, UNKNOWN, compile_points
from anlan.perceive.gateway import Gateway
from anlan.perceive.gateways import runs_here
from anlan.perceive.groups import NEVER_OFFSET, Tally
from anlan.perceive.model import ConnectorStatus
from anlan.perceive.records import Records
from anlan.plant.model import ConnectorSpec, Plant
from anlan.settings import Settings

logger = logging.getLogger(__name__)

LONGEST_DELAY_S = 30.0
MISCONFIGURED_DELAY_S = 10.0


@dataclass(slots=True)
class _Running:
    spec: ConnectorSpec
    numbers: dict[str, int]
    tally: Tally
    task: asyncio.Task[None] | None = None
    context: GatewayContext | None = None
    connector: Connector | None = None
    problem: str = ""
    since: int = 0
    clock_offset_us: int = 0


class Runner:
    """The connectors of one gateway."""

    def __init__(
        self, gateway: Gateway, records: Records, dead_letters: DeadLetters, settings: Settings, health: Health
    ) -> None:
        self._gateway = gateway
        self._records = records
        self._dead_letters = dead_letters
        self._settings = settings
        self._health = health
        self._running: dict[str, _Running] = {}
        self.revision = ""
        self.elsewhere: tuple[ConnectorSpec, ...] = ()

    async def use(self, plant: Plant, revision: str) -> None:
        """Put a plant in force: swap the calibration, restart the connectors whose spec or numbers changed."""
        self._gateway.use(compile_points(plant, revision))
        by_path = {point.path: point.number for point in plant.points}
        wanted: dict[str, tuple[ConnectorSpec, dict[str, int]]] = {}
        self.elsewhere = tuple(spec for spec in plant.connectors if not runs_here(spec, self._settings))
        for spec in plant.connectors:
            if spec in self.elsewhere:
                continue
            numbers = {path: by_path[path] for path in spec.map if path in by_path}
            wanted[spec.id] = (spec, numbers)
        gone = [
            running
            for identity, running in self._running.items()
            if identity not in wanted or wanted[identity] != (running.spec, running.numbers)
        ]
        await self._stop(gone)
        for running in gone:
            if running.spec.id not in wanted:
                del self._running[running.spec.id]
                self._health.problems.pop(f"connector:{running.spec.id}", None)
        for identity, (spec, numbers) in wanted.items():
            before = self._running.get(identity)
            if before is not None and before.task is not None:
                continue
            tally = before.tally if before is not None else Tally(identity)
            running = _Running(spec, numbers, tally, since=now_us())
            self._running[identity] = running
            running.task = asyncio.create_task(self._keep_running(running), name=f"connector {identity}")
        self.revision = revision
        logger.info("revision %s: %d connectors, %d points", revision, len(wanted), len(plant.points))

    async def stop(self) -> None:
        """Stop all connectors."""
        await self._stop(list(self._running.values()))

    def status(self) -> list[ConnectorStatus]:
        """Return state and counters of every connector."""
        return [_status(running) for _, running in sorted(self._running.items())]

    async def run_again(self, connector: str, raw: bytes, source: str) -> int:
        """Run a dead letter through its connector and return the number of samples.

        Raises:
            NotFoundError: there is no such connector now.
            ConflictError: it does not run, or its kind cannot take letters again.
        """
        running = self._running.get(connector)
        if running is None:
            raise NotFoundError(f"connector {connector} does not exist in this configuration", where=connector)
        if running.connector is None:
            raise ConflictError(f"connector {connector} is not running", where=connector, fix=running.problem)
        if not isinstance(running.connector, Mendable):
            raise ConflictError(f"a {running.spec.kind} connector cannot run a letter again", where=connector)
        return await running.connector.run_again(raw, source)

    async def _stop(self, running: list[_Running]) -> None:
        tasks = [entry.task for entry in running if entry.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        for entry in running:
            entry.task = None

    async def _keep_running(self, running: _Running) -> None:
        delay = 0.5
        key = f"connector:{running.spec.id}"
        while True:
            try:
                connector = self._build(running)
                self._health.problems.pop(key, None)
                running.problem = ""
                began = now_us()
                await connector.run()
                reason, wait = "it ended", delay
                if now_us() - began > 60_000_000:
                    delay = 0.5
            except InvalidInputError as error:
                reason, wait = str(error), MISCONFIGURED_DELAY_S
                running.problem = reason
                self._health.problems[key] = f"连接器 {running.spec.id} 配置有误 is misconfigured: {reason}"
                logger.error("connector %s is misconfigured: %s", running.spec.id, error)
            except AnlanError as error:
                reason, wait = str(error), delay
                logger.warning("connector %s stopped: %s", running.spec.id, error)
            except Exception as error:
                reason, wait = f"{type(error).__name__}: {error}", delay
                logger.exception("connector %s failed", running.spec.id)
                self._health.count("connector_failures")
            finally:
                running.connector = None
            if running.context is not None:
                running.context.down(reason)
            await asyncio.sleep(wait * random.uniform(0.7, 1.3))
            delay = min(delay * 2, LONGEST_DELAY_S)

    def _build(self, running: _Running) -> Connector:
        spec = running.spec
        manifest, kind = load(spec.kind)
        state = running.context.health if running.context is not None else None

        def tell(up: bool, reason: str) -> None:
            self._records.connector(spec.id, up, reason, context.health.clock_offset_us)

        context = GatewayContext(
            spec,
            running.numbers,
            manifest.arrival,
            gateway=self._gateway,
            settings=self._settings,
            dead_letters=self._dead_letters,
            tally=running.tally,
            on_state=tell,
            on_event=self._records.event,
        )
        if state is not None:
            # Lost and back are told once each, also across a restart of the connector itself.
            context.health = state
        running.context = context
        running.connector = kind(spec, context)
        return running.connector


def _status(running: _Running) -> ConnectorStatus:
    tally, context = running.tally, running.context
    counts = tally.counts.tolist()
    if tally.newest_offset != NEVER_OFFSET:
        running.clock_offset_us = tally.newest_offset
        tally.newest_offset = NEVER_OFFSET
    state, reason, since, offset = "starting", "", running.since, running.clock_offset_us
    if context is not None:
        state, reason, since = context.health.state, context.health.reason, context.health.since or since
        offset = context.health.clock_offset_us or offset
    if running.problem:
        state, reason = "misconfigured", running.problem
    return ConnectorStatus(
        id=running.spec.id,
        kind=running.spec.kind,
        name=running.spec.name,
        state=state,
        reason=reason,
        since=since,
        points=len(running.numbers),
        good=counts[GOOD],
        uncertain=counts[UNCERTAIN],
        bad=counts[BAD],
        late=counts[LATE],
        future=counts[FUTURE],
        unmapped=tally.unmapped + counts[UNKNOWN],
        dead=tally.dead,
        messages=tally.messages,
        clock_offset_us=offset,
        last_seen=tally.last_seen,
        unmapped_tags=dict(tally.unmapped_tags),
        details=dict(context.details) if context is not None else {},
    )

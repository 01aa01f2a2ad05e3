"""The registers that live: barriers, work in progress and presence, looked through every other second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from anlan.core.errors import NotFoundError
from anlan.core.health import Health
from anlan.plant.registers.barrier_facts import PointFacts
from anlan.plant.registers.barriers import BarrierRegister
from anlan.plant.registers.desk import Desk, Serve
from anlan.plant.registers.last_values import Follower, LastValues
from anlan.plant.registers.presence import PresenceRegister
from anlan.plant.registers.work import WorkRegister
from anlan.store.fabric.client import Fabric

logger = logging.getLogger(__name__)

SWEEP_S = 2.0
FORGET_EVERY = 1800
"""Sweeps between two looks for head counts that have been kept long enough."""


class LiveRegisters:
    """Barriers, work and presence of one node, on last values from the alarm service."""

    def __init__(self, fabric: Fabric, desk: Desk, health: Health) -> None:
        self._desk = desk
        self._health = health
        self.values = LastValues()
        self._follower = Follower(fabric, health, self.values)
        self.barriers = BarrierRegister(desk, PointFacts(desk.node, self.values))
        self.work = WorkRegister(desk)
        self.presence = PresenceRegister(desk, self.values)

    async def serve(self, serve: Serve) -> None:
        """Register the handlers."""
        await self.barriers.serve(serve)
        await self.work.serve(serve)
        await self.presence.serve(serve)

    async def follow(self, stop: asyncio.Event) -> None:
        """Follow last values until ``stop``."""
        await self._follower.run(stop, lambda: self._desk.book.plant)

    async def run(self, stop: asyncio.Event) -> None:
        """Judge barriers, say what runs over, forget old counts, until ``stop``."""
        sweeps = 0
        while not stop.is_set():
            await self._try("work", "work_run_over", self.work.run_over)
            if self._desk.book.plant is not None:
                await self._try("barriers", "barriers_changed", self.barriers.sweep)
                if sweeps % FORGET_EVERY == 0:
                    await self._try("presence", "counts_forgotten", self.presence.forget)
                sweeps += 1
            try:
                async with asyncio.timeout(SWEEP_S):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _try(self, register: str, counter: str, look: Callable[[], Awaitable[int]]) -> None:
        try:
            self._health.count(counter, await look())
            self._health.problems.pop(register, None)
        except NotFoundError:
            logger.debug("no plant is in force yet")
        except Exception as error:  # the records may be locked or away for a moment
            logger.exception("the register %s could not be looked through", register)
            self._health.problems[register] = f"the register of {register} does not answer: {error}"

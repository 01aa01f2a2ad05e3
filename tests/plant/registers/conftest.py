"""The works on a real fabric with real records, and people with roles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from anlan.core.actor import Actor, Grant, Role
from anlan.core.events import Event, decode_event
from anlan.core.health import Health
from anlan.plant import service
from anlan.plant.client import PlantClient
from anlan.plant.registers.client import RegistersClient
from anlan.settings import Settings
from anlan.store.fabric.client import EVENTS, Fabric
from anlan.store.fabric.log import LogReader
from tests.conftest import FabricProcess

SITE = """\
site: {id: park, name: 园区}
positions:
  - {id: desk-e, name: 东台, scope: [e]}
  - {id: desk-w, name: 西台, scope: [w]}
enterprises:
  - id: e
    areas:
      - id: a
        units:
          - id: u
            points:
              - {id: p, kind: pressure, limits: {HH: 1.9, H: 1.7}}   # the vessel
              - {id: gas, kind: toxic-gas, safety: true, limits: {H: 10}, calibration: {expires: 2026-01-01}}
  - id: w
    areas: [{id: a, units: [{id: u, points: [{id: p, kind: pressure}]}]}]
"""


def person(user: str, *grants: tuple[Role, str]) -> Actor:
    return Actor(user, user, tuple(Grant(role, scope) for role, scope in grants))


ANN = person("ann", (Role.ENGINEER, ""))
BOB = person("bob", (Role.ENGINEER, ""))
SUE = person("sue", (Role.SAFETY_MANAGER, ""))
OPAL = person("opal", (Role.OPERATOR, "e"))
OTTO = person("otto", (Role.OPERATOR, "e"))
WEST = person("west", (Role.ENGINEER, "w"))
RITA = person("rita", (Role.REGULATOR, ""))


@dataclass
class Works:
    """A running works process with clients."""

    fabric: Fabric
    health: Health
    site: Path
    stop: asyncio.Event
    plant: PlantClient
    registers: RegistersClient

    async def events(self, type_: str, count: int) -> list[Event]:
        """Return the first ``count`` events of a type, waiting for them."""
        found: list[Event] = []

        async def read() -> None:
            async for batch in LogReader(self.fabric, start=1, stream=EVENTS, subjects=[f"events.{type_}"]).batches():
                found.extend(decode_event(message.data) for message in batch)
                if len(found) >= count:
                    return

        await asyncio.wait_for(read(), 15)
        return found

    async def until(self, condition: object) -> None:
        """Wait until ``condition()`` holds."""
        for _ in range(300):
            if condition():  # type: ignore[operator]  # a callable
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"did not come about; problems: {self.health.problems}")


@pytest.fixture
async def works(settings: Settings, fabric_process: FabricProcess, tmp_path: Path) -> AsyncIterator[Works]:
    site = tmp_path / "site" / "site.yaml"
    site.parent.mkdir()
    site.write_text(SITE, encoding="utf-8")
    settings = replace(settings, site=site)
    async with await Fabric.connect(settings, "runtime") as runtime:
        await runtime.ensure_streams()
        async with await Fabric.connect(settings, "works") as fabric:
            health, stop = Health("works"), asyncio.Event()
            task = asyncio.create_task(service.run(fabric, health, stop))
            running = Works(runtime, health, site, stop, PlantClient(runtime), RegistersClient(runtime))
            await running.until(lambda: health.ready or task.done())
            yield running
            stop.set()
            await asyncio.wait_for(task, 15)

"""The process of early warning against a real nats-server and real SQL: killed under load, asked, acted on."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import pytest

from anlan.core import log
from anlan.core.actor import SYSTEM, Actor, Grant, Role
from anlan.core.batch import BatchHeader, SampleBatch, decode, encode
from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from anlan.core.events import AlarmState, AlarmTransition, Event, decode_event
from anlan.core.health import Health
from anlan.core.time import HOUR, MINUTE, SECOND, now_us
from anlan.plant.model import (
    AlarmDefinition,
    Channel,
    EscalationChain,
    EscalationStep,
    Place,
    Plant,
    Point,
    SiteInfo,
    Unit,
    WarnPlan,
    encode_plant,
    revision_of,
)
from anlan.settings import Settings
from anlan.store.fabric.client import EVENTS, Fabric
from anlan.store.fabric.log import LogMessage, LogReader
from anlan.store.records.base import Records, open_engine, upgrade
from anlan.warn.features.library import library
from anlan.warn.fleet import Fleet
from anlan.warn.ledger import Ledger
from anlan.warn.model import (
    LIVE,
    ActOnModel,
    ActOnWarning,
    AddModel,
    Finding,
    GetModel,
    GetWarning,
    ListMissed,
    ListModels,
    ListWarnings,
    Missed,
    ModelDetail,
    ModelKind,
    ModelMode,
    ModelRow,
    StatusQuery,
    Target,
    WarningDetail,
    WarningList,
    WarningModel,
    WarningRow,
    WarnLive,
    WarnStatus,
)
from anlan.warn.models.key import node_key
from anlan.warn.models.library import built_in
from anlan.warn.models.registry import Registry
from anlan.warn.service import run
from anlan.warn.stream.engine import WarnEngine
from anlan.warn.warnings.engine import Book
from anlan.warn.warnings.record import Mint
from tests.conftest import FabricProcess

T = TypeVar("T")
POINTS = 6
U = "e/a/u"

CHILD = """
import asyncio
from anlan.core.health import Health
from anlan.warn.models.key import node_key
from anlan.warn.models.library import built_in
from anlan.warn.models.registry import Registry
from anlan.warn.service import run
from anlan.warn.stream.engine import WarnEngine
from anlan.warn.warnings.engine import Book
from anlan.warn.warnings.record import Mint
from anlan.settings import from_environment
from anlan.store.fabric.client import Fabric

async def main():
    settings = from_environment()
    fabric = await Fabric.connect(settings, "warn")
    await run(fabric, Health("warn"), asyncio.Event())

asyncio.run(main())
"""


def plant(chains: tuple[EscalationChain, ...] = (), channels: tuple[Channel, ...] = ()) -> Plant:
    """Units of one trending point each, with a high limit far above."""
    units = tuple(Unit(f"{U}{n}", f"单元{n}") for n in range(1, POINTS + 1))
    points = tuple(Point(n, f"{U}{n}/level", "level", "m", name=f"液位{n}") for n in range(1, POINTS + 1))
    alarms = tuple(AlarmDefinition(f"{point.path}.HH", point.number, "HH", 1, limit=100.0) for point in points)
    return Plant(
        SiteInfo("s", "s"),
        places=(Place("e", "企业"), Place("e/a", "罐区")),
        units=units,
        points=points,
        alarms=alarms,
        warn=WarnPlan(chains=chains, channels=channels),
    )


TREND = WarningModel(
    id="level-trend",
    kind=ModelKind.TREND,
    name="液位趋势",
    target=Target(priority=1, kinds=("HH",)),
    horizon=2 * HOUR,
    least_lead=10 * SECOND,
    on_steps=1,
    off_steps=2,
    grades={"orange": 0.5, "yellow": 0.2},
    action_zh="检查进料阀",
    action_en="check the inlet valve",
)


def start_warn(settings: Settings) -> subprocess.Popen[bytes]:
    out = (settings.directory("logs") / "warn.log").open("ab")
    environment = {**os.environ, **settings.environment()}
    return subprocess.Popen([sys.executable, "-c", CHILD], env=environment, stdout=out, stderr=out)


def install(settings: Settings, *models: WarningModel) -> Registry:
    """Put models in force before the process runs, beside those that come with the program."""
    sql = open_engine(settings)
    upgrade(sql)
    registry = Registry(Records(sql), settings.node, node_key(settings.directory("secrets")))
    registry.keep_built_in(built_in(), 1)
    for model in models:
        registry.add(AddModel(model), SYSTEM, 2)
        registry.act(ActOnModel(model.id, "live"), SYSTEM, 3)
    return registry


async def put_in_force(fabric: Fabric, plant: Plant) -> None:
    document = encode_plant(plant)
    revision = revision_of(document)
    await fabric.put_config(revision, document)
    await fabric.jetstream.publish(log.CONFIG, log.encode(log.ConfigRecord(now_us(), revision)), timeout=10)


async def read_all(fabric: Fabric, stream: str) -> list[LogMessage]:
    last = int((await fabric.jetstream.stream_info(stream)).state.last_seq)
    messages: list[LogMessage] = []
    if not last:
        return messages
    async for batch in LogReader(fabric, start=1, stream=stream).batches(256, wait=1.0):
        messages += batch
        if messages and messages[-1].sequence >= last:
            return messages
    return messages


TURN = 5 * SECOND


class Feeder:
    """Writes samples and ticks of a clock of its own, five seconds a turn, as fast as the log takes them."""

    def __init__(self, fabric: Fabric, start: int) -> None:
        self._fabric = fabric
        self.time = start // TURN * TURN

    async def turn(self, values: dict[int, float]) -> int:
        """Write one turn; return the sequence of its tick."""
        self.time += TURN
        points = np.array(list(values), np.int32)
        batch = SampleBatch(
            points, np.full(len(points), self.time), np.array(list(values.values())), np.zeros(len(points), np.uint8)
        )
        await self._fabric.jetstream.publish(log.SAMPLES, encode(batch, BatchHeader("gw", self.time)), timeout=10)
        tick = log.encode(log.Tick(self.time + 2 * SECOND, TURN))
        return int((await self._fabric.jetstream.publish(log.TICK, tick, timeout=10)).seq)


def climbing(turn: int) -> dict[int, float]:
    """Levels that climb towards their limit for 7 minutes and stand for as long, each point at its own time."""
    noise = np.random.default_rng(turn).normal(0, 0.05, POINTS)
    phase = [(turn + 30 * n) % 180 for n in range(1, POINTS + 1)]
    return {n: 20 + (p * 0.8 if p < 90 else 20) + float(noise[n - 1]) for n, p in enumerate(phase, start=1)}


async def evaluated(fabric: Fabric, sequence: int) -> WarnStatus:
    """Return once the process has taken a record."""
    for _ in range(1200):
        try:
            status = await fabric.call("warn.status", StatusQuery(), SYSTEM, WarnStatus, timeout=1)
        except Exception:
            await asyncio.sleep(0.05)
            continue
        if status.sequence >= sequence:
            return status
        await asyncio.sleep(0.02)
    pytest.fail("the warnings never came to the end of the log")


def undisturbed(settings: Settings, plant: Plant, registry: Registry, messages: list[LogMessage]) -> list[Event]:
    """The events of a run that nobody killed: stream and book over the recorded log."""
    fleet = Fleet.of(registry.versions(every=False))
    engine = WarnEngine(plant, fleet.models, library(), fleet.files, settings.node)
    book = Book(settings.node, fleet.running(engine), plant)
    events: list[Event] = []
    ticked = 0
    for message in messages:
        findings: list[Finding] = []
        if message.subject == log.SAMPLES:
            engine.take(*decode(message.data), message.sequence)
        elif message.subject == log.TICK:
            findings = engine.tick(msgspec.json.decode(message.data, type=log.Tick).time, message.sequence)
        mint = Mint(settings.node, "warn", message.sequence)
        events += book.findings(findings, mint).events
        if engine.time > ticked:
            ticked = engine.time
            events += book.tick(ticked, mint).events
    return events


@pytest.mark.timeout(120)
async def test_killed_under_load_no_warning_is_twice_or_missing(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    chance = random.Random(5)
    site = plant()
    registry = install(settings, TREND)
    async with await Fabric.connect(settings, "runtime") as fabric:
        await fabric.ensure_streams()
        await put_in_force(fabric, site)
        stop = asyncio.Event()
        feeder = Feeder(fabric, now_us() - 12 * HOUR)

        async def load() -> int:
            turn = sequence = 0
            while not stop.is_set():
                turn += 1
                sequence = await feeder.turn(climbing(turn))
                await asyncio.sleep(0.005)
            return sequence

        loading = asyncio.ensure_future(load())
        warn = start_warn(settings)
        try:
            for _ in range(2):
                await evaluated(fabric, 1)
                await asyncio.sleep(chance.uniform(0.3, 1.2))
                warn.kill()
                warn.wait()
                warn = start_warn(settings)
            await evaluated(fabric, 1)
            stop.set()
            last = await loading
            await evaluated(fabric, last)
            recorded = await read_all(fabric, "LOG")
            expected = undisturbed(settings, site, registry, recorded)
            for _ in range(200):
                told = [decode_event(message.data) for message in await read_all(fabric, EVENTS)]
                told = [event for event in told if event.type == "warning.transition"]
                if len(told) >= len(expected):
                    break
                await asyncio.sleep(0.05)
        finally:
            warn.kill()
            warn.wait()
    arrows = Counter(event.data["arrow"] for event in expected)
    assert arrows["raise"] == POINTS
    assert min(arrows["end"], arrows["resume"]) > POINTS
    assert [id_ for id_, count in Counter(event.id for event in told).items() if count > 1] == []
    assert [event.id for event in told] == [event.id for event in expected]
    assert told == expected

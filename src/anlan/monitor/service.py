"""The alarm service: reads the log in order, feeds the engine, publishes its events, answers for its state.

After a crash it loads its snapshot, reads which events were published since, replays the log and publishes only the
others: no alarm twice, none lost. If events cannot be published it ends, to be started again from the snapshot.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from nats.aio.msg import Msg

from anlan.core import log
from anlan.core.actor import Actor
from anlan.core.batch import BatchHeader, SampleBatch, decode, encode
from anlan.core.errors import AnlanError, DecodeError, NotFoundError, UnavailableError
from anlan.core.events import Event, decode_event, encode_event
from anlan.core.health import Health
from anlan.core.time import now_us, steady_us
from anlan.monitor import snapshots
from anlan.monitor.desk import ActDesk, last_values, list_alarms, visible_values
from anlan.monitor.engine import Engine
from anlan.monitor.history import History
from anlan.monitor.model import (
    Act,
    ActResult,
    AlarmList,
    ListAlarms,
    MonitorStatus,
    PerformanceQuery,
    Snapshot,
    Status,
    TryDefinition,
    TryResult,
)
from anlan.monitor.performance import Performance
from anlan.monitor.provisional import LIVE_ALARM, Provisional
from anlan.monitor.publisher import EventPublisher
from anlan.monitor.warmup import warm_up
from anlan.plant.model import Plant, SiteInfo, decode_plant
from anlan.store.fabric.client import EVENTS, Fabric
from anlan.store.fabric.log import LogMessage, LogReader, LogWriter

logger = logging.getLogger(__name__)

STEP_MESSAGES = 8
TICK_S = 0.1
SNAPSHOT_S = 1.0
LIVE_S = 1.0
STOP_S = 5.0
BEHIND_US = 2_000_000
ACT_TIMEOUT_S = 8.0
LIVE_ROWS = 100_000
EMPTY_PLANT = Plant(site=SiteInfo(id="", name=""))


@dataclass
class _Mark:
    """How far the log was read: sequence and when the log took that record (µs UTC)."""

    sequence: int = 0
    stored: int = 0
    target: int = 0


@dataclass
class AlarmService:
    """The alarm process of one node."""

    fabric: Fabric
    health: Health
    stop: asyncio.Event
    engine: Engine = field(init=False)
    publisher: EventPublisher = field(init=False)
    writer: LogWriter = field(init=False)
    reader: LogReader = field(init=False)
    mark: _Mark = field(default_factory=_Mark)
    provisional: Provisional = field(default_factory=Provisional)
    waiting: dict[str, asyncio.Future[str]] = field(default_factory=dict)
    history: History = field(default_factory=History)
    whole: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- start --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the state, learn what was published since, and get everything warm."""
        settings = self.fabric.settings
        self.directory = settings.directory("alarms")
        await self.fabric.ensure_streams()
        snapshot = await asyncio.to_thread(snapshots.load, self.directory)
        self.engine, events_mark = await self._restore(snapshot)
        known = await self._known(events_mark)
        self.publisher = EventPublisher(self.fabric, known, events_mark)
        await self.publisher.start()
        self.writer = LogWriter(self.fabric, on_state=self._log_state)
        self.reader = LogReader(self.fabric, start=self.engine.sequence + 1)
        self.mark.sequence = self.engine.sequence
        self._learn_positions()
        self.mark.target = await self.reader.last_sequence()
        warm_up(self.engine)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)

    async def _restore(self, snapshot: Any) -> tuple[Engine, int]:
        node = self.fabric.settings.node
        if snapshot is not None and snapshot.node == node:
            try:
                plant = EMPTY_PLANT
                if snapshot.revision:
                    plant = decode_plant(await self.fabric.get_config(snapshot.revision))
                engine = Engine.restore(plant, snapshot)
                last = (await self.fabric.jetstream.stream_info("LOG")).state.last_seq
                if engine.sequence > last:
                    raise DecodeError(f"the log ends at {last}, before the snapshot's {engine.sequence}")
                return engine, snapshot.events
            except (DecodeError, NotFoundError) as error:
                logger.error("the snapshot is of no use (%s): the log is read from its start", error)
        state = (await self.fabric.jetstream.stream_info("LOG")).state
        if state.first_seq > 1:
            # The record that named the configuration may be gone by retention.
            with contextlib.suppress(NotFoundError):
                revision, document = await self.fabric.current_config()
                return Engine(decode_plant(document), node, revision), 0
        return Engine(EMPTY_PLANT, node), 0

    async def _known(self, mark: int) -> dict[str, int]:
        """Read which of this node's alarm events stand in the event log after ``mark``."""
        info = await self.fabric.jetstream.stream_info(EVENTS)
        last = int(info.state.last_seq)
        known: dict[str, int] = {}
        if last <= mark:
            return known
        node = self.fabric.settings.node
        async for messages in LogReader(self.fabric, start=mark + 1, stream=EVENTS).batches(256, wait=1.0):
            for message in messages:
                with contextlib.suppress(msgspec.MsgspecError):
                    event = decode_event(message.data)
                    if event.type.startswith("alarm.") and event.source == node:
                        known[event.id] = message.sequence
            if messages and messages[-1].sequence >= last:
                break
        return known

    # --- the loop -----------------------------------------------------------------------------------------------

    async def follow_log(self) -> None:
        """Feed the engine with the log until told to stop."""
        async for messages in self.reader.batches(STEP_MESSAGES, wait=0.2):
            for message in messages:
                await self.step(message)
            self.publisher.check()
            if self.reader.lost:
                self.health.problems["lost"] = f"{self.reader.lost} records of the log were gone before they were read"
            if self.stop.is_set():
                return
            await asyncio.sleep(0)

    async def step(self, message: LogMessage) -> None:
        """Evaluate one record and publish its events; no snapshot may see the one without the other."""
        async with self.whole:
            events = await self._take(message)
            if events:
                await self.publisher.publish(events)
            # Only now: what this record makes may itself stand in the event log already.
            if message.sequence >= self.mark.target > 0:
                self.publisher.caught_up()
                self.mark.target = 0

    async def _take(self, message: LogMessage) -> list[Event]:
        if message.subject == log.SAMPLES and self.provisional.under_way:
            await self._tell(self.provisional.drop(self.engine.node, now_us()))
        try:
            events = await self._evaluate(message)
        except (AnlanError, msgspec.MsgspecError, KeyError) as error:
            # A record nobody can read must not stop the alarms; a replay skips it in the same way.
            logger.error("record %d of the log (%s) is skipped: %s", message.sequence, message.subject, error)
            self.health.count("undecodable")
            events = []
        self.engine.sequence = message.sequence
        self.mark.sequence, self.mark.stored = message.sequence, message.stored
        return events

    async def _evaluate(self, message: LogMessage) -> list[Event]:
        if message.subject == log.SAMPLES:
            batch, header = decode(message.data)
            return self.engine.samples(batch, header, message.sequence)
        record = log.decode(message.subject, message.data)
        if isinstance(record, log.Tick):
            return self.engine.tick(record, message.sequence)
        if isinstance(record, log.Command):
            outcome = self.engine.command(record, message.sequence)
            waiter = self.waiting.pop(record.id, None)
            if waiter is not None and not waiter.done():
                waiter.set_result(outcome.refused)
            return outcome.events
        if isinstance(record, log.ConnectorRecord):
            return self.engine.connector(record, message.sequence)
        return await self._config(record, message.sequence)

    async def _config(self, record: log.ConfigRecord, sequence: int) -> list[Event]:
        try:
            plant = decode_plant(await self.fabric.get_config(record.revision))
            events = self.engine.config(plant, record.revision, record.time, sequence)
        except (NotFoundError, AnlanError) as error:
            self.health.problems["config"] = f"配置 {record.revision} 不能使用 / cannot be used: {error}"
            raise
        self.health.problems.pop("config", None)
        self._learn_positions()
        self.health.details["revision"] = record.revision
        return events

    def _learn_positions(self) -> None:
        compiled = self.engine.compiled
        names = (*compiled.position_ids, "")
        owners = [names[position] for position in compiled.positions]
        self.history.positions = dict(zip(compiled.index, owners, strict=True))

    async def _tell(self, events: list[Event]) -> None:
        for event in events:
            await self.fabric.client.publish(LIVE_ALARM, encode_event(event))

    # --- beside the loop ----------------------------------------------------------------------------------------

    async def write_ticks(self) -> None:
        """Write the node's clock to the log, one record at a time: held ones do not pile up."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        before = 0
        while not self.stop.is_set():
            time, steady = now_us(), steady_us()
            tick = log.Tick(time, steady - before if before else 0)
            before = steady
            await self.writer.append(log.TICK, log.encode(tick), f"tick-{self.engine.node}-{time}")
            due = max(due + TICK_S, loop.time())
            await asyncio.sleep(due - loop.time())

    async def take_snapshots(self) -> None:
        """Store the state once a second, when all events up to it are acknowledged."""
        while not self.stop.is_set():
            await asyncio.sleep(SNAPSHOT_S)
            await self.store()

    async def store(self) -> None:
        """Store the state of this moment."""
        async with self.whole:
            snapshot = self.engine.snapshot()
            token = self.publisher.barrier()
        snapshot.events = await self.publisher.settled(token)
        try:
            await asyncio.to_thread(snapshots.save, self.directory, snapshot)
        except OSError as error:
            self.health.problems["snapshot"] = f"状态无法保存 / the state cannot be stored: {error}"
        else:
            self.health.problems.pop("snapshot", None)
            self.health.counters["snapshot_sequence"] = snapshot.sequence

    async def publish_live(self) -> None:
        """Tell once a second which last values changed."""
        before = SampleBatch.empty()
        while not self.stop.is_set():
            await asyncio.sleep(LIVE_S)
            now = last_values(self.provisional.shown(self.engine))
            changed = _changes(before, now)
            before = now
            header = BatchHeader(node=self.engine.node, received=self.engine.time, revision=self.engine.revision)
            for start in range(0, len(changed), LIVE_ROWS):
                part = changed.take(np.arange(start, min(start + LIVE_ROWS, len(changed))))
                await self.fabric.client.publish(log.LIVE, encode(part, header))

    async def watch(self) -> None:
        """Say in health how far behind the log the alarms are, and what the engine counted."""
        while not self.stop.is_set():
            with contextlib.suppress(Exception):
                behind = max(0, await self.reader.last_sequence() - self.mark.sequence)
                lag = now_us() - self.mark.stored if behind and self.mark.stored else 0
                self.health.counters |= {"behind": behind, "lag_ms": lag / 1000, "sequence": self.mark.sequence}
                if lag > BEHIND_US:
                    self.health.problems["behind"] = (
                        f"报警计算落后 {lag / 1e6:.1f} 秒 / alarms are {lag / 1e6:.1f} s behind the log"
                    )
                else:
                    self.health.problems.pop("behind", None)
            self.health.counters |= {
                **self.engine.counters,
                "definitions": len(self.engine.compiled.definitions),
                "events": self.publisher.published,
                "events_skipped": self.publisher.skipped,
            }
            await asyncio.sleep(1.0)

    def _log_state(self, up: bool, reason: str) -> None:
        if up:
            self.health.problems.pop("log", None)
        else:
            self.health.problems["log"] = f"日志拒绝写入 / the log refuses records: {reason}"

    async def ring_unlogged(self) -> None:
        """Ring provisionally what the log refused."""

        async def receive(message: Msg) -> None:
            try:
                batch, header = decode(message.data)
            except DecodeError:
                self.health.count("undecodable")
                return
            await self._tell(self.provisional.samples(self.engine, batch, header))
            self.health.problems["unlogged"] = (
                "日志拒绝写入,报警为临时提示 / the log refuses batches; alarms are provisional"
            )

        await self.fabric.client.subscribe(log.UNLOGGED, cb=receive)
        while not self.stop.is_set():
            await asyncio.sleep(TICK_S)
            if self.provisional.under_way:
                await self._tell(self.provisional.tick(now_us()))
            else:
                self.health.problems.pop("unlogged", None)

    # --- answers ------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Answer requests."""
        desk = ActDesk(lambda: self.engine, self._submit)

        async def alarms(request: ListAlarms, actor: Actor) -> AlarmList:
            return list_alarms(self.provisional.shown(self.engine), request, actor)

        async def act(request: Act, actor: Actor) -> ActResult:
            return await desk.act(request, actor)

        async def values(request: Snapshot, actor: Actor) -> AsyncIterator[bytes]:
            yield visible_values(self.provisional.shown(self.engine), request.scope, actor)

        async def performance(request: PerformanceQuery, actor: Actor) -> Performance:
            visible = None
            if not actor.sees(""):
                compiled = self.engine.compiled
                places = zip(compiled.index, compiled.places, strict=True)
                visible = {alarm for alarm, place in places if actor.sees(place)}
            return await asyncio.to_thread(self.history.performance, request, visible)

        async def try_definition(request: TryDefinition, actor: Actor) -> TryResult:
            from anlan.monitor.trial import try_on_historian

            return await try_on_historian(self.fabric, self.engine.compiled.plant, request, actor)

        async def status(_request: Status, _actor: Actor) -> MonitorStatus:
            return MonitorStatus(
                sequence=self.mark.sequence,
                behind=int(self.health.counters.get("behind", 0)),
                definitions=len(self.engine.compiled.definitions),
                revision=self.engine.revision,
                time=self.engine.time,
            )

        await self.fabric.serve("monitor.alarms", ListAlarms, alarms)
        await self.fabric.serve("monitor.act", Act, act)
        await self.fabric.serve_pieces("monitor.snapshot", Snapshot, values)
        await self.fabric.serve("monitor.performance", PerformanceQuery, performance)
        await self.fabric.serve("monitor.try", TryDefinition, try_definition)
        await self.fabric.serve("monitor.status", Status, status)

    async def _submit(self, command: log.Command) -> str:
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.waiting[command.id] = waiter
        try:
            async with asyncio.timeout(ACT_TIMEOUT_S):
                await self.writer.append(log.COMMAND, log.encode(command), command.id)
                return await waiter
        except TimeoutError as error:
            raise UnavailableError("the log did not take the act in time", where=command.alarm) from error
        finally:
            self.waiting.pop(command.id, None)


def _changes(before: SampleBatch, now: SampleBatch) -> SampleBatch:
    """Return the rows of ``now`` that are new or differ from ``before``."""
    place = np.searchsorted(before.point, now.point)
    inside = place < len(before)
    at = np.where(inside, place, 0)
    if not len(before):
        return now
    same = (
        inside
        & (before.point[at] == now.point)
        & (before.time[at] == now.time)
        & (before.quality[at] == now.quality)
        & (before.value[at].view(np.int64) == now.value.view(np.int64))
    )
    return now.take(~same)


async def run(fabric: Fabric, health: Health, stop: asyncio.Event) -> None:
    """Run the alarm service until ``stop``; raises when events cannot be published, to be started again."""
    service = AlarmService(fabric, health, stop)
    await service.start()
    await service.serve()
    health.details["revision"] = service.engine.revision
    health.ready = True
    logger.info(
        "alarms from record %d, %d definitions", service.mark.sequence, len(service.engine.compiled.definitions)
    )
    jobs: list[Coroutine[Any, Any, None]] = [
        service.write_ticks(),
        service.take_snapshots(),
        service.publish_live(),
        service.watch(),
        service.ring_unlogged(),
        service.history.follow(fabric, stop),
    ]
    tasks = [asyncio.ensure_future(job) for job in jobs]
    following = asyncio.ensure_future(service.follow_log())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({following, stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        # The record under way must be whole, events and all, before the last state is stored.
        await asyncio.wait_for(asyncio.shield(following), STOP_S)
        await service.publisher.drain()
        await service.store()
    finally:
        health.ready = False
        for task in (*tasks, following, stopping):
            task.cancel()
        await asyncio.gather(*tasks, following, stopping, return_exceptions=True)

"""The process ``warn``: the log and the alarms' events in, warnings, risk and predictions out.

Every step of the book is one transaction with its events and with how far the streams were read for it. After a crash
the stream goes on from its last state; what it says up to the position of the ledger is known already, and there the
book is made to agree with the models. So no warning is there twice and none is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import nats.errors
import nats.js.errors
from sqlalchemy.exc import SQLAlchemyError

from anlan.core import log
from anlan.core.batch import decode
from anlan.core.errors import AnlanError, DecodeError, NotFoundError
from anlan.core.events import AlarmTransition, Event, EventType, decode_event
from anlan.core.health import Health
from anlan.core.time import HOUR, SECOND, now_us
from anlan.plant.model import AlarmDefinition, Plant, Point, SiteInfo, decode_plant
from anlan.store.fabric.client import EVENTS, LOG, Fabric
from anlan.store.fabric.log import LogMessage, LogReader
from anlan.store.records.base import Records, open_engine
from anlan.warn import budgets
from anlan.warn import state as rest
from anlan.warn.facts import Facts
from anlan.warn.features.library import library
from anlan.warn.fleet import Fleet, actions_of, grade_counts
from anlan.warn.ledger import Ledger
from anlan.warn.model import LIVE, Finding, ModelKind, WarnLive
from anlan.warn.models.edge import publish
from anlan.warn.models.key import node_key
from anlan.warn.models.library import built_in
from anlan.warn.models.registry import Registry
from anlan.warn.notify import Notifier
from anlan.warn.outbox import Outbox
from anlan.warn.risk_watch import RiskWatch
from anlan.warn.startup import make_schema, sequence_at, warm_up
from anlan.warn.stream.engine import WarnEngine
from anlan.warn.warnings.engine import Book
from anlan.warn.warnings.record import Changes, Mint, member_key, merged

logger = logging.getLogger(__name__)

STEP_MESSAGES = 16
SNAPSHOT_S = 15.0
LIVE_S = 1.0
RISK_S = 5.0
FIRST_RISK_S = 0.5
STOP_S = 8.0
BEHIND_US = 10 * SECOND
NEAR = 200
"""Records of the log behind which time still counts as now: nobody is told and no risk made of what was long ago."""
WARM_UP = HOUR
"""How much of the log is read at a first start, so that windows are full."""
EMPTY_PLANT = Plant(site=SiteInfo(id="", name=""))
_transition = msgspec.convert


@dataclass
class WarnService:
    """The process of early warning of one node."""

    fabric: Fabric
    health: Health
    stop: asyncio.Event
    plant: Plant = EMPTY_PLANT
    revision: str = ""
    fleet: Fleet = field(default_factory=Fleet)
    engine: WarnEngine = field(init=False)
    book: Book = field(init=False)
    ledger: Ledger = field(init=False)
    registry: Registry = field(init=False)
    risk: RiskWatch = field(init=False)
    whole: asyncio.Lock = field(default_factory=asyncio.Lock)
    findings: dict[str, Finding] = field(default_factory=dict)
    waiting: deque[tuple[int, Event]] = field(default_factory=deque)
    behind: int = 0
    events_there: asyncio.Event = field(default_factory=asyncio.Event)
    budgets_due: bool = True
    _decided: Changes = field(default_factory=Changes)

    @property
    def node(self) -> str:
        """Id of the node."""
        return self.fabric.settings.node

    # --- start ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load everything, learn what was published since, and get it warm."""
        settings = self.fabric.settings
        self.directory = settings.directory("warn")
        await self.fabric.ensure_streams()
        self.sql = open_engine(settings)
        await make_schema(self.sql)
        records = Records(self.sql)
        self.ledger = Ledger(records)
        self.registry = Registry(records, self.node, node_key(settings.directory("secrets")))
        self.outbox = Outbox(self.fabric, self.ledger, self.health)
        self.notifier = Notifier(self.ledger, lambda: self.plant, settings.directory("secrets"), self.health)
        self.facts = Facts(self.fabric, self.health)
        self.library = library()
        await asyncio.to_thread(self.registry.keep_built_in, built_in(), now_us())
        await self._learn_fleet()
        await self.outbox.resume()
        await self._resume()
        await asyncio.to_thread(warm_up, lambda: self._build(self.plant))

    async def _learn_fleet(self) -> None:
        versions = await asyncio.to_thread(self.registry.versions, every=False)
        self.fleet = Fleet.of(versions)
        for key in [key for key in self.health.problems if key.startswith("model.")]:
            del self.health.problems[key]
        for key, problem in self.fleet.problems.items():
            self.health.problems[f"model.{key}"] = f"{key}: {problem}"

    async def _resume(self) -> None:
        marks = await asyncio.to_thread(self.ledger.marks)
        kept = await asyncio.to_thread(self.ledger.living)
        state = await asyncio.to_thread(rest.load, self.directory, self.node)
        # A fabric that was made anew counts from one again.
        self.events_target = int((await self.fabric.jetstream.stream_info(EVENTS)).state.last_seq)
        log_end = int((await self.fabric.jetstream.stream_info(LOG)).state.last_seq)
        self.known_log = marks.get("log", 0) if marks.get("log", 0) <= log_end else 0
        self.known_events = marks.get("events", 0) if marks.get("events", 0) <= self.events_target else 0
        self.events_mark = self.known_events
        self.sequence = self.stored = self.ticked = self.settled = 0
        await self._restore(state)
        self.book = Book(self.node, self.fleet.running(self.engine), self.plant, kept)
        self.book.actions = actions_of(self.library)
        self.book.exercise = self.fabric.settings.extra.get("exercise") == "1"
        if state is not None:
            self.book.targets, self.book.missed_at = dict(state.standing), dict(state.missed)
        self.reconciled = False
        self._learn_plant()
        colours = {name: value for name, value in marks.items() if name.startswith("risk/")}
        self.risk = RiskWatch(self.node, self.facts, self.health, colours)
        await asyncio.to_thread(self.risk.configure, self.plant)
        self.reader = LogReader(self.fabric, start=self.sequence + 1)

    async def _restore(self, state: rest.State | None) -> None:
        """Take the stream's state of the last moment, or begin with the last hour of the log."""
        info = (await self.fabric.jetstream.stream_info(LOG)).state
        if state is not None and state.sequence <= info.last_seq:
            try:
                plant = decode_plant(await self.fabric.get_config(state.revision)) if state.revision else EMPTY_PLANT
                engine = await asyncio.to_thread(self._build, plant)
                ended = await asyncio.to_thread(engine.restore, state.stream)
            except (DecodeError, NotFoundError) as error:
                logger.error("the state of the stream is of no use (%s): it begins anew", error)
            else:
                self.plant, self.revision, self.engine = plant, state.revision, engine
                self.findings = dict(state.findings)
                self._note(ended)
                self.sequence, self.events_mark = state.sequence, state.events
                return
        with contextlib.suppress(NotFoundError):
            # The record that named the configuration may be gone by retention, or stand before the last hour.
            self.revision, document = await self.fabric.current_config()
            self.plant = decode_plant(document)
        self.engine = await asyncio.to_thread(self._build, self.plant)
        first = await sequence_at(self.fabric, now_us() - WARM_UP, int(info.first_seq), int(info.last_seq))
        self.sequence = first - 1

    def _build(self, plant: Plant) -> WarnEngine:
        return WarnEngine(plant, self.fleet.models, self.library, self.fleet.files, self.node)

    def _learn_plant(self) -> None:
        self._points: dict[int, Point] = self.plant.point_by_number()
        self._alarms: dict[str, AlarmDefinition] = {alarm.id: alarm for alarm in self.plant.alarms}
        self.health.details["revision"] = self.revision

    # --- the log ----------------------------------------------------------------------------------------------------

    async def follow_log(self) -> None:
        """Read the log until told to stop; first wait until the alarms' events of the past are read."""
        await self.events_there.wait()
        async for messages in self.reader.batches(STEP_MESSAGES, wait=0.2):
            for message in messages:
                await self.step(message)
            if not messages:
                await self.pause()
            if self.reader.lost:
                self.health.problems["lost"] = f"{self.reader.lost} 条日志已过保存期 / records of the log were gone"
            if self.stop.is_set():
                return
            await asyncio.sleep(0)

    async def follow_events(self) -> None:
        """Read the alarms' transitions; each is taken after the record of the log that fired it."""
        reader = LogReader(
            self.fabric, start=self.events_mark + 1, stream=EVENTS, subjects=[f"events.{EventType.ALARM.value}"]
        )
        async for messages in reader.batches(256, wait=0.5):
            for message in messages:
                with contextlib.suppress(msgspec.MsgspecError):
                    event = decode_event(message.data)
                    if event.source == self.node:
                        self.waiting.append((message.sequence, event))
            if not messages or messages[-1].sequence >= self.events_target or self.stop.is_set():
                self.events_there.set()
            if self.stop.is_set():
                return

    async def step(self, message: LogMessage) -> None:
        """Take one record: stream, book and ledger; no state is stored in between."""
        async with self.whole:
            try:
                findings = await self._take(message)
            except (AnlanError, msgspec.MsgspecError, KeyError) as error:
                # A record nobody can read must not stop the warnings.
                logger.error("record %d of the log (%s) is skipped: %s", message.sequence, message.subject, error)
                self.health.count("undecodable")
                findings = []
            self.sequence, self.stored = message.sequence, message.stored
            self._note(findings)
            await self._apply(findings, message.sequence)
            self.settled = message.sequence

    async def _take(self, message: LogMessage) -> list[Finding]:
        if message.subject == log.SAMPLES:
            batch, header = decode(message.data)
            self.engine.take(batch, header, message.sequence)
            return []
        record = log.decode(message.subject, message.data)
        if isinstance(record, log.Tick):
            return self.engine.tick(record.time, message.sequence)
        if isinstance(record, log.ConfigRecord) and record.revision != self.revision:
            return await self._config(record)
        return []

    async def _config(self, record: log.ConfigRecord) -> list[Finding]:
        try:
            plant = decode_plant(await self.fabric.get_config(record.revision))
        except NotFoundError as error:
            self.health.problems["config"] = f"配置 {record.revision} 不能使用 / cannot be used: {error}"
            raise
        self.health.problems.pop("config", None)
        ended = await asyncio.to_thread(self.engine.configure, plant)
        self.plant, self.revision = plant, record.revision
        await asyncio.to_thread(self.risk.configure, plant)
        self._learn_plant()
        await self._reform(Mint(self.node, "warn/config", self.engine.sequence), record.time)
        return ended

    async def _reform(self, mint: Mint, time: int) -> None:
        """Tell the book which models run and where."""
        changes = self.book.configure(self.fleet.running(self.engine), self.plant, mint, time)
        self._tell_engine()
        await self.keep(changes)

    def _tell_engine(self) -> None:
        for key in [key for key in self.health.problems if key.startswith("engine.")]:
            del self.health.problems[key]
        # A model without the inputs it wants is no fault of the node; one that is somebody's own is.
        own = {f"{v.model.id}@{v.model.version}" for v in self.fleet.versions if not v.built_in}
        for key, (zh, en) in self.engine.problems.items():
            if key in own:
                self.health.problems[f"engine.{key}"] = f"模型 {key} 不运行:{zh} / model {key} does not run: {en}"

    def _note(self, findings: list[Finding]) -> None:
        for finding in findings:
            key = member_key(finding.model, finding.version, finding.path)
            if finding.grade is None:
                self.findings.pop(key, None)
            else:
                self.findings[key] = finding

    async def _apply(self, findings: list[Finding], sequence: int) -> None:
        self._hear(sequence)
        if sequence <= self.known_log:
            return
        mint = Mint(self.node, "warn", sequence)
        changes = self.book.findings(findings, mint) if self.reconciled else self._agreed(mint)
        if self.engine.time > self.ticked:
            self.ticked = self.engine.time
            changes = merged(changes, self.book.tick(self.ticked, mint))
        changes = merged(changes, self._decided)
        self._decided = Changes()
        await self.keep(changes)

    def _agreed(self, mint: Mint) -> Changes:
        self.reconciled = True
        return self.book.reconcile(self.findings, mint, max(self.engine.time, 1))

    async def pause(self) -> None:
        """The log's end is reached: take what came beside it meanwhile."""
        async with self.whole:
            self._hear(self.sequence)
            changes, self._decided = self._decided, Changes()
            if not self.reconciled and self.engine.time:
                changes = merged(changes, self._agreed(Mint(self.node, "warn/agree", self.sequence)))
            await self.keep(changes)

    def _hear(self, sequence: int) -> None:
        """Take the alarms that records up to ``sequence`` fired."""
        late = self.engine.time - 60 * SECOND
        while self.waiting:
            number, event = self.waiting[0]
            if int(event.data.get("sequence", 0)) > sequence and event.time > late:
                return
            self.waiting.popleft()
            self._decided = merged(self._decided, self._alarm(event, known=number <= self.known_events))
            self.events_mark = number

    def _alarm(self, event: Event, *, known: bool) -> Changes:
        self.engine.alarm(event)
        try:
            transition = _transition(event.data, AlarmTransition)
        except msgspec.ValidationError as error:
            logger.error("an alarm's event %s is skipped: %s", event.id, error)
            self.health.count("undecodable")
            return Changes()
        definition = self._alarms.get(transition.alarm)
        point = self._points.get(transition.point)
        path = point.path if point else transition.alarm.rpartition(".")[0]
        kind = definition.kind if definition else transition.alarm.rpartition(".")[2]
        self.facts.alarm(event, transition, kind, path)
        return self.book.alarm(event, transition, kind, path, point.kind if point else "", known=known)

    async def keep(
        self, changes: Changes, events: list[Event] | None = None, marks: Mapping[str, int] | None = None
    ) -> None:
        """Write a step into the ledger, trying until it is there: the book is ahead of it meanwhile."""
        if not changes and not events and not marks:
            return
        where = {"log": self.sequence, "events": self.events_mark, **(marks or {})}
        delay = 0.1
        while True:
            try:
                await asyncio.to_thread(self.ledger.save, changes, where, events or [])
            except SQLAlchemyError as error:
                self.health.problems["ledger"] = (
                    f"预警无法写入记录 / warnings cannot be recorded: {type(error).__name__}"
                )
                logger.error("warnings cannot be recorded: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)
            else:
                break
        self.health.problems.pop("ledger", None)
        if changes.events or events:
            self.outbox.wake()
        if changes.messages:
            self.notifier.wake()
        if any(step.arrow == "score" for _, step in changes.steps) or changes.missed:
            self.budgets_due = True

    # --- beside the log ---------------------------------------------------------------------------------------------

    @property
    def present(self) -> bool:
        """Whether the stream shows the present, not a past that is being caught up with."""
        return self.reconciled and self.behind <= NEAR

    async def escalate(self) -> None:
        """Tell the next people once a second where too few have answered."""
        while not self.stop.is_set():
            await asyncio.sleep(1.0)
            if self.present:
                async with self.whole:
                    await self.keep(self.book.escalate(now_us()))

    async def watch_risk(self) -> None:
        """Evaluate the risk of all places every few seconds; its models speak like any others."""
        while not self.stop.is_set():
            await self.facts.refresh()
            if self.present and self.engine.time:
                async with self.whole:
                    await self._evaluate()
            await asyncio.sleep(RISK_S if self.risk.nodes else FIRST_RISK_S)

    async def _evaluate(self) -> None:
        kinds = {key: item.model.kind for key, item in self.book.running.items()}
        # A warning that only says that the risk is high must not raise the risk it speaks of.
        kept = [
            item
            for item in self.book.kept.values()
            if any(kinds.get((m.model, m.version)) is not ModelKind.RISK for m in item.members.values())
        ]
        time = self.engine.time
        nodes = await asyncio.to_thread(self.risk.evaluate, self.engine, kept, time)
        findings = self.engine.risk(nodes, time)
        self._note(findings)
        changes = self.book.findings(findings, Mint(self.node, "warn/risk", time))
        events, marks = self.risk.changes(nodes, time)
        await self.keep(changes, events, marks)
        if findings:
            await self._store()

    async def take_snapshots(self) -> None:
        """Store the stream's state every few seconds."""
        while not self.stop.is_set():
            await asyncio.sleep(SNAPSHOT_S)
            await self.store()

    async def store(self) -> None:
        """Store the state of this moment."""
        async with self.whole:
            await self._store()

    async def _store(self) -> None:
        if not self.reconciled:
            return
        state = rest.State(
            self.node,
            self.revision,
            self.sequence,
            self.events_mark,
            self.engine.snapshot(),
            dict(self.findings),
            dict(self.book.targets),
            dict(self.book.missed_at),
        )
        await self.keep(Changes(), marks={"log": self.sequence})
        try:
            await asyncio.to_thread(rest.save, self.directory, state)
        except OSError as error:
            self.health.problems["snapshot"] = f"状态无法保存 / the state cannot be stored: {error}"
        else:
            self.health.problems.pop("snapshot", None)
            self.health.counters["snapshot_bytes"] = len(state.stream)

    async def publish_live(self) -> None:
        """Tell once a second what the console shows."""
        while not self.stop.is_set():
            await asyncio.sleep(LIVE_S)
            await self.fabric.client.publish(LIVE, msgspec.json.encode(self.live()))

    def live(self) -> WarnLive:
        """Return what the console needs now."""
        grades = [kept.row.grade for kept in self.book.kept.values() if is_open(kept.row)]
        colours = {node.path: (int(node.colour), round(node.index, 1)) for node in self.risk.nodes}
        return WarnLive(self.engine.time, grade_counts(grades), colours, self.engine.predictions()[:50])

    async def watch(self) -> None:
        """Say in health how far behind the log the warnings are, and what was counted."""
        while not self.stop.is_set():
            with contextlib.suppress(Exception):
                self.behind = max(0, await self.reader.last_sequence() - self.sequence)
                lag = now_us() - self.stored if self.behind and self.stored else 0
                self.health.counters |= {"behind": self.behind, "lag_ms": lag / 1000, "sequence": self.sequence}
                if lag > BEHIND_US:
                    self.health.problems["behind"] = (
                        f"预警计算落后 {lag / 1e6:.0f} 秒 / warnings are {lag / 1e6:.0f} s behind the log"
                    )
                else:
                    self.health.problems.pop("behind", None)
            grades = [kept.row.grade for kept in self.book.kept.values() if is_open(kept.row)]
            self.health.counters |= {
                **self.engine.counters,
                "models": len(self.fleet.versions),
                "features": len(self.engine.features.bound),
                "open": len(grades),
                "events": self.outbox.published,
                "unknown_findings": self.book.unknown,
            }
            if self.budgets_due and self.reconciled:
                self.budgets_due = False
                with contextlib.suppress(SQLAlchemyError):
                    versions = self.fleet.versions
                    if await asyncio.to_thread(budgets.judge, self.ledger, self.registry, versions, now_us()):
                        self.outbox.wake()
            await asyncio.sleep(1.0)

    async def refit(self) -> None:
        """Run the models that the registry now says; the others' findings end."""
        async with self.whole:
            await self._learn_fleet()
            ended = await asyncio.to_thread(self.engine.use, self.fleet.models, self.fleet.files)
            self._note(ended)
            mint = Mint(self.node, "warn/models", now_us())
            changes = self.book.findings(ended, mint)
            time = self.engine.time or now_us()
            changes = merged(changes, self.book.configure(self.fleet.running(self.engine), self.plant, mint, time))
            # What a model says already must ring when it is put live, and be quiet when it goes to shadow.
            changes = merged(changes, self.book.reconcile(self.findings, mint, time))
            self._tell_engine()
            await self.keep(changes)
            await self._store()
        self.outbox.wake()
        await self.ship()

    async def ship(self) -> None:
        """Put the models in force onto the fabric, for whoever runs them elsewhere."""
        try:
            await publish(self.fabric, self.node, self.registry.public, self.fleet.versions, now_us())
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
            self.health.problems["ship"] = f"模型未能分发 / the models could not be put on the fabric: {error}"
        else:
            self.health.problems.pop("ship", None)


def is_open(row: Any) -> bool:
    """Return whether a warning's row is one that people were told of and that is not closed."""
    return not row.shadow and row.state.value not in ("closed", "scored")


async def run(fabric: Fabric, health: Health, stop: asyncio.Event) -> None:
    """Run the process of early warning until ``stop``."""
    from anlan.warn.desk import Desk

    service = WarnService(fabric, health, stop)
    await service.start()
    await Desk(service).serve()
    health.ready = True
    logger.info("warnings from record %d, %d models", service.sequence, len(service.fleet.versions))
    await service.ship()
    jobs: list[Coroutine[Any, Any, None]] = [
        service.take_snapshots(),
        service.publish_live(),
        service.watch(),
        service.watch_risk(),
        service.escalate(),
        service.outbox.run(),
        service.notifier.run(),
        service.follow_events(),
    ]
    tasks = [asyncio.ensure_future(job) for job in jobs]
    following = asyncio.ensure_future(service.follow_log())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({following, stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        # The record under way must be whole before the last state is stored.
        await asyncio.wait_for(asyncio.shield(following), STOP_S)
        await service.store()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(service.outbox.flush(), STOP_S)
    finally:
        health.ready = False
        for task in (*tasks, following, stopping):
            task.cancel()
        await asyncio.gather(*tasks, following, stopping, return_exceptions=True)
        service.sql.dispose()

"""The process of early warning against a real nats-server and real SQL: killed under load, asked, acted on."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

import msgspec
import numpy as np
import pytest

from anlan.core import log
from anlan.core.actor import SYSTEM, Actor, Grant, Role
from anlan.core.batch import BatchHeader, SampleBatch, decode, encode
from anlan.core.errors import ConflictError, DecodeError, InvalidInputError, NotFoundError, PermissionDeniedError
from anlan.core.events import AlarmState, AlarmTransition, Event, decode_event
from anlan.core.health import Health
from anlan.core.time import DAY, HOUR, SECOND, now_us
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
from anlan.warn import service
from anlan.warn.features.library import library
from anlan.warn.fleet import Fleet
from anlan.warn.model import (
    LIVE,
    ActOnModel,
    ActOnWarning,
    AddModel,
    ExplainRisk,
    FeatureRow,
    Finding,
    Forecast,
    GetForecast,
    GetModel,
    GetRisk,
    GetWarning,
    ListFeatures,
    ListMissed,
    ListModels,
    ListWarnings,
    Missed,
    ModelDetail,
    ModelKind,
    ModelMode,
    ModelRow,
    RiskMap,
    RiskNode,
    StatusQuery,
    Target,
    TrialResult,
    TryModel,
    WarningDetail,
    WarningList,
    WarningModel,
    WarningRow,
    WarnLive,
    WarnStatus,
)
from anlan.warn.models.edge import fetch
from anlan.warn.models.key import node_key
from anlan.warn.models.registry import Registry
from anlan.warn.service import run
from anlan.warn.stream.engine import WarnEngine
from anlan.warn.tables import WarningModelRecord
from anlan.warn.warnings.engine import Book
from anlan.warn.warnings.record import Mint
from tests.conftest import FabricProcess
from tests.warn.child import start

T = TypeVar("T")
POINTS = 6
U = "e/a/u"


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


@pytest.fixture(autouse=True)
def _own_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the models of the test run: those of the library have tests of their own."""
    monkeypatch.setattr(service, "built_in", lambda: ())


def install(settings: Settings, *models: WarningModel) -> Registry:
    """Put models in force before the process runs."""
    sql = open_engine(settings)
    upgrade(sql)
    registry = Registry(Records(sql), settings.node, node_key(settings.directory("secrets")))
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
                await asyncio.sleep(0.015)
            return sequence

        loading = asyncio.ensure_future(load())
        warn = start(settings)
        try:
            for _ in range(2):
                await evaluated(fabric, 1)
                await asyncio.sleep(chance.uniform(0.2, 0.8))
                warn.kill()
                warn.join()
                warn = start(settings)
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
            warn.join()
    arrows = Counter(event.data["arrow"] for event in expected)
    assert arrows["raise"] == POINTS
    assert min(arrows["end"], arrows["resume"]) >= 3
    assert [id_ for id_, count in Counter(event.id for event in told).items() if count > 1] == []
    assert [event.id for event in told] == [event.id for event in expected]
    assert told == expected


class Running:
    """The process in this one, for tests of what it answers."""

    def __init__(self, settings: Settings, site: Plant, *models: WarningModel) -> None:
        self.settings = settings
        self.site = site
        self.models = models
        self.health = Health("warn")
        self.stop = asyncio.Event()
        self.turns = 0

    async def __aenter__(self) -> Running:
        self.registry = await asyncio.to_thread(install, self.settings, *self.models)
        self.own = await Fabric.connect(self.settings, "warn")
        self.fabric = await Fabric.connect(self.settings, "runtime")
        await self.fabric.ensure_streams()
        await put_in_force(self.fabric, self.site)
        self.feeder = Feeder(self.fabric, now_us() - HOUR // 2)
        self.task = asyncio.ensure_future(run(self.own, self.health, self.stop))
        await evaluated(self.fabric, 1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 20)
        await self.own.close()
        await self.fabric.close()

    async def call(self, subject: str, request: object, kind: type[T], actor: Actor = SYSTEM) -> T:
        return await self.fabric.call(f"warn.{subject}", request, actor, kind, timeout=20)

    async def feed(self, turns: int) -> int:
        """Let the first point climb, the others stand; return the sequence reached, evaluated."""
        sequence = 0
        for _ in range(turns):
            self.turns += 1
            noise = np.random.default_rng(self.turns).normal(0, 0.05, POINTS)
            values = {n: 20.0 + float(noise[n - 1]) for n in range(1, POINTS + 1)}
            values[1] += 0.6 * min(self.turns, 120)
            sequence = await self.feeder.turn(values)
        await evaluated(self.fabric, sequence)
        return sequence

    async def ring(self, sequence: int, path: str = f"{U}1/level", ordinal: int = 0) -> Event:
        """Publish the rung alarm of a point, as the alarm process would."""
        number = int(path.split("/")[2][1:])
        transition = AlarmTransition(
            f"{path}.HH", "i1", "raise", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, number, 1, sequence=sequence
        )
        identity = f"ALARM{number:03d}{ordinal:018d}"
        data = msgspec.to_builtins(transition)
        event = Event(identity, "alarm.transition", self.settings.node, self.feeder.time, f"{path}.HH", data=data)
        await self.fabric.publish_event(event)
        return event

    async def until(self, question: Callable[[], Awaitable[T]], good: Callable[[T], object]) -> T:
        """Return an answer that is as wanted."""
        for _ in range(600):
            answer = await question()
            if good(answer):
                return answer
            await asyncio.sleep(0.05)
        pytest.fail(f"it never came: {answer}")

    async def warnings(self, view: str = "open", actor: Actor = SYSTEM, scope: str = "") -> tuple[WarningRow, ...]:
        return (await self.call("warnings", ListWarnings(view, scope, "level-trend"), WarningList, actor)).rows

    async def told(self, kind: str) -> list[Event]:
        events = [decode_event(message.data) for message in await read_all(self.fabric, EVENTS)]
        return [event for event in events if event.type == kind]


OPERATOR = Actor("li", grants=(Grant(Role.OPERATOR, f"{U}1"),))
STRANGER = Actor("wang", grants=(Grant(Role.OPERATOR, f"{U}2"),))
AUDITOR = Actor("zhao", grants=(Grant(Role.AUDITOR),))


async def test_a_warning_lives_from_its_raising_to_its_score(settings: Settings, fabric_process: FabricProcess) -> None:
    async with Running(settings, plant(), TREND) as it:
        await it.feed(70)
        (row,) = await it.warnings()
        assert (row.path, row.model, row.state, row.grade) == (f"{U}1/level", "level-trend", "raised", 2)
        assert row.action_zh == "检查进料阀"
        assert 0 < row.lead < HOUR
        assert await it.warnings(actor=STRANGER) == ()
        assert await it.warnings(actor=OPERATOR) == (row,)

        confirm = ActOnWarning(row.id, "confirm", "已派人")
        with pytest.raises(NotFoundError):
            await it.call("act", confirm, WarningRow, STRANGER)
        with pytest.raises(PermissionDeniedError):
            await it.call("act", confirm, WarningRow, AUDITOR)
        done = await it.call("act", confirm, WarningRow, OPERATOR)
        assert (done.state, done.who, done.answers) == ("confirmed", "li", ("li",))
        with pytest.raises(ConflictError, match="says why"):
            await it.call("act", ActOnWarning(row.id, "close"), WarningRow, OPERATOR)

        alarm = await it.ring(await it.feed(10))
        other = await it.ring(await it.feed(1), f"{U}3/level")
        (missed,) = await it.until(lambda: it.call("missed", ListMissed(), tuple[Missed, ...]), bool)
        assert (missed.event, missed.target) == (other.id, f"{U}3/level.HH")
        assert "level-trend" in missed.models
        assert await it.call("missed", ListMissed(), tuple[Missed, ...], OPERATOR) == ()

        closed = await it.call("act", ActOnWarning(row.id, "close", "阀门已换"), WarningRow, OPERATOR)
        assert (closed.state, closed.outcome, closed.event) == ("scored", "hit", alarm.id)
        detail = await it.call("warning", GetWarning(row.id), WarningDetail)
        assert [step.arrow for step in detail.steps] == ["raise", "confirm", "close", "score"]
        assert detail.samples[0].startswith("samples:test/1/")
        assert detail.points == (f"{U}1/level",)
        with pytest.raises(ConflictError, match="it is over"):
            await it.call("act", ActOnWarning(row.id, "close", "x"), WarningRow, OPERATOR)

        told = await it.until(lambda: it.told("warning.transition"), lambda events: len(events) >= 4)
        assert [event.data["arrow"] for event in told] == ["raise", "confirm", "close", "score"]
        assert told[0].id == row.id
        assert told[-1].causes == (row.id, alarm.id)
        assert (await it.told("warning.missed"))[0].causes == (other.id,)
        (model,) = [
            r for r in await it.call("models", ListModels(), tuple[ModelRow, ...]) if r.model.id == "level-trend"
        ]
        sheet = model.sheet
        assert (sheet.hit, sheet.missed, sheet.precision, sheet.recall) == (1, 1, 1.0, 0.5)
        assert sheet.leads[0] == alarm.time - row.raised


async def test_it_goes_on_after_a_stop_with_what_it_knew(settings: Settings, fabric_process: FabricProcess) -> None:
    async with Running(settings, plant(), TREND) as it:
        await it.feed(70)
        (before,) = await it.warnings()
        time = it.feeder.time
        steps = (await it.call("status", StatusQuery(), WarnStatus)).steps
    for broken in (False, True):
        if broken:
            (settings.directory("warn") / "state.msgpack").write_bytes(b"rubbish")
        async with Running(settings, plant()) as it:
            it.feeder.time, it.turns = time, 70
            await it.feed(2)
            time = it.feeder.time
            assert [row.id for row in await it.warnings()] == [before.id]
            status = await it.call("status", StatusQuery(), WarnStatus)
            assert status.steps >= steps
            told = await it.told("warning.transition")
            assert [event.data["arrow"] for event in told] == ["raise"]


async def test_models_are_added_tried_in_shadow_put_live_and_taken_back(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    manager = Actor("chen", grants=(Grant(Role.ENGINEER),))
    async with Running(settings, plant()) as it:
        add = AddModel(TREND, comment="trial")
        with pytest.raises(PermissionDeniedError):
            await it.call("model.add", add, ModelRow, AUDITOR)
        added = await it.call("model.add", add, ModelRow, manager)
        assert (added.mode, added.created_by, added.bound) == (
            ModelMode.SHADOW,
            "chen",
            tuple(f"{U}{n}" for n in range(1, 7)),
        )
        await it.feed(70)
        (ghost,) = await it.until(lambda: it.warnings("shadow"), bool)
        assert ghost.shadow
        assert await it.warnings() == ()
        with pytest.raises(ConflictError, match="shadow"):
            await it.call("act", ActOnWarning(ghost.id, "confirm"), WarningRow)
        live = ActOnModel("level-trend", "live")
        with pytest.raises(PermissionDeniedError):
            await it.call("model.act", live, ModelRow, AUDITOR)
        assert (await it.call("model.act", live, ModelRow, manager)).mode is ModelMode.LIVE
        await it.feed(20)
        (row,) = await it.until(it.warnings, bool)
        assert not row.shadow
        await it.call("model.act", ActOnModel("level-trend", "shadow"), ModelRow, manager)
        gone = await it.until(it.warnings, lambda rows: not rows[0].active)
        assert gone[0].id == row.id
        detail = await it.call("model", GetModel("level-trend"), ModelDetail)
        assert {w.id for w in detail.warnings} >= {ghost.id, row.id}
        with pytest.raises(NotFoundError):
            await it.call("model", GetModel("nobody"), ModelDetail)
        changes = await it.until(
            lambda: it.told("model.change"), lambda found: len([e for e in found if e.subject == "level-trend"]) >= 3
        )
        assert [e.data["change"] for e in changes if e.subject == "level-trend"] == ["added", "live", "shadow"]
        manifest, shipped = await fetch(it.fabric, it.registry.public)
        assert (manifest.node, list(shipped)) == ("test", [("level-trend", 1)])
        with pytest.raises(DecodeError, match="signature"):
            await fetch(it.fabric, "00" * 32)
        audited = [e for e in await it.told("audit.change") if e.subject == "level-trend"]
        assert [e.data["who"] for e in audited] == ["chen"] * 3


async def test_an_altered_model_is_refused_and_named(settings: Settings, fabric_process: FabricProcess) -> None:
    registry = install(settings, TREND)
    with Records(open_engine(settings)).session() as session:
        row = session.get(WarningModelRecord, ("level-trend", 1))
        assert row is not None
        row.definition = row.definition.replace(b'"on_steps":1', b'"on_steps":2')
    assert any(version.problem for version in registry.versions())
    async with Running(settings, plant()) as it:
        rows = await it.call("models", ListModels(), tuple[ModelRow, ...])
        (row_,) = [row for row in rows if row.model.id == "level-trend"]
        assert "altered" in row_.problem
        assert "改动" in row_.problem_zh
        assert "altered" in it.health.problems["model.level-trend@1"]
        await it.feed(70)
        assert await it.warnings() == ()


async def test_people_are_told_over_their_channel_until_one_answers(
    settings: Settings, fabric_process: FabricProcess
) -> None:
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (settings.directory("secrets") / "duty").write_text(f"json://127.0.0.1:{server.server_port}")
    steps = (EscalationStep(0, ("role:operator",), ("duty",)), EscalationStep(SECOND, ("wang",), ("duty",)))
    chains = (EscalationChain(2, (*steps, EscalationStep(HOUR, ("chen",), ("duty",)))),)
    try:
        async with Running(settings, plant(chains, (Channel("duty", "duty"),)), TREND) as it:
            live = await it.fabric.client.subscribe(LIVE)
            await it.feed(70)

            async def sent() -> list[str]:
                return got

            await it.until(sent, lambda texts: len(texts) == 2)
            (row,) = await it.warnings()
            assert (row.step, row.need) == (2, 1)
            assert row.next_step > now_us()
            await it.call("act", ActOnWarning(row.id, "answer"), WarningRow, OPERATOR)
            (row,) = await it.until(it.warnings, lambda rows: rows[0].next_step == 0)

            async def history() -> list[str]:
                return [step.arrow for step in (await it.call("warning", GetWarning(row.id), WarningDetail)).steps]

            arrows = await it.until(history, lambda found: found.count("message") == 2)
            assert Counter(arrows) == {"raise": 1, "escalate": 2, "message": 2, "answer": 1}
            shown = msgspec.json.decode((await live.next_msg(timeout=10)).data, type=WarnLive)
            while shown.open_by_grade != (0, 1, 0, 0) or f"{U}1" not in shown.colours:
                shown = msgspec.json.decode((await live.next_msg(timeout=10)).data, type=WarnLive)
    finally:
        server.shutdown()
        server.server_close()
    assert "role:operator" in got[0]
    assert "wang" in got[1]


async def test_what_is_wrong_with_a_question_is_named(settings: Settings, fabric_process: FabricProcess) -> None:
    async with Running(settings, plant()) as it:
        with pytest.raises(InvalidInputError, match="is no view"):
            await it.call("warnings", ListWarnings("mine"), WarningList)
        with pytest.raises(NotFoundError):
            await it.call("warning", GetWarning("nobody"), WarningDetail)
        with pytest.raises(NotFoundError):
            await it.call("forecast", GetForecast("e/a/u1/nothing"), Forecast)
        with pytest.raises(NotFoundError):
            await it.call("risk.explain", ExplainRisk("e/a/u2"), RiskNode, OPERATOR)
        with pytest.raises(InvalidInputError, match="31 days"):
            await it.call("try", TryModel(1, 2 + 40 * DAY, model=TREND), TrialResult)
        await it.fabric.jetstream.publish(log.SAMPLES, b"rubbish", timeout=10)
        await it.feed(3)
        assert it.health.counters["undecodable"] == 1
        node = await it.until(lambda: it.call("risk", GetRisk(), RiskMap), lambda found: found.nodes)
        assert {n.path for n in node.nodes} >= {"", "e", "e/a", f"{U}1"}
        seen = (await it.call("risk", GetRisk(), RiskMap, OPERATOR)).nodes
        assert [n.path for n in seen] == [f"{U}1"]
        assert (await it.call("risk.explain", ExplainRisk(f"{U}1"), RiskNode, OPERATOR)).terms
        forecast = await it.call("forecast", GetForecast(f"{U}1/level"), Forecast)
        assert forecast.path == f"{U}1/level"
        rows = await it.call("features", ListFeatures(f"{U}1"), tuple[FeatureRow, ...], OPERATOR)
        assert all(value.path.startswith(f"{U}1") for row in rows for value in row.values)

"""Early warning for the console's tests, in memory, on the room's own state machine, risk roll-up and score sheets."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import msgspec

from anlan.core.actor import Actor, Permission
from anlan.core.errors import NotFoundError
from anlan.core.events import Event, EventType, WarningOutcome, WarningState, WarningTransition, sample_range
from anlan.core.ids import new_ulid
from anlan.core.severity import RiskColour, WarningGrade
from anlan.core.time import DAY, HOUR, MINUTE, SECOND, now_us
from anlan.plant.model import Plant
from anlan.store.fabric.client import Fabric
from anlan.warn.features.library import library
from anlan.warn.features.library import number as duration_s
from anlan.warn.model import (
    LIVE,
    ActOnModel,
    ActOnWarning,
    Contribution,
    ExplainRisk,
    FeatureRow,
    FeatureValue,
    Finding,
    FloodDetail,
    FloodRow,
    Forecast,
    GetFlood,
    GetForecast,
    GetModel,
    GetRisk,
    GetWarning,
    ListFeatures,
    ListFloods,
    ListMissed,
    ListModels,
    ListPredictions,
    ListProposals,
    ListWarnings,
    Missed,
    ModelDetail,
    ModelMode,
    ModelRow,
    PredictedAlarm,
    Proposal,
    RiskMap,
    RiskNode,
    RiskTerm,
    ScoreSheet,
    SimilarCase,
    TrialResult,
    TryModel,
    WarningDetail,
    WarningList,
    WarningRow,
    WarningStep,
    WarnLive,
)
from anlan.warn.models.library import built_in
from anlan.warn.risk.rollup import place_node
from anlan.warn.warnings.machine import Arrow, Facts, Who, fire

NH3 = "donghua/tanks/nh3"
OVER = (WarningState.CLOSED, WarningState.SCORED)
RISKS = {
    NH3: (42.0, 78.0, 1),
    "donghua/tanks/lpg": (55.0, 58.0, 2),
    "donghua/tanks/sty": (38.0, 38.0, 3),
    "haian/chlor/cl": (48.0, 61.5, 2),
    "haian/cracking/eth": (34.0, 36.0, 3),
    "haian/cracking/eo": (50.0, 50.0, 2),
    "port/loading/haz": (33.0, 41.0, 3),
}


def _row(identity: str, path: str, grade: int, model: str, age: int, now: int, **more: Any) -> WarningRow:
    raised = now - age
    fields: dict[str, Any] = {"state": WarningState.RAISED, "changed": raised, "worst": WarningGrade(grade)} | more
    return WarningRow(
        id=identity, path=path, grade=WarningGrade(grade), model=model, version=1, raised=raised, **fields
    )


def _rows(now: int) -> list[WarningRow]:
    lead = {"lead": 24 * MINUTE, "expected": now + 24 * MINUTE, "horizon": HOUR}
    return [
        _row("w-gas", NH3, 1, "gas-release", 6 * MINUTE, now, lead=9 * MINUTE, expected=now + 9 * MINUTE, horizon=HOUR,
             score=4.2, need=2, answers=("li",), step=1, next_step=now + 4 * MINUTE, findings=2,
             zh="液氨罐区两台探测器同时高于各自基线，读数仍在上升", models=("gas-release", "predicted-alarm"),
             en="two ammonia detectors rise above their own baselines together",
             action_zh="上风向携带便携式检测仪现场确认；停止区域内动火作业；准备启动水幕。",
             action_en="Confirm from upwind with a portable detector; stop hot work; be ready for the water curtain.",
             target=f"{NH3}/at2.HH", contributions=(
                 Contribution(f"{NH3}/at2", 0.52, 18.4, 2.1, "ppm"), Contribution(f"{NH3}/at3", 0.31, 9.7, 2.0, "ppm"),
                 Contribution("gas.cluster-rise", 0.17, 2.0, 0.0, "1"))),
        _row("w-level", "donghua/tanks/lpg/lt3", 2, "predicted-alarm", 12 * MINUTE, now, **lead, score=3.1, need=1,
             zh="3号液位按当前趋势约 24 分钟后到达 HH 90 %", en="level 3 reaches HH 90 % in about 24 min",
             action_zh="核对进料阀与流量，准备切换储罐。", action_en="Check feed valve and flow; be ready to change.",
             target="donghua/tanks/lpg/lt3.HH",
             contributions=(Contribution("donghua/tanks/lpg/lt3", 1.0, 81.2, 90.0, "%"),)),
        _row("w-pump", "port/loading/jetty", 3, "rotating-machines", 3 * HOUR, now, state=WarningState.CONFIRMED,
             score=6.0, horizon=24 * HOUR, zh="装船泵效率较基线下降 9 %", en="loading pump 9 % below its baseline",
             answers=("wang",), who="wang", comment="已安排机修", p_value=3e-4,
             contributions=(Contribution("port/loading/jetty/ft1", 0.7, 118.0, 131.0, "m³/h"),
                            Contribution("port/loading/jetty/pt1", 0.3, 1.52, 1.63, "MPa"))),
        _row("w-loop", "haian/cracking/eth", 4, "valves-and-loops", 40 * MINUTE, now, active=False, score=2.0,
             horizon=8 * HOUR, zh="回路振荡：疑似阀门粘滞", en="loop oscillates: a sticking valve is likely",
             contributions=(Contribution("haian/cracking/eth/ft2", 1.0, 121.0, 128.0, "m³/h"),)),
        _row("w-old", NH3, 2, "gas-release", 9 * DAY, now, state=WarningState.SCORED, active=False, score=3.0,
             closed=now - 9 * DAY + 2 * HOUR, outcome=WarningOutcome.AVERTED, zh="液氨卸车臂附近读数升高",
             en="readings rise near the unloading arm", who="wang", comment="更换卸车臂密封"),
        _row("w-false", "haian/chlor/cl", 3, "valves-and-loops", 4 * DAY, now, state=WarningState.SCORED, active=False,
             closed=now - 4 * DAY + HOUR, outcome=WarningOutcome.FALSE,
             zh="调节阀动作迟缓", en="a slow control valve"),
        _row("w-hit", "donghua/tanks/sty/tt2", 3, "predicted-alarm", 2 * DAY, now, state=WarningState.SCORED,
             active=False, closed=now - 2 * DAY + HOUR, outcome=WarningOutcome.HIT, zh="2号温度将到达 H 105 °C",
             en="temperature 2 will reach H 105 °C"),
        _row("w-shadow", "haian/cracking/eo", 3, "predicted-alarm", 30 * MINUTE, now, shadow=True, score=2.2,
             zh="影子模型：1号压力缓慢上升", en="shadow: pressure 1 rises slowly",
             contributions=(Contribution("haian/cracking/eo/pt1", 1.0, 1.7, 1.9, "MPa"),)),
    ]  # fmt: skip


class Warn:
    """The room."""

    def __init__(self, fabric: Fabric, plant: Plant) -> None:
        now = now_us()
        self.fabric, self.plant = fabric, plant
        self.points = plant.point_by_path()
        self.rows = {row.id: row for row in _rows(now)}
        self.steps = {
            row.id: [WarningStep(row.raised, "raise", WarningGrade(min(4, row.grade + 1)))]
            + ([WarningStep(row.raised + MINUTE, "regrade", row.grade)] if row.grade < 4 else [])
            + ([WarningStep(row.raised + 2 * MINUTE, "escalate", row.grade)] if row.step else [])
            + [WarningStep(row.raised + 3 * MINUTE, "answer", row.grade, who) for who in row.answers]
            + ([WarningStep(row.raised + 20 * MINUTE, "end", row.grade)] if not row.active else [])
            for row in self.rows.values()
        }
        self.modes: dict[tuple[str, int], ModelMode] = {(model.id, 1): ModelMode.LIVE for model in built_in()}
        self.modes["predicted-alarm", 2] = ModelMode.SHADOW
        self.rise = 0.0

    # --- warnings ---------------------------------------------------------------------------------------------------

    async def warnings(self, request: ListWarnings, actor: Actor) -> WarningList:
        seen = [row for row in self.rows.values() if actor.sees(row.path) and row.path.startswith(request.scope)]
        opened = [row for row in seen if row.state not in OVER and not row.shadow]
        views = {
            "open": opened,
            "closed": [row for row in seen if row.state in OVER and not row.shadow],
            "shadow": [row for row in seen if row.shadow],
            "all": seen,
        }
        rows = [row for row in views[request.view] if not request.start or row.raised >= request.start]
        counts = [sum(row.grade == grade for row in opened) for grade in (1, 2, 3, 4)]
        order = sorted(rows, key=lambda row: (int(row.grade), -row.raised))
        return WarningList(tuple(order), (counts[0], counts[1], counts[2], counts[3]), now_us())

    async def warning(self, request: GetWarning, actor: Actor) -> WarningDetail:
        row = self.rows.get(request.id)
        if row is None or not actor.sees(row.path):
            raise NotFoundError("no such warning", where=request.id)
        now = now_us()
        points = tuple(item.name for item in row.contributions if item.name in self.points)
        samples = tuple(
            sample_range("test", self.points[path].number, row.raised - 10 * MINUTE, row.raised, 100, 900)
            for path in points
        )
        similar = (
            SimilarCase("w-old", NH3, now - 9 * DAY, 0.83, WarningOutcome.AVERTED, "更换卸车臂密封"),
            SimilarCase("w-false", "haian/chlor/cl", now - 4 * DAY, 0.41, WarningOutcome.FALSE),
        )
        findings = tuple(
            Finding(model, 1, row.path, row.raised, row.grade, row.score, contributions=row.contributions, zh=row.zh,
                    en=row.en)
            for model in (row.models or (row.model,))
        )  # fmt: skip
        return WarningDetail(
            row, samples, points, tuple(self.steps[row.id]), similar if row.id == "w-gas" else (), findings
        )

    async def act(self, request: ActOnWarning, actor: Actor) -> WarningRow:
        row = self.rows[request.id]
        actor.require(Permission.JUDGE_WARNING, row.path)
        arrow = Arrow.CLOSE if request.verb == "averted" else Arrow(request.verb)
        facts = Facts(row.active, reason=bool(request.comment.strip()), answered=actor.user in row.answers)
        state = fire(arrow, row.state, Who.PERSON, facts)
        now = now_us()
        answers = tuple(dict.fromkeys((*row.answers, actor.user)))
        self.rows[row.id] = msgspec.structs.replace(
            row, state=state, answers=answers, who=actor.user, comment=request.comment, changed=now,
            closed=now if arrow is Arrow.CLOSE else 0,
        )  # fmt: skip
        self.steps[row.id].append(WarningStep(now, arrow.value, row.grade, actor.user, request.comment))
        data = WarningTransition(row.id, arrow.value, state, row.state, int(row.grade), row.path, row.model, 1)
        event = Event(new_ulid(now), EventType.WARNING, "test", now, row.path, data=msgspec.to_builtins(data))
        await self.fabric.publish_event(event)
        return self.rows[row.id]

    async def missed(self, request: ListMissed, actor: Actor) -> tuple[Missed, ...]:
        path = "port/loading/truck/pt2"
        return (Missed("e1", now_us() - 3 * DAY, path, f"{path}.HH", 2, ("predicted-alarm",)),)

    # --- features, risk, predictions --------------------------------------------------------------------------------

    async def features(self, request: ListFeatures, actor: Actor) -> tuple[FeatureRow, ...]:
        found = []
        for spec in library().of(("chemical",)):
            if request.id and spec.id != request.id:
                continue
            values: tuple[FeatureValue, ...] = ()
            if spec.id == "gas.rise":
                values = (
                    FeatureValue(f"{NH3}/at2", {"self": f"{NH3}/at2"}, 18.4, WarningGrade.ORANGE),
                    FeatureValue(f"{NH3}/at1", {"self": f"{NH3}/at1"}, 0.3),
                    FeatureValue(f"{NH3}/at4", {"self": f"{NH3}/at4"}, None, None, "正在学习正常基线",
                                 "is learning what is normal here"),
                )  # fmt: skip
            found.append(
                FeatureRow(
                    spec.id, spec.zh, spec.en, spec.meaning_zh, spec.meaning_en, spec.unit,
                    int(duration_s(spec.window) * SECOND), spec.source, spec.expression, spec.builtin,
                    {name: item.kind for name, item in spec.inputs.items()}, dict(spec.grades), spec.low, spec.high,
                    spec.action_zh, spec.action_en, spec.pack, values,
                    {"haian/cracking/eo": "缺少 泵电流 / pump current is missing"} if not values else {},
                )
            )  # fmt: skip
        return tuple(found)

    def nodes(self) -> list[RiskNode]:
        now = now_us()
        units = []
        for unit in self.plant.units:
            inherent, index, colour = RISKS.get(unit.path, (12.0, 12.0, 4))
            if unit.path == "port/loading/haz":
                index = min(100.0, index + self.rise)
                colour = 1 if index >= 70 else colour
            terms = [RiskTerm("inherent", "inherent", "固有风险(R=62)", "inherent risk (R = 62)", inherent,
                              "GB 18218-2018 4.2.3")]  # fmt: skip
            if index > inherent:
                causes = ("w-gas",) if unit.path == NH3 else ()
                terms.append(
                    RiskTerm("gas-alarm", "alarm", "气体报警(at2 HH)", "gas alarm (at2 HH)", index - inherent,
                             "GB/T 50493-2019 5.5.2", 1.0, since=now - 5 * MINUTE, causes=causes)
                )  # fmt: skip
            units.append(
                RiskNode(unit.path, "unit", index, RiskColour(colour), inherent, unit.name, unit.name_en,
                         RiskColour(min(4, colour + 1)), "chemical-tank-farm", 1, now, tuple(terms),
                         ("风向仪",) if unit.path == NH3 else (), int(colour == 1), 1)
            )  # fmt: skip
        site = self.plant.site
        nodes = [place_node("", "site", site.name, site.name_en, units, now)]
        for place in self.plant.places:
            leaves = [unit for unit in units if unit.path.startswith(place.path + "/")]
            kind = "area" if "/" in place.path else "enterprise"
            nodes.append(place_node(place.path, kind, place.name, place.name_en, leaves, now))
        return nodes + units

    async def risk(self, request: GetRisk, actor: Actor) -> RiskMap:
        nodes = (msgspec.structs.replace(node, terms=()) for node in self.nodes() if actor.sees(node.path))
        return RiskMap(tuple(nodes), now_us())

    async def explain(self, request: ExplainRisk, actor: Actor) -> RiskNode:
        actor.require(Permission.VIEW, request.path)
        return next(node for node in self.nodes() if node.path == request.path)

    def predictions(self) -> tuple[PredictedAlarm, ...]:
        now = now_us()
        found = []
        for path, kind, minutes, priority in (
            (f"{NH3}/at2", "HH", 9, 1),
            ("donghua/tanks/lpg/lt3", "HH", 24, 2),
            ("haian/chlor/cl/tt2", "H", 41, 3),
        ):
            point = self.points[path]
            limit = next(a.limit for a in self.plant.alarms if a.id == f"{path}.{kind}") or 0.0
            due = now + minutes * MINUTE
            found.append(
                PredictedAlarm(f"{path}.{kind}", path, point.number, kind, limit, 0.8 * limit, 0.01, 0.9, due,
                               now + minutes * 40 * SECOND, now + minutes * 90 * SECOND, priority, point.unit,
                               point.name, point.name_en)
            )  # fmt: skip
        return tuple(found)

    async def list_predictions(self, request: ListPredictions, actor: Actor) -> tuple[PredictedAlarm, ...]:
        return tuple(item for item in self.predictions() if actor.sees(item.path))

    async def forecast(self, request: GetForecast, actor: Actor) -> Forecast:
        alarms = tuple(item for item in self.predictions() if item.path == request.path)
        if not alarms:
            return Forecast(request.path, False)
        now, first = now_us(), alarms[0]
        steps = [request.horizon * k // 40 for k in range(41)]
        lead = first.expected - now
        median = [first.value + (first.limit - first.value) * step / lead for step in steps]
        width = [0.02 * first.limit * (1 + math.sqrt(step / MINUTE)) for step in steps]
        return Forecast(
            request.path, True, tuple(now + step for step in steps), tuple(median),
            tuple(m - w for m, w in zip(median, width, strict=True)),
            tuple(m + w for m, w in zip(median, width, strict=True)), alarms,
        )  # fmt: skip

    # --- models -----------------------------------------------------------------------------------------------------

    def _models(self) -> list[ModelRow]:
        now = now_us()
        good = ScoreSheet(now - 28 * DAY, now, 14, 9, 2, 1, 2, 1, 0, 0.79, 0.92, 0.5,
                          tuple(m * MINUTE for m in (2, 4, 7, 9, 12, 18, 25, 31, 44, 70, 200)), True)  # fmt: skip
        poor = ScoreSheet(now - 28 * DAY, now, 21, 6, 1, 1, 13, 3, 0, 0.33, 0.7, 3.2,
                          tuple(m * MINUTE for m in (1, 3, 6, 30, 50, 400, 1600)), False)  # fmt: skip
        few = ScoreSheet(now - 6 * DAY, now, 2, 1, 0, 0, 0, 0, 1, 1.0, None, 0.0, (8 * MINUTE,), None)
        sheets = {"predicted-alarm": good, "valves-and-loops": poor}
        known = {model.id: model for model in built_in()}
        rows = []
        for (identity, version), mode in self.modes.items():
            sheet = sheets.get(identity, few) if version == 1 else few
            trained: dict[str, Any] = {}
            if version == 2:
                trained = {"training_hash": "9f2c4a77d0b1e6", "training_rows": 604_800}
                trained |= {"training_start": now - 30 * DAY, "training_end": now - 23 * DAY}
            rows.append(
                ModelRow(msgspec.structs.replace(known[identity], version=version), mode, sheet, now - 20 * DAY,
                         "chen", "a41f0c2295e8d7b3", "test-node", bound=(NH3, "donghua/tanks/lpg"), **trained)
            )  # fmt: skip
        return rows

    async def models(self, request: ListModels, actor: Actor) -> tuple[ModelRow, ...]:
        return tuple(row for row in self._models() if request.every or row.mode is not ModelMode.RETIRED)

    async def model(self, request: GetModel, actor: Actor) -> ModelDetail:
        versions = [row for row in self._models() if row.model.id == request.id]
        if not versions:
            raise NotFoundError(f"no model {request.id}", where="id")
        warnings = tuple(row for row in self.rows.values() if row.model == request.id and actor.sees(row.path))
        return ModelDetail(tuple(reversed(versions)), warnings)

    async def act_on_model(self, request: ActOnModel, actor: Actor) -> ModelRow:
        actor.require(Permission.MANAGE_MODELS)
        modes = {"live": ModelMode.LIVE, "shadow": ModelMode.SHADOW, "retire": ModelMode.RETIRED}
        self.modes[request.id, request.version] = modes[request.verb]
        return next(row for row in self._models() if (row.model.id, row.model.version) == (request.id, request.version))

    async def try_model(self, request: TryModel, actor: Actor) -> TrialResult:
        rows = tuple(row for row in self.rows.values() if row.model == request.id)
        sheet = ScoreSheet(request.start, request.end, len(rows), 1, precision=0.5, false_a_week=1.5)
        return TrialResult(rows, sheet, (request.end - request.start) // SECOND, 12)

    # --- analytics --------------------------------------------------------------------------------------------------

    def _floods(self) -> list[FloodRow]:
        now = now_us()
        root = f"{NH3}/pt1.H"
        return [
            FloodRow("tank-desk@2", now - 5 * HOUR, now - 5 * HOUR + 14 * MINUTE, 12, "tank-desk", root, 0.71,
                     "tank-desk@1", 0.84),
            FloodRow("tank-desk@1", now - 3 * DAY, now - 3 * DAY + 18 * MINUTE, 11, "tank-desk", root, 0.66,
                     "tank-desk@2", 0.84),
        ]  # fmt: skip

    async def floods(self, request: ListFloods, actor: Actor) -> tuple[FloodRow, ...]:
        return tuple(self._floods())

    async def flood(self, request: GetFlood, actor: Actor) -> FloodDetail:
        row = next(item for item in self._floods() if item.id == request.id)
        names = [f"{NH3}/{name}" for name in ("pt1.H", "pt1.HH", "tt1.H", "lt1.H", "at1.H", "at2.H", "at2.HH", "ft1.L")]
        if row.id.endswith("1"):
            names = [names[0], names[2], f"{NH3}/gt1.H", *names[3:]]
        sequence = tuple((name, row.start + n * 47 * SECOND) for n, name in enumerate(names))
        return FloodDetail(
            row, sequence, ((row.root, 0.71), (f"{NH3}/tt1.H", 0.18)), (self._floods()[0],),
            ((f"{NH3}/ft1.L", 0.8), (f"{NH3}/gt1.H", 0.4)), ("核对相邻探测器。\n通知班长。",),
        )  # fmt: skip

    async def proposals(self, request: ListProposals, actor: Actor) -> tuple[Proposal, ...]:
        return (
            Proposal("haian/utilities/util/tt3.H", "deadband", 2.1, 4.0, 61, 9, "°C", 0, 0,
                     "死区改为 4 °C：报警由 61 次减为 9 次", "a deadband of 4 °C rings 9 times where it rang 61"),
            Proposal("haian/cracking/eth/ft2.H", "on_delay", 2.0, 15.0, 34, 12, "s", 13 * SECOND, 0,
                     "报警延时改为 15 s", "an on-delay of 15 s rings 12 times where it rang 34"),
        )  # fmt: skip

    # --- life -------------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Answer, and tell ``live.warn`` once a second."""
        subjects: tuple[tuple[str, Any, Any], ...] = (
            ("warnings", ListWarnings, self.warnings),
            ("warning", GetWarning, self.warning),
            ("act", ActOnWarning, self.act),
            ("missed", ListMissed, self.missed),
            ("features", ListFeatures, self.features),
            ("risk", GetRisk, self.risk),
            ("risk.explain", ExplainRisk, self.explain),
            ("predictions", ListPredictions, self.list_predictions),
            ("forecast", GetForecast, self.forecast),
            ("models", ListModels, self.models),
            ("model", GetModel, self.model),
            ("model.act", ActOnModel, self.act_on_model),
            ("try", TryModel, self.try_model),
            ("floods", ListFloods, self.floods),
            ("flood", GetFlood, self.flood),
            ("proposals", ListProposals, self.proposals),
        )
        for subject, kind, handler in subjects:
            await self.fabric.serve(f"warn.{subject}", kind, handler)
        await self.fabric.client.subscribe("test.warn.rise", cb=self._raise)
        self.telling = asyncio.ensure_future(self.tell())

    async def _raise(self, message: Any) -> None:
        self.rise = float(message.data)

    async def tell(self) -> None:
        while True:
            rows = [row for row in self.rows.values() if row.state not in OVER and not row.shadow]
            counts = [sum(row.grade == grade for row in rows) for grade in (1, 2, 3, 4)]
            colours = {node.path: (int(node.colour), round(node.index, 1)) for node in self.nodes()}
            live = WarnLive(now_us(), (counts[0], counts[1], counts[2], counts[3]), colours, self.predictions())
            await self.fabric.client.publish(LIVE, msgspec.json.encode(live))
            await asyncio.sleep(1)


async def serve(fabric: Fabric, plant: Plant) -> Warn:
    """Answer the subjects of early warning."""
    room = Warn(fabric, plant)
    await room.serve()
    return room

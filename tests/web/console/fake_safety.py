"""Barriers, work and presence for the console's tests, in memory, on the registers' own rules."""

from __future__ import annotations

from typing import Any

import msgspec

from anlan.core.actor import Actor, Permission
from anlan.core.errors import ConflictError, InvalidInputError
from anlan.core.ids import new_ulid
from anlan.core.time import DAY, HOUR, now_us
from anlan.plant.registers.barrier_engine import GRAVITY, state_of
from anlan.plant.registers.machine import DEGRADATION, WORK
from anlan.plant.registers.model import (
    Act,
    ActOnWork,
    BarrierEntry,
    BarrierHealth,
    BarrierHistory,
    BarrierReason,
    CountPeople,
    HeadCount,
    ListBarriers,
    ListPresence,
    ListWork,
    PlanWork,
    Presence,
    PresenceHistory,
    RecordTest,
    ReportBarrier,
    Work,
)
from anlan.store.fabric.client import Fabric

NH3 = "donghua/tanks/nh3"
AREAS = {
    "haian/cracking": (23.0, "point"),
    "haian/chlor": (11.0, "point"),
    "haian/utilities": (None, ""),
    "donghua/tanks": (6.0, "hand"),
    "port/loading": (14.0, "point"),
    "port/service": (4.0, "hand"),
}


def _barriers(now: int) -> list[BarrierHealth]:
    def one(
        identity: str, kind: str, name: str, name_en: str, demand: str, against: str, path: str = NH3, **more: Any
    ) -> BarrierHealth:
        tested = more.pop("last_test", now - 40 * DAY)
        fields = {"test_interval": 180 * DAY, "last_test": tested, "result": "passed", "tested_by": "chen"}
        fields |= {"due": tested + 180 * DAY, **more}
        reasons = fields.get("reasons", ())
        return BarrierHealth(
            identity,
            path,
            kind,
            state_of(reasons),
            now - HOUR,
            name,
            name_en,
            demand,
            against,
            **fields,
        )

    detector = BarrierReason("degraded", "point", f"{NH3}/at2", now - HOUR, "bad-sensor")
    bypass = BarrierReason("bypassed", "bypass", "b1", now - HOUR, "探头更换")
    stuck = BarrierReason("failed", "test", "t1", now - 3 * HOUR, "关阀 42 s，要求 15 s")
    slow = BarrierReason("degraded", "report", "r1", now - 5 * HOUR, "喷淋阀手轮卡涩")
    late = BarrierReason("overdue", "due", "", now - 3 * DAY)
    return [
        one("nh3-esd", "esd-valve", "液氨罐区紧急切断阀", "Ammonia ESD valves", "泄漏时切断", "Leak",
            reasons=(stuck,), result="failed", report="r0", report_state="failed", by_test=True,
            last_test=now - 3 * HOUR, source="GB 17681-2024"),
        one("nh3-gas", "gas-detection", "液氨罐区气体检测", "Ammonia gas detection", "泄漏未被发现", "Undetected leak",
            reasons=(bypass, detector), points=4, available=2, needed=3),
        one("lpg-deluge", "water-curtain", "LPG 球罐喷淋", "LPG deluge", "罐体受热", "Heated vessel",
            path="donghua/tanks/lpg", reasons=(slow,), report="r1", report_state="degraded"),
        one("nh3-overfill", "overfill-protection", "液氨储罐防溢流保护", "Ammonia overfill protection", "进料过量",
            "Overfilling", reasons=(late,), last_test=now - 183 * DAY, points=3, available=3, needed=2),
        one("cl-scrubber", "scrubber", "事故氯吸收装置", "Chlorine scrubber", "氯气外泄", "Chlorine release",
            path="haian/chlor/cl", points=1, available=1, needed=1),
        one("tanks-dike", "dike", "罐区防火堤", "Tank farm dike", "泄漏漫流", "Spread of a spill", path="donghua/tanks",
            test_interval=0, due=0, last_test=0, result="", tested_by=""),
    ]  # fmt: skip


class Safety:
    """The three registers."""

    def __init__(self) -> None:
        now = now_us()
        self.barriers = {item.id: item for item in _barriers(now)}
        self.entries = [
            BarrierEntry("t1", "nh3-esd", "test", "failed", now - 3 * HOUR, "chen", "关阀 42 s，要求 15 s"),
            BarrierEntry("t0", "nh3-esd", "test", "passed", now - 180 * DAY, "chen"),
            BarrierEntry("r9", "nh3-esd", "report", "restored", now - 90 * DAY, "wang", "气源压力低", "手动备用",
                         now - 89 * DAY, "chen", "更换减压阀"),
        ]  # fmt: skip
        self.work = {
            "w1": Work("w1", "hot-work", "donghua/tanks/lpg", "active", now - 2 * HOUR, now + 2 * HOUR, 4, "wang",
                       now - 3 * HOUR, "喷淋管线补焊", "DH-2026-0231", now - 2 * HOUR, "wang"),
            "w2": Work("w2", "loading", "port/loading/truck", "overdue", now - 5 * HOUR, now - HOUR // 2, 2, "li",
                       now - 5 * HOUR, "LPG 装车 3 车", "", now - 5 * HOUR, "li"),
            "w3": Work("w3", "confined-space", "haian/chlor/cl", "planned", now + 20 * HOUR, now + 26 * HOUR, 3, "chen",
                       now - HOUR, "吸收塔内检", "SX-2026-0107"),
        }  # fmt: skip
        self.counts = {
            "donghua/tanks": [HeadCount("c1", "donghua/tanks", 6, now - HOUR, now + 7 * HOUR, "wang", "班前会点名")],
            "port/service": [HeadCount("c2", "port/service", 4, now - 20 * HOUR, now - 12 * HOUR, "li")],
        }

    async def list_barriers(self, request: ListBarriers, actor: Actor) -> tuple[BarrierHealth, ...]:
        rows = [
            item
            for item in self.barriers.values()
            if actor.sees(item.path) and not (request.impaired and item.state == "healthy")
        ]
        return tuple(sorted(rows, key=lambda item: (-GRAVITY[item.state], item.path)))

    async def history(self, request: BarrierHistory, actor: Actor) -> tuple[BarrierEntry, ...]:
        return tuple(entry for entry in self.entries if entry.barrier == request.id)

    def _put(self, item: BarrierHealth, **changed: Any) -> BarrierHealth:
        item = msgspec.structs.replace(item, **changed)
        self.barriers[item.id] = msgspec.structs.replace(item, state=state_of(item.reasons))
        return self.barriers[item.id]

    async def test(self, request: RecordTest, actor: Actor) -> BarrierHealth:
        item = self.barriers[request.id]
        actor.require(Permission.LOG_SHIFT, item.path)
        now = request.time or now_us()
        self.entries.insert(
            0, BarrierEntry(new_ulid(now), item.id, "test", request.result, now, actor.user, request.comment)
        )
        kept = tuple(reason for reason in item.reasons if reason.kind not in ("test", "due"))
        changed: dict[str, Any] = {"report": "", "report_state": "", "by_test": False, "reasons": kept}
        if request.result != "passed":
            reason = BarrierReason(request.result, "test", "t", now, request.comment)
            changed = {"report": "r", "report_state": request.result, "by_test": True, "reasons": (reason, *kept)}
        return self._put(item, last_test=now, result=request.result, due=now + item.test_interval, **changed)

    async def report(self, request: ReportBarrier, actor: Actor) -> BarrierHealth:
        item = self.barriers[request.id]
        if item.report:
            raise ConflictError(f"it is reported as {item.report_state} already")
        reason = BarrierReason(request.state, "report", "r", now_us(), request.reason)
        return self._put(item, report="r", report_state=request.state, reasons=(reason, *item.reasons))

    async def act(self, request: Act, actor: Actor) -> BarrierHealth:
        item = self.barriers[request.id]
        arrow = DEGRADATION.fire(item.report_state, request.verb, who=actor.user, asked_by="", comment=request.comment)
        actor.require(arrow.permission, item.path)
        kept = tuple(reason for reason in item.reasons if reason.kind not in ("report", "test"))
        if DEGRADATION.over(arrow.after):
            return self._put(item, report="", report_state="", reasons=kept)
        reason = BarrierReason(arrow.after, "report", "r", now_us(), request.comment)
        return self._put(item, report_state=arrow.after, reasons=(reason, *kept))

    async def works(self, request: ListWork, actor: Actor) -> tuple[Work, ...]:
        rows = [
            item
            for item in self.work.values()
            if actor.sees(item.path) and not (request.standing and WORK.over(item.state))
        ]
        return tuple(sorted(rows, key=lambda item: item.start))

    async def plan(self, request: PlanWork, actor: Actor) -> Work:
        now = now_us()
        if request.end <= now:
            raise InvalidInputError("work must end in the future", where="end")
        state = "active" if request.begin else "planned"
        item = Work(
            new_ulid(now),
            request.kind,
            request.path,
            state,
            request.start or now,
            request.end,
            request.persons,
            actor.user,
            now,
            request.text,
            request.permit,
            now if request.begin else 0,
            actor.user if request.begin else "",
        )
        self.work[item.id] = item
        return item

    async def act_on_work(self, request: ActOnWork, actor: Actor) -> Work:
        item = self.work[request.id]
        arrow = WORK.fire(item.state, request.verb, who=actor.user, asked_by=item.who, comment=request.comment)
        persons = request.persons if request.persons >= 0 else item.persons
        end = request.end or item.end
        self.work[item.id] = msgspec.structs.replace(item, state=arrow.after, persons=persons, end=end)
        return self.work[item.id]

    def _presence(self, path: str) -> Presence:
        now = now_us()
        number, source = AREAS[path]
        counts = self.counts.get(path, [])
        hand = counts[0] if counts else None
        live = number if source == "point" else None
        if source == "point" and (hand is None or hand.count <= (number or 0)):
            count, time, stale = number, now - 2_000_000, False
        elif hand is not None:
            count, source, time, stale = float(hand.count), "hand", hand.time, hand.until < now
        else:
            count, time, stale = None, 0, True
        working = sum(w.persons for w in self.work.values() if w.path.startswith(path) and w.state != "planned")
        points = (f"{path}/gate",) if live is not None else ()
        return Presence(path, count, source, time, stale, live, time, live is None, points, hand, working)

    async def presence(self, request: ListPresence, actor: Actor) -> tuple[Presence, ...]:
        return tuple(self._presence(path) for path in AREAS if actor.sees(path))

    async def count(self, request: CountPeople, actor: Actor) -> Presence:
        actor.require(Permission.RECORD_PRESENCE, request.path)
        now = now_us()
        row = HeadCount(
            new_ulid(now), request.path, request.count, now, now + request.holds, actor.user, request.comment
        )
        self.counts.setdefault(request.path, []).insert(0, row)
        return self._presence(request.path)

    async def counts_of(self, request: PresenceHistory, actor: Actor) -> tuple[HeadCount, ...]:
        return tuple(self.counts.get(request.path, ()))


async def serve(fabric: Fabric) -> None:
    """Answer the subjects of the three registers."""
    rooms = Safety()
    subjects: tuple[tuple[str, Any, Any], ...] = (
        ("barriers", ListBarriers, rooms.list_barriers),
        ("barrier.history", BarrierHistory, rooms.history),
        ("barrier.test", RecordTest, rooms.test),
        ("barrier.report", ReportBarrier, rooms.report),
        ("barrier.act", Act, rooms.act),
        ("works", ListWork, rooms.works),
        ("work.plan", PlanWork, rooms.plan),
        ("work.act", ActOnWork, rooms.act_on_work),
        ("presence", ListPresence, rooms.presence),
        ("presence.count", CountPeople, rooms.count),
        ("presence.history", PresenceHistory, rooms.counts_of),
    )
    for subject, kind, handler in subjects:
        await fabric.serve(f"registers.{subject}", kind, handler)

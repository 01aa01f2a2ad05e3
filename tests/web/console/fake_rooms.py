"""Stands in for alarms, historian, gateway and works on a real fabric, so that the console can be tested by itself.

Answers the same subjects with the same records; values move by a formula of the time, so history and live agree.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from anlan.core import batch, log
from anlan.core.actor import Actor, Permission
from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.errors import ConflictError
from anlan.core.events import AlarmState, AlarmTransition, Event, EventType
from anlan.core.health import Health
from anlan.core.ids import new_ulid
from anlan.core.time import HOUR, MINUTE, SECOND, now_us
from anlan.monitor.machine import ARROWS, Arrow
from anlan.monitor.model import (
    Act,
    ActResult,
    AlarmList,
    AlarmRow,
    ListAlarms,
    MonitorStatus,
    PerformanceQuery,
    Snapshot,
    Status,
)
from anlan.monitor.performance import Performance, Transitions, compute
from anlan.perceive.model import (
    ConnectorStatus,
    DeadLetter,
    DeadLetterPage,
    GetDeadLetter,
    ListConnectors,
    ListDeadLetters,
    Mend,
    MendResult,
)
from anlan.plant.model import AlarmDefinition, encode_plant, revision_of
from anlan.settings import from_environment
from anlan.store.fabric.client import Fabric
from anlan.store.historian.requests import HistorianStatus, JournalPage, JournalQuery, SeriesKind, SeriesQuery
from tests.web.console.fake_plant import KINDS, plant

DONE = {
    AlarmState.UNACKNOWLEDGED: AlarmState.ACKNOWLEDGED,
    AlarmState.RETURNED: AlarmState.NORMAL,
    AlarmState.LATCHED_UNACKNOWLEDGED: AlarmState.LATCHED_ACKNOWLEDGED,
}


class Rooms:
    """All of them in one process."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.plant = plant()
        self.numbers = np.array([point.number for point in self.plant.points], np.int32)
        bases = {kind[0]: (kind[5], kind[6]) for kind in KINDS} | {
            "wind-speed": (3.2, 0.8),
            "wind-direction": (248, 9),
            "state": (1, 0),
        }
        self.base = np.array([bases[point.kind][0] for point in self.plant.points])
        self.amplitude = np.array([bases[point.kind][1] for point in self.plant.points])
        self.bias = np.zeros(len(self.numbers))
        self.quality = np.zeros(len(self.numbers), np.uint8)
        self.rows: dict[str, AlarmRow] = {}
        self.events: list[Event] = []
        self.letters = {
            n: DeadLetter(
                now_us() - n * MINUTE,
                "gds-3",
                f"donggang/gas/{n}",
                "JSON 在第 18 字节处中断",
                "payload",
                "一个完整的 JSON 对象",
                24,
                b'{"t":1764000000,"v":12',
                n,
            )
            for n in range(1, 6)
        }
        self.letters[6] = DeadLetter(
            now_us() - 9 * MINUTE,
            "plc-2",
            "10.0.0.7:502",
            "CRC16 不符：帧为 4F3A，应为 4FA3",
            "frame",
            "",
            11,
            bytes([1, 3, 4, 0, 250, 1, 44, 0x3A, 0x4F]),
            6,
        )
        self.health = {
            name: Health(name, started=now_us() - HOUR, ready=True)
            for name in ("gateway", "alarms", "historian", "works")
        }

    def value(self, rows: Any, time: Any) -> Any:
        """Return values of rows at times (µs): a slow and a fast wave, plus the bias of what is in alarm."""
        seconds = np.asarray(time) / 1e6
        phase = np.asarray(rows) * 0.7
        wave = np.sin(seconds / 97 + phase) * 0.7 + np.sin(seconds / 13 + phase * 3) * 0.3
        return self.base[rows] + self.amplitude[rows] * wave + self.bias[rows]

    def definition(self, alarm: str) -> AlarmDefinition:
        return next(item for item in self.plant.alarms if item.id == alarm)

    def begin(self) -> None:
        """Put some alarms into every state."""
        now = now_us()
        by_path = self.plant.point_by_path()
        wanted = [
            ("donghua/tanks/nh3/at2.HH", AlarmState.UNACKNOWLEDGED, 2 * MINUTE),
            ("port/loading/haz/gt1.H", AlarmState.UNACKNOWLEDGED, 4 * MINUTE),
            ("haian/utilities/util/tt3.H", AlarmState.UNACKNOWLEDGED, 26 * MINUTE),
            ("haian/cracking/eth/ft2.H", AlarmState.ACKNOWLEDGED, 51 * MINUTE),
            ("donghua/tanks/lpg/lt3.H", AlarmState.UNACKNOWLEDGED, 7 * MINUTE),
            ("haian/chlor/cl/at1.HH", AlarmState.LATCHED_UNACKNOWLEDGED, 33 * MINUTE),
            ("port/service/met/pump.state", AlarmState.ACKNOWLEDGED, 3 * HOUR),
        ]
        wanted += [
            (f"{path}/tt{n}.H", AlarmState.RETURNED, (10 + 7 * n) * MINUTE)
            for path in ("haian/cracking/eo", "donghua/tanks/sty")
            for n in (1, 2, 3)
        ]
        for alarm, state, age in wanted:
            self.put(alarm, state, now - age)
        for path, code in (
            ("donghua/tanks/wwt/lt2", 0x81),
            ("port/loading/jetty/ft1", 0x89),
            ("port/loading/jetty/pt1", 0x89),
            ("haian/cracking/eth/tt1", 0x43),
        ):
            self.quality[by_path[path].number - 1] = code
        self.rows["haian/cracking/eth/ft3.H"] = msgspec.structs.replace(
            self.row("haian/cracking/eth/ft3.H", AlarmState.ACKNOWLEDGED, now - HOUR),
            shelved=True,
            shelved_until=now + HOUR,
            who="wang",
            comment="流量计检修",
        )

    def row(self, alarm: str, state: AlarmState, raised: int) -> AlarmRow:
        definition = self.definition(alarm)
        point = self.plant.point_by_number()[definition.point]
        index = definition.point - 1
        return AlarmRow(
            alarm=alarm,
            instance=new_ulid(raised),
            point=definition.point,
            path=point.path,
            kind=definition.kind,
            state=state,
            priority=definition.priority,
            active=state in (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED),
            acknowledged=state in (AlarmState.ACKNOWLEDGED, AlarmState.LATCHED_ACKNOWLEDGED, AlarmState.NORMAL),
            latched=definition.latched,
            raised=raised,
            changed=raised,
            value=float(self.base[index] + self.bias[index]),
            limit=definition.limit,
            unit=point.unit,
            name=point.name,
            name_en=point.name_en,
            who="li" if state is AlarmState.ACKNOWLEDGED else "",
            cause=definition.cause,
            action=definition.action,
            time_to_act=definition.time_to_act,
            operator_position=definition.operator_position,
            safety=definition.safety,
        )

    def put(self, alarm: str, state: AlarmState, raised: int) -> None:
        definition = self.definition(alarm)
        index = definition.point - 1
        if state in (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED):
            if definition.limit is not None:
                self.bias[index] = definition.limit * 1.08 - self.base[index]
            else:
                self.bias[index] = 2 - self.base[index]
        self.rows[alarm] = self.row(alarm, state, raised)
        self.note(alarm, "raise", AlarmState.NORMAL, state, raised, "", "")

    def note(
        self, alarm: str, arrow: str, before: AlarmState, after: AlarmState, time: int, who: str, comment: str
    ) -> Event:
        definition = self.definition(alarm)
        transition = AlarmTransition(
            alarm,
            self.rows[alarm].instance,
            arrow,
            after,
            before,
            definition.point,
            definition.priority,
            value=self.rows[alarm].value,
            limit=definition.limit,
            who=who,
            comment=comment,
        )
        event = Event(new_ulid(time), EventType.ALARM, "test", time, alarm, data=msgspec.to_builtins(transition))
        self.events.append(event)
        return event

    # --- services -------------------------------------------------------------------------------------------------

    async def alarms(self, request: ListAlarms, actor: Actor) -> AlarmList:
        rows = [row for row in self.rows.values() if actor.sees(row.path)]
        aside = {
            "shelved": lambda r: r.shelved,
            "suppressed": lambda r: r.suppressed,
            "out-of-service": lambda r: r.out_of_service,
        }
        if request.view in aside:
            rows = [row for row in rows if aside[request.view](row)]
        else:
            rows = [
                row
                for row in rows
                if row.state != AlarmState.NORMAL and not (row.shelved or row.suppressed or row.out_of_service)
            ]
        active = [sum(row.active and row.priority == p for row in rows) for p in (1, 2, 3, 4)]
        return AlarmList(
            tuple(rows),
            sum(not row.acknowledged for row in rows),
            (active[0], active[1], active[2], active[3]),
            1,
            now_us(),
        )

    async def act(self, request: Act, actor: Actor) -> ActResult:
        done, refused = [], {}
        permission = {
            "acknowledge": Permission.ACKNOWLEDGE,
            "shelve": Permission.SHELVE,
            "unshelve": Permission.SHELVE,
            "reset": Permission.RESET,
        }
        for alarm in request.alarms:
            row = self.rows.get(alarm)
            if row is None:
                refused[alarm] = "no such alarm"
                continue
            actor.require(permission.get(request.verb, Permission.SUPPRESS), row.path)
            try:
                new = self.after(row, request)
            except ConflictError as error:
                refused[alarm] = error.message
                continue
            self.rows[alarm] = msgspec.structs.replace(
                new, who=actor.name or actor.user, comment=request.comment, changed=now_us()
            )
            event = self.note(alarm, request.verb, row.state, new.state, now_us(), actor.user, request.comment)
            await self.fabric.publish_event(event)
            done.append(alarm)
        return ActResult(tuple(done), refused)

    def after(self, row: AlarmRow, request: Act) -> AlarmRow:
        verb = request.verb
        if verb == "acknowledge":
            if row.state not in DONE:
                raise ConflictError("already acknowledged")
            return msgspec.structs.replace(row, state=DONE[row.state], acknowledged=True)
        if verb == "reset":
            if row.state != AlarmState.LATCHED_ACKNOWLEDGED:
                raise ConflictError("acknowledge it first")
            return msgspec.structs.replace(row, state=AlarmState.NORMAL, acknowledged=True)
        fields = {
            "shelve": {"shelved": True, "shelved_until": request.until},
            "unshelve": {"shelved": False, "shelved_until": 0},
            "suppress": {"suppressed": True},
            "unsuppress": {"suppressed": False},
            "remove-from-service": {"out_of_service": True},
            "return-to-service": {"out_of_service": False},
        }[verb]
        return msgspec.structs.replace(row, **fields)

    async def series(self, request: SeriesQuery, actor: Actor) -> AsyncIterator[bytes]:
        step = max(SECOND, (request.end - request.start) // (request.width * 2 or 1200))
        times = np.arange(request.start - request.start % step, min(request.end, now_us()), step, dtype=np.int64)
        columns = []
        for number in request.points:
            rows = np.full(len(times), number - 1)
            quality = np.full(len(times), 0, np.uint8)
            gap = (times // MINUTE) % 47 == number % 47
            quality[gap] = 0x82
            columns.append(SampleBatch(np.full(len(times), number, np.int32), times, self.value(rows, times), quality))
        assert request.kind in (SeriesKind.RAW, SeriesKind.M4)
        yield _stream(SampleBatch.concatenate(columns))

    async def snapshot(self, request: Snapshot, actor: Actor) -> AsyncIterator[bytes]:
        yield _stream(self.now())

    def now(self) -> SampleBatch:
        time = now_us()
        rows = np.arange(len(self.numbers))
        times = np.full(len(rows), time, np.int64)
        times[(self.quality & 0xC0) >= 0x80] -= 90 * SECOND
        return SampleBatch(self.numbers, times, self.value(rows, times), self.quality.copy())

    async def journal(self, request: JournalQuery, actor: Actor) -> JournalPage:
        found = [
            event
            for event in sorted(self.events, key=lambda event: -event.time)
            if (not request.types or event.type in request.types)
            and event.subject.startswith(request.subject)
            and (not request.start or event.time >= request.start)
            and (not request.who or event.data.get("who") == request.who)
            and (request.text in f"{event.subject} {event.data}")
        ]
        return JournalPage(tuple(found[: request.limit]))

    async def performance(self, request: PerformanceQuery, actor: Actor) -> Performance:
        return await asyncio.to_thread(fake_performance, self, request)

    async def status(self, request: Status, actor: Actor) -> MonitorStatus:
        return MonitorStatus(184_221, 0, len(self.plant.alarms), self.revision, now_us())

    async def history_status(self, request: dict[str, Any], actor: Actor) -> HistorianStatus:
        return HistorianStatus(52_810_332, 98_304_113, len(self.events), 184_190, 31, "chdb 26.5")

    async def connectors(self, request: ListConnectors, actor: Actor) -> tuple[ConnectorStatus, ...]:
        now = now_us()
        common = {"since": now - HOUR, "last_seen": now - SECOND // 2}
        return (
            ConnectorStatus(
                "dcs-1",
                "opcua",
                "一号 DCS",
                "up",
                points=96,
                good=1_203_441,
                uncertain=210,
                messages=14_221,
                clock_offset_us=12_000,
                details={"endpoint": "opc.tcp://10.0.0.5:4840", "security": "Basic256Sha256", "monitored": 96},
                **common,
            ),
            ConnectorStatus(
                "plc-2",
                "modbus",
                "罐区 PLC",
                "down",
                "连接被拒绝：10.0.0.7:502",
                now - 4 * MINUTE,
                96,
                880_120,
                0,
                312,
                4,
                0,
                0,
                1,
                9_120,
                -340_000,
                now - 4 * MINUTE,
            ),
            ConnectorStatus(
                "gds-3",
                "mqtt",
                "气体探测系统",
                "up",
                points=99,
                good=640_991,
                bad=88,
                late=12,
                unmapped=640,
                dead=5,
                messages=41_002,
                clock_offset_us=-3_000,
                unmapped_tags={"gas/AT-9001": 320, "gas/AT-9002": 320},
                details={"clients": 4, "sessions": 4},
                **common,
            ),
        )

    async def dead_letters(self, request: ListDeadLetters, actor: Actor) -> DeadLetterPage:
        return DeadLetterPage(tuple(sorted(self.letters.values(), key=lambda letter: -letter.time)), len(self.letters))

    async def dead_letter(self, request: GetDeadLetter, actor: Actor) -> DeadLetter:
        return self.letters[request.sequence]

    async def mend(self, request: Mend, actor: Actor) -> MendResult:
        actor.require(Permission.MEND_DEAD_LETTERS)
        del self.letters[request.sequence]
        return MendResult(request.sequence, 1)

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        document = encode_plant(self.plant)
        self.revision = revision_of(document)
        fabric = self.fabric
        await fabric.ensure_streams()
        await fabric.put_config(self.revision, document)
        await fabric.jetstream.publish(log.CONFIG, log.encode(log.ConfigRecord(now_us(), self.revision)))
        self.begin()
        await fabric.serve("monitor.alarms", ListAlarms, self.alarms)
        await fabric.serve("monitor.act", Act, self.act)
        await fabric.serve("monitor.performance", PerformanceQuery, self.performance)
        await fabric.serve("monitor.status", Status, self.status)
        await fabric.serve_pieces("monitor.snapshot", Snapshot, self.snapshot)
        await fabric.serve_pieces("historian.series", SeriesQuery, self.series)
        await fabric.serve("historian.journal", JournalQuery, self.journal)
        await fabric.serve("historian.status", dict[str, Any], self.history_status)
        await fabric.serve("perceive.connectors", ListConnectors, self.connectors)
        await fabric.serve("perceive.dead-letters", ListDeadLetters, self.dead_letters)
        await fabric.serve("perceive.dead-letter", GetDeadLetter, self.dead_letter)
        await fabric.serve("perceive.mend", Mend, self.mend)
        await self.serve_registers()
        print("ready", flush=True)
        while True:
            values = self.now()
            good = (self.quality & 0xC0) < 0x80
            await fabric.client.publish(log.LIVE, batch.encode(values.take(good), BatchHeader("test", now_us())))
            for name, health in self.health.items():
                health.count("samples" if name == "gateway" else "records", 300)
                report = health.report(os.getpid(), now_us())
                await fabric.client.publish(f"{log.HEALTH}.{name}", msgspec.json.encode(report))
            await asyncio.sleep(1)

    async def serve_registers(self) -> None:
        """Serve the registers; see ``fake_registers``."""
        from tests.web.console import fake_registers, fake_safety, fake_warn

        await fake_registers.serve(self.fabric)
        await fake_safety.serve(self.fabric)
        self.warn = await fake_warn.serve(self.fabric, self.plant)


def fake_performance(rooms: Rooms, request: PerformanceQuery) -> Performance:
    """Return the real figures of made-up alarms: a quiet rhythm with a flood now and then."""
    random = np.random.default_rng(7)
    ids = [item.id for item in rooms.plant.alarms]
    times, alarms = [], []
    for begin in range(request.start, request.end, 10 * MINUTE):
        n = (begin // (10 * MINUTE)) % 61
        count = random.poisson(1.2) + (16 if n in (40, 41) else 0)
        times += (begin + random.integers(0, 10 * MINUTE, count)).tolist()
        alarms += [int(at) for at in random.zipf(1.6, count) * 7 % len(ids)]
    order = np.argsort(times, kind="stable")
    time, alarm = np.array(times, np.int64)[order], np.array(alarms, np.int32)[order]
    raise_, acknowledge, clear = (list(ARROWS).index(arrow) for arrow in (Arrow.RAISE, Arrow.ACKNOWLEDGE, Arrow.CLEAR))
    waits = random.lognormal(3.6, 0.9, len(time)) * SECOND
    transitions = Transitions(
        time=np.concatenate([time, time + waits.astype(np.int64), time + 3 * MINUTE]),
        alarm=np.tile(alarm, 3).astype(np.int32),
        arrow=np.repeat([raise_, acknowledge, clear], len(time)).astype(np.uint8),
        rung=np.repeat([True, False, False], len(time)),
        priority=np.tile([rooms.plant.alarms[at].priority for at in alarm], 3).astype(np.uint8),
        alarms=tuple(ids),
        positions=tuple(item.operator_position for item in rooms.plant.alarms),
    )
    return compute(transitions, request.start, request.end, request.operator_position)


def _stream(values: SampleBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.SCHEMA) as writer:
        writer.write_batch(batch.to_arrow(values))
    return bytes(sink.getvalue())


async def main() -> None:
    async with await Fabric.connect(from_environment(), "runtime", name="fake-rooms") as fabric:
        await Rooms(fabric).run()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)

"""Registers for the console's tests, in memory, on the registers' own state machines."""

from __future__ import annotations

from typing import Any

import msgspec

from anlan.core.actor import Actor
from anlan.core.ids import new_ulid
from anlan.core.time import DAY, HOUR, now_us
from anlan.plant.registers.machine import BYPASS, CHANGE, SHIFT
from anlan.plant.registers.model import (
    Act,
    AddEntry,
    BeginShift,
    Bypass,
    Calibration,
    Change,
    CloseItem,
    Edit,
    Entry,
    ListBypasses,
    ListCalibrations,
    ListChanges,
    ListEntries,
    ListShifts,
    ProposeChange,
    RequestBypass,
    Shift,
)
from anlan.store.fabric.client import Fabric
from tests.web.console.fake_plant import plant


class Registers:
    def __init__(self) -> None:
        now = now_us()
        self.shifts: dict[str, Shift] = {
            "s0": Shift(
                "s0",
                "tank-desk",
                "li",
                "closed",
                now - 12 * HOUR,
                ended=now - 4 * HOUR,
                accepted_by="wang",
                comment="夜班平稳",
            )
        }
        self.shifts["s1"] = Shift("s1", "tank-desk", "wang", "open", now - 4 * HOUR, open_items=1)
        self.entries = {
            "e1": Entry(
                "e1",
                "s1",
                "tank-desk",
                now - 3 * HOUR,
                "wang",
                "NH3 储罐 T-403 进料，液位由 41 % 升至 62 %。",
                "donghua/tanks/nh3",
            ),
            "e2": Entry(
                "e2",
                "s1",
                "tank-desk",
                now - 2 * HOUR,
                "wang",
                "LPG 球罐区 2 号喷淋阀手轮卡涩，已报修。",
                "donghua/tanks/lpg",
                True,
            ),
        }
        self.bypasses = {
            "b1": Bypass(
                "b1",
                "donghua/tanks/nh3/at3",
                "active",
                "探头更换",
                "chen",
                now - HOUR,
                now + 3 * HOUR,
                "donghua/tanks/nh3/at3.HH",
                True,
                "便携仪每 15 分钟巡检",
                "zhou",
                now - HOUR,
            ),
            "b2": Bypass(
                "b2",
                "haian/chlor/cl/pt2",
                "requested",
                "变送器校验",
                "wang",
                now - HOUR // 2,
                now + 2 * HOUR,
                measures="现场压力表就地读数",
            ),
        }
        self.changes = {
            "c1": Change(
                "c1",
                "proposed",
                (Edit("set", "donghua/tanks/nh3/at1", "limit", "H", 20.0, 25.0),),
                ("donghua/tanks/nh3/at1",),
                "按 GB/T 50493 复核",
                "chen",
                now - HOUR,
                True,
                "- H: 25\n+ H: 20",
            ),
        }

    async def list_shifts(self, request: ListShifts, actor: Actor) -> tuple[Shift, ...]:
        found = [
            s
            for s in self.shifts.values()
            if s.position == request.position and not (request.current and s.state == "closed")
        ]
        return tuple(sorted(found, key=lambda s: -s.started))

    async def begin(self, request: BeginShift, actor: Actor) -> Shift:
        shift = Shift(new_ulid(now_us()), request.position, actor.user, "open", now_us())
        self.shifts[shift.id] = shift
        return shift

    async def list_entries(self, request: ListEntries, actor: Actor) -> tuple[Entry, ...]:
        return tuple(
            sorted((e for e in self.entries.values() if e.position == request.position), key=lambda e: -e.time)
        )

    async def add(self, request: AddEntry, actor: Actor) -> Entry:
        entry = Entry(
            new_ulid(now_us()),
            "s1",
            request.position,
            now_us(),
            actor.user,
            request.text,
            request.path,
            request.open_item,
        )
        self.entries[entry.id] = entry
        return entry

    async def close(self, request: CloseItem, actor: Actor) -> Entry:
        self.entries[request.id] = msgspec.structs.replace(
            self.entries[request.id], closed=now_us(), closed_by=actor.user, closing=request.closing
        )
        return self.entries[request.id]

    async def shift_act(self, request: Act, actor: Actor) -> Shift:
        shift = self.shifts[request.id]
        arrow = SHIFT.fire(shift.state, request.verb, who=actor.user, asked_by=shift.person, comment=request.comment)
        self.shifts[shift.id] = msgspec.structs.replace(
            shift, state=arrow.after, comment=request.comment, accepted_by=actor.user if arrow.after == "closed" else ""
        )
        return self.shifts[shift.id]

    async def list_bypasses(self, request: ListBypasses, actor: Actor) -> tuple[Bypass, ...]:
        return tuple(
            b for b in self.bypasses.values() if actor.sees(b.path) and not (request.standing and BYPASS.over(b.state))
        )

    async def request_bypass(self, request: RequestBypass, actor: Actor) -> Bypass:
        bypass = Bypass(
            new_ulid(now_us()),
            request.path,
            "requested",
            request.reason,
            actor.user,
            now_us(),
            request.expires,
            request.alarm,
            measures=request.measures,
        )
        self.bypasses[bypass.id] = bypass
        return bypass

    async def bypass_act(self, request: Act, actor: Actor) -> Bypass:
        row = self.bypasses[request.id]
        arrow = BYPASS.fire(row.state, request.verb, who=actor.user, asked_by=row.requested_by, comment=request.comment)
        actor.require(arrow.permission, row.path)
        self.bypasses[row.id] = msgspec.structs.replace(row, state=arrow.after, approved_by=actor.user)
        return self.bypasses[row.id]

    async def calibrations(self, request: ListCalibrations, actor: Actor) -> tuple[Calibration, ...]:
        found = []
        for point in plant().points:
            if point.calibration is not None and point.calibration.expires and actor.sees(point.path):
                left = (point.calibration.expires - now_us()) / DAY
                state = "expired" if left < 0 else "due" if left < 30 else "valid"
                found.append(
                    Calibration(
                        point.path,
                        point.number,
                        point.calibration.expires,
                        state,
                        left,
                        point.name,
                        point.name_en,
                        point.safety,
                        point.calibration.certificate,
                    )
                )
        return tuple(sorted(found, key=lambda c: c.expires))

    async def list_changes(self, request: ListChanges, actor: Actor) -> tuple[Change, ...]:
        return tuple(c for c in self.changes.values() if not (request.pending and c.state != "proposed"))

    async def propose(self, request: ProposeChange, actor: Actor) -> Change:
        change = Change(
            new_ulid(now_us()),
            "proposed",
            request.edits,
            tuple(e.path for e in request.edits),
            request.reason,
            actor.user,
            now_us(),
            True,
        )
        self.changes[change.id] = change
        return change

    async def change_act(self, request: Act, actor: Actor) -> Change:
        row = self.changes[request.id]
        arrow = CHANGE.fire(row.state, request.verb, who=actor.user, asked_by=row.proposed_by, comment=request.comment)
        self.changes[row.id] = msgspec.structs.replace(
            row, state=arrow.after, decided_by=actor.user, comment=request.comment
        )
        return self.changes[row.id]


async def serve(fabric: Fabric) -> None:
    """Answer the registers' subjects."""
    rooms = Registers()
    subjects: tuple[tuple[str, Any, Any], ...] = (
        ("shifts", ListShifts, rooms.list_shifts),
        ("shift.begin", BeginShift, rooms.begin),
        ("shift.entries", ListEntries, rooms.list_entries),
        ("shift.add", AddEntry, rooms.add),
        ("shift.close", CloseItem, rooms.close),
        ("shift.act", Act, rooms.shift_act),
        ("bypasses", ListBypasses, rooms.list_bypasses),
        ("bypass.request", RequestBypass, rooms.request_bypass),
        ("bypass.act", Act, rooms.bypass_act),
        ("calibrations", ListCalibrations, rooms.calibrations),
        ("changes", ListChanges, rooms.list_changes),
        ("change.propose", ProposeChange, rooms.propose),
        ("change.act", Act, rooms.change_act),
    )
    for subject, kind, handler in subjects:
        await fabric.serve(f"registers.{subject}", kind, handler)

"""What the responders of other processes answer in the web floor's tests: one example of each contract."""

from __future__ import annotations

from typing import Any

from anlan.core.events import AlarmState
from anlan.monitor.model import (
    Act,
    ActResult,
    AlarmList,
    AlarmRow,
    ListAlarms,
    MonitorStatus,
    PerformanceQuery,
    TryDefinition,
    TryResult,
)
from anlan.monitor.model import Status as MonitorStatusQuery
from anlan.perceive import model as perceive
from anlan.plant.registers import model as registers
from anlan.plant.requests import ListRevisions, PlantStatus, Reload, Revision, Status
from anlan.store.historian.requests import HistorianStatus, Hold, Holds, ListHolds, ReleaseHold, StatusQuery
from tests.warn.answers import ANSWERS as WARN_ANSWERS
from tests.web.plant import HAIAN, LINGANG


def row(alarm: str, number: int, priority: int, *, active: bool = True, acknowledged: bool = False) -> AlarmRow:
    """Return a row of the alarm list."""
    path, _, kind = alarm.rpartition(".")
    state = AlarmState.ACKNOWLEDGED if acknowledged else AlarmState.UNACKNOWLEDGED
    return AlarmRow(
        alarm, f"i{number}", number, path, kind, state, priority, active, acknowledged, raised=number * 1000
    )


ROWS = (
    row(f"{HAIAN}/pressure.HH", 1, 1),
    row(f"{HAIAN}/pressure.H", 1, 2, acknowledged=True),
    row(f"{LINGANG}/speed.H", 6, 3),
    row(f"{HAIAN}/level.stale", 2, 1, active=False),
)
SHIFTS = tuple(registers.Shift(f"s{n}", "desk-1", "wang.min", "closed", started=n) for n in range(5))
ENTRY = registers.Entry("e1", "s1", "desk-1", 10, "wang.min", "pump changed", HAIAN)
BYPASS = registers.Bypass("b1", f"{HAIAN}/gas-1", "requested", "replacement", "wang.min", 1, 2)
EDIT = registers.Edit("set", f"{HAIAN}/pressure", "limits.HH", value=1.8)
CHANGE = registers.Change("c1", "proposed", (EDIT,), (f"{HAIAN}/pressure",), "review", "wang.min", 5, safety=True)
BARRIER = registers.BarrierHealth("dike", HAIAN, "dike", "healthy", 1)
WORK = registers.Work("w1", "hot-work", HAIAN, "active", 1, 9, 3, "wang.min", 1)
COUNT = registers.HeadCount("h1", "haian/tank-farm", 4, 1, 9, "wang.min")
PRESENCE = registers.Presence("haian/tank-farm", 4.0, "hand", 1, False, hand=COUNT)
HOLD = Hold("h1", 1, "incident")
LETTER = perceive.DeadLetter(1, "plc", "frame", "wrong CRC", raw=b"\x00\xff", sequence=7)
PLANT_STATUS = Status("r1", 1, 2, True, "donggang", 8, 3, 2)
CALIBRATION = registers.Calibration(f"{HAIAN}/gas-1", 3, 1, "expired", -3.0)

# Subject: type of the request, answer.
ANSWERS: dict[str, tuple[Any, Any]] = {
    "monitor.alarms": (ListAlarms, AlarmList(ROWS, 2, (1, 1, 1, 0), 99, 1)),
    "monitor.act": (Act, ActResult((ROWS[0].alarm,), {ROWS[1].alarm: "another instance"})),
    "monitor.performance": (PerformanceQuery, {"alarms": 3, "floods": []}),
    "monitor.try": (TryDefinition, TryResult({"x": 1}, {"x": (5,)}, {"x": 2.5}, 1000)),
    "monitor.status": (MonitorStatusQuery, MonitorStatus(99, 0, 3, "r1", 1)),
    "perceive.connectors": (
        perceive.ListConnectors,
        (perceive.ConnectorStatus("dcs", "opcua", state="up"), perceive.ConnectorStatus("plc", "modbus", state="down")),
    ),
    "perceive.dead-letters": (perceive.ListDeadLetters, perceive.DeadLetterPage((LETTER,), 1, 7)),
    "perceive.dead-letter": (perceive.GetDeadLetter, LETTER),
    "perceive.mend": (perceive.Mend, perceive.MendResult(7, 3)),
    "registers.shifts": (registers.ListShifts, SHIFTS),
    "registers.shift.begin": (registers.BeginShift, SHIFTS[0]),
    "registers.shift.entries": (registers.ListEntries, (ENTRY,)),
    "registers.shift.add": (registers.AddEntry, ENTRY),
    "registers.shift.close": (registers.CloseItem, ENTRY),
    "registers.shift.act": (registers.Act, SHIFTS[1]),
    "registers.bypasses": (registers.ListBypasses, (BYPASS,)),
    "registers.bypass.request": (registers.RequestBypass, BYPASS),
    "registers.bypass.act": (registers.Act, BYPASS),
    "registers.calibrations": (registers.ListCalibrations, (CALIBRATION,)),
    "registers.barriers": (registers.ListBarriers, (BARRIER,)),
    "registers.barrier.history": (registers.BarrierHistory, ()),
    "registers.barrier.test": (registers.RecordTest, BARRIER),
    "registers.barrier.report": (registers.ReportBarrier, BARRIER),
    "registers.barrier.act": (registers.Act, BARRIER),
    "registers.works": (registers.ListWork, (WORK,)),
    "registers.work.plan": (registers.PlanWork, WORK),
    "registers.work.act": (registers.ActOnWork, WORK),
    "registers.presence": (registers.ListPresence, (PRESENCE,)),
    "registers.presence.count": (registers.CountPeople, PRESENCE),
    "registers.presence.history": (registers.PresenceHistory, (COUNT,)),
    "registers.changes": (registers.ListChanges, (CHANGE,)),
    "registers.change.propose": (registers.ProposeChange, CHANGE),
    "registers.change.act": (registers.Act, CHANGE),
    "plant.status": (PlantStatus, PLANT_STATUS),
    "plant.reload": (Reload, PLANT_STATUS),
    "plant.revisions": (ListRevisions, (Revision("r1", 1, "wang.min", "c1", {"points": 1}),)),
    "historian.status": (StatusQuery, HistorianStatus(1, 2, 3, 4, 0, "chdb")),
    "historian.hold": (Hold, HOLD),
    "historian.release": (ReleaseHold, HOLD),
    "historian.holds": (ListHolds, Holds((HOLD,))),
}
ANSWERS |= WARN_ANSWERS

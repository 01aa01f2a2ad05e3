"""A small plant of every kind the shipped models know, and facts about it that hypothesis makes up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import strategies as st

from anlan.plant.model import Installation, Place, Plant, Point, SiteInfo, Stock, Substance, Unit
from anlan.plant.registers.vocabulary import barrier_kinds, work_kinds
from anlan.warn.risk.model import (
    ActiveAlarm,
    BarrierState,
    ExpiredCalibration,
    FeatureGrade,
    HeadCount,
    OpenWarning,
    RiskFacts,
    StandingBypass,
    Weather,
    WorkInProgress,
)

NOW = 4_000_000_000
TANK, HOLDER, PUMP = "e/farm/t-1", "e/gas/holder", "e/utility/p-1"
_POINTS = {
    TANK: ["level", "pressure", "temperature", "toxic-gas", "state"],
    "e/farm/t-2": ["level", "pressure"],
    HOLDER: ["level", "pressure", "oxygen", "toxic-gas"],
    "e/gas/seal": ["level"],
    PUMP: ["vibration", "pressure", "flow"],
}
_KINDS = {
    TANK: ("pressurised-tank", "ammonia"),
    "e/farm/t-2": ("atmospheric-tank", "methanol"),
    HOLDER: ("gas-holder", "bfg"),
    "e/gas/seal": ("water-seal", "bfg"),
    PUMP: ("pump", "water"),
}


def plant() -> Plant:
    """Return a plant with a tank farm, a coal-gas area and a pump that no pack knows."""
    points = [(unit, kind) for unit, kinds in _POINTS.items() for kind in kinds]
    return Plant(
        SiteInfo("s", "园区", name_en="Park", tier="park"),
        places=(
            Place("e", "企业", "Enterprise"),
            Place("e/farm", "罐区", "Farm", "tank-farm"),
            Place("e/gas", "煤气", "Gas", "gas"),
            Place("e/utility", "公用", "Utility", "utilities"),
        ),
        units=tuple(Unit(path, kind=kind, substance=substance) for path, (kind, substance) in _KINDS.items()),
        points=tuple(Point(n, f"{unit}/{kind}", kind, "") for n, (unit, kind) in enumerate(points, start=1)),
        substances=(
            Substance("ammonia", "液氨", "Ammonia", "7664-41-7"),
            Substance("methanol", "甲醇", "Methanol", "67-56-1"),
            Substance("bfg", "煤气(CO,CO和H2、CH4的混合物等)", "Coal gas"),
            Substance("water", "水", "Water", "7732-18-5"),
        ),
        stock=(Stock(TANK, "ammonia", 1200, "t"), Stock(HOLDER, "bfg", 120, "t")),
        installations=(Installation("farm", "e/farm", units=(TANK, "e/farm/t-2"), exposed=60),),
        packs=("chemical", "steel"),
    )


POINTS = tuple(point.path for point in plant().points)
UNITS = tuple(_KINDS)
PLACES = ("e", "e/farm", "e/gas", "e/utility", *UNITS)

_since = st.integers(0, NOW)
_alarms = st.builds(
    ActiveAlarm,
    id=st.just("A"),
    path=st.sampled_from(POINTS),
    kind=st.sampled_from(["HH", "H", "L", "LL", "rate", "state", "stale", "bad-quality"]),
    priority=st.integers(1, 4),
    since=_since,
    event=st.sampled_from(["E1", "E2", "E3"]),
)
_graded = st.integers(1, 4)
_warnings = st.builds(
    OpenWarning, id=st.just("W"), path=st.sampled_from((*PLACES, *POINTS)), grade=_graded, since=_since
)
_features = st.builds(FeatureGrade, feature=st.just("f"), path=st.sampled_from(UNITS), grade=_graded, since=_since)
_barriers = st.builds(
    BarrierState,
    id=st.just("B"),
    path=st.sampled_from(PLACES),
    kind=st.sampled_from(sorted(barrier_kinds())),
    state=st.sampled_from(["healthy", "overdue", "degraded", "bypassed", "failed"]),
    since=_since,
)
_bypasses = st.builds(
    StandingBypass,
    id=st.just("Y"),
    path=st.sampled_from(POINTS),
    since=_since,
    expires=st.sampled_from([0, NOW - 1, NOW + 1]),
    safety=st.booleans(),
)
_calibrations = st.builds(ExpiredCalibration, path=st.sampled_from(POINTS), expires=_since, safety=st.booleans())
_presence = st.builds(HeadCount, path=st.sampled_from(PLACES), count=st.integers(0, 60))
_work = st.builds(
    WorkInProgress,
    id=st.just("K"),
    path=st.sampled_from(PLACES),
    kind=st.sampled_from(sorted(work_kinds())),
    since=_since,
    overdue=st.booleans(),
)
_weather = st.builds(
    Weather,
    quantity=st.sampled_from(["wind-speed", "temperature", "lightning"]),
    value=st.floats(-20, 45),
    path=st.sampled_from(["", "e", "e/farm"]),
)


def _some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=4).map(tuple)


facts = st.builds(
    RiskFacts,
    alarms=_some(_alarms),
    warnings=_some(_warnings),
    features=_some(_features),
    barriers=_some(_barriers),
    bypasses=_some(_bypasses),
    calibrations=_some(_calibrations),
    presence=_some(_presence),
    work=_some(_work),
    weather=_some(_weather),
)

_ONE = {
    "alarms": _alarms, "warnings": _warnings, "features": _features, "barriers": _barriers, "bypasses": _bypasses,
    "calibrations": _calibrations, "presence": _presence, "work": _work, "weather": _weather,
}  # fmt: skip
_BARRIER = ["healthy", "overdue", "degraded", "bypassed", "failed"]


def _worse_alarm(draw: Any, alarm: ActiveAlarm) -> ActiveAlarm:
    kind = {"H": "HH", "L": "LL"}.get(alarm.kind, alarm.kind) if draw(st.booleans()) else alarm.kind
    priority, since = draw(st.integers(1, alarm.priority)), draw(st.integers(0, alarm.since))
    return msgspec.structs.replace(alarm, kind=kind, priority=priority, since=since)


def _worse_state(draw: Any, row: Any) -> Any:
    """Return the same fact in a state at least as bad."""
    change = msgspec.structs.replace
    if isinstance(row, ActiveAlarm):
        return _worse_alarm(draw, row)
    if isinstance(row, OpenWarning | FeatureGrade):
        return change(row, grade=draw(st.integers(1, row.grade)))
    if isinstance(row, BarrierState):
        return change(row, state=draw(st.sampled_from(_BARRIER[_BARRIER.index(row.state) :])))
    if isinstance(row, StandingBypass):
        return change(row, safety=row.safety or draw(st.booleans()), expires=draw(st.sampled_from([row.expires, 1])))
    if isinstance(row, ExpiredCalibration):
        return change(row, safety=row.safety or draw(st.booleans()))
    if isinstance(row, HeadCount):
        return change(row, count=row.count + draw(st.integers(0, 50)))
    if isinstance(row, WorkInProgress):
        return change(row, overdue=row.overdue or draw(st.booleans()))
    if row.quantity == "lightning":
        return change(row, value=row.value + draw(st.floats(0, 3)))
    return row  # wind and temperature are bad both ways: neither direction is worse by itself


@st.composite
def worse(draw: Any) -> tuple[RiskFacts, RiskFacts]:
    """Return facts and facts that are worse: a state worse, or one more of them, anywhere."""
    before = draw(facts)
    name = draw(st.sampled_from(sorted(_ONE)))
    rows = list(getattr(before, name))
    if rows and draw(st.booleans()):
        at = draw(st.integers(0, len(rows) - 1))
        rows[at] = _worse_state(draw, rows[at])
    else:
        rows.insert(draw(st.integers(0, len(rows))), draw(_ONE[name]))
    return before, replace(before, **{name: tuple(rows)})

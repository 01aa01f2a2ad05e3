"""The facts of the risk index: a shelved alarm still stands, a warning of the index does not raise the index."""

from __future__ import annotations

import msgspec

from anlan.core.events import AlarmState, AlarmTransition, Event, EventType, WarningState
from anlan.core.health import Health
from anlan.core.severity import WarningGrade
from anlan.plant.model import Place, Plant, Point, SiteInfo, Unit
from anlan.warn.facts import Facts
from anlan.warn.model import Finding, WarningRow
from anlan.warn.warnings.record import Kept, Member

PATH = "e/a/u/p"
PLANT = Plant(
    SiteInfo("s", "s"),
    places=(Place("e"), Place("e/a")),
    units=(Unit("e/a/w", kind="weather-station"),),
    points=(Point(1, "e/a/w/speed", "wind-speed", "m/s"), Point(2, "e/a/w/air", "temperature", "°C")),
)


def facts() -> Facts:
    return Facts(None, Health("warn", 0))  # type: ignore[arg-type]  # nobody is asked here


def transition(state: AlarmState, **more: bool) -> AlarmTransition:
    return AlarmTransition(f"{PATH}.HH", "01", "raise", state, AlarmState.NORMAL, 1, 1, **more)  # type: ignore[arg-type]  # flags only


def tell(facts: Facts, what: AlarmTransition) -> None:
    event = Event("01", EventType.ALARM, "n", 1_000, what.alarm, data=msgspec.to_builtins(what))
    facts.alarm(event, what, "HH", PATH)


def test_a_shelved_alarm_still_stands_and_a_suppressed_one_does_not() -> None:
    found = facts()
    tell(found, transition(AlarmState.UNACKNOWLEDGED))
    tell(found, transition(AlarmState.UNACKNOWLEDGED, shelved=True))
    assert [alarm.path for alarm in found.alarms.values()] == [PATH]
    tell(found, transition(AlarmState.UNACKNOWLEDGED, suppressed=True))
    assert not found.alarms


def kept(**grades: int) -> Kept:
    row = WarningRow("w", PATH, WarningGrade.RED, WarningState.RAISED, "machines", 1, 0, 0)
    finding = Finding("m", 1, PATH, 0, WarningGrade.RED, 1.0)
    return Kept(row, {name: Member(name, 1, PATH, 0, grade, finding) for name, grade in grades.items()})


def test_what_the_risk_index_warns_of_does_not_raise_it_again() -> None:
    def counted(**grades: int) -> list[int]:
        now = facts().now(0, PLANT, [kept(**grades)], {}, lambda _: None, {"rise"})
        return [warning.grade for warning in now.warnings]

    assert counted(rise=1) == []
    assert counted(rise=1, machines=3) == [3]
    assert counted(rise=1, machines=0) == []
    assert counted(machines=2, valves=3) == [2]


def test_the_weather_is_what_the_points_of_the_enterprise_say() -> None:
    values = {1: 12.5, 2: 31.0}
    found = facts().now(5, PLANT, [], {}, values.get).weather
    assert {(item.quantity, item.value) for item in found} == {("wind-speed", 12.5), ("temperature", 31.0)}

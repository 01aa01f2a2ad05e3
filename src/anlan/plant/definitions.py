"""Alarm definitions of a point: short form, long form and defaults brought together into ``AlarmDefinition``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeVar

import msgspec

from anlan.core.severity import Consequence, priority_of
from anlan.core.time import SECOND, duration_us
from anlan.plant.expressions import point_names, with_full_paths
from anlan.plant.model import AlarmDefinition
from anlan.plant.schema import LIMIT_KINDS, AlarmPart, PointPart
from anlan.plant.site_file import Loc, PlacedPoint, PlacedUnit, SiteDocument

_COVERED_BY = {"H": "HH", "L": "LL"}
_RATE_SECONDS = {"s": 1, "min": 60, "h": 3600}


class Defaults(msgspec.Struct, frozen=True):
    """What holds where a site file is silent; durations as text. See ``plant/defaults.yaml``."""

    stale_of_safety_points: str
    bad_quality_on_delay: str
    priority: dict[str, int]
    priority_of_safety_points: dict[str, int]


@cache
def defaults() -> Defaults:
    """Return the defaults of ``plant/defaults.yaml``."""
    import yaml

    text = files("anlan.plant").joinpath("defaults.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), Defaults)


@dataclass(frozen=True, slots=True)
class DraftedAlarm:
    """One alarm of a site file; ``part`` is its long form, without content for short forms and defaults."""

    id: str
    point: str
    unit_path: str
    kind: str
    part: AlarmPart
    limit: float | None
    loc: Loc


@cache
def _default_duration(key: str) -> int:
    return duration_us(getattr(defaults(), key))


def stale_after(part: PointPart) -> int:
    """Return how long (µs) a point may stay silent; safety points have a default, others are never stale."""
    if part.stale is not None:
        return part.stale
    return _default_duration("stale_of_safety_points") if part.safety else 0


def alarm_id(path: str, kind: str, name: str | None) -> str:
    """Return ``PATH.KIND`` or ``PATH.KIND.NAME``."""
    return f"{path}.{kind}.{name}" if name else f"{path}.{kind}"


def resolve(reference: str, unit_path: str, points: Mapping[str, object]) -> str | None:
    """Return the path of the point a file means: a full path, or the id of a point of the same unit."""
    if reference in points:
        return reference
    neighbour = f"{unit_path}/{reference}"
    return neighbour if neighbour in points else None


@cache
def _plain(kind: str) -> AlarmPart:
    """Return a long form that says nothing but its kind."""
    return AlarmPart.model_validate({"kind": kind})


def of_point(placed: PlacedPoint) -> Iterator[DraftedAlarm]:
    """Yield the alarms of a point: its limits, its long forms, and the default ones of a safety point."""
    part = placed.part
    limits: dict[str, float] = dict(part.limits)  # type: ignore[arg-type]  # literals are texts
    detailed = {alarm.kind for alarm in part.alarms if alarm.kind in LIMIT_KINDS and alarm.limit is None}
    for kind, limit in limits.items():
        if kind not in detailed:
            loc = (*placed.loc, "limits", kind)
            short = _plain(kind)
            yield DraftedAlarm(
                alarm_id(placed.path, kind, None), placed.path, placed.unit_path, kind, short, limit, loc
            )
    for index, alarm in enumerate(part.alarms):
        limit_ = alarm.limit if alarm.limit is not None else limits.get(alarm.kind)
        loc = (*placed.loc, "alarms", index)
        identity = alarm_id(placed.path, alarm.kind, alarm.name)
        yield DraftedAlarm(identity, placed.path, placed.unit_path, alarm.kind, alarm, limit_, loc)
    if part.safety:
        given = {alarm.kind for alarm in part.alarms}
        for kind in ("stale", "bad-quality"):
            if kind not in given and (kind != "stale" or stale_after(part)):
                default = _plain(kind)
                identity = alarm_id(placed.path, kind, None)
                yield DraftedAlarm(identity, placed.path, placed.unit_path, kind, default, None, placed.loc)


def of_unit(
    unit: PlacedUnit, points: Mapping[str, object], names: Mapping[Loc, tuple[str, ...]]
) -> Iterator[DraftedAlarm]:
    """Yield the alarms of a unit (votes and expressions); ``names`` are the points an expression reads, by place."""
    for index, alarm in enumerate(unit.part.alarms):
        loc = (*unit.loc, "alarms", index)
        shown_at = alarm.point or next(iter(alarm.inputs or names.get(loc, ())), "")
        path = resolve(shown_at, unit.path, points)
        if path is not None:
            yield DraftedAlarm(
                alarm_id(path, alarm.kind, alarm.name), path, unit.path, alarm.kind, alarm, alarm.limit, loc
            )


def drafted_alarms(document: SiteDocument) -> list[DraftedAlarm]:
    """Return every alarm of a checked site: those of all points in file order, then those of units."""
    placed = list(document.points())
    parts = {item.path: item.part for item in placed}
    drafted = [alarm for item in placed for alarm in of_point(item)]
    for unit in document.units():
        names = {
            (*unit.loc, "alarms", index): point_names(alarm.expression) for index, alarm in enumerate(unit.part.alarms)
        }
        drafted += of_unit(unit, parts, names)
    return drafted


def priority(part: AlarmPart, kind: str, safety: bool) -> int:
    """Return an alarm's priority: stated, or consequence × time to act, or the default of its kind."""
    if part.priority is not None:
        return part.priority
    if part.consequence.grade is not None and part.time_to_act is not None:
        return int(priority_of(Consequence(part.consequence.grade), part.time_to_act / SECOND))
    table = defaults().priority_of_safety_points if safety else defaults().priority
    return table[kind]


def define(drafted: DraftedAlarm, point: PointPart, numbers: Mapping[str, int], siblings: set[str]) -> AlarmDefinition:
    """Return the compiled definition.

    Args:
        drafted: the alarm as its file says it.
        point: the point it is shown at.
        numbers: point number by path.
        siblings: ids of all alarms of the point, for what covers what.
    """
    part, kind = drafted.part, drafted.kind
    safety = part.safety if part.safety is not None else point.safety
    limit = drafted.limit / _RATE_SECONDS[part.per] if kind == "rate" and drafted.limit is not None else drafted.limit
    analog = kind not in ("stale", "bad-quality", "state", "expression")
    on_delay = _first(part.on_delay, _default_on_delay(kind, point))
    covering = f"{drafted.point}.{_COVERED_BY.get(kind, '')}"
    consequence = part.consequence.text or (part.consequence.grade or "")
    return AlarmDefinition(
        id=drafted.id,
        point=numbers[drafted.point],
        kind=kind,
        priority=priority(part, kind, safety),
        limit=limit,
        deadband=_first(part.deadband, point.deadband if kind in LIMIT_KINDS else None, 0.0) if analog else 0.0,
        on_delay=on_delay,
        off_delay=_first(part.off_delay, point.off_delay if kind in LIMIT_KINDS else None, 0),
        other=_number(part.other, drafted, numbers) if part.other else 0,
        states=tuple(state_number(state, point) for state in part.states or ()),
        inputs=tuple(_number(item, drafted, numbers) for item in part.inputs or ()),
        needed=part.needed or 0,
        direction=-1 if part.direction == "below" else 1,
        expression=with_full_paths(part.expression or "", drafted.unit_path, numbers),
        enable=with_full_paths(part.enable or "", drafted.unit_path, numbers),
        group=part.group or "",
        latched=part.latched,
        covered_by=(covering,) if covering in siblings else (),
        cause=part.cause,
        consequence=consequence,
        action=part.action,
        time_to_act=part.time_to_act or 0,
        operator_position=part.operator_position or "",
        safety=safety,
        enabled=part.enabled,
        source=part.source,
    )


def state_number(state: str, point: PointPart) -> int:
    """Return the number of a state given by number or by name.

    Raises:
        KeyError: the point has no such state.
    """
    for number, name in point.states.items():
        if state == name or state == str(number):
            return number
    raise KeyError(state)


_T = TypeVar("_T")


def _first(*values: _T | None) -> _T:
    return next(value for value in values if value is not None)


def _default_on_delay(kind: str, point: PointPart) -> int:
    if kind == "bad-quality":
        return _default_duration("bad_quality_on_delay")
    if kind in LIMIT_KINDS and point.on_delay is not None:
        return point.on_delay
    return 0


def _number(reference: str, drafted: DraftedAlarm, numbers: Mapping[str, int]) -> int:
    path = resolve(reference, drafted.unit_path, numbers)
    assert path is not None, reference
    return numbers[path]


def is_discrete(point: PointPart) -> bool:
    """Return whether a point's values are states rather than quantities."""
    return bool(point.states) or point.kind == "state"

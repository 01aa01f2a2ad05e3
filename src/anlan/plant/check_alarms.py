"""Checks of alarm definitions: limits in order, what each kind needs, references, expressions."""

from __future__ import annotations

import itertools

from anlan.core.errors import InvalidInputError
from anlan.plant import definitions
from anlan.plant.expressions import point_names
from anlan.plant.findings import guess
from anlan.plant.report import Report
from anlan.plant.schema import LIMIT_KINDS, AlarmPart
from anlan.plant.site_file import Loc, PlacedPoint

# What each kind of alarm must have, and what more it may have, besides what all may.
_NEEDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(LIMIT_KINDS, ("limit",)),
    "rate": ("limit",),
    "deviation": ("limit", "other"),
    "state": ("states",),
    "stale": (),
    "bad-quality": (),
    "vote": ("inputs", "needed", "limit"),
    "expression": ("expression",),
}
_MAY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(LIMIT_KINDS, ("deadband",)),
    "rate": ("deadband", "per"),
    "deviation": ("deadband",),
    "vote": ("deadband", "direction"),
}
_SPECIAL = ("limit", "deadband", "per", "other", "states", "inputs", "needed", "direction", "expression")


def check_alarms(report: Report) -> None:
    """Check the alarms of all points and units."""
    first: dict[str, Loc] = {}
    for placed in report.points.values():
        part = placed.part
        if not (part.limits or part.alarms or part.safety):
            continue
        _check_limits(report, placed)
        for index, alarm in enumerate(part.alarms):
            _check_alarm(report, alarm, (*placed.loc, "alarms", index), placed.unit_path, placed)
        for drafted in definitions.of_point(placed):
            _once(report, first, drafted.id, drafted.loc)
    parts = {path: placed.part for path, placed in report.points.items()}
    for unit in report.document.units():
        names: dict[Loc, tuple[str, ...]] = {}
        for index, alarm in enumerate(unit.part.alarms):
            loc = (*unit.loc, "alarms", index)
            names[loc] = _check_alarm(report, alarm, loc, unit.path, None)
        for drafted in definitions.of_unit(unit, parts, names):
            _once(report, first, drafted.id, drafted.loc)


def _once(report: Report, first: dict[str, Loc], identity: str, loc: Loc) -> None:
    if identity in first:
        report.add("duplicate-alarm", loc, id=identity, first=report.line_of(first[identity]))
    first.setdefault(identity, loc)


def _check_limits(report: Report, placed: PlacedPoint) -> None:
    part = placed.part
    places = _limit_places(placed)
    if definitions.is_discrete(part):
        for kind, (_, loc) in places.items():
            report.add("limits-on-state", loc, key=kind)
        return
    ordered = [kind for kind in LIMIT_KINDS if kind in places]
    gap = None
    for low, high in itertools.pairwise(ordered):
        low_value, high_value = places[low][0], places[high][0]
        if not low_value < high_value:
            report.add("limits-order", places[high][1], low=low, high=high, low_value=low_value, high_value=high_value)
        elif gap is None or high_value - low_value < gap:
            gap = high_value - low_value
    if gap is not None and part.deadband is not None and part.deadband >= gap:
        report.add("deadband-too-wide", (*placed.loc, "deadband"), value=part.deadband, gap=f"{gap:g}")
    if part.range is not None:
        for kind, (limit, loc) in places.items():
            if not part.range[0] <= limit <= part.range[1]:
                report.add("limit-outside-range", loc, key=kind, value=limit, low=part.range[0], high=part.range[1])


def _limit_places(placed: PlacedPoint) -> dict[str, tuple[float, Loc]]:
    """Return each limit with the place it stands at, from short and long form."""
    found: dict[str, tuple[float, Loc]] = {
        str(kind): (limit, (*placed.loc, "limits", str(kind))) for kind, limit in placed.part.limits.items()
    }
    for index, alarm in enumerate(placed.part.alarms):
        if alarm.kind in LIMIT_KINDS and alarm.limit is not None and alarm.name is None:
            found[alarm.kind] = (alarm.limit, (*placed.loc, "alarms", index, "limit"))
    return found


def _check_alarm(
    report: Report, alarm: AlarmPart, loc: Loc, unit_path: str, placed: PlacedPoint | None
) -> tuple[str, ...]:
    """Check one long form; return the points its expression reads."""
    _check_keys(report, alarm, loc, placed)
    for key in ("other", "point"):
        reference = getattr(alarm, key)
        if reference is not None:
            _known_point(report, reference, unit_path, (*loc, key))
    for index, reference in enumerate(alarm.inputs or ()):
        _known_point(report, reference, unit_path, (*loc, "inputs", index))
    if alarm.inputs is not None and alarm.needed is not None and alarm.needed > len(alarm.inputs):
        report.add("vote-needs", (*loc, "needed"), needed=alarm.needed, count=len(alarm.inputs))
    if placed is not None and alarm.kind == "state":
        _check_states(report, alarm, loc, placed)
    positions = [item.id for item in report.document.site.positions]
    if alarm.operator_position and alarm.operator_position not in positions:
        hints = guess(alarm.operator_position, positions)
        report.add("unknown-position", (*loc, "operator_position"), value=alarm.operator_position, **hints)
    if alarm.consequence.grade and alarm.time_to_act is None and alarm.priority is None:
        report.add("no-priority", (*loc, "consequence"))
    _check_expression(report, alarm.enable, unit_path, (*loc, "enable"))
    return _check_expression(report, alarm.expression, unit_path, (*loc, "expression"))


def _check_keys(report: Report, alarm: AlarmPart, loc: Loc, placed: PlacedPoint | None) -> None:
    needs = _NEEDS[alarm.kind]
    given = {key for key in _SPECIAL if key in alarm.model_fields_set}
    if placed is None:
        if alarm.kind not in ("vote", "expression") and alarm.point is None:
            report.add("needs-key", loc, kind=alarm.kind, key="point")
    elif alarm.point is not None:
        report.add("needless-key", (*loc, "point"), kind=alarm.kind, key="point")
    if placed is not None and alarm.kind in LIMIT_KINDS and alarm.kind in placed.part.limits:
        given.add("limit")
    for key in needs:
        if key not in given or getattr(alarm, key) == []:
            report.add("needs-key", loc, kind=alarm.kind, key=key)
    for key in sorted(given - set(needs) - set(_MAY.get(alarm.kind, ()))):
        report.add("needless-key", (*loc, key), kind=alarm.kind, key=key)
    if alarm.kind in ("rate", "deviation") and alarm.limit is not None and alarm.limit <= 0:
        report.add("limit-not-positive", (*loc, "limit"), kind=alarm.kind)
    if alarm.kind == "stale" and placed is not None and not definitions.stale_after(placed.part):
        report.add("stale-alarm-never", loc)


def _check_states(report: Report, alarm: AlarmPart, loc: Loc, placed: PlacedPoint) -> None:
    states = placed.part.states
    for index, state in enumerate(alarm.states or ()):
        try:
            definitions.state_number(state, placed.part)
        except KeyError:
            choices = ", ".join(f"{number} ({name})" for number, name in states.items()) or "states: {0: …}"
            report.add("unknown-state", (*loc, "states", index), value=state, choices=choices)


def _known_point(report: Report, reference: str, unit_path: str, loc: Loc) -> None:
    if definitions.resolve(reference, unit_path, report.points) is None:
        report.add("unknown-point", loc, value=reference, **guess(reference, report.points))


def _check_expression(report: Report, text: str | None, unit_path: str, loc: Loc) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        names = point_names(text)
    except InvalidInputError as error:
        reason = f"{error.where}: {error.message}" if error.where else error.message
        report.add("bad-expression", loc, reason=reason, hint=error.fix, hint_zh=error.fix)
        return ()
    for name in names:
        _known_point(report, name, unit_path, loc)
    return names

"""Warnings, models and places as the console's script gets them: names in the page's language, what one may do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from anlan.core.actor import Permission
from anlan.core.errors import AnlanError
from anlan.core.events import WarningState
from anlan.core.time import SECOND
from anlan.warn.features.library import library
from anlan.warn.features.specs import FeatureSpec
from anlan.warn.model import Contribution, WarningModel, WarningRow
from anlan.warn.models.library import built_in
from anlan.warn.risk.library import models_of
from anlan.warn.warnings.machine import TABLE, Guard, Who
from anlan.web.shell import View

INHERENT = "inherent"
VERBS = ("answer", "confirm", "dismiss", "close")
GRADES = {"red": 1, "orange": 2, "yellow": 3, "blue": 4}
OUTCOME_TONES = {"hit": "", "averted": "", "late": "warn", "false": "warn"}


@cache
def _models() -> dict[str, WarningModel]:
    return {model.id: model for model in built_in()}


def model_name(view: View, identity: str, model: WarningModel | None = None) -> str:
    """Return a model's name in the page's language, its id where it has none."""
    known = model or _models().get(identity)
    if known is None:
        return identity
    return (known.name if view.zh else known.name_en) or known.name or identity


def feature_of(name: str) -> FeatureSpec | None:
    """Return a feature of the packaged library."""
    return library().features.get(name)


@cache
def _terms(packs: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    return {term.id: (term.zh, term.en) for model in models_of(packs) for term in model.terms}


def term_name(view: View, identity: str) -> str:
    """Return what a term of a risk index is called; empty when no risk model of the site has it."""
    plant = view.context.plant.plant
    try:
        named = _terms(tuple(plant.packs)) if plant is not None else {}
    except AnlanError:
        named = {}
    pair = named.get(identity, ("", ""))
    return pair[0] if view.zh else pair[1]


def place_name(view: View, path: str) -> str:
    """Return the name of a point, unit or place; the site's for the empty path."""
    plant = view.context.plant
    if not path:
        return view.named(plant.plant.site) if plant.plant is not None else ""
    point = plant.by_path.get(path)
    if point is not None:
        return view.named(point)
    if plant.plant is not None:
        unit = next((unit for unit in plant.plant.units if unit.path == path), None)
        place = next((place for place in plant.plant.places if place.path == path), None)
        if unit is not None or place is not None:
            return view.named(unit or place)
    return path.rpartition("/")[2]


def full_place(view: View, path: str) -> str:
    """Return unit and point of a path in words."""
    if path in view.context.plant.by_path:
        return f"{place_name(view, path.rpartition('/')[0])} · {place_name(view, path)}"
    return place_name(view, path)


def alarm_name(view: View, alarm: str, *, unit: bool = False) -> str:
    """Return what an alarm is called: its point and kind, its unit first when asked for."""
    plant = view.context.plant
    definition = plant.alarms.get(alarm)
    if definition is None:
        return alarm
    path = plant.path_of_alarm(alarm)
    place = full_place(view, path) if unit else place_name(view, path)
    return f"{place} {view.t(f'kind.{definition.kind}')}"


def clock(view: View, time: int, form: str = "%m-%d %H:%M:%S") -> str:
    """Return a moment (µs UTC) in the site's time zone; a dash for none."""
    plant = view.context.plant.plant
    zone = ZoneInfo(plant.site.timezone if plant is not None else "UTC")
    return datetime.fromtimestamp(time / SECOND, zone).strftime(form) if time else "–"


def by_gravity(grades: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return thresholds by the name of their grade, red first."""
    return [(name, grades[name]) for name in GRADES if name in grades]


def span(duration: int) -> str:
    """Return a duration (µs) in few signs."""
    minutes = duration / SECOND / 60
    if minutes < 2:
        return f"{duration / SECOND:.0f} s"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} d"


def contributions(view: View, items: Iterable[Contribution]) -> list[dict[str, Any]]:
    """Return contributions with what people call them; points carry their number, features their id."""
    return [_contribution(view, item) for item in items]


def _contribution(view: View, item: Contribution) -> dict[str, Any]:
    point = view.context.plant.by_path.get(item.name)
    spec = feature_of(item.name) if point is None else None
    label, sub, number = item.name.rpartition("/")[2], item.name, 0
    if point is not None:
        label, sub, number = view.named(point), point.tag, point.number
    elif spec is not None:
        label = (spec.zh if view.zh else spec.en) or spec.id
    elif "/" in item.name:
        label = place_name(view, item.name)
    elif item.name == INHERENT:
        label = view.t(f"termkind.{INHERENT}")
    else:
        label = term_name(view, item.name) or item.name
    return {
        "name": item.name,
        "label": label,
        "sub": sub,
        "number": number,
        "feature": spec.id if spec is not None else "",
        "share": round(item.share, 4),
        "value": item.value,
        "expected": item.expected,
        "unit": "" if item.unit == "1" else item.unit,
    }


def verbs(view: View, row: WarningRow) -> dict[str, str]:
    """Return what a person may do with a warning by verb, with the reason where this one may not; else empty."""
    if row.shadow:
        return {}
    may = view.actor.may(Permission.JUDGE_WARNING, row.path)
    found = {}
    for arrow in TABLE:
        if arrow.who is not Who.PERSON or arrow.before != row.state:
            continue
        off = "" if may else view.t("warn.may_not_judge")
        if not off and arrow.guard is Guard.NEW_ANSWER and view.actor.user in row.answers:
            off = view.t("warn.answered_already")
        found[arrow.arrow.value] = off
    return found


def warning_row(view: View, row: WarningRow) -> dict[str, Any]:
    """Return one warning for the list, the card and the detail."""
    t = view.t
    point = view.context.plant.by_path.get(row.path)
    over = row.state in (WarningState.CLOSED, WarningState.SCORED)
    outcome = {"text": t(f"outcome.{row.outcome}"), "tone": OUTCOME_TONES[row.outcome]} if row.outcome else None
    return {
        "id": row.id,
        "path": row.path,
        "point": point.number if point is not None else 0,
        "place": full_place(view, row.path),
        "grade": {"g": int(row.grade), "hollow": not row.active, "blink": _wants_answer(row)},
        "worst": int(row.worst),
        "text": (row.zh if view.zh else row.en) or row.zh or row.en,
        "action": (row.action_zh if view.zh else row.action_en) or row.action_zh,
        "lead": None if over else {"until": row.expected, "target": row.target, "on": row.active},
        "horizon": row.horizon,
        "target": alarm_name(view, row.target) if row.target else "",
        "state": {"text": t(f"wstate.{row.state}"), "tone": "" if row.state == WarningState.CONFIRMED else "dim"},
        "over": over,
        "active": row.active,
        "shadow": row.shadow,
        "model": {"href": f"/models?id={row.model}", "text": model_name(view, row.model)},
        "version": row.version,
        "models": [model_name(view, name) for name in row.models],
        "score": row.score,
        "p": row.p_value,
        "answers": f"{len(row.answers)}/{row.need}" if row.need else (str(len(row.answers)) if row.answers else "–"),
        "who": list(row.answers),
        "need": row.need,
        "step": row.step,
        "next": row.next_step,
        "raised": row.raised,
        "changed": row.changed,
        "closed": row.closed,
        "last": {"who": row.who, "comment": row.comment},
        "comment": row.comment,
        "outcome": outcome,
        "contributions": contributions(view, row.contributions),
        "verbs": verbs(view, row),
    }


def _wants_answer(row: WarningRow) -> bool:
    return row.active and row.state is WarningState.RAISED and not row.answers and int(row.grade) == 1

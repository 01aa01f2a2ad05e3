"""The live risk index: a pure function of the plant, its risk models and the facts of one moment.

Index of a unit: the inherent floor plus what its terms add, at most 100. A term takes its worst state whole and a
stated share of each further one, up to its cap. Nothing is subtracted, so a worse state never lowers the index.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from anlan.core.events import MAX_CAUSES, RiskChange
from anlan.plant.model import Plant
from anlan.warn.model import RiskNode, RiskTerm
from anlan.warn.risk.bind import Binder, BoundTerm, BoundUnit, barrier_name, matches
from anlan.warn.risk.model import (
    ActiveAlarm,
    BarrierState,
    FeatureGrade,
    HeadCount,
    OpenWarning,
    RiskFacts,
    RiskModel,
    StandingBypass,
    TermKind,
    Weather,
    WorkInProgress,
)
from anlan.warn.risk.rollup import colour_of, place_node
from anlan.warn.risk.terms import Hit, level, make_term

_K = TypeVar("_K")
_V = TypeVar("_V")
_PRIORITY = {1: "critical", 2: "high", 3: "medium", 4: "low"}
_GRADE = {1: "red", 2: "orange", 3: "yellow", 4: "blue"}


_Hits = dict[tuple[int, str], tuple[BoundTerm, list[Hit]]]
_Matches = list[tuple[int, BoundTerm, float]]
_MOST_KEPT = 200_000


@dataclass(slots=True)
class _Base:
    """What of a unit's node no fact changes."""

    bound: BoundUnit
    node: RiskNode
    terms: list[RiskTerm] = field(default_factory=list)


class RiskEngine:
    """Risk of every place of a plant.

    Args:
        plant: the compiled plant.
        models: from ``library.models_of``, the more special ones first; a unit takes the first that is for it.
    """

    def __init__(self, plant: Plant, models: Sequence[RiskModel]) -> None:
        self.plant = plant
        self.bound = Binder(plant, models).bind()
        self._at: dict[str, list[int]] = {"": list(range(len(self.bound)))}
        for number, bound in enumerate(self.bound):
            enterprise, _, rest = bound.unit.path.partition("/")
            for scope in (enterprise, f"{enterprise}/{rest.partition('/')[0]}", bound.unit.path):
                self._at.setdefault(scope, []).append(number)
        self._points = plant.point_by_path()
        self._base = [_base(bound) for bound in self.bound]
        # What a fact matches depends on the plant alone, and the same facts come again every few seconds.
        self._alarm_terms: dict[tuple[str, str, int], _Matches] = {}
        self._named_terms: dict[tuple[TermKind, str, str, tuple[str, ...]], _Matches] = {}
        self._numbered_terms: dict[tuple[TermKind, str, str], list[tuple[int, BoundTerm]]] = {}

    @property
    def unbound(self) -> tuple[str, ...]:
        """Units that no model is for."""
        known = {bound.unit.path for bound in self.bound}
        return tuple(unit.path for unit in self.plant.units if unit.path not in known)

    def evaluate(self, facts: RiskFacts, time: int) -> tuple[RiskNode, ...]:
        """Return the risk of every place, parents before children.

        Args:
            facts: what stands at ``time``.
            time: µs UTC.
        """
        hits: _Hits = {}
        self._alarms(hits, facts.alarms, time)
        self._graded(hits, TermKind.WARNING, facts.warnings)
        self._graded(hits, TermKind.FEATURE, facts.features)
        self._barriers(hits, facts.barriers)
        self._bypasses(hits, facts.bypasses, time)
        for item in facts.calibrations:
            name = "safety" if item.safety else "ordinary"
            label = item.path.rpartition("/")[2]
            self._named(hits, TermKind.CALIBRATION, item.path, (name,), Hit(0, label, label, item.expires))
        self._exposure(hits, facts.presence)
        self._work(hits, facts.work)
        self._weather(hits, facts.weather)
        found: dict[int, list[RiskTerm]] = {}
        made: dict[tuple[int, int], RiskTerm] = {}
        for (number, _), (bound, states) in hits.items():
            key = (id(bound.term), id(states[0]))
            term = made.get(key) if len(states) == 1 else None
            if term is None:
                term = make_term(bound, states)
                if len(states) == 1:
                    made[key] = term
            found.setdefault(number, []).append(term)
        units = [_node(base, found.get(number), time) for number, base in enumerate(self._base)]
        return self._places(units, time)

    def _units_at(self, path: str) -> list[int]:
        """Return the units that a path is about: its own, or all below it; of a point its unit."""
        found = self._at.get(path)
        if found is None and path.count("/") > 2:
            found = self._at.get("/".join(path.split("/", 3)[:3]))
        return found or []

    def _named(self, hits: _Hits, kind: TermKind, path: str, steps: tuple[str, ...], hit: Hit, what: str = "") -> None:
        key = (kind, path, what, steps)
        matched = self._named_terms.get(key)
        if matched is None:
            matched = self._kept(self._named_terms)[key] = [
                (number, term, adds)
                for number in self._units_at(path)
                for term in self.bound[number].terms[kind]
                if (adds := max(term.term.steps.get(name, 0.0) for name in steps)) > 0
                and self._counts(term, what, path)
            ]
        shared: dict[float, Hit] = {}
        for number, term, adds in matched:
            state = shared.get(adds)
            if state is None:
                state = shared[adds] = Hit(adds, hit.label, hit.label_en, hit.since, hit.event)
            hits.setdefault((number, term.term.id), (term, []))[1].append(state)

    @staticmethod
    def _kept(matches_: dict[_K, _V]) -> dict[_K, _V]:
        if len(matches_) >= _MOST_KEPT:
            matches_.clear()
        return matches_

    def _counts(self, bound: BoundTerm, what: str, path: str) -> bool:
        term = bound.term
        chosen = term.barriers or term.works or term.features or term.models
        if chosen and what not in chosen:
            return False
        if not term.point_kinds and not term.points:
            return True
        point = self._points.get(path)
        return point is not None and _is_point(bound, point.kind, path)

    def _alarms(self, hits: _Hits, alarms: Iterable[ActiveAlarm], time: int) -> None:
        for alarm in alarms:
            key = (alarm.path, alarm.kind, alarm.priority)
            terms = self._alarm_terms.get(key)
            if terms is None:
                terms = self._kept(self._alarm_terms)[key] = self._terms_of(alarm)
            for number, term, adds in terms:
                if time - alarm.since >= term.standing:
                    label = f"{alarm.path.rpartition('/')[2]} {alarm.kind}"
                    hit = Hit(adds, label, label, alarm.since, alarm.event)
                    hits.setdefault((number, term.term.id), (term, []))[1].append(hit)

    def _terms_of(self, alarm: ActiveAlarm) -> list[tuple[int, BoundTerm, float]]:
        """Return the terms that count an alarm: the first that fits, and every one that asks how long it stood."""
        point = self._points.get(alarm.path)
        found: list[tuple[int, BoundTerm, float]] = []
        for number in self._units_at(alarm.path):
            taken = False
            for term in self.bound[number].terms[TermKind.ALARM]:
                if (taken and not term.standing) or not _is_point(term, point.kind if point else "", alarm.path):
                    continue
                if term.term.alarm_kinds and alarm.kind not in term.term.alarm_kinds:
                    continue
                taken = taken or not term.standing
                steps = term.term.steps
                adds = max(steps.get(alarm.kind, 0.0), steps.get(_PRIORITY.get(alarm.priority, "low"), 0.0))
                if adds > 0:
                    found.append((number, term, adds))
        return found

    def _graded(self, hits: _Hits, kind: TermKind, rows: Iterable[OpenWarning | FeatureGrade]) -> None:
        for row in rows:
            what = row.model if isinstance(row, OpenWarning) else row.feature
            name = _GRADE.get(row.grade, "blue")
            hit = Hit(
                0, f"{what or row.path.rpartition('/')[2]} {_GRADE_ZH[name]}", f"{what} {name}", row.since, row.event
            )
            self._named(hits, kind, row.path, (name,), hit, what)

    def _barriers(self, hits: _Hits, rows: Iterable[BarrierState]) -> None:
        for row in rows:
            if row.state == "healthy":
                continue
            zh, en = barrier_name(row.kind)
            hit = Hit(
                0,
                f"{row.name or zh} {_BARRIER_ZH.get(row.state, row.state)}",
                f"{en} {row.id} {row.state}",
                row.since,
                row.event,
            )
            self._named(hits, TermKind.BARRIER, row.path, (row.state,), hit, row.kind)

    def _bypasses(self, hits: _Hits, rows: Iterable[StandingBypass], time: int) -> None:
        for row in rows:
            steps = ("safety", "ordinary") if row.safety else ("ordinary",)
            if row.expires and time >= row.expires:
                steps = ("expired", *steps)
            label = row.path.rpartition("/")[2]
            self._named(hits, TermKind.BYPASS, row.path, steps, Hit(0, label, label, row.since, row.event))

    def _work(self, hits: _Hits, rows: Iterable[WorkInProgress]) -> None:
        for row in rows:
            steps = ("overdue", "active") if row.overdue else ("active",)
            zh, en = _work_name(row.kind)
            late, late_en = ("(超时)", " (overdue)") if row.overdue else ("", "")
            hit = Hit(0, zh + late, en + late_en, row.since, row.event)
            self._named(hits, TermKind.WORK, row.path, steps, hit, row.kind)

    def _exposure(self, hits: _Hits, rows: Iterable[HeadCount]) -> None:
        """Count heads: of an area the larger of its own count and the sum of counts below it; of an enterprise too."""
        own: dict[str, list[HeadCount]] = {}
        below: dict[str, list[HeadCount]] = {}
        for row in rows:
            parts = row.path.split("/") if row.path else []
            scope = "/".join(parts[:2])
            (own if len(parts) <= 2 else below).setdefault(scope, []).append(row)
        for scope in dict.fromkeys((*own, *below)):
            counts = max((own.get(scope, []), below.get(scope, [])), key=lambda rows: sum(r.count for r in rows))
            heads = sum(row.count for row in counts)
            since = max((row.since for row in counts), default=0)
            event = next((row.event for row in counts if row.event), "")
            self._numbered(hits, TermKind.EXPOSURE, scope, heads, since, event)

    def _weather(self, hits: _Hits, rows: Iterable[Weather]) -> None:
        for row in rows:
            self._numbered(hits, TermKind.ENVIRONMENT, row.path, row.value, row.since, row.event, row.quantity)

    def _numbered(
        self, hits: _Hits, kind: TermKind, path: str, value: float, since: int, event: str, quantity: str = ""
    ) -> None:
        key = (kind, path, quantity)
        matched = self._numbered_terms.get(key)
        if matched is None:
            matched = self._kept(self._numbered_terms)[key] = [
                (number, term)
                for number in self._units_at(path)
                for term in self.bound[number].terms[kind]
                if term.term.quantity == quantity
            ]
        shared: dict[int, Hit] = {}
        for number, term in matched:
            hit = shared.get(id(term.term))
            if hit is None:
                adds = level(term.term.levels, value, below=term.term.below)
                hit = shared[id(term.term)] = Hit(adds, f"{value:g}", f"{value:g}", since, event, value)
            if hit.adds > 0:
                hits.setdefault((number, term.term.id), (term, []))[1].append(hit)

    def _places(self, units: list[RiskNode], time: int) -> tuple[RiskNode, ...]:
        site = self.plant.site
        nodes = [place_node("", "site", site.name, site.name_en, units, time)]
        for place in self.plant.places:
            numbers = self._at.get(place.path, [])
            kind = "area" if "/" in place.path else "enterprise"
            leaves = [units[number] for number in numbers]
            nodes.append(place_node(place.path, kind, place.name, place.name_en, leaves, time))
        nodes += units
        return tuple(nodes)


_GRADE_ZH = {"red": "红色", "orange": "橙色", "yellow": "黄色", "blue": "蓝色"}
_BARRIER_ZH = {"failed": "失效", "bypassed": "旁路", "degraded": "降级", "overdue": "超期未测"}


def _work_name(kind: str) -> tuple[str, str]:
    from anlan.plant.registers.vocabulary import work_kinds

    found = work_kinds().get(kind)
    return (found.zh, found.en) if found else (kind, kind)


def _is_point(bound: BoundTerm, kind: str, path: str) -> bool:
    term = bound.term
    return (not term.point_kinds or kind in term.point_kinds) and matches(path, term.points)


def _base(bound: BoundUnit) -> _Base:
    model, unit, floor = bound.model, bound.unit, bound.floor
    terms = [floor]
    count = len(bound.lacking_points)
    for term in bound.terms[TermKind.LACKING]:
        adds = level(term.term.levels, count, below=False)
        if adds > 0:
            hit = Hit(adds, "、".join(bound.lacking_points), ", ".join(bound.lacking_points), 0, "", float(count))
            terms.append(make_term(term, [hit]))
    terms = sorted(terms, key=lambda term: -term.adds)
    index = _index(terms)
    colour = colour_of(floor.adds, model.bounds)
    node = RiskNode(
        unit.path, "unit", index, colour_of(index, model.bounds), floor.adds,
        name=unit.name, name_en=unit.name_en, inherent_colour=colour, model=model.id, version=model.version,
        terms=tuple(terms), lacking=bound.lacking, leaves=1,
    )  # fmt: skip
    return _Base(bound, node, terms)


def _index(terms: Iterable[RiskTerm]) -> float:
    return min(100.0, round(sum(term.adds for term in terms), 6))


def _node(base: _Base, raised: list[RiskTerm] | None, time: int) -> RiskNode:
    before, model = base.node, base.bound.model
    terms, index, colour = before.terms, before.index, before.colour
    if raised:
        terms = tuple(sorted((*base.terms, *raised), key=lambda term: -term.adds))
        index = _index(terms)
        colour = colour_of(index, model.bounds)
    return RiskNode(
        before.path, "unit", index, colour, before.inherent, before.name, before.name_en, before.inherent_colour,
        before.model, before.version, time, terms, before.lacking, int(colour == 1), 1,
    )  # fmt: skip


def changes(before: Sequence[RiskNode], after: Sequence[RiskNode]) -> tuple[RiskChange, ...]:
    """Return what to tell of places whose colour changed; one not seen before is compared with its inherent colour.

    Args:
        before: nodes of the last evaluation; empty at the start.
        after: nodes of this one.
    """
    known = {node.path: node.colour for node in before}
    found = []
    for node in after:
        was = known.get(node.path, node.inherent_colour)
        if was != node.colour:
            terms = tuple(term.id for term in node.terms)
            found.append(RiskChange(node.path, node.colour, was, node.index, node.inherent, node.model, terms))
    return tuple(found)


def causes_of(node: RiskNode) -> tuple[str, ...]:
    """Return the event ids a node's terms rest on, gravest first, at most ``MAX_CAUSES``: causes of its event."""
    return tuple(dict.fromkeys(cause for term in node.terms for cause in term.causes))[:MAX_CAUSES]

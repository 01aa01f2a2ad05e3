"""Risk models bound to the units of a plant: which model, which floor, which terms, what is lacking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from anlan.core.time import duration_us
from anlan.plant.major_hazard import GRADE_ZH, Grading, HazardGrade, Quantities, installations_of
from anlan.plant.model import Installation, Plant, Point, Unit
from anlan.plant.registers.vocabulary import barrier_kinds
from anlan.warn.model import RiskTerm
from anlan.warn.risk.model import Applies, RiskModel, Term, TermKind, Want

_CLASS = {HazardGrade.FIRST: "first", HazardGrade.SECOND: "second", HazardGrade.THIRD: "third"}
_CLASS_EN = {HazardGrade.FIRST: "Grade 1", HazardGrade.SECOND: "Grade 2", HazardGrade.THIRD: "Grade 3"}


@dataclass(frozen=True, slots=True)
class BoundTerm:
    """A term of a unit's model that is for this unit; ``standing`` in µs."""

    term: Term
    standing: int
    source: str


@dataclass(frozen=True, slots=True)
class BoundUnit:
    """A unit with its model: ``terms`` by kind, the ``floor`` as a term, points and barriers it lacks."""

    unit: Unit
    model: RiskModel
    floor: RiskTerm
    terms: dict[TermKind, tuple[BoundTerm, ...]]
    lacking_points: tuple[str, ...]
    lacking: tuple[str, ...]


class Binder:
    """What binding looks up in the plant."""

    def __init__(self, plant: Plant, models: Sequence[RiskModel]) -> None:
        self.plant = plant
        self.models = models
        self.areas = {place.path: place.kind for place in plant.places}
        self.cas = {item.id: item.cas for item in plant.substances}
        self.quantities = Quantities(plant)
        self.installations = installations_of(plant, self.quantities)
        self.points: dict[str, list[Point]] = {}
        for point in plant.points:
            unit = point.path.rpartition("/")[0]
            for scope in ("", unit.rpartition("/")[0], unit):
                self.points.setdefault(scope, []).append(point)
        self.stock: dict[str, set[str]] = {}
        for item in plant.stock:
            self.stock.setdefault(item.path, set()).update({item.substance, item.cas} - {""})

    def bind(self) -> tuple[BoundUnit, ...]:
        """Return every unit that a model is for, in the plant's order."""
        return tuple(bound for unit in self.plant.units if (bound := self._unit(unit)) is not None)

    def _unit(self, unit: Unit) -> BoundUnit | None:
        model = next((item for item in self.models if any(self._applies(rule, unit) for rule in item.applies)), None)
        if model is None:
            return None
        terms: dict[TermKind, tuple[BoundTerm, ...]] = {}
        for kind in TermKind:
            fit = [term for term in model.terms if term.kind is kind and self.fits(term.units, term.substances, unit)]
            terms[kind] = tuple(BoundTerm(term, _standing(term), source_of(term, model)) for term in fit)
        wants = [want for want in model.wants if self.fits(want.units, want.substances, unit)]
        missing = [want for want in wants if not self._has(want, unit)]
        points = tuple(f"{want.zh} {want.en}" for want in missing if want.point_kinds)
        barriers = tuple(f"屏障未登记:{want.zh} barrier not registered: {want.en}" for want in missing if want.barrier)
        floor, said = self._floor(model, unit)
        return BoundUnit(unit, model, floor, terms, points, (*points, *barriers, *said))

    def _applies(self, applies: Applies, unit: Unit) -> bool:
        area = unit.path.rpartition("/")[0]
        if applies.areas and self.areas.get(area, "") not in applies.areas:
            return False
        if applies.point_kinds and not _kinds(self.points.get(unit.path, ())) & set(applies.point_kinds):
            return False
        return self.fits(applies.units, applies.substances, unit)

    def fits(self, units: Sequence[str], substances: Sequence[str], unit: Unit) -> bool:
        """Return whether a unit is of one of the kinds and holds one of the substances; empty lists fit any."""
        if units and unit.kind not in units:
            return False
        if not substances:
            return True
        held = {unit.substance, self.cas.get(unit.substance, "")} | self.stock.get(unit.path, set())
        return bool(held & set(substances))

    def _has(self, want: Want, unit: Unit) -> bool:
        if want.barrier:
            return any(
                item.kind == want.barrier and (unit.path + "/").startswith(item.path + "/")
                for item in self.plant.barriers
            )
        scope = {"unit": unit.path, "area": unit.path.rpartition("/")[0], "site": ""}[want.within]
        return any(
            point.kind in want.point_kinds and matches(point.path, want.points) for point in self.points.get(scope, ())
        )

    def _floor(self, model: RiskModel, unit: Unit) -> tuple[RiskTerm, tuple[str, ...]]:
        inherent = model.inherent
        found = self.installations.get(unit.path)
        graded = found[1] if found else self.quantities.of_unit(unit)
        if found or any(item.critical for item in graded.holdings):
            name = _class_of(graded)
            source = f"GB 18218-2018 4.3.2 式(2) R = α Σ β q/Q, 表6; 下限 floor: {inherent.source}"
            value, unit_of_value = graded.r, "R"
            zh, en = _graded_text(graded, found[0] if found else None)
        else:
            name = inherent.kinds.get(unit.kind, inherent.otherwise)
            source, value, unit_of_value = f"{inherent.source}: {inherent.why}", None, ""
            zh = f"没有计入 GB 18218 的设计量,按单元类型 {unit.kind or '(未写)'} 定级"
            en = f"holds nothing that GB 18218 counts: class of the unit's kind, {unit.kind or '(none)'}"
        left = graded.left_out
        said = tuple(f"{item.substance}: {item.reason_zh} {item.reason}" for item in left if item.unresolved)
        if left:
            zh += ";不计入:" + "、".join(dict.fromkeys(f"{item.substance}({item.reason_zh})" for item in left))
            en += "; adds nothing: " + ", ".join(dict.fromkeys(f"{item.substance} ({item.reason})" for item in left))
        if graded.assumed and any(item.critical for item in graded.holdings):
            said = (*said, "厂外暴露人数未给出,α 取 1 exposed persons not stated, α taken as 1")
        term = RiskTerm("inherent", TermKind.INHERENT, zh, en, inherent.classes[name], source, value, unit_of_value)
        return term, said


def _class_of(graded: Grading) -> str:
    if graded.grade is None:
        return "below"
    return _CLASS.get(graded.grade, "fourth")


def _graded_text(graded: Grading, installation: Installation | None) -> tuple[str, str]:
    name = f"{installation.name or installation.id} " if installation else ""
    name_en = f"{installation.name_en or installation.id}: " if installation else ""
    figures = f"S = {graded.s:.4g}, R = {graded.r:.4g}, α = {graded.alpha:g}"
    if graded.grade is None:
        return f"{name}不构成重大危险源({figures})", f"{name_en}no major hazard installation ({figures})"
    grade, grade_en = GRADE_ZH[graded.grade], _CLASS_EN.get(graded.grade, "Grade 4")
    return f"{name}{grade}重大危险源({figures})", f"{name_en}{grade_en} major hazard installation ({figures})"


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Return whether the last part of a path fits one of the patterns; no patterns fit any."""
    name = path.rpartition("/")[2]
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


# How sure a figure of a standard is, as people read it.
_SURE = {"verified": "已核对 checked", "memory_high": "未核原文 unchecked", "memory_low": "待核 doubtful"}


def source_of(term: Term, model: RiskModel) -> str:
    """Return in one line where a term comes from (source, clause, confidence or why) and where its amount does."""
    text = f"{term.source} {term.clause}".strip()
    text = f"{text}: {term.why}" if term.why else f"{text} [{_SURE.get(term.confidence, term.confidence)}]"
    return text if term.source.startswith(model.scale.source) else f"{text}; 加分 amount: {model.scale.source}"


def _standing(term: Term) -> int:
    return duration_us(term.standing) if term.standing else 0


def _kinds(points: Iterable[Point]) -> set[str]:
    return {point.kind for point in points}


def barrier_name(kind: str) -> tuple[str, str]:
    """Return the names of a kind of barrier in both languages."""
    found = barrier_kinds().get(kind)
    return (found.zh, found.en) if found else (kind, kind)

"""Finds the points that each feature takes in each place, or says in words why it cannot run there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache

from anlan.plant.model import FeatureBinding, Plant, Point, Unit
from anlan.warn.features.conversion import conversion
from anlan.warn.features.library import number, substances
from anlan.warn.features.methods import COMMON, METHODS
from anlan.warn.features.specs import FeatureSpec, InputSpec

Reason = tuple[str, str]
"""The same sentence in Chinese and in English."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A point (index in ``Plant.points``) or another bound feature (its index), converted by gain and offset."""

    index: int
    gain: float = 1.0
    offset: float = 0.0
    feature: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """A feature at one place: what each input takes.

    ``constants`` are the inputs that are no points (limits, defaults); ``parameters`` are floats, times in s.
    """

    feature: FeatureSpec
    path: str
    inputs: dict[str, tuple[Reference, ...]]
    constants: dict[str, float]
    parameters: dict[str, float]
    equipment: str = ""


@dataclass
class Bindings:
    """Everything that runs, and for each feature the places where it cannot, with the reason."""

    bound: list[Bound] = field(default_factory=list)
    unbound: dict[str, dict[str, Reason]] = field(default_factory=lambda: defaultdict(dict))


class _Lacking(Exception):  # noqa: N818  # not an error: a reason that the caller keeps
    """Why an input cannot be had; ``ambiguous`` when there is too much of it rather than none."""

    def __init__(self, zh: str, en: str, *, ambiguous: bool = False) -> None:
        super().__init__(en)
        self.reason = (zh, en)
        self.ambiguous = ambiguous


@lru_cache(maxsize=65536)
def fits(name: str, patterns: str) -> bool:
    """Return whether ``name`` fits one of the patterns, joined by ``|``."""
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns.split("|"))


def stem(name: str) -> str:
    """Return a point's id without its number: ``nh3-2`` and ``nh3-3`` are alike."""
    return re.sub(r"[-_.]?\d+$", "", name)


class _Site:
    """The plant, indexed for looking points up."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.units = {unit.path: unit for unit in plant.units}
        self.by_unit: dict[str, list[int]] = defaultdict(list)
        self.by_place: dict[str, list[int]] = defaultdict(list)
        self.names: list[str] = []
        for index, point in enumerate(plant.points):
            unit, _, name = point.path.rpartition("/")
            self.names.append(name)
            self.by_unit[unit].append(index)
            parts = unit.split("/")
            for depth in range(len(parts)):
                self.by_place["/".join(parts[:depth])].append(index)
        self.index = {point.path: index for index, point in enumerate(plant.points)}
        numbers = {point.number: index for index, point in enumerate(plant.points)}
        self.limits = {
            (numbers[alarm.point], alarm.kind): alarm.limit
            for alarm in plant.alarms
            if alarm.limit is not None and alarm.point in numbers and alarm.enabled
        }
        self.cas = {item.id: item.cas for item in plant.substances}
        self.features: dict[str, list[tuple[str, int]]] = defaultdict(list)

    def below(self, unit: str, where: str) -> Sequence[int]:
        """Return the points of the unit, or of the area, enterprise or site around ``unit``."""
        if where == "unit" and unit in self.by_unit:
            return self.by_unit[unit]
        return self.by_place.get(place_of(unit, where), ())


def place_of(path: str, where: str) -> str:
    """Return the place of level ``where`` around ``path``."""
    depth = {"site": 0, "enterprise": 1, "area": 2, "unit": 3}[where]
    return "/".join(path.split("/")[:depth])


def bind(plant: Plant, features: Iterable[FeatureSpec]) -> Bindings:
    """Return where each feature runs in ``plant`` and where it cannot.

    What the site files bind comes first; elsewhere the points of a place must leave no choice. Features that take
    other features come last.
    """
    site = _Site(plant)
    result = Bindings()
    ordered = sorted(features, key=lambda spec: any(item.feature for item in spec.inputs.values()))
    known = {spec.id for spec in ordered}
    for binding in plant.warn.features:
        if binding.feature not in known:
            en = f"there is no feature {binding.feature} (an industry pack the site does not use?)"
            result.unbound[binding.feature][binding.unit] = (f"没有特征 {binding.feature}（所属行业包未启用？）", en)
    for spec in ordered:
        given = {b.unit: b for b in plant.warn.features if b.feature == spec.id}
        before = len(result.bound)
        _places(site, spec, given, result)
        site.features[spec.id] += [(result.bound[n].path, n) for n in range(before, len(result.bound))]
    return result


def _places(site: _Site, spec: FeatureSpec, given: dict[str, FeatureBinding], result: Bindings) -> None:
    if spec.scope == "point":
        for unit in site.by_unit:
            if _is_meant(site, spec, unit):
                _points(site, spec, unit, given.get(unit), result)
        return
    for place in _candidates(site, spec):
        if place not in given and spec.scope == "unit" and not _is_meant(site, spec, place):
            continue
        try:
            result.bound += list(_attempt(site, spec, place, given.get(place)))
        except _Lacking as lack:
            if place in given or lack.ambiguous or _is_near(site, spec, place):
                result.unbound[spec.id][place] = lack.reason


def _candidates(site: _Site, spec: FeatureSpec) -> Iterator[str]:
    if spec.scope == "unit":
        yield from site.by_unit
        return
    yield from dict.fromkeys(place_of(unit, spec.scope) for unit in site.by_unit)


def _is_meant(site: _Site, spec: FeatureSpec, unit: str) -> bool:
    found = site.units.get(unit)
    kind = found.kind if found is not None else ""
    return not spec.of or kind == "" or fits(kind, spec.of)  # a unit that says no kind goes by its points


def _is_near(site: _Site, spec: FeatureSpec, place: str) -> bool:
    """Return whether somebody would expect the feature here: the unit is of its kind, or most inputs are there."""
    if spec.scope != "unit":
        return False
    unit = site.units.get(place)
    if spec.of and unit is not None and unit.kind:
        return True
    wanted = [item for item in spec.inputs.values() if not item.optional and item.where == "unit" and item.kind]
    there = [item for item in wanted if _matching(site, item, site.by_unit[place])]
    return 2 * len(there) > len(wanted) > 1


def _attempt(site: _Site, spec: FeatureSpec, place: str, given: FeatureBinding | None) -> Iterator[Bound]:
    """Bind a place as a whole or, where it holds several machines, each machine by its equipment."""
    try:
        yield _bound(site, spec, place, given, None)
    except _Lacking as lack:
        if not lack.ambiguous or spec.scope != "unit" or given is not None:
            raise
        machines = dict.fromkeys(site.plant.points[index].equipment for index in site.by_unit[place])
        found = []
        for machine in machines:
            try:
                found.append(_bound(site, spec, place, None, machine))
            except _Lacking:
                continue
        if not machines or not found or "" in machines:
            raise
        yield from found


def _points(site: _Site, spec: FeatureSpec, unit: str, given: FeatureBinding | None, result: Bindings) -> None:
    for index in _matching(site, spec.inputs["self"], site.by_unit[unit]):
        path = site.plant.points[index].path
        try:
            result.bound.append(_bound(site, spec, unit, given, None, index))
        except _Lacking as lack:
            if not any(item.like for item in spec.inputs.values()):  # to have no twin is no lack
                result.unbound[spec.id][path] = lack.reason


def _matching(site: _Site, item: InputSpec, candidates: Iterable[int]) -> list[int]:
    found = []
    for index in candidates:
        point = site.plant.points[index]
        if item.kind and point.kind not in item.kind.split("|"):
            continue
        if not fits(site.names[index], item.match) or (item.exclude and fits(site.names[index], item.exclude)):
            continue
        if item.of and not _of_kind(site.units.get(point.path.rpartition("/")[0]), item.of):
            continue
        if conversion(point.unit, item.unit) is not None:
            found.append(index)
    return found


def _of_kind(unit: Unit | None, patterns: str) -> bool:
    return unit is not None and fits(unit.kind, patterns)


def _bound(
    site: _Site,
    spec: FeatureSpec,
    place: str,
    given: FeatureBinding | None,
    machine: str | None,
    own: int | None = None,
) -> Bound:
    inputs: dict[str, tuple[Reference, ...]] = {}
    constants: dict[str, float] = {}
    points = _given_points(site, spec, given)
    if own is not None:
        points["self"] = own
    for name, item in spec.inputs.items():
        if item.limit or item.range or item.same:
            continue
        try:
            inputs[name] = _references(site, name, item, place, points, machine)
        except _Lacking:
            if not item.optional:
                raise
            constants[name] = item.default
    for name, item in spec.inputs.items():
        if item.same:
            inputs[name] = tuple(_reference(site, ref.index, item) for ref in inputs[item.same])
        elif item.limit or item.range:
            constants[name] = _limit(site, name, item, inputs)
    parameters = _parameters(site, spec, place, given)
    path = place if own is None else site.plant.points[own].path
    return Bound(spec, path, inputs, constants, parameters, machine or "")


def _given_points(site: _Site, spec: FeatureSpec, given: FeatureBinding | None) -> dict[str, int]:
    """Return the points that the site file names, by input."""
    points: dict[str, int] = {}
    for name, path in (given.inputs if given is not None else {}).items():
        item = spec.inputs.get(name)
        if item is None:
            known = ", ".join(spec.inputs)
            raise _Lacking(
                f"站点文件绑定了不存在的输入 {name}（可用：{known}）",
                f"the site file binds input {name}; {spec.id} has {known}",
            )
        index = site.index.get(path)
        if index is None:
            raise _Lacking(f"输入 {name}：没有测点 {path}", f"input {name}: there is no point {path}")
        unit = site.plant.points[index].unit
        if item.unit and conversion(unit, item.unit) is None:
            raise _Lacking(
                f"输入 {name}：{path} 的单位是 {unit}，需要 {item.unit}",
                f"input {name}: {path} is in {unit or 'no unit'}, {item.unit} is needed",
            )
        points[name] = index
    return points


def _references(
    site: _Site, name: str, item: InputSpec, place: str, points: dict[str, int], machine: str | None
) -> tuple[Reference, ...]:
    if item.feature:
        around = place_of(place, item.where)
        found = [n for path, n in site.features[item.feature] if _inside(path, around)]
        if len(found) < item.least:
            en = f"input {name}: feature {item.feature} runs at {len(found)} points here, {item.least} are needed"
            raise _Lacking(f"输入 {name}：特征 {item.feature} 在此处仅有 {len(found)} 处，需要 {item.least} 处", en)
        return tuple(Reference(n, feature=True) for n in found)
    if name in points:
        return (_reference(site, points[name], item),)
    found = _matching(site, item, _searched(site, item, place, points, machine))
    if item.many:
        if len(found) < item.least:
            en = f"input {name}: {len(found)} points of {_words(item)} here, {item.least} are needed"
            raise _Lacking(f"输入 {name}：此处只有 {len(found)} 个{_words_zh(item)}测点，需要 {item.least} 个", en)
        return tuple(_reference(site, index, item) for index in found)
    return (_reference(site, _one(site, name, item, found), item),)


def _searched(site: _Site, item: InputSpec, place: str, points: dict[str, int], machine: str | None) -> Iterable[int]:
    around = site.below(place, item.where)
    if item.like:
        own = points[item.like]
        point, name = site.plant.points[own], stem(site.names[own])
        return [
            n
            for n in around
            if n != own
            and site.plant.points[n].kind == point.kind
            and site.plant.points[n].unit == point.unit
            and stem(site.names[n]) == name
        ]
    if machine is not None and item.where == "unit":
        return [n for n in around if site.plant.points[n].equipment == machine]
    return around


def _inside(path: str, place: str) -> bool:
    return not place or path == place or path.startswith(place + "/")


def _reference(site: _Site, index: int, item: InputSpec) -> Reference:
    if item.take in ("count", "raised", "active", "bad", "age"):
        return Reference(index)
    gain, offset = conversion(site.plant.points[index].unit, item.unit) or (1.0, 0.0)
    return Reference(index, gain, offset)


def _one(site: _Site, name: str, item: InputSpec, found: list[int]) -> int:
    """Return the one point meant: of several, the first pattern that fits exactly one decides."""
    if len(found) == 1:
        return found[0]
    if not found:
        raise _Lacking(f"输入 {name}：此处没有{_words_zh(item)}测点", f"input {name}: no point of {_words(item)} here")
    for pattern in item.match.split("|"):
        fitting = [index for index in found if fits(site.names[index], pattern)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            found = fitting
            break
    shown = "、".join(site.names[index] for index in found[:4])
    raise _Lacking(
        f"输入 {name}：{shown} 都符合，请在 site 文件 warn.features 中指定",
        f"input {name}: {shown} all fit; name one under warn.features of the site file",
        ambiguous=True,
    )


def _words(item: InputSpec) -> str:
    kind = item.kind.replace("|", " or ") or "any kind"
    match = "" if item.match == "*" else f" named {item.match.replace('|', ' or ')}"
    return kind + match + (f" in {item.unit}" if item.unit else "")


def _words_zh(item: InputSpec) -> str:
    match = "" if item.match == "*" else f"（名称 {item.match}）"
    return f" {item.kind.replace('|', ' 或 ') or '任何类型'}{match} "


def _limit(site: _Site, name: str, item: InputSpec, inputs: dict[str, tuple[Reference, ...]]) -> float:
    if item.at not in inputs:
        if item.optional:
            return item.default
        raise _Lacking(f"输入 {name}：没有输入 {item.at}", f"input {name}: input {item.at} is not here")
    reference = inputs[item.at][0]
    if item.range:
        return _range(site, name, item, reference)
    for kind in item.limit.split("|"):
        limit = site.limits.get((reference.index, kind))
        if limit is not None:
            return float(limit * reference.gain + reference.offset)
    if item.optional:
        return item.default
    path = site.plant.points[reference.index].path
    kinds = item.limit.replace("|", " 或 ")
    raise _Lacking(
        f"输入 {name}：{path} 没有 {kinds} 报警限值",
        f"input {name}: {path} has no {item.limit.replace('|', ' or ')} alarm to take the limit from",
    )


def _range(site: _Site, name: str, item: InputSpec, reference: Reference) -> float:
    point = site.plant.points[reference.index]
    end = point.low if item.range == "low" else point.high
    if end is not None:
        return end * reference.gain + reference.offset
    if item.optional:
        return item.default
    raise _Lacking(
        f"输入 {name}：{point.path} 没有量程", f"input {name}: {point.path} states no measuring range (low, high)"
    )


def _parameters(site: _Site, spec: FeatureSpec, place: str, given: FeatureBinding | None) -> dict[str, float]:
    values: dict[str, float | str] = dict(COMMON)
    values |= {k: v for k, v in METHODS[spec.builtin].parameters.items() if v is not None}
    values |= spec.parameters
    if given is not None:
        for name in given.parameters:
            if name not in values:
                known = ", ".join(values)
                raise _Lacking(
                    f"站点文件给出了不存在的参数 {name}（可用：{known}）",
                    f"the site file gives parameter {name}; {spec.id} has {known}",
                )
        values |= given.parameters
    return {
        name: _fact(site, place, name, value) if isinstance(value, str) and value.startswith("@") else number(value)
        for name, value in values.items()
    }


def _fact(site: _Site, place: str, name: str, value: str) -> float:
    unit = site.units.get(place_of(place, "unit"))
    if value == "@inventory":
        if unit is None or unit.inventory is None:
            raise _Lacking(
                f"参数 {name}：单元没有设计储量", f"parameter {name}: the unit states no inventory (inventory: … t)"
            )
        return unit.inventory * (0.001 if unit.inventory_unit == "kg" else 1.0)
    cas = site.cas.get(unit.substance, unit.substance) if unit is not None else ""
    found = substances().get(cas)
    if found is None:
        known = unit.substance if unit is not None and unit.substance else "none"
        raise _Lacking(
            f"参数 {name}：物质 {known} 没有物性数据，可在 warn.features 的 parameters 中给出",
            f"parameter {name}: no properties of substance {known}; give it under parameters of warn.features",
        )
    return found[value[1:]]


def point_paths(plant: Plant, bound: Sequence[Bound], one: Bound) -> dict[str, str]:
    """Return the inputs of a bound feature by name, each as point paths joined by `` + ``."""
    shown: dict[str, str] = {}
    for name, references in one.inputs.items():
        paths = [_path(plant.points, bound, reference) for reference in references[:8]]
        more = f" … ({len(references)})" if len(references) > 8 else ""
        shown[name] = " + ".join(paths) + more
    return shown


def _path(points: Sequence[Point], bound: Sequence[Bound], reference: Reference) -> str:
    return bound[reference.index].path if reference.feature else points[reference.index].path

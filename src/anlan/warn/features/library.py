"""Reads feature files, and says by file, line and field what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from anlan.core.errors import InvalidInputError
from anlan.core.severity import WarningGrade
from anlan.core.time import SECOND, duration_us
from anlan.core.units import kinds
from anlan.plant.yaml_source import Mapping, Sequence, parse
from anlan.warn.features.formula import compile_formula
from anlan.warn.features.methods import COMMON, METHODS
from anlan.warn.features.specs import CADENCES, COMBINES, DIRECTIONS, PLACES, SCOPES, TAKES, FeatureSpec, InputSpec

UNIT_FACTS = ("@inventory", "@boiling", "@evaporation")
"""What a parameter may take from the unit: its design inventory in t, and of its substance the normal boiling point (K)
and the molar enthalpy of evaporation (J/mol)."""

_Found = tuple[str, str]


class FeatureFileError(InvalidInputError):
    """A feature file with mistakes; ``problems`` holds each as a sentence with file, line and field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems), where="", fix="")
        self.problems = problems


def number(value: float | str) -> float:
    """Return a parameter as a float: a number, or a duration such as ``30 min`` in seconds."""
    return float(value) if isinstance(value, int | float) else duration_us(value) / SECOND


def read(text: str, file: str, pack: str = "") -> tuple[FeatureSpec, ...]:
    """Return the features of a feature file.

    Args:
        text: the YAML. file: its name, for the errors. pack: industry pack it belongs to.

    Raises:
        FeatureFileError: every mistake found, each with file, line and field.
    """
    data, problems = parse(text, file)
    found = [f"{p.file}:{p.line}: {p.code} {' '.join(p.params.values())}".rstrip() for p in problems]
    if not isinstance(data, Sequence):
        raise FeatureFileError(found or [f"{file}:1: a feature file is a list of features (begin with '- id: …')"])
    specs: list[FeatureSpec] = []
    for item, (_, line) in zip(data, data.marks, strict=True):
        try:
            spec = msgspec.convert(item, FeatureSpec, strict=False)  # the reader keeps priorities as text
        except msgspec.ValidationError as error:
            found.append(_misfit(error, item, file, line))
            continue
        specs.append(msgspec.structs.replace(spec, pack=pack))
        found += [_placed(item, file, line, spec.id, where, what) for where, what in mistakes(spec)]
    names = [spec.id for spec in specs]
    found += [f"{file}: feature {name} is defined twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if found:
        raise FeatureFileError(found)
    return tuple(specs)


def _misfit(error: msgspec.ValidationError, item: Any, file: str, line: int) -> str:
    message, _, path = str(error).partition(" - at `$")
    where = path.strip("`").lstrip(".")
    name = item.get("id", "?") if isinstance(item, Mapping) else "?"
    return _placed(item, file, line, str(name), where, message)


def _placed(item: Any, file: str, line: int, name: str, where: str, what: str) -> str:
    """Return the sentence with the line of the deepest key of ``where`` that the file has."""
    node: Any = item
    for key in where.replace("[", ".").replace("]", "").split("."):
        if isinstance(node, Mapping) and key in node.lines:
            line, node = node.lines[key], node.get(key)
        elif isinstance(node, Sequence) and key.isdigit() and int(key) < len(node):
            line, node = node.marks[int(key)][1], node[int(key)]
    field = f", {where}" if where else ""
    return f"{file}:{line}: feature {name}{field}: {what}"


def mistakes(spec: FeatureSpec) -> list[_Found]:
    """Return what is wrong with a feature, each as (field, what is wrong and what would be right)."""
    found: list[_Found] = [*_choices(spec), *_formulas(spec), *_parameters(spec), *_grades(spec)]
    for name, item in spec.inputs.items():
        found += [(f"inputs.{name}{'.' if where else ''}{where}", what) for where, what in _input(spec, name, item)]
    if not spec.tests:
        found.append(("tests", "a feature needs at least one test vector"))
    for n, vector in enumerate(spec.tests):
        unknown = sorted({name.split("#")[0] for name in vector.series} - set(spec.inputs))
        if unknown:
            found.append((f"tests[{n}].series", f"no input {', '.join(unknown)}; inputs are {', '.join(spec.inputs)}"))
        if not vector.expect:
            found.append((f"tests[{n}].expect", "a test vector must expect something"))
    return found


def _one_of(where: str, value: object, allowed: Iterable[object]) -> list[_Found]:
    if value in allowed:
        return []
    return [(where, f"{value!r} is none of {', '.join(str(item) for item in allowed)}")]


def _choices(spec: FeatureSpec) -> list[_Found]:
    found = _one_of("scope", spec.scope, SCOPES) + _one_of("direction", spec.direction, DIRECTIONS)
    found += _one_of("step", spec.step, CADENCES) + _one_of("builtin", spec.builtin, METHODS)
    try:
        number(spec.window)
    except InvalidInputError as error:
        found.append(("window", str(error)))
    if spec.scope == "point" and "self" not in spec.inputs:
        found.append(("inputs", "a feature of scope point needs an input named self"))
    if spec.low is not None and spec.high is not None and spec.low >= spec.high:
        found.append(("low", f"the validity range is empty: {spec.low} is not below {spec.high}"))
    found += [
        (name, "must not be empty")
        for name in ("zh", "en", "meaning_zh", "meaning_en", "source", "unit", "action_zh", "action_en")
        if not getattr(spec, name).strip()
    ]
    return found


def _formulas(spec: FeatureSpec) -> list[_Found]:
    found: list[_Found] = []
    known = {*spec.inputs, *spec.parameters}
    for where in ("expression", "against", "when"):
        text = getattr(spec, where)
        if not text:
            continue
        try:
            formula = compile_formula(text)
        except InvalidInputError as error:
            found.append((where, str(error)))
            continue
        unknown = [name for name in formula.names if name not in known]
        if unknown:
            found.append((where, f"{', '.join(unknown)} is neither an input nor a parameter of this feature"))
    method = METHODS.get(spec.builtin)
    if method is not None and method.two != bool(spec.against):
        need = "needs 'against' (a second formula)" if method.two else "takes no 'against'"
        found.append(("against", f"builtin {spec.builtin} {need}"))
    return found


def _parameters(spec: FeatureSpec) -> list[_Found]:
    found: list[_Found] = []
    method = METHODS.get(spec.builtin)
    for name, value in spec.parameters.items():
        if isinstance(value, str) and value.startswith("@"):
            found += _one_of(f"parameters.{name}", value, UNIT_FACTS)
            continue
        try:
            number(value)
        except InvalidInputError as error:
            found.append((f"parameters.{name}", str(error)))
    used = " ".join((spec.expression, spec.against, spec.when))
    if method is not None:
        for name, default in method.parameters.items():
            if default is None and name not in spec.parameters:
                found.append(("parameters", f"builtin {spec.builtin} needs parameter {name}"))
        known = {*method.parameters, *COMMON}
        found += [
            (f"parameters.{name}", f"builtin {spec.builtin} and the formulas use no {name}")
            for name in spec.parameters
            if name not in known and name not in used
        ]
    return found


def _grades(spec: FeatureSpec) -> list[_Found]:
    names = {grade.name.lower() for grade in WarningGrade}
    found = [
        ("grades", f"{name!r} is no grade; grades are {', '.join(names)}") for name in spec.grades if name not in names
    ]
    ordered = [spec.grades[name] for name in ("blue", "yellow", "orange", "red") if name in spec.grades]
    rising = sorted(ordered) if spec.direction != "below" else sorted(ordered, reverse=True)
    if ordered != rising:
        found.append(("grades", f"thresholds must get harder from blue to red in direction {spec.direction!r}"))
    return found


def _input(spec: FeatureSpec, name: str, item: InputSpec) -> list[_Found]:
    found = _one_of("take", item.take, TAKES) + _one_of("combine", item.combine, COMBINES)
    found += _one_of("where", item.where, PLACES)
    for kind in item.kind.split("|") if item.kind else ():
        found += _one_of("kind", kind, kinds())
    if (item.limit or item.range) and (item.at not in spec.inputs or spec.inputs[item.at].many):
        found.append(("at", "a limit or range needs 'at': the name of a point input of this feature"))
    if item.range:
        found += _one_of("range", item.range, ("low", "high"))
    if item.same and (item.same not in spec.inputs or spec.inputs[item.same].same):
        found.append(("same", f"no input {item.same!r} that takes points itself"))
    if item.like and item.like not in spec.inputs:
        found.append(("like", f"no input {item.like!r}"))
    if not (item.kind or item.limit or item.range or item.same or item.like or item.feature or item.match != "*"):
        found.append(("", "names neither a kind of point, nor a limit, nor a feature"))
    return found


class Library:
    """The features that are known, by id.

    Args:
        features: general ones and those of packs; ids are unique.
    """

    def __init__(self, features: Iterable[FeatureSpec]) -> None:
        self.features: dict[str, FeatureSpec] = {}
        for spec in features:
            if spec.id in self.features:
                raise InvalidInputError(f"feature {spec.id} is defined twice", fix="give one of them another id")
            self.features[spec.id] = spec

    def of(self, packs: Iterable[str]) -> tuple[FeatureSpec, ...]:
        """Return the general features and those of ``packs``."""
        wanted = {"", *packs}
        return tuple(spec for spec in self.features.values() if spec.pack in wanted)


def read_file(path: Path, pack: str = "") -> tuple[FeatureSpec, ...]:
    """Return the features of the file at ``path``; raises like ``read``."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FeatureFileError([f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"]) from error
    return read(text, str(path), pack)


@cache
def library() -> Library:
    """Return the packaged features: the general ones, and those of every installed industry pack."""
    from importlib.metadata import entry_points

    specs: list[FeatureSpec] = []
    for file in sorted(files("anlan.warn.features").joinpath("data").iterdir(), key=lambda item: item.name):
        if file.name.endswith(".yaml"):
            specs += read(file.read_text(encoding="utf-8"), file.name)
    for entry in sorted(entry_points(group="anlan.packs"), key=lambda item: item.name):
        file = files(entry.value).joinpath("features.yaml")
        if file.is_file():
            specs += read(file.read_text(encoding="utf-8"), f"{entry.name}/features.yaml", entry.name)
    return Library(specs)


@cache
def substances() -> dict[str, dict[str, float]]:
    """Return boiling point (K) and enthalpy of evaporation (J/mol) by CAS number, from ``substances.yaml``."""
    text = files("anlan.warn.features").joinpath("substances.yaml").read_text(encoding="utf-8")
    data, _ = parse(text, "substances.yaml")
    return {row["cas"]: {"boiling": row["boiling"], "evaporation": row["evaporation"]} for row in data["substances"]}

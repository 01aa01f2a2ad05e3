"""Reads risk models and refuses one that could lower an index, or a figure without a source."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import pairwise

import msgspec

from anlan.core.errors import InvalidInputError
from anlan.core.time import duration_us
from anlan.core.units import kinds
from anlan.plant.packs import decode, installed, load_pack_file, located, where
from anlan.plant.registers.vocabulary import barrier_kinds, work_kinds
from anlan.plant.yaml_source import Mapping
from anlan.warn.risk.model import NUMERIC, SEVERITY, Inherent, RiskFile, RiskModel, Step, Term, TermKind, Want

FILE = "risk.yaml"
CLASSES = ("first", "second", "third", "fourth", "below")
CONFIDENCES = ("verified", "memory_high", "memory_low", "judgement")


def models_of(packs: Sequence[str]) -> tuple[RiskModel, ...]:
    """Return the risk models of the packs a site uses, in the site's order, and the general one last.

    Packs that are not installed are skipped: ``anlan check`` says so.

    Raises:
        InvalidInputError: a model file is wrong; file, line and field are named.
    """
    found: list[RiskModel] = []
    for pack in packs:
        root = load_pack_file(pack, FILE) if pack in installed() else None
        if root is not None:
            found += [msgspec.structs.replace(model, pack=pack) for model in read_models(root)]
    text = files("anlan.warn.risk").joinpath("general.yaml").read_text(encoding="utf-8")
    found += read_models(located(text, "warn/risk/general.yaml"))
    seen: set[str] = set()
    for model in found:
        if model.id in seen:
            raise InvalidInputError(f"two risk models are called {model.id!r}", fix="give one another id")
        seen.add(model.id)
    return tuple(found)


def read_models(root: Mapping) -> tuple[RiskModel, ...]:
    """Return the checked models of a located file.

    Raises:
        InvalidInputError: the first thing wrong, with file, line and field.
    """
    models = decode(root, RiskFile).models
    for m, model in enumerate(models):
        _check_model(_Place(root, ("models", m)), model)
    return models


class _Place:
    """A place in the file, to name it in an error."""

    def __init__(self, root: Mapping, steps: tuple[str | int, ...]) -> None:
        self.root = root
        self.steps = steps

    def at(self, *more: str | int) -> _Place:
        return _Place(self.root, (*self.steps, *more))

    def wrong(self, message: str, fix: str) -> InvalidInputError:
        return InvalidInputError(message, where=where(self.root, *self.steps), fix=fix)

    def among(self, values: Iterable[str], known: Iterable[str], what: str) -> None:
        allowed = list(known)
        for n, value in enumerate(values):
            if value not in allowed:
                raise self.at(n).wrong(f"no {what} {value!r}", f"one of {', '.join(allowed)}")


def _check_model(place: _Place, model: RiskModel) -> None:
    bounds = model.bounds
    if not 100 >= bounds.red > bounds.orange > bounds.yellow > 0:
        raise place.at("bounds").wrong("colour bounds are not in order", "100 ≥ red > orange > yellow > 0")
    _check_inherent(place.at("inherent"), model.inherent)
    _check_source(place.at("scale"), model.scale.source, model.scale.confidence, model.scale.why)
    seen: set[str] = set()
    for t, term in enumerate(model.terms):
        here = place.at("terms", t)
        if term.id in seen:
            raise here.at("id").wrong(f"two terms are called {term.id!r}", "give one another id")
        seen.add(term.id)
        _check_source(here, term.source, term.confidence, term.why)
        _check_term(here, term)
    for w, want in enumerate(model.wants):
        _check_want(place.at("wants", w), want)


def _check_inherent(place: _Place, inherent: Inherent) -> None:
    _check_source(place, inherent.source, inherent.confidence, inherent.why)
    if set(inherent.classes) != set(CLASSES):
        raise place.at("classes").wrong("the classes are not complete", f"give {', '.join(CLASSES)}")
    floors = [inherent.classes[name] for name in CLASSES]
    if not (floors == sorted(floors, reverse=True) and floors[-1] >= 0 and floors[0] <= 100):
        raise place.at("classes").wrong("a milder class has a higher index", "100 ≥ first ≥ second ≥ … ≥ below ≥ 0")
    place.at("otherwise").among([inherent.otherwise], CLASSES, "class")
    for kind, name in inherent.kinds.items():
        place.at("kinds", kind).among([name], CLASSES, "class")


def _check_source(place: _Place, source: str, confidence: str, why: str) -> None:
    if not source.strip():
        raise place.at("source").wrong("no source", "name the standard, or write `Anlan, judgement` and why")
    if confidence not in CONFIDENCES:
        raise place.at("confidence").wrong(f"no confidence {confidence!r}", f"one of {', '.join(CONFIDENCES)}")
    judged = source.startswith("Anlan, judgement")
    if judged != (confidence == "judgement") or (judged and not why.strip()):
        raise place.at("confidence").wrong(
            "a judgement of ours is not marked as one", "source `Anlan, judgement`, confidence judgement, and `why`"
        )


def _check_term(place: _Place, term: Term) -> None:
    if term.kind is TermKind.INHERENT:
        raise place.at("kind").wrong("the inherent term is made from `inherent`", "take the term out")
    if not 0 <= term.further <= 1:
        raise place.at("further").wrong(f"further {term.further:g} is no share", "from 0 to 1")
    if not 0 < term.cap <= 100:
        raise place.at("cap").wrong(f"cap {term.cap:g}", "above 0, at most 100")
    if term.kind in NUMERIC:
        _check_levels(place, term)
    else:
        _check_steps(place, term)
    place.at("point_kinds").among(term.point_kinds, kinds(), "kind of point")
    place.at("alarm_kinds").among(term.alarm_kinds, _names(TermKind.ALARM)[4:], "kind of alarm")
    place.at("barriers").among(term.barriers, barrier_kinds(), "kind of barrier")
    place.at("works").among(term.works, work_kinds(), "kind of work")
    if term.kind is TermKind.ENVIRONMENT and not term.quantity:
        raise place.wrong("it names no quantity", "quantity: wind-speed, temperature, rain, lightning …")
    if term.standing:
        try:
            duration_us(term.standing)
        except InvalidInputError as error:
            raise place.at("standing").wrong(error.message, error.fix) from error


def _names(kind: TermKind) -> list[str]:
    return [name for chain in SEVERITY[kind] for name in chain]


def _check_steps(place: _Place, term: Term) -> None:
    chains = SEVERITY[term.kind]
    if term.levels or not term.steps:
        raise place.wrong(f"a term of kind {term.kind} needs steps by name", f"steps of {', '.join(_names(term.kind))}")
    for name, adds in term.steps.items():
        if name not in _names(term.kind):
            raise place.at("steps", name).wrong(f"no step {name!r}", f"one of {', '.join(_names(term.kind))}")
        if not (math.isfinite(adds) and adds >= 0):
            raise place.at("steps", name).wrong(f"it adds {adds:g}", "a number of at least 0: no state lowers risk")
    for chain in chains[:-1] if term.kind is TermKind.ALARM else chains:
        given = [(name, term.steps.get(name, 0.0)) for name in chain]
        if not any(name in term.steps for name in chain):
            continue
        for (worse, more), (milder, less) in pairwise(given):
            if more < less:
                field = worse if worse in term.steps else milder
                raise place.at("steps", field).wrong(
                    f"{worse!r} adds {more:g}, less than the milder {milder!r} with {less:g}",
                    f"{worse} must add at least as much",
                )


def _check_levels(place: _Place, term: Term) -> None:
    if term.steps or not term.levels:
        raise place.wrong(f"a term of kind {term.kind} needs levels", "levels: [{at: …, adds: …}, …]")
    ordered: tuple[Step, ...] = term.levels[::-1] if term.below else term.levels
    ats, adds = [step.at for step in ordered], [step.adds for step in term.levels]
    finite = all(math.isfinite(number) for number in [*ats, *adds])
    if not finite or ats != sorted(set(ats)) or adds != sorted(adds) or adds[0] < 0:
        raise place.at("levels").wrong(
            "the levels do not go from mild to worse", "each level worse than the one before, adding at least as much"
        )


def _check_want(place: _Place, want: Want) -> None:
    if bool(want.point_kinds) == bool(want.barrier):
        raise place.wrong("it wants points or a barrier, one of the two", "give point_kinds or barrier")
    place.at("point_kinds").among(want.point_kinds, kinds(), "kind of point")
    place.at("barrier").among([want.barrier] if want.barrier else [], barrier_kinds(), "kind of barrier")
    place.at("within").among([want.within], ("unit", "area", "site"), "place")

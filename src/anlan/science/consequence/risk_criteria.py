"""Judging risk: GB 36894 baselines by class of target, F-N lines, and which method GB/T 37243 asks for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.risk_model import FnCurve, Protection

CONTOURS = (3e-5, 1e-5, 3e-6, 3e-7)


class Target(StrEnum):
    """Classes of protected targets of GB 36894-2018."""

    HIGH_SENSITIVE = "high-sensitive"
    IMPORTANT = "important"
    GENERAL_1 = "general-1"
    GENERAL_2 = "general-2"
    GENERAL_3 = "general-3"


class Region(StrEnum):
    """Where an F-N curve lies."""

    UNACCEPTABLE = "unacceptable"
    AS_LOW_AS_PRACTICABLE = "alarp"
    ACCEPTABLE = "acceptable"


class Method(StrEnum):
    """How GB/T 37243-2019 has the external safety distance found."""

    CONSEQUENCE = "accident_consequence"
    QRA = "qra"
    STANDARD = "standard_distance"
    BOTH = "max_of_both"


@dataclass(frozen=True, slots=True)
class Place:
    """A protected target: its id, place (m), class, and whether the unit near it is planned (new or altered)."""

    id: str
    x: float
    y: float
    target: Target
    planned: bool = False


@dataclass(frozen=True, slots=True)
class PlaceVerdict:
    """Individual risk (1/a) at a target beside its baseline (1/a), with source and confidence of the baseline."""

    place: Place
    risk: float
    limit: float
    ok: bool
    source: str
    confidence: str
    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class FnVerdict:
    """The region of an F-N curve: its worst point, times over the upper line there, and what to say."""

    region: Region
    deaths: float
    frequency: float
    ratio: float
    source: str
    en: str
    zh: str


@cache
def criteria() -> dict[str, list[dict[str, Any]]]:
    """Return the criteria of ``criteria.yaml``: rows with source and confidence, by topic."""
    import yaml

    text = files("anlan.science.consequence").joinpath("criteria.yaml").read_text(encoding="utf-8")
    rows: dict[str, list[dict[str, Any]]] = yaml.load(text, Loader=yaml.CSafeLoader)
    return rows


def protection(effect: str) -> Protection:
    """Return the factors of AQ/T 3046-2013 table 10 for an effect such as ``toxic``.

    Raises:
        InvalidInputError: no such effect.
    """
    row = find("protection", "effect", effect)
    return Protection(float(row["individual"]), float(row["outdoors"]), float(row["indoors"]))


def find(topic: str, key: str, value: str) -> dict[str, Any]:
    """Return the row of a topic whose ``key`` is ``value``.

    Raises:
        InvalidInputError: there is none.
    """
    rows = criteria()[topic]
    for row in rows:
        if row[key] == value:
            return row
    raise InvalidInputError(f"no {key} {value!r}", where=topic, fix=", ".join(dict.fromkeys(str(r[key]) for r in rows)))


def individual_limit(target: Target, planned: bool) -> tuple[float, str, str]:
    """Return the baseline of individual risk, 1/a, its source and how sure it is (GB 36894-2018 table 2)."""
    row = next(row for row in criteria()["individual"] if target in row["classes"])
    return float(row["planned" if planned else "in_service"]), str(row["source"]), str(row["confidence"])


def general_class(kind: str, **sizes: float) -> Target:
    """Return the class of a general target by its sizes, such as ``people=120`` (GB 36894-2018 table 1).

    Raises:
        InvalidInputError: an unknown kind, or none of the sizes that its class depends on.
    """
    row = find("general", "kind", kind)
    measures: dict[str, list[float | None]] = row["measures"]
    if measures and not any(name in sizes for name in measures):
        raise InvalidInputError(f"a {kind} without size", where="general", fix=" or ".join(measures))
    classes = [int(row["rest"])]
    for name, steps in measures.items():
        size = sizes.get(name, 0.0)
        classes += [number for number, least in enumerate(steps, start=1) if least is not None and size >= least]
    return Target(f"general-{min(classes)}")


def judge_place(place: Place, risk: float) -> PlaceVerdict:
    """Return whether individual risk (1/a) at a target keeps its baseline."""
    limit, source, confidence = individual_limit(place.target, place.planned)
    names = find("targets", "id", place.target)
    ok = risk <= limit
    return PlaceVerdict(
        place, risk, limit, ok, source, confidence,
        en=f"{place.id} ({names['en']}): individual risk {risk:.1e}/a, {'within' if ok else 'above'} the baseline of "
           f"{limit:.0e}/a ({'planned' if place.planned else 'in service'}, {source}).",
        zh=f"{place.id}（{names['zh']}）：个人风险 {risk:.1e}/年，{'未超过' if ok else '超过'}"
           f"{'新建改建扩建' if place.planned else '在役'}装置基准 {limit:.0e}/年（{source}）。",
    )  # fmt: skip


def judge_places(places: Iterable[Place], risks: Iterable[float]) -> tuple[PlaceVerdict, ...]:
    """Return a verdict for each target, those farthest above their baseline first."""
    verdicts = [judge_place(place, risk) for place, risk in zip(places, risks, strict=True)]
    return tuple(sorted(verdicts, key=lambda one: -one.risk / one.limit))


def judge_curve(curve: FnCurve, lines: str = "gb36894") -> FnVerdict:
    """Return where an F-N curve lies: unacceptable if any step within the lines' range of N is above the upper line."""
    row = find("societal", "id", lines)
    a, b = row["upper"]
    inside = (curve.deaths >= row["from"]) & (curve.frequency > 0.0)
    # Lines end at `to`; beyond it the standard has no figure, and going on with the line is the stricter reading.
    deaths, frequency = curve.deaths[inside], curve.frequency[inside]
    if not deaths.size:
        return FnVerdict(Region.ACCEPTABLE, 0.0, 0.0, 0.0, str(row["source"]),
                         "No event kills one person or more.", "没有造成一人及以上死亡的事件。")  # fmt: skip
    ratio = frequency / (a * deaths**b)
    worst = int(np.argmax(ratio))
    lower = row["lower"]
    region = Region.ACCEPTABLE
    if ratio[worst] > 1.0:
        region = Region.UNACCEPTABLE
    elif lower is None or np.any(frequency > lower[0] * deaths ** lower[1]):
        region = Region.AS_LOW_AS_PRACTICABLE
    names = {
        Region.UNACCEPTABLE: ("not acceptable", "不可接受区"),
        Region.AS_LOW_AS_PRACTICABLE: ("to be made as low as practicable", "尽可能降低区"),
        Region.ACCEPTABLE: ("acceptable", "可接受区"),
    }
    n, f, times = float(deaths[worst]), float(frequency[worst]), float(ratio[worst])
    beyond = n > row["to"]
    return FnVerdict(
        region, n, f, times, str(row["source"]),
        en=f"Societal risk is {names[region][0]}: worst at {n:.3g} deaths or more, {f:.1e}/a, {times:.2g} times the "
           f"upper line{' (continued beyond its end)' if beyond else ''}.",
        zh=f"社会风险位于{names[region][1]}：最不利点为死亡 {n:.3g} 人及以上，{f:.1e}/年，为上限的 {times:.2g} 倍"
           f"{'（超出曲线范围，按延长线判断）' if beyond else ''}。",
    )  # fmt: skip


def siting_method(explosives: bool, gas_ratio: float) -> Method:
    """Return the method for the external safety distance (GB/T 37243-2019 4.2 to 4.4).

    Args:
        explosives: whether the unit makes or stores explosives.
        gas_ratio: Σ q/Q of toxic and flammable gases over the thresholds of GB 18218.
    """
    if explosives:
        return Method.BOTH if gas_ratio >= 1.0 else Method.CONSEQUENCE
    return Method.QRA if gas_ratio >= 1.0 else Method.STANDARD


def explosive_overpressure(mass: float, distance: float) -> float:
    """Return the overpressure, Pa, at ``distance``, m, of ``mass`` kg of TNT at once (GB/T 37243-2019 5.2).

    Raises:
        InvalidInputError: a mass or distance not above 0.
    """
    if not (mass > 0.0 and distance > 0.0):
        raise InvalidInputError(f"{mass:g} kg at {distance:g} m", where="explosives", fix="both above 0")
    a, b, c = criteria()["explosives_formula"][0]["coefficients"]
    scaled = mass ** (1.0 / 3.0) / distance
    return float(1e5 * (a * scaled**3 + b * scaled**2 + c * scaled))


def explosive_distance(mass: float, target: Target) -> float:
    """Return the external safety distance, m, of ``mass`` kg of TNT to a target (GB/T 37243-2019 table 1)."""
    from scipy.optimize import brentq

    row = next(row for row in criteria()["explosives"] if target in row["classes"])
    limit = float(row["overpressure"])

    def excess(logarithm: float) -> float:
        return math.log(explosive_overpressure(mass, math.exp(logarithm)) / limit)

    return float(math.exp(brentq(excess, math.log(1e-3), math.log(1e7))))

"""Whether and when a cloud ignites: probabilities of AQ/T 3046-2013 appendix G and CPR 18E chapter 4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.risk_criteria import criteria, find
from anlan.science.consequence.risk_model import Ellipse, Floats, Rose, Zones


@dataclass(frozen=True, slots=True)
class IgnitionSource:
    """A source of ignition at (x, y), m: probability within 60 s in a cloud, and the share of time it is there.

    ``number`` counts sources of one kind at the place, such as people.
    """

    x: float
    y: float
    probability: float
    present: float = 1.0
    number: float = 1.0

    @classmethod
    def of_kind(cls, kind: str, x: float, y: float, present: float = 1.0, number: float = 1.0) -> IgnitionSource:
        """Return a source with the probability of AQ/T 3046-2013 table G.5, such as ``vehicle``."""
        return cls(x, y, float(find("ignition_sources", "id", kind)["p"]), present, number)


def immediate_ignition(category: str, rate: float | None = None, mass: float | None = None) -> float:
    """Return the probability that a release ignites at once (AQ/T 3046-2013 table G.1).

    Args:
        category: 0, 0-low (of low reactivity), 1, 2, 3 or 4 (table G.3).
        rate: kg/s of a continuous release; mass: kg of an instantaneous one. One of the two.

    Raises:
        InvalidInputError: neither or both, or an unknown category.
    """
    if (rate is None) == (mass is None):
        raise InvalidInputError("neither rate nor mass, or both", where="immediate ignition", fix="one of them")
    size, key = (rate, "rate") if rate is not None else (mass, "mass")
    if size is None or not size >= 0.0:
        raise InvalidInputError(f"a release of {size}", where="immediate ignition", fix="0 or more")
    find("immediate_ignition", "category", category)
    rows = [row for row in criteria()["immediate_ignition"] if row["category"] == category]
    return float(next(row["p"] for row in rows if row[key] is None or size < row[key]))


def delayed_ignition(sources: Sequence[IgnitionSource], seconds: float) -> float:
    """Return the probability that at least one of ``sources`` ignites a cloud that is around them for ``seconds``.

    P = P_present (1 − e^(−ωt)) with ω from the probability within 60 s; several: 1 − Π(1 − P) (AQ/T 3046-2013 eq. 2).
    """
    none = 1.0
    for source in sources:
        none *= (1.0 - source.present * _within(source.probability, seconds)) ** source.number
    return 1.0 - none


def _within(minute: float, seconds: float) -> float:
    if not 0.0 <= minute <= 1.0:
        raise InvalidInputError(f"an ignition probability of {minute:g}", where="ignition source", fix="0 to 1")
    return 1.0 if minute == 1.0 and seconds > 0.0 else 1.0 - (1.0 - minute) ** (max(seconds, 0.0) / 60.0)


def delayed_by_direction(
    sources: Sequence[IgnitionSource], clouds: Sequence[Zones], x: float, y: float, seconds: float, rose: Rose
) -> Floats:
    """Return the probability of delayed ignition by weather and direction of a ``rose`` (as an ``Outcome`` takes it).

    Args:
        sources: on the map. clouds: flammable zones by weather, downwind of (x, y), m; their death is not used.
        seconds: that the cloud stands.
    """
    out = np.zeros((len(rose.weathers), rose.directions))
    if len(clouds) != len(rose.weathers):
        raise InvalidInputError(f"{len(clouds)} clouds", where="clouds", fix=f"one by weather: {len(rose.weathers)}")
    for d in range(rose.directions):
        towards = math.radians(270.0 - 360.0 * d / rose.directions)
        cos, sin = math.cos(towards), math.sin(towards)
        for w, zones in enumerate(clouds):
            places = [(one, one.x - x, one.y - y) for one in sources]
            touched = [one for one, e, n in places if _inside(zones, e * cos + n * sin, n * cos - e * sin)]
            out[w, d] = delayed_ignition(touched, seconds)
    return out


def _inside(zones: Zones, along: float, across: float) -> bool:
    for zone in zones:
        if isinstance(zone, Ellipse):
            if ((along - zone.centre) / zone.along) ** 2 + (across / zone.across) ** 2 <= 1.0:
                return True
            continue
        side = abs(across) if zone.first_across is None else across - zone.first_across
        i, j = round((along - zone.first_along) / zone.step_along), round(side / zone.step_across)
        if 0 <= i < zone.death.shape[0] and 0 <= j < zone.death.shape[1] and zone.death[i, j] > 0.0:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Branches:
    """Probabilities of what a flammable release comes to; 1 in all. Those of delayed ignition may vary by direction."""

    immediate: float
    flash_fire: float | Floats
    explosion: float | Floats
    unignited: float | Floats


def branches(immediate: float, delayed: float | Floats) -> Branches:
    """Return the event tree: immediate, else delayed (0.6 flash fire, 0.4 explosion: CPR 18E 4.8), else none."""
    share = float(find("rules", "item", "flash_fire_share")["value"])
    late = (1.0 - immediate) * np.asarray(delayed, dtype=np.float64)
    parts = (share * late, (1.0 - share) * late, 1.0 - immediate - late)
    if np.ndim(delayed) == 0:
        flash, blast, none = (float(part) for part in parts)
        return Branches(immediate, flash, blast, none)
    return Branches(immediate, *parts)

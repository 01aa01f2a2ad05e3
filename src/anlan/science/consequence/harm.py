"""What radiation, blast and gas do to people and equipment: probits, doses, criteria, domino escalation.

Probability is Φ(Pr − 5). Sets of probits differ by factors: the default is that of AQ/T 3046-2013 and CPR 18E; every
other is chosen by its name. Constants stand in ``harm.yaml`` with their sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.conventions import GAS_CONSTANT, STANDARD_PRESSURE
from anlan.science.consequence.substances import Probit, Substance, substance

Floats = NDArray[np.float64]


class Equipment(StrEnum):
    """Kind of equipment that a fire or blast may bring to failure."""

    ATMOSPHERIC = "atmospheric"
    PRESSURISED = "pressurised"
    ELONGATED = "elongated"
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect that a value reaches: its threshold (W/m² or Pa) and what happens, in English and Chinese."""

    threshold: float
    en: str
    zh: str
    source: str


@cache
def constants() -> dict[str, Any]:
    """Return the document of constants."""
    text = (resources.files(__package__) / "harm.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return dict(yaml.load(text, Loader=loader))  # noqa: S506 - a safe loader, in C where built


def _positive(values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if np.isnan(array).any() or (array < 0.0).any():
        raise InvalidInputError(f"{name} below 0 or not a number", where=name, fix="0 or more")
    return array


def _log(values: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        result: Floats = np.log(values)
    return result


def probability(probit: ArrayLike) -> Floats:
    """Return Φ(Pr − 5): 2.67 is 1 %, 5 is 50 %, 7.33 is 99 %."""
    result: Floats = np.asarray(ndtr(np.asarray(probit, dtype=np.float64) - 5.0))
    return result


def probit_of(share: ArrayLike) -> Floats:
    """Return the probit of a probability."""
    result: Floats = np.asarray(ndtri(np.asarray(share, dtype=np.float64)) + 5.0)
    return result


# -- heat


def thermal_dose(flux: ArrayLike, duration: ArrayLike) -> Floats:
    """Return t I^(4/3), (W/m²)^(4/3) s.

    Args:
        flux: W/m².
        duration: s.
    """
    result: Floats = _positive(duration, "duration") * _positive(flux, "flux") ** (4.0 / 3.0)
    return result


def thermal_probit(dose: ArrayLike, which: str = "aqt3046") -> Floats:
    """Return the probit of death by heat for a dose.

    ``which`` names the set by its origin: ``aqt3046`` (Tsao & Perry), ``eisenberg``, ``tno``, ``lees-clothed``.
    """
    known = constants()["thermal_probits"]
    if which not in known:
        raise InvalidInputError(f"no thermal probit {which!r}", where="which", fix=f"one of {', '.join(known)}")
    row = known[which]
    result: Floats = row["a"] + row["b"] * _log(row["scale"] * _positive(dose, "dose"))
    return result


def thermal_lethality(flux: ArrayLike, duration: ArrayLike, which: str = "aqt3046") -> Floats:
    """Return the probability of death by heat: exposure of at most 20 s, 1 from 37.5 kW/m² on (AQ/T 3046-2013)."""
    rules = constants()["thermal_rules"]
    radiation = _positive(flux, "flux")
    exposure = np.minimum(_positive(duration, "duration"), rules["exposure"]["value"])
    share = probability(thermal_probit(thermal_dose(radiation, exposure), which))
    result: Floats = np.where(radiation >= rules["certain_death"]["value"], 1.0, share)
    return result


# -- gas


def toxic_load(concentration: ArrayLike, duration: float, exponent: float, axis: int = 0) -> Floats:
    """Return ∫Cⁿ dt, in the unit of C to the n times min.

    Args:
        concentration: in the unit of the probit; shape (times, …) at equal steps, or one value for a constant.
        duration: of the whole exposure, s.
        exponent: n of the probit.
        axis: of time.
    """
    values = _positive(concentration, "concentration") ** exponent
    mean = values if values.ndim == 0 else values.mean(axis=axis)
    result: Floats = np.asarray(mean * duration / 60.0)
    return result


def probit_concentration(name: str | Substance, density: ArrayLike, probit: Probit) -> Floats:
    """Return a vapour density (kg/m³) in the unit of a probit; ppm at 20 °C and 1 atm."""
    values = _positive(density, "concentration")
    if probit.unit == "ppm":
        return np.asarray(values * 1e6 * GAS_CONSTANT * 293.15 / (STANDARD_PRESSURE * substance(name).molar_mass))
    return np.asarray(values * 1e6)


def toxic_probit(
    name: str | Substance, concentration: ArrayLike, duration: float, which: str = "probit", axis: int = 0
) -> Floats:
    """Return the probit of death by a toxic gas.

    Args:
        name: the gas; concentration: kg/m³, constant or shape (times, …); duration: s.
        which: set of probits of the table of substances.
        axis: of time.

    Raises:
        MissingDataError: the substance has no probit in the set.
    """
    chosen = substance(name)
    probit = chosen.probit(which)
    load = toxic_load(probit_concentration(chosen, concentration, probit), duration, probit.n, axis)
    result: Floats = probit.a + probit.b * _log(load)
    return result


def toxic_lethality(
    name: str | Substance, concentration: ArrayLike, duration: float, which: str = "probit", indoors: bool = False
) -> Floats:
    """Return the probability of death by a toxic gas for an exposure of at most 30 min (AQ/T 3046-2013 10.2)."""
    rules = constants()["toxic_rules"]
    held = min(duration, rules["exposure"]["value"] * 60.0)
    share = probability(toxic_probit(name, concentration, held, which))
    return share * (rules["indoor_factor"]["value"] if indoors else 1.0)


def lethal_concentration(
    name: str | Substance, duration: float = 1800.0, share: float = 0.5, which: str = "probit"
) -> float:
    """Return the concentration (kg/m³) that kills ``share`` of people in ``duration`` s: LC50 by default."""
    chosen = substance(name)
    probit = chosen.probit(which)
    load = (float(probit_of(share)) - probit.a) / probit.b
    value = math.exp((load - math.log(duration / 60.0)) / probit.n)
    if probit.unit == "ppm":
        return value * 1e-6 * STANDARD_PRESSURE * chosen.molar_mass / (GAS_CONSTANT * 293.15)
    return value * 1e-6


# -- blast


def overpressure_probit(overpressure: ArrayLike, which: str = "hse") -> Floats:
    """Return the probit of death by side-on overpressure (Pa): ``hse`` or ``lung-eisenberg``."""
    known = constants()["overpressure_probits"]
    if which not in known:
        raise InvalidInputError(f"no overpressure probit {which!r}", where="which", fix=f"one of {', '.join(known)}")
    row = known[which]
    result: Floats = row["a"] + row["b"] * _log(_positive(overpressure, "overpressure") / row.get("per", 1.0))
    return result


def head_impact_probit(overpressure: ArrayLike, impulse: ArrayLike) -> Floats:
    """Return the probit of death by the head's impact: 5 − 8.49 ln(2430/P + 4·10⁸/(P i)) (TNO CPR 16E; Pa, Pa·s)."""
    p, i = _positive(overpressure, "overpressure"), _positive(impulse, "impulse")
    with np.errstate(divide="ignore"):
        result: Floats = 5.0 - 8.49 * np.log(2430.0 / p + 4e8 / (p * i))
    return result


def collapse_probit(overpressure: ArrayLike, impulse: ArrayLike) -> Floats:
    """Return the probit of a building's collapse: 5 − 0.22 ln[(40000/P)^7.4 + (460/i)^11.3] (TNO CPR 16E)."""
    p, i = _positive(overpressure, "overpressure"), _positive(impulse, "impulse")
    with np.errstate(divide="ignore"):
        result: Floats = 5.0 - 0.22 * np.log((40_000.0 / p) ** 7.4 + (460.0 / i) ** 11.3)
    return result


def overpressure_lethality(overpressure: ArrayLike, indoors: bool = False) -> Floats:
    """Return the probability of death by the step rule of AQ/T 3046-2013: 1 from 30 kPa, indoors 0.025 from 10 kPa."""
    rule = constants()["overpressure_rule"]
    p = _positive(overpressure, "overpressure")
    between = rule["indoors_between"]["value"] if indoors else 0.0
    result: Floats = np.where(p >= rule["certain"]["value"], 1.0, np.where(p >= rule["none"]["value"], between, 0.0))
    return result


def effects(kind: str, value: float) -> list[Effect]:
    """Return the effects that a ``thermal`` flux (W/m²) or an ``overpressure`` (Pa) reaches, worst first."""
    document = constants().get(f"{kind}_effects")
    if document is None:
        raise InvalidInputError(f"no table of effects of {kind!r}", where="kind", fix="thermal or overpressure")
    level = float(_positive(value, "value"))
    return [
        Effect(row["value"], row["en"], row["zh"], document["source"])
        for row in document["rows"]
        if level >= row["value"]
    ]


# -- equipment


def damage_by_overpressure(kind: Equipment, overpressure: ArrayLike) -> Floats:
    """Return the probability that equipment is damaged so that it releases (Cozzani & Salzano 2004; Pa).

    Below its escalation threshold it is 0: the probits' tails were not fitted there.
    """
    row = constants()["equipment"][kind.value]
    p = _positive(overpressure, "overpressure")
    share = probability(row["a"] + row["b"] * _log(p))
    result: Floats = np.where(p >= 0.5 * row["overpressure"], share, 0.0)
    return result


def time_to_failure(kind: Equipment, flux: float, volume: float) -> float:
    """Return how long an unprotected vessel stands in a radiation, s (Landucci et al. 2009).

    Args:
        kind: atmospheric or pressurised (others as pressurised).
        flux: W/m²; inf is returned for 0.
        volume: m³; held within the range of the fit.
    """
    document = constants()["time_to_failure"]
    row = document["atmospheric" if kind is Equipment.ATMOSPHERIC else "pressurised"]
    radiation = float(_positive(flux, "flux")) / 1e3
    if radiation <= 0.0:
        return math.inf
    held = min(max(volume, row["volume"][0]), row["volume"][1])
    return math.exp(row["c"] * math.log(radiation) + row["d"] * math.pow(held, row["e"]) + row["f"])


def damage_by_fire(kind: Equipment, flux: float, duration: float, volume: float) -> float:
    """Return the probability that a vessel fails in a fire before help arrives (Landucci et al. 2009).

    0 below the escalation threshold or when the fire ends before the time to failure.
    """
    row = constants()["equipment"][kind.value]
    failure = time_to_failure(kind, flux, volume)
    if flux < row["radiation"] or duration < failure:
        return 0.0
    probit = constants()["time_to_failure"]["probit"]
    return float(probability(probit["a"] + probit["b"] * math.log(max(failure, 1.0) / 60.0)))


def escalates(kind: Equipment, flux: float = 0.0, duration: float = 0.0, overpressure: float = 0.0) -> bool:
    """Return whether an effect is above the domino threshold of the equipment (Cozzani et al. 2006).

    Radiation counts when it lasts at least as long as the threshold's exposure (10 min).
    """
    row = constants()["equipment"][kind.value]
    hot = flux >= row["radiation"] and duration >= row["exposure"]
    return bool(hot or overpressure >= row["overpressure"])

"""Vapour-cloud explosions: TNO multi-energy, Baker-Strehlow-Tang, TNT equivalence; their curves are data.

Overpressures in Pa, distances in m, energies in J. The multi-energy curves are for a hemisphere on the ground: no
factor 2; Baker-Strehlow-Tang doubles the energy of a cloud on the ground.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.conventions import STANDARD_PRESSURE, OutOfRangeError, Remarks
from anlan.science.consequence.radiation import distance_to
from anlan.science.consequence.substances import MissingDataError, Reactivity, Substance, substance

Floats = NDArray[np.float64]

_SOUND = 340.0
_MOST_ENERGY = 1e16


@cache
def curves() -> dict[str, Any]:
    """Return the document of the curves."""
    text = (resources.files(__package__) / "vapour_cloud.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return dict(yaml.load(text, Loader=loader))  # noqa: S506 - a safe loader, in C where built


@dataclass(frozen=True, slots=True)
class Blast:
    """What a blast does over distance: side-on overpressure Pa, positive phase s, impulse Pa·s; remarks on validity."""

    name: str
    energy: float
    overpressure: Callable[[float], float]
    duration: Callable[[float], float]
    impulse: Callable[[float], float]

    def distance_to(self, overpressure: float) -> float:
        """Return where the side-on overpressure falls to ``overpressure`` Pa, m from the centre; 0 if nowhere."""
        return distance_to(self.overpressure, overpressure, 0.1)


def reflected(overpressure: float, ambient: float = STANDARD_PRESSURE) -> float:
    """Return the normally reflected overpressure, Pa: ΔP (8ΔP + 14P0)/(ΔP + 7P0)."""
    return overpressure * (8.0 * overpressure + 14.0 * ambient) / (overpressure + 7.0 * ambient)


def _check(energy: float, ambient: float) -> None:
    remarks = Remarks()
    remarks.require("energy", energy, 1.0, _MOST_ENERGY, "J", "the blast curves")
    remarks.require("ambient", ambient, 3e4, 2e5, "Pa", "the blast curves")


def _piecewise(branches: list[list[float]], x: float) -> float:
    for factor, power, end in branches:
        if x <= end:
            return float(factor * x**power)
    factor, power, _ = branches[-1]
    return float(factor * x**power)


def multi_energy(energy: float, level: int, ambient: float = STANDARD_PRESSURE) -> Blast:
    """Return the blast of a congested part of a cloud by the TNO multi-energy method (van den Berg 1985).

    Args:
        energy: of the mixture in the congested volume, J (``cloud_energy``).
        level: blast strength 1…10; 1 unconfined and unobstructed, 10 detonation.
        ambient: Pa.

    Raises:
        OutOfRangeError: level not 1 to 10, or an energy not above 0 or beyond any plant.
    """
    _check(energy, ambient)
    if level not in range(1, 11):
        raise OutOfRangeError(f"blast strength {level}", where="level", fix="1 to 10")
    document = curves()["multi_energy"]
    chosen = document["levels"][level]
    branches = chosen["pressure"] + (document["far"] if chosen["pressure"][-1][2] != math.inf else [])
    length = math.cbrt(energy / ambient)

    def pressure(distance: float) -> float:
        share = max(distance, 1e-3) / length
        return ambient * min(_piecewise(branches, share), float(document["cap"]))

    def duration(distance: float) -> float:
        return _piecewise(chosen["duration"], max(distance / length, 0.1)) * length / _SOUND

    return Blast(f"multi-energy {level}", energy, pressure, duration, lambda x: 0.5 * pressure(x) * duration(x))


def strength(ignition: str, obstruction: str, confined: bool) -> tuple[int, int]:
    """Return the lowest and highest blast strength by Kinsella's table.

    Args:
        ignition: ``strong`` (explosive, vented from a box) or ``weak``.
        obstruction: ``high`` (blockage above 30 %, spacing below 3 m), ``low`` or ``none``.
        confined: between parallel planes.
    """
    key = f"{ignition}/{obstruction}/{'yes' if confined else 'no'}"
    rows = curves()["level_choice"]["rows"]
    if key not in rows:
        raise InvalidInputError(f"no blast strength for {key}", where="strength", fix=f"one of {', '.join(rows)}")
    low, high = rows[key]
    return low, high


def congestion_overpressure(
    blockage: float, flame_path: float, obstacle: float, burning_velocity: float, planes: bool = False
) -> float:
    """Return the overpressure of a cloud among obstacles, Pa (GAME correlation, TNO 1998; weak ignition).

    84 (VBR Lf/D)^2.75 SL^2.7 D^0.7 kPa, between parallel planes 338 (·)^2.25.

    Args:
        blockage: share of the volume taken by obstacles; flame_path: m; obstacle: diameter, m.
        burning_velocity: laminar, m/s; planes: whether between parallel planes.
    """
    group = blockage * flame_path / obstacle
    factor, power = (338e3, 2.25) if planes else (84e3, 2.75)
    return float(factor * group**power * burning_velocity**2.7 * obstacle**0.7)


def cloud_energy(volume: float) -> float:
    """Return the energy of a volume of stoichiometric mixture, J: 3.5 MJ/m³ (CPR 14E 5.5)."""
    return float(curves()["stoichiometric_energy"]["value"]) * volume


def flame_mach(reactivity: Reactivity, congestion: str, confinement: str = "3-D") -> float:
    """Return the flame's Mach number (Pierorazio et al. 2005).

    Args:
        reactivity: class of the fuel.
        congestion: ``low``, ``medium`` or ``high``.
        confinement: ``2-D``, ``2.5-D`` or ``3-D`` expansion of the flame.
    """
    table = curves()["flame_mach"]
    order = ("low", "medium", "high")
    if congestion not in order or confinement not in ("2-D", "2.5-D", "3-D"):
        raise InvalidInputError(
            f"no flame speed for {congestion} congestion, {confinement} expansion",
            where="flame_mach",
            fix="congestion low, medium, high; confinement 2-D, 2.5-D, 3-D",
        )
    return float(table[confinement][reactivity.value][order.index(congestion)])


@cache
def _bst_grid() -> tuple[Floats, Floats, Floats, Floats]:
    document = curves()["bst"]
    machs = np.array(sorted(document["pressure"]))
    pressure = np.array([document["pressure"][float(m)] for m in machs])
    # the digitised rise near the source is within the line's width: nearer is never weaker
    pressure = np.maximum.accumulate(pressure[:, ::-1], axis=1)[:, ::-1]
    impulse = np.array([document["impulse"][float(m)] for m in machs])
    return np.log(machs), np.log(np.array(document["scaled_distance"])), np.log(pressure), np.log(impulse)


def _bst_value(table: Floats, mach: float, share: float) -> float:
    machs, distances, _, _ = _bst_grid()
    x = math.log(share)
    rows = np.array([_log_line(distances, row, x) for row in table])
    return math.exp(float(np.interp(math.log(mach), machs, rows)))


def _log_line(x: Floats, y: Floats, at: float) -> float:
    """Log-log interpolation; flat nearer than the table, carried on along the last two points beyond it."""
    if at > x[-1]:
        return float(y[-1] + (at - x[-1]) * (y[-1] - y[-2]) / (x[-1] - x[-2]))
    return float(np.interp(at, x, y))


def baker_strehlow_tang(
    energy: float, mach: float, ambient: float = STANDARD_PRESSURE, on_ground: bool = True
) -> Blast:
    """Return the blast by Baker-Strehlow-Tang (Tang & Baker 1999; curves digitised by Sandia).

    Args:
        energy: heat of combustion of what burns in the congested volume, J; doubled here when on the ground.
        mach: flame speed (``flame_mach``); below 0.2 the pressure falls with its square, above 5.2 it is 5.2.
        ambient: Pa; on_ground: whether the cloud stands on the ground.
    """
    _check(energy, ambient)
    if not 0.0 < mach < 20.0:
        raise OutOfRangeError(f"a flame of Mach {mach:g}", where="mach", fix="above 0, at most 5.2 in practice")
    length = math.cbrt(energy * (2.0 if on_ground else 1.0) / ambient)
    _, _, pressures, impulses = _bst_grid()
    held = min(max(mach, 0.2), 5.2)
    weak = min(mach / 0.2, 1.0) ** 2

    def pressure(distance: float) -> float:
        return ambient * weak * _bst_value(pressures, held, max(distance, 1e-3) / length)

    def impulse(distance: float) -> float:
        value = _bst_value(impulses, held, max(distance, 1e-3) / length)
        return weak * value * ambient * length / _SOUND

    return Blast(
        f"Baker-Strehlow-Tang Mach {mach:g}",
        energy,
        pressure,
        lambda x: 2.0 * impulse(x) / max(pressure(x), 1e-9),
        impulse,
    )


def tnt_mass(name: str | Substance, mass: float, yield_factor: float | None = None) -> float:
    """Return the equivalent mass of TNT, kg: η M ΔHc/4.52 MJ (η 0.04 by default)."""
    document = curves()["tnt"]
    share = float(document["yield_factor"]["value"]) if yield_factor is None else yield_factor
    if not 0.0 < share <= 1.0:
        raise OutOfRangeError(f"a yield of {share:g}", where="yield_factor", fix="above 0, at most 1")
    return share * mass * substance(name).figure("heat_of_combustion") / float(document["heat"]["value"])


def tnt(mass: float, ambient: float = STANDARD_PRESSURE) -> Blast:
    """Return the blast of TNT on the ground, kg (Swisdak's simplified Kingery-Bulmash, hemispherical).

    Nearer than Z = 0.2 m/kg^⅓ it is held at the value there. Phase and impulse are those of Kinney & Graham's duration.
    """
    energy = mass * float(curves()["tnt"]["heat"]["value"])
    _check(energy, ambient)
    root = math.cbrt(mass)
    document = curves()["tnt"]["hemispherical"]

    def pressure(distance: float) -> float:
        z = max(distance / root, document["range"][0])
        log = math.log(z)
        for branch in document["branches"]:
            if z <= branch["up_to"]:
                return 1e3 * math.exp(sum(c * log**i for i, c in enumerate(branch["terms"])))
        raise AssertionError("the last branch has no end")

    def duration(distance: float) -> float:
        z = max(distance / root, 0.2)
        top = 980.0 * (1.0 + (z / 0.54) ** 10)
        bottom = (1.0 + (z / 0.02) ** 3) * (1.0 + (z / 0.74) ** 6) * math.sqrt(1.0 + (z / 6.9) ** 2)
        return top / bottom * root * 1e-3

    return Blast("TNT", energy, pressure, duration, lambda x: 0.5 * pressure(x) * duration(x))


def kinney_graham(scaled: float) -> float:
    """Return ΔP/P0 of TNT in free air at Z = ``scaled`` m/kg^⅓ (Kinney & Graham 1985), Z 0.05…40."""
    top = 808.0 * (1.0 + (scaled / 4.5) ** 2)
    rest = (1.0 + (scaled / 0.048) ** 2) * (1.0 + (scaled / 0.32) ** 2) * (1.0 + (scaled / 1.35) ** 2)
    return top / math.sqrt(rest)


def gbt37243_overpressure(mass: float, distance: float) -> float:
    """Return the overpressure of TNT by GB/T 37243-2019 5.2, Pa: 10⁵ (14 Q/R³ + 4.3 Q^⅔/R² + 1.1 Q^⅓/R)."""
    x = math.cbrt(mass) / distance
    return 1e5 * (14.0 * x**3 + 4.3 * x**2 + 1.1 * x)


def stoichiometric_fraction(name: str | Substance) -> float:
    """Return the mole fraction of fuel in a stoichiometric mixture with air, from its formula.

    Raises:
        MissingDataError: it has no formula or holds elements other than C, H, O, N, S, Cl.
    """
    chosen = substance(name)
    if chosen.components:
        oxygen = sum(
            share * (1.0 / stoichiometric_fraction(part) - 1.0)
            for part, share in chosen.components.items()
            if substance(part).flammable
        )
        return 1.0 / (1.0 + oxygen)
    import re

    atoms: dict[str, int] = {}
    for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", chosen.formula):
        atoms[element] = atoms.get(element, 0) + int(count or 1)
    if not chosen.flammable or set(atoms) - {"C", "H", "O", "N", "S", "Cl"}:
        raise MissingDataError(
            f"the air that {chosen.name_en} ({chosen.name_zh}) needs is not known", where=chosen.id, fix="a fuel"
        )
    hydrogen = atoms.get("H", 0) - atoms.get("Cl", 0)
    oxygen = atoms.get("C", 0) + atoms.get("S", 0) + max(hydrogen, 0) / 4.0 - atoms.get("O", 0) / 2.0
    return 1.0 / (1.0 + oxygen / 0.2095)

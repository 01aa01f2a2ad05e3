"""Flash fires: who stands in the flammable part of a cloud when it is lit (CPR 18E 5.3; AQ/T 3046-2013 10.4.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.conventions import Remarks
from anlan.science.consequence.substances import MissingDataError, Substance, substance

Floats = NDArray[np.float64]

_HALF_MARGIN = 0.5


@dataclass(frozen=True, slots=True)
class FlashFire:
    """Reach of a flash fire: concentrations kg/m³ of LFL and half of it, distances from the source m.

    Inside ``distance`` the probability of death is 1, outside 0; ``margin`` (to half LFL) holds the pockets and the
    averaging of the cloud, for keeping ignition sources and people away.
    """

    substance: Substance
    limit: float
    distance: float
    margin: float

    def lethal(self, distance: float) -> float:
        """Return the probability of death of a person at ``distance`` m downwind, 0 or 1."""
        return 1.0 if distance <= self.distance else 0.0


def flammable_density(name: str | Substance, temperature: float, pressure: float, share: float = 1.0) -> float:
    """Return the density of vapour in air at ``share`` of its lower flammable limit, kg/m³.

    Raises:
        MissingDataError: it has no flammable limit: it does not burn, or the table lacks it.
    """
    chosen = substance(name)
    if not chosen.flammable:
        raise MissingDataError(
            f"{chosen.name_en} ({chosen.name_zh}) has no flammable limit: it makes no flash fire",
            where=chosen.id,
            fix="a flammable substance",
        )
    return share * chosen.figure("lfl") * chosen.gas_density(temperature, pressure)


def flammable_mass(
    name: str | Substance,
    concentration: Callable[[Floats, Floats, Floats], Floats],
    reach: float,
    temperature: float = 293.15,
    pressure: float = 101_325.0,
    share: float = 1.0,
) -> tuple[float, float]:
    """Return the mass between the flammable limits of a cloud, kg, and how far its centre is downwind, m.

    Args:
        name: what burns.
        concentration: kg/m³ at x downwind, y across, z up (m, arrays of one shape) as dispersion gives it; the cloud
            is taken as symmetric across the wind.
        reach: distance to ``share`` of the lower limit, m.
        temperature, pressure: of the air, K and Pa.
        share: of the lower limit that still counts (0.5 holds the pockets of an averaged cloud).

    Raises:
        MissingDataError: it has no flammable limits.
        OutOfRangeError: a reach that is not 0 to 100 km.
    """
    chosen = substance(name)
    low = flammable_density(chosen, temperature, pressure, share)
    high = chosen.figure("ufl") * chosen.gas_density(temperature, pressure)
    Remarks().require("reach", reach, 0.0, 1e5, "m", "the flammable mass")
    if reach <= 0.0:
        return 0.0, 0.0
    # finer near the source, the axis and the ground, where the cloud is narrow
    x = reach * (np.linspace(0.0, 1.0, 81)[1:]) ** 1.5
    side = reach * np.linspace(0.0, 1.0, 61) ** 2
    up = 0.5 * reach * np.linspace(0.0, 1.0, 61) ** 2
    along, across, height = np.meshgrid(x, side, up, indexing="ij")
    density = np.asarray(concentration(along, across, height), dtype=np.float64)
    inside = np.where((density >= low) & (density <= high), density, 0.0)
    section = 2.0 * np.trapezoid(np.trapezoid(inside, up, axis=2), side, axis=1)
    mass = float(np.trapezoid(section, x))
    return mass, float(np.trapezoid(section * x, x)) / mass if mass > 0.0 else 0.0


def flash_fire(
    name: str | Substance,
    distance_to: Callable[[float], float],
    temperature: float = 293.15,
    pressure: float = 101_325.0,
) -> FlashFire:
    """Return the flash fire of a cloud.

    Args:
        name: what burns.
        distance_to: of the dispersed cloud: farthest distance, m, where a concentration (kg/m³) is reached.
        temperature, pressure: of the air, K and Pa.
    """
    chosen = substance(name)
    limit = flammable_density(chosen, temperature, pressure)
    near, far = float(distance_to(limit)), float(distance_to(_HALF_MARGIN * limit))
    if not 0.0 <= near <= far < 1e6:
        raise InvalidInputError(
            f"the cloud reaches LFL at {near:g} m but half of it at {far:g} m",
            where="distance_to",
            fix="distances from 0 that grow as the concentration falls",
        )
    return FlashFire(chosen, limit, near, far)

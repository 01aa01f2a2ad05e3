"""What dispersion needs to know of a substance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from anlan.science.consequence.conventions import GAS_CONSTANT, STANDARD_PRESSURE, OutOfRangeError


@dataclass(frozen=True, slots=True)
class Gas:
    """Properties of a substance as dispersion takes them: constant over the small range that mixing spans.

    Attributes:
        molar_mass: kg/mol.
        cp_vapour, cp_liquid: J/(kg·K), about the boiling point.
        boiling_point: K, at 101 325 Pa.
        latent_heat: of vaporisation at the boiling point, J/kg.
        liquid_density: kg/m³, at the boiling point.
        vapour_b, vapour_c: of the vapour pressure p/101 325 Pa = exp(a − b/(T + c)), K; b of 0 or less takes
            Clausius-Clapeyron from the latent heat; a follows from the boiling point.
    """

    molar_mass: float
    cp_vapour: float
    boiling_point: float
    latent_heat: float
    cp_liquid: float
    liquid_density: float
    vapour_b: float = -1.0
    vapour_c: float = 0.0

    def __post_init__(self) -> None:
        for name in ("molar_mass", "cp_vapour", "boiling_point", "latent_heat", "cp_liquid", "liquid_density"):
            value = getattr(self, name)
            if not (0.0 < value < math.inf):
                raise OutOfRangeError(f"a gas with {name} of {value:g}", where=name, fix="above 0, finite")

    @property
    def saturation(self) -> tuple[float, float, float]:
        """(a, b, c) of the vapour pressure over 101 325 Pa."""
        c = self.vapour_c if self.vapour_b > 0.0 else 0.0
        b = self.vapour_b if self.vapour_b > 0.0 else self.latent_heat * self.molar_mass / GAS_CONSTANT
        return b / (self.boiling_point + c), b, c

    def vapour_density(self, temperature: float, pressure: float = STANDARD_PRESSURE) -> float:
        """Return the density of the vapour as ideal gas, kg/m³."""
        return pressure * self.molar_mass / (GAS_CONSTANT * temperature)

    def density(self, temperature: float, vapour: float, pressure: float = STANDARD_PRESSURE) -> float:
        """Return the density, kg/m³, of vapour with the mass share ``1 - vapour`` of droplets in it."""
        return 1.0 / (vapour / self.vapour_density(temperature, pressure) + (1.0 - vapour) / self.liquid_density)

"""Gas jets by their own momentum: concentration along and across, reach of the flammable limit, flammable mass.

The similarity law of round turbulent jets, Y = 5.4 √(ρn/ρa) D/x with the state in the nozzle (Chen & Rodi 1980; for
under-expanded hydrogen Molkov 2012), for nozzles without loss: on measured jets it lies on the safe side (1.6 times the
measured mole fraction as a geometric mean). It holds while momentum rules, before wind or buoyancy bend the jet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.conventions import AIR_MOLAR_MASS, GRAVITY, Remarks, Weather
from anlan.science.consequence.discharge import Outflow
from anlan.science.consequence.substances import Substance

Floats = NDArray[np.float64]

_DECAY = 5.4
_SPREAD = 57.0
_BUOYANT = 4.0


@dataclass(frozen=True, slots=True)
class FreeJet:
    """A round free jet: nozzle diameter m and density kg/m³ in it, density of the air kg/m³."""

    substance: Substance
    diameter: float
    density: float
    air_density: float

    @property
    def _scale(self) -> float:
        return _DECAY * math.sqrt(self.density / self.air_density) * self.diameter

    def mass_fraction(self, along: Floats | float, across: Floats | float = 0.0) -> Floats:
        """Return the mass fraction at ``along`` m from the nozzle and ``across`` m from the axis."""
        x = np.maximum(np.asarray(along, dtype=np.float64), 1e-9)
        axis = np.minimum(self._scale / x, 1.0)
        result: Floats = axis * np.exp(-_SPREAD * (np.asarray(across, dtype=np.float64) / x) ** 2)
        return result

    def mole_fraction(self, along: Floats | float, across: Floats | float = 0.0) -> Floats:
        """Return the mole fraction there."""
        y = self.mass_fraction(along, across)
        own = y / self.substance.molar_mass
        result: Floats = own / (own + (1.0 - y) / AIR_MOLAR_MASS)
        return result

    def distance_to(self, mole_fraction: float) -> float:
        """Return how far along the axis a mole fraction reaches, m."""
        own = mole_fraction * self.substance.molar_mass
        y = own / (own + (1.0 - mole_fraction) * AIR_MOLAR_MASS)
        return self._scale / y

    def flammable_mass(self) -> float:
        """Return the mass of gas between its flammable limits, kg; mixing at the density of ideal gases of one heat."""
        low, high = self.substance.figure("lfl"), self.substance.figure("ufl")
        x = np.linspace(0.0, self.distance_to(low), 401)[1:]
        radius = np.linspace(0.0, 0.5, 161)
        along, slope = np.meshgrid(x, radius, indexing="ij")
        across = along * slope
        y = self.mass_fraction(along, across)
        mole = self.mole_fraction(along, across)
        mean = mole * self.substance.molar_mass + (1.0 - mole) * AIR_MOLAR_MASS
        density = self.air_density * mean / AIR_MOLAR_MASS
        inside = np.where((mole >= low) & (mole <= high), y * density * 2.0 * math.pi * across * along, 0.0)
        return float(np.trapezoid(np.trapezoid(inside, radius, axis=1), x))


def free_jet(outflow: Outflow, weather: Weather, remarks: Remarks | None = None) -> FreeJet:
    """Return the free jet of an outflow of gas; its nozzle is the effective opening (after contraction)."""
    remarks = remarks if remarks is not None else Remarks()
    remarks.require("rate", outflow.rate, 1e-12, 1e6, "kg/s", "the free jet")
    area = outflow.rate / (outflow.density * outflow.velocity)
    jet = FreeJet(outflow.substance, math.sqrt(4.0 * area / math.pi), outflow.density, weather.density)
    if outflow.substance.flammable:
        reach = jet.distance_to(outflow.substance.figure("lfl"))
        momentum = outflow.rate * outflow.velocity
        buoyancy = GRAVITY * abs(weather.density - outflow.substance.gas_density(weather.temperature))
        buoyancy *= outflow.rate / outflow.substance.gas_density(weather.temperature)
        # length where buoyancy has made as much momentum as the jet brought (Fischer et al. 1979)
        bent = math.pow(momentum / weather.density, 0.75) / math.sqrt(max(buoyancy / weather.density, 1e-12))
        if reach > _BUOYANT * bent:
            remarks.add(
                "buoyant-jet",
                f"buoyancy rules this jet beyond {bent:.1f} m, before its flammable limit: the reach is an upper bound",
                f"{bent:.1f} m以外射流由浮力主导，可燃下限距离为上限值",
            )
    return jet

"""Gases under pressure: Peng-Robinson equation of state, isentropes, the throat of a hole.

Peng & Robinson 1976 (Ind. Eng. Chem. Fundam. 15:59) with ideal-gas heat capacities of the table of substances; vapour
root only. Densities of light gases stand within a few per cent up to 100 MPa.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.conventions import GAS_CONSTANT, STANDARD_PRESSURE, OutOfRangeError
from anlan.science.consequence.substances import Substance, substance

Floats = NDArray[np.float64]

_ROOT2 = math.sqrt(2.0)
_HOTTEST = 2000.0
_HIGHEST = 2e8


@dataclass(frozen=True, slots=True)
class Throat:
    """Flow through the narrowest section: mass flux kg/(m² s), pressure Pa, temperature K, density, velocity m/s."""

    flux: float
    pressure: float
    temperature: float
    density: float
    velocity: float
    choked: bool


class RealGas:
    """One gas by the Peng-Robinson equation; temperatures K and pressures Pa as arrays or numbers, results arrays."""

    def __init__(self, name: str | Substance) -> None:
        self.substance = chosen = substance(name)
        self._specific = GAS_CONSTANT / chosen.molar_mass
        self._m = 0.37464 + 1.54226 * chosen.acentric - 0.26992 * chosen.acentric**2
        self._a = 0.457236 * (GAS_CONSTANT * chosen.critical_temperature) ** 2 / chosen.critical_pressure
        self._b = 0.077796 * GAS_CONSTANT * chosen.critical_temperature / chosen.critical_pressure

    def check(self, temperature: float, pressure: float) -> None:
        """Raise unless the state is one of a gas.

        Raises:
            OutOfRangeError: negative or huge figures, or a state that is liquid.
        """
        name = f"{self.substance.name_en} ({self.substance.name_zh})"
        if not 0.5 * self.substance.lowest < temperature <= _HOTTEST:
            raise OutOfRangeError(
                f"gas {name} at {temperature:g} K",
                where="temperature",
                fix=f"{0.5 * self.substance.lowest:.0f} to {_HOTTEST:g} K",
            )
        if not 0.0 < pressure <= _HIGHEST:
            raise OutOfRangeError(
                f"gas {name} at {pressure:g} Pa", where="pressure", fix=f"above 0, at most {_HIGHEST:g} Pa absolute"
            )
        top = float(self.substance.saturation.temperature[-1])
        saturation = self.substance.vapour_pressure(temperature) if temperature < top else math.inf
        if pressure > 1.02 * saturation:
            raise OutOfRangeError(
                f"{name} is liquid at {temperature:g} K and {pressure:g} Pa, not a gas",
                where="pressure",
                fix=f"at most its vapour pressure of {saturation:.4g} Pa, or as liquid",
            )

    def _alpha(self, temperature: Floats) -> tuple[Floats, Floats]:
        """Return a(T) and T da/dT."""
        reduced = np.sqrt(temperature / self.substance.critical_temperature)
        root = np.maximum(1.0 + self._m * (1.0 - reduced), 0.0)
        return self._a * root**2, -self._a * self._m * root * reduced

    def factor(self, temperature: Floats | float, pressure: Floats | float) -> Floats:
        """Return the compressibility factor Z (largest root of the cubic)."""
        t, p = np.broadcast_arrays(np.asarray(temperature, float), np.asarray(pressure, float))
        a, _ = self._alpha(t)
        big_a = a * p / (GAS_CONSTANT * t) ** 2
        big_b = self._b * p / (GAS_CONSTANT * t)
        # depressed cubic in Z; the largest real root is the vapour
        c2 = big_b - 1.0
        c1 = big_a - 3.0 * big_b**2 - 2.0 * big_b
        c0 = -(big_a * big_b - big_b**2 - big_b**3)
        q = (c2**2 - 3.0 * c1) / 9.0
        r = (2.0 * c2**3 - 9.0 * c2 * c1 + 27.0 * c0) / 54.0
        three = r**2 < q**3
        safe = np.where(three, q, 1.0)
        angle = np.arccos(np.clip(np.where(three, r, 0.0) / safe**1.5, -1.0, 1.0))
        of_three = -2.0 * np.sqrt(safe) * np.cos((angle + 2.0 * np.pi) / 3.0) - c2 / 3.0
        other = -np.sign(r) * np.cbrt(np.abs(r) + np.sqrt(np.maximum(r**2 - q**3, 0.0)))
        of_one = other + np.divide(q, other, out=np.zeros_like(other), where=other != 0.0) - c2 / 3.0
        result: Floats = np.where(three, of_three, of_one)
        return result

    def density(self, temperature: Floats | float, pressure: Floats | float) -> Floats:
        """Return the density, kg/m³."""
        z = self.factor(temperature, pressure)
        result: Floats = np.asarray(pressure, float) / (z * self._specific * np.asarray(temperature, float))
        return result

    def enthalpy(self, temperature: Floats | float, pressure: Floats | float) -> Floats:
        """Return the enthalpy over that of the ideal gas at 0 K by the fit, J/kg."""
        return self._caloric(np.asarray(temperature, float), np.asarray(pressure, float))[0]

    def entropy(self, temperature: Floats | float, pressure: Floats | float) -> Floats:
        """Return the entropy, J/kgK, with an arbitrary zero."""
        return self._caloric(np.asarray(temperature, float), np.asarray(pressure, float))[1]

    def _caloric(self, t: Floats, p: Floats) -> tuple[Floats, Floats]:
        ideal_h, ideal_s = self._ideal(t)
        a, slope = self._alpha(t)
        z = self.factor(t, p)
        big_b = self._b * p / (GAS_CONSTANT * t)
        log = np.log((z + (1.0 + _ROOT2) * big_b) / (z + (1.0 - _ROOT2) * big_b)) / (2.0 * _ROOT2 * self._b)
        mass = self.substance.molar_mass
        enthalpy = ideal_h + (GAS_CONSTANT * t * (z - 1.0) + (slope - a) * log) / mass
        entropy = ideal_s - self._specific * np.log(p / STANDARD_PRESSURE)
        entropy = entropy + (GAS_CONSTANT * np.log(np.maximum(z - big_b, 1e-12)) + slope / t * log) / mass
        return enthalpy, entropy

    def _ideal(self, t: Floats) -> tuple[Floats, Floats]:
        """Integrals of the ideal heat capacity: the fit from 150 to 1500 K, constant beyond."""
        held = np.clip(t, 150.0, 1500.0) / 1000.0
        c = self.substance.gas
        end = np.polynomial.polynomial.polyval(held, c)
        h = sum(c[k] * held ** (k + 1) / (k + 1) for k in range(5)) * 1000.0 + end * (t - 1000.0 * held)
        s = c[0] * np.log(held) + sum(c[k] * held**k / k for k in range(1, 5)) + end * np.log(t / (1000.0 * held))
        return np.asarray(h), np.asarray(s)

    def isentrope(self, temperature: float, pressure: float, lowest: float, points: int = 160) -> Isentrope:
        """Return the states of equal entropy from ``pressure`` down to ``lowest``, Pa.

        Where the gas would become wetter than saturated it is taken as supercooled vapour, held at half the lowest
        temperature of the tables.
        """
        grid = np.geomspace(pressure, min(lowest, pressure * (1 - 1e-9)), points)
        wanted = float(self.entropy(temperature, pressure))
        gamma = self.substance.gamma(temperature)
        t = temperature * (grid / pressure) ** ((gamma - 1.0) / gamma)
        floor = 0.5 * self.substance.lowest
        for _ in range(30):
            step = 1e-4 * t
            value = self.entropy(t, grid)
            slope = (self.entropy(t + step, grid) - value) / step
            change = np.clip((wanted - value) / np.where(slope > 0.0, slope, 1.0), -0.2 * t, 0.2 * t)
            t = np.maximum(t + change, floor)
            if float(np.max(np.abs(change) / t)) < 1e-9:
                break
        return Isentrope(self, grid, t, self.density(t, grid), self.enthalpy(t, grid))

    def throat(self, temperature: float, pressure: float, ambient: float = STANDARD_PRESSURE) -> Throat:
        """Return the frictionless flow from a vessel at rest through a hole: the isentropic maximum of mass flux."""
        self.check(temperature, pressure)
        if pressure <= ambient * (1.0 + 1e-9):
            return Throat(0.0, pressure, temperature, float(self.density(temperature, pressure)), 0.0, False)
        return self.isentrope(temperature, pressure, ambient).throat(0)


@dataclass(frozen=True, slots=True)
class Isentrope:
    """States of equal entropy by falling pressure: pressure, temperature, density, enthalpy, each shape (n,)."""

    gas: RealGas
    pressure: Floats
    temperature: Floats
    density: Floats
    enthalpy: Floats

    def fluxes(self) -> Floats:
        """Return the mass flux through a hole, kg/(m² s), from a vessel in each of the states; ambient is the last."""
        return np.array([self.throat(k).flux for k in range(len(self.pressure))])

    def throat(self, start: int) -> Throat:
        """Return the throat of the flow from the vessel in state ``start`` to the last pressure."""
        drop = np.maximum(self.enthalpy[start] - self.enthalpy[start:], 0.0)
        speed = np.sqrt(2.0 * drop)
        flux = self.density[start:] * speed
        best = int(np.argmax(flux))
        k = start + best
        choked = best < len(flux) - 1
        peak, pressure = float(flux[best]), float(self.pressure[k])
        if choked and best > 0:
            peak, pressure = _parabola(np.log(self.pressure[k - 1 : k + 2]), flux[best - 1 : best + 2])
        at = float(np.interp(-pressure, -self.pressure, self.temperature))
        density = float(np.interp(-pressure, -self.pressure, self.density))
        return Throat(peak, pressure, at, density, peak / density, choked)


def _parabola(x: Floats, y: Floats) -> tuple[float, float]:
    """Peak of the parabola through three points: value, and exp of its place."""
    coefficients = np.polyfit(x - x[1], y, 2)
    if coefficients[0] >= 0.0:
        return float(y[1]), float(np.exp(x[1]))
    place = float(np.clip(-coefficients[1] / (2.0 * coefficients[0]), x[2] - x[1], x[0] - x[1]))
    return float(np.polyval(coefficients, place)), float(np.exp(x[1] + place))

"""Dense plumes and puffs by the correlations of Britter & McQuaid 1988: flat ground, releases without momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.conventions import GRAVITY, OutOfRangeError

Floats = NDArray[np.float64]

_NEAR_PLUME = 306.0
_NEAR_PUFF = 3.24


@cache
def _curves(kind: str) -> tuple[Floats, list[Floats]]:
    import yaml

    text = files("anlan.science.consequence").joinpath("britter_mcquaid.yaml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = yaml.load(text, Loader=yaml.CSafeLoader)[kind]
    return np.array([row["ratio"] for row in rows]), [np.array(row["rows"], dtype=np.float64) for row in rows]


def beta(kind: str, alpha: float) -> tuple[Floats, Floats]:
    """Return the ratios of concentrations and β = log10 of the scaled distance where they are reached.

    Args:
        kind: ``plume`` or ``puff``. alpha: 0.2·log10(g'²Q/u⁵), or ½·log10(g'V^⅓/u²).
    """
    ratios, curves = _curves(kind)
    found = [curve[min(int(np.searchsorted(curve[:, 0], alpha)), len(curve) - 1)] for curve in curves]
    return ratios, np.array([row[1] * alpha + row[2] for row in found])


def _ratio(kind: str, alpha: float, scaled: Floats, near: Floats) -> Floats:
    """Interpolate linearly in log10 of the distance; ``near`` before the first curve, ∝ x⁻² after the last."""
    ratios, place = beta(kind, alpha)
    place = np.maximum.accumulate(place)
    log = np.log10(np.maximum(scaled, 1e-12))
    between = np.interp(log, place, ratios)
    far = ratios[-1] * (10.0 ** place[-1] / np.maximum(scaled, 1e-12)) ** 2
    return np.where(log < place[0], np.maximum(near, ratios[0]), np.where(log > place[-1], far, between))


@dataclass(frozen=True, slots=True)
class DensePlume:
    """A dense plume from a source on the ground.

    Attributes:
        flow: volume rate of the released gas, m³/s. density, temperature: of it, kg/m³ and K.
        wind: at 10 m, m/s. air_density, air_temperature: kg/m³, K.
    """

    flow: float
    density: float
    temperature: float
    wind: float
    air_density: float
    air_temperature: float

    def __post_init__(self) -> None:
        if not (self.flow > 0.0 and self.wind > 0.0 and self.density > self.air_density):
            raise OutOfRangeError(
                "a plume of Britter-McQuaid without flow, wind or density above the air's",
                where="density",
                fix=f"flow and wind above 0, density above {self.air_density:g} kg/m³",
            )

    @property
    def reduced_gravity(self) -> float:
        """G' = g(ρ − ρa)/ρa, m/s²."""
        return GRAVITY * (self.density - self.air_density) / self.air_density

    @property
    def diameter(self) -> float:
        """D = (flow/wind)^½, m."""
        return math.sqrt(self.flow / self.wind)

    @property
    def alpha(self) -> float:
        """0.2·log10(g'²·flow/wind⁵); the curves go to 1."""
        return 0.2 * math.log10(self.reduced_gravity**2 * self.flow / self.wind**5)

    def fraction(self, x: Floats) -> Floats:
        """Return the mole fraction on the axis at ground level at ``x`` > 0, m, with the source's cold."""
        scaled = np.asarray(x, dtype=np.float64) / self.diameter
        c = _ratio("plume", self.alpha, scaled, _NEAR_PLUME / (_NEAR_PLUME + scaled**2))
        return isothermal(c, self.temperature, self.air_temperature)

    def half_width(self, x: Floats) -> Floats:
        """Return the plume's half width, m, at ``x``, m (negative upwind); 0 beyond its upwind reach."""
        length = self.flow * self.reduced_gravity / self.wind**3
        upwind = 0.5 * self.diameter + 2.0 * length
        source = self.diameter + 8.0 * length
        distance = np.asarray(x, dtype=np.float64)
        behind = source * np.sqrt(np.clip(1.0 + distance / upwind, 0.0, 1.0))
        return np.where(distance < 0.0, behind, source + 2.5 * np.cbrt(length * np.maximum(distance, 0.0) ** 2))

    def depth(self, x: Floats) -> Floats:
        """Return the plume's depth, m, at ``x``, m: what carries the moles at the wind's speed and the half width."""
        distance = np.asarray(x, dtype=np.float64)
        flow = self.diameter**2 * self.air_temperature / self.temperature
        return flow / (2.0 * self.half_width(distance) * self.fraction(distance))


@dataclass(frozen=True, slots=True)
class DensePuff:
    """A dense puff released at once.

    Attributes:
        volume: m³. density: kg/m³. temperature: K. wind: at 10 m, m/s. air_density, air_temperature: kg/m³, K.
        fraction_at_source: mole fraction of the substance in the released cloud.
    """

    volume: float
    density: float
    temperature: float
    wind: float
    air_density: float
    air_temperature: float
    fraction_at_source: float = 1.0

    def __post_init__(self) -> None:
        if not (self.volume > 0.0 and self.wind > 0.0 and self.density > self.air_density):
            raise OutOfRangeError(
                "a puff of Britter-McQuaid without volume, wind or density above the air's",
                where="density",
                fix=f"volume and wind above 0, density above {self.air_density:g} kg/m³",
            )

    @property
    def reduced_gravity(self) -> float:
        """G' = g(ρ − ρa)/ρa, m/s²."""
        return GRAVITY * (self.density - self.air_density) / self.air_density

    @property
    def alpha(self) -> float:
        """½·log10(g'·volume^⅓/wind²); the curves go to 1."""
        return 0.5 * math.log10(self.reduced_gravity * self.volume ** (1 / 3) / self.wind**2)

    def radius(self, time: Floats) -> Floats:
        """Return the cloud's radius, m, ``time`` seconds after the release."""
        start = (3.0 * self.volume / (4.0 * math.pi)) ** (1 / 3)
        spread = 1.2 * np.asarray(time, dtype=np.float64) * math.sqrt(self.reduced_gravity * self.volume)
        return np.asarray(np.sqrt(start**2 + spread))

    def front(self, time: Floats) -> Floats:
        """Return how far the cloud's front has come, m."""
        return 0.4 * self.wind * np.asarray(time, dtype=np.float64) + self.radius(time)

    def arrival(self, x: Floats) -> Floats:
        """Return when the front comes to ``x``, m, in s (0 inside the cloud at its start)."""
        distance = np.asarray(x, dtype=np.float64)
        low, high = np.zeros_like(distance), np.maximum(distance / (0.4 * self.wind), 1e-9)
        for _ in range(60):
            middle = 0.5 * (low + high)
            short = self.front(middle) < distance
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return np.where(self.front(np.zeros_like(distance)) >= distance, 0.0, 0.5 * (low + high))

    def fraction(self, front: Floats) -> Floats:
        """Return the largest mole fraction when the front is at ``front``, m."""
        scaled = np.asarray(front, dtype=np.float64) / self.volume ** (1 / 3)
        c = _ratio("puff", self.alpha, scaled, _NEAR_PUFF / (_NEAR_PUFF + scaled**2))
        return self.fraction_at_source * isothermal(c, self.temperature, self.air_temperature)

    def depth(self, time: Floats) -> Floats:
        """Return the cloud's height, m: what holds its moles over its ground."""
        c = self.fraction(self.front(time))
        moles = self.volume * self.fraction_at_source * self.air_temperature / self.temperature
        return moles / (c * math.pi * self.radius(time) ** 2)


def isothermal(c: Floats, temperature: float, air_temperature: float) -> Floats:
    """Return the mole fraction where the source at ``temperature`` mixes with air at ``air_temperature``, K."""
    return c / (c + (1.0 - c) * temperature / air_temperature)

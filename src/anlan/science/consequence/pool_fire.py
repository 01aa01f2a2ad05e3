"""Pool fires: burning rate, flame length and tilt, surface emissive power, radiation of the solid flame.

Yellow Book (CPR 14E 6.5.4) with the choices that other sources make where they fit better: Pritchard & Binding's flame
length and measured emissive power for LNG.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.conventions import GRAVITY, Remarks, Weather
from anlan.science.consequence.radiation import (
    distance_to,
    tilted_factors,
    transmissivity,
    water_vapour_pressure,
)
from anlan.science.consequence.substances import Substance, substance

Floats = NDArray[np.float64]

_VISCOSITY = 1.5e-5
_SOOT_FLUX = 20e3
_BLACKEST = 140e3
_CLEAN = ("methanol", "ethanol", "hydrogen", "carbon_monoxide", "formaldehyde", "ammonia")
_LIGHT = ("methane", "lng", "natural_gas")
# Surface emissive power of LNG on land grows with size to 265 kW/m² (San Clemente, Montoir; Raj 2005) and is that of a
# thick flame beyond.
_LNG_FLUX, _LNG_SCALE = 265e3, 6.0


@dataclass(frozen=True, slots=True)
class PoolFire:
    """A burning pool.

    Attributes:
        diameter: m; length: of the flame along its axis, m; tilt: from the vertical, radians, downwind.
        dragged: downwind diameter of the flame's foot, m.
        burning: kg/(m² s); rate: kg/s.
        emissive_power: W/m², of the flame's surface.
        duration: s, for the mass given; inf for none.
        water_pressure: of the air, Pa.
    """

    substance: Substance
    diameter: float
    length: float
    tilt: float
    dragged: float
    burning: float
    rate: float
    emissive_power: float
    duration: float
    water_pressure: float

    def flux(self, distance: float, bearing: float = 0.0, height: float = 0.0) -> float:
        """Return the radiation on a surface turned as is worst, W/m².

        Args:
            distance: from the pool's centre, m; inside the flame the emissive power is returned.
            bearing: from straight downwind, radians; the flame leans by the cosine of it towards the target.
            height: of the target above the ground, m.
        """
        radius = self.diameter / 2.0
        if distance <= radius * 1.0001:
            return self.emissive_power
        lean = math.atan(math.tan(self.tilt) * math.cos(bearing))
        length, reach = self.length / radius, distance / radius
        if height > 0.0 and abs(lean) < 1e-6:
            return self._raised(length, reach, height / radius, distance - radius)
        vertical, horizontal = tilted_factors(length, reach, lean)
        factor = min(1.0, math.hypot(vertical, horizontal))
        way = max(distance - radius, 0.05)
        return self.emissive_power * factor * float(transmissivity(self.water_pressure, way))

    def _raised(self, length: float, reach: float, up: float, way: float) -> float:
        """A target within the height of an upright flame sees one cylinder below and one above itself."""
        low, _ = tilted_factors(min(up, length), reach, 0.0)
        high = tilted_factors(length - up, reach, 0.0)[0] if length > up else 0.0
        factor = min(1.0, low + high)
        return self.emissive_power * factor * float(transmissivity(self.water_pressure, max(way, 0.05)))

    def distance_to(self, threshold: float, bearing: float = 0.0) -> float:
        """Return the distance from the pool's centre where the flux falls to ``threshold`` (W/m²), m; 0 if nowhere."""
        return distance_to(lambda x: self.flux(x, bearing), threshold, self.diameter / 2.0 * 1.001)


def burning_rate(name: str | Substance, diameter: float, air_temperature: float = 293.15) -> float:
    """Return the mass burning rate of a pool, kg/(m² s).

    m∞(1 − e^(−kβD)) (Babrauskas 1983) where its constants are known, else Burgess: 0.001 ΔHc/(hv + cp(Tb − Ta)).
    """
    chosen = substance(name)
    if chosen.pool is not None:
        return chosen.pool.rate * (1.0 - math.exp(-min(chosen.pool.extinction * diameter, 700.0)))
    heat = chosen.figure("heat_of_combustion")
    boiling = max(chosen.boiling_point, chosen.lowest)
    warming = max(boiling - air_temperature, 0.0) * chosen.liquid_heat_capacity(min(air_temperature, boiling))
    return 0.001 * heat / (chosen.latent_heat(boiling) + warming)


def flame_length(burning: float, diameter: float, air_density: float, wind: float = 0.0) -> float:
    """Return L by Thomas, m: 42 (m''/ρa√(gD))^0.61 in still air, 55(·)^0.67 u*^−0.21 in wind (CPR 14E 6.12-6.13).

    Below u* = 1 it goes evenly from the one to the other (they differ there by some per cent).
    """
    group = burning / (air_density * math.sqrt(GRAVITY * diameter))
    characteristic = (GRAVITY * burning * diameter / air_density) ** (1.0 / 3.0)
    if wind <= characteristic:
        still, windy = 42.0 * math.pow(group, 0.61), 55.0 * math.pow(group, 0.67)
        return float(still + (windy - still) * wind / characteristic) * diameter
    windy = 55.0 * math.pow(group, 0.67) * math.pow(wind / characteristic, -0.21)
    return windy * diameter


def pritchard_binding(burning: float, diameter: float, air_density: float, wind: float) -> float:
    """Return L of a large LNG pool fire, m: D·10.615(·)^0.305 u*^−0.03 (Pritchard & Binding 1992)."""
    group = burning / (air_density * math.sqrt(GRAVITY * diameter))
    characteristic = (GRAVITY * burning * diameter / air_density) ** (1.0 / 3.0)
    return diameter * 10.615 * math.pow(group, 0.305) * math.pow(max(wind / characteristic, 1.0), -0.03)


def flame_tilt(wind: float, diameter: float, viscosity: float = _VISCOSITY) -> float:
    """Return the tilt from the vertical, radians: tan θ/cos θ = 0.666 Fr^0.333 Re^0.117 (CPR 14E 6.16)."""
    if wind <= 0.0:
        return 0.0
    c = 0.666 * (wind**2 / (GRAVITY * diameter)) ** 0.333 * (wind * diameter / viscosity) ** 0.117
    return math.asin((math.sqrt(4.0 * c * c + 1.0) - 1.0) / (2.0 * c))


def emissive_power(
    chosen: Substance, diameter: float, burning: float, length: float, radiant: float | None = None
) -> float:
    """Return the mean radiation of the flame's surface, W/m².

    LNG and methane by what large tests measured; clean-burning fuels SEPmax = Fs m''ΔHc/(1 + 4L/D) (CPR 14E 6.20);
    sooty hydrocarbons by Mudan's correlation, as far as that energy balance allows.
    """
    heat = chosen.figure("heat_of_combustion")
    if chosen.id in _LIGHT and radiant is None:
        return _LNG_FLUX * (1.0 - math.exp(-diameter / _LNG_SCALE))
    share = radiant if radiant is not None else (0.2 if chosen.id in _CLEAN else 0.35)
    brightest = share * burning * heat / (1.0 + 4.0 * length / diameter)
    if chosen.id in _CLEAN:
        return brightest
    return min(brightest, mudan_emissive_power(diameter))


def mudan_emissive_power(diameter: float) -> float:
    """Return 140e^(−0.12D) + 20(1 − e^(−0.12D)) kW/m² in W/m²: smoky hydrocarbons (Mudan 1984; CPR 14E 6.19)."""
    clear = math.exp(-0.12 * diameter)
    return _BLACKEST * clear + _SOOT_FLUX * (1.0 - clear)


def pool_fire(
    name: str | Substance,
    diameter: float,
    weather: Weather,
    mass: float = math.inf,
    radiant: float | None = None,
    burning: float | None = None,
    remarks: Remarks | None = None,
) -> PoolFire:
    """Return the fire of a round pool.

    Args:
        name: what burns.
        diameter: m.
        weather: wind at 10 m, temperature, humidity.
        mass: kg, for the duration.
        radiant: fraction of the heat of combustion that is radiated; None takes the usual one of the fuel.
        burning: measured kg/(m² s); None takes ``burning_rate``.
        remarks: takes what is said about the result.

    Raises:
        MissingDataError: no heat of combustion is known.
        OutOfRangeError: diameter not between 0.1 and 500 m, or no sensible weather.
    """
    remarks = remarks if remarks is not None else Remarks()
    chosen = substance(name)
    remarks.require("diameter", diameter, 0.1, 500.0, "m", "the pool fire")
    remarks.require("wind", weather.wind, 0.0, 60.0, "m/s", "the pool fire")
    remarks.require("temperature", weather.temperature, 200.0, 340.0, "K", "the pool fire")
    remarks.require("humidity", weather.humidity, 0.0, 1.0, "", "the pool fire")
    if burning is None:
        burning = burning_rate(chosen, diameter, weather.temperature)
    remarks.require("burning", burning, 1e-4, 1.0, "kg/(m² s)", "the pool fire")
    if chosen.id in _LIGHT:
        length = pritchard_binding(burning, diameter, weather.density, weather.wind)
    else:
        length = flame_length(burning, diameter, weather.density, weather.wind)
    if chosen.id in _LIGHT and diameter > 60.0:
        remarks.add(
            "lng-larger-than-tested",
            "no LNG pool fire on land above 35 m was measured; larger ones are smokier than modelled",
            "陆地LNG池火试验直径不超过35 m；更大池火烟气更多，模型偏保守",
        )
    tilt = flame_tilt(weather.wind, diameter)
    froude = weather.wind**2 / (GRAVITY * diameter)
    # a drag of the foot of more than half a diameter was not measured
    dragged = diameter * min(max(1.25 * froude**0.069 if froude > 0.0 else 1.0, 1.0), 1.5)
    area = math.pi * diameter**2 / 4.0
    power = emissive_power(chosen, diameter, burning, length, radiant)
    return PoolFire(
        chosen,
        diameter,
        length,
        tilt,
        dragged,
        burning,
        burning * area,
        power,
        mass / (burning * area),
        water_vapour_pressure(weather.temperature, weather.humidity),
    )

"""Pools: spreading, boiling and evaporation on land or water, as one balance of mass and heat in time.

Spread dr/dt = √(2gh) (CPR 14E 3.2; front law of gravity) until a bund or the least depth of the ground; evaporation by
Mackay & Matsugu 1973 with the logarithmic driving force, which turns into boiling as the vapour pressure nears that of
the air; heat from ground, air, sun and sky; what evaporates cools the pool.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.conventions import GAS_CONSTANT, GRAVITY, Release, Remarks, Weather
from anlan.science.consequence.radiation import water_vapour_pressure
from anlan.science.consequence.substances import Substance, substance

Floats = NDArray[np.float64]

_STEFAN = 5.670374e-8
_AIR_HEAT = 1007.0
_EMISSIVITY = 0.95
_REFLECTED = 0.14
_SCHMIDT, _PRANDTL = 0.8, 0.71
_DIFFUSION_VOLUMES = {"C": 15.9, "H": 2.31, "O": 6.11, "N": 4.54, "Cl": 21.0, "S": 22.9, "F": 14.7, "Br": 21.9}
_AIR_VOLUME = 19.7
_NEAR_BOILING = 0.999
_LEAST_WIND = 0.5
_ROWS = 48


@cache
def grounds() -> dict[str, Any]:
    """Return the document of grounds."""
    text = (resources.files(__package__) / "pools.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return dict(yaml.load(text, Loader=loader))  # noqa: S506 - a safe loader, in C where built


@dataclass(frozen=True, slots=True)
class Spill:
    """What runs into the pool.

    Attributes:
        mass: kg at once; rate: kg/s for ``duration`` s.
        temperature: K of the liquid.
        area: m² of a bund that the pool cannot leave; inf is open ground.
        fixed: whether the pool covers ``area`` from the start.
        ground: concrete, soil, sandy, moist-sand, gravel (AQ/T set only) or water.
        ground_temperature: K; 0 takes that of the air.
    """

    mass: float = 0.0
    rate: float = 0.0
    duration: float = 0.0
    temperature: float = 293.15
    area: float = math.inf
    fixed: bool = False
    ground: str = "concrete"
    ground_temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool in time, arrays of one length: s, m, kg, K, kg/s, and kg evaporated till then."""

    substance: Substance
    time: Floats
    radius: Floats
    mass: Floats
    temperature: Floats
    evaporation: Floats
    evaporated: Floats

    def highest_average(self, window: float = 60.0) -> float:
        """Return the highest evaporation averaged over ``window`` s, kg/s."""
        if self.time[-1] <= window:
            return float(self.evaporated[-1] / max(self.time[-1], 1e-9))
        starts = self.time[self.time <= self.time[-1] - window]
        ends = np.interp(starts + window, self.time, self.evaporated)
        begins = np.interp(starts, self.time, self.evaporated)
        return float(np.max(ends - begins) / window)

    def releases(self, pieces: int = 5, height: float = 0.0, x: float = 0.0, y: float = 0.0) -> list[Release]:
        """Return stretches of constant evaporation, each of the same share of the vapour; their mass is exact."""
        total = float(self.evaporated[-1])
        if total <= 0.0:
            return []
        marks = np.interp(np.linspace(0.0, total, pieces + 1), self.evaporated, self.time)
        marks[0], marks[-1] = self.time[0], self.time[-1]
        result = []
        for start, end in itertools.pairwise(float(mark) for mark in marks):
            if end - start <= 0.0:
                continue
            amount = float(np.interp(end, self.time, self.evaporated) - np.interp(start, self.time, self.evaporated))
            inside = np.linspace(start, end, 9)
            radius = float(np.sqrt(np.mean(np.interp(inside, self.time, self.radius) ** 2)))
            warmth = float(np.mean(np.interp(inside, self.time, self.temperature)))
            result.append(
                Release(
                    self.substance.id,
                    amount / (end - start),
                    end - start,
                    amount,
                    warmth,
                    1.0,
                    math.pi * radius**2,
                    0.0,
                    height,
                    pool=True,
                    x=x,
                    y=y,
                    start=start,
                )
            )
        return result


def transfer_velocity(wind: float, diameter: float, schmidt: float = _SCHMIDT) -> float:
    """Return the mass transfer coefficient, m/s: 0.004786 u^0.78 D^−0.11 Sc^−0.67 (Mackay & Matsugu 1973)."""
    return 0.004786 * math.pow(wind, 0.78) * math.pow(diameter, -0.11) * math.pow(schmidt, -0.67)


def schmidt_number(chosen: Substance, temperature: float = 298.15) -> float:
    """Return ν/D of its vapour in air: D by Fuller et al. 1966 from the formula (mixtures: from the molar mass)."""
    volume = 0.0
    for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", chosen.formula):
        volume += _DIFFUSION_VOLUMES.get(element, 20.0) * int(count or 1)
    grams = chosen.molar_mass * 1000.0
    if volume == 0.0:
        volume = 1.35 * grams
    width = math.cbrt(volume) + math.cbrt(_AIR_VOLUME)
    diffusivity = 1.013e-2 * math.pow(temperature, 1.75) * math.sqrt(1.0 / 28.96 + 1.0 / grams) / (101_325.0 * width**2)
    return 1.56e-5 / diffusivity


def evaporation_flux(
    velocity: float, molar_mass: float, vapour_pressure: float, temperature: float, pressure: float
) -> float:
    """Return the flux from a pool, kg/(m² s): k M P/(RT) ln(1/(1 − Pv/P)); held at 99.9 % of boiling."""
    share = min(vapour_pressure / pressure, _NEAR_BOILING)
    return velocity * molar_mass * pressure / (GAS_CONSTANT * temperature) * -math.log1p(-share)


def instantaneous_radius(volume: float, time: float, start: float = 0.0) -> float:
    """Return the radius of a volume (m³) set free at once, m: r² = r0² + t√(8gV/π)."""
    return math.sqrt(start**2 + time * math.sqrt(8.0 * GRAVITY * volume / math.pi))


def continuous_radius(flow: float, time: float) -> float:
    """Return the radius of a pool fed by ``flow`` m³/s, m: (32 g V̇/9π)^¼ t^¾."""
    return math.pow(32.0 * GRAVITY * flow / (9.0 * math.pi), 0.25) * math.pow(time, 0.75)


def boiling_flux(conductivity: float, diffusivity: float, difference: float, time: float) -> float:
    """Return the heat from the ground, W/m²: k ΔT/√(π α t)."""
    return conductivity * difference / math.sqrt(math.pi * diffusivity * time)


class _Balance:
    """Heat and mass balance of one pool per area, with the substance's properties as short tables."""

    def __init__(self, chosen: Substance, spill: Spill, weather: Weather, which: str) -> None:
        top = min(chosen.saturation_temperature(weather.pressure), float(chosen.saturation.temperature[-1]))
        bottom = max(0.55 * top, 0.6 * chosen.lowest)
        self.top, self.bottom = top, bottom
        self.grid = np.linspace(bottom, top, 240)
        held = np.maximum(self.grid, chosen.lowest)
        self.pressures = np.array([chosen.vapour_pressure(float(t)) for t in self.grid])
        self.latent = np.array([chosen.latent_heat(float(t)) for t in held])
        self.heat = chosen.liquid_heat_capacity(min(max(spill.temperature, chosen.lowest), top))
        self.density = chosen.liquid_density(min(max(spill.temperature, chosen.lowest), top))
        self.mass, self.weather, self.schmidt = chosen.molar_mass, weather, schmidt_number(chosen)
        self.ground_temperature = spill.ground_temperature or weather.temperature
        document = grounds()
        self.water = spill.ground == "water"
        if self.water:
            self.transfer = float(document["water"]["transfer"]["value"])
            self.effusivity = 0.0
        else:
            row = document["grounds"][which][spill.ground]
            self.effusivity = row["conductivity"] / math.sqrt(math.pi * row["diffusivity"])
        vapour = water_vapour_pressure(weather.temperature, weather.humidity)
        # Brunt-type emissivity of the sky with clouds between it and black
        clear = 0.74 + 0.0065 * vapour / 100.0
        sky = clear + 0.8 * weather.cloud * (1.0 - clear)
        self.sky = _EMISSIVITY * sky * _STEFAN * weather.temperature**4
        self.sun = (1.0 - _REFLECTED) * weather.solar

    def wind_transfer(self, diameter: float) -> float:
        return transfer_velocity(max(self.weather.wind, _LEAST_WIND), max(diameter, 0.1), self.schmidt)

    def flux(self, temperature: float, velocity: float) -> float:
        pressure = float(np.interp(temperature, self.grid, self.pressures))
        return evaporation_flux(velocity, self.mass, pressure, temperature, self.weather.pressure)

    def heat_in(self, temperature: float, velocity: float, ground: float) -> float:
        """W/m² without evaporation; ``ground`` is W/m²K of the ground."""
        air = velocity * self.weather.density * _AIR_HEAT * (self.schmidt / _PRANDTL) ** 0.67
        gain = ground * (self.ground_temperature - temperature) + air * (self.weather.temperature - temperature)
        return float(gain + self.sky + self.sun - _EMISSIVITY * _STEFAN * temperature**4)

    def step(
        self, old: float, depth_mass: float, inflow: float, fed: float, velocity: float, ground: float, dt: float
    ) -> tuple[float, float]:
        """Return (temperature, evaporation flux kg/m²s) after ``dt`` s, implicit in temperature.

        ``depth_mass`` and ``inflow`` are kg/m² there and flowing in per s, the latter at ``fed`` K.
        """
        low, high = self.bottom, self.top

        def excess(t: float) -> float:
            stored = depth_mass * self.heat * (t - old) / dt + inflow * self.heat * (t - fed)
            latent = float(np.interp(t, self.grid, self.latent))
            return stored - self.heat_in(t, velocity, ground) + self.flux(t, velocity) * latent

        if excess(high) < 0.0:
            # boils: all heat beyond warming makes vapour
            latent = float(self.latent[-1])
            spare = -excess(high) + self.flux(high, velocity) * latent
            return high, spare / latent
        for _ in range(36):
            middle = 0.5 * (low + high)
            if excess(middle) > 0.0:
                high = middle
            else:
                low = middle
        t = 0.5 * (low + high)
        return t, self.flux(t, velocity)


def pool(
    name: str | Substance,
    spill: Spill,
    weather: Weather,
    horizon: float = 3600.0,
    which: str = "yellow-book",
    steps: int = 240,
    remarks: Remarks | None = None,
) -> Pool:
    """Return the pool of a spill in time, until ``horizon`` or until it is dry.

    Args:
        name: what spills; it must be liquid at ambient pressure at the spill's temperature, or boils at once.
        spill: how it runs out and where.
        weather: wind, temperature, humidity, cloud, sun.
        horizon: s.
        which: set of ground properties: ``yellow-book`` or ``aqt3046``.
        steps: of time, closer at the start.
        remarks: takes what is said about the result.

    Raises:
        OutOfRangeError: negative or huge figures, or a substance that has no liquid in such weather.
        InvalidInputError: an unknown ground, or nothing that spills.
    """
    remarks = remarks if remarks is not None else Remarks()
    chosen = substance(name)
    _check(spill, weather, horizon, which, remarks)
    balance = _Balance(chosen, spill, weather, which)
    fed = min(spill.temperature, balance.top)
    time = horizon * (np.arange(steps + 1) / steps) ** 2
    depth = float(grounds()["least_depth"][spill.ground])
    largest = math.sqrt(spill.area / math.pi) if math.isfinite(spill.area) else math.inf
    state = _State(spill, fed, balance.density, largest)
    rows = [state.row(0.0)]
    for k in range(steps):
        dt = float(time[k + 1] - time[k])
        state.advance(balance, float(time[k]), dt, depth)
        rows.append(state.row(float(time[k + 1])))
        if state.mass <= 0.0 and time[k + 1] >= spill.duration:
            break
    return Pool(chosen, *np.array(rows).T)


class _State:
    """The pool as it stands, and the rings of ground by when they were wetted."""

    def __init__(self, spill: Spill, fed: float, density: float, largest: float) -> None:
        self.spill, self.fed, self.density, self.largest = spill, fed, density, largest
        self.mass, self.temperature, self.evaporated, self.rate = spill.mass, fed, 0.0, 0.0
        volume = spill.mass / density
        start = (volume / math.pi) ** (1.0 / 3.0) if spill.mass > 0.0 else 0.05
        self.radius = largest if spill.fixed else min(start, largest)
        self.areas: list[float] = [math.pi * self.radius**2]
        self.wetted: list[float] = [0.0]

    def row(self, at: float) -> tuple[float, float, float, float, float, float]:
        return at, self.radius, max(self.mass, 0.0), self.temperature, self.rate, self.evaporated

    def advance(self, balance: _Balance, at: float, dt: float, depth: float) -> None:
        inflow = self.spill.rate * min(max((self.spill.duration - at) / dt, 0.0), 1.0)
        self._spread(at, dt, depth, inflow)
        area = math.pi * self.radius**2
        ground = balance.transfer if balance.water else self._ground(balance, at + dt)
        velocity = balance.wind_transfer(2.0 * self.radius)
        temperature, flux = balance.step(
            self.temperature, max(self.mass, 1e-9) / area, inflow / area, self.fed, velocity, ground, dt
        )
        gone = min(flux * area * dt, self.mass + inflow * dt)
        self.mass += inflow * dt - gone
        self.evaporated += gone
        self.rate, self.temperature = gone / dt, temperature

    def _spread(self, at: float, dt: float, depth: float, inflow: float) -> None:
        if self.spill.fixed:
            return
        volume = (self.mass + inflow * dt) / self.density
        # r² grows by 2r√(2gh) dt with h = V/πr²: exact for a constant volume
        grown = math.sqrt(self.radius**2 + dt * math.sqrt(8.0 * GRAVITY * max(volume, 0.0) / math.pi))
        thinnest = math.sqrt(max(volume, 0.0) / (math.pi * depth))
        wanted = min(grown, max(thinnest, self.radius), self.largest)
        if wanted > self.radius:
            self.areas.append(math.pi * (wanted**2 - self.radius**2))
            self.wetted.append(at)
            self.radius = wanted

    def _ground(self, balance: _Balance, now: float) -> float:
        """Mean W/m²K of the ground under the pool: each ring by its own age."""
        ages = np.sqrt(np.maximum(now - np.array(self.wetted), 1e-3))
        areas = np.array(self.areas)
        return float(balance.effusivity * np.sum(areas / ages) / np.sum(areas))


def _check(spill: Spill, weather: Weather, horizon: float, which: str, remarks: Remarks) -> None:
    remarks.require("mass", spill.mass, 0.0, 1e9, "kg", "the pool")
    remarks.require("rate", spill.rate, 0.0, 1e5, "kg/s", "the pool")
    remarks.require("temperature", spill.temperature, 10.0, 1000.0, "K", "the pool")
    remarks.require("wind", weather.wind, 0.0, 60.0, "m/s", "the pool")
    remarks.require("humidity", weather.humidity, 0.0, 1.0, "", "the pool")
    remarks.require("horizon", horizon, 1.0, 30 * 86_400.0, "s", "the pool")
    if spill.mass <= 0.0 and not (spill.rate > 0.0 and spill.duration > 0.0):
        raise InvalidInputError("nothing spills", where="spill", fix="a mass, or a rate with its duration, above 0")
    if spill.area <= 0.0 or math.isnan(spill.area) or (spill.fixed and not math.isfinite(spill.area)):
        raise InvalidInputError(f"a pool of {spill.area:g} m²", where="area", fix="above 0; a fixed pool has an area")
    document = grounds()["grounds"]
    if which not in document:
        raise InvalidInputError(f"no set of grounds {which!r}", where="which", fix=f"one of {', '.join(document)}")
    known = [key for key, row in document[which].items() if isinstance(row, dict)] + ["water"]
    if spill.ground not in known:
        raise InvalidInputError(f"no ground {spill.ground!r} in {which}", where="ground", fix=", ".join(known))
    if weather.wind < _LEAST_WIND:
        remarks.add(
            "calm-pool",
            f"evaporation in a wind below {_LEAST_WIND} m/s is taken as at that wind: free convection keeps it going",
            f"风速低于{_LEAST_WIND} m/s时按该风速计算蒸发（自然对流维持蒸发）",
        )

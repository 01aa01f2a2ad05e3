"""How a vessel or pipe empties in time: gas, boiling and cold liquid, gas pipelines; as stretches for dispersion."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.conventions import (
    GAS_CONSTANT,
    GRAVITY,
    STANDARD_PRESSURE,
    OutOfRangeError,
    Release,
    Remarks,
)
from anlan.science.consequence.discharge import (
    GAS_COEFFICIENT,
    Contents,
    Hole,
    Outflow,
    Phase,
    discharge,
    ideal_gas_flux,
)
from anlan.science.consequence.jets import expand, release_of
from anlan.science.consequence.real_gas import RealGas
from anlan.science.consequence.substances import Substance, substance

Floats = NDArray[np.float64]

_LEVELS = 48
_FRICTION = 0.012
# surface over volume^⅔ of a cylinder three times as long as wide
_WALL = 6.2


class Shape(StrEnum):
    """Shape of a tank."""

    VERTICAL = "vertical cylinder"
    HORIZONTAL = "horizontal cylinder"
    SPHERE = "sphere"


@dataclass(frozen=True, slots=True)
class Tank:
    """A tank: shape, inner diameter m, length (or height) m (not of a sphere), share of volume that is liquid."""

    shape: Shape
    diameter: float
    length: float = 0.0
    fill: float = 0.8

    @property
    def volume(self) -> float:
        """m³."""
        if self.shape is Shape.SPHERE:
            return math.pi * self.diameter**3 / 6.0
        return math.pi * self.diameter**2 / 4.0 * self.length

    @property
    def height(self) -> float:
        """Inner height, m."""
        return self.length if self.shape is Shape.VERTICAL else self.diameter

    def liquid(self, level: Floats | float) -> Floats:
        """Return the volume below a level, m³."""
        h = np.clip(np.asarray(level, dtype=np.float64), 0.0, self.height)
        radius = self.diameter / 2.0
        if self.shape is Shape.VERTICAL:
            result: Floats = math.pi * radius**2 * h
        elif self.shape is Shape.SPHERE:
            result = math.pi * h**2 * (radius - h / 3.0)
        else:
            root = np.sqrt(np.maximum(2.0 * radius * h - h**2, 0.0))
            result = self.length * (radius**2 * np.arccos(np.clip(1.0 - h / radius, -1.0, 1.0)) - (radius - h) * root)
        return result

    def level(self) -> float:
        """Return the level of the liquid, m."""
        heights = np.linspace(0.0, self.height, 401)
        return float(np.interp(self.fill * self.volume, self.liquid(heights), heights))


@dataclass(frozen=True, slots=True)
class Blowdown:
    """A release in time: s, kg/s, Pa and K in the vessel, kg left in it; arrays of one length, and states at the hole.

    ``outflows`` are the states in the opening at some of the times, ``marks``.
    """

    substance: Substance
    time: Floats
    rate: Floats
    pressure: Floats
    temperature: Floats
    mass: Floats
    marks: Floats
    outflows: tuple[Outflow, ...]

    @property
    def released(self) -> Floats:
        """Return kg released till each time."""
        result: Floats = self.mass[0] - self.mass
        return result

    def average(self, duration: float) -> float:
        """Return the mean rate of the first ``duration`` s, kg/s."""
        return float(np.interp(duration, self.time, self.released)) / duration

    def stretches(self, pieces: int = 5, longest: float = 3600.0) -> list[tuple[float, float, float]]:
        """Return (start s, duration s, mean rate kg/s) of equal shares of what is released within ``longest`` s."""
        end = min(float(self.time[-1]), longest)
        total = float(np.interp(end, self.time, self.released))
        if total <= 0.0 or end <= 0.0:
            return []
        rising = np.maximum.accumulate(self.released)
        edges = np.interp(np.linspace(0.0, total, pieces + 1), rising, self.time)
        edges[0], edges[-1] = 0.0, end
        return [
            (start, stop - start, float(np.diff(np.interp([start, stop], self.time, rising))[0]) / (stop - start))
            for start, stop in itertools.pairwise(float(edge) for edge in edges)
            if stop > start
        ]

    def releases(
        self,
        pieces: int = 5,
        height: float = 1.0,
        elevation: float = 0.0,
        air_temperature: float = 293.15,
        rule: str = "droplets",
        longest: float = 3600.0,
    ) -> tuple[list[Release], float]:
        """Return the airborne stretches and the mass that rains out or runs into a pool, kg."""
        result, rained = [], 0.0
        for start, duration, rate in self.stretches(pieces, longest):
            nearest = int(np.argmin(np.abs(self.marks - (start + duration / 2.0))))
            state = replace(self.outflows[nearest], rate=max(rate, 1e-12))
            state = replace(state, area=self.outflows[nearest].area * rate / max(self.outflows[nearest].rate, 1e-12))
            jet = expand(state, air_temperature=air_temperature, height=height, rule=rule)
            rained += jet.rained * duration
            if jet.rate > 1e-9:
                result.append(release_of(jet, duration, height, elevation, start))
        return result, rained


def gas_vessel(
    name: str | Substance,
    volume: float,
    temperature: float,
    pressure: float,
    hole: Hole,
    ambient: float = STANDARD_PRESSURE,
    heat: str = "adiabatic",
) -> Blowdown:
    """Return the blow-down of a vessel of gas.

    Adiabatic: the vessel's gas follows an isentrope of the real gas, so time is an integral over its density and exact
    in the steps. Isothermal: the wall holds the temperature (slow leaks). Wall: free convection from a wall that stays
    at the first temperature warms the gas (seconds to minutes in steel).

    Args:
        name: the gas; volume: m³; temperature: K; pressure: Pa absolute.
        hole: the opening (coefficient 0 takes 0.85).
        ambient: Pa; heat: ``adiabatic``, ``isothermal`` or ``wall``.

    Raises:
        OutOfRangeError: a state that is no gas, or figures out of reason.
    """
    Remarks().require("volume", volume, 1e-6, 1e6, "m³", "the gas vessel")
    chosen = substance(name)
    gas = RealGas(chosen)
    gas.check(temperature, pressure)
    if pressure <= ambient * 1.001:
        raise OutOfRangeError("a vessel at ambient pressure does not blow down", where="pressure", fix="more Pa")
    if heat not in ("adiabatic", "isothermal", "wall"):
        raise InvalidInputError(f"no heat {heat!r}", where="heat", fix="adiabatic, isothermal or wall")
    if heat == "wall":
        return _warmed(gas, volume, temperature, pressure, hole, ambient)
    strength = (hole.coefficient or GAS_COEFFICIENT) * hole.area
    line = gas.isentrope(temperature, pressure, ambient)
    if heat == "adiabatic":
        pressures, temperatures, densities = line.pressure, line.temperature, line.density
        fluxes = line.fluxes()
    else:
        pressures = line.pressure
        temperatures = np.full_like(pressures, temperature)
        densities = gas.density(temperature, pressures)
        factors, gamma = gas.factor(temperature, pressures), chosen.gamma(temperature)
        pairs = zip(pressures, factors, strict=True)
        mass = chosen.molar_mass
        fluxes = np.array([ideal_gas_flux(float(p), temperature, mass, gamma, ambient, float(z)) for p, z in pairs])
    rates = strength * fluxes
    # the last point has no flow and would never be reached: the time to it is that of the mean of the last step
    mean = np.maximum(0.5 * (rates[1:] + rates[:-1]), 1e-12)
    time = np.concatenate([[0.0], np.cumsum(volume * -np.diff(densities) / mean)])
    marks = np.linspace(0, len(pressures) - 2, 9).astype(int)
    states = []
    for k in marks:
        contents = Contents(chosen, float(temperatures[k]), float(pressures[k]), Phase.VAPOUR)
        states.append(_gas_state(gas, contents, hole, ambient))
    return Blowdown(chosen, time, rates, pressures, temperatures, volume * densities, time[marks], tuple(states))


def _convection(chosen: Substance, temperature: float, density: float, difference: float) -> float:
    """W/m²K of turbulent free convection: Nu = 0.104 Ra^⅓; viscosity by Yoon & Thodos 1970, Prandtl number 0.7."""
    reduced = temperature / chosen.critical_temperature
    shape = (
        46.1 * math.pow(reduced, 0.618) - 20.4 * math.exp(-0.449 * reduced) + 19.4 * math.exp(-4.058 * reduced) + 1.0
    )
    scale = math.pow(chosen.critical_temperature, 1 / 6) / math.sqrt(chosen.molar_mass * 1000.0)
    scale *= math.pow(chosen.critical_pressure / STANDARD_PRESSURE, -2 / 3)
    viscosity = shape * 1e-8 / scale
    conductivity = viscosity * chosen.gas_heat_capacity(temperature) / 0.7
    rayleigh = GRAVITY * max(difference, 0.0) / temperature * (density / viscosity) ** 2 * 0.7
    return 0.104 * conductivity * math.cbrt(rayleigh)


def _warmed(gas: RealGas, volume: float, temperature: float, pressure: float, hole: Hole, ambient: float) -> Blowdown:
    """Steps of equal loss of mass, each with the heat that the wall gave meanwhile; flux scaled to the real throat."""
    chosen = gas.substance
    strength = (hole.coefficient or GAS_COEFFICIENT) * hole.area
    surface = _WALL * math.pow(volume, 2 / 3)
    real = gas.throat(temperature, pressure, ambient).flux
    gamma = chosen.gamma(temperature)
    z = float(gas.factor(temperature, pressure))
    scale = real / ideal_gas_flux(pressure, temperature, chosen.molar_mass, gamma, ambient, z)
    mass, at, time, inside = volume * float(gas.density(temperature, pressure)), temperature, 0.0, pressure
    rows: list[tuple[float, float, float, float, float]] = []
    while inside > ambient * 1.003 and len(rows) < 2000:
        z = float(gas.factor(at, inside))
        gamma = chosen.gamma(at)
        rate = strength * scale * ideal_gas_flux(inside, at, chosen.molar_mass, gamma, ambient, z)
        rows.append((time, rate, inside, at, mass))
        step = 0.015 * mass / rate
        capacity = chosen.gas_heat_capacity(at) - GAS_CONSTANT / chosen.molar_mass
        density = mass / volume
        warmth = _convection(chosen, at, density, temperature - at) * surface * (temperature - at)
        mass -= rate * step
        at += (warmth - rate * inside / density) * step / (mass * capacity)
        at = min(max(at, 0.5 * chosen.lowest), temperature)
        time += step
        # two sweeps settle the compressibility at the new state
        for _ in range(2):
            inside = mass / volume * z * GAS_CONSTANT / chosen.molar_mass * at
            z = float(gas.factor(at, inside))
    times, rates, pressures, temperatures, masses = np.array(rows).T
    marks = np.linspace(0, len(rows) - 1, 9).astype(int)
    states = tuple(
        _gas_state(gas, Contents(chosen, rows[k][3], rows[k][2], Phase.VAPOUR), hole, ambient) for k in marks
    )
    return Blowdown(chosen, times, rates, pressures, temperatures, masses, times[marks], states)


def _gas_state(gas: RealGas, contents: Contents, hole: Hole, ambient: float) -> Outflow:
    """Discharge of a vessel's gas, also where it has become a little wet on its isentrope."""
    chosen = gas.substance
    top = float(chosen.saturation.temperature[-1])
    temperature = contents.temperature
    if temperature < top and contents.pressure > chosen.vapour_pressure(temperature):
        temperature = chosen.saturation_temperature(contents.pressure) + 0.01
    return discharge(replace(contents, temperature=temperature), hole, ambient)


def liquid_tank(
    name: str | Substance,
    tank: Tank,
    temperature: float,
    pressure: float,
    hole: Hole,
    hole_height: float = 0.0,
    ambient: float = STANDARD_PRESSURE,
    remarks: Remarks | None = None,
) -> Blowdown:
    """Return the emptying of a tank through a hole at ``hole_height`` m above its bottom.

    Below the level, liquid (cold, or boiling as it leaves) at the vessel's constant pressure; time is an integral over
    the level. Under its own vapour pressure the vessel then goes on with vapour while the rest cools by boiling.

    Args:
        name: the liquid; tank: shape and fill; temperature: K.
        pressure: Pa absolute above the liquid; 0 takes its vapour pressure, at least ambient.
        hole: the opening; ambient: Pa; remarks: takes what is said about the result.
    """
    remarks = remarks if remarks is not None else Remarks()
    remarks.require("fill", tank.fill, 0.0, 1.0, "", "the tank")
    remarks.require("diameter", tank.diameter, 0.01, 200.0, "m", "the tank")
    remarks.require("hole_height", hole_height, 0.0, tank.height, "m", "the tank")
    chosen = substance(name)
    saturation = chosen.vapour_pressure(temperature)
    inside = pressure or max(saturation, ambient)
    density = chosen.liquid_density(temperature)
    level = tank.level()
    start = density * float(tank.liquid(level))
    states: list[Outflow] = []
    rows: list[tuple[float, float, float, float, float]] = []
    if level > hole_height:
        # closer towards the hole, where the flow of a tank without pressure ceases
        levels = hole_height + (level - hole_height) * (1.0 - np.linspace(0.0, 1.0, _LEVELS)) ** 2
        masses = density * tank.liquid(levels)
        for k, height in enumerate(levels):
            head = max(float(height) - hole_height, 0.0)
            states.append(discharge(Contents(chosen, temperature, inside, Phase.LIQUID, head), hole, ambient, remarks))
            if k == 0:
                rows.append((0.0, states[0].rate, inside, temperature, start))
                continue
            mean = max(0.5 * (states[-1].rate + states[-2].rate), 1e-9)
            rows.append(
                (
                    rows[-1][0] + float(masses[k - 1] - masses[k]) / mean,
                    states[-1].rate,
                    inside,
                    temperature,
                    float(masses[k]),
                )
            )
    if saturation > ambient * 1.02:
        remarks.add(
            "vapour-after-liquid",
            "once the level is at the hole the vessel goes on with vapour, the rest of the liquid cooling as it boils",
            "液位降至泄漏口后转为气相泄漏，剩余液体沸腾降温",
        )
        states += _boil_off(chosen, temperature, rows, start, hole, ambient)
    if not rows:
        raise OutOfRangeError(
            f"the level of {level:.3g} m does not reach the hole at {hole_height:g} m, and nothing boils",
            where="hole_height",
            fix=f"below {level:.3g} m",
        )
    time, rate, pressures, temperatures, mass = np.array(rows).T
    marks = np.unique(np.linspace(0, len(time) - 1, 13).astype(int))
    marks = marks[[states[k].rate > 0.0 for k in marks]] if any(states[k].rate > 0.0 for k in marks) else marks
    chosen_states = tuple(states[k] for k in marks)
    return Blowdown(chosen, time, rate, pressures, temperatures, mass, time[marks], chosen_states)


def _boil_off(
    chosen: Substance,
    temperature: float,
    rows: list[tuple[float, float, float, float, float]],
    start: float,
    hole: Hole,
    ambient: float,
) -> list[Outflow]:
    """Vapour from liquid that cools by boiling down to ambient pressure: −cp m dT = hv dm."""
    mass = rows[-1][4] if rows else start
    time = rows[-1][0] if rows else 0.0
    boiling = chosen.saturation_temperature(ambient * 1.02)
    states: list[Outflow] = []
    previous = temperature
    for at in np.linspace(temperature, boiling, 24):
        at = float(at)
        pressure = chosen.vapour_pressure(at)
        state = discharge(Contents(chosen, at, pressure * (1 - 1e-6), Phase.VAPOUR), hole, ambient)
        heat = chosen.liquid_heat_capacity(at) / chosen.latent_heat(at)
        gone = mass * (1.0 - math.exp(-heat * (previous - at)))
        if states and gone > 0.0:
            time += gone / max(0.5 * (states[-1].rate + state.rate), 1e-9)
        mass -= gone
        if states or not rows:
            rows.append((time, state.rate, pressure, at, mass))
            states.append(state)
        else:
            # the change from liquid to vapour is a step: the new rate holds from the same moment on
            rows.append((time + 1e-6, state.rate, pressure, at, mass))
            states.append(state)
        previous = at
    return states


def gas_pipe(
    name: str | Substance,
    diameter: float,
    length: float,
    temperature: float,
    pressure: float,
    hole: Hole | None = None,
    friction: float = _FRICTION,
    ambient: float = STANDARD_PRESSURE,
    remarks: Remarks | None = None,
) -> Blowdown:
    """Return the blow-down of a gas pipeline closed at the far end (Wilson 1979; CPR 14E 2.5.2.5).

    Full bore: q = q0/(1 + α)[e^(−t/(α²β)) + α e^(−t/β)], α = m/(q0 β), β = 0.67 √(γ f L³/(D c²)); all of the mass
    comes out. Through a smaller hole the pipe is a vessel.

    Args:
        name: the gas; diameter, length: m of the pipe; temperature: K; pressure: Pa absolute.
        hole: the opening; None is full bore.
        friction: Darcy factor.
        ambient: Pa; remarks: takes what is said about the result.
    """
    remarks = remarks if remarks is not None else Remarks()
    remarks.require("diameter", diameter, 0.005, 3.0, "m", "the pipe")
    remarks.require("length", length, 1.0, 1e6, "m", "the pipe")
    remarks.require("friction", friction, 0.001, 0.1, "", "the pipe")
    chosen = substance(name)
    volume = math.pi * diameter**2 / 4.0 * length
    if hole is not None and hole.diameter < 0.3 * diameter:
        return gas_vessel(chosen, volume, temperature, pressure, hole, ambient, "isothermal")
    bore = Hole(min(hole.diameter, diameter) if hole else diameter, 1.0)
    gas = RealGas(chosen)
    first = discharge(Contents(chosen, temperature, pressure, Phase.VAPOUR), bore, ambient)
    gamma = chosen.gamma(temperature)
    sound = math.sqrt(float(gas.factor(temperature, pressure)) * gamma * GAS_CONSTANT * temperature / chosen.molar_mass)
    slow = 0.67 * math.sqrt(gamma * friction * length**3 / (diameter * sound**2))
    held = volume * (float(gas.density(temperature, pressure)) - float(gas.density(temperature, ambient)))
    alpha = held / (first.rate * slow)
    if alpha > 1.0:
        remarks.add(
            "short-pipe",
            "the pipe is too short for Wilson's formula; it is emptied as a vessel",
            "管道过短，不适用Wilson公式，按容器放空计算",
        )
        return gas_vessel(chosen, volume, temperature, pressure, bore, ambient)
    fast = alpha**2 * slow
    time = np.concatenate([[0.0], np.geomspace(min(fast, 1.0) * 0.02, 8.0 * slow, 160)])
    early, late = np.exp(-time / fast), np.exp(-time / slow)
    rate = first.rate / (1.0 + alpha) * (early + alpha * late)
    released = first.rate / (1.0 + alpha) * (fast * (1.0 - early) + alpha * slow * (1.0 - late))
    share = rate / first.rate
    pressures = np.maximum(pressure * share, ambient)
    marks = np.linspace(0, len(time) - 1, 9).astype(int)
    states = tuple(
        replace(first, rate=float(rate[k]), pressure=_throat_of(first, float(rate[k]), ambient)) for k in marks
    )
    temperatures = np.full_like(time, temperature)
    return Blowdown(chosen, time, rate, pressures, temperatures, held - released, time[marks], states)


def _throat_of(first: Outflow, rate: float, ambient: float) -> float:
    """Pressure in the opening falls with the flow while it is choked."""
    return max(first.pressure * rate / first.rate, ambient)

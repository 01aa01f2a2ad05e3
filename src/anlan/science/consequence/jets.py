"""From the opening to the air: expansion to ambient pressure, flashing, droplets, rain-out; what dispersion is fed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from anlan.science.consequence.conventions import GAS_CONSTANT, STANDARD_PRESSURE, Release, Remarks
from anlan.science.consequence.discharge import Outflow, liquid_enthalpy
from anlan.science.consequence.substances import Substance, substance

_SURFACE_TENSION_POWER = 11.0 / 9.0
_WEBER = 12.5
_STOKES_DRAG = 0.44
_AIR_DENSITY = 1.2
_LEAST_VELOCITY = 0.1


@dataclass(frozen=True, slots=True)
class ExpandedJet:
    """The jet once it has come to ambient pressure.

    Attributes:
        rate: kg/s that stays airborne; rained: kg/s that falls out as liquid.
        vapour: mass fraction of vapour of what stays airborne; flash: of all, right after expansion.
        temperature: K; density: kg/m³ of the airborne mixture; velocity: m/s; area: m².
        droplet: largest stable droplet, m; 0 without liquid.
    """

    substance: Substance
    rate: float
    rained: float
    vapour: float
    flash: float
    temperature: float
    density: float
    velocity: float
    area: float
    droplet: float


def flash_fraction(name: str | Substance, temperature: float, pressure: float = STANDARD_PRESSURE) -> float:
    """Return the mass fraction that flashes when saturated liquid drops to ``pressure`` (isenthalpic), 0…1."""
    chosen = substance(name)
    boiling = _boiling(chosen, pressure)
    if temperature <= boiling:
        return 0.0
    excess = chosen.liquid_enthalpy(temperature) - chosen.liquid_enthalpy(boiling)
    return min(1.0, excess / chosen.latent_heat(boiling))


def airborne_fraction(flash: float, rule: str = "aqt3046") -> float:
    """Return the share of a flashing release that stays in the air by a rule of thumb.

    ``aqt3046`` is min(1, 5x) (AQ/T 3046-2013 E.2, GB/T 37243-2019), ``ccps`` is min(1, 2x).
    """
    factor = {"aqt3046": 5.0, "ccps": 2.0}[rule]
    return min(1.0, factor * max(flash, 0.0))


def expand(
    outflow: Outflow,
    ambient: float = STANDARD_PRESSURE,
    air_temperature: float = 293.15,
    height: float = 1.0,
    rule: str = "droplets",
    remarks: Remarks | None = None,
) -> ExpandedJet:
    """Return the jet at ambient pressure: momentum u = ue + (pe − pa)A/ṁ, energy, then A = ṁ/(ρu) (CPR 14E 2.5.3).

    Args:
        outflow: state in the opening.
        ambient: Pa; air_temperature: K.
        height: of the opening above ground, m, from where droplets fall.
        rule: what stays airborne: ``droplets`` (largest stable drop, evaporating while it falls), ``aqt3046``,
            ``ccps``, or ``all``.
        remarks: takes what is said about the result.
    """
    remarks = remarks if remarks is not None else Remarks()
    chosen = outflow.substance
    if outflow.rate <= 0.0:
        return ExpandedJet(chosen, 0.0, 0.0, 1.0, 1.0, air_temperature, 1.0, 0.0, 0.0, 0.0)
    thrust = max(outflow.pressure - ambient, 0.0) * outflow.area / outflow.rate
    velocity = max(outflow.velocity + thrust, _LEAST_VELOCITY)
    if outflow.quality >= 1.0:
        return _gas_jet(outflow, velocity, ambient)
    boiling = _boiling(chosen, ambient)
    energy = outflow.enthalpy - 0.5 * velocity**2
    warm = liquid_enthalpy(chosen, boiling)
    if energy <= warm:
        # colder than boiling: nothing flashes
        flash, temperature = 0.0, min(outflow.temperature, boiling)
    else:
        flash, temperature = min(1.0, (energy - warm) / chosen.latent_heat(max(boiling, chosen.lowest))), boiling
    density = _mixture_density(chosen, flash, temperature, ambient)
    droplet = _droplet(chosen, temperature, velocity, density, flash)
    airborne = _stays(chosen, flash, droplet, temperature, air_temperature, height, rule, outflow)
    if airborne < 1.0:
        remarks.add(
            "rain-out",
            f"{(1 - airborne) * 100:.0f} % of the release rains out as liquid and makes a pool",
            f"泄漏量的{(1 - airborne) * 100:.0f}%以液滴形式落地形成液池",
        )
    rate = outflow.rate * airborne
    vapour = min(1.0, flash / airborne) if airborne > 0.0 else 0.0
    density = _mixture_density(chosen, vapour, temperature, ambient)
    area = rate / (density * velocity)
    return ExpandedJet(chosen, rate, outflow.rate - rate, vapour, flash, temperature, density, velocity, area, droplet)


def _gas_jet(outflow: Outflow, velocity: float, ambient: float) -> ExpandedJet:
    """Expansion of a gas: the kinetic energy is taken from its enthalpy, but a jet does not outrun all of it."""
    chosen = outflow.substance
    heat = chosen.gas_heat_capacity(outflow.temperature)
    temperature = outflow.temperature - (velocity**2 - outflow.velocity**2) / (2.0 * heat)
    floor = 0.5 * chosen.lowest
    if chosen.boiling_point > chosen.lowest and temperature < chosen.boiling_point:
        # some of it condenses on expansion; the droplets evaporate at once in the shock and the first air
        temperature = chosen.boiling_point
    temperature = max(temperature, floor)
    density = ambient * chosen.molar_mass / (GAS_CONSTANT * temperature)
    area = outflow.rate / (density * velocity)
    return ExpandedJet(chosen, outflow.rate, 0.0, 1.0, 1.0, temperature, density, velocity, area, 0.0)


def _boiling(chosen: Substance, pressure: float) -> float:
    if pressure == STANDARD_PRESSURE:
        return max(chosen.boiling_point, chosen.lowest)
    return chosen.saturation_temperature(pressure)


def _mixture_density(chosen: Substance, vapour: float, temperature: float, pressure: float) -> float:
    gas = pressure * chosen.molar_mass / (GAS_CONSTANT * temperature)
    return 1.0 / (vapour / gas + (1.0 - vapour) / chosen.liquid_density(temperature))


def _surface_tension(chosen: Substance, temperature: float) -> float:
    """N/m, by corresponding states (Brock & Bird 1955)."""
    boiling = max(chosen.boiling_point, chosen.lowest) / chosen.critical_temperature
    bar = chosen.critical_pressure / 1e5
    shape = 0.1196 * (1.0 + boiling * math.log(bar / 1.01325) / (1.0 - boiling)) - 0.279
    reduced = min(temperature / chosen.critical_temperature, 0.99)
    scale = float(bar ** (2 / 3) * chosen.critical_temperature ** (1 / 3))
    return max(1e-3 * scale * shape * math.pow(1.0 - reduced, _SURFACE_TENSION_POWER), 1e-4)


def _droplet(chosen: Substance, temperature: float, velocity: float, density: float, flash: float) -> float:
    """Return the largest stable droplet, m: critical Weber number 12.5 in air, finer where it flashes (CCPS 1999)."""
    if flash >= 1.0:
        return 0.0
    tension = _surface_tension(chosen, temperature)
    mechanical = _WEBER * tension / (_AIR_DENSITY * velocity**2)
    # a flashing jet breaks by its own vapour: the more it flashes the finer (Witlox et al. 2007, simplified)
    breakup = 1.0 / (1.0 + 30.0 * flash)
    return min(max(mechanical * breakup, 1e-5), 5e-3)


def _stays(
    chosen: Substance,
    flash: float,
    droplet: float,
    temperature: float,
    air: float,
    height: float,
    rule: str,
    outflow: Outflow,
) -> float:
    if rule == "all" or flash >= 1.0:
        return 1.0
    if rule in ("aqt3046", "ccps"):
        return airborne_fraction(flash, rule) if flash > 0.0 else _evaporated(chosen, droplet, temperature, air, height)
    return flash + (1.0 - flash) * _evaporated(chosen, droplet, temperature, air, height)


def _evaporated(chosen: Substance, droplet: float, temperature: float, air: float, height: float) -> float:
    """Share of a spray's mass that does not reach the ground.

    Drops are taken as Rosin-Rammler with the largest stable drop as 90 % size; those below the size that drifts
    (settling velocity 0.3 m/s) stay airborne, the others lose d² by conduction while they fall from ``height``.
    """
    if height <= 0.0:
        return 0.0
    density = chosen.liquid_density(temperature)
    latent = chosen.latent_heat(temperature)
    drifting = 1.2e-4 * math.sqrt(700.0 / density)
    total = 0.0
    steps = 24
    for k in range(steps):
        share = (k + 0.5) / steps
        size = droplet * (math.log(1.0 / (1.0 - share)) / math.log(10.0)) ** 0.5
        if size <= drifting:
            total += 1.0
            continue
        settling = min(math.sqrt(4.0 * 9.81 * size * density / (3.0 * _STOKES_DRAG * _AIR_DENSITY)), 9.0)
        warmth = max(air - min(temperature, chosen.boiling_point), 0.0)
        # d² law with Nusselt 2 + 0.6 Re^½ Pr^⅓ in air (Ranz & Marshall 1952)
        nusselt = 2.0 + 0.55 * math.sqrt(settling * size / 1.5e-5)
        rate = 4.0 * 0.025 * nusselt * warmth / (density * latent)
        left = max(0.0, 1.0 - rate * height / settling / size**2)
        total += 1.0 - left**1.5
    return total / steps


def release_of(
    jet: ExpandedJet,
    duration: float = math.inf,
    height: float = 1.0,
    elevation: float = 0.0,
    start: float = 0.0,
) -> Release:
    """Return what dispersion takes of a jet: the airborne part, from the *expanded* area."""
    return Release(
        jet.substance.id,
        jet.rate,
        duration,
        jet.rate * duration,
        jet.temperature,
        jet.vapour,
        jet.area,
        jet.velocity,
        height,
        elevation,
        start=start,
    )


def rupture(
    name: str | Substance,
    mass: float,
    temperature: float,
    pressure: float,
    ambient: float = STANDARD_PRESSURE,
    air_temperature: float = 293.15,
    rule: str = "ccps",
    remarks: Remarks | None = None,
) -> tuple[Release, float]:
    """Return the cloud of a vessel that bursts, and the mass left as a pool, kg.

    A gas expands isentropically to ambient pressure. Of flashing liquid ``rule`` says what the flash carries up
    (twice its mass by CCPS 1999, five times by AQ/T 3046); the rest is a pool. Of cold liquid nothing is airborne.
    """
    remarks = remarks if remarks is not None else Remarks()
    remarks.require("mass", mass, 1e-6, 1e9, "kg", "rupture")
    remarks.require("pressure", pressure, 1.0, 2e8, "Pa", "rupture")
    chosen = substance(name)
    if not chosen.is_liquid(temperature, pressure) if temperature < chosen.critical_temperature * 0.998 else True:
        gamma = chosen.gamma(temperature)
        cold = temperature * (ambient / max(pressure, ambient)) ** ((gamma - 1.0) / gamma)
        cold = max(cold, chosen.boiling_point)
        return _cloud(chosen, mass, cold, 1.0, ambient), 0.0
    flash = flash_fraction(chosen, temperature, ambient)
    airborne = airborne_fraction(flash, rule)
    at = min(temperature, _boiling(chosen, ambient))
    if airborne == 0.0:
        return replace(_cloud(chosen, 1e-9, at, 1.0, ambient), mass=0.0), mass
    return _cloud(chosen, mass * airborne, at, flash / airborne, ambient), mass * (1.0 - airborne)


def _cloud(chosen: Substance, mass: float, temperature: float, vapour: float, ambient: float) -> Release:
    volume = mass / _mixture_density_any(chosen, vapour, temperature, ambient)
    # a cylinder as high as its radius
    radius = (volume / math.pi) ** (1.0 / 3.0)
    return Release(chosen.id, 0.0, 0.0, mass, temperature, vapour, math.pi * radius**2)


def _mixture_density_any(chosen: Substance, vapour: float, temperature: float, pressure: float) -> float:
    if vapour >= 1.0:
        return pressure * chosen.molar_mass / (GAS_CONSTANT * temperature)
    return _mixture_density(chosen, vapour, temperature, pressure)

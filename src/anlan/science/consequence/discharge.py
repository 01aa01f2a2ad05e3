"""What flows out of a hole: liquid, gas, flashing liquid and two-phase mixture.

Liquid by Bernoulli; gas as the isentropic maximum of a real gas; flashing flow by Leung's omega method for homogeneous
equilibrium, and between it and the cold liquid on short ways (Fauske). Fluxes are in kg/(m² s) per opening; a discharge
coefficient multiplies them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from anlan.science.consequence.conventions import (
    GAS_CONSTANT,
    GRAVITY,
    STANDARD_PRESSURE,
    OutOfRangeError,
    Remarks,
)
from anlan.science.consequence.real_gas import RealGas
from anlan.science.consequence.substances import Substance, substance

LIQUID_COEFFICIENT = 0.61
GAS_COEFFICIENT = 0.85
_RELAXATION = 0.1


class Phase(StrEnum):
    """What reaches the hole."""

    LIQUID = "liquid"
    VAPOUR = "vapour"
    TWO_PHASE = "two-phase"


@dataclass(frozen=True, slots=True)
class Contents:
    """What stands before the hole.

    Attributes:
        substance: name or record.
        temperature: K; pressure: Pa absolute, at the liquid's surface.
        phase: what reaches the hole.
        head: m of liquid above the hole.
        quality: mass fraction of vapour of a two-phase mixture.
    """

    substance: str | Substance
    temperature: float
    pressure: float
    phase: Phase
    head: float = 0.0
    quality: float = 0.0


@dataclass(frozen=True, slots=True)
class Hole:
    """An opening: diameter m, discharge coefficient (0 takes the usual one of the phase), length of the way out, m.

    ``length`` is that of a nozzle or pipe stub: at 0.1 m and more flashing liquid reaches equilibrium in it.
    """

    diameter: float
    coefficient: float = 0.0
    length: float = 0.0

    @property
    def area(self) -> float:
        """m²."""
        return math.pi * self.diameter**2 / 4.0


@dataclass(frozen=True, slots=True)
class Outflow:
    """State in the opening.

    Attributes:
        substance: what flows.
        rate: kg/s; area: m² of the opening.
        pressure: Pa; temperature: K; quality: mass fraction of vapour; density: kg/m³; velocity: m/s, there.
        enthalpy: J/kg of the stagnant contents over saturated liquid at the boiling point (1 atm).
        choked: whether sonic or critical.
        regime: which formula answered.
    """

    substance: Substance
    rate: float
    area: float
    pressure: float
    temperature: float
    quality: float
    density: float
    velocity: float
    enthalpy: float
    choked: bool
    regime: str


def liquid_flux(density: float, overpressure: float, head: float = 0.0) -> float:
    """Return √(2ρΔP + 2ρ²gh), kg/(m² s) (Bernoulli; CPR 14E 2.5.4).

    Args:
        density: kg/m³.
        overpressure: above ambient at the surface, Pa; may be below 0.
        head: m of liquid above the hole.
    """
    drive = 2.0 * density * (overpressure + density * GRAVITY * head)
    return math.sqrt(drive) if drive > 0.0 else 0.0


def ideal_gas_flux(
    pressure: float, temperature: float, molar_mass: float, gamma: float, ambient: float, factor: float = 1.0
) -> float:
    """Return the flux of an ideal gas through a hole, choked or not, kg/(m² s) (CPR 14E 2.5.2; × 1/√Z).

    Args:
        pressure, ambient: Pa absolute.
        temperature: K.
        molar_mass: kg/mol.
        gamma: ratio of heat capacities.
        factor: compressibility factor of the contents.
    """
    if pressure <= ambient:
        return 0.0
    ratio = ((gamma + 1.0) / 2.0) ** (gamma / (gamma - 1.0))
    scale = pressure / math.sqrt(factor)
    if pressure >= ratio * ambient:
        power = (2.0 / (gamma + 1.0)) ** ((gamma + 1.0) / (gamma - 1.0))
        return scale * math.sqrt(gamma * molar_mass / (GAS_CONSTANT * temperature) * power)
    r = ambient / pressure
    drop = r ** (2.0 / gamma) - r ** ((gamma + 1.0) / gamma)
    return scale * math.sqrt(2.0 * gamma * molar_mass / ((gamma - 1.0) * GAS_CONSTANT * temperature) * drop)


def critical_ratio(omega: float) -> float:
    """Return the critical pressure ratio ηc of Leung's equation for ω (Leung 1986, AIChE J. 32:1743).

    η² + (ω² − 2ω)(1 − η)² + 2ω² ln η + 2ω²(1 − η) = 0.
    """
    low, high = 1e-6, 1.0 - 1e-12

    def residue(eta: float) -> float:
        return (
            eta**2
            + (omega**2 - 2.0 * omega) * (1.0 - eta) ** 2
            + 2.0 * omega**2 * math.log(eta)
            + 2.0 * omega**2 * (1.0 - eta)
        )

    for _ in range(200):
        middle = 0.5 * (low + high)
        if residue(middle) > 0.0:
            high = middle
        else:
            low = middle
        if high - low < 1e-13:
            break
    return 0.5 * (low + high)


def omega_of(chosen: Substance, temperature: float, pressure: float, quality: float = 0.0) -> float:
    """Return Leung's ω of saturated contents: α0 + (1 − α0) ρl cp T0 P0 (vfg/hfg)² (liquid density in the product)."""
    liquid = chosen.liquid_density(temperature)
    vapour = chosen.saturated_vapour_density(temperature)
    volume = quality / vapour + (1.0 - quality) / liquid
    void = quality / vapour / volume
    change = (1.0 / vapour - 1.0 / liquid) / chosen.latent_heat(temperature)
    heat = chosen.liquid_heat_capacity(temperature)
    return void + (1.0 - void) * liquid * heat * temperature * pressure * change**2


def saturated_flux(omega: float, pressure: float, density: float, ambient: float) -> tuple[float, float]:
    """Return (flux, throat pressure) of saturated two-phase flow (Leung): density is that of the mixture, kg/m³."""
    ratio = critical_ratio(omega)
    if ratio * pressure > ambient:
        return ratio * math.sqrt(pressure * density / omega), ratio * pressure
    eta = ambient / pressure
    if eta >= 1.0:
        return 0.0, pressure
    drop = -2.0 * (omega * math.log(eta) + (omega - 1.0) * (1.0 - eta))
    return math.sqrt(pressure * density * max(drop, 0.0)) / (omega * (1.0 / eta - 1.0) + 1.0), ambient


def subcooled_flux(
    omega: float, saturation: float, pressure: float, density: float, ambient: float
) -> tuple[float, float]:
    """Return (flux, throat pressure) of liquid below its boiling point at the vessel's pressure (Leung & Grolmes 1988).

    Args:
        omega: ωs at the saturation pressure.
        saturation: vapour pressure of the contents, Pa; pressure: at the hole, Pa.
        density: of the liquid, kg/m³; ambient: Pa.
    """
    if saturation <= ambient:
        return math.sqrt(2.0 * density * max(pressure - ambient, 0.0)), ambient
    share = saturation / pressure
    if share < 2.0 * omega / (1.0 + 2.0 * omega):
        return math.sqrt(2.0 * density * (pressure - saturation)), saturation
    best, place = 0.0, share
    for k in range(401):
        eta = share + (ambient / pressure - share) * k / 400.0
        inner = 2.0 * (1.0 - share) + 2.0 * (omega * share * math.log(share / eta) - (omega - 1.0) * (share - eta))
        flux = math.sqrt(max(inner, 0.0)) / (omega * (share / eta - 1.0) + 1.0)
        if flux > best:
            best, place = flux, eta
    return best * math.sqrt(pressure * density), place * pressure


def fauske_flux(chosen: Substance, temperature: float, pressure: float, ambient: float, length: float) -> float:
    """Return the flux of flashing liquid through a way of ``length`` m, the discharge coefficient in it.

    Fauske 1985 with the non-equilibrium number N: 0 m is a sharp orifice, 0.1 m and more is equilibrium (ERM).
    """
    latent = chosen.latent_heat(temperature)
    liquid = chosen.liquid_density(temperature)
    change = 1.0 / chosen.saturated_vapour_density(temperature) - 1.0 / liquid
    heat = chosen.liquid_heat_capacity(temperature) * temperature
    coefficient = LIQUID_COEFFICIENT
    saturation = min(chosen.vapour_pressure(temperature), pressure)
    driving = max(pressure - ambient, 0.0)
    if driving == 0.0:
        return 0.0
    number = latent**2 / (2.0 * driving * liquid * coefficient**2 * change**2 * heat)
    share = number + length / _RELAXATION if length < _RELAXATION else 1.0
    subcooled = 2.0 * coefficient**2 * liquid * (pressure - saturation)
    # flashing cannot pass more than the orifice passes cold
    cold = coefficient * math.sqrt(2.0 * liquid * driving)
    return min(math.sqrt(max(subcooled, 0.0) + (latent / change) ** 2 / (share * heat)), cold)


def discharge(
    contents: Contents, hole: Hole, ambient: float = STANDARD_PRESSURE, remarks: Remarks | None = None
) -> Outflow:
    """Return what flows through ``hole``, with the formula that fits what stands before it.

    Raises:
        OutOfRangeError: an impossible state, such as liquid above its critical temperature, or a hole without size.
    """
    remarks = remarks if remarks is not None else Remarks()
    chosen = substance(contents.substance)
    remarks.require("hole.diameter", hole.diameter, 1e-5, 10.0, "m", "discharge")
    remarks.require("hole.length", hole.length, 0.0, 1e4, "m", "discharge through a hole")
    remarks.require("hole.coefficient", hole.coefficient, 0.0, 1.0, "", "discharge")
    remarks.require("ambient", ambient, 1e3, 2e7, "Pa", "discharge")
    remarks.require("head", contents.head, 0.0, 500.0, "m", "discharge")
    remarks.require("quality", contents.quality, 0.0, 1.0, "", "discharge")
    remarks.require("pressure", contents.pressure, 1.0, 2e8, "Pa", "discharge")
    if contents.phase is Phase.VAPOUR:
        return _gas_outflow(chosen, contents, hole, ambient)
    return _liquid_outflow(chosen, contents, hole, ambient, remarks)


def _gas_outflow(chosen: Substance, contents: Contents, hole: Hole, ambient: float) -> Outflow:
    gas = RealGas(chosen)
    throat = gas.throat(contents.temperature, contents.pressure, ambient)
    rate = (hole.coefficient or GAS_COEFFICIENT) * hole.area * throat.flux
    enthalpy = _gas_enthalpy(chosen, contents.temperature)
    enthalpy += float(gas.enthalpy(contents.temperature, contents.pressure) - gas.enthalpy(contents.temperature, 1.0))
    return Outflow(
        chosen,
        rate,
        hole.area,
        throat.pressure,
        throat.temperature,
        1.0,
        throat.density,
        throat.velocity,
        enthalpy,
        throat.choked,
        "gas, choked" if throat.choked else "gas, subsonic",
    )


def _gas_enthalpy(chosen: Substance, temperature: float) -> float:
    """Ideal vapour over saturated liquid at the boiling point, J/kg."""
    mean = chosen.gas_heat_capacity(0.5 * (temperature + chosen.boiling_point))
    boiling = min(max(chosen.boiling_point, chosen.lowest), float(chosen.saturation.temperature[-1]))
    return chosen.latent_heat(boiling) + mean * (temperature - chosen.boiling_point)


def liquid_enthalpy(chosen: Substance, temperature: float) -> float:
    """Return the enthalpy of liquid over saturated liquid at the boiling point (1 atm), J/kg; below 0 when colder."""
    boiling = max(chosen.boiling_point, chosen.lowest)
    return chosen.liquid_enthalpy(temperature) - chosen.liquid_enthalpy(boiling)


def _liquid_outflow(chosen: Substance, contents: Contents, hole: Hole, ambient: float, remarks: Remarks) -> Outflow:
    temperature = contents.temperature
    saturation = chosen.vapour_pressure(temperature)
    liquid = chosen.liquid_density(temperature)
    quality = contents.quality if contents.phase is Phase.TWO_PHASE else 0.0
    if contents.pressure < saturation * 0.98:
        raise OutOfRangeError(
            f"liquid {chosen.name_en} ({chosen.name_zh}) at {temperature:g} K boils at {saturation:.4g} Pa; "
            f"a vessel at {contents.pressure:.4g} Pa cannot hold it",
            where="pressure",
            fix=f"{saturation:.4g} Pa or more, or at most {chosen.saturation_temperature(contents.pressure):.1f} K",
        )
    pressure = contents.pressure + liquid * GRAVITY * contents.head
    enthalpy = liquid_enthalpy(chosen, temperature) + quality * chosen.latent_heat(temperature)
    coefficient = hole.coefficient or LIQUID_COEFFICIENT
    if saturation <= ambient and quality == 0.0:
        flux = liquid_flux(liquid, contents.pressure - ambient, contents.head)
        state = (ambient, temperature, 0.0, liquid)
        return _outflow(chosen, coefficient, hole, flux, state, enthalpy, False, "liquid")
    cold = liquid_flux(liquid, contents.pressure - ambient, contents.head)
    if quality == 0.0 and hole.length == 0.0:
        state = (ambient, temperature, 0.0, liquid)
        return _outflow(chosen, coefficient, hole, cold, state, enthalpy, False, "liquid, flashing after the hole")
    omega = omega_of(chosen, temperature, saturation, quality)
    mixture = 1.0 / (quality / chosen.saturated_vapour_density(temperature) + (1.0 - quality) / liquid)
    if quality > 0.0 or pressure <= saturation * 1.001:
        flux, throat = saturated_flux(omega, saturation, mixture, ambient)
    else:
        flux, throat = subcooled_flux(omega, saturation, pressure, liquid, ambient)
    if temperature > 0.9 * chosen.critical_temperature:
        remarks.add(
            "omega-near-critical",
            "flashing flow near the critical point: the omega method is less sure above 0.9 of its temperature",
            "临界点附近的闪蒸流：温度超过临界温度的0.9倍时omega法不确定性增大",
        )
    at = min(temperature, chosen.saturation_temperature(min(throat, saturation)))
    vapour = _equilibrium_quality(chosen, enthalpy, at)
    density = mixture / (omega * (saturation / throat - 1.0) + 1.0) if throat < saturation else mixture
    if quality == 0.0 and hole.length < _RELAXATION:
        # on a short way the liquid has no time to reach equilibrium: as Fauske, evenly in the inverse square
        way = hole.length / _RELAXATION
        flux = 1.0 / math.sqrt((1.0 - way) / max(cold, 1e-9) ** 2 + way / max(flux, 1e-9) ** 2)
        vapour, density = vapour * way, 1.0 / ((1.0 - way) / liquid + way / density)
    state = (throat, at, vapour, density)
    return _outflow(chosen, coefficient, hole, flux, state, enthalpy, throat > ambient, "two-phase (omega)")


def _equilibrium_quality(chosen: Substance, enthalpy: float, temperature: float) -> float:
    excess = enthalpy - liquid_enthalpy(chosen, temperature)
    return min(max(excess / chosen.latent_heat(temperature), 0.0), 1.0)


def _outflow(
    chosen: Substance,
    coefficient: float,
    hole: Hole,
    flux: float,
    state: tuple[float, float, float, float],
    enthalpy: float,
    choked: bool,
    regime: str,
) -> Outflow:
    pressure, temperature, quality, density = state
    return Outflow(
        chosen,
        coefficient * hole.area * flux,
        hole.area,
        pressure,
        temperature,
        quality,
        density,
        flux / density,
        enthalpy,
        choked,
        regime,
    )

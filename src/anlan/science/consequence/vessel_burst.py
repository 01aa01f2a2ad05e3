"""Bursting vessels: energy set free, blast, fragments (CPR 14E 7; Baker et al. 1983; AQ/T 3046 practice)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from anlan.science.consequence.conventions import STANDARD_PRESSURE, Remarks
from anlan.science.consequence.jets import flash_fraction
from anlan.science.consequence.substances import Substance, substance
from anlan.science.consequence.vapour_cloud import Blast, tnt

_TNT_HEAT = 4.52e6
_FRAGMENT_SHARE = 0.04


@dataclass(frozen=True, slots=True)
class VesselBurst:
    """A burst: energy J, equivalent TNT kg, its blast, first speed (m/s) and farthest flight (m) of fragments."""

    energy: float
    tnt_mass: float
    blast: Blast
    fragment_velocity: float
    fragment_range: float


def brode_energy(volume: float, pressure: float, gamma: float, ambient: float = STANDARD_PRESSURE) -> float:
    """Return the energy of compressed gas, J: (P − P0) V/(γ − 1) (Brode 1959): constant volume, an upper bound."""
    return (pressure - ambient) * volume / (gamma - 1.0)


def isentropic_energy(volume: float, pressure: float, gamma: float, ambient: float = STANDARD_PRESSURE) -> float:
    """Return the work of isentropic expansion to ambient pressure, J: PV/(γ − 1) [1 − (P0/P)^((γ−1)/γ)]."""
    return pressure * volume / (gamma - 1.0) * (1.0 - math.pow(ambient / pressure, (gamma - 1.0) / gamma))


def flashing_energy(
    name: str | Substance, mass: float, temperature: float, ambient: float = STANDARD_PRESSURE
) -> float:
    """Return the work of liquid above its boiling point that flashes, J: m[(h1 − h2) − (s1 − s2) Tb] (Prugh 1991)."""
    chosen = substance(name)
    boiling = max(chosen.boiling_point, chosen.lowest)
    if temperature <= boiling or flash_fraction(chosen, temperature, ambient) <= 0.0:
        return 0.0
    enthalpy = chosen.liquid_enthalpy(temperature) - chosen.liquid_enthalpy(boiling)
    entropy = chosen.liquid_entropy(temperature) - chosen.liquid_entropy(boiling)
    return mass * max(enthalpy - entropy * boiling, 0.0)


def vessel_burst(
    name: str | Substance,
    volume: float,
    pressure: float,
    temperature: float,
    fill: float = 0.0,
    shell: float = 0.0,
    ambient: float = STANDARD_PRESSURE,
    remarks: Remarks | None = None,
) -> VesselBurst:
    """Return what a vessel does when it bursts.

    Args:
        name: its contents; volume: m³; pressure: at the burst, Pa absolute; temperature: K.
        fill: share of the volume that is liquid; the liquid's flash adds to the gas's expansion.
        shell: mass of the vessel, kg; 0 leaves the fragments out.
        ambient: Pa.
        remarks: takes what is said about the result.

    Raises:
        OutOfRangeError: a pressure below ambient, a liquid above its critical temperature, sizes out of reason.
    """
    remarks = remarks if remarks is not None else Remarks()
    remarks.require("volume", volume, 1e-4, 1e6, "m³", "the vessel burst")
    remarks.require("pressure", pressure, ambient * 1.001, 2e8, "Pa", "the vessel burst")
    remarks.require("temperature", temperature, 20.0, 2000.0, "K", "the vessel burst")
    remarks.require("fill", fill, 0.0, 1.0, "", "the vessel burst")
    remarks.require("shell", shell, 0.0, 1e7, "kg", "the vessel burst")
    chosen = substance(name)
    gamma = chosen.gamma(temperature)
    energy = isentropic_energy(volume * (1.0 - fill), pressure, gamma, ambient)
    if fill > 0.0:
        liquid = volume * fill * chosen.liquid_density(temperature)
        energy += flashing_energy(chosen, liquid, temperature, ambient)
    # near the ground the blast of a burst is doubled by its reflection (Baker); the hemispherical curve holds that
    mass = energy / _TNT_HEAT
    velocity = fly = 0.0
    if shell > 0.0:
        velocity = math.sqrt(2.0 * _FRAGMENT_SHARE * energy / shell)
        fly = velocity**2 / 9.80665
        remarks.add(
            "fragments-in-vacuum",
            "the flight of fragments leaves out drag and lift: an upper bound for blunt pieces",
            "碎片飞行距离未计空气阻力与升力，对钝形碎片为上限",
        )
    return VesselBurst(energy, mass, tnt(max(mass, 1e-6), ambient), velocity, fly)

"""Mixtures as substances: properties by components (ideal solution, Raoult; Le Chatelier; Kay's rule)."""

from __future__ import annotations

from typing import Any

import numpy as np

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.conventions import GAS_CONSTANT, STANDARD_PRESSURE
from anlan.science.consequence.substances import (
    Figure,
    Floats,
    Reactivity,
    Saturation,
    Substance,
    pool_burning,
    substance,
)

_ROWS = 44


def mixture(
    components: dict[str, float], name: str = "mixture", name_zh: str = "混合物", reactivity: Reactivity | None = None
) -> Substance:
    """Return a mixture by mole fractions, as one substance.

    Liquid: ideal solution with Raoult's bubble pressure (components above their critical temperature by the
    extrapolated vapour pressure); flammable limits by Le Chatelier over the burning part (inert gases dilute it: an
    estimate, marked low); heat of combustion by mass.

    Raises:
        InvalidInputError: a fraction is not above 0, or they do not add to 1.
        NotFoundError: a component is not in the table.
    """
    total = sum(components.values())
    if not components or not all(share > 0.0 for share in components.values()) or not abs(total - 1.0) < 1e-3:
        raise InvalidInputError(
            f"the mole fractions of {name} add to {total:g}", where="components", fix="each above 0, together 1"
        )
    parts = [substance(key) for key in components]
    mole = np.array(list(components.values())) / total
    masses = np.array([part.molar_mass for part in parts])
    mean = float(mole @ masses)
    mass = mole * masses / mean
    critical = float(mole @ [part.critical_temperature for part in parts])
    pressure = float(mole @ [part.critical_pressure for part in parts])
    acentric = float(mole @ [part.acentric for part in parts])
    lowest = float(np.clip(mole @ [part.lowest for part in parts], 0.35 * critical, 0.8 * critical))
    gas: Floats = np.asarray(mass @ np.array([part.gas for part in parts]), dtype=np.float64)
    line = _saturation(parts, mole, mass, lowest, critical)
    boiling = float(-1.0 / np.interp(np.log(STANDARD_PRESSURE), np.log(line.pressure), -1.0 / line.temperature))
    return Substance(
        name,
        "",
        name,
        name_zh,
        "",
        mean,
        boiling,
        critical,
        pressure,
        acentric,
        lowest,
        gas,
        line,
        "by components, ideal solution",
        _burning(parts, mole, mass),
        reactivity=reactivity or _fastest(parts),
        components=dict(components),
    )


def _fastest(parts: list[Substance]) -> Reactivity | None:
    order = [Reactivity.HIGH, Reactivity.MEDIUM, Reactivity.LOW]
    present = [part.reactivity for part in parts if part.reactivity is not None]
    return min(present, key=order.index) if present else None


def _saturation(parts: list[Substance], mole: Floats, mass: Floats, lowest: float, critical: float) -> Saturation:
    share = np.linspace(0.0, 1.0, _ROWS)
    temperatures = 0.995 * critical - (0.995 * critical - lowest) * (1.0 - share) ** 1.4
    columns = np.zeros((7, _ROWS))
    for part, x, w in zip(parts, mole, mass, strict=True):
        own = part.saturation
        held = np.clip(temperatures, own.temperature[0], own.temperature[-1])
        columns[0] += x * _pressures(own, temperatures)
        columns[1] += w / np.interp(held, own.temperature, own.liquid_density)
        columns[3] += w * np.interp(held, own.temperature, own.liquid_heat_capacity)
        columns[4] += w * np.interp(held, own.temperature, own.latent_heat)
    columns[1] = 1.0 / columns[1]
    mean = float(mole @ [part.molar_mass for part in parts])
    columns[2] = columns[0] * mean / (GAS_CONSTANT * temperatures)
    steps = np.diff(temperatures)
    columns[5, 1:] = np.cumsum(steps * 0.5 * (columns[3, 1:] + columns[3, :-1]))
    rate = columns[3] / temperatures
    columns[6, 1:] = np.cumsum(steps * 0.5 * (rate[1:] + rate[:-1]))
    return Saturation(temperatures, *columns)


def _pressures(line: Saturation, temperatures: Floats) -> Floats:
    """Vapour pressure, carried on along ln p over 1/T beyond both ends of the line."""
    x, logs = -1.0 / line.temperature, np.log(line.pressure)
    wanted = -1.0 / temperatures
    values = np.interp(wanted, x, logs)
    below, above = wanted < x[0], wanted > x[-1]
    values[below] = logs[0] + (wanted[below] - x[0]) * (logs[1] - logs[0]) / (x[1] - x[0])
    values[above] = logs[-1] + (wanted[above] - x[-1]) * (logs[-1] - logs[-5]) / (x[-1] - x[-5])
    result: Floats = np.exp(values)
    return result


def _burning(parts: list[Substance], mole: Floats, mass: Floats) -> dict[str, Figure]:
    burns = np.array([part.flammable for part in parts])
    if not burns.any():
        return {}
    fuel = float(mole[burns].sum())
    figures: dict[str, Figure] = {}
    for name in ("lfl", "ufl"):
        limits = np.array([part.figure(name) for part in parts if part.flammable])
        value = 1.0 / float(np.sum(mole[burns] / fuel / limits)) / fuel
        if value < 1.0:
            figures[name] = Figure(value, "mole fraction", "Le Chatelier", "medium" if fuel > 0.9 else "low")
    if all("heat_of_combustion" in part.figures for part in parts if part.flammable):
        heat = sum(
            float(w) * part.figure("heat_of_combustion") for part, w in zip(parts, mass, strict=True) if part.flammable
        )
        figures["heat_of_combustion"] = Figure(heat, "J/kg", "by components", "high")
    if all("burning_velocity" in part.figures for part in parts if part.flammable):
        velocity = sum(
            float(x) / fuel * part.figure("burning_velocity")
            for part, x in zip(parts, mole, strict=True)
            if part.flammable
        )
        figures["burning_velocity"] = Figure(velocity, "m/s", "mole mean of components", "low")
    return figures


def from_entry(entry: dict[str, Any]) -> Substance:
    """Return the mixture of an entry of ``substances.yaml``; figures given for the bulk outrank those by components."""
    from dataclasses import replace

    made = mixture(
        {key: float(value) for key, value in entry["components"].items()},
        entry["en"],
        entry["zh"],
        Reactivity(entry["reactivity"]) if "reactivity" in entry else None,
    )
    figures = dict(made.figures)
    if "limits" in entry:
        low, high = entry["limits"]
        figures["lfl"] = Figure(low / 100.0, "mole fraction", "surrogate", "medium")
        figures["ufl"] = Figure(high / 100.0, "mole fraction", "surrogate", "medium")
    if "flash_point" in entry:
        figures["flash_point"] = Figure(entry["flash_point"], "K", "surrogate", "low")
    if "heat" in entry:
        figures["heat_of_combustion"] = Figure(entry["heat"] * 1e6, "J/kg", "surrogate", "medium")
    return replace(made, id=entry["id"], figures=figures, pool=pool_burning(entry))

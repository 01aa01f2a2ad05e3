"""Substances of the trade: identity, hazard data with source, physical properties by temperature, mixtures.

Hazard data stand in ``substances.yaml``; physical properties in ``properties.txt``, tabulated from CoolProp or the
``chemicals`` package by ``property_tables``. Everything is read once, on first use; no property library is imported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.science.consequence.conventions import GAS_CONSTANT, STANDARD_PRESSURE, OutOfRangeError
from anlan.science.consequence.gas import Gas

Floats = NDArray[np.float64]

_RECOMMENDED_SET = "probit"


class MissingDataError(InvalidInputError):
    """A figure of a substance that a model needs and the table does not have."""

    code = "missing-data"


class Reactivity(StrEnum):
    """How fast a flame accelerates: class of the Baker-Strehlow-Tang method."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the trade: its value, unit, where it comes from and how sure it is (high, medium, low)."""

    value: float
    unit: str
    source: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Probit:
    """Toxic probit Pr = a + b ln(Cⁿ t), C in ``unit`` (mg/m³ or ppm; never mixed), t in minutes."""

    a: float
    b: float
    n: float
    unit: str
    source: str
    confidence: str


@dataclass(frozen=True, slots=True)
class PoolBurning:
    """Burning of a pool: rate of a very large one, kg/(m² s), and kβ, 1/m (inf where size does not matter)."""

    rate: float
    extinction: float
    source: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Saturation:
    """The saturation line by rising temperature, each shape (n,), SI."""

    temperature: Floats
    pressure: Floats
    liquid_density: Floats
    vapour_density: Floats
    liquid_heat_capacity: Floats
    latent_heat: Floats
    liquid_enthalpy: Floats
    liquid_entropy: Floats


@dataclass(frozen=True, slots=True)
class Substance:
    """One substance or mixture; temperatures in K, pressures in Pa absolute, masses in kg.

    Attributes:
        molar_mass: kg/mol.
        boiling_point: at 101 325 Pa; of a mixture its bubble point.
        critical_temperature, critical_pressure, acentric: of the equation of state.
        lowest: temperature where the tables begin, near the melting point.
        gas: coefficients of the ideal-gas heat capacity, J/kgK, polynomial in T/1000 K.
        property_source: the library behind the physical properties.
        figures: lfl, ufl (mole fraction), flash_point, autoignition, heat_of_combustion (J/kg, net),
            burning_velocity (m/s), idlh (ppm).
        guidance: ``erpg`` and ``aegl-<minutes>`` to three figures in ppm (None where not set).
        probits: by set: ``probit`` (mg/m³, the default) and ``probit_ppm``.
        components: mole fractions of a mixture; empty for a pure substance.
    """

    id: str
    cas: str
    name_en: str
    name_zh: str
    formula: str
    molar_mass: float
    boiling_point: float
    critical_temperature: float
    critical_pressure: float
    acentric: float
    lowest: float
    gas: Floats = field(repr=False)
    saturation: Saturation = field(repr=False)
    property_source: str
    figures: dict[str, Figure] = field(default_factory=dict)
    guidance: dict[str, tuple[float | None, float | None, float | None]] = field(default_factory=dict)
    probits: dict[str, Probit] = field(default_factory=dict)
    reactivity: Reactivity | None = None
    pool: PoolBurning | None = None
    components: dict[str, float] = field(default_factory=dict)

    def figure(self, name: str) -> float:
        """Return the value of a figure.

        Raises:
            MissingDataError: the table has none for this substance.
        """
        found = self.figures.get(name)
        if found is None:
            raise MissingDataError(
                f"{self.name_en} ({self.name_zh}) has no {name.replace('_', ' ')} in the table of substances",
                where=self.id,
                fix=f"give {name}, or take a substance that has one",
            )
        return found.value

    @property
    def flammable(self) -> bool:
        """Whether it burns in air: a lower flammable limit is known."""
        return "lfl" in self.figures

    def probit(self, which: str = _RECOMMENDED_SET) -> Probit:
        """Return the toxic probit of a set: ``probit`` in mg/m³ (CPR 18E, AQ/T 3046) or ``probit_ppm`` (Lees)."""
        found = self.probits.get(which)
        if found is None:
            raise MissingDataError(
                f"{self.name_en} ({self.name_zh}) has no toxic probit in the set {which}",
                where=self.id,
                fix=f"one of the sets {', '.join(self.probits)}"
                if self.probits
                else "use IDLH, AEGL or ERPG distances",
            )
        return found

    def vapour_pressure(self, temperature: float) -> float:
        """Return the vapour pressure (of a mixture: bubble pressure), Pa.

        Raises:
            OutOfRangeError: above the critical temperature, or far below the table.
        """
        line = self.saturation
        self._within(temperature)
        if temperature < line.temperature[0]:
            slope = math.log(line.pressure[1] / line.pressure[0]) / (1 / line.temperature[0] - 1 / line.temperature[1])
            return float(line.pressure[0] * math.exp(slope * (1.0 / line.temperature[0] - 1.0 / temperature)))
        return math.exp(np.interp(-1.0 / temperature, -1.0 / line.temperature, np.log(line.pressure)))

    def saturation_temperature(self, pressure: float = STANDARD_PRESSURE) -> float:
        """Return the boiling temperature at ``pressure``, K.

        Raises:
            OutOfRangeError: pressure not between nearly 0 and the critical pressure.
        """
        line = self.saturation
        if not 0.0 < pressure <= line.pressure[-1]:
            raise OutOfRangeError(
                f"{self.name_en} does not boil at {pressure:g} Pa",
                where="pressure",
                fix=f"above 0 and at most {line.pressure[-1]:.4g} Pa, its critical pressure",
            )
        if pressure < line.pressure[0]:
            slope = math.log(line.pressure[1] / line.pressure[0]) / (1 / line.temperature[0] - 1 / line.temperature[1])
            return float(1.0 / (1.0 / line.temperature[0] + math.log(line.pressure[0] / pressure) / slope))
        return float(-1.0 / np.interp(math.log(pressure), np.log(line.pressure), -1.0 / line.temperature))

    def liquid_density(self, temperature: float) -> float:
        """Return the density of the saturated liquid, kg/m³."""
        return self._at(temperature, self.saturation.liquid_density)

    def saturated_vapour_density(self, temperature: float) -> float:
        """Return the density of the saturated vapour, kg/m³."""
        return self._at(temperature, self.saturation.vapour_density)

    def liquid_heat_capacity(self, temperature: float) -> float:
        """Return the heat capacity of the liquid, J/kgK."""
        return self._at(temperature, self.saturation.liquid_heat_capacity)

    def latent_heat(self, temperature: float) -> float:
        """Return the heat of vaporisation, J/kg."""
        return self._at(temperature, self.saturation.latent_heat)

    def liquid_enthalpy(self, temperature: float) -> float:
        """Return the enthalpy of the saturated liquid over that at the start of the table, J/kg."""
        return self._at(temperature, self.saturation.liquid_enthalpy)

    def liquid_entropy(self, temperature: float) -> float:
        """Return the entropy of the saturated liquid over that at the start of the table, J/kgK."""
        return self._at(temperature, self.saturation.liquid_entropy)

    def gas_heat_capacity(self, temperature: float) -> float:
        """Return the ideal-gas heat capacity at constant pressure, J/kgK; the fit holds from 150 to 1500 K."""
        held = min(max(temperature, 150.0), 1500.0) / 1000.0
        return float(np.polynomial.polynomial.polyval(held, self.gas))

    def gamma(self, temperature: float) -> float:
        """Return the ratio of heat capacities of the ideal gas."""
        heat = self.gas_heat_capacity(temperature)
        return heat / (heat - GAS_CONSTANT / self.molar_mass)

    def gas_density(self, temperature: float, pressure: float = STANDARD_PRESSURE) -> float:
        """Return the density as an ideal gas, kg/m³."""
        return pressure * self.molar_mass / (GAS_CONSTANT * temperature)

    def is_liquid(self, temperature: float, pressure: float) -> bool:
        """Return whether it is liquid at this state: below critical and at or above the vapour pressure."""
        return temperature < self.critical_temperature and pressure >= self.vapour_pressure(temperature) * (1 - 1e-9)

    def _within(self, temperature: float) -> None:
        top = float(self.saturation.temperature[-1])
        if not temperature <= top:
            raise OutOfRangeError(
                f"liquid {self.name_en} ({self.name_zh}) cannot exist at {temperature:g} K",
                where="temperature",
                fix=f"below its critical temperature of {self.critical_temperature:.2f} K, or take it as a gas",
            )
        if not temperature > 0.5 * self.lowest:
            raise OutOfRangeError(
                f"{temperature:g} K is too cold for the properties of {self.name_en}",
                where="temperature",
                fix=f"{self.lowest:.1f} K or more",
            )

    def _at(self, temperature: float, values: Floats) -> float:
        self._within(temperature)
        return float(np.interp(temperature, self.saturation.temperature, values))


def _load(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


@cache
def _document() -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return dict(yaml.load(_load("substances.yaml"), Loader=loader))  # noqa: S506 - a safe loader, in C where built


def entries() -> list[dict[str, Any]]:
    """Return the raw entries of ``substances.yaml`` of pure substances."""
    return list(_document()["substances"])


def sources() -> dict[str, str]:
    """Return what each source mark of the table stands for."""
    return dict(_document()["meta"]["sources"])


@cache
def _blocks() -> dict[str, str]:
    return {block.partition("|")[0]: block for block in _load("properties.txt").split(">")[1:]}


@cache
def _index() -> dict[str, str]:
    names: dict[str, str] = {}
    for entry in [*entries(), *_document()["mixtures"]]:
        spoken = (entry["en"], entry["zh"], entry.get("cas", ""), *entry.get("aliases", ()), entry["id"])
        for name in filter(None, spoken):
            names.setdefault(_plain(str(name)), entry["id"])
    for entry in entries():
        names.setdefault(_plain(entry["formula"]), entry["id"])
    return names


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_").replace(",", "_")


def substances() -> tuple[str, ...]:
    """Return the ids of all substances and mixtures."""
    return tuple(entry["id"] for entry in [*entries(), *_document()["mixtures"]])


def substance(name: str | Substance) -> Substance:
    """Return a substance by id, CAS number, formula, or Chinese or English name.

    Raises:
        NotFoundError: none has this name; tells the nearest ones.
    """
    if isinstance(name, Substance):
        return name
    found = _index().get(_plain(name))
    if found is None:
        import difflib

        near = difflib.get_close_matches(_plain(name), _index(), n=3, cutoff=0.6)
        near_ids = list(dict.fromkeys(_index()[item] for item in near))
        raise NotFoundError(
            f"no substance called {name!r} in the table",
            where="substance",
            fix=f"perhaps {', '.join(near_ids)}" if near_ids else "an id, CAS number, or Chinese or English name",
        )
    return _made(found)


@cache
def _made(identity: str) -> Substance:
    for entry in entries():
        if entry["id"] == identity:
            return _pure(entry)
    for entry in _document()["mixtures"]:
        if entry["id"] == identity:
            from anlan.science.consequence.mixtures import from_entry

            return from_entry(entry)
    raise NotFoundError(f"no substance called {identity!r}", where="substance")


def _pure(entry: dict[str, Any]) -> Substance:
    lines = _blocks()[entry["id"]].splitlines()
    _, source, *constants = lines[0].split("|")
    mass, boiling, critical, pressure, acentric, lowest = map(float, constants)
    columns = np.array([line.split() for line in lines[2:]], dtype=np.float64).T
    return Substance(
        entry["id"],
        entry["cas"],
        entry["en"],
        entry["zh"],
        entry["formula"],
        mass,
        entry.get("sublimation", {}).get("temperature", boiling),
        critical,
        pressure,
        acentric,
        lowest,
        np.array(lines[1].split(), dtype=np.float64),
        Saturation(*columns),
        source,
        _figures(entry),
        _guidance(entry.get("toxicity", {})),
        _probits(entry.get("toxicity", {})),
        Reactivity(entry["flammability"]["reactivity"]["value"]) if "flammability" in entry else None,
        pool_burning(entry),
    )


def pool_burning(entry: dict[str, Any]) -> PoolBurning | None:
    """Return how a pool of it burns, from an entry of the table."""
    raw = entry.get("pool_fire")
    if raw is None:
        return None
    return PoolBurning(
        raw["burning_rate"], math.inf if raw["k_beta"] is None else raw["k_beta"], raw["source"], raw["confidence"]
    )


def _figures(entry: dict[str, Any]) -> dict[str, Figure]:
    flammability = entry.get("flammability", {})
    figures: dict[str, Figure] = {}
    for name, unit, factor in (
        ("flash_point", "K", 1.0),
        ("autoignition", "K", 1.0),
        ("heat_of_combustion", "J/kg", 1e6),
        ("burning_velocity", "m/s", 1.0),
    ):
        raw = flammability.get(name)
        if raw is not None:
            figures[name] = Figure(raw["value"] * factor, unit, raw["source"], raw["confidence"])
    limits = flammability.get("limits")
    if limits is not None:
        for name in [key for key in ("lfl", "ufl") if limits[key] is not None]:
            figures[name] = Figure(limits[name] / 100.0, "mole fraction", limits["source"], limits["confidence"])
    idlh = entry.get("toxicity", {}).get("idlh")
    if idlh is not None:
        figures["idlh"] = Figure(idlh["value"], "ppm", idlh["source"], idlh["confidence"])
    return figures


def _guidance(toxicity: dict[str, Any]) -> dict[str, tuple[float | None, float | None, float | None]]:
    guidance: dict[str, tuple[float | None, float | None, float | None]] = {}
    if "erpg" in toxicity:
        first, second, third = toxicity["erpg"]["values"]
        guidance["erpg"] = (first, second, third)
    for minutes, values in toxicity.get("aegl", {}).get("values", {}).items():
        first, second, third = values
        guidance[f"aegl-{minutes}"] = (first, second, third)
    return guidance


def _probits(toxicity: dict[str, Any]) -> dict[str, Probit]:
    units = {"probit": "mg/m³", "probit_ppm": "ppm"}
    return {
        name: Probit(raw["a"], raw["b"], raw["n"], unit, raw["source"], raw["confidence"])
        for name, unit in units.items()
        if (raw := toxicity.get(name)) is not None
    }


def _sublimation(identity: str) -> dict[str, float]:
    """What stands for the liquid where a substance has none at ambient pressure: its solid."""
    for entry in entries():
        if entry["id"] == identity:
            return dict(entry.get("sublimation", {}))
    return {}


@cache
def _gas_of(identity: str) -> Gas:
    return _gas(substance(identity))


def gas_of(name: str | Substance) -> Gas:
    """Return what dispersion needs of a substance.

    Vapour heat capacity is of the ideal gas between boiling point and 293 K; the vapour pressure constants fit the
    saturation line from 60 K below to 40 K above the boiling point (where dilution cools a cloud).
    """
    return _gas(name) if isinstance(name, Substance) else _gas_of(substance(name).id)


def _gas(chosen: Substance) -> Gas:
    boiling, line = chosen.boiling_point, chosen.saturation
    liquid = min(max(boiling, float(line.temperature[0])), float(line.temperature[-1]))
    low, high = max(boiling - 60.0, chosen.lowest), min(boiling + 40.0, float(line.temperature[-1]))
    b, c = -1.0, 0.0
    if high - low > 5.0 and low < boiling:
        temperatures = np.linspace(low, high, 21)
        logs = np.log([chosen.vapour_pressure(float(t)) / STANDARD_PRESSURE for t in temperatures])
        # ln p = a - b/(T + c)  <=>  T ln p = a T - c ln p + (a c - b): linear least squares
        design = np.column_stack([temperatures, -logs, np.ones_like(temperatures)])
        (a, c, rest), *_ = np.linalg.lstsq(design, temperatures * logs, rcond=None)
        b = float(a * c - rest)
        if not (b > 0.0 and abs(c) < 0.5 * boiling):
            b, c = -1.0, 0.0
    mean = 0.5 * (boiling + max(293.15, boiling))
    solid = _sublimation(chosen.id)
    return Gas(
        chosen.molar_mass,
        chosen.gas_heat_capacity(mean),
        boiling,
        solid.get("latent_heat", chosen.latent_heat(liquid)),
        solid.get("heat_capacity", chosen.liquid_heat_capacity(liquid)),
        solid.get("density", chosen.liquid_density(liquid)),
        b,
        float(c),
    )


def ppm_from_density(name: str | Substance, concentration: float, temperature: float, pressure: float) -> float:
    """Return ppm by volume of a vapour density in air, kg/m³, at the temperature (K) and pressure (Pa) of the air."""
    return 1e6 * concentration * GAS_CONSTANT * temperature / (pressure * substance(name).molar_mass)


def density_from_ppm(name: str | Substance, ppm: float, temperature: float, pressure: float) -> float:
    """Return the vapour density in air, kg/m³, of ppm by volume."""
    return ppm * 1e-6 * pressure * substance(name).molar_mass / (GAS_CONSTANT * temperature)

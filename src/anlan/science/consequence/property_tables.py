"""Makes ``properties.txt``: what the models need of each substance, by temperature, from CoolProp or ``chemicals``.

Importing the libraries takes seconds, so their answers are tabulated once:
``python -m anlan.science.consequence.property_tables > properties.txt``. A block of the file is one substance: a line
``>id|source|M|Tb|Tc|pc|omega|Tmin``, a line with five coefficients of the ideal-gas heat capacity (J/kgK, polynomial in
T/1000 K, 150…1500 K), and a row for each temperature of the saturation line:
T K, p Pa, liquid kg/m³, vapour kg/m³, liquid J/kgK, latent heat J/kg, liquid enthalpy J/kg, liquid entropy J/kgK.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.conventions import GAS_CONSTANT

Floats = NDArray[np.float64]

ROWS = 44
_COLDEST = 233.15
_GAS_RANGE = np.linspace(150.0, 1500.0, 55)
_PERRY_GAS = 400.0


@dataclass(slots=True)
class Tabulated:
    """One substance as it goes into the file: its constants, ideal-gas coefficients and rows."""

    source: str
    constants: tuple[float, float, float, float, float, float]
    gas: Floats
    rows: Floats


def _grid(lowest: float, critical: float) -> Floats:
    """Temperatures, denser towards the critical point where all properties bend."""
    share = np.linspace(0.0, 1.0, ROWS)
    return 0.998 * critical - (0.998 * critical - lowest) * (1.0 - share) ** 1.4


def _fit_gas(temperature: Floats, heat_capacity: Floats) -> Floats:
    return np.asarray(np.polynomial.polynomial.polyfit(temperature / 1000.0, heat_capacity, 4), dtype=np.float64)


def from_coolprop(fluid: str) -> Tabulated:
    """Return what CoolProp (Bell et al. 2014, reference equations of state) says of ``fluid``."""
    import CoolProp.CoolProp as Cp

    def constant(name: str) -> float:
        return float(Cp.PropsSI(name, fluid))

    critical, triple, mass = constant("Tcrit"), constant("Ttriple"), constant("molemass")
    try:
        boiling = float(Cp.PropsSI("T", "P", 101_325.0, "Q", 0, fluid))
    except ValueError:  # sublimes: its liquid does not exist at ambient pressure
        boiling = triple
    lowest = max(triple + 0.05, min(0.45 * critical, _COLDEST, 0.8 * boiling))
    rows = []
    for temperature in _grid(lowest, critical):
        liquid = Cp.AbstractState("HEOS", fluid)
        liquid.update(Cp.QT_INPUTS, 0.0, temperature)
        vapour = Cp.AbstractState("HEOS", fluid)
        vapour.update(Cp.QT_INPUTS, 1.0, temperature)
        rows.append(
            (
                temperature,
                vapour.p(),
                liquid.rhomass(),
                vapour.rhomass(),
                liquid.cpmass(),
                vapour.hmass() - liquid.hmass(),
                liquid.hmass(),
                liquid.smass(),
            )
        )
    # At a ten-thousandth of a bar every gas is ideal; the lowest temperatures of heavy fluids are not defined there.
    warm = np.maximum(_GAS_RANGE, lowest)
    gas = np.array([Cp.PropsSI("Cp0mass", "T", float(t), "D", 1e-6, fluid) for t in warm])
    table = np.array(rows)
    table[:, 6] -= table[0, 6]
    table[:, 7] -= table[0, 7]
    constants = (mass, boiling, critical, constant("pcrit"), constant("acentric"), lowest)
    return Tabulated(f"CoolProp {Cp.get_global_param_string('version')} {fluid}", constants, _fit_gas(warm, gas), table)


def _vapour_pressure(cas: str, boiling: float, critical: float, pressure: float, acentric: float) -> tuple[Any, str]:
    from chemicals import vapor_pressure as vp

    if cas in vp.Psat_data_Perrys2_8.index:
        row = vp.Psat_data_Perrys2_8.loc[cas]
        return lambda t: np.exp(row.C1 + row.C2 / t + row.C3 * np.log(t) + row.C4 * t**row.C5), "Perry 8E 2-8"
    if cas in vp.Psat_data_VDI_PPDS_3.index:
        row = vp.Psat_data_VDI_PPDS_3.loc[cas]

        def wagner(t: float) -> float:
            tau = max(1.0 - t / row.Tc, 0.0)
            shape = row.A * tau + row.B * tau**1.5 + row.C * tau**2.5 + row.D * tau**5
            return float(row.Pc * np.exp(shape * row.Tc / t))

        return wagner, "VDI PPDS"
    # Ambrose-Walton corresponding states, scaled so that the normal boiling point is met
    reference = np.log(101_325.0 / vp.Ambrose_Walton(boiling, critical, pressure, acentric))
    slope = reference / (1.0 / boiling - 1.0 / critical)
    return (
        lambda t: vp.Ambrose_Walton(t, critical, pressure, acentric) * np.exp(slope * (1.0 / t - 1.0 / critical)),
        "Ambrose-Walton",
    )


def _liquid_density(cas: str, mass: float, critical: float, pressure: float, acentric: float) -> tuple[Any, str]:
    from chemicals import volume

    if cas in volume.rho_data_Perry_8E_105_l.index:
        row = volume.rho_data_Perry_8E_105_l.loc[cas]
        return (
            lambda t: mass * row.C1 / row.C2 ** (1.0 + max(0.0, 1.0 - t / row.C3) ** row.C4),
            "Perry 8E 2-32",
        )
    if cas in volume.rho_data_VDI_PPDS_2.index:
        row = volume.rho_data_VDI_PPDS_2.loc[cas]

        def ppds(t: float) -> float:
            tau = max(0.0, 1.0 - t / row.Tc)
            terms = row.A * tau**0.35 + row.B * tau ** (2 / 3) + row.C * tau + row.D * tau ** (4 / 3)
            return float(row.rhoc + terms)

        return ppds, "VDI PPDS"
    from chemicals import Tb, Vc

    known = Vc(cas)
    if known:
        return lambda t: mass / volume.COSTALD(t, critical, known, acentric), "COSTALD"
    assert Tb(cas) is not None
    return (
        lambda t: mass / volume.Yen_Woods_saturation(t, critical, 0.29 * GAS_CONSTANT * critical / pressure, 0.29),
        "Yen-Woods",
    )


def _latent_heat(cas: str, mass: float, boiling: float, critical: float, pressure: float) -> tuple[Any, str]:
    from chemicals import phase_change

    if cas in phase_change.phase_change_data_Perrys2_150.index:
        row = phase_change.phase_change_data_Perrys2_150.loc[cas]

        def perry(t: float) -> float:
            r = min(t / row.Tc, 0.9999)
            return float(row.C1 * (1.0 - r) ** (row.C2 + row.C3 * r + row.C4 * r * r) / mass / 1000.0)

        perry_scale = 1000.0 if perry(boiling) < 3e3 else 1.0
        return lambda t: perry(t) * perry_scale, "Perry 8E 2-150"
    if cas in phase_change.phase_change_data_VDI_PPDS_4.index:
        row = phase_change.phase_change_data_VDI_PPDS_4.loc[cas]

        def ppds(t: float) -> float:
            tau = max(1.0 - t / row.Tc, 1e-6)
            terms = row.A * tau ** (1 / 3) + row.B * tau ** (2 / 3) + row.C * tau + row.D * tau**2 + row.E * tau**6
            return float(GAS_CONSTANT * row.Tc * terms / mass)

        return ppds, "VDI PPDS"
    known = phase_change.Hvap_data_CRC
    at_boiling = float(known.loc[cas].HvapTb) if cas in known.index else float("nan")
    if np.isnan(at_boiling):
        at_boiling = phase_change.Riedel(boiling, critical, pressure)
    return (
        lambda t: at_boiling / mass * (max(1.0 - t / critical, 1e-6) / (1.0 - boiling / critical)) ** 0.38,
        "Watson",
    )


def _gas_heat_capacity(cas: str, mass: float) -> tuple[Any, str]:
    from chemicals import heat_capacity as hc

    if cas in hc.TRC_gas_data.index:
        r = hc.TRC_gas_data.loc[cas]
        terms = (r.a0, r.a1, r.a2, r.a3, r.a4, r.a5, r.a6, r.a7)
        return lambda t: hc.TRCCp(max(t, r.Tmin), *terms) / mass, "TRC"
    if cas in hc.Cp_data_Poling.index and not np.isnan(hc.Cp_data_Poling.loc[cas].a0):
        r = hc.Cp_data_Poling.loc[cas]
        return (
            lambda t: hc.Poling(min(max(t, r.Tmin), r.Tmax), r.a0, r.a1, r.a2, r.a3, r.a4) / mass,
            "Poling",
        )
    from chemicals import search_chemical, similarity_variable, simple_formula_parser

    similarity = similarity_variable(simple_formula_parser(search_chemical(cas).formula), mass * 1000.0)
    # four degrees of freedom beyond translation are the least that a molecule of several atoms has
    least = 4.0 * GAS_CONSTANT / mass
    return lambda t: max(least, hc.Lastovka_Shaw(t, similarity, MW=mass * 1000.0) / mass), "Lastovka-Shaw"


def _liquid_heat_capacity(cas: str, mass: float, critical: float, acentric: float, gas: Any) -> tuple[Any, str]:
    from chemicals import heat_capacity as hc

    spline = hc.zabransky_dict_sat_s.get(cas) or hc.zabransky_dict_const_s.get(cas)
    if spline is not None:
        return lambda t: spline.force_calculate(min(max(t, spline.Tmin), spline.Tmax)) / mass, "Zabransky"
    if cas in hc.Cp_data_Poling.index and not np.isnan(hc.Cp_data_Poling.loc[cas].Cpl):
        known = hc.Cp_data_Poling.loc[cas].Cpl
        scale = known / hc.Rowlinson_Poling(298.15, critical, acentric, gas(298.15) * mass)
        return (
            lambda t: scale * hc.Rowlinson_Poling(min(t, 0.98 * critical), critical, acentric, gas(t) * mass) / mass,
            "Poling",
        )
    return (
        lambda t: hc.Rowlinson_Poling(min(t, 0.98 * critical), critical, acentric, gas(t) * mass) / mass,
        "Rowlinson-Poling",
    )


def _critical_temperature(cas: str) -> float:
    """Return the lowest critical temperature that a source used here assumes, K: above it there is no liquid."""
    import chemicals as ch

    known = [float(ch.Tc(cas))]
    for table, column in (
        (ch.vapor_pressure.Psat_data_VDI_PPDS_3, "Tc"),
        (ch.volume.rho_data_Perry_8E_105_l, "C3"),
        (ch.volume.rho_data_VDI_PPDS_2, "Tc"),
    ):
        if cas in table.index:
            known.append(float(table.loc[cas][column]))
    return min(known)


def from_chemicals(cas: str, anchors: dict[str, Any] | None = None) -> Tabulated:
    """Return what the correlations of ``chemicals`` (Bell et al.) say of the substance with this CAS number.

    ``anchors`` are measured ``liquid_heat_capacity`` (J/kgK) and ``latent_heat`` (J/kg), each {value, at K}, that the
    estimate is scaled to.
    """
    import chemicals as ch

    mass, boiling, critical = ch.MW(cas) / 1000.0, float(ch.Tb(cas)), _critical_temperature(cas)
    pressure = float(ch.Pc(cas))
    acentric = ch.omega(cas)
    acentric = float(ch.LK_omega(boiling, critical, pressure) if acentric is None else acentric)
    melting = ch.Tm(cas) or 0.0
    vapour, vapour_source = _vapour_pressure(cas, boiling, critical, pressure, acentric)
    density, density_source = _liquid_density(cas, mass, critical, pressure, acentric)
    latent, latent_source = _latent_heat(cas, mass, boiling, critical, pressure)
    gas, gas_source = _gas_heat_capacity(cas, mass)
    liquid, liquid_source = _liquid_heat_capacity(cas, mass, critical, acentric, gas)
    liquid, liquid_source = _anchored(liquid, liquid_source, (anchors or {}).get("liquid_heat_capacity"))
    latent, latent_source = _anchored(latent, latent_source, (anchors or {}).get("latent_heat"))
    lowest = max(min(0.45 * critical, _COLDEST, 0.8 * boiling), min(melting, 0.9 * boiling))
    temperatures = _grid(lowest, critical)
    heat = np.array([liquid(t) for t in temperatures])
    enthalpy = _integral(temperatures, heat)
    entropy = _integral(temperatures, heat / temperatures)
    pressures = np.array([float(vapour(t)) for t in temperatures])
    rows = np.column_stack(
        [
            temperatures,
            pressures,
            [density(t) for t in temperatures],
            [
                _cubic_vapour_density(t, p, mass, critical, pressure, acentric)
                for t, p in zip(temperatures, pressures, strict=True)
            ],
            heat,
            [latent(t) for t in temperatures],
            enthalpy,
            entropy,
        ]
    )
    sources = dict.fromkeys((vapour_source, density_source, latent_source, gas_source, liquid_source))
    coefficients = _fit_gas(_GAS_RANGE, np.array([gas(t) for t in _GAS_RANGE]))
    name = f"chemicals {ch.__version__} ({', '.join(sources)})"
    return Tabulated(name, (mass, boiling, critical, pressure, acentric, lowest), coefficients, rows)


def _anchored(estimate: Any, source: str, anchor: dict[str, float] | None) -> tuple[Any, str]:
    if anchor is None:
        return estimate, source
    scale = anchor["value"] / estimate(anchor["at"])
    return lambda t: scale * estimate(t), f"{source} scaled"


def _integral(x: Floats, y: Floats) -> Floats:
    steps = np.diff(x) * 0.5 * (y[1:] + y[:-1])
    return np.concatenate([[0.0], np.cumsum(steps)])


def _cubic_vapour_density(t: float, p: float, mass: float, critical: float, pressure: float, acentric: float) -> float:
    """Vapour density by the Peng-Robinson equation, kg/m³."""
    m = 0.37464 + 1.54226 * acentric - 0.26992 * acentric**2
    alpha = (1.0 + m * (1.0 - np.sqrt(t / critical))) ** 2
    a = 0.45724 * alpha * (GAS_CONSTANT * critical) ** 2 / pressure * p / (GAS_CONSTANT * t) ** 2
    b = 0.0778 * GAS_CONSTANT * critical / pressure * p / (GAS_CONSTANT * t)
    roots = np.roots([1.0, b - 1.0, a - 3.0 * b * b - 2.0 * b, -(a * b - b * b - b**3)])
    factor = max(float(root.real) for root in roots if abs(root.imag) < 1e-9)
    return p * mass / (factor * GAS_CONSTANT * t)


def text_of(name: str, made: Tabulated) -> str:
    """Return the block of the file for one substance."""
    lines = [f">{name}|{made.source}|" + "|".join(f"{value:.7g}" for value in made.constants)]
    lines.append(" ".join(f"{value:.6g}" for value in made.gas))
    lines += [" ".join(f"{value:.6g}" for value in row) for row in made.rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file for every substance of ``substances.yaml`` to standard output."""
    from anlan.science.consequence.substances import entries

    for entry in entries():
        fluid = entry.get("fluid")
        made = from_coolprop(fluid) if fluid else from_chemicals(entry["cas"], entry.get("anchors"))
        sys.stdout.write(text_of(entry["id"], made))


if __name__ == "__main__":
    main()

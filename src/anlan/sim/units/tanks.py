"""Storage tanks: mass and energy balance, vapour pressure, level control by the inlet valve."""

from __future__ import annotations

import numpy as np

from anlan.sim.units.control import Loops, Valves
from anlan.sim.units.world import ATMOSPHERE, GAS_CONSTANT, ZERO_C, Array, World

_HEIGHT = np.linspace(0.0, 1.0, 401)
_SPHERE = 3 * _HEIGHT**2 - 2 * _HEIGHT**3


def vapour_pressure(temperature: Array, boiling: Array, evaporation: Array) -> Array:
    """Return the saturated vapour pressure, MPa absolute, at ``temperature`` K (Clausius-Clapeyron).

    Args:
        temperature: K.
        boiling: normal boiling point, K.
        evaporation: molar enthalpy of evaporation, J/mol.
    """
    return np.asarray(ATMOSPHERE * np.exp(evaporation / GAS_CONSTANT * (1 / boiling - 1 / temperature)))


class Tanks:
    """All tanks of the park.

    Attributes (one element a tank):
        mass: kg. level: % of height. pressure: MPa gauge. blanket: MPa gauge of nitrogen on top.
        inlet_flow, outlet_flow: t/h. temperature_top, temperature_bottom: °C.
        leak: kg/s lost by an upset. surplus: kg/s that an operator's error lets in.
    """

    def __init__(self, parameters: dict[str, Array], world: World) -> None:
        self.p = parameters
        count = len(parameters["volume"])
        self.count = count
        self.mass = parameters["volume"] * parameters["density"] * self._fraction(parameters["fill"])
        self.kelvin = parameters["storage"] + ZERO_C
        self.demand = parameters["throughput"].copy()
        self.draw = np.zeros(count)
        self.leak = np.zeros(count)
        self.surplus = np.zeros(count)
        self.chill = np.ones(count)
        self.received = np.zeros(count)
        self.delivered = np.zeros(count)
        self.loop = Loops(parameters["fill"], gain=8.0, reset=4000.0, start=50.0)
        self.inlet = Valves(count, 50.0, stroke=20.0)
        self.inlet_flow = np.zeros(count)
        self.outlet_flow = np.zeros(count)
        self.stratification = np.full(count, 0.6)
        self.blanket_kpa = parameters["blanket"] * 1000
        self._observe()
        self.settled_kelvin = self.kelvin.copy()

    def _fraction(self, level: Array) -> Array:
        share = level / 100
        return np.where(self.p["sphere"] > 0, 3 * share**2 - 2 * share**3, share)

    def step(self, dt: float, world: World) -> None:
        """Advance all tanks by ``dt`` s; ``draw`` (kg/s) is what the pumps took."""
        self.demand = world.wander(self.demand, self.p["throughput"], 900.0, 0.04 * self.p["throughput"], dt)
        opening = self.inlet.move(self.loop.drive(self.level, dt), dt) / 50.0
        wanted = opening * (self.p["throughput"] + self.p["pumped"]) + self.surplus
        room = self.p["volume"] * self.p["density"] * 0.995 - self.mass
        inflow = np.minimum(wanted, np.maximum(room, 0.0) / dt)
        outflow = np.minimum(np.maximum(self.demand, 0.0) + self.draw + self.leak, self.mass / dt)
        self.mass = self.mass + (inflow - outflow) * dt
        self.received += inflow * dt
        self.delivered += outflow * dt
        self._heat(inflow, dt, world)
        self.blanket_kpa = world.wander(self.blanket_kpa, self.p["blanket"] * 1000, 120.0, self.p["flutter"], dt)
        self.inlet_flow = inflow * 3.6
        self.outlet_flow = (outflow - self.leak) * 3.6
        self._observe()

    def _heat(self, inflow: Array, dt: float, world: World) -> None:
        capacity = np.maximum(self.mass, 1.0) * self.p["cp"]
        gain = self.p["heat_loss"] * (world.ambient + ZERO_C - self.kelvin)
        target = self.p["storage"] + ZERO_C
        feed = inflow * self.p["cp"] * (target + 0.5 - self.kelvin)
        cold = self.chill * np.clip((self.kelvin - target) * 2.0 + 0.5, 0.0, 1.0) * self.p["chill"]
        self.kelvin = self.kelvin + (gain + feed - cold) / capacity * dt
        self.stratification = world.wander(self.stratification, 0.6, 1800.0, 0.15, dt)

    def _observe(self) -> None:
        share = self.mass / (self.p["volume"] * self.p["density"])
        self.level = 100 * np.where(self.p["sphere"] > 0, np.interp(share, _SPHERE, _HEIGHT), share)
        saturated = vapour_pressure(self.kelvin, self.p["boiling"], self.p["evaporation"])
        self.pressure = np.maximum(saturated - ATMOSPHERE, 0.0) + self.blanket_kpa / 1000
        self.pressure_kpa = self.blanket_kpa
        self.temperature_top = self.kelvin - ZERO_C + self.stratification
        self.temperature_bottom = self.kelvin - ZERO_C - self.stratification
        self.weight = self.mass / 1000
        self.inlet_position = self.inlet.position
        self.level_output = self.loop.output
        self.high_switch = (self.level > 90.0).astype(np.float64)
        self.relief = (self.pressure > self.p["relief"]).astype(np.float64)

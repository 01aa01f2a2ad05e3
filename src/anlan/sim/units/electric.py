"""Electrolysers and power feeders."""

from __future__ import annotations

import numpy as np

from anlan.sim.units.world import Array, World, approach


class Electrolysers:
    """Membrane electrolysers of the chlor-alkali plant.

    Attributes (one element an electrolyser):
        current: kA. voltage: V of the whole stack (cells in series). temperature: °C.
        chlorine_pressure, hydrogen_pressure: kPa gauge in the headers. imbalance: V, worst cell against the mean.
    """

    CELLS = 150
    OPEN_CIRCUIT = 2.42  # V a cell
    RESISTANCE = 0.045  # V/kA a cell

    def __init__(self, parameters: dict[str, Array], world: World) -> None:
        self.p = parameters
        count = self.count = len(parameters["current"])
        self.current = parameters["current"].copy()
        self.temperature = np.full(count, 86.0)
        self.ageing = np.linspace(0.0, 0.05, count)
        self.imbalance = np.full(count, 0.08)
        self.header = np.array([24.0, 28.0])
        self.difference = np.full(count, 4.0)
        self._observe()

    def step(self, dt: float, world: World) -> None:
        """Advance all electrolysers by ``dt`` s."""
        self.current = world.wander(self.current, self.p["current"] * world.power, 180.0, 0.05, dt)
        self.temperature = approach(self.temperature, 72 + 1.0 * self.current, 900.0, dt)
        self.imbalance = world.wander(self.imbalance, 0.08, 600.0, 0.008, dt)
        self.header = world.wander(self.header, np.array([24.0, 28.0]), 40.0, 0.15, dt)
        self._observe()

    def _observe(self) -> None:
        cell = self.OPEN_CIRCUIT + self.RESISTANCE * self.current + self.ageing
        self.voltage = self.CELLS * cell * (self.current > 0.5)
        self.chlorine_pressure = np.full(self.count, self.header[0])
        self.hydrogen_pressure = np.full(self.count, self.header[1])
        self.pressure_difference = self.hydrogen_pressure - self.chlorine_pressure
        self.rectifier_temperature = 38 + 0.9 * self.current
        self.power = self.voltage * self.current


class Feeders:
    """Switchgear feeders.

    Attributes (one element a feeder):
        closed: breaker, 1 closed 0 open. voltage: kV. current: A. power: kW. power_factor. contact: °C.
    """

    def __init__(self, parameters: dict[str, Array], world: World) -> None:
        self.p = parameters
        count = self.count = len(parameters["rated"])
        self.closed = np.ones(count)
        self.load = np.full(count, 0.62)
        self.bus = np.array([1.0])
        self.contact = np.full(count, world.ambient + 18)
        self.heat = np.zeros(count)
        self.power_factor = np.full(count, 0.92)
        self._observe()

    def step(self, dt: float, world: World) -> None:
        """Advance all feeders by ``dt`` s."""
        self.load = np.clip(world.wander(self.load, 0.62, 300.0, 0.02, dt), 0.05, 1.2)
        self.bus = world.wander(self.bus, 1.0, 120.0, 0.004, dt)
        self.power_factor = world.wander(self.power_factor, 0.92, 300.0, 0.006, dt)
        self.contact = approach(self.contact, world.ambient + 48 * self.load**2 * self.closed + self.heat, 600.0, dt)
        self._observe()

    def _observe(self) -> None:
        self.voltage = self.p["voltage"] * self.bus[0] * self.closed
        self.current = self.p["rated"] * self.load * self.closed
        self.power = 1.732 * self.voltage * self.current * self.power_factor

"""Heat exchangers, reactors and boilers, each under temperature or level control."""

from __future__ import annotations

import numpy as np

from anlan.sim.units.control import Loops, Valves
from anlan.sim.units.world import Array, World, approach


class Exchangers:
    """Water-cooled exchangers (effectiveness-NTU), outlet temperature held by the water valve.

    Attributes (one element an exchanger):
        hot_inlet, hot_outlet, cold_inlet, cold_outlet: °C. hot_flow, cold_flow: t/h. duty: kW.
        fouling: added resistance relative to clean (0 clean, 1 halves the coefficient). drop: kPa.
        growth: fouling per hour.
    """

    def __init__(self, parameters: dict[str, Array], world: World) -> None:
        self.p = parameters
        count = self.count = len(parameters["hot_inlet"])
        self.hot_inlet = parameters["hot_inlet"].copy()
        self.hot_flow = parameters["hot_flow"].copy()
        self.hot_outlet = parameters["hot_outlet"].copy()
        self.cold_outlet = np.full(count, world.cooling_water + 8)
        self.fouling = np.full(count, 0.05)
        self.growth = np.full(count, 0.0005)
        self.loop = Loops(parameters["hot_outlet"], gain=-2.0, reset=60.0, start=45.0)
        self.valve = Valves(count, 45.0)
        self.conductance = self._size(world)
        self._observe(world)

    def _size(self, world: World) -> Array:
        """Return UA, kW/K, that meets the design outlet at half valve opening."""
        hot = self.hot_flow * 0.7  # t/h × 2.5 kJ/(kg·K) / 3.6
        cold = self.p["cold_flow"] * 0.5 * 4.18 / 3.6
        least, most = np.minimum(hot, cold), np.maximum(hot, cold)
        span = self.p["hot_inlet"] - world.cooling_water
        wanted = np.clip(hot * (self.p["hot_inlet"] - self.p["hot_outlet"]) / (least * span), 0.05, 0.95)
        ratio = least / most
        units = np.log((1 - wanted * ratio) / (1 - wanted)) / np.maximum(1 - ratio, 1e-3)
        return np.asarray(units * least * 1.05)

    def step(self, dt: float, world: World) -> None:
        """Advance all exchangers by ``dt`` s."""
        self.hot_inlet = world.wander(self.hot_inlet, self.p["hot_inlet"], 300.0, 0.35, dt)
        self.hot_flow = world.wander(self.hot_flow, self.p["hot_flow"], 240.0, 0.008 * self.p["hot_flow"], dt)
        self.fouling = self.fouling + self.growth * dt / 3600
        self.valve.move(self.loop.drive(self.hot_outlet, dt), dt)
        self._observe(world)
        hot = self.hot_flow * 0.7
        cold = np.maximum(self.cold_flow * 4.18 / 3.6, 0.1)
        least, most = np.minimum(hot, cold), np.maximum(hot, cold)
        ratio = np.minimum(least / most, 0.999)
        exponent = np.exp(-self.conductance / (1 + self.fouling) / least * (1 - ratio))
        effectiveness = (1 - exponent) / (1 - ratio * exponent)
        heat = effectiveness * least * (self.hot_inlet - world.cooling_water)
        self.hot_outlet = approach(self.hot_outlet, self.hot_inlet - heat / hot, 25.0, dt)
        self.cold_outlet = approach(self.cold_outlet, world.cooling_water + heat / cold, 20.0, dt)

    def _observe(self, world: World) -> None:
        self.cold_inlet = np.full(self.count, world.cooling_water)
        self.cold_flow = self.p["cold_flow"] * self.valve.position / 100 * world.cooling
        self.duty = self.hot_flow * 0.7 * (self.hot_inlet - self.hot_outlet)
        self.drop = self.p["drop"] * (self.hot_flow / self.p["hot_flow"]) ** 2 * (1 + self.fouling)
        self.setpoint, self.output, self.position = self.loop.setpoint, self.loop.output, self.valve.position


class Reactors:
    """Continuous stirred reactors with an exothermic first-order reaction and a cooled jacket.

    Balances: dc/dt = (1 − c)/τ − k c; dT/dt = ΔT k c + (Tf − T)/τ − u (T − Tj);
    dTj/dt = 10 u (T − Tj) − w (Tj − Tw), with k by Arrhenius and w by the water valve.

    Attributes (one element a reactor):
        temperature_1…3 (three sensors), jacket: °C. pressure: MPa gauge. feed, coolant: m³/h. level: %.
        cooling: fraction of the coolant that is there, 0…1 (an upset lowers it).
    """

    RESIDENCE = 600.0
    RISE = 100.0
    ACTIVATION = 6000.0
    COUPLING = 0.00275
    RATE = 0.01

    def __init__(self, parameters: dict[str, Array], world: World) -> None:
        self.p = parameters
        count = self.count = len(parameters["target"])
        self.temperature = parameters["target"].copy()
        self.jacket = parameters["target"] - 40.0
        self.concentration = np.full(count, 0.143)
        self.feed_share = np.ones(count)
        self.cooling = np.ones(count)
        self.load = np.full(count, 0.8)
        self.fill = np.full(count, 68.0)
        self.agitator = np.ones(count)
        self.loop = Loops(parameters["target"], gain=-6.0, reset=120.0, start=50.0)
        self.valve = Valves(count, 50.0)
        self._observe()

    def step(self, dt: float, world: World) -> None:
        """Advance all reactors by ``dt`` s."""
        self.feed_share = world.wander(self.feed_share, 1.0, 400.0, 0.01, dt)
        self.load = world.wander(self.load, 0.8, 60.0, 0.01, dt)
        self.fill = world.wander(self.fill, 68.0, 600.0, 0.4, dt)
        self.valve.move(self.loop.drive(self.temperature, dt), dt)
        target = self.p["target"]
        kelvin = np.minimum(self.temperature, 400.0) + 273.15
        rate = self.RATE * np.exp(-self.ACTIVATION * (1 / kelvin - 1 / (target + 273.15)))
        turnover = self.feed_share / self.RESIDENCE
        exchange = self.COUPLING * (self.temperature - self.jacket)
        heat = self.RISE * rate * self.concentration
        water = 0.035 * self.valve.position / 50 * self.cooling * world.cooling
        cold = target - 71.5 + (world.cooling_water - 26)  # tempered water, set per reactor
        self.concentration = self.concentration + (turnover * (1 - self.concentration) - rate * self.concentration) * dt
        self.temperature = self.temperature + (heat + turnover * (target - 20 - self.temperature) - exchange) * dt
        self.jacket = self.jacket + (10 * exchange - water * (self.jacket - cold)) * dt
        self._observe()

    def _observe(self) -> None:
        self.temperature_1 = self.temperature
        self.temperature_2 = self.temperature + 0.15
        self.temperature_3 = self.temperature - 0.2
        self.pressure = self.p["pressure"] * np.exp((self.temperature - self.p["target"]) / 45.0)
        self.feed = self.p["feed"] * self.feed_share
        self.coolant = self.p["coolant"] * self.valve.position / 50 * self.cooling
        self.agitator_current = self.p["current"] * self.load * self.agitator
        self.level = self.fill
        self.setpoint, self.output, self.position = self.loop.setpoint, self.loop.output, self.valve.position


class Boilers:
    """Steam boilers: drum level by feed water, drum pressure by firing.

    Attributes (one element a boiler):
        level: mm from the normal water level. pressure: MPa gauge. steam_flow, feed_flow: t/h. fuel: t/h.
        steam_temperature, flue_temperature: °C. oxygen: %vol in flue gas. furnace: Pa gauge.
        feed: fraction of feed water that is there, 0…1.
    """

    def __init__(self, parameters: dict[str, Array], world: World) -> None:
        self.p = parameters
        count = self.count = len(parameters["steam"])
        self.level = np.zeros(count)
        self.pressure = parameters["pressure"].copy()
        self.demand = parameters["steam"].copy()
        self.feed = np.ones(count)
        self.level_loop = Loops(np.zeros(count), gain=0.15, reset=120.0, start=50.0)
        self.fire_loop = Loops(parameters["pressure"], gain=60.0, reset=150.0, start=50.0)
        self.valve = Valves(count, 50.0)
        self.steam_temperature = parameters["superheat"].copy()
        self.flue_temperature = np.full(count, 138.0)
        self.oxygen = np.full(count, 4.0)
        self.furnace = np.full(count, -60.0)
        self._observe()

    def step(self, dt: float, world: World) -> None:
        """Advance all boilers by ``dt`` s."""
        self.demand = world.wander(self.demand, self.p["steam"], 400.0, 0.012 * self.p["steam"], dt)
        self.valve.move(self.level_loop.drive(self.level, dt), dt)
        firing = self.fire_loop.drive(self.pressure, dt) / 50
        self._observe()
        self.level = self.level + (self.feed_flow - self.steam_flow) / self.p["steam"] * 1.2 * dt
        self.pressure = self.pressure + (firing * self.p["steam"] - self.demand) / self.p["steam"] * 0.01 * dt
        self.fuel = self.p["steam"] * 0.13 * firing
        self.steam_temperature = world.wander(self.steam_temperature, self.p["superheat"], 200.0, 1.2, dt)
        self.flue_temperature = world.wander(self.flue_temperature, 130 + 8 * firing, 300.0, 0.8, dt)
        self.oxygen = world.wander(self.oxygen, 4.2 - 0.3 * firing, 60.0, 0.12, dt)
        self.furnace = world.wander(self.furnace, -60.0, 15.0, 6.0, dt)

    def _observe(self) -> None:
        self.steam_flow = self.demand
        self.feed_flow = self.p["steam"] * self.valve.position / 50 * self.feed
        self.fuel = self.p["steam"] * 0.13 * np.ones(self.count)
        self.position = self.valve.position
        self.fan_current = 60 + 40 * self.fuel / (self.p["steam"] * 0.13)

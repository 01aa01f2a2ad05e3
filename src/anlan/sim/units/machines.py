"""Rotating machines: pumps with a stand-by twin, compressors with surge control."""

from __future__ import annotations

import numpy as np

from anlan.sim.units.control import Loops, Valves
from anlan.sim.units.world import Array, World, approach

STOPPED, RUNNING, TRIPPED = 0.0, 1.0, 2.0


class Pumps:
    """All pumps.

    Attributes (one element a pump):
        state: 0 stopped, 1 running, 2 tripped. speed: rpm. flow: m³/h. current: A.
        suction_pressure, discharge_pressure: MPa gauge. vibration_*: mm/s. temperature_*: °C.
        seal_pressure: MPa of the barrier fluid; a leaking seal loses it.
        wear, heat, seal: upsets (vibration mm/s, bearing K, 0…1 seal leak).
    """

    def __init__(self, parameters: dict[str, Array], source: Array, twin: Array, world: World) -> None:
        self.p = parameters
        self.source = source.astype(np.intp)
        self.twin = twin.astype(np.intp)
        count = self.count = len(parameters["rated_flow"])
        self.state = np.where(parameters["duty"] > 0, RUNNING, STOPPED)
        self.share = np.where(self.state == RUNNING, 1.0, 0.0)
        self.load = np.full(count, 0.85)
        self.wear = np.zeros(count)
        self.heat = np.zeros(count)
        self.seal = np.zeros(count)
        self.roughness = np.ones(count)
        self.suction = np.full(count, 0.12)
        running = self.share * 1.0
        self.temperature_de = world.ambient + 28 * running
        self.temperature_nde = world.ambient + 24 * running
        self.winding = world.ambient + 55 * running
        self.seal_pressure = np.full(count, 0.9)
        self._standby_wait = np.zeros(count)
        self._observe(world)

    def trip(self, index: int) -> None:
        """Trip one pump; its twin starts by itself after 3 s."""
        self.state[index] = TRIPPED
        if self.twin[index] >= 0:
            self._standby_wait[self.twin[index]] = 3.0

    def restart(self, index: int) -> None:
        """Reset and start one pump again; its twin goes back to stand-by."""
        self.state[index] = RUNNING
        if self.twin[index] >= 0:
            self.state[self.twin[index]] = STOPPED

    def step(self, dt: float, world: World) -> None:
        """Advance all pumps by ``dt`` s; ``suction`` (MPa gauge) was set from their tanks."""
        due = (self._standby_wait > 0) & (self._standby_wait <= dt)
        self._standby_wait = np.maximum(self._standby_wait - dt, 0.0)
        self.state = np.where(due & (self.state == STOPPED), RUNNING, self.state)
        self.share = approach(self.share, (self.state == RUNNING) * world.power, 2.5, dt)
        self.load = np.clip(world.wander(self.load, 0.85, 240.0, 0.025, dt), 0.3, 1.15)
        self.roughness = world.wander(self.roughness, 1.0, 20.0, 0.05, dt)
        heating = self.share * self.load
        self.temperature_de = approach(self.temperature_de, world.ambient + 33 * heating + self.heat, 300.0, dt)
        self.temperature_nde = approach(self.temperature_nde, world.ambient + 28 * heating + 0.5 * self.heat, 300.0, dt)
        self.winding = approach(self.winding, world.ambient + 62 * heating + 0.3 * self.heat, 420.0, dt)
        self.seal_pressure = approach(self.seal_pressure, 0.9 - 0.6 * self.seal, 8.0, dt)
        self._observe(world)

    def _observe(self, world: World) -> None:
        share, load = self.share, self.load
        self.speed = self.p["rated_speed"] * share * (1.0 + 0.004 * (1 - load))
        self.flow = self.p["rated_flow"] * share * load
        self.draw = self.flow * self.p["density"] / 3600
        self.suction_pressure = self.suction
        self.discharge_pressure = self.suction + self.p["rated_head"] * share**2 * (1.25 - 0.25 * load**2)
        self.current = self.p["rated_current"] * share * (0.35 + 0.65 * load)
        shake = share * self.p["vibration"] * (0.8 + 0.2 * load) * self.roughness
        self.vibration_de = shake + share * self.wear
        self.vibration_nde = 0.8 * shake + 0.6 * share * self.wear


class Compressors:
    """All compressors, each with an anti-surge valve.

    Attributes (one element a machine):
        state: 0 stopped, 1 running, 2 tripped. speed: rpm. flow: Nm³/h. surge_margin: % above the surge line.
        suction_pressure, discharge_pressure: MPa gauge. vibration_*: µm peak-peak. axial: mm. oil_pressure: MPa.
        wear, blockage: upsets (µm, fraction of flow lost downstream).
    """

    def __init__(self, parameters: dict[str, Array], world: World) -> None:
        self.p = parameters
        count = self.count = len(parameters["rated_flow"])
        self.state = np.full(count, RUNNING)
        self.share = np.ones(count)
        self.load = np.full(count, 0.9)
        self.wear = np.zeros(count)
        self.blockage = np.zeros(count)
        self.orbit = np.ones((4, count))
        self.loop = Loops(np.full(count, 10.0), gain=4.0, reset=20.0, start=0.0)
        self.antisurge = Valves(count, 0.0, stroke=3.0)
        self.bearing_1 = np.full(count, 68.0)
        self.bearing_2 = np.full(count, 66.0)
        self.oil_temperature = np.full(count, 45.0)
        self.oil_pressure = np.full(count, 0.25)
        self.oil_supply = np.full(count, 0.25)
        self._observe(world)

    def step(self, dt: float, world: World) -> None:
        """Advance all compressors by ``dt`` s."""
        self.share = approach(self.share, (self.state == RUNNING) * world.power, 12.0, dt)
        self.load = np.clip(world.wander(self.load, 0.9, 300.0, 0.015, dt), 0.3, 1.1)
        self.orbit = np.stack([world.wander(row, 1.0, 4.0, 0.05, dt) for row in self.orbit])
        hot = 30 * self.share * self.load + 0.3 * self.wear
        self.bearing_1 = approach(self.bearing_1, self.oil_temperature - 3 + hot, 200.0, dt)
        self.bearing_2 = approach(self.bearing_2, self.oil_temperature - 5 + hot, 200.0, dt)
        warm = world.cooling_water + 17 + (1 - world.cooling) * 30
        self.oil_temperature = approach(self.oil_temperature, np.full(self.count, warm), 240.0, dt)
        self.oil_pressure = world.wander(self.oil_pressure, self.oil_supply, 15.0, 0.002, dt)
        self._observe(world)
        self.antisurge.move(self.loop.drive(self.surge_margin, dt), dt)

    def _observe(self, world: World) -> None:
        share = self.share
        recycle = self.antisurge.position / 100
        self.antisurge_position = self.antisurge.position
        forward = self.load * (1 - self.blockage)
        inlet = np.minimum(forward + 0.6 * recycle, 1.3) * share
        self.speed = self.p["rated_speed"] * share
        self.flow = self.p["rated_flow"] * inlet
        surge_line = 0.62 * np.maximum(share, 0.05)
        self.surge_margin = np.clip((inlet / surge_line - 1) * 100, -50, 100)
        self.suction_pressure = self.p["suction"] + 0 * share
        self.discharge_pressure = self.p["suction"] + (self.p["discharge"] - self.p["suction"]) * share**2 * (
            1.1 - 0.1 * inlet + 0.1 * self.blockage
        )
        self.suction_temperature = np.full(self.count, world.ambient + 8)
        ratio = (self.discharge_pressure + 0.1013) / (self.suction_pressure + 0.1013)
        self.discharge_temperature = self.suction_temperature + 52 * np.log(np.maximum(ratio, 1.0)) * share
        self.current = self.p["rated_current"] * share * (0.4 + 0.6 * inlet)
        self.power = self.current * self.p["voltage"] * 1.732 * 0.9 / 1000
        surging = np.clip(-self.surge_margin, 0, 20) * 4
        base = share * (self.p["vibration"] + self.wear + surging)
        self.vibration_1x, self.vibration_1y, self.vibration_2x, self.vibration_2y = (
            base * scale * row for scale, row in zip((1.0, 0.9, 0.85, 0.8), self.orbit, strict=True)
        )
        self.axial = 0.12 + 0.06 * inlet + 0.002 * self.wear

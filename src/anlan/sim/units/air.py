"""Weather and gas in the air: wind, puffs from leaks, detectors that answer to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anlan.sim.units.world import Array, World, approach


class Weather:
    """Wind speed and direction as Ornstein-Uhlenbeck processes, and slow temperature, humidity and pressure.

    One element a weather station; ``direction`` is where the wind comes from, degrees clockwise from north.
    """

    def __init__(self, count: int, world: World) -> None:
        self.count = count
        self._mean = np.array([world.wind_speed])
        self._veer = np.array([0.0])
        self._home = world.wind_direction
        self._gust = np.zeros(count)
        self._wobble = np.zeros(count)
        self._air = np.array([world.ambient])
        self.pressure = np.full(count, 1013.2)
        self.rain = np.zeros(count)
        self.solar = np.full(count, 480.0)
        self._observe(world)

    def step(self, dt: float, world: World) -> None:
        """Advance the weather by ``dt`` s and set the wind and air temperature of ``world``."""
        self._mean = np.clip(world.wander(self._mean, 2.8, 900.0, 0.5, dt), 0.6, 12.0)
        self._veer = world.wander(self._veer, 0.0, 1200.0, 18.0, dt)
        self._gust = world.wander(self._gust, 0.0, 6.0, 0.35, dt)
        self._wobble = world.wander(self._wobble, 0.0, 8.0, 6.0, dt)
        self._air = world.wander(self._air, 22.0, 7200.0, 0.8, dt)
        self.pressure = world.wander(self.pressure, 1013.2, 14400.0, 1.5, dt)
        self.solar = np.maximum(world.wander(self.solar, 480.0, 600.0, 60.0, dt), 0.0)
        world.wind_speed = float(self._mean[0])
        world.wind_direction = float((self._home + self._veer[0]) % 360)
        world.ambient = float(self._air[0])
        world.humidity = float(np.clip(65 - 2.5 * (world.ambient - 22), 20, 99))
        world.cooling_water = 26.0 + 0.3 * (world.ambient - 22.0)
        self._observe(world)

    def _observe(self, world: World) -> None:
        self.speed = np.maximum(world.wind_speed + self._gust, 0.1)
        self.direction = (world.wind_direction + self._wobble) % 360
        self.temperature = np.full(self.count, world.ambient)
        self.humidity = np.full(self.count, world.humidity)


@dataclass(slots=True)
class Leak:
    """A release: ``gas`` at (x, y) m, ``rate`` kg/s, from ``start`` to ``end`` s of plant time."""

    gas: str
    x: float
    y: float
    rate: float
    start: float
    end: float


class Puffs:
    """Gaussian puffs carried by the wind, at most ``CAPACITY`` at a time; the oldest makes room.

    Spread σ = 1.5 m + 0.16 × distance (neutral, horizontal) and half of it vertically, ground reflection included.
    """

    CAPACITY = 240
    INTERVAL = 1.0

    def __init__(self) -> None:
        self.x = np.zeros(self.CAPACITY)
        self.y = np.zeros(self.CAPACITY)
        self.mass = np.zeros(self.CAPACITY)
        self.run = np.zeros(self.CAPACITY)
        self.gas = np.full(self.CAPACITY, "", dtype=object)
        self._next = 0
        self._since = self.INTERVAL

    def step(self, dt: float, world: World, leaks: list[Leak]) -> None:
        """Carry the puffs with the wind for ``dt`` s and release new ones."""
        active = [leak for leak in leaks if leak.start <= world.time < leak.end]
        if not active and not self.mass.any():
            return
        toward = np.deg2rad(world.wind_direction + 180)
        self.x += world.wind_speed * np.sin(toward) * dt
        self.y += world.wind_speed * np.cos(toward) * dt
        self.run += world.wind_speed * dt
        self.mass[self.run > 2500] = 0.0
        self._since += dt
        if self._since < self.INTERVAL:
            return
        for leak in active:
            slot = self._next = (self._next + 1) % self.CAPACITY
            self.x[slot], self.y[slot], self.run[slot] = leak.x, leak.y, 0.0
            self.mass[slot], self.gas[slot] = leak.rate * self._since, leak.gas
        self._since = 0.0

    def concentration(self, gas: str, x: Array, y: Array) -> Array:
        """Return the concentration of ``gas`` at ground points, kg/m³."""
        picked = np.flatnonzero((self.mass > 0) & (self.gas == gas))
        if not len(picked):
            return np.zeros(len(x))
        sigma = 1.5 + 0.16 * self.run[picked]
        vertical = 0.5 * sigma
        square = (x[:, None] - self.x[picked]) ** 2 + (y[:, None] - self.y[picked]) ** 2
        peak = 2 * self.mass[picked] / ((2 * np.pi) ** 1.5 * sigma**2 * vertical)
        return np.asarray((peak * np.exp(-square / (2 * sigma**2))).sum(axis=1))


class Detectors:
    """Gas detectors.

    Attributes (one element a detector):
        reading: ppm, %LEL or %vol as ``scale`` makes of kg/m³; ``base`` is what clean air reads.
        drift: added by ageing. spike: a passing nuisance (exhaust, solvent), same unit.
    """

    def __init__(self, parameters: dict[str, Array], gases: list[str], world: World) -> None:
        self.p = parameters
        self.gas = np.array(gases, dtype=object)
        self.kinds = [(gas, np.flatnonzero(self.gas == gas)) for gas in sorted(set(gases))]
        self.count = len(gases)
        self.drift = np.zeros(self.count)
        self.spike = np.zeros(self.count)
        self.reading = self.p["base"].copy()
        self.humid = np.zeros(self.count)

    def step(self, dt: float, world: World, puffs: Puffs) -> None:
        """Advance all detectors by ``dt`` s: the air's concentration through each one's response time."""
        air = np.zeros(self.count)
        if puffs.mass.any():
            for gas, rows in self.kinds:
                air[rows] = puffs.concentration(gas, self.p["x"][rows], self.p["y"][rows])
        self.humid = world.wander(self.humid, 0.0, 1800.0, self.p["wobble"], dt)
        target = self.p["base"] + air * self.p["scale"] + self.drift + self.spike + self.humid
        self.reading = approach(self.reading, target, self.p["t90"] / 2.303, dt)

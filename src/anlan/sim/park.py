"""The virtual park: all equipment stepped together, read through transmitters with noise, lag, resolution and faults.

Same seed, speed and number of steps: same values. Plant time is counted in steps; ``speed`` makes each wall second
worth more plant seconds, while every sample carries the wall clock of the moment it is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anlan.core.quality import Quality
from anlan.sim.catalogue import table
from anlan.sim.signals import Layout, layout
from anlan.sim.units.air import Detectors, Leak, Puffs, Weather
from anlan.sim.units.electric import Electrolysers, Feeders
from anlan.sim.units.machines import Compressors, Pumps
from anlan.sim.units.tanks import Tanks
from anlan.sim.units.thermal import Boilers, Exchangers, Reactors
from anlan.sim.units.world import Array, World
from anlan.sim.upsets import Scenario

STEP = 0.2
LONGEST_STEP = 1.0


def step_of(speed: float) -> float:
    """Return the step of plant time, s, for a speed: five a wall second, but never above one plant second."""
    return min(LONGEST_STEP, STEP * speed)


class Park:
    """The park's state.

    Attributes:
        values: what every transmitter shows now, float64 in the order of ``points``.
        quality: quality codes of the transmitters.
        silent: devices that say nothing now. cut: connectors whose line is cut now.
    """

    def __init__(self, seed: int = 1, *, speed: float = 1.0, scenario: Scenario | None = None) -> None:
        self.layout: Layout = layout()
        self.points = self.layout.points
        self.speed = speed
        self.dt = step_of(speed)
        self.world = World(np.random.default_rng(seed))
        self.scenario = scenario if scenario is not None else Scenario.demonstration(seed)
        self.leaks: list[Leak] = []
        self.silent: set[str] = set()
        self.cut: set[str] = set()
        self._build_groups()
        self._build_transmitters()
        self.scenario.apply(self)
        self._measure()

    @property
    def time(self) -> float:
        """Plant time, s since the start."""
        return self.world.time

    def _parameters(self, group: str) -> dict[str, Array]:
        items = self.layout.groups.get(group, [])
        names = {name for item in items for name in item.parameters}
        arrays = {name: np.array([item.parameters.get(name, 0.0) for item in items]) for name in names}
        substances = table("substances")
        for name in ("density", "cp", "boiling", "evaporation"):
            arrays[name] = np.array([float(substances[item.substance or "water"][name]) for item in items])
        return arrays

    def _build_groups(self) -> None:
        world, groups = self.world, self.layout.groups
        tanks = self._parameters("tanks")
        rows = {item.id: row for row, item in enumerate(groups["tanks"])}
        source = np.array([rows.get(item.source, -1) for item in groups["pumps"]])
        paths = {item.path: row for row, item in enumerate(groups["pumps"])}
        twin = np.array([paths.get(item.twin, -1) for item in groups["pumps"]])
        pumps = self._parameters("pumps")
        tanks["pumped"] = np.zeros(len(rows))
        drawn = source >= 0
        typical = pumps["duty"] * pumps["rated_flow"] * 0.85 * pumps["density"] / 3600
        np.add.at(tanks["pumped"], source[drawn], typical[drawn])
        self.weather = Weather(len(groups["weather"]), world)
        self.tanks = Tanks(tanks, world)
        self.pumps = Pumps(pumps, source, twin, world)
        self.compressors = Compressors(self._parameters("compressors"), world)
        self.exchangers = Exchangers(self._parameters("exchangers"), world)
        self.reactors = Reactors(self._parameters("reactors"), world)
        self.boilers = Boilers(self._parameters("boilers"), world)
        self.electrolysers = Electrolysers(self._parameters("electrolysers"), world)
        self.feeders = Feeders(self._parameters("feeders"), world)
        self.puffs = Puffs()
        self.detectors = self._build_detectors()
        self._circulation = np.array([item.area == "gangneng/cooling-water" for item in groups["pumps"]])
        self._nominal_circulation = float((pumps["duty"] * pumps["rated_flow"])[self._circulation].sum() * 0.8)

    def _build_detectors(self) -> Detectors:
        limits, substances = table("limits"), table("substances")
        watches = self.layout.watches
        parameters = {key: np.array([float(limits[w.gas][key]) for w in watches]) for key in ("base", "t90", "wobble")}
        scale = []
        for watch in watches:
            ppm = 24.04e6 / substances[watch.gas]["molar_mass"]  # ppm per kg/m³ at 20 °C
            unit = limits[watch.gas]["unit"]
            scale.append(
                ppm if unit == "ppm" else ppm / 1e4 if unit == "%vol" else ppm / 100 / substances[watch.gas]["lel"]
            )
        parameters["scale"] = np.array(scale)
        parameters["x"] = np.array([watch.x for watch in watches])
        parameters["y"] = np.array([watch.y for watch in watches])
        return Detectors(parameters, [watch.gas for watch in watches], self.world)

    def _build_transmitters(self) -> None:
        points = self.points
        count = len(points)
        self.noise = np.array([point.noise for point in points])
        self.inverse_step = 1.0 / np.array([point.step for point in points])
        self.low = np.array([point.low for point in points])
        self.high = np.array([point.high for point in points])
        self.bias = np.zeros(count)
        self.frozen = np.zeros(count, dtype=bool)
        self.quality = np.zeros(count, dtype=np.uint8)
        self.values = np.zeros(count)
        self.true = np.array([point.wander[0] for point in points])
        self._wandering = np.array([point.index for point in points if not point.source and point.wander[1] > 0])
        self._mean, self._sigma, self._tau = np.array([points[index].wander for index in self._wandering]).T
        taps: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
        for point in points:
            if point.source:
                rows, indices = taps.setdefault(point.source[:2], ([], []))
                rows.append(point.source[2])
                indices.append(point.index)
        self._taps: list[tuple[Any, str, NDArray[np.intp], NDArray[np.intp]]] = [
            (getattr(self, group), quantity, np.array(rows), np.array(indices))
            for (group, quantity), (rows, indices) in taps.items()
        ]

    def step(self) -> None:
        """Advance the whole park by one step of plant time."""
        dt, world = self.dt, self.world
        world.time = round(world.time + dt, 6)
        self.scenario.apply(self)
        self.weather.step(dt, world)
        self._couple()
        for group in (self.tanks, self.pumps, self.compressors, self.exchangers, self.reactors, self.boilers):
            group.step(dt, world)
        self.electrolysers.step(dt, world)
        self.feeders.step(dt, world)
        self.puffs.step(dt, world, self.leaks)
        self.detectors.step(dt, world, self.puffs)
        wandering = self._wandering
        self.true[wandering] = world.wander(self.true[wandering], self._mean, self._tau, self._sigma, dt)
        self._measure()

    def advance(self, seconds: float) -> None:
        """Advance by ``seconds`` of plant time (whole steps)."""
        for _ in range(round(seconds / self.dt)):
            self.step()

    def _couple(self) -> None:
        """Carry flows and pressures from one group to the next."""
        pumps, tanks = self.pumps, self.tanks
        drawn = pumps.source >= 0
        tanks.draw = np.zeros(tanks.count)
        np.add.at(tanks.draw, pumps.source[drawn], pumps.draw[drawn])
        head = tanks.pressure + 9.81e-6 * tanks.p["density"] * 0.12 * tanks.level
        pumps.suction = np.where(drawn, head[pumps.source], 0.12)
        flow = float(pumps.flow[self._circulation].sum())
        self.world.cooling = min(1.0, flow / self._nominal_circulation)

    def _measure(self) -> None:
        for group, quantity, rows, indices in self._taps:
            self.true[indices] = getattr(group, quantity)[rows]
        shown = self.true + self.bias + self.noise * self.world.rng.standard_normal(len(self.true))
        shown = np.clip(np.rint(shown * self.inverse_step) / self.inverse_step, self.low, self.high)
        self.values = np.where(self.frozen, self.values, shown)

    def index_of(self, path: str) -> int:
        """Return the index of a point by path."""
        return self._index()[path]

    def _index(self) -> dict[str, int]:
        if not hasattr(self, "_by_path"):
            self._by_path = {point.path: point.index for point in self.points}
        return self._by_path

    def locate(self, unit: str) -> tuple[Any, int]:
        """Return the physics group and row of a unit by path."""
        for name, items in self.layout.groups.items():
            for row, item in enumerate(items):
                if item.path == unit and name:
                    return getattr(self, name), row
        raise KeyError(unit)

    def fail(self, index: int, failed: bool) -> None:
        """Let a transmitter report a sensor failure, or report good again."""
        self.quality[index] = Quality.BAD_SENSOR if failed else Quality.GOOD

"""Steps as the room's grid makes them, from the samples that the park's devices would send."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from anlan.core.time import SECOND
from anlan.plant.model import Plant
from anlan.sim.park import Park
from anlan.sim.schedule import Schedule
from anlan.warn.step import Step

START = 1_700_006_400 * SECOND


class Feed:
    """One step a second of plant time, of the park's points in the order of ``plant.points``."""

    def __init__(self, plant: Plant, park: Park) -> None:
        self.park = park
        row = {point.path: number for number, point in enumerate(plant.points)}
        self._row = np.array([row[point.path] for point in park.points])
        self._schedule = Schedule(park.points, phases=10)
        self._device = np.array([point.device for point in park.points], dtype=object)
        self._connector = np.array([point.connector for point in park.points], dtype=object)
        count = len(plant.points)
        self._stale = np.array([point.stale_after for point in plant.points])
        self._last = np.full(count, np.nan)
        self._changed = np.zeros(count, np.int64)
        self.time = START

    def steps(self, seconds: int) -> Iterator[Step]:
        """Advance the park by ``seconds`` and give one step each."""
        for _ in range(seconds):
            self.park.advance(1.0)
            yield self._step()

    def _step(self) -> Step:
        self.time += SECOND
        count = len(self._last)
        sent = np.zeros(len(self.park.points), bool)
        for rows in self._schedule.due(self.time // 1000):
            sent[rows] = True
        for silent in self.park.silent:
            sent &= self._device != silent
        for cut in self.park.cut:
            sent &= self._connector != cut
        good = sent & (self.park.quality == 0)
        bad = np.zeros(count, bool)
        bad[self._row[sent & ~good]] = True
        fresh = np.zeros(count, bool)
        fresh[self._row[good]] = True
        self._last[self._row[good]] = self.park.values[good]
        self._changed[fresh] = self.time
        old = (self._stale > 0) & (self.time - self._changed > self._stale)
        shown = np.where(bad | old, np.nan, self._last)
        raised, active = np.zeros(count, np.int32), np.zeros(count, np.int8)
        return Step(
            self.time,
            shown,
            shown,
            shown,
            shown,
            fresh.astype(np.int32),
            bad | old,
            self._changed.copy(),
            raised,
            active,
        )

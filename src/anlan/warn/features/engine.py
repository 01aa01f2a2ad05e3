"""Computes every bound feature from steps: pure, columnar, the same for the stream and for history."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anlan.core.time import SECOND
from anlan.plant.model import Plant
from anlan.warn.features import gather
from anlan.warn.features.binding import Bindings, Bound, bind, point_paths
from anlan.warn.features.explain import contributions
from anlan.warn.features.kernels import MISSING, OK, RANGE
from anlan.warn.features.layout import Block, Group, groups, ordered
from anlan.warn.features.library import Library, library
from anlan.warn.features.methods import METHODS
from anlan.warn.model import Contribution
from anlan.warn.step import Floats, Step

_LOST = 3  # cadences without a step after which what was recent is recent no more


@dataclass
class State:
    """Everything the engine remembers, as plain arrays.

    Attributes:
        time: end of the last step, µs UTC, 0 before the first.
        values: value of every bound feature, NaN where it has none; ``codes`` says why (``kernels.OK`` …).
        arrays: by name: what was seen since a cadence began, and state and rings of every built-in.
    """

    time: int
    values: Floats
    codes: NDArray[np.int64]
    arrays: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def snapshot(self) -> dict[str, NDArray[np.float64]]:
        """Return everything as arrays (copies), to be kept and given to ``FeatureEngine.restore``."""
        own = {"time": np.array([float(self.time)]), "values": self.values, "codes": self.codes.astype(np.float64)}
        return {name: array.copy() for name, array in (own | self.arrays).items()}


class FeatureEngine:
    """Binds the features of a library to a plant and computes them.

    Args:
        plant: compiled plant.
        features: library; the packaged one when none is given.

    Attributes:
        bound: what runs, in the order of ``values``.
        unbound: by feature, the places where it cannot run, and why (Chinese, English).
    """

    def __init__(self, plant: Plant, features: Library | None = None) -> None:
        self.plant = plant
        self.library = features if features is not None else library()
        found: Bindings = bind(plant, self.library.of(plant.packs))
        order = ordered(found.bound)
        places = {old: new for new, old in enumerate(order)}
        self._places = places
        self.bound: tuple[Bound, ...] = tuple(found.bound[n] for n in order)
        self.unbound = {name: dict(places) for name, places in found.unbound.items()}
        self._binding_order = found.bound
        self.groups = groups(list(self.bound), places)
        self._low = np.array([_or(one.feature.low, -math.inf) for one in self.bound])
        self._high = np.array([_or(one.feature.high, math.inf) for one in self.bound])
        self._below = np.array([one.feature.direction == "below" for one in self.bound], bool)
        self._away = np.array([one.feature.direction == "away" for one in self.bound], bool)
        self._thresholds = self._grading()
        paths = [point.path for point in plant.points]
        words = [(one.feature.id, one.path, one.inputs, sorted(one.parameters.items())) for one in self.bound]
        self._fingerprint = float(zlib.crc32(repr((paths, words)).encode()))
        self._last = self.start()

    def _grading(self) -> Floats:
        """Return thresholds by grade (red … blue) as rows, turned so that larger is worse; infinity for none."""
        table = np.full((4, len(self.bound)), math.inf)
        for n, one in enumerate(self.bound):
            sign = -1.0 if one.feature.direction == "below" else 1.0
            for grade, limit in one.feature.thresholds().items():
                table[grade - 1, n] = sign * limit
        return table

    def start(self) -> State:
        """Return the state before the first step."""
        count = len(self.bound)
        state = State(0, np.full(count, math.nan), np.full(count, MISSING, np.int64))
        state.arrays["bindings"] = np.array([self._fingerprint])
        for group in self.groups:
            size = group.end - group.start
            state.arrays[f"{group.cadence}.seen"] = np.zeros((gather.ROWS, len(self.plant.points)))
            state.arrays[f"{group.cadence}.fresh"] = np.ones(1)
            state.arrays[f"{group.cadence}.slots"] = group.slots.copy()
            state.arrays[f"{group.cadence}.usual"] = np.zeros((2, len(group.slots)))
            state.arrays[f"{group.cadence}.since"] = np.zeros(size)
            state.arrays[f"{group.cadence}.x"] = np.full(size, math.nan)
            for block in group.blocks:
                rows = block.end - block.start
                state.arrays[_name(group, block, "s")] = np.zeros((rows, METHODS[block.method].state))
                state.arrays[_name(group, block, "ring")] = np.full((rows, block.width), math.nan)
        return state

    def restore(self, arrays: dict[str, NDArray[np.float64]]) -> State:
        """Return the state of a snapshot; the first state if other features, points or windows were bound then."""
        state = self.start()
        same = all(name in arrays and arrays[name].shape == array.shape for name, array in state.arrays.items())
        if not same or arrays["bindings"][0] != self._fingerprint:
            return state
        state.time = int(arrays["time"][0])
        state.values[:] = arrays["values"]
        state.codes[:] = arrays["codes"].astype(np.int64)
        for name, array in state.arrays.items():
            array[...] = arrays[name]
        return state

    def step(self, state: State, step: Step) -> tuple[State, Floats]:
        """Take one step; ``state`` itself is changed and given back.

        Returns:
            The state, and the values of all bound features (the state's own array: copy what is to be kept).
        """
        for group in self.groups:
            self._gather(state, group, step)
            if step.time % (group.cadence * SECOND) == 0:
                self._close(state, group)
        state.time = step.time
        self._last = state
        return state, state.values

    def _gather(self, state: State, group: Group, step: Step) -> None:
        if state.time and step.time - state.time > _LOST * max(group.cadence, 10) * SECOND:
            self._forget(state, group)
        fresh = state.arrays[f"{group.cadence}.fresh"]
        gather.accumulate(
            state.arrays[f"{group.cadence}.seen"],
            step.time,
            fresh[0] > 0,
            step.last,
            step.mean,
            step.low,
            step.high,
            step.count,
            step.bad,
            step.changed,
            step.raised,
            step.active,
        )
        fresh[0] = 0.0

    def _forget(self, state: State, group: Group) -> None:
        """Drop windows that would join what was before a gap to what comes after; baselines stay."""
        state.arrays[f"{group.cadence}.fresh"][0] = 1.0
        for block in group.blocks:
            s = state.arrays[_name(group, block, "s")]
            s[:, list(METHODS[block.method].short)] = 0.0
            if METHODS[block.method].window:
                state.arrays[_name(group, block, "ring")][:] = math.nan

    def _close(self, state: State, group: Group) -> None:
        arrays, cadence = state.arrays, group.cadence
        slots, x = arrays[f"{cadence}.slots"], arrays[f"{cadence}.x"]
        arrays[f"{cadence}.fresh"][0] = 1.0
        gather.fill(
            arrays[f"{cadence}.seen"],
            state.values,
            slots,
            group.slot_take,
            group.slot_combine,
            group.slot_level,
            group.slot_from,
            group.reference,
            group.gain,
            group.offset,
        )
        gather.learn(slots, arrays[f"{cadence}.usual"], float(cadence))
        members = slice(group.start, group.end)
        y, codes, values = np.empty(len(x)), state.codes[members], state.values[members]
        gather.evaluate(
            group.code,
            group.constants,
            group.programs,
            slots,
            group.base,
            arrays[f"{cadence}.since"],
            group.settle,
            float(cadence),
            x,
            y,
            codes,
        )
        values[:] = math.nan
        for block in group.blocks:
            rows = slice(block.start, block.end)
            s, ring = arrays[_name(group, block, "s")], arrays[_name(group, block, "ring")]
            kernel = METHODS[block.method].kernel
            kernel(x[rows], y[rows], block.p, s, ring, float(cadence), values[rows], codes[rows])
        outside = (codes == OK) & ~((values >= self._low[members]) & (values <= self._high[members]))
        codes[outside] = RANGE
        values[outside] = math.nan

    def grade(self, values: Floats) -> NDArray[np.int8]:
        """Return the grade each value asks for: 0 none, 1 red … 4 blue."""
        turned = np.where(self._below, -values, np.where(self._away, np.abs(values), values))
        grades = np.zeros(len(values), np.int8)
        for grade in (4, 3, 2, 1):
            grades[turned >= self._thresholds[grade - 1]] = grade
        return grades

    def inputs(self, index: int) -> dict[str, str]:
        """Return the inputs of a bound feature by name, as point paths."""
        return point_paths(self.plant, self._binding_order, self.bound[index])

    def paths(self, index: int, name: str) -> list[tuple[str, str]]:
        """Return path and unit of every point (or feature's place) that one input takes."""
        one = self.bound[index]
        item = one.feature.inputs[name]
        found = []
        for reference in one.inputs[name]:
            if reference.feature:
                other = self._binding_order[reference.index]
                found.append((other.path, other.feature.unit))
            else:
                point = self.plant.points[reference.index]
                found.append((point.path, item.unit or point.unit))
        return found

    def explain(self, index: int, state: State | None = None) -> tuple[Contribution, ...]:
        """Return what a bound feature took, what is usual there and its share; of the last step when none is given."""
        return contributions(self, state if state is not None else self._last, index)


def _or(value: float | None, instead: float) -> float:
    return instead if value is None else value


def _name(group: Group, block: Block, what: str) -> str:
    return f"{group.cadence}.{block.method}.{block.start}.{what}"

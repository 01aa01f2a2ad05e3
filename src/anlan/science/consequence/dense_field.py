"""Fields of dense releases by the correlations of Britter & McQuaid: uniform over their width."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.britter_mcquaid import DensePlume, DensePuff

Floats = NDArray[np.float64]

_PLUME_FROM, _PUFF_TO = 2.5, 0.6
# The depth carries the flow at the wind of 10 m; the wind near the ground is about half of it.
_HEIGHT_SHARE = 2.0


class BritterField:
    """A plume, a puff, or between the two where the release is neither long nor short for the distance.

    Args:
        plume, puff: the two ends; one may be missing. duration: s. to_mass: kg/m³ per mole fraction.
    """

    def __init__(self, plume: DensePlume | None, puff: DensePuff | None, duration: float, to_mass: float) -> None:
        self._plume, self._puff, self._duration, self.largest = plume, puff, duration, to_mass
        self.reach = 5e4
        self.upwind = 0.0
        if plume is not None:
            self.upwind = -(0.5 * plume.diameter + 2.0 * self._length(plume))
        elif puff is not None:
            self.upwind = -float(puff.radius(np.array(0.0)))

    @staticmethod
    def _length(plume: DensePlume) -> float:
        return plume.flow * plume.reduced_gravity / plume.wind**3

    def _share(self, x: Floats) -> Floats:
        """Return the weight of the plume at ``x``: by u·T/x after Britter & McQuaid 1988."""
        if self._plume is None or self._puff is None:
            return np.full(np.shape(x), 1.0 if self._plume is not None else 0.0)
        ratio = np.log(np.maximum(self._plume.wind * self._duration / np.maximum(x, 1e-3), 1e-9))
        return np.clip((ratio - math.log(_PUFF_TO)) / (math.log(_PLUME_FROM) - math.log(_PUFF_TO)), 0.0, 1.0)

    def peak(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Return the largest concentration over time, kg/m³."""
        at, weight = np.maximum(x, 0.1), self._share(x)
        log = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(z)))
        half, deep = np.zeros_like(at), np.zeros_like(at)
        if self._plume is not None:
            log = log + weight * np.log(self._plume.fraction(at))
            half, deep = half + weight * self._plume.half_width(x), deep + weight * self._plume.depth(at)
        if self._puff is not None:
            time = self._puff.arrival(at)
            log = log + (1.0 - weight) * np.log(self._puff.fraction(at))
            half = half + (1.0 - weight) * self._puff.radius(time)
            deep = deep + (1.0 - weight) * self._puff.depth(time)
        inside = (np.abs(y) <= half) & (x >= self.upwind)
        return np.where(inside, self.largest * np.exp(log) * self._height(z, deep), 0.0)

    @staticmethod
    def _height(z: Floats, depth: Floats) -> Floats:
        return np.exp(-np.maximum(z / depth - _HEIGHT_SHARE, 0.0))

    def at(self, x: Floats, y: Floats, z: Floats, time: float) -> Floats:
        """Return the concentration, kg/m³, ``time`` seconds after the start: the peak while the cloud is there."""
        if self._puff is not None and self._plume is None:
            t = np.array(max(time, 0.0))
            front, radius = self._puff.front(t), self._puff.radius(t)
            inside = (x - (front - radius)) ** 2 + y**2 <= radius**2
            level = self.largest * self._puff.fraction(front)
            return np.where(inside & (time >= 0.0), level * self._height(z, self._puff.depth(t)), 0.0)
        assert self._plume is not None
        speed = 0.6 * self._plume.wind
        there = (x <= speed * time) & (x >= speed * (time - self._duration)) & (time >= 0.0)
        return np.where(there, self.peak(x, y, z), 0.0)

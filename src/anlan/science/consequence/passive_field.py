"""Fields of passive releases: Gaussian plumes and puffs by scheme, or the surface layer's own profile."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence import gaussian
from anlan.science.consequence.conventions import Release, Weather
from anlan.science.consequence.meteorology import SurfaceLayer, transport_wind
from anlan.science.consequence.sigma import Scheme, scheme
from anlan.science.consequence.surface_layer import lateral_width, vertical_table

Floats = NDArray[np.float64]

LOWEST_WIND_HEIGHT = 2.0
_NEAREST = 0.05


class Field(Protocol):
    """A cloud at downwind-aligned places: x downwind, y to the left, z up, m; kg/m³."""

    reach: float
    upwind: float
    largest: float

    def peak(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Return the largest concentration over time."""

    def at(self, x: Floats, y: Floats, z: Floats, time: float) -> Floats:
        """Return the concentration ``time`` seconds after the start of the release."""


class PassiveField:
    """A steady, finite or instantaneous passive release.

    Args:
        release: what is released. weather: the air. height: effective, m. averaging: s. plume: scheme of the plume.
        layer: surface layer whose profile replaces σz; None takes the scheme's σz.
        largest: concentration of the undiluted gas, kg/m³.
    """

    upwind = 0.0

    def __init__(
        self, release: Release, weather: Weather, height: float, averaging: float, plume: Scheme, largest: float,
        layer: SurfaceLayer | None = None, reach: float = 5e4,
    ) -> None:  # fmt: skip
        self._release, self._weather, self._height = release, weather, height
        self._plume, self.largest, self.reach = plume, largest, reach
        self._averaging = min(averaging, max(release.duration, 20.0)) if release.rate > 0.0 else 10.0
        self.wind = transport_wind(weather, max(height, LOWEST_WIND_HEIGHT))
        self.lid = weather.mixing_height if weather.mixing_height > max(height, 0.0) else math.inf
        self._size = math.sqrt(release.area) / 4.3 if release.area > 0.0 and release.velocity == 0.0 else 0.0
        self._layer = layer
        depth = 0.0
        self._table = vertical_table(layer, height, reach, depth) if layer is not None else None
        self._puff = scheme("ccps-puff")

    def widths(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Return σx, σy, σz, m, at ``x``, m, the source's size included."""
        at = np.maximum(x, _NEAREST)
        stability = self._weather.stability
        along = self._puff.sigma_x(stability, at)
        if self._release.rate <= 0.0:
            across, up = self._puff.sigma_y(stability, at), self._puff.sigma_z(stability, at)
        else:
            across = self._plume.sigma_y(stability, at, self._averaging)
            up = self._plume.sigma_z(stability, at, self._weather.roughness)
        if self._layer is not None:
            across = lateral_width(self._layer, at, self._height, self._weather.direction_deviation, self._averaging)
        size = self._size
        return np.hypot(along, size), np.hypot(across, size), np.hypot(up, 0.0)

    def _up(self, x: Floats, z: Floats, sigma_z: Floats) -> Floats:
        """Return the vertical share over the wind, s/m²."""
        if self._table is not None:
            return self._table(np.maximum(x, _NEAREST), z)
        return gaussian.vertical(z, self._height, sigma_z, self.lid) / self.wind

    def peak(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Return the largest concentration over time, kg/m³."""
        along, across, up = self.widths(x)
        flat = np.exp(-((y / across) ** 2) / 2.0) / (math.sqrt(2.0 * math.pi) * across)
        section = flat * self._up(x, z, up)
        if self._release.rate > 0.0:
            value = self._release.rate * section
            if math.isfinite(self._release.duration):
                middle = np.maximum(x, 0.0) / self.wind + 0.5 * self._release.duration
                value = value * gaussian.passing(np.maximum(x, 0.0), middle, self._release.duration, self.wind, along)
        else:
            value = self._release.mass * self.wind * section / (math.sqrt(2.0 * math.pi) * along)
        return np.where(x > 0.0, np.minimum(value, self.largest), 0.0)

    def at(self, x: Floats, y: Floats, z: Floats, time: float) -> Floats:
        """Return the concentration, kg/m³, ``time`` seconds after the start of the release."""
        if time < 0.0:
            return np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(z)))
        if self._release.rate > 0.0:
            along, across, up = self.widths(x)
            flat = np.exp(-((y / across) ** 2) / 2.0) / (math.sqrt(2.0 * math.pi) * across)
            passing = gaussian.passing(np.maximum(x, 0.0), time, self._release.duration, self.wind, along)
            value = self._release.rate * flat * self._up(x, z, up) * passing
            return np.where(x > 0.0, np.minimum(value, self.largest), 0.0)
        centre = np.array(max(self.wind * time, _NEAREST))
        along, across, up = self.widths(centre)
        flat = np.exp(-(((x - centre) / along) ** 2 + (y / across) ** 2) / 2.0)
        value = self._release.mass * flat * self._up(centre, z, up) * self.wind / (2.0 * math.pi * along * across)
        return np.asarray(np.minimum(value, self.largest))

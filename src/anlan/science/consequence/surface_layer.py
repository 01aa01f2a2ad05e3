"""Passive dispersion near the ground from wind, roughness and Obukhov length alone: K-theory of the surface layer.

The crosswind-integrated concentration solves U(z) ∂c/∂x = ∂/∂z (K(z) ∂c/∂z) with the wind and the eddy diffusivity of
Monin-Obukhov similarity; ground and lid let nothing through. It is the model that Nieuwstadt & van Ulden 1978 (Atmos.
Environ. 12:2119) found to describe ground-level releases; no coefficient is fitted here. σy is σθ·x times Draxler's
function (1976, Atmos. Environ. 10:99) with 300 s for ground-level sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.meteorology import SurfaceLayer

Floats = NDArray[np.float64]

_LEVELS = 96
_STEPS = 240
_FIRST = 0.05
_DRAXLER_TIME = 300.0
_LOWEST_TURBULENCE = 0.1


@numba.njit(cache=True, nogil=True)
def _march(edges: Any, wind: Any, exchange: Any, start: Any, x: Any) -> Any:  # pragma: no cover - compiled
    """March the flux u·c·dz of every layer from x[0] on: implicit, so that it is positive and keeps mass exactly."""
    n, steps = len(wind), len(x)
    out = np.zeros((steps, n))
    held = start / (wind * (edges[1:] - edges[:-1]))
    out[0] = held
    upper, right = np.zeros(n), np.zeros(n)
    for i in range(1, steps):
        parts = 2
        step = (x[i] - x[i - 1]) / parts
        for _ in range(parts):
            for j in range(n):
                capacity = wind[j] * (edges[j + 1] - edges[j])
                low = step * exchange[j - 1] if j > 0 else 0.0
                high = step * exchange[j] if j < n - 1 else 0.0
                pivot = capacity + low + high - (low * upper[j - 1] if j > 0 else 0.0)
                upper[j] = high / pivot
                right[j] = (capacity * held[j] + (low * right[j - 1] if j > 0 else 0.0)) / pivot
            held[n - 1] = right[n - 1]
            for j in range(n - 2, -1, -1):
                held[j] = right[j] + upper[j] * held[j + 1]
        out[i] = held
    return out


@dataclass(frozen=True, slots=True)
class VerticalTable:
    """The vertical share of a plume, 1/m per (kg/s)/(m/s): crosswind-integrated concentration over rate, s/m².

    Attributes:
        x: distances, m, geometric. z: heights of the layers' middles, m. share: (x, z) in s/m².
    """

    x: Floats
    z: Floats
    share: Floats

    def __call__(self, x: Floats, z: Floats) -> Floats:
        """Return the crosswind-integrated concentration for 1 kg/s, s/m², at ``x`` and ``z``, m (broadcast)."""
        distance, height = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(z, np.float64))
        row, f = _place(np.log(self.x), np.log(np.clip(distance, self.x[0], self.x[-1])))
        column, g = _place(self.z, np.clip(height, self.z[0], self.z[-1]))
        low = self.share[row, column] * (1 - g) + self.share[row, column + 1] * g
        high = self.share[row + 1, column] * (1 - g) + self.share[row + 1, column + 1] * g
        inside = (distance > 0.0) & (height <= self.z[-1] + (self.z[-1] - self.z[-2]))
        return np.where(inside, low * (1 - f) + high * f, 0.0)


def _place(grid: Floats, value: Floats) -> tuple[NDArray[np.int64], Floats]:
    at = np.clip(np.searchsorted(grid, value, side="right") - 1, 0, len(grid) - 2)
    return at, (value - grid[at]) / (grid[at + 1] - grid[at])


def vertical_table(layer: SurfaceLayer, height: float, reach: float = 2e4, depth: float = 0.0) -> VerticalTable:
    """Return the crosswind-integrated concentration of a release at ``height``, m, up to ``reach``, m downwind.

    Args:
        depth: m, over which the release is spread around its height; 0 is a point.
    """
    top = min(layer.mixing_height, max(500.0, 4.0 * height, 0.08 * reach))
    low = max(layer.roughness, 1e-3)
    edges = np.concatenate([[0.0], np.geomspace(3.0 * low, top, _LEVELS)])
    middle = 0.5 * (edges[1:] + edges[:-1])
    exchange = layer.diffusivity(edges[1:-1]) / (middle[1:] - middle[:-1])
    half = max(0.5 * depth, 0.02 * height, 3.0 * low)
    bottom, ceiling = max(height - half, 0.0), min(height + half, top)
    start = np.clip(np.minimum(edges[1:], ceiling) - np.maximum(edges[:-1], bottom), 0.0, None)
    x = np.geomspace(_FIRST, reach, _STEPS)
    share = _march(edges, layer.wind(middle), exchange, start / start.sum(), x)
    return VerticalTable(x, middle, share)


def lateral_width(
    layer: SurfaceLayer, x: Floats, height: float, sigma_direction: float | None, averaging: float
) -> Floats:
    """Return σy, m, at ``x``, m, for means over ``averaging``, s (σy grows with its power 0.2, from 20 s on).

    Args:
        height: m, of the mean plume, at whose wind it travels.
        sigma_direction: standard deviation of the wind's direction over 10 minutes, radians; None takes σv/u,
            whose similarity formulas describe hours.
    """
    wind = max(float(layer.wind(max(height, 2.0))), 0.25)
    spread = (
        sigma_direction if sigma_direction is not None else max(layer.lateral_turbulence, _LOWEST_TURBULENCE) / wind
    )
    travel = np.asarray(x, dtype=np.float64) / wind
    scale = (max(averaging, 20.0) / (3600.0 if sigma_direction is None else 600.0)) ** 0.2
    return np.asarray(
        scale * math.tan(min(spread, 1.2)) * np.asarray(x) / (1.0 + 0.9 * np.sqrt(travel / _DRAXLER_TIME))
    )

"""What all equipment shares: weather, cooling water, the random stream."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ZERO_C = 273.15
GAS_CONSTANT = 8.314  # J/(mol·K)
ATMOSPHERE = 0.101325  # MPa


@dataclass
class World:
    """State outside any equipment.

    Attributes:
        rng: the one random stream of the process; its order of use makes a run repeatable.
        time: plant time, s.
        ambient: air temperature, °C.
        cooling_water: supply temperature, °C; ``cooling`` is the fraction of its flow that is there, 0…1.
    """

    rng: np.random.Generator
    time: float = 0.0
    ambient: float = 22.0
    wind_speed: float = 2.8
    wind_direction: float = 120.0
    humidity: float = 65.0
    cooling_water: float = 26.0
    cooling: float = 1.0
    power: float = 1.0
    totals: dict[str, float] = field(default_factory=dict)

    def wander(self, state: Array, mean: Array | float, tau: Array | float, sigma: Array | float, dt: float) -> Array:
        """Return the next values of Ornstein-Uhlenbeck processes: exact update over ``dt`` s, stationary ``sigma``."""
        keep = np.exp(-dt / np.asarray(tau))
        kick = np.asarray(sigma) * np.sqrt(1.0 - keep * keep) * self.rng.standard_normal(len(state))
        return np.asarray(mean + (state - mean) * keep + kick)


def approach(state: Array, target: Array | float, tau: Array | float, dt: float) -> Array:
    """Return first-order lag of ``state`` towards ``target`` with time constant ``tau`` s over ``dt`` s (exact)."""
    return np.asarray(target + (state - target) * np.exp(-dt / np.asarray(tau)))

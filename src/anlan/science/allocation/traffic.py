"""What roads carry where the road data do not say, read from ``traffic.yaml`` (each figure with its source)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml


@dataclass(frozen=True, slots=True)
class Traffic:
    """Figures of ``traffic.yaml`` in SI.

    Attributes:
        lane_speeds, lane_capacities: design speed, m/s, and vehicles/s of one lane.
        junction_share: what junctions leave of a lane.
        persons_per_vehicle: persons.
        walking_speed: m/s; walking_flow: persons/(m·s); footway_width: m.
        classes: (speed in m/s, lanes each way) by class of road.
    """

    lane_speeds: tuple[float, ...]
    lane_capacities: tuple[float, ...]
    junction_share: float
    persons_per_vehicle: float
    walking_speed: float
    walking_flow: float
    footway_width: float
    classes: dict[str, tuple[float, float]]

    def usual(self, highway: str) -> tuple[float, float]:
        """Return speed, m/s, and lanes each way of a class of road."""
        return self.classes.get(highway, self.classes["other"])

    def drivers(self, speed: float, lanes: float) -> float:
        """Return the persons a second that leave in vehicles over ``lanes`` lanes of a road of this speed, m/s."""
        lane = float(np.interp(speed, self.lane_speeds, self.lane_capacities))
        return lane * lanes * self.junction_share * self.persons_per_vehicle


@lru_cache(maxsize=1)
def traffic() -> Traffic:
    """Return the figures of ``traffic.yaml``."""
    data: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("traffic.yaml").read_text(encoding="utf-8"))
    lanes = sorted(data["lane_capacity"]["by_speed_km_h"].items())
    return Traffic(
        tuple(speed / 3.6 for speed, _ in lanes), tuple(flow / 3600.0 for _, flow in lanes),
        data["junction_share"]["value"], data["persons_per_vehicle"]["value"], data["walking_speed"]["value"],
        data["walking_flow"]["value"], data["footway_width"]["value"],
        {name: (one["speed_km_h"] / 3.6, one["lanes"]) for name, one in data["highway"]["classes"].items()},
    )  # fmt: skip

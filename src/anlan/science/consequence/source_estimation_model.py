"""What an estimate of a source takes and gives: detectors, readings, wind, settings, and the estimate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anlan.science.consequence.conventions import Stability, Terrain

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Detector:
    """A gas detector at (x, y), m, ``height`` m above ground.

    Attributes:
        limit: of detection, kg/m³: below it a reading only says "less".
        saturation: kg/m³: from it on a reading only says "more".
    """

    id: str
    x: float
    y: float
    limit: float
    saturation: float = float("inf")
    height: float = 1.5


@dataclass(frozen=True, slots=True)
class Reading:
    """What a detector read: seconds, kg/m³, and whether its quality is good."""

    detector: str
    time: float
    value: float
    good: bool = True


@dataclass(frozen=True, slots=True)
class WindReading:
    """Wind at ``Settings.wind_height``: seconds, m/s, degrees from north that it comes from."""

    time: float
    speed: float
    direction: float


@dataclass(frozen=True, slots=True)
class Equipment:
    """A thing that may leak, at (x, y), m."""

    id: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Settings:
    """How the estimate is made, and how far its inputs are trusted.

    Attributes:
        stability: class as reported; believed to about ``stability_error`` classes. None: any class.
        direction_error: degrees, standard deviation of the error of the wind's direction that lasts all the time.
        swing_error: degrees, of that of one stretch of time.
        speed_error: relative, of the speed.
        model_error: usual factor between model and truth, as standard deviation of a logarithm; itself uncertain.
        height: of the release, m. wind_height, roughness: m. terrain: of the dispersion coefficients.
        area: (west, south, east, north) where the source may be, m; None is all around the detectors.
        rates: least and greatest rate, kg/s, any magnitude between as likely: from a 1 mm hole of gas to a 100 mm
            one of liquid, about.
        particles: of the sampler. stretches: of time at most. seed: of its random numbers.
        equipment: that may leak; the estimate then says how likely each is.
    """

    stability: Stability | None = None
    stability_error: float = 1.2
    direction_error: float = 8.0
    swing_error: float = 4.0
    speed_error: float = 0.2
    model_error: float = 0.6
    height: float = 1.0
    wind_height: float = 10.0
    roughness: float = 0.1
    terrain: Terrain = Terrain.RURAL
    area: tuple[float, float, float, float] | None = None
    rates: tuple[float, float] = (1e-4, 1e2)
    particles: int = 1500
    stretches: int = 10
    seed: int = 1
    equipment: tuple[Equipment, ...] = ()


@dataclass(frozen=True, slots=True)
class Marginal:
    """One quantity of the posterior: median, and the bounds of its middle 50 and 90 %."""

    median: float
    low50: float
    high50: float
    low90: float
    high90: float

    @classmethod
    def of(cls, values: Floats) -> Marginal:
        """Return that of equally likely ``values``."""
        low90, low50, median, high50, high90 = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist()
        return cls(median, low50, high50, low90, high90)


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Density of the posterior on a grid and the densities that bound 50 % and 90 % of it."""

    east: Floats
    north: Floats
    density: Floats
    level50: float
    level90: float

    def density_at(self, x: float, y: float) -> float:
        """Return the density at (x, y), m; 0 outside the grid."""
        step = self.east[1] - self.east[0]
        column, row = round((x - self.east[0]) / step), round((y - self.north[0]) / (self.north[1] - self.north[0]))
        if not (0 <= column < self.east.size and 0 <= row < self.north.size):
            return 0.0
        return float(self.density[row, column])


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Where and how much.

    Attributes:
        found: whether there is anything to say; otherwise all but ``remarks`` and counts is None or empty.
        x, y: geometric median of the posterior, m.
        rate: kg/s. direction_offset: degrees that the wind is taken to have been measured wrong. start: s.
        stability: mean class index, 0 A … 5 F. error: model error as standard deviation of a logarithm.
        region: of the place. equipment: (id, probability), most likely first.
        smelled: detectors above their limit at any time. used, left_out: readings.
        remarks: (code, English, Chinese).
        particles: (n, parameters) of the posterior, the first three east, north (m) and ln kg/s.
    """

    found: bool
    smelled: int
    used: int
    left_out: int
    remarks: tuple[tuple[str, str, str], ...]
    x: float | None = None
    y: float | None = None
    rate: Marginal | None = None
    east: Marginal | None = None
    north: Marginal | None = None
    direction_offset: Marginal | None = None
    start: Marginal | None = None
    stability: Marginal | None = None
    error: Marginal | None = None
    region: Region | None = None
    equipment: tuple[tuple[str, float], ...] = ()
    particles: Floats | None = None
    geojson: dict[str, Any] = field(default_factory=lambda: {"type": "FeatureCollection", "features": []})

"""What all models of consequences share: weather, releases, and how a model says that it left its range.

Units are SI: m, s, kg, K, Pa, W; concentrations kg/m³ unless a name says otherwise (``_fraction`` mole fraction,
``_ppm``); pressures absolute unless a name says ``_gauge``; angles in radians, but wind directions in degrees from
north that the wind comes from, as meteorology has them. Places are metres east and north of an origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from anlan.core.errors import InvalidInputError

GRAVITY = 9.80665
GAS_CONSTANT = 8.314462618
STANDARD_PRESSURE = 101_325.0
AIR_MOLAR_MASS = 0.028964
KARMAN = 0.41


class OutOfRangeError(InvalidInputError):
    """An input for which a model has no answer; names the model, the input and its range."""

    code = "out-of-range"


class Stability(StrEnum):
    """Pasquill stability class: A very unstable … D neutral … F stable."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"
    F = "F"


class Terrain(StrEnum):
    """Class of terrain of the dispersion coefficients."""

    RURAL = "rural"
    URBAN = "urban"


@dataclass(frozen=True, slots=True)
class Weather:
    """The air.

    Attributes:
        wind: wind speed at ``wind_height``, m/s.
        direction: degrees from north that the wind comes from.
        stability: Pasquill class.
        wind_height: m.
        temperature: air, K.
        pressure: Pa.
        humidity: relative, 0…1.
        roughness: aerodynamic roughness length z0, m.
        mixing_height: lid, m; 0 is none.
        terrain: class of terrain.
        obukhov: Obukhov length, m; None takes the usual one of class and roughness.
        cloud: cloud cover, 0…1; solar: radiation on flat ground, W/m².
        direction_deviation: standard deviation of the direction over 10 minutes, radians; None where not measured.
    """

    wind: float
    direction: float = 270.0
    stability: Stability = Stability.D
    wind_height: float = 10.0
    temperature: float = 293.15
    pressure: float = STANDARD_PRESSURE
    humidity: float = 0.5
    roughness: float = 0.1
    mixing_height: float = 0.0
    terrain: Terrain = Terrain.RURAL
    obukhov: float | None = None
    cloud: float = 0.5
    solar: float = 0.0
    direction_deviation: float | None = None

    @property
    def density(self) -> float:
        """Density of the dry air, kg/m³."""
        return self.pressure * AIR_MOLAR_MASS / (GAS_CONSTANT * self.temperature)


@dataclass(frozen=True, slots=True)
class Release:
    """What reaches the air, as dispersion takes it: one stretch of constant rate, or a mass at once.

    Attributes:
        substance: id in the table of substances.
        rate: kg/s; 0 for an instantaneous release.
        duration: s; inf is steady; 0 for an instantaneous release.
        mass: kg, of an instantaneous release; otherwise what is released in all (may be inf).
        temperature: K, after expansion to ambient pressure.
        vapour: mass fraction that is vapour then; the rest is airborne droplets.
        area: m², of the expanded jet's cross-section, of the pool, or of the cloud's ground.
        velocity: m/s, of the expanded jet; 0 for a pool or a cloud.
        height: m above ground.
        elevation: radians above the horizon at which a jet points; downwind where it is not vertical.
        pool: whether it evaporates from a pool of ``area``.
        x, y: m east and north.
        start: s.
    """

    substance: str
    rate: float
    duration: float = float("inf")
    mass: float = float("inf")
    temperature: float = 293.15
    vapour: float = 1.0
    area: float = 0.0
    velocity: float = 0.0
    height: float = 0.0
    elevation: float = 0.0
    pool: bool = False
    x: float = 0.0
    y: float = 0.0
    start: float = 0.0

    def moved(self, x: float, y: float) -> Release:
        """Return the same release at another place."""
        return replace(self, x=x, y=y)


@dataclass(slots=True)
class Remarks:
    """What a model has to say beside its figures: each remark once, as (code, sentence in English, in Chinese).

    A model that is used outside the range it was validated in says so here and goes on where physics allows;
    where it has no answer it raises ``OutOfRangeError``.
    """

    items: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, code: str, en: str, zh: str) -> None:
        """Add a remark unless it stands there already."""
        if all(item[0] != code for item in self.items):
            self.items.append((code, en, zh))

    def require(self, name: str, value: float, low: float, high: float, unit: str, model: str) -> None:
        """Raise unless ``low ≤ value ≤ high``; NaN never is.

        Raises:
            OutOfRangeError: it is not; names model, input and range.
        """
        if not low <= value <= high:
            raise OutOfRangeError(
                f"{name} of {value:g} {unit} is outside what {model} can answer",
                where=name,
                fix=f"{low:g} to {high:g} {unit}",
            )

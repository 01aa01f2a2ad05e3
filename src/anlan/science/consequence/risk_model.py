"""What a risk calculation speaks of: footprints, scenarios, the wind rose, where people are, and the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Protection:
    """What a probability of death is multiplied by for whom: the β of AQ/T 3046-2013 table 10.

    Attributes:
        individual: somebody outdoors and unprotected all the time (individual risk).
        outdoors, indoors: people as they are (societal risk).
    """

    individual: float = 1.0
    outdoors: float = 1.0
    indoors: float = 1.0


UNPROTECTED = Protection()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipse:
    """A zone of one probability of death, its axes along and across the wind.

    Attributes:
        along, across: semi-axes, m.
        centre: of the ellipse, m downwind of the release (0 and equal axes: a circle around it).
        death: probability of death inside, 0…1.
        protection: what people make of it.
    """

    along: float
    across: float
    centre: float = 0.0
    death: float = 1.0
    protection: Protection = UNPROTECTED

    def check(self, where: str) -> None:
        """Raise unless the axes are above 0 and the probability is one."""
        sizes = np.array([self.along, self.across, self.centre, self.death])
        if not np.all(np.isfinite(sizes)) or min(self.along, self.across) <= 0.0 or not 0.0 <= self.death <= 1.0:
            raise InvalidInputError(f"an ellipse of {self.along:g} by {self.across:g} m with death {self.death:g}",
                                    where=where, fix="finite axes above 0 m and a probability of 0 to 1")  # fmt: skip

    @property
    def reach(self) -> float:
        """Farthest distance from the release, m (an upper bound)."""
        return float(np.hypot(abs(self.centre) + self.along, self.across))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gridded:
    """Probabilities of death on nodes downwind, linear between them, 0 outside.

    Attributes:
        death: probabilities (along, across), 0…1; where the grid is 0, the zones after it count.
        step_along, step_across: m between nodes.
        first_along: m downwind of the first row; negative is upwind.
        first_across: m to the left of the axis of the first column; None mirrors columns that start on the axis.
        protection: what people make of it.
    """

    death: Singles
    step_along: float
    step_across: float
    first_along: float = 0.0
    first_across: float | None = None
    protection: Protection = UNPROTECTED

    def check(self, where: str) -> None:
        """Raise unless it is a grid of two by two nodes or more, of probabilities."""
        if self.death.ndim != 2 or min(self.death.shape) < 2 or not min(self.step_along, self.step_across) > 0.0:
            raise InvalidInputError(f"a footprint of shape {self.death.shape}", where=where,
                                    fix="at least 2 by 2 nodes, steps above 0 m")  # fmt: skip
        low, high = float(self.death.min()), float(self.death.max())
        if not (low >= 0.0 and high <= 1.0 + 1e-6):
            raise InvalidInputError(f"probabilities of death from {low:g} to {high:g}", where=where, fix="0 to 1")

    @property
    def reach(self) -> float:
        """Farthest distance from the release, m (an upper bound)."""
        rows, columns = self.death.shape
        x = max(abs(self.first_along), abs(self.first_along + (rows - 1) * self.step_along))
        start = self.first_across or 0.0
        y = max(abs(start), abs(start + (columns - 1) * self.step_across))
        return float(np.hypot(x, y))


Zone = Ellipse | Gridded
Zones = tuple[Zone, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One thing a scenario may come to, such as a flash fire.

    Attributes:
        name: of the kind, such as ``flash-fire``.
        footprints: zones by weather, or one entry for all weathers. Of the zones of a footprint the first that holds
            at a place counts there, so inner and certain ones come first.
        probability: given the scenario: a number, (weathers,), or (weathers, directions of the rose).
        indoors: zones for people indoors where they are others than outdoors; None takes ``footprints``.
    """

    name: str
    footprints: tuple[Zones, ...]
    probability: float | Floats = 1.0
    indoors: tuple[Zones, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """A release that may happen: its id, place (m east and north), frequency (1/a) and what it may come to."""

    id: str
    x: float
    y: float
    frequency: float
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rose:
    """How often each weather blows from where, in each period.

    Attributes:
        probability: (periods, weathers, directions), 1 in all; sector k is the wind *from* 360·k/directions degrees.
        weathers, periods: their names.
    """

    probability: Floats
    weathers: tuple[str, ...]
    periods: tuple[str, ...] = ("all",)

    def __post_init__(self) -> None:
        """Check it."""
        shape = self.probability.shape
        if len(shape) != 3 or shape[:2] != (len(self.periods), len(self.weathers)):
            fix = f"({len(self.periods)} periods, {len(self.weathers)} weathers, directions)"
            raise InvalidInputError(f"a rose of shape {shape}", where="rose", fix=fix)
        if shape[2] % 4:
            raise InvalidInputError(f"{shape[2]} directions", where="rose", fix="a multiple of 4, such as 16 or 36")
        total = float(self.probability.sum())
        if not (abs(total - 1.0) < 1e-6 and float(self.probability.min()) >= 0.0):
            raise InvalidInputError(f"the probabilities of the rose sum to {total:g}", where="rose",
                                    fix="none negative, 1 in all")  # fmt: skip

    @property
    def directions(self) -> int:
        """Number of sectors."""
        return int(self.probability.shape[2])

    def split(self, parts: int) -> Rose:
        """Return a rose with each sector shared evenly by ``parts`` (odd) narrower ones, against aliasing of plumes.

        Purple Book (CPR 18E) uses 12 sectors; narrow plumes leave gaps between them unless sectors are split.
        """
        if parts < 1 or parts % 2 == 0:
            raise InvalidInputError(f"sectors split in {parts}", where="parts", fix="an odd number")
        fine = np.repeat(self.probability / parts, parts, axis=2)
        return Rose(np.roll(fine, -(parts // 2), axis=2), self.weathers, self.periods)

    def towards(self) -> Floats:
        """Return the probabilities by direction of travel, counterclockwise from east."""
        count = self.directions
        return np.ascontiguousarray(self.probability[:, :, (3 * count // 4 - np.arange(count)) % count])

    def by_travel(self, values: Floats) -> Floats:
        """Return ``values`` (…, directions as the rose has them) by direction of travel."""
        count = self.directions
        return np.asarray(values[..., (3 * count // 4 - np.arange(count)) % count])


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Where how many people are.

    Attributes:
        x, y: places (n,), m.
        outdoors, indoors: people (periods, n).
    """

    x: Floats
    y: Floats
    outdoors: Floats
    indoors: Floats

    def __post_init__(self) -> None:
        """Check it."""
        count = self.x.shape[0]
        if self.y.shape != (count,) or self.outdoors.shape != self.indoors.shape or self.outdoors.shape[1:] != (count,):
            raise InvalidInputError("places and numbers of people do not fit together", where="population",
                                    fix="x, y (n,); outdoors, indoors (periods, n)")  # fmt: skip
        for values in (self.x, self.y, self.outdoors, self.indoors):
            if not np.all(np.isfinite(values)):
                raise InvalidInputError("a place or number of people is no number", where="population", fix="finite")
        if count and min(float(self.outdoors.min()), float(self.indoors.min())) < 0.0:
            raise InvalidInputError("a negative number of people", where="population", fix="0 or more")

    @classmethod
    def present(
        cls, x: Floats, y: Floats, people: Floats, share: Sequence[float], indoors: Sequence[float]
    ) -> Population:
        """Return the population of ``people`` (n,), present by period to a ``share``, of whom ``indoors`` inside."""
        there = np.asarray(share, dtype=np.float64)[:, None] * np.asarray(people, dtype=np.float64)[None, :]
        inside = np.asarray(indoors, dtype=np.float64)[:, None]
        return cls(np.asarray(x, np.float64), np.asarray(y, np.float64), there * (1.0 - inside), there * inside)


@dataclass(frozen=True, slots=True)
class Area:
    """The grid of individual risk: the centre of its south-western cell (m), the cells' size (m) and their numbers."""

    west: float
    south: float
    step: float
    columns: int
    rows: int

    def __post_init__(self) -> None:
        """Check it."""
        if not self.step > 0.0 or self.columns < 2 or self.rows < 2:
            raise InvalidInputError(f"a grid of {self.columns} by {self.rows} cells of {self.step:g} m", where="area",
                                    fix="at least 2 by 2 cells, above 0 m")  # fmt: skip

    @property
    def east(self) -> Floats:
        """Centres of the columns, m."""
        return self.west + self.step * np.arange(self.columns, dtype=np.float64)

    @property
    def north(self) -> Floats:
        """Centres of the rows, m."""
        return self.south + self.step * np.arange(self.rows, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Lattice:
    """How finely footprints are laid on rings around each release.

    Attributes:
        rings: number; their distances grow with the square of their index, so steps grow with the root of distance.
        angles: directions on a ring; the next multiple of the rose's directions is taken.
    """

    rings: int = 160
    angles: int = 360

    def angles_for(self, directions: int) -> int:
        """Return the number of angles with ``directions`` of wind."""
        return directions * -(-self.angles // directions)


@dataclass(frozen=True, slots=True, eq=False)
class FnCurve:
    """How often ``deaths`` or more die at once: ``frequency`` (1/a) at each of the falling steps of the staircase.

    Attributes:
        deaths: rising, 1 or more. frequency: of that many or more, 1/a; falling.
        loss: potential loss of life, deaths per year, events of fewer than one death included.
    """

    deaths: Floats
    frequency: Floats
    loss: float

    def exceedance(self, deaths: Floats | float) -> Floats:
        """Return the frequency, 1/a, of ``deaths`` (1 or more) or more dying at once."""
        at = np.searchsorted(self.deaths, np.asarray(deaths, dtype=np.float64), side="left")
        return np.append(self.frequency, 0.0)[at]

    def thinned(self, per_decade: int = 40) -> tuple[Floats, Floats]:
        """Return deaths and frequencies at ``per_decade`` steps, for drawing; each a point of the staircase."""
        if not self.deaths.size:
            return self.deaths, self.frequency
        top = float(self.deaths[-1])
        wanted = np.unique(np.append(10.0 ** np.arange(0.0, np.log10(max(top, 1.0)) + 1e-9, 1.0 / per_decade), top))
        at = np.unique(np.minimum(np.searchsorted(self.deaths, wanted), self.deaths.size - 1))
        return self.deaths[at], self.frequency[at]


@dataclass(frozen=True, slots=True)
class Share:
    """What one scenario adds: its id, 1/a of individual risk (or deaths per year), and its share of the whole."""

    scenario: str
    value: float
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class RiskResult:
    """The risk of a park.

    Attributes:
        area: the grid of ``individual``.
        individual: (rows, columns) 1/a for somebody outdoors and unprotected all the time.
        societal: the F-N curve; None without population.
        loss: potential loss of life by scenario, largest first.
        remarks: (code, English, Chinese).
    """

    area: Area
    individual: Floats
    societal: FnCurve | None
    loss: tuple[Share, ...]
    remarks: tuple[tuple[str, str, str], ...] = field(default=())

"""Risk models as data, and the facts about the plant that an index is made from. Times are µs UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

# --- models ----------------------------------------------------------------------------------------------------------


class TermKind(StrEnum):
    """What a term looks at."""

    INHERENT = "inherent"
    ALARM = "alarm"
    WARNING = "warning"
    FEATURE = "feature"
    BARRIER = "barrier"
    BYPASS = "bypass"
    CALIBRATION = "calibration"
    EXPOSURE = "exposure"
    WORK = "work"
    ENVIRONMENT = "environment"
    LACKING = "lacking"


SEVERITY: dict[TermKind, tuple[tuple[str, ...], ...]] = {
    TermKind.ALARM: (
        ("critical", "high", "medium", "low"),
        ("HH", "H"),
        ("LL", "L"),
        ("rate", "deviation", "state", "stale", "bad-quality", "vote", "expression"),
    ),
    TermKind.WARNING: (("red", "orange", "yellow", "blue"),),
    TermKind.FEATURE: (("red", "orange", "yellow", "blue"),),
    TermKind.BARRIER: (("failed", "bypassed", "degraded", "overdue"),),
    TermKind.BYPASS: (("expired", "safety", "ordinary"),),
    TermKind.CALIBRATION: (("safety", "ordinary"),),
    TermKind.WORK: (("overdue", "active"),),
}
"""Names that the steps of a term may have, each chain from the worst down: a worse state may not add less. The last
chain of ALARM is no order, only names."""

NUMERIC = (TermKind.EXPOSURE, TermKind.ENVIRONMENT, TermKind.LACKING)
"""Kinds whose steps are thresholds of a number."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From ``at`` on (at most ``at`` for a term that counts ``below``) the term adds ``adds``."""

    at: float
    adds: float


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One term of a risk model: which states count, what they add to the index, and where that comes from.

    Attributes:
        id: unique in the model.
        steps: what each state adds, by its name (``SEVERITY``).
        levels: what each threshold of a number adds, for EXPOSURE (persons), ENVIRONMENT (the quantity's unit) and
            LACKING (how many wanted points are not there).
        cap: most the term may add.
        further: share of its own step that each further state adds to the worst one, 0..1.
        units, substances: kinds of unit and substances (site id or CAS) the term is for; any when empty.
        point_kinds, points, alarm_kinds: alarms and bypasses it counts; ``points`` are patterns of point ids.
        standing: counts only what has stood at least so long, µs; such a term does not keep an alarm from others.
        barriers, works, features, models, quantity: which ones it counts; any when empty.
        below: ENVIRONMENT: the lower the number the worse.
        zh, en: what it says.
        source, clause, confidence: where it comes from, and how sure; ``Anlan, judgement`` says so, with ``why``.
    """

    id: str
    kind: TermKind
    zh: str
    en: str
    source: str
    confidence: str
    steps: dict[str, float] = {}
    levels: tuple[Step, ...] = ()
    cap: float = 100.0
    further: float = 0.25
    clause: str = ""
    why: str = ""
    units: tuple[str, ...] = ()
    substances: tuple[str, ...] = ()
    point_kinds: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    alarm_kinds: tuple[str, ...] = ()
    standing: str = ""
    barriers: tuple[str, ...] = ()
    works: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    quantity: str = ""
    below: bool = False


class Applies(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Units a model is for: each list that is given must fit; within a list any one of it will do."""

    units: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    substances: tuple[str, ...] = ()
    point_kinds: tuple[str, ...] = ()


class Want(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An input the model wants: one point of any of ``point_kinds``, or a barrier of ``barrier`` in the register.

    ``within`` is where it may stand: ``unit``, ``area`` or ``site``; ``units`` and ``substances`` limit who needs it.
    """

    zh: str
    en: str
    point_kinds: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    barrier: str = ""
    within: str = "unit"
    units: tuple[str, ...] = ()
    substances: tuple[str, ...] = ()


class Inherent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The floor: index of each class, and the class of units that hold no design quantity, by kind.

    Classes: ``first`` … ``fourth`` are the grades of GB 18218; ``below`` is less than a major hazard installation.
    """

    classes: dict[str, float]
    source: str
    confidence: str
    why: str = ""
    kinds: dict[str, str] = {}
    otherwise: str = "below"


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the amounts that terms add come from; what counts has its source in each term."""

    source: str
    confidence: str
    why: str = ""


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Smallest index of each colour; below ``yellow`` is blue."""

    red: float = 75.0
    orange: float = 50.0
    yellow: float = 25.0


class RiskModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A risk model as data; its index is the inherent floor plus what its terms add, at most 100.

    It is for the units that any of ``applies`` fits.
    """

    id: str
    version: int
    name: str
    name_en: str
    inherent: Inherent
    scale: Scale
    terms: tuple[Term, ...]
    applies: tuple[Applies, ...] = (Applies(),)
    wants: tuple[Want, ...] = ()
    bounds: Bounds = Bounds()
    owner: str = ""
    pack: str = ""


class RiskFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pack's ``risk.yaml``: its models, the more special ones first."""

    models: tuple[RiskModel, ...]


# --- facts -----------------------------------------------------------------------------------------------------------


class ActiveAlarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alarm whose condition stands: ``path`` is its point's, ``event`` the id of the event that raised it."""

    id: str
    path: str
    kind: str
    priority: int
    since: int
    event: str = ""


class OpenWarning(msgspec.Struct, frozen=True, omit_defaults=True):
    """A warning that is raised or confirmed; ``path`` is a place or a point, ``grade`` 1 red … 4 blue."""

    id: str
    path: str
    grade: int
    since: int
    model: str = ""
    event: str = ""


class FeatureGrade(msgspec.Struct, frozen=True, omit_defaults=True):
    """A risk feature of a unit that asks for a grade, 1 red … 4 blue."""

    feature: str
    path: str
    grade: int
    since: int
    value: float | None = None
    event: str = ""


class BarrierState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A barrier that protects ``path``: ``state`` is healthy, overdue, degraded, bypassed or failed."""

    id: str
    path: str
    kind: str
    state: str
    since: int = 0
    name: str = ""
    event: str = ""


class StandingBypass(msgspec.Struct, frozen=True, omit_defaults=True):
    """A point out of action on purpose; ``expires`` µs UTC."""

    id: str
    path: str
    since: int
    expires: int = 0
    safety: bool = False
    event: str = ""


class ExpiredCalibration(msgspec.Struct, frozen=True, omit_defaults=True):
    """A point whose calibration ran out at ``expires``."""

    path: str
    expires: int
    safety: bool = False


class HeadCount(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many people are at a place now."""

    path: str
    count: float
    since: int = 0
    event: str = ""


class WorkInProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """Work at a place, by kind of ``registers/work_kinds.yaml``."""

    id: str
    path: str
    kind: str
    since: int
    overdue: bool = False
    event: str = ""


class Weather(msgspec.Struct, frozen=True, omit_defaults=True):
    """One quantity of the weather over ``path`` (empty: the whole site), such as ``wind-speed`` in m/s."""

    quantity: str
    value: float
    since: int = 0
    path: str = ""
    event: str = ""


@dataclass(frozen=True, slots=True)
class RiskFacts:
    """Everything an index is made from, at one moment. A path may name a point, a unit, an area or an enterprise.

    ``warnings`` must leave out those of RISK models: an index that feeds on its own warning would never fall again.
    """

    alarms: tuple[ActiveAlarm, ...] = ()
    warnings: tuple[OpenWarning, ...] = ()
    features: tuple[FeatureGrade, ...] = ()
    barriers: tuple[BarrierState, ...] = ()
    bypasses: tuple[StandingBypass, ...] = ()
    calibrations: tuple[ExpiredCalibration, ...] = ()
    presence: tuple[HeadCount, ...] = ()
    work: tuple[WorkInProgress, ...] = ()
    weather: tuple[Weather, ...] = ()

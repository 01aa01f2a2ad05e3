"""A risk feature as data, exactly as a feature file writes it; ``README.md`` explains each field with an example."""

from __future__ import annotations

from typing import Any

import msgspec

from anlan.core.severity import WarningGrade
from anlan.warn.model import Target

SCOPES = ("unit", "area", "enterprise", "point")
PLACES = ("unit", "area", "enterprise", "site")
TAKES = ("mean", "last", "low", "high", "count", "raised", "active", "bad", "age")
COMBINES = ("one", "mean", "sum", "max", "min", "median", "spread", "number", "above", "equal")
CADENCES = (1, 10, 60)
DIRECTIONS = ("above", "below", "away")


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which points one input takes.

    Attributes:
        kind: kinds of point, joined by ``|``.
        match: patterns of the last part of the path (``*``, ``?``), joined by ``|``, the most telling first.
        exclude: patterns that do not count.
        unit: unit the formula wants; points in another unit of the same dimension are converted.
        take: what of the point in a step (``TAKES``).
        many: takes every matching point; ``combine`` says how (``COMBINES``), ``least`` how many there must be.
        level: ``combine: above`` counts inputs at or above it, ``equal`` those that are it.
        like: name of a point input: only points of the same kind, unit and stem of name, without that one itself.
        where: place it is looked for in, seen from the unit.
        of: kinds of unit it is looked for in, patterns joined by ``|``.
        optional: not needed; ``default`` stands in for it.
        limit: the limit of the alarm of this kind at the point of input ``at`` (a constant of the binding).
        range: the ``low`` or ``high`` end of the measuring range of input ``at`` (a constant of the binding).
        same: takes the same points as another input, another thing of them.
        feature: takes the values of another feature bound in the place instead of points.
    """

    kind: str = ""
    match: str = "*"
    exclude: str = ""
    unit: str = ""
    take: str = "mean"
    many: bool = False
    combine: str = "mean"
    least: int = 1
    level: float = 0.0
    like: str = ""
    where: str = "unit"
    of: str = ""
    optional: bool = False
    default: float = 0.0
    limit: str = ""
    range: str = ""
    at: str = ""
    same: str = ""
    feature: str = ""


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a test vector must give at step ``at`` (from 0; negative from the end)."""

    at: int = -1
    value: float | None = None
    within: float = 1e-6
    grade: str | None = None
    reason: str | None = None


class Vector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A test vector: a series for each input, one entry a step, and what must come out.

    A series is a list of numbers and segments: ``[value, steps]``, ``[from, to, steps]`` (a line), or
    ``{wave: amplitude, period: steps, steps: n, about: value}``. The last value goes on to the longest series.
    ``null`` is a bad sample. Further points of a ``many`` input are written ``name#2``, ``name#3``.
    """

    series: dict[str, list[Any]]
    expect: tuple[Expectation, ...]
    parameters: dict[str, float | str] = {}
    limits: dict[str, float] = {}
    note: str = ""


class FeatureSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One risk feature.

    Attributes:
        expression: formula over inputs and parameters by name.
        builtin: how its values become the feature's (``builtins.py``); ``value`` alone smooths.
        against: second formula of built-ins that compare two quantities.
        when: condition under which it means something (running, loaded); otherwise it has no value, and says so.
        scope: what one binding is about (``SCOPES``).
        of: kinds of unit it is meant for, patterns; empty: wherever its inputs are.
        step: seconds of its cadence, one of ``CADENCES``.
        window: seconds of history that make its value, for people.
        low, high: validity range of its value; outside it has none.
        grades: thresholds by grade; ``direction``: ``above``, ``below`` or ``away`` from zero asks for it.
        target: alarm it foresees.
        source: standard and clause, paper, handbook, or the reasoning from first principles.
    """

    id: str
    zh: str
    en: str
    meaning_zh: str
    meaning_en: str
    inputs: dict[str, InputSpec]
    unit: str
    source: str
    action_zh: str
    action_en: str
    tests: tuple[Vector, ...]
    expression: str
    builtin: str = "value"
    against: str = ""
    when: str = ""
    scope: str = "unit"
    of: str = ""
    step: int = 10
    window: float | str = 0.0
    parameters: dict[str, float | str] = {}
    low: float | None = None
    high: float | None = None
    grades: dict[str, float] = {}
    direction: str = "above"
    target: Target = Target()
    pack: str = ""

    def thresholds(self) -> dict[WarningGrade, float]:
        """Return the thresholds by grade."""
        return {WarningGrade[name.upper()]: value for name, value in self.grades.items()}

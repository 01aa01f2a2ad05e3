"""The models that run on this node's stream: what they are, where they are bound, and why others are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from anlan.core.severity import WarningGrade
from anlan.plant.model import Plant
from anlan.warn.features.library import Library
from anlan.warn.model import FeatureRow, ModelKind, WarningModel
from anlan.warn.models.registry import Version, sound
from anlan.warn.stream.engine import WarnEngine
from anlan.warn.stream.feature_models import chosen
from anlan.warn.warnings.grouping import unit_of
from anlan.warn.warnings.record import Running

LIMITS = ("HH", "H", "L", "LL")


@dataclass(frozen=True, slots=True)
class Fleet:
    """The versions that run, and by ``id@version`` why others of them do not."""

    versions: tuple[Version, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(versions: list[Version]) -> Fleet:
        """Return the fleet of all versions there are."""
        runs, problems = sound(lambda: versions)
        return Fleet(tuple(runs), problems)

    @property
    def models(self) -> tuple[WarningModel, ...]:
        """Definitions of what runs."""
        return tuple(version.model for version in self.versions)

    @property
    def files(self) -> dict[tuple[str, int], bytes]:
        """Fitted files of what runs, by id and version."""
        return {version.key: version.file for version in self.versions if version.file}

    def running(self, engine: WarnEngine) -> dict[tuple[str, int], Running]:
        """Return what the book needs to know of each."""
        found = {}
        rows = engine.feature_rows()
        for version in self.versions:
            bound, inputs = where(version.model, engine, rows)
            found[version.key] = Running(version.model, version.mode, bound, inputs)
        return found


def where(
    model: WarningModel, engine: WarnEngine, rows: Sequence[FeatureRow] | None = None
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the places a model judges and the points it looks at.

    Args:
        model: a model of the engine's.
        engine: bound to the plant.
        rows: the engine's features, when they are at hand.
    """
    plant = engine.plant
    if model.kind is ModelKind.DETECTOR:
        known = {point.path for point in plant.points}
        points = frozenset(path for path in model.points if path in known)
        places = model.scope or tuple(sorted({unit_of(path) for path in points}))
        return (places, points) if points else ((), points)
    if model.kind is ModelKind.FEATURE:
        taken = [
            (value.path, value.inputs.values())
            for row in (engine.feature_rows() if rows is None else rows)
            if chosen(model, row.id)
            for value in row.values
            if _within(value.path, model.scope)
        ]
        return tuple(sorted({path for path, _ in taken})), frozenset(path for _, paths in taken for path in paths)
    if model.kind is ModelKind.TREND:
        return _trending(plant, model.scope)
    units = tuple(unit.path for unit in plant.units if _within(unit.path, model.scope))
    return units, frozenset()


def _trending(plant: Plant, scope: Iterable[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    limited = {alarm.point for alarm in plant.alarms if alarm.kind in LIMITS and alarm.enabled}
    paths = [point.path for point in plant.points if point.number in limited and _within(point.path, scope)]
    return tuple(sorted({unit_of(path) for path in paths})), frozenset(paths)


def _within(path: str, scope: Iterable[str]) -> bool:
    places = tuple(scope)
    return not places or any(path == place or path.startswith(place + "/") for place in places)


def actions_of(library: Library) -> dict[str, tuple[str, str]]:
    """Return what to do about each risk feature, Chinese and English, by its id."""
    return {spec.id: (spec.action_zh, spec.action_en) for spec in library.features.values()}


def grade_counts(grades: Iterable[WarningGrade]) -> tuple[int, int, int, int]:
    """Return how many there are of each grade, red first."""
    counts = [0, 0, 0, 0]
    for grade in grades:
        counts[int(grade) - 1] += 1
    return counts[0], counts[1], counts[2], counts[3]

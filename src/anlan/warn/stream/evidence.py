"""Evidence of a finding: sample ranges of the log, and sentences for people."""

from __future__ import annotations

from collections.abc import Iterable

from anlan.core.events import sample_range
from anlan.core.time import HOUR, MINUTE, SECOND
from anlan.plant.model import Plant, Point
from anlan.warn.stream.grid import Marks

MOST_CONTRIBUTIONS = 8


class Evidence:
    """What findings need to know of the plant and the log.

    Args:
        plant: names and numbers of points.
        marks: which samples came in which record of the log.
        node: id of the node.
    """

    def __init__(self, plant: Plant, marks: Marks, node: str) -> None:
        self.points = plant.point_by_path()
        self._marks = marks
        self._node = node

    def samples(self, paths: Iterable[str], start: int, end: int) -> tuple[str, ...]:
        """Return the samples of the points among ``paths`` from ``start`` to ``end`` (µs UTC)."""
        sequences = self._marks.between(start, end)
        if sequences is None:
            return ()
        numbers = dict.fromkeys(self.points[path].number for path in paths if path in self.points)
        return tuple(sample_range(self._node, number, start, end, *sequences) for number in numbers)


def names_of(point: Point) -> tuple[str, str]:
    """Return what a point is called in Chinese and in English, its path where it has no name."""
    return point.name or point.path, point.name_en or point.path


def shown(value: float) -> str:
    """Return a value with four figures."""
    return f"{value:.4g}"


def span(duration: int) -> tuple[str, str]:
    """Return a duration (µs) in words, Chinese and English."""
    if duration < 2 * MINUTE:
        return f"{duration // SECOND} 秒", f"{duration // SECOND} s"
    if duration < 2 * HOUR:
        return f"{duration // MINUTE} 分钟", f"{duration // MINUTE} min"
    return f"{duration / HOUR:.1f} 小时", f"{duration / HOUR:.1f} h"


def model_key(model_id: str, version: int) -> str:
    """Return the name of one version of a model."""
    return f"{model_id}@{version}"

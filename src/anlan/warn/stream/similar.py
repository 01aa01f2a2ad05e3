"""How like the evidence of a finding is to that of past warnings, wherever in the plant those were.

A pattern has three parts: which features fire, which kinds of points speak and in which direction they are off, and
which points by the last part of their path. The likeness of two patterns is the weighted mean of the cosines of the
parts that either has and of the likeness of their shapes (one culprit, or many).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from anlan.core.events import WarningOutcome
from anlan.warn.model import Contribution, SimilarCase

LEAST = 0.5
"""Less likeness than this is none."""

_FEATURES, _KINDS, _NAMES, _SHAPE = 0.35, 0.35, 0.2, 0.1
_SAME_MODEL = 0.9
"""What a likeness counts when another model said it: the same picture seen by other eyes."""

Weights = dict[str, float]


@dataclass(frozen=True, slots=True)
class Pattern:
    """What the evidence of a warning looks like; each part maps a name to a share of 0..1."""

    model: str
    features: Weights
    kinds: Weights
    names: Weights
    shape: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PastCase:
    """A past warning with its pattern."""

    warning: str
    path: str
    raised: int
    pattern: Pattern
    outcome: WarningOutcome | None = None
    comment: str = ""


def pattern_of(model: str, contributions: Iterable[Contribution], kinds: Mapping[str, str]) -> Pattern:
    """Return the pattern of a finding or of a warning.

    Args:
        model: id of the model that said it.
        contributions: of it; features by id, points by full path.
        kinds: kind of each point by path; points that are no longer there count by name alone.
    """
    features: Weights = {}
    by_kind: Weights = {}
    names: Weights = {}
    for item in contributions:
        share = max(item.share, 0.0)
        if "/" not in item.name:
            features[item.name] = features.get(item.name, 0.0) + share
            continue
        last = item.name.rpartition("/")[2]
        names[_stem(last)] = names.get(_stem(last), 0.0) + share
        key = f"{kinds.get(item.name, '')}{_direction(item)}"
        if item.name in kinds:
            by_kind[key] = by_kind.get(key, 0.0) + share
    shares = sorted((*names.values(), *(() if names else features.values())), reverse=True)
    return Pattern(model, features, by_kind, names, tuple(shares))


def _stem(name: str) -> str:
    """Return a tag without its loop number: the same instrument of another unit has the same letters."""
    return name.rstrip("0123456789").rstrip("-_.").lower() or name.lower()


def _direction(item: Contribution) -> str:
    if item.value is None or item.expected is None or item.value == item.expected:
        return ""
    return "+" if item.value > item.expected else "-"


def likeness(one: Pattern, other: Pattern) -> float:
    """Return how like two patterns are, 0..1; 1 for the same evidence of the same model."""
    weight, total = 0.0, 0.0
    for share, left, right in (
        (_FEATURES, one.features, other.features),
        (_KINDS, one.kinds, other.kinds),
        (_NAMES, one.names, other.names),
    ):
        if left or right:
            weight += share
            total += share * _cosine(left, right)
    if weight == 0.0:
        return 0.0
    total += _SHAPE * _shape(one.shape, other.shape)
    return total / (weight + _SHAPE) * (1.0 if one.model == other.model else _SAME_MODEL)


def _cosine(one: Weights, other: Weights) -> float:
    if not one or not other:
        return 0.0
    product = sum(share * other.get(name, 0.0) for name, share in one.items())
    size = math.sqrt(sum(v * v for v in one.values()) * sum(v * v for v in other.values()))
    return min(product / size, 1.0) if size > 0 else 0.0


def _shape(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return 1 less half the distance between two falling series of shares, each scaled to sum 1."""
    count = max(len(one), len(other))
    series = np.zeros((2, count))
    for row, shares in enumerate((one, other)):
        series[row, : len(shares)] = shares
    sums = series.sum(axis=1)
    if not (sums > 0).all():
        return 0.0
    parts = series / sums[:, None]
    return float(1.0 - np.abs(parts[0] - parts[1]).sum() / 2)


def similar_cases(pattern: Pattern, cases: Iterable[PastCase], most: int = 5) -> tuple[SimilarCase, ...]:
    """Return the past cases most like ``pattern``, the most like first, of equal ones the newest.

    Args:
        pattern: of the warning in question.
        cases: others; without itself.
        most: how many at most.
    """
    found = [(likeness(pattern, case.pattern), case) for case in cases]
    near = sorted((pair for pair in found if pair[0] >= LEAST), key=lambda p: (-p[0], -p[1].raised, p[1].warning))
    return tuple(
        SimilarCase(case.warning, case.path, case.raised, round(alike, 3), case.outcome, case.comment)
        for alike, case in near[:most]
    )

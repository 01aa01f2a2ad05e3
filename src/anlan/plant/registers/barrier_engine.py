"""Pure rules of barriers: from points, bypasses, reports and tests to a state with its reasons.

States by gravity: failed, bypassed, degraded, overdue, healthy. A barrier that depends on points needs ``needed`` of
them: with some lost it is degraded, with too few it has failed – or is bypassed, when bypasses alone leave too few.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from anlan.core.expression import evaluate, parse
from anlan.plant.model import Barrier
from anlan.plant.registers.model import BarrierReason

GRAVITY = {"failed": 4, "bypassed": 3, "degraded": 2, "overdue": 1, "healthy": 0}


@dataclass(frozen=True, slots=True)
class Loss:
    """A point that is bad, or a condition that does not hold: since when (µs UTC), in words, from which samples."""

    since: int
    text: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class BypassOf:
    """A bypass in force on a point or an alarm of it."""

    id: str
    since: int
    text: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The standing report of a degradation; ``test`` is the test it came from, empty when a person reported it."""

    id: str
    state: str
    since: int
    text: str = ""
    cause: str = ""
    test: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known of the plant now.

    Attributes:
        lost: by path, points of bad quality.
        bypassed: by path, points with a bypass in force.
        conditions: by barrier, conditions that do not hold; one that cannot be judged is among ``unknown``.
    """

    lost: Mapping[str, Loss] = field(default_factory=dict)
    bypassed: Mapping[str, BypassOf] = field(default_factory=dict)
    conditions: Mapping[str, Loss] = field(default_factory=dict)
    unknown: Mapping[str, Loss] = field(default_factory=dict)


def condition_holds(text: str, values: Mapping[str, float | None]) -> bool | None:
    """Return whether a condition holds; null while it cannot be told.

    Args:
        text: ``core.expression`` syntax with full paths.
        values: value by path in the point's unit, null when bad or missing.
    """
    expression = parse(text)
    inputs = [float("nan") if (value := values.get(name)) is None else value for name in expression.names]
    result = float(evaluate(expression, inputs))
    return None if result != result else bool(result)


def due_at(barrier: Barrier, first: int, last_test: int) -> int:
    """Return when the next test is due, µs UTC, 0 when no test is set.

    Without any test the time runs from when the register first saw the barrier.
    """
    if not barrier.test_interval:
        return 0
    return (max(last_test, barrier.tested) or first) + barrier.test_interval


def available(barrier: Barrier, facts: Facts) -> int:
    """Return how many of the barrier's points are neither bad nor bypassed."""
    return sum(1 for path in barrier.points if path not in facts.lost and path not in facts.bypassed)


def reasons_of(barrier: Barrier, facts: Facts, report: Report | None, due: int, now: int) -> tuple[BarrierReason, ...]:
    """Return why a barrier is not healthy, gravest first; empty when it is.

    Args:
        report: its standing report.
        due: when its next test is due, 0 when none is set.
        now: µs UTC.
    """
    found = _of_points(barrier, facts)
    if (loss := facts.conditions.get(barrier.id)) is not None:
        found.append(BarrierReason("failed", "condition", barrier.condition, loss.since, loss.text, loss.cause))
    if (loss := facts.unknown.get(barrier.id)) is not None:
        found.append(BarrierReason("degraded", "condition", barrier.condition, loss.since, loss.text, loss.cause))
    if report is not None:
        kind, ref = ("test", report.test) if report.test else ("report", report.id)
        found.append(BarrierReason(report.state, kind, ref, report.since, report.text, report.cause))
    if due and due <= now:
        found.append(BarrierReason("overdue", "due", "", due))
    return tuple(sorted(found, key=lambda reason: (-GRAVITY[reason.state], reason.since, reason.ref)))


def state_of(reasons: tuple[BarrierReason, ...]) -> str:
    """Return the gravest state of the reasons, healthy when there is none."""
    return max((reason.state for reason in reasons), key=GRAVITY.__getitem__, default="healthy")


def _of_points(barrier: Barrier, facts: Facts) -> list[BarrierReason]:
    bypassed = [path for path in barrier.points if path in facts.bypassed]
    lost = [path for path in barrier.points if path in facts.lost and path not in facts.bypassed]
    needed = barrier.needed or len(barrier.points)
    enough = len(barrier.points) - len(bypassed) - len(lost) >= needed
    by_bypass = len(barrier.points) - len(bypassed) < needed
    found = []
    for path in bypassed:
        item = facts.bypassed[path]
        state = "bypassed" if by_bypass else "degraded" if enough else "failed"
        found.append(BarrierReason(state, "bypass", item.id, item.since, item.text, item.cause))
    for path in lost:
        loss = facts.lost[path]
        found.append(
            BarrierReason("degraded" if enough else "failed", "point", path, loss.since, loss.text, loss.cause)
        )
    return found

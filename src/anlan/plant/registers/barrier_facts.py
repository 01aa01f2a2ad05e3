"""Which of the barriers' points are lost now, judged on last values; short losses do not count.

A point counts as lost once it has been bad for ``settle_us``: when a node starts, every point is bad for a moment.
While the alarm service does not answer, or has only just begun to, what was known before stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from anlan.core.events import sample_range
from anlan.core.quality import describe
from anlan.core.time import SECOND
from anlan.plant.expressions import point_names
from anlan.plant.model import Barrier, Plant
from anlan.plant.registers.barrier_engine import Loss, condition_holds
from anlan.plant.registers.last_values import Last, LastValues
from anlan.plant.registers.model import BarrierReason

SETTLE_US = 30 * SECOND


class Lost(NamedTuple):
    """Points that are bad by path; conditions that do not hold, and that cannot be judged, by barrier."""

    points: dict[str, Loss]
    conditions: dict[str, Loss]
    unknown: dict[str, Loss]


class PointFacts:
    """Judges the barriers' points on last values."""

    def __init__(self, node: str, values: LastValues, settle_us: int | None = None) -> None:
        self._node = node
        self._values = values
        self._settle = SETTLE_US if settle_us is None else settle_us
        self._since: dict[tuple[str, str], int] = {}

    def of(self, plant: Plant, now: int, carried: Mapping[str, tuple[BarrierReason, ...]]) -> Lost:
        """Return what is lost at ``now`` (µs UTC); ``carried`` are the reasons that stood before, by barrier."""
        lost = self._look(plant, now)
        if self._values.known and now - self._values.since >= self._settle:
            return lost
        return _carry(carried)

    def _look(self, plant: Plant, now: int) -> Lost:
        last = {point.path: (point.number, self._values.values.get(point.number)) for point in plant.points}
        found = Lost({}, {}, {})
        present: dict[tuple[str, str], int] = {}

        def settled(kind: str, key: str) -> int:
            since = present[kind, key] = self._since.get((kind, key), now)
            return since if now - since >= self._settle else 0

        for barrier in plant.barriers:
            for path in barrier.points:
                number, value = last.get(path, (0, None))
                if (value is None or value.bad) and (since := settled("point", path)):
                    found.points[path] = self._loss(number, value, since)
            self._judge_condition(barrier, last, found, settled)
        self._since = present
        return found

    def _judge_condition(
        self,
        barrier: Barrier,
        last: Mapping[str, tuple[int, Last | None]],
        found: Lost,
        settled: object,
    ) -> None:
        if not barrier.condition:
            return
        names = point_names(barrier.condition)
        seen = {name: last.get(name, (0, None)) for name in names}
        values = {name: None if value is None or value.bad else value.value for name, (_, value) in seen.items()}
        holds = condition_holds(barrier.condition, values)
        if holds:
            return
        kind = "unknown" if holds is None else "condition"
        since = settled(kind, barrier.id)  # type: ignore[operator]  # the caller's closure
        if not since:
            return
        text = ", ".join(f"{name.rpartition('/')[2]} = {_shown(value)}" for name, (_, value) in seen.items())
        causes = [self._loss(number, value, since).cause for number, value in seen.values()]
        (found.unknown if holds is None else found.conditions)[barrier.id] = Loss(since, text, causes[0])

    def _loss(self, number: int, last: Last | None, since: int) -> Loss:
        if last is None:
            return Loss(since, "not-connected")
        # Last values carry no log sequence; the time range finds the samples in the historian.
        return Loss(since, describe(last.quality), sample_range(self._node, number, last.time, last.time, 0, 0))


def _shown(last: Last | None) -> str:
    return "?" if last is None or last.bad else f"{last.value:g}"


def _carry(carried: Mapping[str, tuple[BarrierReason, ...]]) -> Lost:
    found = Lost({}, {}, {})
    for barrier, reasons in carried.items():
        for reason in reasons:
            loss = Loss(reason.since, reason.text, reason.cause)
            if reason.kind == "point":
                found.points[reason.ref] = loss
            elif reason.kind == "condition":
                (found.unknown if reason.state == "degraded" else found.conditions)[barrier] = loss
    return found

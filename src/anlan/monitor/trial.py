"""Definitions tried on history: what they would have raised, by the same engine, before they are enabled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from anlan.core import log
from anlan.core.actor import Actor, Permission
from anlan.core.batch import BatchHeader, SampleBatch, from_arrow
from anlan.core.errors import InvalidInputError
from anlan.core.expression import parse
from anlan.core.time import DAY, SECOND
from anlan.monitor.engine import Engine
from anlan.monitor.machine import Arrow
from anlan.monitor.model import TryDefinition, TryResult
from anlan.plant.model import AlarmDefinition, AlarmPolicy, Plant
from anlan.store.fabric.client import Fabric
from anlan.store.historian.requests import SeriesKind, SeriesQuery

MOST_SAMPLES = 50_000_000
MOST_TIMES = 10_000
LONGEST_PART = 60 * SECOND
WINDOW_ROWS = 2_000_000


class Trial:
    """An engine with nothing but the tried definitions, fed with history in ascending time."""

    def __init__(self, plant: Plant, definitions: tuple[AlarmDefinition, ...], start: int, end: int) -> None:
        if end <= start:
            raise InvalidInputError("the period ends before it begins", where="end", fix="an end after the start")
        enabled = tuple(msgspec.structs.replace(definition, enabled=True) for definition in definitions)
        tried = msgspec.structs.replace(
            plant, alarms=enabled, connectors=(), positions=(), policy=AlarmPolicy(max_age=DAY, max_ahead=DAY)
        )
        self._engine = Engine(tried, "trial")
        self._start, self._end = start, end
        # Only staleness counts observed time; everything else is exact however coarse the ticks are.
        self._part = SECOND if len(self._engine.compiled.tables.stale) else LONGEST_PART
        rules = self._engine.compiled.tables.rules
        longest = [int(rules[name].max(initial=0)) for name in ("stale_after", "on_delay", "off_delay")]
        self._patience = sum(longest) + 2 * self._part
        self._clock = start
        self._samples = 0
        self._times: dict[str, list[int]] = {definition.id: [] for definition in definitions}
        self._cleared: dict[str, list[int]] = {definition.id: [] for definition in definitions}
        self._raised = dict.fromkeys(self._times, 0)
        self._since: dict[str, int] = {}
        self._in_alarm = dict.fromkeys(self._times, 0)

    def feed(self, batch: SampleBatch) -> None:
        """Evaluate samples, ascending in time and not before those fed earlier."""
        self._samples += len(batch)
        at = 0
        while at < len(batch):
            until = self._clock + self._part
            first = int(batch.time[at])
            if first >= until:
                self._cross(first)
                continue
            end = int(np.searchsorted(batch.time, until))
            if end > at:
                rows = slice(at, end)
                part = SampleBatch(batch.point[rows], batch.time[rows], batch.value[rows], batch.quality[rows])
                self._take(self._engine.samples(part, BatchHeader("trial", until), 0))
                at = end
            self._tick(until)

    def _cross(self, until: int) -> None:
        """Let time pass without samples: after the longest staleness and delay nothing can change any more."""
        settled = min(self._clock + self._patience, until)
        while self._clock < settled:
            self._tick(min(self._clock + self._part, settled))
        if self._clock < until:
            self._tick(until)

    def _tick(self, time: int) -> None:
        self._clock = time
        self._take(self._engine.tick(log.Tick(time), 0))

    def _take(self, events: Iterable[object]) -> None:
        for event in events:
            data = getattr(event, "data", {})
            time = int(getattr(event, "time", 0))
            alarm, arrow = data.get("alarm", ""), data.get("arrow", "")
            if arrow == Arrow.RAISE:
                self._raised[alarm] += 1
                self._since[alarm] = time
                if len(self._times[alarm]) < MOST_TIMES:
                    self._times[alarm].append(time)
            elif arrow == Arrow.CLEAR:
                self._in_alarm[alarm] += time - self._since.pop(alarm, time)
                if len(self._cleared[alarm]) < MOST_TIMES:
                    self._cleared[alarm].append(time)

    def result(self) -> TryResult:
        """Return what the definitions did; what still stands counts to the end of the period."""
        self._cross(self._end)
        in_alarm = {alarm: span / SECOND for alarm, span in self._in_alarm.items()}
        for alarm, since in self._since.items():
            in_alarm[alarm] += max(self._end - since, 0) / SECOND
        times = {alarm: tuple(found) for alarm, found in self._times.items()}
        cleared = {alarm: tuple(found) for alarm, found in self._cleared.items()}
        return TryResult(self._raised, times, in_alarm, self._samples, cleared)


def points_of(plant: Plant, definitions: tuple[AlarmDefinition, ...]) -> tuple[int, ...]:
    """Return the numbers of all points the definitions look at.

    Raises:
        InvalidInputError: one looks at a point the plant does not have.
    """
    by_path = {point.path: point.number for point in plant.points}
    known = set(by_path.values())
    numbers: set[int] = set()
    for definition in definitions:
        wanted = {definition.point, *definition.inputs}
        if definition.kind == "deviation":
            wanted.add(definition.other)
        for text in (definition.expression, definition.enable):
            for name in parse(text).names if text else ():
                if name not in by_path:
                    raise InvalidInputError(f"there is no point {name}", where=definition.id)
                wanted.add(by_path[name])
        if not wanted <= known:
            missing = sorted(wanted - known)
            raise InvalidInputError(f"there is no point number {missing[0]}", where=definition.id)
        numbers |= wanted
    return tuple(sorted(numbers))


def sorted_by_time(batch: SampleBatch) -> SampleBatch:
    """Return the batch in ascending time, rows of equal time in their order."""
    return batch.take(np.argsort(batch.time, kind="stable"))


async def history(
    fabric: Fabric, actor: Actor, points: tuple[int, ...], start: int, end: int
) -> tuple[SampleBatch, bool]:
    """Return the raw samples of a period in time order, and whether that is all of it."""
    from anlan.store.historian.client import HistorianClient, truncated

    query = SeriesQuery(SeriesKind.RAW, points, start, end, limit=WINDOW_ROWS)
    table = await HistorianClient(fabric, actor).series(query)
    return sorted_by_time(from_arrow(table)), not truncated(table)


def windows(start: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield the period in pieces of ``length`` µs."""
    while start < end:
        yield start, min(start + length, end)
        start += length


async def try_on_historian(
    fabric: Fabric, plant: Plant, request: TryDefinition, actor: Actor, *, unknown: frozenset[int] = frozenset()
) -> TryResult:
    """Return what the definitions would have done on the historian's samples; of ``unknown`` points it has none.

    Raises:
        InvalidInputError: an unknown point, or a period with too many samples.
        UnavailableError: the historian does not answer.
    """
    import asyncio

    numbers = tuple(n for n in points_of(plant, request.definitions) if n not in unknown)
    paths = plant.point_by_number()
    for number in numbers:
        actor.require(Permission.VIEW, paths[number].path)
    trial = Trial(plant, request.definitions, request.start, request.end)
    total = 0
    waiting = list(windows(request.start, request.end, DAY))[::-1]
    while waiting and numbers:
        first, last = waiting.pop()
        batch, whole = await history(fabric, actor, numbers, first, last)
        if not whole and last - first > SECOND:
            middle = (first + last) // 2
            waiting += [(middle, last), (first, middle)]
            continue
        total += len(batch)
        if total > MOST_SAMPLES:
            raise InvalidInputError(f"more than {MOST_SAMPLES} samples", where="end", fix="try a shorter period")
        await asyncio.to_thread(trial.feed, batch)
    return await asyncio.to_thread(trial.result)

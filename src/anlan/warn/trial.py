"""A model on history: samples and alarms from the historian, through the same grid, book and scoring as live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from anlan.core.actor import Actor, Permission
from anlan.core.batch import SampleBatch
from anlan.core.errors import ConflictError, InvalidInputError
from anlan.core.events import AlarmTransition, Event, EventType, WarningOutcome
from anlan.core.time import DAY, HOUR, MINUTE
from anlan.plant.model import Plant, WarnPlan
from anlan.store.historian.client import HistorianClient, truncated
from anlan.store.historian.requests import JournalQuery, SeriesKind, SeriesQuery
from anlan.warn.features.library import Library
from anlan.warn.fleet import actions_of, where
from anlan.warn.model import Finding, Missed, ModelKind, ModelMode, TrialResult, WarningModel, WarningRow
from anlan.warn.models.registry import check
from anlan.warn.stream.engine import WarnEngine
from anlan.warn.stream.trial import Trial
from anlan.warn.warnings.engine import Book
from anlan.warn.warnings.record import Changes, Kept, Mint, Running
from anlan.warn.warnings.scoring import GRACE, ClaimRow, sheet

if TYPE_CHECKING:
    from anlan.store.fabric.client import Fabric

LONGEST = 31 * DAY
PIECE = HOUR
WARM_UP = 2 * HOUR
JOURNAL_PAGE = 1_000
MOST_EVENTS = 200_000

Progress = Callable[[float], None]


class TrialBook:
    """A book of its own for one model: what it would have raised, and what that was worth.

    Args:
        plant, model, library: as live.
        start, end: period, µs UTC.
        bound, inputs: where the model runs and what it looks at.
    """

    def __init__(
        self,
        plant: Plant,
        model: WarningModel,
        library: Library,
        start: int,
        end: int,
        bound: tuple[str, ...],
        inputs: frozenset[str],
    ) -> None:
        quiet = msgspec.structs.replace(plant, warn=WarnPlan())
        key = (model.id, model.version)
        self._book = Book("trial", {key: Running(model, ModelMode.LIVE, bound, inputs)}, quiet)
        self._book.actions = actions_of(library)
        self._model = model
        self._start, self._end = start, end
        self._alarms = {alarm.id: alarm for alarm in plant.alarms}
        self._points = plant.point_by_number()
        self._number = 0
        self.kept: dict[str, Kept] = {}
        self._missed: list[Missed] = []

    def take(self, findings: Iterable[Finding], events: Iterable[Event]) -> None:
        """Take findings and alarm events of a stretch of time, in the order they happened."""
        steps: list[tuple[int, int, Finding | Event]] = [(finding.time, 1, finding) for finding in findings]
        steps += [(event.time, 0, event) for event in events]
        for time, _, item in sorted(steps, key=lambda step: step[:2]):
            self._number += 1
            mint = Mint("trial", "warn", self._number)
            self._see(self._book.tick(time, mint))
            self._see(self._book.findings([item], mint) if isinstance(item, Finding) else self._alarm(item))

    def _alarm(self, event: Event) -> Changes:
        transition = msgspec.convert(event.data, AlarmTransition)
        definition, point = self._alarms.get(transition.alarm), self._points.get(transition.point)
        if definition is None or point is None:
            return Changes()
        return self._book.alarm(event, transition, definition.kind, point.path, point.kind)

    def _see(self, changes: Changes) -> None:
        self.kept |= changes.kept
        self._missed += [item for item in changes.missed if self._start <= item.time < self._end]

    def result(self, trial: Trial) -> TrialResult:
        """Return what the model would have done; claims whose horizon goes beyond the period stay open."""
        self._number += 1
        self._see(self._book.tick(self._end, Mint("trial", "warn", self._number)))
        for kept in self.kept.values():
            for member in kept.members.values():
                if member.outcome is None and self._end > member.deadline + GRACE:
                    member.outcome = WarningOutcome.FALSE
        claims = [
            ClaimRow(kept.row.id, m.model, m.version, m.joined, kept.row.worst, m.outcome, m.event, m.lead)
            for kept in self.kept.values()
            for m in kept.members.values()
        ]
        own = [item for item in self._missed if self._model.id in item.models]
        rows = tuple(sorted((_row(kept) for kept in self.kept.values()), key=lambda row: (row.grade, -row.raised)))
        found = sheet(claims, own, self._start, self._end, self._model.budget)
        return TrialResult(rows, found, trial.steps, trial.blind, trial.notes)


def _row(kept: Kept) -> WarningRow:
    member = kept.gravest()
    return msgspec.structs.replace(kept.row, outcome=member.outcome, event=member.event, lead=member.lead)


async def try_on_historian(
    fabric: Fabric,
    plant: Plant,
    model: WarningModel,
    file: bytes,
    start: int,
    end: int,
    actor: Actor,
    *,
    library: Library,
    progress: Progress | None = None,
) -> TrialResult:
    """Run a model over [start, end) (µs UTC) of the historian, telling nobody.

    Args:
        fabric: connection to ask the historian on.
        plant: plant in force.
        model, file: the model and its fitted file.
        start, end: period.
        actor: who asks; sees only what he may.
        library: risk features.
        progress: told the share done, 0..1.

    Raises:
        InvalidInputError: the period or the model makes no sense.
        ConflictError: the model cannot run on this plant.
    """
    check(model, file)
    if not 0 < end - start <= LONGEST:
        raise InvalidInputError("the period is empty or longer than 31 days", where="end", fix="a shorter one")
    if model.kind is ModelKind.RISK:
        raise InvalidInputError("a risk model rests on registers, which have no history", where="model.kind")
    files = {(model.id, model.version): file} if file else {}
    trial = await asyncio.to_thread(Trial, plant, [model], library, files, start, end, warm_up=WARM_UP)
    bound, inputs = where(model, trial.engine)
    if not bound or trial.engine.problems:
        reasons = "; ".join(en for _, en in trial.engine.problems.values())
        raise ConflictError(f"the model cannot run here: {reasons or 'it is bound nowhere'}", where=model.id)
    for path in bound:
        actor.require(Permission.VIEW, path)
    points = _numbers(plant, trial.engine, inputs)
    history = _History(HistorianClient(fabric, actor), points)
    book = TrialBook(plant, model, library, start, end, bound, inputs)
    at, last = start - WARM_UP, end
    while at < last:
        until = min(at + PIECE, last)
        batch = await history.samples(at, until)
        events = await history.alarms(max(at, start), until) if until > start else []
        findings = await asyncio.to_thread(trial.feed, batch, events)
        if until == last:
            findings += await asyncio.to_thread(trial.finish)
        book.take(findings, events)
        at = until
        if progress is not None:
            progress((at - start + WARM_UP) / (end - start + WARM_UP))
    return book.result(trial)


def _numbers(plant: Plant, engine: WarnEngine, inputs: frozenset[str]) -> tuple[int, ...]:
    """Return the points to read: the model's inputs, and those its features rest on by way of others."""
    if not inputs:
        return tuple(point.number for point in plant.points)
    units = {path.rpartition("/")[0] for path in inputs}
    wanted = set(inputs) | {
        path for row in engine.feature_rows() for value in row.values if value.path in units
        for path in value.inputs.values()
    }  # fmt: skip
    return tuple(point.number for point in plant.points if point.path in wanted)


class _History:
    """Reads samples and alarm transitions of a period in pieces that fit an answer."""

    def __init__(self, client: HistorianClient, points: tuple[int, ...]) -> None:
        self._client = client
        self._points = points

    async def samples(self, start: int, end: int) -> SampleBatch:
        """Return the samples of [start, end) in order of time."""
        table = await self._client.series(SeriesQuery(SeriesKind.RAW, self._points, start, end))
        if truncated(table):
            if end - start <= MINUTE:
                raise InvalidInputError("too many samples in a minute for a trial", where="model", fix="fewer points")
            middle = (start + end) // 2
            return _joined(await self.samples(start, middle), await self.samples(middle, end))
        return _batch(table)

    async def alarms(self, start: int, end: int) -> list[Event]:
        """Return the alarm transitions of [start, end), oldest first."""
        found: list[Event] = []
        query = JournalQuery(types=(EventType.ALARM.value,), start=start, end=end, limit=JOURNAL_PAGE)
        while True:
            page = await self._client.journal(query)
            found += page.events
            if not page.next or len(found) > MOST_EVENTS:
                return sorted(found, key=lambda event: event.time)
            query = msgspec.structs.replace(query, cursor=page.next)


def _batch(table: Any) -> SampleBatch:
    columns = table.combine_chunks()
    time = columns["time"]
    if str(time.type).startswith("timestamp"):
        time = time.cast("timestamp[us]").cast("int64")
    times = time.to_numpy().astype(np.int64)
    order = np.argsort(times, kind="stable")
    return SampleBatch(
        columns["point"].to_numpy().astype(np.int32)[order],
        times[order],
        columns["value"].to_numpy().astype(np.float64)[order],
        columns["quality"].to_numpy().astype(np.uint8)[order],
    )


def _joined(one: SampleBatch, other: SampleBatch) -> SampleBatch:
    return SampleBatch(
        np.concatenate((one.point, other.point)),
        np.concatenate((one.time, other.time)),
        np.concatenate((one.value, other.value)),
        np.concatenate((one.quality, other.quality)),
    )

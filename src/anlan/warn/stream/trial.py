"""Models tried on history: the same grid and the same engine as on the live log, telling nobody.

History has no ticks: the clock of a trial moves on with the samples, and a silence of all points longer than
``grid.GAP`` counts as a node that was off, as it does live. Historian rows carry no log sequences, so the sample ranges
of a trial's findings name times only (``#0-0``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
import numpy as np

from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.errors import InvalidInputError
from anlan.core.events import Event
from anlan.core.time import SECOND
from anlan.plant.model import Plant
from anlan.warn.features.library import Library
from anlan.warn.model import Finding, WarningModel
from anlan.warn.stream.engine import WarnEngine
from anlan.warn.stream.grid import GAP, LATENESS

PART = 10 * SECOND
"""Samples are handed to the grid in pieces of so long."""


class Trial:
    """An engine fed with history in ascending time.

    Args:
        plant: the compiled plant.
        models: models to try.
        features: as ``WarnEngine`` takes it.
        files: fitted model files by (id, version).
        start, end: period of which findings are wanted, µs UTC.
        warm_up: µs before ``start`` that are fed too, so that windows are full; what stands at ``start`` is told there.
        node: id of the node.

    Raises:
        InvalidInputError: the period ends before it begins.
    """

    def __init__(
        self,
        plant: Plant,
        models: Iterable[WarningModel],
        features: Library,
        files: Mapping[tuple[str, int], bytes],
        start: int,
        end: int,
        *,
        warm_up: int = 0,
        node: str = "trial",
    ) -> None:
        if end <= start:
            raise InvalidInputError("the period ends before it begins", where="end", fix="an end after the start")
        self.engine = WarnEngine(plant, models, features, files, node)
        self._start, self._end = start, end
        self._clock = start - max(warm_up, 0)
        self._last = self._clock
        self._events: list[Event] = []
        self._before: dict[tuple[str, int, str], Finding] | None = {}
        self._warm_steps = 0
        self._warm_blind: dict[str, int] = {}
        self.engine.tick(self._clock + LATENESS, 0)

    @property
    def steps(self) -> int:
        """Base steps of the period that ran."""
        return self.engine.steps - (self._warm_steps if self._before is None else self.engine.steps)

    @property
    def blind(self) -> int:
        """Judgements in the period in which a model could say nothing."""
        if self._before is not None:
            return 0
        return sum(count - self._warm_blind.get(key, 0) for key, count in self.engine.blind.items())

    @property
    def notes(self) -> tuple[str, ...]:
        """Why a model did not run, and how often time jumped."""
        notes = [f"{key}: {zh} / {en}" for key, (zh, en) in self.engine.problems.items()]
        if self.engine.grid.jumped:
            times = self.engine.grid.jumped
            notes.append(f"历史数据有 {times} 处中断 / the history has {times} gaps")
        return tuple(notes)

    def feed(self, batch: SampleBatch, events: Iterable[Event] = ()) -> list[Finding]:
        """Run samples, ascending in time and not before those fed earlier, and alarm events up to the last of them.

        Args:
            batch: samples; those after the end of the period are left out.
            events: transitions of alarms in order of time; may run ahead of the samples.
        """
        self._events += events
        found: list[Finding] = []
        rows = int(np.searchsorted(batch.time, self._end, side="right"))
        at = int(np.searchsorted(batch.time, self._clock, side="right"))
        while at < rows:
            found += self._cross(int(batch.time[at]))
            until = self._clock + PART
            end = min(int(np.searchsorted(batch.time, until, side="right")), rows)
            part = slice(at, end)
            if end > at:
                some = SampleBatch(batch.point[part], batch.time[part], batch.value[part], batch.quality[part])
                self.engine.take(some, BatchHeader("trial", until), 0)
                self._last = int(batch.time[end - 1])
            # Samples of the last piece may go on in the next batch: it is closed by that one, or by ``finish``.
            if end < rows:
                found += self._close(until)
            at = end
        return found

    def _cross(self, coming: int) -> list[Finding]:
        """Pass over a silence before the next sample as a node that was off would; return what was told until then."""
        last = (self._last + SECOND - 1) // SECOND * SECOND
        if coming - last <= GAP:
            return []
        found = self._close(last) if last > self._clock else []
        self._clock = max(self._clock, (coming - 1) // SECOND * SECOND)
        return found

    def _close(self, until: int) -> list[Finding]:
        ready = [event for event in self._events if event.time <= until]
        self._events = [event for event in self._events if event.time > until]
        for event in ready:
            self.engine.alarm(event)
        found: list[Finding] = []
        for step in self.engine.grid.tick(until + LATENESS):
            if step.time > self._start and self._before is not None:
                found += self._begin()
            found += self._keep(self.engine.step(step))
        self._clock = max(self._clock, until)
        return found

    def _begin(self) -> list[Finding]:
        standing = [finding for finding in (self._before or {}).values() if finding.grade is not None]
        self._before = None
        self._warm_steps, self._warm_blind = self.engine.steps, self.engine.blind
        return [msgspec.structs.replace(finding, time=self._start) for finding in standing]

    def _keep(self, findings: list[Finding]) -> list[Finding]:
        if self._before is None:
            return findings
        self._before |= {(finding.model, finding.version, finding.path): finding for finding in findings}
        return []

    def finish(self) -> list[Finding]:
        """Run what is left up to the end of the period."""
        found = self._close(min(self._clock + PART, self._end))
        if self._clock < self._end:
            found += self._close(self._end)
        return found


def run(trial: Trial, batches: Iterable[SampleBatch], events: Iterable[Event] = ()) -> Iterator[Finding]:
    """Yield the findings of a whole history.

    Args:
        trial: fresh.
        batches: samples in ascending time.
        events: all alarm transitions of the period, in order of time.
    """
    waiting = list(events)
    for batch in batches:
        yield from trial.feed(batch, waiting)
        waiting = []
    if waiting:
        yield from trial.feed(SampleBatch.empty(), waiting)
    yield from trial.finish()

"""Floods of a period with their likely roots and their likes, from alarm transitions alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import NotFoundError
from anlan.monitor.floods import WINDOW, flood_intervals
from anlan.monitor.performance import RINGS, Transitions
from anlan.warn.analytics.roots import Roots, fit_roots, rank_roots
from anlan.warn.analytics.similarity import Flood, FloodIndex, what_followed
from anlan.warn.model import FloodDetail, FloodRow

MOST_RINGS = 20_000
SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Found:
    """One flood: its id, operator position, span (µs UTC) and rows of the rings."""

    id: str
    position: str
    start: int
    end: int
    rows: NDArray[np.int64]


class FloodHistory:
    """The floods of a period.

    Args:
        transitions: alarm transitions of the period, ascending in time.
        priority: priority by alarm id (1 critical … 4 low).
    """

    def __init__(self, transitions: Transitions) -> None:
        rung = np.isin(transitions.arrow, np.array(RINGS, np.uint8)) & transitions.rung
        self.rings = transitions.take(rung)
        if len(self.rings) > MOST_RINGS:
            self.rings = self.rings.take(slice(-MOST_RINGS, None))  # type: ignore[arg-type]  # a slice picks rows too
        self.alarms = transitions.alarms
        self.priority = np.full(len(self.alarms), 4, np.int64)
        self.priority[self.rings.alarm] = self.rings.priority
        self._floods = self._find(transitions.positions)
        self._by_id = {flood.id: flood for flood in self._floods}
        self._index = FloodIndex([(flood.id, self._sequence(flood)) for flood in self._floods])
        self._roots: Roots | None = None

    def _find(self, positions: tuple[str, ...]) -> list[_Found]:
        found = []
        of_alarm = np.array(positions, dtype=object)
        for position in sorted(set(positions)):
            mine = np.flatnonzero(of_alarm[self.rings.alarm] == position) if len(positions) else np.empty(0, np.int64)
            times = self.rings.time[mine]
            for begin, end, _ in flood_intervals(times):
                # The alarms that began it belong to it.
                first = int(np.searchsorted(times, begin - WINDOW, "right"))
                last = int(np.searchsorted(times, end, "left"))
                found.append(_Found(f"{position or 'all'}@{begin}", position, begin, end, mine[first:last]))
        return sorted(found, key=lambda flood: -flood.start)

    def _sequence(self, flood: _Found) -> Flood:
        return Flood(self.rings.alarm[flood.rows].astype(np.int32), self.rings.time[flood.rows])

    def _fitted(self) -> Roots:
        if self._roots is None:
            areas = ["/".join(alarm.split("/")[:2]) for alarm in self.alarms]

            def allowed(source: int, target: int) -> bool:
                return areas[source] == areas[target]

            kinds = self.rings.alarm.astype(np.int32)
            self._roots = fit_roots(kinds, self.rings.time, len(self.alarms), allowed)
        return self._roots

    def _row(self, flood: _Found, similar: list[tuple[str, float]], roots: list[tuple[int, float]]) -> FloodRow:
        kind, probability = roots[0] if roots else (-1, 0.0)
        other, alike = similar[0] if similar else ("", 0.0)
        return FloodRow(
            id=flood.id,
            start=flood.start,
            end=flood.end,
            alarms=len(flood.rows),
            position=flood.position,
            root=self.alarms[kind] if kind >= 0 else "",
            root_probability=probability,
            similar=other,
            likeness=alike,
        )

    def _similar(self, flood: _Found) -> list[tuple[str, float]]:
        return self._index.similar(self._sequence(flood), SHOWN, without=flood.id)

    def _ranked(self, flood: _Found) -> list[tuple[int, float]]:
        return rank_roots(self._fitted(), flood.rows, self.rings.alarm.astype(np.int32), self.priority)

    def rows(self, most: int) -> tuple[FloodRow, ...]:
        """Return the floods, newest first."""
        return tuple(self._row(flood, self._similar(flood), self._ranked(flood)) for flood in self._floods[:most])

    def detail(self, flood_id: str) -> FloodDetail:
        """Return one flood with its sequence, likely roots, likes and what rang next in those.

        Raises:
            NotFoundError: there is no such flood in the period.
        """
        flood = self._by_id.get(flood_id)
        if flood is None:
            raise NotFoundError(f"no flood {flood_id}", where="id", fix="one of `anlan warn floods`")
        similar, roots = self._similar(flood), self._ranked(flood)
        mine = self._sequence(flood)
        past = [(alike, self._sequence(self._by_id[other])) for other, alike in similar]
        return FloodDetail(
            row=self._row(flood, similar, roots),
            sequence=tuple((self.alarms[kind], int(time)) for kind, time in zip(mine.kinds, mine.times, strict=True)),
            roots=tuple((self.alarms[kind], probability) for kind, probability in roots[:SHOWN]),
            similar=tuple(
                self._row(self._by_id[other], [(flood.id, alike)], self._ranked(self._by_id[other]))
                for other, alike in similar
            ),
            next_alarms=tuple((self.alarms[kind], share) for kind, share in what_followed(mine, past)),
        )


def noisiest(transitions: Transitions, most: int, least: int = 3) -> list[str]:
    """Return the alarms that rang most, at least ``least`` times, most first."""
    rung = np.isin(transitions.arrow, np.array(RINGS, np.uint8)) & transitions.rung
    counts = np.bincount(transitions.alarm[rung], minlength=len(transitions.alarms))
    order = np.argsort(-counts, kind="stable")[:most]
    return [transitions.alarms[int(at)] for at in order if counts[at] >= least]

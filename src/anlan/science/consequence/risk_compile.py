"""Scenarios of one place turned into flat arrays for the compiled parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.consequence.risk_kernels import AX, BY, CX, FIELDS, FIRST, KIND, MIRROR, NX, NY, TOP
from anlan.science.consequence.risk_model import Ellipse, Floats, Gridded, Outcome, Rose, Scenario, Zone, Zones

LEAST_REACH = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """Flat arrays of the scenarios of one place.

    Attributes:
        x, y: of the place, m.
        ids: of the scenarios, sorted; ``owner``: (events,) index into them.
        zones, betas, values, outer, inner: see ``risk_kernels.sweep``.
        share: (events, weathers, directions) frequency, 1/a, before the rose.
        weight: the same, times the rose for the events that are ``turning``: their share varies with direction.
        alike: (events,) index of the one protection of all their zones, counted from 2 (see ``sweep``); −1 mixed.
        protections: (kinds, 2) factors outdoors and indoors.
        reach: m, of the rings; a step of a ladder, so that small edits keep the rings.
    """

    x: float
    y: float
    ids: tuple[str, ...]
    owner: NDArray[np.int64]
    zones: Floats
    betas: Floats
    values: NDArray[np.float32]
    outer: NDArray[np.int64]
    inner: NDArray[np.int64]
    share: Floats
    weight: Floats
    turning: NDArray[np.bool_]
    alike: NDArray[np.int64]
    protections: Floats
    reach: float


class _Table:
    """Zones as they are met, each footprint once."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []
        self.betas: list[tuple[float, float, float]] = []
        self.grids: list[NDArray[np.float32]] = []
        self.size = 0
        self.reach = LEAST_REACH
        self._known: dict[int, tuple[int, int]] = {}

    def add(self, zones: Zones, where: str) -> tuple[int, int]:
        """Return first and last row of a footprint."""
        known = self._known.get(id(zones))
        if known is not None:
            return known
        first = len(self.rows)
        for zone in zones:
            zone.check(where)
            self.rows.append(self._row(zone))
            self.betas.append((zone.protection.individual, zone.protection.outdoors, zone.protection.indoors))
        self._known[id(zones)] = first, len(self.rows)
        return first, len(self.rows)

    def _row(self, zone: Zone) -> list[float]:
        row = [0.0] * FIELDS
        if isinstance(zone, Ellipse):
            self.reach = max(self.reach, zone.reach)
            row[CX], row[AX], row[BY], row[TOP] = zone.centre, zone.along, zone.across, zone.death
            return row
        zone = _cropped(zone)
        self.reach = max(self.reach, zone.reach)
        row[KIND] = 1.0
        row[CX], row[AX], row[BY] = zone.first_along, zone.step_along, zone.step_across
        row[TOP] = 0.0 if zone.first_across is None else zone.first_across
        row[NX], row[NY], row[FIRST] = *zone.death.shape, self.size
        row[MIRROR] = float(zone.first_across is None)
        self.grids.append(np.ascontiguousarray(zone.death, np.float32).ravel())
        self.size += zone.death.size
        return row


def _cropped(zone: Gridded) -> Gridded:
    """Return the grid without outer lines of zeros, but for one."""
    rows, columns = np.flatnonzero(zone.death.any(axis=1)), np.flatnonzero(zone.death.any(axis=0))
    if not rows.size:
        return replace(zone, death=zone.death[:2, :2])
    top, bottom = max(int(rows[0]) - 1, 0), max(int(rows[-1]) + 2, 2)
    left = 0 if zone.first_across is None else max(int(columns[0]) - 1, 0)
    right = max(int(columns[-1]) + 2, 2)
    across = None if zone.first_across is None else zone.first_across + left * zone.step_across
    return replace(
        zone, death=zone.death[top:bottom, left:right], first_along=zone.first_along + top * zone.step_along,
        first_across=across,
    )  # fmt: skip


def compile_place(scenarios: Sequence[Scenario], rose: Rose) -> Compiled:
    """Return the arrays of scenarios that are all at one place.

    Raises:
        InvalidInputError: a frequency, probability or footprint that cannot be; names scenario and outcome.
    """
    ordered = sorted(scenarios, key=lambda one: one.id)
    events = [(index, scenario, outcome) for index, scenario in enumerate(ordered) for outcome in scenario.outcomes]
    weathers, directions = len(rose.weathers), rose.directions
    table = _Table()
    outer = np.zeros((len(events), weathers, 2), dtype=np.int64)
    inner = np.full((len(events), weathers, 2), -1, dtype=np.int64)
    share = np.empty((len(events), weathers, directions))
    turning = np.zeros(len(events), dtype=np.bool_)
    for e, (_, scenario, outcome) in enumerate(events):
        where = f"scenario {scenario.id}, outcome {outcome.name}"
        outer[e] = _spans(table, outcome.footprints, weathers, where)
        if outcome.indoors is not None:
            inner[e] = _spans(table, outcome.indoors, weathers, where)
        share[e], turning[e] = _share(scenario, outcome, rose, where)
    betas = np.array(table.betas).reshape(-1, 3)
    alike, protections = _protections(betas[:, 1:], outer, inner)
    whole = rose.towards().sum(axis=0)
    weight = np.where(turning[:, None, None], share * whole, share)
    reach = 50.0 * 2.0 ** (math.ceil(2.0 * math.log2(max(table.reach, 50.0) * 1.02 / 50.0)) / 2.0)
    return Compiled(
        x=ordered[0].x, y=ordered[0].y, ids=tuple(one.id for one in ordered),
        owner=np.array([index for index, _, _ in events], dtype=np.int64),
        zones=np.array(table.rows).reshape(-1, FIELDS), betas=betas,
        values=np.concatenate(table.grids) if table.grids else np.zeros(1, np.float32),
        outer=outer, inner=inner, share=share, weight=weight, turning=turning, alike=alike,
        protections=protections, reach=reach,
    )  # fmt: skip


def _protections(betas: Floats, outer: NDArray[np.int64], inner: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Return which event has one protection only, and the different ones."""
    kinds, of_zone = np.unique(betas, axis=0, return_inverse=True)
    alike = np.full(len(outer), -1, dtype=np.int64)
    for e, spans in enumerate(outer):
        used = np.unique(np.concatenate([of_zone[first:last] for first, last in np.unique(spans, axis=0)]))
        if len(used) == 1 and inner[e, 0, 0] < 0:
            alike[e] = used[0] + 2
    return alike, np.ascontiguousarray(kinds)


def _spans(table: _Table, footprints: tuple[Zones, ...], weathers: int, where: str) -> NDArray[np.int64]:
    if len(footprints) not in (1, weathers):
        raise InvalidInputError(f"footprints for {len(footprints)} weathers", where=where, fix=f"one, or {weathers}")
    spans = np.array([table.add(zones, where) for zones in footprints], dtype=np.int64)
    return np.repeat(spans, weathers, axis=0) if len(footprints) == 1 else spans


def _share(scenario: Scenario, outcome: Outcome, rose: Rose, where: str) -> tuple[Floats, bool]:
    if not (0.0 <= scenario.frequency <= 1e3 and math.isfinite(scenario.x) and math.isfinite(scenario.y)):
        raise InvalidInputError(f"a frequency of {scenario.frequency:g}/a at ({scenario.x:g}, {scenario.y:g})",
                                where=where, fix="0 to 1000 per year, finite metres")  # fmt: skip
    given = np.asarray(outcome.probability, dtype=np.float64)
    weathers, directions = len(rose.weathers), rose.directions
    if given.shape not in ((), (weathers,), (weathers, directions)):
        raise InvalidInputError(f"a probability of shape {given.shape}", where=where,
                                fix=f"a number, ({weathers},) or ({weathers}, {directions})")  # fmt: skip
    if not (float(given.min()) >= 0.0 and float(given.max()) <= 1.0):
        raise InvalidInputError("a probability that is none", where=where, fix="0 to 1")
    if given.ndim == 2:
        return scenario.frequency * rose.by_travel(given), True
    return scenario.frequency * np.broadcast_to(given[..., None], (weathers, directions)), False

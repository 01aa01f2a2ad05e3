"""Deadband and on-delay for alarms that ring too often, with what each would have done to recorded history.

Candidates come from the alarm's own record: the deadband from the noise of its signal (2 to 3 σ, ISA-18.2), the
delay from how soon it came back. Each is tried by the alarm engine itself on the recorded samples; the smallest change
that stops the chattering and rings every true alarm is proposed. A proposal changes nothing: it is a draft for the
register of changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from anlan.core.time import MINUTE, SECOND
from anlan.plant.model import AlarmDefinition
from anlan.warn.model import Proposal

TRUE_STAND_US = 60 * SECOND
"""An alarm that stood this long is a true one: a proposal must still ring it."""

DELAYS_S = (2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
DEADBAND_SIGMAS = (2.0, 3.0, 4.0)
LEAST_CUT = 0.3
LEAST_RINGS = 3
SHARE_OF_TIME_TO_ACT = 0.25
LIMIT_KINDS = ("HH", "H", "L", "LL")


@dataclass(frozen=True, slots=True)
class Record:
    """What one alarm did in a period.

    Attributes:
        raises, clears: µs UTC of each standing, ascending, int64; an open one ends with the period.
    """

    raises: NDArray[np.int64]
    clears: NDArray[np.int64]

    @property
    def true(self) -> NDArray[np.int64]:
        """Rows of the standings that count as true alarms."""
        return np.flatnonzero(self.clears - self.raises >= TRUE_STAND_US)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A changed definition under an id of its own, so that several are tried at once."""

    alarm: str
    field: str
    new: float
    definition: AlarmDefinition


def noise_of(values: NDArray[np.float64]) -> float:
    """Return σ of a signal's noise from the differences of neighbours: 1.4826 × median |Δ| / √2; NaN when too few."""
    steps = np.abs(np.diff(values[np.isfinite(values)]))
    if len(steps) < 20:
        return float("nan")
    # Held values would make the median zero on a signal sampled faster than it moves.
    moving = steps[steps > 0]
    return float(1.4826 * np.median(moving) / np.sqrt(2)) if len(moving) >= 20 else 0.0


def chattering_index(raises: NDArray[np.int64]) -> float:
    """Return ψ = Σ P_r / r over the seconds r between two ringings (Kondaveeti et al. 2013), 1/s."""
    if len(raises) < 3:
        return 0.0
    between = np.maximum(np.diff(raises) / SECOND, 1.0)
    return float(np.mean(1.0 / between))


def candidates(definition: AlarmDefinition, sigma: float) -> list[Candidate]:
    """Return the changed definitions worth trying, smallest change first.

    Args:
        definition: as it is in force.
        sigma: noise of its signal in the point's unit, NaN when unknown.
    """
    found = []
    if definition.kind in LIMIT_KINDS and np.isfinite(sigma) and sigma > 0:
        for sigmas in DEADBAND_SIGMAS:
            width = float(f"{sigmas * sigma:.2g}")
            if width > definition.deadband:
                found.append(_changed(definition, "deadband", width, deadband=width))
    longest = definition.time_to_act * SHARE_OF_TIME_TO_ACT if definition.time_to_act else MINUTE
    for seconds in DELAYS_S:
        delay = round(seconds * SECOND)
        if definition.on_delay < delay <= longest:
            found.append(_changed(definition, "on_delay", seconds, on_delay=delay))
    return found


def _changed(definition: AlarmDefinition, field: str, new: float, **fields: float) -> Candidate:
    name = f"{definition.id}.{field}-{new:g}"
    plain = msgspec.structs.replace(definition, id=name, covered_by=(), **fields)
    return Candidate(definition.id, field, new, plain)


def standings(raises: Sequence[int], clears: Sequence[int], end: int) -> Record:
    """Return the standings of an alarm from when it was raised and cleared; one still open ends at ``end``."""
    ended = [*clears, *[end] * (len(raises) - len(clears))]
    return Record(np.array(raises, np.int64), np.array(ended, np.int64))


def judge(
    definition: AlarmDefinition, before: Record, tried: Sequence[Candidate], after: Mapping[str, Record], unit: str
) -> Proposal | None:
    """Return the smallest change that rings at least 30 % less and misses no true alarm.

    Args:
        definition: as it is in force.
        before: what it does on the samples of the period.
        tried: candidates in the order of ``candidates``.
        after: what each candidate does on the same samples, by its definition's id.
        unit: unit of the point.
    """
    best: Proposal | None = None
    rang = len(before.raises)
    for candidate in tried:
        record = after[candidate.definition.id]
        rings = len(record.raises)
        if rang < LEAST_RINGS or rings > (1 - LEAST_CUT) * rang:
            continue
        missed, delay = _lost(before, record)
        # A larger change must buy another 30 %, or the smaller one stays.
        if missed or (best is not None and rings >= (1 - LEAST_CUT) * best.would_raise):
            continue
        old = definition.deadband if candidate.field == "deadband" else definition.on_delay / SECOND
        shown = unit if candidate.field == "deadband" else "s"
        best = Proposal(
            alarm=definition.id,
            field=candidate.field,
            old=old,
            new=candidate.new,
            raised=rang,
            would_raise=rings,
            unit=shown,
            delay=delay,
            missed=missed,
            chattering=chattering_index(before.raises),
            reason_zh=_reason_zh(candidate, rang, rings, shown),
            reason=_reason(candidate, rang, rings, shown),
        )
    return best


def _lost(before: Record, after: Record) -> tuple[int, int]:
    """Return how many true alarms would not have stood, and the longest delay of those that would (µs)."""
    missed = delay = 0
    for row in before.true:
        raised, cleared = before.raises[row], before.clears[row]
        stood = np.flatnonzero((after.raises <= cleared) & (after.clears > raised))
        if not len(stood):
            missed += 1
            continue
        delay = max(delay, int(after.raises[stood[0]] - raised))
    return missed, delay


def _reason_zh(candidate: Candidate, before: int, after: int, unit: str) -> str:
    what = "死区" if candidate.field == "deadband" else "报警延时"
    return f"{what}改为 {candidate.new:g} {unit}:同一段历史里报警由 {before} 次减为 {after} 次,没有漏掉真实报警"


def _reason(candidate: Candidate, before: int, after: int, unit: str) -> str:
    what = "deadband" if candidate.field == "deadband" else "on-delay"
    return f"a {what} of {candidate.new:g} {unit} rings {after} times where it rang {before}, and misses no true alarm"

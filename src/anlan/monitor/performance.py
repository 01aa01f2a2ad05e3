"""Alarm performance by EEMUA 191 and ISA-18.2 / IEC 62682 (GB/T 41261), per operator position, over a period.

All figures count alarms that rang (``RINGS``). Everything is vectorised: ten million transitions take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.core.time import HOUR, MINUTE, SECOND
from anlan.monitor.floods import flood_intervals
from anlan.monitor.machine import ARROWS, Arrow

TEN_MINUTES = 10 * MINUTE
RINGS = tuple(ARROWS.index(arrow) for arrow in (Arrow.RAISE, Arrow.REALARM, Arrow.ANNOUNCE))
_RAISE, _CLEAR = ARROWS.index(Arrow.RAISE), ARROWS.index(Arrow.CLEAR)
_ACKNOWLEDGE, _REMOVE = ARROWS.index(Arrow.ACKNOWLEDGE), ARROWS.index(Arrow.REMOVE)
LISTED = 20


@dataclass(frozen=True)
class Transitions:
    """Alarm transitions as columns, ascending in time.

    Attributes:
        time: µs UTC, int64.
        alarm: index into ``alarms``, int32.
        arrow: index into ``machine.ARROWS``, uint8.
        rung: bool.
        priority: 1…4, uint8.
        alarms: alarm ids.
        positions: operator position of each alarm.
    """

    time: NDArray[np.int64]
    alarm: NDArray[np.int32]
    arrow: NDArray[np.uint8]
    rung: NDArray[np.bool_]
    priority: NDArray[np.uint8]
    alarms: tuple[str, ...]
    positions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[Any]) -> Transitions:
        """Return the rows that an index or a mask picks."""
        return Transitions(
            self.time[rows],
            self.alarm[rows],
            self.arrow[rows],
            self.rung[rows],
            self.priority[rows],
            self.alarms,
            self.positions,
        )


class Figure(msgspec.Struct, frozen=True):
    """One figure beside its target; ``good`` is within the target, ``tolerable`` within the limit."""

    value: float
    target: float
    limit: float
    unit: str
    source: str
    good: bool
    tolerable: bool


class Performance(msgspec.Struct, frozen=True):
    """Alarm performance of one operator position, or of all when empty; times in µs UTC.

    Attributes:
        covered_from: where the records begin that this was computed from.
        total: alarms rung.
        figures: by name of ``performance_targets.yaml``, beside their targets.
        grade: class by mean and peak rate.
        rate: (begin of ten minutes, alarms).
        floods: (begin, end or 0 while it goes on, alarms, most in ten minutes).
        top: (alarm, times rung), the ten most.
        chattering: (alarm, times rung) by count rule or index; ``chattering_index`` is ψ, alarms/s.
        fleeting: (alarm, times it cleared before anybody could act).
        stale: (alarm, seconds it stood, the longest time).
        split: by priority 1…4.
        acknowledged, ack_median, ack_p90: number, and seconds from ringing to acknowledgement.
        positions: operator positions there are records of.
    """

    operator_position: str
    start: int
    end: int
    covered_from: int
    total: int
    figures: dict[str, Figure]
    grade: str
    rate: tuple[tuple[int, int], ...]
    floods: tuple[tuple[int, int, int, int], ...]
    flood_share: float
    top: tuple[tuple[str, int], ...]
    chattering: tuple[tuple[str, int], ...]
    chattering_index: dict[str, float]
    fleeting: tuple[tuple[str, int], ...]
    stale: tuple[tuple[str, float], ...]
    split: tuple[int, int, int, int]
    acknowledged: int
    ack_median: float | None
    ack_p90: float | None
    positions: tuple[str, ...]


@cache
def targets() -> dict[str, Any]:
    """Return the targets and counting rules with their sources."""
    from ruamel.yaml import YAML

    path = Path(__file__).with_name("performance_targets.yaml")
    document: dict[str, Any] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return document


def _rule(name: str) -> float:
    return float(targets()["rules"][name]["value"])


def compute(transitions: Transitions, start: int, end: int, position: str = "") -> Performance:
    """Return the performance of ``position`` (all when empty) from ``start`` to ``end`` (µs UTC, end exclusive).

    Transitions before ``start`` tell what stood at the beginning; they are not counted.

    Raises:
        InvalidInputError: the period is empty.
    """
    if end <= start:
        raise InvalidInputError("the period ends before it begins", where="end", fix="an end after the start")
    if len(transitions) and np.any(np.diff(transitions.time) < 0):
        transitions = transitions.take(np.argsort(transitions.time, kind="stable"))
    everywhere = tuple(sorted(set(transitions.positions)))
    if position:
        mine = np.array([name == position for name in transitions.positions], bool)
        transitions = transitions.take(mine[transitions.alarm] if len(mine) else np.zeros(0, bool))
    transitions = transitions.take(transitions.time < end)
    rings = transitions.take(_rings(transitions) & (transitions.time >= start))
    alarms = transitions.alarms
    counts = np.bincount(rings.alarm, minlength=len(alarms))
    runs = _Runs.of(transitions)
    windows = np.bincount((rings.time - start) // TEN_MINUTES, minlength=-((start - end) // TEN_MINUTES))
    floods = flood_intervals(rings.time)
    chattering, index = _chattering(rings)
    fleeting = runs.fleeting(start, len(alarms))
    standing = runs.standing(start, end, len(alarms))
    stale = np.flatnonzero(standing > int(_rule("stale") * HOUR))
    waits = runs.acknowledge_waits(start) / SECOND
    figures = _figures(rings, windows, floods, counts, start, end)
    numbers = {"chattering": len(chattering), "fleeting": int(fleeting.sum()), "stale": len(stale)}
    figures |= {name: _figure(name, number) for name, number in numbers.items()}
    return Performance(
        operator_position=position,
        start=start,
        end=end,
        covered_from=int(transitions.time[0]) if len(transitions) else end,
        total=len(rings),
        figures=figures,
        grade=_grade(figures),
        rate=tuple((start + at * TEN_MINUTES, int(count)) for at, count in enumerate(windows)),
        floods=_floods(rings.time, floods, end),
        flood_share=figures["flood_share"].value,
        top=_most(counts, alarms, 10),
        chattering=tuple((alarms[at], int(counts[at])) for at in chattering),
        chattering_index={alarms[at]: float(index[at]) for at in chattering},
        fleeting=_most(fleeting, alarms, LISTED),
        stale=tuple((alarms[at], standing[at] / SECOND) for at in stale[np.argsort(-standing[stale], kind="stable")]),
        split=_priorities(rings),
        acknowledged=len(waits),
        ack_median=float(np.median(waits)) if len(waits) else None,
        ack_p90=float(np.percentile(waits, 90)) if len(waits) else None,
        positions=everywhere,
    )


def _floods(
    times: NDArray[np.int64], floods: list[tuple[int, int, int]], end: int
) -> tuple[tuple[int, int, int, int], ...]:
    """Floods with the most alarms in any ten minutes; the end is 0 where it lies beyond the period."""
    found = []
    for begin, until, alarms in floods:
        last = int(np.searchsorted(times, until, "left"))
        places = np.arange(int(np.searchsorted(times, begin, "left")), last)
        peak = int((places - np.searchsorted(times, times[places] - TEN_MINUTES, "right") + 1).max())
        found.append((begin, until if until < end else 0, alarms, peak))
    return tuple(found)


def _rings(transitions: Transitions) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.isin(transitions.arrow, np.array(RINGS, np.uint8)) & transitions.rung
    return mask


def _priorities(rings: Transitions) -> tuple[int, int, int, int]:
    split = np.bincount(rings.priority, minlength=5)
    return int(split[1]), int(split[2]), int(split[3]), int(split[4])


def _figure(name: str, value: float) -> Figure:
    target = targets()["targets"][name]
    good, limit = float(target["target"]), float(target["limit"])
    return Figure(float(value), good, limit, target["unit"], target["source"], value <= good, value <= limit)


def _figures(
    rings: Transitions,
    windows: NDArray[np.intp],
    floods: list[tuple[int, int, int]],
    counts: NDArray[np.intp],
    start: int,
    end: int,
) -> dict[str, Figure]:
    hours = max((end - start) / HOUR, 1e-9)
    by_hour = np.bincount((rings.time - start) // HOUR, minlength=max(1, -((start - end) // HOUR)))
    in_flood = sum(min(until, end) - begin for begin, until, _ in floods)
    top_ten = int(np.sort(counts)[-10:].sum())
    values = {
        "per_day": len(rings) / hours * 24,
        "per_hour": len(rings) / hours,
        "per_10_min": len(rings) / hours / 6,
        "hours_above_30": float(np.mean(by_hour > 30)),
        "windows_above_10": float(np.mean(windows > 10)),
        "peak_10_min": int(windows.max()),
        "flood_share": in_flood / max(end - start, 1),
        "top_ten_share": top_ten / len(rings) if len(rings) else 0.0,
    }
    return {name: _figure(name, value) for name, value in values.items()}


# Classes by mean and peak rate per 10 min after EEMUA 191 (predictive, robust, stable, reactive, overloaded).
_GRADES = (("predictive", 1, 10), ("robust", 1, 100), ("stable", 10, 1000), ("reactive", 100, 1000))


def _grade(figures: dict[str, Figure]) -> str:
    mean, peak = figures["per_10_min"].value, figures["peak_10_min"].value
    for name, most_mean, most_peak in _GRADES:
        if mean <= most_mean and peak <= most_peak:
            return name
    return "overloaded"


def _most(counts: NDArray[Any], alarms: tuple[str, ...], length: int) -> tuple[tuple[str, int], ...]:
    order = np.argsort(-counts, kind="stable")[:length]
    return tuple((alarms[int(at)], int(counts[at])) for at in order if counts[at] > 0)


def _chattering(rings: Transitions) -> tuple[list[int], NDArray[np.float64]]:
    """Alarms that chatter, and every alarm's index ψ = Σ P_r / r (r: seconds between two ringings, at least 1).

    Chattering is three ringings within a minute, or ψ above its bound; of two ringings there is no statistic.
    """
    order = np.argsort(rings.alarm, kind="stable")
    alarm, time = rings.alarm[order], rings.time[order]
    same = alarm[1:] == alarm[:-1]
    between = (time[1:] - time[:-1])[same] / SECOND
    owner = alarm[1:][same]
    length = len(rings.alarms)
    runs = np.bincount(owner, minlength=length)
    total = np.bincount(owner, weights=1.0 / np.maximum(between, 1.0), minlength=length)
    index = np.divide(total, runs, out=np.zeros(length), where=runs > 0)
    number = int(_rule("chattering_count"))
    close = np.zeros(length, bool)
    if len(time) >= number:
        first, last = slice(0, len(time) - number + 1), slice(number - 1, None)
        near = (alarm[last] == alarm[first]) & (time[last] - time[first] <= MINUTE)
        close[alarm[first][near]] = True
    many = np.bincount(alarm, minlength=length)
    bad = np.flatnonzero(close | ((index >= _rule("chattering_index")) & (many >= number)))
    return [int(at) for at in bad[np.lexsort((bad, -index[bad]))]], index


@dataclass(frozen=True)
class _Runs:
    """Transitions grouped by alarm, with the places of its newest raise, ringing, acknowledgement and its next end."""

    alarm: NDArray[np.int32]
    time: NDArray[np.int64]
    arrow: NDArray[np.uint8]
    rung: NDArray[np.bool_]
    raised: NDArray[np.int64]
    rang: NDArray[np.int64]
    acknowledged: NDArray[np.int64]
    next_end: NDArray[np.int64]

    @staticmethod
    def of(transitions: Transitions) -> _Runs:
        order = np.argsort(transitions.alarm, kind="stable")
        alarm, time, arrow = transitions.alarm[order], transitions.time[order], transitions.arrow[order]
        rung = transitions.rung[order]
        rings = np.isin(arrow, np.array(RINGS, np.uint8)) & rung
        first = np.ones(len(alarm), bool)
        first[1:] = alarm[1:] != alarm[:-1]
        ends = (arrow == _CLEAR) | (arrow == _REMOVE)
        return _Runs(
            alarm,
            time,
            arrow,
            rung,
            _newest(arrow == _RAISE, first),
            _newest(rings, first),
            _newest(arrow == _ACKNOWLEDGE, first),
            _following(ends, first),
        )

    def fleeting(self, start: int, length: int) -> NDArray[np.intp]:
        """How often each alarm rang and cleared before anybody could act."""
        clears = np.flatnonzero((self.arrow == _CLEAR) & (self.time >= start))
        ring = self.rang[clears]
        raised = self.raised[clears]
        rang = (ring >= 0) & (raised >= 0) & (ring >= raised)
        clears, ring, raised = clears[rang], ring[rang], raised[rang]
        short = self.time[clears] - self.time[ring] <= int(_rule("fleeting") * SECOND)
        unanswered = self.acknowledged[clears] < ring
        return np.bincount(self.alarm[clears[short & unanswered]], minlength=length)

    def standing(self, start: int, end: int, length: int) -> NDArray[np.int64]:
        """Longest time (µs) each alarm stood, of those that stood within the period."""
        raises = np.flatnonzero(self.arrow == _RAISE)
        until = self.next_end[raises]
        ended = np.where(until >= 0, self.time[until], end)
        inside = ended > start
        longest = np.zeros(length, np.int64)
        np.maximum.at(longest, self.alarm[raises[inside]], (ended - self.time[raises])[inside])
        return longest

    def acknowledge_waits(self, start: int) -> NDArray[np.int64]:
        """Times (µs) from ringing to acknowledgement."""
        acks = np.flatnonzero((self.arrow == _ACKNOWLEDGE) & (self.time >= start))
        ring = self.rang[acks]
        acks, ring = acks[ring >= 0], ring[ring >= 0]
        waits: NDArray[np.int64] = np.maximum(self.time[acks] - self.time[ring], 0)
        return waits


def _newest(marked: NDArray[np.bool_], first: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each row the newest marked row up to it of the same alarm, -1 for none."""
    places = np.arange(len(marked), dtype=np.int64)
    newest = np.maximum.accumulate(np.where(marked, places, -1)) if len(marked) else places
    begin = np.maximum.accumulate(np.where(first, places, 0)) if len(marked) else places
    return np.where(newest >= begin, newest, -1)


def _following(marked: NDArray[np.bool_], first: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each row the next marked row after it of the same alarm, -1 for none."""
    count = len(marked)
    last = np.ones(count, bool)
    last[:-1] = first[1:]
    back = _newest(marked[::-1], last[::-1])[::-1]
    following = np.where(back >= 0, count - 1 - back, -1)
    # The row itself does not follow itself.
    shifted = np.full(count, -1, np.int64)
    shifted[:-1] = np.where(first[1:], -1, following[1:])
    return shifted

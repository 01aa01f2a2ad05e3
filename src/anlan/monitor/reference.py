"""The alarm rules in plain Python, one object a point and an alarm: slow, readable, what the kernel is held to.

It shares with the kernel only the meaning of the compiled tables (definitions in order, the state machine), none of its
code, no quiet bands and no timers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from anlan.core.batch import SampleBatch
from anlan.core.events import AlarmState
from anlan.core.expression import Expression, evaluate, parse
from anlan.core.quality import Quality
from anlan.monitor.compiled import CONNECTOR_KIND, Compiled
from anlan.monitor.layout import LONGEST_TICK
from anlan.monitor.machine import ARROWS, HOLDS, STATES, Arrow, GuardIndex, Hold
from anlan.plant.model import AlarmDefinition, Point

_ACTIVE = (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED)
_LATCHED = (AlarmState.LATCHED_UNACKNOWLEDGED, AlarmState.LATCHED_ACKNOWLEDGED)


class Transition(NamedTuple):
    """One transition, comparable with what the kernel writes."""

    definition: int
    arrow: str
    before: str
    after: str
    holds: int
    covered: bool
    rung: bool
    time: int
    value: float | None
    quality: int


@dataclass(eq=False)
class _Point:
    time: int | None = None
    value: float = math.nan
    quality: int = int(Quality.BAD_NOT_CONNECTED)
    seen: int = 0
    good: tuple[int, float] | None = None

    @property
    def known(self) -> bool:
        return self.quality < 0x80

    @property
    def number(self) -> float:
        return self.value if self.known else math.nan


@dataclass(eq=False)
class _Pending:
    to: bool
    onset: int
    received: int
    paused: bool = False


@dataclass(eq=False)
class _Alarm:
    number: int
    definition: AlarmDefinition
    point: _Point
    inputs: list[_Point]
    expression: Expression | None
    enable: Expression | None
    by_path: Callable[[str], _Point]
    state: AlarmState = AlarmState.NORMAL
    holds: int = 0
    rang: bool = False
    covered: bool = False
    aged: bool = False
    release: bool = False
    pending: _Pending | None = None
    clock: int | None = None
    changed: int = 0
    until: int | None = None
    value: float = math.nan
    quality: int = 0
    by: list[_Alarm] = field(default_factory=list)
    over: list[_Alarm] = field(default_factory=list)

    @property
    def active(self) -> bool:
        return self.state in _ACTIVE

    def delay(self) -> int:
        assert self.pending is not None
        return self.definition.on_delay if self.pending.to else self.definition.off_delay

    # --- conditions ---------------------------------------------------------------------------------------------

    def condition(self, time: int) -> tuple[bool | None, float]:
        """Truth (None: unknown) of the condition on the newest values, and the value it went by."""
        kind = self.definition.kind
        if kind == "bad-quality":
            return not self.point.known, math.nan
        if kind == "vote":
            return self._vote()
        if kind == "expression":
            assert self.expression is not None
            return self._truth(self.expression), math.nan
        if kind == "deviation":
            deviation = abs(self.point.number - self.inputs[0].number)
            return self._beyond(deviation), deviation
        if not self.point.known:
            return None, math.nan
        value = self.point.value
        if kind in ("HH", "H"):
            return self._beyond(value), value
        if kind in ("L", "LL"):
            return self._below(value), value
        if kind == "state":
            return value in self.definition.states, value
        if kind == "rate" and self.point.good is not None and time > self.point.good[0]:
            rate = (value - self.point.good[1]) / ((time - self.point.good[0]) * 1e-6)
            return self._beyond(abs(rate)), rate
        return None, math.nan

    def _beyond(self, value: float) -> bool | None:
        limit = self._limit()
        if not math.isfinite(value):
            return None
        return value >= (limit - self.definition.deadband if self.active else limit)

    def _below(self, value: float) -> bool:
        limit = self._limit()
        return value <= (limit + self.definition.deadband if self.active else limit)

    def _limit(self) -> float:
        return math.nan if self.definition.limit is None else self.definition.limit

    def _vote(self) -> tuple[bool | None, float]:
        up = self.definition.direction >= 0
        band = self.definition.deadband if self.active else 0.0
        threshold = self._limit() - (band if up else -band)
        numbers = [point.number for point in self.inputs]
        votes = sum(number >= threshold if up else number <= threshold for number in numbers)
        unknown = sum(math.isnan(number) for number in numbers)
        if votes >= self.definition.needed:
            return True, float(votes)
        return (False if votes + unknown < self.definition.needed else None), float(votes)

    def _truth(self, expression: Expression) -> bool | None:
        result = float(evaluate(expression, [self.by_path(name).number for name in expression.names]))
        return None if math.isnan(result) else bool(result)

    def enabled(self) -> bool | None:
        assert self.enable is not None
        return self._truth(self.enable)


_NOWHERE = _Point()


class Reference:
    """The reference evaluator of one compiled plant."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.points = {point.number: _Point() for point in compiled.points}
        self.paths = {point.path: self.points[point.number] for point in compiled.points}
        self.machine = compiled.tables.machine
        self.alarms = [self._alarm(d, definition) for d, definition in enumerate(compiled.definitions)]
        by_id = {alarm.definition.id: alarm for alarm in self.alarms}
        for alarm in self.alarms:
            for other in alarm.definition.covered_by:
                if other in by_id and by_id[other] is not alarm:
                    alarm.by.append(by_id[other])
                    by_id[other].over.append(alarm)
        self._looking: dict[int, list[tuple[_Alarm, bool, bool]]] = {number: [] for number in self.points}
        for alarm, point in itertools.product(self.alarms, compiled.points):
            looks, enables = self._roles(alarm, point)
            if looks or enables:
                self._looking[point.number].append((alarm, looks, enables))
        self.observed = 0
        self.last_tick: int | None = None
        self.out: list[Transition] = []
        self._dirty: list[_Alarm] = []

    def _alarm(self, d: int, definition: AlarmDefinition) -> _Alarm:
        inputs = [self.points.get(number, _NOWHERE) for number in definition.inputs]
        if definition.kind == "deviation":
            inputs = [self.points.get(definition.other, _NOWHERE)]
        return _Alarm(
            d,
            definition,
            self.points.get(definition.point, _NOWHERE),
            inputs,
            parse(definition.expression) if definition.kind == "expression" else None,
            parse(definition.enable) if definition.enable else None,
            lambda path: self.paths.get(path, _NOWHERE),
        )

    # --- records ------------------------------------------------------------------------------------------------

    def samples(self, batch: SampleBatch, received: int) -> list[Transition]:
        """Evaluate a batch row by row."""
        self.out = []
        rows = zip(batch.point.tolist(), batch.time.tolist(), batch.value.tolist(), batch.quality.tolist(), strict=True)
        for number, time, value, quality in rows:
            if number in self.points:
                self._sample(number, time, value, quality, received)
        return self.out

    def _sample(self, number: int, time: int, value: float, quality: int, received: int) -> None:
        point = self.points[number]
        policy = self.compiled.plant.policy
        if time > received + policy.max_ahead:
            point.quality = int(Quality.BAD_CLOCK)
            point.seen = self.observed
            self._evaluate(number, received, received, False)
            return
        if quality < 0x80 and not math.isfinite(value):
            quality = int(Quality.BAD_NOT_A_NUMBER)
        if time < 0 or (point.time is not None and time < point.time):
            return
        if time == point.time:
            point.value, point.quality = value, quality
            if quality < 0x80 and point.good is not None and point.good[0] == time:
                point.good = (time, value)
            return
        aged = time < received - policy.max_age
        if not aged:
            point.seen = self.observed
        point.time, point.value, point.quality = time, value, quality
        self._evaluate(number, time, received, aged)
        if point.known:
            point.good = (time, value)

    def _evaluate(self, number: int, time: int, received: int, aged: bool) -> None:
        point = self.points[number]
        for alarm, looks, enables in self._looking[number]:
            enabled = alarm.enabled() if enables else None
            if enabled is False:
                self._hold(alarm, Hold.ENABLE, time, quiet=False)
            if looks:
                if alarm.definition.kind == "stale":
                    if not aged and (alarm.active or alarm.pending is not None):
                        self._step(alarm, False, math.nan, point.quality, time, received, False)
                else:
                    truth, value = alarm.condition(time)
                    self._step(alarm, truth, value, point.quality, time, received, aged)
                if alarm.release:
                    alarm.release = False
                    self._free(alarm, Hold.CONNECTOR, time, quiet=True)
            if enabled:
                self._free(alarm, Hold.ENABLE, time, quiet=False)
        self._settle()

    @staticmethod
    def _roles(alarm: _Alarm, point: Point) -> tuple[bool, bool]:
        definition, number, path = alarm.definition, point.number, point.path
        if definition.kind == "vote":
            looks = number in definition.inputs
        elif definition.kind == "expression":
            assert alarm.expression is not None
            looks = path in alarm.expression.names
        elif definition.kind == "deviation":
            looks = number in (definition.point, definition.other)
        else:
            looks = definition.kind != CONNECTOR_KIND and number == definition.point
        return looks, alarm.enable is not None and path in alarm.enable.names

    def tick(self, time: int) -> list[Transition]:
        """Let time pass."""
        self.out = []
        if self.last_tick is not None:
            if time < self.last_tick:
                self._set_back(self.last_tick - time)
            self.observed += min(max(time - self.last_tick, 0), LONGEST_TICK)
        self.last_tick = time
        due = [
            alarm
            for alarm in self.alarms
            if alarm.pending and not alarm.pending.paused and alarm.pending.received + alarm.delay() <= time
        ]
        for alarm in sorted(due, key=self._due_time):
            moment = self._due_time(alarm)
            assert alarm.pending is not None
            self._change(alarm, alarm.pending.to, moment)
            self._settle()
        for alarm in self.alarms:
            self._stale(alarm, time)
        self._settle()
        for alarm in self.alarms:
            if alarm.until is not None and alarm.until <= time:
                self.act(alarm.number, Arrow.EXPIRE, alarm.until, keep=True)
        return self.out

    @staticmethod
    def _due_time(alarm: _Alarm) -> int:
        assert alarm.pending is not None
        return alarm.pending.onset + alarm.delay()

    def _set_back(self, by: int) -> None:
        for alarm in self.alarms:
            if alarm.pending is not None and not alarm.pending.paused:
                alarm.pending.received -= by
            if alarm.until is not None:
                alarm.until -= by

    def _stale(self, alarm: _Alarm, time: int) -> None:
        if alarm.definition.kind != "stale" or alarm.active or alarm.pending or alarm.holds & Hold.CONNECTOR:
            return
        point = next((p for p in self.compiled.points if p.number == alarm.definition.point), None)
        limit = alarm.definition.limit
        after = int(limit * 1_000_000) if limit else (point.stale_after if point else 0)
        if after > 0 and point is not None and self.observed - alarm.point.seen >= after:
            self._step(alarm, True, math.nan, alarm.point.quality, time, time, False)

    def act(self, d: int, arrow: Arrow, time: int, until: int | None = None, *, keep: bool = False) -> list[Transition]:
        """Fire a person's arrow; the caller has checked that it may be fired."""
        if not keep:
            self.out = []
        alarm = self.alarms[d]
        row = next((row for row in HOLDS if row.arrow == arrow), None)
        if row is None:
            self._tell(alarm, arrow, time, False)
            self._settle()
            return self.out
        if row.hold == Hold.SHELVED:
            alarm.until = until if row.sets else None
        alarm.holds = alarm.holds | row.hold if row.sets else alarm.holds & ~row.hold
        self._tell(alarm, arrow, time, False)
        if not row.sets:
            self._freed(alarm, time)
        self._settle()
        return self.out

    def connector(self, connector: str, up: bool, time: int) -> list[Transition]:
        """Take a connector's loss or return."""
        self.out = []
        d = self.compiled.index[f"connectors/{connector}.lost"]
        self._step(self.alarms[d], not up, math.nan, 0, time, time, False)
        for row in self.compiled.connector_points[connector]:
            point = self.points[self.compiled.points[row].number]
            if up:
                point.seen = self.observed
            for alarm in self.alarms:
                if alarm.point is point and alarm.definition.kind in ("stale", "bad-quality"):
                    self._connector(alarm, up, time)
        self._settle()
        return self.out

    def _connector(self, alarm: _Alarm, up: bool, time: int) -> None:
        if not up:
            alarm.release = False
            self._hold(alarm, Hold.CONNECTOR, time, quiet=True)
        elif not alarm.holds & Hold.CONNECTOR:
            return
        elif alarm.definition.kind == "stale":
            if alarm.active:
                self._change(alarm, False, max(time, alarm.clock or 0))
            self._free(alarm, Hold.CONNECTOR, time, quiet=True)
        elif alarm.active or alarm.pending:
            alarm.release = True
        else:
            self._free(alarm, Hold.CONNECTOR, time, quiet=True)

    # --- rules --------------------------------------------------------------------------------------------------

    def _step(
        self, alarm: _Alarm, truth: bool | None, value: float, quality: int, time: int, received: int, aged: bool
    ) -> None:
        runs_backwards = alarm.definition.kind not in ("deviation", "vote", "expression", "stale", CONNECTOR_KIND)
        if not runs_backwards and alarm.clock is not None:
            time = max(time, alarm.clock)
        pending = alarm.pending
        if pending and not pending.paused and time >= self._due_time(alarm) and (pending.to or truth is not None):
            self._change(alarm, pending.to, self._due_time(alarm))
        alarm.clock = time
        alarm.aged = aged
        if truth is None:
            if alarm.pending:
                alarm.pending.paused = True
            return
        alarm.value, alarm.quality = value, quality
        if truth == alarm.active:
            alarm.pending = None
            if truth:
                self._announce(alarm, time)
            return
        if alarm.pending is None or alarm.pending.to != truth:
            alarm.pending = _Pending(truth, time, received)
        alarm.pending.paused = False
        if time >= self._due_time(alarm):
            self._change(alarm, truth, time)

    def _change(self, alarm: _Alarm, to: bool, time: int) -> None:
        alarm.pending = None
        alarm.covered = to and self._is_covered(alarm)
        rung = not alarm.holds and not alarm.covered and not alarm.aged
        self._emit(alarm, Arrow.RAISE if to else Arrow.CLEAR, time, alarm.value, alarm.quality, rung)

    @staticmethod
    def _is_covered(alarm: _Alarm) -> bool:
        return any(other.active and not other.holds for other in alarm.by)

    def _announce(self, alarm: _Alarm, time: int) -> None:
        quiet = alarm.holds or alarm.covered or alarm.aged
        if alarm.state == AlarmState.UNACKNOWLEDGED and not alarm.rang and not quiet:
            self._tell(alarm, Arrow.ANNOUNCE, time, True)

    def _hold(self, alarm: _Alarm, hold: Hold, time: int, *, quiet: bool) -> None:
        if alarm.holds & hold:
            return
        alarm.holds |= hold
        if not quiet or alarm.state != AlarmState.NORMAL:
            self._tell(alarm, Arrow.SUPPRESS_BY_DESIGN, time, False)

    def _free(self, alarm: _Alarm, hold: Hold, time: int, *, quiet: bool) -> None:
        if not alarm.holds & hold:
            return
        alarm.holds &= ~hold
        if not quiet or alarm.state != AlarmState.NORMAL:
            self._tell(alarm, Arrow.UNSUPPRESS_BY_DESIGN, time, False)
        self._freed(alarm, time)

    def _freed(self, alarm: _Alarm, time: int) -> None:
        if alarm.holds == 0 and (alarm.active or alarm.state in _LATCHED):
            alarm.covered = alarm.active and self._is_covered(alarm)
            self._tell(alarm, Arrow.REALARM, time, not alarm.covered)

    def _settle(self) -> None:
        dirty, self._dirty = self._dirty, []
        for alarm in dirty:
            for other in alarm.over:
                covered = self._is_covered(other)
                if other.active and covered != other.covered:
                    other.covered = covered
                    self._tell(other, Arrow.COVER if covered else Arrow.UNCOVER, alarm.changed, False)
                    self._announce(other, alarm.changed)
        self._dirty = []

    def _tell(self, alarm: _Alarm, arrow: Arrow, time: int, rung: bool) -> None:
        value, quality = alarm.value, alarm.quality
        if alarm.definition.kind in ("HH", "H", "L", "LL"):
            value, quality = alarm.point.value, alarm.point.quality
        self._emit(alarm, arrow, time, value, quality, rung)

    def _emit(self, alarm: _Alarm, arrow: Arrow, time: int, value: float, quality: int, rung: bool) -> None:
        guard = GuardIndex.LATCHED if alarm.definition.latched else GuardIndex(0 if alarm.rang else 1)
        after = int(self.machine[ARROWS.index(arrow), guard, STATES.index(alarm.state)])
        if after < 0:
            return
        before, alarm.state, alarm.changed = alarm.state, STATES[after], time
        if arrow in (Arrow.RAISE, Arrow.REALARM, Arrow.ANNOUNCE):
            alarm.rang = rung
        shown = None if np.isnan(value) else value
        self.out.append(
            Transition(
                alarm.number,
                arrow.value,
                before.value,
                alarm.state.value,
                int(alarm.holds),
                alarm.covered,
                rung,
                time,
                shown,
                quality,
            )
        )
        if alarm not in self._dirty:
            self._dirty.append(alarm)

"""Ringing while the log refuses batches: on a throw-away copy of the state; its transitions are told, never stored."""

from __future__ import annotations

import msgspec

from anlan.core import log
from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.events import AlarmState, AlarmTransition, Event, EventType
from anlan.core.ids import ulid_of
from anlan.core.severity import AlarmPriority
from anlan.monitor.engine import Engine
from anlan.monitor.machine import Arrow

LIVE_ALARM = log.LIVE_ALARM
LOG_LOST = "system/log.lost"


class Provisional:
    """Evaluates what the log refused. ``events`` carry what ``live.alarm`` tells; the journal never sees them."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._ordinal = 0
        self._instance = ""

    @property
    def under_way(self) -> bool:
        """Whether the log is refusing batches."""
        return self._engine is not None

    def shown(self, engine: Engine) -> Engine:
        """Return what operators are shown: the copy while the log refuses, else ``engine``."""
        return self._engine or engine

    def samples(self, engine: Engine, batch: SampleBatch, header: BatchHeader) -> list[Event]:
        """Evaluate an unlogged batch on a copy of ``engine``, made at the first one."""
        events: list[Event] = []
        if self._engine is None:
            self._engine = engine.copy()
            events.append(self._log_alarm(engine.node, header.received, lost=True))
        self._ordinal += 1
        return events + self._engine.samples(batch, header, -self._ordinal)

    def tick(self, time: int) -> list[Event]:
        """Let time pass (µs UTC) in the copy; the log's own ticks do not arrive now."""
        if self._engine is None:
            return []
        self._ordinal += 1
        return self._engine.tick(log.Tick(time), -self._ordinal)

    def drop(self, node: str, time: int) -> list[Event]:
        """Throw the copy away: the log is back, and what it was told meanwhile comes in order now."""
        if self._engine is None:
            return []
        self._engine = None
        return [self._log_alarm(node, time, lost=False)]

    def _log_alarm(self, node: str, time: int, *, lost: bool) -> Event:
        self._ordinal += 1
        id_ = ulid_of(time, node, "UNLOGGED", self._ordinal, 0)
        if lost:
            self._instance = id_
        payload = AlarmTransition(
            alarm=LOG_LOST,
            instance=self._instance,
            arrow=(Arrow.RAISE if lost else Arrow.CLEAR).value,
            state=AlarmState.UNACKNOWLEDGED if lost else AlarmState.NORMAL,
            before=AlarmState.NORMAL if lost else AlarmState.UNACKNOWLEDGED,
            point=0,
            priority=AlarmPriority.CRITICAL,
            comment="日志拒绝写入,报警为临时提示 / the log refuses batches; alarms are provisional" if lost else "",
        )
        return Event(
            id=id_,
            type=EventType.ALARM.value,
            source=node,
            time=time,
            subject=LOG_LOST,
            data=msgspec.to_builtins(payload),
        )

"""The newest alarm transitions in memory, read from the event log, for performance figures at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec
import numpy as np

from anlan.core.events import AlarmTransition, Event, EventType
from anlan.monitor.machine import ARROWS
from anlan.monitor.model import PerformanceQuery
from anlan.monitor.performance import Performance, Transitions, compute
from anlan.store.fabric.client import EVENTS, Fabric
from anlan.store.fabric.log import LogReader

logger = logging.getLogger(__name__)

MOST = 500_000
_ARROW_INDEX = {arrow.value: number for number, arrow in enumerate(ARROWS)}

_ROW = np.dtype([("time", "i8"), ("alarm", "i4"), ("arrow", "u1"), ("rung", "?"), ("priority", "u1")])


class _Envelope(msgspec.Struct):
    time: int
    subject: str
    data: AlarmTransition


_decode = msgspec.json.Decoder(_Envelope).decode


class Columns:
    """Grows alarm transitions into columns; the oldest half goes when there are too many."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._rows = np.zeros(1024, _ROW)
        self._count = 0
        self._alarms: dict[str, int] = {}

    def add(self, time: int, transition: AlarmTransition) -> None:
        """Append one transition (time in µs UTC)."""
        if self._count == len(self._rows):
            if self._count >= self._most:
                kept = self._rows[self._count // 2 :].copy()
                self._count = len(kept)
                self._rows[: self._count] = kept
            else:
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        alarm = self._alarms.setdefault(transition.alarm, len(self._alarms))
        arrow = _ARROW_INDEX.get(transition.arrow, 0)
        self._rows[self._count] = (time, alarm, arrow, transition.rung, transition.priority)
        self._count += 1

    def add_event(self, event: Event) -> None:
        """Append an event of the journal; other than alarm transitions are ignored."""
        if event.type == EventType.ALARM:
            self.add(event.time, msgspec.convert(event.data, AlarmTransition))

    def transitions(self, positions: dict[str, str]) -> Transitions:
        """Return what was added; ``positions`` gives the operator position by alarm id."""
        rows = self._rows[: self._count].copy()
        alarms = tuple(self._alarms)
        return Transitions(
            np.ascontiguousarray(rows["time"]),
            np.ascontiguousarray(rows["alarm"]),
            np.ascontiguousarray(rows["arrow"]),
            np.ascontiguousarray(rows["rung"]),
            np.ascontiguousarray(rows["priority"]),
            alarms,
            tuple(positions.get(alarm, "") for alarm in alarms),
        )


class History:
    """Follows the alarm transitions of the event log."""

    def __init__(self) -> None:
        self.columns = Columns()
        self.positions: dict[str, str] = {}
        self.complete = False

    async def follow(self, fabric: Fabric, stop: asyncio.Event) -> None:
        """Read the newest part of the event log and go on with what comes, giving way to the alarms."""
        state = (await fabric.jetstream.stream_info(EVENTS)).state
        start = max(1, state.last_seq - MOST + 1)
        reader = LogReader(fabric, start=start, stream=EVENTS, subjects=[f"events.{EventType.ALARM.value}"])
        async for messages in reader.batches(16, wait=0.5):
            for message in messages:
                with contextlib.suppress(msgspec.MsgspecError):
                    envelope = _decode(message.data)
                    self.columns.add(envelope.time, envelope.data)
            if stop.is_set():
                return
            self.complete = self.complete or not messages
            await asyncio.sleep(0.002 if messages else 0)

    def performance(self, query: PerformanceQuery, visible: set[str] | None = None) -> Performance:
        """Return the performance of a period from what is in memory, of the ``visible`` alarms only unless None."""
        transitions = self.columns.transitions(self.positions)
        if visible is not None:
            seen = np.array([alarm in visible for alarm in transitions.alarms], bool)
            transitions = transitions.take(seen[transitions.alarm] if len(seen) else np.zeros(0, bool))
        return compute(transitions, query.start, query.end, query.operator_position)

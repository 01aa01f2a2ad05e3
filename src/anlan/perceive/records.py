"""What the gateway tells besides samples: connector records on the log and events, in order, retried until taken."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

import msgspec
import nats.errors
import nats.js.errors

from anlan.core import log
from anlan.core.events import ConnectorState, Event, EventType, SystemState
from anlan.core.ids import new_ulid
from anlan.core.time import now_us
from anlan.perceive.appender import Appender
from anlan.store.fabric.client import Fabric

logger = logging.getLogger(__name__)

MOST_EVENTS = 20_000


class Records:
    """Two queues, one of log records and one of events, each published in order by a task of its own.

    Attributes:
        dropped_events: events given up because more than ``MOST_EVENTS`` were waiting.
    """

    def __init__(self, fabric: Fabric, appender: Appender) -> None:
        self._fabric = fabric
        self._appender = appender
        self._node = fabric.settings.node
        self._records: asyncio.Queue[log.ConnectorRecord] = asyncio.Queue()
        self._events: deque[Event] = deque()
        self._some_events = asyncio.Event()
        self._incarnation = f"{now_us():x}"
        self.dropped_events = 0

    def connector(self, connector: str, up: bool, reason: str, clock_offset_us: int) -> None:
        """Say on the log and as an event that a connector is lost or back."""
        now = now_us()
        self._records.put_nowait(log.ConnectorRecord(now, connector, up, reason))
        state = ConnectorState(connector, "up" if up else "down", reason, clock_offset_us)
        self.event(self._new(EventType.CONNECTOR, connector, msgspec.to_builtins(state)))

    def system(self, part: str, state: str, reason: str) -> None:
        """Say as an event that a part of Anlan itself is lost, back or full."""
        self.event(self._new(EventType.SYSTEM, part, msgspec.to_builtins(SystemState(part, state, reason))))

    def event(self, event: Event) -> None:
        """Queue an event; the oldest is given up when too many wait."""
        if len(self._events) >= MOST_EVENTS:
            self._events.popleft()
            self.dropped_events += 1
        self._events.append(event)
        self._some_events.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._append_records())
            tasks.create_task(self._publish_events())

    async def flush(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds until nothing waits."""
        deadline = asyncio.get_running_loop().time() + timeout
        while asyncio.get_running_loop().time() < deadline:
            if not self._events and self._records.empty():
                return
            await asyncio.sleep(0.01)

    def _new(self, type_: str, subject: str, data: dict[str, object]) -> Event:
        now = now_us()
        return Event(id=new_ulid(now), type=type_, source=self._node, time=now, subject=subject, data=data)

    async def _append_records(self) -> None:
        count = 0
        while True:
            record = await self._records.get()
            count += 1
            identity = f"connector-{self._node}-{self._incarnation}-{count}"
            await self._appender.append_unslotted(log.CONNECTOR, log.encode(record), identity)

    async def _publish_events(self) -> None:
        while True:
            await self._some_events.wait()
            while self._events:
                event = self._events[0]
                try:
                    await self._fabric.publish_event(event)
                except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
                    logger.debug("event not published yet: %s", error)
                    await asyncio.sleep(0.5)
                    continue
                if self._events and self._events[0] is event:
                    self._events.popleft()
            self._some_events.clear()

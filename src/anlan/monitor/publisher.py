"""Publishes events in order, pipelined and bounded, and knows which of them the event log has acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict

import msgspec
from nats.aio.msg import Msg

from anlan.core.errors import UnavailableError
from anlan.core.events import Event, encode_event
from anlan.store.fabric.client import Fabric

logger = logging.getLogger(__name__)

MOST_PENDING = 2048
PATIENCE_S = 8.0


class _Ack(msgspec.Struct):
    seq: int = 0
    error: dict[str, object] | None = None


_decode_ack = msgspec.json.Decoder(_Ack).decode


class EventPublisher:
    """Appends events to the event log in order.

    A publish that fails or stays unanswered is never repeated here: ``check`` raises, the process ends and starts again
    from its snapshot, because a repeat would come after events published meanwhile.

    Args:
        fabric: connection to publish on.
        known: ids that are in the event log already, with their sequence; they are skipped.
        mark: sequence in the event log before which nothing of ``known`` was read.
    """

    def __init__(self, fabric: Fabric, known: dict[str, int] | None = None, mark: int = 0) -> None:
        self._fabric = fabric
        self._known = known or {}
        self._mark = mark
        self._pending: OrderedDict[int, float] = OrderedDict()
        self._room = asyncio.Event()
        self._room.set()
        self._inbox = fabric.client.new_inbox()
        self._count = 0
        self._highest = mark
        self._barrier = 0
        self._barrier_highest = mark
        self._barrier_replaying = bool(self._known)
        self._failure = ""
        self.published = 0
        self.skipped = 0

    async def start(self) -> None:
        """Listen for acknowledgements."""
        self._fabric.reconnected.clear()
        await self._fabric.client.subscribe(f"{self._inbox}.*", cb=self._acknowledged)

    async def _acknowledged(self, message: Msg) -> None:
        number = int(message.subject.rpartition(".")[2])
        try:
            ack = _decode_ack(message.data) if message.data else _Ack(error={"description": "no event log"})
        except msgspec.MsgspecError as error:
            ack = _Ack(error={"description": str(error)})
        if ack.error is not None:
            self._failure = str(ack.error.get("description", ack.error))
            self._room.set()
            return
        self._pending.pop(number, None)
        self._highest = max(self._highest, ack.seq)
        if number <= self._barrier:
            self._barrier_highest = max(self._barrier_highest, ack.seq)
        if len(self._pending) < MOST_PENDING:
            self._room.set()

    async def publish(self, events: list[Event]) -> None:
        """Append ``events``, leaving out those the event log has; waits while too many are unanswered.

        Raises:
            UnavailableError: an append was refused or not answered.
        """
        loop = asyncio.get_running_loop()
        for event in events:
            if self._known and event.id in self._known:
                self._highest = max(self._highest, self._known.pop(event.id))
                self.skipped += 1
                continue
            while len(self._pending) >= MOST_PENDING:
                self._room.clear()
                self.check()
                try:
                    await asyncio.wait_for(self._room.wait(), 1.0)
                except TimeoutError:
                    continue
            self._count += 1
            self._pending[self._count] = loop.time()
            self.published += 1
            await self._fabric.client.publish(
                f"events.{event.type}",
                encode_event(event),
                reply=f"{self._inbox}.{self._count}",
                headers={"Nats-Msg-Id": event.id},
            )

    def check(self) -> None:
        """Raise when an append has failed.

        Raises:
            UnavailableError: refused, or not answered for too long, or the connection broke with appends under way.
        """
        if self._failure:
            raise UnavailableError(f"the event log refuses events: {self._failure}", where="EVENTS")
        if not self._pending:
            self._fabric.reconnected.clear()
            return
        oldest = next(iter(self._pending.values()))
        if asyncio.get_running_loop().time() - oldest > PATIENCE_S:
            raise UnavailableError("the event log does not answer", where="EVENTS")
        if self._fabric.reconnected.is_set():
            raise UnavailableError("the fabric was lost with events under way", where="EVENTS")

    def caught_up(self) -> None:
        """Say that the replay is over: what was known and not produced again will not be."""
        if self._known:
            logger.warning("%d events of the event log were not produced again", len(self._known))
            self._known = {}

    def barrier(self) -> int:
        """Return a token for ``settled``: everything published so far."""
        self._barrier = self._count
        self._barrier_highest = self._highest
        self._barrier_replaying = bool(self._known)
        return self._count

    async def settled(self, token: int) -> int:
        """Return, once everything up to ``token`` is acknowledged, a mark before all that comes later in the event log.

        While a replay is under way that is the mark it began with: an event lost then stands behind later ones.
        """
        while self._pending and next(iter(self._pending)) <= token:
            self.check()
            await asyncio.sleep(0.01)
        if not self._barrier_replaying:
            self._mark = max(self._mark, self._barrier_highest)
        return self._mark

    async def drain(self, timeout: float = 5.0) -> None:
        """Wait until everything is acknowledged.

        Args:
            timeout: seconds.

        Raises:
            UnavailableError: it is not in time.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while self._pending:
            self.check()
            if asyncio.get_running_loop().time() > deadline:
                raise UnavailableError("the event log does not answer", where="EVENTS")
            await asyncio.sleep(0.005)

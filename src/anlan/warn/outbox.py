"""Publishes what waits in the ledger's outbox, in order, each event once.

An event is written in the transaction of what it tells and deleted when the event log has acknowledged it. A crash in
between is found at the next start: the event log is read from the last known position on, and what it holds is deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec
import nats.errors
import nats.js.errors

from anlan.core.errors import AnlanError
from anlan.core.events import decode_event, encode_event
from anlan.core.health import Health
from anlan.store.fabric.client import EVENTS, Fabric
from anlan.store.fabric.log import LogReader
from anlan.warn.ledger import Ledger

logger = logging.getLogger(__name__)

PAGE = 100
LONGEST_WAIT_S = 5.0
SUBJECTS = ["events.warning.>", "events.risk.>", "events.model.>", "events.audit.>"]


class Outbox:
    """The way of events from the ledger to the event log.

    Args:
        fabric: connection to publish on.
        ledger: where they wait.
        health: where it says that they cannot be published.
    """

    def __init__(self, fabric: Fabric, ledger: Ledger, health: Health) -> None:
        self._fabric = fabric
        self._ledger = ledger
        self._health = health
        self._wake = asyncio.Event()
        self._flushing = asyncio.Lock()
        self.published = 0

    def wake(self) -> None:
        """Say that something was written."""
        self._wake.set()

    async def resume(self) -> None:
        """Forget what the event log took before the last crash."""
        waiting = {event.id for event in await asyncio.to_thread(self._ledger.waiting_events, 1_000_000)}
        if not waiting:
            return
        start = (await asyncio.to_thread(self._ledger.marks)).get("published", 0) + 1
        last = int((await self._fabric.jetstream.stream_info(EVENTS)).state.last_seq)
        if last < start:
            return
        done: list[str] = []
        reader = LogReader(self._fabric, start=start, stream=EVENTS, subjects=SUBJECTS)
        async for messages in reader.batches(256, wait=1.0):
            for message in messages:
                with contextlib.suppress(msgspec.MsgspecError):
                    identity = decode_event(message.data).id
                    if identity in waiting:
                        done.append(identity)
            if not messages or messages[-1].sequence >= last:
                break
        if done:
            logger.info("%d events were in the event log already", len(done))
            await asyncio.to_thread(self._ledger.published, done, start - 1)

    async def run(self) -> None:
        """Publish for ever, trying again while the fabric is away."""
        delay = 0.2
        while True:
            try:
                await self.flush()
            except (nats.errors.Error, nats.js.errors.Error, AnlanError, OSError, TimeoutError) as error:
                self._health.problems["outbox"] = f"预警事件等待发布 / events of warnings wait to be published: {error}"
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_WAIT_S)
                continue
            delay = 0.2
            self._health.problems.pop("outbox", None)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LONGEST_WAIT_S)

    async def flush(self) -> None:
        """Publish everything that waits now."""
        async with self._flushing:
            while events := await asyncio.to_thread(self._ledger.waiting_events, PAGE):
                done: list[str] = []
                sequence = 0
                try:
                    for event in events:
                        ack = await self._fabric.jetstream.publish(
                            f"events.{event.type}",
                            encode_event(event),
                            headers={"Nats-Msg-Id": event.id},
                            timeout=10,
                        )
                        sequence = max(sequence, int(ack.seq))
                        done.append(event.id)
                finally:
                    if done:
                        self.published += len(done)
                        await asyncio.to_thread(self._ledger.published, done, sequence)

"""Appends to the log that are held and tried again, with one view of how the log is: up, away or refusing.

Unlike a plain writer it gives up waiting the moment the connection drops, tries again the moment it is back, and tells
"the fabric is away" (batches rest on disk) from "the log refuses" (batches also go to the alarms, unlogged).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import StrEnum

import nats.errors
import nats.js.errors

from anlan.store.fabric.client import Fabric

logger = logging.getLogger(__name__)

IN_FLIGHT = 2
ACK_TIMEOUT_S = 5.0
FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 2.0
_LOOK_S = 0.1


class LogState(StrEnum):
    """How the log is."""

    UP = "up"
    AWAY = "away"
    REFUSING = "refusing"


class Appender:
    """Appends with at most ``IN_FLIGHT`` under way; ``append`` returns once the log has acknowledged.

    Args:
        on_state: called with the state and the reason whenever the state changes.
    """

    def __init__(self, fabric: Fabric, on_state: Callable[[LogState, str], None] | None = None) -> None:
        self._fabric = fabric
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._on_state = on_state
        self.state = LogState.UP
        self.appended = 0
        self.refused = 0

    async def append(self, subject: str, payload: bytes, message_id: str) -> int:
        """Append one record, trying for ever under the same message id, and return its log sequence."""
        async with self._slots:
            return await self.append_unslotted(subject, payload, message_id)

    async def append_unslotted(self, subject: str, payload: bytes, message_id: str) -> int:
        """Append without waiting for a slot (small records that must not queue behind batches)."""
        delay = FIRST_DELAY_S
        while True:
            try:
                sequence = await self._try(subject, payload, message_id)
            except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
                self.refused += 1
                reason = str(error) or type(error).__name__
                connected = self._fabric.client.is_connected
                self._set_state(LogState.REFUSING if connected else LogState.AWAY, reason)
                await self._back_off(delay)
                delay = min(delay * 2, LONGEST_DELAY_S)
            else:
                self._set_state(LogState.UP, "")
                self.appended += 1
                return sequence

    async def _try(self, subject: str, payload: bytes, message_id: str) -> int:
        client = self._fabric.client
        if not client.is_connected:
            raise ConnectionError("the fabric is disconnected")
        request = asyncio.ensure_future(
            self._fabric.jetstream.publish(subject, payload, timeout=ACK_TIMEOUT_S, headers={"Nats-Msg-Id": message_id})
        )
        try:
            while True:
                done, _ = await asyncio.wait({request}, timeout=_LOOK_S)
                if done:
                    return int(request.result().seq)
                if not client.is_connected:
                    raise ConnectionError("the fabric is disconnected")
        finally:
            request.cancel()

    async def _back_off(self, delay: float) -> None:
        # Away: wait for the connection itself and go on at once; refusing: wait for the delay.
        client = self._fabric.client
        if client.is_connected:
            await asyncio.sleep(delay)
            return
        while not client.is_connected:  # noqa: ASYNC110  # the client tells of a reconnection only by its state
            await asyncio.sleep(_LOOK_S / 2)

    def _set_state(self, state: LogState, reason: str) -> None:
        if state is self.state:
            return
        self.state = state
        if state is LogState.UP:
            logger.warning("the log takes appends again")
        else:
            logger.error("the log is %s: %s", state.value, reason)
        if self._on_state is not None:
            self._on_state(state, reason)

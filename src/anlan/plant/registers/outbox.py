"""Events of the registers: written with what they tell in one transaction, then published until the fabric has them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
import nats.errors
import nats.js.errors
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from anlan.core.actor import Actor
from anlan.core.errors import AnlanError
from anlan.core.events import MAX_CAUSES, AuditChange, Event, EventType, decode_event, encode_event
from anlan.core.ids import new_ulid
from anlan.plant.registers.tables import RegisterOutboxRow
from anlan.store.fabric.client import Fabric
from anlan.store.records.base import Records

logger = logging.getLogger(__name__)


def keep(
    session: Session,
    type_: EventType,
    node: str,
    now_us: int,
    subject: str,
    data: Any,
    causes: Sequence[str] = (),
) -> str:
    """Write an event into the outbox and return its id; ``data`` is a struct or a mapping."""
    kept = tuple(dict.fromkeys(cause for cause in causes if cause))[:MAX_CAUSES]
    event = Event(new_ulid(now_us), type_.value, node, now_us, subject, kept, msgspec.to_builtins(data))
    session.add(RegisterOutboxRow(id=event.id, event=encode_event(event)))
    return event.id


def audit(
    session: Session,
    node: str,
    now_us: int,
    subject: str,
    actor: Actor,
    action: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    comment: str = "",
) -> None:
    """Write the audit event of a change into the outbox."""
    change = AuditChange(who=actor.user, action=action, before=before or {}, after=after or {}, comment=comment)
    keep(session, EventType.AUDIT, node, now_us, subject, change)


class Publisher:
    """Publishes what waits in the outbox, in order; a repeat after a crash has the same id and is dropped."""

    def __init__(self, fabric: Fabric, records: Records) -> None:
        self._fabric = fabric
        self._records = records
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Say that something was written."""
        self._wake.set()

    async def run(self) -> None:
        """Publish for ever, trying again while the fabric is away."""
        delay = 0.2
        while True:
            try:
                await self.flush()
                delay = 0.2
            except (nats.errors.Error, nats.js.errors.Error, AnlanError, OSError, TimeoutError) as error:
                logger.debug("events of the registers wait: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)
                continue
            self._wake.clear()
            try:
                # Not wait_for: woken and cancelled at the same moment, it would swallow the cancellation.
                async with asyncio.timeout(5.0):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def flush(self) -> None:
        """Publish everything that waits now."""
        while rows := await asyncio.to_thread(self._page):
            for identity, event in rows:
                await self._fabric.publish_event(decode_event(event))
                await asyncio.to_thread(self._done, identity)

    def _page(self) -> list[tuple[str, bytes]]:
        with self._records.session() as session:
            query = select(RegisterOutboxRow.id, RegisterOutboxRow.event).order_by(RegisterOutboxRow.id).limit(100)
            return [(identity, event) for identity, event in session.execute(query)]

    def _done(self, identity: str) -> None:
        with self._records.session() as session:
            session.execute(delete(RegisterOutboxRow).where(RegisterOutboxRow.id == identity))

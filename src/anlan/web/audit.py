"""Audit: the event of a change is written in the same transaction as the change, then published on the fabric.

So there is no change without its record, also while the fabric is away or when a command line makes the change.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import nats.errors
import nats.js.errors
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from anlan.core.errors import AnlanError
from anlan.core.events import AuditChange, Event, EventType, decode_event, encode_event
from anlan.core.health import Health
from anlan.core.ids import new_ulid
from anlan.core.time import now_us
from anlan.store.fabric.client import Fabric
from anlan.store.records.base import Records
from anlan.web.tables import OutboxRow

logger = logging.getLogger(__name__)

_PAGE = 200


class Auditor:
    """Notes changes made by one person in one transaction.

    Args:
        node: id of this node, the events' source.
        who: login of the person.
        address: network address they came from, or what stands for it (``command line``).
    """

    def __init__(self, node: str, who: str, address: str) -> None:
        self.node = node
        self.who = who
        self.address = address

    def note(
        self,
        session: Session,
        action: str,
        subject: str,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        comment: str = "",
    ) -> None:
        """Write the event of a change into the transaction that makes it."""
        now = now_us()
        change = AuditChange(
            who=self.who,
            action=action,
            before=before or {},
            after=after or {},
            comment=comment,
            address=self.address,
        )
        event = Event(
            id=new_ulid(now),
            type=EventType.AUDIT,
            source=self.node,
            time=now,
            subject=subject,
            data=_plain(change),
        )
        session.add(OutboxRow(id=event.id, event=encode_event(event)))


def _plain(change: AuditChange) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(change)
    return plain


class AuditPublisher:
    """Publishes what waits in the outbox; a repeat after a crash has the same id and is dropped by the stream."""

    def __init__(self, fabric: Fabric, records: Records, health: Health) -> None:
        self._fabric = fabric
        self._records = records
        self._health = health
        self.wake = asyncio.Event()

    async def run(self) -> None:
        """Publish until cancelled; look every two seconds for what other processes wrote."""
        while True:
            self.wake.clear()
            try:
                while await self.publish_waiting() == _PAGE:
                    pass
                self._health.problems.pop("audit", None)
            except (AnlanError, nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
                self._health.problems["audit"] = f"audit events wait to be published: {error}"
            try:
                await asyncio.wait_for(self.wake.wait(), 2)
            except TimeoutError:
                continue

    async def publish_waiting(self) -> int:
        """Publish one page of waiting events and return how many there were."""
        rows = await asyncio.to_thread(self._waiting)
        for identifier, payload in rows:
            await self._fabric.publish_event(decode_event(payload))
            await asyncio.to_thread(self._drop, identifier)
        self._health.count("audit_events", len(rows))
        return len(rows)

    def _waiting(self) -> list[tuple[str, bytes]]:
        with self._records.session() as session:
            query = select(OutboxRow.id, OutboxRow.event).order_by(OutboxRow.id).limit(_PAGE)
            return [(row.id, row.event) for row in session.execute(query)]

    def _drop(self, identifier: str) -> None:
        with self._records.session() as session:
            session.execute(delete(OutboxRow).where(OutboxRow.id == identifier))

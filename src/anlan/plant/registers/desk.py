"""What the registers' services share: the records, the plant in force, the clock, permission and events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy.orm import Session

from anlan.core.actor import Actor, Permission
from anlan.core.errors import NotFoundError
from anlan.core.events import EventType
from anlan.core.time import now_us
from anlan.plant.model import Plant, Point
from anlan.plant.registers import outbox
from anlan.plant.registers.machine import Arrow, Machine
from anlan.store.records.base import Records

T = TypeVar("T")


class Book(Protocol):
    """Where the registers find the plant in force and the files it was made from."""

    plant: Plant | None
    revision: str
    path: Path


@dataclass
class Desk:
    """Shared means of the registers' services; ``clock`` returns µs UTC."""

    node: str
    records: Records
    book: Book
    wake: Callable[[], None] = lambda: None
    clock: Callable[[], int] = now_us
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def plant(self) -> Plant:
        """The plant in force.

        Raises:
            NotFoundError: none is in force yet.
        """
        if self.book.plant is None:
            raise NotFoundError("no configuration is in force yet", fix="correct the site's files")
        return self.book.plant

    def point(self, path: str) -> Point:
        """Return a point of the plant in force.

        Raises:
            NotFoundError: there is none at this path.
        """
        for point in self.plant.points:
            if point.path == path:
                return point
        raise NotFoundError(f"no point {path}", where=path)

    async def run(self, work: Callable[[Session, int], T]) -> T:
        """Run ``work(session, now)`` in one transaction on a thread, one at a time, then publish its events."""

        def transaction() -> T:
            with self.records.session() as session:
                return work(session, self.clock())

        async with self.lock:
            result = await asyncio.to_thread(transaction)
        self.wake()
        return result

    def tell(
        self,
        session: Session,
        now: int,
        type_: EventType,
        subject: str,
        actor: Actor,
        action: str,
        row: msgspec.Struct,
        before: dict[str, Any] | None = None,
        comment: str = "",
        causes: Sequence[str] = (),
    ) -> str:
        """Write the register's own event (unless it is an audit anyway) and the audit event of a change.

        Returns:
            the id of the register's own event, empty when there is none.
        """
        after = msgspec.to_builtins(row)
        event = ""
        if type_ is not EventType.AUDIT:
            data = {"action": action, "who": actor.user, **after}
            event = outbox.keep(session, type_, self.node, now, subject, data, causes)
        outbox.audit(session, self.node, now, subject, actor, action, before=before or {}, after=after, comment=comment)
        return event


def fire(
    machine: Machine,
    state: str,
    verb: str,
    actor: Actor,
    asked_by: str,
    path: str,
    comment: str,
    *,
    safety: bool = False,
) -> Arrow:
    """Judge permission and guard of a person's act and return the arrow.

    A second person's approval of something about a safety point needs the permission for safety changes.

    Raises:
        NotFoundError, PermissionDeniedError, ConflictError: see ``Machine.fire`` and ``Actor.require``.
    """
    arrow = machine.arrow(state, verb)
    if safety and verb in ("approve", "reject"):
        actor.require(Permission.APPROVE_SAFETY_CHANGE, path)
    else:
        actor.require(arrow.permission, path)
    return machine.fire(state, verb, who=actor.user, asked_by=asked_by, comment=comment)


Handler = Callable[[Any, Actor], Awaitable[object]]
Serve = Callable[[str, type, Handler], Awaitable[None]]

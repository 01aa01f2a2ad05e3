"""The shift log: entries, open items that live over hand-overs, and a hand-over that the incoming person accepts."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from anlan.core.actor import Actor, Permission
from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from anlan.core.events import EventType
from anlan.core.ids import new_ulid
from anlan.plant.model import OperatorPosition
from anlan.plant.registers.desk import Desk, Serve, fire
from anlan.plant.registers.machine import SHIFT
from anlan.plant.registers.model import Act, AddEntry, BeginShift, CloseItem, Entry, ListEntries, ListShifts, Shift
from anlan.plant.registers.tables import EntryRow, ShiftRow

MOST_ROWS = 1000
LONGEST_TEXT = 8000


class ShiftLog:
    """Serves ``registers.shift*``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def serve(self, serve: Serve) -> None:
        """Register the handlers."""
        await serve("registers.shifts", ListShifts, self.list_shifts)
        await serve("registers.shift.begin", BeginShift, self.begin)
        await serve("registers.shift.entries", ListEntries, self.list_entries)
        await serve("registers.shift.add", AddEntry, self.add)
        await serve("registers.shift.close", CloseItem, self.close)
        await serve("registers.shift.act", Act, self.act)

    # --- who may ----------------------------------------------------------------------------------------------------

    def _position(self, identity: str) -> OperatorPosition:
        for position in self._desk.plant.positions:
            if position.id == identity:
                return position
        known = ", ".join(item.id for item in self._desk.plant.positions)
        raise NotFoundError(
            f"no operator position {identity}", where="position", fix=f"one of {known}" if known else ""
        )

    def _scopes(self, position: str) -> tuple[str, ...]:
        for item in self._desk.plant.positions:
            if item.id == position:
                return item.scope or ("",)
        return ("",)  # the position was taken out of the files; its log stays readable for the whole node

    def _sees(self, actor: Actor, position: str) -> bool:
        return any(actor.sees(scope) for scope in self._scopes(position))

    def _place(self, actor: Actor, position: str) -> str:
        """Return a place of the position at which the actor may log, or raise as ``Actor.require`` does."""
        scopes = self._scopes(position)
        for scope in scopes:
            if actor.may(Permission.LOG_SHIFT, scope):
                return scope
        seen = next((scope for scope in scopes if actor.sees(scope)), scopes[0])
        actor.require(Permission.LOG_SHIFT, seen)
        raise PermissionDeniedError(f"{actor.user} may not log here", where=position)

    # --- reading ----------------------------------------------------------------------------------------------------

    async def list_shifts(self, request: ListShifts, actor: Actor) -> tuple[Shift, ...]:
        """Return shifts newest first, of the positions the actor sees."""

        def work(session: Session, _now: int) -> tuple[Shift, ...]:
            query = select(ShiftRow).order_by(ShiftRow.started.desc(), ShiftRow.id.desc())
            if request.position:
                query = query.where(ShiftRow.position == request.position)
            if request.current:
                query = query.where(ShiftRow.state != "closed")
            rows = [row for row in session.scalars(query.limit(MOST_ROWS)) if self._sees(actor, row.position)]
            return tuple(_shift(session, row) for row in rows[: request.limit])

        return await self._desk.run(work)

    async def list_entries(self, request: ListEntries, actor: Actor) -> tuple[Entry, ...]:
        """Return entries newest first, of the positions the actor sees."""

        def work(session: Session, _now: int) -> tuple[Entry, ...]:
            query = select(EntryRow).order_by(EntryRow.time.desc(), EntryRow.id.desc())
            if request.shift_id:
                query = query.where(EntryRow.shift_id == request.shift_id)
            if request.position:
                query = query.where(EntryRow.position == request.position)
            if request.open_items:
                query = query.where(EntryRow.open_item, EntryRow.closed == 0)
            if request.before:
                query = query.where(EntryRow.time < request.before)
            rows = [row for row in session.scalars(query.limit(MOST_ROWS)) if self._sees(actor, row.position)]
            return tuple(_entry(row) for row in rows[: request.limit])

        return await self._desk.run(work)

    # --- writing ----------------------------------------------------------------------------------------------------

    async def begin(self, request: BeginShift, actor: Actor) -> Shift:
        """Begin a shift at a position that has none.

        Raises:
            ConflictError: one is under way; it must be handed over.
        """
        place = self._place(actor, self._position(request.position).id)

        def work(session: Session, now: int) -> Shift:
            if (current := _current(session, request.position)) is not None:
                raise ConflictError(
                    f"{current.person} has the shift at {request.position}", where="position", fix="have it handed over"
                )
            row = _new_shift(session, request.position, actor.user, now, request.comment)
            shift = _shift(session, row)
            self._desk.tell(session, now, EventType.SHIFT, place or request.position, actor, "shift.begin", shift)
            return shift

        return await self._desk.run(work)

    async def add(self, request: AddEntry, actor: Actor) -> Entry:
        """Write an entry into the current shift.

        Raises:
            ConflictError: no shift is under way there.
        """
        place = self._place(actor, self._position(request.position).id)
        if not request.text.strip() or len(request.text) > LONGEST_TEXT:
            raise InvalidInputError("an entry needs a text", where="text", fix=f"1 to {LONGEST_TEXT} characters")
        if request.path:
            actor.require(Permission.VIEW, request.path)

        def work(session: Session, now: int) -> Entry:
            shift = _current(session, request.position)
            if shift is None:
                raise ConflictError(f"no shift is under way at {request.position}", where="position", fix="begin one")
            row = EntryRow(
                id=new_ulid(now),
                shift_id=shift.id,
                position=request.position,
                time=now,
                who=actor.user,
                text=request.text,
                path=request.path,
                open_item=request.open_item,
                closed=0,
                closed_by="",
                closing="",
                causes=list(request.causes[:64]),
            )
            session.add(row)
            entry = _entry(row)
            subject = request.path or place or request.position
            self._desk.tell(session, now, EventType.SHIFT, subject, actor, "shift.entry", entry)
            return entry

        return await self._desk.run(work)

    async def close(self, request: CloseItem, actor: Actor) -> Entry:
        """Close an open item, saying how.

        Raises:
            ConflictError: it is no open item.
        """

        def work(session: Session, now: int) -> Entry:
            row = session.get(EntryRow, request.id, with_for_update=True)
            if row is None or not self._sees(actor, row.position):
                raise NotFoundError("no such entry", where=request.id)
            place = self._place(actor, row.position)
            if not row.open_item or row.closed:
                raise ConflictError("it is no open item", where=request.id, fix="nothing is to be closed")
            if not request.closing.strip():
                raise InvalidInputError("closing needs a word on how", where="closing", fix="say how it was settled")
            row.closed, row.closed_by, row.closing = now, actor.user, request.closing
            entry = _entry(row)
            subject = row.path or place or row.position
            self._desk.tell(session, now, EventType.SHIFT, subject, actor, "shift.close-item", entry)
            return entry

        return await self._desk.run(work)

    async def act(self, request: Act, actor: Actor) -> Shift:
        """Offer, take back or accept a hand-over; accepting begins the next shift, which is returned."""

        def work(session: Session, now: int) -> Shift:
            row = session.get(ShiftRow, request.id, with_for_update=True)
            if row is None or not self._sees(actor, row.position):
                raise NotFoundError("no such shift", where=request.id)
            place = self._place(actor, row.position)
            arrow = fire(SHIFT, row.state, request.verb, actor, row.person, place, request.comment)
            before = {"state": row.state}
            row.state = arrow.after
            following = row
            if request.verb == "offer":
                row.offered, row.offered_by, row.comment = now, actor.user, request.comment
            elif request.verb == "take-back":
                row.offered, row.offered_by = 0, ""
            else:
                row.ended, row.accepted_by = now, actor.user
                session.flush()
                following = _new_shift(session, row.position, actor.user, now, "")
            subject = place or row.position
            told = _shift(session, row)
            action = f"shift.{request.verb}"
            self._desk.tell(session, now, EventType.SHIFT, subject, actor, action, told, before, request.comment)
            return _shift(session, following)

        return await self._desk.run(work)


def _current(session: Session, position: str) -> ShiftRow | None:
    query = select(ShiftRow).where(ShiftRow.position == position, ShiftRow.state != "closed")
    return session.scalars(query.with_for_update()).first()


def _new_shift(session: Session, position: str, person: str, now: int, comment: str) -> ShiftRow:
    row = ShiftRow(
        id=new_ulid(now),
        position=position,
        person=person,
        state=SHIFT.first,
        started=now,
        offered=0,
        offered_by="",
        ended=0,
        accepted_by="",
        comment=comment,
    )
    session.add(row)
    session.flush()
    return row


def _shift(session: Session, row: ShiftRow) -> Shift:
    query = select(func.count()).where(EntryRow.position == row.position, EntryRow.open_item, EntryRow.closed == 0)
    return Shift(
        id=row.id,
        position=row.position,
        person=row.person,
        state=row.state,
        started=row.started,
        offered=row.offered,
        offered_by=row.offered_by,
        ended=row.ended,
        accepted_by=row.accepted_by,
        comment=row.comment,
        open_items=session.scalar(query) or 0,
    )


def _entry(row: EntryRow) -> Entry:
    return Entry(
        id=row.id,
        shift_id=row.shift_id,
        position=row.position,
        time=row.time,
        who=row.who,
        text=row.text,
        path=row.path,
        open_item=row.open_item,
        closed=row.closed,
        closed_by=row.closed_by,
        closing=row.closing,
        causes=tuple(row.causes),
    )

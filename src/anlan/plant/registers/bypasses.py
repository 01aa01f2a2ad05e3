"""The bypass register: what is out of action on purpose, why, approved by whom, until when, and restored by whom."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from anlan.core.actor import SYSTEM, Actor, Permission
from anlan.core.errors import ConflictError, NotFoundError
from anlan.core.events import EventType
from anlan.core.ids import new_ulid
from anlan.plant.registers.desk import Desk, Serve, fire
from anlan.plant.registers.engine import check_bypass
from anlan.plant.registers.machine import BYPASS
from anlan.plant.registers.model import Act, Bypass, ListBypasses, RequestBypass
from anlan.plant.registers.tables import BypassRow

STANDING = ("requested", "active", "expired")
MOST_ROWS = 2000


class BypassRegister:
    """Serves ``registers.bypass*`` and ends what has run out."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def serve(self, serve: Serve) -> None:
        """Register the handlers."""
        await serve("registers.bypasses", ListBypasses, self.list)
        await serve("registers.bypass.request", RequestBypass, self.request)
        await serve("registers.bypass.act", Act, self.act)

    async def list(self, request: ListBypasses, actor: Actor) -> tuple[Bypass, ...]:
        """Return bypasses newest first, of the places the actor sees."""

        def work(session: Session, _now: int) -> tuple[Bypass, ...]:
            query = select(BypassRow).order_by(BypassRow.requested.desc(), BypassRow.id.desc())
            if request.standing:
                query = query.where(BypassRow.state.in_(STANDING))
            rows = [row for row in session.scalars(query.limit(MOST_ROWS)) if actor.sees(row.path)]
            if request.scope:
                scope = request.scope
                rows = [row for row in rows if row.path == scope or row.path.startswith(scope + "/")]
            return tuple(_bypass(row) for row in rows[: request.limit])

        return await self._desk.run(work)

    async def request(self, request: RequestBypass, actor: Actor) -> Bypass:
        """Ask for a bypass; a second person must approve it.

        Raises:
            ConflictError: the same thing is bypassed or asked for already.
        """
        actor.require(Permission.BYPASS, request.path)
        point = self._desk.point(request.path)
        safety = point.safety
        if request.alarm:
            found = [alarm for alarm in self._desk.plant.alarms if alarm.id == request.alarm]
            if not found or found[0].point != point.number:
                raise NotFoundError(f"no alarm {request.alarm} at this point", where="alarm")
            safety = safety or found[0].safety

        def work(session: Session, now: int) -> Bypass:
            check_bypass(request, now)
            same = select(BypassRow).where(
                BypassRow.path == request.path, BypassRow.alarm == request.alarm, BypassRow.state.in_(STANDING)
            )
            if (other := session.scalars(same).first()) is not None:
                raise ConflictError(f"it is {other.state} already", where=other.id, fix="restore that one first")
            row = BypassRow(
                id=new_ulid(now),
                path=request.path,
                alarm=request.alarm,
                safety=safety,
                state=BYPASS.first,
                reason=request.reason,
                measures=request.measures,
                requested_by=actor.user,
                requested=now,
                expires=request.expires,
                approved_by="",
                approved=0,
                ended_by="",
                ended=0,
                comment="",
            )
            session.add(row)
            bypass = _bypass(row)
            row.event = self._desk.tell(session, now, EventType.BYPASS, row.path, actor, "bypass.request", bypass)
            return bypass

        return await self._desk.run(work)

    async def act(self, request: Act, actor: Actor) -> Bypass:
        """Approve, reject, withdraw or restore a bypass."""

        def work(session: Session, now: int) -> Bypass:
            row = session.get(BypassRow, request.id, with_for_update=True)
            if row is None or not actor.sees(row.path):
                raise NotFoundError("no such bypass", where=request.id)
            arrow = fire(
                BYPASS, row.state, request.verb, actor, row.requested_by, row.path, request.comment, safety=row.safety
            )
            if request.verb == "approve" and row.expires <= now:
                raise ConflictError("it would have ended already", where="expires", fix="ask again with a later end")
            before = {"state": row.state}
            row.state = arrow.after
            row.comment = request.comment or row.comment
            if request.verb == "approve":
                row.approved_by, row.approved = actor.user, now
            else:
                row.ended_by, row.ended = actor.user, now
            bypass = _bypass(row)
            action = f"bypass.{request.verb}"
            row.event = self._desk.tell(
                session, now, EventType.BYPASS, row.path, actor, action, bypass, before, request.comment
            )
            return bypass

        return await self._desk.run(work)

    async def run_out(self) -> int:
        """Expire active bypasses and lapse requests whose end has come; return how many."""

        def work(session: Session, now: int) -> int:
            query = select(BypassRow).where(BypassRow.state.in_(("active", "requested")), BypassRow.expires <= now)
            rows = list(session.scalars(query.with_for_update()))
            for row in rows:
                verb = "expire" if row.state == "active" else "lapse"
                arrow = BYPASS.fire(row.state, verb, who=SYSTEM.user, asked_by=row.requested_by, system=True)
                before = {"state": row.state}
                row.state = arrow.after
                if verb == "lapse":
                    row.ended_by, row.ended = SYSTEM.user, now
                row.event = self._desk.tell(
                    session, now, EventType.BYPASS, row.path, SYSTEM, f"bypass.{verb}", _bypass(row), before
                )
            return len(rows)

        return await self._desk.run(work)


def _bypass(row: BypassRow) -> Bypass:
    return Bypass(**{name: getattr(row, name) for name in Bypass.__struct_fields__})

"""Work in progress 作业: what is being done where, by how many, from when to when, under which permit.

Entering, beginning, finishing, extending and cancelling take ``LOG_SHIFT`` at the place: the board that answers for it
knows what is done there. It is no permit: it grants nothing, and ``permit`` only names the paper or record that does.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from anlan.core.actor import SYSTEM, Actor, Permission
from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.core.events import EventType
from anlan.core.ids import new_ulid
from anlan.core.time import DAY
from anlan.plant.registers.desk import Desk, Serve, fire
from anlan.plant.registers.machine import WORK
from anlan.plant.registers.model import ActOnWork, ListWork, PlanWork, Work
from anlan.plant.registers.tables import WorkRow
from anlan.plant.registers.vocabulary import work_kinds

STANDING = ("planned", "active", "overdue")
LONGEST = 31 * DAY
MOST_PERSONS = 10_000
MOST_ROWS = 2000
LONGEST_TEXT = 2000


class WorkRegister:
    """Serves ``registers.work*`` and says when work runs over its time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def serve(self, serve: Serve) -> None:
        """Register the handlers."""
        await serve("registers.works", ListWork, self.list)
        await serve("registers.work.plan", PlanWork, self.plan)
        await serve("registers.work.act", ActOnWork, self.act)

    async def list(self, request: ListWork, actor: Actor) -> tuple[Work, ...]:
        """Return the work of the places the actor sees."""

        def work(session: Session, _now: int) -> tuple[Work, ...]:
            query = select(WorkRow)
            if request.standing:
                query = query.where(WorkRow.state.in_(STANDING)).order_by(WorkRow.start, WorkRow.id)
            else:
                query = query.order_by(WorkRow.start.desc(), WorkRow.id.desc())
            scope = request.scope
            rows = [
                row
                for row in session.scalars(query.limit(MOST_ROWS))
                if actor.sees(row.path) and (not scope or row.path == scope or row.path.startswith(scope + "/"))
            ]
            return tuple(_work(row) for row in rows[: max(1, min(request.limit, MOST_ROWS))])

        return await self._desk.run(work)

    async def plan(self, request: PlanWork, actor: Actor) -> Work:
        """Enter work, and begin it at once where so asked.

        Raises:
            NotFoundError: no such place.
            InvalidInputError: names the field.
        """
        actor.require(Permission.LOG_SHIFT, request.path)
        self._check_place(request.path)
        _check_words(request)

        def work(session: Session, now: int) -> Work:
            start = request.start or now
            _check_time(start, request.end, now)
            row = WorkRow(
                id=new_ulid(now),
                kind=request.kind,
                path=request.path,
                state=WORK.first,
                start=start,
                end=request.end,
                persons=_checked_persons(request.persons),
                who=actor.user,
                created=now,
                text=request.text.strip(),
                permit=request.permit.strip(),
                began=0,
                began_by="",
                finished=0,
                finished_by="",
                comment="",
                causes=list(request.causes[:64]),
                event="",
            )
            if request.begin:
                row.state = fire(WORK, row.state, "begin", actor, row.who, row.path, "").after
                row.began, row.began_by = now, actor.user
            session.add(row)
            action = "work.begin" if request.begin else "work.plan"
            done = _work(row)
            row.event = self._desk.tell(
                session, now, EventType.WORK, row.path, actor, action, done, causes=request.causes
            )
            return done

        return await self._desk.run(work)

    def _check_place(self, path: str) -> None:
        plant = self._desk.plant
        if not any(place.path == path for places in (plant.places, plant.units) for place in places):
            raise NotFoundError(f"no place {path!r}", where="path", fix="the path of an enterprise, area or unit")

    async def act(self, request: ActOnWork, actor: Actor) -> Work:
        """Begin, finish, extend or cancel work."""

        def work(session: Session, now: int) -> Work:
            row = session.get(WorkRow, request.id, with_for_update=True)
            if row is None or not actor.sees(row.path):
                raise NotFoundError("no such work", where=request.id)
            arrow = fire(WORK, row.state, request.verb, actor, row.who, row.path, request.comment)
            before = {"state": row.state, "end": row.end, "persons": row.persons}
            if request.verb == "extend":
                _check_time(row.start, request.end, now)
                row.end = request.end
            elif request.verb == "begin":
                _check_time(min(row.start, now), row.end, now)
                row.began, row.began_by = now, actor.user
            else:
                row.finished, row.finished_by = now, actor.user
            if request.persons >= 0:
                row.persons = _checked_persons(request.persons)
            row.state = arrow.after
            row.comment = request.comment or row.comment
            done = _work(row)
            action = f"work.{request.verb}"
            row.event = self._desk.tell(
                session, now, EventType.WORK, row.path, actor, action, done, before, request.comment, [row.event]
            )
            return done

        return await self._desk.run(work)

    async def run_over(self) -> int:
        """Say which active work is past its end, and lapse plans that never began; return how many."""

        def work(session: Session, now: int) -> int:
            query = select(WorkRow).where(WorkRow.state.in_(("planned", "active")), WorkRow.end <= now)
            rows = list(session.scalars(query.with_for_update()))
            for row in rows:
                verb = "run-over" if row.state == "active" else "lapse"
                before = {"state": row.state}
                row.state = WORK.fire(row.state, verb, who=SYSTEM.user, asked_by=row.who, system=True).after
                done = _work(row)
                row.event = self._desk.tell(
                    session, now, EventType.WORK, row.path, SYSTEM, f"work.{verb}", done, before, causes=[row.event]
                )
            return len(rows)

        return await self._desk.run(work)


def _check_words(request: PlanWork) -> None:
    if request.kind not in work_kinds():
        raise InvalidInputError(
            f"no kind of work {request.kind!r}", where="kind", fix=f"one of {', '.join(work_kinds())}"
        )
    if len(request.text) > LONGEST_TEXT:
        raise InvalidInputError("too long", where="text", fix=f"at most {LONGEST_TEXT} characters")
    if len(request.permit) > 80:
        raise InvalidInputError("too long", where="permit", fix="at most 80 characters")


def _check_time(start: int, end: int, now: int) -> None:
    if end <= start:
        raise InvalidInputError("work must end after it starts", where="end", fix="a later end")
    if end <= now:
        raise InvalidInputError("work must end in the future", where="end", fix="a later end")
    if end - start > LONGEST:
        raise InvalidInputError("work lasts at most 31 days here", where="end", fix="enter it in parts")


def _checked_persons(persons: int) -> int:
    if not 0 <= persons <= MOST_PERSONS:
        raise InvalidInputError(f"{persons} persons", where="persons", fix=f"0 to {MOST_PERSONS}")
    return persons


def _work(row: WorkRow) -> Work:
    values = {name: getattr(row, name) for name in Work.__struct_fields__ if name != "causes"}
    return Work(**values, causes=tuple(row.causes))

"""Head counts 在场人数 of areas: from points of kind people (gates, positioning), or counted by a person.

Counts only: no name is asked for or kept (personal data). A count by hand holds until its end or until the next one and
is kept for the site's ``policy.counts_kept``; what gates say is in the historian, kept by the point's own retention.
Counting takes ``RECORD_PRESENCE``. Where a gate and a person disagree, the larger number stands: exposure is never
understated.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from anlan.core.actor import Actor, Permission
from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.core.events import EventType
from anlan.core.ids import new_ulid
from anlan.core.time import DAY, MINUTE
from anlan.plant.model import Plant, Point
from anlan.plant.registers.desk import Desk, Serve
from anlan.plant.registers.last_values import PEOPLE, LastValues
from anlan.plant.registers.model import CountPeople, HeadCount, ListPresence, Presence, PresenceHistory
from anlan.plant.registers.tables import HeadCountRow, WorkRow

MOST_PEOPLE = 100_000
LONGEST_HOLD = 7 * DAY
LONGEST_TEXT = 2000
MOST_ROWS = 5000


class PresenceRegister:
    """Serves ``registers.presence*``."""

    def __init__(self, desk: Desk, values: LastValues) -> None:
        self._desk = desk
        self._values = values

    async def serve(self, serve: Serve) -> None:
        """Register the handlers."""
        await serve("registers.presence", ListPresence, self.list)
        await serve("registers.presence.count", CountPeople, self.count)
        await serve("registers.presence.history", PresenceHistory, self.history)

    async def list(self, request: ListPresence, actor: Actor) -> tuple[Presence, ...]:
        """Return how many people are in each area the actor sees."""
        plant, scope = self._desk.plant, request.scope
        paths = [
            path
            for path in areas(plant)
            if actor.sees(path) and (not scope or path == scope or path.startswith(scope + "/"))
        ]

        def work(session: Session, now: int) -> tuple[Presence, ...]:
            hand = _newest(session, paths)
            working = _working(session)
            gates = gates_by_area(plant)
            return tuple(
                presence_of(path, gates.get(path, ()), self._values, hand.get(path), working.get(path, 0), now)
                for path in paths
            )

        return await self._desk.run(work)

    async def count(self, request: CountPeople, actor: Actor) -> Presence:
        """Enter a count by hand.

        Raises:
            NotFoundError: no such area.
            InvalidInputError: names the field.
        """
        actor.require(Permission.RECORD_PRESENCE, request.path)
        plant = self._desk.plant
        if request.path not in areas(plant):
            raise NotFoundError(f"no area {request.path!r}", where="path", fix=f"one of {', '.join(areas(plant))}")
        if not 0 <= request.count <= MOST_PEOPLE:
            raise InvalidInputError(f"{request.count} people", where="count", fix=f"0 to {MOST_PEOPLE}")
        if not MINUTE <= request.holds <= LONGEST_HOLD:
            raise InvalidInputError("a count holds a minute to 7 days", where="holds", fix="8 h is a shift")
        if len(request.comment) > LONGEST_TEXT:
            raise InvalidInputError("too long", where="comment", fix=f"at most {LONGEST_TEXT} characters")

        def work(session: Session, now: int) -> Presence:
            row = HeadCountRow(
                id=new_ulid(now),
                path=request.path,
                count=request.count,
                time=now,
                until=now + request.holds,
                who=actor.user,
                comment=request.comment,
            )
            before = _newest(session, [request.path]).get(request.path)
            session.add(row)
            counted = _count(row)
            known = {"count": before.count} if before is not None else {}
            self._desk.tell(
                session, now, EventType.PRESENCE, row.path, actor, "presence.count", counted, known, request.comment
            )
            gates = gates_by_area(plant).get(row.path, ())
            return presence_of(row.path, gates, self._values, counted, _working(session).get(row.path, 0), now)

        return await self._desk.run(work)

    async def history(self, request: PresenceHistory, actor: Actor) -> tuple[HeadCount, ...]:
        """Return the counts by hand of an area, newest first."""
        actor.require(Permission.VIEW, request.path)

        def work(session: Session, _now: int) -> tuple[HeadCount, ...]:
            query = select(HeadCountRow).where(HeadCountRow.path == request.path, HeadCountRow.time >= request.start)
            query = query.order_by(HeadCountRow.time.desc(), HeadCountRow.id.desc())
            return tuple(_count(row) for row in session.scalars(query.limit(max(1, min(request.limit, MOST_ROWS)))))

        return await self._desk.run(work)

    async def forget(self) -> int:
        """Delete counts older than the site keeps them; return how many."""
        kept = self._desk.plant.policy.counts_kept

        def work(session: Session, now: int) -> int:
            old = select(func.count()).select_from(HeadCountRow).where(HeadCountRow.time < now - kept)
            count = session.scalar(old) or 0
            if count:
                session.execute(delete(HeadCountRow).where(HeadCountRow.time < now - kept))
            return count

        return await self._desk.run(work)


# --- pure rules -----------------------------------------------------------------------------------------------------


def areas(plant: Plant) -> tuple[str, ...]:
    """Return the paths of the plant's areas."""
    return tuple(place.path for place in plant.places if "/" in place.path)


def area_of(path: str) -> str:
    """Return the area that a path lies in, empty above areas."""
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) >= 2 else ""


def gates_by_area(plant: Plant) -> dict[str, tuple[Point, ...]]:
    """Return the points of kind people by area."""
    found: dict[str, list[Point]] = {}
    for point in plant.points:
        if point.kind == PEOPLE:
            found.setdefault(area_of(point.path), []).append(point)
    return {area: tuple(points) for area, points in found.items()}


def presence_of(
    path: str, gates: Iterable[Point], values: LastValues, hand: HeadCount | None, working: int, now: int
) -> Presence:
    """Return how many people are in an area, from its gates and the newest count by hand, at ``now`` (µs UTC)."""
    points = tuple(gates)
    last = [values.values.get(point.number) for point in points]
    good = [item for item in last if item is not None and not item.bad]
    whole = bool(points) and len(good) == len(points)
    live = float(sum(item.value for item in good)) if whole else None
    live_time = min((item.time for item in good), default=0)
    live_stale = not (whole and values.known)
    holding: list[tuple[float, str, int]] = []
    if live is not None and not live_stale:
        holding.append((live, "point", live_time))
    if hand is not None and now < hand.until:
        holding.append((float(hand.count), "hand", hand.time))
    known = [(live, "point", live_time)] if live is not None else []
    known += [(float(hand.count), "hand", hand.time)] if hand is not None else []
    if holding:
        count, source, time = max(holding)
    elif known:
        count, source, time = max(known, key=lambda item: item[2])
    else:
        count, source, time = None, "", 0
    return Presence(
        path=path,
        count=count,
        source=source,
        time=time,
        stale=not holding,
        live=live,
        live_time=live_time,
        live_stale=live_stale,
        points=tuple(point.path for point in points),
        hand=hand,
        working=working,
    )


def _newest(session: Session, paths: Iterable[str]) -> dict[str, HeadCount]:
    newest = select(HeadCountRow.path, func.max(HeadCountRow.id).label("id")).group_by(HeadCountRow.path).subquery()
    wanted = set(paths)
    query = select(HeadCountRow).join(newest, HeadCountRow.id == newest.c.id)
    return {row.path: _count(row) for row in session.scalars(query) if row.path in wanted}


def _working(session: Session) -> dict[str, int]:
    """Return the persons of work under way by area."""
    query = select(WorkRow.path, WorkRow.persons).where(WorkRow.state.in_(("active", "overdue")))
    found: dict[str, int] = {}
    for path, persons in session.execute(query):
        area = area_of(path)
        found[area] = found.get(area, 0) + persons
    return found


def _count(row: HeadCountRow) -> HeadCount:
    return HeadCount(row.id, row.path, row.count, row.time, row.until, row.who, row.comment)

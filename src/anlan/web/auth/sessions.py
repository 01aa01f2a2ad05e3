"""Sessions: an opaque random id in a cookie, its digest in SQL; ended by idleness, age, revoking or the account."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from anlan.core.actor import Actor
from anlan.core.errors import InvalidInputError
from anlan.core.time import DAY, MINUTE, duration_us
from anlan.settings import Settings
from anlan.web.auth.model import Identity, SessionInfo
from anlan.web.auth.secrets import digest, random_secret
from anlan.web.auth.users import grants_of
from anlan.web.tables import SessionRow, UserRow

_TOUCH = MINUTE


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session may be idle and how long it may last at all, µs."""

    idle: int
    absolute: int


def lifetime(settings: Settings) -> Lifetime:
    """Return the lifetimes of ``session_idle`` (default 8 h) and ``session_longest`` (default 24 h) of the settings.

    Raises:
        InvalidInputError: not durations, or shorter than a minute.
    """
    idle = duration_us(settings.extra.get("session_idle", "8 h"))
    absolute = duration_us(settings.extra.get("session_longest", "24 h"))
    if min(idle, absolute) < MINUTE:
        raise InvalidInputError("a session must last a minute", where="session_idle", fix="write it like '8 h'")
    return Lifetime(idle, absolute)


def start(
    session: Session, user_id: str, life: Lifetime, now: int, *, address: str, agent: str, method: str
) -> tuple[str, SessionRow]:
    """Begin a session and return what its cookie holds, with its row."""
    secret = random_secret()
    row = SessionRow(
        id=digest(secret),
        user_id=user_id,
        created=now,
        seen=now,
        expires=now + life.absolute,
        revoked=0,
        address=address[:64],
        agent=agent[:200],
        method=method,
    )
    session.add(row)
    return secret, row


def resolve(session: Session, cookie: str, life: Lifetime, now: int) -> Identity | None:
    """Return who a cookie belongs to, or None when it is no longer (or never was) good."""
    found = session.execute(
        select(SessionRow, UserRow)
        .join(UserRow, UserRow.id == SessionRow.user_id)
        .where(SessionRow.id == digest(cookie))
    ).one_or_none()
    if found is None:
        return None
    row, user = found
    if row.revoked or now >= row.expires or now - row.seen >= life.idle or not user.active:
        return None
    if now - row.seen > _TOUCH:
        session.execute(update(SessionRow).where(SessionRow.id == row.id).values(seen=now))
    return Identity(
        actor=Actor(user.login, user.name, grants_of(user)),
        user_id=user.id,
        session=row.id,
        must_change=user.must_change,
        until=min(row.expires, max(row.seen, now) + life.idle),
    )


def revoke(session: Session, identifier: str, now: int) -> None:
    """End one session."""
    session.execute(update(SessionRow).where(SessionRow.id == identifier, SessionRow.revoked == 0).values(revoked=now))


def revoke_all(session: Session, user_id: str, now: int, *, keep: str = "") -> None:
    """End every session of a person but ``keep``."""
    session.execute(
        update(SessionRow)
        .where(SessionRow.user_id == user_id, SessionRow.id != keep, SessionRow.revoked == 0)
        .values(revoked=now)
    )


def list_sessions(
    session: Session, life: Lifetime, now: int, *, user_id: str = ""
) -> list[tuple[SessionInfo, UserRow]]:
    """Return the sessions that are still good, newest first, of one person or of all."""
    query = (
        select(SessionRow, UserRow)
        .join(UserRow, UserRow.id == SessionRow.user_id)
        .where(SessionRow.revoked == 0, SessionRow.expires > now, SessionRow.seen > now - life.idle)
        .order_by(SessionRow.created.desc(), SessionRow.id)
    )
    if user_id:
        query = query.where(SessionRow.user_id == user_id)
    return [(info(row, user.login), user) for row, user in session.execute(query)]


def info(row: SessionRow, login: str) -> SessionInfo:
    """Return a session as people see it."""
    return SessionInfo(
        id=row.id[:16],
        login=login,
        created=row.created,
        seen=row.seen,
        expires=row.expires,
        address=row.address,
        agent=row.agent,
        method=row.method,
    )


def forget_old(session: Session, now: int) -> None:
    """Delete sessions that ended more than a month ago."""
    session.execute(delete(SessionRow).where(SessionRow.expires < now - 30 * DAY))

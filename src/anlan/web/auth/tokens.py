"""API tokens ``anl_ID_SECRET``: the secret is told once and kept as a digest; a token never outgrows its owner."""

from __future__ import annotations

import secrets as random

import msgspec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from anlan.core.actor import ALLOWED, Actor, Grant
from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.core.time import DAY, MINUTE
from anlan.web.audit import Auditor
from anlan.web.auth.model import Identity, NewToken, TokenInfo, TokenMade
from anlan.web.auth.secrets import digest, random_secret, same
from anlan.web.auth.users import check_grants, grants_of
from anlan.web.tables import TokenRow, UserRow

PREFIX = "anl_"


def within(grant: Grant, held: tuple[Grant, ...]) -> bool:
    """Return whether everything ``grant`` allows is also allowed by the grants ``held``."""
    owner = Actor("", grants=held)
    return all(owner.may(permission, grant.scope) for permission in ALLOWED[grant.role])


def create(session: Session, auditor: Auditor, owner: UserRow, new: NewToken, now: int) -> TokenMade:
    """Make a token for ``owner``.

    Raises:
        InvalidInputError: a grant allows more than the owner may do.
    """
    check_grants(new.grants)
    held = grants_of(owner)
    for grant in new.grants:
        if not within(grant, held):
            raise InvalidInputError(
                f"{owner.login} may not do all that {grant.role.value} at {grant.scope or 'the whole node'} may",
                where="grants",
                fix="ask for roles and places the owner holds",
            )
    secret = random_secret()
    row = TokenRow(
        id=random.token_hex(6),
        secret_hash=digest(secret),
        user_id=owner.id,
        name=new.name,
        grants=msgspec.to_builtins(new.grants),
        created=now,
        expires=now + new.days * DAY,
        used=0,
        revoked=0,
    )
    session.add(row)
    told = info(row, owner.login)
    auditor.note(
        session,
        "token.create",
        f"tokens/{row.id}",
        after={"name": row.name, "owner": owner.login, "grants": row.grants, "expires": row.expires},
    )
    return TokenMade(told, f"{PREFIX}{row.id}_{secret}")


def resolve(session: Session, token: str, now: int) -> Identity | None:
    """Return who a token speaks for, or None when it is no longer (or never was) good."""
    identifier, _, secret = token.removeprefix(PREFIX).partition("_")
    if not token.startswith(PREFIX) or not secret or len(identifier) > 16:
        return None
    found = session.execute(
        select(TokenRow, UserRow).join(UserRow, UserRow.id == TokenRow.user_id).where(TokenRow.id == identifier)
    ).one_or_none()
    if found is None:
        return None
    row, user = found
    if not same(row.secret_hash, digest(secret)) or row.revoked or now >= row.expires or not user.active:
        return None
    if now - row.used > MINUTE:
        session.execute(update(TokenRow).where(TokenRow.id == row.id).values(used=now))
    held = grants_of(user)
    grants = tuple(grant for grant in _grants(row) if within(grant, held))
    return Identity(Actor(user.login, user.name, grants), user.id, token=row.id, until=row.expires)


def _grants(row: TokenRow) -> tuple[Grant, ...]:
    return msgspec.convert(row.grants, type=tuple[Grant, ...])


def info(row: TokenRow, login: str) -> TokenInfo:
    """Return a token as people see it."""
    return TokenInfo(
        id=row.id,
        name=row.name,
        login=login,
        grants=_grants(row),
        created=row.created,
        expires=row.expires,
        used=row.used,
        revoked=row.revoked,
    )


def list_tokens(session: Session, *, user_id: str = "") -> list[tuple[TokenInfo, UserRow]]:
    """Return the tokens of one person or of all, newest first."""
    query = (
        select(TokenRow, UserRow)
        .join(UserRow, UserRow.id == TokenRow.user_id)
        .order_by(TokenRow.created.desc(), TokenRow.id)
    )
    if user_id:
        query = query.where(TokenRow.user_id == user_id)
    return [(info(row, user.login), user) for row, user in session.execute(query)]


def revoke(session: Session, auditor: Auditor, identifier: str, now: int, *, user_id: str = "") -> None:
    """End a token; with ``user_id`` only if it is that person's.

    Raises:
        NotFoundError: there is no such token.
    """
    row = session.get(TokenRow, identifier)
    if row is None or (user_id and row.user_id != user_id):
        raise NotFoundError(f"there is no token {identifier!r}", where=identifier)
    if not row.revoked:
        row.revoked = now
        auditor.note(session, "token.revoke", f"tokens/{row.id}", before={"name": row.name})

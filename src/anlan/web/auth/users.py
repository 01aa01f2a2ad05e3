"""People: who there is, what they may do where; every change is audited in its own transaction."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from anlan.core.actor import SYSTEM, Actor, Grant, Permission, Role
from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError
from anlan.core.ids import new_ulid
from anlan.core.time import now_us
from anlan.store.records.base import Records
from anlan.web.audit import Auditor
from anlan.web.auth import passwords
from anlan.web.auth.model import NewUser, User, UserChange, UserMade
from anlan.web.errors import ChangedMeanwhileError
from anlan.web.tables import GrantRow, RecoveryRow, UserRow

_LOGIN = re.compile(r"[^\s/\\\x00-\x1f\x7f]{1,80}")
_SCOPE = re.compile(r"(?:[^\s/\x00-\x1f\x7f]+(?:/[^\s/\x00-\x1f\x7f]+)*)?")


def normal_login(login: str) -> str:
    """Return a login in the one form it is kept and compared in.

    Raises:
        InvalidInputError: empty, too long, or with blanks or slashes.
    """
    normal = unicodedata.normalize("NFKC", login).casefold()
    if not _LOGIN.fullmatch(normal):
        raise InvalidInputError(
            f"{login!r} is no login", where="login", fix="1 to 80 characters without blanks or slashes, like wang.min"
        )
    return normal


def check_grants(grants: tuple[Grant, ...]) -> None:
    """Raise unless every grant's place is a path of the hierarchy, such as ``haian/tank-farm-a``, or empty.

    Raises:
        InvalidInputError: naming the grant.
    """
    for grant in grants:
        if len(grant.scope) > 400 or not _SCOPE.fullmatch(grant.scope):
            raise InvalidInputError(
                f"{grant.scope[:80]!r} is no place of the hierarchy",
                where="grants",
                fix="a path like haian/tank-farm-a, or empty for the whole node",
            )


def grants_of(row: UserRow) -> tuple[Grant, ...]:
    """Return the grants a person holds."""
    return tuple(Grant(Role(item.role), item.scope) for item in row.grants)


def view(row: UserRow) -> User:
    """Return a person as administrators see them."""
    return User(
        id=row.id,
        login=row.login,
        name=row.name,
        active=row.active,
        must_change=row.must_change,
        second_factor=row.totp_on,
        external=row.external is not None,
        created=row.created,
        last_sign_in=row.last_sign_in,
        version=row.version,
        grants=grants_of(row),
    )


def _for_audit(row: UserRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "active": row.active,
        "second_factor": row.totp_on,
        "grants": [
            f"{item.role}@{item.scope}" for item in sorted(row.grants, key=lambda item: (item.role, item.scope))
        ],
    }


def _sees(actor: Actor, row: UserRow) -> bool:
    places = [grant.scope for grant in grants_of(row)] or [""]
    return any(actor.may(Permission.ADMINISTER, place) for place in places)


def may_administer(actor: Actor, row: UserRow) -> bool:
    """Return whether an administrator's places hold all of this person's."""
    places = [grant.scope for grant in grants_of(row)] or [""]
    return all(actor.may(Permission.ADMINISTER, place) for place in places)


def _require_over(actor: Actor, grants: tuple[Grant, ...]) -> None:
    for place in {grant.scope for grant in grants} or {""}:
        actor.require(Permission.ADMINISTER, place)


def find(session: Session, login: str) -> UserRow:
    """Return the person with this login.

    Raises:
        NotFoundError: there is nobody of that login.
    """
    row = session.scalar(select(UserRow).where(UserRow.login == normal_login(login)))
    if row is None:
        raise NotFoundError(f"there is no user {login!r}", where=login)
    return row


def visible(session: Session, actor: Actor, login: str) -> UserRow:
    """Return the person if this administrator's places hold one of theirs.

    Raises:
        NotFoundError: nobody of that login, or outside the administrator's places.
    """
    row = find(session, login)
    if not _sees(actor, row):
        raise NotFoundError(f"there is no user {login!r}", where=login)
    return row


def list_users(session: Session, actor: Actor, after: str, limit: int) -> list[User]:
    """Return the people this administrator sees, by login, beginning after ``after``."""
    query = select(UserRow).where(UserRow.login > after).order_by(UserRow.login)
    found: list[User] = []
    for row in session.scalars(query.execution_options(yield_per=200)):
        if _sees(actor, row):
            found.append(view(row))
        if len(found) == limit:
            break
    return found


def add(session: Session, actor: Actor, auditor: Auditor, new: NewUser) -> UserMade:
    """Add a person; without a password a one-time one is made.

    Raises:
        ConflictError: the login is taken.
        InvalidInputError: login, password or a grant break their rules.
    """
    login = normal_login(new.login)
    check_grants(new.grants)
    _require_over(actor, new.grants)
    if new.password:
        passwords.check_rules(new.password, login)
    password = new.password or passwords.random_password()
    now = now_us()
    row = UserRow(
        id=new_ulid(now),
        login=login,
        name=new.name or new.login,
        password_hash=passwords.hash_password(password),
        password_changed=now,
        must_change=True,
        created=now,
        grants=[GrantRow(role=role, scope=scope) for role, scope in sorted({(g.role, g.scope) for g in new.grants})],
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise ConflictError(f"there is already a user {login!r}", where="login", fix="choose another login") from error
    auditor.note(session, "user.add", f"users/{login}", after=_for_audit(row))
    return UserMade(view(row), "" if new.password else password)


def change(
    session: Session, actor: Actor, auditor: Auditor, login: str, wanted: UserChange, version: int | None
) -> User:
    """Change a person; ``version`` is the one the change was made from (None: whatever is there).

    Raises:
        ChangedMeanwhileError: somebody else changed the person since.
        ConflictError: nobody would be left who may administer the whole node.
    """
    row = visible(session, actor, login)
    _require_over(actor, grants_of(row))
    if version is not None and row.version != version:
        raise ChangedMeanwhileError(f"{row.login} was changed by somebody else", where=login, fix="read it again")
    before = _for_audit(row)
    if wanted.grants is not None:
        check_grants(wanted.grants)
        _require_over(actor, wanted.grants)
        _set_grants(row, wanted.grants)
    if wanted.name is not None:
        row.name = wanted.name
    if wanted.active is not None:
        row.active = wanted.active
    if wanted.reset_second_factor:
        forget_second_factor(session, row)
    after = _for_audit(row)
    if after != before:
        row.version += 1
    session.flush()
    _require_an_administrator(session)
    auditor.note(session, "user.change", f"users/{row.login}", before=before, after=after, comment=wanted.comment)
    return view(row)


def _set_grants(row: UserRow, grants: tuple[Grant, ...]) -> None:
    wanted = {(grant.role.value, grant.scope) for grant in grants}
    row.grants = [item for item in row.grants if (item.role, item.scope) in wanted]
    held = {(item.role, item.scope) for item in row.grants}
    row.grants += [GrantRow(role=role, scope=scope) for role, scope in sorted(wanted - held)]


def _require_an_administrator(session: Session) -> None:
    query = (
        select(func.count())
        .select_from(UserRow)
        .join(GrantRow, GrantRow.user_id == UserRow.id)
        .where(UserRow.active.is_(True), GrantRow.role == Role.ADMINISTRATOR.value, GrantRow.scope == "")
    )
    if not session.scalar(query):
        raise ConflictError(
            "nobody would be left who may administer the whole node",
            where="grants",
            fix="give another active person the role administrator first",
        )


def reset_password(session: Session, actor: Actor, auditor: Auditor, login: str) -> UserMade:
    """Give a person a new one-time password; the caller ends their sessions."""
    row = visible(session, actor, login)
    _require_over(actor, grants_of(row))
    password = passwords.random_password()
    row.password_hash = passwords.hash_password(password)
    row.password_changed = now_us()
    row.must_change = True
    row.version += 1
    auditor.note(session, "user.reset-password", f"users/{row.login}")
    session.flush()
    return UserMade(view(row), password)


def change_own_password(session: Session, auditor: Auditor, user_id: str, current: str, new: str) -> None:
    """Change one's own password.

    Raises:
        InvalidInputError: the current one is wrong, the new one the same, or it breaks the rules.
    """
    row = session.get_one(UserRow, user_id)
    if not passwords.verify(row.password_hash, current):
        raise InvalidInputError("the current password is wrong", where="current", fix="type it again")
    if current == new:
        raise InvalidInputError("the new password is the current one", where="new", fix="choose another")
    passwords.check_rules(new, row.login)
    row.password_hash = passwords.hash_password(new)
    row.password_changed = now_us()
    row.must_change = False
    row.version += 1
    auditor.note(session, "user.change-password", f"users/{row.login}")


def forget_second_factor(session: Session, row: UserRow) -> None:
    """Remove a person's one-time-code seed and recovery codes."""
    row.totp_seed, row.totp_on = None, False
    for code in session.scalars(select(RecoveryRow).where(RecoveryRow.user_id == row.id)):
        session.delete(code)


def bootstrap(records: Records, node: str = "local") -> str | None:
    """Make the administrator ``admin`` on a node without people and return their one-time password, else None.

    The password is told nowhere else; at first sign-in it must be changed.
    """
    new = NewUser(login="admin", name="管理员", grants=(Grant(Role.ADMINISTRATOR),))
    try:
        with records.session() as session:
            if session.scalar(select(func.count()).select_from(UserRow)):
                return None
            return add(session, SYSTEM, Auditor(node, SYSTEM.user, "first start"), new).password
    except ConflictError:
        # Another process of this node made it at the same moment and tells its password.
        return None

"""Sign-in with a password and, where set up, a one-time code."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from anlan.core.actor import Actor
from anlan.core.errors import AnlanError, InvalidInputError
from anlan.core.time import SECOND
from anlan.web.auth import lockout, passwords, second_factor, sessions
from anlan.web.auth.accounts import Accounts
from anlan.web.auth.model import SignIn
from anlan.web.auth.users import normal_login
from anlan.web.errors import SecondFactorRequiredError, SignInRefusedError
from anlan.web.tables import UserRow


def sign_in(accounts: Accounts, wanted: SignIn, *, address: str, agent: str) -> str:
    """Check a sign-in and return what the session's cookie holds.

    Raises:
        SignInRefusedError: account, password or code are wrong.
        SecondFactorRequiredError: the password is right; ask again with a code.
        TooManyRequestsError: this account and address must wait.
    """
    now = accounts.clock()
    try:
        login = normal_login(wanted.login)
    except InvalidInputError:
        login = ""

    def stored(session: Session) -> str:
        lockout.require_unlocked(session, login, address, now)
        return session.scalar(select(UserRow.password_hash).where(UserRow.login == login)) or ""

    # Hashing takes tens of milliseconds: no transaction is held open meanwhile.
    right = passwords.verify(accounts.read(stored), wanted.password)
    outcome = accounts.change(lambda session: _decide(accounts, session, login, wanted, right, address, agent))
    if isinstance(outcome, AnlanError):
        raise outcome
    return outcome


def _decide(
    accounts: Accounts, session: Session, login: str, wanted: SignIn, right: bool, address: str, agent: str
) -> str | AnlanError:
    """Return the new session's cookie, or the error to raise after the transaction is committed."""
    now = accounts.clock()
    lockout.require_unlocked(session, login, address, now)
    row = session.scalar(select(UserRow).where(UserRow.login == login))
    if row is None or not right or not row.active:
        return _refuse(accounts, session, login, address)
    if row.totp_on:
        if not wanted.code:
            return SecondFactorRequiredError("a one-time code is needed too", where="code", fix="send it with the rest")
        if not second_factor.check(session, accounts.vault, row, wanted.code, now):
            return _refuse(accounts, session, login, address)
    lockout.note_success(session, login, address)
    if passwords.outdated(row.password_hash):
        row.password_hash = passwords.hash_password(wanted.password)
    return open_session(accounts, session, row, address=address, agent=agent, method="password")


def open_session(accounts: Accounts, session: Session, row: UserRow, *, address: str, agent: str, method: str) -> str:
    """Begin a session for a person who has proved to be who they say, and return what its cookie holds."""
    now = accounts.clock()
    cookie, _ = sessions.start(session, row.id, accounts.life, now, address=address, agent=agent, method=method)
    session.execute(
        update(UserRow)
        .where(UserRow.id == row.id)
        .values(last_sign_in=now)
        .execution_options(synchronize_session=False)
    )
    sessions.forget_old(session, now)
    accounts.auditor(Actor(row.login), address).note(
        session, "session.sign-in", f"users/{row.login}", after={"method": method}
    )
    return cookie


def _refuse(accounts: Accounts, session: Session, login: str, address: str) -> AnlanError:
    wait = lockout.note_failure(session, login, address, accounts.clock())
    who = login or "?"
    accounts.auditor(Actor(who), address).note(
        session, "session.refused", f"users/{who}", after={"locked_for_s": wait // SECOND}
    )
    return SignInRefusedError(
        "account, password or code are wrong", fix="try again; after some failures the wait grows each time"
    )

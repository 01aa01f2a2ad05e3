"""Signing in and out, one's own password, second factor and sessions."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from anlan.core.actor import Actor, Permission
from anlan.core.errors import InvalidInputError, NotFoundError, PermissionDeniedError
from anlan.web.auth import second_factor, sessions, users
from anlan.web.auth.accounts import Accounts
from anlan.web.auth.model import (
    Code,
    Enrolment,
    Identity,
    Me,
    PasswordChange,
    RecoveryCodes,
    SessionInfo,
    SignIn,
)
from anlan.web.auth.sign_in import sign_in
from anlan.web.contract import body, documented, reply
from anlan.web.errors import TooManyRequestsError
from anlan.web.security import SESSION_COOKIE, Address, Context, CurrentIdentity, set_session_cookie
from anlan.web.tables import SessionRow, UserRow

router = APIRouter(tags=["sign-in"])

_BURST = 30
_REFILL_PER_S = 0.5
_MOST_ADDRESSES = 4096
_hashing = asyncio.Semaphore(2)
"""Each hash takes 64 MiB and a core for tens of milliseconds."""


class _Bucket:
    """Sign-in attempts an address has left: ``_BURST`` at once, then one every two seconds."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def clear(self) -> None:
        """Forget all attempts."""
        self._left.clear()

    def take(self, address: str) -> None:
        """Count an attempt.

        Raises:
            TooManyRequestsError: the address has none left.
        """
        now = time.monotonic()
        left, since = self._left.get(address, (float(_BURST), now))
        left = min(_BURST, left + (now - since) * _REFILL_PER_S)
        if left < 1:
            raise TooManyRequestsError("too many sign-ins from this address", retry_after=2)
        if len(self._left) >= _MOST_ADDRESSES:
            self._left.clear()
        self._left[address] = (left - 1, now)


class SignInOptions(msgspec.Struct, frozen=True):
    """How one may sign in here."""

    password: bool
    oidc: bool
    oidc_name: str
    language: str


def me_of(accounts: Accounts, identity: Identity) -> Me:
    """Return what people are told of themselves."""

    def second(session: Session) -> bool:
        return bool(session.scalar(select(UserRow.totp_on).where(UserRow.id == identity.user_id)))

    actor = identity.actor
    places = sorted({grant.scope for grant in actor.grants})
    return Me(
        login=actor.user,
        name=actor.name,
        grants=actor.grants,
        permissions={place: tuple(item.value for item in Permission if actor.may(item, place)) for place in places},
        must_change=identity.must_change,
        second_factor=accounts.read(second),
        until=identity.until,
    )


def _by_session(identity: Identity) -> Identity:
    if not identity.session:
        raise PermissionDeniedError("this takes a signed-in session, not a token", fix="sign in with a browser")
    return identity


@router.get("/session/options", **documented(answer=SignInOptions, public=True))
async def sign_in_options(context: Context) -> Response:
    """How one may sign in here."""
    extra = context.settings.extra
    options = SignInOptions(
        password=True,
        oidc=bool(extra.get("oidc_issuer")),
        oidc_name=extra.get("oidc_name", extra.get("oidc_issuer", "")),
        language=context.settings.language,
    )
    return reply(options)


@router.post("/session", **documented(SignIn, Me, status=201, public=True))
async def begin_session(
    request: Request, context: Context, address: Address, wanted: Annotated[SignIn, body(SignIn)]
) -> Response:
    """Sign in. The answer sets the session cookie; with ``must_change`` a new password comes first."""
    bucket: _Bucket | None = getattr(request.app.state, "sign_in_bucket", None)
    if bucket is None:
        bucket = request.app.state.sign_in_bucket = _Bucket()
    bucket.take(address)
    accounts = context.accounts
    agent = request.headers.get("user-agent", "")
    async with _hashing:
        cookie = await asyncio.to_thread(sign_in, accounts, wanted, address=address, agent=agent)
    identity = await asyncio.to_thread(accounts.identity, cookie=cookie)
    assert identity is not None
    response = reply(await asyncio.to_thread(me_of, accounts, identity), 201)
    set_session_cookie(response, cookie, accounts)
    return response


@router.get("/session", **documented(answer=Me))
@router.get("/me", **documented(answer=Me), name="read_me")
async def read_session(context: Context, identity: CurrentIdentity) -> Response:
    """Who is signed in and what they may do where."""
    return reply(await asyncio.to_thread(me_of, context.accounts, identity))


@router.delete("/session", **documented(status=204))
async def end_session(context: Context, identity: CurrentIdentity, address: Address) -> Response:
    """Sign out."""
    _by_session(identity)
    accounts = context.accounts

    def end(session: Session) -> None:
        sessions.revoke(session, identity.session, accounts.clock())
        login = identity.actor.user
        accounts.auditor(identity.actor, address).note(session, "session.sign-out", f"users/{login}")

    await asyncio.to_thread(accounts.change, end)
    response = Response(status_code=204)
    response.delete_cookie(SESSION_COOKIE, path="/")
    return response


@router.post("/session/password", **documented(PasswordChange, status=204))
async def change_password(
    context: Context,
    identity: CurrentIdentity,
    address: Address,
    wanted: Annotated[PasswordChange, body(PasswordChange)],
) -> Response:
    """Change one's own password; every other session of this person ends."""
    _by_session(identity)
    accounts = context.accounts

    def change(session: Session) -> None:
        auditor = accounts.auditor(identity.actor, address)
        users.change_own_password(session, auditor, identity.user_id, wanted.current, wanted.new)
        sessions.revoke_all(session, identity.user_id, accounts.clock(), keep=identity.session)

    async with _hashing:
        await asyncio.to_thread(accounts.change, change)
    return Response(status_code=204)


@router.post("/me/second-factor", **documented(answer=Enrolment, status=201))
async def begin_second_factor(context: Context, identity: CurrentIdentity) -> Response:
    """Make a seed for one-time codes; it counts once a code of it was confirmed."""
    _by_session(identity)
    accounts = context.accounts

    def begin(session: Session) -> Enrolment:
        return second_factor.begin(session, accounts.vault, identity.user_id, f"Anlan {accounts.settings.node}")

    return reply(await asyncio.to_thread(accounts.change, begin), 201)


@router.post("/me/second-factor/confirm", **documented(Code, RecoveryCodes))
async def confirm_second_factor(
    context: Context, identity: CurrentIdentity, address: Address, wanted: Annotated[Code, body(Code)]
) -> Response:
    """Switch one-time codes on; the recovery codes are told once."""
    _by_session(identity)
    accounts = context.accounts

    def confirm(session: Session) -> RecoveryCodes:
        auditor = accounts.auditor(identity.actor, address)
        codes = second_factor.confirm(session, accounts.vault, auditor, identity.user_id, wanted.code, accounts.clock())
        return RecoveryCodes(codes)

    return reply(await asyncio.to_thread(accounts.change, confirm))


@router.post("/me/second-factor/remove", **documented(Code, status=204))
async def remove_second_factor(
    context: Context, identity: CurrentIdentity, address: Address, wanted: Annotated[Code, body(Code)]
) -> Response:
    """Switch one-time codes off; takes a code."""
    _by_session(identity)
    accounts = context.accounts

    def remove(session: Session) -> bool:
        row = session.get_one(UserRow, identity.user_id)
        if not second_factor.check(session, accounts.vault, row, wanted.code, accounts.clock()):
            return False
        users.forget_second_factor(session, row)
        row.version += 1
        accounts.auditor(identity.actor, address).note(session, "user.second-factor-off", f"users/{row.login}")
        return True

    if not await asyncio.to_thread(accounts.change, remove):
        raise InvalidInputError("the code is wrong", where="code", fix="a code of the authenticator or a recovery code")
    return Response(status_code=204)


@router.get("/me/sessions", **documented(answer=tuple[SessionInfo, ...]))
async def list_own_sessions(context: Context, identity: CurrentIdentity) -> Response:
    """Where this person is signed in."""
    accounts = context.accounts

    def find(session: Session) -> list[SessionInfo]:
        found = sessions.list_sessions(session, accounts.life, accounts.clock(), user_id=identity.user_id)
        own = identity.session[:16]
        return [msgspec.structs.replace(item, current=item.id == own) for item, _ in found]

    return reply(await asyncio.to_thread(accounts.read, find))


@router.delete("/me/sessions/{session_id}", **documented(status=204))
async def end_own_session(context: Context, identity: CurrentIdentity, address: Address, session_id: str) -> Response:
    """Sign out one of this person's browsers."""
    await asyncio.to_thread(end_by_id, context.accounts, identity.actor, address, session_id, identity.user_id)
    return Response(status_code=204)


def end_by_id(accounts: Accounts, actor: Actor, address: str, session_id: str, user_id: str = "") -> None:
    """End the session whose shown id is ``session_id``; of this person, or one whom the actor may administer.

    Raises:
        NotFoundError: there is no such session, or it is not the actor's to end.
    """

    def end(session: Session) -> None:
        found = sessions.list_sessions(session, accounts.life, accounts.clock(), user_id=user_id)
        match = [(item, user) for item, user in found if item.id == session_id]
        if not match or not (user_id or users.may_administer(actor, match[0][1])):
            raise NotFoundError(f"there is no session {session_id!r}", where=session_id)
        login = match[0][1].login
        row = session.scalars(select(SessionRow).where(SessionRow.id.startswith(session_id, autoescape=True))).one()
        sessions.revoke(session, row.id, accounts.clock())
        accounts.auditor(actor, address).note(session, "session.revoke", f"users/{login}")

    accounts.change(end)

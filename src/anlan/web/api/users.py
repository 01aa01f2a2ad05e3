"""People and what they may do, for administrators; their sessions; roles."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from anlan.core.actor import ALLOWED, Actor, Permission, Role
from anlan.web.api.session import end_by_id
from anlan.web.auth import sessions, users
from anlan.web.auth.model import NewUser, SessionInfo, User, UserChange, UserMade
from anlan.web.contract import body, decode_cursor, documented, encode_cursor, etag, reply, wanted_version
from anlan.web.security import Address, Context, CurrentActor, CurrentIdentity, require_permission

router = APIRouter(tags=["people"])


class RoleInfo(msgspec.Struct, frozen=True):
    """A role and what it allows."""

    role: Role
    permissions: tuple[Permission, ...]


class UserPage(msgspec.Struct, frozen=True):
    """A page of people and the cursor of the next, empty at the end."""

    items: tuple[User, ...]
    next: str = ""


Administrator = Annotated[Actor, Depends(require_permission(Permission.ADMINISTER))]


@router.get("/roles", **documented(answer=tuple[RoleInfo, ...]))
async def list_roles(_actor: CurrentActor) -> Response:
    """The roles there are and what each allows."""
    return reply([RoleInfo(role, tuple(sorted(ALLOWED[role]))) for role in Role])


@router.get("/users", **documented(answer=UserPage))
async def list_users(
    actor: Administrator,
    context: Context,
    cursor: Annotated[str, Query(max_length=400)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """The people one administers, by login."""
    after = decode_cursor(cursor, str) if cursor else ""
    find = lambda session: users.list_users(session, actor, after, limit + 1)  # noqa: E731  # handed to a thread
    found = await asyncio.to_thread(context.accounts.read, find)
    page = tuple(found[:limit])
    return reply(UserPage(page, encode_cursor(page[-1].login) if len(found) > limit else ""))


@router.post("/users", **documented(NewUser, UserMade, status=201, etag=True))
async def add_user(
    actor: Administrator, context: Context, address: Address, wanted: Annotated[NewUser, body(NewUser)]
) -> Response:
    """Add a person. Without a password a one-time one is made and told once."""
    accounts = context.accounts

    def add(session: Session) -> UserMade:
        return users.add(session, actor, accounts.auditor(actor, address), wanted)

    made = await asyncio.to_thread(accounts.change, add)
    return reply(made, 201, {"ETag": etag(made.user.version)})


@router.get("/users/{login}", **documented(answer=User, etag=True))
async def read_user(actor: Administrator, context: Context, login: str) -> Response:
    """One person."""
    find = lambda session: users.view(users.visible(session, actor, login))  # noqa: E731  # handed to a thread
    user = await asyncio.to_thread(context.accounts.read, find)
    return reply(user, headers={"ETag": etag(user.version)})


@router.patch("/users/{login}", **documented(UserChange, User, etag=True))
async def change_user(
    actor: Administrator,
    request: Request,
    context: Context,
    address: Address,
    login: str,
    wanted: Annotated[UserChange, body(UserChange)],
) -> Response:
    """Change a person's name, roles or whether they may sign in. Takes ``If-Match``."""
    version = wanted_version(request)
    accounts = context.accounts

    def change(session: Session) -> User:
        auditor = accounts.auditor(actor, address)
        changed = users.change(session, actor, auditor, login, wanted, None if version < 0 else version)
        if not changed.active:
            sessions.revoke_all(session, changed.id, accounts.clock())
        return changed

    user = await asyncio.to_thread(accounts.change, change)
    return reply(user, headers={"ETag": etag(user.version)})


@router.post("/users/{login}/password", **documented(answer=UserMade))
async def reset_password(actor: Administrator, context: Context, address: Address, login: str) -> Response:
    """Give a person a new one-time password, told once; their sessions end."""
    accounts = context.accounts

    def reset(session: Session) -> UserMade:
        made = users.reset_password(session, actor, accounts.auditor(actor, address), login)
        sessions.revoke_all(session, made.user.id, accounts.clock())
        return made

    return reply(await asyncio.to_thread(accounts.change, reset))


@router.get("/sessions", **documented(answer=tuple[SessionInfo, ...]))
async def list_sessions(actor: Administrator, identity: CurrentIdentity, context: Context) -> Response:
    """Where the people one administers are signed in."""
    accounts = context.accounts

    def find(session: Session) -> list[SessionInfo]:
        found = sessions.list_sessions(session, accounts.life, accounts.clock())
        own = identity.session[:16]
        mine = [item for item, user in found if users.may_administer(actor, user)]
        return [msgspec.structs.replace(item, current=item.id == own) for item in mine]

    return reply(await asyncio.to_thread(accounts.read, find))


@router.delete("/sessions/{session_id}", **documented(status=204))
async def end_session_of(actor: Administrator, context: Context, address: Address, session_id: str) -> Response:
    """Sign somebody out."""
    await asyncio.to_thread(end_by_id, context.accounts, actor, address, session_id)
    return Response(status_code=204)

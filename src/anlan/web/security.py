"""Who is asking: what routes, sockets and event handlers use. The gate in ``middleware`` puts the identity in place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from starlette.responses import Response

from anlan.core.actor import Actor, Permission, Role
from anlan.core.errors import PermissionDeniedError
from anlan.web.auth.model import Identity
from anlan.web.context import WebContext
from anlan.web.errors import SignInRequiredError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from anlan.web.auth.accounts import Accounts

SESSION_COOKIE = "anlan_session"
SIGN_IN_PAGE = "/login"
PASSWORD_PAGE = "/password"  # noqa: S105  # an address, not a password

IDENTITY = "anlan.identity"
"""Key of the ASGI scope under which the gate keeps the ``Identity`` (missing for anonymous requests)."""

_accounts: Accounts | None = None


def use(accounts: Accounts) -> None:
    """Set whose sessions ``actor_of_session`` looks at; the app factory calls this."""
    global _accounts  # one web app a process, and event handlers have no way to be handed it
    _accounts = accounts


def current_identity(request: Request) -> Identity:
    """Return who is asking.

    Raises:
        SignInRequiredError: nobody is signed in.
    """
    identity: Identity | None = request.scope.get(IDENTITY)
    if identity is None:
        raise SignInRequiredError("sign in first", fix=f"{SIGN_IN_PAGE}, or an API token as bearer")
    return identity


def current_actor(request: Request) -> Actor:
    """Return the actor who is asking, as it goes with requests over the fabric.

    Raises:
        SignInRequiredError: nobody is signed in.
    """
    return current_identity(request).actor


def current_context(request: Request) -> WebContext:
    """Return the web process's context."""
    context: WebContext = request.app.state.context
    return context


def client_address(request: Request) -> str:
    """Return the network address a request came from."""
    return request.client.host if request.client is not None else ""


def actor_of_session(session_id: str) -> Actor | None:
    """Return who a session cookie's value belongs to, or None; for sockets and NiceGUI event handlers.

    The answer is at most two seconds old. It is None also while a new password must be chosen.
    """
    return _accounts.actor_of_session(session_id) if _accounts is not None else None


def set_session_cookie(response: Response, cookie: str, accounts: Accounts) -> None:
    """Give the browser its session."""
    response.set_cookie(
        SESSION_COOKIE,
        cookie,
        max_age=accounts.life.absolute // 1_000_000,
        httponly=True,
        samesite="lax",
        secure=bool(accounts.settings.tls_certificate),
        path="/",
    )


def has_role(actor: Actor, *roles: Role) -> bool:
    """Return whether the actor holds one of ``roles`` anywhere."""
    return any(grant.role in roles for grant in actor.grants)


def may_somewhere(actor: Actor, permission: Permission) -> bool:
    """Return whether the actor may do this at some place; for showing or hiding what leads there."""
    return any(actor.may(permission, grant.scope) for grant in actor.grants)


def require_role(*roles: Role) -> Callable[[Request], Actor]:
    """Return a FastAPI dependency that lets only these roles in (held anywhere) and gives the actor."""

    def check(request: Request) -> Actor:
        actor = current_actor(request)
        if not has_role(actor, *roles):
            raise PermissionDeniedError(f"{actor.user} has none of the roles {', '.join(roles)}")
        return actor

    return check


def require_permission(permission: Permission) -> Callable[[Request], Actor]:
    """Return a FastAPI dependency that lets in whoever may do this somewhere and gives the actor.

    What the request is about still has to be checked against its place.
    """

    def check(request: Request) -> Actor:
        actor = current_actor(request)
        if not may_somewhere(actor, permission):
            raise PermissionDeniedError(f"{actor.user} may not {permission.value} anywhere")
        return actor

    return check


async def audit_change(
    context: WebContext,
    actor: Actor,
    address: str,
    action: str,
    subject: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    comment: str = "",
) -> None:
    """Audit a change that the service which made it does not audit itself."""
    accounts = context.accounts
    auditor = accounts.auditor(actor, address)

    def note(session: Session) -> None:
        auditor.note(session, action, subject, before=before, after=after, comment=comment)

    await asyncio.to_thread(accounts.change, note)


CurrentActor = Annotated[Actor, Depends(current_actor)]
CurrentIdentity = Annotated[Identity, Depends(current_identity)]
Context = Annotated[WebContext, Depends(current_context)]
Address = Annotated[str, Depends(client_address)]

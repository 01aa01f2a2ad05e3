"""API tokens: one's own, and for administrators everybody's."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import Response

from anlan.core.actor import Permission
from anlan.core.errors import PermissionDeniedError
from anlan.web.auth import tokens, users
from anlan.web.auth.model import NewToken, TokenInfo, TokenMade
from anlan.web.contract import body, documented, reply
from anlan.web.security import Address, Context, CurrentIdentity, may_somewhere
from anlan.web.tables import TokenRow, UserRow

router = APIRouter(tags=["tokens"])


@router.get("/tokens", **documented(answer=tuple[TokenInfo, ...]))
async def list_tokens(context: Context, identity: CurrentIdentity, everybody: bool = False) -> Response:
    """One's own API tokens; ``everybody`` shows an administrator those of the people they administer."""
    actor = identity.actor

    def find(session: Session) -> list[TokenInfo]:
        if not everybody:
            return [item for item, _ in tokens.list_tokens(session, user_id=identity.user_id)]
        return [item for item, user in tokens.list_tokens(session) if users.may_administer(actor, user)]

    if everybody and not may_somewhere(actor, Permission.ADMINISTER):
        raise PermissionDeniedError(f"{actor.user} may not administer anywhere")
    return reply(await asyncio.to_thread(context.accounts.read, find))


@router.post("/tokens", **documented(NewToken, TokenMade, status=201))
async def create_token(
    context: Context, identity: CurrentIdentity, address: Address, wanted: Annotated[NewToken, body(NewToken)]
) -> Response:
    """Make an API token; its text is told once."""
    if not identity.session:
        raise PermissionDeniedError("a token cannot make tokens", fix="sign in, or use 'anlan tokens create'")
    accounts = context.accounts

    def create(session: Session) -> TokenMade:
        owner = session.get_one(UserRow, identity.user_id)
        return tokens.create(session, accounts.auditor(identity.actor, address), owner, wanted, accounts.clock())

    return reply(await asyncio.to_thread(accounts.change, create), 201)


@router.delete("/tokens/{token_id}", **documented(status=204))
async def revoke_token(context: Context, identity: CurrentIdentity, address: Address, token_id: str) -> Response:
    """End a token of one's own, or of somebody one administers."""
    accounts = context.accounts

    def end(session: Session) -> None:
        row = session.get(TokenRow, token_id[:16])
        owner = session.get(UserRow, row.user_id) if row is not None else None
        others = owner is not None and users.may_administer(identity.actor, owner)
        auditor = accounts.auditor(identity.actor, address)
        tokens.revoke(session, auditor, token_id, accounts.clock(), user_id="" if others else identity.user_id)

    await asyncio.to_thread(accounts.change, end)
    return Response(status_code=204)

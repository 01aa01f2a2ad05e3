"""Server-sent events: ``/stream/values`` and ``/stream/alarms``; see ``web.sse`` for what they promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import StreamingResponse

from anlan.core.actor import Actor
from anlan.core.errors import AnlanError, InvalidInputError
from anlan.web.contract import documented
from anlan.web.middleware import credentials
from anlan.web.security import Context, CurrentActor
from anlan.web.sse import MEDIA, StillGood, _Streams

router = APIRouter(tags=["streams"])

_HEADERS = {"X-Accel-Buffering": "no"}


def _still_good(request: Request, context: Context, actor: Actor) -> StillGood:
    cookie, token = credentials(request.headers)

    async def check() -> bool:
        try:
            identity = await asyncio.to_thread(context.accounts.identity, "" if token else cookie, token)
        except AnlanError:
            # While the records are away people who are signed in go on seeing alarms.
            return True
        # Somebody whose roles were changed connects again and sees what they may see now.
        return identity is not None and not identity.must_change and identity.actor == actor

    return check


def _response(feed: _Streams, user: str, frames: AsyncIterator[bytes]) -> StreamingResponse:
    feed.enter(user)

    async def counted() -> AsyncIterator[bytes]:
        try:
            async for frame in frames:
                yield frame
        finally:
            feed.leave(user)

    return StreamingResponse(counted(), media_type=MEDIA, headers=_HEADERS)


@router.get("/stream/values", **documented(media=(MEDIA,)))
async def stream_values(request: Request, context: Context, actor: CurrentActor) -> StreamingResponse:
    """Last values: ``points`` (number to path), ``full``, then ``delta`` once a second.

    Rows are ``[number, time, value, quality]``.
    """
    feed = context.value_feed
    return _response(feed, actor.user, feed.stream(actor, _still_good(request, context, actor)))


@router.get("/stream/alarms", **documented(media=(MEDIA,)))
async def stream_alarms(
    request: Request,
    context: Context,
    actor: CurrentActor,
    after: Annotated[str, Query(max_length=20, description="like the header, for clients that cannot set it")] = "",
    last_event_id: Annotated[str, Header(max_length=20)] = "",
) -> StreamingResponse:
    """Every alarm transition; with ``Last-Event-ID`` those missed come first."""
    text = last_event_id or after
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInputError(f"{text!r} is no id of this stream", where="Last-Event-ID", fix="the id you got last")
    feed = context.alarm_feed
    frames = feed.stream(actor, int(text) if text else None, _still_good(request, context, actor))
    return _response(feed, actor.user, frames)

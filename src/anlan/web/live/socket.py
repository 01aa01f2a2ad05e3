"""The pages' socket ``/console/live``. It checks origin and session itself, at the start and again while open."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from fastapi import WebSocket, WebSocketDisconnect

from anlan.core.actor import Actor
from anlan.core.errors import AnlanError
from anlan.web.security import SESSION_COOKIE

if TYPE_CHECKING:
    from anlan.web.context import WebContext
    from anlan.web.live.hub import Hub, Page

logger = logging.getLogger(__name__)

CHECK_S = 5.0
SIGNED_OUT = 4401
FOREIGN = 4403
MOST_WANTED = 64 << 10


class Wanted(msgspec.Struct, frozen=True):
    """What a page sends: the numbers of the points it shows."""

    want: list[int]


_decoder = msgspec.json.Decoder(Wanted)


def same_origin(socket: WebSocket, also: str = "") -> bool:
    """Return whether a socket was opened by a page of this console, or of an origin the settings list."""
    origin = urlsplit(socket.headers.get("origin", "")).netloc.lower()
    listed = {urlsplit(text.strip()).netloc.lower() or text.strip().lower() for text in also.split(",") if text.strip()}
    return bool(origin) and (origin == socket.headers.get("host", "").lower() or origin in listed)


async def actor_of(context: WebContext, cookie: str) -> Actor | None:
    """Return who a cookie belongs to now, without blocking the loop."""
    known = context.accounts.kept(cookie=cookie)
    if known is not None:
        return None if known.must_change else known.actor
    return await asyncio.to_thread(context.accounts.actor_of_session, cookie)


async def serve(socket: WebSocket, context: WebContext, hub: Hub) -> None:
    """Serve one page until it goes or its session ends."""
    if not same_origin(socket, context.settings.extra.get("web_origins", "")):
        await socket.close(FOREIGN, "foreign origin")
        return
    cookie = socket.cookies.get(SESSION_COOKIE, "")
    actor = await actor_of(context, cookie)
    if actor is None:
        await socket.close(SIGNED_OUT, "sign in first")
        return
    await socket.accept()
    page = hub.open(actor)
    tasks = [asyncio.ensure_future(_listen(socket, page)), asyncio.ensure_future(_send(socket, page, context, cookie))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.close(page)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(socket: WebSocket, page: Page) -> None:
    try:
        while True:
            text = await socket.receive_text()
            if len(text) > MOST_WANTED:
                return
            page.want(_decoder.decode(text).want)
    except (WebSocketDisconnect, msgspec.MsgspecError, RuntimeError):
        return


async def _send(socket: WebSocket, page: Page, context: WebContext, cookie: str) -> None:
    checked = time.monotonic()
    try:
        while True:
            text = await page.next()
            if time.monotonic() - checked > CHECK_S:
                checked = time.monotonic()
                try:
                    actor = await actor_of(context, cookie)
                except AnlanError:
                    # While the records are away people who are signed in go on seeing alarms.
                    actor = page.actor
                if actor is None:
                    await socket.close(SIGNED_OUT, "the session has ended")
                    return
                if actor != page.actor:
                    # Their roles were changed: the page starts over with what they may see now.
                    await socket.close(1012, "")
                    return
            await socket.send_text(text)
    except (WebSocketDisconnect, RuntimeError):
        return

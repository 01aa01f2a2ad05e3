"""The gate before everything: pure ASGI, so that it sees http and websocket alike.

It finds out who asks, lets anonymous clients to nothing but the way in, refuses changes and sockets that a page of
another origin asks for, bounds the size and the time of bodies, and sets the security headers. Sockets are looked at
again while they are open: they end when their session does.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anlan.core.errors import AnlanError
from anlan.settings import Settings
from anlan.web.auth.accounts import Accounts
from anlan.web.auth.model import Identity
from anlan.web.errors import (
    ForeignOriginError,
    PasswordChangeRequiredError,
    SignInRequiredError,
    TooLargeError,
    TooSlowError,
    problem_response,
)
from anlan.web.security import IDENTITY, PASSWORD_PAGE, SESSION_COOKIE, SIGN_IN_PAGE

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_LIMIT = 2 << 20
UPLOAD_LIMIT = 32 << 20
BODY_TIME_S = 30.0
SOCKET_CHECK_S = 2.0

_PUBLIC = frozenset(
    {SIGN_IN_PAGE, "/api/v1/health", "/api/v1/session/options", "/oidc/start", "/oidc/callback", "/favicon.ico"}
)
# Scripts, styles and fonts: the same for everybody, nothing of the plant in them.
_PUBLIC_FOLDERS = ("/static/", "/_nicegui/")
# What somebody may reach who has to choose a new password first.
_BEFORE_CHANGE = frozenset({PASSWORD_PAGE, "/api/v1/session", "/api/v1/session/password", "/api/v1/me"})

# NiceGUI compiles its templates in the browser: that needs eval and inline scripts (its issue 5345).
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "media-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_API_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def host_of(url: str) -> str:
    """Return host and port of an origin or URL in one form: lower case, default ports left out."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port = parts.port
    except ValueError:
        return ""
    host = (parts.hostname or "").lower()
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return host if port is None or port == default or port in (80, 443) else f"{host}:{port}"


class Gate:
    """ASGI middleware; see the module.

    Args:
        settings: ``extra["web_origins"]`` lists further origins (comma-separated) a proxy serves the console under.
    """

    def __init__(self, app: ASGIApp, accounts: Accounts, settings: Settings) -> None:
        self.app = app
        self._accounts = accounts
        self._tls = bool(settings.tls_certificate)
        listed = settings.extra.get("web_origins", "")
        self._origins = frozenset(host_of(origin.strip()) for origin in listed.split(",") if origin.strip())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one connection and hand it on, or answer it."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    # --- http -----------------------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        path: str = scope["path"]

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._secure(path, MutableHeaders(scope=message))
            await send(message)

        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send_secured(message)

        try:
            await self._admit(scope, headers)
            bounded = _bounded(receive, headers)
            await self.app(scope, bounded, send_noting)
        except AnlanError as error:
            if started:
                raise
            await self._refuse(scope, receive, send_secured, headers, error)

    async def _admit(self, scope: Scope, headers: Headers) -> None:
        path: str = scope["path"]
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > _limit(headers):
            raise TooLargeError(f"a body may have {_limit(headers)} bytes", where=path, fix="send less at once")
        token = _bearer(headers)
        cookie = _cookie(headers)
        # A token is sent by a program that means it; a cookie is sent by whatever page is open.
        if not token and (scope["method"] not in SAFE_METHODS or path.startswith("/_nicegui_ws")):
            self._require_own_page(headers, path, need_proof=scope["method"] not in SAFE_METHODS)
        identity = await self._identify(cookie, token)
        if identity is not None:
            scope[IDENTITY] = identity
        if _is_public(path, scope["method"]):
            return
        if identity is None:
            raise SignInRequiredError("sign in first", where=path, fix=f"{SIGN_IN_PAGE}, or an API token as bearer")
        if identity.must_change and path not in _BEFORE_CHANGE:
            raise PasswordChangeRequiredError("choose a new password first", where=path, fix=PASSWORD_PAGE)

    async def _identify(self, cookie: str, token: str) -> Identity | None:
        if token:
            known = self._accounts.kept(token=token)
            return known or await asyncio.to_thread(self._accounts.identity, token=token)
        if cookie:
            known = self._accounts.kept(cookie=cookie)
            return known or await asyncio.to_thread(self._accounts.identity, cookie=cookie)
        return None

    def _require_own_page(self, headers: Headers, path: str, *, need_proof: bool) -> None:
        """Raise unless the request comes from a page of this console.

        Raises:
            ForeignOriginError: it comes from elsewhere, or nothing says where from (``need_proof``).
        """
        origin = headers.get("origin")
        if origin is not None:
            if self._is_own(origin, headers):
                return
        else:
            site = headers.get("sec-fetch-site")
            if site in ("same-origin", "none") or (site is None and not need_proof):
                return
        raise ForeignOriginError(
            "this was asked for by a page of another origin, or none is named",
            where=path,
            fix="programs use an API token; browsers send Origin",
        )

    def _is_own(self, origin: str, headers: Headers) -> bool:
        host = host_of(origin)
        if not host or not origin.startswith(("https://",) if self._tls else ("https://", "http://")):
            return False
        return host == host_of(headers.get("host", "")) or host in self._origins

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, headers: Headers, error: AnlanError) -> None:
        path: str = scope["path"]
        wants_page = "text/html" in headers.get("accept", "") and scope["method"] in SAFE_METHODS
        if (
            wants_page
            and not path.startswith("/api/")
            and isinstance(error, SignInRequiredError | PasswordChangeRequiredError)
        ):
            target = PASSWORD_PAGE
            if isinstance(error, SignInRequiredError):
                query = scope.get("query_string", b"").decode("latin-1")
                after = path + (f"?{query}" if query else "")
                target = f"{SIGN_IN_PAGE}?after={quote(after, safe='')}"
            await RedirectResponse(target, 303)(scope, receive, send)
            return
        extra = {"Connection": "close"} if error.status in (408, 413) else {}
        await problem_response(error, extra)(scope, receive, send)

    def _secure(self, path: str, headers: MutableHeaders) -> None:
        api = path.startswith("/api/")
        headers.setdefault("Content-Security-Policy", _API_POLICY if api else _PAGE_POLICY)
        headers.setdefault("X-Frame-Options", "DENY")
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if self._tls:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        if not path.startswith(_PUBLIC_FOLDERS):
            headers.setdefault("Cache-Control", "no-store")

    # --- websocket ------------------------------------------------------------------------------------------------

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        token, cookie = _bearer(headers), _cookie(headers)
        origin = headers.get("origin")
        # A browser always names the origin of a socket. Without one only a program with a token is let in.
        own = self._is_own(origin, headers) if origin is not None else bool(token)
        try:
            identity = await self._identify(cookie, token) if own else None
        except AnlanError:
            identity = None
        if identity is None or identity.must_change:
            # Closing before accepting makes the server answer the handshake with 403.
            await send({"type": "websocket.close", "code": 1008, "reason": "sign in first"})
            return
        scope[IDENTITY] = identity
        looked = time.monotonic()

        async def receive_checked() -> Message:
            nonlocal looked
            message = await receive()
            if message["type"] == "websocket.receive" and time.monotonic() - looked > SOCKET_CHECK_S:
                looked = time.monotonic()
                if not await self._still_good(cookie, token):
                    await send({"type": "websocket.close", "code": 1008, "reason": "the session has ended"})
                    return {"type": "websocket.disconnect", "code": 1008}
            return message

        await self.app(scope, receive_checked, send)

    async def _still_good(self, cookie: str, token: str) -> bool:
        try:
            identity = await self._identify(cookie, token)
        except AnlanError:
            # While the records are away people who are signed in go on seeing alarms.
            return True
        return identity is not None and not identity.must_change


def _is_public(path: str, method: str) -> bool:
    if path == "/api/v1/session":
        return method == "POST"
    return path in _PUBLIC or path.startswith(_PUBLIC_FOLDERS)


def credentials(headers: Headers) -> tuple[str, str]:
    """Return what the session cookie holds and the bearer token, each empty when there is none."""
    return _cookie(headers), _bearer(headers)


def _bearer(headers: Headers) -> str:
    kind, _, text = headers.get("authorization", "").partition(" ")
    return text.strip() if kind.lower() == "bearer" else ""


def _cookie(headers: Headers) -> str:
    for line in headers.getlist("cookie"):
        for part in line.split(";"):
            name, _, value = part.strip().partition("=")
            if name == SESSION_COOKIE:
                return value
    return ""


def _limit(headers: Headers) -> int:
    return UPLOAD_LIMIT if headers.get("content-type", "").startswith("multipart/form-data") else BODY_LIMIT


def _bounded(receive: Receive, headers: Headers) -> Receive:
    """Return ``receive`` with a bound on the body's bytes and on the time it may take to arrive."""
    left = _limit(headers)
    deadline = time.monotonic() + BODY_TIME_S
    done = False

    async def bounded() -> Message:
        nonlocal left, done
        if done:
            # Only the disconnect is still to come, and that may take as long as it likes.
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
        except TimeoutError as error:
            raise TooSlowError("the body did not arrive in time", fix=f"send it within {BODY_TIME_S:.0f} s") from error
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                raise TooLargeError("the body is too large", fix="send less at once")
            done = not message.get("more_body", False)
        return message

    return bounded

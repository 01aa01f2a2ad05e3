"""A small HTTP/1.1 listener on h11 for one POST endpoint: bounded in size, time and number of connections.

A framework's server reads headers and bodies without the limits a plant's edge needs: here a client that sends slowly
is closed, and a body that is announced too long is refused before it is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import h11
import msgspec

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One request with its whole body; header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: str


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; ``body`` is sent as JSON when there is one."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """A request that is answered before or without reading its body; the connection closes after it."""

    def __init__(self, status: int, title: str, fix: str = "", **headers: str) -> None:
        super().__init__(title)
        self.response = problem(status, title, fix, **headers)


def problem(status: int, title: str, fix: str = "", **headers: str) -> Response:
    """Return an RFC 9457 problem as a response."""
    body = {"type": "about:blank", "title": title, "status": status, "fix": fix}
    return Response(status, body, {"Content-Type": "application/problem+json", **headers})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the listener; times in seconds, sizes in bytes."""

    body: int = 8 << 20
    request_time: float = 30.0
    idle_time: float = 60.0
    connections: int = 256


Check = Callable[[str, str, dict[str, str]], None]
Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Listens and hands whole requests to ``handler``; ``check`` may raise ``RefusedError`` on the headers alone."""

    def __init__(self, limits: Limits, check: Check, handler: Handler) -> None:
        self.limits = limits
        self.check = check
        self.handler = handler
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen and return the port."""
        self._server = await asyncio.start_server(self._accept, host, port, ssl=tls, limit=1 << 16)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self.limits.connections:
            writer.transport.abort()
            return
        task = asyncio.ensure_future(_Exchange(self, reader, writer).run())
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)


class _Exchange:
    """One connection: requests one after the other."""

    def __init__(self, server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=16 << 10)
        self._peer = str((writer.get_extra_info("peername") or ("unknown",))[0])

    async def run(self) -> None:
        """Serve until the client goes away, breaks the protocol or is too slow."""
        limits = self._server.limits
        wait = limits.request_time
        try:
            while True:
                if not self._http.trailing_data[0]:
                    async with asyncio.timeout(wait):
                        if not await self._fill():
                            return
                async with asyncio.timeout(limits.request_time):
                    request = await self._read()
                if request is None:
                    return
                await self._send(await self._server.handler(request))
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    return
                self._http.start_next_cycle()
                wait = limits.idle_time
        except RefusedError as error:
            await self._refuse(error.response)
        except h11.RemoteProtocolError as error:
            await self._refuse(problem(error.error_status_hint, f"no HTTP request: {error}"))
        except TimeoutError:
            await self._refuse(problem(408, "the request took too long"))
        except (OSError, h11.LocalProtocolError) as error:
            logger.debug("connection from %s ends: %r", self._peer, error)
        finally:
            self._writer.transport.abort()

    async def _fill(self) -> bool:
        data = await self._reader.read(65536)
        if data or self._http.their_state is h11.SEND_BODY:
            self._http.receive_data(data)
        return bool(data)

    async def _event(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            if not await self._fill():
                return h11.ConnectionClosed()

    async def _read(self) -> Request | None:
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        method, target = head.method.decode("ascii"), head.target.decode("latin-1")
        self._server.check(method, target, headers)
        most = self._server.limits.body
        if int(headers.get("content-length", "0")) > most:
            raise _too_long(most)
        if self._http.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))
        pieces: list[bytes] = []
        size = 0
        while True:
            event = await self._event()
            if isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
                size += len(event.data)
                if size > most:
                    raise _too_long(most)
            elif isinstance(event, h11.EndOfMessage):
                body = _unpack(b"".join(pieces), headers.get("content-encoding", "identity"), most)
                return Request(method, target, headers, body, self._peer)
            else:
                return None

    async def _write(self, *events: h11.Event) -> None:
        for event in events:
            data = self._http.send(event)
            if data:
                self._writer.write(data)
        await self._writer.drain()

    async def _send(self, response: Response, *, close: bool = False) -> None:
        body = b"" if response.body is None else msgspec.json.encode(response.body)
        headers = {"Content-Type": "application/json"} if body else {}
        headers |= response.headers | ({} if response.status == 204 else {"Content-Length": str(len(body))})
        if close:
            headers["Connection"] = "close"
        async with asyncio.timeout(self._server.limits.request_time):
            head = h11.Response(status_code=response.status, headers=list(headers.items()))
            await self._write(head, h11.Data(data=body), h11.EndOfMessage())

    async def _refuse(self, response: Response) -> None:
        """Answer and close, reading on for a moment so that the answer is not lost to a reset."""
        with contextlib.suppress(OSError, TimeoutError, h11.LocalProtocolError):
            if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await self._send(response, close=True)
            if self._writer.can_write_eof():
                self._writer.write_eof()
            async with asyncio.timeout(1.0):
                left = 1 << 20
                while left > 0 and (data := await self._reader.read(65536)):
                    left -= len(data)


def _too_long(most: int) -> RefusedError:
    return RefusedError(413, f"the body is longer than {most} bytes", "send smaller batches")


def _unpack(body: bytes, encoding: str, most: int) -> bytes:
    if encoding in ("identity", ""):
        return body
    if encoding not in ("gzip", "deflate"):
        raise RefusedError(415, f"encoding {encoding!r} is not taken", "gzip or none")
    unpacker = zlib.decompressobj(47 if encoding == "gzip" else 15)
    try:
        plain = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise RefusedError(400, f"the body is no {encoding}: {error}") from error
    if len(plain) > most or unpacker.unconsumed_tail:
        raise _too_long(most)
    if not unpacker.eof:
        raise RefusedError(400, f"the {encoding} body ends early")
    return plain

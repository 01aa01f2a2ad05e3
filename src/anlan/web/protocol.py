"""uvicorn's HTTP protocol with a bound on how long a client may take over its first request's head (slow loris)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from anlan.core.errors import InvalidInputError
from anlan.web.errors import PROBLEM

HEAD_TIME_S = 10.0
HEAD_BYTES = 64 << 10


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request head is not complete within ``HEAD_TIME_S``, or passes ``HEAD_BYTES``."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Start the clock for the first request."""
        super().connection_made(transport)
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Start the clock again for a further request on the same connection."""
        if self._head_timer is None and self.cycle is not None and self.cycle.response_complete:
            self._start_clock()
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._give_up()

    def on_headers_complete(self) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Stop the clock: the socket's own protocol takes over."""
        self._stop_clock()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with a problem document and close."""
        problem = InvalidInputError("this is not an HTTP request", where="request", fix="HTTP/1.1").problem()
        body = msgspec.json.encode(problem | {"status": 400})
        head = (
            f"HTTP/1.1 400 Bad Request\r\nContent-Type: {PROBLEM}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _start_clock(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_TIME_S, self._give_up)

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._stop_clock()
        transport: Any = self.transport
        if transport is not None and not transport.is_closing():
            transport.close()

"""A connection to the fabric: streams, events, requests between processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from anlan.core.actor import Actor
from anlan.core.errors import AnlanError, NotFoundError, UnavailableError, from_problem
from anlan.core.events import Event, encode_event
from anlan.settings import Settings

logger = logging.getLogger(__name__)

LOG = "LOG"
EVENTS = "EVENTS"
DEAD = "DEAD"
CONFIG = "CONFIG"

PIECE = 512 << 10
PIECES_IN_FLIGHT = 32
PIECE_PATIENCE_S = 60.0

T = TypeVar("T")
R = TypeVar("R")


class _Request(msgspec.Struct):
    actor: Actor
    body: msgspec.Raw = msgspec.Raw(b"{}")


class _Reply(msgspec.Struct, omit_defaults=True):
    result: msgspec.Raw = msgspec.Raw(b"null")
    problem: dict[str, Any] | None = None


_request_decoder = msgspec.json.Decoder(_Request)
_reply_decoder = msgspec.json.Decoder(_Reply)


class Fabric:
    """One process's connection. Use as an async context manager or call ``close``."""

    def __init__(self, client: Client, settings: Settings, role: str) -> None:
        self.client = client
        self.settings = settings
        self.role = role
        self.jetstream: JetStreamContext = client.jetstream(timeout=5, publish_async_max_pending=4096)
        self.reconnected = asyncio.Event()
        self.connecting: asyncio.Task[None] | None = None
        self.closing = False

    @staticmethod
    async def connect(settings: Settings, role: str, *, name: str = "", wait: bool = True) -> Fabric:
        """Connect as ``role`` and keep reconnecting for ever.

        Args:
            wait: False returns at once and connects in the background: a gateway at the edge starts without its centre.

        Raises:
            UnavailableError: the fabric cannot be reached at all.
        """
        client = Client()
        fabric = Fabric(client, settings, role)

        async def on_reconnect() -> None:
            logger.warning("fabric is back")
            fabric.reconnected.set()

        async def on_disconnect() -> None:
            if not fabric.closing:
                logger.warning("fabric is lost")

        async def on_error(error: Exception) -> None:
            logger.debug("fabric: %s", error)

        connecting = asyncio.ensure_future(
            client.connect(
                settings.fabric_url,
                user=role,
                password=settings.fabric_password(role),
                name=name or role,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,  # type: ignore[arg-type]  # seconds; fractions work, only its annotation is narrow
                ping_interval=5,
                max_outstanding_pings=3,
                reconnected_cb=on_reconnect,
                disconnected_cb=on_disconnect,
                error_cb=on_error,
                pending_size=64 << 20,
            )
        )
        if not wait:
            fabric.connecting = connecting
            return fabric
        try:
            await connecting
        except (OSError, nats.errors.Error) as error:
            raise UnavailableError("the fabric cannot be reached", where=settings.fabric_url) from error
        return fabric

    async def __aenter__(self) -> Fabric:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Flush and close the connection."""
        self.closing = True
        if self.connecting is not None and not self.connecting.done():
            self.connecting.cancel()
            await asyncio.wait({self.connecting})
            return
        if not self.client.is_closed:
            try:
                await asyncio.wait_for(self.client.flush(), 2)
            except (nats.errors.Error, OSError, TimeoutError):
                logger.debug("closing without a last flush")
            # The server may be gone: there is nothing left to say to it then.
            with contextlib.suppress(OSError):
                await self.client.close()

    async def ensure_streams(self) -> None:
        """Create the node's streams, or bring their limits up to date."""
        settings = self.settings
        common: dict[str, Any] = {
            "storage": StorageType.FILE,
            "allow_direct": True,
            "duplicate_window": settings.duplicate_window_s,
        }
        wanted = (
            StreamConfig(
                name=LOG,
                subjects=["log.>"],
                retention=RetentionPolicy.LIMITS,
                discard=DiscardPolicy.NEW,
                max_bytes=settings.log_bytes,
                max_age=settings.log_age_s,
                **common,
            ),
            StreamConfig(name=EVENTS, subjects=["events.>"], discard=DiscardPolicy.OLD, max_bytes=2 << 30, **common),
            StreamConfig(name=DEAD, subjects=["dead.>"], discard=DiscardPolicy.OLD, max_bytes=256 << 20, **common),
            StreamConfig(name=CONFIG, subjects=["config.>"], max_msgs_per_subject=1, max_bytes=512 << 20, **common),
        )
        for config in wanted:
            # Adding a stream that exists is checked against the storage left as if it were another one.
            try:
                await self.jetstream.stream_info(str(config.name))
            except nats.js.errors.NotFoundError:
                await self.jetstream.add_stream(config)
            else:
                try:
                    await self.jetstream.update_stream(config)
                except nats.js.errors.APIError as error:
                    # On a full disk the server cannot write even that; whoever rings alarms must start all the same.
                    logger.error("the limits of %s stay as they are: %s", config.name, error)

    # --- events -------------------------------------------------------------------------------------------------

    async def publish_event(self, event: Event) -> None:
        """Publish one event durably; a repeat with the same id is dropped by the stream and its readers."""
        await self.jetstream.publish(
            f"events.{event.type}", encode_event(event), headers={"Nats-Msg-Id": event.id}, timeout=10
        )

    # --- configuration ------------------------------------------------------------------------------------------

    async def put_config(self, revision: str, document: bytes) -> None:
        """Store a compiled plant under its revision, packed: 10 000 points are 5 MB of JSON, a message takes 8 MB."""
        packed = await asyncio.to_thread(zlib.compress, document, 6)
        await self.jetstream.publish(f"config.{revision}", packed, timeout=10)

    async def get_config(self, revision: str) -> bytes:
        """Return the compiled plant of a revision.

        Raises:
            NotFoundError: the fabric does not hold it.
        """
        try:
            message = await self.jetstream.get_last_msg(CONFIG, f"config.{revision}", direct=True)
        except nats.js.errors.NotFoundError as error:
            raise NotFoundError(f"configuration {revision} is not on the fabric", where=revision) from error
        data = message.data or b""
        return data if data.startswith(b"{") else await asyncio.to_thread(zlib.decompress, data)

    async def current_config(self) -> tuple[str, bytes]:
        """Return the revision named by the newest configuration record of the log, with its document.

        Raises:
            NotFoundError: no configuration was ever put in force.
        """
        from anlan.core import log

        try:
            message = await self.jetstream.get_last_msg(LOG, log.CONFIG, direct=True)
        except nats.js.errors.NotFoundError as error:
            raise NotFoundError(
                "no configuration is in force yet", fix="start 'anlan serve' with a site that passes 'anlan check'"
            ) from error
        record = log.decode(log.CONFIG, message.data or b"")
        assert isinstance(record, log.ConfigRecord)
        return record.revision, await self.get_config(record.revision)

    # --- requests -----------------------------------------------------------------------------------------------

    async def serve(
        self, subject: str, request_type: type[T], handler: Callable[[T, Actor], Awaitable[object]]
    ) -> None:
        """Answer requests on ``svc.<subject>``; an ``AnlanError`` the handler raises reaches the caller as itself."""
        decoder = msgspec.json.Decoder(request_type)

        async def answer(message: Msg) -> None:
            try:
                request = _request_decoder.decode(message.data)
                result = await handler(decoder.decode(request.body), request.actor)
                reply = _Reply(result=msgspec.Raw(msgspec.json.encode(result)))
            except Exception as error:
                reply = _Reply(problem=_problem(error, subject))
            await message.respond(msgspec.json.encode(reply))

        await self._subscribe_service(subject, answer)

    async def call(self, subject: str, body: object, actor: Actor, result: type[R], *, timeout: float = 5.0) -> R:
        """Ask the service on ``svc.<subject>`` and return its typed answer.

        Raises:
            UnavailableError: nobody answers in time.
            AnlanError: what the service raised.
        """
        payload = msgspec.json.encode({"actor": actor, "body": body})
        try:
            message = await self.client.request(f"svc.{subject}", payload, timeout=timeout)
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError, nats.errors.ConnectionClosedError) as error:
            raise UnavailableError(f"{subject} does not answer", where=subject) from error
        reply = _reply_decoder.decode(message.data)
        if reply.problem is not None:
            raise from_problem(reply.problem)
        return msgspec.json.decode(reply.result, type=result)

    async def serve_pieces(
        self, subject: str, request_type: type[T], handler: Callable[[T, Actor], AsyncIterator[bytes]]
    ) -> None:
        """Answer with a byte stream in pieces under the message limit (Arrow results)."""
        decoder = msgspec.json.Decoder(request_type)

        async def answer(message: Msg) -> None:
            number = 0
            try:
                request = _request_decoder.decode(message.data)
                async for chunk in handler(decoder.decode(request.body), request.actor):
                    for start in range(0, len(chunk), PIECE):
                        await self._send_piece(message.reply, chunk[start : start + PIECE], number)
                        number += 1
                await self.client.publish(
                    message.reply, b"", headers={"Anlan-Piece": "end", "Anlan-Number": str(number)}
                )
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                logger.debug("nobody takes the pieces of %s any more", subject)
            except Exception as error:
                problem = msgspec.json.encode(_problem(error, subject))
                await self.client.publish(message.reply, problem, headers={"Anlan-Piece": "problem"})

        await self._subscribe_service(subject, answer)

    async def _send_piece(self, to: str, piece: bytes, number: int) -> None:
        """Send one piece; every so many wait until the taker has come that far, so that a slow one loses none."""
        headers = {"Anlan-Piece": "more", "Anlan-Number": str(number)}
        if (number + 1) % PIECES_IN_FLIGHT:
            await self.client.publish(to, piece, headers=headers)
        else:
            await self.client.request(to, piece, timeout=PIECE_PATIENCE_S, headers=headers)

    async def call_pieces(
        self, subject: str, body: object, actor: Actor, *, timeout: float = 30.0
    ) -> AsyncIterator[bytes]:
        """Yield the pieces of an answer; ``timeout`` (s) is the longest wait between two pieces."""
        inbox = self.client.new_inbox()
        subscription = await self.client.subscribe(inbox)
        try:
            payload = msgspec.json.encode({"actor": actor, "body": body})
            await self.client.publish(f"svc.{subject}", payload, reply=inbox)
            expected = 0
            while True:
                message = await subscription.next_msg(timeout=timeout)
                kind = (message.headers or {}).get("Anlan-Piece", "")
                if kind in ("more", "end") and (message.headers or {}).get("Anlan-Number") != str(expected):
                    raise UnavailableError(f"a piece of the answer of {subject} was lost", where=subject)
                expected += 1
                if kind == "more":
                    if message.reply:
                        await message.respond(b"")
                    yield message.data
                elif kind == "problem":
                    raise from_problem(msgspec.json.decode(message.data))
                elif kind == "end":
                    return
                else:
                    raise UnavailableError(f"{subject} does not answer", where=subject)
        except nats.errors.TimeoutError as error:
            raise UnavailableError(f"{subject} stopped answering", where=subject) from error
        finally:
            await subscription.unsubscribe()

    async def _subscribe_service(self, subject: str, answer: Callable[[Msg], Awaitable[None]]) -> None:
        tasks: set[asyncio.Task[None]] = set()

        async def spawn(message: Msg) -> None:
            # One task a request: a slow query must not hold up the next acknowledgement.
            task = asyncio.ensure_future(answer(message))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        await self.client.subscribe(f"svc.{subject}", queue="svc", cb=spawn)


def _problem(error: Exception, subject: str) -> dict[str, Any]:
    if isinstance(error, AnlanError):
        return error.problem()
    if isinstance(error, msgspec.MsgspecError):
        from anlan.core.errors import InvalidInputError

        return InvalidInputError(str(error), where=subject).problem()
    logger.exception("request on %s failed", subject)
    return AnlanError(f"{subject} failed: {type(error).__name__}", where=subject).problem()

"""Frames, payloads and rows that could not be used: counted all, kept in the stream DEAD as far as the rate allows.

Garbage cannot fill the stream: each source has a token bucket, the stream has a bound and forgets the oldest, and the
bytes of one letter are cut off at ``RAW_LIMIT``.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import nats.errors
import nats.js.errors
from nats.js.api import RawStreamMsg

from anlan.core.actor import Actor, Permission
from anlan.core.errors import AnlanError, ConflictError, NotFoundError
from anlan.core.events import AuditChange, Event, EventType
from anlan.core.ids import new_ulid
from anlan.core.time import now_us
from anlan.perceive.model import (
    RAW_LIMIT,
    DeadLetter,
    DeadLetterPage,
    GetDeadLetter,
    ListDeadLetters,
    Mend,
    MendResult,
)
from anlan.store.fabric.client import DEAD, Fabric

logger = logging.getLogger(__name__)

BURST = 20.0
PER_SECOND = 1.0
MOST_SOURCES = 10_000
MOST_WAITING = 1_000
PREVIEW = 256

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(DeadLetter)


def subject_of(connector: str) -> str:
    """Return the subject of a connector's dead letters; what NATS would read as structure becomes ``_``."""
    return "dead." + re.sub(r"[^\w-]", "_", connector)


class RateLimit:
    """A token bucket for each key; keys beyond ``MOST_SOURCES`` share one."""

    def __init__(self, burst: float = BURST, per_second: float = PER_SECOND) -> None:
        self._burst = burst
        self._per_second = per_second
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, key: str, now: float) -> bool:
        """Take a token of ``key`` at ``now`` (seconds); False when it has none."""
        if key not in self._buckets and len(self._buckets) >= MOST_SOURCES:
            key = ""
        tokens, since = self._buckets.get(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now)
        return allowed


class DeadLetters:
    """Takes letters from connectors without ever blocking them and publishes those the rate allows."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._rate = RateLimit()
        self._waiting: deque[DeadLetter] = deque(maxlen=MOST_WAITING)
        self._some = asyncio.Event()
        self.total = 0
        self.kept = 0

    def put(self, connector: str, raw: bytes, reason: Exception, source: str) -> None:
        """Count a letter and keep it if its source's rate allows."""
        self.total += 1
        if not self._rate.allows(f"{connector}\0{source}", asyncio.get_running_loop().time()):
            return
        known = isinstance(reason, AnlanError)
        letter = DeadLetter(
            time=now_us(),
            connector=connector,
            source=source[:512],
            reason=(reason.message if isinstance(reason, AnlanError) else f"{type(reason).__name__}: {reason}")[:1024],
            where=reason.where[:512] if isinstance(reason, AnlanError) else "",
            fix=reason.fix[:512] if isinstance(reason, AnlanError) else "",
            size=len(raw),
            raw=bytes(raw[:RAW_LIMIT]),
        )
        if not known:
            logger.debug("dead letter of %s for an unexpected reason", connector, exc_info=reason)
        self._waiting.append(letter)
        self._some.set()

    async def run(self) -> None:
        """Publish what waits; while the fabric is away the newest ``MOST_WAITING`` are held."""
        while True:
            await self._some.wait()
            while self._waiting:
                letter = self._waiting[0]
                try:
                    await self._fabric.jetstream.publish(subject_of(letter.connector), _encode(letter), timeout=5)
                except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
                    await asyncio.sleep(0.5)
                    continue
                self.kept += 1
                if self._waiting and self._waiting[0] is letter:
                    self._waiting.popleft()
            self._some.clear()


class DeadLetterDesk:
    """Lists, shows and mends dead letters for people.

    Args:
        run_again: runs ``(connector, raw, source)`` through the connector and returns the number of samples.
    """

    def __init__(self, fabric: Fabric, run_again: Callable[[str, bytes, str], Awaitable[int]]) -> None:
        self._fabric = fabric
        self._run_again = run_again

    async def serve(self) -> None:
        """Answer ``svc.perceive.dead-letters``, ``.dead-letter`` and ``.mend``."""
        await self._fabric.serve("perceive.dead-letters", ListDeadLetters, self.list)
        await self._fabric.serve("perceive.dead-letter", GetDeadLetter, self.get)
        await self._fabric.serve("perceive.mend", Mend, self.mend)

    async def list(self, request: ListDeadLetters, actor: Actor) -> DeadLetterPage:
        """Return a page of letters, newest first."""
        actor.require(Permission.VIEW)
        state = (await self._fabric.jetstream.stream_info(DEAD)).state
        sequence = min(request.before - 1, state.last_seq) if request.before else state.last_seq
        letters: list[DeadLetter] = []
        looked = 0
        while sequence >= max(1, state.first_seq) and len(letters) < min(max(request.limit, 1), 500) and looked < 2_000:
            letter = await self._letter(sequence)
            looked += 1
            if letter is not None and request.connector in ("", letter.connector):
                letters.append(msgspec.structs.replace(letter, raw=letter.raw[:PREVIEW]))
            sequence -= 1
        more = sequence >= max(1, state.first_seq) and state.messages > 0
        return DeadLetterPage(tuple(letters), state.messages, sequence + 1 if more else 0)

    async def get(self, request: GetDeadLetter, actor: Actor) -> DeadLetter:
        """Return one letter with its bytes."""
        actor.require(Permission.VIEW)
        return await self._existing(request.sequence)

    async def mend(self, request: Mend, actor: Actor) -> MendResult:
        """Run a letter again; on success it leaves the stream and the change is audited.

        Raises:
            DecodeError: it is still wrong, and in what.
        """
        actor.require(Permission.MEND_DEAD_LETTERS)
        letter = await self._existing(request.sequence)
        raw = letter.raw if request.raw is None else request.raw
        if request.raw is None and letter.size > len(letter.raw):
            raise ConflictError(
                f"only {len(letter.raw)} of {letter.size} bytes were kept", fix="give the whole payload to run again"
            )
        samples = await self._run_again(letter.connector, raw, letter.source)
        await self._fabric.jetstream.delete_msg(DEAD, request.sequence)
        await self._audit(letter, request, raw, actor, samples)
        return MendResult(request.sequence, samples)

    async def _existing(self, sequence: int) -> DeadLetter:
        letter = await self._letter(sequence)
        if letter is None:
            raise NotFoundError(f"dead letter {sequence} was not found", where=str(sequence))
        return letter

    async def _letter(self, sequence: int) -> DeadLetter | None:
        try:
            message: RawStreamMsg = await self._fabric.jetstream.get_msg(DEAD, sequence, direct=True)
            letter = _decoder.decode(message.data or b"")
        except (nats.js.errors.NotFoundError, msgspec.MsgspecError):
            return None
        return msgspec.structs.replace(letter, sequence=sequence)

    async def _audit(self, letter: DeadLetter, request: Mend, raw: bytes, actor: Actor, samples: int) -> None:
        now = now_us()
        change = AuditChange(
            who=actor.user,
            action="mend-dead-letter",
            before={"sequence": letter.sequence, "reason": letter.reason, "size": letter.size},
            after={"edited": request.raw is not None, "size": len(raw), "samples": samples},
            comment=request.comment,
        )
        event = Event(
            id=new_ulid(now),
            type=EventType.AUDIT,
            source=self._fabric.settings.node,
            time=now,
            subject=letter.connector,
            data=msgspec.to_builtins(change),
        )
        await self._fabric.publish_event(event)

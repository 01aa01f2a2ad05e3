"""The one log: a writer that holds and retries what is refused, and a gapless reader that starts at its own mark.

Reader recipe: an ephemeral consumer without acknowledgements, started at the mark + 1; pull requests carry a byte
limit (more than the server's pending limit per client loses messages) and two are kept outstanding so that no message
waits for a request; every delivery is checked to follow the one before and at a hole the consumer is made anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from anlan.store.fabric.client import LOG, Fabric

logger = logging.getLogger(__name__)

IN_FLIGHT = 2
PULL_MESSAGES = 256
PULL_BYTES = 24 << 20
PULL_EXPIRES_S = 5.0


class LogWriter:
    """Appends to the log; ``append`` returns only once the log has acknowledged.

    At most ``IN_FLIGHT`` appends are under way. A refused or unanswered append is held and tried again with back-off
    under the same message id, so the log drops the repeat if the first try had arrived.
    """

    def __init__(self, fabric: Fabric, *, on_state: Callable[[bool, str], None] | None = None) -> None:
        self._fabric = fabric
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._on_state = on_state
        self.up = True
        self.appended = 0
        self.refused = 0

    async def append(self, subject: str, payload: bytes, message_id: str) -> int:
        """Append one record and return its log sequence."""
        async with self._slots:
            delay = 0.05
            while True:
                try:
                    ack = await self._fabric.jetstream.publish(
                        subject, payload, timeout=5, headers={"Nats-Msg-Id": message_id}
                    )
                except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
                    self.refused += 1
                    self._set_state(False, str(error) or type(error).__name__)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, 2.0)
                else:
                    self._set_state(True, "")
                    self.appended += 1
                    return int(ack.seq)

    def _set_state(self, up: bool, reason: str) -> None:
        if up == self.up:
            return
        self.up = up
        if up:
            logger.warning("the log takes appends again")
        else:
            logger.error("the log refuses appends: %s", reason)
        if self._on_state is not None:
            self._on_state(up, reason)


@dataclass(frozen=True, slots=True)
class LogMessage:
    """One record of the log as read: ``stored`` is µs UTC when the log took it."""

    sequence: int
    subject: str
    data: bytes
    stored: int


@dataclass(slots=True)
class _Pull:
    inbox: str
    left: int
    issued: float


class LogReader:
    """Reads a stream in order from ``start`` without acknowledging; the reader's mark is its own.

    ``lost`` counts messages that retention had removed before they could be read.
    """

    def __init__(self, fabric: Fabric, *, start: int, stream: str = LOG, subjects: list[str] | None = None) -> None:
        self._fabric = fabric
        self._stream = stream
        self._subjects = subjects
        self._next = max(1, start)
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._pulls: deque[_Pull] = deque()
        self._consumer = ""
        self._delivered = 0
        self._inbox = ""
        self._count = 0
        self.lost = 0

    async def batches(self, limit: int = 64, wait: float = 1.0) -> AsyncIterator[list[LogMessage]]:
        """Yield messages in log order, up to ``limit`` at a time; an empty list when ``wait`` seconds bring none."""
        subscription: Subscription | None = None
        try:
            while True:
                if not self._consumer:
                    if subscription is not None:
                        await subscription.unsubscribe()
                    subscription = await self._begin()
                yield await self._gather(limit, wait)
        finally:
            if subscription is not None and not self._fabric.client.is_closed:
                await subscription.unsubscribe()

    async def last_sequence(self) -> int:
        """Return the sequence of the newest record of the stream."""
        info = await self._fabric.jetstream.stream_info(self._stream)
        return int(info.state.last_seq)

    async def _begin(self) -> Subscription:
        self._queue = asyncio.Queue()
        self._pulls.clear()
        self._delivered = 0
        self._inbox = self._fabric.client.new_inbox()
        queue = self._queue

        async def receive(message: Msg) -> None:
            queue.put_nowait(message)

        subscription = await self._fabric.client.subscribe(
            f"{self._inbox}.*", cb=receive, pending_msgs_limit=1 << 20, pending_bytes_limit=1 << 30
        )
        await self._create_consumer()
        return subscription

    async def _create_consumer(self) -> None:
        jetstream = self._fabric.jetstream
        delay = 0.1
        while True:
            try:
                state = (await jetstream.stream_info(self._stream)).state
                if state.first_seq > self._next:
                    self.lost += state.first_seq - self._next
                    logger.error("%s %d to %d are gone by retention", self._stream, self._next, state.first_seq - 1)
                    self._next = state.first_seq
                config = ConsumerConfig(
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=self._next,
                    ack_policy=AckPolicy.NONE,
                    mem_storage=True,
                    inactive_threshold=60.0,
                    filter_subjects=self._subjects,
                )
                info = await jetstream.add_consumer(self._stream, config)
                self._consumer = info.name
                return
            except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
                logger.debug("no consumer yet: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)

    async def _pull(self) -> None:
        self._count += 1
        pull = _Pull(f"{self._inbox}.{self._count}", PULL_MESSAGES, asyncio.get_running_loop().time())
        self._pulls.append(pull)
        request = json.dumps(
            {"batch": PULL_MESSAGES, "max_bytes": PULL_BYTES, "expires": int(PULL_EXPIRES_S * 1e9)}
        ).encode()
        await self._fabric.client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}", request, reply=pull.inbox
        )

    async def _gather(self, limit: int, wait: float) -> list[LogMessage]:
        messages: list[LogMessage] = []
        deadline = asyncio.get_running_loop().time() + wait
        while len(messages) < limit and self._consumer:
            try:
                await self._keep_pulling()
                if messages and self._queue.empty():
                    break
                timeout = deadline - asyncio.get_running_loop().time()
                raw = self._queue.get_nowait() if timeout <= 0 else await asyncio.wait_for(self._queue.get(), timeout)
            except (TimeoutError, asyncio.QueueEmpty):
                break
            except (nats.errors.Error, OSError) as error:
                logger.debug("pulling failed: %s", error)
                self._consumer = ""
                await asyncio.sleep(0.1)
                break
            message = self._accept(raw)
            if message is not None:
                messages.append(message)
        return messages

    async def _keep_pulling(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._pulls and now - self._pulls[0].issued > PULL_EXPIRES_S + 3:
            # The server lost the consumer (restart) and will never answer these requests.
            self._consumer = ""
            return
        while len(self._pulls) < IN_FLIGHT:
            await self._pull()

    def _accept(self, raw: Msg) -> LogMessage | None:
        status = (raw.headers or {}).get("Status")
        if status is not None and not raw.reply:
            self._finish(raw.subject)
            # 408 and most 409 (batch completed, byte limit) only end one pull; these end the consumer.
            ended = any(word in str(raw.headers) for word in ("Deleted", "Shutdown", "Leadership"))
            if status in ("404", "503") or ended:
                self._consumer = ""
            return None
        parts = raw.reply.split(".")
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, newer servers put the
        # domain and account before the stream.
        offset = len(parts) - 9 if len(parts) == 9 else len(parts) - 10
        sequence, delivery = int(parts[offset + 5]), int(parts[offset + 6])
        self._count_delivery()
        if delivery != self._delivered + 1:
            logger.warning("hole in %s after %d: reading again from there", self._stream, self._next - 1)
            self._consumer = ""
            return None
        self._delivered = delivery
        self._next = sequence + 1
        return LogMessage(sequence, raw.subject, raw.data, int(parts[offset + 7]) // 1_000)

    def _count_delivery(self) -> None:
        if self._pulls:
            self._pulls[0].left -= 1
            if self._pulls[0].left <= 0:
                self._pulls.popleft()

    def _finish(self, inbox: str) -> None:
        for pull in self._pulls:
            if pull.inbox == inbox:
                self._pulls.remove(pull)
                return

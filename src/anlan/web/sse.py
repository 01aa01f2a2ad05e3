"""Server-sent events: last values once a second, and every alarm transition.

Values: a frame is serialised once for all clients that see the same places. A client gets the points, a full frame,
then what changed; a slow one loses the oldest frames and then gets a full one. Alarms: nothing is lost. A client that
was away names the last id it saw, and what the ring no longer holds is read again from the stream ``EVENTS``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import nats.errors
import nats.js.errors
import numpy as np
from numpy.typing import NDArray

from anlan.core.actor import Actor, Permission
from anlan.core.events import Event, EventType, decode_event
from anlan.core.time import now_us
from anlan.plant.model import Plant
from anlan.store.fabric.client import EVENTS, Fabric
from anlan.store.fabric.log import LogReader
from anlan.web.errors import TooManyRequestsError
from anlan.web.watch import LastValues, PlantWatch

logger = logging.getLogger(__name__)

MEDIA = "text/event-stream"
HEARTBEAT_S = 10.0
CHECK_S = 5.0
QUEUE = 8
RING = 10_000
MOST_STREAMS = 500
MOST_OF_ONE = 20

HEARTBEAT = b": alive\n\n"

StillGood = Callable[[], Awaitable[bool]]


def sse_frame(event: str, data: bytes, identifier: str = "") -> bytes:
    """Return one server-sent event; ``data`` is JSON on one line."""
    head = f"id: {identifier}\n" if identifier else ""
    return f"{head}event: {event}\ndata: ".encode() + data + b"\n\n"


class Places:
    """Which rows of the last values an actor sees, kept per set of places until the plant changes."""

    def __init__(self, plant: PlantWatch) -> None:
        self._plant = plant
        self._masks: dict[tuple[str, ...], NDArray[np.bool_]] = {}
        plant.on_change.append(self._forget)

    def _forget(self, _plant: Plant) -> None:
        self._masks.clear()

    @staticmethod
    def key(actor: Actor) -> tuple[str, ...]:
        """Return the places an actor sees, sorted; one that sees the whole node has only the empty one."""
        places = sorted({grant.scope for grant in actor.grants if actor.may(Permission.VIEW, grant.scope)})
        return ("",) if "" in places else tuple(places)

    def mask(self, key: tuple[str, ...], numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return which of ``numbers`` lie in the places of ``key``."""
        known = self._masks.get(key)
        if known is None or len(known) != len(numbers):
            known = np.array([self._covers(key, int(number)) for number in numbers], np.bool_)
            self._masks[key] = known
        return known

    def _covers(self, key: tuple[str, ...], number: int) -> bool:
        point = self._plant.by_number.get(number)
        if point is None:
            return False
        return any(not place or point.path == place or point.path.startswith(place + "/") for place in key)


@dataclass(eq=False)
class _Listener:
    key: tuple[str, ...]
    user: str
    frames: deque[bytes] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    behind: bool = True
    revision: str = ""


class _Streams:
    """Counts open streams and ends them at shutdown."""

    def __init__(self) -> None:
        self.closed = False
        self._open: dict[str, int] = {}

    def enter(self, user: str) -> None:
        """Count a stream in.

        Raises:
            TooManyRequestsError: this user, or all together, have too many open.
        """
        if self._open.get(user, 0) >= MOST_OF_ONE or sum(self._open.values()) >= MOST_STREAMS:
            raise TooManyRequestsError("too many streams are open", retry_after=5, fix="close some")
        self._open[user] = self._open.get(user, 0) + 1

    def leave(self, user: str) -> None:
        """Count a stream out."""
        left = self._open.get(user, 1) - 1
        if left:
            self._open[user] = left
        else:
            self._open.pop(user, None)


class ValueFeed(_Streams):
    """Frames of last values for any number of clients."""

    def __init__(self, values: LastValues, plant: PlantWatch) -> None:
        super().__init__()
        self._values = values
        self._plant = plant
        self._places = Places(plant)
        self._listeners: set[_Listener] = set()
        self.dropped = 0
        values.on_batch.append(self._publish)

    def warm_up(self) -> None:
        """Make a frame once, so that the first client does not wait for it."""
        self._encode(np.arange(min(1, len(self._values.point))))

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        for listener in self._listeners:
            listener.wake.set()

    async def stream(self, actor: Actor, still_good: StillGood) -> AsyncIterator[bytes]:
        """Yield frames for one client until it goes, its session ends, or the process stops."""
        listener = _Listener(Places.key(actor), actor.user)
        self._listeners.add(listener)
        checked = asyncio.get_running_loop().time()
        try:
            yield b"retry: 2000\n\n"
            while not self.closed:
                if listener.behind:
                    for frame in self._full(listener):
                        yield frame
                while listener.frames and not listener.behind:
                    yield listener.frames.popleft()
                now = asyncio.get_running_loop().time()
                if now - checked > CHECK_S:
                    checked = now
                    if not await still_good():
                        return
                listener.wake.clear()
                if listener.frames or listener.behind or self.closed:
                    continue
                try:
                    await asyncio.wait_for(listener.wake.wait(), HEARTBEAT_S)
                except TimeoutError:
                    yield HEARTBEAT
        finally:
            self._listeners.discard(listener)

    def _full(self, listener: _Listener) -> list[bytes]:
        listener.behind = False
        listener.frames.clear()
        mask = self._places.mask(listener.key, self._values.point)
        frames = []
        if listener.revision != self._plant.revision:
            listener.revision = self._plant.revision
            names = {str(number): self._plant.by_number[int(number)].path for number in self._values.point[mask]}
            document = {"revision": listener.revision, "points": names}
            frames.append(sse_frame("points", msgspec.json.encode(document)))
        frames.append(sse_frame("full", self._encode(np.flatnonzero(mask))))
        return frames

    def _publish(self, rows: NDArray[np.intp]) -> None:
        """Serialise what changed once per set of places and hand it to the clients."""
        made: dict[tuple[str, ...], bytes] = {}
        for listener in self._listeners:
            if listener.revision != self._plant.revision:
                listener.behind = True
            elif len(listener.frames) >= QUEUE:
                # The client is slow: its frames are dropped and it gets a full one when it is ready to read.
                self.dropped += len(listener.frames)
                listener.frames.clear()
                listener.behind = True
            if not listener.behind:
                frame = made.get(listener.key)
                if frame is None:
                    mask = self._places.mask(listener.key, self._values.point)
                    frame = made[listener.key] = sse_frame("delta", self._encode(rows[mask[rows]]))
                listener.frames.append(frame)
            listener.wake.set()

    def _encode(self, rows: NDArray[np.intp]) -> bytes:
        values = self._values
        columns = (values.point[rows], values.time[rows], values.value[rows], values.quality[rows])
        table = list(zip(*(column.tolist() for column in columns), strict=True))
        return msgspec.json.encode({"time": now_us(), "values": table})


@dataclass(frozen=True, slots=True)
class Transition:
    """One alarm transition: its sequence in the stream EVENTS, the path it is about, its event."""

    sequence: int
    path: str
    event: Event
    frame: bytes


class AlarmFeed(_Streams):
    """Every alarm transition, in the order of the stream EVENTS."""

    SUBJECT = f"events.{EventType.ALARM}"

    def __init__(self, fabric: Fabric, plant: PlantWatch) -> None:
        super().__init__()
        self._fabric = fabric
        self._plant = plant
        self._ring: deque[Transition] = deque(maxlen=RING)
        self._newer = asyncio.Event()
        self.sequence = 0
        self.floor = 0
        """Everything after this sequence is in the ring."""
        self.on_transition: list[Callable[[Transition], None]] = []

    async def run(self) -> None:
        """Follow the stream until cancelled, from its newest transition at start."""
        self.sequence = self.floor = await self._newest()
        reader = LogReader(self._fabric, start=self.sequence + 1, stream=EVENTS, subjects=[self.SUBJECT])
        async for messages in reader.batches():
            for message in messages:
                self._take(message.sequence, message.data)

    async def _newest(self) -> int:
        while True:
            try:
                found = await self._fabric.jetstream.get_last_msg(EVENTS, self.SUBJECT, direct=True)
            except nats.js.errors.NotFoundError:
                return 0
            except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
                await asyncio.sleep(0.5)
            else:
                return int(found.seq or 0)

    def _take(self, sequence: int, data: bytes) -> None:
        transition = self._transition(sequence, data)
        self.sequence = sequence
        if transition is None:
            return
        if len(self._ring) == RING:
            self.floor = self._ring[0].sequence
        self._ring.append(transition)
        for callback in self.on_transition:
            callback(transition)
        self._newer.set()
        self._newer = asyncio.Event()

    def _transition(self, sequence: int, data: bytes) -> Transition | None:
        try:
            event = decode_event(data)
        except msgspec.MsgspecError:
            logger.warning("event %d cannot be read", sequence)
            return None
        path = self._plant.path_of_alarm(str(event.data.get("alarm", "")), int(event.data.get("point", 0)))
        frame = sse_frame("transition", msgspec.json.encode(event), str(sequence))
        return Transition(sequence, path, event, frame)

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        self._newer.set()

    async def stream(self, actor: Actor, after: int | None, still_good: StillGood) -> AsyncIterator[bytes]:
        """Yield the transitions an actor sees, those after sequence ``after`` first (None: only new ones)."""
        position = self.sequence if after is None else min(after, self.sequence)
        loop = asyncio.get_running_loop()
        checked = loop.time()
        yield f"retry: 2000\nid: {position}\nevent: position\ndata: {position}\n\n".encode()
        while not self.closed:
            if position < self.floor:
                async for transition in self._missed(position, self.floor):
                    position = transition.sequence
                    if actor.sees(transition.path):
                        yield transition.frame
                position = max(position, self.floor)
            newer = self._newer
            for transition in [item for item in self._ring if item.sequence > position]:
                position = transition.sequence
                if actor.sees(transition.path):
                    yield transition.frame
            if loop.time() - checked > CHECK_S:
                checked = loop.time()
                if not await still_good():
                    return
            if self._newer is not newer:
                continue
            try:
                await asyncio.wait_for(newer.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield HEARTBEAT

    async def _missed(self, after: int, until: int) -> AsyncIterator[Transition]:
        """Yield the transitions in (after, until] from the stream itself."""
        reader = LogReader(self._fabric, start=after + 1, stream=EVENTS, subjects=[self.SUBJECT])
        batches = reader.batches(wait=2.0)
        try:
            async for messages in batches:
                for message in messages:
                    if message.sequence > until:
                        return
                    transition = self._transition(message.sequence, message.data)
                    if transition is not None:
                        yield transition
                if not messages or messages[-1].sequence >= until:
                    return
        finally:
            await batches.aclose()  # type: ignore[attr-defined]  # it is an async generator

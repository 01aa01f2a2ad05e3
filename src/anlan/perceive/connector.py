"""The connector contract: one small protocol that every device protocol fills, found by entry point.

A connector turns what its device says into sample batches in the device's raw values, with the node's point numbers,
and hands them to its context. The gateway behind the context calibrates, judges the clock, counts, groups and appends
to the log. There is no way in this contract to write to a device.

A connector's file holds its ``MANIFEST`` and a class with ``run``; it may hold ``discover``. The class is registered in
the entry-point group ``anlan.connectors`` under its kind.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

import msgspec

from anlan.core.batch import SampleBatch
from anlan.core.errors import InvalidInputError
from anlan.plant.model import ConnectorSpec

ENTRY_POINTS = "anlan.connectors"

logger = logging.getLogger(__name__)


class Arrival(StrEnum):
    """How truth arrives: pushed by the device, polled by us, or read from a file."""

    PUSH = "push"
    POLL = "poll"
    FILE = "file"


class Grade(StrEnum):
    """Quality of a plug-in, judged by the checker."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    PLATINUM = "platinum"


class Option(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key of a connector's ``options``: what ``anlan check`` verifies and the schema shows.

    ``type`` is text, number, integer, boolean, duration, mapping or list; ``secret`` options name a secret, they never
    hold one.
    """

    name: str
    type: str
    description: str
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    secret: bool = False


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a connector declares of itself, in data; ``tag`` lists the keys of a mapped tag besides its text form."""

    kind: str
    name: str
    name_zh: str
    arrival: Arrival
    grade: Grade
    options: tuple[Option, ...] = ()
    tag: tuple[Option, ...] = ()
    gaps: str = ""
    limits: str = ""


class DiscoveredTag(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing a device offers, with a guess at what it is; ``confidence`` 0…1 of the guess."""

    tag: Any
    name: str
    kind: str = ""
    unit: str = ""
    value: float | str | None = None
    description: str = ""
    confidence: float = 0.0


class Context(Protocol):
    """What the gateway gives a connector."""

    spec: ConnectorSpec
    numbers: Mapping[str, int]
    """Point number by point path, for this connector's map."""
    node: str
    details: dict[str, object]
    """What the connector itself tells of its state, shown in connectors' health."""

    def emit(self, batch: SampleBatch, *, received: int | None = None) -> asyncio.Future[None]:
        """Take a batch of raw values (columns are handed over); the future is done once the log has acknowledged.

        A polled or QoS 0 source need not await it; while the log is away its batches rest in the on-disk buffer.
        """
        ...

    async def writable(self) -> None:
        """Return when the byte budget has room; a connector awaits this before it reads more from its device."""
        ...

    def dead_letter(self, raw: bytes, reason: Exception, *, source: str = "") -> None:
        """Count and keep a frame, payload or row that cannot be used, with what is wrong with it."""
        ...

    def unmapped(self, tag: str, count: int = 1) -> None:
        """Count samples of a tag that no point is mapped to."""
        ...

    def up(self, *, clock_offset_us: int = 0) -> None:
        """Say that the device is connected (logged once, also when called again)."""
        ...

    def down(self, reason: str) -> None:
        """Say that the device is lost (logged once)."""
        ...

    def event(self, type_: str, subject: str, time: int, data: dict[str, Any], *, key: str) -> None:
        """Publish a text or a device's own alarm as an event; ``key`` makes a repeat recognisable."""
        ...

    def secret(self, name: str) -> str:
        """Return a secret that the site file names (environment ``ANLAN_SECRET_NAME`` or the data folder).

        Raises:
            InvalidInputError: there is no such secret.
        """
        ...


class Connector(Protocol):
    """A running connection. ``run`` returns only when cancelled."""

    def __init__(self, spec: ConnectorSpec, context: Context) -> None: ...

    async def run(self) -> None:
        """Connect, restore subscriptions, emit; on loss say so once, back off and connect again."""
        ...


@runtime_checkable
class Mendable(Protocol):
    """A connector that takes a mended dead letter as if its device had sent it."""

    async def run_again(self, raw: bytes, source: str) -> int:
        """Decode ``raw`` and emit it; ``source`` is the one its dead letter named. Return the number of samples.

        Raises:
            DecodeError: it is still wrong, and in what.
        """
        ...


def load(kind: str) -> tuple[Manifest, type[Connector]]:
    """Return the manifest and class of a connector kind.

    Raises:
        InvalidInputError: no installed connector has this kind.
    """
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if kind not in found:
        raise InvalidInputError(f"no connector of kind {kind!r}", fix=f"one of {', '.join(sorted(found))}")
    connector: Any = found[kind].load()
    return connector.MANIFEST, connector


def kinds() -> list[str]:
    """Return the kinds of all installed connectors."""
    return sorted(point.name for point in entry_points(group=ENTRY_POINTS))


async def keep_connected(
    context: Context,
    session: Callable[[], Awaitable[None]],
    *,
    first_delay: float = 0.5,
    longest_delay: float = 30.0,
) -> None:
    """Run ``session`` again and again: back off with jitter after a failure, start short again after success.

    Args:
        session: connects, calls ``context.up()``, serves until the device is lost, and raises or returns then.
        first_delay, longest_delay: seconds.
    """
    delay = first_delay
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await session()
            reason = "the device closed the connection"
        except asyncio.CancelledError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            logger.debug("%s: session ended", context.spec.id, exc_info=True)
        context.down(reason)
        delay = first_delay if loop.time() - began > 10 else min(delay * 2, longest_delay)
        await asyncio.sleep(delay * random.uniform(0.7, 1.3))

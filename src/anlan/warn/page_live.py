"""Early warning in the frame that all pages share: open warnings by grade, risk colours, predicted alarms."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from anlan.core.actor import SYSTEM
from anlan.core.errors import AnlanError
from anlan.core.events import EventType
from anlan.core.time import SECOND, now_us
from anlan.warn.model import LIVE, ListWarnings, WarningList, WarningRow, WarnLive
from anlan.web.live.frame import covers

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from anlan.web.context import WebContext

READ_S = 0.5
"""Shortest time between two readings of the open warnings."""
READ_ANYWAY_S = 15.0
SILENT = 6 * SECOND
MOST_PREDICTIONS = 12

_decode = msgspec.json.Decoder(WarnLive).decode


class WarnFeed:
    """Follows ``live.warn`` and the transitions of warnings.

    Its part of the frame: ``t`` time of the warnings (µs UTC), ``silent``, ``open`` by grade red … blue, ``rev``
    (differs whenever a list of warnings may), ``col`` colour and index by path (only those that changed), ``pred``
    soonest first.
    """

    name = "warn"

    def __init__(self) -> None:
        self.live: WarnLive | None = None
        self.heard = 0
        self.rev = 0
        self._rows: tuple[WarningRow, ...] = ()
        self._open: tuple[tuple[str, int], ...] = ()
        self._changed: set[str] = set()
        self._predicted = True
        self._due = asyncio.Event()

    async def run(self, context: WebContext, nudge: Callable[[], None]) -> None:
        """Follow until cancelled."""
        client = context.fabric.client
        kinds = (EventType.WARNING, EventType.WARNING_MISSED, EventType.MODEL)
        subscriptions = [
            await client.subscribe(LIVE, cb=self._take),
            *[await client.subscribe(f"events.{kind.value}", cb=self._event) for kind in kinds],
        ]
        try:
            while True:
                self._due.clear()
                await self._read(context)
                nudge()
                await asyncio.sleep(READ_S)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._due.wait(), READ_ANYWAY_S)
        finally:
            for subscription in subscriptions:
                with contextlib.suppress(Exception):
                    await subscription.unsubscribe()

    async def _read(self, context: WebContext) -> None:
        try:
            found = await context.fabric.call("warn.warnings", ListWarnings(limit=5000), SYSTEM, WarningList, timeout=5)
        except AnlanError:
            return
        if found.rows != self._rows:
            self._rows = found.rows
            self._open = tuple((row.path, int(row.grade)) for row in found.rows)
            self.rev += 1

    async def _event(self, _message: Msg) -> None:
        # Lists of closed and missed ones change too.
        self.rev += 1
        self._due.set()

    async def _take(self, message: Msg) -> None:
        try:
            live = _decode(message.data)
        except msgspec.MsgspecError:
            return
        before = self.live.colours if self.live is not None else {}
        self._changed |= {path for path, colour in live.colours.items() if before.get(path) != colour}
        self._changed |= before.keys() - live.colours.keys()
        self._predicted |= self.live is None or live.predictions != self.live.predictions
        self.live, self.heard = live, now_us()

    def part(self, key: tuple[str, ...], full: bool) -> dict[str, Any] | None:
        """Return what people who see the places of ``key`` get."""
        live = self.live
        body: dict[str, Any] = {
            "t": live.time if live is not None else 0,
            "silent": now_us() - self.heard > SILENT,
            "open": _by_grade(grade for path, grade in self._open if covers(key, path)),
            "rev": self.rev,
        }
        if live is None:
            return body
        paths = live.colours if full else self._changed
        if paths:
            body["col"] = {path: live.colours.get(path) for path in paths if covers(key, path)}
        if full or self._predicted:
            body["pred"] = [item for item in live.predictions if covers(key, item.path)][:MOST_PREDICTIONS]
        return body

    def settle(self) -> None:
        """Forget the changes once they are in a frame."""
        self._changed.clear()
        self._predicted = False


def _by_grade(grades: Iterable[int]) -> list[int]:
    counts = [0, 0, 0, 0]
    for grade in grades:
        counts[min(4, max(1, grade)) - 1] += 1
    return counts

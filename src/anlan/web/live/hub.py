"""The hub: one frame a second for all open pages, made once for each set of places.

A page gets a full frame first and deltas afterwards. A page that is too slow loses the oldest frames and then gets a
full one. The hub keeps no state of its own: it reads the alarm service, the gateway and what ``WebContext`` watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.errors import AnlanError
from anlan.core.events import AlarmTransition, EventType, decode_event
from anlan.core.time import MINUTE, SECOND, now_us
from anlan.store.historian.requests import JournalPage, JournalQuery
from anlan.web import registry
from anlan.web.live import frame as frames
from anlan.web.live.frame import AlarmBook, Key
from anlan.web.live.model import Source, Standing, StandingList, Trouble
from anlan.web.sse import Places

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from anlan.core.actor import Actor
    from anlan.web.context import WebContext

logger = logging.getLogger(__name__)

PERIOD_S = 1.0
NUDGE_S = 0.15
QUEUE = 4
READ_ANYWAY = 10 * SECOND
ASIDE_EVERY = 5 * SECOND
SOURCES_EVERY = 3 * SECOND
SILENT = 5 * SECOND
VIEWS = ("shelved", "suppressed", "out-of-service")
EXPECTED = ("gateway", "alarms", "historian", "works")

_encode = msgspec.json.Encoder().encode


class Page:
    """One open page: what it wants to see and the frames that wait for it."""

    def __init__(self, hub: Hub, actor: Actor) -> None:
        self.hub = hub
        self.actor = actor
        self.key: Key = Places.key(actor)
        self.wanted: NDArray[np.int32] = np.empty(0, np.int32)
        self.behind = True
        self.queue: deque[str] = deque()
        self.wake = asyncio.Event()

    def want(self, numbers: Sequence[int]) -> None:
        """Take the point numbers the page shows from now on and send their values at once."""
        self.wanted = np.array(sorted(set(numbers))[:5000], np.int32)
        if not self.behind:
            self.put('{"v":' + self.hub.values_of(self.key, self.wanted).decode() + "}")

    def put(self, text: str) -> None:
        """Queue a frame; a full queue loses the oldest ones and the page gets a full frame next."""
        if len(self.queue) >= QUEUE:
            self.hub.dropped += len(self.queue)
            self.queue.clear()
            self.behind = True
        else:
            self.queue.append(text)
        self.wake.set()

    async def next(self) -> str:
        """Return the next frame to send."""
        while not self.queue:
            self.wake.clear()
            await self.wake.wait()
        return self.queue.popleft()


class Hub:
    """See the module."""

    def __init__(self, context: WebContext) -> None:
        self.context = context
        self.places = Places(context.plant)
        self.pages: set[Page] = set()
        self.dropped = 0
        self.frames = 0
        self.book = AlarmBook()
        self.sources: tuple[Source, ...] = ()
        self.feeds = registry.feeds()
        self._aside: dict[str, tuple[Standing, ...]] | None = None
        self._raises: deque[tuple[int, str]] = deque()
        self._started = now_us()
        self._rate_known = False
        self._dirty = True
        self._nudge = asyncio.Event()
        self._due: dict[str, int] = {}
        self._list_error = ""
        self._changed: set[int] = set()
        self._quality: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._full: dict[Key, bytes] = {}

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Make frames until cancelled."""
        self.context.values.on_batch.append(self._note_values)
        self.context.plant.on_change.append(lambda _plant: self._everyone_behind())
        await self.context.fabric.client.subscribe(f"events.{EventType.ALARM}", cb=self._note_event)
        # While the log refuses, alarms ring provisionally and the monitor lists them: read the list at once.
        await self.context.fabric.client.subscribe(log.LIVE_ALARM, cb=self._note_provisional)
        await self._remember_rate()
        following = [asyncio.ensure_future(self._follow(feed)) for feed in self.feeds]
        try:
            await self._make_frames()
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)

    async def _follow(self, feed: registry.Feed) -> None:
        while True:
            try:
                await feed.run(self.context, self._nudge.set)
            except Exception:
                # A room's part that fails must not take the frame with it.
                logger.exception("the feed %s failed and begins anew", feed.name)
            await asyncio.sleep(PERIOD_S)

    async def _make_frames(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._turn()
            except Exception:
                # One bad frame must not freeze every page for good.
                logger.exception("a frame failed")
            await asyncio.sleep(NUDGE_S)
            rest = PERIOD_S - (loop.time() - began)
            if rest > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._nudge.wait(), rest)
            self._nudge.clear()

    def nudge(self) -> None:
        """Make the next frame soon: somebody has just acted and wants to see it."""
        self._dirty = True
        self._nudge.set()

    def open(self, actor: Actor) -> Page:
        """Return a page for an actor; close it with ``close``."""
        page = Page(self, actor)
        self.pages.add(page)
        self._nudge.set()
        return page

    def close(self, page: Page) -> None:
        """Forget a page."""
        self.pages.discard(page)

    def _everyone_behind(self) -> None:
        self._quality = np.empty(0, np.uint8)
        self._dirty = True
        for page in self.pages:
            page.behind = True

    # --- what comes in --------------------------------------------------------------------------------------------

    def _note_values(self, rows: NDArray[np.intp]) -> None:
        self._changed.update(rows.tolist())

    async def _note_event(self, message: Msg) -> None:
        self._dirty = True
        try:
            event = decode_event(message.data)
            transition = msgspec.convert(event.data, AlarmTransition)
        except msgspec.MsgspecError:
            return
        if transition.arrow == "raise" and transition.rung:
            self._raises.append((event.time, self.context.plant.path_of_alarm(transition.alarm, transition.point)))

    async def _note_provisional(self, _message: Msg) -> None:
        self.nudge()

    async def _remember_rate(self) -> None:
        """Read the raises of the last ten minutes, so that a restarted console shows the true rate."""
        now = now_us()
        query = JournalQuery(types=(EventType.ALARM,), start=now - 10 * MINUTE, end=now, limit=1000)
        try:
            page = await self.context.fabric.call("historian.journal", query, SYSTEM, JournalPage, timeout=3)
        except AnlanError:
            return
        for event in reversed(page.events):
            if event.data.get("arrow") == "raise" and event.data.get("rung", True):
                path = self.context.plant.path_of_alarm(str(event.data.get("alarm", "")))
                self._raises.append((event.time, path))
        self._rate_known = True

    async def _read(self, now: int) -> None:
        if self._dirty or now >= self._due.get("alarms", 0):
            self._dirty = False
            try:
                self.book.read((await self._alarms("standing")).rows)
                self._due["alarms"] = now + READ_ANYWAY
                self._list_error = ""
            except AnlanError as error:
                self._dirty = True
                self._list_error = str(error)
        if now >= self._due.get("aside", 0) and not self._list_error:
            self._due["aside"] = now + ASIDE_EVERY
            try:
                self._aside = {view: (await self._alarms(view)).rows for view in VIEWS}
            except AnlanError:
                self._aside = None
        if now >= self._due.get("sources", 0):
            self._due["sources"] = now + SOURCES_EVERY
            try:
                self.sources = await self.context.fabric.call(
                    "perceive.connectors", {}, SYSTEM, tuple[Source, ...], timeout=1
                )
            except AnlanError:
                self.sources = ()

    async def _alarms(self, view: str) -> StandingList:
        return await self.context.fabric.call("monitor.alarms", {"view": view}, SYSTEM, StandingList, timeout=2)

    # --- what goes out --------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        now = now_us()
        await self._read(now)
        quality = self._quality_changes()
        changed = np.fromiter(self._changed, np.intp, len(self._changed))
        changed = np.sort(changed[changed < len(self.context.values.point)])
        self._changed.clear()
        self.frames += 1
        self._full.clear()
        shared: dict[Key, bytes] = {}
        for page in list(self.pages):
            if page.behind:
                page.behind = False
                page.queue.clear()
                page.put(frames.join(self._full_part(page.key, now), self.values_of(page.key, page.wanted)))
                continue
            if page.key not in shared:
                shared[page.key] = self._delta_part(page.key, now, quality)
            page.put(frames.join(shared[page.key], self._some(page, changed)))
        self.book.settle()
        for feed in self.feeds:
            feed.settle()

    def _quality_changes(self) -> NDArray[np.intp]:
        current = self.context.values.quality
        before = self._quality
        rows = np.arange(0) if len(before) != len(current) else np.flatnonzero(before != current)
        self._quality = current.copy()
        return rows.astype(np.intp)

    def _some(self, page: Page, changed: NDArray[np.intp]) -> bytes:
        if not len(changed) or not len(page.wanted):
            return b"[]"
        values = self.context.values
        mine = changed[np.isin(values.point[changed], page.wanted)]
        return self._encode(page.key, mine)

    def values_of(self, key: Key, numbers: NDArray[np.int32]) -> bytes:
        """Return the last values of some points, those outside the places left out."""
        if not len(numbers):
            return b"[]"
        return self._encode(key, np.flatnonzero(np.isin(self.context.values.point, numbers)))

    def _encode(self, key: Key, rows: NDArray[np.intp]) -> bytes:
        values = self.context.values
        rows = rows[self.places.mask(key, values.point)[rows]]
        rows = rows[values.time[rows] > 0]
        return frames.values_json(values.point, values.value, values.quality, values.time, rows)

    def _full_part(self, key: Key, now: int) -> bytes:
        if key not in self._full:
            values = self.context.values
            rows = np.flatnonzero((values.quality >= 0x40) & self.places.mask(key, values.point))
            body = self._common(key, now)
            body["full"] = True
            body["up"] = [row for row in self.book.rows.values() if frames.covers(key, row.path)]
            body["q"] = list(zip(values.point[rows].tolist(), values.quality[rows].tolist(), strict=True))
            body["x"] = self._extra(key, full=True)
            self._full[key] = _encode(body)
        return self._full[key]

    def _delta_part(self, key: Key, now: int, quality: NDArray[np.intp]) -> bytes:
        values = self.context.values
        body = self._common(key, now)
        if up := [row for row in self.book.changed if frames.covers(key, row.path)]:
            body["up"] = up
        if gone := [row.alarm for row in self.book.gone if frames.covers(key, row.path)]:
            body["gone"] = gone
        rows = quality[self.places.mask(key, values.point)[quality]] if len(quality) else quality
        if len(rows):
            codes = values.quality[rows]
            shown = np.where(codes >= 0x40, codes, 0)
            body["q"] = list(zip(values.point[rows].tolist(), shown.tolist(), strict=True))
        if extra := self._extra(key, full=False):
            body["x"] = extra
        return _encode(body)

    def _extra(self, key: Key, *, full: bool) -> dict[str, Any]:
        """Return the parts of the frame that rooms above the web floor add."""
        parts = {feed.name: feed.part(key, full) for feed in self.feeds}
        return {name: part for name, part in parts.items() if part is not None}

    def _common(self, key: Key, now: int) -> dict[str, Any]:
        rows = [row for row in self.book.rows.values() if frames.covers(key, row.path)]
        aside: dict[str, Sequence[Standing]] | None = dict(self._aside) if self._aside is not None else None
        if aside is not None:
            aside = {view: tuple(row for row in found if frames.covers(key, row.path)) for view, found in aside.items()}
        return {
            "n": self.frames,
            "t": now,
            "rev": self.context.plant.revision,
            "counts": frames.count(rows, aside),
            "kpi": self._figures(key, now),
            "parts": {report.process: report for report in self.context.parts.reports(now)},
            "problems": self.troubles(now),
        }

    def _figures(self, key: Key, now: int) -> dict[str, Any]:
        values = self.context.values
        while self._raises and self._raises[0][0] < now - 10 * MINUTE:
            self._raises.popleft()
        mask = self.places.mask(key, values.point)
        good = mask & (values.quality < 0x40) & (values.time > 0)
        newest = int(values.time[good].max()) if good.any() else 0
        figures: dict[str, Any] = {
            "points": frames.tally(values.quality[mask], values.time[mask]),
            "rate": sum(frames.covers(key, path) for _, path in self._raises),
            "rate_partial": not self._rate_known and now - self._started < 10 * MINUTE,
            "delay": max(0.0, (now - newest) / 1000) if newest else None,
            "connectors": {"up": sum(source.state == "up" for source in self.sources), "total": len(self.sources)},
        }
        plant = self.context.plant.plant
        if plant is not None and not self.sources:
            figures["connectors"] = {"up": None, "total": len(plant.connectors)}
        return figures

    def troubles(self, now: int) -> list[Trouble]:
        """Return what is wrong with Anlan itself at ``now`` (µs UTC), the gravest first."""
        found: list[Trouble] = []
        if not self.context.fabric.client.is_connected:
            found.append(Trouble("problem.fabric", grave=True))
        if self.context.plant.plant is None:
            found.append(Trouble("problem.no_plant", grave=True))
        reports = {report.process: report for report in self.context.parts.reports(now)}
        for process in EXPECTED:
            report = reports.get(process)
            alarms = process == "alarms"
            if report is None:
                if now - self._started > SILENT:
                    key = "problem.alarms_missing" if alarms else "problem.process_missing"
                    found.append(Trouble(key, {"process": process}, grave=alarms))
            elif now - report.time > SILENT:
                key = "problem.alarms_silent" if alarms else "problem.process_silent"
                found.append(Trouble(key, {"process": process, "seconds": (now - report.time) // SECOND}, grave=alarms))
        if self._list_error:
            found.append(Trouble("problem.alarm_list", {"reason": self._list_error}, grave=True))
        if down := [source.name or source.id for source in self.sources if source.state in ("down", "misconfigured")]:
            found.append(Trouble("problem.connectors_down", {"n": len(down), "names": ", ".join(down[:4])}))
        for process, report in reports.items():
            if now - report.time <= SILENT:
                found += [Trouble("problem.told", {"process": process, "text": text}) for text in report.problems]
        return sorted(found, key=lambda trouble: not trouble.grave)

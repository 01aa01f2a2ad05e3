"""The tab of presence: how many people are in each area, by gates and by hand; count them. No names."""

from __future__ import annotations

import html
from typing import Any

from anlan.core.actor import Permission
from anlan.core.errors import InvalidInputError
from anlan.core.time import HOUR
from anlan.plant.registers.model import CountPeople, HeadCount, ListPresence, Presence, PresenceHistory
from anlan.web.components import Form, grid, live, raw, say, set_rows
from anlan.web.pages.barriers import PINNED, place_names
from anlan.web.shell import View

REFRESH_S = 5


async def draw(view: View, tools: Any) -> None:
    """Draw the tab."""
    await _Tab(view).draw(tools)


class _Tab:
    def __init__(self, view: View) -> None:
        self.view = view
        self.found: dict[str, Presence] = {}
        self.places = place_names(view, view.context.plant.require())

    async def draw(self, tools: Any) -> None:
        view, t = self.view, self.view.t
        columns = [
            {"key": "area", "headerName": t("presence.area"), "flex": 1.2, "minWidth": 140},
            {"key": "enterprise", "headerName": t("presence.enterprise"), "flex": 0.8, "minWidth": 110},
            {"key": "count", "headerName": t("presence.people"), "right": True, "width": 90},
            {"key": "source", "headerName": t("presence.source"), "format": "pill", "width": 150},
            {"key": "time", "headerName": t("presence.time"), "format": "datetime", "width": 156},
            {"key": "live", "headerName": t("presence.gate"), "format": "link", "right": True, "width": 110},
            {"key": "hand", "headerName": t("presence.hand"), "right": True, "width": 100},
            {"key": "until", "headerName": t("presence.until"), "format": "datetime", "width": 156},
            {"key": "working", "headerName": t("presence.working"), "right": True, "width": 100},
            {"key": "act", "headerName": t("col.act"), "format": "buttons", "width": 142, **PINNED},
        ]
        grid(
            "presence",
            columns,
            await self.rows(),
            id_field="path",
            event="an_people",
            empty=t("presence.none"),
            hint=t("presence.none_hint"),
        )
        live("pulse", "hidden", event="an_presence", every=REFRESH_S)
        with tools:
            self.sum = raw(self.sum_html(), classes="bar").style("gap:6px")
        view.on("an_presence", lambda _: self.refresh())
        view.on("an_people", self.act)

    async def rows(self) -> list[dict[str, Any]]:
        answer = await self.view.call("registers.presence", ListPresence(), tuple[Presence, ...])
        self.found = {item.path: item for item in answer}
        return [self.row(item) for item in answer]

    async def refresh(self) -> None:
        set_rows("presence", await self.rows())
        self.sum.set_content(self.sum_html())  # type: ignore[attr-defined]  # it is an html element

    def sum_html(self) -> str:
        items = self.found.values()
        t = self.view.t
        people = sum(item.count or 0 for item in items if not item.stale)
        unknown = sum(item.stale for item in items)
        shown = f'<span class="low">{html.escape(t("presence.sum", n=f"{people:g}"))}</span>'
        if unknown:
            shown += f'<span class="pill warn">{html.escape(t("presence.unknown", n=unknown))}</span>'
        return shown

    def row(self, item: Presence) -> dict[str, Any]:
        t = self.view.t
        if item.source:
            words = t(f"presence_source.{item.source}")
            source = {"text": t("presence.stale", source=words), "tone": "warn"} if item.stale else {"text": words}
        else:
            source = {"text": t("presence.never"), "tone": "warn"}
        hand = item.hand
        may = self.view.actor.may(Permission.RECORD_PRESENCE, item.path)
        off = "" if may else t("presence.may_not")
        return {
            "path": item.path,
            "area": self.places.get(item.path, item.path),
            "enterprise": self.places.get(item.path.partition("/")[0], ""),
            "count": "–" if item.count is None else f"{item.count:g}",
            "source": source,
            "time": item.time,
            "live": self.gate(item),
            "hand": "–" if hand is None else str(hand.count),
            "until": hand.until if hand is not None else 0,
            "working": item.working or "–",
            "act": [
                {"verb": "count", "text": t("presence.count"), "off": off},
                {"verb": "history", "text": t("presence.history"), "off": ""},
            ],
        }

    def gate(self, item: Presence) -> dict[str, str] | None:
        """Return what gates say, with the address of its trend; null where an area has none."""
        by_path = self.view.context.plant.by_path
        numbers = ",".join(str(by_path[path].number) for path in item.points if path in by_path)
        if not item.points:
            return None
        return {"text": "–" if item.live is None else f"{item.live:g}", "href": f"/trends?points={numbers}"}

    async def act(self, message: dict[str, Any]) -> None:
        item = self.found.get(str(message["id"]))
        if item is None:
            return
        if message["verb"] == "history":
            await self.history(item)
        else:
            self.count(item)

    def count(self, item: Presence) -> None:
        """Ask for a number."""
        view, t = self.view, self.view.t
        with Form(view, t("presence.count_title", area=self.places.get(item.path, item.path))) as form:
            form.number("count", t("presence.people"), item.count if item.source else None, min=0, max=100_000)
            form.number("hours", t("presence.holds"), 8, min=0.1, max=168)
            form.text("comment", t("presence.how"), area=True)
            form.note(t("presence.no_names"))

        async def enter(values: dict[str, Any]) -> None:
            if values["count"] is None:
                raise InvalidInputError(t("presence.number_needed"))
            holds = round(float(values["hours"] or 0) * HOUR)
            request = CountPeople(item.path, int(values["count"]), holds, str(values["comment"] or "").strip())
            await view.call("registers.presence.count", request, Presence)
            say(t("register.done"))
            await self.refresh()

        form.open(enter, t("presence.count"))

    async def history(self, item: Presence) -> None:
        """Show the counts by hand of an area; what gates say is a trend."""
        view, t = self.view, self.view.t
        request = PresenceHistory(item.path, limit=100)
        counts = await view.call("registers.presence.history", request, tuple[HeadCount, ...])
        with Form(view, t("presence.history_title", area=self.places.get(item.path, item.path)), wide=True) as form:
            if not counts:
                form.note(t("presence.no_history"))
            for row in counts:
                raw(
                    '<div class="bar" style="gap:10px">'
                    f'<span class="num low" data-an="time" data-us="{row.time}"></span>'
                    f'<b class="num">{row.count}</b><span>{html.escape(row.comment)}</span>'
                    f'<span class="low">{html.escape(row.who)}</span></div>'
                )
            for path in item.points:
                point = view.context.plant.by_path.get(path)
                if point is not None:
                    raw(
                        f'<a href="/trends?points={point.number}">{html.escape(t("presence.trend", tag=point.tag))}</a>'
                    )
        form.show()

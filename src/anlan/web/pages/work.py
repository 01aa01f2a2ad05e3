"""The tab of work in progress: what is done where, by how many, until when; enter, begin, extend, finish, cancel."""

from __future__ import annotations

import html
from typing import Any

from anlan.core.actor import Permission
from anlan.core.errors import InvalidInputError
from anlan.core.time import HOUR, now_us
from anlan.plant.registers.machine import WORK, Guard
from anlan.plant.registers.model import ActOnWork, ListWork, PlanWork, Work
from anlan.plant.registers.vocabulary import work_kinds
from anlan.web.components import Form, button, grid, live, raw, say, set_rows
from anlan.web.pages.barriers import PINNED, place_names
from anlan.web.pages.tabs import switch
from anlan.web.shell import View

TONES = {"overdue": "bad", "active": "warn", "planned": "", "finished": "dim", "cancelled": "dim", "lapsed": "dim"}
REFRESH_S = 15


async def draw(view: View, tools: Any) -> None:
    """Draw the tab."""
    await _Tab(view).draw(tools)


class _Tab:
    def __init__(self, view: View) -> None:
        self.view = view
        self.found: dict[str, Work] = {}
        self.standing = view.request.query_params.get("all") is None
        self.places = place_names(view, view.context.plant.require())

    async def draw(self, tools: Any) -> None:
        view, t = self.view, self.view.t
        columns = [
            {"key": "state", "headerName": t("col.state"), "format": "pill", "width": 100},
            {"key": "kind", "headerName": t("work.kind"), "width": 150},
            {"key": "place", "headerName": t("barrier.place"), "flex": 1, "minWidth": 130},
            {"key": "text", "headerName": t("work.text"), "flex": 1.6, "minWidth": 160},
            {"key": "persons", "headerName": t("work.persons"), "width": 90, "right": True},
            {"key": "permit", "headerName": t("work.permit"), "width": 130},
            {"key": "start", "headerName": t("work.start"), "format": "datetime", "width": 156},
            {"key": "end", "headerName": t("work.end"), "format": "datetime", "width": 156},
            {"key": "who", "headerName": t("work.who"), "width": 90},
            {"key": "act", "headerName": t("col.act"), "format": "buttons", "width": 146, **PINNED},
        ]
        grid(
            "work",
            columns,
            await self.rows(),
            id_field="id",
            event="an_work",
            empty=t("work.none"),
            hint=t("work.none_hint"),
        )
        live("pulse", "hidden", event="an_works", every=REFRESH_S)
        with tools:
            self.sum = raw(self.sum_html(), classes="bar").style("gap:4px;margin-right:10px")
            address = "/registers?tab=work"
            switch(
                address,
                [("", t("register.standing_only"), self.standing), ("&all=1", t("register.all"), not self.standing)],
            )
            off = "" if view.may(Permission.LOG_SHIFT) else t("barrier.may_not_log")
            button(t("work.add"), view.guarded(self.plan), main=True, off=off)
        view.on("an_works", lambda _: self.refresh())
        view.on("an_work", self.act)

    async def rows(self) -> list[dict[str, Any]]:
        answer = await self.view.call("registers.works", ListWork(standing=self.standing), tuple[Work, ...])
        self.found = {item.id: item for item in answer}
        return [self.row(item) for item in answer]

    async def refresh(self) -> None:
        set_rows("work", await self.rows())
        self.sum.set_content(self.sum_html())  # type: ignore[attr-defined]  # it is an html element

    def sum_html(self) -> str:
        active = [item for item in self.found.values() if item.state in ("active", "overdue")]
        if not active:
            return ""
        words = self.view.t("work.sum", works=len(active), persons=sum(item.persons for item in active))
        return f'<span class="low">{html.escape(words)}</span>'

    def kind(self, name: str) -> str:
        """Return a kind's name in the page's language."""
        kind = work_kinds().get(name)
        return (kind.zh if self.view.zh else kind.en) if kind is not None else name

    def row(self, item: Work) -> dict[str, Any]:
        return {
            "id": item.id,
            "state": {"text": self.view.t(f"work_state.{item.state}"), "tone": TONES[item.state]},
            "kind": self.kind(item.kind),
            "place": self.places.get(item.path, item.path),
            "text": " · ".join(part for part in (item.text, item.comment) if part),
            "persons": item.persons,
            "permit": item.permit,
            "start": item.began or item.start,
            "end": item.finished or item.end,
            "who": item.finished_by or item.began_by or item.who,
            "act": self.buttons(item),
        }

    def buttons(self, item: Work) -> list[dict[str, str]]:
        may = self.view.actor.may(Permission.LOG_SHIFT, item.path)
        off = "" if may else self.view.t("barrier.may_not_log")
        return [
            {"verb": arrow.verb, "text": self.view.t(f"regverb.{arrow.verb}"), "off": off}
            for arrow in WORK.arrows
            if arrow.before == item.state and arrow.guard is not Guard.SYSTEM
        ]

    def plan(self) -> None:
        """Ask for a piece of work."""
        view, t = self.view, self.view.t
        places = {
            path: f"{name} · {path}" for path, name in self.places.items() if view.actor.may(Permission.LOG_SHIFT, path)
        }
        with Form(view, t("work.add")) as form:
            form.choice("kind", t("work.kind"), {name: self.kind(name) for name in work_kinds()}, "hot-work")
            form.pick("path", t("barrier.place"), places)
            form.number("persons", t("work.persons"), 2, min=0, max=10_000)
            form.text("permit", t("work.permit_number"))
            form.text("text", t("work.text"), area=True)
            form.number("start", t("work.in_hours"), 0, min=0, max=24 * 30)
            form.number("hours", t("work.hours"), 4, min=0.25, max=24 * 31)
            form.check("begin", t("work.begin_now"), value=True)
            form.note(t("work.no_permit_note"))

        async def enter(values: dict[str, Any]) -> None:
            if not values["path"]:
                raise InvalidInputError(t("work.place_needed"))
            after = float(values["start"] or 0)
            start = now_us() + round(after * HOUR)
            request = PlanWork(
                kind=str(values["kind"]),
                path=str(values["path"]),
                end=start + round(float(values["hours"] or 0) * HOUR),
                persons=int(values["persons"] or 0),
                start=start if after else 0,
                text=str(values["text"] or "").strip(),
                permit=str(values["permit"] or "").strip(),
                begin=bool(values["begin"]) and not after,
            )
            await view.call("registers.work.plan", request, Work)
            say(t("register.done"))
            await self.refresh()

        form.open(enter, t("work.add"))

    def act(self, message: dict[str, Any]) -> None:
        item = self.found.get(str(message["id"]))
        if item is None:
            return
        view, t, verb = self.view, self.view.t, str(message["verb"])
        needed = WORK.arrow(item.state, verb).needs_comment
        what = f"{self.kind(item.kind)} {self.places.get(item.path, item.path)}"
        with Form(view, t("register.act_title", verb=t(f"regverb.{verb}"), what=what)) as form:
            if item.text:
                form.note(item.text, "hi")
            if verb == "extend":
                form.number("hours", t("work.more_hours"), 2, min=0.25, max=24 * 31)
            if verb in ("begin", "extend"):
                form.number("persons", t("work.persons"), item.persons, min=0, max=10_000)
            form.text("comment", t("register.comment_needed" if needed else "register.comment"), area=True)

        async def fire(values: dict[str, Any]) -> None:
            comment = str(values["comment"] or "").strip()
            if needed and not comment:
                raise InvalidInputError(t("acts.reason_needed"))
            end = now_us() + round(float(values["hours"] or 0) * HOUR) if verb == "extend" else 0
            persons = int(values["persons"]) if values.get("persons") is not None else -1
            await view.call("registers.work.act", ActOnWork(item.id, verb, comment, end, persons), Work)
            say(t("register.done"))
            await self.refresh()

        form.open(fire, t(f"regverb.{verb}"), danger=verb == "cancel")

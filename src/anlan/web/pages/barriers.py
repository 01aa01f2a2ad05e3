"""The tab of barriers: what safeguards there are, how they are now and why; record tests, report and restore."""

from __future__ import annotations

import html
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from anlan.core.actor import Permission
from anlan.core.errors import InvalidInputError
from anlan.core.time import DAY, HOUR, SECOND, now_us
from anlan.plant.model import Plant
from anlan.plant.registers.barrier_engine import GRAVITY
from anlan.plant.registers.machine import DEGRADATION
from anlan.plant.registers.model import (
    Act,
    BarrierEntry,
    BarrierHealth,
    BarrierHistory,
    BarrierReason,
    ListBarriers,
    RecordTest,
    ReportBarrier,
)
from anlan.plant.registers.vocabulary import barrier_kinds
from anlan.web.components import Form, grid, live, raw, say, set_rows, text
from anlan.web.pages.tabs import switch
from anlan.web.shell import View

TONES = {"failed": "bad", "bypassed": "warn", "degraded": "warn", "overdue": "warn", "healthy": ""}
PINNED = {"pinned": "right", "sortable": False}
REFRESH_S = 10


async def draw(view: View, tools: Any) -> None:
    """Draw the tab."""
    await _Tab(view).draw(tools)


def place_names(view: View, plant: Plant) -> dict[str, str]:
    """Return the names of enterprises, areas and units by path, in the page's language."""
    return {place.path: view.named(place) for places in (plant.places, plant.units) for place in places}


class _Tab:
    def __init__(self, view: View) -> None:
        self.view = view
        self.found: dict[str, BarrierHealth] = {}
        self.impaired = view.request.query_params.get("impaired") is not None
        plant = view.context.plant.require()
        self.places = place_names(view, plant)
        self.zone = ZoneInfo(plant.site.timezone)

    async def draw(self, tools: Any) -> None:
        view, t = self.view, self.view.t
        columns = [
            {"key": "state", "headerName": t("col.state"), "format": "pill", "width": 116},
            {"key": "name", "headerName": t("barrier.barrier"), "flex": 1.5, "minWidth": 170},
            {"key": "place", "headerName": t("barrier.place"), "flex": 0.9, "minWidth": 110},
            {"key": "why", "headerName": t("barrier.why"), "flex": 1.8, "minWidth": 190},
            {"key": "demand", "headerName": t("barrier.demand"), "flex": 0.9, "minWidth": 110},
            {"key": "points", "headerName": t("barrier.points"), "width": 84, "right": True},
            {"key": "last_test", "headerName": t("barrier.last_test"), "format": "pill", "width": 150},
            {"key": "due", "headerName": t("barrier.due"), "width": 104},
            {"key": "act", "headerName": t("col.act"), "format": "buttons", "width": 200, **PINNED},
        ]
        grid(
            "barriers",
            columns,
            await self.rows(),
            id_field="id",
            event="an_barrier",
            click="an_barrier_open",
            empty=t("barrier.none_impaired" if self.impaired else "barrier.none"),
            hint=t("barrier.none_impaired_hint" if self.impaired else "barrier.none_hint"),
        )
        live("pulse", "hidden", event="an_barriers", every=REFRESH_S)
        with tools:
            self.counts = raw(self.counts_html(), classes="bar").style("gap:4px;margin-right:10px")
            switch(
                "/registers?tab=barriers",
                [("", t("register.all"), not self.impaired), ("&impaired=1", t("barrier.impaired"), self.impaired)],
            )
        view.on("an_barriers", lambda _: self.refresh())
        view.on("an_barrier", self.act)
        view.on("an_barrier_open", self.open)

    async def rows(self) -> list[dict[str, Any]]:
        request = ListBarriers(impaired=self.impaired)
        answer = await self.view.call("registers.barriers", request, tuple[BarrierHealth, ...])
        self.found = {item.id: item for item in answer}
        return [self.row(item) for item in answer]

    async def refresh(self) -> None:
        set_rows("barriers", await self.rows())
        self.counts.set_content(self.counts_html())  # type: ignore[attr-defined]  # it is an html element

    def counts_html(self) -> str:
        counts = dict.fromkeys(GRAVITY, 0)
        for item in self.found.values():
            counts[item.state] += 1
        shown = [(state, n) for state, n in counts.items() if n and not (self.impaired and state == "healthy")]
        words = {state: html.escape(self.view.t(f"barrier_state.{state}")) for state, _ in shown}
        return "".join(f'<span class="pill {TONES[state] or "dim"}">{words[state]} {n}</span>' for state, n in shown)

    def row(self, item: BarrierHealth) -> dict[str, Any]:
        view, t = self.view, self.view.t
        result = t(f"barrier_result.{item.result}") if item.result else t("barrier.no_result")
        tested = f"{result} {self.day(item.last_test)}" if item.last_test else t("barrier.never")
        tone = {"failed": "bad", "degraded": "warn"}.get(item.result, "dim")
        return {
            "id": item.id,
            "state": {"text": t(f"barrier_state.{item.state}"), "tone": TONES[item.state]},
            "name": view.named(item) if item.name or item.name_en else self.kind(item),
            "place": self.places.get(item.path, item.path),
            "why": "; ".join(self.reason(reason) for reason in item.reasons),
            "demand": (item.demand if view.zh else item.demand_en) or item.demand,
            "points": f"{item.available}/{item.points}" if item.points else "–",
            "last_test": {"text": tested, "tone": tone},
            "due": self.day(item.due) if item.due else "–",
            "act": self.buttons(item),
        }

    def kind(self, item: BarrierHealth) -> str:
        """Return a barrier's kind in the page's language."""
        kind = barrier_kinds().get(item.kind)
        return (kind.zh if self.view.zh else kind.en) if kind is not None else item.kind

    def reason(self, reason: BarrierReason) -> str:
        """Return why a barrier is not healthy, in a sentence."""
        t, point = self.view.t, self.view.context.plant.by_path.get(reason.ref)
        where = reason.ref if point is None else f"{point.tag} {self.view.named(point)}".strip()
        words = reason.text
        if reason.kind == "point":
            words = t(f"quality.{reason.text.removeprefix('bad-')}") if reason.text else ""
        if reason.kind == "due":
            words = self.day(reason.since)
        return t(f"barrier_reason.{reason.kind}", where=where, text=words).strip(" :：")

    def buttons(self, item: BarrierHealth) -> list[dict[str, str]]:
        """Return what one can do with a barrier, off with the reason where this person may not."""
        t, actor = self.view.t, self.view.actor
        logs = "" if actor.may(Permission.LOG_SHIFT, item.path) else t("barrier.may_not_log")
        found = [{"verb": "test", "text": t("barrier.test"), "off": logs}]
        if not item.report:
            return [*found, {"verb": "report", "text": t("barrier.report"), "off": logs}]
        for arrow in DEGRADATION.arrows:
            if arrow.before != item.report_state or arrow.verb == "ease":
                continue
            off = "" if actor.may(arrow.permission, item.path) else t("barrier.may_not_restore")
            if item.by_test and arrow.verb != "worsen":
                off = t("barrier.from_test")
            found.append({"verb": arrow.verb, "text": t(f"regverb.{arrow.verb}"), "off": off})
        return found

    def day(self, time: int) -> str:
        """Return the day of a moment (µs UTC) in the site's time zone."""
        return datetime.fromtimestamp(time / SECOND, self.zone).strftime("%Y-%m-%d")

    # --- forms ------------------------------------------------------------------------------------------------------

    def act(self, message: dict[str, Any]) -> None:
        item = self.found.get(str(message["id"]))
        if item is not None:
            {"test": self.test, "report": self.report}.get(str(message["verb"]), self.change)(
                item, str(message["verb"])
            )

    def test(self, item: BarrierHealth, _verb: str) -> None:
        """Ask for the result of a test."""
        view, t = self.view, self.view.t
        with Form(view, t("barrier.test_title", what=view.named(item))) as form:
            results = {key: t(f"barrier_result.{key}") for key in ("passed", "degraded", "failed")}
            form.choice("result", t("barrier.result"), results, "passed")
            form.number("hours", t("barrier.hours_ago"), 0, min=0, max=24 * 366)
            form.text("comment", t("barrier.findings"), area=True)
            form.note(t("barrier.test_note"))

        async def record(values: dict[str, Any]) -> None:
            hours = float(values["hours"] or 0)
            comment = str(values["comment"] or "").strip()
            if values["result"] != "passed" and not comment:
                raise InvalidInputError(t("barrier.findings_needed"))
            time = now_us() - round(hours * HOUR) if hours else 0
            request = RecordTest(item.id, str(values["result"]), comment, time)
            await view.call("registers.barrier.test", request, BarrierHealth)
            say(t("register.done"))
            await self.refresh()

        form.open(record, t("barrier.test"))

    def report(self, item: BarrierHealth, _verb: str) -> None:
        """Ask what is wrong with a barrier."""
        view, t = self.view, self.view.t
        with Form(view, t("barrier.report_title", what=view.named(item))) as form:
            states = {key: t(f"barrier_state.{key}") for key in ("degraded", "failed")}
            form.choice("state", t("col.state"), states, "degraded")
            form.text("reason", t("register.reason"), area=True)
            form.text("measures", t("register.measures"), area=True)
            form.note(t("barrier.report_note"))

        async def tell(values: dict[str, Any]) -> None:
            reason = str(values["reason"] or "").strip()
            if not reason:
                raise InvalidInputError(t("acts.reason_needed"))
            measures = str(values["measures"] or "").strip()
            request = ReportBarrier(item.id, str(values["state"]), reason, measures)
            await view.call("registers.barrier.report", request, BarrierHealth)
            say(t("register.done"))
            await self.refresh()

        form.open(tell, t("barrier.report"))

    def change(self, item: BarrierHealth, verb: str) -> None:
        """Ask why a standing degradation is worse, or how it was mended."""
        view, t = self.view, self.view.t
        with Form(view, t("register.act_title", verb=t(f"regverb.{verb}"), what=view.named(item))) as form:
            for reason in item.reasons:
                form.note(self.reason(reason), "hi")
            form.text("comment", t("barrier.mended" if verb == "restore" else "register.comment_needed"), area=True)

        async def fire(values: dict[str, Any]) -> None:
            request = Act(item.id, verb, str(values["comment"] or "").strip())
            if not request.comment:
                raise InvalidInputError(t("acts.reason_needed"))
            await view.call("registers.barrier.act", request, BarrierHealth)
            say(t("register.done"))
            await self.refresh()

        form.open(fire, t(f"regverb.{verb}"))

    async def open(self, identity: Any) -> None:
        """Show one barrier with its tests and reports."""
        item = self.found.get(str(identity))
        if item is None:
            return
        view, t = self.view, self.view.t
        request = BarrierHistory(item.id, 50)
        entries = await view.call("registers.barrier.history", request, tuple[BarrierEntry, ...])
        with Form(view, view.named(item), wide=True) as form:
            raw(self.card(item))
            text(t("barrier.history"), "b")
            if not entries:
                form.note(t("barrier.no_history"))
            for entry in entries:
                raw(self.line(entry))
        form.show()

    def card(self, item: BarrierHealth) -> str:
        """Return what a barrier is and how it stands, as markup."""
        view, t = self.view, self.view.t
        demand = (item.demand if view.zh else item.demand_en) or item.demand
        facts = [
            (t("col.state"), t(f"barrier_state.{item.state}")),
            (t("col.kind"), self.kind(item)),
            (t("barrier.place"), f"{self.places.get(item.path, '')} · {item.path}"),
            (t("barrier.demand"), demand),
            (t("barrier.interval"), t("barrier.days", n=f"{item.test_interval / DAY:g}") if item.test_interval else ""),
            (t("barrier.points_needed"), f"{item.available}/{item.points} ≥ {item.needed}" if item.points else ""),
            (t("barrier.source"), item.source),
        ]
        rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts if value)
        reasons = "".join(
            f'<div><span class="pill {TONES[reason.state]}">{html.escape(t(f"barrier_state.{reason.state}"))}</span> '
            f"{html.escape(self.reason(reason))}{self.link(reason)}</div>"
            for reason in item.reasons
        )
        return f'<dl class="kv wide left">{rows}</dl><div class="stack" style="gap:6px;margin-top:8px">{reasons}</div>'

    def link(self, reason: BarrierReason) -> str:
        if reason.kind != "point" or reason.ref not in self.view.context.plant.by_path:
            return ""
        return f' <a href="/plant?point={html.escape(reason.ref)}">{html.escape(self.view.t("barrier.to_point"))}</a>'

    def line(self, entry: BarrierEntry) -> str:
        """Return one line of a barrier's history, as markup."""
        t = self.view.t
        state = t(f"barrier_result.{entry.state}" if entry.kind == "test" else f"barrier_state.{entry.state}")
        words = [t(f"barrier_entry.{entry.kind}", state=state), entry.text]
        if entry.measures:
            words.append(f"{t('register.measures')}: {entry.measures}")
        if entry.ended:
            words.append(t("barrier.ended", time=self.day(entry.ended), who=entry.ended_by, text=entry.closing))
        shown = " · ".join(word for word in words if word)
        return (
            f'<div class="bar" style="gap:8px;align-items:baseline"><span class="num low" style="white-space:nowrap">'
            f'{self.day(entry.time)}</span><span>{html.escape(shown)} <span class="low">{html.escape(entry.who)}</span>'
            "</span></div>"
        )

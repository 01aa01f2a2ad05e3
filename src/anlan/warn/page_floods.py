"""Alarm analytics: floods with the likely root and the most similar one before, and proposals for noisy alarms."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from anlan.core.actor import Permission
from anlan.core.errors import AnlanError
from anlan.core.time import DAY, SECOND, now_us
from anlan.plant.registers.model import Change, Edit, ProposeChange
from anlan.warn.model import FloodDetail, FloodRow, ListFloods, ListProposals, Proposal
from anlan.warn.page_acts import client
from anlan.warn.page_rows import alarm_name, clock, span
from anlan.web.components import Form, empty, grid, live, panel, raw, say, set_rows, text
from anlan.web.pages.tabs import switch, tabs
from anlan.web.shell import View

TABS = ("floods", "proposals")
SPANS = (("day", DAY), ("week", 7 * DAY), ("month", 28 * DAY))
ONCE = 1_000_000
"""Frames between two askings of what is asked once."""
MOST_LINES = 120


async def floods(view: View) -> None:
    """Draw the chosen tab; tab, period and flood stand in the address."""
    t, query = view.t, view.request.query_params
    chosen = query.get("tab", TABS[0])
    chosen = chosen if chosen in TABS else TABS[0]
    name = query.get("span", "week")
    period = dict(SPANS).get(name, 7 * DAY)
    with ui.element("div").classes("cols"):
        with panel(t(f"floods.{chosen}"), classes="grow") as tools:
            if chosen == "floods":
                place = _Floods(view, period)
                place.table()
            else:
                _Proposals(view, period).draw()
            with tools:
                switch(
                    f"/floods?tab={chosen}",
                    [(f"&span={key}", t(f"warn.last_{key}"), period == length) for key, length in SPANS],
                )
        tabs(tools, "/floods", [(key, t(f"floods.{key}")) for key in TABS], chosen)
        if chosen == "floods":
            with panel(t("floods.detail"), classes="keep", pad=True, style="width:clamp(420px, 44vw, 860px)"):
                place.detail = ui.element("div").classes("stack")
                with place.detail:
                    empty(t("floods.choose"), t("floods.choose_hint"))


# --- floods -----------------------------------------------------------------------------------------------------------


class _Floods:
    def __init__(self, view: View, period: int) -> None:
        self.view = view
        self.period = period
        self.detail: Any = None

    def table(self) -> None:
        view, t = self.view, self.view.t
        columns = [
            {"key": "start", "headerName": t("floods.start"), "format": "datetime", "width": 165},
            {"key": "length", "headerName": t("floods.length"), "width": 84, "right": True},
            {"key": "alarms", "headerName": t("floods.alarms"), "width": 74, "right": True},
            {"key": "position", "headerName": t("perf.position"), "width": 110, "wide": True},
            {"key": "root", "headerName": t("floods.root"), "flex": 1.4, "minWidth": 140, "cellClass": "strong"},
            {"key": "sure", "headerName": t("floods.sure"), "width": 78, "right": True},
            {"key": "likeness", "headerName": t("floods.likeness"), "width": 88, "right": True},
        ]
        grid(
            "floods", columns, [], id_field="id", click="an_flood", pick=True,
            empty=t("floods.computing"), hint=t("floods.computing_hint"),
        )  # fmt: skip
        live("pulse", "hidden", event="an_floods", every=ONCE)
        view.on("an_floods", lambda _message: self.fill())
        view.on("an_flood", lambda identity: self.show(str(identity)))

    async def fill(self) -> None:
        view, t = self.view, self.view.t
        now = now_us()
        try:
            found = await (await client(view)).floods(ListFloods(now - self.period, now))
        except AnlanError:
            _say_empty("floods", t("warn.silent"), t("warn.silent_hint"))
            raise
        if not found:
            _say_empty("floods", t("floods.none"), t("floods.none_hint"))
        set_rows("floods", [self.row(item) for item in found])
        wanted = view.request.query_params.get("id", "")
        if wanted or found:
            await self.show(wanted or found[0].id)

    def row(self, item: FloodRow) -> dict[str, Any]:
        return {
            "id": item.id,
            "start": item.start,
            "length": span(item.end - item.start),
            "alarms": item.alarms,
            "position": _position(self.view, item.position),
            "root": alarm_name(self.view, item.root, unit=True) if item.root else "–",
            "sure": f"{100 * item.root_probability:.0f} %" if item.root else "–",
            "likeness": f"{100 * item.likeness:.0f} %" if item.similar else "–",
        }

    async def show(self, identity: str) -> None:
        """Show one flood beside the most similar one before it."""
        view, t = self.view, self.view.t
        asking = await client(view)
        self.detail.clear()
        with self.detail:
            text(t("floods.computing"), "div", "low")
        found = await asking.flood(identity)
        other = await asking.flood(found.row.similar) if found.row.similar else None
        self.detail.clear()
        with self.detail:
            raw(_flood_head(view, found))
            raw(_aligned(view, found, other))


def _say_empty(key: str, title: str, hint: str) -> None:
    words = f"<div class='empty'><b>{html.escape(title)}</b><span>{html.escape(hint)}</span></div>"
    ui.run_javascript(f"anlan.emptyText({json.dumps(key)}, {json.dumps(words)})")


def _position(view: View, identity: str) -> str:
    plant = view.context.plant.plant
    known = next((p for p in plant.positions if p.id == identity), None) if plant is not None else None
    return view.named(known) if known is not None else identity or view.t("perf.all_positions")


def _flood_head(view: View, found: FloodDetail) -> str:
    t, row = view.t, found.row
    roots, coming = _shares(view, found.roots), _shares(view, found.next_alarms[:5])
    acts = "".join(f"<li>{html.escape(line)}</li>" for action in found.actions[:2] for line in action.splitlines()[:4])
    none = f'<div class="low">{html.escape(t("floods.no_next"))}</div>'
    return (
        f'<h3 class="fe">{clock(view, row.start, "%Y-%m-%d %H:%M:%S")} '
        f'<small class="low">{html.escape(span(row.end - row.start))} · '
        f"{html.escape(t('floods.n_alarms', n=row.alarms))} · {html.escape(_position(view, row.position))}</small></h3>"
        f'<div class="flood-split"><section><h4 class="fe">{html.escape(t("floods.roots"))}</h4>{roots or none}'
        f'</section><section><h4 class="fe">{html.escape(t("floods.next"))}</h4>{coming or none}</section></div>'
        + (
            f'<section><h4 class="fe">{html.escape(t("guide.action"))}</h4><ol class="steps">{acts}</ol></section>'
            if acts
            else ""
        )
    )


def _shares(view: View, items: Sequence[tuple[str, float]]) -> str:
    return "".join(
        f'<div class="cb"><span class="clip" title="{html.escape(alarm)}">'
        f"{html.escape(alarm_name(view, alarm, unit=True))}</span>"
        f'<i><b style="width:{100 * share:.0f}%"></b></i><span class="num">{100 * share:.0f} %</span></div>'
        for alarm, share in items
    )


def aligned(left: Sequence[str], right: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Return two sequences beside each other by their longest common subsequence; None where one has no partner."""
    m, n = len(left), len(right)
    best = [[0] * (n + 1) for _ in range(m + 1)]
    for i in range(m - 1, -1, -1):
        for j in range(n - 1, -1, -1):
            same = left[i] == right[j]
            best[i][j] = best[i + 1][j + 1] + 1 if same else max(best[i + 1][j], best[i][j + 1])
    rows: list[tuple[int | None, int | None]] = []
    i = j = 0
    while i < m and j < n:
        if left[i] == right[j]:
            rows.append((i, j))
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            rows.append((i, None))
            i += 1
        else:
            rows.append((None, j))
            j += 1
    return rows + [(k, None) for k in range(i, m)] + [(None, k) for k in range(j, n)]


def _aligned(view: View, found: FloodDetail, other: FloodDetail | None) -> str:
    t = view.t
    left = found.sequence[:MOST_LINES]
    right = other.sequence[:MOST_LINES] if other is not None else ()
    roots = {alarm for alarm, _ in found.roots[:1]}

    def cell(sequence: Sequence[tuple[str, int]], at: int | None, both: bool) -> str:
        if at is None:
            return "<td></td><td></td>"
        alarm, time = sequence[at]
        after = (time - sequence[0][1]) / SECOND
        mark = f' <span class="pill">{html.escape(t("floods.root_short"))}</span>' if alarm in roots else ""
        tone = "hi" if both or other is None else "low"
        return (
            f'<td class="num low">+{after // 60:.0f}:{after % 60:04.1f}</td>'
            f'<td class="{tone}">{html.escape(alarm_name(view, alarm, unit=True))}{mark}</td>'
        )

    pairs = aligned([alarm for alarm, _ in left], [alarm for alarm, _ in right])
    rows = "".join(
        f'<tr class="{"both" if a is not None and b is not None else ""}">{cell(left, a, b is not None)}'
        f'<td class="link">{"=" if a is not None and b is not None else ""}</td>{cell(right, b, a is not None)}</tr>'
        for a, b in pairs
    )
    title = t("floods.no_similar")
    if other is not None:
        title = t(
            "floods.similar_to",
            time=clock(view, other.row.start, "%Y-%m-%d %H:%M"),
            n=f"{100 * found.row.likeness:.0f}",
        )
    return (
        f'<section><h4 class="fe">{html.escape(t("floods.sequence"))} '
        f'<span class="low">{html.escape(title)}</span></h4>'
        f'<table class="plain flood"><thead><tr><th></th><th>{html.escape(t("floods.this"))}</th><th></th><th></th>'
        f"<th>{html.escape(t('floods.that')) if other is not None else ''}</th></tr></thead>{rows}</table></section>"
    )


# --- proposals --------------------------------------------------------------------------------------------------------


class _Proposals:
    def __init__(self, view: View, period: int) -> None:
        self.view = view
        self.period = period
        self.found: dict[str, Proposal] = {}

    def draw(self) -> None:
        view, t = self.view, self.view.t
        raw(html.escape(t("floods.proposals_note")), classes="low").style(
            "padding:7px 12px;border-bottom:1px solid var(--soft)"
        )
        columns = [
            {"key": "alarm", "headerName": t("perf.alarm"), "flex": 1.2, "minWidth": 150, "cellClass": "strong"},
            {"key": "change", "headerName": t("floods.change"), "flex": 1, "minWidth": 170},
            {"key": "effect", "headerName": t("floods.effect"), "format": "html", "width": 230, "sortable": False},
            {"key": "cut", "headerName": t("floods.cut"), "width": 84, "right": True},
            {"key": "delay", "headerName": t("floods.delay"), "width": 100, "right": True},
            {"key": "missed", "headerName": t("floods.lost"), "width": 90, "right": True},
            {"key": "reason", "headerName": t("col.reason"), "flex": 1.6, "minWidth": 150, "wide": True},
            {"key": "act", "headerName": t("col.act"), "format": "button", "width": 120, "sortable": False},
        ]
        grid(
            "proposals", columns, [], id_field="alarm_id", event="an_proposal",
            empty=t("floods.computing"), hint=t("floods.trying_hint"),
        )  # fmt: skip
        live("pulse", "hidden", event="an_proposals", every=ONCE)
        view.on("an_proposals", lambda _message: self.fill())
        view.on("an_proposal", lambda message: self.ask(str(message.get("id", ""))))

    async def fill(self) -> None:
        view, t = self.view, self.view.t
        now = now_us()
        try:
            found = await (await client(view)).proposals(ListProposals(now - self.period, now, limit=20))
        except AnlanError:
            _say_empty("proposals", t("warn.silent"), t("warn.silent_hint"))
            raise
        self.found = {item.alarm: item for item in found}
        if not found:
            _say_empty("proposals", t("floods.no_proposals"), t("floods.no_proposals_hint"))
        set_rows("proposals", [self.row(item) for item in found])

    def row(self, item: Proposal) -> dict[str, Any]:
        view, t = self.view, self.view.t
        path = view.context.plant.path_of_alarm(item.alarm)
        off = "" if view.actor.may(Permission.PROPOSE_CHANGE, path) else t("floods.may_not")
        after = 100 * item.would_raise / item.raised if item.raised else 0
        effect = (
            f'<span class="ba"><i style="width:100%"></i><i style="width:{after:.0f}%"></i></span>'
            f'<span class="num">{item.raised} → {item.would_raise}</span>'
        )
        return {
            "alarm_id": item.alarm,
            "alarm": alarm_name(view, item.alarm),
            "change": _change(view, item),
            "effect": effect,
            "cut": f"−{100 - after:.0f} %",
            "delay": span(item.delay) if item.delay else "0",
            "missed": item.missed,
            "reason": (item.reason_zh if view.zh else item.reason) or item.reason,
            "act": {"verb": "propose", "text": t("floods.propose"), "off": off},
        }

    def ask(self, alarm: str) -> None:
        """Open the form that files the change; nothing is changed before another person approves it."""
        view, t = self.view, self.view.t
        item = self.found.get(alarm)
        if item is None:
            return
        path = view.context.plant.path_of_alarm(alarm)
        view.actor.require(Permission.PROPOSE_CHANGE, path)
        definition = view.context.plant.alarms.get(alarm)
        point = view.context.plant.by_path.get(path)
        safety = bool((definition is not None and definition.safety) or (point is not None and point.safety))
        with Form(view, t("propose.title")) as form:
            form.note(f"{alarm_name(view, alarm)} · {alarm}", "hi")
            form.note(_change(view, item), "hi")
            why = (item.reason_zh if view.zh else item.reason) or item.reason
            form.text("reason", t("propose.reason"), why, area=True)
            form.note(t("propose.safety" if safety else "propose.normal"))

        async def send(values: dict[str, Any]) -> bool:
            reason = str(values["reason"] or "").strip()
            if not reason:
                form.problem(t("acts.reason_needed"))
                return False
            value = f"{item.new:g} s" if item.field.endswith("delay") else item.new
            edit = Edit("set", path, item.field, alarm.removeprefix(path + "."), value)
            await view.call("registers.change.propose", ProposeChange((edit,), reason), Change, timeout=15)
            say(t("propose.sent"))
            return True

        form.open(send, t("act.propose"))


def _change(view: View, item: Proposal) -> str:
    field = view.t(
        {"deadband": "propose.deadband", "on_delay": "propose.on_delay"}.get(item.field, "propose.off_delay")
    )
    unit = "" if item.field.endswith("delay") else f" {item.unit}"
    old = "–" if item.old is None else f"{item.old:g}"
    return f"{field}: {old} → {item.new:g}{unit}"


__all__ = ["aligned", "floods"]

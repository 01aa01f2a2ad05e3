"""The list of warnings: open, closed, of shadow models, and what nobody foresaw; a card beside it says why."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from anlan.core.errors import AnlanError
from anlan.core.time import DAY, HOUR, now_us
from anlan.warn.model import ListMissed, ListWarnings, Missed, WarningRow
from anlan.warn.page_acts import act, client
from anlan.warn.page_rows import alarm_name, full_place, model_name, warning_row
from anlan.web.components import empty, grid, live, panel, raw, set_rows
from anlan.web.pages.tabs import switch, tabs
from anlan.web.shell import View

VIEWS = ("open", "closed", "shadow", "missed")
SPANS = (("day", DAY), ("week", 7 * DAY), ("month", 28 * DAY))
CARD = "width:clamp(320px, 24vw, 460px)"


async def warnings(view: View) -> None:
    """Draw the chosen view; it stands in the address."""
    t = view.t
    chosen = view.request.query_params.get("tab", VIEWS[0])
    if chosen not in VIEWS:
        chosen = VIEWS[0]
    with ui.element("div").classes("cols"):
        with panel(t("warn.title"), classes="grow an-live") as tools:
            try:
                await _Warnings(view, chosen).draw(tools)
            except AnlanError as error:
                empty(t("warn.silent"), f"{error.message} {t('warn.silent_hint')}")
        names = [(name, t(f"warn.view_{name}")) for name in VIEWS]
        tabs(tools, "/warnings", names, chosen)
        if chosen != "missed":
            with panel(t("warn.card"), classes="keep an-live", style=CARD):
                live("warncard", "guide")


class _Warnings:
    def __init__(self, view: View, chosen: str) -> None:
        self.view = view
        self.chosen = chosen
        self.found: dict[str, WarningRow] = {}
        wanted = view.request.query_params.get("span", "month")
        self.span = dict(SPANS).get(wanted, 28 * DAY)

    async def draw(self, tools: Any) -> None:
        view = self.view
        if self.chosen == "missed":
            await self.missed(tools)
            return
        rows = await self.rows()
        live("warntools", "bar").style("padding:6px 10px;border-bottom:1px solid var(--soft)")
        texts = (view.t(f"warn.none_{self.chosen}"), view.t(f"warn.none_{self.chosen}_hint"))
        columns = self.columns()
        grid("warnings", columns, rows, id_field="id", open_to="/warnings/", empty=texts[0], hint=texts[1], pick=True)
        if self.chosen != "open":
            self.spans(tools)
        view.on("an_warnings", lambda _message: self.refresh())
        view.on("an_warn_act", self.act)

    def spans(self, tools: Any) -> None:
        """Place the choice of a period."""
        with tools:
            choices = [(f"&span={name}", self.view.t(f"warn.last_{name}"), self.span == span) for name, span in SPANS]
            switch(f"/warnings?tab={self.chosen}", choices)

    async def rows(self) -> list[dict[str, Any]]:
        start = 0 if self.chosen == "open" else now_us() - self.span
        request = ListWarnings(self.chosen, start=start, limit=1000)
        found = await (await client(self.view)).warnings(request)
        self.found = {row.id: row for row in found.rows}
        return [warning_row(self.view, row) for row in found.rows]

    async def refresh(self) -> None:
        set_rows("warnings", await self.rows())

    async def act(self, message: dict[str, Any]) -> None:
        row = self.found.get(str(message.get("id", "")))
        if row is not None:
            await act(self.view, row, str(message.get("verb", "")), self.refresh)

    def columns(self) -> list[dict[str, Any]]:
        t = self.view.t
        grade = {"key": "grade", "headerName": t("warn.grade"), "format": "grade", "width": 92}
        place = {"key": "place", "headerName": t("warn.place"), "flex": 1, "minWidth": 130, "cellClass": "strong"}
        text = {"key": "text", "headerName": t("warn.reason"), "flex": 2.4, "minWidth": 190}
        model = {"key": "model", "headerName": t("warn.model"), "format": "link", "width": 150}
        raised = {"key": "raised", "headerName": t("warn.raised"), "format": "time", "width": 116}
        if self.chosen == "closed":
            return [
                grade, place, text, {**model, "wide": True},
                {"key": "outcome", "headerName": t("warn.outcome"), "format": "pill", "width": 96},
                {"key": "comment", "headerName": t("col.comment"), "flex": 1, "minWidth": 90}, raised,
                {"key": "closed", "headerName": t("warn.closed"), "format": "time", "width": 116},
            ]  # fmt: skip
        if self.chosen == "shadow":
            return [
                grade, place, text, model,
                {"key": "state", "headerName": t("col.state"), "format": "pill", "width": 96},
                {"key": "outcome", "headerName": t("warn.outcome"), "format": "pill", "width": 96}, raised,
            ]  # fmt: skip
        return [
            grade, place, text,
            {"key": "lead", "headerName": t("warn.lead"), "format": "lead", "width": 96, "right": True},
            {**model, "wide": True},
            {"key": "state", "headerName": t("col.state"), "format": "pill", "width": 92},
            {"key": "answers", "headerName": t("warn.answers"), "width": 78, "right": True}, raised,
        ]  # fmt: skip

    # --- missed -----------------------------------------------------------------------------------------------------

    async def missed(self, tools: Any) -> None:
        """Draw the events that no warning came before."""
        view, t = self.view, self.view.t
        found = await (await client(view)).missed(ListMissed(start=now_us() - self.span, end=now_us() + HOUR))
        raw(t("warn.missed_note"), classes="low").style("padding:7px 12px;border-bottom:1px solid var(--soft)")
        columns = [
            {"key": "priority", "headerName": t("col.priority"), "format": "priority", "width": 100},
            {"key": "time", "headerName": t("col.time"), "format": "datetime", "width": 175},
            {"key": "place", "headerName": t("warn.place"), "flex": 1, "cellClass": "strong"},
            {"key": "target", "headerName": t("warn.missed_event"), "flex": 1.2},
            {"key": "models", "headerName": t("warn.should_have"), "flex": 1.4},
            {"key": "open", "headerName": "", "format": "link", "width": 120, "sortable": False},
        ]
        grid(
            "missed", columns, [self.missed_row(item) for item in found], id_field="event",
            empty=t("warn.none_missed"), hint=t("warn.none_missed_hint"),
        )  # fmt: skip
        self.spans(tools)

    def missed_row(self, item: Missed) -> dict[str, Any]:
        """Return one missed event for the table."""
        view = self.view
        number = getattr(view.context.plant.by_path.get(item.path), "number", 0)
        address = f"/trends?points={number}&span={2 * HOUR}&end={item.time + 15 * 60_000_000}"
        return {
            "event": item.event,
            "priority": item.priority,
            "time": item.time,
            "place": full_place(view, item.path),
            "target": alarm_name(view, item.target),
            "models": ", ".join(model_name(view, name) for name in item.models),
            "open": {"href": address, "text": view.t("nav.trends")} if number else None,
        }

"""Shift log and handover: who is on duty at a position, what was written, what goes along with the handover."""

from __future__ import annotations

import html
from typing import Any

from nicegui import ui

from anlan.core.actor import Permission
from anlan.core.errors import AnlanError, InvalidInputError
from anlan.plant.model import Place, Unit
from anlan.plant.registers.model import (
    Act,
    AddEntry,
    BeginShift,
    Bypass,
    CloseItem,
    Entry,
    ListBypasses,
    ListEntries,
    ListShifts,
    Shift,
)
from anlan.web.components import Form, button, empty, grid, panel, raw, say, set_rows, text
from anlan.web.live.frame import covers
from anlan.web.shell import View, page_spec


async def build(view: View) -> None:
    """Draw the page of one operator position; it stands in the address."""
    t = view.t
    plant = view.context.plant.require()
    positions = {
        position.id: position
        for position in plant.positions
        if not position.scope or any(view.actor.sees(place) for place in position.scope)
    }
    if not positions:
        with panel(t("title.shift"), classes="grow"):
            empty(t("shift.none_positions"), t("shift.none_positions_hint"))
        return
    chosen = view.request.query_params.get("position", "")
    page = _Shift(view, positions, chosen if chosen in positions else next(iter(positions)))
    try:
        await page.draw()
    except AnlanError as error:
        with panel(t("title.shift"), classes="grow"):
            empty(t("register.silent"), error.message)


class _Shift:
    """The page's state: one position and its current shift."""

    def __init__(self, view: View, positions: dict[str, Any], chosen: str) -> None:
        self.view = view
        self.positions = positions
        self.chosen = chosen
        self.current: Shift | None = None
        self.entries: dict[str, Entry] = {}
        self.off = "" if view.may(Permission.LOG_SHIFT) else view.t("may.not_log_shift")

    async def draw(self) -> None:
        """Draw the page."""
        view, t = self.view, self.view.t
        await self._read()
        with ui.element("div").classes("cols"):
            with ui.element("div").classes("rows").style("flex:2.2"):
                with panel(t("shift.log"), sub=view.named(self.positions[self.chosen]), style="flex:1.7") as tools:
                    self._log()
                self._positions(tools)
                with panel(t("shift.past"), style="flex:1"):
                    await self._past()
            with ui.element("div").classes("rows").style("max-width:520px"):
                with panel(t("shift.current"), classes="keep", pad=True):
                    self.now = ui.element("div").classes("stack")
                with panel(t("shift.write"), classes="keep", pad=True):
                    self._write()
                with panel(t("shift.goes_along"), classes="grow", pad=True):
                    self.along = ui.element("div")
        await self._show()
        view.on("an_entry", self._close_item)

    async def _read(self) -> None:
        view = self.view
        shifts = await view.call("registers.shifts", ListShifts(self.chosen, current=True), tuple[Shift, ...])
        self.current = shifts[0] if shifts else None
        found = await view.call("registers.shift.entries", ListEntries(position=self.chosen), tuple[Entry, ...])
        self.entries = {entry.id: entry for entry in found}

    async def _refresh(self) -> None:
        await self._read()
        set_rows("entries", self._rows())
        await self._show()

    def _positions(self, tools: Any) -> None:
        links = "".join(
            f'<a href="/shift?position={html.escape(key)}" class="{"on" if key == self.chosen else ""}">'
            f"{html.escape(self.view.named(position))}</a>"
            for key, position in self.positions.items()
        )
        with tools:
            raw(links, classes="tabs").style("height:33px")

    # --- log ------------------------------------------------------------------------------------------------------

    def _rows(self) -> list[dict[str, Any]]:
        t = self.view.t
        rows = []
        for entry in self.entries.values():
            state = None
            if entry.open_item:
                done = bool(entry.closed)
                state = {
                    "text": t("shift.closed_short" if done else "shift.open_short"),
                    "tone": "dim" if done else "warn",
                }
            rows.append(
                {
                    "id": entry.id,
                    "time": entry.time,
                    "who": entry.who,
                    "text": entry.text + (f" ⟶ {entry.closing} ({entry.closed_by})" if entry.closed else ""),
                    "path": entry.path,
                    "state": state,
                    "act": {"verb": "close", "text": t("shift.close_item"), "off": self.off}
                    if entry.open_item and not entry.closed
                    else None,
                }
            )
        return rows

    def _log(self) -> None:
        t = self.view.t
        columns = [
            {"key": "time", "headerName": t("col.time"), "format": "datetime", "width": 165},
            {"key": "who", "headerName": t("col.who"), "width": 110},
            {"key": "text", "headerName": t("shift.text"), "flex": 1, "wrapText": True, "autoHeight": True},
            {"key": "path", "headerName": t("shift.place"), "width": 210},
            {"key": "state", "headerName": t("shift.state"), "format": "pill", "width": 95},
            {"key": "act", "headerName": "", "format": "button", "width": 90, "sortable": False},
        ]
        grid(
            "entries",
            columns,
            self._rows(),
            id_field="id",
            event="an_entry",
            empty=t("shift.none"),
            hint=t("shift.none_hint"),
        )

    def _write(self) -> None:
        t = self.view.t
        plant = self.view.context.plant.plant
        places: dict[str, str] = {"": "–"}
        if plant is not None:
            things: tuple[Place | Unit, ...] = (*plant.places, *plant.units)
            places |= {
                thing.path: f"{self.view.named(thing)} · {thing.path}"
                for thing in things
                if self.view.actor.sees(thing.path)
            }
        with ui.element("div").classes("stack"):
            area = ui.textarea(t("shift.text")).props("outlined dense autogrow").style("width:100%")
            place = ui.select(places, label=t("shift.place"), value="", with_input=True)
            place.props("outlined dense options-dense")
            item = ui.checkbox(t("shift.open_item")).props("dense")
            foot = ui.element("div").classes("bar")

        async def save() -> None:
            words = str(area.value or "").strip()
            if not words:
                raise InvalidInputError(t("shift.too_short"))
            request = AddEntry(self.chosen, words, str(place.value or ""), bool(item.value))
            await self.view.call("registers.shift.add", request, Entry)
            area.value, item.value = "", False
            say(t("shift.saved"))
            await self._refresh()

        with foot:
            button(t("act.save"), self.view.guarded(save), main=True, off=self.off)

    def _close_item(self, message: dict[str, Any]) -> None:
        t = self.view.t
        entry = self.entries.get(str(message["id"]))
        if entry is None:
            return
        with Form(self.view, t("shift.close_item")) as form:
            form.note(entry.text, "hi")
            form.text("closing", t("shift.closing"), area=True)

        async def close(values: dict[str, Any]) -> None:
            words = str(values["closing"] or "").strip()
            if not words:
                raise InvalidInputError(t("shift.too_short"))
            await self.view.call("registers.shift.close", CloseItem(entry.id, words), Entry)
            await self._refresh()

        form.open(close, t("shift.close_item"))

    # --- the shift itself -----------------------------------------------------------------------------------------

    async def _show(self) -> None:
        t = self.view.t
        self.now.clear()
        with self.now:
            if self.current is None:
                text(t("shift.no_shift"), "div", "hi")
                text(t("shift.begin_note"), "div", "low")
                with ui.element("div").classes("bar"):
                    button(t("shift.begin"), self.view.guarded(self._begin), main=True, off=self.off)
            else:
                self._describe(self.current)
        self.along.clear()
        with self.along:
            raw(await self._goes_along())

    def _describe(self, shift: Shift) -> None:
        t = self.view.t
        tone = "warn" if shift.state == "offered" else ""
        raw(
            f'<div class="bar"><b class="hi" style="font-size:18px">{html.escape(shift.person)}</b>'
            f'<span class="pill {tone}">{html.escape(t(f"regstate.{shift.state}"))}</span>'
            f'<span class="low">{html.escape(t("shift.since"))}</span>'
            f'<span class="num" data-an="time" data-us="{shift.started}"></span></div>'
            + (f'<div style="margin-top:6px">{html.escape(shift.comment)}</div>' if shift.comment else "")
        )
        with ui.element("div").classes("bar"):
            if shift.state == "open":
                button(
                    t("shift.handover"),
                    lambda: self._fire("offer", t("shift.handover"), t("shift.handover_note")),
                    main=True,
                    off=self.off,
                )
            else:
                mine = shift.person == self.view.actor.user or shift.offered_by == self.view.actor.user
                off = self.off or (t("shift.same_person") if mine else "")
                button(
                    t("shift.accept"),
                    lambda: self._fire("accept", t("shift.accept"), t("acts.comment")),
                    main=True,
                    off=off,
                )
                button(
                    t("shift.take_back"),
                    lambda: self._fire("take-back", t("shift.take_back"), t("acts.comment")),
                    off=self.off,
                )

    async def _begin(self) -> None:
        await self.view.call("registers.shift.begin", BeginShift(self.chosen), Shift)
        await self._refresh()

    def _fire(self, verb: str, title: str, label: str) -> None:
        shift = self.current
        if shift is None:
            return
        with Form(self.view, title) as form:
            form.text("comment", label, area=True)

        async def fire(values: dict[str, Any]) -> None:
            request = Act(shift.id, verb, str(values["comment"] or "").strip())
            await self.view.call("registers.shift.act", request, Shift)
            await self._refresh()

        form.open(fire, title)

    async def _goes_along(self) -> str:
        t, scope = self.view.t, self.positions[self.chosen].scope or ("",)
        rows = [
            row
            for row in self.view.hub.book.rows.values()
            if covers(scope, row.path) and self.view.actor.sees(row.path)
        ]
        items = [entry for entry in self.entries.values() if entry.open_item and not entry.closed]
        try:
            found = await self.view.call("registers.bypasses", ListBypasses(), tuple[Bypass, ...])
            bypasses = [b for b in found if covers(scope, b.path)]
        except AnlanError:
            bypasses = []
        pairs = [
            (t("shift.standing"), len(rows)),
            (t("shift.unacked"), sum(not row.acknowledged for row in rows)),
            (t("shift.bypasses"), len(bypasses)),
            (t("shift.open_items"), len(items)),
        ]
        head = "".join(f"<dt>{html.escape(name)}</dt><dd class='num'>{count}</dd>" for name, count in pairs)
        lines = [f"{entry.text}" for entry in items] + [f"{b.path} {b.reason}" for b in bypasses]
        listed = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        return f'<dl class="kv wide left">{head}</dl><ol class="steps" style="margin-top:8px">{listed}</ol>'

    async def _past(self) -> None:
        t = self.view.t
        shifts = await self.view.call("registers.shifts", ListShifts(self.chosen), tuple[Shift, ...])
        rows = [
            {
                "state": {"text": t(f"regstate.{shift.state}"), "tone": "" if shift.state != "closed" else "dim"},
                "person": shift.person,
                "started": shift.started,
                "ended": shift.ended,
                "accepted_by": shift.accepted_by,
                "comment": shift.comment,
            }
            for shift in shifts
        ]
        columns = [
            {"key": "state", "headerName": t("shift.state"), "format": "pill", "width": 150},
            {"key": "person", "headerName": t("shift.person"), "width": 120},
            {"key": "started", "headerName": t("shift.started"), "format": "datetime", "width": 165},
            {"key": "ended", "headerName": t("shift.ended"), "format": "datetime", "width": 165},
            {"key": "accepted_by", "headerName": t("shift.by"), "width": 120},
            {"key": "comment", "headerName": t("col.comment"), "flex": 1},
        ]
        grid("shifts", columns, rows, empty=t("shift.none_past"))


PAGE = page_spec("/shift", "shift", build, icon="edit_note", order=70, group="group_records")

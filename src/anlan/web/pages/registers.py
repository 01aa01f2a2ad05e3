"""Registers: barriers, bypasses, work, presence, calibrations due, and changes that a second person decides."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from anlan.core.actor import Permission
from anlan.core.errors import AnlanError, InvalidInputError
from anlan.core.time import HOUR, now_us
from anlan.plant.registers.machine import BYPASS, CHANGE, Guard, Machine
from anlan.plant.registers.model import (
    Act,
    Bypass,
    Calibration,
    Change,
    ListBypasses,
    ListCalibrations,
    ListChanges,
    RequestBypass,
)
from anlan.web.components import Form, button, empty, grid, panel, raw, say, set_rows
from anlan.web.pages import barriers, presence, work
from anlan.web.pages.tabs import switch, tabs
from anlan.web.shell import View, page_spec

_TABS = ("barriers", "bypasses", "work", "presence", "calibrations", "changes")
_TONE = {"active": "warn", "expired": "bad", "requested": "warn", "proposed": "warn", "failed": "bad", "due": "warn"}


async def build(view: View) -> None:
    """Draw the chosen tab; it stands in the address."""
    t = view.t
    chosen = view.request.query_params.get("tab", _TABS[0])
    if chosen not in _TABS:
        chosen = _TABS[0]
    with panel(t("title.registers"), classes="grow") as tools:
        try:
            await _DRAW[chosen](view, tools)
        except AnlanError as error:
            empty(t("register.silent"), error.message)
    tabs(tools, "/registers", [(name, t(f"register.{name}")) for name in _TABS], chosen)


def _pill(view: View, state: str) -> dict[str, str]:
    tone = _TONE.get(state, "" if state in ("applied", "valid", "approved") else "dim")
    return {"text": view.t(f"regstate.{state}"), "tone": tone}


def _verbs(
    view: View, machine: Machine, row: Bypass | Change, asked_by: str, paths: tuple[str, ...]
) -> list[dict[str, str]]:
    """Return a row's buttons: what its state machine allows, disabled with the reason where this person may not."""
    buttons = []
    safety = all(view.actor.may(Permission.APPROVE_SAFETY_CHANGE, path) for path in paths)
    for arrow in machine.arrows:
        if arrow.before != row.state or arrow.guard is Guard.SYSTEM:
            continue
        own = asked_by == view.actor.user
        off = ""
        if arrow.guard is Guard.ANOTHER_PERSON and own:
            off = view.t("register.own")
        elif arrow.guard is Guard.SAME_PERSON and not own:
            continue
        elif not all(view.actor.may(arrow.permission, path) for path in paths):
            off = view.t("may.not_approve")
        elif arrow.guard is Guard.ANOTHER_PERSON and row.safety and not safety:
            off = view.t("register.needs_safety")
        buttons.append({"verb": arrow.verb, "text": view.t(f"regverb.{arrow.verb}"), "off": off})
    return buttons


def _act(view: View, machine: Machine, subject: str, what: str, row: Any, verb: str, refresh: Any) -> None:
    """Open the form of one arrow and fire it."""
    t = view.t
    arrow = machine.arrow(row.state, verb)
    with Form(view, t("register.act_title", verb=t(f"regverb.{verb}"), what=what)) as form:
        if isinstance(row, Change):
            raw(_edits_html(view, row))
            if row.diff:
                raw(html.escape(row.diff), "pre", "in num").style(
                    "white-space:pre-wrap;padding:8px;margin:0;height:auto"
                )
        form.note(row.reason, "hi")
        form.text("comment", t("register.comment_needed" if arrow.needs_comment else "register.comment"), area=True)

    async def fire(values: dict[str, Any]) -> None:
        request = Act(row.id, verb, str(values["comment"] or "").strip())
        await view.call(subject, request, type(row), timeout=15)
        say(t("register.done"))
        await refresh()

    form.open(fire, t(f"regverb.{verb}"), danger=verb == "reject")


# --- bypasses -----------------------------------------------------------------------------------------------------


async def _bypasses(view: View, tools: Any) -> None:
    t = view.t
    found: dict[str, Bypass] = {}
    only = view.request.query_params.get("all") is None

    async def rows() -> list[dict[str, Any]]:
        answer = await view.call("registers.bypasses", ListBypasses(standing=only), tuple[Bypass, ...])
        found.clear()
        found.update({bypass.id: bypass for bypass in answer})
        return [_bypass_row(view, bypass) for bypass in answer]

    async def refresh() -> None:
        set_rows("bypasses", await rows())

    columns = [
        {"key": "state", "headerName": t("col.state"), "format": "pill", "width": 105},
        {"key": "path", "headerName": t("col.tag"), "format": "point", "width": 130},
        {"key": "what", "headerName": t("register.target"), "flex": 1},
        {"key": "path_unit", "headerName": t("col.unit_name"), "format": "unit", "flex": 0.8},
        {"key": "reason", "headerName": t("col.reason"), "flex": 1.3},
        {"key": "measures", "headerName": t("register.measures"), "flex": 1.2},
        {"key": "requested_by", "headerName": t("register.by"), "width": 100},
        {"key": "approved_by", "headerName": t("register.approved"), "width": 100},
        {"key": "expires", "headerName": t("register.until"), "format": "datetime", "width": 160},
        {"key": "act", "headerName": t("col.act"), "format": "buttons", "width": 190, "sortable": False},
    ]
    made = await rows()
    grid(
        "bypasses",
        columns,
        made,
        id_field="id",
        event="an_bypass",
        empty=t("register.none_bypass"),
        hint=t("register.none_bypass_hint"),
    )
    with tools:
        _switch(view, "bypasses", only, "register.standing_only")
        off = "" if view.may(Permission.BYPASS) else t("may.not_bypass")
        button(t("register.add_bypass"), view.guarded(lambda: _request(view, refresh)), main=True, off=off)

    def act(message: dict[str, Any]) -> None:
        row = found.get(str(message["id"]))
        if row is not None:
            _act(view, BYPASS, "registers.bypass.act", row.alarm or row.path, row, str(message["verb"]), refresh)

    view.on("an_bypass", act)


def _switch(view: View, tab: str, only: bool, key: str) -> None:
    switch(f"/registers?tab={tab}", [("", view.t(key), only), ("&all=1", view.t("register.all"), not only)])


def _bypass_row(view: View, bypass: Bypass) -> dict[str, Any]:
    kind = bypass.alarm.removeprefix(bypass.path + ".") if bypass.alarm else ""
    point = view.context.plant.by_path.get(bypass.path)
    name = view.named(point) if point is not None else bypass.path
    what = (
        f"{name} {view.t(f'kind.{kind.partition(chr(46))[0]}')}"
        if kind
        else f"{name} ({view.t('register.whole_point')})"
    )
    return {
        "id": bypass.id,
        "state": _pill(view, bypass.state),
        "path": bypass.path,
        "path_unit": bypass.path,
        "what": what,
        "reason": bypass.reason,
        "measures": bypass.measures,
        "requested_by": bypass.requested_by,
        "approved_by": bypass.approved_by,
        "expires": bypass.expires,
        "act": _verbs(view, BYPASS, bypass, bypass.requested_by, (bypass.path,)),
    }


def _request(view: View, refresh: Any) -> None:
    t = view.t
    plant = view.context.plant
    options = {
        path: f"{point.tag} · {view.named(point)} · {path}"
        for path, point in plant.by_path.items()
        if view.actor.may(Permission.BYPASS, path)
    }
    with Form(view, t("register.add_bypass")) as form:
        chosen: Any = ui.select(options, label=t("register.point"), with_input=True)
        chosen.props("outlined dense options-dense")
        form._fields["path"] = chosen
        alarm: Any = form.choice("alarm", t("register.alarm"), {"": t("register.whole_point")}, "")

        def offer() -> None:
            kinds = {
                a.id: f"{t(f'kind.{a.kind}')} · {a.id}"
                for a in plant.alarms.values()
                if plant.path_of_alarm(a.id) == chosen.value
            }
            alarm.set_options({"": t("register.whole_point")} | kinds, value="")

        chosen.on_value_change(offer)
        form.number("hours", t("register.hours"), 4, min=0.25, max=720)
        form.text("reason", t("register.reason"), area=True)
        form.text("measures", t("register.measures"), area=True)

    async def ask(values: dict[str, Any]) -> None:
        reason = str(values["reason"] or "").strip()
        if not values["path"]:
            raise InvalidInputError(t("register.unknown_point"), where="path")
        if not reason:
            raise InvalidInputError(t("acts.reason_needed"), where="reason")
        expires = now_us() + round(float(values["hours"] or 4) * HOUR)
        request = RequestBypass(
            str(values["path"]), reason, expires, str(values["alarm"] or ""), str(values["measures"] or "").strip()
        )
        await view.call("registers.bypass.request", request, Bypass, timeout=10)
        say(t("register.done"))
        await refresh()

    form.open(ask, t("register.add_bypass"))


# --- calibrations -------------------------------------------------------------------------------------------------


async def _calibrations(view: View, _tools: Any) -> None:
    t = view.t
    found = await view.call("registers.calibrations", ListCalibrations(days=90), tuple[Calibration, ...])
    rows = [
        {
            "state": {"text": t(f"regstate.{c.state}"), "tone": {"expired": "bad", "due": "warn"}.get(c.state, "")},
            "path": c.path,
            "name": (c.name if view.zh else c.name_en) or c.name or c.path.rpartition("/")[2],
            "path_unit": c.path,
            "safety": {"text": t("register.safety"), "tone": "dim"} if c.safety else None,
            "expires": c.expires,
            "days_left": round(c.days_left, 1),
            "certificate": c.certificate,
        }
        for c in found
    ]
    columns = [
        {"key": "state", "headerName": t("col.state"), "format": "pill", "width": 115},
        {"key": "path", "headerName": t("col.tag"), "format": "point", "width": 140},
        {"key": "name", "headerName": t("col.name"), "flex": 1},
        {"key": "path_unit", "headerName": t("col.unit_name"), "format": "unit", "flex": 1},
        {"key": "safety", "headerName": "", "format": "pill", "width": 100},
        {"key": "expires", "headerName": t("register.expires"), "format": "datetime", "width": 170},
        {"key": "days_left", "headerName": t("register.days_left"), "right": True, "width": 110},
        {"key": "certificate", "headerName": t("register.certificate"), "flex": 1},
    ]
    grid(
        "calibrations",
        columns,
        rows,
        id_field="path",
        empty=t("register.none_calibration"),
        hint=t("register.none_calibration_hint"),
    )


# --- changes ------------------------------------------------------------------------------------------------------


async def _changes(view: View, tools: Any) -> None:
    t = view.t
    found: dict[str, Change] = {}
    only = view.request.query_params.get("all") is None

    async def rows() -> list[dict[str, Any]]:
        answer = await view.call("registers.changes", ListChanges(pending=only), tuple[Change, ...])
        found.clear()
        found.update({change.id: change for change in answer})
        return [_change_row(view, change) for change in answer]

    async def refresh() -> None:
        set_rows("changes", await rows())

    columns = [
        {"key": "state", "headerName": t("col.state"), "format": "pill", "width": 105},
        {"key": "edits", "headerName": t("register.edits"), "flex": 2},
        {"key": "safety", "headerName": "", "format": "pill", "width": 95},
        {"key": "reason", "headerName": t("col.reason"), "flex": 1.2},
        {"key": "proposed_by", "headerName": t("register.by"), "width": 100},
        {"key": "proposed", "headerName": t("register.requested"), "format": "datetime", "width": 160},
        {"key": "decided_by", "headerName": t("register.decided"), "width": 100},
        {"key": "comment", "headerName": t("col.comment"), "flex": 0.8},
        {"key": "act", "headerName": t("col.act"), "format": "buttons", "width": 190, "sortable": False},
    ]
    made = await rows()
    grid(
        "changes",
        columns,
        made,
        id_field="id",
        event="an_change",
        empty=t("register.none_change"),
        hint=t("register.none_change_hint"),
    )
    with tools:
        _switch(view, "changes", only, "register.pending_only")

    def act(message: dict[str, Any]) -> None:
        row = found.get(str(message["id"]))
        if row is not None:
            _act(view, CHANGE, "registers.change.act", t("register.changes"), row, str(message["verb"]), refresh)

    view.on("an_change", act)


def _edit_text(edit: Any) -> str:
    where = ".".join(part for part in (edit.alarm, edit.field) if part)
    before = "" if edit.before is None else f"{edit.before} → "
    return f"{edit.path} {where}: {before}{edit.value}" if edit.op == "set" else f"{edit.op} {edit.path}"


def _edits_html(_view: View, change: Change) -> str:
    return "".join(f'<div class="num hi">{html.escape(_edit_text(edit))}</div>' for edit in change.edits)


def _change_row(view: View, change: Change) -> dict[str, Any]:
    return {
        "id": change.id,
        "state": _pill(view, change.state),
        "edits": "; ".join(_edit_text(edit) for edit in change.edits),
        "safety": {"text": view.t("register.safety"), "tone": "dim"} if change.safety else None,
        "reason": change.reason,
        "proposed_by": change.proposed_by,
        "proposed": change.proposed,
        "decided_by": change.decided_by,
        "comment": change.comment,
        "act": _verbs(view, CHANGE, change, change.proposed_by, change.paths),
    }


_DRAW: dict[str, Callable[[View, Any], Awaitable[None]]] = {
    "barriers": barriers.draw,
    "bypasses": _bypasses,
    "work": work.draw,
    "presence": presence.draw,
    "calibrations": _calibrations,
    "changes": _changes,
}

PAGE = page_spec("/registers", "registers", build, icon="fact_check", order=75, group="group_records")

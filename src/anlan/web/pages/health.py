"""System health: processes, streams, how far each reader is, disk, the historian's size; problems in sentences."""

from __future__ import annotations

import asyncio
import html
import shutil
from typing import Any

import msgspec
import nats.errors
import nats.js.errors
from nicegui import ui

from anlan.core.errors import AnlanError
from anlan.store.fabric.client import CONFIG, DEAD, EVENTS, LOG
from anlan.store.historian.requests import HistorianStatus
from anlan.web.components import button, live, panel, raw
from anlan.web.shell import View, page_spec


class _Monitor(msgspec.Struct, frozen=True):
    """What is shown of the monitor's status; its room lies above this floor."""

    sequence: int
    behind: int
    definitions: int
    revision: str
    time: int


async def build(view: View) -> None:
    """Draw the page."""
    t = view.t
    with ui.element("div").classes("cols"):
        with ui.element("div").classes("rows").style("flex:1.25"):
            with panel(t("health.problems"), classes="keep", pad=True):
                problems = ui.element("div").classes("problems")
                problems._props["id"] = "he-problems"
            with panel(t("health.processes"), classes="grow an-live"):
                live("health").style("overflow:auto;flex:1")
        with panel(t("health.stores"), classes="grow") as tools:
            body = ui.element("div").style("overflow:auto;flex:1;padding:4px 0 10px")
        with tools:
            button(t("act.refresh"), view.guarded(lambda: _fill(view, body)))
    await _fill(view, body)


async def _fill(view: View, body: Any) -> None:
    parts = await asyncio.gather(_streams(view), _monitor(view), _historian(view), asyncio.to_thread(_disk, view))
    body.clear()
    with body:
        for markup in (*parts, _pages(view)):
            raw(markup)


def _section(title: str, inner: str) -> str:
    return f'<div style="padding:8px 12px 2px"><b class="hi">{html.escape(title)}</b></div>{inner}'


def _pairs(title: str, pairs: list[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd class='num'>{html.escape(value)}</dd>" for name, value in pairs)
    return _section(
        title, f'<dl class="kv wide left" style="padding:2px 12px 6px;grid-template-columns:130px 1fr">{rows}</dl>'
    )


def _silent(view: View, title: str, error: Exception) -> str:
    words = html.escape(view.t("health.no_answer", reason=str(error)))
    return _section(title, f'<div style="padding:2px 12px 6px"><span class="pill warn">{words}</span></div>')


def size(number: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(number) < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TB"


async def _streams(view: View) -> str:
    t = view.t
    rows = []
    for name in (LOG, EVENTS, DEAD, CONFIG):
        try:
            info = await view.context.fabric.jetstream.stream_info(name)
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            reason = html.escape(str(error) or type(error).__name__)
            rows.append(f"<tr><td class='hi'>{name}</td><td colspan='4'>{reason}</td></tr>")
            continue
        state, limit = info.state, info.config.max_bytes or 0
        bound = f"{size(limit)} · {state.bytes / limit:.0%}" if limit > 0 else "–"
        rows.append(
            f"<tr><td class='hi'>{name}</td><td class='r'>{state.messages:,}</td><td class='r'>{size(state.bytes)}</td>"
            f"<td class='r low'>{bound}</td><td class='r'>{state.last_seq:,}</td></tr>"
        )
    names = ("stream", "messages", "bytes", "limit", "last")
    head = "".join(
        f"<th{' class=r' if k else ''}>{html.escape(t(f'health.{name}'))}</th>" for k, name in enumerate(names)
    )
    return _section(t("health.streams"), f'<table class="plain"><thead><tr>{head}</tr></thead>{"".join(rows)}</table>')


async def _monitor(view: View) -> str:
    t = view.t
    try:
        status = await view.call("monitor.status", {}, _Monitor, timeout=2)
    except AnlanError as error:
        return _silent(view, t("health.monitor"), error)
    return _pairs(
        t("health.monitor"),
        [
            (t("health.evaluated"), f"{status.sequence:,}"),
            (t("health.behind"), f"{status.behind:,}"),
            (t("health.definitions"), f"{status.definitions:,}"),
            (t("health.revision"), status.revision),
        ],
    )


async def _historian(view: View) -> str:
    t = view.t
    try:
        status = await view.call("historian.status", {}, HistorianStatus, timeout=2)
    except AnlanError as error:
        return _silent(view, t("health.historian"), error)
    each = f"{status.bytes / status.rows:.2f}" if status.rows else "–"
    return _pairs(
        t("health.historian"),
        [
            (t("health.rows"), f"{status.rows:,}"),
            (t("health.bytes"), size(status.bytes)),
            (t("health.row_bytes"), each),
            (t("health.events"), f"{status.events:,}"),
            (t("health.mark"), f"{status.mark:,}"),
            (t("health.behind"), f"{status.behind:,}"),
            (t("health.engine"), status.engine),
        ],
    )


def _disk(view: View) -> str:
    t = view.t
    usage = shutil.disk_usage(view.context.settings.data)
    return _pairs(
        t("health.disk"),
        [
            (t("health.free"), f"{size(usage.free)} ({usage.free / usage.total:.0%})"),
            (t("health.used"), size(usage.used)),
            (t("health.total"), size(usage.total)),
        ],
    )


def _pages(view: View) -> str:
    t, hub = view.t, view.hub
    return _pairs(
        t("process.web"), [(t("health.clients"), str(len(hub.pages))), (t("health.dropped"), str(hub.dropped))]
    )


PAGE = page_spec("/health", "health", build, icon="monitor_heart", order=90, group="group_system")

"""Panels, figures, grids and charts. What they show live is patched in the browser from the shared frame."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from nicegui import ui
from nicegui.element import Element


def raw(markup: str, tag: str = "div", classes: str = "") -> Element:
    """Place markup of our own; texts in it must be escaped already."""
    return ui.html(markup, sanitize=False, tag=tag).classes(classes)


def text(words: str, tag: str = "span", classes: str = "") -> Element:
    """Place plain text."""
    return raw(html.escape(words), tag, classes)


def link(words: str, href: str, classes: str = "") -> Element:
    """Place a link within the console."""
    return raw(html.escape(words), "a", classes).props(f'href="{html.escape(href)}"')


def live(kind: str, classes: str = "", tag: str = "div", **data: object) -> Element:
    """Place an element that the browser's part named ``kind`` fills and keeps up to date."""
    element = ui.element(tag).classes(classes)
    element._props["data-an"] = kind
    for name, value in data.items():
        element._props[f"data-{name}"] = str(value)
    return element


@contextmanager
def panel(
    title: str, *, sub: str = "", classes: str = "", pad: bool = False, key: str = "", style: str = ""
) -> Iterator[Element]:
    """Place a titled panel; what is made inside goes into its body. Yields the place for tools in its head."""
    section = ui.element("section").classes(f"panel {classes}").style(style)
    if key:
        section._props["id"] = key
    with section:
        with ui.element("header"):
            text(title, "h2")
            if sub:
                text(sub, classes="sub")
            tools = ui.element("span").classes("tools")
        with ui.element("div").classes("body pad" if pad else "body"):
            yield tools


@contextmanager
def kpis() -> Iterator[None]:
    """Place the strip of figures; ``kpi`` makes one of them."""
    with live("kpis", "kpis an-live"):
        yield


def kpi(key: str, label: str, href: str = "") -> None:
    """Place one figure of the strip."""
    tile = ui.element("a" if href else "div").classes("kpi")
    tile._props["data-kpi"] = key
    if href:
        tile._props["href"] = href
    with tile:
        text(label, "div", "l")
        raw("–", "div", "v")


def grid(
    key: str,
    columns: Sequence[dict[str, Any]],
    rows: Sequence[Any] = (),
    *,
    id_field: str = "",
    empty: str = "",
    hint: str = "",
    event: str = "",
    click: str = "",
    select: bool = False,
    guide: bool = False,
    open_to: str = "",
    pick: bool = False,
) -> Element:
    """Place a table; columns carry ``key``, ``headerName`` and a ``format`` that ``anlan.js`` knows.

    A column with ``wide`` is shown on wide screens only.

    Args:
        key: names the table for ``set_rows``.
        event: event that buttons in cells send, with ``verb`` and ``id``.
        click: event that a click on a row sends, with the row's id.
        guide: a click on a row shows that alarm's guidance card.
        open_to: address that a double click opens, the row's id is added.
        pick: one row is chosen by a click.
    """
    setup = {"columns": list(columns), "rows": msgspec.to_builtins(list(rows)), "id": id_field}
    setup |= {
        "empty": empty,
        "hint": hint,
        "event": event,
        "click": click,
        "select": select,
        "guide": guide,
        "open": open_to,
        "pick": pick,
    }
    return live("grid", "grid", key=key, setup=msgspec.json.encode(setup).decode())


def set_rows(key: str, rows: Sequence[Any]) -> None:
    """Replace the rows of a table on the current page."""
    ui.run_javascript(f"anlan.rows({json.dumps(key)}, {msgspec.json.encode(list(rows)).decode()})")


def chart(option: dict[str, Any], classes: str = "chart", *, days: bool = False) -> Element:
    """Place a chart; colours are written as ``$p1``, ``$trend`` … and become the theme's."""
    element = live("chart", classes, option=msgspec.json.encode(option).decode())
    if days:
        element._props["data-days"] = "1"
    return element


def empty(title: str, hint: str = "") -> Element:
    """Say that there is nothing here, and what to do next."""
    return raw(f"<b>{html.escape(title)}</b><span>{html.escape(hint)}</span>", classes="empty")


def button(words: str, on_click: Any, *, main: bool = False, danger: bool = False, off: str = "") -> Element:
    """Place a button; ``off`` is the reason why it cannot be used, shown as its hint."""
    element = ui.button(words, on_click=on_click, color=None).props("unelevated no-caps dense")
    element.classes("an-b" + (" main" if main else "") + (" danger" if danger else ""))
    if off:
        element.disable()
        element.tooltip(off)
    return element


_SHAPES = {1: "M1 1H15V15H1Z", 2: "M8 1.2 15.4 14.6H.6Z", 3: "M.6 1.4H15.4L8 14.8Z", 4: "M8 .8 15.2 8 8 15.2.8 8Z"}
_DIGIT_AT = {1: 11.8, 2: 13, 3: 9.6, 4: 11.6}


def priority_shape(priority: int, size: int = 16) -> str:
    """Return the shape of a priority or grade 1 … 4 as markup: never colour alone."""
    return (
        f'<svg width="{size}" height="{size}" viewBox="0 0 16 16" aria-hidden="true"><path d="{_SHAPES[priority]}" '
        f'fill="var(--p{priority})"/><text x="8" y="{_DIGIT_AT[priority]}" text-anchor="middle" font-size="9.5" '
        f'font-weight="700" fill="var(--p{priority}-on)">{priority}</text></svg>'
    )

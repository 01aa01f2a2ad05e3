"""Tabs that stand in the address, so that they can be linked and survive a reload."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from anlan.web.components import raw


def tabs(place: Any, path: str, names: Sequence[tuple[str, str]], chosen: str, *, counts: bool = False) -> None:
    """Place tabs into a panel's head, before its tools.

    Args:
        names: key and text of each tab.
        counts: the browser fills in how many rows each has.
    """
    links = "".join(
        f'<a href="{path}?tab={key}" data-tab="{key}" class="{"on" if key == chosen else ""}" role="tab" '
        f'aria-selected="{str(key == chosen).lower()}">{html.escape(words)}<span class="n"></span></a>'
        for key, words in names
    )
    with place:
        element = raw(links, classes="tabs").style("height:33px")
        element._props["role"] = "tablist"
        if counts:
            element._props["data-an"] = "tabcounts"
        element.move(place, 0)


def switch(address: str, choices: Sequence[tuple[str, str, bool]]) -> None:
    """Place links of which one is on; each is what is added to the address, its text and whether it is on."""
    links = "".join(
        f'<a class="mini {"on" if on else ""}" href="{html.escape(address + query)}">{html.escape(words)}</a>'
        for query, words, on in choices
    )
    raw(links, classes="bar").style("margin-right:8px;gap:4px")

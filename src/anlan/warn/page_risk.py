"""The risk map in four colours, the tree of places with inherent and live risk, and what each index is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from nicegui import ui

from anlan.core.errors import AnlanError
from anlan.core.events import EventType
from anlan.store.historian.requests import JournalPage, JournalQuery
from anlan.warn.model import ListWarnings, RiskNode, RiskTerm
from anlan.warn.page_acts import client
from anlan.warn.page_rows import clock, model_name, place_name
from anlan.web.components import empty, live, panel
from anlan.web.shell import View

EXPLAINED = 20


async def risk(view: View) -> None:
    """Draw the page; the place that is explained stands in the address."""
    t = view.t
    try:
        found = await (await client(view)).risk()
    except AnlanError as error:
        with panel(t("risk.title"), classes="grow"):
            empty(t("risk.silent"), f"{error.message} {t('warn.silent_hint')}")
        return
    chosen = view.request.query_params.get("at", "")
    nodes = [_node(view, node) for node in _ordered(found.nodes)]
    with ui.element("div").classes("cols"):
        with ui.element("div").classes("rows"):
            with panel(t("risk.map"), classes="an-live", style="flex:1.45 1 0"):
                live("riskreds", "bar").style("padding:6px 10px;border-bottom:1px solid var(--soft)")
                live("map", "map", layer="risk")
            with panel(t("risk.tree"), sub=t("risk.bar_note"), classes="an-live"):
                live("risktree", "tree", nodes=msgspec.json.encode(nodes).decode(), begin=chosen)
        with panel(t("risk.why"), classes="keep an-live", style="width:clamp(330px, 25vw, 500px)"):
            live("riskwhy", "guide")

    async def explain(message: dict[str, Any]) -> None:
        node = await (await client(view)).explain(str(message.get("path", "")))
        told = await _explained(view, node)
        ui.run_javascript(f"anlan.warn.explained({msgspec.json.encode(told).decode()})")

    view.on("an_risk", explain)


def _ordered(nodes: Iterable[RiskNode]) -> list[RiskNode]:
    """Return parents before children, each with its own below it, the gravest first."""
    by_path = {node.path: node for node in nodes}

    def key(node: RiskNode) -> tuple[tuple[float, str], ...]:
        parts = node.path.split("/") if node.path else []
        above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        return tuple((-by_path[path].index if path in by_path else 0.0, path) for path in above)

    return sorted(by_path.values(), key=key)


def _node(view: View, node: RiskNode) -> dict[str, Any]:
    return {
        "path": node.path,
        "kind": node.kind,
        "name": (node.name if view.zh else node.name_en) or node.name or place_name(view, node.path) or node.path,
        "depth": 0 if not node.path else node.path.count("/") + 1,
        "index": node.index,
        "colour": int(node.colour),
        "inherent": node.inherent,
        "ic": int(node.inherent_colour),
        "red": node.red_leaves,
        "leaves": node.leaves,
        "model": node.model,
    }


async def _explained(view: View, node: RiskNode) -> dict[str, Any]:
    links = await _links(view, node)
    return _node(view, node) | {
        "time": clock(view, node.time),
        "model": node.model,
        "version": node.version,
        "lacking": list(node.lacking),
        "terms": [_term(view, term, links) for term in node.terms[:EXPLAINED]],
    }


def _term(view: View, term: RiskTerm, links: dict[str, dict[str, str]]) -> dict[str, Any]:
    leaf = term.kind == "leaf"
    return {
        "id": term.id,
        "kind": view.t(f"termkind.{term.kind}"),
        "leaf": term.id if leaf else "",
        "text": (term.zh if view.zh else term.en) or term.zh,
        "adds": term.adds,
        "source": term.source,
        "since": term.since,
        "links": [links[cause] for cause in term.causes if cause in links],
    }


async def _links(view: View, node: RiskNode) -> dict[str, dict[str, str]]:
    """Return where the causes of a place's terms can be looked at, by event id; what is not found has none."""
    wanted = {cause for term in node.terms for cause in term.causes}
    if not wanted:
        return {}
    found: dict[str, dict[str, str]] = {}
    try:
        warnings = await (await client(view)).warnings(ListWarnings(scope=node.path))
        for row in warnings.rows:
            if row.id in wanted:
                found[row.id] = {"href": f"/warnings/{row.id}", "text": model_name(view, row.model)}
        since = min((term.since for term in node.terms if term.since), default=0)
        query = JournalQuery(types=(EventType.ALARM,), subject=node.path, start=max(0, since - 1), limit=500)
        page = await view.call("historian.journal", query, JournalPage, timeout=4)
        for event in page.events:
            if event.id in wanted:
                alarm = str(event.data.get("alarm", event.subject))
                found[event.id] = {"href": f"/alarms?alarm={alarm}", "text": alarm.rpartition("/")[2]}
    except AnlanError:
        # The explanation is worth showing without its links.
        return found
    return found

"""The list of models with their score sheets."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from anlan.core.errors import AnlanError
from anlan.core.time import SECOND
from anlan.warn.model import ModelRow
from anlan.warn.page_acts import client
from anlan.warn.page_rows import model_name, span
from anlan.web.components import empty, grid, panel, raw
from anlan.web.pages.tabs import switch
from anlan.web.shell import View

TABS = ("models", "features")
MODE_TONES = {"live": "", "shadow": "dim", "retired": "dim"}
BINS = (60, 300, 900, 3600, 14_400, 86_400)
"""Upper bounds of the bins of lead times, s; beyond the last is one more bin."""
BIN_NAMES = ("<1m", "5m", "15m", "1h", "4h", "24h", ">24h")


def model_tabs(view: View, tools: Any, chosen: str) -> None:
    """Place the two tabs of what watches: models and features."""
    t = view.t
    links = "".join(
        f'<a href="/{name}" role="tab" aria-selected="{str(name == chosen).lower()}" '
        f'class="{"on" if name == chosen else ""}">{html.escape(t(f"models.tab_{name}"))}</a>'
        for name in TABS
    )
    with tools:
        element = raw(links, classes="tabs").style("height:33px")
        element._props["role"] = "tablist"
        element.move(tools, 0)


async def models(view: View) -> None:
    """Draw the list, or one model when the address names it."""
    identity = view.request.query_params.get("id", "")
    if identity:
        from anlan.warn.page_model import ModelPage

        await ModelPage(view, identity).draw()
        return
    t = view.t
    every = view.request.query_params.get("every") is not None
    with panel(t("models.title"), sub=t("models.period"), classes="grow") as tools:
        try:
            found = await (await client(view)).models(every=every)
        except AnlanError as error:
            empty(t("warn.silent"), f"{error.message} {t('warn.silent_hint')}")
            found = ()
        else:
            columns = _columns(view)
            grid(
                "models", columns, [model_row(view, row) for row in found], id_field="key", open_to="",
                empty=t("models.none"), hint=t("models.none_hint"),
            )  # fmt: skip
        with tools:
            choices = [("", t("models.running"), not every), ("?every=1", t("models.every"), every)]
            switch("/models", choices)
    model_tabs(view, tools, "models")


def _columns(view: View) -> list[dict[str, Any]]:
    t = view.t
    right = {"right": True, "width": 96}
    return [
        {"key": "mode", "headerName": t("models.mode"), "format": "pill", "width": 84},
        {"key": "name", "headerName": t("warn.model"), "format": "link", "flex": 1.3, "minWidth": 150},
        {"key": "version", "headerName": t("models.version"), "width": 66, "right": True},
        {"key": "kind", "headerName": t("col.kind"), "width": 108},
        {"key": "budget", "headerName": t("models.budget"), "format": "pill", "width": 106},
        {"key": "raised", "headerName": t("models.raised"), "width": 76, "right": True},
        {"key": "precision", "headerName": t("models.precision"), **right},
        {"key": "recall", "headerName": t("models.recall"), **right},
        {"key": "false", "headerName": t("models.false_week"), **right},
        {"key": "missed", "headerName": t("models.missed"), "width": 70, "right": True, "wide": True},
        {"key": "leads", "headerName": t("models.leads"), "format": "html", "width": 168, "sortable": False},
        {"key": "where", "headerName": t("models.where"), "flex": 1, "minWidth": 110},
        {"key": "problem", "headerName": t("models.problem"), "flex": 1.2, "minWidth": 90},
    ]


def model_row(view: View, row: ModelRow) -> dict[str, Any]:
    """Return one version of a model for a table."""
    t, model, sheet = view.t, row.model, row.sheet
    return {
        "key": f"{model.id}@{model.version}",
        "id": model.id,
        "mode": {"text": t(f"models.{row.mode}"), "tone": MODE_TONES[row.mode]},
        "name": {"href": f"/models?id={model.id}", "text": model_name(view, model.id, model)},
        "version": model.version,
        "kind": t(f"models.kind_{model.kind}"),
        "budget": budget(view, row),
        "raised": sheet.raised,
        "precision": percent(sheet.precision),
        "recall": percent(sheet.recall),
        "false": "–" if sheet.false_a_week is None else f"{sheet.false_a_week:.1f}",
        "missed": sheet.missed,
        "leads": histogram(sheet.leads),
        "where": t("models.places", n=len(row.bound)) if row.bound else "–",
        "problem": (row.problem_zh if view.zh else row.problem) or row.problem,
    }


def budget(view: View, row: ModelRow) -> dict[str, str]:
    """Return whether a model keeps its budget, as a pill."""
    kept = row.sheet.within_budget
    if kept is None:
        scored = row.sheet.hit + row.sheet.averted + row.sheet.late + row.sheet.false
        return {"text": view.t("models.too_few", n=scored, least=row.model.budget.least), "tone": "dim"}
    return {"text": view.t("models.within"), "tone": ""} if kept else {"text": view.t("models.below"), "tone": "warn"}


def percent(share: float | None) -> str:
    """Return a share in per cent; a dash where nothing was scored."""
    return "–" if share is None else f"{100 * share:.0f} %"


def bins(leads: Sequence[int]) -> list[int]:
    """Return how many lead times (µs) fall in each bin."""
    counts = [0] * (len(BINS) + 1)
    for lead in leads:
        counts[next((n for n, bound in enumerate(BINS) if lead <= bound * SECOND), len(BINS))] += 1
    return counts


def histogram(leads: Sequence[int]) -> str:
    """Return the distribution of lead times as a small drawing."""
    if not leads:
        return '<span class="low">–</span>'
    counts = bins(leads)
    most = max(counts)
    bars = "".join(
        f'<i style="height:{max(1, round(18 * count / most)) if count else 1}px" title="{name}: {count}"></i>'
        for name, count in zip(BIN_NAMES, counts, strict=True)
    )
    middle = span(sorted(leads)[len(leads) // 2])
    return f'<span class="bins">{bars}</span><span class="num">{middle}</span>'

"""The library of risk features: what each means, where it runs with its value now, where it cannot and why."""

from __future__ import annotations

import html
from typing import Any

from nicegui import ui

from anlan.core.errors import AnlanError
from anlan.warn.model import FeatureRow, FeatureValue
from anlan.warn.page_acts import client
from anlan.warn.page_models import model_tabs
from anlan.warn.page_rows import GRADES, by_gravity, full_place, place_name, span
from anlan.web.components import empty, grid, panel, priority_shape, raw
from anlan.web.shell import View


async def features(view: View) -> None:
    """Draw the table and the feature that the address names."""
    t = view.t
    with ui.element("div").classes("cols"):
        with panel(t("features.title"), classes="grow") as tools:
            try:
                found = await (await client(view)).features()
            except AnlanError as error:
                empty(t("warn.silent"), f"{error.message} {t('warn.silent_hint')}")
                found = ()
            else:
                _table(view, found)
        model_tabs(view, tools, "features")
        with panel(t("features.detail"), classes="keep", pad=True, style="width:clamp(360px, 30vw, 580px)"):
            place = ui.element("div").classes("stack")
    chosen = view.request.query_params.get("id", "")
    _show(view, place, next((row for row in found if row.id == chosen), None))

    async def choose(identity: Any) -> None:
        newest = await (await client(view)).features("", str(identity))
        _show(view, place, newest[0] if newest else None)

    view.on("an_feature", choose)


def _table(view: View, found: tuple[FeatureRow, ...]) -> None:
    t = view.t
    with ui.element("div").classes("bar").style("padding:6px 10px;border-bottom:1px solid var(--soft)"):
        words = raw("", "input", "in").style("width:230px")
        words._props |= {"id": "fe-filter", "placeholder": t("features.filter")}
        words._props["oninput"] = "anlan.quick('features', this.value)"
        only = ui.checkbox(t("features.only_bound")).props("dense")
        packs = {"": t("features.all_packs")} | {row.pack or "-": _pack(view, row.pack) for row in found}
        pack: Any = ui.select(packs, value="").props("outlined dense options-dense").style("width:150px")
        count = raw("", classes="low")
    rows = [_row(view, row) for row in found]
    columns = [
        {"key": "grade", "headerName": t("warn.grade"), "format": "grade", "width": 92},
        {"key": "name", "headerName": t("features.name"), "flex": 1.2, "minWidth": 150, "cellClass": "strong"},
        {"key": "meaning", "headerName": t("features.meaning"), "flex": 2, "minWidth": 150},
        {"key": "worst", "headerName": t("features.worst"), "width": 118, "right": True},
        {"key": "limits", "headerName": t("features.limits"), "width": 150, "wide": True},
        {"key": "window", "headerName": t("features.window"), "width": 80, "right": True},
        {"key": "bound", "headerName": t("features.bound"), "width": 92, "right": True},
        {"key": "pack", "headerName": t("features.pack"), "width": 90},
    ]
    grid(
        "features", columns, rows, id_field="id", click="an_feature", pick=True,
        empty=t("features.none"), hint=t("features.none_hint"),
    )  # fmt: skip

    def narrow() -> None:
        from anlan.web.components import set_rows

        shown = [
            made
            for made, row in zip(rows, found, strict=True)
            if (not only.value or row.values) and (not pack.value or (row.pack or "-") == pack.value)
        ]
        set_rows("features", shown)
        count.set_content(html.escape(t("features.count", n=len(shown), all=len(rows))))  # type: ignore[attr-defined]  # it is an html element

    count.set_content(html.escape(t("features.count", n=len(rows), all=len(rows))))  # type: ignore[attr-defined]  # as above
    only.on_value_change(view.guarded(narrow))
    pack.on_value_change(view.guarded(narrow))


def _pack(view: View, pack: str) -> str:
    return view.t(f"features.pack_{pack or 'general'}") if pack in ("", "chemical", "steel") else pack


def _worst(row: FeatureRow) -> FeatureValue | None:
    known = [value for value in row.values if value.value is not None]
    return min(known, key=lambda value: int(value.grade) if value.grade else 9, default=None)


def _unit(unit: str) -> str:
    return "" if unit in ("1", "") else unit


def _row(view: View, row: FeatureRow) -> dict[str, Any]:
    worst = _worst(row)
    grade = int(worst.grade) if worst is not None and worst.grade else 0
    return {
        "id": row.id,
        "grade": {"g": grade or 9, "none": not grade},
        "name": (row.name if view.zh else row.name_en) or row.id,
        "meaning": (row.meaning if view.zh else row.meaning_en) or row.meaning,
        "worst": f"{worst.value:.4g} {_unit(row.unit)}".strip() if worst is not None else "–",
        "limits": " ".join(f"{view.t(f'wgrade.{name}')} {value:g}" for name, value in by_gravity(row.grades)) or "–",
        "window": span(row.window) if row.window else "–",
        "bound": f"{len(row.values)} / {len(row.values) + len(row.unbound)}",
        "pack": _pack(view, row.pack),
    }


# --- detail -----------------------------------------------------------------------------------------------------------


def _show(view: View, place: Any, row: FeatureRow | None) -> None:
    t = view.t
    place.clear()
    with place:
        if row is None:
            empty(t("features.choose"), t("features.choose_hint"))
            return
        raw(_head(view, row))
        raw(_values(view, row))
        raw(_unbound(view, row))


def _head(view: View, row: FeatureRow) -> str:
    t = view.t
    inputs = "".join(
        f'<div><code>{html.escape(name)}</code> <span class="low">{html.escape(wanted)}</span></div>'
        for name, wanted in row.inputs.items()
    )
    limits = " ".join(
        f'<span class="pri">{priority_shape(GRADES[name], 13)} <span class="num">{value:g}</span></span>'
        for name, value in by_gravity(row.grades)
    )
    formula = " ".join(part for part in (f"{row.builtin}(…)" if row.builtin else "", row.expression) if part)
    valid = f"{'−∞' if row.low is None else f'{row.low:g}'} … {'∞' if row.high is None else f'{row.high:g}'}"
    facts = (
        ("features.formula", f"<code>{html.escape(formula)}</code>" if formula else ""),
        ("features.inputs", inputs),
        ("features.limits", limits),
        ("features.window", html.escape(span(row.window)) if row.window else ""),
        ("features.valid", f'<span class="num">{valid}</span> {html.escape(_unit(row.unit))}'),
        ("warn.action_short", html.escape((row.action if view.zh else row.action_en) or row.action)),
        ("barrier.source", html.escape(row.source)),
    )
    lines = "".join(f"<dt>{html.escape(t(key))}</dt><dd>{value}</dd>" for key, value in facts if value)
    name = (row.name if view.zh else row.name_en) or row.id
    meaning = (row.meaning if view.zh else row.meaning_en) or row.meaning
    return (
        f'<h3 class="fe">{html.escape(name)} <small class="low">{html.escape(row.id)}</small></h3>'
        f'<p class="fe">{html.escape(meaning)}</p><dl class="kv wide left">{lines}</dl>'
    )


def _values(view: View, row: FeatureRow) -> str:
    t = view.t
    title = f'<h4 class="fe">{html.escape(t("features.where", n=len(row.values)))}</h4>'
    if not row.values:
        return f'{title}<div class="low">{html.escape(t("features.nowhere"))}</div>'
    order = sorted(
        row.values, key=lambda value: (int(value.grade) if value.grade else 9, value.value is None, value.path)
    )
    return title + "".join(_value(view, row, value) for value in order[:80])


def _value(view: View, row: FeatureRow, value: FeatureValue) -> str:
    shown = f'<b class="num hi">{value.value:.4g}</b> {html.escape(_unit(row.unit))}' if value.value is not None else ""
    why = (value.reason_zh if view.zh else value.reason) or value.reason
    shape = priority_shape(int(value.grade), 13) if value.grade else ""
    inputs = " ".join(_input(view, name, path) for name, path in value.inputs.items())
    right = shown or f'<span class="low">{html.escape(why)}</span>'
    place = (
        f'<span class="clip grow" title="{html.escape(value.path)}">{html.escape(full_place(view, value.path))}</span>'
    )
    return (
        f'<div class="fv"><div class="bar" style="flex-wrap:nowrap">{shape}{place}'
        f'<span style="text-align:right">{right}</span></div>'
        f'<div class="low">{inputs}</div></div>'
    )


def _input(view: View, name: str, path: str) -> str:
    point = view.context.plant.by_path.get(path)
    shown = (point.tag or place_name(view, path)) if point is not None else path
    if point is None:
        return f"{html.escape(name)} = {html.escape(shown)}"
    return f'{html.escape(name)} = <a href="/plant?point={html.escape(path)}">{html.escape(shown)}</a>'


def _unbound(view: View, row: FeatureRow) -> str:
    if not row.unbound:
        return ""
    lines = "".join(
        f'<div class="fv"><span>{html.escape(full_place(view, path))}</span> '
        f'<span class="low">{html.escape(_half(view, why))}</span></div>'
        for path, why in sorted(row.unbound.items())[:80]
    )
    return f'<h4 class="fe">{html.escape(view.t("features.not_where", n=len(row.unbound)))}</h4>{lines}'


def _half(view: View, both: str) -> str:
    """Return the half of ``中文 / English`` that the page speaks."""
    zh, _, en = both.partition(" / ")
    return zh if view.zh else en or zh

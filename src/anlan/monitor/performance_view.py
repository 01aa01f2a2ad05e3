"""Alarm performance as a page: rate with target lines, floods, top ten, chattering, stale, split, time to acknowledge.

Targets come with the figures (``performance_targets.yaml``, with their sources).
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nicegui import ui

from anlan.core.errors import AnlanError
from anlan.core.time import DAY, HOUR, SECOND, now_us
from anlan.monitor.model import PerformanceQuery
from anlan.web.components import chart, empty, grid, panel, raw
from anlan.web.shell import View

if TYPE_CHECKING:
    from anlan.monitor.performance import Figure, Performance

PERIODS = (("8 h", 8 * HOUR), ("24 h", DAY), ("7 d", 7 * DAY), ("30 d", 30 * DAY))


async def ask(view: View, start: int, end: int, position: str = "") -> Performance:
    """Return the figures of a period (µs UTC) for one operator position, or all."""
    query = PerformanceQuery(start=start, end=end, operator_position=position)
    from anlan.monitor.performance import (
        Performance,
    )  # late: it compiles numerics that a page without it need not wait for

    return await view.call("monitor.performance", query, Performance, timeout=30)


def rate_chart(view: View, figures: Performance, *, small: bool = False) -> None:
    """Place the alarm rate per ten minutes with its target lines."""
    t = view.t
    target, flood = figures.figures["per_10_min"], figures.figures["peak_10_min"].target
    data: list[Any] = [
        [time / 1000, count] if count <= flood else {"value": [time / 1000, count], "itemStyle": {"color": "$p2"}}
        for time, count in figures.rate
    ]
    grey = {"color": "$low", "type": "dashed"}
    lines: list[dict[str, Any]] = [
        {"yAxis": target.target, "lineStyle": grey, "label": {"formatter": t("perf.target", n=f"{target.target:g}")}},
        {
            "yAxis": flood,
            "lineStyle": {"color": "$p2", "type": "dashed"},
            "label": {"formatter": t("perf.flood_line", n=f"{flood:g}")},
        },
    ]
    if not small:
        lines.insert(
            1, {"yAxis": target.limit, "lineStyle": {"color": "$low", "type": "dotted"}, "label": {"show": False}}
        )
    span = figures.rate[-1][0] - figures.rate[0][0] if len(figures.rate) > 1 else 0
    top = max(flood + 2, *(count for _, count in figures.rate))
    option = {
        "grid": {"left": 34, "right": 12, "top": 12, "bottom": 22},
        "tooltip": {
            "trigger": "axis",
            "backgroundColor": "$raised",
            "borderColor": "$line",
            "textStyle": {"color": "$text"},
        },
        "xAxis": {
            "type": "time",
            "axisLine": {"lineStyle": {"color": "$line"}},
            "axisTick": {"show": False},
            "axisLabel": {"color": "$low", "fontSize": 10},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "minInterval": 1,
            "max": top,
            "splitNumber": 3,
            "axisLabel": {"color": "$low", "fontSize": 10},
            "splitLine": {"lineStyle": {"color": "$soft"}},
        },
        "series": [
            {
                "type": "bar",
                "data": data,
                "barMaxWidth": 12,
                "barMinWidth": 1,
                "itemStyle": {"color": "$trend"},
                "markLine": {
                    "symbol": "none",
                    "silent": True,
                    "data": lines,
                    "label": {"position": "insideStartTop", "color": "$low", "fontSize": 10},
                },
            }
        ],
    }
    chart(option, "chart", days=span > DAY)


async def build(view: View) -> None:
    """Draw the page."""
    t = view.t
    asked = view.request.query_params
    period = int(asked.get("period", DAY)) if asked.get("period", str(DAY)).isdigit() else DAY
    period = min(max(period, HOUR), 366 * DAY)
    position = asked.get("position", "")
    end = int(asked["end"]) if asked.get("end", "").isdigit() else now_us()
    try:
        figures = await ask(view, end - period, end, position)
    except AnlanError as error:
        _controls(view, period, position)
        with panel(t("title.performance"), classes="grow"):
            empty(t("health.no_answer", reason=error.message), error.fix)
        return
    _controls(view, period, position)
    _strip(view, figures)
    with ui.element("div").classes("cols"):
        with ui.element("div").classes("rows").style("flex:1.45"):
            with panel(t("perf.rate"), sub=t("perf.basis"), style="flex:1.1"):
                if figures.rate:
                    rate_chart(view, figures)
                else:
                    empty(t("perf.none"), t("perf.none_hint"))
            with panel(
                t("perf.top"),
                style="flex:1.3",
                sub=t("perf.share_top", n=round(figures.figures["top_ten_share"].value * 100)) if figures.top else "",
            ):
                _top(view, figures)
        with ui.element("div").classes("rows"):
            with panel(t("perf.split"), classes="keep", pad=True):
                _split(view, figures)
            with panel(t("perf.floods"), classes="grow"):
                _floods(view, figures)
            with panel(t("perf.chattering"), classes="grow"):
                _list(view, "chattering", figures.chattering, "col.count")
            with panel(t("perf.stale"), classes="grow"):
                _list(view, "stale", figures.stale, "perf.standing_for", span=True)


def _controls(view: View, period: int, position: str) -> None:
    t = view.t
    plant = view.context.plant.plant
    places = {"": t("perf.all_positions")} | {p.id: view.named(p) for p in (plant.positions if plant else ())}

    def go(chosen_period: int, chosen: str) -> None:
        ui.navigate.to(f"/performance?period={chosen_period}&position={chosen}")

    with ui.element("div").classes("bar"):
        raw(f"<b class='hi' style='font-size:15px'>{html.escape(t('title.performance'))}</b>")
        ui.element("span").classes("grow")
        select = ui.select(places, value=position if position in places else "").props("outlined dense options-dense")
        select.style("width:210px").on_value_change(lambda event: go(period, str(event.value)))
        place = quote(position)
        links = "".join(
            f'<a href="/performance?period={span}&position={place}" class="{"on" if span == period else ""}">{name}</a>'
            for name, span in PERIODS
        )
        raw(links, classes="tabs").style("height:28px")


def _tile(label: str, value: str, unit: str = "", tone: str = "") -> str:
    return (
        f'<div class="kpi {tone}"><div class="l">{html.escape(label)}</div><div class="v">{html.escape(value)}'
        f"<small>{html.escape(unit)}</small></div></div>"
    )


def _tone(figure: Figure) -> str:
    return "" if figure.good else "warn" if figure.tolerable else "warn2"


def _strip(view: View, result: Performance) -> None:
    t, figures = view.t, result.figures
    per, peak, flood = figures["per_10_min"], figures["peak_10_min"], figures["flood_share"]
    chattering, fleeting, stale = figures["chattering"], figures["fleeting"], figures["stale"]

    def target(figure: Figure, form: str) -> str:
        return t("perf.target", n=format(figure.target, form))

    tiles = [
        _tile(t("perf.total"), f"{result.total:,}"),
        _tile(t("perf.average"), f"{per.value:.2f}", t("perf.per10"), _tone(per)),
        _tile(t("perf.peak"), f"{peak.value:.0f}", t("perf.per10"), _tone(peak)),
        _tile(t("perf.in_flood"), f"{flood.value:.1%}", target(flood, ".0%"), _tone(flood)),
        _tile(t("perf.chattering"), f"{chattering.value:.0f}", target(chattering, "g"), _tone(chattering)),
        _tile(t("perf.fleeting"), f"{fleeting.value:.0f}", target(fleeting, "g"), _tone(fleeting)),
        _tile(t("perf.stale"), f"{stale.value:.0f}", target(stale, "g"), _tone(stale)),
        _tile(t("perf.ack_time"), _span(result.ack_median), f"{t('perf.p90')} {_span(result.ack_p90)}"),
    ]
    raw("".join(tiles), classes="kpis")


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _split(view: View, figures: Performance) -> None:
    from anlan.monitor.performance import targets

    total = sum(figures.split) or 1
    wanted = targets()["priority_split"]["target"]
    rows = []
    for n, count in enumerate(figures.split):
        name = html.escape(view.t(f"priority.{n + 1}"))
        rows.append(
            f'<tr><td style="width:110px"><span class="pill">{name}</span></td>'
            f'<td><div class="meter" style="height:8px"><i style="width:{count / total:.1%}"></i></div></td>'
            f'<td class="r" style="width:60px">{count:,}</td><td class="r" style="width:62px">{count / total:.1%}</td>'
            f'<td class="r low" style="width:90px">{html.escape(view.t("perf.target", n=f"{wanted[n]:.0%}"))}</td></tr>'
        )
    raw("".join(rows), "table", "plain")


def _name(view: View, alarm: str) -> dict[str, Any]:
    plant = view.context.plant
    path = plant.path_of_alarm(alarm)
    definition, point = plant.alarms.get(alarm), plant.by_path.get(path)
    if definition is None and path.startswith("connectors/"):
        spec = next((spec for spec in plant.require().connectors if path == f"connectors/{spec.id}"), None)
        title = f"{spec.name or spec.id} {view.t('kind.connector')}" if spec is not None else alarm
        return {"alarm": alarm, "path": path, "title": title, "priority": 0}
    kind = view.t(f"kind.{definition.kind}") if definition is not None else ""
    name = view.named(point) if point is not None else path
    return {
        "alarm": alarm,
        "path": path,
        "title": f"{name} {kind}",
        "priority": definition.priority if definition else 0,
    }


def _top(view: View, figures: Performance) -> None:
    t = view.t
    total = figures.total or 1
    rows = [_name(view, alarm) | {"count": count, "share": f"{count / total:.1%}"} for alarm, count in figures.top]
    columns = [
        {"key": "priority", "headerName": t("col.priority"), "format": "priority", "width": 95},
        {"key": "path", "headerName": t("col.tag"), "format": "point", "width": 140},
        {"key": "title", "headerName": t("col.name"), "flex": 1},
        {"key": "count", "headerName": t("col.count"), "format": "count", "right": True, "width": 90},
        {"key": "share", "headerName": t("col.share"), "right": True, "width": 90},
    ]
    grid(
        "top", columns, rows, id_field="alarm", open_to="/alarms?alarm=", empty=t("perf.none"), hint=t("perf.none_hint")
    )


def _floods(view: View, figures: Performance) -> None:
    t = view.t
    rows = [
        {
            "begin": begin,
            "span": max(0, (end or now_us()) - begin),
            "count": count,
            "peak": peak,
            "note": "" if end else t("perf.going_on"),
        }
        for begin, end, count, peak in figures.floods
    ]
    columns = [
        {"key": "begin", "headerName": t("perf.begin"), "format": "datetime", "width": 165},
        {"key": "span", "headerName": t("perf.standing_for"), "format": "span", "right": True, "width": 95},
        {"key": "count", "headerName": t("col.count"), "format": "count", "right": True, "width": 75},
        {"key": "peak", "headerName": t("perf.peak_rate"), "format": "count", "right": True, "flex": 1},
        {"key": "note", "headerName": "", "width": 75},
    ]
    grid("floods", columns, rows, empty=t("perf.none_list"))


def _list(view: View, key: str, found: tuple[tuple[str, float], ...], heading: str, *, span: bool = False) -> None:
    t = view.t
    rows = [_name(view, alarm) | {"value": value * SECOND if span else value} for alarm, value in found]
    columns: list[dict[str, Any]] = [
        {"key": "path", "headerName": t("col.tag"), "format": "point", "width": 130},
        {"key": "title", "headerName": t("col.name"), "flex": 1},
        {"key": "value", "headerName": t(heading), "format": "span" if span else "count", "right": True, "width": 100},
    ]
    grid(key, columns, rows, id_field="alarm", empty=t("perf.none_list"))


__all__ = ["ask", "build", "rate_chart"]

"""Console pages of the monitor: overview, alarm list with guidance, journal, alarm performance."""

from __future__ import annotations

import html
import json
from typing import Any

from nicegui import ui

from anlan.core.errors import AnlanError, InvalidInputError, UnavailableError
from anlan.core.events import EventType
from anlan.core.time import DAY, HOUR, MINUTE, SECOND, now_us
from anlan.monitor import performance_view
from anlan.monitor.model import Act, ActResult, AlarmList, ListAlarms
from anlan.plant.model import AlarmPolicy
from anlan.store.historian.requests import JournalPage, JournalQuery
from anlan.web.components import Form, button, empty, grid, kpi, kpis, link, live, panel, raw, say, set_rows
from anlan.web.pages.tabs import tabs
from anlan.web.registry import widgets
from anlan.web.shell import View, page_spec

CRITICAL = 1
VERBS = {
    "acknowledge": "act.acknowledge",
    "shelve": "act.shelve",
    "unshelve": "act.unshelve",
    "suppress": "act.suppress",
    "unsuppress": "act.unsuppress",
    "remove-from-service": "act.remove",
    "return-to-service": "act.return",
    "reset": "act.reset",
}
REASON_NEEDED = frozenset({"shelve", "suppress", "remove-from-service", "return-to-service", "unsuppress"})
SHELVE_FOR = (5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR)
VIEWS = ("standing", "shelved", "suppressed", "out-of-service", "journal")


# --- overview -----------------------------------------------------------------------------------------------------


def overview(view: View) -> None:
    """Draw the overview: figures, map with the worst event beside it, live alarms, ranking, trends, alarm rate."""
    t = view.t
    with kpis():
        for key, href in (
            ("unacknowledged", "/alarms"),
            ("active", "/alarms"),
            ("shelved", "/alarms?tab=shelved"),
            ("rate", "/performance"),
            ("points", "/plant"),
            ("bad", "/plant"),
            ("connectors", "/connectors"),
            ("delay", "/health"),
        ):
            kpi(key, t(f"kpi.{key}"), href)
    for widget in widgets("overview"):
        widget.build(view)
    with ui.element("div").classes("ov"):
        with panel(t("map.title"), classes="an-live", style="grid-area:map"), ui.element("div").classes("ov-map"):
            live("card", "ov-card")
            live("map", "map")
        with panel(t("overview.live"), classes="an-live", style="grid-area:alarms") as tools:
            live("alarms", "grid", mode="overview")
        with tools:
            link(t("overview.all"), "/alarms")
        with ui.element("div").classes("side"):
            with panel(t("rank.title"), classes="an-live"):
                live("rank", "rank grow")
            with panel(t("overview.key_trends"), sub=t("overview.last_10"), classes="an-live"):
                live("trends4", "trends4")
            with panel(t("overview.rate"), sub=t("overview.rate_sub")) as more:
                place = ui.element("div").classes("rows").style("gap:0")
            with more:
                link(t("nav.performance"), "/performance")
    _acts(view)
    view.on("an_rate", lambda _message: _rate(view, place))
    live("pulse", "hidden", event="an_rate", every=120)


async def _rate(view: View, place: Any) -> None:
    t = view.t
    now = now_us()
    try:
        figures = await performance_view.ask(view, now - 4 * HOUR, now)
    except AnlanError as error:
        place.clear()
        with place:
            empty(t("overview.no_rate"), error.message)
        return
    place.clear()
    with place:
        if not figures.rate:
            empty(t("overview.no_rate"), t("overview.no_rate_hint"))
            return
        performance_view.rate_chart(view, figures, small=True)


OVERVIEW = page_spec("/", "overview", overview, icon="dashboard", order=10, group="group_monitor")


# --- alarm list ---------------------------------------------------------------------------------------------------


async def alarms(view: View) -> None:
    """Draw the alarm list with tabs, guidance card and tools; the tab stands in the address."""
    t = view.t
    chosen = view.request.query_params.get("tab", "standing")
    if chosen not in VIEWS:
        chosen = "standing"
    width = "width:clamp(320px, 23vw, 430px)"
    with ui.element("div").classes("cols"):
        with panel(t("title.alarms"), classes="grow an-live") as tools:
            if chosen == "standing":
                live("alarmtools", "bar").style("padding:6px 10px;border-bottom:1px solid var(--soft)")
                live("alarms", "grid", mode="page", priority=view.request.query_params.get("priority", ""))
            elif chosen == "journal":
                await _journal(view)
            else:
                await _aside(view, chosen)
        names = [(name, t(f"alarms.{name.replace('-', '_')}")) for name in VIEWS]
        tabs(tools, "/alarms", names, chosen, counts=True)
        with panel(t("guide.title"), classes="keep an-live", style=width):
            live("guide", "guide")
    _acts(view)


async def _aside(view: View, which: str) -> None:
    t = view.t

    async def rows() -> list[dict[str, Any]]:
        found = await view.call("monitor.alarms", ListAlarms(which), AlarmList)
        return [_aside_row(view, row, which) for row in found.rows]

    columns = [
        {"key": "priority", "headerName": t("col.priority"), "format": "priority", "width": 95},
        {"key": "path", "headerName": t("col.tag"), "format": "point", "width": 140},
        {"key": "title", "headerName": t("col.name"), "flex": 1.2},
        {"key": "path_unit", "headerName": t("col.unit_name"), "format": "unit", "flex": 1},
        {"key": "state", "headerName": t("col.state"), "format": "state", "width": 150},
        {"key": "changed", "headerName": t("col.time"), "format": "time", "width": 135},
        {"key": "shelved_until", "headerName": t("col.until"), "format": "time", "width": 135},
        {"key": "who", "headerName": t("col.who"), "width": 100},
        {"key": "comment", "headerName": t("col.reason"), "flex": 1},
        {"key": "act", "headerName": t("col.act"), "format": "button", "width": 130, "sortable": False},
    ]
    name = {"shelved": "shelved", "suppressed": "suppressed", "out-of-service": "out"}[which]
    key = f"aside-{which}"
    texts = (t(f"alarms.none_{name}"), t(f"alarms.none_{name}_hint"))
    made = await rows()
    grid(key, columns, made, id_field="alarm", event="an_aside", guide=True, empty=texts[0], hint=texts[1])

    async def act(message: dict[str, Any]) -> None:
        found = {row["alarm"]: row for row in await rows()}
        row = found.get(str(message["id"]))
        if row is not None:
            _ask(view, str(message["verb"]), _known(view, [row]), lambda: _refresh(key, rows))

    view.on("an_aside", act)


async def _refresh(key: str, rows: Any) -> None:
    set_rows(key, await rows())


def _aside_row(view: View, row: Any, which: str) -> dict[str, Any]:
    verb = {"shelved": "unshelve", "suppressed": "unsuppress", "out-of-service": "return-to-service"}[which]
    name = row.name if view.zh else row.name_en or row.name
    return {
        "alarm": row.alarm,
        "instance": row.instance,
        "point": row.point,
        "kind": row.kind,
        "active": row.active,
        "name": name,
        "priority": row.priority,
        "path": row.path,
        "title": f"{name or row.path.rpartition('/')[2]} {view.t(f'kind.{row.kind}')}",
        "path_unit": row.path,
        "state": row.state,
        "changed": row.changed,
        "raised": row.raised,
        "shelved_until": row.shelved_until,
        "shelved": row.shelved,
        "suppressed": row.suppressed,
        "out_of_service": row.out_of_service,
        "who": row.who,
        "comment": row.comment,
        "act": {"verb": verb, "text": view.t(VERBS[verb])},
    }


# --- journal ------------------------------------------------------------------------------------------------------

_SPANS = (
    ("last_hour", HOUR),
    ("last_8h", 8 * HOUR),
    ("last_day", DAY),
    ("last_week", 7 * DAY),
    ("last_month", 30 * DAY),
)


async def _journal(view: View) -> None:
    t = view.t
    asked: dict[str, Any] = {"span": DAY, "text": "", "who": "", "cursor": ""}
    rows: list[dict[str, Any]] = []

    async def load(more: bool = False) -> None:
        if not more:
            rows.clear()
            asked["cursor"] = ""
        now = now_us()
        query = JournalQuery(
            types=(EventType.ALARM,),
            start=now - int(asked["span"]),
            end=now + MINUTE,
            text=str(asked["text"]).strip(),
            who=str(asked["who"]).strip(),
            limit=500,
            cursor=str(asked["cursor"]),
        )
        page = await view.call("historian.journal", query, JournalPage, timeout=15)
        rows.extend(_journal_row(view, event) for event in page.events)
        asked["cursor"] = page.next
        older.set_enabled(bool(page.next))

    async def show(more: bool = False) -> None:
        await load(more)
        set_rows("journal", rows)

    with ui.element("div").classes("bar").style("padding:6px 10px;border-bottom:1px solid var(--soft)"):
        spans = ui.select({span: t(f"alarms.{name}") for name, span in _SPANS}, value=DAY)
        spans.props("outlined dense options-dense").style("width:150px").bind_value_to(asked, "span")
        words = ui.input(placeholder=t("alarms.search_text")).props("outlined dense").style("width:220px")
        words.bind_value_to(asked, "text")
        person = ui.input(placeholder=t("alarms.person")).props("outlined dense").style("width:150px")
        person.bind_value_to(asked, "who")
        find = view.guarded(show)
        spans.on_value_change(find)
        words.on("keydown.enter", find)
        person.on("keydown.enter", find)
        button(t("trends.show"), find)
        ui.element("span").classes("grow")
        older: Any = button(t("alarms.more"), view.guarded(lambda: show(True)))
        export = f"anlan.csv('journal', {json.dumps('journal.csv')})"
        raw("CSV", "button", "btn")._props["onclick"] = export
    columns = [
        {"key": "time", "headerName": t("col.time"), "format": "datetime", "width": 165},
        {"key": "priority", "headerName": t("col.priority"), "format": "priority", "width": 95},
        {"key": "arrow", "headerName": t("col.event"), "format": "arrow", "width": 140},
        {"key": "path", "headerName": t("col.tag"), "format": "point", "width": 140},
        {"key": "title", "headerName": t("col.name"), "flex": 1},
        {"key": "path_unit", "headerName": t("col.unit_name"), "format": "unit", "flex": 0.8},
        {"key": "state", "headerName": t("col.state"), "format": "state", "width": 150},
        {"key": "value", "headerName": t("col.value"), "format": "number", "right": True, "width": 95},
        {"key": "limit", "headerName": t("col.limit"), "format": "number", "right": True, "width": 85},
        {"key": "who", "headerName": t("col.who"), "width": 110},
        {"key": "comment", "headerName": t("col.comment"), "flex": 0.8},
    ]
    try:
        await load()
    except UnavailableError as error:
        say(str(error), kind="warning")
    grid("journal", columns, rows, guide=True, empty=t("alarms.none_journal"), hint=t("alarms.none_journal_hint"))


def _journal_row(view: View, event: Any) -> dict[str, Any]:
    data = event.data
    alarm = str(data.get("alarm", event.subject))
    definition = view.context.plant.alarms.get(alarm)
    path = view.context.plant.path_of_alarm(alarm)
    point = view.context.plant.by_path.get(path)
    kind = definition.kind if definition is not None else alarm.rpartition("/")[2].partition(".")[2].partition(".")[0]
    name = view.named(point) if point is not None else path.rpartition("/")[2]
    if kind == "lost":
        plant = view.context.plant.plant
        name = next((s.name or s.id for s in plant.connectors if s.id == name), name) if plant is not None else name
    wanted = ("instance", "arrow", "state", "point", "priority", "value", "limit", "who", "comment")
    return {key: data.get(key) for key in wanted} | {
        "time": event.time,
        "alarm": alarm,
        "kind": kind,
        "path": path,
        "path_unit": path,
        "name": name,
        "title": f"{name} {view.t(f'kind.{kind}')}",
        "active": False,
        "raised": event.time,
        "unit": point.unit if point is not None else "",
    }


ALARMS = page_spec("/alarms", "alarms", alarms, icon="notifications_active", order=20, group="group_monitor")


# --- acts ---------------------------------------------------------------------------------------------------------


def _acts(view: View) -> None:
    def act(message: dict[str, Any]) -> None:
        rows = _known(view, message.get("rows", []))
        if rows:
            _ask(view, str(message.get("verb", "")), rows)

    view.on("an_act", act)


def _known(view: View, wanted: Any) -> list[dict[str, Any]]:
    """Return the rows a browser names, with kind, name and priority as the server knows them."""
    rows = []
    for item in list(wanted)[:2000]:
        alarm, instance = str(item.get("alarm", "")), str(item.get("instance", ""))
        definition, standing = view.context.plant.alarms.get(alarm), view.hub.book.rows.get(alarm)
        path = standing.path if standing is not None else view.context.plant.path_of_alarm(alarm)
        if (definition is None and standing is None) or not view.actor.sees(path):
            continue
        kind, priority = (
            (definition.kind, definition.priority) if definition is not None else (standing.kind, standing.priority)  # type: ignore[union-attr]  # one of the two is there
        )
        point = view.context.plant.by_path.get(path)
        name = f"{view.named(point if point is not None else standing or definition)} {view.t(f'kind.{kind}')}"
        rows.append({"alarm": alarm, "instance": instance, "priority": priority, "path": path, "name": name})
    return rows


def _ask(view: View, verb: str, rows: list[dict[str, Any]], after: Any = None) -> None:
    """Open the form of an act on alarms, or do it at once where nothing has to be said."""
    t = view.t
    if verb not in VERBS:
        raise InvalidInputError(f"{verb!r} is no act", where="verb", fix=", ".join(VERBS))
    critical = any(row["priority"] == CRITICAL for row in rows)
    with Form(view, t(f"acts.{verb}_title", n=len(rows))) as form:
        _names(view, rows)
        if verb == "shelve":
            _durations(view, form, rows)
        if critical and verb == "acknowledge":
            form.note(t("acts.critical_ack"), "hi")
        needs_reason = verb in REASON_NEEDED or (critical and verb == "acknowledge")
        form.text("comment", t("acts.reason" if needs_reason else "acts.comment"), area=True).props("autofocus")
        if critical and verb == "acknowledge":
            form.check("checked", t("acts.critical_check"))

    async def do(values: dict[str, Any]) -> bool:
        comment = str(values.get("comment") or "").strip()
        if needs_reason and not comment:
            form.problem(t("acts.reason_needed"))
            return False
        if "checked" in values and not values["checked"]:
            form.problem(t("acts.check_needed"))
            return False
        until = now_us() + int(values["duration"]) if verb == "shelve" else 0
        await _do(view, verb, rows, comment, until)
        if after is not None:
            await after()
        return True

    form.open(do, t(VERBS[verb]), danger=critical and verb != "acknowledge")


def _names(view: View, rows: list[dict[str, Any]]) -> None:
    lines = []
    for row in rows[:6]:
        priority = html.escape(view.t(f"priority.{row['priority']}"))
        lines.append(
            f'<div class="bar" style="flex-wrap:nowrap"><span class="pill">{priority}</span>'
            f'<span class="hi clip">{html.escape(row["name"])}</span>'
            f'<span class="low clip">{html.escape(row["alarm"])}</span></div>'
        )
    more = f'<div class="low">… {len(rows) - 6}</div>' if len(rows) > 6 else ""
    raw("".join(lines) + more)


def _durations(view: View, form: Form, rows: list[dict[str, Any]]) -> None:
    plant = view.context.plant.plant
    policy = plant.policy if plant is not None else AlarmPolicy()
    longest = min(policy.shelve_longest[max(1, min(4, row["priority"])) - 1] for row in rows)
    allowed = [span for span in SHELVE_FOR if span <= longest] or [longest]
    form.choice(
        "duration", view.t("acts.duration"), {span: _span(span) for span in allowed}, allowed[min(1, len(allowed) - 1)]
    )
    form.note(view.t("acts.longest", span=_span(longest)) + " " + view.t("acts.shelve_note"))


def _span(span: int) -> str:
    minutes = span // MINUTE
    if span < MINUTE:
        return f"{span // SECOND} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes / 60:g} h"


async def _do(view: View, verb: str, rows: list[dict[str, Any]], comment: str, until: int) -> None:
    request = Act(
        verb=verb,
        alarms=tuple(str(row["alarm"]) for row in rows),
        instances=tuple(str(row.get("instance") or "") for row in rows),
        comment=comment,
        until=until,
    )
    result = await view.call("monitor.act", request, ActResult, timeout=10)
    view.hub.nudge()
    if result.done:
        say(view.t("acts.done", verb=view.t(VERBS[verb]), n=len(result.done)))
    names = {str(row["alarm"]): str(row.get("name") or row["alarm"]) for row in rows}
    for alarm, reason in list(result.refused.items())[:4]:
        say(view.t("acts.refused", name=names.get(alarm, alarm), reason=reason), kind="warning")


# --- performance --------------------------------------------------------------------------------------------------


async def performance(view: View) -> None:
    """Draw alarm performance for a period and an operator position; both stand in the address."""
    await performance_view.build(view)


PERFORMANCE = page_spec("/performance", "performance", performance, icon="leaderboard", order=50, group="group_monitor")

PAGES = (OVERVIEW, ALARMS, PERFORMANCE)


def register() -> None:
    """Add the monitor's pages to the console."""
    from anlan.web.registry import register_page

    for page in PAGES:
        register_page(page)

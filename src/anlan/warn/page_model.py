"""One model: score sheets of live and shadow beside each other, versions with hash and signature, acts, a trial."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import ui

from anlan.core.actor import Permission
from anlan.core.errors import AnlanError, InvalidInputError
from anlan.core.time import DAY, HOUR, SECOND, now_us
from anlan.warn.model import ActOnModel, GetModel, ModelMode, ModelRow, ScoreSheet, TrialResult, TryModel, WarningRow
from anlan.warn.page_acts import client
from anlan.warn.page_models import MODE_TONES, budget, histogram, percent
from anlan.warn.page_rows import by_gravity, clock, full_place, model_name, span, warning_row
from anlan.web.components import Form, button, grid, panel, raw, say, set_rows, text
from anlan.web.shell import View


class ModelPage:
    """Draws one model: score sheets beside each other, versions, warnings, definition, trial."""

    def __init__(self, view: View, identity: str) -> None:
        self.view = view
        self.identity = identity
        self.rows: dict[str, ModelRow] = {}

    async def draw(self) -> None:
        """Draw the page."""
        view, t = self.view, self.view.t
        now = now_us()
        detail = await (await client(view)).model(GetModel(self.identity, now - 28 * DAY, now))
        self.rows = {str(row.model.version): row for row in detail.versions}
        first = _standing(detail.versions)
        judged, period = detail.versions, t("models.period")
        running = [row for row in detail.versions if row.mode is not ModelMode.RETIRED]
        if len(running) > 1:
            # Live and shadow are compared over the time in which both ran.
            since = max(now - 28 * DAY, *(row.created for row in running))
            judged = (await (await client(view)).model(GetModel(self.identity, since, now))).versions
            period = t("models.same_period", start=clock(view, since, "%m-%d %H:%M"))
        with ui.element("div").classes("cols"):
            with ui.element("div").classes("rows"):
                title = model_name(view, self.identity, first.model)
                with panel(title, sub=f"{self.identity} · {period}", classes="keep") as tools:
                    self.compare(judged)
                with tools:
                    raw(html.escape(t("models.back")), "a", "mini").props('href="/models"')
                height = 68 + 29 * min(6, len(detail.versions))
                with panel(t("models.versions"), style=f"flex:0 1 {height}px"):
                    self.versions()
                with panel(t("models.warnings"), sub=t("models.warnings_sub"), style="flex:1.3 1 0;min-height:150px"):
                    rows = [warning_row(view, row) for row in detail.warnings]
                    grid(
                        "model-warnings", _warning_columns(view), rows, id_field="id", open_to="/warnings/",
                        empty=t("models.no_warnings"), hint=t("models.no_warnings_hint"),
                    )  # fmt: skip
            with ui.element("div").classes("rows").style("flex:0 0 clamp(330px, 25vw, 480px)"):
                with panel(t("models.definition"), pad=True):
                    raw(_definition(view, first))
                with panel(t("models.try"), classes="keep", pad=True):
                    self.trial()

    # --- score sheets -----------------------------------------------------------------------------------------------

    def compare(self, versions: Sequence[ModelRow]) -> None:
        """Draw the score sheets of what runs, side by side."""
        t = self.view.t
        running = [row for row in versions if row.mode is not ModelMode.RETIRED] or list(versions[:1])
        shown = running[:3]
        head = "".join(
            f'<th class="r">v{row.model.version} <span class="pill {MODE_TONES[row.mode]}">'
            f"{html.escape(t(f'models.{row.mode}'))}</span></th>"
            for row in shown
        )
        lines = "".join(
            f'<tr><td class="low">{html.escape(t(f"models.{key}"))}</td>'
            + "".join(f'<td class="r">{cell}</td>' for cell in cells)
            + "</tr>"
            for key, cells in _sheet_lines(self.view, shown)
        )
        raw(f'<table class="plain sheet"><thead><tr><th></th>{head}</tr></thead>{lines}</table>')

    # --- versions ---------------------------------------------------------------------------------------------------

    def versions(self) -> None:
        """Draw the table of versions and what one may do with each."""
        view, t = self.view, self.view.t
        columns = [
            {"key": "version", "headerName": t("models.version"), "width": 66, "right": True},
            {"key": "mode", "headerName": t("models.mode"), "format": "pill", "width": 84},
            {"key": "created", "headerName": t("models.created"), "format": "datetime", "width": 165},
            {"key": "by", "headerName": t("register.by"), "width": 90, "wide": True},
            {"key": "digest", "headerName": t("models.digest"), "width": 130},
            {"key": "signed", "headerName": t("models.signed"), "width": 110},
            {"key": "training", "headerName": t("models.training"), "flex": 1, "minWidth": 120},
            {"key": "act", "headerName": t("col.act"), "format": "buttons", "width": 230, "sortable": False},
        ]
        rows = [self.version(row) for row in self.rows.values()]
        grid("versions", columns, rows, id_field="version", event="an_model")
        view.on("an_model", self.ask)

    def version(self, row: ModelRow) -> dict[str, Any]:
        """Return one version with what one can do with it."""
        view, t = self.view, self.view.t
        off = "" if view.may(Permission.MANAGE_MODELS) else t("models.may_not")
        possible = {
            ModelMode.LIVE: ("shadow", "retire", "rollback"),
            ModelMode.SHADOW: ("live", "retire"),
            ModelMode.RETIRED: ("live", "shadow"),
        }[row.mode]
        trained = ""
        if row.training_rows:
            trained = t("models.trained", n=row.training_rows, hash=row.training_hash[:12])
            trained += f" {clock(view, row.training_start, '%Y-%m-%d')} – {clock(view, row.training_end, '%Y-%m-%d')}"
        return {
            "version": row.model.version,
            "mode": {"text": t(f"models.{row.mode}"), "tone": MODE_TONES[row.mode]},
            "created": row.created,
            "by": row.created_by,
            "digest": row.digest[:16],
            "signed": row.signed_by or "–",
            "training": trained or t("models.no_training"),
            "act": [{"verb": verb, "text": t(f"models.do_{verb}"), "off": off} for verb in possible],
        }

    def ask(self, message: dict[str, Any]) -> None:
        """Ask why a version is to be put live, to shadow, away or back."""
        view, t = self.view, self.view.t
        row, verb = self.rows.get(str(message.get("id", ""))), str(message.get("verb", ""))
        if row is None or verb not in ("live", "shadow", "retire", "rollback"):
            return
        name = f"{model_name(view, self.identity, row.model)} v{row.model.version}"
        with Form(view, t("register.act_title", verb=t(f"models.do_{verb}"), what=name)) as form:
            form.note(t(f"models.note_{verb}"), "hi")
            form.text("comment", t("acts.reason"), area=True).props("autofocus")

        async def do(values: dict[str, Any]) -> bool:
            comment = str(values["comment"] or "").strip()
            if not comment:
                form.problem(t("acts.reason_needed"))
                return False
            request = ActOnModel(self.identity, verb, 0 if verb == "rollback" else row.model.version, comment)
            asking = await client(view)
            await asking.act_on_model(request)
            now = now_us()
            detail = await asking.model(GetModel(self.identity, now - 28 * DAY, now))
            self.rows = {str(item.model.version): item for item in detail.versions}
            set_rows("versions", [self.version(item) for item in self.rows.values()])
            say(t("register.done"))
            return True

        form.open(do, t(f"models.do_{verb}"), danger=verb == "retire")

    # --- trial ------------------------------------------------------------------------------------------------------

    def trial(self) -> None:
        """Draw the form that runs a version on history, and the place for its result."""
        view, t = self.view, self.view.t
        now = now_us()
        with ui.element("div").classes("stack"):
            text(t("models.try_note"), "div", "low")
            with ui.element("div").classes("split"):
                start: Any = ui.input(t("trends.from"), value=clock(view, now - 2 * HOUR, "%Y-%m-%d %H:%M"))
                end: Any = ui.input(t("trends.to"), value=clock(view, now, "%Y-%m-%d %H:%M"))
                options = {int(version): f"v{version}" for version in self.rows}
            for field in (start, end):
                field.props("outlined dense")
            with ui.element("div").classes("split"):
                version: Any = ui.select(options, value=next(iter(options)), label=t("models.version"))
                version.props("outlined dense options-dense")
                start_button: Any = button(t("models.try_go"), lambda: None, main=True)
            result = ui.element("div")

        async def run() -> None:
            since, until = _moment(view, start.value, "from"), _moment(view, end.value, "to")
            if until <= since:
                raise InvalidInputError(t("trends.bad_range"), where="to")
            start_button.disable()
            result.clear()
            with result:
                text(t("models.trying"), "div", "low")
            try:
                asked = TryModel(since, until, self.identity, int(version.value))
                found = await (await client(view)).try_model(asked)
            except AnlanError:
                result.clear()
                raise
            finally:
                start_button.enable()
            result.clear()
            with result:
                raw(_trial_html(view, found))

        start_button.on_click(view.guarded(run))


def _standing(versions: Sequence[ModelRow]) -> ModelRow:
    return next((row for row in versions if row.mode is ModelMode.LIVE), versions[0])


def _sheet_lines(view: View, rows: Sequence[ModelRow]) -> list[tuple[str, list[str]]]:
    """Return the lines of score sheets: key of the label, and one cell a version."""

    def each(cell: Any) -> list[str]:
        return [cell(row) for row in rows]

    def pill(row: ModelRow) -> str:
        found = budget(view, row)
        return f'<span class="pill {found["tone"]}">{html.escape(found["text"])}</span>'

    def outcomes(sheet: ScoreSheet) -> str:
        counts = (("hit", sheet.hit), ("averted", sheet.averted), ("late", sheet.late), ("false", sheet.false))
        return " · ".join(f"{html.escape(view.t(f'outcome.{name}'))} {count}" for name, count in counts)

    def precise(row: ModelRow) -> str:
        return f"{percent(row.sheet.precision)} <span class=low>≥ {row.model.budget.precision:.0%}</span>"

    def false(row: ModelRow) -> str:
        rate = "–" if row.sheet.false_a_week is None else f"{row.sheet.false_a_week:.1f}"
        return f"{rate} <span class=low>≤ {row.model.budget.false_a_week:g}</span>"

    def period(row: ModelRow) -> str:
        return f"{clock(view, row.sheet.start, '%m-%d %H:%M')} – {clock(view, row.sheet.end, '%m-%d %H:%M')}"

    def raised(row: ModelRow) -> str:
        return f"{row.sheet.raised} <span class=low>{html.escape(outcomes(row.sheet))}</span>"

    return [
        ("budget", each(pill)),
        ("precision", each(precise)),
        ("recall", each(lambda row: percent(row.sheet.recall))),
        ("false_week", each(false)),
        ("raised", each(raised)),
        ("missed", each(lambda row: str(row.sheet.missed))),
        ("leads", each(lambda row: histogram(row.sheet.leads))),
        ("since", each(period)),
    ]


def _warning_columns(view: View) -> list[dict[str, Any]]:
    t = view.t
    return [
        {"key": "grade", "headerName": t("warn.grade"), "format": "grade", "width": 92},
        {"key": "version", "headerName": t("models.version"), "width": 66, "right": True},
        {"key": "place", "headerName": t("warn.place"), "flex": 1, "minWidth": 110},
        {"key": "text", "headerName": t("warn.reason"), "flex": 2, "minWidth": 150},
        {"key": "raised", "headerName": t("warn.raised"), "format": "time", "width": 116},
        {"key": "state", "headerName": t("col.state"), "format": "pill", "width": 92},
        {"key": "outcome", "headerName": t("warn.outcome"), "format": "pill", "width": 92},
    ]


def _definition(view: View, row: ModelRow) -> str:
    t, model = view.t, row.model
    target = t(
        "models.target_text",
        priority=t(f"priority.{model.target.priority}"),
        scope=t(f"models.scope_{model.target.scope}"),
    )
    kinds = " ".join((*model.target.kinds, *model.target.point_kinds))
    inputs = ", ".join(model.features or model.points)
    where = ", ".join([*(full_place(view, path) for path in row.bound[:12]), *(["…"] if len(row.bound) > 12 else [])])
    facts = (
        ("col.kind", t(f"models.kind_{model.kind}")),
        ("models.target", " · ".join(part for part in (target, kinds) if part)),
        ("models.horizon", f"{span(model.horizon)} · {t('models.least', span=span(model.least_lead))}"),
        ("models.inputs", inputs),
        ("models.grades", " · ".join(f"{t(f'wgrade.{name}')} {value:g}" for name, value in by_gravity(model.grades))),
        ("models.hysteresis", t("models.steps", on=model.on_steps, off=model.off_steps, step=span(model.step))),
        ("warn.action_short", (model.action_zh if view.zh else model.action_en) or model.action_zh),
        ("models.owner", model.owner),
        ("barrier.source", model.source),
        ("models.where", where),
        ("models.notes", "; ".join(row.notes)),
        ("models.problem", (row.problem_zh if view.zh else row.problem) or row.problem),
    )  # fmt: skip
    lines = "".join(f"<dt>{html.escape(t(key))}</dt><dd>{html.escape(value)}</dd>" for key, value in facts if value)
    return f'<dl class="kv wide left">{lines}</dl>'


def _moment(view: View, words: str, where: str) -> int:
    plant = view.context.plant.plant
    zone = ZoneInfo(plant.site.timezone if plant is not None else "UTC")
    try:
        return round(datetime.fromisoformat(str(words).strip()).replace(tzinfo=zone).timestamp() * SECOND)
    except ValueError:
        raise InvalidInputError(view.t("models.bad_time"), where=where, fix="2026-01-31 08:00") from None


def _trial_html(view: View, found: TrialResult) -> str:
    """Return what a trial found: its sheet and its first warnings."""
    t, sheet = view.t, found.sheet
    facts = (
        ("models.tried_steps", f"{found.steps} · {t('models.blind', n=found.blind)}"),
        ("models.raised", str(sheet.raised)),
        ("models.precision", percent(sheet.precision)),
        ("models.recall", percent(sheet.recall)),
        ("models.false_week", "–" if sheet.false_a_week is None else f"{sheet.false_a_week:.1f}"),
        ("models.missed", str(sheet.missed)),
    )
    lines = "".join(f"<dt>{html.escape(t(key))}</dt><dd>{html.escape(value)}</dd>" for key, value in facts)
    rows = "".join(_tried(view, row) for row in found.rows[:8])
    notes = "".join(f'<div class="low">{html.escape(note)}</div>' for note in found.notes)
    more = f'<div class="low">… {len(found.rows) - 8}</div>' if len(found.rows) > 8 else ""
    none = "" if found.rows else f'<div class="low">{html.escape(t("models.tried_none"))}</div>'
    body = f'<div class="stack" style="margin-top:8px;gap:4px">{rows}{more}{none}{notes}</div>'
    return f'<dl class="kv" data-trial>{lines}</dl>{body}'


def _tried(view: View, row: WarningRow) -> str:
    outcome = view.t(f"outcome.{row.outcome}") if row.outcome else view.t("warn.open")
    return (
        f'<div class="bar" style="flex-wrap:nowrap"><span class="num low">{clock(view, row.raised, "%m-%d %H:%M")}'
        f'</span><span class="clip">{html.escape(full_place(view, row.path))}</span>'
        f'<span class="pill {"" if row.outcome else "dim"}">{html.escape(outcome)}</span></div>'
    )

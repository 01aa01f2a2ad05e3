"""Console page of the sources: how each connector fares, unmapped tags, dead letters to look at and mend."""

from __future__ import annotations

import html
from typing import Any

from nicegui import ui

from anlan.core.actor import Permission
from anlan.core.errors import AnlanError, InvalidInputError
from anlan.perceive.model import (
    ConnectorStatus,
    DeadLetter,
    DeadLetterPage,
    GetDeadLetter,
    ListConnectors,
    ListDeadLetters,
    Mend,
    MendResult,
)
from anlan.web.components import Form, button, empty, grid, live, panel, raw, say, set_rows, text
from anlan.web.shell import View, page_spec

_TONE = {"up": "", "down": "bad", "starting": "warn", "misconfigured": "bad"}
_PAGE = 100


async def build(view: View) -> None:
    """Draw the page."""
    await _Sources(view).draw()


class _Sources:
    """The page's state: which source is chosen."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.chosen = view.request.query_params.get("id", "")
        self.found: dict[str, ConnectorStatus] = {}
        self.before: dict[str, tuple[float, int]] = {}

    async def draw(self) -> None:
        view, t = self.view, self.view.t
        with ui.element("div").classes("cols"):
            with ui.element("div").classes("rows").style("flex:2.3"):
                with panel(t("conn.title"), classes="an-live", style="flex:1.1") as tools:
                    await self._table()
                with tools:
                    button(t("act.refresh"), view.guarded(self.refresh))
                with panel(t("conn.dead_letters"), style="flex:1") as more:
                    await self._letters(more)
            with panel(t("conn.detail"), classes="grow", pad=True):
                self.detail = ui.element("div").classes("stack")
        self._show()
        view.on("an_source", self._choose)
        view.on("an_letter", lambda message: self._open(int(message["id"])))
        view.on("an_sources", lambda _message: self.refresh())
        live("pulse", "hidden", event="an_sources", every=5)

    async def _read(self) -> list[dict[str, Any]]:
        statuses = await self.view.call("perceive.connectors", ListConnectors(), tuple[ConnectorStatus, ...], timeout=3)
        self.found = {status.id: status for status in statuses}
        return [self._row(status) for status in statuses]

    def _row(self, status: ConnectorStatus) -> dict[str, Any]:
        t = self.view.t
        samples = status.good + status.uncertain + status.bad
        state = {"text": t(f"conn.{status.state}"), "tone": _TONE.get(status.state, "warn")}
        return {
            "id": status.id,
            "name": status.name or status.id,
            "kind": status.kind,
            "state": state,
            "points": status.points,
            "samples": samples,
            "good": status.good,
            "uncertain": status.uncertain,
            "bad": status.bad,
            "late": status.late,
            "future": status.future,
            "unmapped": status.unmapped,
            "dead": status.dead,
            "offset": f"{round(status.clock_offset_us / 1000):+d} ms",
            "last": status.last_seen,
        }

    async def _table(self) -> None:
        t = self.view.t
        try:
            rows = await self._read()
        except AnlanError as error:
            empty(t("conn.silent"), error.message)
            rows = []
        numbers = ("good", "uncertain", "bad", "late", "future", "unmapped", "dead")
        columns = [
            {"key": "state", "headerName": t("conn.state"), "format": "pill", "width": 105},
            {"key": "name", "headerName": t("conn.name"), "flex": 1.4, "minWidth": 120},
            {"key": "kind", "headerName": t("conn.kind"), "width": 90},
            {"key": "points", "headerName": t("conn.points"), "format": "count", "right": True, "width": 78},
            *(
                {
                    "key": key,
                    "headerName": t(f"conn.{key}"),
                    "format": "count",
                    "right": True,
                    "flex": 0.8,
                    "minWidth": 68,
                }
                for key in numbers
            ),
            {"key": "offset", "headerName": t("conn.offset"), "right": True, "width": 95},
            {"key": "last", "headerName": t("conn.last"), "format": "time", "width": 110},
        ]
        grid("sources", columns, rows, id_field="id", click="an_source", empty=t("conn.none"), hint=t("conn.none_hint"))

    async def refresh(self) -> None:
        """Read the counters again."""
        try:
            set_rows("sources", await self._read())
        except AnlanError:
            return
        self._show()

    def _choose(self, message: Any) -> None:
        self.chosen = str(message)
        self._show()

    def _show(self) -> None:
        t = self.view.t
        status = self.found.get(self.chosen) or next(
            (item for item in self.found.values() if item.state in ("down", "misconfigured")), None
        )
        self.detail.clear()
        with self.detail:
            if status is None:
                empty(t("conn.choose"), t("conn.choose_hint"))
                return
            self._describe(status)

    def _describe(self, status: ConnectorStatus) -> None:
        t = self.view.t
        tone = _TONE.get(status.state, "warn")
        state, since = html.escape(t(f"conn.{status.state}")), html.escape(t("conn.since"))
        raw(
            f'<b class="hi" style="font-size:16px">{html.escape(status.name or status.id)}</b>'
            f'<div class="low">{html.escape(status.id)} · {html.escape(status.kind)}</div>'
            f'<div class="bar" style="margin-top:8px"><span class="pill {tone}">{state}</span>'
            f'<span class="low">{since}</span>'
            f'<span class="num" data-an="time" data-us="{status.since}"></span></div>'
        )
        if status.reason:
            text(status.reason, "div", "hi")
        pairs = [
            (t("conn.points"), f"{status.points:,}"),
            (t("conn.messages"), f"{status.messages:,}"),
            (t("conn.good"), f"{status.good:,}"),
            (t("conn.uncertain"), f"{status.uncertain:,}"),
            (t("conn.bad"), f"{status.bad:,}"),
            (t("conn.late"), f"{status.late:,}"),
            (t("conn.future"), f"{status.future:,}"),
            (t("conn.unmapped"), f"{status.unmapped:,}"),
            (t("conn.dead"), f"{status.dead:,}"),
            (t("conn.offset"), f"{status.clock_offset_us / 1000:+.1f} ms"),
        ]
        _pairs(pairs)
        if status.details:
            text(t("conn.other_details"), "b", "hi")
        _pairs([(name, str(value)) for name, value in status.details.items()])
        text(t("conn.unmapped_tags"), "b", "hi")
        if status.unmapped_tags:
            tags = sorted(status.unmapped_tags.items(), key=lambda item: -item[1])
            _pairs([(tag, f"{count:,}") for tag, count in tags])
        else:
            text(t("conn.no_unmapped"), "div", "low")

    # --- dead letters ---------------------------------------------------------------------------------------------

    async def _letters(self, tools: Any) -> None:
        view, t = self.view, self.view.t
        columns = [
            {"key": "time", "headerName": t("col.time"), "format": "datetime", "width": 160},
            {"key": "connector", "headerName": t("conn.title"), "width": 120},
            {"key": "source", "headerName": t("conn.from"), "flex": 0.9},
            {"key": "reason", "headerName": t("col.reason"), "flex": 1.8},
            {"key": "size", "headerName": t("conn.size"), "format": "count", "right": True, "width": 80},
            {"key": "act", "headerName": "", "format": "button", "width": 80, "sortable": False},
        ]
        kept = 0
        rows: list[dict[str, Any]] = []
        try:
            kept, rows = await self._read_letters()
        except AnlanError as error:
            say(f"{t('conn.dead_letters')}: {error.message}", kind="warning")
        grid(
            "letters",
            columns,
            rows,
            id_field="sequence",
            event="an_letter",
            empty=t("conn.no_dead"),
            hint=t("conn.no_dead_hint"),
        )
        with tools:
            text(t("conn.dead_kept", n=kept))
            button(t("act.refresh"), view.guarded(self._refresh_letters))

    async def _read_letters(self) -> tuple[int, list[dict[str, Any]]]:
        page = await self.view.call("perceive.dead-letters", ListDeadLetters(limit=_PAGE), DeadLetterPage)
        act = {"verb": "open", "text": self.view.t("conn.open")}
        rows = [
            {"sequence": one.sequence, "time": one.time, "connector": one.connector, "source": one.source}
            | {"reason": one.reason, "size": one.size, "act": act}
            for one in page.letters
        ]
        return page.kept, rows

    async def _refresh_letters(self) -> None:
        set_rows("letters", (await self._read_letters())[1])

    async def _open(self, sequence: int) -> None:
        view, t = self.view, self.view.t
        letter = await view.call("perceive.dead-letter", GetDeadLetter(sequence), DeadLetter)
        as_text = _as_text(letter.raw)
        with Form(view, t("conn.letter", n=sequence), wide=True) as form:
            _pairs(
                [
                    (t("conn.title"), letter.connector),
                    (t("conn.from"), letter.source),
                    (t("col.reason"), f"{letter.where + ': ' if letter.where else ''}{letter.reason}"),
                    (t("conn.fix"), letter.fix or "–"),
                    (t("conn.size"), f"{letter.size:,}"),
                ]
            )
            shown = as_text if as_text is not None else letter.raw.hex(" ")
            area = form.text("raw", t("conn.as_text" if as_text is not None else "conn.as_hex"), shown, area=True)
            area.props('input-class="num" input-style="max-height:300px;font-family:monospace"')
            form.text("comment", t("acts.comment"))
            if not view.may(Permission.MEND_DEAD_LETTERS):
                form.note(t("may.not_mend"))

        async def again(values: dict[str, Any]) -> bool:
            view.actor.require(Permission.MEND_DEAD_LETTERS)
            raw_bytes = (
                str(values["raw"]).encode() if as_text is not None else _from_hex(str(values["raw"]), t("conn.bad_hex"))
            )
            changed = raw_bytes if raw_bytes != letter.raw else None
            request = Mend(sequence, changed, str(values["comment"] or ""))
            result = await view.call("perceive.mend", request, MendResult, timeout=20)
            say(t("conn.ran", n=result.samples))
            await self._refresh_letters()
            return True

        form.open(again, t("conn.run_again"))


def _as_text(raw_bytes: bytes) -> str | None:
    try:
        words = raw_bytes.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return words if all(char.isprintable() or char in "\r\n\t" for char in words) else None


def _from_hex(words: str, wrong: str) -> bytes:
    try:
        return bytes.fromhex(words)
    except ValueError as error:
        raise InvalidInputError(wrong, where="raw") from error


def _pairs(pairs: list[tuple[str, str]]) -> None:
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd class='num'>{html.escape(value)}</dd>" for name, value in pairs)
    raw(rows, "dl", "kv wide left")


PAGE = page_spec("/connectors", "connectors", build, icon="sensors", order=60, group="group_perceive")

PAGES = (PAGE,)


def register() -> None:
    """Add the page to the console."""
    from anlan.web.registry import register_page

    register_page(PAGE)

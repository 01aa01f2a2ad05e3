"""What a person does with a warning: answer, confirm, dismiss with a reason, close with what was done."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from typing import Any

from anlan.core.errors import InvalidInputError
from anlan.warn.client import WarnClient
from anlan.warn.model import WarningRow
from anlan.warn.page_rows import VERBS, full_place, verbs
from anlan.web.components import Form, priority_shape, raw, say
from anlan.web.shell import View

REASON_NEEDED = frozenset({"dismiss", "close"})


async def client(view: View) -> WarnClient:
    """Return a client that asks as the person who looks, whose session is checked now."""
    return WarnClient(view.context.fabric, await view.who())


async def act(view: View, row: WarningRow, verb: str, after: Callable[[], Awaitable[None]]) -> None:
    """Do what a person asks; a form opens where words are wanted."""
    t = view.t
    if verb not in VERBS:
        raise InvalidInputError(f"{verb!r} is no act", where="verb", fix=", ".join(VERBS))
    possible = verbs(view, row)
    if verb not in possible or possible[verb]:
        why = possible.get(verb) or t("warn.not_now", verb=t(f"wverb.{verb}"), state=t(f"wstate.{row.state}"))
        say(why, kind="warning")
        return
    if verb == "answer":
        await (await client(view)).act(row.id, "answer")
        say(t("warn.done", verb=t("wverb.answer")))
        await after()
        return
    _form(view, row, verb, after)


def _form(view: View, row: WarningRow, verb: str, after: Callable[[], Awaitable[None]]) -> None:
    t = view.t
    with Form(view, t(f"warn.{verb}_title")) as form:
        words = (row.zh if view.zh else row.en) or row.zh or row.en
        raw(
            f'<div class="bar" style="flex-wrap:nowrap">{priority_shape(int(row.grade))}<b class="hi">'
            f"{html.escape(full_place(view, row.path))}</b></div><div>{html.escape(words)}</div>"
        )
        label = {"dismiss": "warn.why_dismiss", "close": "warn.what_done"}.get(verb, "acts.comment")
        form.text("comment", t(label), area=True).props("autofocus")
        if verb == "close":
            form.check("averted", t("warn.averted_check"))
            form.note(t("warn.close_note"))
        if verb == "dismiss":
            form.note(t("warn.dismiss_note"))

    async def do(values: dict[str, Any]) -> bool:
        comment = str(values.get("comment") or "").strip()
        if verb in REASON_NEEDED and not comment:
            form.problem(t("acts.reason_needed"))
            return False
        sent = "averted" if values.get("averted") else verb
        await (await client(view)).act(row.id, sent, comment)
        say(t("warn.done", verb=t(f"wverb.{verb}")))
        await after()
        return True

    form.open(do, t(f"wverb.{verb}"))

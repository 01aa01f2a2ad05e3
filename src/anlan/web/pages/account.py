"""One's own account: roles, password, second factor, API tokens, sessions."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable
from typing import Any, TypeVar

from nicegui import ui
from sqlalchemy.orm import Session

from anlan.core.actor import Grant, Role
from anlan.core.errors import InvalidInputError
from anlan.web.api.session import end_by_id, me_of
from anlan.web.auth import second_factor, sessions, tokens, users
from anlan.web.auth.model import Identity, NewToken
from anlan.web.components import Form, button, grid, panel, raw, say, set_rows, text, told_once
from anlan.web.errors import SignInRequiredError
from anlan.web.shell import View, page_spec
from anlan.web.tables import UserRow

R = TypeVar("R")


async def identity_of(view: View) -> Identity:
    """Return the identity behind the page's cookie.

    Raises:
        SignInRequiredError: the session has ended.
    """
    found = await asyncio.to_thread(view.context.accounts.identity, cookie=view.cookie)
    if found is None:
        raise SignInRequiredError("the session has ended")
    return found


async def change(view: View, work: Callable[[Session], R]) -> R:
    """Run a change of the records off the loop."""
    return await asyncio.to_thread(view.context.accounts.change, work)


async def read(view: View, work: Callable[[Session], R]) -> R:
    """Run a query of the records off the loop."""
    return await asyncio.to_thread(view.context.accounts.read, work)


async def build(view: View) -> None:
    """Draw the page."""
    t = view.t
    identity = await identity_of(view)
    me = await asyncio.to_thread(me_of, view.context.accounts, identity)
    with ui.element("div").classes("cols"):
        with ui.element("div").classes("rows").style("max-width:420px"):
            with panel(f"{me.name or me.login}", sub=me.login, classes="keep", pad=True):
                lines = "".join(
                    f"<dt>{html.escape(t(f'role.{grant.role.value}'))}</dt>"
                    f"<dd>{html.escape(grant.scope or t('account.everywhere'))}</dd>"
                    for grant in me.grants
                )
                raw(lines, "dl", "kv left")
                with ui.element("div").classes("bar").style("margin-top:12px"):
                    button(t("account.change_password"), lambda: _password(view))
                    raw(html.escape(t("act.sign_out")), "button", "btn")._props["onclick"] = _SIGN_OUT
            _second_factor(view, me.second_factor)
        with ui.element("div").classes("rows"):
            await _tokens(view, identity)
            await _sessions(view, identity)


_SIGN_OUT = "fetch('/api/v1/session',{method:'DELETE'}).finally(()=>{location.href='/login'})"


def _password(view: View) -> None:
    t = view.t
    with Form(view, t("account.change_password")) as form:
        form.text("current", t("account.current"), password=True)
        form.text("new", t("account.new"), password=True)
        form.text("again", t("account.again"), password=True)

    async def save(values: dict[str, Any]) -> bool:
        if values["new"] != values["again"]:
            form.problem(t("account.differ"))
            return False
        identity = await identity_of(view)
        accounts = view.context.accounts

        def work(session: Session) -> None:
            auditor = accounts.auditor(identity.actor, view.address)
            users.change_own_password(session, auditor, identity.user_id, values["current"], values["new"])
            sessions.revoke_all(session, identity.user_id, accounts.clock(), keep=identity.session)

        await change(view, work)
        say(t("account.changed"))
        return True

    form.open(save, t("act.save"))


def _second_factor(view: View, on: bool) -> None:
    t = view.t
    with panel(t("account.totp"), classes="keep", pad=True):
        text(t("account.totp_on" if on else "account.totp_off"), "div")
        with ui.element("div").classes("bar").style("margin-top:8px"):
            if on:
                button(t("account.totp_stop"), lambda: _totp_off(view))
            else:
                button(t("account.totp_begin"), view.guarded(lambda: _totp_on(view)), main=True)


async def _totp_on(view: View) -> None:
    t, accounts = view.t, view.context.accounts
    identity = await identity_of(view)
    node = f"Anlan {view.context.settings.node}"
    enrolment = await change(view, lambda session: second_factor.begin(session, accounts.vault, identity.user_id, node))
    with Form(view, t("account.totp_begin")) as form:
        form.note(t("account.totp_scan"))
        grouped = " ".join(enrolment.seed[i : i + 4] for i in range(0, len(enrolment.seed), 4))
        raw(html.escape(grouped), classes="hi num").style("font-size:16px;user-select:all")
        raw(html.escape(enrolment.uri), classes="low clip").style("user-select:all")
        form.text("code", t("sign.code"))

    async def confirm(values: dict[str, Any]) -> None:
        def work(session: Session) -> tuple[str, ...]:
            auditor = accounts.auditor(identity.actor, view.address)
            code = str(values["code"])
            return second_factor.confirm(session, accounts.vault, auditor, identity.user_id, code, accounts.clock())

        codes = await change(view, work)
        told_once(view, t("account.recovery"), "\n".join(codes))

    form.open(confirm, t("account.totp_confirm"))


def _totp_off(view: View) -> None:
    t, accounts = view.t, view.context.accounts
    with Form(view, t("account.totp_stop")) as form:
        form.text("code", t("sign.code"))

    async def stop(values: dict[str, Any]) -> None:
        identity = await identity_of(view)

        def work(session: Session) -> bool:
            row = session.get_one(UserRow, identity.user_id)
            if not second_factor.check(session, accounts.vault, row, str(values["code"]), accounts.clock()):
                return False
            users.forget_second_factor(session, row)
            row.version += 1
            auditor = accounts.auditor(identity.actor, view.address)
            auditor.note(session, "user.second-factor-off", f"users/{row.login}")
            return True

        if not await change(view, work):
            raise InvalidInputError("the code is wrong", where="code")
        ui.navigate.reload()

    form.open(stop, t("account.totp_stop"), danger=True)


async def _tokens(view: View, identity: Identity) -> None:
    t = view.t

    async def rows() -> list[dict[str, Any]]:
        found = await read(view, lambda session: tokens.list_tokens(session, user_id=identity.user_id))
        return [token_row(view, info) for info, _ in found]

    with panel(t("account.tokens")) as tools:
        columns = token_columns(view)
        grid(
            "tokens",
            columns,
            await rows(),
            id_field="id",
            event="an_token",
            empty=t("admin.none_tokens"),
            hint=t("admin.none_tokens_hint"),
        )
    with tools:
        button(t("account.new_token"), lambda: _new_token(view, rows))

    async def revoke(message: dict[str, Any]) -> None:
        auditor = view.context.accounts.auditor(view.actor, view.address)
        now = view.context.accounts.clock()
        await change(view, lambda s: tokens.revoke(s, auditor, str(message["id"]), now, user_id=identity.user_id))
        set_rows("tokens", await rows())

    view.on("an_token", revoke)


def token_columns(view: View) -> list[dict[str, Any]]:
    """Return the columns of a table of tokens."""
    t = view.t
    return [
        {"key": "name", "headerName": t("account.token_name"), "flex": 1.4},
        {"key": "login", "headerName": t("admin.login"), "width": 120},
        {"key": "roles", "headerName": t("admin.roles"), "flex": 1.2},
        {"key": "created", "headerName": t("admin.created"), "format": "datetime", "width": 160},
        {"key": "expires", "headerName": t("admin.expires"), "format": "datetime", "width": 160},
        {"key": "used", "headerName": t("admin.used"), "format": "datetime", "width": 160},
        {"key": "act", "headerName": "", "format": "button", "width": 90, "sortable": False},
    ]


def token_row(view: View, info: Any) -> dict[str, Any]:
    """Return a token as a row."""
    off = "" if not info.revoked else view.t("admin.inactive")
    return {
        "id": info.id,
        "name": info.name,
        "login": info.login,
        "roles": ", ".join(
            view.t(f"role.{grant.role.value}") + (f" @ {grant.scope}" if grant.scope else "") for grant in info.grants
        ),
        "created": info.created,
        "expires": info.expires,
        "used": info.used,
        "act": {"verb": "revoke", "text": view.t("admin.revoke"), "off": off},
    }


def _new_token(view: View, rows: Callable[[], Any]) -> None:
    t = view.t
    roles = sorted({grant.role for grant in view.actor.grants}, key=lambda role: role.value)
    with Form(view, t("account.new_token")) as form:
        form.text("name", t("account.token_name"))
        form.choice(
            "role", t("account.token_role"), {role.value: t(f"role.{role.value}") for role in roles}, roles[0].value
        )
        scopes = sorted({grant.scope for grant in view.actor.grants})
        form.choice("scope", t("admin.scope"), {scope: scope or t("account.everywhere") for scope in scopes}, scopes[0])
        form.number("days", t("account.token_days"), 90, min=1, max=3650)

    async def make(values: dict[str, Any]) -> None:
        identity = await identity_of(view)
        accounts = view.context.accounts
        name = str(values["name"]).strip()
        if not name:
            raise InvalidInputError("a name is missing", where="name", fix="say what the token is for")
        new = NewToken(name, (Grant(Role(values["role"]), str(values["scope"])),), int(values["days"] or 90))

        def work(session: Session) -> Any:
            owner = session.get_one(UserRow, identity.user_id)
            auditor = accounts.auditor(identity.actor, view.address)
            return tokens.create(session, auditor, owner, new, accounts.clock())

        made = await change(view, work)
        told_once(view, t("account.token_once"), made.token)
        set_rows("tokens", await rows())

    form.open(make, t("act.add"))


async def _sessions(view: View, identity: Identity) -> None:
    t, accounts = view.t, view.context.accounts

    async def rows() -> list[dict[str, Any]]:
        life, now = accounts.life, accounts.clock()
        found = await read(view, lambda s: sessions.list_sessions(s, life, now, user_id=identity.user_id))
        return [session_row(view, item, identity.session[:16]) for item, _ in found]

    with panel(t("account.sessions")):
        grid(
            "sessions",
            session_columns(view),
            await rows(),
            id_field="id",
            event="an_session",
            empty=t("admin.none_sessions"),
        )

    async def end(message: dict[str, Any]) -> None:
        await asyncio.to_thread(end_by_id, accounts, view.actor, view.address, str(message["id"]), identity.user_id)
        set_rows("sessions", await rows())

    view.on("an_session", end)


def session_columns(view: View) -> list[dict[str, Any]]:
    """Return the columns of a table of sessions."""
    t = view.t
    return [
        {"key": "login", "headerName": t("admin.login"), "width": 130},
        {"key": "address", "headerName": t("admin.address"), "width": 140},
        {"key": "agent", "headerName": t("admin.agent"), "flex": 1},
        {"key": "method", "headerName": t("admin.method"), "width": 100},
        {"key": "created", "headerName": t("admin.created"), "format": "datetime", "width": 160},
        {"key": "seen", "headerName": t("admin.seen"), "format": "datetime", "width": 160},
        {"key": "act", "headerName": "", "format": "button", "width": 100, "sortable": False},
    ]


def session_row(view: View, item: Any, own: str) -> dict[str, Any]:
    """Return a session as a row; the one that looks cannot be ended here."""
    current = item.id == own
    words = view.t("admin.this_one") if current else view.t("admin.end")
    return {
        "id": item.id,
        "login": item.login,
        "address": item.address,
        "agent": item.agent,
        "method": item.method,
        "created": item.created,
        "seen": item.seen,
        "act": {"verb": "end", "text": words, "off": words if current else ""},
    }


PAGE = page_spec("/account", "account", build)

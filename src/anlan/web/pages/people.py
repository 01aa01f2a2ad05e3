"""People, API tokens, sessions and the audit trail, for administrators and auditors."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from nicegui import ui
from sqlalchemy.orm import Session

from anlan.core.actor import Grant, Permission, Role
from anlan.core.errors import AnlanError, NotFoundError
from anlan.core.events import EventType
from anlan.core.time import DAY, now_us
from anlan.plant.model import Place, Unit
from anlan.store.historian.requests import JournalPage, JournalQuery
from anlan.web.api.session import end_by_id
from anlan.web.auth import sessions, tokens, users
from anlan.web.auth.model import NewUser, User, UserChange
from anlan.web.components import Form, button, empty, grid, panel, say, set_rows, told_once
from anlan.web.pages.account import change, read, session_columns, session_row, token_columns, token_row
from anlan.web.pages.tabs import tabs
from anlan.web.shell import View, page_spec
from anlan.web.tables import TokenRow, UserRow

_PAGE = 500


async def build(view: View) -> None:
    """Draw the chosen tab; it stands in the address."""
    t = view.t
    administers = view.may(Permission.ADMINISTER)
    names = ["users", "tokens", "sessions", "audit"] if administers else ["audit"]
    chosen = view.request.query_params.get("tab", names[0])
    if chosen not in names:
        chosen = names[0]
    with panel(t("title.admin"), classes="grow") as tools:
        await {"users": _users, "tokens": _tokens, "sessions": _sessions, "audit": _audit}[chosen](view, tools)
    tabs(tools, "/admin", [(name, t(f"admin.{name}")) for name in names], chosen)


# --- people -------------------------------------------------------------------------------------------------------


async def _find_users(view: View) -> list[User]:
    return await read(view, lambda session: users.list_users(session, view.actor, "", _PAGE))


def _user_row(view: View, user: User) -> dict[str, Any]:
    t = view.t
    state = {"text": t("admin.active"), "tone": ""} if user.active else {"text": t("admin.inactive"), "tone": "dim"}
    if user.active and user.must_change:
        state = {"text": t("admin.must_change"), "tone": "warn"}
    roles = [t(f"role.{g.role.value}") + (f" @ {g.scope}" if g.scope else "") for g in user.grants]
    return {
        "login": user.login,
        "name": user.name,
        "roles": ", ".join(roles),
        "state": state,
        "second": {
            "text": t("admin.on" if user.second_factor else "admin.off"),
            "tone": "" if user.second_factor else "dim",
        },
        "last": user.last_sign_in,
        "act": [{"verb": "edit", "text": t("admin.edit")}, {"verb": "reset", "text": t("admin.reset_password")}],
    }


async def _users(view: View, tools: Any) -> None:
    t = view.t
    columns = [
        {"key": "login", "headerName": t("admin.login"), "width": 170},
        {"key": "name", "headerName": t("admin.name"), "width": 170},
        {"key": "roles", "headerName": t("admin.roles"), "flex": 1},
        {"key": "state", "headerName": t("admin.state"), "format": "pill", "width": 170},
        {"key": "second", "headerName": t("admin.second"), "format": "pill", "width": 120},
        {"key": "last", "headerName": t("admin.last"), "format": "datetime", "width": 170},
        {"key": "act", "headerName": "", "format": "buttons", "width": 200, "sortable": False},
    ]
    rows = [_user_row(view, user) for user in await _find_users(view)]
    grid("users", columns, rows, id_field="login", event="an_user", empty=t("admin.none_users"))
    with tools:
        button(t("admin.add_user"), view.guarded(lambda: _edit_user(view, None)), main=True)

    async def act(message: dict[str, Any]) -> None:
        login = str(message["id"])
        if message["verb"] == "reset":
            await _reset_password(view, login)
        else:
            found = await read(view, lambda s: users.view(users.visible(s, view.actor, login)))
            _edit_user(view, found)

    view.on("an_user", act)


async def _reset_password(view: View, login: str) -> None:
    accounts = view.context.accounts

    def work(session: Session) -> Any:
        made = users.reset_password(session, view.actor, accounts.auditor(view.actor, view.address), login)
        sessions.revoke_all(session, made.user.id, accounts.clock())
        return made

    made = await change(view, work)
    told_once(view, view.t("admin.reset_done", login=login), made.password)


class _Grants:
    """Editable list of roles and places inside a form."""

    def __init__(self, view: View, grants: tuple[Grant, ...]) -> None:
        self._view = view
        self._fields: list[tuple[Any, Any, Any]] = []
        self._box = ui.element("div").classes("rows").style("flex:none;gap:6px")
        for grant in grants or (Grant(Role.OPERATOR),):
            self.add(grant)
        button(view.t("admin.add_grant"), lambda: self.add(Grant(Role.OPERATOR)))

    def add(self, grant: Grant) -> None:
        """Add a line."""
        t = self._view.t
        plant = self._view.context.plant.plant
        places = {"": t("account.everywhere")}
        if plant is not None:
            things: tuple[Place | Unit, ...] = (*plant.places, *plant.units)
            places |= {thing.path: f"{self._view.named(thing)} · {thing.path}" for thing in things}
        places.setdefault(grant.scope, grant.scope)
        with self._box, ui.element("div").classes("bar").style("flex-wrap:nowrap") as line:
            role = ui.select(
                {r.value: t(f"role.{r.value}") for r in Role}, label=t("admin.role"), value=grant.role.value
            )
            role.props("outlined dense options-dense").style("width:170px;flex:none")
            place = ui.select(places, label=t("admin.scope"), value=grant.scope, with_input=True)
            place.props("outlined dense options-dense")
            entry = (line, role, place)
            self._fields.append(entry)
            button("×", lambda: self._drop(entry))

    def _drop(self, entry: tuple[Any, Any, Any]) -> None:
        self._fields.remove(entry)
        entry[0].delete()

    def value(self) -> tuple[Grant, ...]:
        """Return the grants as entered."""
        return tuple(dict.fromkeys(Grant(Role(role.value), str(place.value or "")) for _, role, place in self._fields))


def _edit_user(view: View, user: User | None) -> None:
    t = view.t
    title = t("admin.add_user") if user is None else t("admin.edit_user", login=user.login)
    with Form(view, title) as form:
        if user is None:
            form.text("login", t("admin.login"))
        form.text("name", t("admin.name"), user.name if user is not None else "")
        form.note(t("admin.grants"))
        grants = _Grants(view, user.grants if user is not None else ())
        if user is not None:
            form.check("active", t("admin.active"), user.active)
            if user.second_factor:
                form.check("reset_second", t("admin.reset_second"))
            form.text("comment", t("admin.comment"))

    async def save(values: dict[str, Any]) -> None:
        accounts = view.context.accounts
        auditor = accounts.auditor(view.actor, view.address)
        if user is None:
            new = NewUser(str(values["login"]).strip(), str(values["name"]).strip(), grants.value())
            made = await change(view, lambda session: users.add(session, view.actor, auditor, new))
            told_once(view, t("admin.reset_done", login=made.user.login), made.password)
        else:
            wanted = UserChange(
                name=str(values["name"]).strip(),
                active=bool(values["active"]),
                grants=grants.value(),
                reset_second_factor=bool(values.get("reset_second")),
                comment=str(values["comment"] or ""),
            )

            def work(session: Session) -> None:
                changed = users.change(session, view.actor, auditor, user.login, wanted, user.version)
                if not changed.active:
                    sessions.revoke_all(session, changed.id, accounts.clock())

            await change(view, work)
            say(t("admin.saved"))
        set_rows("users", [_user_row(view, found) for found in await _find_users(view)])

    form.open(save, t("act.save"))


# --- tokens and sessions ------------------------------------------------------------------------------------------


async def _tokens(view: View, _tools: Any) -> None:
    t = view.t

    async def rows() -> list[dict[str, Any]]:
        found = await read(view, lambda s: tokens.list_tokens(s))
        return [token_row(view, info) for info, owner in found if users.may_administer(view.actor, owner)]

    grid(
        "all-tokens",
        token_columns(view),
        await rows(),
        id_field="id",
        event="an_token",
        empty=t("admin.none_tokens"),
        hint=t("admin.none_tokens_hint"),
    )

    async def revoke(message: dict[str, Any]) -> None:
        accounts = view.context.accounts
        auditor = accounts.auditor(view.actor, view.address)

        def work(session: Session) -> None:
            row = session.get(TokenRow, str(message["id"])[:16])
            owner = session.get(UserRow, row.user_id) if row is not None else None
            if row is None or owner is None or not users.may_administer(view.actor, owner):
                raise NotFoundError(f"there is no token {message['id']!r}", where=str(message["id"]))
            tokens.revoke(session, auditor, row.id, accounts.clock())

        await change(view, work)
        set_rows("all-tokens", await rows())

    view.on("an_token", revoke)


async def _sessions(view: View, _tools: Any) -> None:
    accounts = view.context.accounts
    own = await asyncio.to_thread(accounts.identity, cookie=view.cookie)

    async def rows() -> list[dict[str, Any]]:
        found = await read(view, lambda s: sessions.list_sessions(s, accounts.life, accounts.clock()))
        mine = own.session[:16] if own is not None else ""
        return [session_row(view, item, mine) for item, user in found if users.may_administer(view.actor, user)]

    grid(
        "all-sessions",
        session_columns(view),
        await rows(),
        id_field="id",
        event="an_session",
        empty=view.t("admin.none_sessions"),
    )

    async def end(message: dict[str, Any]) -> None:
        await asyncio.to_thread(end_by_id, accounts, view.actor, view.address, str(message["id"]))
        set_rows("all-sessions", await rows())

    view.on("an_session", end)


# --- audit --------------------------------------------------------------------------------------------------------


async def _audit(view: View, _tools: Any) -> None:
    t = view.t
    view.actor.require(Permission.VIEW_AUDIT)
    now = now_us()
    query = JournalQuery(types=(EventType.AUDIT,), start=now - 90 * DAY, end=now, limit=1000)
    try:
        page = await view.call("historian.journal", query, JournalPage, timeout=10)
    except AnlanError as error:
        empty(t("health.no_answer", reason=error.message), error.fix)
        return
    rows = [
        {
            "time": event.time,
            "who": str(event.data.get("who", "")),
            "action": str(event.data.get("action", "")),
            "subject": event.subject,
            "before": _short(event.data.get("before")),
            "after": _short(event.data.get("after")),
            "comment": str(event.data.get("comment", "")),
        }
        for event in page.events
    ]
    columns = [
        {"key": "time", "headerName": t("col.time"), "format": "datetime", "width": 165},
        {"key": "who", "headerName": t("col.who"), "width": 130},
        {"key": "action", "headerName": t("admin.action"), "width": 190},
        {"key": "subject", "headerName": t("col.subject"), "flex": 1},
        {"key": "before", "headerName": t("admin.before"), "flex": 1},
        {"key": "after", "headerName": t("admin.after"), "flex": 1},
        {"key": "comment", "headerName": t("col.comment"), "flex": 1},
    ]
    grid("audit", columns, rows, empty=t("admin.none_audit"), hint=t("admin.none_audit_hint"))


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


PAGE = page_spec(
    "/admin", "admin", build, icon="manage_accounts", order=80, group="group_system", permission=Permission.VIEW_AUDIT
)

"""The console's frame: header, navigation, alarm bar, banners; and how pages are mounted on the web app.

``attach(app, context)`` adds NiceGUI, the static files, the live socket and every page. A page's ``build`` gets a
``View`` (who looks, in which language) and the route's parameters.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import FastAPI, Request, WebSocket
from nicegui import Client, core, ui
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from anlan.core.actor import Actor, Permission
from anlan.core.errors import AnlanError, PermissionDeniedError
from anlan.web import i18n, theme
from anlan.web.components import empty, live, pieces, priority_shape, raw, say, text
from anlan.web.context import WebContext
from anlan.web.errors import SignInRequiredError
from anlan.web.live import data, socket
from anlan.web.live.hub import Hub
from anlan.web.registry import PageSpec
from anlan.web.security import SESSION_COOKIE, SIGN_IN_PAGE, may_somewhere
from anlan.web.sse import Places

R = TypeVar("R")

_P = Permission
_ABILITIES = {
    "acknowledge": _P.ACKNOWLEDGE,
    "shelve": _P.SHELVE,
    "reset": _P.RESET,
    "suppress": _P.SUPPRESS,
    "out_of_service": _P.OUT_OF_SERVICE,
    "propose": _P.PROPOSE_CHANGE,
    "approve": _P.APPROVE_CHANGE,
    "log_shift": _P.LOG_SHIFT,
    "bypass": _P.BYPASS,
    "mend": _P.MEND_DEAD_LETTERS,
    "administer": _P.ADMINISTER,
}


class View:
    """One person looking at one page."""

    def __init__(self, context: WebContext, hub: Hub, request: Request, client: Client, actor: Actor) -> None:
        self.context = context
        self.hub = hub
        self.request = request
        self.client = client
        self.actor = actor
        self.cookie = request.cookies.get(SESSION_COOKIE, "")
        self.language, self.theme = preferences(request, context)
        self.t = i18n.translator(self.language)

    @property
    def zh(self) -> bool:
        """Whether the page speaks Chinese."""
        return self.language == "zh"

    @property
    def address(self) -> str:
        """Network address the page was opened from."""
        return self.request.client.host if self.request.client is not None else ""

    def named(self, thing: Any) -> str:
        """Return a thing's name in the page's language, its other name when it has none."""
        first, second = (thing.name, thing.name_en) if self.zh else (thing.name_en, thing.name)
        return str(first or second or getattr(thing, "path", getattr(thing, "id", "")).rpartition("/")[2])

    def may(self, permission: Permission) -> bool:
        """Return whether the person may do this at some place; the service checks the place itself."""
        return may_somewhere(self.actor, permission)

    async def who(self) -> Actor:
        """Return who the person is now, for an event handler: the session may have ended or roles changed.

        Raises:
            SignInRequiredError: the session has ended; the page goes to the sign-in page.
        """
        actor = await socket.actor_of(self.context, self.cookie)
        if actor is None:
            ui.navigate.to(SIGN_IN_PAGE)
            raise SignInRequiredError("the session has ended")
        self.actor = actor
        return actor

    async def call(self, subject: str, body: object, result: type[R], *, timeout: float = 5.0) -> R:
        """Ask a service as the person who looks; it checks what they may."""
        return await self.context.fabric.call(subject, body, await self.who(), result, timeout=timeout)

    def on(self, event: str, handler: Callable[[Any], Any]) -> None:
        """Handle an event the page's script sends; errors are shown, never swallowed."""

        async def run(message: Any) -> None:
            with self.client.content:
                try:
                    await self.who()
                    result = handler(message.args)
                    if inspect.isawaitable(result):
                        await result
                except AnlanError as error:
                    say(str(error), kind="negative")

        ui.on(event, run)

    def guarded(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Return a handler for a button that checks the session first and shows errors."""

        async def run(*_event: Any) -> None:
            with self.client.content:
                try:
                    await self.who()
                    result = handler()
                    if inspect.isawaitable(result):
                        await result
                except AnlanError as error:
                    say(str(error), kind="negative")

        return run


def preferences(request: Request, context: WebContext) -> tuple[str, str]:
    """Return language and theme a browser has chosen, or the node's own."""
    language = request.cookies.get("anlan_lang", "")
    chosen = request.cookies.get("anlan_theme", "")
    return (
        language if language in i18n.LANGUAGES else context.settings.language,
        chosen if chosen in theme.THEMES else "dark",
    )


def title_of(spec: PageSpec, language: str) -> str:
    """Return a page's name in a language."""
    return spec.title if language == "zh" else spec.title_en


def page_spec(
    path: str, name: str, build: Callable[..., Any], *, icon: str = "", order: int = 100, group: str = "", **more: Any
) -> PageSpec:
    """Return a page whose names stand in the catalogue as ``nav.<name>``; ``group`` is a key of ``nav`` too."""
    zh, en = i18n.catalogue()[f"nav.{name}"]
    return PageSpec(path, zh, en, build, icon=icon, order=order, group=group, **more)


# --- mounting -----------------------------------------------------------------------------------------------------


def attach(app: FastAPI, context: WebContext, pages: Sequence[PageSpec] | None = None) -> None:
    """Mount the console on the web app.

    Args:
        context: what the web process watches; its pages are shown when ``pages`` is left out.
        pages: pages of rooms above the web floor; the web floor's own are added.
    """
    from anlan.web.pages import own_pages

    hub = Hub(context)
    by_path = {spec.path: spec for spec in (*own_pages(), *(context.pages if pages is None else pages))}
    specs = tuple(sorted(by_path.values(), key=lambda spec: (spec.order, spec.path)))
    app.state.hub = hub
    app.mount("/static", _Kept(directory=theme.STATIC), name="static")
    app.include_router(data.router(context, hub))

    @app.websocket("/console/live")
    async def _live(connection: WebSocket) -> None:
        await socket.serve(connection, context, hub)

    _add_plain_pages(app, context)
    for spec in specs:
        _mount(spec, specs, context, hub)
    _run_hub(app, hub)
    # NiceGUI has one app a process. A second attach (tests make several) starts it over.
    core.app.user_middleware.clear()
    core.app.middleware_stack = None
    # The session cookie is ours and NiceGUI's storage is not used, so it needs no secret of its own.
    ui.run_with(
        app,
        title=i18n.texts(context.settings.language)["app.name"],
        favicon=theme.STATIC / "favicon.svg",
        dark=None,
        tailwind=False,
        language=None,
        reconnect_timeout=10.0,
        message_history_length=50,
        binding_refresh_interval=None,
        show_welcome_message=False,
    )


class _Kept(StaticFiles):
    """Static files that browsers may keep: their addresses carry a hash."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=604800"
        return response


def _run_hub(app: FastAPI, hub: Hub) -> None:
    before = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncIterator[Any]:
        async with before(running) as state:
            task = asyncio.ensure_future(hub.run())
            try:
                yield state
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    app.router.lifespan_context = lifespan


def _add_plain_pages(app: FastAPI, context: WebContext) -> None:
    from anlan.web.pages import sign_in

    @app.get(SIGN_IN_PAGE, include_in_schema=False)
    async def _sign_in(request: Request) -> Response:
        language, chosen = preferences(request, context)
        return sign_in.sign_in_page(context, language, chosen)

    @app.get("/password", include_in_schema=False)
    async def _password(request: Request) -> Response:
        language, chosen = preferences(request, context)
        return sign_in.password_page(context, language, chosen)


def _mount(spec: PageSpec, specs: Sequence[PageSpec], context: WebContext, hub: Hub) -> None:
    async def build(request: Request, client: Client) -> Response | None:
        actor = await socket.actor_of(context, request.cookies.get(SESSION_COOKIE, ""))
        if actor is None:
            return RedirectResponse(SIGN_IN_PAGE)
        view = View(context, hub, request, client, actor)
        client.title = f"{title_of(spec, view.language)} · {i18n.texts(view.language)['app.name']}"
        with _frame(view, spec, specs):
            if not may_somewhere(actor, spec.permission):
                empty(view.t("may.not_page"))
                return None
            try:
                result = spec.build(view, **request.path_params)
                if inspect.isawaitable(result):
                    await result
            except PermissionDeniedError as error:
                empty(view.t("may.not_page"), str(error))
            except AnlanError as error:
                empty(error.message, error.fix)
        return None

    ui.page(spec.path, response_timeout=20)(build)


# --- frame --------------------------------------------------------------------------------------------------------


def _boot(view: View, specs: Iterable[PageSpec]) -> str:
    plant = view.context.plant
    boot = {
        "lang": view.language,
        "theme": view.theme,
        "zone": plant.plant.site.timezone if plant.plant is not None else "Asia/Shanghai",
        "rev": plant.revision,
        "user": view.actor.user,
        "places": hashlib.sha256("\0".join(Places.key(view.actor)).encode()).hexdigest()[:12],
        "may": {name: view.may(permission) for name, permission in _ABILITIES.items()},
        "pages": [
            {"path": spec.path, "title": title_of(spec, view.language)}
            for spec in specs
            if spec.icon and may_somewhere(view.actor, spec.permission)
        ],
    }
    return json.dumps(boot).replace("<", "\\u003c")


def _head(view: View, specs: Iterable[PageSpec]) -> None:
    stamp = theme.version()
    texts = f"/console/texts/{view.language}.js?v={i18n.script_version(view.language)}"
    scripts = "".join(f'<script defer src="/static/{name}?v={stamp}"></script>' for name in theme.SCRIPTS)
    ui.add_head_html(
        theme.head(view.language, view.theme)
        + f"<script>window.ANLAN = {_boot(view, specs)};</script>"
        + f'<script defer src="{texts}"></script>{scripts}'
    )


class _frame:  # noqa: N801  # used like a function
    """Draw everything around a page; what is made inside the ``with`` is the page."""

    def __init__(self, view: View, spec: PageSpec, specs: Sequence[PageSpec]) -> None:
        self._view, self._spec, self._specs = view, spec, specs

    def __enter__(self) -> None:
        view, t = self._view, self._view.t
        _head(view, self._specs)
        ui.dark_mode(view.theme == "dark")
        with ui.element("div").classes("an-app"):
            raw(html.escape(t("app.name")), "a", "an-logo").props('href="/"')
            _header(view)
            _navigation(view, self._spec, self._specs)
            self._main = ui.element("main").classes("an-main")
        with self._main:
            _banner("an-frozen", t("frozen.title"), "red")
            _banner("an-health", "", "")
        self._main.__enter__()

    def __exit__(self, *error: object) -> None:
        self._main.__exit__(*error)


def _banner(key: str, title: str, tone: str) -> None:
    banner = raw(f"<b>{html.escape(title)}</b><span></span>", classes=f"an-banner {tone}")
    banner._props["id"] = key
    banner._props["role"] = "alert"


def _identified(element: Any, key: str) -> Any:
    element._props["id"] = key
    return element


def _header(view: View) -> None:
    t, context = view.t, view.context
    plant = context.plant.plant
    site = view.named(plant.site) if plant is not None else t("app.name")
    with ui.element("header").classes("an-head"):
        raw(
            f'<b class="clip">{html.escape(site)}</b><span class="clip">{html.escape(t("app.subtitle"))}</span>',
            classes="an-site",
        )
        bar = _identified(ui.element("div").classes("an-top an-live"), "an-top")
        bar._props["aria-label"] = t("head.alarm_bar")
        bar._props["aria-live"] = "polite"
        counts = "".join(
            f'<a class="an-count p{p} zero" href="/alarms?priority={p}">{priority_shape(p)}'
            f"<span>{html.escape(t(f'priority.{p}'))}</span><b>–</b></a>"
            for p in (1, 2, 3, 4)
        )
        _identified(raw(counts, classes="an-counts an-live"), "an-counts")._props["aria-label"] = t("head.counts")
        _identified(raw("", classes="an-clock"), "an-clock")
        who = html.escape(view.actor.name or view.actor.user)
        roles = " / ".join(sorted({t(f"role.{grant.role.value}") for grant in view.actor.grants}))
        raw(
            f'<span class="clip" style="display:block">{who}</span><small class="clip">{html.escape(roles)}</small>',
            "a",
            "an-user",
        ).props('href="/account"')
        _tools(view)


def _tools(view: View) -> None:
    t = view.t
    other, tone = ("en" if view.zh else "zh"), ("light" if view.theme == "dark" else "dark")
    search = '<svg viewBox="0 0 24 24"><circle cx="10.5" cy="10.5" r="6"/><path d="m15 15 5.5 5.5"/></svg>'
    filled = '<path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor"/>'
    half = f'<svg viewBox="0 0 24 24"><circle cx="12" cy="12" r="8"/>{filled}</svg>'
    for key, hint, body, setting in (
        ("an-search-button", t("head.search"), search, ""),
        ("an-sound", t("sound.on"), "", ""),
        (
            "an-language",
            t("head.language"),
            html.escape(t("head.language_short")),
            f'data-set="lang" data-value="{other}"',
        ),
        ("an-theme", t("head.theme"), half, f'data-set="theme" data-value="{tone}"'),
    ):
        tool = _identified(raw(body, "button", "an-tool"), key)
        tool.props(setting)
        tool._props["title"] = hint
        tool._props["aria-label"] = hint


def _navigation(view: View, current: PageSpec, specs: Sequence[PageSpec]) -> None:
    with ui.element("nav").classes("an-nav") as rail:
        rail._props["aria-label"] = view.t("nav.rail")
        group = ""
        for spec in specs:
            if not spec.icon or not may_somewhere(view.actor, spec.permission):
                continue
            if spec.group and spec.group != group:
                group = spec.group
                text(view.t(f"nav.{group}"), "div", "group")
            item = raw(
                f"{theme.icon(spec.icon)}<span>{html.escape(title_of(spec, view.language))}</span>",
                "a",
                "on" if spec is current else "",
            )
            item._props["href"] = spec.path
            if spec is current:
                item._props["aria-current"] = "page"


__all__ = ["View", "attach", "live", "page_spec", "pieces"]

"""The web app: the gate, the API under ``/api``, the console when it is there, the watchers in its lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import html
import importlib
import importlib.util
from collections.abc import AsyncIterator, Iterable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, JSONResponse, Response

from anlan import __version__
from anlan.core.health import Health
from anlan.store.fabric.client import Fabric
from anlan.store.records.base import Records
from anlan.web import errors, registry, security
from anlan.web.api import routers as own_routers
from anlan.web.audit import AuditPublisher
from anlan.web.auth.accounts import Accounts
from anlan.web.context import WebContext
from anlan.web.contract import fill_schemas
from anlan.web.middleware import Gate
from anlan.web.registry import PageSpec
from anlan.web.sse import AlarmFeed, ValueFeed
from anlan.web.watch import LastValues, PartsWatch, PlantWatch

API = "/api/v1"


def create_app(
    fabric: Fabric,
    records: Records,
    *,
    health: Health,
    routers: Iterable[APIRouter] | None = None,
    pages: Iterable[PageSpec] | None = None,
    console: bool = True,
) -> FastAPI:
    """Return the web app of a node.

    Args:
        routers: routers of rooms above the web floor; what is registered when left out.
        pages: console pages likewise.
        console: whether the console is attached; False serves the API alone.
    """
    context = make_context(fabric, records, health, registry.pages() if pages is None else tuple(pages))
    security.use(context.accounts)
    audit = AuditPublisher(fabric, records, health)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=_lifespan(context, audit))
    app.state.context = context
    app.state.audit = audit
    errors.install(app)
    app.mount("/api", create_api(context, registry.routers() if routers is None else tuple(routers)))
    _add_oidc(app)
    if console and importlib.util.find_spec("anlan.web.shell") is not None:
        # The console is attached last: it takes every address that is left.
        importlib.import_module("anlan.web.shell").attach(app, context)
    app.add_middleware(Gate, accounts=context.accounts, settings=fabric.settings)
    return app


def make_context(fabric: Fabric, records: Records, health: Health, pages: Iterable[PageSpec]) -> WebContext:
    """Return the context of a web process; its watchers are not running yet."""
    plant = PlantWatch(fabric, health)
    values = LastValues(fabric, health, plant)
    return WebContext(
        fabric=fabric,
        records=records,
        settings=fabric.settings,
        health=health,
        accounts=Accounts(records, fabric.settings),
        plant=plant,
        values=values,
        parts=PartsWatch(fabric, health),
        value_feed=ValueFeed(values, plant),
        alarm_feed=AlarmFeed(fabric, plant),
        pages=tuple(pages),
    )


def create_api(context: WebContext, routers: Iterable[APIRouter]) -> FastAPI:
    """Return the API as an app of its own, so that its 404 and 405 are its own too."""
    api = FastAPI(
        title="安澜 Anlan",
        version=__version__,
        description="Times are µs UTC. Errors are problem documents (RFC 9457). What lies outside your places is 404.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    api.state.context = context
    errors.install(api)
    for router in (*own_routers(), *routers):
        api.include_router(router, prefix="/v1")
    _add_document(api)
    return api


def _add_document(api: FastAPI) -> None:
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            made = get_openapi(title=api.title, version=api.version, description=api.description, routes=api.routes)
            made["servers"] = [{"url": "/api"}]
            made.setdefault("components", {})["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": security.SESSION_COOKIE},
            }
            made["security"] = [{"token": []}, {"session": []}]
            document.update(fill_schemas(made))
        return document

    async def serve(_request: Request) -> Response:
        return JSONResponse(openapi())

    async def read(_request: Request) -> Response:
        return HTMLResponse(_page(openapi()))

    api.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to change the document
    api.add_route("/openapi.json", serve, include_in_schema=False)
    api.add_route("/docs", read, include_in_schema=False)


def _page(document: dict[str, Any]) -> str:
    """Return the API's list of routes as one page that loads nothing."""
    rows = "".join(
        f"<tr><td>{method.upper()}</td><td><code>/api{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation.get('summary', ''))}</td>"
        f"<td>{html.escape(operation.get('description', ''))}</td></tr>"
        for path, item in sorted(document["paths"].items())
        for method, operation in item.items()
    )
    style = "body{font:14px sans-serif;margin:2em}td{border-top:1px solid #ccc;padding:4px 8px;vertical-align:top}"
    return (
        f'<!doctype html><html lang="zh"><meta charset="utf-8"><title>安澜 API</title><style>{style}</style>'
        f'<h1>安澜 API</h1><p><a href="/api/openapi.json">openapi.json</a></p><table>{rows}</table></html>'
    )


def _add_oidc(app: FastAPI) -> None:
    from anlan.web.auth import oidc

    app.include_router(oidc.router)


def _lifespan(context: WebContext, audit: AuditPublisher) -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(audit.wake.set)

        context.accounts.on_audit = wake
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                context.plant.run(),
                context.values.run(),
                context.parts.run(),
                context.alarm_feed.run(),
                audit.run(),
            )
        ]
        for task in tasks:
            task.add_done_callback(lambda done: _note(done, context.health))
        try:
            yield
        finally:
            context.value_feed.close()
            context.alarm_feed.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return lifespan


def _note(task: asyncio.Task[None], health: Health) -> None:
    if not task.cancelled() and task.exception() is not None:
        name = task.get_coro().__qualname__  # type: ignore[union-attr]  # coroutines have one
        health.problems[name] = f"{name} has stopped: {task.exception()}"

"""The web process: serves the app with uvicorn until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import inspect

from anlan.core.errors import InvalidInputError, UnavailableError
from anlan.core.health import Health
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from anlan.store.records.base import Records, open_engine, upgrade
from anlan.web.app import create_app
from anlan.web.protocol import PatientProtocol
from anlan.web.tables import OutboxRow

logger = logging.getLogger(__name__)

GRACE_S = 3
MOST_CONNECTIONS = 2_000
SOCKET_BYTES = 1 << 20


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the runtime has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def check_listen(settings: Settings) -> None:
    """Raise unless it is safe to listen as set.

    Raises:
        InvalidInputError: beyond loopback without TLS, or a certificate that cannot be read.
    """
    if not is_loopback(settings.web_host) and not (settings.tls_certificate and settings.tls_key):
        raise InvalidInputError(
            f"the console may not listen on {settings.web_host} without TLS",
            where="web_host",
            fix="set tls_certificate and tls_key, or listen on 127.0.0.1",
        )
    for name in ("tls_certificate", "tls_key"):
        path = getattr(settings, name)
        if path and not Path(path).is_file():
            raise InvalidInputError(f"there is no file {path}", where=name, fix="a PEM file")
    if settings.tls_certificate:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                settings.tls_certificate, settings.tls_key or None
            )
        except (ssl.SSLError, OSError) as error:
            raise InvalidInputError(
                f"the certificate cannot be used: {error}", where=settings.tls_certificate, fix="PEM with its own key"
            ) from error


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def server_config(app: Any, settings: Settings) -> uvicorn.Config:
    """Return uvicorn's configuration: limits on connections, heads, sockets; proxies only when they are listed."""
    proxies = settings.extra.get("trusted_proxies", "")
    return uvicorn.Config(
        app,
        host=settings.web_host,
        port=settings.web_port,
        http=PatientProtocol,
        ws="websockets-sansio",
        ws_max_size=SOCKET_BYTES,
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=GRACE_S,
        access_log=False,
        log_config=None,
        log_level="warning",
        lifespan="on",
    )


def open_records(settings: Settings) -> Records:
    """Return the node's records, with the schema made if nobody has yet."""
    engine = open_engine(settings)
    if not inspect(engine).has_table(OutboxRow.__tablename__):
        upgrade(engine)
    return Records(engine)


async def run(fabric: Fabric, health: Health, stop: asyncio.Event, *, console: bool = True) -> None:
    """Serve the API and (unless ``console`` is False) the console until ``stop`` is set.

    Raises:
        InvalidInputError: the settings ask for something unsafe.
        UnavailableError: the address is taken.
    """
    settings = fabric.settings
    check_listen(settings)
    records = await asyncio.to_thread(open_records, settings)
    try:
        app = create_app(fabric, records, health=health, console=console)
        listener = listen(settings)
        server = _Server(server_config(app, settings))
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            await _until_started(server, serving)
            await warm_up(app)
            health.ready = True
            logger.info("console on port %d", settings.web_port)
            await asyncio.wait((serving, asyncio.ensure_future(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
        finally:
            health.ready = False
            context = app.state.context
            context.value_feed.close()
            context.alarm_feed.close()
            server.should_exit = True
            await serving
    finally:
        records.engine.dispose()


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket. uvicorn would end the whole process where this raises.

    Raises:
        UnavailableError: the address is taken or not of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.web_host else socket.AF_INET
    try:
        return socket.create_server((settings.web_host, settings.web_port), family=family, backlog=2048)
    except OSError as error:
        raise UnavailableError(
            f"the console cannot listen: {error.strerror or error}",
            where=f"{settings.web_host}:{settings.web_port}",
            fix="is another program listening there?",
        ) from error


async def _until_started(server: uvicorn.Server, serving: asyncio.Future[None]) -> None:
    while not server.started:
        if serving.done():
            reason = serving.exception() or "see the log"
            raise UnavailableError(f"the console could not start: {reason}", where="web")
        await asyncio.wait((serving,), timeout=0.02)


async def warm_up(app: Any) -> None:
    """Run every encoder once: the API document, a password hash, a frame of values."""
    from anlan.web.auth import passwords

    context = app.state.context
    mounted = next(route.app for route in app.routes if getattr(route, "path", "") == "/api")
    mounted.openapi()
    await asyncio.to_thread(passwords.verify, "", "warm-up")
    context.value_feed.warm_up()

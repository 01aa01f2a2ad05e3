"""Options that several commands share, and the settings they make."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from anlan.core.errors import InvalidInputError
from anlan.settings import Settings, from_environment

DataOption = Annotated[
    Path, typer.Option("--data", envvar="ANLAN_DATA", help="Directory that keeps everything of this node.")
]
SiteOption = Annotated[Path, typer.Option("--site", envvar="ANLAN_SITE", help="Site file or folder.")]
HostOption = Annotated[
    str, typer.Option("--host", envvar="ANLAN_WEB_HOST", help="Address of the console; beyond loopback needs TLS.")
]
PortOption = Annotated[
    int, typer.Option("--port", envvar="ANLAN_WEB_PORT", min=1, max=65535, help="Port of the console.")
]
NodeOption = Annotated[str, typer.Option("--node", envvar="ANLAN_NODE", help="Id of this node.")]
FabricOption = Annotated[str, typer.Option("--fabric", help="NATS server or cluster instead of the embedded one.")]
FabricPortOption = Annotated[
    int,
    typer.Option(
        "--fabric-port",
        envvar="ANLAN_FABRIC_PORT",
        min=1,
        max=65535,
        help="Loopback port of the embedded fabric; a second node on one machine needs another.",
    ),
]
HistorianOption = Annotated[str, typer.Option("--historian", help="ClickHouse server instead of the embedded one.")]
RecordsOption = Annotated[str, typer.Option("--records", help="SQLAlchemy URL instead of SQLite in --data.")]

T = TypeVar("T")

_LOG_SHARE = 0.25


def log_budget(data: Path, wanted: int) -> int:
    """Return how many bytes the log may take: ``wanted``, but at most a quarter of the free disk, at least 64 MB."""
    data.mkdir(parents=True, exist_ok=True)
    return max(64 << 20, min(wanted, int(shutil.disk_usage(data).free * _LOG_SHARE)))


def node_settings(**values: object) -> Settings:
    """Return the settings of a node: command options over ``ANLAN_*`` variables over the defaults.

    Raises:
        InvalidInputError: the console would listen beyond loopback without TLS.
    """
    base = from_environment()
    given = {name: value for name, value in values.items() if value not in ("", None)}
    settings = replace(base, **given)  # type: ignore[arg-type]  # names come from the options of this package
    settings = replace(settings, data=settings.data.absolute(), site=settings.site.absolute())
    settings = replace(settings, log_bytes=log_budget(settings.data, settings.log_bytes))
    _check_tls(settings)
    loopback = settings.web_host in ("127.0.0.1", "localhost", "::1")
    if not loopback and not (settings.tls_certificate and settings.tls_key):
        raise InvalidInputError(
            f"the console may not listen on {settings.web_host} without TLS",
            where="--host",
            fix="give --tls-certificate and --tls-key, or listen on 127.0.0.1 behind a proxy",
        )
    return settings


def _check_tls(settings: Settings) -> None:
    given = {"--tls-certificate": settings.tls_certificate, "--tls-key": settings.tls_key}
    if len([path for path in given.values() if path]) == 1:
        missing = next(option for option, path in given.items() if not path)
        raise InvalidInputError("TLS needs a certificate and its key", where=missing, fix="give both")
    for option, path in given.items():
        if path and not Path(path).is_file():
            raise InvalidInputError(f"no file {path}", where=option, fix="a PEM file")


def existing_site(site: Path) -> None:
    """Refuse a site that is not there: a node without one would wait for ever.

    Raises:
        InvalidInputError: there is neither file nor folder.
    """
    if not site.exists():
        raise InvalidInputError(
            "there is no site", where=str(site), fix="write one with 'anlan init', or name its --site"
        )


def free_port() -> int:
    """Return a loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_signal(work: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    """Return what ``work`` returns; SIGINT and SIGTERM set the event it is given."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return await work(stop)

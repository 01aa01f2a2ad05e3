"""Options that several commands share, and the settings they make."""

from __future__ import annotations

import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from anlan.core.errors import InvalidInputError
from anlan.settings import Settings, from_environment

DataOption = Annotated[Path, typer.Option("--data", help="Directory that keeps everything of this node.")]
SiteOption = Annotated[Path, typer.Option("--site", help="Site file or folder.")]
HostOption = Annotated[str, typer.Option("--host", help="Address of the console; beyond loopback needs TLS.")]
PortOption = Annotated[int, typer.Option("--port", help="Port of the console.")]
FabricOption = Annotated[str, typer.Option("--fabric", help="NATS server or cluster instead of the embedded one.")]
HistorianOption = Annotated[str, typer.Option("--historian", help="ClickHouse server instead of the embedded one.")]
RecordsOption = Annotated[str, typer.Option("--records", help="SQLAlchemy URL instead of SQLite in --data.")]

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
    loopback = settings.web_host in ("127.0.0.1", "localhost", "::1")
    if not loopback and not (settings.tls_certificate and settings.tls_key):
        raise InvalidInputError(
            f"the console may not listen on {settings.web_host} without TLS",
            where="--host",
            fix="give --tls-certificate and --tls-key, or listen on 127.0.0.1 behind a proxy",
        )
    return settings


def free_port() -> int:
    """Return a loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

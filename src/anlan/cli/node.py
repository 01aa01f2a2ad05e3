"""Commands of a node: serve, its parts alone, the watchdog."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from anlan.cli.options import (
    DataOption,
    FabricOption,
    FabricPortOption,
    HistorianOption,
    HostOption,
    NodeOption,
    PortOption,
    RecordsOption,
    SiteOption,
    existing_site,
    node_settings,
    until_signal,
)
from anlan.core.errors import InvalidInputError
from anlan.core.output import JsonOption, emit, failing
from anlan.settings import Settings

_DEFAULTS = Settings()

NodeDataOption = Annotated[Path | None, typer.Option("--data", help="Data directory of the node 节点的数据目录.")]


def prepare(settings: Settings, *, people: bool = True) -> str | None:
    """Bring the records' schema up to date and make the first administrator; return their one-time password if made.

    Args:
        people: False makes none: a node without a console has nobody to tell the password.
    """
    from anlan.store.records.base import Records, open_engine, upgrade
    from anlan.web.auth import bootstrap

    engine = open_engine(settings)
    try:
        upgrade(engine)
        return bootstrap(Records(engine), settings.node) if people else None
    finally:
        engine.dispose()


def greeting(settings: Settings, password: str | None) -> str:
    """Return the lines that tell where the console is and how to sign in the first time."""
    scheme = "https" if settings.tls_certificate else "http"
    lines = [f"控制台 console: {scheme}://{settings.web_host}:{settings.web_port}/"]
    if password:
        lines.append(f"首次登录 first sign-in: admin / {password}  (仅显示一次 shown once)")
    return "\n".join(lines)


def serve(
    site: SiteOption = _DEFAULTS.site,
    data: DataOption = _DEFAULTS.data,
    host: HostOption = _DEFAULTS.web_host,
    port: PortOption = _DEFAULTS.web_port,
    fabric: FabricOption = "",
    fabric_port: FabricPortOption = _DEFAULTS.fabric_port,
    historian: HistorianOption = "",
    records: RecordsOption = "",
    tls_certificate: Annotated[str, typer.Option(help="PEM certificate chain of the console.")] = "",
    tls_key: Annotated[str, typer.Option(help="PEM private key of the console.")] = "",
    node: NodeOption = _DEFAULTS.node,
) -> None:
    """Run a node: fabric, gateway, alarms, historian, works, web.

    Example: anlan serve --site donggang/site.yaml --data /var/lib/anlan
    """
    with failing(as_json=False):
        from anlan.runtime import PARTS, check_ports, data_lock
        from anlan.runtime import serve as run

        settings = node_settings(
            site=site,
            data=data,
            web_host=host,
            web_port=port,
            fabric=fabric,
            fabric_port=fabric_port,
            historian=historian,
            records=records,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            node=node,
        )
        existing_site(settings.site)
        lock = data_lock(settings.data)
        check_ports(settings, tuple(PARTS))
        password = prepare(settings)
        typer.echo(greeting(settings, password))
        asyncio.run(run(settings, tuple(PARTS), typer.echo))
        lock.close()


def gateway(
    site: SiteOption = _DEFAULTS.site,
    data: DataOption = _DEFAULTS.data,
    fabric: FabricOption = "",
    fabric_port: FabricPortOption = _DEFAULTS.fabric_port,
    node: NodeOption = _DEFAULTS.node,
) -> None:
    """Run a gateway alone, on an edge machine, with its own buffer.

    With --fabric it sends to a centre's log and runs the connectors that name this node as their 'gateway' there; the
    centre's password for it stands in ANLAN_FABRIC_PASSWORD_GATEWAY. Without, it runs a log of its own.

    Example: anlan gateway --site edge.yaml   anlan gateway --fabric nats://10.0.0.2:4222 --node edge-1
    """
    with failing(as_json=False):
        from anlan.runtime import check_ports, data_lock
        from anlan.runtime import serve as run

        settings = node_settings(site=site, data=data, fabric=fabric, fabric_port=fabric_port, node=node)
        parts: tuple[str, ...] = ("works", "gateway")
        if settings.fabric:
            settings, parts = _at_the_edge(settings), ("gateway",)
        else:
            existing_site(settings.site)
        lock = data_lock(settings.data)
        check_ports(settings, parts)
        prepare(settings, people=False)
        asyncio.run(run(settings, parts, typer.echo))
        lock.close()


def _at_the_edge(settings: Settings) -> Settings:
    if settings.node == _DEFAULTS.node:
        raise InvalidInputError(
            "a gateway at the edge needs an id of its own", where="--node", fix="the 'gateway' of its connectors"
        )
    return replace(settings, extra={**settings.extra, "edge": "1"})


def watchdog(
    data: NodeDataOption = None,
    fabric: FabricOption = "",
    port: Annotated[int | None, typer.Option("--port", help="Port of the console, when not the node's last.")] = None,
    command: Annotated[
        str, typer.Option(help="Program run with one argument, 'lost' or 'back', when the state changes (a relay).")
    ] = "",
    url: Annotated[str, typer.Option(help="Address that gets a JSON POST when the state changes.")] = "",
    once: Annotated[bool, typer.Option("--once", help="Look for 10 seconds, exit 1 if anything is out.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell within 10 seconds that alarms, log or screen have stopped. Run it apart from the node it watches.

    Example: anlan watchdog --data /var/lib/anlan --command /usr/local/bin/horn-relay
    """
    with failing(as_json):
        from anlan.cli.watchdog import Watchdog, words
        from anlan.store.fabric.session import node_at

        settings = node_at(data, fabric)
        settings = replace(settings, web_port=port or settings.web_port)
        dog = Watchdog(settings, command=command, url=url, announce=None if as_json or once else typer.echo)
        verdict = asyncio.run(until_signal(lambda stop: dog.run(stop, once=once)))
        emit(verdict, as_json, lambda: typer.echo(words(verdict)) if once else None)
        if once and verdict.out:
            raise typer.Exit(1)


def status(data: NodeDataOption = None, fabric: FabricOption = "", as_json: JsonOption = False) -> None:
    """Show what each part of a running node says of itself.

    Example: anlan status --data data
    """
    with failing(as_json):
        from anlan.cli.watchdog import collect_reports
        from anlan.store.fabric.session import ask_node, node_at

        reports = ask_node(lambda link: collect_reports(link, 2.5), data, fabric=fabric, role="watchdog", name="status")
        silent = sorted(_started(node_at(data, fabric).data) - {report.process for report in reports})

        def human() -> None:
            for report in reports:
                state = "就绪 ready" if report.ready else "启动 starting"
                typer.echo(f"{report.process:10} {state:12} pid {report.pid}  {'; '.join(report.problems)}")
            for name in silent:
                typer.echo(f"{name:10} 无应答 silent: see logs/{name}.log of the node")
            if not reports:
                typer.echo("没有部件应答 no part answers")

        emit({"parts": reports, "silent": silent}, as_json, human)
        if silent or not reports:
            raise typer.Exit(1)


def _started(data: Path) -> set[str]:
    """Return the names of the parts that the node's supervisor keeps running and that report their health."""
    from anlan.runtime import PARTS

    try:
        return set(json.loads((data / "pids.json").read_text())) & set(PARTS)
    except (OSError, ValueError):
        return set()


def register(app: typer.Typer) -> None:
    """Add the node's commands."""
    for command in (serve, gateway, watchdog, status):
        app.command()(command)

    @app.command(hidden=True)
    def part(name: str) -> None:
        """Run one part in this process (used by the supervisor). Example: anlan part alarms."""
        with failing(as_json=False):
            from anlan.runtime import PARTS, run_part
            from anlan.settings import from_environment

            if name not in PARTS:
                raise InvalidInputError(f"no part {name!r}", where="part", fix=f"one of {', '.join(PARTS)}")
            raise typer.Exit(run_part(name, from_environment()))

"""Commands of a node: serve, its parts alone, the watchdog."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from anlan.cli.options import (
    DataOption,
    FabricOption,
    HistorianOption,
    HostOption,
    PortOption,
    RecordsOption,
    SiteOption,
    node_settings,
)
from anlan.core.output import JsonOption, emit, failing
from anlan.settings import Settings

_DEFAULTS = Settings()


def prepare(settings: Settings) -> str | None:
    """Bring the records' schema up to date and make the first administrator; return their one-time password if made."""
    from anlan.store.records.base import Records, open_engine, upgrade
    from anlan.web.auth import bootstrap

    engine = open_engine(settings)
    try:
        upgrade(engine)
        return bootstrap(Records(engine), settings.node)
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
    historian: HistorianOption = "",
    records: RecordsOption = "",
    tls_certificate: Annotated[str, typer.Option(help="PEM certificate chain of the console.")] = "",
    tls_key: Annotated[str, typer.Option(help="PEM private key of the console.")] = "",
    node: Annotated[str, typer.Option(help="Id of this node.")] = _DEFAULTS.node,
) -> None:
    """Run a node: fabric, gateway, alarms, historian, works, web.

    Example: anlan serve --site donggang/site.yaml --data /var/lib/anlan
    """
    with failing(as_json=False):
        from anlan.runtime import PARTS, data_lock
        from anlan.runtime import serve as run

        settings = node_settings(
            site=site,
            data=data,
            web_host=host,
            web_port=port,
            fabric=fabric,
            historian=historian,
            records=records,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            node=node,
        )
        lock = data_lock(settings.data)
        password = prepare(settings)
        typer.echo(greeting(settings, password))
        asyncio.run(run(settings, tuple(PARTS), typer.echo))
        lock.close()


def gateway(
    site: SiteOption = _DEFAULTS.site,
    data: DataOption = _DEFAULTS.data,
    fabric: FabricOption = "",
    node: Annotated[str, typer.Option(help="Id of this node.")] = _DEFAULTS.node,
) -> None:
    """Run a gateway alone, on an edge machine, with its own buffer.

    With --fabric it sends to a centre's log; without, it runs a log of its own. Example: anlan gateway --site edge.yaml
    """
    with failing(as_json=False):
        from anlan.runtime import data_lock
        from anlan.runtime import serve as run

        settings = node_settings(site=site, data=data, fabric=fabric, node=node)
        lock = data_lock(settings.data)
        prepare(settings)
        parts = ("gateway",) if fabric else ("works", "gateway")
        asyncio.run(run(settings, parts, typer.echo))
        lock.close()


def watchdog(
    data: DataOption = _DEFAULTS.data,
    fabric: FabricOption = "",
    port: PortOption = _DEFAULTS.web_port,
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
        from anlan.cli.watchdog import Watchdog

        settings = node_settings(data=data, fabric=fabric, web_port=port)
        dog = Watchdog(settings, command=command, url=url, announce=typer.echo if not as_json else None)
        verdict = asyncio.run(dog.run(once=once))
        emit(verdict, as_json, lambda: None)
        if verdict.out:
            raise typer.Exit(1)


def status(data: DataOption = _DEFAULTS.data, fabric: FabricOption = "", as_json: JsonOption = False) -> None:
    """Show what each part of a running node says of itself.

    Example: anlan status --data data
    """
    with failing(as_json):
        from anlan.cli.watchdog import collect_reports

        settings = node_settings(data=data, fabric=fabric)
        reports = asyncio.run(collect_reports(settings, 2.5))

        def human() -> None:
            for report in reports:
                state = "ready" if report.ready else "starting"
                typer.echo(f"{report.process:10} {state:9} pid {report.pid}  {'; '.join(report.problems)}")
            if not reports:
                typer.echo("no part answers: is the node running? start it with 'anlan serve'")

        emit(reports, as_json, human)


def register(app: typer.Typer) -> None:
    """Add the node's commands."""
    for command in (serve, gateway, watchdog, status):
        app.command()(command)

    @app.command(hidden=True)
    def part(name: str) -> None:
        """Run one part in this process (used by the supervisor)."""
        from anlan.runtime import run_part
        from anlan.settings import from_environment

        raise typer.Exit(run_part(name, from_environment()))

"""Commands of the virtual park: ``anlan sim run`` and ``anlan sim site``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anlan.core.output import JsonOption, emit, failing


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    group = typer.Typer(no_args_is_help=True, help="The virtual park 东港化工园区: run it, or write its site files.")
    group.command("run")(run)
    group.command("site")(site)
    app.add_typer(group, name="sim")


def run(
    ports: Annotated[
        str, typer.Option(help="JSON object of loopback ports; what it leaves out is the default.")
    ] = "{}",
    seed: Annotated[int, typer.Option(help="Same seed, same plant.")] = 1,
    speed: Annotated[float, typer.Option(min=0.1, max=60, help="Plant seconds a wall second.")] = 1.0,
    journal: Annotated[Path, typer.Option(help="Folder for the account of what was sent.")] = Path("journal"),
    seconds: Annotated[float, typer.Option(help="Stop after so many seconds; 0 runs until Ctrl-C.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Run the park's devices on loopback.

    Example: anlan sim run --seed 7 --speed 10 --journal /tmp/journal
    """
    import asyncio

    from anlan.sim.__main__ import serve
    from anlan.sim.ports import Ports

    with failing(as_json):
        chosen = Ports.from_json(ports)
        totals = asyncio.run(serve(chosen, seed, speed, journal, seconds=seconds, quiet=as_json))
        emit(totals, as_json, lambda: typer.echo(f"journal: {journal}"))


def site(
    directory: Annotated[Path, typer.Argument(help="Folder to write the site files to.")],
    ports: Annotated[str, typer.Option(help="JSON object of loopback ports.")] = "{}",
    seed: Annotated[int, typer.Option(help="Seed of the run whose device passwords are written.")] = 1,
    secrets: Annotated[Path | None, typer.Option(help="Also write the device passwords to this folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the park's site files for the given ports.

    Example: anlan sim site my-park --secrets data/secrets
    """
    from anlan.sim.ports import Ports
    from anlan.sim.secrets import write_secrets
    from anlan.sim.signals import layout
    from anlan.sim.site import render

    with failing(as_json):
        render(Ports.from_json(ports), directory)
        if secrets is not None:
            write_secrets(secrets, seed)
        points = len(layout().points)
        emit(
            {"directory": str(directory), "points": points},
            as_json,
            lambda: typer.echo(f"{points} points in {directory}"),
        )

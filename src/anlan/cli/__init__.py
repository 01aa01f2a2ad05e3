"""The command ``anlan``: commands of the node itself, and those each room registers."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer

from anlan import __version__
from anlan.core.errors import AnlanError, InvalidInputError
from anlan.core.output import report

ROOMS = (
    "anlan.cli.node",
    "anlan.cli.demo",
    "anlan.cli.replay",
    "anlan.cli.bench",
    "anlan.cli.rul",
    "anlan.cli.detect",
    "anlan.cli.evacuate",
    "anlan.plant.cli",
    "anlan.perceive.cli",
    "anlan.perceive.discovery_cli",
    "anlan.monitor.cli",
    "anlan.warn.cli",
    "anlan.store.historian.cli",
    "anlan.web.cli",
    "anlan.sim.cli",
)

_HELP = """安澜 Anlan: industrial safety from the instrument to the alarm on the screen.

First steps: 'anlan demo' runs a virtual park; 'anlan init' writes a site of your own; 'anlan serve' runs it.
"""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"anlan {__version__}")
        raise typer.Exit


def build() -> typer.Typer:
    """Return the whole command with every room's commands registered."""
    app = typer.Typer(
        name="anlan", help=_HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        """Options before any command."""

    root.__doc__ = _HELP
    for name in ROOMS:
        importlib.import_module(name).register(app)
    return app


def main() -> None:
    """Run the command line."""
    # `anlan part NAME` starts five times a node: it must not import every room's commands first.
    if len(sys.argv) == 3 and sys.argv[1] == "part":
        from anlan.runtime import PARTS, run_part
        from anlan.settings import from_environment

        if sys.argv[2] in PARTS:
            sys.exit(run_part(sys.argv[2], from_environment()))
    if "--json" in sys.argv:
        sys.exit(_main_json(build()))
    build()()


def _main_json(app: typer.Typer) -> int:
    """Run the command and return its exit code; what the command line itself has wrong is told as one object too."""
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.Abort:
        report(AnlanError("aborted"), as_json=True)
        return 1
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        command = getattr(getattr(error, "ctx", None), "command_path", "anlan")
        report(InvalidInputError(message() or "no command", where=command, fix=f"see '{command} --help'"), as_json=True)
        return 2

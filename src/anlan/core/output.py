"""How commands speak: one JSON object with ``--json``, otherwise text for people; errors as where, what, fix."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
import typer

from anlan.core.errors import AnlanError

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def emit(result: object, as_json: bool, human: Callable[[], None]) -> None:
    """Print ``result`` as one JSON object, or call ``human`` to print it for people."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        human()


@contextmanager
def failing(as_json: bool) -> Iterator[None]:
    """Turn an ``AnlanError`` raised inside into its message (or problem object) and exit code 1."""
    try:
        yield
    except AnlanError as error:
        if as_json:
            sys.stdout.write(msgspec.json.encode({"error": error.problem()}).decode() + "\n")
        else:
            typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from error

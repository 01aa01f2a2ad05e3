"""How commands speak: one JSON object with ``--json``, otherwise text for people; errors as where, what, fix."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
import typer

from anlan.core.errors import AnlanError, InvalidInputError, UnavailableError

logger = logging.getLogger(__name__)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def emit(result: object, as_json: bool, human: Callable[[], None]) -> None:
    """Print ``result`` as one JSON object, or call ``human`` to print it for people."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        human()


def report(error: AnlanError, as_json: bool) -> None:
    """Print an error: as ``{"error": problem}`` on stdout, or for people on stderr."""
    if as_json:
        sys.stdout.write(msgspec.json.encode({"error": error.problem()}).decode() + "\n")
    else:
        typer.secho(str(error), fg=typer.colors.RED, err=True)


@contextmanager
def failing(as_json: bool) -> Iterator[None]:
    """Turn an error raised inside into its message (or problem object) and exit code 1.

    What a file or the network refuses is told like an ``AnlanError``. Anything else is a fault of this program: its
    traceback goes to stderr, and with ``as_json`` there is still one object on stdout.
    """
    try:
        yield
    except AnlanError as error:
        report(error, as_json)
        raise typer.Exit(1) from error
    except BrokenPipeError:
        raise  # somebody closed our stdout (| head): the framework ends quietly
    except OSError as error:
        report(_refused(error), as_json)
        raise typer.Exit(1) from error
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if not as_json:
            raise
        logger.exception("this is a fault of anlan")
        report(AnlanError(f"a fault of anlan: {type(error).__name__}: {error}", fix="please report it"), as_json)
        raise typer.Exit(1) from error


def _refused(error: OSError) -> AnlanError:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename:
        return InvalidInputError(reason, where=str(error.filename), fix="check the path and its permissions")
    return UnavailableError(reason)

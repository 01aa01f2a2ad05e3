"""The models that come with the program, as data: ``warn/library/*.yaml``, a list of models each."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import msgspec
import yaml

from anlan.core.errors import AnlanError, InvalidInputError
from anlan.core.time import duration_us
from anlan.warn.model import WarningModel
from anlan.warn.models.registry import check

DURATIONS = ("horizon", "least_lead", "step")


def built_in() -> tuple[WarningModel, ...]:
    """Return the models of the library, in the order of their files.

    Raises:
        InvalidInputError: a file is wrong; it and the field are named.
    """
    folder = files("anlan.warn").joinpath("library")
    if not folder.is_dir():
        return ()
    found: list[WarningModel] = []
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".yaml"):
            found += read(file.read_text(encoding="utf-8"), file.name)
    return tuple(found)


def read(text: str, name: str) -> list[WarningModel]:
    """Return the models of a YAML text; durations may be written ``30 min``.

    Args:
        text: a list of models, or a mapping whose ``models`` is one.
        name: what to call it in errors.

    Raises:
        InvalidInputError: it is no such list, or a model does not hold together; names the field.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInputError(f"this is no YAML: {error}", where=name) from error
    rows = document.get("models") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise InvalidInputError("this is no list of models", where=name, fix="a list, or a mapping with 'models'")
    return [convert(row, f"{name}, model {number}") for number, row in enumerate(rows, start=1)]


def convert(row: Any, where: str) -> WarningModel:
    """Return a model of a YAML mapping; raises like ``read``."""
    if not isinstance(row, dict):
        raise InvalidInputError("a model is a mapping", where=where, fix="id, kind, target, …")
    try:
        times = {key: duration_us(row[key]) if isinstance(row[key], str) else row[key] for key in _present(row)}
        model = msgspec.convert({**row, **times}, WarningModel)
        check(model, None)
    except msgspec.ValidationError as error:
        raise InvalidInputError(str(error), where=where) from error
    except AnlanError as error:
        raise InvalidInputError(error.message, where=f"{where}, {error.where}".rstrip(", "), fix=error.fix) from error
    return model


def _present(row: dict[str, Any]) -> Iterable[str]:
    return (key for key in DURATIONS if key in row)

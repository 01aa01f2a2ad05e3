"""Industry packs: found by entry point, read as data with the line of everything.

A pack is a Python package of the entry-point group ``anlan.packs`` that carries YAML files; nothing in it is executed.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.util import find_spec
from typing import TypeVar

import msgspec

from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.plant.findings import finding
from anlan.plant.site_file import locate
from anlan.plant.yaml_source import Mapping, parse

GROUP = "anlan.packs"
_T = TypeVar("_T")
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]")


@cache
def installed() -> dict[str, EntryPoint]:
    """Return the installed packs by name."""
    return {item.name: item for item in entry_points(group=GROUP)}


def load_pack_file(pack: str, name: str) -> Mapping | None:
    """Return one YAML file of a pack with the line of everything; None when the pack has no such file.

    Args:
        pack: name of the pack, as ``use`` of a site has it.
        name: file name inside the pack, such as ``risk.yaml``.

    Raises:
        NotFoundError: no such pack is installed.
        InvalidInputError: the file is no YAML mapping; file and line are named.
    """
    entry = installed().get(pack)
    if entry is None or find_spec(entry.value) is None:
        raise NotFoundError(
            f"pack {pack!r} is not installed", fix=f"one of {', '.join(installed()) or 'none installed'}"
        )
    file = files(entry.value).joinpath(name)
    if not file.is_file():
        return None
    return located(file.read_text(encoding="utf-8"), f"packs/{pack}/{name}")


def located(text: str, file: str) -> Mapping:
    """Return a YAML text as a mapping that knows its lines; ``file`` names it in errors.

    Raises:
        InvalidInputError: it is no YAML mapping.
    """
    data, problems = parse(text, file)
    if problems:
        first = problems[0]
        found = finding(first.code, first.file, first.line, first.at, **first.params)
        raise InvalidInputError(found.message, where=found.where, fix=found.fix)
    if not isinstance(data, Mapping):
        raise InvalidInputError("not a mapping of YAML", where=f"{file}:1", fix="write keys and values")
    return data


def where(root: Mapping, *steps: str | int) -> str:
    """Return ``file:line field`` of a place in a located file."""
    file, line, field = locate(root, steps)
    return f"{file}:{line} {field}".rstrip()


def decode(root: Mapping, type_: type[_T]) -> _T:
    """Return a located file as ``type_``, a msgspec struct.

    Raises:
        InvalidInputError: a key or value does not fit; file, line and field are named.
    """
    try:
        return msgspec.convert(root, type_)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        steps: list[str | int] = [key or int(index) for key, index in _STEP.findall(path.rstrip("`"))]
        unknown = re.search(r"unknown field `([^`]+)`", message)
        if unknown:
            steps.append(unknown[1])
        raise InvalidInputError(message, where=where(root, *steps), fix="see docs/risk-models.md") from error

"""Words of the registers as data: kinds of barriers and kinds of work, with their names."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TypeVar

import msgspec

T = TypeVar("T")


class BarrierKind(msgspec.Struct, frozen=True):
    """A kind of barrier; ``role`` is prevent, detect or mitigate."""

    kind: str
    zh: str
    en: str
    role: str


class WorkKind(msgspec.Struct, frozen=True, omit_defaults=True):
    """A kind of work; ``special`` is one of the eight of GB 30871, with its ``code``."""

    kind: str
    zh: str
    en: str
    code: str = ""
    special: bool = False
    source: str = ""


def _read(name: str, type_: type[T]) -> list[T]:
    import yaml

    text = files("anlan.plant.registers").joinpath(name).read_text(encoding="utf-8")
    return msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), list[type_])  # type: ignore[valid-type]  # an argument


@cache
def barrier_kinds() -> dict[str, BarrierKind]:
    """Return the kinds of barriers by name, in the order of the file."""
    return {row.kind: row for row in _read("barrier_kinds.yaml", BarrierKind)}


@cache
def work_kinds() -> dict[str, WorkKind]:
    """Return the kinds of work by name, in the order of the file."""
    return {row.kind: row for row in _read("work_kinds.yaml", WorkKind)}

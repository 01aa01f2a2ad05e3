"""Kinds of points and the units each may have, from ``core/kinds.yaml``: vocabulary, not limits."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from anlan.core.errors import InvalidInputError


class Kind(msgspec.Struct, frozen=True):
    """What a measured quantity is: names in both languages, its usual unit, the units accepted (empty: any)."""

    kind: str
    zh: str
    en: str
    unit: str
    units: tuple[str, ...]

    def allows(self, unit: str) -> bool:
        """Return whether a point of this kind may be declared in ``unit``."""
        return not self.units or unit in self.units


@cache
def kinds() -> dict[str, Kind]:
    """Return all kinds by name, in the order of the file."""
    import yaml

    text = files("anlan.core").joinpath("kinds.yaml").read_text(encoding="utf-8")
    rows = msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), list[Kind])
    return {row.kind: row for row in rows}


def kind_of(name: str) -> Kind:
    """Return one kind.

    Raises:
        InvalidInputError: there is none of this name.
    """
    found = kinds().get(name)
    if found is None:
        raise InvalidInputError(f"no kind {name!r}", fix=f"one of {', '.join(kinds())}")
    return found


def unit_for(kind: str, unit: str = "") -> str:
    """Return ``unit`` if a point of ``kind`` may have it, the kind's usual unit if ``unit`` is empty.

    Raises:
        InvalidInputError: unknown kind, or a unit the kind does not have.
    """
    found = kind_of(kind)
    if not unit:
        return found.unit
    if not found.allows(unit):
        raise InvalidInputError(f"{kind} has no unit {unit!r}", fix=f"one of {', '.join(found.units)}")
    return unit

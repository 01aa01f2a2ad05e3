"""The registry of point numbers: never reused, and one number means one kind in one unit for ever."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import func, select

from anlan.plant.compiler import unit_of
from anlan.plant.site_file import SiteDocument
from anlan.plant.tables import PointRow
from anlan.store.records.base import Records


class PointKey(msgspec.Struct, frozen=True):
    """What a number stands for."""

    path: str
    kind: str
    unit: str


def keys_of(document: SiteDocument) -> list[PointKey]:
    """Return what the points of a document need numbers for, in file order."""
    return [PointKey(item.path, item.part.kind, unit_of(item.part)) for item in document.points()]


def assign(records: Records, wanted: Iterable[PointKey], now_us: int) -> dict[str, int]:
    """Return the number of every wanted point by path, giving new ones numbers above all ever given.

    A point whose kind or unit changed gets a new number; changed back, it gets its old number again, since that
    number's history is in that unit.

    Args:
        wanted: in file order, which on an empty registry gives 1, 2, 3 …
        now_us: µs UTC, kept as ``first_seen`` of new numbers.
    """
    with records.session() as session:
        rows = session.execute(select(PointRow.path, PointRow.kind, PointRow.unit, PointRow.number))
        known = {PointKey(path, kind, unit): number for path, kind, unit, number in rows}
        following = (session.scalar(select(func.max(PointRow.number))) or 0) + 1
        numbers: dict[str, int] = {}
        for key in wanted:
            number = known.get(key)
            if number is None:
                number, following = following, following + 1
                known[key] = number
                session.add(PointRow(number=number, path=key.path, kind=key.kind, unit=key.unit, first_seen=now_us))
            numbers[key.path] = number
    return numbers


def look_up(records: Records, wanted: Iterable[PointKey]) -> dict[str, int]:
    """Return the numbers that the registry already has for ``wanted``, without giving any."""
    with records.session() as session:
        rows = session.execute(select(PointRow.path, PointRow.kind, PointRow.unit, PointRow.number))
        known = {PointKey(path, kind, unit): number for path, kind, unit, number in rows}
    return {key.path: known[key] for key in wanted if key in known}

"""What the historian needs of the compiled plant: where each point number is, who may see it, how long it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from anlan.core.actor import Actor, Permission
from anlan.core.errors import NotFoundError


class KnownPoint(msgspec.Struct, frozen=True):
    """The part of a compiled point (``plant.model.Point``) that a store needs; the floor above owns the whole."""

    number: int
    path: str
    unit: str = ""
    retention: str = ""


class _Document(msgspec.Struct, frozen=True):
    points: tuple[KnownPoint, ...] = ()


_decoder = msgspec.json.Decoder(_Document)


@dataclass(frozen=True)
class PointTable:
    """The points of one configuration revision."""

    revision: str = ""
    by_number: dict[int, KnownPoint] = field(default_factory=dict)

    @staticmethod
    def of(revision: str, document: bytes) -> PointTable:
        """Return the table of a compiled plant's canonical JSON."""
        return PointTable(revision, {point.number: point for point in _decoder.decode(document).points})

    def path(self, number: int) -> str:
        """Return the path of a point number; empty (the whole node) for one the configuration no longer holds."""
        point = self.by_number.get(number)
        return point.path if point else ""

    def sees(self, number: int, actor: Actor) -> bool:
        """Return whether the actor may view the point."""
        return actor.sees(self.path(number))

    def require(self, number: int, actor: Actor, permission: Permission = Permission.VIEW) -> None:
        """Raise unless the actor may do this with the point; a point out of scope is not found.

        Raises:
            NotFoundError: out of the actor's scope.
            PermissionDeniedError: in scope, but not allowed.
        """
        path = self.path(number)
        if not actor.sees(path):
            raise NotFoundError(f"point {number} was not found", where=str(number))
        actor.require(permission, path)

    def names(self, numbers: tuple[int, ...]) -> dict[int, tuple[str, str]]:
        """Return path and unit by number."""
        found = {number: self.by_number[number] for number in numbers if number in self.by_number}
        return {number: (point.path, point.unit) for number, point in found.items()}

"""Typed requests to the plant's service over the fabric, carrying who asks."""

from __future__ import annotations

from anlan.core.actor import Actor
from anlan.plant.model import Plant, decode_plant
from anlan.plant.requests import ListRevisions, PlantStatus, Reload, Revision, Status
from anlan.store.fabric.client import Fabric


class PlantClient:
    """Asks ``svc.plant.*``."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    async def current(self) -> tuple[str, Plant]:
        """Return the revision in force and its plant, read from the fabric alone.

        Raises:
            NotFoundError: none was ever put in force.
        """
        revision, document = await self._fabric.current_config()
        return revision, decode_plant(document)

    async def status(self, actor: Actor) -> Status:
        """Return what is in force and what is wrong with the files."""
        return await self._fabric.call("plant.status", PlantStatus(), actor, Status)

    async def reload(self, actor: Actor) -> Status:
        """Have the files read again."""
        return await self._fabric.call("plant.reload", Reload(), actor, Status, timeout=60)

    async def revisions(self, actor: Actor, *, limit: int = 100) -> tuple[Revision, ...]:
        """Return the revisions put in force, newest first."""
        return await self._fabric.call("plant.revisions", ListRevisions(limit), actor, tuple[Revision, ...])

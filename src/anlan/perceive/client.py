"""Typed requests to the gateway; each carries who asks."""

from __future__ import annotations

from anlan.core.actor import Actor
from anlan.perceive.model import (
    ConnectorStatus,
    DeadLetter,
    DeadLetterPage,
    GetDeadLetter,
    ListConnectors,
    ListDeadLetters,
    Mend,
    MendResult,
)
from anlan.store.fabric.client import Fabric


class PerceiveClient:
    """Asks the gateway on behalf of ``actor``.

    Every method raises UnavailableError when no gateway answers, and what the gateway raised otherwise.
    """

    def __init__(self, fabric: Fabric, actor: Actor) -> None:
        self._fabric = fabric
        self._actor = actor

    async def connectors(self) -> tuple[ConnectorStatus, ...]:
        """Return state and counters of all connectors."""
        return await self._fabric.call(
            "perceive.connectors", ListConnectors(), self._actor, tuple[ConnectorStatus, ...]
        )

    async def dead_letters(self, connector: str = "", limit: int = 50, before: int = 0) -> DeadLetterPage:
        """Return a page of dead letters, newest first."""
        request = ListDeadLetters(connector, limit, before)
        return await self._fabric.call("perceive.dead-letters", request, self._actor, DeadLetterPage, timeout=20)

    async def dead_letter(self, sequence: int) -> DeadLetter:
        """Return one dead letter with all its bytes."""
        return await self._fabric.call("perceive.dead-letter", GetDeadLetter(sequence), self._actor, DeadLetter)

    async def mend(self, sequence: int, raw: bytes | None = None, comment: str = "") -> MendResult:
        """Run a dead letter again, with other bytes when given."""
        request = Mend(sequence, raw, comment)
        return await self._fabric.call("perceive.mend", request, self._actor, MendResult, timeout=20)

"""Typed requests to the historian over the fabric, carrying who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pyarrow as pa

from anlan.core.actor import Actor
from anlan.store.fabric.client import Fabric
from anlan.store.historian.requests import (
    ExportFormat,
    ExportQuery,
    HistorianStatus,
    Hold,
    Holds,
    JournalPage,
    JournalQuery,
    ListHolds,
    ReleaseHold,
    SeriesQuery,
    StatusQuery,
    TransitionQuery,
)

TIMEOUT_S = 60.0


def truncated(table: pa.Table) -> bool:
    """Return whether an answer ended at its limit."""
    return (table.schema.metadata or {}).get(b"truncated") == b"true"


class HistorianClient:
    """Asks the historian on behalf of one actor."""

    def __init__(self, fabric: Fabric, actor: Actor) -> None:
        self._fabric = fabric
        self._actor = actor

    async def series(self, query: SeriesQuery) -> pa.Table:
        """Return a series; its columns are those of the query's kind, ``truncated`` tells whether it was cut.

        Raises:
            NotFoundError: a point outside the actor's scope.
            InvalidInputError: the query makes no sense.
            UnavailableError: the historian does not answer.
        """
        return await self._table("historian.series", query)

    async def transitions(self, query: TransitionQuery) -> pa.Table:
        """Return the alarm transitions of a period, oldest first."""
        return await self._table("historian.transitions", query)

    async def _table(self, subject: str, query: object) -> pa.Table:
        pieces = [piece async for piece in self._fabric.call_pieces(subject, query, self._actor, timeout=TIMEOUT_S)]
        with pa.ipc.open_stream(pa.py_buffer(b"".join(pieces))) as reader:
            table: pa.Table = reader.read_all()
        return table

    async def export(self, query: SeriesQuery, kind: ExportFormat = ExportFormat.PARQUET) -> AsyncIterator[bytes]:
        """Yield the bytes of a Parquet or CSV file."""
        request = ExportQuery(query, kind)
        async for piece in self._fabric.call_pieces("historian.export", request, self._actor, timeout=TIMEOUT_S):
            yield piece

    async def journal(self, query: JournalQuery) -> JournalPage:
        """Return one page of events, newest first; ``next`` is the cursor of the page after it."""
        return await self._fabric.call("historian.journal", query, self._actor, JournalPage, timeout=TIMEOUT_S)

    async def status(self) -> HistorianStatus:
        """Return how full and how far behind the historian is."""
        return await self._fabric.call("historian.status", StatusQuery(), self._actor, HistorianStatus)

    async def hold(self, hold: Hold) -> Hold:
        """Keep samples past their retention."""
        return await self._fabric.call("historian.hold", hold, self._actor, Hold, timeout=TIMEOUT_S)

    async def release(self, hold_id: str) -> Hold:
        """Let a hold go."""
        return await self._fabric.call("historian.release", ReleaseHold(hold_id), self._actor, Hold, timeout=TIMEOUT_S)

    async def holds(self) -> Holds:
        """Return the holds in force."""
        return await self._fabric.call("historian.holds", ListHolds(), self._actor, Holds, timeout=TIMEOUT_S)

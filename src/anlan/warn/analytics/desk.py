"""Answers about floods and proposals: reads the journal and the samples, computes beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import numpy as np

from anlan.core.actor import Actor
from anlan.core.errors import InvalidInputError
from anlan.core.time import DAY, MINUTE, now_us
from anlan.monitor.journal import positions_of, transitions_of
from anlan.monitor.model import TryDefinition, TryResult
from anlan.monitor.performance import Transitions
from anlan.plant.model import AlarmDefinition, Plant
from anlan.store.fabric.client import Fabric
from anlan.store.historian.client import HistorianClient
from anlan.store.historian.requests import SeriesKind, SeriesQuery, TransitionQuery
from anlan.warn.analytics.engine import FloodHistory, noisiest
from anlan.warn.analytics.proposals import candidates, judge, noise_of, standings
from anlan.warn.model import FloodDetail, FloodRow, GetFlood, ListFloods, ListProposals, Proposal

LONGEST = 90 * DAY
LOOK_BACK = 30 * DAY
TRY_TIMEOUT_S = 60.0
NOISE_SAMPLES = 20_000


class AnalyticsDesk:
    """Serves ``warn.floods``, ``warn.flood`` and ``warn.proposals``.

    Args:
        fabric: connection with the right to ask the historian and the monitor.
        plant: gives the plant in force.
    """

    def __init__(self, fabric: Fabric, plant: Callable[[], Plant]) -> None:
        self._fabric = fabric
        self._plant = plant

    async def serve(self) -> None:
        """Answer on the fabric from now on."""
        await self._fabric.serve("warn.floods", ListFloods, self.floods)
        await self._fabric.serve("warn.flood", GetFlood, self.flood)
        await self._fabric.serve("warn.proposals", ListProposals, self.proposals)

    async def _transitions(self, actor: Actor, start: int, end: int, scope: str) -> Transitions:
        if not 0 < end - start <= LONGEST:
            raise InvalidInputError(
                "the period is empty or longer than 90 days", where="end", fix="an end after the start, within 90 days"
            )
        query = TransitionQuery(start, end, subject=scope)
        table = await HistorianClient(self._fabric, actor).transitions(query)
        return transitions_of(table, positions_of(self._plant()))

    async def floods(self, query: ListFloods, actor: Actor) -> tuple[FloodRow, ...]:
        """Return the floods of a period, newest first."""
        transitions = await self._transitions(actor, query.start, query.end, query.scope)
        return await asyncio.to_thread(lambda: FloodHistory(transitions).rows(query.limit))

    async def flood(self, query: GetFlood, actor: Actor) -> FloodDetail:
        """Return one flood beside the month before it."""
        begin = query.id.rpartition("@")[2]
        if not begin.isdigit():
            raise InvalidInputError(f"{query.id} names no flood", where="id", fix="an id of `anlan warn floods`")
        start, end = int(begin) - LOOK_BACK, min(int(begin) + DAY, now_us())
        transitions = await self._transitions(actor, start, end, "")
        detail = await asyncio.to_thread(lambda: FloodHistory(transitions).detail(query.id))
        known = {definition.id: definition.action for definition in self._plant().alarms}
        actions = tuple(dict.fromkeys(known[alarm] for alarm, _ in detail.roots if known.get(alarm)))
        return msgspec.structs.replace(detail, actions=actions)

    async def proposals(self, query: ListProposals, actor: Actor) -> tuple[Proposal, ...]:
        """Return proposals for the alarms that rang most in a period, each tried by the alarm engine."""
        transitions = await self._transitions(actor, query.start, query.end, query.scope)
        plant = self._plant()
        definitions = {definition.id: definition for definition in plant.alarms}
        units = {point.number: point.unit for point in plant.points}
        found = []
        for alarm in noisiest(transitions, query.limit):
            definition = definitions.get(alarm)
            if definition is None or not actor.sees(alarm.rpartition(".")[0]):
                continue
            proposal = await self._propose(definition, query, actor, units[definition.point])
            if proposal is not None:
                found.append(proposal)
        return tuple(sorted(found, key=lambda item: item.would_raise - item.raised))

    async def _propose(
        self, definition: AlarmDefinition, query: ListProposals, actor: Actor, unit: str
    ) -> Proposal | None:
        series = SeriesQuery(SeriesKind.RAW, (definition.point,), query.start, query.end, limit=NOISE_SAMPLES)
        table = await HistorianClient(self._fabric, actor).series(series)
        sigma = noise_of(np.asarray(table["value"].to_numpy(), np.float64))
        tried = candidates(definition, sigma)
        if not tried:
            return None
        as_is = msgspec.structs.replace(definition, id=f"{definition.id}.as-is", covered_by=())
        request = TryDefinition((as_is, *(item.definition for item in tried)), query.start - MINUTE, query.end)
        result = await self._fabric.call("monitor.try", request, actor, TryResult, timeout=TRY_TIMEOUT_S)
        after = {id_: standings(times, result.cleared.get(id_, ()), query.end) for id_, times in result.times.items()}
        return judge(definition, after[as_is.id], tried, after, unit)

"""Typed requests to the registers over the fabric, carrying who asks."""

from __future__ import annotations

from anlan.core.actor import Actor
from anlan.plant.registers.model import (
    Act,
    ActOnWork,
    AddEntry,
    BarrierEntry,
    BarrierHealth,
    BarrierHistory,
    BeginShift,
    Bypass,
    Calibration,
    Change,
    CloseItem,
    CountPeople,
    Edit,
    Entry,
    HeadCount,
    ListBarriers,
    ListBypasses,
    ListCalibrations,
    ListChanges,
    ListEntries,
    ListPresence,
    ListShifts,
    ListWork,
    PlanWork,
    Presence,
    PresenceHistory,
    ProposeChange,
    RecordTest,
    ReportBarrier,
    RequestBypass,
    Shift,
    Work,
)
from anlan.store.fabric.client import Fabric

# Writing a big site's files and putting them in force takes seconds.
WRITE_TIMEOUT_S = 60.0


class RegistersClient:
    """Asks ``svc.registers.*``; every call raises what the service raised."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    async def shifts(self, actor: Actor, request: ListShifts | None = None) -> tuple[Shift, ...]:
        """Return shifts newest first."""
        return await self._fabric.call("registers.shifts", request or ListShifts(), actor, tuple[Shift, ...])

    async def begin_shift(self, actor: Actor, position: str, comment: str = "") -> Shift:
        """Begin the first shift at a position."""
        return await self._fabric.call("registers.shift.begin", BeginShift(position, comment), actor, Shift)

    async def entries(self, actor: Actor, request: ListEntries | None = None) -> tuple[Entry, ...]:
        """Return entries of the shift log newest first."""
        return await self._fabric.call("registers.shift.entries", request or ListEntries(), actor, tuple[Entry, ...])

    async def add_entry(self, actor: Actor, request: AddEntry) -> Entry:
        """Write into the current shift of a position."""
        return await self._fabric.call("registers.shift.add", request, actor, Entry)

    async def close_item(self, actor: Actor, entry_id: str, closing: str) -> Entry:
        """Close an open item, saying how."""
        return await self._fabric.call("registers.shift.close", CloseItem(entry_id, closing), actor, Entry)

    async def act_on_shift(self, actor: Actor, shift_id: str, verb: str, comment: str = "") -> Shift:
        """Offer, take-back or accept a hand-over; accepting returns the new shift."""
        return await self._fabric.call("registers.shift.act", Act(shift_id, verb, comment), actor, Shift)

    async def bypasses(self, actor: Actor, request: ListBypasses | None = None) -> tuple[Bypass, ...]:
        """Return bypasses newest first."""
        return await self._fabric.call("registers.bypasses", request or ListBypasses(), actor, tuple[Bypass, ...])

    async def request_bypass(self, actor: Actor, request: RequestBypass) -> Bypass:
        """Ask for a bypass."""
        return await self._fabric.call("registers.bypass.request", request, actor, Bypass)

    async def act_on_bypass(self, actor: Actor, bypass_id: str, verb: str, comment: str = "") -> Bypass:
        """Approve, reject, withdraw or restore a bypass."""
        return await self._fabric.call("registers.bypass.act", Act(bypass_id, verb, comment), actor, Bypass)

    async def calibrations(self, actor: Actor, scope: str = "", days: float = 30.0) -> tuple[Calibration, ...]:
        """Return the calibrations that have expired or will within ``days``."""
        request = ListCalibrations(scope, days)
        return await self._fabric.call("registers.calibrations", request, actor, tuple[Calibration, ...])

    async def changes(self, actor: Actor, *, pending: bool = False, limit: int = 200) -> tuple[Change, ...]:
        """Return proposed changes newest first."""
        return await self._fabric.call("registers.changes", ListChanges(pending, limit), actor, tuple[Change, ...])

    async def propose_change(self, actor: Actor, edits: tuple[Edit, ...], reason: str) -> Change:
        """Propose edits of the site's files."""
        request = ProposeChange(edits, reason)
        return await self._fabric.call("registers.change.propose", request, actor, Change, timeout=WRITE_TIMEOUT_S)

    async def act_on_change(self, actor: Actor, change_id: str, verb: str, comment: str = "") -> Change:
        """Approve, reject or withdraw a change; approving writes the files and puts them in force."""
        request = Act(change_id, verb, comment)
        return await self._fabric.call("registers.change.act", request, actor, Change, timeout=WRITE_TIMEOUT_S)

    # --- barriers, work, presence -------------------------------------------------------------------------------

    async def barriers(self, actor: Actor, scope: str = "", *, impaired: bool = False) -> tuple[BarrierHealth, ...]:
        """Return barriers with their health, gravest first."""
        request = ListBarriers(scope, impaired)
        return await self._fabric.call("registers.barriers", request, actor, tuple[BarrierHealth, ...])

    async def barrier_history(self, actor: Actor, barrier: str, limit: int = 100) -> tuple[BarrierEntry, ...]:
        """Return a barrier's tests and reports, newest first."""
        request = BarrierHistory(barrier, limit)
        return await self._fabric.call("registers.barrier.history", request, actor, tuple[BarrierEntry, ...])

    async def record_test(self, actor: Actor, request: RecordTest) -> BarrierHealth:
        """Record a test of a barrier."""
        return await self._fabric.call("registers.barrier.test", request, actor, BarrierHealth)

    async def report_barrier(self, actor: Actor, request: ReportBarrier) -> BarrierHealth:
        """Say that a barrier is degraded or failed."""
        return await self._fabric.call("registers.barrier.report", request, actor, BarrierHealth)

    async def act_on_barrier(self, actor: Actor, barrier: str, verb: str, comment: str = "") -> BarrierHealth:
        """Worsen, ease or restore what is reported of a barrier."""
        return await self._fabric.call("registers.barrier.act", Act(barrier, verb, comment), actor, BarrierHealth)

    async def works(self, actor: Actor, request: ListWork | None = None) -> tuple[Work, ...]:
        """Return work in progress."""
        return await self._fabric.call("registers.works", request or ListWork(), actor, tuple[Work, ...])

    async def plan_work(self, actor: Actor, request: PlanWork) -> Work:
        """Enter work, or begin it at once."""
        return await self._fabric.call("registers.work.plan", request, actor, Work)

    async def act_on_work(self, actor: Actor, request: ActOnWork) -> Work:
        """Begin, finish, extend or cancel work."""
        return await self._fabric.call("registers.work.act", request, actor, Work)

    async def presence(self, actor: Actor, scope: str = "") -> tuple[Presence, ...]:
        """Return how many people are in each area."""
        return await self._fabric.call("registers.presence", ListPresence(scope), actor, tuple[Presence, ...])

    async def count_people(self, actor: Actor, request: CountPeople) -> Presence:
        """Enter a count by hand."""
        return await self._fabric.call("registers.presence.count", request, actor, Presence)

    async def presence_history(self, actor: Actor, request: PresenceHistory) -> tuple[HeadCount, ...]:
        """Return the counts by hand of an area, newest first."""
        return await self._fabric.call("registers.presence.history", request, actor, tuple[HeadCount, ...])

"""Typed requests to the registers over the fabric, carrying who asks."""

from __future__ import annotations

from anlan.core.actor import Actor
from anlan.plant.registers.model import (
    Act,
    AddEntry,
    BeginShift,
    Bypass,
    Calibration,
    Change,
    CloseItem,
    Edit,
    Entry,
    ListBypasses,
    ListCalibrations,
    ListChanges,
    ListEntries,
    ListShifts,
    ProposeChange,
    RequestBypass,
    Shift,
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

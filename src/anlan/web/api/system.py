"""How the node itself fares: a public sign of life, and the health of every process for people who are signed in."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from anlan.core.health import HealthReport
from anlan.core.time import now_us
from anlan.store.historian.client import HistorianClient
from anlan.store.historian.requests import HistorianStatus, Hold, Holds
from anlan.web.contract import body, documented, reply
from anlan.web.security import Address, Context, CurrentActor, audit_change

router = APIRouter(tags=["system"])


class SignOfLife(msgspec.Struct, frozen=True):
    """The web process answers; ``ready`` once its warm-up is over."""

    ready: bool
    time: int


class SystemHealth(msgspec.Struct, frozen=True):
    """Health of all processes; ``well`` when each is ready and has no problem."""

    well: bool
    time: int
    node: str
    revision: str
    parts: tuple[HealthReport, ...]


@router.get("/health", **documented(answer=SignOfLife, public=True))
async def read_health(context: Context) -> Response:
    """Whether the web process is there; needs no sign-in."""
    return reply(SignOfLife(context.health.ready, now_us()))


@router.get("/system", **documented(answer=SystemHealth))
async def read_system(context: Context, _actor: CurrentActor) -> Response:
    """Health of every process of the node."""
    now = now_us()
    parts = tuple(context.parts.reports(now))
    well = bool(parts) and all(part.ready and not part.problems for part in parts)
    return reply(SystemHealth(well, now, context.settings.node, context.plant.revision, parts))


@router.get("/historian", **documented(answer=HistorianStatus))
async def read_historian(context: Context, actor: CurrentActor) -> Response:
    """How full the historian is and how far behind the log."""
    return reply(await HistorianClient(context.fabric, actor).status())


@router.get("/holds", **documented(answer=Holds))
async def list_holds(context: Context, actor: CurrentActor) -> Response:
    """Samples kept past their retention, and why."""
    return reply(await HistorianClient(context.fabric, actor).holds())


@router.post("/holds", **documented(Hold, Hold, status=201))
async def put_hold(
    context: Context, actor: CurrentActor, address: Address, wanted: Annotated[Hold, body(Hold)]
) -> Response:
    """Keep samples past their retention."""
    hold = await HistorianClient(context.fabric, actor).hold(wanted)
    after = {"points": len(hold.points), "start": hold.start, "end": hold.end, "reason": hold.reason}
    await audit_change(context, actor, address, "hold.put", f"holds/{hold.id}", after=after)
    return reply(hold, 201)


@router.delete("/holds/{hold_id}", **documented(answer=Hold))
async def release_hold(context: Context, actor: CurrentActor, address: Address, hold_id: str) -> Response:
    """Let a hold go: its samples expire by their class again."""
    hold = await HistorianClient(context.fabric, actor).release(hold_id)
    await audit_change(context, actor, address, "hold.release", f"holds/{hold.id}", before={"reason": hold.reason})
    return reply(hold)

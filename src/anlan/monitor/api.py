"""REST routes of the monitor: alarms, acts on them, alarm performance, trying definitions on history."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from anlan.core.errors import InvalidInputError
from anlan.core.time import DAY, now_us
from anlan.monitor.model import (
    Act,
    ActResult,
    AlarmList,
    AlarmRow,
    ListAlarms,
    MonitorStatus,
    PerformanceQuery,
    Status,
    TryDefinition,
    TryResult,
)
from anlan.web.api.history import Moment, moment
from anlan.web.api.plant import Cursor, Limit, require_place
from anlan.web.contract import body, documented, page_of, reply
from anlan.web.security import Context, CurrentActor

router = APIRouter(tags=["alarms"])

ACT_TIMEOUT_S = 15.0
TRY_TIMEOUT_S = 120.0

SortKey = tuple[bool, int, bool, int, str]


class AlarmPage(msgspec.Struct, frozen=True):
    """A page of alarms, active before cleared, then priority, then unacknowledged first, then newest.

    ``unacknowledged`` and ``active_by_priority`` count the whole list; ``sequence`` is the log's position it shows.
    """

    items: tuple[AlarmRow, ...]
    total: int
    unacknowledged: int
    active_by_priority: tuple[int, int, int, int]
    sequence: int
    time: int
    next: str = ""


def sort_key(row: AlarmRow) -> SortKey:
    """Return what alarms are sorted by, everywhere."""
    return (not row.active, row.priority, row.acknowledged, -row.raised, row.alarm)


@router.get("/alarms", **documented(answer=AlarmPage))
async def list_alarms(
    context: Context,
    actor: CurrentActor,
    view: Literal["standing", "shelved", "suppressed", "out-of-service", "all"] = "standing",
    under: Annotated[str, Query(max_length=400, description="a place of the hierarchy")] = "",
    priority: Annotated[int | None, Query(ge=1, le=4)] = None,
    position: Annotated[str, Query(max_length=100, description="id of an operator position")] = "",
    cursor: Cursor = "",
    limit: Limit = 500,
) -> Response:
    """Alarms as the operator sees them."""
    require_place(context.plant, actor, under)
    # The service filters by what the actor sees; a place above that would be refused, so it is narrowed here.
    request = ListAlarms(view, under if actor.sees(under) else "")
    found = await context.fabric.call("monitor.alarms", request, actor, AlarmList)
    rows = [
        row
        for row in sorted(found.rows, key=sort_key)
        if (priority is None or row.priority == priority)
        and (not position or row.operator_position == position)
        and (not under or row.path == under or row.path.startswith(under + "/"))
    ]
    items, following = page_of(rows, sort_key, SortKey, cursor, limit)
    page = AlarmPage(
        items=items,
        total=len(rows),
        unacknowledged=found.unacknowledged,
        active_by_priority=found.active_by_priority,
        sequence=found.sequence,
        time=found.time,
        next=following,
    )
    return reply(page)


@router.post("/alarms/act", **documented(Act, ActResult))
async def act_on_alarms(context: Context, actor: CurrentActor, wanted: Annotated[Act, body(Act)]) -> Response:
    """Acknowledge (naming the instances), shelve, unshelve, suppress, unsuppress, change service, reset.

    Whoever acts, when, and the comment stand in the alarm's transition.
    """
    if not wanted.alarms:
        raise InvalidInputError("no alarm is named", where="alarms", fix="ids as 'GET /alarms' shows them")
    result = await context.fabric.call("monitor.act", wanted, actor, ActResult, timeout=ACT_TIMEOUT_S)
    return reply(result)


@router.get("/alarms/performance", **documented(answer=dict[str, Any]))
async def read_performance(
    context: Context,
    actor: CurrentActor,
    start: Moment = "",
    end: Moment = "",
    position: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Alarm performance (EEMUA 191, ISA-18.2) of a period, the last day when left out, of one or all positions."""
    until = moment(end, "end", context.plant, now_us())
    since = moment(start, "start", context.plant, until - DAY)
    if not since < until:
        raise InvalidInputError("the end is not after the start", where="end", fix="start < end")
    query = PerformanceQuery(since, until, position)
    return reply(await context.fabric.call("monitor.performance", query, actor, dict[str, Any], timeout=30))


@router.post("/alarms/try", **documented(TryDefinition, TryResult))
async def try_definitions(
    context: Context, actor: CurrentActor, wanted: Annotated[TryDefinition, body(TryDefinition)]
) -> Response:
    """What these definitions would have done on history, before they are enabled."""
    result = await context.fabric.call("monitor.try", wanted, actor, TryResult, timeout=TRY_TIMEOUT_S)
    return reply(result)


@router.get("/alarms/status", **documented(answer=MonitorStatus))
async def read_monitor_status(context: Context, actor: CurrentActor) -> Response:
    """How far the alarm engine is in the log."""
    return reply(await context.fabric.call("monitor.status", Status(), actor, MonitorStatus))

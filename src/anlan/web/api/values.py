"""Last values, from this process's own arrays: never a query of the historian."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from anlan.core.errors import NotFoundError
from anlan.core.quality import CLASS_MASK, describe
from anlan.plant.model import Point
from anlan.web.api.plant import Cursor, Limit, require_place, under
from anlan.web.contract import documented, page_of, reply
from anlan.web.security import Context, CurrentActor
from anlan.web.watch import LastValues

router = APIRouter(tags=["values"])

_CLASSES = {"good": 0x00, "uncertain": 0x40, "bad": 0x80}


class Value(msgspec.Struct, frozen=True):
    """Last value of a point: source time µs UTC (0: nothing was heard of it yet), null when it is no number."""

    path: str
    point: int
    time: int
    value: float | None
    quality: str
    unit: str


class ValuePage(msgspec.Struct, frozen=True):
    """A page of last values and the cursor of the next; ``received``: µs UTC of the newest frame of live values."""

    items: tuple[Value, ...]
    received: int
    next: str = ""


def value_of(values: LastValues, point: Point) -> Value | None:
    """Return the last value of a point, None when it has no row yet."""
    row = values.row_of(point.number)
    if row < 0:
        return None
    number = float(values.value[row])
    return Value(
        path=point.path,
        point=point.number,
        time=int(values.time[row]),
        value=number if math.isfinite(number) else None,
        quality=describe(int(values.quality[row])),
        unit=point.unit,
    )


@router.get("/values", **documented(answer=ValuePage))
async def list_values(
    context: Context,
    actor: CurrentActor,
    under_: Annotated[str, Query(alias="under", max_length=400)] = "",
    path: Annotated[list[str] | None, Query(max_length=1000, description="points, all when left out")] = None,
    quality: Literal["good", "uncertain", "bad"] | None = None,
    cursor: Cursor = "",
    limit: Limit = 1000,
) -> Response:
    """Last values by path."""
    plant, values = context.plant, context.values
    require_place(plant, actor, under_)
    points = [plant.point(name, actor) for name in path] if path else list(plant.require().points)
    points = [point for point in points if under(point.path, under_) and actor.sees(point.path)]
    if quality is not None:
        points = [point for point in points if _class_of(values, point) == _CLASSES[quality]]
    points = sorted({point.path: point for point in points}.values(), key=lambda point: point.path)
    page, following = page_of(points, lambda point: point.path, str, cursor, limit)
    items = tuple(value for point in page if (value := value_of(values, point)) is not None)
    return reply(ValuePage(items, values.received, following))


@router.get("/values/{path:path}", **documented(answer=Value))
async def read_value(context: Context, actor: CurrentActor, path: str) -> Response:
    """Last value of one point."""
    value = value_of(context.values, context.plant.point(path, actor))
    if value is None:
        raise NotFoundError(f"{path} has no value yet", where=path)
    return reply(value)


def _class_of(values: LastValues, point: Point) -> int:
    row = values.row_of(point.number)
    code = int(values.quality[row]) & CLASS_MASK if row >= 0 else 0x80
    return min(code, 0x80)

"""How the node itself fares: a public sign of life, and the health of every process for people who are signed in."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from anlan.core.health import HealthReport
from anlan.core.time import now_us
from anlan.web.contract import documented, reply
from anlan.web.security import Context, CurrentActor

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


@router.get("/health", **documented(answer=SignOfLife))
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

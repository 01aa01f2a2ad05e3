"""REST routes of the gateway: how connectors fare, and the desk where dead letters are looked at and mended."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.responses import Response

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
from anlan.web.api.history import sees_connector
from anlan.web.contract import body, decode_cursor, documented, encode_cursor, reply
from anlan.web.security import Context, CurrentActor

router = APIRouter(tags=["connectors"])

Sequence = Annotated[int, Path(ge=1, le=(1 << 62))]


class DeadLetters(msgspec.Struct, frozen=True):
    """A page of dead letters, newest first; ``kept`` is how many there are, ``next`` empty at the end."""

    items: tuple[DeadLetter, ...]
    kept: int
    next: str = ""


class Mending(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Run a dead letter again; ``raw`` (base64) takes the place of its bytes when given."""

    raw: bytes | None = None
    comment: Annotated[str, msgspec.Meta(max_length=400)] = ""


@router.get("/connectors", **documented(answer=tuple[ConnectorStatus, ...]))
async def list_connectors(context: Context, actor: CurrentActor) -> Response:
    """State and counters of the connectors that bring points one sees."""
    found = await context.fabric.call("perceive.connectors", ListConnectors(), actor, tuple[ConnectorStatus, ...])
    return reply([status for status in found if sees_connector(context.plant, actor, status.id)])


@router.get("/dead-letters", **documented(answer=DeadLetters))
async def list_dead_letters(
    context: Context,
    actor: CurrentActor,
    connector: Annotated[str, Query(max_length=100)] = "",
    cursor: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """Frames, payloads and rows that could not be used, with the reason."""
    before = decode_cursor(cursor, int) if cursor else 0
    request = ListDeadLetters(connector, limit, before)
    page = await context.fabric.call("perceive.dead-letters", request, actor, DeadLetterPage)
    return reply(DeadLetters(page.letters, page.kept, encode_cursor(page.next) if page.next else ""))


@router.get("/dead-letters/{sequence}", **documented(answer=DeadLetter))
async def read_dead_letter(context: Context, actor: CurrentActor, sequence: Sequence) -> Response:
    """One dead letter with its bytes (base64)."""
    return reply(await context.fabric.call("perceive.dead-letter", GetDeadLetter(sequence), actor, DeadLetter))


@router.post("/dead-letters/{sequence}/mend", **documented(Mending, MendResult))
async def mend_dead_letter(
    context: Context, actor: CurrentActor, sequence: Sequence, wanted: Annotated[Mending, body(Mending)]
) -> Response:
    """Run a dead letter again through its connector, as it is or with other bytes."""
    request = Mend(sequence, wanted.raw, wanted.comment)
    return reply(await context.fabric.call("perceive.mend", request, actor, MendResult, timeout=30))

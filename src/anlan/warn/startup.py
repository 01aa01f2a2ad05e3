"""What the process does before it is ready: tables, the place in the log, kernels run once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from anlan.core.time import SECOND, now_us
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.log import LogReader
from anlan.store.records.base import upgrade
from anlan.warn.stream.engine import WarnEngine
from anlan.warn.tables import WarningModelRecord

TRIES = 50


async def make_schema(sql: Engine) -> None:
    """See that the tables are there; another part may be making them at this moment."""
    table = WarningModelRecord.__tablename__
    for attempt in range(TRIES):
        if await asyncio.to_thread(lambda: inspect(sql).has_table(table)):
            return
        try:
            await asyncio.to_thread(upgrade, sql)
        except SQLAlchemyError:
            if attempt == TRIES - 1:
                raise
            await asyncio.sleep(0.2)


async def sequence_at(fabric: Fabric, time: int, first: int, last: int) -> int:
    """Return the first record among ``first`` … ``last`` of the log that was written at or after ``time`` (µs UTC)."""
    low, high = max(first, 1), last + 1
    while low < high:
        middle = (low + high) // 2
        messages = LogReader(fabric, start=middle).batches(1, wait=2.0)
        try:
            found = await anext(messages)
        finally:
            await messages.aclose()  # type: ignore[attr-defined]  # an async generator, typed as an iterator
        if found and found[0].stored < time:
            low = middle + 1
        else:
            high = middle
    return low


def warm_up(build: Callable[[], WarnEngine]) -> None:
    """Run every kernel once on a stream of its own, so that the first record waits for none."""
    engine = build()
    start = now_us() // SECOND * SECOND
    for second in range(6):
        engine.tick(start + second * SECOND, 0)
    engine.predictions()
    engine.snapshot()

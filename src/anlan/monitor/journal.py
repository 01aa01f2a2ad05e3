"""Alarm performance over any period of the journal, through the historian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from anlan.core.actor import SYSTEM, Actor
from anlan.core.errors import NotFoundError
from anlan.monitor.compiled import compile_plant
from anlan.monitor.machine import ARROWS
from anlan.monitor.performance import Performance, Transitions, compute
from anlan.plant.model import Plant, decode_plant
from anlan.store.fabric.client import Fabric
from anlan.store.historian.client import HistorianClient, truncated
from anlan.store.historian.requests import TransitionQuery

_ARROW_INDEX = {arrow.value: number for number, arrow in enumerate(ARROWS)}


def transitions_of(table: Any, positions: dict[str, str]) -> Transitions:
    """Return the historian's columns (time, alarm, arrow, priority, rung) as transitions, in time order.

    ``positions`` gives the operator position by alarm id.
    """
    table = table.combine_chunks()
    alarm = _encoded(table["alarm"])
    arrow = _encoded(table["arrow"])
    alarms = tuple(str(name) for name in alarm.dictionary.to_pylist())
    codes = np.array([_ARROW_INDEX.get(str(name), 0) for name in arrow.dictionary.to_pylist()], np.uint8)
    time = table["time"]
    if pa.types.is_timestamp(time.type):
        time = time.cast(pa.timestamp("us")).cast(pa.int64())
    return Transitions(
        time.to_numpy().astype(np.int64),
        alarm.indices.to_numpy().astype(np.int32),
        codes[arrow.indices.to_numpy()] if len(codes) else np.zeros(0, np.uint8),
        table["rung"].cast(pa.uint8()).to_numpy().astype(bool),
        table["priority"].to_numpy().astype(np.uint8),
        alarms,
        tuple(positions.get(name, "") for name in alarms),
    )


def _encoded(column: Any) -> Any:
    column = column.cast(pa.string()).dictionary_encode()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def positions_of(plant: Plant, revision: str = "") -> dict[str, str]:
    """Return the operator position of each alarm by its id, empty for those that belong to none."""
    compiled = compile_plant(plant, revision)
    names = (*compiled.position_ids, "")
    return {id_: names[compiled.positions[d]] for id_, d in compiled.index.items()}


async def performance_of_journal(
    fabric: Fabric, start: int, end: int, position: str = "", actor: Actor = SYSTEM
) -> Performance:
    """Return the alarm performance of [start, end) (µs UTC) from the journal, in as many questions as it takes."""
    client = HistorianClient(fabric, actor)
    tables = []
    waiting = [(start, end)]
    while waiting:
        first, last = waiting.pop()
        table = await client.transitions(TransitionQuery(first, last))
        if truncated(table) and last - first > 1:
            middle = (first + last) // 2
            waiting += [(middle, last), (first, middle)]
            continue
        tables.append(table)
    positions: dict[str, str] = {}
    try:
        revision, document = await fabric.current_config()
    except NotFoundError:
        pass
    else:
        positions = positions_of(decode_plant(document), revision)
    return compute(transitions_of(pa.concat_tables(tables), positions), start, end, position)

"""A model tried on history: samples and alarms of the historian, in pieces, scored like live and told to nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pyarrow as pa
import pytest

from anlan.core.actor import SYSTEM, Actor, Grant, Role
from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError
from anlan.core.events import Event
from anlan.core.time import DAY, HOUR, MINUTE, SECOND
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from anlan.store.historian.requests import JournalPage, JournalQuery, SeriesQuery
from anlan.warn.features.library import library
from anlan.warn.model import ModelKind, TrialResult, WarningModel
from anlan.warn.trial import try_on_historian
from tests.conftest import FabricProcess
from tests.warn.test_service import TREND, U, plant
from tests.warn.warnings.plants import rung

START = 1_790_000_000 * SECOND
END = START + 2 * HOUR
RISE = START + HOUR


class History:
    """A historian with one point that climbs to its limit in half an hour, and the alarm it rang."""

    def __init__(self) -> None:
        self.asked: list[SeriesQuery] = []
        self.most = 900
        self.time = np.arange(START - 3 * HOUR, END, 5 * SECOND)
        noise = np.random.default_rng(4).normal(0, 0.05, len(self.time))
        self.value = 20.0 + noise + np.clip((self.time - RISE) / MINUTE, 0, 30) * 3.0
        self.alarm = rung((RISE + 27 * MINUTE - 1_790_000_000 * SECOND) / SECOND, f"{U}1/level", name="ALARM1")

    async def series(self, query: SeriesQuery, _actor: Actor) -> AsyncIterator[bytes]:
        self.asked.append(query)
        inside = (self.time >= query.start) & (self.time < query.end)
        cut = int(inside.sum()) > self.most
        rows = np.flatnonzero(inside)[: self.most]
        table = pa.table(
            {
                "point": np.ones(len(rows), np.int32),
                "time": pa.array(self.time[rows], pa.int64()).cast(pa.timestamp("us")),
                "value": self.value[rows],
                "quality": np.zeros(len(rows), np.uint8),
            }
        ).replace_schema_metadata({"truncated": "true" if cut else "false"})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        yield sink.getvalue().to_pybytes()

    async def journal(self, query: JournalQuery, _actor: Actor) -> JournalPage:
        events: tuple[Event, ...] = (self.alarm,)
        return JournalPage(tuple(event for event in events if query.start <= event.time < query.end))

    @asynccontextmanager
    async def serve(self, settings: Settings) -> AsyncIterator[Fabric]:
        async with await Fabric.connect(settings, "runtime") as fabric:
            await fabric.serve_pieces("historian.series", SeriesQuery, self.series)
            await fabric.serve("historian.journal", JournalQuery, self.journal)
            yield fabric


async def attempt(
    fabric: Fabric, model: WarningModel, start: int = START, end: int = END, actor: Actor = SYSTEM
) -> TrialResult:
    return await try_on_historian(fabric, plant(), model, b"", start, end, actor, library=library())


async def test_a_model_that_sees_it_coming_scores_a_hit(settings: Settings, fabric_process: FabricProcess) -> None:
    history, shares = History(), []
    async with history.serve(settings) as fabric:
        found = await try_on_historian(
            fabric, plant(), TREND, b"", START, END, SYSTEM, library=library(), progress=shares.append
        )
        again = await attempt(fabric, TREND)
    (row,) = [row for row in found.rows if row.outcome == "hit"]
    assert RISE < row.raised < history.alarm.time
    assert (row.path, row.event, row.lead) == (f"{U}1/level", "ALARM1", history.alarm.time - row.raised)
    assert (found.sheet.hit, found.sheet.missed, found.sheet.leads) == (1, 0, (row.lead,))
    assert 7000 <= found.steps <= 7200
    assert again == found
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


async def test_long_answers_are_asked_for_in_pieces(settings: Settings, fabric_process: FabricProcess) -> None:
    history = History()
    history.most = 300
    async with history.serve(settings) as fabric:
        pieces = await attempt(fabric, TREND)
    whole = History()
    async with whole.serve(settings) as fabric:
        assert await attempt(fabric, TREND) == pieces
    assert len(history.asked) > len(whole.asked)


async def test_a_model_that_is_blind_to_it_misses_it(settings: Settings, fabric_process: FabricProcess) -> None:
    late = WarningModel(**{**{f: getattr(TREND, f) for f in TREND.__struct_fields__}, "grades": {"red": 99.0}})
    async with History().serve(settings) as fabric:
        found = await attempt(fabric, late)
    assert found.rows == ()
    assert (found.sheet.missed, found.sheet.recall) == (1, 0.0)


async def test_what_cannot_be_tried_is_named(settings: Settings, fabric_process: FabricProcess) -> None:
    stranger = Actor("li", grants=(Grant(Role.OPERATOR, "f"),))
    nowhere = WarningModel("x", ModelKind.TREND, scope=("f",))
    async with History().serve(settings) as fabric:
        with pytest.raises(InvalidInputError, match="31 days"):
            await attempt(fabric, TREND, END - 40 * DAY, END)
        with pytest.raises(InvalidInputError, match="have no history"):
            await attempt(fabric, WarningModel("x", ModelKind.RISK))
        with pytest.raises(ConflictError, match="bound nowhere"):
            await attempt(fabric, nowhere)
        with pytest.raises(NotFoundError):
            await attempt(fabric, TREND, actor=stranger)

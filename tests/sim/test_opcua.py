"""The OPC UA server against a client."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import Client, ua

from anlan.sim import catalogue
from anlan.sim.journal import read
from anlan.sim.signals import layout
from anlan.sim.upsets import Scenario, Upset
from tests.sim.conftest import running
from tests.sim.peers import until

FAILED = "donglan/eo/r-201/temperature-2"


class Collector:
    """Keeps what a subscription delivers."""

    def __init__(self) -> None:
        self.got: list[tuple[str, int, float]] = []

    def datachange_notification(self, node: Any, _value: Any, data: Any) -> None:
        value = data.monitored_item.Value
        stamp = round(value.SourceTimestamp.timestamp() * 1000) * 1000
        shown = float("nan") if value.Value.Value is None else float(value.Value.Value)
        self.got.append((node.nodeid.Identifier, stamp, shown))


async def test_serves_units_spans_states_and_history_and_every_change_arrives(journal_folder: Path) -> None:
    points = [point for point in layout().points if point.connector == catalogue.DCS]
    assert len(points) >= 800
    collector = Collector()
    scenario = Scenario((Upset("fail", FAILED, 0.2, 60),))
    async with running(journal_folder, only=frozenset({catalogue.DCS}), scenario=scenario) as park:
        async with Client(f"opc.tcp://127.0.0.1:{park.ports.opcua}/donglan/") as client:
            root = client.get_node("ns=2;s=DONGLAN")
            areas = {(await node.read_browse_name()).Name for node in await root.get_children()}
            assert {"EO", "ETHOXYLATION", "ELECTROLYSIS", "CHLORINE"} <= areas
            level = client.get_node("ns=2;s=CHLORINE.V-111.level")
            unit = await (await level.get_child("0:EngineeringUnits")).read_value()
            span = await (await level.get_child("0:EURange")).read_value()
            assert (unit.DisplayName.Text, unit.UnitId, span.High) == ("%", 20529, 100.0)
            state = client.get_node("ns=2;s=EO.P-201A.state")
            names = await (await state.get_child("0:EnumStrings")).read_value()
            assert [name.Text for name in names] == ["停止", "运行", "跳闸"]
            subscription = await client.create_subscription(200, collector)
            nodes = [client.get_node(point.tag) for point in points]
            await subscription.subscribe_data_change(nodes, queuesize=20)
            began = time.time_ns() // 1000 + 200_000
            await asyncio.sleep(3)
            await until(lambda: len(collector.got) > 3000, "3000 changes")
            failed = await client.get_node("ns=2;s=EO.R-201.temperature-2").read_data_value(raise_on_bad_status=False)
            assert failed.StatusCode.value == ua.StatusCodes.BadSensorFailure
            history = await level.read_raw_history(numvalues=10)
            assert len(history) >= 1
            await subscription.delete()
        await park.finish()
    by_tag = {point.tag.partition(";s=")[2]: point.index for point in points}
    offered = read(journal_folder, catalogue.DCS, "offered")
    journal = {
        (point, time): value
        for point, time, value in zip(
            offered["point"].to_pylist(), offered["time"].to_pylist(), offered["value"].to_pylist(), strict=True
        )
    }
    got = {(by_tag[name], stamp): value for name, stamp, value in collector.got}
    assert len(got) > 2000
    np.testing.assert_array_equal([journal[key] for key in got], list(got.values()))
    assert np.isnan(list(got.values())).sum() == 1
    last = max(stamp for _, stamp in got) - 500_000
    due = {key for key in journal if began < key[1] < last}
    assert len(due) > 1000
    assert due <= set(got)

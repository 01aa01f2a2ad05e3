"""The OPC UA server against a client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import Client, ua

from anlan.sim import catalogue
from anlan.sim.journal import read
from anlan.sim.signals import layout
from tests.sim.conftest import running


class Collector:
    """Keeps what a subscription delivers."""

    def __init__(self) -> None:
        self.got: list[tuple[str, int, float]] = []

    def datachange_notification(self, node: Any, _value: Any, data: Any) -> None:
        value = data.monitored_item.Value
        stamp = round(value.SourceTimestamp.timestamp() * 1000) * 1000
        self.got.append((node.nodeid.Identifier, stamp, float(value.Value.Value)))


async def test_serves_a_hierarchy_with_units_and_spans_and_every_change_arrives(journal_folder: Path) -> None:
    points = [point for point in layout().points if point.connector == catalogue.DCS]
    assert len(points) >= 800
    collector = Collector()
    async with running(journal_folder, only=frozenset({catalogue.DCS})) as park:
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
            await asyncio.sleep(4)
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
    assert all(journal[key] == value for key, value in got.items())
    first, last = min(time for _, time in got), max(time for _, time in got)
    began = max(first, last - 2_500_000)
    missing = [key for key in journal if began < key[1] < last and key not in got]
    assert not missing


async def test_a_failed_sensor_has_a_bad_status(journal_folder: Path) -> None:
    from anlan.sim.upsets import Scenario, Upset

    scenario = Scenario((Upset("fail", "donglan/eo/r-201/temperature-2", 0.2, 60),))
    async with running(journal_folder, only=frozenset({catalogue.DCS}), scenario=scenario) as park:
        async with Client(f"opc.tcp://127.0.0.1:{park.ports.opcua}/donglan/") as client:
            await asyncio.sleep(1.5)
            node = client.get_node("ns=2;s=EO.R-201.temperature-2")
            data = await node.read_data_value(raise_on_bad_status=False)
        await park.finish()
    assert data.StatusCode.value == ua.StatusCodes.BadSensorFailure
    offered = read(journal_folder, catalogue.DCS, "offered")
    assert np.isnan(offered["value"].to_numpy()).any()

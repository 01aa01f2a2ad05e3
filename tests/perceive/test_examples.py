"""The example sites: accepted by the checker, complete, and replayed whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from anlan.perceive.connectors.replay import MANIFEST, ReplayConnector
from anlan.plant import check_connectors, site_file
from anlan.plant.compiler import compile_site, numbers_in_file_order
from anlan.plant.model import ConnectorSpec, Plant
from tests.conftest import ROOT
from tests.perceive.connectors.harness import MemoryContext, running

SITES = {
    "skab": ("skab/skab_experiments.parquet", {"experiment", "datetime", "anomaly", "changepoint"}),
    "tep": ("tep/tep_test.parquet", {"part", "fault", "fault_active", "sample"}),
    "nab": ("nab/nab_series.parquet", {"series", "timestamp", "value"}),
}


@pytest.fixture
def plant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Plant:
    monkeypatch.setattr(check_connectors, "manifests", lambda: ({"replay": MANIFEST}, {}))
    document, findings = site_file.check(ROOT / "examples" / request.param)
    assert findings == ()
    assert document is not None
    return compile_site(document, numbers_in_file_order(document))


@pytest.mark.parametrize("plant", SITES, indirect=True)
def test_every_point_is_fed_and_every_alarm_says_what_to_do(plant: Plant) -> None:
    [connector] = plant.connectors
    assert set(connector.map) == {point.path for point in plant.points}
    for alarm in plant.alarms:
        assert alarm.cause
        assert alarm.consequence
        assert alarm.action
        assert alarm.source
        assert alarm.time_to_act > 0
    assert plant.policy.max_age > 10**15


@pytest.mark.parametrize("plant", SITES, indirect=True)
async def test_the_recording_is_sent_whole(plant: Plant, shared_data: Path, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["plant"]
    file, others = SITES[name]
    path: Path = shared_data / "process" / file
    [given] = plant.connectors
    spec = ConnectorSpec(given.id, given.kind, given.options | {"file": str(path)}, given.map)
    context = MemoryContext(spec)
    connector = ReplayConnector(spec, context)
    async with running(connector), asyncio.timeout(60):
        await connector.finished.wait()
    table = pa.parquet.read_table(path)
    channels = [column for column in table.column_names if column not in others] or ["value"]
    assert (connector.rows_read, connector.rows_bad) == (len(table), 0)
    assert connector.samples_emitted == len(table) * len(channels)
    assert set(channels) == {"value"} or set(channels) == set(spec.map.values())
    batch = context.all
    order = np.lexsort((batch.time, batch.point))
    same = (np.diff(batch.point[order]) == 0) & (np.diff(batch.time[order]) == 0)
    assert not same.any()

"""``anlan dead-letters`` against a running gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from anlan.core.errors import DecodeError
from anlan.perceive import cli, runner
from anlan.plant.model import ConnectorSpec
from anlan.settings import Settings
from tests.conftest import FabricProcess
from tests.perceive.conftest import make_plant, running_gateway, stored, until
from tests.perceive.test_gateway import PATHS, HandConnector


@pytest.fixture(autouse=True)
def _hand_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    HandConnector.running.clear()
    monkeypatch.setattr(runner, "load", lambda kind: (HandConnector.MANIFEST, HandConnector))


def app() -> typer.Typer:
    made = typer.Typer()
    made.command("other")(lambda: None)
    cli.register(made)
    return made


async def invoke(*arguments: str) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, app(), ["dead-letters", *arguments])


async def test_list_show_and_retry(
    settings: Settings, fabric_process: FabricProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    mended = tmp_path / "mended"
    mended.write_bytes(b"7.5")
    plant = make_plant((ConnectorSpec("one", "hand", map=PATHS),))
    async with running_gateway(settings, plant) as (_, health):
        await until(lambda: HandConnector.running)
        HandConnector.running["one"].dead_letter(b"seven", DecodeError("no number", where="row 1"), source="press")
        HandConnector.running["one"].dead_letter(b"\x00\xff", DecodeError("noise"), source="line")
        await until(lambda: health.counters.get("dead_letters") == 2)
        listed = json.loads((await invoke("list", "--json")).stdout)
        shown = (await invoke("show", "1")).stdout
        binary = (await invoke("show", "2")).stdout
        missing = await invoke("show", "99", "--json")
        refused = await invoke("retry", "1", "--payload", str(tmp_path / "nowhere"))
        done = json.loads((await invoke("retry", "1", "--payload", str(mended), "--json")).stdout)
        left = (await invoke("list")).stdout
        batch, _ = await stored(settings)
    assert [letter["sequence"] for letter in listed["letters"]] == [2, 1]
    assert "no number" in shown
    assert "seven" in shown
    assert "00 ff" in binary
    assert missing.exit_code == 1
    assert json.loads(missing.stdout)["error"]["status"] == 404
    assert refused.exit_code == 1
    assert done == {"sequence": 1, "samples": 1}
    assert "press" not in left
    assert batch.value.tolist() == [7.5]

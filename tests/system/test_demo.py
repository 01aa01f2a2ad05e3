"""The main job end to end: the virtual park through the whole platform, every sample and alarm accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONNECTORS = {
    "dcs-donglan", "tank-plc", "utility-plc", "asu-plc", "gas-detection", "edge-nodes", "environment",
}  # fmt: skip


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "anlan", "demo", "--headless", "--seconds", "20", "--json"]
    done = subprocess.run([*command, "--data", str(folder / "data")], capture_output=True, text=True, timeout=280)
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    result["exit"] = done.returncode
    return result


@pytest.mark.timeout(300)
def test_all_is_well(account: dict[str, Any]) -> None:
    assert account["errors"] == []
    assert account["ok"] is True
    assert account["exit"] == 0


@pytest.mark.timeout(300)
def test_every_acknowledged_sample_is_stored_once(account: dict[str, Any]) -> None:
    assert (account["lost"], account["duplicated"], account["altered"]) == (0, 0, 0)
    assert account["connectors"]["gas-detection"]["acked"] > 1_000


@pytest.mark.timeout(300)
def test_every_protocol_delivers(account: dict[str, Any]) -> None:
    assert set(account["samples"]) == CONNECTORS
    assert all(count > 0 for count in account["samples"].values())
    assert account["points"] >= 2_000


@pytest.mark.timeout(300)
def test_alarms_of_many_kinds_ring(account: dict[str, Any]) -> None:
    assert {"HH", "H", "L", "rate", "deviation", "state", "expression"} <= set(account["alarms"])


@pytest.mark.timeout(300)
def test_each_transition_has_a_latency(account: dict[str, Any]) -> None:
    latency = account["latency_ms"]
    assert latency["n"] > 0
    assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]


def test_a_directory_that_is_no_demo_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    command = [sys.executable, "-m", "anlan", "demo", "--headless", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "not a demo" in done.stderr
    assert (tmp_path / "precious").read_text() == "keep"

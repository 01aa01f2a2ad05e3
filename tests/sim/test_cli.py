"""The park's commands, and the process of its own that the demo starts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import typer
from typer.testing import CliRunner

from anlan.plant.site_file import load
from anlan.sim import secrets
from anlan.sim.cli import register
from anlan.sim.ports import Ports


def _app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def test_site_writes_a_site_and_its_secrets(tmp_path: Path) -> None:
    ports = Ports.free()
    arguments = ["sim", "site", str(tmp_path / "site"), "--ports", ports.to_json(), "--json"]
    result = CliRunner().invoke(_app(), [*arguments, "--secrets", str(tmp_path / "secrets")])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["points"] >= 2000
    assert load(tmp_path / "site").site.site.id == "donggang"
    assert {path.name for path in (tmp_path / "secrets").iterdir()} == set(secrets.secrets())


def test_bad_ports_say_what_would_be_right(tmp_path: Path) -> None:
    result = CliRunner().invoke(_app(), ["sim", "site", str(tmp_path), "--ports", '{"mqtt": 1}', "--json"])
    assert result.exit_code == 1
    problem = json.loads(result.stdout)["error"]
    assert problem["where"] == "--ports"
    assert "mqtt_gas" in problem["fix"]


def test_the_process_says_when_it_is_ready_and_ends_on_a_signal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "anlan.sim", "--ports", Ports.free().to_json(), "--speed", "60"]
    command += ["--journal", str(tmp_path / "journal"), "--drain", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        process.send_signal(signal.SIGTERM)
        totals = json.loads(process.stdout.readline())
        assert process.wait(20) == 0
    assert totals["connectors"]["dcs-donglan"]["offered"] >= 1000
    assert json.loads((tmp_path / "journal" / "totals.json").read_text())["connectors"] == totals["connectors"]

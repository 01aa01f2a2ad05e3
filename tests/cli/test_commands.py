"""The command line as a whole: help, JSON, settings, and how a node is found."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from anlan import cli
from anlan.cli.options import existing_site, node_settings
from anlan.core.errors import InvalidInputError, UnavailableError
from anlan.runtime import check_ports, data_lock
from anlan.settings import Settings, of_node, remember
from anlan.store.fabric import session
from tests.conftest import FabricProcess, free_port

ANLAN = Path(sys.executable).parent / "anlan"
# What runs until it is stopped, or is started by the supervisor, has no result to print.
WITHOUT_JSON = {"serve", "gateway", "part"}
HEAVY = ("numba", "pyarrow", "nicegui", "chdb", "sqlalchemy", "numpy", "nats", "asyncua", "pymodbus", "fastapi")

APP = cli.build()


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every command that is no group, with its path."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(typer.main.get_command(APP)))


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """Run the program with these arguments and return exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["anlan", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_the_commands_of_every_room_are_there() -> None:
    rooms = {"serve", "demo", "replay", "chaos", "check", "init", "watchdog", "status", "alarms list", "history query"}
    rooms |= {"users add", "tokens create", "dead-letters retry", "discover opcua", "plant points-import", "sim run"}
    assert rooms <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name: str) -> None:
    shown = CliRunner().invoke(APP, [*name.split(), "--help"])
    assert shown.exit_code == 0
    text = " ".join(shown.output.split())
    assert re.search(rf"Examples?: anlan {name}\b", text), text


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - WITHOUT_JSON))
def test_every_command_can_answer_in_json(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert "--json" in options


def test_help_imports_nothing_heavy() -> None:
    script = "import sys; from anlan.cli import build; build(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(set(HEAVY) & set(loaded)) == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [(["anlan", "al"], {"alarms"}), (["anlan", "alarms", ""], {"list", "ack", "shelve", "try", "performance"})],
)
def test_the_shell_completes_commands(typed: list[str], expected: set[str]) -> None:
    words = {"_ANLAN_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(typed), "COMP_CWORD": str(len(typed) - 1)}
    answer = subprocess.run([ANLAN], env={**os.environ, **words}, capture_output=True, text=True, check=False)
    assert set(answer.stdout.split()) == expected


def test_the_shell_gets_its_completion_script() -> None:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    answer = subprocess.run(
        [ANLAN, "--show-completion", "bash"], env=environment, capture_output=True, text=True, check=True
    )
    assert "complete -o default -F _anlan_completion anlan" in answer.stdout


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "where"),
    [
        (["init", "mine", "--no-such-option"], 2, "anlan init"),
        (["alarms", "shelve"], 2, "anlan alarms shelve"),
        (["dead-letters", "list", "--limit", "0"], 2, "anlan dead-letters list"),
        (["no-such-command"], 2, "anlan"),
        (["check", "no-such-site.yaml"], 1, None),
        (["check"], 1, "SITE"),
        (["alarms", "list", "--data", "nowhere"], 1, "nowhere"),
        (["history", "status", "--data", "nowhere"], 1, "nowhere"),
        (["dead-letters", "list", "--data", "nowhere"], 1, "nowhere"),
        (["status", "--data", "nowhere"], 1, "nowhere"),
        (["watchdog", "--once", "--data", "nowhere"], 1, "nowhere"),
        (["users", "list", "--data", "nowhere"], 1, "--data"),
        (["tokens", "list", "--data", "nowhere"], 1, "--data"),
        (["plant", "points-export", "{site}", "no/such/folder/points.xlsx"], 1, "no/such/folder/points.xlsx"),
        (["plant", "points-import", "{site}", "no-such.xlsx"], 1, "no-such.xlsx"),
        (["alarms", "try", "{site}", "--file", "no-such.csv"], 1, "no-such.csv"),
        (["discover", "modbus", "127.0.0.1", "--units", "x"], 1, "--units"),
        (["discover", "opcua", "no-url"], 1, None),
    ],
)
def test_a_failure_is_one_json_object(
    arguments: list[str],
    code: int,
    where: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(APP, ["init", "mine", "--yes"]).exit_code == 0
    arguments = [argument.replace("{site}", "mine") for argument in arguments]
    ended, out, _ = run(capsys, monkeypatch, *arguments, "--json")
    answer = json.loads(out)
    assert (ended, out.count("\n")) == (code, 1)
    assert isinstance(answer, dict)
    error = answer.get("error") or answer["findings"][0]
    assert error.get("title") or error["message"]
    assert where in (None, error.get("where"))
    assert not (tmp_path / "nowhere").exists()


def test_a_fault_of_the_program_is_one_json_object_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a screw is loose")

    monkeypatch.setattr(session, "node_at", broken)
    code, out, _ = run(capsys, monkeypatch, "alarms", "list", "--json")
    assert code == 1
    assert "RuntimeError: a screw is loose" in json.loads(out)["error"]["title"]


def test_a_part_that_does_not_exist_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run(capsys, monkeypatch, "part", "gatway")
    assert code == 1
    assert "no part 'gatway'" in err


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "::", "plant.example"])
def test_the_console_does_not_listen_beyond_loopback_without_tls(host: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="without TLS"):
        node_settings(data=tmp_path, web_host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_the_console_listens_on_loopback(host: str, tmp_path: Path) -> None:
    assert node_settings(data=tmp_path, web_host=host).web_host == host


def test_tls_needs_both_files_and_they_must_be_there(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    certificate.touch()
    with pytest.raises(InvalidInputError, match="--tls-key"):
        node_settings(data=tmp_path, web_host="0.0.0.0", tls_certificate=str(certificate))
    with pytest.raises(InvalidInputError, match=r"no file .*tls\.key"):
        node_settings(data=tmp_path, web_host="0.0.0.0", tls_certificate=str(certificate), tls_key=str(key))
    key.touch()
    settings = node_settings(data=tmp_path, web_host="0.0.0.0", tls_certificate=str(certificate), tls_key=str(key))
    assert settings.web_host == "0.0.0.0"


def test_a_site_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="anlan init"):
        existing_site(tmp_path / "site.yaml")


def test_variables_hold_where_an_option_is_not_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANLAN_DATA", str(tmp_path / "of-variable"))
    monkeypatch.setenv("ANLAN_SITE", str(tmp_path / "no-site"))
    code, _, err = run(capsys, monkeypatch, "serve")
    assert (code, str(tmp_path / "no-site") in err) == (1, True)
    code, _, err = run(capsys, monkeypatch, "serve", "--site", str(tmp_path / "other"))
    assert (code, str(tmp_path / "other") in err) == (1, True)


def test_a_port_that_is_taken_is_named_with_its_holder(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.web_port)):
        check_ports(settings, ("gateway",), wait=0)
        with pytest.raises(UnavailableError, match=rf"127\.0\.0\.1:{settings.web_port}.*process {os.getpid()}.*--port"):
            check_ports(settings, ("gateway", "web"), wait=0)
    with (
        socket.create_server(("127.0.0.1", settings.fabric_port)),
        pytest.raises(UnavailableError, match=r"fabric.*--fabric-port"),
    ):
        check_ports(settings, (), wait=0)
    check_ports(settings, ("gateway", "web"), wait=0)


def test_a_second_node_on_the_same_data_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site.yaml"
    site.touch()
    with data_lock(tmp_path / "data"):
        code, _, err = run(capsys, monkeypatch, "serve", "--site", str(site), "--data", str(tmp_path / "data"))
    assert code == 1
    assert "in use by another anlan" in err


# --- finding a node ---------------------------------------------------------------------------------------------------


def test_a_node_is_found_by_its_data(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(settings)
    assert (settings.data / "node.json").stat().st_mode & 0o777 == 0o600
    found = of_node(settings.data)
    assert (found.data, found.fabric_port, found.web_port) == (settings.data, settings.fabric_port, settings.web_port)
    monkeypatch.setenv("ANLAN_WEB_PORT", "7777")
    assert of_node(settings.data).web_port == 7777
    (settings.data / "node.json").write_text("{ half")
    assert of_node(settings.data).fabric_port == Settings().fabric_port


def test_a_node_that_does_not_run_is_given_up_soon(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CONNECT_S", 0.3)
    settings.fabric_password("runtime")
    remember(settings)
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{settings.fabric_port}"):
        session.ask_node(pytest.fail, settings.data)


def test_status_says_which_part_is_silent(
    fabric_process: FabricProcess, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = fabric_process.settings
    remember(settings)
    (settings.data / "pids.json").write_text('{"fabric": 1, "alarms": 2}')
    code, out, _ = run(capsys, monkeypatch, "status", "--data", str(settings.data), "--json")
    assert (code, json.loads(out)) == (1, {"parts": [], "silent": ["alarms"]})


def test_a_node_without_a_console_makes_no_password(tmp_path: Path) -> None:
    from anlan.cli.node import prepare

    settings = Settings(data=tmp_path, web_port=free_port())
    assert prepare(settings, people=False) is None
    assert prepare(settings) is not None


def test_init_asks_again_until_the_answer_fits(tmp_path: Path) -> None:
    answers = "Donggang\nno id\ndonggang\nhaian\nprofibus\nmodbus\n10.0.0.7:502\n"
    result = CliRunner().invoke(APP, ["init", str(tmp_path / "mine")], input=answers)
    assert result.exit_code == 0, result.output
    assert result.output.count("once more") == 2
    text = (tmp_path / "mine" / "site.yaml").read_text()
    assert "id: donggang" in text
    assert "kind: modbus" in text
    again = CliRunner().invoke(APP, ["init", str(tmp_path / "mine")])
    assert (again.exit_code, again.output.count("site file already")) == (1, 1)

"""The commands for people and tokens, as somebody types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from anlan.settings import Settings
from anlan.store.records.base import Records
from anlan.web import cli
from anlan.web.auth import bootstrap
from anlan.web.auth.accounts import Accounts
from anlan.web.auth.model import SignIn
from anlan.web.auth.sign_in import sign_in
from tests.web.node import records_of


@pytest.fixture
def records(settings: Settings) -> Records:
    return records_of(settings)


def run(settings: Settings, *words: str, code: int = 0) -> dict[str, Any]:
    app = typer.Typer()
    cli.register(app)
    result = CliRunner().invoke(app, [*words, "--data", str(settings.data), "--json"])
    assert result.exit_code == code, result.output
    answer: dict[str, Any] = json.loads(result.output)
    return answer


def test_first_start_makes_one_administrator_whose_password_is_told_once(settings: Settings, records: Records) -> None:
    password = bootstrap(records)
    assert password is not None
    assert bootstrap(records) is None
    accounts = Accounts(records, settings)
    cookie = sign_in(accounts, SignIn("admin", password), address="a", agent="")
    identity = accounts.identity(cookie=cookie)
    assert identity is not None
    assert identity.must_change
    assert accounts.actor_of_session(cookie) is None


def test_adds_grants_disables_and_enables_a_person(settings: Settings, records: Records) -> None:
    bootstrap(records)
    made = run(settings, "users", "add", "Wang.Min", "--name", "王敏", "--role", "operator@haian")
    assert made["user"]["login"] == "wang.min"
    given = run(settings, "users", "grant", "wang.min", "--role", "engineer", "--remove", "operator@haian")
    assert given["grants"] == [{"role": "engineer", "scope": ""}]
    accounts = Accounts(records, settings)
    cookie = sign_in(accounts, SignIn("wang.min", made["password"]), address="a", agent="")
    assert run(settings, "users", "disable", "wang.min")["active"] is False
    assert Accounts(records, settings).identity(cookie=cookie) is None
    assert run(settings, "users", "enable", "wang.min")["active"] is True
    listed = {user["login"]: user for user in run(settings, "users", "list")["users"]}
    assert listed.keys() == {"admin", "wang.min"}


def test_resets_a_password(settings: Settings, records: Records) -> None:
    bootstrap(records)
    password = run(settings, "users", "reset-password", "admin")["password"]
    assert sign_in(Accounts(records, settings), SignIn("admin", password), address="a", agent="")


def test_a_token_from_the_command_line_works_and_ends(settings: Settings, records: Records) -> None:
    bootstrap(records)
    made = run(settings, "tokens", "create", "admin", "--name", "mes", "--role", "regulator@haian", "--days", "7")
    accounts = Accounts(records, settings)
    identity = accounts.identity(token=made["token"])
    assert identity is not None
    assert [(grant.role, grant.scope) for grant in identity.actor.grants] == [("regulator", "haian")]
    assert [item["id"] for item in run(settings, "tokens", "list")["tokens"]] == [made["info"]["id"]]
    run(settings, "tokens", "revoke", made["info"]["id"])
    assert Accounts(records, settings).identity(token=made["token"]) is None


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("users", "add", "wang min"), "login"),
        (("users", "add", "x", "--role", "king"), "--role"),
        (("users", "add", "x", "--role", "operator@a//b"), "grants"),
        (("users", "add", "admin"), "login"),
        (("users", "disable", "admin"), "grants"),
        (("users", "disable", "absent"), "absent"),
        (("users", "grant", "admin"), "--role"),
        (("tokens", "revoke", "absent"), "absent"),
    ],
)
def test_errors_name_what_is_wrong(settings: Settings, records: Records, words: tuple[str, ...], where: str) -> None:
    bootstrap(records)
    error = run(settings, *words, code=1)["error"]
    assert error["where"] == where


def test_a_folder_without_a_node_is_named(tmp_path: Path) -> None:
    error = run(Settings(data=tmp_path / "nowhere"), "users", "list", code=1)["error"]
    assert error["where"] == "--data"
    assert not (tmp_path / "nowhere").exists()


def test_importing_the_commands_loads_nothing_slow() -> None:
    slow = ("sqlalchemy", "fastapi", "nats", "nicegui", "argon2")
    code = f"import sys, anlan.web.cli; print([name for name in {slow} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": "src"}
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert printed.stdout.strip() == "[]"

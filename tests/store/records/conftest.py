"""Records on SQLite always, and on PostgreSQL when there is one.

``ANLAN_TEST_POSTGRES`` (an SQLAlchemy URL of an empty database) names one; else Debian's binaries start a throw-away
cluster of the user ``postgres``; without either the PostgreSQL half is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from anlan.settings import Settings
from anlan.store.records.base import open_engine
from tests.conftest import free_port


def _as_postgres(*command: str) -> None:
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, capture_output=True, cwd="/")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a PostgreSQL database for tests."""
    given = os.environ.get("ANLAN_TEST_POSTGRES", "")
    if given:
        yield given
        return
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL: install Debian's postgresql or set ANLAN_TEST_POSTGRES")
    binaries = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="anlan-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    port = free_port()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    try:
        _as_postgres(str(binaries / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-E", "UTF8")
        control = [str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-w"]
        _as_postgres(*control, "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        finally:
            _as_postgres(*control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def records_engine(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Engine]:
    """An engine on an empty database."""
    if request.param == "postgresql":
        settings = replace(settings, records=request.getfixturevalue("postgres_url"))
    engine = open_engine(settings)
    yield engine
    if request.param == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()

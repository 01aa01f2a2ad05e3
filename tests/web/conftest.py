"""Fixtures of the web floor: one running web process for all tests that only read or make things of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anlan.settings import Settings
from tests.conftest import free_port
from tests.web.node import WebNode
from tests.web.postgres import Postgres, binaries


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL server; tests that need it skip where it is not installed."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    server = Postgres(programs)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    """A running web process with people of every role, a small plant and responders for other processes."""
    settings = Settings(
        data=tmp_path_factory.mktemp("web") / "data",
        fabric_port=free_port(),
        web_port=free_port(),
        node="test",
        log_bytes=1 << 30,
    )
    node = WebNode(settings)
    node.start()
    yield node
    node.stop()

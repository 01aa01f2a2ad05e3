"""Fixtures shared by all tests: the shared data folder, an embedded fabric on a free port."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from anlan.settings import Settings
from anlan.store.fabric import server

# Nothing is said about time by a property, and two cores are shared.
hypothesis.settings.register_profile("anlan", deadline=None)
hypothesis.settings.load_profile("anlan")

DATA_VARIABLE = "ANLAN_SHARED_DATA"
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets and protocol vectors beside the project; tests that need it skip without it."""
    folder = Path(os.environ.get(DATA_VARIABLE, ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"shared data not found at {folder}; set {DATA_VARIABLE} to its folder")
    return folder


def free_port() -> int:
    """Return a loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a node that lives in this test's own folder, on free ports."""
    return Settings(
        data=tmp_path / "data", fabric_port=free_port(), web_port=free_port(), node="test", log_bytes=1 << 30
    )


class FabricProcess:
    """A real nats-server that a test may kill and start again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.settings.directory("logs") / "nats.log").open("ab")
        self.process = subprocess.Popen(server.command(self.settings), stdout=log, stderr=log)
        asyncio.run(server.wait_ready(self.settings))

    async def start_async(self) -> None:
        log = (self.settings.directory("logs") / "nats.log").open("ab")
        self.process = subprocess.Popen(server.command(self.settings), stdout=log, stderr=log)
        await server.wait_ready(self.settings)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def fabric_process(settings: Settings) -> Iterator[FabricProcess]:
    """A running embedded fabric for ``settings``."""
    process = FabricProcess(settings)
    process.start()
    yield process
    process.kill()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In CI, where everything is installed, a skip is a failure: a test that should have run did not."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy hands a result object back
    if report.skipped and os.environ.get("ANLAN_TEST_STRICT") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where it should have run: {report.longrepr}"

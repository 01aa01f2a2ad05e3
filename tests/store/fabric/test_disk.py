"""A server whose disk failed is started again once, and only when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from anlan.settings import Settings
from anlan.store.fabric import disk
from anlan.store.fabric.disk import DiskWatch

FAILED = b"[1] [ERR] JetStream failed to store a msg on stream '$G > LOG': write 1.blk: no space left on device\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "fabric.log"
    file.write_bytes(b"[1] [INF] Server is ready\n" + FAILED)
    return file


def add(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def test_failures_of_an_earlier_server_do_not_count(path: Path, settings: Settings) -> None:
    assert not DiskWatch(settings, path).restart_due()


def test_a_failed_write_asks_for_one_restart(path: Path, settings: Settings) -> None:
    watch = DiskWatch(settings, path)
    add(path, FAILED[:30])
    assert not watch.restart_due()
    add(path, FAILED[30:])
    assert watch.restart_due()
    add(path, b"[2] [INF] Server is ready\n")
    assert not watch.restart_due()


def test_a_restart_waits_for_room(path: Path, settings: Settings) -> None:
    watch = DiskWatch(settings, path, room=1 << 60)
    add(path, FAILED)
    assert not watch.restart_due()
    assert watch.failed


def test_a_disk_that_goes_on_failing_is_not_hammered(
    path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = DiskWatch(settings, path)
    add(path, FAILED)
    assert watch.restart_due()
    add(path, FAILED)
    assert not watch.restart_due()
    monkeypatch.setattr(disk, "AGAIN_S", 0.0)
    assert watch.restart_due()

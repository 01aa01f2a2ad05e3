"""Fixtures of the historian: an embedded engine of this process (one path a process, so tests share it by database)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from anlan.core.batch import SampleBatch
from anlan.store.historian import schema
from anlan.store.historian.engine import EmbeddedEngine, Session, prepare
from anlan.store.historian.values import SplitState
from anlan.store.historian.writer import sample_rows


class SharedEngine:
    """The embedded engine, opened once a test process: a second path in one process is refused by the engine."""

    def __init__(self, path: Path) -> None:
        self.engine = EmbeddedEngine(path)
        self.name = self.engine.name
        self._numbers = itertools.count()
        self.database = "default"

    def fresh(self) -> SharedEngine:
        """Move on to a database of its own, so that no test sees another's rows."""
        self.database = f"t{next(self._numbers)}"
        session = self.engine.session()
        session.execute(f"CREATE DATABASE {self.database}")
        return self

    def session(self) -> Session:
        session = self.engine.session()
        session.execute(f"USE {self.database}")
        return session

    def close(self) -> None:
        """Left to the end of the process's tests."""


@pytest.fixture(scope="session")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedEngine]:
    shared = SharedEngine(tmp_path_factory.mktemp("chdb") / "store")
    yield shared
    shared.engine.close()


@pytest.fixture
def engine(shared_engine: SharedEngine) -> SharedEngine:
    return shared_engine.fresh()


@pytest.fixture
def session(engine: SharedEngine) -> Session:
    opened = engine.session()
    prepare(opened)
    return opened


def batch(rows: list[tuple[int, int, float]] | list[tuple[int, int, float, int]]) -> SampleBatch:
    """Return a batch of (point, time, value[, quality]) rows."""
    full = [(*row, 0)[:4] for row in rows]
    return SampleBatch(
        np.array([row[0] for row in full], np.int32),
        np.array([row[1] for row in full], np.int64),
        np.array([row[2] for row in full], np.float64),
        np.array([row[3] for row in full], np.uint8),
    )


def put(session: Session, samples: SampleBatch, version: int = 1) -> None:
    """Insert samples as one group that ends at ``version``."""
    session.insert(schema.SAMPLES, sample_rows(samples, version, SplitState()))

"""The park's own account of what it sent: columns per connector in Parquet segments, totals in one JSON file.

States of a sample: ``sent`` (QoS 0, no answer to wait for), ``acked`` (the receiver acknowledged it), ``offered``
(a server exposed it from that moment on; a reader may rightly miss it). Only counted are ``unsent`` samples, which a
QoS 0 source took without a line to send them on, and ``pending`` messages, handed over but never acknowledged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from anlan.sim.signals import PointSpec

STATES = ("sent", "acked", "offered")
SCHEMA = pa.schema([("point", pa.int32()), ("time", pa.int64()), ("value", pa.float64()), ("quality", pa.uint8())])

Columns = tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64], NDArray[np.uint8]]


class Journal:
    """Writes the account of one run.

    Args:
        folder: made if missing; a run's files are ``points.json``, ``totals.json`` and ``CONNECTOR/STATE-N.parquet``.
        points: the park's points; the journal's ``point`` column is their index.
    """

    def __init__(self, folder: Path, points: Sequence[PointSpec]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        rows = [{"path": point.path, "connector": point.connector, "period": point.period} for point in points]
        (folder / "points.json").write_text(json.dumps(rows, ensure_ascii=False))
        self._waiting: dict[tuple[str, str], list[Columns]] = {}
        self._segments: dict[tuple[str, str], int] = {}
        self.totals: dict[str, dict[str, int]] = {}
        self.pending: dict[str, int] = {}

    def record(
        self,
        connector: str,
        state: str,
        points: NDArray[np.intp] | Sequence[int],
        time: int | NDArray[np.int64],
        values: NDArray[np.float64],
        quality: NDArray[np.uint8],
    ) -> None:
        """Take samples: park indices, source time(s) µs UTC, values as the receiver will read them, quality codes."""
        count = len(points)
        if not count:
            return
        times = np.full(count, time, dtype=np.int64) if isinstance(time, int) else time
        columns = (np.asarray(points, dtype=np.int32), times, np.asarray(values, dtype=np.float64), np.asarray(quality))
        self._waiting.setdefault((connector, state), []).append(columns)
        self.count(connector, state, count)

    def count(self, connector: str, state: str, amount: int) -> None:
        """Count samples in the totals only."""
        totals = self.totals.setdefault(connector, dict.fromkeys((*STATES, "unsent"), 0))
        totals[state] += amount

    def flush(self) -> None:
        """Write what is waiting as one segment per connector and state, and the totals."""
        self.write(*self.take())

    def take(self) -> tuple[dict[tuple[str, str], list[Columns]], str]:
        """Hand out what is waiting, and the totals of this moment, for ``write`` in a thread of its own."""
        waiting, self._waiting = self._waiting, {}
        return waiting, json.dumps({"connectors": self.totals, "pending": self.pending})

    def write(self, waiting: dict[tuple[str, str], list[Columns]], totals: str) -> None:
        """Write what ``take`` gave; calls must not overlap."""
        for (connector, state), chunks in waiting.items():
            number = self._segments[connector, state] = self._segments.get((connector, state), 0) + 1
            arrays = [np.concatenate([chunk[column] for chunk in chunks]) for column in range(4)]
            path = self.folder / connector / f"{state}-{number:05d}.parquet"
            path.parent.mkdir(exist_ok=True)
            partial = path.with_suffix(".partial")
            pq.write_table(pa.Table.from_arrays([pa.array(array) for array in arrays], schema=SCHEMA), partial)
            partial.replace(path)
        partial = self.folder / "totals.partial"
        partial.write_text(totals)
        partial.replace(self.folder / "totals.json")


def read(folder: Path, connector: str, state: str) -> pa.Table:
    """Return all samples of a connector in one state, in the order they were recorded."""
    files = sorted((folder / connector).glob(f"{state}-*.parquet"))
    return pa.concat_tables([pq.read_table(path) for path in files]) if files else SCHEMA.empty_table()

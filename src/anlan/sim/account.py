"""The account of a run: what the park's journal says was sent against what a historian stored.

``lost`` and ``duplicated`` are about what was acknowledged. What a QoS 0 source sent, or a server offered, and nobody
stored is a ``gap``: nobody promised it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from anlan.sim import catalogue
from anlan.sim.journal import read

Fetch = Callable[[list[str], int, int], pa.Table]
Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]

SECOND = 1_000_000
POLLED = (catalogue.TANKS, catalogue.UTILITY, catalogue.ASU)
_TIME_BITS = np.uint64(51)
_EARLY, _LATE = 2 * SECOND, SECOND // 2


def compare(journal_dir: Path, fetch: Fetch) -> dict[str, Any]:
    """Compare a run's journal with a historian.

    Args:
        journal_dir: folder the park wrote.
        fetch: called with point paths, start (inclusive) and end (exclusive), µs UTC; returns a table with columns
            path (string), time (int64 µs UTC), value (float64), quality (uint8): every stored sample.

    Returns:
        ``connectors`` by id, each with sent, acked, offered, unsent, pending (handed over, never acknowledged), stored,
        lost, duplicated, altered (stored with another value), extra (stored though never sent or acknowledged, such as
        a reader's repeat of an unchanged value) and gaps; and the sums ``stored``, ``lost``, ``duplicated``,
        ``altered``, ``gaps``.
    """
    folder = Path(journal_dir)
    points = json.loads((folder / "points.json").read_text())
    totals = json.loads((folder / "totals.json").read_text())
    result = {
        connector: _connector(folder, connector, points, counts, totals["pending"].get(connector, 0), fetch)
        for connector, counts in totals["connectors"].items()
    }
    sums = {
        key: sum(row[key] for row in result.values()) for key in ("stored", "lost", "duplicated", "altered", "gaps")
    }
    return {"connectors": result, **sums}


def by_number(query: Callable[[list[int], int, int], pa.Table], numbers: Mapping[str, int]) -> Fetch:
    """Return a fetch over a store that knows points by number.

    Args:
        query: called with point numbers, start and end; returns columns point, time, value, quality.
        numbers: point number by path, such as a compiled plant's.
    """
    paths = {number: path for path, number in numbers.items()}

    def fetch(wanted: list[str], start: int, end: int) -> pa.Table:
        table = query([numbers[path] for path in wanted], start, end)
        named = pa.array([paths[number] for number in table["point"].to_pylist()], pa.string())
        return table.append_column("path", named)

    return fetch


def _connector(
    folder: Path, connector: str, points: list[dict[str, Any]], counts: dict[str, int], pending: int, fetch: Fetch
) -> dict[str, int]:
    state = next(state for state in ("acked", "sent", "offered") if counts.get(state))
    journal = read(folder, connector, state)
    times = journal["time"].to_numpy()
    own = [number for number, point in enumerate(points) if point["connector"] == connector]
    margin = 30 * SECOND if state == "offered" else 0
    start, end = int(times.min()) - margin, int(times.max()) + margin + 1
    stored = fetch([points[number]["path"] for number in own], start, end)
    rows = pc.index_in(stored["path"].cast(pa.string()), pa.array([points[number]["path"] for number in own]))
    index = np.array(own, dtype=np.int64)[rows.to_numpy(zero_copy_only=False)] if len(stored) else np.empty(0, np.int64)
    there = _Samples(index, stored["time"].to_numpy(), stored["value"].to_numpy(), stored["quality"].to_numpy())
    sent = _Samples(
        journal["point"].to_numpy().astype(np.int64), times, journal["value"].to_numpy(), journal["quality"].to_numpy()
    )
    base = {**counts, "pending": pending, "stored": len(there.time)}
    if connector in POLLED:
        return base | _polled(sent, there, {number: points[number]["period"] for number in own})
    result = base | _exact(sent, there, promised=state == "acked")
    result["gaps"] += counts["unsent"]
    return result


class _Samples:
    """Columns of samples with one sortable key per (point, time)."""

    def __init__(
        self, point: NDArray[np.int64], time: NDArray[np.int64], value: Floats, quality: NDArray[np.uint8]
    ) -> None:
        self.point, self.time, self.value, self.quality = point, time, value, quality
        self.key: Keys = (point.astype(np.uint64) << _TIME_BITS) | time.astype(np.uint64)

    def last_of_each(self) -> tuple[Keys, Floats]:
        """Return the distinct keys in order and, of each, the value recorded last."""
        order = np.argsort(self.key, kind="stable")
        keys = self.key[order]
        last = np.append(keys[1:] != keys[:-1], True) if len(keys) else np.empty(0, bool)
        return keys[last], self.value[order][last]


def _exact(sent: _Samples, there: _Samples, *, promised: bool) -> dict[str, int]:
    keys, values = sent.last_of_each()
    stored_keys, stored_values = there.last_of_each()
    missing = ~np.isin(keys, stored_keys)
    _, mine, theirs = np.intersect1d(keys, stored_keys, assume_unique=True, return_indices=True)
    same = (values[mine] == stored_values[theirs]) | (np.isnan(values[mine]) & np.isnan(stored_values[theirs]))
    if not promised and len(stored_keys):
        missing &= _watched(keys, stored_keys)
    return {
        "lost": int(missing.sum()) if promised else 0,
        "gaps": 0 if promised else int(missing.sum()),
        "duplicated": len(there.key) - len(stored_keys),
        "altered": int((~same).sum()),
        "extra": int((~np.isin(stored_keys, keys)).sum()),
    }


def _watched(keys: Keys, stored: Keys) -> NDArray[np.bool_]:
    """Return which samples lie between the first and the last stored one of their point.

    A reader that came late or left early misses nothing it could have seen.
    """
    after = np.searchsorted(stored, keys, side="left")
    inside = (after > 0) & (after < len(stored))
    point = keys[inside] >> _TIME_BITS
    here = (stored[after[inside] - 1] >> _TIME_BITS == point) & (stored[after[inside]] >> _TIME_BITS == point)
    watched = np.zeros(len(keys), dtype=bool)
    watched[inside] = here
    return watched


def _polled(sent: _Samples, there: _Samples, periods: dict[int, float]) -> dict[str, int]:
    """Judge a poller: each stored value must have been exposed around its time; missing polls are gaps."""
    order = np.argsort(sent.key, kind="stable")
    keys, values = sent.key[order], sent.value[order]
    good = there.quality < 0x80
    late = there.key[good] + np.uint64(_LATE)
    at = np.searchsorted(keys, late, side="right") - 1
    right = np.zeros(int(good.sum()), dtype=bool)
    for back in range(4):
        place = np.maximum(at - back, 0)
        same_point = (keys[place] >> _TIME_BITS) == (late >> _TIME_BITS)
        following = np.minimum(place + 1, len(keys) - 1)
        until = np.where((keys[following] >> _TIME_BITS) == (late >> _TIME_BITS), keys[following], late)
        recent = (until + np.uint64(_EARLY + _LATE) >= late) | (back == 0)
        right |= same_point & recent & np.isclose(values[place], there.value[good], rtol=1e-6, atol=1e-6)
    stored_keys, _ = there.last_of_each()
    return {
        "lost": 0,
        "gaps": _missed_polls(stored_keys, periods),
        "duplicated": len(there.key) - len(stored_keys),
        "altered": int((~right).sum()),
        "extra": 0,
    }


def _missed_polls(keys: Keys, periods: dict[int, float]) -> int:
    point = (keys >> _TIME_BITS).astype(np.int64)
    time = (keys & ((np.uint64(1) << _TIME_BITS) - np.uint64(1))).astype(np.int64)
    period = np.array([periods.get(int(number), 1.0) for number in point]) * SECOND
    steps = np.diff(time)[np.diff(point) == 0] / period[1:][np.diff(point) == 0]
    return int(np.maximum(np.rint(steps) - 1, 0).sum())

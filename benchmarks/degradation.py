"""Recorded lives of one quantity: batteries by the Wiener process, bearings by time to limit; leads as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from anlan.science.prognosis import time_to_limit as ttl
from anlan.science.prognosis.degradation import fit_wiener

END_OF_LIFE_AH = 1.4
"""30 % fade of 2 Ah: end of life of B0005 to B0018 (Saha & Goebel 2007)."""

HEALTHY_HOURS = 24.0
TIMES_HEALTHY = 1.5
MEMORY_S = (3 * 3600.0, 12 * 3600.0, 48 * 3600.0)
WITHIN_S = 24 * 3600.0


def batteries(path: Path) -> dict[str, Any]:
    """Return, for each cell that reaches its end of life, the forecasts with 60, 40 and 20 cycles left."""
    table = pyarrow.csv.read_csv(path)
    cell = np.array(table["battery"].to_pylist())
    result: dict[str, Any] = {}
    for name in np.unique(cell):
        mine = cell == name
        cycle, capacity = table["cycle_num"].to_numpy()[mine].astype(float), table["capacity_Ah"].to_numpy()[mine]
        below = np.flatnonzero(capacity < END_OF_LIFE_AH)
        if not len(below) or cycle[below[0]] < 30:
            continue
        end = cycle[below[0]]
        result[str(name)] = [_battery(cycle, capacity, end, left) for left in (60, 40, 20)]
    return result


def _battery(cycle: Any, capacity: Any, end: float, left: int) -> dict[str, Any]:
    known = cycle <= end - left
    passage = fit_wiener(cycle[known], capacity[known]).until(END_OF_LIFE_AH)
    low, median, high = (passage.quantile(share) for share in (0.05, 0.5, 0.95))
    return {
        "left": left, "median": median, "low": low, "high": high if np.isfinite(high) else None,
        "held": low <= left <= high,
    }  # fmt: skip


def bearings(path: Path) -> dict[str, Any]:
    """Return, for each channel, when it passed its limit, the lead time of the forecast and of its false calls.

    The limit is one and a half times the median of the channel's first day. A call is a chance above one half to reach
    it within a day; the lead is from the first call of the unbroken run that ends at the limit.
    """
    table = pyarrow.csv.read_csv(path)
    stamps = table["timestamp"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    return {
        name: _bearing(stamps, table[name].to_numpy().astype(float))
        for name in table.column_names
        if name != "timestamp"
    }


def _bearing(stamps: Any, value: Any) -> dict[str, Any]:
    day = stamps - stamps[0] < HEALTHY_HOURS * 3600e6
    limit = TIMES_HEALTHY * float(np.median(value[day]))
    state = ttl.start(1, MEMORY_S)
    zero, up, called = np.zeros(1, np.int64), np.ones(1, np.int64), []
    passed = int(np.argmax(np.convolve(value > limit, np.ones(3), "valid") == 3)) if (value > limit).any() else 0
    last = passed or len(value)
    for i in range(last):
        ttl.update(state, zero, stamps[i : i + 1], value[i : i + 1], np.ones(1, bool))
        said = ttl.forecast(state, zero, np.array([limit]), up, int(stamps[i]), WITHIN_S)
        called.append(bool(said.outlook[0] == ttl.Outlook.TOWARDS and said.probability[0] > 0.5))
    calls = np.array(called)
    quiet = np.flatnonzero(~calls)
    first = int(quiet[-1]) + 1 if len(quiet) else 0
    lead = (stamps[passed] - stamps[first]) / 3600e6 if passed and first < last else 0.0
    others = calls[:first] if passed else calls
    starts = int((np.diff(others.astype(int), prepend=0) == 1).sum())
    return {"limit_g": limit, "passed": bool(passed), "lead_h": float(lead), "calls_before": starts, "samples": last}

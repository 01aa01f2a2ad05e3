"""A small plant for the tests of the stream, and a log written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.events import AlarmTransition, Event, EventType
from anlan.core.quality import Quality
from anlan.core.time import SECOND
from anlan.plant.model import AlarmDefinition, Plant, Point, SiteInfo, Unit

START = 1_764_000_000 * SECOND
UNIT = "e/a/u"
A, B, C = 3, 7, 12
PATHS = {A: f"{UNIT}/level", B: f"{UNIT}/flow", C: "e/b/v/temperature"}
S = SECOND


def plant(*alarms: AlarmDefinition, numbers: tuple[int, ...] = (A, B, C), stale_after: int = 0) -> Plant:
    points = tuple(Point(n, PATHS[n], "level", "m", name=f"点{n}", stale_after=stale_after) for n in numbers)
    return Plant(SiteInfo("s", "站"), points=points, alarms=alarms, units=(Unit(UNIT), Unit("e/b/v")))


def limit(number: int, kind: str, value: float, priority: int = 1, **more: Any) -> AlarmDefinition:
    more.setdefault("time_to_act", 600 * S)
    return AlarmDefinition(f"{PATHS[number]}.{kind}", number, kind, priority, value, **more)


def batch(*rows: tuple[int, float, float] | tuple[int, float, float, int]) -> SampleBatch:
    """Return samples (point, seconds after START, value, quality)."""
    quality = [row[3] if len(row) > 3 else Quality.GOOD for row in rows]
    return SampleBatch(
        np.array([row[0] for row in rows], np.int32),
        np.array([START + round(row[1] * S) for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        np.array(quality, np.uint8),
    )


def header(received: float = 1e6) -> BatchHeader:
    return BatchHeader("n", START + round(received * S))


def transition(alarm: AlarmDefinition, at: float, arrow: str, state: str, **more: Any) -> Event:
    data: dict[str, Any] = {
        "alarm": alarm.id, "instance": "", "arrow": arrow, "state": state, "before": "normal",
        "point": alarm.point, "priority": alarm.priority,
    } | more  # fmt: skip
    assert set(data) <= set(AlarmTransition.__struct_fields__)
    return Event(f"{alarm.id}{at}", EventType.ALARM.value, "n", START + round(at * S), alarm.id, data=data)

"""Small plants for the tests: every kind of alarm, with and without delays, latching, covering, enabling."""

from __future__ import annotations

from typing import Any

import numpy as np

from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.time import SECOND
from anlan.plant.model import AlarmDefinition, ConnectorSpec, OperatorPosition, Plant, Point, SiteInfo

START = 1_764_000_000 * SECOND
A, B, C, D = 3, 7, 8, 12
"""Point numbers, with gaps; A has limits, B, C feed combinations, D is discrete."""

PATHS = {A: "e/a/u/a", B: "e/a/u/b", C: "e/b/u/c", D: "e/b/u/d"}


def point(number: int, **more: Any) -> Point:
    more.setdefault("stale_after", 5 * SECOND)
    return Point(number=number, path=PATHS[number], kind="level", unit="m", connector="dcs", **more)


def definition(number: int, kind: str, **more: Any) -> AlarmDefinition:
    more.setdefault("priority", 2)
    name = more.pop("name", "")
    path = PATHS[number]
    return AlarmDefinition(id=f"{path}.{kind}" + (f".{name}" if name else ""), point=number, kind=kind, **more)


def plant(*alarms: AlarmDefinition, **more: Any) -> Plant:
    more.setdefault("points", (point(A), point(B), point(C), point(D, states={0: "off", 1: "on", 2: "fault"})))
    more.setdefault("connectors", (ConnectorSpec("dcs", "opcua", map={PATHS[A]: "a"}),))
    more.setdefault(
        "positions",
        (OperatorPosition("board-a", scope=("e/a",)), OperatorPosition("board-b", scope=("e/b",))),
    )
    return Plant(site=SiteInfo(id="s", name="站"), alarms=alarms, **more)


def every_kind() -> Plant:
    s = SECOND
    return plant(
        definition(A, "HH", limit=20.0, deadband=1.0, latched=True, priority=1),
        definition(A, "H", limit=10.0, deadband=2.0, on_delay=2 * s, off_delay=3 * s, covered_by=("e/a/u/a.HH",)),
        definition(A, "L", limit=0.0, deadband=1.0, off_delay=1 * s, covered_by=("e/a/u/a.LL",), priority=3),
        definition(A, "LL", limit=-10.0, on_delay=1 * s, priority=1),
        definition(A, "stale"),
        definition(A, "bad-quality", on_delay=2 * s, priority=4),
        definition(B, "H", limit=10.0, on_delay=1 * s, enable="'e/b/u/d' == 1"),
        definition(B, "rate", limit=5.0, deadband=1.0, off_delay=2 * s),
        definition(B, "deviation", other=C, limit=5.0, deadband=1.0, on_delay=1 * s),
        definition(B, "stale", limit=3.0, on_delay=1 * s, latched=True),
        definition(C, "vote", inputs=(A, B, C), needed=2, limit=10.0, deadband=1.0, on_delay=1 * s),
        definition(C, "expression", expression="'e/a/u/a' > 5 and 'e/a/u/b' < 5", off_delay=1 * s, latched=True),
        definition(C, "bad-quality"),
        definition(D, "state", states=(0, 2), on_delay=1 * s, covered_by=("e/a/u/a.HH",)),
    )


def batch(rows: list[tuple[int, int, float, int]]) -> SampleBatch:
    """Rows of (point number, µs since START, value, quality)."""
    return SampleBatch(
        np.array([row[0] for row in rows], np.int32),
        np.array([START + row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        np.array([row[3] for row in rows], np.uint8),
    )


def header(received: int) -> BatchHeader:
    return BatchHeader(node="test", received=START + received)

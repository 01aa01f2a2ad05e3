"""Models for the tests of the stream: one of each kind over the small plant, and a log that makes them speak."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from anlan.core.batch import SampleBatch
from anlan.core.events import Event
from anlan.core.quality import Quality
from anlan.science.detection.ensemble import Settings, fit
from anlan.science.detection.protocol import Table
from anlan.warn.features.library import Library, read
from anlan.warn.model import Finding, ModelKind, WarningModel
from anlan.warn.stream.engine import WarnEngine
from tests.warn.stream.plants import PATHS, START, A, B, C, S, batch, header, limit, plant, transition

HIGH = limit(A, "H", 16.0, 2)
HIGHEST = limit(A, "HH", 20.0, 1)
PLANT = plant(HIGH, HIGHEST, stale_after=20 * S)

FEATURES = """
- id: test.gap
  zh: 液位与流量之差
  en: Level less flow
  meaning_zh: 仅供测试
  meaning_en: for the tests
  inputs:
    level: {kind: level, match: level, unit: m}
    flow: {kind: level, match: flow, unit: m}
  expression: level - flow
  step: 1
  unit: m
  grades: {blue: 2, orange: 5}
  action_zh: 检查
  action_en: check
  source: test
  tests:
    - series: {level: [[3, 9]], flow: [[1, 9]]}
      expect: [{at: -1, value: 2}]
"""


@cache
def library() -> Library:
    return Library(read(FEATURES, "features.yaml"))


@cache
def detector_file() -> bytes:
    """Return a detector of level, flow and temperature as they are in normal running, ten-second means."""
    values = normal(600, 7).reshape(60, 10, 3).mean(axis=1)
    values = np.concatenate([normal(10, seed).mean(axis=0, keepdims=True) for seed in range(200)] + [values])
    time = START - (len(values) - np.arange(len(values))) * 10 * S
    names = (PATHS[A], PATHS[B], PATHS[C])
    return fit(Table(names, time, values), Settings(0.001, members=("lagged_t2",))).encode(model_id="normal")


def normal(count: int, seed: int) -> np.ndarray[Any, Any]:
    return np.array([10.0, 10.0, 50.0]) + 0.1 * np.random.default_rng(seed).standard_normal((count, 3))


MODELS = (
    WarningModel("gap", ModelKind.FEATURE, features=("test.gap",), step=S, on_steps=3, off_steps=5),
    WarningModel("normal", ModelKind.DETECTOR, grades={"blue": 1e-3, "red": 1e-6}, on_steps=2, off_steps=3),
    WarningModel("predicted-alarm", ModelKind.TREND, on_steps=2, off_steps=3),
)


def engine(models: tuple[WarningModel, ...] = MODELS, the_plant: Any = PLANT) -> WarnEngine:
    return WarnEngine(the_plant, models, library(), {("normal", 1): detector_file()}, "n")


class Record(NamedTuple):
    """A record of the log: a batch, a tick (seconds after START) or an alarm's event."""

    batch: SampleBatch | None = None
    tick: float | None = None
    event: Event | None = None


def log(seconds: int, seed: int = 1) -> list[Record]:
    """Return a log: normal, then the level creeps up, with a bad spell, a late batch, an alarm and a silence."""
    values = normal(seconds, seed)
    values[:, 0] += np.maximum(np.arange(seconds) - 120, 0) * 0.02
    records: list[Record] = []
    for second in range(seconds):
        if 300 <= second < 330:
            continue
        quality = Quality.BAD_SENSOR if 200 <= second < 203 else Quality.GOOD
        rows = [(number, second + 0.5, float(v), quality) for number, v in zip((A, B, C), values[second], strict=True)]
        if second % 50 == 49:
            rows.append((B, second - 30.25, 10.0, Quality.GOOD))
        records.append(Record(batch=batch(*rows)))
        if second == 420:
            records.append(Record(event=transition(HIGH, 420.0, "raise", "unacknowledged")))
        records += [Record(tick=second + part / 4) for part in range(4)]
    return records


def play(records: list[Record], to: WarnEngine, first: int = 1) -> Iterator[Finding]:
    for sequence, record in enumerate(records, first):
        if record.batch is not None:
            to.take(record.batch, header(), sequence)
        elif record.event is not None:
            to.alarm(record.event, sequence)
        elif record.tick is not None:
            yield from to.tick(START + round(record.tick * S), sequence)

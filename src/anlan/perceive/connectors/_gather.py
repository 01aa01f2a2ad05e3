"""Gathers single samples to columns, so that a connector hands over batches and never one object a sample."""

from __future__ import annotations

import asyncio
import math

import numpy as np

from anlan.core.batch import SampleBatch
from anlan.core.quality import Quality
from anlan.perceive.connector import Context

_NAN = int(Quality.BAD_NOT_A_NUMBER)


class Gather:
    """Columns that grow by single samples and become a ``SampleBatch``."""

    def __init__(self) -> None:
        self._point: list[int] = []
        self._time: list[int] = []
        self._value: list[float] = []
        self._quality: list[int] = []

    def __len__(self) -> int:
        return len(self._point)

    def add(self, point: int, time: int, value: float, quality: int = 0) -> None:
        """Add one sample; a good value that is not a finite number is marked, and kept as it is."""
        if quality < 0x80 and not math.isfinite(value):
            quality = _NAN
        self._point.append(point)
        self._time.append(time)
        self._value.append(value)
        self._quality.append(quality)

    def batch(self) -> SampleBatch:
        """Return what was gathered and start anew."""
        batch = SampleBatch(
            np.array(self._point, np.int32),
            np.array(self._time, np.int64),
            np.array(self._value, np.float64),
            np.array(self._quality, np.uint8),
        )
        self._point, self._time, self._value, self._quality = [], [], [], []
        return batch

    def emit(self, context: Context) -> asyncio.Future[None] | None:
        """Hand what was gathered to the context; None when there was nothing."""
        return context.emit(self.batch()) if self._point else None

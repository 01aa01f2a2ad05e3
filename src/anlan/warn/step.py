"""One step of the grid on which features and detectors run: what every point did in it, as arrays.

The stream and history both come through here, so that a feature or a detector cannot tell one from the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.core.time import SECOND

Floats = NDArray[np.float64]

STEP_US = SECOND
"""Length of a base step; features and detectors of longer steps gather several."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happened from ``time - STEP_US`` (exclusive) to ``time`` (inclusive), µs UTC, by source time.

    Every array has one entry per point, in the order of ``Plant.points``.

    Attributes:
        time: end of the step, µs UTC, a multiple of ``STEP_US``.
        last: last good value at or before ``time``; NaN when there is none or it is stale or bad.
        mean, low, high: of the good samples in the step; ``last`` held when there were none.
        count: good samples in the step, int32.
        bad: the newest sample is of bad quality, or the point is stale, bool.
        changed: source time of the newest good sample, µs UTC, 0 when there was none yet, int64.
        raised: alarms rung in the step at the point, int32.
        active: priority of the most urgent active alarm at the point (1 critical … 4 low), 0 when none, int8.
    """

    time: int
    last: Floats
    mean: Floats
    low: Floats
    high: Floats
    count: NDArray[np.int32]
    bad: NDArray[np.bool_]
    changed: NDArray[np.int64]
    raised: NDArray[np.int32]
    active: NDArray[np.int8]

"""How well alarms were: detection, delay, false alarms, F1, lead time. Row by row; no point adjustment anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anlan.science.detection.protocol import Times

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FaultResult:
    """One fault in one run.

    Attributes:
        detection: share of the rows with the fault that alarm.
        delay: rows from the first with the fault to the first that alarms; all of them when none does.
        delay_three: the same to the first of three rows in a row that alarm, which one chance alarm cannot shorten.
        found: whether any row with the fault alarms.
        false_alarm: share of the rows before the fault that alarm; NaN when there are none.
    """

    detection: float
    delay: int
    delay_three: int
    found: bool
    false_alarm: float


def judge_fault(alarm: Bools, fault: Bools) -> FaultResult:
    """Return how a run with one fault was seen.

    Args:
        alarm: shape (rows,).
        fault: the fault is active, shape (rows,).
    """
    during, before = alarm[fault], alarm[~fault]
    found = bool(during.any())
    three = during[:-2] & during[1:-1] & during[2:]
    return FaultResult(
        float(during.mean()) if len(during) else float("nan"),
        int(np.argmax(during)) if found else len(during),
        int(np.argmax(three)) if three.any() else len(during),
        found,
        float(before.mean()) if len(before) else float("nan"),
    )


@dataclass(frozen=True, slots=True)
class Rates:
    """Pooled row rates, each between 0 and 1: F1, false alarms over normal rows, missed over anomalous rows."""

    f1: float
    false_alarm: float
    missed: float


def judge_rows(alarm: Bools, anomaly: Bools) -> Rates:
    """Return F1, FAR and MAR of pooled rows, as the SKAB leaderboard does."""
    hit = int((alarm & anomaly).sum())
    false, missed = int((alarm & ~anomaly).sum()), int((~alarm & anomaly).sum())
    normal, anomalous = max(int((~anomaly).sum()), 1), max(int(anomaly.sum()), 1)
    return Rates(2 * hit / max(2 * hit + false + missed, 1), false / normal, missed / anomalous)


@dataclass(frozen=True, slots=True)
class WindowResult:
    """One labelled window.

    Attributes:
        found: some row in the window alarms.
        lead: time from the first alarm in the window to the label; negative when the alarm came after it.
        share: share of the window's rows that alarm.
    """

    found: bool
    lead: float
    share: float


def judge_window(time: Times, alarm: Bools, window: tuple[int, int], label: int) -> WindowResult | None:
    """Return how a labelled window was seen, or ``None`` when no row lies in it.

    Args:
        time: of the rows.
        alarm: shape (rows,).
        window: first and last time of the window.
        label: time of the failure.
    """
    inside = (time >= window[0]) & (time <= window[1])
    if not inside.any():
        return None
    alarms = np.flatnonzero(alarm & inside)
    lead = float(label - time[alarms[0]]) if len(alarms) else float("nan")
    return WindowResult(len(alarms) > 0, lead, float(alarm[inside].mean()))


def nab_sigmoid(position: float) -> float:
    """Return NAB's reward of the first alarm of a window: 2 / (1 + e^(5 y)) - 1, y from -1 (start) to 0 (end).

    Source: Lavin & Ahmad, ICMLA 2015, equation 1.
    """
    return float(2 / (1 + np.exp(5 * position)) - 1)


def episodes(alarm: Bools) -> int:
    """Return how many separate alarms there are: runs of rows that alarm."""
    return int(np.count_nonzero(np.diff(alarm.astype(np.int8)) == 1)) + int(len(alarm) > 0 and alarm[0])

"""Units that were changed half-way: the signals jump back from worn to new, and stay there."""

from __future__ import annotations

import numpy as np

from anlan.science.detection.protocol import Floats, Notes
from anlan.science.prognosis.features import Ints, Windows
from anlan.science.prognosis.normalise import Normaliser
from anlan.science.prognosis.runs import Runs

_SIDE = 10
_SUDDEN = 3
_WORN = 8.0
_BACK = 0.6


def cut_replaced(runs: Runs, normaliser: Normaliser, windows: Windows, notes: Notes) -> tuple[Runs, Ints]:
    """Return the runs with the rows before the last replacement of each unit left out, and where each kept row stood.

    A replacement is a jump of the signals that undoes most of the wear since new within a few rows.

    Args:
        runs: units.
        normaliser: gives the signals.
        windows: their stretch sets how many rows before and after are compared.
        notes: takes a sentence for each unit that was changed.
    """
    signals = normaliser.normalised(runs)[0] @ normaliser.directions
    side = max(_SIDE, round(_SIDE * windows.stretch))
    keep = np.ones(len(runs), dtype=np.bool_)
    starts = [0]
    for number, unit in enumerate(runs.units):
        first, end = int(runs.starts[number]), int(runs.starts[number + 1])
        at = _replaced(signals[first:end], side)
        if at:
            keep[first : first + at] = False
            notes.add(
                f"unit {unit} was changed half-way: its sensors jump back to new at cycle {runs.cycle[first + at]:g}; "
                "only the rows from there count"
            )
        starts.append(starts[-1] + end - first - at)
    rows = np.flatnonzero(keep).astype(np.int64)
    if len(rows) == len(runs):
        return runs, rows
    cut = Runs(
        runs.units, np.array(starts, np.int64), runs.cycle[rows], runs.setting_names, runs.sensor_names,
        runs.settings[rows], runs.sensors[rows],
    )  # fmt: skip
    return cut, rows


def _replaced(signals: Floats, side: int) -> int:
    """Return the row of the last replacement, or 0."""
    count = len(signals)
    if count < 3 * side:
        return 0
    total = np.concatenate([np.zeros((1, signals.shape[1])), np.cumsum(signals, axis=0)])
    at = np.arange(2 * side, count - side + 1)
    new = total[side] / side
    before = (total[at] - total[at - side]) / side
    after = (total[at + side] - total[at]) / side
    wear = before - new
    worn = (wear**2).sum(axis=1)
    undone = -((after - before) * wear).sum(axis=1) / np.maximum(worn, 1e-12)
    # In units of the noise a difference of two means of `side` rows has variance 2 / side in each signal.
    noise = 2.0 * signals.shape[1] / side
    jumps = np.flatnonzero((worn > _WORN**2 * noise) & (undone > _BACK))
    if not len(jumps):
        return 0
    last = jumps[jumps > jumps[-1] - side]
    found = int(at[last[np.argmax(undone[last])]])
    # A slow recovery is no replacement: most of the jump happens between neighbouring rows.
    near_before = signals[max(0, found - _SUDDEN) : found].mean(axis=0) - new
    near_after = signals[found : found + _SUDDEN].mean(axis=0) - new
    gone = 1.0 - float(near_after @ near_before) / max(float(near_before @ near_before), 1e-12)
    return found if gone > _BACK / 2 else 0

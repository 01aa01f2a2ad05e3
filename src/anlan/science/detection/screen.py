"""Training data that contain the fault: rows unlike all the rest, found before anything is fitted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anlan.science.detection.covariance import blocks_of, fit_gaussian
from anlan.science.detection.prepare import CLIP, LEAST_ROWS, robust_scale
from anlan.science.detection.protocol import Floats, Notes, Table

LIMIT = 6.0
"""Robust standard deviations (of the cube root of T²) beyond which a training row does not look like the others."""
LEAST_RUN = 5
"""Only rows among at least so many in ten are left out: a few wild readings are part of normal running."""
MOST = 0.2
BLOCKS = 10


def leave_out_faults(
    train: Table, runs: NDArray[np.int64] | None, notes: Notes
) -> tuple[Table, NDArray[np.int64] | None]:
    """Return the training table without the rows that look like a fault, and the runs, cut where rows were left out.

    Args:
        train: training rows.
        runs: run of each row, or ``None`` for one run.
        notes: takes how much was left out, or that too much looks unusual to leave it out.
    """
    values = train.values
    with np.errstate(all="ignore"):
        spread = np.nanmax(values, axis=0) - np.nanmin(values, axis=0) if len(train) else np.zeros(values.shape[1])
    varying = np.isfinite(values).any(axis=0) & (spread > 0)
    if len(train) < LEAST_ROWS or not varying.any():
        return train, runs
    center, scale = robust_scale(values[:, varying])
    unlike = unlike_rows(np.nan_to_num(np.clip((values[:, varying] - center) / scale, -CLIP, CLIP)))
    if not unlike.any():
        return train, runs
    if unlike.mean() > MOST:
        notes.add(
            f"{unlike.mean():.0%} of the training rows are unlike the rest: "
            "if they hold a fault it will not be seen; train on normal running only"
        )
        return train, runs
    first = int(np.flatnonzero(unlike)[0])
    notes.add(f"{int(unlike.sum())} training rows from row {first + 1} on look like a fault and are left out")
    cut = np.cumsum(unlike)[~unlike]
    before = np.zeros(len(train), np.int64) if runs is None else np.asarray(runs)
    pairs = np.stack((before[~unlike], cut), axis=1)
    numbers = np.concatenate(([0], np.cumsum((np.diff(pairs, axis=0) != 0).any(axis=1)))).astype(np.int64)
    return Table(train.names, train.time[~unlike], values[~unlike]), numbers


def unlike_rows(values: Floats) -> NDArray[np.bool_]:
    """Return the training rows that look like a fault, judged by the rows outside their own block.

    T² of each row by the covariance of the other nine tenths, robustly centred so that a fault elsewhere weighs little.

    Args:
        values: training rows, robustly scaled, no NaN, shape (rows, variables).
    """
    bounded = np.clip(values, -5.0, 5.0)
    score = np.empty(len(values))
    for start, end in blocks_of(len(values), BLOCKS):
        gaussian = fit_gaussian(np.concatenate((bounded[:start], bounded[end:])))
        white = (values[start:end] - gaussian.mean) @ gaussian.whitening.T
        score[start:end] = np.cbrt((white**2).sum(axis=1))
    center = np.median(score)
    spread = 1.4826 * np.median(np.abs(score - center))
    far = score > center + LIMIT * max(float(spread), 1e-9)
    near = np.convolve(far, np.ones(10), mode="same") >= LEAST_RUN
    return np.asarray(near)

"""Recurrences over rows, compiled, each with the plain NumPy form that tests hold it against."""

from __future__ import annotations

import numba
import numpy as np

from anlan.science.detection.protocol import Floats

CUSUM_CAP = 60.0
"""A sum grows no further: else an alarm would last as long after a fault as the fault did."""


@numba.njit(cache=True)
def _ewma(values, weights, level, out):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    for row in range(values.shape[0]):
        for j in range(values.shape[1]):
            value = values[row, j]
            for k in range(weights.shape[0]):
                if np.isfinite(value):
                    level[j, k] += weights[k] * (value - level[j, k])
                out[row, j, k] = level[j, k]


def ewma(values: Floats, weights: Floats, level: Floats) -> tuple[Floats, Floats]:
    """Return exponentially weighted means (Roberts, Technometrics 1, 1959) and their last levels.

    Args:
        values: shape (rows, series); NaN leaves a level as it is.
        weights: of the newest value, one a scale, shape (scales,).
        level: before the first row, shape (series, scales).

    Returns:
        Means, shape (rows, series, scales), and the new level.
    """
    out = np.empty((*values.shape, len(weights)))
    level = level.copy()
    _ewma(np.ascontiguousarray(values), weights, level, out)
    return out, level


def ewma_reference(values: Floats, weights: Floats, level: Floats) -> tuple[Floats, Floats]:
    """Return what ``ewma`` returns, row by row in NumPy."""
    out = np.empty((*values.shape, len(weights)))
    for row, value in enumerate(values):
        step = weights[None, :] * (value[:, None] - level)
        level = np.where(np.isfinite(step), level + step, level)
        out[row] = level
    return out, level


@numba.njit(cache=True)
def _cusum(values, allowances, sums, out):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    for row in range(values.shape[0]):
        for j in range(values.shape[1]):
            value = values[row, j]
            for k in range(allowances.shape[0]):
                if np.isfinite(value):
                    sums[j, k] = min(max(0.0, sums[j, k] + value - allowances[k]), CUSUM_CAP)
                out[row, j, k] = sums[j, k]


def cusum(values: Floats, allowances: Floats, sums: Floats) -> tuple[Floats, Floats]:
    """Return one-sided upper CUSUMs (Page, Biometrika 41, 1954), capped, and their last sums.

    Args:
        values: standardised, shape (rows, series); NaN leaves a sum as it is.
        allowances: subtracted from each value, one a scale, shape (scales,).
        sums: before the first row, shape (series, scales).
    """
    out = np.empty((*values.shape, len(allowances)))
    sums = sums.copy()
    _cusum(np.ascontiguousarray(values), allowances, sums, out)
    return out, sums


def cusum_reference(values: Floats, allowances: Floats, sums: Floats) -> tuple[Floats, Floats]:
    """Return what ``cusum`` returns, row by row in NumPy."""
    out = np.empty((*values.shape, len(allowances)))
    for row, value in enumerate(values):
        step = np.clip(sums + value[:, None] - allowances[None, :], 0.0, CUSUM_CAP)
        sums = np.where(np.isfinite(value)[:, None], step, sums)
        out[row] = sums
    return out, sums

"""Features of a unit's history at each of its cycles: windows, slopes, exponential growth, change since new.

All are causal: row t uses rows up to t of its unit only, so that every row of a run-to-failure table is one more
training example of a life cut off there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.science.detection.protocol import Floats

Ints = NDArray[np.int64]

WINDOWS = (5, 10, 20, 40, 80)
GROWTH = (10.0, 20.0, 40.0, 80.0)
SMOOTHING = (0.1, 0.05)
NEW = 20

PER_CHANNEL = 2 * len(WINDOWS) + len(GROWTH) + len(SMOOTHING) + 1

_SLOPE_RIDGE = 50.0


@dataclass(frozen=True, slots=True)
class Windows:
    """Lengths of the windows in cycles; ``stretch`` fits those meant for lives of some 200 cycles to longer ones."""

    stretch: float = 1.0

    def features(self, channels: Floats, starts: Ints) -> Floats:
        """Return the features of every row.

        Args:
            channels: normalised signals without gaps, shape (rows, channels).
            starts: first row of each unit and the number of rows, shape (units + 1,).

        Returns:
            shape (rows, channels * PER_CHANNEL + 1): for each channel means and slopes of ``WINDOWS`` in turn, size of
            exponential growth with each constant of ``GROWTH``, means with exponential forgetting, change since new; at
            the end the age in rows.
        """
        windows = np.maximum(2, np.round(np.array(WINDOWS) * self.stretch)).astype(np.int64)
        ridge = _SLOPE_RIDGE * self.stretch**3
        growth = np.array(GROWTH) * self.stretch
        smoothing = np.array(SMOOTHING) / self.stretch
        new = max(2, round(NEW * self.stretch))
        channels = np.ascontiguousarray(channels)
        out = np.empty((len(channels), channels.shape[1] * PER_CHANNEL + 1))
        _features(channels, np.asarray(starts), windows, ridge, growth, smoothing, new, out)
        return out


def columns(kinds: list[int], channels: int) -> Ints:
    """Return the feature columns of some kinds (positions within ``PER_CHANNEL``) for all channels, and the age."""
    chosen = [channel * PER_CHANNEL + kind for channel in range(channels) for kind in kinds]
    return np.array([*chosen, channels * PER_CHANNEL], dtype=np.int64)


def mean_of(window: int) -> int:
    """Return the position of the mean over ``WINDOWS[window]`` within a channel's features."""
    return 2 * window


def slope_of(window: int) -> int:
    """Return the position of the slope over ``WINDOWS[window]`` within a channel's features."""
    return 2 * window + 1


def growth_of(constant: int) -> int:
    """Return the position of the exponential growth of ``GROWTH[constant]`` within a channel's features."""
    return 2 * len(WINDOWS) + constant


CHANGE = PER_CHANNEL - 1
"""Position of the change since new within a channel's features."""


@numba.njit(cache=True)
def _features(channels, starts, windows, ridge, growth, smoothing, new, out):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    per = 2 * len(windows) + len(growth) + len(smoothing) + 1
    for unit in range(len(starts) - 1):
        first, end = starts[unit], starts[unit + 1]
        for channel in range(channels.shape[1]):
            at = channel * per
            _window_features(channels[first:end, channel], windows, ridge, out[first:end], at)
            at += 2 * len(windows)
            _growth_features(channels[first:end, channel], growth, out[first:end], at)
            at += len(growth)
            _level_features(channels[first:end, channel], smoothing, new, out[first:end], at)
        for i in range(first, end):
            out[i, channels.shape[1] * per] = i - first + 1


@numba.njit(cache=True)
def _window_features(y, windows, ridge, out, at):  # type: ignore[no-untyped-def]  # compiled, as above
    n = len(y)
    total, moment = np.zeros(n + 1), np.zeros(n + 1)
    for k in range(n):
        total[k + 1] = total[k] + y[k]
        moment[k + 1] = moment[k] + y[k] * k
        for j in range(len(windows)):
            w = min(windows[j], k + 1)
            low = k + 1 - w
            mean = (total[k + 1] - total[low]) / w
            middle = (low + k) / 2.0
            out[k, at + 2 * j] = mean
            # The ridge keeps the slope of the first few cycles from being mere noise.
            product = (moment[k + 1] - moment[low]) - middle * w * mean
            out[k, at + 2 * j + 1] = product / (w * (w * w - 1) / 12.0 + ridge)


@numba.njit(cache=True)
def _growth_features(y, growth, out, at):  # type: ignore[no-untyped-def]  # compiled, as above
    """Least squares of y = c + A exp((k - now) / constant) over the whole life so far; A is the growth."""
    for j in range(len(growth)):
        d = np.exp(-1.0 / growth[j])
        e, ee, ey, total = 0.0, 0.0, 0.0, 0.0
        for k in range(len(y)):
            e, ee, ey, total = e * d + 1.0, ee * d * d + 1.0, ey * d + y[k], total + y[k]
            out[k, at + j] = (ey - e * total / (k + 1)) / (ee - e * e / (k + 1) + 0.5)


@numba.njit(cache=True)
def _level_features(y, smoothing, new, out, at):  # type: ignore[no-untyped-def]  # compiled, as above
    n = len(smoothing)
    base = 0.0
    for k in range(len(y)):
        for j in range(n):
            before = out[k - 1, at + j] if k > 0 else y[k]
            out[k, at + j] = before + smoothing[j] * (y[k] - before)
        if k < new:
            base += (y[k] - base) / (k + 1)
        out[k, at + n] = out[k, at + n - 1] - base

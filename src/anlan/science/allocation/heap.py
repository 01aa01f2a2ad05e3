"""A binary heap of (key, number) in two arrays, compiled."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def push(keys, items, size, key, item):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Return the arrays, perhaps grown, with one more entry."""
    if size == keys.shape[0]:
        keys = np.concatenate((keys, np.empty_like(keys)))
        items = np.concatenate((items, np.empty_like(items)))
    place = size
    while place > 0:
        above = (place - 1) >> 1
        if keys[above] <= key:
            break
        keys[place] = keys[above]
        items[place] = items[above]
        place = above
    keys[place] = key
    items[place] = item
    return keys, items


@numba.njit(cache=True)
def drop_first(keys, items, size):  # type: ignore[no-untyped-def]  # compiled: types follow from the arrays
    """Remove the least entry (read it at index 0 before); ``size`` is the number before."""
    size -= 1
    key, item = keys[size], items[size]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[place] = keys[below]
        items[place] = items[below]
        place = below
    keys[place] = key
    items[place] = item

"""What a fit or a score should tell its user: training rows unlike the rest, readings far from what was trained on."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from anlan.science.detection.protocol import Floats, Table

_BLOCKS = 50
_BLOCK_ROWS = 10
_KEPT = 0.7
_MOST_SHRINKAGE = 0.1
_FACTOR = 4.0
_CLIP = 30.0
_REFITS = 3
_FAR = 1.0
_WIDER = 1.0
_UNIT_SHARE = 0.5


def audit_training(table: Table, run: NDArray[np.int64], row: NDArray[np.int64]) -> list[str]:
    """Return notes on stretches of the training rows that are unlike the rest, such as a fault in them.

    The rows are cut in blocks; a normal distribution is fitted on the 70 % of blocks nearest to it, again and again
    (concentration steps as in Rousseeuw & Van Driessen, Technometrics 41, 1999), and a block whose mean T² is more than
    four times the median block's is named with the variable that is furthest off. Where most of the rows are faulty
    nothing can be told.

    Args:
        table: training rows.
        run: run of each row; a block does not reach over two.
        row: number of each row in its file, for the notes.
    """
    values = table.values
    varying = np.nanmax(values, axis=0, initial=-np.inf) > np.nanmin(values, axis=0, initial=np.inf)
    names = [name for name, varies in zip(table.names, varying, strict=True) if varies]
    values = values[:, varying]
    if len(values) < 6 * _BLOCK_ROWS or not names:
        return []
    middle = np.nanmedian(values, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(values - middle), axis=0)
    deviation = np.nanstd(values, axis=0)
    spread = np.where(spread > 0.1 * deviation, spread, deviation)
    scaled = np.clip(np.nan_to_num((values - middle) / spread), -_CLIP, _CLIP)
    blocks = _blocks(run)
    distance, mean = _block_distances(scaled, blocks)
    limit = _FACTOR * float(np.median(distance))
    odd = distance > limit
    notes = []
    for first, last in _stretches(odd, [run[start] for start, _ in blocks]):
        start, end = blocks[first][0], blocks[last][1]
        off = scaled[start:end].mean(axis=0) - mean
        worst = int(np.abs(off).argmax())
        how = f"{names[worst]} is {off[worst]:+.1f} standard deviations off"
        if abs(off[worst]) < _FAR:
            how = "no level is far off, but the readings do not move together as elsewhere"
        notes.append(
            f"training rows {row[start]} to {row[end - 1]} are unlike the rest ({how}): if that is a fault, fit again "
            "without them, or part of it may count as normal"
        )
    return notes


def _blocks(run: NDArray[np.int64]) -> list[tuple[int, int]]:
    length = max(_BLOCK_ROWS, len(run) // _BLOCKS)
    edges = [0, *(int(at) + 1 for at in np.flatnonzero(np.diff(run))), len(run)]
    blocks = []
    for start, end in itertools.pairwise(edges):
        count = max(1, (end - start) // length)
        cuts = np.linspace(start, end, count + 1).astype(int)
        blocks += [(int(a), int(b)) for a, b in itertools.pairwise(cuts)]
    return blocks


def _block_distances(scaled: Floats, blocks: list[tuple[int, int]]) -> tuple[Floats, Floats]:
    """Return the mean T² of each block and the mean of the rows it was measured from."""
    distance = np.array([(scaled[start:end] ** 2).mean() for start, end in blocks])
    kept = max(2, int(_KEPT * len(blocks)))
    mean = scaled.mean(axis=0)
    for _ in range(_REFITS):
        good = np.concatenate([scaled[slice(*blocks[number])] for number in np.argsort(distance)[:kept]])
        mean = good.mean(axis=0)
        covariance = np.cov(good, rowvar=False).reshape(len(mean), len(mean))
        diagonal = np.diag(np.maximum(np.diag(covariance), 1e-6))
        shrinkage = min(_MOST_SHRINKAGE, len(mean) / len(good))
        precision = np.linalg.inv((1 - shrinkage) * covariance + shrinkage * diagonal)
        centered = scaled - mean
        squared = np.einsum("ij,jk,ik->i", centered, precision, centered)
        distance = np.array([squared[start:end].mean() for start, end in blocks])
    return distance, mean


def _stretches(odd: NDArray[np.bool_], run: list[np.int64]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in np.flatnonzero(odd):
        if found and found[-1][1] == number - 1 and run[number] == run[number - 1]:
            found[-1] = (found[-1][0], int(number))
        else:
            found.append((int(number), int(number)))
    return found


def outside_training(table: Table, validity: dict[str, tuple[float, float]]) -> list[str]:
    """Return notes on variables most of whose readings lie far outside what the model was trained on.

    Args:
        table: rows to be scored.
        validity: lowest and highest training value by variable.
    """
    notes = []
    for name, (low, high) in validity.items():
        if name not in table.names:
            continue
        column = table.values[:, table.names.index(name)]
        there = column[np.isfinite(column)]
        width = _WIDER * (high - low)
        far = (there < low - width) | (there > high + width)
        if len(there) and far.mean() > _UNIT_SHARE:
            typical = float(np.median(there))
            notes.append(
                f"{name}: {far.mean():.0%} of the readings (typically {typical:.4g}) lie far outside the training "
                f"({low:.4g} to {high:.4g}): another unit, another plant or a lasting change; scores say only 'unlike'"
            )
        elif not len(there):
            notes.append(f"{name}: every reading is missing")
    return notes

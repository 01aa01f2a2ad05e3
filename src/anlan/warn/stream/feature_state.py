"""What risk features remember, carried over to another plant: each binding that stays keeps its own rows.

A changed plant binds other features in another order; baselines that took days to learn must outlive it. Only what one
binding alone owns is carried; what was gathered since a cadence began (a minute at most) begins anew.
"""

from __future__ import annotations

import numpy as np

from anlan.science.model_file import Arrays
from anlan.warn.features.engine import FeatureEngine, State

_PER_BLOCK = ("s", "ring")
_PER_GROUP = ("since", "x")


def keys_of(engine: FeatureEngine) -> list[str]:
    """Return what tells each bound feature from all others: feature, place, machine and inputs."""
    return [
        f"{bound.feature.id} {bound.path} {bound.equipment} {sorted(engine.inputs(row).items())}"
        for row, bound in enumerate(engine.bound)
    ]


def carry(engine: FeatureEngine, keys: list[str], arrays: Arrays) -> State:
    """Return a state of ``engine`` with the rows of every binding that was there before.

    Args:
        engine: bound to the new plant.
        keys: of the bindings the arrays are of, in their order.
        arrays: ``State.snapshot`` of then.
    """
    state = engine.start()
    before = {key: row for row, key in enumerate(keys)}
    origin = np.array([before.get(key, -1) for key in keys_of(engine)], np.int64)
    state.time = int(arrays["time"][0])
    kept = np.flatnonzero(origin >= 0)
    state.values[kept] = arrays["values"][origin[kept]]
    state.codes[kept] = arrays["codes"][origin[kept]].astype(np.int64)
    places = _places(arrays)
    for group in engine.groups:
        for name in _PER_GROUP:
            rows = range(group.start, group.end)
            _copy(state.arrays[f"{group.cadence}.{name}"], name, rows, origin, places, arrays)
        for block in group.blocks:
            rows = range(group.start + block.start, group.start + block.end)
            for name in _PER_BLOCK:
                target = state.arrays[f"{group.cadence}.{block.method}.{block.start}.{name}"]
                _copy(target, f"{block.method}.{name}", rows, origin, places, arrays)
    return state


def _places(arrays: Arrays) -> dict[tuple[str, int], tuple[str, int]]:
    """Return the array and row that hold (what, bound feature) in a snapshot."""
    places: dict[tuple[str, int], tuple[str, int]] = {}
    start = 0
    for cadence in sorted(int(name.split(".")[0]) for name in arrays if name.endswith(".since")):
        size = len(arrays[f"{cadence}.since"])
        for name in _PER_GROUP:
            places |= {(name, start + row): (f"{cadence}.{name}", row) for row in range(size)}
        for name, array in arrays.items():
            parts = name.split(".")
            if len(parts) == 4 and parts[0] == str(cadence) and parts[3] in _PER_BLOCK:
                first = start + int(parts[2])
                places |= {(f"{parts[1]}.{parts[3]}", first + row): (name, row) for row in range(len(array))}
        start += size
    return places


def _copy(
    target: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    what: str,
    rows: range,
    origin: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    places: dict[tuple[str, int], tuple[str, int]],
    arrays: Arrays,
) -> None:
    for place, row in enumerate(rows):
        found = places.get((what, int(origin[row])))
        if found is not None and arrays[found[0]][found[1]].shape == target[place].shape:
            target[place] = arrays[found[0]][found[1]]

"""Says which inputs made a feature what it is: each put back to its usual value, how far would the formula move?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from anlan.warn.features import gather
from anlan.warn.features.layout import Group, slot_names
from anlan.warn.model import Contribution

if TYPE_CHECKING:
    from anlan.warn.features.engine import FeatureEngine, State
    from anlan.warn.step import Floats

_MOST = 8


def contributions(engine: FeatureEngine, state: State, index: int) -> tuple[Contribution, ...]:
    """Return the points of bound feature ``index``, largest share first, at most eight.

    The share of an input is how far the formulas move when it alone goes back to its usual value, over the sum of all.
    """
    one = engine.bound[index]
    group = next(group for group in engine.groups if group.start <= index < group.end)
    names = slot_names(one.feature)
    base = int(group.base[index - group.start])
    span = slice(base, base + len(names))
    slots = state.arrays[f"{group.cadence}.slots"][span]
    usual = state.arrays[f"{group.cadence}.usual"][:, span]
    moved = _moved(group, index - group.start, slots, usual)
    total = moved.sum()
    found = []
    pointed = [n for n, name in enumerate(names) if one.inputs.get(name)]
    for n in pointed:
        share = float(moved[n] / total) if total > 0 else 1.0 / len(pointed)
        found += _members(engine, state, group, base + n, names[n], index, share, _number(usual[0, n]))
    return tuple(sorted(found, key=lambda item: -item.share)[:_MOST])


def _moved(group: Group, row: int, slots: Floats, usual: Floats) -> Floats:
    moved = np.zeros(len(slots))
    for start, end in (group.programs[row, 2:4], group.programs[row, 4:6]):
        if end <= start:
            continue
        now = gather.single(group.code, group.constants, start, end, slots)
        for n in range(len(slots)):
            if usual[1, n] == 0.0 or not math.isfinite(slots[n]):
                continue
            put_back = slots.copy()
            put_back[n] = usual[0, n]
            gap = abs(now - gather.single(group.code, group.constants, start, end, put_back))
            moved[n] += gap if math.isfinite(gap) else 0.0
    return moved


def _members(
    engine: FeatureEngine,
    state: State,
    group: Group,
    slot: int,
    name: str,
    index: int,
    share: float,
    usual: float | None,
) -> list[Contribution]:
    """Share out what an input adds among its points: by their distance from the middle of them all."""
    one = engine.bound[index]
    item = one.feature.inputs[name]
    first, last = int(group.slot_from[slot]), int(group.slot_from[slot + 1])
    values = np.array([_value(engine, state, group, slot, r) for r in range(first, last)])
    away = np.nan_to_num(np.abs(values - np.nanmedian(values))) if np.isfinite(values).any() else np.zeros(len(values))
    if len(values) > 1 and away.sum() > 0 and item.combine not in ("sum", "mean"):
        parts = away / away.sum()
    else:
        parts = np.full(len(values), 1.0 / len(values))
    paths = engine.paths(index, name)
    expected = usual if len(values) == 1 else None
    return [
        Contribution(path, share * float(part), _number(value), expected, unit)
        for (path, unit), value, part in zip(paths, values, parts, strict=True)
    ]


def _value(engine: FeatureEngine, state: State, group: Group, slot: int, r: int) -> float:
    if group.slot_take[slot] == gather.FEATURE:
        return float(state.values[group.reference[r]])
    seen = state.arrays[f"{group.cadence}.seen"]
    value = seen[group.slot_take[slot], group.reference[r]]
    return float(value * group.gain[r] + group.offset[r]) if math.isfinite(value) else math.nan


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

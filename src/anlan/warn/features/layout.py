"""Bound features as flat arrays, cadence by cadence, so that one compiled call serves all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anlan.core.expression import Op
from anlan.warn.features.binding import Bound
from anlan.warn.features.formula import compile_formula
from anlan.warn.features.gather import FEATURE
from anlan.warn.features.methods import METHODS
from anlan.warn.features.specs import CADENCES, COMBINES, TAKES, FeatureSpec
from anlan.warn.step import Floats

Longs = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """The bindings ``start``..``end`` of one built-in at one cadence; ``p`` (n, P) are their parameters."""

    method: str
    start: int
    end: int
    p: Floats
    width: int


@dataclass(frozen=True, slots=True)
class Group:
    """All bindings of one cadence: ``start``..``end`` of the engine's order. See ``gather`` for the arrays."""

    cadence: int
    start: int
    end: int
    blocks: tuple[Block, ...]
    constants: Floats
    code: Longs
    programs: Longs
    base: Longs
    settle: Floats
    slots: Floats
    slot_take: Longs
    slot_combine: Longs
    slot_level: Floats
    slot_from: Longs
    reference: Longs
    gain: Floats
    offset: Floats


def ordered(bound: list[Bound]) -> list[int]:
    """Return the order in which bindings are computed: by cadence, then built-in, then feature."""
    methods = list(METHODS)

    def key(n: int) -> tuple[int, bool, int, str]:
        spec = bound[n].feature
        later = any(item.feature for item in spec.inputs.values())
        return (spec.step, later, methods.index(spec.builtin), spec.id)

    return sorted(range(len(bound)), key=key)


@dataclass
class _Programs:
    """The programs of every feature, one after the other; compiled once a feature."""

    code: list[int] = field(default_factory=list)
    constants: list[float] = field(default_factory=list)
    known: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def of(self, spec: FeatureSpec, names: list[str]) -> tuple[int, ...]:
        if spec.id not in self.known:
            bounds: list[int] = []
            for text in (spec.when, spec.expression, spec.against):
                bounds.append(len(self.code))
                if text:
                    self._add(text, names)
                bounds.append(len(self.code))
            self.known[spec.id] = tuple(bounds)
        return self.known[spec.id]

    def _add(self, text: str, names: list[str]) -> None:
        formula = compile_formula(text)
        for op, argument in zip(formula.code[::2], formula.code[1::2], strict=True):
            if op == Op.POINT:
                argument = names.index(formula.names[argument])
            elif op == Op.CONSTANT:
                self.constants.append(formula.constants[argument])
                argument = len(self.constants) - 1
            self.code += (op, argument)


@dataclass
class _Slots:
    value: list[float] = field(default_factory=list)
    take: list[int] = field(default_factory=list)
    combine: list[int] = field(default_factory=list)
    level: list[float] = field(default_factory=list)
    first: list[int] = field(default_factory=lambda: [0])
    reference: list[int] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)
    offset: list[float] = field(default_factory=list)

    def add(self, one: Bound, names: list[str], places: dict[int, int]) -> int:
        base = len(self.value)
        for name in names:
            item = one.feature.inputs.get(name)
            references = one.inputs.get(name, ())
            constant = one.constants[name] if name in one.constants else one.parameters.get(name, np.nan)
            self.value.append(constant if not references else np.nan)
            self.take.append(
                FEATURE if item is not None and item.feature else TAKES.index(item.take if item else "mean")
            )
            many = item is not None and (item.many or item.feature)
            self.combine.append(COMBINES.index(item.combine) if item is not None and many else 0)
            self.level.append(item.level if item is not None else 0.0)
            for ref in references:
                self.reference.append(places[ref.index] if ref.feature else ref.index)
                self.gain.append(ref.gain)
                self.offset.append(ref.offset)
            self.first.append(len(self.reference))
        return base


def slot_names(spec: FeatureSpec) -> list[str]:
    """Return the inputs of a feature and those parameters that formulas may use, in the order of its slots."""
    return [*spec.inputs, *(name for name in spec.parameters if name not in spec.inputs)]


def groups(bound: list[Bound], places: dict[int, int]) -> tuple[Group, ...]:
    """Return the cadences in use.

    Args:
        bound: bindings in the engine's order.
        places: from the order of binding to the engine's, for inputs that are features.
    """
    found = []
    start = 0
    for cadence in CADENCES:
        members = [one for one in bound if one.feature.step == cadence]
        if members:
            found.append(_group(cadence, start, members, places))
            start += len(members)
    return tuple(found)


def _group(cadence: int, start: int, members: list[Bound], places: dict[int, int]) -> Group:
    programs, slots = _Programs(), _Slots()
    base, bounds = [], []
    for one in members:
        names = slot_names(one.feature)
        base.append(slots.add(one, names, places))
        bounds.append(programs.of(one.feature, names))
    return Group(
        cadence,
        start,
        start + len(members),
        tuple(_blocks(cadence, members)),
        np.array(programs.constants, np.float64),
        np.array(programs.code, np.int64),
        np.array(bounds, np.int64).reshape(len(members), 6),
        np.array(base, np.int64),
        np.array([one.parameters["settle"] for one in members]),
        np.array(slots.value, np.float64),
        np.array(slots.take, np.int64),
        np.array(slots.combine, np.int64),
        np.array(slots.level, np.float64),
        np.array(slots.first, np.int64),
        np.array(slots.reference, np.int64),
        np.array(slots.gain, np.float64),
        np.array(slots.offset, np.float64),
    )


def _blocks(cadence: int, members: list[Bound]) -> list[Block]:
    found: list[Block] = []
    at = 0
    while at < len(members):
        name = members[at].feature.builtin
        end = at
        while end < len(members) and members[end].feature.builtin == name:
            end += 1
        method = METHODS[name]
        columns = [[one.parameters[key] for key in method.parameters] for one in members[at:end]]
        p = np.array(columns, np.float64).reshape(end - at, len(method.parameters))
        width = method.fixed
        if method.window:
            longest = p[:, list(method.parameters).index(method.window)].max()
            width += method.rings * max(int(longest / cadence), 8)
        found.append(Block(name, at, end, p, width))
        at = end
    return found

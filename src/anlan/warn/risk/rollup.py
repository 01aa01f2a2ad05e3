"""Risk of areas, enterprises and the site from the units below them, in which one red leaf cannot vanish."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import msgspec

from anlan.core.events import MAX_CAUSES
from anlan.core.severity import RiskColour
from anlan.warn.model import RiskNode, RiskTerm
from anlan.warn.risk.model import Bounds

_MOST_LEAVES = 8
_NAMES = {RiskColour.RED: "red", RiskColour.ORANGE: "orange", RiskColour.YELLOW: "yellow", RiskColour.BLUE: "blue"}


class RollUp(msgspec.Struct, frozen=True):
    """What each further leaf adds by its colour, the most they add together, and why."""

    rise: dict[str, float]
    cap: float
    bounds: Bounds
    source: str
    rule_zh: str
    why: str


@cache
def rules() -> RollUp:
    """Return the rules of ``rollup.yaml``."""
    import yaml

    text = files("anlan.warn.risk").joinpath("rollup.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), RollUp)


def colour_of(index: float, bounds: Bounds) -> RiskColour:
    """Return the colour of an index, 0..100."""
    if index >= bounds.red:
        return RiskColour.RED
    if index >= bounds.orange:
        return RiskColour.ORANGE
    return RiskColour.YELLOW if index >= bounds.yellow else RiskColour.BLUE


def combine(leaves: Sequence[tuple[float, RiskColour]]) -> tuple[float, RiskColour]:
    """Return index and colour of a place from its leaves' indices (0..100) and colours.

    Index: max + min(cap, Σ rise of the others), at most 100. Never below the worst leaf, and no leaf that gets worse
    lowers it: the worst leaf's own rise is left out, and a leaf's rise never exceeds that of the leaf it overtakes.
    """
    if not leaves:
        return 0.0, RiskColour.BLUE
    rule = rules()
    worst = max(index for index, _ in leaves)
    rises = [rule.rise[_NAMES[colour]] for _, colour in leaves]
    rise = min(rule.cap, sum(rises) - max(rises))
    index = min(100.0, round(worst + rise, 6))
    return index, min(colour_of(index, rule.bounds), min(colour for _, colour in leaves))


def place_node(path: str, kind: str, name: str, name_en: str, leaves: Sequence[RiskNode], time: int) -> RiskNode:
    """Return the node of a place from its leaves; its terms are the gravest of them.

    Args:
        path: of the place; empty for the site.
        kind: area, enterprise or site.
        name, name_en: of the place.
        leaves: nodes of the units below it.
        time: µs UTC.
    """
    index, colour = combine([(leaf.index, leaf.colour) for leaf in leaves])
    inherent, inherent_colour = combine([(leaf.inherent, leaf.inherent_colour) for leaf in leaves])
    return RiskNode(
        path,
        kind,
        index,
        colour,
        inherent,
        name=name,
        name_en=name_en,
        inherent_colour=inherent_colour,
        time=time,
        terms=_leaf_terms(leaves),
        red_leaves=sum(leaf.colour is RiskColour.RED for leaf in leaves),
        leaves=len(leaves),
    )


def _leaf_terms(leaves: Sequence[RiskNode]) -> tuple[RiskTerm, ...]:
    """Return the worst leaf and those that raise the place above it, as long as the cap leaves room."""
    rule = rules()
    gravest = sorted(leaves, key=lambda leaf: (-leaf.index, leaf.colour, leaf.path))[:_MOST_LEAVES]
    terms, room = [], rule.cap
    for rank, leaf in enumerate(gravest):
        adds = min(room, rule.rise[_NAMES[leaf.colour]]) if rank else leaf.index
        if adds > 0 or not rank:
            terms.append(_leaf_term(leaf, adds, rule))
            room -= adds if rank else 0.0
    return tuple(terms)


def _leaf_term(leaf: RiskNode, adds: float, rule: RollUp) -> RiskTerm:
    raised = [term for term in leaf.terms if term.since]
    causes = tuple(dict.fromkeys(cause for term in leaf.terms for cause in term.causes))[:MAX_CAUSES]
    why, why_en = "、".join(term.zh for term in leaf.terms[:2]), ", ".join(term.en for term in leaf.terms[:2])
    return RiskTerm(
        leaf.path,
        "leaf",
        f"{leaf.name or leaf.path}:{why}",
        f"{leaf.name_en or leaf.name or leaf.path}: {why_en}",
        adds,
        f"{rule.source}: {rule.rule_zh}",
        value=leaf.index,
        since=min((term.since for term in raised), default=0),
        causes=causes,
    )

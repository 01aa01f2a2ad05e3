"""Roll-up as a function of leaves: the worst leads, the rise is bounded, nothing lowers it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anlan.core.severity import RiskColour
from anlan.warn.risk.model import Bounds
from anlan.warn.risk.rollup import colour_of, combine, rules

_leaf = st.tuples(st.floats(0, 100), st.sampled_from([Bounds(), Bounds(90, 60, 30), Bounds(60, 40, 20)]))
_leaves = st.lists(_leaf, min_size=1, max_size=30)


def _with_colours(leaves: list[tuple[float, Bounds]]) -> list[tuple[float, RiskColour]]:
    return [(index, colour_of(index, bounds)) for index, bounds in leaves]


@given(_leaves)
def test_never_below_the_worst_leaf_nor_more_than_the_cap_above_it(leaves: list[tuple[float, Bounds]]) -> None:
    coloured = _with_colours(leaves)
    index, colour = combine(coloured)
    worst = max(item for item, _ in coloured)
    assert round(worst, 6) <= index <= min(100.0, worst + rules().cap) + 1e-6
    assert colour <= min(item for _, item in coloured)


@given(_leaves, st.data())
def test_a_leaf_that_gets_worse_never_lowers_the_place(leaves: list[tuple[float, Bounds]], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(leaves) - 1))
    risen = list(leaves)
    risen[at] = (data.draw(st.floats(leaves[at][0], 100)), leaves[at][1])
    before, after = combine(_with_colours(leaves)), combine(_with_colours(risen))
    assert after[0] >= before[0]
    assert after[1] <= before[1]


@given(_leaves, _leaf)
def test_one_more_leaf_never_lowers_the_place(leaves: list[tuple[float, Bounds]], more: tuple[float, Bounds]) -> None:
    before, after = combine(_with_colours(leaves)), combine(_with_colours([*leaves, more]))
    assert after[0] >= before[0]
    assert after[1] <= before[1]


def test_a_thousand_blue_leaves_do_not_hide_one_red_and_do_not_make_colour_themselves() -> None:
    blue = [(20.0, RiskColour.BLUE)] * 1000
    assert combine(blue) == (20.0, RiskColour.BLUE)
    assert combine([*blue, (80.0, RiskColour.RED)]) == (80.0, RiskColour.RED)
    assert combine([(80.0, RiskColour.RED)] * 3) == (84.0, RiskColour.RED)
    assert combine([(60.0, RiskColour.ORANGE)] * 100) == (70.0, RiskColour.ORANGE)
    assert combine([]) == (0.0, RiskColour.BLUE)


def test_the_rule_says_where_it_comes_from() -> None:
    rule = rules()
    assert rule.source == "Anlan, judgement"
    assert rule.why
    assert rule.rise["red"] >= rule.rise["orange"] >= rule.rise["yellow"] >= rule.rise["blue"] >= 0

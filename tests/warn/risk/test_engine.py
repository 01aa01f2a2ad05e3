"""The risk index: monotone, never below its floor, explained term by term, with causes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from anlan.core.severity import RiskColour
from anlan.warn.model import RiskNode
from anlan.warn.risk.engine import RiskEngine, causes_of, changes
from anlan.warn.risk.library import models_of
from anlan.warn.risk.model import (
    ActiveAlarm,
    BarrierState,
    HeadCount,
    OpenWarning,
    RiskFacts,
    StandingBypass,
    TermKind,
    Weather,
    WorkInProgress,
)
from tests.warn.risk import strategies
from tests.warn.risk.strategies import HOLDER, NOW, PUMP, TANK

ENGINE = RiskEngine(strategies.plant(), models_of(["chemical", "steel"]))
MINUTE = 60_000_000


def nodes(facts: RiskFacts | None = None, time: int = NOW) -> dict[str, RiskNode]:
    return {node.path: node for node in ENGINE.evaluate(facts or RiskFacts(), time)}


def alarm(path: str, kind: str = "HH", priority: int = 1, since: int = NOW - MINUTE, event: str = "E1") -> ActiveAlarm:
    return ActiveAlarm(f"{path}.{kind}", path, kind, priority, since, event)


# --- properties ------------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(strategies.worse())
def test_a_worse_state_never_lowers_any_index_or_betters_any_colour(pair: tuple[RiskFacts, RiskFacts]) -> None:
    before, after = nodes(pair[0]), nodes(pair[1])
    for path, node in before.items():
        assert after[path].index >= node.index, path
        assert after[path].colour <= node.colour, path


@settings(max_examples=100)
@given(strategies.facts)
def test_no_index_is_below_its_floor_or_above_100_and_units_add_up_from_their_terms(facts: RiskFacts) -> None:
    for node in nodes(facts).values():
        assert node.inherent <= node.index <= 100
        assert node.colour <= node.inherent_colour
        assert node.time == NOW
        for term in node.terms:
            assert term.source
            assert term.zh
            assert term.en
            assert term.adds > 0
        assert [term.adds for term in node.terms] == sorted((t.adds for t in node.terms), reverse=True)
        if node.kind == "unit":
            assert node.index == pytest.approx(min(100.0, sum(term.adds for term in node.terms)), abs=1e-5)
            assert [t.adds for t in node.terms if t.kind == TermKind.INHERENT] == [node.inherent]


@settings(max_examples=100)
@given(strategies.facts)
def test_a_place_is_never_below_its_worst_leaf_and_a_parent_never_below_its_child(facts: RiskFacts) -> None:
    found = nodes(facts)
    for path, node in found.items():
        below = [
            other for other in found.values() if other is not node and other.path.startswith(path + "/" if path else "")
        ]
        leaves = [other for other in below if other.kind == "unit"]
        if node.kind != "unit":
            assert node.leaves == len(leaves)
            assert node.red_leaves == sum(leaf.colour is RiskColour.RED for leaf in leaves)
        for other in below:
            assert node.index >= other.index
            assert node.colour <= other.colour


@settings(max_examples=40)
@given(strategies.facts)
def test_the_order_of_facts_does_not_matter(facts: RiskFacts) -> None:
    turned = RiskFacts(*(getattr(facts, name)[::-1] for name in RiskFacts.__slots__))  # type: ignore[attr-defined]  # slots of the dataclass
    assert {p: n.index for p, n in nodes(facts).items()} == {p: n.index for p, n in nodes(turned).items()}


# --- single terms ----------------------------------------------------------------------------------------------------


def test_parents_come_before_children_and_every_unit_has_a_model() -> None:
    seen: set[str] = set()
    for node in ENGINE.evaluate(RiskFacts(), NOW):
        assert node.path == "" or node.path.rpartition("/")[0] in seen
        seen.add(node.path)
    found = nodes()
    assert [found[path].model for path in strategies.UNITS] == [
        "tank-farm",
        "tank-farm",
        "coal-gas",
        "coal-gas",
        "general",
    ]
    assert ENGINE.unbound == ()


def test_the_floor_comes_from_the_installation_else_from_own_stock_else_from_the_kind() -> None:
    found = nodes()
    assert "一级重大危险源" in found[TANK].terms[0].zh  # 1200 t ammonia, α 1.5: R = 360
    assert found[TANK].terms[0].value == pytest.approx(360)
    assert found["e/farm/t-2"].inherent == found[TANK].inherent  # in the same installation, itself without quantity
    # The holder is in none: its own 120 t, with the persons its enterprise states.
    holder = found[HOLDER].terms[0]
    assert holder.value == pytest.approx(1.5 * 2 * 120 / 20)
    assert "三级重大危险源" in holder.zh
    assert "water-seal" in found["e/gas/seal"].terms[0].en
    assert (found[PUMP].inherent, found[PUMP].colour) == (5, RiskColour.BLUE)


def test_a_gas_alarm_turns_the_tank_its_area_and_the_site_red_with_its_event_as_cause() -> None:
    before, after = nodes(), nodes(RiskFacts(alarms=(alarm(f"{TANK}/toxic-gas", event="EV-9"),)))
    assert before[TANK].colour is RiskColour.YELLOW
    for path in (TANK, "e/farm", "e", ""):
        assert after[path].colour is RiskColour.RED
        assert causes_of(after[path]) == ("EV-9",)
    term = next(term for term in after[TANK].terms if term.id == "toxic-gas")
    assert "GB/T 50493-2019 5.5.2" in term.source
    assert "已核对 checked" in term.source
    assert (term.since, term.adds) == (NOW - MINUTE, 40)
    assert "toxic-gas HH" in term.zh
    assert after["e/gas"].index == before["e/gas"].index


def test_an_alarm_is_counted_by_one_term_only() -> None:
    found = nodes(RiskFacts(alarms=(alarm(f"{TANK}/level", priority=2),)))[TANK]
    assert [term.id for term in found.terms if term.kind == TermKind.ALARM] == ["high-level"]


def test_an_urgent_alarm_that_stands_long_adds_a_term_of_its_own() -> None:
    early = nodes(RiskFacts(alarms=(alarm(f"{TANK}/level", since=NOW - 29 * MINUTE),)))[TANK]
    late = nodes(RiskFacts(alarms=(alarm(f"{TANK}/level", since=NOW - 30 * MINUTE),)))[TANK]
    assert {term.id for term in late.terms} - {term.id for term in early.terms} == {"alarm-standing"}
    assert late.index > early.index


def test_further_states_of_a_term_add_a_share_up_to_its_cap() -> None:
    def index(count: int) -> float:
        rows = tuple(BarrierState(f"b{n}", TANK, "fire-water", "failed", event=f"E{n}") for n in range(count))
        term = next(term for term in nodes(RiskFacts(barriers=rows))[TANK].terms if term.id == "fire-fighting")
        assert len(term.causes) == count
        return term.adds

    assert [index(count) for count in (1, 2, 3, 20)] == [12, 15, 18, 22]


def test_a_barrier_of_the_area_is_a_barrier_of_its_units() -> None:
    found = nodes(RiskFacts(barriers=(BarrierState("fw", "e/farm", "fire-water", "failed", 5, "消防泵", "EV"),)))
    for path in (TANK, "e/farm/t-2"):
        term = next(term for term in found[path].terms if term.id == "fire-fighting")
        assert "消防泵 失效" in term.zh
        assert term.causes == ("EV",)
    assert all(term.id != "fire-fighting" for term in found[HOLDER].terms)


def test_a_healthy_barrier_adds_nothing() -> None:
    healthy = RiskFacts(barriers=(BarrierState("fw", "e/farm", "fire-water", "healthy"),))
    assert nodes(healthy) == nodes()


def test_heads_of_an_area_are_its_own_count_or_the_sum_below_it_whichever_is_larger() -> None:
    def adds(*counts: HeadCount) -> float:
        terms = nodes(RiskFacts(presence=counts))[TANK].terms
        return next((term.value or 0 for term in terms if term.id == "exposure"), 0)

    assert adds(HeadCount("e/farm", 4)) == 4
    assert adds(HeadCount(TANK, 5), HeadCount("e/farm/t-2", 6)) == 11
    assert adds(HeadCount("e/farm", 4), HeadCount(TANK, 5), HeadCount("e/farm/t-2", 6)) == 11
    assert adds(HeadCount("e/farm", 40), HeadCount(TANK, 5)) == 40
    assert adds(HeadCount("e/farm", 2)) == 0
    assert adds(HeadCount("e", 30)) == 30


def test_wind_counts_both_ways_with_its_value_and_unit() -> None:
    gale = nodes(RiskFacts(weather=(Weather("wind-speed", 14.0),)))[TANK]
    still = nodes(RiskFacts(weather=(Weather("wind-speed", 0.4),)))[TANK]
    fair = nodes(RiskFacts(weather=(Weather("wind-speed", 4.0),)))[TANK]
    assert [(t.id, t.value, t.unit, t.adds) for t in gale.terms if t.kind == TermKind.ENVIRONMENT] == [
        ("strong-wind", 14, "m/s", 6)
    ]
    assert [(t.id, t.adds) for t in still.terms if t.kind == TermKind.ENVIRONMENT] == [("still-air", 3)]
    assert fair.index == fair.inherent + sum(t.adds for t in fair.terms if t.kind == TermKind.LACKING)


def test_a_bypass_past_its_end_weighs_more_and_work_past_its_end_too() -> None:
    def index(expires: int, overdue: bool) -> float:
        facts = RiskFacts(
            bypasses=(StandingBypass("y", f"{TANK}/level", 0, expires, safety=True),),
            work=(WorkInProgress("k", "e/farm", "hot-work", 0, overdue),),
        )
        return nodes(facts)[TANK].index

    assert index(NOW + 1, False) < index(NOW, False) < index(NOW, True)


def test_a_warning_of_a_point_counts_at_its_unit_and_one_of_an_area_at_all_below() -> None:
    found = nodes(
        RiskFacts(
            warnings=(
                OpenWarning("w1", f"{TANK}/level", 2, 7, "seal-leak", "EW1"),
                OpenWarning("w2", "e/gas", 3, 8, event="EW2"),
            )
        )
    )
    assert "seal-leak 橙色" in next(t.zh for t in found[TANK].terms if t.id == "warning")
    assert next(t.causes for t in found[HOLDER].terms if t.id == "warning") == ("EW2",)
    assert next(t.causes for t in found["e/gas/seal"].terms if t.id == "warning") == ("EW2",)


def test_facts_about_places_that_are_not_there_change_nothing() -> None:
    facts = RiskFacts(alarms=(alarm("x/y/z/level"), alarm("level")), presence=(HeadCount("x/y", 50),))
    assert nodes(facts) == nodes()


def test_inputs_that_the_model_wants_are_lacking_in_words_and_as_a_term() -> None:
    tank = nodes()["e/farm/t-2"]
    assert "温度 temperature" in tank.lacking
    assert any("fire water" in item for item in tank.lacking)
    blind = next(term for term in tank.terms if term.kind == TermKind.LACKING)
    assert "温度" in blind.zh
    assert blind.adds > 0


# --- changes ---------------------------------------------------------------------------------------------------------


def test_changes_tell_each_colour_once_there_and_back() -> None:
    calm = ENGINE.evaluate(RiskFacts(), NOW)
    bad = ENGINE.evaluate(RiskFacts(alarms=(alarm(f"{TANK}/toxic-gas"),)), NOW)
    told = {change.path: change for change in changes(calm, bad)}
    assert set(told) == {"", "e", "e/farm", TANK}
    assert (told[TANK].before, told[TANK].colour, told[TANK].model) == (RiskColour.YELLOW, RiskColour.RED, "tank-farm")
    assert told[TANK].terms[:2] == ("toxic-gas", "inherent")
    assert changes(bad, bad) == ()
    assert {change.path for change in changes(bad, calm)} == set(told)
    assert {change.path for change in changes((), bad)} == set(told)


# --- roll-up ---------------------------------------------------------------------------------------------------------


def test_one_red_leaf_does_not_vanish_among_many_and_more_of_them_raise_the_place() -> None:
    one = nodes(RiskFacts(alarms=(alarm(f"{TANK}/toxic-gas"),)))
    two = nodes(RiskFacts(alarms=(alarm(f"{TANK}/toxic-gas"), alarm(f"{HOLDER}/toxic-gas"), alarm(f"{HOLDER}/oxygen"))))
    assert one[""].index == one[TANK].index
    assert (one[""].red_leaves, two[""].red_leaves, two[""].leaves) == (1, 2, 5)
    assert two[""].index == max(two[TANK].index, two[HOLDER].index) + 2
    assert [term.id for term in two[""].terms] == [HOLDER, TANK]
    assert sum(term.adds for term in two[""].terms) == two[""].index

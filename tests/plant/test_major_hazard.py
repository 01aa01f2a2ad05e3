"""Identification and grading by GB 18218-2018: worked examples, boundary values, and what is left out said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.core.errors import InvalidInputError
from anlan.plant import major_hazard
from anlan.plant.major_hazard import HazardGrade, alpha_of, critical_of, grade_of, grading, holding, tonnes
from anlan.plant.model import Installation, Place, Plant, SiteInfo, Stock, Substance, Unit
from anlan.plant.schema import HazardCategory

# Worked by hand from tables 1, 3, 4 and 5 of the standard.
EXAMPLES = [
    ("50 t ammonia, over 100 persons", [("液氨", 50, "t", "7664-41-7", ())], 100, 5.0, 20.0, HazardGrade.THIRD),
    (
        "30 t chlorine and 8 t propylene, 60 persons",
        [("氯", 30, "t", "7782-50-5", ()), ("丙烯", 8, "t", "115-07-1", ())],
        60,
        6.8,
        1.5 * (4 * 6 + 1.5 * 0.8),
        HazardGrade.THIRD,
    ),
    (
        "4000 t gasoline and 800 t methanol, nobody",
        [("汽油", 4000, "t", "86290-81-5", ()), ("甲醇", 800_000, "kg", "67-56-1", ())],
        0,
        21.6,
        10.8,
        HazardGrade.THIRD,
    ),
    ("9.999 t ammonia is none", [("氨", 9.999, "t", "7664-41-7", ())], 10, 0.9999, 1.9998, None),
    ("10 t ammonia is one", [("氨", 10, "t", "7664-41-7", ())], 10, 1.0, 2.0, HazardGrade.FOURTH),
    ("phosgene in kg", [("光气", 300, "kg", "75-44-5", ())], 0, 1.0, 10.0, HazardGrade.THIRD),
    ("coal gas by name", [("煤气(CO,CO和H2、CH4的混合物等)", 195, "t", "", ())], 60, 9.75, 29.25, HazardGrade.THIRD),
    ("own categories, the lowest Q", [("某液体", 100, "t", "", ("W5.3", "J2"))], 1, 2.0, 2.0, HazardGrade.FOURTH),
]


@pytest.mark.parametrize(
    ("items", "exposed", "s", "r", "grade"), [row[1:] for row in EXAMPLES], ids=[r[0] for r in EXAMPLES]
)
def test_worked_examples(items: list[tuple], exposed: int, s: float, r: float, grade: HazardGrade | None) -> None:  # type: ignore[type-arg]  # rows of the table above
    graded = grading([holding("e/a/u", *item) for item in items], exposed)
    assert graded.s == pytest.approx(s)
    assert graded.r == pytest.approx(r)
    assert graded.grade == grade
    assert graded.left_out == ()


@pytest.mark.parametrize(
    ("persons", "alpha"),
    [(0, 0.5), (1, 1.0), (29, 1.0), (30, 1.2), (49, 1.2), (50, 1.5), (99, 1.5), (100, 2.0), (5000, 2.0)],
)
def test_alpha_at_its_boundaries(persons: int, alpha: float) -> None:
    assert alpha_of(persons) == alpha


@pytest.mark.parametrize(
    ("r", "grade"), [(0.1, 4), (9.999, 4), (10, 3), (49.999, 3), (50, 2), (99.999, 2), (100, 1), (4000, 1)]
)
def test_grade_at_its_boundaries(r: float, grade: int) -> None:
    assert grade_of(r) == grade


def test_a_negative_number_of_persons_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="-1 exposed persons"):
        alpha_of(-1)


@pytest.mark.parametrize(
    ("quantity", "unit", "expected"),
    [
        (1, "t", 1),
        (1500, "kg", 1.5),
        (2, "kt", 2000),
        (3, "吨", 3),
        (5e6, "g", 5),
        (2000, "lb", 0.90718474),
        (4, "T", 4),
    ],
)
def test_units_of_mass(quantity: float, unit: str, expected: float) -> None:
    assert tonnes(quantity, unit) == pytest.approx(expected)


@pytest.mark.parametrize(("quantity", "unit"), [(1, "m³"), (1, ""), (-1, "t"), (float("nan"), "t")])
def test_what_is_no_mass_is_refused(quantity: float, unit: str) -> None:
    with pytest.raises(InvalidInputError):
        tonnes(quantity, unit)


def test_a_volume_is_said_and_not_ignored() -> None:
    held = holding("e/a/u", "液氨", 100, "m³", "7664-41-7")
    graded = grading([held], 10)
    assert graded.s == 0
    assert graded.left_out == (held,)
    assert held.unresolved
    assert "m³" in held.reason
    assert "不是质量" in held.reason_zh


@pytest.mark.parametrize(
    ("name", "cas", "unresolved"),
    [("盐酸", "7647-01-0", False), ("氨水", "7664-41-7", True), ("水", "7732-18-5", False), ("某催化剂", "", True)],
)
def test_a_substance_without_a_critical_quantity_is_said(name: str, cas: str, unresolved: bool) -> None:
    held = holding("e/a/u", name, 500, "t", cas)
    assert held.critical is None
    assert held.reason
    assert held.reason_zh
    assert held.unresolved is unresolved
    assert grading([held], 200).left_out == (held,)


def test_a_solution_is_told_from_the_anhydrous_gas_of_the_same_cas() -> None:
    assert critical_of("盐酸", "7647-01-0") is None
    anhydrous = critical_of("氯化氢", "7647-01-0")
    assert anhydrous is not None
    assert (anhydrous.critical_t, anhydrous.beta) == (20, 3)


def test_a_cas_of_several_rows_takes_the_strictest_and_says_so() -> None:
    found = critical_of("硝酸铵", "6484-52-2")
    assert found is not None
    assert (found.critical_t, found.beta) == (5, 2)
    assert "several rows" in found.note
    exact = critical_of("硝酸铵(含可燃物≤0.2%)", "6484-52-2")
    assert exact is not None
    assert exact.critical_t == 50
    assert exact.note == ""


def test_beta_of_a_named_toxic_gas_goes_before_its_category() -> None:
    found = critical_of("一氧化碳", "630-08-0")
    assert found is not None
    assert (found.critical_t, found.beta) == (10, 2)
    assert "表3" in found.source
    assert found.confidence == "memory_low"


def test_an_unknown_category_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match="J9") as caught:
        critical_of("某物", "", ("J9",))
    assert "W5.3" in caught.value.fix


def test_the_site_schema_knows_every_category() -> None:
    assert HazardCategory.__args__ == major_hazard.category_symbols()  # type: ignore[attr-defined]  # of a Literal


def test_tables_are_whole_and_every_row_has_clause_and_confidence() -> None:
    tables = major_hazard.tables()
    assert [row.seq for row in tables.substances] == list(range(1, 86))
    assert len(tables.categories) == 24
    assert len(tables.toxic_gases) == 14
    for row in (*tables.substances, *tables.categories):
        assert row.critical_t > 0
        assert row.beta >= 1
        assert row.clause
        assert row.confidence in ("verified", "memory_high", "memory_low")
    named = {cas: row.beta for row in tables.substances for cas in row.cas}
    for gas in tables.toxic_gases:
        assert named.get(gas.cas, gas.beta) == gas.beta


@given(
    st.floats(0, 1e5),
    st.floats(0, 1e5),
    st.integers(0, 500),
    st.integers(0, 500),
)
def test_more_substance_or_more_persons_never_lower_r(q: float, more: float, exposed: int, others: int) -> None:
    before = grading([holding("u", "氯", q, "t", "7782-50-5")], exposed)
    after = grading([holding("u", "氯", q + more, "t", "7782-50-5")], exposed + others)
    assert after.s >= before.s
    assert after.r >= before.r
    assert (after.grade or 5) <= (before.grade or 5)


def _plant() -> Plant:
    return Plant(
        SiteInfo("s", "S"),
        places=(Place("e"), Place("e/a")),
        units=(
            Unit("e/a/t-1", kind="pressurised-tank", substance="nh3", inventory=40, inventory_unit="t"),
            Unit("e/a/t-2", kind="pressurised-tank", substance="nh3", inventory=1, inventory_unit="t"),
            Unit("e/a/t-3", kind="atmospheric-tank", substance="solvent", inventory=500, inventory_unit="t"),
        ),
        substances=(
            Substance("nh3", "液氨", "Ammonia", "7664-41-7"),
            Substance("solvent", "某溶剂", categories=("W5.3",)),
        ),
        stock=(Stock("e/a/t-2", "nh3", 10_000, "kg", "7664-41-7"),),
        installations=(Installation("nh3", "e/a", units=("e/a/t-1", "e/a/t-2"), exposed=100),),
    )


def test_an_installation_adds_up_its_units_by_stock_before_inventory() -> None:
    plant = _plant()
    graded = major_hazard.grade_installation(plant, plant.installations[0])
    assert [item.tonnes for item in graded.holdings] == [40, 10]
    assert graded.r == pytest.approx(2 * 2 * 5)
    assert graded.grade is HazardGrade.THIRD
    assert set(major_hazard.installations_of(plant)) == {"e/a/t-1", "e/a/t-2"}


def test_a_unit_alone_takes_the_persons_of_its_enterprise_or_says_that_it_assumes() -> None:
    plant = _plant()
    graded = major_hazard.grade_unit(plant, plant.units[2])
    assert (graded.s, graded.r, graded.assumed) == (0.5, 1.0, False)
    alone = major_hazard.grade_unit(Plant(plant.site, units=plant.units, substances=plant.substances), plant.units[0])
    assert alone.assumed
    assert alone.r == pytest.approx(8)

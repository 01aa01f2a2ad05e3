"""Point numbers: never reused, one kind in one unit each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from anlan.plant import tables
from anlan.plant.registry import PointKey, assign, look_up
from anlan.settings import Settings
from anlan.store.records.base import Base, Records, open_engine, upgrade


def fresh() -> Records:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine, [tables.PointRow.__table__])
    return Records(engine)


def test_an_empty_registry_numbers_in_file_order_and_keeps_them(settings: Settings) -> None:
    engine = open_engine(settings)
    upgrade(engine)
    records = Records(engine)
    keys = [PointKey(f"e/a/u/p{n}", "pressure", "MPa") for n in range(50)]
    assert assign(records, keys, 7) == {key.path: n for n, key in enumerate(keys, start=1)}
    assert assign(Records(open_engine(settings)), keys[10:20], 8) == {
        key.path: n for n, key in enumerate(keys[10:20], start=11)
    }


def test_a_new_unit_or_kind_is_a_new_number_and_going_back_is_the_old_one() -> None:
    records = fresh()
    first = assign(records, [PointKey("p", "pressure", "MPa")], 0)["p"]
    second = assign(records, [PointKey("p", "pressure", "bar")], 0)["p"]
    third = assign(records, [PointKey("p", "temperature", "°C")], 0)["p"]
    assert (first, second, third) == (1, 2, 3)
    assert assign(records, [PointKey("p", "pressure", "MPa")], 0)["p"] == 1


def test_looking_up_gives_no_numbers() -> None:
    records = fresh()
    assert look_up(records, [PointKey("p", "pressure", "MPa")]) == {}
    assign(records, [PointKey("q", "pressure", "MPa")], 0)
    assert assign(records, [PointKey("p", "pressure", "MPa")], 0) == {"p": 2}


_keys = st.builds(
    PointKey, st.sampled_from("abcdef"), st.sampled_from(["pressure", "level"]), st.sampled_from(["MPa", "m"])
)


@given(rounds=st.lists(st.lists(_keys, max_size=6, unique_by=lambda key: key.path), max_size=6))
def test_a_number_never_means_two_things(rounds: list[list[PointKey]]) -> None:
    records = fresh()
    meaning: dict[int, PointKey] = {}
    for wanted in rounds:
        numbers = assign(records, wanted, 0)
        assert len(set(numbers.values())) == len(wanted)
        for key in wanted:
            assert meaning.setdefault(numbers[key.path], key) == key

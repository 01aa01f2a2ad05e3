"""The account: finds what is lost, doubled, altered or merely missed, and nothing when all is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from anlan.sim import catalogue
from anlan.sim.account import by_number, compare
from anlan.sim.journal import Journal, read
from anlan.sim.signals import layout

T0 = 1_790_000_000_000_000
POINTS = layout().points


class Store:
    """A historian of rows, to be damaged by a test."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, float, int]] = []

    def fetch(self, paths: list[str], start: int, end: int) -> pa.Table:
        wanted = set(paths)
        rows = [row for row in self.rows if row[0] in wanted and start <= row[1] < end]
        columns = list(zip(*rows, strict=True)) or [[], [], [], []]
        types = (pa.string(), pa.int64(), pa.float64(), pa.uint8())
        names = ("path", "time", "value", "quality")
        return pa.table(
            {name: pa.array(column, type_) for name, column, type_ in zip(names, columns, types, strict=True)}
        )


def _journal(folder: Path, connector: str, state: str, seconds: int = 20) -> Store:
    journal, store = Journal(folder, POINTS), Store()
    rows = np.array([point.index for point in POINTS if point.connector == connector][:10])
    for second in range(seconds):
        time = T0 + second * 1_000_000
        values = rows * 0.5 + second
        journal.record(connector, state, rows, time, values, np.zeros(len(rows), np.uint8))
        store.rows += [(POINTS[row].path, time, value, 0) for row, value in zip(rows, values, strict=True)]
        if second == 9:
            journal.flush()
    journal.flush()
    return store


def test_a_whole_run_has_nothing_lost(tmp_path: Path) -> None:
    store = _journal(tmp_path, catalogue.GAS, "acked")
    result = compare(tmp_path, store.fetch)
    assert result["connectors"][catalogue.GAS] == {
        "sent": 0, "acked": 200, "offered": 0, "unsent": 0, "pending": 0,
        "stored": 200, "lost": 0, "gaps": 0, "duplicated": 0,
        "altered": 0, "extra": 0,
    }  # fmt: skip
    assert len(read(tmp_path, catalogue.GAS, "acked")) == 200


def test_finds_each_kind_of_damage(tmp_path: Path) -> None:
    store = _journal(tmp_path, catalogue.GAS, "acked")
    del store.rows[5:8]
    store.rows.append(store.rows[50])
    path, time, _, quality = store.rows[60]
    store.rows[60] = (path, time, -1.0, quality)
    store.rows.append((path, T0 + 500_000, 1.0, 0))
    row = compare(tmp_path, store.fetch)["connectors"][catalogue.GAS]
    assert (row["lost"], row["duplicated"], row["altered"], row["extra"]) == (3, 1, 1, 1)


def test_what_nobody_promised_is_a_gap(tmp_path: Path) -> None:
    store = _journal(tmp_path, catalogue.EDGE, "sent")
    del store.rows[40:60]
    del store.rows[:10]  # before the reader came
    result = compare(tmp_path, store.fetch)
    row = result["connectors"][catalogue.EDGE]
    assert (row["lost"], row["gaps"], result["lost"]) == (0, 20, 0)


def test_a_poller_sees_what_was_exposed_and_missed_polls_are_gaps(tmp_path: Path) -> None:
    store = _journal(tmp_path, catalogue.TANKS, "offered")
    store.rows = [(path, time + 300_000, value, quality) for path, time, value, quality in store.rows]
    row = compare(tmp_path, store.fetch)["connectors"][catalogue.TANKS]
    assert (row["altered"], row["gaps"], row["lost"]) == (0, 0, 0)
    path, time, _, quality = store.rows[77]
    store.rows[77] = (path, time, 3.25, quality)
    store.rows = [row for number, row in enumerate(store.rows) if not 100 <= number < 120]
    row = compare(tmp_path, store.fetch)["connectors"][catalogue.TANKS]
    assert row["altered"] == 1
    assert row["gaps"] == 20


def test_a_store_by_number_serves_as_well(tmp_path: Path) -> None:
    store = _journal(tmp_path, catalogue.GAS, "acked")
    numbers = {point.path: point.index + 1 for point in POINTS}
    paths = {number: path for path, number in numbers.items()}

    def query(wanted: list[int], start: int, end: int) -> pa.Table:
        table = store.fetch([paths[number] for number in wanted], start, end)
        column = pa.array([numbers[path] for path in table["path"].to_pylist()], pa.int32())
        return table.drop_columns(["path"]).append_column("point", column)

    assert compare(tmp_path, by_number(query, numbers)) == compare(tmp_path, store.fetch)


def test_bad_values_are_the_same_when_both_are_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path, POINTS)
    row = next(point.index for point in POINTS if point.connector == catalogue.DCS)
    journal.record(catalogue.DCS, "offered", [row], T0, np.array([np.nan]), np.array([0x81], np.uint8))
    journal.flush()
    store = Store()
    store.rows = [(POINTS[row].path, T0, float("nan"), 0x81)]
    assert compare(tmp_path, store.fetch)["altered"] == 0


@pytest.mark.parametrize("text", ['{"opcua": "x"}', "[]", '{"nosuch": 1}', "{"])
def test_ports_that_are_none_are_refused(text: str) -> None:
    from anlan.core.errors import InvalidInputError
    from anlan.sim.ports import Ports

    with pytest.raises(InvalidInputError, match="--ports"):
        Ports.from_json(text)


def test_ports_travel_as_json() -> None:
    from anlan.sim.ports import Ports

    ports = Ports.free()
    assert Ports.from_json(ports.to_json()) == ports
    assert len(set(vars_of(ports))) == 7


def vars_of(ports: object) -> list[int]:
    """Return the port numbers."""
    return [getattr(ports, name) for name in type(ports).__dataclass_fields__]  # type: ignore[attr-defined]  # a dataclass

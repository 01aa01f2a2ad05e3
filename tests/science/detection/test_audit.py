"""Notes on training rows unlike the rest, and on readings far from what was trained on."""

from __future__ import annotations

import numpy as np
import pytest

from anlan.science.detection.audit import audit_training, outside_training
from anlan.science.detection.protocol import Floats, Table

MIXING = np.random.default_rng(0).normal(size=(6, 6))


def table_of(values: Floats) -> Table:
    names = tuple(f"v{number}" for number in range(values.shape[1]))
    return Table(names, np.arange(len(values), dtype=np.int64), values)


def normal(rows: int, seed: int) -> Floats:
    return np.asarray(np.random.default_rng(seed).normal(size=(rows, 6)) @ MIXING)


def audit(values: Floats) -> list[str]:
    return audit_training(table_of(values), np.zeros(len(values), np.int64), np.arange(1, len(values) + 1))


@pytest.mark.parametrize("seed", range(10))
def test_normal_rows_raise_no_note(seed: int) -> None:
    assert audit(normal(500, seed)) == []


def test_a_fault_in_a_tenth_of_the_rows_is_found_with_its_variable() -> None:
    values = normal(1000, 1)
    values[600:700, 2] += 5 * values[:, 2].std()
    notes = audit(values)
    assert len(notes) == 1
    assert notes[0].startswith("training rows 601 to 700 are unlike the rest (v2 is +")


def test_a_broken_relation_is_found_though_no_reading_is_far_off() -> None:
    values = normal(1000, 2)
    values[:, 3] = values[:, 0] + values[:, 1] + 0.1 * np.random.default_rng(8).normal(size=1000)
    values[400:500, 3] = np.random.default_rng(9).permutation(values[400:500, 3])
    assert any("rows 401 to 500" in note and "do not move together" in note for note in audit(values))


def test_few_rows_gaps_and_constants_are_no_trouble() -> None:
    assert audit(normal(20, 3)) == []
    values = normal(300, 4)
    values[::7, 1] = np.nan
    values[:, 5] = 3.0
    assert audit(values) == []


def test_readings_in_another_unit_are_told() -> None:
    values = normal(200, 5)
    validity = {f"v{j}": (float(values[:, j].min()), float(values[:, j].max())) for j in range(6)}
    assert outside_training(table_of(values), validity) == []
    values[:, 1] = 1000 * (values[:, 1] + 5)
    values[:, 4] = np.nan
    notes = outside_training(table_of(values), validity)
    assert [note.partition(":")[0] for note in notes] == ["v1", "v4"]
    assert "every reading is missing" in notes[1]

"""Every packaged feature computes what its test vectors say; a wrong file is told by file, line and field."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from anlan.core.errors import InvalidInputError
from anlan.warn.features.library import FeatureFileError, Library, library, read, substances
from anlan.warn.features.methods import METHODS
from anlan.warn.features.specs import FeatureSpec
from anlan.warn.features.vectors import check_file, check_vectors

GOOD = """- id: pump.head
  zh: 扬程
  en: Head
  meaning_zh: 进出口压差
  meaning_en: Pressure gain
  inputs:
    suction: {kind: pressure, match: "suction*", unit: MPa}
    discharge: {kind: pressure, match: "discharge*", unit: MPa}
  expression: discharge - suction
  unit: MPa
  grades: {yellow: 2}
  action_zh: 检查
  action_en: Check it
  source: ISO 9906
  tests:
    - series: {suction: [0.1], discharge: [1.0]}
      expect: [{value: 0.9}]
"""


def test_there_are_more_than_forty_general_features_and_those_of_two_industries() -> None:
    packs = Counter(spec.pack for spec in library().features.values())
    assert packs[""] >= 80
    assert set(packs) == {"", "chemical", "steel"}


def test_every_builtin_is_used_and_tested() -> None:
    assert {spec.builtin for spec in library().features.values()} == set(METHODS)


@pytest.mark.parametrize("spec", library().features.values(), ids=lambda spec: spec.id)
def test_feature_computes_what_its_vectors_say(spec: FeatureSpec) -> None:
    assert check_vectors(spec) == []


@pytest.mark.parametrize("spec", library().features.values(), ids=lambda spec: spec.id)
def test_feature_has_a_vector_of_calm_and_if_it_grades_one_of_trouble(spec: FeatureSpec) -> None:
    grades = {expected.grade for vector in spec.tests for expected in vector.expect}
    assert "none" in grades
    assert bool(spec.grades) == bool(grades - {"none", None})


@pytest.mark.parametrize("spec", library().features.values(), ids=lambda spec: spec.id)
def test_grades_stay_within_the_validity_range(spec: FeatureSpec) -> None:
    low = spec.low if spec.low is not None else float("-inf")
    high = spec.high if spec.high is not None else float("inf")
    assert all(low <= limit <= high for limit in spec.grades.values())


def test_a_wrong_expectation_is_found(tmp_path: Path) -> None:
    file = tmp_path / "features.yaml"
    file.write_text(GOOD)
    assert check_file(file)[1] == []
    file.write_text(GOOD.replace("value: 0.9", "value: 0.8"))
    specs, problems = check_file(file)
    assert [spec.id for spec in specs] == ["pump.head"]
    assert problems == [f"{file}: feature pump.head, tests[0]: step 0: 0.8 ± 1e-06 expected, 0.9 (ok) computed"]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("expression: discharge - suction", "expression: discharge - suktion", 9, "expression: suktion is neither"),
        ("expression: discharge - suction", "expression: discharge -", 9, "is not a formula"),
        ("discharge - suction", "__import__('os')", 9, "no function"),
        ("discharge - suction", "discharge.real", 9, "not part of a formula"),
        ("{kind: pressure, match: \"s", "{kind: presure, match: \"s", 7, "inputs.suction.kind: 'presure'"),
        ("unit: MPa\n  grades", "unit: MPa\n  step: 7\n  grades", 11, "step: 7 is none of 1, 10, 60"),
        ("grades: {yellow: 2}", "grades: {yellow: 2, red: 1}", 11, "harder from blue to red"),
        ("grades: {yellow: 2}", "grades: {purple: 2}", 11, "'purple' is no grade"),
        ("grades: {yellow: 2}", "grades: {yellow: high}", 11, "Expected `float`, got `str`"),
        ("source: ISO 9906", "source: ''", 14, "source: must not be empty"),
        ("  source: ISO 9906\n", "", 1, "missing required field `source`"),
        ("unit: MPa\n  grades", "unit: MPa\n  colour: 1\n  grades", 1, "colour"),
        ("unit: MPa\n  grades", "unit: MPa\n  builtin: slope\n  grades", 1, "builtin slope needs parameter window"),
        ("unit: MPa\n  grades", "unit: MPa\n  builtin: magic\n  grades", 11, "builtin: 'magic'"),
        ("unit: MPa\n  grades", "unit: MPa\n  parameters: {smooth: 5 parsecs}\n  grades", 11, "parameters.smooth"),
        ("unit: MPa\n  grades", "unit: MPa\n  low: 3\n  high: 2\n  grades", 11, "validity range is empty"),
        ("suction: [0.1], ", "sucktion: [0.1], ", 16, "no input sucktion"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_file_line_and_field(old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    with pytest.raises(FeatureFileError) as told:
        read(GOOD.replace(old, new), "features.yaml")
    assert any(problem.startswith(f"features.yaml:{line}: ") and words in problem for problem in told.value.problems), (
        told.value.problems
    )


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    wrong = GOOD.replace('kind: pressure, match: "suction*"', "kind: presure").replace("yellow: 2", "purple: 2")
    with pytest.raises(FeatureFileError) as told:
        read(wrong, "f.yaml")
    assert len(told.value.problems) == 2


@pytest.mark.parametrize(
    "series",
    [
        "[[0.1]]",
        "[a]",
        "[{wave: 1}]",
        "[{wave: 1, period: 0, steps: 3}]",
        "[{wave: 1, period: 2, steps: 1e9}]",
        "[[1, x]]",
    ],
)
def test_a_vector_that_cannot_be_read_is_told(tmp_path: Path, series: str) -> None:
    file = tmp_path / "features.yaml"
    file.write_text(GOOD.replace("suction: [0.1]", f"suction: {series}"))
    assert any("tests[0]" in problem for problem in check_file(file)[1])


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "features.yaml"
    file.write_bytes(b"- id: \xff\xfe")
    assert "not UTF-8" in check_file(file)[1][0]


@pytest.mark.parametrize("text", ["", "id: x", "- [1", "42", "- 3\n- x: 1"])
def test_what_is_no_feature_file_is_told_not_raised_through(text: str) -> None:
    with pytest.raises(FeatureFileError):
        read(text, "f.yaml")


def test_an_id_may_be_there_once() -> None:
    with pytest.raises(FeatureFileError, match="twice"):
        read(GOOD + GOOD, "f.yaml")
    one = read(GOOD, "f.yaml")
    with pytest.raises(InvalidInputError, match="twice"):
        Library([*one, *one])


def test_properties_of_substances_give_their_known_vapour_pressures() -> None:
    import math

    # NIST Chemistry WebBook: ammonia 0.857 MPa, chlorine 0.677 MPa, propane 0.836 MPa, at 293.15 K.
    for cas, pressure in (("7664-41-7", 0.857), ("7782-50-5", 0.677), ("74-98-6", 0.836)):
        found = substances()[cas]
        exponent = found["evaporation"] / 8.314 * (1 / found["boiling"] - 1 / 293.15)
        assert 0.101325 * math.exp(exponent) == pytest.approx(pressure, rel=0.06)

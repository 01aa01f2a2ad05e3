"""The engine: the same log gives the same findings, whole or in pieces; each kind of model speaks when it should."""

from __future__ import annotations

import itertools
from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anlan.core.errors import DecodeError
from anlan.core.quality import Quality
from anlan.core.severity import RiskColour, WarningGrade
from anlan.warn.model import Finding, ModelKind, RiskNode, RiskTerm, WarningModel
from anlan.warn.stream.engine import NO_FEATURES, WarnEngine
from tests.warn.stream.models import MODELS, PLANT, Record, detector_file, engine, log, normal, play
from tests.warn.stream.plants import PATHS, START, UNIT, A, B, C, S, batch, limit, plant

SECONDS = 700


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return played()[0]


@pytest.fixture(scope="module")
def whole() -> list[Finding]:
    return played()[1]


@cache
def played() -> tuple[list[Record], list[Finding]]:
    """Return the log and what it gives when played whole."""
    whole_log = log(SECONDS)
    return whole_log, list(play(whole_log, engine()))


def of(findings: list[Finding], model: str) -> list[Finding]:
    return [finding for finding in findings if finding.model == model]


def second(finding: Finding) -> int:
    return (finding.time - START) // S


def test_same_log_gives_the_same_findings(records: list[Record], whole: list[Finding]) -> None:
    assert {finding.model for finding in whole} == {"gap", "normal", "predicted-alarm"}
    assert list(play(records, engine())) == whole


@settings(max_examples=6)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_restart_anywhere_resumes_exactly(cuts: list[float]) -> None:
    records, expected = played()
    edges = [0, *sorted(int(cut * len(records)) for cut in cuts), len(records)]
    runner, found = engine(), []
    for start, end in itertools.pairwise(edges):
        found += list(play(records[start:end], runner, start + 1))
        kept, runner = runner, engine()
        assert runner.restore(kept.snapshot()) == []
        assert runner.snapshot() == kept.snapshot()
        assert runner.predictions() == kept.predictions()
        assert runner.forecast(PATHS[A]) == kept.forecast(PATHS[A])
        assert runner.feature_values() == kept.feature_values()
    assert found == expected


def test_detector_names_what_is_off_with_value_and_expected(whole: list[Finding]) -> None:
    first = of(whole, "normal")[0]
    assert 120 < second(first) <= 170
    top = first.contributions[0]
    assert (top.name, top.unit) == (PATHS[A], "m")
    assert top.expected == pytest.approx(10.0, abs=0.05)
    assert top.value is not None
    assert top.value > 10.3
    assert first.p_value is not None
    assert first.p_value <= 1e-3
    assert first.path == "e"


def test_feature_finding_has_feature_and_points(whole: list[Finding]) -> None:
    first = of(whole, "gap")[0]
    assert (first.path, first.grade) == (UNIT, WarningGrade.BLUE)
    names = [contribution.name for contribution in first.contributions]
    assert names == [PATHS[A], PATHS[B], "test.gap"]
    assert of(whole, "gap")[1].grade == WarningGrade.ORANGE


def test_predicted_alarm_is_told_before_it_comes(records: list[Record]) -> None:
    runner = engine()
    found = list(play([record for record in records if record.tick is None or record.tick < 600], runner))
    first = of(found, "predicted-alarm")[0]
    assert (first.path, first.target) == (PATHS[A], f"{PATHS[A]}.HH")
    assert first.lead > 30 * S
    (predicted,) = runner.predictions(UNIT)
    reached = START + (120 + 500) * S
    assert predicted.alarm == f"{PATHS[A]}.HH"
    assert predicted.earliest <= reached <= predicted.latest
    assert runner.predictions("e/b") == ()
    cone = runner.forecast(PATHS[A], 600 * S)
    assert cone.trending
    assert cone.alarms == (predicted,)
    assert all(low <= middle <= high for low, middle, high in zip(cone.low, cone.median, cone.high, strict=True))
    assert not runner.forecast(PATHS[C]).trending


def test_evidence_names_the_samples_of_the_log(whole: list[Finding]) -> None:
    for finding in whole:
        for text in finding.samples:
            assert text.startswith("samples:n/")
            first, last = text.rpartition("#")[2].split("-")
            assert 1 <= int(first) <= int(last) <= len(log(SECONDS))
    assert any(finding.samples for finding in whole)


def test_finding_ends_after_its_off_steps() -> None:
    records = log(300)
    back = [Record(batch=batch((A, t + 0.5, 10.0), (B, t + 0.5, 10.0), (C, t + 0.5, 50.0))) for t in range(300, 500)]
    calm = [record for t, one in zip(range(300, 500), back, strict=True) for record in (one, Record(tick=float(t)))]
    found = of(list(play(records + calm, engine())), "gap")
    assert [finding.grade for finding in found] == [WarningGrade.BLUE, None]
    assert second(found[1]) == 305


def test_bad_inputs_are_blind_and_end_nothing() -> None:
    records = log(290)
    bad = [
        record
        for t in range(290, 400)
        for record in (Record(batch=batch((A, t + 0.5, 0.0, Quality.BAD_SENSOR))), Record(tick=float(t)))
    ]
    runner = engine()
    found = list(play(records, runner))
    before = runner.blind["gap@1"]
    assert of(found, "gap")[-1].grade == WarningGrade.BLUE
    assert of(list(play(bad, runner, len(records) + 1)), "gap") == []
    assert runner.blind["gap@1"] > before + 90


@pytest.mark.parametrize(
    ("model", "files", "word"),
    [
        (WarningModel("normal", ModelKind.DETECTOR), {}, "file is missing"),
        (WarningModel("normal", ModelKind.DETECTOR), {("normal", 1): b"x"}, "no model file"),
        (WarningModel("normal", ModelKind.DETECTOR, step=1_500_000), None, "multiple of one second"),
        (WarningModel("normal", ModelKind.DETECTOR, points=(PATHS[A], "e/x/y/z")), None, "e/x/y/z"),
        (WarningModel("gap", ModelKind.FEATURE, features=("no.such",)), None, "no.such"),
    ],
)
def test_model_that_cannot_run_says_why(
    model: WarningModel, files: dict[tuple[str, int], bytes] | None, word: str
) -> None:
    files = {("normal", 1): detector_file()} if files is None else files
    runner = WarnEngine(PLANT, (model,), NO_FEATURES, files)
    (problem,) = runner.problems.values()
    assert word in problem[1]
    assert runner.running == ()


def test_detector_whose_input_the_plant_lacks_does_not_run() -> None:
    runner = engine(the_plant=plant(numbers=(A, C)))
    assert "normal@1" not in runner.running
    assert PATHS[B] in runner.problems["normal@1"][1]


def test_altered_snapshot_is_refused(records: list[Record]) -> None:
    runner = engine()
    list(play(records[:400], runner))
    data = bytearray(runner.snapshot())
    data[len(data) // 2] ^= 1
    with pytest.raises(DecodeError):
        engine().restore(bytes(data))


def test_new_plant_keeps_what_points_have_seen_and_ends_what_is_gone(records: list[Record]) -> None:
    runner = engine()
    found = list(play(records[:1400], runner))
    assert of(found, "gap")[-1].grade is not None
    smaller = plant(limit(A, "HH", 20.0), numbers=(A, C), stale_after=20 * S)
    ended = runner.configure(smaller)
    assert {(finding.model, finding.grade) for finding in ended} == {("gap", None), ("normal", None)}
    again = list(play(records[1400:], runner, 1401))
    assert {finding.model for finding in again} == {"predicted-alarm"}
    assert again[0].target == f"{PATHS[A]}.HH"


def test_models_can_be_changed_while_it_runs(records: list[Record]) -> None:
    runner = engine()
    found = list(play(records[:1400], runner))
    ended = runner.use(MODELS[1:], {("normal", 1): detector_file()})
    assert [(finding.model, finding.path, finding.grade) for finding in ended] == [("gap", UNIT, None)]
    rest = list(play(records[1400:], runner, 1401))
    expected = [f for f in play(records, engine()) if f.model != "gap" and f not in found]
    assert rest == expected


def test_two_versions_run_side_by_side(records: list[Record]) -> None:
    slower = msgspec.structs.replace(MODELS[0], version=2, on_steps=30)
    found = list(play(records, engine((MODELS[0], slower))))
    first = {version: next(f.time for f in found if f.version == version) for version in (1, 2)}
    assert first[2] - first[1] >= 27 * S
    assert [f for f in found if f.version == 1] == list(play(records, engine(MODELS[:1])))


def node(index: float) -> RiskNode:
    terms = (RiskTerm("seal", "feature", "密封", "seal", index - 20.0, "test", causes=("samples:n/3/1..2#1-2", "X")),)
    return RiskNode(UNIT, "unit", index, RiskColour.YELLOW, 20.0, model="tank-farm", terms=terms)


def test_risk_above_inherent_is_a_finding() -> None:
    model = WarningModel("risk-rise", ModelKind.RISK, grades={"blue": 10.0, "orange": 40.0}, on_steps=2, off_steps=1)
    runner = WarnEngine(PLANT, (model,), NO_FEATURES, {})
    told = [runner.risk((node(index),), START + n) for n, index in enumerate((25.0, 35.0, 35.0, 70.0, 70.0, 20.0))]
    grades = [[finding.grade for finding in findings] for findings in told]
    assert grades == [[], [], [WarningGrade.BLUE], [], [WarningGrade.ORANGE], [None]]
    (finding,) = told[4]
    assert (finding.path, finding.score, finding.samples) == (UNIT, 50.0, ("samples:n/3/1..2#1-2",))
    assert finding.contributions[0].name == "seal"


def test_place_that_only_rolls_up_gives_no_finding() -> None:
    model = WarningModel("risk-rise", ModelKind.RISK, on_steps=1)
    runner = WarnEngine(PLANT, (model,), NO_FEATURES, {})
    assert runner.risk((msgspec.structs.replace(node(90.0), model=""),), START) == []


def test_normal_running_is_quiet() -> None:
    values = normal(900, 11)
    records = []
    for t, row in enumerate(values):
        rows = [(number, t + 0.5, float(v)) for number, v in zip((A, B, C), row, strict=True)]
        records += [Record(batch=batch(*rows)), Record(tick=float(t))]
    assert [f for f in play(records, engine()) if f.grade is not None and f.grade < WarningGrade.BLUE] == []

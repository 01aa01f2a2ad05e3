"""Model files: wrong ones are refused with file, line and field; shipped ones keep their rules."""

from __future__ import annotations

import pytest

from anlan.core.errors import InvalidInputError
from anlan.plant.packs import located
from anlan.warn.risk import library
from anlan.warn.risk.library import models_of, read_models
from anlan.warn.risk.model import SEVERITY, RiskModel, TermKind

GOOD = """\
models:
  - id: m
    version: 1
    name: 模型
    name_en: Model
    inherent:
      classes: {first: 40, second: 30, third: 20, fourth: 12, below: 5}
      source: GB 18218-2018
      confidence: verified
    scale: {source: "Anlan, judgement", confidence: judgement, why: because}
    terms:
      - {id: a, kind: alarm, zh: 报警, en: Alarm, source: S, confidence: verified, steps: {critical: 9, high: 4}}
      - {id: b, kind: exposure, zh: 人, en: People, source: S, confidence: verified, levels: [{at: 3, adds: 1}]}
"""


def test_a_good_file_is_read() -> None:
    [model] = read_models(located(GOOD, "risk.yaml"))
    assert [term.id for term in model.terms] == ["a", "b"]


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "says"),
    [
        ("critical: 9", "critical: 3", 12, "steps.critical", "less than the milder 'high'"),
        ("{critical: 9, high: 4}", "{high: 4}", 12, "steps.high", "'critical' adds 0"),
        ("critical: 9", "critical: -1", 12, "steps.critical", "adds -1"),
        ("critical: 9", "critical: .inf", 12, "steps.critical", "adds inf"),
        ("critical: 9", "urgent: 9", 12, "steps.urgent", "no step 'urgent'"),
        ("critical: 9", "critical: nine", 12, "steps", "Expected `float`"),
        ("kind: alarm", "kind: alarum", 12, "kind", "alarum"),
        ("kind: alarm", "kind: inherent", 12, "kind", "made from `inherent`"),
        ("id: b", "id: a", 13, "id", "two terms are called 'a'"),
        ("[{at: 3, adds: 1}]", "[{at: 3, adds: 4}, {at: 9, adds: 2}]", 13, "levels", "mild to worse"),
        ("[{at: 3, adds: 1}]", "[{at: 9, adds: 1}, {at: 3, adds: 2}]", 13, "levels", "mild to worse"),
        ("levels: [{at: 3, adds: 1}]", "steps: {critical: 1}", 13, "", "needs levels"),
        ("source: S, confidence: verified, steps", "source: '', confidence: verified, steps", 12, "source", "no s"),
        ("confidence: verified, steps", "confidence: sure, steps", 12, "confidence", "no confidence 'sure'"),
        ("confidence: verified, steps", "confidence: judgement, steps", 12, "confidence", "not marked"),
        (", why: because", "", 10, "confidence", "not marked"),
        ("second: 30", "second: 50", 7, "classes", "milder class"),
        (", below: 5", "", 7, "classes", "not complete"),
        ("zh: 人", "zh: 人, further: 2", 13, "further", "no share"),
        ("zh: 人", "zh: 人, cap: 0", 13, "cap", "cap 0"),
        ("zh: 报警", "zh: 报警, point_kinds: [presure]", 12, "point_kinds", "no kind of point 'presure'"),
        ("zh: 报警", "zh: 报警, alarm_kinds: [HHH]", 12, "alarm_kinds", "no kind of alarm 'HHH'"),
        ("zh: 报警", "zh: 报警, barriers: [wall]", 12, "barriers", "no kind of barrier 'wall'"),
        ("zh: 报警", "zh: 报警, works: [sleeping]", 12, "works", "no kind of work 'sleeping'"),
        ("zh: 报警", "zh: 报警, standing: soon", 12, "standing", "not a duration"),
        ("zh: 报警", "zh: 报警, colour: red", 12, "colour", "unknown field"),
        ("    version: 1", "    version: 1\n    bounds: {red: 50, orange: 60, yellow: 20}", 4, "bounds", "order"),
        ("    version: 1\n", "", 2, "", "missing required field `version`"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_line_and_field(old: str, new: str, line: int, field: str, says: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(InvalidInputError) as caught:
        read_models(located(text, "packs/x/risk.yaml"))
    where = caught.value.where
    assert where.startswith(f"packs/x/risk.yaml:{line} "), where
    assert field in where
    assert says in caught.value.message
    assert caught.value.fix


def test_two_models_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = located(GOOD.replace("id: m", "id: general"), "packs/x/risk.yaml")
    monkeypatch.setattr(library, "load_pack_file", lambda pack, name: twice)
    with pytest.raises(InvalidInputError, match="two risk models are called 'general'"):
        models_of(["chemical"])


def test_packs_that_are_not_installed_are_skipped_and_the_general_model_is_always_last() -> None:
    assert [model.id for model in models_of(["nonesuch"])] == ["general"]
    assert [model.id for model in models_of(["steel", "chemical"])] == ["coal-gas", "tank-farm", "general"]
    assert [model.pack for model in models_of(["steel"])] == ["steel", ""]


@pytest.fixture(params=["tank-farm", "coal-gas", "general"])
def model(request: pytest.FixtureRequest) -> RiskModel:
    return next(item for item in models_of(["chemical", "steel"]) if item.id == request.param)


def test_every_kind_of_state_has_a_term_in_every_shipped_model(model: RiskModel) -> None:
    wanted = set(TermKind) - {TermKind.INHERENT}
    if model.id == "general":
        wanted -= {TermKind.ENVIRONMENT, TermKind.LACKING}
    assert wanted <= {term.kind for term in model.terms}


def test_every_state_of_a_barrier_of_any_kind_and_every_grade_raises(model: RiskModel) -> None:
    from anlan.plant.registers.vocabulary import barrier_kinds, work_kinds

    barriers = [term for term in model.terms if term.kind is TermKind.BARRIER]
    for kind in barrier_kinds():
        assert any(not term.barriers or kind in term.barriers for term in barriers), kind
    for work in (name for name, row in work_kinds().items() if row.special):
        assert any(work in term.works for term in model.terms if term.kind is TermKind.WORK), work
    for term in model.terms:
        for chain in SEVERITY.get(term.kind, ())[: 1 if term.kind is not TermKind.ALARM else 0]:
            assert all(term.steps.get(name, 0) > 0 for name in chain), (term.id, chain)


def test_the_model_says_of_every_figure_where_it_comes_from(model: RiskModel) -> None:
    for term in model.terms:
        assert term.source
        assert term.confidence == "judgement" or term.clause, term.id
    for judged in (model.inherent, model.scale):
        assert judged.source == "Anlan, judgement"
        assert len(judged.why) > 60

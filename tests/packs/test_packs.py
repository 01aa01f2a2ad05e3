"""Packs: found by entry point, read with their lines; what should be sensed and is not is a warning."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from anlan.core.errors import InvalidInputError, NotFoundError
from anlan.core.severity import RiskColour
from anlan.plant import check_sensing
from anlan.plant.check_sensing import read_sensing
from anlan.plant.compiler import compile_site, numbers_in_file_order
from anlan.plant.major_hazard import HazardGrade, grade_installation
from anlan.plant.model import Plant
from anlan.plant.packs import installed, load_pack_file, located, where
from anlan.plant.site_file import check, load
from anlan.sim.site import HOME
from anlan.warn.model import RiskNode
from anlan.warn.risk.engine import RiskEngine
from anlan.warn.risk.library import models_of
from anlan.warn.risk.model import ActiveAlarm, HeadCount, RiskFacts, Weather
from tests.conftest import ROOT

NOW = 10**15
COAL_GAS = ROOT / "examples" / "coal-gas"


def _compiled(path: Path) -> Plant:
    document = load(path)
    assert document.warnings == ()
    return compile_site(document, numbers_in_file_order(document))


@pytest.fixture(scope="module")
def park() -> Plant:
    return _compiled(HOME)


@pytest.fixture(scope="module")
def works() -> Plant:
    return _compiled(COAL_GAS)


# --- files -----------------------------------------------------------------------------------------------------------


def test_packs_are_found_by_entry_point_and_know_their_lines() -> None:
    assert {"chemical", "steel"} <= set(installed())
    root = load_pack_file("chemical", "risk.yaml")
    assert root is not None
    text = (ROOT / "src/anlan/packs/chemical/risk.yaml").read_text(encoding="utf-8")
    line = text[: text.index("id: esd-valve,")].count("\n") + 1
    terms = [term["id"] for term in root["models"][0]["terms"]]
    place = where(root, "models", 0, "terms", terms.index("esd-valve"), "id")
    assert place == f"packs/chemical/risk.yaml:{line} models[tank-farm].terms[esd-valve].id"


def test_a_file_that_a_pack_has_not_is_none_and_a_pack_that_is_not_there_an_error() -> None:
    assert load_pack_file("steel", "nonesuch.yaml") is None
    with pytest.raises(NotFoundError, match="'mining' is not installed"):
        load_pack_file("mining", "risk.yaml")


@pytest.mark.parametrize("text", ["a: [1", "- a", "a: 1\na: 2\n"])
def test_a_broken_file_is_named_with_its_line(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        located(text, "packs/x/risk.yaml")
    assert caught.value.where.startswith("packs/x/risk.yaml:")
    assert caught.value.fix


# --- what should be sensed -------------------------------------------------------------------------------------------

TANK = """
site: {id: s}
use: [chemical]
substances: [{id: nh3, name: 液氨, cas: 7664-41-7}, {id: water, name: 水, cas: 7732-18-5}]
enterprises:
  - id: e
    areas:
      - id: a
        units:
          - {id: t-1, kind: pressurised-tank, substance: nh3, points: [{id: level, kind: level}]}
          - {id: t-2, kind: atmospheric-tank, substance: water}
          - id: t-3
            kind: pressurised-tank
            stock: [{substance: nh3, quantity: 5, unit: t}]
            points: [{id: l, kind: level}, {id: p, kind: pressure}, {id: t, kind: temperature}]
      - {id: b, units: [{id: ws, kind: weather-station, points: [{id: w, kind: wind-speed}]}]}
"""


def _findings(tmp_path: Path, text: str) -> list[tuple[str, int, str, str]]:
    (tmp_path / "site.yaml").write_text(text, encoding="utf-8")
    _, findings = check(tmp_path)
    return [(item.code, item.line, item.severity, item.message) for item in findings]


def test_a_unit_that_lacks_what_a_pack_wants_is_one_warning_with_place_and_source(tmp_path: Path) -> None:
    first, third = _findings(tmp_path, TANK)
    assert first[:3] == ("should-sense", 10, "warning")
    assert "temperature, pressure, toxic gas" in first[3]
    assert "AQ 3036-2010" in first[3]
    assert "GB/T 50493-2019" in first[3]
    assert third[1] == 12
    assert "toxic gas" in third[3]
    assert "temperature" not in third[3]


def test_a_detector_of_the_area_serves_its_units_and_a_site_without_the_pack_is_not_judged(tmp_path: Path) -> None:
    detector = TANK.replace(
        "kind: atmospheric-tank, substance: water", "kind: gas-detectors, points: [{id: g, kind: toxic-gas}]"
    )
    [first] = _findings(tmp_path, detector)
    assert "toxic gas" not in first[3]
    assert _findings(tmp_path, TANK.replace("use: [chemical]\n", "")) == []


def test_without_wind_anywhere_every_tank_says_so(tmp_path: Path) -> None:
    found = _findings(tmp_path, TANK.replace("kind: wind-speed", "kind: humidity"))
    assert Counter("wind speed" in message for *_, message in found) == {True: 2}


def test_a_pack_with_wrong_data_is_a_warning_and_not_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = located("should_sense: [{id: a}]", "packs/chemical/sensing.yaml")
    monkeypatch.setattr(check_sensing, "load_pack_file", lambda pack, name: wrong)
    [only] = _findings(tmp_path, TANK)
    assert only[0] == "pack-unusable"
    assert "packs/chemical/sensing.yaml:1" in only[3]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{id: a, zh: 甲, en: a, units: [x], point_kinds: [presure], source: S, confidence: verified}", "presure"),
        ("{id: a, zh: 甲, en: a, units: [x], point_kinds: [level], source: '', confidence: verified}", "not complete"),
        (
            "{id: a, zh: 甲, en: a, units: [x], point_kinds: [level], source: S, confidence: v, within: town}",
            "not complete",
        ),
    ],
)
def test_a_wrong_row_is_named(row: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        read_sensing(located(f"should_sense:\n  - {row}\n", "packs/x/sensing.yaml"))
    assert caught.value.where.startswith("packs/x/sensing.yaml:2")


@pytest.mark.parametrize("pack", ["chemical", "steel"])
def test_shipped_rows_carry_source_clause_and_confidence(pack: str) -> None:
    root = load_pack_file(pack, "sensing.yaml")
    assert root is not None
    rows = read_sensing(root)
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert row.source
        assert row.clause
        assert row.confidence in ("verified", "memory_high", "memory_low")


# --- the chemical pack and the park ----------------------------------------------------------------------------------


def test_the_park_names_its_installations_and_their_grades_follow(park: Plant) -> None:
    graded = {item.id: grade_installation(park, item) for item in park.installations}
    assert {key: item.grade for key, item in graded.items()} == {
        "mh-ammonia": HazardGrade.FIRST,
        "mh-lpg": HazardGrade.FIRST,
        "mh-chlorine": HazardGrade.FIRST,
        "mh-ethylene-oxide": HazardGrade.FIRST,
        "mh-ethylene": HazardGrade.THIRD,
        "mh-oxygen": HazardGrade.FOURTH,
    }
    # 6 × 3000 m³ × 610 kg/m³ × 0.85 = 9333 t; Q = 10 t, β = 2, α = 2.
    assert graded["mh-ammonia"].r == pytest.approx(2 * 2 * 6 * 1555.5 / 10)


def test_the_chemical_model_is_for_what_holds_dangerous_substances(park: Plant) -> None:
    engine = RiskEngine(park, models_of(park.packs))
    by_model: dict[str, Counter[str]] = {}
    for bound in engine.bound:
        by_model.setdefault(bound.model.id, Counter())[bound.unit.kind] += 1
    assert engine.unbound == ()
    tanks = by_model["tank-farm"]
    assert sum(tanks.values()) > 90
    assert (tanks["pressurised-tank"], tanks["loading-bay"], tanks["reactor"]) == (22, 8, 10)
    assert by_model["general"]["control-room"] == 17
    assert by_model["general"]["atmospheric-tank"] == 18  # caustic, glycol, brine, water


def test_a_quiet_day_in_the_park_has_no_orange_and_one_leak_is_red_up_to_the_park(park: Plant) -> None:
    engine = RiskEngine(park, models_of(park.packs))
    people = tuple(HeadCount(point.path, 18) for point in park.points if point.kind == "people")
    calm = RiskFacts(presence=people, weather=(Weather("wind-speed", 1.2), Weather("temperature", 24.0)))
    quiet = {node.path: node for node in engine.evaluate(calm, NOW)}
    assert {node.colour for node in quiet.values()} <= {RiskColour.BLUE, RiskColour.YELLOW}
    assert quiet["haian/ammonia-farm/t-401"].colour is RiskColour.YELLOW
    assert quiet["gangneng"].colour is RiskColour.BLUE
    path = "donglan/chlorine/v-111/cl2-1"
    leak = RiskFacts(alarms=(ActiveAlarm(f"{path}.HH", path, "HH", 1, NOW - 1, "E"),), presence=people)
    after = {node.path: node for node in engine.evaluate(leak, NOW)}
    assert [p for p, node in after.items() if node.colour is RiskColour.RED] == [
        "",
        "donglan",
        "donglan/chlorine",
        "donglan/chlorine/v-111",
    ]


# --- the steel pack and its example ----------------------------------------------------------------------------------


def _evaluated(works: Plant, *alarms: tuple[str, str], people: float = 0) -> dict[str, RiskNode]:
    """Return the nodes with these alarms of the site's own definitions active."""
    defined = {alarm.id: alarm for alarm in works.alarms}
    paths = {point.number: point.path for point in works.points}
    active = []
    for path, kind in alarms:
        alarm = defined[f"{path}.{kind}"]
        active.append(ActiveAlarm(alarm.id, paths[alarm.point], kind, alarm.priority, NOW - 1, f"E-{kind}"))
    facts = RiskFacts(alarms=tuple(active), presence=(HeadCount("lingang/holders", people),))
    return {node.path: node for node in RiskEngine(works, models_of(works.packs)).evaluate(facts, NOW)}


def test_the_example_is_graded_and_bound_whole(works: Plant) -> None:
    graded = grade_installation(works, works.installations[0])
    assert graded.r == pytest.approx(44.25)
    assert graded.grade is HazardGrade.THIRD
    quiet = _evaluated(works)
    models = Counter(node.model for node in quiet.values() if node.kind == "unit")
    assert models == {"coal-gas": 13, "general": 1}
    for node in quiet.values():
        assert node.colour is RiskColour.BLUE
        assert node.lacking == (), node.path


def test_carbon_monoxide_where_people_work(works: Plant) -> None:
    place = "lingang/holders/workplace"
    one = _evaluated(works, (f"{place}/co-1", "HH"))[place]
    two = _evaluated(works, (f"{place}/co-1", "HH"), (f"{place}/co-2", "HH"), people=3)[place]
    assert (one.colour, two.colour) == (RiskColour.ORANGE, RiskColour.ORANGE)
    crowd = _evaluated(works, *((f"{place}/co-{n}", "HH") for n in (1, 2, 3)), people=3)
    assert crowd[place].colour is RiskColour.RED
    assert crowd[""].colour is RiskColour.RED


@pytest.mark.parametrize(
    ("path", "kind", "term"),
    [
        ("lingang/holders/ldg-holder/oxygen", "HH", "oxygen-in-gas"),
        ("lingang/holders/bfg-holder/position", "LL", "holder-position"),
        ("lingang/holders/bfg-holder/rate", "HH", "holder-rate"),
        ("lingang/holders/bfg-holder/seal-oil", "LL", "holder-seal"),
        ("lingang/holders/bfg-holder/pressure", "L", "holder-pressure"),
        ("lingang/holders/bfg-holder/co-piston", "HH", "carbon-monoxide"),
        ("lingang/holders/seal-bfg/level", "LL", "water-seal-level"),
        ("lingang/mains/drainer-1/level", "L", "water-seal-level"),
        ("lingang/mains/main-end/pressure", "LL", "pipe-pressure-low"),
        ("lingang/mains/bfg-main/purge-pressure", "L", "purge"),
        ("lingang/mains/blind-1/blind-state", "state", "isolation-position"),
        ("lingang/mains/flare-1/flame", "state", "flare"),
        ("lingang/mains/workplace/ventilation", "state", "ventilation-alarm"),
        ("lingang/mains/fan-1/vibration", "HH", "fan-machine"),
        ("lingang/holders/workplace/co-1", "stale", "blind-instrument"),
    ],
)
def test_each_state_of_the_coal_gas_area_finds_its_term(works: Plant, path: str, kind: str, term: str) -> None:
    node = _evaluated(works, (path, kind))[path.rpartition("/")[0]]
    raised = [item for item in node.terms if item.since]
    assert [item.id for item in raised] == [term]
    assert raised[0].causes == (f"E-{kind}",)
    assert node.index > node.inherent


def test_the_model_states_what_a_poorer_site_lacks_and_the_check_says_it_too(tmp_path: Path) -> None:
    lines = (COAL_GAS / "site.yaml").read_text(encoding="utf-8").splitlines()
    kept, skipping = [], False
    for line in lines:
        starts = line.lstrip().startswith("- {id:")
        skipping = "kind: toxic-gas" in line if starts else skipping and line.startswith("                 ")
        gas_detection = "kind: gas-detection" in line or "workplace/co-" in line or "co-piston" in line
        if not skipping and not gas_detection:
            kept.append(line)
    (tmp_path / "site.yaml").write_text("\n".join(kept), encoding="utf-8")
    document, findings = check(tmp_path)
    assert {item.code for item in findings} == {"should-sense"}
    assert len(findings) == 12
    assert document is not None
    plant = compile_site(document, numbers_in_file_order(document))
    node = _evaluated(plant)["lingang/holders/bfg-holder"]
    assert any("CO" in item for item in node.lacking)
    assert any(term.kind == "lacking" for term in node.terms)

"""Where features run: by kind and name, by machine, by the site's word; elsewhere the reason in words."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from anlan.plant.model import AlarmDefinition, FeatureBinding, Plant, Point, SiteInfo, Substance, Unit, WarnPlan
from anlan.warn.features.engine import FeatureEngine
from anlan.warn.features.library import Library, library
from tests.sim.judge import plant as park_plant

PUMP = "e/a/p-1"
PARK = FeatureEngine(park_plant())


def plant(*points: Point, units: tuple[Unit, ...] = (Unit(PUMP, kind="pump"),), **more: object) -> Plant:
    numbered = tuple(msgspec.structs.replace(point, number=n + 1) for n, point in enumerate(points))
    return Plant(SiteInfo("s", "s"), units=units, points=numbered, **more)  # type: ignore[arg-type]  # fields by name


def point(name: str, kind: str, unit: str, unit_path: str = PUMP, equipment: str = "") -> Point:
    return Point(0, f"{unit_path}/{name}", kind, unit, equipment=equipment)


def engine(site: Plant, *ids: str) -> FeatureEngine:
    return FeatureEngine(site, Library([library().features[name] for name in ids]))


SEAL = "pump.seal-pressure-decline"


def test_the_one_fitting_point_is_bound_and_its_unit_converted() -> None:
    found = engine(plant(point("seal-pressure", "pressure", "kPa"), point("suction-pressure", "pressure", "kPa")), SEAL)
    (bound,) = found.bound
    assert bound.path == PUMP
    assert found.inputs(0) == {"seal": f"{PUMP}/seal-pressure"}
    assert bound.inputs["seal"][0].gain == pytest.approx(0.001)


def test_of_several_the_first_telling_name_is_taken() -> None:
    site = plant(point("seal-gas", "pressure", "MPa"), point("seal-pressure", "pressure", "MPa"))
    assert engine(site, SEAL).inputs(0) == {"seal": f"{PUMP}/seal-pressure"}


def test_a_choice_is_not_made_but_told() -> None:
    site = plant(point("de-seal", "pressure", "MPa"), point("nde-seal", "pressure", "MPa"))
    found = engine(site, SEAL)
    assert found.bound == ()
    zh, en = found.unbound[SEAL][PUMP]
    assert "de-seal" in en
    assert "warn.features" in en
    assert "warn.features" in zh


def test_the_site_file_decides() -> None:
    binding = FeatureBinding(SEAL, PUMP, {"seal": f"{PUMP}/nde-seal"}, {"floor": 0.02})
    site = plant(point("de-seal", "pressure", "MPa"), point("nde-seal", "pressure", "MPa"), warn=WarnPlan((binding,)))
    found = engine(site, SEAL)
    assert found.inputs(0) == {"seal": f"{PUMP}/nde-seal"}
    assert found.bound[0].parameters["floor"] == 0.02


@pytest.mark.parametrize(
    ("inputs", "parameters", "words"),
    [
        ({"seel": f"{PUMP}/flow"}, {}, "binds input seel"),
        ({"seal": f"{PUMP}/gone"}, {}, "there is no point"),
        ({"seal": f"{PUMP}/flow"}, {}, "is in m³/h, MPa is needed"),
        ({}, {"flor": 1.0}, "gives parameter flor"),
    ],
)
def test_a_wrong_word_of_the_site_is_told(inputs: dict[str, str], parameters: dict[str, float], words: str) -> None:
    warn = WarnPlan((FeatureBinding(SEAL, PUMP, inputs, parameters),))
    found = engine(plant(point("seal-pressure", "pressure", "MPa"), point("flow", "flow", "m³/h"), warn=warn), SEAL)
    assert found.bound == ()
    assert words in found.unbound[SEAL][PUMP][1]


def test_a_unit_of_several_machines_is_bound_machine_by_machine() -> None:
    site = plant(
        point("a-seal", "pressure", "MPa", equipment="P-1A"), point("b-seal", "pressure", "MPa", equipment="P-1B")
    )
    assert [one.equipment for one in engine(site, SEAL).bound] == ["P-1A", "P-1B"]


def test_a_unit_that_lacks_an_input_says_which() -> None:
    found = engine(plant(point("flow", "flow", "m³/h")), SEAL)
    assert found.unbound[SEAL][PUMP][1].startswith("input seal: no point of pressure named seal-pressure")
    assert "没有" in found.unbound[SEAL][PUMP][0]


def test_a_unit_it_is_not_meant_for_is_left_alone() -> None:
    site = plant(point("seal-pressure", "pressure", "MPa"), units=(Unit(PUMP, kind="tank"),))
    found = engine(site, SEAL)
    assert found.bound == ()
    assert found.unbound == {}


def test_a_limit_comes_from_the_points_alarm_and_its_lack_is_told() -> None:
    site = plant(point("current", "current", "A"), point("current-2", "current", "A"))
    site = msgspec.structs.replace(site, alarms=(AlarmDefinition(f"{PUMP}/current.H", 1, "H", 3, limit=90.0),))
    found = engine(site, "motor.overload-margin")
    assert [(one.path, one.constants) for one in found.bound] == [(f"{PUMP}/current", {"limit": 90.0})]
    assert "no H or HH alarm" in found.unbound["motor.overload-margin"][f"{PUMP}/current-2"][1]


def test_properties_of_the_substance_are_looked_up_and_their_lack_told() -> None:
    tank = Unit("e/a/t-1", kind="pressurised-tank", substance="nh3")
    points = (point("pressure", "pressure", "MPa", "e/a/t-1"), point("temperature", "temperature", "°C", "e/a/t-1"))
    site = plant(*points, units=(tank,), substances=(Substance("nh3", cas="7664-41-7"),))
    found = engine(site, "tank.saturation-inconsistency")
    assert found.bound[0].parameters["boiling"] == pytest.approx(239.8)
    unknown = engine(plant(*points, units=(tank,)), "tank.saturation-inconsistency")
    assert "no properties of substance nh3" in unknown.unbound["tank.saturation-inconsistency"]["e/a/t-1"][1]


def test_a_feature_that_is_not_there_is_told() -> None:
    site = plant(point("x", "flow", "m³/h"), warn=WarnPlan((FeatureBinding("steel.co-cluster", PUMP),)))
    assert "no feature steel.co-cluster" in engine(site, SEAL).unbound["steel.co-cluster"][PUMP][1]


def test_features_of_a_pack_run_where_the_site_uses_it() -> None:
    site = park_plant()
    plain = {one.feature.pack for one in FeatureEngine(msgspec.structs.replace(site, packs=())).bound}
    used = {one.feature.pack for one in FeatureEngine(msgspec.structs.replace(site, packs=("chemical",))).bound}
    assert plain == {""}
    assert used == {"", "chemical"}


def test_the_park_binds_what_its_equipment_can_show() -> None:
    count = Counter(one.feature.id for one in PARK.bound)
    assert len(count) >= 65
    assert count["exchanger.fouling"] == 22
    assert count[SEAL] == count["pump.efficiency-drop"] == 68
    assert count["valve.stiction"] == count["valve.tracking-error"] == 54
    assert count["gas.detector-drift"] == 233
    assert count["reactor.runaway-indicator"] == 10


def test_a_detector_is_compared_with_its_own_kind_only() -> None:
    found = PARK
    paths = {path for n, one in enumerate(found.bound) if one.feature.id == "gas.detector-drift"
             for path, _ in found.paths(n, "others") if one.path == "haian/ammonia-farm/t-401/nh3-1"}  # fmt: skip
    assert len(paths) == 23
    assert all("/nh3-" in path for path in paths)

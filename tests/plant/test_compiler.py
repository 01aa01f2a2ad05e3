"""Compiling a checked site: paths, numbers, alarm definitions, one revision for one input."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anlan.plant.compiler import compile_site, numbers_in_file_order
from anlan.plant.model import AlarmDefinition, Plant, decode_plant, encode_plant, revision_of
from anlan.plant.site_file import load

SITE = """\
site: {id: donggang, name: 东港化工园区, tier: park, location: [121.62, 29.95]}
policy: {max_age: 5 min, shelve_longest: {critical: 10 min}}
positions: [{id: desk-1, name: 一号台, scope: [haian]}]
substances: [{id: ammonia, name: 液氨, cas: 7664-41-7}]
enterprises:
  - id: haian
    name: 海安化工
    areas:
      - id: tank-farm-a
        units:
          - id: t-401
            kind: pressurised-tank
            substance: ammonia
            inventory: {value: 120, unit: t}
            stock: [{substance: ammonia, quantity: 120, unit: t}]
            equipment: [{id: p-1}, {id: motor, part_of: p-1}]
            points:
              - {id: pressure, kind: pressure, limits: {HH: 1.9, H: 1.7, L: 0.2},
                 on_delay: 2 s, off_delay: 3 s, deadband: 0.02}
              - id: gas-1
                kind: toxic-gas
                safety: true
                calibration: {gain: 1.5, offset: -0.5, range: [0, 100], expires: 2027-01-01, certificate: C-7}
                limits: {H: 10, HH: 25}
                alarms:
                  - {kind: HH, consequence: catastrophic, time_to_act: 2 min, cause: 泄漏, action: 疏散, latched: true}
                  - {kind: rate, limit: 60, per: min, on_delay: 1 s}
                  - {kind: deviation, other: gas-2, limit: 8}
              - {id: gas-2, kind: toxic-gas, safety: true, stale: 30 s}
              - id: pump
                kind: state
                states: {0: 停, 1: 运行, 2: 故障}
                alarms: [{kind: state, states: [故障, 0], operator_position: desk-1, priority: low}]
            alarms:
              - {kind: vote, name: gas, inputs: [gas-1, gas-2], needed: 2, limit: 20, enable: "'pump' == 1"}
              - kind: expression
                name: dry-run
                expression: haian/tank-farm-a/t-401/pump == 1 and 'pressure' < 0.1
connectors:
  - {id: dcs, kind: opcua, endpoint: "opc.tcp://10.0.0.5:4840", map: {haian/tank-farm-a/t-401/pressure: "ns=2;s=PT401"}}
"""
UNIT = "haian/tank-farm-a/t-401"


def compiled(folder: Path, text: str = SITE) -> Plant:
    path = folder / "site.yaml"
    path.write_text(text, encoding="utf-8")
    document = load(path, now_us=0)
    return compile_site(document, numbers_in_file_order(document))


def alarms_of(plant: Plant) -> dict[str, AlarmDefinition]:
    return {alarm.id: alarm for alarm in plant.alarms}


def test_points_have_paths_units_numbers_and_connectors(tmp_path: Path) -> None:
    plant = compiled(tmp_path)
    points = plant.point_by_path()
    assert [point.number for point in plant.points] == [1, 2, 3, 4]
    assert (points[f"{UNIT}/pressure"].unit, points[f"{UNIT}/pressure"].connector) == ("MPa", "dcs")
    gas = points[f"{UNIT}/gas-1"]
    assert gas.calibration is not None
    assert (gas.calibration.gain, gas.calibration.low, gas.calibration.high) == (1.5, 0, 100)
    assert gas.calibration.expires == 1_798_732_800_000_000  # 2027-01-01 00:00 in Shanghai
    assert (gas.stale_after, points[f"{UNIT}/gas-2"].stale_after, points[f"{UNIT}/pressure"].stale_after) == (
        60_000_000,
        30_000_000,
        0,
    )
    assert points[f"{UNIT}/pump"].states == {0: "停", 1: "运行", 2: "故障"}


def test_everything_else_of_the_site_is_there(tmp_path: Path) -> None:
    plant = compiled(tmp_path)
    assert [place.path for place in plant.places] == ["haian", "haian/tank-farm-a"]
    assert (plant.units[0].inventory, plant.units[0].inventory_unit) == (120, "t")
    assert (plant.stock[0].path, plant.stock[0].cas) == (UNIT, "7664-41-7")
    assert [item.part_of for item in plant.equipment] == ["", f"{UNIT}/p-1"]
    assert plant.policy.max_age == 300_000_000
    assert plant.policy.shelve_longest == (600_000_000, 7_200_000_000, 28_800_000_000, 28_800_000_000)
    assert plant.positions[0].scope == ("haian",)


def test_short_form_limits_share_delays_and_hh_covers_h(tmp_path: Path) -> None:
    alarms = alarms_of(compiled(tmp_path))
    high, highest, low = (alarms[f"{UNIT}/pressure.{kind}"] for kind in ("H", "HH", "L"))
    assert (highest.limit, highest.on_delay, highest.off_delay, highest.deadband) == (1.9, 2_000_000, 3_000_000, 0.02)
    assert high.covered_by == (highest.id,)
    assert low.covered_by == ()
    assert (highest.priority, high.priority) == (2, 3)


def test_long_form_adds_to_the_short_form(tmp_path: Path) -> None:
    alarm = alarms_of(compiled(tmp_path))[f"{UNIT}/gas-1.HH"]
    assert (alarm.limit, alarm.priority, alarm.latched, alarm.safety) == (25, 1, True, True)
    assert (alarm.cause, alarm.consequence, alarm.action, alarm.time_to_act) == (
        "泄漏",
        "catastrophic",
        "疏散",
        120_000_000,
    )


def test_every_kind_compiles(tmp_path: Path) -> None:
    plant = compiled(tmp_path)
    alarms = alarms_of(plant)
    number = {point.path: point.number for point in plant.points}
    assert alarms[f"{UNIT}/gas-1.rate"].limit == 1.0
    assert alarms[f"{UNIT}/gas-1.deviation"].other == number[f"{UNIT}/gas-2"]
    state = alarms[f"{UNIT}/pump.state"]
    assert (state.states, state.priority, state.operator_position) == ((2, 0), 4, "desk-1")
    vote = alarms[f"{UNIT}/gas-1.vote.gas"]
    assert (vote.inputs, vote.needed, vote.limit, vote.enable) == ((2, 3), 2, 20, f"'{UNIT}/pump' == 1")
    dry = alarms[f"{UNIT}/pump.expression.dry-run"]
    assert dry.expression == f"{UNIT}/pump == 1 and '{UNIT}/pressure' < 0.1"


def test_safety_points_get_stale_and_bad_quality_alarms(tmp_path: Path) -> None:
    kinds = {(alarm.point, alarm.kind) for alarm in compiled(tmp_path).alarms}
    assert {(2, "stale"), (2, "bad-quality"), (3, "stale"), (3, "bad-quality")} <= kinds
    assert (1, "stale") not in kinds


def test_a_default_alarm_can_be_switched_off_by_name(tmp_path: Path) -> None:
    text = SITE.replace("safety: true, stale: 30 s", "safety: true, alarms: [{kind: stale, enabled: false}]")
    alarms = alarms_of(compiled(tmp_path, text))
    assert alarms[f"{UNIT}/gas-2.stale"].enabled is False


def test_equal_input_gives_an_equal_revision_and_a_change_another(tmp_path: Path) -> None:
    first = encode_plant(compiled(tmp_path))
    assert revision_of(first) == revision_of(encode_plant(compiled(tmp_path, "# a comment\n" + SITE)))
    assert revision_of(first) != revision_of(encode_plant(compiled(tmp_path, SITE.replace("1.9", "1.8"))))
    assert encode_plant(decode_plant(first)) == first


def test_geojson_files_become_zones(tmp_path: Path) -> None:
    ring = "[[121.6, 29.9], [121.7, 29.9], [121.7, 30.0], [121.6, 29.9]]"
    properties = '{"id": "farm", "path": "haian/tank-farm-a", "name": "罐区"}'
    geometry = f'{{"type": "Polygon", "coordinates": [{ring}]}}'
    feature = f'{{"type": "Feature", "properties": {properties}, "geometry": {geometry}}}'
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "all.geojson").write_text(f'{{"type": "FeatureCollection", "features": [{feature}]}}')
    text = (
        SITE
        + "zones:\n  - zones/all.geojson\n  - {id: gate, path: haian, geometry: {type: Polygon, coordinates: ["
        + ring
        + "]}}\n"
    )
    plant = compiled(tmp_path, text)
    assert [(zone.id, zone.path, zone.name) for zone in plant.zones] == [
        ("farm", "haian/tank-farm-a", "罐区"),
        ("gate", "haian", ""),
    ]
    document = load(tmp_path / "site.yaml")
    assert [file.name for file in document.files] == ["site.yaml", "all.geojson"]


@given(
    limits=st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=4, max_size=4, unique=True).map(sorted),
    delay=st.integers(0, 3600),
    safety=st.booleans(),
)
def test_whatever_limits_a_file_has_come_out_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, limits: list[float], delay: int, safety: bool
) -> None:
    low_low, low, high, high_high = limits
    limits_text = f"{{HH: {high_high!r}, LL: {low_low!r}, H: {high!r}, L: {low!r}}}"
    point = f"{{id: p, safety: {str(safety).lower()}, on_delay: {delay} s, limits: {limits_text}}}"
    text = f"site: {{id: a}}\nenterprises: [{{id: e, areas: [{{id: a, units: [{{id: u, points: [{point}]}}]}}]}}]\n"
    plant = compiled(tmp_path_factory.mktemp("site"), text)
    got = {alarm.kind: (alarm.limit, alarm.on_delay) for alarm in plant.alarms if alarm.kind in ("LL", "L", "H", "HH")}
    delay_us = delay * 1_000_000
    assert got == {"LL": (low_low, delay_us), "L": (low, delay_us), "H": (high, delay_us), "HH": (high_high, delay_us)}

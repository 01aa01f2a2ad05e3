"""``anlan evacuate``: the example, its GeoJSON, and faults with file, line and field."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anlan.cli import build

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "evacuation"
SMALL = """
roads: roads.geojson
toxic: {concentration: 2, over: 60 min, exponent: 2}
cloud:
  until: 20 min
  track:
    - {time: 0, at: [121.600, 29.936], spread: 150, peak: 60}
    - {time: 20 min, at: [121.618, 29.936], spread: 250, peak: 20}
areas: [{id: a, at: [121.6116, 29.9361], people: 300, notice: 1 min, air_changes: 8}]
shelters: [{id: s, at: [121.6180, 29.9302]}]
"""


def run(*arguments):
    return CliRunner().invoke(build(), ["evacuate", *map(str, arguments)])


@pytest.fixture
def case(tmp_path):
    (tmp_path / "roads.geojson").write_bytes((EXAMPLES / "roads.geojson").read_bytes())

    def written(text):
        (tmp_path / "case.yaml").write_text(text, encoding="utf-8")
        return tmp_path / "case.yaml"

    return written


def test_the_example_tells_everybody_what_to_do_and_why(tmp_path):
    out = tmp_path / "ways.geojson"
    ran = run(EXAMPLES / "chlorine.yaml", "--json", "--geojson", out)
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["leaving"] + found["staying"] == 3000
    assert {area["id"] for area in found["areas"]} == {"dormitory", "school", "market", "village"}
    for area in found["areas"]:
        assert area["reason"]["zh"]
        assert area["leaving"] == sum(way["people"] for way in area["ways"])
        assert all(way["load_of_limit"] <= 1.0 for way in area["ways"])
        assert not any("经五路" in way["roads"] for way in area["ways"])
    assert [one["code"] for one in found["dispatch"]["unserved"]] == ["no-skill"]
    features = json.loads(out.read_text(encoding="utf-8"))["features"]
    ways = [one for one in features if one["properties"]["kind"] == "way"]
    assert sum(one["properties"]["people"] for one in ways) == found["leaving"]
    assert all(one["geometry"]["type"] == "LineString" for one in ways)


def test_text_names_areas_ways_and_reasons(case):
    ran = run(case(SMALL))
    assert ran.exit_code == 0, ran.output
    assert "leave · 撤离" in ran.output
    assert "→ s: " in ran.output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("people: 300", "people: -3", ":9: areas[0].people: -3 does not fit"),
        ("at: [121.6180, 29.9302]", "at: [29.93, 121.61]", ":10: shelters[0].at: [29.93, 121.61] is no place"),
        ("over: 60 min", "over: soon", "toxic.over: 'soon' is not a duration"),
        ("until: 20 min", "until: 20 min\n  gird: x", ":6: cloud.gird: no such key"),
        ("roads.geojson", "no.geojson", "roads: "),
        ("{time: 20 min", "{time: 0", "times that do not increase"),
        ("concentration: 2", "concentration: 0", "concentration of 0"),
        ("exponent: 2}", "exponent: 2}\nclosed: [nowhere]", "no road nowhere"),
        ("shelters: [{id: s, at: [121.6180, 29.9302]}]", "", "no shelters"),
        ("areas:", "areas: [", "case.yaml:"),
    ],
)
def test_a_fault_is_told_with_file_line_and_field(case, old, new, said):
    assert old in SMALL
    ran = run(case(SMALL.replace(old, new)), "--json")
    assert ran.exit_code == 1
    problem = json.loads(ran.stdout)["error"]
    assert said in problem["detail"]
    assert problem["fix"]


def test_a_grid_that_cuts_the_cloud_off_is_remarked(case, tmp_path):
    grid = {
        "lon": [121.60, 121.62],
        "lat": [29.93, 29.942],
        "times": [0, 600],
        "values": [[[9, 0], [0, 0]], [[0, 0], [0, 0]]],
    }
    (tmp_path / "grid.json").write_text(json.dumps(grid))
    text = SMALL[: SMALL.index("  track:")] + "  grid: grid.json\n" + SMALL[SMALL.index("areas:") :]
    ran = run(case(text), "--json")
    assert ran.exit_code == 0, ran.output
    assert "beyond it the air counts as clean" in json.loads(ran.stdout)["notes"][0]["en"]

"""Site files: what is read, and that everything wrong is named with file and line, all at once."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anlan.plant.findings import Finding, SiteFileError
from anlan.plant.site_file import check, load

NOW = 1_790_000_000_000_000  # 2026-09-21

GOOD = """\
site: {id: donggang, name: 东港化工园区, tier: park, location: [121.62, 29.95]}
enterprises:
  - id: haian
    areas:
      - id: tank-farm-a
        units:
          - id: t-401
            kind: pressurised-tank
            equipment: [{id: p-1}, {id: motor, part_of: p-1}]
            points:
              - {id: pressure, kind: pressure, unit: MPa, limits: {HH: 1.9, H: 1.7}, on_delay: 2 s, deadband: 0.02}
              - {id: pump, kind: state, states: {0: 停, 1: 运行, 2: 故障}, equipment: p-1}
              - {id: gas-1, kind: toxic-gas, safety: true, limits: {H: 10}}
"""


BARRIER = "site: {id: a}\nenterprises: [{id: e}]\nbarriers: [{id: b, path: e,"
OPEN_RING = "{type: Polygon, coordinates: [[[0, 0], [1, 0], [1, 1], [0, 2]]]}"


def write(folder: Path, text: str, name: str = "site.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def findings_of(folder: Path, text: str) -> list[tuple[str, int]]:
    _, findings = check(write(folder, text), now_us=NOW)
    return [(finding.code, finding.line) for finding in findings]


def only(folder: Path, text: str) -> Finding:
    _, findings = check(write(folder, text), now_us=NOW)
    assert len(findings) == 1, [finding.text() for finding in findings]
    return findings[0]


def with_point(fields: str) -> str:
    """The good site with one more point on line 14."""
    return GOOD + f"              - {{id: extra, {fields}}}\n"


def with_connector(fields: str) -> str:
    return GOOD + f"connectors:\n  - {{id: dcs, {fields}}}\n"


def test_reads_a_good_site_without_findings(tmp_path: Path) -> None:
    document, findings = check(write(tmp_path, GOOD), now_us=NOW)
    assert findings == ()
    assert document is not None
    assert [point.path for point in document.points()] == [
        "haian/tank-farm-a/t-401/pressure",
        "haian/tank-farm-a/t-401/pump",
        "haian/tank-farm-a/t-401/gas-1",
    ]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ("kind: pressur", "unknown-kind"),
        ("kind: pressure, unit: °C", "unit-not-allowed"),
        ("kind: pressure, limits: {H: 2, HH: 1}", "limits-order"),
        ("kind: pressure, limits: {L: 2, H: 2}", "limits-order"),
        ("kind: pressure, limits: {LL: 3, L: 2}", "limits-order"),
        ("kind: pressure, limits: {HHH: 2}", "unknown-key"),
        ("kind: pressure, limits: {HH: .nan}", "not-finite"),
        ("kind: pressure, limits: {HH: high}", "wrong-type"),
        ("kind: pressure, limit: {HH: 2}", "unknown-key"),
        ("kind: pressure, on_delay: soon", "duration"),
        ("kind: pressure, on_delay: -2 s", "duration"),
        ("kind: pressure, on_delay: true", "duration"),
        ("kind: pressure, deadband: -1", "too-small"),
        ("kind: pressure, limits: {H: 1, HH: 2}, deadband: 1", "deadband-too-wide"),
        ("kind: pressure, range: [0, 1], limits: {H: 2}", "limit-outside-range"),
        ("kind: pressure, range: [1, 1]", "range-order"),
        ("kind: pressure, range: [1]", "wrong-type"),
        ("kind: pressure, position: [29.95, 121.62]", "bad-location"),
        ("kind: pressure, calibration: {expires: 2026-01-01}", "calibration-expired"),
        ("kind: pressure, calibration: {expires: next year}", "moment"),
        ("kind: pressure, calibration: {gain: 0}", "gain-zero"),
        ("kind: pressure, safety: true, stale: off", "stale-off-safety"),
        ("kind: pressure, safety: perhaps", "wrong-type"),
        ("kind: pressure, retention: forever", "bad-choice"),
        ("kind: state, states: {0: 停}, limits: {H: 1}", "limits-on-state"),
        ("kind: pressure, equipment: p-2", "unknown-equipment"),
        ("kind: pressure, name: [a]", "wrong-type"),
        ("kind: pressure, alarms: [{kind: HH}]", "needs-key"),
        ("kind: pressure, alarms: [{kind: HH, limit: 1, states: [1]}]", "needless-key"),
        ("kind: pressure, alarms: [{kind: HI, limit: 1}]", "bad-choice"),
        ("kind: pressure, alarms: [{kind: rate, limit: 0}]", "limit-not-positive"),
        ("kind: pressure, alarms: [{kind: deviation, limit: 1, other: pressur}]", "unknown-point"),
        ("kind: pressure, alarms: [{kind: vote, limit: 1, inputs: [pressure], needed: 2}]", "vote-needs"),
        ("kind: pressure, alarms: [{kind: stale}]", "stale-alarm-never"),
        ("kind: pressure, alarms: [{kind: HH, limit: 1}, {kind: HH, limit: 2}]", "duplicate-alarm"),
        ("kind: pressure, limits: {HH: 1}, alarms: [{kind: HH, limit: 1}]", "duplicate-alarm"),
        ("kind: pressure, alarms: [{kind: HH, limit: 1, priority: urgent}]", "priority"),
        ("kind: pressure, alarms: [{kind: HH, limit: 1, consequence: major}]", "no-priority"),
        ("kind: pressure, alarms: [{kind: HH, limit: 1, operator_position: desk}]", "unknown-position"),
        ("kind: pressure, alarms: [{kind: HH, limit: 1, enable: \"'pump' >\"}]", "bad-expression"),
        ("kind: pressure, alarms: [{kind: HH, limit: 1, enable: \"'pmp' == 1\"}]", "unknown-point"),
        ("kind: state, states: {0: 停}, alarms: [{kind: state, states: [跳闸]}]", "unknown-state"),
    ],
)
def test_names_what_is_wrong_with_a_point_at_its_line(tmp_path: Path, fields: str, code: str) -> None:
    found = only(tmp_path, with_point(fields))
    assert (found.code, found.line) == (code, 14)
    assert found.message
    assert found.fix
    assert found.message_zh
    assert found.fix_zh


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ("kind: modbuss, host: a", "unknown-connector"),
        ("kind: modbus", "missing-option"),
        ("kind: modbus, host: a, prot: 502", "unknown-key"),
        ("kind: modbus, host: a, port: many", "wrong-type"),
        ("kind: modbus, host: a, interval: fast", "duration"),
        ("kind: modbus, host: a, framing: ascii", "bad-choice"),
        ("kind: modbus, host: a, map: {haian/tank-farm-a/t-401/presure: '1'}", "unknown-point"),
        ("kind: modbus, host: a, map: {haian/tank-farm-a/t-401/pressure: [1]}", "tag-shape"),
        ("kind: modbus, host: a, map: {haian/tank-farm-a/t-401/pressure: {adress: 1, address: 1}}", "unknown-key"),
        ("kind: modbus, host: 'tcp://me:Sesame1@10.0.0.1'", "inline-secret"),
    ],
)
def test_names_what_is_wrong_with_a_connector(
    tmp_path: Path, fields: str, code: str, stand_in_connectors: None
) -> None:
    found = only(tmp_path, with_connector(fields))
    assert (found.code, found.line) == (code, 15)


def test_a_secret_is_named_and_never_written(tmp_path: Path, stand_in_connectors: None) -> None:
    inline = only(tmp_path, with_connector("kind: broker, password: Sesame-1"))
    assert (inline.code, inline.field) == ("inline-secret", "connectors[dcs].password")
    assert "Sesame" not in inline.text()
    document, findings = check(write(tmp_path, with_connector("kind: broker, password: dcs-password")), now_us=NOW)
    assert document is not None
    assert findings == ()


def test_a_connector_that_cannot_be_imported_only_warns(tmp_path: Path, stand_in_connectors: None) -> None:
    document, findings = check(write(tmp_path, with_connector("kind: broken, anything: 1")), now_us=NOW)
    assert document is not None
    assert [finding.code for finding in findings] == ["connector-unavailable"]
    assert "No module" in findings[0].message


def test_collects_all_errors_of_all_layers_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("unit: MPa", "unit: °C").replace("HH: 1.9", "HH: 1.6").replace("equipment: p-1", "equipment: p-9")
    )
    assert findings_of(tmp_path, text) == [("unit-not-allowed", 11), ("limits-order", 11), ("unknown-equipment", 12)]
    text = (
        GOOD.replace("tier: park", "tier: village")
        .replace("on_delay: 2 s", "on_delay: x")
        .replace("safety: true", "safty: true")
    )
    assert findings_of(tmp_path, text) == [("bad-choice", 1), ("duration", 11), ("unknown-key", 13)]


def test_an_error_says_field_and_what_was_meant(tmp_path: Path) -> None:
    found = only(tmp_path, GOOD.replace("safety: true", "safty: true"))
    assert found.text() == (
        "site.yaml:13 enterprises[haian].areas[tank-farm-a].units[t-401].points[gas-1].safty: "
        "unknown key safty (did you mean safety?)"
    )
    assert "不认识的键 safty(是 safety 吗?)" in found.text("zh")


def test_tabs_are_named_with_every_line(tmp_path: Path) -> None:
    text = "site: {id: a}\nenterprises:\n\t- id: x\n\t  areas: []\n"
    assert findings_of(tmp_path, text) == [("tab", 3), ("tab", 4)]


def test_a_broken_file_says_its_line(tmp_path: Path) -> None:
    found = only(tmp_path, "site: {id: a}\nenterprises: [\n  {id: b\n")
    assert found.code == "syntax"
    assert found.line >= 3
    assert found.file == "site.yaml"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("- a\n", "wrong-type"),
        ("site: {id: a}\n---\nsite: {id: b}\n", "several-documents"),
        ("site: {id: a}\nsite: {id: b}\n", "duplicate-key"),
        ("site: {id: a, name: *x}\n", "unknown-alias"),
        ("site: {id: a}\nenterprises: &e\n  - {id: b, areas: *e}\n", "cyclic-alias"),
        ("site: {id: a}\nuse: " + "[" * 100 + "]" * 100, "too-deep"),
        ("? {a: b}\n: c\n", "key-not-text"),
        ("use: []\n", "missing-key"),
        ("site: {id: a b}\n", "bad-id"),
        ("site: {id: a, timezone: Mars/Base}\n", "unknown-timezone"),
        ("site: {id: a, location: [200, 10]}\n", "bad-location"),
        ("site: {id: a}\nuse: [nonesuch]\n", "unknown-pack"),
        ("site: {id: a}\nenterprises: [{id: b}, {id: b}]\n", "duplicate-id"),
        ("site: {id: a}\npositions: [{id: p, scope: [nowhere]}]\n", "unknown-place"),
        ("site: {id: a}\nzones: [{id: z}]\n", "zone-shape"),
        ("site: {id: a}\nzones: [{id: z, geojson: none.json}]\n", "unreadable"),
        ("site: {id: a}\nzones: [{id: z, geojson: ''}]\n", "unreadable"),
        ("site: {id: a}\nzones: [{id: z, geojson: ../../etc/passwd}]\n", "geojson-outside"),
        ("site: {id: a}\nzones: [{id: z, geometry: {type: Point, coordinates: [1, 2]}}]\n", "geojson"),
        (f"{BARRIER} kind: dyke}}]\n", "unknown-barrier-kind"),
        (f"{BARRIER} kind: dike, points: [p]}}]\n", "unknown-point"),
        (f"{BARRIER} kind: dike, needed: 1}}]\n", "needed-without-points"),
        (f"{BARRIER} kind: dike, condition: 1 +}}]\n", "bad-expression"),
        (f"{BARRIER} kind: dike, tested: 2099-01-01}}]\n", "tested-in-future"),
        (f"{BARRIER} kind: dike}}, {{id: b, path: e, kind: foam}}]\n", "duplicate-id"),
        (f"{BARRIER.replace('path: e', 'path: x')} kind: dike}}]\n", "unknown-place"),
        (
            "site: {id: a}\nzones:\n- {id: z, geometry: " + OPEN_RING + "}\n",
            "geojson",
        ),
    ],
)
def test_names_what_is_wrong_with_a_site(tmp_path: Path, text: str, code: str) -> None:
    assert only(tmp_path, text).code == code


def test_a_barrier_cannot_need_more_points_than_it_has(tmp_path: Path) -> None:
    barrier = "barriers: [{id: b, path: haian/tank-farm-a/t-401, kind: interlock, points: [pressure], needed: 2}]\n"
    assert only(tmp_path, GOOD + barrier).code == "needed-too-many"


def test_aliases_that_explode_are_refused(tmp_path: Path) -> None:
    lines = ["site: {id: a}", "x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "too-large" in [code for code, _ in findings_of(tmp_path, "\n".join(lines))]


def test_part_of_in_a_circle_is_named(tmp_path: Path) -> None:
    found = only(
        tmp_path,
        GOOD.replace(
            "[{id: p-1}, {id: motor, part_of: p-1}]", "[{id: p-1, part_of: motor}, {id: motor, part_of: p-1}]"
        ),
    )
    assert found.code == "part-of-cycle"
    assert "p-1 → motor → p-1" in found.message


def test_numbers_that_are_names_stay_text(tmp_path: Path) -> None:
    text = GOOD.replace("id: gas-1", "id: 007").replace("kind: toxic-gas", "kind: count, unit: 1")
    document = load(write(tmp_path, text))
    assert [(point.part.id, point.part.unit) for point in document.points()][-1] == ("007", "1")


def test_tags_keep_their_text(tmp_path: Path, stand_in_connectors: None) -> None:
    text = with_connector("kind: modbus, host: a, unit: 1, map: {haian/tank-farm-a/t-401/pressure: 000017}")
    connector = load(write(tmp_path, text)).site.connectors[0]
    assert connector.map == {"haian/tank-farm-a/t-401/pressure": "000017"}
    assert connector.options() == {"host": "a", "unit": 1}


def test_a_folder_is_one_site_joined_by_ids(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.yaml")
    more = """\
        enterprises:
          - id: haian
            name: 海安
            areas:
              - id: tank-farm-a
                units:
                  - id: t-401
                    points: [{id: level, kind: level}]
                  - id: t-402
                    points: [{id: level, kind: level, limits: {H: 2, HH: 1}}]
        """
    write(tmp_path, dedent(more), "areas/b.yaml")
    document, findings = check(tmp_path, now_us=NOW)
    assert document is None
    assert [(item.file, item.line, item.code) for item in findings] == [("areas/b.yaml", 10, "limits-order")]
    write(tmp_path, dedent(more).replace("HH: 1", "HH: 3"), "areas/b.yaml")
    document = load(tmp_path)
    assert [placed.path for placed in document.points()][3:] == [
        "haian/tank-farm-a/t-401/level",
        "haian/tank-farm-a/t-402/level",
    ]
    assert document.site.enterprises[0].name == "海安"


def test_files_of_a_folder_must_not_contradict(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.yaml")
    write(tmp_path, "site: {id: other}\n", "b.yaml")
    _, findings = check(tmp_path, now_us=NOW)
    assert [(item.file, item.line, item.code) for item in findings] == [("b.yaml", 1, "conflicting-key")]


def test_load_raises_with_all_findings(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError) as caught:
        load(write(tmp_path, GOOD.replace("HH: 1.9", "HH: 1.6").replace("equipment: p-1", "equipment: p-9")))
    assert [finding.code for finding in caught.value.findings] == ["limits-order", "unknown-equipment"]
    assert caught.value.problem()["findings"]
    assert "site.yaml:11" in str(caught.value)


def test_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_bytes(b"site: {id: a}\n# \xff\xfe\n")
    _, findings = check(tmp_path / "site.yaml")
    assert [(finding.code, finding.line) for finding in findings] == [("encoding", 2)]
    _, findings = check(tmp_path / "nowhere.yaml")
    assert [finding.code for finding in findings] == ["unreadable"]


_words = st.sampled_from(
    [
        "site",
        "id",
        "enterprises",
        "areas",
        "units",
        "points",
        "limits",
        "HH",
        "H",
        "a",
        "pressure",
        "kind",
        "alarms",
        "zones",
        "geometry",
        "connectors",
        "map",
        "expression",
        "states",
        "on_delay",
        "2 s",
        "1.9",
        ".nan",
        "*x",
        "&x a",
        "calibration",
        "expires",
        "0x",
        "1e999",
        "99999999999999999999",
        "<<",
        "policy",
        "vote",
        "inputs",
        "geojson",
    ]
)
_tree = st.recursive(
    _words | st.integers() | st.floats() | st.text(max_size=5) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(codec="utf-8"), max_size=200)
    | st.lists(
        _words | st.sampled_from([": ", "\n", "\n  ", "\t", "- ", "{", "}", "[", "]", ", ", "'", '"', "|", "#"]),
        max_size=60,
    ).map("".join)
)
def test_any_text_gives_a_document_or_named_errors(tmp_path: Path, text: str) -> None:
    document, findings = check(write(tmp_path, text))
    assert document is not None or findings
    assert all(finding.message and finding.line >= 0 for finding in findings)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=_tree, key=st.sampled_from(["site", "enterprises", "zones", "connectors", "policy", "positions", "use"]))
def test_any_tree_gives_a_document_or_named_errors(tmp_path: Path, tree: object, key: str) -> None:
    import yaml

    document, findings = check(write(tmp_path, yaml.safe_dump({"site": {"id": "a"}, key: tree}, allow_unicode=True)))
    assert document is not None or any(finding.severity == "error" for finding in findings)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    position=st.integers(0, len(GOOD)), junk=st.text(st.sampled_from("\t:{}[]-&*'\"\n #x0,"), min_size=1, max_size=4)
)
def test_a_damaged_site_gives_a_document_or_named_errors(tmp_path: Path, position: int, junk: str) -> None:
    document, findings = check(write(tmp_path, GOOD[:position] + junk + GOOD[position:]), now_us=NOW)
    assert document is not None or any(finding.severity == "error" for finding in findings)

"""The packaged site files: current, correct, and rendered for a run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from anlan.plant.site_file import check
from anlan.sim import catalogue, secrets
from anlan.sim.ports import Ports
from anlan.sim.signals import layout
from anlan.sim.site import HOME, render, stale_files
from tests.sim.judge import plant


def test_packaged_files_are_what_the_tables_give() -> None:
    assert stale_files(HOME) == []
    done = subprocess.run([sys.executable, "-m", "anlan.sim.site", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site folder for the default ports."""
    return render(Ports(), tmp_path_factory.mktemp("park") / "site")


def test_a_changed_file_is_told(rendered: Path, tmp_path: Path) -> None:
    shutil.copytree(rendered, tmp_path, dirs_exist_ok=True)
    (tmp_path / "site.yaml").write_text("site: {id: other}")
    (tmp_path / "haian.yaml").unlink()
    assert stale_files(tmp_path) == ["site.yaml", "haian.yaml"]


def test_a_rendered_site_passes_its_checks(tmp_path: Path) -> None:
    ports = Ports.free()
    document, findings = check(render(ports, tmp_path / "site"))
    assert [item for item in findings if item.code != "connector-unavailable"] == []
    assert document is not None
    options = [connector.options() for connector in document.site.connectors]
    ports_used = {option.get("port") or urlsplit(option["endpoint"]).port for option in options}
    assert ports_used == {getattr(ports, name) for name in Ports.__dataclass_fields__}


def test_every_point_is_read_by_one_connector() -> None:
    mapped = Counter(path for connector in plant().connectors for path in connector.map)
    assert set(mapped) == {point.path for point in layout().points}
    assert set(mapped.values()) == {1}


def test_alarms_carry_guidance_and_limits_of_gas_their_clause() -> None:
    alarms = plant().alarms
    points = plant().point_by_number()
    limits = [
        alarm
        for alarm in alarms
        if alarm.kind in ("HH", "H", "L", "LL", "rate", "deviation", "state", "vote", "expression")
    ]  # one filter
    assert len(limits) > 1500
    for alarm in limits:
        assert all((alarm.cause, alarm.consequence, alarm.action, alarm.time_to_act)), alarm.id
        if points[alarm.point].kind in ("toxic-gas", "combustible-gas"):
            assert "GB/T 50493" in alarm.source
    assert {alarm.kind for alarm in alarms} == {
        "HH",
        "H",
        "L",
        "LL",
        "rate",
        "deviation",
        "state",
        "stale",
        "bad-quality",
        "vote",
        "expression",
    }  # one set


def test_the_map_lies_inside_the_park_and_plots_do_not_overlap() -> None:
    plots = [zone for zone in plant().zones if zone.path.count("/") == 1]
    assert 12 <= len(plots) <= 18
    boxes = []
    for zone in plots:
        ring = zone.geometry["coordinates"][0]
        lon, lat = [p[0] for p in ring], [p[1] for p in ring]
        assert 121.611 < min(lon) < max(lon) < 121.629
        assert 29.945 < min(lat) < max(lat) < 29.955
        boxes.append((min(lon), min(lat), max(lon), max(lat)))
    for number, a in enumerate(boxes):
        for b in boxes[number + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_equipment_stands_inside_its_plot_and_clear_of_its_neighbours() -> None:
    plots = {area.path: area.plot for area in catalogue.areas()}
    items = catalogue.items()
    for item in items:
        xs, ys = zip(*plots[item.area], strict=True)
        reach = item.size / 2 if item.size >= 9 else 0
        assert min(xs) <= item.x - reach, item.path
        assert item.x + reach <= max(xs), item.path
        assert min(ys) <= item.y - reach, item.path
        assert item.y + reach <= max(ys), item.path
    large = [item for item in items if item.size >= 9]
    for number, a in enumerate(large):
        for b in large[number + 1 :]:
            apart = max(abs(a.x - b.x), abs(a.y - b.y))
            assert apart >= (a.size + b.size) / 2, (a.path, b.path)


def test_secrets_are_named_not_held(rendered: Path, tmp_path: Path) -> None:
    text = "".join(path.read_text() for path in rendered.iterdir())
    values = secrets.secrets(5)
    assert len(values) >= 10
    assert not [value for value in values.values() if value in text]
    secrets.write_secrets(tmp_path / "secrets", 5)
    for name, value in values.items():
        assert (tmp_path / "secrets" / name).read_text() == value
        assert (tmp_path / "secrets" / name).stat().st_mode & 0o077 == 0
        assert f"ANLAN_SECRET_{name.upper().replace('-', '_')}" in secrets.environment(5)
        assert name in text


def test_barriers_guard_tanks_bays_reactors_and_areas() -> None:
    found = plant().barriers
    kinds = Counter(barrier.kind for barrier in found)
    assert len(found) >= 150
    assert kinds["relief-valve"] == 22
    assert kinds["fire-water"] == len(catalogue.areas())
    by_id = {barrier.id: barrier for barrier in found}
    gas = by_id["haian-ammonia-farm-t-401-gas"]
    assert (len(gas.points), gas.needed) == (4, 3)
    assert by_id["donglan-eo-r-201-runaway"].needed == 2

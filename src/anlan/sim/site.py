"""The park's site files, made from the same tables as the park itself, so that both stay in step.

``python -m anlan.sim.site`` writes them to ``sim/sites/donggang``; ``--check`` says whether they are current.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from anlan.sim import catalogue
from anlan.sim.barriers import barriers
from anlan.sim.catalogue import Item, table
from anlan.sim.geometry import HEIGHT, WIDTH, circle, lon_lat, polygon, rectangle
from anlan.sim.modbus import INT16_STEP, UNIT
from anlan.sim.ports import Ports
from anlan.sim.secrets import STATIONS, secret_name, users
from anlan.sim.signals import SPARKPLUG_GROUP, PointSpec, layout, limit_of

HOME = Path(__file__).parent / "sites" / "donggang"
HEAD = "# 东港化工园区 / Donggang chemical park. Made by `python -m anlan.sim.site`: change its tables, not this.\n"
_DRAWN = 9.0
"""Units at least this wide, m, have an outline of their own on the map."""

POSITIONS = (
    ("haian-board", "海安内操", "Haian board operator", ["haian"]),
    ("chlor-alkali-board", "氯碱内操", "Chlor-alkali board operator", ["donglan/electrolysis", "donglan/chlorine"]),
    ("eo-board", "环氧内操", "EO board operator",
     ["donglan/eo", "donglan/ethoxylation", "donglan/tank-farm", "donglan/control"]),
    ("utility-board", "公用工程内操", "Utility board operator", ["gangneng"]),
    ("park-desk", "园区应急值班", "Park duty officer", ["haian", "donglan", "gangneng"]),
)  # fmt: skip


class _Dumper(yaml.CSafeDumper):  # type: ignore[misc]  # the base class has no types
    """Writes small mappings on one line, as a person would, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent(dumper: Any, data: dict[str, Any]) -> Any:
    small = len(data) < 12 and not any(isinstance(value, dict | list) and len(value) > 4 for value in data.values())
    nested = any(isinstance(value, list) and value and isinstance(value[0], dict) for value in data.values())
    return dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=small and not nested)


_Dumper.add_representer(dict, _represent)


def _yaml(document: dict[str, Any]) -> str:
    text = yaml.dump(
        document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100_000, default_flow_style=None
    )
    return HEAD + str(text)


def _plain(number: float) -> float | int:
    return int(number) if number == int(number) else number


def _seconds(value: float) -> str:
    return f"{value:g} s" if value < 60 or value % 60 else f"{value / 60:g} min"


def _alarm(kind: str, alarm: dict[str, Any], point: PointSpec) -> dict[str, Any]:
    name, _, label = kind.partition(".")
    entry: dict[str, Any] = {"kind": name}
    if label:
        entry |= {"name": label, "point": alarm["point"]}
    if "limit" in alarm:
        entry["limit"] = _plain(limit_of(alarm["limit"], point.parameters))
    for key in ("deadband", "other", "inputs", "needed", "latched", "enable", "expression"):
        if key in alarm:
            value = alarm[key]
            entry[key] = _condition(value, point) if key in ("enable", "expression") else value
    if "states" in alarm:
        entry["states"] = alarm["states"]
    if alarm.get("delay"):
        entry["on_delay"] = _seconds(alarm["delay"])
    entry |= {
        "cause": alarm["cause"],
        "consequence": {"grade": alarm["grade"], "text": alarm["effect"]},
        "action": alarm["action"],
        "time_to_act": _seconds(alarm["act"]),
    }
    if "source" in alarm:
        entry["source"] = alarm["source"]
    return entry


def _condition(text: str, point: PointSpec) -> str:
    """Return a condition with the unit's path and the numbers that ``parameter * number`` stands for put in."""

    def number(found: re.Match[str]) -> str:
        return f"{limit_of(found[0], point.parameters):g}" if found[1] in point.parameters else found[0]

    return re.sub(r"([a-z_]+) \* [\d.]+", number, text.replace("{unit}", point.unit_path))


def _point(point: PointSpec) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a point as a site file has it, and the alarms that belong to its unit."""
    entry: dict[str, Any] = {"id": point.id, "kind": point.kind, "name": point.name, "name_en": point.name_en}
    if not point.states and point.kind != "state":
        entry["unit"] = point.unit
        entry["range"] = [_plain(point.low), _plain(point.high)]
    if point.states:
        entry["states"] = dict(point.states)
    if point.instrument:
        entry["tag"] = point.instrument
    if point.equipment:
        entry["equipment"] = point.equipment
    if point.safety:
        entry["safety"] = True
    entry["position"] = list(lon_lat(point.x, point.y))
    if point.stale:
        entry["stale"] = _seconds(point.stale)
    alarms = {kind: _alarm(kind, alarm, point) for kind, alarm in point.alarms.items()}
    own = [alarm for kind, alarm in alarms.items() if "." not in kind]
    if point.safety and point.kind != "state":
        own += _instrument_alarms(point)
    if own:
        entry["alarms"] = own
    return entry, [alarm for kind, alarm in alarms.items() if "." in kind]


def _instrument_alarms(point: PointSpec) -> list[dict[str, Any]]:
    """Return what a failed or silent safety instrument rings, with guidance."""
    gas = point.connector == catalogue.GAS
    texts = {
        "consequence": {"grade": "serious", "text": "该处失去监测" if gas else "联锁与报警依据失真"},
        "action": "用便携式检测仪替代监测，通知仪表检修" if gas else "比对冗余仪表，通知仪表检修",
        "time_to_act": "30 min",
    }
    return [
        {"kind": "bad-quality", "on_delay": "5 s", "cause": "变送器故障或断线", **texts},
        {"kind": "stale", "cause": "设备停发或通信中断", **texts},
    ]


def _unit(item: Item, points: list[PointSpec]) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": item.id, "name": item.name, "name_en": item.name_en, "kind": item.kind}
    if item.substance:
        entry["substance"] = item.substance
    if "volume" in item.parameters:
        capacity = item.parameters["volume"] * table("substances")[item.substance]["density"] / 1000 * 0.85
        entry["inventory"] = {"value": round(capacity, 1), "unit": "t"}
        entry["stock"] = [{"substance": item.substance, "quantity": round(capacity, 1), "unit": "t"}]
    entry["zone"] = _zone_id(item.path if item.size >= _DRAWN else item.area)
    entry["position"] = list(lon_lat(item.x, item.y))
    entry["equipment"] = [{"id": item.id.upper(), "name": item.name, "name_en": item.name_en, "kind": item.kind}]
    rows = [_point(point) for point in points]
    entry["points"] = [row for row, _ in rows]
    over = [alarm for _, alarms in rows for alarm in alarms]
    if over:
        entry["alarms"] = over
    return entry


def _enterprise(place: catalogue.Place) -> dict[str, Any]:
    plan = layout()
    by_unit: dict[str, list[PointSpec]] = {}
    for point in plan.points:
        by_unit.setdefault(point.unit_path, []).append(point)
    areas = []
    for area in catalogue.areas():
        if area.path.startswith(place.path + "/"):
            units = [_unit(item, by_unit[item.path]) for item in plan.items if item.area == area.path]
            areas.append(
                {
                    "id": area.path.rpartition("/")[2],
                    "name": area.name,
                    "name_en": area.name_en,
                    "kind": area.kind,
                    "units": units,
                }
            )
    return {"id": place.path, "name": place.name, "name_en": place.name_en, "kind": place.kind, "areas": areas}


def _zone_id(path: str) -> str:
    return path.replace("/", "-")


def _feature(
    identity: str, path: str, name: str, name_en: str, kind: str, geometry: dict[str, object]
) -> dict[str, Any]:
    properties = {"id": identity, "path": path, "name": name, "name_en": name_en, "kind": kind}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def zones() -> dict[str, Any]:
    """Return the map as GeoJSON, from the ground up: boundary, plots, buildings, the larger equipment."""
    boundary = polygon(rectangle(WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT))
    found = [_feature("park", "", "东港化工园区", "Donggang chemical park", "boundary", boundary)]
    found += [
        _feature(_zone_id(area.path), area.path, area.name, area.name_en, area.kind, polygon(area.plot))
        for area in catalogue.areas()
    ]
    for number, row in enumerate(table("park")["outlines"], start=1):
        west, south, east, north = row["box"]
        shape = rectangle((west + east) / 2, (south + north) / 2, east - west, north - south)
        found.append(_feature(f"outline-{number:02d}", "", row["name"], row["name_en"], row["kind"], polygon(shape)))
    for item in layout().items:
        if item.size >= _DRAWN:
            round_ = item.kind.endswith("-tank") or item.kind in ("reactor", "cooling-tower")
            shape = (
                circle(item.x, item.y, item.size / 2)
                if round_
                else rectangle(item.x, item.y, item.size, item.size * 0.6)
            )
            found.append(_feature(_zone_id(item.path), item.path, item.name, item.name_en, item.kind, polygon(shape)))
    return {"type": "FeatureCollection", "features": found}


def _map(connector: str) -> dict[str, Any]:
    return {point.path: _tag(point) for point in layout().points if point.connector == connector}


def _tag(point: PointSpec) -> Any:
    if point.tag.endswith(":int16"):
        kind, address, type_ = point.tag.split(":")
        return {"table": kind, "address": int(address), "type": type_, "scale": INT16_STEP}
    return point.tag


def connectors(ports: Ports) -> list[dict[str, Any]]:
    """Return the connectors with the ports of one run."""
    host = "127.0.0.1"
    dcs = {"endpoint": f"opc.tcp://{host}:{ports.opcua}/donglan/", "publishing_interval": "500 ms"}
    panels = [
        {"user": user, "password": secret_name(user), "topics": [f"senml/{user}"]} for user in users()[catalogue.GAS]
    ]
    nodes = [
        {"user": user, "password": secret_name(user), "topics": [f"spBv1.0/{SPARKPLUG_GROUP}/#"]}
        for user in users()[catalogue.EDGE]
    ]
    stations = dict.fromkeys(p.device for p in layout().points if p.connector == catalogue.ENVIRONMENT)
    plc = {"host": host, "unit": UNIT, "interval": "1 s"}
    return [
        {"id": catalogue.DCS, "kind": "opcua", "name": "东澜 DCS", **dcs},
        {"id": catalogue.TANKS, "kind": "modbus", "name": "海安罐区与装卸 PLC", "port": ports.tank_plc, **plc},
        {"id": catalogue.UTILITY, "kind": "modbus", "name": "港能公用工程 PLC", "port": ports.utility_plc, **plc},
        {"id": catalogue.ASU, "kind": "modbus", "name": "空分与变电站 PLC", "port": ports.asu_plc, **plc},
        {"id": catalogue.GAS, "kind": "mqtt", "name": "气体检测、气象与消防", "host": host, "port": ports.mqtt_gas,
         "devices": panels, "payloads": [{"topic": "senml/+", "format": "senml"}]},
        {"id": catalogue.EDGE, "kind": "mqtt", "name": "机组在线监测边缘节点", "host": host, "port": ports.mqtt_edge,
         "devices": nodes, "payloads": [{"topic": f"spBv1.0/{SPARKPLUG_GROUP}/#", "format": "sparkplug"}]},
        {"id": catalogue.ENVIRONMENT, "kind": "hj212", "name": "环境监测站", "host": host, "port": ports.hj212,
         "devices": [{"mn": name, "password": STATIONS} for name in stations], "timezone": "Asia/Shanghai"},
    ]  # fmt: skip


def installations() -> list[dict[str, Any]]:
    """Return the major hazard installations with the tanks that hold their substance."""
    return [
        {
            "id": row["id"],
            "name": row["name"],
            "name_en": row["name_en"],
            "path": row["area"],
            "exposed": row["exposed"],
            "units": [
                item.path
                for item in layout().items
                if item.area == row["area"] and item.substance == row["substance"] and "volume" in item.parameters
            ],
        }
        for row in table("park")["installations"]
    ]


def files(ports: Ports) -> dict[str, str]:
    """Return the site folder as text by file name."""
    substances = [
        {"id": key, "name": row["zh"], "name_en": row["en"], "cas": row["cas"]}
        for key, row in table("substances").items()
    ]
    site = {
        "site": {"id": "donggang", "name": "东港化工园区", "name_en": "Donggang chemical park", "tier": "park",
                 "location": [121.62, 29.95], "crs": "WGS84", "timezone": "Asia/Shanghai"},
        "use": ["chemical"],
        "positions": [{"id": key, "name": zh, "name_en": en, "scope": scope} for key, zh, en, scope in POSITIONS],
        "substances": substances,
        "installations": installations(),
        "zones": ["zones.geojson"],
    }  # fmt: skip
    found = {"site.yaml": _yaml(site)}
    for place in catalogue.enterprises():
        found[f"{place.path}.yaml"] = _yaml({"enterprises": [_enterprise(place)]})
    found["barriers.yaml"] = _yaml({"barriers": barriers()})
    listed = [{**connector, "map": _map(connector["id"])} for connector in connectors(ports)]
    found["connectors.yaml"] = _yaml({"connectors": listed})
    features = ",\n".join(json.dumps(feature, ensure_ascii=False) for feature in zones()["features"])
    found["zones.geojson"] = f'{{"type": "FeatureCollection", "features": [\n{features}\n]}}\n'
    return found


def render(ports: Ports, directory: Path) -> Path:
    """Write the site folder for the ports of one run and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files(ports).items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def stale_files(directory: Path = HOME) -> list[str]:
    """Return the names of packaged site files that differ from what the tables give now."""
    wanted = files(Ports())
    return [
        name
        for name, text in wanted.items()
        if not (directory / name).is_file() or (directory / name).read_text("utf-8") != text
    ]


def main() -> None:
    """Write or check the packaged site files."""
    parser = argparse.ArgumentParser(prog="python -m anlan.sim.site", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the packaged files are current")
    parser.add_argument("--directory", type=Path, default=HOME)
    given = parser.parse_args()
    if given.check:
        stale = stale_files(given.directory)
        if stale:
            sys.exit(f"not current: {', '.join(stale)}; run python -m anlan.sim.site")
        return
    render(Ports(), given.directory)


if __name__ == "__main__":
    main()

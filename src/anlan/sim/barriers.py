"""The park's barriers, from the rules of data/barriers.yaml and the points that units have."""

from __future__ import annotations

from typing import Any

from anlan.sim import catalogue
from anlan.sim.catalogue import Item, table
from anlan.sim.signals import layout

_GAS = ("combustible-gas", "toxic-gas")


def barriers() -> list[dict[str, Any]]:
    """Return the barriers as a site file has them, units first, in the order of the equipment list."""
    rules = table("barriers")
    by_unit: dict[str, list[tuple[str, str]]] = {}
    for point in layout().points:
        by_unit.setdefault(point.unit_path, []).append((point.id, point.kind))
    found = [
        barrier
        for item in layout().items
        for rule in rules["units"].get(item.kind, ())
        if (barrier := _of_unit(rule, item, by_unit.get(item.path, []))) is not None
    ]
    known = {f"{unit}/{name}" for unit, points in by_unit.items() for name, _ in points}
    for area in catalogue.areas():
        found += [
            _of_area(rule, area)
            for rule in rules["areas"]
            if area.path in rule.get("in", [area.path])
            and all(f"{area.path}/{name}" in known for name in rule.get("points", []))
        ]
    return found


def _of_unit(rule: dict[str, Any], item: Item, points: list[tuple[str, str]]) -> dict[str, Any] | None:
    """Return the barrier that a rule makes of a unit; none where the unit lacks the points."""
    if "substances" in rule and item.substance not in rule["substances"]:
        return None
    names = [name for name, kind in points if kind in _GAS] if rule.get("gas") else rule["points"]
    if not names or not {name for name, _ in points} >= set(names):
        return None
    return _entry(rule, item.path, item.name, item.name_en, list(names))


def _of_area(rule: dict[str, Any], area: catalogue.Place) -> dict[str, Any]:
    names = [f"{area.path}/{name}" for name in rule.get("points", [])]
    entry = _entry(rule, area.path, area.name, area.name_en, names)
    if "condition" in rule:
        entry["condition"] = rule["condition"].format(area=area.path)
    return entry


def _entry(rule: dict[str, Any], path: str, name: str, name_en: str, points: list[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": f"{path.replace('/', '-')}-{rule['id']}",
        "kind": rule["kind"],
        "path": path,
        "name": f"{name} {rule['zh']}" if name[-1].isascii() else name + rule["zh"],
        "name_en": f"{name_en}: {rule['en']}",
        "demand": rule["demand"],
        "demand_en": rule["demand_en"],
    }
    if points:
        entry["points"] = points
    needed = rule.get("needed")
    if needed is not None:
        entry["needed"] = max(1, len(points) - 1) if needed == "most" else needed
    entry["test_interval"] = rule["interval"]
    if "source" in rule:
        entry["source"] = rule["source"]
    return entry

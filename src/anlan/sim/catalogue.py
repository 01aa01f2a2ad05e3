"""The equipment of the park, expanded from data/park.yaml. Everything else follows from this list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from anlan.sim.geometry import Ring

TANKS, UTILITY, ASU = "tank-plc", "utility-plc", "asu-plc"
DCS, EDGE, GAS, ENVIRONMENT = "dcs-donglan", "edge-nodes", "gas-detection", "environment"
"""Ids of the site's connectors."""

FIRE_PANEL = "fire-panel"
_AROUND = ((1, 0), (0, 1), (-1, 0), (0, -1))
_DISTANCE = 7.0
"""m from the equipment's edge to a detector: within the 10 m GB/T 50493-2019 4.2.1 asks for combustible gas."""


@dataclass(frozen=True, slots=True)
class Place:
    """An enterprise (``plot`` empty) or an area with its plot on the map, local metres."""

    path: str
    name: str
    name_en: str
    kind: str = ""
    plot: Ring = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of equipment: a unit of the hierarchy.

    Attributes:
        area: path of its area. kind: key of data/equipment.yaml. x, y: centre, local metres. size: m.
        parameters: design values its physics and limits name.
        substance: key of data/substances.yaml. twin, source: path of the stand-by pump, id of the tank it draws from.
        connector: which connector reads it. detectors: gas and number of the detectors around it.
    """

    area: str
    id: str
    kind: str
    name: str
    name_en: str
    x: float
    y: float
    connector: str
    size: float = 6.0
    parameters: dict[str, float] = field(default_factory=dict)
    substance: str = ""
    twin: str = ""
    source: str = ""
    detectors: tuple[str, int] = ("", 0)

    @property
    def path(self) -> str:
        """Full path of the unit."""
        return f"{self.area}/{self.id}"


@dataclass(frozen=True, slots=True)
class Watch:
    """A gas detector: which gas, hung on which unit, standing where, wired to which panel."""

    unit: str
    gas: str
    number: int
    x: float
    y: float
    device: str


@cache
def table(name: str) -> dict[str, Any]:
    """Return a table of ``sim/data`` by file name without suffix."""
    import yaml

    text = files("anlan.sim").joinpath("data", f"{name}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return loaded


@cache
def enterprises() -> tuple[Place, ...]:
    """Return the enterprises of the park."""
    return tuple(Place(row["id"], row["name"], row["name_en"], row["kind"]) for row in table("park")["enterprises"])


@cache
def areas() -> tuple[Place, ...]:
    """Return the areas with their plots."""
    return tuple(
        Place(row["path"], row["name"], row["name_en"], row["kind"], _plot(*row["plot"], cut=row.get("cut", 0)))
        for row in table("park")["areas"]
    )


def _plot(west: float, south: float, east: float, north: float, *, cut: float) -> Ring:
    corner = [(east, north - cut), (east - cut, north)] if cut else [(east, north)]
    return [(west, south), (east, south), *corner, (west, north), (west, south)]


def _ids(ids: list[Any]) -> list[str]:
    """Return the ids of a series: as listed, or a prefix and a range ``401..406``."""
    found = re.fullmatch(r"(\d+)\.\.(\d+)", str(ids[-1]))
    if found is None:
        return [str(identity) for identity in ids]
    width = len(found[1])
    return [f"{ids[0]}-{number:0{width}d}" for number in range(int(found[1]), int(found[2]) + 1)]


def _series(row: dict[str, Any]) -> Iterator[Item]:
    (x, y), (dx, dy), columns = row["at"], row["pitch"], row["columns"]
    sources = row.get("source", [""])
    for number, identity in enumerate(_ids(row["ids"])):
        parameters = {
            key: float(value[number % len(value)] if isinstance(value, list) else value)
            for key, value in row.get("parameters", {}).items()
        }
        for side in ("a", "b") if row.get("pairs") else ("",):
            name = f"{identity}{side}"
            yield Item(
                row["area"],
                name,
                row["kind"],
                f"{row['name']} {name.upper()}",
                f"{row['name_en']} {name.upper()}",
                x + number % columns * dx,
                y + number // columns * dy + (20 if side == "b" else 0),
                row["connector"],
                float(row.get("size", 6)),
                parameters | ({"duty": float(side == "a")} if side else {}),
                row.get("substance", ""),
                f"{row['area']}/{identity}{'b' if side == 'a' else 'a'}" if side else "",
                sources[number % len(sources)],
                tuple(row.get("detectors", ("", 0))),
            )


def _fire_panels() -> Iterator[Item]:
    for area in areas():
        x = sum(corner[0] for corner in area.plot[:-1]) / (len(area.plot) - 1)
        y = min(corner[1] for corner in area.plot) + 12
        name, name_en = f"{area.name}消防与人员", f"{area.name_en}: fire panel and people"
        yield Item(area.path, FIRE_PANEL, "control-room", name, name_en, x, y, GAS)


@cache
def items() -> tuple[Item, ...]:
    """Return all equipment of the park."""
    return (*(item for row in table("park")["series"] for item in _series(row)), *_fire_panels())


@cache
def watches() -> tuple[Watch, ...]:
    """Return all gas detectors: a ring around each piece of equipment that can leak."""
    found = []
    for item in items():
        gas, count = item.detectors
        reach = item.size / 2 + _DISTANCE
        for number, (dx, dy) in enumerate(_AROUND[:count], start=1):
            found.append(Watch(item.path, gas, number, item.x + dx * reach, item.y + dy * reach, _panel(item.area)))
    return tuple(found)


def _panel(area: str) -> str:
    return "gds-loading" if area == "haian/loading" else f"gds-{area.partition('/')[0]}"

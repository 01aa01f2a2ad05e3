"""From equipment to points: what each measures, where the value comes from, who reads it under which tag."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from anlan.sim import catalogue
from anlan.sim.catalogue import Item, Watch, table

SPARKPLUG_GROUP = "donggang"


@dataclass(frozen=True, slots=True)
class PointSpec:
    """One point of the park.

    Attributes:
        index: position in the park's value array.
        path, unit_path, id: as in the site file.
        source: ``(group, quantity, row)`` of the physics, or empty for a wandering or constant value.
        wander: mean, standard deviation, time constant s; constant when the deviation is 0.
        noise, step: transmitter noise and resolution. low, high: span. period: s between samples.
        connector, device: who reads it; ``device`` is the MQTT device, Sparkplug node or HJ 212 station.
        tag: in the connector's syntax. instrument: its tag on the drawings.
        stale: s without a sample until it counts as stale; 0 leaves it to the node's default.
        alarms: alarm templates by kind, limits still in terms of ``parameters``.
    """

    index: int
    path: str
    unit_path: str
    id: str
    kind: str
    unit: str
    name: str
    name_en: str
    equipment: str
    source: tuple[str, str, int] | tuple[()]
    wander: tuple[float, float, float]
    noise: float
    step: float
    low: float
    high: float
    period: float
    safety: bool
    states: dict[int, str]
    connector: str
    device: str
    tag: str
    x: float
    y: float
    parameters: dict[str, float]
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict)
    stale: float = 0.0
    instrument: str = ""


class _Tags:
    """Deals out tags: registers one after the other, names for the rest."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, str], int] = {}

    def _register(self, connector: str, area: str, width: int) -> int:
        at = self._next.get((connector, area), 0)
        self._next[connector, area] = at + width
        return at

    def modbus(self, connector: str, row: dict[str, Any]) -> str:
        """Return a register: states as bits, narrow spans as scaled int16, the rest as float32."""
        if row["kind"] == "state" and "2" not in {str(key) for key in row.get("states", {})}:
            return f"discrete:{self._register(connector, 'discrete', 1)}:bool"
        if row["kind"] == "state":
            return f"input:{self._register(connector, 'input', 1)}:uint16"
        if row["kind"] == "valve-position":
            return f"input:{self._register(connector, 'input', 1)}:int16"
        return f"holding:{self._register(connector, 'holding', 2)}:float32"


def _device(item: Item, row: dict[str, Any]) -> str:
    enterprise = item.area.partition("/")[0]
    if item.connector == catalogue.EDGE:
        if enterprise == "gangneng":
            return "gangneng"
        return f"{enterprise}/{'pumps' if item.kind == 'pump' else 'compressors'}"
    if item.connector == catalogue.GAS:
        return f"weather-{item.id.rpartition('-')[2]}" if row["node"] == "weather" else f"fire-{enterprise}"
    if item.connector == catalogue.ENVIRONMENT:
        return station_number(item.id)
    return item.connector


def station_number(unit: str) -> str:
    """Return the HJ 212 device number (MN, 24 hex digits) of a station."""
    return "3302061E5A" + unit.encode().hex().upper().zfill(14)[-14:]


def _tag(tags: _Tags, item: Item, row: dict[str, Any], device: str) -> str:
    if item.connector == catalogue.EDGE:
        return f"spB:{SPARKPLUG_GROUP}/{device}:{item.id.upper()}/{row['id']}"
    if item.connector == catalogue.GAS:
        return f"senml:{device}/{item.area.rpartition('/')[2]}-{item.id}/{row['id']}"
    if item.connector == catalogue.ENVIRONMENT:
        return f"{device}/{row['factor']}-Rtd"
    if item.connector == catalogue.DCS:
        return f"ns=2;s={item.area.rpartition('/')[2].upper()}.{item.id.upper()}.{row['id']}"
    return tags.modbus(item.connector, row)


def _rows(item: Item, groups: dict[str, list[Item]], specs: list[PointSpec], tags: _Tags) -> None:
    template = table("equipment")[item.kind]
    group = template.get("group", "")
    number = len(groups.setdefault(group, []))
    groups[group].append(item)
    for place, row in enumerate(template["points"]):
        unit_alarms = {
            f"{alarm['kind']}.{alarm['name']}": alarm
            for alarm in template.get("unit-alarms", ())
            if alarm["point"] == row["id"]
        }
        source = (group, row["q"], number) if "q" in row else ()
        specs.append(_spec(item, row, len(specs), place, source, unit_alarms, tags))
        if item.connector == catalogue.ENVIRONMENT:
            specs.append(_minute_mean(specs[-1], len(specs)))


def _spec(
    item: Item,
    row: dict[str, Any],
    index: int,
    place: int,
    source: tuple[str, str, int] | tuple[()],
    unit_alarms: dict[str, dict[str, Any]],
    tags: _Tags,
) -> PointSpec:
    mean, sigma, tau = row.get("wander", (row.get("fixed", 0.0), 0.0, 1.0))
    low, high = row.get("range", (0, max((*row.get("states", {}), 1))))
    device = _device(item, row)
    return PointSpec(
        index=index,
        path=f"{item.path}/{row['id']}",
        unit_path=item.path,
        id=row["id"],
        kind=row["kind"],
        unit=row.get("unit", ""),
        name=row["zh"],
        name_en=row["en"],
        equipment=item.id.upper(),
        source=source,
        wander=(float(mean), float(sigma), float(tau)),
        noise=float(row.get("noise", 0)),
        step=float(row.get("step", 1)),
        low=float(low),
        high=float(high),
        period=_period(item.connector, row),
        safety=row.get("safety", False),
        states=row.get("states", {}),
        connector=item.connector,
        device=device,
        tag=_tag(tags, item, row, device),
        x=item.x + 0.8 * (place % 4),
        y=item.y - 0.8 * (place // 4),
        parameters=item.parameters,
        alarms={**row.get("alarms", {}), **unit_alarms},
        stale=float(row.get("stale", 0)),
        instrument=f"{_LETTERS.get(row['kind'], 'X')}-{item.id.upper()}",
    )


def _period(connector: str, row: dict[str, Any]) -> float:
    """Return the seconds between samples: stations report every 10 s, controllers scan every second."""
    if connector == catalogue.ENVIRONMENT:
        return 10.0
    if connector in (catalogue.TANKS, catalogue.UTILITY, catalogue.ASU):
        return 1.0
    if connector == catalogue.EDGE and row.get("fast"):
        return 0.2
    return float(row.get("every", 1))


# First letters of the tags on the drawings (GB/T 2625 / ISA-5.1).
_LETTERS = {
    "pressure": "PT", "temperature": "TT", "level": "LT", "flow": "FT", "speed": "ST", "vibration": "VT",
    "current": "IT", "voltage": "ET", "power": "JT", "valve-position": "ZT", "differential-pressure": "PDT",
    "state": "XS", "weight": "WT", "concentration": "AT", "ph": "AT", "oxygen": "AT", "conductivity": "AT",
}  # fmt: skip


def _minute_mean(point: PointSpec, index: int) -> PointSpec:
    """Return the point of a station's minute mean (HJ 212 command 2051)."""
    return replace(
        point, index=index, path=f"{point.path}-avg", id=f"{point.id}-avg", name=f"{point.name}分钟均值",
        name_en=f"{point.name_en}, minute mean", wander=(point.wander[0], 0.0, 1.0), noise=0.0, period=60.0,
        tag=point.tag.replace("-Rtd", "-Avg"), alarms={},
    )  # fmt: skip


def _detector(watch: Watch, number: int, index: int) -> PointSpec:
    limit = table("limits")[watch.gas]
    name = f"{limit.get('id', watch.gas)}-{watch.number}"
    area, _, unit = watch.unit.partition("/")[2].partition("/")
    return PointSpec(
        index=index,
        path=f"{watch.unit}/{name}",
        unit_path=watch.unit,
        id=name,
        kind=limit["kind"],
        unit=limit["unit"],
        name=f"{limit['zh']} {watch.number}",
        name_en=f"{limit['en']} {watch.number}",
        equipment="",
        source=("detectors", "reading", number),
        wander=(0.0, 0.0, 1.0),
        noise=limit["noise"],
        step=limit["step"],
        low=0.0,
        high=float(limit["high"]),
        period=1.0,
        safety=True,
        states={},
        connector=catalogue.GAS,
        device=watch.device,
        tag=f"senml:{watch.device}/{area}-{unit}/{name}",
        x=watch.x,
        y=watch.y,
        parameters={},
        alarms=_gas_alarms(limit),
        stale=20.0,
        instrument=f"GT-{number + 1001}",
    )


def _gas_alarms(limit: dict[str, Any]) -> dict[str, dict[str, Any]]:
    texts = table("limits")["texts"][limit["kind"]]
    common = {"deadband": 0.03 * limit["high"], "source": f"{limit['source']}（{limit['basis']}）"}
    return {kind: {"limit": limit[kind]} | common | text for kind, text in texts.items() if kind in limit}


@dataclass(frozen=True)
class Layout:
    """All equipment and points of the park; ``groups`` lists the equipment each physics group steps, in order."""

    items: tuple[Item, ...]
    watches: tuple[Watch, ...]
    groups: dict[str, list[Item]]
    points: tuple[PointSpec, ...]

    def by_path(self) -> dict[str, PointSpec]:
        """Return the points by path."""
        return {point.path: point for point in self.points}


@cache
def layout() -> Layout:
    """Return the park's layout; it depends on nothing but the tables."""
    equipment = catalogue.items()
    watching = catalogue.watches()
    groups: dict[str, list[Item]] = {}
    specs: list[PointSpec] = []
    tags = _Tags()
    for item in equipment:
        _rows(item, groups, specs, tags)
    specs += [_detector(watch, number, len(specs) + number) for number, watch in enumerate(watching)]
    return Layout(equipment, watching, groups, tuple(specs))


def limit_of(text: float | str, parameters: dict[str, float]) -> float:
    """Return a limit given as a number or as ``parameter op number`` over the equipment's parameters."""
    if not isinstance(text, str):
        return float(text)
    name, operator, number = text.split(" ")
    base = parameters[name]
    result = {"+": base + float(number), "-": base - float(number), "*": base * float(number)}[operator]
    return round(result, 4)

"""Reading the file of ``anlan evacuate``: every fault with file, line, field and what would be right."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from anlan.core.errors import InvalidInputError
from anlan.core.time import duration_us
from anlan.plant.yaml_source import Mapping, parse
from anlan.science.allocation import dispatch
from anlan.science.allocation.evacuation import Area, Hazard, Shelter
from anlan.science.allocation.plume import Cloud, DriftingCloud, GridCloud, Toxicity
from anlan.science.allocation.road_file import read_roads
from anlan.science.allocation.roads import RoadGraph, with_places

_MISSING = object()
_MOST_BYTES = 1 << 26
"""Bytes of a road or grid file at most."""


class Part:
    """A mapping of the file that knows where it stands and which of its keys were asked for."""

    def __init__(self, data: Any, where: str, path: str = "") -> None:
        self.path = path
        self.where = where
        if not isinstance(data, Mapping):
            raise InvalidInputError("no mapping", where=f"{where}: {path or 'file'}", fix="key: value pairs")
        self.data = data
        self.asked: set[str] = set()

    def at(self, key: str) -> str:
        """Return file, line and field of a key."""
        file, line = self.data.where(key)
        return f"{file}:{line}: {self.path}{key}"

    def fail(self, key: str, message: str, fix: str) -> InvalidInputError:
        """Return the error of a key."""
        return InvalidInputError(message, where=self.at(key), fix=fix)

    def get(self, key: str, usual: Any = _MISSING) -> Any:
        """Return a value as it stands; an error when it is missing and has no usual one."""
        self.asked.add(key)
        if key in self.data and self.data[key] is not None:
            return self.data[key]
        if usual is _MISSING:
            raise self.fail(key, "missing", f"give {key}")
        return usual

    def number(self, key: str, usual: Any = _MISSING, low: float = 0.0, high: float = math.inf) -> float:
        """Return a number from ``low`` to ``high``."""
        value = self.get(key, usual)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            fix = f"a number from {low:g} to {high:g}" if math.isfinite(high) else f"a number, {low:g} or more"
            raise self.fail(key, f"{value!r} does not fit", fix)
        return float(value)

    def seconds(self, key: str, usual: Any = _MISSING) -> float:
        """Return a duration such as ``30 min``, s."""
        value = self.get(key, usual)
        if isinstance(value, float) and math.isinf(value):
            return value
        try:
            return duration_us(value) / 1e6
        except InvalidInputError as error:
            raise self.fail(key, error.message, error.fix) from None

    def place(self, key: str) -> tuple[float, float]:
        """Return [longitude, latitude]."""
        value = self.get(key)
        good = isinstance(value, list) and len(value) == 2 and all(isinstance(one, (int, float)) for one in value)
        if not good or abs(value[0]) > 180.0 or abs(value[1]) > 90.0:
            raise self.fail(key, f"{value!r} is no place", "[longitude, latitude] in degrees of WGS84")
        return float(value[0]), float(value[1])

    def part(self, key: str) -> Part:
        """Return the mapping of a key."""
        self.asked.add(key)
        return Part(self.data.get(key), self.at(key), f"{self.path}{key}.")

    def parts(self, key: str) -> list[Part]:
        """Return the mappings of a list; none when it is missing."""
        value = self.get(key, [])
        if not isinstance(value, list):
            raise self.fail(key, "no list", "a list of mappings")
        return [Part(one, self.at(key), f"{self.path}{key}[{number}].") for number, one in enumerate(value)]

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self.data:
            if key not in self.asked:
                raise self.fail(key, "no such key", f"one of {', '.join(sorted(self.asked))}")


@dataclass(frozen=True, slots=True)
class EvacuationFile:
    """What the file says, ready to be planned.

    Attributes:
        name: of the case; mode: drive or walk; graph: roads, with closed ones closed.
        areas, shelters, hazard, horizon: of the evacuation.
        notes: what to know of cloud and roads, in English and Chinese.
        dispatch: teams and tasks, None without.
    """

    name: str
    mode: str
    graph: RoadGraph
    areas: list[Area]
    shelters: list[Shelter]
    hazard: Hazard | None
    horizon: float
    notes: list[tuple[str, str]]
    dispatch: dispatch.Problem | None


def read(path: Path) -> EvacuationFile:
    """Return the file's contents.

    Raises:
        InvalidInputError: the first fault, with file, line and field.
    """
    data, problems = parse(path.read_text(encoding="utf-8"), str(path))
    if problems:
        first = problems[0]
        raise InvalidInputError(
            f"{first.code} {first.at}".strip(), where=f"{first.file}:{first.line}", fix="plain YAML"
        )
    top = Part(data, str(path))
    mode = str(top.get("mode", "drive"))
    if mode not in ("drive", "walk"):
        raise top.fail("mode", f"{mode!r} is no mode", "drive or walk")
    graph = _closed(top, read_roads(_json(top, "roads", path), mode))
    areas = [_area(part) for part in top.parts("areas")]
    shelters = [_shelter(part) for part in top.parts("shelters")]
    notes: list[tuple[str, str]] = []
    hazard = _hazard(top, graph, path, notes)
    teams, tasks = top.parts("teams"), top.parts("tasks")
    asked = _dispatch(graph, mode, teams, tasks) if teams or tasks else None
    name = str(top.get("name", path.stem))
    horizon = top.seconds("horizon", "4 h")
    top.done()
    return EvacuationFile(name, mode, graph, areas, shelters, hazard, horizon, notes, asked)


def _json(part: Part, key: str, path: Path) -> Any:
    file = path.parent / str(part.get(key))
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise part.fail(key, f"{file} is larger than {_MOST_BYTES >> 20} MB", "a smaller piece")
        raw = file.read_bytes()
        return json.loads(gzip.decompress(raw) if file.suffix == ".gz" else raw)
    except (json.JSONDecodeError, UnicodeDecodeError, gzip.BadGzipFile) as error:
        raise part.fail(key, f"{file} is no JSON: {error}", "GeoJSON or JSON, plain or .gz") from None
    except OSError as error:
        raise part.fail(key, f"{file}: {error.strerror}", "a file beside this one") from None


def _closed(top: Part, graph: RoadGraph) -> RoadGraph:
    chosen: list[int] = []
    for one in top.get("closed", []):
        wanted = str(one)
        found = [
            k for k, road in enumerate(graph.roads) if wanted in (road.name, f"{road.u}-{road.v}", f"{road.v}-{road.u}")
        ]
        if not found:
            raise top.fail("closed", f"no road {wanted}", "a road's name, or u-v of its nodes")
        chosen += found
    return graph.with_closed(chosen)


def _area(part: Part) -> Area:
    people = part.number("people")
    area = Area(
        str(part.get("id")), part.place("at"), int(people), str(part.get("name", "")), part.seconds("notice", 0),
        part.number("air_changes", 0.5), part.get("must_leave", False) is True,
    )  # fmt: skip
    part.done()
    return area


def _shelter(part: Part) -> Shelter:
    shelter = Shelter(
        str(part.get("id")), part.place("at"), part.number("capacity", math.inf), str(part.get("name", ""))
    )
    part.done()
    return shelter


def _hazard(top: Part, graph: RoadGraph, path: Path, notes: list[tuple[str, str]]) -> Hazard | None:
    if top.get("cloud", None) is None:
        return None
    cloud, toxic = top.part("cloud"), top.part("toxic")
    concentration = toxic.number("concentration")
    toxicity = Toxicity.of(
        concentration, toxic.seconds("over") / 60.0, toxic.number("exponent", 1.0), str(toxic.get("name", ""))
    )
    unit = str(toxic.get("unit", "ppm"))
    toxic.done()
    until, every = cloud.seconds("until", "2 h"), max(cloud.seconds("every", "60 s"), 1.0)
    times = np.arange(0.0, until + every, every)
    kinds: dict[str, Callable[[], Cloud]] = {
        "track": lambda: _track(cloud, graph),
        "grid": lambda: _grid(cloud, graph, path, concentration, notes),
        "release": lambda: _released(cloud, graph, unit, notes),
    }
    given = [kind for kind in kinds if kind in cloud.data]
    if len(given) != 1:
        raise top.fail("cloud", f"{len(given)} of track, grid, release", "exactly one of them")
    found = kinds[given[0]]()
    hazard = Hazard(found, times, toxicity, cloud.number("factor", 1.0), cloud.number("spacing", 25.0, 1.0))
    cloud.done()
    return hazard


def _track(cloud: Part, graph: RoadGraph) -> DriftingCloud:
    rows = []
    for part in cloud.parts("track"):
        x, y = graph.metres(*part.place("at"))
        rows.append((part.seconds("time"), float(x), float(y), part.number("spread", low=1.0), part.number("peak")))
        part.done()
    times = [row[0] for row in rows]
    if not rows or any(b <= a for a, b in pairwise(times)):
        raise cloud.fail("track", "times that do not increase", "one entry or more, each later than the last")
    return DriftingCloud(*(np.array(column) for column in zip(*rows, strict=True)))


def _grid(cloud: Part, graph: RoadGraph, path: Path, limit: float, notes: list[tuple[str, str]]) -> GridCloud:
    data = _json(cloud, "grid", path)
    try:
        axes = [np.array(data[key], dtype=np.float64) for key in ("lon", "lat", "times")]
        values = np.array(data["values"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise cloud.fail("grid", f"unreadable: {error}", "lon, lat, times (s) and values[times][lat][lon]") from None
    x, _ = graph.metres(axes[0], graph.origin[1])
    _, y = graph.metres(graph.origin[0], axes[1])
    field = GridCloud(x, y, axes[2], values)
    if field.at_edge() > 0.01 * limit:
        notes.append(
            (
                f"the grid ends where there is still {field.at_edge():.3g}: beyond it the air counts as clean",
                f"网格边缘浓度仍有{field.at_edge():.3g}，网格外按无污染计",
            )
        )
    return field


def _released(cloud: Part, graph: RoadGraph, unit: str, notes: list[tuple[str, str]]) -> Cloud:
    """Return the cloud that the dispersion models compute of a release, in ppm."""
    from anlan.science.consequence.conventions import Release, Stability, Terrain, Weather
    from anlan.science.consequence.dispersion import disperse

    if unit != "ppm":
        raise cloud.fail("release", f"a limit in {unit}", "toxic.unit of ppm with a release")
    part, air = cloud.part("release"), cloud.part("weather")
    x, y = (float(one) for one in graph.metres(*part.place("at")))
    rate, duration = part.number("rate"), part.seconds("duration", math.inf)
    release = Release(
        str(part.get("substance")), rate, duration, rate * duration, part.number("temperature", 293.15),
        part.number("vapour", 1.0, 0.0, 1.0), part.number("area", 0.1), part.number("velocity", 0.0),
        part.number("height", 1.0), x=x, y=y, start=part.seconds("start", 0),
    )  # fmt: skip
    weather = Weather(
        air.number("wind"), air.number("direction", low=0.0, high=360.0), Stability(str(air.get("stability", "D"))),
        temperature=air.number("temperature", 293.15), humidity=air.number("humidity", 0.5, 0.0, 1.0),
        roughness=air.number("roughness", 0.1), terrain=Terrain(str(air.get("terrain", "rural"))),
    )  # fmt: skip
    part.done()
    air.done()
    found = disperse(release, weather)
    notes.extend((en, zh) for _, en, zh in found.remarks.items)

    def at(east: Any, north: Any, t: Any) -> Any:
        shape = np.broadcast_shapes(np.shape(east), np.shape(north), np.shape(t))
        out = np.zeros(shape)
        moments = np.broadcast_to(t, (1, shape[-1]))[0]
        for k, moment in enumerate(moments):
            if moment >= release.start:
                places = found.concentration(east[..., 0], north[..., 0], 1.5, float(moment), frame="map")
                out[..., k] = 1e6 * found.to_fraction(places)
        return out

    return at


def _dispatch(graph: RoadGraph, mode: str, teams: list[Part], tasks: list[Part]) -> dispatch.Problem:
    from anlan.science.allocation.paths import travel_times

    who = [
        dispatch.Team(
            str(part.get("id")), _skills(part), _amounts(part, "carries"), part.seconds("ready", 0),
            part.seconds("end", math.inf),
        )
        for part in teams
    ]  # fmt: skip
    what = [
        dispatch.Task(
            str(part.get("id")), _skills(part), _amounts(part, "needs"), part.seconds("duration", 0),
            part.seconds("earliest", 0), part.seconds("latest", math.inf), part.number("weight", 1.0),
        )
        for part in tasks
    ]  # fmt: skip
    places = [part.place("at") for part in (*teams, *tasks)]
    for part in (*teams, *tasks):
        part.done()
    placed, spots = with_places(graph, places, mode)
    nodes = [spot.node for spot in spots]
    return dispatch.problem(who, what, travel_times(placed, nodes, nodes))


def _skills(part: Part) -> frozenset[str]:
    value = part.get("skills", [])
    if not isinstance(value, list):
        raise part.fail("skills", "no list", "a list of names")
    return frozenset(str(one) for one in value)


def _amounts(part: Part, key: str) -> tuple[tuple[str, float], ...]:
    if part.get(key, None) is None:
        return ()
    goods = part.part(key)
    return tuple((name, goods.number(name)) for name in goods.data)

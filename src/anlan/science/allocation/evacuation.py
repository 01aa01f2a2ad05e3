"""Evacuation by area: who leaves and who stays indoors by dose, and the quickest way out over roads with capacities.

Nobody is sent on a way above the limit of toxic load: each group's load (indoors until it leaves, then along its way)
is computed with its true travel times, and a group above the limit is not sent but stays indoors with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numba
import numpy as np
from numpy.typing import NDArray

from anlan.core.errors import InvalidInputError
from anlan.science.allocation.paths import Network, Route, Waiting, Wish, network, time_to, trade_offs
from anlan.science.allocation.plume import Cloud, Toxicity, arc_load, cumulated, indoor, rate_at, spent_at, tabulate
from anlan.science.allocation.quickest import Flow, Group, Links, guess_from, quickest, usual_step
from anlan.science.allocation.roads import NoRouteError, Remark, RoadGraph, RoadsError, snap, with_places

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_UNTOUCHED = 1e-3
"""An area outdoors below this share of the limit is not touched by the cloud."""
_FAR = 500.0
"""A road further than this, m, from its place is worth a remark."""
_FEW = 0.005
"""Share of people above the limit with long steps that the fine ones should avoid."""
_LONG, _LOOSE, _LONG_STEPS = 4.0, 0.08, 25
"""Steps so much longer, and a number of them so much above the least, to try how strict arcs must be."""
_AT_ONCE = 60.0
"""Who leaves within this, s, of being ready leaves at once."""
_STRICTER = (1.0, 0.1, 0.01, 0.001)
"""Share of the limit above which an arc is not entered: the next one is tried while groups come out above the limit."""


class Decision(StrEnum):
    """What the people of an area are told."""

    LEAVE = "leave"
    SHELTER = "shelter"
    STAY = "stay"


@dataclass(frozen=True, slots=True)
class Area:
    """People in one place.

    Attributes:
        id, name: of the area.
        at: (longitude, latitude).
        people: number.
        notice: s until they can leave.
        air_changes: of their buildings with windows shut, 1/h.
        must_leave: leave whenever a way within the limit exists, even if indoors were better.
    """

    id: str
    at: tuple[float, float]
    people: int
    name: str = ""
    notice: float = 0.0
    air_changes: float = 0.5
    must_leave: bool = False


@dataclass(frozen=True, slots=True)
class Shelter:
    """Where people go.

    Attributes:
        id, name: of the shelter; at: (longitude, latitude); capacity: people, inf for the open country.
    """

    id: str
    at: tuple[float, float]
    capacity: float = float("inf")
    name: str = ""


@dataclass(frozen=True, slots=True)
class Hazard:
    """The cloud and its limit.

    Attributes:
        cloud: concentration at (x, y, t) in metres of the graph's origin and seconds.
        times: s at which it is asked, increasing from 0.
        toxicity: exponent and limit.
        factor: share of the concentration outside that travellers breathe.
        spacing: of the points along roads, m.
    """

    cloud: Cloud
    times: Floats
    toxicity: Toxicity
    factor: float = 1.0
    spacing: float = 25.0


@dataclass(frozen=True, slots=True)
class Home:
    """What an area gets without going anywhere, as shares of the limit.

    Attributes:
        rate, spent: load rate indoors and its integral at the hazard's times.
        indoors: load if all stay in and air out once the air outside is the cleaner.
        outdoors: load in the open.
        air_out: s when to open the windows; NaN without a cloud.
    """

    rate: Floats
    spent: Floats
    indoors: float
    outdoors: float
    air_out: float


@dataclass(frozen=True, slots=True)
class Scene:
    """Roads with areas and shelters on them and the cloud tabulated: made once, planned as often as roads change."""

    roads: Network
    areas: tuple[Area, ...]
    shelters: tuple[Shelter, ...]
    area_nodes: tuple[int, ...]
    shelter_nodes: tuple[int, ...]
    hazard: Hazard | None
    homes: tuple[Home, ...]
    remarks: tuple[Remark, ...]

    def closed(self, roads: Sequence[int], since: float = -np.inf, until: float = np.inf) -> Scene:
        """Return the scene with roads of its graph closed; the cloud is not computed again."""
        return replace(self, roads=self.roads.closed(roads, since, until))

    @property
    def limit(self) -> float:
        """Limit of load; inf without a cloud."""
        return self.hazard.toxicity.limit if self.hazard else np.inf


@dataclass(frozen=True, slots=True)
class AreaPlan:
    """What one area does.

    Attributes:
        area: it; decision, reason: what and why.
        leaving, staying: people.
        indoors, outdoors: load as share of the limit for who stays; leaving_load: greatest of the groups that leave.
        above_limit: whether those who stay get more than the limit indoors (rescue first).
        first_leave, last_arrival: s, NaN when nobody leaves; air_out: s when to open the windows, NaN if not needed.
    """

    area: Area
    decision: Decision
    reason: Remark
    leaving: int
    staying: int
    indoors: float
    outdoors: float
    leaving_load: float
    above_limit: bool
    first_leave: float
    last_arrival: float
    air_out: float


@dataclass(frozen=True, slots=True)
class Evacuation:
    """A plan.

    Attributes:
        scene: what was planned; areas: what each does; groups: who goes together, when and where along.
        cleared: s when the last arrives; 0 when nobody leaves.
        steps, step: number and length, s, of the steps of time.
        remarks: what to know.
    """

    scene: Scene
    areas: tuple[AreaPlan, ...]
    groups: tuple[Group, ...]
    cleared: float
    steps: int
    step: float
    remarks: tuple[Remark, ...] = field(default=())


def prepare(
    graph: RoadGraph,
    areas: Sequence[Area],
    shelters: Sequence[Shelter],
    hazard: Hazard | None = None,
    mode: str = "drive",
) -> Scene:
    """Return the scene of an evacuation.

    A place whose nearest road leads to no shelter gets the nearest road that does, with a remark.

    Raises:
        InvalidInputError: no area or shelter, or a number that cannot be.
    """
    _check(areas, shelters)
    places = [*(one.at for one in areas), *(one.at for one in shelters)]
    _within(graph, areas, shelters)
    usable = _leads_on(graph, shelters, mode)
    masks, remarks = [], []
    for area in areas:
        road, _, _ = snap(graph, *area.at)
        masks.append(usable if usable.any() and not usable[road] else None)
        if masks[-1] is not None:
            other, _, away = snap(graph, *area.at, usable)
            remarks.append(_other_road(area, graph, road, other, away))
    placed, snapped = with_places(graph, places, mode, [*masks, *([None] * len(shelters))])
    names = [*(one.id for one in areas), *(one.id for one in shelters)]
    remarks += [_far(name, spot.away) for name, spot in zip(names, snapped, strict=True) if spot.away > _FAR]
    exposure = None
    if hazard is not None:
        toxicity = hazard.toxicity
        exposure = tabulate(
            placed,
            _shifted(hazard.cloud, graph, placed),
            hazard.times,
            toxicity.exponent,
            hazard.spacing,
            hazard.factor,
        )
    nodes = [spot.node for spot in snapped]
    homes = tuple(_home(graph, area, hazard) for area in areas)
    return Scene(
        network(placed, exposure),
        tuple(areas),
        tuple(shelters),
        tuple(nodes[: len(areas)]),
        tuple(nodes[len(areas) :]),
        hazard,
        homes,
        (*placed.remarks, *remarks),
    )


def _shifted(cloud: Cloud, old: RoadGraph, new: RoadGraph) -> Cloud:
    """Return the cloud in metres of another graph's origin."""
    dx, dy = (float(part) for part in old.metres(*new.origin))
    return lambda x, y, t: cloud(x + dx, y + dy, t)


def _check(areas: Sequence[Area], shelters: Sequence[Shelter]) -> None:
    for what, found in (("areas", areas), ("shelters", shelters)):
        if not found:
            raise InvalidInputError(f"no {what}", where=what, fix="at least one")
        names = [one.id for one in found]
        for name in names:
            if names.count(name) > 1:
                raise InvalidInputError(f"{name} stands there twice", where=what, fix="an id of its own for each")
    for area in areas:
        where = f"areas.{area.id}"
        if area.people < 0:
            raise InvalidInputError(f"{area.people} people", where=f"{where}.people", fix="a number, 0 or more")
        if not (0.0 <= area.notice < np.inf and 0.0 <= area.air_changes <= 1000.0):
            raise InvalidInputError("notice or air_changes that cannot be", where=where, fix="0 or more")
    for shelter in shelters:
        if not shelter.capacity >= 0.0:
            raise InvalidInputError(
                f"a capacity of {shelter.capacity}", where=f"shelters.{shelter.id}", fix="0 or more"
            )


def _within(graph: RoadGraph, areas: Sequence[Area], shelters: Sequence[Shelter]) -> None:
    """Refuse places so far from all roads that the coordinates must be wrong."""
    for name, at in [*((one.id, one.at) for one in areas), *((one.id, one.at) for one in shelters)]:
        _, _, away = snap(graph, *at)
        if away > 100.0 * _FAR:
            raise RoadsError(
                f"{name} is {away / 1000.0:.0f} km from the nearest road", where=f"{name}.at",
                fix="[longitude, latitude] of WGS84 near the roads, longitude first",
            )  # fmt: skip


def _leads_on(graph: RoadGraph, shelters: Sequence[Shelter], mode: str) -> Bools:
    """Return whether each road leads to a shelter."""
    placed, spots = with_places(graph, [one.at for one in shelters], mode)
    reach = time_to(placed, np.array([spot.node for spot in spots]), placed.time, ~placed.closed)
    good = np.zeros(len(graph.roads), dtype=np.bool_)
    arrives = ~graph.closed & np.isfinite(reach[graph.head])
    good[graph.road[arrives]] = True
    return good


def _other_road(area: Area, graph: RoadGraph, road: int, other: int, away: float) -> Remark:
    names = [graph.roads[one].name or f"{graph.roads[one].u}–{graph.roads[one].v}" for one in (road, other)]
    return Remark(
        "disconnected", f"areas.{area.id}",
        f"the nearest road, {names[0]}, leads to no shelter; people go to {names[1]}, {away:.0f} m away",
        f"最近的道路{names[0]}不通向任何避难点，改走{away:.0f}米外的{names[1]}",
        "check whether the roads are closed, one-way, or a link is missing",
    )  # fmt: skip


def _far(name: str, away: float) -> Remark:
    return Remark(
        "far-from-road", name, f"the nearest road is {away:.0f} m away; the way to it is not in the times",
        f"距最近道路{away:.0f}米，这段路未计入时间", "a place nearer to a road, or the missing road",
    )  # fmt: skip


def _home(graph: RoadGraph, area: Area, hazard: Hazard | None) -> Home:
    if hazard is None:
        return Home(np.zeros(1), np.zeros(1), 0.0, 0.0, np.nan)
    x, y = (np.array([[float(part)]]) for part in graph.metres(*area.at))
    outside = np.asarray(hazard.cloud(x, y, hazard.times[None, :]))[0]
    inside = indoor(hazard.times, outside, area.air_changes)
    worse = np.flatnonzero(outside >= inside)
    last = int(worse[outside[worse] > 0.0][-1]) if (outside[worse] > 0.0).any() else 0
    aired = np.where(np.arange(len(inside)) > last, outside, inside)
    n, limit = hazard.toxicity.exponent, hazard.toxicity.limit
    rate = aired**n
    spent = cumulated(hazard.times, rate)
    outdoors = float(cumulated(hazard.times, outside**n)[-1]) / limit
    after = float(hazard.times[min(last + 1, len(inside) - 1)])
    return Home(rate, spent, float(spent[-1]) / limit, outdoors, after if outdoors > _UNTOUCHED else np.nan)


@dataclass(frozen=True, slots=True)
class _Choice:
    decision: Decision
    reason: Remark
    route: Route | None = None


def plan(scene: Scene, horizon: float = 4 * 3600.0, step: float | None = None, slack: float = 0.0) -> Evacuation:
    """Return who leaves when and where along, and who stays, each with its reason.

    Args:
        scene: from ``prepare``.
        horizon: s within which all should have arrived.
        step: s; None takes about 1/100 of the time it should take.
        slack: share that the time may be above the least one, to plan again in a hurry; 0 proves the least one.
    """
    choices = [_choose(scene, number, horizon) for number in range(len(scene.areas))]
    leaving = [
        number for number, one in enumerate(choices) if one.decision is Decision.LEAVE and scene.areas[number].people
    ]
    sent = _flow(scene, leaving, horizon, step, slack)
    flow = sent.flow
    remarks = list(scene.remarks)
    if sum(shelter.capacity for shelter in scene.shelters) < sum(scene.areas[number].people for number in leaving):
        remarks.append(_too_small(scene, leaving))
    areas = tuple(_area_plan(scene, number, choice, sent) for number, choice in enumerate(choices))
    cleared = max((group.arrive for group in flow.groups), default=0.0)
    return Evacuation(scene, areas, flow.groups, cleared, flow.steps, flow.step, tuple(remarks))


@dataclass(frozen=True, slots=True)
class _Sent:
    """A flow of groups within the limit, and how many of each area are not sent: above it, or better off in."""

    flow: Flow
    refused: dict[int, int]
    better_in: dict[int, int]

    @property
    def badness(self) -> tuple[int, float]:
        """What makes one worse than another: fewer people out or better off indoors, then a later end."""
        groups = self.flow.groups
        safe = sum(group.people for group in groups) + sum(self.better_in.values())
        return -safe, max((group.arrive for group in groups), default=0.0)


def _flow(scene: Scene, leaving: list[int], horizon: float, step: float | None, slack: float) -> _Sent:
    """Return the flow that brings out most, then soonest.

    How strict arcs must be is tried with long steps first; the fine flow is made for the best, and once more
    stricter if it still has groups above the limit.
    """
    if not leaving:
        return _Sent(Flow((), 0, step or 1.0, np.zeros(0, dtype=np.int64)), {}, {})
    links = Links.of(scene.roads, [scene.area_nodes[number] for number in leaving], list(scene.shelter_nodes))
    people = [scene.areas[number].people for number in leaving]
    fine = step or usual_step(links, people, min(scene.areas[number].notice for number in leaving))
    seen: dict[float, Floats] = {}

    def tried(share: float, length: float, loose: float, guess: int) -> _Sent:
        windows = [_windows(scene, number, horizon) for number in leaving]
        places = [shelter.capacity for shelter in scene.shelters]
        flow = quickest(links, people, windows, places, horizon, length, share * scene.limit, loose, seen, guess)
        return _kept(scene, leaving, flow)

    shares = list(_STRICTER if scene.hazard is not None else _STRICTER[:1])
    guess = 0
    if len(shares) > 1:
        shares, steps = _ranked(shares, lambda share: tried(share, fine * _LONG, _LOOSE, _LONG_STEPS))
        guess = guess_from(steps)
    best = tried(shares[0], fine, slack, guess)
    if best.refused and len(shares) > 1:
        best = min(best, tried(shares[1], fine, slack, best.flow.steps - 1), key=lambda one: one.badness)
    return best


def _ranked(shares: list[float], tried: Callable[[float], _Sent]) -> tuple[list[float], int]:
    """Return the best share and the next stricter one, and the steps of the best."""
    found: list[_Sent] = []
    for share in shares:
        found.append(tried(share))
        if sum(found[-1].refused.values()) <= -_FEW * found[-1].badness[0]:
            break  # long steps refuse a few more than short ones
    best = min(range(len(found)), key=lambda k: found[k].badness)
    return shares[best : best + 2], found[best].flow.steps


def _kept(scene: Scene, leaving: list[int], flow: Flow) -> _Sent:
    """Return the flow's groups that should go, with area numbers of the scene."""
    kept: list[Group] = []
    refused: dict[int, int] = {}
    better_in: dict[int, int] = {}
    for group, load in zip(flow.groups, _loads(scene, leaving, flow), strict=True):
        area = leaving[group.area]
        indoors = scene.homes[area].indoors if scene.hazard and not scene.areas[area].must_leave else np.inf
        if indoors <= min(load, 1.0):
            better_in[area] = better_in.get(area, 0) + group.people
        elif load <= 1.0:
            kept.append(replace(group, area=area, load=load))
        else:
            refused[area] = refused.get(area, 0) + group.people
    return _Sent(replace(flow, groups=tuple(kept)), refused, better_in)


def _windows(scene: Scene, number: int, horizon: float) -> tuple[float, float]:
    """Return when an area may leave, s: from its notice until its load indoors is used up."""
    if scene.hazard is None:
        return scene.areas[number].notice, horizon
    over = np.flatnonzero(scene.homes[number].spent > scene.limit)
    return scene.areas[number].notice, float(scene.hazard.times[over[0] - 1]) if len(over) else horizon


def _loads(scene: Scene, leaving: list[int], flow: Flow) -> list[float]:
    """Return of each group the greater load, as a share of the limit, of its first and last to leave."""
    if scene.hazard is None or not flow.groups:
        return [0.0] * len(flow.groups)
    times = scene.hazard.times
    worst = np.zeros(len(flow.groups))
    for late in (0.0, flow.step):
        leave = np.array([group.leave + late for group in flow.groups])
        along = route_loads(scene.roads, [(group.arcs, group.stops) for group in flow.groups], leave)
        for k, group in enumerate(flow.groups):
            home = scene.homes[leaving[group.area]]
            along[k] += float(spent_at(times, home.rate, home.spent, leave[k]))
        worst = np.maximum(worst, along)
    return [float(one) for one in worst / scene.limit]


def route_loads(
    roads: Network, ways: Sequence[tuple[Sequence[int], Sequence[tuple[int, float]]]], leave: Floats
) -> Floats:
    """Return the load of ways left at ``leave``, s, each with its stops in the queue.

    Args:
        roads: the roads.
        ways: arcs, and (index of the arc before which to wait, s), of each.
        leave: of each, s.
    """
    ends = np.cumsum([0, *(len(arcs) for arcs, _ in ways)])
    arcs = np.array([arc for way, _ in ways for arc in way], dtype=np.int64)
    waits = np.zeros(len(arcs))
    for begin, (_, stops) in zip(ends, ways, strict=False):
        for k, wait in stops:
            waits[begin + k] = wait
    field = roads.exposure
    out = np.empty(len(ways))
    _route_loads(
        ends, arcs, waits, leave, (roads.profile, roads.travel), roads.graph.tail,
        (field.times, field.first, field.along, field.node, field.spent), out,
    )  # fmt: skip
    return out


@numba.njit(cache=True)
def _route_loads(ends, arcs, waits, leave, travel, tail, field, out):  # type: ignore[no-untyped-def]  # compiled
    times, first, along, node, spent = field
    for way in range(out.shape[0]):
        now, total = leave[way], 0.0
        for k in range(ends[way], ends[way + 1]):
            arc = arcs[k]
            if waits[k] > 0.0:
                place = tail[arc]
                total -= spent_at(times, node[place], spent[place], now)
                now += waits[k]
                total += spent_at(times, node[place], spent[place], now)
            ride = rate_at(travel[0], travel[1][arc], now)
            total += arc_load(times, first, along, arc, now, ride)
            now += ride
        out[way] = total


def _choose(scene: Scene, number: int, horizon: float) -> _Choice:
    """Say whether an area leaves or stays indoors, by dose."""
    area, home = scene.areas[number], scene.homes[number]
    where = f"areas.{area.id}"
    if scene.hazard is not None and home.outdoors < _UNTOUCHED and not area.must_leave:
        return _Choice(
            Decision.STAY,
            Remark("untouched", where, "the cloud does not reach it", "云团不会到达该区域"),
        )
    try:
        ways = trade_offs(scene.roads, scene.area_nodes[number], scene.shelter_nodes, _wish(scene, number, horizon))
    except NoRouteError as error:
        return _Choice(Decision.SHELTER, _no_way(where, home, error))
    fast = ways[0]
    if scene.hazard is None:
        return _Choice(
            Decision.LEAVE, Remark("no-cloud", where, "no cloud is given: all leave", "未给出云团，全部撤离"), fast
        )
    before = float(np.interp(area.notice, scene.hazard.times, home.spent))
    # Who waits indoors until the cloud has passed has not left: only ways begun at once are compared with staying.
    prompt = [way for way in ways if way.leave[0] <= area.notice + _AT_ONCE] or ways[:1]
    load = (before + min(way.load for way in prompt)) / scene.limit
    if home.indoors <= min(load, 1.0) and not area.must_leave:
        return _Choice(
            Decision.SHELTER,
            Remark(
                "indoors-better", where, f"indoors {home.indoors:.3g} of the limit, leaving {load:.3g}",
                f"室内剂量为限值的{home.indoors:.3g}倍，撤离为{load:.3g}倍",
            ),
        )  # fmt: skip
    return _Choice(
        Decision.LEAVE,
        Remark(
            "leaving-better", where, f"leaving {load:.3g} of the limit, indoors {home.indoors:.3g}",
            f"撤离剂量为限值的{load:.3g}倍，室内为{home.indoors:.3g}倍",
        ),
        fast,
    )  # fmt: skip


def _wish(scene: Scene, number: int, horizon: float) -> Wish:
    area, home = scene.areas[number], scene.homes[number]
    if scene.hazard is None:
        return Wish(depart=area.notice, horizon=horizon, waiting=Waiting.ORIGIN)
    before = float(np.interp(area.notice, scene.hazard.times, home.spent))
    return Wish(
        depart=area.notice, horizon=horizon, limit=scene.limit - before, waiting=Waiting.ORIGIN, home=home.rate,
        wait_step=60.0,
    )  # fmt: skip


def _no_way(where: str, home: Home, error: NoRouteError) -> Remark:
    more = home.indoors > 1.0
    return Remark(
        "no-way-out", where,
        f"{error.message}; indoors {home.indoors:.3g} of the limit" + (": above it, rescue first" if more else ""),
        f"没有剂量限值内可用的撤离路线{_least(error)}，室内剂量为限值的{home.indoors:.3g}倍"
        + ("，超限，优先救援" if more else ""),
        error.fix,
    )  # fmt: skip


def _least(error: NoRouteError) -> str:
    return f"(最安全的为限值的{error.least:.2f}倍)" if np.isfinite(error.least) else ""


def _too_small(scene: Scene, leaving: list[int]) -> Remark:
    people = sum(scene.areas[number].people for number in leaving)
    places = sum(shelter.capacity for shelter in scene.shelters)
    return Remark(
        "shelters-full", "shelters", f"the shelters hold {places:.0f} of {people} people who should leave",
        f"避难点容量{places:.0f}人，应撤离{people}人", f"shelters for {people - places:.0f} more",
    )  # fmt: skip


def _area_plan(scene: Scene, number: int, choice: _Choice, sent: _Sent) -> AreaPlan:
    area, home = scene.areas[number], scene.homes[number]
    groups = [group for group in sent.flow.groups if group.area == number]
    leaving = sum(group.people for group in groups)
    staying = area.people - leaving
    reason, decision = choice.reason, choice.decision
    if decision is Decision.LEAVE and staying:
        reason = _left_behind(area, staying, sent.refused.get(number, 0), sent.better_in.get(number, 0), home)
        decision = Decision.LEAVE if leaving else Decision.SHELTER
    return AreaPlan(
        area, decision, reason, leaving, staying, home.indoors, home.outdoors,
        max((group.load for group in groups), default=0.0), bool(staying and home.indoors > 1.0),
        min((group.leave for group in groups), default=np.nan), max((group.arrive for group in groups), default=np.nan),
        home.air_out if staying else np.nan,
    )  # fmt: skip


def _left_behind(area: Area, staying: int, by_dose: int, better_in: int, home: Home) -> Remark:
    why = "roads and shelters take no more in time", "道路和避难点在时限内容纳不下"
    if by_dose:
        why = "by then every way is above the limit", "届时所有路线均超过剂量限值"
    elif better_in:
        why = "when roads take them indoors is no worse", "轮到其撤离时留在室内剂量不更高"
    more = home.indoors > 1.0
    return Remark(
        "better-in-by-then" if better_in and not by_dose else "left-behind",
        f"areas.{area.id}",
        f"{staying} of {area.people} stay indoors ({home.indoors:.3g} of the limit): {why[0]}"
        + (": above it, rescue first" if more else ""),
        f"{area.people}人中{staying}人留在室内(限值的{home.indoors:.3g}倍): {why[1]}"
        + ("，超限，优先救援" if more else ""),
        "more roads, shelters, or vehicles; or a later horizon",
    )

"""``anlan evacuate FILE``: who leaves, when and where along; who stays indoors; which team does what."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anlan.core.output import JsonOption, emit, failing

if TYPE_CHECKING:
    from anlan.science.allocation.dispatch import Dispatch
    from anlan.science.allocation.evacuation import AreaPlan, Evacuation
    from anlan.science.allocation.quickest import Group
    from anlan.science.allocation.roads import Remark

_DECISIONS = {"leave": "leave · 撤离", "shelter": "stay indoors · 室内避险", "stay": "not touched · 不受影响"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evacuate")(evacuate)


def evacuate(
    file: Annotated[
        Path, typer.Argument(help="YAML of roads, areas, shelters, cloud, teams; see docs/evacuation-files.md.")
    ],
    geojson: Annotated[
        Path | None, typer.Option("--geojson", help="File to write: areas, shelters and ways as GeoJSON.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Plan an evacuation by area on roads with capacities under a moving cloud · 疏散与救援力量调度.

    Nobody is sent on a way above the limit of toxic load; who cannot leave within it stays indoors, with the reason.

    Example: anlan evacuate examples/evacuation/chlorine.yaml --geojson ways.geojson
    """
    with failing(as_json):
        from anlan.cli.evacuation_file import read
        from anlan.science.allocation import dispatch
        from anlan.science.allocation.evacuation import plan, prepare

        case = read(file)
        found = plan(prepare(case.graph, case.areas, case.shelters, case.hazard, case.mode), case.horizon)
        sent = dispatch.solve(case.dispatch) if case.dispatch else None
        result = _result(case.name, found, case.notes, sent)
        if geojson is not None:
            geojson.write_text(json.dumps(_geojson(found), ensure_ascii=False), encoding="utf-8")
            result["geojson"] = str(geojson)
        emit(result, as_json, lambda: _print(result))


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _remark(remark: Remark) -> dict[str, str]:
    return {"code": remark.code, "where": remark.where, "en": remark.en, "zh": remark.zh, "fix": remark.fix}


def _result(name: str, found: Evacuation, notes: list[tuple[str, str]], sent: Dispatch | None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": name,
        "cleared_s": _number(found.cleared),
        "step_s": found.step,
        "leaving": sum(one.leaving for one in found.areas),
        "staying": sum(one.staying for one in found.areas),
        "above_limit": [one.area.id for one in found.areas if one.above_limit],
        "areas": [_area(found, one) for one in found.areas],
        "shelters": [
            {
                "id": one.id,
                "name": one.name,
                "arriving": sum(group.people for group in found.groups if group.shelter == k),
            }
            for k, one in enumerate(found.scene.shelters)
        ],
        "remarks": [_remark(one) for one in found.remarks],
        "notes": [{"en": en, "zh": zh} for en, zh in notes],
    }
    if sent is not None:
        out["dispatch"] = _dispatch(sent)
    return out


def _area(found: Evacuation, one: AreaPlan) -> dict[str, Any]:
    groups = [group for group in found.groups if found.scene.areas[group.area].id == one.area.id]
    return {
        "id": one.area.id, "name": one.area.name, "people": one.area.people, "decision": one.decision.value,
        "reason": _remark(one.reason), "leaving": one.leaving, "staying": one.staying, "above_limit": one.above_limit,
        "indoors_of_limit": _number(one.indoors), "outdoors_of_limit": _number(one.outdoors),
        "leaving_of_limit": _number(one.leaving_load), "first_leave_s": _number(one.first_leave),
        "last_arrival_s": _number(one.last_arrival), "air_out_s": _number(one.air_out),
        "ways": [_way(found, way) for way in _ways(groups)],
    }  # fmt: skip


def _ways(groups: list[Group]) -> list[list[Group]]:
    """Return groups that take the same way together, the way of most people first."""
    ways: dict[tuple[int, tuple[int, ...]], list[Group]] = {}
    for group in groups:
        ways.setdefault((group.shelter, group.arcs), []).append(group)
    return sorted(ways.values(), key=lambda way: -sum(group.people for group in way))


def _way(found: Evacuation, way: list[Group]) -> dict[str, Any]:
    graph = found.scene.roads.graph
    names: list[str] = []
    for arc in way[0].arcs:
        name = graph.roads[graph.road[arc]].name
        if name and names[-1:] != [name]:
            names.append(name)
    return {
        "shelter": found.scene.shelters[way[0].shelter].id,
        "people": sum(group.people for group in way),
        "roads": names,
        "length_m": round(float(graph.length[list(way[0].arcs)].sum()), 1),
        "load_of_limit": _number(max(g.load for g in way)),
        "departures": [
            {"leave_s": _number(group.leave), "people": group.people, "arrive_s": _number(group.arrive)}
            for group in way
        ],
    }


def _dispatch(sent: Dispatch) -> dict[str, Any]:
    tasks = sent.problem.tasks
    rounds = [
        {
            "team": team.id,
            "tasks": [
                {"task": tasks[visit.task].id, "arrive_s": _number(visit.arrive), "begin_s": _number(visit.begin),
                 "done_s": _number(visit.done)}
                for visit in visits
            ],
        }
        for team, visits in zip(sent.problem.teams, sent.rounds, strict=True)
    ]  # fmt: skip
    return {"cost": _number(sent.cost), "rounds": rounds, "unserved": [_remark(one) for one in sent.unserved]}


def _geojson(found: Evacuation) -> dict[str, Any]:
    features = [
        _feature(
            "Point",
            list(one.area.at),
            kind="area",
            id=one.area.id,
            name=one.area.name,
            decision=one.decision.value,
            leaving=one.leaving,
            staying=one.staying,
            reason=one.reason.en,
            reason_zh=one.reason.zh,
        )
        for one in found.areas
    ]
    features += [
        _feature("Point", list(one.at), kind="shelter", id=one.id, name=one.name) for one in found.scene.shelters
    ]
    graph = found.scene.roads.graph
    for number, area in enumerate(found.scene.areas):
        for way in _ways([group for group in found.groups if group.area == number]):
            line: list[list[float]] = []
            for arc in way[0].arcs:
                lon, lat = graph.arc_line(arc)
                points = [list(pair) for pair in zip(lon, lat, strict=True)]
                line += points[1:] if line else points
            if len(line) >= 2:
                about = _way(found, way)
                about.pop("departures")
                features.append(_feature("LineString", line, kind="way", area=area.id, **about))
    return {"type": "FeatureCollection", "features": features}


def _feature(kind_of_geometry: str, coordinates: list[Any], **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "properties": properties, "geometry": {"type": kind_of_geometry, "coordinates": coordinates}
    }  # fmt: skip


def _minutes(value: float | None) -> str:
    return "–" if value is None else f"{value / 60.0:.1f} min"


def _print(result: dict[str, Any]) -> None:
    typer.echo(
        f"{result['name']}: {result['leaving']} leave · 撤离, {result['staying']} stay · 留守, "
        f"last arrival · 最后到达 {_minutes(result['cleared_s'])}"
    )
    for area in result["areas"]:
        typer.echo(f"  {area['id']} {area['name']}: {_DECISIONS[area['decision']]}")
        typer.echo(f"    {area['reason']['zh']} · {area['reason']['en']}")
        for way in area["ways"][:3]:
            typer.echo(
                f"    → {way['shelter']}: {way['people']} persons · 人, {way['length_m']:.0f} m, "
                f"{_minutes(way['departures'][0]['leave_s'])} … {_minutes(way['departures'][-1]['arrive_s'])}, "
                f"load · 剂量 {way['load_of_limit'] or 0.0:.3g}"
            )
        if area["air_out_s"] is not None:
            typer.echo(f"    air out at · 开窗通风 {_minutes(area['air_out_s'])}")
    _print_dispatch(result.get("dispatch"))
    for remark in [*result["remarks"], *result["notes"]]:
        typer.secho(f"note · 注意: {remark['zh']} · {remark['en']}", fg=typer.colors.YELLOW, err=True)


def _print_dispatch(sent: dict[str, Any] | None) -> None:
    if sent is None:
        return
    for one in sent["rounds"]:
        tasks = ", ".join(f"{task['task']} ({_minutes(task['begin_s'])})" for task in one["tasks"])
        typer.echo(f"  {one['team']}: {tasks or 'free · 待命'}")
    for remark in sent["unserved"]:
        typer.secho(f"  not done · 未安排: {remark['where']}: {remark['zh']} · {remark['en']}", fg=typer.colors.YELLOW)

"""The plant as it is in force: site, hierarchy, points, zones, operator positions, alarm definitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from anlan.core.actor import Actor, Permission
from anlan.core.errors import NotFoundError
from anlan.plant.client import PlantClient
from anlan.plant.model import AlarmDefinition, OperatorPosition, Place, Point, SiteInfo, Stock, Unit, Zone
from anlan.plant.requests import Revision, Status
from anlan.web.contract import documented, page_of, reply
from anlan.web.security import Context, CurrentActor
from anlan.web.watch import PlantWatch

router = APIRouter(tags=["plant"])

Cursor = Annotated[str, Query(max_length=1000, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=5000)]
Under = Annotated[str, Query(max_length=400, description="a place of the hierarchy; what lies in it")]


class PlantSummary(msgspec.Struct, frozen=True):
    """The site and how much of it one sees."""

    site: SiteInfo
    revision: str
    places: int
    units: int
    points: int
    alarms: int


class Tree(msgspec.Struct, frozen=True):
    """Places (enterprises and areas) and units one sees, with the places above them."""

    places: tuple[Place, ...]
    units: tuple[Unit, ...]


class PointPage(msgspec.Struct, frozen=True):
    """A page of points and the cursor of the next, empty at the end."""

    items: tuple[Point, ...]
    next: str = ""


class PointDetail(msgspec.Struct, frozen=True):
    """A point with its alarm definitions."""

    point: Point
    alarms: tuple[AlarmDefinition, ...]


class DefinitionPage(msgspec.Struct, frozen=True):
    """A page of alarm definitions and the cursor of the next, empty at the end."""

    items: tuple[AlarmDefinition, ...]
    next: str = ""


def under(path: str, place: str) -> bool:
    """Return whether ``path`` is ``place`` or lies in it; everything lies in the empty place."""
    return not place or path == place or path.startswith(place + "/")


def seen_or_above(actor: Actor, path: str) -> bool:
    """Return whether a place is seen, or holds one that is: without it the tree would have no stem."""
    return actor.sees(path) or any(
        grant.scope.startswith(path + "/") and actor.may(Permission.VIEW, grant.scope) for grant in actor.grants
    )


def require_place(plant: PlantWatch, actor: Actor, place: str) -> None:
    """Raise unless ``place`` is a place of the hierarchy that the actor sees (or holds what they see).

    Raises:
        NotFoundError: there is none, or outside the actor's places.
    """
    if not place:
        return
    compiled = plant.require()
    known: Iterable[str] = (item.path for group in (compiled.places, compiled.units) for item in group)
    if not seen_or_above(actor, place) or not (place in plant.by_path or place in set(known)):
        raise NotFoundError(f"there is no place {place!r}", where=place)


@router.get("/plant", **documented(answer=PlantSummary))
async def read_plant(context: Context, actor: CurrentActor) -> Response:
    """The site, the revision in force and how much of it one sees."""
    plant = context.plant.require()
    summary = PlantSummary(
        site=plant.site,
        revision=context.plant.revision,
        places=sum(actor.sees(item.path) for item in plant.places),
        units=sum(actor.sees(item.path) for item in plant.units),
        points=sum(actor.sees(item.path) for item in plant.points),
        alarms=sum(_sees_alarm(context.plant, actor, item) for item in plant.alarms),
    )
    return reply(summary)


@router.get("/places", **documented(answer=Tree))
async def read_tree(
    context: Context, actor: CurrentActor, under_: Annotated[str, Query(alias="under")] = ""
) -> Response:
    """The hierarchy of enterprises, areas and units."""
    plant = context.plant.require()
    require_place(context.plant, actor, under_)
    tree = Tree(
        tuple(item for item in plant.places if seen_or_above(actor, item.path) and under(item.path, under_)),
        tuple(item for item in plant.units if seen_or_above(actor, item.path) and under(item.path, under_)),
    )
    return reply(tree)


@router.get("/points", **documented(answer=PointPage))
async def list_points(
    context: Context,
    actor: CurrentActor,
    under_: Annotated[str, Query(alias="under", max_length=400)] = "",
    kind: Annotated[str, Query(max_length=60)] = "",
    text: Annotated[str, Query(max_length=100, description="appears in path, name or tag")] = "",
    safety: bool | None = None,
    cursor: Cursor = "",
    limit: Limit = 500,
) -> Response:
    """Points by path."""
    plant = context.plant.require()
    require_place(context.plant, actor, under_)
    wanted = text.casefold()
    found = [
        point
        for point in plant.points
        if under(point.path, under_)
        and actor.sees(point.path)
        and (not kind or point.kind == kind)
        and (safety is None or point.safety == safety)
        and (not wanted or wanted in f"{point.path} {point.name} {point.name_en} {point.tag}".casefold())
    ]
    found.sort(key=lambda point: point.path)
    page, following = page_of(found, lambda point: point.path, str, cursor, limit)
    return reply(PointPage(page, following))


@router.get("/points/{path:path}", **documented(answer=PointDetail))
async def read_point(context: Context, actor: CurrentActor, path: str) -> Response:
    """One point with its alarm definitions."""
    point = context.plant.point(path, actor)
    alarms = tuple(alarm for alarm in context.plant.require().alarms if alarm.point == point.number)
    return reply(PointDetail(point, alarms))


@router.get("/alarm-definitions", **documented(answer=DefinitionPage))
async def list_definitions(
    context: Context,
    actor: CurrentActor,
    under_: Annotated[str, Query(alias="under", max_length=400)] = "",
    cursor: Cursor = "",
    limit: Limit = 500,
) -> Response:
    """Alarm definitions in force, by id."""
    plant = context.plant
    require_place(plant, actor, under_)
    found = [
        alarm
        for alarm in plant.require().alarms
        if _sees_alarm(plant, actor, alarm) and under(plant.path_of_alarm(alarm.id, alarm.point), under_)
    ]
    found.sort(key=lambda alarm: alarm.id)
    page, following = page_of(found, lambda alarm: alarm.id, str, cursor, limit)
    return reply(DefinitionPage(page, following))


@router.get("/zones", **documented(answer=tuple[Zone, ...]))
async def list_zones(context: Context, actor: CurrentActor) -> Response:
    """Outlines on the map."""
    return reply([zone for zone in context.plant.require().zones if seen_or_above(actor, zone.path)])


@router.get("/stock", **documented(answer=tuple[Stock, ...]))
async def list_stock(context: Context, actor: CurrentActor) -> Response:
    """Substances kept at units, by design."""
    return reply([item for item in context.plant.require().stock if actor.sees(item.path)])


@router.get("/positions", **documented(answer=tuple[OperatorPosition, ...]))
async def list_positions(context: Context, actor: CurrentActor) -> Response:
    """Operator positions and the places they answer for."""
    positions = context.plant.require().positions
    return reply([item for item in positions if any(seen_or_above(actor, place) for place in item.scope or ("",))])


def _sees_alarm(plant: PlantWatch, actor: Actor, alarm: AlarmDefinition) -> bool:
    return actor.sees(plant.path_of_alarm(alarm.id, alarm.point))


# --- files and revisions ----------------------------------------------------------------------------------------------


@router.get("/plant/status", **documented(answer=Status))
async def read_plant_status(context: Context, actor: CurrentActor) -> Response:
    """What is in force, and what is wrong with the site's files as they are."""
    return reply(await context.client(PlantClient).status(actor))


@router.get("/plant/revisions", **documented(answer=tuple[Revision, ...]))
async def list_revisions(
    context: Context, actor: CurrentActor, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """Revisions put in force, newest first."""
    return reply(await context.client(PlantClient).revisions(actor, limit=limit))


@router.post("/plant/reload", **documented(answer=Status))
async def reload_plant(context: Context, actor: CurrentActor) -> Response:
    """Have the site's files read again now."""
    return reply(await context.client(PlantClient).reload(actor))

"""A checked site document and its point numbers to one canonical ``Plant``: equal input gives an equal revision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anlan.core.time import from_iso
from anlan.core.units import unit_for
from anlan.plant import definitions
from anlan.plant.expressions import with_full_paths
from anlan.plant.model import (
    AlarmDefinition,
    AlarmPolicy,
    Barrier,
    Calibration,
    Channel,
    ConnectorSpec,
    Equipment,
    EscalationChain,
    EscalationStep,
    FeatureBinding,
    Installation,
    OperatorPosition,
    Place,
    Plant,
    Point,
    SiteInfo,
    Stock,
    Substance,
    Unit,
    WarnPlan,
    Zone,
)
from anlan.plant.schema import GRADES, CalibrationPart, PointPart, SiteFile
from anlan.plant.site_file import PlacedPoint, SiteDocument


def numbers_in_file_order(document: SiteDocument) -> dict[str, int]:
    """Return the numbers an empty registry gives: 1, 2, 3 … in file order; for tests and for trying a site out."""
    return {placed.path: number for number, placed in enumerate(document.points(), start=1)}


def compile_site(document: SiteDocument, numbers: Mapping[str, int]) -> Plant:
    """Return the compiled plant.

    Args:
        document: a site that passed its checks.
        numbers: point number by full path, from the registry.
    """
    site = document.site
    placed = list(document.points())
    mapped = {path: connector.id for connector in site.connectors for path in connector.map}
    points = tuple(_point(item, numbers, mapped, site.site.timezone) for item in placed)
    return Plant(
        site=_info(site),
        places=_places(site),
        units=_units(document),
        points=points,
        zones=_zones(document),
        stock=_stock(document),
        connectors=tuple(
            ConnectorSpec(
                id=item.id,
                kind=item.kind,
                options=_plain(item.options()),
                map=_plain(item.map),
                name=item.name,
                gateway=item.gateway,
            )
            for item in site.connectors
        ),
        alarms=tuple(_alarms(document, placed, numbers)),
        positions=tuple(
            OperatorPosition(id=item.id, name=item.name, name_en=item.name_en, scope=tuple(item.scope))
            for item in site.positions
        ),
        policy=_policy(site),
        equipment=_equipment(document),
        substances=tuple(
            Substance(item.id, item.name, item.name_en, item.cas, item.un, tuple(item.categories))
            for item in site.substances
        ),
        packs=tuple(site.use),
        installations=tuple(
            Installation(item.id, item.path, item.name, item.name_en, tuple(item.units), item.exposed)
            for item in site.installations
        ),
        warn=_warn(site),
        barriers=_barriers(site, numbers),
    )


def _plain(value: Any) -> Any:
    """Return located data as plain data."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _info(site: SiteFile) -> SiteInfo:
    part = site.site
    return SiteInfo(
        id=part.id,
        name=part.name or part.id,
        tier=part.tier,
        name_en=part.name_en,
        timezone=part.timezone,
        crs=part.crs,
        location=part.location,
    )


def _places(site: SiteFile) -> tuple[Place, ...]:
    places = []
    for enterprise in site.enterprises:
        places.append(Place(enterprise.id, enterprise.name, enterprise.name_en, enterprise.kind))
        places += [Place(f"{enterprise.id}/{item.id}", item.name, item.name_en, item.kind) for item in enterprise.areas]
    return tuple(places)


def _units(document: SiteDocument) -> tuple[Unit, ...]:
    return tuple(
        Unit(
            path=unit.path,
            name=unit.part.name,
            name_en=unit.part.name_en,
            kind=unit.part.kind,
            substance=unit.part.substance,
            inventory=unit.part.inventory.value if unit.part.inventory else None,
            inventory_unit=unit.part.inventory.unit if unit.part.inventory else "",
            zone=unit.part.zone,
            position=unit.part.position,
        )
        for unit in document.units()
    )


def _calibration(part: CalibrationPart | None, zone: str) -> Calibration | None:
    if part is None:
        return None
    low, high = part.range or (None, None)
    expires = from_iso(part.expires, zone) if part.expires else 0
    return Calibration(part.gain, part.offset, low, high, expires, part.certificate)


def _point(placed: PlacedPoint, numbers: Mapping[str, int], mapped: Mapping[str, str], zone: str) -> Point:
    part = placed.part
    low, high = part.range or (None, None)
    return Point(
        number=numbers[placed.path],
        path=placed.path,
        kind=part.kind,
        unit=unit_of(part),
        name=part.name,
        name_en=part.name_en,
        tag=part.tag,
        equipment=part.equipment,
        safety=part.safety,
        states=dict(part.states),
        low=low,
        high=high,
        position=part.position,
        calibration=_calibration(part.calibration, zone),
        stale_after=definitions.stale_after(part),
        retention=part.retention,
        connector=mapped.get(placed.path, ""),
    )


def unit_of(part: PointPart) -> str:
    """Return the unit of a point: declared, or the usual one of its kind."""
    return unit_for(part.kind) if part.unit is None else part.unit


def _alarms(document: SiteDocument, placed: list[PlacedPoint], numbers: Mapping[str, int]) -> list[AlarmDefinition]:
    parts = {item.path: item.part for item in placed}
    drafted = definitions.drafted_alarms(document)
    siblings: dict[str, set[str]] = {}
    for alarm in drafted:
        siblings.setdefault(alarm.point, set()).add(alarm.id)
    return [definitions.define(alarm, parts[alarm.point], numbers, siblings[alarm.point]) for alarm in drafted]


def _barriers(site: SiteFile, points: Mapping[str, int]) -> tuple[Barrier, ...]:
    return tuple(
        Barrier(
            id=item.id,
            path=item.path,
            kind=item.kind,
            name=item.name,
            name_en=item.name_en,
            demand=item.demand,
            demand_en=item.demand_en,
            points=tuple(definitions.resolve(name, item.path, points) or name for name in item.points),
            needed=item.needed or len(item.points),
            condition=with_full_paths(item.condition or "", item.path, points),
            test_interval=item.test_interval,
            tested=from_iso(item.tested, site.site.timezone) if item.tested else 0,
            source=item.source,
        )
        for item in site.barriers
    )


def _warn(site: SiteFile) -> WarnPlan:
    part = site.warn
    return WarnPlan(
        features=tuple(FeatureBinding(i.feature, i.unit, dict(i.inputs), dict(i.parameters)) for i in part.features),
        channels=tuple(Channel(item.id, item.secret, item.name, item.name_en) for item in part.channels),
        chains=tuple(
            EscalationChain(
                GRADES[item.grade],
                tuple(EscalationStep(s.after, tuple(s.to), tuple(s.channels), s.need) for s in item.steps),
                item.scope,
            )
            for item in part.chains
        ),
    )


def _policy(site: SiteFile) -> AlarmPolicy:
    part = site.policy
    longest = part.shelve_longest
    return AlarmPolicy(
        max_age=part.max_age,
        max_ahead=part.max_ahead,
        shelve_longest=(longest.critical, longest.high, longest.medium, longest.low),
        counts_kept=part.counts_kept,
    )


def _stock(document: SiteDocument) -> tuple[Stock, ...]:
    known = {item.id: item.cas for item in document.site.substances}
    return tuple(
        Stock(unit.path, item.substance, item.quantity, item.unit, item.cas or known.get(item.substance, ""))
        for unit in document.units()
        for item in unit.part.stock
    )


def _equipment(document: SiteDocument) -> tuple[Equipment, ...]:
    return tuple(
        Equipment(
            path=f"{unit.path}/{item.id}",
            name=item.name,
            name_en=item.name_en,
            kind=item.kind,
            part_of=(item.part_of if "/" in item.part_of else f"{unit.path}/{item.part_of}") if item.part_of else "",
        )
        for unit in document.units()
        for item in unit.part.equipment
    )


def _zones(document: SiteDocument) -> tuple[Zone, ...]:
    zones = []
    for index, part in enumerate(document.site.zones):
        for properties, geometry in document.geometries.get(index, []):
            zones.append(
                Zone(
                    id=part.id or str(properties.get("id", "")),
                    path=part.path or str(properties.get("path", "")),
                    name=part.name or str(properties.get("name", "")),
                    name_en=part.name_en or str(properties.get("name_en", "")),
                    geometry=_plain(geometry),
                    kind=part.kind or str(properties.get("kind", "")),
                )
            )
    return tuple(zones)

"""What one part of a site says about another: ids, hierarchy, units of measure, references, expiry."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from anlan.core.time import from_iso
from anlan.core.units import kinds
from anlan.plant.check_alarms import check_alarms
from anlan.plant.check_barriers import check_barriers
from anlan.plant.check_connectors import check_connectors
from anlan.plant.check_sensing import check_sensing
from anlan.plant.findings import Finding, guess
from anlan.plant.geojson import Geometries, check_zones
from anlan.plant.report import Report
from anlan.plant.schema import EquipmentPart
from anlan.plant.site_file import Loc, PlacedPoint, SiteDocument

PACKS = "anlan.packs"


def check_document(document: SiteDocument, now_us: int) -> tuple[Geometries, list[Path], list[Finding]]:
    """Return the zones' geometries, the files they came from, and all findings."""
    report = Report(document, now_us)
    _check_site(report)
    _check_ids(report)
    _check_equipment(report)
    for placed in report.points.values():
        _check_point(report, placed)
    geometries, files = check_zones(report)
    _check_references(report)
    _check_warn(report)
    check_barriers(report)
    check_alarms(report)
    check_connectors(report)
    check_sensing(report)
    return geometries, files, report.findings


def _check_site(report: Report) -> None:
    site = report.document.site.site
    try:
        ZoneInfo(site.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        report.add("unknown-timezone", ("site", "timezone"), value=site.timezone)
    check_lonlat(report, site.location, ("site", "location"))
    installed = {item.name for item in entry_points(group=PACKS)}
    for index, pack in enumerate(report.document.site.use):
        if pack not in installed:
            report.add("unknown-pack", ("use", index), value=pack)


def check_lonlat(report: Report, value: tuple[float, float] | None, loc: Loc) -> None:
    """Report a position that is no longitude and latitude; local metres are free."""
    if value is None or report.document.site.site.crs == "local":
        return
    if not (-180 <= value[0] <= 180 and -90 <= value[1] <= 90):
        report.add("bad-location", loc, value=list(value))


def _check_ids(report: Report) -> None:
    site = report.document.site
    _unique(report, "connector", [item.id for item in site.connectors], ("connectors",))
    _unique(report, "position", [item.id for item in site.positions], ("positions",))
    _unique(report, "installation", [item.id for item in site.installations], ("installations",))
    _unique(report, "barrier", [item.id for item in site.barriers], ("barriers",))
    _unique(report, "channel", [item.id for item in site.warn.channels], ("warn", "channels"))
    _unique(report, "substance", [item.id for item in site.substances], ("substances",))
    _unique(report, "enterprise", [item.id for item in site.enterprises], ("enterprises",))
    for e, enterprise in enumerate(site.enterprises):
        _unique(report, "area", [item.id for item in enterprise.areas], ("enterprises", e, "areas"))
        for a, area in enumerate(enterprise.areas):
            _unique(report, "unit", [item.id for item in area.units], ("enterprises", e, "areas", a, "units"))
    for placed in report.document.units():
        _unique(report, "equipment", [item.id for item in placed.part.equipment], (*placed.loc, "equipment"))
        _unique(report, "point", [item.id for item in placed.part.points], (*placed.loc, "points"))


def _unique(report: Report, what: str, ids: Sequence[str], loc: Loc) -> None:
    if len(set(ids)) == len(ids):
        return
    first: dict[str, int] = {}
    for index, identity in enumerate(ids):
        if identity in first:
            where = report.line_of((*loc, first[identity], "id"))
            report.add("duplicate-id", (*loc, index, "id"), what=what, id=identity, first=where)
        else:
            first[identity] = index


def _check_point(report: Report, placed: PlacedPoint) -> None:
    part, loc = placed.part, placed.loc
    kind = kinds().get(part.kind)
    if kind is None:
        report.add("unknown-kind", (*loc, "kind"), value=part.kind, **guess(part.kind, kinds()))
    elif part.unit is not None and not kind.allows(part.unit):
        choices = ", ".join(unit or '""' for unit in kind.units)
        report.add("unit-not-allowed", (*loc, "unit"), kind=part.kind, unit=part.unit or '""', choices=choices)
    _check_range(report, part.range, (*loc, "range"))
    check_lonlat(report, part.position, (*loc, "position"))
    if part.calibration is not None:
        _check_calibration(report, placed)
    if part.safety and part.stale == 0:
        report.add("stale-off-safety", (*loc, "stale"))


def _check_range(report: Report, value: tuple[float, float] | None, loc: Loc) -> None:
    if value is not None and not value[0] < value[1]:
        report.add("range-order", loc, low=value[0], high=value[1])


def _check_calibration(report: Report, placed: PlacedPoint) -> None:
    calibration = placed.part.calibration
    assert calibration is not None
    loc = (*placed.loc, "calibration")
    _check_range(report, calibration.range, (*loc, "range"))
    if calibration.gain == 0:
        report.add("gain-zero", (*loc, "gain"))
    if calibration.expires is not None:
        try:
            expires = from_iso(calibration.expires, report.document.site.site.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return  # the time zone itself has a finding
        if expires <= report.now_us:
            report.add("calibration-expired", (*loc, "expires"), date=calibration.expires)


def _check_equipment(report: Report) -> None:
    paths: dict[str, tuple[Loc, EquipmentPart, str]] = {}
    for placed in report.document.units():
        for index, item in enumerate(placed.part.equipment):
            paths[f"{placed.path}/{item.id}"] = ((*placed.loc, "equipment", index), item, placed.path)
    parents: dict[str, str] = {}
    for path, (loc, item, unit_path) in paths.items():
        if not item.part_of:
            continue
        parent = item.part_of if "/" in item.part_of else f"{unit_path}/{item.part_of}"
        if parent in paths:
            parents[path] = parent
        else:
            report.add("unknown-equipment", (*loc, "part_of"), value=item.part_of, **guess(parent, paths))
    _check_cycles(report, parents, {path: loc for path, (loc, _, _) in paths.items()})
    for point in report.points.values():
        name = point.part.equipment
        if name and (name if "/" in name else f"{point.unit_path}/{name}") not in paths:
            known = [path.rpartition("/")[2] for path in paths if path.startswith(point.unit_path + "/")]
            report.add("unknown-equipment", (*point.loc, "equipment"), value=name, **guess(name, known))


def _check_cycles(report: Report, parents: dict[str, str], locs: dict[str, Loc]) -> None:
    done: set[str] = set()
    for start in parents:
        trail: list[str] = []
        node: str | None = start
        while node is not None and node not in done and node not in trail:
            trail.append(node)
            node = parents.get(node)
        if node is not None and node in trail:
            circle = [*trail[trail.index(node) :], node]
            cycle = " → ".join(path.rpartition("/")[2] for path in circle)
            report.add("part-of-cycle", (*locs[node], "part_of"), cycle=cycle)
        done.update(trail)


def _check_warn(report: Report) -> None:
    """Report installations, feature bindings and escalations that name what is not there."""
    site = report.document.site
    units = [unit.path for unit in report.document.units()]
    named: list[tuple[str, Loc, str, Sequence[str]]] = []
    for n, item in enumerate(site.installations):
        named.append((item.path, ("installations", n, "path"), "unknown-place", sorted(report.places)))
        named += [(u, ("installations", n, "units", i), "unknown-place", units) for i, u in enumerate(item.units)]
    for n, binding in enumerate(site.warn.features):
        loc: Loc = ("warn", "features", n)
        named.append((binding.unit, (*loc, "unit"), "unknown-place", units))
        named += [(p, (*loc, "inputs", k), "unknown-point", list(report.points)) for k, p in binding.inputs.items()]
    channels = [channel.id for channel in site.warn.channels]
    for n, chain in enumerate(site.warn.chains):
        if chain.scope:
            named.append((chain.scope, ("warn", "chains", n, "scope"), "unknown-place", sorted(report.places)))
        for s, step in enumerate(chain.steps):
            loc = ("warn", "chains", n, "steps", s, "channels")
            named += [(c, (*loc, i), "unknown-channel", channels) for i, c in enumerate(step.channels)]
    for value, where, code, known in named:
        if value not in known:
            report.add(code, where, value=value, **guess(value, known))


def _check_references(report: Report) -> None:
    site = report.document.site
    for index, position in enumerate(site.positions):
        for number, scope in enumerate(position.scope):
            if scope and scope not in report.places:
                report.add(
                    "unknown-place", ("positions", index, "scope", number), value=scope, **guess(scope, report.places)
                )
    zones = {zone.id for zone in site.zones if zone.id}
    substances = {item.id for item in site.substances}
    named = all(zone.id for zone in site.zones)
    for placed in report.document.units():
        unit = placed.part
        check_lonlat(report, unit.position, (*placed.loc, "position"))
        if unit.zone and named and unit.zone not in zones:
            report.add("unknown-zone", (*placed.loc, "zone"), value=unit.zone, **guess(unit.zone, sorted(zones)))
        if substances:
            used = [(unit.substance, (*placed.loc, "substance"))] if unit.substance else []
            used += [(item.substance, (*placed.loc, "stock", n, "substance")) for n, item in enumerate(unit.stock)]
            for substance, loc in used:
                if substance not in substances:
                    report.add("unknown-substance", loc, value=substance)

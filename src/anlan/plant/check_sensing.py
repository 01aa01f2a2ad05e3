"""What an industry pack says should be sensed but is not: one warning a unit, with the standard it comes from."""

from __future__ import annotations

import msgspec

from anlan.core.errors import AnlanError, InvalidInputError
from anlan.core.units import kinds
from anlan.plant.major_hazard import critical_of
from anlan.plant.packs import decode, installed, load_pack_file, where
from anlan.plant.report import Report
from anlan.plant.site_file import PlacedUnit
from anlan.plant.yaml_source import Mapping

FILE = "sensing.yaml"
WITHIN = ("unit", "area", "site")


class Sense(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One quantity that units of some kinds should have: a point of any of ``point_kinds``, ``within`` some place.

    ``hazardous`` limits it to units whose substance has a critical quantity in GB 18218, ``substances`` to CAS numbers.
    """

    id: str
    zh: str
    en: str
    units: tuple[str, ...]
    point_kinds: tuple[str, ...]
    source: str
    confidence: str
    clause: str = ""
    within: str = "unit"
    hazardous: bool = False
    substances: tuple[str, ...] = ()


class SensingFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pack's ``sensing.yaml``."""

    should_sense: tuple[Sense, ...]


def read_sensing(root: Mapping) -> tuple[Sense, ...]:
    """Return the rows of a located file.

    Raises:
        InvalidInputError: a row is wrong; file, line and field are named.
    """
    rows = decode(root, SensingFile).should_sense
    for n, row in enumerate(rows):
        place = ("should_sense", n)
        unknown = [kind for kind in row.point_kinds if kind not in kinds()]
        if unknown or not row.point_kinds:
            fix = f"one of {', '.join(kinds())}"
            raise InvalidInputError(f"no kind of point {', '.join(unknown)!r}", where=where(root, *place), fix=fix)
        if row.within not in WITHIN or not row.source or not row.units:
            fix = f"units, a source, and within one of {', '.join(WITHIN)}"
            raise InvalidInputError("a row is not complete", where=where(root, *place), fix=fix)
    return rows


def check_sensing(report: Report) -> None:
    """Add one warning for every unit that lacks what a pack in use says should be sensed."""
    present: dict[str, set[str]] = {}
    for point in report.points.values():
        for scope in ("", point.unit_path.rpartition("/")[0], point.unit_path):
            present.setdefault(scope, set()).add(point.part.kind)
    for index, pack in enumerate(report.document.site.use):
        if pack not in installed():
            continue
        try:
            root = load_pack_file(pack, FILE)
            rows = read_sensing(root) if root is not None else ()
        except AnlanError as error:
            report.add("pack-unusable", ("use", index), pack=pack, reason=str(error))
            continue
        for unit in report.document.units():
            _check_unit(report, pack, unit, rows, present)


def _check_unit(
    report: Report, pack: str, unit: PlacedUnit, rows: tuple[Sense, ...], present: dict[str, set[str]]
) -> None:
    scopes = {"unit": unit.path, "area": unit.path.rpartition("/")[0], "site": ""}
    missing = [
        row
        for row in rows
        if unit.part.kind in row.units
        and not present.get(scopes[row.within], set()) & set(row.point_kinds)
        and _concerns(report, unit, row)
    ]
    if missing:
        report.add(
            "should-sense",
            unit.loc,
            pack=pack,
            kind=unit.part.kind,
            missing_zh="、".join(row.zh for row in missing),
            missing=", ".join(row.en for row in missing),
            point_kinds=", ".join(dict.fromkeys(row.point_kinds[0] for row in missing)),
            source="; ".join(dict.fromkeys(f"{row.source} {row.clause}".strip() for row in missing)),
        )


def _concerns(report: Report, unit: PlacedUnit, row: Sense) -> bool:
    """Return whether a unit holds what a row is about."""
    if not row.hazardous and not row.substances:
        return True
    known = {item.id: item for item in report.document.site.substances}
    held = {unit.part.substance: "", **{item.substance: item.cas for item in unit.part.stock}}
    for name, cas in held.items():
        item = known.get(name)
        number = cas or (item.cas if item else "")
        if row.substances and number in row.substances:
            return True
        if row.hazardous and name:
            names = (item.name or item.id, item.name_en) if item else (name, "")
            if critical_of(names[0], number, tuple(item.categories) if item else (), names[1]) is not None:
                return True
    return False

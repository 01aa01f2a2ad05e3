"""Checks of barriers: kinds, the place and points they name, how many points are needed, conditions, test dates."""

from __future__ import annotations

from zoneinfo import ZoneInfoNotFoundError

from anlan.core.errors import InvalidInputError
from anlan.core.time import from_iso
from anlan.plant.definitions import resolve
from anlan.plant.expressions import point_names
from anlan.plant.findings import guess
from anlan.plant.registers.vocabulary import barrier_kinds
from anlan.plant.report import Report
from anlan.plant.schema import BarrierPart
from anlan.plant.site_file import Loc


def check_barriers(report: Report) -> None:
    """Report what is wrong with the site's barriers; repeated ids are reported elsewhere."""
    for index, part in enumerate(report.document.site.barriers):
        _check_barrier(report, part, ("barriers", index))


def _check_barrier(report: Report, part: BarrierPart, loc: Loc) -> None:
    if part.kind not in barrier_kinds():
        report.add("unknown-barrier-kind", (*loc, "kind"), value=part.kind, **guess(part.kind, barrier_kinds()))
    if part.path not in report.places:
        report.add("unknown-place", (*loc, "path"), value=part.path, **guess(part.path, sorted(report.places)))
    for number, name in enumerate(part.points):
        _known(report, name, part.path, (*loc, "points", number))
    if part.needed is not None and part.needed > len(part.points):
        if part.points:
            report.add("needed-too-many", (*loc, "needed"), needed=part.needed, count=len(part.points))
        else:
            report.add("needed-without-points", (*loc, "needed"))
    _check_condition(report, part, loc)
    _check_tested(report, part, loc)


def _known(report: Report, name: str, path: str, loc: Loc) -> None:
    if resolve(name, path, report.points) is None:
        report.add("unknown-point", loc, value=name, **guess(name, report.points))


def _check_condition(report: Report, part: BarrierPart, loc: Loc) -> None:
    try:
        names = point_names(part.condition)
    except InvalidInputError as error:
        reason = f"{error.where}: {error.message}" if error.where else error.message
        report.add("bad-expression", (*loc, "condition"), reason=reason, hint=error.fix, hint_zh=error.fix)
        return
    for name in names:
        _known(report, name, part.path, (*loc, "condition"))


def _check_tested(report: Report, part: BarrierPart, loc: Loc) -> None:
    if part.tested is None:
        return
    try:
        tested = from_iso(part.tested, report.document.site.site.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return  # the time zone itself has a finding
    if tested > report.now_us:
        report.add("tested-in-future", (*loc, "tested"), date=part.tested)

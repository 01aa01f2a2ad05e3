"""Which warning a finding belongs to: one cause rings once.

Findings of any model at the same path belong together; in the same unit those whose contributions overlap; in the same
area those that share points, as long as the horizon has not passed. A risk index rises because of what is told
already: it belongs to the warning of its unit or of the area it lies in, and to the same rise in the units around.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from anlan.core.events import WarningState
from anlan.warn.model import Contribution, Finding
from anlan.warn.warnings.record import Kept

OVERLAP = 0.15
"""Least common share of contributions for two findings of one unit to have one cause."""
ALIKE = 0.5
"""Least common share of the terms of two risk indices that rose for one reason."""
SHARED = 0.3
"""The same across units of one area, where a common utility touches many units a little."""

OPEN = (WarningState.RAISED, WarningState.CONFIRMED, WarningState.DISMISSED)


def unit_of(path: str) -> str:
    """Return the unit (``enterprise/area/unit``) a path lies in, or the path itself when it lies above."""
    return "/".join(path.split("/")[:3])


def area_of(path: str) -> str:
    """Return the area (``enterprise/area``) a path lies in, or the path itself when it lies above."""
    return "/".join(path.split("/")[:2])


def overlap(one: Sequence[Contribution], other: Sequence[Contribution]) -> float:
    """Return the share (0..1) that two explanations have in common, by points or by features, whichever is more.

    Shares of points (full paths) and of features (ids) each sum to 1 in a finding.
    """
    return max(
        _common((item for item in one if ("/" in item.name) is points), (x for x in other if ("/" in x.name) is points))
        for points in (True, False)
    )


def _common(one: Iterable[Contribution], other: Iterable[Contribution]) -> float:
    """Return the sum of the lesser share of each name."""
    shares = {item.name: max(item.share, 0.0) for item in one}
    return sum(min(shares[item.name], max(item.share, 0.0)) for item in other if item.name in shares)


def takes(kept: Kept) -> bool:
    """Return whether a warning still takes findings: open, or closed while its condition goes on."""
    return kept.row.state in OPEN or kept.row.active


def find(finding: Finding, shadow: bool, kept: Iterable[Kept], *, risk: bool = False) -> Kept | None:
    """Return the warning whose cause a finding shares, the nearest one; None when it is a cause of its own.

    Args:
        finding: what a model says.
        shadow: it comes from a shadow model: those are grouped only with their own model's.
        kept: warnings there are.
        risk: it says that a risk index has risen.
    """
    best: tuple[float, int, Kept] | None = None
    for item in kept:
        if item.row.shadow != shadow or (shadow and finding.model != item.row.model) or not takes(item):
            continue
        near = _nearness(finding, item) or (_risen(finding, item) if risk else 0.0)
        if near > 0 and (best is None or (near, item.row.raised) > best[:2]):
            best = (near, item.row.raised, item)
    return best[2] if best is not None else None


def _nearness(finding: Finding, kept: Kept) -> float:
    """Return 0 when there is no common cause; larger is nearer."""
    if any(member.path == finding.path for member in kept.members.values()):
        return 3.0
    if not _in_time(finding, kept):
        return 0.0
    common = max(
        (overlap(finding.contributions, member.finding.contributions) for member in kept.members.values()), default=0.0
    )
    if unit_of(finding.path) == unit_of(kept.row.path):
        return 1.0 + common if common >= OVERLAP else 0.0
    if area_of(finding.path) == area_of(kept.row.path) and _points_shared(finding, kept) >= SHARED:
        return _points_shared(finding, kept)
    return 0.0


def _risen(finding: Finding, kept: Kept) -> float:
    """Return the nearness of a risk index that rose to a warning that may be why, or that rose with it."""
    if not _in_time(finding, kept):
        return 0.0
    place = kept.row.path
    if unit_of(finding.path) == unit_of(place):
        return 0.9
    if "/" in place and finding.path.startswith(place + "/"):
        return 0.8
    rose = [member for member in kept.members.values() if member.model == finding.model]
    alike = max((overlap(finding.contributions, member.finding.contributions) for member in rose), default=0.0)
    return alike / 2 if area_of(finding.path) == area_of(place) and alike >= ALIKE else 0.0


def _in_time(finding: Finding, kept: Kept) -> bool:
    since = kept.over if not kept.row.active else kept.row.changed
    return finding.time - max(since, kept.row.raised) <= max(kept.row.horizon, 1)


def _points_shared(finding: Finding, kept: Kept) -> float:
    """Return the common share of contributions that are points (full paths), which features' ids are not."""
    points = [item for item in finding.contributions if "/" in item.name]
    return max((_common(points, member.finding.contributions) for member in kept.members.values()), default=0.0)

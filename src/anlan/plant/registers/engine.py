"""Pure rules of the registers: what is due, what has run out, what a request must contain."""

from __future__ import annotations

from collections.abc import Iterable

from anlan.core.errors import InvalidInputError
from anlan.core.time import DAY
from anlan.plant.model import Plant
from anlan.plant.registers.model import Calibration, RequestBypass

LONGEST_BYPASS = 30 * DAY


def check_bypass(request: RequestBypass, now_us: int) -> None:
    """Raise unless a bypass says why, and ends in the future but not too far.

    Raises:
        InvalidInputError: names the field.
    """
    if not request.reason.strip():
        raise InvalidInputError("a bypass needs a reason", where="reason", fix="say why it is needed")
    if request.expires <= now_us:
        raise InvalidInputError("a bypass must end in the future", where="expires", fix="a later time")
    if request.expires > now_us + LONGEST_BYPASS:
        raise InvalidInputError("a bypass lasts at most 30 days", where="expires", fix="ask again when it runs out")


def calibrations_due(plant: Plant, scope: str, days: float, now_us: int) -> tuple[Calibration, ...]:
    """Return the points whose calibration has expired or will within ``days``, soonest first."""
    found = []
    for point in plant.points:
        if point.calibration is None or not point.calibration.expires:
            continue
        if scope and point.path != scope and not point.path.startswith(scope + "/"):
            continue
        left = point.calibration.expires - now_us
        if left <= days * DAY:
            found.append(
                Calibration(
                    path=point.path,
                    number=point.number,
                    expires=point.calibration.expires,
                    state="expired" if left <= 0 else "due" if left <= 30 * DAY else "valid",
                    days_left=round(left / DAY, 2),
                    name=point.name,
                    name_en=point.name_en,
                    safety=point.safety,
                    certificate=point.calibration.certificate,
                )
            )
    return tuple(sorted(found, key=lambda item: (item.expires, item.path)))


def differences(before: Plant | None, after: Plant) -> dict[str, int]:
    """Return how many points, alarms and connectors were added, removed and changed between two revisions."""
    summary: dict[str, int] = {}
    for name in ("points", "alarms", "connectors"):
        old = {_key(item): item for item in getattr(before, name)} if before is not None else {}
        new = {_key(item): item for item in getattr(after, name)}
        counts = {
            "added": len(new.keys() - old.keys()),
            "removed": len(old.keys() - new.keys()),
            "changed": _count(old[key] != new[key] for key in old.keys() & new.keys()),
        }
        summary |= {f"{name}_{what}": count for what, count in counts.items() if count}
    return summary


def _key(item: object) -> str:
    return str(getattr(item, "path", None) or item.id)  # type: ignore[attr-defined]  # points have a path, others an id


def _count(flags: Iterable[bool]) -> int:
    return sum(1 for flag in flags if flag)

"""What a warning was worth, and what a model is worth: pure functions over what happened.

A model claims that its target comes within its horizon. HIT: it came, no sooner than the least lead time after the
claim. LATE: it came sooner, or stood already. FALSE: the horizon passed, counted from the claim, without it. AVERTED: a
person states that an inspection found what was foreseen. The first fitting event decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from anlan.core.events import WarningOutcome
from anlan.core.severity import WarningGrade
from anlan.core.time import DAY, HOUR, SECOND
from anlan.warn.model import Budget, Missed, ModelMode, ScoreSheet, Target
from anlan.warn.warnings.grouping import area_of, unit_of
from anlan.warn.warnings.record import Kept, Member, Running

GRACE = 10 * SECOND
"""How long after a horizon an alarm of that horizon may still be on its way here."""
MISS_AGAIN = HOUR
"""An alarm that comes and goes is one miss an hour, not one each time."""
WEEK = 7 * DAY


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An event a model may have foreseen: a rung alarm, or an incident (kind ``incident``, at a unit or point)."""

    event: str
    time: int
    path: str
    target: str
    kind: str
    priority: int
    point_kind: str = ""


class ClaimRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model's claim as it is scored: one member of one warning."""

    warning: str
    model: str
    version: int
    joined: int
    grade: WarningGrade = WarningGrade.BLUE
    outcome: WarningOutcome | None = None
    event: str = ""
    lead: int = 0


def fits(target: Target, occurrence: Occurrence, path: str, contributors: Iterable[str] = ()) -> bool:
    """Return whether an occurrence is the target of a model at ``path`` whose contributing points are given."""
    if occurrence.priority > target.priority:
        return False
    if target.kinds and occurrence.kind not in target.kinds:
        return False
    if target.point_kinds and occurrence.point_kind not in target.point_kinds:
        return False
    if target.contributors and occurrence.path not in contributors:
        return False
    place = area_of if target.scope == "area" else unit_of
    return place(occurrence.path) == place(path)


def foresaw(member: Member, target: Target, occurrence: Occurrence) -> bool:
    """Return whether an occurrence is what a member of a warning claims to foresee."""
    named = member.finding.target
    if named and ("/" in named):
        return occurrence.target == named or named.startswith(occurrence.path + ".")
    return fits(target, occurrence, member.path, {item.name for item in member.finding.contributions})


def judge(member: Member, occurrence: Occurrence) -> WarningOutcome | None:
    """Return what a claim is worth in the light of its target event; None when that came outside its horizon."""
    if occurrence.time > member.deadline:
        return None
    return WarningOutcome.HIT if occurrence.time - member.joined >= member.least_lead else WarningOutcome.LATE


def decide(kept: Kept, time: int) -> bool:
    """Give every member of a closed warning its worth, as far as it is known at ``time``; return whether all have."""
    for member in kept.members.values():
        if member.outcome is not None:
            continue
        if kept.averted:
            member.outcome, member.event = WarningOutcome.AVERTED, kept.row.id
        elif time > member.deadline + GRACE:
            member.outcome = WarningOutcome.FALSE
        else:
            return False
    return True


def worth(kept: Kept) -> Member:
    """Return the member whose worth is the warning's: the best of them, the leading model's first among equals."""
    order = (WarningOutcome.HIT, WarningOutcome.AVERTED, WarningOutcome.LATE, WarningOutcome.FALSE)
    decided = [member for member in kept.members.values() if member.outcome is not None]
    return min(decided, key=lambda m: (order.index(m.outcome or order[-1]), m.model != kept.row.model, m.joined))


def misses(
    occurrence: Occurrence, running: Iterable[Running], kept: Iterable[Kept], seen: dict[str, int]
) -> Missed | None:
    """Return the miss, when an event that should have been foreseen comes without a warning.

    Args:
        occurrence: a rung alarm or an incident.
        running: versions of models that run.
        kept: warnings there are.
        seen: by target, when it was last counted as a miss (µs UTC); updated.
    """
    blind = [
        item.model
        for item in running
        if item.mode is ModelMode.LIVE
        and any(fits(item.model.target, occurrence, path, item.inputs) for path in item.bound)
    ]
    if occurrence.priority > 1 and not blind:
        return None
    if any(_warned(item, occurrence) for item in kept):
        return None
    if occurrence.time - seen.get(occurrence.target, -WEEK) < MISS_AGAIN:
        return None
    seen[occurrence.target] = occurrence.time
    return Missed(
        event=occurrence.event,
        time=occurrence.time,
        path=occurrence.path,
        target=occurrence.target,
        priority=occurrence.priority,
        models=tuple(dict.fromkeys(model.id for model in blind)),
    )


def _warned(kept: Kept, occurrence: Occurrence) -> bool:
    """Return whether a warning that reached people came before, at this place, and still spoke."""
    row = kept.row
    if row.shadow or row.raised >= occurrence.time or unit_of(row.path) != unit_of(occurrence.path):
        return False
    return row.active or occurrence.time <= kept.deadline


def sheet(
    claims: Sequence[ClaimRow], missed: Sequence[Missed], start: int, end: int, budget: Budget | None = None
) -> ScoreSheet:
    """Return a model's score sheet from its claims in [start, end) (µs UTC) and the events it missed then.

    Precision is of all that are scored; recall is of the target events, of which each counts once.
    """
    counts = {outcome: sum(claim.outcome is outcome for claim in claims) for outcome in WarningOutcome}
    good = counts[WarningOutcome.HIT] + counts[WarningOutcome.AVERTED]
    scored = sum(counts.values())
    too_late = {claim.event for claim in claims if claim.outcome is WarningOutcome.LATE and claim.event}
    unseen = sum(item.event not in too_late for item in missed)
    events = good + counts[WarningOutcome.LATE] + unseen
    false_a_week = counts[WarningOutcome.FALSE] / max((end - start) / WEEK, 1 / 7) if scored else None
    precision = good / scored if scored else None
    within = None
    if budget is not None and scored >= budget.least and precision is not None and false_a_week is not None:
        within = precision >= budget.precision and false_a_week <= budget.false_a_week
    return ScoreSheet(
        start=start,
        end=end,
        raised=len(claims),
        hit=counts[WarningOutcome.HIT],
        averted=counts[WarningOutcome.AVERTED],
        late=counts[WarningOutcome.LATE],
        false=counts[WarningOutcome.FALSE],
        missed=unseen,
        open=len(claims) - scored,
        precision=precision,
        recall=good / events if events else None,
        false_a_week=false_a_week,
        leads=tuple(sorted(claim.lead for claim in claims if claim.outcome is WarningOutcome.HIT)),
        within_budget=within,
    )

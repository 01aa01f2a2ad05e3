"""Flags the live models that are worth less than their budget, once; and takes the flag back when they are not."""

from __future__ import annotations

from collections.abc import Iterable

from anlan.warn.ledger import Ledger
from anlan.warn.model import ModelMode
from anlan.warn.models.registry import Registry, Version
from anlan.warn.warnings.scoring import WEEK, sheet

PERIOD = 4 * WEEK


def judge(ledger: Ledger, registry: Registry, versions: Iterable[Version], now: int) -> bool:
    """Judge the claims of the last four weeks by the budgets; return whether anything was flagged or taken back.

    A model is judged over the time it has been there, not over weeks before.
    """
    start = now - PERIOD
    claims = ledger.claims(start, now)
    changed = False
    for version in versions:
        budget = version.model.budget
        own = [claim for claim in claims if (claim.model, claim.version) == version.key]
        found = sheet(own, (), min(max(start, version.created), now), now, budget)
        if version.mode is not ModelMode.LIVE or found.within_budget is None:
            continue
        reason = (
            f"准确率 precision {found.precision or 0:.2f} (指标 budget {budget.precision:g}), "
            f"每周误报 false a week {found.false_a_week or 0:.1f} (指标 budget {budget.false_a_week:g})"
        )
        changed |= registry.flag(version.key, 0 if found.within_budget else now, reason)
    return changed

"""Pages of the web floor itself: points, trends, registers, people, system health, one's own account."""

from __future__ import annotations

from collections.abc import Sequence

from anlan.web.registry import PageSpec


def own_pages() -> Sequence[PageSpec]:
    """Return the web floor's own pages."""
    from anlan.web.pages import account, health, people, plant, registers, shift, trends

    return (trends.PAGE, plant.PAGE, shift.PAGE, registers.PAGE, people.PAGE, health.PAGE, account.PAGE)

"""REST routes of the floors from web down; rooms above keep theirs in their own ``api.py``."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter


def routers() -> Sequence[APIRouter]:
    """Return the routers of this folder."""
    from anlan.web.api import history, plant, registers, session, streams, system, tokens, users, values

    return tuple(
        module.router for module in (system, session, tokens, users, plant, values, history, registers, streams)
    )

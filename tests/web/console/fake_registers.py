"""Registers for the console's tests."""

from __future__ import annotations

from anlan.store.fabric.client import Fabric


async def serve(fabric: Fabric) -> None:
    """Serve nothing yet."""

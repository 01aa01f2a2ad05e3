"""Console pages of early warning."""

from __future__ import annotations


def register() -> None:
    """Add the pages to the console."""

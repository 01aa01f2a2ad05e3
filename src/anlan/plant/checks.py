"""What one part of a site says about another: ids, limits, units, references, secrets, expiry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anlan.plant.findings import Finding
from anlan.plant.site_file import SiteDocument

Geometries = dict[int, list[tuple[dict[str, Any], dict[str, Any]]]]


def check_document(document: SiteDocument, now_us: int) -> tuple[Geometries, list[Path], list[Finding]]:
    """Return the zones' geometries, the files they came from, and all findings."""
    return {}, [], []

"""Where checks put their findings, and the indexes that several checks look things up in."""

from __future__ import annotations

from functools import cached_property

from anlan.plant.findings import Finding, finding
from anlan.plant.site_file import Loc, PlacedPoint, SiteDocument


class Report:
    """Findings about one document; ``now_us`` is the moment that expiry is judged at."""

    def __init__(self, document: SiteDocument, now_us: int) -> None:
        self.document = document
        self.now_us = now_us
        self.findings: list[Finding] = []

    def add(self, code: str, loc: Loc, **params: object) -> None:
        """Add the finding of a message code at a place in the document."""
        self.findings.append(finding(code, *self.document.where(loc), **params))

    def add_at(self, code: str, file: str, line: int, field: str, **params: object) -> None:
        """Add a finding at a line of a file that is not part of the document."""
        self.findings.append(finding(code, file, line, field, **params))

    def line_of(self, loc: Loc) -> str:
        """Return ``file:line`` of a place in the document."""
        file, line, _ = self.document.where(loc)
        return f"{file}:{line}"

    @cached_property
    def points(self) -> dict[str, PlacedPoint]:
        """All points by full path; of a repeated path the first."""
        found: dict[str, PlacedPoint] = {}
        for placed in self.document.points():
            found.setdefault(placed.path, placed)
        return found

    @cached_property
    def places(self) -> set[str]:
        """Paths of all enterprises, areas and units."""
        paths: set[str] = set()
        for enterprise in self.document.site.enterprises:
            paths.add(enterprise.id)
            for area in enterprise.areas:
                paths.add(f"{enterprise.id}/{area.id}")
                paths.update(f"{enterprise.id}/{area.id}/{unit.id}" for unit in area.units)
        return paths

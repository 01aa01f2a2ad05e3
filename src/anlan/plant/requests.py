"""What one may ask the plant's service on ``svc.plant.*``; times are µs UTC.

==================  =================  ==================
subject             request            answer
==================  =================  ==================
plant.status        PlantStatus        Status
plant.revisions     ListRevisions      tuple of Revision
plant.reload        Reload             Status
==================  =================  ==================
"""

from __future__ import annotations

from typing import Any

import msgspec

from anlan.plant.findings import Finding


class PlantStatus(msgspec.Struct, frozen=True):
    """Ask what is in force, and what is wrong with the files as they are."""


class Reload(msgspec.Struct, frozen=True):
    """Read the files again now instead of waiting for a change to be seen."""


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """The revision in force and the findings of the files; with errors among them an older revision stays in force.

    ``checked`` is when the files were read last.
    """

    revision: str
    since: int
    checked: int
    valid: bool
    site: str = ""
    points: int = 0
    alarms: int = 0
    connectors: int = 0
    findings: tuple[Finding, ...] = ()


class ListRevisions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Revisions put in force, newest first."""

    limit: int = 100


class Revision(msgspec.Struct, frozen=True, omit_defaults=True):
    """One revision put in force: by whom, by which proposed change, and how much it changed."""

    revision: str
    time: int
    who: str
    change_id: str = ""
    summary: dict[str, Any] = {}

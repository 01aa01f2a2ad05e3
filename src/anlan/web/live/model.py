"""What the live frame carries, and the little of the monitor's and the gateway's answers that it needs.

The web floor lies below those rooms, so it reads their answers by these narrower structs.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """One standing alarm as the pages hold it; the texts of its definition come with the plant."""

    alarm: str
    instance: str
    point: int
    path: str
    kind: str
    state: str
    priority: int
    active: bool
    acknowledged: bool
    shelved: bool = False
    suppressed: bool = False
    out_of_service: bool = False
    covered: bool = False
    latched: bool = False
    raised: int = 0
    changed: int = 0
    shelved_until: int = 0
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    name: str = ""
    name_en: str = ""
    group: str = ""
    who: str = ""
    comment: str = ""
    time_to_act: int = 0
    operator_position: str = ""
    safety: bool = False


class StandingList(msgspec.Struct, frozen=True):
    """Answer of ``svc.monitor.alarms``."""

    rows: tuple[Standing, ...]


class Source(msgspec.Struct, frozen=True):
    """One connector's state, of the answer of ``svc.perceive.connectors``."""

    id: str
    state: str = "starting"
    name: str = ""


class Counts(msgspec.Struct, frozen=True):
    """Counts of what one set of places sees; lists are by priority 1…4, ``oldest`` is µs UTC."""

    active: list[int]
    unack: list[int]
    unacknowledged: int
    standing: int
    shelved: int | None
    suppressed: int | None
    out_of_service: int | None
    oldest: int


class Trouble(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something wrong with Anlan itself: a text of the catalogue with its values, or a sentence a process told."""

    key: str
    args: dict[str, Any] = {}
    grave: bool = False

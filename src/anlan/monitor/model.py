"""What one may ask the monitor, and what it answers. Requests go to ``svc.monitor.*``.

=====================  =======================  ==============================
subject                request                  answer
=====================  =======================  ==============================
monitor.alarms         ListAlarms               AlarmList
monitor.act            Act                      ActResult
monitor.snapshot       Snapshot                 Arrow batch in pieces
monitor.performance    PerformanceQuery         Performance (as builtins)
monitor.try            TryDefinition            TryResult
monitor.status         Status                   MonitorStatus
=====================  =======================  ==============================

``live.values`` carries the last values that changed, once a second, as a sample batch; ``events.alarm.transition``
every transition.
"""

from __future__ import annotations

import msgspec

from anlan.core.events import AlarmState
from anlan.plant.model import AlarmDefinition


class AlarmRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One alarm as an operator sees it; times are µs UTC, 0 when there is none."""

    alarm: str
    instance: str
    point: int
    path: str
    kind: str
    state: AlarmState
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
    cause: str = ""
    consequence: str = ""
    action: str = ""
    time_to_act: int = 0
    operator_position: str = ""
    safety: bool = False


class ListAlarms(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which alarms: ``view`` is standing (not normal, not suppressed), shelved, suppressed, out-of-service or all."""

    view: str = "standing"
    scope: str = ""


class AlarmList(msgspec.Struct, frozen=True):
    """Alarms sorted active before cleared, then priority, then unacknowledged first, then newest; with counts."""

    rows: tuple[AlarmRow, ...]
    unacknowledged: int
    active_by_priority: tuple[int, int, int, int]
    sequence: int
    time: int


class Act(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person's act on alarms: ``verb`` as in ``core.log.Command``.

    ``instances`` line up with ``alarms`` for acknowledge; ``until`` is µs UTC, for shelve.
    """

    verb: str
    alarms: tuple[str, ...]
    instances: tuple[str, ...] = ()
    comment: str = ""
    until: int = 0


class ActResult(msgspec.Struct, frozen=True):
    """What became of each alarm of an ``Act``: done, or the reason why not."""

    done: tuple[str, ...]
    refused: dict[str, str]


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for the last values of all points."""

    scope: str = ""


class PerformanceQuery(msgspec.Struct, frozen=True, omit_defaults=True):
    """Alarm performance of a period (µs UTC) for one operator position, or all when empty."""

    start: int
    end: int
    operator_position: str = ""


class TryDefinition(msgspec.Struct, frozen=True):
    """Try definitions on history before they are enabled."""

    definitions: tuple[AlarmDefinition, ...]
    start: int
    end: int


class TryResult(msgspec.Struct, frozen=True):
    """What the tried definitions would have done: alarms raised each, their times (µs UTC), seconds in alarm.

    ``cleared`` lines up with ``times``; an alarm that still stands at the end has no entry there.
    """

    raised: dict[str, int]
    times: dict[str, tuple[int, ...]]
    in_alarm_s: dict[str, float]
    samples: int
    cleared: dict[str, tuple[int, ...]] = {}


class Status(msgspec.Struct, frozen=True):
    """Ask how far the monitor is."""


class MonitorStatus(msgspec.Struct, frozen=True):
    """Log sequence evaluated, how far behind the log's end, number of definitions, revision in force."""

    sequence: int
    behind: int
    definitions: int
    revision: str
    time: int

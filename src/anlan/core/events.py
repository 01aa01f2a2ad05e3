"""Events: CloudEvents 1.0 envelopes whose payload types all rooms share.

An event's ``causes`` are event ids or sample ranges ``samples:NODE/POINT/FROM..TO#FIRST-LAST`` (times in µs UTC,
sequence numbers of the log), at most 64; evaluation walks the graph back to raw samples.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from anlan.core.time import to_iso

MAX_CAUSES = 64


class EventType(StrEnum):
    """Types of events; also the last tokens of the subject ``events.<type>``."""

    ALARM = "alarm.transition"
    FLOOD = "alarm.flood"
    CONNECTOR = "connector.state"
    SYSTEM = "system.state"
    CONFIG = "config.revision"
    AUDIT = "audit.change"
    SHIFT = "shift.entry"
    BYPASS = "bypass.change"
    BARRIER = "barrier.change"
    WORK = "work.change"
    PRESENCE = "presence.change"
    DEVICE_TEXT = "device.text"
    DEVICE_ALARM = "device.alarm"
    WARNING = "warning.transition"
    WARNING_MISSED = "warning.missed"
    RISK = "risk.change"
    MODEL = "model.change"


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened.

    Attributes:
        id: ULID, the same when produced again after a crash.
        type: an ``EventType`` value.
        source: node that produced it.
        time: when it happened, µs UTC (event time, not the time of writing).
        subject: what it is about, such as an alarm id or a connector's path.
        causes: ids or sample ranges this follows from.
        data: the payload, one of the structs below as builtins.
    """

    id: str
    type: str
    source: str
    time: int
    subject: str
    causes: tuple[str, ...] = ()
    data: dict[str, Any] = {}

    def cloud_event(self) -> dict[str, Any]:
        """Return the CloudEvents 1.0 JSON form for the world outside."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "type": f"org.anlan.{self.type}",
            "source": f"/nodes/{self.source}",
            "time": to_iso(self.time),
            "subject": self.subject,
            "datacontenttype": "application/json",
            "causes": list(self.causes),
            "data": self.data,
        }


class AlarmState(StrEnum):
    """The state an operator sees for one alarm: condition × acknowledgement × latching."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned-unacknowledged"
    LATCHED_UNACKNOWLEDGED = "latched-unacknowledged"
    LATCHED_ACKNOWLEDGED = "latched-acknowledged"


class AlarmTransition(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of ``alarm.transition``.

    Attributes:
        alarm: alarm definition id, ``PATH.KIND``.
        instance: id of the event that raised this instance; acknowledgements name it.
        arrow: the arrow of the state machine that fired, such as ``raise``, ``clear``, ``acknowledge``, ``shelve``.
        state: state after the arrow.
        before: state before the arrow.
        shelved, suppressed, out_of_service: suppression after the arrow, orthogonal to the state.
        covered: a more urgent limit of the same point is active, so this one is not counted again.
        rung: False when journalled only (data too old, suppressed, shelved, covered).
        priority: 1 critical … 4 low.
        value, limit, quality: at the transition; value is null when there is none.
        who, comment: person and reason where a person did it.
        until: when a shelving ends, µs UTC.
        revision: configuration revision of the definition.
        sequence: log sequence that fired it.
    """

    alarm: str
    instance: str
    arrow: str
    state: AlarmState
    before: AlarmState
    point: int
    priority: int
    shelved: bool = False
    suppressed: bool = False
    out_of_service: bool = False
    covered: bool = False
    rung: bool = True
    value: float | None = None
    limit: float | None = None
    quality: int = 0
    who: str = ""
    comment: str = ""
    until: int = 0
    revision: str = ""
    sequence: int = 0


class AlarmFlood(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of ``alarm.flood``: more alarms than one operator position can answer (ISA-18.2).

    Attributes:
        position: operator position, empty for alarms that belong to none.
        state: ``begin`` or ``end``.
        began: when it began, µs UTC.
        alarms: alarms rung in the ten minutes before ``begin``, or during the whole flood at ``end``.
    """

    position: str
    state: str
    began: int
    alarms: int


class ConnectorState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of ``connector.state``: logged once when lost and once when back."""

    connector: str
    state: str
    reason: str = ""
    clock_offset_us: int = 0


class SystemState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of ``system.state``: a part of Anlan itself that is lost, back, full or restarted."""

    part: str
    state: str
    reason: str = ""


class AuditChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of ``audit.change``: who changed what, with the values before and after, from which network address."""

    who: str
    action: str
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    comment: str = ""
    address: str = ""


class WarningState(StrEnum):
    """Life of a warning; what it was worth (``WarningOutcome``) is known once it is scored."""

    RAISED = "raised"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    CLOSED = "closed"
    SCORED = "scored"


class WarningOutcome(StrEnum):
    """What a closed warning was worth.

    HIT: its target event came within the horizon, after at least the least lead time. AVERTED: an inspection confirms
    that it would have come. LATE: the target came, but sooner after the warning than the least lead time. FALSE:
    nothing came and nothing was found.
    """

    HIT = "hit"
    AVERTED = "averted"
    LATE = "late"
    FALSE = "false"


class WarningTransition(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of ``warning.transition``; its envelope's subject is the path, its causes the evidence.

    Attributes:
        warning: id of the warning, the same from raise to score.
        arrow: ``raise``, ``regrade``, ``confirm``, ``dismiss``, ``escalate``, ``answer``, ``end``, ``resume`` (the
            condition is back), ``close`` or ``score``.
        path: unit or point it is about.
        model, version: what raised it.
        score, p_value: at the transition; p_value is null where the model has none.
        horizon, lead: µs: how far ahead the model looks, and when it expects the target event.
        who, comment: person and reason where a person did it.
        step: number of the escalation step.
        exercise: part of a drill.
    """

    warning: str
    arrow: str
    state: WarningState
    before: WarningState
    grade: int
    path: str
    model: str
    version: int
    score: float | None = None
    p_value: float | None = None
    horizon: int = 0
    lead: int = 0
    outcome: WarningOutcome | None = None
    who: str = ""
    comment: str = ""
    step: int = 0
    exercise: bool = False


class WarningMissed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of ``warning.missed``: a target event that no warning of a live model came before."""

    path: str
    target: str
    priority: int
    models: tuple[str, ...] = ()


class RiskChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of ``risk.change``: the colour of a place changed; ``terms`` are those that made it, gravest first."""

    path: str
    colour: int
    before: int
    index: float
    inherent: float
    model: str = ""
    terms: tuple[str, ...] = ()


class ModelChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of ``model.change``: a model was added, set live, set to shadow, retired, rolled back or flagged."""

    model: str
    version: int
    change: str
    before: str = ""
    who: str = ""
    comment: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """Return the event as it travels on the fabric."""
    return _encoder.encode(event)


def decode_event(message: bytes | memoryview) -> Event:
    """Return the event of a fabric message; raises msgspec.MsgspecError on anything else."""
    return _decoder.decode(message)


def sample_range(node: str, point: int, start: int, end: int, first: int, last: int) -> str:
    """Return the cause naming samples of ``point`` from ``start`` to ``end`` (µs UTC), log ``first`` to ``last``."""
    return f"samples:{node}/{point}/{start}..{end}#{first}-{last}"

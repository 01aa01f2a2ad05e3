"""A server's own alarms (OPC 10000-9 Alarms and Conditions) as events: shown and kept, not rung a second time."""

from __future__ import annotations

from typing import Any

from asyncua import ua

from anlan.core.events import EventType
from anlan.perceive.connectors._opcua_values import time_of

# Type that defines the field, path of the field.
_FIELDS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (ua.ObjectIds.BaseEventType, ("EventId",)),
    (ua.ObjectIds.BaseEventType, ("EventType",)),
    (ua.ObjectIds.BaseEventType, ("SourceNode",)),
    (ua.ObjectIds.BaseEventType, ("SourceName",)),
    (ua.ObjectIds.BaseEventType, ("Time",)),
    (ua.ObjectIds.BaseEventType, ("Message",)),
    (ua.ObjectIds.BaseEventType, ("Severity",)),
    (ua.ObjectIds.ConditionType, ("ConditionName",)),
    (ua.ObjectIds.ConditionType, ("Retain",)),
    (ua.ObjectIds.ConditionType, ("Quality",)),
    (ua.ObjectIds.ConditionType, ("EnabledState", "Id")),
    (ua.ObjectIds.AcknowledgeableConditionType, ("AckedState", "Id")),
    (ua.ObjectIds.AcknowledgeableConditionType, ("ConfirmedState", "Id")),
    (ua.ObjectIds.AlarmConditionType, ("ActiveState", "Id")),
    (ua.ObjectIds.AlarmConditionType, ("SuppressedState", "Id")),
)
_NAMES = [
    "event_id", "event_type", "source_node", "source", "time", "message", "severity", "condition", "retain", "quality",
    "enabled", "acknowledged", "confirmed", "active", "suppressed", "condition_id",
]  # fmt: skip


def event_filter() -> Any:
    """Return the filter that selects what an alarm says of itself."""
    chosen = ua.EventFilter()
    for type_, path in _FIELDS:
        operand = ua.SimpleAttributeOperand()
        operand.TypeDefinitionId = ua.NodeId(type_)
        operand.BrowsePath = [ua.QualifiedName(name, 0) for name in path]
        operand.AttributeId = ua.AttributeIds.Value
        chosen.SelectClauses.append(operand)
    identity = ua.SimpleAttributeOperand()
    identity.TypeDefinitionId = ua.NodeId(ua.ObjectIds.ConditionType)
    identity.AttributeId = ua.AttributeIds.NodeId
    chosen.SelectClauses.append(identity)
    return chosen


def read_event(fields: list[Any], received: int) -> tuple[EventType, str, int, dict[str, Any], str]:
    """Return type, source, time (µs UTC), payload and key of an event's fields."""
    values = {name: _plain(field) for name, field in zip(_NAMES, fields, strict=False)}
    moment = ua.DataValue(SourceTimestamp=values.pop("time", None))
    time = time_of(moment, received)
    is_alarm = values.get("active") is not None or values.get("condition")
    data = {name: value for name, value in values.items() if value is not None}
    key = f"{data.get('condition_id') or data.get('source_node', '')}/{data.get('event_id', '')}/{time}"
    source = str(data.get("source") or data.get("source_node") or "server")
    return (EventType.DEVICE_ALARM if is_alarm else EventType.DEVICE_TEXT), source, time, data, key


def _plain(variant: Any) -> Any:
    value = getattr(variant, "Value", variant)
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if isinstance(value, ua.NodeId):
        return value.to_string()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, ua.StatusCode):
        return value.value
    return value

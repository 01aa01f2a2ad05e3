"""Records of the one log. A part that is a pure function of the log sees nothing but these, in order."""

from __future__ import annotations

from typing import Any

import msgspec

from anlan.core.actor import Actor

# Subjects of the stream LOG.
SAMPLES = "log.samples"
TICK = "log.tick"
COMMAND = "log.command"
CONFIG = "log.config"
CONNECTOR = "log.connector"

# Core subjects, not in any stream.
UNLOGGED = "unlogged.samples"
LIVE = "live.values"
LIVE_ALARM = "live.alarm"
HEALTH = "health"


class Tick(msgspec.Struct, frozen=True):
    """The node's clock, written every 100 ms: time enters the alarm engine only as these.

    ``passed`` is µs of a clock nobody sets since the writer's tick before, 0 for its first: by it the engine tells a
    clock that was set forward from a pause.
    """

    time: int
    passed: int = 0


class Command(msgspec.Struct, frozen=True):
    """What a person asked the alarm engine to do.

    ``verb`` is an arrow a person may fire (acknowledge, shelve, unshelve, suppress, unsuppress, remove-from-service,
    return-to-service, reset); ``instance`` names the alarm instance an acknowledgement is about.
    """

    id: str
    time: int
    verb: str
    alarm: str
    actor: Actor
    instance: str = ""
    comment: str = ""
    until: int = 0


class ConfigRecord(msgspec.Struct, frozen=True):
    """From here on the configuration ``revision`` of the stream CONFIG holds."""

    time: int
    revision: str


class ConnectorRecord(msgspec.Struct, frozen=True):
    """A connector was lost or is back; a pure reader of the log learns it here."""

    time: int
    connector: str
    up: bool
    reason: str = ""


encode = msgspec.json.Encoder().encode
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    TICK: msgspec.json.Decoder(Tick),
    COMMAND: msgspec.json.Decoder(Command),
    CONFIG: msgspec.json.Decoder(ConfigRecord),
    CONNECTOR: msgspec.json.Decoder(ConnectorRecord),
}


def decode(subject: str, message: bytes | memoryview) -> Tick | Command | ConfigRecord | ConnectorRecord:
    """Return the record of a log message that is not a sample batch (those are ``core.batch.decode``)."""
    record: Tick | Command | ConfigRecord | ConnectorRecord = _DECODERS[subject].decode(message)
    return record

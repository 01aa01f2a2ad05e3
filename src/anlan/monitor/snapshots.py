"""The alarm state at rest: one file with the state, the log position and the mark in the event log."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from anlan.monitor.engine import Snapshot

logger = logging.getLogger(__name__)

NAME = "state.msgpack"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def save(directory: Path, snapshot: Snapshot) -> None:
    """Write the snapshot so that after a crash either the old one or the new one is there, whole."""
    path = directory / NAME
    scratch = path.with_suffix(".new")
    with scratch.open("wb") as file:
        file.write(_encoder.encode(snapshot))
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(directory: Path) -> Snapshot | None:
    """Return the snapshot, or None when there is none that can be read (the log is then read from its start)."""
    path = directory / NAME
    try:
        return _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        logger.error("%s cannot be read (%s): the log is read from its start", path, error)
        return None

"""What the process remembers beside the ledger: the state of the stream and how far the log was read, in one file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from anlan.warn.model import Finding
from anlan.warn.warnings.scoring import Occurrence

logger = logging.getLogger(__name__)

NAME = "state.msgpack"


class State(msgspec.Struct, omit_defaults=True):
    """State of one moment.

    Attributes:
        node, revision: whose, and the plant it was made with.
        sequence: record of the log taken last; ``events`` the same of the event log.
        stream: ``WarnEngine.snapshot``.
        findings: what the models say at this moment, by claim.
        standing: target events that stand; ``missed`` when each was last counted as a miss.
    """

    node: str
    revision: str
    sequence: int
    events: int
    stream: bytes
    findings: dict[str, Finding] = {}
    standing: dict[str, Occurrence] = {}
    missed: dict[str, int] = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State)


def save(directory: Path, state: State) -> None:
    """Write the state so that after a crash either the old one or the new one is there, whole."""
    path = directory / NAME
    scratch = path.with_suffix(".new")
    with scratch.open("wb") as file:
        file.write(_encoder.encode(state))
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(directory: Path, node: str) -> State | None:
    """Return the state of this node, or None when there is none that can be read."""
    path = directory / NAME
    try:
        state = _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        logger.error("%s cannot be read (%s): the stream begins anew", path, error)
        return None
    return state if state.node == node else None

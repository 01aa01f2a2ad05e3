"""How far a reader came in a stream, kept in a file by write, fsync, rename: after a crash it reads on from there."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from anlan.core.errors import InvalidInputError

EPOCH_BITS = 40


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """A position in a stream.

    Attributes:
        sequence: everything up to here is stored.
        stream: when the stream was created; another value means that it was made anew and numbers from 1 again.
        epoch: how often that happened; the high bits of every version, so that a new stream's rows still win.
        dirty: start of hours (µs UTC) with rows that are not in the roll-ups yet.
    """

    sequence: int = 0
    stream: str = ""
    epoch: int = 0
    dirty: tuple[int, ...] = ()

    @property
    def version(self) -> int:
        """The version of rows that end at this position; grows with every append to the log."""
        return (self.epoch << EPOCH_BITS) | self.sequence

    def on(self, stream: str, last: int) -> Mark:
        """Return the mark to go on from in ``stream`` (its creation time) whose newest sequence is ``last``."""
        if self.stream in ("", stream) and self.sequence <= last:
            return msgspec.structs.replace(self, stream=stream)
        return Mark(sequence=0, stream=stream, epoch=self.epoch + 1, dirty=self.dirty)


def load(path: Path) -> Mark:
    """Return the mark of a file, the zero mark if there is none.

    Raises:
        InvalidInputError: the file holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mark)
    except FileNotFoundError:
        return Mark()
    except msgspec.MsgspecError as error:
        raise InvalidInputError(
            f"not a mark: {error}", where=str(path), fix="delete it: the log is then read again from its beginning"
        ) from error


def save(path: Path, mark: Mark) -> None:
    """Replace the file's content durably: either the old mark or the new one survives a crash."""
    temporary = path.with_suffix(".new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(handle, msgspec.json.encode(mark))
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""The gateway's own on-disk store-and-forward, used while the log is away.

Two lanes of segment files: ``priority`` holds batches of points that alarms read and is drained first. A record is
``magic, length, CRC-32, samples, id length`` then the message id and the message; every append ends with fsync. A torn
tail or a damaged record ends the reading of its segment and is counted. Beyond the bound the oldest segments go, of the
``normal`` lane first. All methods block: call them in a thread, one at a time.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedWriter
from pathlib import Path

logger = logging.getLogger(__name__)

_MAGIC = b"ANL1"
_HEAD = struct.Struct("<4sIIIH")
_LONGEST = 64 << 20


class Lane(StrEnum):
    """Lanes in the order they are drained."""

    PRIORITY = "priority"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Record:
    """One log message at rest: its message id, how many samples it holds, its bytes."""

    id: str
    samples: int
    message: bytes


def pack(record: Record) -> bytes:
    """Return a record as it stands on disk."""
    name = record.id.encode()
    crc = zlib.crc32(record.message, zlib.crc32(name))
    return _HEAD.pack(_MAGIC, len(record.message), crc, record.samples, len(name)) + name + record.message


def unpack(data: bytes) -> Iterator[Record | None]:
    """Yield the records of a segment; a last ``None`` says that the rest is torn or damaged."""
    position = 0
    while position < len(data):
        if len(data) - position < _HEAD.size:
            yield None
            return
        magic, length, crc, samples, name_length = _HEAD.unpack_from(data, position)
        start = position + _HEAD.size
        end = start + name_length + length
        if magic != _MAGIC or length > _LONGEST or end > len(data):
            yield None
            return
        name, message = data[start : start + name_length], data[start + name_length : end]
        if zlib.crc32(message, zlib.crc32(name)) != crc:
            yield None
            return
        yield Record(name.decode(), samples, message)
        position = end


class Buffer:
    """Segments under ``directory``.

    Args:
        limit: bytes it may hold.
        segment: bytes after which a new segment begins.

    Attributes:
        damaged: segments whose end could not be read.
        dropped: samples given up because the buffer was full.
    """

    def __init__(self, directory: Path, *, limit: int = 1 << 30, segment: int = 4 << 20) -> None:
        self._directory = directory
        self._limit = limit
        self._segment = segment
        self._open: dict[Lane, tuple[Path, BufferedWriter]] = {}
        self.damaged = 0
        self.dropped = 0
        for lane in Lane:
            (directory / lane).mkdir(parents=True, exist_ok=True)
        numbers = [int(path.stem) for lane in Lane for path in self._segments(lane)]
        self._next = max(numbers, default=0) + 1
        self.size = sum(path.stat().st_size for lane in Lane for path in self._segments(lane))

    def append(self, records: list[tuple[Lane, Record]]) -> list[Record]:
        """Write and fsync; return the records that had to be given up to stay inside the bound.

        Raises:
            OSError: the disk refuses; nothing of the call may be relied on.
        """
        given_up: list[Record] = []
        touched: set[Lane] = set()
        for lane, record in records:
            data = pack(record)
            while self.size + len(data) > self._limit and (victim := self._oldest()) is not None:
                given_up += self._give_up(victim)
            file = self._file(lane)
            file.write(data)
            self.size += len(data)
            touched.add(lane)
        for lane in touched:
            if lane in self._open:
                file = self._open[lane][1]
                file.flush()
                os.fsync(file.fileno())
        return given_up

    def oldest(self) -> Path | None:
        """Return the segment to drain next, closed for writing; ``None`` when the buffer is empty."""
        for lane in Lane:
            segments = self._segments(lane)
            if segments:
                self._seal(lane, segments[0])
                return segments[0]
        return None

    def read(self, path: Path) -> list[Record]:
        """Return the whole records of a segment."""
        records: list[Record] = []
        for record in unpack(path.read_bytes()):
            if record is None:
                self.damaged += 1
                logger.error("buffer segment %s is torn after %d records", path.name, len(records))
            else:
                records.append(record)
        return records

    def remove(self, path: Path) -> None:
        """Delete a drained segment."""
        self.size = max(0, self.size - path.stat().st_size)
        path.unlink()

    def close(self) -> None:
        """Close what is open; all of it is on disk already."""
        for _, file in self._open.values():
            file.close()
        self._open.clear()

    def _segments(self, lane: Lane) -> list[Path]:
        return sorted((self._directory / lane).glob("*.seg"))

    def _file(self, lane: Lane) -> BufferedWriter:
        current = self._open.get(lane)
        if current is not None and current[1].tell() < self._segment:
            return current[1]
        if current is not None:
            current[1].flush()
            os.fsync(current[1].fileno())
            current[1].close()
        path = self._directory / lane / f"{self._next:012d}.seg"
        self._next += 1
        file = path.open("xb")
        self._open[lane] = (path, file)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return file

    def _seal(self, lane: Lane, path: Path) -> None:
        current = self._open.get(lane)
        if current is not None and current[0] == path:
            current[1].close()
            del self._open[lane]

    def _oldest(self) -> tuple[Lane, Path] | None:
        for lane in reversed(Lane):
            segments = self._segments(lane)
            if segments:
                return lane, segments[0]
        return None

    def _give_up(self, victim: tuple[Lane, Path]) -> list[Record]:
        lane, path = victim
        self._seal(lane, path)
        records = self.read(path)
        self.remove(path)
        self.dropped += sum(record.samples for record in records)
        logger.error("the buffer is full: gave up %d samples of %s/%s", self.dropped, lane, path.name)
        return records

"""Environment stations: HJ 212-2017 over TCP, real-time data (2011) and minute data (2051), answered or sent again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import numpy as np

from anlan.sim import catalogue
from anlan.sim.journal import Journal
from anlan.sim.park import Park
from anlan.sim.schedule import Rows, Schedule
from anlan.sim.signals import PointSpec

logger = logging.getLogger(__name__)

ZONE = timezone(timedelta(hours=8))
ANSWER_TIMEOUT = 5.0
RESENDS = 3
BACKLOG = 20_000
SYSTEM = {"air": "22", "stack": "31", "outfall": "32"}


def crc212(segment: bytes) -> str:
    """Return the CRC of a data segment (HJ 212-2017 appendix A): 4 upper-case hex digits."""
    register = 0xFFFF
    for byte in segment:
        register = (register >> 8) ^ byte
        for _ in range(8):
            register = (register >> 1) ^ 0xA001 if register & 1 else register >> 1
    return f"{register:04X}"


def frame(segment: str) -> bytes:
    """Return a frame: ``##``, length in 4 digits, data segment, CRC, CR LF."""
    data = segment.encode("ascii")
    return b"##%04d%s%s\r\n" % (len(data), data, crc212(data).encode())


def header_of(line: bytes) -> dict[str, str]:
    """Return the header fields of a frame without its CR LF; empty if length or CRC are wrong."""
    if len(line) < 10 or not line.startswith(b"##") or not line[2:6].isdigit():
        return {}
    data, check = line[6:-4], line[-4:]
    if len(data) != int(line[2:6]) or check.decode("ascii", "replace").upper() != crc212(data):
        return {}
    text = data.decode("ascii", "replace").partition("CP=")[0]
    return dict(part.partition("=")[::2] for part in text.split(";") if "=" in part)


@dataclass(slots=True)
class _Report:
    segment: str
    qn: str
    points: list[int]
    time: int
    values: list[float]
    attempts: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class Hj212Feed:
    """One station.

    Args:
        station: its device number (MN). password: PW field.
    """

    def __init__(self, park: Park, station: str, port: int, password: str, journal: Journal, *, start: int = 0) -> None:
        self.park, self.station, self.port, self.password, self.journal = park, station, port, password, journal
        self.connector = catalogue.ENVIRONMENT
        points = [point for point in park.points if point.connector == self.connector and point.device == station]
        self.instant = [point for point in points if point.tag.endswith("-Rtd")]
        self.minute = {
            point.tag.rpartition("/")[2].removesuffix("-Avg"): point for point in points if point.tag.endswith("-Avg")
        }
        kind = self.instant[0].unit_path.rpartition("/")[2].partition("-")[0]
        self.system = SYSTEM[kind]
        self.schedule = Schedule(self.instant, start=start)
        self.connected = False
        self.resent = 0
        self.answered = 0
        self.overflow = 0
        self._queue: deque[_Report] = deque()
        self._news = asyncio.Event()
        self._current: _Report | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._minute = start // 60_000
        self._seen: list[np.typing.NDArray[np.float64]] = []

    @property
    def unacknowledged(self) -> int:
        """Reports not answered yet."""
        return len(self._queue)

    async def start(self) -> None:
        """Nothing to prepare: ``run`` connects by itself."""

    async def close(self) -> None:
        """Close the line."""
        self._lose()

    async def sample(self, now: int) -> None:
        """Queue what is due at ``now`` (ms UTC); a cut line is dropped."""
        if self.connector in self.park.cut:
            self._lose()
        if now // 60_000 > self._minute and self._seen:
            self._close_minute(now)
        self._minute = now // 60_000
        for rows in self.schedule.due(now):
            second = now // 1000
            values = self.park.values[rows]
            self._seen.append(values)
            self._enqueue(now, "2011", second, rows.tolist(), values.tolist(), self._instant_text(rows, values))

    def _instant_text(self, rows: Rows, values: np.typing.NDArray[np.float64]) -> str:
        return ";".join(
            f"{self.park.points[row].tag.rpartition('/')[2]}={value!r},{_factor(self.park.points[row])}-Flag=N"
            for row, value in zip(rows.tolist(), values.tolist(), strict=True)
        )

    def _close_minute(self, now: int) -> None:
        table = np.stack(self._seen)
        self._seen = []
        parts, points, means = [], [], []
        for column, point in enumerate(self.instant):
            factor, values = _factor(point), table[:, column]
            mean = round(float(values.mean()), 4)
            low, high = float(values.min()), float(values.max())
            text = f"{factor}-Avg={mean!r},{factor}-Min={low!r},{factor}-Max={high!r},{factor}-Flag=N"
            parts.append(text)
            if factor in self.minute:
                points.append(self.minute[factor].index)
                means.append(mean)
        self._enqueue(now, "2051", self._minute * 60, points, means, ";".join(parts))

    def _enqueue(self, now: int, command: str, second: int, points: list[int], values: list[float], body: str) -> None:
        qn = (
            datetime.fromtimestamp(now / 1000, ZONE).strftime("%Y%m%d%H%M%S")
            + f"{(now + (command == '2051')) % 1000:03d}"
        )
        stamp = datetime.fromtimestamp(second, ZONE).strftime("%Y%m%d%H%M%S")
        segment = (
            f"QN={qn};ST={self.system};CN={command};PW={self.password};MN={self.station};Flag=5;"
            f"CP=&&DataTime={stamp};{body}&&"
        )
        if len(self._queue) >= BACKLOG:
            self._queue.popleft()
            self.overflow += 1
        self._queue.append(_Report(segment, qn, points, second * 1_000_000, values))
        self._news.set()

    async def run(self) -> None:
        """Connect, send one report after the other, each until it is answered; reconnect when the line breaks."""
        delay = 0.2
        try:
            while True:
                if self.connector not in self.park.cut:
                    try:
                        await self._session()
                        delay = 0.2
                    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError) as error:
                        logger.debug("%s: %s", self.station, error)
                self._lose()
                delay = min(delay * 2, 5.0)
                await asyncio.sleep(delay * random.uniform(0.7, 1.3))
        finally:
            self._lose()

    def _lose(self) -> None:
        self.connected = False
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _session(self) -> None:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), 5)
        self._writer, self.connected = writer, True
        listening = asyncio.ensure_future(self._listen(reader))
        sending = asyncio.ensure_future(self._send_all(writer))
        try:
            done, _ = await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (listening, sending):
                task.cancel()
                with suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError, TimeoutError):
                    await task

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while True:
            line = await reader.readuntil(b"\r\n")
            header = header_of(line[:-2])
            current = self._current
            if header.get("CN") == "9014" and current is not None and header.get("QN") == current.qn:
                current.answered.set()

    async def _send_all(self, writer: asyncio.StreamWriter) -> None:
        while True:
            while not self._queue:
                self._news.clear()
                await self._news.wait()
            report = self._current = self._queue[0]
            for attempt in range(RESENDS + 1):
                self.resent += bool(report.attempts)
                report.attempts += 1
                writer.write(frame(report.segment))
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(report.answered.wait(), ANSWER_TIMEOUT)
                    break
                if attempt == RESENDS:
                    raise TimeoutError(f"no answer to {report.qn}")
            self.answered += 1
            if self._queue and self._queue[0] is report:
                self._queue.popleft()
            quality = np.zeros(len(report.points), dtype=np.uint8)
            self.journal.record(self.connector, "acked", report.points, report.time, np.array(report.values), quality)


def _factor(point: PointSpec) -> str:
    return point.tag.rpartition("/")[2].rpartition("-")[0]


def utc_of(stamp: str) -> datetime:
    """Return the UTC time of a DataTime field."""
    return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=ZONE).astimezone(UTC)

"""HJ 212 frames, messages and samples (污染物在线监控(监测)系统数据传输标准), edition 2017, tolerant of 2005 and 2025.

A frame is ``##``, four digits of length, the data segment, four hex digits of CRC and ``CR LF``. The CRC is the
standard's own (appendix A): the register is shifted right before the byte is mixed in.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

from anlan.core.errors import DecodeError
from anlan.core.quality import Quality
from anlan.core.time import from_iso

HEAD = b"##"
MAX_LENGTH = 9999  # four digits; the standard's own limit of 1 024 is broken in the field
_OVERHEAD = 10  # ##, length, CRC
_NOT_VALUES = frozenset({"Flag", "EFlag", "SampleTime", "Info", "SN"})
_PASSWORD = re.compile(rb"PW=[^;]*;")
_TIMES = frozenset({"DataTime", "BeginTime", "EndTime", "PolId", "RestartTime", "SystemTime", "QN"})


@lru_cache(maxsize=1)
def codes() -> dict[str, Any]:
    """Return the standard's codes as the data file ``hj212_codes.yaml`` holds them."""
    text = resources.files("anlan.perceive").joinpath("hj212_codes.yaml").read_text("utf-8")
    loaded: dict[str, Any] = YAML(typ="safe").load(text)
    return loaded


@lru_cache(maxsize=1)
def _flag_qualities() -> dict[str, int]:
    flags = codes()["data_flags"]["values"]
    return {flag: int(Quality[entry["quality"]]) for flag, entry in flags.items()}


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = (register >> 1) ^ 0xA001 if register & 1 else register >> 1
        table.append(register)
    return tuple(table)


_CRC = _table()


def crc16(segment: bytes | memoryview) -> int:
    """Return the CRC of a data segment (HJ 212-2017 appendix A)."""
    register = 0xFFFF
    for byte in segment:
        register = _CRC[(register >> 8) ^ byte]  # the low byte is lost: unlike Modbus, it shifts before it mixes
    return register


def encode_frame(segment: str) -> bytes:
    """Return the frame of a data segment."""
    raw = segment.encode("gb18030")
    return b"##%04d%s%04X\r\n" % (len(raw), raw, crc16(raw))


@dataclass(frozen=True, slots=True)
class Bad:
    """Bytes that are no frame, with the reason."""

    raw: bytes
    reason: DecodeError


class FrameReader:
    """Cuts a byte stream into data segments; after a broken frame it finds the next good one again.

    Nothing is held longer than one frame of the greatest length.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes | Bad]:
        """Take what came and return the data segments that are complete, and what is broken, in order."""
        self._buffer += data
        found: list[bytes | Bad] = []
        while True:
            step = self._next()
            if step is None:
                return found
            used, result = step
            del self._buffer[:used]
            if result is not None:
                found.append(result)

    def _next(self) -> tuple[int, bytes | Bad | None] | None:
        buffer = self._buffer
        start = buffer.find(HEAD)
        if start != 0:
            return self._skip(start)
        if len(buffer) < 6:
            return None
        digits = bytes(buffer[2:6])
        if not digits.isdigit():
            return self._broken(2, f"length {digits!r} is no number", "four decimal digits after ##")
        end = _OVERHEAD + int(digits)
        if len(buffer) < end:
            # A line end followed by a new head cannot be inside a data segment: the length was wrong.
            restart = buffer.find(b"\r\n##", 6)
            if restart < 0:
                return None
            actual = restart - _OVERHEAD
            return restart + 2, self._bad(
                restart, f"length {digits.decode()} is wrong, the frame has {actual}", "the data segment's length"
            )
        segment = bytes(buffer[6 : end - 4])
        given = bytes(buffer[end - 4 : end])
        computed = b"%04X" % crc16(segment)
        if given.upper() == computed:
            return end, segment
        return self._broken(
            end, f"CRC {given.decode('latin-1')!r} is wrong", f"CRC {computed.decode()} over {len(segment)} bytes"
        )

    def _skip(self, start: int) -> tuple[int, Bad | None] | None:
        """Drop what stands before the next head; the line end of the frame before is no error."""
        buffer = self._buffer
        upto = start if start > 0 else len(buffer) - (1 if buffer.endswith(b"#") else 0)
        if upto <= 0:
            return None
        if not bytes(buffer[:upto]).strip(b"\r\n \0"):
            return upto, None
        if start < 0 and upto < 64 and not buffer.endswith(b"\n"):
            return None
        return upto, self._bad(upto, "bytes that begin no frame", "frames that begin with ##")

    def _broken(self, end: int, message: str, fix: str) -> tuple[int, Bad]:
        """Drop a broken frame up to the next head inside it, so that a good frame it swallowed is found."""
        again = self._buffer.find(HEAD, 2, end + 1)
        upto = again if again > 0 else end
        return upto, self._bad(upto, message, fix)

    def _bad(self, upto: int, message: str, fix: str) -> Bad:
        return Bad(bytes(self._buffer[:upto]), DecodeError(message, where="HJ 212 frame", fix=fix))


@dataclass(frozen=True, slots=True)
class Message:
    """One data segment: its header and the groups of its CP (items of one factor belong to one group)."""

    qn: str
    st: str
    cn: str
    pw: str
    mn: str
    flag: int
    packets: int
    packet: int
    groups: tuple[dict[str, str], ...]

    @property
    def wants_answer(self) -> bool:
        """Bit 0 of Flag."""
        return bool(self.flag & 1)

    @property
    def edition(self) -> str:
        """Edition of the standard by the version bits of Flag; ``unknown`` for others."""
        return str(codes()["editions"]["values"].get(self.flag >> 2, "unknown"))

    @property
    def data_time(self) -> str:
        """The CP's DataTime, empty when it has none."""
        return next((group["DataTime"] for group in self.groups if "DataTime" in group), "")


def parse(segment: bytes) -> Message:
    """Return the message of a data segment.

    Raises:
        DecodeError: the segment lacks CN or MN, or a number in its header is none.
    """
    text = segment.decode("gb18030", "replace")
    head, _, tail = text.partition("CP=")
    body = tail.strip().removeprefix("&&")
    body = body[: body.rindex("&&")] if "&&" in body else body
    fields = dict(item.split("=", 1) for item in head.split(";") if "=" in item)
    for name in ("CN", "MN"):
        if not fields.get(name):
            raise DecodeError(f"{name} is missing", where="HJ 212 header", fix=f"{name}=…; before CP")
    groups = []
    for part in body.split(";"):
        items = dict(item.split("=", 1) for item in part.split(",") if "=" in item)
        if items:
            groups.append({key.strip(): value.strip() for key, value in items.items()})
    return Message(
        qn=fields.get("QN", ""),
        st=fields.get("ST", ""),
        cn=fields["CN"],
        pw=fields.get("PW", ""),
        mn=fields["MN"],
        flag=_number(fields, "Flag", 0, 255),
        packets=_number(fields, "PNUM", 0, 999_999_999),
        packet=_number(fields, "PNO", 0, 999_999_999),
        groups=tuple(groups),
    )


def _number(fields: dict[str, str], name: str, low: int, high: int) -> int:
    text = fields.get(name, "0").strip()
    if not text.isascii() or not text.isdigit() or not low <= int(text[:10]) <= high:
        raise DecodeError(f"{name} {text!r} is no number", where=f"HJ 212 header, {name}", fix=f"{low} to {high}")
    return int(text)


def time_of(text: str, zone: ZoneInfo, where: str) -> int:
    """Return the µs UTC of ``YYYYMMDDhhmmss`` with or without milliseconds, in the device's ``zone``.

    Raises:
        DecodeError: it is no such time.
    """
    if len(text) not in (14, 17) or not text.isdigit() or not text.isascii():
        raise DecodeError(f"{text!r} is no time", where=where, fix="YYYYMMDDhhmmss or with milliseconds")
    iso = f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:12]}:{text[12:14]}.{text[14:] or '000'}"
    try:
        return from_iso(iso, zone.key)
    except Exception as error:
        raise DecodeError(f"{text!r} is no time", where=where, fix="a date and time that exist") from error


@dataclass(slots=True)
class Samples:
    """What a message says: names ``FACTOR-Rtd``, times (µs UTC), values, qualities, texts, and items left out.

    ``left_out`` holds, for each error, the group the item stood in.
    """

    names: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    qualities: list[int] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    errors: list[DecodeError] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)


def samples_of(message: Message, zone: ZoneInfo, *, data_time: str = "") -> Samples:
    """Return the samples of a data message; an item that cannot be read is an error of its own.

    Args:
        message: the parsed segment.
        zone: zone of the device's clock.
        data_time: DataTime of an earlier packet, for packets that have none; else QN's time is taken.

    Raises:
        DecodeError: no usable time.
    """
    text = message.data_time or data_time or message.qn
    if not text:
        raise DecodeError("DataTime is missing", where=f"HJ 212 {message.cn} of {message.mn}", fix="DataTime=… in CP")
    common = time_of(text, zone, f"HJ 212 {message.cn} of {message.mn}, DataTime")
    samples = Samples()
    for group in message.groups:
        for key, value in group.items():
            if key not in _TIMES:
                _read_item(samples, group, key, value, common, zone)
    return samples


def _read_item(samples: Samples, group: dict[str, str], key: str, value: str, common: int, zone: ZoneInfo) -> None:
    factor, dash, suffix = key.partition("-")
    if suffix in _NOT_VALUES:
        return
    if not dash:
        samples.texts[key] = value
        return
    flag = group.get(f"{factor}-Flag", "N")
    quality = _flag_qualities().get(flag, int(Quality.UNCERTAIN))
    try:
        number = float(value)
        sampled = group.get(f"{factor}-SampleTime")
        time = time_of(sampled, zone, f"{factor}-SampleTime") if sampled else common
    except ValueError:
        if quality < 0x80:
            samples.errors.append(DecodeError(f"{value!r} is no number", where=key, fix="a decimal number"))
            samples.left_out.append(group)
            return
        number, time = math.nan, common
    except DecodeError as error:
        samples.errors.append(error)
        samples.left_out.append(group)
        return
    if quality < 0x80 and not math.isfinite(number):
        quality = int(Quality.BAD_NOT_A_NUMBER)
    samples.names.append(key)
    samples.times.append(time)
    samples.values.append(number)
    samples.qualities.append(quality)


def unframed(raw: bytes) -> bytes:
    """Return the data segment of a frame whatever its length and CRC say, or ``raw`` when it is no frame."""
    stripped = raw.strip()
    return stripped[6:-4] if stripped.startswith(HEAD) else stripped


def without_password(raw: bytes) -> bytes:
    """Return a frame or segment with its password hidden, for people to look at."""
    return _PASSWORD.sub(b"PW=***;", raw)


def segment_of(message: Message, group: dict[str, str], data_time: str) -> bytes:
    """Return a data segment with one group of a message, so that it can be mended and sent again."""
    items = ",".join(f"{key}={value}" for key, value in group.items())
    time = f"DataTime={data_time};" if data_time and "DataTime" not in group else ""
    return f"QN={message.qn};ST={message.st};CN={message.cn};MN={message.mn};CP=&&{time}{items}&&".encode("gb18030")


def answer(message: Message, cn: str, content: str = "") -> bytes:
    """Return the frame that answers ``message``: 9014 or 9013, or 9011 with ``QnRtn=…`` as ``content``.

    The version bits of Flag are the message's own, so that each edition is answered in its own terms.
    """
    flag = message.flag & 0xFC
    return encode_frame(f"QN={message.qn};ST=91;CN={cn};PW={message.pw};MN={message.mn};Flag={flag};CP=&&{content}&&")

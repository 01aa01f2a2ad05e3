"""InfluxDB line protocol: ``measurement,tag=v field=1.5,other=2i 1672531200000000000`` (docs.influxdata.com, v2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from anlan.core.errors import DecodeError
from anlan.perceive.decoders.rows import PRECISIONS, Rows, time_us

_ESCAPED = re.compile(r"\\([,= \\\"])")
_TRUE = frozenset({"t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"f", "F", "false", "False", "FALSE"})
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Series:
    """Name of one quantity: measurement, tags and field; its text form sorts the tags."""

    measurement: str
    tags: frozenset[tuple[str, str]]
    field: str

    def __str__(self) -> str:
        tags = "".join(f",{key}={value}" for key, value in sorted(self.tags))
        return f"{self.measurement}{tags}.{self.field}"


def parse_name(text: str) -> Series:
    """Return the series of a tag text such as ``tank,site=a.level``; the field follows the last dot.

    Raises:
        DecodeError: there is no field.
    """
    head, dot, field = text.rpartition(".")
    parts = head.split(",")
    if not dot or not parts[0] or not field or any("=" not in part for part in parts[1:]):
        raise DecodeError(f"{text!r} names no series", fix="measurement.field or measurement,tag=value.field")
    pairs = (part.split("=", 1) for part in parts[1:])
    return Series(parts[0], frozenset((key, value) for key, value in pairs), field)


class Names:
    """Finds the name under which a series is mapped: the mapped name with the most tags that the line has too."""

    def __init__(self, mapped: list[str]) -> None:
        self._by_field: dict[tuple[str, str], list[tuple[frozenset[tuple[str, str]], str]]] = {}
        for text in mapped:
            try:
                series = parse_name(text)
            except DecodeError:
                continue  # a name of another format of the same connector
            self._by_field.setdefault((series.measurement, series.field), []).append((series.tags, text))
        for options in self._by_field.values():
            options.sort(key=lambda option: -len(option[0]))

    def find(self, series: Series) -> str:
        """Return the mapped name, or the series' own text when none fits."""
        options = self._by_field.get((series.measurement, series.field), ())
        return next((text for tags, text in options if tags <= series.tags), str(series))


def decode(text: str, names: Names, received: int, *, precision: str = "ns") -> Rows:
    """Return the samples of a body; a line or field that cannot be used is an error of its own.

    Args:
        text: lines.
        names: how series are mapped.
        received: µs UTC for lines without a time.
        precision: unit of the times: ns, us, ms or s.
    """
    rows = Rows()
    scale = PRECISIONS[precision]
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            _decode_line(rows, number, stripped, names, received, scale)
        except DecodeError as error:
            rows.reject(number, error.where or "line", error.message, error.fix, stripped.encode())
    return rows


def _decode_line(rows: Rows, number: int, line: str, names: Names, received: int, scale: float) -> None:
    parts = _split(line, " ")
    parts = [part for part in parts if part]
    if not 2 <= len(parts) <= 3:
        raise DecodeError(f"{line[:80]!r} is no line", fix="measurement,tag=v field=1 time")
    head = _split(parts[0], ",")
    measurement = _plain(head[0])
    tags = frozenset(_pair(part, "tag") for part in head[1:])
    if not measurement:
        raise DecodeError("the measurement is empty", where="measurement", fix="measurement field=1")
    time = time_us(parts[2], _UTC, scale=scale) if len(parts) == 3 else received
    for item in _split(parts[1], ","):
        key, raw = _pair(item, "field", unescape=False)
        series = Series(measurement, tags, _plain(key))
        try:
            _decode_field(rows, names.find(series), _plain(key), raw, time)
        except DecodeError as error:
            alone = f"{parts[0]} {item} {' '.join(parts[2:])}".strip()
            rows.reject(number, error.where, error.message, error.fix, alone.encode())


def _decode_field(rows: Rows, name: str, key: str, raw: str, time: int) -> None:
    if len(raw) >= 2 and raw[0] == raw[-1] == '"':
        rows.texts.append((name, time, _plain(raw[1:-1])))
        return
    if raw in _TRUE or raw in _FALSE:
        rows.add(name, time, float(raw in _TRUE))
        return
    digits = raw[:-1] if raw[-1:] in ("i", "u") else raw
    try:
        rows.add(name, time, float(digits))
    except (ValueError, OverflowError) as error:
        fix = 'a number like 1.5 or 2i, true, or "a text"'
        raise DecodeError(f"{raw!r} is no number", where=key, fix=fix) from error


def _split(text: str, separator: str) -> list[str]:
    """Split at separators that are neither escaped nor inside quotes."""
    parts: list[str] = []
    start = at = 0
    quoted = False
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    if quoted:
        raise DecodeError("a quote is not closed", fix='"a text"')
    parts.append(text[start:])
    return parts


def _pair(text: str, what: str, *, unescape: bool = True) -> tuple[str, str]:
    pieces = _split(text, "=")
    if len(pieces) != 2 or not pieces[0] or not pieces[1]:
        raise DecodeError(f"{text[:80]!r} is no {what}", where=what, fix="name=value")
    return (_plain(pieces[0]), _plain(pieces[1])) if unescape else (pieces[0], pieces[1])


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text

r"""JSON documents of any shape on MQTT topics: the map names the fields.

Tags are ``json:TOPIC#FIELD.PATH`` (list elements by index, ``values.0.pv``; a field name with a dot in it as ``a\.b``),
or a mapping ``{topic, field}``. A topic may carry one document or a list of them. Time and quality fields are options
of the payload; without a time field ``time``, ``timestamp``, ``ts`` and ``t`` are tried, then the receipt counts.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.quality import Quality
from anlan.perceive.decoders.columns import Decoded, Pack, Text, batch_of
from anlan.perceive.decoders.rows import PRECISIONS, quality_of, time_us

_TIME_FIELDS = ("time", "timestamp", "ts", "t")
_NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_decoder = msgspec.json.Decoder()
_UTC = ZoneInfo("UTC")


class Field(NamedTuple):
    """A mapped field: its path and the point number."""

    path: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True)
class JsonOptions:
    """How the documents of some topics tell time and quality.

    Attributes:
        time: path of the time field; empty tries the usual names.
        precision: s, ms, us or ns of a number; empty tells it by its size.
        quality: path of a quality field (a name such as ``good``, or a code); empty is none.
        zone: zone of times without offset.
    """

    time: tuple[str, ...] = ()
    precision: str = ""
    quality: tuple[str, ...] = ()
    zone: ZoneInfo = _UTC


class Route(NamedTuple):
    """A topic, its mapped fields and how it tells time."""

    topic: str
    fields: tuple[Field, ...]
    options: JsonOptions


def split_path(text: str) -> tuple[str, ...]:
    r"""Return the parts of a dotted path; ``\.`` is a dot inside a name."""
    return tuple(part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", text) if part)


def split_tag(tag: Any) -> tuple[str, tuple[str, ...]]:
    """Return (topic, path) of a mapped tag.

    Raises:
        InvalidInputError: the tag does not have that form.
    """
    if isinstance(tag, dict):
        topic, field = str(tag.get("topic", "")), str(tag.get("field", ""))
    else:
        topic, _, field = str(tag).removeprefix("json:").partition("#")
    if not topic or "+" in topic:
        raise InvalidInputError(f"{tag!r} is no JSON tag", where="map", fix="json:TOPIC#FIELD.PATH")
    return topic, split_path(field)


def options_of(values: dict[str, Any], zone: ZoneInfo) -> JsonOptions:
    """Return the options of one entry of ``payloads``.

    Raises:
        InvalidInputError: a precision that is not known.
    """
    precision = str(values.get("precision", ""))
    if precision and precision not in PRECISIONS:
        raise InvalidInputError(f"{precision!r} is no precision", where="payloads", fix=", ".join(PRECISIONS))
    return JsonOptions(
        split_path(str(values.get("time", ""))), precision, split_path(str(values.get("quality", ""))), zone
    )


class JsonDecoder:
    """Decodes JSON documents of one connector.

    Args:
        fields: mapped fields by topic.
    """

    def __init__(self, fields: dict[str, list[Field]]) -> None:
        self._fields = {topic: tuple(entries) for topic, entries in fields.items()}

    def route(self, topic: str, options: JsonOptions | None = None) -> Route | None:
        """Return the route of a topic; None when nothing of it is mapped."""
        fields = self._fields.get(topic)
        return None if fields is None else Route(topic, fields, options or JsonOptions())

    def decode(self, packs: list[Pack]) -> Decoded:
        """Return the columns of all packs; one bad field refuses its document, not the others."""
        decoded = Decoded()
        columns: tuple[list[int], list[int], list[float], list[int]] = ([], [], [], [])
        for index, pack in enumerate(packs):
            mark = len(columns[0])
            try:
                document = _decoder.decode(pack.payload)
                documents = document if isinstance(document, list) and _are_documents(document) else [document]
                for entry in documents:
                    _take(entry, pack, columns, decoded)
            except _NOT_JSON as error:
                decoded.problems.append((index, DecodeError(f"no JSON: {error}", where=pack.route.topic)))
            except DecodeError as error:
                points, times, values, qualities = columns
                del points[mark:], times[mark:], values[mark:], qualities[mark:]
                where = f"{pack.route.topic}#{error.where}"
                decoded.problems.append((index, DecodeError(error.message, where=where, fix=error.fix)))
        decoded.batch = batch_of(*columns)
        return decoded


def _are_documents(entries: list[Any]) -> bool:
    return bool(entries) and all(isinstance(entry, dict) for entry in entries)


def _take(
    document: Any, pack: Pack, columns: tuple[list[int], list[int], list[float], list[int]], decoded: Decoded
) -> None:
    route: Route = pack.route
    time = _time(document, route.options, pack.received)
    quality = _quality(document, route.options)
    points, times, values, qualities = columns
    for path, number in route.fields:
        present, value = _look_up(document, path)
        if not present:
            continue
        if isinstance(value, str) and not _is_numeric(value):
            decoded.texts.append(Text(number, time, value))
            continue
        points.append(number)
        times.append(time)
        values.append(_number(value, path))
        qualities.append(int(Quality.BAD) if value is None else quality)


def _look_up(document: Any, path: tuple[str, ...]) -> tuple[bool, Any]:
    value = document
    for part in path:
        if isinstance(value, dict):
            if part not in value:
                return False, None
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return False, None
    return True, value


def _time(document: Any, options: JsonOptions, received: int) -> int:
    scale = PRECISIONS.get(options.precision)
    if options.time:
        present, value = _look_up(document, options.time)
        if not present or value is None:
            raise DecodeError(
                "the time field is missing", where=".".join(options.time), fix="send it, or change 'time'"
            )
        return _at(value, options, scale, ".".join(options.time))
    if isinstance(document, dict):
        for name in _TIME_FIELDS:
            if document.get(name) is not None:
                return _at(document[name], options, scale, name)
    return received


def _at(value: Any, options: JsonOptions, scale: float | None, where: str) -> int:
    try:
        return time_us(value, options.zone, scale=scale)
    except DecodeError as error:
        raise DecodeError(error.message, where=where, fix=error.fix) from error


def _quality(document: Any, options: JsonOptions) -> int:
    if not options.quality:
        return 0
    present, value = _look_up(document, options.quality)
    if not present:
        return 0
    try:
        return quality_of(value)
    except DecodeError as error:
        raise DecodeError(error.message, where=".".join(options.quality), fix=error.fix) from error


def _is_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(value: Any, path: tuple[str, ...]) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool | int | float | str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    name = ".".join(path)
    raise DecodeError(f"{str(value)[:100]!r} is no number", where=name, fix="a number, true, false or null")


def warm_up() -> None:
    """Run it once."""
    decoder = JsonDecoder({"t": [Field(("a",), 1)]})
    decoder.decode([Pack(decoder.route("t"), b'{"a":1,"ts":1767225600}', 1)])

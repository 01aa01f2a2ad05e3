"""OPC UA values as samples: tags, status codes, times, numbers (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from typing import Any

from asyncua import ua
from ruamel.yaml import YAML

from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.quality import Quality

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime(1980, 1, 1, tzinfo=UTC)  # servers write 1601 or 1970 where they know no time
_CLASSES = (int(Quality.GOOD), int(Quality.UNCERTAIN), int(Quality.BAD), int(Quality.BAD))


@dataclass(frozen=True, slots=True)
class Target:
    """One mapped node; ``index`` picks an element of an array."""

    number: int
    node: Any
    text: str
    index: int | None = None


def parse_tag(tag: Any, number: int, where: str) -> Target:
    """Return the target of a tag: a node id such as ``ns=2;s=PT401``, or ``{node: …, index: n}``.

    Raises:
        InvalidInputError: it is no node id.
    """
    fields = dict(tag) if isinstance(tag, Mapping) else {"node": tag}
    unknown = set(fields) - {"node", "index"}
    if unknown:
        raise InvalidInputError(f"unknown key {sorted(unknown)[0]!r}", where=where, fix="node and index")
    index = fields.get("index")
    if index is not None and (isinstance(index, bool) or not isinstance(index, int) or index < 0):
        raise InvalidInputError(f"index {index!r} does not fit", where=where, fix="a whole number from 0")
    text = str(fields.get("node", ""))
    try:
        if "=" not in text:
            raise ValueError("no identifier")
        node = ua.NodeId.from_string(text)
    except (ua.UaError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInputError(f"{text!r} is no node id", where=where, fix="write it like ns=2;s=PT401") from error
    return Target(number, node, text, index)


@lru_cache(maxsize=1)
def _qualities() -> dict[int, int]:
    text = resources.files("anlan.perceive").joinpath("opcua_status.yaml").read_text("utf-8")
    names = YAML(typ="safe").load(text)["values"]
    return {int(getattr(ua.StatusCodes, name)) >> 16: int(Quality[quality]) for name, quality in names.items()}


def quality_of(status: int) -> int:
    """Return the quality of a status code; its info bits do not matter."""
    return _qualities().get((status & 0xFFFFFFFF) >> 16, _CLASSES[(status >> 30) & 3])


def time_of(value: Any, received: int) -> int:
    """Return the µs UTC of a data value: its source time, else the server's, else ``received``."""
    for moment in (value.SourceTimestamp, value.ServerTimestamp):
        if isinstance(moment, datetime):
            exact = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
            if exact > _NEVER:
                delta = exact - _EPOCH
                return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    return received


def number_of(value: Any, target: Target) -> float | None:
    """Return the number of a data value, None when it holds none.

    Raises:
        DecodeError: it is a text, a structure or an array of another size; ``message`` of a text is the text itself.
    """
    variant = value.Value
    raw = variant.Value if variant is not None else None
    if target.index is not None and isinstance(raw, list | tuple):
        if target.index >= len(raw):
            raise DecodeError(f"{len(raw)} elements", where=target.text, fix=f"index below {len(raw)}")
        raw = raw[target.index]
    if raw is None:
        return None
    if isinstance(raw, bool | int | float):
        return float(raw)
    raise DecodeError(f"a {type(raw).__name__} is no number", where=target.text, fix="a numeric or boolean node")

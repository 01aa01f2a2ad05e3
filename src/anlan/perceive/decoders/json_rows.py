"""JSON pushed over HTTP: one sample, a list of them, or columns.

``{"name": "a", "time": "2026-11-24T08:00:00+08:00", "value": 1.5, "quality": "good"}``, a list of such,
``{"time": …, "values": {"a": 1.5, "b": 2}}``, ``{"name": […], "time": […], "value": […]}``, or
``{"time": […], "values": {"a": […], "b": […]}}``.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from anlan.core.errors import DecodeError
from anlan.perceive.decoders.rows import Rows, number_of, quality_of, time_us

_KEYS = ("name", "time", "value", "quality")
_SHAPES = 'an object {"name": …, "time": …, "value": …}, a list of such, or columns'


def decode(body: bytes, zone: ZoneInfo, received: int) -> Rows:
    """Return the samples of a JSON body; a row that cannot be used is an error of its own.

    Args:
        body: UTF-8 JSON.
        zone: zone of times without offset.
        received: µs UTC for rows without a time.

    Raises:
        DecodeError: it is no JSON, or none of the shapes.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"no JSON: {error}", where="body", fix=_SHAPES) from error
    rows = Rows()
    for number, row in enumerate(_rows_of(document), start=1):
        try:
            _read(rows, number, row, zone, received)
        except DecodeError as error:
            rows.reject(number, error.where or "row", error.message, error.fix, msgspec.json.encode(row))
    return rows


def _rows_of(document: Any) -> list[Any]:
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        raise DecodeError(f"{type(document).__name__} is no samples", where="body", fix=_SHAPES)
    columns = {key: value for key, value in document.items() if isinstance(value, list)}
    values = document.get("values")
    if isinstance(values, dict) and any(isinstance(value, list) for value in values.values()):
        columns |= {f"values.{key}": value for key, value in values.items()}
        return _transpose(document, columns, list(values))
    return _transpose(document, columns, []) if columns else [document]


def _transpose(document: dict[str, Any], columns: dict[str, Any], names: list[str]) -> list[Any]:
    lengths = {key: len(value) if isinstance(value, list) else -1 for key, value in columns.items()}
    if len(set(lengths.values())) != 1:
        raise DecodeError(f"columns of different length: {lengths}", where="body", fix="columns of one length")
    count = next(iter(lengths.values()))
    keys: list[str] = [key for key in _KEYS if key in document]
    rows = []
    for index in range(count):
        row = {key: document[key][index] if isinstance(document[key], list) else document[key] for key in keys}
        if names:
            row["values"] = {name: columns[f"values.{name}"][index] for name in names}
        rows.append(row)
    return rows


def _read(rows: Rows, number: int, row: Any, zone: ZoneInfo, received: int) -> None:
    if not isinstance(row, dict):
        raise DecodeError(f"{row!r} is no sample", fix=_SHAPES)
    field = "time"
    try:
        time = received if row.get("time") is None else time_us(row["time"], zone)
        field = "quality"
        quality = quality_of(row.get("quality"))
    except DecodeError as error:
        raise DecodeError(error.message, where=field, fix=error.fix) from error
    values = row.get("values")
    if values is None:
        if not isinstance(row.get("name"), str) or "value" not in row:
            raise DecodeError("name or value is missing", where="name", fix=_SHAPES)
        values = {row["name"]: row["value"]}
    if not isinstance(values, dict):
        raise DecodeError(f"{values!r} is no mapping of names to values", where="values", fix=_SHAPES)
    for name, value in values.items():
        try:
            if isinstance(value, str):
                raise DecodeError(f"{value!r} is a text", fix="a number, true, false or null")
            rows.add(str(name), time, number_of(value), quality)
        except DecodeError as error:
            alone = {key: value for key, value in row.items() if key in _KEYS} | {"name": name, "value": value}
            rows.reject(number, str(name), error.message, error.fix, msgspec.json.encode(alone))

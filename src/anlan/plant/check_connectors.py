"""Checks of connectors against what their kinds declare: options, tags, mapped points, secrets.

Connectors live on a higher floor, so this reads only the ``MANIFEST`` that the entry points' classes carry. A kind that
cannot be loaded here (a package it needs is missing) leaves its options unchecked instead of failing the site.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from anlan.core.errors import InvalidInputError
from anlan.core.time import duration_us
from anlan.plant.findings import guess
from anlan.plant.report import Report
from anlan.plant.schema import ConnectorPart
from anlan.plant.site_file import EXPECTED, Loc, shown

CONNECTORS = "anlan.connectors"

logger = logging.getLogger(__name__)


class Option(Protocol):
    """What is read of a connector's declared option."""

    name: str
    type: str
    description: str
    required: bool
    choices: tuple[str, ...]
    secret: bool


class Manifest(Protocol):
    """What is read of a connector's manifest."""

    kind: str
    options: tuple[Option, ...]
    tag: tuple[Option, ...]


@cache
def manifests() -> tuple[dict[str, Manifest], dict[str, str]]:
    """Return the manifests of the installed connectors by kind, and why others could not be loaded."""
    loaded: dict[str, Manifest] = {}
    failed: dict[str, str] = {}
    for entry in entry_points(group=CONNECTORS):
        try:
            loaded[entry.name] = _manifest(entry)
        except Exception as error:  # a third party's import may raise anything; the site is still checked
            logger.debug("connector %s cannot be loaded", entry.name, exc_info=True)
            failed[entry.name] = f"{type(error).__name__}: {error}"
    return loaded, failed


def _manifest(entry: EntryPoint) -> Manifest:
    manifest: Manifest = entry.load().MANIFEST
    return manifest


_JSON_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": ["string", "number"]},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "duration": {"type": ["string", "number"]},
    "mapping": {"type": "object"},
    "list": {"type": ["array", "string"]},
}


def json_schemas() -> list[dict[str, Any]]:
    """Return, for the JSON Schema of site files, what the options of each loadable kind look like."""
    loaded, _ = manifests()
    return [
        {
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {
                "properties": {option.name: _json_schema(option) for option in manifest.options},
                "required": [option.name for option in manifest.options if option.required],
            },
        }
        for kind, manifest in sorted(loaded.items())
    ]


def _json_schema(option: Option) -> dict[str, Any]:
    schema = {**_JSON_TYPES.get(option.type, {}), "description": option.description}
    if option.choices and option.type != "list":
        schema["enum"] = list(option.choices)
    if option.secret:
        schema["description"] += " (names a secret)"
    return schema


def check_connectors(report: Report) -> None:
    """Check all connectors of the site."""
    feeds: dict[str, str] = {}
    for index, part in enumerate(report.document.site.connectors):
        loc: Loc = ("connectors", index)
        manifest = _kind(report, part, loc)
        options = part.options()
        if manifest is not None:
            _check_options(report, manifest.options, options, loc, f"connector {part.kind}")
        secrets = {option.name for option in manifest.options if option.secret} if manifest is not None else set()
        _check_secrets(report, options, loc, secrets)
        _check_map(report, part, loc, manifest, feeds)


def _kind(report: Report, part: ConnectorPart, loc: Loc) -> Manifest | None:
    loaded, failed = manifests()
    if part.kind in loaded:
        return loaded[part.kind]
    if part.kind in failed:
        report.add("connector-unavailable", (*loc, "kind"), value=part.kind, reason=failed[part.kind])
    elif not loaded and not failed:
        report.add("connector-unavailable", (*loc, "kind"), value=part.kind, reason="no connectors are installed")
    else:
        report.add("unknown-connector", (*loc, "kind"), value=part.kind, **guess(part.kind, sorted({*loaded, *failed})))
    return None


def _check_options(report: Report, declared: tuple[Option, ...], given: Mapping[str, Any], loc: Loc, what: str) -> None:
    known = {option.name: option for option in declared}
    for key, value in given.items():
        if key not in known:
            hints = guess(key, known)
            report.add("unknown-key", (*loc, key), key=key, **hints)
        else:
            _check_value(report, known[key], value, (*loc, key))
    for option in declared:
        if option.required and option.name not in given:
            report.add("missing-option", loc, what=what, key=option.name, description=option.description)


_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "text": ((str, int, float), "string_type"),
    "number": ((int, float), "float_type"),
    "integer": ((int,), "int_type"),
    "boolean": ((bool,), "bool_type"),
    "mapping": ((dict,), "dict_type"),
    "list": ((list, str), "list_type"),
}


def _check_value(report: Report, option: Option, value: Any, loc: Loc) -> None:
    if option.type == "duration":
        _check_duration(report, value, loc)
        return
    if option.type not in _TYPES:
        return
    types, kind = _TYPES[option.type]
    if not isinstance(value, types) or (isinstance(value, bool) and option.type != "boolean"):
        expected, expected_zh = EXPECTED[kind]
        report.add("wrong-type", loc, value=shown(value), expected=expected, expected_zh=expected_zh)
    elif isinstance(value, float) and not math.isfinite(value):
        report.add("not-finite", loc)
    elif option.choices:
        for item in value if isinstance(value, list) else [value]:
            if str(item) not in option.choices:
                report.add("bad-choice", loc, value=shown(item), choices=", ".join(option.choices))


def _check_duration(report: Report, value: Any, loc: Loc) -> None:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidInputError("not a duration")
        duration_us(value)
    except (InvalidInputError, OverflowError):
        report.add("duration", loc, value=shown(value))


def _check_map(report: Report, part: ConnectorPart, loc: Loc, manifest: Manifest | None, feeds: dict[str, str]) -> None:
    for path, tag in part.map.items():
        here = (*loc, "map", path)
        if path not in report.points:
            report.add("unknown-point", here, value=path, **guess(path, report.points))
        elif path in feeds:
            report.add("mapped-twice", here, value=path, first=feeds[path])
        feeds.setdefault(path, part.id)
        if isinstance(tag, dict):
            if manifest is not None and manifest.tag:
                _check_options(report, manifest.tag, tag, here, f"tag of {part.kind}")
        elif not isinstance(tag, str | int | float) or isinstance(tag, bool):
            report.add("tag-shape", here)


# --- secrets --------------------------------------------------------------------------------------------------------

_SECRET_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
# Keys whose value must be a name whatever the connector declares; file paths and user names are not secret.
_SECRET_KEY = re.compile(r"(^|_|-)(password|passwd|passphrase|secret|token|api_?key|psk)$", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@", re.IGNORECASE)
_SAID_SECRETS = ("-----BEGIN",)


def _check_secrets(report: Report, options: Mapping[str, Any], loc: Loc, declared: set[str]) -> None:
    """Report values that are secrets themselves where only the name of one may stand."""
    for path, key, value in _leaves(options):
        text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
        inside = any(mark in text for mark in _SAID_SECRETS) or _URL_PASSWORD.search(text) is not None
        secret_key = path[0] in declared or _SECRET_KEY.search(key) is not None
        if inside or (secret_key and text and _SECRET_NAME.match(text) is None):
            _inline(report, (*loc, *path), key)


def _inline(report: Report, loc: Loc, key: str) -> None:
    report.add("inline-secret", loc, key=key, env=re.sub(r"\W", "_", key).upper())


def _leaves(value: Any, path: Loc = (), key: str = "") -> list[tuple[Loc, str, Any]]:
    """Return every scalar with its place and the nearest key; depth is bounded by the reader of the file."""
    if isinstance(value, dict):
        return [leaf for name, item in value.items() for leaf in _leaves(item, (*path, name), str(name))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in _leaves(item, (*path, index), key)]
    return [(path, key, value)]

"""Typed bodies and answers: msgspec structs, the same that travel on the fabric, read, written and documented.

A route reads its body with ``Annotated[Act, body(Act)]``, answers with ``reply(value)`` and documents both with
``**documented(Act, ActResult)``; their schemas are put into the OpenAPI document by ``fill_schemas``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from fastapi import Depends, Request
from starlette.responses import Response

from anlan.core.errors import InvalidInputError
from anlan.web.errors import PROBLEM, ChangedMeanwhileError, MediaTypeError, PreconditionRequiredError

T = TypeVar("T")
K = TypeVar("K")

_TYPE_KEY = "x-anlan-type"
_types: list[Any] = []
_LONG_NUMBER = re.compile(rb"\d{19}")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


class Problem(msgspec.Struct, frozen=True):
    """An error (RFC 9457): what is wrong, where, and what would be right."""

    type: str
    title: str
    status: int
    detail: str = ""
    where: str = ""
    fix: str = ""


def body(kind: type[T]) -> Any:
    """Return the dependency that reads the request's JSON body as ``kind``."""
    decoder: msgspec.json.Decoder[T] = _decoders.setdefault(kind, msgspec.json.Decoder(kind))

    async def read(request: Request) -> T:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":
            raise MediaTypeError(f"a body of type {media or 'none'} is not understood", fix="application/json")
        return _decode(decoder, await request.body())

    return Depends(read)


def _decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    try:
        value = decoder.decode(raw)
        if _LONG_NUMBER.search(raw):
            _require_64_bits(msgspec.json.decode(raw), "")
        return value
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$")
        raise InvalidInputError(text, where=where.strip("`.") or "body", fix="see /api/openapi.json") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"the body is not JSON: {error}", where="body", fix="a JSON object") from error


def _require_64_bits(node: Any, where: str) -> None:
    """Raise where an integer does not fit 64 bits: nothing behind the API keeps one."""
    if isinstance(node, int) and not -(1 << 63) <= node < 1 << 63:
        raise InvalidInputError("the number does not fit 64 bits", where=where or "body", fix="a smaller number")
    if isinstance(node, dict):
        for key, item in node.items():
            _require_64_bits(item, f"{where}.{key}".lstrip("."))
    elif isinstance(node, list):
        for place, item in enumerate(node):
            _require_64_bits(item, f"{where}[{place}]")


def reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``value`` as a JSON response; NaN becomes null."""
    return Response(msgspec.json.encode(value), status, dict(headers or {}), media_type="application/json")


def schema(kind: Any) -> dict[str, Any]:
    """Return a placeholder for the schema of ``kind`` that ``fill_schemas`` resolves."""
    if kind not in _types:
        _types.append(kind)
    return {_TYPE_KEY: _types.index(kind)}


def documented(
    request: Any = None,
    answer: Any = None,
    *,
    status: int = 200,
    media: Iterable[str] = (),
    etag: bool = False,
    public: bool = False,
) -> dict[str, Any]:
    """Return the keywords that document a route.

    Args:
        request: type of its JSON body, None for none.
        answer: type of its JSON answer, None for none.
        status: status of success.
        media: further media types of the answer (Arrow, CSV, event stream), as binary.
        etag: whether the answer carries an ETag.
        public: whether it is answered without sign-in.
    """
    content: dict[str, Any] = {name: {"schema": {"type": "string"}} for name in media}
    if answer is not None:
        content["application/json"] = {"schema": schema(answer)}
    success: dict[str, Any] = {"description": "Done"}
    if content:
        success["content"] = content
    if etag:
        success["headers"] = {"ETag": {"schema": {"type": "string"}}}
    problem = {"description": "Problem", "content": {PROBLEM: {"schema": schema(Problem)}}}
    keywords: dict[str, Any] = {
        "response_model": None,
        "status_code": status,
        "responses": {status: success, "4XX": problem, "5XX": problem},
    }
    extra: dict[str, Any] = {"security": []} if public else {}
    if request is not None:
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema(request)}}}
    if extra:
        keywords["openapi_extra"] = extra
    return keywords


def fill_schemas(document: dict[str, Any]) -> dict[str, Any]:
    """Put the schemas of all documented types into an OpenAPI document and return it."""
    schemas, components = msgspec.json.schema_components(
        _types, schema_hook=_any, ref_template="#/components/schemas/{name}"
    )
    bounded = {name: _bound_integers(item) for name, item in components.items()}
    filled: dict[str, Any] = _resolve(document, [_bound_integers(item) for item in schemas])
    own = filled.setdefault("components", {}).setdefault("schemas", {})
    own.update(bounded)
    return filled


def _any(kind: type) -> dict[str, Any]:
    if kind is object:
        return {"description": "any JSON value"}
    raise NotImplementedError


def _resolve(node: Any, schemas: list[dict[str, Any]]) -> Any:
    if isinstance(node, dict):
        if _TYPE_KEY in node:
            return schemas[node[_TYPE_KEY]]
        return {key: _resolve(value, schemas) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolve(value, schemas) for value in node]
    return node


def _bound_integers(node: Any) -> Any:
    if isinstance(node, list):
        return [_bound_integers(value) for value in node]
    if not isinstance(node, dict):
        return node
    filled = {key: _bound_integers(value) for key, value in node.items()}
    if filled.get("type") == "integer":
        filled.setdefault("format", "int64")
        filled.setdefault("minimum", -(1 << 63))
        filled.setdefault("maximum", (1 << 63) - 1)
    return filled


# --- paging and versions ----------------------------------------------------------------------------------------------


def encode_cursor(key: object) -> str:
    """Return the opaque cursor that goes on after ``key``."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode_cursor(cursor: str, kind: type[T]) -> T:
    """Return the key a cursor holds.

    Raises:
        InvalidInputError: it is not one of ours.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidInputError(
            "the cursor is not one of ours", where="cursor", fix="take 'next' of the page before, or leave it out"
        ) from error


def page_of(items: Iterable[T], key: Callable[[T], K], kind: Any, cursor: str, limit: int) -> tuple[tuple[T, ...], str]:
    """Return the page of ``items`` (sorted by ``key``) after ``cursor``, and the next cursor, empty at the end."""
    rest = list(items)
    if cursor:
        after: Any = decode_cursor(cursor, kind)
        rest = [item for item in rest if key(item) > after]
    page = tuple(rest[:limit])
    return page, encode_cursor(key(page[-1])) if len(rest) > limit else ""


def etag(version: object) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def wanted_version(request: Request) -> int:
    """Return the version that ``If-Match`` names; ``*`` is -1.

    Raises:
        PreconditionRequiredError: there is no ``If-Match``.
        ChangedMeanwhileError: it names none of our versions.
    """
    text = request.headers.get("if-match")
    if text is None:
        raise PreconditionRequiredError(
            "this may be edited by several people at once", where="If-Match", fix="send the ETag you read"
        )
    text = text.strip()
    if text == "*":
        return -1
    number = text.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 18):
        raise ChangedMeanwhileError("that version never was", where="If-Match", fix="send the ETag you read")
    return int(number)

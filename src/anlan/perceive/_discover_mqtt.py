"""What is published on an MQTT broker: Sparkplug B, SenML and JSON payloads heard within some seconds."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

from anlan.core.errors import AnlanError, DecodeError, InvalidInputError, UnavailableError
from anlan.perceive.connector import DiscoveredTag
from anlan.perceive.decoders import sparkplug
from anlan.perceive.discovery import make_tag

_MOST_TAGS = 20_000
_LARGEST = 1 << 20
_TIMES = frozenset({"time", "timestamp", "ts", "t", "datetime", "bt"})


@dataclass(slots=True)
class Heard:
    """What was heard: tags by their text, messages counted, topics whose payload could not be read."""

    tags: dict[str, DiscoveredTag] = field(default_factory=dict)
    messages: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)

    def take(self, topic: str, payload: bytes) -> None:
        """Read one message."""
        self.messages += 1
        try:
            if len(payload) > _LARGEST:
                raise DecodeError(f"{len(payload)} bytes", fix=f"at most {_LARGEST}")
            found = list(read_message(topic, payload))
        except AnlanError as error:
            if len(self.unreadable) < 1_000:
                self.unreadable.setdefault(topic, str(error))
            return
        for tag in found:
            before = self.tags.get(str(tag.tag))
            # A birth names units, later messages of the same metric do not.
            if (before is None and len(self.tags) < _MOST_TAGS) or (before and tag.confidence > before.confidence):
                self.tags[str(tag.tag)] = tag


async def discover(
    url: str, *, seconds: float, topic: str = "#", user: str = "", password: str = "", ca: str = ""
) -> Heard:
    """Listen on a broker for ``seconds``.

    Args:
        url: ``mqtt://HOST[:PORT]`` or ``mqtts://HOST[:PORT]``.
        seconds: how long to listen.
        topic: what to subscribe to.
        user, password: credentials.
        ca: file of the authority that signed the broker's certificate; empty trusts the system's.

    Raises:
        InvalidInputError: the URL is none.
        UnavailableError: the broker cannot be reached or refuses.
    """
    parts = urlsplit(url if "://" in url else f"mqtt://{url}")
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise InvalidInputError(f"{url!r} is no broker", where="URL", fix="mqtt://HOST:PORT or mqtts://HOST:PORT")
    heard = Heard()
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(maxsize=10_000)
    refused: asyncio.Future[str] = loop.create_future()

    def put(name: str, payload: bytes) -> None:
        if not queue.full():
            queue.put_nowait((name, payload))

    def refuse(text: str) -> None:
        if not refused.done():
            refused.set_result(text)

    def on_connect(client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            loop.call_soon_threadsafe(refuse, str(reason))
        else:
            client.subscribe(topic, qos=0)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="", protocol=mqtt.MQTTv311)
    if user:
        client.username_pw_set(user, password)
    if parts.scheme == "mqtts":
        client.tls_set_context(ssl.create_default_context(cafile=ca or None))
    client.on_connect = on_connect
    client.on_message = lambda _client, _data, message: loop.call_soon_threadsafe(put, message.topic, message.payload)
    try:
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        await asyncio.to_thread(client.connect, parts.hostname, port, 30)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"the broker cannot be reached: {error}", where=url, fix="check address and port"
        ) from error
    client.loop_start()
    try:
        await _listen(heard, queue, refused, loop.time() + seconds, url)
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
    return heard


async def _listen(
    heard: Heard, queue: asyncio.Queue[tuple[str, bytes]], refused: asyncio.Future[str], end: float, url: str
) -> None:
    loop = asyncio.get_running_loop()
    while (left := end - loop.time()) > 0:
        if refused.done():
            raise UnavailableError(f"the broker refuses: {refused.result()}", where=url, fix="user and password")
        try:
            heard.take(*await asyncio.wait_for(queue.get(), min(left, 0.25)))
        except TimeoutError:
            continue


# --- payloads ---------------------------------------------------------------------------------------------------------


def read_message(topic: str, payload: bytes) -> Iterator[DiscoveredTag]:
    """Yield the tags of one message, in the connectors' own tag syntax.

    Raises:
        DecodeError: it is neither Sparkplug, SenML nor JSON.
    """
    if topic.startswith(f"{sparkplug.NAMESPACE}/"):
        yield from _sparkplug(topic, payload)
        return
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise DecodeError("neither Sparkplug, SenML nor JSON", where=topic) from error
    if isinstance(document, list) and document and all(_is_senml(record) for record in document):
        yield from _senml(document)
    else:
        first = document[0] if isinstance(document, list) and document else document
        yield from _json(topic, first, (), 0)


def _sparkplug(topic: str, payload: bytes) -> Iterator[DiscoveredTag]:
    parts = topic.split("/")
    if len(parts) < 4 or parts[2] not in ("NBIRTH", "DBIRTH", "NDATA", "DDATA"):
        return
    place = "/".join([parts[1], *parts[3:]])
    units = metric_units(payload)
    for metric in sparkplug.parse(payload).metrics:
        if not metric.name or metric.name.startswith(("bdSeq", "Node Control/", "Device Control/", "Node Info/")):
            continue
        value: Any = metric.value
        if metric.datatype == 11 and isinstance(value, float):
            value = bool(value)
        if isinstance(value, str):
            continue
        yield make_tag(
            f"spB:{place}:{metric.name}", f"{place}/{metric.name}", unit=units.get(metric.name, ""), value=value
        )


def _is_senml(record: Any) -> bool:
    return isinstance(record, dict) and bool({"n", "bn"} & set(record)) and not {"name", "value"} & set(record)


def _senml(records: list[dict[str, Any]]) -> Iterator[DiscoveredTag]:
    base_name = base_unit = ""
    for record in records:
        base_name = str(record.get("bn", base_name))
        base_unit = str(record.get("bu", base_unit))
        name = base_name + str(record.get("n", ""))
        value = record.get("vb", record.get("v"))
        if name and isinstance(value, bool | int | float):
            number = value if isinstance(value, bool) else float(value)
            yield make_tag(f"senml:{name}", name, unit=str(record.get("u", base_unit)), value=number)


def _json(topic: str, value: Any, path: tuple[str, ...], depth: int) -> Iterator[DiscoveredTag]:
    if isinstance(value, bool | int | float) and not (isinstance(value, float) and not math.isfinite(value)):
        number = value if isinstance(value, bool) else float(value)
        field_path = ".".join(part.replace(".", r"\.") for part in path)
        yield make_tag(
            f"json:{topic}#{field_path}" if path else f"json:{topic}", "/".join((topic, *path)), value=number
        )
    elif isinstance(value, dict) and depth < 8:
        for key, inner in value.items():
            if depth or str(key).lower() not in _TIMES:
                yield from _json(topic, inner, (*path, str(key)), depth + 1)
    elif isinstance(value, list) and depth < 8:
        for index, inner in enumerate(value[:64]):
            yield from _json(topic, inner, (*path, str(index)), depth + 1)


# --- engineering units of Sparkplug metrics ---------------------------------------------------------------------------


def metric_units(payload: bytes) -> dict[str, str]:
    """Return the property ``engUnit`` of each metric that has one (Sparkplug B protobuf, properties are field 9)."""
    units: dict[str, str] = {}
    for number, metric in _fields(payload):
        if number != 2 or not isinstance(metric, bytes):
            continue
        name, unit = "", ""
        for inner, value in _fields(metric):
            if inner == 1 and isinstance(value, bytes):
                name = value.decode("utf-8", "replace")
            elif inner == 9 and isinstance(value, bytes):
                unit = _property(value)
        if name and unit:
            units[name] = unit
    return units


def _property(properties: bytes) -> str:
    keys = [value for number, value in _fields(properties) if number == 1 and isinstance(value, bytes)]
    values = [value for number, value in _fields(properties) if number == 2 and isinstance(value, bytes)]
    for key, value in zip(keys, values, strict=False):
        if key.lower() in (b"engunit", b"engineeringunits", b"unit", b"units"):
            texts = [text for number, text in _fields(value) if number == 8 and isinstance(text, bytes)]
            return texts[0].decode("utf-8", "replace") if texts else ""
    return ""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message; ends quietly where the bytes stop making sense."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind, number = key & 7, key >> 3
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(kind, -1)
        if size < 0 or at < 0 or at + size > len(message):
            return
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while 0 <= at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    return 0, len(message)

"""Device packs of the MQTT connectors: topics to decoders, a queue the gateway draws from, settling in order.

The queue is a feeder: when a group forms, the gateway takes what has come from all devices and it is decoded in one go,
format by format. What belongs to a message (its acknowledgement, its bytes of the budget) is settled when the log has
the group.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from anlan.core.batch import SampleBatch
from anlan.core.errors import DecodeError, InvalidInputError
from anlan.core.events import EventType
from anlan.core.time import now_us
from anlan.perceive.connectors import _mqtt_packets as mqtt
from anlan.perceive.context import GatewayContext
from anlan.perceive.decoders import json, senml, sparkplug
from anlan.perceive.decoders.columns import Decoded, Decoder, Pack
from anlan.perceive.groups import Portion

logger = logging.getLogger(__name__)

FORMATS = ("json", "senml", "sparkplug")
PACK_COST = 256
MOST_TOPICS = 100_000


class Acknowledger(Protocol):
    """A connection that is told when a message of QoS 1 may be acknowledged."""

    def acknowledge(self, identifier: int, code: int) -> None:
        """Send the PUBACK with the message's packets in the order they came."""
        ...

    def flush(self) -> None:
        """Write what ``acknowledge`` gathered."""
        ...


class Token(NamedTuple):
    """Whom to acknowledge which message, and with which reason code."""

    connection: Acknowledger
    identifier: int
    code: int = mqtt.SUCCESS


@dataclass(frozen=True, slots=True)
class Sink:
    """What decodes a topic's messages: index of its decoder, and what the decoder made of the topic."""

    topic: str
    decoder: int
    route: Any


class _Entry(NamedTuple):
    sink: Sink | None
    pack: Pack
    token: Token | None


@dataclass(frozen=True, slots=True)
class Payload:
    """One entry of the option ``payloads``: topics that match ``topic`` carry ``format``."""

    topic: str
    format: str
    json: json.JsonOptions


class Payloads:
    """The formats of one connector and its decoders.

    Args:
        map_: tag by point path; numbers: point number by point path.
        declared: the option ``payloads``.
        zone: zone of JSON times without offset.

    Raises:
        InvalidInputError: a tag or an entry that cannot be understood, with its place.
    """

    def __init__(
        self, map_: Mapping[str, Any], numbers: Mapping[str, int], declared: list[dict[str, Any]], zone: ZoneInfo
    ) -> None:
        fields: dict[str, list[json.Field]] = {}
        names: dict[str, int] = {}
        metrics: dict[tuple[str, str, str, str], int] = {}
        self.paths = {number: path for path, number in numbers.items()}
        for path, tag in map_.items():
            if path not in numbers:
                continue
            try:
                form = _format_of(tag)
                if form == "json":
                    topic, field = json.split_tag(tag)
                    fields.setdefault(topic, []).append(json.Field(field, numbers[path]))
                elif form == "senml":
                    names[_senml_name(tag)] = numbers[path]
                else:
                    metrics[sparkplug.split_tag(tag)] = numbers[path]
            except InvalidInputError as error:
                raise InvalidInputError(error.message, where=f"map/{path}", fix=error.fix) from error
        self._json = json.JsonDecoder(fields)
        self._senml = senml.SenmlDecoder(names)
        self.sparkplug = sparkplug.SparkplugDecoder(metrics)
        self.decoders: tuple[Decoder, ...] = (self._json, self._senml, self.sparkplug)
        self._declared = [_declaration(number, entry, zone) for number, entry in enumerate(declared)]
        # What the map itself tells: mapped JSON topics, Sparkplug's namespace, SenML on all other topics.
        told = {payload.format for payload in self._declared}
        plain = json.JsonOptions(zone=zone)
        self._declared += [Payload(topic, "json", plain) for topic in fields]
        if metrics and "sparkplug" not in told:
            self._declared.append(Payload(f"{sparkplug.NAMESPACE}/#", "sparkplug", plain))
        if names and "senml" not in told:
            self._declared.append(Payload("#", "senml", plain))

    def topics(self) -> list[str]:
        """Return the filters whose messages the formats cover, for a client to subscribe to."""
        return [payload.topic for payload in self._declared]

    def sink(self, topic: str) -> Sink | None:
        """Return what decodes a topic; None when no point can come of it.

        Raises:
            DecodeError: the topic does not have the form its format wants.
        """
        for payload in self._declared:
            if not mqtt.matches(payload.topic, topic):
                continue
            index = FORMATS.index(payload.format)
            route = self._json.route(topic, payload.json) if index == 0 else self.decoders[index].route(topic)
            return None if route is None else Sink(topic, index, route)
        return None


def _format_of(tag: Any) -> str:
    if isinstance(tag, dict):
        if "metric" in tag:
            return "sparkplug"
        return "json" if "topic" in tag else "senml"
    text = str(tag)
    for prefix, form in (("json:", "json"), ("senml:", "senml"), ("spB:", "sparkplug")):
        if text.startswith(prefix):
            return form
    raise InvalidInputError(
        f"{text!r} is no MQTT tag", where="map", fix="json:TOPIC#FIELD, senml:NAME or spB:GROUP/NODE[/DEVICE]:METRIC"
    )


def _senml_name(tag: Any) -> str:
    name = str(tag.get("name", "")) if isinstance(tag, dict) else str(tag).removeprefix("senml:")
    if not name:
        raise InvalidInputError(f"{tag!r} is no SenML tag", where="map", fix="senml:NAME")
    return name


def _declaration(number: int, entry: Any, zone: ZoneInfo) -> Payload:
    where = f"payloads/{number}"
    if not isinstance(entry, dict) or not isinstance(entry.get("topic"), str):
        raise InvalidInputError("an entry without a topic", where=where, fix="{topic: plant/#, format: json}")
    form = str(entry.get("format", ""))
    if form not in FORMATS:
        raise InvalidInputError(f"{form!r} is no format", where=where, fix=", ".join(FORMATS))
    try:
        mqtt.check_filter(entry["topic"])
        return Payload(entry["topic"], form, json.options_of(entry, zone))
    except (DecodeError, InvalidInputError) as error:
        raise InvalidInputError(error.message, where=where, fix=error.fix) from error


class PackQueue:
    """Packs of all devices of one connector, waiting for the next group.

    Args:
        context: of the connector.
        payloads: its formats.
        answer: publishes (topic, payload) to devices.
    """

    def __init__(self, context: GatewayContext, payloads: Payloads, answer: Callable[[str, bytes], None]) -> None:
        self._context = context
        self._gateway = context.gateway
        self._payloads = payloads
        self._answer = answer
        self._entries: deque[_Entry] = deque()
        self._closed = False
        self._gateway.attach(self)

    def put(self, sink: Sink | None, payload: bytes, received: int, repeated: bool, token: Token | None) -> None:
        """Queue a message; one without a sink is only acknowledged, in its turn."""
        self._gateway.reserve(len(payload) + PACK_COST)
        self._entries.append(_Entry(sink, Pack(sink and sink.route, payload, received, repeated), token))
        self._gateway.wake()

    def close(self) -> None:
        """Give up what waits: its devices were not acknowledged and will send it again."""
        self._closed = True
        self._gateway.detach(self)
        self._gateway.release(sum(len(entry.pack.payload) + PACK_COST for entry in self._entries))
        self._entries.clear()

    def take(self, packs: int, bufferable_only: bool) -> list[Portion]:
        """Decode and return up to ``packs`` waiting packs; only those of QoS 0 when they must rest on disk."""
        if not self._entries:
            return []
        entries = self._draw(packs, bufferable_only)
        if not entries:
            return []
        return [self._portion(entries)]

    async def run_again(self, raw: bytes, source: str) -> int:
        """Decode one mended message and wait until the log has it.

        Raises:
            DecodeError: it is still wrong.
        """
        sink = self._payloads.sink(source)
        if sink is None:
            raise DecodeError(f"no point is mapped to topic {source!r}", where=source, fix="a mapped topic")
        decoded = self._payloads.decoders[sink.decoder].decode([Pack(sink.route, raw, now_us(), True)])
        if decoded.problems:
            raise decoded.problems[0][1]
        self._tell(decoded)
        await self._context.emit(decoded.batch)
        return len(decoded.batch)

    def _draw(self, packs: int, bufferable_only: bool) -> list[_Entry]:
        waiting = self._entries
        if not bufferable_only:
            if len(waiting) <= packs:
                everything = list(waiting)
                waiting.clear()
                return everything
            return [waiting.popleft() for _ in range(packs)]
        entries: list[_Entry] = []
        kept: list[_Entry] = []
        while waiting and len(entries) < packs:
            entry = waiting.popleft()
            (entries if entry.token is None else kept).append(entry)
        waiting.extendleft(reversed(kept))
        return entries

    def _portion(self, entries: list[_Entry]) -> Portion:
        tokens: list[Token] = []
        codes: dict[int, int] = {}
        batches: list[SampleBatch] = []
        for index, decoder in enumerate(self._payloads.decoders):
            chosen = [
                number for number, entry in enumerate(entries) if entry.sink is not None and entry.sink.decoder == index
            ]
            if not chosen:
                continue
            decoded = _decode(decoder, [entries[number].pack for number in chosen])
            batches.append(decoded.batch)
            for position, problem in decoded.problems:
                entry = entries[chosen[position]]
                codes[chosen[position]] = mqtt.PAYLOAD_INVALID
                topic = entry.sink.topic if entry.sink is not None else ""
                self._context.dead_letter(entry.pack.payload, problem, source=topic)
            self._tell(decoded)
        size = 0
        for number, entry in enumerate(entries):
            size += len(entry.pack.payload)
            if entry.token is not None:
                code = codes.get(number)
                tokens.append(entry.token if code is None else entry.token._replace(code=code))
        return Portion(
            self._context.tally,
            SampleBatch.concatenate(batches),
            entries[-1].pack.received,
            size + PACK_COST * len(entries),
            _settle(tokens),
            packs=len(entries),
            bufferable=not tokens,
        )

    def _tell(self, decoded: Decoded) -> None:
        for tag, count in decoded.unmapped.items():
            self._context.unmapped(tag, count)
        for number, time, text in decoded.texts:
            path = self._payloads.paths.get(number, "")
            key = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
            self._context.event(EventType.DEVICE_TEXT, path, max(0, time), {"text": text[:4096]}, key=key)
        for topic, payload in decoded.answers:
            self._answer(topic, payload)


def _decode(decoder: Decoder, packs: list[Pack]) -> Decoded:
    """Decode; a pack that a decoder fails on unexpectedly is a dead letter too, it would come again and again."""
    try:
        return decoder.decode(packs)
    except Exception:
        logger.exception("decoding %d packs together failed: trying them one by one", len(packs))
    whole = Decoded()
    batches = []
    for index, pack in enumerate(packs):
        try:
            decoded = decoder.decode([pack])
        except Exception as error:
            text = f"the decoder failed: {type(error).__name__}: {error}"
            decoded = Decoded(problems=[(0, DecodeError(text, where="payload"))])
        batches.append(decoded.batch)
        whole.problems += [(index, problem) for _, problem in decoded.problems]
        whole.texts += decoded.texts
        whole.answers += decoded.answers
        for tag, count in decoded.unmapped.items():
            whole.count_unmapped(tag, count)
    whole.batch = SampleBatch.concatenate(batches)
    return whole


def _settle(tokens: list[Token]) -> Callable[[Exception | None], None]:
    def done(problem: Exception | None) -> None:
        if problem is not None:
            return  # not in the log: not acknowledged, the device keeps it
        connections: dict[Acknowledger, None] = {}
        for connection, identifier, code in tokens:
            connection.acknowledge(identifier, code)
            connections[connection] = None
        for connection in connections:
            connection.flush()

    return done

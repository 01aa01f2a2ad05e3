"""HTTP push: devices and scripts POST JSON, CSV or line protocol; 204 only after the log has acknowledged.

Besides its own path it answers on ``/write`` and ``/api/v2/write``, so that agents that speak InfluxDB can send here.
"""

from __future__ import annotations

import asyncio
import hmac
import ssl
from urllib.parse import parse_qs, urlsplit

from anlan.core.errors import DecodeError
from anlan.core.events import EventType
from anlan.core.time import now_us
from anlan.perceive.connector import Arrival, Context, Grade, Manifest, Option, keep_connected
from anlan.perceive.connectors._gather import Gather
from anlan.perceive.connectors._http_server import HttpServer, Limits, RefusedError, Request, Response, problem
from anlan.perceive.connectors._options import Options, is_loopback
from anlan.perceive.decoders import csv_rows, json_rows, line_protocol
from anlan.perceive.decoders.rows import PRECISIONS, Rows
from anlan.plant.model import ConnectorSpec

FORMATS = ("json", "csv", "line")

MANIFEST = Manifest(
    kind="http",
    name="HTTP push",
    name_zh="HTTP 推送接入",
    arrival=Arrival.PUSH,
    grade=Grade.SILVER,
    options=(
        Option("host", "text", "Interface to listen on; beyond loopback needs tls and tokens.", default="127.0.0.1"),
        Option("port", "integer", "TCP port.", default=8088),
        Option("path", "text", "Path to POST to.", default="/push"),
        Option("tls", "mapping", "{certificate: FILE, key: FILE}."),
        Option("tokens", "list", "Secrets, any of which a client gives as 'Authorization: Bearer …'.", secret=True),
        Option("max_body", "integer", "Longest body in bytes, also after unpacking.", default=8 << 20),
        Option("formats", "list", "Formats taken.", default=list(FORMATS), choices=FORMATS),
        Option("timezone", "text", "Zone of times without offset.", default="UTC"),
        Option("request_timeout", "duration", "Longest time for one request to arrive.", default="30 s"),
        Option("ack_timeout", "duration", "Longest wait for the log before 503.", default="30 s"),
        Option("max_connections", "integer", "Connections beyond this are closed.", default=256),
    ),
    gaps="HTTP/2 and client certificates are not taken.",
    limits="A text value becomes an event, not a sample. One token opens the whole connector.",
)

_LARGE = 256 << 10
_INFLUX_PATHS = ("/write", "/api/v2/write")
_TYPES = {"application/json": "json", "text/csv": "csv", "application/csv": "csv", "text/plain": "line"}
_SHOWN = 50


class HttpConnector:
    """Listens for pushed samples."""

    MANIFEST = MANIFEST

    def __init__(self, spec: ConnectorSpec, context: Context) -> None:
        options = Options(spec)
        self._context = context
        self._options = options
        self._host = options.text("host", "127.0.0.1")
        self._port = options.integer("port", 8088, 0, 65535)
        self._path = options.text("path", "/push")
        self._formats = tuple(str(name) for name in options.items("formats")) or FORMATS
        if unknown := set(self._formats) - set(FORMATS):
            raise options.wrong("formats", f"{sorted(unknown)[0]!r} is not known", f"one of {', '.join(FORMATS)}")
        self._zone = options.zone("UTC")
        self._tokens = [context.secret(str(name)) for name in options.items("tokens")]
        self._tls = self._read_tls()
        if not is_loopback(self._host) and (self._tls is None or not self._tokens):
            raise options.wrong("host", "listening beyond this machine needs tls and tokens", "give both")
        self._limits = Limits(
            body=options.integer("max_body", 8 << 20, 1, 1 << 30),
            request_time=options.seconds("request_timeout", "30 s"),
            connections=options.integer("max_connections", 256, 1, 10_000),
        )
        self._ack_timeout = options.seconds("ack_timeout", "30 s")
        self._points = {str(tag): context.numbers[path] for path, tag in spec.map.items() if path in context.numbers}
        self._names = line_protocol.Names(list(self._points))
        self.port = 0
        """Port it listens on, once it does."""

    def _read_tls(self) -> ssl.SSLContext | None:
        files = self._options.mapping("tls")
        if not files:
            return None
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            tls.load_cert_chain(str(files.get("certificate", "")), str(files.get("key", "")))
        except (OSError, ssl.SSLError) as error:
            raise self._options.wrong("tls", f"cannot be loaded: {error}", "PEM files certificate and key") from error
        return tls

    async def run(self) -> None:
        """Listen for ever; a port that cannot be had is said once and tried again."""
        await keep_connected(self._context, self._serve)

    async def _serve(self) -> None:
        server = HttpServer(self._limits, self._check, self._handle)
        try:
            self.port = await server.start(self._host, self._port, self._tls)
            self._context.up()
            await asyncio.Event().wait()
        finally:
            await server.stop()

    def _check(self, method: str, target: str, headers: dict[str, str]) -> None:
        """Judge a request by its head alone, before its body is read."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip().encode() if scheme.lower() in ("bearer", "token") else b""
        # Every token is compared, so that the time taken says nothing about which one is near.
        known = [hmac.compare_digest(given, wanted.encode()) for wanted in self._tokens]
        if self._tokens and not any(known):
            raise RefusedError(401, "a token is needed", "Authorization: Bearer …", **{"WWW-Authenticate": "Bearer"})
        if urlsplit(target).path not in (self._path, *_INFLUX_PATHS):
            raise RefusedError(404, "there is nothing here", f"POST {self._path}")
        if method != "POST":
            raise RefusedError(405, f"{method} is not taken", f"POST {self._path}", Allow="POST")

    async def _handle(self, request: Request) -> Response:
        received = now_us()
        source = request.peer
        try:
            name, precision = self._format(request)
            source = f"{request.peer} {name} {precision}"
            large = len(request.body) > _LARGE
            arguments = (request.body, name, precision, received)
            rows = await asyncio.to_thread(self._decode, *arguments) if large else self._decode(*arguments)
        except DecodeError as error:
            self._context.dead_letter(request.body, error, source=source)
            return problem(422, str(error), error.fix)
        for rejected, raw in zip(rows.errors, rows.raws, strict=True):
            self._context.dead_letter(raw, rejected, source=source)
        await self._context.writable()
        return await self._emit(rows)

    async def run_again(self, raw: bytes, source: str) -> int:
        """Emit a mended body or row; ``source`` names its format."""
        parts = source.split()
        name, precision = (parts[1], parts[2]) if len(parts) == 3 and parts[1] in FORMATS else ("json", "ns")
        rows = self._decode(raw, name, precision, now_us())
        if rows.errors:
            raise rows.errors[0]
        gather, _ = self._gather(rows)
        sent = len(gather)
        future = gather.emit(self._context)
        if future is not None:
            await future
        return sent

    def _format(self, request: Request) -> tuple[str, str]:
        """Return the format of a request and the unit of its times."""
        parts = urlsplit(request.target)
        query = parse_qs(parts.query)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        name = query.get("format", [""])[0] or ("line" if parts.path in _INFLUX_PATHS else _TYPES.get(kind, "json"))
        if name not in self._formats:
            raise DecodeError(f"format {name!r} is not taken", where="format", fix=", ".join(self._formats))
        precision = query.get("precision", ["ns"])[0]
        if precision not in PRECISIONS:
            raise DecodeError(f"precision {precision!r} is not known", where="precision", fix="ns, us, ms or s")
        return name, precision

    def _decode(self, body: bytes, name: str, precision: str, received: int) -> Rows:
        if name == "json":
            return json_rows.decode(body, self._zone, received)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DecodeError(f"no UTF-8 text: {error}", where="body", fix="UTF-8") from error
        if name == "csv":
            return csv_rows.decode(text, self._zone, received)
        return line_protocol.decode(text, self._names, received, precision=precision)

    def _gather(self, rows: Rows) -> tuple[Gather, dict[str, int]]:
        """Return the mapped samples, and how many there were of each name that is not mapped."""
        gather = Gather()
        unmapped: dict[str, int] = {}
        for name, time, value, quality in zip(rows.names, rows.times, rows.values, rows.qualities, strict=True):
            point = self._points.get(name)
            if point is None:
                unmapped[name] = unmapped.get(name, 0) + 1
            else:
                gather.add(point, time, value, quality)
        return gather, unmapped

    async def _emit(self, rows: Rows) -> Response:
        gather, unmapped = self._gather(rows)
        for name, count in unmapped.items():
            self._context.unmapped(name, count)
        for name, time, text in rows.texts:
            subject = f"{self._context.spec.id}/{name}"
            self._context.event(EventType.DEVICE_TEXT, subject, time, {"text": text}, key=f"{name}/{time}")
        accepted = len(gather)
        future = gather.emit(self._context)
        if future is not None:
            try:
                await asyncio.wait_for(asyncio.shield(future), self._ack_timeout)
            except TimeoutError:
                return problem(503, "the log has not acknowledged yet", "send the same again", **{"Retry-After": "5"})
        if not rows.errors and not unmapped:
            return Response(204)
        answer = {
            "accepted": accepted,
            "unmapped": dict(list(unmapped.items())[:_SHOWN]),
            "rejected": [
                {"where": error.where, "problem": error.message, "fix": error.fix} for error in rows.errors[:_SHOWN]
            ],
            "rejected_total": len(rows.errors),
        }
        return Response(200 if accepted or rows.texts else 422, answer)

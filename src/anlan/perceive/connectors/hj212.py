"""HJ 212 TCP server: data loggers connect, send frames and are answered after the log has acknowledged them.

HJ 212-2017; frames of the 2005 edition and frames marked 2025 by the version bits of Flag are read by the same rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from dataclasses import dataclass
from typing import Any

from anlan.core.errors import AnlanError, DecodeError, PermissionDeniedError
from anlan.core.events import EventType
from anlan.core.time import now_us
from anlan.perceive.connector import Arrival, Context, Grade, Manifest, Option, keep_connected
from anlan.perceive.connectors._gather import Gather
from anlan.perceive.connectors._hj212_packets import Packets
from anlan.perceive.connectors._options import Options, is_loopback, is_wildcard, peer_allowed
from anlan.perceive.decoders import hj212 as protocol
from anlan.plant.model import ConnectorSpec

logger = logging.getLogger(__name__)

MANIFEST = Manifest(
    kind="hj212",
    name="HJ 212 station server",
    name_zh="HJ 212 数采仪接入(TCP 服务端)",
    arrival=Arrival.PUSH,
    grade=Grade.SILVER,
    options=(
        Option(
            "host", "text", "Interface to listen on; beyond loopback every device needs peers.", default="127.0.0.1"
        ),
        Option("port", "integer", "TCP port.", default=9212),
        Option("devices", "list", "Known devices: {mn, password (a secret's name), peers (addresses or networks)}."),
        Option("timezone", "text", "Zone of the devices' clocks.", default="Asia/Shanghai"),
        Option("max_connections", "integer", "Connections beyond this are closed.", default=256),
        Option(
            "idle_timeout", "duration", "A connection without a good frame for so long is closed.", default="10 min"
        ),
        Option("offline_after", "duration", "No frame from any device for so long counts as lost.", default="10 min"),
    ),
    gaps=(
        "HJ 212-2025 has replaced the 2017 edition. Its version bits (Flag 8, 9) are recognised, its frames are read "
        "by the 2017 rules and answered with its bits; its new commands, factor codes, encryption and packet rules are "
        "not implemented because the text was not at hand. Nothing is ever requested or set on a device (1xxx, 3xxx); "
        "a factor's value and its Flag must come in the same packet."
    ),
    limits=(
        "Tags are MN/FACTOR-Rtd (2011) and MN/FACTOR-Avg, -Min, -Max, -Cou, -ZsAvg … (2051, minutes); hours and days "
        "have tags of their own: MN/FACTOR-Avg@2061 and @2031. A heartbeat 9015 is answered with 9013."
    ),
)

_ANSWERS_IN_FLIGHT = 64
_PACKET_WAIT_S = 60.0
_SEND_S = 30.0


@dataclass(frozen=True, slots=True)
class _Device:
    """A device the site file lists; ``password`` is None when it need not give one."""

    mn: str
    password: str | None
    peers: tuple[str, ...]


class _RefusedError(AnlanError):
    """A message that is answered with a return code instead of being taken."""

    def __init__(self, error: AnlanError, code: int) -> None:
        super().__init__(error.message, where=error.where, fix=error.fix)
        self.return_code = code


class Hj212Connector:
    """Listens for HJ 212 devices."""

    MANIFEST = MANIFEST

    def __init__(self, spec: ConnectorSpec, context: Context) -> None:
        options = Options(spec)
        self._context = context
        self._options = options
        self._host = options.text("host", "127.0.0.1")
        self._port = options.integer("port", 9212, 0, 65535)
        self._most = options.integer("max_connections", 256, 1, 10_000)
        self._idle = options.seconds("idle_timeout", "10 min")
        self._offline_after = options.seconds("offline_after", "10 min")
        self._zone = options.zone("Asia/Shanghai")
        self._points = {str(tag): context.numbers[path] for path, tag in spec.map.items() if path in context.numbers}
        self._devices = self._read_devices()
        self._check_exposure()
        codes = protocol.codes()["commands"]
        self._data, self._notices = frozenset(codes["data"]), frozenset(codes["notices"])
        self._replies, self._own_tag = frozenset(codes["answers"]), frozenset(codes["own_tag"])
        self._connections: set[asyncio.Task[None]] = set()
        self._heard = 0.0
        self.port = 0
        """Port it listens on, once it does."""

    def _read_devices(self) -> dict[str, _Device]:
        devices = {tag.rpartition("/")[0]: _Device(tag.rpartition("/")[0], None, ()) for tag in self._points}
        for entry in self._options.items("devices"):
            if not isinstance(entry, dict) or not entry.get("mn"):
                raise self._options.wrong("devices", f"{entry!r} names no mn", "{mn: …, password: secret-name}")
            secret = entry.get("password")
            peers = entry.get("peers") or ()
            devices[str(entry["mn"])] = _Device(
                str(entry["mn"]),
                self._context.secret(str(secret)) if secret else None,
                (peers,) if isinstance(peers, str) else tuple(str(peer) for peer in peers),
            )
        return devices

    def _check_exposure(self) -> None:
        if is_loopback(self._host):
            return
        if is_wildcard(self._host):
            raise self._options.wrong("host", "HJ 212 has no encryption", "name one interface's address")
        open_to_all = [device.mn for device in self._devices.values() if not device.peers]
        if open_to_all:
            raise self._options.wrong(
                "devices", f"device {open_to_all[0]} may come from anywhere", "list its addresses under peers"
            )

    async def run(self) -> None:
        """Listen for ever; a port that cannot be had is said once and tried again."""
        await keep_connected(self._context, self._serve)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, self._host, self._port, limit=1 << 16)
        self.port = server.sockets[0].getsockname()[1]
        self._heard = time.monotonic()
        try:
            while True:
                await asyncio.sleep(min(1.0, self._offline_after / 4))
                if time.monotonic() - self._heard > self._offline_after:
                    self._context.down(f"no device has sent a frame for {self._offline_after:g} s")
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str((writer.get_extra_info("peername") or ("unknown",))[0])
        allowed = any(peer_allowed(address, device.peers) for device in self._devices.values())
        if len(self._connections) >= self._most or not allowed:
            reason = "is no listed peer" if not allowed else f"is one more than {self._most} connections"
            logger.debug("%s: %s %s", self._context.spec.id, address, reason)
            writer.transport.abort()
            return
        station = _Station(self, reader, writer, address)
        task = asyncio.ensure_future(station.run())
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    # --- what a connection asks of its server -------------------------------------------------------------------

    def check(self, message: protocol.Message, address: str) -> str:
        """Return the command that answers a message, empty for none.

        Raises:
            _RefusedError: the device, its password or the command is not known.
        """
        returns = protocol.codes()["request_answers"]["values"]
        device = self._devices.get(message.mn)
        if device is None or not peer_allowed(address, device.peers):
            error = PermissionDeniedError(
                f"device {message.mn} is not known here", where="MN", fix="list it in devices"
            )
            raise _RefusedError(error, returns["mn"])
        if device.password is not None and not hmac.compare_digest(device.password.encode(), message.pw.encode()):
            raise _RefusedError(
                PermissionDeniedError(f"wrong password of {message.mn}", where="PW"), returns["password"]
            )
        if message.edition == "unknown":
            wrong = DecodeError(f"Flag {message.flag} has unknown version bits", where="Flag", fix="4 to 11")
            raise _RefusedError(wrong, returns["flag"])
        if message.cn in self._data:
            return "9014"
        if message.cn in self._notices:
            return "9013"
        if message.cn in self._replies:
            return ""
        raise _RefusedError(
            DecodeError(f"command {message.cn} is not taken", where="CN", fix="2011, 2051, …"), returns["cn"]
        )

    def hear(self, message: protocol.Message) -> None:
        """Note that a device is alive and how far its clock is off."""
        self._heard = time.monotonic()
        offset = 0
        if message.cn in ("2011", "9015"):
            with contextlib.suppress(DecodeError):
                offset = protocol.time_of(message.qn, self._zone, "QN") - now_us()
        self._context.up(clock_offset_us=offset)

    def take(self, message: protocol.Message, data_time: str) -> asyncio.Future[None] | None:
        """Emit a data message's samples; items that cannot be read become dead letters of their own."""
        if not message.groups:
            return None
        samples = protocol.samples_of(message, self._zone, data_time=data_time)
        for error, group in zip(samples.errors, samples.left_out, strict=True):
            raw = protocol.segment_of(message, group, message.data_time or data_time)
            self._context.dead_letter(raw, error, source=message.mn)
        if samples.texts:
            self.tell(message, samples.texts)
        return self._gather(message, samples).emit(self._context)

    async def run_again(self, raw: bytes, source: str) -> int:
        """Emit a mended frame or data segment; its length, CRC and password need not be right any more."""
        message = protocol.parse(protocol.unframed(raw))
        samples = protocol.samples_of(message, self._zone)
        if samples.errors:
            raise samples.errors[0]
        gather = self._gather(message, samples)
        sent = len(gather)
        future = gather.emit(self._context)
        if future is not None:
            await future
        return sent

    def _gather(self, message: protocol.Message, samples: protocol.Samples) -> Gather:
        gather = Gather()
        suffix = f"@{message.cn}" if message.cn in self._own_tag else ""
        rows = zip(samples.names, samples.times, samples.values, samples.qualities, strict=True)
        for name, moment, value, quality in rows:
            tag = f"{message.mn}/{name}{suffix}"
            point = self._points.get(tag)
            if point is None:
                self._context.unmapped(tag)
            else:
                gather.add(point, moment, value, quality)
        return gather

    def tell(self, message: protocol.Message, texts: dict[str, str]) -> None:
        """Publish what a device said in words or codes as an event."""
        moment = now_us()
        with contextlib.suppress(DecodeError):
            moment = protocol.time_of(message.qn, self._zone, "QN")
        subject = f"{self._context.spec.id}/{message.mn}"
        data: dict[str, Any] = {"cn": message.cn, "texts": texts}
        key = f"{message.mn}/{message.qn}/{message.cn}/{message.packet}"
        self._context.event(EventType.DEVICE_TEXT, subject, moment, data, key=key)

    @property
    def idle(self) -> float:
        """Seconds a connection may go without a good frame."""
        return self._idle

    @property
    def context(self) -> Context:
        """The gateway behind this connector."""
        return self._context


class _Station:
    """One connection of a device."""

    def __init__(
        self, server: Hj212Connector, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        self._server = server
        self._context = server.context
        self._reader = reader
        self._writer = writer
        self._address = address
        self._packets = Packets(_PACKET_WAIT_S)
        self._slots = asyncio.Semaphore(_ANSWERS_IN_FLIGHT)
        self._answers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Read frames until the device goes away or stays silent too long."""
        frames = protocol.FrameReader()
        deadline = time.monotonic() + self._server.idle
        try:
            while True:
                await self._context.writable()
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    data = await self._reader.read(65536)
                if not data:
                    return
                for frame in frames.feed(data):
                    if await self._handle(frame):
                        deadline = time.monotonic() + self._server.idle
                self._drop_late_packets()
        except (TimeoutError, OSError) as error:
            logger.debug("connection from %s ends: %r", self._address, error)
        finally:
            for task in self._answers:
                task.cancel()
            self._writer.transport.abort()

    async def _handle(self, frame: bytes | protocol.Bad) -> bool:
        """Deal with one frame; True when it was a good one of a known device."""
        if isinstance(frame, protocol.Bad):
            self._context.dead_letter(protocol.without_password(frame.raw), frame.reason, source=self._address)
            return False
        message: protocol.Message | None = None
        try:
            message = protocol.parse(frame)
            command = self._server.check(message, self._address)
            self._server.hear(message)
            await self._take(message, command)
        except AnlanError as error:
            self._context.dead_letter(protocol.without_password(frame), error, source=self._address)
            if message is not None and message.wants_answer and message.cn not in ("9011", "9012", "9013", "9014"):
                code = error.return_code if isinstance(error, _RefusedError) else 100
                await self._send(protocol.answer(message, "9011", f"QnRtn={code}"))
            return not isinstance(error, _RefusedError)
        return True

    async def _take(self, message: protocol.Message, command: str) -> None:
        if command != "9014":
            texts = {key: value for group in message.groups for key, value in group.items()}
            if texts:
                self._server.tell(message, texts)
            if command and message.wants_answer:
                await self._send(protocol.answer(message, command))
            return
        ready, data_time = self._packets.take(message, time.monotonic())
        for packet in ready:
            logged = self._server.take(packet, data_time)
            if packet.wants_answer:
                await self._answer_when(logged, protocol.answer(packet, command))

    async def _answer_when(self, logged: asyncio.Future[None] | None, frame: bytes) -> None:
        """Answer once the log has acknowledged, without holding up the frames behind."""
        if logged is None or logged.done():
            await self._send(frame)
            return
        await self._slots.acquire()
        task = asyncio.ensure_future(self._wait_and_send(logged, frame))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _wait_and_send(self, logged: asyncio.Future[None], frame: bytes) -> None:
        try:
            await asyncio.shield(logged)
            await self._send(frame)
        finally:
            self._slots.release()

    async def _send(self, frame: bytes) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            self._writer.write(frame)
            async with asyncio.timeout(_SEND_S):
                await self._writer.drain()

    def _drop_late_packets(self) -> None:
        for packet in self._packets.expired(time.monotonic()):
            reason = DecodeError(
                f"packet {packet.packet} of {packet.packets} came without the packet that holds DataTime",
                where=f"HJ 212 {packet.cn} of {packet.mn}",
                fix="all packets of a message within a minute",
            )
            for group in packet.groups:
                self._context.dead_letter(protocol.segment_of(packet, group, ""), reason, source=self._address)

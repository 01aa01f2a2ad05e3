"""Machine-monitoring edge nodes: Sparkplug B over MQTT, births with aliases, data with QoS 0 as the standard has it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from anlan.sim import catalogue
from anlan.sim.journal import Journal
from anlan.sim.mqtt import MqttDevice, Will
from anlan.sim.park import Park
from anlan.sim.schedule import Rows, Schedule
from anlan.sim.signals import SPARKPLUG_GROUP, PointSpec
from anlan.sim.sparkplug import DataType, Metric, asks_rebirth, encode_payload, varint


class SparkplugFeed:
    """One edge node with its devices.

    Args:
        node: edge node id; its points are those whose ``device`` is ``node`` or ``node/DEVICE``.
        clock: ms UTC, for births.
    """

    def __init__(
        self,
        park: Park,
        node: str,
        port: int,
        password: str,
        journal: Journal,
        clock: Callable[[], int],
        *,
        start: int = 0,
    ) -> None:
        self.park, self.node, self.journal, self.clock = park, node, journal, clock
        self.connector = catalogue.EDGE
        self.points = [p for p in park.points if p.connector == self.connector and p.device.partition("/")[0] == node]
        self._by_device: dict[str, list[PointSpec]] = {}
        for point in self.points:
            self._by_device.setdefault(point.device.partition("/")[2], []).append(point)
        self._schedules = {name: Schedule(points, start=start) for name, points in self._by_device.items()}
        self._alias = {point.index: number for number, point in enumerate(self.points, start=1)}
        self._state = {point.index: bool(point.states) for point in self.points}
        self._prefix = {row: b"\x10" + varint(alias) for row, alias in self._alias.items()}
        self._seq = 0
        self._bd_seq = -1
        self._born = False
        self.rebirths = 0
        self.mqtt = MqttDevice(
            port, f"edge-{node}", f"edge-{node}", password,
            subscriptions=(f"spBv1.0/{SPARKPLUG_GROUP}/NCMD/{node}",), will=self._death, clean=True,
            on_connect=self._birth, on_message=self._command,
        )  # fmt: skip

    async def start(self) -> None:
        """Nothing to prepare: ``mqtt.run`` connects by itself."""

    async def close(self) -> None:
        """Publish the death ourselves and say goodbye."""
        if self.mqtt.connected:
            self.mqtt.publish(self._topic("NDEATH"), self._death_payload())
        await self.mqtt.close()

    def _topic(self, verb: str, device: str = "") -> str:
        return f"spBv1.0/{SPARKPLUG_GROUP}/{verb}/{self.node}" + (f"/{device}" if device else "")

    def _death(self) -> Will:
        self._born = False
        self._bd_seq = (self._bd_seq + 1) % 256
        return Will(self._topic("NDEATH"), self._death_payload(), qos=1)

    def _death_payload(self) -> bytes:
        return encode_payload([Metric(self._bd_seq, DataType.INT64, "bdSeq")], timestamp=None, seq=None)

    async def _birth(self) -> None:
        now = self.clock()
        self._seq = 0
        node_metrics = [
            Metric(self._bd_seq, DataType.INT64, "bdSeq", timestamp=now),
            Metric(False, DataType.BOOLEAN, "Node Control/Rebirth", timestamp=now),
            *self._metrics(self._by_device.get("", []), now),
        ]
        self.mqtt.publish(self._topic("NBIRTH"), encode_payload(node_metrics, timestamp=now, seq=0))
        for device, points in self._by_device.items():
            if device:
                payload = encode_payload(self._metrics(points, now), timestamp=now, seq=self._next())
                self.mqtt.publish(self._topic("DBIRTH", device), payload)
        self._born = True
        self._record(np.array([point.index for point in self.points], dtype=np.intp), now)

    def _metrics(self, points: list[PointSpec], now: int) -> list[Metric]:
        values = self.park.values
        return [
            Metric(
                float(values[point.index]), DataType.INT32 if point.states else DataType.FLOAT,
                point.tag.rpartition(":")[2], self._alias[point.index], now,
            )
            for point in points
        ]  # fmt: skip

    def _command(self, topic: str, payload: bytes) -> None:
        if topic == self._topic("NCMD") and asks_rebirth(payload):
            self.rebirths += 1
            self._reborn_due = True

    _reborn_due = False

    def _next(self) -> int:
        self._seq = (self._seq + 1) % 256
        return self._seq

    async def sample(self, now: int) -> None:
        """Send what is due at ``now`` (ms UTC); without a connection the samples are gone (QoS 0)."""
        due = {device: schedule.due(now) for device, schedule in self._schedules.items()}
        if f"edge-{self.node}" in self.park.silent:
            return
        if not self._born or not self.mqtt.connected:
            if self.mqtt.counts.connects:
                missed = sum(len(rows) for groups in due.values() for rows in groups)
                self.journal.count(self.connector, "unsent", missed)
            return
        if self._reborn_due:
            self._reborn_due = False
            await self._birth()
            return
        for device, groups in due.items():
            if groups:
                rows = np.concatenate(groups)
                verb = "DDATA" if device else "NDATA"
                self.mqtt.publish(self._topic(verb, device), self._encode(rows, now))
                self._record(rows, now)

    def _encode(self, rows: Rows, now: int) -> bytes:
        """Return the data payload: like ``encode_payload``, with the fixed parts of each metric made once."""
        stamp = b"\x18" + varint(now)
        parts = [b"\x08" + varint(now)]
        pack = struct.Struct("<f").pack
        for row, value in zip(rows.tolist(), self.park.values[rows].tolist(), strict=True):
            shown = b"\x50" + varint(int(value) & 0xFFFFFFFF) if self._state[row] else b"\x65" + pack(value)
            body = self._prefix[row] + stamp + shown
            parts.append(b"\x12" + varint(len(body)) + body)
        parts.append(b"\x18" + varint(self._next()))
        return b"".join(parts)

    def _record(self, rows: Rows, now: int) -> None:
        values = self.park.values[rows].astype(np.float32).astype(np.float64)
        self.journal.record(self.connector, "sent", rows, now * 1000, values, np.zeros(len(rows), dtype=np.uint8))

"""Gas-detection panels, weather station and fire panels: SenML (RFC 8428) over MQTT, QoS 1, nothing lost."""

from __future__ import annotations

import json

import numpy as np

from anlan.sim import catalogue
from anlan.sim.journal import Journal
from anlan.sim.mqtt import MqttDevice
from anlan.sim.park import Park
from anlan.sim.schedule import Rows, Schedule


def topic_of(device: str) -> str:
    """Return the topic a panel publishes on."""
    return f"senml/{device}"


class SenmlFeed:
    """One panel: samples its points, sends each sample as one SenML pack, sends again what was not acknowledged."""

    def __init__(self, park: Park, device: str, port: int, password: str, journal: Journal, *, start: int = 0) -> None:
        self.park = park
        self.device = device
        self.journal = journal
        self.connector = catalogue.GAS
        points = [point for point in park.points if point.connector == self.connector and point.device == device]
        self.schedule = Schedule(points, start=start)
        self.mqtt = MqttDevice(port, device, device, password)
        self._records = {
            point.index: f'"n":{json.dumps(point.tag.partition("/")[2])},'
            + (f'"u":{json.dumps(point.unit, ensure_ascii=False)},' if point.unit else "")
            for point in points
        }

    async def start(self) -> None:
        """Nothing to prepare: ``mqtt.run`` connects by itself."""

    async def close(self) -> None:
        """Say goodbye to the listener."""
        await self.mqtt.close()

    async def sample(self, now: int) -> None:
        """Send what is due at ``now`` (ms UTC); a silent panel samples nothing."""
        due = self.schedule.due(now)
        if self.device in self.park.silent:
            return
        for rows in due:
            good = rows[self.park.quality[rows] == 0]
            if len(good):
                self._send(good, now)

    def _send(self, rows: Rows, now: int) -> None:
        values = self.park.values[rows]
        payload = self._encode(rows, values, now)
        quality = np.zeros(len(rows), dtype=np.uint8)

        def acknowledged() -> None:
            self.journal.record(self.connector, "acked", rows, now * 1000, values, quality)

        self.mqtt.publish(topic_of(self.device), payload, acknowledged=acknowledged)

    def _encode(self, rows: Rows, values: np.typing.NDArray[np.float64], now: int) -> bytes:
        records = [
            "{" + self._records[row] + f'"v":{value!r}' + "}"
            for row, value in zip(rows.tolist(), values.tolist(), strict=True)
        ]
        base = f'{{"bn":{json.dumps(self.device + "/")},"bt":{now // 1000}.{now % 1000:03d},' + records[0][1:]
        return ("[" + ",".join([base, *records[1:]]) + "]").encode()

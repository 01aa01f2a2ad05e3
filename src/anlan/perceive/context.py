"""What the gateway gives a connector: the ``Context`` of the contract, backed by the gateway."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from anlan.core.batch import SampleBatch
from anlan.core.errors import InvalidInputError
from anlan.core.events import Event
from anlan.core.ids import ulid_of
from anlan.core.time import now_us
from anlan.perceive.connector import Arrival
from anlan.perceive.dead_letters import DeadLetters
from anlan.perceive.gateway import Gateway
from anlan.perceive.groups import Feeder, Tally
from anlan.plant.model import ConnectorSpec
from anlan.settings import Settings

logger = logging.getLogger(__name__)

MOST_UNMAPPED_TAGS = 50


def read_secret(settings: Settings, name: str) -> str:
    """Return a secret by name: environment ``ANLAN_SECRET_NAME``, or the file ``secrets/NAME`` under the data folder.

    Raises:
        InvalidInputError: there is no such secret, or the name could leave the folder.
    """
    if not re.fullmatch(r"[\w.-]{1,100}", name) or name.startswith("."):
        raise InvalidInputError(f"{name!r} is no name of a secret", where="secret", fix="letters, digits, - and _ only")
    variable = "ANLAN_SECRET_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
    for candidate in (variable, f"ANLAN_SECRET_{name}"):
        if candidate in os.environ:
            return os.environ[candidate]
    path = settings.data / "secrets" / name
    if path.is_file():
        return path.read_text().rstrip("\r\n")
    raise InvalidInputError(
        f"secret {name!r} is not set", where="secret", fix=f"set {variable} or write it to {path} (mode 600)"
    )


@dataclass(slots=True)
class ConnectorHealth:
    """State of one connector as told by itself."""

    state: str = "starting"
    reason: str = ""
    since: int = 0
    clock_offset_us: int = 0


class GatewayContext:
    """Implements ``Context`` for one connector.

    Args:
        on_state: called with (up, reason) when the device is lost or back, once each.
        on_event: takes an event to publish.
    """

    def __init__(
        self,
        spec: ConnectorSpec,
        numbers: Mapping[str, int],
        arrival: Arrival,
        *,
        gateway: Gateway,
        settings: Settings,
        dead_letters: DeadLetters,
        tally: Tally,
        on_state: Callable[[bool, str], None],
        on_event: Callable[[Event], None],
    ) -> None:
        self.spec = spec
        self.numbers = numbers
        self.node = settings.node
        self.site = settings.site
        self.tally = tally
        self.health = ConnectorHealth(since=now_us())
        self.details: dict[str, object] = {}
        self._gateway = gateway
        self._settings = settings
        self._dead_letters = dead_letters
        self._on_state = on_state
        self._on_event = on_event
        self._bufferable = arrival is not Arrival.FILE

    def emit(self, batch: SampleBatch, *, received: int | None = None) -> asyncio.Future[None]:
        """Take a batch; the future is done once the log has acknowledged."""
        return self._gateway.emit(self.tally, batch, now_us() if received is None else received, self._bufferable)

    async def writable(self) -> None:
        """Return when the byte budget has room."""
        await self._gateway.writable()

    def dead_letter(self, raw: bytes, reason: Exception, *, source: str = "") -> None:
        """Count and keep what cannot be used."""
        self.tally.dead += 1
        self._dead_letters.put(self.spec.id, raw, reason, source)

    def unmapped(self, tag: str, count: int = 1) -> None:
        """Count samples of a tag that no point is mapped to."""
        tally = self.tally
        tally.unmapped += count
        if tag in tally.unmapped_tags or len(tally.unmapped_tags) < MOST_UNMAPPED_TAGS:
            tag = tag[:200]
            tally.unmapped_tags[tag] = tally.unmapped_tags.get(tag, 0) + count

    def up(self, *, clock_offset_us: int = 0) -> None:
        """Say that the device is connected."""
        self.health.clock_offset_us = clock_offset_us
        self._change("up", "")

    def down(self, reason: str) -> None:
        """Say that the device is lost."""
        self._change("down", reason)

    def event(self, type_: str, subject: str, time: int, data: dict[str, Any], *, key: str) -> None:
        """Publish a text or a device's own alarm; the same ``key`` gives the same id."""
        digest = hashlib.blake2b(f"{type_}\0{subject}\0{key}".encode(), digest_size=6).digest()
        identity = ulid_of(time, self.node, f"connector:{self.spec.id}", int.from_bytes(digest, "big"), 0)
        self._on_event(Event(id=identity, type=type_, source=self.node, time=time, subject=subject, data=data))

    def secret(self, name: str) -> str:
        """Return a secret that the site file names."""
        return read_secret(self._settings, name)

    # --- for the connectors that own queues of device packs (MQTT) ----------------------------------------------------

    @property
    def gateway(self) -> Gateway:
        """The gateway itself: byte budget and feeders."""
        return self._gateway

    def attach(self, feeder: Feeder) -> None:
        """Ask ``feeder`` for packs whenever a group forms."""
        self._gateway.attach(feeder)

    def _change(self, state: str, reason: str) -> None:
        before = self.health.state
        if before == state:
            if state == "down" and reason:
                self.health.reason = reason
            return
        self.health.state, self.health.reason, self.health.since = state, reason, now_us()
        if state == "up":
            logger.info("%s is connected", self.spec.id)
        else:
            logger.warning("%s is lost: %s", self.spec.id, reason)
        self._on_state(state == "up", reason)

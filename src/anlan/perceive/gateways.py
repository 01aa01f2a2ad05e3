"""Several gateways on one log: which connectors are whose, and what the site's own gateway knows of those at the edge.

A connector with the key ``gateway`` runs at that node alone, one without it at the site's own. The site's own answers
for all of them: it hears the others' health, says that a silent one's connectors are lost, and has dead letters run
again where they came from.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
from nats.aio.msg import Msg

from anlan.core import log
from anlan.core.actor import SYSTEM, Actor, Permission
from anlan.core.health import HealthReport
from anlan.perceive.model import ConnectorStatus, RunAgain
from anlan.perceive.records import Records
from anlan.plant.model import ConnectorSpec
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric

SILENT_S = 10.0
LOOK_S = 1.0
_PREFIX = "gateway-"

_decode = msgspec.json.Decoder(HealthReport).decode


def runs_here(spec: ConnectorSpec, settings: Settings) -> bool:
    """Return whether the gateway of the node with these settings runs the connector."""
    return spec.gateway == settings.node or (not spec.gateway and not settings.edge)


@dataclass(frozen=True, slots=True)
class _Heard:
    """When a gateway was last heard (seconds of the loop) and what it said of its connectors."""

    at: float
    connectors: dict[str, ConnectorStatus]


class OtherGateways:
    """What one gateway knows of the others, and how it reaches them.

    Args:
        records: says on the log that connectors are lost or back.
    """

    def __init__(self, fabric: Fabric, records: Records) -> None:
        self._fabric = fabric
        self._records = records
        self._heard: dict[str, _Heard] = {}
        self._lost: set[str] = set()
        self._began = asyncio.get_running_loop().time()

    async def listen(self) -> None:
        """Take the others' health from now on."""
        await self._fabric.client.subscribe(f"{log.HEALTH}.>", cb=self._take)

    async def _take(self, message: Msg) -> None:
        process = message.subject.removeprefix(f"{log.HEALTH}.")
        if not process.startswith(_PREFIX):
            return
        with contextlib.suppress(msgspec.MsgspecError):
            told = _decode(message.data).details.get("connectors", {})
            connectors = msgspec.convert(told, dict[str, ConnectorStatus])
            self._heard[process.removeprefix(_PREFIX)] = _Heard(asyncio.get_running_loop().time(), connectors)

    def statuses(self, elsewhere: Sequence[ConnectorSpec]) -> list[ConnectorStatus]:
        """Return state and counters of the connectors that others run, as those last said."""
        now = asyncio.get_running_loop().time()
        return [self._status(spec, now) for spec in elsewhere]

    def _status(self, spec: ConnectorSpec, now: float) -> ConnectorStatus:
        heard = self._heard.get(spec.gateway)
        told = heard.connectors.get(spec.id) if heard is not None else None
        if told is None:
            told = ConnectorStatus(spec.id, spec.kind, spec.name, points=len(spec.map))
        if self._is_silent(spec.gateway, now):
            return msgspec.structs.replace(told, state="down", reason=_silent(spec.gateway))
        return told

    def _is_silent(self, gateway: str, now: float) -> bool:
        heard = self._heard.get(gateway)
        return now - (self._began if heard is None else heard.at) > SILENT_S

    async def watch(self, elsewhere: Callable[[], Sequence[ConnectorSpec]]) -> None:
        """Say once that the connectors of a silent gateway are lost, and once that they are back."""
        while True:
            now = asyncio.get_running_loop().time()
            specs = elsewhere()
            self._lost &= {spec.id for spec in specs}
            for spec in specs:
                silent = self._is_silent(spec.gateway, now)
                if silent and spec.id not in self._lost:
                    self._lost.add(spec.id)
                    self._records.connector(spec.id, False, _silent(spec.gateway), 0)
                elif not silent and spec.id in self._lost:
                    self._back(spec, now)
            await asyncio.sleep(LOOK_S)

    def _back(self, spec: ConnectorSpec, now: float) -> None:
        self._lost.discard(spec.id)
        status = self._status(spec, now)
        # Still down: its own gateway has said so, or will.
        if status.state == "up":
            self._records.connector(spec.id, True, "", status.clock_offset_us)

    async def serve(self, run_again: Callable[[str, bytes, str], Awaitable[int]]) -> None:
        """Run letters of this node's connectors again when the site's own gateway asks."""

        async def answer(request: RunAgain, actor: Actor) -> int:
            actor.require(Permission.MEND_DEAD_LETTERS)
            return await run_again(request.connector, request.raw, request.source)

        await self._fabric.serve(_subject(self._fabric.settings.node), RunAgain, answer)

    async def run_again(self, gateway: str, connector: str, raw: bytes, source: str) -> int:
        """Have a letter run again at ``gateway`` and return the number of samples.

        Raises:
            UnavailableError: that gateway does not answer.
            DecodeError: the letter is still wrong.
        """
        request = RunAgain(connector, raw, source)
        return await self._fabric.call(_subject(gateway), request, SYSTEM, int, timeout=15)


def _subject(gateway: str) -> str:
    return f"perceive.run-again.{gateway}"


def _silent(gateway: str) -> str:
    return f"网关 {gateway} 无应答 gateway {gateway} is silent"

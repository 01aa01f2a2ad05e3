"""A small OPC UA server that tests of the connector and of discovery share."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from asyncua import Server, ua

from tests.conftest import free_port

START = {"PT401": 1.5, "TT401": 20.0, "XV401": True, "ARR": [1.0, 2.0, 3.0], "TXT": "hello"}


class Plant:
    """A small server in a thread of its own: pressure with history, temperature, a valve, an array, a text."""

    def __init__(self, prepare: Callable[[Server], Coroutine[Any, Any, None]] | None = None) -> None:
        self.port = free_port()
        self.server = Server()
        self.nodes: dict[str, Any] = {}
        self._prepare = prepare
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine where the server runs."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    async def _start(self) -> None:
        await self.server.init()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/")
        if self._prepare is not None:
            await self._prepare(self.server)
        await self.server.register_namespace("urn:test:plant")
        folder = await self.server.nodes.objects.add_folder(ua.NodeId("unit", 2), "2:unit")
        for name, value in START.items():
            self.nodes[name] = await folder.add_variable(ua.NodeId(name, 2), f"2:{name}", value)
        units = ua.EUInformation(DisplayName=ua.LocalizedText("MPa"))
        await self.nodes["PT401"].add_property(0, "EngineeringUnits", units)
        await self.server.historize_node_data_change(self.nodes["PT401"], period=None, count=10_000)
        await self.server.start()

    async def _stop(self) -> None:
        await self.server.stop()
        # The library leaves loops of sessions behind that were cut off.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def write(self, name: str, value: Any, status: int = 0, source: datetime.datetime | None = None) -> None:
        moment = source or datetime.datetime.now(datetime.UTC)
        variant = ua.Variant(value, ua.VariantType.Double if isinstance(value, float) else None)
        data = ua.DataValue(variant, ua.StatusCode(status), SourceTimestamp=moment, ServerTimestamp=moment)
        await self.call(self.nodes[name].write_value(data))

"""What connector tests share: a context that keeps everything it is given, and a TCP line that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from anlan.core.batch import SampleBatch
from anlan.core.errors import InvalidInputError
from anlan.perceive.connector import Connector
from anlan.plant.model import ConnectorSpec


class MemoryContext:
    """Fills the connector's context: keeps batches, states, dead letters and events in memory.

    With ``hold`` the futures of ``emit`` stay open until ``acknowledge`` is called, as when the log is away.
    """

    def __init__(self, spec: ConnectorSpec, *, secrets: dict[str, str] | None = None, hold: bool = False) -> None:
        self.spec = spec
        self.numbers = {path: number for number, path in enumerate(sorted(spec.map), start=1)}
        self.node = "test"
        self.details: dict[str, object] = {}
        self.hold = hold
        self.batches: list[SampleBatch] = []
        self.states: list[str] = []
        self.reasons: list[str] = []
        self.offsets: list[int] = []
        self.dead: list[tuple[bytes, Exception, str]] = []
        self.unknown: Counter[str] = Counter()
        self.events: list[tuple[str, str, int, dict[str, Any], str]] = []
        self._secrets = secrets or {}
        self._open: list[asyncio.Future[None]] = []
        self._changed = asyncio.Event()

    def emit(self, batch: SampleBatch, *, received: int | None = None) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.batches.append(batch)
        if self.hold:
            self._open.append(future)
        else:
            future.set_result(None)
        self._changed.set()
        return future

    def acknowledge(self) -> None:
        for future in self._open:
            if not future.done():
                future.set_result(None)
        self._open.clear()

    async def writable(self) -> None:
        await asyncio.sleep(0)

    def dead_letter(self, raw: bytes, reason: Exception, *, source: str = "") -> None:
        self.dead.append((raw, reason, source))
        self._changed.set()

    def unmapped(self, tag: str, count: int = 1) -> None:
        self.unknown[tag] += count
        self._changed.set()

    def up(self, *, clock_offset_us: int = 0) -> None:
        self.offsets.append(clock_offset_us)
        if not self.states or self.states[-1] != "up":
            self.states.append("up")
        self._changed.set()

    def down(self, reason: str) -> None:
        self.reasons.append(reason)
        if not self.states or self.states[-1] != "down":
            self.states.append("down")
        self._changed.set()

    def event(self, type_: str, subject: str, time: int, data: dict[str, Any], *, key: str) -> None:
        self.events.append((type_, subject, time, data, key))
        self._changed.set()

    def secret(self, name: str) -> str:
        if name not in self._secrets:
            raise InvalidInputError(f"there is no secret {name!r}", where=name, fix="set it")
        return self._secrets[name]

    # --- what tests ask -----------------------------------------------------------------------------------------

    @property
    def all(self) -> SampleBatch:
        """Everything emitted, in order."""
        return SampleBatch.concatenate(self.batches)

    def last(self) -> dict[str, tuple[float, int]]:
        """Value and quality of the newest sample of each point path."""
        paths = {number: path for path, number in self.numbers.items()}
        batch = self.all
        return {
            paths[int(point)]: (float(value), int(quality))
            for point, value, quality in zip(batch.point, batch.value, batch.quality, strict=True)
        }

    def values(self, path: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Values of one point in the order they came."""
        batch = self.all
        return batch.value[batch.point == self.numbers[path]]

    async def until(self, condition: Callable[[], bool], timeout: float = 15.0) -> None:
        """Wait until ``condition`` holds; fails the test when it does not in ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not condition():
            left = deadline - loop.time()
            assert left > 0, f"did not happen in {timeout} s: states {self.states}, {self.reasons[-2:]}"
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(left, 0.05))


@asynccontextmanager
async def running(connector: Connector) -> AsyncIterator[asyncio.Task[None]]:
    """Run a connector for the length of a block and end it as the gateway does: by cancelling."""
    task: asyncio.Task[None] = asyncio.ensure_future(connector.run())  # type: ignore[arg-type]  # run is a coroutine
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Line:
    """A TCP line to ``port`` that can be cut (open connections die, new ones are refused) and mended."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._pipe, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        self._writers.clear()
        await asyncio.sleep(0)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


@asynccontextmanager
async def line(port: int) -> AsyncIterator[Line]:
    """A mended line to ``port`` for the length of a block."""
    made = Line(port)
    await made.mend()
    try:
        yield made
    finally:
        await made.cut()


async def is_closed(reader: asyncio.StreamReader, timeout: float = 5.0) -> bool:
    """Whether the far end closes or resets the connection without a byte, within ``timeout`` seconds."""
    try:
        return await asyncio.wait_for(reader.read(1), timeout) == b""
    except OSError:
        return True

"""The gateway: group commit of everything the connectors emit, and what happens while the log is away or refuses.

While at most two appends are in flight, all that arrives meanwhile gathers; the next append takes it as one Arrow
message. There is no timer: a lone sample goes at once, a flood is shared out over few fsyncs by itself. Futures and
device acknowledgements are settled in the order of the groups, after the log's acknowledgement.

While the log is away, batches of sources that cannot wait rest in the on-disk buffer; devices that can (QoS 1) stay
unacknowledged and keep theirs. While the log refuses, every batch also goes out on a plain subject, so that alarms
ring.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable

import nats.errors
import numpy as np
from numpy.typing import NDArray

from anlan.core import log
from anlan.core.batch import BatchHeader, SampleBatch, encode
from anlan.core.errors import InvalidInputError, UnavailableError
from anlan.core.health import Health
from anlan.core.time import now_us
from anlan.perceive.appender import Appender, LogState
from anlan.perceive.buffer import Buffer, Lane, Record
from anlan.perceive.engine import UNKNOWN, PointTable, judge
from anlan.perceive.groups import Feeder, Group, Portion, Tally, completion, countdown, owned, runs_of
from anlan.store.fabric.client import Fabric

logger = logging.getLogger(__name__)

PACKS = 256
ROWS = 200_000
BUDGET = 32 << 20
RESUME = 24 << 20
ROW_BYTES = 21


class Gateway:
    """Takes portions, forms groups, appends them, settles.

    Args:
        fabric: this process's connection.
        health: counters and problems of this process.
        table: the plant's vectors; replaced as a whole by ``use``.
        buffer: on-disk store-and-forward.
        on_log_state: told when the log is lost, refuses or is back.
    """

    def __init__(
        self,
        fabric: Fabric,
        health: Health,
        table: PointTable,
        buffer: Buffer,
        on_log_state: Callable[[LogState, str], None] | None = None,
    ) -> None:
        self._fabric = fabric
        self._health = health
        self._table = table
        self._buffer = buffer
        self._tell_log_state = on_log_state
        self.appender = Appender(fabric, self._log_state)
        self._queue: deque[Portion] = deque()
        self._feeders: list[Feeder] = []
        self._held: deque[Group] = deque()
        self._order: deque[Group] = deque()
        self._spilled: dict[str, list[Callable[[Exception | None], None]]] = {}
        self._work = asyncio.Event()
        self._up = asyncio.Event()
        self._up.set()
        self._down = asyncio.Event()
        self._buffered = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._disk = asyncio.Lock()
        self._on_room: list[Callable[[bool], None]] = []
        self._bytes = 0
        self._counter = 0
        self._incarnation = f"{now_us():x}"
        if buffer.size:
            self._buffered.set()

    # --- what connectors use --------------------------------------------------------------------------------------

    def use(self, table: PointTable) -> None:
        """Judge from now on by these vectors; groups already formed keep theirs."""
        self._table = table

    def attach(self, feeder: Feeder) -> None:
        """Ask ``feeder`` too whenever a group forms."""
        self._feeders.append(feeder)

    def detach(self, feeder: Feeder) -> None:
        """Ask it no more."""
        if feeder in self._feeders:
            self._feeders.remove(feeder)

    def wake(self) -> None:
        """Say that a feeder has something."""
        self._work.set()

    def reserve(self, size: int) -> None:
        """Count ``size`` bytes held for devices against the budget."""
        self._bytes += size
        if self._bytes > BUDGET and self._room.is_set():
            self._room.clear()
            for tell in self._on_room:
                tell(False)

    def release(self, size: int) -> None:
        """Give back bytes of the budget."""
        self._bytes -= size
        if self._bytes < RESUME and not self._room.is_set():
            self._room.set()
            for tell in self._on_room:
                tell(True)

    @property
    def held_bytes(self) -> int:
        """Bytes held for devices at this moment."""
        return self._bytes

    @property
    def has_room(self) -> bool:
        """Whether devices may be read."""
        return self._room.is_set()

    async def writable(self) -> None:
        """Return when the byte budget has room."""
        await self._room.wait()

    def on_room(self, tell: Callable[[bool], None]) -> Callable[[], None]:
        """Call ``tell`` whenever the budget fills or has room again; return what ends that."""
        self._on_room.append(tell)
        return lambda: self._on_room.remove(tell)

    def emit(self, tally: Tally, batch: SampleBatch, received: int, bufferable: bool) -> asyncio.Future[None]:
        """Queue a batch; the future is done after the log has acknowledged all of it.

        Raises:
            InvalidInputError: the columns differ in length.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        rows = len(batch.point)
        if not len(batch.time) == len(batch.value) == len(batch.quality) == rows:
            raise InvalidInputError("columns of a batch differ in length", where=tally.connector)
        if rows == 0:
            future.set_result(None)
            return future
        pieces = [slice(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS)]
        done = completion(future, len(pieces))
        for piece in pieces:
            part = SampleBatch(
                np.asarray(batch.point[piece], np.int32),
                np.asarray(batch.time[piece], np.int64),
                np.asarray(batch.value[piece], np.float64),
                np.asarray(batch.quality[piece], np.uint8),
            )
            size = len(part) * ROW_BYTES + 64
            self.reserve(size)
            self._queue.append(Portion(tally, part, received, size, done, bufferable=bufferable))
        self._work.set()
        return future

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit())
            tasks.create_task(self._commit())
            tasks.create_task(self._spill())
            tasks.create_task(self._drain())

    async def flush(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds until everything taken is in the log."""
        deadline = asyncio.get_running_loop().time() + timeout
        while asyncio.get_running_loop().time() < deadline and self.appender.state is LogState.UP:
            if not self._queue and not self._order and not self._held:
                return
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Put what may rest on disk there; call after ``run`` was cancelled."""
        records = [
            (Lane.PRIORITY, Record(group.id, group.samples, group.message))
            for group in self._order
            if not group.acked and not group.copied and any(portion.bufferable for portion in group.portions)
        ]
        waiting = [portion for portion in self._queue if portion.bufferable]
        if waiting and (group := self._form(waiting)).samples:
            records.append((Lane.PRIORITY, Record(group.id, group.samples, group.message)))
        if records:
            await asyncio.to_thread(self._buffer.append, records)
        await asyncio.to_thread(self._buffer.close)

    def counters(self) -> dict[str, float]:
        """Return the counters for system health."""
        return {
            "appends": self.appender.appended,
            "append_retries": self.appender.refused,
            "held_bytes": self._bytes,
            "buffer_bytes": self._buffer.size,
            "buffer_dropped_samples": self._buffer.dropped,
            "buffer_damaged_segments": self._buffer.damaged,
        }

    # --- group commit ---------------------------------------------------------------------------------------------

    async def _commit(self) -> None:
        while True:
            await self._up.wait()
            if self._held:
                await self._append(self._held.popleft())
                continue
            await self._work.wait()
            if not self._up.is_set():
                continue
            portions = self._gather(bufferable_only=False)
            if not portions:
                continue
            group = self._form(portions)
            self._order.append(group)
            if group.acked:
                self._settle()
            else:
                await self._append(group)

    def _gather(self, *, bufferable_only: bool) -> list[Portion]:
        portions: list[Portion] = []
        packs, rows = 0, 0
        kept: list[Portion] = []
        while self._queue and packs < PACKS and rows < ROWS:
            portion = self._queue.popleft()
            if bufferable_only and not portion.bufferable:
                kept.append(portion)
                continue
            portions.append(portion)
            packs += portion.packs
            rows += len(portion.batch)
        self._queue.extendleft(reversed(kept))
        for _ in range(len(self._feeders)):
            if packs >= PACKS or rows >= ROWS:
                break
            feeder = self._feeders.pop(0)
            self._feeders.append(feeder)
            for portion in feeder.take(PACKS - packs, bufferable_only):
                portions.append(portion)
                packs += portion.packs
                rows += len(portion.batch)
        if not portions:
            self._work.clear()
        return portions

    def _form(self, portions: list[Portion]) -> Group:
        """Judge the portions together and encode them; a group without a sample left needs no append."""
        now = now_us()
        batch = SampleBatch.concatenate([portion.batch for portion in portions])
        if len(portions) == 1:
            batch = owned(batch)
        lengths = np.fromiter((len(portion.batch) for portion in portions), np.int64, len(portions))
        starts = np.zeros(len(portions) + 1, np.int64)
        np.cumsum(lengths, out=starts[1:])
        received = np.fromiter((portion.received for portion in portions), np.int64, len(portions))
        table = self._table
        judgement = judge(batch, starts, received, table)
        self._count(portions, judgement.counts, judgement.newest, received, now)
        if judgement.counts[:, UNKNOWN].any():
            known = (batch.point >= 0) & (batch.point < len(table.known))
            known[known] = table.known[batch.point[known]]
            lengths = np.add.reduceat(np.append(known, False), starts[:-1]) * (lengths > 0)
            batch = batch.take(known)
        runs = runs_of(portions, lengths)
        if not len(batch):
            return Group("", b"", 0, portions, acked=True)
        self._counter += 1
        header = BatchHeader(self._fabric.settings.node, now, table.revision, runs)
        identity = f"gateway-{self._fabric.settings.node}-{self._incarnation}-{self._counter}"
        return Group(identity, encode(batch, header), len(batch), portions)

    def _count(
        self,
        portions: list[Portion],
        counts: NDArray[np.int64],
        newest: NDArray[np.int64],
        received: NDArray[np.int64],
        now: int,
    ) -> None:
        for row, portion in enumerate(portions):
            tally = portion.tally
            tally.counts += counts[row]
            tally.messages += portion.packs
            tally.last_seen = now
            if newest[row]:
                tally.newest_offset = max(tally.newest_offset, int(newest[row] - received[row]))

    async def _append(self, group: Group) -> None:
        await self.appender.append(log.SAMPLES, group.message, group.id)
        self._health.count("samples", group.samples)
        group.acked = True
        self._settle()

    def _settle(self) -> None:
        # In the order of the groups: a device's acknowledgements must follow the order of its messages.
        while self._order and self._order[0].acked:
            self._finish(self._order.popleft().portions, None)

    def _finish(self, portions: Iterable[Portion], problem: Exception | None) -> None:
        for portion in portions:
            self.release(portion.size)
            portion.done(problem)

    # --- the log is away or refuses -------------------------------------------------------------------------------

    def _log_state(self, state: LogState, reason: str) -> None:
        if state is LogState.UP:
            self._health.problems.pop("log", None)
            self._up.set()
            self._down.clear()
            if self._buffer.size:
                self._buffered.set()
        else:
            text = "日志不可达，数据暂存本地 the log is away, batches rest on disk"
            if state is LogState.REFUSING:
                text = "日志拒绝写入，报警走旁路 the log refuses appends, alarms get batches unlogged"
            self._health.problems["log"] = f"{text}: {reason}"
            self._up.clear()
            self._down.set()
        self._work.set()
        if self._tell_log_state is not None:
            self._tell_log_state(state, reason)

    async def _spill(self) -> None:
        while True:
            await self._down.wait()
            refusing = self.appender.state is LogState.REFUSING
            for group in list(self._order):
                await self._ring_unlogged(group)
            await self._copy_waiting()
            portions = self._gather(bufferable_only=not refusing)
            if not portions:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._work.wait(), 0.2)
                if not refusing and self._work.is_set():
                    # What is left waits for the log; look again only after a while.
                    await asyncio.sleep(0.05)
                continue
            await self._put_aside(portions)

    async def _copy_waiting(self) -> None:
        """Copy groups that were under way to the disk: they are tried again from memory, but must outlive a crash."""
        groups = [
            group
            for group in self._order
            if not group.copied and not group.acked and any(portion.bufferable for portion in group.portions)
        ]
        for group in groups:
            group.copied = True
        if groups:
            await self._store([(Lane.PRIORITY, Record(group.id, group.samples, group.message)) for group in groups])

    async def _put_aside(self, portions: list[Portion]) -> None:
        waiting = [portion for portion in portions if not portion.bufferable]
        if waiting:
            group = self._form(waiting)
            self._order.append(group)
            if group.samples:
                self._held.append(group)
                await self._ring_unlogged(group)
            self._settle()
        resting = [portion for portion in portions if portion.bufferable]
        if not resting:
            return
        records: list[tuple[Lane, Record]] = []
        empty = [portion for portion in resting if not len(portion.batch)]
        for portion in empty:
            portion.done(None)
        for lane, part in self._by_lane(resting):
            group = self._form(part)
            if not group.samples:
                self._finish(part, None)
                continue
            await self._ring_unlogged(group)
            records.append((lane, Record(group.id, group.samples, group.message)))
            self._spilled[group.id] = [portion.done for portion in part]
        for portion in resting:
            self.release(portion.size)
        await self._store(records)

    async def _store(self, records: list[tuple[Lane, Record]]) -> None:
        while True:
            try:
                async with self._disk:
                    given_up = await asyncio.to_thread(self._buffer.append, records)
            except OSError as error:
                self._health.problems["buffer"] = f"暂存盘写入失败 the on-disk buffer cannot be written: {error}"
                await asyncio.sleep(1.0)
                continue
            self._health.problems.pop("buffer", None)
            break
        self._buffered.set()
        for record in given_up:
            self._health.problems["buffer-full"] = (
                f"暂存盘已满，丢弃 {self._buffer.dropped} 个样本 the buffer is full, "
                f"{self._buffer.dropped} samples were given up"
            )
            for done in self._spilled.pop(record.id, ()):
                done(UnavailableError("the on-disk buffer was full", where="buffer"))

    def _by_lane(self, portions: list[Portion]) -> list[tuple[Lane, list[Portion]]]:
        """Split portions so that rows of points with alarms go first when the log is back."""
        lanes: dict[Lane, list[Portion]] = {Lane.PRIORITY: [], Lane.NORMAL: []}
        alarmed = self._table.alarmed
        for portion in portions:
            point = portion.batch.point
            inside = (point >= 0) & (point < len(alarmed))
            urgent = inside & alarmed[np.where(inside, point, 0)]
            parts = [(lane, mask) for lane, mask in ((Lane.PRIORITY, urgent), (Lane.NORMAL, ~urgent)) if mask.any()]
            done = countdown(portion.done, len(parts))
            for order, (lane, mask) in enumerate(parts):
                packs = portion.packs if order == 0 else 0
                lanes[lane].append(
                    Portion(portion.tally, portion.batch.take(mask), portion.received, 0, done, packs=packs)
                )
        return [(lane, part) for lane, part in lanes.items() if part]

    async def _ring_unlogged(self, group: Group) -> None:
        if group.unlogged or self.appender.state is not LogState.REFUSING:
            return
        group.unlogged = True
        self._health.count("unlogged_batches")
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._fabric.client.publish(log.UNLOGGED, group.message)

    async def _drain(self) -> None:
        while True:
            await self._buffered.wait()
            await self._up.wait()
            async with self._disk:
                path = await asyncio.to_thread(self._buffer.oldest)
                records = await asyncio.to_thread(self._buffer.read, path) if path is not None else []
            if path is None:
                if self.appender.state is not LogState.UP:
                    continue
                self._buffered.clear()
                self._health.problems.pop("buffer-full", None)
                continue
            for record in records:
                await self.appender.append(log.SAMPLES, record.message, record.id)
                self._health.count("samples", record.samples)
                self._health.count("buffer_drained_samples", record.samples)
                for done in self._spilled.pop(record.id, ()):
                    done(None)
            async with self._disk:
                await asyncio.to_thread(self._buffer.remove, path)

"""Account of a kill test: the log against the historian bit for bit, the events against an undisturbed evaluation."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from anlan.cli.trial_node import TrialNode, stored_events
from anlan.core import log
from anlan.core.batch import SampleBatch, decode
from anlan.core.errors import AnlanError
from anlan.core.events import Event
from anlan.monitor.engine import Engine
from anlan.plant.model import Plant, SiteInfo, decode_plant
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.log import LogMessage, LogReader
from anlan.store.historian.requests import TransitionQuery

_TIME_BITS = np.uint64(51)
_EVER = (0, (1 << 51) - 1)
ALARM_EVENTS = "alarm."


@dataclass
class Log:
    """The whole log as read back, and every plant it names."""

    messages: list[LogMessage] = field(default_factory=list)
    batches: dict[int, tuple[SampleBatch, Any]] = field(default_factory=dict)
    plants: dict[str, Plant] = field(default_factory=dict)
    samples: SampleBatch = field(default_factory=SampleBatch.empty)
    copies: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))


def keys_of(point: NDArray[Any], time: NDArray[Any]) -> NDArray[np.uint64]:
    """Return one sortable key per (point, time)."""
    return np.asarray((point.astype(np.uint64) << _TIME_BITS) | time.astype(np.uint64))


async def read_log(fabric: Fabric) -> Log:
    """Read the log from its first record; ``copies`` marks rows that repeat an earlier one bit for bit."""
    whole = Log()
    reader = LogReader(fabric, start=1)
    last = await reader.last_sequence()
    async for messages in reader.batches(1000):
        whole.messages += messages
        for message in messages:
            if message.subject == log.SAMPLES:
                whole.batches[message.sequence] = decode(message.data)
            elif message.subject == log.CONFIG:
                record = log.decode(message.subject, message.data)
                assert isinstance(record, log.ConfigRecord)
                whole.plants[record.revision] = decode_plant(await fabric.get_config(record.revision))
        if messages and messages[-1].sequence >= last:
            break
    if reader.lost:
        raise AnlanError(f"{reader.lost} records of the log are gone", where="LOG")
    samples = SampleBatch.concatenate([batch for batch, _ in whole.batches.values()])
    whole.samples = samples
    whole.copies = _copies(samples)
    return whole


def _copies(samples: SampleBatch) -> NDArray[np.bool_]:
    columns = (keys_of(samples.point, samples.time), samples.value.view(np.uint64), samples.quality)
    order = np.lexsort(columns[::-1])
    same = np.ones(max(len(order) - 1, 0), bool)
    for column in columns:
        same &= column[order][1:] == column[order][:-1]
    copies = np.zeros(len(order), bool)
    copies[order[1:]] = same
    return copies


# --- samples ----------------------------------------------------------------------------------------------------------


def last_of_each(samples: SampleBatch) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint8]]:
    """Return the distinct keys in order with the bits of the value and the quality that came last."""
    keys = keys_of(samples.point, samples.time)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    last = np.append(keys[1:] != keys[:-1], True) if len(keys) else np.empty(0, bool)
    return keys[last], samples.value.view(np.uint64)[order][last], samples.quality[order][last]


async def compare_samples(node: TrialNode, whole: Log) -> dict[str, int]:
    """Compare every sample of the log with what the historian answers."""
    numbers = np.unique(whole.samples.point)
    table = await node.series(tuple(int(number) for number in numbers), *_EVER)
    table = table.combine_chunks()
    columns = {name: table[name].to_numpy() for name in ("point", "time", "value", "quality")}
    stored = SampleBatch(
        columns["point"].astype(np.int32),
        columns["time"].astype(np.int64),
        columns["value"].astype(np.float64),
        columns["quality"].astype(np.uint8),
    )
    keys, bits, quality = last_of_each(whole.samples)
    there, there_bits, there_quality = last_of_each(stored)
    _, mine, theirs = np.intersect1d(keys, there, assume_unique=True, return_indices=True)
    same = (bits[mine] == there_bits[theirs]) & (quality[mine] == there_quality[theirs])
    return {
        "on_log": len(keys),
        "repeats_on_log": int(whole.copies.sum()),
        "stored": len(stored),
        "lost": len(keys) - len(mine),
        "duplicated": len(stored) - len(there),
        "altered": int((~same).sum()),
        "extra": len(there) - len(theirs),
    }


def compare_acked(whole: Log, point: NDArray[np.int64], time: NDArray[np.int64], value: NDArray[np.float64]) -> int:
    """Return how many acknowledged samples the log does not hold with exactly their value."""
    keys, bits, _ = last_of_each(whole.samples)
    wanted = keys_of(point, time)
    at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    if not len(keys):
        return len(wanted)
    return int((~((keys[at] == wanted) & (bits[at] == value.view(np.uint64)))).sum())


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """Alarm events of the event log and ids of the journal, read when ``evaluated`` was the last record evaluated."""

    evaluated: int
    events: list[Event]
    journal: list[str]


async def read_events(node: TrialNode) -> Told:
    """Read what the alarm service has told; call before ``read_log``, as the node goes on writing meanwhile."""
    evaluated = (await node.monitor_status()).sequence
    await asyncio.sleep(1)  # the events of that record are on their way
    events = await stored_events(node.fabric)
    await _journalled(node, len(events))
    journal = (await node.historian.transitions(TransitionQuery(*_EVER)))["id"].to_pylist()
    own = [event for event in events if event.type.startswith(ALARM_EVENTS) and event.source == node.settings.node]
    return Told(evaluated, own, journal)


async def _journalled(node: TrialNode, events: int, timeout: float = 60.0) -> None:
    """Return once the historian's journal holds as many events."""
    deadline = time.monotonic() + timeout
    while (await node.historian.status()).events < events:
        if time.monotonic() > deadline:
            return  # the comparison tells what is missing
        await asyncio.sleep(0.25)
    await asyncio.sleep(1)


def undisturbed(whole: Log, node: str, *, without_copies: bool = False) -> list[tuple[int, Event]]:
    """Return record and event of one evaluation of the log from its beginning, in this process.

    Args:
        whole: the log.
        node: id of the node.
        without_copies: leave out what kills made appear twice: repeated rows and repeated records.
    """
    engine = Engine(Plant(SiteInfo("", "")), node)
    events: list[tuple[int, Event]] = []
    seen: set[tuple[str, bytes]] = set()
    row = 0
    for message in whole.messages:
        mark = (message.subject, message.data)
        made: list[Event] = []
        if message.subject == log.SAMPLES:
            batch, header = whole.batches[message.sequence]
            copies = whole.copies[row : row + len(batch)]
            row += len(batch)
            if without_copies and copies.any():
                batch = batch.take(~copies)
            made = engine.samples(batch, header, message.sequence)
        elif not without_copies or mark not in seen:
            # A record nobody can read is skipped, as the alarm service does.
            with contextlib.suppress(AnlanError, msgspec.MsgspecError, KeyError):
                made = _record(engine, whole, message)
        seen.add(mark)
        events += [(message.sequence, event) for event in made]
    return events


def _record(engine: Engine, whole: Log, message: LogMessage) -> list[Event]:
    record = log.decode(message.subject, message.data)
    if isinstance(record, log.Tick):
        return engine.tick(record, message.sequence)
    if isinstance(record, log.Command):
        return engine.command(record, message.sequence).events
    if isinstance(record, log.ConnectorRecord):
        return engine.connector(record, message.sequence)
    return engine.config(whole.plants[record.revision], record.revision, record.time, message.sequence)


def _gist(event: Event) -> tuple[Any, ...]:
    return event.subject, event.data.get("arrow"), event.data.get("state"), event.time


async def compare_events(node: TrialNode, whole: Log, told: Told) -> dict[str, Any]:
    """Compare the alarm events of the event log and of the historian's journal with an undisturbed evaluation."""
    name = node.settings.node
    expected = await asyncio.to_thread(undisturbed, whole, name)
    clean = await asyncio.to_thread(undisturbed, whole, name, without_copies=True)
    place = {event.id: number for number, (_, event) in enumerate(expected)}
    ids = Counter(event.id for event in told.events)
    due = [event for sequence, event in expected if sequence <= told.evaluated]
    missing = [event for event in due if event.id not in ids]
    extra = [event for event in told.events if event.id not in place]
    by_id = {event.id: event for _, event in expected}
    changed = [e for e in told.events if e.id in by_id and _gist(e) != _gist(by_id[e.id])]
    order = [place[event.id] for event in told.events if event.id in place]
    behind = sum(position < highest for position, highest in zip(order[1:], np.maximum.accumulate(order), strict=False))
    return {
        "events": len(due),
        "events_missing": len(missing),
        "events_extra": len(extra),
        "events_twice": sum(count - 1 for count in ids.values()),
        "events_changed": len(changed),
        "events_out_of_order": int(behind),
        "events_by_repeats": _differences(told, clean),
        "events_by_arrow": dict(sorted(Counter(str(e.data.get("arrow", "flood")) for e in due).items())),
        "commands": sum(message.subject == log.COMMAND for message in whole.messages),
        "journal": _journal(told, {e.id for e in due if "arrow" in e.data}, set(place)),
        "first_differences": [_shown(e) for e in (*missing[:3], *extra[:3], *changed[:3])],
    }


def _differences(told: Told, clean: list[tuple[int, Event]]) -> int:
    """Return how many transitions were told that a log without repeats does not make, or the other way round."""
    once = Counter(_gist(event) for event in told.events)
    every = Counter(_gist(event) for _, event in clean)
    due = Counter(_gist(event) for sequence, event in clean if sequence <= told.evaluated)
    return (once - every).total() + (due - once).total()


def _journal(told: Told, due: set[str], expected: set[str]) -> dict[str, int]:
    found = set(told.journal)
    return {
        "missing": len(due - found),
        "extra": len(found - expected),
        "twice": len(told.journal) - len(found),
    }


def _shown(event: Event) -> str:
    arrow, state, sequence = (event.data.get(key) for key in ("arrow", "state", "sequence"))
    return f"{event.id} {event.subject} {arrow} {state} at {event.time} by record {sequence}"

"""Runs every decoder, writer and kernel of the alarm path once, so that the first alarm does not wait for them."""

from __future__ import annotations

import msgspec
import numpy as np

from anlan.core import log
from anlan.core.actor import SYSTEM
from anlan.core.batch import BatchHeader, SampleBatch, decode, encode
from anlan.core.events import decode_event, encode_event
from anlan.core.time import SECOND
from anlan.monitor.desk import last_values, list_alarms, visible_values
from anlan.monitor.engine import Engine, Snapshot
from anlan.monitor.model import ListAlarms
from anlan.plant.model import AlarmDefinition, ConnectorSpec, Plant, Point, SiteInfo, decode_plant, encode_plant

_START = 1_700_000_000 * SECOND


def _plant() -> Plant:
    points = tuple(Point(n, f"w/a/u/p{n}", "level", "m", stale_after=SECOND, connector="w") for n in (1, 2))
    expression = "'w/a/u/p1' > 5 and 'w/a/u/p2' >= 0"
    alarms = (
        AlarmDefinition("w/a/u/p1.HH", 1, "HH", 1, limit=20.0),
        AlarmDefinition("w/a/u/p1.H", 1, "H", 2, limit=10.0, on_delay=SECOND, covered_by=("w/a/u/p1.HH",)),
        AlarmDefinition("w/a/u/p1.stale", 1, "stale", 3),
        AlarmDefinition("w/a/u/p1.bad-quality", 1, "bad-quality", 4),
        AlarmDefinition("w/a/u/p1.rate", 1, "rate", 3, limit=1.0),
        AlarmDefinition("w/a/u/p1.deviation", 1, "deviation", 3, limit=1.0, other=2),
        AlarmDefinition("w/a/u/p2.state", 2, "state", 3, states=(7,)),
        AlarmDefinition("w/a/u/p2.vote", 2, "vote", 3, limit=5.0, inputs=(1, 2), needed=1),
        AlarmDefinition("w/a/u/p2.expression", 2, "expression", 3, expression=expression, enable=expression),
    )
    return Plant(SiteInfo("w", "w"), points=points, alarms=alarms, connectors=(ConnectorSpec("w", "replay"),))


def warm_up(engine: Engine) -> int:
    """Drive a small engine through every kind of record and answer; return how many events it made.

    ``engine`` is only read.
    """
    plant = decode_plant(encode_plant(_plant()))
    small = Engine(Plant(SiteInfo("w", "w")), "warm-up")
    count = len(small.config(plant, "w", _START, 1))
    for at, value in enumerate((1.0, 7.0, 25.0, float("nan"), 2.0, 30.0)):
        time = _START + (at + 1) * 2 * SECOND
        batch = SampleBatch(
            np.array([1, 2], np.int32), np.array([time, time]), np.array([value, value]), np.zeros(2, np.uint8)
        )
        read, header = decode(encode(batch, BatchHeader("warm-up", time)))
        events = small.samples(read, header, 10 * at)
        for tick in range(3):
            moment = time + tick * 500_000
            events += small.tick(log.Tick(moment), 10 * at + tick + 1)
        events += small.connector(log.ConnectorRecord(time, "w", bool(at % 2)), 10 * at + 4)
        command = log.Command("c", time, "acknowledge", "w/a/u/p1.HH", SYSTEM, small.instances[0])
        record = log.decode(log.COMMAND, log.encode(command))
        assert isinstance(record, log.Command)
        events += small.command(record, 10 * at + 5).events
        count += sum(decode_event(encode_event(event)).time > 0 for event in events)
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(small.snapshot()), type=Snapshot)
    Engine.restore(plant, stored).copy()
    msgspec.json.encode(list_alarms(small, ListAlarms("all"), SYSTEM))
    visible_values(small, "", SYSTEM)
    last_values(engine)
    msgspec.msgpack.encode(engine.snapshot())
    return count

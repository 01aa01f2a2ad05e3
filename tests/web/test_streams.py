"""Server-sent events: frames of values within one's places, alarm transitions with resume, slow clients."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from anlan.core.actor import Actor, Grant, Role
from anlan.core.batch import SampleBatch
from anlan.core.events import Event, EventType
from anlan.core.health import Health
from anlan.core.ids import new_ulid
from anlan.core.time import now_us
from anlan.web.sse import QUEUE, ValueFeed
from anlan.web.watch import LastValues, PlantWatch
from tests.web.node import WebNode
from tests.web.plant import HAIAN, LINGANG, make_plant


@dataclass
class Frame:
    """One server-sent event as a client sees it."""

    event: str
    data: Any
    id: str


@contextmanager
def frames(web: WebNode, who: str, path: str, headers: dict[str, str] | None = None) -> Iterator[Iterator[Frame]]:
    with web.client(who) as client, client.stream("GET", f"/api/v1/stream/{path}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _parse(answer.iter_lines())


def _parse(lines: Iterator[str]) -> Iterator[Frame]:
    fields: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "event" in fields:
            yield Frame(fields["event"], json.loads(fields["data"]), fields.get("id", ""))
            fields = {}


def transition(alarm: str) -> Event:
    now = now_us()
    data = {"alarm": alarm, "arrow": "raise", "state": "unacknowledged", "before": "normal", "priority": 1}
    return Event(new_ulid(now), EventType.ALARM, "test", now, alarm, data=data)


def raise_alarms(web: WebNode, *alarms: str) -> list[str]:
    events = [transition(alarm) for alarm in alarms]
    for event in events:
        web.run(web.fabric.publish_event(event))
    return [event.id for event in events]


# --- values ---


def test_values_begin_with_points_and_a_full_frame_then_what_changed(web: WebNode) -> None:
    with frames(web, "engineer", "values") as stream:
        points, full = next(stream), next(stream)
        web.run(web.send_values({1: (1.25, 0), 6: (float("inf"), 0x41)}))
        delta = next(stream)
    assert [frame.event for frame in (points, full, delta)] == ["points", "full", "delta"]
    assert points.data["points"]["1"] == f"{HAIAN}/pressure"
    assert len(full.data["values"]) == 8
    assert [[row[0], row[2], row[3]] for row in delta.data["values"]] == [[1, 1.25, 0], [6, None, 0x41]]


def test_values_hold_nothing_outside_ones_places(web: WebNode) -> None:
    with frames(web, "operator", "values") as stream:
        points, full = next(stream), next(stream)
        web.run(web.send_values({1: (1.5, 0), 6: (10.0, 0)}))
        delta = next(stream)
    assert all(path.startswith("haian/") for path in points.data["points"].values())
    assert {row[0] for row in full.data["values"]} == {1, 2, 3, 4, 5}
    assert [row[0] for row in delta.data["values"]] == [1]


class _Bench:
    """A feed without a fabric, fed by hand."""

    def __init__(self) -> None:
        self.plant = PlantWatch(None, Health("web"))  # type: ignore[arg-type]  # nothing is sent in these tests
        self.values = LastValues(None, Health("web"), self.plant)  # type: ignore[arg-type]  # as above
        self.feed = ValueFeed(self.values, self.plant)
        self.plant.put(make_plant(), "r1")

    def send(self, value: float) -> None:
        one = np.ones(1, np.int32)
        self.values.take(SampleBatch(one, one.astype(np.int64) * now_us(), np.array([value]), np.zeros(1, np.uint8)))


async def _good() -> bool:
    return True


async def test_a_slow_client_loses_old_frames_and_gets_a_full_one() -> None:
    bench = _Bench()
    stream = bench.feed.stream(Actor("a", grants=(Grant(Role.ENGINEER),)), _good)
    for _ in range(3):
        await anext(stream)
    for number in range(QUEUE * 5):
        bench.send(float(number))
    after = await anext(stream)
    assert after.startswith(b"event: full\n")
    assert b"[1," in after
    assert f",{QUEUE * 5 - 1}.0,".encode() in after
    assert bench.feed.dropped >= QUEUE
    bench.send(99.0)
    assert (await anext(stream)).startswith(b"event: delta\n")


async def test_clients_of_the_same_places_share_one_serialised_frame() -> None:
    bench = _Bench()
    actors = [Actor("a", grants=(Grant(Role.ENGINEER),)), Actor("b", grants=(Grant(Role.AUDITOR),))]
    streams = [bench.feed.stream(actor, _good) for actor in actors]
    for stream in streams:
        for _ in range(3):
            await anext(stream)
    bench.send(7.0)
    first, second = [await anext(stream) for stream in streams]
    assert first is second


async def test_a_new_plant_starts_the_frames_over() -> None:
    bench = _Bench()
    stream = bench.feed.stream(Actor("a", grants=(Grant(Role.ENGINEER),)), _good)
    for _ in range(3):
        await anext(stream)
    bench.plant.put(make_plant(), "r2")
    bench.send(1.0)
    assert (await anext(stream)).startswith(b"event: points\n")
    assert (await anext(stream)).startswith(b"event: full\n")


async def test_a_stream_ends_when_the_process_stops() -> None:
    bench = _Bench()
    stream = bench.feed.stream(Actor("a", grants=(Grant(Role.ENGINEER),)), _good)
    for _ in range(3):
        await anext(stream)
    bench.feed.close()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


# --- alarms ---


def test_every_transition_comes_as_it_happens(web: WebNode) -> None:
    with frames(web, "engineer", "alarms") as stream:
        assert next(stream).event == "position"
        ids = raise_alarms(web, f"{HAIAN}/pressure.HH", f"{LINGANG}/speed.H")
        seen = [next(stream), next(stream)]
    assert [frame.data["id"] for frame in seen] == ids
    assert int(seen[1].id) > int(seen[0].id)


def test_transitions_outside_ones_places_are_not_sent(web: WebNode) -> None:
    with frames(web, "operator", "alarms") as stream:
        next(stream)
        ids = raise_alarms(web, f"{LINGANG}/speed.H", f"{LINGANG}/gone/x.stale", f"{HAIAN}/pressure.H")
        assert next(stream).data["id"] == ids[2]


@pytest.mark.parametrize("by", ["header", "query"])
def test_a_client_that_was_away_gets_what_it_missed_once_and_in_order(web: WebNode, by: str) -> None:
    with frames(web, "engineer", "alarms") as stream:
        next(stream)
        raise_alarms(web, f"{HAIAN}/pressure.HH")
        last = next(stream).id
    missed = raise_alarms(web, *[f"{HAIAN}/pressure.H"] * 5)
    path, headers = ("alarms", {"Last-Event-ID": last}) if by == "header" else (f"alarms?after={last}", {})
    with frames(web, "engineer", path, headers) as stream:
        assert next(stream).id == last
        again = [next(stream).data["id"] for _ in missed]
        new = raise_alarms(web, f"{HAIAN}/pressure.HH")
        assert next(stream).data["id"] == new[0]
    assert again == missed


def test_what_the_ring_no_longer_holds_is_read_from_the_stream(web: WebNode) -> None:
    first = raise_alarms(web, *[f"{HAIAN}/pressure.H"] * 3)
    feed = web.context.alarm_feed
    with frames(web, "engineer", "alarms?after=1") as stream:
        next(stream)
        everything = [next(stream).data["id"] for _ in range(3)]

    def forget() -> None:
        feed.floor = feed.sequence
        feed._ring.clear()

    deadline = time.monotonic() + 5
    while feed._ring[-1].event.id != first[-1] and time.monotonic() < deadline:
        time.sleep(0.01)
    web.call(forget)
    with frames(web, "engineer", "alarms?after=1") as stream:
        next(stream)
        again = [next(stream).data["id"] for _ in range(3)]
        new = raise_alarms(web, f"{HAIAN}/pressure.HH")
        rest = []
        while not rest or rest[-1] != new[0]:
            rest.append(next(stream).data["id"])
    assert again == everything
    assert len(set(again + rest)) == len(again + rest)
    assert set(first) <= set(again + rest)


@pytest.mark.parametrize("identifier", ["x", "-1", "1e3", "9" * 20, "٣"])
def test_an_id_that_is_none_of_the_stream_is_refused(web: WebNode, identifier: str) -> None:
    with web.client("engineer") as client:
        answer = client.get("/api/v1/stream/alarms", params={"after": identifier})
    assert answer.status_code == 422


def test_too_many_streams_of_one_person_are_refused(web: WebNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anlan.web.sse.MOST_OF_ONE", 1)
    with frames(web, "auditor", "alarms") as stream:
        next(stream)
        with web.client("auditor") as client:
            refused = client.get("/api/v1/stream/alarms")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0

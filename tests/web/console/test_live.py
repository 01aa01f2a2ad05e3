"""The live socket refuses strangers; the hub sends a full frame, then deltas, and drops the oldest for slow pages."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from anlan.web.live import frame, hub
from anlan.web.live.frame import AlarmBook
from anlan.web.live.model import Standing
from tests.web.console.conftest import Console
from tests.web.console.ui_entry import PASSWORD


def sign_in(console: Console, who: str) -> str:
    body = json.dumps({"login": who, "password": PASSWORD}).encode()
    headers = {"content-type": "application/json", "origin": console.url}
    request = urllib.request.Request(f"{console.url}/api/v1/session", body, headers)
    with urllib.request.urlopen(request) as answer:
        return str(answer.headers["set-cookie"]).partition(";")[0]


async def frames(console: Console, cookie: str, count: int, want: list[int]) -> list[dict[str, object]]:
    headers = {"Cookie": cookie}
    async with connect(f"{console.socket}/console/live", additional_headers=headers, origin=console.url) as socket:
        await socket.send(json.dumps({"want": want}))
        return [json.loads(await asyncio.wait_for(socket.recv(), 10)) for _ in range(count)]


async def refused(console: Console, cookie: str, origin: str | None) -> bool:
    headers = {"Cookie": cookie} if cookie else {}
    try:
        async with connect(f"{console.socket}/console/live", additional_headers=headers, origin=origin) as socket:  # type: ignore[arg-type]  # any text
            await asyncio.wait_for(socket.recv(), 5)
    except (InvalidStatus, ConnectionClosed):
        return True
    return False


@pytest.mark.parametrize("origin", ["http://evil.example", "null", None])
async def test_a_page_of_another_origin_gets_no_frame(console: Console, origin: str | None) -> None:
    assert await refused(console, await asyncio.to_thread(sign_in, console, "wang"), origin)


async def test_an_anonymous_client_and_an_ended_session_get_no_frame(console: Console) -> None:
    assert await refused(console, "", console.url)
    assert await refused(console, "anlan_session=made-up", console.url)


async def test_a_full_frame_comes_first_and_then_small_deltas(console: Console) -> None:
    cookie = await asyncio.to_thread(sign_in, console, "wang")
    got = await frames(console, cookie, 4, [1, 2, 3])
    full = [item for item in got if item.get("full")]
    assert len(full) == 1
    assert len(full[0]["up"]) >= 5  # type: ignore[arg-type]  # a list
    deltas = [item for item in got if not item.get("full") and "n" in item]
    assert len(deltas) >= 2
    assert all(len(item.get("up", [])) < 5 for item in deltas)  # type: ignore[arg-type]  # a list
    numbers = {row[0] for item in got for row in item["v"]}  # type: ignore[attr-defined]  # rows of number, value, quality, time
    assert numbers == {1, 2, 3}


async def test_values_outside_ones_places_are_not_sent_even_when_asked_for(console: Console) -> None:
    cookie = await asyncio.to_thread(sign_in, console, "tank")
    got = await frames(console, cookie, 3, list(range(1, 300)))
    numbers = {row[0] for item in got for row in item["v"]}  # type: ignore[attr-defined]  # as above
    assert numbers
    assert all(97 <= number <= 192 for number in numbers)


async def talk_garbage(console: Console, cookie: str) -> None:
    headers = {"Cookie": cookie}
    async with connect(f"{console.socket}/console/live", additional_headers=headers, origin=console.url) as socket:  # type: ignore[arg-type]  # any text
        await socket.send('{"want": "everything"}')
        for _ in range(5):
            await asyncio.wait_for(socket.recv(), 5)


async def test_garbage_on_the_socket_ends_it_and_nothing_else(console: Console) -> None:
    cookie = await asyncio.to_thread(sign_in, console, "wang")
    with pytest.raises(ConnectionClosed):
        await talk_garbage(console, cookie)
    assert len(await frames(console, cookie, 1, [])) == 1


class _NoHub:
    dropped = 0


async def test_a_slow_page_loses_the_oldest_frames_and_is_marked_for_a_full_one() -> None:
    from anlan.core.actor import SYSTEM

    page = hub.Page(_NoHub(), SYSTEM)  # type: ignore[arg-type]  # only counts what is dropped
    page.behind = False
    for number in range(hub.QUEUE + 1):
        page.put(str(number))
    assert page.behind
    assert not page.queue
    page.behind = False
    page.put("full")
    assert await page.next() == "full"


def standing(alarm: str, *, active: bool = True, acknowledged: bool = False, covered: bool = False) -> Standing:
    return Standing(
        alarm, "i", 1, alarm.rpartition(".")[0], "H", "unacknowledged", 2, active, acknowledged, covered=covered
    )


def test_the_book_tells_what_a_reading_changed() -> None:
    book = AlarmBook()
    book.read([standing("a/b/c/p.H"), standing("a/b/c/q.H")])
    assert len(book.changed) == 2
    book.settle()
    book.read([standing("a/b/c/p.H", acknowledged=True)])
    assert [row.alarm for row in book.changed] == ["a/b/c/p.H"]
    assert [row.alarm for row in book.gone] == ["a/b/c/q.H"]


def test_a_covered_alarm_is_not_counted_again() -> None:
    counts = frame.count([standing("a/b/c/p.HH"), standing("a/b/c/p.H", covered=True)], None)
    assert counts.active == [0, 1, 0, 0]
    assert counts.unacknowledged == 1
    assert counts.shelved is None


def test_values_that_are_no_numbers_become_null() -> None:
    points, times = np.array([3, 4, 5], np.int32), np.array([1, 2, 3], np.int64)
    values, quality = np.array([1.23456789, np.nan, np.inf]), np.array([0, 0x85, 0], np.uint8)
    text = frame.values_json(points, values, quality, times, np.arange(3))
    assert json.loads(text) == [[3, 1.234568, 0, 1], [4, None, 0x85, 2], [5, None, 0, 3]]


@pytest.mark.parametrize(
    ("place", "path", "inside"),
    [("", "x/y", True), ("a/b", "a/b/c/p", True), ("a/b", "a/bc/p", False), ("a/b", "a/b", True), ("a/b", "a", False)],
)
def test_places_cover_paths_by_whole_parts(place: str, path: str, inside: bool) -> None:
    assert frame.covers((place,), path) is inside

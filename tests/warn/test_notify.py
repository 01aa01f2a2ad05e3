"""Messages over real channels: a real HTTP receiver, a dead one, a crash in between, secrets that stay secret."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from anlan.core.health import Health
from anlan.core.severity import WarningGrade
from anlan.core.time import HOUR, SECOND
from anlan.plant.model import Channel, Plant, SiteInfo, WarnPlan
from anlan.settings import Settings
from anlan.store.records.base import Records, open_engine, upgrade
from anlan.warn import notify
from anlan.warn.ledger import Ledger
from anlan.warn.notify import MOST_TRIES, Notifier, wait_after
from anlan.warn.warnings.record import Changes, Message
from tests.conftest import free_port

SECRET = "s3cr3t-token"


class Receiver:
    """A message service that keeps what it is sent; ``status`` is what it answers."""

    def __init__(self) -> None:
        self.got: list[dict[str, str]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status == 200:
                    receiver.got.append(json.loads(body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/{SECRET}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    service = Receiver()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    sql = open_engine(settings)
    upgrade(sql)
    yield Ledger(Records(sql))
    sql.dispose()


def message(number: int = 1, channel: str = "duty", **more: object) -> Message:
    text = {"title": "【橙色预警】罐区", "body": "液位异常\nlevel is odd", **more}
    return Message(f"EV{number}-{channel}", "W1", 1, channel, ("wang",), grade=WarningGrade.ORANGE, time=1, **text)  # type: ignore[arg-type]  # its fields


class Desk:
    """A notifier over a ledger, with one channel."""

    def __init__(self, ledger: Ledger, settings: Settings, url: str = "") -> None:
        self.secrets = settings.directory("secrets")
        if url:
            (self.secrets / "duty-url").write_text(url + "\n")
        channels = (Channel("duty", "duty-url"), Channel("odd", "../outside"))
        self.plant = Plant(SiteInfo("s", "s"), warn=WarnPlan(channels=channels))
        self.health = Health("warn")
        self.ledger = ledger
        self.notifier = Notifier(ledger, lambda: self.plant, self.secrets, self.health)

    def lines(self) -> list[tuple[str, str]]:
        return [(step.arrow, step.comment) for step in self.ledger.steps("W1")]


async def test_a_message_arrives_once_with_its_mark(ledger: Ledger, settings: Settings, receiver: Receiver) -> None:
    desk = Desk(ledger, settings, receiver.url)
    ledger.save(Changes(messages=[message(), message()]))
    assert await desk.notifier.round() == 1
    assert await desk.notifier.round() == 0
    (got,) = receiver.got
    assert got["title"] == "【橙色预警】罐区"
    assert got["message"].startswith("液位异常\nlevel is odd")
    assert "EV1-duty" in got["message"]
    assert "repeat" not in got["message"]
    assert desk.lines() == [("message", "duty → wang")]
    assert desk.health.counters["messages_sent"] == 1


async def test_a_service_that_refuses_is_tried_again_later_and_every_failure_is_told(
    ledger: Ledger, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(ledger, settings, receiver.url)
    now = [1000 * SECOND]
    monkeypatch.setattr(notify, "now_us", lambda: now[0])
    receiver.status = 503
    ledger.save(Changes(messages=[message()]))
    assert await desk.notifier.round() == 1
    assert await desk.notifier.round() == 0
    assert "channel.duty" in desk.health.problems
    receiver.status = 200
    now[0] += wait_after(1)
    assert await desk.notifier.round() == 1
    assert len(receiver.got) == 1
    assert [arrow for arrow, _ in desk.lines()] == ["message-failed", "message"]
    assert desk.health.problems == {}


async def test_it_is_given_up_in_the_end_and_says_so(
    ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(ledger, settings, f"json://127.0.0.1:{free_port()}/{SECRET}")
    now = [1000 * SECOND]
    monkeypatch.setattr(notify, "now_us", lambda: now[0])
    ledger.save(Changes(messages=[message()]))
    tries = 0
    while await desk.notifier.round():
        tries += 1
        now[0] += HOUR
    assert tries == MOST_TRIES
    assert [arrow for arrow, _ in desk.lines()] == ["message-failed"] * (MOST_TRIES - 1) + ["message-given-up"]


async def test_after_a_crash_while_sending_it_goes_out_again_and_says_that_it_may_be_a_repeat(
    ledger: Ledger, settings: Settings, receiver: Receiver
) -> None:
    ledger.save(Changes(messages=[message()]))
    ledger.message("EV1-duty", "trying", 0, 0)
    desk = Desk(ledger, settings, receiver.url)
    assert await desk.notifier.round() == 1
    (got,) = receiver.got
    assert "可能重复 may be a repeat" in got["message"]
    assert "EV1-duty" in got["message"]
    assert "may be a repeat" in desk.lines()[0][1]
    assert await desk.notifier.round() == 0


async def test_an_exercise_reaches_no_recipient(ledger: Ledger, settings: Settings, receiver: Receiver) -> None:
    desk = Desk(ledger, settings, receiver.url)
    ledger.save(Changes(messages=[message(exercise=True)]))
    await desk.notifier.round()
    assert receiver.got == []
    assert [arrow for arrow, _ in desk.lines()] == ["message-exercise"]
    assert await desk.notifier.round() == 0


@pytest.mark.parametrize(
    ("channel", "url", "why"),
    [
        ("duty", "", "there is no file secrets/duty-url"),
        ("duty", "   ", "secrets/duty-url is empty"),
        ("duty", f"nonsense//{SECRET}", "no address"),
        ("nobody", "", "no channel nobody"),
        ("odd", "", "names no secret file"),
    ],
)
async def test_what_is_wrong_with_a_channel_is_named(
    ledger: Ledger, settings: Settings, channel: str, url: str, why: str
) -> None:
    desk = Desk(ledger, settings, url)
    ledger.save(Changes(messages=[message(channel=channel)]))
    await desk.notifier.round()
    ((arrow, comment),) = desk.lines()
    assert arrow == "message-failed"
    assert why in comment


async def test_the_secret_is_never_logged(
    ledger: Ledger, settings: Settings, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for number, url in enumerate((receiver.url, f"json://127.0.0.1:{free_port()}/{SECRET}", f"no://{SECRET}"), 1):
        desk = Desk(ledger, settings, url)
        ledger.save(Changes(messages=[message(number)]))
        await desk.notifier.round()
        assert SECRET not in json.dumps(desk.health.problems) + json.dumps(desk.lines())
    assert SECRET not in "".join(record.getMessage() for record in caplog.records)
    assert SECRET not in "".join(str(path.read_bytes()) for path in Path(settings.data).glob("records.sqlite*"))


def test_waits_grow_to_an_hour() -> None:
    waits = [wait_after(tries) for tries in range(1, MOST_TRIES)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (5 * SECOND, HOUR)
    assert msgspec.json.decode(msgspec.json.encode(message()), type=Message) == message()

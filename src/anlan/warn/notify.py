"""Sends the messages of escalations over the site's channels, with what became of each in the warning's history.

At least once: a message is marked before it is tried and again when it is sent; after a crash in between it goes out
again under the same mark (the id in its text), and the history says that it may be a repeat. Never silently dropped:
after ``MOST_TRIES`` it is given up, and that too is a line of the history. Exercise messages reach no recipient.

A channel's URL stands in ``secrets/NAME`` of the data directory; it is never logged and never part of an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from anlan.core.health import Health
from anlan.core.time import HOUR, SECOND, now_us
from anlan.plant.model import Plant
from anlan.warn.ledger import Ledger
from anlan.warn.model import WarningStep
from anlan.warn.warnings.record import Message

logger = logging.getLogger(__name__)

MOST_TRIES = 12
FIRST_WAIT = 5 * SECOND
LONGEST_WAIT = HOUR
TIMEOUT_S = 20.0
_TYPES = {1: "failure", 2: "warning", 3: "warning", 4: "info"}


class Undeliverable(Exception):  # noqa: N818  # an outcome that becomes a line of the history
    """Why a message did not go out; never holds the URL."""


def wait_after(tries: int) -> int:
    """Return how long to wait after so many failed tries, µs."""
    return int(min(FIRST_WAIT * 2 ** max(tries - 1, 0), LONGEST_WAIT))


def address(plant: Plant, channel: str, secrets: Path) -> str:
    """Return the URL of a channel.

    Raises:
        Undeliverable: the site has no such channel, or its secret is not there.
    """
    found = [item for item in plant.warn.channels if item.id == channel]
    if not found:
        raise Undeliverable(f"站点没有通道 {channel} / the site has no channel {channel}")
    name = found[0].secret
    if not name or Path(name).name != name:
        raise Undeliverable(f"通道 {channel} 没有密钥文件名 / channel {channel} names no secret file")
    try:
        url = (secrets / name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise Undeliverable(f"缺少密钥文件 secrets/{name} / there is no file secrets/{name}") from None
    if not url:
        raise Undeliverable(f"密钥文件 secrets/{name} 为空 / secrets/{name} is empty")
    return url


def send(url: str, message: Message, *, repeat: bool = False) -> None:
    """Send one message; blocks until the service has answered.

    Raises:
        Undeliverable: the URL is none, or the service refused.
    """
    import apprise

    # Their own log lines hold parts of the URL.
    for name in ("apprise", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    target = apprise.Apprise()
    if not target.add(url):
        raise Undeliverable("密钥文件里不是可用的地址 / the secret holds no address a message can go to")
    again = "(可能重复 may be a repeat)\n" if repeat else ""
    body = f"{again}{message.body}\n消息号 message: {message.id}"
    try:
        taken = target.notify(body=body, title=message.title, notify_type=_TYPES[int(message.grade)])
    except Exception as error:  # a plug-in may raise anything, with the URL in its text
        raise Undeliverable(f"发送失败 sending failed: {type(error).__name__}") from None
    if not taken:
        raise Undeliverable("消息服务拒绝或没有应答 / the message service refused or did not answer")


class Notifier:
    """Takes what waits and sends it, one message at a time, on a thread.

    Args:
        ledger: where messages wait.
        plant: returns the plant in force.
        secrets: folder of the secret files.
        health: counts, and says which channels fail.
    """

    def __init__(self, ledger: Ledger, plant: Callable[[], Plant], secrets: Path, health: Health) -> None:
        self._ledger = ledger
        self._plant = plant
        self._secrets = secrets
        self._health = health
        self._wake = asyncio.Event()
        # A trying mark of an earlier process says that the message may have gone out; one of our own does not.
        self._begun: set[str] = set()

    def wake(self) -> None:
        """Say that a message was written."""
        self._wake.set()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            self._wake.clear()
            try:
                sent = await self.round()
                self._health.problems.pop("messages", None)
            except Exception as error:  # the records may be locked or away for a moment
                logger.exception("messages could not be looked through")
                self._health.problems["messages"] = f"消息队列不可读 / the messages cannot be read: {error}"
                sent = 0
            if not sent:
                try:
                    await asyncio.wait_for(self._wake.wait(), 1.0)
                except TimeoutError:
                    continue

    async def round(self) -> int:
        """Try every message that is due; return how many were tried."""
        due = await asyncio.to_thread(self._ledger.due_messages, now_us())
        for message, tries, begun in due:
            await self._one(message, tries, repeat=begun and message.id not in self._begun)
        return len(due)

    async def _one(self, message: Message, tries: int, *, repeat: bool) -> None:
        self._begun.add(message.id)
        if message.exercise:
            line = self._line(message, "message-exercise", "演练,不发送 / an exercise: not sent")
            await asyncio.to_thread(self._ledger.message, message.id, "exercise", tries, 0, line)
            return
        try:
            url = address(self._plant(), message.channel, self._secrets)
            await asyncio.to_thread(self._ledger.message, message.id, "trying", tries, 0)
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.to_thread(send, url, message, repeat=repeat)
        except (Undeliverable, TimeoutError) as error:
            await self._failed(message, tries + 1, str(error) or "没有应答 / no answer")
            return
        self._health.count("messages_sent")
        self._health.problems.pop(f"channel.{message.channel}", None)
        note = "可能重复 / may be a repeat" if repeat else ""
        line = self._line(message, "message", note)
        await asyncio.to_thread(self._ledger.message, message.id, "sent", tries + 1, 0, line)
        self._begun.discard(message.id)

    async def _failed(self, message: Message, tries: int, why: str) -> None:
        self._health.count("messages_failed")
        self._health.problems[f"channel.{message.channel}"] = (
            f"通道 {message.channel} 发送失败 / channel {message.channel} fails: {why}"
        )
        logger.error("message %s over channel %s: %s", message.id, message.channel, why)
        over = tries >= MOST_TRIES
        arrow = "message-given-up" if over else "message-failed"
        state = "failed" if over else "waiting"
        line = self._line(message, arrow, f"{why} (第 {tries} 次 try {tries})")
        await asyncio.to_thread(
            self._ledger.message, message.id, state, tries, 0 if over else now_us() + wait_after(tries), line
        )

    def _line(self, message: Message, arrow: str, note: str) -> WarningStep:
        comment = f"{message.channel} → {', '.join(message.to)}"
        return WarningStep(now_us(), arrow, message.grade, "", f"{comment}; {note}" if note else comment)

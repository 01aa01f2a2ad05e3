"""The external watchdog: a process of its own that tells when alarms, log or screen have stopped.

It looks at three things from outside, as an operator would: ticks come through the alarm service and the log, the alarm
service reports itself ready and not far behind, the console's address answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
import msgspec

from anlan.core import log
from anlan.core.errors import AnlanError
from anlan.core.health import HealthReport
from anlan.core.time import SECOND, now_us
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric

LIMIT_S = 6.0  # with the 1 s look and one request's time-out the news is out within 10 s
LOOK_S = 1.0
REQUEST_TIMEOUT_S = 2.0
COMMAND_TIMEOUT_S = 10.0


class Verdict(msgspec.Struct):
    """What is out, by part, with the reason; empty when all is well."""

    time: int
    out: dict[str, str]


@dataclass
class Watchdog:
    """Watches one node and acts once when its state changes.

    Args:
        command: program run with ``lost`` or ``back``.
        url: address that gets the verdict as JSON.
        announce: prints a line for people.
    """

    settings: Settings
    command: str = ""
    url: str = ""
    announce: Callable[[str], None] | None = None
    _seen: dict[str, int] = field(default_factory=dict)
    _alarms: HealthReport | None = None
    _started: int = field(default_factory=now_us)

    async def run(self, stop: asyncio.Event, *, once: bool = False) -> Verdict:
        """Watch until ``stop`` is set, or for 10 s with ``once``; return the last verdict."""
        listener = asyncio.ensure_future(self._listen())
        state: dict[str, str] = {}
        verdict = Verdict(now_us(), state)
        try:
            end = asyncio.get_running_loop().time() + 10
            async with httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S, verify=False) as client:  # noqa: S501 - only liveness is read
                while True:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), LOOK_S)
                        return verdict
                    verdict = await self.look(client)
                    if (set(verdict.out) != set(state)) and not once:
                        await self._tell(verdict, client)
                    state = verdict.out
                    if once and asyncio.get_running_loop().time() >= end:
                        return verdict
        finally:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener

    async def look(self, client: httpx.AsyncClient) -> Verdict:
        """Return what is out at this moment."""
        now = now_us()
        out: dict[str, str] = {}
        for part, words in (("log", "no tick has come through the log"), ("alarms", "no word from the alarm service")):
            age = (now - self._seen.get(part, self._started)) / SECOND
            if age > LIMIT_S:
                out[part] = f"{words} for {age:.0f} s"
        if "alarms" not in out and self._alarms is not None:
            if not self._alarms.ready:
                out["alarms"] = "the alarm service is not ready"
            elif self._alarms.problems:
                out["alarms"] = "; ".join(self._alarms.problems)
        scheme = "https" if self.settings.tls_certificate else "http"
        address = f"{scheme}://{self.settings.web_host}:{self.settings.web_port}/api/v1/health"
        try:
            answer = await client.get(address)
            if answer.status_code >= 500:
                raise httpx.HTTPError(f"answers {answer.status_code}")
            self._seen["screen"] = now
        except httpx.HTTPError as error:
            if (now - self._seen.get("screen", self._started)) / SECOND > LIMIT_S:
                out["screen"] = f"the console does not answer: {error or type(error).__name__}"
        return Verdict(now, out)

    async def _listen(self) -> None:
        while True:
            try:
                async with await Fabric.connect(self.settings, "watchdog") as fabric:
                    await fabric.client.subscribe(log.TICK, cb=self._take_tick)
                    await fabric.client.subscribe(f"{log.HEALTH}.alarms", cb=self._take_report)
                    await asyncio.Event().wait()
            except (AnlanError, OSError):
                await asyncio.sleep(0.5)

    async def _take_tick(self, _message: object) -> None:
        self._seen["log"] = now_us()

    async def _take_report(self, message: object) -> None:
        self._seen["alarms"] = now_us()
        self._alarms = msgspec.json.decode(message.data, type=HealthReport)  # type: ignore[attr-defined]  # nats Msg

    async def _tell(self, verdict: Verdict, client: httpx.AsyncClient) -> None:
        """Tell people, program and address; what one of them does must not end the watch."""
        word = "lost" if verdict.out else "back"
        self._announce(f"{word}: {words(verdict)}")
        if self.command:
            try:
                await asyncio.to_thread(subprocess.run, [self.command, word], check=True, timeout=COMMAND_TIMEOUT_S)
            except (OSError, subprocess.SubprocessError) as error:
                self._announce(f"--command: {error}")
        if self.url:
            try:
                news = {"state": word, "out": verdict.out, "time": verdict.time}
                (await client.post(self.url, json=news)).raise_for_status()
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                self._announce(f"--url: {error or type(error).__name__}")

    def _announce(self, line: str) -> None:
        if self.announce is not None:
            self.announce(line)


def words(verdict: Verdict) -> str:
    """Return a verdict as a line for people."""
    if not verdict.out:
        return "各部件均有应答 all parts answer"
    return "; ".join(f"{part}: {why}" for part, why in verdict.out.items())


async def collect_reports(fabric: Fabric, seconds: float) -> list[HealthReport]:
    """Return the health reports that arrive within ``seconds``, one a process, by name."""
    reports: dict[str, HealthReport] = {}

    async def take(message: object) -> None:
        report = msgspec.json.decode(message.data, type=HealthReport)  # type: ignore[attr-defined]  # nats Msg
        reports[report.process] = report

    await fabric.client.subscribe(f"{log.HEALTH}.>", cb=take)
    await asyncio.sleep(seconds)
    return [reports[name] for name in sorted(reports)]

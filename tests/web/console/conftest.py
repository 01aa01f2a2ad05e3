"""A real fabric, stand-in rooms and the web process as processes of their own; Chromium to look at them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from anlan.settings import Settings
from tests.conftest import ROOT, FabricProcess, free_port
from tests.web.console.ui_entry import PASSWORD

CHROMIUM = os.environ.get("ANLAN_CHROMIUM", "/usr/bin/chromium")


class Console:
    """Addresses and processes of one running console."""

    def __init__(self, settings: Settings, rooms: subprocess.Popen[bytes], web: subprocess.Popen[bytes]) -> None:
        self.settings, self.rooms, self.web = settings, rooms, web
        self.url = f"http://127.0.0.1:{settings.web_port}"
        self.socket = f"ws://127.0.0.1:{settings.web_port}"


def _start(settings: Settings, module: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **settings.environment(), "PYTHONPATH": str(ROOT)}
    log = (settings.directory("logs") / f"{module.rpartition('.')[2]}.log").open("ab")
    return subprocess.Popen([sys.executable, "-u", "-m", module], stdout=log, stderr=log, env=environment, cwd=ROOT)


def _wait(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The console with every page, on stand-in rooms."""
    folder = tmp_path_factory.mktemp("console")
    settings = Settings(
        data=folder / "data", fabric_port=free_port(), web_port=free_port(), node="test", log_bytes=1 << 30
    )
    fabric = FabricProcess(settings)
    fabric.start()
    rooms = _start(settings, "tests.web.console.fake_rooms")
    web = _start(settings, "tests.web.console.ui_entry")
    running = Console(settings, rooms, web)
    try:
        _wait(running.url + "/login")
        yield running
    finally:
        for process in (web, rooms):
            process.kill()
            process.wait()
        fabric.kill()


# Its loop runs in this thread as long as it lives, so it must end before a module of asynchronous tests begins.
@pytest.fixture(scope="module")
def playwright_() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright_: Playwright) -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"Chromium is not at {CHROMIUM}; set ANLAN_CHROMIUM")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    running = playwright_.chromium.launch(executable_path=CHROMIUM, args=flags)
    yield running
    running.close()


class Watched:
    """A page whose errors and foreign requests are noted."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.errors: list[str] = []
        own = (url, url.replace("http", "ws", 1), "data:", "blob:")
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._foreign(request.url, own))
        page.on("websocket", lambda socket: self._foreign(socket.url, own))

    def _foreign(self, url: str, own: tuple[str, ...]) -> None:
        if not url.startswith(own):
            self.errors.append(f"request to {url}")


Look = Callable[..., Watched]


@pytest.fixture
def look(console: Console, browser: Browser) -> Iterator[Look]:
    """Return ``look(path, who=…, lang=…, theme=…, size=…)``: opens a page as somebody and waits for its first frame."""
    contexts: list[BrowserContext] = []

    def open_(
        path: str,
        *,
        who: str = "wang",
        lang: str = "zh",
        theme: str = "dark",
        size: tuple[int, int] = (1920, 1080),
        frames: int = 1,
    ) -> Watched:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale="en-US")
        contexts.append(context)
        context.add_cookies(
            [
                {"name": "anlan_lang", "value": lang, "url": console.url},
                {"name": "anlan_theme", "value": theme, "url": console.url},
            ]
        )
        if who:
            answer = context.request.post(
                f"{console.url}/api/v1/session",
                data={"login": who, "password": PASSWORD},
                headers={"origin": console.url},
            )
            assert answer.status == 201, answer.text()
        watched = Watched(context.new_page(), console.url)
        watched.page.goto(console.url + path)
        if frames:
            watched.page.wait_for_function(f"Number(document.body.dataset.frames || 0) >= {frames}", timeout=20_000)
        return watched

    yield open_
    for context in contexts:
        context.close()

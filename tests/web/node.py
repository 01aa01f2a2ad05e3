"""A web process as it runs in earnest, in a thread: real fabric, real records, real sockets.

The services of other processes are answered by responders that speak their contracts, so that what the web floor does
with an answer, a refusal or silence can be tested without them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest.mock import patch

import httpx
import numpy as np
import pyarrow as pa
import uvloop
from argon2 import PasswordHasher
from fastapi import APIRouter, FastAPI
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from anlan.core import batch, log
from anlan.core.actor import SYSTEM, Actor, Grant, Role
from anlan.core.batch import BatchHeader, SampleBatch
from anlan.core.errors import InvalidInputError
from anlan.core.events import Event
from anlan.core.health import Health
from anlan.core.time import now_us
from anlan.monitor import api as monitor_api
from anlan.perceive import api as perceive_api
from anlan.plant.model import Plant, encode_plant, revision_of
from anlan.settings import Settings
from anlan.store.fabric.client import Fabric
from anlan.store.fabric.log import LogWriter
from anlan.store.historian.query import check
from anlan.store.historian.requests import ExportQuery, JournalPage, JournalQuery, SeriesKind, SeriesQuery
from anlan.store.records.base import Records, open_engine
from anlan.warn import api as warn_api
from anlan.web import service
from anlan.web.app import create_app
from anlan.web.auth import passwords, tokens, users
from anlan.web.auth.accounts import Accounts
from anlan.web.auth.model import NewToken, NewUser
from anlan.web.context import WebContext
from anlan.web.security import SESSION_COOKIE, Context, CurrentActor
from anlan.web.tables import UserRow
from tests.conftest import FabricProcess
from tests.web.answers import ANSWERS
from tests.web.plant import make_plant

R = TypeVar("R")

nowhere = APIRouter()


@nowhere.get("/nowhere-test", include_in_schema=False)
async def _nowhere(context: Context, actor: CurrentActor) -> None:
    """Ask a service that nobody serves."""
    await context.fabric.call("nowhere.test", {}, actor, dict)


ROUTERS = (monitor_api.router, perceive_api.router, warn_api.router, nowhere)
PASSWORD = "Tidal-Basin-42"
PEOPLE: dict[str, tuple[Grant, ...]] = {
    "admin": (Grant(Role.ADMINISTRATOR),),
    "operator": (Grant(Role.OPERATOR, "haian"),),
    "engineer": (Grant(Role.ENGINEER),),
    "safety": (Grant(Role.SAFETY_MANAGER),),
    "auditor": (Grant(Role.AUDITOR),),
    "regulator": (Grant(Role.REGULATOR),),
    "haian-admin": (Grant(Role.ADMINISTRATOR, "haian"),),
    "nobody": (),
}


def records_of(settings: Settings) -> Records:
    """Return the records of a node with their schema."""
    return service.open_records(settings)


def add_people(settings: Settings, people: dict[str, tuple[Grant, ...]] = PEOPLE) -> dict[str, str]:
    """Add people who need not change their password, and return an API token for each that may do anything."""
    records = records_of(settings)
    accounts = Accounts(records, settings)
    made: dict[str, str] = {}
    for login, grants in people.items():
        with records.session() as session:
            auditor = accounts.auditor(SYSTEM, "test")
            users.add(session, SYSTEM, auditor, NewUser(login, login.title(), grants, PASSWORD))
            row = users.find(session, login)
            row.must_change = False
            if grants:
                made[login] = tokens.create(session, auditor, row, NewToken("test", grants), now_us()).token
    records.engine.dispose()
    return made


@dataclass
class Answers:
    """What the responders were asked and what they answer."""

    asked: list[tuple[str, Any, Actor]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)
    rows: int = 3


class WebNode:
    """Starts the fabric, the responders and the web process; ``run`` runs a coroutine in its loop."""

    def __init__(self, settings: Settings, plant: Plant | None = None, *, console: bool = False) -> None:
        self.settings = settings
        self.console = console
        self.plant = plant or make_plant()
        self.url = f"{'https' if settings.tls_certificate else 'http'}://127.0.0.1:{settings.web_port}"
        self.answers = Answers()
        self.tokens: dict[str, str] = {}
        self.health = Health("web", started=now_us())
        self.fabric: Fabric
        self.context: WebContext
        self.api: FastAPI
        self.writer: LogWriter
        self._nats = FabricProcess(settings)
        self._cheap = patch.object(passwords, "_hasher", PasswordHasher(1, 64, 1))
        self._loop = uvloop.new_event_loop()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=self._main, daemon=True)

    def start(self) -> None:
        # Still argon2id, but cheap: the real cost has a test of its own.
        self._cheap.start()
        self.tokens = add_people(self.settings)
        self._nats.start()
        self._thread.start()
        self._ready.wait(30)
        if self._error is not None:
            self._nats.kill()
            raise self._error

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(15)
        assert not self._thread.is_alive(), "the web process did not stop"
        self._nats.kill()
        self._cheap.stop()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def call(self, work: Callable[[], object]) -> None:
        """Run a function in the web process's loop."""

        async def called() -> None:
            work()

        self.run(called())

    def client(self, who: str = "") -> httpx.Client:
        """Return a client with a person's API token, or an anonymous one."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10)

    @contextmanager
    def browser(self, who: str, password: str = PASSWORD) -> Iterator[httpx.Client]:
        """Give a client that is signed in by cookie and names its origin like a browser."""
        with httpx.Client(base_url=self.url, headers={"Origin": self.url}, timeout=10) as client:
            if (bucket := getattr(self.api.state, "sign_in_bucket", None)) is not None:
                bucket.clear()
            answer = client.post("/api/v1/session", json={"login": who, "password": password})
            assert answer.status_code == 201, answer.text
            assert client.cookies.get(SESSION_COOKIE)
            yield client

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:
                self._error = error
                self._ready.set()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with (
            await Fabric.connect(self.settings, "runtime") as self.fabric,
            await Fabric.connect(self.settings, "web") as web,
        ):
            await self.fabric.ensure_streams()
            self.writer = LogWriter(self.fabric)
            await self.configure(self.plant)
            await self._respond()

            def make(*args: Any, **keywords: Any) -> FastAPI:
                app = _with_sockets(*args, **keywords, routers=ROUTERS)
                self.context = app.state.context
                self.api = next(route.app for route in app.routes if getattr(route, "path", "") == "/api")
                return app

            with patch.object(service, "create_app", make):
                serving = asyncio.ensure_future(service.run(web, self.health, self._stop, console=self.console))
                await asyncio.sleep(0)
                await self._until_ready(serving)
            await serving

    async def _until_ready(self, serving: asyncio.Future[None]) -> None:
        while not self.health.ready and not serving.done():
            await asyncio.sleep(0.01)
        if self.health.ready:
            self._ready.set()

    async def configure(self, plant: Plant) -> None:
        """Put a plant in force."""
        document = encode_plant(plant)
        revision = revision_of(document)
        await self.fabric.put_config(revision, document)
        record = log.encode(log.ConfigRecord(now_us(), revision))
        await self.writer.append(log.CONFIG, record, f"config-{revision}")

    async def send_values(self, rows: dict[int, tuple[float, int]], time: int = 0) -> None:
        """Publish last values: point number to value and quality."""
        moment = time or now_us()
        samples = SampleBatch(
            np.array(list(rows), np.int32),
            np.full(len(rows), moment, np.int64),
            np.array([value for value, _ in rows.values()], np.float64),
            np.array([quality for _, quality in rows.values()], np.uint8),
        )
        await self.fabric.client.publish(log.LIVE, batch.encode(samples, BatchHeader("test", moment)))
        await self.fabric.client.flush()

    async def _respond(self) -> None:
        for subject, (kind, answer) in ANSWERS.items():
            await self._answer(subject, kind, answer)
        await self.fabric.serve_pieces("monitor.snapshot", dict, self._snapshot)
        await self.fabric.serve_pieces("historian.series", SeriesQuery, self._series)
        await self.fabric.serve_pieces("historian.export", ExportQuery, self._export)
        await self.fabric.serve("historian.journal", JournalQuery, self._journal)

    async def _answer(self, subject: str, kind: Any, answer: Any) -> None:
        async def respond(request: Any, actor: Actor) -> Any:
            self.answers.asked.append((subject, request, actor))
            if subject in self.answers.errors:
                raise self.answers.errors[subject]
            return answer

        await self.fabric.serve(subject, kind, respond)

    async def _snapshot(self, _request: dict[str, Any], _actor: Actor) -> AsyncIterator[bytes]:
        samples = SampleBatch(
            np.array([1, 2], np.int32),
            np.array([1_000_000, 1_000_000], np.int64),
            np.array([1.5, 40.0]),
            np.array([0, 0], np.uint8),
        )
        yield batch.encode(samples, BatchHeader("test", 1_000_000))

    async def _series(self, query: SeriesQuery, actor: Actor) -> AsyncIterator[bytes]:
        check(query)
        self.answers.asked.append(("series", query, actor))
        yield series_answer(query, self.answers.rows)

    async def _export(self, query: ExportQuery, actor: Actor) -> AsyncIterator[bytes]:
        check(query.series)
        self.answers.asked.append(("export", query, actor))
        if query.series.end == 666:
            raise InvalidInputError("more rows than asked for", where="limit")
        for number in query.series.points:
            yield f"{query.format} of {number}".encode() * 1000

    async def _journal(self, query: JournalQuery, actor: Actor) -> JournalPage:
        self.answers.asked.append(("journal", query, actor))
        events = [event for event in self.answers.events if not query.types or event.type in query.types]
        return JournalPage(tuple(events[: query.limit]), "more" if len(events) > query.limit else "")


def _with_sockets(*args: Any, console: bool, **keywords: Any) -> FastAPI:
    """Return the app with a socket at every address that has none, so that what the gate lets through opens."""

    async def open_(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    app = create_app(*args, console=console, **keywords)
    app.router.routes.append(WebSocketRoute("/{path:path}", open_))
    return app


def series_answer(query: SeriesQuery, rows: int) -> bytes:
    """Return an Arrow stream as the historian answers: one batch a point, cut at the limit."""
    count = min(rows, query.limit)
    moments = np.arange(count, dtype=np.int64) * 1_000_000 + query.start
    sink = pa.BufferOutputStream()
    metadata = {"truncated": "true" if rows > query.limit else "false"}
    schema = _SCHEMAS[query.kind].with_metadata(metadata)
    with pa.ipc.new_stream(sink, schema) as writer:
        for number in query.points if query.kind is not SeriesKind.WIND else (0,):
            values = np.linspace(0, 1, count) + number
            columns = {
                "point": np.full(count, number, np.int32),
                "time": moments,
                "value": values,
                "quality": np.zeros(count, np.uint8),
                "count": np.full(count, 60, np.uint64),
                "bad": np.zeros(count, np.uint64),
            }
            columns |= dict.fromkeys(("min", "max", "mean", "last", "speed", "direction"), values)
            writer.write_batch(pa.RecordBatch.from_pydict({n: columns[n] for n in schema.names}, schema=schema))
    return bytes(sink.getvalue())


def _schema(*names: str) -> pa.Schema:
    kinds = {"point": pa.int32(), "time": pa.int64(), "quality": pa.uint8(), "count": pa.uint64(), "bad": pa.uint64()}
    return pa.schema([(name, kinds.get(name, pa.float64())) for name in names])


_RAW = _schema("point", "time", "value", "quality")
_SCHEMAS = {
    SeriesKind.RAW: _RAW,
    SeriesKind.M4: _RAW,
    SeriesKind.AS_OF: _RAW,
    SeriesKind.BUCKET: _schema("point", "time", "min", "max", "mean", "last", "count", "bad"),
    SeriesKind.WIND: _schema("time", "speed", "direction", "count"),
}


def must_change(settings: Settings, login: str) -> None:
    """Ask a person for a new password at the next request."""
    records = Records(open_engine(settings))
    with records.session() as session:
        session.query(UserRow).filter(UserRow.login == login).update({"must_change": True})
    records.engine.dispose()

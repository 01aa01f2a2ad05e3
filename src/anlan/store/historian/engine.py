"""The way to ClickHouse: one small interface, embedded in this process (chDB) or on a server over HTTP.

What was measured of the embedded engine and is kept to here: one session serialises its calls, so there is one for
writing, one for upkeep and several for reading, each used in threads; every session is closed before exit or the
process ends with a crash; the process never forks; one path a process; one thread a query (``schema.EMBEDDED`` says
why), and a call that never returns is told by ``stalled``, so that the process can be started anew; ``DROP … SYNC`` is
not used; a NumPy dictionary is refused where a ``pyarrow.Table`` is taken.
"""

# ruff: noqa: S608  # statements are made of integers and our own names; texts from outside are bound parameters

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pyarrow as pa

from anlan.core.errors import AnlanError, UnavailableError
from anlan.settings import Settings
from anlan.store.historian import schema

Parameters = Mapping[str, object]
BATCH_ROWS = 65_536
PATIENCE_S = 120.0


class StoreError(AnlanError):
    """The engine refused a statement; ``number`` is ClickHouse's error code (0 when there is none)."""

    code = "historian"
    status = 503

    def __init__(self, message: str, *, number: int = 0, where: str = "", fix: str = "") -> None:
        super().__init__(message, where=where, fix=fix)
        self.number = number

    @property
    def full(self) -> bool:
        """Whether the disk has no room (NOT_ENOUGH_SPACE, or the file system's own word)."""
        return self.number == 243 or "No space left" in self.message


class Session(Protocol):
    """One line to the engine; used by one thread at a time."""

    def execute(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement without a result."""

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows; the columns are named as in the table."""

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Return the whole result."""

    def stream(self, sql: str, parameters: Parameters | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the result in batches; closing the iterator ends the query."""

    def close(self) -> None:
        """Give the session back to the engine."""


class Engine(Protocol):
    """Opens sessions and closes them all; ``local`` when its answers cost no network."""

    name: str
    local: bool

    def session(self, *, patience: float = PATIENCE_S) -> Session:
        """Return a new session with the tables' database and settings; a call longer than ``patience`` s is stalled."""

    def stalled(self) -> str:
        """Return what a session has been at for longer than its patience; empty while all is well."""

    def close(self) -> None:
        """Close every session."""


def _failure(error: Exception) -> StoreError:
    text = str(error)
    found = re.search(r"Code: (\d+)", text) or re.search(r"error code (\d+)", text)
    number = int(found.group(1)) if found else 0
    message = text.partition("server response: ")[2] or text
    message = message.replace("DB::Exception: ", "").strip().splitlines()[0][:600] if text else type(error).__name__
    fix = "make room on the disk of the historian; it goes on by itself" if number == 243 else ""
    return StoreError(message, number=number, where="historian", fix=fix)


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})


def _escaped(parameters: Parameters | None) -> dict[str, object]:
    # The embedded engine reads a text parameter as a field of a tab-separated file.
    return {
        name: value.translate(_ESCAPES) if isinstance(value, str) else value
        for name, value in (parameters or {}).items()
    }


# --- embedded ---------------------------------------------------------------------------------------------------


class _EmbeddedSession:
    def __init__(self, path: Path, settings: Mapping[str, int | str], patience: float) -> None:
        self._path = path
        self._settings = settings
        self._lock = threading.Lock()
        self._patience = patience
        self._at: tuple[float, str] | None = None
        self._session = self._open()

    def _open(self) -> Any:
        from chdb.session import Session as ChdbSession

        session = ChdbSession(str(self._path))
        for name, value in self._settings.items():
            session.query(f"SET {name} = {value!r}")
        return session

    @contextmanager
    def _call(self, what: str) -> Iterator[None]:
        self._at = (time.monotonic(), what)
        try:
            yield
        except (RuntimeError, pa.ArrowException) as error:
            raise _failure(error) from error
        finally:
            self._at = None

    def stalled(self) -> str:
        at = self._at
        if at is None or time.monotonic() - at[0] < self._patience:
            return ""
        return f"{at[1][:80]} for {time.monotonic() - at[0]:.0f} s"

    def execute(self, sql: str, parameters: Parameters | None = None) -> None:
        with self._lock, self._call(sql):
            self._session.query(sql, params=_escaped(parameters))

    def insert(self, table: str, rows: pa.Table) -> None:
        names = ", ".join(rows.column_names)
        with self._lock, self._call(f"INSERT INTO {table}"):
            # The engine finds ``rows`` by name in this frame.
            self._session.query(f"INSERT INTO {table} ({names}) SELECT {names} FROM Python(rows)")

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        with self._lock, self._call(sql):
            table: pa.Table = self._session.query(sql, "ArrowTable", params=_escaped(parameters))
        return table

    def stream(self, sql: str, parameters: Parameters | None = None) -> Iterator[pa.RecordBatch]:
        with self._lock:
            result: Any = None
            try:
                with self._call(sql):
                    result = self._session.send_query(sql, "Arrow", params=_escaped(parameters))
                    batches = result.record_batch(BATCH_ROWS)
                while True:
                    with self._call(sql):
                        batch = next(batches, None)
                    if batch is None:
                        return
                    yield batch
            except StoreError:
                # What a failed stream had produced comes out in the session's next answer: take a new one.
                self._session.close()
                self._session = self._open()
                result = None
                raise
            finally:
                if result is not None:
                    result.close()

    def close(self) -> None:
        with self._lock:
            self._session.close()


class EmbeddedEngine:
    """ClickHouse inside this process on a directory that nobody else opens."""

    local = True

    def __init__(self, path: Path) -> None:
        import chdb

        self.name = f"chDB {chdb.__version__} (ClickHouse {chdb.engine_version})"
        self._path = path
        self._sessions: list[_EmbeddedSession] = []
        path.mkdir(parents=True, exist_ok=True)

    def session(self, *, patience: float = PATIENCE_S) -> Session:
        """Return a new session on the directory.

        Raises:
            UnavailableError: another process has the directory open.
        """
        try:
            session = _EmbeddedSession(self._path, schema.SESSION | schema.EMBEDDED, patience)
        except RuntimeError as error:
            raise UnavailableError(
                f"the historian's directory cannot be opened: {str(error).splitlines()[0]}",
                where=str(self._path),
                fix="end the other historian process that has it open",
            ) from error
        self._sessions.append(session)
        return session

    def stalled(self) -> str:
        """Return what a session has been at for longer than its patience."""
        return next((what for session in self._sessions if (what := session.stalled())), "")

    def close(self) -> None:
        """Close every session; without this the process crashes at exit."""
        while self._sessions:
            self._sessions.pop().close()


# --- on a server ------------------------------------------------------------------------------------------------


class _ServerSession:
    def __init__(self, client: Any) -> None:
        self._client = client

    def execute(self, sql: str, parameters: Parameters | None = None) -> None:
        self._ask(self._client.command, sql, parameters=dict(parameters or {}))

    def insert(self, table: str, rows: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        self._ask(
            self._client.raw_insert,
            table,
            column_names=rows.column_names,
            insert_block=sink.getvalue().to_pybytes(),
            fmt="ArrowStream",
        )

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        raw = self._ask(self._client.raw_query, sql, parameters=dict(parameters or {}), fmt="ArrowStream")
        with pa.ipc.open_stream(raw) as reader:
            table: pa.Table = reader.read_all()
        return table

    def stream(self, sql: str, parameters: Parameters | None = None) -> Iterator[pa.RecordBatch]:
        raw = self._ask(self._client.raw_stream, sql, parameters=dict(parameters or {}), fmt="ArrowStream")
        try:
            with pa.ipc.open_stream(raw) as reader:
                yield from reader
        except (pa.ArrowException, OSError) as error:
            raise _failure(error) from error
        finally:
            raw.close()

    @staticmethod
    def _ask(call: Any, *arguments: Any, **options: Any) -> Any:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            return call(*arguments, **options)
        except ClickHouseError as error:
            raise _failure(error) from error
        except OSError as error:
            raise StoreError(f"the server does not answer: {error}", where="historian") from error

    def close(self) -> None:
        self._client.close()


class ServerEngine:
    """A ClickHouse server or cluster at ``http(s)://user:password@host:port/database``."""

    local = False

    def __init__(self, url: str) -> None:
        self._url = url
        self._sessions: list[Session] = []
        parts = urlsplit(url)
        self._where = f"{parts.scheme}://{parts.hostname}:{parts.port or ''}"
        self._database = parts.path.strip("/") or "anlan"
        client = self._connect("")
        try:
            client.command(f"CREATE DATABASE IF NOT EXISTS {self._database}")
            self.name = f"ClickHouse {client.server_version}"
        finally:
            client.close()

    def _connect(self, database: str) -> Any:
        import clickhouse_connect
        from clickhouse_connect.driver.exceptions import ClickHouseError

        parts = urlsplit(self._url)
        secure = parts.scheme == "https"
        try:
            return clickhouse_connect.get_client(
                host=parts.hostname or "127.0.0.1",
                port=parts.port or (8443 if secure else 8123),
                username=parts.username or None,
                password=parts.password or "",
                secure=secure,
                database=database or "default",
                settings=dict(schema.SESSION),
                autogenerate_session_id=False,
                # Arrow columns of text come as text, not as bytes.
                compress=False,
            )
        except (ClickHouseError, OSError) as error:
            raise UnavailableError(
                f"the ClickHouse server cannot be reached: {str(error).splitlines()[0]}",
                where=self._where,
                fix="check --historian and that the server runs",
            ) from error

    def session(self, *, patience: float = PATIENCE_S) -> Session:
        """Return a session of its own connection; ``patience`` is the client's own time limit here."""
        session = _ServerSession(self._connect(self._database))
        self._sessions.append(session)
        return session

    def stalled(self) -> str:
        """Return nothing: a connection that gets no answer raises by itself."""
        return ""

    def close(self) -> None:
        """Close every connection."""
        while self._sessions:
            self._sessions.pop().close()


def open_engine(settings: Settings) -> Engine:
    """Return the engine the settings name: a server by URL, or embedded under the data directory."""
    if settings.historian:
        return ServerEngine(settings.historian)
    return EmbeddedEngine(settings.directory("historian") / "clickhouse")


def prepare(session: Session) -> None:
    """Create what is missing of the tables."""
    for statement in schema.create_statements():
        session.execute(statement)

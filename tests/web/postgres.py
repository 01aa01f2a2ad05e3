"""A PostgreSQL server of the tests' own, from the system's package, on a socket in a temporary folder."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

_numbers = itertools.count()


def binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, None when it is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


class Postgres:
    """Starts a server that forgets everything; ``database`` makes a fresh database and returns its SQLAlchemy URL."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="anlan-pg-"))
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        data = self._folder / "data"
        self._run("initdb", "-D", str(data), "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
        quick = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=")
        options = [word for setting in quick for word in ("-c", setting)]
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", data, "-k", self._folder, *options],
            user=self._user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._run("pg_isready", "-h", str(self._folder), "-t", "20", tries=200)

    def _run(self, program: str, *words: str, tries: int = 1) -> None:
        for left in reversed(range(tries)):
            done = subprocess.run([self._programs / program, *words], user=self._user, capture_output=True, check=False)
            if done.returncode == 0:
                return
            if not left:
                raise RuntimeError(f"{program}: {done.stderr.decode()}")

    def database(self) -> str:
        name = f"anlan{next(_numbers)}"
        with psycopg.connect(f"host={self._folder} user=test dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]  # no literal: made here
        return f"postgresql+psycopg://test@/{name}?host={self._folder}"

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # a fast shutdown: it does not wait for clients
            self._process.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)

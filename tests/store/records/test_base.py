"""The records' engine, sessions and migration chain on SQLite and PostgreSQL."""

from __future__ import annotations

import importlib
import pkgutil
import threading

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect
from sqlalchemy.exc import IntegrityError

import anlan
from anlan.settings import Settings
from anlan.store.records import base
from anlan.store.records.base import Records, open_engine, upgrade

INSERT = sa.text(
    "INSERT INTO points (number, path, kind, unit, first_seen) VALUES (:number, :path, 'level', 'm', :first_seen)"
)
COUNT = sa.text("SELECT count(*) FROM points")


def point(number: int, path: str = "") -> dict[str, object]:
    return {"number": number, "path": path or f"安澜/区/单元/p{number}", "first_seen": 1_790_000_000_000_000}


@pytest.fixture
def records(records_engine: Engine) -> Records:
    upgrade(records_engine)
    return Records(records_engine)


def test_the_chain_runs_and_runs_again(records_engine: Engine) -> None:
    upgrade(records_engine)
    tables = set(inspect(records_engine).get_table_names())
    upgrade(records_engine)
    assert {"points", "alembic_version"} <= tables
    assert set(inspect(records_engine).get_table_names()) == tables


def test_the_chain_is_one_line_with_one_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(base.Path(base.__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1


def test_the_tables_of_the_code_are_the_tables_of_the_chain(records_engine: Engine) -> None:
    for module in pkgutil.walk_packages(anlan.__path__, "anlan."):
        if module.name.endswith(".tables"):
            importlib.import_module(module.name)
    upgrade(records_engine)
    found = inspect(records_engine)
    for name, table in base.Base.metadata.tables.items():
        assert found.has_table(name), name
        columns = {column["name"] for column in found.get_columns(name)}
        assert {column.name for column in table.columns} <= columns, name


def test_a_session_commits_at_its_end(records: Records) -> None:
    with records.session() as session:
        session.execute(INSERT, point(1))
    with records.session() as session:
        stored = session.execute(sa.text("SELECT path, first_seen FROM points")).one()
    assert tuple(stored) == ("安澜/区/单元/p1", 1_790_000_000_000_000)


def test_a_session_that_fails_leaves_nothing(records: Records) -> None:
    def fail() -> None:
        with records.session() as session:
            session.execute(INSERT, point(1))
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()
    with records.session() as session:
        assert session.execute(COUNT).scalar() == 0


def test_a_repeated_path_of_the_same_kind_and_unit_is_refused(records: Records) -> None:
    with records.session() as session:
        session.execute(INSERT, point(1, "a/b/c/d"))
    with pytest.raises(IntegrityError), records.session() as session:
        session.execute(INSERT, point(2, "a/b/c/d"))


def test_writers_side_by_side_lose_nothing(records: Records) -> None:
    failures: list[Exception] = []

    def write(first: int) -> None:
        try:
            for number in range(first, first + 25):
                with records.session() as session:
                    session.execute(INSERT, point(number))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with records.session() as session:
        assert session.execute(COUNT).scalar() == 100


def test_sqlite_keeps_a_write_ahead_log_and_checks_references(settings: Settings) -> None:
    with open_engine(settings).connect() as connection:
        names = ("journal_mode", "foreign_keys", "synchronous")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]
    assert values == ["wal", 1, 2]

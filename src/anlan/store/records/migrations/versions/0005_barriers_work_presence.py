"""Registers: barriers with their tests and degradations, work in progress, head counts; bypasses name their event."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_TABLES = ("head_counts", "works_in_progress", "barrier_reports", "barrier_tests", "barriers")


def _text(name: str, length: int | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.String(length) if length else sa.Text(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _id(length: int = 26) -> sa.Column[str]:
    return sa.Column("id", sa.String(length), primary_key=True)


def upgrade() -> None:
    """Create the tables."""
    op.add_column("bypasses", sa.Column("event", sa.String(26), nullable=False, server_default=""))
    _create_barriers()
    op.create_table(
        "works_in_progress",
        _id(),
        _text("kind", 40),
        _text("path", 400),
        _text("state", 20),
        *(_number(name) for name in ("start", "end", "persons", "created", "began", "finished")),
        *(_text(name, 80) for name in ("who", "permit", "began_by", "finished_by")),
        *(_text(name) for name in ("text", "comment")),
        sa.Column("causes", sa.JSON, nullable=False),
        _text("event", 26),
    )
    op.create_index("ix_works_in_progress_path", "works_in_progress", ["path"])
    op.create_index("ix_works_in_progress_state", "works_in_progress", ["state"])
    op.create_table(
        "head_counts",
        _id(),
        _text("path", 400),
        *(_number(name) for name in ("count", "time", "until")),
        _text("who", 80),
        _text("comment"),
    )
    op.create_index("ix_head_counts_path", "head_counts", ["path"])
    op.create_index("ix_head_counts_time", "head_counts", ["time"])


def _create_barriers() -> None:
    op.create_table(
        "barriers",
        _id(80),
        _text("path", 400),
        *(_text(name, 20) for name in ("state", "result")),
        *(_number(name) for name in ("first", "since", "last_test")),
        sa.Column("reasons", sa.JSON, nullable=False),
        _text("event", 26),
        _text("tested_by", 80),
    )
    op.create_table(
        "barrier_tests",
        _id(),
        _text("barrier", 80),
        _text("path", 400),
        *(_number(name) for name in ("time", "entered")),
        _text("result", 20),
        _text("who", 80),
        _text("comment"),
    )
    op.create_index("ix_barrier_tests_barrier", "barrier_tests", ["barrier"])
    op.create_table(
        "barrier_reports",
        _id(),
        _text("barrier", 80),
        _text("path", 400),
        _text("state", 20),
        *(_text(name) for name in ("reason", "measures", "closing")),
        *(_text(name, 80) for name in ("who", "ended_by")),
        *(_number(name) for name in ("time", "ended")),
        *(_text(name, 26) for name in ("test", "event")),
    )
    op.create_index("ix_barrier_reports_barrier", "barrier_reports", ["barrier"])
    op.create_index("ix_barrier_reports_state", "barrier_reports", ["state"])


def downgrade() -> None:
    """Drop the tables."""
    for table in _TABLES:
        op.drop_table(table)
    with op.batch_alter_table("bypasses") as bypasses:
        bypasses.drop_column("event")

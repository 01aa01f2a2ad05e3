"""Registers: shift log, bypasses, proposed changes, revisions put in force, events waiting for the fabric."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = ("register_outbox", "config_revisions", "proposed_changes", "bypasses", "shift_entries", "shifts")


def _text(name: str, length: int | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.String(length) if length else sa.Text(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.String(26), primary_key=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "shifts",
        _id(),
        _text("position", 80),
        _text("person", 80),
        _text("state", 20),
        *(_number(name) for name in ("started", "offered", "ended")),
        _text("offered_by", 80),
        _text("accepted_by", 80),
        _text("comment"),
    )
    op.create_index("ix_shifts_position", "shifts", ["position"])
    op.create_table(
        "shift_entries",
        _id(),
        sa.Column("shift_id", sa.String(26), sa.ForeignKey("shifts.id"), nullable=False),
        _text("position", 80),
        _number("time"),
        _text("who", 80),
        _text("text"),
        _text("path", 400),
        sa.Column("open_item", sa.Boolean, nullable=False),
        _number("closed"),
        _text("closed_by", 80),
        _text("closing"),
        sa.Column("causes", sa.JSON, nullable=False),
    )
    op.create_index("ix_shift_entries_shift_id", "shift_entries", ["shift_id"])
    op.create_index("ix_shift_entries_position", "shift_entries", ["position"])
    _create_bypasses()
    _create_changes()


def _create_bypasses() -> None:
    op.create_table(
        "bypasses",
        _id(),
        _text("path", 400),
        _text("alarm", 500),
        sa.Column("safety", sa.Boolean, nullable=False),
        _text("state", 20),
        *(_text(name) for name in ("reason", "measures", "comment")),
        *(_text(name, 80) for name in ("requested_by", "approved_by", "ended_by")),
        *(_number(name) for name in ("requested", "expires", "approved", "ended")),
    )
    op.create_index("ix_bypasses_path", "bypasses", ["path"])
    op.create_index("ix_bypasses_state", "bypasses", ["state"])


def _create_changes() -> None:
    op.create_table(
        "proposed_changes",
        _id(),
        _text("state", 20),
        sa.Column("safety", sa.Boolean, nullable=False),
        sa.Column("paths", sa.JSON, nullable=False),
        sa.Column("edits", sa.JSON, nullable=False),
        *(_text(name) for name in ("diff", "reason", "comment")),
        *(_text(name, 80) for name in ("proposed_by", "decided_by")),
        *(_number(name) for name in ("proposed", "decided", "applied")),
        _text("base_revision", 64),
        _text("revision", 64),
    )
    op.create_index("ix_proposed_changes_state", "proposed_changes", ["state"])
    op.create_table(
        "config_revisions",
        _id(),
        _text("revision", 64),
        _number("time"),
        _text("who", 80),
        _text("change_id", 26),
        sa.Column("summary", sa.JSON, nullable=False),
    )
    op.create_index("ix_config_revisions_revision", "config_revisions", ["revision"])
    op.create_table("register_outbox", _id(), sa.Column("event", sa.LargeBinary, nullable=False))


def downgrade() -> None:
    """Drop the tables."""
    for table in _TABLES:
        op.drop_table(table)

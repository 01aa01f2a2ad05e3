"""Early warning: warnings with history and claims, misses, messages, models, events waiting for the fabric."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES = (
    "warning_model_modes",
    "warning_models",
    "warning_marks",
    "warning_outbox",
    "warning_messages",
    "warning_missed",
    "warning_claims",
    "warning_steps",
    "warnings",
)


def _text(name: str, length: int | None = None, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length) if length else sa.Text(), nullable=False, primary_key=key)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _small(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, primary_key=key)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def _counted() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("number", kind, primary_key=True, autoincrement=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "warnings",
        _text("id", 26, key=True),
        _text("path", 400),
        _text("state", 20),
        _small("grade"),
        _flag("active"),
        _flag("shadow"),
        *(_number(name) for name in ("raised", "changed", "closed")),
        _bytes("kept"),
    )
    op.create_index("ix_warnings_state", "warnings", ["state"])
    op.create_index("ix_warnings_raised", "warnings", ["raised"])
    op.create_table(
        "warning_steps",
        _counted(),
        _text("warning", 26),
        _number("time"),
        _text("arrow", 40),
        _small("grade"),
        _text("who", 80),
        _text("comment"),
        _text("event", 26),
    )
    op.create_index("ix_warning_steps_warning", "warning_steps", ["warning"])
    op.create_table(
        "warning_claims",
        _text("warning", 26, key=True),
        _text("model", 80, key=True),
        _small("version", key=True),
        _text("path", 400, key=True),
        _number("joined"),
        _small("grade"),
        _text("outcome", 20),
        _text("event", 26),
        _number("lead"),
    )
    op.create_index("ix_warning_claims_joined", "warning_claims", ["joined"])
    op.create_table(
        "warning_missed",
        _text("event", 26, key=True),
        _number("time"),
        _text("path", 400),
        _text("target", 500),
        _small("priority"),
        sa.Column("models", sa.JSON, nullable=False),
    )
    op.create_index("ix_warning_missed_time", "warning_missed", ["time"])
    _create_messages()
    _create_models()


def _create_messages() -> None:
    op.create_table(
        "warning_messages",
        _text("id", 120, key=True),
        _text("warning", 26),
        _text("state", 20),
        _text("channel", 80),
        _small("tries"),
        _number("next"),
        _bytes("message"),
    )
    op.create_index("ix_warning_messages_warning", "warning_messages", ["warning"])
    op.create_index("ix_warning_messages_state", "warning_messages", ["state"])
    op.create_table(
        "warning_outbox",
        _counted(),
        _text("id", 26),
        _bytes("event"),
        sa.UniqueConstraint("id", name="uq_warning_outbox_id"),
    )
    op.create_table("warning_marks", _text("name", 40, key=True), _number("value"))


def _create_models() -> None:
    op.create_table(
        "warning_models",
        _text("id", 80, key=True),
        _small("version", key=True),
        _text("mode", 20),
        _bytes("definition"),
        _bytes("file"),
        _text("digest", 64),
        _text("signature", 128),
        _text("signed_by", 64),
        _flag("built_in"),
        _number("created"),
        _text("created_by", 80),
        _text("comment"),
        _number("flagged"),
    )
    op.create_index("ix_warning_models_mode", "warning_models", ["mode"])
    op.create_table(
        "warning_model_modes",
        _counted(),
        _text("model", 80),
        _small("version"),
        _text("mode", 20),
        _number("time"),
        _text("who", 80),
        _text("comment"),
    )
    op.create_index("ix_warning_model_modes_model", "warning_model_modes", ["model"])


def downgrade() -> None:
    """Drop the tables."""
    for table in _TABLES:
        op.drop_table(table)

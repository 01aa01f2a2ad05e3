"""People and sign-in."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES = ("users", "user_grants", "sessions", "api_tokens", "recovery_codes", "sign_in_failures", "oidc_flows")


def _owner() -> sa.Column[str]:
    return sa.Column("user_id", sa.String(26), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


def _number(name: str, *, primary_key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, primary_key=primary_key)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "users",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("login", sa.String(80), nullable=False, unique=True),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=False),
        _number("password_changed"),
        sa.Column("must_change", sa.Boolean, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("totp_seed", sa.LargeBinary),
        sa.Column("totp_on", sa.Boolean, nullable=False),
        _number("totp_step"),
        sa.Column("external", sa.String(300), unique=True),
        _number("created"),
        _number("last_sign_in"),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "user_grants",
        _owner(),
        sa.Column("role", sa.String(30), nullable=False),
        sa.Column("scope", sa.String(400), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "role", "scope"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(64), primary_key=True),
        _owner(),
        _number("created"),
        _number("seen"),
        _number("expires"),
        _number("revoked"),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("agent", sa.String(200), nullable=False),
        sa.Column("method", sa.String(20), nullable=False),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_index("ix_sessions_expires", "sessions", ["expires"])
    _create_tokens()
    _create_sign_in()


def _create_tokens() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        _owner(),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("grants", sa.JSON, nullable=False),
        _number("created"),
        _number("expires"),
        _number("used"),
        _number("revoked"),
    )
    op.create_index("ix_api_tokens_user_id", "api_tokens", ["user_id"])
    op.create_table(
        "recovery_codes",
        _owner(),
        sa.Column("code_hash", sa.String(64), nullable=False),
        _number("used"),
        sa.PrimaryKeyConstraint("user_id", "code_hash"),
    )


def _create_sign_in() -> None:
    op.create_table(
        "sign_in_failures",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        _number("last"),
        _number("locked_until"),
    )
    op.create_table(
        "oidc_flows",
        sa.Column("state", sa.String(64), primary_key=True),
        sa.Column("verifier", sa.String(128), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("after", sa.String(400), nullable=False),
        _number("created"),
    )
    op.create_table(
        "audit_outbox",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("event", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("audit_outbox")
    for table in reversed(_TABLES):
        op.drop_table(table)

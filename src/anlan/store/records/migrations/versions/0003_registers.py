"""Registers: shift log, bypasses, proposed changes."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Filled by the plant floor."""


def downgrade() -> None:
    """Nothing to undo."""

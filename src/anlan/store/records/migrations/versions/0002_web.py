"""People and sign-in."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Filled by the web floor."""


def downgrade() -> None:
    """Nothing to undo."""

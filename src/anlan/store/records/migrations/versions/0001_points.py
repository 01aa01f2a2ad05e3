"""Registry of point numbers: never reused; a new kind or unit is a new number."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "points",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("path", sa.String(400), nullable=False),
        sa.Column("kind", sa.String(60), nullable=False),
        sa.Column("unit", sa.String(40), nullable=False),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("path", "kind", "unit", name="uq_points_path"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("points")

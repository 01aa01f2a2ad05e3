"""The one Alembic chain."""
